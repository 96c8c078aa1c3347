"""Logging in at a real OpenID provider, a process of its own: roles by group, logging out, keys, names."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schemas.user import Role, Session, User
from store.registry import ActSearch
from tests.command import nrc_process
from tests.integration.console.conftest import HASH, PASSWORD, Browser, Served
from tests.integration.console.openid.conftest import Consoles, acts
from tests.openid.running import RunningProvider, running_provider

START = "inloggen/oidc/?naar=account/"
LEZER = User("lezer", HASH, Role.LEZER, made=0.0)


@pytest.fixture(scope="module")
async def provider(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningProvider]:
    async with running_provider(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture(scope="module")
async def served(
    consoles: Consoles, provider: RunningProvider, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    """A console that uses it, and has a user with a password too."""
    async with consoles(tmp_path_factory.mktemp("console"), **provider.settings()) as served:
        await provider.register(served.settings.console_public_url)
        await served.registry.users.add(LEZER)
        yield served


async def log_in(provider: RunningProvider, browser: Browser, name: str) -> str:
    """Log in; returns the text of the page that this leads to."""
    answer = await provider.log_in(browser.session, f"{browser.root}{START}", name)
    return await answer.text()


def name_of(provider: RunningProvider, subject: int) -> str:
    return f"{provider.issuer}#{subject}"


async def test_a_member_of_a_group_has_its_role_and_a_stable_name(
    provider: RunningProvider, served: Served
) -> None:
    async with served.browser() as browser:
        page = await browser.get("inloggen/?naar=account/")
        assert "Inloggen met de proefdienst" in page.text
        assert f'href="../{START}"' in page.text
        answer = await provider.log_in(browser.session, f"{served.root}{START}", "anna")
        assert str(answer.url) == f"{served.root}account/"
        text = await answer.text()
        assert "anna@gemeente.example (beheerder)" in text
        assert 'type="password"' not in text, "the password is the provider's"
        user = await served.registry.users.user(name_of(provider, 1))
        assert user is not None
        assert (user.role, user.password, user.issuer) == (Role.BEHEERDER, "", provider.issuer)
        (added, *_) = await acts(served, "user added")
        assert added["by"] == added["name"] == name_of(provider, 1)
        assert (added["shown"], added["role"]) == ("anna@gemeente.example", "beheerder")
        logbook = (await browser.get("logboek/?wie=anna@gemeente.example")).text
        assert "anna@gemeente.example (OpenID Connect)" in logbook
        assert name_of(provider, 1) in logbook
        assert (await browser.get("tokens/")).status == 403, "a beheerder is no admin"


async def test_who_is_in_no_group_is_refused_and_told_whom_to_ask(
    provider: RunningProvider, served: Served
) -> None:
    async with served.browser() as browser:
        text = await log_in(provider, browser, "bert")
        assert "Je hebt geen toegang tot deze console" in text
        assert "bert@gemeente.example" in text
        assert "Ans van Beheer (toestel 1234)" in text
        assert (await browser.get("account/", allow_redirects=False)).status == 303
        assert await served.registry.users.user(name_of(provider, 2)) is None


async def test_a_user_with_a_password_and_the_same_name_stays_another(
    provider: RunningProvider, served: Served
) -> None:
    async with served.browser() as one, served.browser(Role.LEZER) as other:
        text = await log_in(provider, one, "lezer")
        assert "lezer@gemeente.example (admin)" in text, "of several groups the greatest role"
        with_password = await served.registry.users.user("lezer")
        assert with_password is not None
        assert (with_password.role, with_password.issuer) == (Role.LEZER, "")
        assert "lezer (lezer)" in (await other.get("account/")).text
        assert (await other.get("tokens/")).status == 403


async def test_leaving_the_group_ends_the_sessions_at_the_next_login(
    provider: RunningProvider, served: Served
) -> None:
    async with served.browser() as one, served.browser() as other:
        await log_in(provider, one, "anna")
        await provider.ask("groups", user="anna", groups=["nrc-lezers"])
        assert "(lezer)" in await log_in(provider, other, "anna")
        assert "(lezer)" in (await one.get("account/")).text
        assert (await acts(served, "role changed"))[0]["role"] == "lezer"
        await provider.ask("groups", user="anna", groups=[])
        other.session.cookie_jar.clear()
        assert "geen toegang" in await log_in(provider, other, "anna")
        assert (await one.get("account/", allow_redirects=False)).status == 303
        assert (await acts(served, "user logged out everywhere"))[0]["by"] == name_of(provider, 1)
        await provider.ask("groups", user="anna", groups=["nrc-beheer"])


async def test_logging_out_everywhere_and_by_command(provider: RunningProvider, served: Served) -> None:
    async with served.browser() as one, served.browser() as other:
        for browser in (one, other):
            await log_in(provider, browser, "anna")
        page = await one.act("account/", "overal-uitloggen")
        assert page.url == f"{served.root}inloggen/"
        assert (await other.get("account/", allow_redirects=False)).status == 303
        await one.get(START)
        assert (await one.get("account/")).url == f"{served.root}account/", "the provider knows the browser"
    folder = served.settings.state_dir
    listed = await nrc_process(folder, "user", "list")
    assert "anna@gemeente.example (OpenID Connect)" in listed.out
    told = await nrc_process(folder, "user", "logout", "anna@gemeente.example")
    assert "1 session(s) ended" in told.out, told.err
    refused = await nrc_process(folder, "user", "role", name_of(provider, 1), "admin")
    assert (refused.code, "come from" in refused.err) == (2, True), refused.err


async def test_logging_out_goes_on_to_the_provider(provider: RunningProvider, served: Served) -> None:
    async with served.browser() as browser:
        await log_in(provider, browser, "anna")
        page = await browser.post("uitloggen/", {"token": (await browser.get("account/")).token})
        assert "Je bent uit deze console uitgelogd" in page.text
        url = page.text.partition('content="0; url=')[2].partition('"')[0].replace("&amp;", "&")
        assert url.startswith(f"{provider.issuer}/logout/?id_token_hint=")
        back = await browser.session.get(url)
        assert str(back.url).partition("?")[0] == f"{served.root}inloggen/"
        again = await browser.session.get(f"{served.root}{START}")
        assert str(again.url).startswith(f"{provider.root}/login/"), "the provider asks again"


async def test_a_rotated_key_is_fetched_in_the_middle_of_a_login(
    provider: RunningProvider, served: Served
) -> None:
    jwks = "/o/.well-known/jwks.json"
    async with served.browser() as browser:
        await log_in(provider, browser, "anna")
        before = (await provider.ask("asked"))[jwks]
        browser.session.cookie_jar.clear()
        await browser.session.get(f"{served.root}{START}")
        await provider.ask("rotate")
        assert "(beheerder)" in await log_in(provider, browser, "anna")
        assert (await provider.ask("asked"))[jwks] == before + 1
        browser.session.cookie_jar.clear()
        await log_in(provider, browser, "anna")
        assert (await provider.ask("asked"))[jwks] == before + 1


async def test_an_answer_counts_once_and_in_its_own_browser(
    provider: RunningProvider, served: Served
) -> None:
    async with served.browser() as one, served.browser() as other:
        await log_in(provider, one, "anna")
        begun = await one.get(START, allow_redirects=False)
        asked = await one.session.get(begun.headers["Location"], allow_redirects=False)
        answer = asked.headers["Location"]
        stolen = await other.session.get(answer)
        assert stolen.status == 400
        assert "Deze inlogpoging geldt niet meer" in await stolen.text()
        cookies = {cookie.key: cookie.value for cookie in one.session.cookie_jar}
        assert str((await one.session.get(answer)).url) == f"{served.root}account/"
        again = await one.session.get(answer)
        assert (again.status, "geldt niet meer" in await again.text()) == (400, True)
        one.session.cookie_jar.update_cookies(cookies)  # who kept the cookie: the provider refuses the code
        again = await one.session.get(answer)
        assert (again.status, "geldt niet meer" in await again.text()) == (400, True)


async def test_who_does_not_consent_is_told_so(provider: RunningProvider, served: Served) -> None:
    await provider.register(served.settings.console_public_url, consent=True)
    async with served.browser() as browser:
        answer = await provider.log_in(browser.session, f"{served.root}{START}", "anna")
        assert "/authorize/" in str(answer.url)
        refused = await provider.submit(browser.session, answer)
        assert refused.status == 403
        assert "Er is niet ingelogd" in await refused.text()
    await provider.register(served.settings.console_public_url)


async def test_a_nested_claim_and_a_secret_in_a_file(
    consoles: Consoles, provider: RunningProvider, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(provider.settings()["console_oidc_client_secret"] + "\n")
    settings = provider.settings(
        console_oidc_groups_claim="realm_access.roles",
        console_oidc_client_secret="",
        console_oidc_client_secret_file=secret,
    )
    async with consoles(tmp_path, **settings) as served, served.browser() as browser:
        await provider.register(served.settings.console_public_url)
        assert "(beheerder)" in await log_in(provider, browser, "anna")


async def test_without_passwords_there_is_one_button_and_no_first_user(
    consoles: Consoles, provider: RunningProvider, tmp_path: Path
) -> None:
    settings = provider.settings(console_password_login=False)
    async with consoles(tmp_path, **settings) as served, served.browser() as browser:
        await provider.register(served.settings.console_public_url)
        (line,) = served.said
        assert "makes no first user" in line
        assert await served.registry.users.every() == ()
        page = await browser.get("inloggen/")
        assert "<form" not in page.text
        assert "Inloggen met de proefdienst" in page.text
        await served.registry.users.add(User("anna", HASH, Role.ADMIN, made=time.time()))
        refused = await browser.log_in("anna", PASSWORD)
        assert refused.status == 403
        assert "Inloggen met een wachtwoord staat hier uit" in refused.text
        assert "(beheerder)" in await log_in(provider, browser, "anna")


async def test_a_session_ends_when_its_way_of_logging_in_is_taken_away(
    consoles: Consoles, provider: RunningProvider, tmp_path: Path
) -> None:
    async with consoles(tmp_path, **provider.settings()) as served, served.browser() as browser:
        await provider.register(served.settings.console_public_url)
        await served.registry.users.add(LEZER)
        await log_in(provider, browser, "anna")
        openid = {cookie.key: cookie.value for cookie in browser.session.cookie_jar}
        await browser.log_in("lezer")
        password = {cookie.key: cookie.value for cookie in browser.session.cookie_jar}
    for settings, cookies, status in (
        (provider.settings(), openid, 200),
        (provider.settings(console_password_login=False), openid, 200),
        (provider.settings(console_password_login=False), password, 303),
        ({}, openid, 303),
    ):
        async with consoles(tmp_path, **settings) as served, served.browser() as browser:
            browser.session.cookie_jar.update_cookies(cookies)
            page = await browser.get("account/", allow_redirects=False)
            assert page.status == status, settings


async def test_a_session_lasts_no_longer_than_the_setting_says(
    provider: RunningProvider, served: Served
) -> None:
    now = time.time()
    for user, hours, status in (
        (name_of(provider, 1), 7, 200),
        (name_of(provider, 1), 9, 303),
        (Role.LEZER.value, 9, 200),
    ):
        token = f"token-{hours}-{status}"
        key = hashlib.sha256(token.encode()).hexdigest()
        await served.registry.users.begin_session(Session(key, user, now - hours * 3600, now))
        async with served.browser() as browser:
            browser.headers["Cookie"] = f"nrc-console={token}"
            page = await browser.get("account/", allow_redirects=False)
            assert page.status == status, (user, hours)


async def test_what_a_user_does_is_found_by_both_names(provider: RunningProvider, served: Served) -> None:
    async with served.browser() as browser:
        await log_in(provider, browser, "lezer")
        await browser.act("applicaties/", "toevoegen", id="van-openid", naam="x", recht="publiceren")
        for who in (name_of(provider, 3), "lezer@gemeente.example"):
            found = await served.registry.acts(ActSearch(who=who, what="user logged in"), limit=9)
            assert {act.user for act in found} == {name_of(provider, 3)}, who
        assert await served.registry.acts(ActSearch(who="lezer", what="application added"), limit=9) == ()
