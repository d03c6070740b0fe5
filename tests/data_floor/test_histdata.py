"""HistData: its zips and files, the clock they are written by, and the page they are fetched from."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback.base import Answer, Request
from loopback.histdata import PAGE, HistDataServer, price

from core.errors import BarsError, DataRequestError, SequenceError
from data.sources.base import Slice
from data.sources.files import read_file
from data.sources.histdata import FIRST_MONTHS, HistDataSource, import_zips, read_histdata
from data.sources.histdata_clock import AS_DOCUMENTED, NEW_YORK, clock_of
from data.sources.histdata_files import read_csv
from data.sources.network import BusyServerError, SourceUnavailableError
from market.bars import RAW_COLUMNS
from market.timeframes import Timeframe

NOW = datetime(2026, 11, 18, 12, 34, 56, tzinfo=UTC)  # a Wednesday
BARS = [
    "20240115 080000;1.094500;1.094700;1.094400;1.094600;0",
    "20240115 080100;1.094600;1.094900;1.094600;1.094800;0",
    "20240115 080300;1.094800;1.094800;1.094100;1.094200;0",
]
TICKS = [
    "20240115 080000100,1.09450,1.09456,0",
    "20240115 080000100,1.09470,1.09478,0",
    "20240115 080059999,1.09440,1.09450,0",
    "20240115 080100000,1.09460,1.09466,0",
]
NAME = "DAT_ASCII_EURUSD_M1_2024"


def utc(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def text_of(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()


def zipped(lines: Iterable[str], name: str = NAME, **more: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.csv", text_of(lines))
        archive.writestr(f"{name}.txt", "Gap of 61s found\r\n")
        for file, content in more.items():
            archive.writestr(f"{file}.csv", content)
    return packed.getvalue()


def stored(folder: Path, content: bytes, name: str = f"{NAME}.zip") -> Path:
    file = folder / name
    file.write_bytes(content)
    return file


def bars_of(lines: Iterable[str], name: str = f"{NAME}.csv") -> pd.DataFrame:
    return read_histdata(text_of(lines), name)[1]


# Files


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (zipped(BARS), "EURUSD.zip"),
        (zipped(BARS), "HISTDATA_COM_ASCII_EURUSD_M12024.zip"),
        (text_of(BARS), f"{NAME}.csv"),
        (b"\xef\xbb\xbf" + text_of(BARS), "DAT_ASCII_EURUSD_M1_202401.csv"),
        (text_of(BARS).replace(b"\r\n", b"\n").rstrip(), "dat_nt_eurusd_m1_202401.csv"),
        (text_of([*BARS[:1], "", *BARS[1:], ""]), "DAT_ASCII_EURUSD_M1_202401(1).csv"),
    ],
)
def test_a_zip_or_a_csv_gives_its_pair_and_its_bars(content: bytes, name: str, tmp_path: Path) -> None:
    pair, bars = read_histdata(stored(tmp_path, content, name))
    assert pair == "EURUSD"
    assert list(bars.index) == [utc("2024-01-15 13:00"), utc("2024-01-15 13:01"), utc("2024-01-15 13:03")]
    assert list(bars.columns) == list(RAW_COLUMNS)
    assert list(bars.iloc[2]) == [1.0948, 1.0948, 1.0941, 1.0942, 0.0]


def test_metatrader_bars_of_histdata_are_the_same_bars(tmp_path: Path) -> None:
    lines = [
        f"{line[:4]}.{line[4:6]}.{line[6:8]},{line[9:11]}:{line[11:13]},{','.join(line.split(';')[1:])}"
        for line in BARS
    ]
    assert lines[0] == "2024.01.15,08:00,1.094500,1.094700,1.094400,1.094600,0"
    same = bars_of(lines, "DAT_MT_EURUSD_M1_2024.csv")
    pd.testing.assert_frame_equal(same, bars_of(BARS))


def test_ticks_become_minutes_of_the_bid_with_their_spread() -> None:
    pair, bars = read_histdata(zipped(TICKS, "DAT_ASCII_EURUSD_T_202401"))
    assert pair == "EURUSD"
    assert list(bars.index) == [utc("2024-01-15 13:00"), utc("2024-01-15 13:01")]
    assert list(bars.iloc[0][[*RAW_COLUMNS]]) == [1.0945, 1.0947, 1.0944, 1.0944, 3.0]
    assert bars["spread_points"].round(6).tolist() == [8.0, 6.0]


def test_what_is_read_equals_what_the_reader_of_any_csv_reads(tmp_path: Path) -> None:
    file = stored(tmp_path, text_of(BARS), f"{NAME}.csv")
    pd.testing.assert_frame_equal(read_histdata(file)[1], read_file(file, {"timezone": AS_DOCUMENTED}, "EURUSD"))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.decimals("0.0001", "99999.999999", places=6), min_size=1, max_size=50))
def test_prices_are_the_numbers_that_python_reads(figures: list[object]) -> None:
    begin = datetime(2024, 1, 15, tzinfo=UTC)
    lines = [f"{begin + timedelta(minutes=n):%Y%m%d %H%M}00;{x};{x};{x};{x};0" for n, x in enumerate(figures)]
    bars = bars_of(lines)
    assert bars["close"].tolist() == [float(str(figure)) for figure in figures]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)), min_size=1, max_size=50))  # noqa: DTZ001
def test_times_are_those_that_python_reads(times: list[datetime]) -> None:
    minutes = sorted({each.replace(second=0, microsecond=0) for each in times})
    bars = bars_of([f"{each:%Y%m%d %H%M}00;1;1;1;1;0" for each in minutes])
    there = pd.DatetimeIndex(minutes).tz_localize(AS_DOCUMENTED).tz_convert("UTC")
    in_new_york = pd.DatetimeIndex(minutes).tz_localize(NEW_YORK, ambiguous="NaT", nonexistent="NaT").tz_convert("UTC")
    assert list(bars.index) in [list(there), list(in_new_york)]


@pytest.mark.parametrize("piece", [1, 60, 110])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", "\n\n\n"])
def test_a_file_read_in_pieces_is_the_same_file(piece: int, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.sources.histdata_files._PIECE", piece)
    content = ending.join([*BARS, ""]).encode()
    pd.testing.assert_frame_equal(read_histdata(content, f"{NAME}.csv")[1], bars_of(BARS))
    wrong = ending.join([*BARS, "20240115 080400;1;1;1;1", ""]).encode()
    with pytest.raises(DataRequestError, match="'20240115 080400;1;1;1;1' is no line"):
        read_histdata(wrong if ending != "\r" else wrong.replace(b"\r", b"\n"), f"{NAME}.csv")


def test_a_line_that_is_there_twice_is_taken_once() -> None:
    pd.testing.assert_frame_equal(bars_of([BARS[0], BARS[1], BARS[1], BARS[1], BARS[2]]), bars_of(BARS))


SPOILT = {
    "fields": "20240115 080200;1.0946;1.0949;1.0946;1.0948",
    "too many": "20240115 080200;1.0946;1.0949;1.0946;1.0948;0;0",
    "no number": "20240115 080200;1.0946;1.09x9;1.0946;1.0948;0",
    "nothing": "20240115 080200;1.0946;;1.0946;1.0948;0",
    "no day": "20240230 080200;1.0946;1.0949;1.0946;1.0948;0",
    "no hour": "20240115 240200;1.0946;1.0949;1.0946;1.0948;0",
    "no minute": "20240115 086000;1.0946;1.0949;1.0946;1.0948;0",
    "short time": "2024115 080200;1.0946;1.0949;1.0946;1.0948;0",
    "no blank": "20240115T080200;1.0946;1.0949;1.0946;1.0948;0",
    "letters": "2024O115 080200;1.0946;1.0949;1.0946;1.0948;0",
    "markup": "<html><body>Please log in</body></html>",
}


@pytest.mark.parametrize("line", SPOILT.values(), ids=list(SPOILT))
def test_a_line_that_does_not_read_is_named(line: str) -> None:
    with pytest.raises(DataRequestError) as refusal:
        bars_of([BARS[0], BARS[1], "", line, BARS[2]])
    assert refusal.value.what == (
        f"{NAME}.csv, line 4: {line[:60]!r} is no line of "
        "one-minute bars as in '20240102 170000;1.10427;1.10429;1.10425;1.10429;0'."
    )
    assert refusal.value.cure == "Correct or remove the line, or download the file again."


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            [BARS[0], BARS[1], "", "20240115 080100;1.0946;1.0949;1.0946;1.0947;0"],
            "line 4: this minute is there twice, with other prices: "
            "1.0946, 1.0949, 1.0946, 1.0948 and 1.0946, 1.0949, 1.0946, 1.0947.",
        ),
        ([BARS[0], BARS[2], BARS[1]], "line 3 (2024-01-15 13:01:00 UTC) is earlier than the row before it."),
        (
            [BARS[0], BARS[0], BARS[1], "20240115 080200;1.0946;1.0945;1.0946;1.0948;0"],
            "line 4 (2024-01-15 13:02:00 UTC): open 1.0946, high 1.0945, low 1.0946 and close 1.0948 "
            "cannot be one bar.",
        ),
        ([BARS[0], "20240115 080200;0;0;0;0;0"], "line 2 (2024-01-15 13:02:00 UTC): open=0 is no price."),
        ([BARS[0], "20240115 080200;1;nan;1;1;0"], "line 2 (2024-01-15 13:02:00 UTC): high=nan is no price."),
    ],
)
def test_bars_that_cannot_be_are_named_by_their_line(lines: list[str], words: str) -> None:
    with pytest.raises(BarsError) as refusal:
        bars_of(lines)
    assert refusal.value.what == f"{NAME}.csv, {words}"
    assert refusal.value.cure


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([*TICKS[:2], "20240115 080000099,1.0945,1.0946,0"], "line 3 (2024-01-15 13:00:00 UTC) is earlier than"),
        ([*TICKS[:2], "20240115 080000100,1.0945,0,0"], "line 3: bid 1.0945 and ask 0 are no prices."),
    ],
)
def test_ticks_that_cannot_be_are_named_by_their_line(lines: list[str], words: str) -> None:
    with pytest.raises(BarsError) as refusal:
        bars_of(lines, "DAT_ASCII_EURUSD_T_202401.csv")
    assert words in refusal.value.what


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"", "DAT_ASCII_EURUSD_M1_2024.csv", "DAT_ASCII_EURUSD_M1_2024.csv is empty (0 bytes). Export it again."),
        (text_of(BARS), "bars.csv", "bars.csv does not say which pair it holds. Name it as HistData does: "),
        (b"<html>", f"{NAME}.csv", "does not begin as HistData's bars or ticks do: b'<html>'. Download the format"),
        (b"\r\n", f"{NAME}.csv", "does not begin as HistData's bars or ticks do: b''."),
        (zipped(BARS)[:-30], f"{NAME}.zip", f"{NAME}.zip is damaged (File is not a zip file). Download it again."),
        (zipped(BARS, other=b""), f"{NAME}.zip", f"{NAME}.zip holds 2 CSV files: {NAME}.csv, {NAME}.txt, other.csv."),
        (zipped(BARS, "readme"), f"{NAME}.zip", "readme.csv does not say which pair it holds."),
    ],
)
def test_a_file_that_is_none_of_histdatas_is_refused(content: bytes, name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataRequestError) as refusal:
        read_histdata(stored(tmp_path, content, name))
    assert words in str(refusal.value)


def test_a_zip_without_a_csv_is_refused() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("DAT_XLSX_EURUSD_M1_2024.xlsx", b"PK")
    with pytest.raises(DataRequestError, match=r"The zip holds no CSV file: DAT_XLSX_EURUSD_M1_2024\.xlsx"):
        read_histdata(packed.getvalue())


def test_a_zip_whose_content_was_changed_is_refused() -> None:
    content = bytearray(zipped(BARS))
    content[60:64] = b"\x00\x00\x00\x00"
    with pytest.raises(DataRequestError, match="is damaged"):
        read_histdata(bytes(content))


def test_a_zip_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_DATA__CSV_MAX_MIB", "1")
    bomb = zipped(["0" * 3 * 2**20])
    assert len(bomb) < 10_000
    with pytest.raises(DataRequestError, match="The zip unpacks to 3 MiB, more than the 1 MiB that are read"):
        read_histdata(bomb)


def test_a_file_that_is_too_large_or_missing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = stored(tmp_path, text_of(BARS), f"{NAME}.csv")
    monkeypatch.setenv("SEQUENCE_DATA__CSV_MAX_MIB", "0.0001")
    with pytest.raises(DataRequestError, match=r"more than the 0\.0001 MiB"):
        read_histdata(file)
    with pytest.raises(DataRequestError, match="There is no file"):
        read_histdata(tmp_path / "nowhere.zip")


def test_many_files_are_imported_each_by_itself(tmp_path: Path) -> None:
    good = stored(tmp_path, zipped(BARS), "a.zip")
    bad = stored(tmp_path, b"PK\x03\x04 and no more", "b.zip")
    gone = tmp_path / "c.zip"
    yen = stored(tmp_path, zipped(["20240115 080000;148.1;148.2;148;148.1;0"], "DAT_ASCII_USDJPY_M1_2024"), "d.zip")
    imported = list(import_zips([good, bad, gone, yen]))
    assert [each.path for each in imported] == [good, bad, gone, yen]
    assert [each.pair for each in imported] == ["EURUSD", "", "", "USDJPY"]
    assert [None if each.bars is None else len(each.bars) for each in imported] == [3, None, None, 1]
    for each in imported[1:3]:
        assert isinstance(each.error, SequenceError)
        assert each.path.name in str(each.error)


# The clock


def market_minutes(first: datetime, days: int, zone: str, opens: int = 17) -> list[str]:
    """Half-hourly lines from Sunday (`opens`) to Friday 17:00 in New York, written by the clock of `zone`."""
    lines = []
    for step in range(days * 48):
        moment = first + timedelta(minutes=30 * step)
        there = moment.astimezone(ZoneInfo("America/New_York"))
        if 4 + 17 / 24 <= there.weekday() + there.hour / 24 < 6 + opens / 24:
            continue
        lines.append(f"{moment.astimezone(ZoneInfo(zone)):%Y%m%d %H%M%S};1.1;1.1;1.1;1.1;0")
    return lines


@pytest.mark.parametrize("zone", [AS_DOCUMENTED, NEW_YORK])
@pytest.mark.parametrize(
    ("first", "days"),
    [("2024-07-01", 30), ("2024-03-01", 31), ("2024-10-01", 31), ("2024-01-01", 366), ("2024-11-01", 30)],
)
def test_the_weeks_of_fx_tell_by_which_clock_a_file_was_written(zone: str, first: str, days: int) -> None:
    begin = datetime.fromisoformat(first).replace(tzinfo=ZoneInfo(zone))
    bars = bars_of(market_minutes(begin.astimezone(UTC), days, zone))
    there = pd.DatetimeIndex(bars.index).tz_convert("America/New_York")
    week_ends = [(last, opened) for last, opened in pairwise(there) if opened - last > pd.Timedelta(hours=36)]
    assert len(week_ends) >= 4
    assert {f"{last:%a %H:%M} {opened:%a %H:%M}" for last, opened in week_ends} == {"Fri 16:30 Sun 17:00"}


@pytest.mark.parametrize("zone", [AS_DOCUMENTED, NEW_YORK])
def test_metals_tell_it_too_though_they_open_an_hour_later(zone: str) -> None:
    june = datetime(2024, 6, 2, 4, tzinfo=UTC)  # five Sundays, four Fridays
    lines = market_minutes(june, 29, zone, opens=18)
    assert read_csv(text_of(lines), "DAT_ASCII_XAUUSD_M1_202406.csv").zone == zone


def test_the_clock_that_was_found_is_said() -> None:
    july = datetime(2024, 7, 1, tzinfo=UTC)
    assert read_csv(text_of(market_minutes(july, 20, NEW_YORK)), f"{NAME}.csv").zone == NEW_YORK
    assert read_csv(text_of(market_minutes(july, 20, AS_DOCUMENTED)), f"{NAME}.csv").zone == AS_DOCUMENTED
    assert clock_of(np.array([0, 60_000]), "EURUSD") == AS_DOCUMENTED  # winter: the two are one
    summer = int(utc("2024-07-10 08:00").timestamp()) * 1_000
    assert clock_of(np.array([summer, summer + 60_000]), "EURUSD") is None


def test_the_first_days_of_a_month_wait_for_the_weekend_that_tells_their_clock(
    server: HistDataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at(day: int) -> list[Slice]:
        server.now = datetime(2026, 9, day, 12, tzinfo=UTC)
        monkeypatch.setattr("data.sources.histdata.utc_now", lambda: server.now)
        return asked("2026-09-01 06:00", "2026-09-30")

    assert at(3) == []
    (told,) = at(7)
    assert told.bars.index[0] == utc("2026-09-01 06:00")


def test_without_a_weekend_in_summer_the_clock_is_the_documented_one() -> None:
    """UTC−5 in July and in January: what HistData says of its files."""
    july, january = (bars_of([f"2024{month}10 080000;1;1;1;1;0"]) for month in ("07", "01"))
    assert [july.index[0], january.index[0]] == [utc("2024-07-10 13:00"), utc("2024-01-10 13:00")]


def test_what_is_no_fx_is_written_by_the_clock_of_new_york() -> None:
    bars = bars_of(["20180315 161400;2750;2750;2750;2750;0"], "DAT_ASCII_SPXUSD_M1_201803.csv")
    assert bars.index[0] == utc("2018-03-15 20:14")


def test_the_payrolls_of_july_2018_lie_at_half_past_eight_in_new_york() -> None:
    """Lines as HistData wrote them: the first of the week, the jump, and weekends on either side."""
    lines = [
        "20180701 170000;1.167600;1.168350;1.167390;1.168270;0",
        "20180706 082900;1.171740;1.171870;1.171260;1.171650;0",
        "20180706 083000;1.171650;1.174200;1.171650;1.172520;0",
        "20180706 165900;1.174400;1.174500;1.174300;1.174400;0",
        "20180708 170000;1.174400;1.174500;1.174300;1.174400;0",
    ]
    bars = bars_of(lines, "DAT_ASCII_EURUSD_M1_201807.csv")
    jump = (bars["high"] - bars["low"]).idxmax()
    assert jump == utc("2018-07-06 12:30")


# Downloads


@pytest.fixture
def server(histdata_server: HistDataServer, monkeypatch: pytest.MonkeyPatch) -> HistDataServer:
    monkeypatch.setenv("SEQUENCE_SOURCES__BACKOFF_SECONDS", "0")
    histdata_server.now = NOW
    monkeypatch.setattr("data.sources.histdata.utc_now", lambda: NOW)
    return histdata_server


def asked(start: str, end: str, symbol: str = "EURUSD") -> list[Slice]:
    return list(HistDataSource().slices(symbol, Timeframe.M1, utc(start), utc(end)))


def pages(server: HistDataServer) -> list[str]:
    """The periods whose pages were looked at."""
    return [
        next(iter(each.query)).split("/", 4)[-1]
        for each in server.requests
        if each.method == "GET" and each.path == PAGE
    ]


def test_past_years_are_asked_whole_and_this_year_by_months(server: HistDataServer) -> None:
    asked("2024-06-01", "2026-03-05")
    assert pages(server) == ["2024", "2025", "2026/1", "2026/2", "2026/3"]
    form = server.questions[-1].form
    assert {name: form[name] for name in form if name != "tk"} == {
        "date": "2026",
        "datemonth": "202603",
        "platform": "ASCII",
        "timeframe": "M1",
        "fxpair": "EURUSD",
    }


@pytest.mark.parametrize("zone", [AS_DOCUMENTED, NEW_YORK])
def test_every_bar_between_two_months_is_there_by_either_clock(zone: str, server: HistDataServer) -> None:
    server.zone, server.every = zone, 15
    for start in ("2026-06-30 22:00", "2026-07-01 03:30", "2026-07-01 04:30"):
        slices = asked(start, "2026-07-01 12:00")
        times = pd.concat([each.bars for each in slices]).index
        assert list(times) == list(pd.date_range(start, "2026-07-01 11:45", freq="15min", tz="UTC"))
        assert [each.end for each in slices[:-1]] == [each.start for each in slices[1:]]
        assert (slices[0].start, slices[-1].end) == (utc(start), utc("2026-07-01 12:00"))


def test_prices_are_those_the_vendor_has_at_that_time(server: HistDataServer) -> None:
    (july,) = asked("2026-07-06", "2026-07-08")
    expected = [round(price(moment.to_pydatetime()), 6) for moment in july.bars.index]
    np.testing.assert_array_equal(july.bars["open"], expected)


def test_a_month_that_is_not_published_yet_ends_the_slices(server: HistDataServer) -> None:
    server.until = datetime(2026, 10, 31, 21, tzinfo=UTC)
    slices = asked("2026-09-15", "2026-11-18")
    assert pages(server) == ["2026/9", "2026/10", "2026/11"]
    assert slices[-1].end == utc("2026-11-01 04:00")
    with pytest.raises(DataRequestError) as refusal:
        asked("2026-11-02", "2026-11-18")
    assert str(refusal.value) == (
        "HistData has no EURUSD for 2026-11 yet. Ask for an earlier range; months are published late."
    )


def test_a_month_that_still_grows_is_asked_again_behind_its_last_bar(server: HistDataServer) -> None:
    server.until = datetime(2026, 11, 10, 12, tzinfo=UTC)
    (early,) = asked("2026-11-09", "2026-11-18")
    assert (early.bars.index[-1], early.end) == (utc("2026-11-10 11:00"), utc("2026-11-10 11:01"))
    assert asked("2026-11-10 11:01", "2026-11-18") == []  # nothing new, and nothing wrong
    server.until = datetime(2026, 11, 17, 12, tzinfo=UTC)
    (late,) = asked("2026-11-10 11:01", "2026-11-18")
    assert late.bars.index[0] == utc("2026-11-10 12:00")


def test_a_range_that_begins_before_the_pair_does_is_answered_from_its_first_month(server: HistDataServer) -> None:
    before, first = asked("2007-01-01", "2009-06-01", "XAUUSD")
    assert pages(server) == ["2009"]
    assert (before.end, len(before.bars)) == (utc("2009-03-01 05:00"), 0)
    assert (first.start, first.end) == (before.end, utc("2009-06-01"))
    with pytest.raises(DataRequestError) as refusal:
        asked("2007-01-01", "2008-01-01", "XAUUSD")
    assert str(refusal.value) == "HistData has XAUUSD since 2009-03 only. Ask for a range after 2009-03-01."


def test_a_pair_that_is_not_on_the_list_is_asked_for_and_its_empty_years_are_empty(server: HistDataServer) -> None:
    slices = asked("2018-06-01", "2021-06-01", "ABCDEF")
    assert [each.bars.empty for each in slices] == [True, True, False, False]
    assert (slices[0].start, slices[-1].end) == (utc("2018-06-01"), utc("2021-06-01"))
    with pytest.raises(DataRequestError) as refusal:
        asked("2018-06-01", "2021-06-01", "EURUST")
    assert str(refusal.value) == "HistData has no EURUST for 2018 to 2021. Did you mean EURUSD?"


@pytest.mark.parametrize("symbol", ["AAPL", "SAP.DE", "BTCUSDT"])
def test_what_is_no_pair_is_refused_without_a_question(symbol: str, server: HistDataServer) -> None:
    with pytest.raises(DataRequestError, match=f"six letters, not {symbol}"):
        HistDataSource().check(symbol, Timeframe.M1, utc("2024-01-01"), utc("2024-02-01"))
    assert server.requests == []


def test_the_list_of_pairs_is_the_one_of_sixty_six() -> None:
    assert len(FIRST_MONTHS) == 66
    assert (FIRST_MONTHS["EURUSD"], FIRST_MONTHS["XAUUSD"], FIRST_MONTHS["SPXUSD"]) == ("2000-05", "2009-03", "2010-11")


def answering(server: HistDataServer, monkeypatch: pytest.MonkeyPatch, answer: Answer, times: int) -> None:
    """Let the page be answered so, so many times."""
    well, left = server.answer, iter(range(times))

    def say(request: Request) -> Answer:
        return answer if request.path == PAGE and next(left, None) is not None else well(request)

    monkeypatch.setattr(server, "answer", say)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(429, b"Too Many Requests", "text/plain"),
        Answer(503, b"", "text/html"),
        Answer.of_html("<html><title>Just a moment…</title></html>"),
        Answer(200, b"", "text/html"),
    ],
)
def test_a_page_that_is_not_the_sites_own_is_asked_for_again(
    answer: Answer, server: HistDataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(server, monkeypatch, answer, times=3)
    (july,) = asked("2026-07-06", "2026-07-08")
    assert len(july.bars) > 40
    answering(server, monkeypatch, answer, times=4)
    with pytest.raises(BusyServerError):
        asked("2026-07-06", "2026-07-08")


def test_a_site_that_refuses_is_not_asked_again_and_the_way_by_hand_is_shown(
    server: HistDataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(server, monkeypatch, Answer.of_html("<html>Forbidden</html>", 403), times=1)
    with pytest.raises(SourceUnavailableError) as refusal:
        asked("2026-07-06", "2026-07-08")
    assert refusal.value.what == "HistData refuses to be asked (HTTP 403)."
    address = f"{server.url}{PAGE}?/ascii/1-minute-bar-quotes/eurusd/2026/7"
    assert refusal.value.cure == f"Download the zip by hand ({address}) and import it."
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "form",
    [
        '<form id="file_down"></form>',
        '<form id="file_down"><input name="tk" value=""><input name="fxpair" value="EURUSD">'
        '<input name="datemonth" value="202607"></form>',
        '<form id="file_down"><input name="tk" value="a"><input name="fxpair" value="EURGBP">'
        '<input name="datemonth" value="202607"></form>',
        '<form id="file_down"><input name="tk" value="a"><input name="fxpair" value="EURUSD">'
        '<input name="datemonth" value="202606"></form>',
    ],
)
def test_a_page_without_a_token_for_what_was_asked_offers_nothing(
    form: str, server: HistDataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(server, monkeypatch, Answer.of_html(f"<html>HistData.com {form}</html>"), times=1)
    with pytest.raises(DataRequestError, match=r"HistData has no EURUSD for 2026-07\."):
        asked("2026-07-06", "2026-07-08")
    assert server.questions == []


@pytest.mark.parametrize("name", ["DAT_ASCII_EURGBP_M1_202607", "DAT_ASCII_EURUSD_M1_202606", "DAT_MT_EURUSD_T_202607"])
def test_a_zip_of_something_else_is_asked_for_again(
    name: str, server: HistDataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = zipped(BARS, name)
    monkeypatch.setattr(server, "zip_of", lambda pair, code: wrong)
    with pytest.raises(BusyServerError, match=f"HistData sent {name}.csv instead of EURUSD 2026-07"):
        asked("2026-07-06", "2026-07-08")
    assert len(server.questions) == 4


def test_a_download_is_no_larger_than_files_may_be(server: HistDataServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_DATA__CSV_MAX_MIB", "0.001")
    with pytest.raises(DataRequestError, match=r"HistData sends more than 0\.001 MiB"):
        asked("2026-07-06", "2026-07-08")


def test_the_program_says_who_it_is(server: HistDataServer) -> None:
    asked("2026-07-06", "2026-07-08")
    assert {each.headers["User-Agent"].split("/")[0] for each in server.requests} == {"Sequence"}
