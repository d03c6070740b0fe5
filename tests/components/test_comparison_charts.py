from __future__ import annotations

import numpy as np
import pandas as pd

from components.charts.comparison import correlation_figure, equities_figure


def equities(runs: int, rows: int = 50) -> pd.DataFrame:
    index = pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC", name="time")
    return pd.DataFrame({f"run {run}": np.linspace(100, 100 + run, rows) for run in range(runs)}, index=index)


def test_every_run_has_a_line_that_looks_like_no_other() -> None:
    shown = equities(20)
    before = shown.copy()
    figure = equities_figure(shown, points=1000)
    assert [trace.name for trace in figure.data] == list(shown.columns)
    assert len({(trace.line.color, trace.line.dash) for trace in figure.data}) == 20
    assert list(figure.data[3].y) == shown["run 3"].tolist()
    pd.testing.assert_frame_equal(shown, before)


def test_long_curves_are_thinned_and_keep_their_extremes() -> None:
    shown = equities(1, 20_000)
    shown.iloc[777, 0] = 250.0
    [trace] = equities_figure(shown, points=500).data
    assert len(trace.y) <= 500
    assert max(trace.y) == 250.0


def test_a_run_without_a_course_is_drawn_as_an_empty_line() -> None:
    figure = equities_figure(equities(2).assign(ruined=np.nan), points=100)
    assert len(figure.data[2].y) == 0


def test_correlations_are_written_into_their_squares() -> None:
    table = pd.DataFrame([[1.0, -0.25, np.nan]] * 3, index=list("abc"), columns=list("abc"))
    [squares] = correlation_figure(table).data
    assert list(squares.text[0]) == ["1.00", "−0.25", ""]
    assert (squares.zmin, squares.zmax) == (-1, 1)
    assert list(squares.x) == ["a", "b", "c"]
