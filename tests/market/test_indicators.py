from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BarsError, InputError
from market import kernels
from market.indicators import (
    atr,
    bollinger,
    column,
    deviation,
    ema,
    highest,
    highest_before,
    indicator,
    lowest,
    lowest_before,
    macd,
    rsi,
    shared_indicators,
    sma,
)
from market.smoothing import wilder_mean

nan = np.nan
ROWS = 400


def market(rows: int = ROWS, seed: int = 1) -> pd.DataFrame:
    """A random walk on a grid of points, with bars without any range and closes that repeat."""
    dice = np.random.default_rng(seed)
    close = (1.1 + dice.normal(0, 3e-4, rows).cumsum()).round(4)
    before = np.r_[close[:1], close[:-1]]
    high = np.maximum(before, close) + dice.integers(0, 3, rows) * 1e-4
    low = np.minimum(before, close) - dice.integers(0, 3, rows) * 1e-4
    index = pd.date_range("2024-01-02", periods=rows, freq="h", tz="UTC", name="time")
    return pd.DataFrame({"open": before, "high": high, "low": low, "close": close, "volume": 1.0}, index=index)


def closes(*values: float) -> pd.DataFrame:
    index = pd.date_range("2024-01-02", periods=len(values), freq="h", tz="UTC", name="time")
    return pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), values), index=index, dtype="float64")


def by_pandas(bars: pd.DataFrame) -> dict[str, pd.Series]:
    """The same indicators, told by pandas."""
    close, high, low = bars["close"], bars["high"], bars["low"]

    def mean(values: pd.Series, length: int) -> pd.Series:
        return values.ewm(span=length, adjust=False, min_periods=length).mean()

    line = mean(close, 12) - mean(close, 26)
    middle, spread = close.rolling(20).mean(), close.rolling(20).std(ddof=0)
    change = close.diff()
    gain, loss = wilder_mean(change.clip(lower=0), 14), wilder_mean((-change).clip(lower=0), 14)
    strength = (100 - 100 / (1 + gain / loss.where(loss > 0))).where(loss > 0, np.where(gain > 0, 100.0, 50.0))
    span = pd.concat([high - low, (high - close.shift()).abs(), (low - close.shift()).abs()], axis=1).max(axis=1)
    return {
        "sma": close.rolling(10).mean(),
        "sma of highs": high.rolling(10).mean(),
        "ema": mean(close, 10),
        "deviation": spread,
        "rsi": strength.where(loss.notna()),
        "line": line,
        "signal": mean(line, 9),
        "histogram": line - mean(line, 9),
        "lower": middle - 2 * spread,
        "middle": middle,
        "upper": middle + 2 * spread,
        "atr": wilder_mean(span, 14),
        "highest": high.rolling(20).max(),
        "lowest": low.rolling(20).min(),
        "highest before": high.rolling(20).max().shift(1),
        "lowest before": low.rolling(20).min().shift(1),
    }


def ours(bars: pd.DataFrame) -> dict[str, np.ndarray]:
    gap, bands = macd(bars, 12, 26, 9), bollinger(bars, 20, 2.0)
    return {
        "sma": sma(bars, 10),
        "sma of highs": sma(bars, 10, "high"),
        "ema": ema(bars, 10),
        "deviation": deviation(bars, 20),
        "rsi": rsi(bars, 14),
        **gap._asdict(),
        **bands._asdict(),
        "atr": atr(bars, 14),
        "highest": highest(bars, 20),
        "lowest": lowest(bars, 20),
        "highest before": highest_before(bars, 20),
        "lowest before": lowest_before(bars, 20),
    }


@pytest.fixture
def counted() -> Callable[..., int]:
    """How often an indicator of the tests was computed, by its arguments."""
    asked: list[tuple[Any, ...]] = []

    def count(*arguments: Any) -> int:
        return asked.count(arguments) if arguments else len(asked)

    @indicator
    def drawn(bars: pd.DataFrame, length: int, column: str = "close") -> np.ndarray:
        asked.append((length, column))
        return np.full(len(bars), float(length))

    count.indicator = drawn  # type: ignore[attr-defined]
    return count


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_indicators_are_those_of_pandas(seed: int) -> None:
    bars = market(seed=seed)
    found = ours(bars)
    for name, expected in by_pandas(bars).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_simple_average_has_the_bits_of_pandas() -> None:
    bars = market(5_000)
    for length in (1, 2, 48, 150):
        assert np.array_equal(sma(bars, length), bars["close"].rolling(length).mean(), equal_nan=True)


def test_averages_by_hand() -> None:
    bars = closes(6, 12, 9, 15, 3)
    assert sma(bars, 2).tolist() == pytest.approx([nan, 9, 10.5, 12, 9], nan_ok=True)
    # Half of the distance each: 6, 9, 9, 12, 7.5.
    assert ema(bars, 3).tolist() == pytest.approx([nan, nan, 9, 12, 7.5], nan_ok=True)
    # By two thirds: 6, 10, 9 1/3, 13 1/9, 6 10/27. Less the means above from the third bar on; its own from the fourth.
    gap = macd(bars, 2, 3, 2)
    assert gap.line.tolist() == pytest.approx([nan, nan, 1 / 3, 10 / 9, -61 / 54], nan_ok=True)
    assert gap.signal.tolist() == pytest.approx([nan, nan, nan, 23 / 27, -38 / 81], nan_ok=True)
    assert gap.histogram.tolist() == pytest.approx([nan, nan, nan, 7 / 27, -107 / 162], nan_ok=True)


