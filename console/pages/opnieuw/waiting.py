"""What waits between two attempts, by abonnement: all of it now, or none of it any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from console.forms import Form
from console.page import Answer, Page, Redirect, Refused, Visit
from console.pages.notificaties.noting import Noting, noted_sending
from console.pages.opnieuw.telling import name_of
from ledger.explaining.dutch import number
from ledger.ledger import Ledger
from ledger.values import Backlog, Delivery
from operating.notificaties import redelivering
from operating.status.faults import Fault, fault_of
from schemas.errors import LedgerError, NotFound

MOST = 5_000
"""Deliveries of one act: one waits for it."""
NOW, DROP = "nu", "schrappen"
_STATES = {NOW: redelivering.MAY_BE_SENT_NOW, DROP: redelivering.MAY_BE_DROPPED}


@dataclass(frozen=True, slots=True)
class Row:
    """An abonnement for which something waits. next_at: of the first attempt, Unix seconds."""

    uuid: UUID
    name: str
    there: bool
    backlog: Backlog
    next_at: float | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the page shows. unknown: why it is not known; None when it is known."""

    rows: Sequence[Row]
    unknown: Fault | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """What is asked before something is done. count: deliveries; more: whether there are more than MOST."""

    uuid: UUID
    name: str
    doen: str
    count: int
    more: bool
    most: int = MOST


async def show(visit: Visit) -> Waiting:
    """Abonnementen for which something waits, the first attempt first."""
    try:
        backlogs = await (await visit.console.ledger.get()).backlogs()
    except LedgerError as error:
        return Waiting((), fault_of(error))
    rows = [
        Row(
            uuid,
            name_of(visit, uuid),
            uuid in visit.console.catalogue.everyone,
            backlog,
            None if backlog.next_at is None else backlog.next_at / 1000,
        )
        for uuid, backlog in backlogs.items()
        if backlog.retrying or backlog.stuck
    ]
    return Waiting(sorted(rows, key=lambda row: (not row.backlog.stuck, row.next_at or 0.0, row.name)))


async def ask(visit: Visit) -> Asking:
    """What would be done, and to how many."""
    doen = visit.request.match_info["doen"]
    ledger, uuid = await visit.console.ledger.get(), UUID(visit.request.match_info["uuid"])
    found = await redelivering.of_abonnement(ledger, uuid, states=_STATES[doen], most=MOST + 1)
    if not found and uuid not in visit.console.catalogue.everyone:
        raise NotFound("Voor dit abonnement wacht niets.")
    return Asking(uuid, name_of(visit, uuid), doen, min(len(found), MOST), more=len(found) > MOST)


async def _meant(visit: Visit, form: Form, doen: str) -> tuple[Ledger, UUID, Sequence[Delivery], str]:
    if visit.request.match_info["doen"] != doen:
        raise Refused("Dit formulier hoort bij een andere pagina. Er is niets gedaan.")
    why = form.text("waarom")
    if not why:
        raise Refused("Zeg waarom: dat komt in het logboek. Er is nog niets gedaan.")
    ledger, uuid = await visit.console.ledger.get(), UUID(visit.request.match_info["uuid"])
    rows = await redelivering.of_abonnement(ledger, uuid, states=_STATES[doen], most=MOST)
    if not rows:
        raise Refused("Er wacht hier niets meer op een volgende poging. Er is niets gedaan.")
    return ledger, uuid, rows, why[:500]


async def send_now(visit: Visit, form: Form) -> Answer:
    """The next attempt of each, now."""
    ledger, _, rows, why = await _meant(visit, form, NOW)
    noting = Noting(visit, redelivering.SENT_NOW, why)
    async with noted_sending(visit, ledger, noting) as sending:
        await sending.send(rows, anew=False, tell=noting.sent)
    return _back(noting, "Van {} wordt de volgende poging nu gedaan.")


async def drop(visit: Visit, form: Form) -> Answer:
    """None of them is delivered any more."""
    ledger, _, rows, why = await _meant(visit, form, DROP)
    noting = Noting(visit, redelivering.DROPPED, why)
    under_way = 0
    try:
        async for taken in redelivering.take_out(ledger, rows, states=_STATES[DROP]):
            for row in taken.done:
                noting.done(row, redelivering.DROPPED)
            noting.failed += len(taken.changed)
            under_way += len(taken.under_way)
    finally:
        await noting.keep()
    more = f" Van {number(under_way)} kan nog een poging bezig zijn." if under_way else ""
    return _back(noting, "{} geschrapt: zij worden niet meer afgeleverd." + more)


def _back(noting: Noting, text: str) -> Redirect:
    if not noting.count:
        raise Refused("Er is niets gedaan: er is intussen iets anders mee gebeurd, of er is geen wachtrij.")
    one = noting.count == 1
    said = text.format("1 aflevering" if one else f"{number(noting.count)} afleveringen")
    if noting.later:
        said += f" {number(noting.later)} gaan vanzelf alsnog, zodra RabbitMQ ze aanneemt."
    if noting.failed:
        said += f" Bij {number(noting.failed)} ging dat niet meer."
    return Redirect("opnieuw/wachtend/", said=said)


PAGE = Page("wachtend", "opnieuw/wachtend/", "Tussen pogingen", "opnieuw/waiting.html", show, under="opnieuw")
ACTING = Page(
    "wachtend-handeling",
    "opnieuw/wachtend/{uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}}/{doen:" + f"{NOW}|{DROP}" + "}/",
    "Tussen pogingen",
    "opnieuw/waiting_acting.html",
    ask,
    actions={NOW: send_now, DROP: drop},
    under="opnieuw",
)
