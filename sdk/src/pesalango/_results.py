"""What the calls return. Written by `make gen` from the server's catalog."""

from msgspec import Struct


class C2bSingleStageResult(Struct, frozen=True, kw_only=True):
    """What `c2b_single_stage` returns."""

    response_code: str
    """The code of the result."""
    response_description: str
    """The text that belongs to the code."""
    transaction_id: str
    """The id of the money's movement: 12 letters and digits, unique for ever."""
    conversation_id: str
    """The gateway's id of this request: 32 hexadecimal digits."""
    third_party_conversation_id: str
    """The caller's id of the request, as it was sent."""


class B2cPaymentResult(Struct, frozen=True, kw_only=True):
    """What `b2c_payment` returns."""

    response_code: str
    """The code of the result."""
    response_description: str
    """The text that belongs to the code."""
    transaction_id: str
    """The id of the money's movement: 12 letters and digits, unique for ever."""
    conversation_id: str
    """The gateway's id of this request: 32 hexadecimal digits."""
    third_party_conversation_id: str
    """The caller's id of the request, as it was sent."""


class B2bPaymentResult(Struct, frozen=True, kw_only=True):
    """What `b2b_payment` returns."""

    response_code: str
    """The code of the result."""
    response_description: str
    """The text that belongs to the code."""
    transaction_id: str
    """The id of the money's movement: 12 letters and digits, unique for ever."""
    conversation_id: str
    """The gateway's id of this request: 32 hexadecimal digits."""
    third_party_conversation_id: str
    """The caller's id of the request, as it was sent."""


class ReversalResult(Struct, frozen=True, kw_only=True):
    """What `reversal` returns."""

    response_code: str
    """The code of the result."""
    response_description: str
    """The text that belongs to the code."""
    transaction_id: str
    """The id of the money's movement: 12 letters and digits, unique for ever."""
    conversation_id: str
    """The gateway's id of this request: 32 hexadecimal digits."""
    third_party_conversation_id: str
    """The caller's id of the request, as it was sent."""


class QueryTransactionStatusResult(Struct, frozen=True, kw_only=True):
    """What `query_transaction_status` returns."""

    response_code: str
    """The code of the result."""
    response_description: str
    """The text that belongs to the code."""
    transaction_status: str
    """Pending, Completed, Failed, Cancelled or Expired."""
    conversation_id: str
    """The gateway's id of this request: 32 hexadecimal digits."""
    third_party_conversation_id: str
    """The caller's id of the request, as it was sent."""
    original_transaction_id: str
    """The id of the money's movement; `N/A` while nothing is posted or reserved. For mandates made or cancelled it is their reference."""
    reversed: bool
    """True once nothing of it is left to reverse, else False."""


Result = (
    C2bSingleStageResult
    | B2cPaymentResult
    | B2bPaymentResult
    | ReversalResult
    | QueryTransactionStatusResult
)
"""Any of them."""

RESULTS: dict[str, type[Result]] = {
    "c2b_single_stage": C2bSingleStageResult,
    "b2c_payment": B2cPaymentResult,
    "b2b_payment": B2bPaymentResult,
    "reversal": ReversalResult,
    "query_transaction_status": QueryTransactionStatusResult,
}
