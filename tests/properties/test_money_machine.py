"""Whatever is asked of an engine in whatever order: after every step the books are right.

A model beside the engine knows what each wallet must hold: it is told outcomes, and believes those
alone. Money that moves without an outcome that says so, or the other way round, shows at once.

`MONEY_EXAMPLES` says how many stories PostgreSQL is told, of 30 steps each; continuous integration
tells forty. SQLite is told more of them in less time.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
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
from pesalango_server.kernel.message import AnyOutcome, Command, Done, PaymentOutcome
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
from pesalango_server.storage import segments
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

POSTGRES_EXAMPLES = int(os.environ.get("MONEY_EXAMPLES", "4"))
STEPS = 30

SHOP_MINOR = 500_00

CUSTOMERS = st.sampled_from((PAYER, POOR, LOCKED))
ORGANISATIONS = st.sampled_from((SHOP, SUSPENDED_SHOP))
CRASHES = st.sampled_from((None,) * 7 + (*Point, Point.COMMITTED))
AMOUNTS_MINOR = st.sampled_from((1, 5, 6, 100_00, 999_99, 1_000_00))

BOOKS = {
    "ledger_state": "SELECT sequence, digest, last_id, last_time_ms FROM ledger_state WHERE ledger = 1",
    "accounts": "SELECT id, balance_minor, held_minor FROM accounts ORDER BY id",
    "customers": "SELECT id, status FROM customers ORDER BY id",
    "organisations": "SELECT id, status, products FROM organisations ORDER BY id",
    "scripts": "SELECT msisdn, answer, delay_ms FROM scripts ORDER BY msisdn",
    "prompts": "SELECT payment, wrong_pins FROM prompts ORDER BY payment",
    "duplicates": "SELECT payment, key FROM duplicates ORDER BY payment, key",
    "payments": "SELECT id, state, status FROM payments ORDER BY id",
    "payment_changes": "SELECT id, state, status FROM payment_changes ORDER BY id",
    "transfers": "SELECT id, debit_balance_minor, credit_balance_minor FROM transfers ORDER BY id",
    "reversals": "SELECT reversal, original, amount_minor FROM reversals ORDER BY reversal",
}


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
        """One request, or two with one conversation id in one batch; perhaps it crashes."""
        outcomes = self._carry_out([command, command] if repeats else [command], crash_at)
        if outcomes is None:
            return self._find_recorded(command)
        first, *others = outcomes
        assert others in ([], [PaymentOutcome(0, State.NONE, Status.DUPLICATE)])
        assert isinstance(first, PaymentOutcome)
        self.known[first.payment] = command
        self._believe(first)
        return first.payment

    def _find_recorded(self, command: TakePayment) -> int:
        """The payment of a request that was committed and never answered."""
        key = command.duplicate_key
        hexed = f"X'{key}'" if self.rig.dialect == "sqlite" else f"'\\x{key}'"
        ((payment,),) = self.rig.sql(f"SELECT payment FROM duplicates WHERE key = {hexed}")
        self.known[payment] = command
        self._believe_what_stands(payment)
        # Who was not answered sends it again, and it counts once.
        self.repeat(payment)
        return int(payment)

    def _carry_out(
        self, commands: Sequence[Command], crash_at: Point | None
    ) -> list[AnyOutcome] | None:
        """The outcomes of one batch, though its engine may end at a point of it.

        Where it ends before the commit nothing stands, and the batch is sent again. None: it was
        committed, and nobody was told.
        """
        if crash_at is None:
            return self.rig.run(*commands)
        outcomes = None
        before = self._read_books()
        faults = _CrashAt(crash_at)
        engine = self.rig.make_engine(faults=faults)
        try:
            outcomes = run_batch(engine, commands)
            # The engine's loop says so once all have their answers.
            faults.reach(Point.ANSWERED)
        except _Crash:
            pass
        else:
            pytest.fail("the engine reached another point than it should have ended at")
        engine.writer.close()
        self.restart()
        after = self._read_books()
        if crash_at not in (Point.COMMITTED, Point.ANSWERED):
            assert after == before
            return self.rig.run(*commands)
        assert after["ledger_state"][0][0] == before["ledger_state"][0][0] + 1
        assert (outcomes is None) is (crash_at == Point.COMMITTED)
        return outcomes

    def _carry_out_idempotent(
        self, commands: Sequence[Command], crash_at: Point | None
    ) -> list[AnyOutcome]:
        """The same of commands that an administrator repeats until they are answered."""
        outcomes = self._carry_out(commands, crash_at)
        if outcomes is not None:
            return outcomes
        stood = self._read_books()
        outcomes = self.rig.run(*commands)
        repeated = self._read_books()
        del stood["ledger_state"], repeated["ledger_state"]
        assert repeated == stood
        return outcomes

    def _read_books(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that a batch may change, by table."""
        return {table: self.rig.sql(statement) for table, statement in BOOKS.items()}

    def _believe_what_stands(self, payment: int) -> None:
        """What a query tells is believed as an answer is."""
        standing = self.rig.standing(payment)
        assert standing is not None
        self._believe(PaymentOutcome(payment, *standing))

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
        crash_at=CRASHES,
    )
    def answer(
        self, payment: int, answers: list[Answer], expires_too: bool, crash_at: Point | None
    ) -> None:
        """Answers to one prompt in one batch, an expiry among them."""
        commands: list[Command] = [AnswerPrompt(1, payment, answer) for answer in answers]
        if expires_too:
            commands.append(ExpirePrompt(1, payment, is_forced=True))
        self._end_prompt(payment, commands, crash_at)

    @rule(payment=payments, is_forced=st.booleans(), crash_at=CRASHES)
    def expire(self, payment: int, is_forced: bool, crash_at: Point | None) -> None:
        self._end_prompt(payment, [ExpirePrompt(1, payment, is_forced)], crash_at)

    def _end_prompt(
        self, payment: int, commands: Sequence[Command], crash_at: Point | None
    ) -> None:
        outcomes = self._carry_out(commands, crash_at)
        if outcomes is None:
            self._believe_what_stands(payment)
            return
        for outcome in outcomes:
            assert isinstance(outcome, PaymentOutcome)
            self._believe(outcome)

    @rule(
        target=payments,
        asked=payments,
        organisation=ORGANISATIONS,
        amount_minor=AMOUNTS_MINOR,
        crash_at=CRASHES,
    )
    def approve_and_pay_out(
        self, asked: int, organisation: str, amount_minor: int, crash_at: Point | None
    ) -> Any:
        """In one batch: what the approval of a prompt brings in may be what is paid out."""
        command = make_b2c(
            reference=self._new_reference(),
            msisdn=POOR,
            organisation=organisation,
            amount_minor=amount_minor,
        )
        outcomes = self._carry_out([AnswerPrompt(1, asked, Answer.APPROVE), command], crash_at)
        if outcomes is None:
            self._believe_what_stands(asked)
            return self._find_recorded(command)
        approved, paid = outcomes
        assert isinstance(approved, PaymentOutcome)
        assert isinstance(paid, PaymentOutcome)
        self.known[paid.payment] = command
        self._believe(approved)
        self._believe(paid)
        return paid.payment

    @rule(
        fundings=st.lists(
            st.tuples(CUSTOMERS, st.integers(1, 500_00), st.integers(0, 9)), min_size=1, max_size=3
        ),
        crash_at=CRASHES,
    )
    def fund(self, fundings: list[tuple[str, int, int]], crash_at: Point | None) -> None:
        """Money comes in, for some keys a second time."""
        keyed = tuple((msisdn, amount, f"{key:032x}") for msisdn, amount, key in fundings)
        (outcome,) = self._carry_out_idempotent([FundCustomers(1, keyed)], crash_at)
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
        crash_at=CRASHES,
    )
    def change_customer(
        self, msisdn: str, answer: Answer, delay_ms: int, status: int, crash_at: Point | None
    ) -> None:
        changes = [
            SetCustomerStatus(1, msisdn, status),
            ScriptCustomer(1, msisdn, answer, delay_ms),
        ]
        for outcome in self._carry_out_idempotent(changes, crash_at):
            assert isinstance(outcome, Done)

    @rule(code=ORGANISATIONS, status=st.sampled_from((1, 1, 2)), crash_at=CRASHES)
    def change_organisation(self, code: str, status: int, crash_at: Point | None) -> None:
        changes = [SetOrganisation(1, code, status, "b2b,b2c,c2b,reversal")]
        (outcome,) = self._carry_out_idempotent(changes, crash_at)
        assert isinstance(outcome, Done)

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
    ("dialect", "examples"),
    [
        pytest.param("sqlite", max(30, POSTGRES_EXAMPLES * 3 // 2), id="sqlite"),
        pytest.param("postgres", POSTGRES_EXAMPLES, id="postgres"),
    ],
)
def test_money_is_neither_made_nor_lost(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    dialect: str,
    examples: int,
) -> None:
    # So few that a story closes several.
    monkeypatch.setattr(segments, "SEGMENT_KEYS", 3)
    monkeypatch.setattr(segments, "SEGMENTS_PER_FILTER", 2)

    class Machine(MoneyMachine):
        make_rig = staticmethod(lambda: open_quiet_rig(request, dialect))

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
