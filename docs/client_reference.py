"""The reference page of the Python client, made of its signatures and docstrings.

It is read from the source, where annotations stand as they were written and the text below an
attribute is about that attribute.
"""

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import msgspec

import pesalango
from pesalango import _client

WIDTH: Final = 88

INTRODUCTION: Final = """# The Python client

Everything that `import pesalango` has. What begins with an underscore may change at any time. The
[first payment in Python](../guide/first-payment-in-python.md) shows how it is used,
[outcomes in Python](../guide/outcomes-in-python.md) what to make of its errors,
[the journal](../guide/journal.md) what protects from paying twice.

Times are seconds. Amounts are in the market's main unit: `Amount` is `Decimal | int | str`, never a
float. `Environment` is `"sandbox"` or `"openapi"`; `PaymentState` is `"completed"`, `"refused"` or `"open"`.
`__version__` is the package's. Every parameter behind a `*` is given by its name. These are everywhere:

* `extra_fields`: further fields of the request, by their names on the wire; they win.
* `timeout`, `headers`: of this one call.

What no request can carry is a TypeError or ValueError, raised before anything is kept or sent.
"""

PAYMENTS: Final = """## Payments

`client.payments`, a `Payments`. What [the journal](../guide/journal.md) has under a key is one payment for ever.
Those of `AsyncClient`, `AsyncPayments`, are the same, awaited.
"""

CALLS: Final = """## Plain calls

One request each, of which nothing is kept. Those of `AsyncClient` are the same, awaited.
"""

RESULTS: Final = """## Results

What `payments` returns, and what the plain calls do.
"""

JOURNAL: Final = """## The journal

`SqliteJournal` is what a path stands for. `Journal` is for a database of your own
([an example](../guide/journal.md#a-journal-of-your-own)); `AsyncJournal` has the same methods, awaited.
"""

ERRORS: Final = """## Errors

[Outcomes in Python](../guide/outcomes-in-python.md#the-tree) says what each means for the money, and
what to do.
"""


def render_client_markdown() -> str:
    """The page."""
    calls, payments = pesalango.Client.__mro__[1], pesalango.Payments.__mro__[1]
    parts = [INTRODUCTION]
    parts += ["## Clients\n", *_render_class(pesalango.Client, level=3, variable="client")]
    parts += _render_head(pesalango.AsyncClient, level=3)
    parts += [PAYMENTS, f"{_describe(payments)}\n"]
    parts += _render_methods(payments, level=3, variable="client.payments")
    parts += _render_methods(pesalango.Payments, level=3, variable="client.payments")
    parts += [CALLS, f"{_describe(calls)}\n"]
    parts += _render_methods(calls, level=3, variable="client")
    parts.append(RESULTS)
    parts += _render_struct(pesalango.Payment)
    for result in _list_results():
        parts += _render_struct(result)
    parts += ["### Market\n", *_render_struct(pesalango.Market)[1:], _render_markets()]
    parts.append(JOURNAL)
    parts += [*_render_struct(pesalango.Intent), *_render_struct(pesalango.Closing)]
    parts += _render_class(pesalango.Journal, level=3, variable="journal")
    parts += _render_head(pesalango.SqliteJournal, level=3)
    parts += [ERRORS, *_render_errors()]
    return "\n".join(parts)


def list_explained() -> set[str]:
    """Names of the package that the page speaks of; a test compares them with all there are."""
    page = render_client_markdown()
    return {name for name in pesalango.__all__ if f"`{name}`" in page or f"# {name}\n" in page}


# --- what is rendered ----------------------------------------------------------------------------


def _render_class(kind: type[Any], *, level: int, variable: str) -> list[str]:
    methods = _render_methods(kind, level=level + 1, variable=variable)
    return _render_head(kind, level=level) + methods


def _render_head(kind: type[Any], *, level: int) -> list[str]:
    lines = [f"{'#' * level} {kind.__name__}\n", f"{_describe(kind)}\n"]
    init = _find_init(kind)
    return lines if init is None else [*lines, _render_signature(kind.__name__, init)]


def _render_methods(kind: type[Any], *, level: int, variable: str) -> list[str]:
    lines = []
    for method in _list_methods(kind):
        decorators = {ast.unparse(each) for each in method.decorator_list}
        owner = kind.__name__ if "classmethod" in decorators else variable
        # An anchor has to be the only one of its name on the page.
        lines.append(f"{'#' * level} {owner}.{method.name}\n")
        if "property" in decorators:
            lines.append(f"`{ast.unparse(method.returns)}`\n" if method.returns else "")
        else:
            lines.append(_render_signature(method.name, method))
        lines.append(f"{_clean(ast.get_docstring(method))}\n")
    return lines


