"""Certificates for tests: an authority, and what it signs, for servers and clients. Made anew each time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)


def ec_key() -> ec.EllipticCurvePrivateKey:
    """The kind that takes no time."""
    return ec.generate_private_key(ec.SECP256R1())


def pem_of(key: Any, *, password: str = "") -> str:
    """A private key, encrypted when there is a password."""
    how = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
    return text.decode()


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Any

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return pem_of(self.key)

    @property
    def serial(self) -> str:
        return f"{self.certificate.serial_number:x}"


class Authority(Issued):
    """Signs certificates."""

    @classmethod
    def new(cls, name: str = "Test CA", *, under: Authority | None = None) -> Authority:
        """A root, or one that another has signed."""
        key = ec_key()
        return cls(_signed(name, key, by=under, ca=True), key)

    def issue(
        self, name: str, *, host: str = "127.0.0.1", days: tuple[float, float] = (-1, 90), key: Any = None
    ) -> Issued:
        """A certificate for a client or a server. days: from and until when, from now."""
        key = key or ec_key()
        return Issued(_signed(name, key, by=self, days=days, host=host), key)


def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """Of this size."""
    return rsa.generate_private_key(65537, bits)


def _signed(
    name: str,
    key: Any,
    *,
    by: Issued | None,
    ca: bool = False,
    days: tuple[float, float] = (-1, 3650),
    host: str = "",
) -> x509.Certificate:
    own = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(
            by.certificate.subject if by else own, own, key.public_key(), x509.random_serial_number()
        )
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if host:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False
        )
    return builder.sign(by.key if by else key, hashes.SHA256())
