from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from backtesting import Strategy as LibraryStrategy

from core.errors import InputError
from core.version import __version__
from data.pipeline_controller import controller
from execution.backtest_manager import manager
from execution.costs import Costs, PerLot
from execution.engine import figures_table, prepare, run_compiled, run_signals, sweep_positions, why_not_compiled
from execution.metrics import compute_metrics
from execution.result import RunSettings
from execution.strategy import Signals, Strategy
from market.symbols import AssetClass
from market.timeframes import Timeframe

MadeBars = Callable[..., pd.DataFrame]
Wishing = Callable[..., Strategy]


class BuyAndKeep(LibraryStrategy):  # type: ignore[misc]
    def init(self) -> None:
        pass

    def next(self) -> None:
        if not self.position and not self.orders:
            self.buy(size=1000)


def walk(rows: int, seed: int = 1) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    close = 1.1 * np.exp(np.cumsum(random.normal(0, 1e-3, rows)))
    open_ = np.append(1.1, close[:-1])
    high, low = np.maximum(open_, close) * 1.0004, np.minimum(open_, close) * 0.9996
    index = pd.date_range("2024-01-02", periods=rows, freq="h", tz="UTC", unit="us", name="time")
    return pd.DataFrame({"open": open_, "high": high, "low": low, "close": close, "volume": 1.0}, index=index)


def sets_of(rows: int, sets: int, seed: int = 2) -> np.ndarray:
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 40, size=sets)
    wishes = [np.repeat(random.choice([-1, 0, 1], size=rows), length)[:rows] for length in lengths]
    return np.array(wishes, dtype=np.int8)


def settings(**given: Any) -> RunSettings:
    return RunSettings("Wishing", "EURUSD", Timeframe.H1, **{"cash": 10_000.0, "commission": 0.0001, **given})


