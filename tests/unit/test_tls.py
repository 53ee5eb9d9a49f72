"""Certificate and key from files: what can be served with, and what is said about the rest."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from cryptography.hazmat.primitives import serialization

from pesalango_server.http.certificates import describe_certificate, read_material
from pesalango_server.http.tls import TlsUnusable, choose_name, make_server_context
from tests.unit.tls_server import issue


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    issued = issue(tmp_path, "gateway.example", "192.0.2.7")
    return issued.certificate, issued.key


def test_certificate_and_key_that_belong_together_can_be_served_with(
    files: tuple[Path, Path],
) -> None:
    open_before = psutil.Process().num_fds()
    material = read_material(*map(str, files))
    make_server_context(material)
    assert psutil.Process().num_fds() == open_before
    # It travels to the workers, and may end up in a message.
    assert repr(material) == "TlsMaterial(***)"


def remove(file: Path) -> None:
    file.unlink()


def make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def make_empty(file: Path) -> None:
    file.write_bytes(b"")


def make_large(file: Path) -> None:
    file.write_bytes(b"\n" * 32_769)


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def protect(key: Path) -> None:
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    protected = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    key.write_bytes(protected)


def replace_key(key: Path) -> None:
    key.write_bytes(issue(key.parent / "other", "gateway.example").key.read_bytes())


BREAKS: dict[str, Callable[[Path], None]] = {
    "server.pem, the certificate, cannot be read: No such file": remove,
    "server.pem, the certificate, cannot be read: Is a directory": make_folder,
    "server.pem, the certificate, has more than 32768 bytes": make_large,
    "server.pem holds no certificate in PEM": make_empty,
    "server.pem holds no certificate": cut_short,
    "server.key, the key, cannot be read: No such file": remove,
    "server.key holds no private key in PEM": cut_short,
    "server.key has a password": protect,
    "server.key is not that of the certificate": replace_key,
}


@pytest.mark.parametrize("told", BREAKS)
def test_what_cannot_be_served_with_is_told_in_one_sentence(
    told: str, files: tuple[Path, Path]
) -> None:
    BREAKS[told](files[0].parent / told.partition(" ")[0].rstrip(","))
    with pytest.raises(TlsUnusable) as failed:
        read_material(*map(str, files))
    assert told in str(failed.value)
    assert "\n" not in str(failed.value)
    assert "BEGIN" not in str(failed.value)


def test_dates_are_judged_as_clients_judge_them(files: tuple[Path, Path]) -> None:
    facts = describe_certificate(files[0].read_bytes())
    now = datetime.now(UTC)
    assert facts.find_fault(now) is None
    assert "out of date since" in (facts.find_fault(now + timedelta(days=31)) or "")
    assert "not valid before" in (facts.find_fault(now - timedelta(days=2)) or "")


@pytest.mark.parametrize(
    ("names", "host", "chosen"),
    [
        (("a.example", "127.0.0.1"), "0.0.0.0", "127.0.0.1"),
        (("a.example", "localhost"), "127.0.0.1", "localhost"),
        (("a.example", "::1"), "::", "::1"),
        (("a.example", "192.0.2.7", "127.0.0.1"), "192.0.2.7", "192.0.2.7"),
        (("*.example", "a.example"), "0.0.0.0", "a.example"),
        (("*.example",), "0.0.0.0", None),
        ((), "127.0.0.1", None),
    ],
)
def test_a_client_of_this_machine_gets_a_name_that_the_certificate_has(
    names: tuple[str, ...], host: str, chosen: str | None
) -> None:
    assert choose_name(names, host) == chosen
