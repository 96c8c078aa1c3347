"""A step of a plan: one thing that is to be made, changed or removed, and what does it. Shows no secret."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from nrc.setup.faults import Fault, Path
from schemas.errors import BrokerError, BrokerUnavailable

if TYPE_CHECKING:
    from deliverer.http.client import CallbackClient
    from nrc.setup.checking import Checked
    from operating.acts import Log
    from operating.passwords import Passwords
    from router.requests import RouterClient
    from runtime.settings import Settings
    from schemas.abonnement import Abonnement
    from schemas.alert import AlertSettings
    from schemas.application import Application
    from schemas.events.mapping import EventMapping
    from schemas.kanaal import Kanaal
    from schemas.user import User
    from store.registry import Registry


NONE = "none"
"""How a difference shows that there is nothing."""


class Action(StrEnum):
    """What is done with a thing."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"
    SAME = "unchanged"


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that is to be another. before: "" of a new thing. secret: neither value is told."""

    name: str
    after: str = ""
    before: str = ""
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One thing, and what is done with it. do: None where that is nothing.

    waiting: of an abonnement that is to be removed, how many notificaties wait for it; None: not known.
    """

    kind: str
    name: str
    action: Action
    differences: Sequence[Difference] = ()
    do: Callable[[Doing], Awaitable[None]] | None = field(default=None, compare=False, repr=False)
    waiting: int | None = 0


@dataclass(frozen=True, slots=True)
class Known:
    """What there is. waiting: by abonnement; None where that is not known."""

    kanalen: Mapping[str, Kanaal]
    applications: Mapping[str, Application]
    abonnementen: Mapping[UUID, Abonnement]
    users: Sequence[User]
    alerts: AlertSettings
    waiting: Mapping[UUID, int] | None
    mappings: Mapping[str, EventMapping] = field(default_factory=dict)


@dataclass(slots=True)
class Making:
    """A plan while it is made. roots: addresses of this API, to which no callback may lead."""

    checked: Checked
    known: Known
    settings: Settings
    prune: bool
    roots: Sequence[str]
    passwords: Passwords
    steps: list[Step] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    not_taken: list[Fault] = field(default_factory=list)

    def leave_out(self, path: Path, reason: str) -> None:
        """Note what is left out of a foreign file."""
        self.not_taken.append(self.checked.document.fault(path, reason))

    def fault(self, path: Path, reason: str) -> None:
        """Note a fault of a place in the file."""
        self.faults.append(self.checked.document.fault(path, reason))


@dataclass(slots=True)
class Doing:
    """What carrying out takes. tell: for lines beside the result. no_router: why there is none."""

    settings: Settings
    registry: Registry
    log: Log
    callbacks: CallbackClient
    passwords: Passwords
    keep_waiting: bool
    tell: Callable[[str], None]
    asked: RouterClient | None = None
    no_router: str = ""
    removed: list[UUID] = field(default_factory=list)

    @property
    def router(self) -> RouterClient:
        """For what can't be done without one. Raises BrokerUnavailable."""
        if self.asked is None:
            raise BrokerUnavailable(self.no_router)
        return self.asked

    async def ask(self, what: Callable[[RouterClient], Awaitable[None]]) -> None:
        """Tell the router of what is written already; it is done, also when that can't be told."""
        if self.asked is None:
            return
        try:
            await what(self.asked)
        except BrokerError as error:
            self.asked, self.no_router = None, str(error)
            self.tell(f"saved, but the router could not be told: {error}")


def fields(*differences: Difference | None) -> tuple[Difference, ...]:
    """Those that there are."""
    return tuple(each for each in differences if each is not None)


def differs(name: str, before: str, after: str | None) -> Difference | None:
    """The difference of a field; None where it is the same, or is not asked for."""
    return None if after is None or after == before else Difference(name, after, before)


def listed(names: Sequence[str]) -> str:
    """Some names, as a difference shows them."""
    return ", ".join(names) or NONE
