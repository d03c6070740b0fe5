"""Files of the user's through the door of the pipeline: what is collected, what is refused, and with which words."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.csv_export import csv_bytes
from core.errors import InputError
from core.settings import current_settings
from data.pipeline_controller import DataConfig, controller
from data.sources.base import FileRequest, source_named
from data.sources.files import preview, read_file, read_shaped
from data.sources.shape import FileShape, checked_zone, guess_shape
from market.bars import check_bars
from market.timeframes import Timeframe

MadeBars = Callable[..., pd.DataFrame]
HEADER = "time,open,high,low,close,volume\n"
GOOD = [f"2024-01-02 {hour:02}:00,1.1,1.2,1.0,1.15,{hour}" for hour in range(6)]


def text_of(rows: list[str], header: str = HEADER) -> str:
    return header + "".join(f"{row}\n" for row in rows)


def with_line(number: int, row: str) -> str:
    """A good file whose line `number` (the header is line 1) reads otherwise."""
    return text_of([*GOOD[: number - 2], row, *GOOD[number - 1 :]])


def stored(folder: Path, content: str | bytes, name: str = "bars.csv") -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def asked(files: Any, **said: Any) -> DataConfig:
    return DataConfig(**{"data_sources": ["CSV"], "symbols": ["EURUSD"], "files": files, "timezone": "UTC", **said})


def collected(files: Any, **said: Any) -> pd.DataFrame:
    return controller.collect_data(asked(files, **said))[0]


def hours_in(bars: pd.DataFrame) -> list[int]:
    return list(pd.DatetimeIndex(bars.index).hour)


# What is collected


def test_a_file_is_collected_without_saying_its_dates(tmp_path: Path) -> None:
    bars = collected([stored(tmp_path, text_of(GOOD))])
    assert list(bars.columns) == ["open", "high", "low", "close", "volume", "symbol", "source"]
    assert len(bars) == 6
    (row,) = controller.get_pipeline_status()["collections"]
    assert (row["sources"], row["symbols"], row["timeframe"], row["rows"]) == (["CSV"], ["EURUSD"], "H1", 6)
    assert (row["start_date"], row["end_date"]) == ("2024-01-02T00:00:00.000Z", "2024-01-02T05:00:00.000Z")
    assert row["config"]["timezone"] == "UTC"


def test_a_file_becomes_a_version_that_says_where_it_came_from(tmp_path: Path) -> None:
    version = controller.prepare(asked([stored(tmp_path, text_of(GOOD))]))
    assert (version.symbols, version.timeframe, version.rows, version.verdict) == (["EURUSD"], "H1", 6, "FAIL")
    assert set(version.frame()["source"]) == {"CSV"}


def test_one_file_may_stand_without_a_list_and_relative_to_the_home(home: Path) -> None:
    stored(home, text_of(GOOD), "own.csv")
    assert len(collected("own.csv")) == 6


def test_a_range_takes_the_bars_that_open_in_it(tmp_path: Path) -> None:
    bars = collected([stored(tmp_path, text_of(GOOD))], start_date="2024-01-02 01:00", end_date="2024-01-02 03:00")
    assert hours_in(bars) == [1, 2]


def test_longer_bars_are_joined_from_those_of_the_file(tmp_path: Path) -> None:
    minutes = pd.date_range("2024-01-02", periods=60, freq="min").strftime("%Y-%m-%d %H:%M")
    rows = [f"{minute},1.1,{1.2 + place / 100:.2f},1.0,1.15,1" for place, minute in enumerate(minutes)]
    file = stored(tmp_path, text_of(rows))
    bars = collected([file], timeframe="M15")
    assert [len(bars), bars["high"].iloc[0], bars["volume"].iloc[0]] == [4, 1.34, 15.0]
    offer = source_named("CSV", FileRequest((file,), {"timezone": "UTC"})).offer()
    assert offer.timeframes[:2] == (Timeframe.M1, Timeframe.M5)


@pytest.mark.parametrize("timeframe", ["M1", "D1"])
def test_a_single_bar_is_of_the_timeframe_that_is_asked_for(timeframe: str, tmp_path: Path) -> None:
    bars = collected([stored(tmp_path, text_of(GOOD[:1]))], timeframe=timeframe)
    assert len(bars) == 1
    assert controller.get_pipeline_status()["collections"][0]["timeframe"] == timeframe


def test_several_files_of_one_symbol_are_joined_in_order_of_time(tmp_path: Path) -> None:
    late, early = stored(tmp_path, text_of(GOOD[3:]), "b.csv"), stored(tmp_path, text_of(GOOD[:3]), "a.csv")
    assert hours_in(collected([late, early])) == [0, 1, 2, 3, 4, 5]


def test_each_symbol_takes_its_own_file(tmp_path: Path) -> None:
    euro = stored(tmp_path, text_of(GOOD), "euro.csv")
    yen = stored(tmp_path, text_of(["2024-01-02 00:00,150,151,149,150.5,1"]), "yen.csv")
    bars = collected([euro, yen], symbols=["EURUSD", "USDJPY"])
    assert bars.groupby("symbol").size().to_dict() == {"EURUSD": 6, "USDJPY": 1}


def test_of_a_file_of_several_symbols_the_asked_ones_are_read(tmp_path: Path) -> None:
    rows = [f"{name},{row}" for name in ("EUR/USD", "GBP/USD") for row in GOOD]
    file = stored(tmp_path, text_of(rows, f"pair,{HEADER}"))
    bars = collected([file, file], symbols=["GBPUSD", "EURUSD"])
    assert bars.groupby("symbol").size().to_dict() == {"EURUSD": 6, "GBPUSD": 6}
    offer = source_named("CSV", FileRequest((file,), {"timezone": "UTC"})).offer()
    assert offer.timeframes[0] is Timeframe.H1
    with pytest.raises(InputError) as refusal:
        collected([file], symbols=["USDJPY"])
    assert str(refusal.value) == "bars.csv holds no bars of 'USDJPY'. It holds: EURUSD, GBPUSD."


def test_the_spread_of_ticks_counts_in_points_of_their_symbol(tmp_path: Path) -> None:
    file = stored(tmp_path, "time,bid,ask\n2024-01-02T00:00:00Z,150.10,150.12\n2024-01-02T00:00:01Z,150.10,150.14\n")
    assert collected([file], symbols=["USDJPY"])["spread_points"].round(6).tolist() == [30.0]


def test_a_file_is_parsed_once_a_collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []

    def counted(path: Path, said: Any) -> FileShape:
        reads.append(path)
        return guess_shape(path, said)

    monkeypatch.setattr("data.sources.files.guess_shape", counted)
    collected([stored(tmp_path, text_of(GOOD))], timeframe="H4")
    assert len(reads) == 1


def test_a_preview_reads_the_first_rows_only(tmp_path: Path) -> None:
    file = stored(tmp_path, with_line(7, "2024-01-02 05:00,x,y,z,1,1"))
    lines, rows = preview(file, guess_shape(file, {"timezone": "UTC"}), rows=2)
    assert lines == ["2024-01-02 00:00 | 1.1 | 1.2 | 1.0 | 1.15 | 0", "2024-01-02 01:00 | 1.1 | 1.2 | 1.0 | 1.15 | 1"]
    assert list(rows["close"]) == [1.15, 1.15]


def test_a_quoted_field_may_hold_the_delimiter_and_line_breaks(tmp_path: Path) -> None:
    rows = [f'{row},"a note; long, and\nof two lines"' for row in GOOD]
    file = stored(tmp_path, text_of([*rows, "2024-01-02 06:00,1.1,1.2,oops,1.15,6,"], f"{HEADER.strip()},note\n"))
    with pytest.raises(InputError, match=r"line 14 \(2024-01-02 06:00\): low='oops' is no number"):
        read_file(file, {"timezone": "UTC"}, "EURUSD")


# What is refused


@dataclass(frozen=True)
class Refusal:
    """A file (or what stands in its place), what is said of it, and the sentence that answers."""

    content: str | bytes
    sentence: str
    said: dict[str, Any] = field(default_factory=dict)
    name: str = "bars.csv"


def workbook() -> bytes:
    """What Excel saves, without Excel."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return content.getvalue()


