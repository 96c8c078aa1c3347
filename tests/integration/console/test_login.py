"""Logging in and out, who may do what, and what the console takes from whom; over HTTP."""

from __future__ import annotations

import re
from pathlib import Path

import aiohttp
import pytest

from operating.users import FREE_FAILURES
from schemas.user import Role, User
from store.registry import ActSearch
from tests.integration.conftest import settings_for
from tests.integration.console.conftest import HASH, PASSWORD, Browser, Served, console_on


async def acts(served: Served, what: str) -> list[dict[str, object]]:
    """What was noted of this act: its facts and who did it, the newest first."""
    found = await served.registry.acts(ActSearch(what=what), limit=100)
    return [{**act.facts, "by": act.user, "command": act.command} for act in found]


async def add(served: Served, name: str, role: Role = Role.LEZER) -> None:
    await served.registry.users.add(User(name, HASH, role, made=0.0))


async def test_every_page_asks_for_a_login_and_leads_back_after_it(served: Served) -> None:
    async with served.browser() as browser:
        for path in ("", "account/"):
            asked = await browser.get(path, allow_redirects=False)
            assert (asked.status, "inloggen/" in asked.headers["Location"]) == (303, True)
            assert asked.text == ""
        page = await browser.get("account/?a=b%20c")
        assert page.url.startswith(f"{served.root}inloggen/?naar=account")
        back = await browser.log_in("lezer", to=page.url.partition("inloggen/")[2])
        assert back.url == f"{served.root}account/?a=b%20c"
        assert "Mijn account" in back.text


@pytest.mark.parametrize(
    "to", ["//evil.example/", "https://evil.example/", "\\evil.example", "x\r\nA: b", "%00"]
)
async def test_a_login_leads_nowhere_else(served: Served, to: str) -> None:
    async with served.browser() as browser:
        data = {"naam": "lezer", "wachtwoord": PASSWORD}
        answer = await browser.session.post(
            f"{served.root}inloggen/",
            params={"naar": to},
            data=data,
            headers={"Origin": served.root.removesuffix("/console/")},
            allow_redirects=False,
        )
        assert answer.status == 303
        assert answer.headers["Location"].startswith("../")


async def test_the_cookie_is_for_this_host_and_for_no_script(served: Served) -> None:
    async with served.browser() as browser:
        page = await browser.post(
            "inloggen/", {"naam": "lezer", "wachtwoord": PASSWORD}, allow_redirects=False
        )
        cookie = page.headers["Set-Cookie"]
        assert cookie.startswith("nrc-console=")
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= {*cookie.split("; ")}
        assert "Secure" not in cookie
        assert "Domain" not in cookie
        value = cookie.partition("=")[2].partition(";")[0]
        assert value not in served.settings.registry_file.read_bytes().decode(errors="replace")


async def test_behind_tls_the_cookie_is_for_tls_only(tmp_path: Path) -> None:
    settings = settings_for("amqp://127.0.0.1:1/", tmp_path, console_public_url="https://beheer.example.nl")
    async with console_on(settings) as served, served.browser() as browser:
        (line,) = served.said
        browser.headers["Origin"] = "https://beheer.example.nl"
        page = await browser.post(
            "inloggen/", {"naam": "admin", "wachtwoord": line.rpartition(" ")[2]}, allow_redirects=False
        )
        assert page.status == 303
        cookie = page.headers["Set-Cookie"]
        assert cookie.startswith("__Host-nrc-console=")
        assert "Secure" in cookie.split("; ")
        assert page.headers["Strict-Transport-Security"]
        browser.headers["Origin"] = served.root.removesuffix("/console/")
        assert (await browser.log_in("admin")).status == 403


