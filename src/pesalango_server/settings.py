"""Settings: one table with their defaults, bounds and meaning, and where their values come from.

A flag stands over the environment, the environment over `pesalango.toml`, the file over the
default. Every number has its unit in its name and its bounds beside it.
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

import msgspec
from msgspec import Meta, Struct

ENVIRONMENT_PREFIX: Final = "PESALANGO_"
FILE_NAME: Final = "pesalango.toml"

_EXPLANATIONS: Final = {
    "data_dir": "it is the path of a directory",
    "host": "it is an address, such as 127.0.0.1",
    "listen": "it is an address and a port, such as 127.0.0.1:8080",
    "admin_listen": "it is an address and a port, such as 127.0.0.1:8081",
    "trusted_proxies": "each is an address or a CIDR range, such as 10.0.0.0/8",
    "log_level": "it is debug, info, warning or error",
}

_KEY_FILE: Final = (
    "File with the RSA private key (PEM, 2048 to 8192 bits) that the environment gets at first "
    "start, instead of one that is made. Later `pesalango-server platform-keys import` replaces it."
)

_SCHEMES: Final = ("postgresql", "postgres")
_MASK: Final = "***"


class SettingsError(Exception):
    """A setting cannot be used; the message names the setting, its source, and what to do."""


class Settings(Struct, frozen=True, kw_only=True):
    """What an operator can change. The descriptions are the reference page's."""

    # Where the data is.
    data_dir: Annotated[
        str,
        Meta(
            min_length=1,
            description="Directory of the databases, of `credentials.json` and of the bundled "
            "PostgreSQL.",
        ),
    ] = "var"
    database: Annotated[
        str,
        Meta(
            description="`sqlite` (files in the data directory), `postgres` (the bundled "
            "PostgreSQL, for development), or the URL of a PostgreSQL: "
            "`postgresql://user@host/name`. A password in the URL is accepted from the environment "
            "and the file only.",
        ),
    ] = "sqlite"
    database_password: Annotated[
        str,
        Meta(
            description="Password for a PostgreSQL URL that has none. Not a flag: other users of "
            "the machine can read command lines. `~/.pgpass` works too.",
        ),
    ] = ""
    allow_unsafe_postgres: Annotated[
        bool,
        Meta(
            description="Start although PostgreSQL runs with `fsync`, `full_page_writes` or "
            "`synchronous_commit` off, so that a crash may lose confirmed payments. For tests.",
        ),
    ] = False
    lock_timeout_ms: Annotated[
        int,
        Meta(
            ge=100,
            le=60_000,
            description="How long an engine waits for a ledger that another engine works on "
            "(PostgreSQL).",
        ),
    ] = 5_000

    # Where it listens.
    host: Annotated[str, Meta(min_length=1, description="Address that `up` listens on.")] = (
        "127.0.0.1"
    )
    port: Annotated[
        int,
        Meta(ge=0, le=65_535, description="Port that `up` listens on; 0 takes a free one."),
    ] = 8080
    listen: Annotated[
        str,
        Meta(
            pattern=r"^[^\s]+:[0-9]{1,5}$",
            description="Address and port of the operator's API under `serve`.",
        ),
    ] = "127.0.0.1:8080"
    admin_listen: Annotated[
        str,
        Meta(
            pattern=r"^[^\s]+:[0-9]{1,5}$",
            description="Address and port of the admin API under `serve`; keep it off the "
            "internet.",
        ),
    ] = "127.0.0.1:8081"
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(
            max_length=100,
            description="Addresses and CIDR ranges of proxies whose `X-Forwarded-For` is believed.",
        ),
    ] = ()

    # How much it takes on.
    workers: Annotated[
        int,
        Meta(
            ge=0,
            le=64,
            description="Processes that serve HTTP beside the engine's; 0 does everything in one "
            "process.",
        ),
    ] = 1
    connections_max: Annotated[
        int, Meta(ge=1, le=100_000, description="Open connections of one worker.")
    ] = 2_048
    unanswered_max: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Commands of all workers that wait for an engine; each worker has its "
            "share. Above it a call is refused at once, and nothing is recorded.",
        ),
    ] = 1_024
    prompts_waiting_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Payments of all workers that wait for their customers; each worker has "
            "its share. Above it a call is refused at once, and nothing is recorded.",
        ),
    ] = 16_384
    batch_commands_max: Annotated[
        int,
        Meta(ge=1, le=1_000, description="Commands that an engine handles in one transaction."),
    ] = 64
    readers_max: Annotated[
        int, Meta(ge=1, le=64, description="Connections of one worker to one database for reads.")
    ] = 4
    reads_waiting_max: Annotated[
        int, Meta(ge=1, le=100_000, description="Reads of one worker that wait for a connection.")
    ] = 1_024

    # How long it waits.
    wait_sandbox_ms: Annotated[
        int,
        Meta(
            ge=100,
            le=600_000,
            description="How long a synchronous call waits for the customer in the sandbox.",
        ),
    ] = 25_000
    wait_openapi_ms: Annotated[
        int,
        Meta(
            ge=100,
            le=600_000,
            description="How long a synchronous call waits for the customer in `openapi`.",
        ),
    ] = 60_000
    request_deadline_ms: Annotated[
        int,
        Meta(
            ge=100,
            le=600_000,
            description="How long a request may take to arrive, from its first byte to its last.",
        ),
    ] = 10_000

    # What a request may be.
    body_bytes_max: Annotated[
        int, Meta(ge=1_024, le=16_777_216, description="Body of a request to the operator's API.")
    ] = 65_536
    header_bytes_max: Annotated[
        int, Meta(ge=1_024, le=1_048_576, description="Request line and headers together.")
    ] = 16_384
    dropped_bytes_max: Annotated[
        int,
        Meta(
            ge=0,
            le=1_073_741_824,
            description="How much of a body that is too large is received and thrown away, so "
            "that its sender sees the answer.",
        ),
    ] = 4_194_304
    linger_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=60_000,
            description="How long a connection stays open after a request that cannot be read was "
            "refused, so that its sender sees the answer.",
        ),
    ] = 2_000
    keep_alive_s: Annotated[
        int,
        Meta(ge=1, le=3_600, description="How long a connection stays open between two requests."),
    ] = 75

    # Who may call.
    platform_key_bits: Annotated[
        int,
        Meta(
            ge=2_048,
            le=8_192,
            multiple_of=1_024,
            description="Size of the key pair that is made for an environment at first start.",
        ),
    ] = 4_096
    platform_key_file_sandbox: Annotated[str, Meta(description=_KEY_FILE)] = ""
    platform_key_file_openapi: Annotated[str, Meta(description=_KEY_FILE)] = ""
    failed_authentications_per_minute: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Failed authentications from one address (/24, /64) before its unknown "
            "ciphertexts are refused undecrypted. Each worker counts for itself and has its share "
            "of the number, at least 1.",
        ),
    ] = 20
    failed_authentication_networks_max: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000_000,
            description="Networks (/24, /64) whose failed authentications one worker remembers.",
        ),
    ] = 10_000
    failed_authentications_exempt_loopback: Annotated[
        bool,
        Meta(description="Failed authentications from this machine itself are not counted."),
    ] = True
    decryption_threads: Annotated[
        int, Meta(ge=1, le=256, description="Threads of one worker that decrypt bearers.")
    ] = 2
    decryptions_waiting_max: Annotated[
        int,
        Meta(ge=1, le=100_000, description="Bearers of one worker that wait to be decrypted."),
    ] = 512
    ciphertexts_max: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000_000,
            description="Bearers that one worker remembers, so that it need not decrypt them "
            "again.",
        ),
    ] = 100_000
    ciphertexts_per_session_max: Annotated[
        int, Meta(ge=1, le=1_000, description="Remembered bearers of one session.")
    ] = 8

    # What it tells.
    log_level: Annotated[
        str,
        Meta(
            pattern=r"^(debug|info|warning|error)$",
            description="`debug`, `info`, `warning` or `error`.",
        ),
    ] = "info"

    def __repr__(self) -> str:
        """All settings, with what is secret in them masked."""
        shown = [f"{name}={_show(name, getattr(self, name))}" for name in SETTING_NAMES]
        return f"Settings({', '.join(shown)})"

    @property
    def database_url(self) -> str | None:
        """The PostgreSQL URL with its password, or None for `sqlite` and `postgres`."""
        if urlsplit(self.database).scheme not in _SCHEMES:
            return None
        if not self.database_password or _has_password(self.database):
            return self.database
        return _insert_password(self.database, self.database_password)


