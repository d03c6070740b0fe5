from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from core.errors import BarsError
from market.bars import bars_of, check_bars, symbols_in, utc_timestamp


@pytest.fixture
def frame() -> pd.DataFrame:
    """Three good rows as a CSV of backtesting gives them: Title-case and naive."""
    return pd.DataFrame(
        {
            "Open": [1.10, 1.11, 1.12],
            "High": [1.15, 1.16, 1.17],
            "Low": [1.05, 1.06, 1.07],
            "Close": [1.11, 1.12, 1.13],
            "Volume": [10, 20, 30],
        },
        index=pd.to_datetime(["2024-01-02 09:00", "2024-01-02 10:00", "2024-01-02 11:00"]),
    )


def refusal(frame: object) -> BarsError:
    with pytest.raises(BarsError) as refused:
        check_bars(frame)  # type: ignore[arg-type]
    return refused.value


def test_title_case_and_naive_times_become_the_contract(frame: pd.DataFrame) -> None:
    bars = check_bars(frame)
    assert list(bars.columns) == ["open", "high", "low", "close", "volume"]
    assert {str(kind) for kind in bars.dtypes} == {"float64"}
    assert bars.index.name == "time"
    assert str(bars.index.tz) == "UTC"
    assert bars.index[0] == pd.Timestamp("2024-01-02 09:00", tz="UTC")
    assert list(bars["volume"]) == [10.0, 20.0, 30.0]


def test_bars_of_the_contract_pass_as_they_are(frame: pd.DataFrame) -> None:
    bars = check_bars(frame)
    pd.testing.assert_frame_equal(check_bars(bars), bars)


def test_times_of_another_zone_are_converted(frame: pd.DataFrame) -> None:
    bars = check_bars(frame.tz_localize("America/New_York"))
    assert str(bars.index.tz) == "UTC"
    assert bars.index[0] == pd.Timestamp("2024-01-02 14:00", tz="UTC")


def test_a_missing_volume_is_zero(frame: pd.DataFrame) -> None:
    assert list(check_bars(frame.drop(columns="Volume"))["volume"]) == [0.0, 0.0, 0.0]


def test_other_columns_keep_their_names_and_values(frame: pd.DataFrame) -> None:
    frame["Close_Zscore"] = [1, 2, 3]
    frame["SPREAD_POINTS"] = [7, 8, 9]
    bars = check_bars(frame)
    assert list(bars.columns[-2:]) == ["Close_Zscore", "spread_points"]
    assert bars["spread_points"].dtype == np.float64


def test_numbers_written_as_text_are_numbers(frame: pd.DataFrame) -> None:
    assert list(check_bars(frame.astype({"Close": str}))["close"]) == [1.11, 1.12, 1.13]


def test_no_rows_are_bars_too(frame: pd.DataFrame) -> None:
    assert check_bars(frame.iloc[:0]).empty


def test_the_frame_given_is_not_changed_nor_shared(frame: pd.DataFrame) -> None:
    before = frame.copy(deep=True)
    bars = check_bars(frame)
    bars.loc[:, "close"] = 0.0
    pd.testing.assert_frame_equal(frame, before)
    again = check_bars(before)
    before.iloc[0, 0] = 9.0
    assert again["open"].iloc[0] == 1.10


def test_what_is_no_frame_is_refused() -> None:
    assert str(refusal([1.1])) == "Bars were expected, not list. Pass a pandas DataFrame."


def test_a_missing_column_is_named_with_the_one_that_may_be_meant(frame: pd.DataFrame) -> None:
    error = refusal(frame.rename(columns={"Close": "Closes"}))
    assert error.what == "The column 'close' is missing."
    assert error.cure == "Rename 'Closes'; bars need open, high, low, close."
    assert refusal(frame[["Open", "High", "Low"]].set_axis(["a", "b", "c"], axis=1)).cure.startswith("Add it;")


def test_a_column_that_is_there_twice_is_refused(frame: pd.DataFrame) -> None:
    error = refusal(frame.assign(close=1.1))
    assert str(error) == "The column 'close' is there twice. Rename or drop one of the two."


def test_an_index_without_times_is_refused(frame: pd.DataFrame) -> None:
    error = refusal(frame.reset_index(drop=True))
    assert error.what == "The index holds int64 where times were expected."
    assert "parse_dates=True" in error.cure


def test_a_row_without_a_time_is_named(frame: pd.DataFrame) -> None:
    frame.index = pd.DatetimeIndex([frame.index[0], pd.NaT, frame.index[2]])
    assert str(refusal(frame)) == "Row 1 has no time. Drop it or give it a time."


def test_a_row_that_comes_too_early_is_named(frame: pd.DataFrame) -> None:
    error = refusal(frame.iloc[[0, 2, 1]])
    assert error.what == "Row 2 (2024-01-02 10:00:00 UTC) is earlier than the row before it."
    assert "sort_index" in error.cure


def test_a_row_whose_time_is_there_already_is_named(frame: pd.DataFrame) -> None:
    error = refusal(frame.iloc[[0, 1, 1, 2]])
    assert error.what == "Row 2 (2024-01-02 10:00:00 UTC) has the same time as the row before it."
    assert error.cure == "Drop the double."


def test_an_hour_that_a_change_of_clocks_repeats_is_two_hours_in_utc(frame: pd.DataFrame) -> None:
    wall = pd.to_datetime(["2024-11-03 01:00-04:00", "2024-11-03 01:00-05:00", "2024-11-03 02:00-05:00"], utc=True)
    assert len(check_bars(frame.set_index(wall.tz_convert("America/New_York")))) == 3


