from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.errors import InputError, UnknownNameError
from execution.backtest_manager import manager
from execution.causality import look_ahead_check
from execution.outcomes import (
    DIMENSIONS,
    Entries,
    OutcomeStudy,
    StudiedSeries,
    StudyTerms,
    entries_of_findings,
    entries_of_setups,
    study_frame,
    study_outcomes,
)
from execution.registry import strategy_named
from market.symbols import AssetClass
from market.timeframes import Timeframe
from scanner.layers import layers_of
from scanner.patterns.all import find_patterns
from scanner.patterns.findings import Kind
from scanner.patterns.settings import PatternSettings
from scanner.setups import SetupSettings, find_candidates

MadeBars = Callable[..., pd.DataFrame]
QUICK: dict[str, Any] = {"controls": 20, "resamples": 200}


def entries(known: list[int], side: list[int], formed: list[int] | None = None, **levels: list[float]) -> Entries:
    none = [math.nan] * len(known)
    return Entries(
        np.array(known, dtype="int64"),
        np.array(formed or known, dtype="int64"),
        np.array(side, dtype="int64"),
        np.full(len(known), "made", dtype=object),
        np.array(levels.get("stop", none), dtype=float),
        np.array(levels.get("target", none), dtype=float),
    )


def studied(bars: pd.DataFrame, given: Entries, **terms: Any) -> OutcomeStudy:
    return study_outcomes(StudiedSeries("EURUSD", "H1", bars, given), StudyTerms(**{**QUICK, **terms}))


@pytest.fixture
def steps(made: MadeBars) -> pd.DataFrame:
    """Six hours from 1.1000: up 10 pips an hour, highs 3 pips above the close, lows 2 pips below the open."""
    rows = [
        (1.1 + n * 0.001, 1.1 + n * 0.001 + 0.0013, 1.1 + n * 0.001 - 0.0002, 1.1 + (n + 1) * 0.001) for n in range(6)
    ]
    return made(rows, start="2024-01-02 09:00")


def test_a_long_pays_the_spread_where_it_enters_and_a_short_where_it_leaves(steps: pd.DataFrame) -> None:
    # Both enter at 1.1010, the open after bar 0, and leave at 1.1030; the spread is 1 pip, each fill slips half.
    study = studied(steps, entries([0, 0], [1, -1]), horizon_bars=2, spread_pips=1.0, slippage_pips=0.5)
    assert study.trades["pips"].tolist() == pytest.approx([20 - 1 - 1, -20 - 1 - 1])
    assert study.trades["cost_pips"].tolist() == pytest.approx([2.0, 2.0])
    # Best bid 1.1033 and worst 1.1008 from a fill at 1.10205 (long); asks one pip above these from 1.10095 (short).
    fill = 1.1010 + 0.0001 + 0.00005
    assert study.trades["mfe_pips"].iloc[0] == pytest.approx((1.1033 - fill) / 0.0001)
    assert study.trades["mae_pips"].iloc[0] == pytest.approx((fill - 1.1008) / 0.0001)
    assert study.trades["mae_pips"].iloc[1] == pytest.approx((1.1034 - 1.10095) / 0.0001)
    assert study.trades["exit"].tolist() == ["horizon", "horizon"]
    assert study.trades["bars"].tolist() == [2, 2]
    assert study.trades["entry_time"].iloc[0] == steps.index[1]
    assert study.trades["exit_time"].iloc[0] == steps.index[2]


def test_commission_is_taken_once_for_the_round_trip(steps: pd.DataFrame) -> None:
    free = studied(steps, entries([0], [1]), horizon_bars=2, spread_pips=0.0)
    paid = studied(steps, entries([0], [1]), horizon_bars=2, spread_pips=0.0, commission_pips=0.7)
    assert free.known.expectancy_pips - paid.known.expectancy_pips == pytest.approx(0.7)
    assert paid.known.cost_pips == pytest.approx(0.7)


def test_the_bars_own_spread_is_paid_unless_another_is_given(steps: pd.DataFrame) -> None:
    bars = steps.assign(spread_points=[5.0, 40.0, math.nan, 5.0, 5.0, 5.0])
    long = studied(bars, entries([0, 1], [1, 1]), horizon_bars=2)
    assert long.trades["cost_pips"].tolist() == pytest.approx(
        [4.0, 0.6]
    )  # where the bar says none, backtest.spread_pips
    short = studied(bars, entries([0], [-1]), horizon_bars=3)
    assert short.trades["cost_pips"].tolist() == pytest.approx([0.5])
    assert studied(bars, entries([0], [1]), horizon_bars=2, spread_pips=2.0).known.cost_pips == pytest.approx(2.0)


