"""What RabbitMQ routes and the deliverer's check accepts equals the predicate, for any input.

Bindings may be wider than the predicate, never narrower. Two gateways publish, one of which has an old copy
of the kanaal; names and values include those with a meaning in AMQP, headers or patterns.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router import names
from router.matching.filters import matches
from router.publishing import Publisher
from router.routing import route
from runtime.lifecycle import Tasks
from schemas.abonnement import Abonnement, FilterGroup
from schemas.fields import normalise
from schemas.kanaal import Kanaal, slots_for
from schemas.notificatie import Notificatie
from tests.broker import Broker
from tests.integration.conftest import Running, running_router
from tests.make import a_kanaal, an_abonnement

EXAMPLES = int(os.environ.get("NRC_TEST_EXAMPLES", "40"))
NUMBERS = count()

NAMES = [
    "a", "b", "zaaktype.catalogus", "object_type", "x-match", "CC", "BCC", "x-death", "kanaal", "k.a", "#",
    "é", "🙂", "n" * 100, "🙂" * 100, "with space", *(f"slot_{number}" for number in range(12)),
]  # fmt: skip
VALUES = [
    "", "1", "2", "*", "#", "a.b", "*.#", "-", "~x", "é", "🙂" * 40, "v" * 127, "v" * 128, "v" * 129,
    "w" * 1000,
    "true", "12", "1.10", "None", " ",
    "http://x/y?z=1#2",
]  # fmt: skip

ATTRIBUTE_NAMES = ["#actie", "#Resource", "#hoofdObject"]

names_of = st.sampled_from(NAMES)
values_of = st.sampled_from(VALUES)


def pairs_on(filters: list[str], values: list[str]) -> st.SearchStrategy[dict[str, str]]:
    """Names and values that the standard's check lets through, and few enough to meet each other often."""
    extra = [name for name in NAMES if name not in filters][:2]
    some = st.lists(st.sampled_from(filters), unique_by=normalise, max_size=3) if filters else st.just([])
    chosen = st.one_of(some, st.just(filters), st.just([*filters, *extra]))
    return chosen.flatmap(lambda names: st.fixed_dictionaries(dict.fromkeys(names, st.sampled_from(values))))


@dataclass(frozen=True)
class Example:
    kanaal: Kanaal
    old: Kanaal
    abonnementen: list[Abonnement]
    messages: list[Notificatie]


@st.composite
def examples(draw: st.DrawFn) -> Example:
    number = next(NUMBERS)
    naam = draw(st.sampled_from(["zaken", "met spatie", "a.b", "é🙂", "#", "x" * 30])) + f"-{number}"
    filters = draw(st.lists(names_of, unique_by=normalise, max_size=18))
    values = draw(st.lists(values_of, min_size=2, max_size=3, unique=True))
    pairs = pairs_on(filters, values)
    kanaal = a_kanaal(naam, *filters)
    known = draw(st.integers(0, len(filters)))
    old = replace(kanaal, filters=tuple(filters[:known]), slots=slots_for(filters[:known]))
    words = st.sampled_from(["zaak", "some_resource", "a.b", "*", "é" * 100, "create"])
    about = st.dictionaries(st.sampled_from(ATTRIBUTE_NAMES), words, max_size=3)
    asked = pairs | st.tuples(pairs, about).map(lambda both: both[0] | both[1])
    groups = st.lists(st.tuples(st.just(naam), asked), min_size=1, max_size=2)
    abonnementen = draw(st.lists(groups.map(lambda some: an_abonnement(*some)), min_size=1, max_size=4))
    message = st.builds(
        Notificatie,
        kanaal=st.just(naam),
        resource=words,
        actie=words,
        hoofd_object=words,
        kenmerken=pairs,
        body=st.just(b"{}"),
    )
    messages = draw(st.lists(message, min_size=1, max_size=6))
    return Example(kanaal, old, abonnementen, messages)


@pytest.fixture(scope="module")
async def shared(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    vhost = await broker.fresh_vhost()
    async with running_router(vhost, Path(tmp_path_factory.mktemp("property"))) as started:
        yield started
    await broker.remove_vhost(vhost)


@pytest.fixture(scope="module")
async def gateways(shared: Running) -> AsyncIterator[tuple[Publisher, Publisher]]:
    fresh, stale = (
        Publisher(shared.settings.amqp_url, name=name, mandatory=False) for name in ("fresh", "stale")
    )
    async with Tasks() as tasks:
        for publisher in (fresh, stale):
            tasks.start("publisher", publisher.run())
            await publisher.wait_ready(10)
        yield fresh, stale


async def arrived(shared: Running, abonnement: Abonnement) -> list[str]:
    """The ids in a queue, all of them: what was published is confirmed, so it is there."""
    taken = await shared.taken(names.abonnement_queue(abonnement.uuid))
    return [message.message_id or "" for message in taken]


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(example=examples())
async def test_what_arrives_equals_the_predicate(
    shared: Running, gateways: tuple[Publisher, Publisher], example: Example
) -> None:
    # The same example runs again while it shrinks: a kanaal of its own each time.
    naam = f"{next(NUMBERS)}-{example.kanaal.naam}"[:50]
    kanaal = await shared.registry.add_kanaal(replace(example.kanaal, naam=naam, uuid=a_kanaal("").uuid))
    await shared.client.apply_kanaal(naam)
    abonnementen = []
    for abonnement in example.abonnementen:
        fresh = replace(
            abonnement,
            uuid=an_abonnement().uuid,
            kanalen=tuple(FilterGroup(naam, group.filters) for group in abonnement.kanalen),
        )
        abonnementen.append(await shared.registry.add_abonnement(fresh))
        await shared.client.apply_abonnement(fresh.uuid)
    sent: dict[str, Notificatie] = {}
    asked = {normalise(name) for each in abonnementen for group in each.kanalen for name, _ in group.filters}
    filtered: tuple[set[str], ...] = (asked, set())  # the stale one knows of no abonnement
    for index, message in enumerate(example.messages):
        copies = (kanaal, replace(example.old, naam=naam))
        for publisher, copy, names_ in zip(gateways, copies, filtered, strict=True):
            ident = f"{index}-{publisher.link._name}"
            sent[ident] = message
            at = datetime.now(UTC)
            await publisher.publish(route(copy, message, message_id=ident, accepted_at=at, filtered=names_))

    def is_for(abonnement: Abonnement, message: Notificatie) -> bool:
        return matches(abonnement, naam, {**message.kenmerken, **message.attributes})

    for abonnement in abonnementen:
        wanted = {ident for ident, message in sent.items() if is_for(abonnement, message)}
        got = await arrived(shared, abonnement)
        assert len(got) == len(set(got)), "one copy per queue"
        assert wanted <= set(got), "a binding is narrower than the predicate"
        passed = {ident for ident in got if is_for(abonnement, sent[ident])}
        assert passed == wanted
        await shared.registry.remove_abonnement(abonnement.uuid)
        await shared.client.apply_abonnement(abonnement.uuid)
