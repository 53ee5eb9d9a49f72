"""`pesalango-server organisations`: who is paid."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
from msgspec import UNSET

from pesalango_server.admin import contract
from pesalango_server.admin.client import split_into_calls
from pesalango_server.cli.customers import (
    describe_funding,
    make_reference,
    telling_how_to_repeat,
)
from pesalango_server.cli.failures import CommandFailed
from pesalango_server.cli.files import read_items
from pesalango_server.cli.options import Admin, PlaceChoice, expand_bundles
from pesalango_server.cli.output import join, print_json, print_table

app = typer.Typer(help="Organisations: who is paid in a market.", no_args_is_help=True)

Code = Annotated[str, typer.Argument(help="The organisation's shortcode.")]


@app.command("add")
@expand_bundles
def add(
    place: PlaceChoice,
    admin: Admin,
    code: Annotated[str | None, typer.Option("--code", help="Shortcode.")] = None,
    name: Annotated[str | None, typer.Option("--name")] = None,
    product: Annotated[
        list[str] | None,
        typer.Option("--product", help="One that it has; repeat it. None given: all of them."),
    ] = None,
    balance: Annotated[str, typer.Option("--balance", help="First money, such as 1050.00.")] = "0",
    file: Annotated[
        Path | None, typer.Option("--file", help="List of them, .csv with column names or .json.")
    ] = None,
) -> None:
    """Add one organisation, or a list. A code that is there already is left as it is."""
    if file is not None:
        if code or name or product:
            raise CommandFailed("give --file, or one organisation's code and name, not both")
        listed = read_items(file, contract.NewOrganisationRequest, name="organisations")
    elif code and name:
        listed = [
            contract.NewOrganisationRequest(
                code=code, name=name, products=product or UNSET, balance=balance
            )
        ]
    else:
        raise CommandFailed("give --code and --name, or a list with --file")
    total = contract.Added(added=0, present=0)
    with admin.connect() as client:
        for part in split_into_calls(listed):
            request = contract.AddOrganisationsRequest(organisations=list(part), **place.fields)
            added = client.add_organisations(request)
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
    after: Annotated[str, typer.Option("--after", help="Begin after this code.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most.")] = 100,
) -> None:
    """List organisations in the order of their codes, with balance, status and products."""
    found: list[contract.Organisation] = []
    following: str | None = after
    with admin.connect() as client:
        while following is not None and len(found) < limit:
            page = client.list_organisations(
                contract.PageRequest(
                    after=following,
                    limit=min(limit - len(found), contract.PAGE_ITEMS_MAX),
                    **place.fields,
                )
            )
            found += page.organisations
            following = page.next
    if admin.is_json:
        print_json(contract.OrganisationPage(organisations=found, next=following))
        return
    print_table(
        ("Code", "Name", "Status", "Balance>", "Products"),
        [(each.code, each.name, each.status, each.balance, join(each.products)) for each in found],
    )
    if following is not None:
        print(f"There are more: --after {following}")


@app.command("fund")
@expand_bundles
def fund(
    place: PlaceChoice,
    admin: Admin,
    code: Code,
    amount: Annotated[str, typer.Argument(help="Amount, such as 1050.00.")],
    reference: Annotated[
        str | None,
        typer.Option("--reference", help="Kept for ever: the same one never funds twice."),
    ] = None,
) -> None:
    """Put money into an organisation's wallet."""
    reference = reference or make_reference()
    with admin.connect() as client, telling_how_to_repeat(f"--reference {shlex.quote(reference)}"):
        request = contract.FundRequest(amount=amount, reference=reference, **place.fields)
        answer = client.fund_organisation(code, request)
    if admin.is_json:
        print_json(answer)
    else:
        print(describe_funding(code, answer.organisation.balance, reference, answer.is_repeated))


@app.command("products")
@expand_bundles
def products_(
    place: PlaceChoice,
    admin: Admin,
    code: Code,
    products: Annotated[
        list[str] | None, typer.Argument(help="All products that it has from now on; may be none.")
    ] = None,
) -> None:
    """Say which products an organisation has."""
    with admin.connect() as client:
        request = contract.ChangeOrganisationRequest(products=products or [], **place.fields)
        organisation = client.change_organisation(code, request)
    if admin.is_json:
        print_json(organisation)
    else:
        print(f"{organisation.code} has {join(organisation.products)}.")


def _set_status(admin: Admin, place: PlaceChoice, code: str, status: str) -> None:

    with admin.connect() as client:
        request = contract.ChangeOrganisationRequest(status=status, **place.fields)
        organisation = client.change_organisation(code, request)
    if admin.is_json:
        print_json(organisation)
    else:
        print(f"{organisation.code} is {organisation.status}.")


@app.command("suspend")
@expand_bundles
def suspend(place: PlaceChoice, admin: Admin, code: Code) -> None:
    """Let an organisation take no part in payments until it is resumed."""
    _set_status(admin, place, code, "suspended")


@app.command("resume")
@expand_bundles
def resume(place: PlaceChoice, admin: Admin, code: Code) -> None:
    """Let a suspended organisation take part again."""
    _set_status(admin, place, code, "active")
