"""The admin API over HTTP: routing, authentication, bounds, and errors in JSON."""

from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import msgspec
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from pesalango_server.admin import contract
from pesalango_server.admin.calls import Call
from pesalango_server.admin.errors import HTTP_STATUS, AdminError, ErrorCode
from pesalango_server.admin.ledgers import SeedSource
from pesalango_server.admin.routes import ENDPOINTS, LIST_PATHS, Endpoint, Handler
from pesalango_server.admin.service import AdminService, make_service
from pesalango_server.http.answers import Header, Receive, Scope, Send, send_json
from pesalango_server.http.bodies import (
    BodyTooLarge,
    CallerGone,
    check_length,
    read_body,
    refuse_body,
)
from pesalango_server.http.context import WorkerContext
from pesalango_server.http.protocol import close_unanswered
from pesalango_server.kernel.clock import Clock
from pesalango_server.link.client import OutcomeUnknown
from pesalango_server.storage.database import StorageUnavailable
from pesalango_server.telemetry import get_logger

LIST_BYTES_MAX: Final = 8 * 1024 * 1024
BODY_BYTES_MAX: Final = 256 * 1024
DROPPED_BYTES_MAX: Final = 32 * 1024 * 1024

# What a call answers may hold a secret, or be untrue a moment later.
_NO_STORE: Final[Header] = (b"cache-control", b"no-store")
_RETRY_AFTER: Final[Header] = (b"retry-after", b"1")
_BEARER: Final[Header] = (b"www-authenticate", b"Bearer")

_encode = msgspec.json.Encoder().encode

log = get_logger("admin")


