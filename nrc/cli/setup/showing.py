"""Shows a plan of a setup file, and what became of it, for people and for scripts. No secret is in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from nrc.cli.terminal.output import Column, note, printable, table
from nrc.setup.doing import Done
from nrc.setup.faults import Fault, dotted
from nrc.setup.kinds import applications
from nrc.setup.kinds.step import NONE, Action, Difference, Step
from nrc.setup.planning import Plan

_MARKS: Mapping[Action, str] = {Action.ADD: "+", Action.CHANGE: "~", Action.REMOVE: "-"}
_DID: Mapping[Action, str] = {Action.ADD: "added", Action.CHANGE: "changed", Action.REMOVE: "removed"}
_COLUMNS = (Column(""), Column("KIND"), Column("NAME", least=20), Column("WHAT", least=30, folds=True))


def show_plan(plan: Plan) -> None:
    """What is to be done, a row for each thing; and how much stays as it is."""
    table(
        _COLUMNS,
        ([_MARKS[step.action], step.kind, step.name, _what(step)] for step in plan.to_do),
        empty="nothing to do",
    )
    note(counted(plan))


def counted(plan: Plan) -> str:
    """How much is to be done, in a line."""
    parts = [f"{plan.count(action)} to {action}" for action in _MARKS]
    return f"{', '.join(parts)}, {plan.count(Action.SAME)} unchanged"


def show_not_taken(file: str, not_taken: Sequence[Fault]) -> None:
    """What is not taken of a file of Open Notificaties."""
    for fault in not_taken:
        note(f"not taken: {printable(fault.told(file))}")


def show_done(done: Done) -> None:
    """What became of one step."""
    step = done.step
    name = f"{step.kind} {printable(step.name)}"
    if done.fault:
        note(f"{name} not {_DID[step.action]}: {printable(done.fault)}")
    else:
        click.echo(f"{name} {_DID[step.action]}")
        if step.kind == applications.KIND and Difference("scopes", NONE) in step.differences:
            grant = f"nrc application grant {printable(step.name)} publiceren|consumeren"
            note(f"{printable(step.name)} may do nothing yet: `{grant}`")


def facts(
    plan: Plan, done: Sequence[Done], not_taken: Sequence[Fault], *, file: str, dry_run: bool
) -> dict[str, Any]:
    """The same for scripts."""
    became = {id(each.step): each for each in done}
    return {
        "file": file,
        "dryRun": dry_run,
        "changes": [_facts(step, became.get(id(step))) for step in plan.to_do],
        "unchanged": plan.count(Action.SAME),
        "failed": sum(bool(each.fault) for each in done),
        "notTaken": [
            {"line": each.line or None, "path": dotted(each.path), "reason": each.reason}
            for each in not_taken
        ],
    }


def _facts(step: Step, done: Done | None) -> dict[str, Any]:
    return {
        "kind": step.kind,
        "name": step.name,
        "action": step.action.value,
        "differences": [
            {"field": each.name, "secret": True}
            if each.secret
            else {"field": each.name, "before": each.before or None, "after": each.after or None}
            for each in step.differences
        ],
        "waiting": step.waiting,
        "result": None if done is None else "failed" if done.fault else "done",
        "fault": done.fault or None if done is not None else None,
    }


def _what(step: Step) -> str:
    parts = [_told(each, step.action) for each in step.differences]
    if step.waiting is None:
        parts += ["an unknown number of notificaties wait for it"]
    elif step.waiting:
        parts += [f"{step.waiting} notificatie(s) wait for it"]
    return "; ".join(parts)


def _told(difference: Difference, action: Action) -> str:
    if difference.secret:
        return f"{difference.name}: {'set' if action is Action.ADD else 'changed'}"
    if action is Action.CHANGE:
        return f"{difference.name}: {difference.before or NONE} → {difference.after or NONE}"
    return f"{difference.name}: {difference.after or difference.before}"
