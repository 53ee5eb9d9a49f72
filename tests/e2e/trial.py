"""One server and one merchant through any number of kills: a load, and the judgement of it.

    trial = Trial(server)
    with trial.make_load() as load:
        load.wait_for_answers(200)
        ...                                     # something is killed
    trial.judge(load.records)

The load knows how far each of its requests came. `judge` asks about every one of them, sends again
what has no answer, as a merchant's program would, and compares all of it with the books, which are
read past the server and audited too.
"""

from collections import Counter, defaultdict

from pesalango_server.ledger.statuses import State
from tests.e2e.books import Books, find_violations, read_books
from tests.e2e.load import Fate, Load, Parties, Record
from tests.e2e.merchant import Admin, Found, Merchant, Payment
from tests.e2e.server import Server, wait_until

THREADS = 12
ANSWERS_BEFORE_KILL = 200

PROMPT_WAIT_MS = 1_500
SETTINGS = {
    "PESALANGO_WAIT_SANDBOX_MS": str(PROMPT_WAIT_MS),
    # Making keys of the default size takes longer than all else here.
    "PESALANGO_PLATFORM_KEY_BITS": "2048",
}

QUICK = ("255744553111", "254707161122", "233508729395")
SLOW, DECLINING, SILENT, POOR = "255700000001", "255700000002", "255700000003", "255700000004"
PARTIES = Parties(
    msisdns=(SLOW, *QUICK * 5, DECLINING, *QUICK * 5, SILENT, *QUICK * 5, POOR, *QUICK * 5),
    organisations=("ORG001", "000000", "ORG002", "112244", "000001"),
)
ORGANISATION_SEED = 1_000_000

STATUSES_BY_PAYER = {
    **{msisdn: {"Completed"} for msisdn in QUICK},
    SILENT: {"Expired"},
    POOR: {"Completed", "Failed"},
    # Their answers may have come while no engine ran.
    SLOW: {"Completed", "Expired"},
    DECLINING: {"Failed", "Expired"},
}
STATUS_BY_CODE = {
    "INS-0": "Completed",
    "INS-6": "Failed",
    "INS-2006": "Failed",
    "INS-9": "Expired",
}
STATE_BY_STATUS = {
    "Completed": State.COMPLETED,
    "Failed": State.FAILED,
    "Expired": State.EXPIRED,
}
NOT_RECORDED = {"INS-1", "INS-16"}


