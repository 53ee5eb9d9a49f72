"""Commands that move money, or decide whether it moves."""

from typing import ClassVar

from pesalango_server.kernel.message import Command
from pesalango_server.ledger.model import OperationKind


class TakePayment(Command, frozen=True):
    """What all requests to move money have in common.

    `organisation_code` is the caller's, and `acts_for` says whether the application acts for it.
    `duplicate_key` is the 32 hexadecimal digits of the keyed hash of application, operation and
    ThirdPartyConversationID. `trigger` is the status that the sandbox's table answers, 0 for none.
    """

    kind: ClassVar[OperationKind]

    application: int
    organisation_code: str
    acts_for: bool
    amount_minor: int
    third_party_conversation_id: str
    transaction_reference: str
    description: str
    duplicate_key: str
    trigger: int

    @property
    def counterparty(self) -> str:
        """The other party, or what stands for it, as it was sent."""
        raise NotImplementedError


class TakeC2b(TakePayment, frozen=True, tag=1):
    """A customer pays an organisation, in one step.

    A customer without a script approves at once where `approves_unscripted`, and is asked
    otherwise, for `wait_ms`.
    """

    kind = OperationKind.C2B_SINGLE_STAGE

    msisdn: str
    approves_unscripted: bool
    wait_ms: int

    @property
    def counterparty(self) -> str:
        """See `TakePayment.counterparty`."""
        return self.msisdn


class AnswerPrompt(Command, frozen=True, tag=2):
    """A customer answered; `attempts` is how many wrong PINs in a row this answer stands for."""

    payment: int
    answer: int
    attempts: int = 1


class ExpirePrompt(Command, frozen=True, tag=3):
    """A prompt's time is over; `is_forced` when the caller's wait ended before the deadline."""

    payment: int
    is_forced: bool = False


class TakeB2c(TakePayment, frozen=True, tag=4):
    """An organisation pays a customer."""

    kind = OperationKind.B2C_PAYMENT

    msisdn: str

    @property
    def counterparty(self) -> str:
        """See `TakePayment.counterparty`."""
        return self.msisdn


class TakeB2b(TakePayment, frozen=True, tag=5):
    """An organisation pays another one."""

    kind = OperationKind.B2B_PAYMENT

    receiver_code: str

    @property
    def counterparty(self) -> str:
        """See `TakePayment.counterparty`."""
        return self.receiver_code


class TakeReversal(TakePayment, frozen=True, tag=6):
    """A payment goes back from its payee to its payer.

    `original` is the payment that `transaction_id` stands for, 0 for none that this installation gave out.
    `amount_minor` is 0 where all that is left of it is meant. `b2b_payer_may_reverse` is the
    operator's choice.
    """

    kind = OperationKind.REVERSAL

    transaction_id: str
    original: int
    b2b_payer_may_reverse: bool

    @property
    def counterparty(self) -> str:
        """See `TakePayment.counterparty`."""
        return self.transaction_id
