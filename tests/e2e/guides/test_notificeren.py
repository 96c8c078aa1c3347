"""Carries out the guide docs/notificeren.md literally, with both forms of token.

Only what differs per machine is filled in: the two addresses, the tokens, and ids that the product makes. A
block that begins with `HTTP/1.1` is the answer to the request before it, and is compared; a request to the
reader's own callback is what must have come in there. Where the standard's own guide is available, it is
carried out in the same way.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict

from gateway.tokens import verify
from nrc.rabbitmq.private_node import free_port
from runtime.settings import Settings
from schemas.application import Application, Scope
from schemas.errors import PermissionDenied
from tests.callback_server import CallbackServer, Received
from tests.e2e.guides.place import BLOCK, Place, blocks
from tests.e2e.running import environment, running
from tests.eventually import eventually

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "notificeren.md"
STANDARD_GUIDE = ROOT.parent / "shared" / "data" / "000_19dcfd6cd9054309.txt"

OURS = "127.0.0.1:8000"
INBOX = "127.0.0.1:8011"
READERS = f"http://{INBOX}/inbox/yQ2Kd0v3S9qf8mXb1TzLwA"
"""The inbox of whoever reads our guide."""
GIVEN_OUT = ("Location", "nrc-notificatie-id")
"""Headers with an identity that is another one each time."""


@dataclass(frozen=True)
class Http:
    """A request or an answer as it is written in a guide."""

    start: str
    headers: CIMultiDict[str]
    body: bytes

    @classmethod
    def parse(cls, text: str) -> Http:
        head, _, body = text.strip().partition("\n\n")
        start, *lines = head.split("\n")
        return cls(start, CIMultiDict(line.split(": ", 1) for line in lines), body.encode())

    @property
    def is_answer(self) -> bool:
        return self.start.startswith("HTTP/")

    @property
    def target(self) -> str:
        return self.start.split(" ")[1]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def on_the_wire(self) -> bytes:
        """The request with what every HTTP program adds to it, and nothing else."""
        lines = [self.start, *(f"{name}: {value}" for name, value in self.headers.items())]
        if self.start.endswith("HTTP/1.1"):
            lines += [f"Host: {self.target.split('/')[2]}", "Connection: close"]
        if self.body:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode() + self.body


async def send(request: Http) -> Http:
    """The whole answer to a request, over a connection of its own."""
    host, _, port = request.target.split("/")[2].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request.on_the_wire())
    async with asyncio.timeout(20):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    start, *lines = head.decode().split("\r\n")
    return Http(start, CIMultiDict(line.split(": ", 1) for line in lines), body)


class Reader:
    """Somebody who does what a guide says. `filled_in`: what stands in the guide, and what it is here."""

    def __init__(self, place: Place, filled_in: dict[str, str]) -> None:
        self.place = place
        self.filled_in = filled_in
        self.answer: Http | None = None
        self.last_message: Http | None = None
        self.sent = 0
        self.receives = self.place.callback.url("/")

    def fill_in(self, text: str) -> str:
        for written, real in self.filled_in.items():
            text = text.replace(written, real)
        return text

    async def read(self, text: str) -> None:
        """Do what one block of HTTP says."""
        http = Http.parse(self.fill_in(text))
        if http.is_answer:
            self.compare(Http.parse(text))
        elif http.target.startswith(self.receives):
            await self.receive(http)
        else:
            self.answer = await send(http)
            self.sent += 1
            if http.target.endswith("/notificaties"):
                self.last_message = http

    def compare(self, written: Http) -> None:
        """The answer that came is the one that is written, but for identities; those are learned from it."""
        assert self.answer is not None
        assert self.answer.start == written.start, self.answer
        for name in GIVEN_OUT:
            if name in written.headers:
                self.filled_in |= {identity(written.headers[name]): identity(self.answer.headers[name])}
        written = Http.parse(
            self.fill_in("\n".join([written.start, *headers(written), "", written.body.decode()]))
        )
        for name, value in written.headers.items():
            assert self.answer.headers[name] == value
        if written.body:
            expected, found = written.json, self.answer.json
            if isinstance(expected, dict) and "instance" in expected:
                assert expected.pop("instance").startswith("urn:uuid:")
                assert found.pop("instance").startswith("urn:uuid:")
            assert found == expected
        elif self.answer.start.split(" ")[1] == "204":
            assert self.answer.body == b""

    async def publish_again(self) -> str:
        """The id of the last message, published once more."""
        assert self.last_message is not None
        published = await send(self.last_message)
        assert published.start.split(" ")[1] == "201"
        return published.headers["nrc-notificatie-id"]

    async def receive(self, written: Http) -> None:
        """Publish the last message once more; what comes in at the callback is what is written."""
        number = await self.publish_again()

        def arrived() -> list[Received]:
            return [got for got in self.place.callback.received if got.header("webhook-id") == number]

        [got] = await eventually(arrived)
        self.is_what_came(written, number, f"{got.method} {got.path}", dict(got.headers), got.body)

    def is_what_came(
        self, written: Http, number: str, line: str, given: Mapping[str, str], body: bytes
    ) -> None:
        """What a guide says comes in is what did, but for the id. line: method and path."""
        assert line == "POST /" + written.target.split("/", 3)[3]
        assert json.loads(body) == written.json
        came = CIMultiDict(given)
        for name, value in written.headers.items():
            assert came[name] == {"webhook-id": number}.get(name, value), name


class ReaderWithInbox(Reader):
    """Somebody whose callback is an inbox, as our guide says; who asks it with the guide's own command."""

    def __init__(self, place: Place, filled_in: dict[str, str]) -> None:
        super().__init__(place, {OURS: place.address, INBOX: place.inbox, **filled_in})
        self.receives = f"http://{place.inbox}/"
        self.expected: tuple[Http, str] | None = None

    async def receive(self, written: Http) -> None:
        """Publish the last message once more; it is compared when the guide asks the inbox."""
        self.expected = written, await self.publish_again()

    async def command(self, text: str) -> None:
        """Do what a block for the shell says of the inbox; the others are curl beside HTTP."""
        env = environment(INBOX=self.filled_in.get(READERS, ""))
        if "INBOX" not in text or "127.0.0.1:8000" in text:
            return
        async with running("sh", "-euc", self.fill_in(text), env=env) as shell:
            assert await shell.ends(within=30) == 0, shell.err
        if text.startswith("INBOX="):
            # First, for the place of an inbox stands in it.
            self.filled_in = {READERS: shell.out.strip(), **self.filled_in}
            return
        assert self.expected is not None
        written, number = self.expected
        [got] = json.loads(shell.out)["requests"]
        given = dict(got["headers"])
        self.is_what_came(written, number, f"{got['method']} {got['target']}", given, got["body"].encode())
        self.expected = None


