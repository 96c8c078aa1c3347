"""Who an id_token is of, and the role that their groups give. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from console.login.oidc.faults import NO_ROLE, TOO_MANY_GROUPS, WRONG, LoginFailed
from operating.plain_text import printable
from schemas.user import Identity, Role

MAX_SUBJECT = 255  # characters; OpenID Connect Core 1.0, section 2
MAX_SHOWN = 100

Claims = Mapping[str, Any]


def identity_of(claims: Claims, *, issuer: str) -> Identity:
    """Who it is. Raises LoginFailed for a subject that is none."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable():
        raise LoginFailed(WRONG, "sub is no text of 1 to 255 printable characters")
    names = ["email", "preferred_username", "upn", "name"]
    if claims.get("email_verified") is False:
        names.remove("email")
    found = (claims.get(name) for name in names)
    shown = next((each.strip() for each in found if isinstance(each, str) and each.strip()), subject)
    return Identity(issuer, subject, printable(shown[:MAX_SHOWN]))


def has_claim(claims: Claims, path: str) -> bool:
    """Whether the claim with the groups is there; see `groups_of`."""
    return _found(claims, path) is not None


def groups_of(claims: Claims, path: str) -> Sequence[str]:
    """A person's groups. path: the name of the claim, or names with dots of one within another.

    One text counts as one group; what is no text is left out. Raises LoginFailed where the provider says that
    there are too many to name (Entra ID: over 200).
    """
    elsewhere = claims.get("_claim_names")
    if not has_claim(claims, path) and isinstance(elsewhere, dict) and path.partition(".")[0] in elsewhere:
        raise LoginFailed(TOO_MANY_GROUPS, f"the provider names no {path}, since there are too many")
    found = _found(claims, path)
    every = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    return [each for each in every if isinstance(each, str)]


def _found(claims: Claims, path: str) -> object:
    if path in claims:  # such as https://example.nl/roles
        return claims[path]
    found: object = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def roles_by_group(pairs: Sequence[str]) -> Mapping[str, Role]:
    """The setting NRC_CONSOLE_OIDC_ROLES, by group."""
    found: dict[str, Role] = {}
    for pair in pairs:
        group, _, role = pair.rpartition("=")
        name = unquote(group.strip())
        found[name] = _greatest([Role(role.strip()), *([found[name]] if name in found else [])])
    return found


def role_of(groups: Sequence[str], by_group: Mapping[str, Role], *, shown: str) -> Role:
    """The greatest role of these groups. Raises LoginFailed when none has one."""
    roles = [by_group[group] for group in groups if group in by_group]
    if not roles:
        raise LoginFailed(NO_ROLE, f"none of {len(groups)} groups has a role", shown=shown)
    return _greatest(roles)


def _greatest(roles: Sequence[Role]) -> Role:
    return max(roles, key=list(Role).index)
