"""What start-up prepares: platform keys that are made or read, and keys that users have rotated."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from pesalango_server.applications.administration import (
    KEY_OVERLAP_MAX_MS,
    KEYS_PER_APPLICATION_MAX,
)
from pesalango_server.applications.commands import AddAdminToken, KeepPlatformKey, RotateApiKey
from pesalango_server.applications.keys import CredentialHasher
from pesalango_server.applications.model import ApiKey, Configuration
from pesalango_server.applications.platform_keys import encode_public_key, make_platform_key
from pesalango_server.applications.store import read_configuration
from pesalango_server.engine.engine import Engine
from pesalango_server.engine.platform import PlatformDomain
from pesalango_server.kernel.message import AnyOutcome, Command, Done
from pesalango_server.main.bootstrap import Bootstrap
from pesalango_server.main.credentials import USER_APPLICATION, Credentials
from pesalango_server.main.engines import EngineUnit
from pesalango_server.main.failures import ServerFailed
from pesalango_server.settings import Settings
from pesalango_server.storage.address import (
    DatabaseAddress,
    open_database_reader,
    open_database_writer,
)
from tests.store.engine_fixture import RecordingObserver, open_copy, run_batch
from tests.unit.manual_clock import ManualClock

SETTINGS = Settings(platform_key_bits=2_048)


class Installation:
    """A platform database, and start-ups on it."""

    def __init__(self, address: DatabaseAddress) -> None:
        self.clock = ManualClock()
        self._writer = open_database_writer(address)
        self._engine = Engine(
            self._writer,
            PlatformDomain(),
            self.clock,
            observer=RecordingObserver(),
            uses_database_clock=False,
        )
        self._reader = open_database_reader(address)

    def run_now(self, command: Command) -> AnyOutcome:
        """As `EngineUnit.run_now`."""
        (outcome,) = run_batch(self._engine, [command])
        return outcome

    def read(self) -> Configuration:
        return read_configuration(self._reader, wall_ms=self.clock.wall_ms())

    def begin(self) -> Bootstrap:
        return Bootstrap(cast("EngineUnit", self), self.read())

    def start(self, present: Credentials | None = None) -> tuple[Credentials, list[str]]:
        """A whole start-up of `up`: the credentials that it leaves, and its notes."""
        self.begin().ensure_secrets(SETTINGS)
        bootstrap = self.begin()
        worlds = bootstrap.ensure_worlds()
        credentials = bootstrap.ensure_credentials(
            present, base_url="http://x", admin_url="http://x/admin/v1", worlds=worlds
        )
        bootstrap.ensure_self_check_key(worlds)
        return credentials, bootstrap.notes

    def rotate(self, api_key: str, *, overlap_ms: int = 0) -> None:
        """Give the user's application another key, as an administrator does."""
        (number,) = [
            each.id for each in self.read().applications.values() if each.name == USER_APPLICATION
        ]
        key_hash = self._hasher().hash_api_key(api_key)
        assert isinstance(self.run_now(RotateApiKey(0, "ann", number, key_hash, overlap_ms)), Done)

    def find_key(self, api_key: str) -> ApiKey | None:
        """The key, if it is in force."""
        return self.read().api_keys.get(self._hasher().hash_api_key(api_key))

    def replace_token(self) -> None:
        """Let another token take the place of the one that start-up made."""
        command = AddAdminToken(0, "ann", "credentials.json", "ab" * 32, replaces=True)
        assert isinstance(self.run_now(command), Done)

    def _hasher(self) -> CredentialHasher:
        return CredentialHasher(self.read().secrets["credentials"])

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


@pytest.fixture
def installation(request: pytest.FixtureRequest) -> Iterator[Installation]:
    with open_copy(request, "sqlite", "platform") as address:
        installation = Installation(address)
        yield installation
        installation.close()


# --- API keys ------------------------------------------------------------------------------------


def test_a_second_start_leaves_everything_as_it_is(installation: Installation) -> None:
    first, _ = installation.start()

    second, notes = installation.start(first)

    assert second == first
    assert notes == []


