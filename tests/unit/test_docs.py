"""The documents say what the code says: commands, settings, log lines, places, names, links."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from router import names
from router.routing import routing_key
from router.topology import REQUESTS_QUEUE, RUNGS, Exchange, Queue, fixed, of_abonnement, of_kanaal
from runtime.settings import Settings, env_name
from schemas.fields import normalise
from tests.command import every_command
from tests.make import a_kanaal, an_abonnement
from tools.modules import PACKAGES, modules_page, with_packages

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LEVELS = {"warning", "error", "exception", "critical"}
OPERATIONS = (DOCS / "operations.md").read_text()
ARCHITECTURE = (DOCS / "architecture.md").read_text()
MESSAGES = (DOCS / "messages.md").read_text()
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            yield file.relative_to(ROOT), ast.parse(file.read_text())


def is_log_method(node: ast.AST) -> bool:
    """`log.warning` and its like."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr in LEVELS
        and isinstance(node.value, ast.Name)
        and node.value.id == "log"
    )


def alarming_calls(tree: ast.Module) -> Iterator[ast.Call]:
    """Calls that log at warning or above, also through a name such as `tell = log.warning if … else …`."""
    aliases = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and any(map(is_log_method, ast.walk(node.value)))
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (
            is_log_method(node.func) or (isinstance(node.func, ast.Name) and node.func.id in aliases)
        ):
            yield node


def events() -> dict[str, str]:
    """Every event that is logged at warning or above, and where."""
    found = {}
    for file, tree in sources():
        for call in alarming_calls(tree):
            event = call.args[0]
            where = f"{file}:{call.lineno}"
            assert isinstance(event, ast.Constant), f"{where}: an event is a literal, its facts are keywords"
            found[str(event.value)] = where
    return found


def spans(cell: str) -> list[str]:
    """The code spans of a table's cell."""
    return [span.strip() for _, span in re.findall(r"(`+)(.+?)\1(?!`)", cell)]


