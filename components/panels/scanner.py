"""Setups on the Scanner page: the ranked table with its filters, and the sum behind the chosen one's score."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from components.charts.scanner import KIND_WORDS
from components.numbers import number, stamp
from components.panels.listing import Listing, mark_open, open_asked, show_no_match
from components.panels.page import card, columns
from components.panels.scanner_data import ScannedSeries, recent_closes, with_from
from components.panels.table import csv_button, show_table
from core.errors import SequenceError
from market.symbols import symbol_of
from scanner.patterns.sessions import KILL_ZONES, zone_names
from scanner.setups import DISCOUNT, KILL_ZONE, parts_frame
from workbench import LIVE

SETUPS = Listing(
    "setup",
    "setup",
    "scanner.setups",
    {"tf": None, "side": None, "session": None, "score": None, "state": None},
)
SERIES = "series"  # the name of the chosen series in session and address
AT = "at"  # the moment that the slider names, in the address
SIDES = {"bullish": "long", "bearish": "short"}
_OUTSIDE = "outside"
# Beside the score they fill two thirds of 1158 px, with the column of the selection.
_WIDTHS = {
    "Series": 86, "From": 96, "Side": 48, "Score": 84, "Parts": 50, "Age": 40, "R : R": 50, "Pips": 50, "ATR": 44,
    "Entry": 68, "Stop": 68, "Target": 68, "State": 64, "Known, UTC": 124, "Made by": 72,
}  # fmt: skip
_HELP = {
    "Score": "Points of the patterns that speak for it, less a share of those against it: the sum beside.",
    "Parts": "The summands of the score, largest first.",
    "Age": "Bars of its timeframe since the close that made it, up to the last bar scanned.",
    "R : R": "Way to the target over way to the stop, after the spread.",
    "Pips": "From the last close to the entry.",
    "ATR": "The same in average true ranges of the bar that made it.",
    "Entry": "Close of the bar that made it (bid); a trade enters at the next open.",
    "From": "Whose bars it was found in.",
    "State": "live while it may still reach its target, on whatever bars; else what came first: target, stop, or the "
    "last bar it may wait.",
}


def choose_setup(setups: pd.DataFrame, every: Sequence[ScannedSeries]) -> None:
    """Open the setup that was clicked or that the address names, and the series it is of."""
    keys = {each.scan_id: each.key for each in every}
    of_setup = {
        str(number_of): keys.get(int(scan)) for number_of, scan in zip(setups["id"], setups["scan_id"], strict=True)
    }
    before = st.session_state.get(SETUPS.name)
    wanted = before or st.query_params.get(SETUPS.name)
    open_asked(SETUPS, list(of_setup))
    asked = st.session_state.get(SETUPS.name, st.query_params.get(SETUPS.name))
    # One that is gone was replaced by the newest: no reason to leave the series that the address names.
    is_new = asked is not None and asked != before and (wanted is None or wanted in of_setup)
    nothing_chosen = SERIES not in st.session_state and SERIES not in st.query_params
    if (is_new or nothing_chosen) and (of := of_setup.get(asked or next(iter(of_setup), ""))):
        st.session_state[SERIES] = of
        if before is not None:
            st.query_params.pop(AT, None)  # the moment was one of another series


def opened_setup(setups: pd.DataFrame, series: ScannedSeries) -> pd.Series | None:
    """The setup that is open: the chosen one where it is of the series, else the best one of the series."""
    own = setups[setups["scan_id"] == series.scan_id]
    asked = st.session_state.get(SETUPS.name, st.query_params.get(SETUPS.name))
    chosen = own[own["id"].astype(str) == str(asked)]
    opened = (chosen if len(chosen) else own).head(1)
    if opened.empty:
        st.session_state.pop(SETUPS.name, None)
        st.query_params.pop(SETUPS.name, None)
        return None
    name = str(opened["id"].iloc[0])
    st.session_state[SETUPS.name] = name
    if st.query_params.get(SETUPS.name) != name:
        st.query_params[SETUPS.name] = name
    return opened.iloc[0]


def show_setups(setups: pd.DataFrame, every: Sequence[ScannedSeries], opened: pd.Series | None) -> None:
    """The setups that answer to the filters, best first, beside the sum of the open one's score."""
    left, right = columns([11, 5])
    with left, card("Setups", "live ones first, then by score · select one to see it below"):
        if setups.empty:
            st.markdown("No candidate was a setup yet. The view **Why not** says what each fell short of.")
        else:
            _show_table(setups, every, opened)
    with right:
        _show_score(opened)


