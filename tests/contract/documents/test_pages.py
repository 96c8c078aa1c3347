"""The OAS document at its four addresses, its readable form, and the pages that a problem's `type` names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.metadata import version
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urljoin

import aiohttp
import orjson
import pytest
import yaml

from gateway.documents.openapi import PATHS, document
from gateway.documents.pages import ERRORS
from ledger.opening import LEDGER_FILE
from schemas.application import Scope
from schemas.errors import PermissionDenied, Problem, ValidationError
from tests.contract.api import Answer, Api
from tests.contract.conftest import Stage
from tests.eventually import eventually

SOURCES = [
    file for package in ("schemas", "gateway") for file in (Path(__file__).parents[3] / package).rglob("*.py")
]
PAGES = [
    "/",
    "/ref/fouten/",
    "/api/v1/schema/",
    "/ref/scopes/",
    *(f"/ref/fouten/{problem.__name__}/" for problem in Problem.__subclasses__()),
]

FIELD_CODES_OF_THE_STANDARD = """
required null blank max_length invalid not_a_list not_a_dict unique wijzigen-niet-toegelaten bad-url
kanaal_naam inconsistent-abonnement-filters no-auth-on-callback-url invalid-callback-url
message_kanaal kenmerken_inconsistent future_not_allowed unknown-parameters
"""
TOKEN_CODES_OF_THE_STANDARD = """
permission_denied jwt-decode-error missing-client-identifier invalid-client-identifier
invalid-jwt-signature jwt-missing-iat-claim jwt-expired jwt-expiredsignatureerror
jwt-immaturesignatureerror jwt-invalidalgorithmerror jwt-invalidaudienceerror
jwt-invalidsubjecterror jwt-invalidjtierror jwt-invalidissuedaterror
"""


def site(api: Api, path: str) -> str:
    """The whole URL of a path of this server."""
    return urljoin(api.root, path)


async def get(api: Api, path: str, method: str = "GET", **headers: str) -> Answer:
    return await api(method, site(api, path), auth=None, headers=headers)


class Html(HTMLParser):
    """What a page holds. `open` ends up empty when every element was closed in order."""

    VOID = frozenset({"meta", "link", "br", "img", "input"})

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        self.text = answer.body.decode()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def links(self) -> Iterator[str]:
        for _, attributes in self.tags:
            for name in ("href", "src"):
                if value := attributes.get(name):
                    yield value


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("query", ["", "?v=3", "?anything=goes&v=3"])
async def test_the_document_is_there_for_anyone(api: Api, path: str, query: str) -> None:
    answer = await get(api, path + query)
    assert answer.status == 200
    assert yaml.safe_load(answer.body) == document()  # JSON is YAML, and some clients parse it as that
    expected = "application/json" if path.endswith("json") else "application/vnd.oai.openapi; charset=utf-8"
    assert answer.headers["Content-Type"] == expected
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "max-age" in answer.headers["Cache-Control"]


@pytest.mark.parametrize("path", PATHS)
async def test_the_document_is_json_where_its_name_says_so(api: Api, path: str) -> None:
    answer = await get(api, path)
    if path.endswith("json"):
        assert orjson.loads(answer.body) == document()
    else:
        assert answer.body.startswith(b"openapi: 3.0.")


@pytest.mark.parametrize("accept", ["application/json", "text/html", "application/vnd.oai.openapi", "*/*"])
async def test_the_document_is_given_whatever_is_accepted(api: Api, accept: str) -> None:
    for path in PATHS:
        assert (await get(api, path, Accept=accept)).status == 200


async def test_a_bad_token_does_not_matter_to_the_document(api: Api) -> None:
    for path in PATHS:
        assert (await get(api, path, Authorization="Bearer nonsense")).status == 200


async def test_the_document_answers_head_and_preflight(api: Api) -> None:
    for path in PATHS:
        head = await get(api, path, "HEAD")
        assert (head.status, head.body) == (200, b"")
        asked = {"Origin": "https://editor.example.nl", "Access-Control-Request-Method": "GET"}
        preflight = await get(api, path, "OPTIONS", **asked)
        assert (preflight.status, preflight.body) == (204, b"")
        assert preflight.headers["Access-Control-Allow-Origin"] == "*"
        assert "GET" in preflight.headers["Access-Control-Allow-Methods"]
        refused = await get(api, path, "POST")
        assert refused.outcome == (405, "method_not_allowed")
        assert set(refused.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


async def test_the_server_in_the_document_is_where_the_client_found_it(stage: Stage) -> None:
    async with stage.gateway(trusted_proxies=(ip_network("127.0.0.1/32"),)) as api:
        for path in PATHS:
            answer = await get(api, path, **{"X-Forwarded-Prefix": "/notificaties/"})
            assert yaml.safe_load(answer.body)["servers"] == [{"url": "/notificaties/api/v1"}]
            assert yaml.safe_load((await get(api, path)).body) == document()
    async with stage.gateway(public_url="https://gemeente.example.nl/nrc") as api:
        for path in PATHS:
            servers = yaml.safe_load((await get(api, path)).body)["servers"]
            assert servers == [{"url": "/nrc/api/v1"}]


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_is_sound_html_in_dutch(api: Api, path: str) -> None:
    page = Html(await get(api, path))
    assert page.open == []
    assert page.all("html") == [{"lang": "nl"}]
    assert len(page.all("h1")) == len(page.all("title")) == len(page.all("main")) == 1
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_fetches_nothing_from_elsewhere(api: Api, path: str) -> None:
    answer = await get(api, path)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["style-src"] == "'self'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    page = Html(answer)
    assert page.all("style") == []
    assert all(script.get("src") for script in page.all("script"))
    assert not any(name.startswith("on") or name == "style" for _, attrs in page.tags for name in attrs)
    for link in page.links():
        # Relative, or the pages would break behind a prefix.
        assert not link.startswith(("/", "http")), link
        if not link.startswith("#"):
            target = await api("GET", urljoin(site(api, path), link), auth=None)
            assert target.status == 200, link


async def test_the_readable_document_comes_with_its_assets(api: Api) -> None:
    page = Html(await get(api, "/api/v1/schema/"))
    types = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".png": "image/png"}
    links = [link for link in page.links() if "assets/" in link]
    assert {"assets/swagger-ui-bundle.js", "assets/swagger-ui.css", "assets/schema.js"} <= set(links)
    for link in links:
        asset = await api("GET", urljoin(site(api, "/api/v1/schema/"), link), auth=None)
        assert asset.headers["Content-Type"] == types[Path(link).suffix]
        assert "max-age" in asset.headers["Cache-Control"]
        assert asset.headers["X-Content-Type-Options"] == "nosniff"
    script = await get(api, "/api/v1/schema/assets/schema.js")
    assert b'url: "openapi.json"' in script.body
    assert b"http" not in script.body
    assert 'id="swagger-ui"' in page.text


@pytest.mark.parametrize(
    "name",
    ["index.html", "oauth2-redirect.html", "layout.html", "..%2fpages.py", "%2e%2e%2fopenapi.yaml", "x"],
)
async def test_nothing_else_is_an_asset(api: Api, name: str) -> None:
    assert (await get(api, f"/api/v1/schema/assets/{name}")).outcome == (404, "not_found")


@pytest.mark.parametrize("path", [*PAGES, "/api/v1/schema/assets/pages.css"])
async def test_a_page_answers_head_and_refuses_what_it_has_not(api: Api, path: str) -> None:
    head = await get(api, path, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert (await get(api, path, "POST")).outcome == (405, "method_not_allowed")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/schema",
        "/ref/scopes",
        "/ref/fouten/NotFound",
        "/ref/fouten/Nergens/",
        "/ref/fouten",
        "/ref/",
    ],
)
async def test_any_other_page_is_a_404_problem(api: Api, path: str) -> None:
    assert (await get(api, path)).outcome == (404, "not_found")


async def first_page(api: Api) -> Answer | None:
    """Its answer; None as long as nobody listens there."""
    try:
        return await get(api, "/")
    except aiohttp.ClientConnectionError:
        return None


async def says(api: Api, text: str) -> bool:
    """Whether the first page does, with the way to the reasons."""
    answer = await first_page(api)
    page = answer and Html(answer)
    return page is not None and text in page.text and "./health/ready" in page.links()


async def test_the_first_page_leads_to_everything_and_tells_version_and_health(
    stage: Stage, api: Api, tmp_path: Path
) -> None:
    answer = await get(api, "/")
    page = Html(answer)
    assert answer.headers["Cache-Control"] == "no-store"
    assert {
        "./api/v1/schema/",
        "./api/v1/schema/openapi.yaml",
        "./api/extra/v1/openapi.yaml",
        "./ref/scopes/",
        "./ref/fouten/",
        "./health/ready",
    } <= set(page.links())
    assert f"<dd>{version('nrc')}</dd>" in page.text
    assert f"<dd>{document()['info']['version']}</dd>" in page.text
    assert "Werkt: neemt notificaties aan (<a " in page.text
    nowhere = ("amqp://127.0.0.1:1/",)
    async with stage.gateway(wait=False, amqp_url=nowhere) as without_broker:
        await eventually(
            lambda: says(without_broker, "Werkt gedeeltelijk: neemt notificaties aan, en levert")
        )
    (tmp_path / LEDGER_FILE).write_text("not a database")
    async with stage.gateway(wait=False, amqp_url=nowhere, state_dir=tmp_path) as without_both:
        await eventually(lambda: says(without_both, "Storing: neemt nu geen notificaties aan"))


async def test_the_first_page_leads_to_the_console_where_people_can_reach_it(stage: Stage) -> None:
    async with stage.gateway(console_public_url="https://beheer.example.nl/nrc") as api:
        assert '<a href="https://beheer.example.nl/nrc/console/">' in (await get(api, "/")).body.decode()
    async with stage.gateway() as api:
        assert b"/console/" not in (await get(api, "/")).body


async def test_every_class_of_error_is_listed(api: Api) -> None:
    page = Html(await get(api, "/ref/fouten/"))
    for problem in Problem.__subclasses__():
        assert f"{problem.__name__}/" in page.links()
        row = f'<tr><td>{problem.status}</td>\n<td><a href="{problem.__name__}/">'
        assert row in page.text


async def test_the_scopes_are_explained(api: Api) -> None:
    text = Html(await get(api, "/ref/scopes/")).text
    for scope in Scope:
        assert f"<code>{scope}</code>" in text
        assert f"<code>{scope.replace('notificaties.', 'notificaties.scopes.')}</code>" in text


@pytest.mark.parametrize("problem", Problem.__subclasses__())
async def test_every_class_of_error_is_explained(api: Api, problem: type[Problem]) -> None:
    page = Html(await get(api, f"/ref/fouten/{problem.__name__}/"))
    assert f"<h1>{problem.status} {problem.__name__}</h1>" in page.text
    assert f"<code>{problem.code}</code>" in page.text
    assert problem.title in page.text
    assert [link.get("aria-current") for link in page.all("a")].count("page") == 1
    for codes in (ERRORS[problem].get("codes", ()), ERRORS[problem].get("fields", ())):
        assert all(f'<dt id="{code}"><code>{code}</code></dt>' in page.text for code in codes)


async def test_the_type_of_a_problem_is_a_page_about_it(api: Api) -> None:
    for answer in (
        await api.get("/kanaal", auth=None),
        await api.get("/nergens"),
        await api.get("/kanaal?x=y"),
        await api.delete("/kanaal"),
        await api.post("/kanaal", body=b"{"),
    ):
        page = Html(await api("GET", answer.json["type"], auth=None))
        assert answer.json["title"] in page.text
        assert f"<code>{answer.json['code']}</code>" in page.text


def test_the_codes_of_the_standard_are_explained_and_no_other() -> None:
    fields, codes = ERRORS[ValidationError]["fields"], ERRORS[PermissionDenied]["codes"]
    ours = {"unknown-field", "no-consent"}  # of /api/extra/v1, and of CloudEvents
    assert set(fields) == set(FIELD_CODES_OF_THE_STANDARD.split()) | ours
    assert set(codes) == set(TOKEN_CODES_OF_THE_STANDARD.split())


def test_every_code_that_is_explained_is_given_somewhere() -> None:
    literals = {
        node.value
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant)
    }
    assert {*ERRORS[ValidationError]["fields"], *ERRORS[PermissionDenied]["codes"]} <= literals


def test_every_class_has_an_explanation() -> None:
    assert set(ERRORS) == set(Problem.__subclasses__())
    for texts in ERRORS.values():
        assert set(texts) <= {"meaning", "remedy", "codes", "fields"}
        assert texts["meaning"]
        assert texts["remedy"]
