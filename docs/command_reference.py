"""The reference page of the command `pesalango`, made of its commands and its table of settings."""

import ast
import inspect
import re
from collections.abc import Iterable
from typing import Any, Final

import typer

from pesalango import _client
from pesalango.cli import exits, report
from pesalango.cli.app import app
from pesalango.cli.options import Gateway
from pesalango.cli.settings import DEFAULT_CREDENTIALS, SETTINGS, name_variable

INTRODUCTION: Final = """# The command pesalango

It takes and makes payments by the [client](client.md), with the extra `cli` (`make setup` has installed
it in `.venv`; elsewhere `pip install './sdk[cli]'`). It keeps each payment in the same
[journal](../guide/journal.md), so that a command may be repeated: a key is paid once.

The result goes to standard output, everything else to standard error. With `--json` the result is one
JSON document, in which amounts are text; a failure is `{"error": {…}}`, there too.
"""

SETTINGS_TEXT: Final = f"""## Settings

A flag stands over the variable of the environment, that over the settings file, that over the
credentials file, and that over what is so unless given. The settings file is TOML with the names
below (`--settings`, else `~/.config/pesalango/settings.toml`); it may hold an API key, so nobody but its
owner may have access to it (mode 0600). The credentials file is what `pesalango-server up` writes
(`--credentials`, else `{DEFAULT_CREDENTIALS}` where that is there and nothing else says address or key).
No secret is a flag: other users of a machine can read command lines.
"""

DEFAULTS: Final = {
    "environment": "`sandbox`",
    "origin": "`*`",
    "journal": "in the user's data directory",
    "timeout": f"{_client.TIMEOUT_S:g}",
    "session_lifetime": f"{_client.LIFETIME_S:g}",
    "former_api_keys": "none",
    "certificate_file": "that of the credentials, with their address",
    "service_provider_code": "that of the credentials",
    "base_url": "that of the credentials",
    "api_key": "that of the credentials",
    "public_key": "that of the credentials",
    "market": "must be given",
}


def render_command_markdown() -> str:
    """The page."""
    program: Any = typer.main.get_command(app)
    parts = [INTRODUCTION, _render_statuses(), "## Commands\n"]
    for name, command in program.commands.items():
        parts += _render_command(name, command)
    shared = [
        f"| `{parameter.opts[0]}` | {_tell(parameter)} |\n"
        for parameter in program.commands["session"].params
        if parameter.name in {"json", "settings", "credentials"}
    ]
    parts += [
        "## Options of all commands\n\nAnd the flags of the settings below.\n",
        "| Option | Meaning |\n|---|---|\n" + "".join(shared),
        SETTINGS_TEXT,
        _render_settings(),
        _render_report(),
        _render_failure(),
    ]
    return "\n".join(parts)


def _render_statuses() -> str:
    text = " ".join(exits.STATUSES.split())
    rows = re.findall(r"(\d+) ([^;]+)[;.]", text)
    table = "".join(f"| {status} | {meaning} |\n" for status, meaning in rows)
    return "## Exit status\n\n| Status | Meaning |\n|---|---|\n" + table


def _render_command(name: str, command: Any) -> list[str]:
    own = [each for each in command.params if each.name not in Gateway.OPTIONS]
    arguments = [each for each in own if each.param_type_name == "argument"]
    words = ["pesalango", name, *((each.metavar or each.name).upper() for each in arguments)]
    help_text = inspect.cleandoc(command.help or "")
    lines = [f"### {name}\n", f"```text\n{' '.join(words)} [OPTIONS]\n```\n", f"{help_text}\n"]
    rows = [
        f"| {_name(each)} | {_tell(each)} | {_default(each)} |\n"
        for each in own
        if each.name != "help"
    ]
    if rows:
        lines.append("| Option | Meaning | Unless given |\n|---|---|---|\n" + "".join(rows))
    return lines


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{(parameter.metavar or parameter.name).upper()}`"
    return ", ".join(f"`{option}`" for option in parameter.opts)


def _tell(parameter: Any) -> str:
    return " ".join((parameter.help or "").split()).replace("|", r"\|")


def _default(parameter: Any) -> str:
    if parameter.required:
        return "must be given"
    if parameter.default is None or isinstance(parameter.default, bool):
        return ""
    return f"`{parameter.default}`"


def _render_settings() -> str:
    rows = [
        f"| `{name}` | {_name_flag(name) if setting.is_flag else ''} | `{name_variable(name)}` | {setting.meaning} | {DEFAULTS.get(name, '')} |\n"
        for name, setting in SETTINGS.items()
    ]
    head = "| In the file | Flag | Variable | Meaning | Unless given |\n|---|---|---|---|---|\n"
    return head + "".join(rows)


def _name_flag(name: str) -> str:
    return f"`--{name.replace('_', '-')}`"


def _render_report() -> str:
    columns = ", ".join(f"`{column}`" for column in report.COLUMNS)
    return (
        "## The report of bulk\n\n"
        "A refused row keeps its key, and is never tried again. To pay it after all, give that row "
        "alone a new key.\n\n"
        f"A CSV file that its owner alone may read, with a line for each row: {columns}. The state is "
        "`completed`, `refused`, `open`, or `unpaid`: nothing is recorded of it, and the next run "
        "pays it.\n"
    )


def _render_failure() -> str:
    """The fields of the error that `--json` prints."""
    source = ast.parse(inspect.getsource(exits.Failure))
    [struct] = [node for node in source.body if isinstance(node, ast.ClassDef)]
    rows = list(_list_rows(struct.body))
    table = "| Field | Meaning |\n|---|---|\n" + "".join(rows)
    return f"## Failures in JSON\n\n{inspect.getdoc(exits.Failure)}\n\n{table}"


def _list_rows(body: list[ast.stmt]) -> Iterable[str]:
    for node, following in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign):
            continue
        text = ""
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            text = " ".join(str(following.value.value).split()).replace("None", "null")
        yield f"| `{ast.unparse(node.target)}` | {text} |\n"
