"""The command line. Only the module of the command that is asked for is imported."""

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from pesalango_server import __version__
from pesalango_server.cli.failures import explain_failure

PROGRAM = "pesalango-server"

COMMANDS = {
    "up": "Start everything on this machine; nothing to prepare.",
    "serve": "Serve for others: PostgreSQL, several workers, nothing in openapi is seeded.",
    "audit": "Check that the books are right.",
    "backup": "Copy the databases of a running server or a stopped one (SQLite).",
    "migrate": "Bring the databases up to date.",
    "certificate": "Make a local authority and a certificate for TLS.",
    "api-document": "Print the OpenAPI document.",
    "customers": "Customers: who has a wallet in a market.",
    "organisations": "Organisations: who is paid in a market.",
    "applications": "Applications: who may call the operator's API.",
    "platform-keys": "Platform keys: what callers encrypt their bearers with.",
    "token": "Admin tokens: who may administrate.",
    "health": "Whether payments can be taken.",
}
"""Name and meaning of each command, in the order in which help lists them.

Its module has the same name (with `_` for `-`). It holds `app`, a group of commands, or `run`, the
command itself.
"""


def make_app(arguments: Sequence[str]) -> typer.Typer:
    """The program as these arguments need it: one command whole, of the others their names."""
    app = typer.Typer(
        name=PROGRAM,
        help="A mobile-money payment gateway that anyone can run.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_take_options)
    asked = next((argument for argument in arguments if not argument.startswith("-")), "")
    for name, meaning in COMMANDS.items():
        if name != asked:
            app.command(name, help=meaning)(_stand_in)
            continue
        module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name, help=meaning)
        else:
            app.command(name, help=meaning)(module.run)
    return app


def _stand_in() -> None:
    """Shows a command in the list of commands; it is never the one that runs."""


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"{PROGRAM} {__version__}")
        raise typer.Exit


def _take_options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it."),
    ] = False,
) -> None:
    """Options in front of the command."""


def main() -> None:
    """Entry point. Exit status: 0 done, 1 failed, with one sentence that says why, 2 usage."""
    try:
        make_app(sys.argv[1:])(prog_name=PROGRAM)
    except Exception as error:
        sentence = explain_failure(error)
        if sentence is None:
            raise
        print(f"{PROGRAM}: {sentence}", file=sys.stderr)
        sys.exit(1)
