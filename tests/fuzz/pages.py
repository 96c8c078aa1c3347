"""Fuzzing of pages and their forms: every page and action of the console, and the pages of the inbox.

Nothing that is filled in makes a page fail (5xx), comes back as markup, or is stored and comes back so later.
"""

from __future__ import annotations

import http.client
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import quote, urlencode

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from console.page import Page
from console.pages import PAGES

TIMEOUT = 30.0  # seconds; an answer that takes longer is a finding
MARK = "nrcfuzz"
EVIL = (
    f"<script>{MARK}(1)</script>",
    f'"><img src=x onerror={MARK}(2)>',
    f"' onfocus='{MARK}(3)' autofocus='",
    f'" onfocus={MARK}(4) autofocus x="',
    f"javascript:{MARK}(5)",
    f"</textarea><svg onload={MARK}(6)>",
    f"</title><script>{MARK}(7)</script>",
    f"{{{{ {MARK} }}}}{{% {MARK} %}}",
    f"<!--{MARK}--><b>",
    f"data:text/html,<script>{MARK}(8)</script>",
)
FORM = "application/x-www-form-urlencoded"
TYPES = (FORM, FORM + "; charset=utf-8", "multipart/form-data; boundary=x", "application/json", "", "é", "/")
_PART = re.compile(r"\{(\w+)(?::((?:[^{}]|\{[^}]*\})*))?\}")
_NAMES = re.compile(r'<(?:input|select|textarea)[^>]* name="([^"]+)"')
_ID = re.compile(r'href="(?:\.\./)*(?:notificaties/)?([0-9a-f]{8}-[0-9a-f-]{27})/')
_TOKEN = re.compile(r'name="token" value="([0-9a-f]+)"')


@dataclass(frozen=True)
class Asked:
    """A request. token: right, wrong, missing or twice, for a POST. body: bytes in place of the fields."""

    page: str
    action: str
    parts: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    fields: Sequence[tuple[str, str]]
    token: str
    media_type: str
    body: bytes | None
    tail: str
    post: bool


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str


class Site:
    """Requests to one process. cookie: who is logged in. marked: how many answers have what was made up."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._origin = f"http://{host}:{port}"
        self.cookie = ""
        self.statuses: Counter[int] = Counter()
        self.marked = 0

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        media_type: str = FORM,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer, of which every rule for a page holds. Raises AssertionError."""
        sent = {"Origin": self._origin, "Cookie": self.cookie, **(headers or {})}
        if body is not None and media_type:
            sent["Content-Type"] = media_type.encode().decode("latin-1")
        with closing(http.client.HTTPConnection(*self._address, timeout=TIMEOUT)) as connection:
            connection.request(method, path, body, sent)
            with connection.getresponse() as found:
                stream = (found.headers.get("Content-Type") or "").startswith("text/event-stream")
                text = "" if stream else found.read().decode(errors="replace")
                answer = Answer(found.status, found.headers, text)
        self.statuses[answer.status] += 1
        self.marked += MARK in text
        check(answer, f"{method} {path} {body!r}"[:400])
        return answer

    def log_in(self, name: str, password: str) -> None:
        """Log in to the console as this user."""
        self.cookie = ""
        body = urlencode({"naam": name, "wachtwoord": password}).encode()
        answer = self.ask("POST", "/console/inloggen/", body=body)
        assert answer.status == 303, answer.text
        self.cookie = answer.headers["Set-Cookie"].partition(";")[0]


