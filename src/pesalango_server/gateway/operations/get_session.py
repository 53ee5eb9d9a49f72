"""An API key for a session key; a world's first session in a market opens the ledger."""

from typing import Protocol

from pesalango_server.applications.keys import make_session_key
from pesalango_server.applications.model import Application
from pesalango_server.applications.sessions import CreateSession
from pesalango_server.catalog.codes import SESSION_NOT_CREATED
from pesalango_server.catalog.questions import Checked
from pesalango_server.gateway.answers import Answer
from pesalango_server.gateway.use_case import Place, send_command
from pesalango_server.kernel.message import Done, Refused
from pesalango_server.ledger.parties import NewCustomer, NewOrganisation, OpenLedger


class Seeder(Protocol):
    """Knows the first parties of a ledger."""

    def seed_for(
        self, environment: str, market: str
    ) -> tuple[tuple[NewCustomer, ...], tuple[NewOrganisation, ...]]:
        """Customers and organisations that a new ledger starts with; may be none."""
        ...


class GetSession:
    """See `UseCase`."""

    def __init__(self, place: Place, seeder: Seeder) -> None:
        self._place = place
        self._seeder = seeder
        self._hasher = place.configuration.installation.hasher

    async def answer(self, application: Application, checked: Checked) -> Answer:  # noqa: ARG002 - it has no parameters
        """See `UseCase.answer`."""
        environment = self._place.environment
        standing = application.environments.get(environment.name)
        if standing is None or not standing.is_promoted:
            return self._fail(f"The application is not promoted to {environment.name}")
        ledger = await self._find_or_open_ledger(standing.world)
        if isinstance(ledger, str):
            return self._fail(ledger)
        session_key = make_session_key()
        outcome = await send_command(
            self._place,
            CreateSession(
                ledger=ledger,
                application=application.id,
                key_hash=self._hasher.hash_session_key(session_key),
                activation_delay_ms=application.activation_delay_ms,
                life_ms=application.session_life_s * 1_000,
            ),
        )
        if not isinstance(outcome, Done):
            return self._fail("The session could not be stored; try again")
        return self._place.answers.succeed({"session_id": session_key})

    async def _find_or_open_ledger(self, world: int) -> int | str:
        """The ledger's number, or why there is none."""
        environment, market = self._place.environment, self._place.market
        ledger = await environment.find_ledger(world, market.path_value)
        if ledger is not None:
            return ledger
        customers, organisations = self._seeder.seed_for(environment.name, market.path_value)
        outcome = await send_command(
            self._place,
            OpenLedger(
                ledger=0,
                world=world,
                market=market.path_value,
                currency=market.currency,
                customers=customers,
                organisations=organisations,
            ),
        )
        if isinstance(outcome, Refused):
            return outcome.reason
        if not isinstance(outcome, Done):
            return "The market could not be opened; try again"
        environment.remember_ledger(world, market.path_value, outcome.ids[0])
        return outcome.ids[0]

    def _fail(self, reason: str) -> Answer:
        return self._place.answers.refuse(SESSION_NOT_CREATED, reason=reason)
