"""`credentials.json`: what `up` leaves in the data directory for whoever works on this machine."""

from pathlib import Path

import msgspec

from pesalango_server.main.files import write_whole

FILE_NAME = "credentials.json"
USER_APPLICATION = "first-application"
"""The application whose API key the file has."""


class EnvironmentCredentials(msgspec.Struct):
    """How to call one environment; `public_key` is base64 of the DER form."""

    public_key: str
    api_key: str
    service_provider_code: str
    markets: tuple[str, ...]


class Credentials(msgspec.Struct, omit_defaults=True):
    """The content of the file.

    `certificate_file`, absent where plain HTTP is served, is what a client on this machine trusts
    beside the system's authorities.
    """

    base_url: str
    admin_url: str
    admin_token: str
    sandbox: EnvironmentCredentials
    openapi: EnvironmentCredentials
    certificate_file: str = ""


def read_credentials(path: Path) -> Credentials | None:
    """What a file of credentials holds; None where it is absent or cannot be read as one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Credentials)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def write_credentials(path: Path, credentials: Credentials) -> None:
    """Replace the file at once: no reader ever sees half of it, and nobody else can read it."""
    body = msgspec.json.format(msgspec.json.encode(credentials), indent=2) + b"\n"
    write_whole(path, body, mode=0o600)
