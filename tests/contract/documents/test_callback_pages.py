"""The examples of docs/callbacks-nl.md and docs/cloudevents-nl.md, run as they stand there."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDict

from deliverer.events.request import Rendered, rendered
from deliverer.http.signing import headers_of
from schemas.callback_auth import key_of
from schemas.events.mapping import BUILT_IN
from schemas.events.options import CloudEvents
from tests.contract.api import Api
from tests.contract.conftest import Stage
from tests.contract.extra.conftest import extra_root

DOCS = Path(__file__).parents[3] / "docs"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b"""{"kanaal": "zaken", "resource": "status", "actie": "create", "hoofdObject": "https://a.nl/zaken/1",
  "resourceUrl": "https://a.nl/statussen/zo\xc3\xab", "aanmaakdatum": "2026-03-27T10:59:13Z",
  "kenmerken": {"a": "b"}}"""


def example(page: str) -> dict[str, Any]:
    """What the Python on a page defines."""
    text = (DOCS / page).read_text()
    names: dict[str, Any] = {"__name__": "example"}
    exec(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], names)
    return names


@pytest.fixture
async def callback() -> AsyncIterator[TestServer]:
    """The callback of cloudevents-nl.md."""
    app = example("cloudevents-nl.md")["app"]
    assert isinstance(app, web.Application)
    server = TestServer(app)
    async with server:
        yield server


def test_the_signature_is_verified_as_the_page_says() -> None:
    holds, key, now = example("callbacks-nl.md")["klopt"], key_of(SECRET), int(time.time())
    assert key is not None
    good = CIMultiDict(
        {"webhook-id": "a", **headers_of([b"other" * 5, key], message="a", now=now, body=BODY)}
    )
    assert holds(SECRET, good, BODY)
    assert not holds(SECRET, good, BODY + b" ")
    old = headers_of([key], message="a", now=now - 400, body=BODY)
    for bad in (
        {},
        {"webhook-id": "a"},
        {**good, "webhook-signature": "v1,\xe9"},
        {"webhook-id": "a", **old},
    ):
        assert not holds(SECRET, CIMultiDict(bad), BODY)


async def test_the_callback_of_the_page_passes_the_check_and_gives_its_consent(
    stage: Stage, callback: TestServer
) -> None:
    async with stage.gateway(callback_check="full", public_url="", extra_rate=10000) as api:
        asked = {"callbackUrl": str(callback.make_url("/events")), "auth": "Token geheim", "kanalen": []}
        answer = await api.post("/abonnement", {**asked, "sendCloudevents": True})
        assert answer.status == 201, answer.body
        path = answer.json["url"].removeprefix(api.root)
        assert (await options(api, path))["allowedRate"] == 600.0


async def options(api: Api, path: str) -> Any:
    return (await api.get(f"{extra_root(api)}{path}/options")).json["cloudevents"]


@pytest.mark.parametrize("mode", ["structured", "binary"])
@pytest.mark.parametrize("mapping", ["on", "mijnoverheid"])
async def test_the_callback_of_the_page_reads_both_forms(
    callback: TestServer, capsys: pytest.CaptureFixture[str], mode: str, mapping: str
) -> None:
    asked = CloudEvents.model_validate({"mode": mode, "mapping": mapping})
    made = rendered(BODY, asked, BUILT_IN[mapping], id="7", source="urn:a")
    assert isinstance(made, Rendered)
    async with aiohttp.ClientSession() as session:
        url = callback.make_url("/events")
        for auth, status in (({}, 401), ({"Authorization": "Token geheim"}, 204)):
            async with session.post(url, data=made.body, headers=made.headers | auth) as answer:
                assert answer.status == status
    type, data = {
        "on": ("nl.overheid.zaken.status.create", {"a": "b", "hoofdObject": "https://a.nl/zaken/1"}),
        "mijnoverheid": ("nl.overheid.zaken.zaak-gemuteerd", None),
    }[mapping]
    assert capsys.readouterr().out == f"{type} 7 {data}\n"
