"""The accounting of one scenario: what was accepted, and what became of each delivery.

Pure: the records of publisher, consumer and queues come in, an Account goes out. All times are seconds of one
monotonic clock, which the processes of a machine share.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

Pair = tuple[str, str]
"""(nrc-notificatie-id, name of the abonnement): one thing to deliver."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A POST of notificatie `number` that began at `posted` and whose 201 was read at `accepted`."""

    number: int
    id: str
    posted: float
    accepted: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that the consumer got at `at`. answered: it gave a 2xx, to somebody who was still there."""

    number: int
    id: str
    abonnement: str
    at: float
    answered: bool


@dataclass(frozen=True, slots=True)
class Subscription:
    """An abonnement, and what it wants from `since` until `until`. One that changes has several."""

    name: str
    matches: Callable[[int], bool]
    since: float = -math.inf
    until: float = math.inf

    def wants(self, post: Accepted) -> bool:
        """Whether it must get this notificatie: it wanted it all the while that it was being accepted."""
        return self.since <= post.posted and post.accepted <= self.until and self.matches(post.number)


@dataclass(slots=True)
class Excuse:
    """What may be missing: nothing but what was taken away had it, such as a ledger.

    posted_before: only what was posted before this moment. at_most: how many were counted there. ids: only
    these, where it is known which.
    """

    why: str
    abonnementen: frozenset[str]
    posted_before: float
    at_most: int
    ids: Collection[str] | None = None

    def covers(self, pair: Pair, post: Accepted) -> bool:
        """Whether it is for this one."""
        known = self.ids is None or post.id in self.ids
        return known and pair[1] in self.abonnementen and post.posted <= self.posted_before


@dataclass(frozen=True, slots=True)
class Repeats:
    """What one fault may make arrive twice: what was in flight then."""

    why: str
    at_most: int


@dataclass(slots=True)
class Account:
    """What the certificate says of a scenario. problems: why it does not hold; [] when it does.

    All but `accepted` counts pairs of a notificatie and an abonnement. to_deliver = delivered + waiting +
    undeliverable + apart + lost. duplicated_by: the same as `duplicated`, by what made it come again; bounds:
    the same as `duplicates_bound`, by fault.
    """

    accepted: int = 0
    to_deliver: int = 0
    delivered: int = 0
    waiting: int = 0
    undeliverable: int = 0
    apart: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    duplicated: int = 0
    duplicates_bound: int = 0
    duplicated_by: dict[str, int] = field(default_factory=dict)
    bounds: dict[str, int] = field(default_factory=dict)
    own_retries: int = 0
    never_answered: int = 0
    astray: int = 0
    longest_delay: float = 0.0
    time_to_recover: float | None = None
    problems: list[str] = field(default_factory=list)


def account(
    posts: Sequence[Accepted],
    arrivals: Sequence[Arrival],
    *,
    subscriptions: Sequence[Subscription],
    waiting: Mapping[Pair, int] | None = None,
    undeliverable: Mapping[Pair, int] | None = None,
    excuses: Iterable[Excuse] = (),
    repeats: Iterable[Repeats] = (),
    given_back: Mapping[Pair, str] | None = None,
    recovered_from: Iterable[float] = (),
    stood_for: Collection[Pair] = (),
) -> Account:
    """The account. waiting, undeliverable: how many of each pair were found in queues or rows at the end.

    stood_for: those that ended in a newer one that was delivered. given_back: why each pair was put into its
    queue again, of those that were. recovered_from: when faults ended.
    """
    waiting, undeliverable = waiting or {}, undeliverable or {}
    made = Account(accepted=len(posts))
    for each in repeats:
        _add(made.bounds, each.why, each.at_most)
    made.duplicates_bound = sum(made.bounds.values())
    delivered = Counter((each.id, each.abonnement) for each in arrivals if each.answered)
    wanted = {(post.id, each.name): post for post in posts for each in subscriptions if each.wants(post)}
    made.to_deliver = len(wanted)
    made.delivered = sum(pair in delivered for pair in wanted)
    missing = []
    for pair in wanted.keys() - delivered.keys():
        if pair in stood_for:
            _add(made.apart, CONSOLIDATED, 1)
        elif pair in waiting:
            made.waiting += 1
        elif pair in undeliverable:
            made.undeliverable += 1
        else:
            missing.append(pair)
    _excuse(made, sorted(missing, key=lambda pair: wanted[pair].posted), wanted, excuses)
    _repeats(made, delivered, waiting, undeliverable, given_back or {})
    _strangers(made, posts, arrivals, subscriptions)
    _times(made, wanted, arrivals, subscriptions, recovered_from)
    return made


def _excuse(
    made: Account, missing: Sequence[Pair], wanted: Mapping[Pair, Accepted], excuses: Iterable[Excuse]
) -> None:
    """Whatever is missing and no excuse covers is lost, and so is what goes beyond an excuse's number."""
    left = [[each, each.at_most] for each in excuses]
    for pair in missing:
        post = wanted[pair]
        for entry in left:
            excuse, room = entry
            assert isinstance(excuse, Excuse)
            if room and excuse.covers(pair, post):
                entry[1] = room - 1  # type: ignore[operator]
                _add(made.apart, excuse.why, 1)
                break
        else:
            made.lost.append(f"notificatie {post.number}, {post.id}, for abonnement {pair[1]}")
    if made.lost:
        made.problems.append(f"lost {len(made.lost)}: {'; '.join(made.lost[:3])}")


