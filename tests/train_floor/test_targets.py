"""Targets: by hand, by their prefix, and what is not known yet."""

from __future__ import annotations

from collections.abc import Callable
from math import nan, sqrt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError, UnknownNameError
from market.indicators import atr
from train.targets import KINDS, TargetSpec, make_target

Walk = Callable[..., pd.DataFrame]


def candles(rows: list[tuple[float, float, float, float]]) -> pd.DataFrame:
    index = pd.date_range("2024-01-01", periods=len(rows), freq="h", tz="UTC", unit="us", name="time")
    return pd.DataFrame(rows, columns=["open", "high", "low", "close"], dtype="float64", index=index).assign(volume=1.0)


def closes(*values: float) -> pd.DataFrame:
    return candles([(value, value, value, value) for value in values])


def after_calm(*ahead: tuple[float, float, float, float]) -> float:
    """The triple barrier of a bar that closes at 100 after bars of a range of 2: its barriers stand at 98 and 102."""
    calm = [(100.0, 101.0, 99.0, 100.0)] * 20
    bars = candles([*calm, *ahead])
    assert atr(bars, 14)[19] == 2.0
    return float(make_target(bars, TargetSpec("triple_barrier", len(ahead)))[19])


def test_a_direction_is_that_of_the_close_and_an_equal_one_is_not_higher() -> None:
    target = make_target(closes(1.0, 3.0, 1.0, 2.0, 3.0), TargetSpec("direction", 2))
    np.testing.assert_array_equal(target, [0.0, 0.0, 1.0, nan, nan])


def test_a_return_is_the_simple_one_over_the_horizon() -> None:
    target = make_target(closes(1.0, 3.0, 2.0, 4.5), TargetSpec("return", 2))
    np.testing.assert_allclose(target, [1.0, 0.5, nan, nan])


def test_volatility_is_the_root_mean_square_of_the_returns_ahead() -> None:
    target = make_target(closes(4.0, 5.0, 4.0, 4.0), TargetSpec("volatility", 2))
    np.testing.assert_allclose(target, [sqrt((0.25**2 + 0.2**2) / 2), sqrt(0.2**2 / 2), nan, nan])


@pytest.mark.parametrize(
    ("words", "ahead", "expected"),
    [
        ("upper first", [(100, 101, 99, 100), (100, 102, 99, 101), (101, 101, 90, 95)], 1),
        ("lower first", [(100, 101, 98, 99), (99, 110, 99, 105), (105, 106, 104, 105)], -1),
        ("neither", [(100, 101.9, 98.1, 100), (100, 101, 99, 100), (100, 101, 99, 101.5)], 0),
        ("both in one bar", [(100, 103, 97, 100), (100, 103, 99, 100), (100, 101, 99, 100)], 0),
        ("opened above, fell below", [(103, 104, 90, 91), (91, 92, 90, 91), (91, 92, 90, 91)], 1),
        ("opened below, rose above", [(97, 104, 96, 103), (103, 104, 102, 103), (103, 104, 102, 103)], -1),
        ("in the last bar", [(100, 101, 99, 100), (100, 101, 99, 100), (100, 102, 99, 100)], 1),
        ("a missing bar", [(100, 101, 99, 100), (nan, nan, nan, nan), (100, 102, 99, 100)], nan),
    ],
)
def test_a_triple_barrier_says_which_was_met_first(
    words: str, ahead: list[tuple[float, float, float, float]], expected: float
) -> None:
    np.testing.assert_equal(after_calm(*ahead), float(expected), err_msg=words)


def test_barriers_stand_as_far_off_as_they_are_told() -> None:
    bars = candles([(100.0, 101.0, 99.0, 100.0)] * 20 + [(100.0, 103.0, 99.0, 100.0)])
    at = [make_target(bars, TargetSpec("triple_barrier", 1, barrier_atr=each))[19] for each in (1.0, 1.5, 1.6)]
    assert at == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_bars_are_not_known_yet(kind: str, walk: Walk) -> None:
    target = make_target(walk(60), TargetSpec(kind, 7))
    assert np.isnan(target[-7:]).all()
    assert np.isfinite(target[20:-7]).all()


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 99), rows=st.integers(1, 60), cut=st.integers(0, 60), horizon=st.integers(1, 70))
@settings(max_examples=60, deadline=None)
def test_a_target_reads_no_further_than_its_horizon(kind: str, seed: int, rows: int, cut: int, horizon: int) -> None:
    rng = np.random.default_rng(seed)
    prices = np.sort(100 + rng.normal(0, 1, (rows, 4)), axis=1)
    bars = candles([(row[1], row[3], row[0], row[2]) for row in prices])
    spec = TargetSpec(kind, horizon)
    whole, prefix = make_target(bars, spec), make_target(bars.iloc[:cut], spec)
    known = max(0, min(cut, rows) - horizon)
    assert prefix[:known].tobytes() == whole[:known].tobytes()
    assert np.isnan(prefix[known:]).all()
    other = bars * np.where(np.arange(rows) >= cut, 1.7, 1.0)[:, None]
    assert make_target(other, spec)[:known].tobytes() == whole[:known].tobytes()


@pytest.mark.parametrize("kind", ["direction", "return", "volatility"])
def test_a_target_does_not_read_what_came_before(kind: str, walk: Walk) -> None:
    bars = walk(80)
    spec = TargetSpec(kind, 5)
    changed = bars.copy()
    changed.iloc[:40] *= 3.3
    assert make_target(changed, spec)[40:].tobytes() == make_target(bars, spec)[40:].tobytes()


def test_a_missing_price_makes_no_target() -> None:
    bars = closes(1.0, 2.0, nan, 4.0, 5.0, 6.0)
    for kind, unknown in (("direction", [0, 2, 4, 5]), ("return", [0, 2, 4, 5]), ("volatility", [0, 1, 2, 4, 5])):
        target = make_target(bars, TargetSpec(kind, 2))
        assert np.flatnonzero(np.isnan(target)).tolist() == unknown, kind


def test_a_target_tells_what_it_is() -> None:
    assert TargetSpec("direction", 1).words == "direction over 1 bar"
    assert TargetSpec("triple_barrier", 12, 1.5).words == "triple barrier over 12 bars, barriers at 1.5 ATR"
    assert TargetSpec("triple_barrier", 3).classes == (-1, 0, 1)
    assert TargetSpec("direction", 3).is_classification
    assert not TargetSpec("return", 3).is_classification
    assert TargetSpec("volatility", 3).classes == ()


def test_a_target_that_cannot_be_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'direction'"):
        TargetSpec("directoin", 5)
    for horizon in (0, -1, 1.5, True, nan):
        with pytest.raises(InputError, match="horizon="):
            TargetSpec("return", horizon)  # type: ignore[arg-type]
    for distance in (0, -1, nan, float("inf")):
        with pytest.raises(InputError, match="barrier_atr="):
            TargetSpec("triple_barrier", 5, distance)
