"""The trades CSV: written for MetaTrader and spreadsheets, and read back to the same bits."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from execution.result import TRADE_COLUMNS
from mql5.files.trades_csv import read_trades, write_trades

LOT = 100_000.0


def made(**changes: Any) -> pd.DataFrame:
    """Two trades, a long with a stop and a short with neither stop nor tag."""
    columns: dict[str, Any] = {
        "side": ["long", "short"],
        "size": [9_203.0, -1e5 / 3],
        "entry_time": pd.to_datetime(["2017-04-27 15:00", "2017-05-09 21:00"], utc=True),
        "exit_time": pd.to_datetime(["2017-05-09 21:00", "2017-05-15 18:00"], utc=True),
        "entry_price": [1.0865808, 1.0873389999999999],
        "exit_price": [1.0874, 1.09698],
        "pnl": [7.539080400000671, -88.72475283439996],
        "commission": [0.1 + 0.2, 0.0],
        "return_pct": [0.0753924, -0.886646],
        "pips": [8.2, -96.4],
        "stop": [1.08, math.nan],
        "target": [math.nan, math.nan],
        "exit_reason": ["signal", "end of data"],
        "entry_bar": [150, 348],
        "exit_bar": [348, 441],
        "tag": ["=SUM(A1)", None],
        "swap": [-1.25, 0.0],
        "spread_pips": [0.6, 0.6],
        "slippage_pips": [0.0, 0.0],
    }
    return pd.DataFrame(columns | changes)


def as_lists(trades: pd.DataFrame) -> dict[str, list[Any]]:
    return {name: [None if pd.isna(value) else value for value in trades[name]] for name in trades.columns}


def test_trades_come_back_to_the_same_bits() -> None:
    trades = made()
    assert list(trades.columns) == list(TRADE_COLUMNS)
    back = read_trades(write_trades(trades, symbol="EURUSD", contract_size=LOT))
    assert list(back["symbol"]) == ["EURUSD", "EURUSD"]
    assert as_lists(back.drop(columns="symbol")) == as_lists(trades)
    assert {str(back[name].dtype) for name in ("entry_time", "exit_time")} == {"datetime64[us, UTC]"}
    assert {str(back[name].dtype) for name in ("size", "entry_bar")} == {"float64", "int64"}


finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
times = st.datetimes(pd.Timestamp("1990-01-01").to_pydatetime(), pd.Timestamp("2090-01-01").to_pydatetime())


@given(
    price=finite,
    size=st.floats(min_value=1e-9, max_value=1e12),
    pnl=st.floats(allow_nan=False),
    moments=st.tuples(times, times).map(sorted),
    tag=st.one_of(st.none(), st.text(min_size=1)),
)
def test_any_price_time_and_text_comes_back(
    price: float, size: float, pnl: float, moments: list[Any], tag: str | None
) -> None:
    entry, end = (pd.Timestamp(moment, tz="UTC") for moment in moments)
    one: dict[str, Any] = {
        "entry_time": [entry],
        "exit_time": [end],
        "entry_price": [price],
        "size": [size],
        "tag": [tag],
    }
    trades = made().iloc[:1].assign(**one, pnl=[pnl])
    back = read_trades(write_trades(trades, symbol="EURUSD", contract_size=LOT))
    assert as_lists(back.drop(columns="symbol")) == as_lists(trades)


def test_the_file_says_its_zone_and_sizes_in_lots_and_neutralises_formulas() -> None:
    content = write_trades(made(), symbol="EURUSD", contract_size=LOT)
    assert content.startswith(b"\xef\xbb\xbf")
    header, first, *_ = content.decode("utf-8-sig").split("\r\n")
    assert header.startswith("symbol,side,size,entry_time (UTC),exit_time (UTC),entry_price")
    assert header.endswith(",lots")
    assert first.startswith("EURUSD,long,9203.0,2017-04-27 15:00:00,2017-05-09 21:00:00,1.0865808,1.0874,")
    assert first.endswith(",0.09203")
    assert "'=SUM(A1)" in first


def test_a_file_saved_by_a_spreadsheet_with_decimal_commas_is_read() -> None:
    content = write_trades(made(tag=[None, None]), symbol="EURUSD", contract_size=LOT).decode("utf-8-sig")
    saved = content.replace(",", ";").replace(".", ",")
    back = read_trades(saved.encode())
    assert as_lists(back.drop(columns="symbol")) == as_lists(made(tag=[None, None]))


def test_no_trades_are_a_file_with_a_header() -> None:
    back = read_trades(write_trades(made().iloc[:0], symbol="EURUSD", contract_size=LOT))
    assert back.empty
    assert list(back.columns) == ["symbol", *TRADE_COLUMNS]


def test_only_what_every_trade_needs_is_needed_and_further_columns_are_left_alone() -> None:
    text = (
        "side,size,entry_time (UTC),exit_time (UTC),entry_price,exit_price,pnl,remark\r\n"
        "short,-1000,2024-01-02 00:00:00,2024-01-02 01:00:00,1.1,1.0,100,mine\r\n"
    )
    back = read_trades(text.encode())
    assert list(back.columns) == ["side", "size", "entry_time", "exit_time", "entry_price", "exit_price", "pnl"]
    assert back["entry_time"].iloc[0] == pd.Timestamp("2024-01-02", tz="UTC")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("entry_price", "price"), "no column 'entry_price'"),
        (("entry_time (UTC)", "entry_time"), "in which zone entry_time is"),
        (("9203.0", "many"), "Row 2: size 'many' cannot be read"),
        (("9203.0", ""), "Row 2 has no size"),
        (("9203.0", "-9203.0"), "Row 2: a trade of side 'long' cannot have size -9203"),
        (("2017-05-09 21:00:00", "2016-05-09 21:00:00"), "Row 2: the trade ends at 2016-05-09"),
        (("2017-04-27 15:00:00", "yesterday noon"), "Row 2: entry_time 'yesterday noon' cannot be read"),
        ((",150,", ",150.5,"), "Row 2: entry_bar '150.5' cannot be read"),
        ((",swap,", ",pips,"), "'pips' stands there twice"),
        (("EURUSD,long", "EURUSD,EURUSD,long"), "Row 2 has 22 cells, the header has 21"),
    ],
)
def test_what_cannot_be_read_is_named(change: tuple[str, str], words: str) -> None:
    content = write_trades(made(), symbol="EURUSD", contract_size=LOT)
    content = content.replace(change[0].encode(), change[1].encode(), 1)
    with pytest.raises(InputError, match=words):
        read_trades(content)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"PK\x03\x04", b'side,"size\r\nlong'])
def test_a_file_of_another_kind_is_refused(content: bytes) -> None:
    with pytest.raises(InputError):
        read_trades(content)


def test_a_column_that_no_trade_has_is_not_written() -> None:
    with pytest.raises(InputError, match="no column 'mood'"):
        write_trades(made().assign(mood="good"), symbol="EURUSD", contract_size=LOT)
    with pytest.raises(InputError, match="no column 'pnl'"):
        write_trades(made().drop(columns="pnl"), symbol="EURUSD", contract_size=LOT)
