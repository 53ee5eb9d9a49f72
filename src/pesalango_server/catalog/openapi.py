"""The OpenAPI 3.1 document of the operator's API, for both environments and all markets."""

from collections.abc import Collection, Iterable, Mapping
from itertools import groupby
from typing import Any, Final

from pesalango_server import __version__
from pesalango_server.catalog import codes, kinds
from pesalango_server.catalog.fields import RESPONSE_URL
from pesalango_server.catalog.model import (
    ENVIRONMENTS,
    ERROR_NAME,
    NOT_AVAILABLE,
    Answer,
    Code,
    Field,
    Operation,
)
from pesalango_server.catalog.questions import malformed_code
from pesalango_server.catalog.registry import OPERATIONS, answerable_codes

Json = dict[str, Any]

_DESCRIPTION: Final = """\
Every path begins with the environment, `sandbox` or `openapi`, and the market. A call is made with
a bearer that the caller encrypts under the environment's public key: the API key to get a session,
the session key for everything else.

Parameters are text; JSON numbers and booleans are read as they are written. Unknown parameters are
ignored, and null and empty text count as absent. Letters and digits are those of ASCII, and a
pattern is matched against the whole value. All outputs are text.

A refusal has a code and a text; the HTTP status of a code belongs to the operation. Status 401 with
a code is a refusal like any other, 401 without one means that the call was not authenticated."""


_ERROR: Final = {"$ref": "#/components/schemas/Error"}

_UNSERVED: Final = "Not served yet: the path answers 404."


def build_document(
    operations: Iterable[Operation] = OPERATIONS,
    *,
    server_url: str | None = None,
    served: Collection[str] | None = None,
) -> Json:
    """The document of these operations, as plain JSON values. Without `server_url` paths are
    relative to the root of wherever the document is served. Operations whose names are not among
    `served` are marked; None marks nothing.
    """
    operations = tuple(operations)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pesalango: the mobile-money API",
            "version": __version__,
            "description": _DESCRIPTION,
        },
        "servers": [{"url": server_url or "/"}],
        "security": [{"bearer": []}],
        "paths": {
            _path(operation): _path_item(
                operation, is_served=served is None or operation.name in served
            )
            for operation in operations
        },
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Base64 of the key, encrypted with RSA (PKCS #1 v1.5) under "
                    "the environment's public key.",
                }
            },
            "schemas": {
                "Error": {
                    "type": "object",
                    "description": "The answer to a call that reached no operation.",
                    "properties": {ERROR_NAME: {"type": "string"}},
                    "required": [ERROR_NAME],
                    "additionalProperties": False,
                }
            },
            "responses": {
                f"Error{http_status}": {
                    "description": meaning,
                    "content": _json_content(_ERROR),
                }
                for http_status, meaning in _STATUSES_OF_HTTP.items()
            },
        },
    }


def _path(operation: Operation) -> str:
    return f"/{{environment}}/ipg/v2/{{market}}/{operation.path}"


def _path_item(operation: Operation, *, is_served: bool) -> Json:
    description = _describe(operation)
    item: Json = {
        "operationId": operation.name,
        "summary": operation.title,
        "description": description if is_served else f"{_UNSERVED} {description}",
        "parameters": _parameters(operation),
        "responses": _responses(operation),
        "x-codes": [
            {
                "code": row.code,
                "http_status": row.http_status,
                "text": row.text,
                "producer": row.producer.value,
                "retry": row.retry.value,
            }
            for row in answerable_codes(operation)
        ],
    }
    if not is_served:
        item["x-served"] = False
    if operation.product is not None:
        item["tags"] = [operation.product.value]
    if operation.method != "GET":
        item["requestBody"] = {
            "required": True,
            "content": _json_content(_body_schema(operation)),
        }
        if operation.callback is not None:
            item["callbacks"] = {"result": _callback(operation, operation.callback)}
    return {operation.method.lower(): item}


def _describe(operation: Operation) -> str:
    sentences = [operation.summary]
    if operation.can_be_asynchronous:
        sentences.append(
            "Until asynchronous mode exists, a response URL is checked and otherwise ignored; then "
            "a request that has one is acknowledged at once, and its result is sent there."
        )
    if operation.method == "GET" and operation.fields:
        sentences.append("Parameters may also come as a JSON object in the body.")
    return " ".join(sentences)


def _parameters(operation: Operation) -> list[Json]:
    parameters = [
        {
            "name": "environment",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "enum": list(ENVIRONMENTS)},
        },
        {
            "name": "market",
            "in": "path",
            "required": True,
            "schema": {
                "type": "string",
                "enum": [market.path_value for market in operation.markets],
            },
        },
        {
            "name": "Origin",
            "in": "header",
            "required": True,
            "description": "Compared with the origins of the application.",
            "schema": {"type": "string", "examples": ["shop.example"]},
        },
    ]
    if operation.method == "GET":
        parameters += [
            {
                "name": field.wire_name,
                "in": "query",
                "required": field.mandatory,
                "description": _describe_field(operation, field),
                "schema": _field_schema(operation, field),
            }
            for field in operation.fields
        ]
    return parameters


def _body_schema(operation: Operation) -> Json:
    fields = [*operation.fields, *((RESPONSE_URL,) if operation.can_be_asynchronous else ())]
    return {
        "type": "object",
        "properties": {
            field.wire_name: {
                **_field_schema(operation, field),
                "description": _describe_field(operation, field),
            }
            for field in fields
        },
        "required": [field.wire_name for field in fields if field.mandatory],
    }


