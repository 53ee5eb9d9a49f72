"""Fills the books before a benchmark, and asks them afterwards what has arrived.

What this needs of the product, one function each: the admin API takes customers in lists
(`add_customers`), gives an organisation money (`fund_organisation`) and tells its balance
(`read_organisation_balance`); completed
payments are counted where they are stored (`count_completed`), past every part of the product that
could count wrongly.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import apsw
import msgspec

from bench.postgres import ask
from bench.server import (
    AMOUNT,
    ENVIRONMENT,
    MARKET,
    MSISDN_FIRST,
    Credentials,
    ProductError,
    Server,
    call,
)
from pesalango_server.ledger.statuses import State
from pesalango_server.storage.address import list_addresses
from pesalango_server.storage.bundled import find_running_url

CUSTOMERS_PER_CALL = 10_000
FUNDS_EACH = "1000000"
"""Enough for every payment of 1 that a customer can be drawn for."""

ORGANISATION_FUNDS = "1000000000"

BUNDLED = "postgres"
"""What `database` says where the product starts a PostgreSQL of its own."""

POSTGRES_DIRECTORY = "postgres"
"""Where `up --database postgres` keeps its server, below the data directory."""

BUSY_TIMEOUT_MS = 10_000

COMPLETED = """
SELECT (SELECT count(*) FROM {schema}payments WHERE state = {state})
     + (SELECT count(*) FROM {schema}payment_changes WHERE state = {state})
"""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Something that has to hold, however fast it was."""

    subject: str
    is_met: bool
    detail: str


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """What the product holds at one moment."""

    completed_payments: int
    organisation_balance: Decimal


def add_customers(credentials: Credentials, *, customers: int, market: str = MARKET) -> None:
    """Customers with consecutive numbers and money, known in one market."""
    for first in range(0, customers, CUSTOMERS_PER_CALL):
        count = min(CUSTOMERS_PER_CALL, customers - first)
        listed = [
            {
                "msisdn": str(MSISDN_FIRST + number),
                "first_name": "Bench",
                "last_name": "Mark",
                "balance": FUNDS_EACH,
            }
            for number in range(first, first + count)
        ]
        call_admin(
            credentials,
            "POST",
            "customers",
            body={"environment": ENVIRONMENT, "market": market, "customers": listed},
        )


def fund_organisation(credentials: Credentials) -> None:
    """Money enough for every payment that the organisation could make in a benchmark."""
    call_admin(
        credentials,
        "POST",
        f"organisations/{credentials.sandbox.service_provider_code}/fund",
        body={
            "environment": ENVIRONMENT,
            "market": MARKET,
            "amount": ORGANISATION_FUNDS,
            "reference": secrets.token_hex(16),
        },
    )


def read_organisation_balance(credentials: Credentials, *, market: str = MARKET) -> Decimal:
    """What the organisation that everybody pays has in one market."""
    code = credentials.sandbox.service_provider_code
    place = f"environment={ENVIRONMENT}&market={market}"
    organisation = call_admin(credentials, "GET", f"organisations/{code}?{place}")
    return Decimal(organisation["balance"])


def call_admin(credentials: Credentials, method: str, path: str, *, body: Any = None) -> Any:
    """The answer of the admin API; raises ProductError unless it is a 2xx."""
    status, answer = call(
        method,
        f"{credentials.admin_url.rstrip('/')}/{path}",
        headers={"Authorization": f"Bearer {credentials.admin_token}"},
        body=body,
    )
    if not 200 <= status < 300:
        raise ProductError(f"the admin API answered {method} {path} with {status}: {answer}")
    return answer


def read_books(
    server: Server, credentials: Credentials, *, markets: Sequence[str] = (MARKET,)
) -> Books:
    """`markets` are those whose money counts."""
    return Books(
        completed_payments=count_completed(server),
        organisation_balance=sum(
            (read_organisation_balance(credentials, market=market) for market in markets),
            start=Decimal(0),
        ),
    )


def compare_books(before: Books, after: Books, *, accepted: int, paid_out: int = 0) -> Check:
    """Whether payments and money are as many as the callers were told; `paid_out` of the accepted
    ones took the organisation's money instead of bringing it some.
    """
    completed = after.completed_payments - before.completed_payments
    received = after.organisation_balance - before.organisation_balance
    expected = (accepted - 2 * paid_out) * Decimal(AMOUNT)
    return Check(
        subject="accepted answers = Completed payments = what the organisation received and paid",
        is_met=accepted == completed and expected == received,
        detail=f"{accepted} answers, {completed} payments, {received} received"
        + (f" ({paid_out} payments out)" if paid_out else ""),
    )


def check_audit(server: Server, *, seconds_max: float) -> Check:
    """The product's own audit, of the running server or of what it has left."""
    printed, is_met = server.audit(seconds_max=seconds_max)
    return Check(subject="audit", is_met=is_met, detail="; ".join(printed.split("\n")))


def count_completed(server: Server) -> int:
    """Payments of the environment whose last state is Completed, in every ledger of it.

    Nothing leaves that state, so a payment has it first, or one of its changes brought it there.
    """
    if server.database is None:
        address = list_addresses(data_dir=server.data_dir, conninfo=None)[ENVIRONMENT]
        return count_in_sqlite(address.path)
    url = find_url(server)
    address = list_addresses(data_dir=server.data_dir, conninfo=url)[ENVIRONMENT]
    statement = COMPLETED.format(schema=f"{address.schema}.", state=int(State.COMPLETED))
    return int(ask(url, statement)[0])


def count_in_sqlite(path: Path) -> int:
    statement = COMPLETED.format(schema="", state=int(State.COMPLETED))
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        row = connection.execute(statement).fetchone()
    finally:
        connection.close()
    return int(str(row[0])) if row is not None else 0


def find_url(server: Server) -> str:
    """The address of the PostgreSQL that the product uses, bundled or not."""
    if server.database is not None and server.database != BUNDLED:
        return server.database
    url = find_running_url(server.data_dir / POSTGRES_DIRECTORY)
    if url is None:
        raise ProductError("the bundled PostgreSQL of the product does not run")
    return url


def write_out(server: Server) -> None:
    """Leave the product's PostgreSQL nothing to write in the background while others are measured.

    SQLite does nothing in the background.
    """
    if server.database is not None:
        ask(find_url(server), "CHECKPOINT")