def test_stop_and_target_count_from_the_close_that_decides_and_the_stop_comes_first(made: MadeBars) -> None:
    flat = (1.1, 1.1001, 1.0999, 1.1)
    both = (1.1, 1.1030, 1.0970, 1.1)
    gap_down = (1.0950, 1.0960, 1.0940, 1.0955)
    gap_up = (1.1060, 1.1070, 1.1050, 1.1055)
    terms: dict[str, Any] = {"horizon_bars": 3, "spread_pips": 0.0}
    levels: dict[str, Any] = {"stop": [0.0020], "target": [0.0025]}

    def exit_of(*rows: tuple[float, ...], side: int = 1, **changed: Any) -> tuple[str, float]:
        study = studied(made([flat, flat, *rows, flat, flat]), entries([0], [side], **levels), **{**terms, **changed})
        return study.trades["exit"].iloc[0], study.trades["pips"].iloc[0]

    assert exit_of(both) == ("stop", pytest.approx(-20))
    assert exit_of(gap_down) == ("stop", pytest.approx(-50))  # beyond the open: at the open
    assert exit_of(gap_up) == ("target", pytest.approx(60))
    assert exit_of(gap_down, side=-1) == ("target", pytest.approx(50))
    assert exit_of(gap_up, side=-1) == ("stop", pytest.approx(-60))
    assert exit_of(gap_down, slippage_pips=1.0) == ("stop", pytest.approx(-52))  # both fills slip
    assert exit_of(gap_up, slippage_pips=1.0) == ("target", pytest.approx(59))  # a target does not
    # A short's stop at 1.1020 sees the ask: a bid of 1.1015 and 8 pips of spread reach it, and it is bought there.
    near = (1.1, 1.1015, 1.0999, 1.1)
    assert exit_of(near, side=-1, spread_pips=8.0) == ("stop", pytest.approx(-20))
    assert exit_of(near, side=-1)[0] == "horizon"
    assert exit_of(both, use_levels=False)[0] == "horizon"


def slow_outcome(bars: pd.DataFrame, horizon: int, order: tuple[int, int, float, float]) -> tuple[str, float]:
    """The same by the definition, a bar after the other, without costs."""
    at, side, stop, target = order
    decision, fill = bars["close"].iloc[at], bars["open"].iloc[at + 1]
    lost_at, won_at = decision - side * stop, decision + side * target
    for _, bar in bars.iloc[at + 1 : at + 1 + horizon].iterrows():
        worst, best = (bar["low"], bar["high"]) if side > 0 else (bar["high"], bar["low"])
        if (worst - lost_at) * side <= 0:
            return "stop", (min(bar["open"] * side, lost_at * side) - fill * side) / 0.0001
        if (best - won_at) * side >= 0:
            return "target", (max(bar["open"] * side, won_at * side) - fill * side) / 0.0001
    return "horizon", (bars["close"].iloc[at + horizon] - fill) * side / 0.0001


def test_every_entry_comes_to_what_a_walk_through_its_bars_gives(sample: pd.DataFrame) -> None:
    bars, luck = sample.iloc[:900], np.random.default_rng(3)
    at = np.sort(luck.choice(850, 200, replace=False))
    side = luck.choice([-1, 1], 200)
    stop, target = (luck.uniform(0.0005, 0.004, 200) for _ in range(2))
    given = entries(at.tolist(), side.tolist(), stop=stop.tolist(), target=target.tolist())
    study = studied(bars, given, horizon_bars=12, spread_pips=0.0)
    slow = [slow_outcome(bars, 12, each) for each in zip(at, side, stop, target, strict=True)]
    assert study.trades["exit"].tolist() == [way for way, _ in slow]
    assert study.trades["pips"].to_numpy() == pytest.approx([pips for _, pips in slow])
    assert set(study.trades["exit"]) == {"stop", "target", "horizon"}


def test_what_cannot_be_entered_or_has_not_ended_is_left_out_and_counted(steps: pd.DataFrame) -> None:
    study = studied(
        steps, entries([0, 3, 4, 5], [1, 1, 1, 1], target=[9, 9, 0.0001, 9]), horizon_bars=3, spread_pips=0.0
    )
    # Bar 0 has its horizon; 4 reaches its target in the last bar; 3 has not ended, and after bar 5 there is none.
    assert study.trades["known_at"].tolist() == [steps.index[0], steps.index[4]]
    assert (study.known.entries, study.known.left_out) == (2, 2)


