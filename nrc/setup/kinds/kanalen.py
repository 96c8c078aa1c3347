"""Kanalen of a setup file. They are recognised by their naam."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from nrc.setup.kinds.step import Action, Doing, Making, Step, differs, fields, listed
from nrc.setup.model import KanaalPart
from operating import kanalen
from schemas.abonnement import Abonnement
from schemas.kanaal import Kanaal

KIND = "kanaal"
_NONE = UUID(int=0)


def plan(making: Making) -> None:
    """The steps that make and change kanalen."""
    for part in making.checked.file.kanalen or ():
        known = making.known.kanalen.get(part.naam)
        making.steps.append(_add(part) if known is None else _change(part, known))


def plan_removals(making: Making, left: Mapping[UUID, Abonnement]) -> None:
    """The steps that remove kanalen which are not in the file. left: the abonnementen that there will be."""
    if not making.prune or (parts := making.checked.file.kanalen) is None:
        return
    named = {part.naam for part in parts}
    for kanaal in making.known.kanalen.values():
        if kanaal.naam in named:
            continue
        if users := kanalen.users_of(kanaal.naam, left.values()):
            making.fault(
                ("kanalen",),
                f"--prune would remove kanaal {kanaal.naam}, which {len(users)} abonnement(en) use: "
                f"{', '.join(users)}",
            )
            continue
        making.steps.append(_remove(kanaal))


def there_will_be(making: Making) -> Mapping[str, Kanaal]:
    """The kanalen that there will be, with their filters, for the checks of abonnementen."""
    parts = making.checked.file.kanalen
    if parts is None:
        return making.known.kanalen
    wanted = {} if making.prune else dict(making.known.kanalen)
    for part in parts:
        known = making.known.kanalen.get(part.naam) or Kanaal(_NONE, part.naam, "", (), ())
        wanted[part.naam] = replace(
            known, filters=known.filters if part.filters is None else tuple(part.filters)
        )
    return wanted


def _add(part: KanaalPart) -> Step:
    filters, link = tuple(part.filters or ()), part.documentatie_link or ""

    async def do(doing: Doing) -> None:
        await kanalen.add_kanaal(
            doing.registry, doing.log, naam=part.naam, documentatie_link=link, filters=filters
        )
        await doing.ask(lambda router: router.apply_kanaal(part.naam))

    told = fields(differs("filters", "", listed(filters)), differs("documentatieLink", "", link))
    return Step(KIND, part.naam, Action.ADD, told, do)


def _change(part: KanaalPart, known: Kanaal) -> Step:
    filters = None if part.filters is None else tuple(part.filters)
    other = filters is not None and filters != known.filters
    link = part.documentatie_link if part.documentatie_link != known.documentatie_link else None
    told = fields(
        differs("filters", listed(known.filters), listed(filters or ())) if other else None,
        differs("documentatieLink", known.documentatie_link, link),
    )
    if not told:
        return Step(KIND, part.naam, Action.SAME)

    async def do(doing: Doing) -> None:
        await kanalen.change_kanaal(
            doing.registry,
            doing.log,
            known,
            documentatie_link=link,
            filters=filters if other else None,
        )
        await doing.ask(lambda router: router.apply_kanaal(part.naam))

    return Step(KIND, part.naam, Action.CHANGE, told, do)


def _remove(kanaal: Kanaal) -> Step:
    async def do(doing: Doing) -> None:
        await kanalen.remove_kanaal(doing.registry, doing.log, kanaal)

    return Step(KIND, kanaal.naam, Action.REMOVE, (), do)
