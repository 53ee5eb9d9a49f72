"""Who is at the other end, also behind proxies."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from pesalango_server.http.addresses import (
    PeerFinder,
    is_within,
    neighbourhood_of,
    normalise_host,
    parse_address,
    parse_network,
    parse_networks,
)


def scope(peer: str | None, *forwarded: str) -> dict[str, Any]:
    return {
        "client": None if peer is None else (peer, 40_000),
        "headers": [(b"host", b"x"), *[(b"x-forwarded-for", text.encode()) for text in forwarded]],
    }


def find(proxies: tuple[str, ...], peer: str | None, *forwarded: str) -> str | None:
    address = PeerFinder(proxies).find(scope(peer, *forwarded))
    return None if address is None else str(address)


def test_the_peer_of_the_socket_is_the_caller() -> None:
    assert find((), "198.51.100.7") == "198.51.100.7"


def test_nobody_is_believed_who_is_no_trusted_proxy() -> None:
    assert find((), "198.51.100.7", "10.1.1.1") == "198.51.100.7"
    assert find(("10.0.0.0/8",), "198.51.100.7", "10.1.1.1") == "198.51.100.7"


def test_a_trusted_proxy_says_who_called() -> None:
    assert find(("10.0.0.0/8",), "10.0.0.1", "198.51.100.7") == "198.51.100.7"


def test_what_the_caller_itself_claimed_is_not_believed() -> None:
    assert find(("10.0.0.0/8",), "10.0.0.1", "203.0.113.9, 198.51.100.7") == "198.51.100.7"
    assert find(("10.0.0.0/8",), "10.0.0.1", "203.0.113.9", "198.51.100.7") == "198.51.100.7"


def test_a_chain_of_trusted_proxies_is_followed_to_its_start() -> None:
    found = find(("10.0.0.0/8",), "10.0.0.1", "203.0.113.9, 198.51.100.7, 10.0.0.2, 10.0.0.3")
    assert found == "198.51.100.7"


@pytest.mark.parametrize("junk", ["", "unknown", "198.51.100.7:80", "_hidden", "a" * 5_000])
def test_an_address_that_cannot_be_read_leaves_the_proxy_as_caller(junk: str) -> None:
    assert find(("10.0.0.0/8",), "10.0.0.1", junk) == "10.0.0.1"


def test_a_socket_without_an_address_has_no_caller() -> None:
    assert find(("10.0.0.0/8",), None, "198.51.100.7") is None


def test_an_ipv4_address_inside_an_ipv6_one_is_the_ipv4_one() -> None:
    assert str(parse_address("::ffff:198.51.100.7")) == "198.51.100.7"
    assert find(("10.0.0.0/8",), "::ffff:10.0.0.1", "198.51.100.7") == "198.51.100.7"


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("Shop.Example", "shop.example"),
        ("2001:0DB8::0:1", "[2001:db8::1]"),
        ("[2001:0DB8::0:1]", "[2001:db8::1]"),
        ("[::ffff:198.51.100.7]", "198.51.100.7"),
        ("198.51.100.7", "198.51.100.7"),
        ("[198.51.100.7]", "[198.51.100.7]"),
        ("[]", "[]"),
        ("", ""),
        ("A" * 5_000, "a" * 5_000),
    ],
)
def test_a_host_has_one_spelling_in_which_it_is_compared(host: str, shown: str) -> None:
    assert normalise_host(host) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("198.51.100.7", "198.51.100.7/32"),
        ("[2001:DB8::]/32", "2001:db8::/32"),
        ("::ffff:198.51.100.7", "198.51.100.7/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ],
)
def test_a_network_is_of_its_own_kind(text: str, shown: str) -> None:
    assert str(parse_network(text, strict=True)) == shown


@pytest.mark.parametrize(
    "text", ["", "/", "198.51.100.7/24", "198.51.100.7/", "shop.example", "::1/1/1", "[::1"]
)
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_network(text, strict=True)


def test_networks_hold_addresses_of_their_own_kind_alone() -> None:
    networks = parse_networks(("198.51.100.0/24", "2001:db8::/32", "203.0.113.9"))
    assert is_within(ip_address("198.51.100.200"), networks)
    assert is_within(ip_address("2001:db8:1::1"), networks)
    assert is_within(ip_address("203.0.113.9"), networks)
    assert not is_within(ip_address("203.0.113.8"), networks)
    assert not is_within(ip_address("::1"), networks)


def test_a_neighbourhood_is_a_24_or_a_64() -> None:
    assert neighbourhood_of(ip_address("198.51.100.7")) == ip_network("198.51.100.0/24")
    assert neighbourhood_of(ip_address("2001:db8::1:2:3:4")) == ip_network("2001:db8::/64")
