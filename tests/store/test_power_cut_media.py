"""The model of a disk that loses its power, without SQLite."""

import random

import pytest

from tests.store.power_cut_media import (
    SECTOR_BYTES,
    Create,
    CutMode,
    Delete,
    Media,
    Sync,
    Truncate,
    Write,
)

BOTH_MODES: tuple[CutMode, ...] = ("drop_all", "random_subset")
SEEDS = range(200)


def make_media(content: bytes) -> Media:
    """One file, `a`, whose name and content are durable."""
    media = Media()
    media.apply(Create(name="a", file_id=1))
    media.apply(Write(file_id=1, offset=0, data=content))
    media.apply(Sync(file_id=1, with_directory=True))
    return media


def find_content(media: Media, seed: int, mode: CutMode) -> bytes | None:
    found = media.survive(chance=random.Random(seed), mode=mode)
    file_id = found.names.get("a")
    return None if file_id is None else bytes(found.files[file_id].current)


@pytest.mark.parametrize("mode", BOTH_MODES)
def test_what_was_synced_is_found(mode: CutMode) -> None:
    media = make_media(b"old" * 1000)
    media.apply(Write(file_id=1, offset=0, data=b"new"))
    media.apply(Sync(file_id=1, with_directory=False))

    contents = {find_content(media, seed, mode) for seed in SEEDS}

    assert contents == {b"new" + b"old" * 999}


def test_nothing_else_is_found_when_all_is_dropped() -> None:
    media = make_media(b"old")
    media.apply(Write(file_id=1, offset=0, data=b"new and longer"))
    media.apply(Truncate(file_id=1, size_bytes=1))

    assert {find_content(media, seed, "drop_all") for seed in SEEDS} == {b"old"}


def test_a_write_is_torn_between_sectors_and_never_within_one() -> None:
    sectors = 6
    media = make_media(b"o" * SECTOR_BYTES * sectors)
    # It begins and ends within a sector: the bytes beside it are nobody's to touch.
    media.apply(Write(file_id=1, offset=100, data=b"n" * (SECTOR_BYTES * sectors - 200)))

    torn = 0
    for seed in SEEDS:
        content = find_content(media, seed, "random_subset")
        assert content is not None
        assert content[:100] == content[-100:] == b"o" * 100
        written_end = len(content) - 100
        parts = [
            content[max(start, 100) : min(start + SECTOR_BYTES, written_end)]
            for start in range(0, len(content), SECTOR_BYTES)
        ]
        assert all(len(set(part)) == 1 for part in parts), "a sector is half old and half new"
        torn += len(set(content[100:written_end])) == 2

    assert torn > 0


def test_a_later_write_may_survive_without_an_earlier_one() -> None:
    media = make_media(b"o" * SECTOR_BYTES * 2)
    media.apply(Write(file_id=1, offset=0, data=b"1" * SECTOR_BYTES))
    media.apply(Write(file_id=1, offset=SECTOR_BYTES, data=b"2" * SECTOR_BYTES))

    found = {find_content(media, seed, "random_subset") for seed in SEEDS}

    first, second, old = b"1" * SECTOR_BYTES, b"2" * SECTOR_BYTES, b"o" * SECTOR_BYTES
    assert found == {old + old, first + old, old + second, first + second}


def test_of_two_writes_to_one_sector_either_may_be_found() -> None:
    media = make_media(b"o" * SECTOR_BYTES)
    media.apply(Write(file_id=1, offset=0, data=b"1" * SECTOR_BYTES))
    media.apply(Write(file_id=1, offset=0, data=b"2" * SECTOR_BYTES))

    found = {find_content(media, seed, "random_subset") for seed in SEEDS}

    assert found == {letter * SECTOR_BYTES for letter in (b"o", b"1", b"2")}


def test_a_truncation_may_be_lost_although_a_later_write_survives() -> None:
    media = make_media(b"o" * SECTOR_BYTES * 2)
    media.apply(Truncate(file_id=1, size_bytes=0))
    media.apply(Write(file_id=1, offset=0, data=b"n" * SECTOR_BYTES))

    found = {find_content(media, seed, "random_subset") for seed in SEEDS}

    assert b"n" * SECTOR_BYTES + b"o" * SECTOR_BYTES in found
    assert b"n" * SECTOR_BYTES in found
    assert b"" in found


