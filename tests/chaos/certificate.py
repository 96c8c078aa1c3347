"""The loss certificate: the results of the scenarios, for people (Markdown) and machines (JSON)."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ledger.values import Cause
from tests.chaos.accounting.account import Account, total
from tests.chaos.power.report import section
from tests.chaos.scenario import Result, Scenario

_PACKAGES = ("nrc", "aio-pika", "aiormq", "aiohttp", "uvloop")

DEFINITIONS = """\
## What the columns say

A **notificatie** is counted as accepted when a publisher has read a 201 for it. Each scenario has, unless it
says otherwise, five abonnementen on two kanalen: one without filters, two with, one that matches nothing and
must get nothing, and one without a callback. The consumer of the last fetches with a long poll and
acknowledges; it is killed with -9 every two to six seconds and started again. All columns but the first count
pairs of an accepted notificatie and an abonnement that must get it, so *to deliver* = delivered + waiting +
undeliverable + apart + lost. A row that begins with … is the part that one abonnement has in the row of the
scenario above it.

* **Delivered**: the callback answered it with a 2xx, and whoever sent it was still there to hear that. A
  request that was read, but not answered so, does not count. Of what is fetched, or read in RabbitMQ (AMQP
  direct): its consumer told us that it has it, which it does before it acknowledges.
* **Waiting**: at the end of the scenario it was in the queue of its abonnement, in that of its consumer, or
  in a wait queue; or it was open in the ledger, for an abonnement that was deleted, of which the keeper ends
  it a minute later, or for one that is fetched.
  **Undeliverable**: so by the ledger, or in `nrc.undeliverable`. Both by the id of the notificatie.
* **Apart**: it was undeliverable, or ready to be fetched, in a ledger that was deleted or replaced by an
  older copy, and nothing else had it. Only what was posted before that moment counts so, and no more than
  were so in that ledger. What a queue held that was deleted, purged or wiped has no such excuse.
  Or it lay in the queue of its consumer, unread, in a RabbitMQ that was wiped: only what the ledger had as
  delivered by then, and its consumer had not got. Or its abonnement has `consolidate`, and by the ledger it
  ended in a newer one, which is about the same resource and was delivered.
* **Lost**: none of these.
* **Duplicated**: deliveries beyond the first of the same notificatie, under the same `webhook-id`, to the
  same abonnement. The **bound** is what was in flight at the faults: for each deliverer that was killed, or
  that ran when RabbitMQ went, or that lost its publishing connection, its prefetch times the number of queues
  that it consumed; each request that a deliverer gave up at `NRC_CALLBACK_TIMEOUT`; and what was on its way
  to a queue, or delivered with its outcome not yet in the ledger, when that was given back. Of what is
  fetched: what a consumer had not acknowledged when it was killed, or when its acknowledgement got no answer.
  Of what is read in RabbitMQ: the prefetch of a consumer that was killed, or lost its connection.
  What was acknowledged may not be handed out again: that is a problem, and no duplicate. *Duplicates by
  cause* has both for each scenario.
* **Publisher's own retries**: the publisher got no answer to a POST that had got through after all, and
  posted the same notificatie again, as it should; the consumer got both, under two ids.
* **Longest delay**: from the POST that was accepted to the first delivery, the longest of all.
* **Time to recover**: from the end of a fault (the killed process is being started again, the alarm is
  lifted) until each abonnement has got something that was accepted after it; the longest of all faults.
"""


COVERED = """\
**What it excludes.** Where it holds, a notificatie that was answered with 201 is not lost when any
process of NRC is killed, stopped or hangs; when RabbitMQ is killed, restarted, wiped, away or hangs, or one
or two of three nodes are away; when one host of several is killed, restarted, without power or cut off from
the others; when connections to RabbitMQ break or carry nothing; when the ledger is locked, full,
deleted or an older copy; when a file cannot be written or a clock jumps; when abonnementen change meanwhile;
when callbacks are away, wrong or slow; when something of ours in RabbitMQ is deleted with what it holds,
purged, replaced, refused, without a leader or under a policy of somebody else. With delivery options, bulk
and CloudEvents when RabbitMQ is wiped. With AMQP direct when a deliverer or RabbitMQ is killed, when a
consumer's queue is full, and when RabbitMQ is wiped. Each as it is told under *What was done*, and no more
than that.

