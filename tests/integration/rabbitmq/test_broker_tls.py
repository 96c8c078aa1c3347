"""amqps:// to a real RabbitMQ with a certificate of the authority in NRC_AMQP_CA_FILE."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from yarl import URL

from ledger.losses import LedgerLosses
from nrc.rabbitmq.private_node import free_port
from router.declaring.service import serve
from runtime.amqp import connect
from runtime.settings import load_settings
from schemas.errors import BrokerUnavailable
from tests.broker import Broker
from tests.integration.conftest import running


@pytest.fixture
async def tls_url(broker: Broker, vhost: str, certificate: Path) -> AsyncIterator[str]:
    """The virtual host by TLS: a listener of this test's own on the broker of the session."""
    if broker.private is None:
        pytest.skip("only on a private node can a test open a listener")
    port = free_port()
    await broker.eval(
        f"""{{ok, _}} = application:ensure_all_started(ssl),
        ok = rabbit_networking:start_ssl_listener({{"127.0.0.1", {port}}},
            [{{certfile, "{certificate}.crt"}}, {{keyfile, "{certificate}"}}], 1)."""
    )
    yield str(URL(vhost).with_scheme("amqps").with_port(port))
    await broker.eval(f'rabbit_networking:stop_tcp_listener({{"127.0.0.1", {port}}}).')


async def test_a_certificate_that_nobody_vouches_for_is_refused(tls_url: str) -> None:
    settings = load_settings(_env_file=None, amqp_url=tls_url)
    with pytest.raises(BrokerUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        await connect(settings.amqp_url[0], name="test")


async def test_a_process_works_over_tls(tls_url: str, certificate: Path, tmp_path: Path) -> None:
    settings = load_settings(
        _env_file=None, amqp_url=tls_url, amqp_ca_file=certificate, state_dir=tmp_path, retry_schedule="1"
    )
    connection = await connect(settings.amqp_url[0], name="test")
    await connection.close()
    async with running(serve, settings, losses_of=LedgerLosses):
        pass
