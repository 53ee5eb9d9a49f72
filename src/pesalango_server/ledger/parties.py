"""Opening a ledger, and what an administrator does to its customers and organisations."""

import msgspec

from pesalango_server.kernel.ids import LEDGER_MAX
from pesalango_server.kernel.invariant import ensure
from pesalango_server.kernel.message import AnyOutcome, Command, Done, RefusalKind, Refused
from pesalango_server.ledger import store
from pesalango_server.ledger.book import Book
from pesalango_server.ledger.loading import LoadPlan, parse_products
from pesalango_server.ledger.model import (
    BALANCE_MAX_MINOR,
    ISSUED_MAX_MINOR,
    Account,
    Answer,
    Customer,
    CustomerStatus,
    Organisation,
    OrganisationStatus,
    OwnerKind,
)


class NewCustomer(msgspec.Struct, frozen=True, array_like=True):
    """A customer to add; `fund_key` is the duplicate key of the first funding, if any."""

    msisdn: str
    first_name: str
    last_name: str
    status: int = CustomerStatus.ACTIVE
    amount_minor: int = 0
    fund_key: str = ""


class NewOrganisation(msgspec.Struct, frozen=True, array_like=True):
    """An organisation to add; `products` are names separated by commas."""

    code: str
    name: str
    products: str
    amount_minor: int = 0
    fund_key: str = ""


class OpenLedger(Command, frozen=True, tag=20):
    """Make the ledger of a market in a world, with its first parties; `ledger` is 0.

    Safe to repeat: a ledger that exists is left as it is, and its number is the answer.
    """

    world: int
    market: str
    currency: str
    customers: tuple[NewCustomer, ...]
    organisations: tuple[NewOrganisation, ...]


class AddCustomers(Command, frozen=True, tag=21):
    """Add customers; a number that exists already is passed over (its id in the answer is 0)."""

    customers: tuple[NewCustomer, ...]


class SetCustomerStatus(Command, frozen=True, tag=22):
    """Give a customer another account status."""

    msisdn: str
    status: int


class FundCustomers(Command, frozen=True, tag=23):
    """Put money into wallets: (number, amount, duplicate key) each; safe to repeat."""

    fundings: tuple[tuple[str, int, str], ...]


class ScriptCustomer(Command, frozen=True, tag=24):
    """Say how a sandbox customer answers prompts; NONE takes the script away."""

    msisdn: str
    answer: int
    delay_ms: int


class AddOrganisations(Command, frozen=True, tag=25):
    """Add organisations; a code that exists already is passed over (its id in the answer is 0)."""

    organisations: tuple[NewOrganisation, ...]


class SetOrganisation(Command, frozen=True, tag=26):
    """Give an organisation another status or other products; None leaves either as it is."""

    code: str
    status: int | None
    products: str | None


class FundOrganisations(Command, frozen=True, tag=27):
    """Put money into organisations' wallets; as `FundCustomers`, by code."""

    fundings: tuple[tuple[str, int, str], ...]


def plan_open_ledger(command: OpenLedger, plan: LoadPlan) -> None:
    """What `decide_open_ledger` needs."""
    plan.market(command.world, command.market)


def decide_open_ledger(command: OpenLedger, book: Book) -> AnyOutcome:
    """Number the ledger under the lock of ledger 0, and put its first parties in."""
    known = book.ledgers.get((command.world, command.market))
    if known is not None:
        return Done((known,))
    ledger = book.last_ledger + 1
    if ledger > LEDGER_MAX:
        return Refused(
            RefusalKind.CONFLICT,
            "world",
            f"an environment holds at most {LEDGER_MAX} ledgers (five a world); "
            "give the new world an installation of its own",
        )
    # After this point, the ledger is opened.
    book.last_ledger = ledger
    book.ledgers[command.world, command.market] = ledger
    opened = Book(
        ledger=ledger,
        now_ms=book.wall_ms,
        wall_ms=book.wall_ms,
        last_id=0,
        sequence=0,
        digest="00" * 32,
        writes=book.writes,
        books=book.books,
    )
    issuance = opened.issuance = open_account(opened, OwnerKind.SYSTEM, owner=0)
    book.books[ledger] = opened
    book.write(
        store.INSERT_LEDGERS,
        (ledger, command.world, command.market, command.currency, issuance.id),
    )
    book.write(store.INSERT_LEDGER_STATE, (ledger, 0, 0, 0, 0, opened.digest))
    for customer in command.customers:
        add_customer(opened, customer)
    for organisation in command.organisations:
        add_organisation(opened, organisation)
    return Done((ledger,))


