"""Who is decrypted before whom: the threads are the test's, and end when it says so."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from ipaddress import ip_address
from typing import Any

import pytest

from pesalango_server.gateway import decryptor as decryptor_module
from pesalango_server.gateway.decryption_threads import Decryption
from pesalango_server.gateway.decryptor import DecryptionsBusy, Decryptor, TooManyFailures
from pesalango_server.gateway.throttle import DOUBTFUL_FROM, FailureThrottle
from pesalango_server.http.addresses import Address
from pesalango_server.http.bodies import CallerGone
from pesalango_server.telemetry import Metrics
from tests.unit.manual_clock import ManualClock

FLOOD = ip_address("198.51.100.7")
SHOP = ip_address("203.0.113.9")
LOOPBACK = ip_address("127.0.0.2")
KEY: Any = object()
RUNNING_MAX = 6
"""With one thread."""


class Threads:
    """Stands in for the threads: what was started, and how it ends."""

    def __init__(self, _count: int, *, ended: Callable[[Decryption], None]) -> None:
        self.ended = ended
        self.running: deque[Decryption] = deque()
        self.begun: list[str] = []
        self.work_s = 0.0
        self.is_closed = False

    def start(self, decryption: Decryption) -> None:
        self.running.append(decryption)
        self.begun.append(decryption.ciphertext.decode())

    async def end_one(self) -> None:
        decryption = self.running.popleft()
        decryption.secret = decryption.ciphertext.decode()
        decryption.work_s = self.work_s
        self.ended(decryption)
        await settle()

    def close(self) -> None:
        self.is_closed = True


class World:
    def __init__(self, *, waiting_max: int = 64, failures_per_minute: int = 20) -> None:
        self.throttle = FailureThrottle(
            ManualClock(),
            failures_per_minute=failures_per_minute,
            networks_max=10,
            exempts_loopback=True,
        )
        self.decryptor = Decryptor(
            throttle=self.throttle,
            threads=1,
            waiting_max=waiting_max,
            decryptions=Metrics().counter("decryptions", "Bearers that were decrypted."),
        )
        self.gone: set[str] = set()
        self.threads: Threads = self.decryptor._threads  # type: ignore[assignment]

    async def ask(self, address: Address, *names: str) -> list[asyncio.Task[str]]:
        tasks = [
            asyncio.create_task(
                self.decryptor.decrypt(KEY, name.encode(), address, partial(self.is_gone, name))
            )
            for name in names
        ]
        await settle()
        return tasks

    def is_gone(self, name: str) -> bool:
        return name in self.gone

    def doubt(self, address: Address) -> None:
        for _ in range(DOUBTFUL_FROM):
            self.throttle.count_failure(address)

    async def end_all(self) -> None:
        while self.threads.running:
            await self.threads.end_one()


async def settle() -> None:
    """Until nothing more follows by itself, but for what waits for a time."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _own_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decryptor_module, "DecryptionThreads", Threads)


def run(steps: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(10):
            await steps()

    asyncio.run(main())


def many(name: str, count: int) -> list[str]:
    return [f"{name}{number:02}" for number in range(count)]


async def find_error(task: asyncio.Task[str]) -> type[BaseException] | None:
    error = (await asyncio.gather(task, return_exceptions=True))[0]
    return type(error) if isinstance(error, BaseException) else None


def test_networks_take_turns() -> None:
    async def steps() -> None:
        world = World()
        await world.ask(FLOOD, *many("flood", 20))
        await world.ask(SHOP, "shop00", "shop01")
        await world.end_all()
        assert world.threads.begun[RUNNING_MAX : RUNNING_MAX + 4] == [
            *("flood06", "shop00", "flood07", "shop01"),
        ]

    run(steps)


def test_a_flood_leaves_a_place_for_another_network() -> None:
    async def steps() -> None:
        world = World(waiting_max=10)
        flood = await world.ask(FLOOD, *many("flood", RUNNING_MAX + 5))
        one_too_many = await world.ask(FLOOD, "flood99")
        assert await find_error(one_too_many[0]) is DecryptionsBusy
        shop = await world.ask(SHOP, "shop00")
        await world.end_all()
        assert [await find_error(task) for task in (*flood, *shop)] == [None] * len(flood + shop)

    run(steps)


def test_of_doubtful_networks_one_is_decrypted_at_a_time_then_others_are() -> None:
    async def steps() -> None:
        world = World()
        world.doubt(LOOPBACK)
        # The rest lasts until the test ends it.
        world.threads.work_s = 1e6
        doubtful = await world.ask(LOOPBACK, *many("doubt", 2))
        assert world.threads.begun == ["doubt00"]
        shop = await world.ask(SHOP, *many("shop", 30))
        await world.end_all()
        assert world.threads.begun == ["doubt00", *many("shop", 30)]
        assert [await task for task in shop] == many("shop", 30)
        world.decryptor._end_rest()
        await world.end_all()
        assert [await task for task in doubtful] == many("doubt", 2)

    run(steps)


def test_doubtful_networks_get_a_tenth_of_a_threads_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps() -> None:
        world = World()
        world.doubt(LOOPBACK)
        world.threads.work_s = 0.002
        await world.ask(LOOPBACK, "doubt00")
        rests: list[float] = []
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "call_later", lambda delay, *_: rests.append(delay))
        await world.end_all()
        assert rests == [pytest.approx(0.018)]

    run(steps)


