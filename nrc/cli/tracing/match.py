"""`nrc match`: which abonnementen a notificatie would reach if it were sent now, and why not the others.

Nothing is sent or stored.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import click

from nrc.cli.connecting import carry_out, opened_registry
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import as_json, json_option, note, printable, wide_option
from nrc.cli.tracing.layout import head, heads, sentences
from nrc.exits import Exit
from runtime.settings import Settings, load_settings
from schemas.abonnement import Abonnement
from schemas.errors import Conflict, Problem, RequestTooLarge, UsageError, ValidationError

if TYPE_CHECKING:
    from ledger.explaining import Fit


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--abonnement", metavar="UUID", type=ids.whom, help=f"Only this one: {ids.WHOM}.")
@wide_option
@json_option
def match(file: BinaryIO, abonnement: str | None, wide: bool, json_: bool) -> None:
    """Say whom the notificatie in FILE (- is standard input) would reach, and why not the others.

    FILE holds one notificatie in JSON, as it would be POSTed; its faults are told as the API tells them.
    Nothing is sent.

    Exit code 0: at least one abonnement would get it; 1: none would; 2: FILE would be refused.
    """
    settings = load_settings()
    body = file.read(settings.max_body + 1)
    try:
        found = carry_out(_look(settings, body, abonnement))
    except Problem as problem:
        name = getattr(file, "name", "-")
        _refuse(problem, name="standard input" if name in ("-", "<stdin>") else name, json_=json_)
        sys.exit(Exit.USAGE)
    if json_:
        as_json([each.facts() for each in found])
    else:
        _show(found, wide=wide)
    if not any(each.fit.matches for each in found):
        sys.exit(Exit.FAILED)


def _show(found: Sequence[_Matched], *, wide: bool) -> None:
    if not found:
        note("no abonnementen")
        return
    for line, each in zip(heads(each.row(wide=wide) for each in found), found, strict=True):
        head(line)
        sentences(each.fit.reason.text, indent=5)
    note(f"{sum(each.fit.matches for each in found)} of {len(found)} would get it")


@dataclass(frozen=True, slots=True)
class _Matched:
    """One abonnement, and whether it would get the notificatie."""

    abonnement: Abonnement
    fit: Fit

    @property
    def order(self) -> tuple[bool, bool, str, str]:
        """Those that get it first, then those on the same kanaal."""
        near = self.fit.code not in ("other_kanaal", "no_kanalen")
        return not self.fit.matches, not near, self.abonnement.client_id, str(self.abonnement.uuid)

    def row(self, *, wide: bool) -> list[object]:
        each = self.abonnement
        gets_it = "yes" if self.fit.matches else "no"
        return [gets_it, each.uuid if wide else ids.short(each.uuid), each.client_id, each.state]

    def facts(self) -> dict[str, object]:
        """The same for scripts."""
        each, reason = self.abonnement, self.fit.reason
        return {
            "abonnement": str(each.uuid),
            "clientId": each.client_id,
            "state": each.state,
            "matches": self.fit.matches,
            "code": reason.code,
            "text": reason.text,
            **reason.facts,
        }


async def _look(settings: Settings, body: bytes, typed: str | None) -> list[_Matched]:
    """Every abonnement, or the one that is typed. Raises Problem, as the API answers, and UsageError."""
    from extra.explaining import checked
    from ledger.explaining import fit_of

    async with opened_registry(settings) as opened:
        catalogue = opened.catalogue
    asked: Sequence[Abonnement] = [*catalogue.everyone.values()]
    if typed is not None:
        try:
            asked = [catalogue.everyone[ids.of_someone(typed, catalogue.everyone)]]
        except Conflict as error:
            raise UsageError(str(error)) from None  # a Conflict's exit code means here that none matches
    if len(body) > settings.max_body:
        raise RequestTooLarge(f"De body is groter dan {settings.max_body} bytes.")
    naam, kenmerken = checked(settings, catalogue.kanalen, body)
    filters = catalogue.kanalen[naam].filters
    mappings = catalogue.mappings
    found = [
        _Matched(each, fit_of(each, naam, kenmerken, filters=filters, mappings=mappings)) for each in asked
    ]
    return sorted(found, key=lambda each: each.order)


def _refuse(problem: Problem, *, name: str, json_: bool) -> None:
    """Print what the API would answer."""
    params = problem.invalid_params if isinstance(problem, ValidationError) else ()
    if json_:
        answer: dict[str, object] = {
            "status": problem.status,
            "code": problem.code,
            "title": problem.title,
            "detail": problem.detail,
        }
        if params:
            answer["invalidParams"] = [
                {"name": each.name, "code": each.code, "reason": each.reason} for each in params
            ]
        as_json(answer)
    note(f"nrc: {name} would be refused: {problem.status} {problem.code}: {problem.detail}")
    for each in params:
        note(f"nrc: {printable(each.name)}: {each.code}: {printable(each.reason)}")
