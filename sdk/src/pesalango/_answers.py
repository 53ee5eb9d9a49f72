"""What an answer says: a result, or the error that stands for it.

The code decides, not the HTTP status. What is not certain is `OutcomeUnknownError`.
"""

from typing import Any

import msgspec

from pesalango._catalog import CODES
from pesalango._errors import (
    AuthenticationError,
    CallError,
    DuplicateError,
    InsufficientBalanceError,
    InvalidRequestError,
    LimitExceededError,
    NotEnabledError,
    OutcomeUnknownError,
    RefusedError,
    TooManyAttemptsError,
    TransactionNotFoundError,
    UnavailableError,
)
from pesalango._model import Operation, Retry
from pesalango._results import RESULTS, Result

_BY_CODE: dict[str, type[CallError]] = {
    "INS-10": DuplicateError,
    "INS-23": TransactionNotFoundError,
    "INS-997": NotEnabledError,
    "INS-2006": InsufficientBalanceError,
    **{f"INS-{number}": LimitExceededError for number in range(990, 996)},
}
_BY_RETRY: dict[Retry, type[CallError]] = {
    Retry.ASK: OutcomeUnknownError,
    Retry.SAME: UnavailableError,
    Retry.CORRECTED: InvalidRequestError,
    Retry.NEW: RefusedError,
}
_INTERNAL_ERROR = "INS-1"
_CODE = "output_ResponseCode"
_TEXT = "output_ResponseDesc"
_ERROR = "output_error"
_CONVERSATION = "output_ConversationID"
_THIRD_PARTY_CONVERSATION = "output_ThirdPartyConversationID"


class Reply(msgspec.Struct, frozen=True):
    """An HTTP answer that arrived whole."""

    status: int
    body: bytes
    retry_after: str | None = None

    def fields(self) -> dict[str, Any]:
        """The JSON object in it; empty where it is none."""
        try:
            content = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}


def find_code(fields: dict[str, Any]) -> str | None:
    """The response code, where there is one."""
    code = fields.get(_CODE)
    return code if isinstance(code, str) and code else None


def read_retry_after(reply: Reply) -> float | None:
    """Seconds; None where the answer names none (a date is not understood)."""
    try:
        seconds = float(reply.retry_after or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def tell_refusal(reply: Reply, fields: dict[str, Any]) -> str | None:
    """Why a bearer, origin or source was not accepted; None where it was, or nothing is known.

    An HTTP 401 with a code is a business refusal, and none of this.
    """
    text = fields.get(_ERROR)
    if reply.status == 401 and find_code(fields) is None and isinstance(text, str):
        return text
    return None


def read_answer(
    operation: Operation,
    reply: Reply,
    fields: dict[str, Any],
    third_party_conversation_id: str | None,
) -> Result:
    """The result of an operation. Raises `CallError`."""
    code = find_code(fields)
    if code in operation.success:
        _check_it_is_ours(operation, fields, reply, third_party_conversation_id)
        values: dict[str, Any] = {}
        for wire_name, name in operation.answer.items():
            value = fields.get(wire_name)
            text = value if isinstance(value, str) else "" if value is None else str(value)
            values[name] = text.lower() == "true" if name in operation.flags else text
        return RESULTS[operation.name](**values)
    raise make_error(operation, reply, fields, third_party_conversation_id)


def make_error(
    operation: Operation,
    reply: Reply,
    fields: dict[str, Any],
    third_party_conversation_id: str | None,
) -> CallError:
    """The error that an answer without success stands for."""
    code = find_code(fields)
    row = CODES.get(code or "")
    if code is not None:
        _check_it_is_ours(operation, fields, reply, third_party_conversation_id)
        # A code that this client does not know promises nothing.
        kind = _BY_CODE.get(code) or (_BY_RETRY.get(row.retry) if row else None)
        if kind is None or (code == _INTERNAL_ERROR and operation.moves_money):
            # This gateway promises that nothing was recorded then; the words alone, from another
            # one, do not.
            kind = OutcomeUnknownError
        text = fields.get(_TEXT) or (row.text if row else "an unknown code")
        reason = fields.get(_ERROR)
        if isinstance(reason, str) and reason:
            text = f"{text}: {reason}"
    else:
        kind, text = _read_without_code(reply, fields)
    return kind(
        str(text),
        operation=operation.name,
        code=code,
        http_status=reply.status,
        conversation_id=_text_of(fields, _CONVERSATION),
        third_party_conversation_id=third_party_conversation_id,
        retry_after_s=read_retry_after(reply),
    )


def _read_without_code(reply: Reply, fields: dict[str, Any]) -> tuple[type[CallError], str]:
    text = fields.get(_ERROR)
    said = text if isinstance(text, str) and text else ""
    if reply.status == 429:
        # Whoever says it, a gateway or a proxy before it, says it instead of looking.
        return TooManyAttemptsError, said or "too many attempts"
    if said and reply.status == 401:
        return AuthenticationError, said
    if said and 400 <= reply.status < 500 and reply.status != 408:
        return InvalidRequestError, said
    # A proxy's 502, a page of HTML, a 408 of whoever: the request may have been carried out.
    return OutcomeUnknownError, said or f"HTTP {reply.status} without an answer of the gateway's"


def _check_it_is_ours(
    operation: Operation,
    fields: dict[str, Any],
    reply: Reply,
    third_party_conversation_id: str | None,
) -> None:
    """An answer that belongs to another request says nothing of this one."""
    echoed = fields.get(_THIRD_PARTY_CONVERSATION)
    if not echoed or third_party_conversation_id is None or echoed == third_party_conversation_id:
        return
    raise OutcomeUnknownError(
        "the answer belongs to another request",
        operation=operation.name,
        http_status=reply.status,
        third_party_conversation_id=third_party_conversation_id,
    )


def _text_of(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) and value else None
