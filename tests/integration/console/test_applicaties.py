"""Applicaties and Tokens: what `nrc application` and `nrc token` do, in a browser."""

from __future__ import annotations

import html
import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import jwt
import pytest
from markupsafe import escape

from operating.applications import LEAST_SECRET
from schemas.application import Application, Scope
from schemas.user import Role
from store.registry import ActSearch
from store.secret_uses import SecretUse, UsedSecret
from tests.autorisaties.server import AutorisatiesApi
from tests.integration.console.conftest import NO_GATEWAY, SECRET, Browser, Page, Served, console_on
from tests.integration.console.test_overzicht import text_of
from tests.make import an_abonnement

ONE = "applicaties/een/?id="


@pytest.fixture
async def admin(served: Served) -> AsyncIterator[Browser]:
    async with served.browser(Role.ADMIN) as browser:
        yield browser


async def application(served: Served, client_id: str) -> Application | None:
    found = (await served.registry.changes_since(0)).applications
    return next((each for each in found if each.client_id == client_id), None)


async def kept(served: Served, client_id: str) -> Application:
    found = await application(served, client_id)
    assert found is not None
    return found


async def make(served: Served, client_id: str, **more: object) -> Application:
    """An application that the console knows."""
    made = Application(client_id, SECRET, scopes=frozenset({Scope.CONSUMEREN}))
    await served.registry.add_application(replace(made, **more))  # type: ignore[arg-type]
    return await kept(served, client_id)


def secret_in(page: Page) -> str:
    """The secret that the page shows."""
    found = re.search(r'aria-label="Geheim"><code[^>]*>([^<]+)</code>', page.text)
    assert found, page.text
    return html.unescape(found[1])


async def noted(served: Served, what: str) -> dict[str, object]:
    """The newest act of this kind: its facts, and who did it."""
    (act,) = await served.registry.acts(ActSearch(what=what), limit=1)
    return {**act.facts, "by": act.user, "command": act.command}


async def test_a_new_secret_is_shown_once(served: Served, admin: Browser) -> None:
    page = await admin.act(
        "applicaties/",
        "toevoegen",
        client_id="nieuw",
        label="Iets <b>nieuws</b>",
        rechten=["notificaties.publiceren"],
    )
    made = await kept(served, "nieuw")
    assert secret_in(page) == made.secret
    assert len(made.secret.encode()) >= LEAST_SECRET
    assert (made.label, made.scopes) == ("Iets <b>nieuws</b>", {Scope.PUBLICEREN})
    assert "<b>" not in page.text
    again = await admin.get("applicaties/")
    assert made.secret not in again.text
    assert made.secret not in (await admin.get(f"{ONE}nieuw")).text
    assert await noted(served, "application added") == {
        "application": "nieuw",
        "scopes": ["notificaties.publiceren"],
        "label": "Iets <b>nieuws</b>",
        "address": "127.0.0.1",
        "by": "admin",
        "command": "console applicaties/toevoegen",
    }


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"client_id": ""}, "1 tot 255 zichtbare tekens"),
        ({"client_id": "x" * 256}, "1 tot 255 zichtbare tekens"),
        ({"client_id": "a\nb"}, "1 tot 255 zichtbare tekens"),
        ({"client_id": "fine", "label": "x" * 201}, "hoogstens 200 zichtbare tekens"),
        ({"client_id": "fine", "label": "a\x00b"}, "hoogstens 200 zichtbare tekens"),
        ({"client_id": "zac"}, "Er is al een applicatie zac"),
    ],
)
async def test_what_is_no_application_is_refused(
    served: Served, admin: Browser, fields: dict[str, str], told: str
) -> None:
    page = await admin.act("applicaties/", "toevoegen", **fields)
    assert (page.status, told in page.text) == (400, True), page.text
    assert await application(served, "fine") is None


async def test_a_client_id_of_any_characters_has_its_page(served: Served, admin: Browser) -> None:
    client_id = 'a/b?c=d&e #%27"<é>'
    await admin.act("applicaties/", "toevoegen", client_id=client_id)
    listed = (await admin.get("applicaties/")).text
    (link,) = (
        each for each in re.findall(r'href="\.\./(applicaties/een/\?id=[^"]+)"', listed) if "a/b" in each
    )
    page = await admin.get(html.unescape(link))
    assert str(escape(client_id)) in page.text
    assert page.status == 200


