"""Mobile numbers as people may see them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pesalango_server.kernel.msisdn import MASKED_CHARACTERS_MAX, mask_msisdn


@pytest.mark.parametrize(
    ("msisdn", "masked"),
    [
        ("254700004711", "254*******11"),
        ("26650004711", "266******11"),
        ("25470000471199", "254*********99"),
        ("2547004711", "254*****11"),
    ],
)
def test_a_masked_number_keeps_its_first_three_and_last_two_digits(
    msisdn: str, masked: str
) -> None:
    assert mask_msisdn(msisdn) == masked


@pytest.mark.parametrize("msisdn", ["", "1", "12345", "123456789"])
def test_a_short_number_is_masked_whole(msisdn: str) -> None:
    assert mask_msisdn(msisdn) == "*" * len(msisdn)


def test_a_text_of_any_length_gives_a_short_mask() -> None:
    masked = mask_msisdn("9" * 100_000)
    assert len(masked) == MASKED_CHARACTERS_MAX
    assert masked.strip("9") == "*" * (MASKED_CHARACTERS_MAX - 5)


@given(st.text(alphabet="0123456789", max_size=40))
def test_at_least_half_of_every_number_is_hidden(msisdn: str) -> None:
    masked = mask_msisdn(msisdn)
    assert masked.count("*") * 2 >= len(masked)
