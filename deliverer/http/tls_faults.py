"""Which class of failure a TLS fault is, and what is said of it. Pure.

By the codes of OpenSSL: of its check of the server's certificate, and of the alerts that a server sends.
"""

from __future__ import annotations

import ssl

import aiohttp

# X509_V_ERR_…
_CHECKS = {9: "not valid yet", 10: "expired", 62: "other name", 64: "other name"}
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21, 27})
# Alerts with which a server refuses the client's certificate, or asks for one (RFC 8446, section 6.2).
_REFUSALS = frozenset(
    {"BAD_CERTIFICATE", "UNSUPPORTED_CERTIFICATE", "CERTIFICATE_REVOKED", "CERTIFICATE_EXPIRED"}
    | {"CERTIFICATE_UNKNOWN", "UNKNOWN_CA", "ACCESS_DENIED", "CERTIFICATE_REQUIRED"}
)


def tls_fault_of(error: BaseException) -> ssl.SSLError | None:
    """The fault of TLS by which a request failed, if it did by one."""
    # A server may refuse the client after the handshake, when the library reads.
    of_connecting = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
    for each in (error, of_connecting, error.__cause__):
        # Some of the library's errors are faults of TLS by their class, without what such a fault tells.
        if isinstance(each, ssl.SSLError) and not isinstance(each, aiohttp.ClientError):
            return each
    return None


def class_of(fault: ssl.SSLError) -> str:
    """The name of its class (`FailureClass`)."""
    if isinstance(fault, ssl.SSLCertVerificationError):
        return "server_certificate"
    return "client_certificate_refused" if _alert(fault) in _REFUSALS else "tls_error"


def detail_of(fault: ssl.SSLError) -> str:
    """One line for people; ledger/explaining/dutch.py has what begins it in Dutch."""
    if isinstance(fault, ssl.SSLCertVerificationError):
        code = fault.verify_code
        what = "unknown authority" if code in _UNKNOWN_AUTHORITY else _CHECKS.get(code, "not valid")
        return f"{what}: {fault.verify_message}"
    reason = (fault.reason or type(fault).__name__).replace("_", " ").lower()
    alert = _alert(fault)
    return f"alert: {alert.replace('_', ' ').lower()}" if alert in _REFUSALS else reason


def _alert(fault: ssl.SSLError) -> str:
    return (fault.reason or "").rpartition("ALERT_")[2]
