"""The pages, one module for each.

overzicht.py    what waits for each abonnement, and what needs attention first
abonnementen/   abonnementen: which need attention, one of them, what is done with it
kanalen/        kanalen: who publishes, who subscribes, what was for nobody
applicaties.py  the clients of the API: secrets, rights
tokens.py       a token of an application, to try something out
logboek.py      what operators did
account.py      the user's own password, and logging out everywhere
"""

from __future__ import annotations

from console.page import Page
from console.pages import account, applicaties, logboek, overzicht, tokens
from console.pages.abonnementen import acting as abonnement_acting
from console.pages.abonnementen import listing as abonnementen
from console.pages.abonnementen import one as abonnement
from console.pages.kanalen import listing as kanalen
from console.pages.kanalen import one as kanaal

PAGES: tuple[Page, ...] = (
    overzicht.PAGE,
    abonnementen.PAGE,
    abonnement.PAGE,
    abonnement_acting.PAGE,
    kanalen.PAGE,
    kanaal.PAGE,
    applicaties.PAGE,
    applicaties.ONE,
    tokens.PAGE,
    logboek.PAGE,
    account.PAGE,
)
"""All pages, in the order of the navigation."""
