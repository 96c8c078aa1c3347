"""Applications of a setup file. They are recognised by their client id."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from enum import StrEnum
from uuid import UUID

from nrc.setup.kinds.step import Action, Difference, Doing, Making, Step, differs, fields, listed
from nrc.setup.model import ApplicationPart
from operating import applications
from schemas.abonnement import Abonnement
from schemas.application import Application, Scope

KIND = "application"


class Source(StrEnum):
    """Where an application has its scopes from."""

    HERE = "here"
    TOKENS = "from its tokens"
    AC = "from the Autorisaties API"


def plan(making: Making) -> None:
    """The steps that make and change applications."""
    for index, part in enumerate(making.checked.file.applications or ()):
        known = making.known.applications.get(part.client_id)
        if known is not None:
            making.steps.append(_change(part, known))
        elif part.secret is None:
            making.fault(("applications", index), f"{part.client_id} is new, and needs a secret")
        else:
            making.steps.append(_add(part, part.secret))


def plan_removals(making: Making, left: Mapping[UUID, Abonnement]) -> None:
    """The steps that remove applications which are not in the file. left: abonnementen that there will be."""
    if not making.prune or (parts := making.checked.file.applications) is None:
        return
    named = {part.client_id for part in parts}
    for client_id in making.known.applications:
        if client_id in named:
            continue
        if owned := [str(each.uuid) for each in left.values() if each.client_id == client_id]:
            making.fault(
                ("applications",),
                f"--prune would remove application {client_id}, which has {len(owned)} abonnement(en): "
                f"{', '.join(sorted(owned))}",
            )
            continue
        making.steps.append(_remove(client_id))


def there_will_be(making: Making) -> set[str]:
    """The client ids that there will be."""
    parts = making.checked.file.applications
    named = {part.client_id for part in parts or ()}
    return named if making.prune and parts is not None else named | making.known.applications.keys()


def _source(known: Application) -> Source:
    return Source.TOKENS if known.scopes_from_token else Source.AC if known.scopes_from_ac else Source.HERE


def _wanted(part: ApplicationPart, now: Source) -> Source:
    """Where it is to have its scopes from. now: where it has them from."""
    if part.scopes_from_token:
        return Source.TOKENS
    if part.scopes_from_ac:
        return Source.AC
    no_more = {
        Source.TOKENS: part.scopes_from_token is False,
        Source.AC: part.scopes_from_ac is False,
        Source.HERE: False,
    }
    return Source.HERE if part.scopes is not None or no_more[now] else now


def _told(source: Source, scopes: Iterable[Scope]) -> str:
    if source is not Source.HERE:
        return source.value
    return listed(sorted(scope.rpartition(".")[2] for scope in scopes))


def _add(part: ApplicationPart, secret: str) -> Step:
    new = Application(
        client_id=part.client_id,
        secret=secret,
        label=part.label or "",
        scopes=frozenset(part.scopes or ()),
        scopes_from_token=bool(part.scopes_from_token),
        scopes_from_ac=bool(part.scopes_from_ac),
    )

    async def do(doing: Doing) -> None:
        await applications.add_application(doing.registry, doing.log, new)

    told = fields(
        differs("scopes", "", _told(_source(new), new.scopes)),
        differs("label", "", new.label),
        Difference("secret", secret=True),
    )
    return Step(KIND, part.client_id, Action.ADD, told, do)


def _change(part: ApplicationPart, known: Application) -> Step:
    now, source = _source(known), _wanted(part, _source(known))
    scopes = known.scopes if part.scopes is None else frozenset(part.scopes)
    more, less = scopes - known.scopes, known.scopes - scopes
    other_secret = part.secret is not None and not hmac.compare_digest(
        part.secret.encode(), known.secret.encode()
    )
    label = part.label if part.label != known.label else None
    told = fields(
        differs("scopes", _told(now, known.scopes), _told(source, scopes)),
        differs("label", known.label, label),
        Difference("secret", secret=True) if other_secret else None,
    )
    if not told:
        return Step(KIND, part.client_id, Action.SAME)

    async def do(doing: Doing) -> None:
        registry, log, client_id = doing.registry, doing.log, part.client_id
        if label is not None:
            await applications.set_label(registry, log, client_id, label)
        if source is not now:
            await applications.change_source(
                registry,
                log,
                client_id,
                from_ac=source is Source.AC,
                from_token=source is Source.TOKENS,
                scopes=scopes,
            )
        elif more or less:
            await applications.set_scopes(registry, log, client_id, add=more, remove=less)
        if other_secret and part.secret is not None:
            keep = part.keep_old_secret or None
            await applications.rotate_secret(registry, log, client_id, part.secret, keep_old=keep)

    return Step(KIND, part.client_id, Action.CHANGE, told, do)


def _remove(client_id: str) -> Step:
    async def do(doing: Doing) -> None:
        await applications.remove_application(doing.registry, doing.log, client_id)

    return Step(KIND, client_id, Action.REMOVE, (), do)
