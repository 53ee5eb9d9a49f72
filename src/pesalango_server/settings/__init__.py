"""Settings: one table of them, where their values come from, and the page that tells of them."""

from pesalango_server.settings.database import mask_database
from pesalango_server.settings.listening import ListenAddress, parse_listen
from pesalango_server.settings.loading import SettingsError, find_settings_file, load_settings
from pesalango_server.settings.reference import render_settings_markdown
from pesalango_server.settings.table import (
    ENVIRONMENT_PREFIX,
    NOT_FLAGS,
    SETTING_NAMES,
    Settings,
    environment_name,
)

__all__ = [
    "ENVIRONMENT_PREFIX",
    "NOT_FLAGS",
    "SETTING_NAMES",
    "ListenAddress",
    "Settings",
    "SettingsError",
    "environment_name",
    "find_settings_file",
    "load_settings",
    "mask_database",
    "parse_listen",
    "render_settings_markdown",
]
