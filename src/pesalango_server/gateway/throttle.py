"""How often an address may fail to authenticate before its next attempts are turned away."""

import asyncio
from collections import Counter, OrderedDict
from functools import lru_cache
from ipaddress import ip_network
from math import ceil
from typing import Final, TypeVar

from pesalango_server.http.addresses import Address, Network, neighbourhood_of
from pesalango_server.kernel.clock import Clock

MINUTE_MS: Final = 60_000

DOUBTFUL_FROM: Final = 10
"""So many failures that no success has made good; a merchant's own tests of refusals are fewer."""

DOUBT_MAX: Final = 20
"""More failures than so many are not held against anybody: successes have to make them good."""

DOUBT_KEPT_MS: Final = 10 * MINUTE_MS
"""So long after its last failure nobody is doubtful any more."""

_Kept = TypeVar("_Kept")


@lru_cache(maxsize=4_096)
def find_network(address: Address | None) -> Network | None:
    """Whose failures count together: a neighbourhood (/24, /64).

    Addresses of this machine have no neighbours: whoever uses several of them means several
    callers.
    """
    if address is None:
        return None
    return ip_network(address) if address.is_loopback else neighbourhood_of(address)


class FailureThrottle:
    """A bucket for each network that `find_network` tells apart; only failures draw on it.

    A bucket that is full is forgotten; of those that are not, `networks_max` are remembered, and
    the one that failed longest ago makes room.

    Beside it stands doubt, which successes take away again, and which no network is exempt from: it
    tells only who waits for whom. A shop that fails now and then is above it, however often that
    is; whoever does nothing but fail is not.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        failures_per_minute: int,
        networks_max: int,
        exempts_loopback: bool,
    ) -> None:
        self._clock = clock
        self._capacity = failures_per_minute
        self._networks_max = networks_max
        self._exempts_loopback = exempts_loopback
        # Failures that still count, and when that was.
        self._buckets: OrderedDict[Network | None, tuple[float, int]] = OrderedDict()
        # Failures that no success has made good, and when the last one was.
        self._doubt: OrderedDict[Network | None, tuple[int, int]] = OrderedDict()

    def seconds_to_wait(self, address: Address | None) -> int:
        """How long until an unknown ciphertext from there is looked at again; 0 means now."""
        if not self._buckets or self._is_exempt(address):
            return 0
        excess = self._level(find_network(address)) - (self._capacity - 1)
        if excess <= 0:
            return 0
        return max(1, ceil(excess * MINUTE_MS / self._capacity / 1_000))

    def is_doubtful(self, address: Address | None) -> bool:
        """Whether what is unknown from there was mostly wrong of late."""
        return bool(self._doubt) and self._find_doubt(find_network(address)) >= DOUBTFUL_FROM

    def count_success(self, address: Address | None) -> None:
        """Count an unknown ciphertext that had a key of ours in it."""
        if not self._doubt:
            return
        network = find_network(address)
        doubt, failed_ms = self._doubt.pop(network, (0, 0))
        if doubt > 1:
            self._doubt[network] = doubt - 1, failed_ms

    def count_failure(self, address: Address | None) -> None:
        """Count a failed authentication."""
        network = find_network(address)
        now_ms = self._clock.monotonic_ms()
        self._doubt[network] = min(self._find_doubt(network) + 1, DOUBT_MAX), now_ms
        _forget_oldest(self._doubt, network, self._networks_max)
        if self._is_exempt(address):
            return
        # Attempts that were under way together may all fail; they are no reason to wait longer
        # than a minute.
        level = min(self._level(network) + 1, float(self._capacity))
        self._buckets[network] = (level, now_ms)
        _forget_oldest(self._buckets, network, self._networks_max)

    def _find_doubt(self, network: Network | None) -> int:
        doubt, failed_ms = self._doubt.get(network, (0, 0))
        return doubt if doubt and self._clock.monotonic_ms() - failed_ms < DOUBT_KEPT_MS else 0

    def _is_exempt(self, address: Address | None) -> bool:
        return self._exempts_loopback and address is not None and address.is_loopback

    def _level(self, network: Network | None) -> float:
        level, at_ms = self._buckets.get(network, (0.0, 0))
        if level == 0:
            return 0.0
        drained = (self._clock.monotonic_ms() - at_ms) * self._capacity / MINUTE_MS
        if drained >= level:
            del self._buckets[network]
            return 0.0
        return level - drained


def _forget_oldest(
    kept: OrderedDict[Network | None, _Kept], latest: Network | None, networks_max: int
) -> None:
    kept.move_to_end(latest)
    if len(kept) > networks_max:
        kept.popitem(last=False)


class RefusalDelay:
    """Keeps callers waiting for a refusal that they were told to expect.

    A refusal costs nearly as much as a payment, but for its decryption; a caller who gets it at
    once comes again at once. At most `held_max` wait at a time, and of one network no more than
    that leaves to others.
    """

    def __init__(self, *, delay_ms: int, held_max: int) -> None:
        self._delay_s = delay_ms / 1_000
        self._held_max = held_max
        self._held: Counter[Network | None] = Counter()
        self._total = 0
        self._is_over = asyncio.Event()

    async def wait(self, address: Address | None) -> None:
        """Wait, where there is room to."""
        network = find_network(address)
        if self._held[network] >= self._held_max - self._total:
            return
        self._held[network] += 1
        self._total += 1
        try:
            async with asyncio.timeout(self._delay_s):
                await self._is_over.wait()
        except TimeoutError:
            pass
        finally:
            self._total -= 1
            self._held[network] -= 1
            if not self._held[network]:
                del self._held[network]

    def stop(self) -> None:
        """Let all go that wait, and keep nobody any more: the server stops."""
        self._is_over.set()
