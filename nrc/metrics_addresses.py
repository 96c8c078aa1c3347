"""Where each process that `nrc up` starts answers with its metrics: ports that follow each other. Pure."""

from __future__ import annotations

from runtime.settings import Listen, env_name
from schemas.errors import UsageError

_LAST = 65_535
_OFFSETS = {"router": 0, "ledger": 1, "console": -1, "inbox": -2, "alerts": -3}
"""Of processes of which there is one; gateways and deliverers come above."""


def metrics_address(base: Listen | None, process: str, number: int) -> str:
    """NRC_METRICS_LISTEN of one of its processes; "" where there are no metrics.

    base: of `nrc up`. process: its name; number: from 1 within that.
    A process keeps its port when there come more gateways or deliverers. Port 0 stays 0, any that is free.
    Raises UsageError when there is no such port.
    """
    if base is None:
        return ""
    host, first = base
    offset = _OFFSETS.get(process)
    if offset is None:
        offset = {"gateway": 2 * number, "deliverer": 2 * number + 1}[process]
    port = first + offset if first else 0
    if not 0 <= port <= _LAST or (first and not port):
        how = "high" if port > _LAST else "low"
        raise UsageError(
            f"{env_name('metrics_listen')}: port {first} is too {how}: {process} {number} would have {port}"
        )
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
