"""Checks the properties: with a fixed number of examples, or for some minutes with others each time."""

from __future__ import annotations

import secrets
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given
from hypothesis.errors import HypothesisWarning

from tests.fuzz.properties import Fuzzing, Property
from tests.fuzz.system import System

ROUND = 400  # examples of all properties together, after which the logs are looked at


@dataclass
class Report:
    """What was done, and what was found (the text of each failure)."""

    examples: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    messages: int = 0
    unavailable: int = 0
    rounds: int = 0
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = ", ".join(f"{name} {count}" for name, count in self.examples.items())
        return (
            f"{self.examples.total()} examples ({kinds}), {self.requests} requests, {self.messages} messages "
            f"by hand, {self.rounds} rounds, {self.seconds / 60:.1f} minutes, {self.unavailable} times 503, "
            f"{len(self.findings)} findings"
        )


def fuzz(
    system: System,
    *,
    examples: int | None,
    minutes: float = 0,
    tell: Callable[[str], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> Report:
    """Try so many examples, always the same; or (None) others each time, for so long or until `stop`."""
    report, began = Report(), time.monotonic()
    with Fuzzing(system) as fuzzing:
        fuzzing.prepare()
        while True:
            seed = None if examples is not None else secrets.randbits(64)
            for property_ in fuzzing.all_of():
                if stop is not None and stop.is_set():
                    return report
                _try(property_, report, examples=round((examples or ROUND) * property_.share), seed=seed)
            report.findings += system.faults()
            report.rounds += 1
            report.seconds = time.monotonic() - began
            report.requests = fuzzing.requests
            report.messages = system.garbage.messages
            report.unavailable = fuzzing.checking.unavailable + fuzzing.trusting.unavailable
            tell(f"{report}; seed {seed}")
            if examples is not None or report.seconds > minutes * 60:
                return report


def _try(property_: Property, report: Report, *, examples: int, seed: int | None) -> None:
    def example(drawn: Any) -> None:
        report.examples[property_.name] += 1
        property_.check(drawn)

    test = given(property_.strategy)(example)
    test = hypothesis.settings(
        max_examples=max(examples, 1),
        deadline=None,
        database=None,
        derandomize=seed is None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        print_blob=False,
    )(test)
    if seed is not None:
        test = hypothesis.seed(seed)(test)
    try:
        for known in property_.known:
            example(known)
        with warnings.catch_warnings():
            # A thread of this process may draw a random number while hypothesis draws, which then says
            # so at length, and warns of the length.
            warnings.simplefilter("ignore", HypothesisWarning)
            test()
    except Exception as error:
        notes = "\n".join(getattr(error, "__notes__", []))
        text = "".join(traceback.format_exception(error, limit=-3))
        finding = f"{property_.name} (seed {seed}): {text[-1500:]}\n{notes[:1500]}"
        report.findings.append(finding)
        print(f"FINDING {finding}", flush=True)
