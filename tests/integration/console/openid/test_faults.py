"""What goes wrong at the provider, or on the way back, is a page in Dutch and a line in the log."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs
from yarl import URL

from console.login.oidc import attempt as attempts
from console.login.oidc import provider as provider_module
from console.login.oidc import requests
from console.login.oidc.attempt import LASTS
from tests.contract.api import free_socket
from tests.integration.console.conftest import Browser, Page, Served
from tests.integration.console.openid.conftest import Consoles
from tests.openid.misbehaving import CLIENT, EC, OTHER, RSA, Misbehaving, id_token, misbehaving_provider

DISCOVERY, BACK = "/.well-known/openid-configuration", "inloggen/oidc/terug"
TOKEN, JWKS, USERINFO = "/token", "/jwks", "/userinfo"
FAILED = "login by OpenID Connect failed"


def settings_of(provider: Misbehaving, **more: Any) -> dict[str, Any]:
    own = {
        "console_oidc_issuer": provider.root,
        "console_oidc_client_id": CLIENT,
        "console_oidc_roles": "nrc-beheer=beheerder",
        "console_oidc_contact": "Ans van Beheer",
    }
    return {**own, **more}


@pytest.fixture
async def provider() -> AsyncIterator[Misbehaving]:
    async with misbehaving_provider() as running:
        yield running


@pytest.fixture
async def served(
    consoles: Consoles, provider: Misbehaving, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    async with consoles(tmp_path_factory.mktemp("console"), **settings_of(provider)) as served:
        yield served


@pytest.fixture
async def browser(served: Served) -> AsyncIterator[Browser]:
    async with served.browser() as browser:
        yield browser


async def begin(provider: Misbehaving, browser: Browser) -> Mapping[str, str]:
    """Begin an attempt; returns what the provider was asked."""
    begun = await browser.get("inloggen/oidc/?naar=account/", allow_redirects=False)
    assert begun.status == 303, begun.text
    asked = query_of(begun)
    provider.nonce = asked["nonce"]
    return asked


def query_of(page: Page) -> dict[str, str]:
    return dict(URL(page.headers["Location"]).query)


async def log_in(provider: Misbehaving, browser: Browser, **answer: str) -> Page:
    """Log in; answer: other parameters of the provider's answer."""
    asked = await begin(provider, browser)
    return await browser.get(BACK, params={"code": "a-code", "state": asked["state"], **answer})


def check_refused(page: Page, said: list[Any], *, status: int, title: str, reason: str) -> None:
    assert page.status == status, page.text
    assert f'<h1 class="nl-heading nl-heading--level-1">{title}</h1>' in page.text
    (line,) = [each for each in said if each["event"] == FAILED]
    assert reason in line["reason"], line
    assert line["remote"] == "127.0.0.1"


async def test_it_asks_for_a_code_with_pkce_state_and_nonce(provider: Misbehaving, browser: Browser) -> None:
    asked = await begin(provider, browser)
    assert asked["response_type"] == "code"
    assert asked["client_id"] == CLIENT
    assert asked["redirect_uri"] == f"{browser.root}{BACK}"
    assert asked["scope"] == "openid profile email"
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["code_challenge"]) == 43
    other = await begin(provider, browser)
    for name in ("state", "nonce", "code_challenge"):
        assert other[name] != asked[name], name
    page = await browser.get(BACK, params={"code": "a-code", "state": other["state"]})
    assert page.url == f"{browser.root}account/", page.text
    (form,) = provider.forms
    assert form["client_id"] == CLIENT, "a public client says who it is"
    assert (form["grant_type"], form["code"]) == ("authorization_code", "a-code")
    assert form["redirect_uri"] == asked["redirect_uri"]
    assert len(form["code_verifier"]) >= 43


WRONG = "De inlogdienst en deze console werken niet goed samen"
AWAY = "De inlogdienst is niet te bereiken"
CLOCK = "De klok van de inlogdienst en die van deze console lopen niet gelijk"
OVER = "Deze inlogpoging geldt niet meer"
ELSEWHERE = "Dit antwoord kwam van een andere inlogdienst"

Spoil = Callable[[Misbehaving], object]


def spoiled(**parts: Any) -> Spoil:
    """What sets these parts of the provider."""

    def spoil(provider: Misbehaving) -> None:
        for name, value in parts.items():
            setattr(provider, name, value)

    return spoil


