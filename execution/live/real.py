"""Real money: the three switches without which no real account is traded, each set in another place by hand.

    setting        `live.allow_real: true` in config.yaml
    key            the variable SEQUENCE_REAL_KEY holds a key of the bridge that is in force
    confirmation   the deployment was made with `REAL MONEY ON <login>` typed, the login being the account's

What cannot be read is not set.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from core.clock import REPLAY_VARIABLE, is_replayed
from core.errors import SequenceError
from core.settings import REAL_KEY_VARIABLE, current_settings
from execution.live.guards import REAL_SWITCHES
from mql5.bridge.keys import KeyRing

SWITCHES = REAL_SWITCHES


@dataclass(frozen=True)
class SwitchState:
    """One of the three switches: its name, whether it is set, and a sentence that says so and what to do."""

    name: str
    is_set: bool
    words: str


def confirmation_of(login: str) -> str:
    """What must be typed to trade a real account of that number."""
    return f"REAL MONEY ON {login}"


def account_of(trade_mode: str | None) -> str | None:
    """`demo`, `contest` or `real` of a terminal's word; behind a semicolon it says why it does not trade."""
    return trade_mode.partition(";")[0].strip().lower() or None if trade_mode else None


def real_switches(confirmation: str | None, login: str | None) -> tuple[str, ...]:
    """The names of the switches that are set, for what was typed and the account that a terminal says it has."""
    return tuple(each.name for each in switch_states(confirmation, login) if each.is_set)


def switch_states(confirmation: str | None, login: str | None) -> list[SwitchState]:
    """The three switches in their order, each with what to do where it is not set."""
    asked = (_setting, _key, lambda: _confirmation(confirmation, login))
    return [_state(name, ask) for name, ask in zip(SWITCHES, asked, strict=True)]


def _state(name: str, ask: Callable[[], tuple[bool, str]]) -> SwitchState:
    try:
        return SwitchState(name, *ask())
    except (SequenceError, OSError) as error:
        return SwitchState(name, False, f"It could not be read and counts as not set: {error}")


def _setting() -> tuple[bool, str]:
    if is_replayed():  # the ages of quotes and signals, on which guards stand, would be those of another time
        return False, f"{REPLAY_VARIABLE} is set, and a replay trades no real money."
    if current_settings().live.allow_real:
        return True, "live.allow_real is true."
    return False, "live.allow_real is false; set it to true in config.yaml."


def _key() -> tuple[bool, str]:
    given = os.environ.get(REAL_KEY_VARIABLE, "").strip()
    if not given:
        return False, f"{REAL_KEY_VARIABLE} is not set; give it a key of the bridge, and start Sequence again."
    if KeyRing().holder(given) is None:
        return False, f"{REAL_KEY_VARIABLE} holds no key of the bridge that is in force."
    return True, f"{REAL_KEY_VARIABLE} holds a key of the bridge."


def _confirmation(typed: str | None, login: str | None) -> tuple[bool, str]:
    if not login:
        return False, "The terminal has not told its account number yet."
    asked = confirmation_of(login)
    if not typed:
        return False, f"Nothing was typed; type {asked!r} when you deploy."
    if typed != asked:
        return False, f"{typed!r} was typed; for this account it must be {asked!r}."
    return True, f"{asked!r} was typed."
