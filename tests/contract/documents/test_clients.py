"""What existing clients depend on: each fact over plain HTTP, one client itself, and the checks of the
standard's own Postman collection.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import yaml
from yarl import URL
from zds_client import Client, ClientAuth, ClientError

from schemas.application import Application
from tests.contract.api import BOTH, Api, Callback
from tests.contract.conftest import Stage
from tests.tokens import token

SECRET = "een-geheim-van-meer-dan-tweeendertig-tekens"
AS_ZDS = {"Accept": "application/json", "Content-Type": "application/json"}
"""zds-client sends both with every request, also with those without a body."""


@pytest.fixture(scope="module")
async def checking(stage: Stage) -> AsyncIterator[Api]:
    """A gateway that checks callbacks, as it does by default."""
    async with stage.gateway(callback_check="full") as api:
        yield api


@pytest.fixture(scope="module")
async def component(stage: Stage) -> str:
    """The client_id of an application with all rights and a secret of today's length."""
    await stage.registry.add_application(Application("component", SECRET, scopes=BOTH))
    return "component"


def a_name() -> str:
    return f"kanaal-{secrets.token_hex(4)}"


def a_message(kanaal: str, **more: Any) -> dict[str, Any]:
    return {
        "kanaal": kanaal,
        "hoofdObject": "http://openzaak:8000/zaken/api/v1/zaken/1",
        "resource": "zaak",
        "resourceUrl": "http://openzaak:8000/zaken/api/v1/zaken/1",
        "actie": "partial_update",
        "aanmaakdatum": "2024-01-01T12:00:00.123456+01:00",
        "kenmerken": {},
        **more,
    }


# zds-client (gemma-zds-client), which all older components use


