"""What the Expert Advisor itself writes at the end of a test: statistics, inputs and deals as JSON.

`SequenceTester.mqh` writes one object, `schema` being `mt5.tester.v1`: `ea symbol period from to deposit currency
leverage build run_id`, `inputs` and `stats` by name (`STAT_PROFIT` …), and `deals`, each an array of
`time, ticket, symbol, type, entry, volume, price, commission, swap, profit, magic, comment`, which may end with the
ticket of its position and its fee. Times are MetaTrader's: the server's clock in seconds since 1970; `type` and
`entry` are the numbers of ENUM_DEAL_TYPE and ENUM_DEAL_ENTRY.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import pandas as pd

from core.errors import InputError
from mql5.files.report_content import CELL_LIMIT, Content, ReportKind, deals_frame, refuse_empty_trades

SCHEMA = "mt5.tester.v1"
_DEALS_LIMIT = 1_000_000
_FIELDS = ("time", "deal", "symbol", "type", "direction", "lots", "price", "commission", "swap", "profit")
_TEXTS = {"symbol", "comment"}
_WHOLE = {"time", "deal", "type", "direction", "magic", "position"}
_ALL = (*_FIELDS, "magic", "comment", "position", "fee")
_TYPES = ("buy", "sell", "balance", "credit", "charge", "correction", "bonus", "commission")
_ENTRIES = ("in", "out", "in/out", "out by")
_SECONDS = 0, 4_102_444_800  # 1970 to 2100
_WHOLE_LIMIT = 2**63 - 1
# MetaTrader says DBL_MAX where a figure has no value (the profit factor of a test without a loss), the export null.
_NO_VALUE = 1e300
# ENUM_STATISTICS by the names that the tester's report gives the same figures.
_STATISTICS = {
    "INITIAL_DEPOSIT": "initial_deposit",
    "WITHDRAWAL": "withdrawal",
    "PROFIT": "total_net_profit",
    "GROSS_PROFIT": "gross_profit",
    "GROSS_LOSS": "gross_loss",
    "MAX_PROFITTRADE": "largest_profit_trade",
    "MAX_LOSSTRADE": "largest_loss_trade",
    "CONPROFITMAX": "maximal_consecutive_profit",
    "CONPROFITMAX_TRADES": "maximal_consecutive_profit_count",
    "MAX_CONWINS": "maximum_consecutive_wins_money",
    "MAX_CONPROFIT_TRADES": "maximum_consecutive_wins",
    "CONLOSSMAX": "maximal_consecutive_loss",
    "CONLOSSMAX_TRADES": "maximal_consecutive_loss_count",
    "MAX_CONLOSSES": "maximum_consecutive_losses_money",
    "MAX_CONLOSS_TRADES": "maximum_consecutive_losses",
    "BALANCE_DD": "balance_drawdown_maximal",
    "BALANCEDD_PERCENT": "balance_drawdown_maximal_pct",
    "BALANCE_DDREL_PERCENT": "balance_drawdown_relative_pct",
    "BALANCE_DD_RELATIVE": "balance_drawdown_relative",
    "EQUITY_DD": "equity_drawdown_maximal",
    "EQUITYDD_PERCENT": "equity_drawdown_maximal_pct",
    "EQUITY_DDREL_PERCENT": "equity_drawdown_relative_pct",
    "EQUITY_DD_RELATIVE": "equity_drawdown_relative",
    "EXPECTED_PAYOFF": "expected_payoff",
    "PROFIT_FACTOR": "profit_factor",
    "RECOVERY_FACTOR": "recovery_factor",
    "SHARPE_RATIO": "sharpe_ratio",
    "MIN_MARGINLEVEL": "margin_level_pct",
    "CUSTOM_ONTESTER": "ontester_result",
    "DEALS": "total_deals",
    "TRADES": "total_trades",
    "PROFIT_TRADES": "profit_trades",
    "LOSS_TRADES": "loss_trades",
    "SHORT_TRADES": "short_trades",
    "LONG_TRADES": "long_trades",
    "PROFIT_SHORTTRADES": "short_trades_won",
    "PROFIT_LONGTRADES": "long_trades_won",
    "PROFITTRADES_AVGCON": "average_consecutive_wins",
    "LOSSTRADES_AVGCON": "average_consecutive_losses",
}


def read_json(text: str) -> Content:
    """The export of one test. Raises InputError naming what is missing, of another schema, or no number."""
    found = _parsed(text)
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        said = found.get("schema") if isinstance(found, dict) else type(found).__name__
        raise InputError(
            f"The JSON is no export of a test: its schema is {str(said)[:40]!r}.",
            f"Choose a file that SequenceTester.mqh wrote; its schema is {SCHEMA!r}.",
        )
    settings = {"expert": _words(found, "ea"), "symbol": _words(found, "symbol")}
    settings["timeframe"] = _words(found, "period").removeprefix("PERIOD_")
    settings |= {name: _words(found, name) for name in ("deposit", "currency", "leverage", "build", "run_id")}
    for name, key in (("first", "from"), ("last", "to")):
        if key in found:
            moment = pd.Timestamp(_number(found[key], key, whole=True, limits=_SECONDS), unit="s")
            settings[name] = f"{moment:%Y.%m.%d}"
    return Content(
        ReportKind.EXPORT,
        settings={name: value for name, value in settings.items() if value},
        statistics=_statistics(_object(found, "stats")),
        inputs={name: _text(value) for name, value in _object(found, "inputs").items()},
        deals=_deals(found.get("deals")),
    )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise InputError("The JSON nests too deep.", "Choose a file that SequenceTester.mqh wrote.") from None
    except ValueError as error:  # also whole numbers of more digits than Python reads
        raise InputError(f"The JSON is damaged ({error}).", "It was cut or edited; run the test again.") from error


def _refuse_constant(name: str) -> NoReturn:
    raise InputError(f"The JSON holds {name}.", "Figures are finite numbers; run the test again.")


def _object(found: dict[str, Any], name: str) -> dict[str, Any]:
    value = found.get(name, {})
    if not isinstance(value, dict):
        raise InputError(f"{name} is {type(value).__name__}, not an object.", "Run the test again.")
    return value


def _words(found: dict[str, Any], name: str) -> str:
    return _text(found.get(name, ""))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, (str, int, float)):
        raise InputError(f"{str(value)[:40]!r} is neither text nor a number.", "Run the test again.")
    words = f"{value:.15g}" if isinstance(value, float) else str(value)
    if len(words) > CELL_LIMIT:
        raise InputError(f"A text of {len(words):,} characters begins with {words[:40]!r}.", "Run the test again.")
    return words


def _statistics(stats: dict[str, Any]) -> dict[str, float | str]:
    found: dict[str, float | str] = {}
    for name, value in stats.items():
        if value is None or (isinstance(value, (int, float)) and abs(value) >= _NO_VALUE):
            continue
        bare = name.removeprefix("STAT_")
        found[_STATISTICS.get(bare, bare.casefold())] = _number(value, name)
    return found


def _number(value: Any, where: str, *, whole: bool = False, limits: tuple[float, float] | None = None) -> float:
    """A finite number. Raises InputError naming where it stands."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    low, high = limits or (-_WHOLE_LIMIT, _WHOLE_LIMIT)
    # A comparison with NaN is false.
    if is_number and low <= value <= high and (not whole or value == int(value)):
        return int(value) if whole else float(value)
    kind = "whole number" if whole else "number"
    raise InputError(
        f"{where} is {str(value)[:40]!r}, no {kind} that can be.", "The export was damaged; run the test again."
    )


