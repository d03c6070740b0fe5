"""The outcome study on the Scanner page: what a pattern or a setup was worth beside chance and hindsight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pandas as pd
import streamlit as st

from components.charts.scanner import KIND_WORDS, outcomes_figure
from components.numbers import DASH, number
from components.panels.chart import show_still
from components.panels.page import card, columns, metric, metric_row
from components.panels.scanner_data import ScannedSeries, layer_shown, picture_of
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from execution.outcomes import (
    OutcomeStudy,
    StudiedSeries,
    StudyTerms,
    entries_of_findings,
    entries_of_setups,
    study_outcomes,
)
from scanner.patterns.findings import Kind
from scanner.reading import LIVE

_SETUPS = "Setups"
_WHAT = {
    _SETUPS: None,
    "Sweeps": (Kind.LIQUIDITY_SWEEP,),
    "Breaks of structure": (Kind.BOS,),
    "Changes of character": (Kind.CHOCH,),
    "Gaps": (Kind.FVG,),
    "Order blocks": (Kind.ORDER_BLOCK,),
    "Swings": (Kind.SWING,),
}
_THIS, _ALL = "This series", "All series of its timeframe"
# A study walks every entry and its random twins bar by bar: beyond so many bars in all, fewer twins are drawn.
_WALKED = 40_000_000
_LABELS = {"known": "known at the close", "random": "random, same number", "formed": "pretended, at the extreme"}
_BY = {
    "session": "Session",
    "year": "Year",
    "direction": "Side",
    "symbol": "Symbol",
    "timeframe": "Timeframe",
    "exit": "Exit",
}


@dataclass(frozen=True)
class _Asked:
    """A filled-in form."""

    what: str
    series: tuple[ScannedSeries, ...]
    terms: StudyTerms

    @property
    def key(self) -> str:
        """What tells one study from another."""
        return repr((self.what, [(each.key, str(each.until)) for each in self.series], asdict(self.terms)))


def show_study(series: ScannedSeries, every: Sequence[ScannedSeries]) -> None:
    """Ask what to study and how it is held and charged; the answer in three lines, then by group."""
    with card("Outcome study", "entered at the open after the close that proved it · after costs"):
        asked = _ask(series, every)
        if st.button("Run study", key="scanner.study.run", icon=":material/science:"):
            with st.spinner("Walking the entries and their random twins"):
                st.session_state["scanner.study"] = asked.key, _studied(asked, every)
        held: tuple[str, OutcomeStudy] | None = st.session_state.get("scanner.study")
        if held is None or held[0] != asked.key:
            st.markdown(
                "**Run study** enters every one of them once it could be known; beside it the same number at random "
                "bars, and the same ones where they formed, as a chart that repaints would have it."
            )
            return
        _show_answer(held[1], asked)
    _show_groups(held[1], asked)


def _ask(series: ScannedSeries, every: Sequence[ScannedSeries]) -> _Asked:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall"):
        what = st.selectbox("What", list(_WHAT), key="scanner.study.what", width=200)
        where = st.selectbox("Where", [_THIS, _ALL], key="scanner.study.where", width=240)
        horizon = st.number_input("Horizon, bars", 1, 1000, 24, key="scanner.study.horizon", width=120)
        spread = st.number_input(
            "Spread, pips", 0.0, value=None, step=0.1, key="scanner.study.spread", placeholder="bars' own",
            width=140, help="Without one, that of each bar, and where bars carry none that of the settings.",
        )  # fmt: skip
        slippage = st.number_input("Slippage, pips", 0.0, step=0.1, key="scanner.study.slippage", width=120)
        commission = st.number_input("Commission, pips", 0.0, step=0.1, key="scanner.study.commission", width=130)
        levels = st.toggle(
            "Stop and target", value=True, key="scanner.study.levels", disabled=what != _SETUPS,
            help="Setups carry both; without them, and for single patterns, an entry is held for the horizon.",
        )  # fmt: skip
    # Live bars cover a time of which there may be historical ones too: no trade shall count twice.
    like = [each for each in every if (each.source == LIVE) == (series.source == LIVE)]
    chosen = (series,) if where == _THIS else tuple(each for each in like if each.timeframe == series.timeframe)
    terms = StudyTerms(
        horizon_bars=int(horizon),
        spread_pips=spread,
        slippage_pips=slippage,
        commission_pips=commission,
        use_levels=levels,
    )
    return _Asked(what, chosen, terms)


def _studied(asked: _Asked, every: Sequence[ScannedSeries]) -> OutcomeStudy:
    kinds = _WHAT[asked.what]
    studied = []
    for each in asked.series:
        if kinds is None:
            picture = picture_of(each, every)
            layer, entries = picture.layer, entries_of_setups(picture.candidates)
        else:
            layer = layer_shown(each)
            entries = entries_of_findings(layer.findings, kinds)
        studied.append(StudiedSeries(each.symbol, str(each.timeframe), layer.bars, entries))
    count = sum(len(each.entries) for each in studied)
    twins = max(10, min(asked.terms.controls, _WALKED // max(1, count * asked.terms.horizon_bars)))
    return study_outcomes(studied, StudyTerms(**{**asdict(asked.terms), "controls": twins}))


def _show_answer(study: OutcomeStudy, asked: _Asked) -> None:
    st.markdown(verbatim(study.sentence()))
    known = study.known
    if not known.entries:
        st.markdown("Longer bars, another pattern or a shorter horizon may give entries.")
        return
    row = metric_row()
    metric(
        row, "Per entry, pips", number(known.expectancy_pips, 1, sign=True), _interval(known.low, known.high),
        "Mean after costs. The interval is a bootstrap over whole trading days (Efron and Tibshirani, 1993), because "
        "entries of one day are no independent witnesses.",
    )  # fmt: skip
    metric(
        row, "Entries", number(known.entries), f"{number(known.left_out)} left out", "Left out: the bars ended first."
    )
    metric(row, "Won", f"{number(known.hit_rate_pct, 1)} %", f"random {number(study.random.hit_rate_pct, 1)} %")
    metric(
        row, "Luck", f"{number(100 * study.luck, 1)} %", "did as well or more",
        f"The share of {number(len(study.draws))} random draws of as many entries that did as well or better.",
    )  # fmt: skip
    metric(
        row, "Against, pips", number(known.mae_pips, 1), "worst, on average", "Mean of the furthest against an entry."
    )
    metric(row, "With, pips", number(known.mfe_pips, 1), "best, on average", "Mean of the furthest with an entry.")
    left, right = columns([3, 4])
    with left:
        summary = study.summary()
        show_still(outcomes_figure(summary), "scanner.study.figure", "outcome_study")
    with right:
        _show_summary(summary)


def _show_summary(summary: pd.DataFrame) -> None:
    shown = pd.DataFrame(
        {
            "Entered": [_LABELS[label] for label in summary["label"]],
            "Pips": summary["expectancy_pips"],
            "95 %": [_interval(low, high) for low, high in zip(summary["low"], summary["high"], strict=True)],
            "Won, %": summary["hit_rate_pct"],
            "Entries": summary["entries"],
            "Costs": summary["cost_pips"],
            "Bars held": summary["bars_held"],
        }
    )
    one = ("Won, %", "Costs", "Bars held")
    show_table(
        shown,
        key="scanner.study.summary",
        formats={
            "Pips": lambda value: number(value, 1, sign=True),
            "Entries": number,
            **{name: lambda value: number(value, 1) for name in one},
        },
        signed=["Pips"],
        right=["95 %"],
        widths={"Entered": 204, "Pips": 54, "95 %": 110, "Won, %": 60, "Entries": 70, "Costs": 56, "Bars held": 76},
        help_texts={
            "Costs": "Spread, slippage and commission, pips an entry.",
            "Entries": "Of random entries all draws.",
        },
    )
    csv_button("Study as CSV", lambda: summary, "outcome_study.csv", key="scanner.study.csv")


def _show_groups(study: OutcomeStudy, asked: _Asked) -> None:
    if not study.known.entries:
        return
    with card("By group", "entries known at the close · pips after costs · groups of few entries say little"):
        by = st.segmented_control(
            "By", list(_BY), default="session", required=True, key="scanner.study.by", format_func=_BY.__getitem__,
            label_visibility="collapsed",
        )  # fmt: skip
        table = study.by(by)
        shown = pd.DataFrame(
            {
                _BY[by]: [_group_words(group) for group in table[by]],
                "Entries": table["entries"],
                "Pips": table["expectancy_pips"],
                "95 %": [_interval(low, high) for low, high in zip(table["low"], table["high"], strict=True)],
                "Won, %": table["hit_rate_pct"],
                "Against": table["mae_pips"],
                "With": table["mfe_pips"],
                "Pretended": table["pretended"],
            }
        )
        show_table(
            shown,
            key="scanner.study.groups",
            formats={
                "Entries": number,
                **{name: lambda value: number(value, 1, sign=True) for name in ("Pips", "Pretended")},
                **{name: lambda value: number(value, 1) for name in ("Won, %", "Against", "With")},
            },
            signed=["Pips"],
            right=["95 %"],
            help_texts={"Pretended": "Mean pips of the same group, entered where the patterns formed."},
        )
        csv_button("Entries as CSV", lambda: study.trades, "outcome_entries.csv", key="scanner.study.entries")


def _group_words(group: object) -> str:
    return {"new_york": "New York", "asia": "Asia", "london": "London"}.get(
        str(group), KIND_WORDS.get(str(group), str(group))
    )


def _interval(low: float, high: float) -> str:
    if low != low:  # noqa: PLR0124  # NaN
        return DASH
    return f"{number(low, 1, sign=True)} to {number(high, 1, sign=True)}"
