"""Platform keys: an environment's RSA key pair, with whose public half callers encrypt."""

import base64
from typing import Final

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

PLATFORM_KEY_BITS_MIN: Final = 2_048
PLATFORM_KEY_BITS_MAX: Final = 8_192

EXPONENT_BITS_MAX: Final = 64
"""Larger public exponents are refused by the libraries that callers encrypt with."""

_SAMPLE: Final = b"what a caller encrypts"


class PlatformKeyUnusable(Exception):
    """A text is no platform key; the message says why, and repeats nothing of it."""


def make_platform_key(key_bits: int) -> str:
    """A new private key, as it is kept."""
    return _encode_private_key(rsa.generate_private_key(public_exponent=65537, key_size=key_bits))


def check_platform_key(pem: str) -> str:
    """The private key in a PEM, as it is kept: PKCS#8, and nothing beside it.

    Raises `PlatformKeyUnusable`. What proves that the numbers belong together is arithmetic and a
    bearer of the key's own: the library's proof, that the factors are prime, holds the interpreter
    lock for seconds, and a worker would stand still.
    """
    try:
        key = load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        raise PlatformKeyUnusable(
            "the key is protected by a password; give it without one"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise PlatformKeyUnusable("this is no private key in PEM") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise PlatformKeyUnusable("this is no RSA key")
    # A ciphertext is as long as its key, in whole bytes.
    if not PLATFORM_KEY_BITS_MIN <= key.key_size <= PLATFORM_KEY_BITS_MAX or key.key_size % 8:
        raise PlatformKeyUnusable(
            f"the key has {key.key_size} bits; a platform key has {PLATFORM_KEY_BITS_MIN} to "
            f"{PLATFORM_KEY_BITS_MAX}, a multiple of 8"
        )
    if not (_is_consistent(key.private_numbers()) and _decrypts_its_own(key)):
        raise PlatformKeyUnusable("the numbers of this key do not belong together")
    return _encode_private_key(key)


def _is_consistent(numbers: rsa.RSAPrivateNumbers) -> bool:
    p, q, e = numbers.p, numbers.q, numbers.public_numbers.e
    return (
        min(p, q) > 2
        and p * q == numbers.public_numbers.n
        and e.bit_length() <= EXPONENT_BITS_MAX
        and all(part & 1 for part in (p, q, e))
        and all(numbers.d * e % (part - 1) == 1 for part in (p, q))
        and numbers.dmp1 * e % (p - 1) == 1
        and numbers.dmq1 * e % (q - 1) == 1
        and numbers.iqmp * q % p == 1
    )


def _decrypts_its_own(key: rsa.RSAPrivateKey) -> bool:
    try:
        ciphertext = key.public_key().encrypt(_SAMPLE, PKCS1v15())
        return key.decrypt(ciphertext, PKCS1v15()) == _SAMPLE
    except (ValueError, InternalError):
        return False


def encode_public_key(private_key: str) -> str:
    """One line of base64 of the DER form, as the documentation hands public keys out.

    `private_key` is one that is kept: it was proved when it came, and is not proved again.
    """
    key = load_pem_private_key(private_key.encode(), None, unsafe_skip_rsa_key_validation=True)
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def _encode_private_key(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
