"""Commands on what was not delivered (yet): by the rows of the ledger, beside a real RabbitMQ."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import orjson
import pytest

from ledger.ids import new_id
from ledger.keeper.service import serve as keep
from ledger.ledger import Ledger
from ledger.values import UNKNOWN, Attempt, Entry, Key, Outcome, WhyEnded, ms_of
from ledger.values import State as Delivered
from nrc.cli.terminal.output import shown
from router import names
from router.history import read_history
from router.queue_depth import depth_of
from schemas.abonnement import Abonnement, Hold, State
from schemas.application import Application
from store.registry import ActSearch
from tests.callback_server import status
from tests.eventually import eventually
from tests.integration.cli.test_cli_broker import nrc, queue_stands, subscribe
from tests.integration.conftest import Running, running
from tests.integration.deliverer.delivering import Delivering
from tests.integration.deliverer.test_outcomes import accept
from tests.integration.ledger.keeping import SHORT

pytestmark = pytest.mark.usefixtures("broker")

ACCEPTED = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
ENDED = datetime(2026, 1, 3, tzinfo=UTC)
FAILED = Attempt(
    ms_of(datetime(2026, 1, 2, tzinfo=UTC)), 1, "http_status", "the callback said no", 500, ms=12.0
)


async def add(
    ledger: Ledger,
    *abonnementen: UUID,
    state: Delivered = Delivered.UNDELIVERABLE,
    id_: UUID | None = None,
    after: int = 0,
    wait: float | None = None,
) -> str:
    """A notificatie that was accepted so many seconds after ACCEPTED, each delivery in this state; its id."""
    at = ACCEPTED + timedelta(seconds=after)
    id_ = id_ or new_id(at=at.timestamp())
    body = orjson.dumps(
        {"kanaal": "zaken", "number": str(id_), "kenmerken": {"bronorganisatie": "051845623"}}
    )
    entry = Entry(
        id=id_,
        received=ms_of(at),
        client="test",
        kanaal="zaken",
        resource="zaak",
        actie="create",
        hoofd_object="https://zaken.example.nl/1",
        resource_url="https://zaken.example.nl/1",
        kenmerken={"bronorganisatie": "051845623"},
        body=body,
        catalogue=1,
        matched=abonnementen,
    )
    outcomes = [
        Outcome(Key(id_, each), state, 0, 1, ms_of(ENDED), wait=wait, failed=FAILED)
        for each in abonnementen
        if state is not Delivered.PENDING
    ]
    await ledger.write([entry, *outcomes])
    return str(id_)


async def left(ledger: Ledger) -> list[tuple[str, UUID]]:
    """What is undeliverable, the oldest first."""
    rows = await ledger.undeliverable(limit=1000)
    return [(str(row.key.notificatie), row.key.abonnement) for row in rows]


async def acts(router: Running) -> list[tuple[str, str, str]]:
    """(act, notificatie, abonnement) of what operators did with undeliverable ones."""
    told = (router.settings.state_dir / "operator.log").read_text().splitlines()
    lines = [orjson.loads(line) for line in told]
    return [
        (line["event"], line["notificatie"], line["abonnement"]) for line in lines if "notificatie" in line
    ]


async def test_list_and_show_say_all_that_is_known(router: Running, ledger: Ledger) -> None:
    abonnementen = [uuid4(), uuid4()]
    ids = [await add(ledger, abonnementen[number % 2], after=number) for number in range(6)]
    listed = await nrc(router, "undeliverable", "list", "--json")
    assert listed.json()[0] == {
        "id": ids[0],
        "abonnement": str(abonnementen[0]),
        "replay": 0,
        "kanaal": "zaken",
        "acceptedAt": "2026-01-01T12:00:00Z",
        "undeliverableAt": "2026-01-03T00:00:00Z",
        "attempts": 1,
        "failures": [
            {
                "at": "2026-01-02T00:00:00Z",
                "class": "http_status",
                "status": 500,
                "detail": "the callback said no",
            }
        ],
    }
    assert [each["id"] for each in listed.json()] == ids
    assert "no keeper works" in listed.err
    of_one = ["--abonnement", str(abonnementen[1])[:8], "--limit", "2", "--wide"]
    one = await nrc(router, "undeliverable", "list", *of_one)
    assert [line.split()[0] for line in one.out.splitlines()] == ["ID", ids[1], ids[3]]
    assert "more than 2" in one.err
    shown = await nrc(router, "undeliverable", "show", ids[4])
    assert "2026-01-02T00:00:00Z  http_status 500: the callback said no" in shown.out
    assert f'"number":"{ids[4]}"' in shown.out
    (as_json,) = (await nrc(router, "undeliverable", "show", ids[4], "--json")).json()
    assert as_json["notificatie"]["number"] == ids[4]
    assert (as_json["where"], as_json["state"]) == ("undeliverable", None)
    nowhere = await nrc(router, "undeliverable", "show", str(uuid4()))
    assert (nowhere.code, nowhere.out) == (1, "")
    assert "nor one that waits" in nowhere.err


async def test_resend_is_a_message_for_the_one_abonnement(router: Running, ledger: Ledger) -> None:
    one, other = await subscribe(router), await subscribe(router)
    ids = [await add(ledger, one.uuid, other.uuid, after=number) for number in range(3)]
    ran = await nrc(router, "undeliverable", "resend", ids[1], "--abonnement", str(one.uuid), "--json")
    assert ran.code == 0
    assert ran.json() == {
        "resent": [{"id": ids[1], "abonnement": str(one.uuid), "replay": 0}],
        "later": [],
        "failed": [],
        "missing": [],
    }
    (message,) = await router.taken(names.abonnement_queue(one.uuid))
    assert (message.message_id, message.timestamp) == (ids[1], ACCEPTED + timedelta(seconds=1))
    assert orjson.loads(message.body)["number"] == ids[1]
    history = read_history(message.headers)
    assert (history.round, history.attempts, history.failures) == (1, 0, ()), "and nothing of its attempts"
    assert message.headers["k.bronorganisatie"] == "051845623"
    assert "nrc-resent-at" in message.headers

    rest = await nrc(router, "undeliverable", "resend", "--abonnement", str(other.uuid)[:8])
    assert (rest.code, rest.out) == (0, "3 sent again\n")
    assert await left(ledger) == [(ids[0], one.uuid), (ids[2], one.uuid)]
    unknown = str(uuid4())
    both = await nrc(router, "undeliverable", "resend", ids[0], ids[2], unknown)
    assert (both.code, both.out, both.err) == (
        1, "2 sent again\n", f"{unknown}: the ledger does not have it\n"
    )  # fmt: skip
    assert await left(ledger) == []
    again = [(ids[1], one), *((id_, other) for id_ in ids), (ids[0], one), (ids[2], one)]
    assert sorted(await acts(router)) == sorted(
        ("notificatie sent again", id_, str(each.uuid)) for id_, each in again
    )


async def test_what_cannot_be_sent_again_stays(router: Running, ledger: Ledger) -> None:
    here, removed = await subscribe(router), await subscribe(router)
    await router.registry.remove_abonnement(removed.uuid)
    await router.client.apply_abonnement(removed.uuid)
    orphan, nobodys = await add(ledger, removed.uuid), await add(ledger, UNKNOWN, after=1)
    waits = await add(ledger, here.uuid, state=Delivered.PENDING)
    ran = await nrc(router, "undeliverable", "resend", orphan, nobodys, waits)
    assert (ran.code, ran.out) == (1, "0 sent again\n")
    assert sorted(ran.err.splitlines()) == sorted(
        [
            f"{orphan} to {str(removed.uuid)[:8]}: abonnement {removed.uuid} has no queue (any more)",
            f"{nobodys} to {str(UNKNOWN)[:8]}: nothing on it says which abonnement it was for",
            f"{waits} to {str(here.uuid)[:8]}: it is in the queue of its abonnement, or on its way there",
        ]
    )
    assert await left(ledger) == [(orphan, removed.uuid), (nobodys, UNKNOWN)]
    listed = await nrc(router, "undeliverable", "list", "--wide")
    assert [line.split()[:2] for line in listed.out.splitlines()[1:]] == [
        [orphan, str(removed.uuid)],
        [nobodys, "unknown"],
    ]
    gone = await nrc(router, "undeliverable", "remove", orphan, nobodys, "--yes")
    assert (gone.code, gone.out) == (0, "2 removed\n")
    assert await left(ledger) == []


async def test_the_first_characters_of_ids_will_do(router: Running, ledger: Ledger) -> None:
    """Where they name one notificatie, or one abonnement; else nothing is done."""
    one, other = UUID("5f3a2b1c-0000-4000-8000-000000000001"), UUID("5f3a2b1d-0000-4000-8000-000000000002")
    await subscribe(router)
    first, second = "aaaa0000-0000-4000-8000-000000000001", "aaaa1111-0000-4000-8000-000000000002"
    for id_ in (first, second):
        await add(ledger, one, other, id_=UUID(id_))
    before = await left(ledger)
    listed = (await nrc(router, "undeliverable", "list", "--abonnement", "5f3a2b1c")).out
    assert [line.split()[:2] for line in listed.splitlines()[1:]] == [
        ["aaaa0000", "5f3a2b1c"],
        ["aaaa1111", "5f3a2b1c"],
    ]
    shown = await nrc(router, "undeliverable", "show", "aaaa1", "--json")
    assert [each["id"] for each in shown.json()] == [second, second]
    of_several = f"abonnement 5f3a may be any of these: {one}, {other}"
    for arguments, said in (
        (["show", "aaaa"], f"notificatie aaaa may be any of these: {first}, {second}"),
        (["resend", "aaaa"], f"notificatie aaaa may be any of these: {first}, {second}"),
        (["remove", "--yes", "--abonnement", "5f3a"], of_several),
        (["list", "--abonnement", "5f3a"], of_several),
    ):
        ran = await nrc(router, "undeliverable", *arguments)
        assert (ran.code, ran.out, ran.err.splitlines()[-1]) == (2, "", f"nrc: {said}")
    none = await nrc(router, "undeliverable", "remove", "--yes", "bbbb1")
    assert (none.code, none.err) == (1, "bbbb1: the ledger does not have it\n")
    assert (await nrc(router, "undeliverable", "remove", "--yes", "--abonnement", "bbbb")).code == 1
    assert await left(ledger) == before
    ran = await nrc(router, "undeliverable", "remove", "--yes", "aaaa0", "--abonnement", "5f3a2b1d")
    assert ran.out == "1 removed\n"
    assert (first, other) not in await left(ledger)


async def test_remove_takes_out_what_was_chosen_and_asks_first(router: Running, ledger: Ledger) -> None:
    await subscribe(router)
    one, other = uuid4(), uuid4()
    ids = [await add(ledger, one, other, after=number) for number in range(3)]
    before = await left(ledger)
    assert (await nrc(router, "undeliverable", "remove")).code == 2, "all of everyone is not meant"
    nobody = await nrc(router, "undeliverable", "remove", "--abonnement", str(one), stdin=b"y\n")
    assert (nobody.code, nobody.out) == (2, ""), "without a terminal nobody can be asked"
    assert nobody.err == "nrc: 3 go for good: --yes removes them\n"
    asked = await nrc(router, "undeliverable", "remove", "--abonnement", str(one), typed=b"n\n")
    assert asked.code == 1
    assert "remove 3 for good?" in asked.err
    assert await left(ledger) == before
    sure = await nrc(router, "undeliverable", "remove", "--abonnement", str(one), typed=b"y\n")
    assert (sure.code, sure.out.splitlines()[-1]) == (0, "3 removed")
    assert await left(ledger) == [(id_, other) for id_ in ids]
    unknown = str(uuid4())
    ran = await nrc(router, "undeliverable", "remove", ids[1], unknown, "--yes", "--json")
    assert (ran.code, ran.err) == (1, f"{unknown}: the ledger does not have it\n")
    assert ran.json()["removed"] == [{"id": ids[1], "abonnement": str(other), "replay": 0}]
    assert ran.json()["missing"] == [unknown]
    assert await left(ledger) == [(ids[0], other), (ids[2], other)]
    gone = [*((id_, one) for id_ in ids), (ids[1], other)]
    assert sorted(await acts(router)) == sorted(
        ("undeliverable notificatie removed", id_, str(each)) for id_, each in gone
    )


async def test_what_failed_for_good_is_delivered_after_a_restart_and_a_resend(
    spine: Delivering, ledger: Ledger
) -> None:
    """Whether the keeper had taken RabbitMQ's copy by then, or takes it after."""
    abonnement = await spine.subscribe("/broken")
    spine.callback.script("/broken", status(500), status(500), status(204))
    async with spine.deliverer(retry_schedule=""):
        ids = [await accept(spine, ledger, abonnement) for _ in range(2)]
        await eventually(lambda: _are_undeliverable(ledger, 2))
    async with running(keep, spine.router.settings, limits=SHORT):
        await eventually(lambda: _none_handed_over(spine))
    async with spine.deliverer(retry_schedule=""):
        ran = await nrc(spine.router, "undeliverable", "resend", *ids)
        assert (ran.code, ran.err) == (0, "")
        await eventually(lambda: sorted(map(str, spine.ids_at("/broken"))) == sorted(ids * 2))
        assert [each.header("nrc-attempt") for each in spine.callback.at("/broken")] == ["1"] * 4
    async with running(keep, spine.router.settings, limits=SHORT):
        await eventually(lambda: _none_handed_over(spine))
    assert await left(ledger) == []


