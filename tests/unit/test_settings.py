"""Where settings come from, which values they take, and what is said about those they do not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pesalango_server.settings import (
    SETTING_NAMES,
    Settings,
    SettingsError,
    environment_name,
    find_settings_file,
    load_settings,
    mask_database,
    parse_listen,
    render_settings_markdown,
)


def write_file(directory: Path, text: str) -> Path:
    file = directory / "pesalango.toml"
    file.write_text(text, encoding="utf-8")
    return file


# --- sources -------------------------------------------------------------------------------------


def test_without_any_source_the_defaults_are_in_force() -> None:
    assert load_settings({}, {}, None) == Settings()


def test_a_flag_stands_over_the_environment_over_the_file_over_the_default(tmp_path: Path) -> None:
    file = write_file(tmp_path, "port = 1\nworkers = 2\nhost = '10.0.0.1'\n")
    environ = {"PESALANGO_PORT": "3", "PESALANGO_WORKERS": "4"}

    settings = load_settings({"port": 5}, environ, file)

    assert (settings.port, settings.workers, settings.host) == (5, 4, "10.0.0.1")
    assert settings.lock_timeout_ms == Settings().lock_timeout_ms


def test_a_flag_that_is_none_was_not_given() -> None:
    assert load_settings({"port": None}, {"PESALANGO_PORT": "3"}, None).port == 3


def test_every_setting_can_be_given_in_the_environment() -> None:
    names = {environment_name(name) for name in SETTING_NAMES}

    assert len(names) == len(SETTING_NAMES)
    assert all(name.startswith("PESALANGO_") for name in names)


def test_the_environment_gives_numbers_switches_and_lists_as_text() -> None:
    settings = load_settings(
        {},
        {
            "PESALANGO_WORKERS": "3",
            "PESALANGO_ALLOW_UNSAFE_POSTGRES": "true",
            "PESALANGO_TRUSTED_PROXIES": "10.0.0.1, 192.0.2.0/24,",
        },
        None,
    )

    assert settings.workers == 3
    assert settings.allow_unsafe_postgres is True
    assert settings.trusted_proxies == ("10.0.0.1", "192.0.2.0/24")


def test_several_addresses_to_listen_on_come_from_each_source(tmp_path: Path) -> None:
    addresses = ("plain:127.0.0.1:80", "tls:[::1]:443", "gateway.example:8443")
    listed = write_file(tmp_path, f"listen = {list(addresses)}\n")
    assert load_settings({}, {}, listed).listen == addresses
    one = write_file(tmp_path, "listen = '127.0.0.1:8080'\n")
    assert load_settings({}, {}, one).listen == ("127.0.0.1:8080",)
    assert load_settings({}, {"PESALANGO_LISTEN": ",".join(addresses)}, one).listen == addresses
    assert load_settings({"listen": list(addresses)}, {}, None).listen == addresses


@pytest.mark.parametrize(
    ("text", "has_certificate", "expected"),
    [
        ("127.0.0.1:80", False, ("127.0.0.1", 80, False)),
        ("127.0.0.1:443", True, ("127.0.0.1", 443, True)),
        ("plain:localhost:80", True, ("localhost", 80, False)),
        ("tls:0.0.0.0:8443", False, ("0.0.0.0", 8443, True)),
        ("tls:[::1]:0", True, ("::1", 0, True)),
        ("[fe80::1%eth0]:80", False, ("fe80::1%eth0", 80, False)),
    ],
)
def test_an_address_says_whether_tls_is_spoken_there_or_the_certificate_does(
    text: str, has_certificate: bool, expected: tuple[str, int, bool]
) -> None:
    address = parse_listen(text, has_certificate=has_certificate)
    assert (address.host, address.port, address.is_tls) == expected


def test_other_variables_with_the_same_beginning_are_left_alone() -> None:
    environ = {"PESALANGO_ADMIN_TOKEN": "t", "PESALANGO_SERVICE_HOST": "10.0.0.1"}

    assert load_settings({}, environ, None) == Settings()


def test_the_file_in_the_working_directory_is_found_unless_another_is_named(
    tmp_path: Path,
) -> None:
    assert find_settings_file({}, tmp_path) is None
    file = write_file(tmp_path, "")
    assert find_settings_file({}, tmp_path) == file
    assert find_settings_file({"PESALANGO_SETTINGS": "other.toml"}, tmp_path) == Path("other.toml")


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "environ", "expected"),
    [
        ({"port": "x"}, {}, "--port cannot be used: it is a whole number from 0 to 65535"),
        ({"port": 65_536}, {}, "--port cannot be used: it is a whole number from 0 to 65535"),
        (
            {"platform_key_bits": 2_049},
            {},
            (
                "--platform-key-bits cannot be used: it is a whole number from 2048 to 8192, "
                "a multiple of 1024"
            ),
        ),
        (
            {},
            {"PESALANGO_PORT": "tcp://10.0.0.1:80"},
            "PESALANGO_PORT cannot be used: it is a whole number from 0 to 65535",
        ),
        (
            {},
            {"PESALANGO_ALLOW_UNSAFE_POSTGRES": "perhaps"},
            "PESALANGO_ALLOW_UNSAFE_POSTGRES cannot be used: it is true or false",
        ),
        (
            {},
            {"PESALANGO_LISTEN": "8080"},
            "PESALANGO_LISTEN cannot be used: each is an address and a port, such as 127.0.0.1:8080",
        ),
        (
            {"listen": ["127.0.0.1:8080", "tls:127.0.0.1:70000"]},
            {},
            "--listen cannot be used: each is an address and a port, such as 127.0.0.1:8080",
        ),
        (
            {"admin_listen": "ssl:127.0.0.1:8081"},
            {},
            "--admin-listen cannot be used: it is an address and a port, such as 127.0.0.1:8080",
        ),
        ({}, {"PESALANGO_LISTEN": "::1:8080"}, "PESALANGO_LISTEN cannot be used: each is"),
        (
            {},
            {"PESALANGO_LOG_LEVEL": "loud"},
            "PESALANGO_LOG_LEVEL cannot be used: it is debug, info, warning or error",
        ),
        (
            {},
            {"PESALANGO_TRUSTED_PROXIES": "10.0.0.1/8"},
            (
                "PESALANGO_TRUSTED_PROXIES cannot be used: each is an address or a CIDR range, "
                "such as 10.0.0.0/8"
            ),
        ),
        (
            {},
            {"PESALANGO_DATABASE": "mysql://host/name"},
            (
                "PESALANGO_DATABASE cannot be used: it is sqlite, postgres, or a URL such as "
                "postgresql://user@host:5432/name"
            ),
        ),
        (
            {"database": "postgresql://[::1/name"},
            {},
            "--database cannot be used: it is sqlite, postgres, or a URL such as postgresql://user@",
        ),
        (
            {},
            {"PESALANGO_DATABASE": "postgresql:name"},
            "PESALANGO_DATABASE cannot be used: it is sqlite, postgres, or a URL such as",
        ),
        ({}, {"PESALANGO_DATA_DIR": ""}, "PESALANGO_DATA_DIR cannot be used: it is the path of"),
        ({"colour": 1}, {}, "colour is no setting"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_its_source(
    flags: Mapping[str, Any], environ: Mapping[str, str], expected: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(flags, environ, None)

    assert str(refused.value).startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("workres = 2", "workres in {file} is no setting; workers is one"),
        ("xyzzy = 2", "xyzzy in {file} is no setting"),
        ("workers = 'many'", "workers in {file} cannot be used: it is a whole number from 0 to 64"),
        ("workers = ", "the settings file {file} is no TOML: "),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_name_of_the_setting(
    tmp_path: Path, text: str, expected: str
) -> None:
    file = write_file(tmp_path, text)

    with pytest.raises(SettingsError) as refused:
        load_settings({}, {}, file)

    assert str(refused.value).startswith(expected.format(file=file))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "gone.toml"

    with pytest.raises(SettingsError, match=r"gone\.toml cannot be read: No such file"):
        load_settings({}, {}, file)


# --- the database's password ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "flags",
    [
        {"database": "postgresql://ann:pepper@host/name"},
        {"database": "postgresql://host/name?password=pepper"},
        {"database_password": "pepper"},
    ],
)
def test_a_password_on_the_command_line_is_refused_and_not_repeated(
    flags: Mapping[str, str],
) -> None:
    with pytest.raises(SettingsError, match=r"PESALANGO_DATABASE_PASSWORD or ~/.pgpass") as refused:
        load_settings(flags, {}, None)

    assert "pepper" not in str(refused.value)


@pytest.mark.parametrize(
    ("database", "password", "expected"),
    [
        ("postgresql://ann@host:5433/name", "a/b@c", "postgresql://ann:a%2Fb%40c@host:5433/name"),
        ("postgresql://host/name", "pw", "postgresql://:pw@host/name"),
        ("postgres://ann:own@host/name", "other", "postgres://ann:own@host/name"),
        ("postgresql://ann@one:1,two:2/name?x=y", "pw", "postgresql://ann:pw@one:1,two:2/name?x=y"),
        ("postgresql://ann@[::1]:5433/name", "pw", "postgresql://ann:pw@[::1]:5433/name"),
        ("postgresql://ann@%2Frun%2Fpg/name", "pw", "postgresql://ann:pw@%2Frun%2Fpg/name"),
        ("postgresql://ann@host/name", "", "postgresql://ann@host/name"),
        ("sqlite", "pw", None),
        ("postgres", "", None),
    ],
)
def test_the_password_of_the_environment_goes_into_a_url_that_has_none(
    database: str, password: str, expected: str | None
) -> None:
    environ = {"PESALANGO_DATABASE": database, "PESALANGO_DATABASE_PASSWORD": password}

    assert load_settings({}, environ, None).database_url == expected


def test_no_secret_is_seen_where_settings_are_printed() -> None:
    environ = {
        "PESALANGO_DATABASE": "postgresql://ann:first@host/name?password=second",
        "PESALANGO_DATABASE_PASSWORD": "third",
    }

    shown = repr(load_settings({}, environ, None))

    assert "postgresql://ann:***@host/name?***" in shown
    assert "port=8080" in shown
    assert not [secret for secret in ("first", "second", "third") if secret in shown]


def test_a_masked_url_without_secrets_is_the_url() -> None:
    assert mask_database("postgresql://ann@host:5433/name") == "postgresql://ann@host:5433/name"
    assert mask_database("sqlite") == "sqlite"


# --- the reference page --------------------------------------------------------------------------


def test_the_reference_page_has_a_line_with_a_meaning_for_every_setting() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in render_settings_markdown().splitlines()
        if line.startswith("| `")
    ]

    assert [row[0] for row in rows] == [f"`{name}`" for name in SETTING_NAMES]
    assert all(len(row) == 5 and row[4].endswith(".") for row in rows)


def test_the_reference_page_says_how_commands_find_the_admin_api() -> None:
    page = render_settings_markdown()

    for name in (
        "PESALANGO_ADMIN_URL",
        "PESALANGO_ADMIN_TOKEN",
        "--token-file",
        "credentials.json",
    ):
        assert name in page.partition("| Setting |")[0]


def test_every_number_has_its_bounds_on_the_reference_page() -> None:
    defaults = Settings()
    numbers = [name for name in SETTING_NAMES if type(getattr(defaults, name)) is int]

    page = render_settings_markdown()

    for name in numbers:
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}`")]
        assert " to " in row.split("|")[4], f"{name} has no bounds"
