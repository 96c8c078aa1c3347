"""The one place where an exception becomes an answer (application/problem+json).

No detail of an unexpected exception is sent to the client: it is logged under the answer's `instance`.
"""

from __future__ import annotations

import re
from collections import Counter
from uuid import UUID, uuid4

from aiohttp import web

from gateway.http.problem_details import problem_details
from gateway.http.requests import who_asks
from gateway.http.responses import API_VERSION, VERSION_HEADER
from router.history import HOPS
from runtime.log import Occasional, logger
from schemas.errors import (
    APIException,
    BrokerError,
    LoopDetected,
    MessageTooLarge,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    ParseError,
    PermissionDenied,
    Problem,
    QueueRefused,
    QuotaReached,
    RegistryError,
    RequestTooLarge,
    ServiceUnavailable,
    Throttled,
    ValidationError,
)

PUBLISHING = ("v1/notificaties", "v1/cloudevents")  # ends of paths
RETRY_AFTER = 2  # seconds; for what recovers by itself
RETRY_AFTER_REFUSED = 300  # seconds; for what an operator must repair first

REPORT_INTERVAL = 5.0  # seconds between two lines of 503 or 429, and two of 508

_ROOM = {
    "kanalen": "Gebruik een kanaal dat er al is, of vraag de beheerder om een hogere grens "
    "(NRC_QUOTA_KANALEN).",
    "abonnementen": "Zeg op wat niet meer nodig is, of vraag de beheerder om een hogere grens "
    "(NRC_QUOTA_ABONNEMENTEN).",
}
"""What a client can do when a quota is reached."""

_UUIDS = (
    (
        re.compile("/api/v1/kanaal/([^/]+)"),
        "Noem een kanaal met zijn UUID, niet met zijn naam. GET /kanaal?naam=… geeft de url ervan.",
    ),
    (
        re.compile("/api/(?:extra/)?v1/abonnement/([^/]+)(?:/[^/]+)*"),
        "Noem een abonnement met zijn UUID: het laatste deel van de url die je kreeg toen je het nam.",
    ),
    (
        re.compile("/api/extra/v1/(?:abonnement/[^/]+/uitleg|notificaties)/([^/]+)"),
        "Noem een notificatie met haar UUID: de webhook-id bij wie haar kreeg, en de nrc-notificatie-id in "
        "het antwoord aan de bron.",
    ),
)
"""Paths with a UUID, and what is told of one that has something else in its place."""

log = logger(__name__)
refused: Counter[tuple[bool, int, str]] = Counter()  # by whether it was published, status and code
_unavailable, _loops = Occasional(every=REPORT_INTERVAL), Occasional(every=REPORT_INTERVAL)


def problem_of(error: BaseException, *, path: str = "") -> Problem:
    """The problem that a client gets for an exception; APIException (500) for an unexpected one.

    path: that of the request.
    """
    match error:
        case Problem():
            return error
        case QueueRefused():
            return ServiceUnavailable(
                "RabbitMQ weigert de queue van dit abonnement; er is niets gewijzigd. Opnieuw proberen helpt "
                "niet: vraag de beheerder, in wiens log de reden staat, dit te herstellen.",
                retry_after=RETRY_AFTER_REFUSED,
            )
        case MessageTooLarge():
            return RequestTooLarge(
                f"De berichtenbroker neemt berichten van hoogstens {error.limit} bytes aan; er is niets "
                "aangenomen. Opnieuw proberen helpt niet."
            )
        case BrokerError():
            return ServiceUnavailable(
                "De berichtenbroker is even niet beschikbaar; er is niets bevestigd. Probeer het zo opnieuw.",
                retry_after=RETRY_AFTER,
            )
        case QuotaReached(what=what, most=most):
            return PermissionDenied(
                f"Deze applicatie heeft al {most} {what}; meer mogen het er niet zijn. Er is niets "
                f"aangemaakt. {_ROOM[what]}"
            )
        case RegistryError():
            return ServiceUnavailable(
                "Het register is even niet beschikbaar. Probeer het zo opnieuw.", retry_after=RETRY_AFTER
            )
        case Overloaded():
            return ServiceUnavailable(
                "Er is hier nu te veel tegelijk onderweg; er is niets aangenomen. Probeer het zo opnieuw.",
                retry_after=RETRY_AFTER,
            )
        case web.HTTPMethodNotAllowed():
            return MethodNotAllowed(error.method, sorted(error.allowed_methods))
        case web.HTTPRequestEntityTooLarge():
            return RequestTooLarge()
        case web.HTTPForbidden():
            return PermissionDenied()
        case web.HTTPNotFound():
            return NotFound(_why_not_found(path))
        case web.HTTPClientError() | web.RequestPayloadError():
            return ParseError("Het HTTP-verzoek kan niet gelezen worden.")
        case _:
            return APIException("Er ging iets mis aan onze kant; het staat in ons log onder deze instance.")


def _why_not_found(path: str) -> str:
    for pattern, text in _UUIDS:
        found = pattern.fullmatch(path)
        if found is not None and not _is_uuid(found[1]):
            return f"In deze URL staat geen UUID. {text}"
    return "Deze URL bestaat hier niet. Staat er aan het eind een / te veel of te weinig?"


def _is_uuid(text: str) -> bool:
    """Whether it is one as URLs have them: 36 characters, with hyphens."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def problem_answer(problem: Problem, *, root: str, instance: str) -> web.Response:
    """The answer for a problem. root: what `type` starts with; instance: a new `urn:uuid:…`."""
    about = f"{root}/ref/fouten/{type(problem).__name__}/"
    answer = problem_details(problem, about=about, instance=instance)
    answer.headers[VERSION_HEADER] = API_VERSION
    if isinstance(problem, LoopDetected):
        answer.headers[HOPS] = str(problem.hops)
    return answer


def answer_for(error: BaseException, request: web.BaseRequest, *, root: str) -> web.Response:
    """Log an exception with its request, and return the answer for it."""
    problem = problem_of(error, path=request.path)
    refused[request.path.endswith(PUBLISHING), problem.status, problem.code] += 1
    instance = f"urn:uuid:{uuid4()}"
    facts: dict[str, object] = {"status": problem.status, "code": problem.code, "instance": instance}
    if isinstance(problem, APIException):
        log.error("request failed", exc_info=error, **facts, **who_asks(request))
    elif isinstance(problem, ServiceUnavailable | Throttled | LoopDetected):
        if times := (_loops if isinstance(problem, LoopDetected) else _unavailable).due():
            log.warning("request refused", reason=str(error), times=times, **facts, **who_asks(request))
    else:
        log.info("request refused", **_reason(problem), **facts, **who_asks(request))
    return problem_answer(problem, root=root, instance=instance)


def _reason(problem: Problem) -> dict[str, str]:
    """The reason as in the answer; of a validation error its first fields."""
    if not isinstance(problem, ValidationError):
        return {"reason": problem.detail}
    params = problem.invalid_params
    return {
        "fields": ", ".join(f"{param.name}: {param.code}" for param in params[:20]),
        "reason": " ".join(f"{param.name[:100]}: {param.reason[:300]}" for param in params[:3]),
    }