async def _are_undeliverable(ledger: Ledger, count: int) -> bool:
    return await ledger.undeliverable_count() == count


async def _none_handed_over(spine: Delivering) -> bool:
    return await spine.depth(names.UNDELIVERABLE) == 0


# What waits


async def test_what_is_between_attempts_is_counted_and_can_be_found(
    spine: Delivering, ledger: Ledger
) -> None:
    router, started = spine.router, time.time()
    broken, well = await spine.subscribe("/broken"), await spine.subscribe("/well")
    spine.callback.script("/broken", status(500))
    async with spine.deliverer(retry_schedule="64,400"):
        ids = [await accept(spine, ledger, broken, well) for _ in range(3)]
        await eventually(lambda: len(spine.ids_at("/broken")) == len(spine.ids_at("/well")) == 3)

    listed = {each["uuid"]: each for each in (await nrc(router, "abonnement", "list", "--json")).json()}
    of_broken, of_well = listed[str(broken.uuid)], listed[str(well.uuid)]
    assert (of_broken["waiting"], of_broken["retrying"]) == (0, 3)
    assert (of_well["waiting"], of_well["retrying"], of_well["nextRetry"]) == (0, 0, None)
    size = sum([len((await ledger.notificatie(UUID(id_))).body or b"") for id_ in ids])  # type: ignore[union-attr]
    assert (of_broken["bytes"], of_well["bytes"]) == (size, 0)
    due = datetime.fromisoformat(of_broken["nextRetry"]).timestamp()
    assert started + 63 <= due <= time.time() + 64
    header, *rows = (await nrc(router, "abonnement", "list")).out.splitlines()
    assert header.split()[3:5] == ["WAITING", "RETRY"]
    (line,) = (row for row in rows if str(broken.uuid)[:8] in row)
    assert line.split()[3:5] == ["0", "3"]
    one = (await nrc(router, "abonnement", "show", str(broken.uuid))).out
    assert f"retrying:    3, the first until {shown(due)}" in one.splitlines()

    (found,) = (await nrc(router, "undeliverable", "show", ids[0], "--json")).json()
    assert (found["id"], found["abonnement"]) == (ids[0], str(broken.uuid))
    assert (found["where"], found["state"], found["attempts"]) == ("between attempts", "active", 1)
    due = datetime.fromisoformat(found["nextAttempt"]).timestamp()
    assert started + 63 <= due <= time.time() + 64
    where = f"where:      between attempts, the next at {shown(due)}"
    assert where in (await nrc(router, "undeliverable", "show", ids[0])).out.splitlines()

    await spine.set_state(broken, State.SUSPENDED)
    (found,) = (await nrc(router, "undeliverable", "show", ids[0], "--json")).json()
    assert (found["state"], found["nextAttempt"]) == ("suspended", None)
    text = (await nrc(router, "undeliverable", "show", ids[0])).out
    assert "then in the queue of its abonnement, which is suspended (by a test)" in text


