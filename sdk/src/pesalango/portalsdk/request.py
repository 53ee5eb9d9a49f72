"""One call of an operation: the `APIRequest` of a context."""

import json
import os
import ssl
import time
from typing import Any, Final
from urllib.parse import urlencode
from urllib.request import getproxies, proxy_bypass

import httpx2

from .bearer import encrypt_bearer
from .context import APIContext, APIMethodType
from .errors import NoAnswer, NotSent, TimedOut, UnreadableAnswer
from .record import copy_texts, describe
from .response import APIResponse

TIMEOUT_S: Final = 90.0
"""Longer than the gateway's own wait for the customer."""
CONNECT_TIMEOUT_S: Final = 10.0
"""At most; a shorter `timeout_s` holds for connecting as well."""
ANSWER_BYTES_MAX: Final = 1 << 20
PORT_MAX: Final = 65_535

_NOT_SENT = "the money has not moved"
_UNKNOWN = "whether the money has moved is unknown: ask for the status"


class APIRequest:
    """The call that a context describes; it may be executed again and again.

    `timeout_s` (default 90) is how long connecting (at most 10) and each silence of the server may
    last; an answer that trickles in is given up after it, too. `certificate_file` is a PEM file of
    authorities that are trusted beside the system's where `ssl` is true. Both are attributes and
    can be changed between two calls.

    Each call has a connection of its own. A request is sent once: never again by itself, and never
    to where a redirect points. Proxies are those of the system (`https_proxy`, `no_proxy`).
    """

    def __init__(
        self,
        context: APIContext | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        certificate_file: str | os.PathLike[str] | None = None,
    ) -> None:
        """A context has to be there at the latest when the request is executed."""
        self.context = context
        self.timeout_s = timeout_s
        self.certificate_file = certificate_file

    @property
    def context(self) -> APIContext | None:
        return self._context

    @context.setter
    def context(self, context: APIContext | None) -> None:
        if context is not None and not isinstance(context, APIContext):
            raise TypeError(f"context must be an APIContext, not {describe(context)}")
        self._context = context

    @property
    def timeout_s(self) -> float:
        """In seconds, above zero."""
        return self._timeout_s

    @timeout_s.setter
    def timeout_s(self, timeout_s: float) -> None:
        given: object = timeout_s
        if not isinstance(given, int | float) or isinstance(given, bool):
            raise TypeError(f"timeout_s must be a number of seconds, not {describe(given)}")
        if not 0 < given < float("inf"):
            raise ValueError("timeout_s must be a number of seconds above zero")
        self._timeout_s = float(given)

    @property
    def certificate_file(self) -> str | os.PathLike[str] | None:
        """A PEM file, or None for the system's authorities alone."""
        return self._certificate_file

    @certificate_file.setter
    def certificate_file(self, path: str | os.PathLike[str] | None) -> None:
        if path is not None and not isinstance(path, str | os.PathLike):
            raise TypeError(f"certificate_file must be a path or None, not {describe(path)}")
        self._certificate_file = path

    def create_bearer_token(self) -> bytes:
        """The encrypted `api_key` in base64; another one at each call.

        Raises `ValueError` where `api_key` or `public_key` cannot be used.
        """
        context = self._need_context()
        return encrypt_bearer(context.api_key, context.public_key)

    def create_default_headers(self) -> dict[str, str]:
        """Set Authorization, Content-Type and Host in the context; all of its headers.

        A header that the program has set itself stays as it is.
        """
        return self._set_default_headers(self._need_context())

    def execute(self) -> APIResponse:
        """Send the request once, and wait for the answer: whatever the gateway says, a refusal too.

        The parameters go into the query string of a GET, and into the JSON body of a POST or PUT.
        Before anything is sent, `TypeError` and `ValueError` say what is wrong with the context.
        Raises `NotSent` (the money has not moved) and `NoAnswer`, `TimedOut`, `UnreadableAnswer`
        (unknown); a program that catches `ConnectionError` and `TimeoutError` catches the first
        three of them.
        """
        request = self._make_request(self._need_context())
        with self._open_transport(request.url) as transport:
            status, headers, content = self._exchange(transport, request)
        try:
            body = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise _find_unreadable(status) from error
        if not isinstance(body, dict):
            raise _find_unreadable(status)
        return APIResponse(status, headers, body)

    def _need_context(self) -> APIContext:
        if self._context is None:
            raise TypeError("context must be an APIContext, and there is none")
        return self._context

    def _set_default_headers(self, context: APIContext) -> dict[str, str]:
        bearer = encrypt_bearer(context.api_key, context.public_key).decode("ascii")
        return context.set_default_headers(
            {
                "Authorization": f"Bearer {bearer}",
                "Content-Type": "application/json",
                "Host": context.bracket_address(),
            }
        )

    def _make_request(self, context: APIContext) -> httpx2.Request:
        if context.method_type is APIMethodType.DELETE:
            raise ValueError("no operation of this API is called with DELETE: use GET, POST or PUT")
        if not context.address or set(context.address) & set("/@?#\\ "):
            raise ValueError("address must be a host name or IP address, and nothing around it")
        if not 0 < context.port <= PORT_MAX:
            # The system would take it modulo 65 536, and connect to somebody else.
            raise ValueError(f"port is {context.port}, and goes from 1 to {PORT_MAX}")
        url, body = context.get_url(), b""
        if context.method_type is APIMethodType.GET:
            query = _encode_query(context.parameters)
            if query:
                url += f"{'&' if '?' in context.path else '?'}{query}"
        else:
            body = json.dumps(context.parameters, allow_nan=False).encode("ascii")
        try:
            target = httpx2.URL(url)
        except httpx2.InvalidURL as error:
            raise ValueError(f"address, port and path make no URL: {error}") from error
        return httpx2.Request(
            context.method_type.name,
            target,
            # Of a copy: the program's own context does not fill up with secrets.
            headers=_prepare_headers(self._set_default_headers(context.copy())),
            content=body or None,
            extensions={"timeout": self._list_timeouts()},
        )

    def _list_timeouts(self) -> dict[str, float]:
        waits = dict.fromkeys(("read", "write", "pool"), self._timeout_s)
        return {"connect": min(CONNECT_TIMEOUT_S, self._timeout_s), **waits}

    def _open_transport(self, url: httpx2.URL) -> httpx2.HTTPTransport:
        # The transport, since a client would write each URL, parameters included, to the log.
        if url.scheme == "https":
            tls_context = httpx2.create_ssl_context()
            if self._certificate_file is not None:
                tls_context.load_verify_locations(self._certificate_file)
        else:
            # Reading the system's authorities takes longer than the call; this one trusts nobody.
            tls_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return httpx2.HTTPTransport(verify=tls_context, proxy=_find_proxy(url), retries=0)

    def _exchange(
        self, transport: httpx2.HTTPTransport, request: httpx2.Request
    ) -> tuple[int, dict[str, str], bytes]:
        until = time.monotonic() + self._timeout_s
        try:
            response = transport.handle_request(request)
            try:
                content = self._read(response, until=until)
            finally:
                response.close()
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
            raise NotSent(f"no connection ({error}); {_NOT_SENT}") from error
        except httpx2.TimeoutException as error:
            raise self._find_timed_out() from error
        except httpx2.TransportError as error:
            raise NoAnswer(f"the connection broke ({error}); {_UNKNOWN}") from error
        return response.status_code, _join_headers(response.headers), content

    def _read(self, response: httpx2.Response, *, until: float) -> bytes:
        content = bytearray()
        try:
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > ANSWER_BYTES_MAX:
                    raise _find_unreadable(response.status_code)
                if time.monotonic() > until:
                    raise self._find_timed_out()
        except httpx2.DecodingError as error:
            raise _find_unreadable(response.status_code) from error
        return bytes(content)

    def _find_timed_out(self) -> TimedOut:
        return TimedOut(f"no answer within {self._timeout_s:g} s; {_UNKNOWN}")


