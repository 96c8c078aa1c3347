"""The OAS document that this API publishes (openapi.yaml), and its four addresses.

Anyone may read it, from any origin, without a token, whatever the query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib.resources import files
from typing import Any

import orjson
import yaml
from aiohttp import web
from yarl import URL

from gateway.http.requests import root_url
from gateway.state import API_ROOT
from runtime.settings import Settings

PATHS = (
    f"{API_ROOT}/openapi.json",
    f"{API_ROOT}/openapi.yaml",
    f"{API_ROOT}/schema/openapi.json",
    f"{API_ROOT}/schema/openapi.yaml",
)

_SERVER = f"servers:\n- url: {API_ROOT}\n"
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "API-version",
}
_PREFLIGHT = {
    **_CORS,
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Accept, Authorization, Content-Type",
    "Access-Control-Max-Age": "86400",
}


@lru_cache(maxsize=16)
def document(prefix: str = "") -> dict[str, Any]:
    """The parsed document. prefix: what a proxy puts before /api/v1, e.g. `/notificaties`."""
    content: dict[str, Any] = yaml.safe_load(_as_yaml(prefix))
    return content


def _as_yaml(prefix: str) -> str:
    text = files("gateway.documents").joinpath("openapi.yaml").read_text(encoding="utf-8")
    return text.replace(_SERVER, f"servers:\n- url: {prefix}{API_ROOT}\n", 1)


@lru_cache(maxsize=32)
def _body(text: Callable[[str], str], suffix: str, prefix: str) -> tuple[bytes, str]:
    """A document's bytes and media type."""
    if suffix == "json":
        return orjson.dumps(yaml.safe_load(text(prefix))), "application/json"
    return text(prefix).encode(), "application/vnd.oai.openapi; charset=utf-8"


def add_document(
    app: web.Application,
    settings: Settings,
    paths: Iterable[str] = PATHS,
    text: Callable[[str], str] = _as_yaml,
) -> None:
    """Serve this document at each of these paths. text: its YAML, with what a proxy puts before its root."""

    async def answer(request: web.Request) -> web.Response:
        prefix = URL(root_url(request, settings)).raw_path.rstrip("/")
        body, media_type = _body(text, request.path.rpartition(".")[2], prefix)
        return web.Response(
            body=body, headers={**_CORS, "Content-Type": media_type, "Cache-Control": "public, max-age=300"}
        )

    async def preflight(request: web.Request) -> web.Response:
        return web.Response(status=204, headers=_PREFLIGHT)

    for path in paths:
        app.router.add_get(path, answer)
        app.router.add_route("OPTIONS", path, preflight)
