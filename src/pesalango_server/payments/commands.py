"""Commands that move money, or decide whether it moves."""

from pesalango_server.kernel.message import Command


class TakeC2b(Command, frozen=True, tag=1):
    """A customer pays an organisation, in one step.

    `duplicate_key` is the 32 hexadecimal digits of the keyed hash of application, operation and
    ThirdPartyConversationID. `trigger` is the status that the sandbox's table answers, 0 for none.
    `acts_for` says whether the application acts for the organisation. A customer without a script
    approves at once where `approves_unscripted`, and is asked otherwise, for `wait_ms`.
    """

    application: int
    organisation_code: str
    acts_for: bool
    msisdn: str
    amount_minor: int
    transaction_reference: str
    third_party_conversation_id: str
    description: str
    duplicate_key: str
    trigger: int
    approves_unscripted: bool
    wait_ms: int


class AnswerPrompt(Command, frozen=True, tag=2):
    """A customer answered; `attempts` is how many wrong PINs in a row this answer stands for."""

    payment: int
    answer: int
    attempts: int = 1


class ExpirePrompt(Command, frozen=True, tag=3):
    """A prompt's time is over; `is_forced` when the caller's wait ended before the deadline."""

    payment: int
    is_forced: bool = False
