"""Who may call, and when: the clock, the configuration and the database are the test's."""

import asyncio
import base64
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from msgspec.structs import replace

from pesalango_server.applications.keys import CredentialHasher
from pesalango_server.applications.model import (
    ApiKey,
    Application,
    ApplicationEnvironment,
    ApplicationStatus,
    Configuration,
)
from pesalango_server.gateway.answers import Answer
from pesalango_server.gateway.auth import Authenticator
from pesalango_server.gateway.decryptor import Decryptor
from pesalango_server.gateway.sessions import CiphertextMap
from pesalango_server.gateway.throttle import FailureThrottle, RefusalDelay
from pesalango_server.http.addresses import PeerFinder
from pesalango_server.http.context import Installation
from pesalango_server.storage.database import Read, StorageUnavailable
from pesalango_server.telemetry import Metrics
from tests.unit.manual_clock import ManualClock

MARKET = "vodacomTZN"
API_KEY = "k3y0" * 8
SESSION_KEY = "0a1b2c3d" * 4
LIFE_MS = 3_600_000
PEPPERS = {name: name.encode().ljust(32) for name in ("credentials", "duplicates", "ids")}
SCOPE = {"client": ("198.51.100.7", 5), "headers": []}

APPLICATION = Application(
    id=1,
    name="shop",
    status=ApplicationStatus.ACTIVE,
    is_hidden=False,
    products=frozenset(),
    origins=frozenset({"*"}),
    sources=(),
    organisations=frozenset(),
    markets=frozenset({MARKET}),
    session_life_s=3_600,
    activation_delay_ms=0,
    environments={"sandbox": ApplicationEnvironment(world=1, is_promoted=True)},
)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@dataclass
class Holder:
    """The configuration: what is in force, and what the next look at the database will find."""

    current: Configuration
    next: Configuration
    refreshes: int = 0

    def __post_init__(self) -> None:
        self.installation = Installation(self.current)

    async def refresh(self) -> Configuration:
        self.refreshes += 1
        self.current = self.next
        return self.current


@dataclass
class Readers:
    """The database: sessions by the hash of their key."""

    rows: dict[str, list[Any]] = field(default_factory=dict)
    reads: int = 0
    is_down: bool = False

    async def read(self, read: Read) -> bytes:
        self.reads += 1
        if self.is_down:
            raise StorageUnavailable("the database cannot be read")
        assert read.rows is not None
        return msgspec.json.encode([self.rows[hash_] for (hash_,) in read.rows if hash_ in self.rows])  # fmt: skip


@dataclass
class Environment:
    name: str
    readers: Readers


