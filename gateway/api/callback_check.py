"""Checks that the addresses that a client registers answer as the standard requires (its callback check).

Done last, when no field is wrong, with the deliverer's HTTP client.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import uuid4

import orjson
from yarl import URL

from deliverer.events.request import Rendered, rendered, source_of
from deliverer.http.client import CallbackClient, Failure, FailureClass, Response
from deliverer.http.dutch import why_none
from runtime.settings import Settings
from schemas.abonnement import Abonnement, events_of
from schemas.callback_auth import CallbackAuth
from schemas.delivery_options import DeliveryOptions
from schemas.errors import InvalidParam, Overloaded, ValidationError
from schemas.events.mapping import BUILT_IN, ON
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


_REFUSED_BY_TLS = frozenset(
    {FailureClass.TLS_ERROR, FailureClass.CLIENT_CERTIFICATE_REFUSED, FailureClass.CONNECTION_ERROR}
)
_PLAIN = Rendered(TEST_MESSAGE)


def test_request(options: DeliveryOptions | None, settings: Settings) -> Rendered:
    """The test message as an abonnement with these options is sent messages, and the headers of that form.

    No mapping has a rule for it: its event is made as Open Notificaties would.
    """
    if (events := events_of(options)) is None:
        return _PLAIN
    made = rendered(TEST_MESSAGE, events, BUILT_IN[ON], id=str(uuid4()), source=source_of(settings))
    return made if isinstance(made, Rendered) else _PLAIN


async def check_callback_of(client: CallbackClient, abonnement: Abonnement, *, settings: Settings) -> None:
    """`check_callback` of an abonnement as it is to be: all that its callback will be sent counts."""
    await check_callback(
        client,
        url=abonnement.callback_url,
        auth=abonnement.auth,
        callback_auth=abonnement.callback_auth,
        options=abonnement.options,
        settings=settings,
    )


async def check_callback(
    client: CallbackClient,
    *,
    url: str,
    auth: str,
    settings: Settings,
    callback_auth: CallbackAuth | None = None,
    options: DeliveryOptions | None = None,
) -> None:
    """Return when a callback refuses a message without `auth` and accepts one with it.

    callback_auth: what the callback asks for beyond `auth`; one that is to get no Authorization (`no_auth`)
    and nothing else need not refuse. One that gets a client certificate may refuse by TLS, or by 400.
    options: of its abonnement; one that is to get CloudEvents gets one here too.
    With the check off: unless the guard refuses this address. Raises ValidationError, or Overloaded when this
    process has no files or memory left for a request.
    """
    if callback_auth is not None and callback_auth.has_own_tls:
        _check_certificate(callback_auth, url, settings)
    if settings.callback_check == "off":
        if refused := client.known_refusal(url):
            raise _unreachable(why_none(refused))
        oauth2 = callback_auth.oauth2 if callback_auth else None
        if oauth2 is not None and (refused := client.known_refusal(oauth2.token_url)):
            raise _unreachable(f"tokenadres: {why_none(refused)}")
        return

    test = test_request(options, settings)

    async def answer_to(headers: Mapping[str, str], asks: CallbackAuth | None) -> Response | Failure:
        return _asked(
            await client.post(
                url,
                body=test.body,
                headers={**test.headers, **headers},
                timeout=settings.callback_timeout,
                auth=asks,
            )
        )

    is_open = callback_auth is not None and callback_auth.is_open
    if settings.callback_check == "full" and not is_open and not _is_exempt(url, settings):
        answer = await answer_to({}, callback_auth.anonymous if callback_auth else None)
        if not _refuses(answer, callback_auth):
            status = _status_of(answer)
            reason = (
                f"De callback antwoordt {status} op een bericht zonder Authorization-header; "
                "dat moet 401 of 403 zijn."
            )
            raise ValidationError([InvalidParam("callbackUrl", "no-auth-on-callback-url", reason)])
    status = _status_of(await answer_to({"Authorization": auth}, callback_auth))
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


def _check_certificate(auth: CallbackAuth, url: str, settings: Settings) -> None:
    """Raise ValidationError for a client certificate or authorities with which nothing can be sent."""
    now, own = time.time(), auth.client_certificate
    name, facts = ("ca", None) if own is None else ("clientCertificate", own.facts)
    if not settings.callback_certificates:
        reason = "De beheerder staat eigen certificaten niet toe (NRC_CALLBACK_CERTIFICATES)."
    elif not url.lower().startswith("https:"):
        reason = "Certificaten zijn er alleen bij een callbackUrl met https."
    elif facts is not None and not facts.is_valid(now):
        told = "is verlopen op" if now >= facts.ends else "is pas geldig vanaf"
        moment = datetime.fromtimestamp(facts.ends if now >= facts.ends else facts.begins, UTC)
        reason = f"Het clientcertificaat {facts.name} {told} {moment:%d-%m-%Y %H:%M} UTC; geef een ander."
    else:
        return
    raise ValidationError([InvalidParam(name, "invalid", reason)])


def _refuses(answer: Response | Failure, auth: CallbackAuth | None) -> bool:
    """Whether that is how a callback refuses a message by which it cannot know us."""
    if auth is None or auth.client_certificate is None:
        return answer.status in (401, 403)
    # By TLS (a connection that is reset too: its alert may be lost), or as nginx does by 400.
    return answer.status in (400, 401, 403) or (
        isinstance(answer, Failure) and answer.kind in _REFUSED_BY_TLS
    )


def _status_of(answer: Response | Failure) -> int:
    """The status. Raises ValidationError when there was no answer."""
    if isinstance(answer, Response):
        return answer.status
    raise _unreachable(why_none(answer))


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
