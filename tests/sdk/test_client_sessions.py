"""Session keys as a client has them: fetched once, renewed in time, and no reason for doubt.

The operator gives a session key for a while, accepts it up to half a minute later, and answers HTTP
401 without a code to whatever it does not accept: nothing was looked at then.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from pesalango import (
    AuthenticationError,
    CallError,
    NotEnabledError,
    NotSentError,
    TooManyAttemptsError,
    UnavailableError,
)
from tests.e2e.server import wait_until
from tests.sdk.callers import END_TIMEOUT_S, KINDS, Caller, Kind, known
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
)

C2B = "c2bPayment/singleStage/"
SESSION = "getSession/"
AT_ONCE = 32


def not_accepted(retry_after: str | None = None, text: str = "Unknown session") -> Reply:
    return error(401, text, {} if retry_after is None else {"Retry-After": retry_after})


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with ScriptedGateway() as gateway:
        yield gateway


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture
def caller(kind: Kind, gateway: ScriptedGateway) -> Iterator[Caller]:
    with Caller(kind, **known(gateway)) as caller:
        yield caller


def list_requests(gateway: ScriptedGateway, operation: str) -> list[Request]:
    return [request for request in gateway.requests if request.operation == operation]


def list_operations(gateway: ScriptedGateway) -> list[str]:
    return [request.operation for request in gateway.requests]


def find_session(caller: Caller) -> Any:
    """The client's session, whose times the tests move: nobody waits for an hour here."""
    return caller.client._keeper._session


def let_it_near_its_end(caller: Caller) -> None:
    find_session(caller).renew_at = 0.0


def let_it_end(caller: Caller) -> None:
    find_session(caller).renew_at = find_session(caller).ends_at = 0.0


# --- fetched once --------------------------------------------------------------------------------


def test_a_session_is_fetched_once_and_encrypted_once(
    caller: Caller, gateway: ScriptedGateway
) -> None:
    for _ in range(3):
        caller.pay()
    caller.call("close")
    caller.pay()
    assert list_operations(gateway) == [SESSION, *4 * [C2B]]
    assert gateway.requests[0].bearer == gateway.api_key
    payments = list_requests(gateway, C2B)
    assert len({request.headers["authorization"] for request in payments}) == 1
    assert payments[0].bearer not in {"", gateway.api_key}


def test_a_session_can_be_had_before_the_first_call(
    caller: Caller, gateway: ScriptedGateway
) -> None:
    caller.call("open_session")
    caller.call("open_session")
    assert list_operations(gateway) == [SESSION]
    caller.pay()
    assert list_operations(gateway) == [SESSION, C2B]


def test_many_at_once_fetch_one_session(caller: Caller, gateway: ScriptedGateway) -> None:
    with gateway.hold(SESSION) as held:
        waiting = [caller.start_paying() for _ in range(AT_ONCE)]
        assert held.arrived.wait(END_TIMEOUT_S)
    paid = {each.result(END_TIMEOUT_S).transaction_id for each in waiting}
    assert len(paid) == AT_ONCE
    assert len(list_requests(gateway, SESSION)) == 1
    assert len({request.bearer for request in list_requests(gateway, C2B)}) == 1


def test_who_gives_up_waiting_for_a_session_keeps_nobody_from_it(gateway: ScriptedGateway) -> None:
    with Caller("tasks", **known(gateway)) as caller:
        with gateway.hold(SESSION) as held:
            first = caller.start_paying()
            assert held.arrived.wait(END_TIMEOUT_S)
            second = caller.start_paying()
            assert first.cancel()
        assert second.result(END_TIMEOUT_S).response_code == "INS-0"
    assert len(list_requests(gateway, C2B)) == 1


# --- renewed -------------------------------------------------------------------------------------


def test_a_session_whose_time_is_over_is_replaced_before_it_is_used(
    kind: Kind, gateway: ScriptedGateway
) -> None:
    with Caller(kind, **known(gateway, session_lifetime=1e-6)) as caller:
        caller.pay()
        caller.pay()
    assert list_operations(gateway) == [SESSION, C2B, SESSION, C2B]
    assert len({request.bearer for request in list_requests(gateway, C2B)}) == 2


def test_a_session_is_renewed_before_its_end_while_others_go_on_with_it(
    caller: Caller, gateway: ScriptedGateway
) -> None:
    caller.pay()
    let_it_near_its_end(caller)
    with gateway.hold(SESSION) as held:
        renewing = caller.start_paying(third_party_conversation_id="renewing")
        assert held.arrived.wait(END_TIMEOUT_S)
        for _ in range(3):
            caller.pay()
    renewing.result(END_TIMEOUT_S)
    caller.pay()
    bearers = [request.bearer for request in list_requests(gateway, C2B)]
    assert len(set(bearers[:4])) == 1
    assert len(set(bearers[4:])) == 1
    assert bearers[0] != bearers[4]
    assert len(list_requests(gateway, SESSION)) == 2


