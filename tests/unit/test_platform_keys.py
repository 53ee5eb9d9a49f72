"""Which private keys an environment may have."""

from itertools import count
from math import gcd

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from pesalango_server.applications.commands import KeepPlatformKey, KeepSecret
from pesalango_server.applications.platform_keys import (
    PlatformKeyUnusable,
    check_platform_key,
    encode_public_key,
    make_platform_key,
)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2_048)


def encode(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> str:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption()).decode()


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_key_is_kept_in_one_form_without_what_stood_around_it(
    key: rsa.RSAPrivateKey, form: PrivateFormat
) -> None:
    given = f"Bag Attributes\n  friendlyName: gateway\n{encode(key, form)}\n"

    assert check_platform_key(given) == encode(key)


def test_a_key_that_was_made_can_be_used() -> None:
    made = make_platform_key(2_048)

    assert check_platform_key(made) == made


def test_the_public_key_is_one_line_of_base64_of_its_der_form(key: rsa.RSAPrivateKey) -> None:
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    assert encode_public_key(encode(key)) == "".join(pem.splitlines()[1:-1])


@pytest.mark.parametrize(
    ("bits", "is_usable"), [(1_024, False), (2_040, False), (2_050, False), (2_056, True)]
)
def test_a_key_has_bounds_and_whole_bytes(bits: int, is_usable: bool) -> None:
    pem = encode(rsa.generate_private_key(65537, bits))

    if is_usable:
        assert check_platform_key(pem) == pem
    else:
        with pytest.raises(PlatformKeyUnusable, match=f"the key has {bits} bits"):
            check_platform_key(pem)


def test_what_is_no_key_of_ours_is_told_apart(key: rsa.RSAPrivateKey) -> None:
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    cases = {
        "": "this is no private key in PEM",
        "\ud800": "this is no private key in PEM",
        public.decode(): "this is no private key in PEM",
        encode(ec.generate_private_key(ec.SECP256R1())): "this is no RSA key",
        encode(key, encryption=BestAvailableEncryption(b"pw")): "protected by a password",
    }
    for pem, reason in cases.items():
        with pytest.raises(PlatformKeyUnusable, match=reason):
            check_platform_key(pem)


@pytest.mark.parametrize("name", ["d", "dmp1", "dmq1", "iqmp"])
def test_a_damaged_key_is_refused(key: rsa.RSAPrivateKey, name: str) -> None:
    numbers = key.private_numbers()
    fields = {each: getattr(numbers, each) for each in ("p", "q", "d", "dmp1", "dmq1", "iqmp")}
    fields[name] ^= 1 << 100
    damaged = rsa.RSAPrivateNumbers(public_numbers=numbers.public_numbers, **fields)
    pem = encode(damaged.private_key(unsafe_skip_rsa_key_validation=True))

    with pytest.raises(PlatformKeyUnusable, match="do not belong together"):
        check_platform_key(pem)


def test_a_key_whose_factor_is_no_prime_is_refused(key: rsa.RSAPrivateKey) -> None:
    numbers = key.private_numbers()
    q, e = numbers.q, 65_537
    # The next odd multiples of three, until one has an exponent to decrypt with.
    multiples = count(numbers.p + (2 if numbers.p % 3 == 1 else 4), 6)
    p = next(p for p in multiples if gcd(e, (p - 1) * (q - 1)) == gcd(p, q) == 1)
    d = pow(e, -1, (p - 1) * (q - 1))
    composite = rsa.RSAPrivateNumbers(
        *(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p)), rsa.RSAPublicNumbers(e, p * q)
    )
    pem = encode(composite.private_key(unsafe_skip_rsa_key_validation=True))

    with pytest.raises(PlatformKeyUnusable, match="do not belong together"):
        check_platform_key(pem)


def test_no_command_shows_its_secret(key: rsa.RSAPrivateKey) -> None:
    assert "PRIVATE" not in repr(KeepPlatformKey(0, "ann", "sandbox", encode(key)))
    assert "c0ffee" not in repr(KeepSecret(0, "ann", "ids", "c0ffee"))
