"""The command line against a running server, and where there is none: what it prints and exits."""

import json
import os
import re
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pesalango_server.applications.platform_keys import encode_public_key, make_platform_key
from pesalango_server.gateway.operations import ROUTED
from tests.e2e.merchant import Merchant
from tests.e2e.server import Server, find_command, keep_port_silent, make_environment, run_command

MARKET = ("--market", "vodacomTZN")
TIMEOUT_S = 60.0

_numbers = count(1)

Ended = subprocess.CompletedProcess[str]


def make_msisdn() -> str:
    """A number that no other test has."""
    return f"2557200{next(_numbers):05d}"


def make_code() -> str:
    """An organisation's code that no other test has."""
    return f"CLI{next(_numbers):05d}"


class CommandLine:
    """`pesalango-server …` for the data directory of a running server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.data_dir = server.data_dir

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Ended:
        """To its end, with the credentials of the data directory."""
        return run_command(
            *arguments, "--data-dir", str(self.data_dir), environment=environment or {}
        )

    def say(self, *arguments: str) -> str:
        """What it prints; it must succeed, and have nothing to complain about."""
        ended = self.run(*arguments)
        assert (ended.returncode, ended.stderr) == (0, ""), ended
        return ended.stdout

    def read(self, *arguments: str) -> Any:
        """What it prints with `--json`."""
        return json.loads(self.say(*arguments, "--json"))

    def fail(self, *arguments: str) -> str:
        """The one sentence with which it fails."""
        return read_failure(self.run(*arguments))


def read_failure(ended: Ended, *, status: int = 1) -> str:
    """The one sentence on standard error; nothing else may have been printed."""
    assert (ended.returncode, ended.stdout) == (status, ""), ended
    (line,) = ended.stderr.splitlines()
    assert line.startswith("pesalango-server: ")
    return line.removeprefix("pesalango-server: ")


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """For a running server with a world of its own."""
    data_dir = tmp_path_factory.mktemp("command-line") / "var"
    with Server(data_dir, settings={"PESALANGO_PLATFORM_KEY_BITS": "2048"}) as server:
        server.start()
        yield CommandLine(server)


def add_customer(cli: CommandLine, *further: str) -> str:
    msisdn = make_msisdn()
    names = ("--first-name", "Asha", "--last-name", "Mosi")
    said = cli.say("customers", "add", *MARKET, "--msisdn", msisdn, *names, *further)
    assert said == "1 added, 0 were there already.\n"
    return msisdn


def find_customer(cli: CommandLine, msisdn: str) -> dict[str, Any]:
    after = str(int(msisdn) - 1)
    page = cli.read("customers", "list", *MARKET, "--after", after, "--limit", "1")
    (customer,) = page["customers"]
    assert customer["msisdn"] == msisdn
    found: dict[str, Any] = customer
    return found


def assert_loads_nothing_of(packages: set[str], code: str) -> None:
    """Run a program of its own, which must not have loaded one of them when it is over."""
    tell = f"import sys\nsys.stderr.write(' '.join({packages!r} & set(sys.modules)))\n"
    ended = subprocess.run(
        [sys.executable, "-c", code + tell],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


# --- the program itself --------------------------------------------------------------------------


def test_help_lists_every_command_and_imports_none_of_them() -> None:
    ended = run_command("--help")

    assert ended.returncode == 0
    for command in ("up", "serve", "migrate", "customers", "applications", "token", "health"):
        assert re.search(rf"^  {command} ", ended.stdout, re.MULTILINE), command
    code = (
        "import sys; sys.argv = ['pesalango-server', '--help']\n"
        "import pesalango_server.cli as cli\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
    )
    heavy = {"httpx2", "starlette", "uvicorn", "apsw", "cryptography", "msgspec"}
    assert_loads_nothing_of(heavy, code)


def test_what_a_server_is_made_of_loads_nothing_for_terminals() -> None:
    """To load rich takes a third as long as all other packages of a process."""
    code = (
        "import pesalango_server.cli.serve, pesalango_server.cli.up\n"
        "import pesalango_server.main.serve, pesalango_server.main.up\n"
        "import pesalango_server.main.worker, structlog\n"
    )
    assert_loads_nothing_of({"rich"}, code)


@pytest.mark.parametrize(
    "group", ["customers", "organisations", "applications", "platform-keys", "token", "health"]
)
def test_every_group_explains_itself(group: str) -> None:
    ended = run_command(group, "--help")

    assert ended.returncode == 0
    assert f"pesalango-server {group}" in ended.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("custmers",),
        ("customers", "steal"),
        ("customers", "list", "--colour"),
        ("customers", "status", "255700000001"),
        ("customers", "list", "--limit", "0"),
        ("applications", "create"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_hint(arguments: tuple[str, ...]) -> None:
    ended = run_command(*arguments)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--help" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_api_document_has_what_is_served_or_all_thirteen() -> None:
    documents = [
        json.loads(run_command("api-document", *flags).stdout) for flags in ((), ("--all",))
    ]
    served, everything = [
        {call["operationId"] for path in document["paths"].values() for call in path.values()}
        for document in documents
    ]
    assert served == set(ROUTED)
    assert served < everything
    assert len(everything) == 13


def test_the_version_is_told() -> None:
    assert re.fullmatch(r"pesalango-server \d+\.\d+\.\d+\n", run_command("--version").stdout)


# --- customers -----------------------------------------------------------------------------------


def test_a_customer_is_added_listed_and_changed(cli: CommandLine) -> None:
    msisdn = add_customer(cli, "--balance", "10")

    assert cli.say("customers", "status", *MARKET, msisdn, "locked") == f"{msisdn} is locked.\n"
    said = cli.say("customers", "script", *MARKET, msisdn, "decline", "--delay-ms", "50")
    assert said == f"{msisdn} answers decline after 50 ms.\n"

    assert find_customer(cli, msisdn) == {
        "msisdn": msisdn,
        "first_name": "Asha",
        "last_name": "Mosi",
        "status": "locked",
        "balance": "10.00",
        "script": {"answer": "decline", "delay_ms": 50},
    }
    assert cli.say("customers", "script", *MARKET, msisdn, "none") == f"{msisdn} has no script.\n"


def test_a_table_shows_a_customer_in_one_line(cli: CommandLine) -> None:
    msisdn = add_customer(cli, "--balance", "10")

    table = cli.say("customers", "list", *MARKET, "--after", str(int(msisdn) - 1), "--limit", "1")

    header, line, *rest = table.splitlines()
    assert header.split() == [
        *("MSISDN", "First", "name", "Last", "name", "Status", "Balance", "Script"),
    ]
    assert line.split() == [msisdn, "Asha", "Mosi", "active", "10.00"]
    assert rest in ([], [f"There are more: --after {msisdn}"])


def test_a_funding_is_repeated_by_its_reference_alone(cli: CommandLine) -> None:
    msisdn = add_customer(cli)

    first = cli.say("customers", "fund", *MARKET, msisdn, "5.50")
    match = re.fullmatch(rf"{msisdn} has 5\.50 now \(reference (cli-[0-9a-f]{{16}})\)\.\n", first)
    assert match, first

    again = cli.say("customers", "fund", *MARKET, msisdn, "5.50", "--reference", match[1])
    assert again == f"{msisdn} had been funded by {match[1]} already; the balance is 5.50.\n"


def test_a_list_is_read_from_csv_as_a_spreadsheet_writes_it(
    cli: CommandLine, tmp_path: Path
) -> None:
    first, second = make_msisdn(), make_msisdn()
    file = tmp_path / "list.csv"
    file.write_text(
        "\ufeffmsisdn,first_name,last_name,balance,status\r\n"
        f'{first},"Asha, the first",Mosi,1.50,\r\n'
        f"{second},Neema,Mushi,,locked\r\n",
        encoding="utf-8",
    )

    assert cli.read("customers", "add", *MARKET, "--file", str(file)) == {"added": 2, "present": 0}
    said = cli.say("customers", "add", *MARKET, "--file", str(file))

    assert said == "0 added, 2 were there already.\n"
    customer = find_customer(cli, first)
    assert (customer["first_name"], customer["balance"]) == ("Asha, the first", "1.50")
    assert find_customer(cli, second)["status"] == "locked"


@pytest.mark.parametrize("is_object", [False, True])
def test_a_list_is_read_from_json(cli: CommandLine, tmp_path: Path, is_object: bool) -> None:
    listed = [{"msisdn": make_msisdn(), "first_name": "A", "last_name": "B"} for _ in range(2)]
    file = tmp_path / "list.json"
    file.write_text(json.dumps({"customers": listed} if is_object else listed), encoding="utf-8")

    assert cli.read("customers", "add", *MARKET, "--file", str(file)) == {"added": 2, "present": 0}


def test_a_list_longer_than_a_call_takes_goes_in_several(cli: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "many.csv"
    rows = [f"25573{number:07d},A,B\n" for number in range(10_001)]
    file.write_text("msisdn,first_name,last_name\n" + "".join(rows), encoding="utf-8")

    said = cli.say("customers", "add", *MARKET, "--file", str(file))

    assert said == "10001 added, 0 were there already.\n"


def test_a_list_of_fundings_is_read(cli: CommandLine, tmp_path: Path) -> None:
    msisdn = add_customer(cli)
    file = tmp_path / "fundings.csv"
    file.write_text(f"msisdn,amount,reference\n{msisdn},2.25,{msisdn}-1\n", encoding="utf-8")

    said = cli.say("customers", "fund", *MARKET, "--file", str(file))
    assert said == "1 funded, 0 had been funded already.\n"
    said = cli.say("customers", "fund", *MARKET, "--file", str(file))
    assert said == "0 funded, 1 had been funded already.\n"
    assert find_customer(cli, msisdn)["balance"] == "2.25"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "msisdn,first_name\n255700000001,A\n", "a.csv, line 2: last_name is missing"),
        ("a.csv", "msisdn\n1,2\n", "a.csv, line 2: its cells are not as many as the column names"),
        ("a.csv", "msisdn,nick\n1,x\n", "a.csv, line 2: there is no field nick here"),
        ("a.csv", 'msisdn\n"1\n', "a.csv is no CSV: "),
        ("a.json", '[{"msisdn": 1}]', "a.json: expected text, got a whole number ([0].msisdn)"),
        ("a.json", "[", "a.json: the body is no JSON document: "),
        ("a.json", '{"people": []}', "a.json has no list named customers"),
        ("a.txt", "", "a.txt is neither .csv nor .json"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_place(
    cli: CommandLine, tmp_path: Path, name: str, content: str, expected: str
) -> None:
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")

    failure = cli.fail("customers", "add", *MARKET, "--file", str(file))

    assert failure.startswith(str(tmp_path / expected))


def test_what_the_server_refuses_is_one_sentence_with_the_field(cli: CommandLine) -> None:
    names = ("--first-name", "Asha", "--last-name", "Mosi")

    failure = cli.fail("customers", "add", *MARKET, "--msisdn", "0712", *names)
    assert failure.startswith("msisdn is 12 to 14 digits in vodacomTZN")
    assert failure.endswith("(customers[0].msisdn)")

    failure = cli.fail("customers", "status", "--market", "Narnia", "255700000000", "active")
    assert failure.startswith("a market is one of vodafoneGHA, vodacomTZN")


def test_a_market_that_is_missing_is_asked_for_by_its_flag(cli: CommandLine) -> None:
    for arguments in (
        ("customers", "list"),
        ("customers", "fund", "255700000000", "1"),
        ("organisations", "list"),
        ("organisations", "suspend", "ORG001"),
    ):
        failure = cli.fail(*arguments)
        assert failure == "say which market is meant, such as --market vodacomTZN"


@pytest.fixture
def broken_server() -> Iterator[dict[str, str]]:
    """The environment of a command whose server takes one call, and ends without an answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT_S)

        def take_one_call() -> None:
            wire, _ = listener.accept()
            with wire:
                wire.recv(65_536)

        taking = threading.Thread(target=take_one_call)
        taking.start()
        yield {
            "PESALANGO_ADMIN_URL": f"http://127.0.0.1:{listener.getsockname()[1]}",
            "PESALANGO_ADMIN_TOKEN": "t",
        }
        taking.join(TIMEOUT_S)


