from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core.errors import DataRequestError, InputError
from data.pipeline_controller import DataConfig, controller
from data.sources.base import source_names

WHOLE = {
    "data_sources": ["Sample"],
    "symbols": ["EURUSD"],
    "start_date": "2017-04-19",
    "end_date": "2018-02-07",
}

IMPORT_THE_DOOR = """
import sys
from data.pipeline_controller import controller, DataConfig
DataConfig(data_sources=["Sample"], symbols=["EURUSD"], start_date="2017-04-19", end_date="2018-02-07")
print(sorted({name.split(".")[0] for name in sys.modules} & {"torch", "sklearn", "numba", "backtesting", "bokeh"}))
"""
COLLECT = """
import sys
from data.pipeline_controller import controller, DataConfig
controller.collect_data(
    DataConfig(data_sources=["Sample"], symbols=["EURUSD"], start_date="2017-04-19", end_date="2018-02-07")
)
print("backtesting" in sys.modules)
"""


def asked(**changes: Any) -> DataConfig:
    return DataConfig(**{**WHOLE, **changes})


def test_the_printed_snippet_runs_from_collecting_to_the_status() -> None:
    config = DataConfig(
        data_sources=["Sample"],
        symbols=["EURUSD"],
        countries=["US", "EU"],
        start_date="2017-04-19",
        end_date="2018-02-07",
        preprocessing={"normalize": True, "normalization_method": "zscore", "engineer_features": True},
    )
    data, collection_id = controller.collect_data(config)
    processed, prep_id = controller.preprocess(data, collection_id, config.preprocessing)
    validation_result, val_id = controller.validate(processed, collection_id)
    version = controller.publish(processed, collection_id, prep_id, val_id)
    status = controller.get_pipeline_status()
    assert validation_result["status"] == "PASS"
    assert (version.collection_id, version.preprocessing_id, version.validation_id) == (collection_id, prep_id, val_id)
    assert [len(status[step]) for step in ("collections", "preprocessing", "validation", "versions")] == [1, 1, 1, 1]


def test_the_sample_holds_five_thousand_hours(sample_config: DataConfig) -> None:
    bars, _ = controller.collect_data(sample_config)
    assert len(bars) == 5000
    assert bars.index[0] == pd.Timestamp("2017-04-19 09:00", tz="UTC")
    assert bars.index[-1] == pd.Timestamp("2018-02-07 15:00", tz="UTC")
    assert list(bars.columns) == ["open", "high", "low", "close", "volume", "symbol", "source"]
    assert set(bars["symbol"]) == {"EURUSD"}
    assert set(bars["source"]) == {"Sample"}


def test_what_was_collected_is_entered_with_what_was_asked(sample_config: DataConfig) -> None:
    _, collection_id = controller.collect_data(sample_config)
    (row,) = controller.get_pipeline_status()["collections"]
    assert row["id"] == collection_id
    assert (row["status"], row["rows"], row["timeframe"]) == ("SUCCEEDED", 5000, "H1")
    assert (row["first_time"], row["last_time"]) == ("2017-04-19T09:00:00.000Z", "2018-02-07T15:00:00.000Z")
    assert row["config"]["resolution"] == "hourly"
    assert "backtesting.py" in row["attribution"]
    assert "AGPL" in row["attribution"]


@pytest.mark.parametrize("words", [{"resolution": "daily"}, {"timeframe": "D1"}, {"timeframe": "1d"}])
def test_daily_bars_begin_at_seventeen_hours_new_york(words: dict[str, str]) -> None:
    bars, _ = controller.collect_data(asked(**words))
    assert {stamp.hour for stamp in bars.index.tz_convert("America/New_York")} == {17}
    assert len(bars) == 207
    assert controller.get_pipeline_status()["collections"][0]["timeframe"] == "D1"


