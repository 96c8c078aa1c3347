"""The table of who may do what has every page and every action, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from console import pages
from console.access import LEAST, may
from console.pages import PAGES
from schemas.user import Role

TEMPLATES = Path(pages.__file__).parents[1] / "templates"


def test_the_table_has_every_page_and_every_action() -> None:
    there = {page.name for page in PAGES} | {f"{page.name}/{each}" for page in PAGES for each in page.actions}
    assert LEAST.keys() == there


def test_each_role_may_what_the_one_before_it_may() -> None:
    for what in LEAST:
        allowed = [may(role, what) for role in Role]
        assert allowed == sorted(allowed), what
        assert may(Role.ADMIN, what)
    assert not may(Role.ADMIN, "nothing")


def test_names_and_paths_are_given_once() -> None:
    assert len({page.name for page in PAGES}) == len(PAGES)
    assert len({page.path for page in PAGES}) == len(PAGES)
    assert {page.under for page in PAGES} <= {"", *(page.name for page in PAGES)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_its_template_and_the_template_its_actions(page: pages.Page) -> None:
    text = (TEMPLATES / "pages" / page.template).read_text()
    assert {*re.findall(r'forms\.form\("([\w-]+)"', text)} == {*page.actions}
    assert page.path == "" or (page.path.endswith("/") and not page.path.startswith("/"))


def test_templates_have_no_script_and_no_style_of_their_own() -> None:
    for file in TEMPLATES.rglob("*.html"):
        text = file.read_text()
        text = re.sub(
            r'<script src="\{\{ root \}\}static/[a-z.?]+\{\{ style_version \}\}" defer></script>', "", text
        )
        assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=|\|safe\b", text), file