def first_cells(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.startswith("|") and not line.startswith("|---"):
            yield line.split("|")[1]


def documented_events() -> set[str]:
    section = OPERATIONS.partition("## Lines in the log")[2].partition("\n## ")[0]
    return {span for cell in first_cells(section) for span in spans(cell)}


def test_every_line_of_warning_or_error_is_in_the_operators_page() -> None:
    missing = {event: where for event, where in events().items() if event not in documented_events()}
    assert not missing, "docs/operations.md, Lines in the log, lacks these"


def test_the_operators_page_has_no_line_that_is_never_logged() -> None:
    assert documented_events() <= events().keys()


def texts() -> Iterator[str]:
    """Every text in the code, what is put into it as `…`."""
    for _, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                yield "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_what_commands_say_is_quoted_as_they_say_it() -> None:
    section = OPERATIONS.partition("## What commands say")[2].partition("\n## ")[0]
    said = "\n".join(texts())
    for quoted in (span for cell in first_cells(section) for span in spans(cell)):
        # A line may be put together of several texts, between which is a stop.
        for part in re.split(rf"…|{names.UNDELIVERABLE}|[.;] ", quoted):
            assert part.strip() in said, quoted


COMMANDS = dict(every_command())


def commands() -> Iterator[str]:
    """What one types, without the groups."""
    for path, command in COMMANDS.items():
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield " ".join(["nrc", *path])


def test_every_command_is_in_the_operators_page() -> None:
    section = OPERATIONS.partition("## Every command")[2]
    listed = [spans(cell)[0] for cell in first_cells(section) if spans(cell)]
    assert sorted(listed) == sorted(commands())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_settings_that_a_page_names_exist(page: Path) -> None:
    known = {*commands()}
    groups = {" ".join(["nrc", *path]) for path, each in COMMANDS.items() if isinstance(each, click.Group)}
    for words in re.findall(r"`nrc ((?:[a-z][a-z0-9-]* ?)+)", page.read_text()):
        first, second = [*words.split(), ""][:2]
        assert f"nrc {first}" in known | groups, words
        if f"nrc {first}" in groups and second:
            assert f"nrc {first} {second}" in known | groups, words
    # Not settings: what `nrc up` and its processes tell each other; what tests, completion, Compose take.
    others = r"NRC_(?!TEST_|COMPLETE|GRAFANA_|LISTEN_FD|UP_FD|RABBITMQ_|PORT\b|HOST\b)[A-Z_]*[A-Z]"
    assert {*re.findall(rf"(?<!_){others}", page.read_text())} <= {*map(env_name, Settings.model_fields)}


def test_every_setting_is_in_its_page() -> None:
    page = (DOCS / "settings.md").read_text()
    for field in Settings.model_fields:
        assert f"| `{env_name(field)}` |" in page


def test_the_pages_of_modules_are_made_from_the_code() -> None:
    assert (DOCS / "modules.md").read_text() == modules_page(), "run `make docs`"
    assert with_packages(ARCHITECTURE) == ARCHITECTURE, "run `make docs`"


def test_every_package_lists_what_is_in_it() -> None:
    for name in (*PACKAGES, "bench"):
        for init in sorted((ROOT / name).rglob("__init__.py")):
            docstring = ast.get_docstring(ast.parse(init.read_text())) or ""
            modules = {file.name for file in init.parent.glob("*.py")} - {"__init__.py", "__main__.py"}
            packages = {f"{each.parent.name}/" for each in init.parent.glob("*/__init__.py")}
            named = {*re.findall(r"(?<![\w/])\w+(?:\.py|/)", docstring)}
            assert modules | packages <= named, f"{init.relative_to(ROOT)} lacks these"


def test_no_folder_has_more_than_a_dozen_files() -> None:
    for name in (*PACKAGES, "bench", "tests", "tools"):
        for folder in (ROOT / name, *(ROOT / name).rglob("*/")):
            files = [file for file in folder.iterdir() if file.is_file() and file.suffix != ".pyc"]
            assert len(files) <= 12, folder


def test_every_place_that_the_pages_name_is_there() -> None:
    defined: dict[str, set[str]] = {}
    for file, tree in sources():
        here = defined[file.as_posix()] = set()
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                here |= {f"{node.name}.{method.name}" for method in node.body if hasattr(method, "name")}
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                here.add(node.name)
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                here.add(node.target.id)
            if isinstance(node, ast.Assign):
                here |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    pages = "\n".join(page.read_text() for page in PAGES)
    places = re.findall(r"`([a-z]+/[a-z_/]+\.py):([\w.]+)`", pages)
    assert places
    for file_name, name in places:
        assert name in defined.get(file_name, ()), f"{file_name}:{name}"
    for file_name in re.findall(r"`([a-z]+/[a-z_/]+\.py)`", pages):
        assert (ROOT / file_name).is_file(), file_name


def test_the_architecture_names_all_that_stands_in_rabbitmq() -> None:
    kanaal = a_kanaal("zaken", "a")
    abonnement = of_abonnement(an_abonnement(("zaken", {"a": "1"})), {"zaken": kanaal})
    everyones = fixed(())
    things: list[Exchange | Queue] = [
        *everyones.exchanges,
        *everyones.queues,
        REQUESTS_QUEUE,
        of_kanaal(kanaal),
        abonnement.queue,
        abonnement.marker,
        *(way.exchange for way in abonnement.filtered),
        Exchange(names.READY, "direct", auto_delete=True),
    ]
    patterns = {
        r"nrc\.wait\.\d+": "nrc.wait.<seconds>",
        r"nrc\.kanaal\..+": "nrc.kanaal.<naam>",
        r"nrc\.filter\..+": "nrc.filter.<fingerprint>",
        r"nrc\.abonnement\..+": "nrc.abonnement.<uuid>",
        r"nrc\.marker\..+": "nrc.marker.<uuid>.<fingerprint>",
    }
    rows = ARCHITECTURE.partition("## What is declared in RabbitMQ")[2].partition("\n## ")[0]
    for thing in things:
        name = next((to for fro, to in patterns.items() if re.fullmatch(fro, thing.name)), thing.name)
        assert f"| `{name}` |" in rows, thing.name
        for argument, value in thing.arguments:
            said = "<seconds × 1000>" if argument == "x-message-ttl" else str(value).lower()
            assert f"{argument}: {said}" in rows, (thing.name, argument)
    assert f"1, 2, 4 … {RUNGS[-1]}" in rows


def test_the_page_of_messages_names_every_connection() -> None:
    """By the name that it has in RabbitMQ's management pages, in a table of its own."""
    made = set()
    for _, tree in sources():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            end = {"Link": "", "connect_to_first": "", "Publisher": " publishing"}.get(node.func.id)
            name = next((each.value for each in node.keywords if each.arg == "name"), None)
            if end is not None and isinstance(name, ast.Constant):
                made.add(f"{name.value}{end}")
    table = MESSAGES.partition("\n## Connections\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\|[^|]*\| `([^`]+)` \|", table, re.MULTILINE)) == made


