"""The OpenAPI document says what the catalog says, and says it validly."""

import json
import re
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from pesalango_server.catalog.markets import MARKETS
from pesalango_server.catalog.model import ENVIRONMENTS, Operation
from pesalango_server.catalog.openapi import build_document
from pesalango_server.catalog.questions import (
    Checked,
    accepted_fields,
    compile_questions,
    matched_pattern,
)
from pesalango_server.catalog.registry import OPERATIONS, answerable_codes
from pesalango_server.catalog.validation import VALIDATORS

BY_NAME = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


def describe(operation: Operation) -> dict[str, Any]:
    path = f"/{{environment}}/ipg/v2/{{market}}/{operation.path}"
    described: dict[str, Any] = build_document((operation,))["paths"][path]
    return described[operation.method.lower()]  # type: ignore[no-any-return]


def resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with the document's components beside it, so that references are found."""
    return {**schema, "components": document["components"]}


def schemas_of_parameters(operation: Operation) -> dict[str, dict[str, Any]]:
    described = describe(operation)
    if operation.method == "GET":
        return {
            parameter["name"]: parameter["schema"]
            for parameter in described["parameters"]
            if parameter["in"] == "query"
        }
    body = described["requestBody"]["content"]["application/json"]["schema"]
    properties: dict[str, dict[str, Any]] = body["properties"]
    return properties


def example_of(operation: Operation) -> dict[str, str]:
    return {field.wire_name: field.example for field in operation.fields}


def test_the_document_is_valid_openapi() -> None:
    validate(build_document())


def test_the_document_is_plain_json() -> None:
    document = build_document()
    assert json.loads(json.dumps(document)) == document


@BY_NAME
def test_the_document_of_one_operation_is_valid(operation: Operation) -> None:
    validate(build_document((operation,)))


def test_the_document_has_all_operations_unless_told_otherwise() -> None:
    assert len(build_document()["paths"]) == len(OPERATIONS) == 13
    assert len(build_document(OPERATIONS[:3])["paths"]) == 3


def test_the_document_marks_what_is_not_served_yet() -> None:
    served = ("get_session", "reversal")
    document = build_document(served=served)
    validate(document)
    described = [item for path in document["paths"].values() for item in path.values()]
    assert len(described) == len(OPERATIONS)
    for item in described:
        is_served = item["operationId"] in served
        assert item.get("x-served", True) is is_served
        assert item["description"].startswith("Not served yet") is not is_served


def test_the_document_marks_nothing_unless_told_what_is_served() -> None:
    assert "x-served" not in json.dumps(build_document())


def test_the_document_names_the_server_that_it_is_given() -> None:
    address = "http://127.0.0.1:8080"
    assert build_document(server_url=address)["servers"] == [{"url": address}]
    assert build_document()["servers"] == [{"url": "/"}]


@BY_NAME
def test_the_path_takes_both_environments_and_the_operations_markets(
    operation: Operation,
) -> None:
    in_path = {
        parameter["name"]: parameter["schema"]["enum"]
        for parameter in describe(operation)["parameters"]
        if parameter["in"] == "path"
    }
    assert in_path == {
        "environment": list(ENVIRONMENTS),
        "market": [market.path_value for market in operation.markets],
    }


@BY_NAME
def test_every_parameter_is_described(operation: Operation) -> None:
    schemas = schemas_of_parameters(operation)
    described = describe(operation)
    expected = accepted_fields(operation) if operation.method != "GET" else operation.fields
    assert list(schemas) == [field.wire_name for field in expected]
    if operation.method == "GET":
        required = {
            p["name"] for p in described["parameters"] if p["required"] and "query" in p["in"]
        }
    else:
        required = set(
            described["requestBody"]["content"]["application/json"]["schema"]["required"]
        )
    assert required == {field.wire_name for field in operation.fields if field.mandatory}


@BY_NAME
def test_every_example_fits_its_own_schema_and_passes_the_gateways_checks(
    operation: Operation,
) -> None:
    example = example_of(operation)
    for name, schema in schemas_of_parameters(operation).items():
        for text in schema["examples"]:
            OAS31Validator(schema).validate(text)
            example[name] = text
    if not operation.fields:
        return
    for environment in ENVIRONMENTS:
        validator = VALIDATORS[operation.name, operation.markets[0].path_value, environment]
        checked = validator.check(example, today=date(2029, 1, 1))
        assert isinstance(checked, Checked), checked