def test_room_by_which_a_file_grew_may_hold_anything() -> None:
    media = make_media(b"")
    media.apply(Write(file_id=1, offset=0, data=b"1" * SECTOR_BYTES))
    media.apply(Write(file_id=1, offset=SECTOR_BYTES, data=b"2" * SECTOR_BYTES))

    beginnings = set()
    for seed in SEEDS:
        content = find_content(media, seed, "random_subset")
        assert content is not None
        if content[SECTOR_BYTES:] == b"2" * SECTOR_BYTES:
            beginnings.add(content[:SECTOR_BYTES])

    assert {b"1" * SECTOR_BYTES, bytes(SECTOR_BYTES)} < beginnings


@pytest.mark.parametrize("mode", BOTH_MODES)
def test_a_name_is_found_for_certain_once_the_directory_was_synced(mode: CutMode) -> None:
    media = make_media(b"old")
    media.apply(Delete(name="a", with_directory=True))

    assert {find_content(media, seed, mode) for seed in SEEDS} == {None}


def test_a_file_that_was_synced_is_lost_with_its_name() -> None:
    media = Media()
    media.apply(Create(name="a", file_id=1))
    media.apply(Write(file_id=1, offset=0, data=b"new"))
    media.apply(Sync(file_id=1, with_directory=False))

    assert {find_content(media, seed, "drop_all") for seed in SEEDS} == {None}
    assert {find_content(media, seed, "random_subset") for seed in SEEDS} == {None, b"new"}


def test_a_deleted_file_may_come_back_although_a_new_one_took_its_name() -> None:
    media = make_media(b"old")
    media.apply(Delete(name="a", with_directory=False))
    media.apply(Create(name="a", file_id=2))
    media.apply(Write(file_id=2, offset=0, data=b"new"))
    media.apply(Sync(file_id=2, with_directory=False))

    assert {find_content(media, seed, "drop_all") for seed in SEEDS} == {b"old"}
    found = {find_content(media, seed, "random_subset") for seed in SEEDS}
    assert found == {b"old", None, b"new"}


def test_a_cut_during_a_sync_finds_some_part_of_the_file() -> None:
    media = make_media(b"o" * SECTOR_BYTES * 3)
    media.apply(Write(file_id=1, offset=0, data=b"n" * SECTOR_BYTES * 3))
    sync = Sync(file_id=1, with_directory=False)

    found = set()
    for seed in SEEDS:
        survived = media.survive(chance=random.Random(seed), mode="drop_all", interrupted=sync)
        found.add(bytes(survived.files[1].current[::SECTOR_BYTES]))

    assert {b"ooo", b"nnn"} < found


def test_a_cut_during_a_sync_leaves_other_files_alone() -> None:
    media = make_media(b"old")
    media.apply(Write(file_id=1, offset=0, data=b"new"))
    media.apply(Create(name="b", file_id=2))
    media.apply(Write(file_id=2, offset=0, data=b"other"))
    sync = Sync(file_id=2, with_directory=True)

    names = set()
    for seed in SEEDS:
        found = media.survive(chance=random.Random(seed), mode="drop_all", interrupted=sync)
        assert found.files[1].current == b"old"
        names.add("b" in found.names)
        if "b" in found.names:
            assert found.files[2].current == b"other", "the name was synced before the content"

    assert names == {True, False}


def test_what_was_found_after_a_cut_survives_the_next_one() -> None:
    media = make_media(b"o" * SECTOR_BYTES * 4)
    media.apply(Write(file_id=1, offset=0, data=b"n" * SECTOR_BYTES * 4))

    for seed in SEEDS:
        found = media.survive(chance=random.Random(seed), mode="random_subset")
        content = bytes(found.files[1].current)
        assert find_content(found, seed, "drop_all") == content


def test_the_same_seed_finds_the_same_disk() -> None:
    media = make_media(b"")
    for number in range(50):
        media.apply(Write(file_id=1, offset=number * 700, data=bytes([number]) * 1000))

    first = [find_content(media, seed, "random_subset") for seed in SEEDS]
    second = [find_content(media, seed, "random_subset") for seed in SEEDS]

    assert first == second
    assert len(set(first)) > len(SEEDS) / 2
