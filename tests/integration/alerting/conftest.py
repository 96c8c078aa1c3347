"""A registry and a ledger with an abonnement, and what sends alerts about them: no RabbitMQ is needed."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from alerting.service import Limits, serve
from ledger.ledger import Ledger
from ledger.opening import ledger_of
from runtime.settings import Settings
from schemas.abonnement import Abonnement, Hold
from schemas.alert import BEFORE_ITS_END, DEFAULTS, AlertSettings, Mail, Rule, RuleSetting, Security, Webhook
from store.opening import open_registry
from store.registry import Registry
from tests.callback_server import CallbackServer
from tests.integration.alerting.mail_server import MailServer
from tests.integration.conftest import running, settings_for
from tests.make import a_kanaal, an_abonnement

AUTHORIZATION = "Bearer van de webhook"
FAST = Limits(every=0.1, lease=5.0, renewal=0.1, first_pause=0.2, registry_away=0.3)


@dataclass
class System:
    """What is warned about. Its settings have no RabbitMQ that could be reached."""

    settings: Settings
    registry: Registry
    ledger: Ledger
    webhook: CallbackServer
    abonnement: Abonnement

    @asynccontextmanager
    async def alerting(self, **more: Any) -> AsyncIterator[None]:
        """A process that sends alerts, in this one."""
        settings = self.settings.model_copy(update=more)
        async with running(serve, settings, limits=FAST):
            yield

    async def set(self, **changes: Any) -> AlertSettings:
        return await self.registry.alerts.change_settings(lambda now: replace(now, **changes))

    async def only(self, *rules: Rule, **changes: Any) -> None:
        """Warn at once by these rules, by the webhook and by nothing else."""
        wanted = {rule: replace(DEFAULTS[rule], on=rule in rules) for rule in Rule}
        for rule in {*rules} - BEFORE_ITS_END:
            wanted[rule] = RuleSetting(after=0)
        webhook = Webhook(self.webhook.url("/nrc"), AUTHORIZATION)
        await self.set(**{"rules": wanted, "webhook": webhook, **changes})

    async def hold(self) -> None:
        hold = Hold(time.time() - 7200, 3, time.time() + 60)
        held = await self.registry.set_hold(
            self.abonnement.uuid,
            hold,
            "timeout: no answer within 10 s",
            before=None,
            callback_url=self.abonnement.callback_url,
        )
        assert held is not None
        self.abonnement = held

    async def release(self) -> None:
        await self.registry.set_hold(
            self.abonnement.uuid,
            None,
            "",
            before=self.abonnement.hold,
            callback_url=self.abonnement.callback_url,
        )

    def events(self) -> list[dict[str, Any]]:
        """What the webhook got."""
        return [json.loads(each.body) for each in self.webhook.received]

    def phases(self) -> list[str]:
        return [each["data"]["fase"] for each in self.events()]


def by_mail(server: MailServer, **changes: Any) -> Mail:
    """A destination: this server."""
    mail = Mail("127.0.0.1", server.port, Security.NONE, "nrc@example.nl", ("beheer@example.nl",))
    return replace(mail, **changes)


@asynccontextmanager
async def system_in(folder: Path, **settings: Any) -> AsyncIterator[System]:
    own = settings_for("amqp://127.0.0.1:1/", folder, **settings)
    async with (
        open_registry(own.registry_file) as registry,
        ledger_of(own) as ledger,
        CallbackServer() as webhook,
    ):
        await registry.add_kanaal(a_kanaal("zaken"))
        made = an_abonnement(("zaken", {}), callback="https://127.0.0.1:9/callback")
        yield System(own, registry, ledger, webhook, await registry.add_abonnement(made))


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    async with system_in(tmp_path, console_public_url="https://beheer.example.nl") as made:
        yield made