def _describe_field(operation: Operation, field: Field) -> str:
    meaning = f"{field.kind.meaning[0].upper()}{field.kind.meaning[1:]}"
    return f"{field.description} {meaning}. Otherwise {malformed_code(operation, field)}."


def _field_schema(operation: Operation, field: Field) -> Json:
    """The widest of the schemas that apply in the operation's markets and environments."""
    pattern = field.kind.pattern
    if field.kind is kinds.MSISDN:
        digits_min = min(market.msisdn_digits_min for market in operation.markets)
        pattern = f"[0-9]{{{digits_min},14}}"
    if field.sandbox_pattern is not None:
        pattern = f"{pattern}|{field.sandbox_pattern}"
    schema: Json = {
        "type": ["string", "boolean"] if field.kind is kinds.FLAG else "string",
        "examples": [field.example],
    }
    if pattern is not None:
        schema["pattern"] = f"^(?:{pattern})$"
    else:
        countries = "|".join(market.country for market in operation.markets)
        schema["pattern"] = f"^(?:{_without_case(countries)})$"
    if field.kind.characters_max is not None:
        schema["maxLength"] = field.kind.characters_max
    return schema


def _without_case(pattern: str) -> str:
    return "".join(
        f"[{letter.upper()}{letter.lower()}]" if letter.isalpha() else letter for letter in pattern
    )


# What HTTP itself answers, before an operation is reached, and why. Named one by one rather than as
# `default`: a document that admits every status says nothing.
_STATUSES_OF_HTTP: Final[Mapping[int, str]] = {
    400: "The request is no HTTP that can be read.",
    401: "The bearer, the origin or the address is not admitted.",
    404: "There is no such path.",
    405: "The path has another method, which the header Allow names.",
    408: "The request took too long to arrive.",
    413: "The body is too large.",
    429: "Too many failed authentications from this address; Retry-After has the seconds to wait.",
    431: "Request line and headers are too large.",
    503: "There are too many connections.",
}


def _responses(operation: Operation) -> Json:
    rows = sorted(answerable_codes(operation), key=lambda row: row.http_status)
    responses: Json = {}
    for http_status, of_status in groupby(rows, key=lambda row: row.http_status):
        responses[str(http_status)] = _response(operation, http_status, tuple(of_status))
    for http_status in _STATUSES_OF_HTTP:
        responses.setdefault(
            str(http_status), {"$ref": f"#/components/responses/Error{http_status}"}
        )
    return dict(sorted(responses.items()))


def _response(operation: Operation, http_status: int, rows: tuple[Code, ...]) -> Json:
    success = operation.success
    refusals = [row for row in rows if row is not success]
    alternatives: list[Json] = []
    if success in rows:
        alternatives.append(_answer_schema(operation.answer, success.code))
        if operation.acknowledgement is not None:
            alternatives.append(_answer_schema(operation.acknowledgement, success.code))
    if refusals:
        alternatives.append(_refusal_schema(operation, refusals))
    listing = "; ".join(f"{row.code} {row.text.removesuffix('.')}" for row in rows)
    description = f"{listing}."
    if http_status in _STATUSES_OF_HTTP:
        alternatives.append(_ERROR)
        description = f"{description} Without a code: {_STATUSES_OF_HTTP[http_status]}"
    return {
        "description": description,
        "content": _json_content(
            alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}
        ),
    }


def _answer_schema(answer: Answer, success_code: str | None) -> Json:
    properties: Json = {}
    for field in answer.fields:
        properties[field.wire_name] = {
            "type": "string",
            "description": field.description,
            "examples": [field.example],
        }
        if success_code is not None and field.name == "response_code":
            properties[field.wire_name]["const"] = success_code
            properties[field.wire_name]["examples"] = [success_code]
    return {
        "type": "object",
        "properties": properties,
        "required": [field.wire_name for field in answer.fields if not field.is_optional],
    }


def _refusal_schema(operation: Operation, rows: list[Code]) -> Json:
    by_wire_name: Mapping[str, str] = {
        field.wire_name: field.name for field in operation.answer.fields
    }
    properties: Json = {}
    for wire_name in operation.answer.refusal:
        schema: Json = {"type": "string"}
        if wire_name == operation.answer.reference:
            schema["const"] = NOT_AVAILABLE
        elif by_wire_name.get(wire_name) == "response_code":
            schema["enum"] = list(dict.fromkeys(row.code for row in rows))
        properties[wire_name] = schema
    required = list(operation.answer.refusal)
    if ERROR_NAME in required and all(row.code != codes.SESSION_NOT_CREATED for row in rows):
        required.remove(ERROR_NAME)
    return {"type": "object", "properties": properties, "required": required}


def _callback(operation: Operation, callback: Answer) -> Json:
    acknowledgement = operation.listener_acknowledgement
    accepted: Json = {"description": "The listener has the result. Any other 2xx will do as well."}
    if acknowledgement is not None:
        accepted["content"] = _json_content(_answer_schema(acknowledgement, None))
    schema = _answer_schema(callback, None)
    schema["required"] = list(callback.refusal)
    return {
        f"{{$request.body#/{RESPONSE_URL.wire_name}}}": {
            "post": {
                "summary": "The result of the request.",
                "description": "A failed result has the code, its text, the conversations and the "
                f"reference as {NOT_AVAILABLE}.",
                "security": [],
                "requestBody": {"required": True, "content": _json_content(schema)},
                "responses": {"200": accepted},
            }
        }
    }


def _json_content(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}
