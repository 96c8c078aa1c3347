"""Why a notificatie is for an abonnement, or why not: in a code and facts for programs, in Dutch for people.

Pure. It agrees with `router/matching/filters.py:matches`, which decides. Used by `telling` for accepted
notificaties, and by `nrc match` for those that were not sent yet.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations

from ledger.explaining.dutch import listed, number, quoted
from schemas.abonnement import WILDCARD, FilterGroup
from schemas.events.event import TYPE
from schemas.fields import EVENTS, normalise

_DISTINCT = "Waarden worden letterlijk vergeleken"
_MOST_FILTERS = 3  # in a sentence


class Reader(StrEnum):
    """Who reads it. A consumer sees its own abonnement, what it was sent and what it answered to that.

    It does not see the value that did not match, the source, or what an operator noted.
    """

    OPERATOR = "operator"
    CONSUMER = "consumer"


@dataclass(frozen=True, slots=True)
class Reason:
    """One sentence of an explanation. text: Dutch. code, facts: the same for programs; facts fit JSON."""

    code: str
    text: str
    facts: Mapping[str, object] = field(default_factory=dict)


class FitCode(StrEnum):
    """Whether a notificatie is for an abonnement, by its kanalen; and, before it is sent, by its mapping."""

    MATCHES = "matches"
    NO_KANALEN = "no_kanalen"
    OTHER_KANAAL = "other_kanaal"
    FILTER_DIFFERS = "filter_differs"
    NO_EVENT = "no_event"
    NO_MAPPING = "no_mapping"


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether it is for an abonnement, and why. ignored: names of filters that did not count."""

    code: FitCode
    reason: Reason
    ignored: tuple[str, ...] = ()

    @property
    def matches(self) -> bool:
        """What `router/matching/filters.py:matches` says; not where a mapping makes no event of it."""
        return self.code is FitCode.MATCHES


def fit(
    kanalen: Sequence[FilterGroup],
    kanaal: str,
    kenmerken: Mapping[str, str],
    *,
    filters: Sequence[str] | None = None,
    reader: Reader = Reader.OPERATOR,
) -> Fit:
    """Whether a notificatie on `kanaal` is for an abonnement with these kanalen, and why.

    filters: those that the kanaal has now; None when that is not known, empty when any may be used.
    """
    if not kanalen:
        text = "Dit abonnement heeft geen kanalen en krijgt daarom nooit iets."
        return _fit(FitCode.NO_KANALEN, text, {})
    groups = [group for group in kanalen if group.naam == kanaal]
    if not groups:
        return _other_kanaal(kanalen, kanaal, reader)
    compared = [_compare(group, kenmerken) for group in groups]
    matching = [each for each in compared if not each.differing]
    if matching:
        best = min(matching, key=lambda each: len(each.absent))
        return _matches(best, kanaal, filters)
    return _differs(compared, kanaal, reader)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One filter of an abonnement compared with a notificatie.

    found: the notificatie's value; None when it has no such kenmerk, so that the filter does not count.
    only: as of `only_in`.
    """

    name: str
    wanted: str
    found: str | None
    only: tuple[str, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether it can keep the notificatie from the abonnement."""
        return self.found is not None and self.wanted != WILDCARD

    @property
    def differs(self) -> bool:
        """Whether it does. Of an event's type a part is asked."""
        if self.name == TYPE:
            return self.counts and self.wanted not in (self.found or "")
        return self.counts and self.found != self.wanted


def compare(group: FilterGroup, kenmerken: Mapping[str, str]) -> list[Comparison]:
    """Each filter of a group, in its order."""
    values = {normalise(name): value for name, value in kenmerken.items()}
    return [
        Comparison(name, wanted, found, () if name == TYPE else _near(wanted, found))
        for name, wanted in group.filters
        for found in [values.get(normalise(name))]
    ]


def _near(wanted: str, found: str | None) -> tuple[str, ...]:
    return () if found is None or wanted in (WILDCARD, found) else only_in(wanted, found)


@dataclass(frozen=True, slots=True)
class _Compared:
    """A filter group compared with a notificatie. asked: how many of its filters are not `*`."""

    differing: tuple[Comparison, ...]
    absent: tuple[str, ...]
    asked: int

    @property
    def distance(self) -> tuple[int, int]:
        """How far it is from matching: filters that differ, and how many of these beyond `only_in`."""
        return len(self.differing), sum(not each.only for each in self.differing)


def _compare(group: FilterGroup, kenmerken: Mapping[str, str]) -> _Compared:
    asked = [each for each in compare(group, kenmerken) if each.wanted != WILDCARD]
    differing = tuple(each for each in asked if each.differs)
    absent = tuple(each.name for each in asked if each.found is None)
    return _Compared(differing, absent, len(asked))


def _without_scheme(text: str) -> str:
    return text.removeprefix("https://").removeprefix("http://")


_FORMS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("hoofdletters", str.casefold),
    ("spaties", lambda text: "".join(text.split())),
    ("een schuine streep (/) aan het eind", lambda text: text.rstrip("/")),
    ("http of https", _without_scheme),
    ("nullen vooraan", lambda text: text.lstrip("0")),
    ("de codering van tekens (Unicode)", lambda text: unicodedata.normalize("NFKC", text)),
)
"""Differences that people overlook: the name of each, and a normal form that removes it."""


