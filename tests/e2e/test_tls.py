"""TLS through the whole server: HTTPS beside plain HTTP, renewed without a stop, refused in clear."""

import contextlib
import json
import re
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from pesalango import NotSentError
from tests.e2e.http_client import Connection, NotSent, call
from tests.e2e.merchant import Merchant, Payment, make_reference
from tests.e2e.samples import (
    PORT_TRIES,
    PortTaken,
    find_samples,
    leave_running,
    make_sample_environment,
    run_sample,
)
from tests.e2e.server import Server, find_free_port, run_command, wait_until
from tests.sdk.callers import KINDS, PAYMENT, Caller, Kind

SAMPLES = {sample.name: sample for sample in find_samples("docs/running/tls.md")}

OPERATOR = "openapi.m-pesa.com"
SETTINGS = {"PESALANGO_PLATFORM_KEY_BITS": "2048"}
MSISDN = "255744553111"
PROXY = "127.0.0.2"
"""Another address of this machine, from which a trusted proxy calls."""
needs_another_address = pytest.mark.skipif(
    sys.platform != "linux", reason="loopback has one address here"
)


class Issued(NamedTuple):
    """What `pesalango-server certificate` has made."""

    authority: str
    certificate: str
    key: str

    @property
    def settings(self) -> dict[str, str]:
        return {
            **SETTINGS,
            "PESALANGO_TLS_CERTIFICATE": self.certificate,
            "PESALANGO_TLS_KEY": self.key,
        }

    def trust(self) -> ssl.SSLContext:
        """Of a client that trusts this authority and nobody else."""
        return ssl.create_default_context(cafile=self.authority)


