"""Which path leads where: a table of the usual spellings, and a search for the others."""

from typing import Final

from pesalango_server.catalog.registry import OPERATIONS_BY_NAME, find_by_path
from pesalango_server.gateway.answers import OperationAnswers
from pesalango_server.gateway.responders import Responder
from pesalango_server.telemetry import Counter, Histogram, Metrics
from pesalango_server.telemetry.metrics import SECONDS_BOUNDS

REQUESTS: Final = "requests", "Requests by environment, operation and code of the answer."
LATENCY: Final = "request_seconds", "Time from a request's headers to its answer."


class Route:
    """One operation, in one market of one environment or in none that there is."""

    __slots__ = ("_counters", "_labels", "_metrics", "answers", "latency", "method", "responder")

    def __init__(
        self, *, environment: str, answers: OperationAnswers, responder: Responder, metrics: Metrics
    ) -> None:
        self.answers = answers
        self.method: str = answers.operation.method
        self.responder = responder
        self._metrics = metrics
        self._labels = {"environment": environment, "operation": answers.operation.name}
        self.latency: Histogram = metrics.histogram(*LATENCY, bounds=SECONDS_BOUNDS, **self._labels)
        self._counters: dict[str, Counter] = {}

    def count(self, code: str, seconds: float) -> None:
        """Count an answer and how long it took."""
        counter = self._counters.get(code)
        if counter is None:
            counter = self._metrics.counter(*REQUESTS, **self._labels, code=code)
            self._counters[code] = counter
        counter.value += 1
        self.latency.observe(seconds)


class RouteTable:
    """Routes by path. `nowhere` are those for markets that do not offer the operation."""

    def __init__(
        self,
        routes: dict[tuple[str, str, str], Route],
        nowhere: dict[tuple[str, str], Route],
    ) -> None:
        """`routes` by environment, market's path value and operation; `nowhere` without market."""
        self._routes = routes
        self._nowhere = nowhere
        self._by_path: dict[str, Route] = {}
        for (environment, market, name), route in routes.items():
            path = f"/{environment}/ipg/v2/{market}/{OPERATIONS_BY_NAME[name].path}"
            self._by_path[path] = self._by_path[path.removesuffix("/")] = route
        self.find_usual = self._by_path.get
        """The route of a path in its usual spelling, with or without the slash at its end."""

    def find(self, path: str) -> Route | None:
        """The route of any path; None if there is none."""
        route = self._by_path.get(path)
        if route is not None:
            return route
        parts = path.split("/", 5)
        if len(parts) != 6 or parts[0] or parts[2:4] != ["ipg", "v2"]:
            return None
        environment, market, rest = parts[1], parts[4], parts[5]
        operation = find_by_path(rest)
        if operation is None:
            return None
        return self._routes.get((environment, market, operation.name)) or self._nowhere.get(
            (environment, operation.name)
        )
