"""Generates what is sent: valid, nearly valid and invalid JSON, tokens, and bytes on the wire.

JSON is made as text, so that it can have what no encoder writes: duplicate names, numbers of any length, lone
surrogates. An object is a list of pairs (`Pairs`); `Raw` is text that is written as it is.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.contract.api import APPLICATIONS


@dataclass(frozen=True)
class Raw:
    """JSON text as it is to be sent."""

    text: str


@dataclass(frozen=True)
class Pairs:
    """An object: names may stand twice."""

    pairs: tuple[tuple[str, Any], ...]


def written(value: Any) -> str:
    """The JSON text of a made up value."""
    match value:
        case Raw(text):
            return text
        case Pairs(pairs):
            return "{" + ",".join(f"{json.dumps(name)}:{written(item)}" for name, item in pairs) + "}"
        case list() | tuple():
            return "[" + ",".join(map(written, value)) + "]"
        case dict():
            return written(Pairs(tuple(value.items())))
    return json.dumps(value)


def body_of(value: Any) -> bytes:
    """The same as bytes; half surrogates stand escaped."""
    return written(value).encode()


any_character = st.characters(exclude_categories=()) | st.sampled_from(
    '\x00\x1f\x7f\u2028"\\{}[]:,*_@%\ud800'
)
EDGES = (
    "", " ", "*", "\x00", "\ud800", "\udfff\ud800", "a" * 50, "a" * 51, "a" * 100, "a" * 101, "é" * 1000,
    "😀" * 1001, "1.10", "null", "A_b", "aB", "#", "a.b", "x-match", "$ref", "İ", "ß", "\u00a0", "\r\n",
    "2019-01-01T00:00:00Z", "http://127.0.0.1:9/", "-", "~",
)  # fmt: skip
texts = st.sampled_from(EDGES) | st.text(any_character, max_size=20)

numbers = st.one_of(
    st.integers().map(str),
    st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,9})?", fullmatch=True),
    st.sampled_from(["1e400", "-0", "0.0", "9" * 5000, "1E+5", "NaN", "Infinity", "01", "+1", "0x1"]),
).map(Raw)
scalars = st.none() | st.booleans() | numbers | texts
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(st.tuples(texts, inner), max_size=4).map(lambda pairs: Pairs(tuple(pairs)))
    ),
    max_leaves=12,
)
nested = st.tuples(st.integers(1, 200), st.booleans()).map(
    lambda how: Raw("[" * how[0] + "]" * how[0] if how[1] else '{"a":' * how[0] + "1" + "}" * how[0])
)


def mostly(sound: Any, *others: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Mostly what is sound; else one of the others, or anything."""
    good = sound if isinstance(sound, SearchStrategy) else st.just(sound)
    return st.one_of(good, good, good, good, good, *others, anything, nested)


def objects(fields: dict[str, SearchStrategy[Any]]) -> SearchStrategy[Any]:
    """An object of these fields: some left out, some twice, some more, in any order."""
    pairs = st.fixed_dictionaries(fields).map(lambda made: list(made.items()))
    more = st.lists(st.tuples(st.sampled_from([*fields, "url", "extra"]) | texts, anything), max_size=2)

    def put_together(drawn: tuple[list[Any], list[Any], int | None, bool]) -> Pairs:
        known, others, without, first = drawn
        kept = [pair for number, pair in enumerate(known) if number != without]
        return Pairs(tuple(others + kept if first else kept + others))

    without = st.none() | st.none() | st.integers(0, len(fields) - 1)
    return st.tuples(pairs, st.just([]) | more, without, st.booleans()).map(put_together)


names = st.sampled_from(["bronorganisatie", "zaaktype", "object_type", "objectType", "a.b", "x"]) | texts
pairs = st.lists(st.tuples(names, mostly(texts)), max_size=5).map(lambda some: Pairs(tuple(some)))
urls = st.sampled_from(
    [
        "http://127.0.0.1:9/", "https://example.nl/zaken/1", "http://[::1]:9/", "http://2130706433/",
        "http://169.254.169.254/latest", "HTTP://LOCALHOST:9", "http://a:b@127.0.0.1:9/", "http://%00/",
        "http://xn--/", "http://a..b/", "http://é.invalid/", "http://127.0.0.1:99999/", "ftp://127.0.0.1/",
        "//127.0.0.1/", "http://[", "http://127.0.0.1:9/%7e/../{x}?a=b#c", "http://localhost:9/" + "a" * 2100,
    ]
) | st.text(any_character, max_size=20).map("http://127.0.0.1:9/".__add__)  # fmt: skip
dates = st.sampled_from(
    ["2019-03-27T10:59:13Z", "2019-03-27 10:59", "2019-03-27T10:59:13.123456789+02:00",
     "9999-12-31T23:59:60Z", "0001-01-01T00:00:00+23:59", "2019-02-30T00:00:00Z", "2019-03-27", "12",
     "2019-03-27T10:59:13\u0660Z"]
)  # fmt: skip


def notificaties(naam: str) -> SearchStrategy[Any]:
    """Nearly sound notificaties on a kanaal."""
    return objects(
        {
            "kanaal": mostly(naam, texts),
            "hoofdObject": mostly("https://example.nl/zaken/1", urls),
            "resource": mostly("status", texts, numbers),
            "resourceUrl": mostly("https://example.nl/statussen/1", urls),
            "actie": mostly("create", texts, numbers),
            "aanmaakdatum": mostly("2019-03-27T10:59:13Z", dates),
            "kenmerken": mostly(pairs, st.just(Pairs(()))),
        }
    )


def groups(naam: str) -> SearchStrategy[Any]:
    return st.lists(objects({"naam": mostly(naam, texts), "filters": mostly(pairs)}), max_size=3)


