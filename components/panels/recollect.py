"""What a stored version was made with, put back into the Collect form."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from components.panels.collect import SOURCES
from components.panels.collect_file import DELIMITERS, FilePreset, keep_preset
from components.panels.collect_live import NEWS
from components.panels.preparation import widget_values
from core.errors import InputError
from data.config import PreprocessingConfig, preprocessing_config
from data.pipeline_controller import controller
from data.preprocessing import CODE_VERSION
from data.sources.base import source_named
from data.versions import DatasetVersion
from market.timeframes import parse_timeframe

_FROM_PYTHON = "Collect it again from Python."
_LIVE = {"yfinance": "YFinance", "histdata": "HistData"}


def load_settings(version: DatasetVersion) -> str:
    """Put what `version` was made with into the form, before it is drawn; a sentence that says so.

    A file has to be uploaded again; what was said of it waits for that. Raises InputError when nothing says
    where the bars came from, or the form cannot hold a value.
    """
    collection, preprocessing = controller.collection_of(version), controller.preprocessing_of(version)
    if collection is None:
        raise InputError(
            f"{version.label} was published from a frame in Python; nothing says where its bars came from.",
            "Publish it again from Python.",
        )
    source = _only([name for name in collection["sources"] if name.upper() != NEWS], "sources", version)
    prepared = _preparation(preprocessing_config(preprocessing["settings"] if preprocessing else None), version)
    if source.lower() == "sample":
        form = _sample_form(collection, _only(collection["symbols"], "symbols", version), version)
        said = f"The form holds the settings of {version.short_hash}."
        st.session_state.update({"data.source": _title("Sample"), **form, **prepared})
    elif source.lower() in {"csv", "parquet"}:
        said = _await_file(collection, _only(collection["symbols"], "symbols", version), prepared, version)
    elif source.lower() in _LIVE:
        form, said = _live_form(collection, version)
        st.session_state.update({"data.source": _title(_LIVE[source.lower()]), **form, **prepared})
    else:
        raise InputError(f"{version.label} was collected from {source}, which the form does not offer.", _FROM_PYTHON)
    if preprocessing and preprocessing["columns_added"] and preprocessing["code_version"] != CODE_VERSION:
        return f"{said} The formulas of the added columns have changed since: collected again it is another version."
    return said


def _sample_form(collection: dict[str, Any], symbol: str, version: DatasetVersion) -> dict[str, Any]:
    offer = source_named("Sample").offer()
    first, last = _days(collection, version)
    return {
        "data.symbol": symbol,
        "data.timeframe": parse_timeframe(collection["timeframe"]),
        # Days beyond what the sample holds were asked for without getting bars.
        "data.range": (max(first, offer.first.date()), min(last, offer.last.date())),
    }


def _live_form(collection: dict[str, Any], version: DatasetVersion) -> tuple[dict[str, Any], str]:
    """Key → value of the form of a live source, and what a reader should know of the differences."""
    config = collection["config"]
    said = f"The form holds the settings of {version.short_hash}."
    if config.get("files"):
        said += (
            " It was made of zips, whose bars are kept: the form asks HistData for the same days, and only for what is "
            "not there."
        )
    elif config["end_date"] is None:
        said += f" Its end was open; the form ends on {collection['end_date'][:10]}, which you may move."
    if config.get("files") or config["end_date"] is None:
        first, last = (pd.Timestamp(collection[name]).date() for name in ("start_date", "end_date"))
    else:
        first, last = _days(collection, version)
    return {
        "data.live.symbols": list(collection["symbols"]),
        "data.live.timeframe": parse_timeframe(collection["timeframe"]),
        "data.live.from": first,
        "data.live.to": last,
        "data.live.news": any(name.upper() == NEWS for name in collection["sources"]),
        "data.live.countries": [each.upper() for each in config["countries"]],
    }, said


def _days(collection: dict[str, Any], version: DatasetVersion) -> tuple[date, date]:
    """First and last day of the range, whose end is stored as the first moment after it."""
    start, end = (pd.Timestamp(collection[name]) for name in ("start_date", "end_date"))
    if start != start.normalize() or end != end.normalize():
        raise InputError(
            f"{version.label} was collected from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC; the form takes "
            "whole days.",
            _FROM_PYTHON,
        )
    return start.date(), (end - pd.Timedelta(days=1)).date()


def _preparation(settings: PreprocessingConfig, version: DatasetVersion) -> dict[str, Any]:
    """Key → value of the form's preprocessing."""
    train_pct = round(100 * settings.train_fraction, 9)
    if train_pct < 10 or train_pct != round(train_pct):
        raise InputError(
            f"{version.label} was fitted on {train_pct:g} % of its rows; the form takes whole per cents from 10 on.",
            _FROM_PYTHON,
        )
    return widget_values(settings)


def _await_file(collection: dict[str, Any], symbol: str, prepared: dict[str, Any], version: DatasetVersion) -> str:
    """Keep what was said of the file until it is uploaded again."""
    config = collection["config"]
    path = Path(_only(config["files"], "files", version))
    shape = {
        "delimiter": next((words for words, sign in DELIMITERS.items() if sign == config["delimiter"]), None),
        "columns": " ".join(f"{name}={place}" for name, place in (config["columns"] or {}).items()),
        "format": config["time_format"],
        "decimal": config["decimal"],
        "zone": config["timezone"],
    }
    known = {name: value for name, value in shape.items() if value}
    keep_preset(FilePreset(version.short_hash, path.name, symbol, known, prepared))
    st.session_state["data.source"] = _title("CSV")
    uploaded = path.parent.parent.name == "uploads"  # where the page keeps a file until it is collected
    said = f"Upload {path.name if uploaded else path} again: the form then holds the settings of {version.short_hash}."
    if config["delimiter"] and "delimiter" not in known:
        said += f" Its delimiter {config['delimiter']!r} is none that the form knows; it is looked for."
    if any(config[name] for name in ("start_date", "end_date", "timeframe", "resolution")):
        said += (
            f" The form reads a whole file at its own timeframe; this version is {collection['timeframe']} from "
            f"{version.first_time[:10]} to {version.last_time[:10]}."
        )
    return said


def _only(values: Sequence[str], what: str, version: DatasetVersion) -> str:
    if len(values) != 1:
        raise InputError(
            f"{version.label} was made of {len(values)} {what} ({', '.join(map(str, values))}); the form takes one.",
            _FROM_PYTHON,
        )
    return str(values[0])


def _title(source: str) -> str:
    return next(words for words, name in SOURCES.items() if name == source)
