"""The readers of a worker: how many there are, and which are kept."""

import asyncio
import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from pesalango_server.storage.database import Read, Reader, StorageUnavailable
from pesalango_server.storage.pool import ReaderPool


class CountedReader:
    def __init__(self) -> None:
        self.is_closed = False

    def read(self, _read: Read) -> bytes:
        return b"[]"

    def close(self) -> None:
        self.is_closed = True


class Readers:
    """A pool, and every reader that it opened."""

    def __init__(self) -> None:
        self.opened: list[CountedReader] = []
        self.pool = ReaderPool(self._open, readers_max=2, waiting_max=10)

    def _open(self) -> CountedReader:
        self.opened.append(CountedReader())
        return self.opened[-1]


@pytest.fixture
def readers() -> Iterator[Readers]:
    readers = Readers()
    yield readers
    readers.pool.close()
    assert all(reader.is_closed for reader in readers.opened)


def give(reader: Reader) -> Reader:
    return reader


def fail(_reader: Reader) -> None:
    raise StorageUnavailable("as it happens")


def mistake(_reader: Reader) -> None:
    raise ValueError("a document that cannot be decoded")


def test_a_reader_is_used_again(readers: Readers) -> None:
    for _ in range(3):
        assert asyncio.run(readers.pool.use(give)) is readers.opened[0]
    assert len(readers.opened) == 1


def test_a_reader_that_found_the_database_away_is_not_used_again(readers: Readers) -> None:
    with pytest.raises(StorageUnavailable):
        asyncio.run(readers.pool.use(fail))

    assert readers.opened[0].is_closed
    assert asyncio.run(readers.pool.use(give)) is readers.opened[1]


def test_a_reader_outlives_a_mistake_of_whoever_used_it(readers: Readers) -> None:
    with pytest.raises(ValueError, match="decoded"):
        asyncio.run(readers.pool.use(mistake))

    assert asyncio.run(readers.pool.use(give)) is readers.opened[0]


class HurriedQueue(SimpleQueue[Reader]):
    """Whoever sees something in it has to see another thread take it first."""

    def __init__(self) -> None:
        super().__init__()
        self._both_looked = threading.Barrier(2)

    def empty(self) -> bool:
        is_empty = super().empty()
        if threading.current_thread().name.startswith("reader"):
            self._both_looked.wait(10)
        return is_empty


def test_two_reads_that_want_the_last_idle_reader_both_get_one(readers: Readers) -> None:
    readers.pool._idle = HurriedQueue()
    readers.pool._idle.put(readers._open())
    both_run = threading.Barrier(2)

    def meet(reader: Reader) -> Reader:
        both_run.wait(10)
        return reader

    async def read_twice() -> tuple[Reader, Reader]:
        return await asyncio.gather(readers.pool.use(meet), readers.pool.use(meet))

    one, other = asyncio.run(read_twice())
    assert one is not other
    assert len(readers.opened) == 2
