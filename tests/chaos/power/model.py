"""The disk of the power cuts: what processes see of it, what of that is durable, and what a cut leaves.

The model of the disk, which the certificate names:

* Written data is in the page cache, which all processes see. `fsync` and `fdatasync` of a file, and each
  write with O_SYNC or O_DSYNC, make its content and its size durable; nothing else does. The disk does not
  lie: what it said to have synced is there. A page of 4 KiB that was synced is never torn by a later cut,
  unless it was written again.
* A name in a folder (create, link, rename, unlink, mkdir) is durable apart from the content of the file: a
  cut may leave a new name with an empty file. Each such operation is atomic. Two models:
  - POSIX (`ordered=False`): only `fsync` of the folder makes its names durable; a folder does not know of
    another.
  - journal (`ordered=True`, as ext4 and XFS do it): operations of all folders, and truncations, go to one
    journal in their order. `fsync` of a file or folder commits the journal up to the last change of its
    inode, and so everything that was done before. `fdatasync` does so only when it needs the change: the
    file is new, was renamed, or its size changed. The 5 s of ext4's own commits are not assumed.
* Not assumed of ext4: that a rename over a file, or a truncation, flushes the data first (auto_da_alloc);
  that a name comes with its data (data=ordered with delayed allocation does not give that either).
* Modes, owners and times count as durable at once.
* `mmap`: the kernel writes pages of a shared mapping as it writes others, at the latest at `msync` or
  `fsync`. So the content of SQLite's -shm is lost at a cut, as it should be: SQLite makes it anew.
* sync(2) and syncfs(2) do not reach a FUSE file system: `Files.sync` stands for them.

Two kinds of cut (`Loss`). FORGET drops everything that is not durable. SCATTER lets, by chance, survive: each
page that was not synced, in any order, as it is now or as it was at an earlier write (the kernel writes back
when it likes); the first operations of each journal; a truncation. A page that survives may be torn: new in
its first sectors of 512 bytes, old in the rest. Where a file grew, pages in between that did not survive are
zeros, as ext4 has them.
"""

from __future__ import annotations

import enum
import errno
import itertools
import random
import stat
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

PAGE = 4096
SECTOR = 512
ROOT = 1

WRITTEN_BACK = 0.1
"""The chance that a page was written back before it is written once more, with SCATTER."""
SURVIVES = 0.5
"""The chance of a page or an operation that was not synced, with SCATTER."""
TORN = 0.1
"""The chance that a page which survives is torn."""


class Loss(enum.Enum):
    """What becomes at a cut of that which was not synced: nothing is left of it, or some by chance."""

    FORGET = "forget"
    SCATTER = "scatter"


@dataclass(frozen=True, slots=True)
class Change:
    """One name of a folder now means this inode (0: none); or, with `size`, a file was cut to that size."""

    inode: int
    name: bytes = b""
    to: int = 0
    size: int = -1


class Journal:
    """Operations that were done and are not durable yet, each of one or more changes, in their order."""

    def __init__(self) -> None:
        self._operations: deque[tuple[int, tuple[Change, ...]]] = deque()

    def __len__(self) -> int:
        return len(self._operations)

    def add(self, number: int, changes: Iterable[Change]) -> None:
        """The operation `number`, larger than all before."""
        self._operations.append((number, tuple(changes)))

    def take(self, up_to: int) -> Iterator[Change]:
        """The changes of all operations up to this number, which the journal then no longer has."""
        while self._operations and self._operations[0][0] <= up_to:
            yield from self._operations.popleft()[1]

    def take_first(self, operations: int) -> Iterator[Change]:
        """The changes of so many operations; the others are forgotten."""
        for _ in range(operations):
            yield from self._operations.popleft()[1]
        self._operations.clear()


@dataclass(slots=True)
class Inode:
    """A file, folder or symbolic link.

    content, durable: of a file, as processes see it and as a cut leaves it; dirty: the pages in which they
    differ. names, durable_names: the same of a folder. journal: where its names go (a folder) or with which
    operations a sync of it commits (a file; None: with none). changed, needed: the number of the last
    operation that `fsync`, or `fdatasync`, has to commit.
    """

    number: int
    mode: int
    uid: int
    gid: int
    ordered: bool
    journal: Journal | None = None
    links: int = 1
    content: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    dirty: set[int] = field(default_factory=set)
    names: dict[bytes, int] = field(default_factory=dict)
    durable_names: dict[bytes, int] = field(default_factory=dict)
    target: bytes = b""
    changed: int = 0
    needed: int = 0
    accessed: float = 0.0
    modified: float = 0.0
    status: float = 0.0

    @property
    def is_folder(self) -> bool:
        """Whether it has names."""
        return stat.S_ISDIR(self.mode)

    @property
    def size(self) -> int:
        """In bytes, as processes see it."""
        return len(self.target) if self.target else len(self.content)


