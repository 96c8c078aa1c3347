"""STANDARD: Tokens. Every case with its code, as a decision over values; and the cache of tokens."""

from __future__ import annotations

import hmac
import json
import math
from base64 import urlsafe_b64encode
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.tokens import LONGEST_REMEMBERED, MAX_REMEMBERED, Credentials, Tokens, bearer, verify
from runtime.settings import Settings
from schemas.application import Application, Scope
from schemas.errors import PermissionDenied
from tests.tokens import sign

NOW = 1_700_000_000.0
SECRET = "geheim"
BOTH = frozenset(Scope)
PUBLICEREN = frozenset({Scope.PUBLICEREN})

APP = Application("zrc", SECRET, scopes=BOTH)
APPLICATIONS = {
    app.client_id: app
    for app in (
        APP,
        Application("smal", SECRET, scopes=PUBLICEREN),
        Application("niets", SECRET),
        Application("oud", SECRET, scopes_from_token=True),
        Application("draait", "nieuw", scopes=BOTH, old_secret=SECRET, old_secret_until=NOW + 60),
        Application("gedraaid", "nieuw", scopes=BOTH, old_secret=SECRET, old_secret_until=NOW),
        Application("zonder", ""),
    )
}
SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]
ABSENT: Any = object()


def made(*, secret: str = SECRET, headers: Any = None, algorithm: str = "HS256", **claims: Any) -> str:
    """A token for zrc, sound but for what is said."""
    payload = {"iss": "zrc", "iat": int(NOW), "client_id": "zrc", **claims}
    payload = {name: value for name, value in payload.items() if value is not ABSENT}
    return sign(payload, secret, headers=headers, algorithm=algorithm)


def verified(token: str, *, now: float = NOW, settings: Settings = SETTINGS) -> Credentials:
    return verify(token, APPLICATIONS, now=now, settings=settings)


def code_of(token: str, *, now: float = NOW, settings: Settings = SETTINGS) -> str:
    with pytest.raises(PermissionDenied) as refusal:
        verified(token, now=now, settings=settings)
    assert refusal.value.detail
    return refusal.value.code


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


HEADER = part({"alg": "HS256", "typ": "JWT"})
DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000


@pytest.mark.parametrize(
    "token",
    [
        "",
        "abcd1234",
        "a.b",
        "a.b.c",
        "é.é.é",
        "\udcff.\udcff.\udcff",
        f"{HEADER}.{part([1])}.",
        f"{HEADER}.{part(b'{')}.",
        f"{HEADER}.{part(DEEP)}.",
        f"{part(DEEP)}.{part({})}.",
        f"{HEADER}.{part(b'{}')[:-1]}%.",
        f"{part([])}.{part({})}.",
        f"{part({'alg': 'HS256', 'kid': 1})}.{part({})}.",
        f"{part({'alg': 'HS256', 'crit': 1})}.{part({})}.",
        f"{part({'alg': 'HS256', 'b64': False})}..",
        made()[:-1] + "!",
        made().rpartition(".")[0],
    ],
)
def test_what_cannot_be_read(token: str) -> None:
    assert code_of(token) == "jwt-decode-error"


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"client_id": ABSENT}, "missing-client-identifier"),
        ({"client_id": "wie"}, "invalid-client-identifier"),
        ({"client_id": ""}, "invalid-client-identifier"),
        ({"client_id": None}, "invalid-client-identifier"),
        ({"client_id": 1}, "invalid-client-identifier"),
        ({"client_id": ["zrc"]}, "invalid-client-identifier"),
        ({"client_id": {}}, "invalid-client-identifier"),
        ({"secret": "anders"}, "invalid-jwt-signature"),
        ({"iat": ABSENT}, "jwt-missing-iat-claim"),
        ({"iat": NOW - 3601}, "jwt-expired"),
        ({"iat": -(10**400)}, "jwt-expired"),
        ({"iat": "1700000000"}, "jwt-invalidissuedaterror"),
        ({"iat": None}, "jwt-invalidissuedaterror"),
        ({"iat": True}, "jwt-invalidissuedaterror"),
        ({"iat": math.nan}, "jwt-invalidissuedaterror"),
        ({"iat": math.inf}, "jwt-invalidissuedaterror"),
        ({"iat": []}, "jwt-invalidissuedaterror"),
        ({"exp": NOW}, "jwt-expiredsignatureerror"),
        ({"exp": NOW - 1}, "jwt-expiredsignatureerror"),
        ({"exp": 0}, "jwt-expiredsignatureerror"),
        ({"exp": "later"}, "jwt-decode-error"),
        ({"exp": None}, "jwt-decode-error"),
        ({"nbf": NOW + 6}, "jwt-immaturesignatureerror"),
        ({"nbf": 10**400}, "jwt-immaturesignatureerror"),
        ({"nbf": {}}, "jwt-decode-error"),
        ({"aud": "iemand"}, "jwt-invalidaudienceerror"),
        ({"aud": ["iemand"]}, "jwt-invalidaudienceerror"),
        ({"aud": 1}, "jwt-invalidaudienceerror"),
        ({"sub": 1}, "jwt-invalidsubjecterror"),
        ({"sub": None}, "jwt-invalidsubjecterror"),
        ({"jti": 1}, "jwt-invalidjtierror"),
        ({"algorithm": "HS512"}, "jwt-invalidalgorithmerror"),
        ({"algorithm": "none", "secret": ""}, "jwt-invalidalgorithmerror"),
    ],
)
def test_refusals(claims: dict[str, Any], code: str) -> None:
    assert code_of(made(**claims)) == code


