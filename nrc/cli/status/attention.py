"""Tells what needs attention (operating/status) in sentences, each with the command that comes next."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.keeper_ledger import Gap
from nrc.cli.registry.condition import last_error
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import age, moment
from nrc.exits import Exit
from operating.conditions import Condition
from operating.status import attention
from operating.status.attention import Code
from operating.status.collecting import Status
from operating.status.health import Health
from operating.status.next_command import next_command


@dataclass(frozen=True, slots=True)
class Concern:
    """What needs attention. next: the command that comes next. code: for scripts."""

    code: str
    text: str
    next: str
    urgent: bool = False


def concerns(status: Status) -> list[Concern]:
    """The urgent ones first, and of a kind those that are worst."""
    return [
        Concern(
            each.code.value,
            _told(each),
            next_command(each, private=status.private, name=ids.short),
            urgent=each.urgent,
        )
        for each in attention.concerns(status)
    ]


def _told(each: attention.Concern) -> str:
    if each.code in (Code.CERTIFICATE, Code.CLIENT_CERTIFICATE) and each.of is not None:
        return _of_certificate(each, each.of)
    if each.of is not None:
        return _of_abonnement(each, each.of)
    if each.gap is not None:
        return _of_gap(each.code, each.gap)
    if each.code in (Code.HELD, Code.SUSPENDED, Code.WAITS_LONG, Code.QUEUE_UNREAD):
        of_them = "1 other abonnement" if each.count == 1 else f"{each.count} other abonnementen"
        return f"The same of {of_them}."
    return _of_system(each)


def _of_abonnement(each: attention.Concern, of: Condition) -> str:
    whose = f"{ids.short(of.abonnement.uuid)} of {of.abonnement.client_id}"
    reason = of.abonnement.state_reason
    match each.code:
        case Code.HELD if of.abonnement.is_amqp:
            full = f"RabbitMQ has taken nothing for {age(each.seconds)} into the queue of {whose}"
            return f"{full} ({reason}); {_wait(of)}."
        case Code.HELD:
            return f"The callback of {whose} has not worked for {age(each.seconds)} ({reason}); {_wait(of)}."
        case Code.QUEUE_UNREAD:
            many = "1 message waits" if each.count == 1 else f"{each.count} messages wait"
            return f"{many} in RabbitMQ for the consumer of {whose}, and nobody reads them."
        case Code.SUSPENDED:
            why = f" ({reason})" if reason else ""
            return f"Abonnement {whose} is suspended{why}; {_wait(of)}. Once its consumer has mended it:"
    error = f"; its last failure: {last_error(of)}" if of.last_failure else ""
    return f"A notificatie has waited for {age(each.seconds)} for {whose}{error}."


def _of_certificate(each: attention.Concern, of: Condition) -> str:
    ends = f"ends in {age(each.seconds)}" if each.seconds > 0 else f"ended {age(-each.seconds)} ago"
    whose = f"{ids.short(of.abonnement.uuid)} of {of.abonnement.client_id}"
    more = f" and of {each.count - 1} more" if each.count > 1 else ""
    if each.code is Code.CLIENT_CERTIFICATE:
        return f"The client certificate {each.name} for the callback of {whose}{more} {ends}."
    return f"The certificate of {each.name}, the callback of {whose}{more}, {ends}."


def _of_gap(code: Code, gap: Gap) -> str:
    of = " ".join((gap.scope, gap.of)).strip()
    if code is Code.GAP_OF_OPERATOR:
        return f"Gap {gap.nr} ({of}) is open since {moment(gap.opened / 1000)}, by an operator."
    return f"What RabbitMQ lost in gap {gap.nr} ({of}) is not all given back yet."


def _of_system(each: attention.Concern) -> str:
    said, count = each.said, each.count
    free = f"{each.size / 1_000_000_000:.1f} GB, {each.share:.0%}"
    told = {
        Code.GATEWAY_AWAY: f"No gateway answers here, so nothing is accepted: {said}.",
        Code.GATEWAY_NOT_READY: f"The gateway is not ready, and publishers get 503: {said}.",
        Code.AC_AWAY: f"The Autorisaties API tells no rights; what it said last counts for a day: {said}.",
        Code.GATEWAY_WARNS: f"The gateway warns: {said}.",
        Code.RABBITMQ_AWAY: f"RabbitMQ cannot be reached, so nothing is delivered: {said}.",
        Code.RABBITMQ_NOT_READY: f"RabbitMQ: {said}.",
        Code.ROUTER_AWAY: f"No kanaal or abonnement can be made or changed: {said}.",
        Code.REGISTRY_AWAY: f"The registry cannot be read: {said}.",
        Code.LEDGER_AWAY: f"The ledger cannot be read: {said}.",
        Code.LEDGER_BEHIND: f"What {each.name} did in the last {age(each.seconds)} is not in the ledger yet.",
        Code.NO_KEEPER: "No keeper of the ledger works: what RabbitMQ loses is not given back.",
        Code.NO_DELIVERER: "No deliverer was heard of in the last 15 s: nothing is delivered.",
        Code.STUCK: f"{_deliveries(count, 'was', 'were')} given back three times and lost again; "
        "nothing more is tried.",
        Code.UNSURE: f"{_deliveries(count, 'was', 'were')} open in an older copy of the ledger: decide "
        "whether they are sent.",
        Code.LEDGER_NEARLY_FULL: f"The ledger uses {each.share:.0%} of NRC_LEDGER_BUDGET.",
        Code.UNDELIVERABLE: f"{_deliveries(count, 'is', 'are')} undeliverable until somebody sends again "
        "what can be, and removes the rest.",
        Code.DISK: f"The disk of registry and ledger has {free} free.",
        Code.NO_ALERTS: "No process sends alerts, though a destination is set.",
        Code.ALERTS_NOT_SENT: f"Alerts by {each.name} have not arrived for {age(each.seconds)}, "
        f"{count} waiting: {said}.",
    }
    return told[each.code]


def _wait(each: Condition) -> str:
    if each.waiting is None:
        return "what waits for it is not known"
    count = each.open
    return "1 notificatie waits" if count == 1 else f"{count} notificaties wait"


def _deliveries(count: int, one: str, more: str) -> str:
    return f"1 delivery {one}" if count == 1 else f"{count} deliveries {more}"


def worst_of(status: Status, found: list[Concern]) -> Exit:
    """The exit code: OK when nothing urgent was found, NOT_REACHABLE when something could not be asked."""
    away = any(each.health is Health.NOT_REACHABLE for each in status.parts)
    if away or status.ledger is None or status.registry_fault:
        return Exit.NOT_REACHABLE
    return Exit.FAILED if any(each.urgent for each in found) else Exit.OK
