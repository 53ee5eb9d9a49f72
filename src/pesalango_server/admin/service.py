"""What the admin API can do, put together over what a worker holds."""

from collections.abc import Mapping
from dataclasses import dataclass

from pesalango_server import __version__
from pesalango_server.admin import contract
from pesalango_server.admin.applications import Applications
from pesalango_server.admin.customers import Customers
from pesalango_server.admin.errors import AdminError, ErrorCode
from pesalango_server.admin.ledgers import LedgerFinder, SeedSource, submit
from pesalango_server.admin.organisations import Organisations
from pesalango_server.admin.platform_keys import PlatformKeys
from pesalango_server.engine.loop import ConfirmClock
from pesalango_server.http.context import WorkerContext
from pesalango_server.link.client import LinkClient


@dataclass(frozen=True)
class AdminService:
    """The parts of the admin API, one a subject, and who may call."""

    ledgers: LedgerFinder
    customers: Customers
    organisations: Organisations
    applications: Applications
    platform_keys: PlatformKeys
    installation: "InstallationHealth"
    tokens: "TokenChecker"


def make_service(
    context: WorkerContext, seed: SeedSource, *, schema: Mapping[str, str]
) -> AdminService:
    """The service of a worker; `schema` names the latest migration of each database."""
    keys = context.configuration.installation.duplicate_keys
    return AdminService(
        ledgers=LedgerFinder(context, seed),
        customers=Customers(keys),
        organisations=Organisations(keys),
        applications=Applications(context),
        platform_keys=PlatformKeys(context),
        installation=InstallationHealth(context, schema),
        tokens=TokenChecker(context),
    )


class TokenChecker:
    """Tells whose a bearer token is."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    async def find_actor(self, token: str) -> str:
        """The name of the token's holder. Raises `AdminError`, `StorageUnavailable`.

        Only the keyed hash is looked up, so that the time it takes tells nothing of any token.
        """
        configuration = self._context.configuration
        token_hash = configuration.installation.hasher.hash_admin_token(token)
        known = configuration.current.admin_tokens.get(token_hash)
        if known is None:
            # It may have been made at another worker a moment ago.
            known = (await configuration.refresh()).admin_tokens.get(token_hash)
        if known is None or (
            known.ends_ms is not None and known.ends_ms <= self._context.clock.wall_ms()
        ):
            raise AdminError(
                ErrorCode.UNAUTHORISED,
                "this token does not administrate here; send Authorization: Bearer and the token "
                "of credentials.json, or make one with pesalango-server token create",
            )
        return known.name


class InstallationHealth:
    """How the installation is, as this worker sees it."""

    def __init__(self, context: WorkerContext, schema: Mapping[str, str]) -> None:
        self._context = context
        self._schema = dict(schema)

    def _links(self) -> dict[str, LinkClient]:
        environments = self._context.environments
        return {
            "platform": self._context.platform_link,
            **{name: environment.link for name, environment in environments.items()},
        }

    def describe(self) -> contract.Health:
        """Whether payments can be taken."""
        configuration = self._context.configuration
        engines = {
            name: contract.EngineHealth(is_ready=link.is_ready, unanswered=link.unanswered)
            for name, link in self._links().items()
        }
        is_fresh = not configuration.is_stale
        return contract.Health(
            is_ready=is_fresh and all(engine.is_ready for engine in engines.values()),
            version=__version__,
            generation=configuration.current.generation,
            is_configuration_fresh=is_fresh,
            engines=engines,
            schema=self._schema,
        )

    async def confirm_clock(self) -> contract.ClockConfirmed:
        """Let the engines go on by a clock that jumped and is right now."""
        links = self._links()
        for link in links.values():
            await submit(link, ConfirmClock(ledger=0))
        return contract.ClockConfirmed(engines=list(links))
