"""The reference page of the settings, made of their table."""

from typing import Any, Final

from pesalango_server.settings.table import (
    ENVIRONMENT_PREFIX,
    FIELDS,
    FILE_NAME,
    describe,
    environment_name,
    render_bounds,
)

_INTRODUCTION: Final = f"""# Settings

A flag stands over the environment variable, the variable over the settings file (`{FILE_NAME}` in
the working directory, or the file that `{ENVIRONMENT_PREFIX}SETTINGS` names), the file over the
default. The file is TOML without sections: `port = 8080`. A name in it that is no setting is an
error. `pesalango-server up --help` and `pesalango-server serve --help` list the flags.

Commands that administrate find the admin API by `--url` or `{ENVIRONMENT_PREFIX}ADMIN_URL`, and its
token by `--token-file FILE` (`-`: standard input) or `{ENVIRONMENT_PREFIX}ADMIN_TOKEN`. Without an
address they take both from `credentials.json` in the data directory, whose token goes to its own
server alone. None of these is a setting.

| Setting | Environment variable | Default | Bounds | Meaning |
|---|---|---|---|---|
"""


def render_settings_markdown() -> str:
    """The reference page of the settings, made of the table above."""
    rows = []
    for name, field in FIELDS.items():
        type_, description = describe(name)
        bounds = render_bounds(type_).removeprefix("a whole number from ")
        default = _render_default(field.default)
        rows.append(
            f"| `{name}` | `{environment_name(name)}` | {default} | {bounds} | {description} |\n"
        )
    return _INTRODUCTION + "".join(rows)


def _render_default(default: Any) -> str:
    if default in {"", ()}:
        return "none"
    return f"`{str(default).lower()}`" if isinstance(default, bool) else f"`{default}`"
