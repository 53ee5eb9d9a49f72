"""The tidy rules that look at the repository as a whole: links, code map, modes, pins."""

import re
import tomllib
from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from markdown_it import MarkdownIt
from markdown_it.token import Token
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FILE_BYTES_MAX = 512 * 1024
EXECUTABLE_PATHS = frozenset({".ci/run"})
PACKAGE_ROOTS = (PurePosixPath("src/pesalango_server"), PurePosixPath("sdk/src/pesalango"))
CHANGELOG_HEADINGS = ("Safety", "Features", "Internals")

Texts: TypeAlias = dict[str, str]
"""Text of a file by its path relative to the root."""


# --- Markdown ------------------------------------------------------------------------------------


def _walk_tokens(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _walk_tokens(token.children or [])


def list_relative_links(text: str) -> list[str]:
    """Targets of a page's links and pictures that lead into the repository; code is left out."""
    targets: list[str] = []
    for token in _walk_tokens(MarkdownIt().parse(text)):
        target = token.attrs.get("href" if token.type == "link_open" else "src")
        if isinstance(target, str) and not re.match(r"[a-z][a-z0-9+.-]*:|//", target):
            targets.append(target)
    return targets


def list_anchors(text: str) -> set[str]:
    """The anchors that a forge gives a page's headings: lower case, dashes, numbered doubles."""
    anchors: set[str] = set()
    tokens = MarkdownIt().parse(text)
    for heading, inline in pairwise(tokens):
        if heading.type != "heading_open":
            continue
        words = "".join(token.content for token in inline.children or [])
        anchor = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        unique, number = anchor, 0
        while unique in anchors:
            number += 1
            unique = f"{anchor}-{number}"
        anchors.add(unique)
    return anchors


def resolve_link(page: str, target: str) -> tuple[str, str]:
    """Path relative to the root (empty for the root itself) and anchor of a page's link."""
    path, _, anchor = target.partition("#")
    if not path:
        return page, anchor
    parts: list[str] = []
    for part in (PurePosixPath(page).parent / path).parts:
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts), anchor


def find_broken_links(texts: Texts, paths: frozenset[str]) -> list[str]:
    """Relative links of Markdown pages to a file, folder or heading that is not there."""
    folders = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    findings: list[str] = []
    for page, text in texts.items():
        if not page.endswith(".md"):
            continue
        for target in list_relative_links(text):
            path, anchor = resolve_link(page, target)
            if path not in paths and (path or ".") not in folders:
                findings.append(f"{page}: the link {target} leads nowhere")
            elif anchor and path.endswith(".md") and anchor not in list_anchors(texts[path]):
                findings.append(f"{page}: {path} has no heading for the link {target}")
    return findings


def find_unreachable_pages(texts: Texts) -> list[str]:
    """Pages of docs/ to which no chain of links leads from README.md."""
    pages = {path for path in texts if path.endswith(".md")}
    reached, waiting = {"README.md"} & pages, deque({"README.md"} & pages)
    while waiting:
        page = waiting.popleft()
        for target in list_relative_links(texts[page]):
            path, _anchor = resolve_link(page, target)
            # A link to a folder shows that folder's own page.
            for candidate in (path, f"{path}/README.md"):
                if candidate in pages and candidate not in reached:
                    reached.add(candidate)
                    waiting.append(candidate)
    return [
        f"{page}: no link leads from README.md to this page"
        for page in sorted(pages - reached)
        if page.startswith("docs/")
    ]


def find_changelog_faults(text: str) -> list[str]:
    """Headings that the first section, Unreleased, lacks."""
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    if not sections or not sections[0].startswith("Unreleased\n"):
        return ["CHANGELOG.md: its first section is not Unreleased"]
    return [
        f"CHANGELOG.md: Unreleased has no heading {heading}"
        for heading in CHANGELOG_HEADINGS
        if f"\n### {heading}\n" not in sections[0]
    ]


def find_unmapped_packages(architecture: str, paths: frozenset[str]) -> list[str]:
    """Packages of server and client below their topmost that ARCHITECTURE.md does not name."""
    modules = [PurePosixPath(path) for path in paths if path.endswith(".py")]
    packages = {
        str(module.parent)
        for module in modules
        if any(root in module.parent.parents for root in PACKAGE_ROOTS)
    }
    return [
        f"ARCHITECTURE.md: the code map has no {package}/"
        for package in sorted(packages)
        if f"`{package}/`" not in architecture
    ]


# --- files ---------------------------------------------------------------------------------------


def find_mode_faults(root: Path, paths: frozenset[str]) -> list[str]:
    """Files that are executable and should not be, or the other way round."""
    findings: list[str] = []
    for path in sorted(paths):
        is_executable = bool((root / path).stat().st_mode & 0o111)
        if is_executable != (path in EXECUTABLE_PATHS):
            findings.append(f"{path}: chmod {'a-x' if is_executable else '755'}")
    return findings


def find_large_files(root: Path, paths: frozenset[str]) -> list[str]:
    """Files over the bound: a repository keeps everything that it was ever given."""
    return [
        f"{path}: over {FILE_BYTES_MAX} bytes"
        for path in sorted(paths)
        if (root / path).stat().st_size > FILE_BYTES_MAX
    ]


# --- requirements --------------------------------------------------------------------------------


def parse_requirements(text: str) -> dict[str, Requirement]:
    """Requirements of a file by canonical name; hashes, comments and options are left out."""
    requirements: dict[str, Requirement] = {}
    for line in text.splitlines():
        content = re.sub(r"(^|\s)#.*$", "", line).rstrip("\\ ").strip()
        if content and not content.startswith("-"):
            requirement = Requirement(content)
            requirements[canonicalize_name(requirement.name)] = requirement
    return requirements


def list_dependencies(pyproject: str) -> dict[str, Requirement]:
    """What a pyproject.toml asks for, to build with and in its extras too, by canonical name."""
    project = tomllib.loads(pyproject)
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for extra in project["project"].get("optional-dependencies", {}).values():
        wanted.extend(extra)
    return parse_requirements("\n".join(wanted))


def find_requirement_faults(server: str, client: str, inputs: str, pins: str) -> list[str]:
    """Differences between both pyproject.toml, run.in and the pins of run.txt."""
    of_server, of_client = list_dependencies(server), list_dependencies(client)
    declared = of_client | of_server
    listed, pinned = parse_requirements(inputs), parse_requirements(pins)
    findings = [
        f"{name}: in only one of pyproject.toml and requirements/run.in"
        for name in sorted(declared.keys() ^ listed.keys())
    ]
    findings += [
        f"{name}: pyproject.toml has {of_server[name].specifier}, "
        f"sdk/pyproject.toml {of_client[name].specifier}"
        for name in sorted(of_server.keys() & of_client.keys())
        if of_server[name].specifier != of_client[name].specifier
    ]
    for name, requirement in sorted(declared.items()):
        pin = pinned.get(name)
        if pin is None:
            findings.append(f"{name}: requirements/run.txt has no pin for it: make lock")
            continue
        (version,) = (part.version for part in pin.specifier)
        if not requirement.specifier.contains(version):
            findings.append(f"{name}: the pin {version} does not meet {requirement.specifier}")
    return findings
