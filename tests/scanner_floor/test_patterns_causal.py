from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some
from pattern_bars import SETTINGS, bars_of_any_kind, dealt

from core.errors import BarsError, InputError
from market.indicators import atr
from market.symbols import AssetClass
from scanner.patterns.all import find_patterns
from scanner.patterns.findings import LASTS, End, Findings, Kind
from scanner.patterns.live import LivePatterns
from scanner.patterns.rewrites import count_rewrites, differences
from scanner.patterns.settings import PatternSettings

MadeBars = Callable[..., pd.DataFrame]


def assert_same(ours: Findings, theirs: Findings, bars: pd.DataFrame) -> None:
    for field in fields(Findings):
        one, other = getattr(ours, field.name), getattr(theirs, field.name)
        if one.shape != other.shape or not np.array_equal(one, other, equal_nan=True):
            pytest.fail(f"{field.name} differs\n{differences(ours, theirs, pd.DatetimeIndex(bars.index)).to_string()}")


def added(live: LivePatterns, bars: pd.DataFrame) -> list[Findings]:
    columns = (bars[name].to_numpy() for name in ("open", "high", "low", "close", "volume"))
    return [live.add(*values, time) for *values, time in zip(*columns, bars.index, strict=True)]


@dealt
@given(bars=bars_of_any_kind(), chosen=SETTINGS, asset_class=some.sampled_from(AssetClass), data=some.data())
def test_what_is_known_at_a_bar_is_the_same_with_and_without_later_bars(
    bars: pd.DataFrame, chosen: PatternSettings, asset_class: AssetClass, data: Any
) -> None:
    whole = find_patterns(bars, chosen, asset_class)
    for length in data.draw(some.sets(some.integers(0, len(bars)), min_size=1, max_size=8)):
        assert_same(find_patterns(bars.iloc[:length], chosen, asset_class), whole.as_known(length - 1), bars)


@dealt
@given(bars=bars_of_any_kind(60), chosen=SETTINGS, asset_class=some.sampled_from(AssetClass), data=some.data())
def test_bars_added_one_by_one_give_what_all_at_once_give(
    bars: pd.DataFrame, chosen: PatternSettings, asset_class: AssetClass, data: Any
) -> None:
    live = LivePatterns(chosen, asset_class)
    known_before = data.draw(some.integers(0, len(bars)))
    live.extend(bars.iloc[:known_before])
    news = added(live, bars.iloc[known_before:])
    whole = find_patterns(bars, chosen, asset_class)
    assert_same(live.findings(), whole, bars)
    for bar, found in enumerate(news, start=known_before):
        then = whole.as_known(bar)
        assert_same(found, then.where((then.known == bar) | (then.ended == bar)), bars)


@dealt
@given(bars=bars_of_any_kind(), chosen=SETTINGS)
def test_findings_are_as_their_columns_promise(bars: pd.DataFrame, chosen: PatternSettings) -> None:
    found = find_patterns(bars, chosen)
    assert (np.diff(found.known) >= 0).all()
    assert (found.formed <= found.known).all()
    assert (found.known < len(bars)).all()
    lasts = found.ended == LASTS
    assert ((found.end == End.NONE) == lasts).all()
    assert (found.ended[~lasts] >= found.known[~lasts]).all()
    assert (found.low <= found.level).all()
    assert (found.level <= found.high).all()
    assert np.isin(found.direction, (-1, 1)).all()
    assert not (found.strength < 0).any()
    average = atr(bars, chosen.atr_length)[found.known]
    assert (np.isnan(found.strength) == ~(average > 0)).all()
    assert np.isfinite(found.strength[average > 0]).all()


def test_a_thousand_real_bars_added_one_by_one_give_what_all_at_once_give(sample: pd.DataFrame) -> None:
    bars = sample.iloc[:1000]
    live = LivePatterns()
    added(live, bars)
    assert_same(live.findings(), find_patterns(bars), bars)
    assert len(live.findings()) > 400


def test_long_lookbacks_are_held_in_the_memory_of_live_bars(sample: pd.DataFrame) -> None:
    chosen = PatternSettings(liquidity_lookback=300, swing_lookback=150, order_block_lookback=200, atr_length=250)
    live = LivePatterns(chosen)
    live.extend(sample.iloc[:200])
    added(live, sample.iloc[200:1900])
    live.extend(sample.iloc[1900:])
    assert_same(live.findings(), find_patterns(sample, chosen), sample)


def test_no_finding_of_the_sample_is_ever_rewritten(sample: pd.DataFrame) -> None:
    rewrites = count_rewrites(sample, prefixes=200)
    assert (rewrites.count, rewrites.prefixes, rewrites.badge) == (0, 200, "0 rewrites / 200 prefixes")
    assert rewrites.examples.empty


def test_findings_that_are_rewritten_are_counted_and_shown(sample: pd.DataFrame) -> None:
    bars = sample.iloc[:300]

    def central(some_bars: pd.DataFrame) -> Findings:
        """Swings that are said to be known at their extreme, the offence of a centred window."""
        swings = find_patterns(some_bars, kinds=[Kind.SWING])
        return Findings(
            **{**{each.name: getattr(swings, each.name) for each in fields(swings)}, "known": swings.formed}
        )

    rewrites = count_rewrites(bars, prefixes=50, find=central)
    assert rewrites.count > 5
    assert set(rewrites.examples["seen"]) == {"later"}
    assert {"kind", "level", "formed_at", "bars"} <= set(rewrites.examples)


@pytest.mark.parametrize("prefixes", [0, -3])
def test_no_prefixes_prove_nothing(sample: pd.DataFrame, prefixes: int) -> None:
    with pytest.raises(InputError, match=f"prefixes={prefixes} proves nothing"):
        count_rewrites(sample, prefixes=prefixes)


def test_a_live_bar_that_comes_twice_or_is_no_bar_is_refused(made: MadeBars) -> None:
    live = LivePatterns()
    live.add(1.0, 1.2, 0.9, 1.1, 5.0, "2024-01-02 10:00")
    with pytest.raises(BarsError, match="is not after"):
        live.add(1.0, 1.2, 0.9, 1.1, 5.0, "2024-01-02 10:00")
    with pytest.raises(BarsError, match="is not after"):
        live.extend(made([(1.0, 1.2, 0.9, 1.1)], start="2024-01-02 09:00"))
    for broken in ((1.0, 0.9, 0.8, 1.1), (1.0, 1.2, 1.1, 1.1), (float("nan"), 1.2, 0.9, 1.1), (0.0, 1.0, 0.0, 1.0)):
        with pytest.raises(BarsError, match="cannot be one bar"):
            live.add(*broken, 5.0, "2024-01-02 11:00")
    with pytest.raises(BarsError, match="is no time"):
        live.add(1.0, 1.2, 0.9, 1.1)
    assert live.bars == 1
