"""`pesalango-server up`: everything on one machine."""

import sys
from typing import Annotated

import typer

from pesalango_server.cli.options import read_settings
from pesalango_server.cli.output import say


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
    # Other commands need not load a server.
    from pesalango_server.main.up import Up  # noqa: PLC0415
    from pesalango_server.telemetry import configure_logging, hold_metrics_dir  # noqa: PLC0415

    with hold_metrics_dir():
        configure_logging(settings.log_level, process="engine")
        sys.exit(Up(settings, say).run())
