"""The tidy rules that look at one file at a time, as a table.

Each rule brings a sample that it must find fault with and one that it must let pass, so that a
rule which has stopped to see anything fails itself. A finding says what to do instead.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TypeAlias

FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 500
TEST_NAME_WORDS_MIN = 3

SOURCE = "src/pesalango_server/"
CLIENT = "sdk/src/pesalango/"
LICENCES = ("LICENSE", "sdk/LICENSE")

Finding: TypeAlias = tuple[int, str]
"""Line, counted from 1, and what to do about it."""


@dataclass(frozen=True)
class Rule:
    """`covers` is asked with a file's path, `find` with its path and text."""

    name: str
    covers: Callable[[str], bool]
    find: Callable[[str, str], Iterator[Finding]]
    bad: tuple[str, str]
    good: tuple[str, str]

    def check(self, path: str, text: str) -> list[str]:
        """Findings in one file as `path:line: message`; none where the rule does not cover it."""
        if not self.covers(path):
            return []
        return [f"{path}:{line}: {message}" for line, message in self.find(path, text)]


# --- which files a rule covers -------------------------------------------------------------------


def is_source(path: str) -> bool:
    return path.startswith((SOURCE, CLIENT)) and path.endswith(".py")


def is_python(path: str) -> bool:
    return path.endswith(".py")


def is_test(path: str) -> bool:
    return path.startswith("tests/") and path.endswith(".py")


def is_prose_or_code(path: str) -> bool:
    """Everything we write ourselves; not the licence, nor the rules that have to name the words."""
    return path not in LICENCES and not path.startswith("tests/tidy/")


def is_own_prose(path: str) -> bool:
    """Markdown by hand. Generated pages carry the texts of the operator's specification."""
    return path.endswith(".md") and not _carries_specification(path)


def speaks_our_spelling(path: str) -> bool:
    return is_prose_or_code(path) and not _carries_specification(path)


def is_below_the_border(path: str) -> bool:
    """The server's source that must not know how things are called on the wire."""
    is_border = path.startswith((f"{SOURCE}catalog/", f"{SOURCE}gateway/"))
    return path.startswith(SOURCE) and path.endswith(".py") and not is_border


def knows_no_codes(path: str) -> bool:
    """One module besides turns each status into a code, for every status there is."""
    return is_below_the_border(path) and path != f"{SOURCE}payments/outcomes.py"


def is_silent_source(path: str) -> bool:
    return is_source(path) and not path.startswith((f"{SOURCE}cli/", f"{CLIENT}cli/"))


def _carries_specification(path: str) -> bool:
    """The catalog, what is generated from it, and the documentation's own tables."""
    return path.startswith(
        (
            f"{SOURCE}catalog/",
            "sdk/src/pesalango/_catalog.py",
            "tests/contract/",
            "docs/reference/",
        )
    )


# --- rules over words ----------------------------------------------------------------------------


def find_words(words: dict[str, str]) -> Callable[[str, str], Iterator[Finding]]:
    """A rule over regular expressions, each with what to write instead; case is ignored."""
    patterns = [(re.compile(word, re.IGNORECASE), instead) for word, instead in words.items()]

    def find(_path: str, text: str) -> Iterator[Finding]:
        for line, content in enumerate(text.splitlines(), start=1):
            for pattern, instead in patterns:
                if match := pattern.search(content):
                    yield line, f"{match[0]!r}: {instead}"

    return find


