"""`pesalango-server up`: everything on one machine."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from pesalango_server.main.server import prepare_metrics_dir
from pesalango_server.settings import Settings, find_settings_file, load_settings


def read_settings(**flags: object) -> Settings:
    """Settings from flags, environment and file. Raises `SettingsError`."""
    return load_settings(flags, os.environ, find_settings_file(os.environ, Path.cwd()))


def say(line: str) -> None:
    """Tell a person something, at once; nobody may be there any more, or no room for it."""
    with contextlib.suppress(OSError):
        print(line, flush=True)


@contextlib.contextmanager
def hold_metrics_dir() -> Iterator[None]:
    """A directory for this server's metrics, which goes with it, however far the start came.

    Those of others stay, dead ones too: whose a directory is cannot be told for certain.
    """
    directory = prepare_metrics_dir()
    try:
        yield
    finally:
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)


def run(
    data_dir: Annotated[str | None, typer.Option(help="Directory of all data [var].")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on [8080].")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on [127.0.0.1].")] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[plain:|tls:]ADDRESS:PORT",
            help="Instead of --host and --port; may be given several times.",
        ),
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="sqlite, postgres (bundled), or a PostgreSQL URL [sqlite].")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that serve HTTP [1].")] = None,
    tls_certificate: Annotated[
        str | None, typer.Option(help="PEM file; with it, addresses speak TLS unless plain:.")
    ] = None,
    tls_key: Annotated[
        str | None, typer.Option(help="PEM file with the key; SIGHUP reads both again.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Start a gateway with a seeded sandbox: nothing to prepare, data kept between starts."""
    settings = read_settings(
        data_dir=data_dir,
        port=port,
        host=host,
        listen=listen or None,
        database=database,
        workers=workers,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        log_level=log_level,
    )
    with hold_metrics_dir():
        # Imported only now: metrics look for their directory while they are imported.
        from pesalango_server.main.up import Up  # noqa: PLC0415
        from pesalango_server.telemetry import configure_logging  # noqa: PLC0415

        configure_logging(settings.log_level, process="engine")
        sys.exit(Up(settings, say).run())
