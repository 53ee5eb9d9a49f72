"""Whatever is asked of an engine in whatever order: after every step the books are right.

A model beside the engine knows what each wallet must hold: it is told outcomes, and believes those
alone. Money that moves without an outcome that says so, or the other way round, shows at once.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from pesalango_server.engine.faults import Point
from pesalango_server.kernel.message import Done, PaymentOutcome
from pesalango_server.ledger.model import Answer
from pesalango_server.ledger.parties import (
    FundCustomers,
    ScriptCustomer,
    SetCustomerStatus,
    SetOrganisation,
)
from pesalango_server.ledger.statuses import FINAL_STATES, State, Status
from pesalango_server.payments.commands import (
    AnswerPrompt,
    ExpirePrompt,
    TakeC2b,
    TakePayment,
    TakeReversal,
)
from tests.store.engine_fixture import (
    LOCKED,
    PAYER,
    PAYER_MINOR,
    POOR,
    POOR_MINOR,
    SHOP,
    SHOP_WITHOUT_PRODUCTS,
    SUSPENDED_SHOP,
    WAIT_MS,
    Rig,
    make_b2b,
    make_b2c,
    make_c2b,
    make_reversal,
    open_copy,
    run_batch,
)

SHOP_MINOR = 500_00

CUSTOMERS = st.sampled_from((PAYER, POOR, LOCKED))
ORGANISATIONS = st.sampled_from((SHOP, SUSPENDED_SHOP))
CRASHES = st.sampled_from(
    (None,) * 6
    + (Point.TAKEN, Point.LOCKED, Point.WRITTEN, Point.COMMITTING, Point.COMMITTED, Point.COMMITTED)
)
AMOUNTS_MINOR = st.sampled_from((1, 5, 6, 100_00, 999_99, 1_000_00))


class _Crash(BaseException):
    """Ends an engine where it stands: nothing of it catches this."""


class _CrashAt:
    """See `FaultPort`."""

    def __init__(self, point: Point) -> None:
        self._point = point

    def reach(self, point: Point) -> None:
        if point == self._point:
            raise _Crash


class MoneyMachine(RuleBasedStateMachine):
    """One ledger, its model, and everybody who has something to say to it."""

    make_rig: Any

    payments = Bundle("payments")

    def __init__(self) -> None:
        super().__init__()
        self._opened = contextlib.ExitStack()
        self.rig: Rig = self._opened.enter_context(self.make_rig())
        self.balances = {
            PAYER: PAYER_MINOR,
            POOR: POOR_MINOR,
            LOCKED: PAYER_MINOR,
            SHOP: SHOP_MINOR,
        }
        self.balances[SUSPENDED_SHOP] = self.balances[SHOP_WITHOUT_PRODUCTS] = 0
        self.known: dict[int, TakePayment] = {}
        self.left: dict[int, int] = {}
        self.standings: dict[int, tuple[State, Status]] = {}
        self.funded: dict[str, int] = {}
        self.count = 0

    @initialize()
    def open_ledger(self) -> None:
        assert self.rig.open_ledger() == 1

    def teardown(self) -> None:
        self._opened.close()

    # -- what is asked -------------------------------------------------------------------

    @rule(
        target=payments,
        msisdn=CUSTOMERS,
        organisation=ORGANISATIONS,
        amount_minor=AMOUNTS_MINOR,
        approves=st.booleans(),
        repeats=st.booleans(),
        wait_ms=st.sampled_from((WAIT_MS, 1_000)),
        crash_at=CRASHES,
    )
    def pay(
        self,
        msisdn: str,
        organisation: str,
        amount_minor: int,
        approves: bool,
        repeats: bool,
        wait_ms: int,
        crash_at: Point | None,
    ) -> Any:
        command = make_c2b(
            reference=self._new_reference(),
            msisdn=msisdn,
            organisation=organisation,
            amount_minor=amount_minor,
            approves_unscripted=approves,
            wait_ms=wait_ms,
        )
        return self._take(command, repeats=repeats, crash_at=crash_at)

    @rule(
        target=payments,
        msisdn=CUSTOMERS,
        organisation=ORGANISATIONS,
        amount_minor=AMOUNTS_MINOR,
        repeats=st.booleans(),
        crash_at=CRASHES,
    )
    def pay_out(
        self,
        msisdn: str,
        organisation: str,
        amount_minor: int,
        repeats: bool,
        crash_at: Point | None,
    ) -> Any:
        command = make_b2c(
            reference=self._new_reference(),
            msisdn=msisdn,
            organisation=organisation,
            amount_minor=amount_minor,
        )
        return self._take(command, repeats=repeats, crash_at=crash_at)

    @rule(
        target=payments,
        payer=ORGANISATIONS,
        payee=st.sampled_from((SHOP, SUSPENDED_SHOP, SHOP_WITHOUT_PRODUCTS)),
        amount_minor=AMOUNTS_MINOR,
        repeats=st.booleans(),
        crash_at=CRASHES,
    )
    def pay_supplier(
        self, payer: str, payee: str, amount_minor: int, repeats: bool, crash_at: Point | None
    ) -> Any:
        command = make_b2b(
            reference=self._new_reference(),
            organisation=payer,
            receiver=payee,
            amount_minor=amount_minor,
        )
        return self._take(command, repeats=repeats, crash_at=crash_at)

    @rule(
        target=payments,
        original=payments,
        organisation=ORGANISATIONS,
        amount_minor=st.sampled_from((0, 0, 1, 3, 100_00)),
        repeats=st.booleans(),
        crash_at=CRASHES,
    )
    def reverse(
        self,
        original: int,
        organisation: str,
        amount_minor: int,
        repeats: bool,
        crash_at: Point | None,
    ) -> Any:
        command = make_reversal(
            reference=self._new_reference(),
            original=original,
            organisation=organisation,
            amount_minor=amount_minor,
        )
        return self._take(command, repeats=repeats, crash_at=crash_at)

    def _new_reference(self) -> str:
        self.count += 1
        return f"reference {self.count}"

    def _take(self, command: TakePayment, *, repeats: bool, crash_at: Point | None) -> int:
        """One request, or two with one conversation id in one batch; perhaps it crashes first."""
        if crash_at is not None:
            recorded = self._crash(command, crash_at)
            if recorded is not None:
                return recorded
        first, *others = self.rig.run(*([command, command] if repeats else [command]))
        assert others in ([], [PaymentOutcome(0, State.NONE, Status.DUPLICATE)])
        assert isinstance(first, PaymentOutcome)
        self.known[first.payment] = command
        self._believe(first)
        return first.payment

    def _crash(self, command: TakePayment, point: Point) -> int | None:
        """End the engine at a point of the batch; the payment, where it was committed before."""
        engine = self.rig.make_engine(faults=_CrashAt(point))
        with pytest.raises(_Crash):
            run_batch(engine, [command])
        engine.writer.close()
        self.restart()
        key = command.duplicate_key
        hexed = f"X'{key}'" if self.rig.dialect == "sqlite" else f"'\\x{key}'"
        found = self.rig.sql(f"SELECT payment FROM duplicates WHERE key = {hexed}")
        assert bool(found) is (point == Point.COMMITTED)
        if not found:
            return None
        ((payment,),) = found
        standing = self.rig.standing(payment)
        assert standing is not None
        self.known[payment] = command
        self._believe(PaymentOutcome(payment, *standing))
        # Who was not answered sends it again, and it counts once.
        self.repeat(payment)
        return int(payment)

    @rule(payment=payments)
    def repeat(self, payment: int) -> None:
        """The same request again, much later."""
        assert self.rig.run(self.known[payment]) == [
            PaymentOutcome(0, State.NONE, Status.DUPLICATE)
        ]

    @rule(
        payment=payments,
        answers=st.lists(
            st.sampled_from((Answer.APPROVE, Answer.DECLINE, Answer.WRONG_PIN)),
            min_size=1,
            max_size=3,
        ),
        expires_too=st.booleans(),
    )
    def answer(self, payment: int, answers: list[Answer], expires_too: bool) -> None:
        """Answers to one prompt in one batch, an expiry among them."""
        commands: list[Any] = [AnswerPrompt(1, payment, answer) for answer in answers]
        if expires_too:
            commands.append(ExpirePrompt(1, payment, is_forced=True))
        for outcome in self.rig.run(*commands):
            assert isinstance(outcome, PaymentOutcome)
            self._believe(outcome)

    @rule(payment=payments, is_forced=st.booleans())
    def expire(self, payment: int, is_forced: bool) -> None:
        (outcome,) = self.rig.run(ExpirePrompt(1, payment, is_forced))
        assert isinstance(outcome, PaymentOutcome)
        self._believe(outcome)

    @rule(
        fundings=st.lists(
            st.tuples(CUSTOMERS, st.integers(1, 500_00), st.integers(0, 9)), min_size=1, max_size=3
        )
    )
    def fund(self, fundings: list[tuple[str, int, int]]) -> None:
        """Money comes in, for some keys a second time."""
        keyed = tuple((msisdn, amount, f"{key:032x}") for msisdn, amount, key in fundings)
        (outcome,) = self.rig.run(FundCustomers(1, keyed))
        assert isinstance(outcome, Done)
        for (msisdn, amount_minor, key), transfer in zip(keyed, outcome.ids, strict=True):
            if key not in self.funded:
                self.funded[key] = transfer
                self.balances[msisdn] += amount_minor
            assert self.funded[key] == transfer

    @rule(
        msisdn=CUSTOMERS,
        answer=st.sampled_from(Answer),
        delay_ms=st.sampled_from((0, 500, 2 * WAIT_MS)),
        status=st.sampled_from((1, 1, 3)),
    )
    def change_customer(self, msisdn: str, answer: Answer, delay_ms: int, status: int) -> None:
        self.rig.run(
            SetCustomerStatus(1, msisdn, status), ScriptCustomer(1, msisdn, answer, delay_ms)
        )

    @rule(code=ORGANISATIONS, status=st.sampled_from((1, 1, 2)))
    def change_organisation(self, code: str, status: int) -> None:
        self.rig.run(SetOrganisation(1, code, status, "b2b,b2c,c2b,reversal"))

    @rule(elapsed_ms=st.sampled_from((1, 500, 1_000, WAIT_MS)))
    def let_time_go_by(self, elapsed_ms: int) -> None:
        self.rig.clock.advance(elapsed_ms)

    @rule(jump_ms=st.sampled_from((-20_000, 20_000)))
    def set_the_clock(self, jump_ms: int) -> None:
        """By less than what an operator would have to confirm."""
        self.rig.clock.jump(jump_ms)
        assert self.rig.engine.probe()

    @rule()
    def restart(self) -> None:
        """Another engine goes on with what is stored."""
        self.rig.engine.writer.close()
        self.rig.engine = self.rig.make_engine()

    # -- what is believed, and what is there ------------------------------------------------

    def _believe(self, outcome: PaymentOutcome) -> None:
        before = self.standings.get(outcome.payment)
        after = (State(outcome.state), Status(outcome.status))
        if before is not None and before[0] in FINAL_STATES:
            assert after == before
            return
        self.standings[outcome.payment] = after
        if after[0] == State.COMPLETED:
            payer, payee, amount_minor = self._what_moves(self.known[outcome.payment])
            self.balances[payer] -= amount_minor
            self.balances[payee] += amount_minor
            if not isinstance(self.known[outcome.payment], TakeReversal):
                self.left[outcome.payment] = amount_minor

    def _what_moves(self, command: TakePayment) -> tuple[str, str, int]:
        """Payer, payee and amount of a request that succeeded."""
        if isinstance(command, TakeReversal):
            original = self.known[command.original]
            payer, payee, _ = self._what_moves(original)
            assert command.organisation_code in (payer, payee)
            left_minor = self.left[command.original]
            amount_minor = command.amount_minor or left_minor
            assert 0 < amount_minor <= left_minor
            self.left[command.original] -= amount_minor
            return payee, payer, amount_minor
        parties = command.organisation_code, command.counterparty
        payer, payee = parties if not isinstance(command, TakeC2b) else parties[::-1]
        return payer, payee, command.amount_minor

    @invariant()
    def books_are_right(self) -> None:
        if self.rig.count("ledgers") == 0:
            return
        audit = self.rig.audit()
        late = "a payment is pending long after its deadline"
        # No loop runs here that would end what falls due.
        assert [found for found in audit.violations if found.what != late] == []
        for name, balance_minor in self.balances.items():
            assert self.rig.balance_of(name) == balance_minor >= 0

    @invariant()
    def payments_stand_where_their_callers_were_told(self) -> None:
        for payment, standing in list(self.standings.items())[-5:]:
            assert self.rig.standing(payment) == standing


@contextlib.contextmanager
def open_quiet_rig(request: pytest.FixtureRequest, dialect: str) -> Iterator[Rig]:
    """A rig that the machine audits itself."""
    with open_copy(request, dialect, "sandbox") as address:
        rig = Rig(address)
        rig.audits_at_end = False
        try:
            yield rig
        finally:
            rig.close()


@pytest.mark.parametrize(
    ("dialect", "examples", "steps"), [("sqlite", 60, 30), ("postgres", 4, 20)]
)
def test_money_is_neither_made_nor_lost(
    request: pytest.FixtureRequest, dialect: str, examples: int, steps: int
) -> None:
    class Machine(MoneyMachine):
        make_rig = staticmethod(lambda: open_quiet_rig(request, dialect))

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
