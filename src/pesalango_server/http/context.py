"""What a worker holds while it serves: links, readers, and the configuration in force."""

from dataclasses import dataclass, field

import msgspec

from pesalango_server.applications.keys import CredentialHasher
from pesalango_server.applications.model import Configuration
from pesalango_server.applications.store import read_configuration, read_generation
from pesalango_server.kernel.clock import Clock
from pesalango_server.kernel.ids import IdCodec
from pesalango_server.ledger.store import FIND_LEDGERS
from pesalango_server.link.client import LinkClient
from pesalango_server.payments.duplicates import DuplicateKeys
from pesalango_server.storage.database import Read
from pesalango_server.storage.pool import ReaderPool

SNAPSHOT_AGE_MAX_MS = 5_000

_decode_rows = msgspec.json.Decoder(list[tuple[int, int, str, int]]).decode


@dataclass
class EnvironmentContext:
    """One environment (`sandbox` or `openapi`) as a worker reaches it.

    `wait_ms` is how long a synchronous call waits for its customer; `approves_unscripted` says
    whether a customer without a script approves at once, `b2b_payer_may_reverse` whether who paid
    another organisation may take it back.
    """

    name: str
    link: LinkClient
    readers: ReaderPool
    wait_ms: int
    approves_unscripted: bool
    b2b_payer_may_reverse: bool
    _ledgers: dict[tuple[int, str], int] = field(default_factory=dict)

    def known_ledger(self, world: int, market: str) -> int | None:
        """The ledger of a market in a world, if `find_ledger` has found it before."""
        return self._ledgers.get((world, market))

    async def find_ledger(self, world: int, market: str) -> int | None:
        """The ledger of a market (path value) in a world, if it has been opened.

        Raises `StorageUnavailable`. Ledgers are never renumbered, so what was found stays true.
        """
        known = self.known_ledger(world, market)
        if known is None:
            rows = _decode_rows(await self.readers.read(Read(FIND_LEDGERS, rows=[(world, market)])))
            if not rows:
                return None
            known = self._ledgers[world, market] = rows[0][3]
        return known

    def remember_ledger(self, world: int, market: str, ledger: int) -> None:
        """Spare the next look for a ledger that was just opened."""
        self._ledgers[world, market] = ledger


class Installation:
    """What is derived from the installation's own secrets, once."""

    def __init__(self, configuration: Configuration) -> None:
        secrets = configuration.secrets
        self.hasher = CredentialHasher(secrets["credentials"])
        self.duplicate_keys = DuplicateKeys(secrets["duplicates"])
        self.ids = IdCodec(secrets["ids"])


class ConfigurationHolder:
    """The configuration in force in this worker, replaced whole whenever its generation moves."""

    def __init__(self, readers: ReaderPool, clock: Clock, current: Configuration) -> None:
        self._readers = readers
        self._clock = clock
        self._read_at_ms = clock.monotonic_ms()
        self.current = current
        self.installation = Installation(current)

    @property
    def is_stale(self) -> bool:
        """Whether the last look at the platform's database is too long ago to go by."""
        return self._clock.monotonic_ms() - self._read_at_ms > SNAPSHOT_AGE_MAX_MS

    async def refresh(self) -> Configuration:
        """Look whether the configuration changed, and load it if so. Raises `StorageUnavailable`.

        Called every 500 ms, before an unknown key is refused, and by the admin API before it
        answers a change.
        """
        asked_at_ms = self._clock.monotonic_ms()
        if await self._readers.use(read_generation) != self.current.generation:
            wall_ms = self._clock.wall_ms()
            fresh = await self._readers.use(
                lambda reader: read_configuration(reader, wall_ms=wall_ms)
            )
            # Two refreshes may overlap; the older one must not win.
            if fresh.generation > self.current.generation:
                self.current = fresh
        self._read_at_ms = max(self._read_at_ms, asked_at_ms)
        return self.current


@dataclass
class WorkerContext:
    """Everything that the faces of a worker are handed by `main`."""

    clock: Clock
    configuration: ConfigurationHolder
    platform_link: LinkClient
    environments: dict[str, EnvironmentContext]
