"""`nrc ledger status` and `nrc ledger gaps`, on a ledger and a registry."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

from ledger.opening import LEDGER_FILE, open_ledger
from ledger.values import Event, GapClosed, GapOpened, Heartbeat, Scope, Unrouted
from store.opening import open_registry
from tests.command import make_registry, nrc
from tests.contract.test_ledger import an_entry
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


def test_an_operator_opens_a_gap_and_closes_it(tmp_path: Path) -> None:
    make_registry(tmp_path)
    uuid = subscribe(tmp_path)
    fill(tmp_path)
    assert "no gaps" in nrc(tmp_path, "ledger", "gaps").err
    for wrong in (
        [],
        ["--everything", "--kanaal", "zaken"],
        ["--kanaal", "niets"],
        ["--abonnement", "abcdef01"],
    ):
        assert nrc(tmp_path, "ledger", "gaps", "open", *wrong).code == 2, wrong
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