async def test_zds_client_does_all_that_it_can(checking: Api, component: str, callback: Callback) -> None:
    naam = a_name()
    client = Client(
        f"{checking.root}/",
        oas_location="schema/openapi.yaml?v=3",
        auth=ClientAuth(client_id=component, secret=SECRET, scope="openid"),
    )

    async def call(method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return await asyncio.to_thread(method, *args, **options)

    assert await call(client.list, "kanaal", params={"naam": naam}) == []
    kanaal = await call(client.create, "kanaal", {"naam": naam, "filters": ["bron"]})
    assert await call(client.list, "kanaal", params={"naam": naam}) == [kanaal]
    assert await call(client.retrieve, "kanaal", url=kanaal["url"]) == kanaal
    assert await call(client.retrieve, "kanaal", uuid=kanaal["url"].split("/")[-1]) == kanaal
    changed = await call(client.update, "kanaal", {"naam": naam, "filters": ["bron", "x"]}, url=kanaal["url"])
    assert changed["filters"] == ["bron", "x"]
    await call(client.partial_update, "kanaal", {"filters": ["bron"]}, url=kanaal["url"])
    with pytest.raises(ClientError) as refused:
        await call(client.create, "kanaal", {"naam": naam})
    assert refused.value.args[0]["invalidParams"][0]["code"] == "unique"

    asked = {
        "callbackUrl": callback.url(),
        "auth": "Bearer a.b.c",
        "kanalen": [{"naam": naam, "filters": {}}],
    }
    abonnement = await call(client.create, "abonnement", asked)
    assert "auth" not in abonnement
    assert abonnement in await call(client.list, "abonnement")
    await call(client.update, "abonnement", asked, url=abonnement["url"])
    await call(client.partial_update, "abonnement", {"kanalen": asked["kanalen"]}, url=abonnement["url"])
    message = a_message(naam)
    assert await call(client.create, "notificaties", message) == message
    assert await call(client.delete, "abonnement", url=abonnement["url"]) is None
    with pytest.raises(ClientError) as gone:
        await call(client.retrieve, "abonnement", url=abonnement["url"])
    assert gone.value.args[0]["status"] == 404


async def test_the_document_is_yaml_of_3_0_without_a_token(api: Api) -> None:
    answer = await api.get("/schema/openapi.yaml?v=3", auth=None)
    assert answer.status == 200
    assert yaml.safe_load(answer.body)["openapi"].startswith("3.0")
    assert "X-OAS-Version" not in answer.headers  # it would be believed over the document


async def test_a_client_finds_an_operation_by_its_id_alone(api: Api) -> None:
    """The walk of zds-client 0.11 to 2.0: every key of a path item but `parameters` is a method."""
    document = yaml.safe_load((await api.get("/schema/openapi.yaml?v=3", auth=None)).body)
    found = {
        operation["operationId"]: (method, path)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }
    assert found["kanaal_list"] == ("get", "/kanaal")
    assert found["abonnement_partial_update"] == ("patch", "/abonnement/{uuid}")
    assert found["notificaties_create"] == ("post", "/notificaties")
    # A required header without a single value or a default makes it stop.
    for item in document["paths"].values():
        for parameter in item["parameters"]:
            assert parameter["in"] != "header"


async def test_a_content_type_on_a_request_without_body_is_no_fault(api: Api) -> None:
    kanaal = (await api.post("/kanaal", {"naam": a_name()})).json["url"]
    for url in ("/kanaal", "/abonnement", kanaal):
        assert (await api.get(url, headers=AS_ZDS)).status == 200
    asked = {"callbackUrl": "http://127.0.0.1:9/", "auth": "a", "kanalen": []}
    abonnement = (await api.post("/abonnement", asked)).json["url"]
    assert (await api.delete(abonnement, headers=AS_ZDS)).status == 204


async def test_a_token_of_zds_client_0_x_is_taken(api: Api, component: str) -> None:
    # client_identifier in the header and client_id in the payload, with the scopes that it wants.
    claims = {"zds": {"scopes": ["notificaties.scopes.publiceren"]}, "user_id": "", "user_representation": ""}
    auth = token(component, secret=SECRET, headers={"client_identifier": component}, **claims)
    assert (await api.post("/kanaal", {"naam": a_name()}, auth=auth)).status == 201
    asked = {"callbackUrl": "http://127.0.0.1:9/", "auth": "a", "kanalen": []}
    assert (await api.post("/abonnement", asked, auth=auth)).outcome == (403, "permission_denied")


# zgw-consumers and notifications-api-common, which today's Django components use


async def test_the_connection_check_gets_200(api: Api, component: str) -> None:
    # zgw-consumers asks the api_root, with its slash; its tokens say exp, twelve hours on.
    auth = token(
        component, secret=SECRET, exp=int(time.time()) + 12 * 3600, user_id="", user_representation=""
    )
    for path in ("/", ""):
        assert (await api.get(path, auth=auth)).status == 200
        assert (await api.get(path, auth=None)).status == 200


async def test_register_kanalen_can_be_run_again_and_again(api: Api) -> None:
    naam = a_name()
    wanted = {
        "naam": naam,
        "documentatieLink": f"https://x.example.nl/ref/#{naam}",
        "filters": ["object_type"],
    }
    assert (await api.get(f"/kanaal?naam={naam}")).json == []
    assert (await api.post("/kanaal", wanted)).status == 201
    for _ in range(2):
        [existing] = (await api.get(f"/kanaal?naam={naam}")).json
        answer = await api.put(existing["url"], {**wanted, "filters": ["object_type", "actie"]})
        assert answer.status == 200
        assert answer.json == {**existing, "filters": ["object_type", "actie"]}


async def test_its_notificatie_is_taken_and_echoed_as_it_came(api: Api) -> None:
    # Registered as first_name, sent as firstName; `source` and blank kenmerken come with it.
    naam = a_name()
    await api.post("/kanaal", {"naam": naam, "filters": ["first_name", "last_name"]})
    message = a_message(naam, source="openzaak", kenmerken={"firstName": "x", "lastName": ""})
    answer = await api.post("/notificaties", message)
    assert answer.status == 201
    assert answer.json == message


async def test_its_subscription_is_taken_and_has_a_url(checking: Api, callback: Callback) -> None:
    naam = a_name()
    await checking.post("/kanaal", {"naam": naam, "filters": ["bron"]})
    own_token = token("webhook", secret=SECRET)
    answer = await checking.post(
        "/abonnement",
        {"callbackUrl": callback.url(), "auth": own_token, "kanalen": [{"naam": naam, "filters": {}}]},
    )
    assert answer.status == 201
    assert answer.headers["Location"] == answer.json["url"]
    assert callback.auths == [None, own_token]
    assert (await checking.get(answer.json["url"])).json == answer.json


async def test_every_url_is_under_the_root_that_the_client_has_configured(api: Api) -> None:
    # ape-pie refuses to follow a url outside of its base_url; an address by another name is another root.
    other = str(URL(api.root).with_host("localhost"))
    for root in (api.root, other):
        answer = await api("POST", f"{root}/kanaal", {"naam": a_name()})
        assert answer.json["url"].startswith(f"{root}/kanaal/")
        assert answer.headers["Location"] == answer.json["url"]


# The folder NRC of the standard's Postman collection, in its order


async def test_the_requests_of_the_standard_s_own_tests_get_their_statuses(
    checking: Api, callback: Callback
) -> None:
    for naam in ("zaken", "documenten"):
        if not (await checking.get(f"/kanaal?naam={naam}")).json:
            await checking.post("/kanaal", {"naam": naam, "filters": ["bronorganisatie"]})
    naam = a_name()

    assert (await checking.get("/abonnement", headers=AS_ZDS)).status == 200
    assert (await checking.get(f"/kanaal?naam={naam}", headers=AS_ZDS)).json == []
    created = await checking.post(
        "/kanaal",
        {"naam": naam, "documentatieLink": "https://example.com", "filters": []},
        headers={"Accept": "application/json"},
    )
    assert created.status == 201
    assert (await checking.get(created.json["url"], headers=AS_ZDS)).status == 200

    asked = {
        "callbackUrl": callback.url(),
        "auth": "Bearer token",
        "kanalen": [{"filters": {}, "naam": "zaken"}],
    }
    abonnement = await checking.post("/abonnement", asked)
    assert abonnement.status == 201
    url = abonnement.json["url"]
    assert (await checking.get(url, headers=AS_ZDS)).status == 200
    changed = await checking.put(url, {**asked, "kanalen": [{"naam": "documenten", "filters": {}}]})
    assert (changed.status, changed.json["kanalen"][0]["naam"]) == (200, "documenten")
    patched = await checking.patch(url, {"kanalen": [{"naam": "zaken", "filters": {}}]})
    assert (patched.status, patched.json["kanalen"][0]["naam"]) == (200, "zaken")
    assert patched.json["callbackUrl"] == callback.url()
    assert set(callback.auths) == {None, "Bearer token"}

    message = {
        "kanaal": naam,
        "hoofdObject": "https://example.com",
        "resource": "test",
        "resourceUrl": "https://example.com",
        "actie": "CREATE",
        "aanmaakdatum": "2019-01-01T12:00:00Z",
        "kenmerken": {},
    }
    published = await checking.post("/notificaties", message, headers={"Accept": "application/json"})
    assert (published.status, published.json) == (201, message)
    assert (await checking.delete(url, headers=AS_ZDS)).status == 204
