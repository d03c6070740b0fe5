"""What the Scanner page tells beside setups: why others fell short, alerts, its own figures, volatility."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from components.charts.scanner import kinds_figure, scores_figure
from components.numbers import DASH, number, stamp
from components.panels.chart import show_still
from components.panels.jobs import show_log
from components.panels.page import card, columns, metric, metric_row
from components.panels.scanner import SIDES, csv_table, show_parts
from components.panels.scanner_data import ScannedSeries, source_words, with_from
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.jobs import Job, JobStatus
from market.symbols import symbol_of
from market.timeframes import Timeframe
from scanner.jobs import queue, rank_arguments, rank_title
from scanner.metrics import detection_rates, failures, pattern_distribution, processing_times, score_distribution
from workbench import JOBS

RULES = {
    "atr": "ATR is warm",
    "stop": "has a stop",
    "minimum_score": "score",
    "minimum_patterns": "different patterns",
    "maximum_stop_atr": "way to the stop, ATR",
    "minimum_risk_reward": "risk-reward",
    "maximum_cost_to_atr": "spread to ATR",
}


def show_why_not(candidates: pd.DataFrame, every: Sequence[ScannedSeries]) -> None:
    """The candidates that fell short, those that lacked least first; one row is the rule it missed by most."""
    short = candidates[candidates["is_setup"] == 0]
    with card("Why not", "candidates that fell short, nearest first · select one for its sum · times UTC"):
        if short.empty:
            st.markdown("Every candidate of the last scans was a setup.")
            return
        rules = [name for name in RULES if any(rule["rule"] == name for rows in short["why_not"] for rule in rows)]
        with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall"):
            rule = st.selectbox(
                "Rule", rules, index=None, key="scanner.rule", placeholder="any rule", width=220,
                format_func=RULES.__getitem__, bind="query-params",
            )  # fmt: skip
            symbol = st.selectbox(
                "Symbol", sorted(short["symbol"].unique()), index=None, key="scanner.short.symbol", width=160,
                placeholder="any symbol",
            )  # fmt: skip
        if rule:
            short = short[[any(each["rule"] == rule for each in rows) for rows in short["why_not"]]]
        if symbol:
            short = short[short["symbol"] == symbol]
        if short.empty:
            st.markdown("No candidate answers to these filters.")
            return
        short = short.assign(lack=[lack(rows) for rows in short["why_not"]]).sort_values("lack", kind="stable")
        table = pd.DataFrame([_short_row(dict(row), rule) for _, row in short.iterrows()])
        picked = show_table(
            with_from(table, short["scan_id"], every),
            key="scanner.why_not",
            formats={"Score": lambda value: number(value, 2)},
            right=["Value", "Needs"],
            widths={
                "Series": 92, "From": 96, "Side": 56, "Known, UTC": 128, "Score": 60, "Rule": 140, "Value": 62,
                "Needs": 70, "Missed": 62, "In words": 420,
            },
            help_texts={
                "Rule": "The rule it missed by most, as a share of the threshold.",
                "Missed": "How many rules it fell short of.",
            },
            select="one",
            rows=10,
        )  # fmt: skip
        csv_button(
            "Candidates as CSV", lambda: csv_table(short.drop(columns="lack")), "why_not.csv", key="scanner.why_not.csv"
        )
    if picked:
        _show_candidate(short.iloc[picked[0]])


def lack(rules: Sequence[Mapping[str, Any]]) -> float:
    """How far a candidate fell short in all, in shares of each threshold."""
    return sum(_share(rule) for rule in rules)


def _share(rule: Mapping[str, Any]) -> float:
    value, threshold = rule["value"], rule["threshold"]
    if value is None or math.isnan(value) or not threshold:
        return 10.0  # what cannot be measured is far from enough
    return min(abs(float(value) - float(threshold)) / abs(float(threshold)), 10.0)


def _short_row(candidate: Mapping[str, Any], rule: str | None) -> dict[str, Any]:
    rules = candidate["why_not"]
    worst = next((each for each in rules if each["rule"] == rule), None) or max(rules, key=_share)
    return {
        "Series": f"{candidate['symbol']} {candidate['timeframe']}",
        "Side": SIDES[candidate["direction"]],
        "Known, UTC": stamp(candidate["known_at"].to_pydatetime()),
        "Score": candidate["score"],
        "Rule": RULES.get(worst["rule"], worst["rule"]),
        "Value": number(worst["value"], 2),
        "Needs": _needs(worst),
        "Missed": len(rules),
        "In words": "; ".join(each["words"] for each in rules),
    }


def _needs(rule: Mapping[str, Any]) -> str:
    if rule["rule"] in {"atr", "stop"}:
        return "> 0"
    return f"{'≤' if rule['rule'].startswith('maximum') else '≥'} {number(rule['threshold'], 2)}"


def _show_candidate(candidate: pd.Series) -> None:
    name = f"{candidate['symbol']} {candidate['timeframe']} {SIDES[candidate['direction']]}"
    left, right = columns([1, 1])
    with left, card(f"Score of {name}", f"known {stamp(candidate['known_at'].to_pydatetime())} UTC"):
        show_parts(candidate, "scanner.why_not.parts")
    with right, card("What it fell short of"):
        st.markdown("\n".join(f"- {verbatim(rule['sentence'])}" for rule in candidate["why_not"]))


def show_alerts(alerts: pd.DataFrame, every: Sequence[ScannedSeries]) -> None:
    """The setups that came last, newest first."""
    with card("Alerts", "setups as they came, newest first · what an alert was, or would have been, sent for · UTC"):
        if alerts.empty:
            st.markdown("No setup came yet. The next scan that finds one enters it here.")
            return
        shown = pd.DataFrame(
            {
                "Series": alerts["symbol"] + " " + alerts["timeframe"],
                "Known, UTC": [stamp(moment.to_pydatetime()) for moment in alerts["known_at"]],
                "Side": alerts["direction"].map(SIDES),
                "Score": alerts["score"],
                "R : R": alerts["risk_reward"],
                **{
                    name: [
                        number(value, symbol_of(symbol).digits)
                        for value, symbol in zip(alerts[name.lower()], alerts["symbol"], strict=True)
                    ]
                    for name in ("Entry", "Stop", "Target")
                },
                "State": alerts["status"],
                "Ended, UTC": [DASH if pd.isna(each) else stamp(each.to_pydatetime()) for each in alerts["ended_at"]],
                "Entered, UTC": [stamp(moment.to_pydatetime(), seconds=True) for moment in alerts["created_at"]],
            }
        )
        show_table(
            with_from(shown, alerts["scan_id"], every),
            key="scanner.alerts",
            formats={name: lambda value: number(value, 2) for name in ("Score", "R : R")},
            right=["Entry", "Stop", "Target"],
            widths={
                "Series": 92, "From": 96, "Known, UTC": 128, "Side": 56, "Score": 60, "R : R": 60, "Entry": 76,
                "Stop": 76, "Target": 76, "State": 70, "Ended, UTC": 128, "Entered, UTC": 150,
            },
            help_texts={"Entered, UTC": "When the scan that found it wrote it down."},
            rows=16,
        )  # fmt: skip
        csv_button("Alerts as CSV", lambda: csv_table(alerts), "alerts.csv", key="scanner.alerts.csv")


def show_metrics(scans: pd.DataFrame, series: Sequence[ScannedSeries]) -> None:
    """How much the scanner finds and how long that takes, a series at a time and together."""
    rates, times = detection_rates(scans), processing_times(scans)
    bars = int(rates["bars"].sum())
    row = metric_row()
    metric(row, "Series", number(len(rates)), f"{number(rates['symbol'].nunique())} symbols")
    metric(row, "Bars", number(bars), "in the last scans")
    metric(row, "Findings", number(rates["findings"].sum()), f"{_per_1000(rates['findings'].sum(), bars)} per 1 000")
    metric(row, "Setups", number(rates["setups"].sum()), f"{_per_1000(rates['setups'].sum(), bars)} per 1 000")
    metric(
        row, "Scanning", f"{number(times['scan_ms'].sum())} ms", "all series together",
        "Patterns and setups of the last scan of each series; the first one after an installation also compiles.",
    )  # fmt: skip
    metric(row, "Reading", f"{number(times['read_ms'].sum())} ms", "bars from disk")
    order = sorted({each.timeframe for each in series}, key=lambda each: each.minutes)
    names = [str(each) for each in order]
    left, right = columns([1, 1])
    with left, card("Patterns", "findings of each kind, in all series of a timeframe"):
        show_still(kinds_figure(pattern_distribution(scans), names), "scanner.kinds", "scanner_patterns")
    with right, card("Scores", "candidates by score, in all series of a timeframe"):
        least = float(series[0].settings["minimum_score"]) if series else 0.0
        show_still(scores_figure(score_distribution(scans), names, least), "scanner.scores", "scanner_scores")
    _show_rates(rates.merge(times, on=["symbol", "timeframe", "source", "bars"]))
    show_failures(failures(scans))


def _per_1000(count: float, bars: int) -> str:
    return number(1000 * count / bars, 1) if bars else DASH


def _show_rates(table: pd.DataFrame) -> None:
    with card("Rates and times", "a row a series · per 1 000 bars · milliseconds of the last scan"):
        shown = pd.DataFrame(
            {
                "Series": table["symbol"] + " " + table["timeframe"],
                "From": [source_words(source) for source in table["source"]],
                "Bars": table["bars"],
                "Findings": table["findings"],
                "per 1 000": table["findings_per_1000_bars"],
                "Candidates": table["candidates"],
                "Setups": table["setups"],
                "Setups per 1 000": table["setups_per_1000_bars"],
                "Read, ms": table["read_ms"],
                "Scan, ms": table["scan_ms"],
                "ns a bar": table["ns_per_bar"],
            }
        )
        whole, tenth = ("Bars", "Findings", "Candidates", "Setups", "ns a bar"), ("per 1 000", "Read, ms", "Scan, ms")
        show_table(
            shown,
            key="scanner.rates",
            formats={
                **dict.fromkeys(whole, number),
                **{name: lambda value: number(value, 1) for name in tenth},
                "Setups per 1 000": lambda value: number(value, 2),
            },
            rows=10,
        )
        csv_button("Rates as CSV", lambda: table, "scanner_rates.csv", key="scanner.rates.csv")


def show_failures(failed: pd.DataFrame) -> None:
    """The series whose last scan failed, with what to do."""
    if failed.empty:
        return
    with card("Could not be scanned", "at the last scan · the others were"):
        shown = pd.DataFrame(
            {
                "Series": failed["symbol"] + " " + failed["timeframe"],
                "From": [source_words(source) for source in failed["source"]],
                "When, UTC": [stamp(moment.to_pydatetime()) for moment in failed["scanned_at"]],
                "Why": failed["failure"],
                "What to do": failed["cure"].fillna(DASH),
            }
        )
        show_table(
            shown,
            key="scanner.failures",
            widths={"Series": 92, "From": 110, "When, UTC": 128, "Why": 480, "What to do": 300},
        )


def show_volatility(ranks: pd.DataFrame, symbols: Sequence[str]) -> None:
    """The newest ranking by volatility with those that were skipped, and a button for a newer one."""
    with card("Volatility", _ranked_words(ranks)):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall"):
            timeframe = st.selectbox(
                "Timeframe", [str(each) for each in Timeframe], index=[*Timeframe].index(Timeframe.H1),
                key="scanner.rank.timeframe", width=120,
            )  # fmt: skip
            newest = _rank_job()
            waits = newest is not None and newest.is_open
            if st.button(
                f"Rank {number(len(symbols))} symbols", key="scanner.rank", icon=":material/leaderboard:",
                disabled=waits or not symbols,
            ):  # fmt: skip
                arguments = rank_arguments(None, timeframe)
                JOBS.submit("scan", "rank", arguments, rank_title(arguments))
                st.rerun()
        _show_rank_failure(newest)
        if not symbols:
            st.markdown("Only stored bars are ranked, and there are none. Collect bars, or run the sample workflow.")
        if ranks.empty:
            st.markdown("Nothing is ranked yet. The ranking says which pairs move enough to be worth their spread.")
            return
        _show_ranks(ranks)


def _ranked_words(ranks: pd.DataFrame) -> str:
    words = "average true range on trading days, as a share of the price"
    return words if ranks.empty else f"{words} · ranked {str(ranks['ranked_at'].iloc[0])[:16].replace('T', ' ')} UTC"


def _rank_job() -> Job | None:
    """The newest ranking that was asked for."""
    return next((job for job in queue.jobs(limit=50) if job.kind == "rank"), None)


def _show_rank_failure(job: Job | None) -> None:
    if job is None or job.status is not JobStatus.FAILED:
        return
    cure = f"\n\n**What to do:** {verbatim(job.cure)}" if job.cure else ""
    st.error(f"{verbatim(job.failure or DASH)}{cure}", title=verbatim(f"{job.title} failed"), icon=":material/error:")
    show_log(job.queue, job.id)


def _show_ranks(ranks: pd.DataFrame) -> None:
    pips = [
        math.nan if value is None else value / symbol_of(symbol).pip
        for value, symbol in zip(ranks["atr"], ranks["symbol"], strict=True)
    ]
    shown = pd.DataFrame(
        {
            "Rank": ranks["rank"].astype("float64"),
            "Series": ranks["symbol"] + " " + ranks["timeframe"],
            "State": ["selected" if each else "skipped" for each in ranks["selected"]],
            "ATR, %": ranks["atr_pct"].astype("float64"),
            "ATR, pips": pips,
            "Day, %": ranks["day_range_pct"].astype("float64"),
            "Spread to ATR, %": 100 * ranks["cost_to_atr"].astype("float64"),
            "Why skipped": ranks["skipped"].fillna(DASH),
            "Bars": ranks["bars"],
            "Last bar, UTC": [DASH if pd.isna(each) else stamp(each.to_pydatetime()) for each in ranks["last_time"]],
        }
    )
    show_table(
        shown,
        key="scanner.ranks",
        formats={
            "Rank": number, "ATR, %": lambda value: number(value, 3), "ATR, pips": lambda value: number(value, 1),
            "Day, %": lambda value: number(value, 2), "Spread to ATR, %": lambda value: number(value, 1),
            "Bars": number,
        },
        widths={
            "Rank": 50, "Series": 92, "State": 74, "ATR, %": 70, "ATR, pips": 78, "Day, %": 62,
            "Spread to ATR, %": 122, "Bars": 56, "Last bar, UTC": 128, "Why skipped": 500,
        },
        colours={"State": lambda value: "#2fe08a" if value == "selected" else "#ffcf6b"},
        help_texts={
            "ATR, %": "Wilder's average true range over the last close.",
            "Day, %": "Mean true range of whole trading days over the last close.",
            "Spread to ATR, %": "A round trip's spread (the bars' own, if they have one) over an average bar.",
        },
        rows=16,
    )  # fmt: skip
    csv_button(
        "Ranking as CSV", lambda: ranks.drop(columns=["id", "job_id"]), "volatility.csv", key="scanner.ranks.csv"
    )
