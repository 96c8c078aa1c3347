"""Whether the mapping of an abonnement makes a CloudEvent of a notificatie, and why not. Pure.

It agrees with deliverer/events/request.py, which makes the event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ledger.explaining.fitting import Fit, FitCode, Reason, fit
from schemas.abonnement import Abonnement, events_of
from schemas.events.mapping import MIJNOVERHEID, EventMapping, mapping_named
from schemas.fields import EVENTS


def fit_of(
    abonnement: Abonnement,
    kanaal: str,
    values: Mapping[str, str],
    *,
    filters: tuple[str, ...],
    mappings: Mapping[str, EventMapping],
) -> Fit:
    """Whether the abonnement would get a notificatie that is not sent yet: by its filters and its mapping.

    values: kenmerken and attributes. mappings: own ones, by name.
    """
    found = fit(abonnement.routed, kanaal, values, filters=filters)
    message = {"kanaal": kanaal, "resource": values.get("#resource", ""), "actie": values.get("#actie", "")}
    if not found.matches or (lack := _lack_of(abonnement, message, mappings)) is None:
        return found
    if lack.code is FitCode.NO_MAPPING:
        text = f"Past, maar aankomen kan zij niet: de mapping {lack.mapping} naar CloudEvents is er niet "
        text += "(meer). Elke poging mislukt, tot die mapping er weer is of het abonnement een andere heeft."
    else:
        text = f"Past, maar wordt niet verzonden: {without_event(lack.mapping, lack.what)}"
    return Fit(lack.code, lack.reason(text))


def before_sending(
    abonnement: Abonnement, message: Mapping[str, str], mappings: Mapping[str, EventMapping]
) -> Reason | None:
    """Why what waits for the abonnement will not be sent as an event; None where it will.

    message: its kanaal, resource and actie, in this order. mappings: own ones, by name.
    """
    lack = _lack_of(abonnement, message, mappings)
    if lack is None:
        return None
    if lack.code is FitCode.NO_MAPPING:
        text = f"De mapping {lack.mapping} naar CloudEvents is er niet (meer): elke poging mislukt, tot die "
        text += "mapping er weer is of het abonnement een andere heeft."
    else:
        text = (
            f"Ook als zij aan de beurt is, wordt zij niet verzonden: {without_event(lack.mapping, lack.what)}"
        )
    return lack.reason(text)


class _Lack(NamedTuple):
    """Why there is no event: code is NO_MAPPING, or NO_EVENT of `what`, its kanaal/resource/actie."""

    code: FitCode
    mapping: str
    what: str

    def reason(self, text: str) -> Reason:
        facts = {"mapping": self.mapping}
        if self.code is FitCode.NO_EVENT:
            facts["what"] = self.what
        return Reason(self.code, text, facts)


def _lack_of(
    abonnement: Abonnement, message: Mapping[str, str], mappings: Mapping[str, EventMapping]
) -> _Lack | None:
    """Why no event is made of a message for this abonnement; None where one is, or where it asks for none."""
    asked = events_of(abonnement.options)
    if asked is None or abonnement.is_pull:
        return None
    what = "/".join(message.values())
    mapping = mapping_named(asked.mapping, mappings)
    if mapping is None:
        return _Lack(FitCode.NO_MAPPING, asked.mapping, what)
    if message["kanaal"] == EVENTS or mapping.rule_of(message) is not None:
        return None
    return _Lack(FitCode.NO_EVENT, asked.mapping, what)


def without_event(mapping: str, what: str) -> str:
    """Sentences that say that this mapping makes no event of it. what: its kanaal/resource/actie."""
    text = f"in de mapping {mapping} wordt {what} geen CloudEvent."
    if mapping == MIJNOVERHEID:
        text += " MijnOverheid krijgt alleen zaken/status/create, zaken/zaak/read en zaken/zaak/destroy."
    return text
