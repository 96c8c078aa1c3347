"""`nrc import open-notificaties` without RabbitMQ, on files and databases: what it finds, refuses, says."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from ledger.ids import received_of
from ledger.opening import ledger_of
from nrc.importing.ids import imported_id
from nrc.importing.source import Pending
from runtime.settings import load_settings
from schemas.abonnement import Abonnement, FilterGroup
from schemas.application import Application, Scope
from schemas.callback_auth import CallbackAuth
from schemas.delivery_options import DeliveryOptions
from schemas.kanaal import Kanaal
from store.opening import registry_of
from tests.command import Ran, make_registry, nrc, nrc_process
from tests.databases.open_notificaties import event, message, open_notificaties

UUID_A, UUID_B = "9d3f2b64-2a7b-4a0e-8b0d-5f3f2a1c7e90", "f1a2b3c4-0000-4000-8000-000000000001"


def objects(*more: dict[str, Any], **abonnement: Any) -> list[dict[str, Any]]:
    """What `dumpdata --natural-primary` writes: applicaties without a pk, arrays as JSON in a text."""
    fields = {
        "uuid": UUID_A, "callback_url": "http://c.nl/a", "auth": "Token hidden", "client_id": "zac",
        "send_cloudevents": False, **abonnement,
    }  # fmt: skip
    kanaal = {"uuid": UUID_B, "naam": "zaken", "filters": '["a"]'}
    return [
        {"model": "datamodel.kanaal", "pk": 1, "fields": kanaal},
        {"model": "datamodel.abonnement", "pk": 7, "fields": fields},
        {"model": "datamodel.filtergroup", "pk": 1, "fields": {"abonnement": 7, "kanaal": 1}},
        {"model": "datamodel.filter", "pk": 1, "fields": {"filter_group": 1, "key": "a", "value": "0012"}},
        {"model": "vng_api_common.jwtsecret", "pk": 1, "fields": {"identifier": "zac", "secret": "hidden"}},
        {
            "model": "authorizations.applicatie",
            "fields": {
                "uuid": UUID_B, "client_ids": '["zac", "other"]', "label": "ZAC",
                "heeft_alle_autorisaties": False,
            },
        },
        {
            "model": "authorizations.autorisatie",
            "pk": 1,
            "fields": {
                "applicatie": [UUID_B], "component": "NRC",
                "scopes": '["notificaties.consumeren", "notificaties.vragen"]',
            },
        },
        *more,
    ]  # fmt: skip


def bring(folder: Path, dump: Sequence[Any] | str, *options: str) -> Ran:
    """The command with this dump; nothing of it may show a secret."""
    text = dump if isinstance(dump, str) else json.dumps(dump)
    (folder / "on.json").write_text(text)
    ran = nrc(folder, "import", "open-notificaties", "--dump", "on.json", *options)
    assert "hidden" not in ran.out + ran.err
    return ran


def test_a_dump_is_planned_and_what_is_not_taken_is_told(tmp_path: Path) -> None:
    make_registry(tmp_path)
    waits = {
        "model": "datamodel.schedulednotification",
        "pk": 5,
        "fields": {"type": "notification", "task_args": message(1), "sub": 7, "notificatie": 3},
    }
    services = [{"model": "zgw_consumers.service", "pk": each, "fields": {}} for each in (1, 2)]
    for dump in (objects(waits, *services), "\n".join(map(json.dumps, objects(waits, *services)))):
        ran = bring(tmp_path, dump, "--dry-run", "--json")
        assert ran.code == 4
        told = ran.json()
        kanaal, application, abonnement = told["changes"]
        assert (kanaal["kind"], application["name"], abonnement["name"]) == ("kanaal", "zac", UUID_A)
        assert application["differences"][0] == {"field": "scopes", "before": None, "after": "consumeren"}
        assert {"field": "kanalen", "before": None, "after": "zaken (a=0012)"} in abonnement["differences"]
        assert {each["path"]: each["reason"].partition(":")[0] for each in told["notTaken"]} == {
            f"applicatie.{UUID_B}": "there is no scope notificaties.vragen",
            "application.other": "an applicatie names it, and there is no secret of it",
            "zgw_consumers_service": "2 row(s)",
        }
        assert (told["deliveries"]["found"], told["deliveries"]["taken"]) == (1, 1)
    assert "no deliveries" in bring(tmp_path, objects(), "--dry-run").err


@pytest.mark.parametrize(
    ("abonnement", "path", "reason"),
    [
        ({"client_id": ""}, "", "it has no client_id"),
        ({"client_id": "unknown"}, "", "there is no application unknown"),
        ({"auth": ""}, "", "is new, and needs auth"),
        ({"send_cloudevents": True, "callback_url": "nowhere"}, ".callbackUrl", ""),
        ({"auth_type": "later"}, "", "auth_type later: there are api_key, zgw"),
        ({"auth_type": "zgw"}, ".callbackAuth.zgw.secret", "this is required"),
        ({"callback_url": "nowhere"}, ".callbackUrl", ""),
    ],
)
def test_an_abonnement_that_does_not_fit_stops_no_others(
    tmp_path: Path, abonnement: dict[str, Any], path: str, reason: str
) -> None:
    make_registry(tmp_path)
    ran = bring(tmp_path, objects(**abonnement), "--dry-run", "--json")
    assert ran.code == 4
    assert [each["kind"] for each in ran.json()["changes"]] == ["kanaal", "application"]
    (why,) = [each for each in ran.json()["notTaken"] if each["path"] == f"abonnement.{UUID_A}{path}"]
    assert reason in why["reason"]


def test_who_gets_cloudevents_there_gets_them_here(tmp_path: Path) -> None:
    make_registry(tmp_path)
    group = {
        "model": "datamodel.cloudeventfiltergroup",
        "pk": 3,
        "fields": {"abonnement": 7, "type_substring": "nl.overheid"},
    }
    pair = {
        "model": "datamodel.cloudeventfilter",
        "pk": 1,
        "fields": {"cloud_event_filter_group": 3, "key": "a", "value": "1"},
    }
    dump = objects(group, pair, send_cloudevents=True)
    told = bring(tmp_path, dump, "--dry-run", "--json").json()
    (option,) = [each for each in told["changes"][-1]["differences"] if each["field"] == "options"]
    assert json.loads(option["after"]) == {
        "cloudevents": {"filters": [{"typeSubstring": "nl.overheid", "filters": {"a": "1"}}]}
    }
    off = bring(tmp_path, objects(group, pair), "--dry-run", "--json").json()
    (why,) = [each for each in off["notTaken"] if each["path"].endswith("cloudeventFilters")]
    assert "only count with send_cloudevents" in why["reason"]
    assert off["changes"][-1]["kind"] == "abonnement"


def test_what_callbacks_ask_for_and_the_owner_are_taken(tmp_path: Path) -> None:
    make_registry(tmp_path)
    oauth2 = {
        "auth_type": "oauth2_client_credentials", "auth": "", "secret": "hidden",
        "oauth2_token_url": "https://login.nl/t", "oauth2_scope": "s",
    }  # fmt: skip
    for given, options in (
        (oauth2, ()),
        ({"auth_type": "no_auth"}, ()),
        ({"client_id": ""}, ("--owner", "zac")),
    ):
        ran = bring(tmp_path, objects(**given), "--dry-run", "--json", *options)
        kinds = [each["kind"] for each in ran.json()["changes"]]
        assert kinds == ["kanaal", "application", "abonnement"], ran.out
    more = bring(tmp_path, objects(), "--dry-run", "--json", "--scopes-from-ac")
    assert "from the Autorisaties API" in more.out


@pytest.mark.parametrize(
    ("dump", "said"),
    [
        ("{", "this is no JSON"),
        ("[1]", "no dump of Django: a list of objects"),
        ('[{"a": 1}]', "no dump of Django: an object in it has no model"),
        ("[]", "has no datamodel.kanaal: make it with"),
    ],
)
def test_a_file_that_is_no_dump_is_refused(tmp_path: Path, dump: str, said: str) -> None:
    make_registry(tmp_path)
    ran = bring(tmp_path, dump)
    assert ran.code == 2
    assert said in ran.err


def test_wrong_use_is_refused(tmp_path: Path) -> None:
    make_registry(tmp_path)
    command = ("import", "open-notificaties")
    assert "from --database URL, from --dump FILE or" in nrc(tmp_path, *command).err
    for other in ("--without-deliveries", "--taken-as-sql", "--check-callbacks"):
        both = nrc(tmp_path, *command, "--dump", "on.json", "--only-deliveries", other)
        assert both.code == 2
        assert "--only-deliveries is for a database or a dump" in both.err
    assert nrc(tmp_path, *command, "--dump", "none.json").code == 2
    away = nrc(tmp_path, *command, "--database", "postgresql://127.0.0.1:9/on")
    assert away.code == 3
    assert "the database of Open Notificaties: " in away.err
    wrong = nrc(tmp_path, *command, "--database", "postgresql://u:hidden/word@host/on")
    assert wrong.code == 2
    assert "must be postgresql://" in wrong.err
    assert "hidden" not in wrong.err
    with (tmp_path / "on.json").open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        assert "another import uses on.json" in nrc(tmp_path, *command, "--dump", "on.json").err


async def test_the_api_tells_kanalen_and_abonnementen_to_complete(tmp_path: Path) -> None:
    root = f"http://on.nl/api/v1/abonnement/{UUID_A}"
    told = {
        "/api/v1/kanaal": [{"naam": "zaken", "documentatieLink": "", "filters": ["a"]}],
        "/api/v1/abonnement": [
            {
                "url": root, "callbackUrl": "http://c.nl/a", "sendCloudevents": True,
                "cloudeventFilters": [{"typeSubstring": "x", "filters": {"a": "1"}}],
                "kanalen": [{"naam": "zaken", "filters": {"a": "0012"}}, {"naam": "zaken", "filters": {}}],
            }
        ],
    }  # fmt: skip

    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer right":
            return web.json_response({"status": 403}, status=403)
        found = told.get(request.path)
        return web.Response(status=404) if found is None else web.json_response(found)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        url = str(server.make_url("/"))
        command = ("import", "open-notificaties", "--owner", "zac", "--api")
        file = await nrc_process(tmp_path, *command, url, "--token", "right", "--as-setup-file")
        assert file.code == 0, file.err
        setup = yaml.safe_load(file.out)
        assert setup["abonnementen"] == [
            {
                "uuid": UUID_A, "clientId": "zac", "callbackUrl": "http://c.nl/a",
                "kanalen": [{"naam": "zaken", "filters": {"a": "0012"}}, {"naam": "zaken", "filters": {}}],
                "auth": {"value_from": {"env": "AUTH_1"}},
                "options": {"cloudevents": {"filters": [{"typeSubstring": "x", "filters": {"a": "1"}}]}},
            }
        ]  # fmt: skip
        made = await nrc_process(
            tmp_path, *command, url, "--token", "right", "--new", "--without-deliveries", "--json"
        )
        assert [each["name"] for each in made.json()["changes"]] == ["zaken"]
        assert "the API tells neither auth nor owner" in made.err
        wrong = await nrc_process(tmp_path, *command, url, "--token", "wrong")
        assert wrong.code == 2
        assert "answers 403: is --token" in wrong.err
        elsewhere = await nrc_process(tmp_path, *command, f"{url}other", "--token", "right")
        assert elsewhere.code == 2
        assert "answers 404" in elsewhere.err
    away = await nrc_process(tmp_path, *command, url, "--token", "right")
    assert (away.code, "no Open Notificaties at" in away.err) == (3, True)


async def test_a_database_of_1_15_has_owners_apart_and_no_deliveries(
    tmp_path: Path, database_url: str
) -> None:
    async with open_notificaties(database_url, "1.15") as there:
        kanaal = await there.add_kanaal("zaken")
        await there.add_application("zac", "hidden", heeft_alle_autorisaties=True)
        _, uuid = await there.add_abonnement(
            "http://c.nl/a", (kanaal, {}), auth_type="zgw", auth_client_id="at-zac", secret="hidden"
        )
        command = ("import", "open-notificaties", "--database", database_url, "--new", "--json")
        # Without a router nothing but this abonnement is left for the next time.
        ran = await nrc_process(tmp_path, *command, env={"NRC_AMQP_URL": "amqp://127.0.0.1:9"})
        assert ran.code == 1
        assert "keeps what is to be delivered in its Celery broker" in ran.err
        made = {each["name"]: each for each in ran.json()["changes"]}
        assert [each["result"] for each in made.values()] == ["done", "done", "failed"]
        told = {each["field"]: each.get("after") for each in made[str(uuid)]["differences"]}
        assert told["clientId"] == "zac"
        assert "callbackAuth" in told
        elsewhere = await nrc_process(tmp_path, *command[:3], database_url.partition("?")[0], "--dry-run")
        assert elsewhere.code == 2
        assert "is it an Open Notificaties?" in elsewhere.err


async def test_who_may_only_read_sees_that_others_are_connected(tmp_path: Path, database_url: str) -> None:
    make = {"NRC_AMQP_URL": "amqp://127.0.0.1:9"}
    async with open_notificaties(database_url) as there:
        try:
            await there.connection.execute("SET ROLE pg_read_all_data")
        except psycopg.Error as error:
            pytest.skip(f"this PostgreSQL lends no such role: {error}")
        url = f"{database_url}&options=-crole%3Dpg_read_all_data"
        ran = await nrc_process(tmp_path, "import", "open-notificaties", "--database", url, "--new", env=make)
        assert ran.code == 2
        assert "others are connected to the database" in ran.err
        assert "an Open Notificaties with the migration 0025_schedulednotification" in ran.err
        await there.connection.execute("RESET ROLE")


def test_ids_are_of_the_moment_and_in_the_order_of_acceptance() -> None:
    def pending(number: int, notificatie: int | None, **more: Any) -> Pending:
        body = json.dumps(message(number, **more)).encode()
        return Pending(number, notificatie, None, 1, body, under_way=False)

    moment = 1_796_044_072_744
    of = [imported_id(moment, pending(each, each)) for each in (1, 2, 300, 70_000)]
    assert of == sorted(of)
    assert all((each.version, each.variant, received_of(each)) == (7, uuid4().variant, moment) for each in of)
    one = pending(1, 1)
    other = Pending(2, 1, None, 9, json.dumps(message(1), indent=1).encode(), under_way=True)
    assert imported_id(moment, one) == imported_id(moment, other)  # another abonnement, or a dump
    different = [pending(1, None), pending(1, 2), pending(1, 1, actie="update")]
    ids: set[UUID] = {imported_id(moment, each) for each in (one, *different)}
    assert len(ids) == 4

    def of_event(number: int | None, **more: Any) -> UUID:
        return imported_id(
            moment, Pending(3, None, number, 1, json.dumps(event(1, **more)).encode(), under_way=False)
        )

    assert of_event(1) == of_event(1, subject="", data="written anew")  # sent again by hand
    assert len({of_event(1), of_event(2), of_event(None), of_event(1, source="urn:other"), *ids}) == 8


async def test_with_only_deliveries_what_is_here_stays_as_it_is(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, state_dir=tmp_path)
    async with registry_of(settings) as registry, ledger_of(settings):
        await registry.add_kanaal(Kanaal(UUID(UUID_B), "zaken", "", ("a",), ("a",)))
        await registry.add_application(Application("zac", "hidden-new", "", frozenset({Scope.CONSUMEREN})))
        wants = (FilterGroup("zaken", ()),)
        mine = await registry.add_abonnement(
            Abonnement(UUID(UUID_A), "http://c.nl/moved", "Token hidden-new", wants, "zac")
        )
    gone = {
        "model": "datamodel.abonnement",
        "pk": 8,
        "fields": {"uuid": UUID_B, "callback_url": "http://c.nl/b", "auth": "x", "client_id": "zac"},
    }
    waits = [
        {
            "model": "datamodel.schedulednotification",
            "pk": sub,
            "fields": {"type": "notification", "task_args": message(1), "sub": sub, "notificatie": 3},
        }
        for sub in (7, 8)
    ]
    dump = json.dumps(objects(gone, *waits))
    (tmp_path / "on.json").write_text(dump)
    command = ("import", "open-notificaties", "--dump", "on.json", "--only-deliveries")

    trial = await nrc_process(tmp_path, *command, "--dry-run")
    assert trial.code == 4
    assert "2 found, 1 to take, 0 already here, 0 the same again, 1 not taken" in trial.out
    ran = await nrc_process(tmp_path, *command)
    assert ran.code == 0, ran.err
    assert "2 found, 1 taken, 0 already here, 0 the same again, 1 not taken" in ran.out
    assert f"not taken: 1 deliveries of abonnement {UUID_B}" in ran.err
    assert "left as it is here" in ran.err
    again = await nrc_process(tmp_path, *command, "--dry-run", "--json")
    assert again.code == 0
    told = again.json()
    assert (told["deliveries"]["there"], told["deliveries"]["taken"]) == (1, 0)
    assert {each["name"]: each["result"] for each in told["changes"]} == {
        "zac": None, UUID_A: None, UUID_B: None,
    }  # fmt: skip
    async with registry_of(settings) as registry:
        now = await registry.changes_since(0)
    assert now.abonnementen == (mine,)
    assert [each.secret for each in now.applications] == ["hidden-new"]


async def test_what_was_set_here_beside_a_token_stays(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, state_dir=tmp_path)
    asks = {
        "zgw": {"clientId": "zac", "secret": "hidden"},
        "header": {"name": "X-Api-Key", "value": "hidden"},
    }
    async with registry_of(settings) as registry:
        await registry.add_kanaal(Kanaal(UUID(UUID_B), "zaken", "", ("a",), ("a",)))
        await registry.add_application(Application("zac", "hidden", "ZAC", frozenset({Scope.CONSUMEREN})))
        wants = (FilterGroup("zaken", (("a", "0012"),)),)
        auth = CallbackAuth.model_validate(asks)
        one = Abonnement(UUID(UUID_A), "http://c.nl/a", "", wants, "zac", callback_auth=auth)
        await registry.add_abonnement(one)
    for given, differs in (
        ({"auth_type": "zgw", "secret": "hidden", "auth": ""}, []),
        ({"auth_type": "no_auth"}, ["callbackAuth"]),
        ({}, ["auth", "callbackAuth"]),  # a token is in place of its auth no longer
    ):
        (tmp_path / "on.json").write_text(json.dumps(objects(**given)))
        command = ("import", "open-notificaties", "--dump", "on.json", "--dry-run", "--json")
        changes = (await nrc_process(tmp_path, *command)).json()["changes"]
        found = [each["field"] for change in changes for each in change["differences"]]
        assert found == differs


async def test_delivery_options_that_were_set_here_stay(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, state_dir=tmp_path)
    here = {"rate": 5, "order": {"setAsideAfter": 900}}
    events = {"mode": "binary", "mapping": "gemma", "sequence": True, "allowedRate": 60.0, "origin": "nrc"}
    of_events = {"typeSubstring": "nl.overheid"}
    async with registry_of(settings) as registry:
        await registry.add_kanaal(Kanaal(UUID(UUID_B), "zaken", "", ("a",), ("a",)))
        await registry.add_application(Application("zac", "hidden", "ZAC", frozenset({Scope.CONSUMEREN})))
        wants = (FilterGroup("zaken", (("a", "0012"),)),)
        options = DeliveryOptions.model_validate({**here, "cloudevents": events})
        await registry.add_abonnement(
            Abonnement(UUID(UUID_A), "http://c.nl/a", "Token hidden", wants, "zac", options=options)
        )
    group = {
        "model": "datamodel.cloudeventfiltergroup",
        "pk": 3,
        "fields": {"abonnement": 7, "type_substring": "nl.overheid"},
    }
    for dump, after in (
        (objects(send_cloudevents=True), None),
        (objects(send_cloudevents=False), None),
        (objects(group, send_cloudevents=True), {**here, "cloudevents": {**events, "filters": [of_events]}}),
    ):
        (tmp_path / "on.json").write_text(json.dumps(dump))
        command = ("import", "open-notificaties", "--dump", "on.json", "--dry-run", "--json")
        changes = (await nrc_process(tmp_path, *command)).json()["changes"]
        found = [json.loads(each["after"]) for change in changes for each in change["differences"]]
        assert found == ([] if after is None else [after])
