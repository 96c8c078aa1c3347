"""`nrc up` on a disk of the power cuts: os.sync(), which the kernel does not pass on, reaches that disk too.

Run as `python -m tests.chaos.power.up up --no-demo`, as `nrc` is.
"""

from __future__ import annotations

import os

from nrc.cli import main
from tests.chaos.power.serving import SYNC

_sync = os.sync


def sync() -> None:
    """sync(2), of this machine's disks and of the one that holds the state folder."""
    _sync()
    os.setxattr(os.environ["NRC_STATE_DIR"], SYNC, b"")


if __name__ == "__main__":
    os.sync = sync
    main()
