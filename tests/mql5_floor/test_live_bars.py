"""Live bars: what ticks make of each minute, once, and never rewritten."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from data.bar_store import BarStore
from data.live_bars import GRACE_MS, MINUTE_MS, LiveBars
from mql5.bridge.ticks import TickRow, TickStore

START = 1_700_000_040_000  # a full minute


def row(at: int, bid: float, sequence: int = 0, source: str = "ea") -> TickRow:
    return TickRow(source, "EURUSD", at, sequence, at, bid, bid + 0.0002, None, 0.0, 0, 0, at)


def enter(*rows: TickRow) -> None:
    TickStore().enter([list(rows)])


def after(minutes: int) -> int:
    return START + minutes * MINUTE_MS + GRACE_MS


def test_a_minute_of_ticks_is_one_bar_of_the_bid_once_it_is_over(home: Path) -> None:
    enter(row(START, 1.1), row(START + 10_000, 1.3), row(START + 20_000, 1.0), row(START + 59_999, 1.2))
    enter(row(START + MINUTE_MS, 1.25))
    live = LiveBars()
    assert live.step(after(1) - 1) == 0
    assert live.step(after(1)) == 1
    assert live.step(after(1)) == 0
    [bar] = live.bars("EURUSD").itertuples()
    assert bar.Index == pd.Timestamp(START, unit="ms", tz="UTC")
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.spread_points) == (1.1, 1.3, 1.0, 1.2, 4.0, 20.0)


def test_a_late_tick_marks_its_bar_revised_and_changes_nothing(home: Path) -> None:
    enter(row(START, 1.1), row(START + MINUTE_MS, 1.2))
    live = LiveBars()
    live.step(after(2))
    enter(row(START + 5_000, 1.5))
    assert live.step(after(2)) == 0
    assert live.bars("EURUSD")["high"].tolist() == [1.1, 1.2]
    revised = live.revised("EURUSD").set_index("column")
    assert (revised.loc["high", "stored"], revised.loc["high", "offered"]) == (1.1, 1.5)


def test_a_restart_makes_no_bar_twice_and_leaves_none_out(home: Path) -> None:
    enter(*(row(START + 30_000 * number, 1.1 + number / 1000) for number in range(6)))
    LiveBars().step(after(1))
    again = LiveBars()
    assert again.step(after(3)) == 2
    assert len(again.bars("EURUSD")) == 3
    assert again.revised().empty
    assert LiveBars().step(after(3)) == 0


def test_sources_are_kept_apart_and_longer_bars_are_joined(home: Path) -> None:
    enter(*(row(START + MINUTE_MS * number, 1.1 + number / 1000) for number in range(15)))
    enter(*(row(START + MINUTE_MS * number, 1.2, source="other") for number in range(3)))
    live = LiveBars()
    live.step(after(15))
    assert BarStore().sources_of("EURUSD", "M1", "live") == ["ea", "other"]
    assert len(live.bars("EURUSD", source="other")) == 3
    joined = live.bars("EURUSD", "M5", source="ea")
    assert (joined["volume"] == 5).all()
    assert not joined.empty


def test_without_ticks_there_is_nothing_to_do(home: Path) -> None:
    assert LiveBars().step() == 0
    assert LiveBars().bars("EURUSD").empty
