"""The command `pesalango` against a real gateway: what it prints, what it exits with, what it moves."""

import json
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pesalango import ConfigurationError, __version__
from pesalango.cli.app import app
from pesalango.cli.settings import SETTINGS, load_settings
from tests.e2e.merchant import Admin
from tests.e2e.server import Server, find_free_port, wait_until
from tests.sdk.client_command import TIMEOUT_S, Command, count_movements

COMMANDS = ("session", "c2b", "b2c", "b2b", "status", "reverse", "recover", "bulk")
CUSTOMER = "000000000001"
SHORT = ("--timeout", "5", "--within", "0.1")
"""Less than a gateway waits for its customer."""
POOR = "000000000006"

_amounts = count(4001)


def make_amount() -> str:
    """One that no other test moves."""
    return f"{next(_amounts)}.50"


def add_silent_customer(server: Server) -> str:
    """The number of somebody who answers no prompt."""
    customer = f"25573{next(_amounts):07d}"
    admin = Admin(server.credentials)
    admin.add_customers([customer], balance=100_000)
    admin.script(customer, "never")
    return customer


def to_minor(amount: str) -> int:
    return int(Decimal(amount) * 100)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data_dir = tmp_path_factory.mktemp("gateway") / "var"
    with Server(data_dir, settings={"PESALANGO_PLATFORM_KEY_BITS": "2048"}) as server:
        server.start()
        yield server


@pytest.fixture
def cli(server: Server, tmp_path: Path) -> Command:
    return Command(tmp_path / "user", server)


@pytest.fixture
def alone(tmp_path: Path) -> Command:
    """Where there is no gateway, and nothing is set."""
    return Command(tmp_path / "user")


def c2b(amount: str, *more: str, customer: str = CUSTOMER) -> tuple[str, ...]:
    fields = ("--transaction-reference", "Invoice 1", "--description", "Tea")
    return ("c2b", "--amount", amount, "--customer-msisdn", customer, *fields, *more)


def b2c(amount: str, *more: str, customer: str = CUSTOMER) -> tuple[str, ...]:
    return ("b2c", *c2b(amount, *more, customer=customer)[1:])


# --- each command --------------------------------------------------------------------------------


def test_a_session_is_opened_and_told_without_its_key(cli: Command, server: Server) -> None:
    assert cli.read("session") == {
        "session": "open",
        "base_url": server.credentials.base_url,
        "environment": "sandbox",
        "market": "vodacomTZN",
    }
    ended = cli.run("session")
    assert ended.stdout == (
        f"A session is open: sandbox of vodacomTZN at {server.credentials.base_url}.\n"
    )


def test_a_payment_repeated_with_its_key_moves_money_once(cli: Command, server: Server) -> None:
    amount = make_amount()

    first = cli.read(*c2b(amount, "--key", "order-1"))
    again = cli.read(*c2b(amount.rstrip("0"), "--key", "order-1"))

    assert first["state"] == "completed"
    assert first["amount"] == amount
    assert first["currency"] == "TZS"
    assert again == first
    assert count_movements(server)[to_minor(amount)] == 1
    journal = cli.folder / "data" / "pesalango" / "journal.db"
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600


def test_a_payment_is_reversed_and_its_status_asked_for(cli: Command, server: Server) -> None:
    amount, part = make_amount(), "1.25"
    made = cli.read(*c2b(amount, "--key", "order-2"))

    reversed_ = cli.read("reverse", made["transaction_id"], "--amount", part)
    found = cli.read("status", made["third_party_conversation_id"])

    assert (reversed_["operation"], reversed_["amount"]) == ("reversal", part)
    assert (found["transaction_status"], found["reversed"]) == ("Completed", False)
    assert count_movements(server)[to_minor(part)] == 1
    shown = cli.run("status", made["transaction_id"]).stdout
    assert [line.split()[0] for line in shown.splitlines()[:2]] == ["State", "Transaction"]