async def test_what_came_back_to_its_queue_waits_there(router: Running, ledger: Ledger) -> None:
    """An attempt failed before its abonnement was held: it is not between attempts any more."""
    held = await subscribe(router)
    hold = Hold(since=1e9, probes=3, next_probe=1e9 + 40)
    await router.registry.set_hold(held.uuid, hold, "timeout", before=None, callback_url=held.callback_url)
    back = await add(ledger, held.uuid, state=Delivered.RETRYING, wait=0.0)
    await add(ledger, held.uuid, state=Delivered.RETRYING, wait=600.0)
    await add(ledger, held.uuid, state=Delivered.PENDING)
    (listed,) = (await nrc(router, "abonnement", "list", "--json")).json()
    assert (listed["waiting"], listed["retrying"], listed["stuck"]) == (2, 1, 0)
    assert listed["oldest"] == "2026-01-01T12:00:00Z"
    (found,) = (await nrc(router, "undeliverable", "show", back, "--json")).json()
    assert (found["where"], found["state"], found["nextAttempt"]) == ("queue", "held", None)
    lines = (await nrc(router, "undeliverable", "show", back)).out.splitlines()
    assert (
        "where:      the queue of its abonnement, which is held since 09-09-2001 03:46:40, "
        "next probe 09-09-2001 03:47:20"
    ) in lines


