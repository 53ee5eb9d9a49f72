"""Starts the product as its users do, speaks to it over its own doors, and stops it.

What this needs of the product, all of it here:

* `pesalango-server up --data-dir D --port P`, beside the interpreter, with `PESALANGO_DATABASE`; it
  writes `D/credentials.json` (the fields of `Credentials`), then listens; `serve` is a second one;
* `GET /health/ready` answers 200 when payments can be taken;
* `GET /{environment}/ipg/v2/{market}/getSession/` with the encrypted API key;
* SIGINT ends it, with every process that belongs to it, within `STOP_SECONDS_MAX`.

The admin API and the books are asked in `bench/books.py`.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import psutil
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from bench.directory import REPOSITORY
from bench.load import Load
from bench.progress import say
from bench.wire import FORMS
from pesalango_server.catalog.markets import MARKETS_BY_PATH_VALUE

SOURCE = REPOSITORY / "src"
"""The code that is measured, whatever else the interpreter has installed."""

ENVIRONMENT = "sandbox"
MARKET = "vodacomTZN"
COUNTRY = "TZN"
CURRENCY = "TZS"
AMOUNT = "1"
MSISDN_FIRST = 255_760_000_000

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 10.0
CALL_SECONDS_MAX = 120.0
POLL_SECONDS = 0.005
LOG_LINES_TOLD = 20


class ProductError(Exception):
    """The product did not do what the benchmarks need; the text says what."""


class EnvironmentAccess(msgspec.Struct, frozen=True):
    public_key: str
    """Base64 of the DER form."""
    api_key: str
    service_provider_code: str
    markets: list[str]


class Credentials(msgspec.Struct, frozen=True):
    """What `up` writes into the data directory; other fields are ignored."""

    base_url: str
    admin_url: str
    admin_token: str
    sandbox: EnvironmentAccess


class Server:
    """A running `pesalango-server up`."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        *,
        data_dir: Path,
        port: int,
        database: str | None,
        source: Path = SOURCE,
        log_start: int = 0,
    ) -> None:
        self.process = process
        self.data_dir = data_dir
        self.port = port
        self.database = database
        self.source = source
        self.log_start = log_start
        self._has_its_port = False

    def is_ready(self) -> bool:
        """Whether this very server can take payments. Raises ProductError when it has ended."""
        if self.process.poll() is not None:
            raise ProductError(f"pesalango-server ended: status {self.process.returncode}")
        if not self._is_told_ready():
            return False
        if not self._has_its_port:
            # Until this server listens, another program may have taken the port, and answer.
            self._has_its_port = self._listens()
            return self._has_its_port and self._is_told_ready()
        return True

    def _is_told_ready(self) -> bool:
        try:
            status, _ = call("GET", f"http://127.0.0.1:{self.port}/health/ready", seconds_max=5.0)
        except ProductError:
            return False
        return status == 200

    def _listens(self) -> bool:
        """Whether the process itself listens at its port."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for connection in psutil.Process(self.process.pid).net_connections("tcp4"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == self.port:
                    return True
        return False

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self.is_ready():
            if time.monotonic() > deadline:
                raise ProductError(f"pesalango-server is not ready within {START_SECONDS_MAX} s")
            time.sleep(POLL_SECONDS)

    def wait_until_checked(self) -> None:
        """Until `up` has made the payment that it checks itself with, which the books show too."""
        self.wait_until_ready()
        deadline = time.monotonic() + START_SECONDS_MAX
        while b"Self-check:" not in name_log(self.data_dir).read_bytes()[self.log_start :]:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise ProductError("pesalango-server did not finish its self-check")
            time.sleep(POLL_SECONDS)

    def read_credentials(self) -> Credentials:
        return msgspec.json.decode(
            (self.data_dir / "credentials.json").read_bytes(), type=Credentials
        )

    def read_log_end(self) -> str:
        lines = name_log(self.data_dir).read_text(errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES_TOLD:])

    def find_processes(self) -> list[psutil.Process]:
        """The server and every process below it, a bundled database's included."""
        try:
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def measure_memory(self) -> int:
        """Bytes of all its processes together, shared pages divided among those that share them
        (macOS does not tell: there, the pages that are theirs alone).
        """
        total = 0
        for process in self.find_processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                memory = process.memory_full_info()
                total += getattr(memory, "pss", memory.uss)
        return total

    def measure_cpu(self) -> float:
        """CPU seconds that all its processes have used so far."""
        total = 0.0
        for process in self.find_processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def stop(self) -> None:
        """Ctrl-C, and whoever is left after the bound is killed; then it is an error."""
        if self.process.poll() is not None:
            return
        family = self.find_processes()
        self.process.send_signal(signal.SIGINT)
        _, left = psutil.wait_procs(family, timeout=STOP_SECONDS_MAX)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        if left:
            raise ProductError(f"{len(left)} processes still ran {STOP_SECONDS_MAX} s after SIGINT")

    def audit(self, *, seconds_max: float) -> tuple[str, bool]:
        """What `pesalango-server audit` prints, and whether it found everything in order."""
        command = [find_command(), "audit", "--data-dir", str(self.data_dir)]
        try:
            ended = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=seconds_max,
                check=False,
                env=build_environment(self.database, source=self.source),
            )
        except subprocess.TimeoutExpired as late:
            raise ProductError(f"the audit did not end within {seconds_max} s") from late
        return (ended.stdout + ended.stderr).strip(), ended.returncode == 0


