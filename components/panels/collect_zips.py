"""HistData's zips in the Collect form: many uploads at once, or a folder on this machine."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from components.numbers import number, size
from components.panels.defaults import keep_defaults
from components.panels.form import UPLOADS, Form
from components.panels.page import card
from components.panels.preparation import ask_preprocessing
from components.panels.table import show_table
from components.panels.words import verbatim
from core.errors import DataRequestError, SequenceError
from core.settings import current_settings
from data.sources.histdata_import import files_in, pairs_of
from data.sources.uploads import keep_upload
from market.timeframes import Timeframe

_UPLOAD, _FOLDER = "Upload", "Folder here"


def ask_zips() -> Form:
    """Zips and what to make of them. Raises DataRequestError for a folder without any, and where none says its pair."""
    keep_defaults({"data.zips.from": _UPLOAD, "data.zips.timeframe": Timeframe.M1})
    place = st.segmented_control("Zips", [_UPLOAD, _FOLDER], required=True, key="data.zips.from")
    files = _uploaded() if place == _UPLOAD else _in_folder()
    timeframe = st.selectbox(
        "Timeframe",
        list(Timeframe),
        key="data.zips.timeframe",
        format_func=str,
        help="The zips hold minutes, which go into the store of bars; the version is made of them at this timeframe.",
    )
    preprocessing = ask_preprocessing({})
    if not files:
        st.caption("Zips as HistData.com gives them, in the format Generic ASCII: M1 bars or ticks.")
        return Form(None)
    pairs, refused = pairs_of(files)
    shown = partial(_show_files, files, pairs, refused)
    if not pairs:
        return Form(None, shown)
    asked: dict[str, Any] = {"data_sources": ["HistData"], "symbols": sorted(set(pairs.values())), "files": files}
    return Form({**asked, "timeframe": timeframe, "preprocessing": preprocessing}, shown)


def _uploaded() -> list[Path]:
    limit = current_settings().data.csv_max_mib
    nth = st.session_state.get(UPLOADS, 0)
    uploads = st.file_uploader(
        f"As many as you like, each at most {limit:g} MiB",
        type=["zip", "csv"],
        accept_multiple_files=True,
        key=f"data.zips.files.{nth}",
    )
    too_large = next((each for each in uploads if each.size > limit * 2**20), None)
    if too_large:
        raise DataRequestError(
            f"{too_large.name} has {size(too_large.size)}, more than the {limit:g} MiB that are read at once.",
            "Take it out, or raise data.csv_max_mib.",
        )
    return [_kept(each) for each in uploads]


def _kept(upload: UploadedFile) -> Path:
    """Where an upload is kept; it is written once, not each time the page is drawn."""
    kept: dict[str, Path] = st.session_state.setdefault("data.zips.kept", {})
    if upload.file_id not in kept or not kept[upload.file_id].exists():
        kept[upload.file_id] = keep_upload(upload.name, upload.getvalue())
    return kept[upload.file_id]


def _in_folder() -> list[Path]:
    key = f"data.zips.folder.{st.session_state.get(UPLOADS, 0)}"
    folder = st.text_input("Folder on the machine that runs Sequence", key=key, placeholder="~/histdata")
    return files_in(folder) if folder else []


def _show_files(files: list[Path], pairs: dict[Path, str], refused: dict[Path, SequenceError]) -> None:
    """Each file with the pair its name says, or why it cannot be used."""
    caption = f"{number(len(pairs))} of {number(len(files))} say their pair · nothing is stored yet"
    with card("Zips", caption):
        table = pd.DataFrame(
            {
                "File": [path.name for path in files],
                "Pair": [pairs.get(path, "–") for path in files],
                "Size": [size(path.stat().st_size) for path in files],
            }
        )
        show_table(table, key="data.zips.table", right=["Size"], widths={"File": 380, "Pair": 90, "Size": 100}, rows=10)
        for error in refused.values():
            st.warning(verbatim(f"{error.what} {error.cure}"))
