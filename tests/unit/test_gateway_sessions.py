"""The map from ciphertexts to sessions, and its bounds."""

from pesalango_server.gateway.sessions import CiphertextMap, KnownSession


def session(key: str) -> KnownSession:
    return KnownSession(key, (1, 1_000, 2_000, 1, "vodacomTZN", 0, 1_500))


def ciphertext(number: int) -> bytes:
    return number.to_bytes(32, "big")


def make(*, ciphertexts_max: int = 100, per_session_max: int = 8) -> CiphertextMap:
    return CiphertextMap(ciphertexts_max=ciphertexts_max, per_session_max=per_session_max)


def test_a_ciphertext_is_found_again() -> None:
    known, ciphertexts = session("a"), make()
    ciphertexts.remember(ciphertext(1), known)
    assert ciphertexts.find(ciphertext(1)) is known
    assert ciphertexts.find(ciphertext(2)) is None
    assert ciphertexts.find_by_key("a") is known


def test_one_session_has_eight_ciphertexts_and_its_oldest_makes_room() -> None:
    known, ciphertexts = session("a"), make()
    for number in range(20):
        ciphertexts.remember(ciphertext(number), known)
    found = [number for number in range(20) if ciphertexts.find(ciphertext(number))]
    assert found == list(range(12, 20))


def test_a_session_with_many_ciphertexts_drives_nobody_out() -> None:
    quiet, ciphertexts = session("quiet"), make(ciphertexts_max=20)
    ciphertexts.remember(ciphertext(0), quiet)
    for number in range(1, 500):
        ciphertexts.remember(ciphertext(number), session("busy"))
    assert ciphertexts.find(ciphertext(0)) is quiet
    assert len(ciphertexts) == 9


def test_of_all_ciphertexts_the_least_recently_used_goes() -> None:
    ciphertexts = make(ciphertexts_max=3)
    for number, key in enumerate("abc"):
        ciphertexts.remember(ciphertext(number), session(key))
    assert ciphertexts.find(ciphertext(0)) is not None
    ciphertexts.remember(ciphertext(3), session("d"))
    assert ciphertexts.find(ciphertext(1)) is None
    assert ciphertexts.find(ciphertext(0)) is not None
    assert len(ciphertexts) == 3


def test_a_session_is_forgotten_with_its_last_ciphertext() -> None:
    ciphertexts = make(ciphertexts_max=1)
    ciphertexts.remember(ciphertext(0), session("a"))
    ciphertexts.remember(ciphertext(1), session("b"))
    assert ciphertexts.find_by_key("a") is None
    assert ciphertexts.find_by_key("b") is not None


def test_one_session_is_one_object_however_many_read_it() -> None:
    ciphertexts = make()
    first, second = session("a"), session("a")
    ciphertexts.remember(ciphertext(0), first)
    ciphertexts.remember(ciphertext(1), second)
    ciphertexts.remember(ciphertext(1), second)
    assert ciphertexts.find(ciphertext(1)) is first
    assert len(ciphertexts) == 2


def test_a_ledgers_time_is_never_earlier_than_it_was_known_to_be() -> None:
    assert session("a").ledger_now_ms(1_200) == 1_500
    assert session("a").ledger_now_ms(1_700) == 1_700
