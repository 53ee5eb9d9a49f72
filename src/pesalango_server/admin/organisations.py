"""Organisations of a ledger: add, list, change, fund."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET

from pesalango_server.admin import contract
from pesalango_server.admin.checks import (
    ORGANISATION_STATUSES,
    PRODUCTS,
    check_amount,
    check_balance,
    check_code,
    check_distinct,
    check_name,
    check_products,
    check_reference,
    check_status,
)
from pesalango_server.admin.errors import AdminError, ErrorCode, refuse
from pesalango_server.admin.fundings import Funding, fund_wallets
from pesalango_server.admin.ledgers import Place, name_what_was_done, split_list
from pesalango_server.kernel.money import format_amount_minor
from pesalango_server.ledger.model import OrganisationStatus
from pesalango_server.ledger.parties import (
    AddOrganisations,
    FundOrganisations,
    NewOrganisation,
    SetOrganisation,
)
from pesalango_server.payments.duplicates import DuplicateKeys
from pesalango_server.storage.database import Schema, declare_query

_FUNDING: Final = 2
"""See `customers`: the two kinds of wallets have references of their own."""

_COLUMNS: Final = "code, name, status, products, account, balance_minor"

LIST_ORGANISATIONS = declare_query(
    "list_organisations",
    Schema.ENVIRONMENT,
    columns=_COLUMNS,
    text=(
        "SELECT o.code AS code, o.name AS name, o.status AS status, o.products AS products,"
        " a.id AS account, a.balance_minor AS balance_minor"
        " FROM (SELECT * FROM organisations"
        " WHERE ledger = $1::bigint AND code > $2::text ORDER BY code LIMIT $3::bigint) AS o"
        " CROSS JOIN accounts AS a WHERE a.ledger = o.ledger AND a.id = o.account ORDER BY o.code"
    ),
)

FIND_ORGANISATIONS = declare_query(
    "find_organisations",
    Schema.ENVIRONMENT,
    columns=_COLUMNS,
    text=(
        "SELECT o.code AS code, o.name AS name, o.status AS status, o.products AS products,"
        " a.id AS account, a.balance_minor AS balance_minor"
        " FROM {input} CROSS JOIN organisations AS o CROSS JOIN accounts AS a"
        " WHERE o.ledger = input.ledger AND o.code = input.code"
        " AND a.ledger = o.ledger AND a.id = o.account"
    ),
    set_columns="ledger bigint, code text",
)


class _Row(msgspec.Struct, array_like=True):
    code: str
    name: str
    status: int
    products: str
    account: int
    balance_minor: int


_decode_rows = msgspec.json.Decoder(list[_Row]).decode


class Organisations:
    """What the admin API does with organisations; `keys` makes the keys of references."""

    def __init__(self, keys: DuplicateKeys) -> None:
        self._keys = keys

    async def add(
        self, place: Place, listed: Sequence[contract.NewOrganisationRequest], *, field: str
    ) -> contract.Added:
        """Add those that are not there yet; the whole list is checked before the first is added.

        `field` is what the list is called in errors, empty for a single organisation.
        """
        organisations = [
            _check_new(new, place, f"{field}[{position}]." if field else "")
            for position, new in enumerate(listed)
        ]
        check_distinct((new.code for new in organisations), lambda at: f"{field}[{at}].code")
        added = 0
        for number, part in enumerate(split_list(organisations)):
            with name_what_was_done(number):
                done = await place.submit(AddOrganisations(place.ledger, tuple(part)))
            added += sum(1 for organisation in done.ids if organisation)
        return contract.Added(added=added, present=len(organisations) - added)

    async def list_page(self, place: Place, *, after: str, limit: int) -> contract.OrganisationPage:
        """A page of all organisations."""
        document = await place.read(LIST_ORGANISATIONS, (place.ledger, after, limit))
        rows = _decode_rows(document)
        return contract.OrganisationPage(
            organisations=[_show(row, place) for row in rows],
            next=rows[-1].code if len(rows) == limit else None,
        )

    async def find(self, place: Place, code: str) -> contract.Organisation:
        """One organisation."""
        return _show(await self._find(place, code), place)

    async def _find(self, place: Place, code: str) -> _Row:
        rows = _decode_rows(await place.read(FIND_ORGANISATIONS, rows=[(place.ledger, code)]))
        if not rows:
            raise AdminError(ErrorCode.NOT_FOUND, "no organisation here has this code", "code")
        return rows[0]

    async def change(
        self, place: Place, code: str, request: contract.ChangeOrganisationRequest
    ) -> contract.Organisation:
        """Give it another status, other products, or both."""
        if request.status is UNSET and request.products is UNSET:
            raise refuse("", "nothing to change: give products, status or both")
        status: int | None = None
        products: str | None = None
        if request.status is not UNSET:
            check_status(request.status, ORGANISATION_STATUSES)
            status = ORGANISATION_STATUSES[request.status]
        if request.products is not UNSET:
            products = ",".join(sorted(check_products(request.products)))
        await place.submit(SetOrganisation(place.ledger, code, status, products))
        return await self.find(place, code)

    async def fund(
        self, place: Place, code: str, *, amount: str, reference: str
    ) -> contract.FundedOrganisation:
        """Put money into the wallet; what an earlier call did already is not done again."""
        funding = Funding(
            code,
            check_amount(amount, "amount", place.market),
            self._make_key(check_reference(reference, "reference")),
            "reference",
        )
        row = await self._find(place, code)
        funded = await fund_wallets(
            place,
            [funding],
            accounts={code: row.account},
            make_command=lambda part: FundOrganisations(place.ledger, part),
        )
        return contract.FundedOrganisation(
            organisation=await self.find(place, code), is_repeated=funded.repeated > 0
        )

    def _make_key(self, reference: str) -> str:
        return self._keys.make(application=0, operation=_FUNDING, reference=reference)


def _check_new(new: contract.NewOrganisationRequest, place: Place, prefix: str) -> NewOrganisation:
    products = PRODUCTS
    if new.products is not UNSET:
        products = check_products(new.products, f"{prefix}products")
    return NewOrganisation(
        code=check_code(new.code, f"{prefix}code"),
        name=check_name(new.name, f"{prefix}name"),
        products=",".join(sorted(products)),
        amount_minor=check_balance(new.balance, f"{prefix}balance", place.market),
    )


def _show(row: _Row, place: Place) -> contract.Organisation:
    return contract.Organisation(
        code=row.code,
        name=row.name,
        status=OrganisationStatus(row.status).name.lower(),
        products=row.products.split(",") if row.products else [],
        balance=format_amount_minor(row.balance_minor, place.market.decimals),
    )