**What it does not cover.** {power} A disk that is lost, or says that it has written what
it has not. A network that splits several hosts from several others. Two faults at the same moment, but for
those that a scenario names: so RabbitMQ and the ledger lost together.
What is undeliverable is in the ledger alone, and goes with a ledger that is lost: counted as *apart*. So is
what is ready to be fetched, and, until it is brought on, what was accepted while RabbitMQ was away. What lies
unread in the queue of a consumer that reads RabbitMQ (AMQP direct) was delivered there, and goes with it.
"""

CAUSES = """\
Why it was last put into its queue again, by the ledger, which notes that each time; RabbitMQ or a deliverer
may have had it in flight at a later fault. *In flight*: it never was, so it was that. The bound is told by
fault.
"""

_WHY: Mapping[str, str] = {
    Cause.QUEUE: "given back: its queue was missing",
    Cause.EXCHANGE: "given back: an exchange was missing",
    Cause.RABBITMQ: "given back: RabbitMQ was wiped",
    Cause.OVERTAKEN: "given back: overtaken in its queue",
    Cause.EMPTY: "given back: its queue was empty",
    Cause.DROPPED: "given back: RabbitMQ dropped it",
    Cause.UNROUTED: "given back: accepted without RabbitMQ",
    Cause.OPERATOR: "sent again by an operator",
}

NO_CUTS = """\
A power cut or a crash of the host: a process that is killed leaves to the operating system what it wrote,
and a host does not."""
CUTS = "A power cut or a crash of the host, on another disk than *Power cuts* assumes."


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Where and how the certificate was made. again: scenarios that were run again later, by when and how."""

    date: str
    command: str
    rabbitmq: str
    seconds: float
    again: Mapping[str, str] = field(default_factory=dict)

    def facts(self) -> dict[str, str]:
        """A line each."""
        packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
        return {
            "Made": self.date,
            "Command": f"`{self.command}`",
            "Machine": f"{os.cpu_count()} cores, {_memory()}, {platform.system()} {platform.release()}",
            "Versions": f"RabbitMQ {self.rabbitmq}, Python {platform.python_version()}, {packages}",
            "System": "two gateways on one socket, one router, two deliverers, one keeper, one RabbitMQ node",
            "Took": f"{self.seconds / 60:.1f} minutes",
            **{f"Again: {name}": when for name, when in self.again.items()},
        }

    def after(self, earlier: Mapping[str, Any], names: Sequence[str]) -> Circumstances:
        """Those of an earlier certificate, in its JSON form, after these scenarios were run again so."""
        was = earlier["circumstances"]
        kept = {each.name: was[each.name] for each in fields(self) if each.name != "again"}
        problems = {each["name"]: each["problems"] for each in earlier["scenarios"]}
        again = dict(was.get("again", {}))
        for name in names:
            before = "".join(f"; it did not hold before: {each}" for each in problems.get(name, [])[:1])
            again[name] = f"{self.date}, `{self.command}`{before}"
        return Circumstances(**kept, again=again)


def _memory() -> str:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{pages / 2**30:.0f} GiB"