def test_bands_ranges_and_extremes_by_hand() -> None:
    bars = closes(10, 10, 7, 9)
    bands = bollinger(bars, 3, 1.0)
    # 10 10 7: mean 9, squares 1 1 4. 10 7 9: mean 26/3, squares 16/9 25/9 1/9.
    assert bands.middle.tolist() == pytest.approx([nan, nan, 9, 26 / 3], nan_ok=True)
    assert bands.lower.tolist() == pytest.approx([nan, nan, 9 - 2**0.5, 26 / 3 - (14 / 9) ** 0.5], nan_ok=True)
    assert bands.upper.tolist() == pytest.approx([nan, nan, 9 + 2**0.5, 26 / 3 + (14 / 9) ** 0.5], nan_ok=True)
    # Ranges 0 0 3 2: their mean, then half of the way.
    assert atr(bars, 2).tolist() == pytest.approx([nan, 0, 1.5, 1.75], nan_ok=True)
    assert highest(bars, 2).tolist() == pytest.approx([nan, 10, 10, 9], nan_ok=True)
    assert lowest(bars, 2).tolist() == pytest.approx([nan, 10, 7, 7], nan_ok=True)
    assert highest_before(bars, 2).tolist() == pytest.approx([nan, nan, 10, 10], nan_ok=True)
    assert lowest_before(bars, 2).tolist() == pytest.approx([nan, nan, 10, 7], nan_ok=True)


def test_rsi_is_smoothed_as_wilder_does() -> None:
    # Changes +1 −1 +2 0; with length 2 an average is half the one before and half the new change.
    # Gains 1, 0.5, 1.25, 0.625; losses 0, 0.5, 0.25, 0.125.
    found = rsi(closes(10, 11, 10, 12, 12), 2)
    assert found.tolist() == pytest.approx([nan, nan, 50.0, 100 - 100 / 6, 100 - 100 / 6], nan_ok=True)


def test_rsi_is_a_hundred_without_a_loss_and_fifty_without_a_change() -> None:
    assert rsi(closes(1, 2, 3, 4), 2).tolist()[2:] == [100.0, 100.0]
    assert rsi(closes(4, 3, 2, 1), 2).tolist()[2:] == [0.0, 0.0]
    assert rsi(closes(1, 1, 1, 1), 2).tolist()[2:] == [50.0, 50.0]


def test_averages_after_wilder_start_after_what_is_missing() -> None:
    bars = market(200)
    bars["gaps"] = bars["close"].mask(np.arange(200) < 100)
    found = rsi(bars, 5, "gaps")
    assert np.isnan(found[:105]).all()
    assert np.array_equal(found[105:], rsi(bars.iloc[100:], 5)[5:])
    assert np.isnan(rsi(bars.assign(gaps=nan), 5, "gaps")).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 119))
def test_later_bars_change_no_indicator(seed: int, rows: int) -> None:
    bars = market(120, seed)
    whole, known = ours(bars), ours(bars.iloc[:rows])
    for name, values in known.items():
        assert np.array_equal(values, whole[name][:rows], equal_nan=True), name


def test_more_bars_than_there_are_give_nothing_yet() -> None:
    for name, values in ours(market(9)).items():
        assert len(values) == 9
        assert np.isnan(values).all(), name


def test_an_indicator_cannot_be_written_to() -> None:
    bars = market()
    for shared in (False, True):
        for name, values in ours(bars).items() if not shared else _shared(bars).items():
            with pytest.raises(ValueError, match="read-only"):
                values[0] = 1.0
            assert not values.flags.writeable, name


def _shared(bars: pd.DataFrame) -> dict[str, np.ndarray]:
    with shared_indicators(bars):
        return ours(bars)


def test_what_is_shared_is_what_is_not() -> None:
    bars = market()
    alone = ours(bars)
    for name, values in _shared(bars).items():
        assert np.array_equal(values, alone[name], equal_nan=True), name


def test_while_shared_each_is_computed_once_for_each_set_of_arguments(counted: Any) -> None:
    bars = market(50)
    drawn = counted.indicator
    with shared_indicators(bars) as shared:
        for _ in range(3):
            first = drawn(bars, 5)
            for same in (drawn(bars, 5, "close"), drawn(bars, length=5), drawn(bars, column="close", length=5)):
                assert same is first
            assert drawn(bars, np.int64(5)) is first
            drawn(bars, 6)
            drawn(bars, 5, "open")
        assert (counted(5, "close"), counted(6, "close"), counted(5, "open")) == (1, 1, 1)
        assert (shared.computed, shared.kept_bytes) == (3, 3 * 50 * 8)
    drawn(bars, 5)
    drawn(bars, 5)
    assert counted(5, "close") == 3


