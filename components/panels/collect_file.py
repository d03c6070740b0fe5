"""A file of the user's own in the Collect form: the upload, each guess as a widget, and the preview."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from components.panels.defaults import keep_defaults
from components.panels.failure import show_failure
from components.panels.form import UPLOADS, Form
from components.panels.page import card
from components.panels.preparation import ask_preprocessing
from components.panels.table import show_table
from components.panels.words import verbatim
from core.errors import DataRequestError, SequenceError
from core.settings import current_settings
from data.sources.files import preview
from data.sources.shape import FileShape, guess_shape
from data.sources.uploads import keep_upload
from market.symbols import AssetClass, canonical_symbol, symbol_of

DELIMITERS = {"tab": "\t", "semicolon ;": ";", "comma ,": ",", "bar |": "|", "spaces": " "}
_ZONES = ("UTC", "America/New_York+7", "Europe/London", "America/New_York", "Europe/Athens", "Etc/GMT+5", "Asia/Tokyo")
_ENDINGS = ["csv", "txt", "tsv", "prn", "parquet"]


@dataclass(frozen=True)
class FilePreset:
    """What a stored version was made with, waiting for its file: `file` is its name, `version` a short hash.

    `shape` holds corrections by the last word of their key, `prepared` the preprocessing by whole keys.
    """

    version: str
    file: str
    symbol: str
    shape: dict[str, Any]
    prepared: dict[str, Any]

    def is_for(self, file: Path) -> bool:
        """Whether that file carries its name, apart from the signs that an upload's name loses."""
        return _plain_name(self.file) == _plain_name(file.name)


def keep_preset(preset: FilePreset) -> None:
    """Empty the upload field; what `preset` holds is filled in once its file is there."""
    nth = st.session_state.get(UPLOADS, 0) + 1
    st.session_state.update({UPLOADS: nth, f"data.preset.{nth}": preset})


def ask_file() -> Form:
    """A file, what it holds and how it is written."""
    limit = current_settings().data.csv_max_mib
    nth = st.session_state.get(UPLOADS, 0)
    preset: FilePreset | None = st.session_state.get(f"data.preset.{nth}")
    uploaded = st.file_uploader(f"Bars or ticks, at most {limit:g} MiB", type=_ENDINGS, key=f"data.file.{nth}")
    if uploaded is None:
        if preset is not None:
            st.caption(verbatim(f"Upload {preset.file}: it is then read as for {preset.version}."))
        st.caption("MetaTrader's exports and any vendor's CSV are understood; each guess can be corrected here.")
        return Form(None)
    if uploaded.size > limit * 2**20:
        refusal = _too_large(uploaded.name, uploaded.size, limit)
        return Form(None, partial(_show_preview, Path(uploaded.name), None, refusal))
    file = keep_upload(uploaded.name, uploaded.getvalue())
    if preset is not None and not preset.is_for(file):
        st.caption(verbatim(f"The settings of {preset.version} are for {preset.file}; this file is read afresh."))
        preset = None
    keep_defaults({f"data.symbol.{file.name}": preset.symbol if preset else _symbol_in(uploaded.name)})
    symbol = st.text_input("Symbol", key=f"data.symbol.{file.name}", placeholder="EURUSD")
    corrections: dict[str, Any] = {}
    shape = None
    if file.suffix.lower() != ".parquet":
        try:
            corrections, shape = _ask_shape(file, preset.shape if preset else {})
        except SequenceError as error:
            return Form(None, partial(_show_preview, file, None, error))
    shown = partial(_show_preview, file, shape)
    preprocessing = ask_preprocessing(preset.prepared if preset else {})
    if not symbol:
        st.caption("Name the symbol the file holds.")
        return Form(None, shown)
    if shape is not None and shape.timezone is None:
        st.caption("Choose the clock of the file's times.")
        return Form(None, shown)
    asked = {"data_sources": ["CSV"], "symbols": [symbol], "files": [file], "preprocessing": preprocessing}
    return Form(asked | corrections, shown)


def _show_preview(file: Path, shape: FileShape | None, refusal: SequenceError | None = None) -> None:
    """What was understood of the chosen file, before anything is stored."""
    with card("Preview", f"{verbatim(file.name)} · nothing is stored yet"):
        if refusal is not None:
            show_failure(refusal)
            return
        if shape is None:
            st.markdown("A Parquet file says itself what it holds; it is checked when it is collected.")
            return
        zone_is_known = shape.timezone is not None
        try:
            lines, bars = preview(file, shape if zone_is_known else replace(shape, timezone="UTC"))
        except SequenceError as error:
            show_failure(error)
            return
        for doubt in shape.doubts:
            st.warning(verbatim(doubt))
        st.caption("As it stands in the file, the position of each column above it")
        raw = pd.DataFrame([line.split(" | ") for line in lines]).rename(columns=str)
        show_table(raw, key="data.preview.raw")
        if not zone_is_known:
            st.warning(
                "The times carry no time zone. Choose the clock of the times on the left, then the bars are shown."
            )
            return
        st.caption(f"As it is understood: {'ticks' if shape.holds_ticks else 'bars'}, times UTC")
        bars.insert(0, "Time, UTC", [f"{moment:%Y-%m-%d %H:%M:%S}" for moment in bars.index])
        figures = dict.fromkeys(bars.columns[1:], "{:g}".format)
        show_table(bars.reset_index(drop=True), key="data.preview.bars", formats=figures, widths={"Time, UTC": 170})


def _ask_shape(file: Path, before: Mapping[str, Any]) -> tuple[dict[str, Any], FileShape]:
    """Every guess as a widget that starts with the guess; what differs from it is a correction.

    `before` are corrections to start with instead. Raises DataRequestError when the file cannot be understood
    with what was said so far.
    """
    key = f"data.shape.{file.parent.name}"
    for name, value in before.items():
        keep_defaults({f"{key}.{name}": value})
    delimiter = st.selectbox(
        "Delimiter", ["found", *DELIMITERS], key=f"{key}.delimiter", help="What stands between two columns."
    )
    said: dict[str, Any] = {} if delimiter == "found" else {"delimiter": DELIMITERS[delimiter]}
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
    zones = list(dict.fromkeys(filter(None, [guess.timezone, *_ZONES, before.get("zone")])))
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


def _symbol_in(name: str) -> str:
    """The currency pair a file's name carries, or nothing."""
    for word in re.findall(r"[A-Za-z]{6,7}", name):
        found = canonical_symbol(word)
        if symbol_of(found).asset_class is not AssetClass.OTHER:
            return found
    return ""


def _plain_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name)


def _too_large(name: str, size: int, limit: float) -> DataRequestError:
    return DataRequestError(
        f"{name} has {size / 2**20:.0f} MiB, more than the {limit:g} MiB that are read at once.",
        "Split it by years, or raise data.csv_max_mib.",
    )
