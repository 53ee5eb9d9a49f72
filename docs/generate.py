"""Writes the pages of docs/reference that follow from the catalog, the contract of the
admin API and the table of settings.

`make gen` writes them; `make check` runs this with `--check`, which writes nothing and names the
pages that no longer say what the source says. A new page is one line of `PAGES`.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from pesalango_server.admin.reference import render_admin_markdown
from pesalango_server.catalog import openapi, reference
from pesalango_server.gateway.operations import ROUTED
from pesalango_server.settings import render_settings_markdown

REFERENCE = Path(__file__).resolve().parent / "reference"


def render_openapi() -> str:
    """The OpenAPI document of all operations of the catalog, as indented JSON."""
    document = openapi.build_document(served=ROUTED)
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def render_operations() -> str:
    """The page of all operations."""
    return reference.render_operations_markdown(served=ROUTED)


PAGES: dict[str, Callable[[], str]] = {
    "operations.md": render_operations,
    "codes.md": reference.render_codes_markdown,
    "openapi.json": render_openapi,
    "admin-api.md": render_admin_markdown,
    "settings.md": render_settings_markdown,
}


def find_stale_pages(folder: Path, pages: dict[str, Callable[[], str]]) -> list[str]:
    """Names of the pages in `folder` that are missing or differ from what is rendered now."""
    return [
        name
        for name, render in pages.items()
        if not (folder / name).is_file() or (folder / name).read_text("utf-8") != render()
    ]


def write_pages(folder: Path, pages: dict[str, Callable[[], str]]) -> None:
    """Write every page; the folder is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, render in pages.items():
        (folder / name).write_text(render(), "utf-8", newline="\n")


def main(arguments: list[str]) -> int:
    """Exit status: 0 done or in step, 1 stale pages found, 2 unknown arguments."""
    if arguments == ["--check"]:
        stale = find_stale_pages(REFERENCE, PAGES)
        for name in stale:
            print(f"docs/reference/{name} is not what the source says: make gen writes it.")
        return 1 if stale else 0
    if arguments:
        print("usage: docs/generate.py [--check]", file=sys.stderr)
        return 2
    write_pages(REFERENCE, PAGES)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
