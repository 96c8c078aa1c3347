"""The encrypted columns of the SQLite registry, and the SQL that reads or encrypts all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from sqlite_utils import Database

from schemas.errors import SecretsUnreadable
from store.rows import ENCRYPTED
from store.secrets import HEAD_LENGTH, Vault, key_of, place

REPORT_EVERY = 1000


def keys_in_use(db: Database) -> Counter[str]:
    """How many values there are under each key; those that are not encrypted under ""."""
    found: Counter[str] = Counter()
    for table, _, column in _columns(db):
        select = f"SELECT substr({column}, 1, ?), count(*) FROM {table} WHERE {column} != '' GROUP BY 1"  # noqa: S608
        for head, count in db.execute(select, [HEAD_LENGTH]):
            found[key_of(head)] += count
    return found


def unreadable(db: Database, vault: Vault) -> list[str]:
    """What is wrong with each value that cannot be decrypted; nothing of the value itself."""
    faults = []
    for table, _, column, key, value in _values(db):
        try:
            vault.unseal(value, place(table, column, key))
        except SecretsUnreadable as error:
            faults.append(str(error))
    return faults


def seal_plain(db: Database, vault: Vault) -> None:
    """Encrypt every value; none is encrypted yet."""
    for table, primary, column, key, value in list(_values(db)):
        _set(db, table, primary, column, key, vault.seal(value, place(table, column, key)))


def seal_again(db: Database, vault: Vault, *, progress: Callable[[int, int], None]) -> int:
    """Encrypt every value with the first key, a new one if the keys are ours; returns how many there are.

    progress: called with (done, all), now and then. Raises SecretsUnreadable, before anything is written.
    """
    plain = [
        (table, primary, column, key, vault.unseal(value, place(table, column, key)))
        for table, primary, column, key, value in _values(db)
    ]
    # Before the values: an unused key does no harm, while values without their key cannot be read.
    vault.add_key()
    for number, (table, primary, column, key, value) in enumerate(plain, 1):
        _set(db, table, primary, column, key, vault.seal(value, place(table, column, key)))
        if number % REPORT_EVERY == 0:
            progress(number, len(plain))
    return len(plain)


def _columns(db: Database) -> list[tuple[str, str, str]]:
    """Those that are there: in the middle of an upgrade some are not yet."""
    there = {table: set(db.table(table).columns_dict) for table in db.table_names()}
    return [each for each in ENCRYPTED if each[2] in there.get(each[0], ())]


def _values(db: Database) -> Iterator[tuple[str, str, str, str, str]]:
    """(table, its primary key, column, the row's key, the value), for every value that is not empty."""
    for table, primary, column in _columns(db):
        select = f"SELECT {primary}, {column} FROM {table} WHERE {column} != '' ORDER BY 1"  # noqa: S608
        for key, value in db.execute(select):
            yield table, primary, column, key, value


def _set(db: Database, table: str, primary: str, column: str, key: str, value: str) -> None:
    db.execute(f"UPDATE {table} SET {column} = ? WHERE {primary} = ?", [value, key])  # noqa: S608
