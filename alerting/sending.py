"""Sends what waits, by each channel apart, with back-off: what one cannot send keeps nothing else waiting.

A message counts as sent when its receiver has it. A process that stops completes what it is sending; one that
was sent by a process that died before it could note so is sent once more, with the same id.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from alerting.channels import mail, webhook
from alerting.channels.faults import NotSent
from alerting.lease import Lease
from alerting.notices import Notice
from deliverer.http.client import CallbackClient
from runtime.log import logger
from runtime.settings import Settings
from schemas.alert import AlertSettings, Channel
from schemas.errors import AlertsLeaseLost, RegistryError
from store.alerts import Alerts, Waiting

FIRST_PAUSE, LONGEST_PAUSE = 10.0, 900.0  # seconds
TOO_OLD = 24 * 3600.0  # seconds after which a message is not sent any more
EVERY = 5.0  # seconds between two looks at what waits, where nothing wakes it
FINISH = 5.0  # seconds in which a process that stops completes what it is sending

log = logger(__name__)


def pause_after(failures: int) -> float:
    """Seconds until the next try after so many failures in a row. Pure."""
    return min(FIRST_PAUSE * 2.0 ** min(failures - 1, 20), LONGEST_PAUSE)


class Delivery:
    """Sends messages by a channel, whoever asks: the process, or an operator's test."""

    def __init__(self, settings: Settings, client: CallbackClient) -> None:
        self._settings = settings
        self._client = client

    async def by_webhook(self, of: AlertSettings, notice: Notice) -> None:
        """Raises NotSent."""
        assert of.webhook is not None  # noqa: S101 - the channel is set
        timeout = self._settings.callback_timeout
        await webhook.post(self._client, of.webhook, notice, source=of.source, timeout=timeout)

    async def by_mail(self, of: AlertSettings, notices: Sequence[Notice]) -> None:
        """Raises NotSent."""
        assert of.mail is not None  # noqa: S101 - the channel is set
        await mail.send(self._settings, of.mail, notices, now=time.time())

    async def by(self, channel: Channel, of: AlertSettings, notice: Notice) -> None:
        """One message by this channel. Raises NotSent."""
        if channel is Channel.WEBHOOK:
            await self.by_webhook(of, notice)
        else:
            await self.by_mail(of, [notice])


class Sender:
    """Sends what waits in the store, as long as this process has the lease."""

    def __init__(
        self, alerts: Alerts, lease: Lease, delivery: Delivery, *, first_pause: float = FIRST_PAUSE
    ) -> None:
        self._alerts = alerts
        self._lease = lease
        self._delivery = delivery
        self._scale = first_pause / FIRST_PAUSE
        self.counts = Counter(
            {(each.value, outcome): 0 for each in Channel for outcome in ("sent", "failed")}
        )
        """Tries by (channel, `sent` or `failed`)."""
        self._woken = {channel: asyncio.Event() for channel in Channel}
        self._stopping = False
        self._sending = {channel: asyncio.Lock() for channel in Channel}

    def wake(self) -> None:
        """There may be something new to send."""
        for event in self._woken.values():
            event.set()

    async def stop(self) -> None:
        """Begin no message any more, and complete those that are being sent, within FINISH seconds."""
        self._stopping = True
        with suppress(TimeoutError):
            async with asyncio.timeout(FINISH):
                for sending in self._sending.values():
                    await sending.acquire()

    async def run(self, channel: Channel) -> None:
        """Send by this channel until cancelled."""
        woken = self._woken[channel]
        while True:
            woken.clear()
            try:
                await self.look(channel)
            except AlertsLeaseLost:
                pass  # another process sends
            except RegistryError as error:
                log.warning(
                    "what waits to be sent could not be read", channel=channel.value, reason=str(error)
                )
            except Exception:  # the outermost loop of a channel; the other one goes on
                log.exception("fault")
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), EVERY * self._scale)

    async def look(self, channel: Channel) -> None:
        """Send what waits and is due. Raises RegistryError."""
        if self._stopping or not self._lease.held:
            return
        now, alerts = time.time(), self._alerts
        sending = (await alerts.sending())[channel]
        if not sending.waiting or sending.next_try > now:
            return
        of = await alerts.settings()
        on = channel in of.channels
        if dropped := await alerts.drop(self._lease.holder, channel, before=now - TOO_OLD if on else now + 1):
            log.warning("alerts were not sent and are dropped", channel=channel.value, count=dropped, on=on)
        waiting = await alerts.waiting(channel)
        try:
            if channel is Channel.WEBHOOK:
                for each in waiting:
                    await self._send(of, channel, [each])
            elif waiting:
                await self._send(of, channel, waiting)
        except NotSent as error:
            await self._failed(channel, error, failures=sending.failures + 1)

    async def _send(self, of: AlertSettings, channel: Channel, messages: Sequence[Waiting]) -> None:
        notices = [Notice.of(each.notice) for each in messages]
        async with self._sending[channel]:
            if not self._lease.held:
                raise AlertsLeaseLost("the lease ran out while this process hung")
            if channel is Channel.WEBHOOK:
                await self._delivery.by_webhook(of, notices[0])
            else:
                await self._delivery.by_mail(of, notices)
            await self._alerts.sent(self._lease.holder, messages, at=time.time())
        self.counts[channel.value, "sent"] += 1
        for each in notices:
            log.info("alert sent", channel=channel.value, subject=each.subject, phase=each.phase.value)

    async def _failed(self, channel: Channel, error: NotSent, *, failures: int) -> None:
        now = time.time()
        self.counts[channel.value, "failed"] += 1
        pause = max(pause_after(failures) * self._scale, error.retry_after or 0.0)
        await self._alerts.failed(self._lease.holder, channel, error=str(error), at=now, next_try=now + pause)
        log.warning(
            "alerts cannot be sent",
            channel=channel.value,
            reason=str(error),
            failures=failures,
            again_in_s=pause,
        )
        if error.stop:
            await self._alerts.change_settings(_without_webhook)
            log.error("the webhook of the alerts answered 410, and is switched off")


def _without_webhook(settings: AlertSettings) -> AlertSettings:
    if settings.webhook is None:
        return settings
    return replace(settings, webhook=replace(settings.webhook, on=False))
