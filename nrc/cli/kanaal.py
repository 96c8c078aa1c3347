"""`nrc kanaal …`: what may be published on."""

from __future__ import annotations

from uuid import uuid4

import click
from pydantic import ValidationError

from nrc.cli import acts
from nrc.cli.reaching import carry_out, new_option, opened_registry, tell_processes
from nrc.cli.showing import as_json, json_option, table
from runtime.settings import Settings, load_settings
from schemas.errors import UsageError
from schemas.fields import invalid_params
from schemas.kanaal import Kanaal, KanaalRequest, slots_for


@click.group()
def kanaal() -> None:
    """Kanalen: what sources publish on."""


@kanaal.command("list")
@json_option
def list_(json_: bool) -> None:
    """List the kanalen."""
    settings = load_settings()
    found = sorted(carry_out(_kanalen(settings)), key=lambda each: each.naam)
    if json_:
        as_json(
            [
                {
                    "uuid": str(each.uuid),
                    "naam": each.naam,
                    "documentatieLink": each.documentatie_link,
                    "filters": each.filters,
                }
                for each in found
            ]
        )
        return
    table(
        ["NAAM", "FILTERS", "DOCUMENTATIELINK", "UUID"],
        ([each.naam, ", ".join(each.filters), each.documentatie_link, each.uuid] for each in found),
        empty="no kanalen yet: `nrc kanaal add NAAM --filter …`",
    )


async def _kanalen(settings: Settings) -> list[Kanaal]:
    async with opened_registry(settings) as opened:
        return list(opened.catalogue.kanalen.values())


@kanaal.command()
@click.argument("naam")
@click.option("--filter", "filters", multiple=True, help="A kenmerk that abonnementen may filter on.")
@click.option("--documentatie-link", default="", metavar="URL", help="Where its kenmerken are explained.")
@new_option
def add(naam: str, filters: tuple[str, ...], documentatie_link: str, new: bool) -> None:
    """Register kanaal NAAM."""
    settings = load_settings()
    sent = {"naam": naam, "filters": list(filters), "documentatieLink": documentatie_link}
    try:
        request = KanaalRequest.model_validate(sent)
    except ValidationError as error:
        faults = invalid_params(error.errors(include_url=False, include_input=False))
        raise UsageError("\n".join(f"{fault.name}: {fault.reason}" for fault in faults)) from None
    kanaal = Kanaal(
        uuid=uuid4(),
        naam=request.naam,
        documentatie_link=request.documentatie_link,
        filters=tuple(request.filters),
        slots=slots_for(request.filters),
    )
    carry_out(_add(settings, kanaal, new=new))
    click.echo(kanaal.uuid)


async def _add(settings: Settings, kanaal: Kanaal, *, new: bool) -> None:
    async with opened_registry(settings, new=new) as opened:
        await opened.registry.add_kanaal(kanaal)
    acts.tell(settings, "kanaal added", kanaal=kanaal.naam)
    await tell_processes(settings, lambda router: router.apply_kanaal(kanaal.naam))
