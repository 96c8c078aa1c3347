"""Refused addresses at registration; and the headers that depend on a setting."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.api import Api, Callback, a_naam
from tests.contract.conftest import Stage

INVALID = {("nonFieldErrors", "invalid-callback-url")}


@pytest.fixture(scope="module", params=["full", "reachable"])
async def guarded(stage: Stage, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """A gateway with default rules, and a private network that is denied."""
    async with stage.gateway(
        callback_check=request.param,
        callback_timeout=1.0,
        documentation_link_check="required",
        callback_allow_loopback=False,
        callback_deny_networks=stage.settings.model_validate(
            {"callback_deny_networks": "10.9.0.0/16"}
        ).callback_deny_networks,
    ) as api:
        yield api


def sent(url: str, **changes: Any) -> dict[str, Any]:
    return {"callbackUrl": url, "auth": "Token abc", "kanalen": [], **changes}


HOSTS = [
    ("127.0.0.1", "loopback", "NRC_CALLBACK_ALLOW_LOOPBACK"),
    ("localhost", "loopback", "NRC_CALLBACK_ALLOW_NETWORKS"),
    ("[::ffff:127.0.0.1]", "loopback", "NRC_CALLBACK_ALLOW_LOOPBACK"),
    ("2130706433", "spelling", "vier decimale getallen"),
    ("0177.0.0.1", "spelling", "vier decimale getallen"),
    ("10.9.8.7", "deny-networks", "NRC_CALLBACK_DENY_NETWORKS"),
    ("169.254.169.254", "metadata", "geen instelling"),
    ("[64:ff9b::169.254.169.254]", "metadata", "geen instelling"),
    ("[fe80::1]", "link-local", "geen instelling"),
    ("224.0.0.1", "multicast", "geen instelling"),
    ("0.0.0.0", "unspecified", "geen instelling"),
]


@pytest.mark.parametrize(("host", "rule", "how"), HOSTS)
async def test_a_callback_that_is_refused(
    guarded: Api, callback: Callback, host: str, rule: str, how: str
) -> None:
    answer = await guarded.post("/abonnement", sent(f"http://{host}:{callback.port}/"))
    assert answer.params == INVALID
    (param,) = answer.json["invalidParams"]
    assert f"regel {rule}:" in param["reason"]
    assert how in param["reason"]
    assert callback.connections == 0


@pytest.mark.parametrize(("host", "rule", "how"), HOSTS)
async def test_a_documentation_link_that_is_refused(
    guarded: Api, callback: Callback, host: str, rule: str, how: str
) -> None:
    link = f"http://{host}:{callback.port}/"
    answer = await guarded.post("/kanaal", {"naam": a_naam(), "documentatieLink": link})
    assert answer.params == {("documentatieLink", "bad-url")}
    (param,) = answer.json["invalidParams"]
    assert f"regel {rule}:" in param["reason"]
    assert how in param["reason"]
    assert callback.connections == 0


async def test_an_address_is_refused_with_the_check_off_too(stage: Stage) -> None:
    async with stage.gateway(callback_check="off", callback_allow_loopback=False) as api:
        assert (await api.post("/abonnement", sent("http://169.254.169.254/"))).params == INVALID
        assert (await api.post("/abonnement", sent("http://127.1/"))).params == INVALID
        # A name may resolve to something else by the time that something is sent.
        assert (await api.post("/abonnement", sent("http://localhost/"))).status == 201


async def test_https_only(stage: Stage) -> None:
    naam = a_naam()
    async with stage.gateway() as before:
        await before.post("/kanaal", {"naam": naam})
        old = (await before.post("/abonnement", sent("http://127.0.0.1:9/"))).json["url"]
    async with stage.gateway(callback_require_https=True) as api:
        url = f"{api.root}/abonnement/{old.rpartition('/')[2]}"
        wrong = {("callbackUrl", "invalid")}
        answer = await api.post("/abonnement", sent("http://127.0.0.1:9/"))
        assert answer.params == wrong
        assert "NRC_CALLBACK_REQUIRE_HTTPS" in answer.json["invalidParams"][0]["reason"]
        assert (await api.put(url, sent("HTTP://127.0.0.1:9/"))).params == wrong
        assert (await api.patch(url, {"callbackUrl": "http://127.0.0.1:9/"})).params == wrong
        # With every other fault, and no second one about what is no URL at all.
        assert (await api.post("/abonnement", sent("http://127.0.0.1:9/", auth=""))).params == wrong | {
            ("auth", "blank")
        }
        assert (await api.post("/abonnement", sent("ftp://127.0.0.1:9/"))).params == wrong
        assert len((await api.post("/abonnement", sent("ftp://127.0.0.1:9/"))).json["invalidParams"]) == 1
        # What was there before the setting can still be changed otherwise.
        assert (await api.patch(url, {"kanalen": [{"naam": naam}]})).status == 200
        assert (await api.put(url, sent("https://127.0.0.1:9/"))).status == 200


@pytest.mark.parametrize(
    ("settings", "headers", "expected"),
    [
        ({}, {}, None),
        ({}, {"X-Forwarded-Proto": "https"}, None),
        ({"public_url": "https://nrc.example.nl"}, {}, "max-age=31536000"),
        ({"public_url": "http://nrc.example.nl"}, {}, None),
        ({"trusted_proxies": "127.0.0.1"}, {"X-Forwarded-Proto": "https"}, "max-age=31536000"),
        ({"trusted_proxies": "127.0.0.1"}, {}, None),
    ],
)
async def test_https_is_for_good_only_where_the_root_is(
    stage: Stage, settings: dict[str, str], headers: dict[str, str], expected: str | None
) -> None:
    values = stage.settings.model_validate(settings)
    changes = {name: getattr(values, name) for name in settings}
    async with stage.gateway(**changes) as api:
        for path, status in (("/kanaal", 200), ("/nowhere", 404), ("/schema/", 200), ("/health/live", 200)):
            url = api.root.removesuffix("/api/v1") + path if path.startswith("/health") else path
            answer = await api("GET", url, headers=headers)
            assert answer.status == status
            assert answer.headers.get("Strict-Transport-Security") == expected
