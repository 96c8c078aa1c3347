"""Send again, try now, drop in the console: on a real RabbitMQ, with a real ledger and a deliverer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import pytest

from ledger.ledger import Ledger
from ledger.values import Key, State
from schemas.abonnement import Abonnement
from schemas.user import Role
from store.registry import ActSearch
from tests.callback_server import status
from tests.eventually import eventually
from tests.integration.console.conftest import Browser, Page, Served, add_users, console_on
from tests.integration.deliverer.delivering import Delivering
from tests.integration.deliverer.test_outcomes import accept

pytestmark = pytest.mark.usefixtures("broker")

LONG = "512"
"""A retry schedule that outlasts every test."""
NOW, AGAIN, DROP = "nu", "opnieuw", "schrappen"


@dataclass
class Acting:
    """A console beside a deliverer, and a beheerder's browser."""

    spine: Delivering
    ledger: Ledger
    browser: Browser
    served: Served

    async def is_(self, id_: str, to: Abonnement, state: State, replay: int = 0) -> bool:
        found = await self.ledger.delivery(Key(UUID(id_), to.uuid, replay))
        return found is not None and found.state is state

    async def act(self, id_: str, doen: str, query: str, **fields: str) -> Page:
        return await self.browser.act(
            f"notificaties/{id_}/handeling/?doen={doen}{query}",
            doen,
            **{"aantal": "1", "gekregen": "0", "waarom": "storing", **fields},
        )

    async def acts(self) -> list[tuple[str, str, object]]:
        found = await self.served.registry.acts(ActSearch(), limit=10)
        return [(each.act, each.user, each.facts.get("why")) for each in found if "logged" not in each.act]


@pytest.fixture
async def acting(spine: Delivering, ledger: Ledger) -> AsyncIterator[Acting]:
    await add_users(spine.router.registry)
    async with console_on(spine.router.settings) as served, served.browser(Role.BEHEERDER) as browser:
        yield Acting(spine, ledger, browser, served)


async def failing_once(acting: Acting) -> tuple[str, Abonnement]:
    """A notificatie that waits for its second attempt, which succeeds."""
    abonnement = await acting.spine.subscribe("/a")
    acting.spine.callback.script("/a", status(500), status(204))
    id_ = await accept(acting.spine, acting.ledger, abonnement)
    await eventually(lambda: acting.is_(id_, abonnement, State.RETRYING))
    return id_, abonnement


async def test_what_waits_is_tried_now(acting: Acting) -> None:
    async with acting.spine.deliverer(retry_schedule=LONG):
        id_, abonnement = await failing_once(acting)
        page = await acting.browser.get(f"notificaties/{id_}/handeling/?doen=nu&abonnement={abonnement.uuid}")
        assert "Het gaat om 1 aflevering" in page.text
        assert abonnement.callback_url in page.text
        page = await acting.act(id_, NOW, f"&abonnement={abonnement.uuid}")
        assert page.url.endswith(f"/notificaties/{id_}/")
        assert "De volgende poging wordt nu gedaan." in page.text
        await eventually(lambda: acting.is_(id_, abonnement, State.DELIVERED))
    assert acting.spine.ids_at("/a") == [id_, id_]
    assert await acting.acts() == [("retry sent now", "beheerder", "storing")]
    page = await acting.act(id_, NOW, f"&abonnement={abonnement.uuid}")
    assert page.status == 400
    assert "Er wacht hier niets meer" in page.text


async def test_what_waits_is_dropped(acting: Acting) -> None:
    async with acting.spine.deliverer(retry_schedule=LONG):
        id_, abonnement = await failing_once(acting)
        page = await acting.act(id_, DROP, f"&abonnement={abonnement.uuid}")
        assert "De aflevering is geschrapt." in page.text
        assert "door de beheerder geschrapt" in page.text
        assert await acting.is_(id_, abonnement, State.REMOVED)
    assert acting.spine.ids_at("/a") == [id_]
    assert await acting.acts() == [("retry dropped", "beheerder", "storing")]


async def test_all_that_wait_of_a_notificatie_are_tried_now(acting: Acting) -> None:
    async with acting.spine.deliverer(retry_schedule=LONG):
        one, other = [await acting.spine.subscribe(path) for path in ("/a", "/b")]
        for path in ("/a", "/b"):
            acting.spine.callback.script(path, status(500), status(204))
        id_ = await accept(acting.spine, acting.ledger, one, other)
        for each in (one, other):
            await eventually(lambda each=each: acting.is_(id_, each, State.RETRYING))  # type: ignore[misc]
        page = await acting.browser.get(f"notificaties/{id_}/")
        assert "Alle 2 nu proberen" in page.text
        changed = await acting.act(id_, NOW, "")
        assert changed.status == 409
        assert "intussen veranderd" in changed.text
        assert await acting.acts() == []
        await acting.act(id_, NOW, "", aantal="2")
        for each in (one, other):
            await eventually(lambda each=each: acting.is_(id_, each, State.DELIVERED))  # type: ignore[misc]
    assert [act for act, *_ in await acting.acts()] == ["retry sent now"] * 2


