"""What a callback asks for beyond `auth`, set by the application that owns the abonnement."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schemas.callback_auth import new_signing_secret
from tests.callback_server import status
from tests.contract.api import Api, Callback, a_naam
from tests.contract.conftest import Stage
from tests.contract.extra.conftest import extra_root
from tests.tls.certificates import Authority
from tests.tls.server import MtlsServer

OLD = "Token geheim"


@pytest.fixture(scope="module")
async def checking(stage: Stage) -> AsyncIterator[Api]:
    """A gateway that checks callbacks."""
    async with stage.gateway(callback_check="full", extra_rate=10000) as api:
        yield api


async def subscribed(api: Api, callback: Callback | MtlsServer) -> tuple[str, str]:
    """An abonnement of `beide`: its path in the standard's API, and the URL of what is set here."""
    naam = a_naam()
    assert (await api.post("/kanaal", {"naam": naam})).status == 201
    asked = {"callbackUrl": callback.url("/"), "auth": OLD, "kanalen": [{"naam": naam}]}
    answer = await api.post("/abonnement", asked)
    assert answer.status == 201, answer.body
    path = answer.json["url"].removeprefix(api.root)
    return path, f"{extra_root(api)}{path}/callback-auth"


async def test_what_is_set_is_tried_first_and_shown_without_secrets(checking: Api) -> None:
    async with Callback() as callback:
        path, url = await subscribed(checking, callback)
        assert (await checking.get(url)).json == {}
        body = json.dumps({"access_token": "one", "expires_in": 600}).encode()
        callback.script("/token", status(200, body=body))
        oauth2 = {"tokenUrl": callback.url("/token"), "clientId": "nrc", "secret": "hidden-secret"}
        asked = {"oauth2": oauth2, "header": {"name": "X-Key", "value": "hidden-value"}}
        callback.decide = lambda request: 204 if request.header("Authorization") == "Bearer one" else 401
        before = len(callback.at("/"))
        answer = await checking.put(url, asked)
        assert (answer.status, b"hidden" in answer.body) == (200, False), answer.body
        del oauth2["secret"]
        assert answer.json == {"oauth2": oauth2, "header": {"name": "X-Key"}}
        assert (await checking.get(url)).json == answer.json
        bare, tried = callback.at("/")[before:]
        assert (bare.header("X-Key"), tried.header("X-Key")) == (None, "hidden-value")

        # The standard's API has nothing of it, and its check uses it.
        shown = await checking.get(path)
        assert set(shown.json) == {"url", "callbackUrl", "kanalen"}
        changed = await checking.put(path, {**shown.json, "auth": "Token other"})
        assert changed.status == 200, changed.body
        assert callback.at("/")[-1].header("Authorization") == "Bearer one"
        test = await checking.post(f"{extra_root(checking)}{path}/test")
        assert (test.json["taken"], callback.at("/")[-1].header("X-Key")) == (True, "hidden-value")

        # Without the token the callback refuses, so what is set stays.
        refused = await checking.delete(url)
        assert (refused.status, "401" in refused.body.decode()) == (400, True)
        callback.decide = lambda request: 204 if request.header("Authorization") == "Token other" else 401
        assert (await checking.delete(url)).status == 204
        assert (await checking.get(url)).json == {}


async def test_one_that_gets_cloudevents_is_tried_with_one(checking: Api) -> None:
    async with Callback() as callback:
        path, url = await subscribed(checking, callback)
        mode = {"cloudevents": {"mode": "structured"}}
        assert (await checking.put(f"{extra_root(checking)}{path}/options", mode)).status == 200
        answer = await checking.put(url, {"header": {"name": "X-Key", "value": "hidden-value"}})
        assert answer.status == 200, answer.body
        assert callback.at("/")[-1].header("Content-Type") == "application/cloudevents+json"


async def test_a_signing_secret_is_replaced_with_both_for_a_time(checking: Api) -> None:
    async with Callback() as callback:
        _, url = await subscribed(checking, callback)
        new, old = new_signing_secret(), new_signing_secret()
        asked = {"secret": new, "oldSecret": old, "oldSecretUntil": "2099-01-31T12:00:00Z"}
        answer = await checking.put(url, {"signature": asked})
        assert answer.json == {"signature": {"oldSecretUntil": "2099-01-31T12:00:00+00:00"}}
        assert len((callback.at("/")[-1].header("webhook-signature") or "").split()) == 2
        again = await checking.put(url, {"signature": {"secret": new}})
        assert again.json == answer.json
        other = await checking.put(url, {"signature": {"secret": old}})
        assert other.json == {"signature": {}}