@pytest.mark.parametrize("group", ["customers", "organisations"])
@pytest.mark.parametrize("reference", [None, "June, all"])
def test_a_funding_that_breaks_off_says_how_it_is_repeated(
    broken_server: dict[str, str], group: str, reference: str | None
) -> None:
    given = ("--reference", reference) if reference else ()

    ended = run_command(
        *(group, "fund", *MARKET, "255700000001", "5", *given), environment=broken_server
    )

    failure = read_failure(ended)
    assert "whether it took effect is not known" in failure
    wanted = "'June, all'" if reference else "cli-[0-9a-f]{16}"
    assert re.search(rf"; repeat it with --reference {wanted}$", failure), failure


def test_a_list_of_fundings_that_breaks_off_may_be_sent_again(
    broken_server: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "fundings.csv"
    file.write_text("msisdn,amount,reference\n255700000001,2.25,r1\n", encoding="utf-8")

    ended = run_command(
        "customers", "fund", *MARKET, "--file", str(file), environment=broken_server
    )

    assert "repeat it with the same file" in read_failure(ended)


# --- organisations -------------------------------------------------------------------------------


def test_an_organisation_is_added_and_changed(cli: CommandLine) -> None:
    code = make_code()
    name = ("--name", "Corner Shop", "--product", "c2b", "--product", "b2c")

    said = cli.say("organisations", "add", *MARKET, "--code", code, *name, "--balance", "7")
    assert said == "1 added, 0 were there already.\n"
    said = cli.say("organisations", "suspend", *MARKET, code)
    assert said == f"{code} is suspended.\n"
    said = cli.say("organisations", "products", *MARKET, code, "c2b", "b2b")
    assert said == f"{code} has b2b c2b.\n"
    said = cli.say("organisations", "fund", *MARKET, code, "3", "--reference", code)
    assert said == f"{code} has 10.00 now (reference {code}).\n"

    listed = cli.read("organisations", "list", *MARKET)["organisations"]
    (organisation,) = [each for each in listed if each["code"] == code]
    assert organisation == {
        "code": code,
        "name": "Corner Shop",
        "status": "suspended",
        "products": ["b2b", "c2b"],
        "balance": "10.00",
    }
    assert cli.say("organisations", "resume", *MARKET, code) == f"{code} is active.\n"
    assert cli.say("organisations", "products", *MARKET, code) == f"{code} has none.\n"


def test_organisations_are_read_from_a_file_with_their_products(
    cli: CommandLine, tmp_path: Path
) -> None:
    first, second = make_code(), make_code()
    file = tmp_path / "shops.csv"
    file.write_text(f"code,name,products\n{first},One,c2b b2c\n{second},Two,\n", encoding="utf-8")

    cli.say("organisations", "add", *MARKET, "--file", str(file))

    listed = cli.read("organisations", "list", *MARKET)["organisations"]
    products = {each["code"]: each["products"] for each in listed}
    assert products[first] == ["b2c", "c2b"]
    assert len(products[second]) == 10


def test_a_table_of_organisations_is_not_cut_off_in_a_pipe(cli: CommandLine) -> None:
    table = cli.say("organisations", "list", *MARKET)

    (line,) = [line for line in table.splitlines() if line.startswith("000000")]
    assert line.endswith("status_query")


# --- applications --------------------------------------------------------------------------------


def test_an_application_is_made_changed_suspended_and_given_another_key(cli: CommandLine) -> None:
    name = f"shop {next(_numbers)}"
    organisations = ("--organisation", "ORG001", "--organisation", "ORG002")
    made = cli.read("applications", "create", "--name", name, *organisations)
    number = str(made["application"]["id"])
    assert made["application"]["organisations"] == ["ORG001", "ORG002"]

    changes = (
        *("--origin", "shop.example", "--clear", "organisations"),
        *("--session-life-s", "120", "--activation-delay-ms", "250"),
    )
    changed = cli.read("applications", "update", name, *changes, "--promote", "openapi")
    assert changed["origins"] == ["shop.example"]
    assert changed["organisations"] == []
    assert (changed["session_life_s"], changed["activation_delay_ms"]) == (120, 250)
    assert changed["promoted"] == {"openapi": True, "sandbox": True}
    withdrawn = cli.read("applications", "update", number, "--withdraw", "openapi")
    assert withdrawn["promoted"] == {"openapi": False, "sandbox": True}

    assert cli.say("applications", "suspend", name) == f"{name} is suspended.\n"
    assert cli.say("applications", "resume", number) == f"{name} is active.\n"

    rotated = cli.read("applications", "rotate-key", name, "--overlap-s", "60")
    assert rotated["application"]["name"] == name
    assert rotated["api_key"] != made["api_key"]
    listed = cli.read("applications", "list")["applications"]
    assert number in [str(each["id"]) for each in listed]


def test_a_new_key_is_shown_once_and_told_to_be_kept(cli: CommandLine) -> None:
    name = f"shop {next(_numbers)}"

    said = cli.say("applications", "create", "--name", name)

    (key,) = re.findall(r"^API key        ([0-9a-z]{32})$", said, re.MULTILINE)
    assert "shown this once" in said
    assert key not in cli.say("applications", "list")
    assert key not in cli.say("applications", "list", "--json")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("update", "nobody", "--product", "c2b"), "there is no application named nobody"),
        (("update", "999999", "--product", "c2b"), "there is no application 999999"),
        (("update", "first-application"), "nothing to change"),
        (("update", "first-application", "--clear", "worlds"), "--clear takes products, origins"),
        (
            ("update", "first-application", "--market", "TZN", "--clear", "markets"),
            "markets cannot be given and cleared at once",
        ),
        (("create", "--name", "first-application"), "there is an application named first-appl"),
        (("create", "--name", "x", "--promote", "moon"), "environment is one of sandbox, openapi"),
    ],
)
def test_what_cannot_be_done_to_an_application_is_one_sentence(
    cli: CommandLine, arguments: tuple[str, ...], expected: str
) -> None:
    assert cli.fail("applications", *arguments).startswith(expected)