EXTRAS = Costs(fraction=0.5, slippage_pips=0.1, commission_per_lot=3.0, swap_long=-4.0, swap_short=1.0)
KINDS: dict[str, RunSettings] = {
    "without extras": settings(spread_pips=1.0, margin=0.1),
    "with extras": settings(spread_pips=1.0, margin=0.1, costs=EXTRAS),
    "ruined": settings(margin=0.003),
    "stopped out": settings(margin=0.003, costs=Costs(fraction=0.9)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_sweep_gives_the_figures_of_single_runs(kind: str) -> None:
    bars, positions = walk(1500), sets_of(1500, 12)
    prepared = prepare(bars, KINDS[kind])
    stops = np.where(np.arange(12) % 2, np.nan, 0.004)[:, None]
    table = figures_table(prepared, sweep_positions(prepared, positions, stops, threads=1))
    ends = 0
    for row, position in enumerate(positions):
        run = run_signals(prepared, Signals(position, np.full(1500, stops[row, 0])))
        metrics = compute_metrics(run.equity, run.trades, 10_000.0, AssetClass.FX)
        for name in ("final_equity", "net_profit", "total_return", "max_drawdown", "trades_count", "exposure_pct"):
            assert table[name].iloc[row] == metrics[name], name
        for name in ("win_rate", "profit_factor", "expectancy", "sharpe_ratio"):
            assert table[name].iloc[row] == pytest.approx(metrics[name], rel=1e-9, nan_ok=True), name
        ends += table["end_bar"].iloc[row] >= 0
    assert (ends > 0) == (kind in {"ruined", "stopped out"})


def test_threads_change_nothing() -> None:
    bars, positions = walk(3000), sets_of(3000, 200)
    prepared = prepare(bars, KINDS["with extras"])
    one, four = (sweep_positions(prepared, positions, threads=threads) for threads in (1, 4))
    np.testing.assert_array_equal(one, four)


def test_distances_go_by_set_by_bar_or_both() -> None:
    bars, positions = walk(600), sets_of(600, 5)
    prepared = prepare(bars, settings())
    whole = np.full((5, 600), 0.003)
    figures = [
        sweep_positions(prepared, positions, given, given) for given in (whole, whole[:, :1], whole[:1], whole[:1, :1])
    ]
    for other in figures[1:]:
        np.testing.assert_array_equal(figures[0], other)
    assert (sweep_positions(prepared, positions) != figures[0]).any()


def test_a_set_whose_stop_lies_on_the_wrong_side_is_marked_and_the_others_run() -> None:
    bars, positions = walk(600), sets_of(600, 3)
    prepared = prepare(bars, settings())
    table = figures_table(prepared, sweep_positions(prepared, positions, np.array([[0.003], [-0.003], [np.nan]])))
    assert (table["wrong_level_bar"] >= 0).tolist() == [False, True, False]
    assert table["final_equity"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("positions", "stops"),
    [
        (np.zeros((2, 9), dtype=np.int8), None),
        (np.zeros(10, dtype=np.int8), None),
        (np.zeros((2, 10)), None),
        (np.zeros((2, 10), dtype=np.int8), np.zeros((3, 10))),
        (np.zeros((2, 10), dtype=np.int8), np.zeros((2, 9))),
        (np.zeros((2, 10), dtype=np.int8), np.zeros(10)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(positions: Any, stops: Any) -> None:
    with pytest.raises(InputError, match="Give"):
        sweep_positions(prepare(walk(10), settings()), positions, stops)


def test_a_sweep_keeps_nothing_but_its_figures() -> None:
    """Beside the positions, memory does not grow with bars: 19 figures of 8 bytes a set."""
    peaks = {}
    for rows in (2_000, 20_000):
        prepared, positions = prepare(walk(rows), settings()), sets_of(rows, 50)
        sweep_positions(prepared, positions[:1])
        tracemalloc.start()
        sweep_positions(prepared, positions, threads=1)
        peaks[rows] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[20_000] < peaks[2_000] + 20_000
    assert max(peaks.values()) < 200_000


def test_the_arrays_of_the_caller_stay_as_they_were_and_writable() -> None:
    bars, positions = walk(300), sets_of(300, 3)
    before = bars.copy(deep=True), positions.copy()
    sweep_positions(prepare(bars, settings()), positions)
    pd.testing.assert_frame_equal(bars, before[0])
    np.testing.assert_array_equal(positions, before[1])
    assert positions.flags.writeable


# The door


def test_the_door_takes_the_library_unless_there_are_extras(bars: pd.DataFrame, wishing: Wishing) -> None:
    strategy = wishing([0, 1, 1, 1, 0, 0, -1, -1, *[0] * 12])
    plain, ours = (manager.run_backtest(bars, strategy, symbol="EURUSD", engine=name) for name in ("auto", "sequence"))
    assert (plain.engine, ours.engine) == ("backtesting.py 0.6.6", f"Sequence {__version__}")
    pd.testing.assert_frame_equal(plain.trades, ours.trades, check_exact=True)
    assert plain.metrics == pytest.approx(ours.metrics, nan_ok=True)
    assert plain.settings == ours.settings
    assert ours.library == {}
    extras = manager.run_backtest(bars, strategy, symbol="EURUSD", costs=Costs(lots=0.01), margin=0.05)
    assert extras.engine == f"Sequence {__version__}"
    assert extras.settings.costs == Costs(lots=0.01)
    assert extras.settings != plain.settings


def test_an_engine_that_cannot_run_it_is_refused(bars: pd.DataFrame, wishing: Wishing) -> None:
    strategy = wishing([0] * 20)
    with pytest.raises(InputError, match=r"no engine 'fast'\. Choose one of auto, backtesting.py, sequence"):
        manager.run_backtest(bars, strategy, symbol="EURUSD", engine="fast")
    with pytest.raises(InputError, match=r"backtesting\.py knows no FX extras\."):
        manager.run_backtest(bars, strategy, symbol="EURUSD", engine="backtesting.py", costs=Costs())
    with pytest.raises(InputError, match=r"class runs on backtesting\.py only"):
        manager.run_backtest(bars, BuyAndKeep, symbol="EURUSD", engine="sequence")


def test_a_library_class_says_which_extras_were_not_applied(bars: pd.DataFrame) -> None:
    costs = Costs(account_currency="JPY", swap_long=-3.0)
    result = manager.run_backtest(bars, BuyAndKeep, symbol="EURUSD", cash=1e6, costs=costs)
    said = "Not applied, since backtesting.py runs its own classes without FX extras"
    assert result.notes[:2] == (f"{said}: account_currency = JPY.", f"{said}: swap_long = -3.0.")
    assert result.settings.costs is None
    assert result.notes[-1] == "Money is in USD, the quote currency of EURUSD."


def test_what_cannot_be_compiled_is_said(wishing: Wishing) -> None:
    strategy = wishing([0])
    assert why_not_compiled(strategy, settings(commission=PerLot(3))) is None
    assert "class runs on backtesting.py only" in str(why_not_compiled(BuyAndKeep, settings()))
    assert "Python function" in str(why_not_compiled(strategy, settings(commission=lambda _size, _price: 0.0)))


def test_a_commission_per_lot_runs_on_both_engines_alike(bars: pd.DataFrame, wishing: Wishing) -> None:
    strategy = wishing([0, 1, 1, 1, 0, 0, -1, -1, *[0] * 12])
    plain, ours = (
        manager.run_backtest(bars, strategy, symbol="EURUSD", commission=PerLot(5, minimum=2), engine=name)
        for name in ("backtesting.py", "sequence")
    )
    pd.testing.assert_frame_equal(plain.trades, ours.trades, check_exact=True)
    assert (ours.trades["commission"] == 4.0).all()


def test_a_run_with_extras_is_stored_with_them(made: MadeBars, wishing: Wishing) -> None:
    bars = made([(0.85 + 0.001 * row,) * 4 for row in range(20)])
    cable = controller.enter_bars(made([(1.25,) * 4] * 20), "GBPUSD", Timeframe.H1)
    costs = Costs(account_currency="USD", lots=0.1, swap_long=-3.0)
    strategy = wishing([0, 1, 1, 1, *[0] * 16])
    given = {"symbol": "EURGBP", "margin": 0.05, "costs": costs, "conversions": {"GBP/USD": cable}}
    result = manager.run_backtest(bars, strategy, **given)
    run = manager.save_result(result=result)
    assert run.run_settings.costs == costs
    assert run.run_settings == result.settings
    assert (run.currency, run.engine) == ("USD", result.engine)
    assert run.fill_assumptions == result.fill_assumptions
    pd.testing.assert_frame_equal(manager.trades(run), result.trades, check_dtype=False, check_exact=True)
    # The same again is answered from the store; other costs are another run.
    assert manager.save_result(result=manager.run_backtest(bars, strategy, **given)).run_id == run.run_id
    dearer = manager.run_backtest(bars, strategy, **{**given, "costs": Costs(account_currency="USD", lots=0.2)})
    assert manager.save_result(result=dearer).run_id != run.run_id


@pytest.mark.parametrize("commission", [0.001, (2.0, 0.001), PerLot(3.5, minimum=1.0)])
def test_settings_come_back_from_the_store(bars: pd.DataFrame, wishing: Wishing, commission: Any) -> None:
    result = manager.run_backtest(bars, wishing([0, 1] * 10), symbol="EURUSD", commission=commission, spread_pips=1.5)
    run = manager.save_result(result=result)
    assert manager.run(run.run_id).run_settings == result.settings
    assert run.currency == "USD"


def test_a_strategy_that_cannot_be_run_stores_nothing(bars: pd.DataFrame, home: Path) -> None:
    def raises(_bars: pd.DataFrame, _values: object) -> Signals:
        raise ZeroDivisionError("by zero")

    broken = Strategy("Broken", "Broken", "None.", "this test", 1, (), raises)
    with pytest.raises(InputError, match="Broken raised ZeroDivisionError: by zero"):
        manager.run_backtest(bars, broken, symbol="EURUSD", costs=Costs(lots=0.01), margin=0.05)
    assert list(home.iterdir()) == []


def test_run_compiled_is_one_call(bars: pd.DataFrame, wishing: Wishing) -> None:
    run = run_compiled(bars, wishing([0, 1, 1, 0, *[0] * 16]), settings(commission=0.0))
    assert run.trades["pnl"].tolist() == [2.0 * 98]
