"""`nrc queues`: each queue with its messages and consumers, as RabbitMQ reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from nrc.cli.connecting import carry_out, opened_link, opened_registry
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import Column, as_json, json_option, table, wide_option
from router import names
from runtime.settings import Settings, load_settings

if TYPE_CHECKING:
    from router.queue_depth import Depth


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    what: str
    depth: Depth | None


@click.command()
@wide_option
@json_option
def queues(wide: bool, json_: bool) -> None:
    """Show each queue: the messages that are ready in it, and its consumers."""
    lines = carry_out(_look(load_settings()))
    if json_:
        as_json(
            [
                {
                    "name": line.name,
                    "of": line.what,
                    "messages": line.depth.messages if line.depth else None,
                    "consumers": line.depth.consumers if line.depth else None,
                }
                for line in lines
            ]
        )
        return
    table(
        [Column("QUEUE"), Column("MESSAGES"), Column("CONSUMERS"), Column("OF", least=12)],
        (
            [
                line.name if wide else _shortened(line.name),
                line.depth.messages if line.depth else "missing",
                line.depth.consumers if line.depth else "",
                line.what,
            ]
            for line in lines
        ),
        empty="no queues",
        wide=wide,
    )


def _shortened(name: str) -> str:
    """The name of a queue; that of an abonnement with its short id."""
    uuid = names.abonnement_of(name) or names.abonnement_of_amqp(name)
    return name if uuid is None else name.replace(str(uuid), f"{ids.short(uuid)}…")


async def _look(settings: Settings) -> list[_Line]:
    from router.queue_depth import depths
    from store.registry import DeclaredKind

    async with opened_registry(settings) as opened:
        declared = {
            thing.key
            for thing in await opened.registry.declared()
            if thing.kind is DeclaredKind.QUEUE and not thing.owner and thing.orphan_since is None
        }
        abonnementen = sorted(opened.catalogue.abonnementen.values(), key=lambda each: each.callback_url)
    of = {names.abonnement_queue(each.uuid): f"{each.client_id} {each.callback_url}" for each in abonnementen}
    read = [each for each in abonnementen if each.is_amqp]
    of |= {names.amqp_queue(each.uuid): f"{each.client_id}, who reads it" for each in read}
    # The wait queues that the router declared: its retry schedule may differ from this shell's.
    of |= dict.fromkeys(sorted(declared, key=lambda name: (names.wait_seconds(name) or 0, name)), "")
    of[names.REQUESTS] = "the router"
    async with opened_link(settings) as link:
        assert link.connection is not None  # noqa: S101 - opened
        found = await depths(link.connection, of)
    return [_Line(name, what, found[name]) for name, what in of.items()]
