"""`nrc abonnement …`: who wants what, for operators. Making one is the API's: it checks the callback."""

from __future__ import annotations

from uuid import UUID

import click

from nrc.cli.reaching import OpenRegistry, carry_out, opened_registry, tell_processes
from nrc.cli.showing import as_json, json_option, note, printable, table
from router.requests import RouterClient
from runtime.settings import Settings, load_settings
from schemas.abonnement import Abonnement, FilterGroup, State
from schemas.errors import Conflict


@click.group()
def abonnement() -> None:
    """Abonnementen: which notificaties go where. They are made through the API."""


@abonnement.command("list")
@click.option("--client", metavar="ID", help="Only those of this application.")
@json_option
def list_(client: str | None, json_: bool) -> None:
    """List the abonnementen."""
    settings = load_settings()
    found = [each for each in carry_out(_abonnementen(settings)) if client in (None, each.client_id)]
    found.sort(key=lambda each: (each.client_id, each.callback_url, each.uuid))
    if json_:
        as_json([_facts(each) for each in found])
        return
    table(
        ["UUID", "APPLICATION", "STATE", "KANALEN", "CALLBACK"],
        (
            [
                each.uuid,
                each.client_id,
                f"{each.state} ({each.state_reason})" if each.state_reason else each.state,
                ", ".join(dict.fromkeys(group.naam for group in each.kanalen)),
                each.callback_url,
            ]
            for each in found
        ),
        empty="no abonnementen",
    )


async def _abonnementen(settings: Settings) -> list[Abonnement]:
    async with opened_registry(settings) as opened:
        return list(opened.catalogue.abonnementen.values())


@abonnement.command()
@click.argument("uuid", type=click.UUID)
@json_option
def show(uuid: UUID, json_: bool) -> None:
    """Show one abonnement; its auth is never shown."""
    settings = load_settings()
    found = carry_out(_find(settings, uuid))
    if json_:
        as_json(_facts(found))
        return
    click.echo(f"uuid:        {found.uuid}")
    click.echo(f"application: {printable(found.client_id)}")
    click.echo(f"callbackUrl: {printable(found.callback_url)}")
    click.echo(
        f"state:       {found.state}{f' ({printable(found.state_reason)})' if found.state_reason else ''}"
    )
    for group in found.kanalen:
        click.echo(f"kanaal:      {printable(group.naam)}{_filters(group)}")


async def _find(settings: Settings, uuid: UUID) -> Abonnement:
    async with opened_registry(settings) as opened:
        return _known(opened, uuid)


@abonnement.command()
@click.argument("uuids", metavar="UUID...", type=click.UUID, nargs=-1, required=True)
def remove(uuids: tuple[UUID, ...]) -> None:
    """Remove abonnementen, and what waits for them."""
    settings = load_settings()
    carry_out(_remove(settings, uuids))


async def _remove(settings: Settings, uuids: tuple[UUID, ...]) -> None:
    async with opened_registry(settings) as opened:
        for uuid in uuids:
            _known(opened, uuid)
        for uuid in uuids:
            if await opened.registry.remove_abonnement(uuid):
                click.echo(f"{uuid} removed")
    await _apply(settings, uuids)


@abonnement.command()
@click.argument("uuids", metavar="UUID...", type=click.UUID, nargs=-1, required=True)
def resume(uuids: tuple[UUID, ...]) -> None:
    """Deliver to suspended abonnementen again, with what was held for them."""
    settings = load_settings()
    carry_out(_resume(settings, uuids))


async def _resume(settings: Settings, uuids: tuple[UUID, ...]) -> None:
    async with opened_registry(settings) as opened:
        for uuid in uuids:
            if _known(opened, uuid).state is State.ACTIVE:
                note(f"{uuid} is active already")
        for uuid in uuids:
            if await opened.registry.set_state(uuid, State.ACTIVE, "") is None:
                raise Conflict(f"abonnement {uuid} was just removed.")
            click.echo(f"{uuid} active")
    await _apply(settings, uuids)


async def _apply(settings: Settings, uuids: tuple[UUID, ...]) -> None:
    async def ask(router: RouterClient) -> None:
        for uuid in uuids:
            await router.apply_abonnement(uuid)

    await tell_processes(settings, ask)


def _known(opened: OpenRegistry, uuid: UUID) -> Abonnement:
    found = opened.catalogue.abonnementen.get(uuid)
    if found is None:
        raise Conflict(f"there is no abonnement {uuid}: `nrc abonnement list` shows which there are.")
    return found


def _filters(group: FilterGroup) -> str:
    pairs = ", ".join(f"{name}={value}" for name, value in group.filters)
    return f" where {printable(pairs)}" if pairs else ""


def _facts(abonnement: Abonnement) -> dict[str, object]:
    return {
        "uuid": str(abonnement.uuid),
        "clientId": abonnement.client_id,
        "callbackUrl": abonnement.callback_url,
        "state": abonnement.state,
        "stateReason": abonnement.state_reason,
        "kanalen": [{"naam": group.naam, "filters": dict(group.filters)} for group in abonnement.kanalen],
    }
