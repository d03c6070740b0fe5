from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some
from pattern_bars import SETTINGS, bars_of_any_kind, dealt

from core.errors import InputError
from core.settings import Settings
from market.indicators import atr
from market.symbols import AssetClass
from market.timeframes import Timeframe
from scanner.layers import first_closed, last_closed, layers_of, parse_timeframes, timeframe_of
from scanner.patterns.findings import LASTS, Findings, Kind
from scanner.patterns.settings import PatternSettings
from scanner.setups import (
    ATR_LENGTH,
    SPEAKING,
    Candidates,
    Setup,
    SetupSettings,
    candidates_of,
    find_candidates,
    parts_frame,
    ranked,
)

MadeBars = Callable[..., pd.DataFrame]
LONGER = [Timeframe.H1, Timeframe.H4, Timeframe.D1]
CHOSEN = some.builds(
    SetupSettings,
    minimum_score=some.sampled_from([0.1, 2.0, 4.0]),
    minimum_patterns=some.sampled_from([1, 2]),
    minimum_risk_reward=some.sampled_from([0.0, 1.5]),
    maximum_age_bars=some.sampled_from([0, 3, 50]),
    half_life_bars=some.sampled_from([0.5, 10.0]),
    higher_timeframe_factor=some.sampled_from([0.5, 1.5]),
    weight_against=some.sampled_from([0.0, 0.5, 1.0]),
    setup_bars=some.sampled_from([1, 5, 24]),
)


def found_in(
    bars: pd.DataFrame, timeframe: Timeframe, patterns: PatternSettings, chosen: SetupSettings, spread: float = 0.0
) -> Candidates:
    return candidates_of(layers_of(bars, timeframe, LONGER, patterns, AssetClass.FX), chosen, spread)


def assert_same(then: Candidates, later: Candidates) -> None:
    for name in ("places", "figures", "targets", "status", "ended"):
        np.testing.assert_array_equal(getattr(then, name), getattr(later, name), err_msg=name)
    lanes = then.sources.shape[1]  # longer timeframes without a closed bar yet have none
    np.testing.assert_array_equal(then.sources, later.sources[:, :lanes])
    assert (later.sources[:, lanes:] == -1).all()


@dealt
@given(bars=bars_of_any_kind(), patterns=SETTINGS, chosen=CHOSEN, data=some.data())
def test_a_candidate_at_a_bar_is_the_same_with_and_without_later_bars(
    bars: pd.DataFrame, patterns: PatternSettings, chosen: SetupSettings, data: Any
) -> None:
    timeframe = timeframe_of(bars)
    spread = 0.1 * float(bars["high"].iloc[0])
    whole = found_in(bars, timeframe, patterns, chosen, spread)
    for length in data.draw(some.sets(some.integers(1, len(bars)), min_size=1, max_size=4)):
        assert_same(found_in(bars.iloc[:length], timeframe, patterns, chosen, spread), whole.as_seen(length - 1))


def points_of(candidates: Candidates, bar: int, side: int) -> tuple[float, float, int]:
    """For, against and the number of patterns, from the definition: the newest of each kind that lasts."""
    settings, base = candidates.settings, candidates.layers[0]
    speaks, against, kinds = 0.0, 0.0, set()
    for step, layer in enumerate(candidates.layers):
        now = int(last_closed(base, layer)[bar])
        known = layer.findings.as_known(now)
        for kind in SPEAKING:
            weight = getattr(settings, f"weight_{kind.words}") * settings.higher_timeframe_factor**step
            for direction in (1, -1):
                lasting = np.flatnonzero((known.kind == kind) & (known.direction == direction) & (known.ended == LASTS))
                if not len(lasting) or (age := now - int(known.known[lasting].max())) > settings.maximum_age_bars:
                    continue
                points = weight * 0.5 ** (age / settings.half_life_bars)
                if direction == side:
                    speaks += points
                    kinds |= {kind} if points > 0 else set()
                else:
                    against += settings.weight_against * points
    place, zone = candidates.prices[5:7, bar]
    speaks += settings.weight_discount * ((place < 0.5) if side > 0 else (place > 0.5))
    return speaks + settings.weight_kill_zone * zone, against, len(kinds)


