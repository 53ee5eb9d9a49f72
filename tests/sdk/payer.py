"""One face for both clients: what a test does with payments, it does plainly and in tasks."""

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from pesalango import AsyncClient, Client, Payment, SqliteJournal
from tests.sdk.scripted_gateway import ScriptedGateway, make_platform_key

Kind = Literal["plain", "tasks"]
KINDS: tuple[Kind, ...] = ("plain", "tasks")

OUT = {
    "amount": "10.00",
    "customer_msisdn": "254707161122",
    "service_provider_code": "ORG001",
    "transaction_reference": "Payout1",
    "payment_items_description": "Wages",
}
"""A payment to a customer, but for its key."""

__all__ = ["KINDS", "OUT", "Kind", "Payer", "make_platform_key"]


class Payer:
    """A merchant's program with a client of the scripted gateway, and its journal."""

    def __init__(self, kind: Kind, gateway: ScriptedGateway, path: Path, **options: Any) -> None:
        self.kind = kind
        self.journal = SqliteJournal(path)
        known = {
            "base_url": gateway.base_url,
            "api_key": gateway.api_key,
            "public_key": gateway.public_key,
            "market": "vodafoneGHA",
            "journal": path,
            "timeout": 20.0,
        }
        self._runner = asyncio.Runner()
        self._client: Any = (Client if kind == "plain" else AsyncClient)(**{**known, **options})
        self.platform: str = self._client._platform.digest

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._finish(self._client.close())
        self._runner.close()
        self.journal.close()

    def _finish(self, outcome: Any) -> Any:
        return outcome if self.kind == "plain" else self._runner.run(outcome)

    def make(self, method: str, **values: Any) -> Payment:
        """`client.payments.<method>(…)`."""

        async def in_loop() -> Any:
            return await getattr(self._client.payments, method)(**values)

        payments = self._client.payments if self.kind == "plain" else None
        payment: Payment = (
            getattr(payments, method)(**values) if payments else self._runner.run(in_loop())
        )
        return payment

    def pay_out(self, key: str = "wages-1", **changes: Any) -> Payment:
        """A payment as above, but for the changes."""
        return self.make("pay_out", key=key, **{**OUT, **changes})

    def find(self, key: str = "wages-1") -> Payment | None:
        """By the client's eyes."""
        found: Payment | None = self.make("find", key=key)
        return found

    def recover(self, within: float = 20.0) -> list[Payment]:
        """`client.payments.recover()`."""
        found: Any = self.make("recover", within=within)
        payments: list[Payment] = found
        return payments
