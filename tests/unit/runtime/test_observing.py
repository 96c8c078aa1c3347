"""What a process takes to be observed: nothing unless asked for, and a line when what it needs is missing."""

from __future__ import annotations

import sys
from contextlib import nullcontext

import pytest

from runtime.settings import Settings
from schemas.errors import UsageError
from telemetry.observing import Observing


def settings(**given: object) -> Settings:
    return Settings(_env_file=None, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "process", ["gateway", "router", "deliverer", "ledger", "console", "inbox", "alerts"]
)
def test_nothing_is_asked_for(process: str) -> None:
    observing = Observing(process, settings())
    assert observing.observe is nullcontext
    assert (observing.mounts, observing.of_deliverer) == ((), {})


def test_a_router_makes_no_spans() -> None:
    assert Observing("router", settings(traces="otlp")).observe is nullcontext


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "telemetry.traces.providing", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(UsageError, match=r"NRC_TRACES: .* pip install 'nrc\[opentelemetry\]'"):
        Observing("gateway", settings(traces="otlp"))
