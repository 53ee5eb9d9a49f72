"""Step 2 of the total order: who calls, from where, and whether that is allowed."""

from collections.abc import Mapping
from functools import partial
from math import ceil
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pesalango_server.applications.model import (
    Application,
    ApplicationStatus,
    Configuration,
)
from pesalango_server.gateway.access import ANY_ORIGIN, admits_origin, admits_source
from pesalango_server.gateway.answers import (
    NOT_AUTHORISED,
    ORIGIN_MISSING,
    ORIGIN_NOT_ALLOWED,
    SOURCE_NOT_ALLOWED,
    Answer,
    not_yet_live,
    too_many_failures,
)
from pesalango_server.gateway.bearer import load_private_key, parse_bearer
from pesalango_server.gateway.decryptor import DecryptionsBusy, Decryptor, TooManyFailures
from pesalango_server.gateway.sessions import (
    CiphertextMap,
    KnownSession,
    decode_session_in_market,
    read_session_in_market,
)
from pesalango_server.gateway.throttle import FailureThrottle, RefusalDelay
from pesalango_server.http.addresses import Address, PeerFinder
from pesalango_server.http.answers import Scope
from pesalango_server.http.context import ConfigurationHolder, EnvironmentContext
from pesalango_server.http.protocol import is_gone
from pesalango_server.kernel.clock import Clock

_AUTHORIZATION: Final = b"authorization"
_ORIGIN: Final = b"origin"

Headers = Mapping[bytes, bytes]


