"""What the provider serves: its pages, and below /control/ what a test asks of it.

Imported when Django is configured (provider.py).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.contrib.auth.views import LoginView
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from oauth2_provider.models import Application
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauth2_provider.settings import oauth2_settings

from tests.openid.provider import CLIENT, PASSWORD, SECRET, new_key

GROUPS = {
    "anna": ["nrc-beheer", "andere"],
    "bert": ["andere"],
    "lezer": ["nrc-lezers", "nrc-admin"],
}
"""The groups of each user. The last has the name of a user that the console has with a password."""
ASKED: Counter[str] = Counter()
"""How often each path was asked for."""


def counted(answer: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware that counts."""

    def handle(request: HttpRequest) -> HttpResponse:
        ASKED[request.path] += 1
        return answer(request)

    return handle


class Validator(OAuth2Validator):
    """The validator of the toolkit, with the claims of a user."""

    oidc_claim_scope = None

    def get_additional_claims(self, request: Any) -> dict[str, Any]:
        """The claims besides those of the protocol."""
        names = [group.name for group in request.user.groups.all()]
        return {
            "preferred_username": request.user.username,
            "email": request.user.email,
            "groups": names,
            "realm_access": {"roles": names},
        }


def make_users() -> None:
    """Make the tables, and the users in their groups."""
    call_command("migrate", verbosity=0)
    for name, groups in GROUPS.items():
        user = User.objects.create_user(name, f"{name}@gemeente.example", PASSWORD)
        for group in groups:
            user.groups.add(Group.objects.get_or_create(name=group)[0])


def client(request: HttpRequest) -> HttpResponse:
    """Register the console: {"redirect_uris", "post_logout_redirect_uris", "skip_authorization"}."""
    fields = {
        "client_type": "confidential",
        "authorization_grant_type": "authorization-code",
        "algorithm": "RS256",
        "client_secret": SECRET,
        "hash_client_secret": False,
        **json.loads(request.body),
    }
    Application.objects.update_or_create(client_id=CLIENT, defaults=fields)
    return JsonResponse({})


def groups(request: HttpRequest) -> HttpResponse:
    """Give a user other groups: {"user", "groups"}."""
    asked = json.loads(request.body)
    found = [Group.objects.get_or_create(name=name)[0] for name in asked["groups"]]
    User.objects.get(username=asked["user"]).groups.set(found)
    return JsonResponse({})


def rotate(request: HttpRequest) -> HttpResponse:
    """Sign with another key from now on. The former is not published any more."""
    settings.OAUTH2_PROVIDER["OIDC_RSA_PRIVATE_KEY"] = new_key()
    oauth2_settings.reload()
    return JsonResponse({})


def asked(request: HttpRequest) -> HttpResponse:
    """How often each path was asked for."""
    return JsonResponse(dict(ASKED))


urlpatterns = [
    path("login/", LoginView.as_view()),
    path("control/client", client),
    path("control/groups", groups),
    path("control/rotate", rotate),
    path("control/asked", asked),
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
]
