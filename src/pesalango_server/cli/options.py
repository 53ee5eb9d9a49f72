"""Options that many commands share, declared once.

A command takes a bundle (`admin: Admin`, `place: PlaceChoice`) and is registered through
`expand_bundles`, which puts the bundle's options in its place.
"""

import functools
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

import typer

from pesalango_server.cli.failures import CommandFailed
from pesalango_server.main.credentials import (
    FILE_NAME,
    Credentials,
    write_credentials,
)
from pesalango_server.main.credentials import read_credentials as read_all_credentials
from pesalango_server.settings import (
    ENVIRONMENT_PREFIX,
    Settings,
    find_settings_file,
    load_settings,
)

if TYPE_CHECKING:
    # Its client of HTTP takes a while to load, and servers and offline commands need none.
    from pesalango_server.admin.client import AdminClient

URL_VARIABLE = f"{ENVIRONMENT_PREFIX}ADMIN_URL"
TOKEN_VARIABLE = f"{ENVIRONMENT_PREFIX}ADMIN_TOKEN"
STANDARD_INPUT = "-"

UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar=URL_VARIABLE,
        help="Address of the admin API; without it, that of the data directory's credentials.",
    ),
]
TokenFileOption = Annotated[
    str | None,
    typer.Option(
        "--token-file",
        help=f"File with an admin token, - for standard input; {TOKEN_VARIABLE} works too.",
    ),
]
DataDirOption = Annotated[
    str | None,
    typer.Option("--data-dir", help="Data directory whose credentials.json is used."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


class Bundle(Protocol):
    """Options that travel together: made of their values by keyword."""

    OPTIONS: ClassVar[dict[str, tuple[Any, Any]]]


def _list_bundles(function: Callable[..., None]) -> dict[str, Any]:
    return {
        name: parameter.annotation
        for name, parameter in inspect.signature(function).parameters.items()
        if hasattr(parameter.annotation, "OPTIONS")
    }


def expand_bundles(function: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of its bundles instead of the bundles themselves."""
    bundles = _list_bundles(function)
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in bundles
    ]
    for bundle in bundles.values():
        parameters += [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
            )
            for name, (annotation, default) in bundle.OPTIONS.items()
        ]

    @functools.wraps(function)
    def command(**given: Any) -> None:
        for name, bundle in bundles.items():
            given[name] = bundle(**{option: given.pop(option) for option in bundle.OPTIONS})
        function(**given)

    # What Typer reads a command's options from.
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


class PlaceChoice:
    """Which ledger a command is about."""

    OPTIONS: ClassVar = {
        "market": (
            Annotated[
                str | None,
                typer.Option("--market", help="Path value or country: vodacomTZN, or TZN."),
            ],
            None,
        ),
        "environment": (
            Annotated[
                str | None, typer.Option("--environment", help="sandbox (default), openapi.")
            ],
            None,
        ),
        "world": (
            Annotated[str | None, typer.Option("--world", help="World; yours unless given.")],
            None,
        ),
    }

    def __init__(self, market: str | None, environment: str | None, world: str | None) -> None:
        self._given = {"market": market, "environment": environment, "world": world}

    @property
    def fields(self) -> dict[str, Any]:
        """What is given, as fields of a request. Raises `CommandFailed` without a market."""
        if self._given["market"] is None:
            raise CommandFailed("say which market is meant, such as --market vodacomTZN")
        return {name: value for name, value in self._given.items() if value is not None}


class Admin:
    """The admin API that a command speaks to, and how it tells the result."""

    OPTIONS: ClassVar = {
        "url": (UrlOption, None),
        "token_file": (TokenFileOption, None),
        "data_dir": (DataDirOption, None),
        "json": (JsonOption, False),
    }

    def __init__(
        self, url: str | None, token_file: str | None, data_dir: str | None, json: bool
    ) -> None:
        self._url, self._token_file = url, token_file
        self.data_dir = data_dir
        self.is_json = json
        self.names_server = url is not None

    def connect(self) -> "AdminClient":
        """A client with address and token from flags, environment or credentials."""
        from pesalango_server.admin.client import AdminClient, split_address  # noqa: PLC0415

        if self._url is not None:
            split_address(self._url)
        url, token, certificate_file = self._url, self._read_token(), ""
        if url is None:
            credentials = read_credentials(self.credentials_path())
            url = credentials["admin_url"]
            token = token or credentials["admin_token"]
            certificate_file = credentials["certificate_file"]
        if not token:
            raise CommandFailed(
                f"there is no token for {url}: give --token-file, or set {TOKEN_VARIABLE}"
            )
        # Anything else would be refused by the machinery of HTTP, which repeats it.
        if not (token.isascii() and token.isprintable() and " " not in token):
            raise CommandFailed(
                f"the token for {url} cannot be one: a token is one line of letters, digits, - and "
                f"_; look at --token-file or {TOKEN_VARIABLE}"
            )
        return AdminClient(url, token, certificate_file=certificate_file)

    def credentials_path(self) -> Path:
        """Where `up` leaves its credentials."""
        return find_data_dir(self.data_dir) / FILE_NAME

    def change_credentials(self, change: Callable[[Credentials], None]) -> Path | None:
        """Have the data directory's credentials follow what its server has just changed.

        Their path; None where the command spoke to a server that was named otherwise. Raises
        `CommandFailed` where the file cannot be written: the change is in force all the same.
        """
        if self.names_server:
            return None
        path = self.credentials_path()
        try:
            credentials = read_all_credentials(path)
            if credentials is None:
                raise CommandFailed(
                    f"the change is in force, but {path} is no whole file of credentials, and was "
                    "left as it is; the next pesalango-server up writes it anew"
                )
            change(credentials)
            write_credentials(path, credentials)
        except OSError as error:
            raise CommandFailed(
                f"the change is in force, but {path} could not be written: "
                f"{error.strerror or error}; the next pesalango-server up writes it anew"
            ) from error
        return path

    def _read_token(self) -> str:
        """The token that is given; empty where none is."""
        if self._token_file is None:
            return os.environ.get(TOKEN_VARIABLE, "").strip()
        try:
            if self._token_file == STANDARD_INPUT:
                return sys.stdin.readline().strip()
            return Path(self._token_file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandFailed(
                f"the token file {self._token_file} cannot be read: {error}"
            ) from error


def read_settings(**flags: object) -> Settings:
    """Settings from flags, environment and file. Raises `SettingsError`."""
    return load_settings(flags, os.environ, find_settings_file(os.environ, Path.cwd()))


def find_data_dir(flag: str | None) -> Path:
    """The data directory that settings and flag name."""
    return Path(read_settings(data_dir=flag).data_dir)


def read_credentials(path: Path) -> dict[str, str]:
    """`admin_url`, `admin_token` and `certificate_file` (empty where there is none) of a file of
    credentials. Raises `CommandFailed`.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        known = {name: str(content[name]) for name in ("admin_url", "admin_token")}
        return {**known, "certificate_file": str(content.get("certificate_file", ""))}
    except FileNotFoundError as error:
        raise CommandFailed(
            f"there is no {path}: start pesalango-server up, name its --data-dir, or give --url "
            "and --token-file"
        ) from error
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CommandFailed(
            f"{path} is no file of credentials; pesalango-server up writes it anew"
        ) from error
