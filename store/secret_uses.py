"""When each secret of an application was last used, and from where: who has not changed to the new one yet.

Pure. The store keeps them (`Registry.note_secret_uses`). Which secret was used is told by the secret itself,
which is compared and not kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hmac import compare_digest

from schemas.application import Application


@dataclass(frozen=True, slots=True)
class SecretUse:
    """The last use of a secret. at: Unix seconds. remote: an IP address. agent: the User-Agent, or ""."""

    at: float
    remote: str
    agent: str


@dataclass(frozen=True, slots=True)
class SecretUses:
    """The last uses of both secrets of an application; None of one that was not used since this is noted."""

    new: SecretUse | None = None
    old: SecretUse | None = None


@dataclass(frozen=True, slots=True)
class UsedSecret:
    """A use to note: a token that this secret signed was accepted."""

    client_id: str
    secret: str = field(repr=False)
    use: SecretUse


def noted(uses: SecretUses, used: UsedSecret, application: Application) -> SecretUses:
    """`uses` with this one, when it is of a secret that the application still has, and no older."""
    if compare_digest(used.secret.encode(), application.secret.encode()):
        return SecretUses(_later(uses.new, used.use), uses.old)
    if application.old_secret and compare_digest(used.secret.encode(), application.old_secret.encode()):
        return SecretUses(uses.new, _later(uses.old, used.use))
    return uses


def moved(uses: SecretUses, before: Application, after: Application) -> SecretUses:
    """The uses after a change of the secrets: each goes with its secret, and is forgotten with it."""
    of = {before.old_secret: uses.old, before.secret: uses.new}
    return SecretUses(of.get(after.secret), of.get(after.old_secret) if after.old_secret else None)


def _later(one: SecretUse | None, other: SecretUse) -> SecretUse:
    return other if one is None or other.at >= one.at else one