def issue(directory: Path, *names: str) -> Issued:
    ended = run_command("certificate", *names, "--directory", str(directory), "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    told = json.loads(ended.stdout)
    return Issued(told["authority"], told["tls_certificate"], told["tls_key"])


def type_sample(name: str, place: Path, **changes: str) -> str:
    """A sample of the page on TLS, typed in a directory with some of its words changed."""
    words = {word.strip("_"): instead for word, instead in changes.items()}
    sample = SAMPLES[name].with_places(words)
    return run_sample(sample, place, environment=make_sample_environment({}))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's commands are typed; `var` is the data directory."""
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def issued(place: Path) -> Issued:
    type_sample("a certificate", place)
    folder = place / "var" / "tls"
    return Issued(*(str(folder / name) for name in ("authority.pem", "server.pem", "server.key")))


@pytest.fixture(scope="module")
def server(issued: Issued, place: Path) -> Iterator[Server]:
    """Plain on loopback, plain for everybody, and TLS for everybody over IPv4 and IPv6."""
    with Server(
        place / "var",
        settings={**issued.settings, "PESALANGO_TRUSTED_PROXIES": PROXY},
        listen=("plain:127.0.0.1:{port}", "plain:0.0.0.0:0", "tls:0.0.0.0:0", "tls:[::]:0"),
    ) as server:
        server.start()
        yield server


def find_urls(server: Server) -> list[str]:
    """Where it says it listens, in the order of its addresses."""
    wait_until(lambda: "is ready at" in server.read_log(), timeout_s=10, what="its first words")
    line = next(line for line in server.read_log().splitlines() if "is ready at" in line)
    return re.findall(r"https?://[^\s,]+:[0-9]+", line)


PATHS = (
    "sandbox/ipg/v2/vodacomTZN/getSession/",
    "openapi/ipg/v2/vodacomTZN/getSession/",
    "admin/v1/health",
)
"""What asks for a secret, wherever it is served."""


def find_port(server: Server, index: int) -> int:
    return int(find_urls(server)[index].rpartition(":")[2])


def connect_as_to_the_operator(server: Server, issued: Issued, name: str = OPERATOR) -> Connection:
    return Connection(
        f"https://{name}:{find_port(server, 2)}",
        tls_context=issued.trust(),
        found_at="127.0.0.1",
        timeout_s=10,
    )


def pay(merchant: Merchant) -> str:
    return merchant.pay(Payment(make_reference(), MSISDN, "ORG001", amount=1)).code


# --- serving -------------------------------------------------------------------------------------


@pytest.mark.parametrize("environment", ["sandbox", "openapi"])
def test_a_payment_over_tls_is_taken_under_the_operators_host_name(
    server: Server, issued: Issued, environment: str
) -> None:
    connection = connect_as_to_the_operator(server, issued)
    merchant = Merchant(server.credentials, environment=environment, connection=connection)
    assert pay(merchant) == "INS-0"
    merchant.close()


@pytest.mark.parametrize("kind", KINDS)
def test_the_python_client_pays_over_tls_where_it_is_given_the_authority(
    kind: Kind, server: Server, issued: Issued
) -> None:
    place = server.credentials.openapi
    known = {
        "base_url": f"https://localhost:{find_port(server, 2)}",
        "api_key": place.api_key,
        "public_key": place.public_key,
        "market": "vodacomTZN",
        "environment": "openapi",
    }
    with Caller(kind, **known, certificate_file=issued.authority) as caller:
        assert caller.call("c2b_single_stage", **PAYMENT).response_code == "INS-0"
    # Who does not know the authority hands nobody a secret: not even a session was asked for.
    with Caller(kind, **known) as caller, pytest.raises(NotSentError, match="CERTIFICATE"):
        caller.call("c2b_single_stage", **PAYMENT)


def test_each_address_serves_what_is_safe_there(server: Server, issued: Issued) -> None:
    urls = find_urls(server)
    assert [url.partition(":")[0] for url in urls] == ["http", "http", "https", "https"]
    assert server.credentials.base_url == urls[0]
    assert "certificate_file" not in (server.data_dir / "credentials.json").read_text("utf-8")
    found = {
        (index, path): call("GET", f"{url}/{path}", tls_context=issued.trust())[0]
        for index, url in enumerate(urls)
        for path in PATHS
    }
    # Plain HTTP that other machines can reach has the sandbox alone.
    assert [found.pop((1, path)) for path in PATHS[1:]] == [404, 404]
    assert set(found.values()) == {401}
    assert "0.0.0.0 can be reached from other machines without encryption" in server.read_log()


@needs_another_address
def test_a_trusted_proxy_is_served_everything_in_plain_http_and_nobody_else_is(
    server: Server,
) -> None:
    url = find_urls(server)[1]
    assert [call("GET", f"{url}/{path}", source=PROXY)[0] for path in PATHS] == [401, 401, 401]
    # That a proxy has passed it on is anybody's to say.
    forwarded = {"X-Forwarded-For": PROXY}
    assert [
        call("GET", f"{url}/{path}", headers=forwarded, source="127.0.0.3")[0] for path in PATHS
    ] == [401, 404, 404]


def test_who_speaks_the_wrong_protocol_is_told_and_leaves_no_trace(server: Server) -> None:
    port = find_port(server, 2)
    before = server.read_log()
    status, answer = call("GET", f"http://127.0.0.1:{port}/health/live")
    assert (status, list(answer)) == (400, ["output_error"])
    client = ssl.create_default_context()
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as wire,
        pytest.raises(ssl.SSLError),
    ):
        client.wrap_socket(wire, server_hostname="localhost")
    # A client that does not trust the authority.
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as wire,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        client.wrap_socket(wire, server_hostname="localhost")
    assert server.is_ready()
    assert server.read_log() == before


def test_a_client_reaches_it_by_the_operators_name_as_the_page_says(tmp_path: Path) -> None:
    type_sample("a certificate", tmp_path)
    for _ in range(PORT_TRIES):
        with contextlib.suppress(PortTaken):
            check_health_over_tls(tmp_path)
            return
    pytest.fail("every port was taken meanwhile")


def check_health_over_tls(tmp_path: Path) -> None:
    plain, over_tls = find_free_port(), find_free_port()
    (tmp_path / "log").unlink(missing_ok=True)
    sample = SAMPLES["serve over TLS"].with_places({"8080": str(plain), "8443": str(over_tls)})
    environment = make_sample_environment(SETTINGS)
    with leave_running(sample, tmp_path, port=plain, environment=environment):
        said = type_sample("health over TLS", tmp_path, _8443=str(over_tls))
        assert json.loads(said) == {"status": "ready"}


# --- renewing ------------------------------------------------------------------------------------


def read_name(connection: Connection) -> str:
    """The authority's own names aside, the name that the certificate shown is for."""
    from cryptography import x509

    certificate = x509.load_der_x509_certificate(connection.read_certificate())
    return str(certificate.subject.rfc4514_string().removeprefix("CN="))


