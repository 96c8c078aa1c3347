"""An undeliverable notificatie as a row of a table, and as JSON."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson

from nrc.cli.terminal import ids
from nrc.cli.terminal.output import printable
from router.history import UNDELIVERABLE_AT, FailedAttempt, read_history
from router.undeliverable import Undeliverable


def row_of(item: Undeliverable, *, wide: bool) -> list[object]:
    """Its cells in the list."""
    history = read_history(item.headers)
    last = in_words(history.failures[-1]) if history.failures else ""
    at = since(item) or ""
    return [
        item.message_id if wide else ids.short(item.message_id),
        (item.abonnement if wide else ids.short(item.abonnement)) if item.abonnement else "unknown",
        body_of(item).get("kanaal", ""),
        history.attempts,
        last if wide else last[:60],
        at if wide else _to_the_second(at),
    ]


def key_facts(item: Undeliverable) -> dict[str, object]:
    """Which one it is."""
    return {"id": item.message_id, "abonnement": str(item.abonnement) if item.abonnement else None}


def facts_of(item: Undeliverable) -> dict[str, object]:
    """What there is to say of it, with each attempt that failed."""
    history = read_history(item.headers)
    return {
        **key_facts(item),
        "kanaal": body_of(item).get("kanaal"),
        "acceptedAt": moment_of(item.accepted_at) if item.accepted_at else None,
        "undeliverableAt": since(item),
        "attempts": history.attempts,
        "failures": [
            {
                "at": moment_of(failure.at),
                "class": failure.kind,
                "status": failure.status,
                "detail": failure.detail,
            }
            for failure in history.failures
        ],
    }


def body_of(item: Undeliverable) -> dict[str, Any]:
    """The notificatie; {} when it can't be read."""
    with suppress(orjson.JSONDecodeError):
        value = orjson.loads(item.body)
        if isinstance(value, dict):
            return value
    return {}


def since(item: Undeliverable) -> str | None:
    """Since when it is undeliverable."""
    if isinstance(value := item.headers.get(UNDELIVERABLE_AT), str):
        return value
    # Out of a wait queue, when the queue of its abonnement was gone: RabbitMQ notes when.
    deaths = item.headers.get("x-death")
    found = (
        (each.get("time") for each in deaths if isinstance(each, dict)) if isinstance(deaths, list) else ()
    )
    times = [moment_of(each) for each in found if isinstance(each, datetime)]
    return max(times, default=None)


def _to_the_second(text: str) -> str:
    with suppress(ValueError):
        return moment_of(datetime.fromisoformat(text))
    return text


def moment_of(moment: datetime) -> str:
    """RFC 3339 in UTC, to the second."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def in_words(failure: FailedAttempt) -> str:
    """Why an attempt failed, in a line."""
    status = f" {failure.status}" if failure.status is not None else ""
    detail = f": {failure.detail}" if failure.detail else ""
    return printable(f"{failure.kind}{status}{detail}")
