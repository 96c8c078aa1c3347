"""One attempt to log in: the password, and the lock-out after several that were wrong."""

from __future__ import annotations

import hmac
import time
from functools import partial

from console.state import Console
from operating.acts import Log
from operating.users import after_failure, after_login
from runtime.log import logger
from schemas.errors import Conflict
from schemas.user import User, read_user_name

log = logger(__name__)


async def attempt(
    console: Console, log_of_user: Log, name: str, password: str, *, address: str
) -> User | None:
    """The user, when it is there, is not locked out, and this is its password. Raises Overloaded.

    A wrong name takes as long as a wrong password. While a user is locked out no password is compared.
    """
    users, now = console.registry.users, time.time()
    known = read_user_name(name)
    user = await users.user(known) if known is not None else None
    if user is not None and user.locked_until > now:
        log.warning("login of a user that is locked out", user=user.name, remote=address)
        return None
    fits = await console.passwords.fits(user.password if user else None, password)
    if user is None:
        return None
    try:
        if fits:
            changed = await users.change(user.name, partial(after_login, now=now))
            # Somebody may have changed the password while it was compared.
            return changed if hmac.compare_digest(changed.password, user.password) else None
        changed = await users.change(user.name, partial(after_failure, now=now))
    except Conflict:
        return None  # removed a moment ago
    if changed.locked_until > now:
        log.warning("user locked out", user=user.name, remote=address, failures=changed.failures)
        seconds = round(changed.locked_until - now)
        await log_of_user.record("user locked out", name=user.name, seconds=seconds)
    return None
