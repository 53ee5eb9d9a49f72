"""Origins and trusted sources of an application."""

from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from pesalango_server.admin.checks import check_origins, check_sources
from pesalango_server.applications.model import Application, ApplicationStatus
from pesalango_server.gateway.access import admits_origin, admits_source, host_of_origin
from pesalango_server.http.addresses import parse_address

APPLICATION = Application(
    id=1,
    name="shop",
    status=ApplicationStatus.ACTIVE,
    is_hidden=False,
    products=frozenset(),
    origins=frozenset({"shop.example"}),
    sources=(),
    organisations=frozenset(),
    markets=frozenset(),
    session_life_s=3_600,
    activation_delay_ms=0,
    environments={},
)


@pytest.mark.parametrize(
    "origin",
    [
        "shop.example",
        "https://shop.example",
        "http://SHOP.Example:8443",
        "Shop.Example:80",
        "app+x://shop.example:1",
        "shop.example:",
    ],
)
def test_scheme_port_and_case_of_an_origin_do_not_count(origin: str) -> None:
    assert admits_origin(APPLICATION, origin)


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "",
        "evil.example",
        "shop.example.evil.example",
        "https://shop.example@evil.example",
        "https://shop.example/path",
        "https://evil.example#shop.example",
        "shop.example:80:90",
        " shop.example",
        "shop.example\x00",
    ],
)
def test_another_origin_is_refused(origin: str) -> None:
    assert not admits_origin(APPLICATION, origin)


@pytest.mark.parametrize("origin", ["*", "null", "anything at all", "https://x:y:z"])
def test_a_star_in_the_application_admits_any_value(origin: str) -> None:
    assert admits_origin(replace(APPLICATION, origins=frozenset({"*"})), origin)


def test_an_ipv6_origin_keeps_its_brackets() -> None:
    assert host_of_origin("https://[2001:DB8::1]:443") == "[2001:db8::1]"


SPELLINGS = {
    "[2001:db8::1]": ("2001:db8::1", "[2001:DB8:0:0:0::1]", "2001:0db8:0000::0001"),
    "198.51.100.7": ("198.51.100.7", "::ffff:198.51.100.7", "[::FFFF:c633:6407]"),
}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(ours, theirs) for all_ in SPELLINGS.values() for ours in all_ for theirs in all_],
)
def test_an_address_is_the_same_in_every_spelling(ours: str, theirs: str) -> None:
    application = replace(
        APPLICATION, origins=frozenset(check_origins([ours])), sources=check_sources([ours])
    )
    assert admits_origin(application, theirs)
    address = parse_address(theirs)
    assert address is not None
    assert admits_source(application, address)
    # In a URL an IPv6 address stands in brackets, with or without a port after it.
    bare = theirs.strip("[]")
    host = f"[{bare}]" if ":" in bare else bare
    assert admits_origin(application, f"https://{host}")
    assert admits_origin(application, f"http://{host}:8443")


@pytest.mark.parametrize("shown", SPELLINGS)
def test_an_address_is_kept_in_one_spelling(shown: str) -> None:
    spellings = list(SPELLINGS[shown])
    assert check_origins(spellings) == (shown,)
    assert check_sources(spellings) == (shown.strip("[]"),)


def test_a_range_of_ipv4_inside_ipv6_holds_the_ipv4_addresses() -> None:
    assert check_sources(["::ffff:198.51.100.0/120"]) == ("198.51.100.0/24",)
    application = replace(APPLICATION, sources=("::ffff:198.51.100.0/120",))
    assert admits_source(application, ip_address("198.51.100.7"))
    assert not admits_source(application, ip_address("198.51.101.7"))


def test_no_list_of_sources_admits_all() -> None:
    assert admits_source(APPLICATION, ip_address("198.51.100.7"))
    assert admits_source(APPLICATION, None)


@pytest.mark.parametrize(
    ("address", "admitted"),
    [
        ("198.51.100.7", True),
        ("198.51.100.8", False),
        ("203.0.113.200", True),
        ("2001:db8::5", True),
        ("2001:db9::5", False),
    ],
)
def test_sources_are_addresses_and_ranges(address: str, admitted: bool) -> None:
    application = replace(APPLICATION, sources=("198.51.100.7", "203.0.113.0/24", "2001:db8::/32"))
    assert admits_source(application, ip_address(address)) is admitted


def test_a_caller_without_an_address_is_in_no_list_of_sources() -> None:
    assert not admits_source(replace(APPLICATION, sources=("0.0.0.0/0",)), None)
