"""A message to operators: what it says, as text for people and as a CloudEvent for programs. Pure.

CloudEvents 1.0 in the structured mode, by the NL GOV profile 1.1: `id` is that of the message, the same at
every attempt, and unique for ever (a UUID of version 7); `time` is when the message was made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

import orjson

from alerting.rules import TITLES
from ledger.explaining.dutch import Clock, number
from schemas.alert import Rule

TYPE = "nl.overheid.notificaties.waarschuwing-"
MOST_IN_A_MAIL = 50


class Phase(StrEnum):
    """Why a message is sent; with TYPE before it, the `type` of its CloudEvent."""

    BEGAN = "begonnen"
    AGAIN = "herhaald"
    OVER = "voorbij"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Notice:
    """What a message says. Moments are Unix seconds; until: of one that is over.

    text: what is wrong. then: what to do, a sentence; command: as it is typed; link: a page of the console,
    "" when its address is not known. abonnement, application: "" when it is not about one.
    technical: what a part of the system said of it, mostly in English; "" when that is nothing.
    """

    id: str
    phase: Phase
    rule: str
    code: str
    subject: str
    at: float
    since: float
    text: str
    then: str = ""
    command: str = ""
    link: str = ""
    abonnement: str = ""
    application: str = ""
    urgent: bool = False
    until: float | None = None
    technical: str = ""

    def facts(self) -> Mapping[str, object]:
        """As a store keeps it."""
        return {**asdict(self), "phase": self.phase.value}

    @classmethod
    def of(cls, facts: Mapping[str, object]) -> Notice:
        """The reverse of `facts`."""
        known = {name: value for name, value in facts.items() if name in cls.__dataclass_fields__}
        return cls(**{**known, "phase": Phase(str(known["phase"]))})  # type: ignore[arg-type]


def cloud_event(notice: Notice, *, source: str) -> bytes:
    """The body of its POST: application/cloudevents+json."""
    data = {
        "fase": notice.phase.value,
        "regel": notice.rule,
        "code": notice.code,
        "dringend": notice.urgent,
        "tekst": notice.text,
        "watTeDoen": notice.then,
        "opdracht": notice.command,
        "technischeMelding": notice.technical,
        "link": notice.link,
        "abonnement": notice.abonnement,
        "applicatie": notice.application,
        "sinds": _utc(notice.since),
        "tot": None if notice.until is None else _utc(notice.until),
    }
    event = {
        "specversion": "1.0",
        "id": notice.id,
        "source": source,
        "type": f"{TYPE}{notice.phase.value}",
        "subject": notice.subject,
        "time": _utc(notice.at),
        "datacontenttype": "application/json",
        "data": {name: value for name, value in data.items() if value not in ("", None)},
    }
    return orjson.dumps(event)


def title(notice: Notice) -> str:
    """A few words for a list, such as the subject of a mail."""
    if notice.phase is Phase.TEST:
        return "Test van de waarschuwingen"
    what = TITLES[Rule(notice.rule)] if notice.rule in [*Rule] else notice.rule
    whose = f" ({notice.application})" if notice.application else ""
    before = {Phase.AGAIN: "Nog steeds: ", Phase.OVER: "Voorbij: "}.get(notice.phase, "")
    return _on_one_line(f"{before}{what}{whose}")


def mail_subject(notices: Sequence[Notice]) -> str:
    """The subject of one mail with all of these."""
    if len(notices) == 1:
        return f"[NRC] {title(notices[0])}"
    over = sum(each.phase is Phase.OVER for each in notices)
    parts = []
    if more := len(notices) - over:
        parts.append("1 waarschuwing" if more == 1 else f"{number(more)} waarschuwingen")
    if over:
        parts.append(f"{number(over)} voorbij")
    return f"[NRC] {', '.join(parts)}"


def mail_text(notices: Sequence[Notice], *, now: float) -> str:
    """The text of one mail with all of these, what is urgent first; of very many the rest is counted."""
    order = sorted(notices, key=lambda each: (each.phase is Phase.OVER, not each.urgent, each.at))
    texts = [text(each, now=now) for each in order[:MOST_IN_A_MAIL]]
    if (more := len(order) - MOST_IN_A_MAIL) > 0:
        texts.append(f"En nog {number(more)}: zie nrc alerts list, of Waarschuwingen in de console.")
    return "\n\n----\n\n".join(texts) + "\n"


def text(notice: Notice, *, now: float) -> str:
    """One message for people: what, since when, and what to do."""
    clock = Clock(round(now * 1000))

    def moment(at: float) -> str:
        return clock.local(round(at * 1000)).strftime("%d-%m-%Y %H:%M")

    lines = [title(notice), "", _printable(notice.text)]
    if notice.phase is Phase.TEST:
        return "\n".join(lines)
    if notice.until is None:
        lines += ["", f"Sinds:      {moment(notice.since)}"]
    else:
        lines += ["", f"Begonnen:   {moment(notice.since)}", f"Voorbij:    {moment(notice.until)}"]
    if notice.abonnement:
        lines.append(f"Abonnement: {notice.abonnement} van {_on_one_line(notice.application)}")
    if notice.until is None:
        lines += [f"Wat te doen: {notice.then}", f"Opdracht:   {notice.command}"]
    if notice.until is None and notice.technical:
        lines.append(f"Technische melding: {_on_one_line(notice.technical)}")
    if notice.link:
        lines.append(f"Console:    {notice.link}")
    return "\n".join(lines)


def _utc(at: float) -> str:
    return Clock.utc(round(at * 1000)) or ""


def _on_one_line(text: str) -> str:
    return re.sub(r"\s+", " ", _printable(text)).strip()


def _printable(text: str) -> str:
    """Without control characters, which part of it may come from elsewhere."""
    return "".join(each if each.isprintable() else " " for each in text)
