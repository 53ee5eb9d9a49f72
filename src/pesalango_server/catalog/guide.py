"""The tables of the guide that follow from the catalog: what an answer says about the money."""

from collections.abc import Callable, Sequence
from typing import Final

from pesalango_server.catalog import codes
from pesalango_server.catalog.codes import CODES, NOT_PRODUCED_YET
from pesalango_server.catalog.model import Code, CodeRow, Operation, Producer, Retry
from pesalango_server.catalog.registry import answerable_codes

Words = tuple[str, str]
"""What happened to the money, or what is known of it now; and what to do."""

_PAYMENT_WORDS: Final[dict[Retry, Words]] = {
    Retry.DONE: ("moved", "Keep the TransactionID."),
    Retry.ASK: ("**unknown** until you ask", "Ask for the status, and go by that."),
    Retry.SAME: ("did not move; nothing was recorded", "The same request again, after a pause."),
    Retry.NEW: ("did not move", "A new request, with a new ThirdPartyConversationID."),
    Retry.CORRECTED: (
        "did not move; nothing was recorded",
        "Correct what is wrong; the ThirdPartyConversationID may stay.",
    ),
}

_QUERY_WORDS: Final[dict[Retry, Words]] = {
    Retry.DONE: ("what the status says", "Read the status: the table below."),
    Retry.SAME: ("nothing new", "Ask again, after a pause."),
    Retry.CORRECTED: ("nothing new", "Correct the question, and ask again."),
    Retry.NEW: ("nothing new", "Correct the question, and ask again."),
}

# Where what follows for a payment is not what follows for the question about it.
_QUERY_WORDS_BY_CODE: Final[dict[str, Words]] = {
    codes.TRANSACTION_NOT_FOUND: (
        "not moved so far; a request that is still on its way may be recorded yet",
        "Send the *same* payment again, unchanged; then ask again, unless that was `INS-0`.",
    ),
    codes.PRODUCT_NOT_ENABLED: (
        "nothing, and that will not change by itself",
        "Have the status query switched on; until then no unknown outcome can be resolved.",
    ),
}

_SESSION_WORDS: Final[dict[Retry, Words]] = {
    Retry.DONE: ("no money is at stake", "Use the session key until it ends."),
    Retry.SAME: ("no money is at stake", "Try again, after a pause."),
    Retry.CORRECTED: ("no money is at stake", "Correct the path."),
}

_TITLE: Final = ("Code", "HTTP", "What happened", "The money", "What to do")


def render_payment_table(operations: Sequence[Operation]) -> list[str]:
    """Every code that a payment may be answered with."""
    return _render(operations, lambda row: _PAYMENT_WORDS[row.retry], order=list(_PAYMENT_WORDS))


def render_query_table(operation: Operation) -> list[str]:
    """Every code that a status query may be answered with."""
    return _render(
        [operation],
        lambda row: _QUERY_WORDS_BY_CODE.get(row.code, _QUERY_WORDS[row.retry]),
        order=list(_QUERY_WORDS),
    )


def render_session_table(operation: Operation) -> list[str]:
    """Every code that the request for a session may be answered with."""
    return _render([operation], lambda row: _SESSION_WORDS[row.retry], order=list(_SESSION_WORDS))


def _render(
    operations: Sequence[Operation],
    choose: Callable[[CodeRow], Words],
    *,
    order: Sequence[Retry],
) -> list[str]:
    """One row a code; those after which a caller does the same stand together."""
    rows = [
        (f"`{row.code}`", _list_statuses(row, operations), _tell(row, operations), *choose(row))
        for row in sorted(
            CODES, key=lambda row: order.index(row.retry) if row.retry in order else 0
        )
        if _find(row, operations)
    ]
    lines = [_TITLE, ("---",) * len(_TITLE), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _find(row: CodeRow, operations: Sequence[Operation]) -> list[tuple[Operation, Code]]:
    """Where the code is answered."""
    return [
        (operation, code)
        for operation in operations
        for code in answerable_codes(operation)
        if code.code == row.code and code.producer is not Producer.NOTHING
    ]


def _list_statuses(row: CodeRow, operations: Sequence[Operation]) -> str:
    return ", ".join(
        str(n) for n in sorted({code.http_status for _, code in _find(row, operations)})
    )


def _tell(row: CodeRow, operations: Sequence[Operation]) -> str:
    found = [operation for operation, _ in _find(row, operations)]
    where = f" ({'; '.join(operation.title for operation in found)})"
    return (
        row.meaning
        + (where if len(found) < len(operations) else "")
        + (" Not checked yet." if row.code in NOT_PRODUCED_YET else "")
    )