@BY_NAME
@given(data=st.data())
@settings(max_examples=25)
def test_no_schema_refuses_what_the_gateway_accepts_in_some_market(
    operation: Operation, data: st.DataObject
) -> None:
    schemas = schemas_of_parameters(operation)
    for field in operation.fields:
        market = data.draw(st.sampled_from(operation.markets))
        environment = data.draw(st.sampled_from(ENVIRONMENTS))
        pattern = matched_pattern(field, market, environment)
        text = data.draw(st.from_regex(pattern or market.country, fullmatch=True))
        if all(
            question.judge(text)
            for question in compile_questions(operation, field, market, environment)
        ):
            OAS31Validator(schemas[field.wire_name]).validate(text)


@BY_NAME
def test_every_code_stands_under_its_status(operation: Operation) -> None:
    responses = describe(operation)["responses"]
    for row in answerable_codes(operation):
        under_status = json.dumps(responses[str(row.http_status)])
        assert f'"{row.code}"' in under_status, row


@BY_NAME
def test_no_status_has_a_code_of_another_one(operation: Operation) -> None:
    rows = answerable_codes(operation)
    for status, response in describe(operation)["responses"].items():
        found = set(re.findall(r'"(INS-[A-Z0-9-]+)"', json.dumps(response)))
        assert found == {row.code for row in rows if str(row.http_status) == status}


@BY_NAME
def test_every_status_is_named_and_those_of_http_answer_an_error(operation: Operation) -> None:
    document = build_document((operation,))
    responses = describe(operation)["responses"]
    of_http = {"400", "401", "404", "405", "408", "413", "429", "431", "503"}
    assert set(responses) == of_http | {str(r.http_status) for r in answerable_codes(operation)}
    for status, told in responses.items():
        response = told
        if "$ref" in told:
            assert told["$ref"] == f"#/components/responses/Error{status}"
            response = document["components"]["responses"][f"Error{status}"]
        schema = response["content"]["application/json"]["schema"]
        validator = OAS31Validator(resolve(document, schema))
        assert validator.is_valid({"output_error": "text"}) is (status in of_http), status
        assert not validator.is_valid({"output_error": "text", "more": "text"})
        assert not validator.is_valid({})


@BY_NAME
def test_success_and_refusal_bodies_fit_the_document(operation: Operation) -> None:
    document = build_document((operation,))
    responses = describe(operation)["responses"]
    for row in answerable_codes(operation):
        schema = responses[str(row.http_status)]["content"]["application/json"]["schema"]
        validator = OAS31Validator(resolve(document, schema))
        if row is operation.success:
            body = {field.wire_name: field.example for field in operation.answer.fields}
        else:
            body = dict.fromkeys(operation.answer.refusal, "text")
            if operation.answer.reference is not None:
                body[operation.answer.reference] = "N/A"
        code_name = next(
            field.wire_name for field in operation.answer.fields if field.name == "response_code"
        )
        body[code_name] = row.code
        validator.validate(body)
        assert not validator.is_valid({**body, code_name: "INS-unheard-of"})


@BY_NAME
def test_only_calls_with_a_body_describe_their_callback(operation: Operation) -> None:
    described = describe(operation)
    has_body = operation.method != "GET"
    assert ("callbacks" in described) == (has_body and operation.can_be_asynchronous)


def test_every_call_needs_the_bearer() -> None:
    document = build_document()
    assert document["security"] == [{"bearer": []}]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_the_country_is_any_of_the_markets_in_any_case_of_letters() -> None:
    schema = next(
        schemas_of_parameters(operation)["input_Country"]
        for operation in OPERATIONS
        if operation.name == "c2b_single_stage"
    )
    validator = OAS31Validator(schema)
    for market in MARKETS:
        assert validator.is_valid(market.country)
        assert validator.is_valid(market.country.lower())
    assert not validator.is_valid("KEN")
