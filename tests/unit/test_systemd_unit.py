"""The unit for systemd: read by systemd itself where there is one, and by ourselves everywhere."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pesalango_server.main.server import STOP_WITHIN_S
from pesalango_server.settings import Settings, environment_name, load_settings

UNIT = Path(__file__).resolve().parents[2] / "docs" / "running" / "pesalango.service"
PROGRAM = "/opt/pesalango/.venv/bin/pesalango-server"
TIMEOUT_S = 60

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="this machine has no systemd-analyze"
)


def read_unit() -> dict[str, list[str]]:
    """The lines of all sections: every value of every name."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text("utf-8").splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def analyze(verb: str, *options: str, place: Path) -> subprocess.CompletedProcess[str]:
    """What systemd says of the unit; its program is one that this machine has."""
    unit = place / UNIT.name
    unit.write_text(UNIT.read_text("utf-8").replace(PROGRAM, sys.executable), "utf-8")
    return subprocess.run(
        ["systemd-analyze", verb, *options, str(unit)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    done = analyze("verify", place=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert UNIT.name not in done.stderr


@needs_systemd
def test_little_of_the_machine_is_within_reach(tmp_path: Path) -> None:
    done = analyze("security", "--offline=true", "--threshold=20", place=tmp_path)
    if "offline" in done.stderr or "unrecognized" in done.stderr:
        pytest.skip("this systemd cannot judge a unit that is not loaded")
    assert done.returncode == 0, done.stdout


def test_it_serves_and_is_ended_as_the_program_wants_it() -> None:
    unit = read_unit()
    assert unit["ExecStart"] == [f"{PROGRAM} serve"]
    # The parent alone is told to stop, and has the time that it needs.
    assert unit["KillMode"] == ["mixed"]
    assert unit["KillSignal"] == ["SIGTERM"]
    assert int(unit["TimeoutStopSec"][0]) > STOP_WITHIN_S + 1
    # It ends rather than guess, so it is started again however often that happens.
    assert unit["Restart"] == ["always"]
    assert unit["StartLimitIntervalSec"] == ["0"]


def test_it_has_files_for_as_many_connections_as_a_worker_takes() -> None:
    assert int(read_unit()["LimitNOFILE"][0]) > 4 * Settings().connections_max


def test_its_variables_are_settings() -> None:
    known = {environment_name(name) for name in Settings.__struct_fields__}
    named = set(re.findall(r"PESALANGO_[A-Z_]*[A-Z]", UNIT.read_text("utf-8")))
    assert named - {"PESALANGO_SETTINGS"} <= known


def test_its_secrets_are_in_a_file_of_their_own() -> None:
    unit = read_unit()
    assert all("PASSWORD" not in value for value in unit["Environment"])
    assert unit["EnvironmentFile"] == ["-/etc/pesalango/secrets"]


def test_its_file_of_settings_can_be_read(tmp_path: Path) -> None:
    page = UNIT.with_name("systemd.md").read_text("utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "pesalango.toml"
    file.write_text(text, "utf-8")
    assert load_settings({}, {}, file).workers == 4
