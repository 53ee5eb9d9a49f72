"""The first minutes: a command in an empty directory, and a payment by a few lines of plain Python.

Nothing of these tests' own clients is used for the first payment: it is made as the README says.
"""

import base64
import contextlib
import json
import re
import socket
import sqlite3
import stat
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import load_der_public_key

from pesalango_server.applications.platform_keys import encode_public_key, make_platform_key
from tests.e2e.merchant import Admin, Merchant
from tests.e2e.server import Server, ServerEnded, keep_port_silent, run_command, wait_until

MARKETS = {"vodafoneGHA", "vodacomTZN", "vodacomLES", "vodacomDRC", "vodacomMOZ"}
SMALL_KEYS = {"PESALANGO_PLATFORM_KEY_BITS": "2048"}
"""For what is not about keys: making them of the default size is half of a first start."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With every setting at its default."""
    with Server(tmp_path_factory.mktemp("first-run") / "var") as server:
        server.start()
        yield server


def call_plainly(request: urllib.request.Request) -> tuple[int, dict[str, str]]:
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def read_plainly(server: Server) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        (server.data_dir / "credentials.json").read_text(encoding="utf-8")
    )
    return content


def encrypt_plainly(secret: str, public_key: str) -> str:
    key: Any = load_der_public_key(base64.b64decode(public_key))
    return base64.b64encode(key.encrypt(secret.encode(), PKCS1v15())).decode()


def pay_plainly(server: Server, environment: str, msisdn: str) -> tuple[int, dict[str, str]]:
    """Session and payment; the reference that was sent has to come back."""
    credentials = read_plainly(server)
    place = credentials[environment]
    root = f"{credentials['base_url']}/{environment}/ipg/v2/vodacomTZN"
    bearer = encrypt_plainly(place["api_key"], place["public_key"])
    headers = {"Authorization": f"Bearer {bearer}", "Origin": "*"}
    status, session = call_plainly(urllib.request.Request(f"{root}/getSession/", headers=headers))
    assert status == 200
    assert session["output_ResponseCode"] == "INS-0"

    bearer = encrypt_plainly(session["output_SessionID"], place["public_key"])
    payment = {
        "input_Amount": "10",
        "input_CustomerMSISDN": msisdn,
        "input_Country": "TZN",
        "input_Currency": "TZS",
        "input_ServiceProviderCode": place["service_provider_code"],
        "input_TransactionReference": "T1234C",
        "input_ThirdPartyConversationID": uuid.uuid4().hex,
        "input_PurchasedItemsDesc": "Shoes",
    }
    status, answer = call_plainly(
        urllib.request.Request(
            f"{root}/c2bPayment/singleStage/",
            data=json.dumps(payment).encode(),
            headers={
                "Authorization": f"Bearer {bearer}",
                "Origin": "*",
                "Content-Type": "application/json",
            },
            method="POST",
        )
    )
    assert answer["output_ThirdPartyConversationID"] == payment["input_ThirdPartyConversationID"]
    return status, answer


def test_a_payment_takes_a_few_lines_of_plain_python(server: Server) -> None:
    status, answer = pay_plainly(server, "sandbox", "255744553111")

    assert (status, answer["output_ResponseCode"]) == (201, "INS-0")
    assert re.fullmatch(r"[0-9A-Za-z]{12}", answer["output_TransactionID"])
    assert re.fullmatch(r"[0-9a-f]{32}", answer["output_ConversationID"])


def test_the_demonstration_of_openapi_answers_the_same_lines(server: Server) -> None:
    # A refusal there is told in the same words as in the sandbox.
    status, answer = pay_plainly(server, "openapi", "255799999999")

    assert (status, answer["output_ResponseCode"]) == (400, "INS-2051")
    assert answer["output_TransactionID"] == "N/A"


def test_credentials_have_all_keys_and_are_for_the_owner_alone(server: Server) -> None:
    path = server.data_dir / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    credentials = read_plainly(server)
    assert set(credentials) == {"base_url", "admin_url", "admin_token", "sandbox", "openapi"}
    assert credentials["base_url"] == f"http://127.0.0.1:{server.port}"
    for environment in ("sandbox", "openapi"):
        place = credentials[environment]
        assert set(place) == {"public_key", "api_key", "service_provider_code", "markets"}
        assert set(place["markets"]) == MARKETS
        assert re.fullmatch(r"[0-9a-z]{32}", place["api_key"])
        key: Any = load_der_public_key(base64.b64decode(place["public_key"], validate=True))
        assert key.key_size == 4096


def test_the_terminal_shows_the_self_check_and_what_to_do_next(server: Server) -> None:
    credentials = read_plainly(server)
    wait_until(
        lambda: credentials["sandbox"]["api_key"] in server.read_log(),
        timeout_s=10,
        what="the self-check's report",
    )
    told = server.read_log()
    assert str(credentials["base_url"]) in told
    assert re.search(r"self-check.*\b[0-9A-Za-z]{12}\b.*Completed", told, re.IGNORECASE)
    assert str(credentials["admin_token"]) not in told


