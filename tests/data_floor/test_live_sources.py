"""What every live source keeps to, whatever befalls the vendor's server: one suite, run over all of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from loopback.base import FOR_EVER, LoopbackServer, Sickness, served
from loopback.histdata import HistDataServer
from loopback.yahoo import YahooServer

from core.errors import DataRequestError, TryAgainError
from data.sources.base import LiveSource, Slice, is_live, live_source, source_named, source_names
from market.bars import RAW_COLUMNS, check_bars
from market.calendar import closed_bars
from market.symbols import symbol_of
from market.timeframes import Timeframe

NOW = datetime(2026, 11, 18, 12, 34, 56, tzinfo=UTC)  # a Wednesday
SECOND = pd.Timedelta(seconds=1)
Server = YahooServer | HistDataServer
CASES: dict[str, tuple[type[Server], Timeframe]] = {
    "YFinance": (YahooServer, Timeframe.H1),
    "HistData": (HistDataServer, Timeframe.M1),
}


def utc(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


# Several slices of each source, across New Year and the changes of both continents' clocks.
START, END = utc("2025-10-20 13:00"), utc("2026-05-07 07:30")


@dataclass
class Live:
    """A live source with its server, both on one clock."""

    source: LiveSource
    server: Server
    timeframe: Timeframe
    patch: pytest.MonkeyPatch

    def set_now(self, now: datetime) -> None:
        self.server.now = now
        for module in ("yahoo", "histdata"):
            self.patch.setattr(f"data.sources.{module}.utc_now", lambda: now)

    def slices(self, start: pd.Timestamp = START, end: pd.Timestamp = END, symbol: str = "EURUSD") -> list[Slice]:
        self.source.check(symbol, self.timeframe, start, end)
        return list(self.source.slices(symbol, self.timeframe, start, end))


@pytest.fixture(params=CASES)
def live(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    kind, timeframe = CASES[request.param]
    monkeypatch.setenv("SEQUENCE_SOURCES__BACKOFF_SECONDS", "0")
    for server in served(kind, monkeypatch):
        found = Live(live_source(request.param), server, timeframe, monkeypatch)
        found.set_now(NOW)
        yield found


def joined(slices: list[Slice]) -> pd.DataFrame:
    return pd.concat([each.bars for each in slices])


# Names


@pytest.mark.parametrize("name", ["YFinance", "yfinance", "YFINANCE", "HistData", "histdata"])
def test_a_live_source_is_found_in_any_case_of_letters(name: str) -> None:
    assert is_live(name)
    assert live_source(name).name.lower() == name.lower()


@pytest.mark.parametrize("name", ["Sample", "csv", "Parquet"])
def test_a_source_of_files_is_not_live(name: str) -> None:
    assert not is_live(name)
    with pytest.raises(DataRequestError, match=r"is no live source\. Live are: YFinance, HistData"):
        live_source(name)


def test_a_live_source_is_not_asked_as_one_of_files() -> None:
    with pytest.raises(DataRequestError, match="YFinance is asked slice by slice"):
        source_named("yfinance")


@pytest.mark.parametrize(
    ("mistyped", "meant"), [("YFinanc", "YFinance"), ("hisdata", "HistData"), ("SMAPLE", "Sample")]
)
def test_a_mistyped_name_meets_the_nearest_of_all_sources(mistyped: str, meant: str) -> None:
    for ask in (is_live, live_source, source_named):
        with pytest.raises(DataRequestError) as refusal:
            ask(mistyped)
        assert f"Did you mean {meant!r}? Known: {', '.join(source_names())}." in str(refusal.value)


@pytest.mark.parametrize("module", ["data.sources.base", "data.sources.yahoo", "data.sources.histdata"])
def test_importing_a_source_imports_no_client_that_takes_a_second(module: str, tmp_path: Path) -> None:
    script = f"import sys, {module}; print(sorted({{'yfinance', 'curl_cffi', 'numba'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.strip() == "[]"
    assert list(tmp_path.rglob("output_central")) == []


# A server that is well


def test_slices_cover_the_range_one_behind_the_other(live: Live) -> None:
    slices = live.slices()
    assert len(slices) > 1
    assert (slices[0].start, slices[-1].end) == (START, END)
    assert [each.end for each in slices[:-1]] == [each.start for each in slices[1:]]
    assert all(each.start < each.end for each in slices)


def test_bars_are_those_of_the_contract_and_lie_in_their_slice(live: Live) -> None:
    for each in live.slices():
        assert len(each.bars) > 50
        assert each.start <= each.bars.index[0] < each.bars.index[-1] < each.end
        assert str(pd.DatetimeIndex(each.bars.index).tz) == "UTC"
        assert list(each.bars.columns) == list(RAW_COLUMNS)
        pd.testing.assert_frame_equal(check_bars(each.bars), each.bars)


def test_bars_of_all_slices_are_in_order_and_there_once(live: Live) -> None:
    times = joined(live.slices()).index
    assert times.is_monotonic_increasing
    assert times.is_unique


def test_every_bar_is_closed_when_the_range_reaches_beyond_now(live: Live) -> None:
    start = utc("2026-11-16")
    slices = live.slices(start, utc("2026-12-24"))
    bars = joined(slices)
    asset_class, cut = symbol_of("EURUSD").asset_class, live.source.day_cut("EURUSD")
    assert len(closed_bars(bars, live.timeframe, NOW, asset_class, cut)) == len(bars) > 50
    assert slices[-1].end <= NOW
    assert slices[-1].end <= bars.index[-1] + live.timeframe.delta


def test_the_same_range_asked_later_gives_the_same_bars(live: Live) -> None:
    before = live.slices()
    live.set_now(NOW + timedelta(days=9))
    after = live.slices()
    assert [(each.start, each.end) for each in before] == [(each.start, each.end) for each in after]
    pd.testing.assert_frame_equal(joined(before), joined(after))


def test_going_on_where_the_slices_ended_gives_what_one_question_later_gives(live: Live) -> None:
    start, end = utc("2026-11-12 03:17"), utc("2026-11-20")
    early = live.slices(start, end)
    live.set_now(NOW + timedelta(days=9))
    late = live.slices(early[-1].end, end)
    whole = live.slices(start, end)
    pd.testing.assert_frame_equal(joined([*early, *late]), joined(whole))
    assert late[-1].end == whole[-1].end


def test_a_range_without_bars_is_answered_without_bars(live: Live) -> None:
    saturday = utc("2026-09-05 06:00")
    (answered,) = live.slices(saturday, saturday + pd.Timedelta(hours=3))
    assert answered.bars.empty
    assert list(answered.bars.columns) == list(RAW_COLUMNS)
    assert str(pd.DatetimeIndex(answered.bars.index).tz) == "UTC"


def test_longer_timeframes_are_served_as_they_are_or_by_a_shorter_one(live: Live) -> None:
    for timeframe in Timeframe:
        served_by = live.source.timeframe_for(timeframe)
        assert served_by.minutes <= timeframe.minutes
        assert live.source.timeframe_for(served_by) is served_by
        live.source.check("EURUSD", served_by, utc("2026-11-16"), utc("2026-11-17"))
    assert live.source.timeframe_for(Timeframe.H4) is not Timeframe.H4
    with pytest.raises(DataRequestError, match="has no H4 bars"):
        live.source.slices("EURUSD", Timeframe.H4, START, END)


def test_a_source_says_whose_bars_they_are_and_where_its_days_are_cut(live: Live) -> None:
    assert live.source.attribution.startswith({"YFinance": "Yahoo Finance", "HistData": "HistData"}[live.source.name])
    zone = {"YFinance": "Europe/London", "HistData": "America/New_York"}[live.source.name]
    assert live.source.day_cut("EURUSD").zone == zone


# What can never be answered


def test_a_range_in_the_future_is_refused_without_a_question(live: Live) -> None:
    with pytest.raises(DataRequestError, match="2027-01-01 00:00 UTC, the beginning of the range, lies in the future"):
        live.slices(utc("2027-01-01"), utc("2027-02-01"))
    assert live.server.requests == []


def test_nothing_is_asked_before_the_first_slice_is_wanted(live: Live) -> None:
    live.source.slices("EURUSD", live.timeframe, START, END)
    assert live.server.requests == []


def test_an_unknown_symbol_is_refused_by_its_name(live: Live) -> None:
    with pytest.raises(DataRequestError, match="EURUSX"):
        live.slices(symbol="EURUSX")


# A server that is sick


@pytest.mark.parametrize("sickness", [each for each in Sickness if each is not Sickness.SILENT])
def test_a_server_that_recovers_is_asked_again_and_nothing_is_lost(sickness: Sickness, live: Live) -> None:
    well = live.slices()
    live.server.questions.clear()
    live.server.fall_sick(sickness, times=2, after=1)
    again = live.slices()
    assert len(live.server.questions) == len(well) + 2
    assert [(each.start, each.end) for each in again] == [(each.start, each.end) for each in well]
    pd.testing.assert_frame_equal(joined(again), joined(well))


@pytest.mark.parametrize("sickness", [each for each in Sickness if each is not Sickness.SILENT])
def test_a_server_that_stays_sick_is_left_alone_and_what_it_gave_before_stays(sickness: Sickness, live: Live) -> None:
    well = live.slices()
    live.server.questions.clear()
    live.server.fall_sick(sickness, times=FOR_EVER, after=1)
    answers = live.source.slices("EURUSD", live.timeframe, START, END)
    pd.testing.assert_frame_equal(next(answers).bars, well[0].bars)
    with pytest.raises(TryAgainError) as failure:
        next(answers)
    vendor = {"YFinance": "Yahoo Finance", "HistData": "HistData"}[live.source.name]
    assert failure.value.what.startswith(vendor)
    assert failure.value.cure
    # yfinance asks twice when it meets a status above 400.
    twice = live.source.name == "YFinance" and sickness in {Sickness.BUSY, Sickness.BROKEN}
    assert len(live.server.questions) == 1 + 4 * (1 + twice)


def test_a_server_that_falls_silent_is_not_waited_for(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    list(live.slices(utc("2026-09-01"), utc("2026-09-02")))  # cookies and zones are fetched in peace
    monkeypatch.setenv("SEQUENCE_SOURCES__TIMEOUT_SECONDS", "0.2")
    monkeypatch.setenv("SEQUENCE_SOURCES__ATTEMPTS", "2")
    live.server.questions.clear()
    live.server.fall_sick(Sickness.SILENT, times=FOR_EVER)
    with pytest.raises(TryAgainError, match="could not be reached, or broke off"):
        live.slices(utc("2026-09-02"), utc("2026-09-03"))
    assert len(live.server.questions) == 2


def test_a_server_that_is_not_there_is_named(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    server: LoopbackServer = live.server
    monkeypatch.setenv(server.variable, "http://127.0.0.1:9")  # the port of discard: nobody answers
    with pytest.raises(TryAgainError, match="could not be reached"):
        live.slices()
    assert server.requests == []
