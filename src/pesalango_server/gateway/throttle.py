"""How often an address may fail to authenticate before its next attempts are turned away."""

from collections import OrderedDict
from math import ceil
from typing import Final

from pesalango_server.http.addresses import Address, Network, neighbourhood_of
from pesalango_server.kernel.clock import Clock

MINUTE_MS: Final = 60_000


class FailureThrottle:
    """A bucket for each neighbourhood of addresses (/24, /64); only failures draw on it.

    A bucket that is full is forgotten; of those that are not, `networks_max` are remembered, and
    the one that failed longest ago makes room.
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

    def seconds_to_wait(self, address: Address | None) -> int:
        """How long until an unknown ciphertext from there is looked at again; 0 means now."""
        if self._is_exempt(address):
            return 0
        network = neighbourhood_of(address) if address is not None else None
        excess = self._level(network) - (self._capacity - 1)
        if excess <= 0:
            return 0
        return max(1, ceil(excess * MINUTE_MS / self._capacity / 1_000))

    def count_failure(self, address: Address | None) -> None:
        """Count a failed authentication."""
        if self._is_exempt(address):
            return
        network = neighbourhood_of(address) if address is not None else None
        # Attempts that were under way together may all fail; they are no reason to wait longer
        # than a minute.
        level = min(self._level(network) + 1, float(self._capacity))
        self._buckets[network] = (level, self._clock.monotonic_ms())
        self._buckets.move_to_end(network)
        if len(self._buckets) > self._networks_max:
            self._buckets.popitem(last=False)

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
