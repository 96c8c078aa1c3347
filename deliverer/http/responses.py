"""Finds where a response of a callback begins and ends, byte for byte. No I/O.

A complete head with a status is an answer, whatever follows it. What follows only decides whether the
connection may be reused: in doubt it may not. The library's parser would refuse an answer with one wrong
byte, and would take left-over bytes for the next answer; so it only sees what is passed on here.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from router.history import HOPS

ALLOWED_ORIGIN, ALLOWED_RATE = "WebHook-Allowed-Origin", "WebHook-Allowed-Rate"
PASSED_ON = ("Retry-After", HOPS, ALLOWED_ORIGIN, ALLOWED_RATE)
"""Headers of an answer that are used (`client.Response`, deliverer/events/handshake.py)."""
MAX_HEAD = 256 * 1024  # bytes of an answer's status and headers together, interim answers included
KEEP_ALIVE_MARGIN = 0.5  # seconds before a server's own timeout at which a connection is no longer used

_PASSED_ON = tuple((name.lower().encode(), name.encode() + b": ") for name in PASSED_ON)
_STATUS = re.compile(rb"HTTP/1\.([01])[ \t]+([1-9][0-9]{2})(?:[ \t].*)?", re.DOTALL)
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,12}")
_TIMEOUT = re.compile(rb"timeout[ \t]*=[ \t]*\"?([0-9]{1,9})", re.IGNORECASE)
_TEXT = re.compile(rb"[ -~]*")


class _At(Enum):
    HEAD = auto()
    BODY = auto()
    CHUNKS = auto()
    UNTIL_CLOSED = auto()
    END = auto()


class Answer:
    """Reads the bytes after one request as they come.

    reusable: so far the connection may be used for another request. too_large: the head is. timed_out: the
    server had waited for a request for too long (408). rest: seconds that it keeps an idle connection open,
    less a margin, when it says so.
    """

    def __init__(self) -> None:
        self.reusable = True
        self.too_large = False
        self.timed_out = False
        self.rest: float | None = None
        self._at = _At.HEAD
        self._head = bytearray()
        self._seen = 0  # bytes of heads, chunk sizes and trailers
        self._left = 0  # bytes until the end of the body or of this chunk
        self._line = bytearray()
        self._in_trailer = False

    @property
    def ended(self) -> bool:
        """Whether all of it came: later bytes are not part of it."""
        return self._at is _At.END

    def feed(self, data: bytes) -> tuple[bytes, bytes, bytes]:
        """The head and the body, in valid form, that the library gets of these bytes, and what is left over.

        Of a head only the status, PASSED_ON and the headers that bound the body are passed on. What is not
        HTTP is passed on as it is.
        """
        head = b""
        if self._at is _At.HEAD:
            head, data = self._feed_head(data)
            if self._at is _At.HEAD:
                return head, b"", b""
        match self._at:
            case _At.BODY:
                end = min(self._left, len(data))
                self._left -= end
                if not self._left:
                    self._at = _At.END
            case _At.CHUNKS:
                end = self._chunks(data)
            case _At.UNTIL_CLOSED:
                end = len(data)
            case _:
                end = 0
        return head, data[:end], data[end:]

    def _feed_head(self, data: bytes) -> tuple[bytes, bytes]:
        since = max(0, len(self._head) - 3)
        self._head += data
        while True:
            if self._head.startswith((b"\r", b"\n")):  # empty lines before a status
                before = len(self._head)
                self._head = self._head.lstrip(b"\r\n")
                self._seen += before - len(self._head)
                since = 0
            if not self._head.startswith(b"HTTP/"[: len(self._head)]):
                return self._not_http()
            end = _HEAD_END.search(self._head, since)
            self.too_large = self._seen + (end.end() if end else len(self._head)) > MAX_HEAD
            if self.too_large:
                self.reusable = False
                return b"", b""
            if end is None:
                return b"", b""
            head = bytes(self._head[: end.start()])
            del self._head[: end.end()]
            self._seen += end.end()
            since = 0
            first, *lines = re.split(rb"\r?\n", head)
            status = _STATUS.fullmatch(first)
            if status is None:
                self._head[:0] = head + b"\r\n\r\n"
                return self._not_http()
            code = int(status[2])
            if code >= 200 or code == 101:
                return self._begin(code, status[1] == b"1", lines), bytes(self._head)

    def _not_http(self) -> tuple[bytes, bytes]:
        self.reusable = False
        self._at = _At.END
        return bytes(self._head), b""

    def _begin(self, code: int, is_1_1: bool, lines: list[bytes]) -> bytes:
        """The head for the library; from here on the body is read."""
        self.timed_out = code == 408
        fields: dict[bytes, list[bytes]] = {}
        for line in lines:
            name, _, value = line.partition(b":")
            fields.setdefault(name.strip().lower(), []).append(value.strip())
        connection = b",".join(fields.get(b"connection", [])).lower()
        tokens = {token.strip() for token in connection.split(b",")}
        self.reusable = b"close" not in tokens and (is_1_1 or b"keep-alive" in tokens)
        if timeout := _TIMEOUT.search(b",".join(fields.get(b"keep-alive", []))):
            self.rest = int(timeout[1]) - KEEP_ALIVE_MARGIN
        head = b"HTTP/1.1 %d Status\r\n" % code
        for name, begin in _PASSED_ON:
            if (values := fields.get(name)) and values[0] and _TEXT.fullmatch(values[0]):
                head += begin + values[0] + b"\r\n"
        lengths = fields.get(b"content-length", [])
        codings = [coding.lower() for coding in fields.get(b"transfer-encoding", [])]
        return head + self._bounds(code, is_1_1, lengths, codings) + b"\r\n"

    def _bounds(self, code: int, is_1_1: bool, lengths: list[bytes], codings: list[bytes]) -> bytes:
        """The header that bounds the body (RFC 9112, section 6.3); where it is ambiguous nothing is read."""
        no_body = code in (101, 204, 304)
        self._at = _At.END
        if no_body:
            self.reusable &= code != 101 and not codings and (code == 304 or lengths in ([], [b"0"]))
            return b""
        if not lengths and not codings:
            self.reusable = False
            self._at = _At.UNTIL_CLOSED
            return b""
        if codings == [b"chunked"] and not lengths and is_1_1:
            self._at = _At.CHUNKS
            return b"Transfer-Encoding: chunked\r\n"
        if not codings and len(lengths) == 1 and _LENGTH.fullmatch(lengths[0]):
            self._left = int(lengths[0])
            self._at = _At.BODY if self._left else _At.END
            return b"Content-Length: %d\r\n" % self._left
        self.reusable = False
        return b"Content-Length: 0\r\n"

    def _chunks(self, data: bytes) -> int:
        """How many of these bytes belong to the chunks; an invalid size ends them."""
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            end = data.find(b"\n", at) + 1
            piece = data[at : end or len(data)]
            self._line += piece
            self._seen += len(piece)
            at += len(piece)
            if self._seen > MAX_HEAD or (end and not self._line_read()):
                self.reusable = False
                self._at = _At.END
                return at - len(piece)
            if self._at is _At.END:
                break
        return at

    def _line_read(self) -> bool:
        """Read a line between chunks; whether it is valid."""
        line = bytes(self._line).rstrip(b"\r\n")
        self._line.clear()
        if self._in_trailer:
            if not line:
                self._at = _At.END
            return True
        size = line.partition(b";")[0].strip(b" \t")
        if not _SIZE.fullmatch(size):
            return False
        # The line break after a chunk's bytes counts as part of them.
        self._left = int(size, 16) + 2 if int(size, 16) else 0
        self._in_trailer = not self._left
        return True
