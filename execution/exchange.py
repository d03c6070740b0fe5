"""A stored run as one JSON document, and back: whole, exact, and checked before anything is stored.

The document holds the row of the run, its trades column by column and its equity curve, each part with its SHA-256,
so that a changed file is refused naming the part. Numbers are written as Python's `repr` does, which reads back to the
same bits. Where a figure can be missing, `null` says so; JSON has no other numbers than finite ones, so that these are
the texts `"NaN"`, `"Infinity"` and `"-Infinity"`. Digests prove that a file arrived as it was written, not by whom.

Ids are left out: they mean something in one database only. Nothing of a document is executed or taken for a path.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.clock import parse_utc
from core.errors import InputError, NameTakenError, SequenceError, UnknownNameError
from core.folders import keep, settle, staged_folder
from core.names import checked_name, unknown_name
from core.remarks import checked_remarks
from core.settings import current_settings
from core.store import JSON, REAL, TEXT, WHOLE, Store, inserted_id
from core.version import __version__
from data.pipeline_controller import controller
from execution import tables
from execution.costs import check_terms
from execution.ledger import enter_run
from execution.runs import StoredRun, find_run, runs_folder, store_run_ids

FORMAT = "sequence-backtest-run"
FORMAT_VERSION = 1
# What a run names as its dataset where no version with that content is in the workbench; ids begin with 1.
NO_VERSION = 0
_PARTS = ("run", "trades", "equity")
_LEFT_OUT = {"run": {"id", "dataset_version_id"}, "trades": {"id", "backtest_id"}}
_EQUITY = "equity.parquet"
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_UNITS = ("s", "ms", "us", "ns")
_CURE = "Choose a file that was exported as the JSON of a run."


def run_document(store: Store, run: StoredRun) -> bytes:
    """The document of a stored run; the same run gives the same bytes.

    Raises UnknownNameError when the run is gone, InterventionError when its equity curve cannot be read.
    """
    query = tables.runs.select().where(tables.runs.c.run_id == run.run_id, tables.runs.c.id == run.id)
    of_run = tables.trades.select().where(tables.trades.c.backtest_id == run.id).order_by(tables.trades.c.id)
    with store.read() as connection:  # one view of both
        row = connection.execute(query).mappings().first()
        rows = [dict(each) for each in connection.execute(of_run).mappings()] if row else []
    if row is None:
        raise unknown_name("run", run.run_id, store_run_ids(store))
    content = {
        "run": {name: _written(row[name]) for name in _columns("run")},
        "trades": {name: [_written(each[name]) for each in rows] for name in _columns("trades")},
        "equity": _equity_columns(run.equity()),
    }
    digests = _digests(content)
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "written_by": f"Sequence {__version__}",
        **content,
        "digests": digests,
        "digest": _digest(digests),
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode()


def import_document(store: Store, document: bytes | Path, *, as_run_id: str | None = None) -> StoredRun:
    """Store the run of a document, whole or not at all, and return it as stored.

    It keeps its run id unless `as_run_id` gives another; the same content under that name, or under any where none
    is given, is returned as it stands. The dataset need not be in this workbench: the run keeps its hash. Raises
    InputError for anything that is no such document or was changed, NameTakenError naming a free run id.
    """
    row, trades, equity = _checked(_read(document))
    wanted = checked_name(row["run_id"] if as_run_id is None else as_run_id, "run_id")
    with staged_folder(runs_folder()) as staged:
        equity.to_frame("equity").to_parquet(staged / _EQUITY, compression="zstd")
        # In the order of `store_run`: who deletes a dataset holds it and then only reads the runs.
        with _dataset_held(row["dataset_hash"]) as version_id, store.write() as connection:
            names = tables.runs.select().with_only_columns(tables.runs.c.run_id, tables.runs.c.content_digest)
            taken = {str(name): str(content) for name, content in connection.execute(names)}
            folded = {name.casefold() for name in taken}
            same = [name for name, content in taken.items() if content == row["content_digest"]]
            if wanted in same or (as_run_id is None and same):
                name = wanted if wanted in same else same[0]
            elif wanted.casefold() in folded:
                raise NameTakenError(
                    f"run_id={wanted!r} already stands for another run.",
                    f"Import it under another name; {_free_name(wanted, folded)!r} is free.",
                )
            else:
                name = wanted
                entered = {**row, "run_id": name, "dataset_version_id": version_id}
                key = inserted_id(connection, tables.runs, entered)
                if trades:
                    of_run = [{"backtest_id": key, **trade} for trade in trades]
                    connection.execute(tables.trades.insert(), of_run)
                enter_run(connection, key, entered)
                keep(staged, name, set(taken), named_by_content=False)
        settle(runs_folder() / name)
    return find_run(store, name)


def _columns(part: str) -> dict[str, Any]:
    """The columns of a part that a document holds, by name."""
    table = tables.runs if part == "run" else tables.trades
    return {column.name: column for column in table.columns if column.name not in _LEFT_OUT[part]}


def _written(value: Any) -> Any:
    """A value as JSON can hold it."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _equity_columns(equity: pd.Series) -> dict[str, Any]:
    times = pd.DatetimeIndex(equity.index)
    moments = np.datetime_as_string(times.tz_convert("UTC").tz_localize(None).to_numpy(), timezone="UTC")
    return {"unit": times.unit, "time": moments.tolist(), "equity": [_written(value) for value in equity.tolist()]}


