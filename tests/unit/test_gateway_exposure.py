"""Where the operator's API may be served without encryption."""

import pytest

from pesalango_server.gateway.exposure import ExposedInTheClear, check_exposure

EVERYWHERE = ("0.0.0.0", "::", "[::]", "198.51.100.7", "gateway.example")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "[::1]", "localhost"])
def test_this_machine_alone_needs_no_encryption(host: str) -> None:
    assert check_exposure(host, is_tls=False, trusted_proxies=(), is_demonstration=False) is None


@pytest.mark.parametrize("host", EVERYWHERE)
def test_other_machines_need_encryption_where_money_counts(host: str) -> None:
    with pytest.raises(ExposedInTheClear, match="trusted_proxies"):
        check_exposure(host, is_tls=False, trusted_proxies=(), is_demonstration=False)


@pytest.mark.parametrize("host", EVERYWHERE)
def test_a_trusted_proxy_brings_the_encryption(host: str) -> None:
    assert (
        check_exposure(host, is_tls=False, trusted_proxies=("10.0.0.1",), is_demonstration=False)
        is None
    )


@pytest.mark.parametrize("host", EVERYWHERE)
def test_a_demonstration_is_served_with_a_warning(host: str) -> None:
    warning = check_exposure(host, is_tls=False, trusted_proxies=(), is_demonstration=True)
    assert warning is not None
    assert host in warning


@pytest.mark.parametrize("host", EVERYWHERE)
def test_tls_of_our_own_is_encryption(host: str) -> None:
    for is_demonstration in (False, True):
        exposure = check_exposure(
            host, is_tls=True, trusted_proxies=(), is_demonstration=is_demonstration
        )
        assert exposure is None