def read_keys(cli: CommandLine) -> dict[str, str]:
    """The API keys of the data directory's credentials, which must be the owner's alone."""
    path = cli.data_dir / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = json.loads(path.read_text(encoding="utf-8"))
    return {name: content[name]["api_key"] for name in ("sandbox", "openapi")}


def test_a_rotated_key_of_the_credentials_is_written_into_them(cli: CommandLine) -> None:
    before = cli.server.credentials

    said = cli.say("applications", "rotate-key", "first-application")

    (key,) = re.findall(r"^API key        ([0-9a-z]{32})$", said, re.MULTILINE)
    assert said.splitlines()[-1] == f"It is in {cli.data_dir / 'credentials.json'} too."
    assert read_keys(cli) == {"sandbox": key, "openapi": key}
    after = cli.server.credentials
    assert after.admin_token == before.admin_token
    assert after.sandbox.public_key == before.sandbox.public_key
    Merchant(after).close()

    rotated = cli.read("applications", "rotate-key", "first-application", "--overlap-s", "60")
    assert read_keys(cli)["sandbox"] == rotated["api_key"]


def test_a_key_that_another_address_rotated_is_not_written_into_the_credentials(
    cli: CommandLine, tmp_path: Path
) -> None:
    # The same server, named as any other would be.
    before = cli.server.credentials
    token = tmp_path / "token"
    token.write_text(before.admin_token, encoding="utf-8")
    there = ("--url", before.admin_url, "--token-file", str(token))

    said = cli.say("applications", "rotate-key", "first-application", "--overlap-s", "60", *there)

    assert "credentials.json" not in said
    assert read_keys(cli)["sandbox"] == before.sandbox.api_key


