"""Listening sockets of a worker: one uvicorn server each, and the application behind it."""

import asyncio
import contextlib
import socket
from dataclasses import replace
from typing import Any

import msgspec
import structlog
import uvicorn
from starlette.routing import Router

from pesalango_server.admin.server import is_admin_path, make_admin
from pesalango_server.gateway.answers import NOT_FOUND, render_error
from pesalango_server.gateway.app import Gateway, make_gateway
from pesalango_server.gateway.health import make_health_routes
from pesalango_server.http.answers import Receive, Scope, Send, send_json
from pesalango_server.http.context import WorkerContext
from pesalango_server.http.protocol import make_server_config
from pesalango_server.main.descriptors import bound_connections, count_free
from pesalango_server.main.plan import WorkerPlan
from pesalango_server.sandbox.seed import Seed
from pesalango_server.storage.migrations import list_migrations
from pesalango_server.telemetry import Metrics

LOOK_EVERY_S = 1.0
FREE_DESCRIPTORS_MIN = 8
"""So many descriptors must be free before a worker that had none left accepts again."""

TOLD_AGAIN_AFTER_MS = 10_000

_OPERATOR_PATHS = ("/sandbox/", "/openapi/")

log = structlog.get_logger("worker")


class Face:
    """A uvicorn server on an inherited listening socket, started and stopped by its worker.

    While it is paused, callers who connect wait in the system's queue; those who are connected
    are served.
    """

    def __init__(self, config: uvicorn.Config, sock: socket.socket) -> None:
        self._server = uvicorn.Server(config)
        self._socket = sock
        self._is_accepting = False

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
        await self.resume()
        self._ticking = asyncio.create_task(self._server.main_loop())

    def pause(self) -> None:
        """Accept nobody until `resume`."""
        self._is_accepting = False
        for server in self._server.servers:
            server.close()

    async def resume(self) -> None:
        """Accept. Raises `OSError` where no descriptor is left for it."""
        if not self._is_accepting:
            # Whoever stops to accept closes its socket: that must not be the only one.
            await self._server.startup(sockets=[self._socket.dup()])
            self._is_accepting = True

    async def stop(self) -> None:
        """Accept nothing more, and wait for the calls that run."""
        self._server.should_exit = True
        await self._ticking
        await self._server.shutdown(sockets=[self._socket])


class Faces:
    """Everything that a worker serves."""

    def __init__(self, plan: WorkerPlan, context: WorkerContext, metrics: Metrics) -> None:
        seed = Seed(seeds_openapi=plan.is_demonstration)
        served = {
            name: environment
            for name, environment in context.environments.items()
            if plan.serves_openapi or name != "openapi"
        }
        self._gateway: Gateway = make_gateway(
            replace(context, environments=served),
            settings=plan.settings,
            seeder=seed,
            metrics=metrics,
        )
        schema = {
            name: list_migrations(name, address.dialect)[-1].name
            for name, address in plan.addresses.items()
        }
        admin = make_admin(context, seed, schema=schema)
        health = make_health_routes(context, metrics)
        connections_max = bound_connections(plan.settings, faces=len(plan.faces))
        settings = msgspec.structs.replace(plan.settings, connections_max=connections_max)
        self._clock = context.clock
        self._looking: asyncio.Task[None] | None = None
        self._faces = [
            Face(
                make_server_config(
                    _combine(
                        self._gateway if face.serves_gateway else None,
                        admin if face.serves_admin else None,
                        Router(health, redirect_slashes=False, default=_answer_not_found),
                    ),
                    settings=settings,
                    render_error=render_error,
                ),
                socket.socket(fileno=face.descriptor),
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
        tell_again_at_ms = 0
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            free = count_free(up_to=FREE_DESCRIPTORS_MIN)
            if is_paused:
                # Where there are fewer in all, those of the last caller have to do.
                if free == FREE_DESCRIPTORS_MIN or not any(
                    face.connections for face in self._faces
                ):
                    with contextlib.suppress(OSError):
                        for face in self._faces:
                            await face.resume()
                        is_paused = False
            elif not free:
                for face in self._faces:
                    face.pause()
                is_paused = True
                if self._clock.monotonic_ms() >= tell_again_at_ms:
                    tell_again_at_ms = self._clock.monotonic_ms() + TOLD_AGAIN_AFTER_MS
                    log.error(
                        "descriptors_used_up",
                        reason="no file descriptor is left (ulimit -n); new callers have to wait",
                    )

    async def stop(self) -> None:
        """Accept nothing more; return when every call has its answer."""
        if self._looking is not None:
            self._looking.cancel()
        await asyncio.gather(*(face.stop() for face in self._faces))
        self._gateway.close()


def _combine(gateway: Gateway | None, admin: Any, rest: Any) -> Any:
    """The operator's paths to the gateway, without a router in between; the others where they go.

    Whoever is None is not served.
    """

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if gateway is not None and path.startswith(_OPERATOR_PATHS):
            await gateway(scope, receive, send)
        elif admin is not None and is_admin_path(path):
            await admin(scope, receive, send)
        else:
            await rest(scope, receive, send)

    return dispatch


async def _answer_not_found(_scope: Any, _receive: Receive, send: Send) -> None:
    await send_json(send, NOT_FOUND.status, NOT_FOUND.body)
