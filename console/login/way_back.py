"""Where a login leads: the page that was asked for, below /console/, and nowhere else."""

from __future__ import annotations

import re

from aiohttp import web

_BELOW = re.compile(r"[A-Za-z0-9_~.%/?&=+:,@-]{0,2000}")


def way_back(request: web.Request) -> str:
    """The path and query below /console/ that the login page was asked with; "" for what is none."""
    asked = request.query.getall("naar", ())
    return asked[0] if len(asked) == 1 and _BELOW.fullmatch(asked[0]) else ""
