"""Explaining: what became of a notificatie for one abonnement, and why.

The one source of these sentences, for commands, logs and pages. With each go a code and facts for programs.
Pure, but for the first module, which reads.

    account.py   what ledger and registry know of one delivery, put together
    dutch.py     times, numbers, lists and classes of failure as Dutch sentences have them
    fitting.py   whether the filters of an abonnement let a notificatie through, and why not
    case.py      what is known of one notificatie and one abonnement, and what is told of it
    states.py    what is told of a delivery in each of its states
    telling.py   all of it put together
"""

from ledger.explaining.case import (
    Case,
    Code,
    Explanation,
    Former,
    Place,
    Returned,
)
from ledger.explaining.dutch import Clock, not_complete
from ledger.explaining.fitting import Fit, FitCode, Reader, Reason, fit
from ledger.explaining.telling import explain, unknown

__all__ = [
    "Case",
    "Clock",
    "Code",
    "Explanation",
    "Fit",
    "FitCode",
    "Former",
    "Place",
    "Reader",
    "Reason",
    "Returned",
    "explain",
    "fit",
    "not_complete",
    "unknown",
]
