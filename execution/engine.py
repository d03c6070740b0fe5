"""The compiled engine: runs a strategy of ours in one pass over the bars, and sweeps thousands of its sets.

Without FX extras it gives backtesting.py's equity and trades bit for bit; with them (`execution.costs`) it trades
lots in the account's currency. `prepare` checks bars and terms once; `run_signals` and `sweep_positions` share
what it returns.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from core.errors import InputError, StrategyError
from core.version import __version__
from execution.conversion import Rates, conversion_rates
from execution.costs import TRIPLE_DAYS, Costs, PerLot, commission_parts, relative_spread
from execution.library_engine import exit_reasons, spread_paid
from execution.metrics import returns_per_year
from execution.result import EngineRun, RunSettings, trade_table
from execution.strategy import Signals, Strategy
from market.calendar import NEW_YORK_CLOSE, day_cut, trading_day
from market.symbols import AssetClass, Symbol, symbol_of

if TYPE_CHECKING:
    from execution.engine_kernel import Extras, Prices, Terms

Floats = np.ndarray[Any, np.dtype[np.float64]]
Wishes = np.ndarray[Any, np.dtype[np.int8]]

ENGINE = "Sequence"
_REASONS = ("", "signal", "stop", "target", "end of data", "out of money", "stop-out")
_NONE = np.full((1, 1), np.nan)
# Fewer bars than this are done before a second thread has begun.
_WORTH_A_THREAD = 200_000
_MONDAY = 4  # 1970-01-05, in days since 1970-01-01


@dataclass(frozen=True)
class Prepared:
    """Bars and terms as the kernel takes them, for any number of runs.

    `per_year` are the daily returns of a year as `execution.metrics` measures them; `rates` is None without extras.
    """

    bars: pd.DataFrame
    settings: RunSettings
    prices: Prices
    terms: Terms
    extras: Extras | None
    rates: Rates | None
    per_year: float

    @property
    def symbol(self) -> Symbol:
        """What is known of the traded symbol."""
        return symbol_of(self.settings.symbol)


def engine_name() -> str:
    """The engine and its version, as every result names it."""
    return f"{ENGINE} {__version__}"


def why_not_compiled(strategy: Any, settings: RunSettings) -> str | None:
    """Why this engine cannot run that, as a sentence; None when it can."""
    if not isinstance(strategy, Strategy):
        return "It runs the strategies of the workbench; a backtesting.Strategy class runs on backtesting.py only."
    if callable(settings.commission) and not isinstance(settings.commission, PerLot):
        return "A commission that is a Python function runs on backtesting.py only; PerLot and Costs run here."
    return None


def run_compiled(
    bars: pd.DataFrame,
    strategy: Strategy,
    settings: RunSettings,
    conversions: Mapping[str, pd.DataFrame] | None = None,
) -> EngineRun:
    """Run a strategy of ours with the settings' costs.

    Raises StrategyError when its signals or its stops cannot be used, InputError when the costs cannot.
    """
    signals = strategy.checked_signals(bars, settings.parameters)
    return run_signals(prepare(bars, settings, conversions), signals)


def prepare(
    bars: pd.DataFrame, settings: RunSettings, conversions: Mapping[str, pd.DataFrame] | None = None
) -> Prepared:
    """Bars and terms for the kernel; `conversions` are bars by pair.

    Raises InputError for a function as commission, a spread or a conversion that is not there, and cash that does
    not reach for the smallest lot.
    """
    from execution.engine_kernel import Prices

    symbol = symbol_of(settings.symbol)
    times = pd.DatetimeIndex(bars.index)
    days = trading_day(times, symbol.asset_class).to_numpy()
    ends = np.append(np.flatnonzero(days[1:] != days[:-1]), len(bars) - 1).astype(np.int64)
    open_, high, low, close = (
        _fixed(bars[name].to_numpy(dtype="float64")) for name in ("open", "high", "low", "close")
    )
    extras, rates = (None, None)
    if settings.costs is not None:
        extras, rates = _extras(bars, settings, settings.costs, symbol, conversions or {})
    prepared = Prepared(
        bars=bars,
        settings=settings,
        prices=Prices(open_, high, low, close, _fixed(ends)),
        terms=_terms(bars, settings, symbol),
        extras=extras,
        rates=rates,
        per_year=returns_per_year(pd.Series(np.zeros(len(ends) - 1)), pd.Series(0.0, index=times[[0, -1]])),
    )
    if extras is not None:
        _refuse_too_little_cash(prepared, extras)
    return prepared


def run_signals(prepared: Prepared, signals: Signals) -> EngineRun:
    """One recorded run of checked signals. Raises StrategyError naming the bar of a stop on the wrong side."""
    from execution.engine_kernel import FIGURES, TRADE, run_set

    _refuse_risk_without_stop(prepared, signals)
    changes = int(np.count_nonzero(np.diff(signals.position))) + 1
    equity, table, figures = np.empty(len(prepared.bars)), np.empty((changes, len(TRADE))), np.empty(len(FIGURES))
    stops, targets = _distance_row(signals.stop_distance), _distance_row(signals.target_distance)
    wishes = _fixed(signals.position)
    run_set(prepared.prices, wishes, stops, targets, prepared.terms, prepared.extras, equity, table, figures)
    found = dict(zip(FIGURES, figures.tolist(), strict=True))
    if found["wrong_level_bar"] >= 0:
        raise _wrong_level(prepared, signals, int(found["wrong_level_bar"]))
    curve = pd.Series(equity, index=prepared.bars.index, name="equity")
    trades = _trades(prepared, table[: int(found["trades_count"])], curve)
    used = prepared.rates.used if prepared.rates is not None else ()
    return EngineRun(curve, trades, {}, _notes(prepared, found, trades), used)


def sweep_positions(
    prepared: Prepared,
    positions: Wishes,
    stop_distances: Floats | None = None,
    target_distances: Floats | None = None,
    threads: int | None = None,
) -> Floats:
    """The figures (`engine_kernel.FIGURES`) of many sets, a row each; `figures_table` gives them names and units.

    `positions` is int8 of sets × bars. Distances are price units: sets × bars, sets × 1 for one a set, or 1 × bars
    for all; NaN for none. A set whose stop lies on the wrong side has `wrong_level_bar` ≥ 0. Memory beside the
    arguments is a row of figures a set. `threads` is all processors unless given.

    Raises InputError when the shapes do not fit together.
    """
    from execution.engine_kernel import FIGURES, sweep_sets

    if positions.ndim != 2 or positions.shape[1] != len(prepared.bars) or positions.dtype != np.int8:
        raise InputError(
            f"positions is {positions.dtype} of shape {positions.shape} for {len(prepared.bars)} bars.",
            "Give int8 of sets × bars.",
        )
    sets = len(positions)
    stops = _distance_rows("stop_distances", stop_distances, positions)
    targets = _distance_rows("target_distances", target_distances, positions)
    figures = np.empty((sets, len(FIGURES)))

    def run(first: int, last: int) -> None:
        sweep_sets(prepared.prices, wishes, stops, targets, prepared.terms, prepared.extras, first, last, figures)

    wishes = _fixed(positions)
    workers = min(threads or os.cpu_count() or 1, sets, 1 + positions.size // _WORTH_A_THREAD)
    if workers <= 1:
        run(0, sets)
        return figures
    # Python's own threads, which the kernel lets run: numba's would need OpenMP or TBB and do not survive a fork.
    edges = np.linspace(0, sets, 4 * workers + 1).astype(int).tolist()
    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(run, first, last) for first, last in pairwise(edges)]:
            done.result()
    return figures


def figures_table(prepared: Prepared, figures: Floats) -> pd.DataFrame:
    """`figure_columns` as a table, a row a set."""
    return pd.DataFrame(figure_columns(prepared, figures))


def figure_columns(prepared: Prepared, figures: Floats) -> dict[str, Floats]:
    """The sweep's figures under the names and units of `execution.metrics`, a value a set in each.

    `max_drawdown`, `total_return`, `win_rate` and `exposure_pct` are per cent. A set that could not be run is NaN in
    all but `wrong_level_bar`.
    """
    from execution.engine_kernel import FIGURES

    of = dict(zip(FIGURES, figures.T, strict=True))
    cash, trades, returns = prepared.settings.cash, of["trades_count"], of["returns"]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = of["return_sum"] / returns
        squares = np.maximum(of["return_square_sum"] - returns * mean * mean, 0.0)
        deviation = np.sqrt(squares / (returns - 1))
        sharpe = np.where(deviation > 0, mean / deviation * np.sqrt(prepared.per_year), np.nan)
        won = np.where(of["gross_profit"] > 0, np.inf, np.nan)
        columns = {
            "total_return": 100 * (of["final_equity"] / cash - 1),
            "net_profit": of["final_equity"] - cash,
            "final_equity": of["final_equity"],
            "sharpe_ratio": sharpe,
            "max_drawdown": -100 * of["max_drawdown"],
            "trades_count": trades,
            "win_rate": 100 * of["wins"] / trades,
            "profit_factor": np.where(of["gross_loss"] > 0, of["gross_profit"] / of["gross_loss"], won),
            "expectancy": of["pnl_sum"] / trades,
            "exposure_pct": 100 * of["bars_in_market"] / len(prepared.bars),
            "refused_for_margin": of["refused_for_margin"],
            "refused_as_too_small": of["refused_as_too_small"],
            "refused_without_stop": of["refused_without_stop"],
            "end_bar": of["end_bar"],
        }
    wrong = of["wrong_level_bar"]
    if (wrong >= 0).any():
        columns = {name: np.where(wrong < 0, column, np.nan) for name, column in columns.items()}
    return {**columns, "wrong_level_bar": wrong}


def compile_kernels() -> None:
    """Compile all that runs and sweeps need, or read it from the disk: seconds the first time, then a half.

    Call it where a user can be told what is waited for.
    """
    index = pd.date_range("2024-01-02", periods=4, freq="h", tz="UTC", name="time")
    bars = pd.DataFrame(1.0, index=index, columns=["open", "high", "low", "close", "volume"])
    from market.timeframes import Timeframe

    signals = Signals(np.zeros(4, dtype=np.int8))
    for costs in (None, Costs(lots=0.01)):
        prepared = prepare(bars, RunSettings("", "EURUSD", Timeframe.H1, 10_000.0, costs=costs))
        run_signals(prepared, signals)
        sweep_positions(prepared, np.zeros((1, 4), dtype=np.int8))


def _fixed(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """`values` contiguous and read-only: the kernel is compiled for this one kind of array."""
    view = np.ascontiguousarray(values).view()
    view.flags.writeable = False
    return view


def _distance_row(distances: Floats | None) -> Floats:
    return _fixed(_NONE[0] if distances is None else distances)


def _distance_rows(name: str, distances: Floats | None, positions: Wishes) -> Floats:
    if distances is None:
        return _fixed(_NONE)
    sets, bars = positions.shape
    if distances.ndim != 2 or distances.shape[0] not in {1, sets} or distances.shape[1] not in {1, bars}:
        raise InputError(
            f"{name} has the shape {distances.shape} for {sets} sets of {bars} bars.",
            "Give a row a set or one for all, and a value a bar or one for all.",
        )
    return _fixed(distances.astype("float64", copy=False))


def _terms(bars: pd.DataFrame, settings: RunSettings, symbol: Symbol) -> Terms:
    from execution.engine_kernel import Terms

    fixed = relative = per_unit = 0.0
    minimum = -np.inf
    if isinstance(settings.commission, PerLot):
        per_unit, minimum = settings.commission.money_per_unit, settings.commission.minimum
    elif callable(settings.commission):
        raise InputError(
            "A commission that is a Python function cannot be compiled.",
            "Give a fraction, a pair (money, fraction), PerLot(money), or run on backtesting.py.",
        )
    else:
        fixed, relative = commission_parts(settings.commission)
    costs = settings.costs
    if costs is not None and (costs.commission_per_lot or costs.commission_minimum):
        if isinstance(settings.commission, PerLot):
            raise InputError("The commission per lot is given twice.", "Keep the one of the costs.")
        per_unit, minimum = costs.commission_per_lot / symbol.contract_size, costs.commission_minimum or -np.inf
    spread = relative_spread(settings.spread_pips, settings.symbol, float(bars["close"].iloc[0]))
    return Terms(float(settings.cash), 1 / settings.margin, spread, fixed, relative, per_unit, float(minimum))


def _extras(
    bars: pd.DataFrame,
    settings: RunSettings,
    costs: Costs,
    symbol: Symbol,
    conversions: Mapping[str, pd.DataFrame],
) -> tuple[Extras, Rates]:
    from execution.engine_kernel import FRACTION, LOTS, RISK, Extras

    rates = conversion_rates(bars, symbol.name, settings.timeframe, costs.currency(symbol), conversions)
    step, least, most = (lots * symbol.contract_size for lots in costs.lot_limits(symbol))
    sizing, amount = FRACTION, costs.fraction or 1.0
    if costs.lots is not None:
        sizing, amount = LOTS, costs.lots * symbol.contract_size
        if costs.lots * symbol.contract_size < least:
            raise InputError(
                f"lots={costs.lots:g} is below the smallest lot of {least / symbol.contract_size:g}.",
                "Give more lots, or a smaller min_lot.",
            )
    elif costs.risk_fraction is not None:
        sizing, amount = RISK, costs.risk_fraction
    # Points are quote money of one unit; money is account money of one lot.
    in_points = costs.swap_unit == "points"
    swaps = [swap * symbol.point if in_points else 0.0 for swap in (costs.swap_long, costs.swap_short)]
    money = [0.0 if in_points else swap / symbol.contract_size for swap in (costs.swap_long, costs.swap_short)]
    return (
        Extras(
            spread=_fixed(_spread(bars, settings, costs, symbol)),
            open_rate=_fixed(rates.at_open),
            close_rate=_fixed(rates.at_close),
            nights=_fixed(swap_nights(pd.DatetimeIndex(bars.index), symbol.asset_class, costs.swap_triple_day)),
            own_rate=rates.is_own,
            slippage=float(costs.slippage_pips * symbol.pip),
            sizing=sizing,
            amount=float(amount),
            default_stop=float((costs.stop_pips or 0.0) * symbol.pip),
            unit_step=float(step),
            least_units=float(least),
            most_units=float(np.floor(most / step + 1e-9) * step),
            swap_long=float(swaps[0]),
            swap_short=float(swaps[1]),
            swap_long_money=float(money[0]),
            swap_short_money=float(money[1]),
            call_level=float(costs.margin_call_pct / 100),
            stop_out_level=float(costs.stop_out_pct / 100),
            is_protected=bool(costs.negative_balance_protection),
        ),
        rates,
    )


def swap_nights(times: pd.DatetimeIndex, asset_class: AssetClass, triple_day: str) -> Floats:
    """How many nights of swap are charged at the open of each bar to a position held since the bar before.

    A night ends with its trading day (FX: 17:00 New York); a bar that opens at that very moment is the first after
    it. The end of `triple_day` counts three nights, so that a week of FX has seven; other markets have one every day.
    """
    days = trading_day(times, asset_class).to_numpy().astype("datetime64[D]").astype("int64") - _MONDAY
    weeks, weekday = np.divmod(days, 7)
    weights = np.ones(7)
    if day_cut(asset_class) == NEW_YORK_CLOSE:
        weights[5:] = 0.0
        weights[TRIPLE_DAYS.index(triple_day)] = 3.0
    # Nights from that Monday up to the beginning of each day.
    before = weeks * weights.sum() + np.append(0.0, weights.cumsum())[weekday]
    nights: Floats = np.diff(before, prepend=before[0])
    return nights


def _spread(bars: pd.DataFrame, settings: RunSettings, costs: Costs, symbol: Symbol) -> Floats:
    """Ask − bid of each bar, in price units."""
    if not costs.spread_from_bars:
        return np.full(len(bars), settings.spread_pips * symbol.pip)
    if settings.spread_pips:
        raise InputError(
            f"The spread is given twice: {settings.spread_pips:g} pips and that of the bars.", "Keep one of them."
        )
    if "spread_points" not in bars:
        raise InputError(
            f"The bars of {symbol.name} have no column spread_points.", "Give a constant spread in pips instead."
        )
    points = bars["spread_points"].to_numpy(dtype="float64")
    bad = ~((points >= 0) & np.isfinite(points))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"spread_points={points[row]:g} at {bars.index[row]:%Y-%m-%d %H:%M} UTC is no spread.",
            "Fill the column before it is used, or give a constant spread in pips.",
        )
    return cast("Floats", points * symbol.point)


def _refuse_too_little_cash(prepared: Prepared, extras: Extras) -> None:
    """The smallest lot must be affordable at the first open at least."""
    symbol, costs = prepared.symbol, prepared.settings.costs
    needed = extras.least_units * prepared.prices.open[0] * extras.open_rate[0] * prepared.settings.margin
    if costs is not None and needed > prepared.settings.cash:
        currency = costs.currency(symbol)
        raise InputError(
            f"cash={prepared.settings.cash:g} {currency} does not reach for the smallest lot of {symbol.name}: "
            f"{extras.least_units / symbol.contract_size:g} lots need {needed:,.2f} {currency} of margin.",
            "Start with more cash, or take a smaller margin (more leverage).",
        )


def _refuse_risk_without_stop(prepared: Prepared, signals: Signals) -> None:
    costs = prepared.settings.costs
    if costs is None or costs.risk_fraction is None or costs.stop_pips is not None:
        return
    if signals.stop_distance is None or not np.isfinite(signals.stop_distance).any():
        raise InputError(
            f"{prepared.settings.strategy_name} gives no stop, so what a trade risks is not known.",
            "Give stop_pips, or size by lots or fraction.",
        )


def _wrong_level(prepared: Prepared, signals: Signals, bar: int) -> StrategyError:
    distances = {"stop": signals.stop_distance, "target": signals.target_distance}
    given = " and ".join(f"a {name} at {values[bar]:g}" for name, values in distances.items() if values is not None)
    return StrategyError(
        f"{prepared.settings.strategy_name} puts {given or 'a level'} from the close of "
        f"{prepared.bars.index[bar]:%Y-%m-%d %H:%M} UTC, which no broker accepts: a stop lies behind the price, "
        "a target before it, and neither below 0.",
        "Give distances in price units that are above 0, wider than the spread, and smaller than the price.",
    )


def _trades(prepared: Prepared, table: Floats, equity: pd.Series) -> pd.DataFrame:
    from execution.engine_kernel import TRADE

    columns: dict[str, Any] = dict(zip(TRADE, np.ascontiguousarray(table.T), strict=True))
    columns["entry_bar"], columns["exit_bar"] = (columns[name].astype(int) for name in ("entry_bar", "exit_bar"))
    columns["tag"] = np.full(len(table), None)
    if prepared.extras is None:
        columns["spread"] = spread_paid(columns, prepared.terms.spread)
        reasons = exit_reasons(columns, prepared.bars, equity)
    else:
        reasons = np.array(_REASONS)[columns["reason"].astype(int)]
    return trade_table(columns, prepared.bars, prepared.symbol.pip, reasons)


def _notes(prepared: Prepared, found: Mapping[str, float], trades: pd.DataFrame) -> tuple[str, ...]:
    """What the reader should know of the run, most important first."""
    notes = []
    times = prepared.bars.index
    end = int(found["end_bar"])
    if end >= 0 and len(trades) and trades["exit_reason"].iloc[-1] == "stop-out":
        level = prepared.settings.costs.stop_out_pct if prepared.settings.costs else 0.0
        notes.append(
            f"Stopped out at {times[end]:%Y-%m-%d %H:%M} UTC: the margin level fell to {level:g} %; the run ends."
        )
    elif end >= 0:
        notes.append(f"The money was gone at {times[end]:%Y-%m-%d %H:%M} UTC; the run ended there.")
    if found["written_off"] > 0:
        notes.append(f"A gap took {found['written_off']:,.2f} more than the account held; that is written off.")
    if found["margin_call_bar"] >= 0:
        notes.append(f"Margin call at {times[int(found['margin_call_bar'])]:%Y-%m-%d %H:%M} UTC, the first of the run.")
    refused = {
        "refused_for_margin": "orders were refused for lack of margin.",
        "refused_as_too_small": "orders were smaller than the smallest lot.",
        "refused_without_stop": "orders were left out: no stop to size them by.",
    }
    notes += [f"{found[name]:.0f} {words}" for name, words in refused.items() if found[name]]
    if trades.empty:
        notes.append("The strategy made no trade on this data.")
    if prepared.rates is not None and prepared.rates.way != "none needed":
        notes.append(f"Profit in {prepared.symbol.quote} was converted by {prepared.rates.way}.")
    return tuple(notes)
