from __future__ import annotations

import io

import pandas as pd
import pytest

from core.csv_export import csv_bytes

MARK = b"\xef\xbb\xbf"


@pytest.fixture
def trades() -> pd.DataFrame:
    """What a page offers for download: times, prices, losses and words."""
    return pd.DataFrame(
        {
            "entry": pd.to_datetime(["2024-03-08 21:59:58.120", None], utc=True),
            "profit": [-8.3, 1234.5],
            "lots": [1, 2],
            "take_profit": pd.Series([1.5, None], dtype=object),
            "note": ["plain, with comma", None],
        }
    )


def text_of(table: pd.DataFrame, headers: dict[str, str] | None = None) -> str:
    return csv_bytes(table, headers).decode("utf-8-sig")


def test_excel_is_told_that_it_is_utf8(trades: pd.DataFrame) -> None:
    assert csv_bytes(trades).startswith(MARK + b"entry (UTC),profit")
    assert "für €" in csv_bytes(pd.DataFrame({"a": ["für €"]})).decode("utf-8-sig")


def test_lines_end_as_windows_ends_them(trades: pd.DataFrame) -> None:
    content = csv_bytes(trades)
    assert content.count(b"\r\n") == content.count(b"\n") == 3


def test_a_table_is_written_cell_by_cell(trades: pd.DataFrame) -> None:
    assert text_of(trades).splitlines() == [
        "entry (UTC),profit,lots,take_profit,note",
        '2024-03-08 21:59:58,-8.3,1,1.5,"plain, with comma"',
        ",1234.5,2,,",
    ]


def test_times_of_another_zone_are_written_in_utc() -> None:
    table = pd.DataFrame({"time": pd.to_datetime(["2024-07-01 17:00"]).tz_localize("America/New_York")})
    assert text_of(table).splitlines() == ["time (UTC)", "2024-07-01 21:00:00"]


def test_an_index_of_times_becomes_the_first_column_and_any_other_index_goes() -> None:
    bars = pd.DataFrame({"close": [1.1]}, index=pd.DatetimeIndex(["2024-01-01"], tz="UTC", name="time"))
    assert text_of(bars).splitlines() == ["time (UTC),close", "2024-01-01 00:00:00,1.1"]
    assert text_of(pd.DataFrame({"close": [1.1]}, index=[17])).splitlines() == ["close", "1.1"]


def test_numbers_stay_numbers_and_only_running_text_is_neutralised() -> None:
    cells = ["=SUM(A1)", "-x", "+49 30", "@me", "\tx", "\rx", "fine = good", "8-3", "", "-8.3"]
    table = pd.DataFrame({"text": cells, "number": [-8.3] * len(cells), "mixed": pd.Series([-8.3, "=1+1"] * 5)})
    back = pd.read_csv(io.BytesIO(csv_bytes(table)), keep_default_na=False)
    assert list(back["text"]) == [
        *("'=SUM(A1)", "'-x", "'+49 30", "'@me", "'\tx", "'\rx", "fine = good", "8-3", "", "'-8.3"),
    ]
    assert list(back["number"]) == [-8.3] * len(cells)
    assert list(back["mixed"]) == ["-8.3", "'=1+1"] * 5


def test_a_header_that_would_run_is_neutralised_too() -> None:
    times = pd.to_datetime(["2024-01-01"], utc=True)
    table = pd.DataFrame({"=1+1": [1], "@text": ["a"], "+time": times, 7: [2]})
    assert text_of(table).splitlines()[0] == "'=1+1,'@text,'+time (UTC),7"


def test_columns_take_the_headers_they_are_given(trades: pd.DataFrame) -> None:
    header = text_of(trades, {"profit": "Profit (EUR)", "entry": "Entry", "absent": "x"}).splitlines()[0]
    assert header == "Entry (UTC),Profit (EUR),lots,take_profit,note"


def test_a_decimal_comma_comes_with_semicolons(trades: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_DISPLAY__CSV_DECIMAL_COMMA", "true")
    assert text_of(trades).splitlines() == [
        "entry (UTC);profit;lots;take_profit;note",
        "2024-03-08 21:59:58;-8,3;1;1,5;plain, with comma",
        ";1234,5;2;;",
    ]


@pytest.mark.parametrize(("comma", "separator", "decimal"), [("false", ",", "."), ("true", ";", ",")])
def test_what_is_read_back_is_what_was_written(
    monkeypatch: pytest.MonkeyPatch, comma: str, separator: str, decimal: str
) -> None:
    monkeypatch.setenv("SEQUENCE_DISPLAY__CSV_DECIMAL_COMMA", comma)
    table = pd.DataFrame(
        {
            "time": pd.date_range("2024-01-01", periods=3, freq="h", tz="UTC"),
            "price": [1 / 3, 1e-7, -123456.789],
            "count": [1, -2, 3],
            "words": ['with "quotes"', "two\nlines", "semi;colon, comma"],
        }
    )
    back = pd.read_csv(io.BytesIO(csv_bytes(table)), sep=separator, decimal=decimal)
    back["time"] = pd.to_datetime(back.pop("time (UTC)"), utc=True)
    pd.testing.assert_frame_equal(back[list(table.columns)], table, check_exact=True, check_dtype=False)


def test_an_empty_table_is_its_header(trades: pd.DataFrame) -> None:
    assert text_of(trades.iloc[:0]).splitlines() == ["entry (UTC),profit,lots,take_profit,note"]


def test_the_table_given_is_not_changed(trades: pd.DataFrame) -> None:
    before = trades.copy(deep=True)
    csv_bytes(trades, {"profit": "Profit"})
    pd.testing.assert_frame_equal(trades, before)