def filtered(setups: pd.DataFrame) -> pd.DataFrame:
    """Ask for timeframe, side, session, least score and state, all of which live in the address, and keep those."""
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        timeframe = _ask_one("Timeframe", dict.fromkeys(setups["timeframe"]), "tf", 138)
        side = _ask_one("Side", ("long", "short"), "side", 112)
        state = _ask_one("State", ("live", "ended"), "state", 116)
        session = _ask_one("Session", (*(zone.name for zone in KILL_ZONES), _OUTSIDE), "session", 130)
        score = st.number_input(
            "Score from",
            0.0,
            value=None,
            step=0.5,
            key="score",
            placeholder="score",
            width=120,
            bind="query-params",
            label_visibility="collapsed",
        )
    kept = pd.Series(True, index=setups.index)
    if timeframe:
        kept &= setups["timeframe"] == timeframe
    if side:
        kept &= setups["direction"].map(SIDES) == side
    if state:
        kept &= (setups["status"] == "live") == (state == "live")
    if session:
        zones = zone_names(pd.DatetimeIndex(setups["known_at"]))
        kept &= pd.Series(zones, index=setups.index).replace("", _OUTSIDE) == session
    if score is not None:
        kept &= setups["score"] >= score
    return setups[kept]


def _ask_one(label: str, options: Iterable[str], key: str, width: int) -> str | None:
    """One of the values that are offered, or None for any."""
    chosen: str | None = st.selectbox(
        label,
        list(options),
        index=None,
        key=key,
        placeholder=f"any {label.lower()}",
        width=width,
        bind="query-params",
        label_visibility="collapsed",
    )
    return chosen


