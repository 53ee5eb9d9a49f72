"""SQL of the platform's database: what its engine writes, and what workers read."""

from typing import Any

import msgspec

from pesalango_server.applications.model import (
    AdminToken,
    ApiKey,
    Application,
    ApplicationEnvironment,
    ApplicationStatus,
    Configuration,
    World,
)
from pesalango_server.storage.database import (
    Query,
    Read,
    Reader,
    Schema,
    declare_insert,
    declare_query,
    declare_update,
    register_query,
)

_PLATFORM = Schema.PLATFORM
_SMALL = "the platform's configuration is small, and read whole"

LOCK_PLATFORM = register_query(
    Query(
        name="lock_platform",
        schema=_PLATFORM,
        sqlite=(
            "SELECT json_group_array(json_array(generation, last_time_ms, last_id, ?1))"
            " FROM platform_state WHERE id = 1"
        ),
        postgres=(
            "SELECT json_agg(json_build_array(generation, last_time_ms, last_id,"
            " coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)))::text"
            " FROM (SELECT * FROM platform_state WHERE id = 1 FOR UPDATE) AS locked"
        ),
        set_types=(),
        may_scan="",
    )
)

FIND_EVENTS = declare_query(
    "find_events",
    _PLATFORM,
    columns="id",
    text=(
        "SELECT e.id AS id FROM {input} CROSS JOIN audit_events AS e"
        " WHERE e.generation = input.generation AND e.token = input.token"
    ),
    set_columns="generation bigint, token hex",
)

FIND_GENERATION = declare_query(
    "find_generation",
    _PLATFORM,
    columns="generation",
    text="SELECT generation FROM platform_state WHERE id = 1",
)

LIST_WORLDS = declare_query(
    "list_worlds",
    _PLATFORM,
    columns="id, environment, name, is_hidden",
    text="SELECT id, environment, name, is_hidden FROM worlds ORDER BY id",
    may_scan=_SMALL,
)
LIST_APPLICATIONS = declare_query(
    "list_applications",
    _PLATFORM,
    columns=(
        "id, name, status, is_hidden, products, origins, sources, organisations, markets,"
        " session_life_s, activation_delay_ms"
    ),
    text=(
        "SELECT id, name, status, is_hidden, products, origins, sources, organisations, markets,"
        " session_life_s, activation_delay_ms FROM applications ORDER BY id"
    ),
    may_scan=_SMALL,
)
LIST_APPLICATION_ENVIRONMENTS = declare_query(
    "list_application_environments",
    _PLATFORM,
    columns="application, environment, world, is_promoted",
    text="SELECT application, environment, world, is_promoted FROM application_environments",
    may_scan=_SMALL,
)
LIST_API_KEYS = declare_query(
    "list_api_keys",
    _PLATFORM,
    columns="key_hash, application, ends_ms",
    text=(
        "SELECT encode(key_hash, 'hex') AS key_hash, application, ends_ms FROM api_keys"
        " WHERE ends_ms IS NULL OR ends_ms > $1::bigint"
    ),
    may_scan=_SMALL,
)
LIST_ADMIN_TOKENS = declare_query(
    "list_admin_tokens",
    _PLATFORM,
    columns="token_hash, name, ends_ms",
    text="SELECT encode(token_hash, 'hex') AS token_hash, name, ends_ms FROM admin_tokens",
    may_scan=_SMALL,
)
LIST_PLATFORM_KEYS = declare_query(
    "list_platform_keys",
    _PLATFORM,
    columns="environment, private_key",
    text="SELECT environment, private_key FROM platform_keys",
    may_scan=_SMALL,
)
LIST_SECRETS = declare_query(
    "list_secrets",
    _PLATFORM,
    columns="name, value",
    text="SELECT name, encode(value, 'hex') AS value FROM secrets",
    may_scan=_SMALL,
)

