"""What is said, when, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from alerting.judging import judge
from alerting.notices import Notice, Phase
from alerting.rules import Found, rule_of, subject_of
from operating.status.attention import Code, Concern
from schemas.alert import DEFAULTS, AlertSettings, Channel, Rule, RuleSetting, Webhook
from store.alerts import Alert

SETTINGS = AlertSettings("urn:test", webhook=Webhook("https://example.nl/"), pause=3600, again=86_400)
DISK = Concern(Code.DISK)
STUCK = Concern(Code.STUCK, count=3)


@dataclass
class Watched:
    """The alerts of a system, look after look; what was said stands in `said`."""

    settings: AlertSettings = SETTINGS
    alerts: dict[str, Alert] = field(default_factory=dict)
    ids: count[int] = field(default_factory=count)

    def look(
        self, at: float, *concerns: Concern, after: float = 0.0, unknown: Sequence[Code] = ()
    ) -> list[tuple[str, str]]:
        """(subject, phase) of what is said."""
        found = [
            Found(
                subject_of(each), rule_of(each), each, since=at - each.seconds, after=after, count=each.count
            )
            for each in concerns
        ]

        def noticing(one: Found, phase: Phase, since: float) -> Notice:
            id_ = str(next(self.ids))
            code = one.concern.code.value
            return Notice(id_, phase, one.rule.value, code, one.subject, at, since, f"{code} is it")

        changes = judge(
            found,
            [*self.alerts.values()],
            self.settings,
            now=at,
            unknown=frozenset(unknown),
            noticing=noticing,
            new_id=lambda: str(next(self.ids)),
        )
        for alert in changes.put:
            self.alerts[alert.subject] = alert
        for subject in changes.gone:
            del self.alerts[subject]
        self.messages = changes.messages
        return [(each.subject, str(each.notice["phase"])) for each in changes.messages]


def test_it_is_said_at_once_once_and_when_it_is_over() -> None:
    watched = Watched()
    assert watched.look(0, DISK) == [("disk", "begonnen")]
    assert watched.look(10, DISK) == []
    assert watched.look(20) == [("disk", "voorbij")]
    (message,) = watched.messages
    assert message.notice["text"] == "Dit is voorbij: disk is it"
    assert (message.notice["since"], message.notice["until"]) == (0, 20)
    assert watched.look(30) == []


def test_what_does_not_last_is_not_said_and_forgotten() -> None:
    watched = Watched()
    assert watched.look(0, DISK, after=60) == []
    assert watched.look(50, DISK, after=60) == []
    assert watched.look(59) == []
    assert watched.alerts == {}
    assert watched.look(70, DISK, after=60) == []
    assert watched.look(130, DISK, after=60) == [("disk", "begonnen")]
    assert watched.alerts["disk"].since == 70


def test_what_began_before_it_was_seen_has_lasted_since_then() -> None:
    assert Watched().look(100, replace(DISK, seconds=61), after=60) == [("disk", "begonnen")]


def test_of_one_subject_at_most_one_message_an_hour_however_often_it_comes_and_goes() -> None:
    watched, said = Watched(), list[tuple[float, str]]()
    for at in range(0, 10_800, 10):
        there = (at // 60) % 2 == 0
        said += [(at, phase) for _, phase in watched.look(at, *([DISK] if there else []))]
    begun = [at for at, phase in said if phase != "voorbij"]
    assert begun == [0, 3600, 7200]
    assert [at for at, phase in said if phase == "voorbij"] == [60, 3660, 7260]


def test_two_subjects_do_not_limit_each_other() -> None:
    watched = Watched()
    assert watched.look(0, DISK) == [("disk", "begonnen")]
    assert watched.look(10, DISK, STUCK) == [("stuck", "begonnen")]


def test_while_it_lasts_it_is_said_again_after_a_day_or_never() -> None:
    watched = Watched()
    watched.look(0, DISK)
    assert watched.look(86_399, DISK) == []
    assert watched.look(86_400, DISK) == [("disk", "herhaald")]
    assert watched.look(86_410, DISK) == []
    never = Watched(settings=replace(SETTINGS, again=0))
    never.look(0, DISK)
    assert never.look(10 * 86_400, DISK) == []


def test_when_there_is_more_of_it_it_is_said_again_but_not_within_the_hour() -> None:
    watched = Watched()
    watched.look(0, STUCK)
    more = replace(STUCK, count=4)
    assert watched.look(100, more) == []
    assert watched.look(3599, more) == []
    assert watched.look(3600, more) == [("stuck", "herhaald")]
    assert watched.look(7300, more) == []
    assert watched.look(7400, replace(STUCK, count=2)) == []


def test_what_a_look_does_not_tell_is_neither_over_nor_forgotten() -> None:
    watched = Watched()
    watched.look(0, DISK)
    assert watched.look(10, unknown=[Code.DISK]) == []
    assert watched.look(20, DISK) == []
    assert watched.look(30) == [("disk", "voorbij")]


def test_what_lasts_is_said_once_there_is_somewhere_to_send_it() -> None:
    watched = Watched(settings=replace(SETTINGS, webhook=None))
    assert watched.look(0, DISK) == []
    assert not watched.alerts["disk"].told
    watched.settings = SETTINGS
    assert watched.look(10, DISK) == [("disk", "begonnen")]


def test_a_message_goes_by_each_channel_that_is_on() -> None:
    watched = Watched(settings=replace(SETTINGS, webhook=replace(SETTINGS.webhook, on=False)))  # type: ignore[type-var]
    assert watched.look(0, DISK) == []
    watched.settings = SETTINGS
    watched.look(10, DISK)
    assert [each.channel for each in watched.messages] == [Channel.WEBHOOK]


def test_a_rule_that_was_switched_off_says_nothing_more_and_is_forgotten() -> None:
    watched = Watched()
    watched.look(0, DISK)
    watched.settings = replace(SETTINGS, rules={**DEFAULTS, Rule.DISK: RuleSetting(on=False)})
    assert watched.look(10) == []
    watched.look(3700)
    assert watched.alerts == {}


def test_nothing_is_written_while_nothing_changes() -> None:
    watched = Watched()
    watched.look(0, DISK)
    before = dict(watched.alerts)
    watched.look(10, replace(DISK, said="other", share=0.5))
    assert watched.alerts == before
