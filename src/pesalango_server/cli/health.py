"""`pesalango-server health`: whether payments can be taken, and what to do if not."""

import typer

from pesalango_server.cli.options import Admin, expand_bundles
from pesalango_server.cli.output import print_json, print_table

app = typer.Typer(help="Whether payments can be taken.", invoke_without_command=True)


@app.callback()
@expand_bundles
def show(context: typer.Context, admin: Admin) -> None:
    """Whether payments can be taken; exit status 1 if not."""
    if context.invoked_subcommand is not None:
        return
    with admin.connect() as client:
        health = client.show_health()
    if admin.is_json:
        print_json(health)
    else:
        print(f"{'ready' if health.is_ready else 'NOT READY'}: pesalango-server {health.version}")
        if not health.is_configuration_fresh:
            print("The configuration could not be read for some seconds: is the database there?")
        print_table(
            ("Engine", "Ready", "Unanswered>", "Schema"),
            [
                (
                    name,
                    "yes" if engine.is_ready else "no",
                    engine.unanswered,
                    health.schema.get(name),
                )
                for name, engine in health.engines.items()
            ],
        )
    if not health.is_ready:
        raise typer.Exit(1)


@app.command("confirm-clock")
@expand_bundles
def confirm_clock(admin: Admin) -> None:
    """Say that the machine's clock, which jumped, is right now: the engines go on by it."""
    with admin.connect() as client:
        confirmed = client.confirm_clock()
    if admin.is_json:
        print_json(confirmed)
    else:
        print(f"Told {', '.join(confirmed.engines)}.")