def test_who_comes_when_a_session_has_ended_waits_for_the_next(
    caller: Caller, gateway: ScriptedGateway
) -> None:
    caller.pay()
    let_it_end(caller)
    with gateway.hold(SESSION) as held:
        waiting = [caller.start_paying() for _ in range(AT_ONCE)]
        assert held.arrived.wait(END_TIMEOUT_S)
    for each in waiting:
        each.result(END_TIMEOUT_S)
    first, *others = [request.bearer for request in list_requests(gateway, C2B)]
    assert len(set(others)) == 1
    assert first not in others
    assert len(list_requests(gateway, SESSION)) == 2


@pytest.mark.parametrize(
    "reply", [cut(), answer("INS-989"), raw(503, b"")], ids=["cut", "INS-989", "503"]
)
def test_a_renewal_that_fails_is_no_harm_while_the_session_is_good(
    caller: Caller, gateway: ScriptedGateway, reply: Reply
) -> None:
    caller.pay()
    let_it_near_its_end(caller)
    gateway.script(SESSION, reply, answer())
    caller.pay()
    caller.pay()
    first, second, third = [request.bearer for request in list_requests(gateway, C2B)]
    assert first == second != third
    assert len(list_requests(gateway, SESSION)) == 3


# --- not accepted --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["Unknown session", "No access to this resource", ""])
def test_a_session_that_ends_in_mid_life_is_replaced_and_the_request_sent_once_more(
    caller: Caller, gateway: ScriptedGateway, text: str
) -> None:
    caller.pay()
    gateway.script(C2B, not_accepted(text=text), answer())
    paid = caller.pay()
    assert list_operations(gateway) == [SESSION, C2B, C2B, SESSION, C2B]
    _, refused, taken = list_requests(gateway, C2B)
    assert refused.body == taken.body
    assert refused.reference == paid.third_party_conversation_id
    assert refused.bearer != taken.bearer


def test_many_whose_session_ends_fetch_one_other(caller: Caller, gateway: ScriptedGateway) -> None:
    caller.pay()
    gateway.script(C2B, *AT_ONCE * [not_accepted()], answer())
    with gateway.hold(C2B) as held:
        waiting = [caller.start_paying() for _ in range(AT_ONCE)]
        assert held.arrived.wait(END_TIMEOUT_S)
        # All of them have to be sent with the session that ends.
        wait_for_requests(gateway, AT_ONCE + 1)
    for each in waiting:
        each.result(END_TIMEOUT_S)
    assert len(list_requests(gateway, SESSION)) == 2
    assert len(list_requests(gateway, C2B)) == 1 + 2 * AT_ONCE


def wait_for_requests(gateway: ScriptedGateway, number: int) -> None:
    wait_until(
        lambda: len(list_requests(gateway, C2B)) >= number,
        timeout_s=END_TIMEOUT_S,
        what=f"{number} payments",
    )


def test_a_session_that_is_not_accepted_after_a_new_one_is_told(
    caller: Caller, gateway: ScriptedGateway
) -> None:
    caller.pay()
    gateway.script(C2B, not_accepted("60"))
    with pytest.raises(AuthenticationError, match="Unknown session") as raised:
        caller.pay()
    assert list_operations(gateway) == [SESSION, C2B, C2B, SESSION, C2B]
    found = raised.value
    assert (found.http_status, found.code, found.retry_after_s) == (401, None, 60.0)
    assert (found.operation, found.third_party_conversation_id) == (
        "c2b_single_stage",
        gateway.requests[-1].reference,
    )
    assert (found.may_have_moved_money, found.is_retry_safe) == (False, True)


@pytest.mark.parametrize(
    "text", ["Origin not allowed", "Origin header is missing", "Source not allowed"]
)
@pytest.mark.parametrize("before", [0, 1])
def test_a_caller_who_is_not_admitted_is_told_at_once(
    caller: Caller, gateway: ScriptedGateway, text: str, before: int
) -> None:
    for _ in range(before):
        caller.pay()
    gateway.script(C2B, not_accepted("0.01", text))
    with pytest.raises(AuthenticationError, match=text):
        caller.pay()
    assert list_operations(gateway) == [SESSION, *before * [C2B], C2B]


