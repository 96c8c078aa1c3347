"""Notificaties and their deliveries as JSON, for scripts. Moments are RFC 3339 in UTC, to the millisecond."""

from __future__ import annotations

from ledger.explaining import Clock
from ledger.values import Attempt, Delivery, Notificatie
from nrc.cli.tracing.account import Told


def facts_of(notificatie: Notificatie) -> dict[str, object]:
    """A notificatie."""
    return {
        "id": str(notificatie.id),
        "received": Clock.utc(notificatie.received),
        "clientId": notificatie.client,
        "kanaal": notificatie.kanaal,
        "resource": notificatie.resource,
        "actie": notificatie.actie,
        "size": notificatie.size,
        "unrouted": notificatie.unrouted,
    }


def facts_of_told(told: Told) -> dict[str, object]:
    """One delivery: its state, its failed attempts, and its explanation."""
    facts: dict[str, object] = {"abonnement": str(told.abonnement), "clientId": told.client or None}
    if (delivery := told.delivery) is not None:
        facts |= facts_of_delivery(delivery)
    facts["failures"] = [facts_of_attempt(each) for each in told.attempts]
    return facts | {"explanation": told.explanation.facts()}


def facts_of_delivery(delivery: Delivery) -> dict[str, object]:
    """What became of it, and what the callback answered."""
    return {
        "state": delivery.state.value,
        "replay": delivery.key.replay,
        "round": delivery.round,
        "attempts": delivery.attempts,
        "at": Clock.utc(delivery.last_at),
        "nextAt": Clock.utc(delivery.next_at),
        "status": delivery.status,
        "ms": delivery.ms,
    }


def facts_of_attempt(attempt: Attempt) -> dict[str, object]:
    """An attempt that failed, or why there was none."""
    return {
        "attempt": attempt.number,
        "at": Clock.utc(attempt.at),
        "class": attempt.kind,
        "status": attempt.status,
        "ms": attempt.ms,
        "detail": attempt.detail,
    }
