"""The gateway answers what its OpenAPI document says, whatever the document lets a caller send.

Schemathesis makes the requests of the document, and ones that the document forbids. What is checked
is the answers: their status, content type and body. That an unknown or a repeated parameter be
refused is not asked: this wire ignores the one and takes the last of the other.
"""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pesalango_server.catalog.openapi import build_document
from pesalango_server.catalog.registry import find
from pesalango_server.gateway.operations import ROUTED
from tests.api.gateway_world import C2B, World, run_world
from tests.api.market_sessions import Place, open_places

EXAMPLES = settings().max_examples * 2 // 5
"""Requests for each operation and each of: what the document admits, what it does not. Forty in
continuous integration, as tests/conftest.py has it."""

TIMEOUT_S = 20
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]

DOCUMENT = build_document(tuple(find(name) for name in ROUTED))
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)


def path_of(name: str) -> str:
    return f"/{{environment}}/ipg/v2/{{market}}/{find(name).path}"


class Site:
    """A gateway, a session in every market, and how often each status was answered."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.places = open_places(world)
        self.seen: Counter[tuple[str, int]] = Counter()
        self.payments = count()
        self.http = requests.Session()
        self.http.trust_env = False

    def pay(self, place: Place) -> str:
        """The TransactionID of a fresh payment of 10 there."""
        number = next(self.payments)
        reply = self.world.call(
            "POST",
            C2B,
            headers={"Authorization": place.bearer, "Origin": "*"},
            body={
                **make_truth(place, f"original{number}"),
                "input_Amount": "10",
                "input_TransactionReference": "T1",
                "input_PurchasedItemsDesc": "Rice",
            },
            market=place.market,
            environment=place.environment,
        )
        return str(json.loads(reply.body)["output_TransactionID"])

    def find_place(self, case: schemathesis.Case[Any]) -> Place:
        """The place that a request speaks of; any where there is no such."""
        parameters = case.path_parameters or {}
        asked = parameters.get("environment"), parameters.get("market")
        return self.places.get(asked) or next(iter(self.places.values()))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    for world in run_world(tmp_path_factory.mktemp("documented")):
        site = Site(world)
        yield site
        site.http.close()
        assert "Traceback" not in world.server.read_log()
        audit = world.server.audit()
        assert audit.returncode == 0, audit.stdout + audit.stderr


def make_truth(place: Place, reference: str) -> dict[str, str]:
    """What is true of a place."""
    return {
        "input_Country": place.country,
        "input_Currency": place.currency,
        "input_CustomerMSISDN": "254707161122",
        "input_ServiceProviderCode": "ORG001",
        "input_PrimaryPartyCode": "ORG001",
        "input_ReceiverPartyCode": "ORG002",
        "input_ThirdPartyConversationID": reference,
    }


def put_right(case: schemathesis.Case[Any], site: Site, place: Place) -> None:
    """Give a request what is true of its place, where it has such a parameter at all."""
    truth = make_truth(place, f"document{site.seen.total()}")
    truth |= {"input_Amount": "2", "input_ReversalAmount": "3"}
    names = {name for each in (case.query, case.body) if isinstance(each, dict) for name in each}
    for name in names & {"input_TransactionID", "input_QueryReference"}:
        truth[name] = site.pay(place)
    for parameters in (case.query, case.body):
        if isinstance(parameters, dict):
            parameters.update({name: truth[name] for name in truth if name in parameters})


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("name", ROUTED)
def test_whatever_is_sent_the_answer_is_as_documented(
    site: Site, name: str, mode: schemathesis.GenerationMode
) -> None:
    operation = SCHEMA[path_of(name)][find(name).method]
    listed = set(operation.definition.raw["responses"])

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        # The same requests each time, so that a red run can be had again.
        derandomize=True,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=operation.as_strategy(mode),
        is_known=st.sampled_from([True] * 7 + [False]),
        is_put_right=st.booleans(),
    )
    def check(case: schemathesis.Case[Any], is_known: bool, is_put_right: bool) -> None:
        place = site.find_place(case)
        if is_put_right:
            put_right(case, site, place)
        headers: dict[str, Any] = {}
        if is_known:
            headers["Authorization"] = (
                place.make_first_bearer() if name == "get_session" else place.bearer
            )
            headers["Origin"] = "https://shop.example"
        response = case.call(
            base_url=f"http://127.0.0.1:{site.world.port}",
            session=site.http,
            headers=headers,
            timeout=TIMEOUT_S,
            allow_redirects=False,
        )
        site.seen[name, response.status_code] += 1
        statuses.add(response.status_code)
        assert response.status_code < 500 or str(response.status_code) in listed
        case.validate_response(response, checks=CHECKS)

    statuses: set[int] = set()
    check()
    if mode is schemathesis.GenerationMode.POSITIVE:
        # What the document admits is carried out, and not only refused in a documented way.
        assert find(name).success.http_status in statuses, sorted(statuses)
