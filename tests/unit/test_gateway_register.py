"""The register of wire decisions names tests that there are."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REGISTER = ROOT / "docs" / "reference" / "wire-decisions.md"


def test_every_decision_is_shown_by_a_test_that_there_is() -> None:
    named = set(re.findall(r"`(test_\w+)`", REGISTER.read_text("utf-8")))
    there = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert named
    assert named <= there, named - there


def test_every_row_says_what_why_and_how_it_is_shown() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in REGISTER.read_text("utf-8").splitlines()
        if line.startswith("|") and not set(line) <= set("|-")
    ]
    for row in rows:
        assert len(row) == 4, row
        said, done, _why, test = row
        assert said
        assert done
        assert test
