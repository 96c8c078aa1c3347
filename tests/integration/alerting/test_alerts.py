"""Alerts, from what is in registry and ledger to what a webhook and a mail server get."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from alerting.channels.webhook import MEDIA_TYPE
from ledger.ids import new_id
from ledger.values import Entry
from schemas.alert import Channel, Rule, Security
from schemas.callback_auth import CallbackAuth
from tests.callback_server import status, when
from tests.eventually import eventually
from tests.integration.alerting.conftest import AUTHORIZATION, System, by_mail, system_in
from tests.integration.alerting.mail_server import PASSWORD, USER, mail_server
from tests.tls.certificates import Authority
from tests.tls.server import MtlsServer

WITHIN = 30.0


async def looks(system: System, count: int = 3) -> None:
    """Return when so many more looks are done: each renews the lease or reads it."""
    for _ in range(count):
        await eventually(_renewed(system, await system.registry.alerts.lease()), within=WITHIN)


def _renewed(system: System, before: object) -> Callable[[], Awaitable[bool]]:
    async def is_renewed() -> bool:
        return await system.registry.alerts.lease() != before

    return is_renewed


async def test_a_held_abonnement_is_told_once_to_both_and_when_it_is_over(system: System) -> None:
    uuid = system.abonnement.uuid
    async with mail_server() as mail:
        await system.only(Rule.HELD, mail=by_mail(mail))
        await system.hold()
        async with system.alerting():
            await eventually(lambda: system.webhook.received and mail.got, within=WITHIN)
            await looks(system)
            assert system.phases() == ["begonnen"]
            (request,), (message,) = system.webhook.received, mail.got
            assert request.header("Content-Type") == MEDIA_TYPE
            assert request.header("Authorization") == AUTHORIZATION
            (event,) = system.events()
            assert event["subject"] == f"held:{uuid}"
            assert event["source"] == (await system.registry.alerts.settings()).source
            assert event["data"]["opdracht"] == f"nrc abonnement show {uuid}"
            assert event["data"]["link"] == f"https://beheer.example.nl/console/abonnementen/{uuid}/"
            assert message["Subject"] == "[NRC] Een callback doet het niet (test)"
            assert event["data"]["tekst"] in message.get_content()
            assert event["id"] in message["Message-ID"]
            assert mail.envelopes[0].rcpt_tos == ["beheer@example.nl"]

            await system.release()
            await eventually(lambda: len(system.webhook.received) > 1 and len(mail.got) > 1, within=WITHIN)
            await looks(system)
        assert system.phases() == ["begonnen", "voorbij"]
        assert mail.got[1]["Subject"] == "[NRC] Voorbij: Een callback doet het niet (test)"
        assert len(mail.got) == 2


async def test_what_was_sent_is_not_sent_again_after_a_restart(system: System) -> None:
    await system.only(Rule.HELD)
    await system.hold()
    async with system.alerting():
        await eventually(lambda: system.webhook.received, within=WITHIN)
    async with system.alerting():
        await looks(system)
        assert system.phases() == ["begonnen"]
        await system.release()
        await eventually(lambda: len(system.webhook.received) > 1, within=WITHIN)
    assert system.phases() == ["begonnen", "voorbij"]


async def test_a_process_that_stops_completes_what_it_is_sending(system: System) -> None:
    answered = asyncio.Event()
    system.webhook.script("/nrc", when(answered, status(204)), status(204))
    await system.only(Rule.HELD)
    await system.hold()
    async with system.alerting():
        await eventually(lambda: system.webhook.received, within=WITHIN)
        asyncio.get_running_loop().call_later(0.3, answered.set)
    async with system.alerting():
        await looks(system)
    assert system.phases() == ["begonnen"]


async def test_of_several_processes_one_sends_and_another_takes_over(system: System) -> None:
    await system.only(Rule.HELD)
    async with system.alerting():
        async with system.alerting():
            first = await eventually(system.registry.alerts.lease, within=WITHIN)
            await system.hold()
            await eventually(lambda: system.webhook.received, within=WITHIN)
            await looks(system)
            assert system.phases() == ["begonnen"]
        # One of both has stopped, and given its lease up where it had it.
        await system.release()
        await eventually(lambda: len(system.webhook.received) > 1, within=WITHIN)
        await looks(system)
        assert system.phases() == ["begonnen", "voorbij"]
        last = await system.registry.alerts.lease()
        assert first is not None
        assert last is not None


async def test_a_webhook_that_fails_is_tried_again_and_seen_and_keeps_no_mail_waiting(
    system: System,
) -> None:
    async with mail_server() as mail:
        await system.only(Rule.HELD, mail=by_mail(mail))
        system.webhook.script("/nrc", status(500))
        await system.hold()
        async with system.alerting():
            await eventually(lambda: mail.got, within=WITHIN)
            await eventually(lambda: system.webhook.received, within=WITHIN)
            failing = await eventually(lambda: _failing(system), within=WITHIN)
            assert failing == "http_status: answered 500"
            system.webhook.script("/nrc", status(204))
            await eventually(lambda: _arrived(system, Channel.WEBHOOK), within=WITHIN)
        assert len(mail.got) == 1
        assert len(system.webhook.received) > 1
        assert len({each["id"] for each in system.events()}) == 1, "the same message, with the same id"


async def _failing(system: System) -> str:
    return (await system.registry.alerts.sending())[Channel.WEBHOOK].error


async def _arrived(system: System, channel: Channel) -> bool:
    sending = (await system.registry.alerts.sending())[channel]
    return sending.last_sent is not None and sending.failing_since is None and not sending.waiting


async def test_what_is_over_before_it_could_be_sent_is_told_as_one_message(system: System) -> None:
    await system.only(Rule.HELD)
    system.webhook.script("/nrc", status(503))
    await system.hold()
    async with system.alerting():
        await eventually(lambda: system.webhook.received, within=WITHIN)
        await system.release()
        await eventually(lambda: _waits(system, "voorbij"), within=WITHIN)
        system.webhook.script("/nrc", status(204))
        refused = len(system.webhook.received)
        await eventually(lambda: _arrived(system, Channel.WEBHOOK), within=WITHIN)
    assert set(system.phases()[:refused]) <= {"begonnen", "voorbij"}
    assert system.phases()[refused:] == ["voorbij"]
    assert system.events()[-1]["data"]["tekst"].startswith("Dit is voorbij: De callback van")


async def _waits(system: System, phase: str) -> bool:
    waiting = await system.registry.alerts.waiting(Channel.WEBHOOK)
    return phase in [each.notice["phase"] for each in waiting]


async def test_a_webhook_that_answers_410_is_switched_off(system: System) -> None:
    await system.only(Rule.HELD)
    system.webhook.script("/nrc", status(410))
    await system.hold()
    async with system.alerting():
        await eventually(lambda: _is_off(system), within=WITHIN)
        await looks(system)
    assert len(system.webhook.received) == 1


async def _is_off(system: System) -> bool:
    webhook = (await system.registry.alerts.settings()).webhook
    return webhook is not None and not webhook.on


async def test_a_webhook_obeys_the_rules_for_callbacks(tmp_path: Path) -> None:
    async with system_in(tmp_path, callback_allow_loopback=False) as system:
        await system.only(Rule.HELD)
        await system.hold()
        async with system.alerting():
            why = await eventually(lambda: _failing(system), within=WITHIN)
        assert why.startswith("address_refused: 127.0.0.1 is refused by the rule loopback")
        assert system.webhook.received == []


async def test_it_works_while_everything_else_is_dead(system: System) -> None:
    await system.only(Rule.PARTS)
    async with system.alerting():
        await eventually(lambda: len(system.webhook.received) >= 4, within=WITHIN)
    codes = {each["data"]["code"] for each in system.events()}
    assert codes == {"gateway_away", "rabbitmq_away", "no_keeper", "no_deliverer"}


async def test_what_has_waited_for_long(system: System) -> None:
    await system.only(Rule.WAITS_LONG)
    long_ago = int(time.time() * 1000) - 7_200_000
    await system.ledger.write(
        [
            Entry(
                *(new_id(at=long_ago / 1000), long_ago, "bron", "zaken", "zaak", "create"),
                *("https://zaken.example.nl/1", "https://zaken.example.nl/1", {}, b"{}", 1),
                matched=(system.abonnement.uuid,),
            )
        ]
    )
    async with system.alerting():
        await eventually(lambda: system.webhook.received, within=WITHIN)
    (event,) = system.events()
    assert event["data"]["regel"] == "waits-long"
    assert "wacht een notificatie al 2 uur" in event["data"]["tekst"]


async def test_the_registry_itself_is_told_without_it(system: System) -> None:
    await system.only(Rule.PARTS)
    async with system.alerting():
        await eventually(lambda: len(system.webhook.received) >= 4, within=WITHIN)
        file = system.settings.registry_file
        away = file.rename(file.with_suffix(".away"))
        file.mkdir()  # else the next process would make an empty one
        found = await eventually(
            lambda: [each for each in system.events() if each["data"]["code"] == "registry_away"],
            within=WITHIN,
        )
        file.rmdir()
        away.rename(file)
    assert len(found) == 1
    assert found[0]["data"]["dringend"] is True


@asynccontextmanager
async def tls_server(certificate: Path) -> AsyncIterator[int]:
    """The port of a server with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        with suppress(OSError):  # whoever looks at a certificate is gone by now
            await writer.wait_closed()

    server = await asyncio.start_server(close, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_certificate_that_ends_soon_is_told_and_kept(system: System, certificate: Path) -> None:
    await system.only(Rule.CERTIFICATE)
    async with tls_server(certificate) as port:
        url = f"https://127.0.0.1:{port}/callback"
        uuid = system.abonnement.uuid
        await system.registry.change_abonnement(uuid, lambda now: replace(now, callback_url=url))
        async with system.alerting():
            await eventually(lambda: system.webhook.received, within=WITHIN)
    (event,) = system.events()
    assert event["subject"] == f"certificate:127.0.0.1:{port}"
    assert f"de callback van abonnement {uuid} van test, verloopt over 1 dag" in event["data"]["tekst"]
    assert event["data"]["abonnement"] == str(uuid)
    assert event["data"]["dringend"] is True
    (kept,) = await system.registry.alerts.certificates()
    assert (kept.host, kept.port, kept.fault) == ("127.0.0.1", port, "tls_error: self-signed certificate")
    assert kept.ends is not None
    assert 0 < kept.ends - time.time() < 2 * 86_400


async def test_a_certificate_that_is_trusted_has_no_fault(tmp_path: Path, certificate: Path) -> None:
    async with (
        system_in(tmp_path, callback_ca_file=Path(f"{certificate}.crt")) as system,
        tls_server(certificate) as port,
    ):
        await system.only(Rule.CERTIFICATE)
        url = f"https://127.0.0.1:{port}/callback"
        await system.registry.change_abonnement(
            system.abonnement.uuid, lambda now: replace(now, callback_url=url)
        )
        async with system.alerting():
            await eventually(lambda: system.webhook.received, within=WITHIN)
        (kept,) = await system.registry.alerts.certificates()
        assert kept.fault == ""


async def test_a_server_that_wants_a_client_certificate_is_looked_at_with_it(system: System) -> None:
    """The server's certificate is seen by its own authority, and the end of the client's is told."""
    servers, clients = Authority.new("Servers"), Authority.new("Clients")
    own = clients.issue("nrc", days=(-1, 20))
    asks = CallbackAuth.model_validate(
        {"clientCertificate": {"certificate": own.pem, "key": own.key_pem}, "ca": servers.pem}
    )
    await system.only(Rule.CLIENT_CERTIFICATE)
    with MtlsServer(servers.issue("server"), clients=clients, version=ssl.TLSVersion.TLSv1_2) as server:
        await system.registry.change_abonnement(
            system.abonnement.uuid, lambda now: replace(now, callback_url=server.url(), callback_auth=asks)
        )
        async with system.alerting():
            await eventually(lambda: system.webhook.received, within=WITHIN)

            async def looked() -> bool:
                return bool(await system.registry.alerts.certificates())

            await eventually(looked, within=WITHIN)
    (event,) = system.events()
    assert event["subject"].startswith("client_certificate:nrc (")
    assert event["data"]["regel"] == "client-certificate"
    assert "Het clientcertificaat nrc (" in event["data"]["tekst"]
    (kept,) = await system.registry.alerts.certificates()
    assert (kept.fault, kept.ends is not None) == ("", True)


async def test_mail_over_starttls_with_a_login(tmp_path: Path, certificate: Path) -> None:
    async with (
        system_in(tmp_path, callback_ca_file=Path(f"{certificate}.crt")) as system,
        mail_server(certificate=certificate, login=True) as mail,
    ):
        to = by_mail(mail, security=Security.STARTTLS, user=USER, secret=PASSWORD)
        await system.only(Rule.HELD, webhook=None, mail=to)
        await system.hold()
        async with system.alerting():
            await eventually(lambda: mail.got, within=WITHIN)
        assert mail.over_tls == [True]
        assert system.webhook.received == []


async def test_a_kill_and_a_start_of_the_real_process(system: System) -> None:
    await system.only(Rule.HELD)
    await system.hold()
    async with real_process(system) as first:
        await eventually(lambda: system.webhook.received, within=60)
        await eventually(lambda: _arrived(system, Channel.WEBHOOK), within=WITHIN)
        first.kill()
        await first.wait()
    # What a killed process leaves is its lease, which nobody waits for here.
    lease = await system.registry.alerts.lease()
    assert lease is not None
    await system.registry.alerts.release_lease(lease.holder)
    await system.release()
    async with real_process(system):
        await eventually(lambda: len(system.webhook.received) > 1, within=60)
    assert system.phases() == ["begonnen", "voorbij"]


@asynccontextmanager
async def real_process(system: System) -> AsyncIterator[asyncio.subprocess.Process]:
    """`nrc alerts` on this system."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("NRC_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "nrc", "alerts"),
        cwd=system.settings.state_dir,
        env={
            **own,
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "NRC_STATE_DIR": str(system.settings.state_dir),
            "NRC_AMQP_URL": "amqp://127.0.0.1:1/",
            "NRC_CALLBACK_ALLOW_LOOPBACK": "true",
        },
        stdin=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), 30)