def renew(server: Server, event: str) -> dict[str, Any]:
    """SIGHUP, as the page has it; the line of the log that says what came of it."""
    before = len(server.read_log())
    type_sample("a renewal", server.data_dir.parent)

    def read_lines() -> list[str]:
        return [line for line in server.read_log()[before:].splitlines() if event in line]

    wait_until(lambda: bool(read_lines()), timeout_s=10, what=event)
    (line,) = read_lines()
    told: dict[str, Any] = json.loads(line)
    return told


def test_a_new_certificate_is_served_after_sighup_and_a_broken_one_is_not(
    server: Server, issued: Issued
) -> None:
    old = connect_as_to_the_operator(server, issued)
    merchant = Merchant(server.credentials, connection=old)
    assert read_name(old) == OPERATOR

    def is_renewed() -> bool:
        fresh = connect_as_to_the_operator(server, issued, "renewed.example")
        try:
            return read_name(fresh) == "renewed.example"
        except NotSent:
            return False
        finally:
            fresh.close()

    issue(Path(issued.authority).parent, "renewed.example", OPERATOR)

    told = renew(server, "certificate_in_force")

    assert told["names"][0] == "renewed.example"
    # The worker has been told, and heeds it at a moment of its own.
    wait_until(is_renewed, timeout_s=5, what="the new certificate")
    assert pay(merchant) == "INS-0"
    assert read_name(old) == OPERATOR

    Path(issued.key).write_text("nonsense", encoding="utf-8")
    told = renew(server, "certificate_not_renewed")

    assert told["level"] == "error"
    assert told["reason"] == (f"{issued.key} holds no private key in PEM; the one in force stays")
    assert is_renewed()
    # A worker that is started anew serves with what is in force, whatever the files hold.
    server.kill(*server.find_workers())
    wait_until(server.is_ready, timeout_s=10, what="another worker")
    assert is_renewed()
    issue(Path(issued.authority).parent, OPERATOR)
    assert renew(server, "certificate_in_force")["names"][0] == OPERATOR
    merchant.close()


# --- TLS alone -----------------------------------------------------------------------------------


def test_where_tls_alone_is_spoken_credentials_and_commands_speak_it(tmp_path: Path) -> None:
    issued = issue(tmp_path / "tls", "gateway.example")
    with Server(
        tmp_path / "var",
        settings={**issued.settings, "PESALANGO_WORKERS": "0"},
        listen=("127.0.0.1:{port}",),
        tls_context=issued.trust(),
    ) as server:
        server.start()
        credentials = server.data_dir / "credentials.json"
        known = msgspec.json.decode(credentials.read_bytes())
        assert known["base_url"] == f"https://127.0.0.1:{server.port}"
        assert known["admin_url"] == f"https://127.0.0.1:{server.port}/admin/v1"
        assert known["certificate_file"] == issued.certificate
        data_dir = ("--data-dir", str(server.data_dir))
        assert run_command("health", *data_dir).returncode == 0
        assert find_urls(server) == [known["base_url"]]

        # Another server's certificate is none that this one's administrator trusts.
        credentials.write_bytes(msgspec.json.encode({**known, "certificate_file": ""}))
        refused = run_command("health", *data_dir)
        assert refused.returncode == 1
        assert "is not trusted here" in refused.stderr
        trusting = {"SSL_CERT_FILE": issued.authority}
        assert run_command("health", *data_dir, environment=trusting).returncode == 0

        issue(tmp_path / "tls", "renewed.example")
        renew(server, "certificate_in_force")
        idle = Connection(known["base_url"], tls_context=issued.trust())
        wait_until(server.is_ready, timeout_s=5, what="a ready server")
        assert idle.request("GET", "/health/live")[0] == 200
        assert server.stop() < 3
        idle.close()
        assert "Traceback" not in server.read_log()


# --- refusing ------------------------------------------------------------------------------------


def read_refusal(*arguments: str, environment: dict[str, str] | None = None) -> str:
    """The one sentence with which a server does not start."""
    ended = run_command(*arguments, environment={**SETTINGS, **(environment or {})})
    assert (ended.returncode, ended.stdout) == (1, ""), ended
    *logged, sentence = ended.stderr.splitlines()
    # What the certificate is may have been logged before.
    assert all(json.loads(line)["level"] == "info" for line in logged), ended.stderr
    assert sentence.startswith("pesalango-server: ")
    return sentence.removeprefix("pesalango-server: ")