# The hosts are put together here because no file may name one, this one included.
_REGISTRY_HOSTS = "|".join(
    re.escape(".".join(labels))
    for labels in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("pypi", "python", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("deb", "debian", "org"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("docker", "io"),
        ("ghcr", "io"),
    )
)


# --- rules over Python ---------------------------------------------------------------------------


@lru_cache(maxsize=512)
def _parse(text: str) -> ast.Module:
    return ast.parse(text)


def _functions(text: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(_parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def find_long_functions(_path: str, text: str) -> Iterator[Finding]:
    """A docstring does not count: it shall be as long as it needs to be."""
    for function in _functions(text):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        first = function.body[0]
        if ast.get_docstring(function, clean=False) is not None:
            lines -= (first.end_lineno or first.lineno) - first.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            bound = f"{function.name} has {lines} lines, at most {FUNCTION_LINES_MAX}"
            yield function.lineno, f"{bound}: take a step with a name of its own out of it"


def find_long_modules(_path: str, text: str) -> Iterator[Finding]:
    lines = len(text.splitlines())
    if lines > MODULE_LINES_MAX:
        yield 1, f"{lines} lines, at most {MODULE_LINES_MAX}: one subject, one module"


def find_vague_modules(path: str, _text: str) -> Iterator[Finding]:
    vague = {"utils", "util", "helpers", "helper", "common", "misc"}
    for part in PurePosixPath(path).with_suffix("").parts:
        if part in vague:
            yield 1, f"a module named {part!r} says nothing: name it after what is in it"


def find_asserts(_path: str, text: str) -> Iterator[Finding]:
    for node in ast.walk(_parse(text)):
        if isinstance(node, ast.Assert):
            yield node.lineno, "`python -O` drops assert: raise (server: kernel.invariant.ensure)"


def find_prints(_path: str, text: str) -> Iterator[Finding]:
    for node in ast.walk(_parse(text)):
        match node:
            case ast.Call(func=ast.Name(id="print")):
                yield node.lineno, "only the command line prints: log it (server: telemetry)"


def find_sleeps(_path: str, text: str) -> Iterator[Finding]:
    instead = "time.sleep: wait for an event or a condition that has a deadline"
    for node in ast.walk(_parse(text)):
        match node:
            case ast.Attribute(value=ast.Name(id="time"), attr="sleep"):
                yield node.lineno, instead
            case ast.ImportFrom(module="time", names=names) if "sleep" in [n.name for n in names]:
                yield node.lineno, instead


def find_missing_docstring(_path: str, text: str) -> Iterator[Finding]:
    if not ast.get_docstring(_parse(text)):
        yield 1, "no docstring: say in a sentence what this module is for"


def find_short_test_names(_path: str, text: str) -> Iterator[Finding]:
    for function in _functions(text):
        prefix, _, sentence = function.name.partition("_")
        words = [word for word in sentence.split("_") if word]
        if prefix == "test" and len(words) < TEST_NAME_WORDS_MIN:
            yield function.lineno, f"{function.name}: name a test with the sentence that it proves"


# --- the table -----------------------------------------------------------------------------------

_LONG_BODY = "    value = 1\n" * FUNCTION_LINES_MAX
_LONG_DOCSTRING = '    """' + "Line.\n" * FUNCTION_LINES_MAX + '    """\n'

RULES = (
    Rule(
        name="functions fit on a screen",
        covers=is_source,
        find=find_long_functions,
        bad=(f"{SOURCE}ledger/rules.py", f"def decide():\n{_LONG_BODY}"),
        good=(f"{SOURCE}ledger/rules.py", f"def decide():\n{_LONG_DOCSTRING}    value = 1\n"),
    ),
    Rule(
        name="modules have one subject",
        covers=is_source,
        find=find_long_modules,
        bad=(f"{SOURCE}ledger/rules.py", "value = 1\n" * (MODULE_LINES_MAX + 1)),
        good=(f"{SOURCE}ledger/rules.py", "value = 1\n" * MODULE_LINES_MAX),
    ),
    Rule(
        name="modules are named after what is in them",
        covers=is_python,
        find=find_vague_modules,
        bad=(f"{SOURCE}ledger/helpers.py", ""),
        good=(f"{SOURCE}ledger/chart.py", ""),
    ),
    Rule(
        name="nothing is left over",
        covers=is_prose_or_code,
        find=find_words({r"\b(?:TODO|FIXME|XXX|HACK)\b": "do it now, or open an issue"}),
        bad=(f"{SOURCE}main.py", "# TODO: bound this\n"),
        good=(f"{SOURCE}main.py", "# Bounded by max_waiting.\n"),
    ),
    Rule(
        name="prose does not talk down",
        covers=is_own_prose,
        find=find_words({r"\b(?:simply|just|obviously|of course|trivially)\b": "leave it out"}),
        bad=("docs/guide/start.md", "Now simply run it.\n"),
        good=("docs/guide/start.md", "Now run it.\n"),
    ),
    Rule(
        name="words exclude nobody",
        covers=is_prose_or_code,
        find=find_words(
            {
                r"\bmasters?\b": "write primary, main or leader",
                r"\bslaves?\b": "write replica, standby or follower",
                r"black-?list": "write denied, or the list's purpose",
                r"white-?list": "write allowed, or the list's purpose",
            }
        ),
        bad=(f"{SOURCE}settings.py", "origin_whitelist = ()\n"),
        good=(f"{SOURCE}settings.py", "origins_allowed = ()\npostmaster = 1\n"),
    ),
    Rule(
        name="spelling is British",
        covers=speaks_our_spelling,
        find=find_words(
            {
                r"organization": "write organisation",
                r"behavior": "write behaviour",
                r"canceled|canceling": "write cancelled, cancelling",
            }
        ),
        bad=(f"{SOURCE}applications/model.py", "class Organization: ...\n"),
        good=(f"{SOURCE}catalog/codes.py", 'TEXT = "Organization"\n'),
    ),
    Rule(
        name="wire names stop at the gateway's border",
        covers=is_below_the_border,
        find=find_words({r"\b(?:input|output)_": "only catalog and gateway know wire names"}),
        bad=(f"{SOURCE}payments/outcomes.py", "output_ResponseCode = 1\n"),
        good=(f"{SOURCE}gateway/wire.py", 'AMOUNT = "input_Amount"\n'),
    ),
    Rule(
        name="wire codes stop at the gateway's border",
        covers=knows_no_codes,
        find=find_words(
            {r"\bINS-(?:GAR-)?\d+": "only catalog and gateway know wire codes: use a status"}
        ),
        bad=(f"{SOURCE}ledger/rules.py", "# answers INS-10\n"),
        good=(f"{SOURCE}payments/outcomes.py", 'CODES = {Status.DUPLICATE: "INS-10"}\n'),
    ),
    Rule(
        name="no file names a package registry",
        covers=lambda _path: True,
        find=find_words({_REGISTRY_HOSTS: "clients know their registry: name the package alone"}),
        bad=("requirements/run.txt", "--index-url https://" + "pypi" + ".org/simple\n"),
        good=("requirements/run.txt", "msgspec==0.22.0\n"),
    ),
    Rule(
        name="no file holds a path of somebody's machine",
        covers=lambda _path: True,
        find=find_words(
            {r"(?<![\w.~])/(?:work|farm|home|Users|root)/": "make it relative to the repository"}
        ),
        bad=("tests/unit/test_paths.py", 'DATA = "/' + 'home/ann/data"\n'),
        good=("tests/unit/test_paths.py", 'DATA = Path(__file__).parent / "home/data"\n'),
    ),
    Rule(
        name="source does not assert",
        covers=is_source,
        find=find_asserts,
        bad=(f"{SOURCE}ledger/rules.py", "assert 1 + 1 == 2\n"),
        good=(f"{SOURCE}ledger/rules.py", 'ensure(1 + 1 == 2, "sums hold")\n'),
    ),
    Rule(
        name="only the command line prints",
        covers=is_silent_source,
        find=find_prints,
        bad=(f"{SOURCE}main.py", 'print("ready")\n'),
        good=(f"{SOURCE}cli/up.py", 'print("ready")\n'),
    ),
    Rule(
        name="nobody sleeps",
        covers=lambda path: is_source(path) or is_test(path),
        find=find_sleeps,
        bad=("tests/e2e/test_up.py", "import time\ntime.sleep(1)\n"),
        good=("tests/e2e/test_up.py", "ready.wait(timeout=5)\n"),
    ),
    Rule(
        name="every module says what it is for",
        covers=is_source,
        find=find_missing_docstring,
        bad=(f"{SOURCE}ledger/rules.py", "LIMIT = 1\n"),
        good=(f"{SOURCE}ledger/rules.py", '"""The rules of the double entry."""\n'),
    ),
    Rule(
        name="tests are sentences",
        covers=is_test,
        find=find_short_test_names,
        bad=("tests/unit/test_money.py", "def test_parse_amount():\n    pass\n"),
        good=("tests/unit/test_money.py", "def test_an_amount_is_whole():\n    pass\n"),
    ),
    Rule(
        name="the repository speaks of the product alone",
        covers=is_prose_or_code,
        find=find_words(
            {
                r"\bAI\b|\bLLMs?\b|\bchat ?bots?\b|\blanguage models?\b": "leave it out",
                # A caller's software is a user agent in HTTP's own words.
                r"(?<!user[- ])\bagents?\b": "say who or what it is",
                r"\bprompt engineer": "leave it out",
            }
        ),
        bad=("CONTRIBUTING.md", "The agent writes the page.\n"),
        good=("CONTRIBUTING.md", "The User-Agent header and the customer's prompt.\n"),
    ),
)
