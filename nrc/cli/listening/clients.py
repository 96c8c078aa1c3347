"""The application of one `nrc listen`, and its removal: at the end, or by the next one when it was killed."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from nrc.cli.connecting import opened_registry
from nrc.cli.registry.application import add_application, remove_application
from nrc.cli.terminal.output import note
from nrc.state_lock import held, is_held
from schemas.application import Application, Scope
from schemas.errors import Conflict

if TYPE_CHECKING:
    from runtime.settings import Settings

PREFIX = "nrc-listen-"


@asynccontextmanager
async def listening_client(settings: Settings) -> AsyncIterator[Application]:
    """An application that may subscribe; at the end it goes, with its abonnementen and what waits for them.

    A lock file stands for it in the state folder meanwhile: a killed one keeps none, by which it is known.
    """
    client_id = f"{PREFIX}{uuid4().hex[:8]}"
    with held(_file(settings, client_id)):
        application = Application(
            client_id=client_id,
            secret=secrets.token_urlsafe(32),
            label="Temporary: made and removed by nrc listen",
            scopes=frozenset({Scope.CONSUMEREN}),
        )
        await add_application(settings, application)
        try:
            yield application
        finally:
            await remove_application(settings, client_id, with_abonnementen=True)


async def remove_leftovers(settings: Settings) -> None:
    """Remove what those left that were killed, with their abonnementen."""
    async with opened_registry(settings) as opened:
        found = [each for each in opened.catalogue.applications if each.startswith(PREFIX)]
    for client_id in found:
        if is_held(_file(settings, client_id)):
            continue
        try:
            touched, _ = await remove_application(settings, client_id, with_abonnementen=True)
        except Conflict:  # another `nrc listen` was first
            continue
        _file(settings, client_id).unlink(missing_ok=True)
        note(f"removed what a killed `nrc listen` left: {client_id}, {len(touched)} abonnement(en)")


def _file(settings: Settings, client_id: str) -> Path:
    return settings.state_dir / f"{client_id}.lock"