def _find_unreadable(status: int) -> UnreadableAnswer:
    return UnreadableAnswer(
        f"HTTP {status} without a JSON object, so not from the gateway; {_UNKNOWN}",
        status_code=status,
    )


def _encode_query(parameters: dict[str, Any]) -> str:
    """None is left out, and a list is one parameter several times."""
    present = {name: value for name, value in parameters.items() if value is not None}
    return urlencode(present, doseq=True)


def _prepare_headers(headers: dict[str, str]) -> dict[str, str]:
    """One of each name, with those that every request has. Raises `TypeError`, `ValueError`."""
    # Programs write into the context's dictionary as well, where nothing has been checked.
    prepared = {"accept": "application/json", "connection": "close"}
    for name, value in copy_texts("headers", headers).items():
        if not name.isascii() or not value.isascii() or not (name + value).isprintable():
            raise ValueError(f"the header {name!r} has characters that no header can have")
        prepared[name.lower()] = value
    return prepared


def _join_headers(headers: httpx2.Headers) -> dict[str, str]:
    """As the server spelled them; those that came several times are one."""
    joined: dict[str, str] = {}
    for name_sent, value_sent in headers.raw:
        name, value = name_sent.decode("latin-1"), value_sent.decode("latin-1")
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


def _find_proxy(url: httpx2.URL) -> str | None:
    """The system's proxy for an address, as the published SDK went by it."""
    if proxy_bypass(url.host):
        return None
    proxies = getproxies()
    return proxies.get(url.scheme) or proxies.get("all")
