"""How often an address may fail to authenticate."""

import asyncio
from ipaddress import ip_address

import pytest

from pesalango_server.gateway.throttle import (
    DOUBT_KEPT_MS,
    DOUBT_MAX,
    DOUBTFUL_FROM,
    FailureThrottle,
    RefusalDelay,
)
from pesalango_server.http.addresses import Address
from tests.unit.manual_clock import ManualClock

HERE = ip_address("198.51.100.7")
NEIGHBOUR = ip_address("198.51.100.200")
ELSEWHERE = ip_address("203.0.113.9")
LOOPBACK = ip_address("127.0.0.1")


def make(clock: ManualClock, **changes: int | bool) -> FailureThrottle:
    settings = {
        "failures_per_minute": 20,
        "networks_max": 100,
        "exempts_loopback": True,
    } | changes
    return FailureThrottle(clock, **settings)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_twenty_failures_a_minute_are_free_and_then_there_is_a_wait(clock: ManualClock) -> None:
    throttle = make(clock)
    for _ in range(20):
        assert throttle.seconds_to_wait(HERE) == 0
        throttle.count_failure(HERE)
    assert throttle.seconds_to_wait(HERE) == 3


def test_neighbours_share_a_bucket_and_others_do_not(clock: ManualClock) -> None:
    throttle = make(clock)
    for _ in range(20):
        throttle.count_failure(HERE)
    assert throttle.seconds_to_wait(NEIGHBOUR) > 0
    assert throttle.seconds_to_wait(ELSEWHERE) == 0


def test_after_the_wait_one_more_attempt_is_looked_at(clock: ManualClock) -> None:
    throttle = make(clock)
    for _ in range(20):
        throttle.count_failure(HERE)
    clock.advance(1_000 * throttle.seconds_to_wait(HERE))
    assert throttle.seconds_to_wait(HERE) == 0
    throttle.count_failure(HERE)
    assert throttle.seconds_to_wait(HERE) > 0


def test_failures_that_were_under_way_together_are_no_reason_to_wait_for_long(
    clock: ManualClock,
) -> None:
    throttle = make(clock)
    for _ in range(500):
        throttle.count_failure(HERE)
    assert throttle.seconds_to_wait(HERE) <= 60
    clock.advance(60_000)
    assert throttle.seconds_to_wait(HERE) == 0


def test_loopback_is_exempt_unless_told_otherwise(clock: ManualClock) -> None:
    exempting, strict = make(clock), make(clock, exempts_loopback=False)
    for _ in range(30):
        exempting.count_failure(LOOPBACK)
        strict.count_failure(LOOPBACK)
    assert exempting.seconds_to_wait(LOOPBACK) == 0
    assert strict.seconds_to_wait(LOOPBACK) > 0


def test_so_many_networks_are_remembered_and_no_more(clock: ManualClock) -> None:
    throttle = make(clock, networks_max=10, failures_per_minute=1)
    addresses = [ip_address(f"10.0.{number}.1") for number in range(50)]
    for address in addresses:
        throttle.count_failure(address)
    waiting = [address for address in addresses if throttle.seconds_to_wait(address)]
    assert waiting == addresses[-10:]


def test_callers_without_an_address_share_one_bucket(clock: ManualClock) -> None:
    throttle = make(clock, failures_per_minute=2)
    for _ in range(2):
        throttle.count_failure(None)
    assert throttle.seconds_to_wait(None) > 0


def test_doubt_is_what_successes_do_not_make_good(clock: ManualClock) -> None:
    throttle = make(clock)
    for _ in range(DOUBTFUL_FROM - 1):
        throttle.count_failure(HERE)
    assert not throttle.is_doubtful(HERE)
    throttle.count_failure(HERE)
    assert throttle.is_doubtful(HERE)
    assert not throttle.is_doubtful(ELSEWHERE)
    throttle.count_success(HERE)
    assert not throttle.is_doubtful(HERE)
    for _ in range(1_000):
        throttle.count_failure(HERE)
    for _ in range(DOUBT_MAX - DOUBTFUL_FROM + 1):
        throttle.count_success(HERE)
    assert not throttle.is_doubtful(HERE)


def test_addresses_of_this_machine_have_no_neighbours(clock: ManualClock) -> None:
    throttle = make(clock, exempts_loopback=False)
    for _ in range(20):
        throttle.count_failure(ip_address("127.0.0.2"))
    assert throttle.seconds_to_wait(ip_address("127.0.0.2")) > 0
    assert throttle.seconds_to_wait(ip_address("127.0.0.3")) == 0


def test_no_network_is_exempt_from_doubt(clock: ManualClock) -> None:
    throttle = make(clock)
    for _ in range(DOUBTFUL_FROM):
        throttle.count_failure(LOOPBACK)
    assert throttle.is_doubtful(LOOPBACK)
    assert throttle.seconds_to_wait(LOOPBACK) == 0


def test_doubt_is_over_some_time_after_the_last_failure(clock: ManualClock) -> None:
    throttle = make(clock)
    for _ in range(DOUBT_MAX):
        throttle.count_failure(HERE)
    clock.advance(DOUBT_KEPT_MS - 1)
    assert throttle.is_doubtful(HERE)
    clock.advance(1)
    assert not throttle.is_doubtful(HERE)
    throttle.count_failure(HERE)
    assert not throttle.is_doubtful(HERE)


# --- refusals that are held ----------------------------------------------------------------------


async def hold(delay: RefusalDelay, address: Address, count: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(delay.wait(address)) for _ in range(count)]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


def count_held(tasks: list[asyncio.Task[None]]) -> int:
    return sum(not task.done() for task in tasks)


def test_a_refusal_is_held_for_its_time() -> None:
    async def steps() -> None:
        delay = RefusalDelay(delay_ms=1, held_max=10)
        tasks = await hold(delay, HERE, 3)
        assert count_held(tasks) == 3
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks)

    asyncio.run(steps())


def test_one_network_leaves_places_to_others_and_gets_its_own_back() -> None:
    async def steps() -> None:
        delay = RefusalDelay(delay_ms=60_000, held_max=10)
        flood = await hold(delay, HERE, 20)
        assert count_held(flood) == 5
        others = await hold(delay, ELSEWHERE, 20)
        assert 0 < count_held(others) < 5
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
        assert count_held(await hold(delay, HERE, 20)) > 0
        delay.stop()

    asyncio.run(steps())


def test_a_server_that_stops_holds_nobody() -> None:
    async def steps() -> None:
        delay = RefusalDelay(delay_ms=60_000, held_max=10)
        tasks = await hold(delay, HERE, 3)
        delay.stop()
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks)
            await delay.wait(HERE)

    asyncio.run(steps())
