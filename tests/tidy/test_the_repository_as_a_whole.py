"""Links, code map, modes, sizes, changelog and pins, each with a sample that breaks the rule."""

from pathlib import Path

from tests.tidy import shape
from tests.tidy.repository import ROOT, list_paths, read_texts

# --- links ---------------------------------------------------------------------------------------


def test_every_relative_link_leads_somewhere() -> None:
    findings = shape.find_broken_links(read_texts(), frozenset(list_paths()))

    assert not findings, "\n" + "\n".join(findings)


def test_a_link_to_a_missing_file_or_heading_is_found() -> None:
    texts = {
        "README.md": "# Here\n[gone](docs/gone.md) [no heading](docs/page.md#there)\n",
        "docs/page.md": "# Page\n[up](../README.md#here) [folder](.) [out](https://example.com)\n",
    }

    assert shape.find_broken_links(texts, frozenset(texts)) == [
        "README.md: the link docs/gone.md leads nowhere",
        "README.md: docs/page.md has no heading for the link docs/page.md#there",
    ]


def test_a_link_inside_code_is_not_followed() -> None:
    texts = {"README.md": "```\n[gone](gone.md)\n```\nand `[gone](gone.md)`\n"}

    assert shape.find_broken_links(texts, frozenset(texts)) == []


def test_anchors_are_spelled_as_a_forge_spells_them() -> None:
    text = "# The engine's `contract`\n## Rule\n## Rule\n"

    assert shape.list_anchors(text) == {"the-engines-contract", "rule", "rule-1"}


def test_a_reader_of_the_readme_finds_every_page() -> None:
    findings = shape.find_unreachable_pages(read_texts())

    assert not findings, "\n" + "\n".join(findings)


def test_a_page_that_nobody_links_to_is_found() -> None:
    texts = {
        "README.md": "[guide](docs/guide)",
        "docs/guide/README.md": "[start](start.md)",
        "docs/guide/start.md": "[lost](https://example.com/lost.md)",
        "docs/lost.md": "",
    }

    assert shape.find_unreachable_pages(texts) == [
        "docs/lost.md: no link leads from README.md to this page"
    ]


# --- pages with a form ---------------------------------------------------------------------------


def test_the_changelog_has_its_headings() -> None:
    assert shape.find_changelog_faults(read_texts()["CHANGELOG.md"]) == []


def test_a_changelog_without_a_heading_is_found() -> None:
    faulty = "# Changelog\n\n## Unreleased\n\n### Safety\n\n### Features\n"

    assert shape.find_changelog_faults(faulty) == [
        "CHANGELOG.md: Unreleased has no heading Internals"
    ]
    assert shape.find_changelog_faults("# Changelog\n\n## 1.0.0\n") == [
        "CHANGELOG.md: its first section is not Unreleased"
    ]


def test_the_code_map_names_every_package() -> None:
    architecture = read_texts().get("ARCHITECTURE.md", "")

    findings = shape.find_unmapped_packages(architecture, frozenset(list_paths()))

    assert not findings, "\n" + "\n".join(findings)


def test_a_package_outside_the_code_map_is_found() -> None:
    paths = frozenset(
        {
            "sdk/src/pesalango/client.py",
            "sdk/src/pesalango/cli/pay.py",
            "src/pesalango_server/main.py",
            "src/pesalango_server/ledger/rules.py",
            "src/pesalango_server/catalog/operations/c2b.py",
        }
    )

    assert shape.find_unmapped_packages(
        "`src/pesalango_server/ledger/`, `src/pesalango_server/cli/`", paths
    ) == [
        "ARCHITECTURE.md: the code map has no sdk/src/pesalango/cli/",
        "ARCHITECTURE.md: the code map has no src/pesalango_server/catalog/operations/",
    ]


# --- files ---------------------------------------------------------------------------------------


def test_only_the_entry_of_ci_is_executable() -> None:
    findings = shape.find_mode_faults(ROOT, frozenset(list_paths()))

    assert not findings, "\n" + "\n".join(findings)


def test_a_wrong_mode_is_found(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci/run").write_text("")
    (tmp_path / "page.md").write_text("")
    (tmp_path / ".ci/run").chmod(0o644)
    (tmp_path / "page.md").chmod(0o755)

    assert shape.find_mode_faults(tmp_path, frozenset({".ci/run", "page.md"})) == [
        ".ci/run: chmod 755",
        "page.md: chmod a-x",
    ]


def test_no_file_is_over_the_bound() -> None:
    findings = shape.find_large_files(ROOT, frozenset(list_paths()))

    assert not findings, "\n" + "\n".join(findings)


def test_a_large_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "full").write_bytes(bytes(shape.FILE_BYTES_MAX))
    (tmp_path / "over").write_bytes(bytes(shape.FILE_BYTES_MAX + 1))

    assert shape.find_large_files(tmp_path, frozenset({"full", "over"})) == [
        "over: over 524288 bytes"
    ]


# --- requirements --------------------------------------------------------------------------------


def test_dependencies_inputs_and_pins_agree() -> None:
    texts = read_texts()

    findings = shape.find_requirement_faults(
        texts["pyproject.toml"],
        texts["sdk/pyproject.toml"],
        texts["requirements/run.in"],
        texts["requirements/run.txt"],
    )

    assert not findings, "\n" + "\n".join(findings)


def test_both_distributions_come_with_the_same_licence() -> None:
    texts = read_texts()

    assert texts["sdk/LICENSE"] == texts["LICENSE"]


def test_dependencies_that_disagree_are_found() -> None:
    server = (
        '[build-system]\nrequires = ["setuptools>=77"]\n'
        '[project]\ndependencies = ["apsw>=3.54", "msgspec", "rich"]\n'
    )
    client = (
        '[build-system]\nrequires = ["setuptools>=77"]\n'
        '[project]\ndependencies = ["apsw>=3.46", "pygments"]\n'
    )
    inputs = "setuptools # builds\napsw\nrich\nuvicorn\n"
    pins = "setuptools==84.2.1 \\\n    --hash=sha256:00\napsw==3.46.0\nmsgspec==0.22.0\n"

    assert shape.find_requirement_faults(server, client, inputs, pins) == [
        "msgspec: in only one of pyproject.toml and requirements/run.in",
        "pygments: in only one of pyproject.toml and requirements/run.in",
        "uvicorn: in only one of pyproject.toml and requirements/run.in",
        "apsw: pyproject.toml has >=3.54, sdk/pyproject.toml >=3.46",
        "apsw: the pin 3.46.0 does not meet >=3.54",
        "pygments: requirements/run.txt has no pin for it: make lock",
        "rich: requirements/run.txt has no pin for it: make lock",
    ]
