"""The results of the power cuts, for machines and as a part of the loss certificate. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tests.chaos.power.cuts import CATCH_UP, Outcome

DISK = """\
**The disk that is assumed.** RabbitMQ's data, the registry and the ledger lie on a file system (FUSE) that
forgets what was not synced. `fsync`, `fdatasync` and writes with O_SYNC or O_DSYNC make content and size of
a file durable, and nothing else does: no flush by time, by a rename or by a truncation. What was synced
stays, whole. For the registry, the ledger and all other files of NRC a name in a folder is durable by
`fsync` of that folder only, as POSIX has it. For RabbitMQ, which syncs no folder, a sync of a file also
commits the journal with every operation on names before it, as ext4 and XFS do. At every other turn of the
kinds some of what was not synced survives by chance: any page of 4 KiB, in any order and also torn between
its sectors of 512 bytes, and the first operations of the journal. Not assumed: a disk that loses or tears
what it said to have synced. `tests/chaos/power/model.py` has it in full.

Cuts come at a random moment under load, right after the 201 of a notificatie, right after the 201 of a new
abonnement, and once more while everything is still starting. The disk stops at that moment, every process
is killed with -9, the disk is mounted again with what was durable, and `nrc up` is started under another
boot id, as after a reboot. Publisher and consumer are elsewhere. One callback takes 0.4 s, one refuses
every other first attempt, one is away every other four seconds, so that notificaties wait in each of their
places."""

_COLUMNS = (
    "Cuts | Accepted (201) | To deliver | Of that open at a cut | Delivered | Lost | Duplicated (bound) | "
    "Publisher's own retries | Ready again, s (longest) | Longest delay, s"
)


def figures(outcome: Outcome, *, command: str) -> dict[str, Any]:
    """All of it as plain values."""
    made = outcome.account
    return {
        "command": command,
        "holds": outcome.ok,
        "cuts": len(outcome.cuts),
        "kinds": dict(Counter(cut.kind for cut in outcome.cuts)),
        "accepted": made.accepted,
        "to_deliver": made.to_deliver,
        "open_at_cuts": sum(cut.open for cut in outcome.cuts),
        "delivered": made.delivered,
        "lost": len(made.lost),
        "lost_which": made.lost[:100],
        "duplicated": made.duplicated,
        "duplicates_bound": made.duplicates_bound,
        "own_retries": made.own_retries,
        "longest_start": round(max((cut.seconds for cut in outcome.cuts), default=0.0), 1),
        "longest_delay": round(made.longest_delay, 1),
        "failed_starts": outcome.failed_starts,
        "problems": made.problems,
        "posts": outcome.posts,
        "seconds": round(outcome.seconds),
        "each": [
            {
                "kind": cut.kind,
                "loss": cut.loss.value,
                "accepted": cut.accepted,
                "open": cut.open,
                f"open_{CATCH_UP:.0f}_s_after_start": cut.late,
                "start_seconds": round(cut.seconds, 1),
            }
            for cut in outcome.cuts
        ],
    }


def table(told: Mapping[str, Any]) -> str:
    """The row of the certificate, of what `figures` gave."""
    cells = [
        *(told["cuts"], told["accepted"], told["to_deliver"], told["open_at_cuts"], told["delivered"]),
        f"**{told['lost']}**",
        f"{told['duplicated']:,} ({told['duplicates_bound']:,})",
        *(told["own_retries"], told["longest_start"], told["longest_delay"]),
    ]
    shown = " | ".join(each if isinstance(each, str) else f"{each:,}" for each in cells)
    return f"| {_COLUMNS} |\n{'|--:' * (_COLUMNS.count('|') + 1)}|\n| {shown} |"


def section(told: Mapping[str, Any]) -> str:
    """The part of the page that is about power cuts."""
    kinds = ", ".join(f"{number} {kind}" for kind, number in told["kinds"].items())
    parts = ["## Power cuts", DISK, f"`{told['command']}`: {kinds}.", table(told)]
    parts += [f"* {problem}" for problem in told["problems"]]
    return "\n\n".join(parts)
