"""What the catalog is made of: markets, kinds, fields, answers, codes, triggers, operations.

Everything here is immutable data without behaviour beyond look-ups in itself. Validation, the
OpenAPI document, the reference pages and the tests of refusals all derive from it.
"""

from collections.abc import Mapping
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Literal

from msgspec import Struct

EnvironmentName = Literal["sandbox", "openapi"]
"""The first segment of every path. `openapi` is the one in which money counts."""

ENVIRONMENTS: tuple[EnvironmentName, ...] = ("sandbox", "openapi")

HttpMethod = Literal["GET", "POST", "PUT"]

NOT_AVAILABLE = "N/A"
"""What a refusal puts where the operation's reference would stand."""

ERROR_NAME = "output_error"
"""Wire name of the reason, where there is no code to answer or the code does not tell enough."""


class Market(Struct, frozen=True, kw_only=True):
    """One country's mobile-money platform. Money never crosses from one to another."""

    path_value: str
    country: str
    """Three letters, as in the field for the country."""
    currency: str
    """Three letters, as in the field for the currency."""
    time_zone: str
    """IANA name; what "today" and usage times mean here."""
    description: str
    decimals: int = 2
    """Digits after the point of an amount: minor units are 10 ** decimals to one."""
    msisdn_digits_min: int = 12


class Kind(Struct, frozen=True, kw_only=True):
    """What a field's value may look like, and the code for one that does not."""

    name: str
    pattern: str | None
    """Matched against the whole value, without anchors, ASCII classes only. None: compared with
    the market's own value instead (the country)."""
    printed: str | None
    """The pattern in the documentation, None where it prints none."""
    malformed_code: str
    """Where the operation lists it; elsewhere the general code for a bad parameter."""
    characters_max: int | None = None
    """A bound beside the pattern, for patterns that have none."""
    meaning: str
    """In words, for the reference pages: what the pattern alone does not say."""


class Field(Struct, frozen=True, kw_only=True):
    """One parameter of an operation."""

    wire_name: str
    name: str
    """The key of the checked value."""
    kind: Kind
    mandatory: bool = True
    description: str
    example: str
    """Ours; fits the pattern."""
    aliases: tuple[str, ...] = ()
    """Other spellings that are understood when the value is absent under `wire_name`."""
    sandbox_pattern: str | None = None
    """Accepted besides the kind's pattern, in the sandbox only."""


class AnswerField(Struct, frozen=True, kw_only=True):
    """One output of an operation, or one member of a callback or an acknowledgement."""

    wire_name: str
    name: str
    description: str
    example: str
    is_optional: bool = False
    """Left out of some successful answers, rather than sent empty."""


class Answer(Struct, frozen=True, kw_only=True):
    """A JSON object that the gateway sends (or, as acknowledgement of a callback, expects)."""

    fields: tuple[AnswerField, ...]
    """In the order in which they are written."""
    reference: str | None = None
    """Wire name of the field that is `N/A` when the operation is refused."""
    refusal: tuple[str, ...] = ()
    """Wire names of what a refusal carries, in order, the reference included."""

    def field(self, name: str) -> AnswerField:
        """The field of that Python name; KeyError if there is none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)


class Producer(StrEnum):
    """What makes the gateway answer a code that an operation lists."""

    CHECK = "check"
    """The gateway itself: a check that fails, the success of them all, or a fault of ours."""
    TRIGGER = "trigger"
    """A sandbox trigger, and nothing else."""
    NOT_YET = "not yet"
    """A check that does not exist yet."""
    NOTHING = "nothing"
    """Nothing: the documentation lists it, and no request leads to it."""


class Retry(Enum):
    """What a caller who got a code may do next, and whether money may have moved."""

    DONE = "done"
    """It took effect. Sending it again would be answered as a duplicate."""
    ASK = "ask"
    """A client must not go by this answer alone: it queries the status by the same
    ThirdPartyConversationID first."""
    SAME = "same"
    """Nothing was recorded and no money moved: the same request, unchanged, may be sent later."""
    CORRECTED = "corrected"
    """Refused before anything was recorded: change the request, the configuration or the hour,
    then send it, with the same ThirdPartyConversationID if you like."""
    NEW = "new"
    """No money moved, and the refusal may be recorded for good: another attempt is a new request
    with a new ThirdPartyConversationID."""

    @property
    def may_have_moved_money(self) -> bool:
        """Whether a caller must not assume that nothing happened."""
        return self in {Retry.DONE, Retry.ASK}

    @property
    def may_be_resent_unchanged(self) -> bool:
        """Whether a client may send the same bytes again by itself."""
        return self is Retry.SAME


class CodeRow(Struct, frozen=True, kw_only=True):
    """One code, whatever the operation."""

    code: str
    http_status: int
    """Where an operation's own table does not say otherwise."""
    text: str
    retry: Retry
    meaning: str
    """In our words, for the reference pages."""


