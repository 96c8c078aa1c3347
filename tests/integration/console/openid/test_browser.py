"""Logging in and out in a real browser, through the provider's own pages; and the pages of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, BrowserContext

from tests.browser.chromium import TIMEOUT, shown
from tests.browser.inspecting import check_keyboard
from tests.integration.console.conftest import Served
from tests.integration.console.openid.conftest import Consoles
from tests.integration.console.windows import check_page
from tests.openid.provider import PASSWORD
from tests.openid.running import RunningProvider, running_provider


@pytest.fixture(scope="module")
async def provider(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningProvider]:
    async with running_provider(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture(scope="module")
async def served(
    consoles: Consoles, provider: RunningProvider, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    """A console in which nobody logs in with a password."""
    settings = provider.settings(console_password_login=False)
    async with consoles(tmp_path_factory.mktemp("console"), **settings) as served:
        await provider.register(served.settings.console_public_url)
        yield served


@pytest.fixture
async def window(browser: Browser, served: Served) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(base_url=served.root, locale="nl-NL")
    context.set_default_timeout(TIMEOUT)
    yield context
    await context.close()


async def test_one_logs_in_at_the_provider_and_out_of_both(
    window: BrowserContext, served: Served, provider: RunningProvider
) -> None:
    page, said = await shown(window, "logboek/")
    await check_page(page, said, "inloggen-openid")
    await check_keyboard(page)
    await page.click("text=Inloggen met de proefdienst")
    await page.wait_for_url(f"{provider.root}/login/**")
    await page.fill("#id_username", "anna")
    await page.fill("#id_password", PASSWORD)
    await page.click("text=Aanmelden")
    await page.wait_for_url(f"{served.root}logboek/")
    assert "anna@gemeente.example (beheerder)" in await page.inner_text(".who")
    assert "anna@gemeente.example (OpenID Connect)" in await page.inner_text("table")
    await page.goto("account/")
    await check_page(page, said, "account-openid")
    await page.click("text=Uitloggen >> nth=0")
    await page.wait_for_url(f"{served.root}inloggen/**")  # by the provider, which leads back
    await page.goto("account/")
    assert page.url.startswith(f"{served.root}inloggen/?naar=account")
    await page.click("text=Inloggen met de proefdienst")
    await page.wait_for_url(f"{provider.root}/login/**")


async def test_who_is_refused_is_told_whom_to_ask(
    window: BrowserContext, served: Served, provider: RunningProvider
) -> None:
    page, said = await shown(window, "inloggen/")
    await page.click("text=Inloggen met de proefdienst")
    await page.fill("#id_username", "bert")
    await page.fill("#id_password", PASSWORD)
    await page.click("text=Aanmelden")
    await page.wait_for_url(f"{served.root}inloggen/oidc/terug**")
    assert "Vraag Ans van Beheer (toestel 1234) om toegang" in await page.inner_text("main")
    await check_page(page, [line for line in said if "403" not in line], "inloggen-geweigerd")
    await check_keyboard(page)