def test_another_applications_key_is_not_written_into_the_credentials(cli: CommandLine) -> None:
    before = read_keys(cli)
    name = f"shop {next(_numbers)}"
    cli.say("applications", "create", "--name", name)

    said = cli.say("applications", "rotate-key", name)

    assert "credentials.json" not in said
    assert read_keys(cli) == before


# --- platform keys -------------------------------------------------------------------------------


def test_the_public_keys_are_shown_for_people_and_for_programs(cli: CommandLine) -> None:
    credentials = cli.server.credentials
    sandbox, openapi = credentials.sandbox.public_key, credentials.openapi.public_key

    assert cli.say("platform-keys", "show") == f"sandbox   {sandbox}\nopenapi   {openapi}\n"
    assert cli.read("platform-keys", "show") == {"sandbox": sandbox, "openapi": openapi}
    assert cli.say("platform-keys", "show", "--environment", "sandbox") == f"{sandbox}\n"
    failure = cli.fail("platform-keys", "show", "--environment", "moon")
    assert failure == "environment is one of sandbox, openapi"


def test_a_key_of_ones_own_is_imported_with_a_warning(cli: CommandLine, tmp_path: Path) -> None:
    private_key = make_platform_key(2_048)
    public_key = encode_public_key(private_key)
    file = tmp_path / "key.pem"
    file.write_text(private_key, encoding="utf-8")

    said = cli.say("platform-keys", "import", "--environment", "openapi", "--file", str(file))

    assert said.startswith(f"openapi has this public key now: {public_key}\n")
    assert "Bearers made with the old one stop working" in said
    assert "PRIVATE" not in said
    assert cli.read("platform-keys", "show")["openapi"] == public_key
    assert cli.server.credentials.openapi.public_key == public_key
    assert read_keys(cli)["openapi"] == read_keys(cli)["sandbox"]