_FIELDS: Final = {field.name: field for field in msgspec.structs.fields(Settings)}

SETTING_NAMES: Final = tuple(_FIELDS)

NOT_FLAGS: Final = frozenset({"database_password"})
"""Settings that a command line must not carry, because `ps` shows it to everybody."""


def environment_name(setting: str) -> str:
    """The environment variable of a setting."""
    return f"{ENVIRONMENT_PREFIX}{setting.upper()}"


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
            value = environ[variable]
            yield name, _split(value) if name == "trusted_proxies" else value, variable
    for name, value in flags.items():
        if value is None:
            continue
        if name not in _FIELDS:
            raise SettingsError(f"{name} is no setting")
        source = f"--{name.replace('_', '-')}"
        if name in NOT_FLAGS or (name == "database" and _has_password(str(value))):
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
        if name not in _FIELDS:
            near = difflib.get_close_matches(name, SETTING_NAMES, n=1)
            hint = f"; {near[0]} is one" if near else ""
            raise SettingsError(f"{name} in {file} is no setting{hint}")
    return values


def _split(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _convert(name: str, value: Any, source: str) -> Any:
    # TOML and flags bring types of their own, the environment text; a number may be either, but
    # neither may stand where text is meant.
    try:
        converted = msgspec.convert(value, _FIELDS[name].type, strict=False)
        if name == "trusted_proxies":
            for item in converted:
                ip_network(item)
    except (msgspec.ValidationError, ValueError):
        raise SettingsError(f"{source} cannot be used: {_explain(name)}") from None
    if name == "database":
        _check_database(str(converted), source)
    return converted


def _explain(name: str) -> str:
    """What a usable value is. The value itself stays out of it: it may be secret."""
    if name in _EXPLANATIONS:
        return _EXPLANATIONS[name]
    type_, _ = _describe(name)
    if isinstance(type_, msgspec.inspect.BoolType):
        return "it is true or false"
    return f"it is {_render_bounds(type_)}" if _render_bounds(type_) else "it is text"


def _describe(name: str) -> tuple[msgspec.inspect.Type, str]:
    """Type and description of a setting."""
    info = msgspec.inspect.type_info(_FIELDS[name].type)
    if isinstance(info, msgspec.inspect.Metadata):
        return info.type, str((info.extra_json_schema or {}).get("description", ""))
    return info, ""


def _render_bounds(type_: msgspec.inspect.Type) -> str:
    if not isinstance(type_, msgspec.inspect.IntType):
        return ""
    bounds = f"a whole number from {type_.ge} to {type_.le}"
    return f"{bounds}, a multiple of {type_.multiple_of}" if type_.multiple_of else bounds


def _check_database(database: str, source: str) -> None:
    if database in {"sqlite", "postgres"}:
        return
    # What follows the scheme is PostgreSQL's own to read, but a password must find its place in it.
    if database.partition("://")[0] not in _SCHEMES or not _can_be_split(database):
        raise SettingsError(
            f"{source} cannot be used: it is sqlite, postgres, or a URL such as "
            "postgresql://user@host:5432/name"
        )


def _can_be_split(database: str) -> bool:
    try:
        urlsplit(database)
    except ValueError:
        return False
    return True


def _has_password(database: str) -> bool:
    parts = urlsplit(database if _can_be_split(database) else "")
    return parts.password is not None or "password" in parse_qs(parts.query, keep_blank_values=True)


def _insert_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    user, _, place = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{name}:{quote(password, safe='')}@{place}"))


def mask_database(database: str) -> str:
    """A database URL fit for a log: its password and all that follows the path are masked."""
    parts = urlsplit(database)
    if parts.scheme not in _SCHEMES:
        return database
    user, at, place = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    netloc = f"{name}{colon}{_MASK if colon else ''}{at}{place}"
    return urlunsplit((parts.scheme, netloc, parts.path, _MASK if parts.query else "", ""))


def _show(name: str, value: Any) -> str:
    if name == "database":
        return repr(mask_database(value))
    return repr(_MASK) if name in NOT_FLAGS and value else repr(value)


_INTRODUCTION: Final = f"""# Settings

A flag stands over the environment variable, the variable over the settings file (`{FILE_NAME}` in
the working directory, or the file that `{ENVIRONMENT_PREFIX}SETTINGS` names), the file over the
default. The file is TOML without sections: `port = 8080`. A name in it that is no setting is an
error. `pesalango-server up --help` and `pesalango-server serve --help` list the flags.

Commands that administrate find the admin API by `--url` or `{ENVIRONMENT_PREFIX}ADMIN_URL`, and its
token by `--token-file FILE` (`-`: standard input) or `{ENVIRONMENT_PREFIX}ADMIN_TOKEN`. Without an
address they take both from `credentials.json` in the data directory, whose token goes to its own
server alone. None of these is a setting.

| Setting | Environment variable | Default | Bounds | Meaning |
|---|---|---|---|---|
"""


def render_settings_markdown() -> str:
    """The reference page of the settings, made of the table above."""
    rows = []
    for name, field in _FIELDS.items():
        type_, description = _describe(name)
        bounds = _render_bounds(type_).removeprefix("a whole number from ")
        default = _render_default(field.default)
        rows.append(
            f"| `{name}` | `{environment_name(name)}` | {default} | {bounds} | {description} |\n"
        )
    return _INTRODUCTION + "".join(rows)


def _render_default(default: Any) -> str:
    if default in {"", ()}:
        return "none"
    return f"`{str(default).lower()}`" if isinstance(default, bool) else f"`{default}`"
