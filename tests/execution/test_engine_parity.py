"""The compiled engine against backtesting.py: equity, every trade and the drawdown, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from core.errors import InputError, StrategyError
from execution.costs import PerLot
from execution.engine import run_compiled
from execution.library_engine import run_own
from execution.metrics import drawdown
from execution.result import EngineRun, RunSettings
from execution.strategy import Signals, Strategy
from market.timeframes import Timeframe

MadeBars = Callable[..., pd.DataFrame]
Wishing = Callable[..., Strategy]
QUIET = (100.0, 100.5, 99.5, 100.0)


@some.composite
def markets(draw: Any) -> pd.DataFrame:
    """Random walks with gaps, some of them on a coarse grid on which prices meet exactly."""
    rows = draw(some.integers(2, 50))
    random = np.random.default_rng(draw(some.integers(0, 2**32)))
    moves = draw(some.sampled_from([1e-4, 1e-3, 2e-2, 0.15]))
    grid = draw(some.sampled_from([0.0, 1e-5, 1e-2]))
    steps = random.normal(size=(rows, 4)) * moves
    gaps = steps[:, 0] * random.choice([0, 0, 1, 3], size=rows)
    close = draw(some.sampled_from([0.6, 1.1, 150.0, 2000.0])) * np.exp(np.cumsum(gaps + steps[:, 1]))
    open_ = close * np.exp(-steps[:, 1])
    high = np.maximum(open_, close) * np.exp(np.abs(steps[:, 2]))
    low = np.minimum(open_, close) * np.exp(-np.abs(steps[:, 3]))
    prices = np.column_stack([open_, high, low, close])
    if grid:
        prices = np.maximum(np.round(prices / grid) * grid, grid)
    index = pd.date_range("2024-01-02", periods=rows, freq="h", tz="UTC", unit="us", name="time")
    bars = pd.DataFrame(prices, index=index, columns=["open", "high", "low", "close"])
    bars["high"], bars["low"] = prices.max(axis=1), prices.min(axis=1)
    return bars.assign(volume=1.0)


@some.composite
def wishes(draw: Any, bars: pd.DataFrame) -> Signals:
    """Random positions, and distances from none over sensible ones to some that no broker accepts."""
    random = np.random.default_rng(draw(some.integers(0, 2**32)))
    held = draw(some.sampled_from([1, 4]))
    position = np.repeat(random.choice([-1, 0, 1], size=len(bars)), held)[: len(bars)].astype(np.int8)

    def distances() -> np.ndarray | None:
        if draw(some.booleans()):
            return None
        span = (bars["high"] - bars["low"]).to_numpy() * draw(some.sampled_from([0.3, 1.0, 3.0]))
        given = span * random.random(len(bars)) + draw(some.sampled_from([1e-6, 0.0]))
        given[random.random(len(bars)) < 0.3] = np.nan
        if draw(some.integers(0, 9)) == 0:
            given = bars["close"].to_numpy() * draw(some.sampled_from([-0.01, 0.5, 1.0, 1.5]))
        return given

    return Signals(position, distances(), distances())


COMMISSIONS = [0.0, 0.001, -0.0005, (2.0, 0.0002), (5.0, 0.0), PerLot(3.5, minimum=1.0)]
TERMS = some.builds(
    RunSettings,
    strategy_name=some.just("Wishing"),
    symbol=some.just("EURUSD"),
    timeframe=some.just(Timeframe.H1),
    cash=some.sampled_from([100.0, 1000.0, 10_000.0, 1e6]),
    commission=some.sampled_from(COMMISSIONS),
    spread_pips=some.sampled_from([0.0, 1.3, 20.0]),
    margin=some.sampled_from([1.0, 0.5, 1 / 3, 0.05, 0.01]),
)


def both(bars: pd.DataFrame, signals: Signals, terms: RunSettings) -> list[EngineRun | InputError]:
    """What backtesting.py and the compiled engine make of the same."""
    strategy = Strategy("Wishing", "Wishing", "As told.", "this test", 1, (), lambda _bars, _values: signals)
    answers: list[EngineRun | InputError] = []
    for run in (run_own, run_compiled):
        try:
            answers.append(run(bars, strategy, terms))
        except InputError as refusal:
            answers.append(refusal)
    return answers


def agreed(bars: pd.DataFrame, signals: Signals, terms: RunSettings) -> EngineRun:
    """The run on which both engines agree to the last bit; fails when they do not, or refuse it."""
    theirs, ours = both(bars, signals, terms)
    assert isinstance(theirs, EngineRun), theirs
    assert isinstance(ours, EngineRun), ours
    pd.testing.assert_series_equal(ours.equity, theirs.equity, check_exact=True)
    pd.testing.assert_frame_equal(ours.trades, theirs.trades, check_exact=True)
    assert drawdown(ours.equity).min() == -theirs.figures["_equity_curve"]["DrawdownPct"].max()
    refused = [[note for note in run.notes if "refused" in note] for run in (theirs, ours)]
    assert refused[0] == refused[1]
    return ours


@given(data=some.data(), bars=markets(), terms=TERMS)
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_both_engines_give_the_same_bits(data: Any, bars: pd.DataFrame, terms: RunSettings) -> None:
    signals = data.draw(wishes(bars))
    theirs, ours = both(bars, signals, terms)
    if isinstance(theirs, InputError) or isinstance(ours, InputError):
        assert isinstance(theirs, StrategyError)
        assert isinstance(ours, StrategyError)
    else:
        agreed(bars, signals, terms)


def terms(**given: Any) -> RunSettings:
    return RunSettings("Wishing", "EURUSD", Timeframe.H1, **{"cash": 10_000.0, **given})


def told(positions: list[int], stop: float | None = None, target: float | None = None) -> Signals:
    """The same stop and target at every bar."""
    distances = [None if d is None else np.full(len(positions), d) for d in (stop, target)]
    return Signals(np.array(positions, dtype=np.int8), *distances)


def quiet(made: MadeBars, rows: int = 10, **placed: tuple[float, float, float, float]) -> pd.DataFrame:
    """A flat market in which `bar_5=(…)` puts another bar."""
    return made([placed.get(f"bar_{row}", QUIET) for row in range(rows)])


def test_a_bankrupt_run_ends_at_the_close_that_ruined_it(made: MadeBars) -> None:
    # 10,000 at 20:1 buys 1,999 units at 100; at a close of 94 they have lost 11,994.
    bars = quiet(made, bar_5=(99.0, 99.5, 93.0, 94.0), bar_6=(94.0, 120.0, 94.0, 120.0))
    run = agreed(bars, told([0, 0, 1, 1, 1, 1, 1, -1, 1, 0]), terms(margin=0.05))
    assert run.equity.tolist() == [10_000.0] * 5 + [0.0] * 5
    assert run.trades[["exit_bar", "exit_price", "exit_reason"]].values.tolist() == [[5, 94.0, "out of money"]]


def test_a_bankrupt_account_without_a_position_ends_as_well(made: MadeBars) -> None:
    # The stop at 99 is gapped to 94: the position is closed there, and what is left is less than nothing.
    bars = quiet(made, bar_5=(94.0, 99.5, 93.0, 94.0))
    run = agreed(bars, told([0, 0, 1, 1, 1, 1, 1, -1, 1, 0], stop=1.0), terms(margin=0.05))
    assert run.equity.tolist() == [10_000.0] * 5 + [0.0] * 5
    assert run.trades["exit_reason"].tolist() == ["stop"]


def test_a_run_ruined_on_its_last_bar(made: MadeBars) -> None:
    bars = quiet(made, bar_9=(99.0, 99.5, 93.0, 94.0))
    run = agreed(bars, told([0, 0, *[1] * 8]), terms(margin=0.05))
    assert (run.equity.iloc[-1], run.trades["exit_reason"].tolist()) == (0.0, ["out of money"])


def test_a_run_whose_forced_close_at_the_last_open_ruins_it(made: MadeBars) -> None:
    # At the last close it is well, at that bar's open, where it is closed by force, it has nothing.
    bars = quiet(made, bar_9=(94.0, 100.5, 93.0, 100.0))
    run = agreed(bars, told([0, 0, *[1] * 8]), terms(margin=0.05))
    assert run.equity.iloc[-1] == 0.0


def test_an_equity_of_exactly_nothing_ends_the_run(made: MadeBars) -> None:
    # 10.50 at 2:1 buys 20 units at 1, and 20 × 0.475 − 20 is −10.50 to the last bit.
    bars = made([(1.0, 1.0, 1.0, 1.0)] * 4 + [(1.0, 1.0, 0.475, 0.475)] + [(0.475, 1.0, 0.475, 1.0)] * 3)
    run = agreed(bars, told([0, 1, 1, 1, 1, 1, 1, 1]), terms(cash=10.5, margin=0.5))
    assert run.equity.tolist()[4:] == [0.0] * 4


def test_orders_refused_for_margin_are_counted_alike(made: MadeBars) -> None:
    run = agreed(quiet(made), told([0, 1, 1, 0, 0, 1, 1, 0, -1, 0]), terms(cash=50.0))
    assert run.trades.empty
    assert run.notes[0] == "3 orders were refused for lack of margin."


@pytest.mark.parametrize(("cash", "price", "units"), [(2.7, 0.3, 8), (4.9, 0.7, 6), (5.4, 0.3, 17)])
def test_the_whole_units_are_those_of_the_exact_quotient(made: MadeBars, cash: float, price: float, units: int) -> None:
    # 2.7 × (1 − ε) / 0.3 lies below 9 and is 9 when rounded to a float.
    run = agreed(made([(price, price, price, price)] * 6), told([0, 1, 1, 1, 0, 0]), terms(cash=cash))
    assert run.trades["size"].tolist() == [units]


@pytest.mark.parametrize("side", [1, -1])
def test_a_stop_comes_before_a_target_in_one_bar(made: MadeBars, side: int) -> None:
    bars = quiet(made, bar_6=(100.0, 103.0, 97.0, 100.0))
    run = agreed(bars, told([0, 0, 0, *[side] * 7], stop=1.0, target=2.0), terms())
    assert run.trades[["exit_bar", "exit_price", "exit_reason"]].values.tolist() == [[6, 100.0 - side, "stop"]]


@pytest.mark.parametrize(("side", "opens"), [(1, 96.0), (-1, 104.0)])
def test_a_gapped_stop_fills_at_the_open(made: MadeBars, side: int, opens: float) -> None:
    bars = quiet(made, bar_6=(opens, 104.5, 95.5, opens))
    run = agreed(bars, told([0, 0, 0, *[side] * 7], stop=1.0, target=5.0), terms())
    assert run.trades[["exit_bar", "exit_price", "exit_reason"]].values.tolist() == [[6, opens, "stop"]]


def test_a_target_gapped_over_fills_at_the_open(made: MadeBars) -> None:
    bars = quiet(made, bar_6=(104.0, 105.0, 103.0, 104.0))
    run = agreed(bars, told([0, 0, 0, *[1] * 7], target=2.0), terms(spread_pips=3, commission=0.0001))
    assert run.trades["exit_price"].tolist() == [104.0]


def test_a_stop_in_the_bar_of_the_entry(made: MadeBars) -> None:
    bars = quiet(made, bar_4=(100.0, 100.5, 98.0, 100.0))
    run = agreed(bars, told([0, 0, 0, *[1] * 7], stop=1.0), terms())
    assert run.trades[["entry_bar", "exit_bar"]].values.tolist() == [[4, 4]]


def test_a_reversal_and_the_last_bar(made: MadeBars) -> None:
    bars = quiet(made, bar_9=(105.0, 108.0, 104.0, 107.0))
    run = agreed(bars, told([0, 0, 1, 1, -1, -1, -1, 0, 1, -1]), terms(commission=(1.0, 0.0001)))
    assert run.trades[["entry_bar", "exit_bar"]].values.tolist() == [[3, 5], [5, 8], [9, 9]]


@pytest.mark.parametrize("rows", [2, 3])
def test_the_shortest_runs_there_are(made: MadeBars, rows: int) -> None:
    run = agreed(quiet(made, rows), told([1] * rows), terms())
    assert len(run.trades) == rows - 2


@pytest.mark.parametrize("distance", [-1.0, 0.0, 100.0, 101.0])
def test_levels_that_no_broker_accepts_are_refused_by_both(made: MadeBars, distance: float) -> None:
    # A stop at the price, behind it, at 0 and below 0; 0 itself stands for no stop, in both.
    answers = both(quiet(made), told([0, 0, 0, *[1] * 7], stop=distance), terms())
    if distance == 100.0:
        agreed(quiet(made), told([0, 0, 0, *[1] * 7], stop=distance), terms())
    else:
        assert [type(answer) for answer in answers] == [StrategyError, StrategyError]
        assert "2024-01-02 0" in str(answers[1])


def test_the_printed_strategies_agree_on_the_sample(sample: pd.DataFrame) -> None:
    from execution.registry import strategy_named

    for name in ("MA_Crossover", "RSI_Bands"):
        strategy = strategy_named(name)
        given = RunSettings(
            name, "EURUSD", Timeframe.H1, 10_000.0, 0.00002, 0.8, margin=0.05, parameters=strategy.values()
        )
        run = agreed(sample, strategy.checked_signals(sample, given.parameters), given)
        assert len(run.trades) > 20