def open_account(book: Book, owner_kind: OwnerKind, *, owner: int) -> Account:
    """A new account with nothing in it."""
    account = book.share_account(Account(book.mint(), owner_kind, 0, 0))
    book.write(store.INSERT_ACCOUNTS, (book.ledger, account.id, owner_kind, owner, 0, 0))
    return account


def add_customer(book: Book, new: NewCustomer) -> int:
    """Add one customer, wallet and first money; 0 where the number is taken."""
    if new.msisdn in book.customers:
        return 0
    customer = book.mint()
    account = open_account(book, OwnerKind.CUSTOMER, owner=customer)
    book.customers[new.msisdn] = Customer(customer, new.status, account, Answer.NONE, 0)
    book.write(
        store.INSERT_CUSTOMERS,
        (book.ledger, customer, new.first_name, new.last_name, new.status, account.id),
    )
    book.write(store.INSERT_CUSTOMER_NUMBERS, (book.ledger, new.msisdn, customer))
    if new.amount_minor:
        fund(book, account, amount_minor=new.amount_minor, key=new.fund_key)
    return customer


def add_organisation(book: Book, new: NewOrganisation) -> int:
    """Add one organisation, wallet and first money; 0 where the code is taken."""
    if new.code in book.organisations:
        return 0
    organisation = book.mint()
    account = open_account(book, OwnerKind.ORGANISATION, owner=organisation)
    book.organisations[new.code] = Organisation(
        organisation, OrganisationStatus.ACTIVE, parse_products(new.products), account
    )
    book.write(
        store.INSERT_ORGANISATIONS,
        (
            book.ledger,
            organisation,
            new.code,
            new.name,
            OrganisationStatus.ACTIVE,
            new.products,
            account.id,
        ),
    )
    if new.amount_minor:
        fund(book, account, amount_minor=new.amount_minor, key=new.fund_key)
    return organisation


def fund(book: Book, account: Account, *, amount_minor: int, key: str) -> int:
    """Money from issuance into a wallet, once a key; the transfer's id, also when repeated."""
    known = book.duplicates.get(key) if key else None
    if known is not None:
        return known
    transfer = book.post_transfer(
        payment=0, debit=_find_issuance(book), credit=account, amount_minor=amount_minor
    )
    if key:
        book.duplicates[key] = transfer
        book.write(store.INSERT_DUPLICATES, (book.ledger, key, transfer))
    return transfer


def _find_issuance(book: Book) -> Account:
    if book.issuance is None:
        raise LookupError(f"ledger {book.ledger} has no issuance account loaded")
    return book.issuance


def _refuse_issue(book: Book, amount_minor: int, *, field: str) -> Refused | None:
    """Why so much more money cannot enter the ledger, or None if it can."""
    if amount_minor - _find_issuance(book).balance_minor <= ISSUED_MAX_MINOR:
        return None
    return Refused(
        RefusalKind.INVALID,
        field,
        "all wallets of this market together would hold more than one ledger can account for; "
        "take less, or another world",
    )


def plan_add_customers(command: AddCustomers, plan: LoadPlan) -> None:
    """What `decide_add_customers` needs."""
    plan.issuance(command.ledger)
    for new in command.customers:
        plan.customer(command.ledger, new.msisdn)
        if new.fund_key:
            plan.duplicate(command.ledger, new.fund_key)


def decide_add_customers(command: AddCustomers, book: Book) -> AnyOutcome:
    """Ids of those added, in order; 0 for a number that was there. All are added, or none."""
    news = {new.msisdn: new.amount_minor for new in reversed(command.customers)}
    amount_minor = sum(news[msisdn] for msisdn in news if msisdn not in book.customers)
    refused = _refuse_issue(book, amount_minor, field="balance")
    if refused:
        return refused
    # After this point, all are added.
    return Done(tuple([add_customer(book, new) for new in command.customers]))


def plan_add_organisations(command: AddOrganisations, plan: LoadPlan) -> None:
    """What `decide_add_organisations` needs."""
    plan.issuance(command.ledger)
    for new in command.organisations:
        plan.organisation(command.ledger, new.code)
        if new.fund_key:
            plan.duplicate(command.ledger, new.fund_key)


def decide_add_organisations(command: AddOrganisations, book: Book) -> AnyOutcome:
    """Ids of those added, in order; 0 for a code that was there. All are added, or none."""
    news = {new.code: new.amount_minor for new in reversed(command.organisations)}
    amount_minor = sum(news[code] for code in news if code not in book.organisations)
    refused = _refuse_issue(book, amount_minor, field="balance")
    if refused:
        return refused
    # After this point, all are added.
    return Done(tuple([add_organisation(book, new) for new in command.organisations]))


def plan_set_customer_status(command: SetCustomerStatus, plan: LoadPlan) -> None:
    """What `decide_set_customer_status` needs."""
    plan.customer(command.ledger, command.msisdn)