async def test_the_first_start_makes_an_admin_and_says_its_password_once(tmp_path: Path) -> None:
    settings = settings_for("amqp://127.0.0.1:1/", tmp_path)
    async with console_on(settings) as served, served.browser() as browser:
        (line,) = served.said
        assert line.startswith("The console's first user, said once: admin, with password ")
        page = await browser.log_in("admin", line.rpartition(" ")[2])
        assert page.url == served.root
        assert "admin (admin)" in page.text
        assert "Het grootboek is niet te lezen" in page.text, "there is no ledger yet"
        await served.registry.users.remove("admin")
        await add(served, "an")
    async with console_on(settings) as again:
        assert again.said == []
        assert [user.name for user in await again.registry.users.every()] == ["an"]


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("lezer", "wrong"),
        ("lezer", ""),
        ("nobody", PASSWORD),
        ("", PASSWORD),
        ("lezer' OR 1=1", PASSWORD),
        ("x" * 5000, PASSWORD),
        ("lezer", "x" * 20000),
        ("\x00", "\x00"),
    ],
)
async def test_a_wrong_name_and_a_wrong_password_are_told_alike(
    served: Served, name: str, password: str
) -> None:
    async with served.browser() as browser:
        page = await browser.log_in(name, password)
        assert page.status == 401
        assert "De naam of het wachtwoord klopt niet" in page.text
        assert not browser.session.cookie_jar
        assert (await browser.get("account/", allow_redirects=False)).status == 303


async def test_after_several_wrong_passwords_the_right_one_is_refused_for_a_while(served: Served) -> None:
    await add(served, "forgetful")
    async with served.browser() as browser:
        for number in range(FREE_FAILURES):
            assert (await browser.log_in("forgetful", f"wrong {number}")).status == 401
        assert (await browser.log_in("forgetful")).status == 401
        user = await served.registry.users.user("forgetful")
        assert user is not None
        assert user.failures == FREE_FAILURES
        (noted,) = await acts(served, "user locked out")
        assert (noted["name"], noted["seconds"]) == ("forgetful", 60)

        await served.registry.users.change("forgetful", lambda user: unlocked(user))
        assert (await browser.log_in("forgetful")).url == served.root
        after = await served.registry.users.user("forgetful")
        assert after is not None
        assert (after.failures, after.locked_until) == (0, 0.0)
        assert after.logged_in


def unlocked(user: User) -> User:
    """The user once the time is over."""
    return User(user.name, user.password, user.role, user.made, user.failures, locked_until=1.0)


async def test_logging_out_ends_the_session_here_and_not_elsewhere(served: Served) -> None:
    async with served.browser(Role.LEZER) as one, served.browser(Role.LEZER) as other:
        cookies = {cookie.key: cookie.value for cookie in one.session.cookie_jar}
        page = await one.post("uitloggen/", {"token": (await one.get()).token})
        assert page.url == f"{served.root}inloggen/"
        assert (await one.get("account/", allow_redirects=False)).status == 303
        one.session.cookie_jar.update_cookies(cookies)  # who kept a copy of the cookie has nothing
        assert (await one.get("account/", allow_redirects=False)).status == 303
        assert (await other.get("account/")).url == f"{served.root}account/"


async def test_logging_out_everywhere(served: Served) -> None:
    await add(served, "everywhere", Role.LEZER)
    async with served.browser() as one, served.browser() as other, served.browser(Role.LEZER) as another:
        for browser in (one, other):
            await browser.log_in("everywhere")
        page = await one.act("account/", "overal-uitloggen")
        assert page.url == f"{served.root}inloggen/"
        for browser in (one, other):
            assert (await browser.get("account/", allow_redirects=False)).status == 303
        assert (await another.get("account/", allow_redirects=False)).status == 200
        (noted,) = await acts(served, "user logged out everywhere")
        assert noted == {
            "name": "everywhere",
            "sessions": 2,
            "by": "everywhere",
            "address": "127.0.0.1",
            "command": "console account/overal-uitloggen",
        }


