"""Logging in by OpenID Connect, without a provider: who it is and their role, the attempt, the id_token."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc.jwk import KeySet, OctKey

from console.login.oidc import attempt as attempts
from console.login.oidc.claims import groups_of, has_claim, identity_of, role_of, roles_by_group
from console.login.oidc.faults import CLOCK, NO_ROLE, OVER, TOO_MANY_GROUPS, WRONG, LoginFailed
from console.login.oidc.id_token import LEEWAY, OtherKey, check_id_token
from console.login.oidc.requests import endpoint
from schemas.user import Role, User, read_user_name
from tests.openid.misbehaving import CLIENT, EC, OTHER, RSA, id_token

ISSUER = "https://idp.example/realms/gemeente"
NOW = 1_800_000_000
TIMES = {"iat": NOW, "exp": NOW + 300}


def checked(token: str, *, keys: Any = None, now: float = NOW, nonce: str = "n") -> Any:
    return check_id_token(
        token,
        keys or KeySet([RSA, EC]),
        issuer=ISSUER,
        client_id=CLIENT,
        nonce=nonce,
        access_token="opaque",
        now=now,
    )


@pytest.mark.parametrize(
    ("claims", "path", "groups"),
    [
        ({"groups": ["a", "b"]}, "groups", ["a", "b"]),
        ({"groups": "a"}, "groups", ["a"]),
        ({"groups": ["a", 7, None, {"b": 1}]}, "groups", ["a"]),
        ({"groups": {"a": 1}}, "groups", []),
        ({"groups": None}, "groups", []),
        ({}, "groups", []),
        ({"realm_access": {"roles": ["a"]}}, "realm_access.roles", ["a"]),
        ({"realm_access": ["roles"]}, "realm_access.roles", []),
        ({"realm_access": {}}, "realm_access.roles", []),
        ({"https://nrc.example/roles": ["a"]}, "https://nrc.example/roles", ["a"]),
        ({"a.b": ["whole"], "a": {"b": ["nested"]}}, "a.b", ["whole"]),
        ({"resource_access": {"nrc": {"roles": ["a"]}}}, "resource_access.nrc.roles", ["a"]),
    ],
)
def test_groups_are_read_from_the_claim(claims: dict[str, Any], path: str, groups: list[str]) -> None:
    assert list(groups_of(claims, path)) == groups


def test_groups_that_the_provider_does_not_name_are_told_apart() -> None:
    over = {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {}}}
    with pytest.raises(LoginFailed) as failed:
        groups_of(over, "groups")
    assert failed.value.fault is TOO_MANY_GROUPS
    assert groups_of({**over, "roles": ["a"]}, "roles") == ["a"]
    assert not has_claim(over, "groups")


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["nrc-lezers"], Role.LEZER),
        (["nrc-lezers", "nrc-admin", "andere"], Role.ADMIN),
        (["nrc-beheer"], Role.BEHEERDER),
        (["CN=nrc,OU=Groepen"], Role.BEHEERDER),
        (["a=b"], Role.LEZER),
        (["twice"], Role.ADMIN),
        (["NRC-ADMIN"], None),
        (["nrc-admin "], None),
        (["admin"], None),
        ([], None),
    ],
)
def test_the_greatest_role_of_the_groups_counts(groups: list[str], role: Role | None) -> None:
    pairs = ("nrc-lezers=lezer", "nrc-beheer=beheerder", "nrc-admin=admin", "twice=admin", "twice=lezer")
    by_group = roles_by_group((*pairs, "CN=nrc%2COU=Groepen=beheerder", "a=b = lezer"))
    if role is not None:
        assert role_of(groups, by_group, shown="anna") is role
        return
    with pytest.raises(LoginFailed) as failed:
        role_of(groups, by_group, shown="anna")
    assert (failed.value.fault, failed.value.shown) == (NO_ROLE, "anna")


@pytest.mark.parametrize(
    ("claims", "shown"),
    [
        ({"email": "a@b.nl", "preferred_username": "anna"}, "a@b.nl"),
        ({"email": "a@b.nl", "email_verified": False, "preferred_username": "anna"}, "anna"),
        ({"email": "a@b.nl", "email_verified": True}, "a@b.nl"),
        ({"email": " ", "upn": "anna@gemeente.nl"}, "anna@gemeente.nl"),
        ({"email": 7, "name": "Anna de Vries"}, "Anna de Vries"),
        ({}, "7f3a"),
        ({"name": "x" * 500}, "x" * 100),
        ({"name": "a\x1b[31m\nb"}, "a\ufffd[31m\ufffdb"),
    ],
)
def test_a_person_is_shown_by_what_people_know(claims: dict[str, Any], shown: str) -> None:
    identity = identity_of({"sub": "7f3a", **claims}, issuer=ISSUER)
    assert identity.shown == shown
    assert identity.name == f"{ISSUER}#7f3a"


@pytest.mark.parametrize("subject", [None, "", 7, ["a"], "x" * 256, "a\nb"])
def test_a_subject_that_is_none_is_refused(subject: object) -> None:
    with pytest.raises(LoginFailed, match="sub"):
        identity_of({"sub": subject}, issuer=ISSUER)


@pytest.mark.parametrize("subject", ["admin", "anna", "a@b.nl", "x"])
def test_nobody_at_a_provider_has_the_name_of_a_user_with_a_password(subject: str) -> None:
    identity = identity_of({"sub": subject, "name": "admin"}, issuer=ISSUER)
    assert read_user_name(identity.name) is None
    user = User(identity.name, "", Role.LEZER, made=0.0, issuer=ISSUER, shown=identity.shown)
    assert user.told == "admin (OpenID Connect)"
    assert User("admin", "hash", Role.ADMIN, made=0.0).told == "admin"


def test_a_good_token_is_taken_until_the_leeway_is_over() -> None:
    token = id_token(ISSUER, "n", **TIMES)
    assert checked(token)["sub"] == "anna-7"
    assert checked(token, now=NOW + 299 + LEEWAY)["sub"] == "anna-7"
    assert checked(token, now=NOW - LEEWAY)["sub"] == "anna-7"
    for now in (NOW + 301 + LEEWAY, NOW - LEEWAY - 1):
        with pytest.raises(LoginFailed) as failed:
            checked(token, now=now)
        assert failed.value.fault is CLOCK


def test_the_access_token_is_the_one_that_it_was_given_with() -> None:
    half = hashlib.sha256(b"opaque").digest()[:16]
    fits = base64.urlsafe_b64encode(half).decode().rstrip("=")
    assert checked(id_token(ISSUER, "n", **TIMES, at_hash=fits))
    with pytest.raises(LoginFailed, match="at_hash"):
        checked(id_token(ISSUER, "n", **TIMES, at_hash=fits[::-1]))


def test_several_audiences_are_taken_when_it_was_made_for_this_client() -> None:
    assert checked(id_token(ISSUER, "n", **TIMES, aud=[CLIENT]))
    assert checked(id_token(ISSUER, "n", **TIMES, aud=[CLIENT, "other"], azp=CLIENT))


@pytest.mark.parametrize("issuer", [ISSUER + "/", ISSUER.upper(), "https://idp.example", [ISSUER], 7])
def test_the_issuer_is_compared_character_by_character(issuer: Any) -> None:
    with pytest.raises(LoginFailed) as failed:
        checked(id_token("", "n", **TIMES, iss=issuer))
    assert failed.value.fault is WRONG


@pytest.mark.parametrize("claim", ["iss", "aud", "nonce", "sub", "exp", "iat", "nbf", "azp", "at_hash"])
def test_a_claim_of_another_type_is_no_fault_of_the_library(claim: str) -> None:
    refused = 0
    values: list[Any] = [True, -1, 1e400, [], [[]], {}, {"a": 1}, "é☃", "", [None], 10**400]
    for value in values:
        try:
            checked(id_token(ISSUER, "n", **{**TIMES, claim: value}))
        except LoginFailed:
            refused += 1
    # Some are as if there were none; a moment may be any number.
    assert refused == len(values) if claim in ("iss", "aud", "nonce") else refused >= 6


def test_a_public_key_is_no_secret_that_signs() -> None:
    secret = OctKey.import_key(RSA.as_pem(private=False).decode().replace("-----", "====="), {"kid": "rsa"})
    token = id_token(ISSUER, "n", **TIMES, key=secret, algorithm="HS256")
    with pytest.raises(LoginFailed, match="cannot be read"):
        checked(token)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_an_algorithm_that_is_not_of_the_key_is_refused(algorithm: str) -> None:
    key, named = (EC, "rsa") if algorithm == "ES256" else (RSA, "ec")
    token = id_token(ISSUER, "n", **TIMES, key=key, algorithm=algorithm, header={"kid": named})
    with pytest.raises((LoginFailed, OtherKey)):
        checked(token)


def test_a_token_of_an_unknown_key_is_told_apart() -> None:
    for header in ({}, {"kid": "rsa"}):
        with pytest.raises(OtherKey):
            checked(id_token(ISSUER, "n", **TIMES, key=OTHER, header=header))
    with pytest.raises(OtherKey):
        checked(id_token(ISSUER, "n", **TIMES), keys=KeySet([OTHER]))


def test_an_attempt_is_of_its_browser_its_provider_and_its_time() -> None:
    secret = attempts.new_secret()
    begun = attempts.begin(secret, issuer=ISSUER, to="account/?a=b", now=NOW)
    assert attempts.answered(secret, begun.state, issuer=ISSUER, now=NOW + attempts.LASTS) == begun
    assert len({begun.state, begun.nonce, begun.verifier}) == 3
    assert 43 <= len(begun.verifier) <= 128
    challenge = create_s256_code_challenge(begun.verifier)
    assert begun.verifier not in challenge
    content, _, mac = begun.state.partition(".")
    for answer in (
        {"secret": attempts.new_secret()},
        {"secret": ""},
        {"issuer": "https://other.example"},
        {"now": NOW + attempts.LASTS + 1},
        {"state": f"{content}."},
        {"state": f"{content}.{mac[:-1]}0" if mac[-1] != "0" else f"{content}.{mac[:-1]}1"},
        {"state": f"x{content}.{mac}"},
        {"state": mac},
        {"state": ""},
    ):
        asked: dict[str, Any] = {"secret": secret, "state": begun.state, "issuer": ISSUER, "now": NOW}
        with pytest.raises(LoginFailed) as failed:
            attempts.answered(**{**asked, **answer})
        assert failed.value.fault is OVER, answer


def test_a_long_way_back_is_left_out() -> None:
    begun = attempts.begin("s", issuer=ISSUER, to="x" * 501, now=NOW)
    assert attempts.answered("s", begun.state, issuer=ISSUER, now=NOW).to == ""
    assert len(begun.state) < 200


@pytest.mark.parametrize(
    ("url", "issuer", "taken"),
    [
        ("https://idp.example/token", ISSUER, True),
        ("https://other.example/token?a=b", ISSUER, True),
        ("http://idp.example/token", ISSUER, False),
        ("http://127.0.0.1/token", ISSUER, False),
        ("http://127.0.0.1:8080/token", "http://127.0.0.1:8080", True),
        ("http://localhost/token", "http://127.0.0.1:8080", True),
        ("http://idp.example/token", "http://127.0.0.1:8080", False),
        ("javascript:alert(1)", ISSUER, False),
        ("/token", ISSUER, False),
        ("http://[::1]@", ISSUER, False),
        (7, ISSUER, False),
        (None, ISSUER, False),
    ],
)
def test_an_endpoint_is_https_but_for_this_machine(url: object, issuer: str, taken: bool) -> None:
    assert endpoint(url, issuer=issuer) == (url if taken else "")
