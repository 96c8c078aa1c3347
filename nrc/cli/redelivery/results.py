"""The results of a command on deliveries: for people, scripts, and the audit trail."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from ledger.values import Delivery
from nrc.cli.connecting import carry_out
from nrc.cli.operating import audit
from nrc.cli.redelivery.choosing import Chosen, why_refused
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import as_json, note, printable
from nrc.exits import Exit

if TYPE_CHECKING:
    from ledger.operating.sending import Sent
    from runtime.settings import Settings
    from store.registry import Act


@dataclass(slots=True)
class Told:
    """The results. act: its name in the audit trail. why: the reason that the operator gave.

    under_way: those with an attempt that may be under way, which cannot be cancelled.
    """

    settings: Settings
    act: str
    why: str = ""
    done: list[Delivery] = field(default_factory=list)
    later: list[Delivery] = field(default_factory=list)
    failed: list[tuple[Delivery, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    under_way: list[Delivery] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)

    def take(self, chosen: Chosen) -> None:
        """Add what was asked for and cannot be done."""
        self.failed += [(row, why_refused(row)) for row in chosen.refused]
        self.missing += chosen.missing

    def sent(self, sent: Sent) -> None:
        """Add the result of sending one."""
        if sent.later:
            self.later.append(sent.delivery)
            note(f"RabbitMQ did not confirm {_name(sent.delivery)}: {sent.problem}")
        elif sent.problem:
            self.failed.append((sent.delivery, sent.problem))
            return
        else:
            self.done.append(sent.delivery)
        self.note(sent.delivery)

    def note(self, row: Delivery) -> None:
        """Record in `operator.log` that it was done to this one."""
        from operating.notificaties import redelivering

        log = audit.log_of(self.settings)
        self.acts.append(redelivering.note(log, self.act, row, why=self.why))

    def keep(self) -> None:
        """Write these records to the registry too; to be called in any case."""
        carry_out(audit.keep(self.settings, self.acts))

    def end(self, text: str, *, named: str, json_: bool) -> None:
        """Print it, and end with exit code 1 when something that was asked for could not be done.

        text: with `{}` for how many. named: what JSON calls those that it was done to.
        """
        if json_:
            as_json(
                {
                    named: [facts_of_key(row) for row in self.done],
                    "later": [facts_of_key(row) for row in self.later],
                    "failed": [{**facts_of_key(row), "reason": why} for row, why in self.failed],
                    "missing": self.missing,
                    **({"underWay": list(map(facts_of_key, self.under_way))} if self.under_way else {}),
                }
            )
        else:
            click.echo(text.format(len(self.done)))
        if self.later:
            note(f"{len(self.later)} are sent by the keeper (`nrc ledger`) when RabbitMQ takes them")
        if self.under_way:
            note(
                f"of {len(self.under_way)} an attempt may be under way, which nothing breaks off: "
                "`nrc trace` shows those that were delivered all the same"
            )
        for row, why in self.failed:
            note(f"{_name(row)}: {why}")
        for id_ in self.missing:
            note(f"{printable(id_)}: the ledger does not have it")
        if self.failed or self.missing:
            sys.exit(Exit.FAILED)


def facts_of_key(row: Delivery) -> dict[str, object]:
    """The key of a delivery, for scripts."""
    key = row.key
    return {"id": str(key.notificatie), "abonnement": str(key.abonnement), "replay": key.replay}


def _name(row: Delivery) -> str:
    return f"{row.key.notificatie} to {ids.short(row.key.abonnement)}"