UNREADABLE = " Correct or remove the line."
ALIKE = " Write all times alike: correct or remove the line, or pass the time_format that is meant."
NO_PRICE = " Drop the row or fill it before it is used."
NEEDED = " A row needs a time and open, high, low and close; name the delimiter if it is an unusual one."
AS_TEXT = " Export the prices as CSV text."

REFUSED = {
    # The columns
    "no column of closes": Refusal(
        "time,open,high,low\n2024-01-02,1.1,1.2,1.0\n",
        "bars.csv has no column for close; its header reads: time, open, high, low. "
        "Say which it is, for example columns={'close': 1} (positions from 0).",
    ),
    "columns of something else": Refusal(
        "when,wind,rain,sun\n2024-01-02,1.1,1.2,1.0\n",
        "bars.csv has no column for open, high, low, close; its header reads: when, wind, rain, sun. "
        "Say which it is, for example columns={'open': 1} (positions from 0).",
    ),
    "no column of times": Refusal(
        "1,1.1,1.2,1.0,1.15\n2,1.1,1.2,1.0,1.15\n",
        "bars.csv has no column for time, open, high, low, close; it has 5 columns and no header. "
        "Say which it is, for example columns={'time': 1} (positions from 0).",
    ),
    "trades, not quotes": Refusal(
        "2024-01-02 00:00,1.1,\n2024-01-02 00:01,1.1,\n",
        "bars.csv holds no rows of prices that could be told apart: its last line reads "
        f"'2024-01-02 00:01,1.1,'.{NEEDED}",
    ),
    "decimal commas between commas": Refusal(
        text_of([row.replace(".", ",") for row in GOOD]),
        "bars.csv has 10 fields in a row, but its header names 6 columns: time, open, high, low, close, volume. "
        "Decimal commas between commas need quotes or another delimiter; correct the header or the rows.",
    ),
    "decimal commas between commas, without a header": Refusal(
        "2024-01-02 00:00,1,10,1,12,1,09,1,11\n",
        "bars.csv, line 1 (2024-01-02 00:00:00 UTC): open 1, high 10, low 1 and close 12 cannot be one bar. "
        "The high must be the highest of the four and the low the lowest; correct or drop the row.",
    ),
    # The order of rows
    "a time earlier than the one before": Refusal(
        text_of([*GOOD[:2], GOOD[4], GOOD[3]]),
        "bars.csv, line 5 (2024-01-02 03:00:00 UTC) is earlier than the row before it. Sort the rows by time.",
    ),
    "a time twice": Refusal(
        text_of([*GOOD[:3], GOOD[2]]),
        "bars.csv, line 5 (2024-01-02 02:00:00 UTC) has the same time as the row before it. Drop the double.",
    ),
    "a time twice in a file that begins with the newest": Refusal(
        text_of([GOOD[3], GOOD[2], GOOD[2], GOOD[1]]),
        "bars.csv, line 3 (2024-01-02 02:00:00 UTC) has the same time as the row before it. Drop the double.",
    ),
    "ticks out of order": Refusal(
        "time,bid,ask\n2024-01-02 00:00:00,1.1,1.2\n2024-01-02 00:00:02,1.1,1.2\n2024-01-02 00:00:01,1.1,1.2\n",
        "bars.csv, line 4 (2024-01-02 00:00:01 UTC) is earlier than the row before it. Sort the rows by time.",
    ),
    # The prices
    "an empty price": Refusal(
        with_line(5, "2024-01-02 03:00,1.1,1.2,1.0,,3"),
        f"bars.csv, line 5 (2024-01-02 03:00:00 UTC): close=nan is no price.{NO_PRICE}",
    ),
    "Yahoo's null": Refusal(
        with_line(5, "2024-01-02 03:00,null,null,null,null,null"),
        f"bars.csv, line 5 (2024-01-02 03:00:00 UTC): open=nan is no price.{NO_PRICE}",
    ),
    "a price of zero": Refusal(
        with_line(3, "2024-01-02 01:00,1.1,1.2,0,1.15,3"),
        f"bars.csv, line 3 (2024-01-02 01:00:00 UTC): low=0 is no price.{NO_PRICE}",
    ),
    "a negative price": Refusal(
        with_line(3, "2024-01-02 01:00,-1.1,1.2,1.0,1.15,3"),
        f"bars.csv, line 3 (2024-01-02 01:00:00 UTC): open=-1.1 is no price.{NO_PRICE}",
    ),
    "a price without end": Refusal(
        with_line(3, "2024-01-02 01:00,1.1,inf,1.0,1.15,3"),
        f"bars.csv, line 3 (2024-01-02 01:00:00 UTC): high=inf is no price.{NO_PRICE}",
    ),
    "a high below the low": Refusal(
        with_line(3, "2024-01-02 01:00,67234.51,67234.50,67234.55,67234.52,3"),
        "bars.csv, line 3 (2024-01-02 01:00:00 UTC): open 67234.51, high 67234.5, low 67234.55 and close 67234.52 "
        "cannot be one bar. The high must be the highest of the four and the low the lowest; correct or drop the row.",
    ),
    "text in a price": Refusal(
        with_line(5, "2024-01-02 03:00,1.1,1.2,1.0,abc,3"),
        f"bars.csv, line 5 (2024-01-02 03:00): close='abc' is no number.{UNREADABLE}",
    ),
    "text in the first price": Refusal(
        with_line(2, "2024-01-02 00:00,n.a.,1.2,1.0,1.1,3"),
        f"bars.csv, line 2 (2024-01-02 00:00): open='n.a.' is no number.{UNREADABLE}",
    ),
    "text in the first price, without a header": Refusal(
        text_of(["2024-01-02 00:00,?,1.2,1.0,1.1,3", *GOOD[1:]], ""),
        f"bars.csv, line 1 (2024-01-02 00:00): open='?' is no number.{UNREADABLE}",
    ),
    "text in a volume": Refusal(
        with_line(5, "2024-01-02 03:00,1.1,1.2,1.0,1.15,many"),
        f"bars.csv, line 5 (2024-01-02 03:00): volume='many' is no number.{UNREADABLE}",
    ),
    "a decimal comma among points": Refusal(
        text_of(["2024-01-02 00:00;1.1;1.2;1.0;1.15;0", "2024-01-02 01:00;1,105;1,2;1,0;1,15;1"]),
        "bars.csv, line 3 (2024-01-02 01:00): open='1,105' is no number. "
        "Correct or remove the line, or pass decimal=',' if all are written so.",
    ),
    "a negative bid": Refusal(
        "time,bid,ask\n2024-01-02 00:00:00,1.1,1.2\n2024-01-02 00:00:01,-1.1,1.2\n",
        "bars.csv, line 3 (2024-01-02 00:00:01 UTC): bid=-1.1 is no price. Correct or drop the row.",
    ),
    # The times
    "no zone": Refusal(
        text_of(GOOD),
        "The times of bars.csv carry no time zone. Pass timezone='UTC', or the vendor's: 'America/New_York+7' is the "
        "clock of most MetaTrader brokers.",
        {"timezone": None},
    ),
    "mixed formats of dates": Refusal(
        text_of([*GOOD[:3], "02.01.2024 03:00,1.1,1.2,1.0,1.15,3"]),
        f"bars.csv, line 5: the time '02.01.2024 03:00' does not read as %Y-%m-%d %H:%M.{ALIKE}",
    ),
    "days first, then months": Refusal(
        text_of([f"{day}/12/2024,1,1,1,1,1" for day in range(10, 20)] + ["12/20/2024,1,1,1,1,1"]),
        f"bars.csv, line 12: the time '12/20/2024' does not read as %d/%m/%Y.{ALIKE}",
    ),
    "seconds and milliseconds": Refusal(
        text_of(["1704153600,1,1,1,1,1", "1704157200,1,1,1,1,1", "1704160800000,1,1,1,1,1"]),
        f"bars.csv, line 4: the time '1704160800000' does not read as epoch seconds.{ALIKE}",
    ),
    "an hour there is not": Refusal(
        with_line(5, "2024-01-02 25:00,1.1,1.2,1.0,1.15,3"),
        f"bars.csv, line 5: the time '2024-01-02 25:00' does not read as %Y-%m-%d %H:%M.{ALIKE}",
    ),
    "a year no market has seen": Refusal(
        text_of(["0001-01-01 00:00,1,1,1,1,1", "2024-01-02 00:00,1,1,1,1,1"]),
        "bars.csv, line 2: the time '0001-01-01 00:00', read as %Y-%m-%d %H:%M, lies outside the years 1900 to 2199. "
        "Correct or remove the line, or pass the time_format that is meant.",
    ),
    "times with a zone and without": Refusal(
        text_of(["2024-01-02 00:00+00:00,1,1,1,1,1", "2024-01-02 01:00+00:00,1,1,1,1,1", "2024-01-02 02:00,1,1,1,1,1"]),
        f"bars.csv, line 4: the time '2024-01-02 02:00' does not read as %Y-%m-%d %H:%M%z.{ALIKE}",
    ),
    "no time": Refusal(
        with_line(5, ",1.1,1.2,1.0,1.15,3"),
        f"bars.csv, line 5: the time '' does not read as %Y-%m-%d %H:%M.{ALIKE}",
    ),
    "words for the first time": Refusal(
        with_line(2, "soon,1.1,1.2,1.0,1.15,3"),
        f"bars.csv, line 2: the time 'soon' does not read as %Y-%m-%d %H:%M.{ALIKE}",
    ),
    "a header in the middle": Refusal(
        with_line(5, HEADER.strip()),
        f"bars.csv, line 5: the time 'time' does not read as %Y-%m-%d %H:%M.{ALIKE}",
    ),
    "a spreadsheet's day numbers": Refusal(
        text_of(["45293.000000,1.1,1.2,1.0,1.15,3", "45293.041667,1.1,1.2,1.0,1.15,3"]),
        "The times of bars.csv cannot be read; the first is '45293.000000'. "
        "These are a spreadsheet's day numbers: format the column as date and time, and export it again.",
    ),
    "a date nobody can read": Refusal(
        text_of(["2nd of Jan,1.1,1.2,1.0,1.15,3"]),
        "The times of bars.csv cannot be read; the first is '2nd of Jan'. "
        "Name their format, for example time_format='%d.%m.%Y %H:%M'.",
    ),
    "an order of day and month that cannot be known": Refusal(
        text_of(["01/02/2024,1.1,1.2,1.0,1.15,3"]),
        "bars.csv: '01/02/2024' may be read as %d/%m/%Y or as %m/%d/%Y; both fit every row looked at. "
        "Say which it is: pass time_format (or decimal) as it is meant.",
    ),
    "an hour that the zone leaps over": Refusal(
        text_of([f"2024-03-31 0{hour}:30,1,1,1,1,1" for hour in (1, 2, 3, 4)]),
        "bars.csv, line 4: there is no 2024-03-31 03:30 in Europe/Athens, whose clock leaps over it in spring. "
        "Choose the zone the vendor really uses.",
        {"timezone": "Europe/Athens"},
    ),
    "an hour that a broker's clock leaps over": Refusal(
        text_of([f"2024-03-10 {hour}:00,1,1,1,1,1" for hour in ("08", "09")]),
        "bars.csv, line 3: there is no 2024-03-10 09:00 in America/New_York+7, whose clock leaps over it in spring. "
        "Choose the zone the vendor really uses.",
        {"timezone": "America/New_York+7"},
    ),
    # The rows
    "a field too few": Refusal(
        with_line(5, "2024-01-02 03:00,1.1,1.2,1.0,3"),
        "bars.csv, line 5 has 5 fields, not 6: '2024-01-02 03:00,1.1,1.2,1.0,3'. Complete or remove the line.",
    ),
    "a field too many": Refusal(
        with_line(5, "2024-01-02 03:00,1.1,1.2,1.0,1.15,3,9"),
        "bars.csv, line 5 has 7 fields, not 6: '2024-01-02 03:00,1.1,1.2,1.0,1.15,3,9'. Complete or remove the line.",
    ),
    "a last row cut off": Refusal(
        text_of(GOOD) + "2024-01-02 06:00,1.1",
        "bars.csv, line 8 has 2 fields, not 6: '2024-01-02 06:00,1.1'. Complete or remove the line.",
    ),
    "a first row cut off": Refusal(
        with_line(2, "2024-01-02 00:00,1.1"),
        "bars.csv, line 2 has 2 fields, not 6: '2024-01-02 00:00,1.1'. Complete or remove the line.",
    ),
    "a remark below": Refusal(
        text_of(GOOD) + "(c) the vendor\n",
        "bars.csv, line 8 has 1 field, not 6: '(c) the vendor'. Complete or remove the line.",
    ),
    "a quote that is never closed": Refusal(
        with_line(6, '2024-01-02 04:00,"1.1,1.2,1.0,1.15,3'),
        "bars.csv, line 6 has 2 fields, not 6: '2024-01-02 04:00,1.1,1.2,1.0,1.15,3\\n2024-01-02 05:00,1.1,1.2'. "
        "Close its quotes.",
    ),
    "a quote that is never closed, above the first row": Refusal(
        HEADER + '"' + text_of(GOOD, ""),
        "bars.csv, line 2 has 1 field, not 6: '2024-01-02 00:00,1.1,1.2,1.0,1.15,0\\n2024-01-02 01:00,1.1,1.2'. "
        "Close its quotes.",
    ),
    "a quote that is never closed, at the beginning of a long file": Refusal(
        '"' + text_of(GOOD, "") + text_of(GOOD, "") * 2000,
        "bars.csv, line 1 cannot be cut into fields: field larger than field limit (131072). "
        "Close the quotes that are open.",
    ),
    # What the user said
    "a delimiter that is another": Refusal(
        text_of(GOOD),
        "bars.csv is not separated by ';': its last line reads '2024-01-02 05:00,1.1,1.2,1.0,1.15,5'. "
        "Its rows look separated by ','.",
        {"delimiter": ";"},
    ),
    "a delimiter that is none": Refusal(
        text_of(GOOD),
        "delimiter='||' cannot be used. Write one sign: ',' ';' '|' ' ' or '\\t'.",
        {"delimiter": "||"},
    ),
    "a decimal sign that is another": Refusal(
        text_of(GOOD),
        "bars.csv, line 2 (2024-01-02 00:00): open='1.1' is no number. "
        "Correct or remove the line, or pass decimal='.' if all are written so.",
        {"decimal": ","},
    ),
    "a time format that is another": Refusal(
        text_of(GOOD),
        f"bars.csv, line 2: the time '2024-01-02 00:00' does not read as %d.%m.%Y.{ALIKE}",
        {"time_format": "%d.%m.%Y"},
    ),
    "a time format that is none": Refusal(
        text_of(GOOD),
        "time_format='%Q' cannot be used: 'Q' is a bad directive in format '%Q'. Write it as in '%d.%m.%Y %H:%M'.",
        {"time_format": "%Q"},
    ),
    "a field there is not": Refusal(
        text_of(GOOD),
        "columns: there is no field 'clos'. Did you mean 'close'? Known: time, clock, open, high, low, close, volume, "
        "spread_points, bid, ask, symbol.",
        {"columns": {"clos": 4}},
    ),
    "a position there is not": Refusal(
        text_of(GOOD),
        "columns: 'close' cannot be column 6; bars.csv has 6 columns. Count from 0 to 5.",
        {"columns": {"close": 6}},
    ),
    "a timeframe shorter than the bars": Refusal(
        text_of(GOOD), "H1 bars cannot be split into M5. Ask for H1 or longer.", {"timeframe": "M5"}
    ),
    "a range that holds nothing": Refusal(
        text_of(GOOD),
        "The files hold no whole H1 bar from 2025-01-01 00:00 to 2025-01-03 00:00 UTC. "
        "They hold 6 H1 bars from 2024-01-02 00:00 to 2024-01-02 05:00 UTC.",
        {"start_date": "2025-01-01", "end_date": "2025-01-02"},
    ),
    "bars too few for a longer one": Refusal(
        text_of(GOOD),
        "The files hold no whole D1 bar from 1900-01-01 00:00 to 2200-01-01 00:00 UTC. "
        "They hold 6 H1 bars from 2024-01-02 00:00 to 2024-01-02 05:00 UTC.",
        {"timeframe": "D1"},
    ),
    # What is no such file at all
    "0 bytes": Refusal("", "bars.csv is empty (0 bytes). Export it again."),
    "blank lines": Refusal(
        "\n \n",
        "bars.csv holds no rows of prices that could be told apart: no whole line stands in its last 64 KiB." + NEEDED,
    ),
    "a header alone": Refusal(
        HEADER,
        "bars.csv holds no rows of prices that could be told apart: its last line reads "
        f"'time,open,high,low,close,volume'.{NEEDED}",
    ),
    "prose": Refusal(
        "Dear customer,\nyour data will follow.\n",
        "bars.csv holds no rows of prices that could be told apart: its last line reads "
        f"'your data will follow.'.{NEEDED}",
    ),
    "one endless line": Refusal(
        "x" * 200_000,
        "bars.csv holds no rows of prices that could be told apart: no whole line stands in its last 64 KiB." + NEEDED,
    ),
    "a binary file": Refusal(bytes(range(256)) * 9, f"bars.csv is a binary file, not text.{AS_TEXT}"),
    "a spreadsheet": Refusal(
        workbook(), f"bars.csv is a spreadsheet or zip archive, whatever its ending says.{AS_TEXT}"
    ),
    "an old spreadsheet": Refusal(
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500),
        f"bars.csv is an old Excel workbook, whatever its ending says.{AS_TEXT}",
    ),
    "a packed file": Refusal(b"\x1f\x8b\x08\x00abcdef", f"bars.csv is a gzip archive.{AS_TEXT}"),
    "a web page": Refusal("\n<!DOCTYPE html>\n<p>Sign in</p>", f"bars.csv is a web page.{AS_TEXT}"),
    "JSON": Refusal('[{"time": 1704153600, "open": 1.1}]', f"bars.csv is JSON.{AS_TEXT}"),
    "a Parquet file under another name": Refusal(
        b"PAR1....", "bars.csv is a Parquet file. Give it the ending .parquet."
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_meant_is_refused_with_a_sentence_and_nothing_is_stored(
    case: str, tmp_path: Path, home: Path
) -> None:
    refused = REFUSED[case]
    file = stored(tmp_path, refused.content, refused.name)
    with pytest.raises(InputError) as refusal:
        collected([file], **refused.said)
    assert str(refusal.value) == refused.sentence
    assert list(home.iterdir()) == []


def refused(act: Callable[[], object]) -> str:
    """The sentence with which something is refused."""
    with pytest.raises(InputError) as refusal:
        act()
    return str(refusal.value)


def test_a_file_of_600_mib_is_refused_by_its_size_before_it_is_read(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = stored(tmp_path, text_of(GOOD))
    os.truncate(file, 600 * 2**20)
    current_settings()
    monkeypatch.setattr(Path, "open", lambda *_, **__: pytest.fail("it was opened"))
    assert refused(lambda: collected([file])) == (
        "bars.csv has 600 MiB, more than the 512 MiB that are read at once. "
        "Split it by years, or raise data.csv_max_mib."
    )
    assert list(home.iterdir()) == []


def test_the_limit_of_size_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_DATA__CSV_MAX_MIB", "0.5")
    rows = text_of(GOOD) * 3000
    assert "more than the 0.5 MiB that are read at once" in refused(lambda: collected([stored(tmp_path, rows)]))


def test_a_file_there_is_not_and_a_folder_are_refused(tmp_path: Path, home: Path) -> None:
    absent = tmp_path / "absent.csv"
    assert refused(lambda: collected([absent])) == (
        f"There is no file {absent}. Check the path; relative ones start at SEQUENCE_HOME."
    )
    assert refused(lambda: collected([tmp_path])) == f"{tmp_path} is a folder, not a file. Name the files in it."
    assert list(home.iterdir()) == []


def test_files_that_overlap_are_refused(tmp_path: Path, home: Path) -> None:
    early, late = stored(tmp_path, text_of(GOOD[:4]), "a.csv"), stored(tmp_path, text_of(GOOD[3:]), "b.csv")
    assert refused(lambda: collected([late, early])) == (
        "The files overlap: b.csv begins at 2024-01-02 03:00 UTC, before a.csv ends (2024-01-02 03:00). "
        "Give each time once, or collect them apart."
    )
    assert "The files overlap: a.csv begins at" in refused(lambda: collected([early, early]))
    assert list(home.iterdir()) == []


def test_files_of_different_bars_are_refused(tmp_path: Path, home: Path) -> None:
    hours = pd.date_range("2024-01-01", periods=10, freq="h").strftime("%Y-%m-%d %H:%M,1,1,1,1,1")
    days = pd.date_range("2024-02-01", periods=10, freq="D").strftime("%Y-%m-%d %H:%M,1,1,1,1,1")
    files = [stored(tmp_path, text_of(list(days)), "d.csv"), stored(tmp_path, text_of(list(hours)), "h.csv")]
    assert refused(lambda: collected(files)) == (
        "The files hold different bars: h.csv H1, d.csv D1. Collect each timeframe by itself."
    )
    assert list(home.iterdir()) == []


def test_a_refused_file_among_good_ones_leaves_nothing(tmp_path: Path, home: Path) -> None:
    good = stored(tmp_path, text_of(GOOD), "good.csv")
    bad = stored(tmp_path, with_line(4, "2024-01-02 02:00,0,0,0,0,0"), "bad.csv")
    assert "bad.csv, line 4" in refused(lambda: collected([good, bad], symbols=["EURUSD", "GBPUSD"]))
    assert list(home.iterdir()) == []


def test_files_and_symbols_must_pair_off(tmp_path: Path) -> None:
    file = stored(tmp_path, text_of(GOOD))
    assert refused(lambda: asked([file, file, file], symbols=["EURUSD", "GBPUSD"])) == (
        "3 files cannot be shared among 2 symbols. Name one symbol for all of them, or one for each."
    )


def test_the_sample_reads_no_files_and_csv_reads_nothing_else(tmp_path: Path, home: Path) -> None:
    file = stored(tmp_path, text_of(GOOD))
    assert refused(lambda: collected([file], data_sources=["Sample"])) == (
        "The source Sample reads no files. For files name data_sources=['CSV']."
    )
    assert refused(lambda: collected([], start_date="2024-01-01", end_date="2024-01-02")) == (
        "The source CSV reads files, and none was named. Pass files=['bars.csv']."
    )
    assert refused(lambda: asked([])) == "DataConfig needs 'start_date', and it was not given. Give it a value."
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("europe/london", "Did you mean 'Europe/London'? "),
        ("Europe/Atens", "Did you mean 'Europe/Athens'? "),
        ("America/New_Yrok+7", "Did you mean 'America/New_York'? "),
        ("UTC+20", ""),
        ("/etc/passwd", ""),
    ],
)
def test_a_zone_there_is_not_is_refused_and_the_nearest_named(zone: str, hint: str) -> None:
    assert refused(lambda: asked(["bars.csv"], timezone=zone)) == (
        f"timezone={zone!r} is no time zone. {hint}"
        "Write UTC, an IANA name (Europe/London), or America/New_York+7 for most MetaTrader brokers."
    )