def _digests(content: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The digest of each column of each part, by `part.column`."""
    return {f"{part}.{name}": _digest(value) for part in _PARTS for name, value in content[part].items()}


def _digest(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _read(document: bytes | Path) -> dict[str, Any]:
    """The members of a document of this format and version. Raises InputError saying what it is not."""
    limit = current_settings().data.csv_max_mib
    try:
        size = len(document) if isinstance(document, bytes) else document.stat().st_size
        if size > limit * 2**20:
            raise InputError(
                f"The document has {size / 2**20:.1f} MiB; at most {limit:g} MiB are read.",
                "Choose the right file, or raise data.csv_max_mib.",
            )
        content = document if isinstance(document, bytes) else document.read_bytes()
    except OSError as error:
        raise InputError(f"{document!s} cannot be read: {error.strerror or error}.", _CURE) from error
    try:
        members = json.loads(content.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"The file is no JSON document ({_short(error)}).", _CURE) from error
    if not isinstance(members, dict) or members.get("format") != FORMAT:
        raise InputError("The file is JSON, but no exported run.", _CURE)
    version = members.get("format_version")
    if version != FORMAT_VERSION:
        raise InputError(
            f"The document has format version {version!r}; this Sequence reads {FORMAT_VERSION}.",
            "Import it with the Sequence that wrote it, or a newer one.",
        )
    return members


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _checked(members: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]], pd.Series]:
    """Row, trades and equity of a document, of the types that the tables have. Raises InputError."""
    content: dict[str, Any] = {part: members.get(part) for part in _PARTS}
    missing = [part for part, value in content.items() if not isinstance(value, dict)]
    if missing:
        raise InputError(f"The document has no part {', '.join(missing)}.", "It was cut short; export the run again.")
    _refuse_changes(content, members)
    run = _of_columns("run", content["run"])
    row = {name: _value(column, run.get(name), f"run.{name}") for name, column in _columns("run").items()}
    trades = _trade_rows(_of_columns("trades", content["trades"]))
    equity = _equity(content["equity"])
    for name, count in (("trades_count", len(trades)), ("bars", len(equity))):
        if row[name] != count:
            raise InputError(f"The document names {name} {row[name]} and holds {count}.", "Export the run again.")
    _check_meaning(row)
    return row, trades, equity


def _refuse_changes(content: Mapping[str, Any], members: Mapping[str, Any]) -> None:
    given = members.get("digests")
    found = _digests(content)
    if not isinstance(given, dict) or members.get("digest") != _digest(given):
        raise InputError("The document was changed since it was written: its digests are.", "Export the run again.")
    changed = sorted(name for name in {*found, *given} if found.get(name) != given.get(name))
    if changed:
        raise InputError(
            f"The document was changed since it was written: {', '.join(changed[:8])}"
            f"{f' and {len(changed) - 8} more' if len(changed) > 8 else ''}.",
            "Export the run again, and leave the file as it is.",
        )


def _of_columns(part: str, given: dict[str, Any]) -> dict[str, Any]:
    """The columns of a part, each known and none missing that must be there."""
    known = _columns(part)
    unknown = [name for name in given if name not in known]
    if unknown:
        raise InputError(
            f"The document holds {part}.{unknown[0]}, which this Sequence does not know.",
            "Import it with the Sequence that wrote it, or a newer one.",
        )
    absent = [name for name, column in known.items() if name not in given and not column.nullable]
    if absent:
        raise InputError(f"The document has no {part}.{absent[0]}.", "Export the run again.")
    return given


def _value(column: Any, value: Any, where: str) -> Any:
    """A value of a column's type; a number where one is asked may be whole."""
    if value is None and column.nullable:
        return None
    if column.type is REAL:
        return _float(value, where)
    kind: Any = {id(TEXT): str, id(WHOLE): int, id(JSON): (dict, list)}[id(column.type)]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(f"{where} is {_short(value)}, which it cannot be.", "Export the run again.")
    return value


def _float(value: Any, where: str) -> float:
    if isinstance(value, str) and value in _SPECIAL:
        return _SPECIAL[value]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{where} is {_short(value)}, which is no number.", "Export the run again.")
    return float(value)


def _trade_rows(given: dict[str, Any]) -> list[dict[str, Any]]:
    lengths = {len(values) if isinstance(values, list) else -1 for values in given.values()}
    if len(lengths) != 1 or -1 in lengths:
        raise InputError("The columns of the document's trades are not equally long.", "Export the run again.")
    columns = {
        name: [_value(column, value, f"trades.{name}") for value in given.get(name, [None] * max(lengths))]
        for name, column in _columns("trades").items()
    }
    _times([*columns["entry_time"], *columns["exit_time"]], "trades")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _equity(given: dict[str, Any]) -> pd.Series:
    unit, moments, values = (given.get(name) for name in ("unit", "time", "equity"))
    if unit not in _UNITS or not isinstance(moments, list) or not isinstance(values, list):
        raise InputError("The document's equity curve cannot be read.", "Export the run again.")
    if len(moments) != len(values):
        raise InputError("The document's equity curve has not one time a value.", "Export the run again.")
    times = _times(moments, "equity").as_unit(unit).rename("time")
    if not len(times) or not times.is_monotonic_increasing or not times.is_unique:
        raise InputError("The times of the document's equity curve do not increase.", "Export the run again.")
    return pd.Series([_float(value, "equity.equity") for value in values], times, dtype="float64", name="equity")


def _times(texts: list[Any], part: str) -> pd.DatetimeIndex:
    """Times of ISO text. Raises InputError."""
    try:
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("a time is text")
        return pd.DatetimeIndex(pd.to_datetime(texts, utc=True, format="ISO8601"))
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"A time of {part} cannot be read ({_short(error)}).", "Export the run again.") from error


