"""Requests and answers of the admin API, as its server, its client and scripts exchange them.

Money is decimal text (`"1050.00"`), times are in the unit of their name, lists that are left out
of a change stay as they are. A field that is not here is refused.
"""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from pesalango_server.applications.administration import KEY_OVERLAP_MAX_MS
from pesalango_server.applications.model import (
    ACTIVATION_DELAY_MAX_MS,
    SESSION_LIFE_MAX_S,
    SESSION_LIFE_MIN_S,
)
from pesalango_server.kernel.ids import ID_MAX

ROOT: Final = "/admin/"
PREFIX: Final = f"{ROOT}v1"

LIST_ITEMS_MAX: Final = 10_000
"""How many customers, organisations or fundings one call takes."""

PAGE_ITEMS: Final = 100
PAGE_ITEMS_MAX: Final = 1_000

SCRIPT_DELAY_MAX_MS: Final = 3_600_000
"""A scripted customer answers within an hour, longer than any prompt lives."""

Text = str | UnsetType


class Request(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is common to all requests."""


class PlaceRequest(Request, kw_only=True):
    """Which ledger a call is about; each may stand in the query instead.

    `environment` is `sandbox` unless given, `world` the environment's first visible one, `market`
    a path value or a country.
    """

    environment: Text = UNSET
    world: Text = UNSET
    market: Text = UNSET


class PageRequest(PlaceRequest, kw_only=True):
    """A page of a list: up to `limit` items after the one named `after`."""

    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=PAGE_ITEMS_MAX)] = PAGE_ITEMS


# --- customers -----------------------------------------------------------------------------------


class Script(Struct, kw_only=True):
    """How a customer answers prompts: approve, decline, wrong_pin or never."""

    answer: str
    delay_ms: int


class Customer(Struct, kw_only=True):
    """A customer; `status` is active, pending_approval, locked or inactive."""

    msisdn: str
    first_name: str
    last_name: str
    status: str
    balance: str
    script: Script | None = None


class CustomerPage(Struct, kw_only=True):
    """Customers in the order of their numbers; `next` is the `after` of the next page, if any."""

    customers: list[Customer]
    next: str | None = None


class NewCustomerRequest(Request, kw_only=True):
    """A customer to add."""

    msisdn: str
    first_name: str
    last_name: str
    status: str = "active"
    balance: str = "0"


class AddCustomerRequest(NewCustomerRequest, kw_only=True):
    """One customer."""

    environment: Text = UNSET
    world: Text = UNSET
    market: Text = UNSET


class AddCustomersRequest(PlaceRequest, kw_only=True):
    """A list of customers of one ledger."""

    customers: Annotated[list[NewCustomerRequest], Meta(max_length=LIST_ITEMS_MAX)]


class Added(Struct, kw_only=True):
    """How many were added, and how many were there before, which were left as they are."""

    added: int
    present: int


class StatusRequest(PlaceRequest, kw_only=True):
    """A customer's account status."""

    status: str


class ScriptRequest(PlaceRequest, kw_only=True):
    """How a customer answers from now on; `none` takes the script away."""

    answer: str
    delay_ms: Annotated[int, Meta(ge=0, le=SCRIPT_DELAY_MAX_MS)] = 0


class FundRequest(PlaceRequest, kw_only=True):
    """Money for one wallet; `reference` is kept for ever, so that a repetition has no effect."""

    amount: str
    reference: str


class CustomerFunding(Request, kw_only=True):
    """One of a list of fundings of customers."""

    msisdn: str
    amount: str
    reference: str


class FundCustomersRequest(PlaceRequest, kw_only=True):
    """Money for many customers of one ledger."""

    fundings: Annotated[list[CustomerFunding], Meta(max_length=LIST_ITEMS_MAX)]


class Funded(Struct, kw_only=True):
    """How many wallets got money now, and how many had got it by an earlier call."""

    funded: int
    repeated: int


class FundedCustomer(Struct, kw_only=True):
    """The customer afterwards, and whether an earlier call had brought the money already."""

    customer: Customer
    is_repeated: bool


# --- organisations -------------------------------------------------------------------------------


class Organisation(Struct, kw_only=True):
    """An organisation; `status` is active or suspended."""

    code: str
    name: str
    status: str
    products: list[str]
    balance: str


class OrganisationPage(Struct, kw_only=True):
    """Organisations in the order of their codes; `next` as in `CustomerPage`."""

    organisations: list[Organisation]
    next: str | None = None


class NewOrganisationRequest(Request, kw_only=True):
    """An organisation to add."""

    code: str
    name: str
    products: list[str] | UnsetType = UNSET
    balance: str = "0"


class AddOrganisationRequest(NewOrganisationRequest, kw_only=True):
    """One organisation; it has every product unless some are named."""

    environment: Text = UNSET
    world: Text = UNSET
    market: Text = UNSET


class AddOrganisationsRequest(PlaceRequest, kw_only=True):
    """A list of organisations of one ledger."""

    organisations: Annotated[list[NewOrganisationRequest], Meta(max_length=LIST_ITEMS_MAX)]


class ChangeOrganisationRequest(PlaceRequest, kw_only=True):
    """Other products, another status, or both."""

    products: list[str] | UnsetType = UNSET
    status: Text = UNSET


class FundedOrganisation(Struct, kw_only=True):
    """As `FundedCustomer`."""

    organisation: Organisation
    is_repeated: bool


# --- applications --------------------------------------------------------------------------------


class Application(Struct, kw_only=True):
    """An application; `worlds` and `promoted` are by environment."""

    id: int
    name: str
    status: str
    products: list[str]
    origins: list[str]
    sources: list[str]
    organisations: list[str]
    markets: list[str]
    session_life_s: int
    activation_delay_ms: int
    worlds: dict[str, str]
    promoted: dict[str, bool]
    is_hidden: bool


class ApplicationPage(Struct, kw_only=True):
    """Applications in the order of their ids; `next` as in `CustomerPage`."""

    applications: list[Application]
    next: int | None = None


class ListApplicationsRequest(Request, kw_only=True):
    """`name` finds one; `hidden` lists the installation's own too."""

    after: Annotated[int, Meta(ge=0, le=ID_MAX)] = 0
    limit: Annotated[int, Meta(ge=1, le=PAGE_ITEMS_MAX)] = PAGE_ITEMS
    name: Text = UNSET
    hidden: bool = False


class HiddenRequest(Request, kw_only=True):
    """Whether one of the installation's own applications or worlds may be meant."""

    hidden: bool = False


class ApplicationSettings(Request, kw_only=True):
    """What an application is allowed."""

    products: list[str] | UnsetType = UNSET
    origins: list[str] | UnsetType = UNSET
    sources: list[str] | UnsetType = UNSET
    organisations: list[str] | UnsetType = UNSET
    markets: list[str] | UnsetType = UNSET
    session_life_s: (
        Annotated[int, Meta(ge=SESSION_LIFE_MIN_S, le=SESSION_LIFE_MAX_S)] | UnsetType
    ) = UNSET
    activation_delay_ms: Annotated[int, Meta(ge=0, le=ACTIVATION_DELAY_MAX_MS)] | UnsetType = UNSET
    promoted: dict[str, bool] | UnsetType = UNSET


class AddApplicationRequest(ApplicationSettings, kw_only=True):
    """A new application; `world` is its world in the sandbox.

    What is left out has its default: every product and market, any origin (`*`), any source (an
    empty list), no organisation, 3 600 s, no delay, the default world, promoted to the sandbox
    alone.
    """

    name: str
    world: Text = UNSET


class ChangeApplicationRequest(ApplicationSettings, kw_only=True):
    """Other settings, another status (active or suspended), or both.

    What is left out stays as it is.
    """

    status: Text = UNSET


class RotateRequest(Request, kw_only=True):
    """How long the present key goes on beside the new one."""

    overlap_s: Annotated[int, Meta(ge=0, le=KEY_OVERLAP_MAX_MS // 1_000)] = 0


class ApplicationWithKey(Struct, kw_only=True):
    """An application and its new API key, which is shown here and never again."""

    application: Application
    api_key: str

    def __repr__(self) -> str:
        """Without the key."""
        return f"ApplicationWithKey(application={self.application!r})"


# --- platform keys -------------------------------------------------------------------------------


class PlatformKeys(Struct, kw_only=True):
    """The public key of each environment: one line of base64 of the DER form."""

    sandbox: str
    openapi: str


class ReplacePlatformKeyRequest(Request, kw_only=True):
    """An RSA private key of 2048 to 8192 bits, in PEM, without a password."""

    private_key: str

    def __repr__(self) -> str:
        """Without the key."""
        return "ReplacePlatformKeyRequest()"


# --- installation --------------------------------------------------------------------------------


class AddTokenRequest(Request, kw_only=True):
    """A token for whoever `name` says; with `replaces`, one of that name ends at once."""

    name: str
    replaces: bool = False


class NewToken(Struct, kw_only=True):
    """A token, which is shown here and never again."""

    name: str
    token: str

    def __repr__(self) -> str:
        """Without the token."""
        return f"NewToken(name={self.name!r})"


class World(Struct, kw_only=True):
    """A world."""

    environment: str
    name: str
    is_default: bool
    is_hidden: bool


class WorldPage(Struct, kw_only=True):
    """All worlds."""

    worlds: list[World]


class EngineHealth(Struct, kw_only=True):
    """One engine as this worker sees it; `unanswered` are this worker's own commands."""

    is_ready: bool
    unanswered: int


class Health(Struct, kw_only=True):
    """Whether payments can be taken, and what that hangs on.

    `generation` is the configuration that this worker serves by; `schema` names the latest
    migration of each database that this program knows and the databases therefore have.
    """

    is_ready: bool
    version: str
    generation: int
    is_configuration_fresh: bool
    engines: dict[str, EngineHealth]
    schema: dict[str, str]


class ClockConfirmed(Struct, kw_only=True):
    """The engines that were told that the clock is right."""

    engines: list[str]


class Error(Struct, kw_only=True):
    """What is wrong, what to do about it, and in which field (empty: in none)."""

    code: str
    message: str
    field: str


class ErrorAnswer(Struct, kw_only=True):
    """The body of every answer that is not a 2xx, health's apart."""

    error: Error
