"""The door of the data floor: collect → preprocess → validate → publish.

from data.pipeline_controller import controller, DataConfig

config = DataConfig(data_sources=['Sample'], symbols=['EURUSD'], start_date='2017-04-19', end_date='2018-02-07')
frame, collection_id = controller.collect_data(config)
processed, preprocessing_id = controller.preprocess(frame, collection_id, config.preprocessing)
result, validation_id = controller.validate(processed, collection_id)
version = controller.publish(processed, collection_id, preprocessing_id, validation_id)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import pandas as pd
import sqlalchemy as sa

from core.clock import utc_text
from core.csv_export import csv_bytes
from core.errors import BarsError, InputError
from core.folders import write_file
from core.jobs import JobStatus
from core.log import get_logger
from core.plain import plain
from core.settings import current_settings, output_folder
from core.store import Store
from data import tables
from data.collecting import collect
from data.config import DataConfig, PreprocessingConfig, preprocessing_config
from data.news import NewsStore
from data.preprocessing import CODE_VERSION, News, apply_prepared, preprocess_frame
from data.validation import validate_frame, worst
from data.versions import (
    Committed,
    DatasetVersion,
    Lineage,
    UsedBy,
    annotate_version,
    delete_version,
    digest,
    find_version,
    hash_of,
    hold_version,
    list_versions,
    pin_version,
    publish_version,
    told_by_settings,
)
from market.bars import RAW_COLUMNS, bars_of, check_bars, symbols_in
from market.timeframes import Timeframe, parse_timeframe

__all__ = ["DataConfig", "DatasetVersion", "PipelineController", "controller"]

LISTED = 20
# How much of a whole preparation is done after each step: most of it is waiting for sources.
_COLLECTED, _PREPROCESSED, _VALIDATED = 0.6, 0.75, 0.9
_NEWS_DELAY = pd.Timedelta(minutes=30)  # GDELT publishes an hour's tone up to so long after its end
Tell = Callable[[str, str, float], None]


class PipelineController:
    """Runs the steps of the pipeline and keeps a row of each in `data_pipeline.db`."""

    def __init__(self) -> None:
        self._store = Store(tables.DATA_PIPELINE)

    def collect_data(self, config: DataConfig) -> tuple[pd.DataFrame, int]:
        """Fetch what `config` asks for: (long frame of raw bars with `symbol` and `source`, collection id).

        What live sources answered before is taken from the bar store; only the rest is asked for. Where one
        source fails and another does not, the collection is PARTIAL and its row says why.

        Raises DataRequestError naming what the source holds, or SourceUnavailableError; then no collection is
        stored, though what a live source did answer is.
        """
        frame, row = _collected(config)
        return frame, self._store.insert(tables.collections, **row)

    def preprocess(
        self,
        frame: pd.DataFrame,
        collection_id: int | None = None,
        settings: PreprocessingConfig | Mapping[str, Any] | None = None,
    ) -> tuple[pd.DataFrame, int]:
        """Add the columns that `settings` ask for: (frame, preprocessing id). Raw columns stay as they are."""
        collection = self._row(tables.collections, collection_id)
        countries = collection["config"]["countries"] if collection else []
        timeframe = parse_timeframe(collection["timeframe"]) if collection else None
        news = _known_news(self._store, countries)
        prepared, row = _preprocessed(_checked(frame), preprocessing_config(settings), news, timeframe)
        known = collection["id"] if collection else None
        return prepared, self._store.insert(tables.preprocessing, collection_id=known, **row)

    def validate(self, frame: pd.DataFrame, collection_id: int | None = None) -> tuple[dict[str, Any], int]:
        """Judge the raw columns by every rule: ({status, rules}, validation id).

        Each rule is {rule, status, value, limit, count, rows}; `rows` are the first 20 cells that broke it
        as {time, symbol, column, value}. The status is the worst of PASS, WARN and FAIL.
        """
        row = _validated(_checked(frame))
        known = self._known(tables.collections, collection_id)
        validation_id = self._store.insert(tables.validation, collection_id=known, **row)
        return {"status": row["status"], "rules": row["rules"]}, validation_id

    def publish(
        self,
        frame: pd.DataFrame,
        collection_id: int | None = None,
        preprocessing_id: int | None = None,
        validation_id: int | None = None,
        *,
        csv: bool = False,
    ) -> DatasetVersion:
        """Store `frame` as an immutable version; with `csv` also as `output_central/<symbol>_dataset.csv`.

        A frame that failed validation is published too, and marked FAIL.
        """
        lineage = Lineage(
            self._row(tables.collections, collection_id),
            self._row(tables.preprocessing, preprocessing_id),
            self._row(tables.validation, validation_id),
        )
        frame = _checked(frame)
        version = publish_version(self._store, frame, lineage)
        if csv:
            for symbol in version.symbols or ["bars"]:
                bars = bars_of(frame, symbol) if version.symbols else frame
                write_file(output_folder() / f"{symbol.lower()}_dataset.csv", csv_bytes(bars))
        get_logger(__name__).info("published a dataset version", version=version.id, hash=version.short_hash)
        return version

    def enter_bars(self, bars: pd.DataFrame, symbol: str, timeframe: str) -> DatasetVersion:
        """The version that holds exactly these bars of one symbol, published now if there is none yet."""
        frame = _checked(bars).assign(symbol=symbol, source="frame")
        content_hash = hash_of(frame)
        known = [version for version in self.versions() if version.content_hash == content_hash]
        return known[0] if known else publish_version(self._store, frame, Lineage(), timeframe)

    def prepare(
        self,
        config: DataConfig,
        tell: Tell = lambda step, words, done: None,
        committed: Committed = lambda connection, version: None,
    ) -> DatasetVersion:
        """All four steps in one go, entered in one transaction with whatever `committed` writes.

        `tell(step, words, done)` hears of each step while it is done; `done` is the fraction of the whole.
        """
        sources = ", ".join(config.data_sources)
        frame, collection = _collected(config, lambda words, part: tell("Collect", words, part * _COLLECTED))
        tell("Collect", f"{len(frame):,} bars of {', '.join(config.symbols)} from {sources}", _COLLECTED)
        timeframe, news = parse_timeframe(collection["timeframe"]), _known_news(self._store, config.countries)
        settings = preprocessing_config(config.preprocessing)
        processed, preprocessing = _preprocessed(_checked(frame), settings, news, timeframe)
        tell("Preprocess", f"{len(processed.columns) - len(frame.columns)} columns added", _PREPROCESSED)
        validation = _validated(_checked(processed))
        passed = sum(rule["status"] == "PASS" for rule in validation["rules"])
        tell("Validate", f"{validation['status']}: {passed} of {len(validation['rules'])} rules pass", _VALIDATED)
        lineage = Lineage(collection, preprocessing, validation)
        version = publish_version(self._store, processed, lineage, committed=committed)
        tell("Version", f"{version.short_hash}, named by its content", 1.0)
        return version

    def get_pipeline_status(self) -> dict[str, list[dict[str, Any]]]:
        """The newest 20 rows of each step, newest first, and what is `running`."""
        steps = {
            "collections": tables.collections,
            "preprocessing": tables.preprocessing,
            "validation": tables.validation,
            "versions": tables.versions,
        }
        newest = {
            name: self._store.rows(sa.select(table).order_by(table.c.id.desc()).limit(LISTED))
            for name, table in steps.items()
        }
        running = sa.select(tables.jobs).where(tables.jobs.c.status == JobStatus.RUNNING)
        return {**newest, "running": self._store.rows(running.order_by(tables.jobs.c.id.desc()))}

    def versions(self, limit: int | None = None) -> list[DatasetVersion]:
        """The dataset versions, newest first."""
        return list_versions(self._store, limit)

    def version(self, reference: int | str | DatasetVersion) -> DatasetVersion:
        """The version of that id, or the newest whose hash begins so; raises UnknownNameError.

        A version given is found as it is stored now, and never another one that took over its id.
        """
        return find_version(self._store, reference)

    def annotate_version(
        self, reference: int | str | DatasetVersion, note: str | None = None, tags: Iterable[str] | None = None
    ) -> DatasetVersion:
        """Write a note (at most 2,000 characters) and tags (at most 10) to a version and return it as stored.

        None leaves what is there, an empty text or list clears it; both are no part of its content. A tag has 1
        to 30 letters, digits, spaces, `-`, `_` or `.`; tags that differ in case only count once. Raises
        InputError naming the value and the cure, or UnknownNameError when there is no such version.
        """
        return annotate_version(self._store, reference, note, tags)

    def pin_version(self, reference: int | str | DatasetVersion, pinned: bool = True) -> DatasetVersion:
        """Pin a version, so that `delete_version` refuses it, or unpin it; the version as stored then.

        Raises UnknownNameError when there is no such version.
        """
        return pin_version(self._store, reference, pinned)

    def delete_version(self, reference: int | str | DatasetVersion, *, used_by: UsedBy) -> None:
        """Remove a version; its files go with the last row that names its content, rows of earlier steps stay.

        `used_by` tells who uses it (`workbench.users_of` does), and is asked while nothing can begin to use it:
        while anybody does, and where it raises, nothing is deleted.

        Raises InputError naming the users, or when it is pinned, or UnknownNameError when there is no such version
        (any more).
        """
        version = delete_version(self._store, reference, used_by)
        get_logger(__name__).info("deleted a dataset version", version=version.id, hash=version.short_hash)

    def hold(self, version: DatasetVersion) -> AbstractContextManager[DatasetVersion]:
        """A context in which `version` cannot be deleted, for storing what was made on it; yields the row to name.

        Raises UnknownNameError when its content is gone. Keep it short: nothing else is published meanwhile.
        """
        return hold_version(self._store, version)

    def collection_of(self, version: DatasetVersion) -> dict[str, Any] | None:
        """The collection row a version names, None when it was published from a frame."""
        return self._row(tables.collections, version.collection_id)

    def validation_of(self, version: DatasetVersion) -> dict[str, Any] | None:
        """The validation row a version names, None when it was published unchecked."""
        return self._row(tables.validation, version.validation_id)

    def preprocessing_of(self, version: DatasetVersion) -> dict[str, Any] | None:
        """The preprocessing row a version names, None when nothing was added."""
        return self._row(tables.preprocessing, version.preprocessing_id)

    def remaking(self, version: DatasetVersion, symbol: str) -> Callable[[pd.DataFrame], pd.DataFrame] | None:
        """How the columns added to `version` come out of other bars of `symbol`; None when none were added.

        What was fitted on the training part stays as it is stored, what was fitted on all rows is fitted anew. Columns
        joined from news are left out: they were known by their own times.
        """
        row = self.preprocessing_of(version)
        return None if row is None else remaking_of(row, symbol)

    def _row(self, table: sa.Table, row_id: int | None) -> dict[str, Any] | None:
        if row_id is None:
            return None
        found = self._store.rows(sa.select(table).where(table.c.id == int(row_id)))
        if not found:
            raise InputError(f"{table.name} has no row {row_id}.", "Pass the id that the step before returned.")
        return found[0]

    def _known(self, table: sa.Table, row_id: int | None) -> int | None:
        row = self._row(table, row_id)
        return None if row is None else int(row["id"])


def remaking_of(row: Mapping[str, Any], symbol: str) -> Callable[[pd.DataFrame], pd.DataFrame] | None:
    """The same from the `settings`, `columns_added` and `fitted` of a preprocessing row, wherever they were kept."""
    if not row["columns_added"]:
        return None
    features = [group for group in row["settings"].get("features", []) if group not in {"news", "lags"}]
    lags = {name: row["settings"][name] for name in ("lags", "lag_columns") if name in row["settings"]}
    if lags and "news" not in row["settings"]["features"]:
        features.append("lags")
    kept = {name: value for name, value in row["settings"].items() if name not in {"features", "lags", "lag_columns"}}
    settings = preprocessing_config({**kept, "features": features, **(lags if "lags" in features else {})})

    def remake(bars: pd.DataFrame) -> pd.DataFrame:
        raw = bars[[name for name in RAW_COLUMNS if name in bars]].assign(symbol=symbol)
        if settings.looks_ahead:
            return preprocess_frame(raw, settings).frame
        return apply_prepared(raw, settings, row["fitted"], columns=row["columns_added"]).frame

    return remake


def _collected(
    config: DataConfig, tell: Callable[[str, float], None] = lambda words, done: None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The frame, and its row of `data_collections` without an id."""
    began = time.perf_counter()
    found = collect(config, tell)
    frame = found.frame
    return frame, {
        "created_at": utc_text(),
        "status": "PARTIAL" if found.problems else "SUCCEEDED",
        "sources": config.data_sources,
        "symbols": config.symbols,
        "timeframe": str(found.timeframe),
        "start_date": utc_text(frame.index.min() if config.start_date is None else config.start),
        "end_date": utc_text(frame.index.max() if config.end_date is None else config.end),
        "config": plain(config.model_dump(mode="python")),
        "rows": len(frame),
        "first_time": utc_text(frame.index.min()),
        "last_time": utc_text(frame.index.max()),
        "attribution": found.attribution,
        "duration_seconds": time.perf_counter() - began,
        "problems": found.problems or None,
        "day_cut": found.day_cut,
    }


