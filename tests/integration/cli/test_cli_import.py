"""`nrc import open-notificaties` beside a running system: from a database there to the callbacks."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest

import router.declaring.service
from deliverer.service import serve as serve_deliverer
from ledger.keeper.service import Limits
from ledger.keeper.service import serve as serve_keeper
from ledger.losses import LedgerLosses
from ledger.opening import ledger_of
from ledger.values import State
from runtime.settings import Settings
from schemas.application import Scope
from store.opening import registry_of
from tests.callback_server import CallbackServer, status
from tests.command import Ran, nrc_process
from tests.databases.open_notificaties import OpenNotificaties, event, message, open_notificaties
from tests.eventually import eventually
from tests.integration.conftest import running, settings_for

pytestmark = pytest.mark.usefixtures("broker")

LIMITS = Limits(lease=10.0, renewal=1.0, again=5.0, settled=0.3, pause=0.1, longest_pause=0.3)
TAKEN = 73 + 5 + 3
"""Deliveries of the test: of notificaties, of events that sources published, and of notificatie 97."""
OTHERS = "--others-connected"  # other tests use the same database
KILLED = """
import os, signal, sys
from nrc.cli import main
from nrc.importing import deliveries

left = int(sys.argv.pop(1))
deliveries.AT_ONCE = 8
check = deliveries.Deliveries.{method}

async def killed(*given, **named):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return await check(*given, **named)

