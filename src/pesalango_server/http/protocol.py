"""Uvicorn's HTTP protocol with what it lacks: a deadline, a bound on heads, and JSON refusals.

Uvicorn parses with httptools and runs the application; what is added here stands between the
socket and it:

* a request has one deadline, from its first byte to its last: 408;
* request line and headers together have a bound: 431;
* what is no HTTP is refused in JSON: 400, and one connection too many: 503;
* an `Upgrade` header is ignored, and the body behind it is read. (Java's HttpClient asks for
  HTTP/2 on plain connections; httptools takes what follows for another protocol, so the request
  is parsed once more without the header.)
* an application can end a connection without an answer, and ask whether it has ended:
  `close_unanswered`, `is_gone`.

Refusals wait for the answers of earlier requests on the connection, and the connection ends after
them, in a way that lets the caller see them.
"""

import asyncio
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, ClassVar, Final

import httptools
import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from pesalango_server.http.answers import Header, Scope
from pesalango_server.kernel.invariant import ensure
from pesalango_server.settings import Settings

CLOSE_EXTENSION: Final = "pesalango.close"
ANSWER_EXTENSION: Final = "pesalango.answer"
BODY_EXTENSION: Final = "pesalango.body"
GONE_EXTENSION: Final = "pesalango.gone"
FAREWELL_S: Final = 0.5
REFUSED_CONNECTIONS_MAX: Final = 32
"""So many connections above the bound are told so; those above that are just closed."""

_NOT_REPEATED: Final = frozenset({b"upgrade", b"http2-settings", b"connection"})


class ProtocolBounds(msgspec.Struct, frozen=True, kw_only=True):
    """`linger_ms` is how long a refused caller may go on sending before the connection ends."""

    request_deadline_ms: int = 10_000
    head_bytes_max: int = 16_384
    linger_ms: int = 2_000
    connections_max: int = 2_048


class _HeadTooLarge(Exception):
    """Request line and headers are larger than the bound."""


class _Tunnel(Exception):
    """CONNECT: a gateway is no proxy."""


def close_unanswered(scope: Scope) -> None:
    """End the connection of a request whose outcome is unknown, without an answer."""
    scope["extensions"][CLOSE_EXTENSION]()


def is_gone(scope: Scope) -> bool:
    """Whether the connection of a request has ended, so that an answer would reach nobody."""
    tell = scope.get("extensions", {}).get(GONE_EXTENSION)
    return tell is not None and tell()


def answer_at_once(scope: Scope, status: int, headers: Sequence[Header], body: bytes) -> bool:
    """Send a whole answer in one write; False where the server asks for ASGI's two messages.

    `headers` tell the length of `body`. Two writes are two system calls and two packets, which is
    a sixth of what a worker spends on a payment.
    """
    answer_whole = scope["extensions"].get(ANSWER_EXTENSION)
    return answer_whole is not None and answer_whole(status, headers, body)


def take_whole_body(scope: Scope) -> bytes | None:
    """The body of a request, all of which has arrived; None where ASGI's messages must do.

    A body is asked for once. Most are there with their head, and need no event to be waited for.
    """
    take = scope["extensions"].get(BODY_EXTENSION)
    return None if take is None else take()


_answer_starts: Final[dict[int, tuple[list[Header], bytes]]] = {}


def _start_answer(status: int, default_headers: list[Header]) -> bytes:
    """The status line and the headers of every answer; uvicorn replaces their list each second."""
    made = _answer_starts.get(status)
    if made is None or made[0] is not default_headers:
        lines = [b"%s: %s\r\n" % header for header in default_headers]
        made = default_headers, b"".join([STATUS_LINE[status], *lines])
        _answer_starts[status] = made
    return made[1]


