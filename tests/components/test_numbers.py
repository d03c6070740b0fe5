from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.numbers import age, money, number, percent, ratio, size, stamp
from core.clock import utc_now, utc_text

THIN, MINUS = "\u202f", "\u2212"


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0, 0, "0"),
        (1234.5, 2, f"1{THIN}234.50"),
        (999, 0, "999"),
        (1_234_567, 0, f"1{THIN}234{THIN}567"),
        (-1234.5, 1, f"{MINUS}1{THIN}234.5"),
        (1.07219, 5, "1.07219"),
        (np.float64(2.345), 1, "2.3"),
        (np.int64(12), 0, "12"),
    ],
)
def test_numbers_have_thin_thousands_and_true_minus_signs(value: float, digits: int, text: str) -> None:
    assert number(value, digits) == text


@pytest.mark.parametrize("value", [-0.0, -0.004, -1e-12])
def test_zero_never_carries_a_sign(value: float) -> None:
    assert number(value, 2) == "0.00"
    assert number(value, 2, sign=True) == "0.00"


@pytest.mark.parametrize(("value", "text"), [(1.5, "+1.50"), (-1.5, f"{MINUS}1.50"), (0, "0.00"), (0.001, "0.00")])
def test_a_plus_is_shown_on_request(value: float, text: str) -> None:
    assert number(value, 2, sign=True) == text


@pytest.mark.parametrize("value", [None, math.nan, np.nan])
def test_the_unknown_is_a_dash_without_a_unit(value: float | None) -> None:
    assert number(value) == percent(value) == money(value, "USD") == "–"


def test_infinities_are_written_as_such() -> None:
    assert (number(math.inf), number(-math.inf)) == ("∞", f"{MINUS}∞")


@settings(deadline=None)
@given(value=st.floats(-1e15, 1e15), digits=st.integers(0, 6))
def test_a_written_number_reads_back_as_the_rounded_one(value: float, digits: int) -> None:
    read = float(number(value, digits).replace(THIN, "").replace(MINUS, "-"))
    assert read == round(value, digits)


def test_units_follow_the_number() -> None:
    assert percent(-8.305) == f"{MINUS}8.30 %"
    assert percent(15.5, sign=True) == "+15.50 %"
    assert money(10_247.183, "USD") == f"10{THIN}247.18 USD"
    assert money(-3.2, "JPY", sign=True) == f"{MINUS}3.20 JPY"


def test_a_ratio_of_few_cases_gives_their_number_instead() -> None:
    assert ratio(1.4567, 29, 30) == "n = 29"
    assert ratio(1.4567, 30, 30) == "1.46"
    assert ratio(None, 30, 30) == "–"


def test_stamps_are_utc_to_the_minute_or_the_second() -> None:
    assert stamp("2018-02-07T15:00:42.120Z") == "2018-02-07 15:00"
    assert stamp("2018-02-07T15:00:42.120Z", seconds=True) == "2018-02-07 15:00:42"
    assert stamp(datetime(2018, 2, 7, 15, tzinfo=UTC)) == "2018-02-07 15:00"
    assert stamp("2018-02-07T15:00:00+02:00") == "2018-02-07 13:00"
    assert stamp(None) == "–"


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (timedelta(seconds=12.2), "12 s ago"),
        (timedelta(minutes=4, seconds=2), "4 min ago"),
        (timedelta(hours=3, minutes=2), "3 h ago"),
        (timedelta(seconds=-5), "0 s ago"),
    ],
)
def test_an_age_has_the_unit_that_suits_it(passed: timedelta, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = utc_now()
    monkeypatch.setattr("components.numbers.utc_now", lambda: now)
    assert age(utc_text(now - passed)) == text


def test_an_age_of_more_than_a_day_is_the_date() -> None:
    assert age("2018-02-07T15:00:00.000Z") == "2018-02-07"


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 KiB"),
        (512, "0 KiB"),
        (184_429, "180 KiB"),
        (2**20, "1.0 MiB"),
        (1.5 * 2**20, "1.5 MiB"),
        (2**30, "1.0 GiB"),
        (2_000 * 2**30, f"2{THIN}000.0 GiB"),
    ],
)
def test_sizes_are_in_binary_units(size_bytes: float, text: str) -> None:
    assert size(size_bytes) == text
