"""Dataset versions: immutable Parquet folders named by what they hold.

The name is the SHA-256 of the content: column names and types, then values. Raw columns hash alike on
any machine. Columns that preprocessing added are identified by its settings and code version instead,
because logarithms and the like differ in their last bits between processors; if somebody changed them
afterwards, their values count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from core.clock import utc_text
from core.errors import InputError, InterventionError, UnknownNameError
from core.folders import is_unsettled, keep, settle, staged_folder, unsettle
from core.names import unknown_name
from core.remarks import answers, checked_remarks
from core.settings import output_folder
from core.store import Store, inserted_id
from data import tables
from market.bars import RAW_COLUMNS, bars_of, symbols_in
from market.timeframes import infer_timeframe

UNCHECKED = "not checked"  # the verdict of a version that was published without validation
_PARQUET = "data.parquet"
_OF_NEWS = "news_"
_USERS_NAMED = 10
_ROWS_READ_TOGETHER = 65_536  # a chart of the last month reads one or two groups of a million bars
_ROWS_HASHED_TOGETHER = 65_536  # so many numbers stay in a processor's cache


@dataclass(frozen=True)
class DatasetVersion:
    """One row of `dataset_versions`; times are those of the first and last bar's open, as UTC text.

    `note` and `tags` are what a person wrote to it afterwards.
    """

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
    note: str | None = None
    tags: list[str] = field(default_factory=list)
    day_cut: str | None = None
    pinned_at: str | None = None

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
                "Reload: the version may just have been deleted. Otherwise collect the data again, or put the folder "
                "back from a backup.",
            ) from error


# Who uses a version, in words such as "run backtest_001"; floors above this one know.
UsedBy = Callable[[DatasetVersion], Sequence[str]]


# What else is written in the transaction that enters a version: the success of the job that made it, say.
Committed = Callable[[sa.Connection, DatasetVersion], None]


@dataclass(frozen=True)
class Lineage:
    """Where a frame came from: the rows of the steps before, each of which may be unknown.

    A row without an id is not entered yet; it will be together with the version.
    """

    collection: dict[str, Any] | None = None
    preprocessing: dict[str, Any] | None = None
    validation: dict[str, Any] | None = None

    def id_of(self, step: str) -> int | None:
        """The id of a step's row."""
        row: dict[str, Any] | None = getattr(self, step)
        return None if row is None else int(row["id"])

    def entered(self, connection: sa.Connection) -> Lineage:
        """The same with every row entered."""
        collection = _entered(connection, tables.collections, self.collection)
        above = {} if collection is None else {"collection_id": collection["id"]}
        return Lineage(
            collection,
            _entered(connection, tables.preprocessing, self.preprocessing, above),
            _entered(connection, tables.validation, self.validation, above),
        )


def datasets_folder() -> Path:
    """The folder that holds a folder per content hash."""
    return output_folder() / "datasets"


def publish_version(
    store: Store,
    frame: pd.DataFrame,
    lineage: Lineage,
    timeframe: str | None = None,
    committed: Committed = lambda connection, version: None,
) -> DatasetVersion:
    """Write `frame` as an immutable version and enter it; equal content is stored once, however often entered.

    Without `timeframe` that of the collection counts, or the usual distance between the bars.

    The folder becomes visible in the same write transaction that enters its row, the rows of `lineage` that have
    none yet, and what `committed` writes: a process killed at any moment leaves either a whole version or debris
    that the next process to publish sweeps away.
    """
    if frame.empty:
        raise InputError("A dataset version needs at least one row; the frame is empty.", "Collect some bars first.")
    parent = datasets_folder()
    with staged_folder(parent) as staged:
        content_hash = write_and_hash(frame, staged / _PARQUET, lineage.preprocessing)
        (staged / "manifest.json").write_text(_manifest(frame, content_hash, lineage), encoding="utf-8")
        size_bytes = sum(file.stat().st_size for file in staged.iterdir())
        try:
            with store.write() as connection:
                recorded = set(connection.execute(sa.select(tables.versions.c.content_hash).distinct()).scalars())
                keep(staged, content_hash, recorded, named_by_content=True)
                row = _row(frame, content_hash, lineage.entered(connection), size_bytes, timeframe)
                version = DatasetVersion(id=inserted_id(connection, tables.versions, row), **row)
                committed(connection, version)
        except BaseException:
            if is_unsettled(parent / content_hash, staged):  # a full disk, say: it should not stay full of this
                store.remove_folder(parent / content_hash, unless=_rows_of(content_hash))
            raise
    settle(parent / content_hash)
    return version


def list_versions(store: Store, limit: int | None = None) -> list[DatasetVersion]:
    """The versions there are, newest first."""
    return [_stored(row) for row in store.rows(_newest_first().limit(limit))]


