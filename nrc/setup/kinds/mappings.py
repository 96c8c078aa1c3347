"""Own mappings of notificaties to CloudEvents. They are recognised by their name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

from nrc.setup.kinds.step import Action, Difference, Doing, Making, Step
from operating.abonnementen import set_event_mapping
from schemas.abonnement import Abonnement, events_of
from schemas.events.mapping import BUILT_IN, EventMapping

KIND = "mapping"


def plan(making: Making) -> None:
    """The steps that make and change mappings."""
    for part in making.checked.file.mappings or ():
        known = making.known.mappings.get(part.name)
        if part.mapping == known:
            making.steps.append(Step(KIND, part.name, Action.SAME))
            continue
        action = Action.ADD if known is None else Action.CHANGE
        told = Difference("rules", _told(part.mapping), "" if known is None else _told(known))
        making.steps.append(Step(KIND, part.name, action, (told,), _set(part.name, part.mapping)))


def plan_removals(making: Making, left: Mapping[UUID, Abonnement]) -> None:
    """The steps that remove mappings which are not in the file. left: abonnementen that there will be."""
    for name in making.known.mappings.keys() - there_will_be(making):
        users = [uuid for uuid, each in left.items() if _mapping_of(each) == name]
        if users:
            making.fault(
                ("mappings",),
                f"mapping {name} is not in the file, and abonnement {users[0]} has it: give that another",
            )
            continue
        told = Difference("rules", before=_told(making.known.mappings[name]))
        making.steps.append(Step(KIND, name, Action.REMOVE, (told,), _set(name, None)))


def there_will_be(making: Making) -> set[str]:
    """The names of all mappings that there will be."""
    parts = making.checked.file.mappings
    named = {part.name for part in parts or ()}
    kept = set() if making.prune and parts is not None else set(making.known.mappings)
    return {*BUILT_IN, *named, *kept}


def _mapping_of(abonnement: Abonnement) -> str:
    events = events_of(abonnement.options)
    return events.mapping if events else ""


def _told(mapping: EventMapping) -> str:
    """Its rules, in one line."""
    return "; ".join(f"{rule.kanaal}/{rule.resource}/{rule.actie} -> {rule.type}" for rule in mapping.rules)


def _set(name: str, mapping: EventMapping | None) -> Callable[[Doing], Awaitable[None]]:
    async def do(doing: Doing) -> None:
        await set_event_mapping(doing.registry, doing.log, name, mapping)

    return do
