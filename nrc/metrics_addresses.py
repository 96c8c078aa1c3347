"""Where each process that `nrc up` starts answers with its metrics: ports that follow each other. Pure."""

from __future__ import annotations

from runtime.settings import Listen, env_name
from schemas.errors import UsageError

_LAST = 65_535


def metrics_address(base: Listen | None, process: str, number: int) -> str:
    """NRC_METRICS_LISTEN of one of its processes; "" where there are no metrics.

    base: of `nrc up`. process: `router`, `ledger`, `gateway` or `deliverer`; number: from 1 within that.
    A process keeps its port when there come more of either kind. Port 0 stays 0, any that is free.
    Raises UsageError when there are not so many ports.
    """
    if base is None:
        return ""
    host, first = base
    offset = {"router": 0, "ledger": 1, "gateway": 2 * number, "deliverer": 2 * number + 1}[process]
    port = first + offset if first else 0
    if port > _LAST:
        raise UsageError(
            f"{env_name('metrics_listen')}: port {first} is too high: {process} {number} would have {port}"
        )
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