def test_customers_and_businesses_are_paid(cli: Command, server: Server) -> None:
    to_customer, to_business = make_amount(), make_amount()
    own = server.credentials.sandbox.service_provider_code
    other = next(
        code for code in Admin(server.credentials).read_organisation_balances() if code != own
    )

    ended = cli.run(*b2c(to_customer))
    paid = cli.read(
        *("b2b", "--amount", to_business, "--receiver-party-code", other),
        *("--transaction-reference", "Invoice 1", "--description", "Tea"),
    )

    assert ended.returncode == 0
    assert "completed" in ended.stdout
    assert (paid["operation"], paid["state"]) == ("b2b_payment", "completed")
    moved = count_movements(server)
    assert (moved[to_minor(to_customer)], moved[to_minor(to_business)]) == (1, 1)


def test_nothing_open_needs_no_recovery(cli: Command) -> None:
    assert cli.run("recover").stdout == "Nothing is open in sandbox, vodacomTZN.\n"


# --- exit statuses -------------------------------------------------------------------------------


def test_a_refusal_is_status_1_and_says_that_no_money_moved(cli: Command) -> None:
    error = cli.read(*b2c(make_amount(), "--key", "poor", customer=POOR), status=1)["error"]

    assert (error["kind"], error["code"]) == ("PaymentRefusedError", "INS-2006")
    assert error["may_have_moved_money"] is False
    assert error["key"] == "poor"
    assert len(error["third_party_conversation_id"]) == 32


def test_what_the_gateway_does_not_know_so_far_is_not_told_to_have_failed(cli: Command) -> None:
    error = cli.read("status", "nobody0knows0this", status=3)["error"]

    assert (error["code"], error["may_have_moved_money"]) == ("INS-23", True)
    assert "ORG001" in error["text"] or "000000" in error["text"]


def test_an_unknown_outcome_is_status_3_and_stays_in_the_journal(
    cli: Command, server: Server
) -> None:
    customer = add_silent_customer(server)
    pay = c2b(make_amount(), "--key", "unknown", *SHORT, customer=customer)

    error = cli.read(*pay, status=3)["error"]

    assert error["kind"] == "PaymentUnsettledError"
    assert error["may_have_moved_money"] is True
    assert "--key unknown, or pesalango recover" in error["text"]
    (still_open,) = cli.read("recover", "--within", "0.1", status=3)
    assert (still_open["key"], still_open["state"]) == ("unknown", "open")
    assert still_open["third_party_conversation_id"] == error["third_party_conversation_id"]
    ended = cli.run("recover", "--within", "0.1")
    assert ended.returncode == 3
    assert ended.stdout.splitlines()[0].split()[:2] == ["Key", "Operation"]
    assert ended.stdout.splitlines()[1].split()[:2] == ["unknown", "c2b_single_stage"]


def test_a_mistake_of_the_caller_is_status_2_and_sends_nothing(
    cli: Command, server: Server
) -> None:
    amount = make_amount()

    assert "12 to 14 digits" in cli.fail(*c2b(amount, customer="+255"), status=2)
    assert cli.read("c2b", status=2)["error"]["kind"] == "UsageError"
    usage = cli.run("c2b", "--amount", amount)
    assert (usage.returncode, usage.stdout) == (2, "")
    assert "Missing option '--customer-msisdn'" in usage.stderr
    (cli.folder / "data" / "pesalango" / "journal.db").mkdir(parents=True)
    assert "the journal" in cli.fail(*c2b(amount), status=2)
    assert count_movements(server)[to_minor(amount)] == 0


def test_a_key_of_another_payment_is_status_2(cli: Command, server: Server) -> None:
    amount, other = make_amount(), make_amount()
    cli.read(*c2b(amount, "--key", "order-3"))

    error = cli.read(*c2b(other, "--key", "order-3"), status=2)["error"]

    assert error["kind"] == "KeyReusedError"
    assert count_movements(server)[to_minor(other)] == 0


