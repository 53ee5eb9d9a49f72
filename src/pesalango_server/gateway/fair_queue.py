"""Things that wait, of several owners: each owner's in its own order, the owners in turn."""

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Owner = TypeVar("Owner", bound=Hashable)
Item = TypeVar("Item")


class FairQueue(Generic[Owner, Item]):
    """A bounded queue in which whoever has much waiting delays nobody but himself.

    An owner may have as many waiting as there are places left for others: alone, half of `room`
    (at least one), so that the next finds a place, until some ten such owners have filled it.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        # The owners in the order of their turns.
        self._items: OrderedDict[Owner, deque[Item]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        """How many wait."""
        return self._length

    def has_room(self, owner: Owner) -> bool:
        """Whether one more of this owner may wait."""
        items = self._items.get(owner)
        return (len(items) if items else 0) < self._room - self._length

    def add(self, owner: Owner, item: Item) -> None:
        """Let one more wait, behind all others of its owner; `has_room` says whether it may."""
        self._items.setdefault(owner, deque()).append(item)
        self._length += 1

    def pop(self) -> tuple[Owner, Item]:
        """The longest waiting one of the owner whose turn it is; KeyError where none waits."""
        owner, items = self._items.popitem(last=False)
        item = items.popleft()
        self._length -= 1
        if items:
            self._items[owner] = items
        return owner, item

    def take(self, owner: Owner) -> list[Item]:
        """Take out all of one owner."""
        items = self._items.pop(owner, ())
        self._length -= len(items)
        return list(items)