@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/London", "Etc/GMT+5", "EST5EDT", "America/New_York+7", "UTC+2", "GMT-3"]
)
def test_a_zone_is_an_iana_name_or_hours_beside_one(zone: str) -> None:
    assert checked_zone(zone) == zone


# Parquet


def test_a_parquet_file_is_read_through_the_same_door(tmp_path: Path, made: MadeBars) -> None:
    bars = made([1.1, 1.2, 1.3], symbol="EURUSD")
    bars.assign(sma_20=np.nan).to_parquet(tmp_path / "own.parquet")
    bars.reset_index().assign(time=lambda frame: frame["time"].dt.tz_localize(None)).to_parquet(
        tmp_path / "two.parquet"
    )
    for name in ("own.parquet", "two.parquet"):
        read = read_file(tmp_path / name, {}, "EURUSD")
        pd.testing.assert_frame_equal(read, bars.drop(columns=["symbol", "source"]), check_freq=False)


def test_a_parquet_file_that_cannot_be_meant_is_refused(tmp_path: Path, made: MadeBars, home: Path) -> None:
    bars = made([1.1, 1.2])
    bars.reset_index(drop=True).to_parquet(tmp_path / "timeless.parquet")
    bars.assign(high=[1.0, 0.1]).to_parquet(tmp_path / "high.parquet")
    (tmp_path / "text.parquet").write_text(text_of(GOOD), encoding="utf-8")
    (tmp_path / "empty.parquet").touch()
    sentences = {
        "timeless": "timeless.parquet has no column of times. Write it with a datetime column or index.",
        "high": "high.parquet, row 0 (2024-01-01 00:00:00 UTC): open 1.1, high 1, low 0.6 and close 1.1 cannot be one",
        "text": "text.parquet cannot be read as Parquet (",
        "empty": "empty.parquet is empty (0 bytes). Export it again.",
        "absent": f"There is no file {tmp_path / 'absent.parquet'}.",
    }
    for name, sentence in sentences.items():
        assert refused(partial(collected, [tmp_path / f"{name}.parquet"])).startswith(sentence)
    assert list(home.iterdir()) == []


