"""Checks that the addresses that a client registers answer as the standard requires (its callback check).

Done last, when no field is wrong, with the deliverer's HTTP client.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from yarl import URL

from deliverer.http.client import CallbackClient, Failure, FailureClass, Response
from deliverer.http.dutch import why_none
from runtime.settings import Settings
from schemas.callback_auth import CallbackAuth
from schemas.errors import InvalidParam, Overloaded, ValidationError
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


async def check_callback(
    client: CallbackClient,
    *,
    url: str,
    auth: str,
    settings: Settings,
    callback_auth: CallbackAuth | None = None,
) -> None:
    """Return when a callback refuses a message without `auth` and accepts one with it.

    callback_auth: what the callback asks for beyond `auth`; one that is to get no Authorization (`no_auth`)
    and nothing else need not refuse.
    With the check off: unless the guard refuses this address. Raises ValidationError, or Overloaded when this
    process has no files or memory left for a request.
    """
    if settings.callback_check == "off":
        if refused := client.known_refusal(url):
            raise _unreachable(why_none(refused))
        oauth2 = callback_auth.oauth2 if callback_auth else None
        if oauth2 is not None and (refused := client.known_refusal(oauth2.token_url)):
            raise _unreachable(f"tokenadres: {why_none(refused)}")
        return

    async def status_of(headers: Mapping[str, str], asks: CallbackAuth | None = None) -> int:
        answer = _asked(
            await client.post(
                url, body=TEST_MESSAGE, headers=headers, timeout=settings.callback_timeout, auth=asks
            )
        )
        if isinstance(answer, Response):
            return answer.status
        raise _unreachable(why_none(answer))

    is_open = callback_auth is not None and callback_auth.kinds == ("noAuth",)
    if settings.callback_check == "full" and not is_open and not _is_exempt(url, settings):
        status = await status_of({})
        if status not in (401, 403):
            reason = (
                f"De callback antwoordt {status} op een bericht zonder Authorization-header; "
                "dat moet 401 of 403 zijn."
            )
            raise ValidationError([InvalidParam("callbackUrl", "no-auth-on-callback-url", reason)])
    status = await status_of({"Authorization": auth}, callback_auth)
    if not 200 <= status < 300:
        raise _unreachable(f"status {status} op een bericht met de opgegeven auth")


async def check_documentation(client: CallbackClient, link: str, *, settings: Settings) -> None:
    """Return when a documentatieLink answers 200, is empty or is not checked. Raises as `check_callback`."""
    if settings.documentation_link_check == "off" or not link:
        return
    answer = _asked(await client.get(link, timeout=settings.callback_timeout))
    if isinstance(answer, Response) and answer.status == 200:
        return
    why = f"status {answer.status}" if isinstance(answer, Response) else why_none(answer)
    reason = f"De documentatielink antwoordt niet met 200: {why}."
    raise ValidationError([InvalidParam("documentatieLink", "bad-url", reason)])


def _asked(answer: Response | Failure) -> Response | Failure:
    """The answer. Raises Overloaded when no request was made because files or memory were lacking here."""
    if isinstance(answer, Failure) and answer.kind is FailureClass.SHORTAGE:
        raise Overloaded(f"nothing left to make a request with: {answer.detail}")
    return answer


def _unreachable(why: str) -> ValidationError:
    reason = f"De callback neemt het testbericht niet aan: {why}."
    return ValidationError([InvalidParam(NON_FIELD, "invalid-callback-url", reason)])


def _is_exempt(url: str, settings: Settings) -> bool:
    host = (URL(url).host or "").lower()
    return host in {name.lower() for name in settings.callback_check_exempt_hosts}
