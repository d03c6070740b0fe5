"""The door of the scanner: bars in, patterns and setups out, as lists of dictionaries.

    scanner = MultiTimeframeScanner()
    scanner.detect_fair_value_gaps(df)              # [{"kind": "fvg", "direction": "bullish", "level": …}, …]
    scanner.scan_multi_timeframe(df, "EURUSD")      # setups, the oldest first

Every finding says when it formed, when it was known and when it ended (`formed_at`, `known_at`, `ended_at`: open times
of bars in UTC, knowable at their close). Title-case columns and naive times (taken as UTC) are accepted. A bar that is
still forming is left out. Parameters are those of the settings unless they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from core.clock import utc_now
from core.errors import InputError
from market.bars import check_bars
from market.calendar import closed_bars
from market.symbols import AssetClass, symbol_of
from market.timeframes import Timeframe, parse_timeframe
from scanner.layers import Layer, layers_of, parse_timeframes, timeframe_of
from scanner.patterns.all import find_patterns
from scanner.patterns.findings import Kind
from scanner.patterns.settings import PatternSettings
from scanner.scan import configured_timeframes, pattern_settings
from scanner.setups import Candidates, Setup, SetupSettings, find_candidates

_LONGEST_BAR = timedelta(days=40)  # a month with the holidays around it


class UniversalScanner:
    """Finds patterns in the closed bars of one timeframe.

    `now` says what is closed (default: the present; a function is asked at each call). Settings that are not given
    are those of `config.yaml`.
    """

    def __init__(
        self,
        patterns: PatternSettings | None = None,
        setups: SetupSettings | None = None,
        timeframes: Sequence[str] | str | None = None,
        now: datetime | Callable[[], datetime] | None = None,
    ) -> None:
        self._patterns = patterns
        self._setups = setups
        self._timeframes = None if timeframes is None else parse_timeframes(timeframes)
        self._now = now if callable(now) else (lambda: now or utc_now())

    @property
    def patterns(self) -> PatternSettings:
        """The patterns' settings in force."""
        return self._patterns or pattern_settings()

    @property
    def setups(self) -> SetupSettings:
        """The weights and thresholds in force."""
        return self._setups or SetupSettings.from_settings()

    @property
    def timeframes(self) -> list[Timeframe]:
        """The timeframes that a scan looks at beside that of the bars."""
        return configured_timeframes() if self._timeframes is None else self._timeframes

    def find(
        self,
        df: pd.DataFrame,
        kinds: Collection[Kind] | None = None,
        asset_class: AssetClass = AssetClass.FX,
        **changed: Any,
    ) -> list[dict[str, Any]]:
        """Findings of some kinds (all without any); `changed` are pattern settings. Raises BarsError or InputError."""
        bars = self._closed(df, asset_class)
        settings = _changed(self.patterns, changed) if changed else self.patterns
        return find_patterns(bars, settings, asset_class, kinds).records(pd.DatetimeIndex(bars.index))

    def _closed(self, df: pd.DataFrame, asset_class: AssetClass, timeframe: Timeframe | None = None) -> pd.DataFrame:
        bars = check_bars(df)
        if bars.empty or bars.index[-1] < self._now() - _LONGEST_BAR:
            return bars
        timeframe = timeframe or timeframe_of(bars)
        last = closed_bars(bars.iloc[-1:], timeframe, self._now(), asset_class)
        # Bars end in their order: only a frame whose last one forms is looked through.
        return bars if len(last) else closed_bars(bars, timeframe, self._now(), asset_class)


class MultiTimeframeScanner(UniversalScanner):
    """The Smart Money Concepts scanner: the patterns of several timeframes, and what they add up to."""

    def detect_liquidity_sweeps(self, df: pd.DataFrame, lookback: int = 20) -> list[dict[str, Any]]:
        """Spikes through the highs or lows of the last `lookback` bars that close back inside."""
        return self.find(df, (Kind.LIQUIDITY_SWEEP,), liquidity_lookback=lookback)

    def detect_break_of_structure(self, df: pd.DataFrame, lookback: int = 10) -> list[dict[str, Any]]:
        """Closes beyond the last swing, each of which stands out of `lookback` bars on either side.

        `kind` is `bos` where they go on with the trend, `choch` (change of character) where they turn it.
        """
        return self.find(df, (Kind.BOS, Kind.CHOCH), swing_lookback=lookback)

    def detect_fair_value_gaps(self, df: pd.DataFrame) -> list[dict[str, Any]]:
        """Prices that three bars left out, until they are filled."""
        return self.find(df, (Kind.FVG,))

    def detect_order_blocks(self, df: pd.DataFrame) -> list[dict[str, Any]]:
        """The last candles against moves that broke structure, until price comes back to them."""
        return self.find(df, (Kind.ORDER_BLOCK,))

    def scan_multi_timeframe(self, df: pd.DataFrame, symbol: str) -> list[dict[str, Any]]:
        """The setups in all of the bars, the oldest first, as dictionaries of `scanner.setups.Setup`.

        Longer timeframes are joined from the bars and read only once they are closed. A setup's `kind` is `setup` and
        its `level` the entry. Raises BarsError or InputError.
        """
        candidates = self.candidates(df, symbol)
        return [setup.as_dict() for setup in candidates.where(candidates.passed).setups()]

    def candidates(self, df: pd.DataFrame, symbol: str, timeframe: str | None = None) -> Candidates:
        """Setups and candidates that fell short, as columns; `timeframe` where few bars do not tell it."""
        return find_candidates(self.layers(df, symbol, timeframe), symbol, self.setups)

    def why_not(self, df: pd.DataFrame, symbol: str) -> list[Setup]:
        """The candidates that fell short, the oldest first; `why_not_line()` of each says of what."""
        candidates = self.candidates(df, symbol)
        return candidates.where(~candidates.passed).setups()

    def layers(self, df: pd.DataFrame, symbol: str, timeframe: str | None = None) -> list[Layer]:
        """The patterns of the bars' own timeframe and of the longer ones."""
        known = symbol_of(symbol)
        given = None if timeframe is None else parse_timeframe(timeframe)
        bars = self._closed(df, known.asset_class, given)
        own = given or timeframe_of(bars)
        return layers_of(bars, own, self.timeframes, self.patterns, known.asset_class)


def _changed(settings: PatternSettings, changed: dict[str, Any]) -> PatternSettings:
    unknown = [name for name in changed if name not in PatternSettings.__dataclass_fields__]
    if unknown:
        known = ", ".join(PatternSettings.__dataclass_fields__)
        raise InputError(f"The patterns have no setting {unknown[0]!r}.", f"They have: {known}.")
    return PatternSettings(**{**vars(settings), **changed})
