"""From the bytes of a request to the texts that the catalog's validators take.

Nearly every body is one flat object of texts; msgspec reads it in one go. Everything else (numbers,
whose literal text counts, booleans, null, nesting, forms) takes the long way through the `json`
module, which answers the same for what both can read.
"""

import json
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from pesalango_server.catalog.questions import Values
from pesalango_server.catalog.validation import NESTED

DEPTH_MAX: Final = 32
"""Objects and lists inside each other, the outermost counted."""

FORM_FIELDS_MAX: Final = 1_000
_PREFIX: Final = "input_"

RESPONSE_URL: Final = "input_ResponseURL"
THIRD_PARTY_CONVERSATION_ID: Final = "input_ThirdPartyConversationID"

_decode_flat = msgspec.json.Decoder(dict[str, str]).decode


def read_body(body: bytes) -> Values | None:
    """Values by parameter name in the body of a request, None if it cannot be read."""
    if not body:
        return {}
    try:
        return _decode_flat(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return read_unusual_body(body)


def read_query_and_body(query: bytes, body: bytes) -> Values | None:
    """The same for a GET, whose parameters may stand in the query string, in a body, or in both.

    The query string wins, where it has a value. A response URL counts in a body only: a client
    that repeats the parameters of its last call would make every query asynchronous.
    """
    values = read_body(body)
    if values is None or not query:
        return values
    from_query = _read_form(query)
    if from_query is None:
        return None
    from_query.pop(RESPONSE_URL, None)
    return {**values, **{name: text for name, text in from_query.items() if text}}


def read_unusual_body(body: bytes) -> Values | None:
    """What `read_body` answers, by the long way."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    try:
        document = _decoder.decode(text)
    except RecursionError:
        return None
    except ValueError:
        return _read_mislabelled_form(text)
    if not isinstance(document, dict) or not _is_acceptable(document):
        return None
    return {name: _flatten(value) for name, value in document.items()}


def echo_third_party_conversation_id(values: Values) -> str:
    """The caller's own id as it was sent, for an answer; empty where there is none to show."""
    text = values.get(THIRD_PARTY_CONVERSATION_ID)
    return "" if text is None or text is NESTED else text


def read_echo(query: bytes, body: bytes) -> str:
    """The caller's own id as it was sent, wherever the rest of the request cannot be read."""
    from_query = (_read_form(query) if query else None) or {}
    return echo_third_party_conversation_id(from_query) or echo_third_party_conversation_id(
        read_body(body) or {}
    )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


# The literal text of a number is its value here: 10.0 has decimals, and -0 is no zero.
_decoder: Final = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_refuse_constant)


def _flatten(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "True" if value else "False"
    return NESTED


def _is_acceptable(document: dict[str, Any]) -> bool:
    """Whether a document is not too deep, and holds no half of a surrogate pair."""
    waiting: list[tuple[Any, int]] = [(document, 1)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, str):
            if not _is_unicode(value):
                return False
        elif isinstance(value, dict | list):
            if depth > DEPTH_MAX:
                return False
            inside = [*value, *value.values()] if isinstance(value, dict) else value
            waiting.extend([(item, depth + 1) for item in inside])
    return True


def _is_unicode(text: str) -> bool:
    """Whether UTF-8 can say it: the decoder lets half a surrogate pair through."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_mislabelled_form(text: str) -> Values | None:
    """A form, which an older official client posts and calls JSON; None if it is none."""
    if text.startswith(("{", "[", '"')):
        return None
    fields = _read_form(text.encode())
    if fields is None or not any(name.startswith(_PREFIX) for name in fields):
        return None
    return fields


def _read_form(encoded: bytes) -> dict[str, str | None] | None:
    try:
        pairs = parse_qsl(
            encoded.decode(),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=FORM_FIELDS_MAX,
        )
    except ValueError:
        return None
    return dict(pairs)
