"""Callbacks that want a client certificate, or have a certificate of an authority of their own."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from deliverer.http import connector, own_tls
from deliverer.http.client import CallbackClient, Failure, FailureClass, Response
from deliverer.http.dutch import why_none
from deliverer.http.guard import Policy, Rule
from deliverer.http.own_tls import OFF
from gateway.api.callback_check import check_callback
from runtime.settings import load_settings
from schemas.callback_auth import CallbackAuth
from schemas.errors import ValidationError
from tests.eventually import eventually
from tests.tls.certificates import Authority, Issued
from tests.tls.server import MtlsServer, Seen

CA, CLIENTS, OTHER_CLIENTS = Authority.new("Servers"), Authority.new("Clients"), Authority.new("Others")
ONE, TWO = CLIENTS.issue("one"), CLIENTS.issue("two")
EXPIRED, EARLY = CLIENTS.issue("expired", days=(-9, -1)), CLIENTS.issue("early", days=(1, 9))
STRANGE = OTHER_CLIENTS.issue("strange")


@pytest.fixture(autouse=True)
def proven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections to every server are used again at once, as they are to one that was proven."""
    monkeypatch.setattr(connector, "SETTLING", 0.0)


@pytest.fixture
async def client() -> AsyncIterator[CallbackClient]:
    async with CallbackClient(policy=Policy(allow_loopback=True)) as opened:
        yield opened


@pytest.fixture
def server() -> Iterator[MtlsServer]:
    with MtlsServer(CA.issue("server"), clients=CLIENTS) as opened:
        yield opened


def asked(own: Issued | None = ONE, ca: str = CA.pem, **more: Any) -> CallbackAuth:
    """As an abonnement has it from the registry: also of one that ended meanwhile."""
    given: dict[str, Any] = {"ca": ca, **more}
    if own is not None:
        given["clientCertificate"] = {
            "certificate": own.pem,
            "key": own.key_pem,
            "useForToken": bool(more.pop("token", False)),
        }
        given.pop("token", None)
    return CallbackAuth.model_validate(given)


async def post(
    client: CallbackClient, server: MtlsServer, auth: CallbackAuth | None, path: str = "/"
) -> Response | Failure:
    headers = {"Authorization": "Token fixed", "webhook-id": "1"}
    return await client.post(server.url(path), body=b"{}", headers=headers, timeout=30, auth=auth)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_the_certificate_is_presented_and_auth_goes_along(
    client: CallbackClient, version: ssl.TLSVersion
) -> None:
    with MtlsServer(CA.issue("server"), clients=CLIENTS, version=version) as server:
        for _ in range(3):
            assert await post(client, server, asked()) == Response(204)
        assert {each.serial for each in server.seen} == {ONE.serial}
        assert {each.connection for each in server.seen} == {1}, "a connection is used again"
        assert {each.headers["authorization"] for each in server.seen} == {"Token fixed"}


@pytest.mark.parametrize(
    ("own", "ca", "kind", "told"),
    [
        (None, CA.pem, FailureClass.CLIENT_CERTIFICATE_REFUSED, "hij vraagt om een clientcertificaat"),
        (STRANGE, CA.pem, FailureClass.CLIENT_CERTIFICATE_REFUSED, "hij kent de CA ervan niet"),
        (EXPIRED, CA.pem, FailureClass.CLIENT_CERTIFICATE_EXPIRED, "het verliep op"),
        (EARLY, CA.pem, FailureClass.CLIENT_CERTIFICATE_EXPIRED, "het is pas geldig vanaf"),
        (ONE, CLIENTS.pem, FailureClass.SERVER_CERTIFICATE, "niet van een CA die hier vertrouwd wordt"),
        (ONE, "", FailureClass.SERVER_CERTIFICATE, "niet van een CA die hier vertrouwd wordt"),
    ],
)
async def test_why_there_is_no_connection(
    client: CallbackClient, server: MtlsServer, own: Issued | None, ca: str, kind: FailureClass, told: str
) -> None:
    found = await post(client, server, asked(own, ca))
    assert isinstance(found, Failure)
    assert (found.kind, found.status) == (kind, None), found.detail
    assert told in why_none(found)
    assert server.seen == []


