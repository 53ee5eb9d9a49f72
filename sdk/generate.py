"""Writes what of the client follows from the server's catalog: operations, results, methods; and
the page of all public names.

    python sdk/generate.py            writes the modules and `sdk/api.md`
    python sdk/generate.py --check    writes nothing; status 1 if one is stale

What is written is committed, so that the client itself knows nothing of the server.
"""

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

from pesalango_server.catalog import registry
from pesalango_server.catalog.codes import CODES
from pesalango_server.catalog.kinds import AMOUNT
from pesalango_server.catalog.markets import MARKETS
from pesalango_server.catalog.model import Field, Operation
from pesalango_server.engine.registry import PAYMENTS
from pesalango_server.gateway.operations import ROUTED
from surface import render_page

HOME = Path(__file__).resolve().parent
PACKAGE = HOME / "src" / "pesalango"
WIDTH = 100

SESSION = "get_session"
PAYMENT_METHODS = {
    "collect": ("c2b_single_stage", "Take money from a customer, who is asked to approve."),
    "pay_out": ("b2c_payment", "Pay a customer."),
    "pay_business": ("b2b_payment", "Pay another organisation."),
    "reverse": ("reversal", "Give a payment back, in full (no amount) or in part."),
}
FLAGS = frozenset({"reversed"})
GIVEN_BY_CLIENT = ("country", "currency", "third_party_conversation_id")
"""Optional here although the wire wants them: market and client know them."""

DESCRIPTIONS = {
    "third_party_conversation_id": "Yours for this request, 1 to 32 letters and digits; made here "
    "where it is left out.",
}


def served() -> list[Operation]:
    """The operations that this client calls, in the catalog's order."""
    return [operation for operation in registry.OPERATIONS if operation.name in ROUTED]


def money_names() -> set[str]:
    """Names of the operations that move money."""
    return {payment.operation.name for payment in PAYMENTS}


def class_of(operation: Operation) -> str:
    """The name of its result."""
    return "".join(word.capitalize() for word in operation.name.split("_")) + "Result"


def render_catalog() -> str:
    """Markets, operations and codes."""
    lines = [
        '"""Markets, operations and codes. Written by `make gen` from the server\'s catalog."""',
        "",
        "from collections.abc import Mapping",
        "from types import MappingProxyType",
        "from typing import Final",
        "",
        "from pesalango._model import Code, Market, Operation, Retry",
        "",
        "MARKETS: Final = {",
    ]
    for market in MARKETS:
        lines.append(
            f'    "{market.path_value}": Market(name="{market.path_value}", '
            f'country="{market.country}", currency="{market.currency}"),'
        )
    lines += ["}", '"""By their names in the path."""', ""]
    for operation in served():
        lines += [f"{operation.name.upper()}: Final = Operation(", *_describe(operation), ")"]
    names = ", ".join(operation.name.upper() for operation in served())
    lines += [
        "",
        "OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType({",
        f"    operation.name: operation for operation in ({names})",
        "})",
        "",
        "CODES: Final[Mapping[str, Code]] = MappingProxyType({",
        *(f'    "{row.code}": Code(Retry.{row.retry.name}, {row.text!r}),' for row in CODES),
        "})",
        '"""What each code says, whatever the operation."""',
    ]
    return "\n".join(lines) + "\n"


def _describe(operation: Operation) -> Iterator[str]:
    yield f'    name="{operation.name}", method="{operation.method}", path="{operation.path}",'
    yield "    fields=MappingProxyType({"
    for field in operation.fields:
        yield f'        "{field.name}": "{field.wire_name}",'
    yield "    }),"
    amounts = sorted(field.name for field in operation.fields if field.kind is AMOUNT)
    optional = sorted(field.name for field in operation.fields if not field.mandatory)
    yield f"    amounts=frozenset({amounts or ''}), optional=frozenset({optional or ''}),"
    yield "    answer=MappingProxyType({"
    for output in operation.answer.fields:
        yield f'        "{output.wire_name}": "{output.name}",'
    yield "    }),"
    flags = sorted(field.name for field in operation.answer.fields if field.name in FLAGS)
    yield f"    flags=frozenset({flags or ''}), success=frozenset({[operation.success.code]}),"
    yield f"    moves_money={operation.name in money_names()},"