def now() -> int:
    return int(time.time())


BAD_TOKENS: dict[str, tuple[Spoil, int, str, str]] = {
    "another issuer": (spoiled(claims={"iss": "https://evil.example"}), 502, WRONG, "iss"),
    "another client": (spoiled(claims={"aud": "another"}), 502, WRONG, "aud"),
    "no audience": (spoiled(claims={"aud": None}), 502, WRONG, "aud"),
    "several audiences and no azp": (spoiled(claims={"aud": [CLIENT, "other"]}), 502, WRONG, "azp"),
    "made for another": (spoiled(claims={"aud": [CLIENT, "other"], "azp": "other"}), 502, WRONG, "azp"),
    "another nonce": (spoiled(claims={"nonce": "0"}), 502, WRONG, "nonce"),
    "no nonce": (spoiled(claims={"nonce": None}), 502, WRONG, "nonce"),
    "no subject": (spoiled(claims={"sub": None}), 502, WRONG, "sub"),
    "a subject that is no text": (spoiled(claims={"sub": 7}), 502, WRONG, "sub"),
    "a long subject": (spoiled(claims={"sub": "x" * 256}), 502, WRONG, "sub"),
    "expired": (spoiled(claims={"exp": now() - 3600}), 502, CLOCK, "expired"),
    "never expires": (spoiled(claims={"exp": None}), 502, WRONG, "exp"),
    "of the future": (spoiled(claims={"iat": now() + 3600, "exp": now() + 7200}), 502, CLOCK, "future"),
    "not yet valid": (spoiled(claims={"nbf": now() + 3600}), 502, CLOCK, "not yet valid"),
    "of another access token": (spoiled(claims={"at_hash": "AAAA"}), 502, WRONG, "at_hash"),
    "signed by another key": (spoiled(key=OTHER), 502, WRONG, "another key"),
    "signed by another key of that name": (
        spoiled(key=OTHER, header={"kid": "rsa"}),
        502,
        WRONG,
        "another key",
    ),
    "an algorithm that is not allowed": (spoiled(algorithm="RS512"), 502, WRONG, "cannot be read"),
    "critical and unknown": (spoiled(header={"crit": ["x"], "x": 1}), 502, WRONG, "cannot be read"),
}


@pytest.mark.parametrize("what", BAD_TOKENS)
async def test_a_bad_token_is_refused(provider: Misbehaving, browser: Browser, what: str) -> None:
    spoil, status, title, reason = BAD_TOKENS[what]
    spoil(provider)
    with capture_logs() as said:
        page = await log_in(provider, browser)
    check_refused(page, said, status=status, title=title, reason=reason)
    assert (await browser.get("account/", allow_redirects=False)).status == 303


@pytest.mark.parametrize("token", ["", "a.b.c", "a.b", "e30.e30.", "{}", 7, None, "x" * 300_000])
async def test_what_is_no_token_is_refused(provider: Misbehaving, browser: Browser, token: object) -> None:
    body = {"access_token": "a", "id_token": token}
    provider.answers[TOKEN] = web.json_response(body)
    with capture_logs() as said:
        page = await log_in(provider, browser)
    check_refused(page, said, status=502, title=WRONG, reason="id_token")


async def test_an_unsigned_token_is_refused(provider: Misbehaving, browser: Browser) -> None:
    asked = await begin(provider, browser)
    _, content, _ = id_token(provider.root, provider.nonce).split(".")
    for header in ("eyJhbGciOiJub25lIn0", "eyJhbGciOiJub25lIiwia2lkIjoicnNhIn0"):  # {"alg": "none"}
        body = {"access_token": "a", "id_token": f"{header}.{content}."}
        provider.answers[TOKEN] = web.json_response(body)
        with capture_logs() as said:
            page = await browser.get(BACK, params={"code": "a-code", "state": asked["state"]})
        check_refused(page, said, status=502, title=WRONG, reason="cannot be read")
        asked = await begin(provider, browser)


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (RSA, "PS256"), (EC, "ES256")])
async def test_each_algorithm_on_the_list_is_taken(
    provider: Misbehaving, browser: Browser, key: Any, algorithm: str
) -> None:
    provider.keys, provider.key, provider.algorithm = [RSA, EC], key, algorithm
    page = await log_in(provider, browser)
    assert page.url == f"{browser.root}account/"
    assert "anna (beheerder)" in page.text


