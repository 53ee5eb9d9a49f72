"""The use cases behind the routes, one operation one file."""

from pesalango_server.gateway.operations.c2b_single_stage import C2bSingleStage
from pesalango_server.gateway.operations.get_session import GetSession, Seeder
from pesalango_server.gateway.operations.query_transaction_status import QueryTransactionStatus
from pesalango_server.gateway.use_case import Place, UseCaseFactory

ROUTED = ("get_session", "c2b_single_stage", "query_transaction_status")
"""Operations that are served today; the catalog describes all."""


def make_use_cases(seeder: Seeder) -> dict[str, UseCaseFactory]:
    """The operations that are routed, by name; `seeder` knows a new ledger's first parties."""

    def make_get_session(place: Place) -> GetSession:
        return GetSession(place, seeder)

    return {
        "get_session": make_get_session,
        "c2b_single_stage": C2bSingleStage,
        "query_transaction_status": QueryTransactionStatus,
    }


__all__ = ["ROUTED", "Seeder", "make_use_cases"]
