"""What a change makes of a kanaal or an abonnement, whatever store it is in. Pure."""

from __future__ import annotations

from dataclasses import replace

from schemas.abonnement import GIVEN, Abonnement, State
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
    may_differ = asked.kanalen != before.kanalen or asked.options != before.options
    differs = may_differ and asked.wants() != before.wants()
    return replace(
        asked,
        uuid=before.uuid,
        client_id=before.client_id,
        change=number,
        kanalen_change=number if differs else before.kanalen_change,
    )


def given_abonnement(before: Abonnement, *, to: str, keep_auth: bool, number: int) -> Abonnement:
    """As that of application `to`, at change `number`.

    Without `keep_auth` it has no `auth` and no `callback_auth` any more, and is suspended until its new owner
    sets its own: who may change the callbackUrl of an abonnement has its secrets sent wherever it likes.
    """
    given = replace(before, client_id=to, change=number)
    if keep_auth or before.is_pull or before.is_amqp:  # of those nothing is sent to a callback
        return given
    return replace(given, auth="", callback_auth=None, state=State.SUSPENDED, state_reason=GIVEN, hold=None)
