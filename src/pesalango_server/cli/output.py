"""How results are shown: tables for people, JSON for programs."""

import contextlib
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

PIPE_COLUMNS = 400
"""Nothing is cut off or folded where no terminal says how wide it is."""


def say(line: str) -> None:
    """Tell a person something, at once; nobody may be there any more, or no room for it."""
    with contextlib.suppress(OSError):
        print(line, flush=True)


def print_json(value: Any) -> None:
    """One document, as the admin API answers it."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table; a column whose name ends in `>` is aligned to the right."""
    # Servers say a few lines, and load nothing for tables.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.endswith(">") else "left"
        table.add_column(column.removesuffix(">"), justify=justify, overflow="fold")
    for row in rows:
        # Names are data: brackets in them are no markup.
        table.add_row(*[Text("" if cell is None else str(cell)) for cell in row])
    width = None if sys.stdout.isatty() else PIPE_COLUMNS
    Console(width=width, highlight=False).print(table)


def join(items: Iterable[str]) -> str:
    """A short list in a cell."""
    return " ".join(items) or "none"
