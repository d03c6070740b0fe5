"""Bars of a random walk, samples of them, and samples that can be learned, for every test of the training floor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from train.splits import Scaler, Split, fit_scaler, split_in_time
from train.targets import TargetSpec
from train.windows import Samples, complete_ends, make_samples

Walk = Callable[..., pd.DataFrame]
Sampled = Callable[..., Samples]
Parts = tuple[Samples, Split, Scaler]
Learnable = Callable[..., Parts]


@pytest.fixture
def walk() -> Walk:
    """Make hourly bars whose closes know nothing of one another."""

    def make(rows: int, seed: int = 3, start: str = "2024-01-01") -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        close = 1.1 * np.exp(rng.normal(0, 1e-3, rows).cumsum())
        opened = np.concatenate([close[:1], close[:-1]])
        reach = np.abs(rng.normal(0, 5e-4, (2, rows))) * close
        index = pd.date_range(start, periods=rows, freq="h", tz="UTC", unit="us", name="time")
        return pd.DataFrame(
            {
                "open": opened,
                "high": np.maximum(opened, close) + reach[0],
                "low": np.minimum(opened, close) - reach[1],
                "close": close,
                "volume": rng.integers(1, 100, rows).astype("float64"),
            },
            index=index,
        )

    return make


@pytest.fixture
def sampled(walk: Walk) -> Sampled:
    """Make samples of a walk: three features without the price's level, windows of 8, direction over 5 bars."""

    def make(rows: int = 600, *, length: int = 8, seed: int = 3, **target: object) -> Samples:
        spec = TargetSpec(**{"kind": "direction", "horizon": 5, **target})  # type: ignore[arg-type]
        return make_samples(walk(rows, seed), "EURUSD", ("return_1", "return_5", "candle_body"), spec, length)

    return make


@pytest.fixture
def learnable() -> Learnable:
    """Make samples with a split and a scaler whose target is what the first of three features sums up to."""

    def make(kind: str = "direction", rows: int = 900, length: int = 8, seed: int = 5) -> Parts:
        rng = np.random.default_rng(seed)
        features = rng.normal(3.0, 2.0, (rows, 3)).astype("float32")
        found = np.convolve(features[:, 0] - 3.0, np.ones(4))[:rows] + rng.normal(0, 0.5, rows)
        spec = TargetSpec(kind, 2)
        target = found / 1000
        if spec.is_classification:
            target = (found > 0).astype("float64") if len(spec.classes) == 2 else np.digitize(found, [-3, 2]) - 1.0
        target[-2:] = np.nan
        ends = complete_ends(features, length)
        ends = ends[np.isfinite(target[ends])]
        times = pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC", unit="us")
        samples = Samples(
            features, ("first", "second", "third"), target, times, times, length, spec, ends, "EURUSD", "H1"
        )
        split = split_in_time(samples)
        return samples, split, fit_scaler(samples, split)

    return make
