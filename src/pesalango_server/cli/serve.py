"""`pesalango-server serve`: for operators."""

import sys
from typing import Annotated

import typer

from pesalango_server.cli.options import read_settings
from pesalango_server.cli.output import say


def run(
    data_dir: Annotated[str | None, typer.Option(help="Directory of all data [var].")] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[plain:|tls:]ADDRESS:PORT",
            help="Address of the operator's API; may be given several times [127.0.0.1:8080].",
        ),
    ] = None,
    admin_listen: Annotated[
        str | None,
        typer.Option(
            metavar="[plain:|tls:]ADDRESS:PORT",
            help="Address of the admin API [plain:127.0.0.1:8081].",
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
    """Serve on a database that `migrate` brought up to date; nothing in openapi is seeded."""
    settings = read_settings(
        data_dir=data_dir,
        listen=listen or None,
        admin_listen=admin_listen,
        database=database,
        workers=workers,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        log_level=log_level,
    )
    # Other commands need not load a server.
    from pesalango_server.main.serve import Serve  # noqa: PLC0415
    from pesalango_server.telemetry import configure_logging, hold_metrics_dir  # noqa: PLC0415

    with hold_metrics_dir():
        configure_logging(settings.log_level, process="engine")
        sys.exit(Serve(settings, say).run())
