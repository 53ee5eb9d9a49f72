"""The benchmarks of the client count what the client does."""

import http.client
import sqlite3
from pathlib import Path

import msgspec
import pytest

from bench.client_bulk import Order, pay_in_bulk
from bench.client_calls import PLAIN, TASKS, measure_calls
from bench.client_imports import CLIENT, NOTHING, PACKAGES, ImportTime, take_off
from bench.client_syncs import count_syncs
from bench.responder import make_public_key, run_responder


def test_the_stand_in_for_a_gateway_answers_each_payment_with_its_own_identifier() -> None:
    with run_responder() as address:
        connection = http.client.HTTPConnection(address.removeprefix("http://"))
        for identifier in ("a" * 32, "b" * 32):
            body = f'{{"input_ThirdPartyConversationID":"{identifier}","input_Amount":"1"}}'
            # Head and body in two pieces, as httpx2 sends them.
            connection.request(
                "POST",
                "/any/",
                body=iter([body.encode()]),
                headers={
                    "Content-Length": str(len(body)),
                },
            )
            answer = msgspec.json.decode(connection.getresponse().read())
            assert answer["output_ThirdPartyConversationID"] == identifier
            assert answer["output_ResponseCode"] == "INS-0"
        connection.request("GET", "/any/getSession/")
        assert msgspec.json.decode(connection.getresponse().read())["output_SessionID"]
        connection.close()


@pytest.mark.parametrize("sides", [PLAIN, TASKS])
def test_a_call_of_the_client_and_a_bare_one_have_their_price_each(sides: str) -> None:
    with run_responder() as address:
        costs = measure_calls(sides, address, calls=100)
    assert costs.bare_us > 0
    assert costs.client_us > 0


def test_the_intent_of_each_payment_is_seen_to_be_synced(tmp_path: Path) -> None:
    with run_responder() as address:
        counts = count_syncs(address, tmp_path / "journal.db", payments=30)
    assert 30 <= counts.syncs < 60


@pytest.mark.parametrize("journal", [None, "journal.db"], ids=["bare", "with a journal"])
def test_a_bulk_pays_everybody_once(tmp_path: Path, journal: str | None) -> None:
    with run_responder() as address:
        paid = pay_in_bulk(
            Order(
                base_url=address,
                api_key="key",
                public_key=make_public_key(),
                service_provider_code="000000",
                payments=40,
                bearer=None if journal else "bearer",
                journal=journal and str(tmp_path / journal),
            )
        )
    assert paid.payments == 40
    if journal:
        with sqlite3.connect(tmp_path / journal) as kept:
            found = kept.execute("SELECT count(*), count(closing) FROM intents").fetchone()
        kept.close()
        assert found == (40, 40)


def test_an_import_is_told_without_the_start_of_its_interpreter() -> None:
    taken = take_off(
        {
            NOTHING: ImportTime(wall_ms=10.0, cpu_ms=8.0),
            PACKAGES: ImportTime(wall_ms=110.0, cpu_ms=98.0),
            CLIENT: ImportTime(wall_ms=140.0, cpu_ms=118.0),
        }
    )
    assert taken[CLIENT] == ImportTime(wall_ms=130.0, cpu_ms=110.0)
    assert taken[PACKAGES] == ImportTime(wall_ms=100.0, cpu_ms=90.0)