@dealt
@given(bars=bars_of_any_kind(70), patterns=SETTINGS, chosen=CHOSEN)
def test_a_score_is_the_sum_that_its_definition_and_its_parts_say(
    bars: pd.DataFrame, patterns: PatternSettings, chosen: SetupSettings
) -> None:
    candidates = found_in(bars, timeframe_of(bars), patterns, chosen)
    for row, setup in enumerate(candidates.setups()):
        speaks, against, kinds = points_of(candidates, int(candidates.bar[row]), int(candidates.direction[row]))
        assert setup.score == pytest.approx(speaks - against, abs=1e-9)
        assert setup.score == pytest.approx(sum(part.points for part in setup.parts), abs=1e-9)
        assert setup.patterns == kinds
        assert 0 <= setup.confidence <= 1
        assert setup.is_setup == (setup.why_not_line() == "")


@dealt
@given(bars=bars_of_any_kind(70), patterns=SETTINGS, chosen=CHOSEN)
def test_a_setup_keeps_every_rule_and_a_shortfall_names_the_rule_that_was_broken(
    bars: pd.DataFrame, patterns: PatternSettings, chosen: SetupSettings
) -> None:
    candidates = found_in(bars, timeframe_of(bars), patterns, chosen, 0.01)
    average = atr(bars, ATR_LENGTH)[candidates.bar]
    for setup, atr_there in zip(candidates.setups(), average, strict=True):
        side = 1 if setup.direction == "bullish" else -1
        risk, reward = (setup.entry - setup.stop) * side, (setup.target - setup.entry) * side
        broken = {short.rule for short in setup.why_not}
        has_stop = risk > 0
        rewarded = (reward - 0.01) / (risk + 0.01) if has_stop else math.nan
        assert ("minimum_score" in broken) == (setup.score < chosen.minimum_score)
        assert ("minimum_patterns" in broken) == (setup.patterns < chosen.minimum_patterns)
        assert ("stop" in broken) == (not has_stop)
        assert ("atr" in broken) == (not atr_there > 0)
        assert ("minimum_risk_reward" in broken) == (has_stop and rewarded < chosen.minimum_risk_reward)
        assert ("maximum_cost_to_atr" in broken) == (atr_there > 0 and atr_there * chosen.maximum_cost_to_atr < 0.01)
        for short in setup.why_not:
            assert short.sentence().startswith(f"{short.rule}: ")
        if setup.is_setup:
            assert reward > 0
            assert (setup.invalidation - setup.stop) * side >= 0
            assert list(setup.targets) == sorted(setup.targets, key=lambda level: level * side)


@dealt
@given(bars=bars_of_any_kind(70), patterns=SETTINGS, chosen=CHOSEN)
def test_what_became_of_a_setup_is_what_its_prices_met_first(
    bars: pd.DataFrame, patterns: PatternSettings, chosen: SetupSettings
) -> None:
    spread = 0.02
    for setup in found_in(bars, timeframe_of(bars), patterns, chosen, spread).setups():
        later = bars[bars.index > setup.known_at].iloc[: chosen.setup_bars]
        ask = 0.0 if setup.direction == "bullish" else spread
        low, high = later["low"] + ask, later["high"] + ask
        lost, won = (low <= setup.stop, high >= setup.target)
        if setup.direction == "bearish":
            lost, won = (high >= setup.stop, low <= setup.target)
        met = later.index[lost | won]
        if len(met):
            expected, ended = ("stopped" if lost[met[0]] else "target"), met[0]
        elif len(later) == chosen.setup_bars:
            expected, ended = "expired", later.index[-1]
        else:
            expected, ended = "live", None
        assert (setup.status, setup.ended_at) == (expected, ended)


def nothing_but(*rows: tuple[Any, ...]) -> Findings:
    """Findings by hand: (kind, direction, formed, known, ended, low, high)."""
    columns = list(zip(*rows, strict=True))
    small = [np.array(columns[place], dtype=np.int8) for place in (0, 1)]
    whole = [np.array(columns[place], dtype=np.int64) for place in (2, 3, 4)]
    low, high = (np.array(columns[place], dtype=float) for place in (5, 6))
    end = np.where(whole[2] == LASTS, 0, 1).astype(np.int8)
    return Findings(*small, *whole, end, high, low, high, np.ones(len(rows)))