def test_money_that_counts_is_served_to_other_machines_over_tls_alone(
    issued: Issued, tmp_path: Path
) -> None:
    data_dir = ("--data-dir", str(tmp_path / "var"))
    told = read_refusal(
        *("serve", *data_dir, "--listen", "tls:0.0.0.0:0", "--listen", "plain:0.0.0.0:0"),
        environment=issued.settings,
    )
    assert "0.0.0.0 can be reached from other machines without encryption" in told
    assert "tls_certificate" in told
    assert run_command("migrate", *data_dir).returncode == 0
    with Server(
        tmp_path / "var",
        command="serve",
        settings={**issued.settings, "PESALANGO_TRUSTED_PROXIES": PROXY},
        listen=("0.0.0.0:{port}", "plain:127.0.0.1:0", "plain:0.0.0.0:0"),
        admin_listen="plain:0.0.0.0:0",
        tls_context=issued.trust(),
    ) as server:
        server.start()
        urls = re.findall(r"https?://[^\s,]+:[0-9]+", server.read_log())
        assert urls[0] == f"https://0.0.0.0:{server.port}"
        over_tls, on_loopback, *exposed = [url.replace("0.0.0.0", "127.0.0.1") for url in urls]

        def find_statuses(url: str, *, source: str | None = None) -> list[int]:
            trust = issued.trust()
            return [
                call("GET", f"{url}/{path}", tls_context=trust, source=source)[0] for path in PATHS
            ]

        # The admin API is served at its own address alone.
        assert find_statuses(over_tls) == find_statuses(on_loopback) == [401, 401, 404]
        # A proxy that is named allows plain addresses, and is alone with what counts there.
        assert [find_statuses(url) for url in exposed] == [[401, 404, 404], [404, 404, 404]]
        if sys.platform == "linux":
            found = [find_statuses(url, source=PROXY) for url in exposed]
            assert found == [[401, 401, 404], [404, 404, 401]]
        assert server.stop() < 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--tls-certificate", "{missing}", "--tls-key", "{key}"), "{missing}, the certificate, "),
        (("--tls-certificate", "{key}", "--tls-key", "{key}"), "{key} holds no certificate in PEM"),
        (("--tls-certificate", "{certificate}"), "tls_certificate is given without tls_key"),
        (("--listen", "tls:127.0.0.1:0"), "there is no certificate: give --tls-certificate"),
        (("--listen", "https://127.0.0.1"), "--listen cannot be used: each is an address and"),
    ],
)
def test_a_server_without_a_usable_certificate_says_so_in_one_sentence(
    arguments: tuple[str, ...], told: str, issued: Issued, tmp_path: Path
) -> None:
    places = {
        "missing": str(tmp_path / "missing.pem"),
        "certificate": issued.certificate,
        "key": issued.key,
    }
    given = [argument.format(**places) for argument in arguments]
    sentence = read_refusal("up", "--data-dir", str(tmp_path / "var"), "--port", "0", *given)
    assert told.format(**places) in sentence
    assert not (tmp_path / "var").exists()


# --- the command ---------------------------------------------------------------------------------


def test_the_command_says_what_to_serve_with_and_what_to_hand_to_clients(tmp_path: Path) -> None:
    data_dir = ("--data-dir", str(tmp_path / "var"))
    ended = run_command("certificate", OPERATOR, "192.0.2.7", *data_dir)
    assert (ended.returncode, ended.stderr) == (0, "")
    folder = tmp_path / "var" / "tls"
    assert f"--tls-certificate {folder / 'server.pem'} --tls-key {folder / 'server.key'}" in (
        ended.stdout
    )
    assert f"curl --cacert {folder / 'authority.pem'} https://{OPERATOR}:" in ended.stdout
    assert f"SSL_CERT_FILE={folder / 'authority.pem'}" in ended.stdout
    assert "PRIVATE KEY" not in ended.stdout

    (folder / "authority.key").unlink()
    refused = run_command("certificate", OPERATOR, *data_dir)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "never overwritten" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