def with_answer(path: str, *, status: int = 200, text: str = "") -> Spoil:
    return lambda provider: provider.answers.update({path: web.Response(status=status, text=text)})


UNWELL: dict[str, tuple[Spoil, int, str, str]] = {
    "discovery fails": (with_answer(DISCOVERY, status=500), 503, AWAY, "status 500"),
    "no discovery": (with_answer(DISCOVERY, status=404, text="{}"), 502, WRONG, "status 404"),
    "discovery leads elsewhere": (with_answer(DISCOVERY, status=302, text="{}"), 502, WRONG, "status 302"),
    "discovery is a page": (with_answer(DISCOVERY, text="<html>"), 502, WRONG, "no object of JSON"),
    "discovery is a list": (with_answer(DISCOVERY, text="[]"), 502, WRONG, "no object of JSON"),
    "discovery is deep": (with_answer(DISCOVERY, text="[" * 100_000), 502, WRONG, "no object of JSON"),
    "discovery is large": (with_answer(DISCOVERY, text="x" * 2_000_000), 502, WRONG, "an answer of over"),
    "of another issuer": (spoiled(document={"issuer": "https://evil.example"}), 502, WRONG, "evil.example"),
    "no issuer": (spoiled(document={"issuer": None}), 502, WRONG, "of issuer None"),
    "no token endpoint": (spoiled(document={"token_endpoint": None}), 502, WRONG, "token_endpoint"),
    "a wrong endpoint": (spoiled(document={"jwks_uri": "file:///etc/passwd"}), 502, WRONG, "jwks_uri"),
    "an endpoint without tls": (
        spoiled(document={"token_endpoint": "http://idp.example/"}),
        502,
        WRONG,
        "token_endpoint",
    ),
    "keys fail": (with_answer(JWKS, status=502), 503, AWAY, "status 502"),
    "no keys": (with_answer(JWKS, text='{"keys": []}'), 502, WRONG, "no key that can be used"),
    "keys are none": (with_answer(JWKS, text='{"keys": [1, {}, {"kty": "RSA"}]}'), 502, WRONG, "no key"),
    "token endpoint fails": (with_answer(TOKEN, status=503), 503, AWAY, "status 503"),
    "token endpoint is a page": (with_answer(TOKEN, text="<html>"), 502, WRONG, "no object of JSON"),
    "the secret is wrong": (
        with_answer(TOKEN, status=401, text='{"error": "invalid_client"}'),
        502,
        WRONG,
        "invalid_client",
    ),
    "the code was used": (
        with_answer(TOKEN, status=400, text='{"error": "invalid_grant", "error_description": "used"}'),
        400,
        OVER,
        "invalid_grant: used",
    ),
    "no id_token": (with_answer(TOKEN, text='{"access_token": "a"}'), 502, WRONG, "no id_token"),
    "userinfo fails": (
        lambda provider: (
            spoiled(claims={"groups": None})(provider),
            with_answer(USERINFO, status=500)(provider),
        ),
        503,
        AWAY,
        "status 500",
    ),
    "userinfo of another": (
        spoiled(claims={"groups": None}, userinfo={"sub": "bert", "groups": ["nrc-beheer"]}),
        502,
        WRONG,
        "another sub",
    ),
    "too many groups": (
        spoiled(claims={"groups": None, "_claim_names": {"groups": "src1"}}, userinfo={"sub": "anna-7"}),
        403,
        "Je hebt geen toegang tot deze console",
        "too many",
    ),
}


@pytest.mark.parametrize("what", UNWELL)
async def test_a_provider_that_is_unwell_is_told(provider: Misbehaving, browser: Browser, what: str) -> None:
    spoil, status, title, reason = UNWELL[what]
    spoil(provider)
    with capture_logs() as said:
        page = await browser.get("inloggen/oidc/", allow_redirects=False)
        if page.status == 303:
            page = await log_in(provider, browser)
    check_refused(page, said, status=status, title=title, reason=reason)
    assert "Ans van Beheer" in page.text or status == 400
    assert 'lang="nl"' in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")


