"""What a disk holds when the power goes: a pure model of files, sectors and one flat directory.

A change reaches `current` at once, which is what every reader sees, and waits in `pending` until
the file is synced; only then is it `durable`. `Media.survive` decides, with a random generator of
the caller's, which of the waiting changes the machine finds when it starts again.

Assumed of the device, as SQLite assumes it of the system (`SQLITE_IOCAP_POWERSAFE_OVERWRITE`): a
sector of 512 bytes is written whole or not at all, and a write leaves the bytes beside it alone.
Nothing else is assumed: no order between writes, none between files, none between names, and the
room by which a file grew may hold anything where its content was not synced.
"""

import random
from typing import Literal, TypeAlias

import msgspec

CutMode: TypeAlias = Literal["drop_all", "random_subset"]
"""`drop_all`: nothing survives that was not synced. `random_subset`: each change that was not
synced survives, is lost, or (a write) survives in some of its sectors, in any order."""

SECTOR_BYTES = 512

_KEPT_SHARES = (0.1, 0.5, 0.9)
"""Drawn once per file and cut: with one even chance alone, a cut that leaves all but one write of
fifty, or only one, would practically never be drawn."""


class Write(msgspec.Struct, frozen=True):
    file_id: int
    offset: int
    data: bytes


class Truncate(msgspec.Struct, frozen=True):
    file_id: int
    size_bytes: int


class Sync(msgspec.Struct, frozen=True):
    file_id: int
    with_directory: bool


class Create(msgspec.Struct, frozen=True):
    name: str
    file_id: int


class Delete(msgspec.Struct, frozen=True):
    name: str
    with_directory: bool


Change: TypeAlias = Write | Truncate | Sync | Create | Delete


class StoredFile:
    """One file's content, apart from its names: it outlives its deletion while it is open."""

    __slots__ = ("current", "durable", "pending")

    def __init__(self, content: bytes = b"") -> None:
        self.current = bytearray(content)
        self.durable = bytearray(content)
        self.pending: list[Write | Truncate] = []

    def change(self, change: Write | Truncate) -> None:
        _apply_change(self.current, change)
        self.pending.append(change)

    def sync(self) -> None:
        for change in self.pending:
            _apply_change(self.durable, change)
        self.pending.clear()

    def copy_state(self) -> "StoredFile":
        copied = StoredFile()
        copied.current[:] = self.current
        copied.durable[:] = self.durable
        copied.pending = list(self.pending)
        return copied


