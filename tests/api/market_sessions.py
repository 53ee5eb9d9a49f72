"""Sessions of the first application of `up` in every market of both environments."""

import json
from collections.abc import Callable
from itertools import product

import msgspec

from pesalango_server.catalog.markets import MARKETS
from pesalango_server.catalog.model import ENVIRONMENTS
from tests.api.gateway_world import SESSION, World


class Place(msgspec.Struct, frozen=True):
    """A market of an environment, what is called from there, and how a caller is known there.

    `bearer` holds a session key; `make_first_bearer` encrypts the API key anew each time.
    """

    environment: str
    market: str
    country: str
    currency: str
    bearer: str
    make_first_bearer: Callable[[], str]


def open_places(world: World) -> dict[tuple[str, str], Place]:
    """By environment and market's path value. Each ledger is opened and seeded by that."""
    places: dict[tuple[str, str], Place] = {}
    for environment, market in product(ENVIRONMENTS, MARKETS):
        api_key = getattr(world.credentials, environment).api_key

        def make_first_bearer(api_key: str = api_key, environment: str = environment) -> str:
            return world.encrypt(api_key, environment)

        reply = world.call(
            "GET",
            SESSION,
            headers={"Authorization": make_first_bearer(), "Origin": "*"},
            market=market.path_value,
            environment=environment,
        )
        assert reply.status == 200, reply
        session_key = json.loads(reply.body)["output_SessionID"]
        places[environment, market.path_value] = Place(
            environment,
            market.path_value,
            market.country,
            market.currency,
            world.encrypt(session_key, environment),
            make_first_bearer,
        )
    return places
