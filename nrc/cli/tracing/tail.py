"""`nrc tail`: notificaties as they come, and what becomes of them, until Ctrl-C."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import click
import orjson

from ledger.explaining import Clock
from ledger.values import Search, State
from nrc.cli.connecting import carry_out
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import json_option, note, printable, wide_option
from nrc.cli.terminal.streams import fault_of_output
from nrc.cli.tracing import times
from nrc.cli.tracing.account import Account, opened_account
from nrc.cli.tracing.facts import facts_of, facts_of_attempt, facts_of_delivery
from nrc.cli.tracing.search_options import what_options
from operating.notificaties.following import Became, Came, Following
from runtime.settings import Settings, load_settings
from schemas.errors import LedgerError

LOOK = 0.5  # seconds between two looks at the ledger


@click.command()
@what_options
@click.option("--abonnement", metavar="UUID", type=ids.whom, help="Only what is for this abonnement.")
@click.option(
    "--state",
    "states",
    type=click.Choice([state.value for state in State]),
    multiple=True,
    help="Only deliveries that come to this state, and not what comes in. Several: any of them.",
)
@click.option("--after", metavar="TIME", type=times.moment, help="Begin with what came then. Default: now.")
@wide_option
@json_option
def tail(
    search: Search,
    abonnement: str | None,
    states: tuple[str, ...],
    wide: bool,
    json_: bool,
) -> None:
    """Show notificaties as they come and what becomes of them, until Ctrl-C.

    Also what becomes of those that waited when it began. With --json each is an object on a line of its own.
    """
    with suppress(KeyboardInterrupt):  # how it is meant to end
        carry_out(
            _follow(
                load_settings(),
                search,
                abonnement,
                states=[State(each) for each in states],
                show=_Lines(wide=wide, json=json_),
            )
        )


async def _follow(
    settings: Settings,
    search: Search,
    abonnement: str | None,
    *,
    states: list[State],
    show: _Lines,
) -> None:
    async with opened_account(settings) as account:
        if abonnement is not None:
            search = replace(search, abonnement=account.abonnement(abonnement))
        since = times.now() if search.after is None else search.after
        following = Following(account.ledger, search, since=since, states=states)
        await following.begin()
        told_of, fault = 0, ""
        while True:
            if following.given_up > told_of:
                told_of = following.given_up
                note(f"{told_of} that wait are not followed, since it is too much: --abonnement follows less")
            try:
                news = await following.news(now=times.now())
            except LedgerError as error:
                if str(error) != fault:
                    fault = str(error)
                    note(f"the ledger cannot be read, and is tried again: {fault}")
                news = []
            if any(isinstance(each, Became) and not _known(account, each) for each in news):
                await account.catalogue.try_refresh()
            for each in news:
                show.show(each, account)
            if fault_of_output() is not None:
                return
            await asyncio.sleep(LOOK)


def _known(account: Account, news: Became) -> bool:
    return news.delivery.key.abonnement in account.catalogue.everyone


class _Lines:
    """How each is shown: as JSON, or for people, with whole ids when `wide`."""

    def __init__(self, *, wide: bool, json: bool) -> None:
        self._wide = wide
        self._json = json

    def show(self, news: Came | Became, account: Account) -> None:
        """Print one line."""
        if self._json:
            click.echo(orjson.dumps(_facts(news, account)))
        else:
            click.echo(printable(self._line(news, account)))

    def _line(self, news: Came | Became, account: Account) -> str:
        notificatie = news.notificatie
        if isinstance(news, Came):
            at, what = notificatie.received, "accepted"
            to = "1 abonnement" if news.to == 1 else f"{news.to or 'no'} abonnementen"
            told = (
                f"{notificatie.kanaal} {notificatie.resource} {notificatie.actie} from {notificatie.client}, "
            )
            told += f"for {to}"
        else:
            at, what = news.delivery.last_at, news.delivery.state.value
            whose = _client(news, account) or "removed"
            told = f"{self._id(news.delivery.key.abonnement)} ({whose}){_how(news)}"
        moment = Clock(at).local(at)
        return f"{moment:%H:%M:%S}.{at % 1000:03d}  {what:<13}  {self._id(notificatie.id)}  {told}"

    def _id(self, id_: object) -> str:
        return str(id_) if self._wide else ids.short(id_)


def _client(news: Became, account: Account) -> str:
    known = account.catalogue.everyone.get(news.delivery.key.abonnement)
    return known.client_id if known is not None else ""


def _how(news: Became) -> str:
    """By which attempt, what was answered, and when the next is."""
    delivery, failed = news.delivery, news.failed
    attempt = f", attempt {delivery.attempts}" if delivery.attempts else ""
    if delivery.state is State.DELIVERED:
        took = f", {delivery.ms:g} ms" if delivery.ms is not None else ""
        return f"{attempt}: status {delivery.status}{took}" if delivery.status is not None else attempt
    why = f": {failed.detail}" if failed is not None else ""
    again = ""
    if delivery.state is State.RETRYING and delivery.next_at is not None:
        again = f"; again at {Clock(delivery.next_at).local(delivery.next_at):%H:%M:%S}"
    return f"{attempt}{why}{again}"


def _facts(news: Came | Became, account: Account) -> dict[str, object]:
    """The same for scripts."""
    if isinstance(news, Came):
        return {"event": "accepted", **facts_of(news.notificatie), "abonnementen": news.to}
    return {
        "event": "outcome",
        "id": str(news.notificatie.id),
        "kanaal": news.notificatie.kanaal,
        "abonnement": str(news.delivery.key.abonnement),
        "clientId": _client(news, account) or None,
        **facts_of_delivery(news.delivery),
        "failure": None if news.failed is None else facts_of_attempt(news.failed),
    }
