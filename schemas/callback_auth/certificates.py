"""Client certificates, their keys, and certificates of authorities, in PEM: read, checked, told. Pure.

What is kept is written anew: the certificate of the key first, and after it the chain; the key without a
password, since the registry encrypts all of it. The library is loaded for abonnementen that have any.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography import x509

MAX_CHAIN = 20_000  # characters of a certificate with its chain
MAX_KEY = 10_000  # characters of a private key
MAX_CA = 30_000  # characters of certificates of authorities
MOST = 20  # certificates in one text
MIN_RSA = 2048  # bits; OpenSSL takes no smaller key
CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}

_BLOCK = re.compile(
    r"-----BEGIN (?P<label>[A-Z0-9 ]{1,40})-----\s.*?-----END (?P=label)-----", re.DOTALL | re.ASCII
)
_NO_CERTIFICATE = "Hier hoort een certificaat in PEM te staan: -----BEGIN CERTIFICATE----- en wat volgt."
_NO_KEY = "Hier hoort een privésleutel in PEM te staan: -----BEGIN PRIVATE KEY----- en wat volgt."


class Unusable(ValueError):
    """A certificate or a key that cannot be used; its text says why, in Dutch, and has nothing of the key."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a certificate says of itself, for people; nothing of it is secret.

    name: the common name of its subject, or the whole subject. subject, issuer: as RFC 4514 writes them.
    serial: hexadecimal. fingerprint: SHA-256, hexadecimal. begins, ends: Unix seconds.
    """

    name: str
    subject: str
    issuer: str
    serial: str
    fingerprint: str
    begins: float
    ends: float

    def is_valid(self, now: float) -> bool:
        """Whether now (Unix seconds) is in its time."""
        return self.begins <= now < self.ends

    def as_json(self) -> dict[str, str]:
        """As answers have it; moments in RFC 3339."""
        return {
            "subject": self.subject,
            "issuer": self.issuer,
            "serialNumber": self.serial,
            "fingerprint": self.fingerprint,
            "notBefore": datetime.fromtimestamp(self.begins, UTC).isoformat(),
            "notAfter": datetime.fromtimestamp(self.ends, UTC).isoformat(),
        }


@lru_cache(maxsize=1024)
def facts_of(pem: str) -> tuple[Facts, ...]:
    """Of each certificate in a text that was checked before; () of one that cannot be read any more."""
    try:
        return tuple(map(_facts, _certificates(pem)))
    except Unusable:
        return ()


def checked_chain(pem: str) -> str:
    """The certificates of a text, and nothing else of it. Raises Unusable."""
    return _written(_certificates(pem))


def checked_authorities(pem: str) -> str:
    """The same of authorities that are to be trusted. Raises Unusable."""
    return _written(_certificates(pem))


def checked_key(pem: str, *, password: str, chain: str) -> tuple[str, str]:
    """(the key of one certificate of the chain, the chain with that one first). Raises Unusable.

    password: of the key, or "".
    """
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = _key(pem, password)
    public = _spki(key.public_key())
    found = _certificates(chain)
    own = [each for each in found if _spki_of(each) == public]
    if not own:
        raise Unusable("Deze sleutel hoort niet bij het certificaat.")
    _check_kind(key)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return text, _written(_in_order(own[0], found))


def of_pkcs12(content: bytes, password: str) -> tuple[str, str]:
    """(certificate with chain, key), in PEM, of a PKCS #12 file (.p12, .pfx). Raises Unusable."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

    try:
        found = load_pkcs12(content, password.encode() or None)
    except Exception:  # what the library raises depends on what is wrong with the file
        raise Unusable("Dit is geen PEM, en geen PKCS #12-bestand dat met dit wachtwoord opengaat.") from None
    if found.cert is None or found.key is None:
        raise Unusable("In dit PKCS #12-bestand zit geen certificaat met zijn sleutel.")
    chain = [found.cert.certificate, *(each.certificate for each in found.additional_certs)]
    key = found.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return _written(chain), key.decode()


