"""Explaining: what became of a notificatie for one abonnement, and why.

The only source of these sentences, for commands, logs and pages. Each has a code and facts for programs.
All modules but the first are pure.

    account.py     what ledger and registry know of one delivery, put together
    dutch.py       times, numbers, lists and classes of failure as Dutch sentences have them
    fitting.py     whether the filters of an abonnement let a notificatie through, and why not
    events.py      whether the mapping of an abonnement makes a CloudEvent of a notificatie
    case.py        values: what is known of one notificatie and one abonnement, and its explanation
    states.py      the explanation of a delivery in each of its states
    state_then.py  the state of the abonnement then, and when it was held or suspended since
    telling.py     the whole explanation
"""

from ledger.explaining.case import (
    Case,
    Code,
    Explanation,
    Former,
    Place,
    Returned,
    StateThen,
)
from ledger.explaining.dutch import Clock, not_complete
from ledger.explaining.events import fit_of
from ledger.explaining.fitting import Comparison, Fit, FitCode, Reader, Reason, compare, fit
from ledger.explaining.state_then import told_state
from ledger.explaining.telling import explain, unknown

__all__ = [
    "Case",
    "Clock",
    "Code",
    "Comparison",
    "Explanation",
    "Fit",
    "FitCode",
    "Former",
    "Place",
    "Reader",
    "Reason",
    "Returned",
    "StateThen",
    "compare",
    "explain",
    "fit",
    "fit_of",
    "not_complete",
    "told_state",
    "unknown",
]
