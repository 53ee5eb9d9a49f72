"""Writes the pages of docs/reference that follow from the catalog, the contract of the admin API, the
table of settings and the Python client, and the tables of the guide that follow from the catalog.

`make gen` writes them; `make check` runs this (`python -m docs.generate`) with `--check`, which writes nothing and names the
pages that no longer say what the source says. A new page is one line of `PAGES`, a new table
within a page one of `TABLES`; it stands between `<!-- table: NAME -->` and `<!-- end of NAME -->`.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

from docs.client_reference import render_client_markdown
from docs.command_reference import render_command_markdown
from pesalango_server.admin.reference import render_admin_markdown
from pesalango_server.catalog import guide, openapi, reference, registry
from pesalango_server.engine.registry import PAYMENTS
from pesalango_server.gateway.operations import ROUTED
from pesalango_server.settings import render_settings_markdown

DOCS = Path(__file__).resolve().parent
REFERENCE = DOCS / "reference"
OUTCOMES = DOCS / "guide" / "outcomes.md"


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
    "client.md": render_client_markdown,
    "command-line.md": render_command_markdown,
}


TABLES: dict[str, Callable[[], list[str]]] = {
    "payments": lambda: guide.render_payment_table([payment.operation for payment in PAYMENTS]),
    "status query": lambda: guide.render_query_table(registry.find("query_transaction_status")),
    "session": lambda: guide.render_session_table(registry.find("get_session")),
}


def fill_tables(text: str, tables: dict[str, Callable[[], list[str]]]) -> str:
    """The page with each table as it is rendered now. Raises `ValueError` where one has no place."""
    for name, render in tables.items():
        start, end = f"<!-- table: {name} -->\n", f"<!-- end of {name} -->"
        table = start + "\n" + "\n".join(render()) + "\n\n" + end
        place = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
        text, found = place.subn(lambda _, table=table: table, text)  # type: ignore[misc]
        if found != 1:
            raise ValueError(f"the page has {found} places for the table {name}")
    return text


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
    filled = {OUTCOMES.name: lambda: fill_tables(OUTCOMES.read_text("utf-8"), TABLES)}
    if arguments == ["--check"]:
        stale = [f"reference/{name}" for name in find_stale_pages(REFERENCE, PAGES)]
        stale += [f"guide/{name}" for name in find_stale_pages(OUTCOMES.parent, filled)]
        for name in stale:
            print(f"docs/{name} is not what the source says: make gen writes it.")
        return 1 if stale else 0
    if arguments:
        print("usage: python -m docs.generate [--check]", file=sys.stderr)
        return 2
    write_pages(REFERENCE, PAGES)
    write_pages(OUTCOMES.parent, filled)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
