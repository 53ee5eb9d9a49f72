"""How results are shown: tables for people, JSON for programs.

The result goes to standard output, everything else to standard error.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from io import StringIO
from typing import Any, Literal, TextIO

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pesalango._intents import Payment
from pesalango.cli import PROGRAM
from pesalango.cli.exits import Failure

PIPE_COLUMNS = 400
"""Nothing is cut off or folded where no terminal says how wide it is."""


def tell(sentence: str) -> None:
    """Say something beside the result, at once; nobody may be there to read it."""
    _write(sys.stderr, f"{PROGRAM}: {sentence}\n")


def show_failure(failure: Failure, *, is_json: bool) -> None:
    """Why the command failed, where its reader looks for it."""
    if is_json:
        show_json({"error": failure})
        return
    tell(failure.text)
    if isinstance(failure.faults, list) and isinstance(failure.fault_count, int):
        lines = [f"  {fault}\n" for fault in failure.faults]
        if failure.fault_count > len(failure.faults):
            lines.append(f"  and {failure.fault_count - len(failure.faults)} more\n")
        _write(sys.stderr, "".join(lines))


def show_json(value: Any) -> None:
    """One document; amounts are text in it, for no float is exact."""
    _write_result(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def show_facts(facts: Iterable[tuple[str, object]]) -> None:
    """What is known of one thing, a line each; what is empty is left out."""
    table = _make_table(show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts:
        if value not in {None, ""}:
            table.add_row(name, Text(str(value)))
    _render(table)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; a column whose name ends in `>` is aligned to the right."""
    table = _make_table(show_header=True)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.endswith(">") else "left"
        table.add_column(column.removesuffix(">"), justify=justify, overflow="fold")
    for row in rows:
        # What a gateway says is data: brackets in it are no markup.
        table.add_row(*[Text("" if cell is None else str(cell)) for cell in row])
    _render(table)


def show_line(line: str) -> None:
    """A result that is one sentence."""
    _write_result(f"{line}\n")


def list_payment_fields(payment: Payment, currency: str) -> dict[str, object]:
    """A payment as `--json` shows it."""
    return {
        "key": payment.key,
        "operation": payment.operation,
        "state": payment.state,
        "amount": None if payment.amount is None else render_amount(payment.amount),
        "currency": currency,
        "transaction_id": payment.transaction_id or None,
        "conversation_id": payment.conversation_id or None,
        "third_party_conversation_id": payment.third_party_conversation_id,
        "code": payment.code or None,
        "text": payment.text or None,
        "created_at": payment.created_at,
        "closed_at": payment.closed_at,
    }


def render_amount(amount: Decimal) -> str:
    """Digits without exponent, for programs."""
    return format(amount, "f")


def render_money(amount: Decimal | None, currency: str) -> str:
    """For people, in groups of three digits."""
    return "" if amount is None else f"{amount:,.2f}".replace(",", " ") + f" {currency}"


def end_output() -> None:
    """Let the interpreter end in silence where whoever read the output has gone."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _make_table(*, show_header: bool) -> Table:
    return Table(box=None, pad_edge=False, header_style="bold", show_header=show_header)


def _render(table: Table) -> None:
    width = None if sys.stdout.isatty() else PIPE_COLUMNS
    # Rendered here and written below, where a reader that has gone is no failure.
    rendered = StringIO()
    is_terminal = sys.stdout.isatty()
    Console(file=rendered, force_terminal=is_terminal, width=width, highlight=False).print(table)
    lines = [line.rstrip() for line in rendered.getvalue().splitlines()]
    _write_result("\n".join(lines) + "\n")


def _write_result(text: str) -> None:
    if not _write(sys.stdout, text):
        # What was done is done: the exit status goes on telling of it.
        tell("the result could not be written to standard output")


def _write(stream: TextIO, text: str) -> bool:
    try:
        stream.write(text)
        stream.flush()
    except OSError:
        return False
    return True
