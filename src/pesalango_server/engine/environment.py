"""Batches of an environment's database: many ledgers, each locked, decided and chained."""

from collections.abc import Sequence

from pesalango_server.engine.registry import USE_CASES
from pesalango_server.kernel.message import (
    FAULT_INTERNAL,
    AnyOutcome,
    Command,
)
from pesalango_server.ledger import store
from pesalango_server.ledger.book import Book
from pesalango_server.ledger.loading import LoadPlan, fill_books, make_books
from pesalango_server.storage.database import Read, Row, Write, WriteSet


class EnvironmentBatch:
    """See `domain.BatchWork`."""

    def __init__(self, commands: Sequence[Command], *, wall_ms: int | None) -> None:
        ledgers = sorted({command.ledger for command in commands}) or [0]
        plan = LoadPlan()
        for command in commands:
            USE_CASES[type(command)][0](command, plan)
        lock = Read(store.LOCK_LEDGERS, (wall_ms,), [(ledger,) for ledger in ledgers])
        self._planned = plan.reads()
        self.reads = [lock, *self._planned]
        self.wall_ms = wall_ms or 0
        self._books: dict[int, Book] = {}
        self._closed: list[tuple[int, int]] = []
        self._writes = WriteSet()

    def load(self, documents: Sequence[bytes]) -> None:
        """See `BatchWork.load`."""
        self._books = make_books(documents[0], self._writes)
        self.wall_ms = max(book.wall_ms for book in self._books.values())
        fill_books(self._books, self._planned, documents[1:])

    def decide(self, command: Command) -> AnyOutcome:
        """See `BatchWork.decide`."""
        book = self._books.get(command.ledger)
        if book is None:
            return FAULT_INTERNAL
        return USE_CASES[type(command)][1](command, book)

    def close(self, token: str) -> list[tuple[Write, Sequence[Row]]]:
        """See `BatchWork.close`."""
        # In the order of their numbers, whatever the order in which they were opened.
        books = [book for _, book in sorted(self._books.items())]
        for book in books:
            book.close(token)
        self._closed = [(book.ledger, book.sequence) for book in books]
        # Books know each other through this table; without it they go as soon as the batch does,
        # and not when the garbage collector comes by.
        self._books.clear()
        return self._writes.in_order()

    def find(self, token: str) -> Read:
        """See `BatchWork.find`."""
        return Read(
            store.FIND_BATCH,
            rows=[(ledger, sequence, token) for ledger, sequence in self._closed],
        )


class EnvironmentDomain:
    """See `domain.Domain`."""

    def start(self, commands: Sequence[Command], *, wall_ms: int | None) -> EnvironmentBatch:
        """See `Domain.start`."""
        return EnvironmentBatch(commands, wall_ms=wall_ms)
