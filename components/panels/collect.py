"""The form of the Data Pipeline page: what to collect, from which source, and how to prepare it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from components.panels.collect_file import ask_file
from components.panels.collect_live import ask_live
from components.panels.collect_zips import ask_zips
from components.panels.defaults import keep_defaults
from components.panels.failure import show_failure
from components.panels.form import UPLOADS, Form
from components.panels.preparation import ask_preprocessing
from components.panels.words import verbatim
from core.errors import InputError, SequenceError
from core.jobs import Job
from data.collecting import refuse_unreachable
from data.config import DataConfig
from data.jobs import collection_arguments, collection_title
from data.sources.base import is_live, source_named
from workbench import JOBS

# As it stands in the form → how the form is asked; the live ones by their own name.
SOURCES = {
    "Sample (embedded)": "Sample",
    "File (CSV, Parquet)": "CSV",
    "Yahoo Finance": "YFinance",
    "HistData": "HistData",
    "HistData zips on disk": "zips",
}


@dataclass(frozen=True)
class Draft:
    """The form as far as it is filled in: `config` is None while something is missing, or is refused.

    `show` draws what was understood of files, where there is any.
    """

    config: DataConfig | None
    show: Callable[[], None] = lambda: None


def ask_draft() -> Draft:
    """Source, symbols, range or file, and preprocessing; what is refused is told below them."""
    source = SOURCES[st.selectbox("Source", list(SOURCES), key="data.source")]
    show: Callable[[], None] = lambda: None  # noqa: E731
    try:
        form = _ask(source)
        show = form.show or show
        if form.asked is None:
            return Draft(None, show)
        config = DataConfig(**form.asked)
        if is_live(config.data_sources[0]):
            refuse_unreachable(config)
    except InputError as error:
        st.markdown(f":yellow[:small[:material/warning: {verbatim(error.what)} {verbatim(error.cure)}]]")
    except SequenceError as error:
        show_failure(error)
    else:
        return Draft(config, show)
    return Draft(None, show)


def submit_collection(config: DataConfig) -> Job:
    """Queue the collection and empty the upload fields."""
    st.session_state[UPLOADS] = st.session_state.get(UPLOADS, 0) + 1
    return JOBS.submit("data", "collect", collection_arguments(config), collection_title(config))


def _ask(source: str) -> Form:
    if source == "Sample":
        return _ask_sample()
    if source == "CSV":
        return ask_file()
    return ask_zips() if source == "zips" else ask_live(source)


def _ask_sample() -> Form:
    source = source_named("Sample")
    offer = source.offer()
    left, right = st.columns(2, gap="xsmall")
    symbol = left.selectbox("Symbol", offer.symbols, key="data.symbol")
    timeframe = right.selectbox("Timeframe", offer.timeframes, key="data.timeframe", format_func=str)
    first, last = offer.first.date(), offer.last.date()
    keep_defaults({"data.range": (first, last)})
    days = st.date_input("Range, UTC", min_value=first, max_value=last, format="YYYY-MM-DD", key="data.range")
    preprocessing = ask_preprocessing({})
    st.caption(offer.attribution)
    if not isinstance(days, tuple) or len(days) != 2:
        st.caption("Choose the last day of the range as well.")
        return Form(None)
    asked: dict[str, Any] = {"data_sources": [source.name], "symbols": [symbol], "timeframe": timeframe}
    return Form({**asked, "start_date": days[0], "end_date": days[1], "preprocessing": preprocessing})
