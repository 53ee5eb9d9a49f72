"""`pesalango-server applications`: who may call the operator's API."""

from typing import Annotated, Any, ClassVar

import typer
from msgspec import UNSET

from pesalango_server.admin import contract
from pesalango_server.admin.client import AdminClient
from pesalango_server.cli.failures import CommandFailed
from pesalango_server.cli.options import Admin, expand_bundles
from pesalango_server.cli.output import join, print_json, print_table
from pesalango_server.main.credentials import USER_APPLICATION, Credentials

app = typer.Typer(help="Applications: who may call the operator's API.", no_args_is_help=True)

Named = Annotated[str, typer.Argument(metavar="APPLICATION", help="Its id, or its name.")]

_LISTS = {
    "product": "products",
    "origin": "origins",
    "source": "sources",
    "organisation": "organisations",
    "market": "markets",
}


def _list_option(flag: str, help_: str) -> tuple[Any, None]:
    return Annotated[list[str] | None, typer.Option(flag, help=help_)], None


class SettingChoice:
    """What an application is allowed; what is not given stays as it is, or is the default."""

    OPTIONS: ClassVar = {
        "product": _list_option("--product", "Product that it has; repeat it."),
        "origin": _list_option("--origin", "Host that it may be used from, or *; repeat it."),
        "source": _list_option("--source", "Address or CIDR range it may call from; repeat it."),
        "organisation": _list_option("--organisation", "Code it acts for; repeat it."),
        "market": _list_option("--market", "Path value or country; repeat it."),
        "clear": _list_option(
            "--clear", "A list to leave empty: products, origins, sources, organisations, markets."
        ),
        "session_life_s": (
            Annotated[int | None, typer.Option("--session-life-s", help="Life of a session.")],
            None,
        ),
        "activation_delay_ms": (
            Annotated[
                int | None,
                typer.Option("--activation-delay-ms", help="Time before a session becomes live."),
            ],
            None,
        ),
        "promote": _list_option("--promote", "Environment it may call from now on; repeat it."),
        "withdraw": _list_option("--withdraw", "Environment it may call no longer; repeat it."),
    }

    def __init__(self, **given: Any) -> None:
        self.fields: dict[str, Any] = {
            field: given[option] for option, field in _LISTS.items() if given[option]
        }
        for field in given["clear"] or ():
            if field not in _LISTS.values():
                raise CommandFailed(f"--clear takes {', '.join(_LISTS.values())}, not {field}")
            if field in self.fields:
                raise CommandFailed(f"{field} cannot be given and cleared at once")
            self.fields[field] = []
        for name in ("session_life_s", "activation_delay_ms"):
            if given[name] is not None:
                self.fields[name] = given[name]
        promoted = dict.fromkeys(given["promote"] or (), True)
        promoted.update(dict.fromkeys(given["withdraw"] or (), False))
        if promoted:
            self.fields["promoted"] = promoted


def _find_id(client: AdminClient, named: str) -> int:

    if named.isascii() and named.isdigit():
        return int(named)
    page = client.list_applications(contract.ListApplicationsRequest(name=named))
    if not page.applications:
        raise CommandFailed(f"there is no application named {named}; applications list shows them")
    return page.applications[0].id


def _describe(application: contract.Application) -> str:
    promoted = join(name for name, is_promoted in application.promoted.items() if is_promoted)
    lines = (
        ("Application", f"{application.name} (id {application.id}), {application.status}"),
        ("Promoted to", promoted),
        ("Products", join(application.products)),
        ("Origins", join(application.origins)),
        ("Sources", join(application.sources) if application.sources else "any"),
        ("Organisations", join(application.organisations)),
        ("Markets", join(application.markets)),
        (
            "Session",
            f"{application.session_life_s} s, live after {application.activation_delay_ms} ms",
        ),
    )
    return "\n".join(f"{name:<15}{value}" for name, value in lines)


def _show(admin: Admin, application: contract.Application) -> None:
    if admin.is_json:
        print_json(application)
    else:
        print(_describe(application))


def _show_key(admin: Admin, answer: contract.ApplicationWithKey) -> None:
    if admin.is_json:
        print_json(answer)
        return
    print(_describe(answer.application))
    print(f"{'API key':<15}{answer.api_key}")
    print("The key is shown this once; keep it where only the application can read it.")


@app.command("create")
@expand_bundles
def create(
    settings: SettingChoice,
    admin: Admin,
    name: Annotated[str, typer.Option("--name", help="A name that no other one has.")],
    world: Annotated[
        str | None, typer.Option("--world", help="Its world in the sandbox; yours unless given.")
    ] = None,
) -> None:
    """Make an application; its API key is printed once."""
    with admin.connect() as client:
        request = contract.AddApplicationRequest(
            name=name, world=UNSET if world is None else world, **settings.fields
        )
        _show_key(admin, client.add_application(request))


@app.command("update")
@expand_bundles
def update(settings: SettingChoice, admin: Admin, application: Named) -> None:
    """Change what is given; a list replaces the one before it."""
    with admin.connect() as client:
        request = contract.ChangeApplicationRequest(**settings.fields)
        _show(admin, client.change_application(_find_id(client, application), request))


@app.command("list")
@expand_bundles
def list_(
    admin: Admin,
    hidden: Annotated[
        bool, typer.Option("--hidden", help="List the installation's own ones too.")
    ] = False,
) -> None:
    """List all applications."""
    found: list[contract.Application] = []
    following: int | None = 0
    with admin.connect() as client:
        while following is not None:
            page = client.list_applications(
                contract.ListApplicationsRequest(
                    after=following, limit=contract.PAGE_ITEMS_MAX, hidden=hidden
                )
            )
            found += page.applications
            following = page.next
    if admin.is_json:
        print_json(contract.ApplicationPage(applications=found))
        return
    print_table(
        ("Id>", "Name", "Status", "Promoted to", "Organisations", "Markets"),
        [
            (
                each.id,
                each.name,
                each.status,
                join(name for name, is_promoted in each.promoted.items() if is_promoted),
                join(each.organisations),
                join(each.markets),
            )
            for each in found
        ],
    )


def _set_status(admin: Admin, application: str, status: str) -> None:

    with admin.connect() as client:
        request = contract.ChangeApplicationRequest(status=status)
        changed = client.change_application(_find_id(client, application), request)
    if admin.is_json:
        print_json(changed)
    else:
        print(f"{changed.name} is {changed.status}.")


@app.command("suspend")
@expand_bundles
def suspend(admin: Admin, application: Named) -> None:
    """Let an application call no longer, its sessions included, until it is resumed."""
    _set_status(admin, application, "suspended")


@app.command("resume")
@expand_bundles
def resume(admin: Admin, application: Named) -> None:
    """Let a suspended application call again."""
    _set_status(admin, application, "active")


@app.command("rotate-key")
@expand_bundles
def rotate_key(
    admin: Admin,
    application: Named,
    overlap_s: Annotated[
        int,
        typer.Option("--overlap-s", min=0, help="How long the present key goes on beside it."),
    ] = 0,
) -> None:
    """Give an application another API key; it is printed once.

    The key of the data directory's credentials is written into them as well.
    """
    with admin.connect() as client:
        request = contract.RotateRequest(overlap_s=overlap_s)
        answer = client.rotate_key(_find_id(client, application), request)
    _show_key(admin, answer)
    if answer.application.name != USER_APPLICATION:
        return

    def change(credentials: Credentials) -> None:
        credentials.sandbox.api_key = credentials.openapi.api_key = answer.api_key

    path = admin.change_credentials(change)
    if path is not None and not admin.is_json:
        print(f"It is in {path} too.")
