"""Liveness, readiness and the page of metrics."""

import json
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.api.gateway_world import World, run_world
from tests.e2e.server import wait_until

SILENT_MAX_S = 5.0
"""The contract's number: so long an engine may be silent before calls are refused."""


def read_metrics(world: World) -> dict[str, float]:
    page = world.call("GET", "", path="/metrics").body.decode()
    rows = [line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in rows}


@pytest.mark.parametrize(("path", "status"), [("live", "live"), ("ready", "ready")])
def test_a_gateway_that_can_take_payments_says_so(world: World, path: str, status: str) -> None:
    reply = world.call("GET", "", path=f"/health/{path}")
    assert reply.status == 200
    assert json.loads(reply.body) == {"status": status}


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_what_can_only_be_read_says_so_in_json(world: World, method: str, path: str) -> None:
    reply = world.call(method, "", path=path, body=b"x" if method == "POST" else b"")
    assert reply.status == 405
    assert json.loads(reply.body) == {"output_error": "Method not allowed"}
    assert reply.header("content-type") == "application/json"
    assert reply.header("allow") == "GET, HEAD"
    assert not {"'", '"'} & set("".join(name + value for name, value in reply.headers))


def test_requests_are_counted_by_operation_and_code(world: World) -> None:
    name = (
        'pesalango_requests_total{{code="{}",environment="sandbox",operation="c2b_single_stage"}}'
    )
    before = read_metrics(world)
    world.pay()
    world.pay(Amount="0")
    after = read_metrics(world)
    for code in ("INS-0", "INS-15"):
        assert after[name.format(code)] == before.get(name.format(code), 0) + 1


def test_latency_batches_and_decryptions_are_measured(world: World) -> None:
    world.pay()
    page = read_metrics(world)
    labels = '{environment="sandbox",operation="c2b_single_stage"}'
    assert page[f"pesalango_request_seconds_count{labels}"] >= 1
    assert page[f"pesalango_request_seconds_sum{labels}"] > 0
    assert page["pesalango_decryptions_total"] >= 1
    assert page['pesalango_unanswered{environment="sandbox"}'] == 0
    assert page['pesalango_prompts_waiting{environment="sandbox"}'] == 0
    # The engine hands its own over once a second.
    wait_until(
        lambda: read_metrics(world)['pesalango_batch_seconds_count{database="sandbox"}'] > 0,
        timeout_s=10,
        what="the engine's metrics",
    )
    page = read_metrics(world)
    assert page['pesalango_batch_commands_count{database="sandbox"}'] > 0
    assert page['pesalango_engine_queue{database="sandbox"}'] == 0
    # PostgreSQL's log is PostgreSQL's own to tell of.
    assert page['pesalango_wal_bytes{database="sandbox"}'] > 0


def test_the_page_names_no_customer_and_no_secret(world: World) -> None:
    world.pay()
    page = world.call("GET", "", path="/metrics").body.decode()
    assert world.customer() not in page
    assert world.application().api_key not in page


@pytest.fixture(scope="module")
def silenced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway of its own, whose engine is stopped in the middle of a step."""
    yield from run_world(tmp_path_factory.mktemp("silenced"))


def test_a_gateway_whose_engine_is_silent_is_not_ready_and_refuses_at_once(
    silenced: World,
) -> None:
    assert silenced.pay()[0] == 201
    engine: psutil.Process = silenced.server.find_engine()
    engine.suspend()
    silent_since_s = time.monotonic()
    try:

        def is_not_ready() -> bool:
            reply = silenced.call("GET", "", path="/health/ready")
            # The three engines of the process fall silent within a heartbeat of each other.
            return reply.status == 503 and len(json.loads(reply.body)["not_ready"]) == 3

        wait_until(is_not_ready, timeout_s=15, what="the end of readiness")
        content = json.loads(silenced.call("GET", "", path="/health/ready").body)
        assert content == {
            "status": "not ready",
            "not_ready": ["engine of sandbox", "engine of openapi", "engine of platform"],
        }
        assert silenced.call("GET", "", path="/health/live").status == 200
        # Into a shorter silence payments are sent, for the engine may only be busy; nothing but
        # time tells the two apart.
        wait_until(
            lambda: time.monotonic() > silent_since_s + SILENT_MAX_S + 0.1,
            timeout_s=15,
            what="the end of the link's patience",
        )
        status, answer = silenced.pay()
        assert (status, answer["output_ResponseCode"]) == (503, "INS-16")
    finally:
        engine.resume()
    wait_until(
        lambda: silenced.call("GET", "", path="/health/ready").status == 200,
        timeout_s=15,
        what="readiness",
    )
    assert silenced.pay()[0] == 201
