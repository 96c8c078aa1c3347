"""What any registry store must do (store/registry.py)."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID, uuid4

import pytest

from schemas.abonnement import GIVEN, Abonnement, FilterGroup, Hold, State
from schemas.application import Application, Scope
from schemas.callback_auth import CallbackAuth
from schemas.delivery_options import DeliveryOptions
from schemas.errors import Conflict, QuotaReached, RegistryError, UsageError
from schemas.events.event import TYPE
from schemas.events.mapping import EventMapping
from schemas.fields import EVENTS
from schemas.kanaal import NEW_SLOTS, Kanaal
from store.registry import (
    AcAnswer,
    Act,
    ActSearch,
    ChangedBy,
    Changes,
    Declared,
    DeclaredKind,
    KanalenVersion,
    LastFailure,
    NotedLedger,
    Registry,
)
from store.secret_uses import SecretUse, SecretUses, UsedSecret
from tests.contract.stores.opened import registry_in
from tests.tls.certificates import Authority

WORKER = Path(__file__).with_name("registry_worker.py")


def a_kanaal(naam: str = "zaken", *, filters: tuple[str, ...] = ("bronorganisatie",)) -> Kanaal:
    return Kanaal(uuid4(), naam, "https://example.com/kanaal", filters, ())


def an_abonnement(*namen: str, client_id: str = "zac") -> Abonnement:
    groups = tuple(FilterGroup(naam, (("bronorganisatie", "051845623"),)) for naam in namen)
    return Abonnement(uuid4(), "http://consumer:8000/callback", "Bearer x", groups, client_id)


class Copy:
    """What a process keeps of the registry, made only from `changes_since`."""

    def __init__(self) -> None:
        self.number = 0
        self.kanalen: dict[UUID, Kanaal] = {}
        self.abonnementen: dict[UUID, Abonnement] = {}
        self.applications: dict[str, Application] = {}

    def apply(self, changes: Changes) -> None:
        if changes.whole:
            self.__init__()  # type: ignore[misc]
        self.number = changes.number
        self.kanalen |= {kanaal.uuid: kanaal for kanaal in changes.kanalen}
        self.abonnementen |= {abonnement.uuid: abonnement for abonnement in changes.abonnementen}
        self.applications |= {application.client_id: application for application in changes.applications}
        for uuid in changes.gone_kanalen:
            self.kanalen.pop(uuid, None)
        for uuid in changes.gone_abonnementen:
            self.abonnementen.pop(uuid, None)
        for client_id in changes.gone_applications:
            self.applications.pop(client_id, None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Copy) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


async def whole(registry: Registry) -> Changes:
    return await registry.changes_since(0)


async def test_a_fresh_registry_is_empty(registry: Registry) -> None:
    assert await registry.change_number() == 0
    assert await whole(registry) == Changes(number=0, whole=True)
    assert await registry.declared() == ()


async def test_what_was_kept_is_there_after_opening_again(address: str) -> None:
    async with registry_in(address) as registry:
        kanaal = await registry.add_kanaal(a_kanaal())
        abonnement = await registry.add_abonnement(an_abonnement("zaken"))
        application = await registry.add_application(
            Application("zac", "geheim", "ZAC", frozenset(Scope), True, "oud", 1e9)
        )
        await registry.note_declared([Declared(DeclaredKind.QUEUE, "q")])
    async with registry_in(address) as registry:
        assert await whole(registry) == Changes(3, (kanaal,), (abonnement,), (application,), whole=True)
        assert await registry.declared() == (Declared(DeclaredKind.QUEUE, "q"),)


async def test_a_registry_that_is_not_open_says_so(address: str) -> None:
    registry = registry_in(address)
    with pytest.raises(RegistryError, match="not open"):
        await registry.change_number()
    async with registry:
        await registry.add_kanaal(a_kanaal())
    with pytest.raises(RegistryError, match="not open"):
        await registry.add_kanaal(a_kanaal("documenten"))


# Kanalen


async def test_add_kanaal_gives_it_a_change_number_and_slots(registry: Registry) -> None:
    kanaal = a_kanaal(filters=("object_type", "objectType", "bronorganisatie"))
    added = await registry.add_kanaal(kanaal)
    assert added == replace(kanaal, slots=("objecttype", "bronorganisatie"), change=1)
    assert (await whole(registry)).kanalen == (added,)
    assert await registry.change_number() == 1


async def test_a_quota_holds_for_several_who_add_at_once(address: str) -> None:
    async with registry_in(address) as one, registry_in(address) as other:
        kanalen = [replace(a_kanaal(f"zaken-{number}"), client_id="zac") for number in range(8)]
        adding = [(one, other)[at % 2].add_kanaal(kanaal, quota=3) for at, kanaal in enumerate(kanalen)]
        added = await asyncio.gather(*adding, return_exceptions=True)
        assert sum(isinstance(each, Kanaal) for each in added) == 3
        assert sum(isinstance(each, QuotaReached) and each.most == 3 for each in added) == 5
        assert {kanaal.client_id for kanaal in (await whole(one)).kanalen} == {"zac"}
        await one.add_kanaal(replace(a_kanaal("ander"), client_id="ander"), quota=3)
        await one.add_kanaal(replace(a_kanaal("ruimer"), client_id="zac"), quota=4)

        abonnementen = [an_abonnement("ander") for _ in range(8)]
        taking = [(one, other)[at % 2].add_abonnement(each, quota=2) for at, each in enumerate(abonnementen)]
        taken = await asyncio.gather(*taking, return_exceptions=True)
        assert sum(isinstance(each, Abonnement) for each in taken) == 2
        assert sum(isinstance(each, QuotaReached) for each in taken) == 6
        await one.add_abonnement(an_abonnement("ander", client_id="ander"), quota=2)
        kept = next(each for each in taken if isinstance(each, Abonnement))
        await one.remove_abonnement(kept.uuid)
        await other.add_abonnement(an_abonnement("ander"), quota=2)


async def test_changes_of_a_kanaal_keep_who_made_it(registry: Registry) -> None:
    kanaal = await registry.add_kanaal(replace(a_kanaal(), client_id="zac"))
    changed = await registry.update_kanaal(kanaal.uuid, documentatie_link="", filters=("b",))
    assert changed.client_id == "zac"


@pytest.mark.parametrize("naam", ["a b.c#*", "é🦉" * 25, "it's; DROP TABLE kanaal--", '"[]{}\\%_', "~", "-"])
async def test_any_naam_is_kept_as_it_is(registry: Registry, naam: str) -> None:
    added = await registry.add_kanaal(a_kanaal(naam, filters=(naam,)))
    await registry.add_abonnement(an_abonnement(naam))
    assert (await whole(registry)).kanalen == (added,)
    assert not await registry.remove_kanaal(added.uuid)


async def test_a_naam_is_unique_and_case_sensitive(registry: Registry) -> None:
    await registry.add_kanaal(a_kanaal("zaken"))
    with pytest.raises(Conflict):
        await registry.add_kanaal(a_kanaal("zaken"))
    assert await registry.change_number() == 1
    await registry.add_kanaal(a_kanaal("Zaken"))
    assert len((await whole(registry)).kanalen) == 2


async def test_update_kanaal_changes_what_is_given(registry: Registry) -> None:
    first = await registry.add_kanaal(a_kanaal(filters=("a",)))
    linked = await registry.update_kanaal(first.uuid, documentatie_link="", filters=None)
    assert linked == replace(first, documentatie_link="", change=2)
    filtered = await registry.update_kanaal(first.uuid, documentatie_link=None, filters=("B_b", "c"))
    assert filtered == replace(linked, filters=("B_b", "c"), slots=("a", "bb", "c"), change=3)
    assert (await whole(registry)).kanalen == (filtered,)


async def test_slots_only_grow_and_stop_at_their_number(registry: Registry) -> None:
    kanaal = await registry.add_kanaal(a_kanaal(filters=("z", "y")))
    for filters in (("a",), (), tuple(f"f{n}" for n in range(100))):
        updated = await registry.update_kanaal(kanaal.uuid, documentatie_link=None, filters=filters)
        assert updated.filters == filters
        assert updated.slots[: len(kanaal.slots)] == kanaal.slots
        kanaal = updated
    assert kanaal.slots == ("z", "y", "a", *(f"f{n}" for n in range(NEW_SLOTS - 3)))


async def test_update_of_a_kanaal_that_is_gone(registry: Registry) -> None:
    with pytest.raises(Conflict):
        await registry.update_kanaal(uuid4(), documentatie_link="", filters=())
    assert await registry.change_number() == 0


async def test_a_kanaal_goes_when_no_abonnement_refers_to_it(registry: Registry) -> None:
    zaken = await registry.add_kanaal(a_kanaal("zaken"))
    zaak = await registry.add_kanaal(a_kanaal("zaak"))
    abonnement = await registry.add_abonnement(an_abonnement("zaken"))
    number = await registry.change_number()
    assert not await registry.remove_kanaal(zaken.uuid)
    assert await registry.change_number() == number
    assert await registry.remove_kanaal(zaak.uuid)
    assert not await registry.remove_kanaal(zaak.uuid)
    assert await registry.remove_abonnement(abonnement.uuid)
    assert await registry.remove_kanaal(zaken.uuid)
    changes = await registry.changes_since(number)
    assert changes.gone_kanalen == {zaken.uuid, zaak.uuid}
    assert changes.number == number + 3
    await registry.add_kanaal(a_kanaal("zaken"))


# Abonnementen


async def test_an_abonnement_is_kept_whole(registry: Registry) -> None:
    for naam in ("zaken", "besluiten"):
        await registry.add_kanaal(a_kanaal(naam))
    groups = (
        FilterGroup("zaken", (("b", "*"), ("a", ""), ("zaaktype.catalogus", "x" * 1000))),
        FilterGroup("besluiten"),
        FilterGroup("zaken", (("🦉", "é\n'\"\\"),)),
    )
    abonnement = replace(an_abonnement(), kanalen=groups, auth="Bearer é" * 1000, state_reason="x")
    made = Authority.new().issue("nrc")
    asked = CallbackAuth.model_validate(
        {
            "header": {"name": "X-Key", "value": "never-on-disk-key"},
            "clientCertificate": {"certificate": made.pem, "key": made.key_pem},
            "ca": made.pem,
        }
    )
    options = DeliveryOptions.model_validate({"rate": 0.5, "concurrency": 2})
    abonnement = replace(abonnement, callback_auth=asked, options=options)
    added = await registry.add_abonnement(abonnement)
    assert added == replace(abonnement, change=3, kanalen_change=3)
    assert (await whole(registry)).abonnementen == (added,)
    empty = await registry.add_abonnement(an_abonnement())
    assert (await registry.changes_since(3)).abonnementen == (empty,)


async def test_an_abonnement_on_an_unknown_kanaal_is_refused(registry: Registry) -> None:
    await registry.add_kanaal(a_kanaal("zaken"))
    with pytest.raises(Conflict, match="onbekend"):
        await registry.add_abonnement(an_abonnement("zaken", "onbekend"))
    added = await registry.add_abonnement(an_abonnement("zaken"))
    with pytest.raises(Conflict, match="onbekend"):
        await registry.change_abonnement(
            added.uuid,
            lambda latest: replace(latest, kanalen=(FilterGroup("onbekend"),), callback_url="http://x/"),
        )
    assert (await whole(registry)).abonnementen == (added,)
    assert await registry.change_number() == 2


async def test_the_same_abonnement_twice_is_a_conflict(registry: Registry) -> None:
    added = await registry.add_abonnement(an_abonnement())
    with pytest.raises(Conflict):
        await registry.add_abonnement(added)
    assert await registry.change_number() == 1


async def test_a_changed_abonnement_keeps_its_owner(registry: Registry) -> None:
    await registry.add_kanaal(a_kanaal("zaken"))
    added = await registry.add_abonnement(an_abonnement())
    await registry.set_state(added.uuid, State.SUSPENDED, "410 from callback")
    new = replace(an_abonnement("zaken", client_id="thief"), auth="Bearer y")
    kept = await registry.change_abonnement(added.uuid, lambda _: new)
    assert kept == replace(
        new, uuid=added.uuid, client_id="zac", state=State.ACTIVE, state_reason="", change=4, kanalen_change=4
    )
    assert (await whole(registry)).abonnementen == (kept,)
    with pytest.raises(Conflict):
        await registry.change_abonnement(uuid4(), lambda _: new)


async def test_changes_at_once_of_an_abonnement_all_count(address: str, registry: Registry) -> None:
    """Two that have the registry open read the same copy of it, and each changes something else."""
    zaken = FilterGroup("zaken")
    hold = Hold(1.0, 0, 6.0)
    async with registry_in(address) as other:
        await registry.add_kanaal(a_kanaal("zaken"))
        for _ in range(10):
            added = await registry.add_abonnement(an_abonnement())
            uuid, url = added.uuid, added.callback_url
            await asyncio.gather(
                registry.change_abonnement(uuid, lambda latest: replace(latest, kanalen=(zaken,))),
                other.change_abonnement(uuid, lambda latest: replace(latest, auth="Bearer y")),
                registry.set_hold(uuid, hold, "timeout", before=None, callback_url=url),
            )
            (changed,) = (await registry.changes_since(added.change)).abonnementen
            assert changed == replace(
                added, auth="Bearer y", kanalen=(zaken,), state=State.HELD, state_reason="timeout",
                hold=hold, change=added.change + 3, kanalen_change=changed.kanalen_change,
            )  # fmt: skip
            assert added.change < changed.kanalen_change <= changed.change


async def test_a_change_that_raises_writes_nothing(registry: Registry) -> None:
    abonnement = await registry.add_abonnement(an_abonnement())
    application = await registry.add_application(Application("zac", "geheim"))

    def refuse(_: object) -> NoReturn:
        raise UsageError("not this one")

    with pytest.raises(UsageError):
        await registry.change_abonnement(abonnement.uuid, refuse)
    with pytest.raises(UsageError):
        await registry.change_application("zac", refuse)
    assert await whole(registry) == Changes(2, (), (abonnement,), (application,), whole=True)


async def test_set_state(registry: Registry) -> None:
    added = await registry.add_abonnement(an_abonnement())
    suspended = await registry.set_state(added.uuid, State.SUSPENDED, "410", callback_url=added.callback_url)
    assert suspended == replace(added, state=State.SUSPENDED, state_reason="410", change=2)
    assert await registry.set_state(added.uuid, State.SUSPENDED, "410") == suspended
    assert await registry.change_number() == 2
    assert await registry.set_state(added.uuid, State.ACTIVE, "", callback_url="http://old/") is None
    assert await registry.set_state(uuid4(), State.ACTIVE, "") is None
    assert (await whole(registry)).abonnementen == (suspended,)
    other_reason = await registry.set_state(added.uuid, State.SUSPENDED, "operator")
    assert other_reason == replace(added, state=State.SUSPENDED, state_reason="operator", change=3)


async def test_a_hold_is_made_moved_and_ended_by_one_of_all(registry: Registry) -> None:
    added = await registry.add_abonnement(an_abonnement())
    uuid, url = added.uuid, added.callback_url
    first, second = Hold(1.1, 0, 6.1), Hold(1.1, 1, 16.1)

    held = await registry.set_hold(uuid, first, "timeout", before=None, callback_url=url)
    assert held == replace(added, state=State.HELD, state_reason="timeout", hold=first, change=2)
    assert (await whole(registry)).abonnementen == (held,)
    assert await registry.set_hold(uuid, second, "x", before=None, callback_url=url) is None

    outcomes = [registry.set_hold(uuid, second, str(n), before=first, callback_url=url) for n in range(5)]
    done = [outcome for outcome in await asyncio.gather(*outcomes) if outcome is not None]
    assert len(done) == 1
    assert done[0].hold == second
    assert await registry.change_number() == 3

    assert await registry.set_hold(uuid, None, "", before=first, callback_url=url) is None
    assert await registry.set_hold(uuid, None, "", before=second, callback_url="http://old/") is None
    assert await registry.set_hold(uuid4(), None, "", before=second, callback_url=url) is None
    released = await registry.set_hold(uuid, None, "", before=second, callback_url=url)
    assert released == replace(added, change=4)


async def test_suspending_and_resuming_end_a_hold(registry: Registry) -> None:
    added = await registry.add_abonnement(an_abonnement())
    hold = Hold(1.0, 0, 6.0)
    for state in (State.ACTIVE, State.SUSPENDED):
        assert await registry.set_hold(
            added.uuid, hold, "timeout", before=None, callback_url=added.callback_url
        )
        ended = await registry.set_state(added.uuid, state, "")
        assert ended is not None
        assert (ended.state, ended.hold) == (state, None)
    # Suspended is stronger: what an old copy takes for active can't be held.
    assert not await registry.set_hold(added.uuid, hold, "", before=None, callback_url=added.callback_url)


async def test_the_last_failures_are_no_change_and_go_with_their_abonnement(registry: Registry) -> None:
    first = await registry.add_abonnement(an_abonnement())
    second = await registry.add_abonnement(an_abonnement())
    await registry.note_failures(
        {first.uuid: LastFailure(1.5, "timeout"), second.uuid: LastFailure(2.0, "é")}
    )
    await registry.note_failures({first.uuid: LastFailure(3.0, "http_status")})
    await registry.note_failures({})
    assert await registry.last_failures() == {
        first.uuid: LastFailure(3.0, "http_status"),
        second.uuid: LastFailure(2.0, "é"),
    }
    assert await registry.change_number() == 2
    await registry.remove_abonnement(second.uuid)
    await registry.note_failures({first.uuid: LastFailure(4.0, "dns_error")})
    assert await registry.last_failures() == {first.uuid: LastFailure(4.0, "dns_error")}


async def test_remove_abonnement(registry: Registry) -> None:
    added = await registry.add_abonnement(an_abonnement())
    assert await registry.remove_abonnement(added.uuid)
    assert not await registry.remove_abonnement(added.uuid)
    assert await registry.changes_since(1) == Changes(2, gone_abonnementen=frozenset({added.uuid}))


# Versions of kanalen


async def test_only_a_change_of_what_it_wants_moves_kanalen_change(registry: Registry) -> None:
    await registry.add_application(Application("zac", "s"))
    await registry.add_application(Application("drc", "s"))
    await registry.add_kanaal(a_kanaal("zaken"))
    await registry.add_kanaal(a_kanaal("besluiten"))
    made = await registry.add_abonnement(replace(an_abonnement("zaken", "besluiten"), kanalen_change=99))
    uuid, url = made.uuid, made.callback_url
    assert made.kanalen_change == made.change

    async def now() -> Abonnement:
        (abonnement,) = (await whole(registry)).abonnementen
        return abonnement

    async def changed(**changes: Any) -> None:
        given = await registry.change_abonnement(uuid, lambda latest: replace(latest, **changes))
        assert given == await now()

    await changed(callback_url="http://consumer:8000/other", auth="Bearer y", kanalen_change=99)
    await changed(kanalen=made.kanalen[::-1])
    await changed(kanalen=made.kanalen * 2)
    await changed(callback_url=url)
    await registry.set_hold(uuid, Hold(1.0, 0, 2.0), "timeout", before=None, callback_url=url)
    await registry.set_state(uuid, State.SUSPENDED, "410")
    await registry.set_state(uuid, State.ACTIVE, "")
    await registry.remove_application("zac", give_to="drc")
    after = await now()
    assert after.change > made.change
    assert after.kanalen_change == made.change
    assert len(await registry.kanalen_versions(uuid)) == 1

    await changed(kanalen=made.kanalen[:1])
    after = await now()
    assert after.kanalen_change == after.change
    assert [each.change for each in await registry.kanalen_versions(uuid)] == [made.change, after.change]


async def test_versions_of_kanalen(registry: Registry) -> None:
    began = time.time()
    await registry.add_kanaal(a_kanaal("zaken"))
    made = await registry.add_abonnement(an_abonnement("zaken"))
    other = await registry.add_abonnement(an_abonnement("zaken"))
    (only,) = await registry.kanalen_versions(made.uuid)
    assert began <= only.valid_from <= time.time()
    assert only == KanalenVersion(
        made.uuid, made.kanalen, made.change, only.valid_from, None, made_at=only.valid_from, removed_at=None
    )

    open_ = FilterGroup("zaken", (("b", "é"), ("a", "*")))
    changed = await registry.change_abonnement(made.uuid, lambda each: replace(each, kanalen=(open_,)))
    first, second = await registry.kanalen_versions(made.uuid)
    assert first == replace(only, valid_until=second.valid_from)
    assert second == KanalenVersion(
        made.uuid, (open_,), changed.change, second.valid_from, None, made_at=only.made_at, removed_at=None
    )
    assert only.valid_from <= second.valid_from <= time.time()

    assert await registry.remove_abonnement(made.uuid)
    assert not await registry.remove_abonnement(made.uuid)
    *_, last = versions = await registry.kanalen_versions(made.uuid)
    assert versions == (first, replace(second, valid_until=last.valid_until, removed_at=last.removed_at))
    assert last.valid_until == last.removed_at
    assert last.removed_at is not None
    assert second.valid_from <= last.removed_at <= time.time()
    assert [each.valid_until for each in await registry.kanalen_versions(other.uuid)] == [None]
    assert await registry.kanalen_versions(uuid4()) == ()

    again = await registry.add_abonnement(made)
    *before, anew = await registry.kanalen_versions(made.uuid)
    assert tuple(before) == versions
    assert (anew.change, anew.valid_until, anew.made_at) == (again.change, None, anew.valid_from)


async def test_filters_on_events_have_versions_as_kanalen_have(registry: Registry) -> None:
    await registry.add_kanaal(a_kanaal("zaken"))
    made = await registry.add_abonnement(an_abonnement("zaken"))

    async def changed(options: dict[str, Any]) -> Abonnement:
        wanted = DeliveryOptions.model_validate(options)
        return await registry.change_abonnement(made.uuid, lambda each: replace(each, options=wanted))

    same = await changed({"rate": 2})
    assert same.kanalen_change == made.change
    groups = [{"typeSubstring": "zaak-", "filters": {"bron": "1"}}]
    with_events = await changed({"cloudevents": {"filters": groups}})
    assert with_events.kanalen_change == with_events.change
    assert (
        await changed({"rate": 3, "cloudevents": {"filters": groups}})
    ).kanalen_change == with_events.change
    first, second = await registry.kanalen_versions(made.uuid)
    assert (first.kanalen, second.kanalen) == (made.kanalen, with_events.routed)
    assert second.kanalen[-1] == FilterGroup(EVENTS, ((TYPE, "zaak-"), ("bron", "1")))
    assert second.change == with_events.change


async def test_versions_end_with_the_application(registry: Registry) -> None:
    await registry.add_application(Application("zac", "s"))
    made = [await registry.add_abonnement(an_abonnement()) for _ in range(3)]
    await registry.remove_application("zac", with_abonnementen=True)
    for each in made:
        (version,) = await registry.kanalen_versions(each.uuid)
        assert version.removed_at == version.valid_until is not None


async def test_states_that_an_abonnement_had(registry: Registry) -> None:
    await registry.add_kanaal(a_kanaal("zaken"))
    began = time.time()
    made = await registry.add_abonnement(an_abonnement("zaken"))
    uuid, url = made.uuid, made.callback_url

    async def told() -> list[tuple[State, str, ChangedBy]]:
        found = await registry.states(uuid)
        assert [each.valid_until for each in found[:-1]] == [each.valid_from for each in found[1:]]
        assert began <= found[0].valid_from <= found[-1].valid_from <= time.time()
        return [(each.state, each.reason, each.by) for each in found]

    expected = [(State.ACTIVE, "", ChangedBy.MADE)]
    assert await told() == expected
    hold, probed = Hold(1.0, 0, 2.0), Hold(1.0, 1, 3.0)
    await registry.set_hold(uuid, hold, "timeout: none", before=None, callback_url=url)
    await registry.set_hold(uuid, probed, "dns_error: none", before=hold, callback_url=url)
    await registry.set_hold(uuid, None, "", before=probed, callback_url=url)
    expected += [(State.HELD, "timeout: none", ChangedBy.CALLBACK), (State.ACTIVE, "", ChangedBy.CALLBACK)]
    assert await told() == expected, "a probe begins none"
    await registry.set_state(uuid, State.SUSPENDED, "410", callback_url=url)
    await registry.set_state(uuid, State.SUSPENDED, "410", callback_url="http://former/")
    await registry.change_abonnement(uuid, lambda each: replace(each, auth="other"))
    await registry.change_abonnement(uuid, lambda each: replace(each, state=State.ACTIVE, state_reason=""))
    await registry.set_state(uuid, State.SUSPENDED, "holidays")
    await registry.set_state(uuid, State.SUSPENDED, "holidays")
    await registry.set_state(uuid, State.ACTIVE, "")
    expected += [
        (State.SUSPENDED, "410", ChangedBy.CALLBACK),
        (State.ACTIVE, "", ChangedBy.OWNER),
        (State.SUSPENDED, "holidays", ChangedBy.OPERATOR),
        (State.ACTIVE, "", ChangedBy.OPERATOR),
    ]
    assert await told() == expected
    assert (await registry.states(uuid))[-1].valid_until is None
    await registry.remove_abonnement(uuid)
    assert await told() == expected
    (*_, version), (*_, last) = await registry.kanalen_versions(uuid), await registry.states(uuid)
    assert last.valid_until == version.removed_at is not None
    assert await registry.states(uuid4()) == ()


async def test_a_change_that_is_refused_begins_no_version(registry: Registry) -> None:
    made = await registry.add_abonnement(an_abonnement())
    unknown = (FilterGroup("onbekend"),)
    with pytest.raises(Conflict):
        await registry.change_abonnement(made.uuid, lambda each: replace(each, kanalen=unknown))
    with pytest.raises(Conflict):
        await registry.add_abonnement(made)
    (version,) = await registry.kanalen_versions(made.uuid)
    assert version.valid_until is None


# Applications


async def test_an_application_is_kept_and_changed(registry: Registry) -> None:
    added = await registry.add_application(
        Application("zac", "geheim", "ZAC é", frozenset({Scope.PUBLICEREN}))
    )
    assert added.change == 1
    with pytest.raises(Conflict):
        await registry.add_application(Application("zac", "other"))
    rotated = replace(added, secret="nieuw", old_secret="geheim", old_secret_until=1.5, scopes=frozenset())
    kept = await registry.change_application("zac", lambda _: rotated)
    assert kept == replace(rotated, change=2)
    assert (await whole(registry)).applications == (kept,)
    with pytest.raises(Conflict):
        await registry.change_application("other", lambda _: rotated)
    await registry.add_application(Application("ZAC", "case matters"))
    assert (await registry.change_application("ZAC", lambda _: rotated)).client_id == "ZAC"


async def test_the_last_use_of_a_secret_goes_with_it(registry: Registry) -> None:
    await registry.add_application(Application("zac", "first"))
    await registry.add_application(Application("drc", "first"))
    number = await registry.change_number()

    async def use(secret: str, at: float, client_id: str = "zac") -> SecretUse:
        made = SecretUse(at, "10.0.0.5", f"agent/{at}")
        await registry.note_secret_uses([UsedSecret(client_id, secret, made)])
        return made

    async def rotate(secret: str, old: str) -> None:
        await registry.change_application(
            "zac", lambda known: replace(known, secret=secret, old_secret=old, old_secret_until=9e9)
        )

    assert await registry.secret_uses() == {}
    await registry.note_secret_uses([])
    await use("guessed", 5.0)
    await use("first", 5.0, client_id="gone")
    assert await registry.secret_uses() == {}
    first = await use("first", 7.0)
    await use("first", 6.0)
    assert await registry.secret_uses() == {"zac": SecretUses(new=first)}
    assert await registry.change_number() == number, "no change"

    await rotate("second", "first")
    assert await registry.secret_uses() == {"zac": SecretUses(old=first)}
    again, second = await use("first", 9.0), await use("second", 8.0)
    other = await use("first", 9.5, client_id="drc")
    assert await registry.secret_uses() == {"zac": SecretUses(second, again), "drc": SecretUses(other)}
    await registry.change_application("zac", lambda known: replace(known, label="other"))
    assert (await registry.secret_uses())["zac"] == SecretUses(second, again)

    await rotate("second", "")
    assert (await registry.secret_uses())["zac"] == SecretUses(new=second)
    await use("", 10.0)
    assert (await registry.secret_uses())["zac"] == SecretUses(new=second), "it has no old one"
    await registry.remove_application("zac")
    await registry.add_application(Application("zac", "second"))
    assert await registry.secret_uses() == {"drc": SecretUses(other)}


async def test_changes_at_once_of_an_application_all_count(address: str, registry: Registry) -> None:
    added = await registry.add_application(Application("zac", "geheim"))
    async with registry_in(address) as other:
        await asyncio.gather(
            registry.change_application("zac", lambda latest: replace(latest, secret="nieuw")),
            *(
                opened.change_application(
                    "zac", lambda latest, scope=scope: replace(latest, scopes=latest.scopes | {scope})
                )
                for opened, scope in zip((registry, other), Scope, strict=True)
            ),
        )
    kept = replace(added, secret="nieuw", scopes=frozenset(Scope), change=4)
    assert (await whole(registry)).applications == (kept,)


async def test_changes_at_once_of_a_kanaal_all_count(address: str, registry: Registry) -> None:
    added = await registry.add_kanaal(a_kanaal(filters=("a",)))
    async with registry_in(address) as other:
        await asyncio.gather(
            registry.update_kanaal(added.uuid, documentatie_link="https://x/", filters=None),
            other.update_kanaal(added.uuid, documentatie_link=None, filters=("b",)),
        )
    kept = replace(added, documentatie_link="https://x/", filters=("b",), slots=("a", "b"), change=3)
    assert (await whole(registry)).kanalen == (kept,)


async def test_an_application_goes_with_its_abonnementen(registry: Registry) -> None:
    for client_id in ("zac", "drc"):
        await registry.add_application(Application(client_id, "s"))
    mine = [await registry.add_abonnement(an_abonnement()) for _ in range(2)]
    other = await registry.add_abonnement(an_abonnement(client_id="drc"))
    number = await registry.change_number()
    for options in ({}, {"give_to": "nobody"}, {"give_to": "zac"}):
        with pytest.raises(Conflict):
            await registry.remove_application("zac", **options)
    with pytest.raises(Conflict):
        await registry.remove_application("nobody", with_abonnementen=True)
    assert await registry.change_number() == number
    gone = await registry.remove_application("zac", with_abonnementen=True)
    assert set(gone) == {abonnement.uuid for abonnement in mine}
    changes = await registry.changes_since(number)
    assert changes.gone_abonnementen == set(gone)
    assert changes.gone_applications == {"zac"}
    assert (await whole(registry)).abonnementen == (other,)


async def test_an_application_gives_its_abonnementen_away(registry: Registry) -> None:
    for client_id in ("zac", "drc"):
        await registry.add_application(Application(client_id, "s"))
    mine = await registry.add_abonnement(an_abonnement())
    number = await registry.change_number()
    assert await registry.remove_application("zac", give_to="drc") == (mine.uuid,)
    changes = await registry.changes_since(number)
    assert changes.abonnementen == (replace(mine, client_id="drc", change=changes.number),)
    assert changes.gone_applications == {"zac"}
    assert await registry.remove_application("drc", with_abonnementen=True) == (mine.uuid,)


async def test_one_abonnement_is_given_to_another_application(registry: Registry) -> None:
    for client_id in ("zac", "drc"):
        await registry.add_application(Application(client_id, "s"))
    await registry.add_kanaal(a_kanaal("zaken"))
    mine = await registry.add_abonnement(an_abonnement("zaken"))
    other = await registry.add_abonnement(an_abonnement("zaken"))
    number = await registry.change_number()
    for uuid, to in ((mine.uuid, "nobody"), (uuid4(), "drc")):
        with pytest.raises(Conflict):
            await registry.give_abonnement(uuid, to=to)
    assert await registry.give_abonnement(mine.uuid, to="zac") == mine
    assert await registry.change_number() == number
    given = await registry.give_abonnement(mine.uuid, to="drc")
    assert given == replace(mine, client_id="drc", change=number + 1)
    assert (await registry.changes_since(number)).abonnementen == (given,)
    assert {*(await whole(registry)).abonnementen} == {given, other}
    assert len(await registry.kanalen_versions(mine.uuid)) == 1


async def test_what_a_callback_gets_stays_behind_unless_it_is_to_go_along(registry: Registry) -> None:
    for client_id in ("zac", "drc", "brc"):
        await registry.add_application(Application(client_id, "s"))
    await registry.add_kanaal(a_kanaal("zaken"))
    asks = CallbackAuth.model_validate({"header": {"name": "X-Key", "value": "v"}})
    mine = [
        await registry.add_abonnement(replace(an_abonnement("zaken"), callback_auth=asks)) for _ in range(2)
    ]
    fetched = await registry.add_abonnement(replace(an_abonnement("zaken"), callback_url="", auth=""))
    suspended = {
        "auth": "",
        "callback_auth": None,
        "state": State.SUSPENDED,
        "state_reason": GIVEN,
        "hold": None,
    }
    given = await registry.give_abonnement(mine[0].uuid, to="drc", keep_auth=False)
    assert given == replace(mine[0], client_id="drc", change=given.change, **suspended)
    assert [each.state for each in await registry.states(given.uuid)][-1:] == [State.SUSPENDED]
    kept = await registry.give_abonnement(mine[1].uuid, to="drc", keep_auth=True)
    assert kept == replace(mine[1], client_id="drc", change=kept.change)
    pulled = await registry.give_abonnement(fetched.uuid, to="drc", keep_auth=False)
    assert pulled == replace(fetched, client_id="drc", change=pulled.change)

    number = await registry.change_number()
    await registry.remove_application("drc", give_to="brc", keep_auth=False)
    changes = await registry.changes_since(number)
    found = {each.uuid: each for each in changes.abonnementen}
    assert found[kept.uuid] == replace(kept, client_id="brc", change=changes.number, **suspended)
    assert found[given.uuid] == replace(given, client_id="brc", change=changes.number)
    assert found[pulled.uuid] == replace(pulled, client_id="brc", change=changes.number)


async def test_an_application_without_abonnementen_just_goes_and_may_come_back(registry: Registry) -> None:
    await registry.add_application(Application("zac", "s"))
    assert await registry.remove_application("zac") == ()
    again = await registry.add_application(Application("zac", "t"))
    changes = await registry.changes_since(1)
    assert changes.applications == (again,)
    assert changes.gone_applications == frozenset()


# Changes


async def test_a_copy_from_a_number_that_was_never_reached_gets_the_whole(registry: Registry) -> None:
    kanaal = await registry.add_kanaal(a_kanaal())
    abonnement = await registry.add_abonnement(an_abonnement())
    await registry.remove_abonnement(abonnement.uuid)
    changes = await registry.changes_since(1000)
    assert changes == Changes(3, (kanaal,), gone_abonnementen=frozenset({abonnement.uuid}), whole=True)
    assert changes == await registry.changes_since(0)


async def test_nothing_changed(registry: Registry) -> None:
    await registry.add_kanaal(a_kanaal())
    assert await registry.changes_since(1) == Changes(1)


async def _do_something(registry: Registry, dice: random.Random, copy: Copy) -> None:
    """One random write; Conflicts are part of it."""
    uuid = dice.choice([*copy.abonnementen, uuid4()])
    kanaal = dice.choice([*copy.kanalen, uuid4()])
    client_id = dice.choice("abcd")
    naam = dice.choice("klmno")
    works = [
        lambda: registry.add_kanaal(a_kanaal(naam)),
        lambda: registry.update_kanaal(kanaal, documentatie_link=None, filters=(naam,)),
        lambda: registry.remove_kanaal(kanaal),
        lambda: registry.add_abonnement(an_abonnement(naam, client_id=client_id)),
        lambda: registry.add_abonnement(an_abonnement(client_id=client_id)),
        lambda: registry.change_abonnement(uuid, lambda _: an_abonnement(naam)),
        lambda: registry.set_state(uuid, dice.choice([State.ACTIVE, State.SUSPENDED]), naam),
        lambda: registry.set_hold(
            uuid, Hold(1.0, 0, 2.0), naam, before=None, callback_url="http://consumer:8000/callback"
        ),
        lambda: registry.remove_abonnement(uuid),
        lambda: registry.add_application(Application(client_id, "s")),
        lambda: registry.change_application(client_id, lambda _: Application(client_id, naam)),
        lambda: registry.remove_application(client_id, with_abonnementen=dice.random() < 0.5),
        lambda: registry.remove_application(client_id, give_to=dice.choice("abcd")),
    ]
    try:
        await dice.choice(works)()
    except Conflict:
        assert await registry.change_number() == copy.number


@pytest.mark.parametrize("seed", range(5))
async def test_a_copy_that_follows_equals_one_that_starts_anew(registry: Registry, seed: int) -> None:
    dice = random.Random(seed)
    follower, laggard = Copy(), Copy()
    for step in range(150):
        await _do_something(registry, dice, follower)
        follower.apply(await registry.changes_since(follower.number))
        if step % 10 == 0:
            laggard.apply(await registry.changes_since(laggard.number))
            assert laggard == follower
    fresh = Copy()
    fresh.apply(await registry.changes_since(0))
    assert fresh == follower
    assert follower.number > 50


async def test_changes_come_from_one_snapshot(address: str, registry: Registry) -> None:
    """The application and its abonnementen go in one transaction: no reader sees half of it."""
    stop = asyncio.Event()

    async def write() -> None:
        for _ in range(40):
            await registry.add_application(Application("zac", "s"))
            for _ in range(3):
                await registry.add_abonnement(an_abonnement())
            await registry.remove_application("zac", with_abonnementen=True)
        stop.set()

    async with registry_in(address) as other, asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        looks = 0
        while not stop.is_set():
            seen = await other.changes_since(0)
            assert seen.applications or not seen.abonnementen
            looks += 1
    assert looks > 10


# What was declared


async def test_declared_things_are_noted_and_forgotten_without_a_change(registry: Registry) -> None:
    queue = Declared(DeclaredKind.QUEUE, "nrc.abonnement.x", owner="x")
    binding = Declared(DeclaredKind.BINDING, '["é", "🦉"]', owner="x")
    exchange = Declared(DeclaredKind.EXCHANGE, "nrc.abonnement.x", owner="zaken")
    await registry.note_declared([queue, binding, exchange])
    await registry.note_declared(thing for thing in (queue,))
    await registry.note_declared([])
    assert set(await registry.declared()) == {queue, binding, exchange}
    assert set(await registry.declared_by("x")) == {queue, binding}
    orphan = replace(queue, owner="", orphan_since=12.5)
    await registry.note_declared([orphan])
    assert set(await registry.declared()) == {orphan, binding, exchange}
    await registry.forget_declared([queue, binding, Declared(DeclaredKind.QUEUE, "never there")])
    await registry.forget_declared([])
    assert await registry.declared() == (exchange,)
    assert await registry.change_number() == 0


# Several at once


async def _worker(address: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), str(address), *arguments, stdout=asyncio.subprocess.PIPE
    )


async def test_calls_at_once_in_one_process(registry: Registry) -> None:
    added = await asyncio.gather(*(registry.add_kanaal(a_kanaal(f"k{n}")) for n in range(50)))
    assert sorted(kanaal.change for kanaal in added) == list(range(1, 51))
    assert len((await whole(registry)).kanalen) == 50


async def test_acts_are_read_in_pages_in_the_order_in_which_they_were_noted(registry: Registry) -> None:
    acts = [Act(at, f"act {at}", "command", "nrc", "", "host", {}) for at in (3.0, 1.0, 1.0, 2.0, 1.0)]
    await registry.note_acts(acts)
    seen: list[Act] = []
    search = ActSearch()
    while page := await registry.acts(search, limit=2):
        seen += page
        search = ActSearch(before=page[-1].nr)
    assert seen == acts[::-1]
    assert [act.nr for act in seen] == [5, 4, 3, 2, 1]
    assert (await registry.acts(ActSearch(before=3, since=2.0), limit=9)) == (acts[0],)


async def test_acts_are_appended_and_found(registry: Registry) -> None:
    def an_act(at: float, act: str, *, sudo_user: str = "", **facts: object) -> Act:
        return Act(at, act, "some command", "nrc", sudo_user, "host", facts)

    uuid, other = str(uuid4()), str(uuid4())
    one = an_act(10.0, "kanaal added", kanaal="zaken", filters=["a", "é\udcff"], count=2)
    two = an_act(20.5, "abonnement removed", sudo_user="jan", abonnement=uuid)
    three = an_act(15.0, "application removed", application="zac", abonnementen=[other, uuid], given_to="drc")

    async def found(*, limit: int = 100, **asked: Any) -> tuple[Act, ...]:
        return await registry.acts(ActSearch(**asked), limit=limit)

    assert await found() == ()
    await registry.note_acts(())
    await registry.note_acts([one])
    await registry.note_acts([two, three])
    assert await found() == (three, two, one), "as they were noted, whatever the clock said"
    assert await found(limit=2) == (three, two)
    assert await found(since=15.0) == (three, two)
    assert await found(since=10.0, until=15.0) == (one,)
    assert await found(who="jan") == (two,)
    assert await found(who="nrc", what="Removed") == (three, two)
    assert await found(what="SOME COMM") == (three, two, one)
    assert await found(abonnement=uuid) == (three, two)
    assert await found(abonnement=other, application="zac") == (three,)
    assert await found(application="drc") == (three,)
    assert await found(kanaal="zaken") == (one,)
    assert await registry.change_number() == 0


async def test_several_processes_write_at_once(address: str, registry: Registry) -> None:
    shared = [f"shared {n}" for n in range(20)]
    workers = [
        await _worker(address, "add", *shared, *(f"own {worker} {n}" for n in range(20)))
        for worker in range(4)
    ]
    outputs = [(await worker.communicate())[0].decode().split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4
    answers = [answer for output in outputs for answer in output]
    numbers = sorted(int(answer) for answer in answers if answer != "taken")
    assert len(answers) == 160
    assert numbers == list(range(1, 101)), "each name once, each change its own number"
    changes = await whole(registry)
    assert changes.number == 100
    assert sorted(kanaal.change for kanaal in changes.kanalen) == numbers


async def test_what_a_killed_process_was_told_is_kept(address: str, registry: Registry) -> None:
    worker = await _worker(address, "add-and-hang", "zaken")
    assert worker.stdout
    assert await worker.stdout.readline() == b"1\n"
    worker.kill()
    await worker.wait()
    assert [kanaal.naam for kanaal in (await whole(registry)).kanalen] == ["zaken"]
    await registry.add_kanaal(a_kanaal("besluiten"))


async def test_a_cancelled_call_leaves_the_registry_usable(registry: Registry) -> None:
    async def cancelled(naam: str) -> None:
        task = asyncio.ensure_future(registry.add_kanaal(a_kanaal(naam)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    for n in range(20):
        await cancelled(f"k{n}")
    last = await registry.add_kanaal(a_kanaal("last"))
    changes = await whole(registry)
    assert changes.number == last.change == len(changes.kanalen)


async def test_the_ledger_that_is_in_use_is_noted(registry: Registry) -> None:
    ledger, other = uuid4(), uuid4()
    assert await registry.noted_ledger() is None
    for noted in (NotedLedger(ledger, 3, 1000), NotedLedger(ledger, 4, 900), NotedLedger(other, 1, 800)):
        await registry.note_ledger(noted)
        assert await registry.noted_ledger() == noted
    await registry.note_ledger(NotedLedger(other, 0, 2000))
    assert await registry.noted_ledger() == NotedLedger(other, 1, 800)
    assert await registry.change_number() == 0


async def test_own_mappings_to_cloudevents_come_with_every_change(registry: Registry) -> None:
    mapping = EventMapping.model_validate({"rules": [{"kanaal": "zaken", "type": "nl.example.é"}]})
    other = EventMapping.model_validate({"rules": [{"type": "nl.example.{kanaal}"}]})
    assert await registry.event_mappings() == {}
    assert not await registry.set_event_mapping("a_b", None)
    assert await registry.set_event_mapping("a_b", mapping)
    assert not await registry.set_event_mapping("a_b", mapping)
    number = await registry.change_number()
    changes = await registry.changes_since(0)
    assert changes.mappings == {"a_b": mapping}
    assert (await registry.changes_since(number)).mappings is None
    assert await registry.set_event_mapping("a_b", other)
    assert await registry.set_event_mapping("b", mapping)
    assert (await registry.changes_since(number)).mappings == {"a_b": other, "b": mapping}
    options = DeliveryOptions.model_validate({"cloudevents": {"mapping": "a_b"}})
    used = await registry.add_abonnement(replace(an_abonnement(), options=options))
    with pytest.raises(Conflict, match="has the mapping a_b"):
        await registry.set_event_mapping("a_b", None)
    assert await registry.set_event_mapping("b", None)
    assert await registry.remove_abonnement(used.uuid)
    assert await registry.set_event_mapping("a_b", None)
    assert (await registry.changes_since(number)).mappings == {}


async def test_what_the_autorisaties_api_said_is_kept_by_its_time(registry: Registry) -> None:
    await registry.note_ac_answers([])
    assert await registry.ac_answers() == ()
    await registry.add_application(Application("zac", "x"))
    number = await registry.change_number()
    zac, drc = AcAnswer("zac", 5.5, "{}"), AcAnswer("drc", 6.0, '{"é": "1"}')
    await registry.note_ac_answers([zac, drc])
    await registry.note_ac_answers([AcAnswer("zac", 5.0, "older"), later := AcAnswer("drc", 7.0, "later")])
    assert {*await registry.ac_answers()} == {zac, later}
    await registry.note_ac_answers([], gone=["drc", "unknown"])
    assert await registry.ac_answers() == (zac,)
    assert await registry.change_number() == number
    await registry.remove_application("zac")
    assert await registry.ac_answers() == ()


async def test_no_character_of_a_reason_or_a_fact_is_refused(registry: Registry) -> None:
    """What a callback answered, or an operator typed, is in these."""
    await registry.add_kanaal(a_kanaal())
    abonnement = await registry.add_abonnement(an_abonnement("zaken"))
    await registry.note_failures({abonnement.uuid: LastFailure(1.0, "status 500: \x00\x1b")})
    assert set(await registry.last_failures()) == {abonnement.uuid}
    assert await registry.set_state(abonnement.uuid, State.SUSPENDED, "410: \x00")
    facts = {"kanaal": "\x00\\u0000\udcff", "why": "\x00"}
    await registry.note_acts([Act(1.0, "kanaal added", "kanaal add", "nrc", "", "host", facts)])
    [act] = await registry.acts(ActSearch(what="added"), limit=1)
    assert act.facts == facts
