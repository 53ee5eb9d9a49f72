"""What carries the requests of an asynchronous client, as `_connections` does for a plain one."""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator

import httpx2

from pesalango._answers import Reply
from pesalango._connections import make_request
from pesalango._flow import Send
from pesalango._transport import (
    CONNECTIONS_MAX,
    KEEP_ALIVE_S,
    AnswerReader,
    Clock,
    explain_no_transport,
    find_proxy,
    make_limits,
    make_timeout,
)


class AsyncConnections:
    """Of an asynchronous client: each connection has a transport to itself. Raises what httpx2 does.

    One transport for all would ask the system about each idle connection whenever a request comes
    or goes. While tasks wait for their journal, about half of the connections are idle, and to ask
    about them costs a third of what the requests do; with hundreds of connections, far more.
    """

    def __init__(self, trusted: ssl.SSLContext | bool, clock: Clock) -> None:
        self._trusted = trusted
        self._clock = clock
        self._room = asyncio.Semaphore(CONNECTIONS_MAX)
        self._transports: set[httpx2.AsyncHTTPTransport] = set()
        self._idle: deque[tuple[httpx2.AsyncHTTPTransport, float]] = deque()
        """With the moment since when; the last one was used last, and is used next."""
        self._is_closed = False

    async def exchange(self, send: Send) -> Reply:
        """Send a request, and read its answer."""
        reader = AnswerReader(self._clock, self._clock() + send.timeout_s)
        request = make_request(send)
        async with self._hold_transport(request.url, send.timeout_s) as transport:
            response = await transport.handle_async_request(request)
            try:
                return await reader.read_in_task(response)
            finally:
                await response.aclose()

    @contextlib.asynccontextmanager
    async def _hold_transport(
        self, url: httpx2.URL, timeout_s: float
    ) -> AsyncIterator[httpx2.AsyncHTTPTransport]:
        await self._wait_for_room(timeout_s)
        try:
            await self._drop_expired()
            transport = self._idle.pop()[0] if self._idle else self._make_transport(url)
            try:
                yield transport
            except BaseException:
                # A tunnel through a proxy that broke would never be fit for use again.
                await self._let_go(transport)
                raise
            if self._is_closed:
                await self._let_go(transport)
            else:
                self._idle.append((transport, self._clock()))
        finally:
            self._room.release()

    async def _wait_for_room(self, timeout_s: float) -> None:
        if not self._room.locked():
            # Comes back at once, and a timer costs more than it.
            await self._room.acquire()
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._room.acquire()
        except TimeoutError:
            raise httpx2.PoolTimeout(f"{CONNECTIONS_MAX} connections are in use") from None

    async def _drop_expired(self) -> None:
        """Close what nobody has used for long: the other end is about to, or has."""
        before = self._clock() - KEEP_ALIVE_S
        while self._idle and self._idle[0][1] < before:
            transport, _ = self._idle.popleft()
            await self._let_go(transport)

    async def _let_go(self, transport: httpx2.AsyncHTTPTransport) -> None:
        self._transports.discard(transport)
        with contextlib.suppress(Exception):
            await asyncio.shield(transport.aclose())

    def _make_transport(self, url: httpx2.URL) -> httpx2.AsyncHTTPTransport:
        try:
            if self._trusted is True:
                # Made once: to read all authorities takes longer than many requests do.
                self._trusted = httpx2.create_ssl_context()
            transport = httpx2.AsyncHTTPTransport(
                verify=self._trusted,
                limits=make_limits(connections_max=1),
                proxy=find_proxy(url),
                retries=0,
            )
        except Exception as failure:  # noqa: BLE001 - a proxy of no known kind, no authorities
            raise explain_no_transport(failure) from None
        self._transports.add(transport)
        return transport

    async def aclose(self) -> None:
        """Close all connections, those in use too."""
        self._is_closed = True
        self._idle.clear()
        while self._transports:
            await self._transports.pop().aclose()


class GivenAsyncClient:
    """An asynchronous client of httpx2's that the user made, and closes."""

    def __init__(self, http_client: httpx2.AsyncClient, clock: Clock) -> None:
        self._http_client = http_client
        self._clock = clock

    async def exchange(self, send: Send) -> Reply:
        """Send a request, and read its answer."""
        reader = AnswerReader(self._clock, self._clock() + send.timeout_s)
        async with self._http_client.stream(
            send.method,
            send.url,
            content=send.content,
            headers=send.headers,
            timeout=make_timeout(send.timeout_s),
            follow_redirects=False,
        ) as response:
            return await reader.read_in_task(response)
