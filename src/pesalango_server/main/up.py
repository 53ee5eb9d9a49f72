"""`up`: everything on one machine, with one command and nothing to prepare."""

import contextlib
import functools
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from pesalango_server.catalog.markets import MARKETS
from pesalango_server.gateway.self_check import SelfCheckReport, run_self_check
from pesalango_server.kernel.clock import Clock, SystemClock
from pesalango_server.main.agreement import read_platform, require_one_installation
from pesalango_server.main.bootstrap import Bootstrap
from pesalango_server.main.credentials import Credentials, read_credentials, write_credentials
from pesalango_server.main.doors import Doors
from pesalango_server.main.engines import EngineUnit
from pesalango_server.main.failures import ServerFailed, make_data_dir
from pesalango_server.main.listening import (
    list_up_addresses,
    open_listeners,
    read_certificate,
)
from pesalango_server.main.observer import Observer
from pesalango_server.main.server import Server
from pesalango_server.sandbox.seed import SELF_CHECK_CUSTOMER, SELF_CHECK_ORGANISATION
from pesalango_server.settings import Settings
from pesalango_server.storage.address import (
    DatabaseAddress,
    check_durability,
    list_addresses,
)
from pesalango_server.storage.bundled import BundledLimits, BundledPostgres
from pesalango_server.storage.lockfile import DirectoryLock
from pesalango_server.storage.migrations import migrate
from pesalango_server.telemetry import Metrics, NowAndThen, get_logger

READY_WITHIN_S = 30

# Ctrl-C is done within three seconds, engines and workers included.
_BUNDLED_LIMITS = BundledLimits(stop_timeout_ms=1_000)

_SYSTEM_CLOCK = SystemClock()

log = get_logger("up")


class Places(NamedTuple):
    """Where the databases are; `bundled` is the PostgreSQL that was started for them, if any."""

    addresses: dict[str, DatabaseAddress]
    bundled: BundledPostgres | None

    def look_after(self) -> str | None:
        """Start a bundled PostgreSQL that has ended once more; what it had said, if it had ended."""
        return None if self.bundled is None else self.bundled.revive()


@contextlib.contextmanager
def open_places(settings: Settings) -> Iterator[Places]:
    """The data directory, locked, and the databases in it or elsewhere, started where bundled."""
    data_dir = Path(settings.data_dir).resolve()
    make_data_dir(data_dir)
    lock = DirectoryLock(data_dir)
    try:
        with contextlib.ExitStack() as stack:
            conninfo, bundled = settings.database_url, None
            if settings.database == "postgres":
                bundled = stack.enter_context(
                    BundledPostgres.start(data_dir / "postgres", limits=_BUNDLED_LIMITS)
                )
                conninfo = bundled.url
            if conninfo is not None:
                check_durability(conninfo, allows_unsafe=settings.allow_unsafe_postgres)
            yield Places(list_addresses(data_dir=data_dir, conninfo=conninfo), bundled)
    finally:
        lock.release()


def make_engines(
    settings: Settings,
    addresses: dict[str, DatabaseAddress],
    on_end: Callable[[str, BaseException | None], None],
    *,
    clock: Clock,
    needs_clock_confirmation: bool,
) -> dict[str, EngineUnit]:
    """One engine a database, not started yet."""
    metrics = Metrics()
    metrics.flush_in_background()
    units = {
        name: EngineUnit(
            address,
            clock,
            observer=Observer(name, clock, metrics),
            batch_commands_max=settings.batch_commands_max,
            lock_timeout_ms=settings.lock_timeout_ms,
            on_end=on_end,
            needs_clock_confirmation=needs_clock_confirmation,
        )
        for name, address in addresses.items()
    }
    for unit in units.values():
        metrics.before_flush(unit.make_measure(metrics))
    return units


