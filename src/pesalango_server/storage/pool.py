"""A bounded set of readers for a worker, each used by one thread at a time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import TypeVar

from pesalango_server.storage.database import Read, Reader, StorageUnavailable

T = TypeVar("T")


class ReaderPool:
    """Runs reads off the event loop; `readers_max` connections are opened as they are needed."""

    def __init__(
        self, open_reader: Callable[[], Reader], *, readers_max: int, waiting_max: int
    ) -> None:
        self._open_reader = open_reader
        self._waiting_max = waiting_max
        self._waiting = 0
        self._idle: SimpleQueue[Reader] = SimpleQueue()
        self._threads = ThreadPoolExecutor(readers_max, thread_name_prefix="reader")

    async def read(self, read: Read) -> bytes:
        """The query's JSON document. Raises `StorageUnavailable`, also when too many wait."""
        return await self.use(lambda reader: reader.read(read))

    async def use(self, work: Callable[[Reader], T]) -> T:
        """Hand a reader to `work` in a thread. Raises `StorageUnavailable`."""
        if self._waiting >= self._waiting_max:
            raise StorageUnavailable("too many reads are waiting")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._work, work)
        finally:
            self._waiting -= 1

    def _work(self, work: Callable[[Reader], T]) -> T:
        try:
            reader = self._idle.get_nowait()
        except Empty:
            reader = self._open_reader()
        is_usable = True
        try:
            return work(reader)
        except StorageUnavailable:
            # What was amiss may be this connection; another one will tell.
            is_usable = False
            raise
        finally:
            if is_usable:
                self._idle.put(reader)
            else:
                reader.close()

    def close(self) -> None:
        """Wait for the reads that run, and end the connections."""
        self._threads.shutdown(wait=True)
        while not self._idle.empty():
            self._idle.get_nowait().close()
