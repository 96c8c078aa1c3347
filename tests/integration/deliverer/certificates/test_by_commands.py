"""A client certificate by the command and by a setup file, used by a running deliverer, and told."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from ledger.ledger import Ledger
from ledger.values import Key, State
from schemas.application import Application, Scope
from tests.command import nrc_process
from tests.eventually import eventually
from tests.integration.deliverer.delivering import Delivering
from tests.integration.deliverer.test_outcomes import accept, state_of
from tests.tls.certificates import Authority, pem_of
from tests.tls.server import MtlsServer

SERVERS, CLIENTS = Authority.new("Servers"), Authority.new("Clients")
FIRST, SECOND = CLIENTS.issue("first", days=(-1, 10)), CLIENTS.issue("second")
STRANGE = Authority.new("Strange").issue("strange")


@pytest.mark.usefixtures("broker")
async def test_a_delivery_by_a_client_certificate(spine: Delivering, ledger: Ledger, tmp_path: Path) -> None:
    """Set, refused, given by a setup file, used for a delivery, replaced, and told without its key."""
    settings = spine.router.settings
    folder = settings.state_dir
    env = {
        "NRC_AMQP_URL": settings.amqp_url[0],
        "NRC_STATE_DIR": str(folder),
        "NRC_CALLBACK_ALLOW_LOOPBACK": "true",
    }
    for name, text in {
        "ca.pem": SERVERS.pem,
        "both.pem": FIRST.pem + FIRST.key_pem,
        "second.pem": SECOND.pem,
        "second.key": pem_of(SECOND.key, password="hidden-password"),
        "strange.pem": STRANGE.pem + STRANGE.key_pem,
    }.items():
        (tmp_path / name).write_text(text)
    how = BestAvailableEncryption(b"hidden-password")
    (tmp_path / "second.p12").write_bytes(
        serialize_key_and_certificates(b"nrc", SECOND.key, SECOND.certificate, None, how)
    )

    with MtlsServer(SERVERS.issue("server"), clients=CLIENTS) as server:
        abonnement = await spine.subscribe(url=server.url())
        await spine.router.registry.add_application(
            Application(abonnement.client_id, "s" * 32, "", frozenset({Scope.CONSUMEREN}))
        )
        uuid = str(abonnement.uuid)

        async def nrc(*arguments: str, stdin: bytes = b"") -> tuple[int, str]:
            ran = await nrc_process(folder, *arguments, env=env, stdin=stdin)
            assert "hidden" not in ran.out + ran.err
            assert "PRIVATE" not in ran.out
            return ran.code, ran.out + ran.err

        async def certificate(file: str, *more: str, stdin: bytes = b"") -> tuple[int, str]:
            asked = ("callback-auth", "certificate", uuid, str(tmp_path / file), *more)
            return await nrc(*asked, stdin=stdin)

        ca = ("--ca", str(tmp_path / "ca.pem"))
        code, told = await certificate("second.pem")
        assert (code, "has no private key in PEM" in told) == (2, True), told
        code, told = await certificate("both.pem")
        assert (code, "niet van een CA die hier vertrouwd wordt" in told) == (1, True), told
        code, told = await certificate("strange.pem", *ca)
        assert (code, "hij kent de CA ervan niet" in told) == (1, True), told
        code, told = await certificate("second.pem", "--key", str(tmp_path / "second.key"), *ca)
        assert (code, "keyPassword" in told) == (2, True), told
        assert await certificate("both.pem", *ca) == (0, f"{uuid} clientCertificate, ca\n")
        _, told = await nrc("callback-auth", "show", uuid)
        assert f"clientCertificate: subject CN=first, issuer CN=Clients, serialNumber {FIRST.serial}" in told
        assert "ca: subject CN=Servers" in told
        _, told = await nrc("status")
        assert "The client certificate first (" in told
        assert f"nrc callback-auth certificate {uuid[:8]}" in told

        async with spine.deliverer(retry_schedule="1,1,1,1,1,1,1,1,1"):

            async def delivered(id_: str) -> None:
                async def is_delivered() -> bool:
                    return await state_of(ledger, id_, abonnement) is State.DELIVERED

                await eventually(is_delivered, within=60)

            await delivered(await accept(spine, ledger, abonnement))
            assert (server.seen[-1].serial, server.seen[-1].headers["authorization"]) == (
                FIRST.serial,
                "Token test",
            )

            # Another one, by a setup file and by PKCS #12, which are the same.
            text = f"""\
abonnementen:
  - uuid: {uuid}
    clientId: {abonnement.client_id}
    callbackUrl: {server.url()}
    callbackAuth:
      clientCertificate:
        certificate: {{value_from: {{file: second.pem}}}}
        key: {{value_from: {{file: second.key}}}}
        keyPassword: hidden-password
      ca: {{value_from: {{file: ca.pem}}}}
    kanalen: [{{naam: {spine.kanaal.naam}}}]
"""
            setup = tmp_path / "setup.yaml"
            setup.write_text(text)
            code, told = await nrc("apply", str(setup))
            assert (code, "callbackAuth" in told) == (0, True), told
            password = b"hidden-password\n"
            code, told = await certificate("second.p12", "--key-password", "-", stdin=password)
            assert code == 0, told
            code, told = await nrc("apply", str(setup))
            assert (code, "1 unchanged" in told) == (0, True), told
            await delivered(await accept(spine, ledger, abonnement))
            assert server.seen[-1].serial == SECOND.serial

            # A server that wants another one: told in Dutch, kept, and delivered when that is set.
            with MtlsServer(SERVERS.issue("server"), clients=Authority.new("Others")) as other:
                await spine.change(abonnement, callback_url=other.url())
                id_ = await accept(spine, ledger, abonnement)

                async def refused() -> bool:
                    return bool(await ledger.attempts(Key(UUID(id_), abonnement.uuid)))

                await eventually(refused, within=60)
            (first, *_) = await ledger.attempts(Key(UUID(id_), abonnement.uuid))
            assert (first.kind, first.detail) == ("client_certificate_refused", "alert: unknown ca")
            _, told = await nrc("explain", id_, "--abonnement", uuid)
            assert "de callback neemt het clientcertificaat niet aan" in told
            await spine.change(abonnement, callback_url=server.url())
            await delivered(id_)
        _, told = await nrc("status")
        assert "client certificate" not in told
        code, told = await nrc("callback-auth", "remove", uuid, "clientCertificate")
        assert (code, "vraagt om een clientcertificaat" in told) == (1, True), told
