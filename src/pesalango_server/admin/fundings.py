"""Putting money into wallets: each funding has a reference that is kept for ever.

A repetition of a reference has no effect. So that it is never mistaken for a funding of its own,
one that names another wallet or another amount than the first is refused.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from pesalango_server.admin.contract import Funded
from pesalango_server.admin.errors import AdminError, ErrorCode
from pesalango_server.admin.ledgers import Place, name_what_was_done, split_list
from pesalango_server.kernel.message import Command
from pesalango_server.storage.database import Schema, declare_key_query, declare_query

FIND_FUNDING_KEYS = declare_key_query(
    "find_funding_keys", Schema.ENVIRONMENT, columns="encode(key, 'hex'), payment"
)

FIND_FUNDINGS = declare_query(
    "find_fundings",
    Schema.ENVIRONMENT,
    columns="id, account, amount_minor",
    text=(
        "SELECT t.id AS id, t.credit_account AS account, t.amount_minor AS amount_minor"
        " FROM {input} CROSS JOIN transfers AS t WHERE t.ledger = input.ledger AND t.id = input.id"
    ),
    set_columns="ledger bigint, id bigint",
)

_decode_keys = msgspec.json.Decoder(list[tuple[str, int]]).decode
_decode_rows = msgspec.json.Decoder(list[tuple[int, int, int]]).decode


@dataclass(frozen=True)
class Funding:
    """Money for the wallet of a number or code; `key` is its reference's, `field` where it stands."""

    name: str
    amount_minor: int
    key: str
    field: str


async def fund_wallets(
    place: Place,
    fundings: Sequence[Funding],
    *,
    accounts: Mapping[str, int],
    make_command: Callable[[tuple[tuple[str, int, str], ...]], Command],
) -> Funded:
    """Carry out a list of fundings; `accounts` has the account of every name in it.

    Raises `AdminError` before anything is done for a reference that was used otherwise. Should an
    error come later (a wallet that would hold too much), the list may be sent again as it is.
    """
    repeated = 0
    for part in split_list(fundings):
        repeated += await _count_repeated(place, part, accounts)
    for number, part in enumerate(split_list(fundings)):
        with name_what_was_done(number):
            await place.submit(
                make_command(tuple((each.name, each.amount_minor, each.key) for each in part))
            )
        # Another call may have taken a reference meanwhile; the engine kept the first.
        await _count_repeated(place, part, accounts)
    return Funded(funded=len(fundings) - repeated, repeated=repeated)


async def _count_repeated(
    place: Place, fundings: Sequence[Funding], accounts: Mapping[str, int]
) -> int:
    keys = [(place.ledger, each.key) for each in fundings]
    key_by_id = {
        transfer: key
        for key, transfer in _decode_keys(await place.read(FIND_FUNDING_KEYS, rows=keys))
    }
    if not key_by_id:
        return 0
    ids = [(place.ledger, transfer) for transfer in key_by_id]
    known = {
        key_by_id[transfer]: (account, amount_minor)
        for transfer, account, amount_minor in _decode_rows(
            await place.read(FIND_FUNDINGS, rows=ids)
        )
    }
    for each in fundings:
        if known.get(each.key) not in (None, (accounts[each.name], each.amount_minor)):
            raise AdminError(
                ErrorCode.CONFLICT,
                "this reference was used for another wallet or another amount; take a new one",
                each.field,
            )
    return len(known)
