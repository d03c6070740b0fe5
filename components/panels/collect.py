"""The form of the Data Pipeline page: what to collect, from the sample or from a file, and how to prepare it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from components.panels.failure import show_failure
from components.panels.page import card
from components.panels.table import show_table
from components.panels.words import verbatim
from core.errors import DataRequestError, SequenceError
from core.settings import current_settings
from data.config import DataConfig
from data.sources.base import source_named
from data.sources.files import preview
from data.sources.shape import FileShape, guess_shape
from data.sources.uploads import keep_upload
from market.symbols import AssetClass, canonical_symbol, symbol_of

_FILLS = {"leave them": "none", "forward": "forward", "backward (looks ahead)": "backward"}
_SOURCES = {"Sample (embedded)": "Sample", "File (CSV, Parquet)": "CSV"}
_DELIMITERS = {"tab": "\t", "semicolon ;": ";", "comma ,": ",", "bar |": "|", "spaces": " "}
_ZONES = ("UTC", "America/New_York+7", "Europe/London", "America/New_York", "Europe/Athens", "Etc/GMT+5", "Asia/Tokyo")
_ENDINGS = ["csv", "txt", "tsv", "prn", "parquet"]


@dataclass(frozen=True)
class Draft:
    """A form as far as it is filled in: `config` is None while something is missing."""

    config: DataConfig | None
    file: Path | None = None
    shape: FileShape | None = None
    refusal: SequenceError | None = None


def ask_draft() -> Draft:
    """Source, range or file, and preprocessing."""
    source = _SOURCES[st.selectbox("Source", list(_SOURCES), key="data.source")]
    return _ask_sample() if source == "Sample" else _ask_file()


def show_draft(draft: Draft) -> None:
    """What was understood of the chosen file, before anything is stored."""
    if draft.file is None:
        return
    with card("Preview", f"{verbatim(draft.file.name)} · nothing is stored yet"):
        if draft.refusal is not None:
            show_failure(draft.refusal)
            return
        if draft.shape is None:
            st.markdown("A Parquet file says itself what it holds; it is checked when it is collected.")
            return
        zone_is_known = draft.shape.timezone is not None
        try:
            lines, bars = preview(draft.file, draft.shape if zone_is_known else replace(draft.shape, timezone="UTC"))
        except SequenceError as error:
            show_failure(error)
            return
        for doubt in draft.shape.doubts:
            st.warning(verbatim(doubt))
        st.caption("As it stands in the file, the position of each column above it")
        raw = pd.DataFrame([line.split(" | ") for line in lines]).rename(columns=str)
        show_table(raw, key="data.preview.raw")
        if not zone_is_known:
            st.warning(
                "The times carry no time zone. Choose the clock of the times on the left, then the bars are shown."
            )
            return
        st.caption(f"As it is understood: {'ticks' if draft.shape.holds_ticks else 'bars'}, times UTC")
        bars.insert(0, "Time, UTC", [f"{moment:%Y-%m-%d %H:%M:%S}" for moment in bars.index])
        figures = dict.fromkeys(bars.columns[1:], "{:g}".format)
        show_table(bars.reset_index(drop=True), key="data.preview.bars", formats=figures, widths={"Time, UTC": 170})


def _ask_sample() -> Draft:
    source = source_named("Sample")
    offer = source.offer()
    left, right = st.columns(2, gap="xsmall")
    symbol = left.selectbox("Symbol", offer.symbols, key="data.symbol")
    timeframe = right.selectbox("Timeframe", offer.timeframes, key="data.timeframe", format_func=str)
    first, last = offer.first.date(), offer.last.date()
    days = st.date_input(
        "Range, UTC", (first, last), min_value=first, max_value=last, format="YYYY-MM-DD", key="data.range"
    )
    preprocessing = _ask_preprocessing()
    st.caption(offer.attribution)
    if not isinstance(days, tuple) or len(days) != 2:
        st.caption("Choose the last day of the range as well.")
        return Draft(None)
    return Draft(
        DataConfig(
            data_sources=[source.name],
            symbols=[symbol],
            start_date=days[0],
            end_date=days[1],
            timeframe=timeframe,
            preprocessing=preprocessing,
        )
    )


def _ask_file() -> Draft:
    limit = current_settings().data.csv_max_mib
    nth = st.session_state.get("data.uploads", 0)
    uploaded = st.file_uploader(f"Bars or ticks, at most {limit:g} MiB", type=_ENDINGS, key=f"data.file.{nth}")
    if uploaded is None:
        st.caption("MetaTrader's exports and any vendor's CSV are understood; each guess can be corrected here.")
        return Draft(None)
    if uploaded.size > limit * 2**20:
        return Draft(None, Path(uploaded.name), refusal=_too_large(uploaded.name, uploaded.size, limit))
    file = keep_upload(uploaded.name, uploaded.getvalue())
    symbol = st.text_input("Symbol", _symbol_in(uploaded.name), key=f"data.symbol.{file.name}", placeholder="EURUSD")
    corrections: dict[str, Any] = {}
    shape = None
    if file.suffix.lower() != ".parquet":
        try:
            corrections, shape = _ask_shape(file)
        except SequenceError as error:
            return Draft(None, file, refusal=error)
    preprocessing = _ask_preprocessing()
    if not symbol:
        st.caption("Name the symbol the file holds.")
        return Draft(None, file, shape)
    if shape is not None and shape.timezone is None:
        st.caption("Choose the clock of the file's times.")
        return Draft(None, file, shape)
    return Draft(
        DataConfig(data_sources=["CSV"], symbols=[symbol], files=[file], preprocessing=preprocessing, **corrections),
        file,
        shape,
    )


def _ask_shape(file: Path) -> tuple[dict[str, Any], FileShape]:
    """Every guess as a widget that starts with the guess; what differs from it is a correction.

    Raises DataRequestError when the file cannot be understood with what was said so far.
    """
    key = f"data.shape.{file.parent.name}"
    delimiter = st.selectbox(
        "Delimiter", ["found", *_DELIMITERS], key=f"{key}.delimiter", help="What stands between two columns."
    )
    said: dict[str, Any] = {} if delimiter == "found" else {"delimiter": _DELIMITERS[delimiter]}
    written = st.text_input(
        "Columns",
        key=f"{key}.columns",
        placeholder="found; or: time=0 open=1 high=2 low=3 close=4",
        help="Which field stands where, counted from 0: time, clock (time of day in a column of its own), open, high, "
        "low, close, volume, spread_points, bid, ask.",
    )
    if written:
        said["columns"] = _columns_said(written)
    guess = guess_shape(file, said)
    time_format = st.text_input(
        "Time format", key=f"{key}.format", placeholder=guess.time_format, help="As in Python: %d.%m.%Y %H:%M"
    )
    decimal = st.selectbox("Decimal sign", [guess.decimal, "," if guess.decimal == "." else "."], key=f"{key}.decimal")
    zones = list(dict.fromkeys([*([guess.timezone] if guess.timezone else []), *_ZONES]))
    zone = st.selectbox(
        "Clock of the times",
        zones,
        index=0 if guess.timezone else None,
        key=f"{key}.zone",
        accept_new_options=True,
        placeholder="choose, or write an IANA name",
        help="America/New_York+7 is the clock of most MetaTrader brokers; Etc/GMT+5 that of HistData.",
    )
    said |= {name: value for name, value in (("time_format", time_format), ("timezone", zone)) if value}
    # A guess with a doubt counts only once it is confirmed: what stands here then is what the reader means.
    if decimal != guess.decimal or (guess.doubts and decimal):
        said["decimal"] = decimal
    return said, guess_shape(file, said)


def _columns_said(text: str) -> dict[str, int]:
    pairs = re.findall(r"([a-z_]+)\s*=\s*(\d+)", text.lower())
    if not pairs:
        raise DataRequestError(f"columns={text!r} names no column.", "Write it as: time=0 open=1 high=2 low=3 close=4")
    return {name: int(place) for name, place in pairs}


def _ask_preprocessing() -> dict[str, Any]:
    features = st.toggle(
        "Engineer features",
        value=True,
        key="data.features",
        help="Adds return_1, sma_10, sma_20, sma_50, volatility_20 and atr_14. Raw columns stay as they are.",
    )
    method = st.segmented_control(
        "Normalise",
        ["none", "zscore", "minmax"],
        default="zscore",
        required=True,
        key="data.normalise",
        help="Adds a scaled copy of each raw column, fitted on the training part only.",
    )
    fill = st.selectbox("Missing prices", list(_FILLS), key="data.fill")
    train_pct = st.number_input(
        "Training part, %",
        10,
        100,
        round(100 * current_settings().data.train_fraction),
        key="data.train_pct",
        help="Fitted figures (means, deviations) see this share of the rows, from the first on.",
    )
    return {
        "normalize": method != "none",
        "normalization_method": "minmax" if method == "minmax" else "zscore",
        "engineer_features": features,
        "fill_missing": _FILLS[fill],
        "train_fraction": train_pct / 100,
    }


def _symbol_in(name: str) -> str:
    """The currency pair a file's name carries, or nothing."""
    for word in re.findall(r"[A-Za-z]{6,7}", name):
        found = canonical_symbol(word)
        if symbol_of(found).asset_class is not AssetClass.OTHER:
            return found
    return ""


def _too_large(name: str, size: int, limit: float) -> DataRequestError:
    return DataRequestError(
        f"{name} has {size / 2**20:.0f} MiB, more than the {limit:g} MiB that are read at once.",
        "Split it by years, or raise data.csv_max_mib.",
    )