# Clocks that change in spring and autumn


def on_the_wall(times: pd.DatetimeIndex, zone: str, ahead: int = 0) -> list[str]:
    """What a wall clock in `zone`, some hours ahead of it, shows at these moments."""
    return list((times.tz_convert(zone).tz_localize(None) + pd.Timedelta(hours=ahead)).strftime("%Y-%m-%d %H:%M:%S"))


def read_from_the_wall(folder: Path, shown: list[str], zone: str) -> pd.DatetimeIndex:
    file = stored(folder, text_of([f"{time},1,1,1,1,1" for time in shown]))
    return pd.DatetimeIndex(read_file(file, {"timezone": zone}, "BTCUSD").index)


def always(first: str, last: str, every: str) -> pd.DatetimeIndex:
    return pd.date_range(first, last, freq=every, tz="UTC", unit="us", name="time")


CHANGES = {
    "Athens, both weekends": ("2024-03-25", "2024-11-02", "Europe/Athens", 0),
    "New York, both weekends": ("2024-03-08", "2024-11-05", "America/New_York", 0),
    "a broker on New York's clock": ("2024-03-08", "2024-11-05", "America/New_York", 7),
    "an island that shifts by half an hour": ("2024-04-01", "2024-10-10", "Australia/Lord_Howe", 0),
    "two years": ("2023-10-20", "2025-11-10", "Europe/Athens", 0),
}


