"""Where a login leads: the page that was asked for, below /console/, and nowhere else."""

from __future__ import annotations

import re

from aiohttp import web

_BELOW = re.compile(r"[A-Za-z0-9_~.%/?&=+:,@-]{0,2000}")


def way_back(request: web.Request) -> str:
    """The path and query below /console/ that the login page was asked with; "" for what is none."""
    to = request.query.get("naar", "")
    return to if _BELOW.fullmatch(to) else ""
