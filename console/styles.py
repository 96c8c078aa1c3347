"""The console's style sheets, its scripts and its icon, by name. Read when the process starts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from runtime.settings import Settings, env_name
from schemas.errors import SettingsError

HOUSE_STYLE = "huisstijl.css"
NAMES = ("nl-design-system.css", HOUSE_STYLE, "console.css", "beheer.css", "notificaties.css")
"""In the order in which pages load them."""
ICON = "icoon.svg"
SCRIPTS = ("live.js", "voortgang.js")
_MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Styles:
    """content: of each file. version: another one whenever one of them is another, for caches."""

    content: Mapping[str, bytes]
    version: str


def read_styles(settings: Settings) -> Styles:
    """Ours, with the house style of the settings. Raises SettingsError when that cannot be read."""
    folder = Path(str(files("console"))) / "static"
    content = {name: (folder / name).read_bytes() for name in (*NAMES, *SCRIPTS, ICON)}
    if settings.console_style is not None:
        try:
            content[HOUSE_STYLE] = settings.console_style.read_bytes()
        except OSError as error:
            fault = f"{env_name('console_style')}: {settings.console_style}: {error.strerror or error}"
            raise SettingsError([fault]) from None
    version = hashlib.sha256(b"".join(content.values())).hexdigest()[:12]
    return Styles(content, version)


def media_type(name: str) -> str:
    """Of the file of this name."""
    return _MEDIA_TYPES[name.rpartition(".")[2]]
