"""One call of the admin API as its handlers see it: who calls, path, query, body."""

from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from pesalango_server.admin.errors import AdminError, ErrorCode, explain_document, refuse

T = TypeVar("T")

_QUERY_FIELDS_MAX = 20


# Filled with the few types of the contract.
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def _decode(body: bytes, type_: type[T]) -> T:
    decoder = _decoders.get(type_)
    if decoder is None:
        decoder = _decoders[type_] = msgspec.json.Decoder(type_)
    try:
        decoded: T = decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise explain_document(error) from None
    return decoded


@dataclass(frozen=True)
class Call:
    """A call of a known administrator; `actor` is the name of the token's holder."""

    actor: str
    path: dict[str, str]
    query_string: str
    body: bytes

    def decode_body(self, type_: type[T]) -> T:
        """The body as a request. Raises `AdminError`."""
        # A request without fields may come without a body.
        return _decode(self.body or b"{}", type_)

    def has_field(self, name: str) -> bool:
        """Whether the body is an object with that field; what else is wrong is not looked at."""
        try:
            return name in _decode(self.body, dict[str, msgspec.Raw])
        except AdminError:
            return False

    def decode_query(self, type_: type[T]) -> T:
        """The query as a request. Raises `AdminError`."""
        try:
            pairs = parse_qsl(
                self.query_string, keep_blank_values=True, max_num_fields=_QUERY_FIELDS_MAX
            )
        except ValueError:
            raise refuse("", f"a query has at most {_QUERY_FIELDS_MAX} fields") from None
        fields: dict[str, str] = {}
        for name, value in pairs:
            if name in fields:
                raise refuse(name, "this stands in the query twice")
            fields[name] = value
        try:
            return msgspec.convert(fields, type_, strict=False)
        except msgspec.ValidationError as error:
            raise explain_document(error) from None

    def path_number(self, name: str) -> int:
        """A number in the path; whatever is none names nothing."""
        text = self.path[name]
        if text.isascii() and text.isdigit() and len(text) <= 18:
            return int(text)
        raise AdminError(ErrorCode.NOT_FOUND, f"{name} in the path is a number", name)