def test_nothing_in_the_data_directory_is_open_to_others(server: Server) -> None:
    assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700
    for path in server.data_dir.rglob("*.db"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_no_command_line_shows_a_secret(server: Server) -> None:
    credentials = read_plainly(server)
    secrets = [
        str(credentials["admin_token"]),
        credentials["sandbox"]["api_key"],
        credentials["openapi"]["api_key"],
    ]
    for process in server.find_family():
        shown = " ".join(process.cmdline())
        assert not any(secret in shown for secret in secrets)


def assert_one_sentence(text: str) -> None:
    """Something to read, and no traceback."""
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 1, text
    assert "Traceback" not in text


def test_a_second_server_on_the_same_directory_is_told_who_holds_it(server: Server) -> None:
    before = (server.data_dir / "credentials.json").read_bytes()

    refused = run_command("up", "--data-dir", str(server.data_dir), "--port", "0")

    assert refused.returncode != 0
    told = refused.stdout + refused.stderr
    assert_one_sentence(told)
    assert str(server.find_engine().pid) in told
    assert "stop that server" in told
    assert (server.data_dir / "credentials.json").read_bytes() == before
    assert server.is_ready()


def test_a_port_in_use_is_one_clear_sentence_and_leaves_nothing(
    server: Server, tmp_path: Path
) -> None:
    refused = run_command("up", "--data-dir", str(tmp_path / "var"), "--port", str(server.port))

    assert refused.returncode != 0
    told = refused.stdout + refused.stderr
    assert_one_sentence(told)
    assert str(server.port) in told
    assert "choose another port" in told
    assert not (tmp_path / "var" / "credentials.json").exists()
    assert server.is_ready()


def test_a_schema_of_a_newer_program_is_one_clear_sentence(tmp_path: Path) -> None:
    data_dir = tmp_path / "var"
    with Server(data_dir, settings=SMALL_KEYS) as server:
        server.start()
        server.stop()
    with contextlib.closing(sqlite3.connect(data_dir / "sandbox.db")) as database:
        database.execute("INSERT INTO schema_migrations VALUES ('environment/9999_x', '', 99)")
        database.commit()

    for command in (("up", "--port", "0"), ("serve", "--listen", "127.0.0.1:0")):
        refused = run_command(
            *command,
            *("--data-dir", str(data_dir)),
            environment={"PESALANGO_ADMIN_LISTEN": "127.0.0.1:0"},
        )
        assert refused.returncode == 1
        assert_one_sentence(refused.stdout + refused.stderr)
        assert "newer pesalango-server" in refused.stderr


def test_who_can_connect_finds_the_credentials(tmp_path: Path) -> None:
    with Server(tmp_path / "var", settings=SMALL_KEYS) as server:
        server.launch(0)

        wait_until(lambda: bool(server.find_ports()), timeout_s=30, what="an open port")
        (port,) = server.find_ports()
        socket.create_connection(("127.0.0.1", port)).close()
        assert read_plainly(server)["base_url"] == f"http://127.0.0.1:{port}"
        server.port = port
        server.wait_until_ready()


def test_a_data_directory_that_cannot_be_made_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")

    refused = run_command("up", "--data-dir", str(tmp_path / "file" / "var"), "--port", "0")

    assert refused.returncode != 0
    assert_one_sentence(refused.stdout + refused.stderr)
    assert "choose another --data-dir" in refused.stderr


def test_a_database_that_does_not_answer_is_one_clear_sentence(tmp_path: Path) -> None:
    with keep_port_silent() as port:
        url = f"postgresql://nobody@127.0.0.1:{port}/none"

        refused = run_command(
            "up", "--data-dir", str(tmp_path / "var"), "--port", "0", "--database", url
        )

    assert refused.returncode != 0
    assert_one_sentence(refused.stdout + refused.stderr)
    assert "check that PostgreSQL runs there" in refused.stderr


def test_a_database_address_that_is_none_is_one_clear_sentence(tmp_path: Path) -> None:
    refused = run_command(
        *("up", "--data-dir", str(tmp_path / "var"), "--port", "0"),
        *("--database", "postgresql://[::1/x"),
    )

    assert refused.returncode == 1
    assert_one_sentence(refused.stdout + refused.stderr)
    assert "--database cannot be used" in refused.stderr


@pytest.mark.parametrize("command", ["up", "serve"])
def test_a_start_that_fails_leaves_no_directory_of_metrics(tmp_path: Path, command: str) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    (temporary / "pesalango-metrics-1-anothers").mkdir()
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    ports = ("--port", "0") if command == "up" else ("--listen", "127.0.0.1:0")

    refused = run_command(
        *(command, "--data-dir", str(tmp_path / "file" / "var"), *ports),
        environment={"TMPDIR": str(temporary), "PESALANGO_ADMIN_LISTEN": "127.0.0.1:0"},
    )

    assert refused.returncode == 1
    assert_one_sentence(refused.stdout + refused.stderr)
    assert [path.name for path in temporary.iterdir()] == ["pesalango-metrics-1-anothers"]


def test_a_platform_key_of_ones_own_is_there_from_the_first_start(tmp_path: Path) -> None:
    private_key = make_platform_key(2_048)
    file = tmp_path / "key.pem"
    settings = {
        **SMALL_KEYS,
        "PESALANGO_PLATFORM_KEY_FILE_SANDBOX": str(file),
        "TMPDIR": str(tmp_path),
    }
    with Server(tmp_path / "var", settings=settings) as server:
        with pytest.raises(ServerEnded, match=r"key\.pem.* cannot be read: No such file"):
            server.start()
        file.write_text(private_key, encoding="utf-8")
        server.start()

        assert server.credentials.sandbox.public_key == encode_public_key(private_key)
        status, answer = pay_plainly(server, "sandbox", "255744553111")
        assert (status, answer["output_ResponseCode"]) == (201, "INS-0")
        assert [path.name.split("-")[2] for path in tmp_path.glob("pesalango-metrics-*")] == [
            str(server.find_engine().pid)
        ]
        server.stop()
    assert list(tmp_path.glob("pesalango-metrics-*")) == []


def test_a_key_that_the_user_rotated_outlives_the_next_start(tmp_path: Path) -> None:
    with Server(tmp_path / "var", settings=SMALL_KEYS) as server:
        server.start()
        first = server.credentials
        admin = Admin(first)
        (application,) = admin.call("GET", "applications?name=first-application")["applications"]
        rotated = admin.call("POST", f"applications/{application['id']}/rotate", {})["api_key"]
        server.stop()

        server.start()

        after = server.credentials
        assert after.sandbox.api_key not in (first.sandbox.api_key, rotated)
        for api_key in (rotated, after.sandbox.api_key):
            sandbox = msgspec.structs.replace(after.sandbox, api_key=api_key)
            Merchant(msgspec.structs.replace(after, sandbox=sandbox)).close()
        wait_until(lambda: "Note:" in server.read_log(), timeout_s=10, what="the note")
        assert "those before it end within 30 days" in server.read_log()


def test_a_second_start_has_the_same_keys_and_data(server: Server) -> None:
    before = server.credentials
    merchant = Merchant(before)
    with server.open_books() as ask:
        payments = ask("SELECT ledger, id FROM payments ORDER BY ledger, id")
    family: list[psutil.Process] = server.find_family()
    assert server.stop() < 3
    assert all(not process.is_running() for process in family)

    server.start()

    after = server.credentials
    assert (after.sandbox, after.openapi) == (before.sandbox, before.openapi)
    assert after.admin_token == before.admin_token
    assert after.base_url == f"http://127.0.0.1:{server.port}"
    # The session lives on as well.
    again = Merchant(after, bearer=merchant.bearer)
    assert again.query("0" * 32, organisation="ORG001").code == "INS-23"
    with server.open_books() as ask:
        kept = ask("SELECT ledger, id FROM payments ORDER BY ledger, id")
    assert set(payments) <= set(kept)
    again.close()
    merchant.close()


def test_one_process_does_it_all_where_no_worker_is_wanted(tmp_path: Path) -> None:
    with Server(tmp_path / "data", settings={**SMALL_KEYS, "PESALANGO_WORKERS": "0"}) as server:
        server.start()
        status, answer = pay_plainly(server, "sandbox", "254707161122")
        assert (status, answer["output_ResponseCode"]) == (201, "INS-0")
        assert server.find_workers() == []
        assert server.audit().returncode == 0
        assert server.stop() < 3


def test_where_other_machines_could_listen_in_the_sandbox_alone_is_served(tmp_path: Path) -> None:
    with Server(tmp_path / "data", settings={**SMALL_KEYS, "PESALANGO_HOST": "0.0.0.0"}) as server:
        server.start()
        known = server.credentials
        assert known.base_url == f"http://127.0.0.1:{server.port}"
        assert pay_plainly(server, "sandbox", "254707161122")[0] == 201
        for path in ("openapi/ipg/v2/vodafoneGHA/getSession/", "admin/v1/health"):
            place = urllib.request.Request(
                f"{known.base_url}/{path}", headers={"Authorization": f"Bearer {known.admin_token}"}
            )
            assert call_plainly(place)[0] == 404
        assert "openapi and the admin API to nobody" in server.read_log()
        # The commands of this machine have an address of their own.
        assert run_command("health", "--data-dir", str(server.data_dir)).returncode == 0
        assert known.admin_url.startswith("http://127.0.0.1:")
        assert call_plainly(urllib.request.Request(f"{known.admin_url}/health"))[0] == 401
        place = urllib.request.Request(known.admin_url.replace("/admin/v1", "/sandbox/"))
        assert call_plainly(place)[0] == 404
