"""The form about CloudEvents on the console: filled in and posted over HTTP, and what is delivered by it."""

from __future__ import annotations

import html
import json
import re
import time
from dataclasses import replace

import pytest

from console.pages.abonnementen.one import acts_of
from deliverer.events.request import Events, Rendered
from schemas.abonnement import Abonnement, Hold, State
from schemas.events.mapping import Data, EventMapping, Rule
from schemas.user import Role
from tests.callback_server import Received, Wire, status
from tests.contract.api import Callback
from tests.integration.console.beheer.test_abonnementen import acts, latest, one_more, text_of
from tests.integration.console.conftest import Browser, Page, Served

NOTIFICATIE = {
    "kanaal": "zaken",
    "hoofdObject": "https://zaken.example.nl/api/v1/zaken/1",
    "resource": "status",
    "resourceUrl": "https://zaken.example.nl/api/v1/statussen/2",
    "actie": "create",
    "aanmaakdatum": "2026-03-27T10:59:13Z",
    "kenmerken": {"bronorganisatie": "224557609"},
}
ID = "0198c4d0-0000-7000-8000-000000000001"


def form_of(page: Page) -> dict[str, str]:
    """The fields of the form about CloudEvents as a browser has them, with its token."""
    (form,) = (
        each
        for each in re.findall(r"<form.*?</form>", page.text, re.DOTALL)
        if 'name="doen" value="cloudevents"' in each
    )
    fields = dict(re.findall(r'<input[^>]* name="([^"]+)" value="([^"]*)"', form))
    for name, options in re.findall(r'<select[^>]* name="([^"]+)".*?>(.*?)</select>', form, re.DOTALL):
        chosen = re.search(r'<option[^>]* value="([^"]*)" selected', options) or re.search(
            r'<option[^>]* value="([^"]*)"', options
        )
        assert chosen, options
        fields[name] = chosen[1]
    for name, text in re.findall(r'<textarea[^>]* name="([^"]+)"[^>]*>(.*?)</textarea>', form, re.DOTALL):
        fields[name] = html.unescape(text).strip()
    return fields


async def fill_in(browser: Browser, path: str, **changed: str) -> Page:
    """Post the form of the page as it stands there, with these fields changed."""
    fields = form_of(await browser.get(path))
    assert fields.keys() == {"token", "doen", "vorm", "mapping", "sequence", "filters"}
    return await browser.post(path, fields | changed)


def sent(abonnement: Abonnement, own: EventMapping) -> Rendered:
    """What its callback gets of the notificatie."""
    events = Events(lambda: {"eigen": own}, source="urn:nld:oin:00000001823288444000:systeem:nrc")
    assert abonnement.options is not None
    made = events.of(abonnement.options, id=ID, body=json.dumps(NOTIFICATIE).encode())
    assert isinstance(made, Rendered)
    return made


