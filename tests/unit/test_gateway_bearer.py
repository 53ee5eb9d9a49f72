"""From the Authorization header to the secret in it."""

import asyncio
import base64
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from pesalango_server.gateway.bearer import (
    ImplicitRejectionMissing,
    check_implicit_rejection,
    load_private_key,
    parse_bearer,
)
from pesalango_server.gateway.decryptor import DecryptionsBusy, Decryptor
from pesalango_server.gateway.throttle import FailureThrottle
from pesalango_server.telemetry import Counter, Metrics
from tests.unit.manual_clock import ManualClock

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def counter() -> Counter:
    return Metrics().counter("decryptions", "Bearers that were decrypted.")


def encrypt(key: rsa.RSAPrivateKey, secret: bytes) -> bytes:
    return key.public_key().encrypt(secret, PKCS1v15())


def encrypt_block(key: rsa.RSAPrivateKey, block: bytes) -> bytes:
    numbers = key.public_key().public_numbers()
    number = pow(int.from_bytes(block, "big"), numbers.e, numbers.n)
    return number.to_bytes(key.key_size // 8, "big")


def is_here() -> bool:
    """Nobody has gone away."""
    return False


def make_decryptor(counter: Counter, *, waiting_max: int) -> Decryptor:
    throttle = FailureThrottle(
        ManualClock(), failures_per_minute=20, networks_max=10, exempts_loopback=True
    )
    return Decryptor(throttle=throttle, threads=1, waiting_max=waiting_max, decryptions=counter)


def decrypt(key: rsa.RSAPrivateKey, counter: Counter, ciphertext: bytes) -> str:
    decryptor = make_decryptor(counter, waiting_max=4)
    try:
        return asyncio.run(decryptor.decrypt(key, ciphertext, None, is_here))
    finally:
        decryptor.close()


def test_the_secret_of_a_bearer_is_found(key: rsa.RSAPrivateKey, counter: Counter) -> None:
    header = b"Bearer " + base64.b64encode(encrypt(key, SECRET.encode()))
    ciphertext = parse_bearer(header, ciphertext_bytes=256)
    assert ciphertext is not None
    assert decrypt(key, counter, ciphertext) == SECRET
    assert counter.value == 1


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER "])
def test_the_scheme_is_read_in_any_case(scheme: bytes) -> None:
    assert parse_bearer(scheme + base64.b64encode(b"x" * 256), ciphertext_bytes=256) == b"x" * 256


GOOD = base64.b64encode(bytes(range(256)))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Basic " + GOOD,
        b"Bearer" + GOOD,
        b"Bearer  " + GOOD,
        GOOD,
        b"Bearer " + GOOD.replace(b"+", b" "),
        b"Bearer " + GOOD.replace(b"+", b"-").replace(b"/", b"_"),
        b"Bearer " + GOOD.rstrip(b"="),
        b"Bearer " + GOOD + b"=",
        b"Bearer " + GOOD[:-4],
        b"Bearer " + GOOD + GOOD,
        b"Bearer " + GOOD[:100] + b"\xc3\xa9" + GOOD[102:],
        b"Bearer " + b"%2B" + GOOD,
        b"Bearer 0123456789abcdef0123456789abcdef",
    ],
)
def test_what_cannot_be_a_ciphertext_is_refused_without_decrypting(header: bytes) -> None:
    assert parse_bearer(header, ciphertext_bytes=256) is None


def test_wrong_padding_decrypts_to_noise_and_not_to_an_error(
    key: rsa.RSAPrivateKey, counter: Counter
) -> None:
    blocks = [
        b"\x00\x01" + b"\xff" * 254,
        b"\x01\x02" + b"\xff" * 221 + b"\x00" + SECRET.encode(),
        b"\x00\x02" + b"\xff" * 254,
        b"\x00\x02\xff\x00" + b"x" * 252,
        b"\x00" * 255 + b"\x07",
    ]
    for block in blocks:
        ciphertext = encrypt_block(key, block)
        noise = decrypt(key, counter, ciphertext)
        assert noise == decrypt(key, counter, ciphertext)
        assert SECRET not in noise


def test_a_number_above_the_modulus_is_no_secret(key: rsa.RSAPrivateKey, counter: Counter) -> None:
    assert decrypt(key, counter, b"\xff" * 256) == ""


def test_right_and_wrong_padding_take_the_same_time(key: rsa.RSAPrivateKey) -> None:
    def median_of(ciphertexts: list[bytes]) -> float:
        durations = []
        for ciphertext in ciphertexts:
            began = time.perf_counter()
            key.decrypt(ciphertext, PKCS1v15())
            durations.append(time.perf_counter() - began)
        return statistics.median(durations)

    right = [encrypt(key, SECRET.encode()) for _ in range(300)]
    wrong = [encrypt_block(key, b"\x00\x01" + b"%254d" % number) for number in range(300)]
    # Taken in turns: whatever else the machine does then slows both.
    ratios = [
        median_of(right[start : start + 50]) / median_of(wrong[start : start + 50])
        for start in range(0, 300, 50)
    ]
    assert 0.8 < statistics.median(ratios) < 1.25


def test_the_library_in_use_rejects_implicitly(key: rsa.RSAPrivateKey) -> None:
    check_implicit_rejection(key)


class Doctored:
    """A key whose library does something else with wrong padding."""

    def __init__(self, key: rsa.RSAPrivateKey, decrypt: Callable[[bytes], bytes]) -> None:
        self._key = key
        self._decrypt = decrypt
        self.key_size = key.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        return self._key.public_key()

    def decrypt(self, ciphertext: bytes, _padding: Any) -> bytes:
        return self._decrypt(ciphertext)


def raise_for_wrong_padding(_ciphertext: bytes) -> bytes:
    raise ValueError("Decryption failed")


def answer_differently_each_time(_ciphertext: bytes) -> bytes:
    return str(time.perf_counter_ns()).encode()


@pytest.mark.parametrize("decrypt", [raise_for_wrong_padding, answer_differently_each_time])
def test_a_library_that_tells_wrong_padding_is_refused(
    key: rsa.RSAPrivateKey, decrypt: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(ImplicitRejectionMissing, match="implicit rejection"):
        check_implicit_rejection(Doctored(key, decrypt))  # type: ignore[arg-type]


def test_too_many_bearers_at_once_are_turned_away(key: rsa.RSAPrivateKey, counter: Counter) -> None:
    ciphertext = encrypt(key, SECRET.encode())

    async def run() -> list[Any]:
        decryptor = make_decryptor(counter, waiting_max=3)
        calls = [decryptor.decrypt(key, ciphertext, None, is_here) for _ in range(20)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert await decryptor.decrypt(key, ciphertext, None, is_here) == SECRET
        decryptor.close()
        return results

    results = asyncio.run(run())
    refused = sum(isinstance(result, DecryptionsBusy) for result in results)
    assert results.count(SECRET) + refused == 20
    # Six are started, and two of one network wait where there are three places.
    assert refused == 12


def test_a_private_key_is_read_from_pem(key: rsa.RSAPrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    assert load_private_key(pem).private_numbers() == key.private_numbers()
