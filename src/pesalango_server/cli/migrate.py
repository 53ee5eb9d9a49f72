"""`pesalango-server migrate`: bring the databases up to date."""

from typing import Annotated

import typer

from pesalango_server.cli.options import read_settings
from pesalango_server.cli.output import say
from pesalango_server.main.serve import migrate


def run(
    data_dir: Annotated[str | None, typer.Option(help="Directory of all data [var].")] = None,
    database: Annotated[
        str | None, typer.Option(help="sqlite, postgres (bundled), or a PostgreSQL URL [sqlite].")
    ] = None,
) -> None:
    """Apply the migrations that the databases lack; safe to repeat."""
    migrate(read_settings(data_dir=data_dir, database=database), say)
