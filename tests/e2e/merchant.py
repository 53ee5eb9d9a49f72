"""A merchant's program and an administrator's, over HTTP alone.

merchant = Merchant(server.credentials)
answer = merchant.pay(Payment(...))
merchant.query(answer.transaction_id).status
"""

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from tests.e2e.http_client import TIMEOUT_S, Connection, call, encrypt_bearer
from tests.e2e.server import Credentials, Place

MARKET = "vodacomTZN"
COUNTRY = "TZN"
CURRENCY = "TZS"
ENVIRONMENT = "sandbox"


class Payment(msgspec.Struct, frozen=True):
    """What a merchant asks for; `reference` is its ThirdPartyConversationID."""

    reference: str
    msisdn: str
    organisation: str
    amount: int

    def make_body(self) -> dict[str, str]:
        return {
            "input_Amount": str(self.amount),
            "input_CustomerMSISDN": self.msisdn,
            "input_Country": COUNTRY,
            "input_Currency": CURRENCY,
            "input_ServiceProviderCode": self.organisation,
            "input_TransactionReference": "T1",
            "input_ThirdPartyConversationID": self.reference,
            "input_PurchasedItemsDesc": "Tea",
        }


class Answer(msgspec.Struct, frozen=True):
    """Of a payment; `N/A` stands for a TransactionID that there is none of."""

    http_status: int
    code: str
    transaction_id: str
    conversation_id: str


class Found(msgspec.Struct, frozen=True):
    """Of a status query; `status` is empty unless the code is INS-0."""

    code: str
    status: str
    transaction_id: str


def make_reference() -> str:
    """A ThirdPartyConversationID that a status query can ask for."""
    return secrets.token_hex(16)


class Merchant:
    """One application of one market, with a connection of its own. Not for several threads."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        environment: str = ENVIRONMENT,
        bearer: str | None = None,
        timeout_s: float = TIMEOUT_S,
        connection: Connection | None = None,
    ) -> None:
        """`bearer` is that of a session which was made before; without it, one is made."""
        self._place: Place = getattr(credentials, environment)
        self._root = f"/{environment}/ipg/v2/{MARKET}"
        self._connection = connection or Connection(credentials.base_url, timeout_s=timeout_s)
        self.bearer = bearer if bearer is not None else self.open_session()

    def open_session(self) -> str:
        """The bearer of a new session; raises `AssertionError` with the answer if there is none."""
        bearer = encrypt_bearer(self._place.api_key, self._place.public_key)
        status, answer = self._connection.request(
            "GET",
            f"{self._root}/getSession/",
            headers={"Authorization": f"Bearer {bearer}", "Origin": "*"},
        )
        assert status == 200, answer
        assert answer["output_ResponseCode"] == "INS-0", answer
        return encrypt_bearer(answer["output_SessionID"], self._place.public_key)

    def pay(self, payment: Payment) -> Answer:
        """Raises `NotSent` and `Unanswered`."""
        status, answer = self._connection.request(
            "POST",
            f"{self._root}/c2bPayment/singleStage/",
            headers={"Authorization": f"Bearer {self.bearer}", "Origin": "*"},
            body=payment.make_body(),
        )
        assert "output_ResponseCode" in answer, (status, answer)
        return Answer(
            http_status=status,
            code=answer["output_ResponseCode"],
            transaction_id=answer["output_TransactionID"],
            conversation_id=answer["output_ConversationID"],
        )

    def query(self, query_reference: str, *, organisation: str) -> Found:
        """What became of a payment, by any of its three references."""
        question = {
            "input_QueryReference": query_reference,
            "input_ServiceProviderCode": organisation,
            "input_ThirdPartyConversationID": make_reference(),
            "input_Country": COUNTRY,
        }
        status, answer = self._connection.request(
            "GET",
            f"{self._root}/queryTransactionStatus/?{urlencode(question)}",
            headers={"Authorization": f"Bearer {self.bearer}", "Origin": "*"},
        )
        assert "output_ResponseCode" in answer, (status, answer)
        return Found(
            code=answer["output_ResponseCode"],
            status=answer["output_ResponseTransactionStatus"]
            if answer["output_ResponseCode"] == "INS-0"
            else "",
            transaction_id=answer.get("output_OriginalTransactionID", ""),
        )

    def close(self) -> None:
        self._connection.close()


class Admin:
    """The admin API, as far as these tests need it."""

    def __init__(self, credentials: Credentials) -> None:
        self._url = credentials.admin_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {credentials.admin_token}"}

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer's JSON; raises `AssertionError` unless it is a 2xx."""
        status, answer = call(method, f"{self._url}/{path}", headers=self._headers, body=body)
        assert 200 <= status < 300, (method, path, status, answer)
        return answer

    def add_customers(self, msisdns: list[str], *, balance: int) -> None:
        customers = [
            {
                "msisdn": msisdn,
                "first_name": "Asha",
                "last_name": "Mosi",
                "balance": str(balance),
            }
            for msisdn in msisdns
        ]
        body = {"environment": ENVIRONMENT, "market": MARKET, "customers": customers}
        self.call("POST", "customers", body)

    def script(
        self, msisdn: str, answer: str, *, delay_ms: int = 0, environment: str = ENVIRONMENT
    ) -> None:
        """How a customer answers from now on."""
        self.call(
            "POST",
            f"customers/{quote(msisdn)}/script",
            {
                "environment": environment,
                "market": MARKET,
                "answer": answer,
                "delay_ms": delay_ms,
            },
        )

    def read_organisation_balances(self) -> dict[str, str]:
        """Balance by code, as decimal text."""
        query = urlencode({"environment": ENVIRONMENT, "market": MARKET})
        listed = self.call("GET", f"organisations?{query}")
        return {row["code"]: row["balance"] for row in listed["organisations"]}
