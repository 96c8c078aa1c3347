"""What must hold: of every answer, and of what arrives at the consumer.

A property is a strategy and a check; `all_of` gives them for one system, each with its share of the examples.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self
from uuid import uuid4

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from gateway.documents.pages import ERRORS
from schemas.errors import PermissionDenied
from schemas.jsontext import read_json
from tests.callback_server import Received, status
from tests.callback_server import Wire as Line
from tests.fuzz import garbage, shapes
from tests.fuzz.shapes import Pairs, body_of
from tests.fuzz.system import System
from tests.fuzz.wire import Wire
from tests.tokens import token

ARRIVES_WITHIN = 30.0  # seconds
NAMEN = tuple(f"fuzz{number}" for number in range(8))
FILTERS = ("bronorganisatie", "zaaktype", "object_type", "a.b", "x", "vertrouwelijkheidaanduiding")


KNOWN_BODIES = tuple(
    ((path, body), change, True)
    for change in (False, True)
    for path, body in (
        ("/notificaties", b'{"kanaal":"fuzz0","kenmerken":{"\\ud800":null}}'),
        ("/abonnement", b'{"kanalen":[{"naam":"fuzz1","filters":{"\\udfff":"\\u0000"}}]}'),
        ("/abonnement", b'{"callbackUrl":"http://[","auth":"\\r\\n","kanalen":' + b"[" * 5000),
        ("/kanaal", b'{"naam":"fuzz0","documentatieLink":"http://\\ud800/","filters":[null,1e999]}'),
        ("/kanaal", b"\xff\xfe"),
        (
            "/notificaties",
            b'{"kanaal":"fuzz0","hoofdObject":"http://x","resource":"x","resourceUrl":"http://x","actie":"x",'
            b'"aanmaakdatum":"9999-12-31T23:59:60Z"}',
        ),
    )
)
KNOWN_REQUESTS = (
    b"GET /api/v1/\r\nHost: x\r\n\r\n",
    b"GET /api/v1/ HTTP/2.0\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"POST /api/v1/kanaal HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    b"POST /api/v1/kanaal HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{",
    b"GET /api/v1/schema/assets/pages.css HTTP/1.1\r\nHost: x\r\nRange: bytes=9999999-\r\n\r\n",
    b"GET /api/v1/kanaal?%ED%A0%80 HTTP/1.1\r\nHost: \xff\r\nAuthorization: Bearer \xff.\xff.\xff\r\n\r\n",
)


@dataclass(frozen=True)
class Property:
    """share: its part of all examples. known: what was found once, or elsewhere; always tried first."""

    name: str
    strategy: SearchStrategy[Any]
    check: Callable[[Any], None]
    share: float
    known: tuple[Any, ...] = ()


class Fuzzing:
    """One system, with a client of each of its gateways; a context manager that closes these."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.checking, self.trusting = Wire(system.checking), Wire(system.trusting)
        self._auth = token().encode()
        self._uuids: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.checking.close()
        self.trusting.close()

    @property
    def requests(self) -> int:
        return self.checking.requests + self.trusting.requests

    def prepare(self) -> None:
        """Kanalen, an abonnement to change, and one for what is put into its queue by hand."""
        for number, naam in enumerate(NAMEN):
            filters = [] if number == 0 else list(FILTERS[: number % 4 + 1])
            self._made("kanaal", {"naam": naam, "filters": filters})
        self.system.callback.script("/checked", asks_for_auth)
        self._uuids["abonnement"] = self._made(
            "abonnement", {"callbackUrl": "http://127.0.0.1:9/", "auth": "Token x", "kanalen": []}
        )
        self._uuids["garbage"] = self._made(
            "abonnement", {"callbackUrl": self.system.callback.url("/garbage"), "auth": "x", "kanalen": []}
        )
        self._uuids["kanaal"] = json.loads(
            self.trusting.call("GET", "/kanaal?naam=fuzz0", auth=self._auth).body
        )[0]["url"].rpartition("/")[2]

    def _made(self, kind: str, body: Any) -> str:
        answer = self.trusting.call("POST", f"/{kind}", auth=self._auth, body=json.dumps(body).encode())
        assert answer.status == 201, answer.body
        return str(answer.json["url"].rpartition("/")[2])

    def all_of(self) -> list[Property]:
        """Every property."""
        kinds = {
            "/notificaties": shapes.notificaties("fuzz0"),
            "/kanaal": shapes.kanalen("fuzz0"),
            "/abonnement": shapes.abonnementen("fuzz0"),
        }
        bodies = st.one_of(
            *(st.tuples(st.just(path), shape.map(body_of)) for path, shape in kinds.items()),
            *(
                st.tuples(st.just(path), shape.map(body_of).flatmap(shapes.edited))
                for path, shape in kinds.items()
            ),
            st.tuples(st.sampled_from(list(kinds)), shapes.anything.map(body_of) | st.binary(max_size=200)),
        )
        sound = body_of({"kanaal": "fuzz0", **dict.fromkeys(("hoofdObject", "resourceUrl"), "http://x/")})
        request = (
            b"POST /api/v1/notificaties HTTP/1.1\r\nHost: x\r\nAuthorization: " + self._auth
            + b"\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(sound) + sound
        )  # fmt: skip
        return [
            Property("bodies", st.tuples(bodies, st.booleans(), st.booleans()), self.body, 0.5, KNOWN_BODIES),
            Property("tokens", st.tuples(shapes.tokens(), st.booleans()), self.token, 0.25),
            Property("wire", shapes.requests(request), self.wire, 0.2, KNOWN_REQUESTS),
            Property("garbage", st.lists(garbage.messages, min_size=1, max_size=5), self.garbage, 0.025),
            Property("filters", routings(), self.filters, 0.025),
        ]

    def body(self, drawn: tuple[tuple[str, bytes], bool, bool]) -> None:
        """Any body, to make or to change something: an answer that the document has."""
        (path, body), change, checked = drawn
        wire = self.checking if checked else self.trusting
        if not change or path == "/notificaties":
            answer = wire.call("POST", path, auth=self._auth, body=body)
        else:
            uuid = self._uuids[path[1:]]
            method = "PATCH" if len(body) % 2 else "PUT"
            answer = wire.call(method, f"{path}/{uuid}", auth=self._auth, body=body)
        if answer.status >= 400:
            return
        sent, got = read_json(body), read_json(answer.body)
        assert isinstance(sent, dict)
        if path == "/notificaties":
            for name, value in sent.items():
                assert name == "aanmaakdatum" or got[name] == value, (name, value, got[name])
        elif answer.status == 201:
            self._remove(path, answer.json["url"].rpartition("/")[2])

    def _remove(self, path: str, uuid: str) -> None:
        if path == "/abonnement":
            assert self.trusting.call("DELETE", f"{path}/{uuid}", auth=self._auth).status == 204

    def token(self, drawn: tuple[shapes.Token, bool]) -> None:
        """A token that no secret vouches for gets 403 and a code of the standard; no token a 500."""
        sent, publishes = drawn
        if publishes:
            answer = self.trusting.call("POST", "/notificaties", auth=sent.header, body=b"{}")
        else:
            answer = self.trusting.call("GET", "/kanaal", auth=sent.header)
        assert sent.signed or answer.status in (400, 403), (sent, answer.status)
        if answer.status == 403:
            assert answer.json["code"] in ERRORS[PermissionDenied]["codes"]

    def wire(self, sent: bytes) -> None:
        """Any bytes: problems, or no answer and the end of the connection; and the next one is served."""
        self.trusting.raw(sent)
        assert self.trusting.call("GET", "/", auth=b"x").status == 200

    def garbage(self, sent: list[dict[str, Any]]) -> None:
        """What is put into queues by hand stops neither the deliverer nor the router."""
        queue = f"nrc.abonnement.{self._uuids['garbage']}"
        for number, message in enumerate(sent):
            exchange, key = (("", queue), ("", "nrc.router"), ("nrc.changes", ""))[number % 3]
            self.system.garbage.put(exchange, key, message)
        until(lambda: self.system.garbage.left(queue) == 0, "the deliverer takes what is in its queue")
        until(lambda: self.system.garbage.left("nrc.router") == 0, "the router takes what it is asked")

    def filters(self, drawn: Routing) -> None:
        """Every abonnement whose filters match gets a notificatie once, as it was sent; no other gets it."""
        wanting: dict[str, list[dict[str, Any]]] = {}
        uuids = []
        for groups in drawn.abonnementen:
            path = f"/f/{uuid4()}"
            body = {"callbackUrl": self.system.callback.url(path), "auth": "x", "kanalen": groups}
            answer = self.trusting.call(
                "POST", "/abonnement", auth=self._auth, body=json.dumps(body).encode()
            )
            if answer.status == 201:
                uuids.append(answer.json["url"].rpartition("/")[2])
                wanting[path] = groups
        accepted: dict[str, tuple[bytes, dict[str, Any]]] = {}
        for notificatie in drawn.notificaties:
            answer = self.checking.call("POST", "/notificaties", auth=self._auth, body=body_of(notificatie))
            if answer.status == 201:
                accepted[answer.headers["nrc-notificatie-id"]] = answer.body, read_json(answer.body)
        expected = sorted(
            (path, number)
            for path, groups in wanting.items()
            for number, (_, message) in accepted.items()
            if any(wants(group, message) for group in groups)
        )

        def arrived() -> list[Received]:
            return [one for one in list(self.system.callback.received) if one.path in wanting]

        until(lambda: len(arrived()) >= len(expected), f"{len(expected)} arrive")
        for uuid in uuids:
            self._remove("/abonnement", uuid)
        got = arrived()
        assert sorted((one.path, one.header("webhook-id") or "") for one in got) == expected
        for one in got:
            assert one.body == accepted[one.header("webhook-id") or ""][0]
        self.system.callback.received.clear()