def test_a_key_that_the_user_rotated_outlives_the_next_start(installation: Installation) -> None:
    first, _ = installation.start()
    installation.rotate("the user's own")
    assert installation.find_key(first.sandbox.api_key) is None

    second, notes = installation.start(first)

    fresh, users = (
        installation.find_key(key) for key in (second.sandbox.api_key, "the user's own")
    )
    assert fresh is not None
    assert users is not None
    assert fresh.ends_ms is None
    assert users.ends_ms == installation.clock.wall_ms() + KEY_OVERLAP_MAX_MS
    (note,) = notes
    assert note == (
        "the API key of first-application was lost or not valid; it is new, and those before it "
        "end within 30 days"
    )
    assert installation.start(second) == (second, [])


def test_lost_credentials_are_made_anew_and_the_lost_key_goes_on(
    installation: Installation,
) -> None:
    first, _ = installation.start()

    second, _ = installation.start(None)

    assert second.sandbox.api_key == second.openapi.api_key != first.sandbox.api_key
    lost = installation.find_key(first.sandbox.api_key)
    assert lost is not None
    assert lost.ends_ms == installation.clock.wall_ms() + KEY_OVERLAP_MAX_MS


def test_a_start_without_room_for_one_more_key_ends_those_before_it(
    installation: Installation,
) -> None:
    first, _ = installation.start()
    names = [f"key {number}" for number in range(KEYS_PER_APPLICATION_MAX - 1)]
    for name in names:
        installation.rotate(name, overlap_ms=KEY_OVERLAP_MAX_MS)

    second, (note,) = installation.start(None)

    assert note.endswith("those before it have ended, because they were 10, the most")
    assert installation.find_key(second.sandbox.api_key) is not None
    ended = [installation.find_key(key) for key in (*names, first.sandbox.api_key)]
    assert ended == [None] * KEYS_PER_APPLICATION_MAX


def test_the_self_check_has_one_key_at_a_time(installation: Installation) -> None:
    installation.start()
    before = len(installation.read().api_keys)

    installation.start(installation.start()[0])

    # Those of the first application: the first, and the one that took the lost one's place.
    assert before == 2
    assert len(installation.read().api_keys) == 3


def test_a_token_that_was_replaced_is_made_anew(installation: Installation) -> None:
    first, _ = installation.start()
    installation.replace_token()

    second, notes = installation.start(first)

    assert second.admin_token != first.admin_token
    assert notes == ["the admin token in credentials.json was not valid; it is new"]


# --- platform keys -------------------------------------------------------------------------------


def make_settings(**files: Path) -> Settings:
    named = {f"platform_key_file_{name}": str(path) for name, path in files.items()}
    return Settings(platform_key_bits=2_048, **named)  # type: ignore[arg-type]


def test_a_key_file_is_read_at_the_first_start_alone(
    installation: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "key.pem"
    private_key = make_platform_key(2_048)
    file.write_text(private_key, encoding="utf-8")

    installation.begin().ensure_secrets(make_settings(openapi=file))

    kept = installation.read().platform_keys
    assert encode_public_key(kept["openapi"]) == encode_public_key(private_key)
    assert kept["sandbox"] != kept["openapi"]
    # Nobody needs it any more, so it may have gone.
    file.unlink()
    assert installation.begin().ensure_secrets(make_settings(openapi=file)) is False
    assert installation.read().platform_keys == kept


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"nonsense", "cannot be used: this is no private key in PEM"),
        (b"\xff\xfe", "cannot be used: this is no private key in PEM"),
    ],
)
def test_a_key_file_that_is_none_ends_the_start_with_its_name(
    installation: Installation, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "key.pem"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ServerFailed) as failed:
        installation.begin().ensure_secrets(make_settings(openapi=file))

    assert str(failed.value) == (
        f"{file}, the platform key of openapi (PESALANGO_PLATFORM_KEY_FILE_OPENAPI), {reason}"
    )
    assert installation.read().platform_keys == {}


def test_a_kept_key_that_cannot_be_used_ends_the_start_with_one_sentence(
    installation: Installation,
) -> None:
    installation.run_now(KeepPlatformKey(0, "ann", "openapi", "no key at all"))

    with pytest.raises(ServerFailed, match="the platform key of openapi in the database cannot"):
        installation.begin().ensure_secrets(SETTINGS)
