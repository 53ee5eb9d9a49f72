"""Where the operator's API may be served without encryption, and to whom."""

import pytest

from pesalango_server.gateway.exposure import (
    ExposedInTheClear,
    TrustedPeers,
    check_exposure,
    is_exposed,
)

EVERYWHERE = ("0.0.0.0", "::", "[::]", "198.51.100.7", "gateway.example")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "[::1]", "localhost"])
def test_this_machine_alone_needs_no_encryption(host: str) -> None:
    assert not is_exposed(host, is_tls=False)
    assert check_exposure(host, is_tls=False, trusted_proxies=(), is_demonstration=False) is None


@pytest.mark.parametrize("host", EVERYWHERE)
def test_other_machines_need_encryption_where_money_counts(host: str) -> None:
    assert is_exposed(host, is_tls=False)
    with pytest.raises(ExposedInTheClear, match="trusted_proxies"):
        check_exposure(host, is_tls=False, trusted_proxies=(), is_demonstration=False)


@pytest.mark.parametrize("host", EVERYWHERE)
def test_a_trusted_proxy_brings_the_encryption(host: str) -> None:
    assert (
        check_exposure(host, is_tls=False, trusted_proxies=("10.0.0.1",), is_demonstration=False)
        is None
    )


@pytest.mark.parametrize(
    ("trusted_proxies", "told"),
    [((), "admin API to nobody"), (("10.0.0.1",), "admin API to the trusted proxies alone")],
)
@pytest.mark.parametrize("host", EVERYWHERE)
def test_a_demonstration_is_served_with_a_warning(
    host: str, trusted_proxies: tuple[str, ...], told: str
) -> None:
    warning = check_exposure(
        host, is_tls=False, trusted_proxies=trusted_proxies, is_demonstration=True
    )
    assert warning is not None
    assert warning.startswith(f"{host} can be reached")
    assert warning.endswith(told)


@pytest.mark.parametrize("host", EVERYWHERE)
def test_tls_of_our_own_is_encryption(host: str) -> None:
    assert not is_exposed(host, is_tls=True)
    for is_demonstration in (False, True):
        exposure = check_exposure(
            host, is_tls=True, trusted_proxies=(), is_demonstration=is_demonstration
        )
        assert exposure is None


@pytest.mark.parametrize(
    ("trusted_proxies", "peer", "is_trusted"),
    [
        ((), "127.0.0.1", False),
        (("10.0.0.0/8",), "10.1.2.3", True),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("10.0.0.0/8",), "127.0.0.1", False),
        (("10.0.0.0/8", "fd00::2"), "fd00::2", True),
        (("fd00::2",), "fd00::3", False),
        (("10.0.0.0/8",), None, False),
    ],
)
def test_a_trusted_peer_is_known_by_its_socket_and_by_no_header(
    trusted_proxies: tuple[str, ...], peer: str | None, *, is_trusted: bool
) -> None:
    scope = {
        "client": None if peer is None else (peer, 40_000),
        "headers": [(b"x-forwarded-for", b"10.1.2.3"), (b"forwarded", b"for=10.1.2.3")],
    }
    assert TrustedPeers(trusted_proxies).hold(scope) is is_trusted
