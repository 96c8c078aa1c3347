"""Abonnementen of a setup file. They are recognised by their UUID, which follows from a name."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from gateway.api.attribute_filters import marked
from gateway.api.checks import group_faults, scheme_faults
from gateway.api.own_address import own_address_faults
from gateway.api.send_cloudevents import keeping
from nrc.setup.faults import Path
from nrc.setup.kinds import amqp_abonnementen as amqp
from nrc.setup.kinds import mappings
from nrc.setup.kinds.step import NONE, Action, Difference, Doing, Making, Step, differs, fields
from nrc.setup.model import AbonnementPart, Kind
from operating import abonnementen
from operating.removal import end_what_waits, remove_queues
from schemas.abonnement import GIVEN, Abonnement, FilterGroup, events_of
from schemas.delivery_options import DeliveryOptions
from schemas.kanaal import Kanaal

KIND = "abonnement"


def plan(making: Making, kanalen: Mapping[str, Kanaal], applications: set[str]) -> None:
    """The steps that make and change abonnementen. kanalen, applications: those that there will be."""
    for index, part in enumerate(making.checked.file.abonnementen or ()):
        path: Path = ("abonnementen", index)
        if making.checked.foreign and part.client_id not in applications:
            making.leave_out(
                path, f"{part.told}: there is no application {part.client_id}, whose it would be"
            )
            continue
        known = making.known.abonnementen.get(part.key)
        before = len(making.faults)
        _check(making, part, path, kanalen, applications, known)
        if len(making.faults) > before:
            if making.checked.foreign:  # one that does not fit stops no others
                making.not_taken += making.faults[before:]
                del making.faults[before:]
            continue
        spelling = making.settings.attribute_filters
        groups = [
            group.model_copy(update={"filters": marked(group.filters, kanalen.get(group.naam), spelling)})
            for group in part.kanalen
        ]
        part = part.model_copy(update={"kanalen": groups})
        foreign = making.checked.foreign
        making.steps.append(_add(part) if known is None else _change(part, known, foreign=foreign))


def plan_removals(making: Making) -> None:
    """The steps that remove abonnementen which are not in the file."""
    for each in _to_remove(making):
        waiting = None if making.known.waiting is None else making.known.waiting.get(each.uuid, 0)
        making.steps.append(_remove(each, waiting))


def there_will_be(making: Making) -> Mapping[UUID, Abonnement]:
    """The abonnementen that there will be, as far as removals of other things depend on them."""
    left = dict(making.known.abonnementen)
    for each in _to_remove(making):
        del left[each.uuid]
    for part in making.checked.file.abonnementen or ():
        known = making.known.abonnementen.get(part.key)
        made = Abonnement(
            part.key,
            part.callback_url or "",
            "",
            part.groups,
            part.client_id,
            options=known.options if part.options is None and known is not None else part.options,
        )
        left[part.key] = made
    return left


def _to_remove(making: Making) -> list[Abonnement]:
    parts = making.checked.file.abonnementen
    if not making.prune or parts is None:
        return []
    named = {part.key for part in parts}
    return [each for uuid, each in making.known.abonnementen.items() if uuid not in named]


def _check(
    making: Making,
    part: AbonnementPart,
    path: Path,
    kanalen: Mapping[str, Kanaal],
    applications: set[str],
    known: Abonnement | None,
) -> None:
    """Note what is wrong with one, by what there is and will be; by the API's own rules in its words."""
    if part.client_id not in applications:
        making.fault((*path, "clientId"), f"there is no application {part.client_id}; add it to the file")
    for index, group in enumerate(part.kanalen):
        for found in group_faults(
            {"kanalen": [{"naam": group.naam, "filters": dict(group.filters)}]}, kanalen, making.settings
        ):
            making.fault((*path, "kanalen", index), found.reason)
    if part.callback_url is not None:
        data = {"callbackUrl": part.callback_url}
        for found in [*scheme_faults(data, making.settings), *own_address_faults(data, making.roots)]:
            making.fault((*path, "callbackUrl"), found.reason)
    events = events_of(part.options)
    if events is not None and not making.settings.cloudevents:
        making.fault(
            (*path, "options", "cloudevents"), "NRC_CLOUDEVENTS is off: CloudEvents are sent to nobody"
        )
    if events is not None and events.mapping not in (there := mappings.there_will_be(making)):
        making.fault(
            (*path, "options", "cloudevents", "mapping"),
            f"there is no mapping {events.mapping}; there are {', '.join(sorted(there))}",
        )
    if part.options and not making.settings.delivery_options:
        making.fault((*path, "options"), "NRC_DELIVERY_OPTIONS is off: no abonnement can have options")
    if part.type is Kind.AMQP:
        amqp.check(making, part, path, known)
    if known is None:
        if part.type is Kind.PUSH and part.auth is None and not _identifies(part):
            making.fault(path, f"{part.told} is new, and needs auth")
    elif (now := _kind_of(known)) is not part.type:
        making.fault((*path, "type"), f"it is of type {now}, which cannot change: give it another name")
    elif part.callback_auth is not None and not _identifies(part) and not (part.auth or known.auth):
        making.fault(
            (*path, "callbackAuth"),
            "it has no auth, and nothing would be sent without callbackAuth; give one",
        )


def _identifies(part: AbonnementPart) -> bool:
    """Whether its callback knows us by callbackAuth."""
    return part.callback_auth is not None and part.callback_auth.identifies


def _kind_of(known: Abonnement) -> Kind:
    return Kind.PULL if known.is_pull else Kind.AMQP if known.is_amqp else Kind.PUSH


