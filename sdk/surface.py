"""The page of the client's public names, `sdk/api.md`: whatever changes on it is a promise changed.

What is read is the source: names and annotations stand on the page as they were written. Members
of a base that is not public are shown with the class that has them.
"""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGES = ("pesalango", "pesalango.portalsdk")
"""Those that are there; what their `__all__` has is public."""
SHOWN = frozenset({"__init__", "__enter__", "__aenter__"})
_HEAD = """\
# What `pesalango` promises

Every public name with its members, parameters and types, written by `make gen` from the source. What
stands here changes with a new version and a line in the changelog only; whatever is not here may
change at any time.
"""
_MARK = "# section "


def find_packages() -> list[ModuleType]:
    """The public modules."""
    found = []
    for name in PACKAGES:
        try:
            found.append(importlib.import_module(name))
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
    return found


def render_page() -> str:
    """All of it, as Markdown."""
    lines = [_HEAD]
    for module in find_packages():
        lines.append(f"## `{module.__name__}`\n")
        for name, stub in render_stubs(module).items():
            lines.append(f"### {name}\n\n```pyi\n{stub.strip()}\n```\n")
    return "\n".join(lines)


def render_stubs(module: ModuleType) -> dict[str, str]:
    """By each public name of a module what it is, in the form of a stub file."""
    names: list[str] = sorted(module.__all__)
    sections = (f"{_MARK}{name}\n{_render(module, name)}\n" for name in names)
    stubs = _format("\n".join(sections)).split(_MARK)[1:]
    return dict(tuple(stub.split("\n", 1)) for stub in stubs)  # type: ignore[misc]


def _render(module: ModuleType, name: str) -> str:
    value = getattr(module, name)
    if not isinstance(value, type):
        return _render_constant(module, name)
    values = [getattr(module, other) for other in module.__all__]
    public = {each for each in values if isinstance(each, type)}
    head, members = _parse(value), _collect(value, public)
    bases = [_unquote(base) for base in head.bases if _is_shown(value, base, public)]
    bases += [ast.unparse(keyword) for keyword in head.keywords]
    lines = [f"class {name}({', '.join(bases)}):" if bases else f"class {name}:"]
    lines += [f"    {line}" for line in (_quote(ast.get_docstring(head)), *members.values())]
    return "\n".join(lines)


def _render_constant(module: ModuleType, name: str) -> str:
    """The assignment, and what is said below it."""
    folder = Path(str(module.__file__)).parent
    for path in sorted(folder.glob("*.py")):
        body = ast.parse(path.read_text("utf-8")).body
        for place, node in enumerate(body):
            targets = (
                node.targets
                if isinstance(node, ast.Assign)
                else [node.target]
                if isinstance(node, ast.AnnAssign)
                else []
            )
            if name not in [ast.unparse(target) for target in targets]:
                continue
            # A version is what changes without a promise being changed.
            text = f"{name}: str" if name == "__version__" else ast.unparse(node)
            return _say_below(text, body, place).replace("\n    ", "\n")
    raise LookupError(f"{module.__name__} has no {name} that this page knows how to show")


def _parse(kind: type) -> ast.ClassDef:
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    if not isinstance(node, ast.ClassDef):
        raise TypeError(f"{kind} is no class of ours")
    return node


def _is_shown(kind: type, base: ast.expr, public: set[type]) -> bool:
    """Whether a base is one that a caller can name: public, or another library's."""
    name = _unquote(base)
    found = next((each for each in kind.__mro__ if each.__name__ == name), None)
    return found is None or found in public or not found.__module__.startswith(PACKAGES[0])


def _collect(kind: type, public: set[type]) -> dict[str, str]:
    """Public members by name, those of private bases last."""
    members: dict[str, str] = {}
    for each in kind.__mro__:
        if each is not kind and each in public:
            continue
        if each.__module__.partition(".")[0] == PACKAGES[0]:
            for name, text in _list_members(_parse(each), vars(sys.modules[each.__module__])):
                members.setdefault(name, text)
    return members


