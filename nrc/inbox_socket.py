"""Whether `nrc up` has a callback inbox, and where it listens."""

from __future__ import annotations

import socket
from collections.abc import Callable

from runtime.listening import bind
from runtime.settings import Settings, env_name
from schemas.errors import UsageError

LISTEN = env_name("inbox_listen")


def bind_inbox(settings: Settings, *, loopback: bool, note: Callable[[str], None]) -> socket.socket | None:
    """The socket of the inbox, bound and not listening yet; None when there is to be none.

    loopback: whether callbacks may stand on this machine; else nothing would ever come in at the address that
    it has by default. Raises UsageError when an address that was set is taken; the default gives way.
    """
    at = settings.inbox_listen
    by_default = "inbox_listen" not in settings.model_fields_set
    if at is None or (by_default and not loopback):
        return None
    try:
        return bind(at, name=LISTEN)
    except UsageError as error:
        if not by_default:
            raise
        note(f"{error}; the inbox takes another port")
        return bind((at[0], 0), name=LISTEN)
