"""Tells a person in Dutch what could not be read or asked, with the next step. Pure.

The program's own text of a fault is English. It is kept beside the sentences, for whoever is asked to help.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.errors import (
    BrokerError,
    LedgerError,
    LedgerFull,
    LedgerInUse,
    NrcError,
    RegistryError,
    RegistryInUse,
    RegistryTooNew,
    SecretsUnreadable,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong, and the next step (then), each a Dutch sentence. technical: the fault's own text."""

    text: str
    then: str
    technical: str


_LATER = "Probeer het over een minuut opnieuw. Blijft het zo, kijk dan met nrc health wat er is."
OF_LEDGER = (
    "Het grootboek is niet te lezen.",
    "Kijk met nrc ledger status wat er is. Zolang RabbitMQ werkt, wordt wel afgeleverd wat er komt.",
)
OF_REGISTRY = ("De registratie is niet te lezen of te schrijven.", _LATER)
"""What is told of ledger and registry where no more is known; and what to do."""
_ONE_HOST = "Een SQLite-bestand is voor één machine; neem voor meer machines PostgreSQL (NRC_DATABASE_URL)."

_TOLD: Mapping[type[NrcError], tuple[str, str]] = {
    LedgerFull: (
        "Het grootboek is vol.",
        "Maak NRC_LEDGER_BUDGET of de schijf groter, of los op waarom er zoveel blijft wachten.",
    ),
    LedgerInUse: ("Het grootboek is in gebruik op een andere machine.", _ONE_HOST),
    LedgerError: OF_LEDGER,
    RegistryInUse: ("De registratie is in gebruik op een andere machine.", _ONE_HOST),
    RegistryTooNew: (
        "De registratie is geschreven door een nieuwere versie van NRC.",
        "Start overal dezelfde versie, de nieuwste.",
    ),
    SecretsUnreadable: (
        "Versleutelde geheimen in de registratie zijn niet te lezen.",
        "Zet secret.keys terug in NRC_STATE_DIR, of de sleutels in NRC_SECRET_KEYS; een back-up heeft ze.",
    ),
    RegistryError: OF_REGISTRY,
    BrokerError: ("RabbitMQ is niet te bereiken, of deed niet wat gevraagd werd.", _LATER),
    NrcError: ("Dat is nu niet gelukt.", _LATER),
}
"""By class; a class that is not here is told as the one that it extends."""


def fault_of(error: NrcError) -> Fault:
    """What a person is told of it."""
    text, then = next(_TOLD[kind] for kind in type(error).__mro__ if kind in _TOLD)
    return Fault(text, then, str(error))