@pytest.mark.parametrize("retry_after", ["0.01", "0", None])
def test_a_session_that_is_not_live_yet_is_waited_for(
    caller: Caller, gateway: ScriptedGateway, retry_after: str | None
) -> None:
    gateway.script(C2B, not_accepted("0.01"), not_accepted(retry_after), answer())
    caller.pay()
    assert list_operations(gateway) == [SESSION, C2B, C2B, C2B]
    sent = list_requests(gateway, C2B)
    assert len({json.dumps([request.body, request.bearer]) for request in sent}) == 1


def test_the_session_before_is_used_while_the_new_one_is_not_live_yet(
    caller: Caller, gateway: ScriptedGateway
) -> None:
    caller.pay()
    let_it_near_its_end(caller)
    # Were it waited for, it would be for longer than a new session may take.
    gateway.script(C2B, not_accepted("60"), answer())
    for _ in range(3):
        caller.pay()
    assert list_operations(gateway) == [SESSION, C2B, SESSION, *4 * [C2B]]
    first, refused, instead, *after = [request.bearer for request in list_requests(gateway, C2B)]
    assert first == instead != refused
    assert after == 2 * [refused]


def test_where_neither_session_is_accepted_the_new_one_is_waited_for(
    caller: Caller, gateway: ScriptedGateway
) -> None:
    caller.pay()
    let_it_near_its_end(caller)
    gateway.script(C2B, not_accepted("0.01"), not_accepted("0.01"), answer())
    caller.pay()
    first, new, old, again = [request.bearer for request in list_requests(gateway, C2B)]
    assert first == old != new == again
    assert len(list_requests(gateway, SESSION)) == 2


def test_a_session_that_was_never_used_and_has_ended_is_replaced(
    caller: Caller, gateway: ScriptedGateway
) -> None:
    caller.call("open_session")
    find_session(caller).fetched_at -= 600
    gateway.script(C2B, not_accepted(), answer())
    caller.pay()
    assert list_operations(gateway) == [SESSION, C2B, SESSION, C2B]


# --- no session to be had ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "kind_of_error", "code"),
    [
        (error(401, "Unknown API key"), AuthenticationError, None),
        (error(401, "Origin not allowed"), AuthenticationError, None),
        (error(429, "Too many failures", {"Retry-After": "3"}), TooManyAttemptsError, None),
        (answer("INS-989"), UnavailableError, "INS-989"),
        (answer("INS-997"), NotEnabledError, "INS-997"),
        (answer("INS-9"), NotSentError, "INS-9"),
        (answer("INS-10"), NotSentError, "INS-10"),
        (answer("INS-12345"), NotSentError, "INS-12345"),
        (answer(output_SessionID=None), NotSentError, "INS-0"),
        (answer(output_SessionID=""), NotSentError, "INS-0"),
        (error(404, "No such path"), NotSentError, None),
        (error(500, "A fault", {"Retry-After": "3"}), NotSentError, None),
        (raw(502, b"<html>"), NotSentError, None),
        (raw(401, b"<html>"), NotSentError, None),
        (raw(302, b"", {"Location": "/elsewhere"}), NotSentError, None),
        (raw(200, b"[]"), NotSentError, None),
        (cut(), NotSentError, None),
        (cut_midway(), NotSentError, None),
        (silence(), NotSentError, None),
    ],
    ids=[
        *("401", "401 of the origin", "429", "INS-989", "INS-997", "INS-9", "INS-10", "unknown"),
        *("no key", "empty key", "404", "500", "502", "401 HTML", "302", "200 without a code"),
        *("cut", "cut midway", "silence"),
    ],
)
def test_without_a_session_nothing_was_sent_and_the_next_call_asks_anew(
    kind: Kind,
    gateway: ScriptedGateway,
    reply: Reply,
    kind_of_error: type[CallError],
    code: str | None,
) -> None:
    gateway.script(SESSION, reply, answer())
    with Caller(kind, **known(gateway, timeout=0.2)) as caller:
        with pytest.raises(CallError) as raised:
            caller.pay(third_party_conversation_id="mine")
        assert list_operations(gateway) == [SESSION]
        found = raised.value
        assert type(found) is kind_of_error
        assert found.may_have_moved_money is False
        assert (found.code, found.third_party_conversation_id) == (code, "mine")
        assert found.retry_after_s == (3.0 if found.http_status in {429, 500} else None)
        caller.call("open_session")
        assert caller.pay(timeout=20.0).response_code == "INS-0"
        assert list_operations(gateway) == [SESSION, SESSION, C2B]
