"""What a bearer is, and whether this process may decrypt it."""

import binascii
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_SCHEME: Final = b"bearer "
_PADDING: Final = PKCS1v15()


class ImplicitRejectionMissing(Exception):
    """The cryptographic library would let callers tell wrong padding from a wrong secret."""


def load_private_key(pem: str) -> RSAPrivateKey:
    """An environment's private key. Raises ValueError for anything but an RSA key.

    The key's own consistency is not proved again: it was when the key was stored, and proving
    takes a quarter of a second.
    """
    key = load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("a platform key is an RSA key")  # noqa: TRY004 - the value is at fault
    return key


def check_implicit_rejection(key: RSAPrivateKey) -> None:
    """Make sure that wrong padding decrypts to noise instead of an error.

    Without it the time and kind of failure tell an attacker about the padding, and with enough
    questions the secret in a recorded ciphertext. Raises `ImplicitRejectionMissing`.
    """
    numbers = key.public_key().public_numbers()
    length = key.key_size // 8
    for block in (b"\x00\x01" + b"\xff" * (length - 2), b"\x00\x02" + b"\xff" * (length - 2)):
        ciphertext = pow(int.from_bytes(block, "big"), numbers.e, numbers.n)
        try:
            noise = [key.decrypt(ciphertext.to_bytes(length, "big"), _PADDING) for _ in range(2)]
        except ValueError:
            noise = []
        # The noise depends on key and ciphertext alone, so that asking twice tells nothing.
        if len(set(noise)) != 1 or noise[0] == block:
            raise ImplicitRejectionMissing(
                "the installed cryptography does not hide wrong RSA padding (implicit rejection); "
                "install the version that requirements/run.txt names (OpenSSL 3.2 or later)"
            )


def check_platform_keys(platform_keys: Mapping[str, str]) -> None:
    """`check_implicit_rejection` with the key (PEM) of every environment, before it serves."""
    for pem in platform_keys.values():
        check_implicit_rejection(load_private_key(pem))


def parse_bearer(authorization: bytes, *, ciphertext_bytes: int) -> bytes | None:
    """The ciphertext in an `Authorization` header, or None for what cannot be one.

    The standard alphabet, with padding, without blanks: a `+` that became a blank is refused.
    """
    if authorization[: len(_SCHEME)].lower() != _SCHEME:
        return None
    try:
        ciphertext = binascii.a2b_base64(authorization[len(_SCHEME) :], strict_mode=True)
    except ValueError:
        return None
    return ciphertext if len(ciphertext) == ciphertext_bytes else None
