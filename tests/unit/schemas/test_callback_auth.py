"""What a callback may ask for beyond auth: which values are refused, and what is kept and shown of them."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.callback_auth import CallbackAuth, Signature, new_signing_secret, without_secrets
from schemas.fields import parse

OAUTH2 = {"tokenUrl": "https://idp.example.nl/token", "clientId": "nrc", "secret": "hidden-secret"}
ZGW = {"clientId": "nrc", "secret": "hidden-secret"}
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the example of the specification
OLD = "whsec_" + "QUJD" * 10
HEADER = {"name": "X-Api-Key", "value": "hidden-value"}


@pytest.mark.parametrize(
    ("given", "name", "told"),
    [
        ({"oauth2": {**OAUTH2, "tokenUrl": "idp"}}, "oauth2.tokenUrl", "http"),
        ({"oauth2": {**OAUTH2, "tokenUrl": "https://a:b@idp/"}}, "oauth2.tokenUrl", "wachtwoord"),
        ({"oauth2": {"tokenUrl": "https://idp/"}}, "oauth2.clientId", "verplicht"),
        ({"oauth2": {**OAUTH2, "secret": " "}}, "oauth2.secret", "leeg"),
        ({"oauth2": {**OAUTH2, "secretIn": "url"}}, "oauth2.secretIn", "header of body"),
        ({"zgw": {**ZGW, "userId": "a\nb"}}, "zgw.userId", "Stuurtekens"),
        ({"zgw": {**ZGW, "secret": "x" * 1001}}, "zgw.secret", "1000"),
        ({"header": {**HEADER, "value": "a\r\nb"}}, "header.value", "regel"),
        ({"header": {**HEADER, "name": "X Key"}}, "header.name", "naam"),
        ({"header": {**HEADER, "name": "AUTHORIZATION"}}, "header.name", "auth"),
        ({"signature": {"secret": "hidden"}}, "signature.secret", "whsec_"),
        ({"signature": {"secret": "whsec_aGlkZGVu"}}, "signature.secret", "24 tot 64"),
        ({"signature": {"secret": WHSEC, "oldSecretUntil": "soon"}}, "signature.oldSecretUntil", "RFC 3339"),
        ({"noAuth": "maybe"}, "noAuth", "true of false"),
        ({"unknown": {}}, "unknown", "bestaat hier niet"),
        ({"zgw": ZGW, "oauth2": OAUTH2}, "nonFieldErrors", "een van"),
        ({"zgw": ZGW, "noAuth": True}, "nonFieldErrors", "een van"),
        ([], "nonFieldErrors", "JSON-object"),
    ],
)
def test_what_is_refused(given: Any, name: str, told: str) -> None:
    found, faults = parse(CallbackAuth, given)
    assert found is None
    assert name in {fault.name for fault in faults}
    assert any(told in fault.reason for fault in faults)
    assert not any("hidden" in fault.reason for fault in faults)


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "content-length",
        "Content-Type",
        "Transfer-Encoding",
        "connection",
        "Proxy-Authorization",
        "webhook-id",
        "nrc-attempt",
        "traceparent",
    ],
)
def test_headers_that_nrc_sets_itself(name: str) -> None:
    found, (fault,) = parse(CallbackAuth, {"header": {**HEADER, "name": name}})
    assert (found, fault.name) == (None, "header.name")
    assert name in fault.reason


@pytest.mark.parametrize(
    ("given", "kinds", "replaces"),
    [
        ({}, (), False),
        ({"noAuth": False}, (), False),
        ({"noAuth": "true"}, ("noAuth",), True),
        ({"header": HEADER}, ("header",), False),
        ({"zgw": ZGW, "header": HEADER}, ("zgw", "header"), True),
        ({"signature": {"secret": WHSEC}}, ("signature",), False),
        (
            {"signature": {"secret": WHSEC, "oldSecret": OLD, "oldSecretUntil": "2026-01-31T12:00:00Z"}},
            ("signature",),
            False,
        ),
        ({"oauth2": {**OAUTH2, "secretIn": "body", "scope": "a b"}}, ("oauth2",), True),
    ],
)
def test_what_is_kept(given: Any, kinds: tuple[str, ...], replaces: bool) -> None:
    found, faults = parse(CallbackAuth, given)
    assert found is not None, faults
    assert (found.kinds, found.replaces_auth, bool(found)) == (kinds, replaces, bool(kinds))
    assert CallbackAuth.of_text(found.text()) == found
    assert parse(CallbackAuth, found.as_given())[0] == found
    told = repr(found) + str(without_secrets(found))
    assert not any(secret in told for secret in ("hidden", WHSEC, OLD))


def test_the_former_signing_secret_signs_until_then() -> None:
    def signing(**more: Any) -> Signature:
        return Signature.model_validate({"secret": WHSEC, **more})

    new, old = signing().keys(now=0)[0], b"ABC" * 10
    assert signing(oldSecret=OLD).keys(now=4e9) == (new, old)
    until = signing(oldSecret=OLD, oldSecretUntil="2026-01-31T12:00:00Z")
    assert until.keys(now=1769860799) == (new, old)
    assert until.keys(now=1769860800) == (new,)


def test_the_same_secret_given_again_keeps_the_former_one() -> None:
    known = CallbackAuth.model_validate({"signature": {"secret": WHSEC, "oldSecret": OLD}})
    same = CallbackAuth.model_validate({"signature": {"secret": WHSEC}})
    other = CallbackAuth.model_validate({"signature": {"secret": OLD}})
    assert same.keeping(known) == known
    assert (other.keeping(known), same.keeping(None)) == (other, same)
    assert CallbackAuth().keeping(known) == CallbackAuth()


def test_what_goes_beside_an_authorization_is_kept_where_that_alone_is_named() -> None:
    header = {"name": "X-Api-Key", "value": "hidden"}
    known = CallbackAuth.model_validate({"noAuth": True, "header": header, "signature": {"secret": WHSEC}})
    zgw = CallbackAuth.model_validate({"zgw": {"clientId": "a", "secret": "b"}})
    assert zgw.beside(known).kinds == ("zgw", "header", "signature")
    assert CallbackAuth().beside(known).kinds == ("header", "signature")
    signed = CallbackAuth.model_validate({"signature": {"secret": OLD}})
    assert signed.beside(known).signature == signed.signature
    assert zgw.beside(None) == zgw


def test_what_a_newer_program_added_is_left_out() -> None:
    found = CallbackAuth.of_text('{"noAuth": true, "newer": {"a": 1}}')
    assert found is not None
    assert found.kinds == ("noAuth",)


def test_a_secret_that_is_made_here_is_one() -> None:
    made = {new_signing_secret() for _ in range(3)}
    assert len(made) == 3
    assert all(parse(CallbackAuth, {"signature": {"secret": each}})[0] for each in made)