def abonnementen(naam: str) -> SearchStrategy[Any]:
    """Nearly sound abonnementen on a kanaal."""
    return objects(
        {
            "callbackUrl": mostly("http://127.0.0.1:9/", urls),
            "auth": mostly("Token abc", texts),
            "kanalen": mostly(groups(naam)),
        }
    )


def kanalen(naam: str) -> SearchStrategy[Any]:
    """Nearly sound kanalen. One naam only: RabbitMQ keeps an exchange of each."""
    return objects(
        {
            "naam": mostly(naam, st.sampled_from(["", " ", "\x00", "a" * 51, "\ud800"])),
            "documentatieLink": mostly("", urls),
            "filters": mostly(st.lists(mostly(names), max_size=5)),
        }
    )


# -- tokens


def encoded(part: Any) -> bytes:
    """A part of a token."""
    raw = part if isinstance(part, bytes) else written(part).encode(errors="surrogatepass")
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


@dataclass(frozen=True)
class Token:
    """A header value, and whether it is signed by a secret that counts."""

    header: bytes
    signed: bool


@st.composite
def tokens(draw: st.DrawFn) -> Token:
    """Tokens near and far from sound ones, as the value of an Authorization header."""
    application = draw(st.sampled_from(APPLICATIONS))
    moments = st.sampled_from([int(time.time()), 0, -1, 2**63, 10**400, 1e300])
    header = draw(
        objects(
            {
                "alg": mostly("HS256", st.sampled_from(["none", "HS512", "RS256", "hs256", ""])),
                "typ": mostly("JWT"),
                "client_identifier": mostly(application.client_id, texts),
            }
        )
    )
    claims = draw(
        objects(
            {
                "client_id": mostly(application.client_id, texts),
                "iat": mostly(st.just(int(time.time())), moments, numbers),
                "exp": mostly(st.just(int(time.time()) + 600), moments, numbers),
                "zds": mostly(Pairs((("scopes", ["notificaties.consumeren"]),))),
                **{name: mostly(st.just("x"), texts) for name in ("iss", "sub", "jti")},
                **draw(st.sampled_from([{}, {}, {"aud": anything}, {"nbf": mostly(0, numbers)}])),
            }
        )
    )
    signed = draw(st.booleans())
    secret = application.secret if signed else draw(st.sampled_from(["", "wrong", "norbx"]))
    content = encoded(draw(st.just(header) | st.binary(max_size=20))) + b"." + encoded(claims)
    signature = hmac.new(secret.encode(), content, hashlib.sha256).digest()
    token = content + b"." + encoded(signature)
    sent = b"Bearer " + token
    if draw(st.integers(0, 4)) == 0:
        changed = draw(edited(sent).map(lambda text: text.translate(None, b"\r\n\x00")))
        # An edit may come to nothing, or touch only the spaces around it or the padding bits at its end.
        left = (changed.split() or [b""])[-1]
        signed = signed and left[: len(token) - 1] == token[:-1]
        sent = changed
    return Token(sent[:16000], signed)


# -- bytes


@st.composite
def edited(draw: st.DrawFn, text: bytes) -> bytes:
    """A text with a few bytes of it changed, doubled, taken out or put in."""
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        until = draw(st.integers(at, min(len(text), at + 20)))
        piece = st.sampled_from([b"", b"\r\n", b"\x00", b" ", b":", b"\xff", b"\r\n\r\n", b"0\r\n\r\n", b"%"])
        text = text[:at] + draw(piece | st.binary(max_size=8) | st.just(text[at:until] * 2)) + text[until:]
    return text


header_lines = st.sampled_from(
    [
        b"Transfer-Encoding: chunked", b"Content-Length: 99", b"Content-Length: -1", b"Expect: 100-continue",
        b"Connection: upgrade\r\nUpgrade: websocket", b"Connection: close", b"Host: y", b"Accept: text/html",
        b"Content-Encoding: gzip", b"Range: bytes=1-", b"X-Forwarded-Host: evil", b"Accept: " + b"*/*," * 900,
        b"Content-Type: application/json; charset=utf-16", b"Content-Type: multipart/form-data; boundary=a",
        b"If-None-Match: *", b"TE: trailers", b"Cookie: a=b", b"X: " + b"a" * 30_000, b"\xff: \xff",
    ]
)  # fmt: skip
targets = st.one_of(
    st.sampled_from(
        [b"/api/v1/kanaal?naam=%00", b"/api/v1/kanaal?x=%ff&naam=", b"/", b"*", b"http://x/api/v1/", b"/%",
         b"/api/v1/kanaal/..", b"/api/v1/schema/assets/%2e%2e/x", b"//api/v1",
         b"/api/v1/kanaal?" + b"a&" * 2000,
         b"/ref/fouten/%ED%A0%80/", b"/api/v1/abonnement/00000000-0000-0000-0000-000000000000"]
    ),
    st.binary(max_size=30).map(lambda raw: b"/" + base64.b16encode(raw).replace(b"4", b"%")),
    st.text(any_character, max_size=20).map(lambda text: b"/api/v1/" + text.encode(errors="surrogatepass")),
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn, sound: bytes) -> bytes:
    """Bytes that nearly are an HTTP request, or nearly the sound one."""
    if draw(st.booleans()):
        return draw(edited(sound))
    method = draw(st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"PUT", b"PRI", b"CONNECT", b"get"]))
    head = [
        method + b" " + draw(targets) + draw(st.sampled_from([b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0", b""]))
    ]
    head += [b"Host: x", *draw(st.lists(header_lines, max_size=3))]
    return b"\r\n".join([*head, b"", draw(st.binary(max_size=50))])