def key_in(pem: str) -> str:
    """What stands in a text of private keys; "" when there is none."""
    return "\n".join(block[0] for block in _keys(pem))


def _keys(pem: str) -> list[re.Match[str]]:
    return [block for block in _BLOCK.finditer(pem) if block["label"].endswith("PRIVATE KEY")]


def _certificates(pem: str) -> list[x509.Certificate]:
    from cryptography import x509

    blocks = [block[0] for block in _BLOCK.finditer(pem) if block["label"] == "CERTIFICATE"]
    if not blocks:
        raise Unusable(_NO_CERTIFICATE)
    if len(blocks) > MOST:
        raise Unusable(f"Er staan {len(blocks)} certificaten in; meer dan {MOST} kan niet.")
    found: list[x509.Certificate] = []
    for number, block in enumerate(blocks, 1):
        try:
            each = x509.load_pem_x509_certificate(block.encode())
            _facts(each)  # what it says of itself is read later, and must not fail then
            each.public_key()
        except Exception:  # what the library raises depends on what is wrong with it
            where = f"Certificaat {number} van {len(blocks)}" if len(blocks) > 1 else "Dit certificaat"
            raise Unusable(f"{where} is niet te lezen.") from None
        if each not in found:
            found.append(each)
    return found


def _facts(of: x509.Certificate) -> Facts:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509.oid import NameOID

    subject = of.subject.rfc4514_string()
    names = of.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Facts(
        name=str(names[0].value) if names else subject or f"{of.serial_number:x}",
        subject=subject,
        issuer=of.issuer.rfc4514_string(),
        serial=f"{of.serial_number:x}",
        fingerprint=of.fingerprint(SHA256()).hex(),
        begins=of.not_valid_before_utc.timestamp(),
        ends=of.not_valid_after_utc.timestamp(),
    )


def _key(pem: str, password: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    blocks = _keys(pem)
    if not blocks:
        raise Unusable(_NO_KEY)
    if len(blocks) > 1:
        raise Unusable("Er staan meer privésleutels in; geef er een.")
    (block,) = blocks
    encrypted = block["label"] == "ENCRYPTED PRIVATE KEY" or "Proc-Type: 4,ENCRYPTED" in block[0]
    if encrypted and not password:
        raise Unusable("Deze sleutel is versleuteld: geef ook het wachtwoord (keyPassword).")
    try:
        return load_pem_private_key(block[0].encode(), password.encode() if encrypted else None)
    except UnsupportedAlgorithm:
        raise Unusable("Een sleutel van dit soort wordt niet ondersteund; gebruik RSA of EC.") from None
    except Exception:  # what the library raises depends on what is wrong with it
        raise Unusable(
            "Deze sleutel gaat met dit wachtwoord niet open."
            if encrypted
            else "Deze sleutel is niet te lezen."
        ) from None


def _check_kind(key: Any) -> None:
    """Raise Unusable for a key that a TLS connection cannot be made with."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < MIN_RSA:
            raise Unusable(f"Een RSA-sleutel van {key.key_size} bits is te klein; {MIN_RSA} is het minste.")
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        if key.curve.name not in CURVES:
            raise Unusable(f"De kromme {key.curve.name} kan niet; gebruik {', '.join(CURVES.values())}.")
    else:
        raise Unusable("Een sleutel van dit soort wordt niet ondersteund; gebruik RSA of EC.")


def _in_order(own: x509.Certificate, found: list[x509.Certificate]) -> list[x509.Certificate]:
    """The chain from this one upwards, and after it what is no part of it."""
    chain, left = [own], [each for each in found if each != own]
    while (above := next((each for each in left if each.subject == chain[-1].issuer), None)) is not None:
        chain.append(above)
        left.remove(above)
    return chain + left


def _written(certificates: list[x509.Certificate]) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return "".join(each.public_bytes(Encoding.PEM).decode() for each in certificates)


def _spki_of(certificate: x509.Certificate) -> bytes:
    return _spki(certificate.public_key())


def _spki(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    found: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return found
