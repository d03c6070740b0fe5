"""The days of a deployment in a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from components.charts.live_parity import parity_figure
from components.charts.template import WARNING, mixed, palette


def days(*rows: dict[str, Any]) -> pd.DataFrame:
    usual = {"trading_day": "2026-03-03", "expected": 4, "traded": 4, "agreeing": 4, "score": 1.0, "cost_pips": 0.0}
    made = [{**usual, "is_over": True, **row} for row in rows]
    return pd.DataFrame(made, columns=[*usual, "is_over"])


def test_a_day_has_its_share_and_the_pips_that_live_made_beyond_the_backtest() -> None:
    table = days({}, {"trading_day": "2026-03-04", "agreeing": 3, "score": 0.75, "cost_pips": 2.5})
    before = table.copy()
    score, cost, so_far = parity_figure(table).data
    assert (list(score.x), list(score.y)) == (["2026-03-03", "2026-03-04"], [100.0, 75.0])
    assert list(score.marker.color) == [mixed(palette().up, 0.75), mixed(WARNING, 0.75)]
    assert list(score.customdata) == ["4 of 4 agree (4 expected, 4 made)", "3 of 4 agree (4 expected, 4 made)"]
    # Worse by 2.5 pips points down.
    assert list(cost.y) == [0.0, -2.5]
    assert list(so_far.y) == [0.0, -2.5]
    pd.testing.assert_frame_equal(table, before)


def test_a_day_without_a_trade_has_no_bar_and_one_that_goes_on_says_so() -> None:
    table = days({"score": np.nan, "expected": 0, "traded": 0, "agreeing": 0}, {"is_over": False, "trading_day": "x"})
    score = parity_figure(table).data[0]
    assert np.isnan(score.y[0])
    assert score.marker.color[1] == mixed(palette().up, 0.35)
    assert score.customdata[1].endswith("the day is not over")


def test_costs_add_up_over_the_days() -> None:
    table = days(*({"trading_day": f"2026-03-0{day}", "cost_pips": day - 3.0} for day in range(1, 6)))
    assert list(parity_figure(table).data[2].y) == [2.0, 3.0, 3.0, 2.0, 0.0]


def test_no_day_at_all_is_drawn_too() -> None:
    assert len(parity_figure(days()).data[0].x) == 0
