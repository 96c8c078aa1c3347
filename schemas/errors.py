"""The one exception tree. Libraries' exceptions become one of these where they are caught.

NrcError
├── SettingsError            settings are wrong; nothing has started yet
├── UsageError               a command cannot be carried out as it was given
├── RegistryError            the registry cannot be read or written
│   ├── RegistryInUse        another host holds the SQLite file
│   ├── RegistryTooNew       a newer program wrote the file
│   ├── SecretsUnreadable    a key of the encrypted secrets is missing, or one of these is damaged
│   ├── AlertsLeaseLost      another process sends the alerts
│   ├── QuotaReached         an application has as many kanalen or abonnementen as it may
│   └── Conflict             a unique name is taken, or the row has gone
├── LedgerError              the ledger cannot be read or written
│   ├── LedgerFull           it is over its budget, or its disk is full
│   └── LeaseLost            another keeper has taken over
├── BrokerError              RabbitMQ did not do what was asked
│   ├── BrokerUnavailable    no connection, not ready, blocked, or no confirm in time
│   │   └── MessageTooLarge  the message is larger than RabbitMQ is set to take
│   ├── BrokerUnfit          RabbitMQ lacks something that is needed
│   ├── QueueRefused         RabbitMQ refuses the queue of one abonnement
│   └── Unroutable           a mandatory publish had no queue
├── Overloaded               as much is under way in this process as may be
└── Problem                  an answer of the API, as application/problem+json
    ├── ValidationError 400      ├── NotAcceptable 406
    ├── ParseError 400           ├── RequestTooLarge 413
    ├── PermissionDenied 403     ├── UnsupportedMediaType 415
    ├── NotFound 404             ├── Throttled 429
    ├── MethodNotAllowed 405     ├── ServiceUnavailable 503
    └── APIException 500         └── LoopDetected 508
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

MAX_FAULTS = 1000
"""Faults reported of one request, at most: each costs time and bytes."""


class NrcError(Exception):
    """Root of every fault that this product raises on purpose."""


class SettingsError(NrcError):
    """One or more settings are wrong. `faults` holds a line for each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class UsageError(NrcError):
    """A command cannot be carried out as given; the text says what to do instead."""


class RegistryError(NrcError):
    """The registry cannot be read or written."""


class RegistryInUse(RegistryError):
    """The SQLite registry is in use on another host."""


class RegistryTooNew(RegistryError):
    """The registry was written by a newer version of this program."""


class LedgerError(NrcError):
    """The ledger cannot be read or written."""


class LedgerInUse(LedgerError):
    """The SQLite ledger is in use on another host."""


class LedgerFull(LedgerError):
    """The ledger is over its budget, or its disk is full, and all that it keeps is still needed."""


class LeaseLost(LedgerError):
    """Another keeper has the lease; this one has changed nothing."""


class SecretsUnreadable(RegistryError):
    """Encrypted secrets of the registry cannot be read: a key is missing, or a value is damaged."""


class Conflict(RegistryError):
    """A unique value is taken, or the row to change has gone."""


class AlertsLeaseLost(RegistryError):
    """Another process sends the alerts, or none does; this one has changed nothing."""


class QuotaReached(RegistryError):
    """An application has `most` of `what` (kanalen or abonnementen), and may have no more."""

    def __init__(self, what: str, most: int) -> None:
        super().__init__(f"an application may have at most {most} {what}.")
        self.what = what
        self.most = most


class BrokerError(NrcError):
    """RabbitMQ did not do what was asked of it."""


class BrokerUnavailable(BrokerError):
    """No connection, not ready, blocked by an alarm, or no confirm in time. Try again later."""


