"""The connections of an asynchronous client: each has an `httpx2.AsyncClient` to itself.

One client for all would ask the system about each idle connection whenever a request comes or goes.
While tasks wait for their journal, about half of the connections are idle, and to ask about them
costs a third of what the requests do; with hundreds of connections, far more than the requests.
"""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from http.cookiejar import CookieJar

import httpx2

from pesalango._transport import CONNECTIONS_MAX, KEEP_ALIVE_S, make_headers, make_limits

Clock = Callable[[], float]


class HttpClients:
    """What sends the requests of an `AsyncClient`, as one `httpx2.AsyncClient` would."""

    def __init__(self, trusted: ssl.SSLContext | bool, clock: Clock) -> None:
        # Made once: to read all authorities takes longer than many requests do.
        self._trusted = httpx2.create_ssl_context() if trusted is True else trusted
        self._clock = clock
        self._cookies = CookieJar()
        self._room = asyncio.Semaphore(CONNECTIONS_MAX)
        self._clients: set[httpx2.AsyncClient] = set()
        self._idle: deque[tuple[httpx2.AsyncClient, float]] = deque()
        """With the moment since when; the last one was used last, and is used next."""
        self._is_closed = False

    @contextlib.asynccontextmanager
    async def stream(
        self,
        method: str,
        url: httpx2.URL | str,
        *,
        content: bytes | None,
        headers: Mapping[str, str],
        timeout: httpx2.Timeout,
        follow_redirects: bool,
    ) -> AsyncIterator[httpx2.Response]:
        """As that of `httpx2.AsyncClient`, which raises what this raises."""
        await self._wait_for_room(timeout.pool)
        try:
            await self._drop_expired()
            http_client = self._idle.pop()[0] if self._idle else self._make()
            try:
                async with http_client.stream(
                    method,
                    url,
                    content=content,
                    headers=headers,
                    timeout=timeout,
                    follow_redirects=follow_redirects,
                ) as response:
                    yield response
            finally:
                # A connection that broke, or whose task was cancelled, its client has closed.
                if self._is_closed:
                    await http_client.aclose()
                else:
                    self._idle.append((http_client, self._clock()))
        finally:
            self._room.release()

    async def _wait_for_room(self, timeout_s: float | None) -> None:
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
            http_client, _ = self._idle.popleft()
            self._clients.discard(http_client)
            with contextlib.suppress(httpx2.HTTPError, OSError):
                await http_client.aclose()

    def _make(self) -> httpx2.AsyncClient:
        http_client = httpx2.AsyncClient(
            headers=make_headers(),
            cookies=self._cookies,
            verify=self._trusted,
            limits=make_limits(connections_max=1),
        )
        self._clients.add(http_client)
        return http_client

    async def aclose(self) -> None:
        """Close all connections, those in use too."""
        self._is_closed = True
        self._idle.clear()
        while self._clients:
            await self._clients.pop().aclose()
