"""Session keys: how a secret travels, and how long a session is good for.

No I/O: `now` is the steady clock's, in seconds, and is passed in.
"""

import base64
import binascii
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from pesalango._errors import ConfigurationError

RENEW_BEFORE_END_S = 60.0
"""A session is replaced this long before it ends, so that no request meets its end on the way."""
NOT_LIVE_MAX_S = 35.0
"""How long a new session may take to be accepted: the operator documents up to 30 s."""


def load_public_key(text: str) -> RSAPublicKey:
    """The platform's key from one line of base64 (DER), or from PEM. Raises `ConfigurationError`."""
    try:
        key: Any = (
            load_pem_public_key(text.encode())
            if "-----BEGIN" in text
            else load_der_public_key(base64.b64decode("".join(text.split()), validate=True))
        )
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        raise ConfigurationError(
            "public_key is not a public key: it is one line of base64 as the portal shows it, or PEM"
        ) from None
    if not isinstance(key, RSAPublicKey):
        raise ConfigurationError("public_key is not an RSA key")
    return key


def make_bearer(key: RSAPublicKey, secret: str) -> str:
    """The secret, encrypted as the operator wants it, in base64. Every call makes another text."""
    return base64.b64encode(key.encrypt(secret.encode(), PKCS1v15())).decode()


class Session:
    """A session key that was given to this client, encrypted once for all of its requests."""

    __slots__ = ("bearer", "ends_at", "fetched_at", "previous", "renew_at", "was_accepted")

    def __init__(self, bearer: str, *, now: float, lifetime_s: float) -> None:
        self.bearer = bearer
        self.fetched_at = now
        self.ends_at = now + lifetime_s
        self.renew_at = self.ends_at - min(RENEW_BEFORE_END_S, lifetime_s / 10)
        self.was_accepted = False
        self.previous: Session | None = None
        """Still good for a while, where this one is not live yet."""

    def __repr__(self) -> str:
        return "Session(…)"


class SessionKeeper:
    """The session of a client, and which to use when. Not locked: its owner sees to that."""

    def __init__(self, *, lifetime_s: float) -> None:
        self._lifetime_s = lifetime_s
        self._session: Session | None = None

    def find(self, *, refused: Session | None, now: float) -> Session | None:
        """The session to use without further ado; None where one has to be fetched."""
        session = self._session
        if session is None or session is refused or now >= session.renew_at:
            return None
        return session

    def find_ending(self, *, refused: Session | None, now: float) -> Session | None:
        """One that is due for renewal, and good until that is done."""
        session = self._session
        if session is None or session is refused or now >= session.ends_at:
            return None
        return session

    def keep(self, bearer: str, *, refused: Session | None, now: float) -> Session:
        """A session that was just fetched."""
        session = Session(bearer, now=now, lifetime_s=self._lifetime_s)
        ending = self.find_ending(refused=refused, now=now)
        if ending is not None and ending.was_accepted:
            ending.previous = None
            session.previous = ending
        self._session = session
        return session