def only_in(one: str, other: str) -> tuple[str, ...]:
    """The fewest of such differences that explain why two values differ; empty when there is more."""
    for count in range(1, len(_FORMS) + 1):
        for chosen in combinations(_FORMS, count):
            # White space first, so that a slash or a zero next to it is at the end.
            ways = sorted(chosen, key=lambda form: form[0] != "spaties")
            if _formed(one, ways) == _formed(other, ways) != "":
                return tuple(name for name, _ in chosen)
    return ()


def _formed(text: str, forms: Iterable[tuple[str, Callable[[str], str]]]) -> str:
    for _, form in forms:
        text = form(text)
    return text


def _fit(code: FitCode, text: str, facts: Mapping[str, object], ignored: tuple[str, ...] = ()) -> Fit:
    return Fit(code, Reason(code.value, text, facts), ignored)


def _other_kanaal(kanalen: Sequence[FilterGroup], kanaal: str, reader: Reader) -> Fit:
    names = list(dict.fromkeys(group.naam for group in kanalen))
    if kanaal == EVENTS:
        text = "Niet voor dit abonnement: dit is een CloudEvent, en het heeft geen cloudeventFilters."
        return _fit(FitCode.OTHER_KANAAL, text, {"subscribed": names})
    word = "kanaal" if len(names) == 1 else "de kanalen"
    text = f"Niet voor dit abonnement: het is geabonneerd op {word} {listed(names)}; "
    if reader is Reader.CONSUMER:
        text += "deze notificatie is van een ander kanaal."
        return _fit(FitCode.OTHER_KANAAL, text, {"subscribed": names})
    text += f"deze notificatie is van kanaal {kanaal}."
    near = next((only for name in names if (only := only_in(name, kanaal))), ())
    if near:
        text += f" Namen van kanalen worden letterlijk vergeleken; dit verschilt alleen in {listed(near)}."
    return _fit(FitCode.OTHER_KANAAL, text, {"subscribed": names, "kanaal": kanaal, "differsOnlyIn": near})


def _matches(best: _Compared, kanaal: str, filters: Sequence[str] | None) -> Fit:
    gone = _gone(best.absent, filters)
    facts = {"ignored": best.absent, "notOfKanaal": gone}
    if not best.asked:
        text = f"Past: er is geen filter op kanaal {kanaal}."
    elif not best.absent:
        text = "Past: het filter komt overeen." if best.asked == 1 else "Past: alle filters komen overeen."
    else:
        names = listed(best.absent)
        if len(best.absent) == 1:
            text = f"Past: filter {names} telt niet mee, want de notificatie heeft geen kenmerk {names}."
        else:
            text = f"Past: filters {names} tellen niet mee, want de notificatie heeft die kenmerken niet."
        if gone:
            word = "kenmerk" if len(gone) == 1 else "kenmerken"
            text += f" Kanaal {kanaal} heeft {word} {listed(gone)} niet meer."
    return _fit(FitCode.MATCHES, text, facts, best.absent)


def _gone(names: Iterable[str], filters: Sequence[str] | None) -> tuple[str, ...]:
    """Those that are no filters of the kanaal; none when it allows any, or its filters are not known."""
    known = {normalise(name) for name in filters or ()}
    return tuple(name for name in names if normalise(name) not in known) if known else ()


def _differs(compared: Sequence[_Compared], kanaal: str, reader: Reader) -> Fit:
    nearest = min(compared, key=lambda each: each.distance)
    consumer = reader is Reader.CONSUMER
    told = []
    for each in nearest.differing[:_MOST_FILTERS]:
        told.append(_told(each, consumer=consumer))
    more = len(nearest.differing) - len(told)
    text = f"Niet voor dit abonnement: {'; '.join(told)}"
    if more:
        text += f"; en {number(more)} {'ander filter' if more == 1 else 'andere filters'} ook"
    text += f". {_hint(nearest, consumer=consumer)}"
    if len(compared) > 1:
        text += (
            f" Van de {number(len(compared))} groepen filters op kanaal {kanaal} komt deze het dichtst bij."
        )
    differing: list[dict[str, object]] = [
        {"filter": each.name, "wanted": each.wanted}
        | ({} if consumer else {"found": each.found, "differsOnlyIn": each.only})
        for each in nearest.differing
    ]
    return _fit(FitCode.FILTER_DIFFERS, text, {"filters": differing, "groups": len(compared)})


def _told(each: Comparison, *, consumer: bool) -> str:
    found = "een andere waarde" if consumer else quoted(each.found or "")
    if each.name == TYPE:
        return f"het type bevat geen {quoted(each.wanted)}" + ("" if consumer else f", het is {found}")
    return f"filter {each.name} is {quoted(each.wanted)}, de notificatie heeft {found}"


def _hint(nearest: _Compared, *, consumer: bool) -> str:
    """How values are compared, and the small difference, unless that would reveal the value."""
    if consumer:
        return f"{_DISTINCT}, ook hoofdletters, spaties en een schuine streep (/) aan het eind."
    near = [each for each in nearest.differing if each.only]
    if not near:
        return f"{_DISTINCT}."
    if len(nearest.differing) == 1:
        return f"{_DISTINCT}; dit verschilt alleen in {listed(near[0].only)}."
    each_near = (f"{each.name} verschilt alleen in {listed(each.only)}" for each in near)
    return f"{_DISTINCT}; {'; '.join(each_near)}."
