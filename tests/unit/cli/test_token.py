"""`nrc token`: what it prints is what the gateway accepts."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import jwt
import pytest

from gateway.tokens import Credentials, bearer, verify
from operating.tokens import make_token
from runtime.settings import load_settings
from schemas.application import Application, Scope
from schemas.errors import PermissionDenied
from store.opening import open_registry
from tests.command import Ran, nrc

SECRET = "a secret of at least thirty-two bytes"
BOTH = frozenset(Scope)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    add = ("application", "add", "--secret", SECRET)
    nrc(tmp_path, *add, "zac", "--new", "--scope", "publiceren", "--scope", "consumeren")
    nrc(tmp_path, *add, "old", "--scopes-from-token")
    return tmp_path


def accepted(folder: Path, ran: Ran, *, now: float | None = None) -> Credentials:
    """What the gateway makes of the header that was printed."""

    async def look() -> dict[str, Application]:
        async with open_registry(folder / "registry.db") as opened:
            return {each.client_id: each for each in (await opened.changes_since(0)).applications}

    assert ran.code == 0
    name, _, value = ran.out.rstrip("\n").partition(": ")
    assert name == "Authorization"
    moment = time.time() if now is None else now
    settings = load_settings(_env_file=None)
    return verify(bearer(value), asyncio.run(look()), now=moment, settings=settings)


def parts(ran: Ran) -> tuple[dict[str, object], dict[str, object]]:
    decoded = jwt.decode_complete(ran.out.split()[-1], SECRET, algorithms=["HS256"])
    return decoded["header"], decoded["payload"]


def test_todays_form(folder: Path) -> None:
    ran = nrc(folder, "token", "zac")
    assert ran.err == ""
    header, claims = parts(ran)
    assert header == {"alg": "HS256", "typ": "JWT"}
    assert claims["client_id"] == claims["iss"] == "zac"
    assert isinstance(claims["iat"], int)
    assert "exp" not in claims
    granted = accepted(folder, ran)
    assert (granted.client_id, granted.scopes) == ("zac", BOTH)


def test_the_form_of_2019(folder: Path) -> None:
    ran = nrc(folder, "token", "zac", "--legacy")
    header, claims = parts(ran)
    assert header["client_identifier"] == "zac"
    assert claims.keys() == {"iat", "zds"}
    assert claims["zds"] == {"scopes": ["notificaties.scopes.consumeren", "notificaties.scopes.publiceren"]}
    assert accepted(folder, ran).scopes == BOTH


@pytest.mark.parametrize("form", [[], ["--legacy"]])
@pytest.mark.parametrize("client_id", ["zac", "old"])
def test_limited_to_a_scope(folder: Path, form: list[str], client_id: str) -> None:
    one = nrc(folder, "token", client_id, *form, "--scope", "notificaties.scopes.publiceren")
    assert accepted(folder, one).scopes == {Scope.PUBLICEREN}
    both = nrc(folder, "token", client_id, *form, "--scope", "publiceren", "--scope", "consumeren")
    assert accepted(folder, both).scopes == BOTH
    assert accepted(folder, nrc(folder, "token", client_id, *form)).scopes == BOTH


def test_expires(folder: Path) -> None:
    ran = nrc(folder, "token", "zac", "--expires", "15m")
    _, claims = parts(ran)
    assert claims["exp"] == claims["iat"] + 900  # type: ignore[operator]
    accepted(folder, ran)
    with pytest.raises(PermissionDenied) as refused:
        accepted(folder, ran, now=time.time() + 901)
    assert refused.value.code == "jwt-expiredsignatureerror"
    assert "NRC_JWT_EXPIRY" not in ran.err
    assert "NRC_JWT_EXPIRY" in nrc(folder, "token", "zac", "--expires", "2h").err


def test_an_unknown_application(folder: Path) -> None:
    ran = nrc(folder, "token", "nobody")
    assert (ran.code, ran.out) == (2, "")
    assert "old, zac" in ran.err


def test_a_short_secret_signs_without_a_word(tmp_path: Path) -> None:
    application = Application("zac", "short", scopes=BOTH)
    made = make_token(application, now=1_700_000_000, expires=60)
    assert (
        verify(made, {"zac": application}, now=1_700_000_001, settings=load_settings(_env_file=None)).scopes
        == BOTH
    )
