"""SQLite on a machine that loses its power: what it promises holds, what it does not is lost."""

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from pesalango_server.storage.sqlite import open_writer
from tests.store.power_cut import PowerCutDisk, PowerLost
from tests.store.power_cut_book import (
    PATH,
    WAL_PATH,
    BookTornError,
    check_recovery,
    count_entries,
    open_book,
    recover_book,
    write_entry,
    write_until_cut,
)
from tests.store.power_cut_media import CutMode, Delete, Sync, Truncate, Write

BOTH_MODES: tuple[CutMode, ...] = ("drop_all", "random_subset")


@pytest.fixture
def book_of_three() -> Iterator[PowerCutDisk]:
    """A disk with three entries, all durable, and the power off."""
    with PowerCutDisk() as disk:
        connection = open_book(disk)
        for number in range(1, 4):
            write_entry(connection, number)
        connection.close()
        disk.cut(seed=0, mode="drop_all").close()
        yield disk


def count_run_operations(base: PowerCutDisk, run: Callable[[PowerCutDisk], object]) -> int:
    with base.cut(seed=0, mode="drop_all") as disk:
        run(disk)
        return disk.operations


def test_a_thousand_cuts_lose_no_acknowledged_transaction(book_of_three: PowerCutDisk) -> None:
    def run(disk: PowerCutDisk) -> int:
        return write_until_cut(open_book(disk, checkpoint_pages=10), first=4, last=16)

    chance = random.Random(20250101)
    operations = count_run_operations(book_of_three, run)
    in_flight_found = in_flight_lost = 0
    for seed in range(1000):
        allowed = chance.randrange(operations)
        with book_of_three.cut(seed=0, mode="drop_all", cut_after_operations=allowed) as disk:
            acknowledged = run(disk)
            assert disk.power_is_lost
            with disk.cut(seed=seed, mode=BOTH_MODES[seed % 2]) as found:
                recovered = check_recovery(found, acknowledged)
        in_flight_found += recovered > acknowledged
        in_flight_lost += recovered == acknowledged

    # Only a model that decides both ways has tried anything.
    assert in_flight_found > 20
    assert in_flight_lost > 200


def test_synchronous_normal_loses_acknowledged_transactions(book_of_three: PowerCutDisk) -> None:
    def run(disk: PowerCutDisk) -> int:
        connection = open_book(disk, synchronous="normal", checkpoint_pages=10)
        return write_until_cut(connection, first=4, last=16)

    operations = count_run_operations(book_of_three, run)
    lost: dict[CutMode, int] = {"drop_all": 0, "random_subset": 0}
    for allowed in range(operations):
        for mode in BOTH_MODES:
            with book_of_three.cut(seed=0, mode="drop_all", cut_after_operations=allowed) as disk:
                acknowledged = run(disk)
                with disk.cut(seed=allowed, mode=mode) as found:
                    # Transactions are lost from the end, and the book stays whole.
                    lost[mode] += recover_book(found) < acknowledged

    assert lost["drop_all"] > 0
    assert lost["random_subset"] > 0


def test_without_any_sync_the_model_finds_a_broken_book(book_of_three: PowerCutDisk) -> None:
    def run(disk: PowerCutDisk) -> int:
        connection = open_book(disk, synchronous="off", checkpoint_pages=10)
        return write_until_cut(connection, first=4, last=16)

    operations = count_run_operations(book_of_three, run)
    broken = 0
    for allowed in range(operations):
        with book_of_three.cut(seed=0, mode="drop_all", cut_after_operations=allowed) as disk:
            run(disk)
            with disk.cut(seed=allowed, mode="random_subset") as found:
                try:
                    recover_book(found)
                except (BookTornError, apsw.CorruptError, apsw.NotADBError):
                    broken += 1

    assert broken > 0