class Media:
    """Files, and the names that lead to them. Names are opaque; there is one directory."""

    def __init__(self) -> None:
        self.files: dict[int, StoredFile] = {}
        self.names: dict[str, int] = {}
        self.durable_names: dict[str, int] = {}
        self.pending_names: list[Create | Delete] = []
        self.next_file_id = 1

    def copy_state(self) -> "Media":
        copied = Media()
        copied.files = {file_id: file.copy_state() for file_id, file in self.files.items()}
        copied.names = dict(self.names)
        copied.durable_names = dict(self.durable_names)
        copied.pending_names = list(self.pending_names)
        copied.next_file_id = self.next_file_id
        return copied

    def apply(self, change: Change) -> None:
        match change:
            case Write() | Truncate():
                self.files[change.file_id].change(change)
            case Sync():
                self.files[change.file_id].sync()
                if change.with_directory:
                    self._sync_directory()
            case Create():
                self.files[change.file_id] = StoredFile()
                self.next_file_id = max(self.next_file_id, change.file_id + 1)
                self.names[change.name] = change.file_id
                self.pending_names.append(change)
            case Delete():
                del self.names[change.name]
                self.pending_names.append(change)
                if change.with_directory:
                    self._sync_directory()

    def survive(
        self, *, chance: random.Random, mode: CutMode, interrupted: Change | None = None
    ) -> "Media":
        """What is found after the cut, all of it durable, with `interrupted` in flight at the cut.

        The change in flight is treated as one that is waiting; a sync in flight has reached some
        part of its file, also in the mode `drop_all`, and may have come as far as the directory.
        """
        before = self.copy_state()
        file_in_sync: int | None = None
        directory_in_sync = False
        match interrupted:
            case Sync():
                file_in_sync = interrupted.file_id
                if interrupted.with_directory and chance.random() < 0.5:
                    # The directory's turn comes when the file's content is down.
                    before.files[file_in_sync].sync()
                    directory_in_sync = True
            case Delete():
                before.apply(Delete(name=interrupted.name, with_directory=False))
                directory_in_sync = interrupted.with_directory
            case Write() | Truncate() | Create():
                before.apply(interrupted)
            case None:
                pass
        keep_some = mode == "random_subset"
        found = Media()
        names = before.durable_names
        if keep_some or directory_in_sync:
            names = before._draw_names(chance)
        for name, file_id in names.items():
            file = before.files[file_id]
            content = file.durable
            if keep_some or file_id == file_in_sync:
                content = _draw_content(file, chance)
            found.files[file_id] = StoredFile(bytes(content))
            found.names[name] = found.durable_names[name] = file_id
            found.next_file_id = max(found.next_file_id, file_id + 1)
        return found

    def _sync_directory(self) -> None:
        self.durable_names = dict(self.names)
        self.pending_names.clear()

    def _draw_names(self, chance: random.Random) -> dict[str, int]:
        """For each name one of the states it has had since the directory was synced."""
        states: dict[str, list[int | None]] = {}
        for change in self.pending_names:
            history = states.setdefault(change.name, [self.durable_names.get(change.name)])
            history.append(change.file_id if isinstance(change, Create) else None)
        drawn = dict(self.durable_names)
        for name, history in states.items():
            file_id = chance.choice(history)
            drawn.pop(name, None)
            if file_id is not None:
                drawn[name] = file_id
        return drawn


def _draw_content(file: StoredFile, chance: random.Random) -> bytearray:
    content = bytearray(file.durable)
    if not file.pending:
        return content
    pending = list(file.pending)
    if chance.random() < 0.5:
        chance.shuffle(pending)
    kept_share = chance.choice(_KEPT_SHARES)
    torn_share = (1 - kept_share) / 2
    stale = chance if chance.random() < 0.5 else None
    for change in pending:
        fate = chance.random()
        if fate < kept_share:
            _apply_change(content, change, stale=stale)
        elif isinstance(change, Write) and fate < kept_share + torn_share:
            for sector in _split_sectors(change):
                if chance.random() < 0.5:
                    _apply_change(content, sector, stale=stale)
    if len(content) < len(file.current) and chance.random() < 0.25:
        # The new length is metadata, and may be down before any of the content is.
        _resize(content, len(file.current), stale=stale)
    return content


def _split_sectors(write: Write) -> list[Write]:
    sectors = []
    start = write.offset
    end = write.offset + len(write.data)
    while start < end:
        stop = min(end, (start // SECTOR_BYTES + 1) * SECTOR_BYTES)
        data = write.data[start - write.offset : stop - write.offset]
        sectors.append(Write(file_id=write.file_id, offset=start, data=data))
        start = stop
    return sectors


def _apply_change(
    content: bytearray, change: Write | Truncate, *, stale: random.Random | None = None
) -> None:
    if isinstance(change, Truncate):
        _resize(content, change.size_bytes, stale=stale)
        return
    if change.offset > len(content):
        _resize(content, change.offset, stale=stale)
    content[change.offset : change.offset + len(change.data)] = change.data


def _resize(content: bytearray, size_bytes: int, *, stale: random.Random | None = None) -> None:
    """Cut off, or grow by zeros, or by what some other file may have left there."""
    missing = size_bytes - len(content)
    if missing <= 0:
        del content[size_bytes:]
    elif stale is None:
        content.extend(bytes(missing))
    else:
        content.extend(stale.randbytes(missing))
