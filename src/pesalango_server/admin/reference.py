"""The reference page of the admin API, made of its routes and its contract."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import inspect as types

from pesalango_server.admin import contract
from pesalango_server.admin.errors import HTTP_STATUS, ErrorCode
from pesalango_server.admin.routes import ENDPOINTS, Endpoint

_INTRODUCTION: Final = f"""# Admin API

Everything that an operator changes goes through this API, below `{contract.PREFIX}`; the command
line (`pesalango-server customers`, `organisations`, `applications`, `platform-keys`, `token`,
`health`) speaks it too. `pesalango-server up` serves it on its one port and writes address and token into
`credentials.json`; `serve` has an address of its own for it.

* Every call carries `Authorization: Bearer` and an admin token.
* Bodies are JSON. A field that a call does not know is refused, in the query too.
* Money is decimal text: `"1050.00"`. Numbers with a unit have it in their name.
* A ledger is one market of one world. `market` is a path value (`vodacomTZN`) or a country
  (`TZN`); `environment` is `sandbox` unless given; `world` is the environment's default one unless
  given. The three may stand in the query or in the body. A ledger that nobody used yet is opened.
* Lists have up to {contract.LIST_ITEMS_MAX} items. Pages have up to {contract.PAGE_ITEMS_MAX};
  `next` is the `after` of the next page, and null on the last one.
* A change is in force at the worker that answers it, and at every other one within a second.
"""

_ERRORS: Final = """## Errors

What is not a 2xx (health's report apart) has this body: `message` says what to fix and `field`
where, as in `customers[17].msisdn`; it is empty where no single field is to blame.

```json
{"error": {"code": "invalid", "message": "msisdn is missing", "field": "msisdn"}}
```

| Code | Status | Meaning |
|---|---|---|
"""

_PLACE: Final = ("environment", "world", "market")

_MEANINGS: Final = {
    ErrorCode.INVALID: "The request cannot be used as it is.",
    ErrorCode.UNAUTHORISED: "The token is missing, unknown, or has ended.",
    ErrorCode.NOT_FOUND: "What the path or a field names is not there.",
    ErrorCode.METHOD_NOT_ALLOWED: "The path takes other methods; `Allow` names them.",
    ErrorCode.CONFLICT: "It does not go with what is there already.",
    ErrorCode.TOO_LARGE: "The body is too large; send the list in parts.",
    ErrorCode.UNAVAILABLE: "The database or the engine cannot be reached at the moment.",
    ErrorCode.INTERNAL: "A defect of the server; its log says more.",
}


def render_admin_markdown() -> str:
    """All calls, with the fields of query, body and answer, and all errors."""
    parts = [_INTRODUCTION, "## Calls\n"]
    answers: dict[str, type[Any]] = {}
    for path, endpoints in ENDPOINTS.items():
        parts += [
            _render_call(f"{method} {contract.PREFIX}{path}", endpoint)
            for method, endpoint in endpoints.items()
        ]
        for endpoint in endpoints.values():
            _collect(endpoint.answer, answers)
    parts.append("## Answers\n")
    parts += [_render_answer(type_) for type_ in answers.values()]
    rows = [f"| `{code.value}` | {HTTP_STATUS[code]} | {_MEANINGS[code]} |\n" for code in ErrorCode]
    return "\n".join([*parts, _ERRORS + "".join(rows)])


def _render_call(title: str, endpoint: Endpoint) -> str:
    lines = [f"### {title}\n", f"{endpoint.meaning}\n"]
    query = () if endpoint.query is None else _fields_of(endpoint.query)
    # The ledger's fields stand in every one of their bodies too; once is enough.
    places = [field for field in query if field.name in _PLACE]
    own = [field for field in query if field.name not in _PLACE]
    if places:
        where = "query or body" if endpoint.bodies else "query"
        lines.append(f"In the {where}: {_list_names(places)}.\n")
    if own:
        lines += ["Query:\n", _render_request(own)]
    for position, body in enumerate(endpoint.bodies):
        fields = [field for field in _fields_of(body) if not places or field.name not in _PLACE]
        lines.append("Or a body with a list:\n" if position else "Body:\n")
        lines += [f"{_describe(body)}\n", _render_request(fields)]
    answer = endpoint.answer.__name__
    return "\n".join([*lines, f"Answer: [{answer}](#{answer.lower()}).\n"])


def _fields_of(type_: type[Any]) -> tuple[types.Field, ...]:
    described = types.type_info(type_)
    return described.fields if isinstance(described, types.StructType) else ()


def _describe(type_: type[Any]) -> str:
    return " ".join((type_.__doc__ or "").split())


def _list_names(fields: Iterable[types.Field]) -> str:
    return ", ".join(f"`{field.encode_name}`" for field in fields)


def _render_request(fields: Iterable[types.Field]) -> str:
    rows = [
        f"| `{field.encode_name}` | {_render_type(field.type)} | {_render_default(field)} |\n"
        for field in fields
    ]
    return "| Field | Type | Unless given |\n|---|---|---|\n" + "".join(rows)


def _render_default(field: types.Field) -> str:
    if field.required:
        return "must be given"
    if field.default is msgspec.NODEFAULT:
        return "may be left out"
    return f"`{msgspec.json.encode(field.default).decode()}`"


def _render_answer(type_: type[Any]) -> str:
    rows = [
        f"| `{field.encode_name}` | {_render_type(field.type)} |\n" for field in _fields_of(type_)
    ]
    table = "| Field | Type |\n|---|---|\n" + "".join(rows)
    return f"### {type_.__name__}\n\n{_describe(type_)}\n\n{table}"


def _render_type(type_: types.Type) -> str:
    match type_:
        case types.Metadata():
            return _render_type(type_.type)
        case types.StrType():
            return "text"
        case types.BoolType():
            return "true or false"
        case types.IntType():
            if type_.ge is None:
                return "whole number"
            return f"whole number, {type_.ge} to {type_.le}"
        case types.ListType():
            return f"list of {_render_type(type_.item_type)}"
        case types.DictType():
            return f"object of {_render_type(type_.value_type)} by name"
        case types.StructType():
            name = type_.cls.__name__
            if issubclass(type_.cls, contract.Request):
                return f"objects with {_list_names(_fields_of(type_.cls))}"
            return f"[{name}](#{name.lower()})"
        case types.UnionType():
            return " or ".join(_render_type(each) for each in type_.types)
        case types.NoneType():
            return "null"
        case _:
            raise TypeError(f"the reference page has no words for {type_}")


def _collect(type_: type[Any], found: dict[str, type[Any]]) -> None:
    """An answer and the structs inside of it, each once, the outer before the inner."""
    if type_.__name__ in found:
        return
    found[type_.__name__] = type_
    for field in _fields_of(type_):
        _collect_inner(field.type, found)


def _collect_inner(type_: types.Type, found: dict[str, type[Any]]) -> None:
    match type_:
        case types.StructType():
            _collect(type_.cls, found)
        case types.ListType():
            _collect_inner(type_.item_type, found)
        case types.DictType():
            _collect_inner(type_.value_type, found)
        case types.UnionType():
            for each in type_.types:
                _collect_inner(each, found)
        case _:
            return
