"""The table of settings: their defaults, bounds and meaning.

Every number has its unit in its name and its bounds beside it.
"""

from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from pesalango_server.settings.database import (
    MASK,
    SCHEMES,
    has_password,
    insert_password,
    mask_database,
)
from pesalango_server.settings.listening import LISTEN_PATTERN

ENVIRONMENT_PREFIX: Final = "PESALANGO_"
FILE_NAME: Final = "pesalango.toml"

_KEY_FILE: Final = (
    "File with the RSA private key (PEM, 2048 to 8192 bits) that the environment gets at first "
    "start, instead of one that is made. Later `pesalango-server platform-keys import` replaces it."
)


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
    host: Annotated[
        str,
        Meta(min_length=1, description="Address that `up` listens on where `listen` names none."),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Meta(
            ge=0,
            le=65_535,
            description="Port that `up` listens on where `listen` names none; 0 takes a free one.",
        ),
    ] = 8080
    listen: Annotated[
        tuple[Annotated[str, Meta(pattern=LISTEN_PATTERN)], ...],
        Meta(
            max_length=16,
            description="Addresses and ports of the operator's API: `ADDRESS:PORT`, with IPv6 in "
            "brackets. `tls:` before it has TLS spoken there, `plain:` has not; with neither, it "
            "is TLS where `tls_certificate` is given. Several are parted by commas in the "
            "variable, are a list in the file, and a flag each. None given: `127.0.0.1:8080` "
            "under `serve`, `host` and `port` under `up`.",
        ),
    ] = ()
    admin_listen: Annotated[
        str,
        Meta(
            pattern=LISTEN_PATTERN,
            description="Address and port of the admin API under `serve`, in the same form; keep "
            "it off the internet.",
        ),
    ] = "plain:127.0.0.1:8081"
    tls_certificate: Annotated[
        str,
        Meta(
            description="File with the server's certificate and those between it and its "
            "authority (PEM). Read again, with the key, on SIGHUP."
        ),
    ] = ""
    tls_key: Annotated[
        str,
        Meta(description="File with the private key of `tls_certificate` (PEM, no password)."),
    ] = ""
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(
            max_length=100,
            description="Addresses and CIDR ranges of proxies whose `X-Forwarded-For` is believed, "
            "and that bring TLS: in plain HTTP that other machines can reach, it is they alone to "
            "whom `openapi` and the admin API are served.",
        ),
    ] = ()

    # What organisations may do.
    b2b_payer_may_reverse: Annotated[
        bool,
        Meta(
            description="The payer of a B2B may reverse it, and not only the organisation that "
            "was paid."
        ),
    ] = True

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
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Open connections of one worker to the operator's API, TLS handshakes "
            "included; as many of its own has the admin API of `serve`. Fewer where the system "
            "allows fewer file descriptors (`ulimit -n`).",
        ),
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
    # What a batch costs by itself, a sync of the disk above all, is shared by so many; of twice as
    # many callers one half is recorded while the other is answered and asks again. More of them would
    # have SQLite parse its statements anew in each batch (`storage/sqlite.py`).
    batch_commands_max: Annotated[
        int,
        Meta(ge=1, le=1_000, description="Commands that an engine handles in one transaction."),
    ] = 120
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
            description="How long a request may take to arrive, from its first byte to its last; "
            "and a TLS handshake from the connection's begin to its end.",
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
        Meta(
            description="Failed authentications from this machine itself never close the door to "
            "it; its unknown bearers still wait behind those of others."
        ),
    ] = True
    failed_authentication_delay_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=10_000,
            description="How long an address waits for each refusal that its failed "
            "authentications bring it, in at most a quarter of a worker's connections.",
        ),
    ] = 1_000
    decryption_threads: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description="Threads of one worker that decrypt bearers: some more than it may use "
            "cores, because each waits for the interpreter now and then.",
        ),
    ] = 4
    decryptions_waiting_max: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Bearers of one worker that wait to be decrypted. Those of one network "
            "(/24, /64) take half of it at most, those of networks that mostly fail an eighth.",
        ),
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
        if urlsplit(self.database).scheme not in SCHEMES:
            return None
        if not self.database_password or has_password(self.database):
            return self.database
        return insert_password(self.database, self.database_password)


FIELDS: Final = {field.name: field for field in msgspec.structs.fields(Settings)}

LISTS: Final = frozenset(name for name, field in FIELDS.items() if field.default == ())
"""Settings that hold several values; text is split at its commas."""

SETTING_NAMES: Final = tuple(FIELDS)

NOT_FLAGS: Final = frozenset({"database_password"})
"""Settings that a command line must not carry, because `ps` shows it to everybody."""


def _show(name: str, value: Any) -> str:
    if name == "database":
        return repr(mask_database(value))
    return repr(MASK) if name in NOT_FLAGS and value else repr(value)


def environment_name(setting: str) -> str:
    """The environment variable of a setting."""
    return f"{ENVIRONMENT_PREFIX}{setting.upper()}"


def describe(name: str) -> tuple[msgspec.inspect.Type, str]:
    """Type and description of a setting."""
    info = msgspec.inspect.type_info(FIELDS[name].type)
    if isinstance(info, msgspec.inspect.Metadata):
        return info.type, str((info.extra_json_schema or {}).get("description", ""))
    return info, ""


def render_bounds(type_: msgspec.inspect.Type) -> str:
    """The bounds of a number in words; empty where there are none."""
    if not isinstance(type_, msgspec.inspect.IntType):
        return ""
    bounds = f"a whole number from {type_.ge} to {type_.le}"
    return f"{bounds}, a multiple of {type_.multiple_of}" if type_.multiple_of else bounds