deliveries.Deliveries.{method} = killed
main()
"""
"""An import that ends by SIGKILL at a call of a method: `_check` is after a commit, `_events` before one."""


class System:
    """A router, a deliverer and a keeper, callbacks, and `nrc import` beside them."""

    def __init__(self, settings: Settings, folder: Path, callback: CallbackServer) -> None:
        self.settings, self.folder, self.callback = settings, folder, callback
        self.env = {"NRC_AMQP_URL": settings.amqp_url[0], "NRC_CALLBACK_ALLOW_LOOPBACK": "true"}

    async def bring(self, *options: str) -> Ran:
        ran = await nrc_process(self.folder, "import", "open-notificaties", *options, env=self.env)
        assert "hidden" not in ran.out + ran.err
        return ran

    async def bring_until_killed(self, method: str, call: int, *options: str) -> None:
        others = {name: value for name, value in os.environ.items() if not name.startswith("NRC_")}
        env = {**others, **self.env, "NRC_STATE_DIR": str(self.folder)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED.replace("{method}", method), str(call),
            "import", "open-notificaties", *options,
            env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == -9, (out, err)

    def got(self, path: str) -> Counter[bytes]:
        return Counter(each.body for each in self.callback.at(path))

    async def waiting(self) -> int:
        async with ledger_of(self.settings) as ledger:
            open_ = sum(each.count for each in (await ledger.backlogs()).values())
            return open_ + await ledger.keeping.unrouted_count()


@pytest.fixture
async def system(vhost: str, tmp_path: Path) -> AsyncIterator[System]:
    # A callback in this process may be late on a busy machine, and an attempt that times out is made again.
    settings = settings_for(vhost, tmp_path, refresh_interval=30, callback_timeout=60)
    async with (
        registry_of(settings),
        ledger_of(settings),
        running(router.declaring.service.serve, settings, losses_of=LedgerLosses),
        CallbackServer() as callback,
        running(serve_deliverer, settings),
        running(serve_keeper, settings, limits=LIMITS),
    ):
        yield System(settings, tmp_path, callback)


@pytest.fixture
async def there(database_url: str) -> AsyncIterator[OpenNotificaties]:
    async with open_notificaties(database_url) as opened:
        yield opened


async def test_a_move_that_is_killed_loses_nothing_and_delivers_nothing_twice(
    system: System, there: OpenNotificaties
) -> None:
    for path in ("/a", "/b", "/d", "/e"):
        system.callback.script(path, status(204))
    zaken = await there.add_kanaal("zaken", "bronorganisatie", "zaaktype")
    other = await there.add_kanaal("documenten")
    await there.add_application("zac", "hidden-zac", "notificaties.consumeren")
    await there.add_application("open-zaak", "hidden-oz", label="Open Zaak", heeft_alle_autorisaties=True)
    await there.add("vng_api_common_jwtsecret", identifier="nobody", secret="hidden-nobody")
    groups = (zaken, {"zaaktype": "a"}), (zaken, {"bronorganisatie": "1"}), (other, {})
    a, of_a = await there.add_abonnement(system.callback.url("/a"), *groups)
    b, of_b = await there.add_abonnement(system.callback.url("/b"), (zaken, {}), auth="Token hidden-b")
    no_owner, _ = await there.add_abonnement(system.callback.url("/c"), (zaken, {}), client_id="")
    events, of_events = await there.add_abonnement(
        system.callback.url("/d"), (zaken, {}), send_cloudevents=True
    )
    of_all, uuid_of_all = await there.add_abonnement(
        system.callback.url("/e"), (zaken, {}), send_cloudevents=True
    )
    group = await there.add(
        "datamodel_cloudeventfiltergroup", type_substring="nl.overheid", abonnement_id=events
    )
    await there.add("datamodel_cloudeventfilter", key="a", value="1", cloud_event_filter_group_id=group)
    bodies = [message(number) for number in range(40)]
    for body in bodies[:30]:
        await there.wait_for(body, a, b)
    for body in bodies[30:]:  # where notificaties are not kept
        await there.wait_for(body, a, kept=False)
    # Its filters there changed while it waited; and others that nothing can be done with.
    late = message(99, kenmerken={"bronorganisatie": "2", "zaaktype": "z"})
    await there.wait_for(late, a, b, b, in_progress=True)
    await there.wait_for(message(98), no_owner, events)
    await there.wait_for({"id": "1", "specversion": "1.0"}, events, type="cloudevent")
    await there.wait_for({"no": "notificatie"}, a)
    # Events that sources published: one again by hand there, one where they are not kept, one that filters
    # no longer let through; and what a notificatie became there for who gets events.
    sent = [event(number, data={"a": "1", "digits": 1.5}) for number in range(3)]
    await there.wait_for_event(sent[0], events)
    await there.wait_for_event({**sent[0], "dataschema": ""}, events)
    await there.wait_for_event(sent[1], events, of_all, in_progress=True)
    await there.wait_for(sent[2], events, kept=False, type="cloudevent")
    unmatched = event(3, type="com.example.other", data="text", datacontenttype="text/plain")
    await there.wait_for_event(unmatched, events)
    number = await there.wait_for(message(97), a)
    became = [event(each, type="nl.overheid.zaken.zaak.create") for each in (97, 98)]
    for sub, its in ((events, became[0]), (of_all, became[1])):
        await there.wait_for(its, sub, kept=False, type="cloudevent", notificatie_id=number)

    # While something else is connected (here the test itself) no delivery is taken; to look is no harm.
    first = await system.bring("--database", there.url, "--dry-run", "--json")
    assert first.code == 4
    assert "are connected to the database" in first.err
    expected = {
        "found": 70 + 3 + 2 + 1 + 1 + 9, "taken": TAKEN, "there": 0, "twice": 2, "underWay": 4, "missing": 0,
        "notTaken": [
            {"reason": "its abonnement is not here: it was not taken, or is gone", "count": 1},
            {"reason": "what is to be delivered is no notificatie and no CloudEvent", "count": 2},
        ],
    }  # fmt: skip
    assert {name: first.json()["deliveries"][name] for name in expected} == expected
    refused = await system.bring("--database", there.url)
    assert refused.code == 2
    assert "no deliveries were taken" in refused.err
    assert f"not taken: {there.url.partition('?')[0].rpartition('@')[2]}" in refused.err.replace(
        "postgresql://", ""
    )
    assert "it has no client_id" in refused.err
    assert "nobody.scopes: no applicatie names it" in refused.err

    # The registry is there: as it was, with the same UUIDs, owners, secrets, scopes and filters.
    async with registry_of(system.settings) as registry:
        now = await registry.changes_since(0)
    assert {each.naam: each.filters for each in now.kanalen} == {
        "zaken": ("bronorganisatie", "zaaktype"), "documenten": (),
    }  # fmt: skip
    assert {each.client_id: (each.secret, each.label, each.scopes) for each in now.applications} == {
        "zac": ("hidden-zac", "", {Scope.CONSUMEREN}),
        "open-zaak": ("hidden-oz", "Open Zaak", set(Scope)),
        "nobody": ("hidden-nobody", "", set()),
    }
    made = {each.uuid: each for each in now.abonnementen}
    assert made.keys() == {of_a, of_b, of_events, uuid_of_all}
    options = made[of_events].options
    assert options is not None
    assert options.as_given() == {
        "cloudevents": {"filters": [{"typeSubstring": "nl.overheid", "filters": {"a": "1"}}]}
    }
    assert [(group.naam, group.filters) for group in made[of_a].kanalen] == [
        ("zaken", (("zaaktype", "a"),)), ("zaken", (("bronorganisatie", "1"),)), ("documenten", ()),
    ]  # fmt: skip
    assert (made[of_b].auth, made[of_b].client_id) == ("Token hidden-b", "zac")
    assert not system.callback.received  # no test message went to a consumer

    # Killed after a commit, before one, and after the moment of a run was noted; and then to the end.
    how = ("--database", there.url, OTHERS)
    await system.bring_until_killed("_check", 2, *how)
    await system.bring_until_killed("_events", 12, *how)
    await system.bring_until_killed("_events", 1, *how)
    last = await system.bring(*how, "--json")
    assert last.code == 0, last.err
    account = last.json()["deliveries"]
    assert account["taken"] + account["there"] == TAKEN
    assert account["there"] >= 16
    assert account["missing"] == 0
    again = await system.bring(*how, "--json")
    assert again.code == 0
    assert (again.json()["deliveries"]["taken"], again.json()["deliveries"]["there"]) == (0, TAKEN)

    # For the way back: the rows of all that was taken, and of what was there twice.
    back = await system.bring(*how[:2], "--taken-as-sql")
    assert "83 of the 86 deliveries that it has were taken here" in back.err
    begin, delete, commit = back.out.splitlines()
    assert (begin, commit) == ("BEGIN;", "COMMIT;")
    assert delete.startswith("DELETE FROM datamodel_schedulednotification WHERE id IN (")
    assert len(delete.split(",")) == TAKEN + 2

    def expected_at(*bodies: dict[str, Any]) -> set[bytes]:
        return {orjson.dumps(body, option=orjson.OPT_SORT_KEYS) for body in bodies}

    def sorted_at(path: str) -> Counter[bytes]:
        return Counter(
            orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)
            for body in system.got(path).elements()
        )

    to_a, to_b = expected_at(*bodies, late, message(97)), expected_at(*bodies[:30], late)
    await eventually(lambda: sorted_at("/a").keys() >= to_a and sorted_at("/b").keys() >= to_b, within=120)
    await eventually(lambda: _is_zero(system), within=60)
    assert sorted_at("/a") == Counter(dict.fromkeys(to_a, 1))
    to_events = [orjson.loads(each.body) for each in system.callback.at("/d")]
    (made_here,) = [each for each in to_events if not str(each["id"]).startswith("event-")]
    assert made_here["type"] == "nl.overheid.zaken.zaak.create"  # what waited as a notificatie
    to_events.remove(made_here)
    assert sorted(to_events, key=lambda each: str(each["id"])) == [*sent, unmatched, became[0]]
    assert sorted_at("/e") == Counter(dict.fromkeys(expected_at(sent[1], became[1]), 1))
    assert {each.header("Content-Type") for path in "de" for each in system.callback.at(f"/{path}")} == {
        "application/cloudevents+json"
    }
    assert sorted_at("/b") == Counter(dict.fromkeys(to_b, 1))
    # The ledger tells of each, and for both abonnementen by the same id.
    ids = {UUID(each.header("webhook-id") or "") for each in system.callback.received}
    async with ledger_of(system.settings) as ledger:
        rows = [row for of in (await ledger.deliveries(sorted(ids))).values() for row in of]
    assert Counter(row.state for row in rows) == {State.DELIVERED: TAKEN}
    assert len(ids) == 42 + 4 + 3

    # A dump of the same is the same.
    there.dump(system.folder / "dump.json")
    dumped = await system.bring("--dump", "dump.json", "--json")
    assert dumped.code == 0, dumped.err
    assert dumped.json()["changes"] == []
    assert dumped.json()["deliveries"] == again.json()["deliveries"]


async def _is_zero(system: System) -> bool:
    return await system.waiting() == 0