class Authenticator:
    """Judges callers of one environment. Everything happens on the worker's event loop.

    Bearers that were seen before are found by their hash; others are decrypted, in threads. All
    that reaches decryption takes the same way to the same answer.
    """

    def __init__(
        self,
        *,
        environment: EnvironmentContext,
        configuration: ConfigurationHolder,
        clock: Clock,
        decryptor: Decryptor,
        throttle: FailureThrottle,
        refusal_delay: RefusalDelay,
        peers: PeerFinder,
        ciphertexts: CiphertextMap,
    ) -> None:
        self._environment = environment
        self._configuration = configuration
        self._clock = clock
        self._decryptor = decryptor
        self._throttle = throttle
        self._refusal_delay = refusal_delay
        self._peers = peers
        self._ciphertexts = ciphertexts
        self._hasher = configuration.installation.hasher
        self._pem = ""
        self._key: RSAPrivateKey | None = None

    async def admit_session(
        self, scope: Scope, headers: Headers, market: str
    ) -> Application | Answer:
        """The application that calls with a session key, or the refusal.

        Raises `DecryptionsBusy` and `StorageUnavailable`.
        """
        authorization = headers.get(_AUTHORIZATION)
        if authorization is None:
            return NOT_AUTHORISED
        ciphertext_hash = self._hasher.hash_ciphertext(authorization)
        known = self._ciphertexts.find(ciphertext_hash)
        if known is not None:
            verdict = self._judge(known, market)
        else:
            verdict = await self._admit_unknown(scope, authorization, ciphertext_hash, market)
        if isinstance(verdict, Answer):
            return verdict
        return self._check_whereabouts(verdict, scope, headers) or verdict

    async def admit_api_key(
        self, scope: Scope, headers: Headers, market: str
    ) -> Application | Answer:
        """The application that calls with an API key, or the refusal.

        Raises `DecryptionsBusy` and `StorageUnavailable`.
        """
        authorization = headers.get(_AUTHORIZATION)
        if authorization is None:
            return NOT_AUTHORISED
        address = self._peers.find(scope)
        secret = await self._decrypt(scope, authorization, address)
        if isinstance(secret, Answer):
            return secret
        key_hash = self._hasher.hash_api_key(secret)
        application = self._find_by_api_key(key_hash, market)
        if application is None:
            await self._configuration.refresh()
            application = self._find_by_api_key(key_hash, market)
        if application is None:
            self._throttle.count_failure(address)
            return NOT_AUTHORISED
        self._throttle.count_success(address)
        return self._check_whereabouts(application, scope, headers) or application

    async def _decrypt(
        self, scope: Scope, authorization: bytes, address: Address | None
    ) -> str | Answer:
        seconds = self._throttle.seconds_to_wait(address)
        if seconds:
            await self._refusal_delay.wait(address)
            return too_many_failures(seconds)
        try:
            # First of all: under load it is most of what happens here.
            self._decryptor.check_room(address)
            key = self._find_private_key()
            ciphertext = parse_bearer(authorization, ciphertext_bytes=key.key_size // 8)
            if ciphertext is None:
                self._throttle.count_failure(address)
                return NOT_AUTHORISED
            return await self._decryptor.decrypt(key, ciphertext, address, partial(is_gone, scope))
        except TooManyFailures as refused:
            await self._refusal_delay.wait(address)
            return too_many_failures(refused.seconds)
        except DecryptionsBusy:
            if self._throttle.is_doubtful(address):
                await self._refusal_delay.wait(address)
            raise

    async def _admit_unknown(
        self, scope: Scope, authorization: bytes, ciphertext_hash: bytes, market: str
    ) -> Application | Answer:
        address = self._peers.find(scope)
        secret = await self._decrypt(scope, authorization, address)
        if isinstance(secret, Answer):
            return secret
        key_hash = self._hasher.hash_session_key(secret)
        known = self._ciphertexts.find_by_key(key_hash)
        if known is None:
            document = await self._environment.readers.read(read_session_in_market(key_hash))
            known = decode_session_in_market(key_hash, document)
        if known is None:
            self._throttle.count_failure(address)
            return NOT_AUTHORISED
        self._throttle.count_success(address)
        # From here on the caller holds a key of ours. That it has ended, or is not live yet, is no
        # guessing: counting it would keep a busy shop from the new session that it needs.
        verdict = self._judge(known, market)
        if verdict is NOT_AUTHORISED and known.application is None:
            await self._configuration.refresh()
            verdict = self._judge(known, market)
        if not isinstance(verdict, Answer):
            self._ciphertexts.remember(ciphertext_hash, known)
        return verdict

    def _judge(self, known: KnownSession, market: str) -> Application | Answer:
        """Whether a session may be used in a market now: on arrival, once for each call."""
        configuration = self._configuration.current
        if known.configuration is not configuration:
            known.application = self._find_application(
                configuration, known.application_id, known.market, known.world
            )
            known.configuration = configuration
        application = known.application
        if application is None or known.market != market:
            return NOT_AUTHORISED
        now_ms = known.ledger_now_ms(self._clock.wall_ms())
        if known.live_ms <= now_ms < known.ends_ms:
            return application
        if now_ms < known.live_ms:
            return not_yet_live(ceil((known.live_ms - now_ms) / 1_000))
        return NOT_AUTHORISED

    def _find_by_api_key(self, key_hash: str, market: str) -> Application | None:
        configuration = self._configuration.current
        key = configuration.api_keys.get(key_hash)
        if key is None or (key.ends_ms is not None and key.ends_ms <= self._clock.wall_ms()):
            return None
        application = configuration.applications.get(key.application)
        if application is None or application.status != ApplicationStatus.ACTIVE:
            return None
        return application if market in application.markets else None

    def _find_application(
        self, configuration: Configuration, number: int, market: str, world: int
    ) -> Application | None:
        """The application of a session, if it may still call here."""
        application = configuration.applications.get(number)
        if application is None or application.status != ApplicationStatus.ACTIVE:
            return None
        place = application.environments.get(self._environment.name)
        if place is None or not place.is_promoted or place.world != world:
            return None
        return application if market in application.markets else None

    def _find_private_key(self) -> RSAPrivateKey:
        pem = self._configuration.current.platform_keys[self._environment.name]
        if self._key is None or pem != self._pem:
            self._key, self._pem = load_private_key(pem), pem
        return self._key

    def _check_whereabouts(
        self, application: Application, scope: Scope, headers: Headers
    ) -> Answer | None:
        origin = headers.get(_ORIGIN)
        if not origin:
            return ORIGIN_MISSING
        if ANY_ORIGIN not in application.origins and not admits_origin(
            application, origin.decode("latin-1")
        ):
            return ORIGIN_NOT_ALLOWED
        if application.sources and not admits_source(application, self._peers.find(scope)):
            return SOURCE_NOT_ALLOWED
        return None