@pytest.fixture
def rising(made: MadeBars) -> pd.DataFrame:
    """Forty hourly bars of ten pips each that rise by a pip an hour, from 1.1000."""
    prices = [1.1 + n * 0.0001 for n in range(40)]
    return made([(p, p + 0.0005, p - 0.0005, p) for p in prices], start="2024-01-02 00:00")


def by_hand(rising: pd.DataFrame, *rows: tuple[Any, ...], **changed: Any) -> list[Setup]:
    [layer] = layers_of(rising, Timeframe.H1, [], PatternSettings(), AssetClass.FX)
    layer = replace(layer, findings=nothing_but(*rows))
    plain = {"weight_discount": 0.0, "weight_kill_zone": 0.0, "minimum_score": 2.0, "minimum_patterns": 1}
    return find_candidates([layer], "EURUSD", SetupSettings(**{**plain, **changed}), spread_pips=1.0).setups()


def test_a_setup_by_hand(rising: pd.DataFrame) -> None:
    swing, sweep, gap = int(Kind.SWING), int(Kind.LIQUIDITY_SWEEP), int(Kind.FVG)
    found = by_hand(
        rising,
        (swing, -1, 1, 12, LASTS, 1.1100, 1.1100),
        (swing, -1, 2, 13, LASTS, 1.1060, 1.1060),
        (gap, 1, 9, 20, LASTS, 1.1002, 1.1004),
        (gap, -1, 9, 25, LASTS, 1.1002, 1.1004),
        (sweep, 1, 30, 30, LASTS, 1.1020, 1.1022),
    )
    *_, setup = found
    # Entry 1.1030; stop 0.1 × 10 pips below the spike; risk 11 pips, to the nearest level 30 pips, spread 1 pip.
    assert (setup.direction, setup.trigger) == ("bullish", "liquidity_sweep")
    assert setup.entry == pytest.approx(1.1030)
    assert setup.stop == pytest.approx(1.1019)
    assert setup.targets == pytest.approx((1.1060, 1.1100))
    assert setup.risk_reward == pytest.approx((30 - 1) / (11 + 1))
    # A fresh sweep 2; a gap of 10 bars 0.5; half of the points of a bearish one of 5 bars.
    assert [part.points for part in setup.parts] == pytest.approx([2.0, 0.5, -0.5 * 0.5**0.5])
    assert setup.confidence == pytest.approx(2.5 / (2.5 + 0.5 * 0.5**0.5 + 2.0))
    assert setup.cost_to_atr == pytest.approx(0.1)
    assert setup.is_setup
    assert [part.sentence() for part in setup.parts] == [
        "+2.00 liquidity_sweep H1, 0 bars old (weight 2)",
        "+0.50 fvg H1, 10 bars old (weight 1)",
        "−0.35 fvg H1, 5 bars old (weight 1)",
    ]
    assert parts_frame(setup)["points"].tolist() == pytest.approx([2.0, 0.5, -0.353553], abs=1e-6)
    assert parts_frame(setup.as_dict()).equals(parts_frame(setup))


def test_a_candidate_says_which_rule_it_fell_short_of_with_value_and_threshold(rising: pd.DataFrame) -> None:
    sweep = int(Kind.LIQUIDITY_SWEEP)
    [setup] = by_hand(
        rising,
        (sweep, 1, 30, 30, LASTS, 1.1020, 1.1022),
        minimum_score=5.0, minimum_patterns=2, minimum_risk_reward=2.5, maximum_cost_to_atr=0.05, maximum_stop_atr=1.0,
    )  # fmt: skip
    assert [(short.rule, short.value, short.threshold) for short in setup.why_not] == [
        ("minimum_score", 2.0, 5.0),
        ("minimum_patterns", 1.0, 2.0),
        ("maximum_stop_atr", pytest.approx(1.1), 1.0),
        ("minimum_risk_reward", pytest.approx((22 - 1) / (11 + 1)), 2.5),
        ("maximum_cost_to_atr", pytest.approx(0.1), 0.05),
    ]
    assert setup.why_not_line().startswith("minimum_score: the score is 2.00, below 5; minimum_patterns: 1 different")