def decide_set_customer_status(command: SetCustomerStatus, book: Book) -> AnyOutcome:
    """Change the account status."""
    customer = book.customers.get(command.msisdn)
    if customer is None:
        return Refused(RefusalKind.NOT_FOUND, "msisdn", "no customer has this number")
    customer.status = book.owner_statuses[customer.id] = command.status
    book.write(store.UPDATE_CUSTOMER_STATUS, (book.ledger, customer.id, command.status))
    return Done((customer.id,))


def plan_script_customer(command: ScriptCustomer, plan: LoadPlan) -> None:
    """What `decide_script_customer` needs."""
    plan.customer(command.ledger, command.msisdn)


def decide_script_customer(command: ScriptCustomer, book: Book) -> AnyOutcome:
    """Set or take away the script; prompts that wait already keep theirs."""
    customer = book.customers.get(command.msisdn)
    if customer is None:
        return Refused(RefusalKind.NOT_FOUND, "msisdn", "no customer has this number")
    customer.answer, customer.delay_ms = command.answer, command.delay_ms
    # A script that is taken away is one that says nothing. Its row stays: were it deleted, setting
    # and deleting in one batch would be two statements, and the order of both would be lost.
    book.write(
        store.REPLACE_SCRIPTS, (book.ledger, command.msisdn, command.answer, command.delay_ms)
    )
    return Done((customer.id,))


def plan_set_organisation(command: SetOrganisation, plan: LoadPlan) -> None:
    """What `decide_set_organisation` needs."""
    plan.organisation(command.ledger, command.code)


def decide_set_organisation(command: SetOrganisation, book: Book) -> AnyOutcome:
    """Change status, products, or both."""
    organisation = book.organisations.get(command.code)
    if organisation is None:
        return Refused(RefusalKind.NOT_FOUND, "code", "no organisation has this code")
    if command.status is not None:
        organisation.status = book.owner_statuses[organisation.id] = command.status
    if command.products is not None:
        organisation.products = parse_products(command.products)
    products = ",".join(sorted(organisation.products))
    book.write(
        store.UPDATE_ORGANISATION, (book.ledger, organisation.id, organisation.status, products)
    )
    return Done((organisation.id,))


def plan_fund_customers(command: FundCustomers, plan: LoadPlan) -> None:
    """What `decide_fund_customers` needs."""
    plan.issuance(command.ledger)
    for msisdn, _, key in command.fundings:
        plan.customer(command.ledger, msisdn)
        plan.duplicate(command.ledger, key)


def decide_fund_customers(command: FundCustomers, book: Book) -> AnyOutcome:
    """All fundings of the command, or none."""
    accounts = [
        customer.account if (customer := book.customers.get(msisdn)) else None
        for msisdn, _, _ in command.fundings
    ]
    return _fund_all(command.fundings, accounts, book, field="msisdn")


def plan_fund_organisations(command: FundOrganisations, plan: LoadPlan) -> None:
    """What `decide_fund_organisations` needs."""
    plan.issuance(command.ledger)
    for code, _, key in command.fundings:
        plan.organisation(command.ledger, code)
        plan.duplicate(command.ledger, key)


def decide_fund_organisations(command: FundOrganisations, book: Book) -> AnyOutcome:
    """All fundings of the command, or none."""
    accounts = [
        organisation.account if (organisation := book.organisations.get(code)) else None
        for code, _, _ in command.fundings
    ]
    return _fund_all(command.fundings, accounts, book, field="code")


def _fund_all(
    fundings: tuple[tuple[str, int, str], ...],
    accounts: list[Account | None],
    book: Book,
    *,
    field: str,
) -> AnyOutcome:
    room: dict[int, int] = {}
    issued_minor = 0
    for (name, amount_minor, key), account in zip(fundings, accounts, strict=True):
        if account is None:
            return Refused(RefusalKind.NOT_FOUND, field, f"nobody here is known as {name}")
        if key in book.duplicates:
            continue
        total = room.get(account.id, account.balance_minor) + amount_minor
        if total > BALANCE_MAX_MINOR:
            return Refused(
                RefusalKind.INVALID, "amount", f"the wallet of {name} would hold too much"
            )
        room[account.id] = total
        issued_minor += amount_minor
    refused = _refuse_issue(book, issued_minor, field="amount")
    if refused:
        return refused
    # After this point, all fundings succeed.
    transfers = []
    for (_, amount_minor, key), account in zip(fundings, accounts, strict=True):
        ensure(account is not None, "accounts were checked above")
        if account is not None:
            transfers.append(fund(book, account, amount_minor=amount_minor, key=key))
    return Done(tuple(transfers))