@pytest.mark.parametrize("command", ["abonnement", "application"])
async def test_what_waits_is_removed_or_kept_only_as_was_said(
    router: Running, ledger: Ledger, command: str
) -> None:
    await router.registry.add_application(Application("zac", "s"))
    for choice in ("--keep", "--yes"):
        abonnement = await subscribe(router, client_id="zac")
        await _wait_for(ledger, abonnement)
        arguments = [command, "remove", str(abonnement.uuid)]
        if command == "application":
            arguments = [command, "remove", "zac", "--with-abonnementen"]
        refused = await nrc(router, *arguments)
        assert (refused.code, refused.out) == (2, "")
        assert "3 notificaties wait: --keep keeps them, as undeliverable, --yes removes" in refused.err
        queue = names.abonnement_queue(abonnement.uuid)
        assert await depth_of(router.connection, queue) is not None
        ran = await nrc(router, *arguments, choice)
        assert (ran.code, ran.err) == (0, "")
        assert not await queue_stands(router, abonnement.uuid)
        taken = orjson.loads((router.settings.state_dir / "operator.log").read_text().splitlines()[-1])
        assert (taken["event"], taken["abonnement"]) == ("what waited was taken away", str(abonnement.uuid))
        (noted,) = await router.registry.acts(ActSearch(what="what waited"), limit=1)
        assert noted.facts == {key: taken[key] for key in ("abonnement", "removed", "undeliverable")}
        assert (taken["removed"], taken["undeliverable"]) == ((0, 3) if choice == "--keep" else (3, 0))
        assert abonnement.uuid not in await ledger.backlogs()
        ended = [row for row in await ledger.undeliverable(limit=9) if row.key.abonnement == abonnement.uuid]
        if choice == "--keep":
            assert ran.out.splitlines()[-1] == "3 notificatie(s) that waited are undeliverable"
            assert len(ended) == 3
            attempts = await ledger.attempts(ended[0].key)
            assert attempts[-1].kind == WhyEnded.ABONNEMENT_REMOVED
            if command == "application":
                await router.registry.add_application(Application("zac", "s"))
        else:
            assert ran.out.splitlines()[-1] == "3 notificatie(s) that waited removed"
            assert ended == []


async def _wait_for(ledger: Ledger, abonnement: Abonnement) -> None:
    """Three that wait: in the queue, between attempts, and stuck."""
    await add(ledger, abonnement.uuid, state=Delivered.PENDING)
    await add(ledger, abonnement.uuid, state=Delivered.RETRYING, wait=600.0)
    await add(ledger, abonnement.uuid, state=Delivered.STUCK)
