"""POSTs messages as CloudEvents, by the deliverer's client: to the addresses that a callback may have.

So a user of the console who may set the webhook cannot have requests made to what the settings close off.
"""

from __future__ import annotations

from datetime import UTC, datetime

from alerting.channels.faults import NotSent
from alerting.notices import Notice, cloud_event
from deliverer.attempting.decide import asked_wait
from deliverer.http.client import CallbackClient, Failure, FailureClass
from schemas.alert import Webhook

MEDIA_TYPE = "application/cloudevents+json; charset=utf-8"
GONE = 410


async def post(
    client: CallbackClient, webhook: Webhook, notice: Notice, *, source: str, timeout: float
) -> None:
    """Return when the receiver has it (a 2xx). timeout: seconds. Raises NotSent."""
    headers = {"Content-Type": MEDIA_TYPE}
    if webhook.secret:
        headers["Authorization"] = webhook.secret
    body = cloud_event(notice, source=source)
    answer = await client.post(webhook.url, body=body, headers=headers, timeout=timeout)
    if isinstance(answer, Failure):
        raise NotSent(answer.in_words)
    if not 200 <= answer.status < 300:
        raise NotSent(
            f"{FailureClass.HTTP_STATUS}: answered {answer.status}",
            retry_after=asked_wait(answer, now=datetime.now(UTC)),
            stop=answer.status == GONE,
        )
