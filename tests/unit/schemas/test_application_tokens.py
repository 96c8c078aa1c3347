"""Tokens as any library reads them."""

from __future__ import annotations

import warnings

import jwt

from schemas.application import signed, zgw_token


def test_a_token_is_read_by_pyjwt() -> None:
    secret = "a secret that is long enough for HS256"
    token = zgw_token("zac", secret, now=1_700_000_000, user_id="jan", user_representation="Jan é")
    assert jwt.get_unverified_header(token) == {"typ": "JWT", "alg": "HS256"}
    assert jwt.decode(token, secret, algorithms=["HS256"]) == {
        "iss": "zac",
        "iat": 1_700_000_000,
        "client_id": "zac",
        "user_id": "jan",
        "user_representation": "Jan é",
    }


def test_a_short_secret_works_without_a_warning_and_headers_are_added() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        token = signed({"iat": 1}, "short", {"client_identifier": "zac"})
    assert jwt.get_unverified_header(token) == {"typ": "JWT", "alg": "HS256", "client_identifier": "zac"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert jwt.decode(token, "short", algorithms=["HS256"], options={"verify_iat": False}) == {"iat": 1}