def _deals(deals: Any) -> pd.DataFrame:
    if not isinstance(deals, list) or len(deals) > _DEALS_LIMIT:
        raise InputError("The export has no list of deals.", "Run the test again with SequenceTester.mqh.")
    rows = [_deal(deal, line) for line, deal in enumerate(deals, 1)]
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in _ALL if name not in {"time", "magic"}}
    moments = pd.DatetimeIndex(pd.to_datetime([row["time"] for row in rows], unit="s"))
    found = deals_frame(columns, moments)
    refuse_empty_trades(found)
    return found


def _deal(deal: Any, line: int) -> dict[str, Any]:
    if not isinstance(deal, list) or not len(_FIELDS) <= len(deal) <= len(_ALL):
        raise InputError(
            f"Deal {line} is no array of {len(_FIELDS)} to {len(_ALL)} values.", "The export was damaged; run it again."
        )
    found: dict[str, Any] = {"magic": 0, "comment": "", "position": 0, "fee": 0.0}
    for name, value in zip(_ALL, deal, strict=False):
        where = f"{name} of deal {line}"
        if name in _TEXTS:
            found[name] = _text(value)
        else:
            limits = _SECONDS if name == "time" else None
            found[name] = _number(value, where, whole=name in _WHOLE, limits=limits)
    is_trade = found["type"] in {0, 1}
    found["type"] = _named(_TYPES, found["type"], f"type of deal {line}", "other")
    # Money that is paid in has an entry of 0 too, which means nothing there.
    found["direction"] = _named(_ENTRIES, found["direction"], f"entry of deal {line}") if is_trade else ""
    return found


def _named(names: tuple[str, ...], number: int, where: str, otherwise: str = "") -> str:
    if 0 <= number < len(names):
        return names[number]
    if otherwise and number >= 0:
        return otherwise
    raise InputError(f"{where} is {number}.", f"There are 0 to {len(names) - 1}.")
