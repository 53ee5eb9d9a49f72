"""The engine process: engines, listening sockets, workers; from start to clean end."""

import contextlib
import importlib
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pesalango_server.applications.administration import USE_CASES as PLATFORM_USE_CASES
from pesalango_server.engine.loop import ConfirmClock
from pesalango_server.engine.registry import USE_CASES
from pesalango_server.kernel.clock import Clock
from pesalango_server.link.channel import Channel
from pesalango_server.main.descriptors import raise_limit
from pesalango_server.main.engines import EngineUnit
from pesalango_server.main.failures import ServerFailed
from pesalango_server.main.interpreter import settle_garbage_collector
from pesalango_server.main.plan import FacePlan, TlsPlan, WorkerPlan, send_plan
from pesalango_server.settings import ListenAddress, Settings
from pesalango_server.storage.address import DatabaseAddress
from pesalango_server.telemetry import NowAndThen, forget_process, get_logger

if TYPE_CHECKING:
    # What reads certificates takes a while to load, and is needed for TLS alone.
    from pesalango_server.main.certificate import CertificateKeeper

RESTART_PAUSE_FIRST_MS = 100
RESTARTS_MAX = 5
RESTARTS_WITHIN_MS = 10_000
START_AGAIN_AFTER_MS = 1_000
"""How soon a worker for which the system lacked something is tried again."""

STOP_WITHIN_S = 2.0
WATCH_EVERY_S = 1.0

log = get_logger("server")


class Listener:
    """A listening socket and what is served there, and how."""

    def __init__(
        self,
        address: ListenAddress,
        *,
        gateway: bool,
        admin: bool,
        is_exposed: bool = False,
        is_ipv6_only: bool = False,
    ) -> None:
        """Raises `ServerFailed`."""
        host, port = address.host, address.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_ipv6_only:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            self.socket.bind((host, port))
        except OSError as error:
            self.socket.close()
            raise _make_listen_failure(host, port, error) from error
        self.port: int = self.socket.getsockname()[1]
        self.host, self.is_tls = host, address.is_tls
        self.serves_gateway, self.serves_admin, self.is_exposed = gateway, admin, is_exposed

    def listen(self) -> None:
        """Let callers connect; before, the port is only kept. Raises `ServerFailed`."""
        try:
            self.socket.listen(2048)
        except OSError as error:
            # Linux lets two servers keep one port as long as neither listens: started at the same
            # moment, the slower of them is told here.
            raise _make_listen_failure(self.host, self.port, error) from error

    def make_plan(self, descriptor: int) -> FacePlan:
        """What a worker does at this socket, which it has as `descriptor`."""
        return FacePlan(
            descriptor,
            serves_gateway=self.serves_gateway,
            serves_admin=self.serves_admin,
            is_exposed=self.is_exposed,
            is_tls=self.is_tls,
        )

    @property
    def url(self) -> str:
        """Where it listens, as a URL."""
        return self.make_url(self.host)

    def make_url(self, host: str) -> str:
        """The address by another name of the host."""
        bracketed = f"[{host}]" if ":" in host else host
        return f"{'https' if self.is_tls else 'http'}://{bracketed}:{self.port}"


def _make_listen_failure(host: str, port: int, error: OSError) -> ServerFailed:
    return ServerFailed(
        f"cannot listen on {host} port {port}: {error.strerror}; "
        "stop what uses it, or choose another port"
    )


