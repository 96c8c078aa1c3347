"""Callbacks that ask for more than a fixed header, with real servers: a token endpoint, and callbacks."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import jwt
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from deliverer.http import connector
from deliverer.http.client import CallbackClient, Failure, FailureClass, Response
from deliverer.http.guard import Policy, Rule
from gateway.api.callback_check import check_callback
from inbox.signatures import signature_of
from ledger.ledger import Ledger
from ledger.values import Key, State
from runtime.settings import load_settings
from schemas.callback_auth import CallbackAuth, new_signing_secret
from schemas.errors import ValidationError
from tests.callback_server import CallbackServer, Received, Script, Wire, endless, hang, reset, status
from tests.command import nrc_process
from tests.eventually import eventually
from tests.integration.deliverer.delivering import Delivering
from tests.integration.deliverer.test_outcomes import accept, state_of

SECRET = "a-secret-of-at-least-thirty-two-bytes"


@pytest.fixture(autouse=True)
def proven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections to every server are used again at once, as they are to one that was proven."""
    monkeypatch.setattr(connector, "SETTLING", 0.0)


@pytest.fixture
async def client() -> AsyncIterator[CallbackClient]:
    async with CallbackClient(policy=Policy(allow_loopback=True)) as opened:
        yield opened


@pytest.fixture
async def server() -> AsyncIterator[CallbackServer]:
    """A callback, with a token endpoint on another path."""
    async with CallbackServer() as opened:
        yield opened


def token(text: str, life: int = 3600) -> Script:
    body = json.dumps({"access_token": text, "token_type": "Bearer", "expires_in": life}).encode()
    return status(200, body=body, headers={"Content-Type": "application/json"})


def only(authorization: str, code: int = 401) -> Script:
    """Takes what has this Authorization."""

    async def answer(wire: Wire, received: Received) -> bool:
        right = received.header("Authorization") == authorization
        return await status(204 if right else code)(wire, received)

    return answer


def oauth2(server: CallbackServer, **more: str) -> CallbackAuth:
    given = {"tokenUrl": server.url("/token"), "clientId": "nrc", "secret": SECRET, **more}
    return CallbackAuth.model_validate({"oauth2": given})


async def post(
    client: CallbackClient, server: CallbackServer, auth: CallbackAuth, *, timeout: float = 30.0
) -> Response | Failure:
    headers = {"Authorization": "Token fixed", "webhook-id": "1"}
    return await client.post(server.url("/"), body=b"{}", headers=headers, timeout=timeout, auth=auth)


async def test_an_access_token_in_place_of_auth(client: CallbackClient, server: CallbackServer) -> None:
    server.script("/token", token("one"))
    for _ in range(3):
        assert await post(client, server, oauth2(server, scope="a b")) == Response(204)
    assert [each.header("Authorization") for each in server.at("/")] == ["Bearer one"] * 3
    (asked,) = server.at("/token")
    assert asked.method == "POST"
    assert asked.header("Content-Type") == "application/x-www-form-urlencoded"
    assert asked.body == b"grant_type=client_credentials&scope=a+b"