def test_doubtful_networks_get_their_share_while_others_wait() -> None:
    async def steps() -> None:
        world = World()
        await world.ask(SHOP, *many("shop", 30))
        world.doubt(LOOPBACK)
        await world.ask(LOOPBACK, "doubt00")
        await world.end_all()
        assert world.threads.begun[RUNNING_MAX] == "doubt00"

    run(steps)


def test_a_network_that_becomes_doubtful_loses_its_place_among_the_others() -> None:
    async def steps() -> None:
        world = World(waiting_max=64)
        flood = await world.ask(LOOPBACK, *many("flood", 30))
        await world.ask(SHOP, *many("shop", 10))
        world.doubt(LOOPBACK)
        await world.end_all()
        # Those that had begun, the one whose turn it is, and the shop's.
        assert world.threads.begun[RUNNING_MAX:].index("shop09") <= 11
        refused = [task for task in flood if task.done() and task.exception() is not None]
        # An eighth of the places is for doubtful ones, and half of it for one network.
        assert len(refused) >= 30 - RUNNING_MAX - 1 - 8
        assert {await find_error(task) for task in refused} == {DecryptionsBusy}
        world.decryptor.close()

    run(steps)


@pytest.mark.parametrize("failures", [2, 20])
def test_what_waits_of_a_network_that_failed_too_often_is_refused_undecrypted(
    failures: int,
) -> None:
    async def steps() -> None:
        # With so many workers that a share of it is less than doubt asks for, and with one.
        world = World(failures_per_minute=failures)
        flood = await world.ask(FLOOD, *many("flood", 30))
        for _ in range(failures):
            world.throttle.count_failure(FLOOD)
        await world.end_all()
        errors = [await find_error(task) for task in flood]
        assert errors[:RUNNING_MAX] == [None] * RUNNING_MAX
        assert set(errors[RUNNING_MAX:]) == {TooManyFailures}
        assert len(world.threads.begun) == RUNNING_MAX

    run(steps)


def test_nobody_decrypts_for_a_caller_who_has_gone() -> None:
    async def steps() -> None:
        world = World()
        tasks = await world.ask(SHOP, *many("shop", RUNNING_MAX + 3))
        # One while it is decrypted, one by closing the connection, one whose call was ended.
        world.gone = {"shop00", f"shop{RUNNING_MAX:02}"}
        tasks[RUNNING_MAX + 1].cancel()
        await settle()
        await world.end_all()
        assert world.threads.begun == [*many("shop", RUNNING_MAX), f"shop{RUNNING_MAX + 2:02}"]
        assert await find_error(tasks[RUNNING_MAX]) is CallerGone
        assert await tasks[-1] == f"shop{RUNNING_MAX + 2:02}"

    run(steps)


def test_a_doubtful_caller_who_has_gone_does_not_keep_others_from_their_turn() -> None:
    async def steps() -> None:
        world = World()
        world.doubt(LOOPBACK)
        tasks = await world.ask(LOOPBACK, *many("doubt", 3))
        tasks[1].cancel()
        await settle()
        while not tasks[2].done():
            await world.end_all()
            await asyncio.sleep(0)
        assert await tasks[2] == "doubt02"
        assert "doubt01" not in world.threads.begun

    run(steps)


def test_a_fault_of_the_library_reaches_the_caller() -> None:
    async def steps() -> None:
        world = World()
        (task,) = await world.ask(SHOP, "shop00")
        world.threads.running[0].fault = RuntimeError("of the library")
        await world.end_all()
        assert await find_error(task) is RuntimeError

    run(steps)


def test_the_end_of_the_server_leaves_nobody_waiting() -> None:
    async def steps() -> None:
        world = World()
        tasks = await world.ask(SHOP, *many("shop", 20))
        world.decryptor.close()
        await settle()
        waiting = tasks[RUNNING_MAX:]
        assert [await find_error(task) for task in waiting] == [DecryptionsBusy] * 14
        assert world.threads.is_closed
        await world.end_all()

    run(steps)
