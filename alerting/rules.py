"""Which rule of an operator a concern (operating/status) belongs to, and what it is about. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from operating.status.attention import Code, Concern, Limits, concerns
from operating.status.collecting import Status
from schemas.alert import BEFORE_ITS_END, AlertSettings, Rule

TITLES: Mapping[Rule, str] = {
    Rule.HELD: "Een callback doet het niet",
    Rule.SUSPENDED: "Een abonnement is stilgelegd terwijl er iets voor wacht",
    Rule.WAITS_LONG: "Een notificatie wacht lang",
    Rule.UNDELIVERABLE: "Notificaties zijn onbestelbaar",
    Rule.LOST: "Afleveringen zijn zoek of onzeker",
    Rule.GAP: "RabbitMQ is iets kwijtgeraakt, en krijgt het terug",
    Rule.LEDGER: "Het grootboek loopt achter of is niet te lezen",
    Rule.PARTS: "Een onderdeel werkt niet",
    Rule.DISK: "De schijf of het grootboek raakt vol",
    Rule.CERTIFICATE: "Een certificaat van een callback verloopt",
    Rule.CLIENT_CERTIFICATE: "Een clientcertificaat dat naar een callback gaat, verloopt",
}
"""What each rule warns of, for operators."""

_RULES: Mapping[Code, Rule] = {
    Code.HELD: Rule.HELD,
    Code.SUSPENDED: Rule.SUSPENDED,
    Code.WAITS_LONG: Rule.WAITS_LONG,
    Code.QUEUE_UNREAD: Rule.WAITS_LONG,
    Code.UNDELIVERABLE: Rule.UNDELIVERABLE,
    Code.STUCK: Rule.LOST,
    Code.UNSURE: Rule.LOST,
    Code.GAP: Rule.GAP,
    Code.GAP_OF_OPERATOR: Rule.GAP,
    Code.LEDGER_AWAY: Rule.LEDGER,
    Code.LEDGER_BEHIND: Rule.LEDGER,
    Code.DISK: Rule.DISK,
    Code.LEDGER_NEARLY_FULL: Rule.DISK,
    Code.CERTIFICATE: Rule.CERTIFICATE,
    Code.CLIENT_CERTIFICATE: Rule.CLIENT_CERTIFICATE,
}
_COUNTED = frozenset({Code.UNDELIVERABLE, Code.STUCK, Code.UNSURE})
_HAS_BEGUN = frozenset({Code.HELD, Code.WAITS_LONG, Code.ALERTS_NOT_SENT})


@dataclass(frozen=True, slots=True)
class Found:
    """Something of which operators may be warned.

    since: Unix seconds. after: for how many seconds it must last. count: more of it is worse; 0 where that
    means nothing.
    """

    subject: str
    rule: Rule
    concern: Concern
    since: float
    after: float
    count: int = 0


def found_in(status: Status, settings: AlertSettings) -> Iterator[Found]:
    """All that the rules that are on ask for, each subject once."""
    limits = Limits(
        waits=settings.rule(Rule.WAITS_LONG).after,
        gap=0.0,
        expires=settings.rule(Rule.CERTIFICATE).after,
        own_expires=settings.rule(Rule.CLIENT_CERTIFICATE).after,
        each=True,
    )
    for concern in concerns(status, limits):
        rule = rule_of(concern)
        set_ = settings.rule(rule)
        if not set_.on:
            continue
        begun = concern.code in _HAS_BEGUN
        yield Found(
            subject_of(concern),
            rule,
            concern,
            since=status.at - concern.seconds if begun else status.at,
            after=0.0 if rule in BEFORE_ITS_END else set_.after,
            count=_count_of(concern),
        )


def rule_of(concern: Concern) -> Rule:
    """Its rule; of a part of the system where no other has it."""
    if concern.code is Code.GATEWAY_WARNS and concern.said.startswith("ledger:"):
        return Rule.LEDGER
    return _RULES.get(concern.code, Rule.PARTS)


def subject_of(concern: Concern) -> str:
    """What it is about: the same for as long as it lasts, and of nothing else."""
    if concern.gap is not None:
        return f"gap:{concern.gap.nr}"
    if concern.name:
        return f"{concern.code}:{concern.name}"
    if concern.of is not None:
        return f"{concern.code}:{concern.of.abonnement.uuid}"
    if concern.code is Code.GATEWAY_WARNS:
        return f"{concern.code}:{concern.said.partition(':')[0]}"
    return concern.code.value


def _count_of(concern: Concern) -> int:
    if rule_of(concern) in BEFORE_ITS_END:
        # Said again when it is urgent, and when it has ended.
        return 2 if concern.seconds <= 0 else int(concern.urgent)
    return concern.count if concern.code in _COUNTED else 0
