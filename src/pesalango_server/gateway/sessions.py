"""Sessions as a worker knows them: read from the database, remembered by their ciphertexts."""

from collections import OrderedDict, deque
from typing import Final

import msgspec

from pesalango_server.applications.model import Application, Configuration
from pesalango_server.storage.database import Read, Schema, declare_query

FIND_SESSION_IN_MARKET: Final = declare_query(
    "find_session_in_market",
    Schema.ENVIRONMENT,
    columns="application, live_ms, ends_ms, world, market, clock_offset_ms, last_time_ms",
    text=(
        "SELECT s.application AS application, s.live_ms AS live_ms, s.ends_ms AS ends_ms,"
        " l.world AS world, l.market AS market, t.clock_offset_ms AS clock_offset_ms,"
        " t.last_time_ms AS last_time_ms"
        " FROM {input} CROSS JOIN sessions AS s CROSS JOIN ledgers AS l"
        " CROSS JOIN ledger_state AS t"
        " WHERE s.key_hash = input.key_hash AND l.ledger = s.ledger AND t.ledger = s.ledger"
    ),
    set_columns="key_hash hex",
)

_decode_rows = msgspec.json.Decoder(list[tuple[int, int, int, int, str, int, int]]).decode


class KnownSession:
    """A session that was found, and what it means under the configuration last looked at.

    Times are the ledger's, in milliseconds; `ledger_time_ms` is the latest that was read, and
    `clock_offset_ms` is by how much the ledger's clock is ahead of the wall's.
    """

    __slots__ = (
        "application",
        "application_id",
        "ciphertexts",
        "clock_offset_ms",
        "configuration",
        "ends_ms",
        "key_hash",
        "ledger_time_ms",
        "live_ms",
        "market",
        "world",
    )

    def __init__(self, key_hash: str, row: tuple[int, int, int, int, str, int, int]) -> None:
        self.key_hash = key_hash
        self.application_id, self.live_ms, self.ends_ms = row[:3]
        self.world, self.market = row[3:5]
        self.clock_offset_ms, self.ledger_time_ms = row[5:]
        self.ciphertexts: deque[bytes] = deque()
        # None until looked at, and where the application may not call (any more).
        self.application: Application | None = None
        self.configuration: Configuration | None = None

    def ledger_now_ms(self, wall_ms: int) -> int:
        """The ledger's time: no earlier than it was known to be."""
        return max(self.ledger_time_ms, wall_ms + self.clock_offset_ms)


def read_session_in_market(key_hash: str) -> Read:
    """The read that finds a session by the hash of its key."""
    return Read(FIND_SESSION_IN_MARKET, rows=[(key_hash,)])


def decode_session_in_market(key_hash: str, document: bytes) -> KnownSession | None:
    """The session in the answer of `read_session_in_market`."""
    rows = _decode_rows(document)
    return KnownSession(key_hash, rows[0]) if rows else None


class CiphertextMap:
    """From the keyed hash of a ciphertext to the session whose key is in it.

    Holds successes only. At most `per_session_max` ciphertexts of one session, the oldest of its
    own making room, but one that was used again stays before one that was used once: a program
    that encrypts anew for each call must not cost another, of the same session, its ciphertext.
    And `ciphertexts_max` of all, of which the least recently used goes.
    """

    def __init__(self, *, ciphertexts_max: int, per_session_max: int) -> None:
        self._ciphertexts_max = ciphertexts_max
        self._per_session_max = per_session_max
        self._by_ciphertext: OrderedDict[bytes, KnownSession] = OrderedDict()
        self._by_key: dict[str, KnownSession] = {}
        self._used_once: set[bytes] = set()

    def __len__(self) -> int:
        """How many ciphertexts are remembered."""
        return len(self._by_ciphertext)

    def find(self, ciphertext_hash: bytes) -> KnownSession | None:
        """The session of a ciphertext that was seen before."""
        known = self._by_ciphertext.get(ciphertext_hash)
        if known is not None:
            self._by_ciphertext.move_to_end(ciphertext_hash)
            self._used_once.discard(ciphertext_hash)
        return known

    def find_by_key(self, key_hash: str) -> KnownSession | None:
        """The session of a key that is remembered under another ciphertext."""
        return self._by_key.get(key_hash)

    def remember(self, ciphertext_hash: bytes, known: KnownSession) -> None:
        """Spare the next decryption of this ciphertext."""
        # Two calls with one new ciphertext may both have been decrypted.
        if ciphertext_hash in self._by_ciphertext:
            return
        known = self._by_key.setdefault(known.key_hash, known)
        if len(known.ciphertexts) >= self._per_session_max:
            used_once = (each for each in known.ciphertexts if each in self._used_once)
            replaced = next(used_once, known.ciphertexts[0])
            known.ciphertexts.remove(replaced)
            self._used_once.discard(replaced)
            del self._by_ciphertext[replaced]
        known.ciphertexts.append(ciphertext_hash)
        self._used_once.add(ciphertext_hash)
        self._by_ciphertext[ciphertext_hash] = known
        if len(self._by_ciphertext) > self._ciphertexts_max:
            oldest_hash, oldest = self._by_ciphertext.popitem(last=False)
            oldest.ciphertexts.remove(oldest_hash)
            self._used_once.discard(oldest_hash)
            if not oldest.ciphertexts:
                del self._by_key[oldest.key_hash]
