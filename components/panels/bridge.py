"""The bridge as it stands now: whether it listens, how ticks come, quotes, terminals; redrawn by timers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from components.charts.bridge import quotes_figure
from components.numbers import DASH, age, number, span
from components.panels.chart import show_still
from components.panels.choice import choose
from components.panels.failure import failures_shown
from components.panels.page import Colour, card, columns, metric, metric_row, redraw, show_badges
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.clock import now_ms, parse_utc, utc_now
from core.heartbeats import processes
from core.settings import current_settings
from market.symbols import symbol_of
from mql5.bridge.feed import LAG_SECONDS, MOST_QUOTES, RATE_SECONDS, Feed, Pulse, Stream
from mql5.bridge.reach import Reached, ask_health
from mql5.bridge.terminals import SILENT_SECONDS, TerminalStore

START_COMMAND = "python mql5/api_server.py"
_LIVE, _STATE = "2s", "4s"
_MINUTES = {"1 min": 1, "5 min": 5, "15 min": 15, "1 h": 60}
_AMBER_SECONDS = 15.0  # the Expert Advisor beats every 10 s
_GOOD, _AMBER, _RED, _DEMO, _REAL = "#2fe08a", "#ffcf6b", "#ff7a8e", "#b79bff", "#ff9838"
Row = dict[str, Any]


def mode_of(terminal: Mapping[str, Any]) -> str:
    """DEMO or LIVE as the terminal says it, else a dash; a contest is played with demo money."""
    word = str(terminal["trade_mode"] or "").partition(";")[0].strip().casefold()
    return {"demo": "DEMO", "contest": "DEMO", "real": "LIVE", "live": "LIVE"}.get(word, DASH)


def show_state(place: DeltaGenerator) -> None:
    """The badges of the header: what listens, and whether demo or real money hangs on it."""

    def draw() -> None:
        with failures_shown(once=True):
            here = st.container(horizontal=True, width="content", gap="small")
            modes = {mode_of(row) for row in TerminalStore().all() if row["is_alive"]} - {DASH}
            marks: list[tuple[str, Colour]] = [("DEMO", "violet"), ("LIVE", "orange")]
            show_badges(here, *[mark for mark in marks if mark[0] in modes], _badge(_reached()))

    with place:
        redraw(draw, _STATE)


def _reached() -> Reached:
    return ask_health(current_settings().bridge)


def _badge(found: Reached) -> tuple[str, Colour]:
    if found.state == "silent":
        return "not listening", "red"
    if found.state == "foreign":
        return f"no bridge on {found.address}", "red"
    if found.failing:
        return ", ".join(found.failing), "yellow"
    if not any(process.is_alive for process in processes("bridge")):
        return f"{found.address} serves another workbench", "yellow"
    return f"listening on {found.address}", "green"


def show_what_is_wrong() -> None:
    """Where nothing listens: the command that changes it. Nothing where all is well."""

    def draw() -> None:
        with failures_shown(once=True):
            found = _reached()
            port = current_settings().bridge.port
            if found.state == "silent":
                st.warning(
                    f"Nothing listens on {verbatim(found.address)}, so no tick comes in and no signal goes out.\n\n"
                    f"**What to do:** start it in a terminal: `{START_COMMAND}`",
                    title="The bridge is not running",
                    icon=":material/link_off:",
                )
            elif found.state == "foreign":
                st.warning(
                    f"{verbatim(found.address)} is answered by another program, or by a bridge that hangs.\n\n**What "
                    f"to do:** close it, or take another port: `SEQUENCE_BRIDGE_PORT={port + 1} {START_COMMAND}`",
                    title="The bridge is not running",
                    icon=":material/link_off:",
                )

    redraw(draw, _STATE)


def show_live() -> None:
    """Metrics, quotes, terminals and symbols, drawn anew every two seconds; each part fails for itself."""

    def draw() -> None:
        with failures_shown():
            feed = Feed()
            terminals, streams, rows = TerminalStore().all(), feed.streams(), feed.signals()
            _show_metrics(feed.pulse(), terminals, rows)
            left, right = columns([11, 9])
            with left, failures_shown():
                _show_quotes(feed, streams, rows)
            with right, failures_shown():
                _show_terminals(terminals)
                _show_symbols(streams)

    redraw(draw, _LIVE)


def _show_metrics(pulse: Pulse, terminals: Sequence[Row], rows: Sequence[Row]) -> None:
    row = metric_row()
    metric(row, "Ticks today", number(pulse.ticks_today), "since 00:00 UTC", "Ticks that arrived since 00:00 UTC.")
    metric(row, "Rate", f"{number(pulse.per_second, 1)} /s", f"of the last {RATE_SECONDS} s")
    known = pulse.lag_median_ms is not None
    metric(
        row,
        "Lag, median",
        f"{number(pulse.lag_median_ms)} ms" if known else DASH,
        f"p99 {number(pulse.lag_p99_ms)} ms" if known else f"last {LAG_SECONDS // 60} min",
        "From the broker's stamp to the arrival here, ticks of the last 5 minutes, stale ones left out. "
        "What the broker's clock is off by is in it.",
    )
    metric(
        row,
        "Sequence gaps",
        number(pulse.gaps_today),
        f"{number(pulse.missing_today)} missing",
        "Numbers of ticks that never came, since 00:00 UTC.",
    )
    drifts = [each["clock_drift_ms"] for each in terminals if each["is_alive"] and each["clock_drift_ms"] is not None]
    drift = max(drifts, key=abs) if drifts else None
    words = "terminal ahead" if (drift or 0) > 0 else "terminal behind" if drift else "of the terminals"
    metric(
        row,
        "Clock drift",
        DASH if drift is None else f"{number(drift / 1000, 1, sign=True)} s",
        words,
        "The largest difference between the clock of a terminal's computer and this one.",
    )
    states = pulse.signals_today
    ended = f"{number(states.get('executed', 0))} filled, {number(states.get('expired', 0))} expired"
    metric(row, "Signals today", number(sum(states.values())), ended, "Created since 00:00 UTC.")
    slips = [each["slippage_pips"] for each in rows if each["slippage_pips"] is not None]
    metric(
        row,
        "Slippage, mean",
        f"{number(sum(slips) / len(slips), 1, sign=True)} pips" if slips else DASH,
        f"n = {number(len(slips))}",
        "Filled against asked over the newest 200 signals; above 0 is worse. Asked is the signal's own price, "
        "else the quote when it was sent.",
    )


def _show_quotes(feed: Feed, streams: Sequence[Stream], rows: Sequence[Row]) -> None:
    with card("Bid and ask", "as the terminal sent them · times UTC"):
        if not streams:
            st.markdown("No tick has come yet. Quotes are drawn here from the first one on.")
            return
        by_name = _named(streams)
        left, right = st.columns([2, 3], vertical_alignment="center", gap="xsmall")
        with left:
            stream = by_name[choose("Symbol", list(by_name), "stream", str, show_label=False)]
        with right:
            choice = st.segmented_control(
                "Minutes",
                list(_MINUTES),
                default="5 min",
                required=True,
                key="minutes",
                label_visibility="collapsed",
                bind="query-params",
            )
        minutes = _MINUTES[choice or "5 min"]
        # A market that is closed keeps its last minutes on the page.
        since = min(now_ms(), stream.time_ms) - minutes * 60_000
        quotes = feed.quotes(stream.source, stream.symbol, since)
        points, symbol = current_settings().display.chart_points, symbol_of(stream.symbol)
        figure = quotes_figure(
            quotes,
            symbol=stream.symbol,
            digits=symbol.digits,
            points=points,
            executed=_executed(rows, stream.symbol, since),
        )
        show_still(figure, "bridge.quotes", f"quotes_{stream.symbol}")
        _say_what_is_drawn(quotes, points, stream)


def _named(streams: Sequence[Stream]) -> dict[str, Stream]:
    """Streams by their symbols, with the source where several send the same one."""
    symbols = [stream.symbol for stream in streams]
    return {
        stream.symbol if symbols.count(stream.symbol) == 1 else f"{stream.symbol} · {stream.source}": stream
        for stream in streams
    }


def _say_what_is_drawn(quotes: pd.DataFrame, points: int, stream: Stream) -> None:
    drawn = f" drawn as {number(points)}, extremes kept" if len(quotes) > points else ""
    cut = f", the newest {number(MOST_QUOTES)} of more" if len(quotes) == MOST_QUOTES else ""
    quiet = f" · last one {span(stream.age_seconds)} ago" if stream.age_seconds > _AMBER_SECONDS else ""
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.caption(f"{number(len(quotes))} ticks{cut}{drawn} · from {verbatim(stream.source)}{quiet}", width="stretch")

        def table() -> pd.DataFrame:
            stamps = pd.to_datetime(quotes["broker_ms"], unit="ms").dt.strftime("%Y-%m-%d %H:%M:%S.%f").str[:-3]
            return quotes[["bid", "ask"]].assign(broker_time=stamps)

        csv_button("Ticks as CSV", table, f"ticks_{stream.symbol}.csv", key="bridge.quotes.csv")


def _executed(rows: Sequence[Row], symbol: str, since_ms: int) -> list[Row]:
    """The executed signals of a symbol from then on, oldest first, as the chart marks them."""
    found = []
    for row in rows[::-1]:
        if row["symbol"] != symbol or row["status"] != "executed" or not row["executed_price"]:
            continue
        time = parse_utc(row["finished_at"])
        if time.timestamp() * 1000 < since_ms:
            continue
        sold = row["signal_type"] == "SELL"
        did = {"BUY": "bought", "SELL": "sold"}.get(row["signal_type"], "closed")
        lots = f" {number(row['executed_volume'], 2)}" if row["executed_volume"] else ""
        words = f"signal {row['id']}: {did}{lots}"
        found.append(
            {
                "id": row["id"],
                "side": "short" if sold else "long",
                "time": time,
                "price": row["executed_price"],
                "words": words,
            }
        )
    return found


def _show_terminals(terminals: Sequence[Row]) -> None:
    with card("Terminals", f"beat amber after {_AMBER_SECONDS:g} s, red after {SILENT_SECONDS:g} s"):
        if not terminals:
            st.markdown("No terminal has said that it lives. The Expert Advisor does so every 10 s.")
            return
        table = pd.DataFrame(
            {
                "Terminal": [row["client"] for row in terminals],
                "Account": [row["login"] or DASH for row in terminals],
                "Mode": [mode_of(row) for row in terminals],
                "Beat": [row["age_seconds"] for row in terminals],
                "Trading": [_trading(row) for row in terminals],
                "Broker": [_broker_time(row["tz_offset_seconds"]) for row in terminals],
                "Server": [row["server"] or DASH for row in terminals],
                "Build": [str(row["build"] or DASH) for row in terminals],
                "Equity": [
                    f"{number(row['equity'], 2)} {row['currency'] or ''}" if row["equity"] else DASH
                    for row in terminals
                ],
            }
        )
        show_table(
            table,
            key="bridge.terminals",
            formats={"Beat": _age},
            right=["Build", "Equity"],
            widths={"Terminal": 130, "Account": 68, "Mode": 48, "Beat": 78, "Trading": 70, "Broker": 76, "Server": 140},
            help_texts={"Broker": "The clock of the broker's server now.", "Trading": "Whether signals are executed."},
            colours={"Beat": _age_colour, "Mode": _mode_colour, "Trading": _trading_colour},
            rows=5,
        )


def _age(seconds: float) -> str:
    return age((utc_now() - timedelta(seconds=seconds)).isoformat())


def _short_age(seconds: float) -> str:
    return f"{number(seconds, 1)} s" if seconds < 60 else _age(seconds)


def _age_colour(seconds: Any) -> str:
    return _GOOD if seconds < _AMBER_SECONDS else _AMBER if seconds < SILENT_SECONDS else _RED


def _mode_colour(mode: Any) -> str:
    return {"DEMO": _DEMO, "LIVE": _REAL}.get(mode, "")


def _trading(row: Row) -> str:
    if row["connected"] is False:
        return "no broker"
    return {True: "allowed", False: "off", None: DASH}[row["trade_allowed"]]


def _trading_colour(word: Any) -> str:
    return {"allowed": _GOOD, "off": _AMBER, "no broker": _RED}.get(word, "")


def _broker_time(offset_seconds: int | None) -> str:
    if offset_seconds is None:
        return DASH
    return f"{datetime.now(UTC) + timedelta(seconds=offset_seconds):%H:%M:%S}"


def _show_symbols(streams: Sequence[Stream]) -> None:
    with card("Symbols", "newest quote of each · spread in pips"):
        if not streams:
            st.markdown("None yet.")
            return
        by_name = _named(streams)
        table = pd.DataFrame(
            {
                "Symbol": list(by_name),
                "Bid": [_price(each, each.bid) for each in streams],
                "Ask": [_price(each, each.ask) for each in streams],
                "Spread": [each.pips(each.ask - each.bid) for each in streams],
                "Mean": [None if each.mean_spread is None else each.pips(each.mean_spread) for each in streams],
                "Last 5 min": [each.spark for each in streams],
                "Age": [each.age_seconds for each in streams],
            }
        )
        show_table(
            table,
            key="bridge.symbols",
            formats={
                "Spread": lambda value: number(value, 1),
                "Mean": lambda value: number(value, 1),
                "Age": _short_age,
            },
            right=["Bid", "Ask"],
            widths={"Symbol": 70, "Bid": 72, "Ask": 72, "Spread": 60, "Mean": 50, "Age": 74},
            help_texts={"Mean": "Mean spread in pips at 24 even times of the last 5 minutes before the newest quote."},
            colours={"Age": _age_colour},
            config={"Last 5 min": st.column_config.LineChartColumn(width=84, color="#4fe08f")},
            rows=6,
        )


def _price(stream: Stream, price: float) -> str:
    return f"{price:.{symbol_of(stream.symbol).digits}f}"