@pytest.mark.parametrize("every", ["15min", "30min", "h"])
@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("case", CHANGES)
def test_bars_of_a_market_that_never_closes_keep_their_times(
    case: str, every: str, newest_first: bool, tmp_path: Path
) -> None:
    first, last, zone, ahead = CHANGES[case]
    times = always(first, last, every)
    shown = on_the_wall(times, zone, ahead)
    name = f"{zone}+{ahead}" if ahead else zone
    read = read_from_the_wall(tmp_path, shown[::-1] if newest_first else shown, name)
    assert list(read) == list(times)


@pytest.mark.parametrize(("zone", "ahead"), [("Europe/Athens", 0), ("America/New_York", 7)])
def test_bars_of_a_week_that_ends_on_friday_keep_their_times(zone: str, ahead: int, tmp_path: Path) -> None:
    times = always("2024-03-01", "2024-12-01", "h")
    eastern = times.tz_convert("America/New_York") + pd.Timedelta(hours=7)
    times = times[eastern.day_of_week < 5]
    shown = on_the_wall(times, zone, ahead)
    read = read_from_the_wall(tmp_path, shown, f"{zone}+{ahead}" if ahead else zone)
    assert list(read) == list(times)


def test_a_broker_whose_day_begins_at_new_yorks_close_gives_full_trading_days(tmp_path: Path) -> None:
    read = read_from_the_wall(tmp_path, ["2024-03-08 00:00:00", "2024-03-11 00:00:00"], "America/New_York+7")
    assert [f"{time:%Y-%m-%d %H:%M}" for time in read] == ["2024-03-07 22:00", "2024-03-10 21:00"]


