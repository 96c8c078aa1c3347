"""What the pages of notificaties share: states in words, timelines, ledger and registry put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from console.page import Visit
from ledger.explaining import Code
from ledger.explaining.account import Told
from ledger.explaining.dutch import failure, meaning_of, milliseconds, particulars
from ledger.ledger import Ledger
from ledger.values import (
    CONSOLIDATED,
    DELIVERED_ALL_THE_SAME,
    ORIGINAL,
    REASONS,
    TAKEN_AS_DELIVERED,
    Attempt,
    Delivery,
    Notificatie,
    State,
)
from operating.notificaties.finding import Account
from schemas.abonnement import Abonnement
from schemas.errors import NotFound, ParseError
from schemas.events.event import fields_of
from schemas.notificatie import read_accepted

STATES: Mapping[State, tuple[str, str]] = {
    State.DELIVERED: ("safe", "afgeleverd"),
    State.PENDING: ("neutral", "in de wachtrij"),
    State.RETURNING: ("warning", "gaat opnieuw naar de wachtrij"),
    State.RETRYING: ("warning", "wacht op nieuwe poging"),
    State.UNSURE: ("warning", "onzeker"),
    State.STUCK: ("danger", "vastgelopen"),
    State.UNDELIVERABLE: ("danger", "onbestelbaar"),
    State.NOT_WANTED: ("neutral", "niet meer nodig"),
    State.REMOVED: ("neutral", "geschrapt"),
}
"""How the state of a delivery is told: the kind of its badge, and its text."""

MOST_ATTEMPTS = 50  # of a timeline, the last
READ_WHOLE = 32 * 1024  # bytes of a body that is read for its hoofdObject alone

_NOTES = {
    TAKEN_AS_DELIVERED: "Als afgeleverd aangemerkt",
    DELIVERED_ALL_THE_SAME: "Toch afgeleverd",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A notificatie in a list. object: the end of its hoofdObject; "" when that is not known.

    states: (kind of badge, text with its count) of its deliveries.
    """

    notificatie: Notificatie
    at: float
    object: str
    states: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a timeline. kind: good, bad, note or next. at: Unix seconds; None of what is not known."""

    kind: str
    at: float | None
    title: str
    text: str = ""
    detail: str = ""


def badge_of(told: Told) -> tuple[str, str]:
    """How the state of one delivery is told."""
    if told.delivery is None:
        return "neutral", "geen aflevering"
    if told.explanation.code == Code.WAITS_FOR_EARLIER:
        return "neutral", "wacht op een eerdere"
    return STATES[told.delivery.state]


def callback_of(abonnement: Abonnement) -> str:
    """Where it goes, for people."""
    return abonnement.callback_url or "haalt zelf op"


def account_of(visit: Visit, ledger: Ledger) -> Account:
    """What is known now."""
    console = visit.console
    return Account(
        ledger,
        console.registry,
        console.catalogue,
        most_attempts=1 + len(console.settings.retry_schedule),
        now=round(visit.now * 1000),
    )


async def notificatie_of(visit: Visit, ledger: Ledger) -> Notificatie:
    """The one that the address names, with its body. Raises NotFound."""
    try:
        found = await ledger.notificatie(UUID(visit.request.match_info["id"]))
    except ValueError:
        found = None
    if found is None:
        raise NotFound("Deze notificatie staat niet (meer) in het grootboek.")
    return found


async def rows_of(
    ledger: Ledger, notificaties: Sequence[Notificatie], *, only: UUID | None = None
) -> list[Row]:
    """These as rows. only: the abonnement whose deliveries count; None: all."""
    deliveries = await ledger.deliveries([each.id for each in notificaties])
    return [
        Row(
            each,
            each.received / 1000,
            await _object_of(ledger, each),
            counted(row for row in deliveries[each.id] if only in (None, row.key.abonnement)),
        )
        for each in notificaties
    ]


def counted(deliveries: Iterable[Delivery]) -> list[tuple[str, str]]:
    """How many are in which state, as badges."""
    counts = Counter(each.state for each in deliveries)
    return [(kind, f"{counts[state]} {text}") for state, (kind, text) in STATES.items() if state in counts]


async def _object_of(ledger: Ledger, notificatie: Notificatie) -> str:
    if notificatie.size > READ_WHOLE:
        return ""
    whole = await ledger.notificatie(notificatie.id)
    content = content_of(whole.body if whole is not None else None)
    return end_of(content)


def end_of(content: Mapping[str, object]) -> str:
    """The end of the hoofdObject of a body, by which people know a zaak; "" when it is not known."""
    return str(content.get("hoofdObject", "")).rstrip("/").rpartition("/")[2]


def name_of(notificatie: Notificatie) -> str:
    """A notificatie in a heading: of which object, where its body is kept, and what happened."""
    parts = (notificatie.kanaal, notificatie.resource, notificatie.actie)
    told, object_ = " · ".join(filter(None, parts)), end_of(content_of(notificatie.body))
    return f"{object_}: {told}" if object_ else told


def content_of(body: bytes | None) -> Mapping[str, object]:
    """The fields of a body; none when it is not kept, or cannot be read."""
    if body is None:
        return {}
    try:
        content = read_accepted(body)
    except ParseError:
        return {}
    return fields_of(content) if isinstance(content, dict) else {}


def timeline(told: Told, notificatie: Notificatie, *, now: int, probe: float | None) -> list[Step]:
    """What happened to a delivery, the oldest first, and what is next. probe: the next of its callback."""
    delivery = told.delivery
    if delivery is None:
        return []
    steps = []
    if delivery.key.replay == ORIGINAL:
        steps.append(Step("note", notificatie.received / 1000, "Aangenomen", f"van {notificatie.client}"))
    if (hidden := len(told.attempts) - MOST_ATTEMPTS) > 0:
        steps.append(Step("note", None, f"{hidden} eerdere pogingen en proeven"))
    steps += [_failed(each) for each in told.attempts[-MOST_ATTEMPTS:]]
    if delivery.state is State.DELIVERED and not any(each.kind in _NOTES for each in told.attempts):
        steps.append(_delivered(delivery))
    if delivery.state is State.REMOVED:
        steps.append(Step("note", delivery.last_at / 1000, "Geschrapt door de beheerder"))
    if probe is not None and delivery.is_open:
        steps.append(Step("next", max(probe, now / 1000), "Volgende proef van de callback"))
    elif delivery.state is State.RETRYING:
        due = max(delivery.next_at or now, now)
        steps.append(Step("next", due / 1000, f"Poging {delivery.attempts + 1}"))
    return steps


def _failed(attempt: Attempt) -> Step:
    took = f", {milliseconds(attempt.ms)}" if attempt.ms is not None else ""
    at = attempt.at / 1000
    if attempt.kind in _NOTES:
        return Step("good", at, _NOTES[attempt.kind], took.removeprefix(", "), attempt.detail)
    if attempt.kind == CONSOLIDATED:
        return Step("note", at, "Samengevoegd", f"met de nieuwere notificatie {attempt.detail}")
    if attempt.kind in REASONS:
        return Step("bad", at, "Onbestelbaar", "", particulars(attempt.kind, attempt.detail))
    title = f"Poging {attempt.number}" if attempt.number else "Proef van de callback"
    why = failure(attempt.kind, attempt.detail, attempt.status)
    detail = particulars(attempt.kind, attempt.detail) or meaning_of(attempt.status)
    return Step("bad", at, title, f"{why}{took}", detail)


def _delivered(delivery: Delivery) -> Step:
    known = [] if delivery.status is None else [f"status {delivery.status}"]
    if delivery.ms is not None:
        known.append(milliseconds(delivery.ms))
    title = f"Poging {delivery.attempts}: afgeleverd" if delivery.attempts else "Afgeleverd"
    return Step("good", delivery.last_at / 1000, title, ", ".join(known))
