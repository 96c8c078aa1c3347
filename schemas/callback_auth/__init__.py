"""What a callback asks for beyond the Authorization header `auth`: a token, a certificate, or nothing.

An extension: the standard knows `auth` alone, and no answer of the standard has this.

asked.py         what may be asked for, checked, kept and told
certificates.py  client certificates, their keys and authorities, in PEM
"""

from schemas.callback_auth.asked import (
    AUTHORIZATIONS,
    KINDS,
    ApiKey,
    CallbackAuth,
    ClientCertificate,
    OAuth2,
    SecretIn,
    Signature,
    ZgwToken,
    former_secret,
    key_of,
    new_signing_secret,
    signing_key,
    with_kind,
    without_secrets,
)

__all__ = [
    "AUTHORIZATIONS",
    "KINDS",
    "ApiKey",
    "CallbackAuth",
    "ClientCertificate",
    "OAuth2",
    "SecretIn",
    "Signature",
    "ZgwToken",
    "former_secret",
    "key_of",
    "new_signing_secret",
    "signing_key",
    "with_kind",
    "without_secrets",
]
