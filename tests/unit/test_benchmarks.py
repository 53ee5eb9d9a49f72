"""The benchmarks count right: what they report is what was sent, answered and written down."""

import asyncio
import base64
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench.against import judge, take_out
from bench.books import Books, compare_books
from bench.comparison import Comparison, Sample, Turn, compare, take_turns
from bench.directory import make_directory
from bench.figures import measure_spread, pick_quantile
from bench.load import (
    GeneratorFailedError,
    GeneratorResult,
    Load,
    run_generator,
    run_generators,
)
from bench.payments import ConnectionsFigures, PaymentsResult, check_answers
from bench.plan import TARGETS
from bench.report import NOTES, write_page
from bench.server import ProductError
from bench.wire import FORMS, build_request, parse_answer

Answer = Callable[[bytes], bytes | None]
"""From a request to what is sent back; None closes the connection."""

ACCEPTED = b'{"output_ResponseCode":"INS-0","output_ThirdPartyConversationID":"%s"}'


def make_load(port: int = 1, *, connections: int = 4) -> Load:
    return Load(
        host="127.0.0.1",
        port=port,
        path="/sandbox/ipg/v2/vodacomTZN/c2bPayment/singleStage/",
        country="TZN",
        currency="TZS",
        service_provider_code="000000",
        connections=connections,
        seconds=0.2,
        amount="1",
        msisdn_first=255_760_000_000,
        customers=50,
        warm_up_seconds=0.05,
        drain_seconds=0.3,
    )


