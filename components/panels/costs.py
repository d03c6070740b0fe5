"""What a backtest costs: cash, leverage, spread and commission, and below them what a broker adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from components.panels.defaults import keep_defaults
from core.errors import InputError
from core.settings import current_settings
from data.versions import DatasetVersion
from execution.costs import SWAP_UNITS, TRIPLE_DAYS, Costs
from execution.runs import StoredRun
from market.symbols import AssetClass, Symbol, symbol_of

# What the form takes; leverage is 30 for 30:1, commission in per cent.
LIMITS: dict[str, tuple[float, float | None]] = {
    "cash": (1.0, None),
    "leverage": (1.0, 500.0),
    "spread": (0.0, None),
    "commission": (0.0, 9.99),
}
_ACCOUNTS = ("USD", "EUR", "GBP", "CHF", "JPY", "AUD", "CAD")
# How the size of a position is decided, in the words of the form → the field of `Costs`, and its factor there.
_ALL_CASH = "All cash"
_SIZINGS = {"Lots": ("lots", 1.0), "Share": ("fraction", 0.01), "Risk": ("risk_fraction", 0.01)}
_PLAIN = Costs()
# Fields of `Costs` that the form asks for as they are, by the keys of their widgets.
_FIELDS = (
    "account_currency",
    "spread_from_bars",
    "slippage_pips",
    "commission_per_lot",
    "commission_minimum",
    "swap_long",
    "swap_short",
    "swap_unit",
    "swap_triple_day",
    "stop_out_pct",
)


@dataclass(frozen=True)
class Terms:
    """A filled-in form; `extras` is None where nothing was asked that only a broker adds."""

    cash: float
    spread_pips: float
    commission_pct: float
    leverage: float
    extras: Costs | None


def ask_terms(symbol: Symbol, version: DatasetVersion) -> Terms:
    """Cash, leverage, spread and commission, and in a fold what a broker adds.

    Raises InputError for terms that contradict each other.
    """
    defaults = current_settings().backtest
    keep_defaults(
        {
            "backtest.cash": defaults.cash,
            "backtest.leverage": 1.0,
            "backtest.spread": defaults.spread_pips,
            "backtest.commission": defaults.commission_pct,
        }
    )
    currency = st.session_state.get("backtest.costs.account_currency") or symbol.quote
    left, right = st.columns(2, gap="xsmall")
    cash = left.number_input(f"Cash, {currency}", *LIMITS["cash"], step=1000.0, format="%.0f", key="backtest.cash")
    leverage = right.number_input(
        "Leverage",
        *LIMITS["leverage"],
        step=1.0,
        format="%.0f",
        key="backtest.leverage",
        help="1 trades with cash only; 30 is 30:1.",
    )
    spread = left.number_input(
        "Spread, pips",
        *LIMITS["spread"],
        step=0.1,
        format="%.1f",
        key="backtest.spread",
        help="Paid once a trade: at entry, or with broker terms at the side that deals at the ask.",
    )
    commission = right.number_input(
        "Commission, %",
        *LIMITS["commission"],
        step=0.001,
        format="%.3f",
        key="backtest.commission",
        help="Of the traded value, at entry and again at exit.",
    )
    with st.expander("Broker terms"):
        extras = _ask_extras(symbol, version)
    return Terms(cash, spread, commission, leverage, extras)


def _ask_extras(symbol: Symbol, version: DatasetVersion) -> Costs | None:
    keep_defaults(
        {"backtest.costs.sizing": _ALL_CASH, "backtest.costs.amount": 0.1, "backtest.costs.stop_pips": 0.0}
        | {f"backtest.costs.{name}": getattr(_PLAIN, name) for name in _FIELDS}
    )
    # Several symbols share the form: a currency that this one's is not in the list of must stay choosable.
    accounts = list(dict.fromkeys(["", *_ACCOUNTS, symbol.base, symbol.quote]))
    values: dict[str, Any] = {
        "account_currency": st.selectbox(
            "Account currency",
            accounts,
            key="backtest.costs.account_currency",
            format_func=lambda name: name or f"{symbol.quote}, the quote currency",
            help="Profit is converted at each bar's rate, read from a dataset that holds the pair.",
        ),
        **_ask_size(),
    }
    left, right = st.columns(2, gap="xsmall")
    stop = left.number_input(
        "Stop, pips",
        0.0,
        step=1.0,
        format="%.1f",
        key="backtest.costs.stop_pips",
        help="Where the strategy gives none.",
    )
    values["stop_pips"] = stop or None
    values["slippage_pips"] = right.number_input(
        "Slippage, pips", 0.0, step=0.1, format="%.1f", key="backtest.costs.slippage_pips", help="Against every fill."
    )
    values["commission_per_lot"] = left.number_input(
        "Per lot and side", 0.0, step=0.5, format="%.2f", key="backtest.costs.commission_per_lot", help="Money."
    )
    values["commission_minimum"] = right.number_input(
        "At least, a side", 0.0, step=0.5, format="%.2f", key="backtest.costs.commission_minimum", help="Money."
    )
    values["swap_long"] = left.number_input(
        "Swap long",
        step=0.1,
        format="%.2f",
        key="backtest.costs.swap_long",
        help="Per lot and night at 17:00 New York.",
    )
    values["swap_short"] = right.number_input("Swap short", step=0.1, format="%.2f", key="backtest.costs.swap_short")
    values["swap_unit"] = left.selectbox("Swap in", SWAP_UNITS, key="backtest.costs.swap_unit")
    values["swap_triple_day"] = right.selectbox("Triple on", TRIPLE_DAYS, key="backtest.costs.swap_triple_day")
    values["stop_out_pct"] = left.number_input(
        "Stop-out, %", 0.0, 100.0, step=5.0, format="%.0f", key="backtest.costs.stop_out_pct", help="Of the margin."
    )
    if "spread_points" in version.columns:
        values["spread_from_bars"] = st.checkbox(
            "Spread of the bars", key="backtest.costs.spread_from_bars", help="Each bar's own instead of the constant."
        )
    costs = Costs(**values)
    return costs if costs != _PLAIN else None


def _ask_size() -> dict[str, float]:
    """How large a position is: all cash, lots, a share of the equity, or what is lost at the stop."""
    sizing = st.segmented_control(
        "Size", [_ALL_CASH, *_SIZINGS], required=True, key="backtest.costs.sizing", help="Rounded down to the lot step."
    )
    if sizing not in _SIZINGS:
        return {}
    field, factor = _SIZINGS[sizing]
    labels = {
        "lots": "Lots",
        "fraction": "Of the equity as margin, %",
        "risk_fraction": "Of the equity, at the stop, %",
    }
    amount = st.number_input(labels[field], 0.01, step=0.01, format="%.2f", key="backtest.costs.amount")
    return {field: round(amount * factor, 12)}


def terms_of(run: StoredRun) -> dict[str, Any]:
    """What the form holds when it asks for the terms of `run`, by the keys of its widgets.

    Raises InputError for what the form cannot hold.
    """
    if run.commission is None:
        raise InputError(
            f"The commission of {run.run_id} is {run.settings['commission']}; the form takes a percentage only.",
            "Run it again from Python.",
        )
    plain = {
        "cash": run.cash,
        "leverage": round(1 / run.settings["margin"], 9),
        "spread": float(run.settings["spread_pips"]),
        # Without the noise of binary fractions.
        "commission": round(100 * run.commission, 10),
    }
    for name, value in plain.items():
        low, high = LIMITS[name]
        if value < low or (high is not None and value > high):
            upto = "or more" if high is None else f"to {high:g}"
            raise InputError(
                f"{run.run_id} was made with {name} {value:g}; the form takes {low:g} {upto}.",
                "Run it again from Python.",
            )
    return {f"backtest.{name}": value for name, value in plain.items()} | _extras_of(run)


def _extras_of(run: StoredRun) -> dict[str, Any]:
    kept: Mapping[str, Any] = run.settings.get("costs") or {}
    costs = Costs.from_dict(kept)
    asked = {*_FIELDS, "stop_pips", *(field for field, _ in _SIZINGS.values())}
    beyond = [name for name in kept if name not in asked]
    if beyond:
        raise InputError(
            f"{run.run_id} was made with {', '.join(beyond)}, which the form does not ask for.",
            "Run it again from Python.",
        )
    held: dict[str, Any] = {"sizing": _ALL_CASH, "stop_pips": costs.stop_pips or 0.0}
    for words, (field, factor) in _SIZINGS.items():
        if (amount := getattr(costs, field)) is not None:
            held |= {"sizing": words, "amount": round(amount / factor, 10)}
    held |= {name: getattr(costs, name) for name in _FIELDS}
    return {f"backtest.costs.{name}": value for name, value in held.items()}


def conversions_for(
    symbol: Symbol, account: str, versions: Sequence[DatasetVersion], own: DatasetVersion
) -> dict[str, DatasetVersion]:
    """The version that holds the bars of each pair that may turn profit in `symbol` into `account`, by pair.

    The version tested itself comes first, then the newest that overlaps it.
    """
    if account in {"", symbol.quote, symbol.base}:
        return {}
    found: dict[str, DatasetVersion] = {}
    for version in [own, *versions]:
        if _overlap(version, own):
            for name in version.symbols:
                pair = symbol_of(name)
                if pair.asset_class is AssetClass.FX and {pair.base, pair.quote} & {symbol.quote, account}:
                    found.setdefault(name, version)
    found.pop(symbol.name, None)
    return found


def _overlap(version: DatasetVersion, other: DatasetVersion) -> bool:
    first, last = pd.Timestamp(version.first_time), pd.Timestamp(version.last_time)
    return first <= pd.Timestamp(other.last_time) and last >= pd.Timestamp(other.first_time)
