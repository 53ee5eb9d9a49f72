"""What a merchant's requests did to the money, read from the ledger's tables past every API.

    for effect in read_effects(server).get(reference, []):
        assert (effect.status, effect.moved_minor) == ("Completed", 1_000)

A client that loses nothing and pays nothing twice leaves one effect for each of its references,
which says what the client said.
"""

from collections import defaultdict

import msgspec

from pesalango_server.catalog.model import NOT_AVAILABLE
from pesalango_server.kernel.ids import IdCodec
from pesalango_server.ledger.model import OperationKind
from pesalango_server.ledger.statuses import State
from tests.e2e.books import find_violations, read_books
from tests.e2e.server import Server


class Effect(msgspec.Struct, frozen=True):
    """One recorded request.

    `operation` is its name in the catalog (`c2b_single_stage`), `status` what a status query
    answers (`Completed`, `Failed`, `Expired`, `Pending`), `amount_minor` what was asked for and
    `moved_minor` what was moved, both in the currency's smallest unit. `transaction_id` is the
    public one, `N/A` unless money moved. `organisation` is the code of the one that the request
    names, `counterparty` the customer's number, the other organisation's code, or what else the
    operation keeps there.
    """

    market: str
    operation: str
    status: str
    amount_minor: int
    moved_minor: int
    transaction_id: str
    organisation: str
    counterparty: str


def read_effects(server: Server) -> dict[str, list[Effect]]:
    """All recorded requests of the sandbox by their ThirdPartyConversationID, in the order of
    their arrival; a reference that was never recorded is not there.

    Several effects of one reference are several operations, applications or markets, or a fault of
    the gateway. Payments of the server's own check of itself are left out. The server has been
    started at least once; with PostgreSQL it runs. Raises `AssertionError` if the books are not
    sound.
    """
    with server.open_books("platform") as ask:
        ((ids_key,),) = ask("SELECT value FROM secrets WHERE name = 'ids'")
        hidden = {world for (world,) in ask("SELECT id FROM worlds WHERE is_hidden = 1")}
    with server.open_books() as ask:
        books = read_books(ask)
        ledgers = ask("SELECT ledger, world, market FROM ledgers")
    assert find_violations(books) == []
    markets = {ledger: market for ledger, world, market in ledgers if world not in hidden}
    states = books.read_state_by_payment()
    moved = {(row.ledger, row.payment): row.amount_minor for row in books.transfers}
    codec = IdCodec(bytes(ids_key))
    effects: defaultdict[str, list[Effect]] = defaultdict(list)
    for row in books.payments:
        if row.ledger not in markets:
            continue
        moved_minor = moved.get((row.ledger, row.id), 0)
        effect = Effect(
            market=markets[row.ledger],
            operation=OperationKind(row.operation).name.lower(),
            status=State(states[row.ledger, row.id]).name.capitalize(),
            amount_minor=row.amount_minor,
            moved_minor=moved_minor,
            transaction_id=codec.encode(row.id)[0] if moved_minor else NOT_AVAILABLE,
            organisation=row.organisation_code,
            counterparty=row.counterparty,
        )
        effects[row.third_party_conversation_id].append(effect)
    return dict(effects)
