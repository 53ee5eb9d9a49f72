"""SQLite's keys against second payments, in segments: a long ledger costs what a young one does.

The keys are random. In one index of ten million of them each payment changes a page of its own, and
copying those back from the log takes as long again as the rest of what SQLite does for a payment. So
new keys go to the last *segment* alone, a part of the index that stays small enough for its pages to
be changed many times between two checkpoints. Once it is full it is closed: it is only read then.

Whether a new key is in a closed segment is answered by Bloom filters in memory. One never denies a
key that it was given, so only what it affirms has to be looked up: every key sent again, and of the
others one in a thousand for each filter. A filter serves several segments, and is kept in the
database whenever one is closed, in the same commit. Without a filter that can be trusted it is made
anew from the keys.

A SQLite database has one writer (a lock file sees to that), so that what it remembers is all there
is. Should somebody else have written all the same, SQLite says so under the lock of the next batch,
and everything is learned again. PostgreSQL, which may have several writers, has one index.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import blake2b
from math import log
from typing import cast

import apsw
from rbloom import Bloom

from pesalango_server.storage.database import Row

SEGMENT_KEYS = 262_144
SEGMENTS_PER_FILTER = 8
FALSE_POSITIVES = 0.001

_HALF = 1 << 127
"""A filter takes numbers from -2¹²⁷ on."""


def _to_number(key: str) -> int:
    """What stands for a key in a filter."""
    return int(key, 16) - _HALF


_CANARIES = tuple(_to_number(f"{number:032x}") for number in range(8))
"""Keys that every filter holds: one that denies them was made in another way."""

_FIND = (
    "SELECT d.segment FROM duplicate_segments AS s CROSS JOIN duplicate_keys AS d"
    " WHERE s.segment BETWEEN ?1 AND ?2 AND d.ledger = ?3 AND d.segment = s.segment"
    " AND d.key = unhex(?4)"
)
# Ledgers by the index itself, a search for each.
_KEYS = (
    "WITH RECURSIVE found (ledger) AS (SELECT min(ledger) FROM duplicate_keys UNION ALL"
    " SELECT (SELECT min(d.ledger) FROM duplicate_keys AS d WHERE d.ledger > found.ledger)"
    " FROM found WHERE ledger IS NOT NULL)"
    " SELECT {} FROM found CROSS JOIN duplicate_keys AS d"
    " WHERE d.ledger = found.ledger AND d.segment = ?1"
)
_LIST_KEYS = _KEYS.format("d.key")
_COUNT_KEYS = _KEYS.format("count(*)")
_CURRENT = "SELECT max(segment) FROM duplicate_segments"
_LIST_FILTERS = (
    "SELECT first_segment, last_segment, digest, bits FROM duplicate_filters"
    " WHERE first_segment >= ?1 AND last_segment < ?2 ORDER BY first_segment"
)
_DROP_FILTERS = "DELETE FROM duplicate_filters WHERE first_segment > ?1 AND first_segment <= ?2"
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
    def make(cls, first: int, keys: int) -> "_Filter":
        """An empty one for a first segment of so many keys, and for those that follow."""
        room = max(keys, SEGMENT_KEYS * SEGMENTS_PER_FILTER)
        bloom = Bloom(room + len(_CANARIES), FALSE_POSITIVES, hash_func=int)
        bloom.update(_CANARIES)
        return cls(first, first, bloom)

    def has_room_for(self, keys: int) -> bool:
        """Whether it may serve one more segment, of so many keys."""
        bits_per_key = -log(FALSE_POSITIVES) / log(2) ** 2
        # A batch may take a segment beyond its size, and the number of items is an estimate.
        return (self.bloom.approx_items + keys) * bits_per_key <= self.bloom.size_in_bits * 1.1

    def save(self, cursor: apsw.Cursor) -> None:
        """Keep it in the database, in place of what it was before."""
        bits = self.bloom.save_bytes()
        digest = _digest(self.first, self.last, bits)
        # Whatever served a part of these segments before would be in the way of those that follow.
        cursor.execute(_DROP_FILTERS, (self.first, self.last)).fetchall()
        cursor.execute(_KEEP_FILTER, (self.first, self.last, digest, bits)).fetchall()


class KeySegments:
    """Where each key of one database is, for the connection that writes there.

    Keys are 32 hexadecimal digits. A transaction that is rolled back leaves keys in a filter which
    nobody has, and they count: they cost a look, and a segment is closed a little earlier.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        """Learn what is there, outside any transaction. Raises `apsw.Error`."""
        self._connection = connection
        # Read first: whoever commits while everything is learned is noticed by the first batch.
        self._version = self._read_version()
        self._next: _Filter | None = None
        self._learn_all(saves=True)

    def refresh(self) -> None:
        """Learn anew what another connection has written, if one has. Raises `apsw.Error`.

        To be called within a writing transaction, where nobody else can write any more.
        """
        version = self._read_version()
        if version != self._version:
            # A failure to save would end the transaction.
            self._learn_all(saves=False)
            self._version = version

    def seek(self, rows: Sequence[Row]) -> list[Row]:
        """Of rows that begin with a ledger and a key, those whose key is there.

        Each with the segment that has it. Raises `apsw.Error`.
        """
        blooms = [each.bloom for each in self._filters]
        found: list[Row] = []
        for row in rows:
            number = _to_number(row[1])
            for bloom in blooms:
                if number in bloom:
                    segment = _find(self._connection, self._filters, row)
                    if segment is not None:
                        found.append((*row, segment))
                    break
        return found

    def keep(self, rows: Sequence[Row]) -> list[Row]:
        """Rows to write that begin with a ledger and a key, each with the segment to write to."""
        add, current = self._filters[-1].bloom.add, self._current
        for row in rows:
            add(_to_number(row[1]))
        self._kept += len(rows)
        return [(*row, current) for row in rows]

    @property
    def is_full(self) -> bool:
        """Whether the last segment has all the keys that it should have."""
        return self._kept >= SEGMENT_KEYS

    def begin_next(self, cursor: apsw.Cursor) -> None:
        """Close the last segment, as part of a transaction. Raises `apsw.Error`."""
        last = self._filters[-1]
        last.save(cursor)
        cursor.execute("INSERT INTO duplicate_segments VALUES (?)", (self._current + 1,)).fetchall()
        has_room = last.has_room_for(SEGMENT_KEYS)
        self._next = None if has_room else _Filter.make(self._current + 1, SEGMENT_KEYS)

    def go_on(self) -> None:
        """Write to the segment that `begin_next` has begun, which is committed."""
        if self._next is not None:
            self._filters.append(self._next)
        self._current += 1
        self._filters[-1].last = self._current
        self._kept = 0

    def _read_version(self) -> int:
        """Changes with every commit of another connection."""
        return _ask_number(self._connection, "PRAGMA data_version")

    def _learn_all(self, *, saves: bool) -> None:
        """Have all keys in filters, and keep those filters that closed segments lacked."""
        self._current = _ask_number(self._connection, _CURRENT)
        self._filters = _load_filters(self._connection, first=0, end=self._current)
        made: list[_Filter] = []
        for segment in range(_count_covered(self._filters), self._current):
            self._learn(segment)
            if self._filters[-1] not in made:
                made.append(self._filters[-1])
        if saves and made:
            # They are as good when they cannot be kept; the next start makes them again.
            with contextlib.suppress(apsw.Error):
                self._save_all(made)
        self._kept = self._learn(self._current)

    def _learn(self, segment: int) -> int:
        """Have the segment's keys in a filter; how many they are."""
        keys = _ask_number(self._connection, _COUNT_KEYS, segment)
        room = max(keys, SEGMENT_KEYS)
        if not self._filters or not self._filters[-1].has_room_for(room):
            self._filters.append(_Filter.make(segment, keys))
        last = self._filters[-1]
        last.last = segment
        listed = cast(Iterator[tuple[bytes]], self._connection.execute(_LIST_KEYS, (segment,)))
        # The numbers that `_to_number` makes of their digits.
        last.bloom.update(int.from_bytes(key, "big") - _HALF for (key,) in listed)
        return keys

    def _save_all(self, filters: list[_Filter]) -> None:
        """Keep filters that were made anew, in the place of whatever there was of their segments."""
        with self._connection:
            cursor = self._connection.cursor()
            cursor.execute(
                "DELETE FROM duplicate_filters WHERE first_segment >= ?", (filters[0].first,)
            ).fetchall()
            for each in filters:
                each.save(cursor)


