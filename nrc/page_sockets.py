"""Sockets of processes whose pages people open: the inbox and the console. Those of `nrc up` alone.

Where nobody set an address and the usual one is taken, mostly by another `nrc up`, they take another port.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from runtime.listening import bind
from runtime.settings import Listen, Settings, env_name
from schemas.errors import UsageError


def bind_inbox(settings: Settings, *, loopback: bool, note: Callable[[str], None]) -> socket.socket | None:
    """The socket of the inbox, bound and not listening yet; None when there is to be none.

    loopback: whether callbacks may stand on this machine; else nothing would ever come in at the address that
    it has by default. Raises UsageError when an address that was set is taken; the default gives way.
    """
    if "inbox_listen" not in settings.model_fields_set and not loopback:
        return None
    return _bind(settings, "inbox_listen", settings.inbox_listen, what="the inbox", note=note)


def bind_console(settings: Settings, *, note: Callable[[str], None]) -> socket.socket | None:
    """The same of the console."""
    return _bind(settings, "console_listen", settings.console_listen, what="the console", note=note)


def _bind(
    settings: Settings, field: str, at: Listen | None, *, what: str, note: Callable[[str], None]
) -> socket.socket | None:
    if at is None:
        return None
    try:
        return bind(at, name=env_name(field))
    except UsageError as error:
        if field in settings.model_fields_set:
            raise
        note(f"{error}; {what} takes another port")
        return bind((at[0], 0), name=env_name(field))
