"""Tells the log which requests were refused before anything was recorded, without flooding it."""

from pesalango_server.telemetry import get_logger

log = get_logger("gateway")

KINDS_MAX = 1_000
"""So many kinds of refusals are told apart between two reports."""


class RefusalLog:
    """The first refusal of a kind is a line at once; more of it within a second are one line."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str, str], int] = {}

    def add(self, *, environment: str, operation: str, code: str, reason: str) -> None:
        """A request was refused; `reason` holds nothing that the caller sent."""
        kind = (environment, operation, code, reason)
        count = self._counts.get(kind)
        if count is None:
            if len(self._counts) >= KINDS_MAX:
                return
            count = 0
            log.info(
                "request_refused",
                environment=environment,
                operation=operation,
                code=code,
                reason=reason,
            )
        self._counts[kind] = count + 1

    def report(self) -> None:
        """Tell how many more there were of each kind; called once a second."""
        for (environment, operation, code, reason), count in self._counts.items():
            if count > 1:
                log.info(
                    "requests_refused",
                    environment=environment,
                    operation=operation,
                    code=code,
                    reason=reason,
                    count=count - 1,
                )
        self._counts.clear()
