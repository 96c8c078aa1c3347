"""How the status is laid out: what runs, what happened, what waits, what needs attention and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import click

from ledger.durations import percentile
from nrc.cli.ledger.telling import facts_of_ledger, keeper_of, lane_of, megabytes
from nrc.cli.registry.condition import facts as facts_of_condition
from nrc.cli.status.attention import Concern
from nrc.cli.terminal.output import Column, age, moment, table, took
from nrc.cli.tracing.layout import heads, sentences
from operating.status.collecting import OfLedger, Status
from operating.status.health import Health, Part
from schemas.abonnement import State

NAMES = {"broker": "RabbitMQ"}
"""What a part is called on the screen, where that is not its name."""
PERCENTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


def show(status: Status, found: Sequence[Concern]) -> None:
    """Print it all."""
    table(
        [Column("PART"), Column("STATE"), Column("DETAIL", least=20, folds=True)],
        [*(_row(part) for part in status.parts), *_of_ledger(status), _disk(status)],
        empty="",
    )
    click.echo()
    if (ledger := status.ledger) is not None:
        for line in _counts(ledger):
            click.echo(line)
        click.echo()
    for line in heads(_waiting(status)):
        click.echo(line)
    click.echo()
    _attention(found)


def _row(part: Part) -> list[object]:
    return [NAMES.get(part.name, part.name), "ok" if part.health is Health.OK else "NOT OK", part.detail]


def _of_ledger(status: Status) -> list[list[object]]:
    ledger = status.ledger
    if ledger is None:
        return [["ledger", "NOT OK", status.ledger_fault]]
    facts = ledger.facts
    living = facts.living
    in_hand = sum(each.hands for each in living)
    size = f"{megabytes(facts.size)} of {megabytes(status.ledger_budget)}"
    return [
        ["keeper", _ok(facts.keeper is not None), keeper_of(facts)],
        ["deliverers", _ok(bool(living)), f"{len(living)} running, {in_hand} deliveries in hand"],
        ["ledger", "ok", f"{ledger.file}, {size}"],
    ]


def _disk(status: Status) -> list[object]:
    disk = status.disk
    if status.disk_of_server:
        return ["disk", "-", "the database server's"]
    if disk is None:
        return ["disk", "?", "not known"]
    gigabytes = f"{disk.free / 1_000_000_000:.1f} of {disk.total / 1_000_000_000:.1f} GB free"
    return ["disk", "ok" if disk.free > disk.total / 10 else "LOW", gigabytes]


def _ok(fine: bool) -> str:
    return "ok" if fine else "NOT OK"


def _counts(ledger: OfLedger) -> list[str]:
    """What happened in the last minutes and in the last hour, under each other."""
    of_five, of_hour = ledger.counted(minutes=5), ledger.counted(minutes=60)
    rows = [["", "5 MIN", "1 HOUR"]]
    for name in ("accepted", "delivered", "failed", "undeliverable", "given_back", "sent_again"):
        counts = [str(getattr(counted, name)) for counted in (of_five, of_hour)]
        rows.append([name.replace("_", " "), *(text.rjust(6) for text in counts)])
    for name, share in PERCENTILES.items():
        found = [percentile(counted.took, share) for counted in (of_five, of_hour)]
        texts = ["-" if ms is None else took(ms) for ms in found]
        rows.append([f"{name} to delivery", *(text.rjust(6) for text in texts)])
    lines = heads(rows)
    return [click.style(lines[0], bold=True), *lines[1:]]


def _waiting(status: Status) -> list[list[object]]:
    states = Counter(each.abonnement.state for each in status.conditions)
    told = ", ".join(f"{states[state]} {state}" for state in State)
    rows: list[list[object]] = [["abonnementen", "not known" if status.registry_fault else told]]
    if (ledger := status.ledger) is None:
        return [*rows, ["waiting", "not known"]]
    backlogs = ledger.backlogs.values()
    waiting, retrying = sum(each.in_queue for each in backlogs), sum(each.retrying for each in backlogs)
    oldest = min((each.oldest for each in backlogs if each.oldest is not None), default=None)
    since = "" if oldest is None else f"; the oldest for {age(status.at - oldest / 1000)}"
    unrouted = f"; {ledger.facts.unrouted} not in RabbitMQ yet" if ledger.facts.unrouted else ""
    queues = status.queues.values()
    read = f"{sum(each.messages for each in queues)} messages in {len(queues)} queues of consumers"
    if queues:
        rows.append(["RabbitMQ", read])
    if bulk := lane_of(ledger.facts, ledger.lane):
        rows.append(["bulk", bulk])
    return [
        *rows,
        ["waiting", f"{waiting} in queues, {retrying} between attempts{since}{unrouted}"],
        ["undeliverable", ledger.undeliverable],
    ]


def _attention(found: Sequence[Concern]) -> None:
    if not found:
        click.echo(click.style("Nothing needs attention.", bold=True))
        return
    for heading, urgent in (("NOW", True), ("BY DAY", False)):
        of_kind = [each for each in found if each.urgent is urgent]
        if of_kind:
            click.echo(click.style(heading, bold=True))
        for each in of_kind:
            sentences(each.text, indent=2)
            click.echo(f"      {each.next}")


def facts(status: Status, found: Sequence[Concern]) -> dict[str, object]:
    """The same for scripts."""
    ledger, disk = status.ledger, status.disk
    return {
        "at": moment(status.at),
        "parts": {part.name: part.facts() for part in status.parts},
        "ledger": None if ledger is None else _of_the_ledger(ledger),
        "ledgerFault": status.ledger_fault or None,
        "counts": None if ledger is None else {str(each): _counted(ledger, each) for each in (5, 60)},
        "undeliverable": None if ledger is None else ledger.undeliverable,
        "disk": None if disk is None else {"free": disk.free, "total": disk.total},
        "queues": {
            str(uuid): {"messages": each.messages, "consumers": each.consumers}
            for uuid, each in status.queues.items()
        },
        "registryFault": status.registry_fault or None,
        "abonnementen": (
            None if status.registry_fault else [facts_of_condition(each) for each in status.conditions]
        ),
        "attention": [
            {"code": each.code, "urgent": each.urgent, "text": each.text, "next": each.next} for each in found
        ],
    }


def _of_the_ledger(ledger: OfLedger) -> dict[str, object]:
    return facts_of_ledger(ledger.facts, ledger.gaps, ledger.file, ledger.lane)


def _counted(ledger: OfLedger, minutes: int) -> dict[str, object]:
    counted = ledger.counted(minutes=minutes)
    return {
        "accepted": counted.accepted,
        "delivered": counted.delivered,
        "failed": counted.failed,
        "undeliverable": counted.undeliverable,
        "givenBack": counted.given_back,
        "sentAgain": counted.sent_again,
        "msToDelivery": {
            name: None if (ms := percentile(counted.took, share)) is None else round(ms, 1)
            for name, share in PERCENTILES.items()
        },
    }
