"""`pesalango-server backup`: a copy of a data directory, of a running server or a stopped one."""

from pathlib import Path
from typing import Annotated

import typer

from pesalango_server.cli.options import read_settings
from pesalango_server.cli.output import say
from pesalango_server.main.backup import back_up


def run(
    to: Annotated[Path, typer.Option("--to", help="Directory to make, with the copy in it.")],
    data_dir: Annotated[str | None, typer.Option(help="Directory of all data [var].")] = None,
) -> None:
    """Copy the SQLite databases to a new directory, from which a server can be started."""
    back_up(read_settings(data_dir=data_dir), to, say)
    say(f"The backup is in {to}. It holds secrets: keep it as the data directory is kept.")