class Server:
    """Owns the engines and the workers.

    Everything but `engine_ended` and `fail` is called by one thread alone.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        addresses: dict[str, DatabaseAddress],
        listeners: Sequence[Listener],
        is_demonstration: bool,
        certificate: "CertificateKeeper | None" = None,
        look_after_database: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`look_after_database` is called once a second at least, and says what it found amiss."""
        self._certificate = certificate
        self._look_after_database = look_after_database
        self._settings = settings
        self._clock = clock
        self._addresses = addresses
        self._engines: Sequence[EngineUnit] = ()
        self._listeners = listeners
        self._is_demonstration = is_demonstration
        self._events: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()
        self._worker_within: threading.Thread | None = None
        self._workers: dict[int, subprocess.Popen[bytes]] = {}
        self._restarts: deque[int] = deque()
        self._is_stopping = False
        self._now_and_then = NowAndThen(clock)

    def engine_ended(self, name: str, error: BaseException | None) -> None:
        """An engine's thread ended (called from it)."""
        if error is not None and not self._is_stopping:
            # Nobody may be answered any more: whether the last batch was committed is for the
            # database to say. Ending at once closes every connection.
            log.critical("engine_failed", database=name, error=repr(error))
            with contextlib.suppress(OSError):
                sys.stderr.flush()
            os._exit(70)

    def start(self, engines: Sequence[EngineUnit]) -> None:
        """Start engines and workers. Raises `ServerFailed`."""
        self._engines = engines
        if not self._settings.workers:
            # What serves HTTP is imported where it runs alone: it is half of all that a start
            # imports. Before the collector is settled, which spares what is there by then.
            importlib.import_module("pesalango_server.main.worker")
        settle_garbage_collector()
        raise_limit(
            self._settings, bounds=len({listener.serves_gateway for listener in self._listeners})
        )
        for listener in self._listeners:
            listener.listen()
        for unit in self._engines:
            unit.start()
        try:
            if not self._settings.workers:
                self._start_worker_within()
            for number in range(1, self._settings.workers + 1):
                self._start_worker(number)
        except OSError as error:
            self.stop()
            raise ServerFailed(
                f"a worker cannot be started: {error.strerror}; see to that, and start again"
            ) from error

    def _start_worker_within(self) -> None:
        """`--workers 0`: the worker is a thread of this process, its links carry the same frames."""
        links: dict[str, int] = {}
        for unit in self._engines:
            ours, theirs = socket.socketpair()
            unit.loop.add_port(Channel(ours, _command_type(unit.name)))
            links[unit.name] = theirs.detach()
        faces = tuple(
            listener.make_plan(os.dup(listener.socket.fileno())) for listener in self._listeners
        )
        renewals = self._certificate.add_worker(0).detach() if self._certificate else None
        worker_plan = self._make_plan(0, links, faces, renewals)
        self._worker_within = threading.Thread(
            target=self._run_worker_within, args=(worker_plan,), name="worker", daemon=True
        )
        self._worker_within.start()

    def _run_worker_within(self, worker_plan: WorkerPlan) -> None:
        from pesalango_server.main.worker import run_worker  # noqa: PLC0415

        try:
            run_worker(worker_plan, self._clock)
        except Exception as error:
            log.exception("worker_failed")
            self.fail(f"the worker ended: {error}")

    def _make_plan(
        self,
        number: int,
        links: dict[str, int],
        faces: tuple[FacePlan, ...],
        renewals: int | None,
    ) -> WorkerPlan:
        tls = None
        if self._certificate is not None and renewals is not None:
            tls = TlsPlan(self._certificate.material, renewals)
        return WorkerPlan(
            number=number,
            settings=self._settings,
            addresses=self._addresses,
            links=links,
            faces=faces,
            unanswered_max=self._share(self._settings.unanswered_max),
            prompts_waiting_max=self._share(self._settings.prompts_waiting_max),
            is_demonstration=self._is_demonstration,
            tls=tls,
        )

    def _share(self, bound: int) -> int:
        """One worker's part of a bound over all of them."""
        return max(1, bound // max(1, self._settings.workers))

    def _start_worker(self, number: int) -> None:
        """Raises `OSError` where the system has no descriptor, process or memory left for it."""
        with contextlib.ExitStack() as ours_on_failure, contextlib.ExitStack() as inherited:
            links: dict[str, int] = {}
            ports: list[socket.socket] = []
            for unit in self._engines:
                ours, theirs = socket.socketpair()
                ports.append(ours_on_failure.enter_context(ours))
                links[unit.name] = inherited.enter_context(theirs).fileno()
            faces = tuple(
                listener.make_plan(listener.socket.fileno()) for listener in self._listeners
            )
            descriptors = [*links.values(), *(face.descriptor for face in faces)]
            renewals = None
            if self._certificate is not None:
                renewals = inherited.enter_context(self._certificate.add_worker(number)).fileno()
                descriptors.append(renewals)
            plan_descriptor = send_plan(self._make_plan(number, links, faces, renewals))
            inherited.callback(os.close, plan_descriptor)
            process = subprocess.Popen(
                [sys.executable, "-m", "pesalango_server.main.worker", str(plan_descriptor)],
                pass_fds=[*descriptors, plan_descriptor],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            ours_on_failure.pop_all()
        for unit, port in zip(self._engines, ports, strict=True):
            unit.loop.add_port(Channel(port, _command_type(unit.name)))
        self._workers[number] = process
        threading.Thread(
            target=lambda: self._events.put(("worker_ended", (number, process.wait()))),
            name=f"watch-worker-{number}",
            daemon=True,
        ).start()

    def run(self) -> int:
        """Supervise until a signal or a failure; the process's exit status."""
        events: dict[int, str] = {signal.SIGINT.value: "stop", signal.SIGTERM.value: "stop"}
        if self._certificate is not None:
            events[signal.SIGHUP.value] = "renew_certificate"

        def heed(number: int, _frame: object) -> None:
            self._events.put((events[number], None))

        previous = {number: signal.signal(number, heed) for number in events}
        try:
            return self._supervise()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _supervise(self) -> int:
        while True:
            try:
                event, detail = self._events.get(timeout=WATCH_EVERY_S)
            except queue.Empty:
                event, detail = "", None
            if event == "stop":
                self.stop()
                return 0
            # After each event too: where workers cannot be started there is no quiet second.
            if reason := self._look_after_database():
                self._tell_now_and_then("postgres_started_again", reason=reason)
            if event == "renew_certificate" and self._certificate is not None:
                self._certificate.renew()
            if event == "fail":
                self.stop()
                raise ServerFailed(str(detail))
            if event == "worker_ended" and isinstance(detail, tuple):
                number, status = detail
                log.warning("worker_ended", worker=number, exit_status=status)
                forget_process(self._workers[number].pid)
                if not self._may_restart():
                    self.stop()
                    raise ServerFailed(
                        f"{RESTARTS_MAX} workers ended within {RESTARTS_WITHIN_MS // 1000} s; "
                        "the log above says why"
                    )
                self._start_worker_later(number)
            elif event == "start_worker" and isinstance(detail, int):
                self._start_worker_again(detail)

    def _tell_now_and_then(self, event: str, **details: object) -> None:
        if self._now_and_then.may_tell(event):
            log.error(event, **details)

    def _start_worker_again(self, number: int) -> None:
        try:
            self._start_worker(number)
        except OSError as error:
            # What the system lacks now it may have soon; the engines go on meanwhile.
            self._tell_now_and_then("worker_not_started", worker=number, reason=str(error))
            self._start_worker_after(number, pause_ms=START_AGAIN_AFTER_MS)

    def fail(self, message: str) -> None:
        """End the server from another thread, with a reason."""
        self._events.put(("fail", message))

    def _may_restart(self) -> bool:
        now_ms = self._clock.monotonic_ms()
        self._restarts.append(now_ms)
        while self._restarts and self._restarts[0] < now_ms - RESTARTS_WITHIN_MS:
            self._restarts.popleft()
        return len(self._restarts) < RESTARTS_MAX

    def _start_worker_later(self, number: int) -> None:
        self._start_worker_after(number, pause_ms=find_restart_pause_ms(len(self._restarts)))

    def _start_worker_after(self, number: int, *, pause_ms: int) -> None:
        timer = threading.Timer(pause_ms / 1000, lambda: self._events.put(("start_worker", number)))
        timer.daemon = True
        timer.start()

    def stop(self) -> None:
        """Drain and end within three seconds: callers are answered, then everything closes."""
        self._is_stopping = True
        until = time.monotonic() + STOP_WITHIN_S
        for listener in self._listeners:
            listener.socket.close()
        for unit in self._engines:
            unit.loop.stop()
        for process in self._workers.values():
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("worker_killed", worker_process=process.pid)
                process.kill()
                process.wait()
        if self._worker_within is not None:
            self._worker_within.join(max(0.0, until - time.monotonic()))
        for unit in self._engines:
            unit.join(max(0.1, until - time.monotonic()))


def find_restart_pause_ms(restarts: int) -> int:
    """How long a worker is waited for, at so many restarts within a short time, this one too."""
    return RESTART_PAUSE_FIRST_MS << (restarts - 1)


def _command_type(database: str) -> Any:
    """The union of commands that an engine takes, for its links to decode."""
    types: list[type] = [ConfirmClock]
    types += list(PLATFORM_USE_CASES if database == "platform" else USE_CASES)
    union: Any = types[0]
    for type_ in types[1:]:
        union = union | type_
    return union
