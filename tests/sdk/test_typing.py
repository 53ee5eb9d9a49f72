"""A stranger's programs under `mypy --strict`: good ones pass, and usual mistakes are found."""

import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import pesalango
from tests.tidy.repository import ROOT

TIMEOUT_S = 300.0

JOURNALS = """\
from collections.abc import Sequence

from pesalango import AsyncJournal, Closing, Intent, Journal, JournalError


class Kept:
    def __init__(self) -> None:
        self.intents: dict[tuple[str, str], Intent] = {}

    def begin(self, intent: Intent) -> Intent:
        return self.intents.setdefault((intent.platform, intent.key), intent)

    def find(self, platform: str, key: str) -> Intent | None:
        return self.intents.get((platform, key))

    def count_sending(self, platform: str, key: str) -> Intent | None:
        raise JournalError("read only")

    def close_intent(
        self, platform: str, key: str, closing: Closing, *, sendings: int | None
    ) -> bool:
        return self.find(platform, key) is not None and closing.state == "completed"

    def forget(self, platform: str, key: str, *, sendings: int) -> bool:
        return self.intents.pop((platform, key), None) is not None

    def list_open(self, platform: str) -> Sequence[Intent]:
        return [each for each in self.intents.values() if each.closing is None]


class KeptByTasks:
    def __init__(self) -> None:
        self.kept = Kept()

    async def begin(self, intent: Intent) -> Intent:
        return self.kept.begin(intent)

    async def find(self, platform: str, key: str) -> Intent | None:
        return self.kept.find(platform, key)

    async def count_sending(self, platform: str, key: str) -> Intent | None:
        return self.kept.count_sending(platform, key)

    async def close_intent(
        self, platform: str, key: str, closing: Closing, *, sendings: int | None
    ) -> bool:
        return self.kept.close_intent(platform, key, closing, sendings=sendings)

    async def forget(self, platform: str, key: str, *, sendings: int) -> bool:
        return self.kept.forget(platform, key, sendings=sendings)

    async def list_open(self, platform: str) -> Sequence[Intent]:
        return self.kept.list_open(platform)


plain: Journal = Kept()
by_tasks: AsyncJournal = KeptByTasks()
"""

GOOD = """\
import asyncio
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal, assert_type

import httpx2

import pesalango
from journals import by_tasks, plain
from pesalango import *
from pesalango import Amount, PaymentState

amounts: list[Amount] = [Decimal("1.50"), 2, "3.00"]
market: Market = MARKETS["vodafoneGHA"]
environment: Environment = "sandbox"
version: str = pesalango.__version__


def make() -> Client:
    return Client(
        base_url="https://gateway.example",
        api_key="a",
        public_key="b",
        market=market.name,
        environment=environment,
        origin="https://shop.example",
        timeout=20,
        session_lifetime=3600.0,
        journal=plain,
        former_api_keys=["c"],
        http_client=httpx2.Client(),
    )


def pay(amount: Amount) -> str:
    with make() as client:
        client.open_session()
        assert_type(client.market, Market)
        paid = client.c2b_single_stage(
            amount=amount,
            customer_msisdn="254707161122",
            service_provider_code="ORG001",
            transaction_reference="Order3",
            purchased_items_description="Tea",
            extra_fields={"input_More": "1"},
            headers={"X-Shop": "1"},
            timeout=3,
        )
        assert_type(paid, C2bSingleStageResult)
        back = client.reversal(
            transaction_id=paid.transaction_id, service_provider_code="ORG001"
        )
        assert_type(back, ReversalResult)
        found = client.query_transaction_status(
            query_reference=back.conversation_id, service_provider_code="ORG001"
        )
        assert_type(found, QueryTransactionStatusResult)
        assert_type(found.reversed, bool)
        return paid.transaction_id


def settle(amount: Amount) -> Payment:
    client = Client.from_credentials(
        Path("credentials.json"), market="vodacomTZN", journal=Path("journal.db")
    )
    assert_type(client, Client)
    assert_type(client.payments, Payments)
    try:
        payment = client.payments.collect(
            key="order-3",
            amount=amount,
            customer_msisdn="254707161122",
            service_provider_code="ORG001",
            transaction_reference="Order3",
            purchased_items_description="Tea",
            within=30,
        )
    except PaymentRefusedError as error:
        return error.payment
    except PaymentUnsettledError as error:
        assert_type(error.may_have_moved_money, bool)
        return error.payment
    except KeyReusedError as error:
        raise SystemExit(", ".join(error.names)) from error
    assert_type(payment.state, Literal["completed", "refused", "open"])
    state: PaymentState = payment.state
    assert_type(payment.amount, Decimal | None)
    assert_type(payment.closed_at, datetime | None)
    assert_type(client.payments.find("order-3"), Payment | None)
    assert_type(client.payments.recover(within=5), list[Payment])
    return client.payments.list_open()[0]


def explain(call: CallError) -> str:
    kinds: tuple[type[CallError], ...] = (
        NotSentError,
        AuthenticationError,
        UnavailableError,
        TooManyAttemptsError,
        RefusedError,
        InvalidRequestError,
        NotEnabledError,
        LimitExceededError,
        InsufficientBalanceError,
        TransactionNotFoundError,
        OutcomeUnknownError,
        DuplicateError,
        StatusQueryNotEnabledError,
    )
    assert_type(call.code, str | None)
    assert_type(call.http_status, int | None)
    assert_type(call.retry_after_s, float | None)
    named = [kind.__name__ for kind in kinds if isinstance(call, kind)]
    other: list[type[PesalangoError]] = [ConfigurationError, JournalError]
    return f"{named} {other} {call.operation} {call.third_party_conversation_id}"


async def pay_in_tasks() -> None:
    async with AsyncClient(
        base_url="https://gateway.example",
        api_key="a",
        public_key="b",
        market="vodafoneGHA",
        journal=by_tasks,
        http_client=httpx2.AsyncClient(),
    ) as client:
        out = await client.b2c_payment(
            amount=3,
            customer_msisdn="254707161122",
            service_provider_code="ORG001",
            transaction_reference="Wages4",
            payment_items_description="Work",
        )
        assert_type(out, B2cPaymentResult)
        between, payment = await asyncio.gather(
            client.b2b_payment(
                amount="2.00",
                primary_party_code="ORG001",
                receiver_party_code="ORG002",
                transaction_reference="Flour5",
                purchased_items_description="Flour",
            ),
            client.payments.reverse(
                key="back-4", transaction_id=out.transaction_id, service_provider_code="ORG001"
            ),
        )
        assert_type(between, B2bPaymentResult)
        assert_type(payment, Payment)
        assert_type(await client.payments.recover(), list[Payment])
    with SqliteJournal("journal.db") as journal:
        other = AsyncClient.from_credentials("c.json", market="vodacomTZN", journal=journal)
        assert_type(other, AsyncClient)
        assert_type(other.payments, AsyncPayments)
        await other.close()
"""

