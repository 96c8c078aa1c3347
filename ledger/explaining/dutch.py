"""Times, numbers, lists and classes of failure as Dutch sentences have them. Pure.

The sentences themselves are in `fitting`, `states` and `telling`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from ledger.values import REASONS, Incomplete, WhyEnded

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
LONGEST_QUOTE = 200  # characters of a value in a sentence
_WITHOUT_DATE = timedelta(hours=12)
_ANSWERED = re.compile(r"answered (\d{3})\b")

_FAILURES = {
    "redirect": "een doorverwijzing wordt niet gevolgd",
    "timeout": "geen antwoord binnen de tijd",
    "dns_error": "de host is niet te vinden",
    "connection_refused": "verbinding geweigerd",
    "tls_error": "geen beveiligde verbinding (TLS)",
    "server_certificate": "het certificaat van de callback klopt niet",
    "client_certificate_refused": "de callback neemt het clientcertificaat niet aan",
    "client_certificate_expired": "het clientcertificaat is niet (meer) geldig",
    "connection_error": "verbinding verbroken",
    "no_mapping": "de mapping naar CloudEvents is er niet (meer)",
    "invalid_request": "van callbackUrl of auth is geen verzoek te maken",
    "address_refused": "naar dit adres wordt niets verzonden",
    "token_unreachable": "het tokenadres (OAuth2) gaf geen antwoord",
    "token_refused": "het tokenadres (OAuth2) weigert de client",
    "token_invalid": "het tokenadres (OAuth2) gaf geen bruikbaar token",
    "loop": "de notificatie gaat rond tussen notificatierouteringcomponenten",
    "queue_full": "de wachtrij van de afnemer is vol",
    "queue_missing": "de wachtrij van de afnemer is er niet",
    "queue_unavailable": "de wachtrij van de afnemer bevestigt niets",
    "unexpected": "er ging hier iets onverwachts mis",
    "shortage": "er was hier geen ruimte voor een verzoek",
    "no_event": "wordt geen CloudEvent",
    "consolidated": "een nieuwere kwam ervoor in de plaats",
    "delivered_all_the_same": "toch afgeleverd",
}
"""By class of failure, except `http_status`: its status is given. The last three are no failures."""

_ENDED = {
    WhyEnded.RETENTION: "de notificatie wachtte langer dan NRC_HOLD_RETENTION",
    WhyEnded.BUDGET: "er wachtte meer dan NRC_HOLD_BUDGET; dit was een van de oudste",
    WhyEnded.ABONNEMENT_REMOVED: "het abonnement is verwijderd",
    WhyEnded.TOO_LARGE: "RabbitMQ neemt een bericht van deze grootte niet aan",
    WhyEnded.UNKNOWN_ABONNEMENT: "op het bericht staat niet voor welk abonnement het is",
}

_OUT_OF_TIME = r"(\d{4})-(\d\d)-(\d\d);.*"

# What the deliverer writes of a failure (client.py, tls_faults.py and own_tls.py in deliverer/http, and
# deliverer/attempting/decide.py), in Dutch. Of the rest, such as a text of the operating system or of TLS,
# the words are quoted.
_DETAILS = (
    (re.compile(r"answered \d{3}\b.*"), ""),
    (
        re.compile(r"there is no mapping (\S+) of CloudEvents"),
        r"er is geen mapping \1; kies een andere, of zet die terug met nrc apply",
    ),
    (re.compile(r"no status within (\S+) s"), r"binnen \1 s kwam er geen status"),
    (
        re.compile(r"queue (\S+) is full, or has no leader"),
        r"de wachtrij \1 is vol: de afnemer leest haar niet leeg",
    ),
    (
        re.compile(r"queue (\S+) confirmed nothing within (\S+) s"),
        r"de wachtrij \1 bevestigde binnen \2 s niets: in RabbitMQ heeft zij geen leider, of het te druk",
    ),
    (re.compile(r"queue (\S+) is missing"), r"de wachtrij \1 is er niet; zij wordt opnieuw gemaakt"),
    (re.compile(r"closed before a status"), "de callback verbrak de verbinding zonder te antwoorden"),
    (
        re.compile(r"sent an answer, or closed, before it was asked anything"),
        "de callback antwoordde of verbrak de verbinding voordat er iets gevraagd was",
    ),
    (re.compile(r"the answer is not HTTP: (.*)"), r"het antwoord is geen HTTP: '\1'"),
    (re.compile(r"expired: .*"), "het is verlopen"),
    (re.compile(r"not valid yet: .*"), "het is nog niet geldig"),
    (re.compile(r"other name: .*"), "het is voor een andere hostnaam"),
    (re.compile(r"unknown authority: .*"), "het is niet van een CA die hier vertrouwd wordt"),
    (re.compile(r"alert: certificate required"), "hij vraagt om een clientcertificaat, en kreeg er geen"),
    (re.compile(r"alert: unknown ca"), "hij kent de CA ervan niet"),
    (re.compile(r"alert: certificate expired"), "het is volgens hem verlopen"),
    (re.compile(r"alert: certificate revoked"), "het is volgens hem ingetrokken"),
    (re.compile(r"NRC_CALLBACK_CERTIFICATES is off.*"), "NRC_CALLBACK_CERTIFICATES staat hier uit"),
    (
        re.compile(r"the client certificate cannot be used: .*"),
        "met het clientcertificaat is geen verbinding te maken",
    ),
    (re.compile(r"ended on " + _OUT_OF_TIME), r"het verliep op \3-\2-\1"),
    (re.compile(r"begins on " + _OUT_OF_TIME), r"het is pas geldig vanaf \3-\2-\1"),
    (re.compile(r"(\S+) is refused by the rule ([\w-]+);.*"), r"de regel \2 staat \1 niet toe"),
)

_TIMES = ("nul keer", "eenmaal", "tweemaal", "driemaal")

_MEANINGS = {
    400: "de callback vindt dat er iets aan het bericht niet klopt",
    401: "de callback neemt de Authorization van het abonnement niet aan",
    403: "de callback neemt de Authorization van het abonnement niet aan",
    404: "op dit adres is bij de afnemer niets",
    405: "op dit adres neemt de afnemer geen POST aan",
    408: "de callback wachtte te lang op het bericht",
    410: "de callback is opgeheven",
    413: "de callback vindt het bericht te groot",
    415: "de callback neemt dit soort bericht niet aan; gewoon is dat JSON, en bij CloudEvents kun je kiezen "
    "tussen de vormen structured en binary",
    422: "de callback weigert de inhoud van het bericht",
    429: "de callback heeft het te druk",
    502: "de server voor de callback bereikt de toepassing erachter niet",
    503: "de callback is nu niet beschikbaar",
    504: "de server voor de callback kreeg van de toepassing erachter geen antwoord",
}


@dataclass(frozen=True, slots=True)
class Clock:
    """How moments are written: in this zone, for a reader at `now` (milliseconds since 1970).

    dated: each with its whole date, for who may read it another day or elsewhere.
    """

    now: int
    zone: tzinfo = AMSTERDAM
    dated: bool = False

    def local(self, at: int) -> datetime:
        """The moment in this zone. at: milliseconds since 1970."""
        return datetime.fromtimestamp(at // 1000, self.zone).replace(microsecond=at % 1000 * 1000)

    @staticmethod
    def utc(at: int | None) -> str | None:
        """The moment for programs: RFC 3339 in UTC, to the millisecond."""
        if at is None:
            return None
        moment = datetime.fromtimestamp(at // 1000, UTC).replace(microsecond=at % 1000 * 1000)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def bare(self, at: int, form: str = "%H:%M") -> str:
        """`01:46`, or `28-10 01:46` where the time alone is ambiguous."""
        day, time = self._parts(at, form)
        return f"{day} {time}" if day else time

    def at(self, at: int, form: str = "%H:%M") -> str:
        """`om 01:46`, or `op 28-10 om 01:46`."""
        day, time = self._parts(at, form)
        return f"op {day} om {time}" if day else f"om {time}"

    def to_second(self, at: int) -> str:
        """`om 02:12:10`."""
        return self.at(at, "%H:%M:%S")

    def to_millisecond(self, at: int) -> str:
        """`om 01:46:03,412`."""
        return self.at(at, f"%H:%M:%S,{at % 1000:03d}")

    def apart(self, one: int, other: int) -> tuple[str, str]:
        """Both as `at` writes them, to the millisecond where they are in the same minute."""
        told = self.at(one), self.at(other)
        return told if told[0] != told[1] else (self.to_millisecond(one), self.to_millisecond(other))

    def _parts(self, at: int, form: str) -> tuple[str, str]:
        """(the date or "", the time)."""
        moment, now = self.local(at), self.local(self.now)
        time = moment.strftime(form)
        if moment.utcoffset() != moment.replace(fold=1 - moment.fold).utcoffset():
            # The hour that occurs twice in October.
            time += " (zomertijd)" if moment.dst() else " (wintertijd)"
        if self.dated:
            return moment.strftime("%d-%m-%Y"), time
        if moment.date() == now.date() or abs(at - self.now) < _WITHOUT_DATE.total_seconds() * 1000:
            return "", time
        return moment.strftime("%d-%m" if moment.year == now.year else "%d-%m-%Y"), time


def number(value: float) -> str:
    """A whole number with points between thousands: `5.447`."""
    return f"{round(value):,}".replace(",", ".")


def milliseconds(value: float) -> str:
    """How long something took: `38 ms`."""
    return f"{number(value)} ms" if value >= 1 else "minder dan 1 ms"


def duration(ms: float) -> str:
    """The same, of anything from milliseconds to days: `38 ms`, `1,2 s`, `12 min`, `3,5 uur`, `4 dagen`."""
    if ms >= 2 * 86_400_000:
        return f"{number(ms / 86_400_000)} dagen"
    for unit, size in (("uur", 3_600_000), ("min", 60_000), ("s", 1000)):
        if ms >= size:
            value = f"{ms / size:.{0 if ms >= 10 * size else 1}f}".removesuffix(".0")
            return f"{value.replace('.', ',')} {unit}"
    return milliseconds(ms)


def times(count: int) -> str:
    """How often: `tweemaal`, from four on `4 maal`."""
    return _TIMES[count] if count < len(_TIMES) else f"{number(count)} maal"


def listed(texts: Sequence[str], *, most: int = 5) -> str:
    """`a`, `a en b`, `a, b en c`; of more than `most`: `a, b, c en nog 4`."""
    shown = [*texts[:most]]
    if (more := len(texts) - len(shown)) > 0:
        shown.append(f"nog {number(more)}")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} en {shown[-1]}"


def quoted(value: str) -> str:
    """A value between quotes, a long one cut."""
    return f"'{value}'" if len(value) <= LONGEST_QUOTE else f"'{value[:LONGEST_QUOTE]}…'"


def failure(kind: str, detail: str, status: int | None) -> str:
    """Why something failed, to be put in brackets: `status 500`, `verbinding geweigerd`."""
    if status is not None:
        why = _FAILURES.get(kind, "")
        return f"status {status}: {why}" if why else f"status {status}"
    return _FAILURES.get(kind) or quoted(detail or kind)


def particulars(kind: str, detail: str) -> str:
    """What there is to say of a failure beyond `failure`, in Dutch; "" when there is nothing.

    A text that is not ours is quoted.
    """
    if kind in REASONS:
        return _ENDED[WhyEnded(kind)]
    for form, dutch in _DETAILS:
        if (found := form.fullmatch(detail)) is not None:
            return found.expand(dutch)
    return quoted(detail) if detail else ""


def meaning_of(status: int | None) -> str:
    """What a callback says with a status that is no success, in Dutch; "" when there is nothing to add."""
    if status is None or status < 400:
        return ""
    return _MEANINGS.get(status, "een fout aan de kant van de afnemer" if status >= 500 else "")


def held_because(reason: str) -> str:
    """The same for the reason of a held abonnement, which the deliverer writes as `<class>: <detail>`."""
    kind, separator, detail = reason.partition(": ")
    if not separator:
        return reason
    answered = _ANSWERED.match(detail)
    return failure(kind, detail, int(answered[1]) if answered else None)


def not_complete(clock: Clock, incomplete: Sequence[Incomplete]) -> str:
    """`van 01:40 tot 01:44 is het grootboek niet volledig (12)`."""
    closed = []
    for each in incomplete:
        count = "" if each.count is None else f" ({number(each.count)})"
        until = "nu" if each.until is None else clock.bare(each.until)
        since = "" if each.since is None else f"van {clock.bare(each.since)} "
        closed.append((f"{since}tot {until}", count))
    if len(closed) == 1:
        return f"{closed[0][0]} is het grootboek niet volledig{closed[0][1]}"
    return f"{listed([when + count for when, count in closed])} is het grootboek niet volledig"
