"""Customers of a ledger: add, list, change, fund, script."""

from collections.abc import Sequence
from typing import Final

import msgspec

from pesalango_server.admin import contract
from pesalango_server.admin.checks import (
    ANSWERS,
    CUSTOMER_STATUSES,
    check_amount,
    check_balance,
    check_choice,
    check_distinct,
    check_msisdn,
    check_name,
    check_reference,
    check_status,
)
from pesalango_server.admin.errors import AdminError, ErrorCode
from pesalango_server.admin.fundings import Funding, fund_wallets
from pesalango_server.admin.ledgers import Place, name_what_was_done, split_list
from pesalango_server.kernel.money import format_amount_minor
from pesalango_server.ledger.model import Answer, CustomerStatus
from pesalango_server.ledger.parties import (
    AddCustomers,
    FundCustomers,
    NewCustomer,
    ScriptCustomer,
    SetCustomerStatus,
)
from pesalango_server.payments.duplicates import DuplicateKeys
from pesalango_server.storage.database import Schema, declare_query

_FUNDING: Final = 1
"""Where an operation's number stands in a payment's duplicate key; the administrator is 0."""

_COLUMNS: Final = "msisdn, first_name, last_name, status, account, balance_minor, answer, delay_ms"

LIST_CUSTOMERS = declare_query(
    "list_customers",
    Schema.ENVIRONMENT,
    columns=_COLUMNS,
    text=(
        "SELECT n.msisdn AS msisdn, c.first_name AS first_name, c.last_name AS last_name,"
        " c.status AS status, a.id AS account, a.balance_minor AS balance_minor,"
        " coalesce(s.answer, 0) AS answer, coalesce(s.delay_ms, 0) AS delay_ms"
        " FROM (SELECT ledger, msisdn, customer FROM customer_numbers"
        " WHERE ledger = $1::bigint AND msisdn > $2::text ORDER BY msisdn LIMIT $3::bigint) AS n"
        " CROSS JOIN customers AS c CROSS JOIN accounts AS a"
        " LEFT JOIN scripts AS s ON s.ledger = n.ledger AND s.msisdn = n.msisdn"
        " WHERE c.ledger = n.ledger AND c.id = n.customer"
        " AND a.ledger = c.ledger AND a.id = c.account ORDER BY n.msisdn"
    ),
)

FIND_CUSTOMERS = declare_query(
    "find_customers",
    Schema.ENVIRONMENT,
    columns=_COLUMNS,
    text=(
        "SELECT n.msisdn AS msisdn, c.first_name AS first_name, c.last_name AS last_name,"
        " c.status AS status, a.id AS account, a.balance_minor AS balance_minor,"
        " coalesce(s.answer, 0) AS answer, coalesce(s.delay_ms, 0) AS delay_ms"
        " FROM {input} CROSS JOIN customer_numbers AS n"
        " CROSS JOIN customers AS c CROSS JOIN accounts AS a"
        " LEFT JOIN scripts AS s ON s.ledger = n.ledger AND s.msisdn = n.msisdn"
        " WHERE n.ledger = input.ledger AND n.msisdn = input.msisdn"
        " AND c.ledger = n.ledger AND c.id = n.customer"
        " AND a.ledger = c.ledger AND a.id = c.account"
    ),
    set_columns="ledger bigint, msisdn text",
)


class _Row(msgspec.Struct, array_like=True):
    msisdn: str
    first_name: str
    last_name: str
    status: int
    account: int
    balance_minor: int
    answer: int
    delay_ms: int


_decode_rows = msgspec.json.Decoder(list[_Row]).decode


