"""A journal of plain calls, for tasks: one thread makes the calls, all that wait at a time."""

import asyncio
import queue
import threading
from collections.abc import Sequence
from typing import Any

from pesalango._intents import Closing, Intent, Journal
from pesalango._sqlite_journal import Job, SqliteJournal

_Waiting = tuple[Job, "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class JournalTasks:
    """A `Journal` as an `AsyncJournal`. No event loop ever waits for a disk."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._calls: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    async def begin(self, intent: Intent) -> Intent:
        """See `Journal.begin`."""
        kept: Intent = await self._call("begin", intent)
        return kept

    async def find(self, platform: str, key: str) -> Intent | None:
        """See `Journal.find`."""
        found: Intent | None = await self._call("find", platform, key)
        return found

    async def count_sending(self, platform: str, key: str) -> Intent | None:
        """See `Journal.count_sending`."""
        found: Intent | None = await self._call("count_sending", platform, key)
        return found

    async def close_intent(
        self, platform: str, key: str, closing: Closing, *, sendings: int | None
    ) -> Intent | None:
        """See `Journal.close_intent`."""
        found: Intent | None = await self._call(
            "close_intent", platform, key, closing, sendings=sendings
        )
        return found

    async def forget(self, platform: str, key: str, *, sendings: int) -> bool:
        """See `Journal.forget`."""
        is_gone: bool = await self._call("forget", platform, key, sendings=sendings)
        return is_gone

    async def list_open(self, platform: str) -> Sequence[Intent]:
        """See `Journal.list_open`."""
        found: Sequence[Intent] = await self._call("list_open", platform)
        return found

    async def close(self) -> None:
        """End the thread, once it has made what was asked for. Another call starts it again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._calls.put(None)
            await asyncio.get_running_loop().run_in_executor(None, thread.join)

    async def _call(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._calls.put((Job(method, arguments, keywords), future, loop))
        if self._thread is None:
            self._start()
        # A task that is cancelled does not take the call back: it was asked for, and is made.
        return await future

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="pesalango-journal", daemon=True
                )
                self._thread.start()

    def _serve(self) -> None:
        while True:
            call = self._calls.get()
            calls = []
            while call is not None:
                calls.append(call)
                try:
                    call = self._calls.get_nowait()
                except queue.Empty:
                    break
            self._make([job for job, _, _ in calls])
            for loop in {loop for _, _, loop in calls}:
                done = [(job, future) for job, future, its in calls if its is loop]
                try:
                    loop.call_soon_threadsafe(_hand_back, done)
                except RuntimeError:
                    # The loop was closed while its tasks waited: nobody is there to be told.
                    continue
            if call is None:
                return

    def _make(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        if isinstance(self._journal, SqliteJournal):
            self._journal._perform_together(jobs)  # noqa: SLF001
            return
        for job in jobs:
            try:
                job.result = getattr(self._journal, job.method)(*job.arguments, **job.keywords)
            except Exception as failure:  # noqa: BLE001 - handed to the task that asked
                job.error = failure


def _hand_back(done: Sequence[tuple[Job, "asyncio.Future[Any]"]]) -> None:
    for job, future in done:
        if future.cancelled():
            continue
        if job.error is not None:
            future.set_exception(job.error)
        else:
            future.set_result(job.result)