def find_version(store: Store, reference: int | str | DatasetVersion) -> DatasetVersion:
    """The version of that id, or the newest one whose hash begins so; a version as it is stored now.

    Raises UnknownNameError, offering the nearest.
    """
    if isinstance(reference, DatasetVersion):
        found = store.rows(_newest_first().where(_is(reference)))
        if not found:
            raise _gone(reference)
        return _stored(found[0])
    matches = [
        version
        for version in list_versions(store)
        if version.id == reference or (len(str(reference)) >= 6 and version.content_hash.startswith(str(reference)))
    ]
    if not matches:
        raise unknown_name("dataset version", reference, [version.short_hash for version in list_versions(store, 20)])
    return matches[0]


def filter_versions(
    versions: Sequence[DatasetVersion],
    text: str = "",
    *,
    symbol: str | None = None,
    timeframe: str | None = None,
    verdict: str | None = None,
    tag: str | None = None,
) -> list[DatasetVersion]:
    """The versions that answer to everything asked, in their order; what is empty or None asks nothing.

    `text` is looked for in symbols, timeframe, the beginning of the hash, note and tags; text and tag ignore
    case. `verdict` is PASS, WARN, FAIL or `UNCHECKED`.
    """
    length = max(8, len(text.strip()))  # a whole hash that was pasted is found too
    return [
        version
        for version in versions
        if (symbol is None or symbol in version.symbols)
        and timeframe in {None, version.timeframe}
        and verdict in {None, version.verdict or UNCHECKED}
        and answers(version, text, tag, version.label, version.content_hash[:length])
    ]


def annotate_version(
    store: Store, reference: int | str | DatasetVersion, note: str | None, tags: Iterable[str] | None
) -> DatasetVersion:
    """Write note and tags to a version; None leaves what is there, an empty one clears it. The version as stored then.

    Raises InputError for a note or tags that cannot be kept, UnknownNameError when there is no such version.
    """
    changes = checked_remarks(note, tags)
    version = find_version(store, reference)
    store.update(tables.versions, _is(version), changes)
    return find_version(store, version)


def pin_version(store: Store, reference: int | str | DatasetVersion, pinned: bool) -> DatasetVersion:
    """Pin a version, so that it cannot be deleted, or unpin it; the version as stored then.

    One that is pinned already keeps the moment at which it was. Raises UnknownNameError when there is no such version.
    """
    version = find_version(store, reference)
    moment = sa.func.coalesce(tables.versions.c.pinned_at, utc_text()) if pinned else None
    store.update(tables.versions, _is(version), {"pinned_at": moment})
    return find_version(store, version)


@contextmanager
def hold_version(store: Store, version: DatasetVersion) -> Iterator[DatasetVersion]:
    """Keep the content of `version` from being deleted while something that uses it is stored elsewhere.

    Yields the row to name: its own, or the newest of the same content. The lock is the one under which
    `delete_version` asks who uses a version, so that no user slips in between its question and its answer.

    Raises UnknownNameError when no row names that content (any more).
    """
    query = _newest_first().where(tables.versions.c.content_hash == version.content_hash)
    if not store.rows(query):  # asked before, because to write creates an absent database
        raise _gone(version)
    with store.write() as connection:
        held = [_stored(dict(row)) for row in connection.execute(query).mappings()]
        if not held:
            raise _gone(version)
        yield next((each for each in held if (each.id, each.created_at) == (version.id, version.created_at)), held[0])


def delete_version(store: Store, reference: int | str | DatasetVersion, used_by: UsedBy) -> DatasetVersion:
    """Remove a version that nothing uses and nobody pinned; its folder goes with the last row that names it.

    `used_by` is asked inside the transaction that removes the row: where it raises, nothing is removed. The row
    goes before the folder, so that nobody meets a version without its file. A folder that outlives its row,
    because this process was killed or the disk refused, is swept by the next process that publishes.

    What was removed is returned. Raises InputError naming the users, or when the version is pinned,
    UnknownNameError when there is no such version.
    """
    version = find_version(store, reference)
    named = _rows_of(version.content_hash)
    with store.write() as connection:
        pinned_at = connection.execute(sa.select(tables.versions.c.pinned_at).where(_is(version))).scalar()
        refuse_if_used(replace(version, pinned_at=pinned_at), used_by)  # it may have been pinned since it was found
        if not connection.execute(tables.versions.delete().where(_is(version))).rowcount:
            raise _gone(version)  # another process was faster
        if connection.execute(named).first() is None:
            unsettle(version.folder)
    store.remove_folder(version.folder, unless=named)
    return version


