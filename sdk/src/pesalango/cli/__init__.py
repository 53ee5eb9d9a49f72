"""The command `pesalango`. What it is made of comes with the extra `cli`."""

import importlib
import sys

from pesalango._version import __version__

PROGRAM = "pesalango"


def main() -> None:
    """Run the command; without the extra, say in one sentence what is missing (status 1)."""
    try:
        typer = importlib.import_module("typer")
    except ModuleNotFoundError:
        print(
            f"{PROGRAM}: the command needs the extra: pip install 'pesalango[cli]'", file=sys.stderr
        )
        sys.exit(1)
    app = typer.Typer(name=PROGRAM, add_completion=False, rich_markup_mode=None)
    app.command()(_print_version)
    app()


def _print_version() -> None:
    """Print the client's version."""
    print(f"{PROGRAM} {__version__}")
