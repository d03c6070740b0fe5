"""The one clock: the time now, and time as the text that tables people read carry (ISO-8601, UTC, milliseconds).

For replays the variable SEQUENCE_REPLAY_CLOCK sets it: `<simulated epoch ms>@<wall epoch ms>x<speed>`, all in UTC,
makes it `simulated` when the computer's clock says `wall`, and run `speed` times as fast; speed 0 lets it stand.
Beats and leases of processes and jobs stay on the computer's own clock, `wall_now`.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from core.errors import SettingsError

REPLAY_VARIABLE = "SEQUENCE_REPLAY_CLOCK"
_REPLAY = re.compile(r"(\d{1,14})@(\d{1,14})x(\d{1,6}(?:\.\d{1,6})?)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_370_764_800_000  # the year 9999: no later time can be told


@dataclass(frozen=True)
class ReplayClock:
    """`simulated_ms` when the computer's clock says `wall_ms` (both epoch, UTC), running `speed` times as fast."""

    simulated_ms: int
    wall_ms: int
    speed: float

    def at(self, wall_ns: int) -> int:
        """The simulated time in epoch milliseconds when the computer's clock says `wall_ns` (epoch nanoseconds)."""
        passed = int((wall_ns / 1e6 - self.wall_ms) * self.speed)
        return min(max(0, self.simulated_ms + passed), _LAST_MS)


def wall_now() -> datetime:
    """The aware time now by the computer's own clock, in UTC, replay or not."""
    return datetime.now(UTC)


def utc_now() -> datetime:
    """The aware time now, in UTC. Raises SettingsError for a replay clock that cannot be read."""
    replay = replay_clock()
    return wall_now() if replay is None else _EPOCH + timedelta(milliseconds=replay.at(time.time_ns()))


def now_ms() -> int:
    """The time now in milliseconds since 1970, UTC. Raises SettingsError likewise."""
    replay = replay_clock()
    return time.time_ns() // 1_000_000 if replay is None else replay.at(time.time_ns())


def is_replayed() -> bool:
    """Whether the clock is set by SEQUENCE_REPLAY_CLOCK, so that what happens now is no present."""
    return replay_clock() is not None


def replay_clock() -> ReplayClock | None:
    """The replay clock in force; None where there is none. Raises SettingsError for one that cannot be read."""
    text = os.environ.get(REPLAY_VARIABLE)
    return read_replay_clock(text) if text else None


@lru_cache(maxsize=64)
def read_replay_clock(text: str) -> ReplayClock:
    """The replay clock that a text sets. Raises SettingsError naming the text and the form it should have."""
    match = _REPLAY.fullmatch(text.strip())
    if match is None:
        raise SettingsError(
            f"{REPLAY_VARIABLE}={text!r} sets no clock.",
            "Write <simulated epoch ms>@<wall epoch ms>x<speed>, as in 1700000000000@1760000000000x100, or unset it.",
        )
    return ReplayClock(int(match[1]), int(match[2]), float(match[3]))


def utc_text(moment: datetime | None = None) -> str:
    """`moment` (default: now) as `2026-11-21T14:32:07.120Z`; such texts sort as the times do.

    Raises ValueError when `moment` carries no time zone.
    """
    moment = utc_now() if moment is None else moment
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; time inside Sequence is aware UTC")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def wall_text() -> str:
    """The time now by the computer's own clock, as `utc_text` writes it."""
    return utc_text(wall_now())


def parse_utc(text: str) -> datetime:
    """The aware time that `utc_text` wrote."""
    return datetime.fromisoformat(text).astimezone(UTC)