async def test_another_secret_with_the_old_one_for_a_time(served: Served, admin: Browser) -> None:
    before = await make(served, "rotating")
    page = await admin.act(
        f"{ONE}rotating", "geheim", versie=str(before.change), oud="1u", waarom="het stond in een mail"
    )
    after = await kept(served, "rotating")
    assert secret_in(page) == after.secret != before.secret
    assert after.old_secret == before.secret
    assert 3590 < after.old_secret_until - time.time() <= 3600
    assert (await noted(served, "secret rotated"))["why"] == "het stond in een mail"

    sent_twice = await admin.act(f"{ONE}rotating", "geheim", versie=str(before.change), oud="1u", waarom="x")
    assert (sent_twice.status, "intussen veranderd" in sent_twice.text) == (409, True)
    assert await kept(served, "rotating") == after

    await admin.act(f"{ONE}rotating", "oud-geheim", waarom="iedereen is over")
    revoked = await kept(served, "rotating")
    assert (revoked.secret, revoked.old_secret) == (after.secret, "")
    assert (await noted(served, "old secret revoked"))["why"] == "iedereen is over"


async def test_who_still_uses_the_old_secret_is_told_before_it_is_revoked(
    served: Served, admin: Browser
) -> None:
    await make(served, "changing", secret="n" * 40, old_secret="o" * 40, old_secret_until=4e9)
    page = text_of((await admin.get(f"{ONE}changing")).text)
    assert "Geheim laatst gebruikt geen gebruik gezien" in page
    assert "laatst gebruikt: geen gebruik gezien" in page
    assert "nog in gebruik" not in page
    assert "Van het nieuwe geheim is nog geen gebruik gezien." in page

    now = time.time()
    uses = [
        UsedSecret("changing", "o" * 40, SecretUse(now - 190, "10.0.0.5", "agent/1.0 <b>")),
        UsedSecret("changing", "n" * 40, SecretUse(now - 5000, "10.0.0.6", "")),
    ]
    await served.registry.note_secret_uses(uses)
    page = text_of((await admin.get(f"{ONE}changing")).text)
    used = "3 minuten geleden, vanaf 10.0.0.5 (agent/1.0 <b>)"
    assert f"Het oude geheim is nog in gebruik: {used}." in page
    assert f"laatst gebruikt: {used}" in page
    assert "Geheim laatst gebruikt 1 uur geleden, vanaf 10.0.0.6 " in page
    assert "geen gebruik gezien" not in page
    assert used in text_of((await admin.get("applicaties/")).text)


async def test_another_secret_at_once(served: Served, admin: Browser) -> None:
    before = await make(served, "leaked")
    await admin.act(f"{ONE}leaked", "geheim", versie=str(before.change), oud="niet", waarom="gelekt")
    after = await kept(served, "leaked")
    assert after.old_secret == ""
    assert after.secret != before.secret


@pytest.mark.parametrize(
    "fields",
    [
        {"versie": "1", "oud": "altijd", "waarom": "x"},
        {"versie": "x", "oud": "1u", "waarom": "x"},
        {"versie": "9" * 30, "oud": "1u", "waarom": "x"},
        {"versie": "1", "oud": "1u"},
        {"versie": "1", "oud": "1u", "waarom": "x" * 501},
    ],
)
async def test_a_wrong_form_changes_no_secret(served: Served, admin: Browser, fields: dict[str, str]) -> None:
    page = await admin.act(f"{ONE}bron", "geheim", **fields)
    assert page.status == 400
    assert (await kept(served, "bron")).secret == SECRET


