"""The pages, one module for each.

overzicht.py  what waits for each abonnement, and what needs attention first
account.py    the user's own password, and logging out everywhere
"""

from __future__ import annotations

from console.page import Page
from console.pages import account, overzicht

PAGES: tuple[Page, ...] = (
    overzicht.PAGE,
    account.PAGE,
)
"""All pages, in the order of the navigation."""
