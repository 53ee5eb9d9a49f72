"""`pesalango-server platform-keys`: what callers encrypt their bearers with."""

from pathlib import Path
from typing import Annotated

import typer

from pesalango_server.admin import contract
from pesalango_server.cli.failures import CommandFailed
from pesalango_server.cli.options import Admin, expand_bundles
from pesalango_server.cli.output import print_json
from pesalango_server.main.credentials import Credentials

app = typer.Typer(
    help="Platform keys: what callers encrypt their bearers with.", no_args_is_help=True
)


@app.command("show")
@expand_bundles
def show(
    admin: Admin,
    environment: Annotated[
        str | None, typer.Option("--environment", help="Print this one's public key alone.")
    ] = None,
) -> None:
    """Show the public keys, one line of base64 each, for merchants to encrypt with."""
    with admin.connect() as client:
        keys = client.show_platform_keys()
    if environment is not None:
        if environment not in keys.__struct_fields__:
            raise CommandFailed(f"environment is one of {', '.join(keys.__struct_fields__)}")
        print(getattr(keys, environment))
    elif admin.is_json:
        print_json(keys)
    else:
        for name in keys.__struct_fields__:
            print(f"{name:<10}{getattr(keys, name)}")


@app.command("import")
@expand_bundles
def import_(
    admin: Admin,
    environment: Annotated[str, typer.Option("--environment", help="sandbox, openapi.")],
    file: Annotated[
        Path, typer.Option("--file", help="RSA private key (PEM, 2048 to 8192 bits, no password).")
    ],
) -> None:
    """Give an environment another key pair; bearers made with the old one stop working.

    The public key in the data directory's credentials follows.
    """
    try:
        private_key = file.read_text("utf-8")
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise CommandFailed(f"{file} is no PEM") from None
    with admin.connect() as client:
        keys = client.replace_platform_key(
            environment, contract.ReplacePlatformKeyRequest(private_key=private_key)
        )
    if admin.is_json:
        print_json(keys)
    else:
        print(f"{environment} has this public key now: {getattr(keys, environment)}")
        print(
            "Bearers made with the old one stop working within a second, but for those of sessions "
            "in use: hand it to every merchant."
        )

    def change(credentials: Credentials) -> None:
        credentials.sandbox.public_key = keys.sandbox
        credentials.openapi.public_key = keys.openapi

    path = admin.change_credentials(change)
    if path is not None and not admin.is_json:
        print(f"It is in {path} too.")