class Customers:
    """What the admin API does with customers; `keys` makes the keys of references."""

    def __init__(self, keys: DuplicateKeys) -> None:
        self._keys = keys

    async def add(
        self, place: Place, listed: Sequence[contract.NewCustomerRequest], *, field: str
    ) -> contract.Added:
        """Add those that are not there yet; the whole list is checked before the first is added.

        `field` is what the list is called in errors, empty for a single customer.
        """
        customers = [
            _check_new(new, place, f"{field}[{position}]." if field else "")
            for position, new in enumerate(listed)
        ]
        check_distinct((new.msisdn for new in customers), lambda at: f"{field}[{at}].msisdn")
        added = 0
        for number, part in enumerate(split_list(customers)):
            with name_what_was_done(number):
                done = await place.submit(AddCustomers(place.ledger, tuple(part)))
            added += sum(1 for customer in done.ids if customer)
        return contract.Added(added=added, present=len(customers) - added)

    async def list_page(self, place: Place, *, after: str, limit: int) -> contract.CustomerPage:
        """A page of all customers."""
        document = await place.read(LIST_CUSTOMERS, (place.ledger, after, limit))
        rows = _decode_rows(document)
        return contract.CustomerPage(
            customers=[_show(row, place) for row in rows],
            next=rows[-1].msisdn if len(rows) == limit else None,
        )

    async def find(self, place: Place, msisdn: str) -> contract.Customer:
        """One customer."""
        (row,) = await self._find_all(place, [msisdn], fields=["msisdn"])
        return _show(row, place)

    async def _find_all(
        self, place: Place, msisdns: Sequence[str], *, fields: Sequence[str]
    ) -> list[_Row]:
        """The customers of all the numbers. Raises for one that is not there, by its field."""
        found: dict[str, _Row] = {}
        for part in split_list(msisdns):
            rows = [(place.ledger, msisdn) for msisdn in part]
            document = await place.read(FIND_CUSTOMERS, rows=rows)
            found.update((row.msisdn, row) for row in _decode_rows(document))
        for msisdn, field in zip(msisdns, fields, strict=True):
            if msisdn not in found:
                raise AdminError(ErrorCode.NOT_FOUND, "no customer here has this number", field)
        return [found[msisdn] for msisdn in msisdns]

    async def set_status(self, place: Place, msisdn: str, status: str) -> contract.Customer:
        """Change the account status."""
        check_status(status, CUSTOMER_STATUSES)
        await place.submit(SetCustomerStatus(place.ledger, msisdn, CUSTOMER_STATUSES[status]))
        return await self.find(place, msisdn)

    async def script(
        self, place: Place, msisdn: str, *, answer: str, delay_ms: int
    ) -> contract.Customer:
        """Say how the customer answers; prompts that wait already keep theirs."""
        check_choice(answer, "answer", ANSWERS)
        # Where nothing approves by itself, nothing may be made to.
        if not place.environment.approves_unscripted and ANSWERS[answer] != Answer.NONE:
            raise AdminError(
                ErrorCode.CONFLICT,
                f"customers of {place.environment.name} answer for themselves here; "
                "script those of the sandbox",
                "environment",
            )
        await place.submit(ScriptCustomer(place.ledger, msisdn, ANSWERS[answer], delay_ms))
        return await self.find(place, msisdn)

    async def fund(
        self, place: Place, listed: Sequence[contract.CustomerFunding], *, field: str
    ) -> contract.Funded:
        """Put money into wallets; what an earlier call did already is not done again."""
        at = [f"{field}[{position}]." if field else "" for position in range(len(listed))]
        fundings = [
            Funding(
                each.msisdn,
                check_amount(each.amount, f"{prefix}amount", place.market),
                self._make_key(check_reference(each.reference, f"{prefix}reference")),
                f"{prefix}reference",
            )
            for each, prefix in zip(listed, at, strict=True)
        ]
        check_distinct((each.reference for each in listed), lambda at: f"{field}[{at}].reference")
        rows = await self._find_all(
            place,
            [each.msisdn for each in listed],
            fields=[f"{prefix}msisdn" for prefix in at],
        )
        return await fund_wallets(
            place,
            fundings,
            accounts={row.msisdn: row.account for row in rows},
            make_command=lambda part: FundCustomers(place.ledger, part),
        )

    def _make_key(self, reference: str) -> str:
        return self._keys.make(application=0, operation=_FUNDING, reference=reference)


def _check_new(new: contract.NewCustomerRequest, place: Place, prefix: str) -> NewCustomer:
    check_choice(new.status, f"{prefix}status", CUSTOMER_STATUSES)
    return NewCustomer(
        msisdn=check_msisdn(new.msisdn, f"{prefix}msisdn", place.market),
        first_name=check_name(new.first_name, f"{prefix}first_name"),
        last_name=check_name(new.last_name, f"{prefix}last_name"),
        status=CUSTOMER_STATUSES[new.status],
        amount_minor=check_balance(new.balance, f"{prefix}balance", place.market),
    )


def _show(row: _Row, place: Place) -> contract.Customer:
    script = None
    if row.answer != Answer.NONE:
        script = contract.Script(answer=Answer(row.answer).name.lower(), delay_ms=row.delay_ms)
    return contract.Customer(
        msisdn=row.msisdn,
        first_name=row.first_name,
        last_name=row.last_name,
        status=CustomerStatus(row.status).name.lower(),
        balance=format_amount_minor(row.balance_minor, place.market.decimals),
        script=script,
    )