async def test_what_is_refused(checking: Api) -> None:
    async with Callback() as callback:
        _, url = await subscribed(checking, callback)
        before = len(callback.received)
        for asked, name in (
            ({}, "nonFieldErrors"),
            ({"noAuth": True}, "noAuth"),
            ({"oauth": {}}, "oauth"),
            ({"header": {"name": "Host", "value": "hidden"}}, "header.name"),
            ({"signature": {"secret": "hidden"}}, "signature.secret"),
            ({"zgw": {"clientId": "a", "secret": "hidden"}, "oauth2": {}}, "oauth2.tokenUrl"),
        ):
            answer = await checking.put(url, asked)
            assert answer.status == 400, answer.body
            assert name in {each["name"] for each in answer.json["invalidParams"]}, answer.body
            assert b"hidden" not in answer.body
        assert len(callback.received) == before
        guarded = {"tokenUrl": "http://169.254.169.254/", "clientId": "a", "secret": "b"}
        answer = await checking.put(url, {"oauth2": guarded})
        (fault,) = answer.json["invalidParams"]
        assert "het tokenadres wordt geweigerd door de regel" in fault["reason"]
        assert (await checking.get(url)).json == {}


async def test_a_field_that_is_misspelt_is_told_those_that_there_are(checking: Api) -> None:
    async with Callback() as callback:
        _, url = await subscribed(checking, callback)

        answer = await checking.put(
            url, {"oauth": {}, "zgw": {"clientId": "a", "secret": "b", "userid": "c"}}
        )

        told = {each["name"]: each["reason"] for each in answer.json["invalidParams"]}
        assert "noAuth, clientCertificate, ca." in told["oauth"]
        assert told["zgw.userid"].endswith("Wel: clientId, secret, userId, userRepresentation.")


async def test_of_another_and_of_one_that_is_fetched_there_is_none(checking: Api) -> None:
    async with Callback() as callback:
        _, url = await subscribed(checking, callback)
        for method in ("GET", "PUT", "DELETE"):
            data = {"zgw": {"clientId": "a", "secret": "b"}} if method == "PUT" else None
            assert (await checking.of("afnemer")(method, url, data)).status == 404
        naam = a_naam()
        await checking.post("/kanaal", {"naam": naam})
        made = await checking.post(f"{extra_root(checking)}/abonnement", {"kanalen": [{"naam": naam}]})
        fetched = f"{made.json['url']}/callback-auth"
        assert (await checking.get(fetched)).json == {}
        refused = await checking.put(fetched, {"zgw": {"clientId": "a", "secret": "b"}})
        assert (refused.status, "geen callback" in refused.body.decode()) == (400, True)
        assert (await checking.delete(fetched)).status == 204


async def test_a_client_certificate_is_tried_and_shown_without_its_key(stage: Stage, tmp_path: Path) -> None:
    servers, clients = Authority.new("Servers"), Authority.new("Clients")
    own = clients.issue("nrc")
    (file := tmp_path / "ca.pem").write_text(servers.pem)
    asked = {"clientCertificate": {"certificate": own.pem, "key": own.key_pem}, "ca": servers.pem}
    async with stage.gateway(callback_check="full", extra_rate=10000, callback_ca_file=file) as api:
        with MtlsServer(servers.issue("server"), clients=clients, demand=False) as server:
            server.answer = lambda seen: 204 if seen.headers.get("authorization") == OLD else 401
            path, url = await subscribed(api, server)
            wrong = {"clientCertificate": {"certificate": own.pem, "key": servers.key_pem}}
            refused = await api.put(url, wrong)
            (fault,) = refused.json["invalidParams"]
            assert (refused.status, fault["name"]) == (400, "clientCertificate.key"), refused.body
            answer = await api.put(url, asked)
            assert (answer.status, b"PRIVATE" in answer.body) == (200, False), answer.body
            assert [each.serial for each in server.seen[-2:]] == ["", own.serial]
            shown = (await api.get(url)).json
            assert shown == answer.json
            assert shown["clientCertificate"].items() >= {"subject": "CN=nrc", "useForToken": False}.items()
            assert [each["subject"] for each in shown["ca"]] == ["CN=Servers"]
            test = await api.post(f"{extra_root(api)}{path}/test")
            assert (test.json["taken"], server.seen[-1].serial) == (True, own.serial)
            over_http = await api.patch(path, {"callbackUrl": server.url().replace("https", "http")})
            assert (over_http.status, "https" in over_http.body.decode()) == (400, True), over_http.body
