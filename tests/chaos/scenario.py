"""What a scenario is, and what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.chaos.accounting.account import Account
from tests.chaos.clients import load
from tests.chaos.system import SCHEDULE, System

if TYPE_CHECKING:
    from tests.chaos.run import Run

QUIET = max(SCHEDULE) + 4.0
"""Seconds without any arrival after which nothing will come any more: longer than any wait queue."""

Make = Callable[..., AbstractAsyncContextManager[System]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is done to the system, and how it is told.

    least: notificaties accepted in the full form. rate: notificaties a second. short: also part of the short
    form. settings, per_process, prefixes: it needs a system of its own, started with these. no_errors: a
    publisher must see nothing but 201. settle: seconds for everything to arrive after the load. quiet:
    seconds without any arrival after which nothing will come any more.
    make: another way to make its system, which scenarios with the same one share; it is called with `keep`.
    unfit: why it cannot run here, or "".
    parts: abonnementen that the certificate shows in rows of their own, each with what its callback does.
    within: the longest delay that such a part may have, in seconds.
    traffic: what is published. all_arrive: nothing may wait or be undeliverable at the end.
    """

    name: str
    text: str
    work: Callable[[Run], Awaitable[None]]
    least: int = 3500
    rate: float = 400.0
    short: bool = False
    no_errors: bool = False
    settle: float = 60.0
    quiet: float = QUIET
    abonnementen: Mapping[str, load.Wanted] = field(default_factory=lambda: load.ABONNEMENTEN)
    settings: Mapping[str, str] = field(default_factory=dict)
    per_process: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    prefixes: Mapping[str, list[str]] = field(default_factory=dict)
    own_system: bool = False
    make: Make | None = None
    unfit: Callable[[], str] = lambda: ""
    parts: Mapping[str, str] = field(default_factory=dict)
    within: Mapping[str, float] = field(default_factory=dict)
    traffic: load.Traffic = load.USUAL
    all_arrive: bool = False

    @property
    def needs_own_system(self) -> bool:
        """Whether it cannot share the system with others."""
        return bool(self.own_system or self.settings or self.per_process or self.prefixes)


@dataclass(slots=True)
class Result:
    """What came of a scenario. not_run: why it was left out. parts: the account of single abonnementen."""

    scenario: Scenario
    account: Account
    outcomes: dict[str, int]
    seconds: float
    not_run: str = ""
    parts: Mapping[str, Account] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether it holds."""
        return not self.account.problems
