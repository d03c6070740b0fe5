"""Live sources in the Collect form: symbols, timeframe and range, what the vendor reaches, and news beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from components.numbers import number, span
from components.panels.defaults import keep_defaults
from components.panels.form import Form
from components.panels.preparation import ask_preprocessing
from components.panels.words import verbatim
from core.clock import utc_now
from core.settings import current_settings
from data.sources.base import live_source
from data.sources.countries import FIPS
from market.symbols import canonical_symbol
from market.timeframes import Timeframe

MAJORS = ("EURUSD", "GBPUSD", "USDJPY", "USDCHF", "AUDUSD", "USDCAD", "NZDUSD", "EURGBP", "EURJPY", "XAUUSD")
NEWS = "GDELT"
_TITLES = {"YFinance": "Yahoo Finance", "HistData": "HistData"}
_COUNTRIES = ("EU", "US", "GB", *sorted(set(FIPS) - {"US", "GB"}))
_ONE_YEAR = timedelta(days=365)


def ask_live(source: str) -> Form:
    """What to ask a vendor for. Raises InputError for a symbol that is none."""
    today = utc_now().date()
    keep_defaults(
        {
            "data.live.symbols": ["EURUSD"],
            "data.live.timeframe": Timeframe.H1,
            "data.live.from": today - _ONE_YEAR,
            "data.live.to": today,
        }
    )
    said = st.session_state["data.live.symbols"]
    offered = list(dict.fromkeys([*MAJORS, *said]))
    symbols = st.multiselect(
        "Symbols",
        offered,
        accept_new_options=True,
        key="data.live.symbols",
        placeholder="EURUSD, or type one",
        help=_symbols_help(source),
    )
    timeframes: list[Timeframe] = list(Timeframe)
    timeframe = st.selectbox("Timeframe", timeframes, key="data.live.timeframe", format_func=str)
    left, right = st.columns(2, gap="xsmall")
    start = left.date_input("From, UTC", format="YYYY-MM-DD", min_value=date(1970, 1, 1), key="data.live.from")
    end = right.date_input(
        "To, UTC",
        format="YYYY-MM-DD",
        min_value=date(1970, 1, 1),
        key="data.live.to",
        help="This day included; bars that are not closed yet are left out.",
    )
    if symbols:
        _show_reach(source, [canonical_symbol(each) for each in symbols], timeframe, start)
    news = _ask_news(symbols, start, end)
    preprocessing = ask_preprocessing({})
    if not symbols:
        st.caption("Name at least one symbol.")
        return Form(None)
    asked: dict[str, Any] = {"data_sources": [source], "symbols": symbols, "timeframe": timeframe}
    asked |= {"start_date": start, "end_date": end, "preprocessing": preprocessing}
    if news is not None:
        asked |= {"data_sources": [source, NEWS], "countries": news}
    return Form(asked)


def _symbols_help(source: str) -> str:
    if source == "HistData":
        return "Pairs, metals and indices of six letters: EURUSD, XAUUSD, SPXUSD. Type one that is not offered."
    return "Pairs (EURUSD), crypto (BTCUSD), shares as Yahoo writes them (AAPL, SAP.DE). Type one that is not offered."


def _show_reach(source: str, symbols: Sequence[str], timeframe: Timeframe, start: date) -> None:
    """How far back the vendor goes; where the range begins earlier, a button that begins it there."""
    live = live_source(source)
    since = {symbol: live.earliest(symbol, timeframe) for symbol in symbols}
    known = {symbol: first.date() for symbol, first in since.items() if first is not None}
    if source == "HistData":
        words = ", ".join(f"{symbol} since {first:%Y-%m}" for symbol, first in known.items()) or "first month not known"
        st.caption(verbatim(f"{words}. Months are published some weeks later."))
        return
    if not known:
        st.caption(f"{_TITLES[source]} has {timeframe} bars back to the first day there is.")
        return
    first = max(known.values())
    if start >= first:
        st.caption(f"{_TITLES[source]} has {timeframe} bars back to {first:%Y-%m-%d}.")
    else:
        st.button(
            f"Begin at {first:%Y-%m-%d}",
            key="data.live.begin",
            icon=":material/first_page:",
            on_click=st.session_state.update,
            args=({"data.live.from": first},),
        )


def _ask_news(symbols: Sequence[str], start: date, end: date) -> list[str] | None:
    """The countries whose outlets are asked for news, none for all; None when no news are wanted."""
    wanted = st.checkbox(
        "With news tone from GDELT",
        key="data.live.news",
        help="Tone by the hour and articles on the currencies of the symbols. Choose the feature **news** to have the "
        "tone joined to the bars as it was known at each close.",
    )
    if not wanted:
        return None
    countries = st.multiselect(
        "Countries of the outlets", _COUNTRIES, key="data.live.countries", placeholder="all of the world"
    )
    st.caption(verbatim(_cost(symbols, start, end)))
    return countries


def _cost(symbols: Sequence[str], start: date, end: date) -> str:
    """What news cost in time, in a sentence."""
    from data.sources.gdelt import FIRST, currencies_of  # imports the client, which bars alone do without

    currencies = currencies_of([canonical_symbol(each) for each in symbols])
    if not currencies:
        return "GDELT knows no currency of these symbols."
    first = max(pd.Timestamp(start, tz="UTC"), FIRST)
    weeks = math.ceil(max((pd.Timestamp(end, tz="UTC") - first).days + 1, 1) / 7)
    requests, pause = 2 * weeks * len(currencies), current_settings().sources.gdelt_pause_seconds
    return (
        f"Tone of {', '.join(currencies)} takes {number(requests)} requests (2 a week of history and currency), one "
        f"in {pause:g} s: {span(requests * pause)}. Lists of articles come on top. What was answered is kept."
    )


def show_problems(collection: Mapping[str, Any] | None) -> None:
    """What a collection could not get, each with its reason and cure; nothing where it got all."""
    problems = (collection or {}).get("problems") or []
    if not problems:
        return
    lines = "\n".join(f"- {verbatim(problem)}" for problem in problems)
    kept = "**What to do:** collect again once it is mended: what was answered is kept, and only the rest is asked for."
    st.warning(f"{lines}\n\n{kept}", title="Collected in part", icon=":material/incomplete_circle:")
