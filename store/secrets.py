"""Secrets at rest: the keys, the file they may be in, and the form of an encrypted value.

An encrypted value names its key and is bound to its place: it cannot be decrypted in another row or column.
Knows no SQL (store/sqlite/encrypted_columns.py does). Never logs or raises a key or a value.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from runtime.log import logger
from schemas.errors import SecretsUnreadable
from store.files.durable import keep, make_folder

KEYS_FILE = "secret.keys"
MARK = "nrc1."
ID_LENGTH = 12
HEAD_LENGTH = len(MARK) + ID_LENGTH

_COMMENT = "# Keys of the registry's secrets, a line each; the first encrypts. Lost key, lost secrets.\n"

log = logger(__name__)


def place(table: str, column: str, key: str) -> str:
    """The name of a value's place, unique; a value is bound to it."""
    return f"{column} of {table} {key}"


def key_id(key: str) -> str:
    """The name of a key in encrypted values and in messages; it reveals nothing of the key itself."""
    return hashlib.sha256(b"nrc key id " + key.encode()).hexdigest()[:ID_LENGTH]


def key_of(sealed: str) -> str:
    """The name of a value's key, by its first HEAD_LENGTH characters; "" when it is not encrypted."""
    return sealed[len(MARK) : HEAD_LENGTH] if sealed.startswith(MARK) else ""


class Vault:
    """Encrypts and decrypts values with the keys given, or else with those in `file`.

    Call `open` first. Other processes may replace the file: it is checked before every encryption, and when a
    value names an unknown key. Used by several threads. Raises SecretsUnreadable only.
    """

    def __init__(self, given: Sequence[str], file: Path) -> None:
        self._given = tuple(given)
        self._file = file
        self._keys: tuple[str, ...] = ()
        self._ciphers: dict[str, Fernet] = {}
        self._looked_at: tuple[int, int, int] | None = None

    @property
    def where(self) -> str:
        """Where the keys come from."""
        return "NRC_SECRET_KEYS" if self._given else str(self._file)

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The names of the keys; the first encrypts."""
        return tuple(self._ciphers)

    def open(self, in_use: Collection[str]) -> None:
        """Read the keys; all of `in_use` must be among them. Makes the file if nothing is encrypted yet."""
        if self._given:
            self._take(self._given)
        elif not self._look():
            if in_use:
                raise SecretsUnreadable(
                    "the registry's secrets are encrypted, and the key is gone: NRC_SECRET_KEYS is not set "
                    f"and there is no {self._file}; put either back. Nothing was changed."
                )
            self._make()
        if missing := sorted(set(in_use) - self._ciphers.keys()):
            raise SecretsUnreadable(
                f"the registry holds secrets under key {', '.join(missing)}, which is not in {self.where} "
                f"(there: {', '.join(self.key_ids)}); put it back, after the one that encrypts. Nothing was "
                "changed."
            )

    def seal(self, value: str, where: str) -> str:
        """`value` encrypted with the first key, for this place; an empty one stays empty."""
        if not value:
            return ""
        self._look()
        name, cipher = next(iter(self._ciphers.items()))
        token = cipher.encrypt(_digest(where) + value.encode())
        return f"{MARK}{name}.{token.decode()}"

    def unseal(self, sealed: str, where: str) -> str:
        """The value that was sealed for this place."""
        if not sealed:
            return ""
        name = key_of(sealed)
        if not name:
            raise SecretsUnreadable(f"{where}: stands in the registry unencrypted, and is not trusted.")
        if name not in self._ciphers:
            self._look()
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise SecretsUnreadable(f"{where}: its key {name} is not in {self.where}.")
        try:
            plain = cipher.decrypt(sealed[HEAD_LENGTH + 1 :])
        except InvalidToken:
            raise SecretsUnreadable(f"{where}: is damaged; set it again, or restore a copy.") from None
        if not hmac.compare_digest(plain[:32], _digest(where)):
            raise SecretsUnreadable(f"{where}: was put there from another row; set it again.")
        return plain[32:].decode()

    def add_key(self) -> bool:
        """Put a new key before those in the file; False when the keys come from NRC_SECRET_KEYS."""
        if self._given:
            return False
        self._look()
        self._write([_new_key(), *self._keys], replace=True)
        self._look()
        return True

    def _make(self) -> None:
        try:
            self._write([_new_key()], replace=False)
            log.info("key made", file=str(self._file), note="back it up, apart from the registry")
        except FileExistsError:
            pass  # Another process was first; its key is used.
        if not self._look():
            raise SecretsUnreadable(f"{self._file} was removed while it was being made.")

    def _look(self) -> bool:
        """Read the file when it is new or was replaced; False when there is none."""
        if self._given:
            return True
        try:
            status = self._file.stat()
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
            if seen != self._looked_at:
                self._take(_keys_in(self._file.read_text().splitlines(), self._file))
                self._looked_at = seen
        except FileNotFoundError:
            return False
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise SecretsUnreadable(f"{self._file} cannot be read: {reason}.") from None
        return True

    def _take(self, keys: Sequence[str]) -> None:
        self._keys = tuple(keys)
        # One assignment, so that another thread sees the old keys or the new ones.
        self._ciphers = {key_id(key): Fernet(key) for key in keys}

    def _write(self, keys: Iterable[str], *, replace: bool) -> None:
        """Write these keys to the file, synced. Raises FileExistsError when it exists, unless `replace`."""
        try:
            make_folder(self._file.parent)
            keep(self._file, (_COMMENT + "".join(f"{key}\n" for key in keys)).encode(), replace=replace)
        except FileExistsError:
            raise
        except OSError as error:
            raise SecretsUnreadable(f"{self._file} cannot be written: {error.strerror}.") from None


def _keys_in(lines: Sequence[str], file: Path) -> list[str]:
    keys = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            Fernet(text)
        except ValueError:
            raise SecretsUnreadable(f"{file}: line {number} is no key; restore the file.") from None
        keys.append(text)
    if not keys:
        raise SecretsUnreadable(f"{file} holds no key; restore it.")
    return keys


def _new_key() -> str:
    return Fernet.generate_key().decode()


def _digest(where: str) -> bytes:
    return hashlib.sha256(where.encode()).digest()
