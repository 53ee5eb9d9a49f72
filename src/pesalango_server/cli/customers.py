"""`pesalango-server customers`: who has a wallet."""

import contextlib
import secrets
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from pesalango_server.admin import contract
from pesalango_server.admin.client import AdminCallFailed, AdminUnreachable, split_into_calls
from pesalango_server.cli.failures import CommandFailed
from pesalango_server.cli.files import read_items
from pesalango_server.cli.options import Admin, PlaceChoice, expand_bundles
from pesalango_server.cli.output import print_json, print_table

SERVER_FAILED = 500
"""From this HTTP status on it is the server that failed; below, the call took no effect."""

app = typer.Typer(help="Customers: who has a wallet in a market.", no_args_is_help=True)

Msisdn = Annotated[str, typer.Argument(help="The customer's number, with the country's prefix.")]
ListFile = Annotated[
    Path | None, typer.Option("--file", help="List of them, .csv with column names or .json.")
]


@app.command("add")
@expand_bundles
def add(
    place: PlaceChoice,
    admin: Admin,
    msisdn: Annotated[str | None, typer.Option("--msisdn", help="Mobile number.")] = None,
    first_name: Annotated[str | None, typer.Option("--first-name")] = None,
    last_name: Annotated[str | None, typer.Option("--last-name")] = None,
    status: Annotated[
        str, typer.Option("--status", help="active, pending_approval, locked or inactive.")
    ] = "active",
    balance: Annotated[str, typer.Option("--balance", help="First money, such as 1050.00.")] = "0",
    file: ListFile = None,
) -> None:
    """Add one customer, or a list. A number that is there already is left as it is."""
    if file is not None:
        if msisdn or first_name or last_name:
            raise CommandFailed("give --file, or one customer's number and names, not both")
        listed = read_items(file, contract.NewCustomerRequest, name="customers")
    elif msisdn and first_name and last_name:
        listed = [
            contract.NewCustomerRequest(
                msisdn=msisdn,
                first_name=first_name,
                last_name=last_name,
                status=status,
                balance=balance,
            )
        ]
    else:
        raise CommandFailed("give --msisdn, --first-name and --last-name, or a list with --file")
    total = contract.Added(added=0, present=0)
    with admin.connect() as client:
        for part in split_into_calls(listed):
            request = contract.AddCustomersRequest(customers=list(part), **place.fields)
            added = client.add_customers(request)
            total.added += added.added
            total.present += added.present
    if admin.is_json:
        print_json(total)
    else:
        print(f"{total.added} added, {total.present} were there already.")


@app.command("list")
@expand_bundles
def list_(
    place: PlaceChoice,
    admin: Admin,
    after: Annotated[str, typer.Option("--after", help="Begin after this number.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most.")] = 100,
) -> None:
    """List customers in the order of their numbers, with balance, status and script."""
    found: list[contract.Customer] = []
    following: str | None = after
    with admin.connect() as client:
        while following is not None and len(found) < limit:
            page = client.list_customers(
                contract.PageRequest(
                    after=following,
                    limit=min(limit - len(found), contract.PAGE_ITEMS_MAX),
                    **place.fields,
                )
            )
            found += page.customers
            following = page.next
    if admin.is_json:
        print_json(contract.CustomerPage(customers=found, next=following))
        return
    print_table(
        ("MSISDN", "First name", "Last name", "Status", "Balance>", "Script"),
        [
            (
                customer.msisdn,
                customer.first_name,
                customer.last_name,
                customer.status,
                customer.balance,
                f"{customer.script.answer} after {customer.script.delay_ms} ms"
                if customer.script
                else "",
            )
            for customer in found
        ],
    )
    if following is not None:
        print(f"There are more: --after {following}")


