"""Bars and settings that hypothesis makes up: walks in which levels meet, gap and stand still, and rough nonsense."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, settings
from hypothesis import strategies as some

from scanner.patterns.settings import PatternSettings

PROFILE = settings.get_current_profile_name()
dealt = settings(
    max_examples=10_000 if PROFILE == "full" else 200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
SETTINGS = some.builds(
    PatternSettings,
    liquidity_lookback=some.sampled_from([2, 3, 5, 9, 20, 400]),
    swing_lookback=some.sampled_from([1, 2, 3, 5, 10, 400]),
    fvg_threshold=some.sampled_from([0.0, 0.0001, 0.01]),
    order_block_body_ratio=some.sampled_from([0.0, 0.3, 0.6, 1.0]),
    order_block_lookback=some.sampled_from([1, 3, 20]),
    equal_level_atr=some.sampled_from([0.0, 0.1, 1.0]),
    gap_fill_share=some.sampled_from([0.0, 0.5, 1.0]),
    atr_length=some.sampled_from([1, 3, 14, 130]),
)


def walk(random: np.random.Generator, length: int, tick: float, gap: float, drift: float) -> pd.DataFrame:
    """A random walk on a grid, so coarse that extremes are equal often; some bars gap, some stand still."""
    steps = random.normal(drift, 3, length) * (random.random(length) > 0.1)
    close = 1000 + np.round(np.cumsum(steps) + np.cumsum(random.normal(0, 12, length) * (random.random(length) < gap)))
    opened = np.r_[close[:1], close[:-1]] + np.where(random.random(length) < gap, np.round(random.normal(0, 6)), 0)
    high = np.maximum(opened, close) + np.round(random.exponential(1.5, length))
    low = np.minimum(opened, close) - np.round(random.exponential(1.5, length))
    lowest = min(0.0, low.min() - 1)
    bars = {"open": opened, "high": high, "low": low, "close": close}
    return pd.DataFrame({name: (values - lowest) * tick for name, values in bars.items()})


def rough(random: np.random.Generator, length: int, steps: int) -> pd.DataFrame:
    """Bars that have nothing to do with one another, on a few prices."""
    four = random.integers(1, 1 + steps, (4, length)).astype(float)
    return pd.DataFrame({"open": four[0], "high": four.max(axis=0), "low": four.min(axis=0), "close": four[1]})


@some.composite
def bars_of_any_kind(draw: Any, longest: int = 110) -> pd.DataFrame:
    random = np.random.default_rng(draw(some.integers(0, 2**32 - 1)))
    length = draw(some.integers(1, longest))
    kind = draw(some.sampled_from(["walk", "walk", "walk", "trend", "rough", "flat", "drawn"]))
    if kind == "rough":
        frame = rough(random, length, draw(some.integers(1, 40)))
    elif kind == "flat":
        frame = rough(random, length, 1)
    elif kind == "drawn":
        price = some.integers(1, 9)
        rows = draw(some.lists(some.tuples(price, price, price, price), min_size=1, max_size=40))
        frame = pd.DataFrame(
            [(row[0], max(row), min(row), row[1]) for row in rows],
            columns=["open", "high", "low", "close"],
            dtype=float,
        )
    else:
        drift = draw(some.sampled_from([-2.0, 2.0])) if kind == "trend" else 0.0
        tick = draw(some.sampled_from([1.0, 0.01, 0.00001]))
        frame = walk(random, length, tick, draw(some.sampled_from([0.0, 0.1, 0.5])), drift)
    volumes = {
        "none": np.zeros(len(frame)),
        "missing": np.full(len(frame), np.nan),
        "some": np.where(random.random(len(frame)) < 0.2, np.nan, random.integers(0, 9, len(frame))),
        "all": random.integers(1, 500, len(frame)).astype(float),
    }
    frame["volume"] = volumes[draw(some.sampled_from(sorted(volumes)))]
    minutes = draw(some.sampled_from([15, 60, 60, 240, 1440]))
    holes = np.cumsum(1 + (random.random(len(frame)) < 0.05) * random.integers(1, 200, len(frame)))
    # Around both weeks in which New York and London change their clocks.
    start = pd.Timestamp(draw(some.sampled_from(["2024-03-07", "2024-10-25 09:00", "1969-12-20"])), tz="UTC")
    times = start + pd.to_timedelta(holes * minutes, unit="min")
    return frame.set_index(pd.DatetimeIndex(times, name="time").as_unit("us"))
