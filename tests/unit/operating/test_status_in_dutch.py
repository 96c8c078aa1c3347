"""Every concern is told in Dutch, in a sentence with a next step."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from ledger.keeper_ledger import Gap
from ledger.values import OPERATOR, Scope
from operating.conditions import Condition
from operating.status import dutch
from operating.status.attention import Code, Concern
from operating.status.collecting import Status
from operating.status.dutch import Told, in_short, lasting, told
from schemas.abonnement import Hold, State
from store.registry import LastFailure
from tests.make import an_abonnement

NOW = 1_700_000_000.0
STATUS = Status(NOW, [], [], None, "", 1, None, False)
HELD = Condition(
    replace(
        an_abonnement(("zaken", {})),
        state=State.HELD,
        hold=Hold(NOW - 7200, 3, NOW),
        state_reason="timeout: no answer within 10 s",
    ),
    waiting=1,
    last_failure=LastFailure(NOW, "timeout: no answer within 10 s"),
)
GAP = Gap(3, Scope.KANAAL, "zaken", round(NOW * 1000) - 60_000, None, OPERATOR, False)


def telling(monkeypatch: pytest.MonkeyPatch, *concerns: Concern) -> list[Told]:
    monkeypatch.setattr(dutch.attention, "concerns", lambda _: list(concerns))
    return told(STATUS)


FACTS: dict[Code, dict[str, Any]] = {
    **{
        code: {"of": HELD, "seconds": 7200.0}
        for code in (Code.HELD, Code.SUSPENDED, Code.WAITS_LONG, Code.CERTIFICATE, Code.CLIENT_CERTIFICATE)
    },
    Code.QUEUE_UNREAD: {"of": HELD},
    **{code: {"gap": GAP} for code in (Code.GAP, Code.GAP_OF_OPERATOR)},
}


SAID = {
    *(Code.GATEWAY_AWAY, Code.GATEWAY_NOT_READY, Code.GATEWAY_WARNS, Code.RABBITMQ_AWAY),
    *(Code.RABBITMQ_NOT_READY, Code.ROUTER_AWAY, Code.REGISTRY_AWAY, Code.LEDGER_AWAY, Code.AC_AWAY),
}
"""Of which a part, or an exception, says something."""


@pytest.mark.parametrize("code", Code)
@pytest.mark.parametrize("count", [1, 1234])
def test_every_concern_is_a_sentence_with_a_next_step(
    code: Code, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "connection refused" if code in SAID else ""
    facts = {"share": 0.02, "size": 1_500_000_000, **FACTS.get(code, {})}
    concern = Concern(code, said=said, count=count, **facts)
    (made,) = telling(monkeypatch, concern)
    for text in (made.text, made.then):
        assert re.fullmatch(r"[A-Z0-9].*\.", text), text
        assert "None" not in text
        assert "connection refused" not in text, "what a part says is in English, and has a place of its own"
    assert made.technical == said
    if FACTS.get(code, {}).get("of"):
        assert made.abonnement == str(HELD.abonnement.uuid) in made.text


def test_the_reason_is_told_in_dutch(monkeypatch: pytest.MonkeyPatch) -> None:
    held, late, others = telling(
        monkeypatch,
        Concern(Code.HELD, of=HELD, seconds=7200.0),
        Concern(Code.WAITS_LONG, of=HELD, seconds=90_000.0),
        Concern(Code.HELD, count=2),
    )
    uuid = HELD.abonnement.uuid
    assert held.text == (
        f"De callback van abonnement {uuid} van test doet het al 2 uur niet (geen antwoord binnen de tijd); "
        "1 notificatie wacht."
    )
    assert late.text == (
        f"Voor abonnement {uuid} van test wacht een notificatie al 1 dag. De laatste fout: geen antwoord "
        "binnen de tijd."
    )
    assert others.text == "Hetzelfde geldt voor 2 andere abonnementen."


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((-5, "0 seconden"), (1, "1 seconde"), (59.9, "59 seconden"), (60, "1 minuut"), (7199, "1 uur")),
        *((7200, "2 uur"), (86400, "1 dag"), (1e6, "11 dagen")),
    ],
)
def test_how_long(seconds: float, text: str) -> None:
    assert lasting(seconds) == text


def test_in_short() -> None:
    one = Told("", "", urgent=True)
    later = Told("", "", urgent=False)
    assert in_short([]) == "Er is niets te doen."
    assert in_short([one, later, later]) == "Te doen: 1 nu en 2 binnen werktijd."
    assert in_short([later]) == "Te doen: 1 binnen werktijd."