@pytest.mark.parametrize(
    ("environment", "content", "expected"),
    [
        ("openapi", b"nonsense", "this is no private key in PEM (private_key)"),
        ("openapi", b"\xff", "{file} is no PEM"),
        ("openapi", None, "{file} cannot be read: No such file or directory"),
        ("moon", b"", "an environment is sandbox or openapi (environment)"),
    ],
)
def test_a_key_that_cannot_be_imported_is_one_sentence(
    cli: CommandLine, tmp_path: Path, environment: str, content: bytes | None, expected: str
) -> None:
    file = tmp_path / "key.pem"
    if content is not None:
        file.write_bytes(content)

    failure = cli.fail("platform-keys", "import", "--environment", environment, "--file", str(file))

    assert failure == expected.format(file=file)


# --- token and health ----------------------------------------------------------------------------


def test_a_token_is_made_and_works_from_a_file_a_pipe_and_the_environment(
    cli: CommandLine, tmp_path: Path
) -> None:
    token = cli.say("token", "create", "--name", "ci").strip()
    assert len(token) == 43
    assert cli.fail("token", "create", "--name", "ci").startswith("there is a token named ci")
    file = tmp_path / "token"
    file.write_text(f"{token}\n", encoding="utf-8")
    url = cli.server.credentials.base_url

    for flags, environment, standard_input in (
        (("--url", url, "--token-file", str(file)), {}, ""),
        (("--url", f"{url}/admin/v1/", "--token-file", "-"), {}, f"{token}\n"),
        ((), {"PESALANGO_ADMIN_URL": url, "PESALANGO_ADMIN_TOKEN": token}, ""),
    ):
        ended = subprocess.run(
            [find_command(), "health", *flags],
            input=standard_input,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            cwd=tmp_path,
            env=make_environment(environment),
        )
        assert (ended.returncode, ended.stderr) == (0, ""), ended
        assert ended.stdout.startswith("ready: pesalango-server ")

    replaced = cli.say("token", "create", "--name", "ci", "--replace").strip()
    assert replaced != token


