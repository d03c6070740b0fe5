"""Real money: three switches in three places, each set on its own, and what cannot be read is not set."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import SettingsError
from core.settings import current_settings
from execution.live.guards import REAL_SWITCHES
from execution.live.real import SWITCHES, account_of, confirmation_of, real_switches, switch_states
from mql5.bridge.keys import KeyRing, key_file

TYPED = "REAL MONEY ON 77001"


def words(name: str, confirmation: str | None = None, login: str | None = "77001") -> tuple[bool, str]:
    [state] = [each for each in switch_states(confirmation, login) if each.name == name]
    return state.is_set, state.words


def test_without_anything_none_is_set_and_each_says_what_to_do(home: Path) -> None:
    states = switch_states(None, None)
    assert tuple(each.name for each in states) == SWITCHES == REAL_SWITCHES
    assert not any(each.is_set for each in states)
    assert [each.words.split()[0] for each in states] == ["live.allow_real", "SEQUENCE_REAL_KEY", "The"]
    assert real_switches(None, None) == ()
    assert not (home / "output_central").exists()


def test_all_three_are_set_in_their_three_places(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    KeyRing().prepare()
    (home / "config.yaml").write_text("live:\n  allow_real: true\n", encoding="utf-8")
    assert real_switches(None, "77001") == ("setting",)
    monkeypatch.setenv("SEQUENCE_REAL_KEY", f" {key_file().read_text(encoding='ascii')}")
    assert real_switches(None, "77001") == ("setting", "key")
    assert real_switches(confirmation_of("77001"), "77001") == SWITCHES
    (home / "config.yaml").write_text("live:\n  allow_real: false\n", encoding="utf-8")
    assert real_switches(TYPED, "77001") == ("key", "confirmation")


def test_a_replay_trades_no_real_money(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    KeyRing().prepare()
    (home / "config.yaml").write_text("live:\n  allow_real: true\n", encoding="utf-8")
    monkeypatch.setenv("SEQUENCE_REAL_KEY", key_file().read_text(encoding="ascii"))
    monkeypatch.setenv("SEQUENCE_REPLAY_CLOCK", "1700000000000@1700000000000x1")
    assert real_switches(TYPED, "77001") == ("key", "confirmation")
    assert words("setting", TYPED) == (False, "SEQUENCE_REPLAY_CLOCK is set, and a replay trades no real money.")


@pytest.mark.parametrize(
    ("typed", "login", "is_set"),
    [
        (TYPED, "77001", True),
        (TYPED, "77002", False),
        (TYPED.lower(), "77001", False),
        (f"{TYPED} ", "77001", False),
        ("", "77001", False),
        (None, "77001", False),
        ("REAL MONEY ON None", None, False),
        ("REAL MONEY ON ", "", False),
    ],
)
def test_the_confirmation_is_for_one_account(home: Path, typed: str | None, login: str | None, is_set: bool) -> None:
    assert words("confirmation", typed, login)[0] is is_set


def test_a_key_that_is_wrong_or_revoked_is_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = KeyRing()
    monkeypatch.setenv("SEQUENCE_REAL_KEY", "sq_a-key-that-nobody-made")
    assert words("key") == (False, "SEQUENCE_REAL_KEY holds no key of the bridge that is in force.")
    monkeypatch.setenv("SEQUENCE_REAL_KEY", ring.make("real money"))
    assert words("key") == (True, "SEQUENCE_REAL_KEY holds a key of the bridge.")
    [row] = ring.all()
    ring.revoke(row["id"])
    assert not words("key")[0]
    monkeypatch.setenv("SEQUENCE_REAL_KEY", "  ")
    assert not words("key")[0]


def test_a_revoked_key_counts_for_nothing_though_its_file_is_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = KeyRing()
    ring.prepare()
    ring.revoke(ring.all()[0]["id"])
    monkeypatch.setenv("SEQUENCE_REAL_KEY", key_file().read_text(encoding="ascii").strip())
    assert not words("key")[0]


def test_what_cannot_be_read_is_not_set(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_REAL_KEY", KeyRing().make("real money"))
    monkeypatch.setenv("SEQUENCE_LIVE__ALLOW_REAL", "true")
    assert real_switches(TYPED, "77001") == SWITCHES
    for part in (home / "output_central").glob("mql5_data.db*"):
        part.write_bytes(b"no database at all" * 100)
    assert real_switches(TYPED, "77001") == ("setting", "confirmation")
    assert "counts as not set" in words("key")[1]
    monkeypatch.setenv("SEQUENCE_LIVE__ALLOW_REAL", "perhaps")
    with pytest.raises(SettingsError):
        current_settings()
    assert real_switches(TYPED, "77001") == ("confirmation",)


def test_no_sentence_carries_the_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in (KeyRing().make("real money"), "sq_a-key-that-nobody-made"):
        monkeypatch.setenv("SEQUENCE_REAL_KEY", key)
        assert not any(key in each.words for each in switch_states(TYPED, "77001"))


@pytest.mark.parametrize(
    ("said", "account"),
    [("demo", "demo"), ("Real; AutoTrading is off", "real"), (" ; off", None), ("", None), (None, None)],
)
def test_the_account_stands_before_the_semicolon(said: str | None, account: str | None) -> None:
    assert account_of(said) == account
