"""A night of notificaties for the console's pages: in every state, and with hostile texts."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from uuid import UUID

import orjson

from ledger.ids import new_id
from ledger.opening import ledger_of
from ledger.values import Attempt, Entry, Event, Key, Outcome, State
from schemas.abonnement import Abonnement, Hold
from tests.integration.console.conftest import Served
from tests.make import a_kanaal, an_abonnement

ZAAK = "https://zaken.gemeente.example.nl/zaken/api/v1/zaken/ddc6d192-5b7f-4a1e-9a55-0f2c1f0f6a11"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


@dataclass(frozen=True)
class Night:
    """What came, the newest first, and abonnementen by what became of it there."""

    every: Sequence[Entry]
    zac: Abonnement
    archief: Abonnement
    held: Abonnement
    strict: Abonnement
    hostile: Entry
    failing: Entry


def an_entry(
    *matched: Abonnement,
    ago: float,
    zaak: str = ZAAK,
    resource: str = "status",
    actie: str = "create",
    kenmerken: Mapping[str, str] | None = None,
    client: str = "openzaak",
    kanaal: str = "zaken",
) -> Entry:
    """A notificatie that came so many seconds ago."""
    at = time.time() - ago
    marks = dict(
        kenmerken
        or {"bronorganisatie": "517439943", "zaaktype": "bezwaar", "vertrouwelijkheidaanduiding": "openbaar"}
    )
    sent = {
        "kanaal": kanaal,
        "hoofdObject": zaak,
        "resource": resource,
        "resourceUrl": f"{zaak}/statussen/1",
        "actie": actie,
        "aanmaakdatum": "2026-11-30T01:46:00Z",
        "kenmerken": marks,
    }
    return Entry(
        id=new_id(at=at), received=int(at * 1000), client=client, kanaal=kanaal, resource=resource,
        actie=actie, hoofd_object=zaak, resource_url=f"{zaak}/statussen/1", kenmerken=marks,
        body=orjson.dumps(sent), catalogue=1, matched=tuple(each.uuid for each in matched),
    )  # fmt: skip


async def subscribe(served: Served, client: str, filters: dict[str, str], path: str) -> Abonnement:
    """An abonnement on zaken of this client."""
    made = an_abonnement(("zaken", filters), callback=f"https://{client}.gemeente.example.nl{path}")
    added = await served.registry.add_abonnement(replace(made, client_id=client))
    # It was there before all that came.
    with closing(sqlite3.connect(served.settings.registry_file)) as db, db:
        db.execute(
            "UPDATE kanalen_version SET valid_from = valid_from - 9000, made_at = made_at - 9000 "
            "WHERE abonnement = ?",
            [str(added.uuid)],
        )
        db.execute(
            "UPDATE state_version SET valid_from = valid_from - 9000 WHERE abonnement = ?", [str(added.uuid)]
        )
    return added


def failed(
    entry: Entry,
    to: UUID,
    count: int,
    kind: str,
    detail: str,
    status: int | None,
    *,
    state: State,
    wait: float | None,
) -> list[Event]:
    """So many failed attempts, the last of which led to this state."""
    return [
        Outcome(
            key=Key(entry.id, to),
            state=State.RETRYING if number < count else state,
            round=0,
            attempts=number,
            at=entry.received + number * 1000,
            wait=1.0 if number < count else wait,
            failed=Attempt(entry.received + number * 1000, number, kind, detail, status, 38.4 * number),
        )
        for number in range(1, count + 1)
    ]


def delivered(entry: Entry, to: UUID) -> Outcome:
    """It arrived at the first attempt."""
    return Outcome(
        key=Key(entry.id, to),
        state=State.DELIVERED,
        round=0,
        attempts=1,
        at=entry.received + 41,
        status=204,
        ms=38.0,
    )


async def a_night(served: Served) -> Night:
    """Make it."""
    await served.registry.add_kanaal(
        a_kanaal("zaken", "bronorganisatie", "zaaktype", "vertrouwelijkheidaanduiding")
    )
    await served.registry.add_kanaal(a_kanaal("documenten"))
    zac = await subscribe(served, "zac", {}, "/notificaties")
    archief = await subscribe(served, "archief", {"zaaktype": "bezwaar"}, "/nrc/callback")
    held = await subscribe(served, "geo", {"bronorganisatie": "517439943"}, "/hook")
    strict = await subscribe(
        served, "dashboard", {"vertrouwelijkheidaanduiding": "Openbaar", "zaaktype": "*"}, "/in"
    )
    since = time.time() - 9000
    await served.registry.set_hold(
        held.uuid,
        Hold(since, 3, time.time() + 280),
        "connection_refused: connection refused",
        before=None,
        callback_url=held.callback_url,
    )
    hostile = an_entry(
        zac, ago=50, resource=f"z{HOSTILE}"[:100], client=HOSTILE, zaak=f"https://a.nl/{HOSTILE}",
        kenmerken={HOSTILE: HOSTILE, "zaaktype": HOSTILE},
    )  # fmt: skip
    failing = an_entry(zac, archief, held, ago=130)
    every = [
        hostile,
        an_entry(zac, ago=75, zaak=ZAAK.replace("ddc6", "aaaa"), resource="zaak"),
        failing,
        an_entry(zac, archief, ago=500, actie="partial_update", resource="zaak"),
        an_entry(
            ago=900, zaak="https://documenten.example.nl/1", resource="gebruiksrechten", kanaal="documenten"
        ),
        *(
            an_entry(
                zac, ago=1000 + number * 7, zaak=f"{ZAAK[:-4]}{number:04}", resource="zaakinformatieobject"
            )
            for number in range(70)
        ),
    ]
    async with ledger_of(served.settings) as ledger:
        await ledger.write([*every])
        await ledger.write([delivered(each, zac.uuid) for each in every[:-1] if zac.uuid in each.matched])
        await ledger.write(
            [
                *failed(
                    failing,
                    archief.uuid,
                    3,
                    "http_status",
                    "answered 503",
                    503,
                    state=State.RETRYING,
                    wait=300.0,
                ),
                *failed(
                    every[3],
                    archief.uuid,
                    3,
                    "timeout",
                    "no answer within 10 s",
                    None,
                    state=State.UNDELIVERABLE,
                    wait=None,
                ),
            ]
        )
    return Night(every, zac, archief, held, strict, hostile, failing)
