"""The pages, one module for each.

overzicht.py    what waits for each abonnement, and what needs attention first
notificaties/   notificaties: found, followed live, one of them, why, and sending again
abonnementen/   abonnementen: which need attention, one of them, what is done with it
kanalen/        kanalen: who publishes, who subscribes, what was for nobody
opnieuw/        past notificaties to an abonnement again: replays
applicaties.py  the clients of the API: secrets, rights
tokens.py       a token of an application, to try something out
waarschuwingen.py  messages about what needs attention: rules, where they go, a test
logboek.py      what operators did
account.py      the user's own password, and logging out everywhere
"""

from __future__ import annotations

from console.page import Page
from console.pages import account, applicaties, logboek, overzicht, tokens, waarschuwingen
from console.pages.abonnementen import acting as abonnement_acting
from console.pages.abonnementen import listing as abonnementen
from console.pages.abonnementen import one as abonnement
from console.pages.kanalen import listing as kanalen
from console.pages.kanalen import one as kanaal
from console.pages.notificaties import acting as notificatie_acting
from console.pages.notificaties import listing as notificaties
from console.pages.notificaties import one as notificatie
from console.pages.notificaties import why as notificatie_why
from console.pages.opnieuw import listing as opnieuw
from console.pages.opnieuw import new as herhaling_nieuw
from console.pages.opnieuw import one as herhaling
from console.pages.opnieuw import waiting as wachtend

PAGES: tuple[Page, ...] = (
    overzicht.PAGE,
    notificaties.PAGE,
    notificatie.PAGE,
    notificatie_why.PAGE,
    notificatie_acting.PAGE,
    abonnementen.PAGE,
    abonnement.PAGE,
    abonnement_acting.PAGE,
    kanalen.PAGE,
    kanaal.PAGE,
    opnieuw.PAGE,
    herhaling_nieuw.PAGE,
    herhaling.PAGE,
    wachtend.PAGE,
    wachtend.ACTING,
    applicaties.PAGE,
    applicaties.ONE,
    tokens.PAGE,
    waarschuwingen.PAGE,
    logboek.PAGE,
    account.PAGE,
)
"""All pages, in the order of the navigation."""
