"""The server's certificate: read from its files, and judged.

Only what speaks TLS imports this: the library behind it takes a while to load.
"""

import contextlib
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pesalango_server.http.tls import TlsMaterial, TlsUnusable, make_server_context

CERTIFICATE_BYTES_MAX: Final = 32_768
KEY_BYTES_MAX: Final = 16_384


class CertificateFacts(msgspec.Struct, frozen=True):
    """What a person wants to know about a certificate; `names` are host names and addresses."""

    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    der: bytes

    def find_fault(self, now: datetime) -> str | None:
        """Why clients that look at dates refuse it now; None where they do not."""
        if now > self.not_after:
            return f"it has been out of date since {self.not_after:%Y-%m-%d %H:%M} UTC"
        if now < self.not_before:
            return f"it is not valid before {self.not_before:%Y-%m-%d %H:%M} UTC"
        return None


def read_material(certificate_file: str, key_file: str) -> TlsMaterial:
    """Certificate and key of two files, which belong together. Raises `TlsUnusable`."""
    certificate = _read(certificate_file, CERTIFICATE_BYTES_MAX, "the certificate")
    key = _read(key_file, KEY_BYTES_MAX, "the key")
    try:
        leaf = x509.load_pem_x509_certificates(certificate)[0]
        certified = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except ValueError as error:
        raise TlsUnusable(f"{certificate_file} holds no certificate in PEM") from error
    except Exception as error:
        # Of a kind of key that the library does not know.
        raise TlsUnusable(f"{certificate_file} holds a certificate of an unknown kind") from error
    if _read_public_key(key, key_file) != certified:
        raise TlsUnusable(
            f"the key in {key_file} is not that of the certificate {certificate_file}"
        )
    material = TlsMaterial(certificate, key)
    make_server_context(material, source=f"{certificate_file} and {key_file}")
    return material


def _read(path: str, bytes_max: int, what: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(bytes_max + 1)
    except OSError as error:
        raise TlsUnusable(f"{path}, {what}, cannot be read: {error.strerror or error}") from error
    if len(content) > bytes_max:
        raise TlsUnusable(f"{path}, {what}, has more than {bytes_max} bytes")
    return content


def _read_public_key(key: bytes, key_file: str) -> bytes:
    try:
        private = serialization.load_pem_private_key(key, None)
    except TypeError:
        raise TlsUnusable(
            f"the key in {key_file} has a password, for which nobody could be asked at a restart; "
            "take it off (openssl pkey) and protect the file by its mode"
        ) from None
    except Exception:  # noqa: BLE001 - many kinds, of which none is to repeat what is in the file
        raise TlsUnusable(f"{key_file} holds no private key in PEM") from None
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def describe_certificate(certificate: bytes) -> CertificateFacts:
    """The facts of the first certificate in a PEM that was read before."""
    leaf = x509.load_pem_x509_certificates(certificate)[0]
    names: tuple[str, ...] = ()
    # A certificate with no name, or with one that cannot be read, is for its owner to explain.
    with contextlib.suppress(x509.ExtensionNotFound, ValueError):
        alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = (
            *alternatives.get_values_for_type(x509.DNSName),
            *(str(address) for address in alternatives.get_values_for_type(x509.IPAddress)),
        )
    return CertificateFacts(
        names=names,
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        der=leaf.public_bytes(Encoding.DER),
    )