async def agrees(wire: Wire, received: Received) -> bool:
    agreed = {"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "120"}
    return await status(200, headers=agreed if received.method == "OPTIONS" else {})(wire, received)


async def test_a_callback_gets_cloudevents_as_the_form_says_and_notificaties_again(served: Served) -> None:
    own = EventMapping(rules=(Rule(type="nl.example.{resource}", data=Data.NOTIFICATIE),))
    await served.registry.set_event_mapping("eigen", own)
    async with Callback() as callback, served.browser(Role.BEHEERDER) as browser:
        callback.script("/events", agrees)
        abonnement = await one_more(served, callback=callback.url("/events"))
        page, path = f"abonnementen/{abonnement.uuid}/", f"abonnementen/{abonnement.uuid}/cloudevents/"
        shown = await browser.get(page)
        assert 'href="cloudevents/"' in shown.text or f'{abonnement.uuid}/cloudevents/"' in shown.text
        assert "Krijgt CloudEvents" not in shown.text
        assert form_of(await browser.get(path)) | {"token": ""} == {
            "token": "",
            "doen": "cloudevents",
            "vorm": "geen",
            "mapping": "on",
            "sequence": "",
            "filters": "",
        }

        filters = "nl.overheid.taken; bronorganisatie=224557609"
        done = await fill_in(
            browser, path, vorm="binary", mapping="eigen", sequence="ja", filters=f"{filters}\r\n"
        )
        assert done.status == 200
        text = text_of(done.text)
        assert "Vanaf nu gaat het zo naar de callback, ook wat al wachtte." in text
        assert "vorm binary, mapping eigen, met sequence" in text
        assert re.search(r"de callback stemde ermee in \(\S+\), 120 per minuut", text)
        assert f"filter: {filters}" in text
        assert [each.method for each in callback.received] == ["OPTIONS"]
        changed = await latest(served, abonnement.uuid)
        assert changed.options is not None and changed.options.most_a_second == 2
        made = sent(changed, own)
        assert json.loads(made.body) == NOTIFICATIE
        assert (made.headers["ce-type"], made.headers["ce-id"]) == ("nl.example.status", ID)
        assert "ce-sequence" in made.headers and "WebHook-Request-Origin" in made.headers

        again = form_of(await browser.get(path))
        assert (again["vorm"], again["mapping"], again["sequence"], again["filters"]) == (
            *("binary", "eigen", "ja"),
            filters,
        )
        done = await fill_in(browser, path, vorm="structured", mapping="mijnoverheid", filters="")
        assert "vorm structured, mapping mijnoverheid, met sequence" in text_of(done.text)
        made = sent(await latest(served, abonnement.uuid), own)
        assert made.headers["Content-Type"] == "application/cloudevents+json"
        assert json.loads(made.body)["type"] == "nl.overheid.zaken.zaak-gemuteerd"

        done = await fill_in(browser, path, vorm="geen")
        assert "Krijgt CloudEvents" not in done.text
        assert (await latest(served, abonnement.uuid)).options is None
    noted = await acts(served, abonnement.uuid)
    assert noted[0] == ("delivery options changed", "beheerder", "console abonnement-handeling/cloudevents")
    assert len(noted) == 3


async def test_what_is_not_filled_in_well_changes_nothing(served: Served) -> None:
    async with Callback() as callback, served.browser(Role.BEHEERDER) as browser:
        abonnement = await one_more(served, callback=callback.url("/"))
        path = f"abonnementen/{abonnement.uuid}/cloudevents/"
        for changed, told in (
            ({"vorm": "xml"}, "mode: "),
            ({"vorm": "binary", "mapping": "weg"}, "weg"),
            ({"vorm": "binary", "filters": "taken; bronorganisatie"}, "schrijf naam=waarde"),
        ):
            page = await fill_in(browser, path, **changed)
            assert page.status == 400
            assert told in text_of(page.text)
        refused = await fill_in(browser, path, vorm="binary", token="0" * 64)
        assert (refused.status, "verlopen" in refused.text) == (400, True)
        assert (await latest(served, abonnement.uuid)).options is None
    async with served.browser(Role.LEZER) as reader:
        assert (await reader.get(path)).status == 403


@pytest.mark.parametrize("state", State)
async def test_the_page_of_each_act_has_its_form(served: Served, state: State) -> None:
    """A branch in the wrong place of their template shows none, and is no fault."""
    hold = Hold(time.time(), 1, time.time() + 60) if state is State.HELD else None
    abonnement = await one_more(served)
    await served.registry.change_abonnement(
        abonnement.uuid, lambda latest: replace(latest, state=state, hold=hold)
    )
    async with served.browser(Role.ADMIN) as browser:
        for act in acts_of(replace(abonnement, state=state, hold=hold)):
            page = await browser.get(f"abonnementen/{abonnement.uuid}/{act.name}/")
            assert f'name="doen" value="{act.name}"' in page.text, act.name
