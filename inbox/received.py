"""One request that came in at an inbox, as it was on the wire, and what is known of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
from multidict import CIMultiDict

from inbox.behaviour import Answer
from inbox.signatures import Signature
from ledger.explaining.dutch import number

OVERHEAD = 1024  # bytes that a request costs beside what came in
MAX_LOOKED_INTO = 256 * 1024  # bytes of a body of which the kanaal and so on are told
TEST_RESOURCE = "http://some.resource.nl/"  # of the standard's test message: gateway/api/callback_check.py
TEST_EVENT = ("nl.overheid.test.some_resource.create", TEST_RESOURCE)  # type and subject of its event


def header_text(value: bytes) -> str:
    """A header's value: UTF-8, and where it is not, latin-1, which every byte is."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def headers_of(raw: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """The headers in their order and spelling, as texts."""
    return tuple((header_text(name), header_text(value)) for name, value in raw)


@dataclass(frozen=True)
class Received:
    """A request.

    number: of this inbox, from 1. at: Unix seconds. target: path and query. body: its first bytes, `size` is
    how many came. earlier: the numbers of the requests with the same webhook-id before it.
    """

    at: float
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    size: int
    is_check: bool
    answer: Answer
    signature: Signature | None = None
    number: int = 0
    earlier: tuple[int, ...] = ()

    @cached_property
    def header(self) -> Mapping[str, str]:
        """The first value of each header, whatever its case."""
        return CIMultiDict(self.headers)

    @property
    def held(self) -> int:
        """The bytes of memory that it takes, about."""
        return OVERHEAD + len(self.body) + len(self.target) + sum(len(n) + len(v) for n, v in self.headers)

    @property
    def is_cut(self) -> bool:
        """Whether more came than was kept."""
        return self.size > len(self.body)

    @property
    def webhook_id(self) -> str:
        """The id of the notificatie; "" where there is none."""
        return self.header.get("webhook-id", "")

    @property
    def attempt(self) -> str:
        """Which attempt it is, as the header says; "" where it does not."""
        return self.header.get("nrc-attempt", "")

    @cached_property
    def text(self) -> str | None:
        """The body as text; None where it is not UTF-8."""
        try:
            return self.body.decode()
        except UnicodeDecodeError:
            return None

    @cached_property
    def message(self) -> Mapping[str, Any]:
        """The notificatie in the body; empty where there is none."""
        return message_of(self.body)

    @property
    def title(self) -> str:
        """What it is about, in a few words: `zaken · status · create`."""
        parts = [str(self.message.get(name, ""))[:60] for name in ("kanaal", "resource", "actie")]
        return " · ".join(part for part in parts if part) or f"{self.method}, {number(self.size)} bytes"


def message_of(body: bytes) -> Mapping[str, Any]:
    """The JSON object in a body, to tell of and not to send on; empty where there is none."""
    if len(body) > MAX_LOOKED_INTO:
        return {}
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def is_check(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether it is the message with which the standard has a callback tested, or the event of that.

    headers: by names in any case.
    """
    message = message_of(body)
    if message.get("kanaal") == "test":
        return message.get("resourceUrl") == TEST_RESOURCE
    if "ce-type" in headers:
        return (headers["ce-type"], headers.get("ce-subject")) == TEST_EVENT
    return "specversion" in message and (message.get("type"), message.get("subject")) == TEST_EVENT
