"""Signatures: the example of Standard Webhooks, and everything that can be wrong with one."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from inbox.signatures import signature_of
from schemas.callback_auth import key_of

# https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
AT = 1614265330
HEADERS = {
    "Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "Webhook-Timestamp": str(AT),
    "Webhook-Signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


def verdict(headers: dict[str, str], body: bytes = BODY, *, secret: str = SECRET, at: float = AT) -> str:
    found = signature_of(CIMultiDict(headers), body, secret=secret, at=at)
    assert found is not None
    assert found.why
    return found.verdict


def test_the_example_is_right() -> None:
    assert verdict(HEADERS) == "valid"
    both = "v1,bm9ldSBnb2VkCg== v1a,x " + HEADERS["Webhook-Signature"]
    assert verdict({**HEADERS, "Webhook-Signature": both}) == "valid"


@pytest.mark.parametrize(
    ("changed", "body", "at"),
    [
        ({}, b'{"test": 2432232315}', AT),
        ({}, BODY, AT + 301),
        ({}, BODY, AT - 301),
        ({"Webhook-Id": "msg_other"}, BODY, AT),
        ({"Webhook-Timestamp": str(AT + 1)}, BODY, AT),
        ({"Webhook-Timestamp": ""}, BODY, AT),
        ({"Webhook-Signature": ""}, BODY, AT),
        ({"Webhook-Signature": "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, BODY, AT),
        ({"Webhook-Signature": "v1,é"}, BODY, AT),
    ],
)
def test_all_else_is_not(changed: dict[str, str], body: bytes, at: float) -> None:
    assert verdict({**HEADERS, **changed}, body, at=at) == "invalid"


def test_what_cannot_be_checked_is_told_as_that() -> None:
    assert verdict(HEADERS, secret="") == "unchecked"
    assert verdict({"X-Hub-Signature-256": "sha256=00"}) == "unchecked"
    assert signature_of(CIMultiDict({"Content-Type": "x"}), BODY, secret=SECRET, at=AT) is None


@pytest.mark.parametrize("secret", ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_*", "whsec_é"])
def test_no_secret(secret: str) -> None:
    assert key_of(secret) is None
