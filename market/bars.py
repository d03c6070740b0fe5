"""The bars contract, checked once at the door; past it nobody checks again.

A frame of bars has an index `time` (aware UTC, each bar's **open** time, strictly increasing) and the
columns `open high low close volume` (float64), optionally `spread_points` and further columns. A frame
of several symbols is long, with a column `symbol` (and `source`), increasing within each symbol;
`bars_of` takes one symbol out of it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from core.errors import BarsError
from core.names import nearest
from market.symbols import canonical_symbol

PRICES = ("open", "high", "low", "close")
RAW_COLUMNS = (*PRICES, "volume")
OPTIONAL_RAW_COLUMNS = ("spread_points",)
RowName = Callable[[int], str]


def check_bars(
    frame: pd.DataFrame, *, allow_missing: bool = False, row_name: RowName = "Row {}".format
) -> pd.DataFrame:
    """`frame` as bars of the contract; the given frame is not changed.

    Accepts Title-case columns, a naive index (taken as UTC) and a missing volume (0). With
    `allow_missing`, prices may be NaN, for frames on their way to validation. Raises BarsError naming
    the first bad row, its value and the cure; `row_name` says what a reader calls the row at a position.
    """
    bars = _with_contract_columns(frame)
    bars.index = _utc_index(bars.index, row_name)
    for column in (name for name in (*RAW_COLUMNS, *OPTIONAL_RAW_COLUMNS) if name in bars):
        if bars[column].dtype != np.float64:  # millions of bars that are right already are not copied
            bars[column] = _as_floats(bars[column], row_name)
    _refuse_disorder(bars, row_name)
    if not allow_missing:
        _refuse_bad_prices(bars, row_name)
    return bars


def bars_of(frame: pd.DataFrame, symbol: str) -> pd.DataFrame:
    """The bars of one symbol out of a frame of several; its `symbol` and `source` columns are dropped.

    Raises BarsError naming the symbols there are.
    """
    if "symbol" not in frame:
        return frame
    wanted = canonical_symbol(symbol)
    held = list(pd.unique(frame["symbol"]))
    if wanted not in held:
        raise BarsError(f"The frame holds no bars of {wanted!r}.", f"It holds: {', '.join(map(str, held))}.")
    return frame[frame["symbol"] == wanted].drop(columns=["symbol", "source"], errors="ignore")


def symbols_in(frame: pd.DataFrame) -> list[str]:
    """The symbols a frame of several holds, in the order met; empty for the bars of one."""
    return [str(symbol) for symbol in pd.unique(frame["symbol"])] if "symbol" in frame else []


def utc_timestamp(value: object, what: str) -> pd.Timestamp:
    """An aware UTC time from text, a date or a datetime; without a zone it is taken as UTC.

    Raises BarsError naming `what` when it is no time.
    """
    stamp: pd.Timestamp | None
    try:
        stamp = pd.Timestamp(value)  # type: ignore[arg-type]  # refused below when it is no time
    except (TypeError, ValueError):
        stamp = None
    if stamp is None or pd.isna(stamp):
        raise BarsError(f"{what}={value!r} is no time.", "Write it as 2017-04-19 or 2017-04-19 09:00.")
    return stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")


def _with_contract_columns(frame: pd.DataFrame) -> pd.DataFrame:
    if not isinstance(frame, pd.DataFrame):
        raise BarsError(f"Bars were expected, not {type(frame).__name__}.", "Pass a pandas DataFrame.")
    if len(symbols_in(frame)) > 1:
        raise BarsError(
            f"The frame mixes the bars of {', '.join(symbols_in(frame))}.",
            "Take one out with market.bars.bars_of(frame, symbol).",
        )
    # Case matters only for the columns of the contract; all others keep their names.
    known = {*RAW_COLUMNS, *OPTIONAL_RAW_COLUMNS}
    other = {name: str(name).lower() for name in frame.columns if str(name).lower() in known and name not in known}
    bars = frame.rename(columns=other) if other else frame.copy(deep=False)
    if bars.columns.duplicated().any():
        twice = bars.columns[bars.columns.duplicated()][0]
        raise BarsError(f"The column {twice!r} is there twice.", "Rename or drop one of the two.")
    for name in PRICES:
        if name not in bars:
            meant = nearest(name, map(str, frame.columns))
            hint = f"Rename {meant!r}" if meant else "Add it"
            raise BarsError(f"The column {name!r} is missing.", f"{hint}; bars need {', '.join(PRICES)}.")
    if "volume" not in bars:
        bars = bars.assign(volume=0.0)
    return bars


def _utc_index(index: pd.Index, row_name: RowName) -> pd.DatetimeIndex:
    if not isinstance(index, pd.DatetimeIndex):
        raise BarsError(
            f"The index holds {index.dtype} where times were expected.",
            "Make the time column the index: pd.read_csv(…, index_col=0, parse_dates=True).",
        )
    if index.hasnans:
        raise BarsError(f"{row_name(int(np.argmax(index.isna())))} has no time.", "Drop it or give it a time.")
    times = index.tz_localize("UTC") if index.tz is None else index.tz_convert("UTC")
    return pd.DatetimeIndex(times, name="time")


def _as_floats(column: pd.Series, row_name: RowName) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype("float64")
    numbers = pd.to_numeric(column, errors="coerce")
    bad = numbers.isna() & column.notna()
    if bad.any():
        value = column[bad].iloc[0]
        raise BarsError(f"{_row(column, bad, row_name)}: {column.name}={value!r} is no number.", "Correct it.")
    return numbers.astype("float64")


def _refuse_disorder(bars: pd.DataFrame, row_name: RowName) -> None:
    times = pd.DatetimeIndex(bars.index)
    late = np.diff(times.asi8) <= 0
    if late.any():
        position = int(np.argmax(late)) + 1
        same = times[position] == times[position - 1]
        raise BarsError(
            f"{row_name(position)} ({times[position]:%Y-%m-%d %H:%M:%S} UTC) "
            f"{'has the same time as' if same else 'is earlier than'} the row before it.",
            "Drop the double." if same else "Sort the rows by time: frame.sort_index().",
        )


def _refuse_bad_prices(bars: pd.DataFrame, row_name: RowName) -> None:
    prices = {name: bars[name].to_numpy() for name in PRICES}
    for name, values in prices.items():
        if not len(values) or (values.min() > 0 and values.max() < np.inf):  # a NaN would be the lowest
            continue
        bad = ~(np.isfinite(bars[name]) & (bars[name] > 0))
        raise BarsError(
            f"{_row(bars[name], bad, row_name)}: {name}={bars[name][bad].iloc[0]:.10g} is no price.",
            "Drop the row or fill it before it is used.",
        )
    opened, high, low, close = prices.values()
    broken = (high < opened) | (high < close) | (high < low) | (low > opened) | (low > close)
    if broken.any():
        row = bars[broken].iloc[0]
        raise BarsError(
            f"{_row(bars['high'], broken, row_name)}: open {row.open:.10g}, high {row.high:.10g}, low {row.low:.10g} "
            f"and close {row.close:.10g} cannot be one bar.",
            "The high must be the highest of the four and the low the lowest; correct or drop the row.",
        )


def _row(column: pd.Series, bad: pd.Series | np.ndarray, row_name: RowName) -> str:
    position = int(np.argmax(np.asarray(bad)))
    return f"{row_name(position)} ({column.index[position]:%Y-%m-%d %H:%M:%S} UTC)"