class Trial:
    """One server and one merchant, from the first start through all kills to the last audit."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.effects: dict[str, tuple[Payment, str]] = {}
        """Every request that took effect, by its reference, and what the query says of it."""
        server.start()
        admin = Admin(server.credentials)
        admin.add_customers([SLOW, DECLINING, SILENT], balance=100_000)
        admin.add_customers([POOR], balance=20)
        admin.script(SLOW, "approve", delay_ms=200)
        admin.script(DECLINING, "decline", delay_ms=200)
        admin.script(SILENT, "never")
        merchant = Merchant(server.credentials)
        self.bearer = merchant.bearer
        merchant.close()

    def make_load(self, *, pause_after_refusal_s: float = 0.0) -> Load:
        return Load(
            self.server.credentials,
            self.bearer,
            PARTIES,
            threads=THREADS,
            pause_after_refusal_s=pause_after_refusal_s,
        )

    def make_merchant(self) -> Merchant:
        """The session was made before all kills: what was answered then holds for it as well."""
        return Merchant(self.server.credentials, bearer=self.bearer)

    def judge(self, records: list[Record]) -> None:
        """Ask about every request, send again what may be, and compare all of it with the books."""
        merchant = self.make_merchant()
        fates = Counter(record.fate for record in records)
        assert fates[Fate.ANSWERED] >= ANSWERS_BEFORE_KILL
        for record in records:
            if record.answer is not None:
                self._judge_answered(merchant, record)
            elif record.fate is Fate.NOT_SENT:
                assert ask(merchant, record.payment.reference, record.payment).code == "INS-23"
            else:
                self._judge_unanswered(merchant, record.payment)
        merchant.close()
        self._judge_books()
        self._audit()

    def _judge_answered(self, merchant: Merchant, record: Record) -> None:
        payment, answer = record.payment, record.answer
        assert answer is not None
        found = ask(merchant, payment.reference, payment)
        if answer.code in NOT_RECORDED:
            assert found.code == "INS-23"
            return
        assert found.status == STATUS_BY_CODE[answer.code], (answer, found)
        assert ask(merchant, answer.conversation_id, payment) == found
        if answer.code == "INS-0":
            assert answer.http_status == 201
            assert found.transaction_id == answer.transaction_id
            assert ask(merchant, answer.transaction_id, payment) == found
        self.effects[payment.reference] = (payment, found.status)

    def _judge_unanswered(self, merchant: Merchant, payment: Payment) -> None:
        found = wait_for_end(merchant, payment)
        again = merchant.pay(payment)
        if found.code == "INS-23":
            # It never came to be, so it may be sent again, and it counts this time.
            found = ask(merchant, payment.reference, payment)
            assert found.status == STATUS_BY_CODE[again.code], (again, found)
            assert merchant.pay(payment).code == "INS-10"
        else:
            assert again.code == "INS-10"
            assert again.http_status == 409
            assert ask(merchant, payment.reference, payment) == found
        self.effects[payment.reference] = (payment, found.status)

    def _judge_books(self) -> None:
        with self.server.open_books() as read:
            books = read_books(read)
        assert find_violations(books) == []
        assert State.PENDING not in books.read_state_by_payment().values()
        states = books.read_state_by_reference()
        assert set(states) - set(self.effects) == self._list_foreign(books)
        for reference, (payment, status) in self.effects.items():
            assert states[reference] == STATE_BY_STATUS[status]
            assert status in STATUSES_BY_PAYER[payment.msisdn]
        received: defaultdict[str, int] = defaultdict(int)
        for payment, status in self.effects.values():
            received[payment.organisation] += payment.amount if status == "Completed" else 0
        balances = Admin(self.server.credentials).read_organisation_balances()
        for organisation in PARTIES.organisations:
            expected = ORGANISATION_SEED + received[organisation]
            assert float(balances[organisation]) == expected, organisation

    def _list_foreign(self, books: Books) -> set[str]:
        """The payments of the server's own self-check, which it makes in a world of its own."""
        worlds = {
            row.third_party_conversation_id: row.ledger
            for row in books.payments
            if row.third_party_conversation_id not in self.effects
        }
        ours = {
            row.ledger for row in books.payments if row.third_party_conversation_id in self.effects
        }
        assert not ours & set(worlds.values())
        return set(worlds)

    def _audit(self) -> None:
        audit = self.server.audit()
        assert audit.returncode == 0, audit.stdout + audit.stderr


def find_lies(records: list[Record], books: Books) -> list[str]:
    """Answers that the books do not bear out, in sentences; none where everybody was told the truth.

    For more requests than there is time to ask about one by one.
    """
    states = books.read_state_by_reference()
    lies = []
    for record in records:
        state = states.get(record.payment.reference)
        answer = record.answer
        if answer is None:
            is_true = record.fate is Fate.UNANSWERED or state is None
        elif answer.code in NOT_RECORDED:
            is_true = state is None
        else:
            is_true = state == STATE_BY_STATUS[STATUS_BY_CODE[answer.code]]
        if not is_true:
            lies.append(f"{record} and in the books {state}")
    return lies


def ask(merchant: Merchant, query_reference: str, payment: Payment) -> Found:
    return merchant.query(query_reference, organisation=payment.organisation)


def wait_for_end(merchant: Merchant, payment: Payment) -> Found:
    """What a payment became; one whose customer was being asked ends by its own deadline."""
    found: list[Found] = []

    def is_over() -> bool:
        found.append(ask(merchant, payment.reference, payment))
        return found[-1].status != "Pending"

    wait_until(is_over, timeout_s=PROMPT_WAIT_MS / 1000 + 10, what=f"the end of {payment}")
    assert found[-1].code in {"INS-0", "INS-23"}
    return found[-1]
