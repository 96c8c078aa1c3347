"""A replay in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from console.page import Visit
from console.pages.notificaties.telling import STATES, callback_of
from ledger.explaining.dutch import Clock, listed, number
from ledger.operating.replays import UNFINISHED, Progress, Replay
from ledger.values import Search
from operating.acts import who_did
from schemas.abonnement import Abonnement
from store.registry import ActSearch

LATEST_NOTE = 3600.0  # seconds after it was made that the audit trail may have it
MOST_NOTES = 200  # acts on its abonnement around then

BADGES = {
    Progress.RUNNING: ("neutral", "loopt"),
    Progress.PAUSED: ("warning", "gepauzeerd"),
    Progress.STOPPED: ("danger", "gestopt"),
    Progress.DONE: ("safe", "klaar"),
}
"""How the progress of one is told: the kind of its badge, and its text."""


@dataclass(frozen=True, slots=True)
class Told:
    """A replay. to: its abonnement in a few words. what: which notificaties. left: seconds, as far as known.

    there: whether its abonnement is still there. Moments are Unix seconds.
    """

    replay: Replay
    badge: tuple[str, str]
    to: str
    there: bool
    what: Sequence[str]
    made: float
    ended: float | None
    left: float | None

    @property
    def looked_at(self) -> int:
        """How many notificaties it is done with; never more than there are."""
        return min(self.replay.sent + self.replay.skipped, self.replay.plan.total)

    @property
    def rate(self) -> str:
        """How many in a second, as it is written here."""
        return f"{self.replay.plan.rate:g}".replace(".", ",")

    @property
    def unfinished(self) -> bool:
        """Whether it runs or is paused."""
        return self.replay.progress in UNFINISHED


def told_of(visit: Visit, replay: Replay) -> Told:
    """The replay in words."""
    abonnement = visit.console.catalogue.everyone.get(replay.plan.abonnement)
    rest = replay.plan.total - replay.sent - replay.skipped
    return Told(
        replay,
        BADGES[replay.progress],
        name_of(visit, replay.plan.abonnement),
        abonnement is not None,
        list(_what(visit, replay.plan.search)),
        replay.made / 1000,
        None if replay.ended is None else replay.ended / 1000,
        rest / replay.plan.rate if replay.progress is Progress.RUNNING and rest > 0 else None,
    )


async def maker_of(visit: Visit, replay: Replay) -> str:
    """Who had it made, by the audit trail; the consumer when no operator did."""
    made = replay.made / 1000
    search = ActSearch(abonnement=str(replay.plan.abonnement), since=made - 60, until=made + LATEST_NOTE)
    found = await visit.console.registry.acts(search, limit=MOST_NOTES)
    act = next((each for each in found if each.facts.get("replay") == replay.number), None)
    return "de afnemer zelf, via de API" if act is None else who_did(act)


def name_of(visit: Visit, uuid: UUID) -> str:
    """An abonnement in a few words."""
    abonnement = visit.console.catalogue.everyone.get(uuid)
    return (
        f"{uuid} (verwijderd)"
        if abonnement is None
        else f"{abonnement.client_id}: {_kanalen(abonnement)}, {callback_of(abonnement)} ({str(uuid)[:8]})"
    )


def _kanalen(abonnement: Abonnement) -> str:
    names = list(dict.fromkeys(group.naam for group in abonnement.kanalen))
    return listed(names, most=3) if names else "zonder kanalen"


def _what(visit: Visit, search: Search) -> Iterator[str]:
    """Which notificaties, a line for each condition."""
    clock = Clock(round(visit.now * 1000))
    for text, value in (
        ("op kanaal", search.kanaal),
        ("van object", search.text),
        ("met hoofdObject", search.hoofd_object),
        ("met resourceUrl", search.resource_url),
        ("van resource", search.resource),
        ("met actie", search.actie),
        ("gepubliceerd door", search.client),
    ):
        if value is not None:
            yield f"{text} {value}"
    for name, kenmerk in search.kenmerken.items():
        yield f"met {name} = {kenmerk}"
    if search.ids:
        yield f"{number(len(search.ids))} met hun id"
    if search.abonnement is not None:
        yield f"voor abonnement {name_of(visit, search.abonnement)}"
    if search.states:
        yield f"met toestand {listed(sorted(STATES[each][1] for each in search.states))}"
    if search.after is not None:
        yield f"vanaf {clock.bare(search.after, '%H:%M:%S')}"
    if search.before is not None:
        yield f"tot {clock.bare(search.before, '%H:%M:%S')}"