class _Markup(HTMLParser):
    """Finds what could run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._in_script = tag == "script"
        given = {name: value or "" for name, value in attributes}
        if tag == "script" and not re.match(r"[./]*(?:static|inbox/static)/[\w.-]+", given.get("src", "")):
            self.found.append(f"script {given}")
        for name, value in given.items():
            if name.startswith("on") or name in ("style", "srcdoc"):
                self.found.append(f"{tag} {name}={value}")
            leads = name in ("href", "src", "action", "formaction", "data", "content")
            if leads and re.match(r"\s*(?:javascript|data|vbscript):", value, re.IGNORECASE):
                self.found.append(f"{tag} {name}={value}")
        if MARK in tag or any(MARK in name for name in given) or tag in ("iframe", "object", "embed", "base"):
            self.found.append(f"<{tag} {given}>")

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.found.append(f"script with {data[:200]}")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_comment(self, data: str) -> None:
        if MARK in data:
            self.found.append(f"comment {data[:200]}")


def check(answer: Answer, of: str) -> None:
    """Fail for an answer that no page may have."""
    assert answer.status < 500, (of, answer.status, answer.text[-800:])
    headers = answer.headers
    assert headers.get("X-Content-Type-Options") == "nosniff", of
    policy = headers.get("Content-Security-Policy") or ""
    media_type = headers.get("Content-Type") or ""
    if media_type.startswith("text/html"):
        assert "default-src 'self'" in policy, of
        assert "unsafe" not in policy, of
        assert (found := runnable(answer.text)) == [], (of, found)


def runnable(text: str) -> list[str]:
    """What of this page could run that we did not write."""
    parser = _Markup()
    parser.feed(text)
    parser.close()
    return parser.found


class Forms:
    """The pages of the console and their actions. known: ids of what is there."""

    def __init__(self, site: Site, known: Sequence[str], *, user: str, password: str) -> None:
        self._site = site
        self._known = [*known]
        self._pages: Mapping[str, Page] = {page.name: page for page in PAGES}
        self._who = (user, password)
        self._token = ""
        self.names: set[str] = set()
        self.asked: Counter[str] = Counter()

    def strategy(self, what: str) -> SearchStrategy[Asked]:
        """Requests for a page, or (`page/action`) for an action there."""
        names = st.one_of(st.sampled_from(sorted(self.names)), texts)
        values = st.one_of(st.sampled_from(EVIL), st.sampled_from(self._known), texts, st.sampled_from(ODD))
        pairs = st.lists(st.tuples(names, values), max_size=8)
        name, _, action = what.partition("/")
        parts = {
            part: st.sampled_from(choice.split("|")) if "|" in choice else values
            for part, choice in _PART.findall(self._pages[name].path)
        }
        return st.builds(
            Asked,
            page=st.just(name),
            action=st.just(action) if action else texts,
            parts=st.fixed_dictionaries(parts),
            query=pairs,
            fields=pairs,
            token=st.sampled_from(["right"] * 8 + ["wrong", "missing", "twice"]),
            media_type=st.sampled_from([FORM] * 12 + [*TYPES]),
            body=st.one_of(*[st.none()] * 12, st.binary(max_size=40), st.sampled_from(BROKEN)),
            tail=st.sampled_from([""] * 12 + ["%", "%zz", "?%ff=%00", "&a=%C3%28", "#x", "//", "%2e%2e/"]),
            post=st.just(True) if action else st.sampled_from([False, False, True]),
        )

    def prepare(self) -> None:
        """Log in, and learn the names of the fields of every page."""
        self._site.log_in(*self._who)
        listed = self._site.ask("GET", "/console/notificaties/").text
        ids = sorted(set(_ID.findall(listed)))
        assert ids, listed
        self._known += ids[:4]
        self.look()
        assert {"waarom", "client_id", "token", "doen"} <= self.names

    def look(self) -> None:
        """Ask for every page with everything that is known: what was stored shows as text."""
        for page in PAGES:
            for value in self._known if _PART.search(page.path) else ("",):
                for choice in _choices(page.path):
                    path = _PART.sub(
                        lambda part, c=choice, v=value: c if "|" in (part[2] or "") else quote(v, safe=""),
                        page.path,
                    )
                    for query in ("", "?id=" + quote(value or self._known[0], safe="")):
                        self._learn(self._site.ask("GET", f"/console/{path}{query}"))

    def _learn(self, answer: Answer) -> None:
        self.names |= {name for name in _NAMES.findall(answer.text) if MARK not in name}
        if token := _TOKEN.search(answer.text):
            self._token = token[1]

    def try_(self, asked: Asked) -> None:
        """Send it; log in again where it ended the session."""
        self.asked[f"{asked.page}/{asked.action}" if asked.post else asked.page] += 1
        path = _PART.sub(
            lambda part: quote(asked.parts[part[1]], safe="", errors="replace"), self._pages[asked.page].path
        )
        query = urlencode(asked.query, errors="replace")
        target = f"/console/{path}{'?' if query else ''}{query}{asked.tail}"
        if not asked.post:
            answer = self._site.ask("GET", target)
        else:
            tokens = {"right": [self._token], "wrong": ["0" * 64], "missing": [], "twice": ["x", self._token]}
            fields = [
                ("doen", asked.action),
                *(("token", each) for each in tokens[asked.token]),
                *asked.fields,
            ]
            body = asked.body if asked.body is not None else urlencode(fields, errors="replace").encode()
            answer = self._site.ask("POST", target, body=body, media_type=asked.media_type)
        leads = answer.headers.get("Location") or ""
        if answer.status == 303 and "inloggen/" in leads:
            self._site.log_in(*self._who)
            self._learn(self._site.ask("GET", "/console/account/"))
        elif answer.status == 303 and leads:
            assert re.match(r"(?:\.\./)*[^/:]*(?:/|\?|$)", leads), leads  # of this console


def _choices(path: str) -> Sequence[str]:
    found = [choice for _, choice in _PART.findall(path) if "|" in choice]
    return found[0].split("|") if found else ("",)


any_character = st.characters(exclude_categories=["Cs"])
texts = st.text(any_character | st.sampled_from("\x00\x1b\r\n\x7f\u202e\u2028<>\"'&%+=;/\\"), max_size=30)
ODD = (
    *(
        "",
        " ",
        "0",
        "-1",
        "1",
        "9" * 30,
        "1e9",
        "NaN",
        "2026-01-31",
        "9999-12-31T23:59",
        "0001-01-01",
        "2h",
        "01:46",
    ),
    *("x" * 300, "é" * 600, "a=b", "zaken", "00000000-0000-4000-8000-000000000000", "../../", "C:\\", "%00"),
    *("json", "csv", "live", "1", "aan", "publiceren", "consumeren", "active", "undeliverable"),
)
BROKEN = (
    b"%",
    b"a=%zz&token=%ff",
    b"\xff\xfe=\x00",
    b"&" * 300,
    b"a=1&" * 300,
    b"{}",
    b"--x\r\n\r\n--x--",
    b"x" * 70_000,
)
_HEADERS = ("Authorization", "webhook-id", "webhook-signature", "X-Any", "traceparent", "Content-Encoding")
_SETTINGS = ("authorization", "status", "delay", "failures", "drip", "reset", "value", "since")
_values = st.one_of(st.sampled_from(EVIL), texts, st.sampled_from(["", "0", "-1", "9" * 30, "204", "aan"]))
_pairs = st.lists(st.tuples(st.sampled_from(_SETTINGS) | _values, _values), max_size=5)


@dataclass(frozen=True)
class ToInbox:
    """What is sent to an inbox, as a callback and as a form."""

    query: Sequence[tuple[str, str]]
    body: bytes
    headers: Mapping[str, str]
    media_type: str
    form: str


inbox_requests = st.builds(
    ToInbox,
    query=_pairs,
    body=st.one_of(
        _values.map(str.encode), st.binary(max_size=50), _pairs.map(lambda all_: urlencode(all_).encode())
    ),
    headers=st.dictionaries(
        st.sampled_from(_HEADERS),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40) | st.sampled_from(EVIL),
        max_size=3,
    ),
    media_type=st.sampled_from([FORM, "application/json", "text/html", "multipart/form-data", ""]),
    form=st.sampled_from(["instellingen", "legen", "gelezen", "requests"]),
)


def try_inbox(site: Site, address: str, sent: ToInbox) -> None:
    """Send it to the forms of the inbox at this address, and as a callback to a new one; look at both."""
    page = {"Accept": "text/html"}
    asked = "?" + urlencode(sent.query, errors="replace")
    form = f"{address}/{sent.form}{asked}"
    site.ask("POST", form, body=sent.body, media_type=sent.media_type, headers=page)
    site.ask("PUT", f"{address}/settings", body=sent.body, media_type=sent.media_type)
    site.ask("GET", f"{address}/requests{asked}")
    site.ask("GET", f"{address}{asked}", headers=page)
    # A new one, which answers as no test has set it.
    made = site.ask("GET", "/inbox/", headers=page).headers["Location"]
    fresh = "/inbox/" + made.rpartition("/")[2]
    site.ask("POST", fresh, body=sent.body, media_type=sent.media_type, headers=sent.headers)
    assert "/verzoeken/1" in site.ask("GET", fresh, headers=page).text
    assert site.ask("GET", f"{fresh}/verzoeken/1", headers=page).status == 200
    site.ask("GET", f"{fresh}/verzoeken/{quote(str(sent.body[:8]))}", headers=page)
