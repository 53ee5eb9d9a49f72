"""What the gateway has answered: the `APIResponse` of a request."""

from collections.abc import Mapping
from typing import Any

from .record import Field, Record, accept, copy_mapping, copy_texts, hide

_HIDDEN_HEADERS = ("cookie", "authorization")
_HIDDEN_BODY = ("session", "msisdn", "token", "voucher")


class Headers(dict[str, str]):
    """The headers as the server wrote them, found in any case of letters."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(self._find(name))

    def __contains__(self, name: object) -> bool:
        return super().__contains__(self._find(name) if isinstance(name, str) else name)

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(self._find(name), default)

    def _find(self, name: str) -> str:
        return next((each for each in self if each.lower() == name.lower()), name)


def _copy_headers(name: str, value: Any) -> Headers:
    return Headers(copy_texts(name, value))


class APIResponse(Record):
    """An answer of the gateway, a refusal too; always true.

    `status_code` is the HTTP status, `headers` a dictionary whose names may be asked for in any
    case of letters, `body` the JSON object. Go by `body["output_ResponseCode"]`, not by the status.
    """

    status_code = Field(accept(int, "an int"))
    headers = Field(_copy_headers)
    body = Field(copy_mapping)

    def __init__(
        self, status_code: int, headers: Mapping[str, str], body: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.update(status_code=status_code, headers=headers, body=body)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        shown = {
            **self,
            "headers": hide(self.headers, words=_HIDDEN_HEADERS),
            "body": hide(self.body, words=_HIDDEN_BODY),
        }
        return f"{type(self).__name__}({', '.join(f'{n}={v!r}' for n, v in shown.items())})"
