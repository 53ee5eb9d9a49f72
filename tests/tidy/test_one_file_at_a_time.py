"""Every rule of the table over every file, and each rule against its own samples."""

import pytest

from tests.tidy.repository import read_texts
from tests.tidy.rules import CLIENT, RULES, SOURCE, Rule

by_name = pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])


@by_name
def test_the_repository_keeps_the_rule(rule: Rule) -> None:
    findings = [
        finding for path, text in read_texts().items() for finding in rule.check(path, text)
    ]

    assert not findings, "\n" + "\n".join(findings)


@by_name
def test_the_rule_finds_fault_with_its_bad_sample(rule: Rule) -> None:
    path, text = rule.bad

    assert rule.check(path, text)


@by_name
def test_the_rule_lets_its_good_sample_pass(rule: Rule) -> None:
    path, text = rule.good

    assert rule.check(path, text) == []


@by_name
def test_the_rule_covers_a_file_of_the_repository(rule: Rule) -> None:
    assert any(rule.covers(path) for path in read_texts())


def test_the_client_keeps_every_rule_of_source_but_those_of_the_servers_border() -> None:
    spared = [
        rule.name
        for rule in RULES
        if rule.covers(f"{SOURCE}ledger/rules.py") and not rule.covers(f"{CLIENT}retries.py")
    ]

    assert spared == [
        "wire names stop at the gateway's border",
        "wire codes stop at the gateway's border",
    ]


def test_a_finding_names_the_line_and_what_to_do() -> None:
    (sleep_rule,) = [rule for rule in RULES if rule.name == "nobody sleeps"]

    (finding,) = sleep_rule.check(*sleep_rule.bad)

    assert finding == (
        "tests/e2e/test_up.py:2: time.sleep: wait for an event or a condition that has a deadline"
    )