def test_behind_a_break_of_structure_the_stop_is_beyond_the_nearest_swing_that_stands(rising: pd.DataFrame) -> None:
    swing, broken = int(Kind.SWING), int(Kind.BOS)
    swings = [(swing, 1, 2, 12, LASTS, 1.1001, 1.1001), (swing, 1, 3, 13, LASTS, 1.1010, 1.1010)]
    gone = (swing, 1, 4, 14, 20, 1.1025, 1.1025)
    *_, setup = by_hand(rising, *swings, gone, (broken, 1, 10, 30, LASTS, 1.1028, 1.1028))
    assert setup.invalidation == pytest.approx(1.1010)
    [without] = by_hand(rising, (broken, 1, 10, 30, LASTS, 1.1028, 1.1028))
    assert math.isnan(without.stop)
    assert "stop: no level makes it invalid, so there is no stop" in without.why_not_line()


def test_where_no_level_lies_ahead_the_target_is_a_multiple_of_the_risk(rising: pd.DataFrame) -> None:
    [setup] = by_hand(rising, (int(Kind.LIQUIDITY_SWEEP), 1, 30, 30, LASTS, 1.1020, 1.1022), target_r=3.0)
    assert setup.targets == ()
    assert setup.target == pytest.approx(1.1030 + 3 * 0.0011)


def test_longer_bars_are_read_only_once_they_are_closed(sample: pd.DataFrame) -> None:
    base, longer, day = layers_of(sample, Timeframe.H1, [Timeframe.H4, Timeframe.D1], PatternSettings(), AssetClass.FX)
    for layer in (longer, day):
        ends = pd.to_datetime(layer.ends, unit="us", utc=True)
        at = first_closed(base, layer, np.arange(len(layer.bars)))
        read = at < len(base.bars)
        hours_end = base.times[at[read]] + pd.Timedelta(hours=1)
        assert (hours_end >= ends[read]).all()
        assert (base.times[at[read]] < ends[read]).mean() > 0.9  # and at once, unless the hour lacks
        closed = last_closed(base, layer)
        assert (ends[closed[closed >= 0]] <= base.times[closed >= 0] + pd.Timedelta(hours=1)).all()


def test_on_real_bars_there_are_setups_of_both_sides_and_every_outcome(sample: pd.DataFrame) -> None:
    layers = layers_of(sample, Timeframe.H1, LONGER, PatternSettings(), AssetClass.FX)
    candidates = find_candidates(layers, "EURUSD", SetupSettings())
    table = candidates.frame()
    setups = table[table["is_setup"]]
    assert 50 < len(setups) < len(table) < len(sample)
    assert set(setups["direction"]) == {"bullish", "bearish"}
    assert {"target", "stopped"} <= set(setups["status"])
    assert (table["formed_at"] <= table["known_at"]).all()
    assert (setups["risk_reward"] >= SetupSettings().minimum_risk_reward).all()
    best = ranked(candidates.where(slice(-60, None)).setups())
    assert [setup.is_setup for setup in best] == sorted((setup.is_setup for setup in best), reverse=True)


def test_the_spread_of_the_bars_goes_before_the_one_that_is_given(sample: pd.DataFrame) -> None:
    bars = sample.assign(spread_points=np.where(np.arange(len(sample)) % 2, 30.0, np.nan))
    layers = layers_of(bars, Timeframe.H1, [], PatternSettings(), AssetClass.FX)
    candidates = find_candidates(layers, "EURUSD", SetupSettings(), spread_pips=1.0)
    spread = candidates.prices[4]
    assert spread[1::2] == pytest.approx(0.0003)
    assert spread[::2] == pytest.approx(0.0001)


def test_the_defaults_are_those_of_the_configuration() -> None:
    assert SetupSettings() == SetupSettings.from_settings(Settings().scanner)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"minimum_score": 0.0}, "minimum_score=0.0 cannot be used. It must be above 0."),
        ({"maximum_age_bars": -1}, "maximum_age_bars=-1 cannot be used. It must be at least 0."),
        ({"half_life_bars": math.nan}, "half_life_bars=nan is no number. Give one such as 10.0."),
        ({"minimum_patterns": 9}, "minimum_patterns=9 cannot be used. It must be at most 5."),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_in_a_sentence(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as refused:
        SetupSettings(**changed)
    assert str(refused.value) == words


def test_timeframes_are_read_in_any_spelling_and_sorted() -> None:
    assert parse_timeframes("4h, M15,1h,H1") == [Timeframe.M15, Timeframe.H1, Timeframe.H4]
    with pytest.raises(InputError, match="names no timeframe"):
        parse_timeframes(" , ")
