"""Use cases of the platform's engine: what an administrator changes of the configuration.

A batch loads the whole configuration under the lock, every command is decided against it and the
overlay of the commands before it, and what changed is written at the end, each row once.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec.structs import replace

from pesalango_server.applications.book import PlatformBook, make_book
from pesalango_server.applications.commands import (
    AddAdminToken,
    AddApplication,
    AddWorld,
    ChangeApplication,
    KeepPlatformKey,
    KeepSecret,
    PlatformCommand,
    RotateApiKey,
)
from pesalango_server.applications.model import (
    ACTIVATION_DELAY_MAX_MS,
    ENVIRONMENTS,
    SESSION_LIFE_MAX_S,
    SESSION_LIFE_MIN_S,
    Application,
    ApplicationEnvironment,
    ApplicationStatus,
    World,
)
from pesalango_server.kernel.message import AnyOutcome, Done, RefusalKind, Refused

__all__ = ["USE_CASES", "PlatformBook", "make_book"]

APPLICATIONS_MAX: Final = 10_000
"""Every worker holds all of them in memory."""

ADMIN_TOKENS_MAX: Final = 1_000

KEYS_PER_APPLICATION_MAX: Final = 10
"""How many of an application's keys may be in force at once while they are rotated."""

KEY_OVERLAP_MAX_MS: Final = 30 * 86_400_000
"""How long a rotated API key may go on beside the new one."""

_match_hexadecimal = re.compile(r"(?:[0-9a-f]{2})+").fullmatch


def _refuse_settings(
    lists: dict[str, Iterable[str] | None],
    *,
    session_life_s: int | None,
    activation_delay_ms: int | None,
) -> Refused | None:
    for name, items in lists.items():
        # They are stored in one text, parted by commas.
        if any(not item or "," in item for item in items or ()):
            return Refused(RefusalKind.INVALID, name, "an item is empty or holds a comma")
    if session_life_s is not None and not (
        SESSION_LIFE_MIN_S <= session_life_s <= SESSION_LIFE_MAX_S
    ):
        return Refused(
            RefusalKind.INVALID,
            "session_life_s",
            f"a session lives {SESSION_LIFE_MIN_S} to {SESSION_LIFE_MAX_S} seconds",
        )
    if activation_delay_ms is not None and not (
        0 <= activation_delay_ms <= ACTIVATION_DELAY_MAX_MS
    ):
        return Refused(
            RefusalKind.INVALID,
            "activation_delay_ms",
            f"a session becomes live within 0 to {ACTIVATION_DELAY_MAX_MS} milliseconds",
        )
    return None


def decide_add_world(command: AddWorld, book: PlatformBook) -> AnyOutcome:
    """The id of the world of that name, which is made if there is none."""
    if command.environment not in ENVIRONMENTS:
        return Refused(
            RefusalKind.INVALID, "environment", f"an environment is {' or '.join(ENVIRONMENTS)}"
        )
    worlds = [
        world
        for world in book.configuration.worlds.values()
        if world.environment == command.environment
    ]
    for world in worlds:
        if world.name == command.name:
            return Done((world.id,))
    if command.environment == "openapi" and not command.is_hidden:
        for world in worlds:
            if not world.is_hidden:
                return Refused(
                    RefusalKind.CONFLICT, "name", f"openapi is a single world, {world.name}"
                )
    world = World(book.mint(), command.environment, command.name, command.is_hidden)
    book.put_world(world)
    book.record(command, "world.add", world.name, environment=world.environment)
    return Done((world.id,))


def decide_add_application(command: AddApplication, book: PlatformBook) -> AnyOutcome:
    """The id of the new application."""
    configuration = book.configuration
    if any(known.name == command.name for known in configuration.applications.values()):
        return Refused(
            RefusalKind.CONFLICT, "name", f"there is an application named {command.name}"
        )
    if len(configuration.applications) >= APPLICATIONS_MAX:
        return Refused(
            RefusalKind.CONFLICT, "name", f"there are {APPLICATIONS_MAX} applications, the most"
        )
    if command.key_hash in configuration.api_keys:
        return Refused(RefusalKind.CONFLICT, "api_key", "another application has this key")
    refused = _refuse_settings(
        {
            "products": command.products,
            "origins": command.origins,
            "sources": command.sources,
            "organisations": command.organisations,
            "markets": command.markets,
        },
        session_life_s=command.session_life_s,
        activation_delay_ms=command.activation_delay_ms,
    )
    if refused:
        return refused
    environments: dict[str, ApplicationEnvironment] = {}
    for environment, world_id, is_promoted in command.worlds:
        world = configuration.worlds.get(world_id)
        if world is None or world.environment != environment:
            return Refused(RefusalKind.NOT_FOUND, "world", f"{environment} has no such world")
        environments[environment] = ApplicationEnvironment(world_id, is_promoted)
    application = Application(
        id=book.mint(),
        name=command.name,
        status=ApplicationStatus.ACTIVE,
        is_hidden=command.is_hidden,
        products=frozenset(command.products),
        origins=frozenset(command.origins),
        sources=command.sources,
        organisations=frozenset(command.organisations),
        markets=frozenset(command.markets),
        session_life_s=command.session_life_s,
        activation_delay_ms=command.activation_delay_ms,
        environments=environments,
    )
    book.put_application(application)
    book.put_api_key(command.key_hash, application.id)
    book.record(command, "application.add", f"{application.id}", name=application.name)
    return Done((application.id,))


