"""`nrc undeliverable …`: what could not be delivered, sending it once more, and removing it.

By the rows of the ledger, also while RabbitMQ is away. What only RabbitMQ has in `nrc.undeliverable` (put
there by an older version, or by hand) is listed with --rabbitmq, and sent and removed like the rest.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from ledger.endings import removed, sent_again
from nrc.cli.connecting import carry_out, opened_link, opened_registry
from nrc.cli.operating import audit
from nrc.cli.redelivery.opening import opened_publisher
from nrc.cli.terminal import ids
from nrc.cli.terminal.confirmation import ask
from nrc.cli.terminal.output import Column, as_json, json_option, note, printable, table, wide_option
from nrc.cli.undeliverable.finding import Found, Place, find
from nrc.cli.undeliverable.ledger_outcomes import outcomes_of, tell_ledger
from nrc.cli.undeliverable.ledger_rows import Rows, opened_rows
from nrc.cli.undeliverable.listing import listed
from nrc.cli.undeliverable.presentation import (
    body_of,
    facts_of,
    in_words,
    key_facts,
    moment_of,
    row_of,
    since,
)
from nrc.cli.undeliverable.selection import Selection, look_at, select
from nrc.exits import Exit
from router.history import read_history
from router.undeliverable import Resent, Undeliverable, remove, resend
from runtime.settings import Settings, load_settings
from schemas.errors import BrokerUnavailable, Conflict, NrcError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ledger.operating.sending import Sent
    from ledger.values import Delivery
    from schemas.kanaal import Kanaal
    from store.registry import Act

ROWS_AT_ONCE = 500  # in one transaction


@click.group()
def undeliverable() -> None:
    """Notificaties that could not be delivered after every attempt; they stay until resent or removed."""


@undeliverable.command("list")
@click.option("--abonnement", type=ids.uuid, metavar="UUID", help="Only those for this abonnement.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="How many at most.")
@click.option("--rabbitmq", is_flag=True, help="Those that only RabbitMQ has, in nrc.undeliverable.")
@wide_option
@json_option
def list_(abonnement: str | None, limit: int, rabbitmq: bool, wide: bool, json_: bool) -> None:
    """List them, oldest first. They stay where they are."""
    found = carry_out(listed(load_settings(), abonnement, limit=limit + 1, rabbitmq=rabbitmq))
    if len(found) > limit:
        note(f"there are more than {limit}: --limit")
        del found[limit:]
    if json_:
        as_json([facts_of(item) for item in found])
        return
    table(
        [
            Column("ID"),
            Column("ABONNEMENT"),
            Column("KANAAL", least=6),
            Column("ATTEMPTS"),
            Column("LAST FAILURE", least=12),
            Column("SINCE"),
        ],
        (row_of(item, wide=wide) for item in found),
        empty="nothing is undeliverable",
        wide=wide,
    )


@undeliverable.command()
@click.argument("id_", metavar="ID")
@json_option
def show(id_: str, json_: bool) -> None:
    """Show where notificatie ID is, with each attempt that failed; once for each abonnement it did not reach.

    Also one that waits: in the queue of an abonnement, or between two attempts. ID: whole, or its first
    characters.
    """
    found = carry_out(find(load_settings(), id_))
    if not found:
        raise Conflict(
            f"there is no undeliverable notificatie {id_}, nor one that waits. It was delivered, was not "
            "wanted, was removed, or is just now on its way to a callback: `nrc trace` or the deliverers' "
            "log says which."
        )
    if json_:
        as_json([_facts_of_found(each) for each in found])
        return
    for each in found:
        item, history = each.message, read_history(each.message.headers)
        click.echo(f"id:         {printable(item.message_id)}")
        click.echo(f"abonnement: {item.abonnement or 'unknown'}")
        click.echo(f"where:      {printable(each.where)}")
        if each.place is Place.UNDELIVERABLE:
            click.echo(f"since:      {since(item) or 'unknown'}")
        click.echo(f"attempts:   {history.attempts}")
        for failure in history.failures:
            click.echo(f"  {moment_of(failure.at)}  {in_words(failure)}")
        for line in item.body.decode(errors="replace").splitlines():
            click.echo(printable(line))


def _facts_of_found(each: Found) -> dict[str, object]:
    item = each.message
    return {
        **facts_of(item),
        "where": each.place,
        "state": each.abonnement.state if each.abonnement else None,
        "nextAttempt": each.next_attempt,
        "notificatie": body_of(item) or item.body.decode(errors="replace") or None,
    }


@dataclass
class _Done:
    """What became of each that a command was about. act: what the audit log calls it."""

    settings: Settings
    act: str
    done: list[Undeliverable] = field(default_factory=list)
    problems: list[Resent] = field(default_factory=list)
    later: int = 0
    acts: list[Act] = field(default_factory=list)

    def note(self, item: Undeliverable) -> None:
        """It was done to this one."""
        self.done.append(item)
        act = audit.append(self.settings, self.act, notificatie=item.message_id, abonnement=item.abonnement)
        self.acts.append(act)

    def sent(self, sent: Sent) -> None:
        """A row was sent again, or not."""
        key = sent.delivery.key
        item = Undeliverable(str(key.notificatie), key.abonnement, {}, b"", None)
        self.later += sent.later
        self.resent(Resent(item, "" if sent.later else sent.problem))

    def resent(self, resent: Resent) -> None:
        """A message was sent again, or not."""
        item = resent.item
        if resent.problem:
            told = {(each.item.message_id, each.item.abonnement) for each in self.problems}
            if (item.message_id, item.abonnement) not in told:  # as a row, and as a message
                self.problems.append(resent)
        else:
            self.note(item)

    def keep(self) -> None:
        """Put what was noted into the registry too; to be called whatever happened."""
        carry_out(audit.keep(self.settings, self.acts))

    @property
    def ids(self) -> list[str]:
        """Of all that it was about."""
        return [item.message_id for item in [*self.done, *(each.item for each in self.problems)]]


@undeliverable.command("resend")
@click.argument("typed", metavar="[ID]...", nargs=-1)
@ids.of_abonnement
@json_option
def resend_(typed: tuple[str, ...], abonnement: str | None, json_: bool) -> None:
    """Deliver notificaties again, with as many attempts as a new one. Exit code 1 when any could not be.

    ID and UUID: whole, or their first characters.
    """
    settings = load_settings()
    ids.some_are_meant(typed, abonnement, see="`nrc undeliverable list`")
    done = _Done(settings, "notificatie sent again")
    try:
        chosen = carry_out(_resend(settings, typed, abonnement, done))
    finally:
        done.keep()
    missing = chosen.missing(done.ids)
    if json_:
        as_json(
            {
                "resent": [key_facts(item) for item in done.done],
                "failed": [{**key_facts(each.item), "reason": each.problem} for each in done.problems],
                "missing": missing,
            }
        )
    else:
        click.echo(f"{len(done.done)} sent again")
    if done.later:
        note(f"{done.later} of these are sent by the keeper (`nrc ledger`) when RabbitMQ takes them")
    for each in done.problems:
        note(f"{printable(each.item.message_id)}: {each.problem}")
    _end(missing, failed=bool(done.problems))


@undeliverable.command("remove")
@click.argument("typed", metavar="[ID]...", nargs=-1)
@ids.of_abonnement
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def remove_(typed: tuple[str, ...], abonnement: str | None, yes: bool, json_: bool) -> None:
    """Remove notificaties for good: they will not be delivered. Exit code 1 when any ID is not there.

    ID and UUID: whole, or their first characters.
    """
    settings = load_settings()
    ids.some_are_meant(typed, abonnement, see="`nrc undeliverable list`")
    if not yes and (count := carry_out(_count(settings, typed, abonnement))):
        ask(f"remove {count} for good?", otherwise=f"{count} go for good: --yes removes them")
    done = _Done(settings, "undeliverable notificatie removed")
    try:
        chosen = carry_out(_remove(settings, typed, abonnement, done, tell=not json_))
    finally:
        done.keep()
    missing = chosen.missing(done.ids)
    if json_:
        as_json({"removed": [key_facts(item) for item in done.done], "missing": missing})
    elif not done.done:
        click.echo("nothing removed")
    _end(missing)


def _end(missing: list[str], *, failed: bool = False) -> None:
    for id_ in missing:
        note(f"{printable(id_)}: is not there")
    if failed or missing:
        sys.exit(Exit.FAILED)


async def _resend(
    settings: Settings, typed: tuple[str, ...], abonnement: str | None, done: _Done
) -> Selection:
    """First the rows, by the ledger's bodies; then what only RabbitMQ has, and the copies of those rows."""
    from ledger.operating.sending import Sending

    sent: list[Undeliverable] = []

    def tell(resent: Resent) -> None:
        done.resent(resent)
        if not resent.problem:
            sent.append(resent.item)

    async with opened_rows(settings) as rows:
        chosen = await select(settings, rows, typed, abonnement)
        try:
            async with opened_publisher(settings) as publisher, opened_link(settings) as link:
                assert link.connection is not None  # noqa: S101 - opened
                if rows is not None and chosen.rows:
                    able = [row for row in chosen.rows if await _has_body(rows, row)]
                    sending = Sending(rows.ledger, publisher, kanalen=await _kanalen(settings))
                    await sending.send(able, anew=True, tell=done.sent)
                await resend(
                    link.connection,
                    publisher,
                    wanted=chosen.has,
                    overtaken=None if rows is None else rows.overtaken,
                    tell=tell,
                )
        finally:
            # Broken off, what was sent until then is told too.
            await tell_ledger(settings, outcomes_of(sent, sent_again))
    return chosen


