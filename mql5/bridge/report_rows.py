"""A report that MetaTrader wrote, as the row of `backtest_results` it becomes."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from core.errors import InputError
from core.plain import plain
from market.symbols import canonical_symbol, symbol_of
from market.timeframes import parse_timeframe
from mql5.files.clock import ServerClock
from mql5.files.deal_pairs import TRADE_COLUMNS, pair_deals
from mql5.files.report_content import DEAL_COLUMNS, deals_frame
from mql5.files.reports import Report, read_report

_MOST_DEALS = 200_000


def row_of_report(content: bytes, name: str) -> dict[str, Any]:
    """What is stored of a report: its statistics in our units beside its own, its inputs and deals.

    Returns are per cent of the deposit, a drawdown is negative. Raises InputError for what is no report.
    """
    report = read_report(content, name)
    deals = [] if report.deals.empty else plain(report.deals.head(_MOST_DEALS).to_dict("records"))
    settings = report.settings
    return {
        "kind": str(report.kind),
        "strategy_name": settings.get("expert") or name or str(report.kind),
        "symbol": _symbol(report),
        "timeframe": _timeframe(settings.get("timeframe", "")),
        "start_date": settings.get("first"),
        "end_date": settings.get("last"),
        "total_return": _return(report),
        "sharpe_ratio": _figure(report, "sharpe_ratio"),
        "win_rate": _win_rate(report),
        "max_drawdown": _drawdown(report),
        "trades_count": len(report.trades) if not report.trades.empty else _whole(_figure(report, "total_trades")),
        "full_results": {"statistics": plain(report.statistics), "settings": plain(settings), **_positions(report)},
        "inputs": plain(report.inputs),
        "deals": deals,
        "totals_agree": None if report.totals_agree is None else int(report.totals_agree),
        "problems": [*report.problems],
        "file_name": name[:256] or None,
    }


def trades_of_row(row: dict[str, Any], clock: ServerClock) -> pd.DataFrame:
    """The trades of an imported report, with `TRADE_COLUMNS`; its times, the server's by `clock`, are aware UTC.

    They are made of its deals, or are the positions that a history lists. Empty for a run that has neither.
    """
    kept = row["full_results"] or {}
    if held := kept.get("trades"):
        trades = pd.DataFrame(held, columns=list(TRADE_COLUMNS))
        trades["exit_price"] = trades["exit_price"].astype("float64")
    else:
        deals = row["deals"] or []
        columns = {name: [_filled(deal[name], name) for deal in deals] for name in DEAL_COLUMNS[1:]}
        moments = pd.DatetimeIndex(pd.to_datetime([deal["time"] for deal in deals], format="ISO8601"))
        currency = (kept.get("settings") or {}).get("currency", "")
        trades, _ = pair_deals(deals_frame(columns, moments), _units, lambda symbol: _quote(symbol) == currency)
    for name in ("entry_time", "exit_time"):
        moments = pd.DatetimeIndex(pd.to_datetime(trades[name], format="ISO8601")).as_unit("us")
        trades[name] = clock.to_utc(moments)
    return trades


def _positions(report: Report) -> dict[str, Any]:
    """The trades of a report that lists positions and no deals they could be made of again."""
    if not report.deals.empty or report.trades.empty:
        return {}
    return {"trades": plain(report.trades.head(_MOST_DEALS).to_dict("records"))}


def _filled(value: Any, name: str) -> Any:
    return math.nan if value is None and name not in {"symbol", "type", "direction", "comment"} else value


def _units(symbol: str) -> float:
    try:
        return symbol_of(symbol).contract_size
    except InputError:
        return 1.0


def _quote(symbol: str) -> str:
    try:
        return symbol_of(symbol).quote
    except InputError:
        return ""


def _figure(report: Report, *names: str) -> float | None:
    for name in names:
        value = report.statistics.get(name)
        if isinstance(value, (int, float)):
            return plain(float(value)) if value == value else None  # noqa: PLR0124  # NaN is no figure
    return None


def _whole(figure: float | None) -> int | None:
    return None if figure is None else round(figure)


def _symbol(report: Report) -> str:
    found = report.symbols
    if len(found) > 1:
        return "MANY"
    try:
        return canonical_symbol(found[0]) if found else "NONE"
    except InputError:
        return found[0][:32]


def _timeframe(text: str) -> str:
    try:
        return str(parse_timeframe(text))
    except InputError:
        return text[:32]


def _deposit(report: Report) -> float | None:
    word = report.settings.get("deposit", "").split(" ")[0]
    try:
        deposit = float(word) if word else _figure(report, "initial_deposit")
    except ValueError:
        deposit = _figure(report, "initial_deposit")
    return deposit if deposit and deposit > 0 else None


def _return(report: Report) -> float | None:
    profit, deposit = _figure(report, "total_net_profit", "profit"), _deposit(report)
    return None if profit is None or deposit is None else 100.0 * profit / deposit


def _drawdown(report: Report) -> float | None:
    names = ("equity_drawdown_relative_pct", "equity_drawdown_maximal_pct", "equity_dd_pct")
    found = _figure(report, *names)
    return None if found is None else -abs(found)


def _win_rate(report: Report) -> float | None:
    if report.trades.empty:
        return _figure(report, "profit_trades_pct")
    return 100.0 * float((report.trades["pnl"] > 0).mean())
