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
import threading
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
_CURRENT = "SELECT max(segment) FROM duplicate_segments"
_LIST_FILTERS = (
    "SELECT first_segment, last_segment, digest, bits FROM duplicate_filters"
    " WHERE first_segment >= ?1 AND last_segment < ?2 ORDER BY first_segment"
)
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
    """Where each key of one database is, for the connection that writes there.

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
        found: list[Row] = []
        for row in rows:
            number = int(row[1], 16) - _HALF
            for each in self._filters:
                if number in each.bloom:
                    segment = _find(self._connection, self._filters, row, number)
                    # Nothing closed has it: the last segment may.
                    found.append((*row, self._current if segment is None else segment))
                    break
        return found

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
        self._current = _ask_number(self._connection, _CURRENT)
        self._filters = _load_filters(self._connection, first=0, end=self._current)
        self._learn_closed()
        self._kept = self._learn(self._current)

    def _learn_closed(self) -> None:
        """Make the filters of closed segments that lack one, and keep them."""
        due = _count_covered(self._filters)
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
        keys = _ask_number(self._connection, _COUNT_KEYS, segment)
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
        return _ask_number(self._connection, "PRAGMA data_version")


class ClosedSegments:
    """What all readers of a process know of the closed segments of one database.

    Its filters are loaded when a key is asked for. Several threads may ask at a time.
    """

    def __init__(self) -> None:
        self._filters: list[_Filter] = []
        self._loading = threading.Lock()

    def seek(self, connection: apsw.Connection, rows: Sequence[Row]) -> list[Row]:
        """Rows that begin with a ledger and a key, with each segment where the key can be.

        A row comes as often as it has such segments. Raises `apsw.Error`.
        """
        current = _ask_number(connection, _CURRENT)
        filters = self._load(connection, current)
        found: list[Row] = []
        for row in rows:
            segment = _find(connection, filters, row, int(row[1], 16) - _HALF)
            if segment is not None:
                found.append((*row, segment))
            else:
                found += [(*row, each) for each in range(_count_covered(filters), current + 1)]
        return found

    def _load(self, connection: apsw.Connection, current: int) -> list[_Filter]:
        if _count_covered(self._filters) < current:
            with self._loading:
                known = self._filters
                if _count_covered(known) < current:
                    # The last one may serve more segments by now.
                    first = known[-1].first if known else 0
                    self._filters = known[:-1] + _load_filters(connection, first=first, end=current)
        return self._filters


def has_segments(connection: apsw.Connection) -> bool:
    """Whether a database has keys in segments; the platform's has not. Raises `apsw.Error`."""
    return bool(
        connection.execute(
            "SELECT 1 FROM sqlite_schema WHERE name = 'duplicate_segments'"
        ).fetchall()
    )


def _ask_number(connection: apsw.Connection, sql: str, *values: int) -> int:
    ((number,),) = connection.execute(sql, values).fetchall()
    return int(str(number))


def _count_covered(filters: Sequence[_Filter]) -> int:
    """How many segments, from the first on, have a filter."""
    return filters[-1].last + 1 if filters else 0


def _find(
    connection: apsw.Connection, filters: Sequence[_Filter], row: Row, number: int
) -> int | None:
    """The segment that has the key of a row, if one that is served by the filters has."""
    ledger, key, *_ = row
    for each in filters:
        if number in each.bloom:
            found = connection.execute(_FIND, (each.first, each.last, ledger, key)).fetchall()
            if found:
                return int(str(found[0][0]))
    return None


def _load_filters(connection: apsw.Connection, *, first: int, end: int) -> list[_Filter]:
    """Those of the segments from `first` up to `end`, as far as they can be trusted."""
    filters: list[_Filter] = []
    due = first
    for row in connection.execute(_LIST_FILTERS, (first, end)):
        start, last, digest, bits = cast(tuple[int, int, bytes, bytes], row)
        bloom = _load(bits) if start == due and digest == _digest(bits) else None
        if bloom is None:
            break
        filters.append(_Filter(start, last, bloom))
        due = last + 1
    return filters


def _digest(bits: bytes) -> bytes:
    return blake2b(bits, digest_size=16).digest()


def _load(bits: bytes) -> Bloom | None:
    """A filter as it was kept; none where it would deny what it holds."""
    bloom = Bloom.load_bytes(bits, hash_func=int)
    return bloom if all(number in bloom for number in _CANARIES) else None
