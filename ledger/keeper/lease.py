"""Whether this keeper is the one that works: a lease in the ledger, renewed long before it runs out."""

from __future__ import annotations

from time import monotonic

from ledger.keeper_ledger import KeeperLedger
from runtime.lifecycle import instance_name
from runtime.log import logger
from schemas.errors import LeaseLost

SECONDS = 15.0
"""How long a lease lasts: after this another keeper takes over from one that was killed or hangs."""
RENEWAL = 3.0
"""Seconds after which it is renewed."""

log = logger(__name__)


class Lease:
    """The lease of one keeper process. Times are in seconds."""

    def __init__(self, *, seconds: float = SECONDS, renewal: float = RENEWAL) -> None:
        self.holder = instance_name()
        self._seconds = seconds
        self._renewal = renewal
        self._epoch: int | None = None
        self._taken = 0.0  # monotonic

    @property
    def held(self) -> bool:
        """Whether this keeper is the one that works, as far as it knows."""
        return self._epoch is not None

    async def take(self, ledger: KeeperLedger) -> int | None:
        """Take or renew it where that is due: the epoch; None while another keeper works.

        Raises LedgerError.
        """
        now = monotonic()
        if self._epoch is not None and now - self._taken < self._renewal:
            return self._epoch
        epoch = await ledger.take_lease(self.holder, seconds=self._seconds)
        if epoch is not None and epoch != self._epoch:
            log.info("this keeper works now", epoch=epoch)
        elif epoch is None and self._epoch is not None:
            log.warning("another keeper has taken over", epoch=self._epoch)
        self._epoch, self._taken = epoch, now
        return epoch

    async def keep(self, ledger: KeeperLedger) -> int:
        """As `take`, in the middle of a pass: raises LeaseLost while another keeper works."""
        before = self._epoch
        epoch = await self.take(ledger)
        if epoch is None or epoch != before:
            raise LeaseLost("another keeper has worked meanwhile")
        return epoch

    def check(self) -> None:
        """Raise LeaseLost when it may have run out (this process hung). Called before each publish."""
        if self._epoch is None or monotonic() - self._taken >= self._seconds:
            raise LeaseLost("the lease ran out while this keeper hung")

    def lost(self) -> None:
        """Another keeper has it, or may have it."""
        self._epoch = None

    async def release(self, ledger: KeeperLedger) -> None:
        """Give it up, so that another keeper may work at once. Raises LedgerError."""
        if self._epoch is not None:
            self._epoch = None
            await ledger.release_lease(self.holder)
