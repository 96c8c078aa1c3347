"""Whether the addresses that a client registers answer as the standard asks (STANDARD: Callback check).

Asked last, when no field is wrong. What goes over the wire is the deliverer's HTTP client's.
"""

from __future__ import annotations

import orjson
from yarl import URL

from deliverer.client import CallbackClient, Failure, FailureClass, Response
from runtime.settings import Settings
from schemas.errors import InvalidParam
from schemas.fields import NON_FIELD

TEST_MESSAGE = orjson.dumps(
    {
        "kanaal": "test",
        "hoofdObject": "http://some.hoofdobject.nl/",
        "resource": "some_resource",
        "resourceUrl": "http://some.resource.nl/",
        "actie": "create",
        "aanmaakdatum": "2019-01-01T12:00:00Z",
        "kenmerken": {},
    }
)

_WHY = {
    FailureClass.TIMEOUT: "er kwam niet op tijd een antwoord",
    FailureClass.DNS_ERROR: "de hostnaam is niet te vinden",
    FailureClass.CONNECTION_REFUSED: "de verbinding werd geweigerd",
    FailureClass.TLS_ERROR: "er kwam geen TLS-verbinding tot stand",
    FailureClass.INVALID_REQUEST: "hiermee is geen HTTP-verzoek te maken",
}
_LOST = "de verbinding mislukte of brak af"


async def callback_faults(
    client: CallbackClient, *, url: str, auth: str, settings: Settings
) -> list[InvalidParam]:
    """The fault of a callback that takes a message without `auth`, or does not take one with it."""
    if settings.callback_check == "off":
        return []
    if settings.callback_check == "full" and not _is_exempt(url, settings):
        answer = await client.post(url, body=TEST_MESSAGE, headers={}, timeout=settings.callback_timeout)
        if not isinstance(answer, Response):
            return [_unreachable(_why(answer))]
        if answer.status not in (401, 403):
            reason = (
                f"De callback antwoordt {answer.status} op een bericht zonder Authorization-header; "
                "dat moet 401 of 403 zijn."
            )
            return [InvalidParam("callbackUrl", "no-auth-on-callback-url", reason)]
    answer = await client.post(
        url, body=TEST_MESSAGE, headers={"Authorization": auth}, timeout=settings.callback_timeout
    )
    if not isinstance(answer, Response):
        return [_unreachable(_why(answer))]
    if not 200 <= answer.status < 300:
        return [_unreachable(f"status {answer.status} op een bericht met de opgegeven auth")]
    return []


def _unreachable(why: str) -> InvalidParam:
    reason = f"De callback neemt het testbericht niet aan: {why}."
    return InvalidParam(NON_FIELD, "invalid-callback-url", reason)


def _why(failure: Failure) -> str:
    return _WHY.get(failure.kind, _LOST)


def _is_exempt(url: str, settings: Settings) -> bool:
    host = (URL(url).host or "").lower()
    return host in {name.lower() for name in settings.callback_check_exempt_hosts}


async def documentation_faults(
    client: CallbackClient, link: str, *, settings: Settings
) -> list[InvalidParam]:
    """The fault of a documentatieLink that does not answer 200; none when it is empty or the check is off."""
    if settings.documentation_link_check == "off" or not link:
        return []
    answer = await client.get(link, timeout=settings.callback_timeout)
    if isinstance(answer, Response) and answer.status == 200:
        return []
    why = f"status {answer.status}" if isinstance(answer, Response) else _why(answer)
    reason = f"De documentatielink antwoordt niet met 200: {why}."
    return [InvalidParam("documentatieLink", "bad-url", reason)]
