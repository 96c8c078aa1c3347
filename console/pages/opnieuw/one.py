"""How far a replay is; pausing, resuming and stopping it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from console.forms import Form
from console.page import Answer, Event, Live, Page, Redirect, Visit
from console.pages.opnieuw.telling import Told, maker_of, told_of
from ledger.ledger import Ledger
from ledger.operating.replays import Progress, Replay
from operating.notificaties import replays
from operating.notificaties.ids import is_whole
from schemas.errors import NotFound

LOOK = 1.0  # seconds between two looks at how far it is


@dataclass(frozen=True, slots=True)
class One:
    """What the page shows. waits: for a keeper, of which none works now. again: it loads itself again.

    maker: who asked for it. only: the id of the one notificatie that it is of, else "".
    """

    told: Told
    waits: bool
    again: bool
    maker: str
    only: str


async def show(visit: Visit) -> object:
    """How far it is; with `als=stroom` the same as events, while it changes."""
    ledger = await visit.console.ledger.get()
    found = await _asked_for(visit, ledger)
    if visit.asked("als") == "stroom":
        return Live("pages/opnieuw/progress.html", _news(visit, ledger, found))
    return await _one(visit, ledger, found)


async def _asked_for(visit: Visit, ledger: Ledger) -> Replay:
    """The replay of the page's address. Raises NotFound."""
    found = await ledger.replays.replay(int(visit.request.match_info["nummer"]))
    if found is None:
        raise NotFound("Deze herhaling is er niet.")
    return found


async def _one(visit: Visit, ledger: Ledger, replay: Replay) -> One:
    told = told_of(visit, replay)
    waits = False
    if replay.progress is Progress.RUNNING:
        lease = await ledger.keeping.lease()
        waits = lease is None or lease.until < visit.now * 1000
    text = replay.plan.search.text or ""
    return One(
        told,
        waits,
        visit.asked("vanzelf") == "1" and told.unfinished,
        await maker_of(visit, replay),
        text if is_whole(text) else "",
    )


async def _news(visit: Visit, ledger: Ledger, before: Replay) -> AsyncIterator[Event]:
    """An event each time it is further; `ended` when its state is another, for which the page is loaded."""
    shown = before
    while True:
        await asyncio.sleep(LOOK)
        now = await ledger.replays.replay(before.number)
        if now is None:
            return
        changed, shown = now != shown, now
        ended = now.progress is not before.progress
        if changed or ended:
            yield Event("ended" if ended else "progress", await _one(visit, ledger, now))
        else:
            yield Event("same")  # by which it is noticed that nobody looks any more
        if ended:
            return


async def pause(visit: Visit, form: Form) -> Answer:
    """Send no more of it, until it is resumed."""
    return await _change(visit, Progress.PAUSED, "is gepauzeerd. Hervat haar om verder te gaan waar zij was")


async def resume(visit: Visit, form: Form) -> Answer:
    """Go on where it was."""
    return await _change(visit, Progress.RUNNING, "gaat verder waar zij was")


async def stop(visit: Visit, form: Form) -> Answer:
    """End it."""
    return await _change(
        visit, Progress.STOPPED, "is gestopt. Wat al in de wachtrij staat, wordt nog afgeleverd"
    )


async def _change(visit: Visit, progress: Progress, said: str) -> Redirect:
    ledger = await visit.console.ledger.get()
    found = await _asked_for(visit, ledger)
    await replays.change(ledger, visit.log, found, progress)
    return Redirect(f"opnieuw/{found.number}/", said=f"Herhaling {found.number} {said}.")


PAGE = Page(
    "herhaling",
    "opnieuw/{nummer:[1-9][0-9]{0,8}}/",
    "Herhaling",
    "opnieuw/one.html",
    show,
    actions={"pauzeren": pause, "hervatten": resume, "stoppen": stop},
    under="opnieuw",
)
