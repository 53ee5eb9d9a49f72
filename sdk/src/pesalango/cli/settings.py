"""Where the values of settings come from.

A flag stands over the environment, the environment over the settings file, that over the
credentials file, and that over the default. What one source says of a secret is never repeated, not
in an error either.
"""

import difflib
import os
import stat
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from msgspec import Struct

from pesalango._client import LIFETIME_S, TIMEOUT_S, find_default_journal
from pesalango._credentials import Credentials, read_credentials
from pesalango._errors import ConfigurationError
from pesalango._model import Environment

ENVIRONMENT_PREFIX: Final = "PESALANGO_"
STANDARD_INPUT: Final = "-"
DEFAULT_CREDENTIALS: Final = Path("var/credentials.json")

Kind = Literal["text", "path", "seconds", "list"]


class Setting(Struct, frozen=True):
    """One thing that can be set."""

    kind: Kind
    meaning: str
    is_flag: bool = True
    """No secret is: other users of the machine can read command lines."""


SETTINGS: Final[Mapping[str, Setting]] = {
    "base_url": Setting("text", "Scheme, host and port of the gateway."),
    "api_key": Setting("text", "The application's API key.", is_flag=False),
    "api_key_file": Setting(
        "path", "File with the API key, - for standard input; PESALANGO_API_KEY works too."
    ),
    "public_key": Setting("text", "The platform's public key.", is_flag=False),
    "public_key_file": Setting("path", "File with the platform's public key, as shown, or PEM."),
    "market": Setting("text", "Market, such as vodacomTZN."),
    "environment": Setting("text", "sandbox, or openapi, in which money counts."),
    "origin": Setting("text", "Header Origin; one that the application admits."),
    "service_provider_code": Setting("text", "Shortcode of the organisation that is acted for."),
    "journal": Setting("path", "File in which payments are kept, so that none is lost."),
    "certificate_file": Setting("path", "Authorities (PEM) to trust beside the system's."),
    "timeout": Setting("seconds", "Seconds that a request may wait for its answer."),
    "session_lifetime": Setting("seconds", "Seconds that the application's sessions last."),
    "former_api_keys": Setting(
        "list", "The application's keys of before, while their payments are open.", is_flag=False
    ),
}
"""Each is a flag (but for secrets), a variable of the environment, and a name in the settings file."""

_ALTERNATIVES: Final = {"api_key": "api_key_file", "public_key": "public_key_file"}
_SECRETS: Final = frozenset({"api_key", "former_api_keys"})


class Settings(Struct, frozen=True, kw_only=True):
    """What a client is made with."""

    base_url: str
    api_key: str
    public_key: str
    market: str
    environment: Environment
    origin: str
    service_provider_code: str
    """Empty where nobody says which."""
    journal: Path
    certificate_file: Path | None
    timeout_s: float
    session_lifetime_s: float
    former_api_keys: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Settings({self.base_url!r}, {self.environment!r}, {self.market!r})"


class _Given(Struct, frozen=True):
    """A value, and where it was found."""

    value: Any
    source: str
    folder: Path
    """What a path is relative to."""


def find_settings_file(environ: Mapping[str, str]) -> Path:
    """Where the settings file lies if nobody says."""
    configured = environ.get("XDG_CONFIG_HOME", "")
    folder = Path(configured) if configured.startswith("/") else Path("~/.config").expanduser()
    return folder / "pesalango" / "settings.toml"


def load_settings(
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    settings_file: Path | None,
    credentials_file: Path | None,
) -> Settings:
    """The settings in force; a flag that is None was not given.

    Of the credentials file whatever nothing else says is taken, save that its certificate goes with
    its address alone. One that is not named is looked at only where nothing else says address or
    key: a file that happens to lie there must not mix with settings of another gateway.

    Raises `ConfigurationError`.
    """
    given = _gather(flags, environ, settings_file)
    environment = _take_text(given, "environment") or "sandbox"
    if environment not in {"sandbox", "openapi"}:
        source = given["environment"].source
        raise ConfigurationError(f"{source} is {environment!r}, neither sandbox nor openapi")
    credentials = _find_credentials(given, environment, credentials_file)  # type: ignore[arg-type]
    certificate_file = _take_path(given, "certificate_file")
    if certificate_file is None and "base_url" not in given and credentials is not None:
        found = credentials.certificate_file
        certificate_file = Path(found) if found else None
    return Settings(
        base_url=_take_needed(given, "base_url", credentials),
        api_key=_take_key(given, "api_key", credentials),
        public_key=_take_key(given, "public_key", credentials),
        market=_take_needed(given, "market", None),
        environment=environment,  # type: ignore[arg-type]
        origin=_take_text(given, "origin") or "*",
        service_provider_code=_take_text(given, "service_provider_code")
        or (credentials.service_provider_code if credentials else ""),
        journal=_take_path(given, "journal") or find_default_journal(),
        certificate_file=certificate_file,
        timeout_s=_take_seconds(given, "timeout", TIMEOUT_S),
        session_lifetime_s=_take_seconds(given, "session_lifetime", LIFETIME_S),
        former_api_keys=_take_list(given, "former_api_keys"),
    )


def name_variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"{ENVIRONMENT_PREFIX}{name.upper()}"


# --- sources -------------------------------------------------------------------------------------


