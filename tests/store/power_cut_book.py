"""A book in SQLite whose transactions show whether each of them is there, whole, or not.

Every transaction adds an entry, whose text follows from its number, and rewrites a summary.
"""

import contextlib
from pathlib import Path
from typing import Literal

import apsw

from tests.store.power_cut import PowerCutDisk, PowerLost

PATH = Path("/nowhere/book.db")
WAL_PATH = Path("/nowhere/book.db-wal")

Synchronous = Literal["full", "normal", "off"]


class BookTornError(Exception):
    """Some part of a transaction is there and some part is not."""


def open_book(
    disk: PowerCutDisk,
    *,
    synchronous: Synchronous = "full",
    checkpoint_pages: int = 0,
    journal_size_limit_bytes: int = -1,
) -> apsw.Connection:
    """A book in WAL mode; made where there is none. `checkpoint_pages` = 0: never by itself."""
    connection = apsw.Connection(str(PATH), vfs=disk.vfs_name)
    try:
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", synchronous)
        connection.pragma("wal_autocheckpoint", checkpoint_pages)
        connection.pragma("journal_size_limit", journal_size_limit_bytes)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS entries (number INTEGER PRIMARY KEY, text TEXT) STRICT;"
            "CREATE TABLE IF NOT EXISTS summary (id INTEGER PRIMARY KEY, count INTEGER) STRICT"
        )
    except BaseException:
        close_book(connection)
        raise
    return connection


def close_book(connection: apsw.Connection) -> None:
    """Close, although the power may go during the last checkpoint."""
    with contextlib.suppress(PowerLost):
        connection.close()


def make_text(number: int) -> str:
    """Of a few bytes or of several pages, so that transactions differ in size."""
    return f"{number} " * (1 + number * 37 % 1500)


def write_entry(connection: apsw.Connection, number: int) -> None:
    """One transaction that touches two tables; acknowledged when this returns."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO entries VALUES (?, ?)", (number, make_text(number)))
    connection.execute("INSERT OR REPLACE INTO summary VALUES (1, ?)", (number,))
    connection.execute("COMMIT")


def write_until_cut(connection: apsw.Connection, *, first: int, last: int) -> int:
    """Write the entries from `first` to `last`; the last one that was acknowledged."""
    acknowledged = first - 1
    try:
        for number in range(first, last + 1):
            write_entry(connection, number)
            acknowledged = number
    except PowerLost:
        pass
    close_book(connection)
    return acknowledged


def count_entries(connection: apsw.Connection) -> int:
    """How many transactions are in the book, each of them whole."""
    verdict = connection.pragma("integrity_check")
    if verdict != "ok":
        raise BookTornError(verdict)
    numbers = []
    for number, text in connection.execute("SELECT number, text FROM entries ORDER BY number"):
        numbers.append(number)
        if text != make_text(number):
            raise BookTornError(f"the text of {number} is not what was written")
    count = connection.execute("SELECT count FROM summary").get or 0
    if numbers != list(range(1, count + 1)):
        raise BookTornError(f"the summary says {count}, the entries are {numbers}")
    return len(numbers)


def recover_book(disk: PowerCutDisk, *, checkpoint_pages: int = 0) -> int:
    connection = open_book(disk, checkpoint_pages=checkpoint_pages)
    try:
        return count_entries(connection)
    finally:
        close_book(connection)


def check_recovery(disk: PowerCutDisk, acknowledged: int) -> int:
    """Nothing acknowledged is lost; what was in flight may be there, but nothing beyond it."""
    recovered = recover_book(disk)
    assert acknowledged <= recovered <= acknowledged + 1
    return recovered
