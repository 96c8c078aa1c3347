"""docs/extra.md, done: each command that it shows, by one who has a token; and what it says is the answer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.guides.place import Place, blocks
from tests.e2e.running import environment, running
from tests.eventually import eventually

PAGE = Path(__file__).parents[3] / "docs" / "extra.md"
MESSAGE = {
    "kanaal": "zaken",
    "hoofdObject": "https://zaken.example.nl/api/v1/zaken/ddc6d192",
    "resource": "status",
    "resourceUrl": "https://zaken.example.nl/api/v1/statussen/44fdcebf",
    "actie": "create",
    "aanmaakdatum": "2026-03-27T10:59:13Z",
    "kenmerken": {"bronorganisatie": "224557609"},
}


def shape(value: Any) -> Any:
    """A value with nothing but its names: what must be alike in an answer and in its example."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value else None


def differences(shown: Any, came: Any, where: str = "") -> list[str]:
    """Where two shapes differ. What is empty or null in one of them may be anything in the other."""
    if shown is None or came is None:
        return []
    if isinstance(shown, dict) and isinstance(came, dict):
        apart = [f"{where}.{name}" for name in shown.keys() ^ came.keys()]
        both = shown.keys() & came.keys()
        return apart + [
            fault for name in both for fault in differences(shown[name], came[name], f"{where}.{name}")
        ]
    if isinstance(shown, list) and isinstance(came, list):
        return differences(shown[0], came[0], f"{where}.0")
    return [where]


def test_differences_are_seen() -> None:
    shown = shape({"a": 1, "b": [{"c": 2}], "d": []})
    assert differences(shown, shape({"a": None, "b": [{"c": 3}], "d": [4]})) == []
    assert differences(shown, shape({"a": 1, "b": [{"x": 3}], "d": []})) != []
    assert sorted(differences(shown, shape({"b": {}, "d": []}))) == [".a", ".b"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's commands use curl")
async def test_each_command_of_the_page_does_what_it_says(place: Place) -> None:
    tokens = {}
    for name, scope in (("zrc", "publiceren"), ("meldkamer", "consumeren")):
        await place.command("application", "add", name, "--scope", scope)
        printed = await place.command("token", name)
        tokens[name] = printed.strip().rpartition(" ")[2]

    async def call(method: str, path: str, data: Any, *, of: str) -> dict[str, Any]:
        command = ["curl", "-sf", "-X", method, "-H", f"Authorization: Bearer {tokens[of]}", "-i"]
        command += ["-H", "Content-Type: application/json", "-d", json.dumps(data)]
        async with running(*command, f"http://{place.address}/api/v1{path}", env=environment()) as curl:
            assert await curl.ends(within=20) == 0, (path, curl.out)
        head, _, body = curl.out.replace("\r", "").partition("\n\n")
        headers = dict(line.split(": ", 1) for line in head.splitlines()[1:])
        return {"headers": headers, **json.loads(body)}

    await call("POST", "/kanaal", {"naam": "zaken", "filters": ["bronorganisatie"]}, of="zrc")
    asked = {
        "callbackUrl": place.callback.url("/api/callbacks"),
        "auth": "Token abcde12345",
        "kanalen": [{"naam": "zaken"}],
    }
    abonnement = (await call("POST", "/abonnement", asked, of="meldkamer"))["url"].rpartition("/")[2]
    sent = await call("POST", "/notificaties", MESSAGE, of="zrc")
    id_ = sent["headers"]["nrc-notificatie-id"]
    await eventually(
        lambda: [each for each in place.callback.received if each.header("webhook-id") == id_], within=20
    )
    env = environment(TOKEN=tokens["meldkamer"], TOKEN_BRON=tokens["zrc"], ABONNEMENT=abonnement, ID=id_)
    ours = {"127.0.0.1:8000": place.address}
    begin, came, compared = "", "", 0
    for language, text in blocks(PAGE):
        for written, real in ours.items():
            text = text.replace(written, real)
        if language == "bash" and text.startswith("EXTRA="):
            begin = text
        elif language == "bash":
            async with running("bash", "-euc", begin + text, env=env) as curl:
                assert await curl.ends(within=30) == 0, (text, curl.out, curl.err)
            came = curl.out
            if came.startswith('{"uuid"'):
                env["PULL"] = json.loads(came)["uuid"]
                await call("POST", "/notificaties", MESSAGE, of="zrc")
            elif came.startswith('{"notificaties"'):
                env["CURSOR"] = json.loads(came).get("cursor") or ""
        elif language == "json":
            faults = differences(shape(json.loads(text)), shape(json.loads(came)))
            assert not faults, (text, came)
            compared += 1
    assert compared == 13
    # The redelivery that the page asks for is one.
    await eventually(
        lambda: sum(each.header("webhook-id") == id_ for each in place.callback.received) == 2, within=30
    )
