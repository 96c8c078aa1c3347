"""Send again, try now, drop: asked once more with what will happen, then done as commands do it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from console.forms import Form
from console.page import Answer, Page, Refused, Visit
from console.pages.notificaties.noting import Noting, noted_sending
from console.pages.notificaties.telling import STATES, account_of, callback_of, name_of, notificatie_of
from ledger.explaining.dutch import Clock, number, times
from ledger.ledger import Ledger
from ledger.values import ORIGINAL, Delivery, Notificatie, State
from operating.notificaties import redelivering
from operating.notificaties.redelivering import MAY_BE_DROPPED, MAY_BE_SENT_NOW, WhyNot
from schemas.errors import Conflict, NotFound

AGAIN, NOW, DROP = "opnieuw", "nu", "schrappen"
TITLES = {AGAIN: "Opnieuw verzenden", NOW: "Nu proberen", DROP: "Schrappen"}
MOST_WHY = 500  # characters

_SETTLED = frozenset({State.DELIVERED, State.NOT_WANTED, State.REMOVED, State.UNDELIVERABLE})
_MAY_END = MAY_BE_DROPPED | {State.UNDELIVERABLE}


@dataclass(frozen=True, slots=True)
class Line:
    """A delivery that it is about."""

    abonnement: UUID
    client: str
    callback: str
    badge: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Act:
    """What the page asks.

    lines: whom it is about. count: deliveries that there are of these. had: how often the abonnement has got
    it already; warning: a sentence about that. happens: what will happen, in
    sentences; empty when it cannot be done. problem: why it cannot be done; "" when it can. unasked: the
    abonnement does not ask for it.
    """

    notificatie: Notificatie
    name: str
    at: float
    doen: str
    title: str
    lines: Sequence[Line]
    count: int
    had: int
    warning: str
    happens: Sequence[str]
    problem: str
    unasked: bool


@dataclass(frozen=True, slots=True)
class _Meant:
    """What an address is about. to: the abonnement, None for all. rows: deliveries that it is about.

    had: deliveries of it that the abonnement, or each of them, has got.
    """

    ledger: Ledger
    notificatie: Notificatie
    to: UUID | None
    replay: int
    rows: Sequence[Delivery]
    problem: str = ""
    unasked: bool = False
    had: Sequence[Delivery] = ()


def allowed(delivery: Delivery, *, exists: bool) -> list[tuple[str, str]]:
    """(what, how a link says it) of what may be done with a delivery. exists: its abonnement does."""
    acts = []
    if exists and delivery.state in MAY_BE_SENT_NOW:
        acts.append((NOW, "Nu proberen"))
    if exists and delivery.state in _SETTLED:
        acts.append((AGAIN, "Opnieuw verzenden"))
    if delivery.state in _MAY_END:
        acts.append((DROP, "Schrappen"))
    return acts


async def show(visit: Visit) -> Act:
    """What will happen, and to how many."""
    doen = visit.asked("doen")
    if doen not in TITLES:
        raise NotFound("Er is niets gevraagd om te doen.")
    meant = await _meant(visit, doen)
    return Act(
        meant.notificatie,
        name_of(meant.notificatie),
        meant.notificatie.received / 1000,
        doen,
        TITLES[doen],
        [_line(visit, row.key.abonnement, row) for row in meant.rows]
        or ([_line(visit, meant.to, None)] if meant.to is not None else []),
        len(meant.rows),
        len(meant.had),
        _warning(visit, meant) if doen == AGAIN and not meant.problem else "",
        [] if meant.problem else _happens(doen, meant),
        meant.problem,
        meant.unasked,
    )


def _line(visit: Visit, uuid: UUID, row: Delivery | None) -> Line:
    known = visit.console.catalogue.everyone.get(uuid)
    badge = ("neutral", "nog geen aflevering") if row is None else STATES[row.state]
    return Line(
        uuid,
        known.client_id if known is not None else "(verwijderd)",
        callback_of(known) if known is not None else "",
        badge,
    )


def _happens(doen: str, meant: _Meant) -> list[str]:
    count = len(meant.rows)
    one = count == 1
    if doen == AGAIN:
        told = ["De notificatie gaat nog een keer naar dit ene abonnement, met hetzelfde webhook-id."]
        if meant.rows and meant.rows[0].state is State.UNDELIVERABLE:
            told.append("Zij krijgt weer evenveel pogingen als een nieuwe.")
        else:
            told.append("Het wordt een eigen aflevering (een herhaling); wat er al was, blijft zoals het is.")
        return [*told, "Andere abonnementen merken er niets van."]
    if doen == NOW:
        which = (
            "De volgende poging wordt"
            if one
            else f"De volgende poging van {number(count)} afleveringen wordt"
        )
        return [
            f"{which} nu gedaan, in plaats van te wachten.",
            "Pogingen die al gedaan zijn, blijven meetellen.",
        ]
    which = "Deze aflevering wordt" if one else f"Deze {number(count)} afleveringen worden"
    had = {row.key.abonnement for row in meant.had}
    lacks = [row for row in meant.rows if row.key.abonnement not in had]
    if not lacks:
        then = "De afnemer heeft de notificatie al." if one else "De afnemers hebben de notificatie al."
    else:
        then = "De afnemer krijgt de notificatie dan niet." if one else "De afnemers krijgen haar dan niet."
    return [
        f"{which} geschrapt: er komt geen poging meer. {then}",
        "Een poging die al begonnen is, wordt niet afgebroken; de tijdlijn laat zien of dat zo was.",
        "Daarna kan de notificatie nog wel opnieuw verzonden worden.",
    ]


def _warning(visit: Visit, meant: _Meant) -> str:
    """That the abonnement has got it already; "" when it has not."""
    if not meant.had:
        return ""
    clock, last = Clock(round(visit.now * 1000)), max(row.last_at for row in meant.had)
    often = "" if len(meant.had) == 1 else f", {times(len(meant.had))} in totaal"
    return (
        f"Dit abonnement kreeg deze notificatie al, {clock.to_second(last)}{often}. De afnemer krijgt haar "
        "dus nog eens; hij herkent dat aan hetzelfde webhook-id (het id van de notificatie)."
    )


async def _meant(visit: Visit, doen: str) -> _Meant:
    """Which deliveries it is about, and why it cannot be done."""
    ledger = await visit.console.ledger.get()
    notificatie = await notificatie_of(visit, ledger)
    to = _uuid(visit.asked("abonnement"))
    typed = visit.asked("herhaling")
    replay = int(typed) if typed.isdecimal() and len(typed) < 10 else ORIGINAL
    every = (await ledger.deliveries([notificatie.id]))[notificatie.id]
    own = [row for row in every if to in (None, row.key.abonnement)]
    if doen == AGAIN:
        return await _meant_again(visit, ledger, notificatie, to, replay, own)
    states = MAY_BE_SENT_NOW if doen == NOW else _MAY_END if to is not None else MAY_BE_DROPPED
    rows = [row for row in own if row.state in states and (to is None or row.key.replay == replay)]
    problem = ""
    if not rows:
        problem = "Er wacht hier niets meer op een volgende poging: intussen is er iets anders mee gebeurd."
    elif doen == NOW and notificatie.body is None:
        problem = "De inhoud van deze notificatie wordt niet meer bewaard, dus er is niets om te verzenden."
    return _Meant(ledger, notificatie, to, replay, rows, problem, had=_delivered(own))


async def _meant_again(
    visit: Visit,
    ledger: Ledger,
    notificatie: Notificatie,
    to: UUID | None,
    replay: int,
    own: Sequence[Delivery],
) -> _Meant:
    if to is None:
        raise NotFound("Er is niet gezegd naar welk abonnement.")
    rows = [row for row in own if row.key.replay == replay]
    why = await redelivering.why_not(account_of(visit, ledger), notificatie, to, own)
    problem = ""
    if notificatie.body is None:
        problem = "De inhoud van deze notificatie wordt niet meer bewaard, dus er is niets om te verzenden."
    elif why is WhyNot.NO_ABONNEMENT:
        problem = "Dit abonnement bestaat niet (meer), dus er is niets om naar te verzenden."
    elif why is WhyNot.STILL_TO_COME:
        problem = (
            "Deze notificatie is voor dit abonnement nog onderweg. Wacht die aflevering af, of doe haar nu."
        )
    unasked = why is WhyNot.NOT_ASKED_FOR
    return _Meant(ledger, notificatie, to, replay, rows, problem, unasked, had=_delivered(own))


def _delivered(rows: Sequence[Delivery]) -> list[Delivery]:
    return [row for row in rows if row.state is State.DELIVERED]


def _uuid(text: str) -> UUID | None:
    """The abonnement of the address; None when it names none. Raises NotFound for what is no UUID."""
    try:
        return UUID(text) if text else None
    except ValueError:
        raise NotFound("Dit is geen UUID van een abonnement.") from None


async def _asked(visit: Visit, form: Form, doen: str) -> tuple[_Meant, str]:
    """What is to be done, and the reason. Raises Refused, and Conflict when it is not what was shown."""
    why = form.text("waarom")
    if not why:
        raise Refused("Vul een reden in: die komt in het logboek. Er is nog niets gedaan.")
    if len(why) > MOST_WHY:
        raise Refused(f"Houd de reden bij {MOST_WHY} tekens. Er is nog niets gedaan.")
    meant = await _meant(visit, doen)
    if meant.problem:
        raise Refused(f"{meant.problem} Er is niets gedaan.")
    shown = (form.text("aantal"), form.text("gekregen"))
    if shown != (str(len(meant.rows)), str(len(meant.had))):
        raise Conflict("other deliveries than were shown")
    return meant, why


async def send_again(visit: Visit, form: Form) -> Answer:
    """The notificatie to one abonnement, once more."""
    meant, why = await _asked(visit, form, AGAIN)
    to = meant.to
    assert to is not None  # noqa: S101 - of _meant_again
    if meant.unasked and not form.has("toch"):
        raise Refused(
            "Dit abonnement vraagt niet om deze notificatie. Zet het vinkje als zij er toch heen moet. Er is "
            "nog niets gedaan."
        )
    undeliverable = [row for row in meant.rows if row.state is State.UNDELIVERABLE]
    act = redelivering.SENT_AGAIN if undeliverable else redelivering.SENT_ONCE_MORE
    noting = Noting(visit, act, why)
    async with noted_sending(visit, meant.ledger, noting) as sending:
        if undeliverable:
            await sending.send(undeliverable, anew=True, tell=noting.sent)
        else:
            noting.sent(
                await redelivering.resend(meant.ledger, sending, meant.notificatie.id, to, reason=why)
            )
    return noting.answer(meant.notificatie, "De notificatie is opnieuw verzonden.")


async def try_now(visit: Visit, form: Form) -> Answer:
    """The next attempt of what waits, now."""
    meant, why = await _asked(visit, form, NOW)
    noting = Noting(visit, redelivering.SENT_NOW, why)
    async with noted_sending(visit, meant.ledger, noting) as sending:
        await sending.send(meant.rows, anew=False, tell=noting.sent)
    return noting.answer(meant.notificatie, "De volgende poging wordt nu gedaan.")


async def drop(visit: Visit, form: Form) -> Answer:
    """What waits or is undeliverable is not delivered any more."""
    meant, why = await _asked(visit, form, DROP)
    noting = Noting(visit, redelivering.DROPPED, why)
    under_way = 0
    try:
        async for taken in redelivering.take_out(meant.ledger, meant.rows, states=_MAY_END):
            before = {row.key: row.state for row in meant.rows}
            for row in taken.done:
                ended = before[row.key] is State.UNDELIVERABLE
                noting.done(row, redelivering.REMOVED if ended else redelivering.DROPPED)
            noting.failed += len(taken.changed)
            under_way += len(taken.under_way)
    finally:
        await noting.keep()
    told = (
        "De aflevering is geschrapt." if noting.count == 1 else f"{noting.count} afleveringen zijn geschrapt."
    )
    if under_way:
        told += " Er kan nog een poging bezig zijn: kijk zo in de tijdlijn of zij toch is afgeleverd."
    return noting.answer(meant.notificatie, told)


PAGE = Page(
    "notificatie-handeling",
    "notificaties/{id}/handeling/",
    "Handeling",
    "notificaties/acting.html",
    show,
    actions={AGAIN: send_again, NOW: try_now, DROP: drop},
    under="notificaties",
)