@pytest.mark.parametrize("path", [DISCOVERY, TOKEN, JWKS])
async def test_a_provider_that_does_not_answer_is_not_waited_for_long(
    provider: Misbehaving, browser: Browser, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(requests, "TIMEOUT", 0.3)
    provider.hanging.add(path)
    with capture_logs() as said:
        page = await browser.get("inloggen/oidc/", allow_redirects=False)
        if page.status == 303:
            page = await log_in(provider, browser)
    check_refused(page, said, status=503, title=AWAY, reason="no answer within")
    assert (await browser.get("inloggen/")).status == 200, "the console goes on"


async def test_the_console_starts_while_the_provider_is_away_and_finds_it_later(
    provider: Misbehaving, served: Served, browser: Browser
) -> None:
    provider.answers[DISCOVERY] = web.Response(status=503)
    with capture_logs() as said:
        page = await browser.get("inloggen/oidc/")
    check_refused(page, said, status=503, title=AWAY, reason="status 503")
    del provider.answers[DISCOVERY]
    assert (await log_in(provider, browser)).url == f"{browser.root}account/"


async def test_nothing_listens_at_the_provider(
    consoles: Consoles, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with free_socket() as sock:
        nobody = Misbehaving("http://{}:{}".format(*sock.getsockname()))
    async with (
        consoles(tmp_path_factory.mktemp("console"), **settings_of(nobody)) as served,
        served.browser() as browser,
    ):
        with capture_logs() as said:
            page = await browser.get("inloggen/oidc/")
        check_refused(page, said, status=503, title=AWAY, reason="onnect")


ANSWERS: dict[str, tuple[dict[str, str], int, str, str]] = {
    "denied": ({"error": "access_denied"}, 403, "Er is niet ingelogd", "access_denied"),
    "not logged in": ({"error": "login_required"}, 403, "Er is niet ingelogd", "login_required"),
    "a fault of ours": (
        {"error": "invalid_scope", "error_description": "<script>alert(1)</script>\x1b[31m"},
        502,
        WRONG,
        "invalid_scope: <script>",
    ),
    "of another provider": ({"iss": "https://evil.example"}, 400, ELSEWHERE, "evil.example"),
    "denied by another": ({"iss": "https://evil.example", "error": "x"}, 400, ELSEWHERE, "evil.example"),
    "no code": ({"code": ""}, 400, OVER, "no code"),
    "no state": ({"state": ""}, 400, OVER, "state"),
    "a state of nobody": ({"state": "W10.0000"}, 400, OVER, "state"),
    "a state of letters": ({"state": "é\x00☃"}, 400, OVER, "state"),
}


@pytest.mark.parametrize("what", ANSWERS)
async def test_an_answer_that_is_not_well_is_told(provider: Misbehaving, browser: Browser, what: str) -> None:
    answer, status, title, reason = ANSWERS[what]
    with capture_logs() as said:
        page = await log_in(provider, browser, **answer)
    check_refused(page, said, status=status, title=title, reason=reason)
    assert "<script>" not in page.text
    assert not provider.forms, "no code was exchanged"


@pytest.mark.parametrize("name", ["state", "code", "error"])
async def test_an_answer_that_says_a_thing_twice_is_refused(
    provider: Misbehaving, browser: Browser, name: str
) -> None:
    """RFC 6749, 3.1: no parameter is there more than once."""
    asked = await begin(provider, browser)
    answer = {"code": "a-code", "state": asked["state"]}
    with capture_logs() as said:
        page = await browser.get(BACK, params=[*answer.items(), *[(name, answer.get(name, "x"))] * 2])
    check_refused(page, said, status=502, title=WRONG, reason=f"{name} more than once")
    assert not provider.forms, "no code was exchanged"


async def test_a_provider_that_names_itself_in_each_answer_must(
    provider: Misbehaving, browser: Browser
) -> None:
    provider.document["authorization_response_iss_parameter_supported"] = True
    with capture_logs() as said:
        page = await log_in(provider, browser)
    check_refused(page, said, status=400, title=ELSEWHERE, reason="no iss")
    assert (await log_in(provider, browser, iss=provider.root)).url == f"{browser.root}account/"


async def test_an_attempt_lasts_ten_minutes(provider: Misbehaving, browser: Browser) -> None:
    for age, status in ((LASTS - 60, 200), (LASTS + 60, 400)):
        await begin(provider, browser)
        (secret,) = (each.value for each in browser.session.cookie_jar if each.key == "nrc-console-login")
        began = attempts.begin(secret, issuer=provider.root, to="account/", now=time.time() - age)
        provider.nonce = began.nonce
        with capture_logs() as said:
            page = await browser.get(BACK, params={"code": "a-code", "state": began.state})
        assert page.status == status, page.text
    check_refused(page, said, status=400, title=OVER, reason="began over")


async def test_an_unknown_key_is_looked_for_once_in_a_while(provider: Misbehaving, browser: Browser) -> None:
    assert (await log_in(provider, browser)).url == f"{browser.root}account/"
    assert provider.asked[JWKS] == 1
    provider.key = OTHER
    for _ in range(3):
        assert (await log_in(provider, browser)).status == 502
    assert provider.asked[JWKS] == 2
    provider.key = RSA
    assert (await log_in(provider, browser)).url == f"{browser.root}account/"


async def test_groups_may_be_at_the_userinfo_endpoint(provider: Misbehaving, browser: Browser) -> None:
    provider.claims["groups"] = None
    provider.userinfo = {"sub": "anna-7", "groups": "nrc-beheer", "email": "anna@gemeente.example"}
    page = await log_in(provider, browser)
    assert "anna@gemeente.example (beheerder)" in page.text


@pytest.mark.parametrize(
    ("methods", "by_post"),
    [(None, False), (["client_secret_post"], True), (["client_secret_basic", "client_secret_post"], False)],
)
async def test_the_secret_is_sent_as_the_provider_takes_it(
    consoles: Consoles,
    provider: Misbehaving,
    tmp_path_factory: pytest.TempPathFactory,
    methods: list[str] | None,
    by_post: bool,
) -> None:
    provider.document["token_endpoint_auth_methods_supported"] = methods
    settings = settings_of(provider, console_oidc_client_secret="a secret: é%")
    async with (
        consoles(tmp_path_factory.mktemp("console"), **settings) as served,
        served.browser() as browser,
    ):
        assert (await log_in(provider, browser)).url == f"{browser.root}account/"
    (form,) = provider.forms
    assert form.get("client_secret") == ("a secret: é%" if by_post else None)


async def test_logging_out_while_the_provider_is_away(
    provider: Misbehaving, served: Served, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.document["end_session_endpoint"] = f"{provider.root}/logout?a=b"
    await log_in(provider, browser)
    monkeypatch.setattr(provider_module, "FRESH", -1.0)  # it must be looked at again
    provider.answers[DISCOVERY] = web.Response(status=503)
    page = await browser.post("uitloggen/", {"token": (await browser.get("account/")).token})
    assert page.status == 200
    assert "misschien nog ingelogd" in page.text
    assert (await browser.get("account/", allow_redirects=False)).status == 303


async def test_behind_a_proxy_the_address_is_the_one_that_is_set(
    consoles: Consoles, provider: Misbehaving, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = settings_of(provider, console_public_url="https://nrc.example.nl/beheer")
    async with (
        consoles(tmp_path_factory.mktemp("console"), **settings) as served,
        served.browser() as browser,
    ):
        begun = await browser.get("inloggen/oidc/", allow_redirects=False)
        assert query_of(begun)["redirect_uri"] == "https://nrc.example.nl/beheer/console/inloggen/oidc/terug"
        cookie = begun.headers["Set-Cookie"]
        assert cookie.startswith("__Host-nrc-console-login=")
        assert {"HttpOnly", "Secure", "SameSite=Lax", "Path=/"} <= {*cookie.split("; ")}


async def test_without_a_provider_there_is_no_such_address(
    consoles: Consoles,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async with consoles(tmp_path_factory.mktemp("console")) as served, served.browser() as browser:
        for path in ("inloggen/oidc/", BACK):
            assert (await browser.get(path)).status == 404
        assert "inloggen/oidc" not in (await browser.get("inloggen/")).text


async def test_only_so_many_codes_are_exchanged_at_once(
    provider: Misbehaving, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_module, "MOST_AT_ONCE", 0)
    with capture_logs() as said:
        page = await log_in(provider, browser)
    check_refused(page, said, status=503, title="Er loggen nu te veel mensen in", reason="being finished")
