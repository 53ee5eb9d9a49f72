"""The key under which a request is remembered for ever, so that it has one effect at most."""

from hashlib import blake2b

KEY_BYTES = 16


class DuplicateKeys:
    """Makes duplicate keys; `key` is the installation's secret for it."""

    def __init__(self, key: bytes) -> None:
        self._keyed = blake2b(key=key, digest_size=KEY_BYTES)

    def make(self, *, application: int, operation: int, reference: str) -> str:
        """32 hexadecimal digits for a caller's reference; application 0 is the administrator."""
        keyed = self._keyed.copy()
        keyed.update(b"%d/%d/" % (application, operation))
        keyed.update(reference.encode())
        return keyed.hexdigest()
