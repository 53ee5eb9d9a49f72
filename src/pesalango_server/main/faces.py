"""Listening sockets of a worker: one uvicorn server each, and the application behind it."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import uvicorn
from starlette.routing import Router
from uvicorn.server import ServerState

from pesalango_server.admin.server import is_admin_path, make_admin
from pesalango_server.gateway.answers import NOT_FOUND, render_error
from pesalango_server.gateway.app import Gateway, make_gateway
from pesalango_server.gateway.exposure import TrustedPeers
from pesalango_server.gateway.health import make_health_routes
from pesalango_server.http.answers import Receive, Scope, Send, send_json
from pesalango_server.http.context import WorkerContext
from pesalango_server.http.handshakes import Handshakes
from pesalango_server.http.protocol import (
    BoundedProtocol,
    ProtocolBounds,
    make_bounds,
    make_server_config,
)
from pesalango_server.http.tls import TlsContext
from pesalango_server.main.descriptors import bound_connections, count_free
from pesalango_server.main.plan import WorkerPlan
from pesalango_server.sandbox.seed import Seed
from pesalango_server.storage.migrations import list_migrations
from pesalango_server.telemetry import Metrics, NowAndThen, get_logger

LOOK_EVERY_S = 1.0
FREE_DESCRIPTORS_MIN = 8
"""So many descriptors must be free before a worker that had none left accepts again."""

_SANDBOX_PATH = "/sandbox/"
_OPENAPI_PATH = "/openapi/"

log = get_logger("worker")

Application = Callable[[Scope, Receive, Send], Awaitable[None]]
"""ASGI's."""


