"""What a user asks of the pipeline: `DataConfig`, and the preprocessing it names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pandas as pd
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from core.clock import utc_now
from core.errors import DataRequestError, InputError
from core.names import nearest
from core.schema import Checked
from core.settings import current_settings, input_file
from data.features import FEATURES, GROUPS
from data.sources.base import FileRequest, is_live
from data.sources.shape import checked_zone
from market.bars import RAW_COLUMNS, utc_timestamp
from market.symbols import canonical_symbol
from market.timeframes import Timeframe, parse_timeframe


def _train_fraction() -> float:
    return current_settings().data.train_fraction


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, (str, Path)) else value


def _each_once(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _known_group(name: str) -> str:
    if name not in GROUPS:
        meant = nearest(name, GROUPS)
        hint = f" Did you mean {meant!r}?" if meant else ""
        raise ValueError(f"There is no such group of features.{hint} Known: {', '.join(GROUPS)}")
    return name


def _in_order(groups: list[str]) -> list[str]:
    # Equal sets are equal settings, however they were written: settings name the columns of a version.
    return [group for group in GROUPS if group in groups]


def _sorted(bars: list[int]) -> list[int]:
    return sorted(set(bars))


_LAG_KEYS = ("lags", "lag_columns")
_Group = Annotated[str, AfterValidator(_known_group)]
Groups = Annotated[list[_Group], BeforeValidator(_one_or_many), AfterValidator(_in_order)]
Lags = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1), AfterValidator(_sorted)]
Columns = Annotated[list[str], BeforeValidator(_one_or_many), Field(min_length=1), AfterValidator(_each_once)]


class PreprocessingConfig(Checked):
    """Which columns are added to raw bars. What is fitted sees the first `train_fraction` of the rows only.

    `engineer_features` adds the standard columns (`data.features.STANDARD`), `features` those of whole groups
    (`data.features.GROUPS`). The group `lags` repeats each of `lag_columns`, raw columns or features, as it was
    `lags` bars before; `news` joins what the caller of the pipeline brings. `fit_on="all"` fits on every row and,
    like filling backward, looks ahead.
    """

    refusal: ClassVar[type[InputError]] = DataRequestError

    normalize: bool = False
    normalization_method: Literal["zscore", "minmax"] = "zscore"
    engineer_features: bool = False
    fill_missing: Literal["none", "forward", "backward"] = "none"
    train_fraction: float = Field(default_factory=_train_fraction, gt=0, le=1)
    features: Groups = Field(default_factory=list)
    lags: Lags = Field(default_factory=lambda: [1, 2, 5])
    lag_columns: Columns = Field(default_factory=lambda: ["return_1"])
    fit_on: Literal["train", "all"] = "train"

    @model_validator(mode="after")
    def _nothing_in_vain(self) -> PreprocessingConfig:
        for key in _LAG_KEYS:
            if key in self.model_fields_set and "lags" not in self.features:
                raise DataRequestError(
                    f"{key}={getattr(self, key)} is given, but lags are not asked for.", "Add 'lags' to features."
                )
        known = (*RAW_COLUMNS, *FEATURES)
        for column in self.lag_columns:
            # What news will be joined is not known yet.
            if column not in known and "news" not in self.features:
                meant = nearest(column, known)
                hint = f"Did you mean {meant!r}? " if meant else ""
                raise DataRequestError(f"There is no column {column!r} to lag.", f"{hint}Known: {', '.join(known)}.")
        return self

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Keys younger than 1.0 are left out while they say nothing: the settings are part of a version's name."""
        fields = type(self).model_fields
        young = {key: fields[key].get_default(call_default_factory=True) for key in ("features", *_LAG_KEYS, "fit_on")}
        return {key: value for key, value in dump(self).items() if key not in young or value != young[key]}

    @property
    def looks_ahead(self) -> list[str]:
        """The keys by which columns of a bar come to know later bars; empty when none does."""
        ahead = {"fill_missing": self.fill_missing == "backward", "fit_on": self.normalize and self.fit_on == "all"}
        return [key for key, value in ahead.items() if value]


def _timeframe(value: object) -> object:
    return parse_timeframe(value) if isinstance(value, str) else value


def _known_resolution(text: str | None) -> str | None:
    if text is not None:
        parse_timeframe(text)
    return text


def _known_zone(name: str | None) -> str | None:
    return None if name is None else checked_zone(name)


def _found(files: list[Path]) -> list[Path]:
    return [input_file(file) for file in files]


def _checked_preprocessing(settings: dict[str, Any]) -> dict[str, Any]:
    PreprocessingConfig(**settings)
    return settings


def _canonical(names: list[str]) -> list[str]:
    return _each_once([canonical_symbol(name) for name in names])


Names = Annotated[list[str], BeforeValidator(_one_or_many), Field(min_length=1)]
_EARLIEST, _LATEST = pd.Timestamp("1900-01-01", tz="UTC"), pd.Timestamp("2200-01-01", tz="UTC")
Day = str | date | datetime | pd.Timestamp


