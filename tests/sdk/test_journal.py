"""The journal's file: shared by threads, tasks and processes, readable by nobody else, never guessed at."""

import asyncio
import fcntl
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pesalango import (
    Client,
    Closing,
    ConfigurationError,
    Intent,
    JournalError,
    SqliteJournal,
)
from pesalango._journal_tasks import JournalTasks

PLATFORM = "a" * 32


def make_intent(number: int, *, key: str = "") -> Intent:
    return Intent(
        platform=PLATFORM,
        key=key or f"order-{number}",
        sender="b" * 16,
        operation="b2c_payment",
        body={"input_Amount": "10", "input_ThirdPartyConversationID": f"{number:032}"},
        created_at=datetime.fromtimestamp(1_700_000_000 + number, UTC),
    )


CLOSING = Closing(
    state="completed", code="INS-0", transaction_id="5fT0kQ2mBx7L", closed_at=datetime.now(UTC)
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "below" / "journal.db"


def test_an_intent_is_there_after_the_journal_was_opened_again(path: Path) -> None:
    with SqliteJournal(path) as journal:
        assert journal.begin(make_intent(1)) == make_intent(1)
        journal.begin(make_intent(2))
        assert journal.close_intent(PLATFORM, "order-2", CLOSING, sendings=None)
    with SqliteJournal(path) as again:
        assert again.find(PLATFORM, "order-1") == make_intent(1)
        assert again.list_open(PLATFORM) == [make_intent(1)]
        closed = again.find(PLATFORM, "order-2")
        assert closed is not None
        assert closed.closing == CLOSING
        assert again.find("c" * 32, "order-1") is None


def test_the_first_intent_of_a_key_stays(path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal.begin(make_intent(1))
        assert journal.begin(make_intent(2, key="order-1")) == make_intent(1)


def test_a_closing_and_a_removal_depend_on_who_has_sent(path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal.begin(make_intent(1))
        counted = journal.count_sending(PLATFORM, "order-1")
        assert counted is not None
        assert counted.sendings == 2
        assert not journal.close_intent(PLATFORM, "order-1", CLOSING, sendings=1)
        assert len(journal.list_open(PLATFORM)) == 1
        assert not journal.forget(PLATFORM, "order-1", sendings=1)
        assert journal.close_intent(PLATFORM, "order-1", CLOSING, sendings=2)
        # What is closed is closed for good.
        assert not journal.forget(PLATFORM, "order-1", sendings=2)
        counted = journal.count_sending(PLATFORM, "order-1")
        assert counted is not None
        assert (counted.sendings, counted.closing) == (2, CLOSING)
        assert journal.count_sending(PLATFORM, "nobody's") is None


def test_what_is_open_comes_oldest_first(path: Path) -> None:
    with SqliteJournal(path) as journal:
        for number in (3, 1, 2):
            journal.begin(make_intent(number))
        assert [intent.key for intent in journal.list_open(PLATFORM)] == [
            "order-1",
            "order-2",
            "order-3",
        ]


def test_nobody_else_may_read_the_file(path: Path) -> None:
    before = os.umask(0)
    try:
        with SqliteJournal(path) as journal:
            journal.begin(make_intent(1))
            modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert len(modes) == 4, modes  # the file, its log, the log's index, the lock
    assert set(modes.values()) == {0o600}


def test_threads_share_a_journal(path: Path) -> None:
    kept: list[Intent] = []
    start = threading.Barrier(16)

    def keep(number: int) -> None:
        start.wait(10)
        kept.append(journal.begin(make_intent(number, key=f"order-{number % 4}")))

    with SqliteJournal(path) as journal:
        threads = [threading.Thread(target=keep, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        found = {intent.key: intent for intent in journal.list_open(PLATFORM)}
    assert len(found) == 4
    assert len(kept) == 16
    assert all(found[intent.key] == intent for intent in kept)


def test_tasks_share_a_journal(path: Path) -> None:
    async def keep_all() -> list[Intent]:
        with SqliteJournal(path) as journal:
            tasks = JournalTasks(journal)
            try:
                keeping = [tasks.begin(make_intent(number)) for number in range(200)]
                await asyncio.gather(*keeping)
                return list(await tasks.list_open(PLATFORM))
            finally:
                await tasks.close()

    assert len(asyncio.run(keep_all())) == 200


WRITER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pesalango import Intent, SqliteJournal

journal, name = SqliteJournal(sys.argv[1]), sys.argv[2]
for number in range(100):
    identity = f"{name}{number:0{32 - len(name)}}"
    journal.begin(Intent(platform="a" * 32, key=f"order-{number}", sender="b" * 16,
        operation="b2c_payment", body={"input_ThirdPartyConversationID": identity},
        created_at=datetime.now(UTC)))
    journal.count_sending("a" * 32, f"order-{number}")
"""


def test_processes_share_a_journal(path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, name], stderr=subprocess.PIPE)
        for name in ("x", "y", "z")
    ]
    for writer in writers:
        _, said = writer.communicate(timeout=60)
        assert writer.returncode == 0, said
    with SqliteJournal(path) as journal:
        found = journal.list_open(PLATFORM)
    # Each key was kept once, whoever was first, and nobody's sending was forgotten.
    assert len(found) == 100
    assert {intent.sendings for intent in found} == {4}
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


FORKER = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pesalango import Intent, SqliteJournal

journal = SqliteJournal(sys.argv[1])
def keep(name):
    journal.begin(Intent(platform="a" * 32, key=name, sender="b" * 16, operation="b2c_payment",
        body={"input_ThirdPartyConversationID": name * 32}, created_at=datetime.now(UTC)))
keep("p")
child = os.fork()
if child == 0:
    keep("c")
    journal.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
keep("q")
print(len(journal.list_open("a" * 32)))
"""


def test_a_forked_process_opens_the_journal_for_itself(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKER, path], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "3\n"


def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, and more than sixteen bytes of it" * 10, encoding="utf-8")
    other = tmp_path / "shop.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE orders (id)")
    connection.close()
    later = tmp_path / "later.db"
    with sqlite3.connect(later) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    for path, reason in (
        (text, "not a database"),
        (other, "no journal of payments"),
        (later, "the form 99"),
        (tmp_path, "directory|open"),
    ):
        before = path.read_bytes() if path.is_file() else b""
        with pytest.raises(JournalError, match=reason) as refused, SqliteJournal(path) as journal:
            journal.begin(make_intent(1))
        assert str(path) in str(refused.value)
        assert before == (path.read_bytes() if path.is_file() else b"")


def test_a_journal_that_cannot_be_written_lets_nothing_be_sent(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o500)
    journal = SqliteJournal(path.parent / "new.db" if os.geteuid() else Path("/proc/journal.db"))
    try:
        with pytest.raises(JournalError, match="cannot be used"):
            journal.begin(make_intent(1))
    finally:
        path.parent.chmod(0o700)


def read_level(journal: SqliteJournal) -> int:
    assert journal._connection is not None
    level: int = journal._connection.execute("PRAGMA synchronous").fetchone()[0]
    return level


def test_what_a_power_cut_must_not_undo_is_synced(path: Path) -> None:
    full, normal = 2, 1
    refused = msgspec.structs.replace(CLOSING, state="refused")
    with SqliteJournal(path) as journal:
        for number in range(3):
            journal.begin(make_intent(number))
        assert read_level(journal) == full
        journal.close_intent(PLATFORM, "order-0", CLOSING, sendings=None)
        assert read_level(journal) == normal
        journal.close_intent(PLATFORM, "order-1", refused, sendings=None)
        assert read_level(journal) == full
        journal.count_sending(PLATFORM, "order-2")
        assert read_level(journal) == normal
        journal.forget(PLATFORM, "order-2", sendings=2)
        assert read_level(journal) == full


@pytest.mark.parametrize("path", ["", ".", ":memory:"])
def test_a_path_that_is_no_files_is_refused_at_once(path: str) -> None:
    with pytest.raises(ConfigurationError, match="takes the path of a file"):
        SqliteJournal(path)


def test_a_journal_stays_where_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    journal, own = SqliteJournal("journal.db"), SqliteJournal("~/journal.db")
    monkeypatch.chdir(tmp_path / "elsewhere")
    for each in (journal, own):
        with each:
            each.begin(make_intent(1))
    assert (tmp_path / "journal.db").is_file()
    assert (tmp_path / "home" / "journal.db").is_file()


def test_a_process_that_holds_the_journal_stops_nobody_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pesalango._sqlite_journal._BUSY_TIMEOUT_S", 0.05)
    with SqliteJournal(path) as journal:
        journal.begin(make_intent(1))
        with path.with_name(path.name + "-lock").open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(JournalError, match="another process has held it"):
                journal.begin(make_intent(2))
        journal.begin(make_intent(2))


def test_what_one_caller_asks_wrongly_is_no_other_callers_failure(path: Path) -> None:
    async def ask() -> Any:
        with SqliteJournal(path) as journal:
            tasks = JournalTasks(journal)
            wrong: Any = object()
            try:
                return await asyncio.gather(
                    tasks.begin(make_intent(1)),
                    tasks.find(PLATFORM, wrong),
                    tasks.begin(make_intent(2)),
                    return_exceptions=True,
                )
            finally:
                await tasks.close()

    first, failure, second = asyncio.run(ask())
    assert (first, second) == (make_intent(1), make_intent(2))
    assert isinstance(failure, JournalError)


def test_of_two_closings_the_first_stands(path: Path) -> None:
    refused = msgspec.structs.replace(CLOSING, state="refused")

    async def close_twice(first: Closing, second: Closing, key: str) -> Any:
        with SqliteJournal(path) as journal:
            tasks = JournalTasks(journal)
            try:
                return await asyncio.gather(
                    tasks.close_intent(PLATFORM, key, first, sendings=None),
                    tasks.close_intent(PLATFORM, key, second, sendings=1),
                )
            finally:
                await tasks.close()

    with SqliteJournal(path) as journal:
        for number, (first, second) in enumerate([(CLOSING, refused), (refused, CLOSING)]):
            journal.begin(make_intent(number))
            closed = asyncio.run(close_twice(first, second, f"order-{number}"))
            kept = journal.find(PLATFORM, f"order-{number}")
            assert list(closed) == [True, False]
            assert kept is not None
            assert kept.closing == first


def test_a_journal_that_is_interrupted_hangs_nobody(path: Path) -> None:
    class Interrupted(SqliteJournal):
        def begin(self, intent: Intent) -> Intent:
            if intent.key == "order-1":
                raise SystemExit
            return super().begin(intent)

    async def ask() -> Any:
        with Interrupted(path) as journal:
            tasks = JournalTasks(journal)
            try:
                async with asyncio.timeout(10):
                    first = await asyncio.gather(
                        tasks.begin(make_intent(1)), return_exceptions=True
                    )
                    return *first, await tasks.begin(make_intent(2))
            finally:
                await tasks.close()

    failure, kept = asyncio.run(ask())
    assert isinstance(failure, JournalError)
    assert kept == make_intent(2)


class SlowJournal(SqliteJournal):
    """One whose disk takes until it is let."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.let = threading.Event()
        self.asked = threading.Event()

    def begin(self, intent: Intent) -> Intent:
        self.asked.set()
        assert self.let.wait(10)
        return super().begin(intent)


def test_closing_while_calls_come_ends_and_loses_none(path: Path) -> None:
    async def close_amid() -> tuple[Intent, ...]:
        with SlowJournal(path) as journal:
            tasks = JournalTasks(journal)
            first = asyncio.create_task(tasks.begin(make_intent(1)))
            await asyncio.to_thread(journal.asked.wait, 10)
            closing = asyncio.create_task(tasks.close())
            await asyncio.sleep(0)
            second = asyncio.create_task(tasks.begin(make_intent(2)))
            await asyncio.sleep(0)
            journal.let.set()
            async with asyncio.timeout(10):
                done = await asyncio.gather(first, second)
                await closing
                await tasks.close()
            return done

    assert list(asyncio.run(close_amid())) == [make_intent(1), make_intent(2)]


def test_closing_from_another_loop_loses_no_call_and_invents_no_answer(path: Path) -> None:
    found: list[Intent | None] = []
    over = threading.Event()

    async def ask(tasks: JournalTasks) -> None:
        while not over.is_set():
            async with asyncio.timeout(10):
                found.append(await tasks.find("a" * 32, make_intent(1).key))

    async def ask_at_once(tasks: JournalTasks) -> None:
        await asyncio.gather(*(ask(tasks) for _ in range(4)))

    async def close_often(tasks: JournalTasks) -> None:
        async with asyncio.timeout(20):
            while len(found) < 2_000:
                await tasks.close()
                await asyncio.sleep(0)

    interval_s = sys.getswitchinterval()
    with SqliteJournal(path) as journal, ThreadPoolExecutor(1) as threads:
        journal.begin(make_intent(1))
        tasks = JournalTasks(journal)
        # Turns so short that each falls between any two steps of the other.
        sys.setswitchinterval(1e-5)
        try:
            asking = threads.submit(asyncio.run, ask_at_once(tasks))
            asyncio.run(close_often(tasks))
        finally:
            sys.setswitchinterval(interval_s)
            over.set()
        asking.result()
        asyncio.run(tasks.close())

    assert found
    assert [intent for intent in found if intent != make_intent(1)] == []


class CountingJournal(SqliteJournal):
    """Counts what is looked for."""

    found_count = 0

    def find(self, platform: str, key: str) -> Intent | None:
        self.found_count += 1
        return super().find(platform, key)


def test_what_a_loop_gathers_is_nobody_elses_to_hand_over(path: Path) -> None:
    has_gathered, may_go_on = threading.Event(), threading.Event()

    async def gather_and_stand_still(tasks: JournalTasks) -> Intent | None:
        call = asyncio.create_task(tasks.find("a" * 32, make_intent(1).key))
        await asyncio.sleep(0)
        has_gathered.set()
        assert may_go_on.wait(10)
        async with asyncio.timeout(10):
            return await call

    with CountingJournal(path) as journal, ThreadPoolExecutor(1) as threads:
        journal.begin(make_intent(1))
        tasks = JournalTasks(journal)
        gathering = threads.submit(asyncio.run, gather_and_stand_still(tasks))
        assert has_gathered.wait(10)
        asyncio.run(tasks.close())
        # That loop could be adding to it in this very moment.
        assert journal.found_count == 0
        may_go_on.set()
        assert gathering.result() == make_intent(1)
        asyncio.run(tasks.close())


def test_after_a_crowd_a_single_caller_waits_for_nobody_soon(path: Path) -> None:
    async def ask(tasks: JournalTasks) -> None:
        await tasks.find("a" * 32, "nobody's")

    async def count_waits() -> int:
        with SqliteJournal(path) as journal:
            tasks = JournalTasks(journal)
            await asyncio.gather(*(ask(tasks) for _ in range(1_000)))
            waits = 0
            for _ in range(100):
                waits += tasks._expected > 1
                await ask(tasks)
            await tasks.close()
            return waits

    assert 0 < asyncio.run(count_waits()) < 60


TASKS_FORKER = """
import asyncio, os, sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pesalango import Intent, SqliteJournal
from pesalango._journal_tasks import JournalTasks

tasks = JournalTasks(SqliteJournal(sys.argv[1]))
def keep(name):
    intent = Intent(platform="a" * 32, key=name, sender="b" * 16, operation="b2c_payment",
        body={"input_ThirdPartyConversationID": name * 32}, created_at=datetime.now(UTC))
    asyncio.run(asyncio.wait_for(tasks.begin(intent), 20))
keep("p")
child = os.fork()
if child == 0:
    keep("c")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(len(asyncio.run(tasks.list_open("a" * 32))))
"""


def test_tasks_of_a_forked_process_have_a_thread_of_their_own(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TASKS_FORKER, path],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "2\n"


def test_a_file_that_is_replaced_under_a_program_is_noticed(path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal.begin(make_intent(1))
        kept = path.read_bytes()
        path.unlink()
        for _ in range(2):
            with pytest.raises(JournalError, match="removed or replaced"):
                journal.begin(make_intent(2))
        path.write_bytes(kept)
        with pytest.raises(JournalError, match="removed or replaced"):
            journal.find(PLATFORM, "order-1")


def test_without_a_path_the_journal_lies_with_the_users_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    from tests.sdk.scripted_gateway import ScriptedGateway

    with (
        ScriptedGateway() as gateway,
        Client(
            base_url=gateway.base_url,
            api_key=gateway.api_key,
            public_key=gateway.public_key,
            market="vodafoneGHA",
        ) as client,
    ):
        payment = client.payments.reverse(
            key="back", transaction_id="5fT0kQ2mBx7L", service_provider_code="ORG001"
        )
        assert client.payments.find("back") == payment
    assert (tmp_path / "pesalango" / "journal.db").is_file()
