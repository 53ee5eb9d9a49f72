"""Batches of the platform's database: the whole configuration under one lock."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pesalango_server.applications import store
from pesalango_server.applications.administration import USE_CASES, PlatformBook, make_book
from pesalango_server.kernel.message import AnyOutcome, Command
from pesalango_server.storage.database import Read, Row, Write

# Looked up by what a link decoded, which is any command.
_DECIDE: Mapping[Any, Callable[[Any, PlatformBook], AnyOutcome]] = USE_CASES


class PlatformBatch:
    """See `domain.BatchWork`."""

    def __init__(self, *, wall_ms: int | None) -> None:
        self.wall_ms = wall_ms or 0
        self.reads = [Read(store.LOCK_PLATFORM, (wall_ms,))]
        for query in store.CONFIGURATION_QUERIES:
            # Keys that have ended are of no interest to a decision, but their rows must not be
            # taken for absent ones; so all of them are loaded.
            self.reads.append(Read(query, (0,) if query is store.LIST_API_KEYS else ()))
        self._book: PlatformBook | None = None

    @property
    def _loaded(self) -> PlatformBook:
        if self._book is None:
            raise LookupError("a batch is loaded before it is decided")
        return self._book

    def load(self, documents: Sequence[bytes]) -> None:
        """See `BatchWork.load`."""
        self._book = make_book(documents[0], list(documents[1:]))
        self.wall_ms = self._book.wall_ms

    def decide(self, command: Command) -> AnyOutcome:
        """See `BatchWork.decide`."""
        return _DECIDE[type(command)](command, self._loaded)

    def close(self, token: str) -> list[tuple[Write, Sequence[Row]]]:
        """See `BatchWork.close`."""
        self._loaded.close(token)
        return self._loaded.writes.in_order()

    def find(self, token: str) -> Read:
        """See `BatchWork.find`."""
        return Read(store.FIND_EVENTS, rows=[(self._loaded.generation, token)])


class PlatformDomain:
    """See `domain.Domain`."""

    def start(  # the whole configuration is loaded, whatever the commands
        self,
        commands: Sequence[Command],  # noqa: ARG002
        *,
        wall_ms: int | None,
    ) -> PlatformBatch:
        """See `Domain.start`."""
        return PlatformBatch(wall_ms=wall_ms)