class Face:
    """A uvicorn server on an inherited listening socket, started and stopped by its worker.

    While it is paused, callers who connect wait in the system's queue; those who are connected
    are served.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        sock: socket.socket,
        *,
        state: ServerState,
        tls: TlsContext | None,
        bounds: ProtocolBounds,
        now_and_then: NowAndThen,
    ) -> None:
        self._server = uvicorn.Server(config)
        self._server.server_state = state
        self._socket = sock
        self._is_accepting = False
        self._handshakes = (
            Handshakes(
                sock,
                tls,
                make_protocol=self._make_protocol,
                connections=state.connections,
                connections_max=bounds.connections_max,
                deadline_ms=bounds.request_deadline_ms,
                now_and_then=now_and_then,
            )
            if tls is not None
            else None
        )

    def _make_protocol(self) -> BoundedProtocol:
        """What uvicorn makes for a connection that it accepts itself."""
        config = self._server.config
        protocol: BoundedProtocol = config.http_protocol_class(  # type: ignore[assignment, call-arg]
            config=config,
            server_state=self._server.server_state,
            app_state=self._server.lifespan.state,
            _loop=asyncio.get_running_loop(),
        )
        return protocol

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._server.server_state.connections)

    async def start(self) -> None:
        """Begin to accept."""
        config = self._server.config
        if not config.loaded:
            config.load()
        self._server.lifespan = config.lifespan_class(config)
        if self._handshakes is not None:
            await self._server.startup(sockets=[])
        await self.resume()
        self._ticking = asyncio.create_task(self._server.main_loop())

    def pause(self) -> None:
        """Accept nobody until `resume`."""
        self._is_accepting = False
        if self._handshakes is not None:
            self._handshakes.pause()
        for server in self._server.servers:
            server.close()

    async def resume(self) -> None:
        """Accept. Raises `OSError` where no descriptor is left for it."""
        if self._is_accepting:
            return
        if self._handshakes is not None:
            self._handshakes.start()
        else:
            # Whoever stops to accept closes its socket: that must not be the only one.
            await self._server.startup(sockets=[self._socket.dup()])
        self._is_accepting = True

    async def stop(self) -> None:
        """Accept nothing more, and wait for the calls that run."""
        if self._handshakes is not None:
            await self._handshakes.stop()
        self._server.should_exit = True
        await self._ticking
        await self._server.shutdown(sockets=[self._socket])


class Faces:
    """Everything that a worker serves."""

    def __init__(self, plan: WorkerPlan, context: WorkerContext, metrics: Metrics) -> None:
        seed = Seed(seeds_openapi=plan.is_demonstration)
        schema = {
            name: list_migrations(name, address.dialect)[-1].name
            for name, address in plan.addresses.items()
        }
        admin = make_admin(context, seed, schema=schema)
        health = make_health_routes(context, metrics)
        trusted_peers = TrustedPeers(plan.settings.trusted_proxies)
        self.tls = None if plan.tls is None else TlsContext(plan.tls.material)
        # One bound for all of the gateway's connections; a flood there leaves the admin API its own.
        states = {face.serves_gateway: ServerState() for face in plan.faces}
        connections_max = bound_connections(plan.settings, bounds=len(states))
        settings = msgspec.structs.replace(plan.settings, connections_max=connections_max)
        bounds = make_bounds(settings)
        self._gateway: Gateway = make_gateway(
            context, settings=settings, seeder=seed, metrics=metrics
        )
        self._now_and_then = NowAndThen(context.clock)
        self._looking: asyncio.Task[None] | None = None
        self._faces = [
            Face(
                make_server_config(
                    _combine(
                        self._gateway if face.serves_gateway else None,
                        admin if face.serves_admin else None,
                        Router(health, redirect_slashes=False, default=_answer_not_found),
                        trusted_peers=trusted_peers if face.is_exposed else None,
                    ),
                    settings=settings,
                    render_error=render_error,
                ),
                socket.socket(fileno=face.descriptor),
                state=states[face.serves_gateway],
                tls=self.tls if face.is_tls else None,
                bounds=bounds,
                now_and_then=self._now_and_then,
            )
            for face in plan.faces
        ]

    async def start(self) -> None:
        """Begin to serve."""
        self._gateway.start()
        for face in self._faces:
            await face.start()
        self._looking = asyncio.create_task(self._look_at_descriptors())

    async def _look_at_descriptors(self) -> None:
        """Accept nobody while no descriptor is left.

        The event loop would be told of the same callers over and over, and could do nothing for
        them but turn them away.
        """
        is_paused = False
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            free = count_free(up_to=FREE_DESCRIPTORS_MIN)
            if is_paused:
                # Where there are fewer in all, those of the last caller have to do.
                if free == FREE_DESCRIPTORS_MIN or not any(
                    face.connections for face in self._faces
                ):
                    is_paused = not await self._resume()
            elif not free:
                self._pause()
                is_paused = True
                if self._now_and_then.may_tell("descriptors_used_up"):
                    log.error(
                        "descriptors_used_up",
                        reason="no file descriptor is left (ulimit -n); new callers have to wait",
                    )

    def _pause(self) -> None:
        for face in self._faces:
            face.pause()

    async def _resume(self) -> bool:
        """Whether everybody is accepted again; where one address cannot, none of them does."""
        try:
            for face in self._faces:
                await face.resume()
        except OSError:
            self._pause()
            return False
        return True

    async def stop(self) -> None:
        """Accept nothing more; return when every call has its answer."""
        if self._looking is not None:
            self._looking.cancel()
        self._gateway.stop_waiting()
        await asyncio.gather(*(face.stop() for face in self._faces))
        self._gateway.close()


def _combine(
    gateway: Gateway | None,
    admin: Application | None,
    rest: Application,
    *,
    trusted_peers: TrustedPeers | None,
) -> Any:
    """The operator's paths to the gateway, without a router in between; the others where they go.

    Whoever is None is not served. With `trusted_peers` it is they alone who are served more than
    the sandbox; to the others the rest is as if it were not there.
    """

    def choose(scope: Scope) -> Application:
        path = scope["path"]
        if gateway is not None and path.startswith(_SANDBOX_PATH):
            return gateway
        if trusted_peers is not None and not trusted_peers.hold(scope):
            return rest
        if gateway is not None and path.startswith(_OPENAPI_PATH):
            return gateway
        if admin is not None and is_admin_path(path):
            return admin
        return rest

    # No coroutine of its own: each one costs every request a little.
    def dispatch(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return choose(scope)(scope, receive, send)

    return dispatch


async def _answer_not_found(_scope: Any, _receive: Receive, send: Send) -> None:
    await send_json(send, NOT_FOUND.status, NOT_FOUND.body)
