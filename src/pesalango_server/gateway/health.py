"""Whether this worker lives, whether it can take payments, and the page of metrics."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pesalango_server.http.context import WorkerContext
from pesalango_server.telemetry import Metrics
from pesalango_server.telemetry.metrics import CONTENT_TYPE

_encode = msgspec.json.Encoder().encode


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

    async def live(_request: Request) -> Response:
        return _answer(200, {"status": "live"})

    async def ready(_request: Request) -> Response:
        parts = find_what_is_not_ready(context)
        if parts:
            return _answer(503, {"status": "not ready", "not_ready": parts})
        return _answer(200, {"status": "ready"})

    async def show_metrics(_request: Request) -> Response:
        return Response(metrics.render(), headers={"content-type": CONTENT_TYPE})

    return [
        Route("/health/live", live),
        Route("/health/ready", ready),
        Route("/metrics", show_metrics),
    ]


def _answer(status: int, content: object) -> Response:
    return Response(_encode(content), status, headers={"content-type": "application/json"})
