"""`nrc mapping …`: mappings to CloudEvents, and which abonnementen have them. `nrc apply` makes own ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from nrc.cli.connecting import carry_out, opened_registry
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import Column, as_json, json_option, printable, table, wide_option
from runtime.settings import Settings, load_settings
from schemas.abonnement import Abonnement, events_of
from schemas.errors import UsageError
from schemas.events.mapping import BUILT_IN, EventMapping, Rule


@click.group()
def mapping() -> None:
    """Mappings: which CloudEvents notificaties become."""


@mapping.command("list")
@json_option
def list_(json_: bool) -> None:
    """List the mappings, built in or of a setup file, and how many abonnementen have each."""
    found = carry_out(_load(load_settings()))
    if json_:
        as_json([each.facts() for each in found])
        return
    table(
        [Column("NAME"), Column("FROM"), Column("RULES"), Column("ABONNEMENTEN")],
        ([each.name, each.origin, len(each.rules), len(each.users)] for each in found),
        empty="",
    )


@mapping.command()
@click.argument("name")
@wide_option
@json_option
def show(name: str, wide: bool, json_: bool) -> None:
    """Show mapping NAME: its rules, the first that fits counts, and which abonnementen have it."""
    every = carry_out(_load(load_settings()))
    found = next((each for each in every if each.name == name), None)
    if found is None:
        there_are = ", ".join(each.name for each in every)
        raise UsageError(f"there is no mapping {printable(name)}; there are {there_are}")
    if json_:
        as_json(found.facts())
        return
    click.echo(f"{found.name}: {found.origin}")
    if found.rules:
        click.echo()
    table(
        [
            *(Column("KANAAL"), Column("RESOURCE"), Column("ACTIE"), Column("TYPE", least=20)),
            *(Column("DATA"), Column("DATAREF"), Column("SUBJECT")),
        ],
        (
            [each.kanaal, each.resource, each.actie, each.type, each.data, each.dataref, each.subject]
            for each in found.rules
        ),
        empty="",
        wide=wide,
    )
    click.echo()
    table(
        [Column("ABONNEMENT"), Column("APPLICATION"), Column("CALLBACK", least=20)],
        (
            [each.uuid if wide else ids.short(each.uuid), each.client_id, each.callback_url]
            for each in found.users
        ),
        empty="no abonnement has it",
        wide=wide,
    )


@dataclass(frozen=True, slots=True)
class _Mapping:
    """One mapping; None: abonnementen have it, and it is not there. users: the abonnementen that have it."""

    name: str
    mapping: EventMapping | None
    users: Sequence[Abonnement]

    @property
    def rules(self) -> Sequence[Rule]:
        """Its rules; none of what is not there."""
        return () if self.mapping is None else self.mapping.rules

    @property
    def origin(self) -> str:
        """Where it comes from."""
        if self.mapping is None:
            return "not there: deliveries fail"
        return "built in" if self.name in BUILT_IN else "setup file"

    def facts(self) -> dict[str, object]:
        """The same for scripts."""
        return {
            "name": self.name,
            "builtIn": self.name in BUILT_IN,
            "rules": None if self.mapping is None else self.mapping.model_dump(mode="json")["rules"],
            "abonnementen": [str(each.uuid) for each in self.users],
        }


async def _load(settings: Settings) -> list[_Mapping]:
    """The built-in ones first, then own ones by name, then those that abonnementen lack."""
    async with opened_registry(settings) as opened:
        everyone, own = opened.catalogue.everyone.values(), opened.catalogue.mappings
    users: dict[str, list[Abonnement]] = {}
    for each in sorted(everyone, key=lambda each: (each.client_id, str(each.uuid))):
        if (events := events_of(each.options)) is not None:
            users.setdefault(events.mapping, []).append(each)
    there = {**BUILT_IN, **{name: own[name] for name in sorted(own)}}
    names = [*there, *sorted(users.keys() - there.keys())]
    return [_Mapping(name, there.get(name), users.get(name, ())) for name in names]
