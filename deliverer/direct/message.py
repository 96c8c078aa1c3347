"""A delivery as the AMQP message that its consumer reads. Pure.

The body of a notificatie is the publisher's bytes. The headers are those of a request to a callback, without
its Authorization: `nrc-abonnement`, `nrc-attempt` and what else is sent along. `message_id` is the id of the
notificatie, by which a second delivery is recognised, as `webhook-id` is elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

from router import names
from router.publishing import Outgoing
from runtime.amqp.frames import JSON

if TYPE_CHECKING:
    from deliverer.attempting.settle import Delivery

_NOT_FOR_AMQP = frozenset({"authorization", "content-type", "webhook-id", "webhook-request-origin"})
_CE, _AMQP_CE = "ce-", "cloudEvents_"
"""Prefixes of an attribute of a CloudEvent, in the HTTP binding and in the AMQP binding."""


def message_of(delivery: Delivery, *, body: bytes, headers: Mapping[str, str]) -> Outgoing:
    """What would be POSTed with these headers, as a message; its timestamp is when it was accepted.

    A CloudEvent follows the AMQP binding: in structured mode the content type says so, in binary mode its
    attributes are the headers `cloudEvents_…`, and their values text as it is, not percent-encoded.
    """
    content_type = next((text for name, text in headers.items() if name.lower() == "content-type"), "")
    own = {name: text for name, text in headers.items() if name.lower() not in _NOT_FOR_AMQP}
    return Outgoing(
        exchange="",
        routing_key=names.amqp_queue(delivery.abonnement),
        body=body,
        message_id=delivery.notificatie,
        headers=dict(_amqp_header(name, text) for name, text in own.items()),
        timestamp=delivery.timestamp,
        content_type=content_type or JSON,
    )


def _amqp_header(name: str, text: str) -> tuple[str, str]:
    if name.lower().startswith(_CE):
        return _AMQP_CE + name[len(_CE) :].lower(), unquote(text)
    return name, text