async def test_a_password_is_changed_by_who_knows_it(served: Served) -> None:
    await add(served, "changing")
    async with served.browser() as one, served.browser() as other:
        for browser in (one, other):
            await browser.log_in("changing")
        for current, new, told in (
            ("wrong", "something else 12", "Je huidige wachtwoord klopt niet"),
            (PASSWORD, "short", "ten minste 12 tekens"),
            (PASSWORD, "aaaaaaaaaaaa", "is te raden"),
            (PASSWORD, "this is changing", "is te raden"),
        ):
            page = await one.act("account/", "wachtwoord", huidig=current, nieuw=new)
            assert (page.status, told in page.text) == (400, True), page.text
        page = await one.act("account/", "wachtwoord", huidig=PASSWORD, nieuw="something else 12")
        assert page.url == f"{served.root}inloggen/"
        assert (await other.get("account/", allow_redirects=False)).status == 303
        assert (await one.log_in("changing")).status == 401
        assert (await one.log_in("changing", "something else 12")).url == served.root


async def test_a_session_ends_by_itself(served: Served) -> None:
    await add(served, "sleeper")
    for column in ("seen", "began"):
        async with served.browser() as browser:
            await browser.log_in("sleeper")
            aged = f"UPDATE console_session SET {column} = {column} - 90000 WHERE user = 'sleeper'"
            execute(served.settings.registry_file, aged)
            assert (await browser.get("account/", allow_redirects=False)).status == 303


def execute(file: Path, statement: str) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(file, timeout=10)) as connection:
        connection.execute(statement)
        connection.commit()


async def test_a_removed_user_and_another_role_count_at_once(served: Served) -> None:
    await add(served, "leaver")
    async with served.browser() as browser:
        await browser.log_in("leaver")
        await served.registry.users.change(
            "leaver", lambda user: User(user.name, user.password, Role.BEHEERDER, user.made)
        )
        assert "leaver (beheerder)" in (await browser.get("account/")).text
        await served.registry.users.remove("leaver")
        assert (await browser.get("account/", allow_redirects=False)).status == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none-such"},
    ],
)
async def test_a_form_of_another_site_does_nothing(served: Served, headers: dict[str, str]) -> None:
    async with served.browser(Role.LEZER) as browser:
        token = (await browser.get("account/")).token
        browser.headers = headers
        page = await browser.post("account/", {"token": token, "doen": "overal-uitloggen"})
        assert page.status == 403
        assert "Dat mag je niet" in page.text
        assert (await browser.post("inloggen/", {"naam": "lezer", "wachtwoord": PASSWORD})).status == 403
        browser.headers = {}
        assert (await browser.get("account/", allow_redirects=False)).status == 200


@pytest.mark.parametrize("token", [None, "", "0" * 64, "é", "of another session"])
async def test_a_form_without_the_token_of_its_session_does_nothing(
    served: Served, token: str | None
) -> None:
    async with served.browser(Role.LEZER) as browser, served.browser(Role.LEZER) as other:
        if token == "of another session":
            token = (await other.get("account/")).token
        fields = {"doen": "overal-uitloggen"} | ({} if token is None else {"token": token})
        page = await browser.post("account/", fields)
        assert (page.status, "Dit formulier is verlopen" in page.text) == (400, True)
        assert (await browser.post("uitloggen/", {} if token is None else {"token": token})).status == 403
        assert (await browser.get("account/", allow_redirects=False)).status == 200


