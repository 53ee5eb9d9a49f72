"""What the gateway answers: an operation's refusals and successes, and the errors before one."""

from collections.abc import Mapping
from random import Random
from typing import Final

import msgspec

from pesalango_server.catalog.codes import (
    INTERNAL_ERROR,
    SERVICE_UNAVAILABLE,
    SESSION_NOT_CREATED,
)
from pesalango_server.catalog.model import NOT_AVAILABLE, Operation
from pesalango_server.catalog.registry import answer
from pesalango_server.http.answers import Header
from pesalango_server.kernel.ids import make_unrecorded_conversation_id

ERROR_FIELD: Final = "output_error"

_encode = msgspec.json.Encoder().encode

# No secret: it has to be unique alone. The system's own generator lets go of the interpreter lock
# for each number, and under load waits for it longer than the rest of a refusal takes.
_draw_bits: Final = Random().getrandbits  # noqa: S311


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A whole answer. `code` is what metrics count: the wire's code, or the HTTP status."""

    status: int
    code: str
    body: bytes
    headers: tuple[Header, ...] = ()


class AnswerWithheld(Exception):
    """What became of the request is unknown: the connection ends without an answer."""


def render_error(text: str) -> bytes:
    """The body of an answer where no operation was reached."""
    return _encode({ERROR_FIELD: text})


def make_error(status: int, text: str, *headers: Header) -> Answer:
    """An answer where no operation was reached."""
    return Answer(status, str(status), render_error(text), headers)


NOT_FOUND: Final = make_error(404, "No such path")
TOO_LARGE: Final = make_error(413, "Request body too large")
NOT_AUTHORISED: Final = make_error(401, "API or Session key is not authorized")
ORIGIN_MISSING: Final = make_error(401, "Origin header is missing")
ORIGIN_NOT_ALLOWED: Final = make_error(401, "Origin not allowed")
SOURCE_NOT_ALLOWED: Final = make_error(401, "Source not allowed")


def not_yet_live(seconds: int) -> Answer:
    """The answer to the holder of a session key that becomes live in so many seconds."""
    return Answer(401, "401", NOT_AUTHORISED.body, ((b"retry-after", b"%d" % seconds),))


def too_many_failures(seconds: int) -> Answer:
    """The answer to an address that failed to authenticate too often."""
    text = "Too many failed authentications from this address"
    return make_error(429, text, (b"retry-after", b"%d" % seconds))


def wrong_method(method: str) -> Answer:
    """The answer to any other method than the one that the path has."""
    return make_error(405, "Method not allowed", (b"allow", method.encode()))


class OperationAnswers:
    """Renders the answers of one operation."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self._refusal = operation.answer.refusal
        self._reference = operation.answer.reference
        self._success = tuple(
            (field.wire_name, field.name, field.is_optional) for field in operation.answer.fields
        )
        # The session's own code for whatever keeps the gateway from working.
        self._unavailable_code = (
            SESSION_NOT_CREATED if operation.lists(SESSION_NOT_CREATED) else SERVICE_UNAVAILABLE
        )

    def refuse(
        self,
        code: str,
        *,
        third_party_conversation_id: str = "",
        conversation_id: str | None = None,
        status_and_text: tuple[int, str] | None = None,
        reason: str = "",
    ) -> Answer:
        """A refusal as the operation's table has it.

        Without a `conversation_id` the request was not recorded, and gets one that is never found.
        `reason` is shown only where the operation's refusal has a place for it.
        """
        status, text = status_and_text or answer(self.operation, code)
        values = {
            "output_ResponseCode": code,
            "output_ResponseDesc": text,
            "output_ThirdPartyConversationID": third_party_conversation_id,
            ERROR_FIELD: reason or text,
        }
        if self._reference is not None:
            values[self._reference] = NOT_AVAILABLE
        if "output_ConversationID" in self._refusal:
            values["output_ConversationID"] = conversation_id or make_unrecorded_conversation_id(
                _draw_bits(128)
            )
        return Answer(status, code, _encode({name: values[name] for name in self._refusal}))

    def unavailable(self, *, third_party_conversation_id: str = "", reason: str = "") -> Answer:
        """The refusal for overload, or a store or engine that does not work."""
        return self.refuse(
            self._unavailable_code,
            third_party_conversation_id=third_party_conversation_id,
            reason=reason or "The service is busy or not available; try again",
        )

    def fault(self, *, third_party_conversation_id: str = "") -> Answer:
        """The refusal for a fault of ours; nothing was recorded."""
        return self.refuse(INTERNAL_ERROR, third_party_conversation_id=third_party_conversation_id)

    def succeed(self, values: Mapping[str, str]) -> Answer:
        """The operation's success; `values` by the Python names of the answer's fields."""
        success = self.operation.success
        values = {
            "response_code": success.code,
            "response_description": success.text,
            **values,
        }
        return Answer(
            success.http_status,
            success.code,
            _encode(
                {
                    wire_name: values.get(name, "")
                    for wire_name, name, is_optional in self._success
                    if not is_optional or name in values
                }
            ),
        )
