"""OAuth2 tokens: when one is asked for, how long it is kept, and what the token endpoint may answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from deliverer.http.client import Failure, FailureClass, Fetched
from deliverer.http.tokens import FAILED_FOR, MAX_ANSWER, TIMEOUT, YOUNG, Tokens, read_token, request_for
from schemas.callback_auth import OAuth2, SecretIn
from tests.eventually import eventually

ASKED = OAuth2(tokenUrl="https://idp.example.nl/token", clientId="nrc", secret="s3cret")
REFUSED, INVALID = FailureClass.TOKEN_REFUSED, FailureClass.TOKEN_INVALID
AWAY = FailureClass.TOKEN_UNREACHABLE


def answer(code: int = 200, **fields: Any) -> Fetched:
    return Fetched(code, json.dumps(fields).encode())


class Endpoint:
    """A token endpoint that gives `answers` in turn, the last one from then on, and a clock."""

    def __init__(self, *answers: Fetched | Failure) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.now = 1000.0
        self.go = asyncio.Event()
        self.go.set()

    async def fetch(self, url: str, *, timeout: float, most: int, **_: Any) -> Fetched | Failure:
        assert (timeout, most) == (TIMEOUT, MAX_ANSWER)
        self.asked.append(url)
        await self.go.wait()
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def tokens(self) -> Tokens:
        return Tokens(self.fetch, clock=lambda: self.now)


def numbered(count: int, life: float = 100.0) -> list[Fetched | Failure]:
    return [answer(access_token=f"t{n}", token_type="bearer", expires_in=life) for n in range(count)]


async def test_a_token_is_kept_until_shortly_before_its_end() -> None:
    endpoint = Endpoint(*numbered(3))
    tokens = endpoint.tokens()
    assert [await tokens.token(ASKED, within=5) for _ in range(3)] == ["t0"] * 3
    endpoint.now += 89.0
    assert await tokens.token(ASKED, within=5) == "t0"
    endpoint.now += 2.0
    assert await tokens.token(ASKED, within=5) == "t1"
    assert len(endpoint.asked) == 2


async def test_one_request_at_a_time_also_when_who_asked_goes_away() -> None:
    endpoint = Endpoint(*numbered(2))
    endpoint.go.clear()
    tokens = endpoint.tokens()
    asking = [asyncio.create_task(tokens.token(ASKED, within=60)) for _ in range(20)]
    await asyncio.sleep(0)
    asking[0].cancel()
    late = await tokens.token(ASKED, within=0)
    assert isinstance(late, Failure)
    assert late.kind is AWAY
    endpoint.go.set()
    assert set(await asyncio.gather(*asking[1:])) == {"t0"}
    assert len(endpoint.asked) == 1


async def test_who_has_another_secret_gets_no_token_of_this_one() -> None:
    endpoint = Endpoint(*numbered(4))
    tokens = endpoint.tokens()
    others = [
        ASKED.model_copy(update=change) for change in ({"secret": "x"}, {"scope": "a"}, {"audience": "b"})
    ]
    assert [await tokens.token(each, within=5) for each in (ASKED, *others)] == ["t0", "t1", "t2", "t3"]


async def test_a_failure_counts_for_a_moment() -> None:
    endpoint = Endpoint(Fetched(500, b""), *numbered(1))
    tokens = endpoint.tokens()
    for _ in range(5):
        found = await tokens.token(ASKED, within=5)
        assert isinstance(found, Failure)
    assert len(endpoint.asked) == 1
    endpoint.now += FAILED_FOR
    assert await tokens.token(ASKED, within=5) == "t0"


async def test_a_token_that_a_callback_refuses_is_replaced_unless_it_is_young() -> None:
    endpoint = Endpoint(*numbered(3))
    tokens = endpoint.tokens()
    assert await tokens.token(ASKED, within=5) == "t0"
    assert not tokens.refused(ASKED, "t0")
    assert await tokens.token(ASKED, within=5) == "t0"
    endpoint.now += YOUNG
    assert tokens.refused(ASKED, "t0")
    assert tokens.refused(ASKED, "t0")  # of another attempt, with the same token
    assert await tokens.token(ASKED, within=5) == "t1"
    assert tokens.refused(ASKED, "t0")  # and of one that ends only now: the new one is there already
    assert await tokens.token(ASKED, within=5) == "t1"
    assert len(endpoint.asked) == 2


async def test_those_who_are_asking_end_with_the_process() -> None:
    endpoint = Endpoint(*numbered(1))
    endpoint.go.clear()
    tokens = endpoint.tokens()
    asking = asyncio.create_task(tokens.token(ASKED, within=60))
    await eventually(lambda: endpoint.asked)
    await tokens.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


@pytest.mark.parametrize(
    ("fetched", "kind", "told"),
    [
        (Failure(FailureClass.CONNECTION_REFUSED, "idp:443: x"), AWAY, "connection_refused: idp:443"),
        (Failure(FailureClass.SHORTAGE, "x"), FailureClass.SHORTAGE, "x"),
        (Fetched(503, b""), AWAY, "answered 503"),
        (Fetched(429, b""), AWAY, "answered 429"),
        (answer(401, error="invalid_client"), REFUSED, "answered 401 (invalid_client)"),
        (answer(400, error="secret: S3CRET"), REFUSED, "answered 400"),
        (Fetched(403, b"\xff"), REFUSED, "answered 403"),
        (Fetched(302, b""), INVALID, "answered 302"),
        (Fetched(404, b""), INVALID, "answered 404"),
        (Fetched(200, b"<html>"), INVALID, "without a usable access_token"),
        (Fetched(200, b"[" * 60_000), INVALID, "without a usable access_token"),
        (Fetched(200, b"[]"), INVALID, "without a usable access_token"),
        (answer(access_token=7), INVALID, "without a usable access_token"),
        (answer(access_token="a b"), INVALID, "without a usable access_token"),
        (answer(access_token="a\r\nX: y"), INVALID, "without a usable access_token"),
        (answer(access_token="x" * 20_000), INVALID, "without a usable access_token"),
        (answer(access_token="a", token_type="mac"), INVALID, "token_type other than Bearer"),
    ],
)
def test_what_is_no_token(fetched: Fetched | Failure, kind: FailureClass, told: str) -> None:
    found, _ = read_token(fetched)
    assert isinstance(found, Failure)
    assert found.kind is kind
    assert told in found.detail
    assert "S3CRET" not in found.detail
    assert found.status is None


@pytest.mark.parametrize(
    ("expires_in", "life"),
    [
        (3600, 3570),
        ("600", 570),
        (100, 90),
        (1, 0.9),
        (0, 0),
        (-5, 0),
        (None, 270),
        ("soon", 270),
        (1e30, 86370),
        (10**400, 270),
        (float("nan"), 0),
    ],
)
def test_how_long_a_token_is_used(expires_in: Any, life: float) -> None:
    told = {} if expires_in is None else {"expires_in": expires_in}
    assert read_token(answer(access_token="a", **told)) == ("a", pytest.approx(life))


def test_the_request() -> None:
    odd = OAuth2(tokenUrl="https://idp/", clientId="a:b c", secret="é+%", scope="x y", audience="z")
    headers, form = request_for(odd)
    assert headers["Authorization"] == "Basic YSUzQWIrYzolQzMlQTklMkIlMjU="
    fields = {"grant_type": ["client_credentials"], "scope": ["x y"], "audience": ["z"]}
    assert parse_qs(form.decode()) == fields
    headers, form = request_for(odd.model_copy(update={"secret_in": SecretIn.BODY}))
    assert "Authorization" not in headers
    assert parse_qs(form.decode()) == {**fields, "client_id": ["a:b c"], "client_secret": ["é+%"]}
