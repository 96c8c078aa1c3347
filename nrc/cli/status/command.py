"""`nrc status`: everything that whoever is woken at night looks at first, on one screen."""

from __future__ import annotations

import sys

import click

from nrc.cli.connecting import carry_out, there_is_a_registry
from nrc.cli.status.attention import concerns, worst_of
from nrc.cli.status.collecting import collect
from nrc.cli.status.screen import facts, show
from nrc.cli.terminal.output import as_json, json_option
from runtime.settings import load_settings


@click.command()
@json_option
def status(json_: bool) -> None:
    """Show on one screen what runs, what happened, what waits, and what needs attention.

    NOW: notificaties are not accepted, delivered or kept, or you must decide. BY DAY: the rest. Below each
    sentence stands the command that comes next. FAILED: attempts that have another.

    Exit code 0: nothing is to be done now. 1: something is. 3: a part cannot be reached.
    """
    settings = load_settings()
    there_is_a_registry(settings)
    now = carry_out(collect(settings))
    found = concerns(now)
    if json_:
        as_json(facts(now, found))
    else:
        show(now, found)
    sys.exit(worst_of(now, found))
