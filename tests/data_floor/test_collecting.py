"""Collections from live sources, against the loopback servers: whole, in part, again, and refused."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest
from loopback.base import FOR_EVER, LoopbackServer, Sickness, served
from loopback.gdelt import GdeltServer
from loopback.histdata import HistDataServer
from loopback.yahoo import YahooServer

from core.errors import DataRequestError
from data import news
from data.collecting import bar_store
from data.pipeline_controller import DataConfig, controller
from data.sources.network import SourceUnavailableError

FEBRUARY = {"start_date": "2026-02-02", "end_date": "2026-02-13"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_SOURCES__BACKOFF_SECONDS", "0")
    monkeypatch.setenv("SEQUENCE_SOURCES__ATTEMPTS", "2")
    monkeypatch.setenv("SEQUENCE_SOURCES__GDELT_PAUSE_SECONDS", "0")


@pytest.fixture
def yahoo_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[YahooServer]:
    yield from served(YahooServer, monkeypatch)


@pytest.fixture
def histdata_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HistDataServer]:
    yield from served(HistDataServer, monkeypatch)


@pytest.fixture
def gdelt_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GdeltServer]:
    yield from served(GdeltServer, monkeypatch)


def questions(server: LoopbackServer) -> int:
    return len(server.questions)


def row_of(collection_id: int) -> dict[str, object]:
    return next(row for row in controller.get_pipeline_status()["collections"] if row["id"] == collection_id)


def test_hours_from_yahoo_are_kept_and_asked_for_once(yahoo_server: YahooServer) -> None:
    config = DataConfig(data_sources=["YFinance"], symbols=["EURUSD"], timeframe="H1", **FEBRUARY)
    frame, collection_id = controller.collect_data(config)
    assert row_of(collection_id)["status"] == "SUCCEEDED"
    assert set(frame["source"]) == {"YFinance"}
    asked = questions(yahoo_server)
    assert asked
    again, _ = controller.collect_data(config)
    pd.testing.assert_frame_equal(again, frame)
    assert questions(yahoo_server) == asked
    controller.collect_data(config.model_copy(update={"start_date": "2026-01-26"}))
    assert questions(yahoo_server) == asked + 1  # in front only


def test_four_hours_are_joined_from_hours(yahoo_server: YahooServer) -> None:
    config = DataConfig(data_sources=["yfinance"], symbols=["EURUSD"], timeframe="H4", **FEBRUARY)
    frame, _ = controller.collect_data(config)
    assert bar_store.sources_of("EURUSD", "H1") == ["YFinance"]
    assert set(frame.index.tz_convert("America/New_York").hour) <= {17, 21, 1, 5, 9, 13}


def test_days_that_end_elsewhere_are_marked_and_never_mixed(
    yahoo_server: YahooServer, histdata_server: HistDataServer
) -> None:
    config = DataConfig(data_sources=["YFinance"], symbols=["EURUSD"], resolution="daily", **FEBRUARY)
    _, collection_id = controller.collect_data(config)
    assert row_of(collection_id)["day_cut"] == "00:00 Europe/London"
    assert controller.prepare(config).day_cut == "00:00 Europe/London"
    with pytest.raises(DataRequestError, match="never mixed"):
        controller.collect_data(config.model_copy(update={"data_sources": ["YFinance", "HistData"]}))


def test_one_source_failing_leaves_the_others_bars_with_the_reason(
    yahoo_server: YahooServer, histdata_server: HistDataServer
) -> None:
    histdata_server.fall_sick(Sickness.BROKEN, FOR_EVER)
    config = DataConfig(data_sources=["HistData", "YFinance"], symbols=["EURUSD"], timeframe="H1", **FEBRUARY)
    frame, collection_id = controller.collect_data(config)
    row = row_of(collection_id)
    assert row["status"] == "PARTIAL"
    [problem] = row["problems"]  # type: ignore[misc]
    assert "HistData, EURUSD" in problem
    assert set(frame["source"]) == {"YFinance"}


def test_an_unknown_symbol_leaves_the_others(yahoo_server: YahooServer) -> None:
    config = DataConfig(data_sources=["YFinance"], symbols=["EURUSD", "NOSUCH"], timeframe="H1", **FEBRUARY)
    frame, collection_id = controller.collect_data(config)
    assert set(frame["symbol"]) == {"EURUSD"}
    assert "NOSUCH" in str(row_of(collection_id)["problems"])


def test_when_nothing_could_be_had_nothing_is_stored(yahoo_server: YahooServer) -> None:
    yahoo_server.fall_sick(Sickness.BROKEN, FOR_EVER)
    config = DataConfig(data_sources=["YFinance"], symbols=["EURUSD"], timeframe="H1", **FEBRUARY)
    with pytest.raises(SourceUnavailableError):
        controller.collect_data(config)
    assert controller.get_pipeline_status()["collections"] == []


def test_what_was_answered_before_a_failure_is_not_asked_for_again(histdata_server: HistDataServer) -> None:
    config = DataConfig(
        data_sources=["HistData"], symbols=["EURUSD"], timeframe="H1", start_date="2026-01-05", end_date="2026-03-27"
    )
    histdata_server.fall_sick(Sickness.BROKEN, FOR_EVER, after=2)
    _, collection_id = controller.collect_data(config)
    assert row_of(collection_id)["status"] == "PARTIAL"
    histdata_server.fall_sick(Sickness.BROKEN, times=0)
    before = questions(histdata_server)
    frame, collection_id = controller.collect_data(config)
    assert row_of(collection_id)["status"] == "SUCCEEDED"
    assert {stamp.month for stamp in frame.index} == {1, 2, 3}
    assert questions(histdata_server) == before + 1


def test_the_snippet_of_the_specification_runs_as_printed(yahoo_server: YahooServer, gdelt_server: GdeltServer) -> None:
    gdelt_server.per_quarter = lambda at: int(at.hour == 12 and at.minute == 0)  # few articles, few questions
    config = DataConfig(
        data_sources=["GDELT", "YFinance"],
        symbols=["GBPUSD", "EURUSD"],
        countries=["US", "EU"],
        start_date="2025-01-01",
        end_date="2025-12-06",
        resolution="daily",
        preprocessing={"normalize": True, "normalization_method": "zscore", "engineer_features": True},
    )
    data, collection_id = controller.collect_data(config)
    assert row_of(collection_id)["problems"] is None
    processed, _ = controller.preprocess(data, collection_id, config.preprocessing)
    validation_result, _ = controller.validate(processed, collection_id)
    assert set(data["symbol"]) == {"EURUSD", "GBPUSD"}
    assert {"close_zscore", "sma_20"} <= set(processed)
    assert validation_result["status"] in {"PASS", "WARN", "FAIL"}
    store = news.NewsStore(controller._store)
    assert len(store.articles("EUR", limit=5)) == 5
    assert "GDELT" in str(row_of(collection_id)["attribution"])


def test_news_alone_are_refused_with_the_cure() -> None:
    with pytest.raises(DataRequestError, match="YFinance"):
        controller.collect_data(DataConfig(data_sources=["GDELT"], symbols=["EURUSD"], timeframe="H1", **FEBRUARY))


def test_a_range_out_of_reach_is_refused_before_anything_is_asked(yahoo_server: YahooServer) -> None:
    config = DataConfig(
        data_sources=["YFinance"], symbols=["EURUSD"], timeframe="M1", start_date="2020-01-01", end_date="2020-02-01"
    )
    with pytest.raises(DataRequestError, match="30 days"):
        controller.collect_data(config)
    assert questions(yahoo_server) == 0