def _list_members(head: ast.ClassDef, known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """`known` is what the module's names stand for."""
    for place, node in enumerate(head.body):
        match node:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)])
            ) if not name.startswith("_"):
                if isinstance(node, ast.AnnAssign):
                    node.annotation = ast.Name(_unquote(node.annotation))
                yield name, _say_below(ast.unparse(node), head.body, place)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if name == "__init__":
                    yield from _list_attributes(node)
                is_setter = any(text.endswith(".setter") for text in _list_decorators(node))
                if (not name.startswith("_") and not is_setter) or name in SHOWN:
                    yield name, _render_function(node, known)
            case _:
                pass


def _list_attributes(init: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, str]]:
    """What an `__init__` sets."""
    parameters = {
        each.arg: _unquote(each.annotation)
        for each in (*init.args.args, *init.args.kwonlyargs)
        if each.annotation is not None
    }
    for place, node in enumerate(init.body):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        match target:
            case ast.Attribute(value=ast.Name(id="self"), attr=name) if not name.startswith("_"):
                yield name, _say_below(f"{name}: {_guess(node, parameters)}", init.body, place)
            case _:
                pass


def _guess(node: ast.stmt, parameters: dict[str, str]) -> str:
    """The type of what an attribute is set to."""
    match node:
        case ast.AnnAssign(annotation=annotation):
            return _unquote(annotation)
        case ast.Assign(value=ast.Name(id=name)) if name in parameters:
            return parameters[name]
        case ast.Assign(value=ast.Call(func=ast.Name(id=name))):
            return name
    raise LookupError(f"annotate the attribute that is set by {ast.unparse(node)!r}")


def _list_decorators(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    return [ast.unparse(each) for each in node.decorator_list]


def _render_function(node: ast.FunctionDef | ast.AsyncFunctionDef, known: Mapping[str, Any]) -> str:
    for argument in ast.walk(node.args):
        if isinstance(argument, ast.arg) and argument.annotation is not None:
            argument.annotation = ast.Name(_unquote(argument.annotation))
    for defaults in (node.args.defaults, node.args.kw_defaults):
        for place, default in enumerate(defaults):
            # The value is promised, not the name that it has inside.
            if isinstance(default, ast.Name):
                value = known[default.id]
                is_plain = isinstance(value, str | int | float)
                defaults[place] = ast.Constant(value if is_plain else ...)
    kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returned = f" -> {_unquote(node.returns)}" if node.returns is not None else ""
    lines = [f"@{each}" for each in _list_decorators(node)]
    lines += [f"{kind} {node.name}({ast.unparse(node.args)}){returned}:"]
    lines += [f"    {_quote(ast.get_docstring(node))}"]
    return "\n    ".join(lines)


def _unquote(annotation: ast.expr) -> str:
    """An annotation without the quotes that stand for a name which comes later."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value
    return ast.unparse(annotation)


def _say_below(text: str, body: list[ast.stmt], place: int) -> str:
    """A member, and what is said of it in the statement after it."""
    said = _read_text(body, place + 1)
    return text if said is None else f"{text}\n    {_quote(said)}"


def _read_text(body: list[ast.stmt], place: int) -> str | None:
    """The text that stands as a statement of its own."""
    match body[place : place + 1]:
        case [ast.Expr(value=ast.Constant(value=str(text)))]:
            return text
    return None


def _quote(text: str | None) -> str:
    """A text's first sentence as a docstring."""
    if text is None:
        return "..."
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    sentence = re.split(r"(?<=\.)\s", paragraph)[0]
    return f'"""{sentence}"""'


def _format(stubs: str) -> str:
    done = subprocess.run(
        [Path(sys.executable).parent / "ruff", "format", "--stdin-filename", "api.pyi", "-"],
        input=stubs,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
