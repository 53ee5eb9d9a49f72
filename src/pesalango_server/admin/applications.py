"""Applications, admin tokens and worlds: what the platform's configuration is made of."""

from typing import Any

from msgspec import UNSET

from pesalango_server.admin import contract
from pesalango_server.admin.checks import (
    APPLICATION_STATUSES,
    MARKET_PATHS,
    PRODUCTS,
    check_environment,
    check_markets,
    check_name,
    check_organisations,
    check_origins,
    check_products,
    check_sources,
    check_status,
)
from pesalango_server.admin.errors import AdminError, ErrorCode, refuse
from pesalango_server.admin.ledgers import find_world, list_environment_worlds, submit
from pesalango_server.applications.commands import (
    AddAdminToken,
    AddApplication,
    ChangeApplication,
    PlatformCommand,
    RotateApiKey,
)
from pesalango_server.applications.keys import make_admin_token, make_api_key
from pesalango_server.applications.model import (
    ENVIRONMENTS,
    SESSION_LIFE_S,
    Application,
    ApplicationStatus,
)
from pesalango_server.http.context import WorkerContext
from pesalango_server.kernel.message import Done

_LIST_CHECKS = {
    "products": check_products,
    "origins": check_origins,
    "sources": check_sources,
    "organisations": check_organisations,
    "markets": check_markets,
}

_DEFAULT_LISTS: dict[str, tuple[str, ...]] = {
    "products": PRODUCTS,
    "origins": ("*",),
    "sources": (),
    "organisations": (),
    "markets": MARKET_PATHS,
}

_DEFAULT_PROMOTED = {"sandbox": True, "openapi": False}


