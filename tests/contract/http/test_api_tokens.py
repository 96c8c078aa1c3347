"""STANDARD: Tokens, over HTTP. The table of all cases is in tests/unit/gateway/test_tokens.py."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from schemas.application import Application, Scope
from store.secret_uses import SecretUses
from tests.contract.api import Api, Callback, a_naam, abonnement_of, message
from tests.contract.conftest import Stage
from tests.eventually import eventually
from tests.tokens import sign, token

NOW = int(time.time())
"""When these tests were found, which is minutes before they run."""
LATER = NOW + 24 * 3600


@pytest.mark.parametrize(
    ("auth", "code"),
    [
        (None, "permission_denied"),
        ("Basic YTpi", "permission_denied"),
        ("Token abc", "permission_denied"),
        ("Bearer", "jwt-decode-error"),
        ("Bearer abcd1234", "jwt-decode-error"),
        ("Bearer " + "a" * 16000, "jwt-decode-error"),
        (token(client_id=None), "missing-client-identifier"),
        (token("wie"), "invalid-client-identifier"),
        (token(client_id=1), "invalid-client-identifier"),
        (token(secret="anders"), "invalid-jwt-signature"),
        (token(iat=None), "jwt-missing-iat-claim"),
        (token(iat=NOW - 4000), "jwt-expired"),
        (token(exp=NOW - 1), "jwt-expiredsignatureerror"),
        (token(nbf=LATER), "jwt-immaturesignatureerror"),
        ("Bearer " + sign({"client_id": "beide", "iat": NOW}, "edieb", algorithm="HS512"),
         "jwt-invalidalgorithmerror"),
        ("Bearer eyJhbGciOiJub25lIn0.eyJjbGllbnRfaWQiOiJiZWlkZSJ9.", "jwt-invalidalgorithmerror"),
        (token(aud="x"), "jwt-invalidaudienceerror"),
        (token(sub=1), "jwt-invalidsubjecterror"),
        (token(jti=1), "jwt-invalidjtierror"),
        (token(iat="x"), "jwt-invalidissuedaterror"),
        (token("niets"), "permission_denied"),
        (token("oud"), "permission_denied"),
        (token("beide", zds={"scopes": ["notificaties.anders"]}), "permission_denied"),
    ],
)  # fmt: skip
async def test_every_failure_is_403(api: Api, auth: str | None, code: str) -> None:
    answer = await api.get("/kanaal", auth=auth)
    assert answer.outcome == (403, code)
    assert "WWW-Authenticate" not in answer.headers
    assert (await api.post("/notificaties", {}, auth=auth)).outcome == (403, code)


@pytest.mark.parametrize(
    "auth",
    [
        token(),
        token().replace("Bearer", "bearer"),
        token(iat=NOW + 3600),
        token(exp=LATER, nbf=NOW, sub="x", jti="y", scope="openid", user_id="é"),
        token(client_id=None, headers={"client_identifier": "beide"}),
        token("oud", zds={"scopes": ["notificaties.scopes.consumeren"]}),
        token("beide", zds={"scopes": ["zaken.lezen"]}),
        token(lang="x" * 10_000),
    ],
)
async def test_what_passes(api: Api, auth: str) -> None:
    assert (await api.get("/kanaal", auth=auth)).status == 200


@pytest.mark.parametrize("auth", [b"Bearer \xff\xfe.\xff.\xff", b"Bearer \xc3\xa9.x.y", b"\xff"])
async def test_bytes_that_are_no_text(api: Api, auth: bytes) -> None:
    answer = await api.get("/kanaal", auth=auth.decode("utf-8", "surrogateescape"))
    assert answer.status == 403


async def test_no_secret_gets_into_a_log(
    stage: Stage, callback: Callback, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    auth = token(user_id="onbekend")
    async with stage.gateway(callback_check="full") as api:
        naam = a_naam()
        await api.post("/kanaal", {"naam": naam}, auth=auth)
        sent = {**abonnement_of(naam), "callbackUrl": callback.url(), "auth": "Token zeer-geheim"}
        url = (await api.post("/abonnement", sent, auth=auth)).json["url"]
        await api.patch(url, {"auth": "Token ook-geheim"}, auth=auth)
        await api.patch(url, {"auth": "Token fout-geheim\n"}, auth=auth)
        await api.post("/notificaties", message(naam, kenmerken={"bsn": "zaak-geheim"}), auth=auth)
        await api.post("/notificaties", message("x", kenmerken={"bsn": "zaak-geheim"}), auth=auth)
        hidden = "https://ik:geheim@example.nl/hier?sleutel=geheim"
        await api.post("/abonnement", {**sent, "callbackUrl": hidden}, auth=auth)
        for refused in (token(secret="geheim-fout"), token("wie"), "Basic geheim", "Bearer geheim"):
            await api.get("/kanaal", auth=refused)
        await api.delete(url, auth=auth)
    written = caplog.text + "".join(capsys.readouterr())
    assert "accepted" in written
    assert re.search(r"\bmatched\W+\d", written)
    assert message("x")["hoofdObject"] in written
    assert "https://***@example.nl/hier?…" in written
    assert "wie" in written, "a client that nobody knows"
    assert "abonnement added" in written
    assert "request refused" in written
    for secret in ("geheim", auth.split()[1], auth.split(".")[2], "edieb"):
        assert secret not in written


async def test_a_token_of_2019_only_where_it_is_allowed(stage: Stage) -> None:
    async with stage.gateway(legacy_tokens=False) as api:
        auth = token(client_id=None, headers={"client_identifier": "beide"})
        assert (await api.get("/kanaal", auth=auth)).outcome == (403, "missing-client-identifier")


async def test_a_shorter_life(stage: Stage) -> None:
    async with stage.gateway(jwt_expiry=10) as api:
        assert (await api.get("/kanaal", auth=token(iat=NOW - 20))).outcome == (403, "jwt-expired")


async def test_a_change_of_an_application_works_within_a_second(api: Api, stage: Stage) -> None:
    """Nobody told this gateway: it looks before it refuses, and on a hint."""
    client_id = f"app-{uuid4().hex[:8]}"
    auth = token(client_id, secret="een")
    assert (await api.get("/kanaal", auth=auth)).outcome == (403, "invalid-client-identifier")
    application = await stage.registry.add_application(Application(client_id, "twee"))
    assert (await api.get("/kanaal", auth=auth)).outcome == (403, "invalid-jwt-signature")
    await stage.registry.change_application(client_id, lambda latest: replace(latest, secret="een"))
    assert (await api.get("/kanaal", auth=auth)).outcome == (403, "permission_denied")
    granted = replace(application, secret="een", scopes=frozenset({Scope.CONSUMEREN}))
    await stage.registry.change_application(client_id, lambda _: granted)
    assert (await api.get("/kanaal", auth=auth)).status == 200
    # The secret changes, and the old one counts for a while.
    kept = replace(granted, secret="drie", old_secret="een", old_secret_until=time.time() + 60)
    await stage.registry.change_application(client_id, lambda _: kept)
    for secret in ("een", "drie"):
        assert (await api.get("/kanaal", auth=token(client_id, secret=secret))).status == 200
    expired = replace(kept, old_secret_until=time.time() - 1)
    await stage.registry.change_application(client_id, lambda _: expired)
    await api.get("/kanaal")  # any call that looks at the registry
    assert (await api.get("/kanaal", auth=auth)).outcome == (403, "invalid-jwt-signature")
    await stage.registry.remove_application(client_id)
    await api.get("/kanaal")
    fresh: Any = token(client_id, secret="drie")
    assert (await api.get("/kanaal", auth=fresh)).outcome == (403, "invalid-client-identifier")


async def test_which_secret_is_used_is_noted_for_operators(stage: Stage) -> None:
    new, old = "n" * 40, "o" * 40
    rotating = Application(
        "rotating", new, "", frozenset({Scope.CONSUMEREN}), old_secret=old, old_secret_until=4e9
    )
    await stage.registry.add_application(rotating)

    async def uses() -> SecretUses:
        return (await stage.registry.secret_uses()).get("rotating", SecretUses())

    async with stage.gateway() as api:
        for secret, agent in ((old, "late/1.0"), (new, "early/2.0"), ("x" * 40, "stranger")):
            headers = {"User-Agent": agent}
            status = 403 if agent == "stranger" else 200
            asked = await api.get("/kanaal", auth=token("rotating", secret=secret), headers=headers)
            assert asked.status == status
        found = await eventually(lambda: _both(uses))
    assert found.old is not None
    assert found.new is not None
    assert (found.old.remote, found.old.agent) == ("127.0.0.1", "late/1.0")
    assert (found.new.remote, found.new.agent) == ("127.0.0.1", "early/2.0")
    assert abs(time.time() - found.old.at) < 60


async def _both(uses: Callable[[], Awaitable[SecretUses]]) -> SecretUses | None:
    found = await uses()
    return found if found.new and found.old else None
