"""Loops: a callbackUrl that is our own `/notificaties`, and a POST that is a delivery."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from tests.contract.api import Api, a_naam, abonnement_of, message
from tests.contract.conftest import Stage

OWN = {("callbackUrl", "invalid")}


async def a_kanaal(api: Api) -> str:
    naam = a_naam()
    assert (await api.post("/kanaal", {"naam": naam})).status == 201
    return naam


def to(url: str, naam: str) -> dict[str, Any]:
    return {**abonnement_of(naam), "callbackUrl": url}


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/api/v1/notificaties",
        "HTTP://127.0.0.1:{port}/api/v1/notificaties/",
        "http://localhost:{port}/api/v1/notificaties",
        "http://LocalHost.:{port}//api/./v1/notificaties?a=b#c",
        "http://[::1]:{port}/api/v1/notificaties",
        "http://[::ffff:127.0.0.1]:{port}/api/v1/notificaties",
        "http://%6Cocalhost:{port}/api/v1/x/../notificaties",
        "http://127.0.0.1:{port}/api/v1/%6Eotificaties",
        "https://127.0.0.1:{port}/api/v1/notificaties",
    ],
)
async def test_our_own_notificaties_is_no_callback(api: Api, url: str) -> None:
    naam, url = await a_kanaal(api), url.format(port=api.root.split(":")[2].split("/")[0])
    assert (await api.post("/abonnement", to(url, naam))).params == OWN
    abonnement = (await api.post("/abonnement", abonnement_of(naam))).json
    assert (await api.put(abonnement["url"], to(url, naam))).params == OWN
    assert (await api.patch(abonnement["url"], {"callbackUrl": url})).params == OWN
    assert (await api.get(abonnement["url"])).json == abonnement


@pytest.mark.parametrize(
    ("host", "url", "own"),
    [
        ("nrc.example.nl", "http://NRC.example.nl/api/v1/notificaties", True),
        ("nrc.example.nl", "http://nrc.example.nl:80/api/v1/notificaties", True),
        ("nrc.example.nl:80", "http://nrc.example.nl/api/v1/notificaties", True),
        # A proxy before us may do the TLS, and tell nothing of it.
        ("nrc.example.nl", "https://nrc.example.nl:443/api/v1/notificaties", True),
        ("nrc.example.nl:8443", "https://nrc.example.nl:8443/api/v1/notificaties", True),
        ("nrc.example.nl", "http://nrc.example.nl:8443/api/v1/notificaties", False),
        ("nrc.example.nl", "http://other.example.nl/api/v1/notificaties", False),
        ("nrc.example.nl", "http://nrc.example.nl/api/v1/notificaties/callback", False),
        ("nrc.example.nl", "http://nrc.example.nl/API/v1/notificaties", False),
        ("nrc.example.nl", "http://nrc.example.nl/", False),
    ],
)
async def test_by_the_host_that_the_client_used(api: Api, host: str, url: str, own: bool) -> None:
    answer = await api.post("/abonnement", to(url, await a_kanaal(api)), headers={"Host": host})
    assert answer.status == (400 if own else 201), answer.body
    assert not own or answer.params == OWN


async def test_by_what_a_trusted_proxy_says(stage: Stage) -> None:
    forwarded = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "gemeente.example.nl",
        "X-Forwarded-Prefix": "/nrc",
    }
    own = "https://gemeente.example.nl/nrc/api/v1/notificaties"
    others = "https://gemeente.example.nl/api/v1/notificaties"
    async with stage.gateway() as api:
        assert (await api.post("/abonnement", to(own, await a_kanaal(api)), headers=forwarded)).status == 201
    trusted = (ipaddress.ip_network("127.0.0.0/8"),)
    for settings in ({"trusted_proxies": trusted}, {"trusted_proxies": trusted, "public_url": "http://x"}):
        async with stage.gateway(**settings) as api:
            naam = await a_kanaal(api)
            assert (await api.post("/abonnement", to(own, naam), headers=forwarded)).params == OWN
            assert (await api.post("/abonnement", to(others, naam), headers=forwarded)).status == 201


async def test_by_the_public_url(stage: Stage) -> None:
    async with stage.gateway(public_url="https://gemeente.example.nl/nrc") as api:
        naam = await a_kanaal(api)
        path = "gemeente.example.nl/nrc/api/v1/notificaties"
        for url in (f"https://{path}", f"http://{path}/", f"https://{path.upper()[:19]}:443{path[19:]}"):
            assert (await api.post("/abonnement", to(url, naam))).params == OWN
        port = api.root.split(":")[2].split("/")[0]
        inner = f"http://127.0.0.1:{port}/api/v1/notificaties"
        assert (await api.post("/abonnement", to(inner, naam))).params == OWN
        elsewhere = "https://gemeente.example.nl/api/v1/notificaties"
        assert (await api.post("/abonnement", to(elsewhere, naam))).status == 201


@pytest.mark.parametrize(
    ("headers", "hops"),
    [
        ({}, 0),
        ({"webhook-id": "1"}, 0),
        ({"nrc-abonnement": "x"}, 1),
        ({"nrc-attempt": "3"}, 1),
        ({"nrc-hops": "many"}, 1),
        ({"nrc-hops": "0"}, 1),
        ({"nrc-hops": "2", "nrc-attempt": "1"}, 2),
        ({"nrc-hops": "1, 3"}, 3),
        ({"nrc-hops": "99999999999999999999"}, 9999),
    ],
)
async def test_a_delivery_is_counted(stage: Stage, headers: dict[str, str], hops: int) -> None:
    for most in (hops, hops - 1):
        if not 0 <= most <= 1000 and hops != 9999:
            continue
        async with stage.gateway(max_hops=most) as api:
            naam = await a_kanaal(api)
            answer = await api.post("/notificaties", message(naam), headers=headers)
            if most == hops:
                assert answer.status == 201
                continue
            assert answer.outcome == (508, "loop_detected")
            assert answer.headers["nrc-hops"] == str(hops)
            assert f"{hops} keer" in answer.json["detail"]
            assert answer.json["type"].endswith("/ref/fouten/LoopDetected/")
