"""What a journal keeps, and the port through which it is kept.

An intent is written before its payment is sent, and gets its closing once it is certain what became
of it. The name of an intent is its platform and its key.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Literal, Protocol

from msgspec import Struct

PaymentState = Literal["completed", "refused", "open"]


class Closing(Struct, frozen=True, kw_only=True):
    """How a payment ended, for good."""

    state: Literal["completed", "refused"]
    """Whether the money moved."""
    code: str = ""
    """The code of the answer that decided; empty where the status query did."""
    text: str = ""
    """In the gateway's words: the code's text, or the status."""
    transaction_id: str = ""
    """The gateway's name for it; empty unless completed."""
    conversation_id: str = ""
    closed_at: datetime
    """By this machine's clock, in UTC."""


class Intent(Struct, frozen=True, kw_only=True):
    """One payment that somebody means to make, as it was first sent."""

    platform: str
    """Public key, environment and market, as a digest."""
    key: str
    """The caller's name for the payment."""
    sender: str
    """The API key that it was sent with, as a digest: another application must not send it again,
    for the gateway tells one request from two within an application only."""
    operation: str
    """Such as `c2b_single_stage`."""
    body: dict[str, str]
    """The request by names on the wire, the ThirdPartyConversationID among them."""
    created_at: datetime
    """By this machine's clock, in UTC."""
    sendings: int = 1
    """How many requests have been, or are about to be, sent. Who raises it may send one."""
    closing: Closing | None = None
    """None while it is open."""

    @property
    def third_party_conversation_id(self) -> str:
        """What the gateway knows it by."""
        return self.body["input_ThirdPartyConversationID"]


class Payment(Struct, frozen=True, kw_only=True):
    """What is known of a payment with a key."""

    key: str
    operation: str
    state: PaymentState
    """`completed`: the money moved. `refused`: it did not and will not. `open`: not known yet."""
    amount: Decimal | None
    """In the market's currency; None where the whole of a payment is reversed."""
    third_party_conversation_id: str
    transaction_id: str
    """The gateway's name for it; empty unless completed."""
    conversation_id: str
    code: str
    text: str
    """Why it was refused, or why it is not known yet."""
    created_at: datetime
    closed_at: datetime | None

    @classmethod
    def of(cls, intent: Intent, *, problem: str = "") -> "Payment":
        """An intent as its owner sees it; `problem` is why an open one is open."""
        closing = intent.closing
        written = intent.body.get("input_Amount") or intent.body.get("input_ReversalAmount")
        try:
            amount = Decimal(written) if written else None
        except InvalidOperation:
            amount = None
        return cls(
            key=intent.key,
            operation=intent.operation,
            state=closing.state if closing else "open",
            amount=amount,
            third_party_conversation_id=intent.third_party_conversation_id,
            transaction_id=closing.transaction_id if closing else "",
            conversation_id=closing.conversation_id if closing else "",
            code=closing.code if closing else "",
            text=closing.text if closing else problem,
            created_at=intent.created_at,
            closed_at=closing.closed_at if closing else None,
        )


class Journal(Protocol):
    """Where intents are kept. Any database will do that can do these six things.

    Every method is one transaction, may be called from any thread, and raises `JournalError` where
    it did not do what it says. What a power cut must not undo has reached the disk when it returns:
    `begin`, `forget`, and the closing of what was refused. All else is found out anew.
    """

    def begin(self, intent: Intent) -> Intent:
        """Keep an intent, unless one of its platform and key is kept: then that one is returned."""
        ...

    def find(self, platform: str, key: str) -> Intent | None:
        """The intent of that name."""
        ...

    def count_sending(self, platform: str, key: str) -> Intent | None:
        """Raise `sendings` of an open intent by one. The intent as it then is; None if there is none."""
        ...

    def close_intent(
        self, platform: str, key: str, closing: Closing, *, sendings: int | None
    ) -> bool:
        """Close an open intent if `sendings` is None or its number still; whether it was closed."""
        ...

    def forget(self, platform: str, key: str, *, sendings: int) -> bool:
        """Remove an open intent if that is its number of sendings still; whether it was removed."""
        ...

    def list_open(self, platform: str) -> Sequence[Intent]:
        """All open intents of a platform, oldest first."""
        ...


class AsyncJournal(Protocol):
    """`Journal` for a database that is spoken to by tasks."""

    async def begin(self, intent: Intent) -> Intent:
        """As `Journal.begin`."""
        ...

    async def find(self, platform: str, key: str) -> Intent | None:
        """As `Journal.find`."""
        ...

    async def count_sending(self, platform: str, key: str) -> Intent | None:
        """As `Journal.count_sending`."""
        ...

    async def close_intent(
        self, platform: str, key: str, closing: Closing, *, sendings: int | None
    ) -> bool:
        """As `Journal.close_intent`."""
        ...

    async def forget(self, platform: str, key: str, *, sendings: int) -> bool:
        """As `Journal.forget`."""
        ...

    async def list_open(self, platform: str) -> Sequence[Intent]:
        """As `Journal.list_open`."""
        ...
