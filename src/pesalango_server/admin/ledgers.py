"""From the words of a request to the ledger it is about; the ledger is opened if it is not yet."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from msgspec import UNSET

from pesalango_server.admin.checks import check_environment, find_market
from pesalango_server.admin.contract import Text
from pesalango_server.admin.errors import AdminError, ErrorCode, refuse, require_done
from pesalango_server.applications.model import World
from pesalango_server.catalog.model import Market
from pesalango_server.http.context import EnvironmentContext, WorkerContext
from pesalango_server.kernel.message import Command, Done
from pesalango_server.ledger.parties import NewCustomer, NewOrganisation, OpenLedger
from pesalango_server.link.client import LinkBusy, LinkClient, OutcomeOverdue
from pesalango_server.storage.database import Query, Read, Row

T = TypeVar("T")

ANSWER_MAX_S = 30
"""So long a call waits for its engine, at most, before its connection is closed without an answer:
the gateway's own limit, where that is shorter, ends the wait of all that share its link.
"""

COMMAND_ITEMS_MAX = 500
"""How many items of a list one command carries: payments go on between two of them."""


def split_list(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items in parts of what one command carries."""
    for start in range(0, len(items), COMMAND_ITEMS_MAX):
        yield items[start : start + COMMAND_ITEMS_MAX]


@contextmanager
def name_what_was_done(part_number: int) -> Iterator[None]:
    """Let an error of a later part of a list say that the earlier ones took effect."""
    try:
        yield
    except AdminError as error:
        if part_number == 0 or error.code not in {ErrorCode.UNAVAILABLE, ErrorCode.INTERNAL}:
            raise
        raise AdminError(
            error.code,
            f"the server failed after the first {part_number * COMMAND_ITEMS_MAX} items of the list,"
            " which took effect; send the whole list again, nothing is done twice",
            error.field,
        ) from error


class SeedSource(Protocol):
    """Who knows what a new ledger starts with."""

    def seed_for(
        self, environment: str, market: str
    ) -> tuple[tuple[NewCustomer, ...], tuple[NewOrganisation, ...]]:
        """Its first customers and organisations."""
        ...


class Placed(Protocol):
    """A request that says which ledger it is about."""

    environment: Text
    world: Text
    market: Text


@dataclass(frozen=True)
class Place:
    """A ledger, and what is around it."""

    ledger: int
    market: Market
    environment: EnvironmentContext

    async def submit(self, command: Command) -> Done:
        """Have the ledger's engine carry out a command. Raises `AdminError` and `OutcomeUnknown`."""
        return await submit(self.environment.link, command)

    async def read(
        self, query: Query, values: Row = (), rows: Sequence[Row] | None = None
    ) -> bytes:
        """The document of a query. Raises `StorageUnavailable`."""
        return await self.environment.readers.read(Read(query, values, rows))


async def submit(link: LinkClient, command: Command) -> Done:
    """Have an engine carry out a command. Raises `AdminError` and `OutcomeUnknown`."""
    try:
        async with asyncio.timeout(ANSWER_MAX_S):
            outcome = await link.submit(command)
    except TimeoutError as error:
        # What becomes of it is unknown: the connection is closed, as with a link that broke.
        raise OutcomeOverdue("the engine did not answer in time") from error
    except LinkBusy as error:
        raise AdminError(
            ErrorCode.UNAVAILABLE, "the server is busy; nothing was changed, try again"
        ) from error
    return require_done(outcome)


def list_environment_worlds(context: WorkerContext, environment: str) -> list[World]:
    """The worlds of an environment; the first is the default one, unless it is hidden."""
    worlds = context.configuration.current.worlds.values()
    return sorted(
        (world for world in worlds if world.environment == environment),
        key=lambda world: (world.is_hidden, world.id),
    )


def find_world(context: WorkerContext, environment: str, name: Text) -> World:
    """The world of that name, or the environment's default. Raises `AdminError`."""
    worlds = list_environment_worlds(context, environment)
    if name is UNSET:
        if worlds and not worlds[0].is_hidden:
            return worlds[0]
        raise AdminError(ErrorCode.NOT_FOUND, f"{environment} has no world yet", "world")
    for world in worlds:
        if world.name == name:
            return world
    raise AdminError(
        ErrorCode.NOT_FOUND,
        f"{environment} has no world named {name}; GET worlds lists those there are",
        "world",
    )


class LedgerFinder:
    """Finds and opens ledgers."""

    def __init__(self, context: WorkerContext, seed: SeedSource) -> None:
        self._context = context
        self._seed = seed

    async def find(self, request: Placed, further: Placed | None = None) -> Place:
        """The ledger that a request, and perhaps its query, names.

        Raises `AdminError`, `OutcomeUnknown`, `StorageUnavailable`.
        """
        environment_name = check_environment(_choose(request, further, "environment") or "sandbox")
        market_name = _choose(request, further, "market")
        if market_name is None:
            raise refuse("market", "say which market is meant, such as market=vodacomTZN")
        market = find_market(market_name)
        world_name = _choose(request, further, "world")
        world = find_world(self._context, environment_name, world_name or UNSET)
        environment = self._context.environments[environment_name]
        ledger = await environment.find_ledger(world.id, market.path_value)
        if ledger is None:
            ledger = await self._open(environment, world, market)
        return Place(ledger, market, environment)

    async def _open(self, environment: EnvironmentContext, world: World, market: Market) -> int:
        customers, organisations = self._seed.seed_for(environment.name, market.path_value)
        opening = OpenLedger(
            ledger=0,
            world=world.id,
            market=market.path_value,
            currency=market.currency,
            customers=customers,
            organisations=organisations,
        )
        (ledger,) = (await submit(environment.link, opening)).ids
        environment.remember_ledger(world.id, market.path_value, ledger)
        return ledger


def _choose(request: Placed, further: Placed | None, name: str) -> str | None:
    given: Any = getattr(request, name)
    besides: Any = getattr(further, name) if further is not None else UNSET
    if UNSET not in (given, besides) and given != besides:
        raise refuse(name, f"body and query name two different ones: {given} and {besides}")
    chosen = besides if given is UNSET else given
    return None if chosen is UNSET else str(chosen)
