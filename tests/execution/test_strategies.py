from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import execution.strategies
from core.errors import StrategyError
from execution.backtest_manager import manager
from execution.registry import find_strategies, strategy_named
from execution.strategy import Parameter, Signals, Strategy, Value
from market.indicators import rsi, shared_indicators, sma

NAMES = [
    "MA_Crossover",
    "ATR_Trailing_Trend",
    "Bollinger_Reversion",
    "Donchian_Breakout",
    "MACD",
    "Predictions",
    "RSI_Bands",
    "SMC_Confluence",
]
SHIPPED = find_strategies().strategies
PREFIXES = (2, 15, 149, 151, 600, 2500, 4998, 4999)
nan = np.nan

A_GOOD_FILE = """
import numpy as np
from execution.strategy import Signals, Strategy

STRATEGY = Strategy(
    "Always_Long", "Always long", "Long.", "a test", 1, (), lambda bars, values: Signals(np.ones(len(bars), np.int8))
)
"""


def judged_by(signals: Callable[..., Any], *parameters: Parameter) -> Strategy:
    return Strategy("Tried", "Tried", "For this test.", "this test", 1, parameters, signals)


def rewritten_bars(strategy: Strategy, bars: pd.DataFrame, prefixes: Sequence[int]) -> list[int]:
    """The prefixes of `bars` for which the strategy says something else about a bar than for the whole."""
    values = strategy.values()
    full = strategy.checked_signals(bars, values)
    rewritten = []
    for rows in (rows for rows in prefixes if rows > strategy.warm_up(values)):
        known = strategy.checked_signals(bars.iloc[:rows], values)
        for name in ("position", "stop_distance", "target_distance"):
            before, after = getattr(known, name), getattr(full, name)
            if before is not None and not np.array_equal(before, after[:rows], equal_nan=True):
                rewritten.append(rows)
    return rewritten


def closes(*values: float) -> pd.DataFrame:
    index = pd.date_range("2024-01-02", periods=len(values), freq="h", tz="UTC", name="time")
    return pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), values), index=index).assign(volume=1.0)


@pytest.fixture
def predicted(sample: pd.DataFrame) -> pd.DataFrame:
    """The sample with a column of predictions, for the strategy that trades them."""
    return sample.assign(prediction=np.random.default_rng(5).uniform(size=len(sample)))


def small_market(seed: int, rows: int) -> pd.DataFrame:
    """A random walk on a grid of points, with predictions that are sometimes missing."""
    dice = np.random.default_rng(seed)
    close = (1.1 + dice.normal(0, 5e-4, rows).cumsum()).round(4)
    before = np.r_[close[:1], close[:-1]]
    prices = {
        "open": before,
        "high": np.maximum(before, close) + dice.integers(0, 5, rows) * 1e-4,
        "low": np.minimum(before, close) - dice.integers(0, 5, rows) * 1e-4,
        "close": close,
    }
    index = pd.date_range("2024-01-02", periods=rows, freq="h", tz="UTC", name="time")
    prediction = np.where(dice.uniform(size=rows) < 0.1, nan, dice.uniform(size=rows))
    return pd.DataFrame({**prices, "volume": 1.0, "prediction": prediction}, index=index)


def drawn_values(strategy: Strategy, dice: np.random.Generator) -> dict[str, Value]:
    """Parameters within their ranges, short enough for a small market, that the constraint allows."""
    while True:
        given: dict[str, Value] = {}
        for parameter in strategy.parameters:
            if isinstance(parameter.default, str):
                given[parameter.name] = str(dice.choice(parameter.choices)) if parameter.choices else parameter.default
            elif isinstance(parameter.default, int):
                given[parameter.name] = int(dice.integers(int(parameter.low or 0), 25))
            elif strategy.name == "Predictions":
                given[parameter.name] = float(dice.uniform())
            else:
                given[parameter.name] = float(dice.uniform(parameter.low, min(90, parameter.high or 0)))
        try:
            return strategy.values(given)
        except StrategyError:
            continue


