"""Lets an unmodified notifications-api-common do at an NRC what a component does with it; run by a test.

A script of its own, for an interpreter where that library is installed: its database is a schema that is
given. Reads what it needs as JSON from standard input, and writes what came of it as JSON.
"""

from __future__ import annotations

import io
import json
import sys

import django
from celery import Celery
from django.conf import settings
from django.urls import include, path

GIVEN = json.load(sys.stdin)
urlpatterns = [
    path("n/", include(([path("kanalen/", lambda request: None, name="kanalen")], "notifications"))),
]
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "OPTIONS": {"options": f"-csearch_path={GIVEN['schema']}"},
            **GIVEN["database"],
        }
    },
    INSTALLED_APPS=[
        "django.contrib.contenttypes", "django.contrib.auth", "solo", "simple_certmanager", "zgw_consumers",
        "notifications_api_common",
    ],
    ROOT_URLCONF="__main__",
    SITE_DOMAIN="component.example.nl",
    NOTIFICATIONS_SOURCE="urn:nld:oin:00000001823288444000:systeem:component",
    STORAGES={
        name: {"BACKEND": "django.core.files.storage.InMemoryStorage"} for name in ("default", "privates")
    },
    USE_TZ=True,
)  # fmt: skip
django.setup()
celery = Celery("component")
celery.conf.update(task_always_eager=True, task_eager_propagates=True)
celery.set_default()

from django.contrib.auth.models import User  # noqa: E402 - after the setup
from django.core.management import call_command  # noqa: E402
from notifications_api_common.cloudevents import process_cloudevent  # noqa: E402
from notifications_api_common.kanalen import Kanaal  # noqa: E402
from notifications_api_common.models import NotificationsConfig, Subscription  # noqa: E402
from notifications_api_common.tasks import send_notification  # noqa: E402
from zgw_consumers.constants import APITypes, AuthTypes  # noqa: E402
from zgw_consumers.models import Service  # noqa: E402

call_command("migrate", verbosity=0)
config = NotificationsConfig.get_solo()
config.notifications_api_service = Service.objects.create(
    label="NRC",
    slug="nrc",
    api_root=f"{GIVEN['root']}/",
    api_type=APITypes.nrc,
    auth_type=AuthTypes.zgw,
    client_id=GIVEN["client_id"],
    secret=GIVEN["secret"],
)
config.save()
Kanaal("personen", User, kenmerken=("username",))
said = io.StringIO()
for _ in range(2):  # at each start of a component; the second time the kanaal is there
    call_command("register_kanalen", stdout=said, stderr=said)
subscription = Subscription.objects.create(
    identifier="own", callback_url=GIVEN["callback"], channels=["personen"]
)
subscription.register()
send_notification.delay(GIVEN["message"])
process_cloudevent(**GIVEN["event"])
json.dump({"said": said.getvalue(), "abonnement": subscription._subscription}, sys.stdout)
