"""What an administrator's commands do to the configuration, carried out by the engine itself."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from pesalango_server.applications.administration import (
    ADMIN_TOKENS_MAX,
    KEY_OVERLAP_MAX_MS,
    KEYS_PER_APPLICATION_MAX,
)
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
from pesalango_server.applications.model import Application, ApplicationStatus, Configuration
from pesalango_server.applications.store import read_configuration, read_generation
from pesalango_server.engine.engine import Engine
from pesalango_server.engine.faults import FaultPort, Point
from pesalango_server.engine.platform import PlatformDomain
from pesalango_server.kernel.message import AnyOutcome, Done, RefusalKind, Refused
from pesalango_server.storage.address import (
    DatabaseAddress,
    open_database_reader,
    open_database_writer,
)
from pesalango_server.storage.database import CommitUnknown, Read, Schema, declare_query
from tests.store.engine_fixture import RecordingObserver, open_copy, run_batch
from tests.unit.manual_clock import START_MS, ManualClock

ACTOR = "ann"

_LIST_EVENTS = declare_query(
    "list_events_for_tests",
    Schema.PLATFORM,
    columns="id, generation, time_ms, actor, action, subject, detail",
    text=(
        "SELECT id, generation, time_ms, actor, action, subject, detail"
        " FROM audit_events ORDER BY id"
    ),
    may_scan="a test reads the whole trail",
)


def make_hash(number: int) -> str:
    """A hash of a credential, as 64 hexadecimal digits."""
    return f"{number:064x}"


def make_application(name: str = "shop", *, key: int = 1, **changes: Any) -> AddApplication:
    """An application that acts for one organisation, with worlds to be added by the test."""
    fields: dict[str, Any] = {
        "ledger": 0,
        "actor": ACTOR,
        "name": name,
        "is_hidden": False,
        "products": ("c2b", "b2c"),
        "origins": ("*",),
        "sources": ("192.0.2.0/24", "10.0.0.1"),
        "organisations": ("ORG001",),
        "markets": ("vodacomTZN",),
        "session_life_s": 3_600,
        "activation_delay_ms": 0,
        "worlds": (),
        "key_hash": make_hash(key),
    }
    return AddApplication(**(fields | changes))


class Platform:
    """An engine over a platform database, and what a worker reads of it."""

    def __init__(self, address: DatabaseAddress, faults: FaultPort | None = None) -> None:
        self.address = address
        self.clock = ManualClock()
        self.observer = RecordingObserver()
        settings: dict[str, Any] = {} if faults is None else {"faults": faults}
        self._writer = open_database_writer(address)
        self._engine = Engine(
            self._writer,
            PlatformDomain(),
            self.clock,
            observer=self.observer,
            uses_database_clock=False,
            **settings,
        )
        self._reader = open_database_reader(address)

    def run(self, *commands: PlatformCommand) -> list[AnyOutcome]:
        """Carry commands out as one batch."""
        return run_batch(self._engine, commands)

    def make(self, command: PlatformCommand) -> int:
        """Carry a command out that makes something; its id."""
        (outcome,) = self.run(command)
        assert isinstance(outcome, Done)
        (made,) = outcome.ids
        return made

    def read(self) -> Configuration:
        """The configuration as a worker sees it now."""
        return read_configuration(self._reader, wall_ms=self.clock.wall_ms())

    def read_application(self, name: str = "shop") -> Application:
        (found,) = [each for each in self.read().applications.values() if each.name == name]
        return found

    def list_keys(self) -> dict[int, int | None]:
        """Number of each key in force (see `make_hash`), and when it ends."""
        return {int(hash_, 16): key.ends_ms for hash_, key in self.read().api_keys.items()}

    def list_events(self) -> list[dict[str, Any]]:
        """The audit trail, with its details decoded."""
        names = ("id", "generation", "time_ms", "actor", "action", "subject", "detail")
        rows = msgspec.json.decode(self._reader.read(Read(_LIST_EVENTS)))
        events = [dict(zip(names, row, strict=True)) for row in rows]
        return [event | {"detail": msgspec.json.decode(event["detail"])} for event in events]

    def read_generation(self) -> int:
        return read_generation(self._reader)

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


@pytest.fixture
def platform(request: pytest.FixtureRequest, dialect: str) -> Iterator[Platform]:
    """On both databases."""
    with open_copy(request, dialect, "platform") as address:
        platform = Platform(address)
        yield platform
        platform.close()


def expect_refusal(outcome: AnyOutcome, kind: RefusalKind, field: str) -> None:
    assert isinstance(outcome, Refused)
    assert (outcome.kind, outcome.field) == (kind, field)
    assert outcome.reason


# --- worlds --------------------------------------------------------------------------------------


def test_a_world_of_a_known_name_is_the_answer_however_often_it_is_added(
    platform: Platform,
) -> None:
    add = AddWorld(0, ACTOR, "sandbox", "ann")

    first, second = platform.run(add, add)
    (third,) = platform.run(add)

    assert first == second == third
    (world,) = platform.read().worlds.values()
    assert (world.environment, world.name, world.is_hidden) == ("sandbox", "ann", False)


def test_openapi_is_one_world_and_hidden_ones_beside_it(platform: Platform) -> None:
    platform.make(AddWorld(0, ACTOR, "openapi", "self-check", is_hidden=True))
    platform.make(AddWorld(0, ACTOR, "openapi", "openapi"))

    (refused,) = platform.run(AddWorld(0, ACTOR, "openapi", "another"))

    expect_refusal(refused, RefusalKind.CONFLICT, "name")


def test_a_world_of_an_unknown_environment_is_refused(platform: Platform) -> None:
    (refused,) = platform.run(AddWorld(0, ACTOR, "production", "ann"))

    expect_refusal(refused, RefusalKind.INVALID, "environment")
    assert platform.read().worlds == {}


# --- applications --------------------------------------------------------------------------------


def test_an_application_is_kept_as_it_was_made(platform: Platform) -> None:
    world = platform.make(AddWorld(0, ACTOR, "sandbox", "ann"))
    made = platform.make(make_application(worlds=(("sandbox", world, True),)))

    application = platform.read_application()

    assert application.id == made
    assert application.status == ApplicationStatus.ACTIVE
    assert application.products == {"b2c", "c2b"}
    assert application.origins == {"*"}
    assert application.sources == ("192.0.2.0/24", "10.0.0.1")
    assert application.organisations == {"ORG001"}
    assert application.markets == {"vodacomTZN"}
    place = application.environments["sandbox"]
    assert (place.world, place.is_promoted) == (world, True)
    assert platform.list_keys() == {1: None}


def test_two_applications_cannot_have_one_name_not_even_in_one_batch(platform: Platform) -> None:
    first, second = platform.run(make_application(key=1), make_application(key=2))

    assert isinstance(first, Done)
    expect_refusal(second, RefusalKind.CONFLICT, "name")
    assert platform.list_keys() == {1: None}


@pytest.mark.parametrize(
    ("changes", "kind", "field"),
    [
        ({"session_life_s": 59}, RefusalKind.INVALID, "session_life_s"),
        ({"session_life_s": 86_401}, RefusalKind.INVALID, "session_life_s"),
        ({"activation_delay_ms": -1}, RefusalKind.INVALID, "activation_delay_ms"),
        ({"activation_delay_ms": 30_001}, RefusalKind.INVALID, "activation_delay_ms"),
        ({"origins": ("a,b",)}, RefusalKind.INVALID, "origins"),
        ({"sources": ("",)}, RefusalKind.INVALID, "sources"),
        ({"worlds": (("sandbox", 999, True),)}, RefusalKind.NOT_FOUND, "world"),
    ],
)
def test_an_application_that_cannot_be_is_refused_and_leaves_no_key(
    platform: Platform, changes: dict[str, Any], kind: RefusalKind, field: str
) -> None:
    (refused,) = platform.run(make_application(**changes))

    expect_refusal(refused, kind, field)
    assert platform.read().applications == {}
    assert platform.list_keys() == {}


def test_a_world_of_the_other_environment_is_refused(platform: Platform) -> None:
    world = platform.make(AddWorld(0, ACTOR, "sandbox", "ann"))

    (refused,) = platform.run(make_application(worlds=(("openapi", world, True),)))

    expect_refusal(refused, RefusalKind.NOT_FOUND, "world")


def test_a_change_touches_only_what_it_gives(platform: Platform) -> None:
    made = platform.make(make_application())
    before = platform.read_application()

    platform.run(ChangeApplication(0, ACTOR, made, origins=("shop.example",), sources=()))

    after = platform.read_application()
    assert after.origins == {"shop.example"}
    assert after.sources == ()
    kept = ("status", "products", "organisations", "markets", "session_life_s")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]


def test_two_changes_of_one_batch_are_both_in_force(platform: Platform) -> None:
    made = platform.make(make_application())

    platform.run(
        ChangeApplication(0, ACTOR, made, products=("b2b",)),
        ChangeApplication(0, ACTOR, made, session_life_s=60),
        ChangeApplication(0, ACTOR, made, status=ApplicationStatus.SUSPENDED),
    )

    after = platform.read_application()
    assert after.products == {"b2b"}
    assert after.session_life_s == 60
    assert after.status == ApplicationStatus.SUSPENDED


def test_an_application_is_promoted_and_withdrawn_by_environment(platform: Platform) -> None:
    sandbox = platform.make(AddWorld(0, ACTOR, "sandbox", "ann"))
    openapi = platform.make(AddWorld(0, ACTOR, "openapi", "openapi"))
    worlds = (("sandbox", sandbox, True), ("openapi", openapi, False))
    made = platform.make(make_application(worlds=worlds))

    platform.run(
        ChangeApplication(0, ACTOR, made, promoted=(("sandbox", False), ("openapi", True)))
    )

    places = platform.read_application().environments
    assert not places["sandbox"].is_promoted
    assert places["openapi"].is_promoted


@pytest.mark.parametrize(
    ("changes", "kind", "field"),
    [
        ({"status": 3}, RefusalKind.INVALID, "status"),
        ({"markets": ("a,b",)}, RefusalKind.INVALID, "markets"),
        ({"session_life_s": 1}, RefusalKind.INVALID, "session_life_s"),
        ({"promoted": (("openapi", True),)}, RefusalKind.CONFLICT, "promoted"),
    ],
)
def test_a_change_is_made_whole_or_not_at_all(
    platform: Platform, changes: dict[str, Any], kind: RefusalKind, field: str
) -> None:
    made = platform.make(make_application())
    before = platform.read_application()

    (refused,) = platform.run(
        ChangeApplication(0, ACTOR, made, **({"products": ("b2b",)} | changes))
    )

    expect_refusal(refused, kind, field)
    assert platform.read_application() == before


def test_an_application_that_is_not_there_is_neither_changed_nor_given_a_key(
    platform: Platform,
) -> None:
    changed, rotated = platform.run(
        ChangeApplication(0, ACTOR, 99, products=()), RotateApiKey(0, ACTOR, 99, make_hash(1), 0)
    )

    expect_refusal(changed, RefusalKind.NOT_FOUND, "application")
    expect_refusal(rotated, RefusalKind.NOT_FOUND, "application")


# --- API keys ------------------------------------------------------------------------------------


def test_a_key_that_is_rotated_goes_on_for_the_overlap(platform: Platform) -> None:
    made = platform.make(make_application(key=1))

    platform.run(RotateApiKey(0, ACTOR, made, make_hash(2), 5_000))

    assert platform.list_keys() == {1: START_MS + 5_000, 2: None}
    platform.clock.advance(5_000)
    assert platform.list_keys() == {2: None}


def test_a_rotation_without_overlap_ends_every_other_key_now(platform: Platform) -> None:
    made = platform.make(make_application(key=1))
    platform.run(RotateApiKey(0, ACTOR, made, make_hash(2), 5_000))

    platform.run(RotateApiKey(0, ACTOR, made, make_hash(3), 0))

    assert platform.list_keys() == {3: None}


def test_no_rotation_lets_a_key_live_longer_than_an_earlier_one_said(platform: Platform) -> None:
    made = platform.make(make_application(key=1))
    platform.run(RotateApiKey(0, ACTOR, made, make_hash(2), 1_000))

    platform.run(RotateApiKey(0, ACTOR, made, make_hash(3), 9_000))

    assert platform.list_keys() == {1: START_MS + 1_000, 2: START_MS + 9_000, 3: None}


def test_two_rotations_of_one_batch_leave_the_last_key(platform: Platform) -> None:
    made = platform.make(make_application(key=1))

    platform.run(
        RotateApiKey(0, ACTOR, made, make_hash(2), 0), RotateApiKey(0, ACTOR, made, make_hash(3), 0)
    )

    assert platform.list_keys() == {3: None}


def test_the_keys_of_other_applications_go_on(platform: Platform) -> None:
    made = platform.make(make_application(key=1))
    platform.make(make_application("other", key=2))

    platform.run(RotateApiKey(0, ACTOR, made, make_hash(3), 0))

    assert platform.list_keys() == {2: None, 3: None}


def test_a_key_that_is_in_force_cannot_be_given_twice(platform: Platform) -> None:
    made = platform.make(make_application(key=1))
    platform.run(RotateApiKey(0, ACTOR, made, make_hash(2), 0))

    again, other = platform.run(
        RotateApiKey(0, ACTOR, made, make_hash(2), 0), make_application("other", key=2)
    )

    expect_refusal(again, RefusalKind.CONFLICT, "api_key")
    expect_refusal(other, RefusalKind.CONFLICT, "api_key")
    assert platform.list_keys() == {2: None}


@pytest.mark.parametrize("overlap_ms", [-1, KEY_OVERLAP_MAX_MS + 1])
def test_an_overlap_has_bounds(platform: Platform, overlap_ms: int) -> None:
    made = platform.make(make_application(key=1))

    (refused,) = platform.run(RotateApiKey(0, ACTOR, made, make_hash(2), overlap_ms))

    expect_refusal(refused, RefusalKind.INVALID, "overlap_s")


def test_only_so_many_keys_overlap(platform: Platform) -> None:
    made = platform.make(make_application(key=1))
    numbers = range(2, KEYS_PER_APPLICATION_MAX + 2)

    outcomes = platform.run(
        *[RotateApiKey(0, ACTOR, made, make_hash(number), 60_000) for number in numbers]
    )

    assert all(isinstance(outcome, Done) for outcome in outcomes[:-1])
    expect_refusal(outcomes[-1], RefusalKind.CONFLICT, "overlap_s")
    assert isinstance(platform.run(RotateApiKey(0, ACTOR, made, make_hash(99), 0))[0], Done)


# --- admin tokens --------------------------------------------------------------------------------


def test_a_name_has_one_token_unless_it_is_replaced(platform: Platform) -> None:
    platform.run(AddAdminToken(0, ACTOR, "ci", make_hash(1)))

    (refused,) = platform.run(AddAdminToken(0, ACTOR, "ci", make_hash(2)))
    (replaced,) = platform.run(AddAdminToken(0, ACTOR, "ci", make_hash(3), replaces=True))

    expect_refusal(refused, RefusalKind.CONFLICT, "name")
    assert replaced == Done()
    tokens = platform.read().admin_tokens
    assert {int(hash_, 16): token.ends_ms for hash_, token in tokens.items()} == {3: None}


def test_tokens_of_one_batch_that_replace_each_other_leave_the_last(platform: Platform) -> None:
    platform.run(
        *[AddAdminToken(0, ACTOR, "ci", make_hash(number), replaces=True) for number in (1, 2)]
    )

    tokens = platform.read().admin_tokens
    assert {hash_: token.ends_ms for hash_, token in tokens.items()} == {make_hash(2): None}


def test_a_key_that_ends_at_once_is_gone_though_the_platforms_time_is_ahead(
    platform: Platform,
) -> None:
    made = platform.make(make_application(key=1))
    platform.clock.advance(-3_600_000)
    platform.run(RotateApiKey(0, ACTOR, made, make_hash(2), 0))
    platform.run(RotateApiKey(0, ACTOR, made, make_hash(3), 1_000))

    assert platform.list_keys() == {2: platform.clock.wall_ms() + 1_000, 3: None}


def test_there_is_room_for_so_many_tokens(platform: Platform) -> None:
    platform.run(
        *[
            AddAdminToken(0, ACTOR, f"token {number}", make_hash(number))
            for number in range(ADMIN_TOKENS_MAX)
        ]
    )

    (refused,) = platform.run(AddAdminToken(0, ACTOR, "one more", make_hash(ADMIN_TOKENS_MAX)))

    expect_refusal(refused, RefusalKind.CONFLICT, "name")


# --- keys and secrets of the installation --------------------------------------------------------


def test_a_platform_key_stays_unless_it_is_to_be_replaced(platform: Platform) -> None:
    pem = "-----BEGIN KEY-----\nfirst, with a comma\n-----END KEY-----\n"
    platform.run(KeepPlatformKey(0, ACTOR, "sandbox", pem))

    platform.run(KeepPlatformKey(0, ACTOR, "sandbox", "second"))
    assert platform.read().platform_keys == {"sandbox": pem}

    platform.run(
        KeepPlatformKey(0, ACTOR, "sandbox", "third", replaces=True),
        KeepPlatformKey(0, ACTOR, "sandbox", "fourth", replaces=True),
    )
    assert platform.read().platform_keys == {"sandbox": "fourth"}


def test_a_secret_stays_for_ever(platform: Platform) -> None:
    outcomes = platform.run(
        KeepSecret(0, ACTOR, "ids", "00ff"),
        KeepSecret(0, ACTOR, "ids", "11ff"),
        KeepSecret(0, ACTOR, "odd", "0f f0"),
    )

    assert outcomes[:2] == [Done(), Done()]
    expect_refusal(outcomes[2], RefusalKind.INVALID, "value")
    assert platform.read().secrets == {"ids": b"\x00\xff"}


# --- the batch -----------------------------------------------------------------------------------


def test_every_batch_is_a_generation_whatever_becomes_of_its_commands(platform: Platform) -> None:
    platform.run(make_application(key=1), make_application("other", key=2))
    assert platform.read_generation() == 1

    platform.run(make_application(key=3))
    assert platform.read_generation() == 2
    assert platform.read().generation == 2


def test_the_audit_trail_says_who_did_what_and_holds_no_secret(platform: Platform) -> None:
    made = platform.make(make_application(key=0xABC))
    platform.clock.advance(1_000)
    platform.run(
        ChangeApplication(0, "ben", made, organisations=("ORG002",), promoted=()),
        RotateApiKey(0, "ben", made, make_hash(0xDEF), 0),
        AddAdminToken(0, "ben", "ci", make_hash(0xFED)),
        KeepPlatformKey(0, "start-up", "sandbox", "PRIVATE"),
        KeepSecret(0, "start-up", "ids", "beef"),
    )

    events = platform.list_events()

    assert [(each["actor"], each["action"], each["subject"]) for each in events] == [
        ("ann", "application.add", f"{made}"),
        ("ben", "application.change", f"{made}"),
        ("ben", "application.rotate", f"{made}"),
        ("ben", "token.add", "ci"),
        ("start-up", "platform_key.keep", "sandbox"),
        ("start-up", "secret.keep", "ids"),
    ]
    assert events[1]["detail"]["organisations"] == ["ORG002"]
    assert [each["generation"] for each in events] == [1, 2, 2, 2, 2, 2]
    assert events[1]["time_ms"] == START_MS + 1_000
    text = msgspec.json.encode(events).decode()
    assert not [secret for secret in ("abc", "def", "fed", "PRIVATE", "beef") if secret in text]


def test_a_batch_that_changes_nothing_can_be_told_by_its_token_all_the_same(
    platform: Platform,
) -> None:
    platform.run(AddWorld(0, ACTOR, "nowhere", "ann"))

    (event,) = platform.list_events()

    assert (event["actor"], event["action"]) == ("engine", "batch.unchanged")


def test_ids_are_small_and_go_on_after_a_clock_that_went_back(platform: Platform) -> None:
    first = platform.make(make_application(key=1))
    platform.clock.advance(-3_600_000)

    second = platform.make(make_application("other", key=2))

    assert first < second < 100
    assert platform.list_events()[-1]["time_ms"] == START_MS


class LostAnswer:
    """Loses the answer of the first COMMIT, once it has happened."""

    def __init__(self) -> None:
        self.is_lost = False

    def reach(self, point: Point) -> None:
        if point == Point.COMMITTED and not self.is_lost:
            self.is_lost = True
            raise CommitUnknown("the answer was lost")


def test_a_commit_whose_answer_was_lost_is_found_and_not_made_twice(
    request: pytest.FixtureRequest,
) -> None:
    with open_copy(request, "postgres", "platform") as address:
        faults = LostAnswer()
        platform = Platform(address, faults)

        made = platform.make(make_application(key=1))

        assert faults.is_lost
        assert platform.read_application().id == made
        actions = [event["action"] for event in platform.list_events()]
        assert actions == ["application.add", "batch.unchanged"]
        platform.close()
