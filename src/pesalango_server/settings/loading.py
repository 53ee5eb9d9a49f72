"""Where the values of settings come from.

A flag stands over the environment, the environment over `pesalango.toml`, the file over the
default.
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

import msgspec

from pesalango_server.settings.database import SCHEMES, can_be_split, has_password
from pesalango_server.settings.listening import LISTEN_EXPLANATION, parse_listen
from pesalango_server.settings.table import (
    ENVIRONMENT_PREFIX,
    FIELDS,
    FILE_NAME,
    LISTS,
    NOT_FLAGS,
    SETTING_NAMES,
    Settings,
    describe,
    environment_name,
    render_bounds,
)

_EXPLANATIONS: Final = {
    "data_dir": "it is the path of a directory",
    "host": "it is an address, such as 127.0.0.1",
    "listen": f"each is {LISTEN_EXPLANATION}",
    "admin_listen": f"it is {LISTEN_EXPLANATION}",
    "trusted_proxies": "each is an address or a CIDR range, such as 10.0.0.0/8",
    "log_level": "it is debug, info, warning or error",
}


class SettingsError(Exception):
    """A setting cannot be used; the message names the setting, its source, and what to do."""


def find_settings_file(environ: Mapping[str, str], directory: Path) -> Path | None:
    """The file to read: what `PESALANGO_SETTINGS` names, else `pesalango.toml` if it is there."""
    named = environ.get(f"{ENVIRONMENT_PREFIX}SETTINGS")
    if named:
        return Path(named)
    usual = directory / FILE_NAME
    return usual if usual.is_file() else None


def load_settings(
    flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None
) -> Settings:
    """The settings in force; a flag that is None was not given.

    Raises `SettingsError` for a value that cannot be used, a file that cannot be read, a name in
    it that is no setting, and a password on the command line.
    """
    values: dict[str, Any] = {}
    for name, value, source in _gather(flags, environ, file):
        values[name] = _convert(name, value, source)
    return Settings(**values)


def _gather(
    flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None
) -> Iterator[tuple[str, Any, str]]:
    """(name, value, source) of everything that was given, the strongest source last."""
    for name, value in (_read_file(file) if file else {}).items():
        yield name, value, f"{name} in {file}"
    for name in SETTING_NAMES:
        variable = environment_name(name)
        if variable in environ:
            yield name, environ[variable], variable
    for name, value in flags.items():
        if value is None:
            continue
        if name not in FIELDS:
            raise SettingsError(f"{name} is no setting")
        source = f"--{name.replace('_', '-')}"
        if name in NOT_FLAGS or (name == "database" and has_password(str(value))):
            raise SettingsError(
                f"{source}: a password on the command line can be read by every user of this "
                f"machine; put it into {environment_name('database_password')} or ~/.pgpass"
            )
        yield name, value, source


def _read_file(file: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(
            f"the settings file {file} cannot be read: {error.strerror or error}"
        ) from error
    except ValueError as error:
        raise SettingsError(f"the settings file {file} is no TOML: {error}") from error
    for name in values:
        if name not in FIELDS:
            near = difflib.get_close_matches(name, SETTING_NAMES, n=1)
            hint = f"; {near[0]} is one" if near else ""
            raise SettingsError(f"{name} in {file} is no setting{hint}")
    return values


def _split(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _convert(name: str, value: Any, source: str) -> Any:
    # TOML and flags bring types of their own, the environment text; a number may be either, but
    # neither may stand where text is meant.
    if name in LISTS and isinstance(value, str):
        value = _split(value)
    try:
        converted = msgspec.convert(value, FIELDS[name].type, strict=False)
        if name == "trusted_proxies":
            for item in converted:
                ip_network(item)
        if name in {"listen", "admin_listen"}:
            for item in converted if name == "listen" else (converted,):
                parse_listen(item, has_certificate=False)
    except (msgspec.ValidationError, ValueError):
        raise SettingsError(f"{source} cannot be used: {_explain(name)}") from None
    if name == "database":
        _check_database(str(converted), source)
    return converted


def _explain(name: str) -> str:
    """What a usable value is. The value itself stays out of it: it may be secret."""
    if name in _EXPLANATIONS:
        return _EXPLANATIONS[name]
    type_, _ = describe(name)
    if isinstance(type_, msgspec.inspect.BoolType):
        return "it is true or false"
    return f"it is {render_bounds(type_)}" if render_bounds(type_) else "it is text"


def _check_database(database: str, source: str) -> None:
    if database in {"sqlite", "postgres"}:
        return
    # What follows the scheme is PostgreSQL's own to read, but a password must find its place in it.
    if database.partition("://")[0] not in SCHEMES or not can_be_split(database):
        raise SettingsError(
            f"{source} cannot be used: it is sqlite, postgres, or a URL such as "
            "postgresql://user@host:5432/name"
        )