class Files:
    """All files of one disk. Raises OSError as a kernel's file system does.

    ordered_below: folders in the root that have the journal's model, with all that is in them; the others
    have POSIX's.
    """

    def __init__(
        self, *, ordered_below: Iterable[bytes] = (), loss: Loss = Loss.FORGET, seed: int = 0
    ) -> None:
        self.loss = loss
        self.random = random.Random(seed)
        self._ordered_below = frozenset(ordered_below)
        self._journal = Journal()
        self._numbers = itertools.count(ROOT)
        self._operation = 0
        self._inodes: dict[int, Inode] = {}
        root = self._new(stat.S_IFDIR | 0o755, 0, 0, ordered=False)
        assert root.number == ROOT

    # -- looking

    def inode(self, number: int) -> Inode:
        """The inode of this number."""
        try:
            return self._inodes[number]
        except KeyError:
            raise OSError(errno.ESTALE, "no such inode") from None

    def lookup(self, folder: int, name: bytes) -> Inode:
        """What a name means."""
        found = self.inode(folder).names.get(name)
        if found is None:
            raise OSError(errno.ENOENT, "no such name")
        return self.inode(found)

    @property
    def used(self) -> int:
        """Bytes of all files."""
        return sum(len(each.content) for each in self._inodes.values())

    # -- names

    def make(
        self, folder: int, name: bytes, mode: int, *, uid: int = 0, gid: int = 0, target: bytes = b""
    ) -> Inode:
        """A new file, folder or symbolic link."""
        parent = self._parent(folder)
        if name in parent.names:
            raise OSError(errno.EEXIST, "the name is there")
        ordered = parent.ordered or (folder == ROOT and name in self._ordered_below)
        made = self._new(mode, uid, gid, ordered=ordered)
        made.target = target
        self._rename_in(parent, [(parent, name, made.number)])
        self._touch(made, needed=True)
        return made

    def link(self, number: int, folder: int, name: bytes) -> Inode:
        """Another name of a file."""
        parent, linked = self._parent(folder), self.inode(number)
        if name in parent.names:
            raise OSError(errno.EEXIST, "the name is there")
        linked.links += 1
        self._rename_in(parent, [(parent, name, number)])
        self._touch(linked, needed=True)
        return linked

    def unlink(self, folder: int, name: bytes) -> None:
        """The name is gone; an open file lives on."""
        parent, gone = self._parent(folder), self.lookup(folder, name)
        gone.links -= 1
        self._rename_in(parent, [(parent, name, 0)])
        self._touch(gone)

    def rmdir(self, folder: int, name: bytes) -> None:
        """The same of an empty folder."""
        if self.lookup(folder, name).names:
            raise OSError(errno.ENOTEMPTY, "not empty")
        self.unlink(folder, name)

    def rename(self, folder: int, name: bytes, to: int, new: bytes, *, replace: bool = True) -> None:
        """As rename(2): what had the new name is replaced, in one operation where one journal has both."""
        old, target = self._parent(folder), self._parent(to)
        moved = self.lookup(folder, name)
        replaced = target.names.get(new)
        if replaced == moved.number:
            return
        if replaced is not None:
            there = self.inode(replaced)
            if not replace:
                raise OSError(errno.EEXIST, "the name is there")
            if there.is_folder and there.names:
                raise OSError(errno.ENOTEMPTY, "not empty")
            there.links -= 1
        changes = [(old, name, 0), (target, new, moved.number)]
        if old.journal is target.journal:
            self._rename_in(old, changes)
        else:
            for change in reversed(changes):
                self._rename_in(change[0], [change])
        self._touch(moved, needed=True)

    # -- content

    def read(self, number: int, offset: int, size: int) -> bytes:
        """As processes see it."""
        return bytes(memoryview(self.inode(number).content)[offset : offset + size])

    def write(self, number: int, offset: int, data: bytes | memoryview, *, sync: bool = False) -> None:
        """sync: as with O_DSYNC."""
        inode, end = self.inode(number), offset + len(data)
        pages = range(offset // PAGE, (end + PAGE - 1) // PAGE)
        if self.loss is Loss.SCATTER:
            for page in pages:
                if page in inode.dirty and self.random.random() < WRITTEN_BACK:
                    self._write_back(inode, page)
        grew = end > len(inode.content)
        if offset > len(inode.content):
            self._grow(inode, offset)
        inode.content[offset:end] = data
        inode.dirty.update(pages)
        self._touch(inode, needed=grew, content=True)
        if sync:
            self.fsync(number, only_data=True)

    def truncate(self, number: int, size: int) -> None:
        """Cut or extended with zeros."""
        inode = self.inode(number)
        if size > len(inode.content):
            self._grow(inode, size)
        elif size < len(inode.content):
            del inode.content[size:]
            kept = (size + PAGE - 1) // PAGE
            inode.dirty = {page for page in inode.dirty if page < kept}
            if size % PAGE:
                inode.dirty.add(size // PAGE)
            if inode.ordered:
                self._operation += 1
                self._journal.add(self._operation, [Change(number, size=size)])
        self._touch(inode, needed=True, content=True)

    # -- durability

    def fsync(self, number: int, *, only_data: bool = False) -> None:
        """The content and the size of a file, or the names of a folder, are durable."""
        inode = self.inode(number)
        if inode.journal is not None:
            self._commit(inode.journal.take(inode.needed if only_data else inode.changed))
        for page in inode.dirty:
            start = page * PAGE
            self._put(inode, start, inode.content[start : start + PAGE])
        del inode.durable[len(inode.content) :]
        inode.dirty.clear()

    def sync(self) -> None:
        """Everything is durable, as after sync(2)."""
        for number in list(self._inodes):
            self.fsync(number)

    def cut(self) -> None:
        """The power is off and on again: processes see what was durable, and what survived by chance."""
        scatter = self.loss is Loss.SCATTER
        journals = [each.journal for each in self._inodes.values() if each.journal is not None]
        for journal in {id(each): each for each in journals}.values():
            self._commit(journal.take_first(self.random.randint(0, len(journal)) if scatter else 0))
        for inode in self._inodes.values():
            if scatter:
                self._survive(inode)
            inode.content = bytearray(inode.durable)
            inode.names = dict(inode.durable_names)
            inode.dirty.clear()
        self._forget_unreachable()

    # -- how

    def _new(self, mode: int, uid: int, gid: int, *, ordered: bool) -> Inode:
        made = Inode(next(self._numbers), mode, uid, gid, ordered)
        if ordered:
            made.journal = self._journal
        elif made.is_folder:
            made.journal = Journal()
        self._inodes[made.number] = made
        made.accessed = made.modified = made.status = time.time()
        return made

    def _parent(self, number: int) -> Inode:
        parent = self.inode(number)
        if not parent.is_folder:
            raise OSError(errno.ENOTDIR, "not a folder")
        return parent

    def _rename_in(self, parent: Inode, changes: list[tuple[Inode, bytes, int]]) -> None:
        """One operation of the journal of `parent`."""
        self._operation += 1
        assert parent.journal is not None
        parent.journal.add(self._operation, [Change(each.number, name, to) for each, name, to in changes])
        for folder, name, to in changes:
            if to:
                folder.names[name] = to
            else:
                del folder.names[name]
            self._touch(folder, needed=True, content=True)

    def _touch(self, inode: Inode, *, needed: bool = False, content: bool = False) -> None:
        inode.changed = self._operation
        if needed:
            inode.needed = self._operation
        inode.status = time.time()
        if content:
            inode.modified = inode.status

    @staticmethod
    def _grow(inode: Inode, size: int) -> None:
        first = len(inode.content) // PAGE
        inode.content.extend(bytes(size - len(inode.content)))
        inode.dirty.update(range(first, (size + PAGE - 1) // PAGE))

    @staticmethod
    def _put(inode: Inode, start: int, data: bytes | bytearray) -> None:
        if len(inode.durable) < start:
            inode.durable.extend(bytes(start - len(inode.durable)))
        inode.durable[start : start + len(data)] = data

    def _write_back(self, inode: Inode, page: int) -> None:
        """This page, as it is now, gets to the disk; torn, by chance, when the power goes."""
        start = page * PAGE
        self._put(inode, start, inode.content[start : start + PAGE])

    def _commit(self, changes: Iterable[Change]) -> None:
        for change in changes:
            inode = self._inodes.get(change.inode)
            if inode is None:
                continue
            if change.size >= 0:
                del inode.durable[change.size :]
            elif change.to:
                inode.durable_names[change.name] = change.to
            else:
                inode.durable_names.pop(change.name, None)

    def _survive(self, inode: Inode) -> None:
        """Some of what was not synced."""
        chance = self.random.random
        if len(inode.content) < len(inode.durable) and chance() < SURVIVES:
            del inode.durable[len(inode.content) :]
        for page in sorted(inode.dirty):
            if chance() < SURVIVES:
                start = page * PAGE
                new = inode.content[start : start + PAGE]
                if chance() < TORN:
                    new = new[: SECTOR * self.random.randrange(1, PAGE // SECTOR)]
                self._put(inode, start, new)

    def _forget_unreachable(self) -> None:
        seen, left = {ROOT}, [ROOT]
        links: dict[int, int] = {ROOT: 1}
        while left:
            for number in self._inodes[left.pop()].names.values():
                links[number] = links.get(number, 0) + 1
                if number not in seen:
                    seen.add(number)
                    left.append(number)
        self._inodes = {number: inode for number, inode in self._inodes.items() if number in seen}
        for number, inode in self._inodes.items():
            inode.links = links[number]