def make_admin(context: WorkerContext, seed: SeedSource, *, schema: Mapping[str, str]) -> ASGIApp:
    """The ASGI application for whatever `is_admin_path`.

    `schema` names the latest migration of each database, as health tells it.
    """
    service = make_service(context, seed, schema=schema)
    router = Router(
        [
            Route(
                f"{contract.PREFIX}{path}",
                Resource(
                    service,
                    context.clock,
                    path=path,
                    endpoints=endpoints,
                    body_bytes_max=LIST_BYTES_MAX if path in LIST_PATHS else BODY_BYTES_MAX,
                ),
            )
            for path, endpoints in ENDPOINTS.items()
        ],
        redirect_slashes=False,
        default=_answer_unknown_path,
    )

    async def admin(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        await router({**scope, "path": scope["path"].removesuffix("/")}, receive, send)

    return admin


def is_admin_path(path: str) -> bool:
    """Whether the admin API answers there, be it that there is nothing."""
    return f"{path}/".startswith(contract.ROOT)


class Arrival:
    """A request's `receive` that knows when there is nothing more to come."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_over = False

    async def __call__(self) -> Any:
        """The next message."""
        message = await self._receive()
        if message["type"] != "http.request" or not message["more_body"]:
            self.is_over = True
        return message

    async def drop(self, bytes_max: int) -> bool:
        """Throw away what still comes, so much of it; whether that was all."""
        dropped = 0
        while not self.is_over and dropped <= bytes_max:
            dropped += len((await self()).get("body", b""))
        return self.is_over


async def _answer_unknown_path(
    scope: MutableMapping[str, Any], receive: Receive, send: Send
) -> None:
    if scope["type"] != "http":
        return
    subjects = dict.fromkeys(path.split("/")[1] for path in ENDPOINTS)
    message = (
        f"the admin API has no such path; below {contract.PREFIX}/ there are {', '.join(subjects)}"
    )
    await _answer_error(AdminError(ErrorCode.NOT_FOUND, message), Arrival(receive), send)


async def _answer_error(
    error: AdminError, arrival: Arrival, send: Send, further_headers: tuple[Header, ...] = ()
) -> int:
    """Send an error; its HTTP status."""
    status = HTTP_STATUS[error.code]
    body = _encode(
        contract.ErrorAnswer(
            error=contract.Error(code=error.code, message=error.message, field=error.field)
        )
    )
    headers = further_headers
    if error.code == ErrorCode.UNAUTHORISED:
        headers = (*headers, _BEARER)
    if error.code == ErrorCode.UNAVAILABLE:
        headers = (*headers, _RETRY_AFTER)
    # A body that is not too large is let in, so that the connection can go on.
    if await arrival.drop(BODY_BYTES_MAX):
        await send_json(send, status, body, (_NO_STORE, *headers))
    else:
        await refuse_body(arrival, send, status, body, dropped_bytes_max=DROPPED_BYTES_MAX)
    return status


def _find_header(scope: MutableMapping[str, Any], wanted: bytes) -> bytes | None:
    for name, value in scope["headers"]:
        if name == wanted:
            return bytes(value)
    return None


class Resource:
    """One path: checks who calls and how, and hands the call to the method's handler."""

    def __init__(
        self,
        service: AdminService,
        clock: Clock,
        *,
        path: str,
        endpoints: Mapping[str, Endpoint],
        body_bytes_max: int,
    ) -> None:
        self._service = service
        self._clock = clock
        self._path = path
        self._handlers = {method: each.handler for method, each in endpoints.items()}
        self._body_bytes_max = body_bytes_max
        self._allow = (b"allow", ", ".join(endpoints).encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_ms = self._clock.monotonic_ms()
        actor, status = "", 0
        arrival = Arrival(receive)
        try:
            handler = self._find_handler(scope["method"])
            actor = await self._find_actor(scope)
            body = await self._read_body(scope, arrival)
            query_string = scope["query_string"].decode("latin-1")
            call = Call(actor, scope["path_params"], query_string, body)
            status, answer = await handler(self._service, call)
            await send_json(send, status, _encode(answer), (_NO_STORE,))
        except CallerGone:
            return
        except OutcomeUnknown:
            # What became of the command is unknown: a broken connection says just that.
            close_unanswered(scope)
        except Exception as error:  # noqa: BLE001 - the one place where a fault becomes an answer
            headers = (self._allow,) if scope["method"] not in self._handlers else ()
            status = await _answer_error(self._explain(error), arrival, send, headers)
        log.info(
            "admin_call",
            method=scope["method"],
            path=self._path,
            status=status,
            actor=actor,
            duration_ms=self._clock.monotonic_ms() - started_ms,
        )

    def _explain(self, error: Exception) -> AdminError:
        if isinstance(error, AdminError):
            return error
        if isinstance(error, BodyTooLarge):
            return AdminError(
                ErrorCode.TOO_LARGE,
                f"a body has at most {self._body_bytes_max} bytes here; send less at a time",
            )
        if isinstance(error, StorageUnavailable):
            return AdminError(
                ErrorCode.UNAVAILABLE,
                "the database cannot be read at the moment; a change may have been made, so look "
                "before you repeat one that is not safe to repeat",
            )
        log.error("admin_call_failed", path=self._path, reason=repr(error), exc_info=error)
        return AdminError(ErrorCode.INTERNAL, "the server failed at this call; see its log")

    def _find_handler(self, method: str) -> Handler:
        handler = self._handlers.get("GET" if method == "HEAD" else method)
        if handler is None:
            allowed = ", ".join(self._handlers)
            raise AdminError(
                ErrorCode.METHOD_NOT_ALLOWED, f"this path takes {allowed}, not {method}"
            )
        return handler

    async def _find_actor(self, scope: Scope) -> str:
        given = (_find_header(scope, b"authorization") or b"").decode("latin-1")
        scheme, _, token = given.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise AdminError(
                ErrorCode.UNAUTHORISED,
                "an administrator's token is missing: send the header Authorization: Bearer and "
                "the token",
            )
        return await self._service.tokens.find_actor(token.strip())

    async def _read_body(self, scope: Scope, arrival: Arrival) -> bytes:
        check_length(_find_header(scope, b"content-length"), body_bytes_max=self._body_bytes_max)
        return await read_body(arrival, body_bytes_max=self._body_bytes_max)
