"""Yahoo Finance: its intervals and how far they reach, its days, its tickers, its oddities and its words."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from loopback.base import FOR_EVER, Answer, Request, Sickness
from loopback.yahoo import CHARTS, YahooServer

from core.errors import DataRequestError
from data.sources.base import Slice
from data.sources.network import BusyServerError, SourceUnavailableError
from data.sources.yahoo import YahooSource, ticker_of
from market.calendar import UTC_MIDNIGHT, DayCut, bar_end, trading_day
from market.symbols import AssetClass, canonical_symbol, symbol_of
from market.timeframes import Timeframe

NOW = datetime(2026, 11, 18, 12, 34, 56, tzinfo=UTC)  # a Wednesday
DAY = pd.Timedelta(days=1)


def utc(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


@pytest.fixture(autouse=True)
def clock(yahoo_server: YahooServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_SOURCES__BACKOFF_SECONDS", "0")
    set_now(NOW, yahoo_server, monkeypatch)


def set_now(now: datetime, server: YahooServer, patch: pytest.MonkeyPatch) -> None:
    server.now = now
    patch.setattr("data.sources.yahoo.utc_now", lambda: now)


def asked(symbol: str, timeframe: Timeframe, start: str, end: str) -> list[Slice]:
    return list(YahooSource().slices(symbol, timeframe, utc(start), utc(end)))


def bars_of(symbol: str, timeframe: Timeframe, start: str, end: str) -> pd.DataFrame:
    return pd.concat([each.bars for each in asked(symbol, timeframe, start, end)])


def spans_asked(server: YahooServer) -> list[pd.Timedelta]:
    """How much time each question was about."""
    return [pd.Timedelta(seconds=int(each.query["period2"]) - int(each.query["period1"])) for each in server.questions]


# Tickers


@pytest.mark.parametrize(
    ("symbol", "ticker"),
    [
        ("EURUSD", "EURUSD=X"),
        ("USDJPY", "USDJPY=X"),
        ("XAUUSD", "XAUUSD=X"),
        ("BTCUSD", "BTC-USD"),
        ("DOGEUSD", "DOGE-USD"),
        ("AAPL", "AAPL"),
        ("SAP.DE", "SAP.DE"),
        ("BRK-B", "BRK-B"),
        ("^GSPC", "^GSPC"),
    ],
)
def test_a_symbol_and_its_ticker_lead_to_each_other(symbol: str, ticker: str) -> None:
    assert ticker_of(symbol) == ticker
    assert canonical_symbol(ticker) == symbol


# Intervals and how far they reach


@pytest.mark.parametrize(
    ("timeframe", "interval", "start", "longest"),
    [
        (Timeframe.M1, "1m", "2026-10-20", 8 * DAY),
        (Timeframe.M5, "5m", "2026-09-20", 31 * DAY),
        (Timeframe.M15, "15m", "2026-09-20", 31 * DAY),
        (Timeframe.M30, "15m", "2026-09-20", 31 * DAY),  # yfinance joins them: Yahoo's own are wrong
        (Timeframe.H1, "1h", "2024-11-20", 181 * DAY),
        (Timeframe.D1, "1d", "2004-01-01", 10_000 * DAY),
        (Timeframe.W1, "1d", "2004-01-01", 10_000 * DAY),
        (Timeframe.MN1, "1d", "2004-01-01", 10_000 * DAY),
    ],
)
def test_the_whole_reach_of_an_interval_is_had_in_questions_that_yahoo_takes(
    timeframe: Timeframe, interval: str, start: str, longest: pd.Timedelta, yahoo_server: YahooServer
) -> None:
    slices = asked("EURUSD", timeframe, start, "2026-11-17")
    assert slices[0].start == utc(start)
    assert {each.query["interval"] for each in yahoo_server.questions} == {interval}
    assert max(spans_asked(yahoo_server)) < longest
    assert len(slices) == len(yahoo_server.questions)
    assert slices[0].bars.index[0] < utc(start) + 45 * DAY
    assert not slices[-1].bars.empty


@pytest.mark.parametrize(
    ("timeframe", "start", "words"),
    [
        (
            "M1",
            "2026-10-19",
            "Yahoo Finance has M1 bars of the last 30 days only: since 2026-10-20, not from 2026-10-19. "
            "Begin at 2026-10-20, or ask for M5, which reaches back to 2026-09-20.",
        ),
        (
            "M1",
            "2026-09-19",
            "Yahoo Finance has M1 bars of the last 30 days only: since 2026-10-20, not from 2026-09-19. "
            "Begin at 2026-10-20, or ask for H1, which reaches back to 2024-11-19.",
        ),
        (
            "M15",
            "2026-09-19",
            "Yahoo Finance has M15 bars of the last 60 days only: since 2026-09-20, not from 2026-09-19. "
            "Begin at 2026-09-20, or ask for H1, which reaches back to 2024-11-19.",
        ),
        (
            "H4",
            "2024-11-18",
            "Yahoo Finance has H4 bars of the last 730 days only: since 2024-11-19, not from 2024-11-18. "
            "Begin at 2024-11-19, or ask for D1, which reaches back to the first day there is.",
        ),
    ],
)
def test_a_range_beyond_the_reach_is_refused_without_a_question(
    timeframe: str, start: str, words: str, yahoo_server: YahooServer
) -> None:
    with pytest.raises(DataRequestError) as refusal:
        YahooSource().check("EURUSD", Timeframe(timeframe), utc(start), utc("2026-11-17"))
    assert str(refusal.value) == words
    assert yahoo_server.requests == []


def test_the_reach_is_counted_from_the_time_of_the_question(
    yahoo_server: YahooServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = YahooSource()
    source.check("EURUSD", Timeframe.M1, utc("2026-10-20"), utc("2026-10-21"))
    set_now(NOW + timedelta(days=1), yahoo_server, monkeypatch)
    with pytest.raises(DataRequestError, match="since 2026-10-21"):
        source.slices("EURUSD", Timeframe.M1, utc("2026-10-20"), utc("2026-10-21"))


# Days and their ends


@pytest.mark.parametrize(
    ("symbol", "cut"),
    [
        ("EURUSD", DayCut("Europe/London", 0, skips_weekend=True)),
        ("BTCUSD", UTC_MIDNIGHT),
        ("AAPL", DayCut("America/New_York", 0, skips_weekend=True)),
        ("BRK.B", DayCut("America/New_York", 0, skips_weekend=True)),
        ("SAP.DE", DayCut("Europe/Berlin", 0, skips_weekend=True)),
        ("BP.L", DayCut("Europe/London", 0, skips_weekend=True)),
    ],
)
def test_days_are_cut_at_midnight_of_the_exchange(symbol: str, cut: DayCut) -> None:
    assert YahooSource().day_cut(symbol) == cut


def test_a_day_of_fx_opens_at_midnight_in_london_in_summer_and_in_winter() -> None:
    bars = bars_of("EURUSD", Timeframe.D1, "2026-10-20", "2026-10-30")
    assert [f"{each:%a %d %H:%M}" for each in bars.index] == [
        *("Tue 20 23:00", "Wed 21 23:00", "Thu 22 23:00"),  # summer: midnight in London
        *("Mon 26 00:00", "Tue 27 00:00", "Wed 28 00:00", "Thu 29 00:00"),
    ]


@pytest.mark.parametrize("symbol", ["EURUSD", "BTCUSD", "AAPL", "SAP.DE"])
@pytest.mark.parametrize("timeframe", [Timeframe.D1, Timeframe.W1, Timeframe.MN1])
def test_bars_from_a_day_up_open_at_midnight_and_are_closed(symbol: str, timeframe: Timeframe) -> None:
    cut, asset_class = YahooSource().day_cut(symbol), symbol_of(symbol).asset_class
    bars = bars_of(symbol, timeframe, "2025-12-31", "2026-12-01")
    opens = pd.DatetimeIndex(bars.index)
    wall = opens.tz_convert(cut.zone)
    assert (wall == wall.normalize()).all()
    assert bar_end(opens, timeframe, asset_class, cut).max() <= pd.Timestamp(NOW)
    if timeframe is Timeframe.W1:
        assert set(wall.day_of_week) == {0}
    if timeframe is Timeframe.MN1:
        assert set(wall.day) == {1}
        assert list(wall.month) == list(range(1, 11))


@pytest.mark.parametrize(("timeframe", "days"), [(Timeframe.W1, 7), (Timeframe.MN1, 31)])
def test_weeks_and_months_are_joined_from_whole_days_whatever_the_start(timeframe: Timeframe, days: int) -> None:
    cut = YahooSource().day_cut("EURUSD")
    daily = bars_of("EURUSD", Timeframe.D1, "2025-12-01", "2026-08-31")
    whole = bars_of("EURUSD", timeframe, "2026-01-01", "2026-06-30")
    for opened, bar in whole.iterrows():
        end = bar_end(pd.DatetimeIndex([opened]), timeframe, AssetClass.FX, cut)[0]
        inside = daily[(daily.index >= opened) & (daily.index < end)]
        assert [bar.open, bar.high] == [inside["open"].iloc[0], inside["high"].max()]
        assert [bar.low, bar.close] == [inside["low"].min(), inside["close"].iloc[-1]]
        assert len(inside) > 0.6 * days
    # A range that begins and ends inside a bar takes the bars that open in it, and these whole.
    part = bars_of("EURUSD", timeframe, "2026-03-04", "2026-05-07")
    pd.testing.assert_frame_equal(part, whole[(whole.index >= utc("2026-03-04")) & (whole.index < utc("2026-05-07"))])


def test_a_week_waits_a_day_for_its_last_row(yahoo_server: YahooServer, monkeypatch: pytest.MonkeyPatch) -> None:
    saturday = datetime(2026, 11, 14, 12, tzinfo=UTC)
    set_now(saturday, yahoo_server, monkeypatch)
    assert asked("EURUSD", Timeframe.W1, "2026-11-01", "2026-11-14")[-1].end == utc("2026-11-07")
    set_now(saturday + timedelta(days=1), yahoo_server, monkeypatch)
    assert asked("EURUSD", Timeframe.W1, "2026-11-01", "2026-11-14")[-1].end == utc("2026-11-14")


def test_days_of_an_exchange_that_is_not_known_are_refused_and_its_hours_are_not() -> None:
    with pytest.raises(DataRequestError) as refusal:
        asked("^N225", Timeframe.D1, "2026-10-01", "2026-10-10")
    assert str(refusal.value) == (
        "Yahoo Finance cuts the days of ^N225 at midnight in Asia/Tokyo, not in America/New_York as was expected. "
        "Ask for H1 and shorter: D1 bars of this exchange are not known here."
    )
    hours = bars_of("^N225", Timeframe.H1, "2026-10-01", "2026-10-02")
    assert [each.hour for each in hours.index] == [0, 1, 2, 3, 4, 5]


# What comes in


def test_minutes_of_fx_are_there_round_the_clock_up_to_the_last_before_midnight() -> None:
    bars = bars_of("EURUSD", Timeframe.M1, "2026-11-11", "2026-11-12")
    assert len(bars) == 1440
    assert bars.index[-1] == utc("2026-11-11 23:59")


def test_shares_come_at_the_hours_of_their_exchange() -> None:
    bars = bars_of("AAPL", Timeframe.H1, "2026-11-10", "2026-11-11")
    assert [f"{each:%H:%M}" for each in bars.index] == [f"{hour}:30" for hour in range(14, 21)]
    assert bars["volume"].min() >= 1_000


def test_half_an_hour_at_the_end_of_the_range_is_whole() -> None:
    whole = bars_of("EURUSD", Timeframe.M30, "2026-11-10 08:00", "2026-11-10 12:00")
    part = bars_of("EURUSD", Timeframe.M30, "2026-11-10 08:10", "2026-11-10 10:15")
    pd.testing.assert_frame_equal(part, whole.iloc[1:5])


@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.M30, Timeframe.H1])
def test_the_bar_that_is_forming_and_the_price_just_now_are_no_bars(timeframe: Timeframe) -> None:
    bars = bars_of("EURUSD", timeframe, "2026-11-17", "2026-11-20")
    assert bars.index[-1] == pd.Timestamp(NOW).floor(timeframe.delta) - timeframe.delta


def test_a_price_of_the_last_full_minute_is_no_hour(yahoo_server: YahooServer, monkeypatch: pytest.MonkeyPatch) -> None:
    set_now(datetime(2026, 11, 18, 12, 34, tzinfo=UTC), yahoo_server, monkeypatch)
    (frozen,) = asked("EURUSD", Timeframe.H1, "2026-11-18", "2026-11-19")
    monkeypatch.setattr("data.sources.yahoo.utc_now", lambda: NOW + timedelta(hours=5))  # the server's clock stands
    (later,) = asked("EURUSD", Timeframe.H1, "2026-11-18", "2026-11-19")
    assert [each.hour for each in frozen.bars.index] == list(range(12))
    assert [f"{each:%M:%S}" for each in later.bars.index] == ["00:00"] * 13


def test_rows_without_prices_are_holes_and_stay_holes(yahoo_server: YahooServer) -> None:
    whole = bars_of("EURUSD", Timeframe.H1, "2026-11-10", "2026-11-11")
    holes = [utc("2026-11-10 05:00"), utc("2026-11-10 06:00")]
    yahoo_server.nulls = {int(each.timestamp()) for each in holes}
    pd.testing.assert_frame_equal(bars_of("EURUSD", Timeframe.H1, "2026-11-10", "2026-11-11"), whole.drop(holes))


def test_a_last_day_that_is_not_there_yet_is_not_taken_for_a_hole(yahoo_server: YahooServer) -> None:
    yahoo_server.nulls = {int(utc("2026-11-17").timestamp())}
    (early,) = asked("EURUSD", Timeframe.D1, "2026-11-01", "2026-11-18")
    assert early.end == utc("2026-11-17")
    yahoo_server.nulls = set()
    (late,) = asked("EURUSD", Timeframe.D1, str(early.end.date()), "2026-11-18")
    assert list(late.bars.index) == [utc("2026-11-17")]


def test_rows_that_cannot_be_bars_are_left_out_and_counted(
    yahoo_server: YahooServer, caplog: pytest.LogCaptureFixture
) -> None:
    whole = bars_of("EURUSD", Timeframe.H1, "2026-11-10", "2026-11-11")
    yahoo_server.impossible = {int(utc("2026-11-10 05:00").timestamp())}
    yahoo_server.twice = {int(utc("2026-11-10 07:00").timestamp())}
    with caplog.at_level(logging.WARNING):
        bars = bars_of("EURUSD", Timeframe.H1, "2026-11-10", "2026-11-11")
    pd.testing.assert_frame_equal(bars, whole.drop(utc("2026-11-10 05:00")))
    (said,) = [each for each in caplog.records if each.name == "data.sources.yahoo"]
    assert isinstance(said.msg, dict)
    assert (said.msg["symbol"], said.msg["impossible"], said.msg["holes"]) == ("EURUSD", 1, 0)


def test_a_range_before_the_first_bar_is_answered_without_bars() -> None:
    (answered,) = asked("BTCUSD", Timeframe.D1, "2012-01-01", "2013-01-01")
    assert answered.bars.empty
    assert (answered.start, answered.end) == (utc("2012-01-01"), utc("2013-01-01"))


# Words of Yahoo's


def test_a_metal_is_refused_with_the_source_that_has_it() -> None:
    with pytest.raises(DataRequestError) as refusal:
        asked("XAUUSD", Timeframe.H1, "2026-11-10", "2026-11-11")
    assert str(refusal.value) == (
        "Yahoo Finance does not know XAUUSD=X (“No data found, symbol may be delisted”). "
        "HistData has XAUUSD and XAGUSD."
    )


def answering(server: YahooServer, monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    """Let every chart be answered so."""
    well = server.answer

    def say(request: Request) -> Answer:
        return answer if request.path.startswith(CHARTS) else well(request)

    monkeypatch.setattr(server, "answer", say)


def test_a_refusal_is_quoted_without_what_is_secret(yahoo_server: YahooServer, monkeypatch: pytest.MonkeyPatch) -> None:
    error = {"code": "Unprocessable Entity", "description": "No such interval. token=abcdef123456 was used."}
    asked("EURUSD", Timeframe.H1, "2026-11-10", "2026-11-11")
    answering(yahoo_server, monkeypatch, Answer.of_json({"chart": {"result": None, "error": error}}, 422))
    with pytest.raises(DataRequestError) as refusal:
        asked("EURUSD", Timeframe.H1, "2026-11-10", "2026-11-11")
    assert refusal.value.what == ("Yahoo Finance refuses EURUSD=X: “No such interval. token=[secret] was used.”.")


@pytest.mark.parametrize("content", [{}, [], {"chart": None}, {"finance": {"error": {"code": "Unauthorized"}}}])
def test_json_that_is_no_chart_is_asked_for_again(
    content: Any, yahoo_server: YahooServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked("EURUSD", Timeframe.H1, "2026-11-10", "2026-11-11")
    answering(yahoo_server, monkeypatch, Answer.of_json(content))
    yahoo_server.questions.clear()
    with pytest.raises(BusyServerError, match="answered with something else than data"):
        asked("EURUSD", Timeframe.H1, "2026-11-10", "2026-11-11")
    assert len(yahoo_server.questions) == 4


def test_a_chart_that_cannot_be_read_is_not_asked_for_again(
    yahoo_server: YahooServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked("EURUSD", Timeframe.H1, "2026-11-10", "2026-11-11")
    meant = {"timestamp": [1], "indicators": {"quote": [{"open": [1.0]}]}, "meta": {}}
    answering(yahoo_server, monkeypatch, Answer.of_json({"chart": {"result": [meant], "error": None}}))
    yahoo_server.questions.clear()
    with pytest.raises(SourceUnavailableError, match="a newer yfinance may be needed"):
        asked("EURUSD", Timeframe.H1, "2026-11-10", "2026-11-11")
    assert len(yahoo_server.questions) == 1


# How it is asked


def test_yfinance_keeps_its_notes_in_the_workbench(home: Path) -> None:
    asked("EURUSD", Timeframe.H1, "2026-11-10", "2026-11-11")
    notes = home / "output_central" / "cache" / "yfinance"
    import yfinance

    assert yfinance.cache._TzDBManager.get_location() == str(notes)


def test_a_range_of_the_past_is_really_asked_for_again(yahoo_server: YahooServer) -> None:
    for _ in range(2):
        asked("EURUSD", Timeframe.H1, "2026-11-10", "2026-11-11")
    assert len(yahoo_server.questions) == 2
    yahoo_server.fall_sick(Sickness.BROKEN, times=FOR_EVER)
    with pytest.raises(BusyServerError):
        asked("EURUSD", Timeframe.H1, "2026-11-10", "2026-11-11")


def test_a_crumb_that_is_refused_keeps_nobody_from_the_bars(
    yahoo_server: YahooServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import yfinance

    monkeypatch.setattr(yfinance.data.YfData(), "_crumb", None)
    well = yahoo_server.answer

    def without_crumb(request: Request) -> Answer:
        crumb = request.path.endswith("getcrumb")
        return Answer(429, b"Too Many Requests", "text/plain") if crumb else well(request)

    monkeypatch.setattr(yahoo_server, "answer", without_crumb)
    assert len(bars_of("EURUSD", Timeframe.H1, "2026-11-10", "2026-11-11")) == 24
    assert [each.path for each in yahoo_server.requests].count("/v1/test/getcrumb") >= 1


def test_threads_take_turns(yahoo_server: YahooServer) -> None:
    from concurrent.futures import ThreadPoolExecutor

    symbols = ["EURUSD", "USDJPY", "BTCUSD", "AAPL"] * 3
    with ThreadPoolExecutor(4) as pool:
        several = list(pool.map(lambda each: bars_of(each, Timeframe.H1, "2026-11-10", "2026-11-12"), symbols))
    for symbol, bars in zip(symbols, several, strict=True):
        pd.testing.assert_frame_equal(bars, bars_of(symbol, Timeframe.H1, "2026-11-10", "2026-11-12"))


def test_a_sunday_evening_would_belong_to_monday() -> None:
    cut = YahooSource().day_cut("EURUSD")
    sunday = pd.DatetimeIndex([utc("2026-11-15 22:30")])
    assert list(trading_day(sunday, AssetClass.FX, cut)) == [pd.Timestamp("2026-11-16")]