def test_an_hour_of_autumn_that_is_there_once_is_its_second_pass(tmp_path: Path) -> None:
    read = read_from_the_wall(tmp_path, [f"2024-10-27 0{hour}:00:00" for hour in (2, 3, 4)], "Europe/Athens")
    assert [f"{time:%H:%M}" for time in read] == ["23:00", "01:00", "02:00"]


def test_holes_in_the_hour_that_autumn_repeats_do_not_confuse_its_passes(tmp_path: Path) -> None:
    shown = ["02:45", "03:00", "03:45", "03:15", "03:30", "04:00"]
    read = read_from_the_wall(tmp_path, [f"2024-10-27 {time}:00" for time in shown], "Europe/Athens")
    assert [f"{time:%H:%M}" for time in read] == ["23:45", "00:00", "00:45", "01:15", "01:30", "02:00"]


def test_ticks_of_one_moment_are_not_the_second_pass_of_autumn(tmp_path: Path) -> None:
    rows = [f"2024-10-27 {time},1.1,1.2" for time in ("03:10:00.5", "03:10:00.5", "03:50:00.0", "03:05:00.0")]
    file = stored(tmp_path, "time,bid,ask\n" + "\n".join(rows))
    ticks = read_shaped(file, guess_shape(file, {"timezone": "Europe/Athens"}))
    assert [f"{time:%H:%M}" for time in ticks.index] == ["00:10", "00:10", "00:50", "01:05"]


