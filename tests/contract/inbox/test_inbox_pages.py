"""The pages of the inbox: what came in is text in them, whatever it is, and all works without JavaScript."""

from __future__ import annotations

from html import escape, unescape

import pytest
from yarl import URL

from tests.contract.api import Answer
from tests.contract.documents.test_pages import Html
from tests.contract.inbox.conftest import AUTH, Inbox

SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}</pre></code>"


async def page(inbox: Inbox, path: str = "") -> Html:
    status, answer, body = await inbox("GET", path)
    html = Html(Answer(status, answer.headers, body))
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert html.open == []
    return html


async def test_nothing_that_came_in_is_more_than_text(inbox: Inbox) -> None:
    message = '{"kanaal": "%s", "hoofdObject": "%s", "resourceUrl": "%s", "actie": {"a": "%s"}}'
    body = message % ((SCRIPT.replace('"', '\\"'),) * 4)
    headers = {"webhook-id": SCRIPT, "nrc-attempt": SCRIPT, "X-Script": SCRIPT, "webhook-signature": SCRIPT}
    await inbox.post(body, URL.build(query={"x": SCRIPT}).human_repr(), **headers)
    await inbox.post(SCRIPT, **headers)
    await inbox.post(b"\xff\xfe" + SCRIPT.encode() + b"\x00\xed\xa0\x80", **headers)
    for path in ("", "/verzoeken/1", "/verzoeken/2", "/verzoeken/3"):
        html = await page(inbox, path)
        assert len(html.all("script")) == 1, "ours"
        assert html.all("img") == []
        assert not any(name.startswith("on") for _, attributes in html.tags for name in attributes)
        assert "49" not in html.text.partition("<main")[2].partition("7*7")[0][-3:]
        assert SCRIPT not in html.text
    assert escape(SCRIPT) in (await page(inbox, "/verzoeken/2")).text.replace("&#34;", "&quot;").replace(
        "&#39;", "&#x27;"
    )


async def test_bodies_of_any_bytes_have_a_page(inbox: Inbox) -> None:
    bodies = [
        b"",
        b"\x00",
        bytes(range(256)),
        b"[" * 5000,
        b'"\\ud800"',
        b"\xef\xbb\xbf{}",
        b"x" * 200_000,
        b"1e999999",
    ]
    for body in bodies:
        await inbox.post(body)
    for number in range(1, len(bodies) + 1):
        await page(inbox, f"/verzoeken/{number}")
    await page(inbox)


async def test_the_title_counts_what_is_unread(inbox: Inbox) -> None:
    def title(html: Html) -> str:
        return html.text.partition("<title>")[2].partition("</title>")[0]

    assert title(await page(inbox)).startswith("Inbox ")
    for _ in range(3):
        await inbox.post()
    assert title(await page(inbox)).startswith("(3) Inbox ")
    await page(inbox, "/verzoeken/2")
    assert title(await page(inbox)).startswith("(2) Inbox ")
    status, answer, _ = await inbox("POST", "/gelezen")
    assert (status, answer.headers["Location"]) == (303, inbox.url)
    assert title(await page(inbox)).startswith("Inbox ")
    status, _, _ = await inbox("POST", "/legen")
    assert status == 303
    assert await inbox.requests() == []


async def test_the_form_sets_how_it_answers(inbox: Inbox) -> None:
    form = {
        "authorization": "exact", "value": "Token é", "status": "503", "delay": "0,5", "fail": "10",
        "drip": "1", "reset": "on", "secret": "",
    }  # fmt: skip
    status, answer, _ = await inbox("POST", "/instellingen", data=form)
    assert (status, answer.headers["Location"]) == (303, f"{inbox.url}?bewaard")
    assert "Bewaard: zo antwoordt de inbox vanaf nu." in (await page(inbox, "?bewaard")).text
    assert await inbox.json("/settings") == {
        "authorization": "Token é", "status": 503, "delay": 0.5, "fail": 10, "drip": 1, "reset": True,
        "secret": False,
    }  # fmt: skip
    html = await page(inbox)
    assert "Bewaard:" not in html.text
    assert "curl -i \\\n  -H 'Authorization: Token é'" in unescape(html.text), "what it takes"
    shown = {each["name"]: each.get("value") for each in html.all("input") if each.get("type") != "radio"}
    assert shown == {
        "value": "Token é",
        "status": "503",
        "delay": "0,5",
        "fail": "10",
        "drip": "1",
        "reset": None,
        "secret": "",
    }
    assert [
        each["value"] for each in html.all("input") if each.get("type") == "radio" and "checked" in each
    ] == ["exact"]
    form = {name: value for name, value in form.items() if name != "reset"} | {"authorization": "any"}
    await inbox("POST", "/instellingen", data=form)
    found = await inbox.json("/settings")
    assert (found["authorization"], found["reset"]) == ("any", False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "<b>"},
        {"delay": "-1"},
        {"authorization": "exact", "value": ""},
        {"secret": "x"},
        {"naam": "x"},
    ],
)
async def test_a_form_with_a_fault_comes_back_as_it_was_filled_in(
    inbox: Inbox, wrong: dict[str, str]
) -> None:
    form = {
        "authorization": "none",
        "value": "",
        "status": "500",
        "delay": "0",
        "fail": "0",
        "drip": "0",
        "secret": "",
    }
    status, answer, body = await inbox("POST", "/instellingen", data=form | wrong)
    assert status == 400
    text = body.decode()
    assert text.index('role="alert"') < text.index('id="kop-verzoeken"'), "before what is long"
    assert "<b>" not in text
    for name, value in wrong.items():
        if name in ("status", "delay", "secret"):
            assert f'id="fout-{name}"' in text
            assert f'name="{name}" value="{escape(value)}"' in text
    assert (await inbox.json("/settings"))["status"] == 204, "nothing was set"
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    "content", [b"\xff=\xff", b"status=%FF%FE", b"status=500&status=200", b"a" * 70_000, b"reset=ja&drip=x"]
)
async def test_a_form_of_any_bytes_is_no_fault_of_ours(inbox: Inbox, content: bytes) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}
    status, _, _ = await inbox("POST", "/instellingen", data=content, headers=headers)
    assert status in (303, 400, 413)


async def test_a_browser_gets_faults_as_a_page(inbox: Inbox) -> None:
    for path, status in (
        (f"{inbox.root}/inbox/{'x' * 22}", 404),
        ("/verzoeken/1", 404),
        (f"{inbox.root}/inbox/?status=x", 400),
    ):
        got, answer, body = await inbox("GET", path, headers={"Accept": "text/html,*/*"})
        assert (got, answer.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
        assert b'href="/inbox/"' in body


async def test_every_link_and_file_of_a_page_is_there(inbox: Inbox) -> None:
    for _ in range(3):
        await inbox("POST", headers={**AUTH, "webhook-id": "a"}, data=b"{}")
    for path in ("", "/verzoeken/2"):
        base = URL(inbox.url + path)
        links = {base.join(URL(link)) for link in (await page(inbox, path)).links()}
        assert len(links) >= 6
        for link in links:
            status, _, _ = await inbox("GET", str(link.with_fragment(None)))
            assert status in (200, 303), link


async def test_the_way_in(inbox: Inbox) -> None:
    for path in ("/", "/inbox"):
        status, answer, _ = await inbox("GET", inbox.root + path)
        assert (status, answer.headers["Location"]) == (303, "/inbox/")
    for path in ("/health/live", "/health/ready"):
        status, _, _ = await inbox("GET", inbox.root + path)
        assert status == 200
