"""The program of the guide to outcomes: what it takes for certain, and what it goes on asking for."""

import base64
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.e2e.samples import find_samples

LOST = None
REFUSED_OTHERWISE = "output_error"
QUERY = "/queryTransactionStatus/"
PAYMENT = {
    "input_ServiceProviderCode": "ORG001",
    "input_ThirdPartyConversationID": "1",
    "input_Country": "GHA",
}


class Gateway:
    """Answers a program's calls one by one as a test has written them down.

    A payment is answered by its code, a query by its code or a status.
    """

    def __init__(self, program: ModuleType) -> None:
        self.program = program
        self.pauses_s: list[float] = []
        self._answers: list[tuple[str, str | None]] = []
        program.__dict__["call"] = self._call
        program.__dict__["time"] = SimpleNamespace(sleep=self.pauses_s.append)
        program.__dict__["kept"]["session"] = "a session"

    def will(self, *answers: tuple[str, str | None]) -> None:
        """What comes next: "sent" or "asked", and how that is answered."""
        self._answers += answers

    def _call(
        self, _method: str, path: str, _secret: str, _given: Any, _timeout_s: float
    ) -> Mapping[str, str]:
        assert self._answers, f"nothing more was to be said to {path}"
        kind, answer = self._answers.pop(0)
        assert kind == ("asked" if path == QUERY else "sent")
        if answer is LOST:
            raise self.program.Unknown("lost")
        if answer == REFUSED_OTHERWISE:
            return {"output_error": "Source not allowed"}
        if answer.startswith("INS-"):
            return {"output_ResponseCode": answer}
        return {"output_ResponseCode": "INS-0", "output_ResponseTransactionStatus": answer}

    def settle(self) -> str:
        return self._end(self.program.settle("POST", "/b2cPayment/", PAYMENT))

    def resume(self) -> str:
        return self._end(self.program.resume("POST", "/b2cPayment/", PAYMENT))

    def _end(self, outcome: str) -> str:
        assert self._answers == []
        return outcome


@pytest.fixture(scope="module")
def credentials() -> str:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048).public_key()
    public_key = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    sandbox = {"public_key": base64.b64encode(public_key).decode(), "api_key": "none"}
    return json.dumps({"base_url": "http://127.0.0.1:9", "sandbox": sandbox})


@pytest.fixture
def gateway(tmp_path: Path, credentials: str, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    (sample,) = [
        sample for sample in find_samples("docs/guide/outcomes.md") if sample.kind == "file"
    ]
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "credentials.json").write_text(credentials, "utf-8")
    (tmp_path / sample.name).write_text(sample.text, "utf-8")
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("guide_gateway", tmp_path / sample.name)
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return Gateway(program)


# --- the first sending ---------------------------------------------------------------------------


def test_what_a_first_sending_is_answered_is_the_outcome(gateway: Gateway) -> None:
    for code, outcome in (("INS-0", "Completed"), ("INS-6", "INS-6"), ("INS-20", "INS-20")):
        gateway.will(("sent", code))
        assert gateway.settle() == outcome


@pytest.mark.parametrize("answer", [LOST, "INS-9", "INS-10"])
def test_what_became_of_an_unknown_first_sending_is_asked_for(
    gateway: Gateway, answer: str | None
) -> None:
    gateway.will(("sent", answer), ("asked", LOST), ("asked", "Pending"), ("asked", "Failed"))
    assert gateway.settle() == "Failed"
    assert gateway.pauses_s == [0.25, 0.5]


@pytest.mark.parametrize("answer", [LOST, "INS-1", "INS-16"])
def test_what_was_not_recorded_is_sent_again(gateway: Gateway, answer: str | None) -> None:
    gateway.will(("sent", answer), ("asked", "INS-23"), ("sent", "INS-0"))
    assert gateway.settle() == "Completed"


# --- after it ------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", ["INS-997", "INS-996", "INS-998", "INS-13", "INS-21"])
def test_a_refusal_of_another_sending_is_not_the_outcome_of_the_first(
    gateway: Gateway, refusal: str
) -> None:
    gateway.will(("sent", LOST), ("asked", "INS-23"), ("sent", refusal), ("asked", "Completed"))
    assert gateway.settle() == "Completed"


def test_after_a_crash_the_status_is_asked_for_before_anything_is_sent(gateway: Gateway) -> None:
    gateway.will(("asked", "Completed"))
    assert gateway.resume() == "Completed"


def test_a_payment_that_was_never_sent_is_sent_when_it_is_resumed(gateway: Gateway) -> None:
    gateway.will(("asked", "INS-23"), ("sent", "INS-2006"), ("asked", "Failed"))
    assert gateway.resume() == "Failed"


def test_what_is_refused_and_not_recorded_stays_unknown(gateway: Gateway) -> None:
    gateway.will(("asked", "INS-23"), ("sent", "INS-997"), ("asked", "INS-23"))
    with pytest.raises(RuntimeError, match="perhaps on its way, and now refused: INS-997"):
        gateway.resume()
    gateway.will(("asked", "INS-23"), ("sent", REFUSED_OTHERWISE))
    with pytest.raises(RuntimeError, match="this request was refused"):
        gateway.resume()
    gateway.will(("asked", "INS-997"))
    with pytest.raises(RuntimeError, match="stays unknown"):
        gateway.resume()


def test_a_refusal_that_has_passed_does_not_end_the_asking(gateway: Gateway) -> None:
    gateway.will(("asked", "INS-23"), ("sent", "INS-16"), ("asked", "INS-23"), ("sent", LOST))
    gateway.will(("asked", "INS-1"), ("asked", "INS-23"), ("sent", "INS-10"), ("asked", "Expired"))
    assert gateway.resume() == "Expired"
