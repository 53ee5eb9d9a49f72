"""The threat model names test modules that there are, one at least for each item that concerns us."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security" / "threat-model.md").read_text("utf-8")
ITEMS = 10


def read_items() -> dict[str, list[str]]:
    """The rows of the OWASP table by item number."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.splitlines()
        if re.match(r"\| API\d", line)
    ]
    return {row[0].partition(":")[0]: row for row in rows}


def test_every_item_of_the_top_ten_has_its_row() -> None:
    items = read_items()
    assert list(items) == [f"API{number}" for number in range(1, ITEMS + 1)]
    for item, threat, defence, shown_by, missing in items.values():
        assert all((item, threat, defence, shown_by, missing))


def test_every_item_that_concerns_what_exists_names_a_test_module() -> None:
    for item, row in read_items().items():
        named = re.findall(r"`(tests/[\w/]+\.py)`", row[3])
        assert named or row[3] == "nothing to show", item
    assert [item for item, row in read_items().items() if row[3] == "nothing to show"] == ["API10"]


def test_the_modules_that_it_names_are_there_and_hold_tests() -> None:
    named = set(re.findall(r"`(tests/[^`]+)`", PAGE))
    assert named
    for path in named:
        assert "\ndef test_" in (ROOT / path).read_text("utf-8"), path
