"""A replay as a row of `replay` and back. Pure."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson

from ledger.operating.replays import Plan, Progress, Replay
from ledger.values import Search, State

COLUMNS = (
    "nr, made, ended, progress, abonnement, search, reason, rate, unmatched, total, sent, skipped, last, "
    "lacking"
)


def replay_of(row: tuple[Any, ...]) -> Replay:
    """The replay of COLUMNS."""
    number, made, ended, progress, abonnement, search, reason, rate, unmatched, total, *rest = row
    sent, skipped, last, lacking = rest
    plan = Plan(
        abonnement=UUID(abonnement),
        search=_unpacked(search),
        reason=reason,
        rate=rate,
        total=total,
        unmatched=bool(unmatched),
        lacking=bool(lacking),
    )
    return Replay(
        number=number,
        plan=plan,
        made=made,
        progress=Progress(progress),
        sent=sent,
        skipped=skipped,
        last=None if last is None else UUID(bytes=last),
        ended=ended,
    )


def packed(search: Search) -> str:
    """A search as JSON."""
    return orjson.dumps(
        {
            "text": search.text,
            "hoofd_object": search.hoofd_object,
            "resource_url": search.resource_url,
            "kanaal": search.kanaal,
            "actie": search.actie,
            "resource": search.resource,
            "client": search.client,
            "kenmerken": dict(search.kenmerken),
            "abonnement": search.abonnement,
            "states": sorted(search.states),
            # Only where it is asked for: an earlier version knows neither.
            **({"failed": True} if search.failed else {}),
            **({} if search.late is None else {"late": search.late}),
            "after": search.after,
            "before": search.before,
            "ids": search.ids,
        }
    ).decode()


def _unpacked(text: str) -> Search:
    found = orjson.loads(text)
    abonnement = found.pop("abonnement")
    states = frozenset(map(State, found.pop("states")))
    ids = tuple(map(UUID, found.pop("ids", ())))  # an earlier version noted none
    of = None if abonnement is None else UUID(abonnement)
    return Search(**found, abonnement=of, states=states, ids=ids)
