"""`nrc settings`: every setting, its value and its source; also makes docs/settings.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import click

from nrc.cli.terminal.output import Column, as_json, json_option, note, table, wide_option
from runtime.settings import Settings, env_name, load_settings, origins, unknown_variables

_PASSWORD = re.compile(r"//([^:@/?#]*):[^?#]*@")
_IN_QUERY = re.compile(r"([?&]password=)[^&#]*")
_INTRODUCTION = """\
# Settings

Settings are environment variables, or lines `NAME=value` in a file `.env` in the working directory; the
environment goes first. That file is no shell's: a `$` in it is a `$`. Settings are read once, when a process
starts, and checked before it opens a socket: all faults are reported at once. `nrc settings` shows the values
that a process started here would have, and where each came from.

This page is made by `nrc settings --markdown`.

| Setting | Default | Unit | Meaning |
|---|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class _Known:
    """A setting without its value."""

    field: str
    default: str
    unit: str
    help: str
    secret: bool


@click.command()
@wide_option
@json_option
@click.option("--markdown", is_flag=True, help="Print the page docs/settings.md instead: without values.")
def settings(wide: bool, json_: bool, markdown: bool) -> None:
    """Show every setting: its value and where it came from. Passwords are masked."""
    if markdown:
        click.echo(page(), nl=False)
        return
    values = load_settings()
    came_from = origins()
    rows = [
        (
            env_name(known.field),
            shown(getattr(values, known.field), secret=known.secret),
            came_from[known.field],
            known.default,
            known.unit,
            known.help,
        )
        for known in known_settings()
    ]
    names = ("name", "value", "origin", "default", "unit", "help")
    if json_:
        as_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        columns = [
            Column("SETTING"),
            Column("VALUE", least=20),
            Column("FROM"),
            Column("DEFAULT", wide=True),
            Column("UNIT", wide=True),
        ]
        table(columns, (row[:5] for row in rows), empty="", wide=wide)
    for name, meant in unknown_variables().items():
        note(f"{name} is no setting, and ignored{f'; {meant}?' if meant else ''}")


def known_settings() -> list[_Known]:
    """Every setting, in the order of the class."""
    found = []
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra
        assert isinstance(extra, dict)  # noqa: S101 - made by `setting`
        found.append(
            _Known(
                field=name,
                default=shown(field.default),
                unit=str(extra["unit"]),
                help=field.description or "",
                secret=bool(extra["secret"]),
            )
        )
    return found


def page() -> str:
    """docs/settings.md."""
    lines = [
        f"| `{env_name(known.field)}` | {f'`{known.default}`' if known.default else ''} "
        f"| {known.unit} | {known.help.replace('|', '&#124;')} |"
        for known in known_settings()
    ]
    return _INTRODUCTION + "\n".join(lines) + "\n"


def shown(value: Any, *, secret: bool = False) -> str:
    """A setting's value as in the environment. secret: it is masked; of a URL only the password."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case (str(host), int(port)):
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case tuple():
            return ",".join(shown(item, secret=secret) for item in value)
    return _masked(str(value)) if secret else str(value)


def _masked(text: str) -> str:
    if "://" not in text:
        return "***" if text else ""
    # Not as a URL: PostgreSQL's may have several hosts, and a password that was not escaped.
    return _IN_QUERY.sub(r"\1***", _PASSWORD.sub(r"//\1:***@", text))
