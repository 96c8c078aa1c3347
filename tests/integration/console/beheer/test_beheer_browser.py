"""What is looked after, in a real browser: axe, widths, the keyboard, hostile texts, acts without a mouse."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, BrowserContext, expect

from console.pages.abonnementen.acting import ACTIONS
from ledger.operating.replays import Progress
from schemas.callback_auth import new_signing_secret
from schemas.user import Role
from tests.browser.chromium import opened, shown
from tests.browser.inspecting import check_keyboard
from tests.integration.console.beheer.filling import HOSTILE, Filled, fill
from tests.integration.console.conftest import Served
from tests.integration.console.windows import check_page, logged_in_window
from tests.make import an_abonnement
from tests.tls.certificates import Authority
from tests.tls.server import MtlsServer

PAGES = (
    "list", "nothing", "well", "failing", "held", "suspended", "hostile",
    *(f"held/{name}" for name in ACTIONS), "suspended/stilleggen",
    "kanalen", "kanalen-nothing", "zaken", "documenten", "stil",
    "opnieuw", *(f"herhaling-{each}" for each in Progress), "nieuw", "nieuw-fault", "nieuw-counted",
    "wachtend", "wachtend-nu", "wachtend-schrappen",
)  # fmt: skip


@pytest.fixture(scope="module")
async def filled(served: Served) -> Filled:
    return await fill(served)


@pytest.fixture(scope="module")
async def window(browser: Browser, served: Served, filled: Filled) -> AsyncIterator[BrowserContext]:
    async with logged_in_window(browser, served, Role.BEHEERDER) as opened:
        yield opened


def path_of(filled: Filled, name: str) -> str:
    which, _, act = name.partition("/")
    if which.startswith("kanalen"):
        return "kanalen/" + ("?zoek=nothing-like-this" if which.endswith("nothing") else "")
    if which.startswith("herhaling-"):
        return f"opnieuw/{filled.replays[Progress(which.partition('-')[2])]}/"
    if which.startswith("wachtend"):
        doen = which.partition("-")[2]
        return f"opnieuw/wachtend/{filled.failing.uuid}/{doen}/" if doen else "opnieuw/wachtend/"
    if which.startswith("nieuw"):
        counted = f"?tellen=1&naar={filled.held.uuid}&kanaal=zaken&sinds=1h&toestand=delivered"
        queries = {"nieuw-fault": "?tellen=1&sinds=x", "nieuw-counted": counted}
        return f"opnieuw/nieuw/{queries.get(which, '')}"
    if which == "opnieuw":
        return "opnieuw/"
    if which in filled.kanalen:
        return f"kanalen/{filled.kanalen[which].uuid}/"
    if which in ("list", "nothing"):
        return "abonnementen/" + ("?zoek=nothing-like-this" if which == "nothing" else "")
    return f"abonnementen/{getattr(filled, which).uuid}/" + (f"{act}/" if act else "")


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_is_accessible_and_quiet_and_the_keyboard_reaches_everything(
    window: BrowserContext, filled: Filled, name: str
) -> None:
    page, said = await shown(window, path_of(filled, name))
    await check_page(page, said, f"beheer-{name.replace('/', '-')}")
    await check_keyboard(page)


async def test_hostile_texts_are_texts(window: BrowserContext, filled: Filled) -> None:
    page, said = await opened(window, path_of(filled, "hostile"))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    await expect(page.get_by_role("main")).to_contain_text(f"({HOSTILE})")
    await expect(page.get_by_role("main")).to_contain_text(f"https://x.nl/{HOSTILE}")
    await page.goto("abonnementen/")
    await expect(page.get_by_role("main")).to_contain_text(f"https://x.nl/{HOSTILE}")
    for naam, told in (("documenten", "javascript:alert(3)"), ("stil", HOSTILE), ("zaken", HOSTILE)):
        await page.goto(path_of(filled, naam))
        await expect(page.get_by_role("main")).to_contain_text(told)
        assert await page.locator("main [href^='javascript']").count() == 0
        assert await page.locator("main script, main img").count() == 0
    for path in ("opnieuw/", path_of(filled, "herhaling-done")):
        await page.goto(path)
        await expect(page.get_by_role("main")).to_contain_text(HOSTILE)
        assert await page.locator("main script, main img").count() == 0
    await page.goto("kanalen/")
    assert await page.locator("main [href^='javascript']").count() == 0
    assert await page.locator("main script, main img").count() == 0
    assert said == []
    await page.close()


@pytest.mark.parametrize("javascript", [True, False])
async def test_an_act_with_the_keyboard_alone(
    browser: Browser, served: Served, filled: Filled, javascript: bool
) -> None:
    abonnement = await served.registry.add_abonnement(an_abonnement(("zaken", {})))
    async with logged_in_window(browser, served, Role.BEHEERDER, javascript=javascript) as window:
        page = window.pages[0]
        await page.goto(f"abonnementen/?zoek={abonnement.uuid}")
        await page.get_by_role("link", name=abonnement.callback_url).focus()
        await page.keyboard.press("Enter")
        await page.get_by_role("link", name="Stilleggen").focus()
        await page.keyboard.press("Enter")
        await page.get_by_label("Reden").focus()
        await page.keyboard.type("onderhoud bij de afnemer")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("Het abonnement ligt stil.")
        await expect(page.get_by_role("main")).to_contain_text("stil (onderhoud bij de afnemer)")


@pytest.mark.parametrize("javascript", [True, False])
async def test_a_replay_with_the_keyboard_alone(
    browser: Browser, served: Served, filled: Filled, javascript: bool
) -> None:
    async with logged_in_window(browser, served, Role.BEHEERDER, javascript=javascript) as window:
        page = window.pages[0]
        await page.goto(path_of(filled, "held"))
        await page.get_by_role("link", name="Opnieuw verzenden").focus()
        await page.keyboard.press("Enter")
        await page.get_by_label("Aangenomen sinds").focus()
        await page.keyboard.type("1h")
        await page.keyboard.press("Enter")
        await page.get_by_label("Reden").focus()
        await page.keyboard.type("hun back-up was een uur oud")
        await page.get_by_label("Hoeveel per seconde, ten hoogste").focus()
        await page.keyboard.press("Control+a")
        await page.keyboard.type("1,5")
        await page.get_by_role("button", name="Opnieuw verzenden").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("is begonnen")
        await expect(page.get_by_role("button", name="Voortgang stilzetten")).to_have_count(int(javascript))
        await page.get_by_role("button", name="Pauzeren").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("is gepauzeerd")
        await page.get_by_text("Stoppen", exact=True).focus()
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Herhaling stoppen").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("is gestopt")
        await expect(page.get_by_role("button", name="Hervatten")).to_have_count(0)


async def test_every_kind_of_credentials_by_its_form(
    browser: Browser, served: Served, filled: Filled
) -> None:
    """As somebody does it: fill in one form, press its button, and read what goes along from then on."""
    servers, clients = Authority.new("Servers"), Authority.new("Clients")
    own = clients.issue("nrc.gemeente.example.nl")
    with MtlsServer(servers.issue("server"), clients=clients, demand=False) as server:
        token = '{"access_token": "one", "expires_in": 600}'
        server.answer = lambda seen: (200, token) if seen.path == "/token" else 204 if seen.serial else 401
        new = an_abonnement(("zaken", {}), callback=server.url())
        path = f"abonnementen/{(await served.registry.add_abonnement(new)).uuid}/inloggegevens/"
        async with logged_in_window(browser, served, Role.BEHEERDER) as window:
            page, said = await opened(window, path)

            async def done(button: str, fields: dict[str, str], told: str, chosen: str = "") -> None:
                await page.goto(path)
                form = page.locator("form").filter(has=page.locator("button", has_text=button))
                if button != "Weghalen":
                    await page.locator("details").filter(has=form).locator("summary").click()
                for label, text in fields.items():
                    await form.get_by_role("textbox", name=label).fill(text)
                if chosen:
                    await form.get_by_role("combobox").select_option(label=chosen)
                await form.get_by_role("button", name=button).click()
                await expect(page.get_by_role("main")).to_contain_text(told)

            pasted = {"Certificaat (PEM)": own.pem, "Privésleutel (PEM)": own.key_pem}
            button = "Clientcertificaat instellen"
            await done(button, pasted, "niet van een CA die hier vertrouwd wordt")
            said.clear()  # of the status 400
            await check_page(page, said, "beheer-inloggegevens-fout")
            await done(
                button, {**pasted, "Privésleutel (PEM)": servers.key_pem}, "hoort niet bij het certificaat"
            )
            pasted["Eigen CA van de callback"] = servers.pem
            await done(button, pasted, "CN=nrc.gemeente.example.nl, uitgegeven door CN=Clients", chosen="ja")
            key = {"Naam van de header": "X-Key", "Waarde": "never-shown"}
            await done("Header instellen", key, "X-Key")
            secret = {"Geheim (whsec_…)": new_signing_secret()}
            await done("Handtekening instellen", secret, "een handtekening (Standard Webhooks)")
            await done("ZGW-token instellen", {"Client-id": "nrc", "Geheim": "s"}, "een ZGW-token")
            client = {"Tokenadres": server.url("/token"), "Client-id": "nrc", "Geheim": "never-shown"}
            await done("OAuth2-token instellen", client, "een OAuth2-token", chosen="in de header (Basic)")
            assert server.at("/token")[0].serial == own.serial
            await done("Geen Authorization meesturen", {}, "geen Authorization")
            await done("Eigen CA instellen", {"Certificaten van de CA (PEM)": servers.pem}, "CN=Servers")
            said.clear()
            await check_page(page, said, "beheer-abonnement-inloggegevens")
            said.clear()
            await page.goto(path)
            await page.evaluate("document.querySelectorAll('details.part').forEach(each => each.open = true)")
            await check_page(page, said, "beheer-inloggegevens-alles")
            await done("Weghalen", {}, "een clientcertificaat", chosen="De API-sleutel")
            await expect(page.get_by_role("main")).not_to_contain_text("X-Key")
            assert "never-shown" not in await page.content()