def refuse_if_used(version: DatasetVersion, used_by: UsedBy) -> None:
    """Raise InputError when `version` is pinned, or naming who uses it, if anybody does."""
    if version.pinned_at is not None:
        raise InputError(
            f"{version.label} was pinned on {version.pinned_at[:10]}; it was not deleted.",
            "Unpin it first, or keep it.",
        )
    users = list(used_by(version))
    if users:
        named = ", ".join(users[:_USERS_NAMED])
        more = f" and {len(users) - _USERS_NAMED} more" if len(users) > _USERS_NAMED else ""
        raise InputError(
            f"{version.label} is in use by {named}{more}; it was not deleted.",
            "Delete first what uses it, or keep the version.",
        )


def _rows_of(content_hash: str) -> sa.Select[Any]:
    return sa.select(tables.versions.c.id).where(tables.versions.c.content_hash == content_hash)


def _newest_first() -> sa.Select[Any]:
    return sa.select(tables.versions).order_by(tables.versions.c.id.desc())


def _stored(row: dict[str, Any]) -> DatasetVersion:
    return DatasetVersion(**{**row, "tags": row["tags"] or []})


def _is(version: DatasetVersion) -> sa.ColumnElement[bool]:
    # Not by its id alone: SQLite gives the id of a deleted newest row to the next.
    same = (tables.versions.c[name] == getattr(version, name) for name in ("id", "content_hash", "created_at"))
    return sa.and_(*same)


def _gone(version: DatasetVersion) -> UnknownNameError:
    return UnknownNameError(
        f"The dataset version {version.label} is not there any more.", "Collect it again: equal bars make it anew."
    )


def write_and_hash(frame: pd.DataFrame, file: Path, preprocessing: dict[str, Any] | None = None) -> str:
    """Write `frame` as Parquet; its `hash_of`, which another thread takes meanwhile."""
    # Prices and names repeat, features hardly do: to look for it costs more than writing them.
    repeated = [str(name) for name in frame if name in RAW_COLUMNS or _kind(frame[name]) == "text"]
    with ThreadPoolExecutor(1) as other:
        content_hash = other.submit(hash_of, frame, preprocessing)
        frame.to_parquet(file, compression="zstd", row_group_size=_ROWS_READ_TOGETHER, use_dictionary=repeated)
        return content_hash.result()


def hash_of(frame: pd.DataFrame, preprocessing: dict[str, Any] | None = None) -> str:
    """The SHA-256 that names the content of `frame`; `preprocessing` is the row of the step that added columns."""
    derived = told_by_settings(preprocessing["columns_added"]) if preprocessing else []
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


def told_by_settings(columns: Iterable[str]) -> list[str]:
    """Of added columns those whose values settings and bars tell; what news brought counts by its values."""
    return [name for name in columns if not name.startswith(_OF_NEWS)]


def digest(frame: pd.DataFrame) -> str:
    """SHA-256 over times and values in one fixed byte order; whatever is missing counts alike, −0 counts as 0."""
    total = hashlib.sha256()
    times = pd.DatetimeIndex(frame.index)
    total.update(np.ascontiguousarray(times.as_unit("us").asi8, dtype="<i8").data)
    for name in frame.columns:
        column = frame[name]
        total.update(f"\x00{name}\x00".encode())
        for part in _json_of(column) if _kind(column) == "text" else _numbers_of(column):
            total.update(part)
    return total.hexdigest()


def _numbers_of(column: pd.Series) -> Iterator[bytes]:
    """The numbers of a column as little-endian float64, block by block."""
    for begin in range(0, len(column), _ROWS_HASHED_TOGETHER):
        block = column.iloc[begin : begin + _ROWS_HASHED_TOGETHER]
        values = block.to_numpy(dtype="float64", na_value=np.nan) + 0.0  # a copy, in which −0 is 0
        values[np.isnan(values)] = np.nan
        yield values.astype("<f8", copy=False).tobytes()


def _json_of(column: pd.Series) -> Iterator[bytes]:
    """A column of texts as a JSON list, in blocks: no text, and no missing one, can be taken for two others."""
    begun = "["
    for begin in range(0, len(column), _ROWS_HASHED_TOGETHER):
        codes, texts = pd.factorize(column.iloc[begin : begin + _ROWS_HASHED_TOGETHER].astype("str"))
        cells = [*(json.dumps(text) for text in texts), "NaN"]  # the last one, −1, stands for what is missing
        yield (begun + ", ".join([cells[code] for code in codes.tolist()])).encode()
        begun = ", "
    yield b"]" if len(column) else b"[]"


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
        "day_cut": lineage.collection["day_cut"] if lineage.collection else None,
    }


def _entered(
    connection: sa.Connection, table: sa.Table, row: dict[str, Any] | None, above: dict[str, Any] | None = None
) -> dict[str, Any] | None:
    if row is None or "id" in row:
        return row
    row = {**row, **(above or {})}
    return {"id": inserted_id(connection, table, row), **row}


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