def test_no_gateway_and_no_such_key_are_status_1(alone: Command, server: Server) -> None:
    place = server.credentials.sandbox
    given = {
        "PESALANGO_BASE_URL": f"http://127.0.0.1:{find_free_port()}",
        "PESALANGO_API_KEY": "made-up-secret",
        "PESALANGO_PUBLIC_KEY": place.public_key,
        "PESALANGO_MARKET": "vodacomTZN",
    }

    away = alone.fail("session", status=1, environment=given)
    wrong = alone.fail(
        "session", "--base-url", server.credentials.base_url, status=1, environment=given
    )

    assert "the request was not sent" in away
    assert "401" in wrong
    assert "made-up-secret" not in away + wrong


# --- interrupted ---------------------------------------------------------------------------------


def test_a_payment_that_is_interrupted_is_status_3_and_goes_on_under_the_key_told(
    cli: Command, server: Server
) -> None:
    amount, customer = make_amount(), add_silent_customer(server)

    with cli.start(*c2b(amount, customer=customer)) as running:
        key = running.read_line().partition("key of this payment is ")[2].partition(";")[0]
        wait_until(lambda: has_payment(server, amount), timeout_s=TIMEOUT_S, what="the payment")
        running.press_ctrl_c()
        ended = running.end()

    assert (ended.returncode, ended.stdout) == (3, "")
    assert f"--key {key}, or pesalango recover" in ended.stderr
    (payment,) = cli.read("recover", "--within", "0.1", status=3)
    assert (payment["key"], payment["amount"]) == (key, amount)


def has_payment(server: Server, amount: str) -> bool:
    with server.open_books() as ask:
        return bool(ask(f"SELECT 1 FROM payments WHERE amount_minor = {to_minor(amount)}"))


def test_what_cannot_have_moved_money_is_status_130_when_interrupted(
    alone: Command, server: Server
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(TIMEOUT_S)
        (alone.folder / "key").write_text("made-up-secret")
        (alone.folder / "public").write_text(server.credentials.sandbox.public_key)
        with alone.start(
            *("session", "--base-url", f"http://127.0.0.1:{silent.getsockname()[1]}"),
            *("--api-key-file", "key", "--public-key-file", "public", "--market", "vodafoneGHA"),
        ) as running:
            connection, _ = silent.accept()
            with connection:
                running.press_ctrl_c()
                ended = running.end()

    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr == "pesalango: interrupted; nothing was sent\n"


# --- settings ------------------------------------------------------------------------------------


def write_settings(folder: Path, text: str, *, mode: int = 0o600) -> Path:
    path = folder / "settings.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def write_credentials(path: Path) -> Path:
    place = {"public_key": "p", "api_key": "credentials-key", "service_provider_code": "CREDS1"}
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "base_url": "http://credentials",
        "sandbox": place,
        "openapi": place,
        "certificate_file": "authority.pem",
    }
    path.write_text(json.dumps(content))
    return path


def test_flags_stand_over_environment_over_file_over_credentials(tmp_path: Path) -> None:
    file = write_settings(
        tmp_path,
        'base_url = "http://file"\nmarket = "vodafoneGHA"\norigin = "file"\ntimeout = 5\n'
        'journal = "journal.db"\n',
    )
    environ = {
        "PESALANGO_BASE_URL": "http://environment",
        "PESALANGO_MARKET": "vodacomTZN",
        "PESALANGO_ORIGIN": "",
    }
    credentials = write_credentials(tmp_path / "credentials.json")

    settings = load_settings(
        {"base_url": "http://flag", "market": None},
        environ,
        settings_file=file,
        credentials_file=credentials,
    )

    assert settings.base_url == "http://flag"
    assert settings.market == "vodacomTZN"
    assert settings.origin == "file"
    assert settings.timeout_s == 5.0
    assert settings.journal == tmp_path / "journal.db"
    assert (settings.api_key, settings.service_provider_code) == ("credentials-key", "CREDS1")
    assert settings.environment == "sandbox"
    # It vouches for the address beside it, and for no other.
    assert settings.certificate_file is None
    assert "credentials-key" not in repr(settings)


