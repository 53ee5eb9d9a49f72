"""A local authority: made once, used again, never overwritten."""

import stat
from pathlib import Path

import pytest

from pesalango_server.http.certificates import describe_certificate
from pesalango_server.main.authority import AuthorityFailed, issue_certificate, normalise_name
from tests.unit.tls_server import issue


def list_modes(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}


def test_keys_are_for_their_owner_alone_and_nothing_else_is_left(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "tls"
    issued = issue(directory, "gateway.example")
    assert issued.is_new_authority
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    modes = list_modes(directory)
    assert set(modes) == {"authority.pem", "authority.key", "server.pem", "server.key"}
    assert modes["authority.key"] == modes["server.key"] == 0o600


def test_another_certificate_comes_from_the_same_authority(tmp_path: Path) -> None:
    first = issue(tmp_path, "a.example")
    authority = first.authority.read_bytes()
    certificate, key = first.certificate.read_bytes(), first.key.read_bytes()

    second = issue(tmp_path, "b.example")

    assert not second.is_new_authority
    assert second.authority.read_bytes() == authority
    assert second.certificate.read_bytes() != certificate
    assert second.key.read_bytes() != key
    assert second.certificate.read_bytes().endswith(authority)


def test_a_certificate_is_for_the_names_given_and_for_this_machine(tmp_path: Path) -> None:
    issued = issue(tmp_path, "Gateway.Example", "*.shop.example", "[2001:db8::1]", "localhost")
    names = ("gateway.example", "*.shop.example", "2001:db8::1", "localhost", "127.0.0.1", "::1")
    assert issued.names == names
    assert set(describe_certificate(issued.certificate.read_bytes()).names) == set(names)


@pytest.mark.parametrize(
    "text",
    [
        *("", "a b", "gateway.example:443", "https://gateway.example", "-a.example", "a..example"),
        *("1.2.3", "1.2.3.4.5", "a.*.example", "süd.example", "a" * 64, "a." * 127 + "example"),
    ],
)
def test_what_is_neither_name_nor_address_is_refused(text: str) -> None:
    with pytest.raises(AuthorityFailed, match="neither a host name"):
        normalise_name(text)


@pytest.mark.parametrize("lost", ["authority.key", "authority.pem"])
def test_half_an_authority_is_left_as_it_is(tmp_path: Path, lost: str) -> None:
    issue(tmp_path, "a.example")
    (tmp_path / lost).unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    with pytest.raises(AuthorityFailed, match="never overwritten"):
        issue(tmp_path, "a.example")

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_is_no_authority_is_left_as_it_is(tmp_path: Path) -> None:
    issue(tmp_path / "other", "a.example")
    issue(tmp_path, "a.example")
    key = (tmp_path / "other" / "authority.key").read_bytes()
    for content in (b"junk", key):
        (tmp_path / "authority.key").write_bytes(content)
        with pytest.raises(AuthorityFailed, match="never overwritten"):
            issue(tmp_path, "a.example")
        assert (tmp_path / "authority.key").read_bytes() == content


def test_a_certificate_of_somebody_elses_is_not_replaced(tmp_path: Path) -> None:
    foreign = issue(tmp_path / "other", "a.example").certificate.read_bytes()
    (tmp_path / "server.pem").write_bytes(foreign)

    for _ in range(2):
        with pytest.raises(AuthorityFailed, match="was not made by this authority"):
            issue(tmp_path, "a.example")
        issue(tmp_path / "third", "a.example")
        for name in ("authority.pem", "authority.key"):
            (tmp_path / name).write_bytes((tmp_path / "third" / name).read_bytes())

    assert (tmp_path / "server.pem").read_bytes() == foreign


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(AuthorityFailed, match=r"file.* cannot be used: Not a directory"):
        issue_certificate(tmp_path / "file" / "tls", ["a.example"], days=1)