def render_results() -> str:
    """A type for each answer."""
    lines = [
        '"""What the calls return. Written by `make gen` from the server\'s catalog."""',
        "",
        "from msgspec import Struct",
        "",
    ]
    names = []
    for operation in served():
        if operation.name == SESSION:
            continue
        names.append(class_of(operation))
        lines += [
            "",
            f"class {class_of(operation)}(Struct, frozen=True, kw_only=True):",
            f'    """What `{operation.name}` returns."""',
            "",
        ]
        for field in operation.answer.fields:
            kind = "bool" if field.name in FLAGS else "str"
            lines += [f"    {field.name}: {kind}", f'    """{field.description}"""']
    lines += [
        "",
        f"Result = {' | '.join(names)}",
        '"""Any of them."""',
        "",
        "RESULTS: dict[str, type[Result]] = {",
        *(
            f'    "{operation.name}": {class_of(operation)},'
            for operation in served()
            if operation.name != SESSION
        ),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _parameters(operation: Operation, *, without: tuple[str, ...] = ()) -> Iterator[str]:
    given = [field for field in operation.fields if field.name not in without]
    needed = [field for field in given if field.mandatory and field.name not in GIVEN_BY_CLIENT]
    for field in needed:
        yield f"{field.name}: {_kind_of(field)}"
    for field in given:
        if field not in needed:
            yield f"{field.name}: {_kind_of(field)} | None = None"


def _kind_of(field: Field) -> str:
    return "Amount" if field.kind is AMOUNT else "str"


def _explain(operation: Operation, *, without: tuple[str, ...] = ()) -> Iterator[str]:
    for field in operation.fields:
        if field.name in without:
            continue
        text = DESCRIPTIONS.get(field.name, field.description)
        if field.name in ("country", "currency"):
            text = "The market's, where it is left out."
        elif not field.mandatory:
            text += " May be left out."
        yield from textwrap.wrap(
            f"`{field.name}`: {text}",
            WIDTH - 8,
            initial_indent="* ",
            subsequent_indent="  ",
            break_on_hyphens=False,
        )


def render_calls() -> str:
    """A method for each operation, plain and asynchronous."""
    imports = ", ".join(sorted(class_of(item) for item in served() if item.name != SESSION))
    lines = [
        '"""A method for each operation. Written by `make gen` from the server\'s catalog."""',
        "",
        "from collections.abc import Mapping",
        "from typing import Any",
        "",
        "from pesalango._catalog import OPERATIONS",
        "from pesalango._fields import Amount",
        "from pesalango._flow import CallOptions",
        "from pesalango._model import Operation",
        f"from pesalango._results import {imports}",
    ]
    for prefix, name, base in (("", "Calls", "plain"), ("async ", "AsyncCalls", "asynchronous")):
        wait = "await " if prefix else ""
        lines += [
            "",
            "",
            f"class {name}:",
            f'    """The {base} calls. Each raises `CallError`; none is sent twice by itself, but '
            'for a session that had ended."""',
            "",
            f"    {prefix}def _call(self, operation: Operation, values: dict[str, object], options: "
            "CallOptions) -> Any:",
            "        raise NotImplementedError",
        ]
        for operation in served():
            if operation.name == SESSION:
                continue
            values = ", ".join(f'"{field.name}": {field.name}' for field in operation.fields)
            lines += [
                "",
                f"    {prefix}def {operation.name}(self, *, {', '.join(_parameters(operation))}, "
                "extra_fields: Mapping[str, str] | None = None, timeout: float | None = None, "
                f"headers: Mapping[str, str] | None = None) -> {class_of(operation)}:",
                f'        """{operation.summary}',
                "",
                *(f"        {line}" for line in _explain(operation)),
                '        """',
                f"        result: {class_of(operation)} = {wait}self._call("
                f'OPERATIONS["{operation.name}"], {{{values}}}, '
                "CallOptions(extra_fields, timeout, headers))",
                "        return result",
            ]
    return "\n".join(lines) + "\n"


def render_payments() -> str:
    """The methods that a payment with a key is made by, plain and asynchronous."""
    lines = [
        '"""Payments with a key. Written by `make gen` from the server\'s catalog."""',
        "",
        "from collections.abc import Mapping",
        "",
        "from pesalango._catalog import OPERATIONS",
        "from pesalango._fields import Amount",
        "from pesalango._flow import CallOptions",
        "from pesalango._intents import Payment",
        "from pesalango._model import Operation",
    ]
    without = ("third_party_conversation_id", "country", "currency")
    for prefix, name in (("", "PaymentCalls"), ("async ", "AsyncPaymentCalls")):
        wait = "await " if prefix else ""
        lines += [
            "",
            "",
            f"class {name}:",
            '    """Each returns a completed payment, or raises: `PaymentRefusedError` where the '
            'money did not move, `PaymentUnsettledError` where that is not known yet."""',
            "",
            f"    {prefix}def _pay(self, operation: Operation, key: str, values: "
            "dict[str, object], options: CallOptions, within: float | None) -> Payment:",
            "        raise NotImplementedError",
        ]
        for method, (operation_name, summary) in PAYMENT_METHODS.items():
            operation = registry.find(operation_name)
            values = ", ".join(
                f'"{field.name}": {field.name}'
                for field in operation.fields
                if field.name not in without
            )
            parameters = ", ".join(_parameters(operation, without=without))
            lines += [
                "",
                f"    {prefix}def {method}(self, *, key: str, {parameters}, "
                "extra_fields: Mapping[str, str] | None = None, timeout: float | None = None, "
                "headers: Mapping[str, str] | None = None, within: float | None = None) -> Payment:",
                f'        """{summary}',
                "",
                "        * `key`: your name for this payment, 1 to 200 printable characters, such "
                "as the order's",
                "          number. The same key is the same payment for ever: it is paid once at "
                "most.",
                *(f"        {line}" for line in _explain(operation, without=without)),
                "        * `within`: seconds for learning what became of it; 120 where it is left "
                "out.",
                '        """',
                f'        return {wait}self._pay(OPERATIONS["{operation_name}"], key, {{{values}}}, '
                "CallOptions(extra_fields, timeout, headers), within)",
            ]
    return "\n".join(lines) + "\n"


MODULES: dict[str, Callable[[], str]] = {
    "_catalog.py": render_catalog,
    "_results.py": render_results,
    "_calls.py": render_calls,
    "_payment_calls.py": render_payments,
}


def tidy(name: str, text: str) -> str:
    """The module in the form that the formatter gives it."""
    done = subprocess.run(
        [
            Path(sys.executable).parent / "ruff",
            "format",
            "--stdin-filename",
            str(PACKAGE / name),
            "-",
        ],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def main(arguments: list[str]) -> int:
    """Exit status: 0 done or in step, 1 stale modules found, 2 unknown arguments."""
    if arguments not in ([], ["--check"]):
        print("usage: sdk/generate.py [--check]", file=sys.stderr)
        return 2
    stale = [
        name
        for name, render in MODULES.items()
        if not bring_up(PACKAGE / name, tidy(name, render()), is_check=bool(arguments))
    ]
    # Of the modules as they are now: it is read from them.
    if not bring_up(HOME / "api.md", render_page(), is_check=bool(arguments)):
        stale.append("api.md")
    return 1 if stale else 0


def bring_up(path: Path, text: str, *, is_check: bool) -> bool:
    """Write a file that is not what it should be, or say that it is not; False if it stays so."""
    if path.is_file() and path.read_text("utf-8") == text:
        return True
    if is_check:
        print(f"{path.relative_to(HOME.parent)} is not what it is made of: make gen writes it.")
        return False
    path.write_text(text, "utf-8", newline="\n")
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
