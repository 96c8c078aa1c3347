"""The pages, one module for each.

overzicht.py    what waits for each abonnement, and what needs attention first
applicaties.py  the clients of the API: secrets, rights
tokens.py       a token of an application, to try something out
logboek.py      what operators did
account.py      the user's own password, and logging out everywhere
"""

from __future__ import annotations

from console.page import Page
from console.pages import account, applicaties, logboek, overzicht, tokens

PAGES: tuple[Page, ...] = (
    overzicht.PAGE,
    applicaties.PAGE,
    applicaties.ONE,
    tokens.PAGE,
    logboek.PAGE,
    account.PAGE,
)
"""All pages, in the order of the navigation."""
