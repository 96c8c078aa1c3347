"""The one shape of an answer that is no problem: JSON, and the version header that every answer carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

API_VERSION = "1.0.1"
VERSION_HEADER = "API-version"
JSON = "application/json"


def json_answer(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """`content` as JSON; bytes go out as they are."""
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    return web.Response(body=body, status=status, headers={"Content-Type": JSON, **(headers or {})})
