"""Keys: made at the first start, readable by their owner alone, never in the database, each revocable for itself."""

from __future__ import annotations

import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path

import pytest
from bridging import Client

from core.errors import SettingsError, UnknownNameError
from mql5.bridge.keys import KEY_VARIABLE, KeyRing, key_file


def works(client: Client, key: str) -> bool:
    return bool(client.bare.get("/api/v1/signals/pending", headers={"X-API-Key": key}).status_code == 200)


def test_the_first_key_is_a_file_of_its_owner_and_the_database_holds_its_hash(client: Client, home: Path) -> None:
    key = key_file().read_text(encoding="ascii").strip()
    assert works(client, key)
    if sys.platform != "win32":
        assert stat.S_IMODE(key_file().stat().st_mode) == 0o600
    with closing(sqlite3.connect(home / "output_central" / "mql5_data.db")) as database:
        assert not any(key in str(cell) for row in database.execute("SELECT * FROM api_keys") for cell in row)


def test_a_second_start_keeps_the_key(client: Client) -> None:
    before = key_file().read_text(encoding="ascii")
    KeyRing().prepare()
    assert key_file().read_text(encoding="ascii") == before
    assert len(KeyRing().all()) == 1


def test_several_keys_are_revoked_each_for_itself(client: Client) -> None:
    ring = client.bridge.keys
    key = ring.make("laptop")
    assert works(client, key)
    [made] = [row for row in ring.all() if row["name"] == "laptop"]
    ring.revoke(made["id"])
    assert not works(client, key)
    assert works(client, client.headers["X-API-Key"])
    with pytest.raises(UnknownNameError):
        ring.revoke(made["id"])


def test_what_another_process_revokes_counts_within_a_second(client: Client) -> None:
    other = KeyRing()
    [row] = other.all()
    assert works(client, client.headers["X-API-Key"])
    other.revoke(row["id"])
    client.bridge.keys._looked_at -= 1.01
    assert not works(client, client.headers["X-API-Key"])
    KeyRing().prepare()
    assert not works(client, client.headers["X-API-Key"])  # the file does not bring it back


def test_the_last_use_is_written_down(client: Client) -> None:
    assert client.bridge.keys.all()[0]["last_used_at"] is None
    client.get("/signals/pending")
    client.bridge.keys.note_use()
    assert client.bridge.keys.all()[0]["last_used_at"]


def test_the_key_of_the_environment_is_taken_and_a_short_one_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "short")
    with pytest.raises(SettingsError, match="5 characters"):
        KeyRing().prepare()
    monkeypatch.setenv(KEY_VARIABLE, "a-key-of-my-own-making")
    ring = KeyRing()
    ring.prepare()
    assert ring.holder("a-key-of-my-own-making")
    assert ring.holder("a-key-of-my-own-makinG") is None
    assert not key_file().exists()
