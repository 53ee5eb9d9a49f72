"""Options that all commands share, and what every command is wrapped in.

A command takes a bundle (`gateway: Gateway`) and is registered through `as_command`, which puts the
bundle's options in its place, and turns what the command raises into a sentence and an exit status.
"""

import functools
import inspect
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from pesalango._client import Client
from pesalango._errors import PesalangoError
from pesalango._intents import Intent
from pesalango._sqlite_journal import SqliteJournal
from pesalango.cli import USAGE
from pesalango.cli.exits import CommandFailedError, Failure, explain, explain_interruption
from pesalango.cli.fields import find_fault
from pesalango.cli.output import show_failure, tell
from pesalango.cli.settings import SETTINGS, Settings, load_settings, name_variable


class WatchedJournal(SqliteJournal):
    """A journal that remembers whether a payment of this process may be under way."""

    was_asked = False
    """To keep an intent: it may be there, even where no answer came."""
    has_intent = False
    """It said so, and a request may have followed."""

    def begin(self, intent: Intent) -> Intent:
        """See `Journal.begin`."""
        self.was_asked = True
        kept = super().begin(intent)
        self.has_intent = True
        return kept

    def list_open(self, platform: str) -> Sequence[Intent]:
        """See `Journal.list_open`. Who asks goes on to settle what is there."""
        found = super().list_open(platform)
        self.was_asked = self.has_intent = bool(found)
        return found


def _make_setting_options() -> dict[str, tuple[Any, Any]]:
    return {
        name: (
            Annotated[
                str | None,
                typer.Option(
                    f"--{name.replace('_', '-')}",
                    help=f"{setting.meaning} [{name_variable(name)}]",
                    metavar={"path": "FILE", "seconds": "SECONDS"}.get(setting.kind, "TEXT"),
                    rich_help_panel="Settings",
                ),
            ],
            None,
        )
        for name, setting in SETTINGS.items()
        if setting.is_flag
    }


class Gateway:
    """Whom a command speaks to, and in which form it tells the result."""

    OPTIONS: ClassVar[dict[str, tuple[Any, Any]]] = {
        "json": (
            Annotated[bool, typer.Option("--json", help="Print JSON, of errors too.")],
            False,
        ),
        "settings": (
            Annotated[
                Path | None,
                typer.Option(
                    "--settings",
                    metavar="FILE",
                    help="Settings file (TOML, mode 0600); without it, "
                    "~/.config/pesalango/settings.toml if that is there.",
                ),
            ],
            None,
        ),
        "credentials": (
            Annotated[
                Path | None,
                typer.Option(
                    "--credentials",
                    metavar="FILE",
                    help="The credentials.json that pesalango-server up has written; without it, "
                    "var/credentials.json if it is there and nothing else says address or key.",
                ),
            ],
            None,
        ),
        **_make_setting_options(),
    }

    def __init__(
        self, *, json: bool, settings: Path | None, credentials: Path | None, **flags: str | None
    ) -> None:
        self.is_json = json
        self._settings_file, self._credentials_file = settings, credentials
        self._flags = flags
        self._loaded: Settings | None = None
        self.journal: WatchedJournal | None = None
        self.key: str | None = None
        """Of the payment that is being made."""
        self.has_begun = False
        """Payments are being made past the journal that is watched."""

    @property
    def settings(self) -> Settings:
        """Those in force. Raises `ConfigurationError`."""
        if self._loaded is None:
            self._loaded = load_settings(
                self._flags,
                os.environ,
                settings_file=self._settings_file,
                credentials_file=self._credentials_file,
            )
        return self._loaded

    def list_client_options(self) -> dict[str, Any]:
        """What `Client` and `AsyncClient` take, but for the journal."""
        settings = self.settings
        return {
            "base_url": settings.base_url,
            "api_key": settings.api_key,
            "public_key": settings.public_key,
            "market": settings.market,
            "environment": settings.environment,
            "origin": settings.origin,
            "timeout": settings.timeout_s,
            "session_lifetime": settings.session_lifetime_s,
            "certificate_file": settings.certificate_file,
            "former_api_keys": settings.former_api_keys,
        }

    @contextmanager
    def open_client(self) -> Iterator[Client]:
        """A client whose journal is watched. Raises `ConfigurationError`."""
        self.journal = journal = WatchedJournal(self.settings.journal)
        try:
            with Client(**self.list_client_options(), journal=journal) as client:
                yield client
        finally:
            journal.close()

    def choose_key(self, command: str, key: str | None) -> str:
        """The key that was given, or a new one; then it is told before anything is sent."""
        if key is None:
            key = f"{command}-{secrets.token_hex(8)}"
            tell(
                f"the key of this payment is {key}; the same command with --key {key} goes on "
                "with it, and never pays twice"
            )
        self.key = key
        return key

    @property
    def may_have_sent(self) -> bool:
        """A payment of this process may be on its way."""
        return self.has_begun or (self.journal is not None and self.journal.has_intent)

    @property
    def may_have_intent(self) -> bool:
        """A payment of this process may be in the journal, and is paid if anybody recovers."""
        return self.has_begun or (self.journal is not None and self.journal.was_asked)


def check_fields(client: Client, values: dict[str, str | None]) -> None:
    """Raises `CommandFailedError` for a value that no request can carry; None was not given."""
    for name, value in values.items():
        fault = None if value is None else find_fault(name, value, client.market)
        if fault:
            text = f"{name.replace('_', ' ')} {fault}" + (f": {value!r}" if value else "")
            raise CommandFailedError(Failure(kind="ValueError", text=text), USAGE)


def as_command(function: Callable[..., int]) -> Callable[..., None]:
    """The command as Typer takes it; its function returns the exit status."""
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "gateway"
    ]
    parameters += [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )
        for name, (annotation, default) in Gateway.OPTIONS.items()
    ]

    @functools.wraps(function)
    def command(**given: Any) -> None:
        gateway = Gateway(**{name: given.pop(name) for name in Gateway.OPTIONS})
        try:
            status = function(gateway=gateway, **given)
        except KeyboardInterrupt:
            failed = explain_interruption(key=gateway.key, may_have_sent=gateway.may_have_intent)
        except (PesalangoError, CommandFailedError) as error:
            failed = explain(error, key=gateway.key, may_have_sent=gateway.may_have_sent)
        else:
            raise typer.Exit(status)
        show_failure(failed.failure, is_json=gateway.is_json)
        raise typer.Exit(failed.status)

    # What Typer reads a command's options from.
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command
