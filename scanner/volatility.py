"""Which pairs move enough to be traded, and what a trade in them costs against that.

    ranks = volatility_rank_pairs(["EURUSD", "GBPUSD"], lookback_bars=200, top_n=10)

The average true range is Wilder's over the bars that open on trading days (FX: not from Friday 17:00 to Sunday 17:00
New York), of the newest `lookback_bars`. The most volatile comes first, measured in per cent of the price; one below
the least volatility, or beyond the best `top_n`, is skipped with its reason. The names of the settings are those of
`config.yaml`, section volatility.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from core.errors import InputError, SequenceError
from core.settings import VolatilitySettings, current_settings
from market.bars import check_bars
from market.calendar import day_clock
from market.indicators import atr
from market.resample import resample_bars
from market.symbols import AssetClass, Symbol, canonical_symbol, symbol_of
from market.timeframes import Timeframe, parse_timeframe

Pair = tuple[str, Timeframe]
# Weekend quotes are read with the others and left out afterwards.
_ROOM = 2
ReadBars = Callable[[str, Timeframe, int], pd.DataFrame]


@dataclass(frozen=True)
class Volatility:
    """How much a symbol moves on one timeframe.

    `atr` is in price; `atr_pct` and `day_range_pct` (mean true range of whole trading days, NaN within one) are % of
    the last close, `cost_to_atr` the spread over the average true range. `rank` is None and `skipped` says why for one
    that is not ranked; a ranked one beyond the best so many has both.
    """

    symbol: str
    timeframe: str
    bars: int = 0
    last_time: pd.Timestamp | None = None
    close: float = math.nan
    atr: float = math.nan
    atr_pct: float = math.nan
    day_range_pct: float = math.nan
    cost_to_atr: float = math.nan
    rank: int | None = None
    selected: bool = False
    skipped: str = ""


def volatility_rank_pairs(
    active_pairs: Iterable[str | tuple[str, str]],
    lookback_bars: int | None = None,
    top_n: int | None = None,
    *,
    timeframe: str = "H1",
    read: ReadBars | None = None,
) -> list[Volatility]:
    """The selected pairs, the most volatile first; the whole ranking, with those skipped, is stored.

    A pair is a symbol, then of `timeframe`, or (symbol, timeframe). Bars come from the store of bars unless `read`
    gives them: `read(symbol, timeframe, bars)`, the newest. Raises InputError for a number that cannot be used.
    """
    from scanner.store import enter_ranks

    settings = _settings(lookback_bars, top_n)
    pairs = [_pair(each, timeframe) for each in active_pairs]
    ranking = rank_pairs(pairs, settings, read or stored_bars)
    enter_ranks(ranking)
    return [each for each in ranking if each.selected]


def rank_pairs(pairs: Sequence[Pair], settings: VolatilitySettings, read: ReadBars) -> list[Volatility]:
    """Every pair once, ranked ones first in their order; one whose bars cannot be read is skipped with the reason."""
    measured = []
    for symbol, timeframe in dict.fromkeys(pairs):
        try:
            bars = read(symbol, timeframe, _ROOM * settings.lookback_bars)
            measured.append(measure(bars, symbol, timeframe, settings))
        except SequenceError as error:
            measured.append(Volatility(symbol, str(timeframe), skipped=str(error)))
    return ranked(measured, settings)


def measure(bars: pd.DataFrame, symbol: str, timeframe: Timeframe, settings: VolatilitySettings) -> Volatility:
    """One pair's figures from its newest closed bars, not yet ranked; `skipped` where they are too few or too calm.

    Raises BarsError for bars that break the contract.
    """
    known = symbol_of(symbol)
    bars = check_bars(bars)
    bars = bars[_on_trading_days(pd.DatetimeIndex(bars.index), timeframe, known)].iloc[-settings.lookback_bars :]
    found = Volatility(symbol, str(timeframe), len(bars))
    if len(bars) <= settings.atr_period:
        return replace(
            found, skipped=f"{len(bars)} bars on trading days; {settings.atr_period + 1} are needed for the average."
        )
    close, average = float(bars["close"].iloc[-1]), float(atr(bars, settings.atr_period)[-1])
    found = replace(
        found,
        last_time=bars.index[-1],
        close=close,
        atr=average,
        atr_pct=100 * average / close,
        day_range_pct=100 * _day_range(bars, timeframe, known) / close,
        cost_to_atr=_spread(bars, known) / average if average > 0 else math.nan,
    )
    if average < settings.min_threshold * close:
        least = f"below the least, {100 * settings.min_threshold:g} %"
        return replace(found, skipped=f"An average true range of {found.atr_pct:.3f} % of the price, {least}.")
    return found


def ranked(measured: Iterable[Volatility], settings: VolatilitySettings) -> list[Volatility]:
    """Give ranks to those that were not skipped, select the best so many; the skipped come last."""
    every = list(measured)
    able = sorted((each for each in every if not each.skipped), key=lambda each: (-each.atr_pct, each.symbol))
    in_order = []
    for rank, each in enumerate(able, start=1):
        selected = rank <= settings.top_n_pairs
        why = "" if selected else f"Rank {rank}; the best {settings.top_n_pairs} are selected."
        in_order.append(replace(each, rank=rank, selected=selected, skipped=why))
    return [*in_order, *sorted((each for each in every if each.skipped), key=lambda each: each.symbol)]


def stored_bars(symbol: str, timeframe: Timeframe, bars: int) -> pd.DataFrame:
    """The newest closed bars of the bar store."""
    from scanner.reading import newest_bars

    return newest_bars(symbol, timeframe, bars)


def ranks_frame(ranking: Iterable[Volatility] | Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """A row a pair, in the order given."""
    rows = [each if isinstance(each, Mapping) else vars(each) for each in ranking]
    return pd.DataFrame(rows, columns=list(Volatility.__dataclass_fields__))


def _settings(lookback_bars: int | None, top_n: int | None) -> VolatilitySettings:
    settings = current_settings().volatility
    given = {"lookback_bars": lookback_bars, "top_n_pairs": top_n}
    for name, value in given.items():
        least = 2 if name == "lookback_bars" else 1
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least):
            raise InputError(f"{name}={value!r} cannot be used.", f"Give a whole number from {least} on.")
    changed = {name: int(value) for name, value in given.items() if value is not None}
    return settings.model_copy(update=changed)


def _pair(given: str | tuple[str, str], timeframe: str) -> Pair:
    symbol, of = (given, timeframe) if isinstance(given, str) else given
    return canonical_symbol(symbol), parse_timeframe(of)


def _on_trading_days(times: pd.DatetimeIndex, timeframe: Timeframe, symbol: Symbol) -> np.ndarray:
    """What FX quotes between Friday and Sunday 17:00 New York is no trading; a bar of a day or longer holds more."""
    if symbol.asset_class is not AssetClass.FX or not timeframe.is_intraday:
        return np.ones(len(times), dtype=bool)
    return np.asarray(day_clock(times, symbol.asset_class).day_of_week < 5)


def _day_range(bars: pd.DataFrame, timeframe: Timeframe, symbol: Symbol) -> float:
    """The mean true range of whole trading days (price); NaN where there are fewer than two."""
    days = (
        bars
        if timeframe.minutes >= Timeframe.D1.minutes
        else resample_bars(bars, Timeframe.D1, symbol.asset_class, timeframe)
    )
    if timeframe.minutes > Timeframe.D1.minutes or len(days) < 2:
        return math.nan
    before, high, low = (days[name].to_numpy() for name in ("close", "high", "low"))
    return float((np.maximum(high[1:], before[:-1]) - np.minimum(low[1:], before[:-1])).mean())


def _spread(bars: pd.DataFrame, symbol: Symbol) -> float:
    """The mean spread of the bars (price), where they say none that of the settings."""
    own = float(bars["spread_points"].mean()) if "spread_points" in bars else math.nan
    return own * symbol.point if math.isfinite(own) else current_settings().backtest.spread_pips * symbol.pip
