"""Successful answers: JSON, and the version header that every answer has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

import orjson
from aiohttp import web

API_VERSION = "1.0.1"
VERSION_HEADER = "API-version"
JSON = "application/json"
PIECE = 32 * 1024  # bytes of a list that are made at once, about


def json_answer(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """`content` as JSON; bytes are sent as they are."""
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    return web.Response(body=body, status=status, headers={"Content-Type": JSON, **(headers or {})})


def json_list(items: Iterable[Any]) -> web.Response:
    """A list as JSON. A large one is made in pieces, each when the client has read those before it.

    So a slow client costs the memory of one piece, and a long list does not block the event loop.
    """
    pieces = _pieces(items)
    first = next(pieces)
    if (second := next(pieces, None)) is None:
        return json_answer(first)

    async def rest() -> AsyncIterator[bytes]:
        yield first
        yield second
        for piece in pieces:
            yield piece
            await asyncio.sleep(0)

    return web.Response(body=rest(), headers={"Content-Type": JSON})


def _pieces(items: Iterable[Any]) -> Iterator[bytes]:
    """The JSON text of a list in pieces; a small list is one piece."""
    text = bytearray(b"[")
    for number, item in enumerate(items):
        if len(text) >= PIECE:
            yield bytes(text)
            text.clear()
        if number:
            text += b","
        text += orjson.dumps(item)
    text += b"]"
    yield bytes(text)
