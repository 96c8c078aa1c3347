"""`nrc ledger audit`: deliveries that are UNSURE since an older ledger was put back or rebuilt."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

import click

from ledger.explaining import Clock
from nrc.cli.connecting import carry_out
from nrc.cli.operating import audit
from nrc.cli.terminal import ids
from nrc.cli.terminal.confirmation import ask
from nrc.cli.terminal.output import Column, as_json, json_option, moment, note, table
from nrc.cli.tracing import times
from nrc.cli.tracing.account import opened_account
from runtime.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from ledger.operating.unsure import Unsure
    from ledger.values import Delivery, Outcome

_of_abonnement = click.option("--abonnement", type=ids.uuid, metavar="UUID", help="Only those for this one.")
_since = click.option(
    "--since", metavar="TIME", type=times.moment, help="Only what was accepted then or later: 01:46."
)
_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group("audit", invoke_without_command=True)
@json_option
@click.pass_context
def ledger_audit(context: click.Context, json_: bool) -> None:
    """Show what may have been delivered, or not: it was open in an older copy of the ledger.

    Nothing is done with it until an operator decides. What RabbitMQ still has of it is delivered, and is not
    shown any more then.
    """
    if context.invoked_subcommand is not None:
        return
    found = carry_out(_look(load_settings()))
    if json_:
        as_json(found.facts())
        return
    table(
        [
            *(Column("ABONNEMENT"), Column("CLIENT", least=8), Column("UNSURE")),
            *(Column("OLDEST"), Column("NEWEST"), Column("SAMPLE", least=ids.SHORT_IN_TIME)),
        ],
        (
            [
                *(ids.short(uuid), found.clients.get(uuid, "(removed)"), each.count),
                *(moment(each.oldest / 1000), moment(each.newest / 1000)),
                " ".join(map(ids.short, each.sample)),
            ]
            for uuid, each in found.unsure.items()
        ),
        empty="nothing is unsure",
    )
    if found.unsure:
        until = f", what was accepted until {moment(found.until / 1000)}" if found.until else ""
        note(f"{found.count} may have been delivered, or not{until}: `nrc trace ID` shows one of them")
        note("`nrc ledger audit resend` gives them to RabbitMQ again, `nrc ledger audit delivered` does not")


@ledger_audit.command()
@_of_abonnement
@_since
@_yes
@json_option
def resend(abonnement: str | None, since: int | None, yes: bool, json_: bool) -> None:
    """Give what is unsure to RabbitMQ again: whoever got it gets it twice, with the same `webhook-id`.

    The keeper does it, within minutes. UUID: whole, or its first characters. TIME: 01:46, '28-10 01:46',
    2025-10-28T01:46 or 2h (ago).
    """
    from ledger.operating.unsure import given_back

    act = _Act("unsure given back", "resent", "send {} again?", "{} are sent again", given_back)
    _decide(act, abonnement, since, yes=yes, json_=json_)


@ledger_audit.command()
@_of_abonnement
@_since
@_yes
@json_option
def delivered(abonnement: str | None, since: int | None, yes: bool, json_: bool) -> None:
    """Take what is unsure as delivered: whoever did not get it does not get it any more.

    UUID: whole, or its first characters. TIME: 01:46, '28-10 01:46', 2025-10-28T01:46 or 2h (ago).
    """
    from ledger.operating.unsure import taken_as_delivered

    act = _Act(
        "unsure taken as delivered",
        "delivered",
        "take {} as delivered?",
        "{} are taken as delivered",
        taken_as_delivered,
    )
    _decide(act, abonnement, since, yes=yes, json_=json_)


@dataclass(frozen=True, slots=True)
class _Act:
    """A decision. name: in the audit trail. key: in JSON. question, told: with `{}` for how many."""

    name: str
    key: str
    question: str
    told: str
    outcome: Callable[[Delivery], Outcome]


@dataclass(slots=True)
class _Found:
    """What is unsure, by abonnement. until: only what was accepted until then is (milliseconds, or 0)."""

    until: int = 0
    unsure: Mapping[UUID, Unsure] = field(default_factory=dict)
    clients: Mapping[UUID, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(each.count for each in self.unsure.values())

    def facts(self) -> dict[str, object]:
        """The same for scripts."""
        return {
            "unsure": self.count,
            "until": Clock.utc(self.until or None),
            "abonnementen": [
                {
                    "abonnement": str(uuid),
                    "clientId": self.clients.get(uuid),
                    "unsure": each.count,
                    "oldest": Clock.utc(each.oldest),
                    "newest": Clock.utc(each.newest),
                    "sample": list(map(str, each.sample)),
                }
                for uuid, each in self.unsure.items()
            ],
        }


async def _look(settings: Settings) -> _Found:
    from ledger.operating.unsure import Unsure, unsure

    async with opened_account(settings) as account:
        found: dict[UUID, Unsure] = defaultdict(Unsure)
        async for row in unsure(account.ledger):
            found[row.key.abonnement].add(row)
        clients = {uuid: each.client_id for uuid, each in account.catalogue.everyone.items()}
        return _Found((await account.ledger.instance()).unsure_until, found, clients)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The deliveries to decide on: how many, for how many abonnementen. of: one abonnement; None: all."""

    count: int
    to: int
    of: UUID | None
    since: int | None


def _decide(act: _Act, abonnement: str | None, since: int | None, *, yes: bool, json_: bool) -> None:
    settings = load_settings()
    chosen = carry_out(_chosen(settings, abonnement, since))
    if chosen.count and not yes:
        what = f"{chosen.count} deliveries, for {chosen.to} abonnement(en),"
        ask(act.question.format(what), otherwise=f"{chosen.count} are unsure: --yes decides on them")
    decided = carry_out(_write(settings, act, chosen)) if chosen.count else 0
    if json_:
        as_json({act.key: decided})
    else:
        click.echo(act.told.format(decided))


async def _chosen(settings: Settings, typed: str | None, since: int | None) -> _Chosen:
    from ledger.operating.unsure import unsure

    async with opened_account(settings) as account:
        of = None
        if typed is not None:
            of = account.abonnement(typed, await account.ledger.backlogs())
        found: Counter[UUID] = Counter()
        async for row in unsure(account.ledger, abonnement=of, since=since):
            found[row.key.abonnement] += 1
    return _Chosen(found.total(), len(found), of, since)


async def _write(settings: Settings, act: _Act, chosen: _Chosen) -> int:
    from ledger.operating.unsure import decide, unsure

    async with opened_account(settings) as account:
        rows = unsure(account.ledger, abonnement=chosen.of, since=chosen.since)
        decided = await decide(account.ledger, rows, act.outcome)
        keeper_works = await account.keeper_works()
    since = Clock.utc(chosen.since)
    await audit.record(settings, act.name, count=decided, abonnement=chosen.of, since=since)
    if act.key == "resent" and not keeper_works:
        note("no keeper works: they are sent once `nrc ledger` runs")
    return decided
