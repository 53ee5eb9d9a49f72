"""A journal of plain calls, for tasks: one thread makes the calls, all that wait at a time."""

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Sequence
from typing import Any, TypeAlias

from pesalango._errors import JournalError
from pesalango._intents import Closing, Intent, Journal
from pesalango._sqlite_journal import SqliteJournal
from pesalango._sqlite_statements import Job

_GATHER_S = 0.003
_Call = tuple[Job, "asyncio.Future[Any]"]
_Batches: TypeAlias = "queue.SimpleQueue[tuple[asyncio.AbstractEventLoop, list[_Call]] | None]"


class JournalTasks:
    """A `Journal` as an `AsyncJournal`. No event loop ever waits for a disk."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._gathered: dict[asyncio.AbstractEventLoop, list[_Call]] = {}
        """What was asked for and not handed over yet, by the event loop that asked."""
        self._expected = 1
        """How many calls may come at a time: as many as came lately, soon less when fewer come."""
        self._batches: _Batches = queue.SimpleQueue()
        self._pid = os.getpid()
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
    ) -> bool:
        """See `Journal.close_intent`."""
        is_closed: bool = await self._call(
            "close_intent", platform, key, closing, sendings=sendings
        )
        return is_closed

    async def forget(self, platform: str, key: str, *, sendings: int) -> bool:
        """See `Journal.forget`."""
        is_gone: bool = await self._call("forget", platform, key, sendings=sendings)
        return is_gone

    async def list_open(self, platform: str) -> Sequence[Intent]:
        """See `Journal.list_open`."""
        found: Sequence[Intent] = await self._call("list_open", platform)
        return found

    async def close(self) -> None:
        """End the thread, once it has made what was asked for. Another call starts another."""
        self._check_process()
        for loop, calls in list(self._gathered.items()):
            if loop is asyncio.get_running_loop() or loop.is_closed():
                self._hand_over(loop, calls)
            else:
                # What a loop gathers is its own thread's.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._hand_over, loop, calls)
        with self._starting:
            thread, self._thread = self._thread, None
            if thread is not None:
                # A queue belongs to one thread: a call that comes now has another of both.
                batches, self._batches = self._batches, queue.SimpleQueue()
                batches.put(None)
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(None, thread.join)

    async def _call(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        self._check_process()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        gathered = self._gathered.get(loop)
        if gathered is None:
            gathered = self._gathered[loop] = []
            # Where many are at it, a moment brings most of them together: each transaction costs
            # a sync, and several waits for the interpreter, whatever is in it.
            loop.call_later(_GATHER_S if self._expected > 1 else 0, self._hand_over, loop, gathered)
        gathered.append((Job(method, arguments, keywords), future))
        if len(gathered) == self._expected > 1:
            # All are here; who comes in the same moment comes along.
            loop.call_soon(self._hand_over, loop, gathered)
        # A task that is cancelled does not take the call back: it was asked for, and is made.
        return await future

    def _hand_over(self, loop: asyncio.AbstractEventLoop, calls: list[_Call]) -> None:
        if self._gathered.get(loop) is not calls:
            return  # They have been handed over already.
        del self._gathered[loop]
        self._expected = max(len(calls), self._expected * 7 // 8)
        try:
            with self._starting:
                self._start()
                self._batches.put((loop, calls))
        except RuntimeError as failure:
            for job, _ in calls:
                job.error = JournalError(f"the journal has no thread: {failure}")
            _hand_back(calls)

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            thread = threading.Thread(
                target=self._serve, args=(self._batches,), name="pesalango-journal", daemon=True
            )
            thread.start()
            self._thread = thread

    def _check_process(self) -> None:
        """In a process that was forked, begin anew: the thread is its parent's."""
        if self._pid != os.getpid():
            self._thread = None
            self._gathered = {}
            self._batches = queue.SimpleQueue()
            self._starting = threading.Lock()
            self._pid = os.getpid()

    def _serve(self, batches: _Batches) -> None:
        while (batch := batches.get()) is not None:
            loop, calls = batch
            self._make([job for job, _ in calls])
            # The loop may have been closed while its tasks waited: nobody is there to be told.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_hand_back, calls)

    def _make(self, jobs: Sequence[Job]) -> None:
        """Make the calls; each has its result or its error afterwards, whatever the journal does."""
        try:
            self._make_in_order(jobs)
        except BaseException as failure:  # noqa: BLE001 - the thread must live, for all that come
            for job in jobs:
                if not job.is_done and job.error is None:
                    job.error = JournalError(f"the journal was interrupted: {failure!r}")

    def _make_in_order(self, jobs: Sequence[Job]) -> None:
        # One that was derived may have methods of its own.
        if type(self._journal) is SqliteJournal:
            self._journal._perform_together(jobs)  # noqa: SLF001
            return
        for job in jobs:
            try:
                job.result = getattr(self._journal, job.method)(*job.arguments, **job.keywords)
                job.is_done = True
            except Exception as failure:  # noqa: BLE001 - handed to the task that asked
                job.error = failure


def _hand_back(calls: Sequence[_Call]) -> None:
    for job, future in calls:
        if future.cancelled():
            continue
        if isinstance(job.error, StopIteration):
            # A future takes none, and a journal that raises one has a defect.
            future.set_exception(RuntimeError(f"the journal raised {job.error!r}"))
        elif job.error is not None:
            future.set_exception(job.error)
        elif not job.is_done:
            # Never a result that nobody found out: a `None` would say that there is no intent.
            future.set_exception(JournalError("the journal did not make this call"))
        else:
            future.set_result(job.result)
