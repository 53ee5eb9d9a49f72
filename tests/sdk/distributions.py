"""Both distributions as they reach their users: built off line, installed where nothing else is.

An installation has the interpreter's own modules, the wheel, and links to what the wheel's metadata
asks for, out of the environment that the tests run in. So a dependency that is used but not declared
is missing in it, and so is the repository.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tidy.repository import ROOT, list_paths

TIMEOUT_S = 120.0

# Every Python process below imports it at its start, the build's own ones too.
_OFF_LINE = """\
import sys


class ReachedOutside(Exception):
    pass


def refuse_connections(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.sendto"}:
        raise ReachedOutside(f"{event}: a build stays on its machine")


sys.addaudithook(refuse_connections)
"""


@dataclass(frozen=True)
class Distribution:
    """`home` has its pyproject.toml, `sources` its package; both relative to the repository."""

    name: str
    package: str
    home: str
    sources: str

    def list_files(self) -> set[str]:
        """What the repository has of the package, relative to the folder that holds it."""
        above = PurePosixPath(self.sources).parent
        return {
            str(PurePosixPath(path).relative_to(above))
            for path in list_paths()
            if path.startswith(f"{self.sources}/")
        }


SERVER = Distribution("pesalango-server", "pesalango_server", ".", "src/pesalango_server")
CLIENT = Distribution("pesalango", "pesalango", "sdk", "sdk/src/pesalango")


class Built:
    """A distribution built in a copy of its sources, so that nothing is left in the repository.

    The sdist is made of the copy, the wheel of the sdist: what the sdist lacks, the wheel lacks.
    """

    def __init__(self, distribution: Distribution, directory: Path) -> None:
        self.distribution = distribution
        sources = directory / "sources"
        _copy_sources(distribution, sources)
        self.sdist = _build_sdist(sources, directory)
        self.wheel = build_wheel(self.sdist, directory)

    def list_sdist(self) -> set[str]:
        """Paths of the sdist's files below its one folder."""
        with tarfile.open(self.sdist) as archive:
            files = [member.name for member in archive.getmembers() if member.isfile()]
        return {str(PurePosixPath(*PurePosixPath(name).parts[1:])) for name in files}

    def list_wheel(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    def read_metadata(self) -> Message:
        with zipfile.ZipFile(self.wheel) as archive:
            (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
            return BytesParser().parsebytes(archive.read(name))


class Installation:
    """A virtual environment with one wheel, and what the wheel asks for with these extras."""

    def __init__(self, built: Built, directory: Path, *, extras: Sequence[str] = ()) -> None:
        self.directory = directory
        venv.create(directory, with_pip=False, symlinks=True)
        self.python = directory / "bin" / "python"
        install = ["--python", str(self.python), "install", "--quiet", "--no-compile"]
        ended = _run_pip([*install, "--no-index", "--no-deps", str(built.wheel)], directory)
        assert ended.returncode == 0, ended.stderr
        third_party = directory / "third-party"
        third_party.mkdir()
        wanted = built.read_metadata().get_all("Requires-Dist", [])
        for name in _find_needed(wanted, extras):
            _link_files(name, third_party)
        site_packages = sysconfig.get_path("purelib", "venv", {"base": str(directory)})
        (Path(site_packages) / "third-party.pth").write_text(f"{third_party}\n", "utf-8")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the installation's `bin`, in its folder, and wait for its end."""
        program, *arguments = command
        return _run([str(self.directory / "bin" / program), *arguments], self.directory)


def build_wheel(source: Path, directory: Path) -> Path:
    """Build off line with the setuptools of the tests; `source` is a folder or an sdist."""
    target = directory / "wheels"
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    ended = _run_pip(["wheel", *options, "--wheel-dir", str(target), str(source)], directory)
    assert ended.returncode == 0, ended.stderr
    (wheel,) = target.glob("*.whl")
    return wheel


def _build_sdist(sources: Path, directory: Path) -> Path:
    target = directory / "sdists"
    program = f"from setuptools import build_meta; build_meta.build_sdist({str(target)!r})"
    ended = _run([sys.executable, "-c", program], sources, off_line=directory)
    assert ended.returncode == 0, ended.stderr
    (sdist,) = target.glob("*.tar.gz")
    return sdist


def _copy_sources(distribution: Distribution, target: Path) -> None:
    home = PurePosixPath(distribution.home)
    beside = {str(home / name) for name in ("pyproject.toml", "README.md", "LICENSE")}
    for path in list_paths():
        if path in beside or path.startswith(f"{distribution.sources}/"):
            copy = target / PurePosixPath(path).relative_to(home)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, copy)


def _run_pip(arguments: Sequence[str], directory: Path) -> subprocess.CompletedProcess[str]:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return _run(pip, directory, off_line=directory)


def _run(
    command: Sequence[str], folder: Path, *, off_line: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Without a PYTHONPATH that would lead into the repository; `off_line` may be written to."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PYTHONNOUSERSITE"] = "1"
    if off_line is not None:
        guard = off_line / "off-line"
        guard.mkdir(parents=True, exist_ok=True)
        (guard / "sitecustomize.py").write_text(_OFF_LINE, "utf-8")
        environment["PYTHONPATH"] = str(guard)
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


# --- dependencies --------------------------------------------------------------------------------


def _find_needed(requirements: Sequence[str], extras: Sequence[str]) -> set[str]:
    """Names of all that the requirements lead to on this interpreter, each with its own extras."""
    needed: set[tuple[str, str]] = set()
    waiting = list(_select(requirements, extras))
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        wanted = {(name, extra) for extra in ("", *requirement.extras)}
        if wanted <= needed:
            continue
        needed |= wanted
        further = importlib.metadata.requires(name) or []
        waiting.extend(_select(further, sorted(requirement.extras)))
    return {name for name, _extra in needed}


def _select(requirements: Sequence[str], extras: Sequence[str]) -> Iterator[Requirement]:
    for requirement in map(Requirement, requirements):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def _link_files(name: str, target: Path) -> None:
    """Link the topmost folders and modules of an installed distribution into `target`."""
    distribution = importlib.metadata.distribution(name)
    parts = {file.parts[0] for file in distribution.files or []}
    for part in sorted(parts - {"..", "__pycache__"}):
        (target / part).symlink_to(Path(str(distribution.locate_file(part))))
