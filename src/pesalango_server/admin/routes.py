"""Which call does what: the paths of the admin API, their methods and handlers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from pesalango_server.admin import contract
from pesalango_server.admin.calls import Call
from pesalango_server.admin.checks import check_after, check_code, check_msisdn
from pesalango_server.admin.ledgers import Place
from pesalango_server.admin.service import AdminService

Answer = tuple[int, Any]
"""HTTP status, and the struct that is the body."""

Handler = Callable[[AdminService, Call], Awaitable[Answer]]


@dataclass(frozen=True)
class Endpoint:
    """What a method of a path does; `bodies` are the requests that it takes, one at a time."""

    handler: Handler
    meaning: str
    answer: type[Any]
    query: type[contract.Request] | None = None
    bodies: tuple[type[contract.Request], ...] = ()


async def _find_place(service: AdminService, call: Call, request: Any) -> Place:
    """The ledger that body or query name; the query must hold nothing else."""
    return await service.ledgers.find(request, call.decode_query(contract.PlaceRequest))


def _status_of(added: contract.Added) -> int:
    return 201 if added.added else 200


# --- customers -----------------------------------------------------------------------------------


async def list_customers(service: AdminService, call: Call) -> Answer:
    request = call.decode_query(contract.PageRequest)
    after = check_after(request.after)
    place = await service.ledgers.find(request)
    return 200, await service.customers.list_page(place, after=after, limit=request.limit)


async def add_customers(service: AdminService, call: Call) -> Answer:
    if call.has_field("customers"):
        listing = call.decode_body(contract.AddCustomersRequest)
        place = await _find_place(service, call, listing)
        added = await service.customers.add(place, listing.customers, field="customers")
    else:
        single = call.decode_body(contract.AddCustomerRequest)
        place = await _find_place(service, call, single)
        added = await service.customers.add(place, [single], field="")
    return _status_of(added), added


async def find_customer(service: AdminService, call: Call) -> Answer:
    place = await service.ledgers.find(call.decode_query(contract.PlaceRequest))
    return 200, await service.customers.find(place, _msisdn(call, place))


async def set_customer_status(service: AdminService, call: Call) -> Answer:
    request = call.decode_body(contract.StatusRequest)
    place = await _find_place(service, call, request)
    msisdn = _msisdn(call, place)
    return 200, await service.customers.set_status(place, msisdn, request.status)


async def script_customer(service: AdminService, call: Call) -> Answer:
    request = call.decode_body(contract.ScriptRequest)
    place = await _find_place(service, call, request)
    return 200, await service.customers.script(
        place, _msisdn(call, place), answer=request.answer, delay_ms=request.delay_ms
    )


async def fund_customer(service: AdminService, call: Call) -> Answer:
    request = call.decode_body(contract.FundRequest)
    place = await _find_place(service, call, request)
    msisdn = _msisdn(call, place)
    funding = contract.CustomerFunding(
        msisdn=msisdn, amount=request.amount, reference=request.reference
    )
    funded = await service.customers.fund(place, [funding], field="")
    return 200, contract.FundedCustomer(
        customer=await service.customers.find(place, msisdn), is_repeated=funded.repeated > 0
    )


async def fund_customers(service: AdminService, call: Call) -> Answer:
    request = call.decode_body(contract.FundCustomersRequest)
    place = await _find_place(service, call, request)
    return 200, await service.customers.fund(place, request.fundings, field="fundings")


def _msisdn(call: Call, place: Place) -> str:
    return check_msisdn(call.path["msisdn"], "msisdn", place.market)


# --- organisations -------------------------------------------------------------------------------


async def list_organisations(service: AdminService, call: Call) -> Answer:
    request = call.decode_query(contract.PageRequest)
    after = check_after(request.after)
    place = await service.ledgers.find(request)
    return 200, await service.organisations.list_page(place, after=after, limit=request.limit)


async def add_organisations(service: AdminService, call: Call) -> Answer:
    if call.has_field("organisations"):
        listing = call.decode_body(contract.AddOrganisationsRequest)
        place = await _find_place(service, call, listing)
        added = await service.organisations.add(place, listing.organisations, field="organisations")
    else:
        single = call.decode_body(contract.AddOrganisationRequest)
        place = await _find_place(service, call, single)
        added = await service.organisations.add(place, [single], field="")
    return _status_of(added), added


async def find_organisation(service: AdminService, call: Call) -> Answer:
    place = await service.ledgers.find(call.decode_query(contract.PlaceRequest))
    return 200, await service.organisations.find(place, _code(call))


async def change_organisation(service: AdminService, call: Call) -> Answer:
    request = call.decode_body(contract.ChangeOrganisationRequest)
    place = await _find_place(service, call, request)
    return 200, await service.organisations.change(place, _code(call), request)


async def fund_organisation(service: AdminService, call: Call) -> Answer:
    request = call.decode_body(contract.FundRequest)
    place = await _find_place(service, call, request)
    return 200, await service.organisations.fund(
        place, _code(call), amount=request.amount, reference=request.reference
    )


def _code(call: Call) -> str:
    return check_code(call.path["code"], "code")


# --- applications --------------------------------------------------------------------------------


async def list_applications(service: AdminService, call: Call) -> Answer:
    request = call.decode_query(contract.ListApplicationsRequest)
    return 200, await service.applications.list_page(request)


async def add_application(service: AdminService, call: Call) -> Answer:
    request = call.decode_body(contract.AddApplicationRequest)
    return 201, await service.applications.add(request, actor=call.actor)


async def find_application(service: AdminService, call: Call) -> Answer:
    hidden = call.decode_query(contract.HiddenRequest).hidden
    return 200, await service.applications.find(call.path_number("id"), hidden=hidden)


async def change_application(service: AdminService, call: Call) -> Answer:
    return 200, await service.applications.change(
        call.path_number("id"),
        call.decode_body(contract.ChangeApplicationRequest),
        actor=call.actor,
        hidden=call.decode_query(contract.HiddenRequest).hidden,
    )


async def rotate_application_key(service: AdminService, call: Call) -> Answer:
    return 200, await service.applications.rotate_key(
        call.path_number("id"),
        overlap_s=call.decode_body(contract.RotateRequest).overlap_s,
        actor=call.actor,
        hidden=call.decode_query(contract.HiddenRequest).hidden,
    )


# --- platform keys -------------------------------------------------------------------------------


async def show_platform_keys(service: AdminService, _call: Call) -> Answer:
    return 200, await service.platform_keys.show()


async def replace_platform_key(service: AdminService, call: Call) -> Answer:
    request = call.decode_body(contract.ReplacePlatformKeyRequest)
    return 200, await service.platform_keys.replace(
        call.path["environment"], request.private_key, actor=call.actor
    )


# --- installation --------------------------------------------------------------------------------


async def add_token(service: AdminService, call: Call) -> Answer:
    request = call.decode_body(contract.AddTokenRequest)
    return 201, await service.applications.add_token(request, actor=call.actor)


async def list_worlds(service: AdminService, call: Call) -> Answer:
    hidden = call.decode_query(contract.HiddenRequest).hidden
    return 200, await service.applications.list_worlds(hidden=hidden)


async def show_health(service: AdminService, _call: Call) -> Answer:
    health = service.installation.describe()
    return (200 if health.is_ready else 503), health


async def confirm_clock(service: AdminService, _call: Call) -> Answer:
    return 200, await service.installation.confirm_clock()


ENDPOINTS: Final[dict[str, dict[str, Endpoint]]] = {
    "/customers": {
        "GET": Endpoint(
            list_customers,
            "Lists the customers of a market with balance, status and script.",
            query=contract.PageRequest,
            answer=contract.CustomerPage,
        ),
        "POST": Endpoint(
            add_customers,
            "Adds one customer, or a list that is checked whole before the first is added. A "
            "number that is there already is left as it is, so that a list may be sent again.",
            query=contract.PlaceRequest,
            bodies=(contract.AddCustomerRequest, contract.AddCustomersRequest),
            answer=contract.Added,
        ),
    },
    "/customers/fund": {
        "POST": Endpoint(
            fund_customers,
            "Puts money into many wallets. The list is checked whole first, and may be sent again: "
            "what an earlier call did is not done again.",
            query=contract.PlaceRequest,
            bodies=(contract.FundCustomersRequest,),
            answer=contract.Funded,
        ),
    },
    "/customers/{msisdn}": {
        "GET": Endpoint(
            find_customer,
            "Shows one customer.",
            query=contract.PlaceRequest,
            answer=contract.Customer,
        ),
    },
    "/customers/{msisdn}/status": {
        "POST": Endpoint(
            set_customer_status,
            "Changes the account status: active, pending_approval, locked or inactive.",
            query=contract.PlaceRequest,
            bodies=(contract.StatusRequest,),
            answer=contract.Customer,
        ),
    },
    "/customers/{msisdn}/fund": {
        "POST": Endpoint(
            fund_customer,
            "Puts money into the wallet. The reference is kept for ever: the same one with the "
            "same amount has no further effect, with another amount or wallet it is a conflict.",
            query=contract.PlaceRequest,
            bodies=(contract.FundRequest,),
            answer=contract.FundedCustomer,
        ),
    },
    "/customers/{msisdn}/script": {
        "POST": Endpoint(
            script_customer,
            "Says how the customer answers prompts from now on: approve, decline, wrong_pin, "
            "never, or none for no script. Where nothing approves by itself it is a conflict.",
            query=contract.PlaceRequest,
            bodies=(contract.ScriptRequest,),
            answer=contract.Customer,
        ),
    },
    "/organisations": {
        "GET": Endpoint(
            list_organisations,
            "Lists the organisations of a market with balance, status and products.",
            query=contract.PageRequest,
            answer=contract.OrganisationPage,
        ),
        "POST": Endpoint(
            add_organisations,
            "Adds one organisation, or a list, as customers are added.",
            query=contract.PlaceRequest,
            bodies=(contract.AddOrganisationRequest, contract.AddOrganisationsRequest),
            answer=contract.Added,
        ),
    },
    "/organisations/{code}": {
        "GET": Endpoint(
            find_organisation,
            "Shows one organisation.",
            query=contract.PlaceRequest,
            answer=contract.Organisation,
        ),
        "PATCH": Endpoint(
            change_organisation,
            "Changes its products, its status (active, suspended), or both.",
            query=contract.PlaceRequest,
            bodies=(contract.ChangeOrganisationRequest,),
            answer=contract.Organisation,
        ),
    },
    "/organisations/{code}/fund": {
        "POST": Endpoint(
            fund_organisation,
            "Puts money into the wallet, once a reference, as for customers.",
            query=contract.PlaceRequest,
            bodies=(contract.FundRequest,),
            answer=contract.FundedOrganisation,
        ),
    },
    "/applications": {
        "GET": Endpoint(
            list_applications,
            "Lists applications, or finds one by its name.",
            query=contract.ListApplicationsRequest,
            answer=contract.ApplicationPage,
        ),
        "POST": Endpoint(
            add_application,
            "Makes an application. Its API key is in this answer alone.",
            bodies=(contract.AddApplicationRequest,),
            answer=contract.ApplicationWithKey,
        ),
    },
    "/applications/{id}": {
        "GET": Endpoint(
            find_application,
            "Shows one application.",
            query=contract.HiddenRequest,
            answer=contract.Application,
        ),
        "PATCH": Endpoint(
            change_application,
            "Changes what is given, all of it or nothing. A list replaces the one before it.",
            query=contract.HiddenRequest,
            bodies=(contract.ChangeApplicationRequest,),
            answer=contract.Application,
        ),
    },
    "/applications/{id}/rotate": {
        "POST": Endpoint(
            rotate_application_key,
            "Gives an application another API key, which is in this answer alone. The present "
            "ones end after the overlap.",
            query=contract.HiddenRequest,
            bodies=(contract.RotateRequest,),
            answer=contract.ApplicationWithKey,
        ),
    },
    "/platform-keys": {
        "GET": Endpoint(
            show_platform_keys,
            "Shows the public keys, with which callers encrypt their bearers.",
            answer=contract.PlatformKeys,
        ),
    },
    "/platform-keys/{environment}": {
        "PUT": Endpoint(
            replace_platform_key,
            "Gives an environment another key pair. Bearers that were made with the old public key "
            "stop working within a second, but for those of sessions in use: hand the new one to "
            "every merchant first. The private key is in no answer and no log.",
            bodies=(contract.ReplacePlatformKeyRequest,),
            answer=contract.PlatformKeys,
        ),
    },
    "/tokens": {
        "POST": Endpoint(
            add_token,
            "Makes an admin token, which is in this answer alone. A name has one token at a time.",
            bodies=(contract.AddTokenRequest,),
            answer=contract.NewToken,
        ),
    },
    "/worlds": {
        "GET": Endpoint(
            list_worlds,
            "Lists the worlds of both environments.",
            query=contract.HiddenRequest,
            answer=contract.WorldPage,
        ),
    },
    "/health": {
        "GET": Endpoint(
            show_health,
            "Tells whether payments can be taken; the status is 503 if not.",
            answer=contract.Health,
        ),
    },
    "/health/confirm-clock": {
        "POST": Endpoint(
            confirm_clock,
            "Tells the engines that the machine's clock, which jumped, is right now.",
            answer=contract.ClockConfirmed,
        ),
    },
}
"""Endpoints by path (below `contract.PREFIX`) and method, in the order in which paths are tried."""

LIST_PATHS: Final = frozenset({"/customers", "/customers/fund", "/organisations"})
"""Those that take lists, and therefore large bodies."""