async def _has_body(rows: Rows, row: Delivery) -> bool:
    """Whether the ledger can send it; else RabbitMQ's copy has to be."""
    notificatie = await rows.ledger.notificatie(row.key.notificatie)
    return notificatie is not None and notificatie.body is not None


async def _kanalen(settings: Settings) -> Mapping[str, Kanaal]:
    try:
        async with opened_registry(settings) as opened:
            return opened.catalogue.kanalen
    except NrcError:  # only the headers of its kenmerken are made by these
        return {}


async def _count(settings: Settings, typed: tuple[str, ...], abonnement: str | None) -> int:
    """How many would be removed."""
    async with opened_rows(settings) as rows:
        chosen = await select(settings, rows, typed, abonnement)
        known = {(str(row.key.notificatie), row.key.abonnement) for row in chosen.rows}
        try:
            items = await look_at(settings, wanted=chosen.has)
        except BrokerUnavailable as error:
            if rows is None:
                raise
            note(f"only what the ledger has is counted: {error}")
            return len(known)
        if rows is not None:
            items = [item for item in items if not await rows.overtaken(item)]
        return len(known | {(item.message_id, item.abonnement) for item in items})


async def _remove(
    settings: Settings, typed: tuple[str, ...], abonnement: str | None, done: _Done, *, tell: bool
) -> Selection:
    """First the rows, then what RabbitMQ has: their copies, and what only it has."""
    from ledger.operating import sending

    gone: list[Undeliverable] = []

    def note_(item: Undeliverable) -> None:
        done.note(item)
        if tell:
            click.echo(f"{printable(item.message_id)} removed (abonnement {item.abonnement or 'unknown'})")

    def out(item: Undeliverable) -> None:
        gone.append(item)
        note_(item)

    async with opened_rows(settings) as rows:
        chosen = await select(settings, rows, typed, abonnement)
        for start in range(0, len(chosen.rows), ROWS_AT_ONCE):
            assert rows is not None  # noqa: S101 - they are its
            piece = chosen.rows[start : start + ROWS_AT_ONCE]
            await rows.ledger.write([sending.removed(row) for row in piece])
            for row in piece:
                note_(Undeliverable(str(row.key.notificatie), row.key.abonnement, {}, b"", None))
        try:
            async with opened_link(settings) as link:
                assert link.connection is not None  # noqa: S101 - opened
                overtaken = None if rows is None else rows.overtaken
                await remove(link.connection, wanted=chosen.has, tell=out, overtaken=overtaken)
        except BrokerUnavailable as error:
            if not chosen.rows:
                raise
            note(f"only what the ledger has was removed: {error}")
        finally:
            await tell_ledger(settings, outcomes_of(gone, removed))
    return chosen