def test_credentials_that_lie_there_do_not_mix_with_another_gateways_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_credentials(tmp_path / "var" / "credentials.json")
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "PESALANGO_MARKET": "vodacomTZN"}

    found = load_settings({}, environ, settings_file=None, credentials_file=None)
    with pytest.raises(ConfigurationError, match="there is no api key"):
        load_settings(
            {"base_url": "http://flag"}, environ, settings_file=None, credentials_file=None
        )

    assert (found.base_url, found.api_key) == ("http://credentials", "credentials-key")
    assert found.certificate_file == Path("authority.pem")


def test_named_credentials_of_which_nothing_is_used_are_refused(tmp_path: Path) -> None:
    file = write_settings(
        tmp_path, 'base_url = "http://file"\napi_key = "secret-of-file"\npublic_key = "p"\n'
    )
    credentials = write_credentials(tmp_path / "credentials.json")

    with pytest.raises(ConfigurationError, match="nothing of --credentials") as caught:
        load_settings({}, {}, settings_file=file, credentials_file=credentials)
    assert "secret-of-file" not in str(caught.value)


def test_a_settings_file_that_others_can_read_is_refused(alone: Command) -> None:
    folder = alone.folder / "config" / "pesalango"
    folder.mkdir(parents=True)
    path = write_settings(folder, 'api_key = "secret-of-file"\n', mode=0o640)

    text = alone.fail("session", status=2)

    assert "(mode 0640)" in text
    assert f"chmod 600 {path}" in text
    path.chmod(0o600)
    text = alone.fail("session", status=2)
    assert "there is no" in text
    assert "secret-of-file" not in text


def test_what_a_settings_file_cannot_say_is_refused_without_its_value(tmp_path: Path) -> None:
    def fail(text: str) -> str:
        file = write_settings(tmp_path, text)
        with pytest.raises(ConfigurationError) as caught:
            load_settings({}, {}, settings_file=file, credentials_file=None)
        assert "secret-of-file" not in str(caught.value)
        return str(caught.value)

    unknown = fail('api_kee = "secret-of-file"')
    assert "is api_key meant?" in unknown
    assert all(name in unknown for name in SETTINGS)
    assert "is no TOML" in fail('api_key = "secret-of-file')
    assert "takes text" in fail("base_url = 5\n")
    assert "say the same thing" in fail('api_key = "secret-of-file"\napi_key_file = "f"\n')


# --- around it -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_has_the_exit_statuses(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"])

    assert shown.exit_code == 0
    assert "Exit status: 0 done; 1 no money moved" in shown.output
    assert "--service-provider-code" in shown.output
    assert "--api-key " not in shown.output


def test_version_and_completion_are_printed(alone: Command) -> None:
    assert alone.run("--version").stdout == f"pesalango {__version__}\n"
    script = alone.run(
        "--show-completion",
        "bash",
        environment={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )
    assert "complete -o default -F _pesalango_completion pesalango" in script.stdout
    completed = alone.run(
        environment={
            "_PESALANGO_COMPLETE": "complete_bash",
            "COMP_WORDS": "pesalango re",
            "COMP_CWORD": "1",
        }
    )
    assert completed.stdout.split() == ["reverse", "recover"]


def test_without_its_extra_the_command_says_what_to_install(alone: Command) -> None:
    program = "import sys; sys.modules['typer'] = None; from pesalango.cli import main; main()"

    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env=alone.make_environment(),
    )

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "pesalango: the command needs the extra: pip install 'pesalango[cli]'\n"
    )


def test_a_result_that_nobody_can_read_changes_no_status(cli: Command, server: Server) -> None:
    amount = make_amount()

    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            cli.make_arguments(*c2b(amount)),
            cwd=cli.folder,
            env=cli.make_environment(),
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    assert ended.returncode == 0
    assert ended.stderr.endswith("the result could not be written to standard output\n")
    assert count_movements(server)[to_minor(amount)] == 1
