"""Listening sockets of a worker: one uvicorn server each, and the application behind it."""

import asyncio
import socket
from dataclasses import replace
from typing import Any

import uvicorn
from starlette.routing import Router

from pesalango_server.admin.server import is_admin_path, make_admin
from pesalango_server.gateway.answers import NOT_FOUND, render_error
from pesalango_server.gateway.app import Gateway, make_gateway
from pesalango_server.gateway.health import make_health_routes
from pesalango_server.http.answers import Receive, Scope, Send, send_json
from pesalango_server.http.context import WorkerContext
from pesalango_server.http.protocol import make_server_config
from pesalango_server.main.plan import WorkerPlan
from pesalango_server.sandbox.seed import Seed
from pesalango_server.storage.migrations import list_migrations
from pesalango_server.telemetry import Metrics

_OPERATOR_PATHS = ("/sandbox/", "/openapi/")


class Face:
    """A uvicorn server on an inherited listening socket, started and stopped by its worker."""

    def __init__(self, config: uvicorn.Config, sock: socket.socket) -> None:
        self._server = uvicorn.Server(config)
        self._socket = sock

    async def start(self) -> None:
        """Begin to accept."""
        config = self._server.config
        if not config.loaded:
            config.load()
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup(sockets=[self._socket])
        self._ticking = asyncio.create_task(self._server.main_loop())

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
        self._faces = [
            Face(
                make_server_config(
                    _combine(
                        self._gateway if face.serves_gateway else None,
                        admin if face.serves_admin else None,
                        Router(health, redirect_slashes=False, default=_answer_not_found),
                    ),
                    settings=plan.settings,
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

    async def stop(self) -> None:
        """Accept nothing more; return when every call has its answer."""
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
