"""`pesalango-server token`: who may administrate."""

import os
from pathlib import Path
from typing import Annotated

import typer

from pesalango_server.admin import contract
from pesalango_server.admin.checks import check_name
from pesalango_server.admin.errors import AdminError
from pesalango_server.cli.failures import CommandFailed
from pesalango_server.cli.options import Admin, expand_bundles
from pesalango_server.cli.output import print_json
from pesalango_server.settings import find_settings_file, load_settings

app = typer.Typer(help="Admin tokens: who may administrate.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Admin tokens: who may administrate."""


@app.command("create")
@expand_bundles
def create(
    admin: Admin,
    name: Annotated[str, typer.Option("--name", help="Who will use it; a name has one token.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="End the token that has this name now.")
    ] = False,
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            help="Write into this database, which no server may hold: sqlite, postgres or a URL.",
        ),
    ] = None,
) -> None:
    """Make an admin token; it is printed once.

    Without --database, and where the data directory has credentials or --url names a server, the
    server makes it. Else it is written into the database itself: the first token of serve.
    """
    if database is not None or not (admin.names_server or admin.credentials_path().exists()):
        made = contract.NewToken(
            name=name,
            token=_create_offline(database, admin.data_dir, name=name, replaces=replace),
        )
    else:
        with admin.connect() as client:
            made = client.add_token(contract.AddTokenRequest(name=name, replaces=replace))
    if admin.is_json:
        print_json(made)
        return
    print(made.token)


def _create_offline(
    database: str | None, data_dir: str | None, *, name: str, replaces: bool
) -> str:

    try:
        check_name(name, "name")
    except AdminError as error:
        raise CommandFailed(error.message) from error
    # The whole server, which no other command of this group needs.
    from pesalango_server.main.serve import create_token_offline  # noqa: PLC0415

    flags = {"database": database, "data_dir": data_dir}
    file = find_settings_file(os.environ, Path.cwd())
    settings = load_settings(flags, os.environ, file)
    return create_token_offline(settings, name, replaces=replaces)
