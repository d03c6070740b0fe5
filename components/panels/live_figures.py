"""Figures of all deployments at work, of demo and of real money apart: money of the two is never added up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamlit.delta_generator import DeltaGenerator

from components.numbers import DASH, number, percent
from components.panels.live_scene import DEMO, REAL, Line, day_start
from components.panels.page import metric, metric_row
from execution.live.decisions import ENTRIES, REFUSED
from execution.trading_desk import desk
from mql5.bridge.deals import DealStore

_PARITY_DAYS = 5


def show_figures(mode: str, lines: Sequence[Line]) -> None:
    """One row of figures of the open deployments of a mode."""
    if not lines:
        return
    row = metric_row()
    working = sum(line.state == "trading" for line in lines)
    metric(row, f"Deployed, {_short(mode)}", number(len(lines)), f"{number(working)} trading")
    positions = [(line, each) for line in lines for each in line.positions or ()]
    lots = sum(each["volume"] for _, each in positions)
    silent = sum(line.positions is None for line in lines)
    told = f"{number(silent)} do not tell" if silent else f"{number(lots, 2)} lots"
    metric(row, "Open positions", number(len(positions)), told, "As the terminals reported them last.")
    _show_floating(row, positions)
    _show_closed(row, lines)
    decisions = [decision for line in lines for decision in line.today if decision.action in ENTRIES]
    sent = sum(decision.entry_signal_id is not None for decision in decisions)
    refused = sum(decision.state == REFUSED for line in lines for decision in line.today)
    metric(row, "Entries today", number(sent), f"{number(refused)} refused", "Of the trading day, from 17:00 New York.")
    _show_feed(row, lines)
    parity = _parity(lines)
    metric(
        row,
        f"Parity, {_PARITY_DAYS} days",
        percent(None if parity is None else 100 * parity),
        "against backtests",
        "Trades that agree with a backtest of the same bars, of all trades of either side; mean of the last days that "
        "were reconciled.",
    )


def _short(mode: str) -> str:
    return {DEMO: "demo", REAL: "real"}.get(mode, "unknown")


def _show_floating(row: DeltaGenerator, positions: Sequence[tuple[Line, dict[str, Any]]]) -> None:
    """What open positions have won; money is not added up over currencies."""
    pips = [found for line, each in positions if (found := line.pips_of(each)) is not None]
    currencies = {str((line.terminal or {}).get("currency") or "") for line, _ in positions}
    profit = sum(each.get("profit") or 0.0 for _, each in positions)
    words = f"{number(profit, 2, sign=True)} {currencies.pop()}" if len(currencies) == 1 else "several currencies"
    value = f"{number(sum(pips), 1, sign=True)} pips" if len(pips) == len(positions) and positions else DASH
    metric(row, "Floating", value, words if positions else "no position", "At the newest quotes; profit as reported.")


def _show_closed(row: DeltaGenerator, lines: Sequence[Line]) -> None:
    """What the deals of the trading day came to, with what they cost; money is not added up over currencies."""
    deals = [
        deal
        for line in lines
        for deal in DealStore().of(line.deployment.client, int(day_start(line.deployment.symbol).timestamp() * 1000))
        if deal["symbol"] == line.deployment.symbol
    ]
    closed = sum(deal["entry"] != "in" for deal in deals)
    currencies = {str((line.terminal or {}).get("currency") or "") for line in lines}
    came = sum((deal[name] or 0.0) for deal in deals for name in ("profit", "commission", "swap"))
    value = f"{number(came, 2, sign=True)} {currencies.pop()}" if len(currencies) == 1 and closed else DASH
    metric(
        row,
        "Closed today",
        value,
        f"n = {number(closed)}",
        "Profit, commission and swap of the deals of the trading day that the terminal reported.",
    )


def _show_feed(row: DeltaGenerator, lines: Sequence[Line]) -> None:
    ages = [None if line.stream is None else line.stream.age_seconds for line in lines]
    limit = min(line.deployment.limits.max_feed_age_seconds for line in lines)
    oldest = None if any(age is None for age in ages) else max(age for age in ages if age is not None)
    metric(
        row,
        "Feed, oldest tick",
        DASH if oldest is None else age_words(oldest),
        f"refused over {number(limit)} s",
        "Since the newest tick of each deployment's symbol arrived; the oldest of them.",
    )


def _parity(lines: Sequence[Line]) -> float | None:
    scores: list[float] = []
    for line in lines:
        kept = desk.parity(line.deployment)
        if len(kept):
            scores += kept["score"].dropna().tail(_PARITY_DAYS).tolist()
    return sum(scores) / len(scores) if scores else None


def age_words(seconds: float) -> str:
    """`0.4 s`, `12 min`, `3 h`."""
    if seconds < 60:
        return f"{number(seconds, 1)} s"
    return f"{number(seconds // 60)} min" if seconds < 3600 else f"{number(seconds // 3600)} h"