# What was exported


@st.composite
def some_bars(draw: st.DrawFn) -> pd.DataFrame:
    """Bars of any prices a float can hold exactly or not, at rising seconds."""
    count = draw(st.integers(2, 30))
    step = draw(st.sampled_from([60, 300, 3600, 86_400]))
    start = draw(st.integers(0, 2_000_000_000))
    gaps = draw(st.lists(st.integers(1, 5), min_size=count, max_size=count))
    price = st.floats(1e-3, 1e6, allow_nan=False, allow_subnormal=False)
    prices = np.sort([draw(st.tuples(price, price, price, price)) for _ in range(count)], axis=1)
    seconds = start + step * np.cumsum(gaps)
    return pd.DataFrame(
        {
            "open": prices[:, 1],
            "high": prices[:, 3],
            "low": prices[:, 0],
            "close": prices[:, 2],
            "volume": [float(draw(st.integers(0, 10**9))) for _ in range(count)],
        },
        index=pd.DatetimeIndex(seconds.astype("datetime64[s]"), name="time").tz_localize("UTC").as_unit("us"),
    )


@pytest.mark.parametrize("comma", ["false", "true"])
@given(bars=some_bars())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_was_exported_is_read_back_to_the_last_bit(
    bars: pd.DataFrame, comma: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQUENCE_DISPLAY__CSV_DECIMAL_COMMA", comma)
    file = stored(tmp_path, csv_bytes(bars))
    pd.testing.assert_frame_equal(read_file(file, {}, "EURUSD"), bars, check_exact=True, check_freq=False)


@pytest.mark.parametrize("comma", ["false", "true"])
def test_a_version_with_all_its_columns_is_read_back_as_its_raw_bars(
    comma: str, sample_config: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQUENCE_DISPLAY__CSV_DECIMAL_COMMA", comma)
    prepared = {"normalize": True, "engineer_features": True}
    version = controller.prepare(sample_config.model_copy(update={"preprocessing": prepared}))
    file = stored(tmp_path, csv_bytes(version.frame()))
    again = collected([file], timezone=None)
    raw = ["open", "high", "low", "close", "volume"]
    pd.testing.assert_frame_equal(again[raw], version.frame()[raw], check_exact=True, check_freq=False)
    parquet = read_file(version.parquet_file, {}, "EURUSD")
    pd.testing.assert_frame_equal(parquet, version.frame()[raw], check_exact=True, check_freq=False)


def test_an_export_of_several_symbols_is_read_back_symbol_by_symbol(tmp_path: Path, made: MadeBars) -> None:
    both = pd.concat([made([1.1, 1.2, 1.3], symbol="EURUSD"), made([150.0, 151.0], symbol="USDJPY")])
    file = stored(tmp_path, csv_bytes(both))
    again = collected([file, file], symbols=["EURUSD", "USDJPY"], timezone=None)
    pd.testing.assert_frame_equal(again.drop(columns="source"), both.drop(columns="source"), check_freq=False)


def test_what_pandas_writes_of_bars_with_a_zone_is_read_back(tmp_path: Path, made: MadeBars) -> None:
    for name, index in (("time", "time"), ("unnamed", None)):
        bars = made([1.1, 1.2, 1.3])
        file = tmp_path / f"{name}.csv"
        bars.tz_convert("Asia/Tokyo").rename_axis(index=index).to_csv(file)
        pd.testing.assert_frame_equal(read_file(file, {}, "EURUSD"), bars, check_freq=False)


# Anything at all


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A good file with a few bytes replaced, cut out or put in."""
    content = bytearray(text_of(GOOD).encode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        gone = draw(st.integers(0, 12))
        content[at : at + gone] = draw(
            st.one_of(st.binary(max_size=6), st.text(',;"\n\r\t .-:Z0129', max_size=6).map(str.encode))
        )
    return bytes(content)


@given(content=st.one_of(spoilt(), st.binary(max_size=400), st.text(max_size=400).map(str.encode)))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_a_file_holds_it_gives_bars_or_a_sentence(content: bytes, tmp_path: Path) -> None:
    file = stored(tmp_path, content)
    with suppress(InputError):
        bars = read_file(file, {"timezone": "Europe/Athens"}, "EURUSD")
        assert len(bars)
        pd.testing.assert_frame_equal(bars, check_bars(bars))