class MessageTooLarge(BrokerUnavailable):
    """RabbitMQ refuses messages of this size until an operator changes that. `limit`: bytes of a body."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"a message of {size} bytes is over RabbitMQ's max_message_size of {limit}")
        self.limit = limit


class BrokerUnfit(BrokerError):
    """RabbitMQ lacks a feature without which notificaties could be lost."""


class QueueRefused(BrokerError):
    """RabbitMQ refuses the queue of one abonnement until an operator repairs that; all else goes on."""


class Unroutable(BrokerError):
    """A mandatory publish was routed to no queue; RabbitMQ does not have the message."""


class Overloaded(NrcError):
    """This process has as much under way as it may; nothing was accepted. Try again soon."""


@dataclass(frozen=True, slots=True)
class InvalidParam:
    """One field fault of a ValidationError.

    name: dotted path with list indexes (`kanalen.0.naam`), or `nonFieldErrors`.
    code: a code of the standard (`required`, `invalid`, …). reason: Dutch, for people.
    """

    name: str
    code: str
    reason: str


class Problem(NrcError):
    """An error answer. `detail` is Dutch and never empty; `retry_after` is in seconds."""

    status: ClassVar[int] = 500
    code: str = "error"
    title: ClassVar[str] = "Er is een serverfout opgetreden."

    def __init__(self, detail: str = "", *, code: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.code = code or type(self).code
        self.retry_after = retry_after


class ValidationError(Problem):
    """400 with every field fault at once; of a great many the first MAX_FAULTS."""

    status = 400
    code = "invalid"
    title = "Ongeldige invoer."

    def __init__(self, invalid_params: Sequence[InvalidParam]) -> None:
        super().__init__("Een of meer velden zijn ongeldig; zie invalidParams.")
        self.invalid_params = tuple(invalid_params[:MAX_FAULTS])


class ParseError(Problem):
    """400: the body is not JSON that can be read."""

    status = 400
    code = "parse_error"
    title = "Ongeldig geformatteerd verzoek."


class PermissionDenied(Problem):
    """403: no token, a bad token, or a missing scope. Never 401 (the standard says so)."""

    status = 403
    code = "permission_denied"
    title = "Je hebt geen toestemming om deze actie uit te voeren."


class NotFound(Problem):
    """404."""

    status = 404
    code = "not_found"
    title = "Niet gevonden."


class MethodNotAllowed(Problem):
    """405. `allowed` is sent as the Allow header."""

    status = 405
    code = "method_not_allowed"
    title = "Methode niet toegestaan."

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        super().__init__(f"Methode {method} is hier niet toegestaan; wel: {', '.join(allowed)}.")
        self.allowed = tuple(allowed)


class NotAcceptable(Problem):
    """406: the client accepts no application/json."""

    status = 406
    code = "not_acceptable"
    title = "Kan niet voldoen aan de opgegeven Accept-header."


class RequestTooLarge(Problem):
    """413."""

    status = 413
    code = "request_too_large"
    title = "Het verzoek is te groot."


class UnsupportedMediaType(Problem):
    """415: the body is not declared as application/json."""

    status = 415
    code = "unsupported_media_type"
    title = "Het mediatype van het verzoek wordt niet ondersteund."


class Throttled(Problem):
    """429."""

    status = 429
    code = "throttled"
    title = "Te veel verzoeken."


class ServiceUnavailable(Problem):
    """503 with Retry-After: nothing was accepted, the client should send again."""

    status = 503
    code = "service_unavailable"
    title = "De dienst is tijdelijk niet beschikbaar."


class LoopDetected(Problem):
    """508: a notificatie that went through more deliveries by NRCs than allowed. `hops`: how many."""

    status = 508
    code = "loop_detected"
    title = "Het bericht gaat rond."

    def __init__(self, hops: int, *, most: int) -> None:
        super().__init__(
            f"Dit bericht is al {hops} keer door een notificatierouteringcomponent afgeleverd, en hier mag "
            f"dat hoogstens {most} keer. Een abonnement stuurt het weer naar een "
            "notificatierouteringcomponent; het is niet aangenomen."
        )
        self.hops = hops


class APIException(Problem):
    """500: a fault of ours. Its details are in the log, under the problem's instance."""