def markdown(
    results: Sequence[Result], circumstances: Circumstances, *, power: Mapping[str, Any] | None = None
) -> str:
    """The page. power: what `python -m tests.chaos.power --json` wrote."""
    whole = total(result.account for result in results)
    left_out = sum(bool(result.not_run) for result in results)
    verdict = (
        f"**Lost: {len(whole.lost)}** of {whole.accepted:,} accepted notificaties, {whole.to_deliver:,} "
        f"deliveries, over {len(results) - left_out} scenarios."
    )
    if left_out:
        verdict += f" Not run: {left_out}."
    if power and not power["holds"]:
        verdict += " **Power cuts: the certificate does not hold.**"
    if not all(result.ok for result in results):
        failed = ", ".join(result.scenario.name for result in results if not result.ok)
        verdict += f" **The certificate does not hold: {failed}.**"
    parts = [
        "# Loss certificate",
        "Real processes, a real RabbitMQ, a publisher and a consumer that count; every fault under load. "
        "Made by `make chaos`; not written by hand.",
        verdict,
        COVERED.strip().replace("{power}", CUTS if power else NO_CUTS),
        "\n".join(["| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in circumstances.facts().items())]),
        "## Scenarios",
        _table(results, whole),
        "## What was done",
        "\n".join(["| Scenario | |", "|---|---|", *(_told(result) for result in results)]),
        "## Duplicates by cause",
        CAUSES.strip(),
        _causes(results, whole),
        *([section(power)] if power else []),
        DEFINITIONS.strip(),
    ]
    problems = [
        f"* {result.scenario.name}: {problem}" for result in results for problem in result.account.problems
    ]
    if problems:
        parts.append("\n".join(["## What does not hold", "", *problems]))
    return "\n\n".join(parts) + "\n"


def _table(results: Sequence[Result], whole: Account) -> str:
    head = (
        "Scenario | Accepted (201) | To deliver | Delivered | Waiting | Undeliverable | Apart | Lost | "
        "Duplicated (bound) | Publisher's own retries | Longest delay, s | Time to recover, s"
    )
    lines = [f"| {head} |", "|---" + "|--:" * head.count("|") + "|"]
    for result in results:
        if result.not_run:
            lines.append(f"| {result.scenario.name} | not run: {result.not_run} |" + " |" * 10)
            continue
        lines.append(_row(result.scenario.name, result.account))
        lines += [_row(_part(name), part, part=True) for name, part in result.parts.items()]
    lines.append(_row("**Together**", whole))
    return "\n".join(lines)


def _causes(results: Sequence[Result], whole: Account) -> str:
    """A row for each scenario in which anything could come twice."""
    lines = ["| Scenario | Duplicated | Bound |", "|---|---|---|"]
    for result in results:
        made = result.account
        if made.duplicates_bound or made.duplicated:
            lines.append(f"| {result.scenario.name} | {_each(made.duplicated_by)} | {_each(made.bounds)} |")
    lines.append(f"| **Together** | {_each(whole.duplicated_by)} | {whole.duplicates_bound:,} |")
    return "\n".join(lines)


def _each(counts: Mapping[str, int]) -> str:
    shown = (f"{count:,} {_WHY.get(why, why)}" for why, count in counts.items() if count)
    return "; ".join(shown) or "0"


def _part(abonnement: str) -> str:
    return f"… {abonnement.replace('-', ' ')}"


def _row(name: str, account: Account, *, part: bool = False) -> str:
    recovered = "" if account.time_to_recover is None else f"{account.time_to_recover:.1f}"
    cells = [
        name,
        "" if part else f"{account.accepted:,}",
        f"{account.to_deliver:,}",
        f"{account.delivered:,}",
        f"{account.waiting:,}",
        f"{account.undeliverable:,}",
        f"{sum(account.apart.values()):,}",
        f"**{len(account.lost)}**",
        f"{account.duplicated:,}" + ("" if part else f" ({account.duplicates_bound:,})"),
        f"{account.own_retries:,}",
        f"{account.longest_delay:.1f}",
        recovered,
    ]
    return f"| {' | '.join(cells)} |"


def _told(result: Result) -> str:
    apart = "".join(f" Apart: {count:,} {why}." for why, count in result.account.apart.items())
    lines = [f"| {result.scenario.name} | {result.scenario.text}{apart} |"]
    lines += [f"| {_part(name)} | {text} |" for name, text in result.scenario.parts.items()]
    return "\n".join(lines)


def as_json(results: Sequence[Result], circumstances: Circumstances) -> dict[str, Any]:
    """The same, with what publishers saw and whatever does not hold."""
    whole = total(result.account for result in results)
    return {
        "holds": all(result.ok for result in results),
        "circumstances": asdict(circumstances) | {"facts": circumstances.facts()},
        "together": _plain(whole),
        "scenarios": [
            {
                "name": result.scenario.name,
                "text": result.scenario.text,
                "seconds": round(result.seconds, 1),
                "posts": result.outcomes,
                "not_run": result.not_run,
                "parts": {name: _plain(part) for name, part in result.parts.items()},
                **_plain(result.account),
            }
            for result in results
        ],
    }


def onto(earlier: Mapping[str, Any], results: Sequence[Result], known: Sequence[Scenario]) -> list[Result]:
    """The results of an earlier certificate, in its JSON form, with these in the place of its own.

    known: all scenarios there are; what the certificate has of others is left out.
    """
    made = {result.scenario.name: result for result in results}
    told = {each["name"]: each for each in earlier["scenarios"]}
    return [
        made.get(scenario.name) or _result(scenario, told[scenario.name])
        for scenario in known
        if scenario.name in made or scenario.name in told
    ]


def _result(scenario: Scenario, told: Mapping[str, Any]) -> Result:
    parts = {name: _account(part) for name, part in told["parts"].items()}
    return Result(scenario, _account(told), told["posts"], told["seconds"], told["not_run"], parts)


def _account(told: Mapping[str, Any]) -> Account:
    """What `_plain` made."""
    taken = {each.name: told[each.name] for each in fields(Account)}
    return Account(**taken | {"lost": told["lost_which"]})


def _plain(account: Account) -> dict[str, Any]:
    found = asdict(account)
    found["lost"] = len(account.lost)
    found["lost_which"] = account.lost[:100]
    for name in ("longest_delay", "time_to_recover"):
        if found[name] is not None:
            found[name] = round(found[name], 2)
    return found


def write(file: Path, text: str) -> None:
    """The file is written whole."""
    draft = file.with_name(file.name + ".new")
    draft.write_text(text)
    draft.replace(file)