def headers(http: Http) -> list[str]:
    return [f"{name}: {value}" for name, value in http.headers.items()]


def identity(value: str) -> str:
    """The UUID at the end of a header's value."""
    return value.rpartition("/")[2]


async def test_our_guide_does_what_it_says(place: Place) -> None:
    reader = ReaderWithInbox(place, {})
    for language, text in blocks(GUIDE):
        if language == "http":
            await reader.read(text)
        elif language == "bash":
            await reader.command(text)
        elif language == "sh":
            for line in text.splitlines():
                command = shlex.split(line)
                assert command[0] == "nrc"
                if command[1] == "up":  # the fixture did
                    continue
                printed = await place.command(*command[1:])
                if command[1] == "token":
                    reader.filled_in[f"<token van {command[2]}>"] = printed.strip().rpartition(" ")[2]
    assert reader.sent == 9
    assert reader.expected is None, "the guide asks its inbox for what it says came in"
    listed = json.loads(await place.command("abonnement", "list", "--json"))
    assert listed == [], "the guide ends its abonnement"


async def test_the_consumer_in_our_guide_is_one(tmp_path: Path) -> None:
    [program] = [text for language, text in blocks(GUIDE) if language == "python" and "HTTPServer" in text]
    port = free_port()
    file = tmp_path / "ontvanger.py"
    file.write_text(program.replace("9000", str(port)))
    url = f"http://127.0.0.1:{port}/api/callbacks"

    async with running(sys.executable, str(file), env=environment()) as consumer:

        async def answer(auth: str) -> str:
            request = Http(
                f"POST {url} HTTP/1.1",
                CIMultiDict({"Authorization": auth, "webhook-id": "een-kenmerk"}),
                b'{"kanaal": "zaken"}',
            )
            return (await send(request)).start.split(" ")[1]

        async def listens() -> bool:
            try:
                return await answer("") == "401"
            except OSError:
                return False

        await eventually(listens)
        assert await answer("Token abcde12345") == "204"
        await consumer.says('een-kenmerk {"kanaal": "zaken"}')


