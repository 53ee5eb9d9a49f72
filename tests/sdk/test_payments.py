"""What a payment with a key does, whatever the gateway answers: what is believed, and what is not."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pesalango import (
    AuthenticationError,
    CallError,
    Closing,
    Intent,
    InvalidRequestError,
    JournalError,
    KeyReusedError,
    NotSentError,
    OutcomeUnknownError,
    PaymentRefusedError,
    PaymentUnsettledError,
    SqliteJournal,
    StatusQueryNotEnabledError,
    UnavailableError,
)
from tests.e2e.server import find_free_port
from tests.sdk.payer import KINDS, OUT, Kind, Payer
from tests.sdk.scripted_gateway import (
    Reply,
    Request,
    ScriptedGateway,
    answer,
    cut,
    cut_midway,
    error,
    raw,
    silence,
    status,
)

PAY = "b2cPayment/"
ASK = "queryTransactionStatus/"
SOON = 0.05
"""Seconds: one look, and no pause."""

MakePayer = Callable[..., Payer]


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with ScriptedGateway() as gateway:
        yield gateway


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture
def payer(gateway: ScriptedGateway, kind: Kind, tmp_path: Path) -> Iterator[Payer]:
    with Payer(kind, gateway, tmp_path / "journal.db") as payer:
        yield payer


def made(gateway: ScriptedGateway) -> list[str]:
    """What arrived, sessions apart."""
    return [request.operation for request in gateway.requests if request.bearer != gateway.api_key]


def payments(gateway: ScriptedGateway) -> list[Request]:
    return [request for request in gateway.requests if request.operation == PAY]


def test_a_payment_is_made_once_for_its_key(gateway: ScriptedGateway, payer: Payer) -> None:
    gateway.script(PAY, answer(output_TransactionID="5fT0kQ2mBx7L"))
    payment = payer.pay_out()
    assert (payment.state, payment.transaction_id) == ("completed", "5fT0kQ2mBx7L")
    assert payment.third_party_conversation_id == payments(gateway)[0].reference
    assert payer.pay_out() == payment
    assert payer.find() == payment
    assert made(gateway) == [PAY]


def test_a_refused_payment_stays_refused_under_its_key(
    gateway: ScriptedGateway, payer: Payer
) -> None:
    gateway.script(PAY, answer("INS-2006"), answer())
    for _ in range(2):
        with pytest.raises(PaymentRefusedError) as refused:
            payer.pay_out()
        assert (refused.value.code, refused.value.payment.state) == ("INS-2006", "refused")
        assert not refused.value.may_have_moved_money
    assert made(gateway) == [PAY]


@pytest.mark.parametrize(
    ("reply", "kind_of_error"),
    [
        (answer("INS-16"), UnavailableError),
        (answer("INS-17"), InvalidRequestError),
        (error(401, "Origin not allowed"), AuthenticationError),
        (error(429, "too many"), UnavailableError),
        (error(413, "too large"), InvalidRequestError),
    ],
)
def test_a_key_is_free_again_where_nothing_was_recorded(
    gateway: ScriptedGateway, payer: Payer, reply: Reply, kind_of_error: type[CallError]
) -> None:
    gateway.script(PAY, reply, answer())
    with pytest.raises(kind_of_error) as refused:
        payer.pay_out()
    assert not refused.value.may_have_moved_money
    assert payer.find() is None
    # With other values too: what was wrong may be put right.
    assert payer.pay_out(amount="12.00").state == "completed"
    first, second = payments(gateway)
    assert first.reference != second.reference


def test_a_payment_that_never_left_leaves_its_key_free(
    gateway: ScriptedGateway, kind: Kind, tmp_path: Path
) -> None:
    nobody = f"http://127.0.0.1:{find_free_port()}"
    with Payer(kind, gateway, tmp_path / "journal.db", base_url=nobody) as payer:
        with pytest.raises(NotSentError):
            payer.pay_out()
        assert payer.find() is None


@pytest.mark.parametrize(
    "reply",
    [
        cut(),
        cut_midway(),
        raw(502, b"<html>Bad Gateway</html>"),
        error(503, "Service is not available"),
        error(408, "Request timeout"),
        raw(200, b"{}"),
        answer(output_TransactionID=""),
        answer(output_ThirdPartyConversationID="0" * 32),
        answer("INS-10"),
        answer("INS-9"),
        answer("INS-1"),
        answer("INS-77777"),
    ],
)
def test_a_lost_answer_is_found_out_by_the_status(
    gateway: ScriptedGateway, payer: Payer, reply: Reply
) -> None:
    gateway.script(PAY, reply)
    gateway.script(ASK, status("Completed", "5fT0kQ2mBx7L"))
    payment = payer.pay_out()
    assert (payment.state, payment.transaction_id) == ("completed", "5fT0kQ2mBx7L")
    assert made(gateway) == [PAY, ASK]
    question = gateway.requests[-1]
    assert question.query["input_QueryReference"] == payment.third_party_conversation_id
    assert question.query["input_ServiceProviderCode"] == OUT["service_provider_code"]


@pytest.mark.parametrize("ended", ["Failed", "Expired", "Cancelled"])
def test_a_status_that_is_final_closes_a_payment_as_refused(
    gateway: ScriptedGateway, payer: Payer, ended: str
) -> None:
    gateway.script(PAY, cut())
    gateway.script(ASK, status(ended))
    with pytest.raises(PaymentRefusedError) as refused:
        payer.pay_out()
    assert refused.value.payment.text == ended


def test_a_payment_that_waits_for_its_customer_is_waited_for(
    gateway: ScriptedGateway, payer: Payer
) -> None:
    gateway.script(PAY, cut())
    gateway.script(ASK, status("Pending"), status("Pending"), status("Completed", "5fT0kQ2mBx7L"))
    assert payer.pay_out().transaction_id == "5fT0kQ2mBx7L"
    assert made(gateway) == [PAY, ASK, ASK, ASK]


def test_a_request_that_never_arrived_is_sent_again_unchanged(
    gateway: ScriptedGateway, payer: Payer
) -> None:
    gateway.script(PAY, cut(), answer(output_TransactionID="5fT0kQ2mBx7L"))
    gateway.script(ASK, answer("INS-23"))
    assert payer.pay_out().transaction_id == "5fT0kQ2mBx7L"
    assert made(gateway) == [PAY, ASK, PAY]
    first, second = payments(gateway)
    assert first.body == second.body


@pytest.mark.parametrize("refusal", ["INS-2006", "INS-17", "INS-16", "INS-997", "INS-10"])
def test_a_refusal_of_another_sending_closes_nothing(
    gateway: ScriptedGateway, payer: Payer, refusal: str
) -> None:
    gateway.script(PAY, cut(), answer(refusal))
    gateway.script(ASK, answer("INS-23"), status("Completed", "5fT0kQ2mBx7L"))
    assert payer.pay_out().transaction_id == "5fT0kQ2mBx7L"
    assert made(gateway) == [PAY, ASK, PAY, ASK]


def test_not_found_alone_never_closes_a_payment(gateway: ScriptedGateway, payer: Payer) -> None:
    gateway.script(PAY, cut(), answer("INS-2006"))
    gateway.script(ASK, answer("INS-23"))
    with pytest.raises(PaymentUnsettledError) as unsettled:
        payer.pay_out(within=SOON)
    assert unsettled.value.may_have_moved_money
    assert unsettled.value.payment.state == "open"
    found = payer.find()
    assert found is not None
    assert found.state == "open"
    gateway.script(ASK, status("Completed", "5fT0kQ2mBx7L"))
    assert payer.pay_out().transaction_id == "5fT0kQ2mBx7L"
    assert {request.reference for request in payments(gateway)} == {
        found.third_party_conversation_id
    }


def test_a_gateway_that_goes_away_leaves_a_payment_open(
    gateway: ScriptedGateway, payer: Payer
) -> None:
    gateway.script(PAY, cut())
    gateway.script(ASK, cut())
    with pytest.raises(PaymentUnsettledError, match="the connection broke"):
        payer.pay_out(within=SOON)
    gateway.script(ASK, status("Failed"))
    with pytest.raises(PaymentRefusedError):
        payer.pay_out()


def test_without_the_status_query_the_outcome_is_said_to_be_unknown(
    gateway: ScriptedGateway, payer: Payer
) -> None:
    gateway.script(PAY, cut(), answer("INS-10"))
    gateway.script(ASK, answer("INS-997"))
    with pytest.raises(StatusQueryNotEnabledError, match="not enabled"):
        payer.pay_out()
    # What had arrived is a duplicate; nothing more can be learnt, and it is not waited for.
    assert made(gateway) == [PAY, ASK, PAY]
    (left,) = payer.recover()
    assert (left.state, "INS-997" in left.text) == ("open", True)


def test_without_the_status_query_another_sending_may_still_succeed(
    gateway: ScriptedGateway, payer: Payer
) -> None:
    gateway.script(PAY, cut(), answer(output_TransactionID="5fT0kQ2mBx7L"))
    gateway.script(ASK, answer("INS-997"))
    assert payer.pay_out().transaction_id == "5fT0kQ2mBx7L"


@pytest.mark.parametrize("refusal", ["INS-2006", "INS-17"])
def test_a_first_refusal_is_not_believed_once_somebody_else_has_sent_it(
    gateway: ScriptedGateway, payer: Payer, refusal: str
) -> None:
    def take_it_up(_: Request) -> None:
        # While the first sending is on its way, another process takes the payment up.
        assert payer.journal.count_sending(payer.platform, "wages-1") is not None

    gateway.script(PAY, _after(take_it_up, answer(refusal)))
    gateway.script(ASK, status("Completed", "5fT0kQ2mBx7L"))
    assert payer.pay_out().transaction_id == "5fT0kQ2mBx7L"


def test_a_key_is_for_one_payment(gateway: ScriptedGateway, payer: Payer) -> None:
    payer.pay_out()
    assert payer.pay_out(amount=10).state == "completed"  # the same amount in other words
    with pytest.raises(KeyReusedError) as reused:
        payer.pay_out(amount=11, customer_msisdn="255744553111")
    assert reused.value.names == ("input_Amount", "input_CustomerMSISDN")
    with pytest.raises(KeyReusedError):
        payer.make(
            "reverse", key="wages-1", transaction_id="5fT0kQ2mBx7L", service_provider_code="ORG001"
        )
    assert made(gateway) == [PAY]


@pytest.mark.parametrize("key", ["", "a" * 201, "two\nlines", "nul\0"])
def test_a_key_that_is_none_is_refused_before_anything_is_sent(
    gateway: ScriptedGateway, payer: Payer, key: str
) -> None:
    with pytest.raises(ValueError, match="a key has 1 to 200 printable characters"):
        payer.pay_out(key)
    assert not gateway.requests


def test_the_identity_of_a_payment_cannot_be_given_from_outside(
    gateway: ScriptedGateway, payer: Payer
) -> None:
    with pytest.raises(ValueError, match="input_ThirdPartyConversationID"):
        payer.pay_out(extra_fields={"input_ThirdPartyConversationID": "mine"})
    assert not gateway.requests


def test_recover_settles_what_a_killed_program_left(gateway: ScriptedGateway, payer: Payer) -> None:
    # Kept and never sent; sent and its answer lost; refused behind a lost answer.
    for number in range(3):
        payer.journal.begin(_make_intent(payer, gateway, number))

    def tell(request: Request) -> Reply:
        return {
            "c" * 31 + "0": answer("INS-23"),
            "c" * 31 + "1": status("Completed", "5fT0kQ2mBx7L"),
            "c" * 31 + "2": status("Failed"),
        }[request.query["input_QueryReference"]]

    gateway.script(ASK, Reply(lambda request: tell(request).make_content(request)))
    gateway.script(PAY, answer(output_TransactionID="7aBc2mXw1LpQ"))
    recovered = payer.recover()
    assert [(one.key, one.state, one.transaction_id) for one in recovered] == [
        ("left-0", "completed", "7aBc2mXw1LpQ"),
        ("left-1", "completed", "5fT0kQ2mBx7L"),
        ("left-2", "refused", ""),
    ]
    assert [request.reference for request in payments(gateway)] == ["c" * 31 + "0"]
    assert payer.recover() == []


def test_recover_says_why_a_payment_stays_open(gateway: ScriptedGateway, payer: Payer) -> None:
    payer.journal.begin(_make_intent(payer, gateway, 1))
    gateway.script(ASK, status("Pending"))
    (left,) = payer.recover(within=SOON)
    assert (left.state, left.text) == ("open", "the customer is still being asked")


def test_what_can_never_be_found_out_is_written_off_by_hand(
    gateway: ScriptedGateway, payer: Payer
) -> None:
    with pytest.raises(ValueError, match="not in the journal"):
        payer.make("write_off", key="wages-1", reason="the operator says so")
    gateway.script(PAY, cut(), answer("INS-2006"))
    gateway.script(ASK, answer("INS-23"))
    with pytest.raises(PaymentUnsettledError):
        payer.pay_out(within=SOON)
    with pytest.raises(ValueError, match="for a reason"):
        payer.make("write_off", key="wages-1", reason=" ")
    sent = len(gateway.requests)
    written = payer.make("write_off", key="wages-1", reason="the operator says so")
    assert (written.state, written.text) == ("refused", "written off: the operator says so")
    assert payer.recover() == []
    with pytest.raises(PaymentRefusedError, match="the operator says so"):
        payer.pay_out()
    with pytest.raises(ValueError, match="is refused"):
        payer.make("write_off", key="wages-1", reason="again")
    assert len(gateway.requests) == sent


def test_a_success_of_what_was_written_off_meanwhile_is_not_kept_quiet(
    gateway: ScriptedGateway, payer: Payer
) -> None:
    def write_off(_: Request) -> None:
        closing = Closing(state="refused", text="written off", closed_at=datetime.now(UTC))
        assert payer.journal.close_intent(payer.platform, "wages-1", closing, sendings=None)

    gateway.script(PAY, _after(write_off, answer(output_TransactionID="5fT0kQ2mBx7L")))
    with pytest.raises(
        OutcomeUnknownError, match=r"is completed \(5fT0kQ2mBx7L\), while the journal"
    ):
        payer.pay_out()


def test_recover_goes_on_where_ledger_and_journal_disagree(
    gateway: ScriptedGateway, payer: Payer
) -> None:
    for number in range(1, 3):
        payer.journal.begin(_make_intent(payer, gateway, number))

    def write_off(request: Request) -> None:
        if request.query["input_QueryReference"].endswith("1"):
            closing = Closing(state="refused", text="written off", closed_at=datetime.now(UTC))
            payer.journal.close_intent(payer.platform, "left-1", closing, sendings=None)

    gateway.script(ASK, _after(write_off, status("Completed", "5fT0kQ2mBx7L")))
    disagreed, settled = payer.recover()
    assert (disagreed.key, "Correct your own books" in disagreed.text) == ("left-1", True)
    assert (settled.key, settled.state) == ("left-2", "completed")


def test_recover_ends_in_time_though_nobody_answers(gateway: ScriptedGateway, payer: Payer) -> None:
    for number in range(1, 4):
        payer.journal.begin(_make_intent(payer, gateway, number))
    gateway.script(ASK, silence())
    with Payer(payer.kind, gateway, payer.journal.path, timeout=0.2) as hasty:
        left = hasty.recover(within=0.1)
    assert [payment.state for payment in left] == ["open"] * 3
    assert sum(payment.text == "not come to in the time given" for payment in left) == 2
    assert made(gateway) == [ASK]


def test_what_recover_had_settled_is_told_when_the_journal_fails_it(
    gateway: ScriptedGateway, payer: Payer
) -> None:
    for number in range(1, 3):
        payer.journal.begin(_make_intent(payer, gateway, number))
    gateway.script(ASK, status("Completed", "5fT0kQ2mBx7L"))
    close, closed = SqliteJournal.close_intent, []

    def close_one(self: SqliteJournal, *arguments: Any, **keywords: Any) -> bool:
        closed.append(arguments[1])
        if len(closed) > 1:
            raise JournalError("no room")
        return close(self, *arguments, **keywords)

    class Failing(SqliteJournal):
        close_intent = close_one

    journal = Failing(payer.journal.path)
    with (
        Payer(payer.kind, gateway, payer.journal.path, journal=journal) as failing,
        pytest.raises(JournalError) as failed,
    ):
        failing.recover()
    journal.close()
    assert [payment.key for payment in failed.value.settled] == closed[:1]


def test_headers_of_a_payment_go_with_every_request_of_the_call(
    gateway: ScriptedGateway, payer: Payer
) -> None:
    gateway.script(PAY, cut(), answer())
    gateway.script(ASK, answer("INS-23"))
    payer.pay_out(headers={"X-Edge": "let me in"})
    sent = [request.headers.get("x-edge") for request in gateway.requests]
    assert sent[1:] == ["let me in"] * 3


def test_a_proxy_of_no_known_kind_sends_nothing_and_keeps_nothing(
    payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "carrier-pigeon://here")
    with pytest.raises(NotSentError, match="no connection can be made"):
        payer.pay_out()
    assert payer.find() is None


def test_another_applications_payment_is_never_sent_again(
    gateway: ScriptedGateway, kind: Kind, payer: Payer, tmp_path: Path
) -> None:
    gateway.script(PAY, cut(), answer("INS-2006"))
    gateway.script(ASK, answer("INS-23"))
    with pytest.raises(PaymentUnsettledError):
        payer.pay_out(within=SOON)
    sent = len(payments(gateway))
    was, gateway.api_key = gateway.api_key, "another0" * 4
    with Payer(kind, gateway, tmp_path / "journal.db") as other:
        (left,) = other.recover(within=SOON)
        assert (left.state, "another API key" in left.text) == ("open", True)
        with pytest.raises(PaymentUnsettledError, match="another API key"):
            other.pay_out()
    assert len(payments(gateway)) == sent
    # The key of the same application was changed: then it goes on.
    gateway.script(PAY, answer(output_TransactionID="5fT0kQ2mBx7L"))
    with Payer(kind, gateway, tmp_path / "journal.db", former_api_keys=[was]) as renewed:
        (settled,) = renewed.recover()
        assert settled.transaction_id == "5fT0kQ2mBx7L"


def test_payments_of_one_market_are_not_seen_from_another(
    gateway: ScriptedGateway, kind: Kind, payer: Payer, tmp_path: Path
) -> None:
    payer.journal.begin(_make_intent(payer, gateway, 1))
    with Payer(kind, gateway, tmp_path / "journal.db", market="vodacomTZN") as other:
        assert other.recover() == []
        assert other.find("left-1") is None


def test_each_way_to_pay_says_what_it_is(gateway: ScriptedGateway, payer: Payer) -> None:
    common = {"amount": 5, "transaction_reference": "R1"}
    payer.make(
        "collect",
        key="in",
        customer_msisdn="254707161122",
        service_provider_code="ORG001",
        purchased_items_description="Coffee",
        **common,
    )
    payer.make(
        "pay_business",
        key="b2b",
        primary_party_code="ORG001",
        receiver_party_code="ORG002",
        purchased_items_description="Beans",
        **common,
    )
    reversed_ = payer.make(
        "reverse", key="back", transaction_id="5fT0kQ2mBx7L", service_provider_code="ORG001"
    )
    assert reversed_.amount is None
    assert made(gateway) == ["c2bPayment/singleStage/", "b2bPayment/", "reversal/"]
    bodies = [request.body or {} for request in gateway.requests[1:]]
    assert [body["input_Country"] for body in bodies] == ["GHA"] * 3
    assert [body.get("input_Currency") for body in bodies] == ["GHS", "GHS", None]


def test_a_lost_supplier_payment_is_asked_for_by_the_payer(
    gateway: ScriptedGateway, payer: Payer
) -> None:
    gateway.script("b2bPayment/", cut())
    gateway.script(ASK, status("Completed", "5fT0kQ2mBx7L"))
    payer.make(
        "pay_business",
        key="b2b",
        amount=5,
        primary_party_code="ORG001",
        receiver_party_code="ORG002",
        transaction_reference="R1",
        purchased_items_description="Beans",
    )
    assert gateway.requests[-1].query["input_ServiceProviderCode"] == "ORG001"


def _after(action: Callable[[Request], None], reply: Reply) -> Reply:
    """The reply, once the action was carried out."""

    def make_content(request: Request):  # type: ignore[no-untyped-def]  # noqa: ANN202
        action(request)
        return reply.make_content(request)

    return Reply(make_content)


def _make_intent(payer: Payer, gateway: ScriptedGateway, number: int) -> Intent:
    """As a program leaves it that is killed around its sending."""
    payer.pay_out(f"pattern-{number}")
    kept = payer.journal.find(payer.platform, f"pattern-{number}")
    assert kept is not None
    gateway.requests.clear()
    return Intent(
        platform=kept.platform,
        key=f"left-{number}",
        sender=kept.sender,
        operation=kept.operation,
        body={**kept.body, "input_ThirdPartyConversationID": "c" * 31 + str(number)},
        created_at=datetime.now(UTC),
    )
