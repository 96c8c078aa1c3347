"""`nrc status`: what needs attention and how urgently, and how it is told when parts are away."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from ledger.ids import new_id
from ledger.keeper_ledger import Facts, Gap, InLane, Lease, Process
from ledger.opening import LEDGER_FILE, open_ledger
from ledger.values import OPERATOR, Backlog, Heartbeat, Minute, Scope
from ledger.values import State as Became
from nrc.cli.status.attention import Concern, concerns, worst_of
from nrc.cli.status.screen import show
from nrc.exits import Exit
from operating.conditions import Condition
from operating.status.collecting import Disk, OfLedger, Status
from operating.status.health import Health, Part
from router.amqp_direct.queues import AmqpQueue
from router.queue_depth import Depth
from schemas.abonnement import Hold, State
from tests.command import make_registry, nrc
from tests.contract.stores.test_ledger import an_entry, an_outcome
from tests.make import an_abonnement

AT = 1_760_000_000.0
NOW = int(AT * 1000)
ABONNEMENT = UUID("11111111-0000-4000-8000-000000000000")
FACTS = Facts(
    now=NOW,
    open=(0, 0),
    unrouted=0,
    returning=0,
    stuck=0,
    unsure=0,
    size=1000,
    lease=Lease("host 1", 1, NOW + 10_000),
    processes=(Process("deliverer 1", NOW - 1000, NOW, 0, stopped=False),),
)
LEDGER = OfLedger(FACTS, (), {}, 0, (), "ledger.db")
WELL = Status(
    at=AT,
    parts=[Part(name, Health.OK, "well") for name in ("gateway", "broker", "router", "registry")],
    conditions=(),
    ledger=LEDGER,
    ledger_fault="",
    ledger_budget=1_000_000,
    disk=Disk(free=50, total=100),
    private=True,
)


def with_part(name: str, health: Health, said: str, *warnings: str) -> Status:
    parts = [Part(name, health, said, warnings) if each.name == name else each for each in WELL.parts]
    return replace(WELL, parts=parts)


def with_ledger(**changes: object) -> Status:
    return replace(WELL, ledger=replace(LEDGER, **changes))  # type: ignore[arg-type]


def with_facts(**changes: object) -> Status:
    return with_ledger(facts=replace(FACTS, **changes))  # type: ignore[arg-type]


def a_condition(state: State, *, since: float = 0.0, **changes: object) -> Condition:
    hold = Hold(since=AT - since, probes=1, next_probe=AT) if state is State.HELD else None
    abonnement = replace(an_abonnement(), uuid=ABONNEMENT, state=state, state_reason="gone", hold=hold)
    return replace(Condition(abonnement, waiting=0), **changes)  # type: ignore[arg-type]


def reads_rabbitmq(**queue: object) -> Condition:
    found = a_condition(State.ACTIVE)
    url = AmqpQueue.model_validate(queue).url(ABONNEMENT)
    return replace(found, abonnement=replace(found.abonnement, state_reason="", callback_url=url))


def test_a_queue_that_is_read_or_empty_or_a_stream_is_no_concern() -> None:
    for depth, queue in ((Depth(3, 1), {}), (Depth(0, 0), {}), (Depth(3, 0), {"kind": "stream"})):
        assert not concerns(replace(WELL, conditions=[reads_rabbitmq(**queue)], queues={ABONNEMENT: depth}))


def test_all_is_well() -> None:
    assert concerns(WELL) == []
    assert worst_of(WELL, []) is Exit.OK


@pytest.mark.parametrize(
    ("status", "code", "next_", "exit_"),
    [
        (with_part("gateway", Health.NOT_REACHABLE, "refused"), "gateway_away", "nrc up, or: nrc gateway", 3),
        (with_part("gateway", Health.NOT_READY, "registry: locked"), "gateway_not_ready", "nrc health", 1),
        (with_part("gateway", Health.OK, "here", "ledger: full"), "gateway_warns", "nrc health", 1),
        (
            with_part("gateway", Health.OK, "here", "Autorisaties API: timeout: no answer within 5 s"),
            "ac_away",
            "nrc application rights",
            1,
        ),
        (with_part("broker", Health.NOT_REACHABLE, "refused"), "rabbitmq_away", "nrc up", 3),
        (with_part("broker", Health.NOT_READY, "a policy"), "rabbitmq_not_ready", "nrc health", 1),
        (with_part("router", Health.NOT_REACHABLE, "none runs"), "router_away", "nrc router", 3),
        (with_part("registry", Health.NOT_REACHABLE, "locked"), "registry_away", "nrc health", 3),
        (replace(WELL, registry_fault="locked"), "registry_away", "nrc health", 3),
        (replace(WELL, ledger=None, ledger_fault="locked"), "ledger_away", "nrc ledger status", 3),
        (with_facts(lease=Lease("host 1", 1, NOW - 1)), "no_keeper", "nrc ledger", 1),
        (with_facts(lease=None), "no_keeper", "nrc ledger", 1),
        (with_facts(processes=()), "no_deliverer", "nrc deliverer", 1),
        (
            with_facts(processes=(Process("deliverer 1", NOW - 16_000, NOW, 0, stopped=False),)),
            "no_deliverer",
            "nrc deliverer",
            1,
        ),
        (with_facts(stuck=2), "stuck", "nrc notificaties list --state stuck", 1),
        (with_facts(unsure=1), "unsure", "nrc ledger audit", 1),
        (replace(WELL, disk=Disk(free=2, total=100)), "disk", "df -h", 1),
        (replace(WELL, disk=Disk(free=9, total=100)), "disk", "df -h", 0),
        (with_facts(size=960_000), "ledger_nearly_full", "nrc ledger status", 0),
        (with_ledger(undeliverable=1), "undeliverable", "nrc undeliverable list", 0),
        (
            with_ledger(gaps=[Gap(3, Scope.KANAAL, "zaken", NOW - 5000, None, OPERATOR, done=False)]),
            "gap_of_operator",
            "nrc ledger gaps close 3",
            0,
        ),
        (
            with_ledger(gaps=[Gap(3, Scope.EVERYTHING, "", NOW - 900_000, NOW - 700_000, "x", done=False)]),
            "gap",
            "nrc ledger gaps",
            0,
        ),
        (
            replace(WELL, conditions=[reads_rabbitmq()], queues={ABONNEMENT: Depth(3, 0)}),
            "queue_unread",
            "nrc amqp show 11111111",
            0,
        ),
        (
            replace(WELL, conditions=[a_condition(State.HELD, since=60, waiting=1)]),
            "held",
            "nrc abonnement show 11111111",
            0,
        ),
        (
            replace(WELL, conditions=[a_condition(State.SUSPENDED, waiting=2)]),
            "suspended",
            "nrc abonnement resume 11111111",
            0,
        ),
        (
            replace(WELL, conditions=[a_condition(State.ACTIVE, oldest=AT - 7200)]),
            "waits_long",
            "nrc abonnement show 11111111",
            0,
        ),
    ],
)
def test_what_needs_attention(status: Status, code: str, next_: str, exit_: int) -> None:
    found = concerns(status)
    assert [(each.code, each.next) for each in found] == [(code, next_)]
    assert worst_of(status, found) == exit_
    assert found[0].urgent == (exit_ > 0)
    assert not found[0].text[0].islower() and found[0].text.endswith((".", ":"))


def test_of_one_cause_only_that_is_told() -> None:
    parts = [
        Part("gateway", Health.OK, "here", ["broker: refused", "ledger: full"]),
        Part("broker", Health.NOT_REACHABLE, "refused"),
        Part("router", Health.NOT_REACHABLE, "refused"),
        Part("registry", Health.OK, "well"),
    ]
    found = concerns(replace(WELL, parts=parts, private=False))
    assert [each.code for each in found] == ["rabbitmq_away", "gateway_warns"]
    assert found[0].next == "rabbitmq-diagnostics check_running, on its host"


def test_what_is_urgent_comes_first_and_many_of_a_kind_are_one_line() -> None:
    held = [replace(a_condition(State.HELD, since=60 * number), waiting=None) for number in range(1, 6)]
    found = concerns(replace(with_facts(stuck=1), conditions=held))
    assert [each.code for each in found] == ["stuck", "held", "held", "held", "held"]
    assert "has not worked for 5m (gone); what waits for it is not known." in found[1].text
    assert found[-1] == Concern("held", "The same of 2 other abonnementen.", "nrc abonnement list")


def test_what_is_suspended_or_waits_without_need_is_not_told() -> None:
    quiet = [a_condition(State.SUSPENDED), a_condition(State.ACTIVE, oldest=AT - 60, waiting=5)]
    assert concerns(replace(WELL, conditions=quiet)) == []
    fresh = Gap(1, Scope.ABONNEMENT, str(uuid4()), NOW - 5000, NOW - 1000, "deleted", done=False)
    assert concerns(with_ledger(gaps=[fresh])) == []


def test_counts_are_of_whole_minutes_and_the_one_that_runs() -> None:
    begin = NOW - NOW % 60_000
    minutes = [
        Minute(begin - 6 * 60_000, 100, {Became.DELIVERED: 100}),
        Minute(begin - 5 * 60_000, 10, {Became.DELIVERED: 9, Became.RETRYING: 2}),
        Minute(begin, 1, {Became.RETURNING: 1, Became.UNDELIVERABLE: 3}, took={4: 2}),
    ]
    counted = replace(LEDGER, minutes=minutes).counted(minutes=5)
    assert (counted.accepted, counted.delivered, counted.failed) == (11, 9, 2)
    assert (counted.given_back, counted.undeliverable) == (1, 3)
    assert counted.took == {4: 2}


def test_without_a_registry_it_says_where_to_be(tmp_path: Path) -> None:
    ran = nrc(tmp_path, "status")
    assert ran.code == 2
    assert "there is no registry" in ran.err


def test_while_nothing_runs_the_rest_is_told(tmp_path: Path) -> None:
    make_registry(tmp_path)
    abonnement, away = uuid4(), {"NRC_AMQP_URL": "amqp://127.0.0.1:9/", "NRC_GATEWAY_LISTEN": "127.0.0.1:9"}

    async def fill() -> None:
        entry = an_entry(abonnement)
        async with open_ledger(tmp_path / LEDGER_FILE) as ledger:
            await ledger.write([entry, an_outcome(entry, abonnement, Became.UNDELIVERABLE)])
            await ledger.write([Heartbeat("deliverer 1", all_flushed=True)])

    asyncio.run(fill())
    ran = nrc(tmp_path, "status", env=away)
    assert ran.code == 3
    lines = ran.out.splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["gateway", "NOT"],
        ["RabbitMQ", "NOT"],
        ["router", "NOT"],
    ]
    assert lines.index("NOW") < lines.index("BY DAY")
    assert "      nrc undeliverable list" in lines
    told = nrc(tmp_path, "status", "--json", env=away).json()
    assert told["undeliverable"] == 1
    assert [each["code"] for each in told["attention"]] == [
        "gateway_away",
        "rabbitmq_away",
        "no_keeper",
        "undeliverable",
    ]


def test_the_disk_of_a_database_server_is_not_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    show(replace(WELL, disk=None, disk_of_server=True), [])
    assert re.search(r"^disk +- +the database server's$", capsys.readouterr().out, re.MULTILINE)


def test_what_waits_in_the_lane_for_bulk_is_told_while_something_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lane = {
        uuid4(): InLane(new_id(at=AT - 30), 2),
        ABONNEMENT: InLane(new_id(at=AT - 180), 5),
    }
    show(with_ledger(facts=replace(FACTS, lane=6), lane=lane), [])
    told = "6 notificaties wait; the oldest for 3m; most for 11111111, 5"
    assert re.search(rf"^bulk +{told}$", capsys.readouterr().out, re.MULTILINE)
    for empty in (
        WELL,
        with_ledger(facts=replace(FACTS, lane=1)),
    ):  # the mark of what was given is cleared later
        show(empty, [])
        assert "bulk" not in capsys.readouterr().out


def test_without_an_answer_of_the_registry_no_abonnementen_are_made_up(tmp_path: Path) -> None:
    make_registry(tmp_path)
    (tmp_path / "registry.db").write_bytes(b"this is no database" * 1000)
    away = {"NRC_AMQP_URL": "amqp://127.0.0.1:9/", "NRC_GATEWAY_LISTEN": "127.0.0.1:9"}
    ran = nrc(tmp_path, "status", env=away)
    assert ran.code == 3
    assert re.search(r"^abonnementen +not known$", ran.out, re.MULTILINE)
    told = nrc(tmp_path, "status", "--json", env=away).json()
    assert told["abonnementen"] is None
    assert "registry.db" in told["registryFault"]


def test_without_a_ledger_that_is_told(tmp_path: Path) -> None:
    make_registry(tmp_path)
    (tmp_path / LEDGER_FILE).write_bytes(b"this is no database" * 100)
    ran = nrc(tmp_path, "status", env={"NRC_AMQP_URL": "amqp://127.0.0.1:9/"})
    assert ran.code == 3
    assert "The ledger cannot be read: " in ran.out
    assert Backlog() == Backlog(), "nothing of it is made up"
