"""`nrc undeliverable …`: what could not be delivered, sending it once more, and removing it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import orjson

from ledger.endings import removed, sent_again
from nrc.cli import audit, ids
from nrc.cli.accounting import outcomes_of, tell_ledger
from nrc.cli.asking import ask
from nrc.cli.finding import Found, Place, find
from nrc.cli.reaching import broker_urls, carry_out, opened_link
from nrc.cli.selecting import Selection, look_at, select
from nrc.cli.showing import Column, as_json, json_option, note, printable, table, wide_option
from nrc.exits import Exit
from router.history import UNDELIVERABLE_AT, FailedAttempt, read_history
from router.publishing import Publisher
from router.undeliverable import Resent, Undeliverable, remove, resend
from runtime.lifecycle import Tasks
from runtime.settings import Settings, load_settings
from schemas.errors import Conflict, UsageError

if TYPE_CHECKING:
    from store.registry import Act

READY_TIMEOUT = 5.0


@click.group()
def undeliverable() -> None:
    """Notificaties that could not be delivered after every attempt; they stay until resent or removed."""


@undeliverable.command("list")
@click.option("--abonnement", type=ids.uuid, metavar="UUID", help="Only those for this abonnement.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="How many at most.")
@wide_option
@json_option
def list_(abonnement: str | None, limit: int, wide: bool, json_: bool) -> None:
    """List them, oldest first. They stay where they are."""
    settings = load_settings()
    chosen = carry_out(select(settings, (), abonnement))
    at_most = sys.maxsize if abonnement else limit + 1
    found = carry_out(look_at(settings, wanted=chosen.has, limit=limit + 1, at_most=at_most))
    if len(found) > limit:
        note(f"there are more than {limit}: --limit")
        del found[limit:]
    if json_:
        as_json([_facts(item) for item in found])
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
        (_row(item, wide=wide) for item in found),
        empty="nothing is undeliverable",
        wide=wide,
    )


def _row(item: Undeliverable, *, wide: bool) -> list[object]:
    history = read_history(item.headers)
    last = _in_words(history.failures[-1]) if history.failures else ""
    since = _since(item) or ""
    return [
        item.message_id if wide else ids.short(item.message_id),
        (item.abonnement if wide else ids.short(item.abonnement)) if item.abonnement else "unknown",
        _body(item).get("kanaal", ""),
        history.attempts,
        last if wide else last[:60],
        since if wide else _to_the_second(since),
    ]


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
            "wanted, or is just now on its way to a callback: the deliverers' log says which."
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
            click.echo(f"since:      {_since(item) or 'unknown'}")
        click.echo(f"attempts:   {history.attempts}")
        for failure in history.failures:
            click.echo(f"  {_moment(failure.at)}  {_in_words(failure)}")
        for line in item.body.decode(errors="replace").splitlines():
            click.echo(printable(line))


def _facts_of_found(each: Found) -> dict[str, object]:
    item = each.message
    return {
        **_facts(item),
        "where": each.place,
        "state": each.abonnement.state if each.abonnement else None,
        "nextAttempt": each.next_attempt,
        "notificatie": _body(item) or item.body.decode(errors="replace") or None,
    }


@undeliverable.command("resend")
@click.argument("typed", metavar="[ID]...", nargs=-1)
@click.option(
    "--abonnement", type=ids.uuid, metavar="UUID", help="Only (without ID: all) those for this one."
)
@json_option
def resend_(typed: tuple[str, ...], abonnement: str | None, json_: bool) -> None:
    """Deliver notificaties again, with as many attempts as a new one. Exit code 1 when any could not be.

    ID and UUID: whole, or their first characters.
    """
    settings = load_settings()
    chosen = _which(settings, typed, abonnement)
    done: list[Resent] = []
    acts: list[Act] = []

    def tell(resent: Resent) -> None:
        done.append(resent)
        if not resent.problem:
            acts.append(_append(settings, "notificatie sent again", resent.item))

    try:
        carry_out(_resend(settings, wanted=chosen.has, tell=tell))
    finally:
        carry_out(audit.keep(settings, acts))
    missing = sorted(chosen.ids - {resent.item.message_id for resent in done})
    problems = [resent for resent in done if resent.problem]
    if json_:
        as_json(
            {
                "resent": [_key(resent.item) for resent in done if not resent.problem],
                "failed": [{**_key(resent.item), "reason": resent.problem} for resent in problems],
                "missing": missing,
            }
        )
    else:
        click.echo(f"{len(done) - len(problems)} sent again")
    for resent in problems:
        note(f"{printable(resent.item.message_id)}: {resent.problem}")
    for id_ in missing:
        note(f"{printable(id_)}: is not there")
    if problems or missing:
        sys.exit(Exit.FAILED)


@undeliverable.command("remove")
@click.argument("typed", metavar="[ID]...", nargs=-1)
@click.option(
    "--abonnement", type=ids.uuid, metavar="UUID", help="Only (without ID: all) those for this one."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def remove_(typed: tuple[str, ...], abonnement: str | None, yes: bool, json_: bool) -> None:
    """Remove notificaties for good: they will not be delivered. Exit code 1 when any ID is not there.

    ID and UUID: whole, or their first characters.
    """
    settings = load_settings()
    chosen = _which(settings, typed, abonnement)
    if not yes:
        found = carry_out(look_at(settings, wanted=chosen.has))
        if found:
            ask(f"remove {len(found)} for good?", otherwise=f"{len(found)} go for good: --yes removes them")
    done: list[Undeliverable] = []
    acts: list[Act] = []

    def tell(item: Undeliverable) -> None:
        done.append(item)
        acts.append(_append(settings, "undeliverable notificatie removed", item))
        if not json_:
            click.echo(f"{printable(item.message_id)} removed (abonnement {item.abonnement or 'unknown'})")

    try:
        carry_out(_remove(settings, wanted=chosen.has, tell=tell))
    finally:
        carry_out(audit.keep(settings, acts))
    missing = sorted(chosen.ids - {item.message_id for item in done})
    if json_:
        as_json({"removed": [_key(item) for item in done], "missing": missing})
    elif not done:
        click.echo("nothing removed")
    for id_ in missing:
        note(f"{printable(id_)}: is not there")
    if missing:
        sys.exit(Exit.FAILED)


def _which(settings: Settings, typed: tuple[str, ...], abonnement: str | None) -> Selection:
    """What to send again or remove. Raises UsageError for all of everyone, which nobody means."""
    if not typed and abonnement is None:
        raise UsageError("which? Give IDs (`nrc undeliverable list`), or --abonnement UUID for all of its")
    return carry_out(select(settings, typed, abonnement))


async def _resend(
    settings: Settings, *, wanted: Callable[[Undeliverable], bool], tell: Callable[[Resent], None]
) -> None:
    publisher = Publisher(broker_urls(settings), name="command", mandatory=True)
    sent: list[Undeliverable] = []

    def tell_and_note(resent: Resent) -> None:
        tell(resent)
        if not resent.problem:
            sent.append(resent.item)

    try:
        async with Tasks() as tasks, opened_link(settings) as link:
            assert link.connection is not None  # noqa: S101 - opened
            tasks.start("publishing", publisher.run())
            await publisher.wait_ready(READY_TIMEOUT)
            await resend(link.connection, publisher, wanted=wanted, tell=tell_and_note)
    finally:
        # Broken off, what was sent until then is told too.
        await tell_ledger(settings, outcomes_of(sent, sent_again))


async def _remove(
    settings: Settings,
    *,
    wanted: Callable[[Undeliverable], bool],
    tell: Callable[[Undeliverable], None],
) -> None:
    gone: list[Undeliverable] = []

    def tell_and_note(item: Undeliverable) -> None:
        tell(item)
        gone.append(item)

    try:
        async with opened_link(settings) as link:
            assert link.connection is not None  # noqa: S101 - opened
            await remove(link.connection, wanted=wanted, tell=tell_and_note)
    finally:
        await tell_ledger(settings, outcomes_of(gone, removed))


def _append(settings: Settings, act: str, item: Undeliverable) -> Act:
    return audit.append(settings, act, notificatie=item.message_id, abonnement=item.abonnement)


def _key(item: Undeliverable) -> dict[str, object]:
    return {"id": item.message_id, "abonnement": str(item.abonnement) if item.abonnement else None}


def _facts(item: Undeliverable) -> dict[str, object]:
    history = read_history(item.headers)
    return {
        **_key(item),
        "kanaal": _body(item).get("kanaal"),
        "acceptedAt": _moment(item.accepted_at) if item.accepted_at else None,
        "undeliverableAt": _since(item),
        "attempts": history.attempts,
        "failures": [
            {
                "at": _moment(failure.at),
                "class": failure.kind,
                "status": failure.status,
                "detail": failure.detail,
            }
            for failure in history.failures
        ],
    }


def _body(item: Undeliverable) -> dict[str, Any]:
    """The notificatie; {} when it can't be read."""
    with suppress(orjson.JSONDecodeError):
        value = orjson.loads(item.body)
        if isinstance(value, dict):
            return value
    return {}


def _since(item: Undeliverable) -> str | None:
    if isinstance(value := item.headers.get(UNDELIVERABLE_AT), str):
        return value
    # Out of a wait queue, when the queue of its abonnement was gone: RabbitMQ notes when.
    deaths = item.headers.get("x-death")
    found = (
        (each.get("time") for each in deaths if isinstance(each, dict)) if isinstance(deaths, list) else ()
    )
    times = [_moment(each) for each in found if isinstance(each, datetime)]
    return max(times, default=None)


def _to_the_second(text: str) -> str:
    with suppress(ValueError):
        return _moment(datetime.fromisoformat(text))
    return text


def _moment(moment: datetime) -> str:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _in_words(failure: FailedAttempt) -> str:
    status = f" {failure.status}" if failure.status is not None else ""
    detail = f": {failure.detail}" if failure.detail else ""
    return printable(f"{failure.kind}{status}{detail}")
