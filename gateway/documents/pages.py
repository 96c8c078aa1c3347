"""Pages for people: the first page, the readable API document, and those that `type` of a problem refers to.

All are rendered at the start. All links are relative, so the pages work behind any prefix. Nothing is fetched
from other servers: the Content-Security-Policy allows this one only.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from swagger_ui_bundle import swagger_ui_path  # type: ignore[import-untyped]

from gateway.documents.openapi import add_document, document
from gateway.health import not_ready
from gateway.state import API_ROOT, GATEWAY
from runtime.settings import Settings
from schemas import errors
from schemas.errors import NotFound, Problem

_JAVASCRIPT = "text/javascript; charset=utf-8"
_CSS = "text/css; charset=utf-8"
_HTML = "text/html; charset=utf-8"
_OURS = Path(str(files("gateway.documents"))) / "templates"
_SWAGGER = Path(str(swagger_ui_path))

_TEXTS = tomllib.loads((_OURS / "texts.toml").read_text(encoding="utf-8"))
ERRORS: Mapping[type[Problem], Mapping[str, Any]] = {
    getattr(errors, name): texts for name, texts in _TEXTS["errors"].items()
}
"""What texts.toml says of each class of error: `meaning`, `remedy`, and `codes` or `fields` of some."""

# The files of .../assets/, each with its place and type: no file is looked up by a name from a URL.
_ASSETS: Mapping[str, tuple[Path, str]] = {
    "swagger-ui.css": (_SWAGGER / "swagger-ui.css", _CSS),
    "swagger-ui-bundle.js": (_SWAGGER / "swagger-ui-bundle.js", _JAVASCRIPT),
    "favicon-32x32.png": (_SWAGGER / "favicon-32x32.png", "image/png"),
    "schema.js": (_OURS / "schema.js", _JAVASCRIPT),
    "pages.css": (_OURS / "pages.css", _CSS),
}
_HEADERS = {
    # Swagger UI draws its icons as data: images in its style sheet.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' "
    "data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "public, max-age=300",
}


def add_pages(app: web.Application, settings: Settings) -> None:
    """Serve the first page, the OAS document, its readable form, and the pages under /ref/."""
    add_document(app, settings)
    environment = _environment()
    app.router.add_get("/", _first_page(environment, settings.console_public_url))
    for path, html in _render_all(environment).items():
        app.router.add_get(path, _page(html))
    app.router.add_get("/ref/fouten/{name}/", _no_such_page)
    app.router.add_get(f"{API_ROOT}/schema/assets/{{name}}", _asset)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("gateway.documents"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["prose"] = _prose
    environment.globals["problems"] = tuple(ERRORS)
    return environment


def _render_all(environment: Environment) -> dict[str, str]:
    """Every static page, by its path."""
    pages = {
        f"{API_ROOT}/schema/": environment.get_template("schema.html").render(
            info=document()["info"], root="../../../"
        ),
        "/ref/scopes/": environment.get_template("scopes.html").render(
            scopes=_TEXTS["scopes"], root="../../"
        ),
        "/ref/fouten/": environment.get_template("fouten.html").render(explanations=ERRORS, root="../../"),
    }
    fout = environment.get_template("fout.html")
    for problem, explanation in ERRORS.items():
        pages[f"/ref/fouten/{problem.__name__}/"] = fout.render(
            problem=problem, explanation=explanation, root="../../../"
        )
    return pages


def _prose(text: str) -> Markup:
    """A text as HTML, with text between backticks as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


def _page(html: str) -> Handler:
    body = html.encode()

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body, headers={**_HEADERS, "Content-Type": _HTML})

    return answer


_WORKS = "Werkt: neemt notificaties aan"
_LATER = "Werkt gedeeltelijk: neemt notificaties aan, en levert ze af zodra RabbitMQ er weer is"
_NOTHING = "Storing: neemt nu geen notificaties aan"
_STATUSES = (_WORKS, _LATER, _NOTHING)


def _first_page(environment: Environment, console: str) -> Handler:
    """The state of this gateway for people, always with status 200; /health/ready is for machines."""
    template = environment.get_template("begin.html")
    facts = {"info": document()["info"], "version": version("nrc"), "root": "./", "console": console}
    bodies = {status: template.render(status=status, **facts).encode() for status in _STATUSES}
    headers = {**_HEADERS, "Content-Type": _HTML, "Cache-Control": "no-store"}

    async def answer(request: web.Request) -> web.Response:
        gateway = request.app[GATEWAY]
        if not_ready(gateway):
            return web.Response(body=bodies[_NOTHING], headers=headers)
        _, away = gateway.accepting.away()
        late = any(line.startswith("broker") for line in away)
        return web.Response(body=bodies[_LATER if late else _WORKS], headers=headers)

    return answer


async def _no_such_page(request: web.Request) -> web.Response:
    raise NotFound("Dit soort fout bestaat hier niet.")


async def _asset(request: web.Request) -> web.Response:
    found = _ASSETS.get(request.match_info["name"])
    if found is None:
        raise NotFound("Dit bestand bestaat hier niet.")
    file, media_type = found
    # Not the library's FileResponse: it refuses ranges and conditions without application/problem+json.
    return web.Response(body=_bytes_of(file), headers={**_HEADERS, "Content-Type": media_type})


@cache
def _bytes_of(file: Path) -> bytes:
    return file.read_bytes()
