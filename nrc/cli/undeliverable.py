"""`nrc undeliverable …`: what could not be delivered, sending it once more, and removing it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click
import orjson

from nrc.cli import acts
from nrc.cli.reaching import broker_urls, carry_out, opened_link
from nrc.cli.showing import as_json, json_option, note, printable, table
from nrc.exits import Exit
from router.history import UNDELIVERABLE_AT, FailedAttempt, read_history
from router.publishing import Publisher
from router.undeliverable import Resent, Undeliverable, look, remove, resend
from runtime.lifecycle import Tasks
from runtime.settings import Settings, load_settings
from schemas.errors import Conflict, UsageError

READY_TIMEOUT = 5.0


@click.group()
def undeliverable() -> None:
    """Notificaties that could not be delivered after every attempt; they stay until resent or removed."""


@undeliverable.command("list")
@click.option("--abonnement", type=click.UUID, metavar="UUID", help="Only those for this abonnement.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="How many at most.")
@json_option
def list_(abonnement: UUID | None, limit: int, json_: bool) -> None:
    """List them, oldest first. They stay where they are."""

    def wanted(item: Undeliverable) -> bool:
        return abonnement in (None, item.abonnement)

    at_most = sys.maxsize if abonnement else limit + 1
    found = carry_out(_look(load_settings(), wanted=wanted, limit=limit + 1, at_most=at_most))
    if len(found) > limit:
        note(f"there are more than {limit}: --limit")
        del found[limit:]
    if json_:
        as_json([_facts(item) for item in found])
        return
    table(
        ["ID", "ABONNEMENT", "KANAAL", "ATTEMPTS", "LAST FAILURE", "SINCE"],
        (_row(item) for item in found),
        empty="nothing is undeliverable",
    )


def _row(item: Undeliverable) -> list[object]:
    history = read_history(item.headers)
    last = _in_words(history.failures[-1]) if history.failures else ""
    return [
        item.message_id,
        item.abonnement or "unknown",
        _body(item).get("kanaal", ""),
        history.attempts,
        last[:60],
        _since(item) or "",
    ]


@undeliverable.command()
@click.argument("id_", metavar="ID")
@json_option
def show(id_: str, json_: bool) -> None:
    """Show notificatie ID, with each attempt that failed; once for each abonnement that it did not reach."""
    found = carry_out(_look(load_settings(), wanted=lambda item: item.message_id == id_))
    if not found:
        raise Conflict(f"there is no undeliverable notificatie {id_}.")
    if json_:
        as_json(
            [
                {**_facts(item), "notificatie": _body(item) or item.body.decode(errors="replace")}
                for item in found
            ]
        )
        return
    for item in found:
        history = read_history(item.headers)
        click.echo(f"id:         {printable(item.message_id)}")
        click.echo(f"abonnement: {item.abonnement or 'unknown'}")
        click.echo(f"since:      {_since(item) or 'unknown'}")
        click.echo(f"attempts:   {history.attempts}")
        for failure in history.failures:
            click.echo(f"  {_moment(failure.at)}  {_in_words(failure)}")
        for line in item.body.decode(errors="replace").splitlines():
            click.echo(printable(line))


@undeliverable.command("resend")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option(
    "--abonnement", type=click.UUID, metavar="UUID", help="Only (without ID: all) those for this one."
)
@json_option
def resend_(ids: tuple[str, ...], abonnement: UUID | None, json_: bool) -> None:
    """Deliver notificaties again, with as many attempts as a new one. Exit code 1 when any could not be."""
    wanted = _selection(ids, abonnement)
    done: list[Resent] = []
    settings = load_settings()

    def tell(resent: Resent) -> None:
        done.append(resent)
        if not resent.problem:
            _tell_of(settings, "notificatie sent again", resent.item)

    carry_out(_resend(settings, wanted=wanted, tell=tell))
    missing = sorted(frozenset(ids) - {resent.item.message_id for resent in done})
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
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option(
    "--abonnement", type=click.UUID, metavar="UUID", help="Only (without ID: all) those for this one."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def remove_(ids: tuple[str, ...], abonnement: UUID | None, yes: bool, json_: bool) -> None:
    """Remove notificaties for good: they will not be delivered. Exit code 1 when any ID is not there."""
    wanted = _selection(ids, abonnement)
    settings = load_settings()
    if not yes:
        found = carry_out(_look(settings, wanted=wanted))
        if found:
            click.confirm(f"remove {len(found)} for good?", abort=True, err=True)
    done: list[Undeliverable] = []

    def tell(item: Undeliverable) -> None:
        done.append(item)
        _tell_of(settings, "undeliverable notificatie removed", item)
        if not json_:
            click.echo(f"{printable(item.message_id)} removed (abonnement {item.abonnement or 'unknown'})")

    carry_out(_remove(settings, wanted=wanted, tell=tell))
    missing = sorted(frozenset(ids) - {item.message_id for item in done})
    if json_:
        as_json({"removed": [_key(item) for item in done], "missing": missing})
    elif not done:
        click.echo("nothing removed")
    for id_ in missing:
        note(f"{printable(id_)}: is not there")
    if missing:
        sys.exit(Exit.FAILED)


def _selection(ids: tuple[str, ...], abonnement: UUID | None) -> Callable[[Undeliverable], bool]:
    if not ids and abonnement is None:
        raise UsageError("which? Give IDs (`nrc undeliverable list`), or --abonnement UUID for all of its")
    chosen = frozenset(ids)

    def wanted(item: Undeliverable) -> bool:
        return abonnement in (None, item.abonnement) and (not chosen or item.message_id in chosen)

    return wanted


async def _look(
    settings: Settings,
    *,
    wanted: Callable[[Undeliverable], bool],
    limit: int = sys.maxsize,
    at_most: int = sys.maxsize,
) -> list[Undeliverable]:
    async with opened_link(settings) as link:
        assert link.connection is not None  # noqa: S101 - opened
        return await look(link.connection, wanted=wanted, limit=limit, at_most=at_most)


async def _resend(
    settings: Settings, *, wanted: Callable[[Undeliverable], bool], tell: Callable[[Resent], None]
) -> None:
    publisher = Publisher(broker_urls(settings), name="nrc command", mandatory=True)
    async with Tasks() as tasks, opened_link(settings) as link:
        assert link.connection is not None  # noqa: S101 - opened
        tasks.start("publishing", publisher.run())
        await publisher.wait_ready(READY_TIMEOUT)
        await resend(link.connection, publisher, wanted=wanted, tell=tell)


async def _remove(
    settings: Settings,
    *,
    wanted: Callable[[Undeliverable], bool],
    tell: Callable[[Undeliverable], None],
) -> None:
    async with opened_link(settings) as link:
        assert link.connection is not None  # noqa: S101 - opened
        await remove(link.connection, wanted=wanted, tell=tell)


def _tell_of(settings: Settings, act: str, item: Undeliverable) -> None:
    acts.tell(settings, act, notificatie=item.message_id, abonnement=item.abonnement)


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
    value = item.headers.get(UNDELIVERABLE_AT)
    return value if isinstance(value, str) else None


def _moment(moment: datetime) -> str:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _in_words(failure: FailedAttempt) -> str:
    status = f" {failure.status}" if failure.status is not None else ""
    detail = f": {failure.detail}" if failure.detail else ""
    return printable(f"{failure.kind}{status}{detail}")
