"""A body as people read it, and a request as a curl command that sends it once more. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from inbox.behaviour import ANY, NONE
from inbox.received import Received
from schemas.errors import ParseError
from schemas.jsontext import indented_json

MAX_SHOWN = 64 * 1024
"""Bytes of a body that a page shows; the rest can be downloaded."""
_OF_THE_CONNECTION = frozenset(
    {"host", "content-length", "connection", "transfer-encoding", "accept-encoding", "keep-alive", "expect"}
)


def indented(received: Received) -> str | None:
    """A body of JSON, indented, each number as it was sent; None where it is none, or too large to show."""
    if received.is_cut or not 0 < len(received.body) <= MAX_SHOWN:
        return None
    try:
        return indented_json(received.body)
    except (ParseError, RecursionError):
        return None


def raw(received: Received) -> str:
    """The first of a body as it came: its text, or its bytes as a hex dump where it is no text."""
    shown = received.body[:MAX_SHOWN]
    if received.text is not None:
        return shown.decode(errors="ignore")  # a character may be cut in two
    return "\n".join(_dump(shown[:4096]))


def sample(url: str, authorization: str) -> str:
    """A command that sends a first request to `url`, with what the inbox is set to take (`Behaviour`)."""
    given = {ANY: "Token abcde12345", NONE: ""}.get(authorization, authorization)
    lines = ["curl -i"]
    if given:
        lines.append(f"-H {shlex.quote(f'Authorization: {given}')}")
    lines += ["-H 'Content-Type: application/json'", """-d '{"kanaal": "zaken"}'""", url]
    return " \\\n  ".join(lines)


def _dump(body: bytes) -> Iterator[str]:
    for at in range(0, len(body), 16):
        row = body[at : at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{at:08x}  {row.hex(' '):<47}  {text}"


def as_curl(received: Received, *, url: str) -> str:
    """A command for a POSIX shell that sends it to `url`, with the headers and the body that it had.

    A body that no argument can hold is read from the file `body`, which the page offers.
    """
    lines = [f"curl -i -X {shlex.quote(received.method)}"]
    for name, value in received.headers:
        if name.lower() not in _OF_THE_CONNECTION:
            # So curl sends a header that is empty.
            lines.append(f"-H {shlex.quote(f'{name}: {value}' if value else f'{name};')}")
    if received.size:
        fits = received.text is not None and "\0" not in received.text and len(received.body) <= MAX_SHOWN
        lines.append(
            f"--data-raw {shlex.quote(received.text or '')}"
            if fits and not received.is_cut
            else "--data-binary @body"
        )
    lines.append(shlex.quote(url))
    return " \\\n  ".join(lines)
