"""The headers of every answer, for every route and every method."""

from __future__ import annotations

from typing import cast
from uuid import uuid4

import pytest

from gateway.app import build_app
from gateway.state import Gateway
from tests.contract.api import Api
from tests.contract.conftest import Stage
from tests.tokens import token

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE")


def paths(stage: Stage) -> list[str]:
    """Every path that the application knows, from its table of routes; and some that it does not."""

    class Bare:
        settings = stage.settings

    app = build_app(cast(Gateway, Bare()))
    known = [resource.canonical for resource in app.router.resources()]
    return [
        *known,
        "/api",
        "/api/v2/kanaal",
        "/api/v1/kanaal/",
        "/api/v1/kanaal/{uuid}/x",
        "/ref/fouten",
    ]


@pytest.mark.parametrize("auth", [None, "Bearer x", token("niets"), token()])
async def test_every_answer_is_safe(stage: Stage, api: Api, auth: str | None) -> None:
    statuses = set()
    for path in paths(stage):
        url = api.root.removesuffix("/api/v1") + path.format(uuid=uuid4(), name="x")
        for method in METHODS:
            answer = await api(method, url, auth=auth)  # which looks at every header
            statuses.add(answer.status)
            if answer.status >= 400 and method != "HEAD":
                assert "Traceback" not in answer.body.decode()
    assert {200, 404, 405} <= statuses
    assert len(paths(stage)) > 20


async def test_assets_and_the_kinds_of_refusal_are_safe(api: Api) -> None:
    for name in ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png", "schema.js", "pages.css"):
        assert (await api.get(f"/schema/assets/{name}", auth=None)).status == 200
    for headers, status in (
        ({"Accept": "text/html"}, 406),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Encoding": "gzip"}, 415),
        ({"Expect": "much"}, 400),
    ):
        assert (await api.post("/notificaties", {}, headers=headers)).status == status


@pytest.mark.parametrize("asked", ["bytes=0-1", "bytes=9999999-", "bytes=5-1", "lines=1-2", "x"])
async def test_a_part_of_an_asset_is_the_whole(api: Api, asked: str) -> None:
    whole = await api.get("/schema/assets/pages.css", auth=None)
    part = await api.get("/schema/assets/pages.css", auth=None, headers={"Range": asked})
    assert (part.status, part.body) == (200, whole.body)
