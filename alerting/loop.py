"""Look after look at what needs attention, by the one process that has the lease; and what is said of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic

from alerting.certificates import Looking, due, own_of, servers_of
from alerting.channels.faults import NotSent
from alerting.judging import judge
from alerting.lease import Lease
from alerting.notices import Notice, Phase
from alerting.rules import Found, found_in, rule_of, subject_of
from alerting.sending import Delivery, Sender
from ledger.explaining.dutch import Clock
from ledger.ids import new_id
from operating.status.asking import Sources, ask_all
from operating.status.attention import Code, Concern, unknown
from operating.status.dutch import told_of
from operating.status.next_command import next_command
from runtime.log import logger
from schemas.alert import AlertSettings
from schemas.errors import AlertsLeaseLost, RegistryError
from store.alerts import Alert

EVERY = 10.0
"""Seconds between two looks. A gap is open for longer than that, so none is missed."""
CERTIFICATES = 60.0
"""Seconds between two looks for certificates that are due."""
REGISTRY_AWAY = 60.0
"""Seconds without the registry after which that is told, without it."""

log = logger(__name__)


class AlertLoop:
    """What one process does. Limits are in seconds; tests lower them."""

    def __init__(
        self,
        sources: Sources,
        lease: Lease,
        delivery: Delivery,
        sender: Sender,
        *,
        every: float = EVERY,
        registry_away: float = REGISTRY_AWAY,
    ) -> None:
        self._sources = sources
        self._alerts = sources.registry.alerts
        self._lease = lease
        self._delivery = delivery
        self._sender = sender
        self._every = every
        self._registry_away = registry_away
        self._settings: AlertSettings | None = None
        self._failing_since: float | None = None  # monotonic
        self._fault = ""
        self._outage: Alert | None = None

    def not_ready(self) -> list[str]:
        """Why this process does not work, a line each."""
        return [f"registry: {self._fault}"] if self._fault else []

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
                self._failing_since, self._fault = None, ""
            except AlertsLeaseLost:
                pass  # another process sends
            except RegistryError as error:
                log.warning("cannot look at what needs attention", reason=str(error))
                await self._without_registry(str(error))
            except Exception:  # the outermost loop
                log.exception("fault")
            await asyncio.sleep(self._every)

    async def look(self) -> None:
        """Look once, where this process has the lease. Raises RegistryError."""
        sources, alerts = self._sources, self._alerts
        if not self._lease.held:
            await self._alerts.lease()  # whether the registry can be read is told in any case
            return
        await sources.catalogue.refresh()
        settings = await alerts.settings()
        now = time.time()
        status = await ask_all(sources, now=now, each=True)
        known = await self._known()
        changes = judge(
            found_in(status, settings),
            known,
            settings,
            now=now,
            unknown=unknown(status),
            noticing=self._noticing,
            new_id=_id,
        )
        await alerts.note(self._lease.holder, put=changes.put, gone=changes.gone, messages=changes.messages)
        self._settings, self._outage = settings, None
        if changes.messages:
            self._sender.wake()

    async def run_certificates(self, looking: Looking) -> None:
        """Look at certificates that are due, until cancelled."""
        while True:
            if self._lease.held:
                try:
                    await self.look_at_certificates(looking)
                except RegistryError as error:
                    log.warning("the certificates of callbacks could not be noted", reason=str(error))
                except Exception:  # the outermost loop
                    log.exception("fault")
            await asyncio.sleep(CERTIFICATES * self._every / EVERY)

    async def look_at_certificates(self, looking: Looking) -> None:
        """Look once. Raises RegistryError."""
        every = [*self._sources.catalogue.every_abonnement()]
        servers = servers_of(every)
        now, known = time.time(), await self._alerts.certificates()
        found = await looking.look(due(servers, known, now=now), now=now, own=own_of(every))
        if found or any((each.host, each.port) not in servers for each in known):
            await self._alerts.note_certificates(found, keep=servers)
        if found:
            log.info("looked at certificates", count=len(found), without=sum(not each.ends for each in found))

    async def _known(self) -> Sequence[Alert]:
        known = await self._alerts.every()
        if (outage := self._outage) is not None:
            # Said without the registry, which could not note it.
            return [*(each for each in known if each.subject != outage.subject), outage]
        return known

    def _noticing(self, found: Found, phase: Phase, since: float) -> Notice:
        return notice_of(
            found.concern, phase, since=since, now=time.time(), root=self._sources.settings.console_public_url
        )

    async def _without_registry(self, fault: str) -> None:
        """Tell that the registry is away, once, by what is known of where messages go.

        By the process that had the lease: no other can have taken it from this registry.
        """
        now = monotonic()
        self._failing_since, self._fault = self._failing_since or now, fault
        settings, lasts = self._settings, now - self._failing_since
        if settings is None or self._outage is not None or not self._lease.was_held:
            return
        if lasts < self._registry_away:
            return
        at = time.time()
        concern = Concern(Code.REGISTRY_AWAY, urgent=True, said=fault)
        notice = replace(self._noticing(_found(concern, at - lasts), Phase.BEGAN, at - lasts), at=at)
        self._outage = Alert(
            *(notice.subject, rule_of(concern), concern.code.value, at - lasts),
            told=True,
            told_at=at,
            notice=notice.facts(),
        )
        for channel in settings.channels:
            try:
                await self._delivery.by(channel, settings, notice)
            except NotSent as error:
                log.warning(
                    "alerts cannot be sent",
                    channel=channel.value,
                    reason=str(error),
                    failures=1,
                    again_in_s=0.0,
                )


def _found(concern: Concern, since: float) -> Found:
    return Found(subject_of(concern), rule_of(concern), concern, since, 0.0)


def notice_of(concern: Concern, phase: Phase, *, since: float, now: float, root: str) -> Notice:
    """What is said of a concern. root: of the console; "" when it is not known. Moments are Unix seconds."""
    told = told_of(concern, Clock(round(now * 1000)))
    page = f"abonnementen/{told.abonnement}/" if told.abonnement else ""
    return Notice(
        id=_id(),
        phase=phase,
        rule=rule_of(concern).value,
        code=concern.code.value,
        subject=subject_of(concern),
        at=now,
        since=since,
        text=told.text,
        then=told.then,
        command=next_command(concern, private=False),
        link=f"{root}/console/{page}" if root else "",
        abonnement=told.abonnement,
        application=told.application,
        urgent=told.urgent,
        technical=told.technical,
    )


def _id() -> str:
    return str(new_id())
