"""`nrc-matched` on the 201 of a notificatie: for how many abonnementen it is."""

from __future__ import annotations

from uuid import UUID

from schemas.abonnement import State
from tests.contract.api import Api, a_naam, abonnement_of, message
from tests.contract.conftest import Stage

FILTERS = [f"k{number}" for number in range(20)]  # more than a kanaal has slots


async def matched(api: Api, naam: str, **kenmerken: str) -> str:
    answer = await api.post("/notificaties", message(naam, kenmerken=kenmerken))
    assert answer.status == 201, answer.body
    return answer.headers["nrc-matched"]


async def test_each_abonnement_that_matches_counts_once(api: Api) -> None:
    naam, other = a_naam(), a_naam()
    for each in (naam, other):
        assert (await api.post("/kanaal", {"naam": each, "filters": FILTERS})).status == 201
    assert await matched(api, naam, k0="1") == "0"
    made = [abonnement_of(naam, k0="1"), abonnement_of(naam, k0="2"), abonnement_of(naam, k0="1", k1="*")]
    twice = {**abonnement_of(naam), "kanalen": [{"naam": naam, "filters": {"k0": "1"}}, {"naam": naam}]}
    urls = []
    for each in (*made, twice, abonnement_of(other)):
        answer = await api.post("/abonnement", each)
        assert answer.status == 201, answer.body
        urls.append(answer.json["url"])
    assert await matched(api, naam, k0="1") == "3"
    assert await matched(api, naam, K_0="3") == "1"
    assert await matched(api, naam) == "4"
    await api.patch(urls[0], {"kanalen": [{"naam": naam, "filters": {"k0": "2"}}]})
    assert await matched(api, naam, k0="1") == "2"
    for url in urls:
        assert (await api.delete(url)).status == 204
    assert await matched(api, naam, k0="1") == "0"


async def test_a_filter_without_a_slot_counts(api: Api) -> None:
    naam = a_naam()
    await api.post("/kanaal", {"naam": naam, "filters": FILTERS})
    url = (await api.post("/abonnement", abonnement_of(naam, k19="1"))).json["url"]
    assert await matched(api, naam, k19="1") == "1"
    assert await matched(api, naam, k19="2") == "0"
    assert await matched(api, naam, k18="2") == "1"
    await api.delete(url)


async def test_one_that_is_not_delivered_to_now_counts(api: Api, stage: Stage) -> None:
    """Its queue keeps everything."""
    naam = a_naam()
    await api.post("/kanaal", {"naam": naam})
    url = (await api.post("/abonnement", abonnement_of(naam))).json["url"]
    await stage.registry.set_state(UUID(url[-36:]), State.SUSPENDED, "410")
    assert await matched(api, naam) == "1"
    await api.delete(url)


async def test_filters_on_attributes_count(api: Api) -> None:
    naam = a_naam()
    assert (await api.post("/kanaal", {"naam": naam, "filters": ["#actie"]})).params == {
        ("filters", "invalid")
    }
    await api.post("/kanaal", {"naam": naam, "filters": FILTERS})
    wrong = await api.post("/abonnement", abonnement_of(naam, **{"#actie": "Create"}))
    assert wrong.params == {("kanalen.0.filters.#actie", "invalid")}
    asked = {"#actie": "create", "#resource": "status", "k0": "1"}
    one = (await api.post("/abonnement", abonnement_of(naam, **asked))).json
    assert one["kanalen"] == [{"naam": naam, "filters": asked}]
    of_object = {"#hoofdObject": "https://example.nl/zaken/1"}
    other = (await api.post("/abonnement", abonnement_of(naam, **of_object))).json
    assert await matched(api, naam, k0="1") == "2"
    assert await matched(api, naam, k0="2") == "1"
    gone = message(naam, actie="destroy", hoofdObject="https://example.nl/zaken/2", kenmerken={"k0": "1"})
    assert (await api.post("/notificaties", gone)).headers["nrc-matched"] == "0"
    for url in (one["url"], other["url"]):
        await api.delete(url)
