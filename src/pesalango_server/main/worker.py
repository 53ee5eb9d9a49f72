"""A worker process: HTTP, authentication, validation and reads. It writes nothing by itself."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from typing import NoReturn

import uvloop

from pesalango_server.applications.model import Configuration
from pesalango_server.applications.store import read_configuration
from pesalango_server.http.context import (
    ConfigurationHolder,
    EnvironmentContext,
    WorkerContext,
)
from pesalango_server.kernel.clock import Clock, SystemClock
from pesalango_server.link.client import LinkClient
from pesalango_server.main.faces import Faces
from pesalango_server.main.interpreter import settle_garbage_collector, shorten_turns
from pesalango_server.main.plan import WorkerPlan, receive_plan
from pesalango_server.main.renewals import follow_renewals
from pesalango_server.storage.address import make_reader_opener
from pesalango_server.storage.database import StorageError, StorageUnavailable
from pesalango_server.storage.pool import ReaderPool
from pesalango_server.telemetry import Metrics, NowAndThen, configure_logging, get_logger

REFRESH_MS = 500
DRAIN_WITHIN_S = 2.2

log = get_logger("worker")


class Worker:
    """One worker's life: connect, serve, drain."""

    def __init__(self, plan: WorkerPlan, clock: Clock) -> None:
        self._plan = plan
        self._clock = clock
        self._drain_asked = asyncio.Event()
        self._links: dict[str, LinkClient] = {}

    async def serve(self) -> None:
        """Serve until the engine process asks for the end, or is gone."""
        context = await self._make_context()
        faces = Faces(self._plan, context, Metrics())
        await faces.start()
        shorten_turns()
        settle_garbage_collector()
        log.info("worker_started", worker=self._plan.number)
        background = [asyncio.create_task(self._refresh_for_ever(context.configuration))]
        if self._plan.tls is not None and faces.tls is not None:
            told = socket.socket(fileno=self._plan.tls.renewals)
            background.append(asyncio.create_task(follow_renewals(told, faces.tls)))
        await self._drain_asked.wait()
        for task in background:
            task.cancel()
        await self._drain(faces)

    async def _make_context(self) -> WorkerContext:
        settings = self._plan.settings
        for name, descriptor in self._plan.links.items():
            link = LinkClient(
                self._clock,
                unanswered_max=self._plan.unanswered_max,
                prompts_waiting_max=self._plan.prompts_waiting_max,
            )
            link.on_drain = self._drain_asked.set
            link.on_lost = self._engine_lost
            await link.connect(socket.socket(fileno=descriptor))
            self._links[name] = link
        pools = {
            name: ReaderPool(
                make_reader_opener(address),
                readers_max=settings.readers_max,
                waiting_max=settings.reads_waiting_max,
            )
            for name, address in self._plan.addresses.items()
        }
        current = await self._read_configuration(pools["platform"])
        return WorkerContext(
            clock=self._clock,
            configuration=ConfigurationHolder(pools["platform"], self._clock, current),
            platform_link=self._links["platform"],
            environments={
                "sandbox": EnvironmentContext(
                    name="sandbox",
                    link=self._links["sandbox"],
                    readers=pools["sandbox"],
                    wait_ms=settings.wait_sandbox_ms,
                    approves_unscripted=True,
                    b2b_payer_may_reverse=settings.b2b_payer_may_reverse,
                ),
                "openapi": EnvironmentContext(
                    name="openapi",
                    link=self._links["openapi"],
                    readers=pools["openapi"],
                    wait_ms=settings.wait_openapi_ms,
                    approves_unscripted=self._plan.is_demonstration,
                    b2b_payer_may_reverse=settings.b2b_payer_may_reverse,
                ),
            },
        )

    async def _read_configuration(self, pool: ReaderPool) -> Configuration:
        """The first snapshot, once the database is there: that it is away is no reason to die."""
        now_and_then = NowAndThen(self._clock)
        while True:
            try:
                return await pool.use(
                    lambda reader: read_configuration(reader, wall_ms=self._clock.wall_ms())
                )
            except StorageUnavailable as error:
                if now_and_then.may_tell("configuration_not_read"):
                    log.warning("configuration_not_read", reason=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._drain_asked.wait(), REFRESH_MS / 1000)
                raise SystemExit(0)

    async def _refresh_for_ever(self, configuration: ConfigurationHolder) -> None:
        now_and_then = NowAndThen(self._clock)
        while True:
            await asyncio.sleep(REFRESH_MS / 1000)
            try:
                await configuration.refresh()
            except Exception as error:
                # Whatever it is, the next look may find it mended; a worker that stopped looking
                # would serve what is no longer in force. It looks often, and tells now and then.
                if now_and_then.may_tell("configuration_not_read"):
                    trace = None if isinstance(error, StorageError) else error
                    log.warning("configuration_not_read", reason=str(error), exc_info=trace)

    def _engine_lost(self) -> None:
        if not self._drain_asked.is_set():
            # What became of the calls that wait is unknown, so none of them gets an answer:
            # their connections break with this process.
            log.critical("engine_process_lost", worker=self._plan.number)
            _end_process(1)

    async def _drain(self, faces: Faces) -> None:
        """Accept nothing more; let the outcomes to come reach their callers; end."""
        try:
            async with asyncio.timeout(DRAIN_WITHIN_S):
                await faces.stop()
        except TimeoutError:
            links = self._links.values()
            log.warning(
                "drain_cut_short",
                unanswered=sum(link.unanswered for link in links),
                prompts_waiting=sum(link.prompts_waiting for link in links),
            )
        for link in self._links.values():
            link.on_lost = None
            link.close()


def run_worker(plan: WorkerPlan, clock: Clock) -> None:
    """A worker's whole life on an event loop of its own, in this thread."""
    uvloop.run(Worker(plan, clock).serve())


def main() -> None:
    """Entry point of the process; its one argument is the descriptor of its plan."""
    # Ctrl-C and a service manager's signals may reach the whole group: the engine process is the one
    # that acts on them. This one follows the link, or is killed.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    plan = receive_plan(int(sys.argv[1]))
    configure_logging(plan.settings.log_level, process=f"worker-{plan.number}")
    run_worker(plan, SystemClock())
    # Reader threads may still be inside a query; nothing of theirs is worth waiting for.
    _end_process(0)


def _end_process(status: int) -> NoReturn:
    # The log may lie on a disk that is full, which must not keep the process here.
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
