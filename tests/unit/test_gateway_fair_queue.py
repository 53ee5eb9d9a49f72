"""Who waits, of several owners, and who finds no place."""

import pytest

from pesalango_server.gateway.fair_queue import FairQueue


def fill(queue: FairQueue[str, int], owner: str) -> int:
    """As many as have room."""
    added = 0
    while queue.has_room(owner):
        queue.add(owner, added)
        added += 1
    return added


def drain(queue: FairQueue[str, int]) -> list[tuple[str, int]]:
    drained = []
    while queue:
        drained.append(queue.pop())
    return drained


def test_owners_take_turns_however_much_each_has_waiting() -> None:
    queue: FairQueue[str, int] = FairQueue(20)
    for owner, item in (("flood", 1), ("flood", 2), ("flood", 3), ("shop", 4), ("shop", 5)):
        queue.add(owner, item)
    assert drain(queue) == [("flood", 1), ("shop", 4), ("flood", 2), ("shop", 5), ("flood", 3)]
    with pytest.raises(KeyError):
        queue.pop()


def test_whoever_fills_the_queue_leaves_a_place_for_others() -> None:
    queue: FairQueue[str, int] = FairQueue(100)
    assert fill(queue, "flood") == 50
    assert fill(queue, "shop") == 25
    assert not queue.has_room("flood")
    assert all(fill(queue, f"owner {number}") for number in range(5))


def test_there_is_room_for_one_at_least() -> None:
    assert fill(FairQueue(1), "shop") == 1


def test_all_of_one_owner_can_be_taken_out() -> None:
    queue: FairQueue[str, int] = FairQueue(20)
    for owner, item in (("flood", 1), ("shop", 2), ("flood", 3)):
        queue.add(owner, item)
    assert queue.take("flood") == [1, 3]
    assert queue.take("nobody") == []
    assert drain(queue) == [("shop", 2)]
