"""`nrc ledger rebuild`: replaces a damaged ledger by a new one with what can be read of it."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from ledger.copies.damaged_file import damaged_file, what_is_wrong
from ledger.copies.salvaging import Damaged, Salvaged, salvage
from ledger.ledger import Ledger
from ledger.opening import ledger_file, ledger_of, seal_there
from ledger.values import Event, Incomplete
from nrc.cli.connecting import carry_out, opened_registry
from nrc.cli.operating import audit
from nrc.cli.terminal.confirmation import ask
from nrc.cli.terminal.output import as_json, json_option, moment, note
from nrc.exits import Exit
from nrc.state_lock import only_up, shared_lock, wait_for_leftovers
from runtime.settings import Settings, load_settings
from schemas.errors import LedgerError, UsageError
from store.database.extra import postgresql_needed
from store.secrets import KEYS_FILE, Vault

if TYPE_CHECKING:
    from store.database.address import Address

AT_ONCE = 500  # events in one transaction, at least


@click.command("rebuild")
@click.option(
    "--from",
    "source",
    metavar="FILE",
    help="Take over what is in this ledger, which was put aside before. On PostgreSQL: its schema.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def ledger_rebuild(source: str | None, yes: bool, json_: bool) -> None:
    """Make a new ledger in the place of a damaged one, while nothing runs, and save what can be saved.

    The damaged one is kept, under another name; on PostgreSQL its tables, in another schema. Taken over is
    what RabbitMQ does not have, what is open (it may have been delivered since: `nrc ledger audit`), and what
    is undeliverable. Refused when the ledger is well. Exit code 1 when some of it could not be read.
    """
    settings = load_settings()
    place = _place_of(settings)
    wrong = ""
    if source is None:
        wrong = _what_is_wrong(settings, place)
    else:
        place.refuse(source)
    if wrong and not yes:
        note(f"the ledger {place.shown}: {wrong}")
        ask("put it aside, and make a new one?", otherwise="--yes puts it aside, and makes a new one")
    done = carry_out(_rebuild(settings, place, source=source, put_aside=bool(wrong)))
    if json_:
        as_json(done.facts())
    else:
        _tell(done)
    if done.salvaged.unread or not done.salvaged.whole:
        sys.exit(Exit.FAILED)


class _Place(Protocol):
    """Where the ledger is, and others that were put aside."""

    shown: str

    def what_is_wrong(self) -> str | None:
        """Why it cannot be used any more; "" when it can; None: there is no ledger."""

    def refuse(self, source: str) -> None:
        """Raise UsageError when `source` is not another ledger than the one in use."""

    async def refuse_in_use(self) -> None:
        """Raise UsageError when a process of another host has it open."""

    async def put_aside(self) -> str:
        """Give it another name; returns that. Raises LedgerError."""

    def opened(self, source: str) -> AbstractContextManager[Damaged]:
        """The one of this name, to be read."""


class _File:
    """A SQLite file."""

    def __init__(self, settings: Settings) -> None:
        self._file = ledger_file(settings).absolute()
        self._vault = Vault(settings.secret_keys, settings.state_dir / KEYS_FILE)
        self.shown = str(self._file)

    def what_is_wrong(self) -> str | None:
        return what_is_wrong(self._file, self._vault) if self._file.exists() else None

    def refuse(self, source: str) -> None:
        if not Path(source).is_file():
            raise UsageError(f"there is no file {source}")
        if self._file.exists() and Path(source).samefile(self._file):
            raise UsageError(f"{source} is the ledger in use: give the file that was put aside")

    async def refuse_in_use(self) -> None:
        """Those of this host hold the lock of the state folder, and there are no others."""

    async def put_aside(self) -> str:
        file = self._file
        to = file.with_name(f"{file.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")
        try:
            # The file first: SQLite drops a write-ahead log that it finds beside an empty file.
            for end in ("", "-wal", "-shm"):
                if (part := file.with_name(file.name + end)).exists():
                    part.rename(to.with_name(to.name + end))
        except OSError as error:
            raise LedgerError(f"{error.filename}: {error.strerror}") from None
        return str(to)

    def opened(self, source: str) -> AbstractContextManager[Damaged]:
        return damaged_file(Path(source))


class _Tables:
    """Tables in a schema of PostgreSQL."""

    def __init__(self, settings: Settings, address: Address) -> None:
        from ledger.copies import damaged_tables

        self._tables = damaged_tables
        self._settings = settings
        self._address = address
        self.shown = address.shown

    def what_is_wrong(self) -> str | None:
        wrong = self._tables.what_is_wrong(self._address)
        if wrong == "":
            seal = carry_out(seal_there(self._settings))
            return seal.fault if seal else "its key is gone"
        return wrong

    def refuse(self, source: str) -> None:
        self._tables.refuse_missing(self._address, source)

    async def refuse_in_use(self) -> None:
        await self._tables.refuse_in_use(self._address)

    async def put_aside(self) -> str:
        return await self._tables.put_aside(self._address)

    def opened(self, source: str) -> AbstractContextManager[Damaged]:
        return self._tables.damaged_tables(self._address, source)


def _place_of(settings: Settings) -> _Place:
    if not settings.on_postgresql:
        return _File(settings)
    with postgresql_needed():
        from store.database.address import address_of
    return _Tables(settings, address_of(settings))


def _what_is_wrong(settings: Settings, place: _Place) -> str:
    """Why it must be rebuilt; "" when there is no ledger. Raises UsageError when it is not damaged."""
    wrong = place.what_is_wrong()
    if wrong == "":
        which = "schema" if settings.on_postgresql else "file"
        raise UsageError(
            f"the ledger {place.shown} is well: nothing was changed. --from {which.upper()} takes over what "
            "is in one that was put aside"
        )
    return wrong or ""


@dataclass(frozen=True, slots=True)
class _Done:
    """The result. made: when the new ledger was made (milliseconds). source: the one that was read."""

    place: str
    made: int
    source: str | None
    salvaged: Salvaged

    def facts(self) -> dict[str, object]:
        """The same for scripts."""
        since = moment(self.made / 1000)
        return {"file": self.place, "since": since, "from": self.source, **asdict(self.salvaged)}


async def _rebuild(settings: Settings, place: _Place, *, source: str | None, put_aside: bool) -> _Done:
    salvaged = Salvaged()
    with only_up(settings.state_dir), shared_lock(settings.state_dir) as lock:
        await wait_for_leftovers(lock, within=0, note=note)
        await place.refuse_in_use()
        async with opened_registry(settings) as opened:
            if put_aside:
                source = await place.put_aside()
            async with ledger_of(settings) as ledger:
                instance = await ledger.instance()
                await ledger.write([Incomplete(None, instance.made)])
                if source is not None:
                    await _take_over(ledger, place.opened(source), salvaged)
                await opened.registry.note_ledger(instance.noted())
            await audit.record(
                settings, "ledger rebuilt", registry=opened.registry, source=source, **asdict(salvaged)
            )
    return _Done(place.shown, instance.made, source, salvaged)


async def _take_over(ledger: Ledger, source: AbstractContextManager[Damaged], salvaged: Salvaged) -> None:
    events: list[Event] = []
    for of_one in salvage(source, salvaged):
        events += of_one
        if len(events) >= AT_ONCE:
            await ledger.write(events)
            events = []
    await ledger.write(events)


def _tell(done: _Done) -> None:
    salvaged = done.salvaged
    click.echo(f"the ledger {done.place} knows all that is accepted since {moment(done.made / 1000)}")
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
        note("some of it could not be read at all, so there may have been more")
