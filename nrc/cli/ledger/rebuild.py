"""`nrc ledger rebuild`: replaces a damaged ledger by a new one with what can be read of it."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from ledger.copies.salvaging import Salvaged, salvage, what_is_wrong
from ledger.ledger import Ledger
from ledger.opening import ledger_file, ledger_of
from ledger.values import Event, Incomplete
from nrc.cli.connecting import carry_out, opened_registry, refuse_postgresql
from nrc.cli.operating import audit
from nrc.cli.terminal.confirmation import ask
from nrc.cli.terminal.output import as_json, json_option, moment, note
from nrc.exits import Exit
from nrc.state_lock import only_up, shared_lock, wait_for_leftovers
from runtime.settings import Settings, load_settings
from schemas.errors import LedgerError, UsageError
from store.secrets import KEYS_FILE, Vault

AT_ONCE = 500  # events in one transaction, at least


@click.command("rebuild")
@click.option(
    "--from",
    "source",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Take over what is in this ledger, which was put aside before.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def ledger_rebuild(source: Path | None, yes: bool, json_: bool) -> None:
    """Make a new ledger in the place of a damaged one, while nothing runs, and save what can be saved.

    The damaged one is kept, under another name. Taken over is what RabbitMQ does not have, what is open (it
    may have been delivered since: `nrc ledger audit`), and what is undeliverable. Refused when the ledger is
    well. Exit code 1 when some of it could not be read.
    """
    settings = load_settings()
    refuse_postgresql(settings, otherwise="restore a backup of the database")
    file = ledger_file(settings).absolute()
    wrong = _refuse(file, source) if source else _what_is_wrong(settings, file)
    if wrong and not yes:
        note(f"the ledger {file}: {wrong}")
        ask("put it aside, and make a new one?", otherwise="--yes puts it aside, and makes a new one")
    done = carry_out(_rebuild(settings, file, source=source, put_aside=bool(wrong)))
    if json_:
        as_json(done.facts())
    else:
        _tell(done)
    if done.salvaged.unread or not done.salvaged.whole:
        sys.exit(Exit.FAILED)


@dataclass(frozen=True, slots=True)
class _Done:
    """The result. made: when the new ledger was made (milliseconds). source: the file that was read."""

    file: Path
    made: int
    source: Path | None
    salvaged: Salvaged

    def facts(self) -> dict[str, object]:
        """The same for scripts."""
        source = None if self.source is None else str(self.source)
        since = moment(self.made / 1000)
        return {"file": str(self.file), "since": since, "from": source, **asdict(self.salvaged)}


def _refuse(file: Path, source: Path) -> str:
    """Raise UsageError when `source` is not another ledger than the one in use."""
    if file.exists() and source.samefile(file):
        raise UsageError(f"{source} is the ledger in use: give the file that was put aside")
    return ""


def _what_is_wrong(settings: Settings, file: Path) -> str:
    """Why it must be rebuilt; "" when there is no ledger. Raises UsageError when it is not damaged."""
    if not file.exists():
        return ""
    wrong = what_is_wrong(file, Vault(settings.secret_keys, settings.state_dir / KEYS_FILE))
    if not wrong:
        raise UsageError(
            f"the ledger {file} is well: nothing was changed. --from FILE takes over what is in one that was "
            "put aside"
        )
    return wrong


async def _rebuild(settings: Settings, file: Path, *, source: Path | None, put_aside: bool) -> _Done:
    salvaged = Salvaged()
    with only_up(settings.state_dir), shared_lock(settings.state_dir) as lock:
        await wait_for_leftovers(lock, within=0, note=note)
        async with opened_registry(settings) as opened:
            if put_aside:
                source = _put_aside(file)
            async with ledger_of(settings) as ledger:
                instance = await ledger.instance()
                await ledger.write([Incomplete(None, instance.made)])
                if source is not None:
                    await _take_over(ledger, source, salvaged)
                await opened.registry.note_ledger(instance.noted())
            await audit.record(
                settings, "ledger rebuilt", registry=opened.registry, source=source, **asdict(salvaged)
            )
    return _Done(file, instance.made, source, salvaged)


def _put_aside(file: Path) -> Path:
    """Rename the file and SQLite's files beside it; returns the new path. Raises LedgerError."""
    to = file.with_name(f"{file.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")
    try:
        # The file first: SQLite drops a write-ahead log that it finds beside an empty file.
        for end in ("", "-wal", "-shm"):
            if (part := file.with_name(file.name + end)).exists():
                part.rename(to.with_name(to.name + end))
    except OSError as error:
        raise LedgerError(f"{error.filename}: {error.strerror}") from None
    return to


async def _take_over(ledger: Ledger, source: Path, salvaged: Salvaged) -> None:
    events: list[Event] = []
    for of_one in salvage(source, salvaged):
        events += of_one
        if len(events) >= AT_ONCE:
            await ledger.write(events)
            events = []
    await ledger.write(events)


def _tell(done: _Done) -> None:
    salvaged = done.salvaged
    click.echo(f"the ledger {done.file} knows all that is accepted since {moment(done.made / 1000)}")
    if done.source is not None:
        click.echo(
            f"taken over from {done.source}: {salvaged.unrouted} notificaties that RabbitMQ does not have, "
            f"{salvaged.unsure} deliveries that may have been made since, and {salvaged.undeliverable} that "
            "are undeliverable"
        )
    note("what waits in RabbitMQ is delivered all the same; what was settled before is not known any more")
    if salvaged.unsure:
        note("`nrc ledger audit` shows what may have been delivered, and decides on it")
    if salvaged.unread:
        note(f"{salvaged.unread} notificaties could not be read")
    if not salvaged.whole:
        note("some of the file could not be read at all, so there may have been more")
