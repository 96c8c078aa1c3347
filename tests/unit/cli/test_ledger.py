"""`nrc ledger status`, `gaps` and `audit`, on a ledger and a registry."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from ledger.explaining import Clock
from ledger.opening import LEDGER_FILE, open_ledger
from ledger.values import (
    Delivery,
    Entry,
    Event,
    GapClosed,
    GapOpened,
    Heartbeat,
    PassedOn,
    Scope,
    State,
    Unrouted,
)
from nrc.cli.terminal import ids
from store.opening import open_registry
from tests.command import make_registry, nrc
from tests.contract.stores.test_ledger import AT, an_entry
from tests.make import a_kanaal, an_abonnement


def fill(folder: Path, *events: Event, keeper: bool = False) -> None:
    """A ledger with these in it."""

    async def work() -> None:
        async with open_ledger(folder / LEDGER_FILE) as opened:
            await opened.write(events)
            if keeper:
                await opened.keeping.take_lease("host 123 abc", seconds=60)

    asyncio.run(work())


def subscribe(folder: Path) -> UUID:
    async def work() -> UUID:
        async with open_registry(folder / "registry.db") as registry:
            await registry.add_kanaal(a_kanaal("zaken"))
            return (await registry.add_abonnement(an_abonnement(("zaken", {})))).uuid

    return asyncio.run(work())


def test_without_a_ledger_it_says_what_makes_it(tmp_path: Path) -> None:
    make_registry(tmp_path)
    for command in (["status"], ["gaps"], ["gaps", "close", "1"]):
        ran = nrc(tmp_path, "ledger", *command)
        assert ran.code == 2
        assert "the first gateway that starts makes it" in ran.err


def test_the_status_of_a_ledger(tmp_path: Path) -> None:
    make_registry(tmp_path)
    entry = an_entry(UUID(int=1), UUID(int=2))
    fill(tmp_path, entry, Unrouted(entry.id), Heartbeat("kade 7", all_flushed=True))
    told = nrc(tmp_path, "ledger", "status").out
    for part in (
        "none has worked yet",
        "2 deliveries",
        "1 notificaties (not in RabbitMQ yet)",
        "kade 7: lives",
    ):
        assert part in told
    fill(tmp_path, GapOpened(Scope.EVERYTHING, "", "test"), keeper=True)
    assert "host 123 abc works (epoch 1)" in nrc(tmp_path, "ledger", "status").out
    facts = nrc(tmp_path, "ledger", "status", "--json").json()
    assert (facts["keeper"], facts["open"], facts["unrouted"], facts["stuck"]) == ("host 123 abc", 2, 1, 0)
    assert [gap["scope"] for gap in facts["gaps"]] == ["everything"]
    assert [each["lives"] for each in facts["deliverers"]] == [True]


def test_what_waits_in_the_lane_for_bulk(tmp_path: Path) -> None:
    make_registry(tmp_path)
    fill(tmp_path)
    assert "\nlane " not in nrc(tmp_path, "ledger", "status").out
    bulk = [
        an_entry(*of, passed_on=PassedOn("nacht", lane=True))
        for of in ((UUID(int=1), UUID(int=2)), (UUID(int=2),))
    ]
    fill(tmp_path, *bulk, *(Unrouted(each.id, lane=True) for each in bulk))
    told = nrc(tmp_path, "ledger", "status").out
    assert "\nlane " in told
    assert "2 notificaties wait; the oldest for " in told
    assert f"; most for {ids.short(UUID(int=2))}, 2" in told
    facts = nrc(tmp_path, "ledger", "status", "--json").json()
    assert (facts["lane"], facts["laneOf"]) == (2, {str(UUID(int=1)): 1, str(UUID(int=2)): 2})
    assert facts["laneSince"].endswith("Z")


def test_an_operator_opens_a_gap_and_closes_it(tmp_path: Path) -> None:
    make_registry(tmp_path)
    uuid = subscribe(tmp_path)
    fill(tmp_path)
    assert "no gaps" in nrc(tmp_path, "ledger", "gaps").err
    for wrong in (
        [],
        ["--everything", "--kanaal", "zaken"],
        ["--kanaal", "niets"],
    ):
        assert nrc(tmp_path, "ledger", "gaps", "open", *wrong).code == 2, wrong
    assert nrc(tmp_path, "ledger", "gaps", "open", "--abonnement", "abcdef01").code == 1
    for number, option in enumerate(
        (["--everything"], ["--kanaal", "zaken"], ["--abonnement", str(uuid)]), 1
    ):
        assert nrc(tmp_path, "ledger", "gaps", "open", *option).out == f"{number}\n"
    fill(tmp_path, GapClosed())  # as the router does: not an operator's
    assert [gap["closed"] for gap in nrc(tmp_path, "ledger", "gaps", "--json").json()] == [None] * 3
    assert nrc(tmp_path, "ledger", "gaps", "close", "3").code == 0
    told = nrc(tmp_path, "ledger", "gaps", "close", "3")
    assert (told.code, "closed already" in told.err) == (2, True)
    assert "there is no gap 9" in nrc(tmp_path, "ledger", "gaps", "close", "9").err
    (_, kanaal, mine) = nrc(tmp_path, "ledger", "gaps", "--json").json()
    assert (kanaal["of"], kanaal["closed"], kanaal["why"]) == ("zaken", None, "operator")
    assert (mine["of"], mine["closed"] is None, mine["done"]) == (str(uuid), False, False)
    acts = nrc(tmp_path, "audit-trail", "--json").json()
    assert sorted(act["act"] for act in acts if "gap" in act["act"]) == ["gap closed"] + ["gap opened"] * 3


# What is unsure


def unsure(folder: Path) -> tuple[UUID, UUID, list[Entry]]:
    """Two of an abonnement and one of an abonnement that is gone, of an older copy; one is of since."""
    there, gone = subscribe(folder), UUID(int=0xABC << 116)
    entries = [an_entry(there), an_entry(there, at=AT + 60_000), an_entry(gone, at=AT + 1), an_entry(there)]

    async def doubt() -> None:
        async with open_ledger(folder / LEDGER_FILE) as opened:
            epoch = await opened.keeping.take_lease("test", seconds=0)
            assert epoch is not None
            assert await opened.keeping.mark_unsure(epoch, until=AT + 60_000) == 3
            await opened.write([entries[3]])

    fill(folder, *entries[:3])
    asyncio.run(doubt())
    return there, gone, entries


def rows(folder: Path, entries: Sequence[Entry]) -> list[Delivery]:
    async def read() -> list[Delivery]:
        async with open_ledger(folder / LEDGER_FILE) as opened:
            found = await opened.deliveries([each.id for each in entries])
            return [row for each in entries for row in found[each.id]]

    return asyncio.run(read())


def test_what_is_unsure_is_shown(tmp_path: Path) -> None:
    make_registry(tmp_path)
    fill(tmp_path)
    ran = nrc(tmp_path, "ledger", "audit")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.endswith("nothing is unsure\n")
    there, gone, entries = unsure(tmp_path)
    assert "3 deliveries (`nrc ledger audit`)" in nrc(tmp_path, "ledger", "status").out
    ran = nrc(tmp_path, "ledger", "audit")
    assert ran.code == 0
    told = {line.split()[0]: line.split()[1:] for line in ran.out.splitlines()[1:]}
    assert told[ids.short(there)][:2] == ["test", "2"]
    assert told[ids.short(gone)][:2] == ["(removed)", "1"]
    assert ids.short(entries[0].id) in told[ids.short(there)]
    assert "3 may have been delivered, or not, what was accepted until 2025-" in ran.err
    facts = nrc(tmp_path, "ledger", "audit", "--json").json()
    assert facts["unsure"] == 3
    of_there = next(each for each in facts["abonnementen"] if each["abonnement"] == str(there))
    assert of_there == {
        "abonnement": str(there),
        "clientId": "test",
        "unsure": 2,
        "oldest": Clock.utc(AT),
        "newest": Clock.utc(AT + 60_000),
        "sample": [str(entries[0].id), str(entries[1].id)],
    }


def test_what_is_unsure_is_sent_again_or_taken_as_delivered(tmp_path: Path) -> None:
    make_registry(tmp_path)
    there, gone, entries = unsure(tmp_path)
    ran = nrc(tmp_path, "ledger", "audit", "resend")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "nrc: 3 are unsure: --yes decides on them\n"
    assert nrc(tmp_path, "ledger", "audit", "resend", "--abonnement", "ffff0000", "--yes").code == 1
    since = Clock.utc(AT + 60_000)
    assert since is not None
    ran = nrc(tmp_path, "ledger", "audit", "resend", "--since", since, "--yes", "--json")
    assert (ran.code, ran.json()) == (0, {"resent": 1})
    assert "no keeper works" in ran.err
    ran = nrc(tmp_path, "ledger", "audit", "delivered", "--abonnement", str(gone)[:8], "--yes")
    assert (ran.code, ran.out) == (0, "1 are taken as delivered\n")
    first, later, of_gone, new = rows(tmp_path, entries)
    assert (first.state, first.round) == (State.UNSURE, 0)
    assert (later.state, later.round) == (State.RETURNING, 1)
    assert of_gone.state is State.DELIVERED
    assert (new.state, new.round) == (State.PENDING, 0)
    ran = nrc(tmp_path, "trace", str(entries[2].id))
    assert "Als afgeleverd aangemerkt" in ran.out
    ran = nrc(tmp_path, "ledger", "audit", "resend", "--abonnement", str(there), "--yes")
    assert (ran.code, ran.out) == (0, "1 are sent again\n")
    ran = nrc(tmp_path, "ledger", "audit", "resend", "--yes")
    assert (ran.code, ran.out) == (0, "0 are sent again\n")
    acts = nrc(tmp_path, "audit-trail", "--json").json()
    assert [(each["act"], each["facts"].get("count")) for each in acts] == [
        ("unsure given back", 1),
        ("unsure taken as delivered", 1),
        ("unsure given back", 1),
    ]
    assert acts[0]["facts"]["abonnement"] == str(there)
    assert acts[2]["facts"]["since"] == since
