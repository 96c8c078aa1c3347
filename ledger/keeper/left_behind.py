"""Notes in the ledger that it may lack what processes had in memory at their end (ledger/unwritten.py)."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from ledger.ledger import Ledger
from ledger.unwritten import left_behind
from ledger.values import moment_of
from runtime.log import Occasional, logger

REPORT_INTERVAL = 60.0  # seconds between two lines that say the same

log = logger(__name__)


class LeftBehind:
    """The files that ended processes left in this folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._failures = Occasional(every=REPORT_INTERVAL)

    async def tell(self, ledger: Ledger) -> None:
        """Note each in the ledger, and remove the file. Raises LedgerError."""
        try:
            with closing(left_behind(self._folder)) as found:
                for left in found:
                    await ledger.write([left.lacking])
                    log.warning(
                        "a process ended before all it had was in the ledger",
                        since=moment_of(left.lacking.since),
                        until=moment_of(left.lacking.until),
                        count=left.lacking.count,
                    )
                    left.remove()
        except OSError as error:
            if times := self._failures.due():
                log.warning("cannot read what processes left", reason=str(error), times=times)
