"""Which rule has a concern, and what it is about."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from alerting.rules import TITLES, Found, found_in, rule_of, subject_of
from ledger.keeper_ledger import Gap, Process
from ledger.values import Scope
from operating.status.attention import Code, Concern, unknown
from operating.status.health import Health
from schemas.abonnement import State
from schemas.alert import DAY, DEFAULTS, AlertSettings, Rule, RuleSetting
from schemas.callback_auth import CallbackAuth
from store.alerts import Certificate
from tests.tls.certificates import Authority
from tests.unit.cli.status.test_status import (
    ABONNEMENT,
    AT,
    NOW,
    WELL,
    a_condition,
    with_facts,
    with_ledger,
    with_part,
)

SETTINGS = AlertSettings("urn:test")
HTTPS = "https://callback.example.nl/nrc"


def found(status: object, settings: AlertSettings = SETTINGS) -> list[Found]:
    return [*found_in(status, settings)]  # type: ignore[arg-type]


def with_rule(rule: Rule, setting: RuleSetting) -> AlertSettings:
    return replace(SETTINGS, rules={**DEFAULTS, rule: setting})


def test_nothing_is_found_where_all_is_well() -> None:
    assert found(WELL) == []


def test_every_rule_has_a_title_and_a_default_and_every_code_a_rule() -> None:
    assert set(TITLES) == set(DEFAULTS) == set(Rule)
    assert {rule_of(Concern(code)) for code in Code} == set(Rule)


def test_a_part_is_said_after_a_minute_and_a_full_disk_at_once() -> None:
    (one,) = found(with_part("router", Health.NOT_REACHABLE, "none runs"))
    assert (one.subject, one.rule, one.since, one.after) == ("router_away", Rule.PARTS, AT, 60)
    (one,) = found(replace(WELL, disk=replace(WELL.disk, free=1)))  # type: ignore[type-var]
    assert (one.subject, one.rule, one.after) == ("disk", Rule.DISK, 0)


def test_a_rule_that_is_off_finds_nothing() -> None:
    away = with_part("router", Health.NOT_REACHABLE, "none runs")
    assert found(away, with_rule(Rule.PARTS, RuleSetting(on=False))) == []


def test_a_held_abonnement_since_it_is_held() -> None:
    held = replace(WELL, conditions=[a_condition(State.HELD, since=500.0)])
    (one,) = found(held)
    assert (one.subject, one.rule) == (f"held:{ABONNEMENT}", Rule.HELD)
    assert (one.since, one.after) == (AT - 500, 15 * 60)


def test_each_of_many_held_abonnementen_is_found() -> None:
    held = [
        replace(each, abonnement=replace(each.abonnement, uuid=type(ABONNEMENT)(int=number)))
        for number in range(20)
        for each in [a_condition(State.HELD, since=500.0)]
    ]
    assert len({each.subject for each in found(replace(WELL, conditions=held))}) == 20


def test_the_oldest_that_waits_by_the_limit_that_is_set() -> None:
    waits = replace(WELL, conditions=[a_condition(State.ACTIVE, oldest=AT - 1000)])
    assert found(waits) == []
    (one,) = found(waits, with_rule(Rule.WAITS_LONG, RuleSetting(after=900)))
    assert (one.subject, one.since, one.after) == (f"waits_long:{ABONNEMENT}", AT - 1000, 900)


def test_what_is_undeliverable_by_abonnement_and_of_removed_ones_together() -> None:
    gone = {type(ABONNEMENT)(int=1): 2, type(ABONNEMENT)(int=2): 3}
    status = replace(
        with_ledger(undeliverable=12, undeliverable_of={ABONNEMENT: 7, **gone}),
        conditions=[a_condition(State.ACTIVE)],
    )
    assert [(each.subject, each.count) for each in found(status)] == [
        (f"undeliverable:{ABONNEMENT}", 7),
        ("undeliverable", 5),
    ]


def test_a_gap_at_once_by_its_number() -> None:
    gap = Gap(3, Scope.KANAAL, "zaken", NOW - 1000, None, "an exchange was deleted", done=False)
    (one,) = found(with_ledger(gaps=[gap]))
    assert (one.subject, one.rule, one.after) == ("gap:3", Rule.GAP, 0)


def test_the_ledger_is_behind_when_a_living_deliverer_could_not_write_for_a_minute() -> None:
    def of(flushed: int) -> list[Found]:
        return found(with_facts(processes=(Process("deliverer 1", NOW - 1000, flushed, 0, stopped=False),)))

    assert of(NOW - 59_000) == []
    (one,) = of(NOW - 61_000)
    assert (one.subject, one.rule) == ("ledger_behind:deliverer 1", Rule.LEDGER)


def test_a_gateway_that_warns_of_the_ledger_is_of_that_rule() -> None:
    (one,) = found(with_part("gateway", Health.OK, "here", "ledger: the disk is full"))
    assert (one.subject, one.rule) == ("gateway_warns:ledger", Rule.LEDGER)
    (one,) = found(with_part("gateway", Health.OK, "here", "broker: an alarm"))
    assert (one.subject, one.rule) == ("gateway_warns:broker", Rule.PARTS)


def test_an_autorisaties_api_that_is_away_is_told_by_a_subject_of_its_own() -> None:
    (one,) = found(with_part("gateway", Health.OK, "here", "Autorisaties API: timeout: no answer"))
    assert (one.subject, one.rule, one.concern.said) == ("ac_away", Rule.PARTS, "timeout: no answer")


@pytest.mark.parametrize(
    ("left", "count"), [(20 * DAY, None), (13 * DAY, 0), (2 * DAY, 1), (0, 2), (-DAY, 2)]
)
def test_a_certificate_by_how_long_it_is_valid(left: float, count: int | None) -> None:
    condition = a_condition(State.ACTIVE)
    used = [
        replace(condition, abonnement=replace(condition.abonnement, callback_url=url))
        for url in (HTTPS, f"{HTTPS}/other", "http://callback.example.nl/")
    ]
    certificate = Certificate("callback.example.nl", 443, AT, AT + left)
    unused = Certificate("gone.example.nl", 443, AT, AT - 1)
    got = found(replace(WELL, conditions=used, certificates=[certificate, unused]))
    if count is None:
        assert got == []
        return
    (one,) = got
    assert (one.subject, one.rule) == ("certificate:callback.example.nl:443", Rule.CERTIFICATE)
    assert (one.count, one.concern.count, one.after) == (count, 2, 0)


@pytest.mark.parametrize(
    ("left", "count"), [(40 * DAY, None), (29 * DAY, 0), (2 * DAY, 1), (0, 2), (-DAY, 2)]
)
def test_a_client_certificate_once_for_all_that_have_it(left: float, count: int | None) -> None:
    made = Authority.new().issue("nrc", days=(-9000, (AT + left - time.time()) / DAY))
    asks = CallbackAuth.model_validate({"clientCertificate": {"certificate": made.pem, "key": made.key_pem}})
    used = [
        replace(each, abonnement=replace(each.abonnement, callback_url=url, callback_auth=asks))
        for each, url in (
            (a_condition(State.ACTIVE), HTTPS),
            (a_condition(State.ACTIVE), f"{HTTPS}/other"),
            (a_condition(State.SUSPENDED), HTTPS),
        )
    ]
    got = [each for each in found(replace(WELL, conditions=used)) if each.rule is Rule.CLIENT_CERTIFICATE]
    if count is None:
        assert got == []
        return
    (one,) = got
    assert one.subject.startswith("client_certificate:nrc (")
    assert (one.count, one.concern.count, one.after) == (count, 2, 0)


def test_what_a_part_does_not_tell_is_unknown_and_not_over() -> None:
    assert unknown(WELL) == frozenset()
    assert Code.WAITS_LONG in unknown(replace(WELL, ledger=None))
    assert Code.NO_KEEPER in unknown(replace(WELL, ledger=None))
    assert Code.HELD not in unknown(replace(WELL, ledger=None)), "the registry tells"
    assert Code.ROUTER_AWAY in unknown(with_part("broker", Health.NOT_REACHABLE, "refused"))
    assert Code.GATEWAY_WARNS in unknown(with_part("gateway", Health.NOT_REACHABLE, "refused"))
    assert Code.DISK in unknown(replace(WELL, disk=None))


def test_the_subject_does_not_change_with_what_is_said() -> None:
    first, second = (Concern(Code.ROUTER_AWAY, said=said) for said in ("none", "no answer within 5 s"))
    assert subject_of(first) == subject_of(second)