class Applications:
    """What the admin API does with the platform's configuration.

    A change is answered once this worker goes by it; the others follow within half a second.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    async def _change(self, command: PlatformCommand) -> Done:
        done = await submit(self._context.platform_link, command)
        await self._context.configuration.refresh()
        return done

    async def list_page(
        self, request: contract.ListApplicationsRequest
    ) -> contract.ApplicationPage:
        """A page of the applications."""
        configuration = await self._context.configuration.refresh()
        listed = [
            application
            for id_, application in sorted(configuration.applications.items())
            if id_ > request.after
            and (request.hidden or not application.is_hidden)
            and request.name in (UNSET, application.name)
        ]
        page = listed[: request.limit]
        return contract.ApplicationPage(
            applications=[self._show(application) for application in page],
            next=page[-1].id if len(page) < len(listed) else None,
        )

    async def find(self, application: int, *, hidden: bool) -> contract.Application:
        """One application."""
        return self._show(await self._find(application, hidden=hidden))

    async def _find(self, application: int, *, hidden: bool) -> Application:
        configuration = await self._context.configuration.refresh()
        found = configuration.applications.get(application)
        if found is None or (found.is_hidden and not hidden):
            raise AdminError(
                ErrorCode.NOT_FOUND,
                f"there is no application {application}; GET applications lists those there are",
                "id",
            )
        return found

    async def add(
        self, request: contract.AddApplicationRequest, *, actor: str
    ) -> contract.ApplicationWithKey:
        """Make an application with its API key."""
        lists = {**_DEFAULT_LISTS, **_check_lists(request)}
        given = {} if request.promoted is UNSET else _check_promoted(request.promoted)
        promoted = {**_DEFAULT_PROMOTED, **given}
        await self._context.configuration.refresh()
        worlds = []
        for environment in ENVIRONMENTS:
            name = request.world if environment == "sandbox" else UNSET
            if list_environment_worlds(self._context, environment):
                world = find_world(self._context, environment, name)
                worlds.append((environment, world.id, promoted[environment]))
        api_key = make_api_key()
        done = await self._change(
            AddApplication(
                ledger=0,
                actor=actor,
                name=check_name(request.name, "name"),
                is_hidden=False,
                session_life_s=(
                    SESSION_LIFE_S if request.session_life_s is UNSET else request.session_life_s
                ),
                activation_delay_ms=(
                    0 if request.activation_delay_ms is UNSET else request.activation_delay_ms
                ),
                worlds=tuple(worlds),
                key_hash=self._context.configuration.installation.hasher.hash_api_key(api_key),
                **lists,
            )
        )
        application = await self.find(done.ids[0], hidden=False)
        return contract.ApplicationWithKey(application=application, api_key=api_key)

    async def change(
        self,
        application: int,
        request: contract.ChangeApplicationRequest,
        *,
        actor: str,
        hidden: bool,
    ) -> contract.Application:
        """Change what is given, all of it or nothing."""
        changes: dict[str, Any] = dict(_check_lists(request))
        if request.status is not UNSET:
            check_status(request.status, APPLICATION_STATUSES)
            changes["status"] = APPLICATION_STATUSES[request.status]
        if request.promoted is not UNSET:
            changes["promoted"] = tuple(sorted(_check_promoted(request.promoted).items()))
        for name in ("session_life_s", "activation_delay_ms"):
            if getattr(request, name) is not UNSET:
                changes[name] = getattr(request, name)
        if not changes:
            raise refuse("", "nothing to change: give at least one setting, or a status")
        await self._find(application, hidden=hidden)
        await self._change(
            ChangeApplication(ledger=0, actor=actor, application=application, **changes)
        )
        return await self.find(application, hidden=hidden)

    async def rotate_key(
        self, application: int, *, overlap_s: int, actor: str, hidden: bool
    ) -> contract.ApplicationWithKey:
        """Another API key; the present ones end after the overlap."""
        await self._find(application, hidden=hidden)
        api_key = make_api_key()
        hasher = self._context.configuration.installation.hasher
        await self._change(
            RotateApiKey(
                ledger=0,
                actor=actor,
                application=application,
                key_hash=hasher.hash_api_key(api_key),
                overlap_ms=overlap_s * 1_000,
            )
        )
        shown = await self.find(application, hidden=hidden)
        return contract.ApplicationWithKey(application=shown, api_key=api_key)

    async def add_token(
        self, request: contract.AddTokenRequest, *, actor: str
    ) -> contract.NewToken:
        """A further admin token."""
        token = make_admin_token()
        hasher = self._context.configuration.installation.hasher
        await self._change(
            AddAdminToken(
                ledger=0,
                actor=actor,
                name=check_name(request.name, "name"),
                token_hash=hasher.hash_admin_token(token),
                replaces=request.replaces,
            )
        )
        return contract.NewToken(name=request.name, token=token)

    async def list_worlds(self, *, hidden: bool) -> contract.WorldPage:
        """All worlds, by environment; the default one first."""
        await self._context.configuration.refresh()
        return contract.WorldPage(
            worlds=[
                contract.World(
                    environment=environment,
                    name=world.name,
                    is_default=position == 0 and not world.is_hidden,
                    is_hidden=world.is_hidden,
                )
                for environment in ENVIRONMENTS
                for position, world in enumerate(
                    list_environment_worlds(self._context, environment)
                )
                if hidden or not world.is_hidden
            ]
        )

    def _show(self, application: Application) -> contract.Application:
        worlds = self._context.configuration.current.worlds
        places = sorted(application.environments.items())
        return contract.Application(
            id=application.id,
            name=application.name,
            status=ApplicationStatus(application.status).name.lower(),
            products=sorted(application.products),
            origins=sorted(application.origins),
            sources=list(application.sources),
            organisations=sorted(application.organisations),
            markets=sorted(application.markets),
            session_life_s=application.session_life_s,
            activation_delay_ms=application.activation_delay_ms,
            worlds={environment: worlds[place.world].name for environment, place in places},
            promoted={environment: place.is_promoted for environment, place in places},
            is_hidden=application.is_hidden,
        )


def _check_lists(request: contract.ApplicationSettings) -> dict[str, tuple[str, ...]]:
    """The lists that the request gives, checked."""
    return {
        name: check(getattr(request, name))
        for name, check in _LIST_CHECKS.items()
        if getattr(request, name) is not UNSET
    }


def _check_promoted(promoted: dict[str, bool]) -> dict[str, bool]:
    for environment in promoted:
        try:
            check_environment(environment)
        except AdminError as error:
            raise refuse(f"promoted.{environment[:20]}", error.message) from error
    return promoted
