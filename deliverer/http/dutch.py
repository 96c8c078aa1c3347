"""Why a callback gave no answer, in Dutch, for the application that owns the callback. Pure."""

from __future__ import annotations

from deliverer.http.client import Failure, FailureClass
from deliverer.http.guard import Rule
from ledger.explaining.dutch import particulars

_WHY = {
    FailureClass.TIMEOUT: "er kwam niet op tijd een antwoord",
    FailureClass.DNS_ERROR: "de hostnaam is niet te vinden",
    FailureClass.CONNECTION_REFUSED: "de verbinding werd geweigerd",
    FailureClass.TLS_ERROR: "er kwam geen TLS-verbinding tot stand",
    FailureClass.SERVER_CERTIFICATE: "het certificaat van de server klopt niet",
    FailureClass.CLIENT_CERTIFICATE_REFUSED: "de server neemt het clientcertificaat niet aan",
    FailureClass.CLIENT_CERTIFICATE_EXPIRED: "het clientcertificaat is niet (meer) geldig",
    FailureClass.TOKEN_UNREACHABLE: "het tokenadres (OAuth2) gaf geen antwoord",
    FailureClass.TOKEN_REFUSED: "het tokenadres (OAuth2) weigert de client",
    FailureClass.TOKEN_INVALID: "het tokenadres (OAuth2) gaf geen bruikbaar token",
    FailureClass.NO_MAPPING: "de mapping naar CloudEvents is er niet",
    FailureClass.INVALID_REQUEST: "hiermee is geen HTTP-verzoek te maken",
    FailureClass.UNEXPECTED: "er ging hier iets onverwachts mis",
}
_WITH_MORE = frozenset(
    {
        FailureClass.SERVER_CERTIFICATE,
        FailureClass.CLIENT_CERTIFICATE_REFUSED,
        FailureClass.CLIENT_CERTIFICATE_EXPIRED,
    }
)
_RULES = {
    Rule.LOOPBACK: "dat is deze server zelf; de beheerder kan dit toestaan met "
    "NRC_CALLBACK_ALLOW_LOOPBACK of NRC_CALLBACK_ALLOW_NETWORKS",
    Rule.DENIED: "het staat in NRC_CALLBACK_DENY_NETWORKS; de beheerder kan een uitzondering maken met "
    "NRC_CALLBACK_ALLOW_NETWORKS",
    Rule.SPELLING: "schrijf een IPv4-adres als vier decimale getallen",
    Rule.HTTPS: "de beheerder eist https met NRC_CALLBACK_REQUIRE_HTTPS",
}
_NEVER = "zulke adressen zijn nooit toegestaan; geen instelling verandert dat"
_LOST = "de verbinding mislukte of brak af"


def why_none(failure: Failure) -> str:
    """Why there was no answer, to follow a colon. Never the address that a name resolves to."""
    if failure.rule is not None:
        # Not the address: a client need not learn what an internal name resolves to.
        what = "tokenadres" if failure.kind is FailureClass.TOKEN_UNREACHABLE else "adres"
        return f"het {what} wordt geweigerd door de regel {failure.rule}: {_RULES.get(failure.rule, _NEVER)}"
    why = _WHY.get(failure.kind, _LOST)
    more = particulars(failure.kind, failure.detail) if failure.kind in _WITH_MORE else ""
    return f"{why}: {more}" if more else why