async def test_rights_become_what_is_checked(served: Served, admin: Browser) -> None:
    await make(served, "rights")
    for wanted in ([], ["notificaties.publiceren"], ["notificaties.publiceren", "notificaties.consumeren"]):
        page = await admin.act(f"{ONE}rights", "rechten", rechten=wanted, waarom="daarom")
        assert (page.status, "zijn veranderd" in page.text) == (200, True)
        assert (await kept(served, "rights")).scopes == {*wanted}
    assert (await noted(served, "scopes granted"))["scopes"] == ["notificaties.consumeren"]
    same = await admin.act(f"{ONE}rights", "rechten", rechten=[*Scope], waarom="nog eens")
    assert "waren al zo" in same.text


async def test_rights_from_tokens_stay_so(served: Served, admin: Browser) -> None:
    before = await make(served, "of2019", scopes=frozenset(), scopes_from_token=True)
    page = await admin.post(
        f"{ONE}of2019",
        {"token": (await admin.get()).token, "doen": "rechten", "rechten": "notificaties.publiceren"},
    )
    assert page.status == 400
    assert await kept(served, "of2019") == before


async def test_rights_from_the_autorisaties_api(served: Served) -> None:
    await make(served, "of-the-ac")
    async with (
        AutorisatiesApi() as ac,
        console_on(served.settings.model_copy(update=ac.settings())) as console,
        console.browser(Role.ADMIN) as admin,
    ):
        ac.put("of-the-ac", scopes=["notificaties.publiceren"])
        both = {"bron": "ac", "rechten": "notificaties.publiceren", "waarom": "x"}
        page = await admin.act(f"{ONE}of-the-ac", "rechten", **both)
        assert (page.status, "Vink geen rechten aan" in page.text) == (400, True)
        page = await admin.act(f"{ONE}of-the-ac", "rechten", bron="ac", waarom="daar horen ze")
        assert "komen nu uit de Autorisaties API" in page.text
        assert "notificaties.publiceren, als Applicatie van of-the-ac" in text_of(page.text)
        after = await kept(served, "of-the-ac")
        assert (after.scopes_from_ac, after.scopes) == (True, frozenset())
        assert (await noted(served, "source of scopes changed"))["now"] == "from the Autorisaties API"
        assert "Autorisaties API" in (await admin.get("applicaties/")).text
        await ac.stop()
        assert "De Autorisaties API zegt nu geen antwoord" in text_of(
            (await admin.get(f"{ONE}of-the-ac")).text
        )
        page = await admin.act(f"{ONE}of-the-ac", "rechten", bron="hier", rechten=[*Scope], waarom="terug")
        assert (await kept(served, "of-the-ac")).scopes == {*Scope}
        await admin.act("applicaties/", "toevoegen", client_id="new-of-the-ac", bron="ac")
        assert (await kept(served, "new-of-the-ac")).scopes_from_ac
        for wrong in ("elders", "ac "):
            page = await admin.act("applicaties/", "toevoegen", client_id="x", bron=wrong, rechten=[*Scope])
            assert page.status == 400


async def test_without_an_autorisaties_api_there_is_nothing_to_choose(served: Served, admin: Browser) -> None:
    await make(served, "lost-its-ac", scopes=frozenset(), scopes_from_ac=True)
    assert "Waar komen de rechten vandaan?" not in (await admin.get(f"{ONE}bron")).text
    page = await admin.act(f"{ONE}bron", "rechten", bron="ac", waarom="x")
    assert (page.status, "geen Autorisaties API ingesteld" in page.text) == (400, True)
    assert "geen Autorisaties API ingesteld" in (await admin.get(f"{ONE}lost-its-ac")).text


async def test_it_is_removed_when_its_name_is_typed(served: Served, admin: Browser) -> None:
    await make(served, "leaving")
    wrong = await admin.act(f"{ONE}leaving", "verwijderen", bevestiging="leavin", waarom="x")
    assert (wrong.status, "Typ het client-id over" in wrong.text) == (400, True)
    right = await admin.act(f"{ONE}leaving", "verwijderen", bevestiging="leaving", waarom="opgeheven")
    assert right.url == f"{served.root}applicaties/"
    assert "leaving is verwijderd." in right.text
    assert "leaving is verwijderd." not in (await admin.get("applicaties/")).text, "said once"
    assert await application(served, "leaving") is None
    assert (await noted(served, "application removed"))["why"] == "opgeheven"
    assert (await admin.get(f"{ONE}leaving")).status == 404


