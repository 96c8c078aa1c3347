"""The guard in the client: no connection is made to a refused address, in any spelling."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from deliverer.http import connector
from deliverer.http.client import CallbackClient, Failure, FailureClass, Response
from deliverer.http.guard import Policy, Rule
from deliverer.http.resolver import Resolver
from runtime.settings import load_settings
from runtime.trust import trusting
from tests.callback_server import CallbackServer, close


@pytest.fixture
async def callback() -> AsyncIterator[CallbackServer]:
    async with CallbackServer() as server:
        yield server


async def post(client: CallbackClient, url: str) -> Response | Failure:
    return await client.post(url, body=b"{}", headers={"Authorization": "Bearer x"}, timeout=5)


async def refused(client: CallbackClient, url: str) -> Rule | None:
    """By which rule a POST was refused."""
    answer = await post(client, url)
    assert isinstance(answer, Failure), answer
    assert answer.kind is FailureClass.ADDRESS_REFUSED, answer
    assert answer.detail
    return answer.rule


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Names that the system resolves to these addresses, one list after each other when there are more."""
    known: dict[str, list[str]] = {}
    look_up = socket.getaddrinfo

    def resolve(host: str, port: int, *args: Any, **options: Any) -> Any:
        if host not in known:
            return look_up(host, port, *args, **options)
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in known[host]
        ]  # fmt: skip

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return known


@pytest.mark.parametrize(
    ("host", "rule"),
    [
        ("127.0.0.1", Rule.LOOPBACK),
        ("localhost", Rule.LOOPBACK),
        ("[::1]", Rule.LOOPBACK),
        ("[::ffff:127.0.0.1]", Rule.LOOPBACK),
        ("[::ffff:7f00:1]", Rule.LOOPBACK),
        ("0x7f.0.0.1", Rule.LOOPBACK),
        ("0x7f000001", Rule.LOOPBACK),
        ("0177.0.0.1", Rule.SPELLING),
        ("2130706433", Rule.SPELLING),
        ("127.1", Rule.SPELLING),
        ("127.0.0.1.", Rule.SPELLING),
        ("0.0.0.0", Rule.UNSPECIFIED),
        ("0", Rule.SPELLING),
        ("[::]", Rule.UNSPECIFIED),
        ("①②⑦.0.0.1", Rule.LOOPBACK),
        ("169.254.169.254", Rule.METADATA),
        ("[fe80::1%25lo]", Rule.LINK_LOCAL),
    ],
)
async def test_sends_nothing_to_an_address_that_is_refused(
    callback: CallbackServer, host: str, rule: Rule
) -> None:
    async with CallbackClient() as client:
        assert await refused(client, f"http://{host}:{callback.port}/") is rule
        answer = await client.get(f"http://{host}:{callback.port}/", timeout=5)
        assert isinstance(answer, Failure)
        assert answer.rule is rule
    assert callback.connections == 0


async def test_decides_on_what_a_name_resolves_to(
    callback: CallbackServer, names: dict[str, list[str]]
) -> None:
    names["inward.example"] = ["127.0.0.1", "::1"]
    names["cloud.example"] = ["169.254.169.254"]
    async with CallbackClient() as client:
        assert await refused(client, f"http://inward.example:{callback.port}/") is Rule.LOOPBACK
        assert await refused(client, "http://cloud.example/") is Rule.METADATA
    assert callback.connections == 0


async def test_goes_to_the_addresses_of_a_name_that_are_left(
    callback: CallbackServer, names: dict[str, list[str]]
) -> None:
    names["both.example"] = ["169.254.169.254", "127.0.0.1", "127.0.0.2"]
    policy = Policy(deny=(ip_network("127.0.0.2"),), allow_loopback=True)
    async with CallbackClient(policy=policy) as client:
        assert await post(client, f"http://both.example:{callback.port}/") == Response(204)


async def test_a_name_that_changes_its_address_gains_nothing(
    callback: CallbackServer, names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connector, "DNS_CACHE", 0)
    policy = Policy(allow=(ip_network("127.0.0.1"),))
    async with CallbackClient(policy=policy) as client:
        callback.script("/", close())
        names["turning.example"] = ["127.0.0.1"]
        url = f"http://turning.example:{callback.port}/"
        assert isinstance(await post(client, url), Failure)
        names["turning.example"] = ["127.0.0.2"]
        assert await refused(client, url) is Rule.LOOPBACK
    assert len(callback.received) == 1


async def test_connects_to_the_address_that_was_decided_on(
    callback: CallbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the resolver gives out, the last step before connecting refuses."""

    async def give(self: Resolver, host: str, port: int = 0, family: int = 0) -> list[dict[str, object]]:
        found = {"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 6, "flags": 0}
        return [found]

    monkeypatch.setattr(Resolver, "resolve", give)
    async with CallbackClient() as client:
        assert await refused(client, f"http://any.example:{callback.port}/") is Rule.LOOPBACK
    assert callback.connections == 0


async def test_https_only_by_setting(callback: CallbackServer, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    settings = load_settings(
        _env_file=None,
        callback_require_https=True,
        callback_allow_loopback=True,
        callback_ca_file=certificate,
    )
    async with CallbackServer(tls=context) as secure, CallbackClient.of(settings) as client:
        assert await refused(client, callback.url()) is Rule.HTTPS
        assert await post(client, secure.url()) == Response(204)
        # A documentatieLink is no callback.
        assert await client.get(callback.url(), timeout=5) == Response(204)


async def test_the_systems_authorities_stay_beside_the_file(certificate: Path) -> None:
    plain, more = ssl.create_default_context(), trusting(certificate)
    assert more is not None
    assert more.check_hostname
    assert len(more.get_ca_certs()) == len(plain.get_ca_certs()) + 1