async def asks_for_auth(line: Line, received: Received) -> bool:
    return await status(204 if received.header("Authorization") else 401)(line, received)


def until(condition: Callable[[], bool], what: str) -> None:
    """Return once it holds; AssertionError when it does not in time."""
    deadline = time.monotonic() + ARRIVES_WITHIN
    while not condition():
        assert time.monotonic() < deadline, f"not within {ARRIVES_WITHIN:g} s: {what}"
        time.sleep(0.01)


# -- filters, and who wants what: written from the standard, not from the code


@dataclass(frozen=True)
class Routing:
    """Abonnementen (their kanalen), and notificaties."""

    abonnementen: list[list[dict[str, Any]]]
    notificaties: list[Any]


values = st.sampled_from(["", "1", "2", "*", "A", "a", "a.b", "#", "é" * 200]) | shapes.texts.filter(
    lambda text: "\x00" not in text and text.encode(errors="replace").decode() == text and len(text) <= 1000
)
filter_names = st.sampled_from([*FILTERS, "bronOrganisatie", "objectType", "X", "other"])


@st.composite
def routings(draw: st.DrawFn) -> Routing:
    group = st.fixed_dictionaries(
        {"naam": st.sampled_from(NAMEN[:4]), "filters": st.dictionaries(filter_names, values, max_size=3)}
    )
    kenmerken = st.dictionaries(filter_names, values, max_size=4)
    message = st.fixed_dictionaries(
        {
            "kanaal": st.sampled_from(NAMEN[:4]),
            "hoofdObject": st.just("https://example.nl/1"),
            "resource": values.filter(str.strip).map(lambda text: text[:100]).filter(str.strip),
            "resourceUrl": st.just("https://example.nl/1"),
            "actie": st.sampled_from(["create", "a.b", "#", "*", "é"]),
            "aanmaakdatum": st.just("2019-01-01T00:00:00Z"),
            "kenmerken": kenmerken.map(lambda some: Pairs(tuple(some.items()))),
        }
    )
    return Routing(
        draw(st.lists(st.lists(group, max_size=3), min_size=1, max_size=3)),
        draw(st.lists(message, min_size=1, max_size=3)),
    )


def wants(group: dict[str, Any], message: dict[str, Any]) -> bool:
    """STANDARD: Matching. AND within a group; a filter on a kenmerk that is not there is ignored."""

    def plain(name: str) -> str:
        return name.lower().replace("_", "")

    has = {plain(name): value for name, value in message["kenmerken"].items()}
    return group["naam"] == message["kanaal"] and all(
        value == "*" or plain(name) not in has or has[plain(name)] == value
        for name, value in group["filters"].items()
    )