def test_text_that_is_no_number_is_named(frame: pd.DataFrame) -> None:
    frame["Close"] = ["1.11", "n/a", "1.13"]
    assert str(refusal(frame)) == "Row 1 (2024-01-02 10:00:00 UTC): close='n/a' is no number. Correct it."


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, "0"), (-1.1, "-1.1"), (np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")]
)
@pytest.mark.parametrize("column", ["Open", "High", "Low", "Close"])
def test_what_is_no_price_is_named(frame: pd.DataFrame, column: str, value: float, shown: str) -> None:
    frame.loc[frame.index[2], column] = value
    error = refusal(frame)
    assert error.what == f"Row 2 (2024-01-02 11:00:00 UTC): {column.lower()}={shown} is no price."
    assert "Drop the row or fill it" in error.cure


@pytest.mark.parametrize(("column", "value"), [("High", 1.115), ("High", 1.05), ("Low", 1.115), ("Low", 1.2)])
def test_a_bar_that_cannot_be_is_named_with_its_four_prices(frame: pd.DataFrame, column: str, value: float) -> None:
    frame.loc[frame.index[1], column] = value
    error = refusal(frame)
    assert error.what.startswith("Row 1 (2024-01-02 10:00:00 UTC): open 1.11, ")
    assert f"{column.lower()} {value:g}" in error.what
    assert "The high must be the highest" in error.cure


def test_a_bar_that_did_not_move_is_a_bar(frame: pd.DataFrame) -> None:
    frame.loc[:, ["Open", "High", "Low", "Close"]] = 1.1
    assert len(check_bars(frame)) == 3


def test_the_first_bad_row_is_the_one_named(frame: pd.DataFrame) -> None:
    frame.loc[frame.index[[0, 2]], "Low"] = 2.0
    assert "Row 0" in refusal(frame).what


def test_prices_may_be_missing_on_the_way_to_validation_but_not_disordered(frame: pd.DataFrame) -> None:
    frame.loc[frame.index[1], "Close"] = np.nan
    assert check_bars(frame, allow_missing=True)["close"].isna().sum() == 1
    with pytest.raises(BarsError, match="is earlier than"):
        check_bars(frame.iloc[::-1], allow_missing=True)
    with pytest.raises(BarsError, match="is no number"):
        check_bars(frame.assign(Close=["1", "x", None]), allow_missing=True)


@pytest.fixture
def both(frame: pd.DataFrame) -> pd.DataFrame:
    """The bars of two symbols, one below the other."""
    euro = check_bars(frame).assign(symbol="EURUSD", source="sample")
    return pd.concat([euro, euro.assign(symbol="GBPUSD", open=1.12)])


def test_one_symbol_is_taken_out_of_several_under_any_spelling(both: pd.DataFrame) -> None:
    bars = bars_of(both, "gbp/usd")
    assert list(bars.columns) == ["open", "high", "low", "close", "volume"]
    assert list(bars["open"]) == [1.12, 1.12, 1.12]
    pd.testing.assert_frame_equal(check_bars(bars), bars)


def test_the_bars_of_one_symbol_are_its_bars(frame: pd.DataFrame) -> None:
    assert bars_of(frame, "EURUSD") is frame


def test_a_symbol_that_is_not_there_is_told_which_are(both: pd.DataFrame) -> None:
    with pytest.raises(BarsError, match=r"^The frame holds no bars of 'USDJPY'\. It holds: EURUSD, GBPUSD\.$"):
        bars_of(both, "USDJPY")


def test_several_symbols_are_refused_where_one_is_meant(both: pd.DataFrame) -> None:
    error = refusal(both)
    assert error.what == "The frame mixes the bars of EURUSD, GBPUSD."
    assert "bars_of" in error.cure


def test_the_symbols_of_a_frame_come_in_the_order_met(both: pd.DataFrame, frame: pd.DataFrame) -> None:
    assert symbols_in(both.iloc[::-1]) == ["GBPUSD", "EURUSD"]
    assert symbols_in(frame) == []


@pytest.mark.parametrize(
    "value",
    [
        "2024-01-02 14:00",
        "2024-01-02T09:00-05:00",
        datetime(2024, 1, 2, 14, tzinfo=UTC),
        datetime(2024, 1, 2, 14),  # noqa: DTZ001
        np.datetime64("2024-01-02T14:00"),
        pd.Timestamp("2024-01-02 15:00", tz="Europe/Berlin"),
    ],
    ids=repr,
)
def test_a_time_of_any_kind_is_read_as_utc(value: object) -> None:
    stamp = utc_timestamp(value, "start")
    assert stamp == pd.Timestamp("2024-01-02 14:00", tz="UTC")
    assert str(stamp.tz) == "UTC"


def test_a_date_is_its_midnight() -> None:
    assert utc_timestamp(date(2024, 1, 2), "start") == pd.Timestamp("2024-01-02", tz="UTC")


@pytest.mark.parametrize("value", ["soon", "", None, pd.NaT, float("nan"), [1], "2024-02-30"], ids=repr)
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(BarsError) as refused:
        utc_timestamp(value, "start")
    assert str(refused.value) == f"start={value!r} is no time. Write it as 2017-04-19 or 2017-04-19 09:00."
