"""The command `pesalango` as its user has it: a process of its own, in a folder of its own."""

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.e2e.server import Server, make_environment

MARKET = "vodacomTZN"
TIMEOUT_S = 60.0
PROGRAM = (sys.executable, "-m", "pesalango.cli")

Ended = subprocess.CompletedProcess[str]


class Command:
    """`pesalango …` with settings, journal and working directory below `folder`."""

    def __init__(self, folder: Path, server: Server | None = None) -> None:
        self.folder = folder
        self.server = server
        folder.mkdir(parents=True, exist_ok=True)

    def make_arguments(self, *arguments: str) -> list[str]:
        command = [*PROGRAM, *arguments]
        if self.server is not None:
            command += ["--credentials", str(self.server.data_dir / "credentials.json")]
            command += ["--market", MARKET]
        return command

    def make_environment(self, changes: Mapping[str, str] | None = None) -> dict[str, str]:
        homes = {
            "HOME": str(self.folder),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "XDG_DATA_HOME": str(self.folder / "data"),
        }
        return make_environment({**homes, **(changes or {})})

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Ended:
        """To its end. Whatever happens, no trace of the program is shown, and no secret."""
        ended = subprocess.run(
            self.make_arguments(*arguments),
            cwd=self.folder,
            env=self.make_environment(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        self.check_output(ended.stdout + ended.stderr)
        return ended

    def read(self, *arguments: str, status: int = 0) -> Any:
        """What it prints with `--json`."""
        ended = self.run(*arguments, "--json")
        assert ended.returncode == status, ended
        return json.loads(ended.stdout)

    def fail(
        self, *arguments: str, status: int, environment: Mapping[str, str] | None = None
    ) -> str:
        """The sentence with which it fails; nothing may be on standard output."""
        ended = self.run(*arguments, environment=environment)
        assert (ended.returncode, ended.stdout) == (status, ""), ended
        *_, line = ended.stderr.splitlines()
        assert line.startswith("pesalango: ")
        return line.removeprefix("pesalango: ")

    def start(self, *arguments: str) -> "Running":
        return Running(self, arguments)

    def check_output(self, output: str) -> None:
        assert "Traceback" not in output, output
        if self.server is not None:
            place = self.server.credentials.sandbox
            assert place.api_key not in output, output


class Running:
    """One that goes on while the test does something to it."""

    def __init__(self, command: Command, arguments: tuple[str, ...]) -> None:
        self._command = command
        self._process = subprocess.Popen(
            command.make_arguments(*arguments),
            cwd=command.folder,
            env=command.make_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C at the terminal reaches it through these tests alone.
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate(timeout=TIMEOUT_S)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def read_line(self) -> str:
        """The next line on standard error; waits for it."""
        assert self._process.stderr is not None
        return self._process.stderr.readline()

    def press_ctrl_c(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> Ended:
        out, err = self._process.communicate(timeout=TIMEOUT_S)
        self._command.check_output(out + err)
        return subprocess.CompletedProcess(PROGRAM, self._process.returncode, out, err)


def count_movements(server: Server) -> Counter[int]:
    """How often each amount, in hundredths, was moved for a payment, by the ledger's books."""
    with server.open_books() as ask:
        rows = ask(
            "SELECT amount_minor, count(*) FROM transfers WHERE payment > 0 GROUP BY amount_minor"
        )
    return Counter(dict(rows))


def find_other_files(folder: Path) -> set[str]:
    """Names in a folder that begin with a dot: what somebody forgot to take away."""
    return {path.name for path in folder.iterdir() if path.name.startswith(".")}
