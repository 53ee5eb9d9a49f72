"""The platform's configuration as one batch of its engine sees it, changes it and writes it."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from pesalango_server.applications import store
from pesalango_server.applications.commands import PlatformCommand
from pesalango_server.applications.model import (
    AdminToken,
    ApiKey,
    Application,
    Configuration,
    World,
)
from pesalango_server.storage.database import (
    Row,
    Schema,
    WriteSet,
    declare_delete,
    declare_update,
)

END_API_KEYS = declare_update(
    "end_api_keys",
    "api_keys",
    Schema.PLATFORM,
    keys="key_hash hex",
    columns="ends_ms bigint",
    order=41,
)
# What ends now is taken away: a time of ending would be compared with other machines' clocks, by
# which it may lie ahead. The audit trail keeps that it was there.
DELETE_API_KEYS = declare_delete("api_keys", Schema.PLATFORM, keys="key_hash hex", order=39)
DELETE_ADMIN_TOKENS = declare_delete(
    "admin_tokens", Schema.PLATFORM, keys="token_hash hex", order=49
)

_decode_lock = msgspec.json.Decoder(list[tuple[int, int, int, int]]).decode
_encode_text = msgspec.json.Encoder().encode


@dataclass(slots=True)
class PlatformBook:
    """The configuration as one batch sees and changes it.

    `wall_ms` is the time at which it began, `now_ms` the same but never before that of an earlier
    batch; `generation` is the number that the configuration gets with this batch.
    """

    wall_ms: int
    now_ms: int
    generation: int
    last_id: int
    configuration: Configuration
    writes: WriteSet = field(default_factory=WriteSet)
    _events: list[tuple[str, str, str, str]] = field(default_factory=list)
    _changed_applications: dict[int, None] = field(default_factory=dict)
    _new_keys: dict[str, None] = field(default_factory=dict)
    _ended_keys: dict[str, None] = field(default_factory=dict)
    _new_tokens: dict[str, None] = field(default_factory=dict)
    _deleted_keys: dict[str, None] = field(default_factory=dict)
    _deleted_tokens: dict[str, None] = field(default_factory=dict)
    _new_platform_keys: dict[str, None] = field(default_factory=dict)

    def mint(self) -> int:
        """The next id: small integers, for worlds, applications and audit events alike."""
        self.last_id += 1
        return self.last_id

    def record(self, command: PlatformCommand, action: str, subject: str, **detail: Any) -> None:
        """Have the audit trail say who did what; `detail` must hold no secret, nor a hash of one."""
        self._events.append((command.actor, action, subject, _encode_text(detail).decode()))

    def put_world(self, world: World) -> None:
        """Add a world."""
        self.configuration.worlds[world.id] = world
        self.writes.add(
            store.INSERT_WORLDS, (world.id, world.environment, world.name, int(world.is_hidden))
        )

    def put_application(self, application: Application) -> None:
        """Add an application or change one; it is written once, as it stands when the book closes."""
        self.configuration.applications[application.id] = application
        self._changed_applications[application.id] = None

    def put_api_key(self, key_hash: str, application: int) -> None:
        """Give an application one more key."""
        self.configuration.api_keys[key_hash] = ApiKey(application, None)
        self._new_keys[key_hash] = None

    def end_api_keys(self, application: int, *, overlap_ms: int) -> int:
        """Let the application's present keys end, none later than it would have; how many do.

        Keys that have ended already are forgotten on this occasion.
        """
        at_ms = self.wall_ms + overlap_ms
        ended = 0
        for key_hash, key in list(self.configuration.api_keys.items()):
            if key.application != application:
                continue
            is_live = self.is_live(key.ends_ms)
            ended += is_live
            if not (is_live and overlap_ms):
                del self.configuration.api_keys[key_hash]
                self._deleted_keys[key_hash] = None
                self._new_keys.pop(key_hash, None)
                self._ended_keys.pop(key_hash, None)
            elif key.ends_ms is None or key.ends_ms > at_ms:
                self.configuration.api_keys[key_hash] = ApiKey(application, at_ms)
                self._ended_keys[key_hash] = None
        return ended

    def put_admin_token(self, token_hash: str, name: str) -> None:
        """Let one more token administrate."""
        self.configuration.admin_tokens[token_hash] = AdminToken(name, None)
        self._new_tokens[token_hash] = None

    def end_admin_tokens(self, name: str) -> int:
        """Let all tokens of that name end now; how many do."""
        ended = 0
        for token_hash, token in list(self.configuration.admin_tokens.items()):
            if token.name == name:
                ended += self.is_live(token.ends_ms)
                del self.configuration.admin_tokens[token_hash]
                self._deleted_tokens[token_hash] = None
                self._new_tokens.pop(token_hash, None)
        return ended

    def put_platform_key(self, environment: str, private_key: str) -> None:
        """Set an environment's private key."""
        self.configuration.platform_keys[environment] = private_key
        self._new_platform_keys[environment] = None

    def put_secret(self, name: str, value: str) -> None:
        """Keep one of the installation's secrets; `value` is hexadecimal."""
        self.configuration.secrets[name] = bytes.fromhex(value)
        self.writes.add(store.INSERT_SECRETS, (name, value))

    def is_live(self, ends_ms: int | None) -> bool:
        """Whether what ends then is still in force."""
        return ends_ms is None or ends_ms > self.wall_ms

    def close(self, token: str) -> None:
        """Gather everything that this batch writes; nothing is decided after it.

        `token` (hexadecimal) stands in every audit event of the batch. There is always one at
        least, so that a commit whose answer was lost can be looked for.
        """
        self._write_applications()
        self._write_keys()
        if not self._events:
            self._events.append(("engine", "batch.unchanged", "", "{}"))
        for event in self._events:
            self.writes.add(
                store.INSERT_AUDIT_EVENTS,
                (self.mint(), self.generation, token, self.now_ms, *event),
            )
        self.writes.add(
            store.UPDATE_PLATFORM_STATE, (1, self.generation, self.now_ms, self.last_id)
        )

    def _write_applications(self) -> None:
        for application_id in self._changed_applications:
            application = self.configuration.applications[application_id]
            self.writes.add(store.REPLACE_APPLICATIONS, _make_application_row(application))
            self.writes.extend(
                store.REPLACE_APPLICATION_ENVIRONMENTS,
                [
                    (application.id, environment, place.world, int(place.is_promoted))
                    for environment, place in sorted(application.environments.items())
                ],
            )

    def _write_keys(self) -> None:
        # A row that was added and ended by one batch is added as ended: a set-based UPDATE beside
        # its INSERT would depend on the order of the two statements.
        keys, tokens = self.configuration.api_keys, self.configuration.admin_tokens
        for key_hash in self._new_keys:
            key = keys[key_hash]
            self.writes.add(
                store.REPLACE_API_KEYS, (key_hash, key.application, self.now_ms, key.ends_ms)
            )
        for key_hash in self._ended_keys:
            if key_hash not in self._new_keys:
                self.writes.add(END_API_KEYS, (key_hash, keys[key_hash].ends_ms))
        for token_hash in self._new_tokens:
            token = tokens[token_hash]
            self.writes.add(
                store.INSERT_ADMIN_TOKENS, (token_hash, token.name, self.now_ms, token.ends_ms)
            )
        for token_hash in self._deleted_tokens:
            self.writes.add(DELETE_ADMIN_TOKENS, (token_hash,))
        for key_hash in self._deleted_keys:
            self.writes.add(DELETE_API_KEYS, (key_hash,))
        for environment in self._new_platform_keys:
            private_key = self.configuration.platform_keys[environment]
            self.writes.add(store.REPLACE_PLATFORM_KEYS, (environment, private_key, self.now_ms))


def make_book(lock_document: bytes, documents: list[bytes]) -> PlatformBook:
    """The book of a batch from the answers of `store.LOCK_PLATFORM` and `CONFIGURATION_QUERIES`.

    API keys that have ended must be among them: their rows count when a key is to be new.
    """
    ((generation, last_time_ms, last_id, wall_ms),) = _decode_lock(lock_document)
    return PlatformBook(
        wall_ms=wall_ms,
        now_ms=max(last_time_ms, wall_ms),
        generation=generation + 1,
        last_id=last_id,
        configuration=store.make_configuration(generation + 1, documents),
    )


def _make_application_row(application: Application) -> Row:
    return (
        application.id,
        application.name,
        int(application.status),
        int(application.is_hidden),
        ",".join(sorted(application.products)),
        ",".join(sorted(application.origins)),
        ",".join(application.sources),
        ",".join(sorted(application.organisations)),
        ",".join(sorted(application.markets)),
        application.session_life_s,
        application.activation_delay_ms,
    )