async def test_what_cannot_be_read_is_a_page_and_no_fault_of_ours(served: Served) -> None:
    async with served.browser(Role.LEZER) as browser:
        token = (await browser.get("account/")).token
        assert (await browser.get("nothing/")).status == 404
        assert (await browser.get("../other")).status == 404
        assert (await browser.get("static/../../settings.py")).status == 404
        assert (await browser.post("account/", {"token": token, "doen": "nothing"})).status == 400
        assert (await browser.post("", {"token": token})).status == 405
        assert (await browser.post("account/", {"token": token, "x": "y" * 100_000})).status == 413
        for body, kind, status in (
            (b"\xff=1", "application/x-www-form-urlencoded", 400),
            (b"%ff=1", "application/x-www-form-urlencoded", 400),
            (b"a=1&" * 300, "application/x-www-form-urlencoded", 400),
            (b"{}", "application/json", 415),
            (b"", "multipart/form-data; boundary=x", 415),
        ):
            headers = {"Content-Type": kind, "Origin": served.root.removesuffix("/console/")}
            answer = await browser.session.post(f"{served.root}account/", data=body, headers=headers)
            assert answer.status == status, (body, kind)
            assert '<html lang="nl">' in await answer.text()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("notificaties/?kanaal=zaken&kanaal=besluiten", "kanaal"),
        ("notificaties/?als=stroom&tot=1h&tot=2h", "tot"),
        ("abonnementen/?zoek=a&zoek=b", "zoek"),
        ("applicaties/een/?id=zac&id=bron", "id"),
        ("logboek/?wie=a&wie=b", "wie"),
    ],
)
async def test_what_is_asked_twice_and_has_one_value_is_refused(served: Served, path: str, name: str) -> None:
    async with served.browser(Role.LEZER) as browser:
        page = await browser.get(path)
        assert page.status == 400
        assert f"{name} staat meer dan een keer in het adres" in page.text


async def test_what_may_have_several_values_is_asked_with_all(served: Served) -> None:
    async with served.browser(Role.LEZER) as browser:
        page = await browser.get("notificaties/?toestand=stuck&toestand=unsure&kenmerk=a=b&kenmerk=c=d")
        assert page.status == 200
        assert len(re.findall(r'name="toestand"[^>]* checked', page.text)) == 2


async def test_every_answer_has_the_headers_that_keep_others_out(served: Served) -> None:
    async with served.browser(Role.LEZER) as browser:
        for path in ("", "account/", "inloggen/", "nothing/", "static/console.css", "../health/live"):
            page = await browser.get(path)
            policy = page.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'self';"), path
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert page.headers["X-Content-Type-Options"] == "nosniff"
            assert page.headers["Server"] == "nrc"
            assert ("no-store" in page.headers["Cache-Control"]) == (not path.startswith("static"))


async def test_the_root_leads_to_the_console_and_health_needs_no_login(served: Served) -> None:
    async with served.browser() as browser:
        root = served.root.removesuffix("console/")
        for path in (root, f"{root}console"):
            async with browser.session.get(path) as answer:
                assert str(answer.url) == f"{served.root}inloggen/"
        for path in ("health/live", "health/ready"):
            async with browser.session.get(root + path) as answer:
                assert answer.status == 200


async def test_a_house_style_takes_the_place_of_ours(tmp_path: Path) -> None:
    style = tmp_path / "gemeente.css"
    style.write_text(":root { --nrc-brand: #123456; }")
    settings = settings_for("amqp://127.0.0.1:1/", tmp_path, console_style=style)
    async with console_on(settings) as served, served.browser() as browser:
        assert (await browser.get("static/huisstijl.css")).text == style.read_text()


async def test_what_is_no_http_gets_an_answer_that_tells_nothing(served: Served) -> None:
    async with aiohttp.ClientSession() as session:
        raw = await session.get(f"{served.root}?", headers={"Expect": "something"})
        assert raw.status == 417
        assert raw.headers["Server"] == "nrc"


async def test_what_others_wrote_into_a_cookie_is_not_said(served: Served) -> None:
    async with served.browser(Role.LEZER) as browser:
        for value in ("PGI-eDwvYj4=.0000", "nonsense", "a.b.c", "é", "." * 10):
            browser.headers["Cookie"] = cookie_of(browser) + f"; nrc-console-said={value}"
            page = await browser.get("account/")
            assert page.status == 200
            assert 'role="status"' not in page.text


def cookie_of(browser: Browser) -> str:
    return "; ".join(f"{cookie.key}={cookie.value}" for cookie in browser.session.cookie_jar)