def _show_table(setups: pd.DataFrame, every: Sequence[ScannedSeries], opened: pd.Series | None) -> None:
    listed = filtered(setups)
    mark_open(SETUPS, [str(number_of) for number_of in listed["id"]], "" if opened is None else str(opened["id"]))
    if listed.empty:
        show_no_match(SETUPS, len(setups))
        return
    table = setups_table(listed, every)
    most = max(float(listed["score"].max()), 1.0)
    show_table(
        table,
        key=SETUPS.table,
        formats={
            "Age": number,
            "R : R": lambda value: number(value, 2),
            "Pips": lambda value: number(value, 1),
            "ATR": lambda value: number(value, 2),
        },
        right=["Entry", "Stop", "Target"],
        widths=_WIDTHS,
        help_texts=_HELP,
        select="one",
        rows=8,
        config={
            "Score": st.column_config.ProgressColumn(
                width=_WIDTHS["Score"],
                format="%.2f",
                min_value=0.0,
                max_value=most,
                color="#2a8f5c",
                help=_HELP["Score"],
            ),
            "Parts": st.column_config.BarChartColumn(width=_WIDTHS["Parts"], color="#4cc3ff", help=_HELP["Parts"]),
        },
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        csv_button("Setups as CSV", lambda: csv_table(listed), "setups.csv", key="scanner.setups.csv")
        if opened is not None:
            _offer_deployment(opened)
        st.caption(f"{number(len(listed))} of {number(len(setups))} setups · known at the close of closed bars, UTC")


def _offer_deployment(opened: pd.Series) -> None:
    """The way to the page Live with its form filled: every setup of this series, not the open one alone."""
    series = f"{opened['symbol']} {opened['timeframe']}"
    if st.button(
        f"Deploy {series} setups…",
        key="scanner.deploy",
        icon=LIVE.icon,
        help="Trades each coming setup of this series on a demo terminal; the form opens first.",
    ):
        query = {"deploy": "setups", "symbol": opened["symbol"], "tf": opened["timeframe"]}
        st.switch_page(LIVE.file, query_params=query)


def setups_table(listed: pd.DataFrame, every: Sequence[ScannedSeries]) -> pd.DataFrame:
    """A row a setup, as a reader compares them."""
    by_scan = {each.scan_id: each for each in every}
    rows = [_row(dict(setup), by_scan.get(setup["scan_id"]), listed) for _, setup in listed.iterrows()]
    return with_from(pd.DataFrame(rows), listed["scan_id"], every)


def csv_table(setups: pd.DataFrame) -> pd.DataFrame:
    """Every setup of a list with all its figures; the sum of its score in words."""
    parts = ["; ".join(_part_words(part) for part in rows) for rows in setups["parts"]]
    why = ["; ".join(short["sentence"] for short in rows) for rows in setups["why_not"]]
    plain = setups.drop(columns=["id", "scan_id", "job_id", "parts", "why_not", "targets", "is_setup"])
    return plain.assign(parts=parts, why_not=why)


def _row(setup: Mapping[str, Any], series: ScannedSeries | None, listed: pd.DataFrame) -> dict[str, Any]:
    about = symbol_of(setup["symbol"])
    age, away = None, float("nan")
    if series is not None:
        age, away = _age_and_distance(setup, series, listed)
    average = setup["atr"]
    return {
        "Series": f"{setup['symbol']} {setup['timeframe']}",
        "Side": SIDES[setup["direction"]],
        "Score": setup["score"],
        "Parts": sorted((part["points"] for part in setup["parts"] if part["points"] > 0), reverse=True),
        "Age": math.nan if age is None else float(age),
        "R : R": setup["risk_reward"],
        "Pips": away / about.pip,
        "ATR": away / average if average else float("nan"),
        **{name: number(setup[name.lower()], about.digits) for name in ("Entry", "Stop", "Target")},
        "State": setup["status"],
        "Known, UTC": stamp(setup["known_at"].to_pydatetime()),
        "Made by": KIND_WORDS.get(setup["trigger"], setup["trigger"]),
    }


def _age_and_distance(
    setup: Mapping[str, Any], series: ScannedSeries, listed: pd.DataFrame
) -> tuple[int | None, float]:
    """Bars since it was known, and from the last close to the entry in price; unknown where its bars are gone."""
    oldest = listed.loc[listed["scan_id"] == series.scan_id, "known_at"].min()
    try:
        closes = recent_closes(series, oldest)
    except SequenceError:
        return None, float("nan")
    if closes.empty:
        return None, float("nan")
    return int((closes.index > setup["known_at"]).sum()), abs(float(closes.iloc[-1]) - setup["entry"])


def _show_score(opened: pd.Series | None) -> None:
    if opened is None:
        with card("Score", "a sum one can read"):
            st.markdown("The chosen series has no setup. Select one in the table.")
        return
    side = SIDES[opened["direction"]]
    with card(f"Score of {opened['symbol']} {opened['timeframe']} {side}", number(opened["score"], 2)):
        show_parts(opened, "scanner.parts")
        known = stamp(opened["known_at"].to_pydatetime())
        st.caption(
            f"A sum one can read · known {known} UTC · confidence {number(opened['confidence'], 2)}",
            help="Points for over the points for, against and the least score. No probability: the view Outcome study "
            "says what such setups were worth.",
        )


def show_parts(setup: Mapping[str, Any] | pd.Series, key: str) -> None:
    """The summands of a score and their sum."""
    parts: list[Any] = list(parts_frame({"parts": setup["parts"]}).itertuples())
    side = SIDES[setup["direction"]]
    digits = symbol_of(setup["symbol"]).digits
    shown = pd.DataFrame(
        {
            "Part": [_part(row.pattern, row.timeframe, side) for row in parts],
            "Adds": [row.points for row in parts],
            "Age": ["now" if pd.isna(row.known_at) else f"{number(row.age_bars)} bars" for row in parts],
            "Level": [math.nan if pd.isna(row.level) else row.level for row in parts],
        }
    )
    total = pd.DataFrame({"Part": ["Sum"], "Adds": [setup["score"]], "Age": [""], "Level": [math.nan]})
    show_table(
        pd.concat([shown, total], ignore_index=True),
        key=key,
        formats={
            "Adds": lambda value: number(value, 2, sign=True),
            "Level": lambda value: number(value, digits),
        },
        signed=["Adds"],
        right=["Age"],
        widths={"Part": 114, "Adds": 56, "Age": 66, "Level": 74},
        help_texts={
            "Adds": "Weight of the kind × factor for each timeframe above × half for each half life of its age.",
            "Age": "In bars of the part's own timeframe.",
        },
        rows=14,
    )


def _part(pattern: str, timeframe: str, side: str) -> str:
    """What adds to a score, in a reader's words: a long in the lower half of the dealing range is a discount."""
    if pattern == DISCOUNT:
        return "discount" if side == "long" else "premium"
    return "kill zone" if pattern == KILL_ZONE else f"{KIND_WORDS.get(pattern, pattern)} {timeframe}"


def _part_words(part: Mapping[str, Any]) -> str:
    return f"{part['points']:+.2f} {part['pattern']} {part['timeframe']}"