@pytest.mark.parametrize("mode", BOTH_MODES)
@pytest.mark.parametrize("checkpoint", ["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
def test_a_cut_at_any_operation_around_a_checkpoint_loses_nothing(
    mode: CutMode, checkpoint: str
) -> None:
    with PowerCutDisk(keep_history=True) as disk:
        connection = open_book(disk)
        acknowledged_at = []
        checkpointed = 0
        for number in range(1, 25):
            write_entry(connection, number)
            acknowledged_at.append(disk.operations)
            if number % 6 == 0:
                _, frames = connection.execute(f"PRAGMA wal_checkpoint({checkpoint})").get[1:]
                checkpointed += frames
        connection.close()

        cuts = 0
        for completed, found in disk.replay_cuts(seed=7, mode=mode):
            check_recovery(found, sum(place <= completed for place in acknowledged_at))
            cuts += 1

        assert checkpointed > 0 or checkpoint == "TRUNCATE"
        assert cuts == disk.operations + 1 > 200


@pytest.mark.parametrize("mode", BOTH_MODES)
def test_losing_the_truncation_of_the_wal_loses_nothing(mode: CutMode) -> None:
    limit_bytes = 20_000
    with PowerCutDisk(keep_history=True) as disk:
        connection = open_book(disk, journal_size_limit_bytes=limit_bytes)
        acknowledged_at = []
        for number in range(1, 40):
            write_entry(connection, number)
            acknowledged_at.append(disk.operations)
            if number % 13 == 0:
                connection.execute("PRAGMA wal_checkpoint(RESTART)")
        history = disk.history
        connection.close()
        truncated_after = [
            place for place, change in enumerate(history) if isinstance(change, Truncate)
        ]
        assert truncated_after, "SQLite has not truncated its WAL: the test shows nothing"

        cut_short = left_long = 0
        for completed, found in disk.replay_cuts(seed=3, mode=mode):
            if any(0 <= completed - place <= 3 for place in truncated_after):
                wal = found.read_file(WAL_PATH)
                assert wal is not None
                cut_short += len(wal) <= limit_bytes
                left_long += len(wal) > limit_bytes
            check_recovery(found, sum(place <= completed for place in acknowledged_at))

        assert left_long > 0
        assert cut_short > 0 or mode == "drop_all"


def test_the_writer_of_the_product_loses_nothing() -> None:
    with PowerCutDisk(keep_history=True) as disk:
        open_book(disk).close()
        made_at = disk.operations
        connection = open_writer(PATH, vfs=disk.vfs_name)
        acknowledged_at = []
        for number in range(1, 25):
            write_entry(connection, number)
            acknowledged_at.append(disk.operations)
            if number == 12:
                connection.execute("PRAGMA wal_checkpoint(RESTART)")
        connection.close()

        for completed, found in disk.replay_cuts(seed=11, mode="random_subset"):
            if completed < made_at:
                continue
            acknowledged = sum(operations <= completed for operations in acknowledged_at)
            connection = open_writer(PATH, vfs=found.vfs_name)
            assert acknowledged <= count_entries(connection) <= acknowledged + 1
            connection.close()


def test_a_cut_during_the_recovery_loses_nothing(book_of_three: PowerCutDisk) -> None:
    with book_of_three.cut(seed=0, mode="drop_all", cut_after_operations=70) as disk:
        acknowledged = write_until_cut(open_book(disk), first=4, last=30)
        assert 4 < acknowledged < 30
        second_cuts = 0
        for seed in range(150):
            with disk.cut(
                seed=seed, mode="random_subset", cut_after_operations=seed % 30
            ) as during_recovery:
                number = acknowledged
                with contextlib.suppress(PowerLost):
                    number = recover_book(during_recovery, checkpoint_pages=1)
                    assert number >= acknowledged
                    connection = open_book(during_recovery, checkpoint_pages=1)
                    number = write_until_cut(connection, first=number + 1, last=number + 5)
                second_cuts += during_recovery.power_is_lost
                with during_recovery.cut(seed=seed, mode="random_subset") as found:
                    assert recover_book(found) >= number

        assert second_cuts > 100


def test_a_clean_close_may_leave_its_deleted_wal_behind(book_of_three: PowerCutDisk) -> None:
    assert book_of_three.read_file(WAL_PATH) is None
    with book_of_three.cut(seed=0, mode="drop_all") as found:
        assert found.read_file(WAL_PATH) is not None
        assert recover_book(found) == 3


def test_a_cut_during_a_sync_keeps_some_part_of_it() -> None:
    with PowerCutDisk(keep_history=True) as disk:
        connection = open_book(disk)
        write_entry(connection, 1)
        first_entry_at = disk.operations
        write_entry(connection, 40)
        place = disk.operations - 1
        assert isinstance(disk.history[place], Sync)
        connection.close()
        wal_sizes = set()
        for seed in range(40):
            for completed, found in disk.replay_cuts(seed=seed, mode="drop_all"):
                if first_entry_at < completed <= place:
                    wal = found.read_file(WAL_PATH)
                    wal_sizes.add((completed == place, len(wal or b"")))

    assert len({size for during_sync, size in wal_sizes if not during_sync}) == 1
    assert len({size for during_sync, size in wal_sizes if during_sync}) > 2


def test_every_use_of_a_disk_without_power_is_an_io_error() -> None:
    with PowerCutDisk() as disk:
        connection = open_book(disk)
        write_entry(connection, 1)
        disk.cut(seed=0, mode="drop_all").close()
        operations = disk.operations
        with pytest.raises(apsw.IOError) as lost:
            write_entry(connection, 2)
        assert isinstance(lost.value, PowerLost)
        connection.close()
        with pytest.raises(PowerLost):
            open_book(disk)
        with pytest.raises(PowerLost):
            apsw.Connection(str(PATH), vfs=disk.vfs_name, flags=apsw.SQLITE_OPEN_READONLY)
        assert disk.operations == operations


def test_the_same_seed_cuts_one_disk_in_the_same_way(book_of_three: PowerCutDisk) -> None:
    def read_all(disk: PowerCutDisk) -> tuple[bytes | None, bytes | None]:
        return disk.read_file(PATH), disk.read_file(WAL_PATH)

    with book_of_three.cut(seed=0, mode="drop_all") as disk:
        connection = open_book(disk, synchronous="off", checkpoint_pages=6)
        for number in range(4, 20):
            write_entry(connection, number)
        outcomes = []
        for seed in (1, 2, 3, 1, 2, 3):
            with disk.cut(seed=seed, mode="random_subset") as found:
                outcomes.append(read_all(found))
        connection.close()

    assert outcomes[:3] == outcomes[3:]
    assert len(set(outcomes)) == 3


@pytest.mark.parametrize("mode", BOTH_MODES)
def test_replaying_a_run_finds_what_cutting_it_live_finds(mode: CutMode) -> None:
    def run(disk: PowerCutDisk) -> None:
        try:
            connection = open_book(disk, synchronous="normal", checkpoint_pages=6)
        except PowerLost:
            return
        write_until_cut(connection, first=1, last=12)

    def describe(disk: PowerCutDisk) -> tuple[int, ...]:
        # The bytes differ by the salts that SQLite draws for each WAL.
        sizes = [len(disk.read_file(path) or b"") for path in (PATH, WAL_PATH)]
        return (*sizes, recover_book(disk))

    with PowerCutDisk(keep_history=True) as whole:
        run(whole)
        replayed = [describe(found) for _, found in whole.replay_cuts(seed=5, mode=mode)]
    live = []
    for allowed in range(len(replayed)):
        with PowerCutDisk(cut_after_operations=allowed) as disk:
            run(disk)
            with disk.cut(seed=5, mode=mode) as found:
                live.append(describe(found))

    assert live == replayed


def test_the_power_can_be_cut_from_another_thread() -> None:
    acknowledged = []
    some_are_written = threading.Event()

    def write(disk: PowerCutDisk) -> None:
        connection = open_book(disk, checkpoint_pages=10)
        try:
            for number in range(1, 100_000):
                write_entry(connection, number)
                acknowledged.append(number)
                if number == 20:
                    some_are_written.set()
        except PowerLost:
            pass
        finally:
            connection.close()

    with PowerCutDisk() as disk:
        writer = threading.Thread(target=write, args=(disk,))
        writer.start()
        assert some_are_written.wait(timeout=30)
        with disk.cut(seed=1, mode="random_subset") as found:
            writer.join(timeout=30)
            assert not writer.is_alive()
            check_recovery(found, len(acknowledged))


def test_a_reader_sees_what_the_writer_committed() -> None:
    with PowerCutDisk() as disk:
        writer = open_book(disk)
        reader = open_book(disk)
        for number in range(1, 8):
            write_entry(writer, number)
            assert count_entries(reader) == number
        reader.close()
        writer.close()


def test_two_databases_on_one_disk_are_cut_together() -> None:
    with PowerCutDisk(keep_history=True) as disk:
        paths = [Path("/nowhere/first.db"), Path("/nowhere/second.db")]
        connections = [apsw.Connection(str(path), vfs=disk.vfs_name) for path in paths]
        for connection in connections:
            connection.pragma("journal_mode", "wal")
            connection.pragma("synchronous", "full")
            connection.execute("CREATE TABLE entries (number INTEGER PRIMARY KEY) STRICT")
        made_at = disk.operations
        for number in range(1, 10):
            for connection in connections:
                connection.execute("INSERT INTO entries VALUES (?)", (number,))
        for connection in connections:
            connection.close()

        for completed, found in disk.replay_cuts(seed=1, mode="random_subset"):
            if completed < made_at:
                continue
            counts = []
            for path in paths:
                connection = apsw.Connection(str(path), vfs=found.vfs_name)
                counts.append(connection.execute("SELECT count(*) FROM entries").get)
                connection.close()
            # The second follows the first: each was acknowledged before the next began.
            assert counts[0] - counts[1] in {0, 1}


def test_a_full_disk_is_refused_and_the_book_goes_on_afterwards() -> None:
    with PowerCutDisk() as disk:
        connection = open_book(disk)
        write_entry(connection, 1)
        disk.fail_with(apsw.FullError, at=Write)
        with pytest.raises(apsw.FullError):
            write_entry(connection, 2)
        disk.fail_with(None, at=Write)
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        write_entry(connection, 2)
        assert count_entries(connection) == 2
        connection.close()


def test_a_failing_sync_fails_the_commit() -> None:
    with PowerCutDisk() as disk:
        connection = open_book(disk)
        write_entry(connection, 1)
        disk.fail_with(apsw.IOError, at=Sync)
        with pytest.raises(apsw.IOError):
            write_entry(connection, 2)
        disk.fail_with(None, at=Sync)
        connection.close()


def test_the_files_that_were_found_can_be_copied_to_a_real_directory(
    tmp_path: Path, book_of_three: PowerCutDisk
) -> None:
    with book_of_three.cut(seed=0, mode="drop_all") as found:
        found.copy_files(source=PATH.parent, target=tmp_path / "copy")

    connection = apsw.Connection(str(tmp_path / "copy" / PATH.name))
    assert count_entries(connection) == 3
    connection.close()


def test_a_rollback_journal_that_was_deleted_may_come_back() -> None:
    with PowerCutDisk(keep_history=True) as disk:
        connection = apsw.Connection(str(PATH), vfs=disk.vfs_name)
        connection.pragma("synchronous", "full")
        connection.execute("CREATE TABLE entries (number INTEGER PRIMARY KEY) STRICT")
        acknowledged_at = []
        for number in range(1, 10):
            connection.execute("INSERT INTO entries VALUES (?)", (number,))
            acknowledged_at.append(disk.operations)
        connection.close()
        assert any(isinstance(change, Delete) for change in disk.history)

        lost = 0
        for completed, found in disk.replay_cuts(seed=1, mode="drop_all"):
            acknowledged = sum(operations <= completed for operations in acknowledged_at)
            if acknowledged == 0:
                continue
            connection = apsw.Connection(str(PATH), vfs=found.vfs_name)
            assert connection.pragma("integrity_check") == "ok"
            count = connection.execute("SELECT count(*) FROM entries").get
            connection.close()
            assert acknowledged - 1 <= count <= acknowledged + 1
            lost += count < acknowledged

    # SQLite says so itself: without a WAL, only synchronous=EXTRA syncs the directory at the end.
    assert lost > 0
