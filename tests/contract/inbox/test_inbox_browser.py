"""The inbox in a real browser: accessible, quiet, live, whole without JavaScript; no other script runs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.browser.chromium import HEIGHT, NARROWEST, TIMEOUT, WIDTHS, opened, shown
from tests.browser.criteria import lost_by_spacing, on_hover_only
from tests.browser.inspecting import check_keyboard, findings_in_both, scrolls, shoot
from tests.contract.inbox.conftest import Inbox, Start, served
from tests.contract.inbox.test_inbox_pages import SCRIPT
from tests.eventually import eventually

MESSAGE = (
    '{"kanaal": "zaken", "hoofdObject": "https://zaken.example.nl/api/v1/zaken/ddc6d192", '
    '"resource": "status", "resourceUrl": "https://zaken.example.nl/api/v1/statussen/44fdcebf", '
    '"actie": "create", '
    '"aanmaakdatum": "2019-03-27T10:59:13Z", "kenmerken": {"bronorganisatie": "224557609"}}'
)
CHECK = '{"kanaal": "test", "resourceUrl": "http://some.resource.nl/"}'
PATHS = {"list": "", "request": "/verzoeken/4", "binary": "/verzoeken/6", "gone": "/verzoeken/99"}
OTHER_RADIO = "each => each.type === 'radio' && !each.checked"


@pytest.fixture(scope="module")
async def filled() -> AsyncIterator[Inbox]:
    """An inbox with one of everything that its pages can show."""
    async with served() as inbox:
        await inbox("POST", data=CHECK)
        await inbox.post(CHECK)
        same = {"webhook-id": "0d3c7a5e-9f51-4b7e-8a43-6a1f2c9b7d20", "webhook-signature": "v1,x"}
        await inbox.post(MESSAGE, "?status=503", **same, **{"nrc-attempt": "1"})
        await inbox.post(MESSAGE, **same, **{"nrc-attempt": "2", "X-Long": "x" * 2000})
        await inbox.post("x" * 100_000)
        await inbox.post(bytes(range(256)))
        await inbox("GET", "/verzoeken/2")
        yield inbox


@pytest.fixture(scope="module")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    window = await browser.new_context(locale="nl-NL")
    window.set_default_timeout(TIMEOUT)
    yield window
    await window.close()


@pytest.mark.parametrize("name", PATHS)
async def test_a_page_is_accessible_and_quiet_and_the_keyboard_reaches_everything(
    context: BrowserContext, filled: Inbox, name: str
) -> None:
    page, said = await shown(context, filled.url + PATHS[name])
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": HEIGHT})
        assert await findings_in_both(page) == [], width
        await shoot(page, f"inbox-{name}-{width}")
    await page.set_viewport_size({"width": NARROWEST, "height": 256})  # 1280 by 1024 at 400 %
    assert not await scrolls(page)
    assert await lost_by_spacing(page) == []
    assert await on_hover_only(page) == []
    assert [line for line in said if "404" not in line] == []
    await page.set_viewport_size({"width": WIDTHS[0], "height": HEIGHT})
    assert await lost_by_spacing(page) == []
    await check_keyboard(page, also=OTHER_RADIO)


async def test_an_empty_inbox_is_too(context: BrowserContext, filled: Inbox) -> None:
    page, said = await shown(context, f"{filled.root}/inbox/")
    assert await findings_in_both(page) == []
    await shoot(page, "inbox-empty-1280")
    await page.fill("#status", "veel")
    await page.click("text=Bewaren")
    await page.wait_for_selector("[role=alert]")
    assert await findings_in_both(page) == []
    assert [line for line in said if "400" not in line] == []


@pytest.fixture
async def window(browser: Browser) -> AsyncIterator[BrowserContext]:
    made = await browser.new_context(locale="nl-NL", permissions=["clipboard-read", "clipboard-write"])
    made.set_default_timeout(TIMEOUT)
    yield made
    await made.close()


async def titled(page: Page, beginning: str) -> None:
    """Return once the title begins so."""

    async def is_so() -> bool:
        return (await page.title()).startswith(beginning)

    await eventually(is_so)


async def test_what_comes_in_is_there_at_once(window: BrowserContext, inbox: Inbox) -> None:
    page, said = await opened(window, inbox.url)
    await expect(page.locator("#live-status")).to_have_text("Live")
    await expect(page.locator("#leeg")).to_be_visible()
    await inbox.post(MESSAGE)
    await expect(page.locator("#v1 .what")).to_have_text("zaken · status · create")
    await expect(page.locator("#leeg")).to_be_hidden()
    await titled(page, "(1) Inbox ")
    await inbox.post(MESSAGE)
    await titled(page, "(2) Inbox ")
    assert await page.locator(".rows > li").evaluate_all("all => all.map(each => each.id)") == ["v2", "v1"]
    other, _ = await opened(window, inbox.url)
    await other.click("#v1 a")
    await other.wait_for_url("**/verzoeken/1")
    await titled(page, "(1) Inbox ")
    await other.go_back()
    await other.click("text=Alles gelezen")
    await titled(page, "Inbox ")
    await expect(page.locator(".unread")).to_have_count(0)
    other.once("dialog", lambda dialog: dialog.dismiss())
    await other.click("text=Leegmaken")
    await expect(other.locator(".rows > li")).to_have_count(2)
    other.once("dialog", lambda dialog: dialog.accept())
    await other.click("text=Leegmaken")
    await expect(page.locator(".rows > li")).to_have_count(0)
    assert said == []


async def test_following_can_be_stopped(window: BrowserContext, inbox: Inbox) -> None:
    page, said = await opened(window, inbox.url)
    await expect(page.locator("#live-status")).to_have_text("Live")
    await page.get_by_role("button", name="Live stoppen").press("Enter")
    await expect(page.locator("#live-status")).to_have_text("Gestopt")
    await inbox.post(MESSAGE)
    await inbox.json()
    assert await page.locator(".rows > li").count() == 0
    await page.get_by_role("button", name="Live volgen").press("Enter")
    await expect(page.locator("#v1")).to_be_visible()
    assert said == []


async def hide(page: Page, *, hidden: bool) -> None:
    """Do as the browser does when another tab is chosen, or this one again."""
    is_so = f"{{get: () => {str(hidden).lower()}, configurable: true}}"
    await page.evaluate(
        f"Object.defineProperty(document, 'hidden', {is_so});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )


async def test_a_hidden_tab_keeps_no_stream_but_counts(window: BrowserContext, start: Start) -> None:
    async with start(waiting=1) as inbox:
        page = await window.new_page()
        await page.clock.install()
        await page.goto(inbox.url)
        await expect(page.locator("#live-status")).to_have_text("Live")
        assert (await inbox("GET", "/stream"))[0] == 503, "the page has the one place for a stream"
        await hide(page, hidden=True)
        await expect(page.locator("#live-status")).to_have_text("Gepauzeerd")

        async def is_free() -> bool:
            async with inbox.session.get(f"{inbox.url}/stream") as answer:
                return answer.status == 200

        await eventually(is_free, within=40)
        await inbox.post(MESSAGE)
        await page.clock.fast_forward(31_000)
        await titled(page, "(1) Inbox ")
        assert await page.locator(".rows > li").count() == 0
        # Its own stream has gone only when the server sees so.
        await eventually(is_free, within=40)
        await hide(page, hidden=False)
        await expect(page.locator("#v1")).to_be_visible()
        await page.close()


async def test_no_script_of_what_came_in_runs(window: BrowserContext, inbox: Inbox) -> None:
    script = SCRIPT + "<img src=x onerror=window.ran=1><svg onload=window.ran=1><script>window.ran=1</script>"
    quoted = script.replace('"', '\\"')
    headers = {"webhook-id": script, "nrc-attempt": script, "X-Script": script, "webhook-signature": script}
    page, said = await opened(window, inbox.url)
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    await inbox.post(f'{{"kanaal": "{quoted}", "hoofdObject": "{quoted}", "actie": "{quoted}"}}', **headers)
    await inbox.post(script, **headers)
    await expect(page.locator("#v2")).to_be_visible()  # as a row of the stream
    for path in ("", "/verzoeken/1", "/verzoeken/2"):
        await page.goto(inbox.url + path)
        assert await page.evaluate("window.ran") is None
        assert await page.locator("main img, main svg, main script").count() == 0
    await page.goto(inbox.url + "/requests/2")
    assert await page.evaluate("window.ran") is None
    assert dialogs == []
    assert [line for line in said if "Content Security" in line or "Refused" in line] == []


async def test_a_body_is_a_download(window: BrowserContext, inbox: Inbox) -> None:
    await inbox.post(SCRIPT, **{"Content-Type": "text/html"})
    page, _ = await opened(window, inbox.url + "/verzoeken/1")
    async with page.expect_download() as coming:
        await page.click("text=Download de body")
    download = await coming.value
    assert (await download.path()).read_text() == SCRIPT


async def test_the_address_and_the_command_can_be_copied(window: BrowserContext, inbox: Inbox) -> None:
    await inbox.post('het\'s "één"')
    page, _ = await opened(window, inbox.url)
    await page.click("text=Kopieer adres")
    await expect(page.locator("text=Gekopieerd")).to_be_visible()
    await expect(page.locator("#gezegd")).to_have_text("Het staat op het klembord.")
    assert await page.evaluate("navigator.clipboard.readText()") == inbox.url
    await page.goto(inbox.url + "/verzoeken/1")
    await page.click("text=Kopieer opdracht")
    await expect(page.locator("text=Gekopieerd")).to_be_visible()
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("curl -i -X POST \\\n")
    assert "--data-raw 'het'\"'\"'s \"één\"'" in copied


async def test_all_of_it_works_without_javascript(browser: Browser, inbox: Inbox) -> None:
    window = await browser.new_context(java_script_enabled=False, locale="nl-NL")
    window.set_default_timeout(TIMEOUT)
    page, _ = await opened(window, f"{inbox.root}/inbox/")
    assert page.url.startswith(f"{inbox.root}/inbox/")
    made = Inbox(inbox.session, inbox.root, page.url)
    assert await page.locator("button[data-copy]").is_hidden()
    await page.check("#auth-exact")
    await page.fill("[name=value]", "Token abcde12345")
    await page.fill("#status", "202")
    await page.click("text=Bewaren")
    assert page.url == f"{made.url}?bewaard"
    assert await page.input_value("#status") == "202"
    assert await made.post(MESSAGE) == 202
    assert await made.post(MESSAGE, Authorization="anders") == 401
    await page.reload()
    assert (await page.title()).startswith("(2) Inbox ")
    await page.click("#v2 a")
    assert "geweigerd" in await page.inner_text("dl")
    await page.click("text=Verzoek 1")
    await page.click("text=Zoals hij kwam")
    assert await page.inner_text("#body-ruw") == MESSAGE
    await page.click("text=Terug naar de inbox")
    assert (await page.title()).startswith("Inbox ")
    await page.click("text=Leegmaken")
    assert await page.locator(".rows > li").count() == 0
    await window.close()