def test_an_address_without_a_token_is_not_given_the_one_of_the_data_directory(
    cli: CommandLine,
) -> None:
    failure = cli.fail("health", "--url", "http://127.0.0.1:9/admin/v1")

    assert failure.startswith("there is no token for http://127.0.0.1:9/admin/v1")


def test_health_is_told_in_a_table_and_in_json(cli: CommandLine) -> None:
    said = cli.say("health")
    assert re.search(r"^sandbox +yes +0 +environment/", said, re.MULTILINE)

    assert cli.read("health")["is_ready"] is True
    assert cli.say("health", "confirm-clock") == "Told platform, sandbox, openapi.\n"


def test_a_wrong_token_is_one_sentence_and_is_not_repeated(
    cli: CommandLine, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("made-up-token", encoding="utf-8")

    failure = cli.fail("health", "--token-file", str(file))

    assert failure.startswith("this token does not administrate here")
    assert "made-up-token" not in failure


# --- where there is no server --------------------------------------------------------------------


def test_a_data_directory_without_credentials_is_named(tmp_path: Path) -> None:
    failure = read_failure(run_command("customers", "list", "--data-dir", str(tmp_path / "none")))

    assert failure.startswith(f"there is no {tmp_path / 'none' / 'credentials.json'}")
    assert "pesalango-server up" in failure


def test_credentials_that_are_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text("[]", encoding="utf-8")

    failure = read_failure(run_command("health", "--data-dir", str(tmp_path)))

    assert "credentials.json is no file of credentials" in failure


def test_a_server_that_is_not_there_is_named() -> None:
    with keep_port_silent() as port:
        url = f"http://127.0.0.1:{port}"
        environment = {"PESALANGO_ADMIN_URL": url, "PESALANGO_ADMIN_TOKEN": "t"}

        failure = read_failure(run_command("health", environment=environment))

    assert failure.startswith(f"no server answers at {url}/admin/v1")


@pytest.mark.parametrize(
    "url", ["nonsense", "localhost:8080", "ftp://127.0.0.1", "http://", "http://[::1", "http://a:b"]
)
def test_an_address_that_is_none_is_named(url: str) -> None:
    environment = {"PESALANGO_ADMIN_TOKEN": "t"}

    failure = read_failure(run_command("health", "--url", url, environment=environment))

    assert failure == (
        f"{url} is no address of an admin API: it begins with http:// or https://, such as "
        "http://127.0.0.1:8080; nothing was sent"
    )


@pytest.mark.parametrize("token", ["gehört-mir", "two words", "two\nlines", "\udcff"])
def test_a_token_that_cannot_be_one_is_refused_and_not_repeated(token: str) -> None:
    environment = {"PESALANGO_ADMIN_URL": "http://127.0.0.1:9", "PESALANGO_ADMIN_TOKEN": token}

    failure = read_failure(run_command("health", environment=environment))

    assert failure.startswith("the token for http://127.0.0.1:9 cannot be one")
    assert token not in failure


def test_a_slash_too_many_in_the_address_is_no_matter(cli: CommandLine) -> None:
    credentials = cli.server.credentials
    environment = {"PESALANGO_ADMIN_TOKEN": credentials.admin_token}

    for url in (f"{credentials.base_url}/", f"{credentials.admin_url}/"):
        assert run_command("health", "--url", url, environment=environment).returncode == 0


def test_another_kind_of_server_is_told_apart(cli: CommandLine) -> None:
    environment = {
        "PESALANGO_ADMIN_URL": f"{cli.server.credentials.base_url}/health/live",
        "PESALANGO_ADMIN_TOKEN": "t",
    }

    failure = read_failure(run_command("health", environment=environment))

    assert "is no admin API" in failure


def test_a_setting_that_cannot_be_used_is_named() -> None:
    ended = run_command("health", environment={"PESALANGO_PORT": "many"})

    assert read_failure(ended).startswith("PESALANGO_PORT cannot be used")


def test_a_token_file_that_is_not_there_is_named(cli: CommandLine, tmp_path: Path) -> None:
    failure = cli.fail("health", "--token-file", str(tmp_path / "none"))

    assert failure.startswith(f"the token file {tmp_path / 'none'} cannot be read")


# --- the first token -----------------------------------------------------------------------------


def test_the_first_token_is_made_where_no_server_holds_the_database(tmp_path: Path) -> None:
    data_dir = tmp_path / "var"
    environment = {"PESALANGO_PLATFORM_KEY_BITS": "2048"}
    run_command("migrate", "--data-dir", str(data_dir), environment=environment)

    def create(*further: str) -> Ended:
        return run_command(
            *("token", "create", "--name", "first", "--data-dir", str(data_dir), *further),
            environment=environment,
        )

    made = create()
    assert (made.returncode, made.stderr) == (0, "")
    assert len(made.stdout.strip()) == 43
    assert read_failure(create()).startswith("there is a token named first")
    assert create("--replace", "--database", "sqlite").returncode == 0


def test_a_database_that_a_server_holds_is_left_to_it(cli: CommandLine) -> None:
    failure = cli.fail("token", "create", "--name", "another", "--database", "sqlite")

    assert f"is in use by process {cli.server.find_engine().pid}" in failure


def test_a_password_on_the_command_line_is_refused(tmp_path: Path) -> None:
    url = "postgresql://ann:pepper@127.0.0.1/name"

    ended = run_command(
        *("token", "create", "--name", "x", "--database", url, "--data-dir", str(tmp_path))
    )

    failure = read_failure(ended)
    assert "PESALANGO_DATABASE_PASSWORD" in failure
    assert "pepper" not in failure


def test_the_help_page_may_be_read_through_a_pipe_that_closes_early() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as closed:
        ended = subprocess.run(
            [find_command(), "--help"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    assert "Traceback" not in ended.stderr