@pytest.mark.parametrize("what", ["geven", "bewaren", "weg"])
async def test_its_abonnementen_go_where_it_is_said(served: Served, admin: Browser, what: str) -> None:
    await make(served, "owner")
    abonnement = replace(
        an_abonnement(("zaken", {}), callback=f"http://127.0.0.1:9/{what}"), client_id="owner"
    )
    await served.registry.add_abonnement(abonnement)
    unsaid = await admin.act(f"{ONE}owner", "verwijderen", bevestiging="owner", waarom="x")
    assert (unsaid.status, "Zeg wat er met de abonnementen moet" in unsaid.text) == (400, True)
    nobody = await admin.act(
        f"{ONE}owner", "verwijderen", bevestiging="owner", waarom="x", abonnementen="geven", aan="nobody"
    )
    assert nobody.status == 400

    page = await admin.act(
        f"{ONE}owner", "verwijderen", bevestiging="owner", waarom="x", abonnementen=what, aan="bron"
    )
    assert page.url == f"{served.root}applicaties/", page.text
    found = {each.uuid: each.client_id for each in (await served.registry.changes_since(0)).abonnementen}
    assert found.get(abonnement.uuid) == ("bron" if what == "geven" else None)


async def test_others_see_applications_and_change_none(served: Served) -> None:
    for role in (Role.LEZER, Role.BEHEERDER):
        async with served.browser(role) as browser:
            assert "Zaakafhandelcomponent" in (await browser.get("applicaties/")).text
            page = await browser.get(f"{ONE}zac")
            assert page.status == 200
            assert "Nieuw geheim" not in page.text
            assert "doen" not in page.text
            assert (await browser.get("tokens/")).status == 403
            token = page.token
            for path, doen in (
                ("applicaties/", "toevoegen"),
                *((f"{ONE}zac", doen) for doen in ("rechten", "geheim", "oud-geheim", "verwijderen")),
                ("tokens/", "maken"),
            ):
                refused = await browser.post(path, {"token": token, "doen": doen, "id": "zac"})
                assert refused.status == 403, doen
    assert (await kept(served, "zac")).secret == SECRET


# Tokens


async def test_a_token_is_ready_to_use(served: Served, admin: Browser) -> None:
    page = await admin.act(
        "tokens/", "maken", id="zac", rechten="notificaties.consumeren", leven="15m", vorm="nu"
    )
    assert page.status == 200
    found = re.search(r"Authorization: Bearer ([\w.-]+)</code>", page.text)
    assert found, page.text
    claims = jwt.decode(found[1], SECRET, algorithms=["HS256"])
    assert (claims["client_id"], claims["zds"]) == ("zac", {"scopes": ["notificaties.consumeren"]})
    assert claims["exp"] - claims["iat"] == 900
    curl = re.search(r"curl -H &#39;Authorization: Bearer [\w.-]+&#39; (\S+)</code>", page.text)
    assert curl, page.text
    assert curl[1] == f"http://{NO_GATEWAY}/api/v1/kanaal"
    act = await noted(served, "token made")
    assert (act["application"], act["scopes"], act["by"]) == ("zac", ["notificaties.consumeren"], "admin")
    assert found[1] not in str(act)


async def test_a_token_in_the_form_of_2019(admin: Browser) -> None:
    page = await admin.act("tokens/", "maken", id="bron", leven="1d", vorm="2019")
    assert "weigert het na 3600 s" in page.text
    found = re.search(r"Authorization: Bearer ([\w.-]+)</code>", page.text)
    assert found, page.text
    assert jwt.get_unverified_header(found[1])["client_identifier"] == "bron"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"id": "nobody", "leven": "1u"}, "Kies een applicatie"),
        ({"leven": "1u"}, "Kies een applicatie"),
        ({"id": "zac", "leven": "altijd"}, "Kies hoe lang"),
    ],
)
async def test_a_token_of_nothing_is_refused(admin: Browser, fields: dict[str, str], told: str) -> None:
    page = await admin.act("tokens/", "maken", **fields)
    assert (page.status, told in page.text) == (400, True)