def test_parts_of_an_indicator_are_shared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    mean = kernels.exponential_mean
    monkeypatch.setattr(kernels, "exponential_mean", lambda *given: (calls.append(given[2]), mean(*given)))
    bars = market()
    with shared_indicators(bars):
        for fast in (5, 12):
            for slow in (26, 30):
                for signal in (9, 12):
                    macd(bars, fast, slow, signal)
    # Four averages of closes, and one of each of the eight lines.
    assert sorted(calls) == sorted([5, 12, 26, 30, *[9, 12] * 4])


def test_another_frame_shares_nothing_however_alike(counted: Any) -> None:
    bars, alike = market(50), market(50)
    with shared_indicators(bars):
        counted.indicator(bars, 5)
        counted.indicator(alike, 5)
        counted.indicator(bars.iloc[:], 5)
        assert counted(5, "close") == 3
        with shared_indicators(alike) as shared:
            counted.indicator(alike, 5)
            assert shared.computed == 1


def test_a_frame_opened_twice_is_kept_until_both_are_done(counted: Any) -> None:
    bars = market(50)
    with shared_indicators(bars) as outer:
        with shared_indicators(bars) as inner:
            counted.indicator(bars, 5)
        assert inner is outer
        counted.indicator(bars, 5)
        assert counted() == 1
    with shared_indicators(bars) as again:
        assert again.computed == 0


def test_threads_that_ask_at_once_wait_for_one(counted: Any) -> None:
    bars, together = market(50), Barrier(8)

    @indicator
    def slow(bars: pd.DataFrame, length: int) -> np.ndarray:
        Event().wait(0.05)
        return np.asarray(counted.indicator(bars, length)) + 1

    def ask(_thread: int) -> list[np.ndarray]:
        together.wait()
        return [slow(bars, length) for length in (1, 2, 3)]

    with shared_indicators(bars) as shared, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert counted() == 3
    assert shared.computed == 6
    for answer in answers:
        assert all(one is other for one, other in zip(answer, answers[0], strict=True))


def test_what_fails_is_told_to_all_and_tried_again() -> None:
    bars = market(50)
    with shared_indicators(bars) as shared:
        for _ in range(2):
            with pytest.raises(InputError, match=r"length=0 cannot be used\. Give a whole number of at least 1 bars\."):
                sma(bars, 0)
        assert shared.kept_bytes == bars["close"].to_numpy().nbytes  # the column alone
        sma(bars, 3)


def test_beyond_its_limit_the_ones_kept_longest_go(counted: Any) -> None:
    bars = market(1024)
    drawn = counted.indicator
    with shared_indicators(bars, limit_mib=4 * 8 / 1024) as shared:
        for length in (1, 2, 3, 4, 5):
            drawn(bars, length)
        assert shared.kept_bytes == 4 * 8 * 1024
        drawn(bars, 5)
        assert counted() == 5
        drawn(bars, 1)
        assert counted(1, "close") == 2
    with shared_indicators(bars, limit_mib=0.001):  # smaller than a single one
        assert drawn(bars, 7) is drawn(bars, 7)


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda bars: sma(bars, 2.5), "length=2.5 cannot be used"),
        (lambda bars: ema(bars, -1), "length=-1 cannot be used"),
        (
            lambda bars: deviation(bars, 1, "close", 1),
            "length=1 cannot be used. Give a whole number of at least 2 bars.",
        ),
        (lambda bars: macd(bars, 12, 26, 0), "length=0 cannot be used"),
    ],
)
def test_a_length_that_cannot_be_used_is_refused(ask: Callable[..., object], sentence: str) -> None:
    with pytest.raises(InputError) as refusal:
        ask(market())
    assert sentence in str(refusal.value)


def test_a_column_that_is_not_there_is_refused_with_those_there_are() -> None:
    bars = market(5).assign(name="a")
    with pytest.raises(BarsError) as refusal:
        sma(bars, 2, "closes")
    assert str(refusal.value) == (
        "The bars have no column 'closes'. Did you mean 'close'? They have: open, high, low, close, volume, name."
    )
    with pytest.raises(BarsError, match="The column 'name' holds str, no numbers"):
        column(bars, "name")


@pytest.mark.parametrize("given", [{"lenght": 5}, {"length": 5, "period": 3}])
def test_a_misspelt_argument_is_refused_while_shared(given: dict[str, int]) -> None:
    bars = market(20)
    with shared_indicators(bars), pytest.raises(TypeError, match=r"sma\(\) takes no"):
        sma(bars, **given)  # type: ignore[call-arg]


def test_a_condition_is_held_from_its_begin_to_its_end() -> None:
    begins, ends = (np.array(list(marks)) == "x" for marks in ("..x...xx..", "x...x..x.x"))
    out = np.empty(10, np.int8)
    kernels.held_position(begins, ends, out)
    assert out.tolist() == [0, 0, 1, 1, 0, 0, 1, 1, 1, 0]


def test_the_compiler_is_imported_with_the_first_indicator_only() -> None:
    check = "import sys, market.indicators; print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout == "False\n"