class BoundedProtocol(HttpToolsProtocol):
    """See the module. One object a connection, on the event loop's thread."""

    bounds: ClassVar[ProtocolBounds] = ProtocolBounds()
    render_error: ClassVar[Callable[[str], bytes]]
    refused_as: tuple[HTTPStatus, str] | None = None
    """What this connection's caller is told instead of being served."""
    handshake: object = None
    """What counted among the connections until this one was made."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """asyncio: a caller has connected."""
        super().connection_made(transport)
        self._extensions: dict[str, Any] = {
            CLOSE_EXTENSION: self._close_unanswered,
            ANSWER_EXTENSION: self._answer_whole,
            BODY_EXTENSION: self._take_whole_body,
            GONE_EXTENSION: transport.is_closing,
        }
        self._running: RequestResponseCycle | None = None
        # The request that is being read, once its application was started or queued.
        self._arriving: RequestResponseCycle | None = None
        # Between the first byte of a request and its last; `_in_head` up to the end of headers.
        self._is_reading = self._in_head = False
        self._begun_in_chunk = 0
        self._starts_clean = True
        self._heads_are_short = False
        self._head_bytes = 0
        self._plain_head: bytes | None = None
        self._refusal: bytes | None = None
        self._deadline: asyncio.TimerHandle | None = None
        # The connection takes the place that its handshake held.
        self.connections.discard(self.handshake)
        excess = len(self.connections) - self.bounds.connections_max
        if excess > REFUSED_CONNECTIONS_MAX:
            # Each one that is told so stays open for a while.
            transport.abort()
        elif excess > 0:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections")
        elif self.refused_as is not None:
            self._refuse(*self.refused_as)
        else:
            self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection has ended."""
        self._cancel_deadline()
        running = self._running
        super().connection_lost(exc)
        # Uvicorn tells the request that came last; an earlier one may be the one that runs.
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        self._running = None

    def shutdown(self) -> None:
        """Uvicorn: the server ends."""
        super().shutdown()
        if self.scheme == "https" and self.transport.is_closing():
            # TLS waits for the caller's farewell, which one that sits idle in a pool never says.
            self.loop.call_later(FAREWELL_S, self.transport.abort)

    # --- reading ---------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes from the caller."""
        if self._refusal is not None:
            return
        self._unset_keepalive_if_required()
        self._starts_clean = not self._is_reading
        # A head that came as a whole is no larger than the chunk that it came in.
        self._heads_are_short = self._starts_clean and len(data) <= self.bounds.head_bytes_max
        self._begun_in_chunk = 0
        try:
            self._feed(data)
            self._count_unfinished_head(len(data))
        except _HeadTooLarge:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "Request headers too large")
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, _HeadTooLarge):
                self._refuse(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "Request headers too large"
                )
            else:
                self._refuse(HTTPStatus.BAD_REQUEST, "Malformed HTTP request")
        else:
            # Also for a caller that sends blank lines for ever instead of a request.
            if self._deadline is None and (self._is_reading or self._is_idle()):
                self._set_deadline()

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                head = self._plain_head
                ensure(head is not None, "a request that asks for an upgrade was not started")
                data = (head or b"") + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def on_message_begin(self) -> None:
        """httptools: the first byte of a request."""
        super().on_message_begin()
        self._is_reading = self._in_head = True
        self._arriving = None
        self._plain_head = None
        # The one for an idle connection; the request gets its own when this chunk has been read.
        self._cancel_deadline()
        self._begun_in_chunk += 1
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """httptools: request line and headers are whole; the application starts."""
        self._in_head = False
        if not self._heads_are_short and self._count_head() > self.bounds.head_bytes_max:
            raise _HeadTooLarge
        if self.parser.should_upgrade():
            self._plain_head = self._write_plain_head()
            return
        super().on_headers_complete()
        # The task of the application was made, but has not run yet.
        self.scope["extensions"] = self._extensions
        self._arriving = self.cycle

    def on_message_complete(self) -> None:
        """httptools: the last byte of a request."""
        if self._plain_head is not None:
            return
        self._is_reading = False
        self._arriving = None
        self._cancel_deadline()
        super().on_message_complete()

    def _count_head(self) -> int:
        """Bytes of request line and headers, as far as they are parsed."""
        return (
            16 + len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers])
        )

    def _count_unfinished_head(self, chunk_bytes: int) -> None:
        """Bound a head that comes in pieces: one header may be all of it, and is not parsed yet."""
        if not self._in_head:
            return
        if self._begun_in_chunk > 1 or (self._begun_in_chunk == 1 and not self._starts_clean):
            # Other requests share the chunk, so that only what is parsed is surely this one's.
            self._head_bytes = self._count_head()
        else:
            self._head_bytes += chunk_bytes
        if self._head_bytes > self.bounds.head_bytes_max:
            raise _HeadTooLarge

    def _write_plain_head(self) -> bytes:
        """The head without what asks for an upgrade; every part of it was parsed once already."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise _Tunnel
        lines = [b"%s %s HTTP/%s" % (method, self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                kept = [token for token in tokens if token.lower() in {b"close", b"keep-alive"}]
                if kept:
                    lines.append(b"connection: " + b", ".join(kept))
            if name not in _NOT_REPEATED:
                lines.append(b"%s: %s" % (name, value))
        return b"\r\n".join([*lines, b"", b""])

    # --- deadline --------------------------------------------------------------------------------

    def _set_deadline(self) -> None:
        self._deadline = self.loop.call_later(
            self.bounds.request_deadline_ms / 1000, self._deadline_passed
        )

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _is_idle(self) -> bool:
        return self._running is None or self._running.response_complete

    def _deadline_passed(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if not self._is_reading:
            if self._is_idle():
                self.transport.close()
        elif self.flow.read_paused:
            # It is we who do not read.
            self._set_deadline()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "Request took too long to arrive")

    # --- refusing --------------------------------------------------------------------------------

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        """Answer what cannot become a request, after all that came before it; then end."""
        self._cancel_deadline()
        self._unset_keepalive_if_required()
        body = type(self).render_error(text)
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        head = b"".join([b"%s: %s\r\n" % header for header in headers])
        line = b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode())
        self._refusal = line + head + b"\r\n" + body
        own, self._arriving = self._arriving, None
        self._is_reading = self._in_head = False
        if own is not None and own is self._running:
            own.disconnected = True
            own.message_event.set()
            if own.response_started:
                # It is answered already; only what it goes on sending is refused.
                self._linger()
                return
        elif own is not None:
            self.pipeline.popleft()
        if own is self._running or self._is_idle():
            self._send_refusal()

    def _send_refusal(self) -> None:
        if self._refusal is not None and not self.transport.is_closing():
            self.transport.write(self._refusal)
            self._linger()

    def _linger(self) -> None:
        """End the connection, but not before the caller had a chance to see what was answered."""
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._deadline = self.loop.call_later(self.bounds.linger_ms / 1000, self.transport.close)

    def _close_unanswered(self) -> None:
        running = self._running
        if running is not None:
            running.disconnected = True
        self.transport.close()

    # --- running ---------------------------------------------------------------------------------

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _take_whole_body(self) -> bytes | None:
        """Give out the body of the request that runs; None where uvicorn's own way must do."""
        cycle = self._running
        if cycle is None or cycle.more_body or cycle.waiting_for_100_continue:
            return None
        if cycle.disconnected or cycle.response_complete:
            return None
        self.flow.resume_reading()
        cycle.message_event.clear()
        body, cycle.body = bytes(cycle.body), bytearray()
        return body

    def _answer_whole(self, status: int, headers: Sequence[Header], body: bytes) -> bool:
        """Answer the request that runs, in one write; False where uvicorn's own way must do.

        It does what the two messages would do, in uvicorn's order. A caller who reads slowly is
        waited for, and HEAD has no body: both are left to uvicorn.
        """
        cycle = self._running
        if cycle is None or cycle.response_started or self.flow.write_paused:
            return False
        if cycle.scope["method"] == "HEAD":
            return False
        if cycle.disconnected:
            return True
        parts = [_start_answer(status, cycle.default_headers)]
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
            if name == b"connection" and value == b"close":
                cycle.keep_alive = False
        if not cycle.keep_alive and (b"connection", b"close") not in headers:
            parts.append(b"connection: close\r\n")
        parts += (b"\r\n", body)
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        self.transport.write(b"".join(parts))
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        return True

    def on_response_complete(self) -> None:
        """Uvicorn: an answer is whole; the next request may run."""
        is_last = not self.pipeline
        super().on_response_complete()
        if self._is_reading:
            # The deadline of the request that is arriving counts, not the pause between two.
            self._unset_keepalive_if_required()
        if is_last and self._refusal is not None and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._send_refusal()


def make_protocol(
    *, bounds: ProtocolBounds, render_error: Callable[[str], bytes]
) -> type[BoundedProtocol]:
    """The class for `uvicorn.Config(http=…)`; `render_error` makes the JSON of a refusal."""
    return type(
        "ConfiguredProtocol",
        (BoundedProtocol,),
        {"bounds": bounds, "render_error": staticmethod(render_error)},
    )


def make_bounds(settings: Settings) -> ProtocolBounds:
    """The bounds that the settings name."""
    return ProtocolBounds(
        request_deadline_ms=settings.request_deadline_ms,
        head_bytes_max=settings.header_bytes_max,
        linger_ms=settings.linger_ms,
        connections_max=settings.connections_max,
    )


def make_server_config(
    app: Any, *, settings: Settings, render_error: Callable[[str], bytes]
) -> uvicorn.Config:
    """How uvicorn serves `app`: no access log, no logging of its own, no banner, no lifespan.

    Forwarded headers are left alone: whom to believe is decided where addresses are judged.
    """
    return uvicorn.Config(
        app,
        http=make_protocol(bounds=make_bounds(settings), render_error=render_error),
        ws="none",
        lifespan="off",
        interface="asgi3",
        loop="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive_s,
    )
