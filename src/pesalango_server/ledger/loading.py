"""Which rows a batch needs, how they are read, and how they become books."""

from collections.abc import Sequence
from typing import Any

import msgspec

from pesalango_server.ledger import store
from pesalango_server.ledger.book import Book
from pesalango_server.ledger.model import (
    CUSTOMER_OWNER,
    ORGANISATION_OWNER,
    SYSTEM_OWNER,
    Account,
    Customer,
    Organisation,
    Original,
    Prompt,
    Standing,
)
from pesalango_server.storage.database import Query, Read, Row, WriteSet

_decode_rows = msgspec.json.Decoder(list[tuple[Any, ...]]).decode

# A set of products is the same for thousands of payments; there are few different ones.
_products: dict[str, frozenset[str]] = {}


def parse_products(text: str) -> frozenset[str]:
    """Products as they are stored: names separated by commas."""
    known = _products.get(text)
    if known is None:
        known = frozenset(text.split(",")) if text else frozenset()
        if len(_products) < 10_000:
            _products[text] = known
    return known


class LoadPlan:
    """What the commands of a batch need, gathered before anything is read."""

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        # A dict keeps the order of arrival and holds each row once.
        self._rows: dict[Query, dict[Row, None]] = {}

    def _add(self, query: Query, row: Row) -> None:
        rows = self._rows.get(query)
        if rows is None:
            rows = self._rows[query] = {}
        rows[row] = None

    def duplicate(self, ledger: int, key: str) -> None:
        """Whether a key was used before."""
        self._add(store.LOAD_DUPLICATES, (ledger, key))

    def customer(self, ledger: int, msisdn: str) -> None:
        """The customer with a number, and the wallet."""
        self._add(store.LOAD_CUSTOMERS, (ledger, msisdn))

    def organisation(self, ledger: int, code: str) -> None:
        """The organisation with a code, and the wallet."""
        self._add(store.LOAD_ORGANISATIONS, (ledger, code))

    def issuance(self, ledger: int) -> None:
        """The account that money enters a ledger from."""
        self._add(store.LOAD_ISSUANCE, (ledger,))

    def market(self, world: int, market: str) -> None:
        """The ledger of a market in a world, and the highest number of any ledger (book 0)."""
        self._add(store.FIND_LEDGERS, (world, market))
        self._add(store.FIND_LAST_LEDGER, (0,))

    def prompt(self, ledger: int, payment: int) -> None:
        """A payment that may still wait for its customer, and where it stands."""
        self._add(store.LOAD_PROMPTS, (ledger, payment))
        self._add(store.LOAD_STANDINGS, (ledger, payment))

    def original(self, ledger: int, payment: int) -> None:
        """A payment that is to be reversed, both wallets, and what was reversed of it."""
        self._add(store.LOAD_ORIGINALS, (ledger, payment))

    def reads(self) -> list[Read]:
        """The reads to run, each with all its rows."""
        return [Read(query, rows=list(rows)) for query, rows in self._rows.items()]


def make_books(document: bytes, writes: WriteSet) -> dict[int, Book]:
    """Books from the answer of `store.LOCK_LEDGERS`."""
    books: dict[int, Book] = {}
    for ledger, offset_ms, last_time_ms, last_id, sequence, digest, wall_ms in _decode_rows(
        document
    ):
        books[ledger] = Book(
            ledger=ledger,
            now_ms=max(last_time_ms, wall_ms + offset_ms),
            wall_ms=wall_ms,
            last_id=last_id,
            sequence=sequence,
            digest=digest,
            writes=writes,
            books=books,
        )
    return books


def fill_books(books: dict[int, Book], reads: Sequence[Read], documents: Sequence[bytes]) -> None:
    """Put the answers of the plan's reads into the books."""
    for read, document in zip(reads, documents, strict=True):
        fill = _FILLERS[read.query]
        for ledger, *cells in _decode_rows(document):
            fill(books[ledger], cells)


