"""What carries the requests of a plain client: its own connections, or its user's httpx2 client.

The client's own ones are httpx2's transports, without a client of httpx2's around them: that would
write each address to the log, the parameters of a query with it, and cost a quarter of a call. No
cookies are kept and no redirects followed; proxies are the system's (`https_proxy`, `no_proxy`).
"""

import ssl
import threading

import httpx2

from pesalango._answers import Reply
from pesalango._flow import Send
from pesalango._transport import (
    AnswerReader,
    Clock,
    explain_no_transport,
    find_proxy,
    make_limits,
    make_timeout,
    parse_url,
)


def make_request(send: Send) -> httpx2.Request:
    """For a transport, which sends it as it is."""
    return httpx2.Request(
        send.method,
        # One with a query is not asked for again.
        send.url if send.content is None else parse_url(send.url),
        headers=send.headers,
        content=send.content,
        extensions={"timeout": make_timeout(send.timeout_s).as_dict()},
    )


class Connections:
    """Of a plain client: threads share them. Raises what httpx2 does."""

    def __init__(self, trusted: ssl.SSLContext | bool, clock: Clock) -> None:
        self._trusted = trusted
        self._clock = clock
        self._making = threading.Lock()
        self._transport: httpx2.HTTPTransport | None = None

    def exchange(self, send: Send) -> Reply:
        """Send a request, and read its answer."""
        reader = AnswerReader(self._clock, self._clock() + send.timeout_s)
        request = make_request(send)
        response = self._find_transport(request.url).handle_request(request)
        try:
            return reader.read(response)
        finally:
            response.close()

    def close(self) -> None:
        """Close all connections."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def _find_transport(self, url: httpx2.URL) -> httpx2.HTTPTransport:
        with self._making:
            if self._transport is None:
                try:
                    self._transport = httpx2.HTTPTransport(
                        verify=self._trusted, limits=make_limits(), proxy=find_proxy(url), retries=0
                    )
                except Exception as failure:  # noqa: BLE001 - a proxy of no known kind, no authorities
                    raise explain_no_transport(failure) from None
            return self._transport


class GivenClient:
    """A client of httpx2's that the user made, and closes."""

    def __init__(self, http_client: httpx2.Client, clock: Clock) -> None:
        self._http_client = http_client
        self._clock = clock

    def exchange(self, send: Send) -> Reply:
        """Send a request, and read its answer."""
        reader = AnswerReader(self._clock, self._clock() + send.timeout_s)
        with self._http_client.stream(
            send.method,
            send.url,
            content=send.content,
            headers=send.headers,
            timeout=make_timeout(send.timeout_s),
            follow_redirects=False,
        ) as response:
            return reader.read(response)
