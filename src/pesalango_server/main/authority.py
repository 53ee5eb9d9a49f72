"""A local authority and the certificates that it signs, for tests and networks of one's own."""

import ipaddress
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pesalango_server.main.files import write_whole

AUTHORITY_DAYS: Final = 3_650
CERTIFICATE_DAYS_MAX: Final = 825
"""Clients of some systems take no certificate that lasts longer, whoever signed it."""
NAMES_MAX: Final = 100

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
"""In every certificate, so that programs on the server's own machine can use it too."""

_NAME: Final = re.compile(
    r"(?:\*\.)?(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
    r"(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)
# The clocks of clients are not ours.
_BACKDATED: Final = timedelta(days=1)


class AuthorityFailed(Exception):
    """A certificate cannot be made; the message says what to do."""


class Issued(msgspec.Struct, frozen=True):
    """What there is now; `is_new_authority` where the authority was made, too."""

    authority: Path
    certificate: Path
    key: Path
    names: tuple[str, ...]
    until: datetime
    is_new_authority: bool


class _Authority(msgspec.Struct, frozen=True):
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def issue_certificate(directory: Path, names: Sequence[str], *, days: int) -> Issued:
    """Make a certificate for names and addresses; the directory's authority, if it has none yet.

    `server.pem` (with the authority behind it) and `server.key` are replaced where the same
    authority made them. Raises `AuthorityFailed`.
    """
    all_names = tuple(dict.fromkeys([*(normalise_name(name) for name in names), *LOOPBACK]))
    if len(all_names) > NAMES_MAX:
        raise AuthorityFailed(f"a certificate is for at most {NAMES_MAX} names and addresses")
    paths = {name: directory / name for name in ("authority.pem", "authority.key", "server.pem")}
    now = datetime.now(UTC)
    try:
        authority = _read_authority(paths["authority.pem"], paths["authority.key"], now)
        is_new = authority is None
        if authority is None:
            _refuse_foreign(paths["server.pem"], None)
            authority = _make_authority(now)
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(
                paths["authority.key"], _encode_key(authority.key), mode=0o600, replaces=False
            )
            write_whole(paths["authority.pem"], _encode(authority.certificate), mode=0o644)
        else:
            _refuse_foreign(paths["server.pem"], authority.certificate)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _sign(authority, key, all_names, now, days)
        chain = _encode(certificate) + _encode(authority.certificate)
        write_whole(directory / "server.key", _encode_key(key), mode=0o600)
        write_whole(paths["server.pem"], chain, mode=0o644)
    except OSError as error:
        place = error.filename or directory
        raise AuthorityFailed(f"{place} cannot be used: {error.strerror or error}") from error
    return Issued(
        authority=paths["authority.pem"],
        certificate=paths["server.pem"],
        key=directory / "server.key",
        names=all_names,
        until=certificate.not_valid_after_utc,
        is_new_authority=is_new,
    )


def normalise_name(text: str) -> str:
    """A host name in lower case, or an address in its shortest form. Raises `AuthorityFailed`."""
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        pass
    name = text.lower()
    if _NAME.fullmatch(name) is None or name.rpartition(".")[2].isdigit():
        raise AuthorityFailed(
            f"{text} is neither a host name (letters of ASCII, digits, - and dots, no port) nor an "
            "address"
        )
    return name


def _read_authority(path: Path, key_path: Path, now: datetime) -> _Authority | None:
    """The authority that is there, whole; None where nothing of one is."""
    if not path.exists() and not key_path.exists():
        return None
    for one, other in ((path, key_path), (key_path, path)):
        if not one.exists():
            raise AuthorityFailed(
                f"there is {other} without {one.name}: put that back, or name another --directory; "
                "an authority is never overwritten"
            )
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise AuthorityFailed(
            f"{path} and {key_path} are not an authority that this command made; name another "
            "--directory, an authority is never overwritten"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != (
        certificate.public_key()
    ):
        raise AuthorityFailed(
            f"{key_path} is not the key of {path}; name another --directory, an authority is never "
            "overwritten"
        )
    if certificate.not_valid_after_utc < now:
        raise AuthorityFailed(
            f"the authority {path} has been out of date since "
            f"{certificate.not_valid_after_utc:%Y-%m-%d}; name another --directory, which makes "
            "another one, and hand that to clients"
        )
    return _Authority(certificate, key)


def _refuse_foreign(path: Path, authority: x509.Certificate | None) -> None:
    """A certificate that somebody else made is not ours to replace."""
    if not path.exists():
        return
    try:
        certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
        if authority is not None:
            certificate.verify_directly_issued_by(authority)
            return
    except (ValueError, TypeError, InvalidSignature):
        pass
    raise AuthorityFailed(f"{path} was not made by this authority; name another --directory")


def _make_authority(now: datetime) -> _Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    # Of two authorities with one name, clients may try the wrong one alone.
    name = _make_name(f"Pesalango local authority {secrets.token_hex(4)}")
    public_key = key.public_key()
    usage = _make_key_usage(signs_certificates=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
    certificate = (
        _start_certificate(name, name, public_key, now, now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return _Authority(certificate, key)


def _sign(
    authority: _Authority,
    key: ec.EllipticCurvePrivateKey,
    names: Sequence[str],
    now: datetime,
    days: int,
) -> x509.Certificate:
    issuer = authority.certificate
    until = min(now + timedelta(days=days), issuer.not_valid_after_utc)
    known = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    issuer_identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known)
    public_key = key.public_key()
    # A common name has at most 64 characters, and no client goes by it any more.
    name = _make_name(next((name for name in names if len(name) <= 64), LOOPBACK[0]))
    return (
        _start_certificate(name, issuer.subject, public_key, now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_make_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(issuer_identifier, critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _start_certificate(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    now: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(until)
    )


def _make_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _make_key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _encode(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _encode_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
