"""No file descriptors are left: callers wait or are refused, those who are in are served, and the
process neither spins nor floods its log.
"""

import contextlib
import json
import resource
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.http_client import NotSent, Unanswered
from tests.e2e.merchant import Merchant, Payment, make_reference
from tests.e2e.server import Server, wait_until

DESCRIPTORS = 160
CALLERS = 240
SETTINGS = {"PESALANGO_PLATFORM_KEY_BITS": "2048"}
WINDOW_S = 1.0
CPU_SHARE_MAX = 0.3
"""Of one processor, of a worker with next to nothing to do; one that spins takes all of it."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """No process of it may have more than so many descriptors."""
    data_dir: Path = tmp_path_factory.mktemp("descriptors") / "data"
    limited = ("sh", "-c", f'ulimit -n {DESCRIPTORS} && exec "$@"', "sh")
    with Server(data_dir, settings=SETTINGS, prefix=limited) as server:
        server.start()
        yield server


@pytest.fixture
def merchant(server: Server) -> Iterator[Merchant]:
    """One who is connected before anything happens."""
    merchant = Merchant(server.credentials)
    assert pay(merchant) == "INS-0"
    yield merchant
    merchant.close()


def pay(merchant: Merchant) -> str:
    return merchant.pay(Payment(make_reference(), "255744553111", "ORG001", 1)).code


def can_pay_anew(server: Server, bearer: str) -> bool:
    """Over a connection of its own."""
    merchant = Merchant(server.credentials, bearer=bearer, timeout_s=10)
    try:
        return pay(merchant) == "INS-0"
    except (NotSent, Unanswered):
        return False
    finally:
        merchant.close()


@contextlib.contextmanager
def open_connections(server: Server, count: int) -> Iterator[list[socket.socket]]:
    """So many callers who connect, and say nothing."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            for _ in range(count)
        ]


def read_refusal(caller: socket.socket) -> bytes | None:
    """What a caller who said nothing was told; None where nothing has come."""
    caller.setblocking(False)
    try:
        return caller.recv(4096)
    except BlockingIOError:
        return None
    except ConnectionResetError:
        return b""


@contextlib.contextmanager
def limit_descriptors(process: psutil.Process, count: int) -> Iterator[None]:
    """Have a process open none whose number is so high, for as long as the context lasts."""
    before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (count, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)


def measure_cpu_share(process: psutil.Process) -> float:
    """Of one processor, over a short window."""
    before = process.cpu_times()
    threading.Event().wait(WINDOW_S)
    after = process.cpu_times()
    return (after.user - before.user + after.system - before.system) / WINDOW_S


def read_events(server: Server) -> list[str]:
    lines = [line for line in server.read_log().splitlines() if line.startswith("{")]
    return [json.loads(line)["event"] for line in lines]


def test_callers_beyond_the_descriptors_are_refused_and_the_others_are_served(
    server: Server, merchant: Merchant
) -> None:
    (worker,) = server.find_workers()
    logged = len(read_events(server))
    with open_connections(server, CALLERS) as callers:
        assert measure_cpu_share(worker) < CPU_SHARE_MAX
        refusals = [read_refusal(caller) for caller in callers]
        assert worker.num_fds() < DESCRIPTORS
        assert pay(merchant) == "INS-0"
        # Everything that has to be opened for it can be opened: a query reads from the database.
        assert merchant.query("nothing", organisation="ORG001").code == "INS-23"
    let_in = refusals.count(None)
    told = sum(b"503" in refusal for refusal in refusals if refusal)
    assert 20 < let_in < DESCRIPTORS
    assert told > 0
    wait_until(lambda: can_pay_anew(server, merchant.bearer), timeout_s=5, what="room for another")
    assert len(read_events(server)) <= logged + 2
    assert "Traceback" not in server.read_log()


def test_a_worker_without_any_descriptor_has_new_callers_wait_and_does_not_spin(
    server: Server, merchant: Merchant
) -> None:
    (worker,) = server.find_workers()
    logged = len(read_events(server))
    with limit_descriptors(worker, 3), open_connections(server, 20):
        # It looks once a second whether it can accept.
        wait_until(
            lambda: "descriptors_used_up" in read_events(server)[logged:],
            timeout_s=5,
            what="a line in the log",
        )
        assert pay(merchant) == "INS-0"
        waiting = threading.Event()
        answers: list[bool] = []

        def wait_for_turn() -> None:
            waiting.set()
            answers.append(can_pay_anew(server, merchant.bearer))

        caller = threading.Thread(target=wait_for_turn, daemon=True)
        caller.start()
        assert waiting.wait(5)
        # Which takes a second, in which the caller could have been served.
        assert measure_cpu_share(worker) < CPU_SHARE_MAX
        assert pay(merchant) == "INS-0"
        assert not answers
    caller.join(10)
    assert answers == [True]
    assert can_pay_anew(server, merchant.bearer)
    assert read_events(server)[logged:].count("descriptors_used_up") == 1
    assert "Traceback" not in server.read_log()


def test_an_engine_process_without_descriptors_goes_on_and_starts_a_worker_once_it_has_some(
    server: Server, merchant: Merchant
) -> None:
    engine = server.find_engine()
    (worker,) = server.find_workers()
    with limit_descriptors(engine, 3):
        # What it needs while it runs it has opened: more payments than one batch takes.
        assert [pay(merchant) for _ in range(100)] == ["INS-0"] * 100
        server.kill(worker)
        wait_until(
            lambda: "worker_not_started" in read_events(server), timeout_s=5, what="a try in vain"
        )
        assert server.exit_status is None
        assert measure_cpu_share(engine) < CPU_SHARE_MAX
        assert not server.find_workers()
    wait_until(server.is_ready, timeout_s=10, what="a ready server")
    assert can_pay_anew(server, merchant.bearer)
    assert len(server.find_workers()) == 1
    assert "Traceback" not in server.read_log()
    audit = server.audit()
    assert audit.returncode == 0, audit.stdout + audit.stderr