CONSOLIDATED = "ended in a newer one about the same resource, which was delivered"
"""Only for an abonnement with `consolidate`."""
SENT_AGAIN = "in flight"
"""Nothing put it into its queue again: RabbitMQ or a deliverer had it in flight at a fault."""
NOT_ACKNOWLEDGED = "handed out again: not acknowledged"
"""To a consumer that fetches, or that reads RabbitMQ, which was killed or whose acknowledgement was lost."""


def _repeats(
    made: Account,
    delivered: Counter[Pair],
    waiting: Mapping[Pair, int],
    undeliverable: Mapping[Pair, int],
    given_back: Mapping[Pair, str],
) -> None:
    """Deliveries beyond the first; a message that is still there of what was delivered is one to come."""
    copies = Counter(delivered)
    copies.update(waiting)
    copies.update(undeliverable)
    for pair, count in copies.items():
        if count > 1:
            _add(made.duplicated_by, given_back.get(pair, SENT_AGAIN), count - 1)
    made.duplicated = sum(made.duplicated_by.values())
    if made.duplicated > made.duplicates_bound:
        made.problems.append(
            f"{made.duplicated} delivered more than once; at most {made.duplicates_bound} were in flight"
        )


def _strangers(
    made: Account,
    posts: Sequence[Accepted],
    arrivals: Sequence[Arrival],
    subscriptions: Sequence[Subscription],
) -> None:
    """What arrived under an id that no 201 gave, and what arrived where nobody wanted it."""
    ids = {post.id for post in posts}
    numbers = {post.number for post in posts}
    unknown = {(each.id, each.abonnement): each.number for each in arrivals if each.id not in ids}
    made.own_retries = sum(number in numbers for number in unknown.values())
    made.never_answered = len(unknown) - made.own_retries
    # Numbers only grow, and the load begins when there are abonnementen.
    early = sum(0 < number < min(numbers, default=0) for number in unknown.values())
    if early:
        made.problems.append(f"{early} arrived that were accepted before their abonnement was made")
    wants: dict[str, list[Subscription]] = {}
    for each in subscriptions:
        wants.setdefault(each.name, []).append(each)
    astray = [
        each
        for each in arrivals
        if not any(subscription.matches(each.number) for subscription in wants.get(each.abonnement, ()))
    ]
    made.astray = len(astray)
    if astray:
        first = astray[0]
        made.problems.append(
            f"{len(astray)} arrived at an abonnement that does not match, "
            f"such as notificatie {first.number} at {first.abonnement}"
        )


def _times(
    made: Account,
    wanted: Mapping[Pair, Accepted],
    arrivals: Sequence[Arrival],
    subscriptions: Sequence[Subscription],
    recovered_from: Iterable[float],
) -> None:
    first: dict[Pair, float] = {}
    for each in arrivals:
        pair = (each.id, each.abonnement)
        if each.answered and pair in wanted:
            first[pair] = min(each.at, first.get(pair, math.inf))
    made.longest_delay = max((at - wanted[pair].posted for pair, at in first.items()), default=0.0)
    times = []
    for moment in recovered_from:
        there = {each.name for each in subscriptions if each.since <= moment}
        times.append(_recovery(moment, wanted, {pair: at for pair, at in first.items() if pair[1] in there}))
    known = [time for time in times if time is not None]
    if known:
        made.time_to_recover = max(known)
    if len(known) < len(times):
        made.problems.append("after a fault nothing that was accepted then arrived any more")


def _recovery(moment: float, wanted: Mapping[Pair, Accepted], first: Mapping[Pair, float]) -> float | None:
    """Until each abonnement that got anything got something accepted after `moment`; None: nothing came."""
    soonest: dict[str, float] = {}
    for pair, at in first.items():
        if wanted[pair].accepted >= moment:
            soonest[pair[1]] = min(at, soonest.get(pair[1], math.inf))
    return max(soonest.values()) - moment if soonest else None


_SUMMED = (
    *("accepted", "to_deliver", "delivered", "waiting", "undeliverable", "duplicated", "duplicates_bound"),
    *("own_retries", "never_answered", "astray"),
)


_BY_CAUSE = ("apart", "duplicated_by", "bounds")


def _add(counts: dict[str, int], why: str, count: int) -> None:
    counts[why] = counts.get(why, 0) + count


def total(accounts: Iterable[Account]) -> Account:
    """All of them together."""
    made = Account()
    for each in accounts:
        for name in _SUMMED:
            setattr(made, name, getattr(made, name) + getattr(each, name))
        for name in _BY_CAUSE:
            for why, count in getattr(each, name).items():
                _add(getattr(made, name), why, count)
        made.lost = list(chain(made.lost, each.lost))
        made.longest_delay = max(made.longest_delay, each.longest_delay)
    return made