@app.command("fund")
@expand_bundles
def fund(
    place: PlaceChoice,
    admin: Admin,
    msisdn: Annotated[str | None, typer.Argument(help="The customer's number.")] = None,
    amount: Annotated[str | None, typer.Argument(help="Amount, such as 1050.00.")] = None,
    reference: Annotated[
        str | None,
        typer.Option("--reference", help="Kept for ever: the same one never funds twice."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="List with msisdn, amount and reference.")
    ] = None,
) -> None:
    """Put money into one wallet, or into those of a list."""
    if file is not None:
        if msisdn or amount or reference:
            raise CommandFailed("give --file, or one customer's number and amount, not both")
        listed = read_items(file, contract.CustomerFunding, name="fundings")
        total = contract.Funded(funded=0, repeated=0)
        again = "the same file, whose references never fund twice"
        with admin.connect() as client, telling_how_to_repeat(again):
            for part in split_into_calls(listed):
                request = contract.FundCustomersRequest(fundings=list(part), **place.fields)
                funded = client.fund_customers(request)
                total.funded += funded.funded
                total.repeated += funded.repeated
        if admin.is_json:
            print_json(total)
        else:
            print(f"{total.funded} funded, {total.repeated} had been funded already.")
        return
    if not msisdn or not amount:
        raise CommandFailed("give a number and an amount, or a list with --file")
    reference = reference or make_reference()
    with admin.connect() as client, telling_how_to_repeat(f"--reference {shlex.quote(reference)}"):
        answer = client.fund_customer(
            msisdn,
            contract.FundRequest(amount=amount, reference=reference, **place.fields),
        )
    if admin.is_json:
        print_json(answer)
    else:
        print(describe_funding(msisdn, answer.customer.balance, reference, answer.is_repeated))


@app.command("status")
@expand_bundles
def status_(
    place: PlaceChoice,
    admin: Admin,
    msisdn: Msisdn,
    status: Annotated[str, typer.Argument(help="active, pending_approval, locked or inactive.")],
) -> None:
    """Change a customer's account status."""
    with admin.connect() as client:
        request = contract.StatusRequest(status=status, **place.fields)
        customer = client.set_customer_status(msisdn, request)
    if admin.is_json:
        print_json(customer)
    else:
        print(f"{customer.msisdn} is {customer.status}.")


@app.command("script")
@expand_bundles
def script(
    place: PlaceChoice,
    admin: Admin,
    msisdn: Msisdn,
    answer: Annotated[
        str, typer.Argument(help="approve, decline, wrong_pin, never, or none for no script.")
    ],
    delay_ms: Annotated[
        int, typer.Option("--delay-ms", min=0, help="How long the customer takes.")
    ] = 0,
) -> None:
    """Say how a sandbox customer answers prompts from now on."""
    with admin.connect() as client:
        request = contract.ScriptRequest(answer=answer, delay_ms=delay_ms, **place.fields)
        customer = client.script_customer(msisdn, request)
    if admin.is_json:
        print_json(customer)
    elif customer.script is None:
        print(f"{customer.msisdn} has no script.")
    else:
        print(
            f"{customer.msisdn} answers {customer.script.answer} "
            f"after {customer.script.delay_ms} ms."
        )


def make_reference() -> str:
    """A reference for a funding whose caller did not choose one."""
    return f"cli-{secrets.token_hex(8)}"


@contextlib.contextmanager
def telling_how_to_repeat(again: str) -> Iterator[None]:
    """Have a funding of which nobody knows whether it took place fail with how to repeat it."""
    try:
        yield
    except (AdminUnreachable, AdminCallFailed) as error:
        if isinstance(error, AdminCallFailed) and error.status < SERVER_FAILED:
            raise
        raise CommandFailed(f"{error}; repeat it with {again}") from error


def describe_funding(name: str, balance: str, reference: str, is_repeated: bool) -> str:
    """What a person reads after a funding."""
    if is_repeated:
        return f"{name} had been funded by {reference} already; the balance is {balance}."
    return f"{name} has {balance} now (reference {reference})."
