"""Templates, and what all of them may use. Every text is escaped; a name that is not there is a fault."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from console.access import may
from console.page import Page
from console.styles import NAMES, Styles
from ledger.explaining import Clock
from ledger.explaining.dutch import held_because, number
from schemas.user import User

USUAL_WORD = 20  # characters, such as of "zaakinformatieobject"


class Templates:
    """Renders pages. pages: in the order of the navigation."""

    def __init__(self, pages: Sequence[Page], styles: Styles) -> None:
        self._environment = Environment(
            loader=PackageLoader("console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._pages = pages
        self._environment.globals |= {
            "style_sheets": NAMES,
            "style_version": styles.version,
            "product_version": version("nrc"),
        }
        self._environment.filters |= {
            "moment": moment,
            "number": number,
            "age": age,
            "shorter": shorter,
            "has_usual_words": has_usual_words,
            "because": held_because,
        }

    def page(self, page: Page, *, user: User, said: Sequence[tuple[str, str]], **facts: object) -> str:
        """A page for somebody who is logged in. said: (kind, text) above it; facts: root, view, token."""
        allowed: Callable[[str], bool] = lambda what: may(user.role, what)  # noqa: E731
        navigation = [each for each in self._pages if not each.under and allowed(each.name)]
        text = self._environment.get_template(f"pages/{page.template}").render(
            page=page,
            current=page.under or page.name,
            user=user,
            navigation=navigation,
            may=allowed,
            said=said,
            now=time.time(),
            **facts,
        )
        return _encodable(text)

    def part(self, template: str, **facts: object) -> str:
        """A part of a page, which a script puts into it."""
        return _encodable(self._environment.get_template(template).render(**facts))

    def bare(self, template: str, **facts: object) -> str:
        """A page without navigation: the login, a fault."""
        bare = {"user": None, "navigation": (), "said": ()}
        return self._environment.get_template(template).render({**bare, **facts})


def _encodable(text: str) -> str:
    """Without half surrogates, which JSON may have and UTF-8 has no form for: as JSON writes them."""
    return text.encode(errors="backslashreplace").decode()


def moment(seconds: float | None, form: str = "%H:%M:%S") -> str:
    """Unix seconds as a time for people, in Dutch time, with the whole of it for machines; "" for None."""
    if seconds is None:
        return ""
    at = round(seconds * 1000)
    told = Clock(round(time.time() * 1000)).bare(at, form)
    exact = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}">{}</time>').format(exact, told)


def age(seconds: float) -> str:
    """How long that is, in Dutch: `45 s`, `12 min`, `3 uur`, `5 dagen`."""
    for unit, size in (("dagen", 86400), ("uur", 3600), ("min", 60)):
        if seconds >= size:
            count = int(seconds // size)
            return "1 dag" if (unit, count) == ("dagen", 1) else f"{count} {unit}"
    return f"{int(max(seconds, 0))} s"


def has_usual_words(content: object) -> bool:
    """Whether no word of this text, or of this Markup, is longer than those of everyday Dutch."""
    text = content.striptags() if isinstance(content, Markup) else str(content)
    return max(map(len, text.split()), default=0) <= USUAL_WORD


def shorter(text: str, most: int) -> str:
    """At most so many characters of it, with a mark where some were left out."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