class ClosedSegments:
    """What all readers of a process know of the closed segments of one database.

    Its filters are loaded when a key is asked for. Several threads may ask at a time.
    """

    def __init__(self) -> None:
        self._filters: list[_Filter] = []
        self._loaded_for = 0
        self._loading = threading.Lock()

    def seek(self, connection: apsw.Connection, rows: Sequence[Row]) -> list[Row]:
        """Rows that begin with a ledger and a key, with each segment where the key can be.

        A row comes as often as it has such segments. Raises `apsw.Error`.
        """
        # Read first: what is begun meanwhile holds only what was answered meanwhile.
        current = _ask_number(connection, _CURRENT)
        if current > self._loaded_for:
            self._load(connection, current)
        filters = self._filters
        found: list[Row] = []
        for row in rows:
            segment = _find(connection, filters, row)
            if segment is not None:
                found.append((*row, segment))
            else:
                found += [(*row, each) for each in range(_count_covered(filters), current + 1)]
        return found

    def _load(self, connection: apsw.Connection, current: int) -> None:
        with self._loading:
            if current > self._loaded_for:
                # The last one may serve more segments by now.
                known = self._filters[:-1]
                first = _count_covered(known)
                self._filters = known + _load_filters(connection, first=first, end=current)
                self._loaded_for = current


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


def _find(connection: apsw.Connection, filters: Sequence[_Filter], row: Row) -> int | None:
    """The segment that has the key of a row, if one that is served by the filters has."""
    ledger, key, *_ = row
    number = _to_number(key)
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
        if start != due or digest != _digest(start, last, bits):
            break
        bloom = Bloom.load_bytes(bits, hash_func=int)
        if not all(number in bloom for number in _CANARIES):
            break
        filters.append(_Filter(start, last, bloom))
        due = last + 1
    return filters


@cache
def _name_library() -> str:
    # Imported where it is needed: a start without a closed segment does without.
    from importlib import metadata  # noqa: PLC0415

    return f"rbloom {metadata.version('rbloom')}"


def _digest(first: int, last: int, bits: bytes) -> bytes:
    """Of a filter as it is kept; another one where the library may read the bits in another way."""
    head = f"{_name_library()}/{first}/{last}/"
    return blake2b(head.encode() + bits, digest_size=16).digest()
