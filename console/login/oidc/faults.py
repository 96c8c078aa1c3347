"""LoginFailed: why a login by OpenID Connect failed, in Dutch for the page and in English for the log."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """What the page says.

    advice: sentences, which may have {contact} and {shown}. again: whether to log in again may help.
    """

    status: int
    title: str
    advice: str
    again: bool = True


AWAY = Fault(
    503,
    "De inlogdienst is niet te bereiken",
    "Probeer het over een minuut opnieuw. Blijft het zo, meld het dan bij {contact}.",
)
BUSY = Fault(
    503,
    "Er loggen nu te veel mensen in",
    "Probeer het over enkele seconden opnieuw.",
)
WRONG = Fault(
    502,
    "De inlogdienst en deze console werken niet goed samen",
    "Hier kun je zelf niets aan doen. Meld het bij {contact}; in de log van de console staat wat er mis is.",
)
CLOCK = Fault(
    502,
    "De klok van de inlogdienst en die van deze console lopen niet gelijk",
    "Hier kun je zelf niets aan doen. Meld het bij {contact}.",
)
REFUSED = Fault(
    403,
    "Er is niet ingelogd",
    "De inlogdienst liet je niet door, of het inloggen is afgebroken. Probeer het opnieuw, of vraag "
    "{contact} of je toegang hebt.",
)
OVER = Fault(
    400,
    "Deze inlogpoging geldt niet meer",
    "Een inlogpoging duurt ten hoogste tien minuten, en geldt één keer, in de browser en op het tabblad waar "
    "die begon. Log opnieuw in. Gebeurt dit elke keer, sta dan cookies van deze console toe.",
)
ELSEWHERE = Fault(
    400,
    "Dit antwoord kwam van een andere inlogdienst",
    "Er is niet ingelogd. Log opnieuw in, en begin daarbij op deze console. Gebeurt het weer, meld het dan "
    "bij {contact}.",
)
NO_ROLE = Fault(
    403,
    "Je hebt geen toegang tot deze console",
    "Je bent bij de inlogdienst bekend als {shown}, maar je hoort bij geen groep die hier iets mag. Vraag "
    "{contact} om toegang, en log daarna opnieuw in.",
)
TOO_MANY_GROUPS = Fault(
    403,
    "Je hebt geen toegang tot deze console",
    "De inlogdienst noemt je groepen niet, omdat het er te veel zijn. Meld het bij {contact}.",
    again=False,
)


class LoginFailed(Exception):
    """A login by OpenID Connect failed. reason: for the log, in English, nothing secret."""

    def __init__(self, fault: Fault, reason: str, *, shown: str = "") -> None:
        super().__init__(reason)
        self.fault = fault
        self.reason = reason
        self.shown = shown