@pytest.fixture
def strategies_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is looked through beside the shipped strategies."""
    folder = tmp_path / "strategies"
    folder.mkdir()
    monkeypatch.setattr(execution.strategies, "__path__", [*execution.strategies.__path__, str(folder)])
    yield folder
    for file in folder.glob("*.py"):
        sys.modules.pop(f"execution.strategies.{file.stem}", None)


def test_eight_strategies_are_shipped_the_crossover_first() -> None:
    assert list(SHIPPED) == NAMES
    assert find_strategies().broken == {}


def test_looking_for_strategies_imports_no_compiler() -> None:
    check = (
        "import sys; from execution.registry import find_strategies; find_strategies(); print('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("name", SHIPPED)
def test_signals_of_a_bar_never_change_when_later_bars_arrive(name: str, predicted: pd.DataFrame) -> None:
    assert rewritten_bars(SHIPPED[name], predicted, PREFIXES) == []


@pytest.mark.parametrize("name", SHIPPED)
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_signals_never_change_whatever_the_parameters(name: str, seed: int) -> None:
    strategy, dice = SHIPPED[name], np.random.default_rng(seed)
    bars, values = small_market(seed, 140), drawn_values(strategy, dice)
    whole = strategy.checked_signals(bars, values)
    for rows in dice.integers(strategy.warm_up(values) + 1, 140, 4):
        known = strategy.checked_signals(bars.iloc[:rows], values)
        assert np.array_equal(known.position, whole.position[:rows])
        if whole.stop_distance is not None and known.stop_distance is not None:
            assert np.array_equal(known.stop_distance, whole.stop_distance[:rows], equal_nan=True)


@pytest.mark.parametrize("name", SHIPPED)
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_nothing_is_wanted_before_the_warm_up_is_over(name: str, seed: int) -> None:
    strategy = SHIPPED[name]
    values = drawn_values(strategy, np.random.default_rng(seed))
    assert not strategy.checked_signals(small_market(seed, 140), values).position[: strategy.warm_up(values)].any()


# Predictions know no warm-up; a setup in just that bar would be a rare chance.
@pytest.mark.parametrize("name", [name for name in SHIPPED if name not in {"Predictions", "SMC_Confluence"}])
def test_the_bar_after_the_warm_up_can_be_wanted(name: str) -> None:
    strategy = SHIPPED[name]
    lengths = [each for each in strategy.parameters if isinstance(each.default, int)]
    values = strategy.values(
        {each.name: 7 - 2 * at if name == "Donchian_Breakout" else 7 + 2 * at for at, each in enumerate(lengths)}
    )
    warm_up = strategy.warm_up(values)
    first = [np.flatnonzero(strategy.checked_signals(small_market(seed, 140), values).position) for seed in range(60)]
    assert min(wanted[0] for wanted in first if len(wanted)) == warm_up


@pytest.mark.parametrize("name", SHIPPED)
def test_shared_indicators_change_no_signal(name: str, predicted: pd.DataFrame) -> None:
    strategy = SHIPPED[name]
    alone = strategy.checked_signals(predicted, strategy.values())
    with shared_indicators(predicted):
        for _ in range(2):
            shared = strategy.checked_signals(predicted, strategy.values())
            assert np.array_equal(shared.position, alone.position)
            if alone.stop_distance is not None:
                assert np.array_equal(shared.stop_distance, alone.stop_distance, equal_nan=True)


def test_the_signals_of_version_1_are_those_that_pandas_gives(sample: pd.DataFrame) -> None:
    close = sample["close"]
    for fast, slow in ((48, 150), (5, 20), (2, 3)):
        values = SHIPPED["MA_Crossover"].values({"fast_length": fast, "slow_length": slow})
        gap = close.rolling(fast).mean() - close.rolling(slow).mean()
        assert np.array_equal(SHIPPED["MA_Crossover"].signals(sample, values).position, np.sign(gap.fillna(0)))
    for length in (2, 14):
        values = SHIPPED["RSI_Bands"].values({"length": length})
        strength = pd.Series(rsi(sample, length))
        long = pd.Series(nan, strength.index).mask(strength >= 50, 0.0).mask(strength < 30, 1.0).ffill().fillna(0)
        short = pd.Series(nan, strength.index).mask(strength <= 50, 0.0).mask(strength > 70, 1.0).ffill().fillna(0)
        assert np.array_equal(SHIPPED["RSI_Bands"].signals(sample, values).position, long - short)


@pytest.mark.parametrize("name", SHIPPED)
def test_signals_are_long_flat_or_short_and_all_three_occur(name: str, predicted: pd.DataFrame) -> None:
    position = SHIPPED[name].checked_signals(predicted, SHIPPED[name].values()).position
    assert position.dtype == np.int8
    assert set(position.tolist()) == {-1, 0, 1}


@pytest.mark.parametrize("name", SHIPPED)
def test_signals_leave_the_bars_as_they_were(name: str, predicted: pd.DataFrame) -> None:
    before = predicted.copy(deep=True)
    SHIPPED[name].checked_signals(predicted, SHIPPED[name].values())
    pd.testing.assert_frame_equal(predicted, before, check_exact=True)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_strategy_says_what_it_does_and_where_it_comes_from(name: str) -> None:
    strategy = SHIPPED[name]
    assert strategy.name == name
    assert strategy.title
    assert strategy.rule.endswith(".")
    assert strategy.source
    assert strategy.version >= 1


@pytest.mark.parametrize("name", SHIPPED)
def test_defaults_can_be_used_and_every_parameter_is_explained(name: str) -> None:
    strategy = SHIPPED[name]
    assert strategy.values() == {parameter.name: parameter.default for parameter in strategy.parameters}
    for parameter in strategy.parameters:
        assert parameter.meaning
        if isinstance(parameter.default, str):
            assert not parameter.choices or parameter.default in parameter.choices
        else:
            assert parameter.low is not None
            assert parameter.high is not None
            assert parameter.low < parameter.high


def test_the_crossover_follows_the_two_averages() -> None:
    crossover = SHIPPED["MA_Crossover"]
    values = crossover.values({"fast_length": 2, "slow_length": 3})
    bars = closes(1, 2, 3, 2, 1, 1, 1)
    # Fast – 1.5 2.5 2.5 1.5 1 1, slow – – 2 2.33 2 1.33 1.
    assert crossover.checked_signals(bars, values).position.tolist() == [0, 0, 1, 1, -1, -1, 0]


@pytest.mark.parametrize(("side", "expected"), [("long only", [0, 0, 1, 1, 0]), ("short only", [0, 0, 0, 0, -1])])
def test_the_crossover_may_be_kept_to_one_side(side: str, expected: list[int]) -> None:
    crossover = SHIPPED["MA_Crossover"]
    values = crossover.values({"fast_length": 2, "slow_length": 3, "side": side})
    assert crossover.checked_signals(closes(1, 2, 3, 2, 1), values).position.tolist() == expected


def test_rsi_bands_hold_against_the_move_until_the_middle_is_back() -> None:
    bands = SHIPPED["RSI_Bands"]
    values = bands.values({"length": 2})
    # Falls to RSI 0 (long), rises a little (9), enough to reach 60 (flat), then to 90 (short), and back to 21 (long).
    bars = closes(10, 9, 8, 7, 7.1, 7.8, 9.8, 7.3)
    strength = rsi(bars, 2)
    assert strength.round(0).tolist()[2:] == [0, 0, 9, 60, 90, 31]
    assert bands.checked_signals(bars, values).position.tolist() == [0, 0, 1, 1, 1, 0, -1, 0]


def test_macd_is_with_the_line_against_its_signal() -> None:
    macd = SHIPPED["MACD"]
    values = macd.values({"fast_length": 2, "slow_length": 3, "signal_length": 2})
    # Line – – 1/3 10/9 −61/54, signal – – – 23/27 −38/81 (worked out in tests/market/test_indicators.py).
    assert macd.checked_signals(closes(6, 12, 9, 15, 3), values).position.tolist() == [0, 0, 0, 1, -1]


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        ("both", [0, 0, 0, 1, 1, 0, -1, -1, 1]),
        ("long only", [0, 0, 0, 1, 1, 0, 0, 0, 1]),
        ("short only", [0, 0, 0, 0, 0, 0, -1, -1, 0]),
    ],
)
def test_bollinger_reversion_is_against_the_band_until_the_middle(side: str, expected: list[int]) -> None:
    reversion = SHIPPED["Bollinger_Reversion"]
    values = reversion.values({"length": 3, "width": 1.0, "side": side})
    # Lower  –   –   10  7.59  6.85  7.08  7.23  7.70  8.58
    # middle –   –   10  9.00  8.17  7.30  7.97  8.43  8.80
    # upper  –   –   10  10.4  9.48  7.52  8.70  9.17  9.02
    bars = closes(10, 10, 10, 7.0, 7.5, 7.4, 9.0, 8.9, 8.5)
    assert reversion.checked_signals(bars, values).position.tolist() == expected


def test_the_breakout_leaves_by_the_shorter_channel() -> None:
    breakout = SHIPPED["Donchian_Breakout"]
    values = breakout.values({"entry_length": 3, "exit_length": 2})
    # Highest of the three before  – – – 6 7 7 7   6   5.5, lowest – – – 5 5 5 5.5 4   4
    # highest of the two before    – – 6 6 7 7 6   5.5 4.5, lowest – – 5 5 5 6 5.5 4   4
    bars = closes(5, 6, 5, 7, 6, 5.5, 4, 4.5, 6.5)
    assert breakout.checked_signals(bars, values).position.tolist() == [0, 0, 0, 1, 1, 0, -1, -1, 1]


def test_a_reversion_ends_on_the_middle_and_a_breakout_only_beyond_its_channel() -> None:
    reversion = SHIPPED["Bollinger_Reversion"]
    values = reversion.values({"length": 3, "width": 1.0})
    # The mean of 10, 7 and 8.5 is 8.5.
    assert reversion.checked_signals(closes(10, 10, 10, 7, 8.5), values).position.tolist() == [0, 0, 0, 1, 0]
    assert reversion.checked_signals(closes(10, 10, 10, 13, 11.5), values).position.tolist() == [0, 0, 0, -1, 0]
    breakout = SHIPPED["Donchian_Breakout"]
    values = breakout.values({"entry_length": 3, "exit_length": 2})
    # The exit channel of the fifth bar begins at 5, that of the sixth too.
    assert breakout.checked_signals(closes(5, 6, 5, 7, 5, 4.9), values).position.tolist() == [0, 0, 0, 1, 1, -1]
    assert breakout.checked_signals(closes(5, 4, 5, 3, 5, 5.1), values).position.tolist() == [0, 0, 0, -1, -1, 1]


def test_a_breakout_needs_a_close_beyond_the_high_not_a_touch(made: Callable[..., pd.DataFrame]) -> None:
    breakout = SHIPPED["Donchian_Breakout"]
    values = breakout.values({"entry_length": 2, "exit_length": 1})
    bars = made([(5, 6, 4, 5), (5, 6, 4, 5), (5, 9, 4, 6), (6, 9.5, 5, 9), (9, 9.2, 6, 9.1)])
    # The third bar was at 9 and closed at 6, on the highest high; the fourth closes at that 9, the fifth below 9.5.
    assert breakout.checked_signals(bars, values).position.tolist() == [0, 0, 0, 0, 0]
    higher = made([(5, 6, 4, 5), (5, 6, 4, 5), (5, 9, 4, 6.1)])
    assert breakout.checked_signals(higher, values).position.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("side", "expected"),
    [("both", [0, 0, 0, 0, 1, 1, 0, 0, -1]), ("long only", [0, 0, 0, 0, 1, 1, 0, 0, 0])],
)
def test_the_trailing_stop_follows_the_best_price_and_never_gives_way(side: str, expected: list[int]) -> None:
    trend = SHIPPED["ATR_Trailing_Trend"]
    values = trend.values({"trend_length": 4, "atr_length": 2, "atr_multiple": 0.5, "side": side})
    bars = closes(10, 9, 8, 7, 9, 13, 11, 12, 8)
    # Average        –  –    –     8.5  8.25    9.25   10      11.25   11
    # range          0  1    1     1    2       4      2       1       4
    # average range  –  0.5  0.75  .875 1.4375  2.719  2.359   1.680   2.840
    # The fifth close crosses: stop at 9 − 0.719. The sixth lifts it to 13 − 1.359 = 11.641, which the seventh (11)
    # falls through; the eighth is above the average but crosses nothing; the ninth crosses downwards.
    found = trend.checked_signals(bars, values)
    assert found.position.tolist() == expected
    assert found.stop_distance is not None
    assert found.stop_distance.tolist()[:5] == pytest.approx([nan, 0.25, 0.375, 0.4375, 0.71875], nan_ok=True)


def test_the_trailing_stop_follows_highs_and_a_short_one_lows(made: Callable[..., pd.DataFrame]) -> None:
    trend = SHIPPED["ATR_Trailing_Trend"]
    values = trend.values({"trend_length": 2, "atr_length": 2, "atr_multiple": 1.0})
    rows = [(10, 11, 9, 10), (10, 11, 9, 9), (9, 11, 9, 11), (11, 15, 11, 12), (12, 13, 12, 12.5)]
    # Ranges 2 2 2 4 1, averages – 2 2 3 2. Long at 11 with a stop at 9; the high of 15 lifts it to 12, which the close
    # of 12 only touches; the last high of 13 asks for 11 and is not heard.
    assert trend.checked_signals(made(rows), values).position.tolist() == [0, 0, 1, 1, 1]
    mirrored = made([(22 - o, 22 - low, 22 - high, 22 - c) for o, high, low, c in rows])
    assert trend.checked_signals(mirrored, values).position.tolist() == [0, 0, -1, -1, -1]
    lower = [*rows[:4], (12, 13, 11, 11.9)]  # through the stop, and below the average of 11.95
    assert trend.checked_signals(made(lower), values).position.tolist() == [0, 0, 1, 1, -1]


def test_predictions_are_traded_between_their_thresholds() -> None:
    predictions = SHIPPED["Predictions"]
    column = [0.5, 0.6, 0.52, 0.5, 0.4, 0.48, 0.6, nan, 0.52, 0.7]
    bars = closes(*range(1, 11)).assign(prediction=column, tomorrow=0.0)
    assert predictions.checked_signals(bars, predictions.values()).position.tolist() == [0, 1, 1, 0, -1, -1, 1, 0, 0, 1]
    given = {"long_above": 0.0, "short_below": 0.0, "exit_level": 0.0, "side": "short only"}
    signed = bars.assign(prediction=[0, 1, -1, 0, -2, 0, 3, nan, -1, -1])
    assert predictions.checked_signals(signed, predictions.values(given)).position.tolist() == [
        *(0, 0, -1, 0, -1, 0, 0, 0, -1, -1)
    ]
    other = predictions.checked_signals(bars, predictions.values({"column": "tomorrow"}))
    assert other.position.tolist() == [-1] * 10


@pytest.mark.parametrize(
    ("bars", "given", "sentence"),
    [
        (
            closes(1, 2),
            {},
            "Predictions: The bars have no column 'prediction'. They have: open, high, low, close, volume. "
            "Join the predictions to the bars by time.",
        ),
        (
            closes(1, 2).assign(prediction_h1=1.0),
            {},
            "Predictions: The bars have no column 'prediction'. Did you mean 'prediction_h1'? They have: open, high, "
            "low, close, volume, prediction_h1. Join the predictions to the bars by time.",
        ),
        (
            closes(1, 2).assign(prediction="up"),
            {},
            "Predictions: The column 'prediction' holds str, no numbers. Use a column of numbers.",
        ),
    ],
)
def test_predictions_that_are_not_there_are_asked_for(
    bars: pd.DataFrame, given: dict[str, Value], sentence: str
) -> None:
    with pytest.raises(StrategyError) as refusal:
        manager.run_backtest(bars, SHIPPED["Predictions"], symbol="EURUSD", parameters=given)
    assert str(refusal.value) == sentence


@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "Predictions"])
def test_bars_that_end_before_the_first_signal_are_refused(name: str, sample: pd.DataFrame) -> None:
    strategy = SHIPPED[name]
    values = strategy.values()
    needed = strategy.warm_up(values) + 1
    assert needed > 10
    with pytest.raises(StrategyError) as refusal:
        manager.run_backtest(sample.iloc[: needed - 1], strategy, symbol="EURUSD")
    assert str(refusal.value) == (
        f"{name} needs {needed} bars before it can say anything with these parameters; there are {needed - 1}. "
        "Load more bars or shorten its lengths."
    )
    assert len(strategy.checked_signals(sample.iloc[:needed], values).position) == needed


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "a misspelt name": ("MA_Crossover", {"fast_lenght": 5}, "has no parameter 'fast_lenght'. Did you mean 'fast_le"),
    "a foreign name": ("MA_Crossover", {"zzz": 5}, "It has: fast_length, slow_length, side."),
    "too low": ("MA_Crossover", {"fast_length": 1}, "fast_length=1 is out of range. It goes from 2 to 500."),
    "too high": ("RSI_Bands", {"upper": 99.5}, "upper=99.5 is out of range. It goes from 1 to 99."),
    "text for a number": ("MA_Crossover", {"fast_length": "5"}, "fast_length='5' is no whole number."),
    "a broken number": ("MA_Crossover", {"fast_length": 5.5}, "fast_length=5.5 is no whole number."),
    "yes for a number": ("MA_Crossover", {"fast_length": True}, "fast_length=True is no whole number."),
    "nothing": ("MA_Crossover", {"fast_length": None}, "fast_length=None is no whole number."),
    "not a number": ("MA_Crossover", {"fast_length": nan}, "fast_length=nan is no whole number."),
    "infinity": ("MA_Crossover", {"fast_length": np.inf}, "fast_length=inf is no whole number."),
    "not a level": ("RSI_Bands", {"lower": nan}, "lower=nan is out of range."),
    "a list": ("RSI_Bands", {"lower": [30]}, "lower=[30] is no number."),
    "a foreign choice": ("MA_Crossover", {"side": "up"}, "'up' is not offered. Choose one of both, long only, short"),
    "averages crossed": (
        "MA_Crossover",
        {"fast_length": 150},
        "fast_length=150 must be below slow_length=150. Change one of them.",
    ),
    "no text": ("Predictions", {"column": " "}, "column=' ' is no text. The column of the bars that holds the pred"),
    "a number for text": ("Predictions", {"column": 5}, "column=5 is no text."),
    "MACD crossed": ("MACD", {"fast_length": 26}, "fast_length=26 must be below slow_length=26."),
    "channels crossed": ("Donchian_Breakout", {"exit_length": 56}, "exit_length=56 must not exceed entry_length=55."),
    "thresholds crossed": ("Predictions", {"exit_level": 0.6}, "≤ exit_level=0.6 ≤ long_above=0.55 must hold."),
    "bands crossed": ("RSI_Bands", {"lower": 60}, "lower=60 < exit_level=50 < upper=70 must hold."),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_parameter_that_cannot_be_used_is_refused_with_the_cure(case: str) -> None:
    name, given, sentence = REFUSED[case]
    with pytest.raises(StrategyError) as refusal:
        SHIPPED[name].values(given)
    assert sentence in str(refusal.value)


@pytest.mark.parametrize("given", [5, 5.0, np.int64(5), np.float64(5)])
def test_whole_numbers_of_any_type_become_python_integers(given: Any) -> None:
    value = SHIPPED["MA_Crossover"].values({"fast_length": given})["fast_length"]
    assert (value, type(value)) == (5, int)


def test_a_parameter_may_be_bounded_on_one_side_or_none() -> None:
    least = Parameter("risk", 1.0, "Risk", low=0)
    assert least.checked(1e9, "Tried") == 1e9
    with pytest.raises(StrategyError, match="It goes from 0 to inf"):
        least.checked(-1, "Tried")
    assert Parameter("shift", 1.0, "Shift").checked(-5, "Tried") == -5.0


def test_a_parameter_may_be_yes_or_no() -> None:
    wanted = Parameter("trail", False, "Trail the stop")
    assert wanted.checked(np.True_, "Tried") is True
    with pytest.raises(StrategyError, match="trail=1 is neither yes nor no"):
        wanted.checked(1, "Tried")


def test_the_values_of_a_sweep_have_both_ends_and_their_type() -> None:
    whole = Parameter("length", 14, "Bars", 2, 200)
    assert whole.values_between(10, 14) == (10, 11, 12, 13, 14)
    assert whole.values_between(10, 15, 2) == (10, 12, 14)
    assert whole.values_between(7, 7) == (7,)
    assert {type(value) for value in whole.values_between(2, 9)} == {int}
    assert len(whole.values_between()) == 199
    broken = Parameter("width", 2.0, "Width", 0.1, 5, step=0.1)
    assert broken.values_between(0.1, 0.7) == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    assert broken.values_between()[-1] == 5.0
    assert len(broken.values_between()) == 50
    assert Parameter("side", "both", "Side", choices=("both", "long only")).values_between() == ("both", "long only")
    assert Parameter("column", "prediction", "Column").values_between() == ("prediction",)
    assert Parameter("trail", True, "Trail").values_between() == (False, True)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ((9, 5, 1), "length cannot be swept from 9 to 5 in steps of 1."),
        ((5, 9, 0), "length cannot be swept from 5 to 9 in steps of 0."),
        ((5, 9, -1), "length cannot be swept from 5 to 9 in steps of -1."),
        ((5, np.inf, 1), "length cannot be swept from 5 to inf in steps of 1."),
        ((nan, 9, 1), "length cannot be swept from nan to 9 in steps of 1."),
        ((1, 9, 1), "Sweep: length=1.0 is out of range. It goes from 2 to 200."),
        ((5, 9, 0.5), "Sweep: length=5.5 is no whole number."),
        ((5, 9, 1e-6), "length would take 4,000,001 values. Widen the step or narrow the range."),
    ],
)
def test_a_range_that_cannot_be_swept_is_refused(given: tuple[float, ...], sentence: str) -> None:
    with pytest.raises(StrategyError) as refusal:
        Parameter("length", 14, "Bars", 2, 200).values_between(*given)
    assert sentence in str(refusal.value)
    with pytest.raises(StrategyError, match="shift has no natural range"):
        Parameter("shift", 1.0, "Shift", low=0).values_between()


def _raising(values: object) -> int:
    raise KeyError("length")


def test_a_warm_up_that_raises_is_reported() -> None:
    strategy = Strategy("Tried", "T", "T.", "T", 1, (), lambda bars, values: Signals(np.zeros(3)), warm_up=_raising)
    with pytest.raises(StrategyError, match=r"Tried raised KeyError: 'length'\. Mend the strategy's warm_up function"):
        strategy.checked_signals(closes(1, 2, 3), {})


WRONG_SIGNALS: dict[str, tuple[Callable[..., Any], str]] = {
    "raises": (lambda bars, values: 1 / 0, "Tried raised ZeroDivisionError: division by zero."),
    "too short": (lambda bars, values: Signals(np.ones(3, np.int8)), "Tried returned (3,) as position for 10 bars."),
    "two columns": (lambda bars, values: Signals(np.ones((10, 2))), "Tried returned (10, 2) as position for 10 bars."),
    "not a number": (
        lambda bars, values: Signals(np.where(np.arange(10) == 4, nan, 1.0)),
        "Tried wants position nan at 2024-01-02 04:00 UTC. Positions are -1, 0 and 1.",
    ),
    "a half": (lambda bars, values: Signals(np.full(10, 0.5)), "Tried wants position 0.5 at 2024-01-02 00:00 UTC."),
    "a two": (lambda bars, values: Signals(np.full(10, 2)), "Tried wants position 2 at 2024-01-02 00:00 UTC."),
    "text": (lambda bars, values: Signals(np.full(10, "long")), "Tried wants position long at 2024-01-02 00:00 UTC."),
    "a misspelt column": (
        lambda bars, values: Signals(sma(bars, 2, "closes")),
        "Tried: The bars have no column 'closes'. Did you mean 'close'?",
    ),
    "times of later bars": (
        lambda bars, values: Signals(pd.Series(1, bars.index.shift(1))),
        "Tried returned position with the index 2024-01-02 01:00:00+00:00 where the bars have 2024-01-02 00:00:00+00",
    ),
    "stops at other times": (
        lambda bars, values: Signals(np.ones(10), bars["close"].set_axis(bars.index[::-1])),
        "Tried returned stop_distance with the index 2024-01-02 09:00:00+00:00 where the bars have",
    ),
    "bare positions": (lambda bars, values: np.ones(10), "Tried returned a ndarray. Return Signals(position)."),
    "nothing": (lambda bars, values: None, "Tried returned a NoneType."),
    "no positions": (lambda bars, values: Signals(None), "Tried returned () as position for 10 bars."),
    "stops too short": (
        lambda bars, values: Signals(np.ones(10), stop_distance=np.ones(9)),
        "Tried returned (9,) as stop_distance for 10 bars.",
    ),
    "targets too long": (
        lambda bars, values: Signals(np.ones(10), target_distance=np.ones(11)),
        "Tried returned (11,) as target_distance for 10 bars.",
    ),
}


@pytest.mark.parametrize("case", WRONG_SIGNALS)
def test_signals_against_the_contract_are_refused_by_name(case: str) -> None:
    signals, sentence = WRONG_SIGNALS[case]
    with pytest.raises(StrategyError) as refusal:
        manager.run_backtest(closes(*range(1, 11)), judged_by(signals), symbol="EURUSD")
    assert sentence in str(refusal.value)


def test_signals_may_come_as_columns() -> None:
    def signals(bars: pd.DataFrame, _values: object) -> Signals:
        return Signals(bars["close"] * 0 + 1, stop_distance=bars["close"] * 0.5)  # type: ignore[arg-type]

    checked = judged_by(signals).checked_signals(closes(2, 4), {})
    assert checked.position.tolist() == [1, 1]
    assert checked.stop_distance is not None
    assert checked.stop_distance.tolist() == [1.0, 2.0]


def test_a_strategy_gets_its_parameters_with_the_defaults_filled_in() -> None:
    seen: list[dict[str, Value]] = []

    def signals(bars: pd.DataFrame, values: dict[str, Value]) -> Signals:
        seen.append(dict(values))
        return Signals(np.zeros(len(bars), np.int8))

    strategy = judged_by(signals, Parameter("length", 14, "Bars", 2, 200), Parameter("level", 1.5, "Level", 0, 9))
    result = manager.run_backtest(closes(1, 2, 3), strategy, symbol="EURUSD", parameters={"length": 20})
    assert seen[0] == {"length": 20, "level": 1.5}
    assert all(each == seen[0] for each in seen)
    assert dict(result.settings.parameters) == {"length": 20, "level": 1.5}


def test_a_file_dropped_into_the_folder_is_a_strategy(strategies_folder: Path) -> None:
    assert "Always_Long" not in find_strategies().strategies
    (strategies_folder / "dropped_long.py").write_text(A_GOOD_FILE)
    assert sorted(find_strategies().strategies) == sorted(["Always_Long", *NAMES])
    result = manager.run_backtest(closes(1, 2, 3, 4), strategy_name="Always_Long", symbol="EURUSD")
    assert result["trades_count"] == 1


BROKEN_FILES = {
    "does not parse": ("def signals(:\n", "SyntaxError"),
    "ends the program": ("raise SystemExit(3)\n", "SystemExit: 3"),
    "raises in an import": ("import json\njson.loads('{')\n", "JSONDecodeError: Expecting property name"),
    "takes a name of another": (A_GOOD_FILE.replace("Always_Long", "MACD"), "ValueError: the name MACD is taken"),
    "imports what is not there": ("import no_such_package\n", "ModuleNotFoundError: No module named 'no_such_package'"),
    "raises": ("raise RuntimeError('no feed')\n", "RuntimeError: no feed"),
    "holds no strategy": ("signals = None\n", "AttributeError: module"),
    "holds something else": ("STRATEGY = 5\n", "TypeError: STRATEGY is a int, not a Strategy"),
    "takes a name": (
        A_GOOD_FILE.replace("Always_Long", "MA_Crossover"),
        "ValueError: the name MA_Crossover is taken by another file",
    ),
}


@pytest.mark.parametrize("case", BROKEN_FILES)
def test_a_broken_file_is_reported_by_name_and_takes_nothing_down(case: str, strategies_folder: Path) -> None:
    text, reason = BROKEN_FILES[case]
    stem = f"broken_{case.replace(' ', '_')}"
    (strategies_folder / f"{stem}.py").write_text(text)
    (strategies_folder / f"well_{stem}.py").write_text(A_GOOD_FILE)
    found = find_strategies()
    assert sorted(found.strategies) == sorted(["Always_Long", *NAMES])
    assert list(found.broken) == [f"{stem}.py"]
    assert reason in found.broken[f"{stem}.py"]
    with pytest.raises(StrategyError, match=rf"{stem}\.py is broken"):
        strategy_named("Broken")


@pytest.mark.parametrize("text", ["STRATEGY = None\n", "STRATEGY = \n", "raise RuntimeError\n"])
def test_a_mended_file_is_found_without_a_restart(text: str, strategies_folder: Path) -> None:
    file = strategies_folder / "mended.py"
    file.write_text(text)
    assert list(find_strategies().broken) == ["mended.py"]
    file.write_text(A_GOOD_FILE)
    found = find_strategies()
    assert (list(found.broken), "Always_Long" in found.strategies) == ([], True)


@pytest.mark.parametrize(
    ("name", "hint"), [("ma_crosover", "Did you mean 'MA_Crossover'? "), ("Ichimoku_Kumo_Twist", "")]
)
def test_an_unknown_strategy_is_answered_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(StrategyError) as refusal:
        strategy_named(name)
    assert str(refusal.value) == f"There is no strategy {name!r}. {hint}Known: {', '.join(NAMES)}."
