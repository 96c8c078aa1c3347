"""An HTTPS server that may demand a client certificate, and tells which one each request came with.

In threads, with blocking sockets: asyncio's own TLS server says nothing to a client that it refuses.
"""

from __future__ import annotations

import re
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.tls.certificates import Authority, Issued


@dataclass(frozen=True)
class Seen:
    """A request. connection: its number; serial: of the client's certificate, "" without one."""

    connection: int
    serial: str
    path: str
    headers: dict[str, str]
    body: str


class MtlsServer:
    """Answers `answer(seen)`: a status, or a status and a JSON body. Open it with `with`."""

    def __init__(
        self,
        own: Issued,
        *,
        clients: Authority | None = None,
        demand: bool = True,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(own.pem + own.key_pem)
            file.flush()
            self._context.load_cert_chain(file.name)
        self._context.maximum_version = version
        if clients is not None:
            self._context.load_verify_locations(cadata=clients.pem)
            self._context.verify_mode = ssl.CERT_REQUIRED if demand else ssl.CERT_OPTIONAL
        self.answer: Callable[[Seen], int | tuple[int, str]] = lambda seen: 204
        self.seen: list[Seen] = []
        self.closed: list[int] = []
        self._connections = 0
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def url(self, path: str = "/") -> str:
        return f"https://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[Seen]:
        return [each for each in self.seen if each.path == path]

    def _start(self, target: Callable[..., None], *given: object) -> None:
        thread = threading.Thread(target=target, args=given, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self._connections += 1
                self._open.append(connection)
                self._start(self._serve, connection, self._connections)

    def _serve(self, connection: socket.socket, number: int) -> None:
        tls = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self._open.append(tls)
        try:
            tls.do_handshake()
        except OSError:
            # Read what the client sent, or closing would be a reset that overtakes the alert.
            with socket.socket(fileno=tls.detach()) as plain, suppress(OSError):
                self._open.append(plain)
                plain.shutdown(socket.SHUT_WR)
                while plain.recv(4096):
                    pass
            return
        with tls, suppress(OSError):
            found = tls.getpeercert() or {}
            serial = str(found.get("serialNumber", "")).lower().lstrip("0")
            while self._answer(tls, number, serial):
                pass
        self.closed.append(number)

    def _answer(self, tls: ssl.SSLSocket, number: int, serial: str) -> bool:
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := tls.recv(65536)):
                return False
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
        while len(body) < int(headers.get("content-length", "0")):
            body += tls.recv(65536)
        path = re.split(r" ", first)[1]
        seen = Seen(number, serial, path, headers, body.decode())
        self.seen.append(seen)
        answer = self.answer(seen)
        status, text = answer if isinstance(answer, tuple) else (answer, "")
        tls.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
        return True