def _check_meaning(row: dict[str, Any]) -> None:
    """Refuse what the types allow but no run has, so that no page meets it. Raises InputError."""
    for name in ("metrics", "lib_metrics", "settings"):
        if not isinstance(row[name], dict):
            raise InputError(f"run.{name} is no table of names and values.", "Export the run again.")
    texts = [*row["notes"], *(row["tags"] or [])]
    if not all(isinstance(text, str) for text in texts):
        raise InputError("The notes or tags of the run are no texts.", "Export the run again.")
    for name, value in row["metrics"].items():
        if value is not None:
            _float(value, f"run.metrics.{name}")
    remarks = {"note": None, "tags": None} | checked_remarks(row["note"], row["tags"])
    row.update(remarks)
    metrics = row["metrics"] | {"profit_factor": row["profit_factor"]}
    ids = {"id": 0, "dataset_version_id": NO_VERSION}
    try:
        run = StoredRun(**{**row, **ids, "metrics": metrics, "tags": row["tags"] or []})
        settings = run.run_settings
        check_terms(settings.cash, 0.0, settings.spread_pips, settings.margin)
        if not isinstance(settings.parameters, dict):
            raise TypeError("the parameters are no table")
        if not (run.currency and run.fill_assumptions):
            raise ValueError("no currency")
        for name in ("created_at", "first_time", "last_time"):
            parse_utc(row[name])
    except SequenceError as error:
        raise InputError(f"The settings of the run cannot be: {error.what}", "Export the run again.") from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"The settings of the run cannot be read ({_short(error)}).", "Export the run again."
        ) from error


@contextmanager
def _dataset_held(content_hash: str) -> Iterator[int]:
    """The id of the version with that content, which cannot be deleted meanwhile; `NO_VERSION` where there is none."""
    version = next((each for each in controller.versions() if each.content_hash == content_hash), None)
    found = NO_VERSION
    with ExitStack() as stack:
        if version is not None:
            with suppress(UnknownNameError):  # deleted since: the run outlives it
                found = stack.enter_context(controller.hold(version)).id
        yield found


def _free_name(wanted: str, folded: set[str]) -> str:
    """`wanted` with the first number that no run carries."""
    number = 2
    while f"{wanted[:56]}_{number}".casefold() in folded:
        number += 1
    return f"{wanted[:56]}_{number}"


def _short(value: object) -> str:
    text = repr(value) if not isinstance(value, Exception) else str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
