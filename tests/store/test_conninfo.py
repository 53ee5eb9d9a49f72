"""What the address of a PostgreSQL says, and what an error about it never says."""

import traceback
from collections.abc import Callable

import pytest
from psycopg.conninfo import make_conninfo

from pesalango_server.storage.address import DatabaseAddress, check_durability, open_database_writer
from pesalango_server.storage.conninfo import list_hosts, read_conninfo, resolve_host
from pesalango_server.storage.database import StorageError, StorageUnavailable
from pesalango_server.storage.snapshot import open_snapshot_reader


def open_snapshot(conninfo: str) -> None:
    with open_snapshot_reader(DatabaseAddress("sandbox", "postgres", conninfo)):
        pass


def open_writer(conninfo: str) -> None:
    open_database_writer(DatabaseAddress("sandbox", "postgres", conninfo))


def ask_durability(conninfo: str) -> None:
    check_durability(conninfo, allows_unsafe=False)


WAYS: list[Callable[[str], None]] = [open_writer, open_snapshot, ask_durability]

UNREADABLE = [
    "postgresql://user:hush%zzword@127.0.0.1:1/name",
    "postgresql://user:hush@word@127.0.0.1:1/name",
    "postgresql://user:hush@@word@127.0.0.1:1/name",
    "postgresql://user:hush/word@127.0.0.1:1/name",
    "postgresql://user:12/hushword@127.0.0.1:1/name",
    "postgresql://user:12/hush?word@127.0.0.1:1/name",
    "postgresql://user:hush?wo/rd@word@127.0.0.1:1/name",
    "postgresql://user:hushword/name",
    "postgresql://[user:hushword/name",
    "postgresql://user:hush\ud800word@127.0.0.1:1/name",
    "postgresql://127.0.0.1:1/name?password=hush&word",
    "host=127.0.0.1 port=1 password=hush word",
    "host=127.0.0.1 port=1 password='hush word",
    "host=word@127.0.0.1 port=1 password=hush",
    "host=127.0.0.1 port=99999 password=hushword",
]

READABLE = [
    "postgresql://user:hush%40word@127.0.0.1:1/name",
    "postgresql://user:hush?word@127.0.0.1:1/name",
    "host=127.0.0.1 port=1 user=user dbname=name password='hush word'",
]


@pytest.mark.parametrize("use", WAYS)
@pytest.mark.parametrize("conninfo", UNREADABLE)
def test_an_address_that_cannot_be_read_is_refused_without_its_password(
    conninfo: str, use: Callable[[str], None]
) -> None:
    with pytest.raises(
        StorageUnavailable, match="percent-encode its password, or use PESALANGO_DATABASE_PASSWORD"
    ) as caught:
        use(conninfo)

    # Not in what libpq said before either, which a log would show with the error.
    shown = str(caught.value) + "".join(list_causes(caught.value))
    assert "hush" not in shown
    assert "word@" not in shown
    assert "rd@" not in shown


def list_causes(error: BaseException) -> list[str]:
    """The messages of an error and of all that led to it, whether a traceback shows it or not."""
    messages: list[str] = []
    led_to: BaseException | None = error
    while led_to is not None:
        messages += traceback.format_exception_only(led_to)
        led_to = led_to.__cause__ or led_to.__context__
    return messages


@pytest.mark.parametrize("use", WAYS)
@pytest.mark.parametrize("conninfo", READABLE)
def test_a_database_that_cannot_be_reached_is_told_without_its_password(
    conninfo: str, use: Callable[[str], None]
) -> None:
    with pytest.raises(
        StorageUnavailable,
        match="check that PostgreSQL runs there and that the address is right",
    ) as caught:
        use(conninfo)

    shown = "".join(list_causes(caught.value))
    assert "hush" not in shown
    assert "127.0.0.1" in shown


def test_a_server_that_lets_nobody_in_says_what_to_look_at(postgres_url: str) -> None:
    for use in WAYS:
        with pytest.raises(StorageError, match="check the user, the password") as caught:
            use(make_conninfo(postgres_url, password="hushword"))
        assert "hush" not in str(caught.value)


def read(conninfo: str) -> dict[str, str]:
    return read_conninfo(conninfo, application_name="test")


def hosts_of(conninfo: str) -> list[tuple[str | None, str | None, str | None]]:
    return [
        (host.get("host"), host.get("hostaddr"), host.get("port"))
        for host in list_hosts(read(conninfo))
    ]


def test_hosts_are_taken_one_by_one_with_their_ports() -> None:
    assert hosts_of("postgresql://a:1,b:2/name") == [("a", None, "1"), ("b", None, "2")]
    assert hosts_of("postgresql://a,b/name?port=7") == [("a", None, "7"), ("b", None, "7")]
    assert hosts_of("postgresql://a:1,b/name") == [("a", None, "1"), ("b", None, "")]
    assert hosts_of("host=a,b hostaddr=127.0.0.1,127.0.0.2") == [
        ("a", "127.0.0.1", None),
        ("b", "127.0.0.2", None),
    ]
    assert hosts_of("hostaddr=::1,127.0.0.2 port=1,2") == [
        (None, "::1", "1"),
        (None, "127.0.0.2", "2"),
    ]
    assert hosts_of("postgresql:///name?host=/run/one,/run/two") == [
        ("/run/one", None, None),
        ("/run/two", None, None),
    ]
    assert hosts_of("postgresql:///name") == [(None, None, None)]


@pytest.mark.parametrize(
    "conninfo", ["host=a,b,c port=1,2", "host=a,b hostaddr=::1", "host=a hostaddr=::1,::1"]
)
def test_lists_that_do_not_match_are_refused(conninfo: str) -> None:
    with pytest.raises(StorageUnavailable, match="check its hosts and ports"):
        read(conninfo)


@pytest.mark.parametrize(
    "conninfo", ["host=/run/one", "host=@one", "host=a hostaddr=127.0.0.1", "dbname=name"]
)
def test_what_has_an_address_is_not_looked_up(conninfo: str) -> None:
    assert resolve_host(read(conninfo)) == [read(conninfo)]


def test_a_name_gives_an_attempt_for_each_address() -> None:
    attempts = resolve_host(read("host=localhost"))

    addresses = [attempt["hostaddr"] for attempt in attempts]
    assert set(addresses) <= {"127.0.0.1", "::1"}
    assert len(set(addresses)) == len(addresses) >= 1
    assert {attempt["host"] for attempt in attempts} == {"localhost"}


def test_what_an_address_says_goes_before_what_is_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGTARGETSESSIONATTRS", raising=False)
    assert read("host=a")["target_session_attrs"] == "read-write"
    assert read("host=a target_session_attrs=any")["target_session_attrs"] == "any"
    assert read("host=a")["tcp_user_timeout"] == "20000"
    assert read("postgresql://a/name?tcp_user_timeout=7")["tcp_user_timeout"] == "7"

    monkeypatch.setenv("PGTARGETSESSIONATTRS", "standby")
    assert read("host=a")["target_session_attrs"] == "standby"
