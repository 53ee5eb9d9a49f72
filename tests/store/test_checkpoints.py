"""SQLite's log, which another thread copies back into the database while the writer writes."""

import threading
from pathlib import Path

import apsw
import pytest

from pesalango_server.engine.engine import Engine
from pesalango_server.storage.bundled.waiting import wait_until
from pesalango_server.storage.checkpoints import Progress
from pesalango_server.storage.sqlite import SqliteWriter
from tests.store.engine_fixture import Rig, make_c2b

PAGES = 40
PAGE_BYTES = 4_096
HEAD_BYTES, FRAME_BYTES = 32, 24
PATIENCE_MS = 30_000


class Shop:
    """Payments into a book whose log is copied back soon."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.path = Path(str(rig.address.path))
        self.writer = SqliteWriter(self.path, checkpoint_pages=PAGES)
        self.engine: Engine = rig.make_engine(self.writer)
        self._number = 0

    def pay(self) -> None:
        self._number += 1
        command = make_c2b(reference=f"payment {self._number}", amount_minor=1)
        list(self.engine.run([command]))

    def pay_until_copied(self) -> int:
        """Until the other thread has run, and the log has begun anew; how long it had become."""
        before = self.writer._log_pages
        for _ in range(10_000):
            self.pay()
            if self.writer._log_pages < before:
                return before
            before = self.writer._log_pages
        raise AssertionError("the log never begins anew")


@pytest.fixture
def shop(sqlite_rig: Rig) -> Shop:
    return Shop(sqlite_rig)


def test_a_log_is_copied_back_beside_the_writer_and_begins_anew(shop: Shop) -> None:
    lengths = [shop.pay_until_copied() for _ in range(20)]
    assert min(lengths) >= PAGES
    # Its file keeps the room of its longest time, and is written over.
    assert shop.writer.wal_bytes() == HEAD_BYTES + max(lengths) * (FRAME_BYTES + PAGE_BYTES)


def test_payments_go_on_while_the_log_is_copied(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    copies = threading.Event()

    def wait(_descriptor: int) -> None:
        copies.set()
        assert goes_on.wait(PATIENCE_MS / 1_000)

    monkeypatch.setattr("pesalango_server.storage.checkpoints._sync", wait)
    while not copies.is_set():
        shop.pay()
    for _ in range(50):
        shop.pay()
    assert shop.writer._checkpointer.progress is Progress.RUNNING
    goes_on.set()
    shop.pay_until_copied()


def test_a_log_that_a_reader_needs_is_kept_for_it_and_copied_later(shop: Shop) -> None:
    shop.pay_until_copied()
    reader = apsw.Connection(str(shop.path), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("BEGIN")
    ((before,),) = reader.execute("SELECT count(*) FROM payments").fetchall()
    for _ in range(100):
        shop.pay()
    assert shop.writer._log_pages > 4 * PAGES
    assert reader.execute("SELECT count(*) FROM payments").fetchall() == [(before,)]
    reader.close()
    shop.pay_until_copied()
    assert shop.writer._log_pages < PAGES


def test_a_copy_that_fails_is_tried_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = []

    def fail(_descriptor: int) -> None:
        failures.append(1)
        raise OSError("the disk says no")

    with monkeypatch.context() as patch:
        patch.setattr("pesalango_server.storage.checkpoints._sync", fail)
        while len(failures) < 3:
            shop.pay()
    shop.pay_until_copied()


def test_a_writer_that_is_closed_leaves_no_thread(shop: Shop) -> None:
    shop.pay_until_copied()
    threads = {thread for thread in threading.enumerate() if thread.name == "checkpointer"}
    assert threads
    shop.rig.close()
    assert wait_until(
        lambda: not any(thread.is_alive() for thread in threads), timeout_ms=PATIENCE_MS
    )


def test_a_writer_that_connects_again_looks_after_its_log_as_before(shop: Shop) -> None:
    shop.pay_until_copied()
    shop.writer.reconnect()
    shop.pay_until_copied()
    assert sum(thread.name == "checkpointer" for thread in threading.enumerate()) == 1