def token_snippets() -> Iterator[tuple[str, str]]:
    """(language, text) of what the guide says makes a token without a command of ours."""
    section = GUIDE.read_text().partition("## Zonder de opdracht nrc")[2].partition("\n## ")[0]
    for match in BLOCK.finditer(section):
        yield match[1], match[2]


@pytest.mark.parametrize("language", ["python", "bash"])
@pytest.mark.parametrize(
    "secret", ["Geheim-met_43-tekens-zoals-nrc-application-add", "-begint met een streepje é"]
)
async def test_a_token_of_the_guide_s_own_snippets_is_valid(language: str, secret: str) -> None:
    [text] = [text for each, text in token_snippets() if each == language]
    assert "<geheim van zrc>" in text
    program = [sys.executable, "-W", "ignore", "-c"] if language == "python" else ["sh", "-euc"]
    async with running(*program, text.replace("<geheim van zrc>", secret), env=environment()) as made:
        assert await made.ends(within=20) == 0, made.err
    application = Application("zrc", secret, scopes=frozenset({Scope.PUBLICEREN}))
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    token = made.out.strip()
    found = verify(token, {"zrc": application}, now=time.time(), settings=settings)
    assert found.scopes == application.scopes
    with pytest.raises(PermissionDenied, match="handtekening"):
        verify(token, {"zrc": replace(application, secret="een ander")}, now=time.time(), settings=settings)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the guide's commands use curl")
async def test_each_request_of_our_guide_stands_beside_the_same_one_with_curl() -> None:
    env = environment(TOKEN_ZRC="<token van zrc>", TOKEN_MELDKAMER="<token van meldkamer>", INBOX=READERS)
    every = [(language, text) for language, text in blocks(GUIDE) if language in ("http", "bash")]
    async with CallbackServer() as server:
        compared = 0
        for (kind, raw), (language, beside) in pairwise(every):
            if kind != "http":
                continue
            written = Http.parse(raw)
            if written.is_answer or written.target == READERS:
                continue
            assert language == "bash", f"no curl beside {written.start}"
            command = beside.replace(OURS, server.url("").removeprefix("http://").rstrip("/"))
            async with running("sh", "-euc", command, env=env) as curl:
                assert await curl.ends(within=20) == 0, curl.err
            got = server.received[-1]
            compared += 1
            assert len(server.received) == compared
            assert [got.method, got.path] == [
                written.start.split(" ")[0],
                "/" + written.target.split("/", 3)[3],
            ]
            assert {name: got.header(name) for name in written.headers} == dict(written.headers)
            assert bool(got.body) == bool(written.body)
            if written.body:
                assert json.loads(got.body) == written.json
        assert compared == 9


@asynccontextmanager
async def a_reader_of_the_standard(place: Place, form: list[str]) -> AsyncIterator[Reader]:
    await place.command("application", "add", "component", "--scope", "publiceren", "--scope", "consumeren")
    token = (await place.command("token", "component", *form)).strip().rpartition(" ")[2]
    yield Reader(
        place,
        {
            "https://notificaties-api.vng.cloud": f"http://{place.address}",
            "https://my-consumer.nl": place.callback.url("").rstrip("/"),
            "abcd1234": token,
        },
    )


@pytest.mark.skipif(not STANDARD_GUIDE.exists(), reason="the standard's guide is not at hand")
@pytest.mark.parametrize("form", [[], ["--legacy"]], ids=["today", "2019"])
async def test_the_standard_s_guide_works_too(place: Place, form: list[str]) -> None:
    statuses = []
    async with a_reader_of_the_standard(place, form) as reader:
        for language, text in blocks(STANDARD_GUIDE):
            assert language == "http"
            before = reader.sent
            await reader.read(text)
            if reader.sent > before:
                assert reader.answer
                statuses.append(reader.answer.start.split(" ")[1])
        assert statuses == ["200", "201", "201", "200", "201"]
        # The guide's own last block is what came in, and so it was compared.
        assert place.callback.at("/api/callbacks")[-1].header("webhook-id")
        # Whoever follows it again finds the kanaal, and is told so.
        first, second, *_ = (text for _, text in blocks(STANDARD_GUIDE))
        await reader.read(first)
        assert reader.answer
        assert [kanaal["naam"] for kanaal in reader.answer.json] == ["zaken"]
        await reader.read(second)
        assert reader.answer.json["invalidParams"][0]["code"] == "unique"
