"""Dataset versions: immutable Parquet folders named by what they hold.

The name is the SHA-256 of the content: column names and types, then values. Raw columns hash alike on
any machine. Columns that preprocessing added are identified by its settings and code version instead,
because logarithms and the like differ in their last bits between processors; if somebody changed them
afterwards, their values count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from core.clock import utc_text
from core.errors import InputError, InterventionError
from core.folders import keep, settle, staged_folder
from core.names import unknown_name
from core.settings import output_folder
from core.store import Store, inserted_id
from data import tables
from market.bars import bars_of, symbols_in
from market.timeframes import infer_timeframe

_PARQUET = "data.parquet"
_ROWS_READ_TOGETHER = 65_536  # a chart of the last month reads one or two groups of a million bars


@dataclass(frozen=True)
class DatasetVersion:
    """One row of `dataset_versions`; times are those of the first and last bar's open, as UTC text."""

    id: int
    content_hash: str
    created_at: str
    symbols: list[str]
    timeframe: str
    rows: int
    columns: list[str]
    first_time: str
    last_time: str
    collection_id: int | None
    preprocessing_id: int | None
    validation_id: int | None
    verdict: str | None
    looks_ahead: int
    attribution: str
    size_bytes: int

    @property
    def short_hash(self) -> str:
        """The first eight characters, enough to tell versions apart by eye."""
        return self.content_hash[:8]

    @property
    def label(self) -> str:
        """`EURUSD H1 · a41f9c2e`."""
        return f"{', '.join(self.symbols)} {self.timeframe} · {self.short_hash}"

    @property
    def folder(self) -> Path:
        """Where its Parquet file lies."""
        return datasets_folder() / self.content_hash

    @property
    def parquet_file(self) -> Path:
        """The file itself, for readers that want to stream it."""
        return self.folder / _PARQUET

    def frame(self) -> pd.DataFrame:
        """Everything in it, long when it holds several symbols. Raises InterventionError when the file is gone."""
        return self._read(None, None)

    def bars(
        self, symbol: str | None = None, *, since: pd.Timestamp | None = None, columns: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """The bars of one symbol, from `since` on; without a name those of the only one.

        `columns` reads no others. A version published without a column `symbol` holds the bars of one, whatever
        it is called. Raises BarsError or InputError.
        """
        if not self.symbols:
            return self._read(since, columns)
        if symbol is None and len(self.symbols) > 1:
            raise InputError(f"{self.label} holds several symbols.", f"Name one of {', '.join(self.symbols)}.")
        wanted = None if columns is None else [*dict.fromkeys((*columns, "symbol"))]
        return bars_of(self._read(since, wanted), symbol or self.symbols[0])

    def _read(self, since: pd.Timestamp | None, columns: Sequence[str] | None) -> pd.DataFrame:
        filters = None if since is None else [("time", ">=", since)]
        known = None if columns is None else [name for name in columns if name in self.columns]
        try:
            return pd.read_parquet(self.parquet_file, columns=known, filters=filters)
        except (OSError, ValueError) as error:
            raise InterventionError(
                f"The file of dataset version {self.short_hash} cannot be read: {self.parquet_file} ({error}).",
                "Collect the data again, or put the folder back from a backup.",
            ) from error


@dataclass(frozen=True)
class Lineage:
    """Where a frame came from: the rows of the steps before, each of which may be unknown."""

    collection: dict[str, Any] | None = None
    preprocessing: dict[str, Any] | None = None
    validation: dict[str, Any] | None = None

    def id_of(self, step: str) -> int | None:
        """The id of a step's row."""
        row: dict[str, Any] | None = getattr(self, step)
        return None if row is None else int(row["id"])


def datasets_folder() -> Path:
    """The folder that holds a folder per content hash."""
    return output_folder() / "datasets"


def publish_version(
    store: Store, frame: pd.DataFrame, lineage: Lineage, timeframe: str | None = None
) -> DatasetVersion:
    """Write `frame` as an immutable version and enter it; equal content is stored once, however often entered.

    Without `timeframe` that of the collection counts, or the usual distance between the bars.

    The folder becomes visible in the same write transaction that enters its row: a process killed at any
    moment leaves either a whole version or debris that the next process to publish sweeps away.
    """
    if frame.empty:
        raise InputError("A dataset version needs at least one row; the frame is empty.", "Collect some bars first.")
    content_hash = hash_of(frame, lineage.preprocessing)
    parent = datasets_folder()
    with staged_folder(parent) as staged:
        frame.to_parquet(staged / _PARQUET, compression="zstd", row_group_size=_ROWS_READ_TOGETHER)
        (staged / "manifest.json").write_text(_manifest(frame, content_hash, lineage), encoding="utf-8")
        size_bytes = sum(file.stat().st_size for file in staged.iterdir())
        with store.write() as connection:
            recorded = set(connection.execute(sa.select(tables.versions.c.content_hash).distinct()).scalars())
            keep(staged, content_hash, recorded, named_by_content=True)
            row = _row(frame, content_hash, lineage, size_bytes, timeframe)
            version_id = inserted_id(connection, tables.versions, row)
    settle(parent / content_hash)
    return DatasetVersion(id=version_id, **row)


def list_versions(store: Store, limit: int | None = None) -> list[DatasetVersion]:
    """The versions there are, newest first."""
    query = sa.select(tables.versions).order_by(tables.versions.c.id.desc()).limit(limit)
    return [DatasetVersion(**row) for row in store.rows(query)]


def find_version(store: Store, reference: int | str) -> DatasetVersion:
    """The version of that id, or the newest one whose hash begins so. Raises UnknownNameError."""
    matches = [
        version
        for version in list_versions(store)
        if version.id == reference or (len(str(reference)) >= 6 and version.content_hash.startswith(str(reference)))
    ]
    if not matches:
        raise unknown_name("dataset version", reference, [version.short_hash for version in list_versions(store, 20)])
    return matches[0]


def hash_of(frame: pd.DataFrame, preprocessing: dict[str, Any] | None = None) -> str:
    """The SHA-256 that names the content of `frame`; `preprocessing` is the row of the step that added columns."""
    derived = list(preprocessing["columns_added"]) if preprocessing else []
    present = [name for name in derived if name in frame]
    untouched = preprocessing is not None and digest(frame[present]) == preprocessing["derived_digest"]
    by_value = frame.drop(columns=present) if untouched else frame
    identity = {
        "columns": [[name, _kind(frame[name])] for name in frame.columns],
        "rows": len(frame),
        "derived": (
            {"settings": preprocessing["settings"], "code_version": preprocessing["code_version"], "names": present}
            if untouched and preprocessing
            else None
        ),
    }
    return hashlib.sha256((json.dumps(identity, sort_keys=True) + digest(by_value)).encode()).hexdigest()


def digest(frame: pd.DataFrame) -> str:
    """SHA-256 over times and values in one fixed byte order; whatever is missing counts alike, −0 counts as 0."""
    total = hashlib.sha256()
    times = pd.DatetimeIndex(frame.index)
    total.update(times.as_unit("us").asi8.astype("<i8").tobytes())
    for name in frame.columns:
        column = frame[name]
        total.update(f"\x00{name}\x00".encode())
        if _kind(column) == "text":
            # As JSON: no text, and no missing one, can be taken for two others.
            total.update(json.dumps(column.astype("str").tolist()).encode())
            continue
        values = column.to_numpy(dtype="float64", copy=True, na_value=np.nan) + 0.0
        values[np.isnan(values)] = np.nan
        total.update(values.astype("<f8").tobytes())
    return total.hexdigest()


def _kind(column: pd.Series) -> str:
    return "number" if pd.api.types.is_numeric_dtype(column.dtype) else "text"


def _row(
    frame: pd.DataFrame, content_hash: str, lineage: Lineage, size_bytes: int, timeframe: str | None
) -> dict[str, Any]:
    times = pd.DatetimeIndex(frame.index)
    symbols = symbols_in(frame)
    first = bars_of(frame, symbols[0]) if symbols else frame
    timeframe = (
        lineage.collection["timeframe"] if lineage.collection else infer_timeframe(pd.DatetimeIndex(first.index))
    )
    return {
        "content_hash": content_hash,
        "created_at": utc_text(),
        "symbols": symbols,
        "timeframe": str(timeframe or infer_timeframe(pd.DatetimeIndex(first.index))),
        "rows": len(frame),
        "columns": [str(name) for name in frame.columns],
        "first_time": utc_text(times.min()),
        "last_time": utc_text(times.max()),
        "collection_id": lineage.id_of("collection"),
        "preprocessing_id": lineage.id_of("preprocessing"),
        "validation_id": lineage.id_of("validation"),
        "verdict": lineage.validation["status"] if lineage.validation else None,
        "looks_ahead": int(lineage.preprocessing["looks_ahead"]) if lineage.preprocessing else 0,
        "attribution": lineage.collection["attribution"] if lineage.collection else "",
        "size_bytes": size_bytes,
    }


def _manifest(frame: pd.DataFrame, content_hash: str, lineage: Lineage) -> str:
    """What someone who finds the folder alone should know of it."""
    content = {
        "content_hash": content_hash,
        "columns": {str(name): _kind(frame[name]) for name in frame.columns},
        "rows": len(frame),
        "collection": lineage.collection,
        "preprocessing": lineage.preprocessing,
    }
    return json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True)
