"""The command that comes next for each concern (attention.py), as one types it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

from operating.status.attention import Code, Concern

_COMMANDS: Mapping[Code, str] = {
    Code.GATEWAY_NOT_READY: "nrc health",
    Code.GATEWAY_WARNS: "nrc health",
    Code.AC_AWAY: "nrc application rights",
    Code.RABBITMQ_NOT_READY: "nrc health",
    Code.ROUTER_AWAY: "nrc router",
    Code.REGISTRY_AWAY: "nrc health",
    Code.LEDGER_AWAY: "nrc ledger status",
    Code.LEDGER_BEHIND: "nrc ledger status",
    Code.NO_KEEPER: "nrc ledger",
    Code.NO_DELIVERER: "nrc deliverer",
    Code.STUCK: "nrc notificaties list --state stuck",
    Code.UNSURE: "nrc ledger audit",
    Code.LEDGER_NEARLY_FULL: "nrc ledger status",
    Code.GAP: "nrc ledger gaps",
    Code.DISK: "df -h",
    Code.NO_ALERTS: "nrc alerts",
    Code.ALERTS_NOT_SENT: "nrc alerts test",
}


def next_command(concern: Concern, *, private: bool, name: Callable[[UUID], str] = str) -> str:
    """The command. private: RabbitMQ is that of `nrc up`. name: how the UUID of an abonnement is written."""
    of = "" if concern.of is None else name(concern.of.abonnement.uuid)
    match concern.code:
        case Code.GATEWAY_AWAY:
            return "nrc up, or: nrc gateway"
        case Code.RABBITMQ_AWAY:
            return "nrc up" if private else "rabbitmq-diagnostics check_running, on its host"
        case Code.GAP_OF_OPERATOR if concern.gap is not None:
            return f"nrc ledger gaps close {concern.gap.nr}"
        case Code.UNDELIVERABLE:
            return f"nrc undeliverable list --abonnement {of}" if of else "nrc undeliverable list"
        case Code.SUSPENDED if of:
            return f"nrc abonnement resume {of}"
        case Code.CLIENT_CERTIFICATE if of:
            return f"nrc callback-auth certificate {of} FILE"
        case Code.HELD | Code.WAITS_LONG | Code.CERTIFICATE if of:
            return f"nrc abonnement show {of}"
        case Code.HELD | Code.SUSPENDED | Code.WAITS_LONG:
            return "nrc abonnement list"
        case Code.QUEUE_UNREAD:
            return f"nrc amqp show {of}" if of else "nrc amqp list"
    return _COMMANDS[concern.code]
