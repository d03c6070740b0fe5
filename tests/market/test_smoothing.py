"""Wilder's average against numbers computed by hand."""

from __future__ import annotations

from math import nan

import pandas as pd
import pytest

from market.smoothing import wilder_mean, wilder_start


def test_it_starts_from_the_plain_mean_and_then_moves_by_a_share() -> None:
    found = wilder_mean(pd.Series([3.0, 6.0, 9.0, 12.0, 0.0]), 3)
    assert found.tolist() == pytest.approx([nan, nan, 6.0, 8.0, 8.0 * 2 / 3], nan_ok=True)


def test_values_missing_at_the_beginning_are_waited_for() -> None:
    found = wilder_mean(pd.Series([nan, 2.0, 4.0, 6.0]), 2)
    assert found.tolist() == pytest.approx([nan, nan, 3.0, 4.5], nan_ok=True)


def test_too_few_values_give_none() -> None:
    assert wilder_mean(pd.Series([1.0, 2.0]), 3).isna().all()


@pytest.mark.parametrize("end", range(1, 9))
def test_later_values_change_nothing_before(end: int) -> None:
    values = pd.Series([5.0, 1.0, 4.0, 2.0, 8.0, 3.0, 9.0, 7.0])
    pd.testing.assert_series_equal(wilder_mean(values.iloc[:end], 3), wilder_mean(values, 3).iloc[:end])


def test_the_start_is_told_with_its_place() -> None:
    assert wilder_start(pd.Series([nan, 2.0, 4.0, 6.0]), 2) == (2, 3.0)
    at, start = wilder_start(pd.Series([nan, 2.0]), 3)
    assert at == 3  # past the end: too few values
    assert start != start  # noqa: PLR0124  # NaN
    assert wilder_start(pd.Series([nan, nan, nan]), 2)[0] >= 3


def test_no_values_have_no_average() -> None:
    assert wilder_mean(pd.Series([], dtype="float64"), 3).empty
