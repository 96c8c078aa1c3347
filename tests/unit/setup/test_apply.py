"""`nrc apply` on a real registry file, without RabbitMQ: what it plans, does, refuses and says."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from operating.passwords import Passwords
from schemas.abonnement import Abonnement
from schemas.alert import AlertSettings, Rule, Webhook
from schemas.application import Scope
from schemas.user import Identity, Role, User
from store.opening import open_registry
from store.registry import Changes
from tests.command import Ran, make_registry, nrc
from tests.make import an_abonnement

FILE = """\
kanalen:
  - naam: zaken
    documentatieLink: https://example.nl/zaken
    filters: [bronorganisatie, zaaktype]
applications:
  - clientId: zac
    label: Zaakafhandeling
    secret: {value_from: {env: ZAC_SECRET}}
    keepOldSecret: 1h
    scopes: [consumeren]
abonnementen:
  - name: zac
    clientId: zac
    type: pull
    kanalen:
      - {naam: zaken, filters: {bronorganisatie: 0012}}
users:
  - {name: jan, role: beheerder, password: {value_from: {file: password}}}
  - {name: piet, role: lezer, initialPassword: a first pass 1}
alerts:
  rules:
    held: {after: 30m}
    disk: {enabled: false}
  again: never
  webhook: {url: https://chat.example.nl/hooks/hidden-path, authorization: Bearer hidden-token}
  mail: {host: mail.example.nl, user: nrc, password: hidden-mail, from: nrc@example.nl, to: [a@example.nl]}
"""
EMPTY = "kanalen: []\napplications: []\nabonnementen: []\n"
ZAC, OTHER = "hidden-zac-secret-of-32-characters", "hidden-other-secret-of-32-characters"
PASSWORD = "hidden password 9"
ALL = ["kanaal", "application", "abonnement", "user", "user", "alerts", "alerts", "alerts", "alerts"]


@pytest.fixture(autouse=True)
def made(tmp_path: Path) -> None:
    make_registry(tmp_path)
    (tmp_path / "password").write_text(PASSWORD + "\n")


def apply(folder: Path, text: str, *options: str, zac: str = ZAC) -> Ran:
    """The command with this file; nothing of it may show a secret."""
    (folder / "s.yaml").write_text(text)
    ran = nrc(folder, "apply", "s.yaml", *options, env={"ZAC_SECRET": zac})
    assert "hidden" not in ran.out + ran.err
    return ran


def changes(ran: Ran) -> list[tuple[str, str, str]]:
    return [(each["kind"], each["name"], each["action"]) for each in ran.json()["changes"]]


def look(folder: Path) -> tuple[Changes, dict[str, User], AlertSettings]:
    async def work() -> tuple[Changes, dict[str, User], AlertSettings]:
        async with open_registry(folder / "registry.db") as registry:
            users = {user.name: user for user in await registry.users.every()}
            return await registry.changes_since(0), users, await registry.alerts.settings()

    return asyncio.run(work())


def fits(user: User, password: str) -> bool:
    async def work() -> bool:
        async with Passwords() as passwords:
            return await passwords.fits(user.password, password)

    return asyncio.run(work())


def trail(folder: Path) -> list[Any]:
    return list(nrc(folder, "audit-trail", "--json").json())


def test_it_makes_all_and_then_has_nothing_to_do(tmp_path: Path) -> None:
    planned = apply(tmp_path, FILE, "--dry-run", "--json")
    assert planned.code == 4
    assert [kind for kind, *_ in changes(planned)] == ALL
    assert look(tmp_path)[0].number == 0

    ran = apply(tmp_path, FILE)
    assert ran.code == 0
    assert "7 to add, 2 to change, 0 to remove, 0 unchanged" in ran.err
    registry, users, alerts = look(tmp_path)
    (kanaal,), (application,), (abonnement,) = registry.kanalen, registry.applications, registry.abonnementen
    assert (kanaal.naam, kanaal.filters) == ("zaken", ("bronorganisatie", "zaaktype"))
    assert (application.secret, application.label) == (ZAC, "Zaakafhandeling")
    assert application.scopes == {Scope.CONSUMEREN}
    assert (abonnement.client_id, abonnement.is_pull) == ("zac", True)
    assert abonnement.kanalen[0].filters == (("bronorganisatie", "0012"),)
    assert {name: user.role for name, user in users.items()} == {"jan": Role.BEHEERDER, "piet": Role.LEZER}
    assert fits(users["jan"], PASSWORD)
    assert (alerts.rule(Rule.HELD).after, alerts.rule(Rule.DISK).on, alerts.again) == (1800, False, 0)
    assert alerts.webhook == Webhook("https://chat.example.nl/hooks/hidden-path", "Bearer hidden-token")
    assert alerts.mail is not None
    assert (alerts.mail.port, alerts.mail.secret) == (587, "hidden-mail")

    again = apply(tmp_path, FILE)
    assert (again.code, again.out) == (0, "")
    assert "nothing to do" in again.err
    assert apply(tmp_path, FILE, "--dry-run").code == 0
    assert look(tmp_path)[0].number == registry.number


def test_what_it_did_is_noted_with_the_name_of_the_file(tmp_path: Path) -> None:
    apply(tmp_path, FILE)
    acts = trail(tmp_path)
    assert {(act["command"], act["facts"]["file"]) for act in acts} == {("apply", "s.yaml")}
    assert {act["act"] for act in acts} == {
        "kanaal added",
        "application added",
        "abonnement added",
        "user added",
        "alert rules changed",
        "alert pace changed",
        "alert webhook changed",
        "alert mail changed",
    }


def test_only_what_differs_is_changed(tmp_path: Path) -> None:
    apply(tmp_path, FILE)
    before, *_ = look(tmp_path)
    text = FILE.replace("zaaktype]", "zaaktype, status]").replace("0012", "0013")
    text = text.replace("Zaakafhandeling", "ZAC").replace("[consumeren]", "[publiceren]")
    text = text.replace("jan, role: beheerder", "jan, role: admin").replace("a first pass", "another pass")
    text = text.replace("30m", "1h").replace("hidden-token", "hidden-other").replace("to: [a@", "to: [b@")
    (tmp_path / "password").write_text("hidden new one 7")
    ran = apply(tmp_path, text, "--json", zac=OTHER)
    assert (ran.code, ran.json()["failed"], ran.json()["unchanged"]) == (0, 0, 2)
    told = {
        each["name"]: {one["field"]: one.get("after", "secret") for one in each["differences"]}
        for each in ran.json()["changes"]
    }
    (of_zac,) = [each for each in ran.json()["changes"] if each["kind"] == "application"]
    assert [each["field"] for each in of_zac["differences"]] == ["scopes", "label", "secret"]
    assert told == {
        "zaken": {"filters": "bronorganisatie, zaaktype, status"},
        "zac": {"kanalen": "zaken (bronorganisatie=0013)"},
        "jan": {"role": "admin", "password": "secret"},
        "rules": {"held": "on, after 3600 s"},
        "webhook": {"authorization": "secret"},
        "mail": {"to": "b@example.nl"},
    }

    registry, users, alerts = look(tmp_path)
    (application,), (kanaal,) = registry.applications, registry.kanalen
    assert (application.secret, application.old_secret, application.label) == (OTHER, ZAC, "ZAC")
    assert application.scopes == {Scope.PUBLICEREN}
    assert kanaal.documentatie_link == "https://example.nl/zaken"
    assert fits(users["jan"], "hidden new one 7")
    assert fits(users["piet"], "a first pass 1")
    assert alerts.webhook == Webhook("https://chat.example.nl/hooks/hidden-path", "Bearer hidden-other")
    assert registry.abonnementen[0].kanalen_change > before.number


def test_what_the_file_does_not_say_stays(tmp_path: Path) -> None:
    apply(tmp_path, FILE)
    before = look(tmp_path)
    text = """\
kanalen: [{naam: zaken}]
applications: [{clientId: zac}]
users: [{name: jan, role: beheerder}]
alerts: {webhook: {url: https://chat.example.nl/hooks/hidden-path}}
"""
    assert apply(tmp_path, text, "--dry-run").code == 0
    assert apply(tmp_path, text).code == 0
    assert look(tmp_path) == before


def test_scopes_from_elsewhere_and_back(tmp_path: Path) -> None:
    text = "applications: [{clientId: zac, secret: s, %s}]"
    for way, scopes, from_token, from_ac in (
        ("scopesFromToken: true", set(), True, False),
        ("scopes: [publiceren]", {Scope.PUBLICEREN}, False, False),
        ("scopesFromAc: true", set(), False, True),
        ("scopesFromToken: true", set(), True, False),
        ("scopesFromToken: false", set(), False, False),
        ("scopesFromAc: true", set(), False, True),
        ("scopesFromToken: false", set(), False, True),
        ("scopes: []", set(), False, False),
    ):
        assert apply(tmp_path, text % way).code == 0
        (application,) = look(tmp_path)[0].applications
        found = application.scopes, application.scopes_from_token, application.scopes_from_ac
        assert found == (scopes, from_token, from_ac)
        assert apply(tmp_path, text % way, "--dry-run").code == 0


def test_prune_removes_only_kinds_that_the_file_has(tmp_path: Path) -> None:
    apply(tmp_path, FILE)

    async def log_in() -> None:
        async with open_registry(tmp_path / "registry.db") as registry:
            identity = Identity("https://idp.example.nl", "7", "els@example.nl")
            await registry.users.add(User(identity.name, "", Role.LEZER, 0.0, issuer=identity.issuer))

    asyncio.run(log_in())
    text = "users: [{name: jan, role: beheerder}]\nalerts: {mail: {host: mail.example.nl, user: nrc, "
    text += "from: nrc@example.nl, to: [a@example.nl]}}\n"
    assert apply(tmp_path, text, "--dry-run").code == 0
    ran = apply(tmp_path, text, "--prune", "--json")
    assert changes(ran) == [("user", "piet", "remove"), ("alerts", "webhook", "remove")]
    registry, users, alerts = look(tmp_path)
    assert set(users) == {"jan", "https://idp.example.nl#7"}
    assert (alerts.webhook, alerts.mail is None) == (None, False)
    assert len(registry.kanalen) == len(registry.applications) == len(registry.abonnementen) == 1

    gone = apply(
        tmp_path, "kanalen: []\napplications: []\nabonnementen: []\n", "--prune", "--discard-waiting"
    )
    assert gone.code == 0
    registry, *_ = look(tmp_path)
    assert (registry.kanalen, registry.applications, registry.abonnementen) == ((), (), ())


def test_prune_refuses_what_would_leave_abonnementen_behind(tmp_path: Path) -> None:
    apply(tmp_path, FILE)
    before = look(tmp_path)
    ran = apply(tmp_path, "kanalen: []\napplications: []\n", "--prune")
    uuid = before[0].abonnementen[0].uuid
    assert (ran.code, ran.err.splitlines()) == (
        2,
        [
            f"nrc: s.yaml:1: kanalen: --prune would remove kanaal zaken, which 1 abonnement(en) use: {uuid}",
            "nrc: s.yaml:2: applications: --prune would remove application zac, which has 1 abonnement(en): "
            f"{uuid}",
        ],
    )
    assert look(tmp_path) == before


def test_all_that_does_not_fit_the_registry_is_told_and_nothing_done(tmp_path: Path) -> None:
    apply(tmp_path, FILE)
    before = look(tmp_path)
    text = """\
kanalen: [{naam: nieuw}]
applications:
  - clientId: other
abonnementen:
  - {name: zac, clientId: zac, callbackUrl: https://example.nl/, auth: a, kanalen: []}
  - name: b
    clientId: nobody
    callbackUrl: http://localhost:8000/api/v1/notificaties
    kanalen:
      - naam: zakn
      - {naam: zaken, filters: {zaaktyp: a}}
users:
  - {name: els, role: lezer}
  - {name: kees, role: lezer, password: short}
alerts:
  source: "no uri"
  webhook: {url: ftp://example.nl}
  mail: {host: a, from: nobody, to: []}
"""
    ran = apply(tmp_path, text)
    assert ran.code == 2
    assert [line.removeprefix("nrc: s.yaml:") for line in ran.err.splitlines()] == [
        "3: applications.0: other is new, and needs a secret",
        "5: abonnementen.0.type: it is of type pull, which cannot change: give it another name",
        "6: abonnementen.1: b is new, and needs auth",
        "7: abonnementen.1.clientId: there is no application nobody; add it to the file",
        "8: abonnementen.1.callbackUrl: Dit is het adres waarop deze NRC zelf notificaties aanneemt: elk "
        "bericht zou rond blijven gaan.",
        "10: abonnementen.1.kanalen.0: Er bestaat geen kanaal 'zakn'.",
        "11: abonnementen.1.kanalen.1: Kanaal 'zaken' heeft geen filter 'zaaktyp'; wel: 'bronorganisatie', "
        "'zaaktype'.",
        "13: users.0: els is new, and needs a password or an initialPassword",
        "14: users.1.password: a password has at least 12 characters",
        "16: alerts.source: this must be a URI, such as urn:nld:oin:00000001823288444000:systeem:nrc",
        "17: alerts.webhook.url: this must be http(s)://host[:port]/path, without a user",
        "18: alerts.mail.from: this must be a mail address such as nrc@example.nl",
    ]
    assert look(tmp_path) == before


def test_a_step_that_fails_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    text = FILE.replace("type: pull", "callbackUrl: https://example.nl/\n    auth: hidden")
    ran = apply(tmp_path, text)
    assert ran.code == 1
    assert "abonnement zac not added: no router answers: no RabbitMQ: NRC_AMQP_URL is not set" in ran.err
    assert "1 of 9 failed; apply the file again once they can be done" in ran.err
    registry, users, _ = look(tmp_path)
    assert (registry.abonnementen, set(users)) == ((), {"jan", "piet"})

    again = apply(tmp_path, text, "--json")
    assert (again.code, again.json()["failed"], again.json()["unchanged"]) == (1, 1, 8)
    (failed,) = again.json()["changes"]
    assert (failed["kind"], failed["result"]) == ("abonnement", "failed")
    assert apply(tmp_path, FILE).code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "apply which FILE? (- is standard input)"),
        (["nowhere.yaml"], "nowhere.yaml: No such file or directory"),
        (["latin.yaml"], "latin.yaml is not UTF-8 text: invalid continuation byte, at byte 0"),
        (
            ["ok.yaml", "--keep-waiting", "--discard-waiting"],
            "--keep-waiting and --discard-waiting: give one",
        ),
        (["ok.yaml", "--new", "--dry-run"], "--new and --dry-run: give one of them"),
        (["ok.yaml", "--scope", "publiceren"], "--scope, --scopes-from-ac and --owner are for files of Open"),
        (["ok.yaml", "--scope", "publiceren", "--scopes-from-ac"], "--scope and --scopes-from-ac: give one"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: list[str], told: str) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"\xe9a")
    (tmp_path / "ok.yaml").write_text("kanalen: []")
    ran = nrc(tmp_path, "apply", *arguments)
    assert ran.code == 2
    assert ran.err.startswith(f"nrc: {told}")


def test_a_file_on_standard_input_into_a_new_registry(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    assert nrc(folder, "apply", "-", stdin=b"kanalen: [{naam: a}]").code == 2
    assert nrc(folder, "apply", "-", "--new", stdin=b"kanalen: [{naam: a}]").code == 0
    assert [each.naam for each in look(folder)[0].kanalen] == ["a"]


# The JSON schema


def schema(tmp_path: Path) -> Any:
    ran = nrc(tmp_path, "apply", "--schema")
    jsonschema.Draft202012Validator.check_schema(ran.json())
    return jsonschema.Draft202012Validator(ran.json())


def test_editors_take_what_the_command_takes(tmp_path: Path) -> None:
    assert list(schema(tmp_path).iter_errors(yaml.safe_load(FILE))) == []


@pytest.mark.parametrize(
    "text",
    [
        "kanaln: []",
        "kanalen: [{naam: a, filter: [b]}]",
        "kanalen: [{}]",
        "applications: [{clientId: a, scopes: [lezen]}]",
        "users: [{name: a, role: chef}]",
        "alerts: {rules: {helt: {enabled: true}}}",
        "applications: [{clientId: a, secret: {value_from: {}}}]",
    ],
)
def test_editors_mark_what_the_command_refuses(tmp_path: Path, text: str) -> None:
    assert list(schema(tmp_path).iter_errors(yaml.safe_load(text)))
    assert apply(tmp_path, text).code == 2


# A setup_configuration file of Open Notificaties

ON = """\
sites_config_enable: true
sites_config:
  items: [{domain: notificaties.example.nl, name: Open Notificaties}]
zgw_consumers_config_enable: false
zgw_consumers: {services: []}
something_new_config_enable: true
something_new: {}
vng_api_common_credentials_config_enable: true
vng_api_common_credentials:
  items:
    - identifier: open-zaak
      secret: {value_from: {env: ZAC_SECRET}}
    - identifier: zac
      secret: hidden-on-secret
notifications_kanalen_config_enable: true
notifications_kanalen_config:
  items:
    - naam: zaken
      documentatie_link: https://example.nl/zaken
      filters: [bronorganisatie, zaaktype, vertrouwelijkheidaanduiding]
    - naam: documenten
notifications_abonnementen_config_enable: true
notifications_abonnementen_config:
  items:
    - uuid: 0f616bfd-aacc-4d85-a140-2af17a56217b
      callback_url: https://zac.example.nl/notificaties
      auth_type: api_key
      auth: Token hidden
      auth_client_id: zac
      kanalen:
        - naam: zaken
          filters: {vertrouwelijkheidaanduiding: openbaar}
    - uuid: 1c0d9f4e-6d6d-4f0a-9f0e-000000000001
      callback_url: https://oauth.example.nl/notificaties
      auth_type: oauth2_client_credentials
      auth_client_id: zac
      secret: hidden
      oauth2_token_url: https://idp.example.nl/token
      kanalen: [{naam: zaken}]
    - uuid: 1c0d9f4e-6d6d-4f0a-9f0e-000000000002
      callback_url: https://events.example.nl/
      auth: Token hidden
      send_cloudevents: true
      auth_client_id: zac
      cloudevent_filters: [nl.overheid]
    - uuid: 1c0d9f4e-6d6d-4f0a-9f0e-000000000003
      callback_url: https://nobody.example.nl/
      auth: Token hidden
      kanalen: [{naam: documenten}]
    - uuid: 1c0d9f4e-6d6d-4f0a-9f0e-000000000004
      callback_url: https://unknown.example.nl/
      auth: Token hidden
      auth_client_id: unknown
      kanalen: [{naam: documenten}]
"""


ITEMS = "not taken: s.yaml:{0}: notifications_abonnementen_config.items.{1}: "
ITEMS += "1c0d9f4e-6d6d-4f0a-9f0e-00000000000{1}"


def test_a_file_of_open_notificaties(tmp_path: Path) -> None:
    ran = apply(tmp_path, ON)
    assert ran.code == 1  # without RabbitMQ the abonnement can't be made
    assert [line for line in ran.err.splitlines() if line.startswith("not taken: ")] == [
        "not taken: s.yaml:2: sites_config: the address of the API is the setting NRC_PUBLIC_URL here",
        "not taken: s.yaml:6: something_new_config_enable: this step is unknown here",
        "not taken: s.yaml:7: something_new: this name is unknown here",
        f"{ITEMS.format(46, 3)}: it has no auth_client_id, whose it would be: name an application with "
        "--owner",
        f"{ITEMS.format(50, 4)}: there is no application unknown, whose it would be",
    ]
    registry, *_ = look(tmp_path)
    kanalen = {each.naam: each.filters for each in registry.kanalen}
    assert kanalen == {
        "zaken": ("bronorganisatie", "zaaktype", "vertrouwelijkheidaanduiding"),
        "documenten": (),
    }
    assert {each.client_id: (each.secret, each.scopes) for each in registry.applications} == {
        "open-zaak": (ZAC, frozenset()),
        "zac": ("hidden-on-secret", frozenset()),
    }
    assert "open-zaak may do nothing yet: `nrc application grant open-zaak publiceren|consumeren`" in ran.err

    both = ["--scope", "publiceren", "--scope", "consumeren", "--owner", "open-zaak", "--json"]
    ran = apply(tmp_path, ON, *both)
    assert len(ran.json()["notTaken"]) == 4
    assert [(kind, name) for kind, name, _ in changes(ran)] == [
        ("application", "open-zaak"),
        ("application", "zac"),
        ("abonnement", "0f616bfd-aacc-4d85-a140-2af17a56217b"),
        ("abonnement", "1c0d9f4e-6d6d-4f0a-9f0e-000000000001"),
        ("abonnement", "1c0d9f4e-6d6d-4f0a-9f0e-000000000002"),
        ("abonnement", "1c0d9f4e-6d6d-4f0a-9f0e-000000000003"),
    ]
    (events,) = [each for each in ran.json()["changes"] if each["name"].endswith("0002")]
    (option,) = [each["after"] for each in events["differences"] if each["field"] == "options"]
    assert json.loads(option) == {"cloudevents": {"filters": [{"typeSubstring": "nl.overheid"}]}}
    assert {each.scopes for each in look(tmp_path)[0].applications} == {frozenset(Scope)}
    assert len(changes(apply(tmp_path, ON, "--json"))) == 3  # scopes stay as they are
    from_ac = apply(tmp_path, ON, "--scopes-from-ac")
    assert "it may do nothing until NRC_AC_URL is set for the gateways" in from_ac.err
    assert all(each.scopes_from_ac for each in look(tmp_path)[0].applications)


def test_faults_of_such_a_file_have_its_own_names(tmp_path: Path) -> None:
    text = ON.replace("callback_url: https://zac.example.nl", "callback_url: zac.example.nl")
    text = text.replace("naam: documenten\n", "documentatie_link: a\n", 1).replace(
        "openbaar}", "openbaar, x: 1}"
    )
    ran = apply(tmp_path, text)
    assert ran.code == 2
    assert [line for line in ran.err.splitlines() if not line.startswith("not taken")] == [
        "nrc: s.yaml:21: notifications_kanalen_config.items.1.naam: this is required",
        "nrc: s.yaml:21: notifications_kanalen_config.items.1.documentatie_link: Voer een volledige http- "
        "of https-URL in, met een host.",
        "nrc: s.yaml:26: notifications_abonnementen_config.items.0.callback_url: Voer een volledige http- "
        "of https-URL in, met een host.",
    ]
    assert look(tmp_path)[0].number == 0
    pruned = apply(tmp_path, ON, "--prune")
    assert (pruned.code, pruned.err[:55]) == (2, "nrc: --prune is not for a file of Open Notificaties, of")


@pytest.mark.parametrize(("auth", "kept"), [("", False), (", auth: Token test", True)])
def test_an_abonnement_changes_hands_with_the_auth_that_the_file_names(
    tmp_path: Path, auth: str, kept: bool
) -> None:
    known = an_abonnement()

    async def make() -> None:
        async with open_registry(tmp_path / "registry.db") as registry:
            await registry.add_abonnement(known)

    asyncio.run(make())
    text = (
        f"applications: [{{clientId: zac, secret: s}}]\nabonnementen: [{{uuid: {known.uuid}, clientId: zac, "
    )
    text += f"callbackUrl: {json.dumps(known.callback_url)}, kanalen: []{auth}}}]"
    ran = apply(tmp_path, text)
    assert ran.code == 0

    async def look() -> Abonnement:
        async with open_registry(tmp_path / "registry.db") as registry:
            (found,) = (await registry.changes_since(0)).abonnementen
            return found

    found = asyncio.run(look())
    assert (found.client_id, found.auth) == ("zac", known.auth if kept else "")
    assert ("suspended until zac sets its own auth" in ran.err) != kept
    again = apply(tmp_path, text, "--dry-run")
    assert again.code == 0


def test_an_abonnement_that_is_there_keeps_its_auth(tmp_path: Path) -> None:
    known = an_abonnement()

    async def make() -> None:
        async with open_registry(tmp_path / "registry.db") as registry:
            await registry.add_abonnement(known)

    asyncio.run(make())
    text = f"applications: [{{clientId: test, secret: s}}]\nabonnementen: [{{uuid: {known.uuid}, "
    text += f"clientId: test, callbackUrl: {json.dumps(known.callback_url)}, kanalen: []}}]"
    ran = apply(tmp_path, text, "--json")
    assert (ran.code, changes(ran)) == (0, [("application", "test", "add")])


MAPPINGS = """
mappings:
  - name: gemeente
    rules:
      - {kanaal: zaken, resource: status, data: none, type: nl.example.zaak-bijgewerkt,
         dataref: "{hoofdObject}"}
      - {type: "nl.example.{kanaal}.{actie}", data: notificatie}
"""


def test_own_mappings_to_cloudevents(tmp_path: Path) -> None:
    ran = apply(tmp_path, MAPPINGS)
    assert ran.code == 0, ran.err
    mappings = look(tmp_path)[0].mappings
    assert mappings is not None
    assert [rule.type for rule in mappings["gemeente"].rules] == [
        "nl.example.zaak-bijgewerkt", "nl.example.{kanaal}.{actie}",
    ]  # fmt: skip
    assert changes(apply(tmp_path, MAPPINGS, "--json")) == []
    other = apply(tmp_path, MAPPINGS.replace("data: none", "data: kenmerken"), "--json")
    assert [(kind, name) for kind, name, _ in changes(other)] == [("mapping", "gemeente")]
    wrong = apply(tmp_path, MAPPINGS.replace("{hoofdObject}", "{password}").replace("gemeente", "gemma"))
    assert wrong.code == 2
    assert "{password} bestaat niet" in wrong.err
    assert "gemma is er al vanzelf" in wrong.err
    gone = apply(tmp_path, "mappings: []", "--prune")
    assert gone.code == 0, gone.err
    assert look(tmp_path)[0].mappings == {}


def test_an_abonnement_can_only_have_a_mapping_that_there_is(tmp_path: Path) -> None:
    abonnement = """
applications: [{clientId: omc, secret: a-secret-of-omc-that-is-long, scopes: [consumeren]}]
abonnementen:
  - name: omc
    clientId: omc
    callbackUrl: https://omc.example.nl/events
    auth: Token x
    options: {cloudevents: {mapping: gemeente}}
    kanalen: []
"""
    refused = apply(tmp_path, abonnement, "--dry-run")
    assert refused.code != 0
    assert "there is no mapping gemeente; there are gemma, mijnoverheid, on" in refused.err
    planned = apply(tmp_path, MAPPINGS + abonnement, "--dry-run", "--json")
    assert [kind for kind, *_ in changes(planned)] == ["application", "mapping", "abonnement"]
