"""Splits that share nothing across a boundary, uniqueness by hand, and scalers that see training rows only."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from train.splits import (
    Scaler,
    Split,
    effective_size,
    fit_scaler,
    rows_of_windows,
    split_in_time,
    walk_forward,
)
from train.targets import TargetSpec
from train.windows import Samples, make_samples

Walk = Callable[..., pd.DataFrame]
Sampled = Callable[..., Samples]


def bare_samples(rows: int, length: int, horizon: int, holes: Sequence[int] = ()) -> Samples:
    """Samples of one column without bars behind them."""
    times = pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC")
    ends = np.array([end for end in range(length - 1, rows - horizon) if end not in holes], dtype=np.int64)
    return Samples(
        np.zeros((rows, 1), dtype=np.float32),
        ("one",),
        np.where(np.arange(rows) < rows - horizon, 1.0, np.nan),
        times,
        times + pd.Timedelta(hours=1),
        length,
        TargetSpec("direction", horizon),
        ends,
        "EURUSD",
        "H1",
    )


def window_rows(samples: Samples, ends: np.ndarray) -> set[int]:
    return {row for end in ends for row in range(end - samples.length + 1, end + 1)}


def target_rows(samples: Samples, ends: np.ndarray) -> set[int]:
    return {row for end in ends for row in range(end + 1, end + samples.spec.horizon + 1)}


def assert_apart(samples: Samples, split: Split) -> None:
    """Row by row: no earlier window or target, nor the embargo after it, meets a later window or target."""
    parts = [split.train, split.validation, split.test]
    for number, earlier in enumerate(parts):
        for later in parts[number + 1 :]:
            if not len(earlier) or not len(later):
                continue
            used = window_rows(samples, earlier) | target_rows(samples, earlier)
            free = {row + step for row in target_rows(samples, earlier) for step in range(split.embargo + 1)}
            theirs = window_rows(samples, later) | target_rows(samples, later)
            assert not (used | free) & theirs
            assert earlier.max() < later.min()


def test_a_split_by_hand() -> None:
    samples = bare_samples(104, length=3, horizon=2)  # ends 2 to 101, a hundred of them
    split = split_in_time(samples, validation_split=0.2, test_split=0.1, embargo=4)
    assert split.test.tolist() == list(range(92, 102))
    # The first test window begins at row 90: an end before it, its 2 target rows and 4 free rows fit below.
    assert split.validation.tolist() == list(range(72, 84))
    # Likewise before 70, where the first validation window begins.
    assert split.train.tolist() == list(range(2, 64))
    assert (split.purge, split.embargo) == (2, 4)


@given(
    made=st.tuples(st.integers(60, 200), st.integers(1, 12)),
    horizon=st.integers(1, 12),
    embargo=st.integers(0, 5),
    shares=st.sampled_from([(first, second) for first in (0.0, 0.15, 0.3) for second in (0.0, 0.15, 0.3)]),
    holes=st.sets(st.integers(0, 199), max_size=20),
)
@settings(max_examples=80, deadline=None)
def test_no_split_shares_a_row_across_a_boundary(
    made: tuple[int, int], horizon: int, embargo: int, shares: tuple[float, float], holes: set[int]
) -> None:
    samples = bare_samples(*made, horizon, sorted(holes))
    refused = ""
    try:
        split = split_in_time(samples, *shares, embargo=embargo)
    except InputError as error:
        refused = error.what
    if refused:
        assert "must stay apart" in refused  # too little left after the purge is said, not hidden
        return
    assert_apart(samples, split)
    assert len(split.train) >= 2
    assert [len(part) > 0 for part in (split.validation, split.test)] == [share > 0 for share in shares]


@pytest.mark.parametrize("rolling", [False, True])
def test_walk_forward_tests_follow_one_another_and_train_on_what_came_before(rolling: bool) -> None:
    samples = bare_samples(600, length=6, horizon=4)
    splits = walk_forward(samples, 5, validation_split=0.25, embargo=2, rolling=rolling)
    assert len(splits) == 5
    for split in splits:
        assert_apart(samples, split)
    tested = np.concatenate([split.test for split in splits])
    first = len(samples.ends) - len(tested)
    assert tested.tolist() == samples.ends[first:].tolist()
    assert first == pytest.approx(len(samples.ends) / 6, abs=1)
    firsts = [int(split.train[0]) for split in splits]
    if rolling:
        assert firsts == sorted(set(firsts))
        sizes = [len(split.train) for split in splits]
        assert max(sizes) - min(sizes) <= 2
    else:
        assert set(firsts) == {int(samples.ends[0])}


def test_splits_that_leave_nothing_are_refused() -> None:
    samples = bare_samples(60, length=10, horizon=8)
    with pytest.raises(InputError, match="validation part keeps 0 of its 6 samples"):
        split_in_time(samples, 0.15, 0.3)
    with pytest.raises(InputError, match="training part keeps"):
        split_in_time(samples, 0.5, 0.0, embargo=40)
    with pytest.raises(InputError, match="leave nothing to train on"):
        split_in_time(samples, 0.5, 0.5)
    with pytest.raises(InputError, match=r"test_split=-0\.1"):
        split_in_time(samples, 0.2, -0.1)
    with pytest.raises(InputError, match="embargo=-1"):
        split_in_time(samples, embargo=-1)
    with pytest.raises(InputError, match="folds=0"):
        walk_forward(samples, 0)
    with pytest.raises(InputError, match="validation_split=1"):
        walk_forward(samples, 2, validation_split=1)


def test_uniqueness_by_hand() -> None:
    samples = bare_samples(20, length=1, horizon=2)
    # Targets span rows {1, 2}, {2, 3} and {3, 4}: alone, shared, shared, alone.
    assert effective_size(samples, np.array([0, 1, 2])) == pytest.approx(0.75 + 0.5 + 0.75)
    assert effective_size(samples, np.array([0, 2, 4])) == pytest.approx(3.0)
    assert effective_size(samples, np.array([], dtype=np.int64)) == 0.0


def test_overlapping_samples_are_worth_about_one_a_horizon() -> None:
    samples = bare_samples(1010, length=1, horizon=10)
    assert effective_size(samples, samples.ends) == pytest.approx(100, abs=2)


def test_windows_touch_the_rows_they_span() -> None:
    ends = np.array([3, 4, 12])
    touched = np.flatnonzero(rows_of_windows(ends, 3, 15)).tolist()
    assert touched == [1, 2, 3, 4, 10, 11, 12]


def test_a_scaler_has_the_mean_and_deviation_of_the_training_windows(sampled: Sampled) -> None:
    samples = sampled()
    split = split_in_time(samples)
    scaler = fit_scaler(samples, split)
    rows = sorted(window_rows(samples, split.train))
    assert scaler.rows == len(rows)
    seen = samples.features[rows].astype("float64")
    np.testing.assert_allclose(scaler.mean, seen.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaler.deviation, seen.std(axis=0), rtol=1e-12)
    scaled = scaler.apply(samples.features)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled[rows].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled[rows].std(axis=0), 1, atol=1e-5)


def test_a_constant_column_becomes_0(sampled: Sampled) -> None:
    samples = sampled()
    constant = np.full((len(samples.features), 3), 0.1, dtype=np.float32)
    scaler = fit_scaler(dataclasses.replace(samples, features=constant), split_in_time(samples))
    assert scaler.deviation == (0.0, 0.0, 0.0)
    assert not scaler.apply(constant).any()


def test_scaling_in_place_or_by_windows_gives_the_same_bits(sampled: Sampled) -> None:
    samples = sampled(70_000)  # more rows than are scaled together
    scaler = fit_scaler(samples, split_in_time(samples))
    whole = scaler.apply(samples.features)
    window = samples.features[65_530:65_545][None]
    assert scaler.apply(window).tobytes() == whole[65_530:65_545].tobytes()
    own = samples.features.copy()
    assert scaler.apply(own, out=own) is own
    assert own.tobytes() == whole.tobytes()
    with pytest.raises(InputError, match="2 columns cannot be scaled as 3"):
        scaler.apply(samples.features[:, :2])
    with pytest.raises(InputError, match="not in one piece"):
        scaler.apply(own, out=np.empty((3, 70_000), dtype=np.float32).T)


def test_a_scaler_survives_json_to_the_last_bit(sampled: Sampled) -> None:
    samples = sampled()
    scaler = fit_scaler(samples, split_in_time(samples))
    assert Scaler.from_dict(json.loads(json.dumps(scaler.to_dict()))) == scaler


def test_other_bars_in_the_test_part_leave_training_as_it_was(walk: Walk) -> None:
    columns, spec = ("return_1", "rsi_14", "atr_14", "macd"), TargetSpec("triple_barrier", 6)
    bars = walk(800)
    samples = make_samples(bars, "EURUSD", columns, spec, 12)
    split = split_in_time(samples)
    changed = bars.copy()
    first = int(split.test[0]) - samples.length + 1
    changed.iloc[first:] = changed.iloc[first:] * 1.37
    theirs = make_samples(changed, "EURUSD", columns, spec, 12)
    assert theirs.features[first:].tobytes() != samples.features[first:].tobytes()
    again = split_in_time(theirs)
    for part in ("train", "validation"):
        ends = getattr(split, part)
        assert getattr(again, part).tobytes() == ends.tobytes()
        rows = sorted(window_rows(samples, ends))
        assert theirs.features[rows].tobytes() == samples.features[rows].tobytes()
        assert theirs.target[ends].tobytes() == samples.target[ends].tobytes()
    assert fit_scaler(theirs, again) == fit_scaler(samples, split)
