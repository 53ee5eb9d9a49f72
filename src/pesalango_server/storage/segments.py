"""SQLite's keys against second payments, in segments: a long ledger costs what a young one does.

The keys are random. In one index of ten million of them each payment changes a page of its own, and
copying those back from the log takes as long again as the rest of what SQLite does for a payment. So
new keys go to the last *segment* alone, a part of the index that stays small enough for its pages to
be changed many times between two checkpoints. Once it is full it is closed: it is only read then.

Whether a new key is in a closed segment is answered by Bloom filters in memory. One never denies a
key that it was given, so only what it affirms has to be looked up: every key sent again, and one in
a thousand of the others. A filter serves several segments, and is kept in the database whenever one
is closed, in the same commit. Without a filter that can be trusted it is made anew from the keys.

A SQLite database has one writer (a lock file sees to that), so that what it remembers is all there
is. Should somebody else have written all the same, SQLite says so, and everything is learned again.
PostgreSQL, which may have several writers, has one index.
"""

import contextlib
from collections.abc import Sequence
from hashlib import blake2b
from typing import cast

import apsw
from rbloom import Bloom

from pesalango_server.storage.database import Row

SEGMENT_KEYS = 262_144
SEGMENTS_PER_FILTER = 8
FALSE_POSITIVES = 0.001

_CANARIES = tuple(range(-8, 0))
"""Numbers that every filter holds: one that denies them was made by another way of hashing."""

_HALF = 1 << 127
"""A filter takes numbers from -2¹²⁷ on."""

_FIND = (
    "SELECT d.segment FROM duplicate_segments AS s CROSS JOIN duplicate_keys AS d"
    " WHERE s.segment BETWEEN ?1 AND ?2 AND d.ledger = ?3 AND d.segment = s.segment"
    " AND d.key = unhex(?4)"
)
_KEYS = (
    " FROM ledgers AS l CROSS JOIN duplicate_keys AS d WHERE d.ledger = l.ledger AND d.segment = ?1"
)
_LIST_KEYS = f"SELECT d.key{_KEYS}"
_COUNT_KEYS = f"SELECT count(*){_KEYS}"
_KEEP_FILTER = (
    "INSERT INTO duplicate_filters VALUES (?1, ?2, ?3, ?4) ON CONFLICT (first_segment)"
    " DO UPDATE SET last_segment = ?2, digest = ?3, bits = ?4"
)


class _Filter:
    """The keys of the segments from `first` to `last`."""

    __slots__ = ("bloom", "first", "last")

    def __init__(self, first: int, last: int, bloom: Bloom) -> None:
        self.first, self.last, self.bloom = first, last, bloom

    @classmethod
    def make(cls, first: int, keys: int = 0) -> "_Filter":
        """An empty one for a first segment of so many keys, and for those that follow."""
        room = max(keys, SEGMENT_KEYS * SEGMENTS_PER_FILTER)
        bloom = Bloom(room, FALSE_POSITIVES, hash_func=int)
        bloom.update(_CANARIES)
        return cls(first, first, bloom)

    def has_room_for(self, keys: int) -> bool:
        """Whether it may serve one more segment, of so many keys."""
        return self.bloom.approx_items + keys <= SEGMENT_KEYS * SEGMENTS_PER_FILTER * 1.1

    def save(self, cursor: apsw.Cursor) -> None:
        """Keep it in the database, in place of what it was before."""
        bits = self.bloom.save_bytes()
        cursor.execute(_KEEP_FILTER, (self.first, self.last, _digest(bits), bits)).fetchall()


