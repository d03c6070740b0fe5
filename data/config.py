"""What a user asks of the pipeline: `DataConfig`, and the preprocessing it names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pandas as pd
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from core.errors import DataRequestError, InputError
from core.schema import Checked
from core.settings import current_settings, input_file
from data.sources.base import FileRequest
from data.sources.shape import checked_zone
from market.bars import utc_timestamp
from market.symbols import canonical_symbol
from market.timeframes import Timeframe, parse_timeframe


def _train_fraction() -> float:
    return current_settings().data.train_fraction


class PreprocessingConfig(Checked):
    """Which columns are added to raw bars. What is fitted sees the first `train_fraction` of the rows only."""

    refusal: ClassVar[type[InputError]] = DataRequestError

    normalize: bool = False
    normalization_method: Literal["zscore", "minmax"] = "zscore"
    engineer_features: bool = False
    fill_missing: Literal["none", "forward", "backward"] = "none"
    train_fraction: float = Field(default_factory=_train_fraction, gt=0, le=1)


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


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, (str, Path)) else value


def _each_once(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _canonical(names: list[str]) -> list[str]:
    return _each_once([canonical_symbol(name) for name in names])


Names = Annotated[list[str], BeforeValidator(_one_or_many), Field(min_length=1)]
_EARLIEST, _LATEST = pd.Timestamp("1900-01-01", tz="UTC"), pd.Timestamp("2200-01-01", tz="UTC")
Day = str | date | datetime | pd.Timestamp


class DataConfig(Checked):
    """One collection: which sources, symbols and range, at which timeframe, prepared how.

    Dates without a time cover the whole day, the end day included; times without a zone are UTC.
    `resolution` ("daily", "hourly" …) and `timeframe` ("D1", "H1" …) say the same thing; without either
    the source's own is taken. `countries` matters to news sources only.

    `files` are read by the source CSV: all of them for the one symbol, or one a symbol in the same order; then
    the dates may be left out. Their delimiter, decimal sign, columns, time format and zone are guessed where
    they are not given; `columns` maps fields (time, clock, open …) to positions from 0.
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
            if getattr(self, name) is None and not self.files:
                raise DataRequestError(f"DataConfig needs {name!r}, and it was not given.", "Give it a value.")
        if self.files and len(self.symbols) not in {1, len(self.files)}:
            raise DataRequestError(
                f"{len(self.files)} files cannot be shared among {len(self.symbols)} symbols.",
                "Name one symbol for all of them, or one for each.",
            )
        if self.start >= self.end:
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
    def start(self) -> pd.Timestamp:
        """The first moment of the range, UTC."""
        return _EARLIEST if self.start_date is None else utc_timestamp(self.start_date, "start_date")

    @property
    def end(self) -> pd.Timestamp:
        """The first moment after the range, UTC."""
        if self.end_date is None:
            return _LATEST
        end = utc_timestamp(self.end_date, "end_date")
        whole_day = (
            len(self.end_date) <= 10 if isinstance(self.end_date, str) else not isinstance(self.end_date, datetime)
        )
        return end + pd.Timedelta(days=1) if whole_day else end


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
