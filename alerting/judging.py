"""Decides what is said now of what was found, and of what is over. Pure.

Of a subject at most one message in `pause` seconds, and one when it is over; while it lasts it is said again
after `again` seconds, or after `pause` when there is more of it. What was too short to be said is never said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from alerting.notices import Notice, Phase
from alerting.rules import Found
from operating.status.attention import Code
from schemas.alert import AlertSettings
from store.alerts import Alert, Waiting

Noticing = Callable[[Found, Phase, float], Notice]
"""Makes what is said of this, which began at that moment."""


@dataclass(slots=True)
class Changes:
    """What is to be kept of it: alerts, subjects that are forgotten, and messages."""

    put: list[Alert] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    messages: list[Waiting] = field(default_factory=list)


def judge(
    found: Iterable[Found],
    known: Sequence[Alert],
    settings: AlertSettings,
    *,
    now: float,
    unknown: frozenset[Code],
    noticing: Noticing,
    new_id: Callable[[], str],
) -> Changes:
    """What follows from one look. now: Unix seconds.

    unknown: codes of which this look tells nothing: what has them stays as it is. noticing: what is said.
    """
    before = {each.subject: each for each in known}
    changes = Changes()
    here: dict[str, Found] = {}
    for each in found:
        here.setdefault(each.subject, each)
    for each in here.values():
        _lasts(each, before.get(each.subject), settings, changes, now=now, noticing=noticing)
    for alert in known:
        if alert.subject in here:
            continue
        if alert.over is None and _is_unknown(alert, unknown):
            continue
        _absent(alert, settings, changes, now=now, new_id=new_id)
    return changes


def _is_unknown(alert: Alert, unknown: frozenset[Code]) -> bool:
    return alert.code in {each.value for each in unknown}


def _lasts(
    found: Found,
    known: Alert | None,
    settings: AlertSettings,
    changes: Changes,
    *,
    now: float,
    noticing: Noticing,
) -> None:
    """It is there. known: as it was."""
    if known is None:
        alert = Alert(found.subject, found.rule, found.concern.code.value, found.since)
    elif known.over is not None:
        alert = replace(known, since=found.since, over=None, told=False)
    else:
        alert = known
    phase = _phase(alert, found, settings, now=now)
    if phase is not None and settings.channels:
        notice = noticing(found, phase, alert.since).facts()
        alert = replace(alert, told=True, told_at=now, count=found.count, notice=notice)
        changes.messages += _by_all(settings, alert.subject, now, notice)
    if alert != known:
        changes.put.append(alert)


def _phase(alert: Alert, found: Found, settings: AlertSettings, *, now: float) -> Phase | None:
    """What is said of it now, if anything."""
    ago = None if alert.told_at is None else now - alert.told_at
    if ago is not None and ago < settings.pause:
        return None
    if not alert.told:
        return Phase.BEGAN if now - alert.since >= found.after else None
    assert ago is not None  # noqa: S101 - it was told
    if found.count > alert.count or (settings.again and ago >= settings.again):
        return Phase.AGAIN
    return None


def _absent(
    alert: Alert, settings: AlertSettings, changes: Changes, *, now: float, new_id: Callable[[], str]
) -> None:
    """It is not there (any more)."""
    if alert.over is None and alert.told:
        notice = _over(alert, now=now, id_=new_id())
        alert = replace(alert, over=now, told=False, notice=notice)
        changes.put.append(alert)
        if settings.channels and settings.rule(alert.rule).on:
            changes.messages += _by_all(settings, alert.subject, now, notice)
    elif alert.told_at is None or now - alert.told_at >= settings.pause:
        changes.gone.append(alert.subject)
    elif alert.over is None:
        changes.put.append(replace(alert, over=now))


def _over(alert: Alert, *, now: float, id_: str) -> Mapping[str, object]:
    told = Notice.of(alert.notice or {})
    return replace(
        told,
        id=id_,
        phase=Phase.OVER,
        at=now,
        since=alert.since,
        until=now,
        text=f"Dit is voorbij: {told.text}",
        urgent=False,
    ).facts()


def _by_all(settings: AlertSettings, subject: str, at: float, notice: Mapping[str, object]) -> list[Waiting]:
    return [Waiting(channel, subject, at, notice) for channel in settings.channels]
