"""Secrets that callers hold: how they are made, and how they are kept (as keyed hashes alone)."""

import secrets
import string
from hashlib import blake2b

PEPPER_NAMES = ("credentials", "duplicates", "ids")
"""The installation's secrets: for hashes of credentials, for duplicate keys, for public ids."""

PEPPER_BYTES = 32

_API_KEY_ALPHABET = string.ascii_lowercase + string.digits


def make_api_key() -> str:
    """32 lower-case alphanumerics."""
    return "".join(secrets.choice(_API_KEY_ALPHABET) for _ in range(32))


def make_session_key() -> str:
    """32 lower-case hexadecimal digits."""
    return secrets.token_hex(16)


def make_admin_token() -> str:
    """A bearer token for the admin API."""
    return secrets.token_urlsafe(32)


class CredentialHasher:
    """Hashes credentials; `key` is the installation's `credentials` pepper.

    Kinds are kept apart, so that a session key is never taken for an API key.
    """

    def __init__(self, key: bytes) -> None:
        self._kinds = {
            kind: blake2b(key=key, digest_size=32, person=kind.encode())
            for kind in ("api-key", "session-key", "admin-token", "ciphertext")
        }

    def _hash(self, kind: str, secret: bytes) -> bytes:
        keyed = self._kinds[kind].copy()
        keyed.update(secret)
        return keyed.digest()

    def hash_api_key(self, api_key: str) -> str:
        """Hexadecimal hash that `Configuration.api_keys` is keyed by."""
        return self._hash("api-key", api_key.encode()).hex()

    def hash_session_key(self, session_key: str) -> str:
        """Hexadecimal hash that sessions are kept under."""
        return self._hash("session-key", session_key.encode()).hex()

    def hash_admin_token(self, token: str) -> str:
        """Hexadecimal hash that `Configuration.admin_tokens` is keyed by."""
        return self._hash("admin-token", token.encode()).hex()

    def hash_ciphertext(self, ciphertext: bytes) -> bytes:
        """32 bytes that stand for a ciphertext in the map from ciphertexts to sessions."""
        return self._hash("ciphertext", ciphertext)