def _kanalen(groups: tuple[FilterGroup, ...]) -> str:
    """What it asks for, in one line."""
    told = []
    for group in groups:
        where = ", ".join(f"{name}={value}" for name, value in group.filters)
        told.append(f"{group.naam} ({where})" if where else group.naam)
    return "; ".join(told) or NONE


def _options(options: DeliveryOptions | None) -> str:
    return options.text() if options else NONE


def _add(part: AbonnementPart) -> Step:
    if part.type is Kind.AMQP:
        new = amqp.new_of(part)
    else:
        new = Abonnement(
            part.key,
            part.callback_url or "",
            part.auth or "",
            part.groups,
            part.client_id,
            callback_auth=part.callback_auth or None,
            options=part.options or None,
        )

    async def do(doing: Doing) -> None:
        if new.is_amqp:
            await amqp.add(doing, part, new)
        elif new.is_pull:
            await abonnementen.add_pull(doing.registry, doing.log, new)
        else:
            await abonnementen.add(
                doing.registry,
                doing.log,
                new,
                router=doing.router,
                callbacks=doing.callbacks,
                settings=doing.settings,
            )

    told = fields(
        Difference("uuid", str(new.uuid)) if part.uuid is None else None,
        Difference("clientId", part.client_id),
        *_where(new),
        None if new.callback_auth is None else Difference("callbackAuth", secret=True),
        None if new.options is None else Difference("options", new.options.text()),
        Difference("kanalen", _kanalen(new.kanalen)),
    )
    return Step(KIND, part.told, Action.ADD, told, do)


def _where(new: Abonnement) -> list[Difference]:
    """How it gets there."""
    if new.is_amqp:
        return amqp.told(new)
    if new.is_pull:
        return [Difference("type", Kind.PULL)]
    auth = [Difference("auth", secret=True)] if new.auth else []
    return [Difference("callbackUrl", new.callback_url), *auth]


def _change(part: AbonnementPart, known: Abonnement, *, foreign: bool) -> Step:
    wanted: dict[str, Any] = {}
    if part.callback_url is not None and part.callback_url != known.callback_url:
        wanted["callback_url"] = part.callback_url
    if part.auth is not None and not hmac.compare_digest(part.auth.encode(), known.auth.encode()):
        wanted["auth"] = part.auth
    if part.callback_auth is not None:
        kept = part.callback_auth.keeping(known.callback_auth)
        asked = (kept.beside(known.callback_auth) if foreign else kept) or None
        if asked != known.callback_auth:
            wanted["callback_auth"] = asked
    if replace(known, kanalen=part.groups).wants() != known.wants():
        wanted["kanalen"] = part.groups
    options = known.options
    if part.options is not None:
        asked_options = _beside(part.options, known.options) if foreign else part.options
        options = keeping(asked_options, known.options) or None
    groups = None
    if "kanalen" in wanted:
        groups = Difference("kanalen", _kanalen(part.groups), _kanalen(known.kanalen))
    told = fields(
        differs("clientId", known.client_id, part.client_id),
        differs("callbackUrl", known.callback_url, wanted.get("callback_url")),
        Difference("auth", secret=True) if "auth" in wanted else None,
        Difference("callbackAuth", secret=True) if "callback_auth" in wanted else None,
        differs("options", _options(known.options), _options(options)),
        Difference("password", secret=True) if amqp.another_password(part, known) else None,
        groups,
    )
    if not told:
        return Step(KIND, part.told, Action.SAME)

    async def do(doing: Doing) -> None:
        if known.is_amqp:
            await amqp.change(doing, part, known, wanted)
        elif wanted and known.is_pull:
            await abonnementen.change_pull(doing.registry, doing.log, known, part.groups)
        elif wanted:
            await abonnementen.change(
                doing.registry,
                doing.log,
                known,
                wanted,
                router=doing.router,
                callbacks=doing.callbacks,
                settings=doing.settings,
            )
        if options != known.options:
            await abonnementen.set_options(doing.registry, doing.log, known, options, settings=doing.settings)
        if part.client_id != known.client_id:
            given = await abonnementen.give(
                *(doing.registry, doing.log, known),
                to=part.client_id,
                reason="",
                # What stands in the file is no secret of the former owner's alone.
                keep_auth=(part.auth is not None or not known.auth)
                and (part.callback_auth is not None or not known.callback_auth),
            )
            if given.state_reason == GIVEN:
                doing.tell(
                    f"{known.uuid}: suspended until {part.client_id} sets its own auth; name auth and "
                    "callbackAuth in the file to hand over those that it has"
                )

    return Step(KIND, part.told, Action.CHANGE, told, do)


def _beside(asked: DeliveryOptions, known: DeliveryOptions | None) -> DeliveryOptions:
    """Options of another system, which knows filters on CloudEvents only, with all else that was set here."""
    events, before = asked.cloudevents, events_of(known)
    if known is None or events is None:
        return known or asked
    if before is not None:
        events = before.model_copy(update={"filters": events.filters})
    return known.model_copy(update={"cloudevents": events})


def _remove(known: Abonnement, waiting: int | None) -> Step:
    async def do(doing: Doing) -> None:
        if not await abonnementen.remove(doing.registry, doing.log, known.uuid, keep=doing.keep_waiting):
            return
        waited = await end_what_waits(
            doing.settings, doing.log, [known.uuid], keep=doing.keep_waiting, tell=doing.tell
        )
        if text := str(waited):
            doing.tell(f"{known.uuid}: {text}")
        await doing.ask(lambda router: remove_queues(router, [known.uuid]))

    told = fields(
        Difference("clientId", before=known.client_id),
        Difference("callbackUrl", before=known.callback_url) if known.callback_url else None,
        Difference("kanalen", before=_kanalen(known.kanalen)),
    )
    return Step(KIND, str(known.uuid), Action.REMOVE, told, do, waiting=waiting)
