"""Applications: registered, let do more or less, given another secret, removed; each noted.

After a write the caller tells the processes (`router.requests.RouterClient.announce`), and after a removal
has `removal.remove_queues` done.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from operating.acts import Log
from operating.plain_text import moment
from operating.removal import what_becomes, what_becomes_of_auth
from schemas.application import Application, Scope
from schemas.errors import Conflict, UsageError
from store.registry import Registry
from store.secret_uses import SecretUse

# RFC 7518: a key for HS256 has at least the size of its hash.
LEAST_SECRET = 32  # bytes
STILL = 24 * 3600.0  # seconds since the last use of a secret in which it counts as used


def new_secret() -> str:
    """A secret that nobody guesses (256 bits)."""
    return secrets.token_urlsafe(32)


async def add_application(registry: Registry, log: Log, application: Application) -> None:
    """Register it. Raises Conflict when its client_id is taken."""
    await registry.add_application(application)
    await log.record(
        "application added",
        application=application.client_id,
        scopes=_noted(application),
        label=application.label or None,
    )


async def set_scopes(
    registry: Registry,
    log: Log,
    client_id: str,
    *,
    add: Iterable[Scope] = (),
    remove: Iterable[Scope] = (),
    why: str | None = None,
) -> Application:
    """Let it do more or less; its abonnementen stay. Returns it as it is now.

    Raises UsageError for one that takes its scopes from elsewhere, Conflict when it is gone.
    """
    more, less = frozenset(add), frozenset(remove)

    def change(known: Application) -> Application:
        if known.scopes_from_token:
            raise UsageError(f"{client_id} takes its scopes from its tokens (--scopes-from-token)")
        if known.scopes_from_ac:
            raise UsageError(f"{client_id} takes its scopes from the Autorisaties API")
        return replace(known, scopes=(known.scopes | more) - less)

    changed = await registry.change_application(client_id, change)
    for act, scopes in (("scopes granted", more), ("scopes revoked", less)):
        if scopes:
            now = _noted(changed)
            await log.record(act, application=client_id, scopes=sorted(scopes), now=now, why=why)
    return changed


async def change_source(
    registry: Registry,
    log: Log,
    client_id: str,
    *,
    from_ac: bool,
    from_token: bool = False,
    scopes: Iterable[Scope] = (),
    why: str | None = None,
) -> Application:
    """Have it take its scopes from the Autorisaties API or its tokens, or be granted `scopes` here.

    Returns it as it is now. Raises Conflict when it is gone.
    """
    granted = frozenset() if from_ac or from_token else frozenset(scopes)

    def change(known: Application) -> Application:
        return replace(known, scopes=granted, scopes_from_token=from_token, scopes_from_ac=from_ac)

    changed = await registry.change_application(client_id, change)
    await log.record("source of scopes changed", application=client_id, now=_noted(changed), why=why)
    return changed


async def set_label(registry: Registry, log: Log, client_id: str, label: str) -> Application:
    """Give it another label, for people. Returns it as it is now. Raises Conflict when it is gone."""
    changed = await registry.change_application(client_id, lambda known: replace(known, label=label))
    await log.record("application changed", application=client_id, label=label)
    return changed


async def rotate_secret(
    registry: Registry,
    log: Log,
    client_id: str,
    secret: str,
    *,
    keep_old: float | None,
    expected: int | None = None,
    why: str | None = None,
) -> Application:
    """Give it another secret. Returns it as it is now.

    keep_old: seconds for which the old secret counts too; None: not. expected: the change number that it is
    to have still, so that a form that is sent twice counts once. Raises Conflict when it has another, or is
    gone.
    """

    def change(known: Application) -> Application:
        _as_expected(known, expected)
        return replace(
            known,
            secret=secret,
            old_secret="" if keep_old is None else known.secret,
            old_secret_until=0.0 if keep_old is None else time.time() + keep_old,
        )

    changed = await registry.change_application(client_id, change)
    until = old_secret_until(changed)
    await log.record(
        "secret rotated",
        application=client_id,
        old_one_counts_until=None if until is None else moment(until),
        why=why,
    )
    return changed


async def revoke_old_secret(registry: Registry, log: Log, client_id: str, *, why: str | None = None) -> None:
    """Have the old secret count no more, before its time. Raises Conflict when it is gone."""
    await registry.change_application(
        client_id, lambda known: replace(known, old_secret="", old_secret_until=0.0)
    )
    await log.record("old secret revoked", application=client_id, why=why)


async def remove_application(
    registry: Registry,
    log: Log,
    client_id: str,
    *,
    with_abonnementen: bool = False,
    give_to: str | None = None,
    keep_auth: bool = False,
    keep: bool = False,
    why: str | None = None,
) -> tuple[UUID, ...]:
    """Remove it, and its abonnementen or give those away; returns their UUIDs. Raises Conflict.

    keep_auth: of those that are given away, as of `abonnementen.give`.
    What waits for abonnementen that are removed is ended by `removal.end_what_waits`, which see for keep.
    """
    touched = await registry.remove_application(
        client_id, with_abonnementen=with_abonnementen, give_to=give_to, keep_auth=keep_auth
    )
    await log.record(
        "application removed",
        application=client_id,
        abonnementen=[str(uuid) for uuid in touched],
        given_to=give_to,
        auth=what_becomes_of_auth(keep=keep_auth) if give_to is not None else None,
        waiting=what_becomes(keep=keep) if with_abonnementen else None,
        why=why,
    )
    return touched


def is_still_used(use: SecretUse | None, *, now: float) -> bool:
    """Whether this was the use of a secret that somebody needs, as far as is known. now: Unix seconds."""
    return use is not None and now - use.at < STILL


def old_secret_until(application: Application) -> float | None:
    """Until when the old secret counts (Unix seconds); None when there is none that does."""
    if not application.old_secret or application.old_secret_until <= time.time():
        return None
    return application.old_secret_until


def _as_expected(known: Application, expected: int | None) -> None:
    if expected is not None and known.change != expected:
        raise Conflict(f"application {known.client_id!r} was changed by somebody else.")


def _noted(application: Application) -> list[str] | str:
    """Its scopes, as the audit trail has them."""
    if application.scopes_from_ac:
        return "from the Autorisaties API"
    return "from its tokens" if application.scopes_from_token else sorted(application.scopes)
