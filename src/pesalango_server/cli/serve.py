"""`pesalango-server serve`: for operators."""

import sys
from typing import Annotated

import typer

from pesalango_server.cli.up import hold_metrics_dir, read_settings, say


def run(
    data_dir: Annotated[str | None, typer.Option(help="Directory of all data [var].")] = None,
    listen: Annotated[
        str | None, typer.Option(help="Address of the operator's API [127.0.0.1:8080].")
    ] = None,
    admin_listen: Annotated[
        str | None, typer.Option(help="Address of the admin API [127.0.0.1:8081].")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="sqlite, postgres (bundled), or a PostgreSQL URL [sqlite].")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that serve HTTP [1].")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Serve on a database that `migrate` brought up to date; nothing in openapi is seeded."""
    settings = read_settings(
        data_dir=data_dir,
        listen=listen,
        admin_listen=admin_listen,
        database=database,
        workers=workers,
        log_level=log_level,
    )
    with hold_metrics_dir():
        # Imported only now: metrics look for their directory while they are imported.
        from pesalango_server.main.serve import Serve  # noqa: PLC0415
        from pesalango_server.telemetry import configure_logging  # noqa: PLC0415

        configure_logging(settings.log_level, process="engine")
        sys.exit(Serve(settings, say).run())