def _render_signature(name: str, method: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    arguments = method.args
    positional = [*arguments.posonlyargs, *arguments.args][1:]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    parts = [
        _render_argument(argument, default)
        for argument, default in zip(positional, [*defaults, *arguments.defaults], strict=True)
    ]
    if arguments.kwonlyargs:
        parts.append("*")
        parts += map(_render_argument, arguments.kwonlyargs, arguments.kw_defaults)
    if arguments.kwarg is not None:
        parts.append(f"**{_render_argument(arguments.kwarg, None)}")
    begin = f"{'await ' if isinstance(method, ast.AsyncFunctionDef) else ''}{name}("
    end = ")"
    if method.returns is not None and method.name != "__init__":
        end += f" -> {ast.unparse(method.returns)}"
    line = begin + ", ".join(parts) + end
    if len(line) > WIDTH:
        line = "\n".join([begin, *(f"    {part}," for part in parts), end])
    return f"```py\n{line}\n```\n"


def _render_argument(argument: ast.arg, default: ast.expr | None) -> str:
    text = argument.arg
    if argument.annotation is not None:
        text += f": {ast.unparse(argument.annotation)}"
    if default is None:
        return text
    if isinstance(default, ast.Name):
        # A reader has use for the number, not for its name in the source.
        return f"{text} = {getattr(_client, default.id)!r}"
    return f"{text} = {ast.unparse(default)}"


def _render_struct(kind: type[Any]) -> list[str]:
    rows = "".join(
        f"| `{name}` | `{type_.replace('|', chr(92) + '|')}` | {meaning} |\n"
        for name, type_, meaning in _list_attributes(kind)
    )
    table = "| Field | Type | Meaning |\n|---|---|---|\n" + rows
    return [f"### {kind.__name__}\n", f"{_describe(kind)}\n", table]


def _render_markets() -> str:
    rows = "".join(
        f"| `{name}` | {market.country} | {market.currency} |\n"
        for name, market in pesalango.MARKETS.items()
    )
    return (
        "`MARKETS` has them by their names:\n\n| Name | Country | Currency |\n|---|---|---|\n"
        + rows
    )


def _render_errors() -> Iterator[str]:
    tree = inspect.getdoc(sys.modules[pesalango.CallError.__module__]) or ""
    begin = tree.index("    PesalangoError\n")
    end = tree.index("\n\n", begin)
    yield f"```text\n{inspect.cleandoc(tree[begin:end])}\n```\n"
    for name in pesalango.__all__:
        kind = getattr(pesalango, name)
        if not (inspect.isclass(kind) and issubclass(kind, pesalango.PesalangoError)):
            continue
        bases = ", ".join(f"`{base.__name__}`" for base in kind.__bases__)
        yield f"### {name}\n\nBelow {bases}.\n\n{_describe(kind)}\n"
        rows = [
            f"* `{attribute}`: {meaning}\n"
            for attribute, _, meaning in _list_attributes(kind)
            if meaning
        ]
        if rows:
            yield "".join(rows)


# --- what the source says ------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _parse(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(sys.modules[module]))


def _find_class(kind: type[Any]) -> ast.ClassDef:
    for node in _parse(kind.__module__).body:
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__:
            return node
    raise LookupError(f"{kind.__module__} has no class {kind.__name__}")


def _find_init(kind: type[Any]) -> ast.FunctionDef | None:
    for node in _find_class(kind).body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return node
    return None


def _list_methods(kind: type[Any]) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [
        node
        for node in _find_class(kind).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
    ]


def _list_attributes(kind: type[Any]) -> Iterator[tuple[str, str, str]]:
    """Name, type and meaning of fields, properties, and of what `__init__` keeps with a text."""
    body = _find_class(kind).body
    init = _find_init(kind)
    yield from _read_attributes(body, must_be_told=init is not None)
    if init is not None:
        yield from _read_attributes(init.body, must_be_told=True)
    if issubclass(kind, msgspec.Struct):
        for node in _list_methods(kind):
            if any(ast.unparse(each) == "property" for each in node.decorator_list):
                type_ = ast.unparse(node.returns) if node.returns else ""
                yield node.name, type_, _join(ast.get_docstring(node))


def _read_attributes(body: list[ast.stmt], *, must_be_told: bool) -> Iterator[tuple[str, str, str]]:
    for node, following in zip(body, [*body[1:], None], strict=True):
        meaning = ""
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            meaning = _join(str(following.value.value))
        if not meaning and must_be_told:
            continue
        if isinstance(node, ast.AnnAssign):
            yield ast.unparse(node.target), ast.unparse(node.annotation), meaning
        elif isinstance(node, ast.Assign) and meaning:
            yield ast.unparse(node.targets[0]).removeprefix("self."), "", meaning


def _list_results() -> list[type[Any]]:
    return [getattr(pesalango, name) for name in pesalango.__all__ if name.endswith("Result")]


def _describe(kind: type[Any]) -> str:
    return _clean(ast.get_docstring(_find_class(kind)))


def _clean(docstring: str | None) -> str:
    return inspect.cleandoc(docstring or "")


def _join(docstring: str | None) -> str:
    return " ".join((docstring or "").split())