def decide_change_application(command: ChangeApplication, book: PlatformBook) -> AnyOutcome:
    """Change what is given; all of it, or nothing."""
    application = book.configuration.applications.get(command.application)
    if application is None:
        return _refuse_unknown_application(command.application)
    if command.status is not None and command.status not in set(ApplicationStatus):
        return Refused(RefusalKind.INVALID, "status", "an application is active or suspended")
    lists = {
        "products": command.products,
        "origins": command.origins,
        "sources": command.sources,
        "organisations": command.organisations,
        "markets": command.markets,
    }
    refused = _refuse_settings(
        dict(lists),
        session_life_s=command.session_life_s,
        activation_delay_ms=command.activation_delay_ms,
    )
    if refused:
        return refused
    environments = dict(application.environments)
    for environment, is_promoted in command.promoted:
        place = environments.get(environment)
        if place is None:
            return Refused(
                RefusalKind.CONFLICT,
                "promoted",
                f"the application has no world in {environment}; make one that has",
            )
        environments[environment] = ApplicationEnvironment(place.world, is_promoted)
    changes: dict[str, Any] = {
        name: items if name == "sources" else frozenset(items)
        for name, items in lists.items()
        if items is not None
    }
    if command.status is not None:
        changes["status"] = ApplicationStatus(command.status)
    if command.session_life_s is not None:
        changes["session_life_s"] = command.session_life_s
    if command.activation_delay_ms is not None:
        changes["activation_delay_ms"] = command.activation_delay_ms
    book.put_application(replace(application, environments=environments, **changes))
    book.record(
        command,
        "application.change",
        f"{application.id}",
        promoted=dict(command.promoted),
        **{name: sorted(v) if isinstance(v, frozenset) else v for name, v in changes.items()},
    )
    return Done((application.id,))


def decide_rotate_api_key(command: RotateApiKey, book: PlatformBook) -> AnyOutcome:
    """A further key for the application; those that it has end after the overlap."""
    application = book.configuration.applications.get(command.application)
    if application is None:
        return _refuse_unknown_application(command.application)
    if not 0 <= command.overlap_ms <= KEY_OVERLAP_MAX_MS:
        return Refused(
            RefusalKind.INVALID,
            "overlap_s",
            f"the present key goes on for 0 to {KEY_OVERLAP_MAX_MS // 1_000} seconds",
        )
    if command.key_hash in book.configuration.api_keys:
        return Refused(RefusalKind.CONFLICT, "api_key", "this key is in use already")
    live = [
        key
        for key in book.configuration.api_keys.values()
        if key.application == application.id and book.is_live(key.ends_ms)
    ]
    if command.overlap_ms and len(live) >= KEYS_PER_APPLICATION_MAX:
        return Refused(
            RefusalKind.CONFLICT,
            "overlap_s",
            f"{KEYS_PER_APPLICATION_MAX} keys are in force, the most; rotate without an overlap",
        )
    ended = book.end_api_keys(application.id, overlap_ms=command.overlap_ms)
    book.put_api_key(command.key_hash, application.id)
    book.record(
        command,
        "application.rotate",
        f"{application.id}",
        keys_ended=ended,
        overlap_ms=command.overlap_ms,
    )
    return Done((application.id,))


def decide_add_admin_token(command: AddAdminToken, book: PlatformBook) -> AnyOutcome:
    """One more token; of one name there is one that is in force."""
    live = [
        token for token in book.configuration.admin_tokens.values() if book.is_live(token.ends_ms)
    ]
    is_taken = any(token.name == command.name for token in live)
    if is_taken and not command.replaces:
        return Refused(
            RefusalKind.CONFLICT,
            "name",
            f"there is a token named {command.name}; take another name, or replace that one",
        )
    if len(live) >= ADMIN_TOKENS_MAX and not is_taken:
        return Refused(
            RefusalKind.CONFLICT, "name", f"there are {ADMIN_TOKENS_MAX} tokens, the most"
        )
    if command.token_hash in book.configuration.admin_tokens:
        return Refused(RefusalKind.CONFLICT, "token", "this token is known already")
    ended = book.end_admin_tokens(command.name)
    book.put_admin_token(command.token_hash, command.name)
    book.record(command, "token.add", command.name, tokens_ended=ended)
    return Done()


def decide_keep_platform_key(command: KeepPlatformKey, book: PlatformBook) -> AnyOutcome:
    """Keep the key; one that is there stays unless it is to be replaced."""
    if command.environment not in ENVIRONMENTS:
        return Refused(
            RefusalKind.INVALID, "environment", f"an environment is {' or '.join(ENVIRONMENTS)}"
        )
    if command.environment in book.configuration.platform_keys and not command.replaces:
        return Done()
    book.put_platform_key(command.environment, command.private_key)
    book.record(command, "platform_key.keep", command.environment)
    return Done()


def decide_keep_secret(command: KeepSecret, book: PlatformBook) -> AnyOutcome:
    """Keep the secret; one that is there stays for ever."""
    if command.name in book.configuration.secrets:
        return Done()
    if _match_hexadecimal(command.value) is None:
        return Refused(RefusalKind.INVALID, "value", "a secret is pairs of hexadecimal digits")
    book.put_secret(command.name, command.value)
    book.record(command, "secret.keep", command.name)
    return Done()


def _refuse_unknown_application(application: int) -> Refused:
    return Refused(RefusalKind.NOT_FOUND, "application", f"there is no application {application}")


USE_CASES: Final[dict[type[PlatformCommand], Callable[[Any, PlatformBook], AnyOutcome]]] = {
    AddWorld: decide_add_world,
    AddApplication: decide_add_application,
    ChangeApplication: decide_change_application,
    RotateApiKey: decide_rotate_api_key,
    AddAdminToken: decide_add_admin_token,
    KeepPlatformKey: decide_keep_platform_key,
    KeepSecret: decide_keep_secret,
}
