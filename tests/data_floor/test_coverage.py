from __future__ import annotations

from itertools import count, pairwise
from random import Random

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as some

from data.bar_store import BarStore
from data.coverage import Range, are_covered, merged, missing_from
from market.timeframes import Timeframe

bounds = some.integers(-30, 30)
ranges = some.tuples(bounds, bounds)
HOUR = pd.Timedelta(hours=1)
BEGIN = pd.Timestamp("2024-01-02", tz="UTC")
sources = count()


def moments(spans: list[Range]) -> set[int]:
    return {moment for start, end in spans for moment in range(start, end)}


@given(some.lists(ranges, max_size=8))
def test_merged_ranges_hold_the_same_moments_in_order_and_apart(spans: list[Range]) -> None:
    joined = merged(spans)
    assert moments(joined) == moments(spans)
    assert all(start < end for start, end in joined)
    assert all(before[1] < after[0] for before, after in pairwise(joined))


@given(some.lists(ranges, max_size=8), some.randoms(use_true_random=False))
def test_merging_asks_neither_for_an_order_nor_for_one_go(spans: list[Range], chance: Random) -> None:
    mixed = list(spans)
    chance.shuffle(mixed)
    step_by_step: list[Range] = []
    for span in mixed:
        step_by_step = merged([*step_by_step, span])
    assert step_by_step == merged(mixed) == merged(spans)


@given(some.lists(ranges, max_size=8), bounds, bounds)
def test_what_is_missing_and_what_is_covered_are_together_what_was_asked(
    spans: list[Range], start: int, end: int
) -> None:
    missing = missing_from(spans, start, end)
    assert moments(missing) == moments([(start, end)]) - moments(spans)
    assert missing == merged(missing)


@given(some.lists(ranges, max_size=8), some.lists(ranges, min_size=1, max_size=8))
def test_a_range_is_covered_when_all_of_it_is(spans: list[Range], asked: list[Range]) -> None:
    asked = [(start, end) for start, end in asked if start < end] or [(0, 1)]
    starts, ends = np.array(asked).T
    expected = [moments([each]) <= moments(spans) for each in asked]
    assert are_covered(spans, starts, ends).tolist() == expected


def test_touching_ranges_are_one_and_those_a_moment_apart_are_two() -> None:
    assert merged([(5, 7), (1, 3), (3, 5)]) == [(1, 7)]
    assert merged([(1, 3), (4, 5)]) == [(1, 3), (4, 5)]
    assert merged([(1, 9), (2, 3)]) == [(1, 9)]


def test_what_is_missing_lies_in_front_behind_and_between() -> None:
    assert missing_from([(2, 4), (6, 8)], 0, 10) == [(0, 2), (4, 6), (8, 10)]
    assert missing_from([(2, 4)], 2, 4) == []
    assert missing_from([(2, 4)], 5, 5) == []
    assert missing_from([], 1, 2) == [(1, 2)]


@settings(max_examples=30, deadline=None)
@given(
    some.lists(some.tuples(some.integers(0, 40), some.integers(1, 12)), min_size=1, max_size=6),
    some.integers(0, 40),
    some.integers(1, 50),
)
def test_the_store_says_what_is_missing_of_ranges_that_came_in_any_order(
    answers: list[tuple[int, int]], first: int, hours: int
) -> None:
    store, source = BarStore(), f"source {next(sources)}"
    nothing = store.bars("EURUSD", Timeframe.H1)
    for start, length in answers:
        answered = (BEGIN + start * HOUR, BEGIN + (start + length) * HOUR)
        store.add("EURUSD", Timeframe.H1, source, nothing, covered=answered)
    missing = store.missing("EURUSD", Timeframe.H1, source, BEGIN + first * HOUR, BEGIN + (first + hours) * HOUR)
    known = [(start, start + length) for start, length in answers]
    in_hours = [(int((start - BEGIN) / HOUR), int((end - BEGIN) / HOUR)) for start, end in missing]
    assert in_hours == missing_from(known, first, first + hours)