def find_command() -> str:
    """The command that stands beside this interpreter."""
    command = Path(sys.executable).parent / "pesalango-server"
    if not command.exists():
        raise ProductError("there is no pesalango-server beside this interpreter: run `make setup`")
    return str(command)


def name_log(data_dir: Path) -> Path:
    """Beside the data directory, which belongs to the product."""
    return data_dir.with_name(f"{data_dir.name}.log")


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def build_environment(database: str | None, *, source: Path = SOURCE) -> dict[str, str]:
    """This process's without settings of the product, but for the database; its code is that of
    `source`.
    """
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PESALANGO_")
    }
    environment["PYTHONPATH"] = str(source)
    if database is not None:
        environment["PESALANGO_DATABASE"] = database
    return environment


def launch(
    *, data_dir: Path, database: str | None, is_second: bool = False, source: Path = SOURCE
) -> Server:
    """Start the product with everything at its default; it is not ready yet.

    `database` is None (SQLite), `postgres`, or the URL of a PostgreSQL; a second server on one of
    those shares what the first one has prepared.
    """
    port = find_free_port()
    command = [find_command(), "up", "--data-dir", str(data_dir), "--port", str(port)]
    if is_second:
        command = [find_command(), "serve", "--data-dir", str(data_dir)]
        command += ["--listen", f"127.0.0.1:{port}", "--admin-listen", "127.0.0.1:0"]
    with name_log(data_dir).open("ab") as log:
        log_start = log.tell()
        # A session of its own: Ctrl-C at the terminal reaches it once, through `stop`.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=build_environment(database, source=source),
            start_new_session=True,
        )
    return Server(
        process,
        data_dir=data_dir,
        port=port,
        database=database,
        source=source,
        log_start=log_start,
    )


@contextlib.contextmanager
def run_server(
    *, data_dir: Path, database: str | None, is_second: bool = False, source: Path = SOURCE
) -> Iterator[Server]:
    """The product, started and not ready yet; stopped at the end, whatever happened."""
    server = launch(data_dir=data_dir, database=database, is_second=is_second, source=source)
    try:
        yield server
    except Exception:
        # Its directory is about to be removed, and the log with it.
        say(f"the last lines of pesalango-server:\n{server.read_log_end()}")
        raise
    finally:
        server.stop()


def call(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: Any = None,
    seconds_max: float = CALL_SECONDS_MAX,
) -> tuple[int, Any]:
    """One request on a connection of its own: the status and the decoded JSON of the answer.

    Raises ProductError where no answer comes.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=seconds_max)
    try:
        connection.request(
            method,
            parts.path + (f"?{parts.query}" if parts.query else ""),
            body=None if body is None else json.dumps(body),
            headers={"Content-Type": "application/json", **(headers or {})},
        )
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise ProductError(f"{method} {parts.path} was not answered: {error}") from error
    finally:
        connection.close()
    try:
        return answer.status, json.loads(content)
    except ValueError:
        return answer.status, content.decode(errors="replace")


def load_public_key(text: str) -> RSAPublicKey:
    """From the base64 of its DER form."""
    key = load_der_public_key(base64.b64decode(text))
    if not isinstance(key, RSAPublicKey):
        raise ProductError("the public key in credentials.json is not an RSA key")
    return key


def encrypt(secret: str, key: RSAPublicKey) -> str:
    """A bearer token: the padding is random, so every call gives another."""
    return base64.b64encode(key.encrypt(secret.encode(), PKCS1v15())).decode()


def open_session(credentials: Credentials, *, market: str = MARKET) -> str:
    """A session key of the sandbox, live at once."""
    access = credentials.sandbox
    bearer = encrypt(access.api_key, load_public_key(access.public_key))
    status, answer = call(
        "GET",
        f"{credentials.base_url.rstrip('/')}/{ENVIRONMENT}/ipg/v2/{market}/getSession/",
        headers={"Authorization": f"Bearer {bearer}", "Origin": "*"},
    )
    if status != 200 or not isinstance(answer, dict) or "output_SessionID" not in answer:
        raise ProductError(f"getSession answered {status}")
    session: str = answer["output_SessionID"]
    return session


def open_bearer(credentials: Credentials, *, market: str = MARKET) -> str:
    """The bearer of a new session."""
    session = open_session(credentials, market=market)
    return encrypt(session, load_public_key(credentials.sandbox.public_key))


def build_load(
    credentials: Credentials,
    *,
    port: int,
    connections: int,
    seconds: float,
    customers: int,
    operation: str = "c2b",
    market: str = MARKET,
) -> Load:
    """Every payment to (or by) the organisation of the credentials, customers drawn at random."""
    place = MARKETS_BY_PATH_VALUE[market]
    return Load(
        host="127.0.0.1",
        port=port,
        path=f"/{ENVIRONMENT}/ipg/v2/{market}/{FORMS[operation].path}",
        operation=operation,
        country=place.country,
        currency=place.currency,
        service_provider_code=credentials.sandbox.service_provider_code,
        connections=connections,
        seconds=seconds,
        amount=AMOUNT,
        msisdn_first=MSISDN_FIRST,
        customers=customers,
    )