def answer_with(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def accept(request: bytes) -> bytes:
    return answer_with(201, ACCEPTED % find_identifier(request))


def find_identifier(request: bytes) -> bytes:
    return request[-34:-2]


@contextmanager
def run_gateway(answer: Answer) -> Iterator[tuple[int, list[bytes]]]:
    """A stand-in for a gateway: its port, and the requests that it gets."""
    requests: list[bytes] = []
    port: list[int] = []
    loop = asyncio.new_event_loop()
    begun = threading.Event()
    stop = asyncio.Event()

    async def serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                _, found, length = request.partition(b"Content-Length: ")
                if found:
                    request += await reader.readexactly(int(length.partition(b"\r\n")[0]))
                requests.append(request)
                sent = answer(request)
                if sent is None:
                    break
                # In two pieces, as a server may send them.
                writer.write(sent[:20])
                await writer.drain()
                writer.write(sent[20:])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(serve_connection, "127.0.0.1", 0)
        port.append(server.sockets[0].getsockname()[1])
        begun.set()
        await stop.wait()
        server.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    begun.wait()
    try:
        yield port[0], requests
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def test_every_request_is_counted_once_and_carries_an_identifier_of_its_own(
    tmp_path: Path,
) -> None:
    accepted = tmp_path / "accepted"
    with run_gateway(accept) as (port, requests):
        result = run_generator(make_load(port), bearer="secret", accepted=accepted)
    assert result.answered == result.accepted == len(requests) > 0
    assert result.has_only_accepted()
    assert result.statuses == {"201": len(requests)}
    assert result.codes == {"INS-0": len(requests)}
    assert 0 < result.measured_answers < result.answered
    assert sum(count for _, count in result.histogram) == result.measured_answers
    identifiers = {find_identifier(request).decode() for request in requests}
    assert len(identifiers) == len(requests)
    assert identifiers == set(accepted.read_text().split())


def test_the_bearer_is_on_no_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    run = subprocess.run

    def record(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return run(command, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(subprocess, "run", record)
    with run_gateway(accept) as (port, requests):
        run_generator(make_load(port), bearer="secret")
    assert all(b"\r\nAuthorization: Bearer secret\r\n" in request for request in requests)
    assert "secret" not in " ".join(commands[0])


def test_the_customers_are_drawn_from_all_that_exist() -> None:
    load = make_load()
    with run_gateway(accept) as (port, requests):
        run_generator(make_load(port), bearer="secret")
    numbers = {request.partition(b'MSISDN":"')[2][:12].decode() for request in requests}
    known = {str(load.msisdn_first + index) for index in range(load.customers)}
    assert numbers <= known
    assert len(numbers) > 1


def test_a_refusal_is_told_from_an_accepted_payment() -> None:
    def refuse(_: bytes) -> bytes:
        return answer_with(409, b'{"output_ResponseCode" : "INS-10"}')

    with run_gateway(refuse) as (port, _):
        result = run_generator(make_load(port), bearer="secret")
    assert result.accepted == 0
    assert set(result.statuses) == {"409"}
    assert set(result.codes) == {"INS-10"}
    assert not result.has_only_accepted()
    assert not check_answers([result]).is_met


def test_an_answer_to_another_payment_is_not_accepted() -> None:
    def mix_up(_: bytes) -> bytes:
        return answer_with(201, ACCEPTED % (b"0" * 32))

    with run_gateway(mix_up) as (port, _):
        result = run_generator(make_load(port), bearer="secret")
    assert result.answered > 0
    assert result.accepted == 0


def test_a_closed_connection_is_broken_and_ends_the_load() -> None:
    def close(_: bytes) -> None:
        return None

    with run_gateway(close) as (port, _):
        result = run_generator(make_load(port, connections=3), bearer="secret")
    assert result.broken == 3
    assert result.answered == 0
    assert not result.has_only_accepted()


def test_a_request_without_an_answer_is_counted_as_such() -> None:
    def say_little(_: bytes) -> bytes:
        return b"HTTP/1.1 201 X\r\nContent-Length: 9\r\n\r\nhalf"

    with run_gateway(say_little) as (port, _):
        result = run_generator(make_load(port, connections=3), bearer="secret")
    assert result.unanswered == 3
    assert not result.has_only_accepted()


def test_every_fresh_ciphertext_is_used_for_one_request(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    ciphertexts = [f"cipher{number:02}" for number in range(40)]
    pool.write_text("\n".join(ciphertexts))
    with run_gateway(accept) as (port, requests):
        result = run_generator(make_load(port), fresh_ciphertexts=pool)
    used = [request.partition(b"Bearer ")[2][:8].decode() for request in requests]
    assert sorted(used) == ciphertexts
    assert result.pool_exhausted
    assert result.has_only_accepted()


def make_transaction_id(number: int) -> bytes:
    return b"%012d" % number


def test_the_transactions_of_accepted_payments_are_told(tmp_path: Path) -> None:
    transactions = tmp_path / "transactions"
    given: list[bytes] = []

    def pay(request: bytes) -> bytes:
        given.append(make_transaction_id(len(given)))
        named = ACCEPTED % find_identifier(request)
        return answer_with(201, b'{"output_TransactionID":"%s",%s' % (given[-1], named[1:]))

    with run_gateway(pay) as (port, _):
        result = run_generator(make_load(port), bearer="secret", transactions=transactions)
    assert result.has_only_accepted()
    assert sorted(transactions.read_bytes().split()) == sorted(given)


def test_every_original_is_reversed_once(tmp_path: Path) -> None:
    originals = tmp_path / "originals"
    listed = [make_transaction_id(number) for number in range(40)]
    originals.write_bytes(b"\n".join(listed))
    with run_gateway(accept) as (port, requests):
        load = msgspec.structs.replace(
            make_load(port), operation="reversal", path="/sandbox/ipg/v2/vodacomTZN/reversal/"
        )
        result = run_generator(load, bearer="secret", originals=originals)
    named = [request.partition(b'"input_TransactionID":"')[2][:12] for request in requests]
    assert sorted(named) == listed
    assert all(request.startswith(b"PUT /sandbox/") for request in requests)
    assert result.pool_exhausted
    assert result.has_only_accepted()


def test_every_payment_has_a_session_of_its_own_where_that_is_asked(tmp_path: Path) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key, pool = tmp_path / "key", tmp_path / "pool"
    key.write_bytes(base64.b64encode(spki))
    api_keys = [f"cipher{number:02}" for number in range(20)]
    pool.write_text("\n".join(api_keys))
    opened: list[bytes] = []
    used: list[bytes] = []

    def find_bearer(request: bytes) -> bytes:
        return request.partition(b"Bearer ")[2].partition(b"\r\n")[0]

    def answer(request: bytes) -> bytes:
        if request.startswith(b"GET /sandbox/ipg/v2/vodacomTZN/getSession/ "):
            opened.append(b"%032d" % len(opened))
            body = b'{"output_ResponseCode":"INS-0","output_SessionID":"%s"}'
            return answer_with(200, body % opened[-1])
        used.append(private.decrypt(base64.b64decode(find_bearer(request)), PKCS1v15()))
        return accept(request)

    with run_gateway(answer) as (port, requests):
        result = run_generator(
            msgspec.structs.replace(make_load(port), seconds=5.0, drain_seconds=5.0),
            fresh_ciphertexts=pool,
            session_key=key,
        )
    sent = [find_bearer(request).decode() for request in requests if request.startswith(b"GET")]
    assert sorted(sent) == api_keys
    assert sorted(used) == opened
    assert result.answered == result.accepted == len(api_keys)


def test_a_refused_session_counts_as_the_answer_to_its_payment(tmp_path: Path) -> None:
    key, pool = tmp_path / "key", tmp_path / "pool"
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key.write_bytes(base64.b64encode(spki))
    pool.write_text("one\ntwo\nthree")

    def refuse(_: bytes) -> bytes:
        return answer_with(503, b'{"output_ResponseCode":"INS-989"}')

    with run_gateway(refuse) as (port, requests):
        result = run_generator(make_load(port), fresh_ciphertexts=pool, session_key=key)
    assert result.codes == {"INS-989": 3}
    assert len(requests) == 3
    assert not result.has_only_accepted()


def test_loads_that_run_at_once_keep_their_bearers_apart() -> None:
    with run_gateway(accept) as (port, requests):
        results = run_generators([make_load(port)] * 2, bearers=["first", "second"])
    assert sum(result.answered for result in results) == len(requests)
    for bearer, result in zip((b"first", b"second"), results, strict=True):
        carried = [request for request in requests if b"Bearer %s\r\n" % bearer in request]
        assert len(carried) == result.answered > 0


def test_a_load_that_reaches_nobody_is_an_error() -> None:
    with pytest.raises(GeneratorFailedError):
        run_generator(make_load(port=1), bearer="secret")


@pytest.mark.parametrize("operation", FORMS)
def test_the_body_is_as_long_as_the_request_says(operation: str) -> None:
    load = msgspec.structs.replace(make_load(), operation=operation)
    before_bearer, between, before_identifier, after = build_request(load)
    body = between[4:] + b"2" * 12 + before_identifier + b"a" * 32 + after
    assert b"Content-Length: %d\r\n" % len(body) in before_bearer


@pytest.mark.parametrize("length", range(len(answer_with(201, b'{"output_ResponseCode":"INS-0"}'))))
def test_an_answer_is_not_read_before_it_is_complete(length: int) -> None:
    answer = answer_with(201, b'{"output_ResponseCode":"INS-0"}')
    assert parse_answer(answer[:length]) is None
    assert parse_answer(answer) == (b"201", b"INS-0")


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 201 X\r\n\r\n", answer_with(201, b"{}") + b"x"], ids=["endless", "excess"]
)
def test_an_answer_whose_end_is_unclear_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="answer"):
        parse_answer(data)


def test_a_quantile_is_a_value_that_was_measured() -> None:
    values = range(1, 101)
    assert [pick_quantile(values, share) for share in (0.0, 0.5, 0.99, 0.999, 1.0)] == [
        1,
        50,
        99,
        100,
        100,
    ]
    assert pick_quantile([], 0.5) == 0


def test_a_spread_is_told_with_its_ends() -> None:
    assert measure_spread([3000.4, 1.0, 20.0]).format() == "20 (1–3 000)"


def figure(connections: int, *, ratio: float, p99_us: int) -> ConnectionsFigures:
    one = measure_spread([ratio])
    return ConnectionsFigures(
        connections=connections,
        per_second=one,
        ratio=one,
        p50_us=1,
        p99_us=p99_us,
        p999_us=p99_us,
        p99_worst_us=p99_us,
        server_cpu_us=1.0,
        generator_cpu_us=1.0,
    )


def test_the_best_figure_is_none_that_makes_callers_wait() -> None:
    payments = PaymentsResult(
        yardstick=measure_spread([1.0]),
        figures=[
            figure(64, ratio=2.0, p99_us=100_000),
            figure(128, ratio=1.0, p99_us=1),
            figure(512, ratio=9.0, p99_us=100_001),
        ],
        memory_bytes=0,
        checks=[],
    )
    best = payments.best()
    assert best is not None
    assert best.connections == 64
    assert payments.at(512).ratio.median == 9.0


def test_a_target_is_a_floor_for_a_rate_and_a_ceiling_for_a_cost() -> None:
    floors = [target for target in TARGETS if target.is_floor]
    ceilings = [target for target in TARGETS if not target.is_floor]
    assert all(target.is_met_by(target.bound) for target in floors)
    assert not any(target.is_met_by(target.bound * 0.99) for target in floors)
    assert not any(target.is_met_by(target.bound) for target in ceilings)
    assert all(target.is_met_by(target.bound * 0.99) for target in ceilings)


@pytest.mark.parametrize(
    ("completed", "received", "is_met"), [(7, "7", True), (8, "7", False), (7, "8", False)]
)
def test_a_payment_too_many_or_too_few_is_noticed(
    completed: int, received: str, is_met: bool
) -> None:
    before = Books(completed_payments=2, organisation_balance=Decimal("10.00"))
    after = Books(
        completed_payments=2 + completed, organisation_balance=Decimal("10.00") + Decimal(received)
    )
    assert compare_books(before, after, accepted=7).is_met is is_met


@pytest.mark.parametrize(
    ("received", "is_met"), [("1", True), ("7", False), ("-5", False), ("4", False)]
)
def test_what_an_organisation_pays_out_is_money_that_it_no_longer_has(
    received: str, is_met: bool
) -> None:
    before = Books(completed_payments=0, organisation_balance=Decimal(0))
    after = Books(completed_payments=7, organisation_balance=Decimal(received))
    assert compare_books(before, after, accepted=7, paid_out=3).is_met is is_met


def make_comparison(*rounds: tuple[float, float]) -> Comparison:
    turns = [Turn(label, lambda: Sample(value=0.0)) for label in ("before", "after")]
    taken = [[Sample(value=value) for value in values] for values in rounds]
    return compare(turns, taken, checks=[])


def test_contenders_take_turns_and_begin_in_turn() -> None:
    order: list[str] = []

    def make_turn(label: str, value: float) -> Turn:
        def measure() -> Sample:
            order.append(label)
            return Sample(value=value)

        return Turn(label, measure)

    taken = take_turns([make_turn("a", 1.0), make_turn("b", 2.0), make_turn("c", 3.0)], rounds=3)
    assert "".join(order) == "abcbcacab"
    assert [[sample.value for sample in samples] for samples in taken] == [[1.0, 2.0, 3.0]] * 3


def test_a_ratio_is_that_of_one_round_and_not_that_of_the_medians() -> None:
    ratios = make_comparison((100.0, 50.0), (10.0, 20.0), (1.0, 1.0)).list_figures()
    assert ratios == {"after ÷ before": measure_spread([0.5, 2.0, 1.0])}


@pytest.mark.parametrize(
    ("rounds", "is_cost", "is_worse"),
    [
        (((100.0, 90.0), (100.0, 94.0)), False, True),
        (((100.0, 90.0), (100.0, 80.0), (100.0, 101.0)), False, False),
        (((100.0, 97.0), (100.0, 96.0)), False, False),
        (((1.0, 1.1), (1.0, 1.2)), True, True),
        (((1.0, 1.3), (1.0, 1.2), (1.0, 0.9)), True, False),
        (((1.0, 0.5), (1.0, 0.5)), True, False),
    ],
    ids=["slower", "within the spread", "by little", "dearer", "in spread, dearer", "cheaper"],
)
def test_worse_is_what_no_single_round_contradicts(
    rounds: tuple[tuple[float, float], ...], is_cost: bool, is_worse: bool
) -> None:
    told = judge(make_comparison(*rounds), is_cost=is_cost).note
    assert told.startswith("**Worse") is is_worse


def test_a_revision_that_git_does_not_know_is_told(tmp_path: Path) -> None:
    with pytest.raises(ProductError, match="no-such-revision"):
        take_out("no-such-revision", tmp_path)


def test_every_target_is_a_figure_of_its_own() -> None:
    names = [(target.question, target.figure) for target in TARGETS]
    assert len(set(names)) == len(names)


def test_a_round_without_any_answer_is_no_success() -> None:
    nothing: list[GeneratorResult] = []
    assert not check_answers(nothing).is_met


def test_the_notes_of_the_page_outlive_its_figures(tmp_path: Path) -> None:
    page = tmp_path / "reference" / "benchmarks.md"
    write_page("# One\n", page)
    page.write_text(page.read_text() + "\nThe disk was busy.\n")
    write_page("# Two\n", page)
    text = page.read_text()
    assert text.startswith("# Two\n")
    assert text.count(NOTES) == 1
    assert text.endswith("The disk was busy.\n")


def test_the_data_of_a_run_that_fails_is_removed(tmp_path: Path) -> None:
    parent = tmp_path / "var" / "bench"

    def fail() -> None:
        with make_directory(parent) as directory:
            (directory / "file").write_text("data")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not parent.exists()
