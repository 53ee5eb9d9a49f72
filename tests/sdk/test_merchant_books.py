"""A merchant's books say what a real gateway did, and a bad network in front of it changes none."""

import contextlib
from collections.abc import Iterator

import pytest

from tests.e2e.http_client import TIMEOUT_S, Connection, NotSent, Unanswered
from tests.e2e.merchant import Merchant, Payment, make_reference
from tests.e2e.server import Server, wait_until
from tests.sdk.cutting_proxy import CuttingProxy
from tests.sdk.merchant_books import Effect, read_effects

CUSTOMER, WRONG_PIN = "255744553111", "000000000004"
ORGANISATION = "ORG001"
# Making keys of the default size takes longer than all else here.
SETTINGS = {"PESALANGO_PLATFORM_KEY_BITS": "2048"}
PAYMENTS = 120
FATES = ("passed", "dropped", "cut", "cut_half", "delayed", "kept")


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    data_dir = tmp_path_factory.mktemp("merchant-books") / "data"
    database = None if request.param == "sqlite" else request.param
    with Server(data_dir, database=database, settings=SETTINGS) as server:
        server.start()
        yield server


def make_payment(msisdn: str, *, amount: int) -> Payment:
    return Payment(
        reference=make_reference(), msisdn=msisdn, organisation=ORGANISATION, amount=amount
    )


def test_effects_are_what_the_merchant_was_told(server: Server) -> None:
    merchant = Merchant(server.credentials)
    paid, failed = make_payment(CUSTOMER, amount=12), make_payment(WRONG_PIN, amount=3)
    answer = merchant.pay(paid)
    assert merchant.pay(paid).code == "INS-10"
    assert merchant.pay(failed).code == "INS-6"
    merchant.close()

    effects = read_effects(server)

    assert effects[paid.reference] == [
        Effect(
            market="vodacomTZN",
            operation="c2b_single_stage",
            status="Completed",
            amount_minor=1_200,
            moved_minor=1_200,
            transaction_id=answer.transaction_id,
            organisation=ORGANISATION,
            counterparty=CUSTOMER,
        )
    ]
    assert effects[failed.reference] == [
        Effect(
            market="vodacomTZN",
            operation="c2b_single_stage",
            status="Failed",
            amount_minor=300,
            moved_minor=0,
            transaction_id="N/A",
            organisation=ORGANISATION,
            counterparty=WRONG_PIN,
        )
    ]


def test_effects_are_those_of_merchants_alone(server: Server) -> None:
    """The server's check of itself, after its start, pays the smallest amount there is."""
    wait_until(
        lambda: 1 in read_recorded_amounts(server), timeout_s=TIMEOUT_S, what="the self-check"
    )
    assert 1 not in {
        effect.amount_minor for listed in read_effects(server).values() for effect in listed
    }


def test_a_merchant_who_asks_before_sending_again_pays_once_through_a_bad_network(
    server: Server,
) -> None:
    direct = Merchant(server.credentials)
    fates = {"drop": 0.1, "cut": 0.1, "cut_half": 0.1, "delay": 0.1, "keep": 0.2}
    with CuttingProxy(server.port, seed=1, delay_ms_max=20, late_ms_max=500, **fates) as proxy:
        merchant = Merchant(
            server.credentials, bearer=direct.bearer, connection=Connection(proxy.base_url)
        )
        payments = [make_payment(CUSTOMER, amount=1) for _ in range(PAYMENTS)]
        for payment in payments:
            settle(merchant, payment)
        proxy.let_everything_through()
        found = {payment.reference: settle(merchant, payment) for payment in payments}
        merchant.close()
    direct.close()

    effects = read_effects(server)
    for reference, transaction_id in found.items():
        (effect,) = effects[reference]
        assert (effect.status, effect.transaction_id) == ("Completed", transaction_id)
    assert all(proxy.counts[fate] for fate in FATES), proxy.counts
    assert proxy.counts["query_passed"] > proxy.counts["query_cut"] > 0
    assert proxy.counts["arrived_late"] == proxy.counts["kept"] + proxy.counts["query_kept"]
    assert proxy.counts["arrived_after_query"] > 0
    assert proxy.counts["gateway_gone"] == 0


def read_recorded_amounts(server: Server) -> set[int]:
    with server.open_books() as ask:
        return {amount_minor for (amount_minor,) in ask("SELECT amount_minor FROM payments")}


def settle(merchant: Merchant, payment: Payment) -> str:
    """Ask, send what is not there, and ask again; the TransactionID if all of it was answered."""
    with contextlib.suppress(Unanswered, NotSent):
        if merchant.query(payment.reference, organisation=ORGANISATION).code == "INS-23":
            with contextlib.suppress(Unanswered, NotSent):
                merchant.pay(payment)
        return merchant.query(payment.reference, organisation=ORGANISATION).transaction_id
    return ""
