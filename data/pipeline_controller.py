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
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import pandas as pd
import sqlalchemy as sa

from core.clock import utc_text
from core.csv_export import csv_bytes
from core.errors import BarsError, InputError
from core.folders import write_file
from core.log import get_logger
from core.plain import plain
from core.settings import current_settings, output_folder
from core.store import Store
from data import tables
from data.config import DataConfig, PreprocessingConfig, file_request, preprocessing_config
from data.preprocessing import CODE_VERSION, preprocess_frame
from data.sources.base import source_named
from data.validation import validate_frame, worst
from data.versions import DatasetVersion, Lineage, digest, find_version, hash_of, list_versions, publish_version
from market.bars import bars_of, check_bars, symbols_in

__all__ = ["DataConfig", "DatasetVersion", "PipelineController", "controller"]

LISTED = 20


class PipelineController:
    """Runs the steps of the pipeline and keeps a row of each in `data_pipeline.db`."""

    def __init__(self) -> None:
        self._store = Store(tables.DATA_PIPELINE)

    def collect_data(self, config: DataConfig) -> tuple[pd.DataFrame, int]:
        """Fetch what `config` asks for: (long frame of raw bars with `symbol` and `source`, collection id).

        Raises DataRequestError naming what the source holds; then nothing is stored.
        """
        began = time.perf_counter()
        parts: list[pd.DataFrame] = []
        attributions: list[str] = []
        for name, symbol in product(config.data_sources, config.symbols):
            source = source_named(name, file_request(config, symbol))
            offer = source.offer()
            timeframe = config.wanted_timeframe or offer.timeframes[0]
            attributions.append(offer.attribution)
            bars = source.fetch(symbol, timeframe, config.start, config.end)
            parts.append(bars.assign(symbol=symbol, source=source.name))
        frame = pd.concat(parts)
        collection_id = self._enter(
            tables.collections,
            status="SUCCEEDED",
            sources=config.data_sources,
            symbols=config.symbols,
            timeframe=str(timeframe),
            start_date=utc_text(frame.index.min() if config.start_date is None else config.start),
            end_date=utc_text(frame.index.max() if config.end_date is None else config.end),
            config=plain(config.model_dump(mode="python")),
            rows=len(frame),
            first_time=utc_text(frame.index.min()),
            last_time=utc_text(frame.index.max()),
            attribution="; ".join(dict.fromkeys(filter(None, attributions))),
            duration_seconds=time.perf_counter() - began,
        )
        return frame, collection_id

    def preprocess(
        self,
        frame: pd.DataFrame,
        collection_id: int | None = None,
        settings: PreprocessingConfig | Mapping[str, Any] | None = None,
    ) -> tuple[pd.DataFrame, int]:
        """Add the columns that `settings` ask for: (frame, preprocessing id). Raw columns stay as they are."""
        began = time.perf_counter()
        frame, chosen = _checked(frame), preprocessing_config(settings)
        prepared = preprocess_frame(frame, chosen)
        preprocessing_id = self._enter(
            tables.preprocessing,
            collection_id=self._known(tables.collections, collection_id),
            settings=chosen.model_dump(),
            code_version=CODE_VERSION,
            columns_added=prepared.columns_added,
            fitted=prepared.fitted,
            rows=len(frame),
            warmup_rows=prepared.warmup_rows,
            looks_ahead=int(prepared.looks_ahead),
            derived_digest=digest(prepared.frame[prepared.columns_added]),
            duration_seconds=time.perf_counter() - began,
        )
        return prepared.frame, preprocessing_id

    def validate(self, frame: pd.DataFrame, collection_id: int | None = None) -> tuple[dict[str, Any], int]:
        """Judge the raw columns by the five rules: ({status, rules}, validation id).

        Each rule is {rule, status, value, limit, count, rows}; `rows` are the first 20 cells that broke it
        as {time, symbol, column, value}. The status is the worst of PASS, WARN and FAIL.
        """
        began = time.perf_counter()
        frame = _checked(frame)
        findings = validate_frame(frame, current_settings().data)
        rules = [finding.as_dict() for finding in findings]
        status = str(worst([finding.status for finding in findings]))
        validation_id = self._enter(
            tables.validation,
            collection_id=self._known(tables.collections, collection_id),
            status=status,
            rows=len(frame),
            rules=rules,
            duration_seconds=time.perf_counter() - began,
        )
        return {"status": status, "rules": rules}, validation_id

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
        self, config: DataConfig, tell: Callable[[str, str], None] = lambda step, words: None
    ) -> DatasetVersion:
        """All four steps in one go; `tell(step, words)` hears of each as it is done."""
        frame, collection_id = self.collect_data(config)
        tell("Collect", f"{len(frame):,} bars of {', '.join(config.symbols)} from {', '.join(config.data_sources)}")
        processed, preprocessing_id = self.preprocess(frame, collection_id, config.preprocessing)
        tell("Preprocess", f"{len(processed.columns) - len(frame.columns)} columns added")
        result, validation_id = self.validate(processed, collection_id)
        passed = sum(rule["status"] == "PASS" for rule in result["rules"])
        tell("Validate", f"{result['status']}: {passed} of {len(result['rules'])} rules pass")
        version = self.publish(processed, collection_id, preprocessing_id, validation_id)
        tell("Version", f"{version.short_hash}, named by its content")
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
        # Steps run inside the call that asked for them; nothing runs on its own until jobs exist.
        return {**newest, "running": []}

    def versions(self, limit: int | None = None) -> list[DatasetVersion]:
        """The dataset versions, newest first."""
        return list_versions(self._store, limit)

    def version(self, reference: int | str) -> DatasetVersion:
        """The version of that id, or the newest whose hash begins so; raises UnknownNameError."""
        return find_version(self._store, reference)

    def validation_of(self, version: DatasetVersion) -> dict[str, Any] | None:
        """The validation row a version names, None when it was published unchecked."""
        return self._row(tables.validation, version.validation_id)

    def preprocessing_of(self, version: DatasetVersion) -> dict[str, Any] | None:
        """The preprocessing row a version names, None when nothing was added."""
        return self._row(tables.preprocessing, version.preprocessing_id)

    def _enter(self, table: sa.Table, **values: Any) -> int:
        return self._store.insert(table, created_at=utc_text(), **values)

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
