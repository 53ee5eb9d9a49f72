"""`pesalango-server api-document`: the OpenAPI document of the operator's API."""

import json
from typing import Annotated

import typer

from pesalango_server.catalog.openapi import build_document
from pesalango_server.catalog.registry import OPERATIONS
from pesalango_server.gateway.operations import ROUTED


def run(
    everything: Annotated[
        bool, typer.Option("--all", help="All thirteen operations, not only those served today.")
    ] = False,
) -> None:
    """Print the document (OpenAPI 3.1, JSON) that is generated from the catalog."""
    operations = OPERATIONS if everything else [op for op in OPERATIONS if op.name in ROUTED]
    print(json.dumps(build_document(operations, served=ROUTED), indent=2, ensure_ascii=False))
