"""Days of a deployment reconciled and kept: all that is on record is read, compared, and stored a row a trading day."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd

from core.clock import parse_utc, utc_now, utc_text
from core.errors import InputError
from core.plain import plain
from data.bar_store import BarStore
from execution.live import tables
from execution.live.bars import deployment_bars, end_of_bar
from execution.live.decisions import Decision, list_decisions
from execution.live.deployments import Deployment, store
from execution.live.expected import expected_trades, no_trades
from execution.live.fills import trades_of_deals, unpaired_deals
from execution.live.history import imported_trades, with_history
from execution.live.reconcile import Reconciliation, reconcile
from market.calendar import trading_day, trading_day_end
from market.symbols import symbol_of
from market.timeframes import Timeframe
from mql5.bridge.deals import DealStore
from mql5.bridge.feed import Feed
from mql5.bridge.messages import epoch_ms
from mql5.bridge.ticks import TickStore

PARITY_COLUMNS = (
    "trading_day", "expected", "traded", "agreeing", "score", "cost_pips", "is_over", "reconciled_at", "differences",
)  # fmt: skip
# A tick older than this says nothing of the price at which an order was filled.
_QUOTE_IS_GOOD_MS = 60_000
# Positions that were opened before it traded are not its own; their exits are recognised by this much of the past.
_BEFORE = pd.Timedelta(days=7)
_KEY = re.compile(r"d(\d+)-\d+-(?:entry|close)")


def reconcile_day(deployment: Deployment, day: str | date | None = None) -> Reconciliation:
    """Hold one trading day (default: that of now) of a deployment against its backtest, and keep the outcome.

    A trade belongs to the day on which it was, or should have been, entered. Raises InputError for what is no day,
    and StrategyError or ModelError where what was deployed cannot be run again.
    """
    name = _day_of(pd.Timestamp(utc_now()), deployment) if day is None else _checked_day(day)
    found = _whole(deployment)[0].of_day(name, is_over=_is_over(name, deployment, utc_now()))
    _keep(deployment, [found])
    return found


def reconcile_all(deployment: Deployment) -> list[Reconciliation]:
    """The same for every trading day since it began to trade, of which there are bars or trades; oldest first."""
    whole, traded_days = _whole(deployment)
    now = utc_now()
    days = sorted({*traded_days, *whole.days()})
    found = [whole.of_day(day, is_over=_is_over(day, deployment, now)) for day in days]
    _keep(deployment, found)
    return found


def parity_of(deployment: Deployment) -> pd.DataFrame:
    """The days that were reconciled, oldest first (`PARITY_COLUMNS`).

    `score` is NaN on a day without a trade; `is_over` is false where the day went on after it was reconciled.
    """
    columns = tables.parity.c
    query = tables.parity.select().where(columns.deployment_id == deployment.id).order_by(columns.trading_day)
    rows = store.rows(query)
    for row in rows:
        row["is_over"] = _is_over(row["trading_day"], deployment, parse_utc(row["reconciled_at"]))
    found = pd.DataFrame(rows, columns=list(PARITY_COLUMNS))
    found["reconciled_at"] = pd.to_datetime(found["reconciled_at"], utc=True)
    return found.astype(
        {
            **dict.fromkeys(("expected", "traded", "agreeing"), "int64"),
            **dict.fromkeys(("score", "cost_pips"), "float64"),
            "is_over": bool,
        }
    )


def reconcile_deployment(deployment: Deployment) -> Reconciliation:
    """All that a deployment has traded against its backtest in one; nothing is kept."""
    return _whole(deployment)[0]


def _whole(deployment: Deployment) -> tuple[Reconciliation, list[str]]:
    """Everything since it trades, and the trading days of which there are bars."""
    decisions = list_decisions(deployment.id)
    bars = _compared_bars(deployment, decisions)
    name, length = deployment.symbol, deployment.timeframe
    if bars.empty or deployment.trades_from is None:
        return reconcile(no_trades(), trades_of_deals([], name), symbol=name, timeframe=length), []
    until = end_of_bar(deployment, pd.Timestamp(bars.index[-1]))
    _, expected = expected_trades(deployment, bars, until)
    begins = pd.Timestamp(deployment.trades_from)
    traded, signals, notes = _traded(deployment, decisions, begins, until)
    found = reconcile(
        expected,
        traded,
        decisions,
        symbol=name,
        timeframe=length,
        signals=signals,
        silent=_silent(deployment, expected, decisions),
    )
    if "spread_points" not in bars or not bars["spread_points"].notna().any():
        notes = [*notes, "No spread is known of these bars: the backtest paid none."]
    notes = [*notes, f"Compared up to {until:%Y-%m-%d %H:%M} UTC, where the bars end."]
    since = pd.DatetimeIndex(bars.index[bars.index >= begins])
    days = [f"{day:%Y-%m-%d}" for day in trading_day(since, symbol_of(name).asset_class).unique()]
    return replace(found, notes=tuple(notes)), days


def _compared_bars(deployment: Deployment, decisions: Sequence[Decision]) -> pd.DataFrame:
    """The closed bars; of a deployment that was stopped those up to its last decision."""
    bars = deployment_bars(deployment, pd.Timestamp(utc_now()))
    if deployment.is_open:
        return bars
    last = max((pd.Timestamp(each.bar_time) for each in decisions), default=pd.Timestamp(0, tz="UTC"))
    return bars[bars.index <= last]


def _traded(
    deployment: Deployment, decisions: Sequence[Decision], begins: pd.Timestamp, until: pd.Timestamp
) -> tuple[pd.DataFrame, list[dict[str, Any]], list[str]]:
    """What the terminal traded for it from `begins` on, as known at `until`, the signals concerned, and notes."""
    deals = DealStore().of(deployment.client, epoch_ms(begins - _BEFORE))
    trades = trades_of_deals(deals, deployment.symbol)
    trades = trades[(trades["entry_time"] >= begins) & (trades["entry_time"] < until)]
    own = {signal for each in decisions for signal in each.signal_ids}
    named = {int(signal) for name in ("entry_signal", "exit_signal") for signal in trades[name].dropna()}
    signals = Feed().signals_of(sorted(own | named)) if own | named else []
    others = {row["id"] for row in signals if _is_of_another(row, deployment)}
    signals = [row for row in signals if row["id"] not in others]
    trades = trades[~trades["entry_signal"].isin(others).to_numpy(dtype=bool)].reset_index(drop=True)
    notes = unpaired_deals(deals, deployment.symbol)
    history = imported_trades(deployment.client, deployment.symbol)
    trades, stood_in = with_history(trades, history, [row for row in signals if row["id"] in own], deployment.symbol)
    if stood_in:
        which = f"{stood_in} of the trades, or how {'it' if stood_in == 1 else 'they'} ended"
        notes = [*notes, f"Known from the imported history of the account only: {which}."]
    # An exit after the last bar cannot be in the backtest: to it the trade is open.
    later = (trades["exit_time"] >= until).to_numpy()
    trades["exit_time"] = trades["exit_time"].where(~later, pd.NaT)
    for name in ("exit_price", "pnl"):
        trades[name] = trades[name].where(~later)
    trades["exit_reason"] = trades["exit_reason"].where(~later, "")
    for column, prices in _quotes(deployment, trades).items():
        trades[column] = prices
    return trades, signals, notes


def _is_of_another(signal: Mapping[str, Any], deployment: Deployment) -> bool:
    """Whether a signal is that of another deployment, as its idempotency key tells."""
    found = _KEY.fullmatch(signal["idempotency_key"] or "")
    return found is not None and int(found[1]) != deployment.id


def _quotes(deployment: Deployment, trades: pd.DataFrame) -> dict[str, list[float]]:
    """Bid and ask just before each fill, NaN where no tick of that minute is kept."""
    found: dict[str, list[float]] = {}
    for which in ("entry", "exit"):
        quotes = [_quote(deployment, moment) for moment in trades[f"{which}_time"]]
        found |= {f"{which}_bid": [bid for bid, _ in quotes], f"{which}_ask": [ask for _, ask in quotes]}
    return found


def _quote(deployment: Deployment, moment: Any) -> tuple[float, float]:
    if pd.isna(moment):
        return math.nan, math.nan
    tick = TickStore().last_before(deployment.client, deployment.symbol, epoch_ms(moment) + 1)
    if tick is None or epoch_ms(moment) - tick["time_ms"] > _QUOTE_IS_GOOD_MS:
        return math.nan, math.nan
    return float(tick["bid"]), float(tick["ask"])


def _silent(deployment: Deployment, expected: pd.DataFrame, decisions: Sequence[Decision]) -> set[pd.Timestamp]:
    """Of the bars that decided in the backtest and not live: those in which the terminal sent no tick."""
    decided = {pd.Timestamp(each.bar_time) for each in decisions}
    asked = {bar for name in ("entry_decided", "exit_decided") for bar in expected[name].dropna()} - decided
    return {bar for bar in asked if not _has_ticks(deployment, bar)}


def _has_ticks(deployment: Deployment, bar: pd.Timestamp) -> bool:
    end = end_of_bar(deployment, bar)
    minutes = BarStore().bars(
        deployment.symbol, Timeframe.M1, bar.isoformat(), end.isoformat(), [deployment.client], kind="live"
    )
    return not minutes.empty


def _keep(deployment: Deployment, found: Sequence[Reconciliation]) -> None:
    columns, table = tables.parity.c, tables.parity
    stamp = utc_text()
    with store.write() as connection:
        for each in found:
            same = (columns.deployment_id == deployment.id, columns.trading_day == each.day)
            connection.execute(table.delete().where(*same))
            row = {
                "deployment_id": deployment.id,
                "trading_day": each.day,
                "reconciled_at": stamp,
                **{name: getattr(each, name) for name in ("expected", "traded", "agreeing", "score", "cost_pips")},
                "differences": plain(each.differences.to_dict("records")),
            }
            connection.execute(table.insert().values(**row))


def _checked_day(day: str | date) -> str:
    try:
        return f"{date.fromisoformat(str(day)[:10]):%Y-%m-%d}"
    except ValueError:
        raise InputError(f"day={day!r} is no day.", "Write it as 2026-11-20.") from None


def _day_of(moment: pd.Timestamp, deployment: Deployment) -> str:
    day = trading_day(pd.DatetimeIndex([moment]), symbol_of(deployment.symbol).asset_class)[0]
    return f"{day:%Y-%m-%d}"


def _is_over(day: str, deployment: Deployment, now: Any) -> bool:
    """Whether a trading day had ended at `now`."""
    end = trading_day_end(pd.DatetimeIndex([pd.Timestamp(day)]), symbol_of(deployment.symbol).asset_class)[0]
    return bool(pd.Timestamp(now) >= end)
