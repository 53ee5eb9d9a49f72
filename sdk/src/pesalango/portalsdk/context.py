"""What is to be called, by whom and with which parameters: the `APIContext` of a request."""

import copy
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Self

from .record import (
    HIDDEN,
    Field,
    Record,
    accept,
    copy_mapping,
    copy_texts,
    describe,
    hide,
)

# Equal to an empty dictionary, and nobody can put anything into it.
_NONE: Mapping[str, Any] = MappingProxyType({})
_HIDDEN_HEADERS = ("authorization", "cookie", "key", "token")
_HIDDEN_PARAMETERS = ("msisdn", "token", "voucher", "session", "key", "pin")


class APIMethodType(Enum):
    """The HTTP methods, with the published SDK's numbers. No operation is called with DELETE."""

    GET = 0
    POST = 1
    PUT = 3
    DELETE = 4


class APIContext(Record):
    """Every setting is an attribute, an argument and an entry of one name.

    `api_key` is the secret of the call: the API key for getSession, the session key for everything
    else. `public_key` is one line of base64, the DER form of the platform's public key. `address`
    is a host name or an IP address, without scheme and port. Writing a value of another type
    raises `TypeError`. `headers` and `parameters` are copied: no other context shares them.
    """

    api_key = Field(accept(str, "a str"))
    public_key = Field(accept(str, "a str"))
    ssl = Field(accept(bool, "a bool"))
    method_type = Field(accept(APIMethodType, "an APIMethodType"))
    address = Field(accept(str, "a str"))
    port = Field(accept(int, "an int"))
    path = Field(accept(str, "a str"))
    headers = Field(copy_texts)
    parameters = Field(copy_mapping)

    def __init__(
        self,
        api_key: str = "",
        public_key: str = "",
        ssl: bool = False,  # noqa: FBT002 - the published order of arguments
        method_type: APIMethodType = APIMethodType.GET,
        address: str = "",
        port: int = 80,
        path: str = "",
        headers: Mapping[str, str] = _NONE,
        parameters: Mapping[str, Any] = _NONE,
    ) -> None:
        super().__init__()
        self._defaults: Mapping[str, str] = {}
        self.update(
            api_key=api_key,
            public_key=public_key,
            ssl=ssl,
            method_type=method_type,
            address=address,
            port=port,
            path=path,
            headers=headers,
            parameters=parameters,
        )

    def get_url(self) -> str:
        """`http(s)://address:port/path`, without the parameters of a GET."""
        scheme = "https" if self.ssl else "http"
        slash = "" if self.path.startswith("/") else "/"
        return f"{scheme}://{self.bracket_address()}:{self.port}{slash}{self.path}"

    def bracket_address(self) -> str:
        """The address as URL and Host have it: one of IPv6 stands in brackets."""
        is_bare_ipv6 = ":" in self.address and not self.address.startswith("[")
        return f"[{self.address}]" if is_bare_ipv6 else self.address

    def add_header(self, name: str, value: str) -> None:
        """Set a header of the request; one that was set before is replaced."""
        _check_text("the name of a header", name)
        _check_text(f"the header {name}", value)
        self.headers[name] = value

    def get_headers(self) -> dict[str, str]:
        """The headers themselves, not a copy."""
        return self.headers

    def add_parameter(self, name: str, value: Any) -> None:
        """Set a parameter of the operation; one that was set before is replaced."""
        _check_text("the name of a parameter", name)
        self.parameters[name] = value

    def get_parameters(self) -> dict[str, Any]:
        """The parameters themselves, not a copy."""
        return self.parameters

    def set_default_headers(self, defaults: Mapping[str, str]) -> dict[str, str]:
        """Set those that the program has not set itself; all headers.

        What an earlier call has set is no wish of the program's: a context that gets another key
        gets another bearer.
        """
        present = {name.lower(): name for name in self.headers}
        set_here: dict[str, str] = {}
        for name, value in defaults.items():
            standing = present.get(name.lower(), name)
            if self.headers.get(standing) in (None, self._defaults.get(name)):
                self.headers[standing] = set_here[name] = value
        self._defaults = set_here
        return self.headers

    def copy(self) -> Self:
        """A context with dictionaries of its own, as `copy.copy` makes it."""
        return copy.copy(self)

    def __repr__(self) -> str:
        shown = {
            **self,
            "api_key": HIDDEN if self.api_key else "",
            # No secret, and too long to read.
            "public_key": f"{self.public_key[:8]}…" if self.public_key else "",
            "headers": hide(self.headers, words=_HIDDEN_HEADERS),
            "parameters": hide(self.parameters, words=_HIDDEN_PARAMETERS),
        }
        return f"{type(self).__name__}({', '.join(f'{n}={v!r}' for n, v in shown.items())})"


def _check_text(what: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {describe(value)}")
