"""How often the client's journal has a payment wait for the disk.

Payments out are made one after the other, as fast as `bench/responder.py` answers, with a journal
that is new: the making of the file counts, and so do the checkpoints that fall due. What is counted
is SQLite's own calls of its operating system layer to sync a file (its database and its log), plus
the journal's own fsyncs. For that the journal runs on another binding of SQLite, apsw, whose layer
can be watched; its statements, pragmas and transactions are the same.

`python -m bench.client_syncs ADDRESS JOURNAL PAYMENTS` prints `SyncCounts` as JSON.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import msgspec

from bench.client_calls import PAYMENT, SECONDS_MAX, make_client
from bench.directory import REPOSITORY
from bench.server import ProductError
from pesalango import _sqlite_journal

LAYER = "counting"


class SyncCounts(msgspec.Struct, frozen=True, kw_only=True):
    payments: int
    syncs: int

    @property
    def per_payment(self) -> float:
        return self.syncs / self.payments


def count_syncs(address: str, journal: Path, *, payments: int) -> SyncCounts:
    """In a process of its own. Nothing may be at `journal` yet."""
    ended = subprocess.run(
        [sys.executable, "-m", "bench.client_syncs", address, str(journal), str(payments)],
        cwd=REPOSITORY,
        capture_output=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    if ended.returncode != 0:
        raise ProductError(f"the payments ended: {ended.stderr.decode(errors='replace')}")
    return msgspec.json.decode(ended.stdout, type=SyncCounts)


class Count:
    """Syncs so far, whoever asked for them."""

    total = 0


class CountingFile(apsw.VFSFile):
    """A file of SQLite's whose syncs are counted and made."""

    def __init__(self, name: Any, flags: Any) -> None:
        super().__init__("", name, flags)

    def xSync(self, flags: int) -> None:  # noqa: N802 - as apsw calls it
        Count.total += 1
        super().xSync(flags)


class CountingLayer(apsw.VFS):
    """The usual layer below SQLite, with files that count."""

    def __init__(self) -> None:
        super().__init__(LAYER, "")

    def xOpen(self, name: Any, flags: Any) -> CountingFile:  # noqa: N802 - as apsw calls it
        return CountingFile(name, flags)


class Rows:
    """What the journal reads of a cursor of the standard library's."""

    def __init__(self, rows: Sequence[Any], changed: int) -> None:
        self.rows, self.rowcount = rows, changed

    def fetchone(self) -> Any:
        return self.rows[0] if self.rows else None

    def __iter__(self) -> Iterator[Any]:
        return iter(self.rows)


class Connection:
    """What the journal asks of a connection of the standard library's, done by apsw."""

    def __init__(self, path: Path, *, timeout: float, **_: Any) -> None:
        self.connection = apsw.Connection(str(path), vfs=LAYER)
        self.connection.set_busy_timeout(int(timeout * 1000))

    @property
    def in_transaction(self) -> bool:
        return self.connection.in_transaction

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Rows:
        rows = list(self.connection.execute(statement, tuple(values)))
        return Rows(rows, self.connection.changes())

    def executescript(self, statements: str) -> None:
        self.connection.execute(statements)

    def close(self) -> None:
        self.connection.close()


def count_own_syncs() -> None:
    """Count the fsyncs that are not SQLite's as well."""
    sync = os.fsync

    def count(opened: int) -> None:
        Count.total += 1
        sync(opened)

    os.fsync = count  # type: ignore[assignment]  # for this process alone


def pay_out(address: str, journal: Path, payments: int) -> SyncCounts:
    layer = CountingLayer()
    count_own_syncs()
    known = {**vars(sqlite3), "connect": Connection}
    vars(_sqlite_journal)["sqlite3"] = SimpleNamespace(**known)
    values = {**PAYMENT, "payment_items_description": PAYMENT["purchased_items_description"]}
    del values["purchased_items_description"]
    with make_client(address, journal=journal) as client:
        for number in range(payments):
            client.payments.pay_out(key=f"payment-{number}", **values)
        left = client.payments.list_open()
    layer.unregister()
    if left:
        raise ProductError(f"{len(left)} payments are open")
    return SyncCounts(payments=payments, syncs=Count.total)


def main() -> None:
    address, journal, payments = sys.argv[1:]
    counts = pay_out(address, Path(journal), int(payments))
    sys.stdout.buffer.write(msgspec.json.encode(counts) + b"\n")


if __name__ == "__main__":
    main()
