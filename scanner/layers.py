"""Timeframes of one symbol on one clock: longer bars count from the moment they are closed, never before.

A layer is the bars of one timeframe with what was found in them. Bar *i* of a longer timeframe can be read at the
close of the first shorter bar that ends no earlier than it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from core.errors import InputError
from market.calendar import bar_end
from market.resample import resample_bars
from market.symbols import AssetClass
from market.timeframes import Timeframe, infer_timeframe, parse_timeframe
from scanner.patterns.all import find_patterns
from scanner.patterns.findings import Findings
from scanner.patterns.settings import PatternSettings

Whole = np.ndarray[Any, np.dtype[np.int64]]
# A timeframe is read off the first bars only, so that every prefix of the bars reads the same.
BARS_THAT_TELL = 50


@dataclass(frozen=True)
class Layer:
    """The closed bars of one timeframe and the findings in them."""

    timeframe: Timeframe
    bars: pd.DataFrame
    findings: Findings
    asset_class: AssetClass = AssetClass.FX

    @cached_property
    def times(self) -> pd.DatetimeIndex:
        """Open times."""
        return pd.DatetimeIndex(self.bars.index)

    @cached_property
    def ends(self) -> Whole:
        """When each bar is closed, in microseconds since 1970."""
        stamps: Whole = bar_end(self.times, self.timeframe, self.asset_class).as_unit("us").asi8
        return stamps


def layer_of(bars: pd.DataFrame, timeframe: Timeframe, patterns: PatternSettings, asset_class: AssetClass) -> Layer:
    """A layer of closed bars of the contract."""
    return Layer(timeframe, bars, find_patterns(bars, patterns, asset_class), asset_class)


def layers_of(
    bars: pd.DataFrame,
    timeframe: Timeframe,
    timeframes: Sequence[Timeframe],
    patterns: PatternSettings,
    asset_class: AssetClass,
) -> list[Layer]:
    """The bars' own layer and one for each longer timeframe of `timeframes`, joined from them, shortest first."""
    longer = sorted({each for each in timeframes if each.minutes > timeframe.minutes}, key=lambda each: each.minutes)
    layers = [layer_of(bars, timeframe, patterns, asset_class)]
    for each in longer:
        joined = resample_bars(bars, each, asset_class, timeframe)
        if len(joined):
            layers.append(layer_of(joined, each, patterns, asset_class))
    return layers


def timeframe_of(bars: pd.DataFrame) -> Timeframe:
    """The timeframe of bars as the first of them tell it, so that bars to come do not change it."""
    return infer_timeframe(pd.DatetimeIndex(bars.index[:BARS_THAT_TELL]))


def parse_timeframes(text: str | Sequence[str]) -> list[Timeframe]:
    """Timeframes from `M15, H1` or a list, each once, shortest first. Raises InputError when there is none."""
    words = text.split(",") if isinstance(text, str) else list(text)
    found = {parse_timeframe(word) for word in words if str(word).strip()}
    if not found:
        raise InputError(f"timeframes={text!r} names no timeframe.", "Write them as M15, H1, H4.")
    return sorted(found, key=lambda each: each.minutes)


def first_closed(shorter: Layer, longer: Layer, places: Whole) -> Whole:
    """At which bar of `shorter` each of the bars `places` of `longer` can first be read; its length if at none."""
    if shorter is longer:
        return places
    return np.searchsorted(shorter.ends, longer.ends[places], side="left").astype("int64")


def last_closed(shorter: Layer, longer: Layer) -> Whole:
    """The last bar of `longer` that is closed at the close of each bar of `shorter`; −1 before the first."""
    if shorter is longer:  # daily bars of a weekend all end with Monday, and still one after the other
        return np.arange(len(shorter.bars))
    return (np.searchsorted(longer.ends, shorter.ends, side="right") - 1).astype("int64")