@pytest.mark.parametrize("later", [1, 2, 3, 6])
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_refusal_that_comes_before_the_request_goes(
    server: MtlsServer, monkeypatch: pytest.MonkeyPatch, loop: Callable[[], Any], later: int
) -> None:
    """By TLS 1.3 a server says so after the handshake, as it seems to a client that is slow.

    loop: uvloop, as in our processes, ends a connection some turns after it read the alert.
    later: how many turns of the event loop after the alert was read the request goes.
    """
    connect = connector.Connector.connect

    async def turns(is_so: Callable[[], bool], *, more: int) -> None:
        while more:
            await asyncio.sleep(0)
            more -= is_so()

    async def slow(*given: Any, **more: Any) -> Any:
        connection = await connect(*given, **more)
        await turns(lambda: connection.transport is None or connection.transport.is_closing(), more=later)
        return connection

    async def refused() -> Response | Failure:
        async with CallbackClient(policy=Policy(allow_loopback=True)) as client:
            return await post(client, server, asked(STRANGE))

    monkeypatch.setattr(connector.Connector, "connect", slow)
    with asyncio.Runner(loop_factory=loop) as runner:
        for _ in range(20):
            found = runner.run(refused())
            assert isinstance(found, Failure)
            assert found.kind is FailureClass.CLIENT_CERTIFICATE_REFUSED, found


@pytest.mark.parametrize(
    ("days", "host", "told"),
    [((-9, -1), "127.0.0.1", "verlopen"), ((-1, 9), "127.0.0.2", "voor een andere hostnaam")],
)
async def test_what_may_be_wrong_with_the_server_s_certificate(
    client: CallbackClient, days: tuple[int, int], host: str, told: str
) -> None:
    with MtlsServer(CA.issue("server", days=days, host=host), clients=CLIENTS) as server:
        found = await post(client, server, asked())
    assert isinstance(found, Failure)
    assert found.kind is FailureClass.SERVER_CERTIFICATE
    assert told in why_none(found)


async def test_authorities_of_a_callback_are_in_place_of_all_others(tmp_path: Path) -> None:
    own, system = CA.issue("server"), Authority.new("System")
    file = tmp_path / "ca.pem"
    file.write_text(system.pem)
    trusted = {"tls": ssl.create_default_context(cafile=str(file)), "ca_file": file}
    with MtlsServer(own) as ours, MtlsServer(system.issue("server")) as others:
        async with CallbackClient(policy=Policy(allow_loopback=True), **trusted) as client:  # type: ignore[arg-type]
            assert isinstance(await post(client, ours, None), Failure)
            assert await post(client, ours, asked(None)) == Response(204)
            assert await post(client, ours, asked(None, own.pem)) == Response(204), "its own certificate"
            assert isinstance(await post(client, others, asked(None)), Failure)
            assert await post(client, others, asked(ONE, "")) == Response(204), "those of the setting"
            assert await post(client, others, None) == Response(204)


async def test_no_connection_is_shared_between_certificates(
    client: CallbackClient, server: MtlsServer
) -> None:
    for _ in range(3):
        for own in (ONE, TWO):
            assert await post(client, server, asked(own), f"/{own.serial}") == Response(204)
    assert all(each.path == f"/{each.serial}" for each in server.seen)
    used = [{each.connection for each in server.at(f"/{own.serial}")} for own in (ONE, TWO)]
    assert used[0].isdisjoint(used[1])
    assert [len(each) for each in used] == [1, 1]


async def test_somebody_else_s_certificate_is_not_enough_for_a_connection(
    client: CallbackClient, server: MtlsServer
) -> None:
    """What is kept was checked; a damaged copy must not find the connections of the right one."""
    assert await post(client, server, asked()) == Response(204)
    kept = {"clientCertificate": {"certificate": ONE.pem, "key": TWO.key_pem}, "ca": CA.pem}
    forged = CallbackAuth.of_text(json.dumps(kept))
    found = await post(client, server, forged)
    assert isinstance(found, Failure)
    assert found.kind is FailureClass.INVALID_REQUEST
    assert "geen HTTP-verzoek" in why_none(found)
    assert len(server.seen) == 1


