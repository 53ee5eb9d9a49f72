"""`serve` and its companions for operators: `migrate`, and the first admin token."""

import contextlib
from collections.abc import Callable

from pesalango_server.applications.commands import AddAdminToken
from pesalango_server.applications.keys import CredentialHasher, make_admin_token
from pesalango_server.kernel.clock import Clock, SystemClock
from pesalango_server.kernel.message import Done, Refused
from pesalango_server.main.agreement import read_platform, require_one_installation
from pesalango_server.main.bootstrap import Bootstrap
from pesalango_server.main.engines import EngineUnit
from pesalango_server.main.failures import ServerFailed
from pesalango_server.main.listening import (
    list_serve_addresses,
    open_listeners,
    read_certificate,
)
from pesalango_server.main.server import Server
from pesalango_server.main.up import make_engines, open_places
from pesalango_server.settings import Settings
from pesalango_server.storage.address import DatabaseAddress
from pesalango_server.storage.migrations import check_schema
from pesalango_server.storage.migrations import migrate as migrate_database

_SYSTEM_CLOCK = SystemClock()


class Serve:
    """One run of `serve`: no seed, no credentials, a schema that must be current.

    Only a test's own entry point passes another clock; see `Up`.
    """

    def __init__(
        self, settings: Settings, say: Callable[[str], None], *, clock: Clock = _SYSTEM_CLOCK
    ) -> None:
        self._settings = settings
        self._say = say
        self._clock = clock

    def run(self) -> int:
        """Serve until stopped; the exit status. Raises `ServerFailed` and kin."""
        addresses, admin_address = list_serve_addresses(self._settings)
        certificate = read_certificate(self._settings, [*addresses, admin_address])
        with contextlib.ExitStack() as stack:
            listeners = stack.enter_context(
                open_listeners(
                    addresses,
                    self._settings,
                    admin_addresses=[admin_address],
                    is_demonstration=False,
                    say=self._say,
                )
            )
            places = stack.enter_context(open_places(self._settings))
            databases = places.addresses
            for database in databases.values():
                check_schema(database)
            require_one_installation(databases)
            server = Server(
                self._settings,
                clock=self._clock,
                addresses=databases,
                listeners=listeners,
                is_demonstration=False,
                certificate=certificate,
                look_after_database=places.look_after,
            )
            engines = make_engines(
                self._settings,
                databases,
                server.engine_ended,
                clock=self._clock,
                needs_clock_confirmation=True,
            )
            prepare_installation(engines["platform"], databases["platform"], self._settings)
            server.start(list(engines.values()))
            *public, admin = [listener.url for listener in listeners]
            self._say(f"The operator's API is served at {', '.join(public)}.")
            self._say(f"The admin API is served at {admin}/admin/v1.")
            return server.run()


def prepare_installation(
    platform: EngineUnit, address: DatabaseAddress, settings: Settings
) -> None:
    """Secrets, platform keys and the first worlds, where they are absent."""
    bootstrap = Bootstrap(platform, read_platform(address))
    bootstrap.ensure_secrets(settings)
    bootstrap.ensure_worlds()


def migrate(settings: Settings, say: Callable[[str], None]) -> None:
    """Bring the databases up to date; two that start at once do no harm."""
    with open_places(settings) as places:
        for address in places.addresses.values():
            applied = migrate_database(address)
            what = f"applied {', '.join(applied)}" if applied else "is current"
            say(f"{address.name}: {what}")


def create_token_offline(settings: Settings, name: str, *, replaces: bool = False) -> str:
    """An admin token where no server holds the database; the token, shown once."""
    with open_places(settings) as places:
        address = places.addresses["platform"]
        check_schema(address)
        engines = make_engines(
            settings,
            {"platform": address},
            lambda _database, _error: None,
            clock=_SYSTEM_CLOCK,
            needs_clock_confirmation=True,
        )
        platform = engines["platform"]
        prepare_installation(platform, address, settings)
        hasher = CredentialHasher(read_platform(address).secrets["credentials"])
        token = make_admin_token()
        outcome = platform.run_now(
            AddAdminToken(
                0, "command line", name, hasher.hash_admin_token(token), replaces=replaces
            )
        )
        platform.engine.writer.close()
        if isinstance(outcome, Refused):
            raise ServerFailed(outcome.reason)
        if not isinstance(outcome, Done):
            raise ServerFailed(f"the token could not be stored: {outcome}")
        return token
