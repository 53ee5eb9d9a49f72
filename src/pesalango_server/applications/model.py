"""The platform's configuration as a worker holds it: one immutable snapshot."""

from enum import IntEnum

import msgspec

SESSION_LIFE_MIN_S = 60
SESSION_LIFE_MAX_S = 86_400
SESSION_LIFE_S = 3_600
ACTIVATION_DELAY_MAX_MS = 30_000
ENVIRONMENTS = ("sandbox", "openapi")


class ApplicationStatus(IntEnum):
    """Whether an application may call at all."""

    ACTIVE = 1
    SUSPENDED = 2


class ApplicationEnvironment(msgspec.Struct, frozen=True):
    """What an application is in one environment: its world, and whether it may call there."""

    world: int
    is_promoted: bool


class Application(msgspec.Struct, frozen=True):
    """An application in force.

    `origins` holds hosts in lower case or `*`; `sources` single addresses and CIDR ranges, none
    meaning all; `organisations` codes; `markets` path values.
    """

    id: int
    name: str
    status: ApplicationStatus
    is_hidden: bool
    products: frozenset[str]
    origins: frozenset[str]
    sources: tuple[str, ...]
    organisations: frozenset[str]
    markets: frozenset[str]
    session_life_s: int
    activation_delay_ms: int
    environments: dict[str, ApplicationEnvironment]


class World(msgspec.Struct, frozen=True):
    """An isolated set of ledgers, one a market."""

    id: int
    environment: str
    name: str
    is_hidden: bool


class ApiKey(msgspec.Struct, frozen=True):
    """Whose an API key is, and until when (wall-clock milliseconds; None: for good)."""

    application: int
    ends_ms: int | None


class AdminToken(msgspec.Struct, frozen=True):
    """Whose an admin token is, and until when (wall-clock milliseconds; None: for good)."""

    name: str
    ends_ms: int | None


class Configuration(msgspec.Struct, frozen=True):
    """Everything a worker needs to know before it can serve; replaced whole when it changes.

    `api_keys` and `admin_tokens` are keyed by the hexadecimal keyed hash of the secret,
    `platform_keys` holds an environment's private key as PEM, `secrets` the peppers by name.
    """

    generation: int
    applications: dict[int, Application]
    api_keys: dict[str, ApiKey]
    worlds: dict[int, World]
    admin_tokens: dict[str, AdminToken]
    platform_keys: dict[str, str]
    secrets: dict[str, bytes]
