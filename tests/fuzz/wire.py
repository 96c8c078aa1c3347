"""Blocking HTTP for fuzzing: any bytes as a header or body, and what holds of every answer."""

from __future__ import annotations

import socket
from contextlib import suppress

from multidict import CIMultiDict

from tests.contract.api import Answer, check_answer
from tests.contract.conformance import assert_documented

TIMEOUT = 30.0  # seconds; an answer that takes longer is a finding
TRIES = 3  # of a request that is answered with 503: what is away for a moment is no finding, a request is


class Wire:
    """Connections to one gateway, one at a time. `requests`: how many were sent."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self.requests = 0
        self.unavailable = 0

    def call(self, method: str, path: str, *, auth: bytes, body: bytes | None = None) -> Answer:
        """The answer to a request, which the standard and our OAS allow. Raises AssertionError."""
        head = [f"{method} /api/v1{path} HTTP/1.1".encode(), b"Host: fuzz", b"Authorization: " + auth]
        if body is not None:
            head += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
        request = b"\r\n".join([*head, b"", body or b""])
        for _ in range(TRIES):
            answer = self._exchange(method, request)
            if answer.status != 503:
                break
            self.unavailable += 1
        check_answer(answer, method=method)
        assert answer.status < 500, (answer.status, answer.body)
        if answer.status >= 400:
            assert_documented(method, f"http://fuzz/api/v1{path}", answer)
        return answer

    def raw(self, request: bytes) -> list[Answer]:
        """Every answer to bytes after which nothing more comes. Raises AssertionError, also when it hangs."""
        self.requests += 1
        received = b""
        with socket.create_connection(("127.0.0.1", self._port), TIMEOUT) as sock:
            with suppress(ConnectionError):
                sock.sendall(request)
                sock.shutdown(socket.SHUT_WR)
            try:
                while chunk := sock.recv(65536):
                    received += chunk
            except TimeoutError:
                raise AssertionError(f"no end within {TIMEOUT:g} s: {received[:200]!r}") from None
            except OSError:  # a reset may overtake what was answered
                return []
        answers = []
        while received:
            answer, received = split(received)
            if answer.status >= 200:
                check_answer(answer, method="" if answer.body else "HEAD")
                assert answer.status < 500, (answer.status, answer.body)
                answers.append(answer)
        return answers

    def _exchange(self, method: str, request: bytes) -> Answer:
        self.requests += 1
        for again in (True, False):
            fresh = self._socket is None
            sock = self._socket or socket.create_connection(("127.0.0.1", self._port), TIMEOUT)
            self._socket = sock
            try:
                with suppress(ConnectionError):  # an answer may come before all was sent
                    sock.sendall(request)
                answer = self._read(sock, method)
            except (OSError, EOFError) as error:
                self.close()
                # A connection that was kept may have been closed meanwhile.
                if fresh or not again or isinstance(error, TimeoutError):
                    raise AssertionError(f"no answer: {error!r}") from error
                continue
            if answer.headers.get("Connection", "").lower() == "close":
                self.close()
            return answer
        raise AssertionError("unreachable")

    def _read(self, sock: socket.socket, method: str) -> Answer:
        received = b""
        while b"\r\n\r\n" not in received:
            received += _more(sock)
        head, _, rest = received.partition(b"\r\n\r\n")
        length = _headers(head).get("Content-Length", "0")
        while method != "HEAD" and len(rest) < int(length):
            rest += _more(sock)
        return Answer(int(head.split(b" ")[1]), _headers(head), rest)

    def close(self) -> None:
        """No connection is open any more."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None


def split(received: bytes) -> tuple[Answer, bytes]:
    """(the first answer, what is left); a HEAD's answer has no body."""
    head, end, rest = received.partition(b"\r\n\r\n")
    assert end, received
    assert head.startswith(b"HTTP/1."), received
    headers = _headers(head)
    length = int(headers.get("Content-Length", "0"))
    if rest.startswith(b"HTTP/1.") or not rest:
        length = 0
    return Answer(int(head.split(b" ")[1]), headers, rest[:length]), rest[length:]


def _headers(head: bytes) -> CIMultiDict[str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return CIMultiDict(line.split(": ", 1) for line in lines)


def _more(sock: socket.socket) -> bytes:
    chunk = sock.recv(65536)
    if not chunk:
        raise EOFError("closed before the end of an answer")
    return chunk
