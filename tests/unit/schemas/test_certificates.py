"""Client certificates and authorities of a callback: what is refused, kept and told."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from schemas.callback_auth import CallbackAuth, without_secrets
from schemas.callback_auth.certificates import Unusable, facts_of, key_in, of_pkcs12
from schemas.fields import parse
from tests.tls.certificates import Authority, Issued, ec_key, pem_of, rsa_key

CA = Authority.new()
MIDDLE = Authority.new("Middle", under=CA)
CLIENT = MIDDLE.issue("nrc")
OTHER = CA.issue("other")


def given(**more: Any) -> dict[str, Any]:
    return {"clientCertificate": {"certificate": CLIENT.pem, "key": CLIENT.key_pem, **more}}


def self_signed(key: Any) -> Issued:
    return CA.issue("own", key=key)


SMALL, TWISTED = self_signed(rsa_key(1024)), self_signed(ec.generate_private_key(ec.SECP256K1()))
ED = self_signed(ed25519.Ed25519PrivateKey.generate())


@pytest.mark.parametrize(
    ("asked", "name", "told"),
    [
        (given(certificate=""), "clientCertificate.certificate", "leeg"),
        (given(certificate="hidden"), "clientCertificate.certificate", "BEGIN CERTIFICATE"),
        (given(certificate=CLIENT.key_pem), "clientCertificate.certificate", "BEGIN CERTIFICATE"),
        (
            given(certificate=CLIENT.pem.replace("MII", "MIX")),
            "clientCertificate.certificate",
            "niet te lezen",
        ),
        (
            given(certificate=CLIENT.pem + CA.pem[:80] + CA.pem[90:]),
            "clientCertificate.certificate",
            "Certificaat 2 van 2",
        ),
        (given(certificate=CA.pem * 21), "clientCertificate.certificate", "meer dan 20"),
        (given(certificate="x" * 20_001), "clientCertificate.certificate", "20000"),
        (given(key=CLIENT.pem), "clientCertificate.key", "BEGIN PRIVATE KEY"),
        (given(key=CLIENT.key_pem * 2), "clientCertificate.key", "meer privésleutels"),
        (given(key=OTHER.key_pem), "clientCertificate.key", "hoort niet bij"),
        (given(key=CLIENT.key_pem.replace("MIG", "MIX")), "clientCertificate.key", "niet te lezen"),
        (given(key="x" * 10_001), "clientCertificate.key", "10000"),
        (given(key=pem_of(CLIENT.key, password="hidden")), "clientCertificate.key", "keyPassword"),
        (
            given(key=pem_of(CLIENT.key, password="hidden"), keyPassword="hidden2"),
            "clientCertificate.key",
            "gaat met dit wachtwoord niet open",
        ),
        (given(certificate=SMALL.pem, key=SMALL.key_pem), "clientCertificate.key", "1024 bits"),
        (given(certificate=TWISTED.pem, key=TWISTED.key_pem), "clientCertificate.key", "secp256k1"),
        (given(certificate=ED.pem, key=ED.key_pem), "clientCertificate.key", "RSA of EC"),
        (given(useForToken="maybe"), "clientCertificate.useForToken", "true of false"),
        ({"clientCertificate": {"certificate": CLIENT.pem}}, "clientCertificate.key", "verplicht"),
        ({"clientCertificate": "hidden"}, "clientCertificate.nonFieldErrors", "JSON-object"),
        ({"ca": "hidden"}, "ca", "BEGIN CERTIFICATE"),
        ({"ca": "x" * 30_001}, "ca", "30000"),
        (
            {**given(), "oauth2": {"tokenUrl": "https://idp/", "clientId": "nrc"}},
            "oauth2.secret",
            "verplicht",
        ),
    ],
)
def test_what_is_refused(asked: Any, name: str, told: str) -> None:
    found, faults = parse(CallbackAuth, asked)
    assert found is None
    assert [fault.name for fault in faults] == [name]
    assert told in faults[0].reason
    assert "hidden" not in faults[0].reason


@pytest.mark.parametrize("key", [ec_key(), rsa_key(2048), ec.generate_private_key(ec.SECP521R1())])
def test_a_key_and_its_certificate(key: Any) -> None:
    made = CA.issue("nrc", key=key)
    traditional = key.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"hidden")
    ).decode()
    ways = (
        {"key": made.key_pem},
        {"key": pem_of(key, password="hidden"), "keyPassword": "hidden"},
        {"key": traditional, "keyPassword": "hidden"},
        {"key": made.pem + made.key_pem, "keyPassword": "not needed"},
    )
    kept = []
    for way in ways:
        found, faults = parse(CallbackAuth, {"clientCertificate": {"certificate": made.pem, **way}})
        assert found is not None, faults
        kept.append(found)
    assert kept[1:] == kept[:-1]
    assert "hidden" not in kept[1].text() + repr(kept[1])
    assert CallbackAuth.of_text(kept[0].text()) == kept[0]
    assert parse(CallbackAuth, kept[0].as_given())[0] == kept[0]


def test_the_chain_is_put_in_order_without_what_is_no_certificate() -> None:
    mixed = f"subject: hidden\n{CA.pem}{CLIENT.key_pem}{MIDDLE.pem}{CLIENT.pem}{MIDDLE.pem}"
    found, faults = parse(CallbackAuth, {**given(certificate=mixed), "ca": f"# hidden\n{CA.pem}"})
    assert found is not None, faults
    assert found.client_certificate is not None
    assert found.client_certificate.certificate == CLIENT.pem + MIDDLE.pem + CA.pem
    assert found.ca == CA.pem
    assert (found.kinds, found.has_own_tls) == (("clientCertificate", "ca"), True)


def test_what_is_told_has_no_key() -> None:
    found, _ = parse(CallbackAuth, {**given(useForToken=True), "ca": CA.pem})
    assert found is not None
    told = without_secrets(found)
    assert told["clientCertificate"] == {
        "subject": "CN=nrc",
        "issuer": "CN=Middle",
        "serialNumber": CLIENT.serial,
        "fingerprint": facts_of(CLIENT.pem)[0].fingerprint,
        "notBefore": CLIENT.certificate.not_valid_before_utc.isoformat(),
        "notAfter": CLIENT.certificate.not_valid_after_utc.isoformat(),
        "useForToken": True,
    }
    assert [each["subject"] for each in told["ca"]] == ["CN=Test CA"]
    assert "PRIVATE KEY" not in f"{told} {found!r}"


def test_one_that_was_kept_is_read_whatever_became_of_it() -> None:
    found = CallbackAuth.of_text('{"clientCertificate": {"certificate": "x", "key": "y"}, "ca": "z"}')
    assert found is not None
    assert found.client_certificate is not None
    assert found.client_certificate.facts is None
    assert without_secrets(found) == {"clientCertificate": {"useForToken": False}, "ca": []}


@pytest.mark.parametrize(
    ("asked", "identifies", "is_open"),
    [
        ({"ca": CA.pem}, False, False),
        ({"ca": CA.pem, "noAuth": True}, True, True),
        (given(), True, False),
        ({**given(), "noAuth": True}, True, False),
    ],
)
def test_by_what_a_callback_knows_us(asked: Any, identifies: bool, is_open: bool) -> None:
    found, _ = parse(CallbackAuth, asked)
    assert found is not None
    assert (found.identifies, found.is_open) == (identifies, is_open)
    anonymous = found.anonymous
    assert (anonymous.as_given() if anonymous else {}) == ({"ca": CA.pem} if "ca" in asked else {})


def test_a_token_without_a_secret_by_the_certificate() -> None:
    oauth2 = {"tokenUrl": "https://idp/", "clientId": "nrc"}
    found, faults = parse(CallbackAuth, {**given(useForToken=True), "oauth2": oauth2})
    assert found is not None, faults
    assert found.certificate_for_token
    assert CallbackAuth.of_text(found.text()) == found


def test_a_pkcs12_file() -> None:
    how = BestAvailableEncryption(b"geheim")
    made = serialize_key_and_certificates(b"nrc", CLIENT.key, CLIENT.certificate, [MIDDLE.certificate], how)
    assert of_pkcs12(made, "geheim") == (CLIENT.pem + MIDDLE.pem, CLIENT.key_pem)
    without = serialize_key_and_certificates(b"nrc", None, None, [CA.certificate], NoEncryption())
    for content, password in ((made, "other"), (b"x", ""), (without, "")):
        with pytest.raises(Unusable, match="PKCS #12"):
            of_pkcs12(content, password)
    assert (key_in(CLIENT.pem), key_in(CLIENT.pem + CLIENT.key_pem)) == ("", CLIENT.key_pem.strip())