def test_hindsight_is_shown_as_what_it_would_have_pretended(sample: pd.DataFrame) -> None:
    swings = find_patterns(sample, PatternSettings(), kinds=[Kind.SWING])
    study = studied(sample, entries_of_findings(swings), horizon_bars=10, spread_pips=0.6)
    # A swing is the extreme of the bars around it: entered there it always wins, entered when it is known it does not.
    assert study.formed.expectancy_pips > 10
    assert study.formed.hit_rate_pct > 70
    assert study.known.expectancy_pips < 3
    assert "would have pretended +" in study.sentence()


def test_random_entries_of_the_same_sides_earn_what_the_market_gave_anybody(made: MadeBars) -> None:
    # A market that rises by a pip an hour: an edge for nobody who is merely long.
    rows = [
        (1.1 + n * 0.0001, 1.1 + n * 0.0001 + 0.0002, 1.1 + n * 0.0001 - 0.0001, 1.1 + (n + 1) * 0.0001)
        for n in range(800)
    ]
    study = studied(made(rows), entries(list(range(20, 700, 7)), [1] * 98), horizon_bars=10, spread_pips=0.0)
    assert study.known.expectancy_pips == pytest.approx(10.0)
    assert study.random.expectancy_pips == pytest.approx(10.0)
    assert study.luck == pytest.approx(1.0)
    assert "no edge is proven" in study.sentence()
    longs_and_shorts = studied(made(rows), entries([20, 30], [1, -1]), horizon_bars=10, spread_pips=0.0)
    assert longs_and_shorts.random.expectancy_pips == pytest.approx(0.0)


def test_an_edge_beyond_chance_is_called_one(sample: pd.DataFrame) -> None:
    ahead = (sample["close"].shift(-10) > sample["close"]).to_numpy()
    known = np.arange(50, 4500, 9)
    seer = entries(known.tolist(), np.where(ahead[known], 1, -1).tolist())
    study = studied(sample, seer, horizon_bars=10, spread_pips=0.6)
    assert study.known.low > 0
    assert study.luck == pytest.approx(1 / 21)
    assert "better than chance" in study.sentence()
    few = studied(sample, seer, horizon_bars=10, spread_pips=0.6, controls=10)
    assert "no edge is proven" in few.sentence()  # ten draws cannot say more than one in eleven
    losing = entries(known.tolist(), np.where(ahead[known], -1, 1).tolist())
    assert "a loss is proven" in studied(sample, losing, horizon_bars=10).sentence()


def test_the_same_seed_gives_the_same_study_and_another_only_other_chance(sample: pd.DataFrame) -> None:
    given = entries_of_findings(find_patterns(sample, PatternSettings(), kinds=[Kind.FVG]))
    one, again = (studied(sample, given, horizon_bars=5) for _ in range(2))
    assert one.summary().equals(again.summary())
    other = studied(sample, given, horizon_bars=5, seed=2)
    assert other.known.expectancy_pips == one.known.expectancy_pips
    assert other.random.expectancy_pips != one.random.expectancy_pips


def test_the_interval_is_that_of_days_drawn_again(made: MadeBars) -> None:
    """Ten entries a day that all share the day's fate are not ten witnesses."""
    luck = np.random.default_rng(1)
    fate = np.repeat(luck.choice([-0.001, 0.001], 40), 24)
    close = 1.1 + np.cumsum(fate / 24)
    opened = np.r_[1.1, close[:-1]]
    bars = made(
        list(zip(opened, np.maximum(opened, close), np.minimum(opened, close), close, strict=True)), start="2024-01-01"
    )
    study = studied(bars, entries(list(range(0, 900, 2)), [1] * 450), horizon_bars=3, spread_pips=0.0, resamples=2000)
    width = study.known.high - study.known.low
    naive = 2 * 1.96 * study.trades["pips"].std() / math.sqrt(len(study.trades))
    assert width > 2 * naive
    assert study.known.low < study.known.expectancy_pips < study.known.high
    assert study.known.days == study.trades["day"].nunique()


def test_a_study_is_broken_down_by_every_dimension_and_the_rows_add_up(sample: pd.DataFrame) -> None:
    given = entries_of_findings(find_patterns(sample, PatternSettings()), [Kind.FVG, Kind.LIQUIDITY_SWEEP])
    halves = [
        StudiedSeries("EURUSD", "H1", sample, given),
        StudiedSeries("GBPUSD", "H1", sample.iloc[:2500], entries([100, 200], [1, -1])),
    ]
    study = study_outcomes(halves, StudyTerms(**QUICK))
    assert study.dimensions == DIMENSIONS
    for dimension in study.dimensions:
        table = study.by(dimension)
        assert table["entries"].sum() == study.known.entries == len(study.trades)
        weighted = (table["entries"] * table["expectancy_pips"]).sum() / table["entries"].sum()
        assert weighted == pytest.approx(study.known.expectancy_pips)
    assert study.by("symbol")["symbol"].tolist() == ["EURUSD", "GBPUSD"]
    assert set(study.by("session")["session"]) == {"asia", "london", "new_york", "outside"}
    assert set(study.by("year")["year"]) == {2017, 2018}
    with pytest.raises(UnknownNameError, match="Did you mean 'session'"):
        study.by("sesion")


