"""`pesalango-server audit`: whether the books are right, of a running server or a stopped one."""

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from pesalango_server.applications.audit import audit_platform
from pesalango_server.cli.options import read_settings
from pesalango_server.cli.output import say
from pesalango_server.kernel.money import format_amount_minor
from pesalango_server.kernel.violations import Violation
from pesalango_server.ledger.statuses import State
from pesalango_server.main.agreement import read_platform
from pesalango_server.payments.audit import INVARIANTS, EnvironmentAudit, audit_environment
from pesalango_server.payments.duplicates import DuplicateKeys
from pesalango_server.settings import Settings
from pesalango_server.storage.address import (
    DatabaseAddress,
    list_addresses,
)
from pesalango_server.storage.bundled import BundledPostgres, find_running_url
from pesalango_server.storage.database import StorageError
from pesalango_server.storage.migrations import check_schema
from pesalango_server.storage.snapshot import open_snapshot_reader

_DECIMALS = 2
_UNREADABLE = 2


def run(
    data_dir: Annotated[str | None, typer.Option(help="Directory of all data [var].")] = None,
    database: Annotated[
        str | None, typer.Option(help="sqlite, postgres (bundled), or a PostgreSQL URL [sqlite].")
    ] = None,
) -> None:
    """Recompute the invariants of every ledger: exit status 1 if one does not hold, 2 if a database
    cannot be read.
    """
    settings = read_settings(data_dir=data_dir, database=database)
    try:
        with open_for_reading(settings) as addresses:
            status = run_audit(addresses)
    except StorageError as error:
        print(f"pesalango-server: {error}", file=sys.stderr)
        status = _UNREADABLE
    raise typer.Exit(status)


@contextlib.contextmanager
def open_for_reading(settings: Settings) -> Iterator[dict[str, DatabaseAddress]]:
    """The databases, read beside a running server; a bundled one that stands still is started."""
    directory = Path(settings.data_dir).resolve()
    conninfo = settings.database_url
    if conninfo is None and not directory.is_dir():
        raise StorageError(f"there is no data directory {directory}; name one with --data-dir")
    with contextlib.ExitStack() as stack:
        if settings.database == "postgres":
            place = directory / "postgres"
            conninfo = find_running_url(place)
            if conninfo is None and not (place / "cluster").is_dir():
                raise StorageError(f"there is no bundled PostgreSQL in {directory}")
            if conninfo is None:
                conninfo = stack.enter_context(BundledPostgres.start(place)).url
        yield list_addresses(data_dir=directory, conninfo=conninfo)


def run_audit(addresses: Mapping[str, DatabaseAddress]) -> int:
    """Print what was checked, in numbers; 0, or 1 for a violation. Raises `StorageError`."""
    for address in addresses.values():
        check_schema(address)
    keys = _read_duplicate_keys(addresses["platform"])
    with open_snapshot_reader(addresses["platform"]) as reader:
        platform = audit_platform(reader)
    say(f"platform: {platform.generations} generations, {platform.events} audit events")
    found = _tell("platform", platform.violations, platform.violations_found)
    for name, address in addresses.items():
        if name == "platform":
            continue
        with open_snapshot_reader(address) as reader:
            audit = audit_environment(reader, duplicate_keys=keys)
        _tell_figures(name, audit)
        found += _tell(name, audit.violations, audit.violations_found)
    numbers = ", ".join(str(number) for number in INVARIANTS)
    if found:
        say(f"{found} violation(s) of the invariants {numbers}.")
        return 1
    say(f"The invariants {numbers} hold.")
    return 0


def _read_duplicate_keys(address: DatabaseAddress) -> DuplicateKeys | None:
    secret = read_platform(address).secrets.get("duplicates")
    return None if secret is None else DuplicateKeys(secret)


def _tell_figures(environment: str, audit: EnvironmentAudit) -> None:
    opened = [ledger for ledger in audit.ledgers if ledger.ledger]
    for ledger in opened:
        states = ", ".join(
            f"{number} {State(state).name.lower()}" for state, number in ledger.states.items()
        )
        moved = format_amount_minor(ledger.moved_minor, _DECIMALS)
        say(
            f"{environment} ledger {ledger.ledger} (world {ledger.world}, {ledger.market}):"
            f" {ledger.accounts} accounts, {ledger.payments} payments"
            f"{f' ({states})' if states else ''}, {ledger.transfers} transfers of"
            f" {moved} {ledger.currency}, {ledger.fundings} fundings, {ledger.changes} changes,"
            f" {ledger.duplicates} keys, {ledger.prompts} prompts, {ledger.batches} batches"
        )
    if not opened:
        say(f"{environment}: no ledger has been opened")


def _tell(database: str, violations: Sequence[Violation], found: int) -> int:
    for violation in violations:
        ids = ", ".join(str(number) for number in violation.ids)
        place = f"{database} ledger {violation.ledger}" if violation.ledger else database
        say(
            f"VIOLATION of invariant {violation.invariant} in {place}:"
            f" {violation.what}{f' ({ids})' if ids else ''}"
        )
    if found > len(violations):
        say(f"... and {found - len(violations)} more in {database}")
    return found
