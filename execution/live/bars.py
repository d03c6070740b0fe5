"""The bars that a deployment knows: history from `market_data` or its dataset, then those made of the terminal's ticks.

Live minutes count where they are; history fills what is before and between. Nothing is read that had not closed.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from core.clock import utc_now
from data.bar_store import BarStore
from data.pipeline_controller import controller
from execution.live.deployments import Deployment
from market.bars import RAW_COLUMNS
from market.calendar import bar_end, closed_bars, market_minutes, missing_bars
from market.resample import period_starts, resample_bars
from market.symbols import AssetClass, symbol_of
from market.timeframes import Timeframe, parse_timeframe
from mql5.bridge.messages import epoch_ms
from mql5.bridge.ticks import TickStore

# Bars read before the first that trades: beyond that no indicator remembers anything.
HISTORY_BARS = 5_000
# A hole as long as this is no quiet market.
HOLE_MINUTES = 5
_COLUMNS = [*RAW_COLUMNS, "spread_points"]
_FAR = pd.Timestamp("2200-01-01", tz="UTC")


@dataclass(frozen=True)
class KnownBars:
    """Closed bars of the contract, and where they come from: how many are live, and the history's source in words."""

    bars: pd.DataFrame
    live: int
    history: str


def known_bars(deployment: Deployment, until: pd.Timestamp | None = None) -> KnownBars:
    """The bars of a deployment that are closed at `until` (default: now), from its `history_from` on.

    Before that is fixed, the last HISTORY_BARS. Of a bar both live and in history the live one counts.
    """
    now = pd.Timestamp(until if until is not None else utc_now())
    live = _live(deployment, now)
    history, source = _history(deployment, now)
    bars = pd.concat([history[~history.index.isin(live.index)], live]).sort_index() if len(live) else history
    bars = closed_bars(bars, parse_timeframe(deployment.timeframe), now, _asset_class(deployment))
    if deployment.history_from:
        bars = bars[bars.index >= pd.Timestamp(deployment.history_from)]
    return KnownBars(bars.iloc[-HISTORY_BARS:] if not deployment.history_from else bars, len(live), source)


def deployment_bars(deployment: Deployment, until: pd.Timestamp | None = None) -> pd.DataFrame:
    """The same bars alone."""
    return known_bars(deployment, until).bars


def end_of_bar(deployment: Deployment, opened: pd.Timestamp) -> pd.Timestamp:
    """When the bar that opened then is complete (UTC)."""
    opens, timeframe = pd.DatetimeIndex([opened]), parse_timeframe(deployment.timeframe)
    return pd.Timestamp(bar_end(opens, timeframe, _asset_class(deployment))[0])


def open_bar(deployment: Deployment, now: pd.Timestamp) -> pd.Timestamp:
    """When the bar that is open at `now` opened (UTC)."""
    return pd.Timestamp(
        period_starts(pd.DatetimeIndex([now]), parse_timeframe(deployment.timeframe), _asset_class(deployment))[0]
    )


def next_close(deployment: Deployment) -> pd.Timestamp | None:
    """When the bar that is open now will be complete (UTC); None while its market is closed."""
    opened = open_bar(deployment, pd.Timestamp(utc_now()))
    end = end_of_bar(deployment, opened)
    begun, done = market_minutes(pd.DatetimeIndex([opened, end]), _asset_class(deployment))
    return None if parse_timeframe(deployment.timeframe).is_intraday and begun == done else end


def fed_until(deployment: Deployment) -> pd.Timestamp | None:
    """The time of the newest tick, by the broker's clock in UTC: bars end when the feed has passed their end.

    Our own clock may jump; a bar whose end no tick has passed is not over. None before the first tick.
    """
    last = TickStore().last_before(deployment.client, deployment.symbol, epoch_ms(_FAR))
    return None if last is None else pd.Timestamp(last["time_ms"], unit="ms", tz="UTC")


