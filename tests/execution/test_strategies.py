from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import execution.strategies
from core.errors import StrategyError
from execution.backtest_manager import manager
from execution.registry import find_strategies, strategy_named
from execution.strategies.rsi_bands import rsi
from execution.strategy import Parameter, Signals, Strategy, Value

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
    for rows in prefixes:
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
def strategies_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is looked through beside the shipped strategies."""
    folder = tmp_path / "strategies"
    folder.mkdir()
    monkeypatch.setattr(execution.strategies, "__path__", [*execution.strategies.__path__, str(folder)])
    yield folder
    for file in folder.glob("*.py"):
        sys.modules.pop(f"execution.strategies.{file.stem}", None)


def test_both_strategies_are_shipped() -> None:
    assert sorted(SHIPPED) == ["MA_Crossover", "RSI_Bands"]
    assert find_strategies().broken == {}


@pytest.mark.parametrize("name", SHIPPED)
def test_signals_of_a_bar_never_change_when_later_bars_arrive(name: str, sample: pd.DataFrame) -> None:
    assert rewritten_bars(SHIPPED[name], sample, PREFIXES) == []


def test_a_strategy_that_looks_ahead_is_caught(sample: pd.DataFrame) -> None:
    def peek(bars: pd.DataFrame, _values: object) -> Signals:
        return Signals(np.sign((bars["close"].shift(-1) - bars["close"]).fillna(0).to_numpy()).astype(np.int8))

    def peek_at_stops(bars: pd.DataFrame, _values: object) -> Signals:
        reach = (bars["high"].shift(-1) - bars["close"]).to_numpy()
        return Signals(np.ones(len(bars), np.int8), stop_distance=reach)

    def centred(bars: pd.DataFrame, _values: object) -> Signals:
        return Signals((bars["close"].rolling(5, center=True).mean() > bars["close"]).to_numpy().astype(np.int8))

    assert rewritten_bars(judged_by(peek), sample, PREFIXES)
    assert rewritten_bars(judged_by(peek_at_stops), sample, PREFIXES) == list(PREFIXES)
    assert rewritten_bars(judged_by(centred), sample, PREFIXES)


@pytest.mark.parametrize("name", SHIPPED)
def test_signals_are_long_flat_or_short_and_all_three_occur(name: str, sample: pd.DataFrame) -> None:
    position = SHIPPED[name].checked_signals(sample, SHIPPED[name].values()).position
    assert position.dtype == np.int8
    assert set(position.tolist()) == {-1, 0, 1}


@pytest.mark.parametrize("name", SHIPPED)
def test_signals_leave_the_bars_as_they_were(name: str, sample: pd.DataFrame) -> None:
    before = sample.copy(deep=True)
    SHIPPED[name].checked_signals(sample, SHIPPED[name].values())
    pd.testing.assert_frame_equal(sample, before, check_exact=True)


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
            assert parameter.default in parameter.choices
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


def test_rsi_is_smoothed_as_wilder_does() -> None:
    # Changes +1 −1 +2 0; with length 2 an average is half the one before and half the new change.
    # Gains 1, 0.5, 1.25, 0.625; losses 0, 0.5, 0.25, 0.125.
    found = rsi(pd.Series([10.0, 11.0, 10.0, 12.0, 12.0]), 2)
    assert found.tolist() == pytest.approx([nan, nan, 50.0, 100 - 100 / 6, 100 - 100 / 6], nan_ok=True)


def test_rsi_is_a_hundred_without_a_loss_and_fifty_without_a_change() -> None:
    assert rsi(pd.Series([1.0, 2.0, 3.0, 4.0]), 2).tolist()[2:] == [100.0, 100.0]
    assert rsi(pd.Series([4.0, 3.0, 2.0, 1.0]), 2).tolist()[2:] == [0.0, 0.0]
    assert rsi(pd.Series([1.0, 1.0, 1.0, 1.0]), 2).tolist()[2:] == [50.0, 50.0]


@pytest.mark.parametrize("length", [2, 14])
def test_rsi_has_no_value_for_the_first_bars_and_lies_between_0_and_100(sample: pd.DataFrame, length: int) -> None:
    found = rsi(sample["close"], length)
    assert found.iloc[:length].isna().all()
    assert found.iloc[length:].between(0, 100).all()


def test_rsi_bands_hold_against_the_move_until_the_middle_is_back() -> None:
    bands = SHIPPED["RSI_Bands"]
    values = bands.values({"length": 2})
    # Falls to RSI 0 (long), rises a little (9), enough to reach 60 (flat), then to 90 (short), and back to 21 (long).
    bars = closes(10, 9, 8, 7, 7.1, 7.8, 9.8, 7.3)
    strength = rsi(bars["close"], 2)
    assert strength.round(0).tolist()[2:] == [0, 0, 9, 60, 90, 31]
    assert bands.checked_signals(bars, values).position.tolist() == [0, 0, 1, 1, 1, 0, -1, 0]


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


WRONG_SIGNALS: dict[str, tuple[Callable[..., Any], str]] = {
    "raises": (lambda bars, values: 1 / 0, "Tried raised ZeroDivisionError: division by zero."),
    "too short": (lambda bars, values: Signals(np.ones(3, np.int8)), "Tried returned (3,) as position for 10 bars."),
    "two columns": (lambda bars, values: Signals(np.ones((10, 2))), "Tried returned (10, 2) as position for 10 bars."),
    "not a number": (
        lambda bars, values: Signals(np.where(np.arange(10) == 4, nan, 1.0)),
        "Tried wants position nan at 2024-01-02 04:00 UTC. Positions are -1, 0 and 1.",
    ),
    "a half": (lambda bars, values: Signals(np.full(10, 0.5)), "Tried wants position 0.5 at 2024-01-02 00:00 UTC."),
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
    assert seen == [{"length": 20, "level": 1.5}]
    assert dict(result.settings.parameters) == {"length": 20, "level": 1.5}


def test_a_file_dropped_into_the_folder_is_a_strategy(strategies_folder: Path) -> None:
    assert "Always_Long" not in find_strategies().strategies
    (strategies_folder / "dropped_long.py").write_text(A_GOOD_FILE)
    assert sorted(find_strategies().strategies) == ["Always_Long", "MA_Crossover", "RSI_Bands"]
    result = manager.run_backtest(closes(1, 2, 3, 4), strategy_name="Always_Long", symbol="EURUSD")
    assert result["trades_count"] == 1


BROKEN_FILES = {
    "does not parse": ("def signals(:\n", "SyntaxError"),
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
    assert sorted(found.strategies) == ["Always_Long", "MA_Crossover", "RSI_Bands"]
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
    assert str(refusal.value) == f"There is no strategy {name!r}. {hint}Known: MA_Crossover, RSI_Bands."
