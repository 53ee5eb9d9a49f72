"""What a page tells its reader to type has a mark, and a test that types it."""

import ast
from pathlib import Path

import pytest

from tests.e2e import test_readme
from tests.e2e.samples import find_samples, find_unmarked_blocks
from tests.tidy.repository import ROOT, list_paths

PAGES = [
    path
    for path in list_paths()
    if path in {"README.md", "sdk/README.md"} or (path.startswith("docs/") and path.endswith(".md"))
]
TYPING = {"type", "type_sample", "leave_running", "pay_and_back_up"}
"""Functions that type the sample whose name they are given."""


def find_typed(path: Path) -> set[str]:
    """Names of samples that a file of tests hands to what types them, or takes up itself."""
    typed: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        given: list[ast.expr] = []
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)
            given = node.args if name in TYPING else []
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "SAMPLES":
            given = [node.slice]
        typed |= {str(each.value) for each in given if isinstance(each, ast.Constant)}
    return typed


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_is_run_or_says_why_not(page: str) -> None:
    assert find_unmarked_blocks(page) == []


def test_every_sample_is_typed_by_a_test() -> None:
    # Of those pages all samples are typed, in their order.
    pages = [page for page in PAGES if page not in test_readme.PAGES]
    typed = set().union(*map(find_typed, (ROOT / "tests" / "e2e").glob("test_*.py")))
    names = [sample.name for sample in find_samples(*pages)]
    assert "serve over TLS" in names
    assert set(names) - typed == set()


def test_a_block_without_a_mark_and_a_name_outside_a_call_are_noticed(tmp_path: Path) -> None:
    page, test = tmp_path / "page.md", tmp_path / "test_page.py"
    page.write_text("Then:\n\n```sh\nls\n```\n\n<!-- runs: more -->\n```sh\npwd\n```\n", "utf-8")
    assert find_unmarked_blocks(str(page)) == ["ls"]
    test.write_text('"""Types "more"."""\nNAMES = ["more"]\noperator.type("less")\n', "utf-8")
    assert find_typed(test) == {"less"}
