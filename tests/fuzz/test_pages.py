"""Some seconds of fuzzing pages and forms, with the same examples each time; NRC_TEST_FUZZ_PAGES for more."""

from __future__ import annotations

import asyncio
import json
import os
import time
import warnings
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis.errors import HypothesisWarning
from hypothesis.strategies import SearchStrategy

from console.access import LEAST
from ledger.ids import new_id
from ledger.ledger import Ledger
from ledger.opening import ledger_of
from ledger.values import Entry
from nrc.rabbitmq.private_node import free_port
from schemas.abonnement import State
from schemas.application import Application, Scope
from schemas.user import Role, User
from store.registry import Act, Registry
from tests.chaos.process import Process
from tests.contract.inbox.conftest import served
from tests.fuzz.pages import EVIL, Forms, Site, inbox_requests, runnable, try_inbox
from tests.fuzz.system import misplaced
from tests.integration.conftest import running_router
from tests.integration.console.conftest import HASH, PASSWORD, add_things
from tests.make import an_abonnement

EXAMPLES = int(os.environ.get("NRC_TEST_FUZZ_PAGES", "500"))
SETTINGS = hypothesis.settings(
    derandomize="NRC_TEST_FUZZ_PAGES" not in os.environ,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def tried(
    check: Callable[[Any], None], strategy: SearchStrategy[Any], *, examples: int
) -> Callable[[], None]:
    """What tries so many examples."""

    def each(drawn: Any) -> None:
        check(drawn)

    test = hypothesis.settings(SETTINGS, max_examples=max(examples, 5))(given(strategy)(each))

    def try_all() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HypothesisWarning)  # of an example that is long to print
            test()

    return try_all


@pytest.fixture
async def console(vhost: str, tmp_path: Path) -> AsyncIterator[tuple[Process, Site, list[str]]]:
    """A console process beside a router, with things to show of which some are named as nobody would."""
    async with running_router(vhost, tmp_path) as router, ledger_of(router.settings) as ledger:
        await router.registry.users.add(User("fuzz", HASH, Role.ADMIN, made=time.time()))
        await add_things(router.registry, ledger)
        await add_evil(router.registry, ledger)
        every = [str(each.uuid) for each in (await router.registry.changes_since(0)).abonnementen]
        port = free_port()
        settings = {
            "NRC_AMQP_URL": vhost,
            "NRC_STATE_DIR": str(tmp_path),
            "NRC_CONSOLE_LISTEN": f"127.0.0.1:{port}",
            "NRC_LOG_FORMAT": "json",
        }
        process = Process("console", "console", env=settings, fds=[], log=tmp_path / "console.log")
        await process.start()
        try:
            await process.ready()
            yield process, Site("127.0.0.1", port), [*every[:5], "zac", f"app0{EVIL[0]}", "zaken"]
        finally:
            process.signal(15)
            await process.ended()


async def add_evil(registry: Registry, ledger: Ledger) -> None:
    """What others wrote, all of it markup: names, reasons, kenmerken, URLs, and what a person is called."""
    now = int(time.time() * 1000)
    for number, text in enumerate(EVIL):
        await registry.add_application(Application(f"app{number}{text}", "secret", text, frozenset({*Scope})))
        added = await registry.add_abonnement(
            replace(an_abonnement(("zaken", {"bronorganisatie": text})), client_id=f"app{number}{text}")
        )
        await registry.set_state(added.uuid, State.SUSPENDED, text)
        by = Act(time.time(), text, "console x", text, "", text, {"why": text, "name": text, text: text})
        shown = Act(
            time.time(), "user logged in", "console x", text, "", "", {"shown": text, "address": text}
        )
        await registry.note_acts([by, shown])
        entry = Entry(
            *(new_id(at=now / 1000 - number), now - number, f"app{number}{text}", "zaken", text, text),
            *(text, text, {"bronorganisatie": text, text: text}, json.dumps({text: text}).encode(), 1),
            matched=(added.uuid,),
        )
        await ledger.write([entry])
    name = f"https://idp.example/#{EVIL[0]}"
    user = User(name, "", Role.LEZER, made=0.0, issuer="https://idp.example/", shown=EVIL[1])
    await registry.users.add(user)


def test_what_could_run_is_found() -> None:
    assert runnable("<script src='../static/live.js?0'></script><a href='../x'>&lt;script&gt;</a>") == []
    for text in (*EVIL[:4], *EVIL[5:7], EVIL[8]):
        assert (
            runnable(f"<p>{text}</p>") or runnable(f'<a title="{text}">') or runnable(f"<a title='{text}'>")
        ), text
    for text in (EVIL[4], EVIL[9]):
        assert runnable(f'<a href="{text}">'), text


async def test_no_page_of_the_console_fails_or_gives_back_markup(
    console: tuple[Process, Site, list[str]],
) -> None:
    process, site, known = console
    forms = Forms(site, known, user="fuzz", password=PASSWORD)
    await asyncio.to_thread(forms.prepare)

    for what in sorted(LEAST):
        await asyncio.to_thread(tried(forms.try_, forms.strategy(what), examples=EXAMPLES // len(LEAST)))
    await asyncio.to_thread(site.log_in, "fuzz", PASSWORD)
    await asyncio.to_thread(forms.look)
    assert process.alive
    assert misplaced(process, process.log.read_text()) == []
    assert site.statuses[200] > EXAMPLES / 4, site.statuses
    assert site.marked > 100, "what was stored is shown, as text"


async def test_no_page_of_the_inbox_fails_or_gives_back_markup() -> None:
    async with served(inboxes=EXAMPLES) as inbox:
        host, _, port = inbox.root.removeprefix("http://").partition(":")
        site = Site(host, int(port))
        check = partial(try_inbox, site, inbox.url.removeprefix(inbox.root))
        await asyncio.to_thread(tried(check, inbox_requests, examples=EXAMPLES // 8))
        assert site.statuses[200] > EXAMPLES / 8, site.statuses
        assert site.marked > EXAMPLES / 40, "what came in is shown, as text"
