"""Kanalen, applications and abonnementen in every state, with what they got; for the console's pages."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import orjson

from ledger.ids import new_id
from ledger.opening import ledger_of
from ledger.operating.replays import Plan, Progress
from ledger.values import Attempt, Entry, Key, Outcome, Search, State
from schemas.abonnement import Abonnement, FilterGroup, Hold
from schemas.abonnement import State as Condition
from schemas.application import Application, Scope
from schemas.kanaal import Kanaal
from store.registry import LastFailure
from tests.integration.console.conftest import Served
from tests.make import a_kanaal, an_abonnement

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
AUTH = "Bearer never-shown-anywhere"
REFUSED = "connection_refused: connection refused"


@dataclass(frozen=True)
class Filled:
    """The abonnementen, by what is the matter with them."""

    well: Abonnement
    failing: Abonnement
    held: Abonnement
    suspended: Abonnement
    hostile: Abonnement
    entries: Sequence[Entry]
    kanalen: Mapping[str, Kanaal]
    replays: Mapping[Progress, int]


def an_entry(
    *matched: UUID, ago: float, kanaal: str = "zaken", client: str = "openzaak", number: int = 0
) -> Entry:
    """A notificatie that came so many seconds ago."""
    at = time.time() - ago
    zaak = f"https://zaken.gemeente.example.nl/zaken/api/v1/zaken/{number}"
    kenmerken = {"bronorganisatie": "517439943", "zaaktype": "bezwaar"}
    sent = {
        "kanaal": kanaal, "hoofdObject": zaak, "resource": "status", "resourceUrl": f"{zaak}/statussen/1",
        "actie": "create", "aanmaakdatum": "2026-11-30T01:46:00Z", "kenmerken": kenmerken,
    }  # fmt: skip
    return Entry(
        id=new_id(at=at), received=int(at * 1000), client=client, kanaal=kanaal, resource="status",
        actie="create", hoofd_object=zaak, resource_url=f"{zaak}/statussen/1", kenmerken=kenmerken,
        body=orjson.dumps(sent), catalogue=1, matched=matched,
    )  # fmt: skip


def outcome(entry: Entry, to: UUID, state: State, *, attempts: int = 1, failed: bool = False) -> Outcome:
    """What became of it, a moment after it came."""
    at = entry.received + 40 * attempts
    attempt = Attempt(at, attempts, "http_status", "answered 500", 500, 31.0) if failed else None
    return Outcome(
        Key(entry.id, to), state, round=0, attempts=attempts, at=at, failed=attempt,
        wait=900.0 if state is State.RETRYING else None, status=None if failed else 204, ms=31.0,
    )  # fmt: skip


async def fill(served: Served) -> Filled:
    """Make it."""
    registry = served.registry
    scopes = frozenset({Scope.CONSUMEREN})
    # What the fixture has is in the way.
    await registry.remove_application("zac", with_abonnementen=True)
    for each in (await registry.changes_since(0)).kanalen:
        await registry.remove_kanaal(each.uuid)
    for client, label in (("zac", "Zaakafhandelcomponent"), ("archief", ""), ("geo", HOSTILE)):
        await registry.add_application(Application(client, "s" * 32, label, scopes))
    await registry.add_application(Application("openzaak", "s" * 32, "Open Zaak", frozenset(Scope)))
    kanaal = replace(
        a_kanaal("zaken", "bronorganisatie", "zaaktype", "vertrouwelijkheidaanduiding"),
        documentatie_link="https://zaken.example.nl/kanalen/#zaken",
        client_id="openzaak",
    )
    await registry.add_kanaal(kanaal)
    await registry.add_kanaal(replace(a_kanaal("documenten"), documentatie_link="javascript:alert(3)"))
    await registry.add_kanaal(replace(a_kanaal("stil"), documentatie_link=f"https://x.nl/{HOSTILE}"))

    async def subscribe(client: str, callback: str, **filters: str) -> Abonnement:
        made = an_abonnement(("zaken", filters), callback=callback)
        return await registry.add_abonnement(replace(made, client_id=client, auth=AUTH))

    well = await subscribe("zac", "https://zac.gemeente.example.nl/notificaties")
    failing = await subscribe("archief", "https://archief.gemeente.example.nl/nrc", zaaktype="bezwaar")
    held = await subscribe("geo", "https://geo.gemeente.example.nl/hook", bronorganisatie="517439943")
    suspended = await subscribe("zac", "https://oud.gemeente.example.nl/callback")
    hostile = an_abonnement(("zaken", {"zaaktype": HOSTILE}), callback=f"https://x.nl/{HOSTILE}")
    hostile = replace(hostile, client_id="geo", kanalen=(*hostile.kanalen, FilterGroup("documenten")))
    hostile = await registry.add_abonnement(hostile)
    now = time.time()
    await registry.set_hold(
        held.uuid, Hold(now - 9000, 3, now + 280), REFUSED, before=None, callback_url=held.callback_url
    )
    await registry.set_state(suspended.uuid, Condition.SUSPENDED, "callback answered 410 (gone)")
    await registry.set_state(hostile.uuid, Condition.SUSPENDED, HOSTILE)
    await registry.note_failures(
        {
            held.uuid: LastFailure(now - 40, REFUSED),
            failing.uuid: LastFailure(now - 90, "http_status: answered 500"),
            suspended.uuid: LastFailure(now - 90000, "http_status: answered 410"),
            hostile.uuid: LastFailure(now - 90, f"connection_error: {HOSTILE}"),
        }
    )
    entries = [
        an_entry(well.uuid, failing.uuid, held.uuid, suspended.uuid, ago=60 + 20 * number, number=number)
        for number in range(30)
    ]
    lonely = [an_entry(ago=90, kanaal="documenten", client="drc"), an_entry(ago=30, client=HOSTILE)]
    async with ledger_of(served.settings) as ledger:
        await ledger.write([*entries, *lonely])
        for number, entry in enumerate(entries):
            await ledger.write([outcome(entry, well.uuid, State.DELIVERED)])
            if number < 3:
                await ledger.write([outcome(entry, failing.uuid, State.RETRYING, failed=True)])
            elif number < 5:
                state = State.UNDELIVERABLE
                await ledger.write([outcome(entry, failing.uuid, state, attempts=9, failed=True)])
            else:
                await ledger.write([outcome(entry, failing.uuid, State.DELIVERED)])
    kanalen = {each.naam: each for each in (await registry.changes_since(0)).kanalen}
    replays = await _replays(served, well, failing)
    return Filled(well, failing, held, suspended, hostile, entries, kanalen, replays)


async def _replays(served: Served, to: Abonnement, of: Abonnement) -> Mapping[Progress, int]:
    """One in each state, by its number; no keeper carries them out."""
    search = Search(kanaal="zaken", abonnement=of.uuid, states=frozenset({State.UNDELIVERABLE}), after=1)
    made: dict[Progress, int] = {}
    async with ledger_of(served.settings) as ledger:
        for progress in Progress:
            replay = await ledger.replays.make(Plan(to.uuid, search, HOSTILE, 2.5, 1234))
            if progress is Progress.DONE:
                epoch = await ledger.keeping.take_lease("test", seconds=1.0)
                assert epoch is not None
                await ledger.replays.advance(epoch, replay.number, sends=[], skipped=1234, last=None)
                await ledger.keeping.release_lease("test")
            elif progress is not Progress.RUNNING:
                await ledger.replays.change(replay.number, progress)
            made[progress] = replay.number
    return made