async def test_a_refused_token_is_replaced_once(
    client: CallbackClient, server: CallbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deliverer.http.tokens.YOUNG", 0.0)
    server.script("/token", token("one"), token("two"))
    server.script("/", status(204), only("Bearer two"))
    for _ in range(2):
        assert await post(client, server, oauth2(server)) == Response(204)
    sent = [each.header("Authorization") for each in server.at("/")]
    assert sent == ["Bearer one", "Bearer one", "Bearer two"]
    server.script("/", status(401))
    assert await post(client, server, oauth2(server)) == Response(401)
    assert len(server.at("/")) == 5  # the second time it is the callback's answer
    server.script("/token", status(503))
    found = await post(client, server, oauth2(server))
    assert isinstance(found, Failure)
    assert found.kind is FailureClass.TOKEN_UNREACHABLE


async def test_a_young_token_that_is_refused_is_the_callback_s_answer(
    client: CallbackClient, server: CallbackServer
) -> None:
    server.script("/token", token("one"))
    server.script("/", status(401))
    assert await post(client, server, oauth2(server)) == Response(401)
    assert (len(server.at("/")), len(server.at("/token"))) == (1, 1)


@pytest.mark.parametrize(
    ("script", "kind", "told"),
    [
        (reset(), FailureClass.TOKEN_UNREACHABLE, "token endpoint: connection_error"),
        (status(502), FailureClass.TOKEN_UNREACHABLE, "token endpoint: answered 502"),
        (
            status(401, body=b'{"error": "invalid_client"}'),
            FailureClass.TOKEN_REFUSED,
            "token endpoint: answered 401 (invalid_client)",
        ),
        (status(302, headers={"Location": "/elsewhere"}), FailureClass.TOKEN_INVALID, "answered 302"),
        (status(200, body=b"<html>"), FailureClass.TOKEN_INVALID, "without a usable access_token"),
        (endless(), FailureClass.TOKEN_UNREACHABLE, "larger than 65536 bytes"),
    ],
)
async def test_why_there_is_no_token(
    client: CallbackClient, server: CallbackServer, script: Script, kind: FailureClass, told: str
) -> None:
    server.script("/token", script)
    found = await post(client, server, oauth2(server))
    assert isinstance(found, Failure)
    assert (found.kind, found.status) == (kind, None)
    assert told in found.detail
    assert server.at("/") == []


async def test_a_silent_token_endpoint_takes_no_longer_than_an_attempt_may(
    client: CallbackClient, server: CallbackServer
) -> None:
    server.script("/token", hang())
    found = await post(client, server, oauth2(server), timeout=0.2)
    assert isinstance(found, Failure)
    assert found.kind is FailureClass.TOKEN_UNREACHABLE
    assert server.at("/") == []


async def test_the_guard_holds_for_the_token_endpoint(server: CallbackServer) -> None:
    async with CallbackClient() as guarded:
        found = await post(guarded, server, oauth2(server))
    assert isinstance(found, Failure)
    assert found.kind is FailureClass.TOKEN_UNREACHABLE
    assert found.rule is Rule.LOOPBACK
    async with CallbackClient(policy=Policy(allow_loopback=True), require_https=True) as guarded:
        own = oauth2(server)
        found = await guarded.post("https://127.0.0.1:1/", body=b"", headers={}, timeout=5, auth=own)
    assert isinstance(found, Failure)
    assert found.rule is Rule.HTTPS
    assert server.received == []


async def test_a_zgw_token_is_made_for_each_request(client: CallbackClient, server: CallbackServer) -> None:
    given = {"clientId": "nrc", "secret": "kort", "userId": "u", "userRepresentation": "Ü"}
    assert await post(client, server, CallbackAuth.model_validate({"zgw": given})) == Response(204)
    (received,) = server.received
    scheme, _, text = (received.header("Authorization") or "").partition(" ")
    assert scheme == "Bearer"
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        claims: dict[str, Any] = jwt.decode(text, "kort", algorithms=["HS256"], options={"require": ["iat"]})
    del claims["iat"]
    assert claims == {
        "iss": "nrc",
        "client_id": "nrc",
        "user_id": "u",
        "user_representation": "Ü",
    }


@pytest.mark.parametrize(
    ("given", "authorization", "key"),
    [
        ({"header": {"name": "X-Api-Key", "value": "é"}}, "Token fixed", "é"),
        ({"noAuth": True, "header": {"name": "X-Api-Key", "value": "k"}}, None, "k"),
        ({"noAuth": True}, None, None),
    ],
)
async def test_a_header_of_its_own_and_none(
    client: CallbackClient, server: CallbackServer, given: Any, authorization: str | None, key: str | None
) -> None:
    assert await post(client, server, CallbackAuth.model_validate(given)) == Response(204)
    (received,) = server.received
    assert (received.header("Authorization"), received.header("X-Api-Key")) == (authorization, key)
    assert received.header("webhook-id") == "1"


async def test_a_signature_of_standard_webhooks(client: CallbackClient, server: CallbackServer) -> None:
    """By the judgement of their own library, with the present secret and with the former one."""
    new, old = new_signing_secret(), new_signing_secret()
    auth = CallbackAuth.model_validate({"signature": {"secret": new, "oldSecret": old}})
    assert await post(client, server, auth) == Response(204)
    test_message = await client.post(server.url("/"), body=b"{}", headers={}, timeout=30, auth=auth)
    assert test_message == Response(204)
    for received in server.received:
        headers = {name.lower(): value for name, value in received.headers}
        for secret in (new, old):
            assert Webhook(secret).verify(received.body.decode(), headers) == {}
        with pytest.raises(WebhookVerificationError):
            Webhook(new_signing_secret()).verify(received.body.decode(), headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(new).verify("[]", headers)
        found = signature_of(headers, received.body, secret=old, at=time.time())
        assert found is not None
        assert found.verdict == "valid"
    assert server.received[0].header("webhook-id") == "1"
    assert server.received[0].header("Authorization") == "Token fixed"


async def test_the_check_uses_the_same(client: CallbackClient, server: CallbackServer) -> None:
    settings = load_settings(_env_file=None, callback_allow_loopback=True)
    server.script("/token", token("one"))
    server.script("/", only("Bearer one"))

    async def check(auth: CallbackAuth | None, **more: Any) -> str:
        try:
            own = load_settings(_env_file=None, callback_allow_loopback=True, **more) if more else settings
            await check_callback(client, url=server.url("/"), auth="", settings=own, callback_auth=auth)
        except ValidationError as error:
            return error.invalid_params[0].reason
        return ""

    assert await check(oauth2(server)) == ""
    assert [each.header("Authorization") for each in server.at("/")] == [None, "Bearer one"]
    assert "401" in await check(None)
    assert "401" in await check(CallbackAuth.model_validate({"noAuth": True}))
    server.script("/", status(204))
    assert "zonder Authorization-header" in await check(oauth2(server))
    assert await check(CallbackAuth.model_validate({"noAuth": True})) == ""
    server.script("/token", status(400))
    server.script("/", only("Bearer one"))
    assert "weigert de client" in await check(oauth2(server, scope="other"))
    async with CallbackClient() as guarded:
        with pytest.raises(ValidationError) as raised:
            own = load_settings(_env_file=None, callback_check="off")
            url = "https://zac.example.nl/"
            await check_callback(guarded, url=url, auth="", settings=own, callback_auth=oauth2(server))
    assert "tokenadres" in raised.value.invalid_params[0].reason


@pytest.mark.usefixtures("broker")
async def test_a_delivery_by_what_a_command_set(spine: Delivering, ledger: Ledger) -> None:
    """The command, a running deliverer, and what became of it: first without a token, then with one."""
    abonnement = await spine.subscribe("/")
    spine.callback.script("/token", token("one"))
    spine.callback.script("/", only("Bearer one"))
    folder = spine.router.settings.state_dir
    env = {
        "NRC_AMQP_URL": spine.router.settings.amqp_url[0],
        "NRC_STATE_DIR": str(folder),
        "NRC_CALLBACK_ALLOW_LOOPBACK": "true",
    }
    uuid = str(abonnement.uuid)
    async with spine.deliverer(retry_schedule="1,1,1,1,1,1,1,1,1"):
        url = ("--token-url", spine.callback.url("/token"), "--client-id", "nrc", "--secret", "-")
        ran = await nrc_process(folder, "callback-auth", "oauth2", uuid, *url, stdin=SECRET.encode(), env=env)
        assert (ran.code, ran.out) == (0, f"{uuid} oauth2\n"), ran.err
        shown = await nrc_process(folder, "callback-auth", "show", uuid, env=env)
        assert "Authorization: a token" in shown.out
        assert SECRET not in shown.out + ran.err
        acts = await nrc_process(folder, "audit-trail", env=env)
        assert "callback auth changed" in acts.out
        spine.callback.script("/token", status(503), token("one"))
        id_ = await accept(spine, ledger, abonnement)

        async def delivered() -> bool:
            return await state_of(ledger, id_, abonnement) is State.DELIVERED

        await eventually(delivered, within=60)
    (first, *_) = await ledger.attempts(Key(UUID(id_), abonnement.uuid))
    assert (first.kind, first.detail) == ("token_unreachable", "token endpoint: answered 503")
    told = await nrc_process(folder, "explain", id_, "--abonnement", uuid, env=env)
    assert "het tokenadres (OAuth2) gaf geen antwoord" in told.out
    spine.callback.script("/", status(403))
    ran = await nrc_process(folder, "callback-auth", "header", uuid, "X-Key", "--value", "v", env=env)
    assert (ran.code, "403" in ran.err) == (1, True), ran.err
    spine.callback.script("/", only("Token test"))
    ran = await nrc_process(folder, "callback-auth", "signature", uuid, "--keep-old", "1h", env=env)
    assert (ran.code, "no former secret" in ran.err) == (2, True)
    secrets = []
    spine.callback.script("/", only("Bearer one"))
    for more in ((), ("--keep-old", "1h")):
        ran = await nrc_process(folder, "callback-auth", "signature", uuid, *more, env=env)
        assert ran.code == 0, ran.err
        secrets.append(ran.out.splitlines()[1].removeprefix("secret: "))
    last = spine.callback.at("/")[-1]
    for secret in secrets:
        Webhook(secret).verify(last.body.decode(), {name.lower(): value for name, value in last.headers})
    spine.callback.script("/", only("Token test"))
    ran = await nrc_process(folder, "callback-auth", "remove", uuid, env=env)
    assert (ran.code, ran.out) == (0, f"{uuid} auth alone\n"), ran.err
