"""Which role may see which page, and do which action there: the one table. Pure.

`<page>` is seeing it, `<page>/<action>` is doing something there. A page or an action that is not here cannot
be reached: tests/unit/console/test_access.py compares with the pages.
"""

from __future__ import annotations

from collections.abc import Mapping

from schemas.user import Role

LEAST: Mapping[str, Role] = {
    "overzicht": Role.LEZER,
    "notificaties": Role.LEZER,
    "notificatie": Role.LEZER,
    "notificatie-waarom": Role.LEZER,
    "notificatie-handeling": Role.BEHEERDER,
    "notificatie-handeling/opnieuw": Role.BEHEERDER,
    "notificatie-handeling/nu": Role.BEHEERDER,
    "notificatie-handeling/schrappen": Role.BEHEERDER,
    "abonnementen": Role.LEZER,
    "abonnement": Role.LEZER,
    "abonnement-handeling": Role.BEHEERDER,
    "abonnement-handeling/stilleggen": Role.BEHEERDER,
    "abonnement-handeling/hervatten": Role.BEHEERDER,
    "abonnement-handeling/proberen": Role.BEHEERDER,
    "abonnement-handeling/testbericht": Role.BEHEERDER,
    "abonnement-handeling/overdragen": Role.BEHEERDER,
    "abonnement-handeling/inloggegevens": Role.BEHEERDER,
    "abonnement-handeling/afleveropties": Role.BEHEERDER,
    "abonnement-handeling/cloudevents": Role.BEHEERDER,
    "abonnement-handeling/wachtwoord": Role.BEHEERDER,
    "kanalen": Role.LEZER,
    "kanaal": Role.LEZER,
    "opnieuw": Role.LEZER,
    "herhaling-nieuw": Role.BEHEERDER,
    "herhaling-nieuw/beginnen": Role.BEHEERDER,
    "herhaling": Role.LEZER,
    "herhaling/pauzeren": Role.BEHEERDER,
    "herhaling/hervatten": Role.BEHEERDER,
    "herhaling/stoppen": Role.BEHEERDER,
    "wachtend": Role.LEZER,
    "wachtend-handeling": Role.BEHEERDER,
    "wachtend-handeling/nu": Role.BEHEERDER,
    "wachtend-handeling/schrappen": Role.BEHEERDER,
    "applicaties": Role.LEZER,
    "applicaties/toevoegen": Role.ADMIN,
    "applicatie": Role.LEZER,
    "applicatie/rechten": Role.ADMIN,
    "applicatie/geheim": Role.ADMIN,
    "applicatie/oud-geheim": Role.ADMIN,
    "applicatie/verwijderen": Role.ADMIN,
    "tokens": Role.ADMIN,
    "tokens/maken": Role.ADMIN,
    "waarschuwingen": Role.LEZER,
    "waarschuwingen/regels": Role.ADMIN,
    "waarschuwingen/tempo": Role.ADMIN,
    "waarschuwingen/webhook": Role.ADMIN,
    "waarschuwingen/mail": Role.ADMIN,
    "waarschuwingen/testen": Role.ADMIN,
    "logboek": Role.LEZER,
    "account": Role.LEZER,
    "account/wachtwoord": Role.LEZER,
    "account/overal-uitloggen": Role.LEZER,
}
"""The least role that may."""


def may(role: Role, what: str) -> bool:
    """Whether this role may. False for what is not in the table."""
    least = LEAST.get(what)
    return least is not None and role.includes(least)