async def test_another_certificate_holds_from_the_next_request_and_old_connections_are_closed(
    client: CallbackClient, server: MtlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await post(client, server, asked(ONE)) == Response(204)
    assert await post(client, server, asked(TWO)) == Response(204)
    assert [each.serial for each in server.seen] == [ONE.serial, TWO.serial]
    assert server.closed == []
    monkeypatch.setattr(own_tls, "IDLE", -1.0)
    assert await post(client, server, asked(TWO)) == Response(204)

    async def closed() -> bool:
        return 1 in server.closed

    await eventually(closed)


async def test_many_at_once_make_one_context(
    client: CallbackClient, server: MtlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    make = own_tls.presenting
    monkeypatch.setattr(own_tls, "presenting", lambda **given: made.append(1) or make(**given))
    answers = await asyncio.gather(*(post(client, server, asked()) for _ in range(20)))
    assert answers == [Response(204)] * 20
    assert len(made) == 1


async def test_the_guard_and_the_setting_hold(server: MtlsServer) -> None:
    async with CallbackClient() as guarded:
        found = await post(guarded, server, asked())
    assert isinstance(found, Failure)
    assert found.rule is Rule.LOOPBACK
    async with CallbackClient(policy=Policy(allow_loopback=True), certificates=False) as without:
        found = await post(without, server, asked())
    assert found == Failure(FailureClass.INVALID_REQUEST, OFF)
    assert server.seen == []


def tokens(seen: Seen) -> int | tuple[int, str]:
    if seen.path == "/token":
        return 200, json.dumps({"access_token": f"for-{seen.serial}", "expires_in": 3600})
    return 204 if seen.headers.get("authorization", "").startswith("Bearer for-") else 401


async def test_the_token_endpoint_gets_the_certificate_only_where_that_is_asked(
    client: CallbackClient, server: MtlsServer
) -> None:
    server.answer = tokens
    oauth2 = {"tokenUrl": server.url("/token"), "clientId": "nrc"}
    found = await post(client, server, asked(oauth2={**oauth2, "secret": "s"}))
    assert isinstance(found, Failure)
    assert (found.kind, server.seen) == (FailureClass.TOKEN_UNREACHABLE, [])
    for own in (ONE, TWO):
        for _ in range(2):
            assert await post(client, server, asked(own, token=True, oauth2=oauth2)) == Response(204)
    assert [(each.serial, each.body) for each in server.at("/token")] == [
        (own.serial, "grant_type=client_credentials&client_id=nrc") for own in (ONE, TWO)
    ]
    assert {(each.serial, each.headers["authorization"]) for each in server.at("/")} == {
        (own.serial, f"Bearer for-{own.serial}") for own in (ONE, TWO)
    }


async def check(client: CallbackClient, url: str, auth: CallbackAuth | None, **more: Any) -> str:
    settings = load_settings(_env_file=None, callback_allow_loopback=True, **more)
    try:
        await check_callback(client, url=url, auth="", settings=settings, callback_auth=auth)
    except ValidationError as error:
        return error.invalid_params[0].reason
    return ""


async def test_the_check_of_a_callback(client: CallbackClient, server: MtlsServer) -> None:
    """A callback that refuses by TLS has refused; one that takes anybody has not."""
    assert await check(client, server.url(), asked()) == ""
    assert [each.serial for each in server.seen] == [ONE.serial]
    assert "kent de CA ervan niet" in await check(client, server.url(), asked(STRANGE))
    assert "vraagt om een clientcertificaat" in await check(client, server.url(), asked(None))
    with MtlsServer(CA.issue("server"), clients=CLIENTS, demand=False) as lenient:
        lenient.answer = lambda seen: 204 if seen.serial else 400  # as nginx does
        assert await check(client, lenient.url(), asked(noAuth=True)) == ""
        assert [each.serial for each in lenient.seen] == ["", ONE.serial]
        lenient.answer = lambda seen: 204
        assert "zonder Authorization-header" in await check(client, lenient.url(), asked())
        assert await check(client, lenient.url(), asked(None, noAuth=True)) == ""


@pytest.mark.parametrize("how", ["full", "off"])
async def test_what_is_refused_before_anything_is_sent(client: CallbackClient, how: str) -> None:
    url = "https://zac.example.nl/"
    told = await check(client, url, asked(EXPIRED), callback_check=how)
    assert "Het clientcertificaat expired is verlopen op" in told
    assert "is pas geldig vanaf" in await check(client, url, asked(EARLY), callback_check=how)
    for auth in (asked(), asked(None)):
        assert "https" in await check(client, "http://zac.example.nl/", auth, callback_check=how)
        off = await check(client, url, auth, callback_check=how, callback_certificates=False)
        assert "NRC_CALLBACK_CERTIFICATES" in off
