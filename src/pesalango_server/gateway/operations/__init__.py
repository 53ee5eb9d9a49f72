"""The use cases behind the routes: the session, the queries, and all that moves money."""

from functools import partial
from typing import Final

from pesalango_server.engine.registry import PAYMENTS
from pesalango_server.gateway.operations.get_session import GetSession, Seeder
from pesalango_server.gateway.operations.payment import Payment
from pesalango_server.gateway.operations.query_transaction_status import QueryTransactionStatus
from pesalango_server.gateway.use_case import UseCaseFactory

_FACTORIES: Final[dict[str, UseCaseFactory]] = {
    **{payment.operation.name: partial(Payment, use_case=payment) for payment in PAYMENTS},
    "query_transaction_status": QueryTransactionStatus,
}

ROUTED: Final = ("get_session", *_FACTORIES)
"""Operations that are served today; the catalog describes all."""


def make_use_cases(seeder: Seeder) -> dict[str, UseCaseFactory]:
    """The operations that are routed, by name; `seeder` knows a new ledger's first parties."""
    return {"get_session": partial(GetSession, seeder=seeder), **_FACTORIES}


__all__ = ["ROUTED", "Seeder", "make_use_cases"]
