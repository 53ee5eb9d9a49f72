"""The bearer of a call: the secret, encrypted with the platform's public key."""

import base64
import binascii

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

_PUBLIC_KEY_EXPECTED = "public_key must be one line of base64: an RSA public key in its DER form"


def encrypt_bearer(api_key: str, public_key: str) -> bytes:
    """Base64 of RSAES-PKCS1-v1_5; another one at each call. Raises `ValueError`.

    No message and no cause has the secret in it.
    """
    key = _read_public_key(public_key)
    if not api_key:
        raise ValueError("api_key is empty: it is the API key for getSession, else the session key")
    if not api_key.isascii():
        raise ValueError("api_key has characters that no key has")
    room = key.key_size // 8 - 11
    if len(api_key) > room:
        raise ValueError(f"api_key has {len(api_key)} characters, and public_key room for {room}")
    return base64.b64encode(key.encrypt(api_key.encode("ascii"), PKCS1v15()))


def _read_public_key(text: str) -> RSAPublicKey:
    try:
        # Pasted from a page it may have blanks and line breaks.
        key = load_der_public_key(base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(_PUBLIC_KEY_EXPECTED) from error
    if not isinstance(key, RSAPublicKey):
        raise ValueError(_PUBLIC_KEY_EXPECTED)  # noqa: TRY004 - the type of the text is right
    return key
