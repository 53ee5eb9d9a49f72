"""Where requests go, and how what breaks on the way is told apart.

The one question that counts: is it certain that nothing left?
"""

import functools
import hashlib
import math
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx2

from pesalango._answers import Reply
from pesalango._catalog import MARKETS
from pesalango._errors import CallError, ConfigurationError, NotSentError, OutcomeUnknownError
from pesalango._model import Environment, Market
from pesalango._session import load_public_key, make_bearer
from pesalango._version import __version__

KEEP_ALIVE_S: Final = 4.0
"""Below the 5 s after which many servers close a connection that nobody uses: a request must not
meet its end, for then nobody knows whether it was read."""
CONNECT_TIMEOUT_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 1 << 20
"""The gateway's answers have some hundred bytes."""
CONNECTIONS_MAX: Final = 256
_USER_AGENT = f"pesalango/{__version__}"

Clock = Callable[[], float]

_NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.InvalidURL,
)


class Platform:
    """One gateway, environment and market, and how this caller is known there.

    Raises `ConfigurationError` for what cannot be used.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        public_key: str,
        market: str,
        environment: Environment,
        origin: str,
        timeout_s: float,
        former_api_keys: Sequence[str] = (),
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigurationError(
                f"base_url is no address: {base_url!r}; it looks like https://gateway.example"
            )
        if parts.path.rstrip("/").endswith(("/sandbox", "/openapi")) or "/ipg/" in parts.path:
            raise ConfigurationError(
                "base_url is what comes before /sandbox or /openapi, which the client adds itself"
            )
        if parts.query or parts.fragment or parts.username or parts.password:
            raise ConfigurationError("base_url takes scheme, host, port and a path, nothing else")
        if market not in MARKETS:
            raise ConfigurationError(f"market {market!r} is none of {', '.join(MARKETS)}")
        if environment not in {"sandbox", "openapi"}:
            raise ConfigurationError(f"environment {environment!r} is neither sandbox nor openapi")
        if not api_key or not api_key.isascii() or not api_key.isprintable():
            raise ConfigurationError("api_key is empty, or holds what no key has")
        if not origin or not origin.isascii() or not origin.isprintable():
            raise ConfigurationError("origin is empty, or holds what no header can")
        check_seconds("timeout", timeout_s)
        self.base_url = base_url.rstrip("/")
        self.api_key = api_key
        self.market: Market = MARKETS[market]
        self.environment = environment
        self.origin = origin
        self.timeout_s = timeout_s
        self.root = f"{self.base_url}/{environment}/ipg/v2/{market}/"
        self._key = load_public_key(public_key)
        numbers = self._key.public_numbers()
        self.digest = hashlib.sha256(
            f"{numbers.n:x} {numbers.e:x} {environment} {market}".encode()
        ).hexdigest()[:32]
        """Names the platform in a journal. Not its address: that may change, and the ledger stays."""

        self.sender = _digest_secret(api_key)
        """Names the application in a journal, by its key."""
        self.senders = frozenset({self.sender, *map(_digest_secret, former_api_keys)})

    def __repr__(self) -> str:
        return f"Platform({self.root!r})"

    def encrypt(self, secret: str) -> str:
        """A secret as a bearer."""
        return make_bearer(self._key, secret)


def _digest_secret(secret: str) -> str:
    return hashlib.sha256(f"sender {secret}".encode()).hexdigest()[:16]


def check_seconds(name: str, seconds: object) -> None:
    """Raises `ConfigurationError` unless it is a time that ends."""
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int | float)
        or not math.isfinite(seconds)
        or seconds <= 0
    ):
        raise ConfigurationError(f"{name} takes a number of seconds above zero, not {seconds!r}")


def make_ssl_context(certificate_file: str | Path | None) -> ssl.SSLContext | bool:
    """What a client trusts: the system's authorities, and those in the file beside them."""
    if certificate_file is None:
        return True
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=str(certificate_file))
    except (OSError, ssl.SSLError) as failure:
        raise ConfigurationError(
            f"certificate_file {certificate_file} cannot be read: {failure}"
        ) from None
    return context


def find_proxy(url: httpx2.URL) -> str | None:
    """The system's proxy for an address (`https_proxy`, `all_proxy`, `no_proxy`), where it has one."""
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - loads much, for one call

    if proxy_bypass(url.host):
        return None
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    # As curl reads it.
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def make_headers() -> dict[str, str]:
    """What every request carries."""
    return {"User-Agent": _USER_AGENT, "Accept": "application/json"}


def make_timeout(timeout_s: float) -> httpx2.Timeout:
    """Of each wait of a request; what connects at all connects soon."""
    return httpx2.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))


def make_limits(*, connections_max: int = CONNECTIONS_MAX) -> httpx2.Limits:
    """Of the connections of a client."""
    return httpx2.Limits(
        max_connections=connections_max,
        max_keepalive_connections=connections_max,
        keepalive_expiry=KEEP_ALIVE_S,
    )


@functools.lru_cache(maxsize=64)
def parse_url(url: str) -> httpx2.URL:
    """An address that is asked for again and again: to take it apart each time costs 5 % of a call.

    Raises `httpx2.InvalidURL`.
    """
    return httpx2.URL(url)


class AnswerReader:
    """An answer that comes in parts: bounded in size, and in time from its request on.

    `until` is the steady clock's. Reading raises what httpx2 does.
    """

    def __init__(self, clock: Clock, until: float) -> None:
        self._clock = clock
        self._until = until
        self._parts: list[bytes] = []
        self._left = ANSWER_BYTES_MAX
        self._is_late = False

    def read(self, response: httpx2.Response) -> Reply:
        """The whole answer."""
        for part in response.iter_bytes():
            self._take(part)
        return self._finish(response)

    async def read_in_task(self, response: httpx2.Response) -> Reply:
        """The whole answer."""
        async for part in response.aiter_bytes():
            self._take(part)
        return self._finish(response)

    def _take(self, part: bytes) -> None:
        if self._is_late:
            raise httpx2.ReadTimeout("the answer did not come to its end")
        self._parts.append(part)
        self._left -= len(part)
        if self._left < 0:
            raise httpx2.ReadError(f"the answer is longer than {ANSWER_BYTES_MAX} bytes")
        # What has come is taken, however late; only more is not waited for.
        self._is_late = self._clock() > self._until

    def _finish(self, response: httpx2.Response) -> Reply:
        headers: Mapping[str, str] = response.headers
        return Reply(response.status_code, b"".join(self._parts), headers.get("retry-after"))


def explain_no_transport(failure: Exception) -> CallError:
    """What it says of a request that nothing could be made to carry it."""
    return NotSentError(f"the request was not sent: no connection can be made: {failure}")


def explain_failure(failure: Exception, timeout_s: float) -> CallError:
    """What a failure of the connection says of a request."""
    kind = NotSentError if isinstance(failure, _NOT_SENT) else OutcomeUnknownError
    what = str(failure).strip() or type(failure).__name__
    if isinstance(failure, httpx2.TimeoutException):
        what = f"no answer within {timeout_s:g} s ({type(failure).__name__})"
    if kind is NotSentError:
        return kind(f"the request was not sent: {what}")
    if not isinstance(failure, httpx2.HTTPError | OSError):
        return kind(f"whether the request was sent is not known: {type(failure).__name__}: {what}")
    return kind(f"the connection broke after the request was sent: {what}")