@pytest.mark.parametrize("alg", [ABSENT, None, "", "hs256", "RS256", "ES256", ["HS256"], 1, "onzin"])
def test_other_algorithms(alg: Any) -> None:
    header = {"typ": "JWT"} if alg is ABSENT else {"typ": "JWT", "alg": alg}
    claims = part({"iat": NOW, "client_id": "zrc"})
    assert code_of(f"{part(header)}.{claims}.") == "jwt-invalidalgorithmerror"


def test_a_client_without_a_secret_is_never_vouched_for() -> None:
    header, claims = HEADER, part({"iat": NOW, "client_id": "zonder"})
    assert code_of(f"{header}.{claims}.{part(b'')}") == "invalid-jwt-signature"


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"iat": NOW - 3600},
        {"iat": NOW + 86400},
        {"iat": NOW + 0.5},
        {"nbf": NOW + 5},
        {"exp": NOW + 1},
        {"exp": 10**400},
        {"aud": ""},
        {"aud": []},
        {"aud": None},
        {"sub": "iemand", "jti": "1"},
        {"iss": 1, "user_id": None},
    ],
)
def test_what_passes(claims: dict[str, Any]) -> None:
    assert verified(made(**claims)).client_id == "zrc"


def test_the_form_of_2019_names_the_client_in_the_header() -> None:
    token = made(client_id=ABSENT, headers={"client_identifier": "zrc"})
    assert verified(token).client_id == "zrc"
    modern_only = SETTINGS.model_copy(update={"legacy_tokens": False})
    assert code_of(token, settings=modern_only) == "missing-client-identifier"


@pytest.mark.parametrize("client", ["wie", 1, None, []])
def test_the_form_of_2019_with_a_wrong_client(client: Any) -> None:
    token = made(client_id=ABSENT, headers={"client_identifier": client})
    assert code_of(token) == "invalid-client-identifier"


def test_the_payload_comes_before_the_header() -> None:
    token = made(client_id="smal", headers={"client_identifier": "zrc"})
    assert verified(token).client_id == "smal"


