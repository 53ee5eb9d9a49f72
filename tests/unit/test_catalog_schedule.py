"""The terms of a new mandate, through the validator of its operation."""

from datetime import date

import pytest

from pesalango_server.catalog.markets import GHANA
from pesalango_server.catalog.model import EnvironmentName
from pesalango_server.catalog.questions import Checked, Refusal
from pesalango_server.catalog.validation import VALIDATORS

TODAY = date(2029, 6, 15)
TERMS = {
    "first": "input_FirstPaymentDate",
    "frequency": "input_Frequency",
    "start": "input_StartRangeOfDays",
    "end": "input_EndRangeOfDays",
    "expiry": "input_ExpiryDate",
}


def ask(environment: EnvironmentName = "sandbox", **terms: str) -> str:
    """The code that a mandate of these terms gets; empty when it is accepted."""
    body: dict[str, str | None] = {
        "input_CustomerMSISDN": "233200004711",
        "input_Country": "GHA",
        "input_ServiceProviderCode": "SHOP27",
        "input_ThirdPartyReference": "Contract88",
        "input_ThirdPartyConversationID": "contract88attempt1",
        "input_AgreedTC": "1",
    }
    body |= {TERMS[term]: value for term, value in terms.items()}
    validator = VALIDATORS["direct_debit_create", GHANA.path_value, environment]
    answer = validator.check(body, today=TODAY)
    if isinstance(answer, Checked):
        return ""
    assert isinstance(answer, Refusal)
    return answer.code


def test_a_mandate_needs_no_terms_at_all() -> None:
    assert ask() == ""
    assert ask("openapi") == ""


@pytest.mark.parametrize("frequency", ["01", "02", "03", "04", "05", "06", "07", "08"])
def test_there_are_eight_frequencies(frequency: str) -> None:
    assert ask(frequency=frequency) == ""


@pytest.mark.parametrize("frequency", ["00", "09", "10", "99", "1", "001", "xx"])
def test_there_is_no_other_frequency(frequency: str) -> None:
    assert ask(frequency=frequency) == "INS-40"


@pytest.mark.parametrize("value", ["20290229", "20291301", "20290100", "00000101", "2029061", "x"])
def test_a_day_that_does_not_exist_is_refused(value: str) -> None:
    assert ask(frequency="08", first=value) == "INS-39"
    assert ask(expiry=value) == "INS-43"


def test_the_last_day_of_a_leap_february_exists() -> None:
    assert ask(frequency="08", first="20320229", expiry="20360229") == ""


@pytest.mark.parametrize("value", ["00", "32", "99", "1", "1x"])
def test_a_day_outside_the_month_is_refused(value: str) -> None:
    assert ask(frequency="04", start=value, end="31") == "INS-41"
    assert ask(frequency="04", start="01", end=value) == "INS-42"


def test_a_first_payment_date_needs_a_frequency() -> None:
    assert ask(first="20300101") == "INS-39"
    assert ask(first="20300101", frequency="08") == ""


@pytest.mark.parametrize("frequency", ["04", "05", "06", "07"])
def test_frequencies_of_months_may_have_a_range_of_days(frequency: str) -> None:
    assert ask(frequency=frequency, start="05", end="20") == ""
    assert ask(frequency=frequency, start="31", end="31") == ""
    assert ask(frequency=frequency) == ""


@pytest.mark.parametrize("frequency", ["01", "02", "03", "08"])
def test_other_frequencies_have_no_range_of_days(frequency: str) -> None:
    assert ask(frequency=frequency, start="05", end="20") == "INS-41"
    assert ask(frequency=frequency, end="20") == "INS-42"


def test_without_a_frequency_there_is_no_range_of_days() -> None:
    assert ask(start="05", end="20") == "INS-41"
    assert ask(end="20") == "INS-42"


def test_a_range_of_days_has_two_ends_in_order() -> None:
    assert ask(frequency="04", start="05") == "INS-42"
    assert ask(frequency="04", end="20") == "INS-42"
    assert ask(frequency="04", start="25", end="05") == "INS-42"


def test_an_expiry_date_may_not_precede_the_first_payment() -> None:
    assert ask(frequency="08", first="20300110", expiry="20300109") == "INS-43"
    assert ask(frequency="08", first="20300110", expiry="20300110") == ""


def test_dates_in_the_past_are_refused_in_openapi_only() -> None:
    assert ask("openapi", frequency="08", first="20290614") == "INS-39"
    assert ask("openapi", frequency="08", first="20290615") == ""
    assert ask("openapi", expiry="20290614") == "INS-43"
    assert ask("openapi", expiry="20290615") == ""
    assert ask("sandbox", frequency="06", first="20160324", expiry="20161126") == ""
    assert ask("sandbox", expiry="20161126") == ""


@pytest.mark.parametrize(
    ("faults", "code"),
    [
        ({"first": "x", "frequency": "x", "start": "x", "end": "x", "expiry": "x"}, "INS-39"),
        ({"frequency": "x", "start": "x", "end": "x", "expiry": "x"}, "INS-40"),
        ({"start": "x", "end": "x", "expiry": "x"}, "INS-41"),
        ({"end": "x", "expiry": "x"}, "INS-42"),
        # A malformed term answers before one that does not fit the others.
        ({"first": "20300101", "expiry": "x"}, "INS-43"),
        ({"start": "05", "end": "x"}, "INS-42"),
        # Among those that do not fit the others, the order is the same.
        ({"first": "20300101", "start": "05", "end": "20", "expiry": "20290101"}, "INS-39"),
        ({"start": "05", "end": "20"}, "INS-41"),
        ({"frequency": "04", "first": "20300110", "end": "20", "expiry": "20300101"}, "INS-42"),
    ],
)
def test_of_several_faulty_terms_the_first_answers(faults: dict[str, str], code: str) -> None:
    assert ask("sandbox", **faults) == code
