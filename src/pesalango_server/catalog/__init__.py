"""Every operation, declared once; validation, documents and refusal tests derive from it."""

from pesalango_server.catalog.questions import Checked, Refusal, Values, refuse
from pesalango_server.catalog.registry import OPERATIONS, answer, find, find_by_path
from pesalango_server.catalog.triggers import find_trigger
from pesalango_server.catalog.validation import NESTED, VALIDATORS, Validator, find_validator

__all__ = [
    "NESTED",
    "OPERATIONS",
    "VALIDATORS",
    "Checked",
    "Refusal",
    "Validator",
    "Values",
    "answer",
    "find",
    "find_by_path",
    "find_trigger",
    "find_validator",
    "refuse",
]