def _gather(
    flags: Mapping[str, Any], environ: Mapping[str, str], settings_file: Path | None
) -> dict[str, _Given]:
    """What each setting is, from the strongest source that says it."""
    found: dict[str, _Given] = {}
    here = Path()
    sources = (
        {name: _Given(value, _name_flag(name), here) for name, value in flags.items()},
        {
            name: _Given(environ.get(name_variable(name)), name_variable(name), here)
            for name in SETTINGS
        },
        dict(_read_settings_file(settings_file, environ)),
    )
    for source in sources:
        said = {name: each for name, each in source.items() if each.value not in {None, ""}}
        for name, file_name in _ALTERNATIVES.items():
            if name in said and file_name in said:
                raise ConfigurationError(
                    f"{said[name].source} and {said[file_name].source} say the same thing: keep one"
                )
        taken = {
            name
            for pair in _ALTERNATIVES.items()
            for name in pair
            if not found.keys().isdisjoint(pair)
        }
        for name, each in said.items():
            if name not in taken:
                found.setdefault(name, each)
    return found


def _name_flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _read_settings_file(
    named: Path | None, environ: Mapping[str, str]
) -> Iterator[tuple[str, _Given]]:
    path = named or find_settings_file(environ)
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read()
    except FileNotFoundError:
        if named is None:
            return
        raise ConfigurationError(f"there is no settings file {path}") from None
    except OSError as failure:
        raise ConfigurationError(
            f"the settings file {path} cannot be read: {failure.strerror or failure}"
        ) from None
    if mode & 0o077:
        raise ConfigurationError(
            f"the settings file {path} may hold an API key, and others can get at it (mode "
            f"{mode:04o}): chmod 600 {path}"
        )
    try:
        values = tomllib.loads(content.decode())
    except UnicodeDecodeError:
        raise ConfigurationError(f"the settings file {path} is not in UTF-8") from None
    except tomllib.TOMLDecodeError as failure:
        raise ConfigurationError(f"the settings file {path} is no TOML: {failure}") from None
    for name, value in values.items():
        if name not in SETTINGS:
            near = difflib.get_close_matches(name, SETTINGS, n=1)
            hint = f" (is {near[0]} meant?)" if near else ""
            raise ConfigurationError(
                f"{name} in {path} is no setting{hint}; they are {', '.join(SETTINGS)}"
            )
        yield name, _Given(value, f"{name} in {path}", path.parent)


def _find_credentials(
    given: Mapping[str, _Given], environment: Environment, named: Path | None
) -> Credentials | None:
    says = {
        name: given.get(name) or given.get(_ALTERNATIVES.get(name, ""))
        for name in ("base_url", "api_key", "public_key")
    }
    if named is None:
        if any(says.values()) or not DEFAULT_CREDENTIALS.is_file():
            return None
        return read_credentials(DEFAULT_CREDENTIALS, environment)
    if all(says.values()):
        sources = ", ".join(each.source for each in says.values() if each)
        raise ConfigurationError(
            f"nothing of --credentials {named} would be used, for {sources} stand over it: leave "
            "out the one or the others"
        )
    return read_credentials(named, environment)


# --- values --------------------------------------------------------------------------------------


def _take_text(given: Mapping[str, _Given], name: str) -> str:
    """Empty where it is not given."""
    each = given.get(name)
    if each is None:
        return ""
    if not isinstance(each.value, str):
        raise ConfigurationError(f"{each.source} takes text")
    return each.value


def _take_path(given: Mapping[str, _Given], name: str) -> Path | None:
    """Relative to the working directory, or to the settings file that says it."""
    text = _take_text(given, name)
    return given[name].folder / Path(text).expanduser() if text else None


def _take_seconds(given: Mapping[str, _Given], name: str, default: float) -> float:
    each = given.get(name)
    if each is None:
        return default
    if isinstance(each.value, bool):
        raise ConfigurationError(f"{each.source} takes a number of seconds")
    try:
        return float(each.value)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{each.source} takes a number of seconds") from None


def _take_list(given: Mapping[str, _Given], name: str) -> tuple[str, ...]:
    each = given.get(name)
    if each is None:
        return ()
    items = each.value.replace(",", " ").split() if isinstance(each.value, str) else each.value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ConfigurationError(f"{each.source} takes a list of texts")
    return tuple(items)


def _take_key(given: Mapping[str, _Given], name: str, credentials: Credentials | None) -> str:
    """An API key or a public key: as text, or from the file that is named."""
    file_name = _ALTERNATIVES[name]
    if file_name not in given:
        return _take_needed(given, name, credentials)
    text = _take_text(given, file_name)
    try:
        if text == STANDARD_INPUT:
            return sys.stdin.read().strip()
        return (given[file_name].folder / Path(text).expanduser()).read_text("utf-8").strip()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{given[file_name].source}: the file is not in UTF-8") from None
    except OSError as failure:
        raise ConfigurationError(
            f"{given[file_name].source}: the file cannot be read: {failure.strerror or failure}"
        ) from None


def _take_needed(given: Mapping[str, _Given], name: str, credentials: Credentials | None) -> str:
    text = _take_text(given, name) or getattr(credentials, name, "")
    if text:
        return text
    usual = _ALTERNATIVES.get(name, name)
    ways = (
        f"give {_name_flag(usual)}, set {name_variable(name)}, or write it into the settings file"
    )
    if name == "market":
        raise ConfigurationError(f"there is no market: {ways}, such as vodacomTZN")
    raise ConfigurationError(
        f"there is no {name.replace('_', ' ')}: {ways}; or name the --credentials that "
        "pesalango-server up has written"
    )


__all__ = [
    "SETTINGS",
    "Setting",
    "Settings",
    "find_settings_file",
    "load_settings",
    "name_variable",
]