def has_ticks(deployment: Deployment, first: pd.Timestamp, end: pd.Timestamp) -> bool:
    """Whether any tick came in [first, end)."""
    last = TickStore().last_before(deployment.client, deployment.symbol, epoch_ms(end))
    return last is not None and last["time_ms"] >= epoch_ms(first)


def tradable_from(deployment: Deployment, end: pd.Timestamp) -> pd.Timestamp:
    """When an order could first be sent after a bar that ended at `end`: then, or when a closed market opened again.

    A feed that paused while the market was open moves nothing: what was missed is late.
    """
    first = TickStore().first_from(deployment.client, deployment.symbol, epoch_ms(end))
    if first is None:
        return end
    quoted = pd.Timestamp(first["time_ms"], unit="ms", tz="UTC")
    opened = market_minutes(pd.DatetimeIndex([end, quoted]), _asset_class(deployment))
    return quoted if opened[1] - opened[0] < HOLE_MINUTES else end


def is_settled(deployment: Deployment, end: pd.Timestamp) -> bool:
    """Whether all ticks that came before `end` have become bars: the bridge makes them seconds after each minute."""
    last = TickStore().last_before(deployment.client, deployment.symbol, epoch_ms(end))
    if last is None:
        return True
    minute = pd.Timestamp(last["time_ms"], unit="ms", tz="UTC").floor("min")
    stored = BarStore().bars(
        deployment.symbol, Timeframe.M1, minute, end, sources=[deployment.client], kind="live", now=_FAR
    )
    return bool(len(stored))


def why_unfit(deployment: Deployment, bars: pd.DataFrame, time: pd.Timestamp, needed: int) -> str:
    """Why nothing may be decided on the bar that opened at `time`, with `needed` bars before it; empty when it may."""
    timeframe, asset_class = parse_timeframe(deployment.timeframe), _asset_class(deployment)
    end = end_of_bar(deployment, time)
    if time not in bars.index:
        return f"no tick came between {time:%H:%M} and {end:%H:%M} UTC"
    if len(bars) <= needed:
        there = f"{needed + 1:,} bars are needed to warm up, {len(bars):,} are there"
        return f"{there}: collect history of {deployment.symbol}"
    lost = TickStore().gaps_between(deployment.client, deployment.symbol, epoch_ms(time), epoch_ms(end))
    if lost:
        return f"{lost:,} ticks of this bar never came (numbers are missing)"
    window = pd.DatetimeIndex(bars.index[-(needed + 1) :])
    holes = missing_bars(window, timeframe, asset_class)
    length = timeframe.minutes if timeframe.is_intraday else HOLE_MINUTES
    holes = holes[holes["bars"] * length >= HOLE_MINUTES]
    if len(holes):
        first = holes.index[0]
        return (
            f"{int(holes['bars'].sum()):,} bars are missing from {first:%Y-%m-%d %H:%M} UTC on, within the "
            f"{needed + 1:,} that it reads: collect them, or wait"
        )
    return ""


def _live(deployment: Deployment, now: pd.Timestamp) -> pd.DataFrame:
    timeframe = parse_timeframe(deployment.timeframe)
    minutes = BarStore().bars(deployment.symbol, Timeframe.M1, sources=[deployment.client], kind="live", now=now)
    if minutes.empty or timeframe is Timeframe.M1:
        return minutes
    return resample_bars(minutes, timeframe, _asset_class(deployment), Timeframe.M1, known_until=now)


def _history(deployment: Deployment, now: pd.Timestamp) -> tuple[pd.DataFrame, str]:
    bars = BarStore().bars(deployment.symbol, deployment.timeframe, kind="historical", now=now)
    source = "market data"
    if bars.empty and deployment.dataset_hash:
        version = controller.version(deployment.dataset_hash)
        bars, source = version.bars(deployment.symbol), f"dataset {version.label}"
    return bars[[name for name in _COLUMNS if name in bars]], source


def _asset_class(deployment: Deployment) -> AssetClass:
    return symbol_of(deployment.symbol).asset_class