class KeySegments:
    """Where each key of one database is; for the connection that writes there.

    Keys are 32 hexadecimal digits. A transaction that is rolled back leaves keys in a filter which
    nobody has: they cost a look.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        """Learn what is there. Raises `apsw.Error`."""
        self._connection = connection
        self._version = self._read_version()
        self._learn_all()

    def refresh(self) -> None:
        """Learn anew what another connection has written, if one has. Raises `apsw.Error`."""
        version = self._read_version()
        if version != self._version:
            self._learn_all()
            self._version = version

    def seek(self, rows: Sequence[Row]) -> list[Row]:
        """Of rows that begin with a ledger and a key, those whose key may be known.

        Each with the only segment where it can be. Raises `apsw.Error`.
        """
        blooms = [each.bloom for each in self._filters]
        found: list[Row] = []
        for row in rows:
            number = int(row[1], 16) - _HALF
            for bloom in blooms:
                if number in bloom:
                    found.append((*row, self._find(row[0], row[1], number)))
                    break
        return found

    def _find(self, ledger: int, key: str, number: int) -> int:
        """The closed segment that has a key, else the last one, which may have it."""
        for each in self._filters:
            if number in each.bloom:
                found = self._connection.execute(_FIND, (each.first, each.last, ledger, key))
                for (segment,) in found.fetchall():
                    return int(str(segment))
        return self._current

    def keep(self, rows: Sequence[Row]) -> list[Row]:
        """Rows to write that begin with a ledger and a key, each with the segment to write to."""
        add, current = self._filters[-1].bloom.add, self._current
        for row in rows:
            add(int(row[1], 16) - _HALF)
        self._kept += len(rows)
        return [(*row, current) for row in rows]

    @property
    def is_full(self) -> bool:
        """Whether the last segment has all the keys that it should have."""
        return self._kept >= SEGMENT_KEYS

    def begin_next(self, cursor: apsw.Cursor) -> None:
        """Close the last segment, as part of a transaction. Raises `apsw.Error`."""
        self._filters[-1].save(cursor)
        cursor.execute("INSERT INTO duplicate_segments VALUES (?)", (self._current + 1,)).fetchall()

    def go_on(self) -> None:
        """Write to the segment that `begin_next` has begun, which is committed."""
        self._current += 1
        self._kept = 0
        self._find_filter(self._current)

    # --- learned at the start --------------------------------------------------------------------

    def _learn_all(self) -> None:
        self._current = self._ask_number("SELECT max(segment) FROM duplicate_segments")
        self._filters: list[_Filter] = []
        self._load_filters()
        self._learn_closed()
        self._kept = self._learn(self._current)

    def _load_filters(self) -> None:
        """Those of the closed segments, from the first on, as far as they can be trusted."""
        due = 0
        for first, last, digest, bits in self._connection.execute(
            "SELECT first_segment, last_segment, digest, bits FROM duplicate_filters"
            " WHERE last_segment < ? ORDER BY first_segment",
            (self._current,),
        ):
            bloom = (
                _load(cast(bytes, bits))
                if first == due and digest == _digest(cast(bytes, bits))
                else None
            )
            if bloom is None:
                return
            self._filters.append(_Filter(cast(int, first), cast(int, last), bloom))
            due = cast(int, last) + 1

    def _learn_closed(self) -> None:
        """Make the filters of closed segments that lack one, and keep them."""
        due = self._filters[-1].last + 1 if self._filters else 0
        if due == self._current:
            return
        known = len(self._filters) - 1
        for segment in range(due, self._current):
            self._learn(segment)
        # They are as good when they cannot be kept; the next start makes them again.
        with contextlib.suppress(apsw.Error), self._connection:
            cursor = self._connection.cursor()
            for each in self._filters[max(known, 0) :]:
                each.save(cursor)

    def _learn(self, segment: int) -> int:
        """Have the segment's keys in a filter; how many they are."""
        keys = self._ask_number(_COUNT_KEYS, segment)
        bloom = self._find_filter(segment, keys).bloom
        listed = self._connection.execute(_LIST_KEYS, (segment,))
        bloom.update(int.from_bytes(cast(bytes, key)) - _HALF for (key,) in listed)
        return keys

    def _find_filter(self, segment: int, keys: int = 0) -> _Filter:
        """The filter for a segment that follows on those that have one; `keys` if it has many."""
        room = max(keys, SEGMENT_KEYS)
        if not self._filters or not self._filters[-1].has_room_for(room):
            self._filters.append(_Filter.make(segment, keys))
        self._filters[-1].last = segment
        return self._filters[-1]

    def _read_version(self) -> int:
        """Changes with every commit of another connection."""
        return self._ask_number("PRAGMA data_version")

    def _ask_number(self, sql: str, *values: int) -> int:
        ((number,),) = self._connection.execute(sql, values).fetchall()
        return int(str(number))


def has_segments(connection: apsw.Connection) -> bool:
    """Whether a database has keys in segments; the platform's has not. Raises `apsw.Error`."""
    return bool(
        connection.execute(
            "SELECT 1 FROM sqlite_schema WHERE name = 'duplicate_segments'"
        ).fetchall()
    )


def _digest(bits: bytes) -> bytes:
    return blake2b(bits, digest_size=16).digest()


def _load(bits: bytes) -> Bloom | None:
    """A filter as it was kept; none where it would deny what it holds."""
    bloom = Bloom.load_bytes(bits, hash_func=int)
    return bloom if all(number in bloom for number in _CANARIES) else None