def test_a_daily_bar_joins_the_hours_of_its_trading_day(sample: pd.DataFrame) -> None:
    bars, _ = controller.collect_data(asked(resolution="daily"))
    # Tuesday 25 April 2017 of New York, whose summer days end at 21:00 UTC.
    hours = sample["2017-04-24 21:00":"2017-04-25 20:59"]
    day = bars.loc[pd.Timestamp("2017-04-24 21:00", tz="UTC")]
    assert day["open"] == hours["open"].iloc[0]
    assert day["high"] == hours["high"].max()
    assert day["low"] == hours["low"].min()
    assert day["close"] == hours["close"].iloc[-1]
    assert day["volume"] == hours["volume"].sum()


@pytest.mark.parametrize("day", ["2017-05-10", date(2017, 5, 10)])
def test_the_end_day_is_included_whole(day: str | date) -> None:
    bars, _ = controller.collect_data(asked(start_date=day, end_date=day))
    assert (bars.index[0], bars.index[-1]) == (
        pd.Timestamp("2017-05-10 00:00", tz="UTC"),
        pd.Timestamp("2017-05-10 23:00", tz="UTC"),
    )


@pytest.mark.parametrize("end", ["2017-05-10 12:00", datetime(2017, 5, 10, 12), pd.Timestamp("2017-05-10 12:00")])  # noqa: DTZ001
def test_an_end_with_a_time_is_the_first_moment_left_out(end: Any) -> None:
    bars, _ = controller.collect_data(asked(start_date="2017-05-10", end_date=end))
    assert bars.index[-1] == pd.Timestamp("2017-05-10 11:00", tz="UTC")


def test_a_time_with_a_zone_is_the_moment_it_names() -> None:
    bars, _ = controller.collect_data(asked(start_date="2017-05-10 12:00+02:00", end_date="2017-05-10"))
    assert bars.index[0] == pd.Timestamp("2017-05-10 10:00", tz="UTC")


def test_one_name_may_stand_without_a_list() -> None:
    config = asked(data_sources="sample", symbols="eur/usd")
    assert (config.data_sources, config.symbols) == (["sample"], ["EURUSD"])
    bars, _ = controller.collect_data(config)
    assert set(bars["source"]) == {"Sample"}