def _preprocessed(
    frame: pd.DataFrame, settings: PreprocessingConfig, news: News, timeframe: Timeframe | None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The frame with its columns added, and its row of `data_preprocessing` without an id."""
    began = time.perf_counter()
    prepared = preprocess_frame(frame, settings, news, timeframe)
    return prepared.frame, {
        "created_at": utc_text(),
        "settings": settings.model_dump(),
        "code_version": CODE_VERSION,
        "columns_added": prepared.columns_added,
        "fitted": prepared.fitted,
        "rows": len(frame),
        "warmup_rows": prepared.warmup_rows,
        "looks_ahead": int(prepared.looks_ahead),
        "derived_digest": digest(prepared.frame[told_by_settings(prepared.columns_added)]),
        "duration_seconds": time.perf_counter() - began,
    }


def _known_news(store: Store, countries: Sequence[str]) -> News:
    """What asks the stored news of a symbol's currencies as they were known at some times."""

    def known(closes: pd.DatetimeIndex, symbol: str) -> pd.DataFrame:
        from data.sources.gdelt import currencies_of  # requests and gdeltdoc: no page should pay for them

        tones = [
            NewsStore(store).tone_as_of(closes, currency, countries, delay=_NEWS_DELAY)
            for currency in currencies_of([symbol])
        ]
        return pd.concat(tones, axis=1) if tones else pd.DataFrame(index=closes)

    return known


def _validated(frame: pd.DataFrame) -> dict[str, Any]:
    """The row of `data_validation` without an id."""
    began = time.perf_counter()
    findings = validate_frame(frame, current_settings().data)
    return {
        "created_at": utc_text(),
        "status": str(worst([finding.status for finding in findings])),
        "rows": len(frame),
        "rules": [finding.as_dict() for finding in findings],
        "duration_seconds": time.perf_counter() - began,
    }


def _checked(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` through the door of the bars contract, symbol by symbol; prices may still be missing."""
    symbols = symbols_in(frame) if isinstance(frame, pd.DataFrame) else []
    if len(symbols) < 2:
        return check_bars(frame, allow_missing=True)
    parts = []
    for symbol in symbols:
        try:
            parts.append(check_bars(frame[frame["symbol"] == symbol], allow_missing=True))
        except BarsError as error:
            raise BarsError(f"{symbol}: {error.what}", error.cure) from None
    return pd.concat(parts)


controller = PipelineController()
