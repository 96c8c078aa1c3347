"""`nrc kanaal …`: lists and changes kanalen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click
from pydantic import ValidationError

from nrc.cli.connecting import carry_out, new_option, opened_registry, tell_processes
from nrc.cli.operating import audit
from nrc.cli.terminal.output import Column, as_json, json_option, printable, table, wide_option
from operating import kanalen as operating
from runtime.settings import Settings, load_settings
from schemas.errors import Conflict, UsageError
from schemas.fields import invalid_params
from schemas.kanaal import EVENTS_KANAAL, Kanaal, KanaalRequest

if TYPE_CHECKING:
    from router.catalogue import Catalogue


@click.group()
def kanaal() -> None:
    """Kanalen: what sources publish on."""


@kanaal.command("list")
@wide_option
@json_option
def list_(wide: bool, json_: bool) -> None:
    """List the kanalen."""
    catalogue = carry_out(_load(load_settings()))
    found = sorted(catalogue.every_kanaal(), key=lambda each: each.naam)
    if json_:
        as_json([_facts(each) for each in found])
        return
    table(
        [
            Column("NAAM"),
            Column("FILTERS", least=12),
            Column("DOCUMENTATIELINK", least=12),
            Column("UUID", wide=True),
        ],
        ([each.naam, ", ".join(each.filters), each.documentatie_link, each.uuid] for each in found),
        empty="no kanalen yet: `nrc kanaal add NAAM --filter …`",
        wide=wide,
    )


async def _load(settings: Settings) -> Catalogue:
    async with opened_registry(settings) as opened:
        return opened.catalogue


@kanaal.command()
@click.argument("naam")
@json_option
def show(naam: str, json_: bool) -> None:
    """Show kanaal NAAM, and how many abonnementen use it."""
    catalogue = carry_out(_load(load_settings()))
    found = _known(catalogue, naam)
    users = _users(catalogue, naam)
    if json_:
        as_json({**_facts(found), "abonnementen": users})
        return
    lines = {
        "naam": found.naam,
        "uuid": str(found.uuid),
        "documentatieLink": found.documentatie_link,
        "filters": ", ".join(found.filters),
        "abonnementen": str(len(users)),
    }
    for name, text in lines.items():
        click.echo(f"{name + ':':<18}{printable(text)}")


@kanaal.command()
@click.argument("naam")
@click.option("--filter", "filters", multiple=True, help="A kenmerk that abonnementen may filter on.")
@click.option("--documentatie-link", default="", metavar="URL", help="Where its kenmerken are explained.")
@new_option
def add(naam: str, filters: tuple[str, ...], documentatie_link: str, new: bool) -> None:
    """Register kanaal NAAM."""
    settings = load_settings()
    request = _checked({"naam": naam, "filters": list(filters), "documentatieLink": documentatie_link})
    click.echo(carry_out(_add(settings, request, new=new)).uuid)


async def _add(settings: Settings, request: KanaalRequest, *, new: bool) -> Kanaal:
    async with opened_registry(settings, new=new) as opened:
        added = await operating.add_kanaal(
            opened.registry,
            audit.log_of(settings, registry=opened.registry),
            naam=request.naam,
            documentatie_link=request.documentatie_link,
            filters=tuple(request.filters),
        )
    await tell_processes(settings, lambda router: router.apply_kanaal(added.naam))
    return added


@kanaal.command()
@click.argument("naam")
@click.option("--filter", "filters", multiple=True, help="A kenmerk that abonnementen may filter on.")
@click.option("--no-filters", is_flag=True, help="Abonnementen may filter on nothing.")
@click.option("--documentatie-link", metavar="URL", help="Where its kenmerken are explained.")
def change(naam: str, filters: tuple[str, ...], no_filters: bool, documentatie_link: str | None) -> None:
    """Change kanaal NAAM. Filters that are given take the place of all it had; what is not given stays."""
    settings = load_settings()
    if filters and no_filters:
        raise UsageError("--filter and --no-filters: give one of them")
    sent: dict[str, object] = {}
    if filters or no_filters:
        sent["filters"] = list(filters)
    if documentatie_link is not None:
        sent["documentatieLink"] = documentatie_link
    if not sent:
        raise UsageError("change what? --filter, --no-filters, --documentatie-link")
    request = _checked({"naam": naam, **sent})
    carry_out(_change(settings, request, sent))
    click.echo(f"{printable(naam)} changed")


async def _change(settings: Settings, request: KanaalRequest, sent: Mapping[str, object]) -> None:
    naam = request.naam
    async with opened_registry(settings) as opened:
        await operating.change_kanaal(
            opened.registry,
            audit.log_of(settings, registry=opened.registry),
            _known(opened.catalogue, naam),
            documentatie_link=request.documentatie_link if "documentatieLink" in sent else None,
            filters=tuple(request.filters) if "filters" in sent else None,
        )
    await tell_processes(settings, lambda router: router.apply_kanaal(naam))


@kanaal.command()
@click.argument("naam")
def remove(naam: str) -> None:
    """Remove kanaal NAAM, which no abonnement may use. What is published on it is refused from then on."""
    carry_out(_remove(load_settings(), naam))
    click.echo(f"{printable(naam)} removed")


async def _remove(settings: Settings, naam: str) -> None:
    async with opened_registry(settings) as opened:
        found = _known(opened.catalogue, naam)
        try:
            await operating.remove_kanaal(
                opened.registry, audit.log_of(settings, registry=opened.registry), found
            )
        except Conflict:
            await opened.catalogue.refresh()
            users = _users(opened.catalogue, _known(opened.catalogue, naam).naam)
            raise Conflict(
                f"kanaal {naam} is used by {len(users)} abonnement(en), which go first: {', '.join(users)}"
            ) from None
    await tell_processes(settings, lambda router: router.announce())


def _checked(sent: Mapping[str, object]) -> KanaalRequest:
    """The options, checked as the API does. Raises UsageError."""
    try:
        return KanaalRequest.model_validate(sent)
    except ValidationError as error:
        faults = invalid_params(error.errors(include_url=False, include_input=False))
        raise UsageError("\n".join(f"{fault.name}: {fault.reason}" for fault in faults)) from None


def _known(catalogue: Catalogue, naam: str) -> Kanaal:
    """The kanaal with this naam. Raises UsageError, which lists them."""
    found = catalogue.kanalen.get(naam)
    if found is None or found is EVENTS_KANAAL:
        others = ", ".join(sorted(each.naam for each in catalogue.every_kanaal())) or "none yet"
        raise UsageError(f"there is no kanaal {naam!r} (there are: {others})")
    return found


def _users(catalogue: Catalogue, naam: str) -> list[str]:
    """The UUIDs of the abonnementen that use a kanaal."""
    return operating.users_of(naam, catalogue.everyone.values())


def _facts(kanaal: Kanaal) -> dict[str, object]:
    return {
        "uuid": str(kanaal.uuid),
        "naam": kanaal.naam,
        "documentatieLink": kanaal.documentatie_link,
        "filters": kanaal.filters,
    }