class DataConfig(Checked):
    """One collection: which sources, symbols and range, at which timeframe, prepared how.

    Dates without a time cover the whole day, the end day included; times without a zone are UTC.
    `resolution` ("daily", "hourly" …) and `timeframe` ("D1", "H1" …) say the same thing; without either
    the source's own is taken. `countries` matters to news sources only. Without `end_date` a live source is asked
    up to the moment of the collection, whenever that is.

    `files` are read by the source CSV: all of them for the one symbol, or one a symbol in the same order; then
    the dates may be left out. Their delimiter, decimal sign, columns, time format and zone are guessed where
    they are not given; `columns` maps fields (time, clock, open …) to positions from 0.

    With the source HistData they are its zips, of any of the symbols in any order, and are read instead of asking
    HistData; without dates the range is theirs.
    """

    model_config: ClassVar[ConfigDict] = {"arbitrary_types_allowed": True}
    refusal: ClassVar[type[InputError]] = DataRequestError

    data_sources: Annotated[Names, AfterValidator(_each_once)]
    symbols: Annotated[Names, AfterValidator(_canonical)]
    start_date: Day | None = None
    end_date: Day | None = None
    countries: Annotated[list[str], BeforeValidator(_one_or_many)] = Field(default_factory=list)
    resolution: Annotated[str | None, AfterValidator(_known_resolution)] = None
    timeframe: Annotated[Timeframe | None, BeforeValidator(_timeframe)] = None
    files: Annotated[list[Path], BeforeValidator(_one_or_many), AfterValidator(_found)] = Field(default_factory=list)
    timezone: Annotated[str | None, AfterValidator(_known_zone)] = None
    delimiter: str | None = None
    decimal: Literal[".", ","] | None = None
    time_format: str | None = None
    columns: dict[str, int] | None = None
    preprocessing: Annotated[dict[str, Any], AfterValidator(_checked_preprocessing), Field(default_factory=dict)]

    @model_validator(mode="after")
    def _consistent(self) -> DataConfig:
        for name in ("start_date", "end_date"):
            if getattr(self, name) is None and not self.files and not (name == "end_date" and self._is_live):
                raise DataRequestError(f"DataConfig needs {name!r}, and it was not given.", "Give it a value.")
        if self.files and len(self.symbols) not in {1, len(self.files)} and not self.reads_histdata_files:
            raise DataRequestError(
                f"{len(self.files)} files cannot be shared among {len(self.symbols)} symbols.",
                "Name one symbol for all of them, or one for each.",
            )
        if self.start >= self.end and not (self.end_date is None and self._is_live):  # begins later than now
            raise DataRequestError(
                f"The range ends before it begins: {self.start_date} to {self.end_date}.", "Swap the two dates."
            )
        if self.resolution and self.timeframe and parse_timeframe(self.resolution) is not self.timeframe:
            raise DataRequestError(
                f"resolution={self.resolution!r} and timeframe={str(self.timeframe)!r} differ.", "Give one of them."
            )
        return self

    @property
    def wanted_timeframe(self) -> Timeframe | None:
        """The timeframe asked for; None leaves it to the source."""
        return self.timeframe or (parse_timeframe(self.resolution) if self.resolution else None)

    @property
    def reads_histdata_files(self) -> bool:
        """Whether `files` are zips of HistData's."""
        return bool(self.files) and any(name.lower() == "histdata" for name in self.data_sources)

    @property
    def _is_live(self) -> bool:
        return not self.files and any(is_live(name) for name in self.data_sources)

    @property
    def start(self) -> pd.Timestamp:
        """The first moment of the range, UTC."""
        return _EARLIEST if self.start_date is None else utc_timestamp(self.start_date, "start_date")

    @property
    def end(self) -> pd.Timestamp:
        """The first moment after the range, UTC; of a live source's without an end the present one."""
        if self.end_date is None:
            return pd.Timestamp(utc_now()) if self._is_live else _LATEST
        end = utc_timestamp(self.end_date, "end_date")
        whole_day = (
            len(self.end_date) <= 10 if isinstance(self.end_date, str) else not isinstance(self.end_date, datetime)
        )
        return end + pd.Timedelta(days=1) if whole_day else end


def up_to_now(config: DataConfig) -> DataConfig:
    """The same collection with an open end, to be made again and again."""
    return DataConfig(**{**config.model_dump(), "end_date": None})


def file_request(config: DataConfig, symbol: str) -> FileRequest:
    """The files of one symbol, with what the user said of their shape."""
    place = config.symbols.index(symbol)
    files = config.files if len(config.symbols) == 1 else config.files[place : place + 1]
    said = {name: getattr(config, name) for name in ("timezone", "delimiter", "decimal", "time_format", "columns")}
    return FileRequest(tuple(files), {name: value for name, value in said.items() if value is not None})


def preprocessing_config(settings: PreprocessingConfig | Mapping[str, Any] | None) -> PreprocessingConfig:
    """The settings as an object; raises DataRequestError naming a wrong key or value."""
    if isinstance(settings, PreprocessingConfig):
        return settings
    return PreprocessingConfig(**(settings or {}))