class Up:
    """One run of `up`; `say` is told, line by line, what a person should read.

    Only a test's own entry point passes another clock, and that reaches no further than this
    process.
    """

    def __init__(
        self, settings: Settings, say: Callable[[str], None], *, clock: Clock = _SYSTEM_CLOCK
    ) -> None:
        self._settings = settings
        self._say = say
        self._clock = clock
        self._data_dir = Path(settings.data_dir).resolve()

    def run(self) -> int:
        """Start, check, serve until stopped; the exit status. Raises `ServerFailed` and kin."""
        started = time.monotonic()
        addresses = list_up_addresses(self._settings)
        certificate = read_certificate(self._settings, addresses)
        # The ports first: when one is taken nothing else needs to happen.
        with (
            open_listeners(
                addresses, self._settings, is_demonstration=True, say=self._say
            ) as listeners,
            open_places(self._settings) as places,
        ):
            return self._run_on(places, Doors(listeners, certificate, self._settings), started)

    def _run_on(self, places: Places, doors: Doors, started: float) -> int:
        addresses = places.addresses
        for address in addresses.values():
            migrate(address)
        require_one_installation(addresses)
        server = Server(
            self._settings,
            clock=self._clock,
            addresses=addresses,
            listeners=doors.listeners,
            is_demonstration=True,
            certificate=doors.certificate,
            look_after_database=places.look_after,
        )
        engines = make_engines(
            self._settings,
            addresses,
            server.engine_ended,
            clock=self._clock,
            needs_clock_confirmation=False,
        )
        credentials, self_check_key, notes = self._prepare(
            engines["platform"], addresses["platform"], doors
        )
        server.start(list(engines.values()))
        checking = threading.Thread(
            target=self._check_and_tell,
            args=(server, doors, credentials, self_check_key, notes, started),
            name="self-check",
            daemon=True,
        )
        checking.start()
        try:
            return server.run()
        finally:
            self._say("Stopped; everything that was answered is in the data directory.")

    def _prepare(
        self, platform: EngineUnit, address: DatabaseAddress, doors: Doors
    ) -> tuple[Credentials, str, list[str]]:
        configuration = read_platform(address)
        bootstrap = Bootstrap(platform, configuration)
        if bootstrap.ensure_secrets(self._settings):
            bootstrap = Bootstrap(platform, read_platform(address))
        worlds = bootstrap.ensure_worlds()
        path = self._data_dir / "credentials.json"
        credentials = bootstrap.ensure_credentials(
            read_credentials(path),
            base_url=doors.base_url,
            admin_url=doors.admin_url,
            certificate_file=doors.certificate_file,
            worlds=worlds,
        )
        self_check_key = bootstrap.ensure_self_check_key(worlds)
        try:
            write_credentials(path, credentials)
        except OSError as error:
            raise ServerFailed(
                f"{path} cannot be written: {error.strerror}; see to that, and start again"
            ) from error
        return credentials, self_check_key, bootstrap.notes

    def _check_and_tell(
        self,
        server: Server,
        doors: Doors,
        credentials: Credentials,
        self_check_key: str,
        notes: list[str],
        started: float,
    ) -> None:
        report = self._check(server, doors, credentials, self_check_key)
        if report is None:
            return
        self._tell(doors, credentials, report, notes, time.monotonic() - started)

    def _check(
        self, server: Server, doors: Doors, credentials: Credentials, self_check_key: str
    ) -> SelfCheckReport | None:
        """The self-check's report; None once it has failed for so long that the server ends."""
        until = time.monotonic() + READY_WITHIN_S
        pause = threading.Event()
        now_and_then = NowAndThen(self._clock)
        while True:
            try:
                for listener in doors.listeners:
                    wait_until_ready(functools.partial(doors.connect, listener))
                with contextlib.closing(doors.connect(doors.primary)) as connection:
                    return run_self_check(
                        connection,
                        public_key=credentials.sandbox.public_key,
                        api_key=self_check_key,
                        market=MARKETS[0],
                        msisdn=SELF_CHECK_CUSTOMER,
                        organisation=SELF_CHECK_ORGANISATION,
                    )
            except Exception as error:  # noqa: BLE001 - the server must not look healthy then
                # A database that goes away for a moment is no reason to end.
                if time.monotonic() > until:
                    server.fail(f"the self-check failed: {error}")
                    return None
                if now_and_then.may_tell("self_check_repeated"):
                    log.warning("self_check_repeated", reason=str(error))
                pause.wait(0.5)

    def _tell(
        self,
        doors: Doors,
        credentials: Credentials,
        report: SelfCheckReport,
        notes: list[str],
        seconds: float,
    ) -> None:
        say = self._say
        others = [
            doors.find_url(door) for door in doors.gateway_listeners if door is not doors.primary
        ]
        also = f", also at {', '.join(others)}" if others else ""
        say(f"Pesalango is ready at {credentials.base_url}{also} ({seconds:.1f} s).")
        say(
            f"Self-check: session, payment {report.transaction_id} of {report.amount} "
            f"{report.currency}, query: {report.transaction_status}; in a world of its own."
        )
        for note in notes:
            say(f"Note: {note}.")
        say("")
        say(f"API key        {credentials.sandbox.api_key}")
        say(f"Organisation   {credentials.sandbox.service_provider_code}")
        say(f"Sandbox        {credentials.base_url}/sandbox/ipg/v2/{MARKETS[0].path_value}/")
        if doors.openapi_url is not None:
            say(f"Openapi        {doors.openapi_url}/openapi/ipg/v2/{MARKETS[0].path_value}/")
            say("               (a demonstration here: its money is play money as well)")
        say(f"Admin API      {credentials.admin_url} (its token is in the file below)")
        say(f"All of it      {self._data_dir / 'credentials.json'}")
        say("")
        say(
            "Next: docs/guide/first-payment.md takes a payment step by step, "
            "first-payment-in-python.md in Python; Ctrl-C stops."
        )


def wait_until_ready(connect: Callable[[], http.client.HTTPConnection]) -> None:
    """Wait until payments can be taken. Raises `ServerFailed` when that takes too long."""
    until = time.monotonic() + READY_WITHIN_S
    wake = threading.Event()
    while time.monotonic() < until:
        connection = connect()
        try:
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            # Nobody listens yet.
            log.debug("not_ready_yet")
        finally:
            connection.close()
        wake.wait(0.02)
    raise ServerFailed("the server did not become ready; the log above says why")
