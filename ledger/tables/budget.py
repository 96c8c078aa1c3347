"""How far a ledger may grow. Pure."""

from __future__ import annotations

from schemas.errors import LedgerFull

OVER = 1.1
"""Times its budget: how far a ledger may grow before its keeper looks at it."""


def check_budget(used: int, budget: int, *, full: bool) -> None:
    """Raise LedgerFull when no more entries may come in.

    used, budget: bytes. full: whether the keeper found that all of it is still needed.
    """
    if used > budget * OVER or (full and used > budget):
        raise LedgerFull(
            f"the ledger has {used} bytes, its budget is {budget}, and what it keeps is still needed: give "
            "it more, or deliver or remove what waits (`nrc abonnement list` shows it)."
        )