class Code(Struct, frozen=True, kw_only=True):
    """One code of one operation."""

    code: str
    http_status: int
    text: str
    retry: Retry
    producer: Producer
    why: str = ""
    """Why no check produces it; empty for `Producer.CHECK`."""


class Check(Struct, frozen=True, kw_only=True):
    """One question of the total order in which a request is judged."""

    step: int
    question: str
    codes: tuple[str, ...]
    """What a request gets that fails here; which of them depends on the operation."""


class TriggerOutcome(Struct, frozen=True, kw_only=True):
    """How a sandbox trigger answers. Nothing is looked up and no money moves."""

    code: str
    note: str = ""
    """What the customer or the platform is imagined to have done."""
    answer: Mapping[str, str] = MappingProxyType({})
    """Values of the answer by the Python names of its fields; the rest is the caller's: fresh ids,
    and the market's date where the answer has a first payment date."""


class TriggerRow(Struct, frozen=True, kw_only=True):
    """Zeros and one last digit in one field: what each digit does."""

    field: str
    """Python name of the field."""
    length: int
    outcomes: Mapping[int, TriggerOutcome]
    """By last digit, 1 to 9. A digit that is not here is no trigger."""
    ordinary: frozenset[int] = frozenset()
    """Digits that mean an ordinary request, by a customer who approves."""
    nines: TriggerOutcome | None = None
    """For the value that is all nines."""


class TriggerDetail(Struct, frozen=True, kw_only=True):
    """A second field that decides one value of a triggered success."""

    field: str
    length: int
    answer: str
    """Python name of the answer's field."""
    values: Mapping[int, str]
    """By the last digit of an otherwise zero value."""
    default: str


class TriggerThreshold(Struct, frozen=True, kw_only=True):
    """The answer to a triggered question about the balance."""

    asked_by: str
    """Python name of the flag without which the answer has no such field."""
    answer: str
    """Python name of the answer's field: False above the threshold, else True."""
    above_minor: int


class Product(StrEnum):
    """What is switched on for an application and for an organisation."""

    C2B = "c2b"
    C2B_TWO_STEP = "c2b_two_step"
    B2C = "b2c"
    B2B = "b2b"
    REVERSAL = "reversal"
    STATUS_QUERY = "status_query"
    DIRECT_DEBIT = "direct_debit"
    QUERY_DIRECT_DEBIT = "query_direct_debit"
    CANCEL_DIRECT_DEBIT = "cancel_direct_debit"
    BENEFICIARY_NAME = "beneficiary_name"


class Rule(StrEnum):
    """A rule over several fields of one request."""

    MANDATE_SCHEDULE = "mandate_schedule"
    """Dates, frequency and range of days of a new mandate fit together."""
    CUSTOMER_GIVEN = "customer_given"
    """The customer is named by number, by token, or by both."""
    BALANCE_AMOUNT_GIVEN = "balance_amount_given"
    """A question about the balance names the amount."""


class Operation(Struct, frozen=True, kw_only=True):
    """One call of the operator's API."""

    name: str
    title: str
    summary: str
    method: HttpMethod
    path: str
    """Below `/{environment}/ipg/v2/{market}/`, with its trailing slash."""
    product: Product | None
    """None: open to every application (the session)."""
    markets: tuple[Market, ...]
    fields: tuple[Field, ...]
    """In documented order, which is the order of the checks."""
    rules: tuple[Rule, ...] = ()
    answer: Answer
    acknowledgement: Answer | None = None
    """What an asynchronous request is answered with at once. None: synchronous only."""
    callback: Answer | None = None
    listener_acknowledgement: Answer | None = None
    """What the caller's listener is expected to answer to the callback."""
    codes: tuple[Code, ...]
    """The operation's table, in the documentation's order; success comes first."""
    unlisted_codes: tuple[Code, ...] = ()
    """Answered although the documentation's table lacks them."""
    triggers: tuple[TriggerRow, ...] = ()
    trigger_details: tuple[TriggerDetail, ...] = ()
    trigger_threshold: TriggerThreshold | None = None
    trigger_echoes: tuple[str, ...] = ()
    """Python names of what a triggered success repeats from the request, where it is there."""
    are_duplicates_checked: bool = True
    """Whether one ThirdPartyConversationID is good for one request only."""
    is_documented: bool = True
    """False: known from public clients alone, no page of the documentation describes it."""

    @property
    def can_be_asynchronous(self) -> bool:
        """Whether the result may come by callback."""
        return self.callback is not None

    @property
    def success(self) -> Code:
        """Code, status and text of success."""
        return self.codes[0]

    def lists(self, code: str) -> bool:
        """Whether the operation's own table has the code."""
        return any(row.code == code for row in self.codes)