async def test_what_was_delivered_is_sent_again(acting: Acting) -> None:
    async with acting.spine.deliverer():
        abonnement = await acting.spine.subscribe("/a")
        acting.spine.callback.script("/a", status(204))
        id_ = await accept(acting.spine, acting.ledger, abonnement)
        await eventually(lambda: acting.is_(id_, abonnement, State.DELIVERED))
        query = f"&abonnement={abonnement.uuid}"
        page = await acting.browser.get(f"notificaties/{id_}/handeling/?doen=opnieuw{query}")
        assert "Dit abonnement kreeg deze notificatie al, om " in page.text
        assert (await acting.act(id_, AGAIN, query)).status == 409, "it was delivered since it was shown"
        page = await acting.act(id_, AGAIN, query, gekregen="1")
        assert "De notificatie is opnieuw verzonden." in page.text
        await eventually(lambda: acting.is_(id_, abonnement, State.DELIVERED, 1))
        page = await acting.browser.get(f"notificaties/{id_}/")
        assert page.text.count('<section class="delivery"') == 1, "one card for both"
        assert page.text.index(">Herhaling 1</a>") < page.text.index("Eerste aflevering")
        assert "Gevraagd door beheerder: storing" in page.text
    assert acting.spine.ids_at("/a") == [id_, id_]
    assert await acting.acts() == [("notificatie sent once more", "beheerder", "storing")]


async def test_what_is_undeliverable_is_sent_again_as_new(acting: Acting) -> None:
    abonnement = await acting.spine.subscribe("/a")
    acting.spine.callback.script("/a", status(500), status(500), status(204))
    async with acting.spine.deliverer(retry_schedule="1"):
        id_ = await accept(acting.spine, acting.ledger, abonnement)
        await eventually(lambda: acting.is_(id_, abonnement, State.UNDELIVERABLE))
        await acting.act(id_, AGAIN, f"&abonnement={abonnement.uuid}")
        await eventually(lambda: acting.is_(id_, abonnement, State.DELIVERED))
    assert await acting.acts() == [("notificatie sent again", "beheerder", "storing")]


async def test_one_that_does_not_ask_for_it_gets_it_only_when_that_is_meant(acting: Acting) -> None:
    async with acting.spine.deliverer():
        asks = await acting.spine.subscribe("/a")
        other = await acting.spine.subscribe("/b", filters={"zaaktype": "another"})
        acting.spine.callback.script("/b", status(204))
        id_ = await accept(acting.spine, acting.ledger, asks, zaaktype="bezwaar")
        await eventually(lambda: acting.is_(id_, asks, State.DELIVERED))
        query = f"&abonnement={other.uuid}"
        page = await acting.act(id_, AGAIN, query, aantal="0")
        assert page.status == 400
        assert "vraagt niet om deze notificatie" in page.text
        assert await acting.acts() == []
        await acting.act(id_, AGAIN, query, aantal="0", toch="ja")
        await eventually(lambda: acting.is_(id_, other, State.DELIVERED, 1))
    assert acting.spine.ids_at("/b") == [id_]
    assert await acting.acts() == [("notificatie sent once more", "beheerder", "storing")]


async def test_a_reason_and_a_role_are_needed(acting: Acting) -> None:
    async with acting.spine.deliverer(retry_schedule=LONG):
        id_, abonnement = await failing_once(acting)
        query = f"&abonnement={abonnement.uuid}"
        for waarom in ("", "   ", "x" * 501):
            page = await acting.act(id_, DROP, query, waarom=waarom)
            assert page.status == 400
            assert "Er is nog niets gedaan." in page.text
        fields = {"doen": DROP, "aantal": "1", "waarom": "storing"}
        path = f"notificaties/{id_}/handeling/?doen={DROP}{query}"
        page = await acting.browser.post(path, {**fields, "token": "0" * 64})
        assert "verlopen" in page.text
        async with acting.served.browser(Role.LEZER) as lezer:
            token = (await lezer.get("account/")).token
            assert (await lezer.get(path)).status == 403
            assert (await lezer.post(path, {**fields, "token": token})).status == 403
        assert await acting.is_(id_, abonnement, State.RETRYING)
    assert await acting.acts() == []


async def test_what_is_not_to_be_done_is_told(acting: Acting) -> None:
    abonnement = await acting.spine.subscribe("/a")
    id_ = await accept(acting.spine, acting.ledger, abonnement)
    one = f"notificaties/{id_}/handeling/"
    page = await acting.browser.get(f"{one}?doen=opnieuw&abonnement={abonnement.uuid}")
    assert "nog onderweg" in page.text
    page = await acting.browser.get(f"{one}?doen=opnieuw&abonnement={UUID(int=7)}")
    assert "bestaat niet (meer)" in page.text
    page = await acting.browser.get(f"{one}?doen=nu")
    assert "Er wacht hier niets meer" in page.text
    for query in ("", "?doen=weg", "?doen=opnieuw", "?doen=nu&abonnement=zz"):
        assert (await acting.browser.get(one + query)).status == 404
    page = await acting.browser.get(f"{one}?doen=nu&herhaling=99999999999999999999")
    assert page.status == 200
