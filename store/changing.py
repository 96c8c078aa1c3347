"""What a change makes of a kanaal or an abonnement, whatever store it is in. Pure."""

from __future__ import annotations

from dataclasses import replace

from schemas.abonnement import Abonnement
from schemas.kanaal import Kanaal, slots_for


def changed_kanaal(
    kanaal: Kanaal, *, documentatie_link: str | None, filters: tuple[str, ...] | None, number: int
) -> Kanaal:
    """The kanaal with what is not None, at change `number`."""
    if documentatie_link is not None:
        kanaal = replace(kanaal, documentatie_link=documentatie_link)
    if filters is not None:
        kanaal = replace(kanaal, filters=filters, slots=slots_for(filters, kanaal.slots))
    return replace(kanaal, change=number)


def changed_abonnement(before: Abonnement, asked: Abonnement, *, number: int) -> Abonnement:
    """What was asked, but for what stays, at change `number`.

    Its kanalen_change is that number when a new version of its kanalen begins.
    """
    differs = asked.kanalen != before.kanalen and asked.wants() != before.wants()
    return replace(
        asked,
        uuid=before.uuid,
        client_id=before.client_id,
        change=number,
        kanalen_change=number if differs else before.kanalen_change,
    )
