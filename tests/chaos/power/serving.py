"""Answers the kernel's requests for one mounted disk. Run as `python -m tests.chaos.power.serving FOLDER`.

Owns the mount and the disk's state. Takes commands as JSON lines on standard input and answers each with a
JSON line on standard output; tests/chaos/power/disk.py is the other end. A command goes before all requests
that have not been read yet: to stop this process (SIGSTOP), send a cut and continue it makes the cut at the
moment of the stop.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import heapq
import os
import select
import stat
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from tests.chaos.power import wire
from tests.chaos.power.model import PAGE, Files, Inode, Loss
from tests.chaos.power.wire import Op, Set

SYNC = b"user.power.sync"
"""Setting this attribute of any file is sync(2), which the kernel does not pass on."""

_NOSUID, _NODEV, _DETACH = 2, 4, 2
_libc = ctypes.CDLL(None, use_errno=True)


def attach(folder: Path) -> int:
    """Mount on the folder; the descriptor over which the kernel asks. Raises OSError."""
    descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
    if _libc.mount(b"power", os.fsencode(folder), b"fuse", _NOSUID | _NODEV, options.encode()):
        os.close(descriptor)
        number = ctypes.get_errno()
        raise OSError(number, f"mount: {os.strerror(number)}")
    return descriptor


def detach(folder: Path, descriptor: int) -> None:
    """Every request that waits fails, and nothing is mounted any more."""
    os.close(descriptor)
    _libc.umount2(os.fsencode(folder), _DETACH)


class Server:
    """One disk. latency: seconds that a sync takes; only then is anything durable, and answered.

    lies: it says that it has synced, and has not, but for sync(2).
    """

    def __init__(self, folder: Path, files: Files, *, latency: float, lies: bool) -> None:
        self._folder = folder
        self._files = files
        self._latency = latency
        self._lies = lies
        self._descriptor = attach(folder)
        self._buffer = bytearray(wire.MAX_WRITE + PAGE)
        self._listings: dict[int, list[tuple[bytes, Inode]]] = {}
        self._handles = 0
        self._syncs: list[tuple[float, int, int, bool]] = []
        self._counts: Counter[str] = Counter()

    def serve(self) -> None:
        """Until standard input ends."""
        try:
            while self._once():
                pass
        finally:
            detach(self._folder, self._descriptor)

    def _once(self) -> bool:
        poll = select.poll()
        poll.register(0, select.POLLIN)
        poll.register(self._descriptor, select.POLLIN)
        while True:
            wait = 1000 * (self._syncs[0][0] - time.monotonic()) if self._syncs else None
            ready = dict(poll.poll(None if wait is None else max(wait, 0.0)))
            if 0 in ready:
                # The descriptor may be another one after it.
                return self._command(sys.stdin.buffer.readline())
            while self._syncs and self._syncs[0][0] <= time.monotonic():
                _, unique, node, only_data = heapq.heappop(self._syncs)
                self._sync(unique, node, only_data)
            if self._descriptor in ready:
                self._request()

    # -- commands

    def _command(self, line: bytes) -> bool:
        if not line:
            return False
        words = orjson.loads(line)
        answer: Any = None
        match words.pop("do"):
            case "cut":
                self._cut()
            case "loss":
                self._files.loss = Loss(words["loss"])
            case "counts":
                answer = dict(self._counts)
        sys.stdout.buffer.write(orjson.dumps({"ok": answer}) + b"\n")
        sys.stdout.buffer.flush()
        return True

    def _cut(self) -> None:
        detach(self._folder, self._descriptor)
        self._syncs.clear()
        self._listings.clear()
        self._files.cut()
        self._descriptor = attach(self._folder)

    # -- requests

    def _request(self) -> None:
        try:
            length = os.readv(self._descriptor, [self._buffer])
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
                return  # it was interrupted before it was read
            raise
        _, opcode, unique, node, uid, gid, *_ = wire.HEAD.unpack_from(self._buffer)
        body = memoryview(self._buffer)[wire.HEAD.size : length]
        if opcode in wire.NO_ANSWER:
            return
        if opcode in (Op.FSYNC, Op.FSYNCDIR):
            only_data = bool(wire.FSYNC_IN.unpack_from(body)[1] & wire.DATA_ONLY)
            heapq.heappush(self._syncs, (time.monotonic() + self._latency, unique, node, only_data))
            return
        try:
            answer = self._answer(opcode, node, body, uid, gid)
        except OSError as error:
            self._reply(unique, b"", error=error.errno or errno.EIO)
        else:
            self._reply(unique, answer)

    def _sync(self, unique: int, node: int, only_data: bool) -> None:
        if not self._lies:
            self._files.fsync(node, only_data=only_data)
        self._counts["syncs"] += 1
        self._reply(unique, b"")

    def _reply(self, unique: int, answer: bytes, *, error: int = 0) -> None:
        head = wire.ANSWER.pack(wire.ANSWER.size + len(answer), -error, unique)
        with suppress(FileNotFoundError):  # nobody waits for it any more
            os.writev(self._descriptor, [head, answer])

    def _answer(self, opcode: int, node: int, body: memoryview, uid: int, gid: int) -> bytes:
        files = self._files
        match opcode:
            case Op.WRITE:
                return self._write(node, body)
            case Op.READ:
                _, offset, size, *_ = wire.READ_IN.unpack_from(body)
                return files.read(node, offset, size)
            case Op.LOOKUP:
                return wire.entry(files.lookup(node, _name(body)))
            case Op.GETATTR:
                return wire.attributes(files.inode(node))
            case Op.SETATTR:
                return self._set(node, body)
            case Op.OPEN:
                files.inode(node)
                return wire.OPEN_OUT.pack(0, wire.KEEP_CACHE, 0)
            case Op.CREATE | Op.MKNOD | Op.MKDIR | Op.SYMLINK | Op.LINK:
                return self._make(opcode, node, body, uid, gid)
            case Op.OPENDIR:
                return self._open_folder(node)
            case Op.READDIR:
                handle, offset, size, *_ = wire.READ_IN.unpack_from(body)
                return wire.listing(self._listings[handle], start=offset, room=size)
            case Op.RELEASEDIR:
                self._listings.pop(wire.RELEASE_IN.unpack_from(body)[0], None)
            case Op.UNLINK:
                files.unlink(node, _name(body))
            case Op.RMDIR:
                files.rmdir(node, _name(body))
            case Op.RENAME | Op.RENAME2:
                self._rename(opcode, node, body)
            case Op.READLINK:
                return files.inode(node).target
            case Op.STATFS:
                return wire.STATFS_ANSWER
            case Op.INIT:
                return wire.INIT_ANSWER
            case Op.SETXATTR:
                if _name(body, wire.SETXATTR_IN.size) != SYNC:
                    raise OSError(errno.EOPNOTSUPP, "no attributes here")
                files.sync()
            case Op.RELEASE | Op.DESTROY:
                pass
            case _:
                raise OSError(errno.ENOSYS, "not here")
        return b""

    def _write(self, node: int, body: memoryview) -> bytes:
        _, offset, size, _, _, flags, _ = wire.WRITE_IN.unpack_from(body)
        start = wire.WRITE_IN.size
        self._counts["writes"] += 1
        sync = bool(flags & os.O_DSYNC) and not self._lies
        self._files.write(node, offset, body[start : start + size], sync=sync)
        return wire.WRITE_OUT.pack(size, 0)

    def _set(self, node: int, body: memoryview) -> bytes:
        given = wire.SETATTR_IN.unpack_from(body)
        valid, size = Set(given[0]), given[3]
        inode = self._files.inode(node)
        if valid & Set.SIZE:
            self._files.truncate(node, size)
        if valid & Set.MODE:
            inode.mode = stat.S_IFMT(inode.mode) | stat.S_IMODE(given[11])
        if valid & Set.UID:
            inode.uid = given[13]
        if valid & Set.GID:
            inode.gid = given[14]
        if valid & Set.ATIME:
            inode.accessed = time.time() if valid & Set.ATIME_NOW else given[5] + given[8] / 1e9
        if valid & Set.MTIME:
            inode.modified = time.time() if valid & Set.MTIME_NOW else given[6] + given[9] / 1e9
        return wire.attributes(inode)

    def _make(self, opcode: int, node: int, body: memoryview, uid: int, gid: int) -> bytes:
        files = self._files
        match opcode:
            case Op.CREATE:
                _, mode, *_ = wire.CREATE_IN.unpack_from(body)
                made = files.make(node, _name(body, wire.CREATE_IN.size), mode, uid=uid, gid=gid)
                return wire.entry(made) + wire.OPEN_OUT.pack(0, wire.KEEP_CACHE, 0)
            case Op.MKNOD:
                mode, *_ = wire.MKNOD_IN.unpack_from(body)
                made = files.make(node, _name(body, wire.MKNOD_IN.size), mode, uid=uid, gid=gid)
            case Op.MKDIR:
                mode, _ = wire.MKDIR_IN.unpack_from(body)
                name = _name(body, wire.MKDIR_IN.size)
                made = files.make(node, name, stat.S_IFDIR | mode, uid=uid, gid=gid)
            case Op.SYMLINK:
                name, target, *_ = bytes(body).split(b"\0")
                made = files.make(node, name, stat.S_IFLNK | 0o777, uid=uid, gid=gid, target=target)
            case _:
                (linked,) = wire.LINK_IN.unpack_from(body)
                made = files.link(linked, node, _name(body, wire.LINK_IN.size))
        return wire.entry(made)

    def _rename(self, opcode: int, node: int, body: memoryview) -> None:
        flags, start = 0, wire.RENAME_IN.size
        if opcode == Op.RENAME2:
            to, flags, _ = wire.RENAME2_IN.unpack_from(body)
            start = wire.RENAME2_IN.size
        else:
            (to,) = wire.RENAME_IN.unpack_from(body)
        if flags & ~wire.NO_REPLACE:
            raise OSError(errno.EINVAL, "no such rename here")
        old, new, *_ = bytes(body[start:]).split(b"\0")
        self._files.rename(node, old, to, new, replace=not flags & wire.NO_REPLACE)

    def _open_folder(self, node: int) -> bytes:
        folder = self._files.inode(node)
        self._handles += 1
        self._listings[self._handles] = [
            (b".", folder),
            (b"..", folder),
            *((name, self._files.inode(number)) for name, number in folder.names.items()),
        ]
        return wire.OPEN_OUT.pack(self._handles, 0, 0)


def _name(body: memoryview, start: int = 0) -> bytes:
    return bytes(body[start:]).partition(b"\0")[0]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ordered-below", action="append", default=[])
    parser.add_argument("--loss", type=Loss, default=Loss.FORGET)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--lies", action="store_true")
    given = parser.parse_args()
    files = Files(ordered_below=map(os.fsencode, given.ordered_below), loss=given.loss, seed=given.seed)
    server = Server(given.folder, files, latency=given.latency, lies=given.lies)
    print('{"ok":null}', flush=True)
    server.serve()


if __name__ == "__main__":
    main()
