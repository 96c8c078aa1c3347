"""Whether the mapping of an abonnement makes a CloudEvent of a notificatie, and why not. Pure.

It agrees with deliverer/events/request.py, which makes the event.
"""

from __future__ import annotations

from collections.abc import Mapping

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
    asked = events_of(abonnement.options)
    if not found.matches or asked is None or abonnement.is_pull:
        return found
    mapping = mapping_named(asked.mapping, mappings)
    if mapping is None:
        text = f"Past, maar aankomen kan zij niet: de mapping {asked.mapping} naar CloudEvents is er niet "
        text += "(meer). Elke poging mislukt, tot die mapping er weer is of het abonnement een andere heeft."
        return Fit(FitCode.NO_MAPPING, Reason(FitCode.NO_MAPPING, text, {"mapping": asked.mapping}))
    message = {"kanaal": kanaal, "resource": values.get("#resource", ""), "actie": values.get("#actie", "")}
    if kanaal == EVENTS or mapping.rule_of(message) is not None:
        return found
    what = "/".join(message.values())
    text = f"Past, maar wordt niet verzonden: {without_event(asked.mapping, what)}"
    return Fit(FitCode.NO_EVENT, Reason(FitCode.NO_EVENT, text, {"mapping": asked.mapping, "what": what}))


def before_sending(
    abonnement: Abonnement, message: Mapping[str, str], mappings: Mapping[str, EventMapping]
) -> Reason | None:
    """Why what waits for the abonnement will not be sent as an event; None where it will.

    message: its kanaal, resource and actie, in this order. mappings: own ones, by name.
    """
    asked = events_of(abonnement.options)
    if asked is None or abonnement.is_pull:
        return None
    mapping = mapping_named(asked.mapping, mappings)
    if mapping is None:
        text = f"De mapping {asked.mapping} naar CloudEvents is er niet (meer): elke poging mislukt, tot die "
        text += "mapping er weer is of het abonnement een andere heeft."
        return Reason(FitCode.NO_MAPPING, text, {"mapping": asked.mapping})
    if message["kanaal"] == EVENTS or mapping.rule_of(message) is not None:
        return None
    what = "/".join(message.values())
    text = f"Ook als zij aan de beurt is, wordt zij niet verzonden: {without_event(asked.mapping, what)}"
    return Reason(FitCode.NO_EVENT, text, {"mapping": asked.mapping, "what": what})


def without_event(mapping: str, what: str) -> str:
    """Sentences that say that this mapping makes no event of it. what: its kanaal/resource/actie."""
    text = f"in de mapping {mapping} wordt {what} geen CloudEvent."
    if mapping == MIJNOVERHEID:
        text += " MijnOverheid krijgt alleen zaken/status/create, zaken/zaak/read en zaken/zaak/destroy."
    return text