def _fill_duplicate(book: Book, cells: list[Any]) -> None:
    key, payment = cells
    book.duplicates[key] = payment


def _fill_customer(book: Book, cells: list[Any]) -> None:
    msisdn, customer, status, account, balance_minor, held_minor, answer, delay_ms = cells
    wallet = book.share_account(Account(account, CUSTOMER_OWNER, balance_minor, held_minor))
    book.customers[msisdn] = Customer(customer, status, wallet, answer, delay_ms)


def _fill_organisation(book: Book, cells: list[Any]) -> None:
    code, organisation, status, products, account, balance_minor, held_minor = cells
    wallet = book.share_account(Account(account, ORGANISATION_OWNER, balance_minor, held_minor))
    book.organisations[code] = Organisation(organisation, status, parse_products(products), wallet)


def _fill_issuance(book: Book, cells: list[Any]) -> None:
    account, balance_minor = cells
    book.issuance = book.share_account(Account(account, SYSTEM_OWNER, balance_minor, 0))


def _fill_prompt(book: Book, cells: list[Any]) -> None:
    payment, customer, customer_status, customer_account, customer_balance = cells[:5]
    customer_held, organisation, organisation_status, organisation_account = cells[5:9]
    organisation_balance, organisation_held, amount_minor, deadline_ms, wrong_pins = cells[9:]
    book.owner_statuses.setdefault(customer, customer_status)
    book.owner_statuses.setdefault(organisation, organisation_status)
    book.prompts[payment] = Prompt(
        payment=payment,
        customer=customer,
        customer_account=book.share_account(
            Account(customer_account, CUSTOMER_OWNER, customer_balance, customer_held)
        ),
        organisation=organisation,
        organisation_account=book.share_account(
            Account(
                organisation_account,
                ORGANISATION_OWNER,
                organisation_balance,
                organisation_held,
            )
        ),
        amount_minor=amount_minor,
        deadline_ms=deadline_ms,
        wrong_pins=wrong_pins,
    )


def _fill_standing(book: Book, cells: list[Any]) -> None:
    payment, state, status = cells
    book.standings[payment] = Standing(state, status)


def _fill_original(book: Book, cells: list[Any]) -> None:
    payment, operation, state, parties_by, organisation_code, counterparty = cells[:6]
    amount_minor, reversed_minor, payer, payer_kind, payer_balance, payer_held = cells[6:12]
    payee, payee_kind, payee_balance, payee_held, payee_owner, payee_status = cells[12:]
    has_moved_money = payer is not None
    if has_moved_money:
        book.owner_statuses.setdefault(payee_owner, payee_status)
    book.originals[payment] = Original(
        operation=operation,
        state=state,
        parties_by=parties_by,
        organisation_code=organisation_code,
        counterparty=counterparty,
        amount_minor=amount_minor,
        reversed_minor=reversed_minor,
        payer=(
            book.share_account(Account(payer, payer_kind, payer_balance, payer_held))
            if has_moved_money
            else None
        ),
        payee=(
            book.share_account(Account(payee, payee_kind, payee_balance, payee_held))
            if has_moved_money
            else None
        ),
        payee_owner=payee_owner or 0,
    )


def _fill_ledger(book: Book, cells: list[Any]) -> None:
    world, market, ledger = cells
    book.ledgers[world, market] = ledger


def _fill_last_ledger(book: Book, cells: list[Any]) -> None:
    (book.last_ledger,) = cells


_FILLERS = {
    store.FIND_LEDGERS: _fill_ledger,
    store.FIND_LAST_LEDGER: _fill_last_ledger,
    store.LOAD_DUPLICATES: _fill_duplicate,
    store.LOAD_CUSTOMERS: _fill_customer,
    store.LOAD_ORGANISATIONS: _fill_organisation,
    store.LOAD_ISSUANCE: _fill_issuance,
    store.LOAD_PROMPTS: _fill_prompt,
    store.LOAD_STANDINGS: _fill_standing,
    store.LOAD_ORIGINALS: _fill_original,
}
