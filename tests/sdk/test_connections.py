"""The connections of an asynchronous client: shared in turn, bounded, and closed in time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2
import pytest

from pesalango._async_connections import AsyncConnections
from pesalango._flow import Send


class Site:
    """A server that says by which of its connections it was asked, once it is let."""

    def __init__(self) -> None:
        self.opened = 0
        self.asked = asyncio.Semaphore(0)
        self.ended: dict[int, asyncio.Event] = {}
        self.let = asyncio.Event()
        self.let.set()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        number = self.opened
        self.ended[number] = asyncio.Event()
        body = b"%d" % number
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.asked.release()
                await self.let.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        writer.close()
        self.ended[number].set()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class World:
    def __init__(self, site: Site, clients: AsyncConnections, clock: Clock) -> None:
        self.site, self.clients, self.clock = site, clients, clock

    async def ask(self, *, room_s: float = 20.0) -> int:
        """The number of the connection that was used."""
        send = Send("GET", self.site.url, {}, None, room_s)
        return int((await self.clients.exchange(send)).body)

    async def hold(self, count: int) -> "list[asyncio.Task[int]]":
        """Requests that have arrived, and are not answered before `let` is set."""
        self.site.let.clear()
        tasks = [asyncio.create_task(self.ask()) for _ in range(count)]
        for _ in tasks:
            await self.site.asked.acquire()
        return tasks


@contextlib.asynccontextmanager
async def open_world() -> AsyncIterator[World]:
    site, clock = Site(), Clock()
    clients = AsyncConnections(True, clock)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    site.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    try:
        yield World(site, clients, clock)
    finally:
        site.let.set()
        await clients.aclose()
        server.close()
        for ended in site.ended.values():
            await ended.wait()


def run(scenario: Callable[[World], Awaitable[None]]) -> None:
    async def play() -> None:
        async with open_world() as world:
            await scenario(world)

    asyncio.run(play())


def test_requests_one_after_the_other_share_a_connection() -> None:
    async def scenario(world: World) -> None:
        assert [await world.ask() for _ in range(3)] == [1, 1, 1]

    run(scenario)


def test_requests_at_once_have_a_connection_each_and_later_ones_use_these() -> None:
    async def scenario(world: World) -> None:
        for _ in range(2):
            tasks = await world.hold(5)
            world.site.let.set()
            assert sorted(await asyncio.gather(*tasks)) == [1, 2, 3, 4, 5]

    run(scenario)


def test_a_connection_that_nobody_used_for_long_is_closed_and_not_used() -> None:
    async def scenario(world: World) -> None:
        assert await world.ask() == 1
        world.clock.now += 60
        assert await world.ask() == 2
        await world.site.ended[1].wait()

    run(scenario)


def test_a_request_that_finds_no_room_in_time_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pesalango._async_connections.CONNECTIONS_MAX", 2)

    async def scenario(world: World) -> None:
        tasks = await world.hold(2)
        with pytest.raises(httpx2.PoolTimeout):
            await world.ask(room_s=0.01)
        waiting = asyncio.create_task(world.ask())
        world.site.let.set()
        assert sorted(await asyncio.gather(*tasks)) == [1, 2]
        assert await waiting in {1, 2}

    run(scenario)


def test_a_request_that_is_cancelled_takes_its_connection_with_it_and_leaves_its_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pesalango._async_connections.CONNECTIONS_MAX", 1)

    async def scenario(world: World) -> None:
        (task,) = await world.hold(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        world.site.let.set()
        assert await world.ask() == 2

    run(scenario)


def test_requests_under_way_end_when_all_is_closed() -> None:
    async def scenario(world: World) -> None:
        tasks = await world.hold(2)
        await world.clients.aclose()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, httpx2.HTTPError) for end in ends)
        world.site.let.set()
        await world.site.ended[1].wait()
        await world.site.ended[2].wait()

    run(scenario)


def test_a_tunnel_that_breaks_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tunnels: list[bytes] = []

    async def break_tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnels.append((await reader.readuntil(b"\r\n\r\n")).split()[0])
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await writer.drain()
        writer.close()

    async def scenario() -> None:
        proxy = await asyncio.start_server(break_tunnel, "127.0.0.1", 0)
        port = proxy.sockets[0].getsockname()[1]
        monkeypatch.setenv("https_proxy", f"127.0.0.1:{port}")
        connections = AsyncConnections(True, Clock())
        for _ in range(2):
            with pytest.raises(httpx2.ConnectError):
                await connections.exchange(Send("GET", "https://gateway.invalid/", {}, None, 20.0))
        await connections.aclose()
        proxy.close()

    asyncio.run(scenario())
    assert tunnels == [b"CONNECT", b"CONNECT"]
