"""What comes out of the box: both distributions built off line and installed on their own."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import pesalango
import pesalango_server
from tests.sdk.distributions import CLIENT, SERVER, Built, Distribution, Installation, build_wheel

VERSIONS = {CLIENT: pesalango.__version__, SERVER: pesalango_server.__version__}

# Also modules that nobody imports yet; what is imported inside a function is looked up.
IMPORT_ALL = """\
import ast, importlib, importlib.util, json, pkgutil, sys
from pathlib import Path

name, *left_out = sys.argv[1:]
package = importlib.import_module(name)
imported = {}
for module in pkgutil.walk_packages(package.__path__, f"{name}."):
    if not any(f"{module.name}.".startswith(f"{each}.") for each in left_out):
        imported[module.name] = importlib.import_module(module.name).__file__
imported[name] = package.__file__
asked = set()
for file in imported.values():
    for node in ast.walk(ast.parse(Path(file).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            asked |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            asked.add(node.module.partition(".")[0])
missing = sorted(each for each in asked if importlib.util.find_spec(each) is None)
print(json.dumps({"imported": imported, "missing": missing}))
"""

both = pytest.mark.parametrize("distribution", [CLIENT, SERVER], ids=lambda each: each.name)

Build = Callable[[Distribution], Built]
Install = Callable[..., Installation]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Builds each distribution once."""
    done: dict[Distribution, Built] = {}

    def build_once(distribution: Distribution) -> Built:
        if distribution not in done:
            done[distribution] = Built(distribution, tmp_path_factory.mktemp("build"))
        return done[distribution]

    return build_once


@pytest.fixture
def install(build: Build, tmp_path: Path) -> Install:
    def install_anew(distribution: Distribution, *extras: str) -> Installation:
        return Installation(build(distribution), tmp_path / "installed", extras=extras)

    return install_anew


def import_all(
    installation: Installation, package: str, *, left_out: tuple[str, ...] = ()
) -> set[str]:
    """Import every module but those left out, and return their names.

    Each has to be the wheel's own, and whatever any of them imports at any time has to be there.
    """
    ended = installation.run("python", "-c", IMPORT_ALL, package, *left_out)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["missing"] == []
    files = map(Path, found["imported"].values())
    assert all(file.is_relative_to(installation.directory) for file in files)
    return set(found["imported"])


def name_modules(distribution: Distribution) -> set[str]:
    """The modules that the repository has of a package."""
    return {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in distribution.list_files()
        if name.endswith(".py")
    }


# --- building ------------------------------------------------------------------------------------


@both
def test_wheel_and_sdist_hold_each_file_of_the_package(
    distribution: Distribution, build: Build
) -> None:
    built, files = build(distribution), distribution.list_files()
    package = f"{distribution.package}/"

    assert f"{package}py.typed" in files
    assert {name for name in built.list_wheel() if ".dist-info/" not in name} == files
    in_sdist = {name.removeprefix("src/") for name in built.list_sdist()}
    assert {name for name in in_sdist if name.startswith(package)} == files


@both
def test_the_metadata_name_licence_version_pythons_and_types(
    distribution: Distribution, build: Build
) -> None:
    built = build(distribution)
    metadata = built.read_metadata()
    classifiers = metadata.get_all("Classifier", [])

    assert (metadata["Name"], metadata["Version"]) == (distribution.name, VERSIONS[distribution])
    assert metadata["License-Expression"] == "Apache-2.0"
    assert [name for name in built.list_wheel() if name.endswith("/licenses/LICENSE")]
    assert metadata["Requires-Python"] == ">=3.11"
    for minor in (11, 12, 13, 14):
        assert f"Programming Language :: Python :: 3.{minor}" in classifiers
    assert "Typing :: Typed" in classifiers
    assert "not affiliated" in str(metadata.get_payload())


def test_a_build_that_reaches_for_the_network_fails(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "reaching"\nbackend-path = ["."]\n'
        '[project]\nname = "reaching"\nversion = "1"\n'
    )
    (tmp_path / "reaching.py").write_text(
        "import socket\n"
        "def build_wheel(*_given, **_named):\n    socket.create_connection(('127.0.0.1', 9))\n"
    )

    with pytest.raises(AssertionError, match="ReachedOutside"):
        build_wheel(tmp_path, tmp_path)


# --- installed -----------------------------------------------------------------------------------


def test_the_client_without_its_extra_needs_neither_typer_nor_rich(install: Install) -> None:
    installation = install(CLIENT)
    command = f"{CLIENT.package}.cli"

    imported = import_all(installation, CLIENT.package, left_out=(command,))

    assert imported == {
        name for name in name_modules(CLIENT) if not f"{name}.".startswith(f"{command}.")
    }
    ended = installation.run("python", "-c", "import typer")
    assert "ModuleNotFoundError" in ended.stderr
    ended = installation.run("pesalango", "--help")
    assert ended.returncode == 2
    assert "pip install 'pesalango[cli]'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_client_with_its_extra_has_its_command(install: Install) -> None:
    installation = install(CLIENT, "cli")

    assert import_all(installation, CLIENT.package) == name_modules(CLIENT)
    ended = installation.run("pesalango", "--help")
    assert ended.returncode == 0, ended.stderr
    assert "Usage: pesalango " in ended.stdout


def test_the_server_runs_without_its_client(install: Install) -> None:
    installation = install(SERVER)

    assert import_all(installation, SERVER.package) == name_modules(SERVER)
    ended = installation.run("pesalango-server", "--help")
    assert ended.returncode == 0, ended.stderr
    assert "Usage: pesalango-server " in ended.stdout
    ended = installation.run("pesalango-server", "api-document")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["openapi"].startswith("3.")