def test_the_worked_example_is_what_the_code_makes() -> None:
    table = MESSAGES.partition("An example, computed with the code.")[2].partition("```")[0]
    rows = re.findall(r"^\| \d `(\w+)` \| `(.+?)` \| `(.+?)` \|$", table, re.MULTILINE)
    kanaal = a_kanaal("zaken", *(name for name, _, _ in rows))
    values = {normalise(name): value for name, value, _ in rows}
    assert [names.word(value) for _, value, _ in rows] == [word for _, _, word in rows]
    key = routing_key("status", "create", kanaal.slots, values)
    assert f"\nkey       {key}\n" in MESSAGES
    first, _, third = rows
    wanted = an_abonnement(("zaken", {first[0]: first[1], third[0]: third[1]}))
    topology = of_abonnement(wanted, {"zaken": kanaal})
    (way,) = topology.filtered
    assert f"| `{way.feed.source}` | `{way.feed.key}` | `{way.exchange.name}` |" in MESSAGES
    for argument, value in way.match.arguments:
        assert f"`{argument}: {value}`" in MESSAGES
    for binding in topology.direct:
        assert f"| `{binding.source}` | `{binding.key}` | its queue |" in MESSAGES


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tests_that_a_page_names_are_there(page: Path) -> None:
    there = {file.name for file in (ROOT / "tests").rglob("test_*.py")}
    assert {*re.findall(r"\btest_\w+\.py", page.read_text())} <= there


def test_decisions_have_their_four_parts() -> None:
    decisions = sorted((DOCS / "decisions").glob("*.md"))
    assert len({file.name[:4] for file in decisions}) == len(decisions), "each has a number of its own"
    for file in decisions:
        text = file.read_text()
        assert text.startswith(f"# {int(file.name[:4])}. ")
        for part in (
            r"\*\*Context\.\*\*",
            r"\*\*Decision\.\*\*",
            r"\*\*(Measured|Seen)\b",
            r"\*\*Consequences\.\*\*",
        ):
            assert re.search(part, text), (file.name, part)
        if "**Void" in text or "\nVoid" in text:
            said = re.match(r"# .+\n\n\*\*Void(?: in part)?\*\* since decision (\d+): ", text)
            assert said, f"{file.name} does not say first since which decision it is void"
            assert list((DOCS / "decisions").glob(f"{int(said[1]):04}-*.md")), said[1]


def test_publiccode_is_what_the_standard_asks() -> None:
    content = yaml.safe_load((ROOT / "publiccode.yaml").read_text())
    assert content["publiccodeYmlVersion"] == "0.4"
    for key in ("name", "url", "platforms", "categories", "developmentStatus", "softwareType", "description"):
        assert content[key], key
    for text in content["description"].values():
        assert len(text["shortDescription"]) <= 150
        assert 150 <= len(text["longDescription"]) <= 10000
        assert text["features"]
    assert content["legal"]["license"] == "EUPL-1.2"
    assert content["maintenance"]["contacts"][0]["name"]
    assert content["localisation"]["availableLanguages"]


def test_every_product_that_is_compared_has_a_version_and_every_statement_a_dated_source() -> None:
    page = (DOCS / "comparison.md").read_text()
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    rows = re.findall(r"^\| \[(\w)\] \| .+ \| (.+?) \|$", sections.pop("Sources"), re.MULTILINE)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d|[A-Z][a-z]+ \d{4}", date) for _, date in rows)
    used = set()
    for product, text in sections.items():
        statements = re.split(r"^- ", text, flags=re.MULTILINE)[1:]
        assert statements, product
        for statement in statements:
            sources = re.search(r"(?:\[\w\]\s*)+$", statement)
            assert sources, (product, statement)
            used |= {*re.findall(r"\w", sources[0])}
    assert used == {source for source, _ in rows}
    compared = (ROOT / "README.md").read_text().partition("## What differs")[2].partition("\n## ")[0]
    header, _, *table = [line for line in compared.splitlines() if line.startswith("|")]
    _, ours, *others = [cell.strip() for cell in header.strip("|").split("|")]
    assert re.fullmatch(r"NRC \d+\.\d+\.\d+", ours)
    assert others == list(sections)
    assert all(re.search(r"\d+\.\d+|\d{4}-\d\d-\d\d", product) for product in others)
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table]
    assert all(len(row) == len(others) + 2 for row in cells)
    notificaties = " ".join(row[2] for row in cells)
    assert "RabbitMQ" not in notificaties, "Open Notificaties has none since 1.16"


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "EUROPEAN UNION PUBLIC LICENCE v. 1.2" in text
    assert re.findall(r"^(\d+)\. ", text, re.MULTILINE) == [str(number) for number in range(1, 16)]
    assert "\nAppendix\n" in text
