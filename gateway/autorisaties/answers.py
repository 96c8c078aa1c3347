"""What an answer of the Autorisaties API says of a client. Pure.

Unknown fields and components are ignored: implementations add their own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.application import Scope, read_scope

COMPONENT = "nrc"
_TEXT = 200  # characters of a label or an address that are kept


@dataclass(frozen=True, slots=True)
class Found:
    """What the AC says of a client id.

    known: whether an applicatie there has it. scopes: what that gives here. all_rights: it says
    heeftAlleAutorisaties. url, label: of the applicatie.
    """

    known: bool
    scopes: frozenset[Scope] = frozenset()
    all_rights: bool = False
    url: str = ""
    label: str = ""


UNKNOWN = Found(known=False)


class Nonsense(ValueError):
    """The answer is none of the Autorisaties API. Its text says what is wrong, for operators."""


def read_applicatie(content: Mapping[str, Any], client_id: str) -> Found:
    """What an applicatie gives here to one of its clients. Raises Nonsense."""
    clients, granted = content.get("clientIds"), content.get("autorisaties", [])
    if not isinstance(clients, list) or client_id not in clients:
        raise Nonsense("the applicatie in the answer does not have this client id")
    if not isinstance(granted, list):
        raise Nonsense("autorisaties is no list")
    all_rights = content.get("heeftAlleAutorisaties") is True
    return Found(
        known=True,
        scopes=frozenset(Scope) if all_rights else _scopes(granted),
        all_rights=all_rights,
        url=_text(content, "url"),
        label=_text(content, "label"),
    )


def _scopes(granted: list[Any]) -> frozenset[Scope]:
    found = set()
    for each in granted:
        component = each.get("component") if isinstance(each, dict) else None
        if not isinstance(component, str) or component.lower() != COMPONENT:
            continue
        scopes = each.get("scopes")
        if not isinstance(scopes, list):
            raise Nonsense("the scopes of component nrc are no list")
        found |= {read_scope(scope) for scope in scopes if isinstance(scope, str)}
    return frozenset(scope for scope in found if scope is not None)


def _text(content: Mapping[str, Any], name: str) -> str:
    value = content.get(name)
    return value[:_TEXT] if isinstance(value, str) else ""


def as_text(found: Found) -> str:
    """What was found, as it is kept."""
    kept = {"scopes": sorted(found.scopes), "all": found.all_rights, "url": found.url, "label": found.label}
    return json.dumps(kept, ensure_ascii=False)


def of_text(text: str) -> Found | None:
    """What was kept; None for what another version kept in another form."""
    try:
        kept = json.loads(text)
        scopes = frozenset(scope for scope in map(read_scope, kept["scopes"]) if scope is not None)
        return Found(True, scopes, kept["all"] is True, _text(kept, "url"), _text(kept, "label"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def name_of(url: str) -> str:
    """By what an applicatie is recognised in a URL: the last part of its path.

    The AC may be known here by another host than the one that it writes into its notificaties.
    """
    return url.partition("?")[0].rstrip("/").rpartition("/")[2].lower()