def test_nothing_entered_is_a_study_that_says_so(sample: pd.DataFrame) -> None:
    for given in (entries([], []), entries([len(sample) - 1], [1])):
        study = studied(sample, given)
        assert study.known.entries == 0
        assert study.sentence() == "Nothing was entered, so nothing can be said."
        assert study.by("year").empty
        assert len(study.summary()) == 3
    with pytest.raises(InputError, match="nothing to study"):
        study_outcomes([])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"horizon_bars": 0}, "horizon_bars=0 cannot be used. Give a whole number from 1 on."),
        ({"spread_pips": -1.0}, "spread_pips=-1.0 cannot be used. Give 0 or more pips."),
        ({"confidence": 95}, "confidence=95 cannot be used. Give a share such as 0.95."),
        ({"controls": True}, "controls=True cannot be used. Give a whole number from 1 on."),
    ],
)
def test_terms_that_cannot_be_meant_are_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as refused:
        StudyTerms(**changed)
    assert str(refused.value) == words


def test_setups_are_studied_with_their_own_stops_and_targets(sample: pd.DataFrame) -> None:
    layers = layers_of(sample, Timeframe.H1, [Timeframe.H4], PatternSettings(), AssetClass.FX)
    candidates = find_candidates(layers, "EURUSD", SetupSettings(), spread_pips=0.0)
    study = studied(sample, entries_of_setups(candidates), horizon_bars=24, spread_pips=0.0)
    assert study.known.entries + study.known.left_out == int(candidates.passed.sum())
    # What became of a setup, as the scanner follows it, is what the study finds.
    ways = {"stopped": "stop", "target": "target", "expired": "horizon"}
    passed = candidates.where(candidates.passed).frame()
    both = study.trades.merge(passed[passed["status"] != "live"], on=["known_at", "direction"])
    assert len(both) > 100
    assert both["exit"].tolist() == both["status"].map(ways).tolist()
    assert both["exit_time"].tolist() == both["ended_at"].tolist()
    assert study_frame([("setups", study)])["random_pips"].notna().all()


def test_smc_confluence_trades_the_scanners_setups_with_their_stops(sample: pd.DataFrame) -> None:
    strategy = strategy_named("SMC_Confluence")
    values = strategy.values({"timeframes": "H4, D1"})
    signals = strategy.checked_signals(sample, values)
    layers = layers_of(sample, Timeframe.H1, [Timeframe.H4, Timeframe.D1], PatternSettings(), AssetClass.FX)
    candidates = find_candidates(layers, "EURUSD", SetupSettings(maximum_cost_to_atr=1e9), spread_pips=0.0)
    setups = candidates.where(candidates.passed).frame().set_index("known_at")
    begins = np.flatnonzero((np.diff(signals.position, prepend=0) != 0) & (signals.position != 0))
    assert len(begins) > 50
    assert signals.stop_distance is not None
    for bar in begins:
        there = setups.loc[[sample.index[bar]]]
        [setup] = [row for row in there.itertuples() if (row.direction == "bullish") == (signals.position[bar] > 0)]
        assert signals.stop_distance[bar] == pytest.approx(abs(setup.entry - setup.stop))
    run = manager.run_backtest(sample, strategy_name="SMC_Confluence", symbol="EURUSD", spread_pips=0.6)
    assert run["trades_count"] > 50
    assert {"stop", "target"} <= set(run.trades["exit_reason"])


def test_smc_confluence_does_not_look_ahead(sample: pd.DataFrame) -> None:
    strategy = strategy_named("SMC_Confluence")
    values = strategy.values()
    whole = strategy.checked_signals(sample, values)
    for rows in (60, 500, 501, 502, 503, 1111, 2048, 4999):
        part = strategy.checked_signals(sample.iloc[:rows], values)
        assert np.array_equal(part.position, whole.position[:rows])
        for name in ("stop_distance", "target_distance"):
            assert np.array_equal(getattr(part, name), getattr(whole, name)[:rows], equal_nan=True)
    assert look_ahead_check(strategy, sample.iloc[:1000], values).offences.empty
