"""What any registry store must do with alerts (store/alerts.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.alert import DEFAULTS, AlertSettings, Channel, Mail, Rule, RuleSetting, Security, Webhook
from schemas.errors import AlertsLeaseLost
from store.alerts import Alert, Alerts, Certificate, Sending, Waiting
from store.registry import Registry
from tests.contract.stores.opened import registry_in

WEBHOOK = Webhook("https://chat.example.nl/nrc?kamer=1", "Bearer van de webhook")
MAIL = Mail(
    *("mail.example.nl", 587, Security.STARTTLS, "nrc@example.nl", ("dienst@example.nl", "b@example.nl")),
    user="nrc",
    secret="wachtwoord van de mail",
)
ALERT = Alert(
    *("held:1", Rule.HELD, "held", 10.5),
    told=True,
    told_at=11.5,
    count=3,
    notice={"text": "Café is dicht", "aantal": 3},
)


@pytest.fixture
def alerts(registry: Registry) -> Alerts:
    return registry.alerts


def a_message(subject: str, at: float, channel: Channel = Channel.MAIL) -> Waiting:
    return Waiting(channel, subject, at, {"text": f"{subject} {at}"})


async def test_the_source_is_made_once_and_the_rest_are_defaults(address: str) -> None:
    async with registry_in(address) as registry:
        first = await registry.alerts.settings()
        assert first == AlertSettings(source=first.source)
        assert first.source.startswith("urn:uuid:")
        assert await registry.change_number() == 0, "not a change of the registry"
    async with registry_in(address) as registry:
        assert await registry.alerts.settings() == first


async def test_settings_are_kept_as_given_also_after_opening_again(address: str) -> None:
    rules = {**DEFAULTS, Rule.HELD: RuleSetting(False, 60)}
    whole = AlertSettings("urn:nld:oin:1", rules, WEBHOOK, MAIL, pause=60, again=0)
    async with registry_in(address) as registry:
        assert await registry.alerts.change_settings(lambda _: whole) == whole
    async with registry_in(address) as registry:
        assert await registry.alerts.settings() == whole
        changed = await registry.alerts.change_settings(lambda now: replace(now, mail=None, again=7))
        assert await registry.alerts.settings() == changed == replace(whole, mail=None, again=7)


async def test_nothing_is_changed_when_the_change_raises(alerts: Alerts) -> None:
    before = await alerts.change_settings(lambda now: replace(now, webhook=WEBHOOK))

    def refuse(_: AlertSettings) -> AlertSettings:
        raise ValueError

    with pytest.raises(ValueError):
        await alerts.change_settings(refuse)
    assert await alerts.settings() == before


async def test_secrets_are_not_readable_in_the_store_and_are_encrypted_again(
    address: str, registry: Registry
) -> None:
    await registry.alerts.change_settings(lambda now: replace(now, webhook=WEBHOOK, mail=MAIL))
    assert sum((await registry.check_secrets()).in_use.values()) == 2
    assert await registry.rotate_secrets(progress=lambda done, all_: None) == 2
    settings = await registry.alerts.settings()
    assert (settings.webhook, settings.mail) == (WEBHOOK, MAIL)
    files = [] if "://" in address else [*Path(address).parent.glob("registry.db*")]
    for file in files:
        for secret in (WEBHOOK.secret, MAIL.secret):
            assert secret.encode() not in file.read_bytes()


async def test_one_holder_has_the_lease_until_it_runs_out_or_is_given_up(alerts: Alerts) -> None:
    assert await alerts.lease() is None
    assert await alerts.take_lease("a", seconds=60)
    assert await alerts.take_lease("a", seconds=60), "renewed"
    assert not await alerts.take_lease("b", seconds=60)
    lease = await alerts.lease()
    assert lease is not None
    assert lease.holder == "a"
    await alerts.release_lease("b")
    assert not await alerts.take_lease("b", seconds=60), "another's is not given up"
    await alerts.release_lease("a")
    assert await alerts.lease() is None
    assert await alerts.take_lease("b", seconds=-1)
    assert await alerts.lease() is None, "it ran out"
    assert await alerts.take_lease("a", seconds=60)


async def test_of_many_that_take_the_lease_at_once_one_gets_it(address: str) -> None:
    async with registry_in(address) as one, registry_in(address) as other:
        taken = await asyncio.gather(
            *(
                registry.alerts.take_lease(f"{name} {number}", seconds=60)
                for number in range(10)
                for name, registry in (("one", one), ("other", other))
            )
        )
    assert sum(taken) == 1


@pytest.mark.parametrize(
    "act",
    [
        lambda alerts: alerts.note("b", put=[ALERT], gone=["held:1"], messages=[a_message("held:1", 2.0)]),
        lambda alerts: alerts.sent("b", [a_message("x", 1.0)], at=5.0),
        lambda alerts: alerts.failed("b", Channel.MAIL, error="no", at=1.0, next_try=2.0),
        lambda alerts: alerts.drop("b", Channel.MAIL, before=9.0),
    ],
)
async def test_who_lost_the_lease_changes_nothing(
    act: Callable[[Alerts], Awaitable[object]], alerts: Alerts
) -> None:
    with pytest.raises(AlertsLeaseLost):
        await act(alerts)
    assert await alerts.take_lease("a", seconds=60)
    await alerts.note("a", put=[], gone=[], messages=[a_message("x", 1.0)])
    with pytest.raises(AlertsLeaseLost):
        await act(alerts)
    assert await alerts.every() == ()
    assert await alerts.waiting(Channel.MAIL) == (a_message("x", 1.0),)
    assert (await alerts.sending())[Channel.MAIL] == Sending(waiting=1)


async def test_alerts_are_kept_changed_and_forgotten_also_after_opening_again(address: str) -> None:
    other = Alert("gap:3", Rule.GAP, "gap", 9.0)
    async with registry_in(address) as registry:
        await registry.alerts.take_lease("a", seconds=60)
        await registry.alerts.note("a", put=[ALERT, other], gone=[], messages=[])
    async with registry_in(address) as registry:
        assert await registry.alerts.every() == (other, ALERT)
        over = replace(ALERT, over=20.5, told=False)
        await registry.alerts.note("a", put=[over], gone=["gap:3", "unknown"], messages=[])
        assert await registry.alerts.every() == (over,)


async def test_a_newer_message_of_a_subject_takes_the_place_of_the_one_that_waits(alerts: Alerts) -> None:
    await alerts.take_lease("a", seconds=60)
    began, over = a_message("held:1", 1.0), a_message("held:1", 2.0)
    other, webhook = a_message("gap:3", 1.5), a_message("held:1", 1.0, Channel.WEBHOOK)
    await alerts.note("a", put=[], gone=[], messages=[began, other, webhook])
    assert await alerts.waiting(Channel.MAIL) == (began, other)
    await alerts.note("a", put=[], gone=[], messages=[over])
    assert await alerts.waiting(Channel.MAIL) == (other, over)
    assert await alerts.waiting(Channel.WEBHOOK) == (webhook,)

    # What was on its way meanwhile does not take the newer one away.
    await alerts.sent("a", [began, other], at=3.0)
    assert await alerts.waiting(Channel.MAIL) == (over,)
    assert await alerts.drop("a", Channel.MAIL, before=2.0) == 0
    assert await alerts.drop("a", Channel.MAIL, before=2.5) == 1
    assert await alerts.waiting(Channel.MAIL) == ()
    assert await alerts.waiting(Channel.WEBHOOK) == (webhook,)


async def test_how_sending_goes(alerts: Alerts) -> None:
    await alerts.take_lease("a", seconds=60)
    assert await alerts.sending() == dict.fromkeys(Channel, Sending())
    await alerts.note("a", put=[], gone=[], messages=[a_message("x", 1.0)])
    await alerts.failed("a", Channel.MAIL, error="first", at=2.0, next_try=3.0)
    await alerts.failed("a", Channel.MAIL, error="second", at=4.0, next_try=8.0)
    assert (await alerts.sending())[Channel.MAIL] == Sending(2.0, 2, "second", 8.0, None, 1)
    assert (await alerts.sending())[Channel.WEBHOOK] == Sending()
    await alerts.sent("a", [a_message("x", 1.0)], at=9.0)
    assert (await alerts.sending())[Channel.MAIL] == Sending(last_sent=9.0)
    await alerts.failed("a", Channel.MAIL, error="third", at=10.0, next_try=11.0)
    assert (await alerts.sending())[Channel.MAIL] == Sending(10.0, 1, "third", 11.0, 9.0)


async def test_certificates_are_kept_for_as_long_as_they_are_asked_for(alerts: Alerts) -> None:
    one = Certificate("a.example.nl", 443, 1.0, 100.5)
    other = Certificate("b.example.nl", 8443, 1.0, None, "refused")
    keep = frozenset({("a.example.nl", 443), ("b.example.nl", 8443)})
    await alerts.note_certificates([other, one], keep=keep)
    assert await alerts.certificates() == (one, other)
    renewed = replace(one, looked=2.0, ends=200.0)
    await alerts.note_certificates([renewed], keep=keep)
    assert await alerts.certificates() == (renewed, other)
    await alerts.note_certificates([], keep=frozenset({("b.example.nl", 8443)}))
    assert await alerts.certificates() == (other,)
