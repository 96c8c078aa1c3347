"""What a store guarantees of alerts (tests/contract/stores/test_alerts.py).

What is set of them, which there are, what is still to be sent, and the certificates of callbacks. The methods
are as those of store/registry.py: coroutines, atomic, durable, for several processes at once. None of them is
a change of the registry. They raise RegistryError and nothing of the database's own.
Moments are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.alert import AlertSettings, Channel, Rule


@dataclass(frozen=True, slots=True)
class Alert:
    """Something of which operators are warned, or were a while ago.

    subject: what it is about, unique. code: of the concern (operating/status/attention.py). since: when it
    began. told: of this time something was sent. told_at: when something was last sent of it, this time or
    before. count: how many it was then. over: when it was over; kept for a while, so that what comes again
    at once sends no further message. notice: what was said of it (alerting/notices.py).
    """

    subject: str
    rule: Rule
    code: str
    since: float
    told: bool = False
    told_at: float | None = None
    count: int = 0
    over: float | None = None
    notice: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that is still to be sent. at: when it was made. notice: what it says."""

    channel: Channel
    subject: str
    at: float
    notice: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Sending:
    """How sending goes by one channel.

    failing_since: None while nothing is wrong. failures: in a row; error: the last, a line for people.
    next_try: when it is tried again. last_sent: when a message last arrived. waiting: messages.
    """

    failing_since: float | None = None
    failures: int = 0
    error: str = ""
    next_try: float = 0.0
    last_sent: float | None = None
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class AlertLease:
    """Which process sends. until: when its lease runs out."""

    holder: str
    until: float


@dataclass(frozen=True, slots=True)
class Certificate:
    """The certificate with which a callback's server answers. ends: of its validity; None: there was none.

    fault: why there was none, or why it is not trusted; "" when all is well.
    """

    host: str
    port: int
    looked: float
    ends: float | None
    fault: str = ""


class Alerts(Protocol):
    """Of several processes that send the one with the lease does.

    What takes a `holder` changes nothing and raises AlertsLeaseLost when another has the lease, or nobody.
    """

    async def settings(self) -> AlertSettings:
        """What is set; the defaults before anything was, with a `source` that was made with the registry."""

    async def change_settings(self, change: Callable[[AlertSettings], AlertSettings]) -> AlertSettings:
        """Keep what `change` makes of the settings as they are at that moment; returns them.

        change: called in another thread; nothing is written when it raises. Secrets are encrypted.
        """

    async def take_lease(self, holder: str, *, seconds: float) -> bool:
        """Take or renew the lease for so long, by the store's clock; False while another has it."""

    async def release_lease(self, holder: str) -> None:
        """Give the lease up, so that another need not wait for it to run out. No-op for any other holder."""

    async def lease(self) -> AlertLease | None:
        """The lease, when it has not run out."""

    async def every(self) -> tuple[Alert, ...]:
        """All alerts, also those that are over and still kept; the oldest first."""

    async def note(
        self, holder: str, *, put: Sequence[Alert], gone: Sequence[str], messages: Sequence[Waiting]
    ) -> None:
        """Keep these alerts, forget the subjects in `gone`, and add messages.

        A message takes the place of one by the same channel of the same subject that was not sent yet.
        """

    async def waiting(self, channel: Channel) -> tuple[Waiting, ...]:
        """The messages that wait for this channel, the oldest first."""

    async def sent(self, holder: str, messages: Sequence[Waiting], *, at: float) -> None:
        """These arrived: they are removed, except where a newer one took their place, and nothing fails."""

    async def failed(self, holder: str, channel: Channel, *, error: str, at: float, next_try: float) -> None:
        """Nothing can be sent by this channel now; one failure more."""

    async def drop(self, holder: str, channel: Channel, *, before: float) -> int:
        """Remove messages that were made before this moment; how many."""

    async def sending(self) -> Mapping[Channel, Sending]:
        """How sending goes by each channel."""

    async def certificates(self) -> tuple[Certificate, ...]:
        """All certificates, as they were last looked at."""

    async def note_certificates(
        self, looked: Sequence[Certificate], *, keep: frozenset[tuple[str, int]]
    ) -> None:
        """Keep these, and forget those of all other (host, port) than `keep`."""
