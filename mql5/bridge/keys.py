"""Who may speak to the bridge: keys of which the database holds only hashes, each revocable for itself.

A key is 256 random bits, so its SHA-256 needs no salt and no slow hash. Revoking in another process counts within
a second.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import threading
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from core.clock import utc_text
from core.errors import DiskError, SettingsError, UnknownNameError
from core.settings import output_folder
from core.store import Store, inserted_id
from mql5.tables import MQL5_DATA, keys

KEY_VARIABLE = "SEQUENCE_BRIDGE_KEY"
_PREFIX = "sq_"
_LOOKED_AT_SECONDS = 1.0
_SHORTEST = 16


def key_file() -> Path:
    """Where the first key lies, readable by its owner alone."""
    return output_folder() / "bridge.key"


class KeyRing:
    """The keys of this workbench."""

    def __init__(self) -> None:
        self._store = Store(MQL5_DATA)
        self._guard = threading.Lock()
        self._valid: dict[str, int] = {}
        self._looked_at = float("-inf")
        self._used: set[int] = set()

    def prepare(self) -> Path | None:
        """At the start: take the key of the environment, else make the file if there is none.

        Returns the file in force. A key that was revoked stays revoked. Raises SettingsError for a key that is too
        short, DiskError when the file cannot be written.
        """
        given = os.environ.get(KEY_VARIABLE, "").strip()
        if given:
            if len(given) < _SHORTEST or not given.isascii() or not given.isprintable():
                raise SettingsError(
                    f"{KEY_VARIABLE} holds {len(given)} characters.",
                    f"Give at least {_SHORTEST} printable ASCII characters, or unset it: a key is made then.",
                )
            self._enter("environment", given)
            return None
        file = key_file()
        try:
            held = file.read_text(encoding="ascii").strip() if file.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise DiskError(f"{file} cannot be read: {error}.", "Remove it; another key is made then.") from None
        if held:
            self._enter("bridge.key", held)
            return file
        _write_secret(file, key := _new_key())
        self._enter("bridge.key", key)
        return file

    def make(self, name: str) -> str:
        """Make a key; it is returned this once and stored nowhere."""
        key = _new_key()
        self._enter(name, key)
        return key

    def revoke(self, key_id: int) -> None:
        """Refuse a key from now on. Raises UnknownNameError."""
        with self._store.write() as connection:
            which = sa.and_(keys.c.id == key_id, keys.c.revoked_at.is_(None))
            if not connection.execute(keys.update().where(which).values(revoked_at=utc_text())).rowcount:
                raise UnknownNameError(f"There is no key {key_id} in force.", "Look at the list of keys.")
        self._looked_at = float("-inf")

    def all(self) -> list[dict[str, Any]]:
        """`id name key_start created_at last_used_at revoked_at`, newest first; never a key or its hash."""
        columns = [column for column in keys.c if column.name != "key_hash"]
        return self._store.rows(sa.select(*columns).order_by(keys.c.id.desc()))

    def name_of(self, key_id: int) -> str:
        """The name under which a key was made. Raises UnknownNameError."""
        found = self._store.rows(sa.select(keys.c.name).where(keys.c.id == key_id))
        if not found:
            raise UnknownNameError(f"There is no key {key_id}.", "Look at the list of keys.")
        return str(found[0]["name"])

    def holder(self, key: str) -> int | None:
        """The id of the key in force that this is, or None."""
        if time.monotonic() - self._looked_at > _LOOKED_AT_SECONDS:
            self._look()
        digest = _digest(key)
        found = self._valid.get(digest)
        # Found by its hash, which tells nothing of the key; compared in constant time all the same.
        match = next((held for held in self._valid if hmac.compare_digest(held, digest)), None) if found else None
        if match is None or found is None:
            return None
        self._used.add(found)
        return found

    def note_use(self) -> None:
        """Write down which keys were used since the last time."""
        used, self._used = self._used, set()
        if used:
            self._store.update(keys, keys.c.id.in_(used), {"last_used_at": utc_text()})

    def _look(self) -> None:
        with self._guard:
            query = sa.select(keys.c.key_hash, keys.c.id).where(keys.c.revoked_at.is_(None))
            self._valid = {row["key_hash"]: row["id"] for row in self._store.rows(query)}
            self._looked_at = time.monotonic()

    def _enter(self, name: str, key: str) -> None:
        digest = _digest(key)
        with self._store.write() as connection:
            if connection.scalar(sa.select(keys.c.id).where(keys.c.key_hash == digest)) is None:
                start = key[: len(_PREFIX) + 4] if key.startswith(_PREFIX) else f"{key[:2]}…"
                values = {"name": name, "key_hash": digest, "key_start": start, "created_at": utc_text()}
                inserted_id(connection, keys, values)
        self._looked_at = float("-inf")


def _new_key() -> str:
    return _PREFIX + secrets.token_urlsafe(32)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _write_secret(file: Path, key: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # With its mode from the first moment; a second bridge that starts now reads what the first one wrote.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            opened.write(key + "\n")
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        raise DiskError(f"{file} could not be written: {error}.", "Check that you may write there.") from None
