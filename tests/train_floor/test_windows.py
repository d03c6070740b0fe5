"""Windows that are views, batches that hold what they should, and the rows at which samples may end."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from core.errors import BarsError, InputError, UnknownNameError
from data.features import engineered_features
from data.pipeline_controller import DataConfig, controller
from train.targets import TargetSpec, make_target
from train.windows import Samples, batches, complete_ends, feature_matrix, make_samples, windows

Walk = Callable[..., pd.DataFrame]
Sampled = Callable[..., Samples]
UP = TargetSpec("direction", 5)


def test_windows_are_views_of_the_features() -> None:
    features = np.arange(30, dtype=np.float32).reshape(10, 3)
    made = windows(features, 4)
    assert made.shape == (7, 4, 3)
    assert np.shares_memory(made, features)
    assert not made.flags.writeable
    for number in range(7):
        np.testing.assert_array_equal(made[number], features[number : number + 4])


def test_fewer_rows_than_a_window_are_refused() -> None:
    with pytest.raises(InputError, match="3 rows hold no window of 4"):
        windows(np.zeros((3, 2), dtype=np.float32), 4)


@pytest.mark.parametrize("length", [1, 60, 500])
@pytest.mark.parametrize("shuffled", [False, True])
def test_memory_does_not_grow_with_the_window(length: int, shuffled: bool) -> None:
    rows, columns = 200_000, 16
    tracemalloc.start()
    try:
        features = np.zeros((rows, columns), dtype=np.float32)
        target, ends = np.zeros(rows), np.arange(length - 1, rows)
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        rng = np.random.default_rng(1) if shuffled else None
        seen = 0
        # A batch of 500 bars is measured too, so it is kept small beside the features.
        for number, (inputs, _) in enumerate(batches(features, target, ends, length, 32, rng)):
            seen += len(inputs)
            if number == 400:
                break
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen == 401 * 32
    assert features.nbytes + peak - before < 1.3 * features.nbytes


def test_batches_hold_the_windows_and_targets_of_their_ends() -> None:
    features = np.arange(60, dtype=np.float32).reshape(20, 3)
    target, ends = np.arange(20.0) * 10, np.array([4, 7, 8, 19, 5])
    made = list(batches(features, target, ends, 5, 2, None))
    assert [len(inputs) for inputs, _ in made] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate([values for _, values in made]), ends * 10.0)
    for inputs, values in made:
        assert inputs.flags.c_contiguous
        assert inputs.flags.writeable
        assert not np.shares_memory(inputs, features)
        for window, value in zip(inputs, values, strict=True):
            end = int(value / 10)
            np.testing.assert_array_equal(window, features[end - 4 : end + 1])


def test_shuffled_batches_hold_every_end_once_in_an_order_that_can_be_had_again() -> None:
    features, target, ends = np.zeros((100, 1), dtype=np.float32), np.arange(100.0), np.arange(9, 100)

    def order(seed: int) -> list[float]:
        made = batches(features, target, ends, 10, 8, np.random.default_rng(seed))
        return np.concatenate([values for _, values in made]).tolist()

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert sorted(order(1)) == ends.tolist()
    assert ends.tolist() == list(range(9, 100))


def test_no_sample_has_a_hole_or_an_unknown_target(walk: Walk) -> None:
    bars = walk(200)
    bars["made"] = np.arange(200.0)
    bars.loc[bars.index[[90, 130]], "made"] = [np.nan, np.inf]
    samples = make_samples(bars, "EURUSD", ("return_5", "made"), UP, 10)
    expected = [
        end
        for end in range(200)
        if end - 9 >= 5 and not set(range(end - 9, end + 1)) & {90, 130} and end + UP.horizon < 200
    ]
    assert samples.ends.tolist() == expected
    assert np.isfinite(samples.target[samples.ends]).all()


def test_complete_ends_of_rows_that_all_miss_something_are_none() -> None:
    assert not len(complete_ends(np.full((5, 2), np.nan, dtype=np.float32), 1))


def test_features_come_from_the_columns_or_are_made_by_their_names(walk: Walk) -> None:
    bars = walk(100).assign(own=1.5, sma_10=7.0)
    matrix = feature_matrix(bars, ("own", "rsi_14", "sma_10", "close"))
    made = engineered_features(bars, ["rsi_14"])["rsi_14"]
    np.testing.assert_array_equal(matrix[:, 1], made.to_numpy(dtype="float32"))
    assert (matrix[:, 0] == 1.5).all()
    assert (matrix[:, 2] == 7.0).all()  # what the dataset has is what was validated
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous


def test_samples_say_when_their_features_are_known(walk: Walk) -> None:
    samples = make_samples(walk(100), "EURUSD", ("return_1",), UP, 3)
    assert samples.timeframe == "H1"
    assert (samples.known_at - samples.times == pd.Timedelta(hours=1)).all()
    assert samples.target.tobytes() == make_target(walk(100), UP).tobytes()


def test_days_are_known_when_their_vendor_cuts_them(walk: Walk) -> None:
    daily = walk(60)
    daily.index = pd.bdate_range("2024-02-01", periods=60, tz="UTC", name="time").as_unit("us")
    own = make_samples(daily, "EURUSD", ("return_1",), UP, 3)
    assert own.timeframe == "D1"
    assert str(own.known_at[0]) == "2024-02-01 22:00:00+00:00"
    version = controller.enter_bars(daily, "EURUSD", "D1")
    object.__setattr__(version, "day_cut", "00:00 Europe/London")
    theirs = make_samples(version, "EURUSD", ("return_1",), UP, 3)
    assert str(theirs.known_at[0]) == "2024-02-02 00:00:00+00:00"
    assert str(theirs.known_at[-1]).endswith("23:00:00+00:00")  # summer time by then


def test_samples_of_a_version_are_those_of_its_bars() -> None:
    config = DataConfig(
        data_sources=["Sample"],
        symbols=["EURUSD"],
        start_date="2017-04-19",
        end_date="2017-07-01",
        preprocessing={"features": ["returns"]},
    )
    version = controller.prepare(config)
    of_version = make_samples(version, "EUR/USD", ("return_5", "rsi_14"), UP, 20)
    of_bars = make_samples(version.bars("EURUSD"), "EURUSD", ("return_5", "rsi_14"), UP, 20)
    assert of_version.features.tobytes() == of_bars.features.tobytes()
    assert of_version.ends.tobytes() == of_bars.ends.tobytes()
    assert (of_version.symbol, of_version.timeframe) == ("EURUSD", "H1")


def test_what_cannot_be_sampled_is_refused_by_name(walk: Walk) -> None:
    bars = walk(50).assign(empty=np.nan, label="up")
    with pytest.raises(UnknownNameError, match="Did you mean 'return_1'"):
        make_samples(bars, "EURUSD", ("retrun_1",), UP, 5)
    with pytest.raises(InputError, match="at least one feature"):
        make_samples(bars, "EURUSD", (), UP, 5)
    with pytest.raises(InputError, match="'return_1' is named twice"):
        make_samples(bars, "EURUSD", ("return_1", "return_1"), UP, 5)
    with pytest.raises(InputError, match="'label' holds"):
        make_samples(bars, "EURUSD", ("label",), UP, 5)
    with pytest.raises(InputError, match="'empty' is missing in 100% of them"):
        make_samples(bars, "EURUSD", ("return_1", "empty"), UP, 5)
    with pytest.raises(InputError, match="50 bars hold no whole window of 60"):
        make_samples(bars, "EURUSD", ("candle_range",), UP, 60)
    with pytest.raises(BarsError, match="holds no bars of 'GBPUSD'"):
        make_samples(bars.assign(symbol="EURUSD"), "GBPUSD", ("return_1",), UP, 5)
    for length in (0, -3, 2.5):
        with pytest.raises(InputError, match="length="):
            make_samples(bars, "EURUSD", ("return_1",), UP, length)  # type: ignore[arg-type]
