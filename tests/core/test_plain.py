from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.plain import plain


class State(StrEnum):
    RUNNING = "RUNNING"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (7, 7),
        ("text", "text"),
        (1.5, 1.5),
        (np.int64(7), 7),
        (np.float64(1.5), 1.5),
        (np.float32(1.5), 1.5),
        (np.bool_(True), True),
        (State.RUNNING, "RUNNING"),
        (Decimal("1.5"), "1.5"),
        (Path("a/b"), "a/b"),
        (date(2024, 1, 2), "2024-01-02"),
        (datetime(2024, 1, 2, 3, tzinfo=UTC), "2024-01-02T03:00:00+00:00"),
        (pd.Timestamp("2024-01-02 03:00", tz="UTC"), "2024-01-02T03:00:00+00:00"),
        (np.datetime64("2024-01-02T03:00:00", "ns"), "2024-01-02T03:00:00"),
        (np.array(["2024-01-02"], dtype="datetime64[ns]"), ["2024-01-02T00:00:00"]),
        (timedelta(minutes=1), 60.0),
        (pd.Timedelta(minutes=1), 60.0),
        (np.timedelta64(60_000_000_000, "ns"), 60.0),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (pd.Series([1.5, None]), [1.5, None]),
        ((1, {2}), [1, [2]]),
        ({1: {"a": (np.int8(2),)}}, {"1": {"a": [2]}}),
    ],
    ids=repr,
)
def test_a_value_is_made_plain(value: object, expected: object) -> None:
    made = plain(value)
    assert made == expected
    assert type(made) is type(expected)
    assert json.loads(json.dumps(made, allow_nan=False)) == expected


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), -float("inf"), np.float32("nan"), pd.NaT, pd.NA, np.datetime64("NaT", "ns")],
    ids=repr,
)
def test_what_is_no_value_is_none(value: object) -> None:
    assert plain(value) is None
    assert plain([value, {"a": value}]) == [None, {"a": None}]