@pytest.mark.parametrize(
    ("client_id", "zds", "scopes"),
    [
        ("zrc", ABSENT, BOTH),
        ("smal", ABSENT, PUBLICEREN),
        ("niets", ABSENT, frozenset()),
        ("oud", ABSENT, frozenset()),
        ("zrc", {"scopes": ["notificaties.publiceren"]}, PUBLICEREN),
        ("zrc", {"scopes": ["notificaties.scopes.publiceren"]}, PUBLICEREN),
        ("zrc", {"scopes": ["notificaties.scopes.publiceren", "notificaties.consumeren"]}, BOTH),
        ("smal", {"scopes": ["notificaties.consumeren"]}, frozenset()),
        ("niets", {"scopes": ["notificaties.publiceren"]}, frozenset()),
        ("zrc", {"scopes": ["notificaties.anders"]}, frozenset()),
        ("zrc", {"scopes": ["zaken.lezen"]}, BOTH),
        ("zrc", {"scopes": []}, BOTH),
        ("zrc", {"scopes": "notificaties.publiceren"}, BOTH),
        ("zrc", {"scopes": [1, None, {}]}, BOTH),
        ("zrc", {"scopes": None}, BOTH),
        ("zrc", [], BOTH),
        ("zrc", None, BOTH),
        ("oud", {"scopes": ["notificaties.scopes.publiceren"]}, PUBLICEREN),
        ("oud", {"scopes": ["notificaties.consumeren", "notificaties.publiceren"]}, BOTH),
        ("oud", {"scopes": ["zaken.lezen"]}, frozenset()),
    ],
)
def test_scopes(client_id: str, zds: Any, scopes: frozenset[Scope]) -> None:
    token = made(client_id=client_id, zds=zds, scope="openid", scopes=["notificaties.publiceren"])
    assert verified(token).scopes == scopes


def test_scopes_from_tokens_belong_to_the_form_of_2019() -> None:
    token = made(client_id="oud", zds={"scopes": ["notificaties.publiceren"]})
    assert (
        verified(token, settings=SETTINGS.model_copy(update={"legacy_tokens": False})).scopes == frozenset()
    )


@pytest.mark.parametrize(
    ("claims", "until"),
    [
        ({}, NOW + 3600),
        ({"iat": NOW - 3600}, NOW),
        ({"exp": NOW + 10}, NOW + 10),
        ({"exp": NOW + 7200}, NOW + 3600),
        ({"client_id": "draait"}, NOW + 60),
        ({"client_id": "draait", "secret": "nieuw"}, NOW + 3600),
    ],
)
def test_until_when(claims: dict[str, Any], until: float) -> None:
    assert verified(made(**claims)).valid_until == until


def test_an_old_secret_ends() -> None:
    assert code_of(made(client_id="gedraaid")) == "invalid-jwt-signature"


@pytest.mark.parametrize("header", ["", "Basic YTpi", "Token abc", "abc", "Bearertoken", "JWT abc"])
def test_other_schemes(header: str) -> None:
    with pytest.raises(PermissionDenied) as refusal:
        bearer(header)
    assert refusal.value.code == "permission_denied"


@pytest.mark.parametrize("header", ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c  "])
def test_the_scheme_is_not_case_sensitive(header: str) -> None:
    assert bearer(header) == "a.b.c"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
CLAIMS = ["client_id", "iat", "exp", "nbf", "aud", "sub", "jti", "iss", "zds", "scope"]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.dictionaries(st.sampled_from(CLAIMS), anything),
    st.dictionaries(st.sampled_from(["kid", "x"]), anything),
)
def test_nothing_in_a_token_is_a_fault_of_ours(claims: dict[str, Any], header: dict[str, Any]) -> None:
    parts = [{"alg": "HS256", **header}, {"client_id": "zrc", **claims}]
    forged = ".".join([*(part(json.dumps(value).encode()) for value in parts), part(b"x")])
    with pytest.raises(PermissionDenied):
        verified(forged)
    try:
        verified(made(**{"client_id": "zrc", **claims}))
    except PermissionDenied as refusal:
        assert refusal.detail


@given(st.text())
def test_nothing_in_a_header_is_a_fault_of_ours(text: str) -> None:
    with pytest.raises(PermissionDenied):
        Tokens(APPLICATIONS, SETTINGS).credentials("Bearer " + text, now=NOW)


# -- what is remembered


class Counting(dict[str, Application]):
    """Applications that count how often a client is looked for."""

    looked = 0

    def get(self, *args: Any) -> Any:
        self.looked += 1
        return super().get(*args)


def test_a_token_is_verified_once() -> None:
    applications = Counting(APPLICATIONS)
    tokens = Tokens(applications, SETTINGS)
    header = "Bearer " + made()
    first = tokens.credentials(header, now=NOW)
    assert tokens.credentials(header, now=NOW + 3599) is first