MISTAKES = """\
from good import make
from journals import Kept, KeptByTasks
from pesalango import MARKETS, AsyncClient, CallError, Client, Market

client = make()
known = {"amount": "1"}
Client(api_key="a", public_key="b", market="vodafoneGHA")  # call-arg
Client("https://gateway.example")  # call-arg
Client.from_credentials("c.json")  # call-arg
Client.from_credentials("c.json", market="vodafoneGHA", environment="production")  # arg-type
Client(base_url="", api_key="", public_key="", market="", journal=KeptByTasks())  # arg-type
Client(base_url="", api_key="", public_key="", market="", journal=5)  # arg-type
Client(base_url="", api_key="", public_key="", market="", password="x")  # call-arg
client.reversal(transaction_id="a", service_provider_code="b", reversal_amount=10.0)  # arg-type
client.reversal(transaction_id=1, service_provider_code="b")  # arg-type
client.reversal(transaction_id="a")  # call-arg
client.reversal("a", "b")  # call-arg
client.reversal(transaction_id="a", service_provider_code="b", amount="1")  # call-arg
client.reversal(transaction_id="a", service_provider_code="b", extra_fields={"a": 1})  # dict-item
client.payments.reverse(transaction_id="a", service_provider_code="b")  # call-arg
client.payments.reverse(key=3, transaction_id="a", service_provider_code="b")  # arg-type
client.payments.recover(10)  # call-arg
back = client.reversal(transaction_id="a", service_provider_code="b")
back.transactionid  # attr-defined
back.transaction_id = "c"  # misc
MARKETS["vodafoneGHA"] = client.market  # index
Market("vodafoneGHA", "GHA", "GHS")  # call-arg
CallError("in words", code=5)  # arg-type


async def forget_to_wait(client: AsyncClient) -> str:
    client.reversal(transaction_id="a", service_provider_code="b")  # unused-coroutine
    found = client.query_transaction_status(query_reference="a", service_provider_code="b")
    return found.transaction_status  # attr-defined no-any-return
"""


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, int, str]]:
    """What mypy says, by file and line, where the package is installed: the code of each error."""
    place = tmp_path_factory.mktemp("stranger")
    venv.create(place / "env", symlinks=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(place / "env")}, scheme="venv"))
    (packages / "pesalango").symlink_to(ROOT / "sdk" / "src" / "pesalango")
    # What it depends on, as it is installed here.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    for name, text in (("journals", JOURNALS), ("good", GOOD), ("mistakes", MISTAKES)):
        (place / f"{name}.py").write_text(text)
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file=", "--hide-error-context"),
            *("--python-executable", place / "env" / "bin" / "python"),
            *("--no-error-summary", "--cache-dir", place / "cache"),
            *("journals.py", "good.py", "mistakes.py"),
        ],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ended.stderr == ""
    lines = [line for line in ended.stdout.splitlines() if ": note: " not in line]
    found = [re.fullmatch(r"(\w+)\.py:(\d+): error: .*\[([\w-]+)\]", line) for line in lines]
    assert all(found), ended.stdout
    return [(each[1], int(each[2]), each[3]) for each in found if each]


def test_a_strict_program_that_uses_every_name_passes(
    findings: list[tuple[str, int, str]],
) -> None:
    assert [each for each in findings if each[0] != "mistakes"] == []
    used = set(re.findall(r"\w+", JOURNALS + GOOD))
    assert set(pesalango.__all__) - used == set()


def test_usual_mistakes_are_found_where_they_are(findings: list[tuple[str, int, str]]) -> None:
    wanted = {
        (number, code)
        for number, line in enumerate(MISTAKES.splitlines(), start=1)
        for code in line.partition("  # ")[2].split()
    }
    found = {(line, code) for file, line, code in findings if file == "mistakes"}
    assert found == wanted