INSERT_WORLDS = declare_insert(
    "worlds",
    _PLATFORM,
    columns="id bigint, environment text, name text, is_hidden bigint",
    order=10,
)
REPLACE_APPLICATIONS = declare_insert(
    "applications",
    _PLATFORM,
    columns=(
        "id bigint, name text, status bigint, is_hidden bigint, products text, origins text,"
        " sources text, organisations text, markets text, session_life_s bigint,"
        " activation_delay_ms bigint"
    ),
    replace_key="id",
    order=20,
)
REPLACE_APPLICATION_ENVIRONMENTS = declare_insert(
    "application_environments",
    _PLATFORM,
    columns="application bigint, environment text, world bigint, is_promoted bigint",
    replace_key="application, environment",
    order=30,
)
REPLACE_API_KEYS = declare_insert(
    "api_keys",
    _PLATFORM,
    columns="key_hash hex, application bigint, created_ms bigint, ends_ms bigint",
    replace_key="key_hash",
    order=40,
)
INSERT_ADMIN_TOKENS = declare_insert(
    "admin_tokens",
    _PLATFORM,
    columns="token_hash hex, name text, created_ms bigint, ends_ms bigint",
    order=50,
)
REPLACE_PLATFORM_KEYS = declare_insert(
    "platform_keys",
    _PLATFORM,
    columns="environment text, private_key text, created_ms bigint",
    replace_key="environment",
    order=60,
)
INSERT_SECRETS = declare_insert("secrets", _PLATFORM, columns="name text, value hex", order=70)
INSERT_AUDIT_EVENTS = declare_insert(
    "audit_events",
    _PLATFORM,
    columns=(
        "id bigint, generation bigint, token hex, time_ms bigint, actor text, action text,"
        " subject text, detail text"
    ),
    order=80,
)
UPDATE_PLATFORM_STATE = declare_update(
    "update_platform_state",
    "platform_state",
    _PLATFORM,
    keys="id bigint",
    columns="generation bigint, last_time_ms bigint, last_id bigint",
    order=90,
)

_decode_rows = msgspec.json.Decoder(list[tuple[Any, ...]]).decode

CONFIGURATION_QUERIES = (
    LIST_WORLDS,
    LIST_APPLICATIONS,
    LIST_APPLICATION_ENVIRONMENTS,
    LIST_API_KEYS,
    LIST_ADMIN_TOKENS,
    LIST_PLATFORM_KEYS,
    LIST_SECRETS,
)


def split_list(text: str) -> tuple[str, ...]:
    """A list as it is stored: items separated by commas, none of which holds one."""
    return tuple(text.split(",")) if text else ()


def make_configuration(generation: int, documents: list[bytes]) -> Configuration:
    """The snapshot in the answers of `CONFIGURATION_QUERIES`."""
    worlds, applications, places, api_keys, tokens, platform_keys, secrets = (
        _decode_rows(document) for document in documents
    )
    environments: dict[int, dict[str, ApplicationEnvironment]] = {}
    for application, environment, world, is_promoted in places:
        environments.setdefault(application, {})[environment] = ApplicationEnvironment(
            world=world, is_promoted=bool(is_promoted)
        )
    return Configuration(
        generation=generation,
        applications={row[0]: _make_application(row, environments) for row in applications},
        api_keys={hash_: ApiKey(owner, ends_ms) for hash_, owner, ends_ms in api_keys},
        worlds={row[0]: World(row[0], row[1], row[2], bool(row[3])) for row in worlds},
        admin_tokens={hash_: AdminToken(name, ends_ms) for hash_, name, ends_ms in tokens},
        platform_keys=dict(platform_keys),
        secrets={name: bytes.fromhex(value) for name, value in secrets},
    )


def _make_application(
    row: tuple[Any, ...], environments: dict[int, dict[str, ApplicationEnvironment]]
) -> Application:
    application, name, status, is_hidden, products, origins, sources, organisations = row[:8]
    markets, session_life_s, activation_delay_ms = row[8:]
    return Application(
        id=application,
        name=name,
        status=ApplicationStatus(status),
        is_hidden=bool(is_hidden),
        products=frozenset(split_list(products)),
        origins=frozenset(split_list(origins)),
        sources=split_list(sources),
        organisations=frozenset(split_list(organisations)),
        markets=frozenset(split_list(markets)),
        session_life_s=session_life_s,
        activation_delay_ms=activation_delay_ms,
        environments=environments.get(application, {}),
    )


def read_generation(reader: Reader) -> int:
    """The number of the latest change of the configuration."""
    ((generation,),) = _decode_rows(reader.read(Read(FIND_GENERATION)))
    return int(generation)


def read_configuration(reader: Reader, *, wall_ms: int) -> Configuration:
    """The whole configuration.

    The generation is read before the rows: a change in between makes the snapshot newer than its
    number, and the next look loads it again; the other way round it would be missed for ever.
    """
    generation = read_generation(reader)
    documents = [
        reader.read(Read(query, (wall_ms,) if query is LIST_API_KEYS else ()))
        for query in CONFIGURATION_QUERIES
    ]
    return make_configuration(generation, documents)
