"""What the pages for operators tell them to type is typed, word for word but for the places."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pesalango.cli import settings as client_settings
from pesalango_server.settings import Settings, environment_name
from pesalango_server.storage.bundled import find_bundled_program
from tests.e2e.samples import (
    PORT_TRIES,
    ROOT,
    PortTaken,
    Sample,
    find_samples,
    leave_running,
    make_sample_environment,
    run_sample,
)
from tests.e2e.server import find_free_port, run_command

PAGES = (
    "docs/running/running.md",
    "docs/running/systemd.md",
    "docs/running/backup-and-restore.md",
    "docs/running/upgrading.md",
)
SAMPLES = {sample.name: sample for sample in find_samples(*PAGES)}


class Operator:
    """Somebody at a terminal in `folder`, with the places of this test for those of the pages."""

    def __init__(self, folder: Path, places: Mapping[str, str]) -> None:
        self._folder = folder
        self._places = {
            "/var/lib/pesalango": str(folder / "data"),
            "/var/backups/pesalango": str(folder / "backups"),
            **places,
        }
        self._environment = make_sample_environment(
            # Making keys of the default size takes longer than all else here.
            {"PESALANGO_PLATFORM_KEY_BITS": "2048"},
            programs=[find_bundled_program("pg_dump").parent],
        )
        (folder / "backups").mkdir()

    def type(self, name: str) -> str:
        """What a sample prints."""
        return run_sample(self._find(name), self._folder, environment=self._environment)

    @contextlib.contextmanager
    def leave_running(self, name: str) -> Iterator[None]:
        """A sample that runs until it is told to stop, ready to take payments meanwhile.

        Its ports are those of the samples that follow as well.
        """
        with contextlib.ExitStack() as stack:
            for _ in range(PORT_TRIES):
                port = self._choose_ports()
                running = leave_running(
                    self._find(name), self._folder, port=port, environment=self._environment
                )
                with contextlib.suppress(PortTaken):
                    stack.enter_context(running)
                    break
            else:
                pytest.fail("every port was taken meanwhile")
            yield

    def _choose_ports(self) -> int:
        """The one that takes payments."""
        port = find_free_port()
        self._places["127.0.0.1:8080"] = f"127.0.0.1:{port}"
        self._places["127.0.0.1:8081"] = f"127.0.0.1:{find_free_port()}"
        return port

    def _find(self, name: str) -> Sample:
        return SAMPLES[name].with_places(self._places)


def test_an_installation_on_sqlite_is_made_looked_after_and_upgraded(tmp_path: Path) -> None:
    operator = Operator(tmp_path, {})
    operator.type("prepare SQLite")
    assert (tmp_path / "operations.token").stat().st_mode & 0o077 == 0
    with operator.leave_running("serve on SQLite"):
        operator.type("the first organisation")
        said = operator.type("look after it")
        assert "ready: pesalango-server" in said
        assert "The invariants" in said
    said = operator.type("upgrade SQLite")
    assert "sandbox: is current" in said

    # What another platform database would be started on is refused, as the page says.
    for path in (tmp_path / "data").glob("platform.db*"):
        path.unlink()
    assert run_command("migrate", "--data-dir", str(tmp_path / "data")).returncode == 0
    with pytest.raises(AssertionError, match="does not belong to this platform database"):
        operator.leave_running("serve on SQLite").__enter__()


def test_an_installation_on_postgres_is_made_by_the_page(tmp_path: Path, postgres_url: str) -> None:
    operator = Operator(tmp_path, {"postgresql://pesalango@db.example/pesalango": postgres_url})
    operator.type("prepare PostgreSQL")
    with operator.leave_running("serve on PostgreSQL"):
        said = operator.type("the first organisation")
        assert "openapi" in said


def test_settings_that_the_pages_name_are_settings() -> None:
    known = {environment_name(name) for name in Settings.__struct_fields__}
    known |= {"PESALANGO_ADMIN_URL", "PESALANGO_ADMIN_TOKEN", "PESALANGO_SETTINGS"}
    # Of the client's command, which has a table of its own.
    known |= {f"PESALANGO_{name.upper()}" for name in client_settings.SETTINGS}
    for folder in ("running", "guide", "security"):
        for path in (ROOT / "docs" / folder).iterdir():
            named = set(re.findall(r"PESALANGO_[A-Z_]*[A-Z]", path.read_text("utf-8")))
            assert named <= known, (path, named - known)