@pytest.mark.parametrize(
    ("claims", "later", "code"),
    [
        ({}, 3601, "jwt-expired"),
        ({"exp": NOW + 10}, 10, "jwt-expiredsignatureerror"),
        ({"client_id": "draait"}, 60, "invalid-jwt-signature"),
    ],
)
def test_what_is_remembered_ends(claims: dict[str, Any], later: float, code: str) -> None:
    tokens = Tokens(APPLICATIONS, SETTINGS)
    header = "Bearer " + made(**claims)
    tokens.credentials(header, now=NOW)
    with pytest.raises(PermissionDenied) as refusal:
        tokens.credentials(header, now=NOW + later)
    assert refusal.value.code == code


def test_a_change_of_its_application_ends_it() -> None:
    applications = dict(APPLICATIONS)
    tokens = Tokens(applications, SETTINGS)
    header = "Bearer " + made()
    assert tokens.credentials(header, now=NOW).scopes == BOTH
    applications["zrc"] = replace(APP, scopes=PUBLICEREN, change=2)
    assert tokens.credentials(header, now=NOW).scopes == PUBLICEREN
    applications["zrc"] = replace(APP, secret="anders", change=3)
    with pytest.raises(PermissionDenied) as refusal:
        tokens.credentials(header, now=NOW)
    assert refusal.value.code == "invalid-jwt-signature"
    del applications["zrc"]
    with pytest.raises(PermissionDenied) as refusal:
        tokens.credentials(header, now=NOW)
    assert refusal.value.code == "invalid-client-identifier"


def test_a_refusal_is_not_remembered() -> None:
    applications = dict(APPLICATIONS)
    del applications["zrc"]
    tokens = Tokens(applications, SETTINGS)
    header = "Bearer " + made()
    with pytest.raises(PermissionDenied):
        tokens.credentials(header, now=NOW)
    applications["zrc"] = APP
    assert tokens.credentials(header, now=NOW).client_id == "zrc"


def test_no_header() -> None:
    with pytest.raises(PermissionDenied) as refusal:
        Tokens(APPLICATIONS, SETTINGS).credentials(None, now=NOW)
    assert refusal.value.code == "permission_denied"


def test_the_memory_is_bounded() -> None:
    tokens = Tokens(APPLICATIONS, SETTINGS)
    for number in range(MAX_REMEMBERED + 10):
        tokens.credentials("Bearer " + made(jti=str(number)), now=NOW)
    assert len(tokens._remembered) == MAX_REMEMBERED


def test_a_token_that_is_too_long_to_remember_counts_all_the_same() -> None:
    tokens = Tokens(APPLICATIONS, SETTINGS)
    for _ in range(2):
        assert tokens.credentials("Bearer " + made(jti="x" * LONGEST_REMEMBERED), now=NOW).scopes == BOTH
    assert not tokens._remembered


# What a refusal must not tell


@pytest.mark.parametrize("header", [{"alg": "HS256"}, {"alg": "HS512"}, {"alg": "none"}])
def test_a_refusal_is_the_same_work_for_every_client(
    header: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted, not timed: what is hashed, and what is compared in constant time."""
    work: list[str] = []
    real_new, real_compare = hmac.new, hmac.compare_digest

    def new(key: bytes, message: bytes, *rest: Any) -> Any:
        work.append("hash")
        return real_new(key, message, *rest)

    def compare(one: bytes, other: bytes) -> bool:
        work.append("compare")
        return real_compare(one, other)

    done = {}
    for client_id in ["zrc", "draait", "gedraaid", "zonder", "oud", "wie", "xx"]:
        token = ".".join([part({**header, "typ": "JWT"}), part({"client_id": client_id}), part(b"x" * 32)])
        work.clear()
        with monkeypatch.context() as patch:
            patch.setattr("jwt.algorithms.hmac.new", new)
            patch.setattr("jwt.algorithms.hmac.compare_digest", compare)
            code_of(token)
        done[client_id] = work[:]
    assert done["wie"] == ["hash", "compare"] * 2
    assert {client: steps for client, steps in done.items() if steps != done["wie"]} == {}


def test_the_texts_of_refusals_name_no_client() -> None:
    for claims in ({"client_id": "wie"}, {"secret": "anders"}, {"secret": "anders", "client_id": "draait"}):
        with pytest.raises(PermissionDenied) as refusal:
            verified(made(**claims))
        assert not any(name in refusal.value.detail for name in ("wie", "draait", "zrc"))
