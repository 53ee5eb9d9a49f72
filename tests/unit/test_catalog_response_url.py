"""Which response URLs a request may name."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pesalango_server.catalog.response_url import (
    URL_CHARACTERS_MAX,
    is_forbidden_address,
    is_usable_response_url,
    parse_address,
)


def is_usable(url: str, *, loopback_allowed: bool = False) -> bool:
    return is_usable_response_url(url, loopback_allowed=loopback_allowed)


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/results",
        "https://shop.example",
        "HTTPS://Shop.Example:8443/a?b=c&d=e",
        "http://8.8.8.8/results",
        "http://8.8.8.8:80/results",
        "http://[2606:4700::1111]/results",
        "https://shop.example./x#y",
        # What a name leads to is judged when the result is delivered.
        "http://localhost:9000/",
        "http://intranet/results",
    ],
)
def test_a_url_with_a_host_is_usable(url: str) -> None:
    assert is_usable(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.example/results",
        "//shop.example/results",
        "ftp://shop.example/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "httpss://shop.example/",
        "http:/shop.example",
        "http:///results",
        "http://",
        "http://?x",
        "http://:8080/",
        "http://user@/",
        "http://shop.example:99999/",
        "http://shop.example:port/",
        "http://shop.example:0/",
        "http://[::1/",
        "http://shop example/",
        "http://shop.example/a b",
        "http://shop.example/\n",
        "http://shop\t.example/",
        "http://shop.example\\@127.0.0.1/",
        "http://%31%32%37.0.0.1/",
        "http://ｓhop.example/",
        " http://shop.example/",
    ],
)
def test_what_is_no_url_with_a_host_is_refused(url: str) -> None:
    assert not is_usable(url, loopback_allowed=True)


def test_a_url_of_more_than_two_thousand_characters_is_refused() -> None:
    start = "https://shop.example/"
    assert URL_CHARACTERS_MAX == 2000
    assert is_usable(start + "x" * (2000 - len(start)))
    assert not is_usable(start + "x" * (2001 - len(start)))


LOOPBACK = [
    "127.0.0.1",
    "127.8.8.8",
    "127.0.0.1.",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7F.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "127.0.1",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "user@127.0.0.1",
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_a_loopback_address_is_usable_only_where_it_is_allowed(host: str) -> None:
    assert not is_usable(f"http://{host}/", loopback_allowed=False)
    assert is_usable(f"http://{host}/", loopback_allowed=True)
    assert is_usable(f"http://{host}:8080/results", loopback_allowed=True)


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",
        "0",
        "10.0.0.1",
        "10.1",
        "100.64.0.1",
        "100.100.100.200",
        "169.254.1.1",
        "169.254.169.254",
        "2852039166",
        "168.63.129.16",
        "172.16.0.1",
        "192.168.1.1",
        "0xc0a80101",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.1.2.3",
        "240.0.0.1",
        "255.255.255.255",
        "[::]",
        "[::7f00:1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "[fec0::1]",
        "[ff02::1]",
        "[2001:db8::1]",
        "[::ffff:10.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a00:1]",
        "[2002:a00:1::]",
        "[2001:0:1::1]",
    ],
)
def test_an_address_that_is_not_of_the_public_internet_is_refused_everywhere(host: str) -> None:
    assert not is_usable(f"http://{host}/", loopback_allowed=False)
    assert not is_usable(f"http://{host}/", loopback_allowed=True)


@pytest.mark.parametrize(
    "host", ["127.0.0.1.example", "1.2.3.4.5", "256.1.1.1", "08.8.8.8", "1.2.3.256", "a.1", ""]
)
def test_a_host_that_is_no_spelling_of_an_address_is_a_name(host: str) -> None:
    assert parse_address(host) is None


@given(st.ip_addresses(v=4))
def test_every_old_spelling_of_an_address_means_that_address(
    address: ipaddress.IPv4Address,
) -> None:
    number = int(address)
    first, second, third, fourth = address.packed
    for spelling in (
        str(address),
        f"{address}.",
        str(number),
        hex(number),
        f"0{number:o}",
        f"{first}.{number & 0xFFFFFF}",
        f"{first}.{second}.{number & 0xFFFF}",
        f"0x{first:x}.0{second:o}.{third}.0x{fourth:X}",
    ):
        assert parse_address(spelling) == address


@given(st.ip_addresses())
def test_no_private_or_multicast_address_is_ever_allowed(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if address.is_private and not address.is_loopback:
        mapped = getattr(address, "ipv4_mapped", None)
        if mapped is None:
            assert is_forbidden_address(address, loopback_allowed=True)
    if address.is_multicast:
        assert is_forbidden_address(address, loopback_allowed=True)


@given(st.text(max_size=60))
def test_any_text_is_judged_without_a_fault(text: str) -> None:
    assert is_usable(f"http://{text}") in {True, False}
