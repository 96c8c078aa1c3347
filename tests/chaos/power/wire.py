"""The messages of the kernel's FUSE protocol (linux/fuse.h, 7.31) that a plain file system needs.

Pure: numbers, layouts, and packing of what several answers share. Spoken over /dev/fuse itself, so that
inodes and the flags of each write are seen as the kernel has them, and no library is needed.
"""

from __future__ import annotations

import enum
import stat
from collections.abc import Iterable
from struct import Struct

from tests.chaos.power.model import PAGE, Inode

VERSION = (7, 31)
MAX_WRITE = 128 * 1024
FOREVER = 86_400
"""Seconds for which the kernel may keep a name or attributes: nobody else changes them."""
KEEP_CACHE = 1 << 1
BIG_WRITES = 1 << 5
DATA_ONLY = 1
NO_REPLACE = 1


class Op(enum.IntEnum):
    """What the kernel asks for."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    CREATE = 35
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42
    RENAME2 = 45


class Set(enum.IntFlag):
    """What SETATTR sets."""

    MODE = 1
    UID = 2
    GID = 4
    SIZE = 8
    ATIME = 16
    MTIME = 32
    ATIME_NOW = 128
    MTIME_NOW = 256


NO_ANSWER = frozenset({Op.FORGET, Op.BATCH_FORGET, Op.INTERRUPT})

HEAD = Struct("<IIQQIIIHH")  # length, opcode, unique, node, uid, gid, pid, extensions, padding
ANSWER = Struct("<IiQ")  # length, -errno, unique
INIT_IN = Struct("<IIII")  # major, minor, read ahead, flags
INIT_OUT = Struct("<IIIIHHIIHHI28x")
SETATTR_IN = Struct("<2I6Q8I")
MKNOD_IN = Struct("<IIII")  # mode, device, umask, padding
MKDIR_IN = Struct("<II")  # mode, umask
CREATE_IN = Struct("<IIII")  # flags, mode, umask, open flags
RENAME_IN = Struct("<Q")
RENAME2_IN = Struct("<QII")  # folder, flags, padding
LINK_IN = Struct("<Q")
READ_IN = Struct(
    "<QQIIQII"
)  # handle, offset, size, flags of the read, lock's owner, flags of the file, padding
WRITE_IN = Struct("<QQIIQII")  # the same
WRITE_OUT = Struct("<II")
FSYNC_IN = Struct("<QII")  # handle, flags, padding
RELEASE_IN = Struct("<QIIQ")
SETXATTR_IN = Struct("<II")
OPEN_OUT = Struct("<QII")  # handle, flags, padding
ENTRY_OUT = Struct("<4Q2I")
ATTR_OUT = Struct("<QII")
STATFS_OUT = Struct("<5Q4I24x")
_ATTR = Struct("<6Q10I")
_DIRENT = Struct("<QQII")

INIT_ANSWER = INIT_OUT.pack(*VERSION, MAX_WRITE, BIG_WRITES, 64, 48, MAX_WRITE, 1, 0, 0, 0)
STATFS_ANSWER = STATFS_OUT.pack(2**24, 2**23, 2**23, 2**20, 2**19, PAGE, 255, PAGE, 0)


def attributes(inode: Inode) -> bytes:
    """The answer to GETATTR and SETATTR."""
    return ATTR_OUT.pack(FOREVER, 0, 0) + _attr(inode)


def entry(inode: Inode) -> bytes:
    """The answer to what finds or makes a name."""
    return ENTRY_OUT.pack(inode.number, 0, FOREVER, FOREVER, 0, 0) + _attr(inode)


def _attr(inode: Inode) -> bytes:
    times = inode.accessed, inode.modified, inode.status
    return _ATTR.pack(
        *(inode.number, inode.size, (inode.size + 511) // 512),
        *(int(each) for each in times),
        *(int(each % 1 * 1e9) for each in times),
        *(inode.mode, inode.links + inode.is_folder, inode.uid, inode.gid, 0, PAGE, 0),
    )


def listing(names: Iterable[tuple[bytes, Inode]], *, start: int, room: int) -> bytes:
    """The answer to READDIR: names from the one with index `start`, as many as there is room for."""
    packed = bytearray()
    for index, (name, inode) in enumerate(names):
        if index < start:
            continue
        one = _DIRENT.pack(inode.number, index + 1, len(name), stat.S_IFMT(inode.mode) >> 12) + name
        one += bytes(-len(one) % 8)
        if len(packed) + len(one) > room:
            break
        packed += one
    return bytes(packed)