def test_two_spellings_of_one_symbol_are_collected_once() -> None:
    bars, _ = controller.collect_data(asked(data_sources=["Sample", "Sample"], symbols=["EURUSD", "EUR/USD"]))
    assert bars.index.is_unique


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a symbol": (
        {"symbols": ["GBPUSD"]},
        "The sample has no bars of 'GBPUSD'. The sample holds EURUSD from 2017-04-19 09:00 to 2018-02-07 15:00 UTC: "
        "ask for symbols=['EURUSD'].",
    ),
    "a range": (
        {"start_date": "2025-01-01", "end_date": "2025-12-06"},
        "The sample has no H1 bars from 2025-01-01 00:00 to 2025-12-07 00:00 UTC. The sample holds EURUSD from "
        "2017-04-19 09:00 to 2018-02-07 15:00 UTC: ask for start_date='2017-04-19', end_date='2018-02-07'.",
    ),
    "a timeframe": (
        {"timeframe": "M5"},
        "The sample has no M5 bars. The sample holds EURUSD from 2017-04-19 09:00 to 2018-02-07 15:00 UTC, "
        "in H1, H4, D1, W1, MN1.",
    ),
    "a source": (
        {"data_sources": ["GDELT"]},
        "GDELT gives news, no bars. Name a source of bars beside it: YFinance, say.",
    ),
    "a misspelt source": (
        {"data_sources": ["Smaple"]},
        "There is no data source 'Smaple' in this version. Did you mean 'Sample'? "
        "Known: Sample, CSV, Parquet, YFinance, HistData, GDELT.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_source_cannot_give_is_refused_with_what_it_holds(case: str, home: Path) -> None:
    changes, sentence = REFUSED[case]
    with pytest.raises(DataRequestError) as refusal:
        controller.collect_data(asked(**changes))
    assert str(refusal.value) == sentence
    assert list(home.iterdir()) == []


def test_a_refusal_leaves_no_row_beside_those_there_are(sample_config: DataConfig) -> None:
    controller.collect_data(sample_config)
    with pytest.raises(DataRequestError):
        controller.collect_data(asked(symbols=["EURUSD", "GBPUSD"]))
    assert len(controller.get_pipeline_status()["collections"]) == 1


MISWRITTEN: dict[str, tuple[dict[str, Any], str]] = {
    "a field": ({"symbol": ["EURUSD"]}, "There is no 'symbol' in DataConfig. Did you mean 'symbols'?"),
    "a preprocessing key": (
        {"preprocessing": {"normalise": True}},
        "There is no 'normalise' in PreprocessingConfig. Did you mean 'normalize'?",
    ),
    "a method": (
        {"preprocessing": {"normalize": True, "normalization_method": "robust"}},
        "normalization_method='robust' cannot be used. Input should be 'zscore' or 'minmax'.",
    ),
    "a fraction": ({"preprocessing": {"train_fraction": 0}}, "train_fraction=0 cannot be used."),
    "no symbol": ({"symbols": []}, "symbols=[] cannot be used."),
    "no source": ({"data_sources": []}, "data_sources=[] cannot be used."),
    "a reversed range": (
        {"start_date": "2018-02-07", "end_date": "2017-04-19"},
        "The range ends before it begins: 2018-02-07 to 2017-04-19. Swap the two dates.",
    ),
    "a date": ({"start_date": "19th of Nevermonth"}, "start_date='19th of Nevermonth' is no time."),
    "a word for a symbol": ({"symbols": ["EUR USD!"]}, "symbol='EUR USD!' is no symbol."),
    "a word for a timeframe": ({"timeframe": "H7"}, "There is no timeframe 'H7'. Known: M1, M5"),
    "two timeframes": (
        {"resolution": "daily", "timeframe": "H1"},
        "resolution='daily' and timeframe='H1' differ. Give one of them.",
    ),
}


@pytest.mark.parametrize("case", MISWRITTEN)
def test_a_configuration_that_cannot_be_meant_is_refused_when_it_is_written(case: str, home: Path) -> None:
    changes, sentence = MISWRITTEN[case]
    with pytest.raises(InputError) as refusal:
        asked(**changes)
    assert sentence in str(refusal.value)
    assert list(home.iterdir()) == []


def test_a_misspelt_resolution_is_refused_and_nothing_is_stored(home: Path) -> None:
    with pytest.raises(InputError, match="There is no timeframe 'dayly'"):
        controller.collect_data(asked(resolution="dayly"))
    assert list(home.iterdir()) == []


def test_a_missing_field_is_named() -> None:
    with pytest.raises(DataRequestError) as refusal:
        DataConfig(data_sources=["Sample"], symbols=["EURUSD"], start_date="2017-04-19")
    assert "DataConfig needs 'end_date'" in str(refusal.value)


def test_the_sources_of_this_version_are_listed() -> None:
    assert source_names() == ["Sample", "CSV", "Parquet", "YFinance", "HistData", "GDELT"]


def test_importing_the_door_touches_no_disk_and_no_heavy_package(
    run_script: Callable[..., subprocess.CompletedProcess[str]], home: Path
) -> None:
    ended = run_script(IMPORT_THE_DOOR)
    assert (ended.returncode, ended.stdout) == (0, "[]\n"), ended.stderr
    assert list(home.iterdir()) == []


def test_the_sample_is_read_without_importing_backtesting(
    run_script: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    ended = run_script(COLLECT)
    assert (ended.returncode, ended.stdout) == (0, "False\n"), ended.stderr


def test_reading_before_anything_was_collected_creates_nothing(home: Path) -> None:
    assert controller.versions() == []
    controller.get_pipeline_status()
    assert list(home.iterdir()) == []
