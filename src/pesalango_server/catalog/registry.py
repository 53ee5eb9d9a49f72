"""The thirteen operations, in the order in which they are listed everywhere."""

from typing import Final

from pesalango_server.catalog.codes import CODES_BY_CODE
from pesalango_server.catalog.model import Code, Operation
from pesalango_server.catalog.operations import (
    b2b_payment,
    b2c_payment,
    c2b_multi_stage,
    c2b_single_stage,
    direct_debit_cancel,
    direct_debit_create,
    direct_debit_payment,
    get_session,
    query_beneficiary_name,
    query_direct_debit,
    query_transaction_status,
    reversal,
    update_transaction_status,
)

OPERATIONS: Final[tuple[Operation, ...]] = (
    get_session.OPERATION,
    c2b_single_stage.OPERATION,
    c2b_multi_stage.OPERATION,
    update_transaction_status.OPERATION,
    b2c_payment.OPERATION,
    b2b_payment.OPERATION,
    reversal.OPERATION,
    query_transaction_status.OPERATION,
    direct_debit_create.OPERATION,
    direct_debit_payment.OPERATION,
    query_direct_debit.OPERATION,
    direct_debit_cancel.OPERATION,
    query_beneficiary_name.OPERATION,
)
OPERATIONS_BY_NAME: Final = {operation.name: operation for operation in OPERATIONS}
_OPERATIONS_BY_PATH: Final = {
    operation.path.removesuffix("/").lower(): operation for operation in OPERATIONS
}


def find(name: str) -> Operation:
    """The operation of that name, such as `c2b_single_stage`; KeyError if there is none."""
    return OPERATIONS_BY_NAME[name]


def find_by_path(path: str) -> Operation | None:
    """The operation that is served below a market, whatever its method.

    `path` is what follows `/{environment}/ipg/v2/{market}/`, in any case of letters, with or
    without one trailing slash.
    """
    return _OPERATIONS_BY_PATH.get(path.removesuffix("/").lower())


def _answers_of(operation: Operation) -> dict[str, tuple[int, str]]:
    answers = {code: (row.http_status, row.text) for code, row in CODES_BY_CODE.items()}
    # Reversed, so that of two rows for one code the first in the table stands.
    for row in reversed((*operation.codes, *operation.unlisted_codes)):
        answers[row.code] = (row.http_status, row.text)
    return answers


_ANSWERS: Final = {operation.name: _answers_of(operation) for operation in OPERATIONS}


def answer(operation: Operation, code: str) -> tuple[int, str]:
    """HTTP status and text with which an operation answers a code; KeyError for an unknown code.

    Total over all codes. The operation's own table stands first. A code that it lacks is answered
    as the table of C2B single stage has it; three have statuses of their own (401 `Transaction
    Failed`, 503 `Service is not available`, 400 `Missing Reference`), and what that table lacks
    too is answered as in the first table that has it. Where a table has one code twice (the
    balance amount), this is its first row; the refusal of the validator brings the other.
    """
    return _ANSWERS[operation.name][code]


def answerable_codes(operation: Operation) -> tuple[Code, ...]:
    """All that an operation can be seen to answer, success first: its table, then the unlisted."""
    return (*operation.codes, *operation.unlisted_codes)
