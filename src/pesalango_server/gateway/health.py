"""Whether this worker lives, whether it can take payments, and the page of metrics."""

from collections.abc import Callable
from typing import Final

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from pesalango_server.gateway.answers import wrong_method
from pesalango_server.http.answers import Receive, Scope, Send, send_json
from pesalango_server.http.context import WorkerContext
from pesalango_server.telemetry import Metrics
from pesalango_server.telemetry.metrics import CONTENT_TYPE

_METHODS: Final = ("GET", "HEAD")
_WRONG_METHOD: Final = wrong_method(", ".join(_METHODS))

_encode = msgspec.json.Encoder().encode


class _Page:
    """An ASGI application that shows what there is to read, and says in JSON that it only shows.

    Starlette's own answer to another method is plain text.
    """

    def __init__(self, render: Callable[[], Response]) -> None:
        self._render = render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["method"] in _METHODS:
            await self._render()(scope, receive, send)
        else:
            answer = _WRONG_METHOD
            await send_json(send, answer.status, answer.body, answer.headers)


def find_what_is_not_ready(context: WorkerContext) -> list[str]:
    """The parts that keep this worker from taking payments; none means that it is ready."""
    parts = [
        f"engine of {name}"
        for name, environment in context.environments.items()
        if not environment.link.is_ready
    ]
    if not context.platform_link.is_ready:
        parts.append("engine of platform")
    if context.configuration.is_stale:
        parts.append("configuration")
    return parts


def make_health_routes(context: WorkerContext, metrics: Metrics) -> list[Route]:
    """`/health/live`, `/health/ready` and `/metrics`, for a Starlette application."""

    def live() -> Response:
        return _answer(200, {"status": "live"})

    def ready() -> Response:
        parts = find_what_is_not_ready(context)
        if parts:
            return _answer(503, {"status": "not ready", "not_ready": parts})
        return _answer(200, {"status": "ready"})

    def show_metrics() -> Response:
        try:
            return Response(metrics.render(), headers={"content-type": CONTENT_TYPE})
        except OSError as error:
            # The other processes' numbers are in files, and this one may have no descriptor left.
            return _answer(503, {"status": f"metrics cannot be read: {error.strerror}"})

    return [
        Route("/health/live", _Page(live)),
        Route("/health/ready", _Page(ready)),
        Route("/metrics", _Page(show_metrics)),
    ]


def _answer(status: int, content: object) -> Response:
    return Response(_encode(content), status, headers={"content-type": "application/json"})