class Desk:
    """An authenticator and everything that it asks."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key
        self.clock = ManualClock()
        self.hasher = CredentialHasher(PEPPERS["credentials"])
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
        current = Configuration(
            generation=1,
            applications={1: APPLICATION},
            api_keys={self.hasher.hash_api_key(API_KEY): ApiKey(application=1, ends_ms=None)},
            worlds={},
            admin_tokens={},
            platform_keys={"sandbox": pem},
            secrets=PEPPERS,
        )
        self.holder = Holder(current, current)
        self.readers = Readers()
        self.decryptions = Metrics().counter("decryptions", "Bearers that were decrypted.")
        self.live_ms = self.clock.wall_ms()
        self.add_session()

    def add_session(self, **changes: Any) -> None:
        row = {
            "application": 1,
            "live_ms": self.live_ms,
            "ends_ms": self.live_ms + LIFE_MS,
            "world": 1,
            "market": MARKET,
            "clock_offset_ms": 0,
            "last_time_ms": self.live_ms,
        } | changes
        self.readers.rows[self.hasher.hash_session_key(SESSION_KEY)] = list(row.values())

    def encrypt(self, secret: str) -> bytes:
        ciphertext = self._key.public_key().encrypt(secret.encode(), PKCS1v15())
        return b"Bearer " + base64.b64encode(ciphertext)

    def change(self, **changes: Any) -> None:
        """Give the application other settings, in force."""
        application = replace(APPLICATION, **changes)
        self.holder.current = self.holder.next = replace(
            self.holder.current,
            generation=self.holder.current.generation + 1,
            applications={1: application},
        )

    def run(self, steps: Callable[[Authenticator], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            throttle = FailureThrottle(
                self.clock, failures_per_minute=3, networks_max=10, exempts_loopback=True
            )
            decryptor = Decryptor(
                throttle=throttle,
                threads=1,
                waiting_max=8,
                decryptions=self.decryptions,
            )
            authenticator = Authenticator(
                environment=Environment("sandbox", self.readers),  # type: ignore[arg-type]
                configuration=self.holder,  # type: ignore[arg-type]
                clock=self.clock,
                decryptor=decryptor,
                throttle=throttle,
                refusal_delay=RefusalDelay(delay_ms=0, held_max=10),
                peers=PeerFinder(()),
                ciphertexts=CiphertextMap(ciphertexts_max=100, per_session_max=8),
            )
            try:
                await steps(authenticator)
            finally:
                decryptor.close()

        asyncio.run(main())


@pytest.fixture
def desk(key: rsa.RSAPrivateKey) -> Desk:
    return Desk(key)


async def use(
    authenticator: Authenticator, bearer: bytes, market: str = MARKET
) -> Application | Answer:
    headers = {b"authorization": bearer, b"origin": b"x"}
    return await authenticator.admit_session(SCOPE, headers, market)


def status_of(verdict: Application | Answer) -> int:
    return verdict.status if isinstance(verdict, Answer) else 200


def test_a_known_ciphertext_is_neither_decrypted_nor_looked_up_again(desk: Desk) -> None:
    async def steps(authenticator: Authenticator) -> None:
        bearer = desk.encrypt(SESSION_KEY)
        for _ in range(5):
            assert await use(authenticator, bearer) == APPLICATION

    desk.run(steps)
    assert desk.decryptions.value == 1
    assert desk.readers.reads == 1


def test_another_ciphertext_of_a_known_session_is_decrypted_and_not_looked_up(desk: Desk) -> None:
    async def steps(authenticator: Authenticator) -> None:
        for _ in range(5):
            assert await use(authenticator, desk.encrypt(SESSION_KEY)) == APPLICATION

    desk.run(steps)
    assert desk.decryptions.value == 5
    assert desk.readers.reads == 1


def test_a_miss_is_not_remembered(desk: Desk) -> None:
    async def steps(authenticator: Authenticator) -> None:
        rows, desk.readers.rows = desk.readers.rows, {}
        bearer = desk.encrypt(SESSION_KEY)
        assert status_of(await use(authenticator, bearer)) == 401
        # Another worker has made it in the meantime.
        desk.readers.rows = rows
        assert await use(authenticator, bearer) == APPLICATION

    desk.run(steps)


def test_a_session_ends_with_its_time_also_where_its_ciphertext_is_known(desk: Desk) -> None:
    async def steps(authenticator: Authenticator) -> None:
        bearer = desk.encrypt(SESSION_KEY)
        desk.clock.advance(LIFE_MS - 1)
        assert status_of(await use(authenticator, bearer)) == 200
        desk.clock.advance(1)
        for ended in (bearer, desk.encrypt(SESSION_KEY)):
            verdict = await use(authenticator, ended)
            assert isinstance(verdict, Answer)
            assert verdict.status == 401
            assert verdict.headers == ()

    desk.run(steps)


def test_sessions_that_have_ended_do_not_close_the_door_to_a_new_one(desk: Desk) -> None:
    async def steps(authenticator: Authenticator) -> None:
        desk.clock.advance(LIFE_MS)
        for _ in range(30):
            assert status_of(await use(authenticator, desk.encrypt(SESSION_KEY))) == 401
        headers = {b"authorization": desk.encrypt(API_KEY), b"origin": b"x"}
        assert await authenticator.admit_api_key(SCOPE, headers, MARKET) == APPLICATION

    desk.run(steps)


def test_a_session_that_is_not_live_yet_tells_how_long(desk: Desk) -> None:
    desk.add_session(live_ms=desk.live_ms + 2_500)

    async def steps(authenticator: Authenticator) -> None:
        bearer = desk.encrypt(SESSION_KEY)
        verdict = await use(authenticator, bearer)
        assert isinstance(verdict, Answer)
        assert verdict.headers == ((b"retry-after", b"3"),)
        desk.clock.advance(2_499)
        assert status_of(await use(authenticator, bearer)) == 401
        desk.clock.advance(1)
        assert status_of(await use(authenticator, bearer)) == 200

    desk.run(steps)


def test_a_session_is_live_by_the_ledgers_time_where_that_is_ahead(desk: Desk) -> None:
    # Another machine made it, whose clock is ahead of this one's.
    ahead_ms = desk.live_ms + 5_000
    desk.add_session(live_ms=ahead_ms, last_time_ms=ahead_ms)

    async def steps(authenticator: Authenticator) -> None:
        assert status_of(await use(authenticator, desk.encrypt(SESSION_KEY))) == 200

    desk.run(steps)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": ApplicationStatus.SUSPENDED},
        {"markets": frozenset({"vodafoneGHA"})},
        {"environments": {}},
        {"environments": {"sandbox": ApplicationEnvironment(world=1, is_promoted=False)}},
        {"environments": {"sandbox": ApplicationEnvironment(world=2, is_promoted=True)}},
        {"environments": {"openapi": ApplicationEnvironment(world=1, is_promoted=True)}},
    ],
    ids=["suspended", "market", "nowhere", "unpromoted", "other world", "elsewhere"],
)
def test_a_change_of_the_application_counts_at_once(desk: Desk, changes: dict[str, Any]) -> None:
    async def steps(authenticator: Authenticator) -> None:
        bearer = desk.encrypt(SESSION_KEY)
        assert status_of(await use(authenticator, bearer)) == 200
        desk.change(**changes)
        assert status_of(await use(authenticator, bearer)) == 401
        assert status_of(await use(authenticator, desk.encrypt(SESSION_KEY))) == 401
        desk.change()
        assert status_of(await use(authenticator, bearer)) == 200

    desk.run(steps)


def test_an_unknown_application_is_looked_for_before_its_session_is_refused(desk: Desk) -> None:
    desk.holder.current = replace(desk.holder.current, applications={})

    async def steps(authenticator: Authenticator) -> None:
        assert await use(authenticator, desk.encrypt(SESSION_KEY)) == APPLICATION

    desk.run(steps)
    assert desk.holder.refreshes == 1


def test_an_unknown_api_key_is_looked_for_before_it_is_refused(desk: Desk) -> None:
    desk.holder.current = replace(desk.holder.current, api_keys={})

    async def steps(authenticator: Authenticator) -> None:
        headers = {b"authorization": desk.encrypt(API_KEY), b"origin": b"x"}
        assert await authenticator.admit_api_key(SCOPE, headers, MARKET) == APPLICATION
        assert await authenticator.admit_api_key(SCOPE, headers, MARKET) == APPLICATION

    desk.run(steps)
    assert desk.holder.refreshes == 1
    # An API key's ciphertext is never remembered.
    assert desk.decryptions.value == 2


def test_an_api_key_ends_with_its_overlap(desk: Desk) -> None:
    ends_ms = desk.clock.wall_ms() + 1_000
    desk.holder.current = desk.holder.next = replace(
        desk.holder.current,
        api_keys={desk.hasher.hash_api_key(API_KEY): ApiKey(application=1, ends_ms=ends_ms)},
    )

    async def steps(authenticator: Authenticator) -> None:
        headers = {b"authorization": desk.encrypt(API_KEY), b"origin": b"x"}
        assert status_of(await authenticator.admit_api_key(SCOPE, headers, MARKET)) == 200
        desk.clock.advance(1_000)
        assert status_of(await authenticator.admit_api_key(SCOPE, headers, MARKET)) == 401

    desk.run(steps)


def test_a_store_that_is_away_is_no_wrong_bearer(desk: Desk) -> None:
    async def steps(authenticator: Authenticator) -> None:
        known = desk.encrypt(SESSION_KEY)
        assert status_of(await use(authenticator, known)) == 200
        desk.readers.is_down = True
        with pytest.raises(StorageUnavailable):
            await use(authenticator, desk.encrypt("another key"))
        # Who is known needs no store to be told apart.
        assert status_of(await use(authenticator, known)) == 200

    desk.run(steps)


def test_failures_are_counted_and_then_nothing_is_decrypted(desk: Desk) -> None:
    async def steps(authenticator: Authenticator) -> None:
        known = desk.encrypt(SESSION_KEY)
        assert status_of(await use(authenticator, known)) == 200
        for _ in range(3):
            assert status_of(await use(authenticator, desk.encrypt("wrong"))) == 401
        decrypted = desk.decryptions.value
        verdict = await use(authenticator, desk.encrypt("wrong"))
        assert isinstance(verdict, Answer)
        assert verdict.status == 429
        assert verdict.headers == ((b"retry-after", b"20"),)
        assert status_of(await use(authenticator, b"Bearer junk")) == 429
        assert desk.decryptions.value == decrypted
        assert status_of(await use(authenticator, known)) == 200

    desk.run(steps)


def test_a_ciphertext_in_use_outlives_those_that_are_used_once(desk: Desk) -> None:
    async def steps(authenticator: Authenticator) -> None:
        kept = desk.encrypt(SESSION_KEY)
        for _ in range(2):
            assert status_of(await use(authenticator, kept)) == 200
        for _ in range(30):
            assert status_of(await use(authenticator, desk.encrypt(SESSION_KEY))) == 200
        decrypted = desk.decryptions.value
        assert status_of(await use(authenticator, kept)) == 200
        assert desk.decryptions.value == decrypted

    desk.run(steps)
