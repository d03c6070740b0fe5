from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.errors import BarsError, InputError
from market.resample import resample_bars
from market.timeframes import Timeframe
from scanner.multi_timeframe_scanner import MultiTimeframeScanner, UniversalScanner
from scanner.patterns.all import find_patterns
from scanner.patterns.findings import Kind
from scanner.patterns.settings import PatternSettings

PROMISED = {"kind", "direction", "level", "formed_at", "known_at", "ended_at", "strength"}
DETECT = ("detect_liquidity_sweeps", "detect_break_of_structure", "detect_fair_value_gaps", "detect_order_blocks")
Detect = Callable[[pd.DataFrame], list[dict[str, Any]]]


@pytest.fixture
def scanner() -> MultiTimeframeScanner:
    return MultiTimeframeScanner()


def detected(scanner: MultiTimeframeScanner, name: str) -> Detect:
    detect: Detect = getattr(scanner, name)
    return detect


def test_the_class_and_its_methods_are_those_that_the_specification_prints() -> None:
    assert issubclass(MultiTimeframeScanner, UniversalScanner)
    printed = {
        "detect_liquidity_sweeps": "(self, df, lookback=20)",
        "detect_break_of_structure": "(self, df, lookback=10)",
        "detect_fair_value_gaps": "(self, df)",
        "detect_order_blocks": "(self, df)",
        "scan_multi_timeframe": "(self, df, symbol)",
    }
    for name, signature in printed.items():
        parameters = inspect.signature(getattr(MultiTimeframeScanner, name)).parameters.values()
        bare = [p.name if p.default is p.empty else f"{p.name}={p.default}" for p in parameters]
        assert f"({', '.join(bare)})" == signature


@pytest.mark.parametrize("name", DETECT)
def test_a_pattern_is_a_list_of_dictionaries_in_the_order_in_which_they_were_known(
    scanner: MultiTimeframeScanner, sample: pd.DataFrame, name: str
) -> None:
    found = detected(scanner, name)(sample)
    assert len(found) > 20
    for one in found:
        assert set(one) >= PROMISED
        assert one["direction"] in {"bullish", "bearish"}
        assert one["formed_at"] <= one["known_at"]
        assert one["ended_at"] is None or one["ended_at"] >= one["known_at"]
        assert (one["ended_at"] is None) == (one["end"] == "")
    assert [one["known_at"] for one in found] == sorted(one["known_at"] for one in found)
    assert {one["direction"] for one in found} == {"bullish", "bearish"}


def test_each_method_finds_its_own_kinds(scanner: MultiTimeframeScanner, sample: pd.DataFrame) -> None:
    kinds = [{one["kind"] for one in detected(scanner, name)(sample)} for name in DETECT]
    assert kinds == [{"liquidity_sweep"}, {"bos", "choch"}, {"fvg"}, {"order_block"}]


def test_the_dictionaries_say_what_the_columns_say(sample: pd.DataFrame) -> None:
    times = pd.DatetimeIndex(sample.index)
    for rows in (len(sample), 300, 30, 2):
        found = find_patterns(sample.iloc[:rows], PatternSettings(swing_lookback=2))
        framed = found.frame(times[:rows]).to_dict("records")
        ours = found.records(times[:rows])
        assert len(ours) == len(framed)
        for one, other in zip(ours, framed, strict=True):
            assert list(one) == list(other)
            for name, value in other.items():
                assert one[name] == value or (pd.isna(value) and pd.isna(one[name])), name


def test_a_lookback_changes_what_counts(scanner: MultiTimeframeScanner, sample: pd.DataFrame) -> None:
    assert scanner.detect_break_of_structure(sample) == scanner.detect_break_of_structure(sample, lookback=10)
    assert len(scanner.detect_break_of_structure(sample, lookback=3)) > len(scanner.detect_break_of_structure(sample))
    assert scanner.detect_liquidity_sweeps(sample, 5) != scanner.detect_liquidity_sweeps(sample, 20)


def test_title_case_columns_and_naive_times_are_accepted(scanner: MultiTimeframeScanner, sample: pd.DataFrame) -> None:
    foreign = sample.rename(columns=str.title).tz_localize(None)
    for name in DETECT:
        assert detected(scanner, name)(foreign) == detected(scanner, name)(sample)
    assert scanner.scan_multi_timeframe(foreign, "eurusd=x") == scanner.scan_multi_timeframe(sample, "EURUSD")


def test_a_scan_gives_setups_as_dictionaries_the_oldest_first(
    scanner: MultiTimeframeScanner, sample: pd.DataFrame
) -> None:
    setups = scanner.scan_multi_timeframe(sample, "EURUSD")
    assert len(setups) > 50
    assert {setup["kind"] for setup in setups} == {"setup"}
    assert [setup["known_at"] for setup in setups] == sorted(setup["known_at"] for setup in setups)
    for setup in setups:
        assert set(setup) >= PROMISED | {"entry", "stop", "targets", "risk_reward", "confidence", "score", "parts"}
        assert setup["symbol"] == "EURUSD"
        assert setup["level"] == setup["entry"]
        assert 0 <= setup["confidence"] <= 1
        assert sum(part["points"] for part in setup["parts"]) == pytest.approx(setup["score"])
    timeframes = {part["timeframe"] for setup in setups for part in setup["parts"]}
    assert timeframes == {"H1", "H4", "D1"}


def test_setups_and_candidates_that_fell_short_are_all_there_is(
    scanner: MultiTimeframeScanner, sample: pd.DataFrame
) -> None:
    short = scanner.why_not(sample, "EURUSD")
    candidates = scanner.candidates(sample, "EURUSD")
    assert len(short) + len(scanner.scan_multi_timeframe(sample, "EURUSD")) == len(candidates)
    assert all(setup.why_not_line() for setup in short)


def test_what_a_scan_said_is_not_rewritten_by_bars_to_come(
    scanner: MultiTimeframeScanner, sample: pd.DataFrame
) -> None:
    whole = scanner.scan_multi_timeframe(sample, "EURUSD")
    for rows in (700, 1901, 1902, 1903, 4321):
        until = sample.index[rows - 1]
        then = scanner.scan_multi_timeframe(sample.iloc[:rows], "EURUSD")
        later = [setup for setup in whole if setup["known_at"] <= until]
        assert len(then) == len(later)
        for one, other in zip(then, later, strict=True):
            changed = {name for name in one if str(one[name]) != str(other[name])}
            assert changed <= {"status", "ended_at"}
            assert not changed or (one["status"] == "live" and other["ended_at"] > until)


def test_a_bar_that_still_forms_is_left_out(sample: pd.DataFrame) -> None:
    last = sample.index[-1]
    forming = MultiTimeframeScanner(now=last + pd.Timedelta(minutes=59))
    closed = MultiTimeframeScanner(now=lambda: last + pd.Timedelta(hours=1))
    for name in DETECT:
        assert detected(forming, name)(sample) == detected(closed, name)(sample.iloc[:-1])
        assert all(one["known_at"] < last for one in detected(forming, name)(sample))
    assert MultiTimeframeScanner(now=datetime(2017, 1, 1, tzinfo=UTC)).scan_multi_timeframe(sample, "EURUSD") == []


def test_a_scan_of_shorter_bars_sees_the_longer_timeframes_a_direct_look_sees(sample: pd.DataFrame) -> None:
    scanner = MultiTimeframeScanner(timeframes="H4")
    [own, longer] = scanner.layers(sample, "EURUSD")
    assert (own.timeframe, longer.timeframe) == (Timeframe.H1, Timeframe.H4)
    direct = find_patterns(resample_bars(sample, Timeframe.H4), scanner.patterns)
    assert np.array_equal(direct.known, longer.findings.known)


@pytest.mark.parametrize("rows", [0, 1, 2, 3])
def test_few_bars_give_nothing_and_break_nothing(
    scanner: MultiTimeframeScanner, sample: pd.DataFrame, rows: int
) -> None:
    few = sample.iloc[:rows]
    for name in DETECT:
        assert detected(scanner, name)(few) == []
    assert scanner.scan_multi_timeframe(few, "EURUSD") == []


def test_bars_of_one_price_and_without_volume_give_nothing_and_break_nothing(
    scanner: MultiTimeframeScanner, made: Callable[..., pd.DataFrame]
) -> None:
    flat = made([(1.1, 1.1, 1.1, 1.1)] * 200).assign(volume=np.nan)
    for name in DETECT:
        assert detected(scanner, name)(flat) == []
    assert scanner.scan_multi_timeframe(flat, "NOSUCH") == []


def test_bad_bars_and_lookbacks_are_refused_in_a_sentence(scanner: MultiTimeframeScanner, sample: pd.DataFrame) -> None:
    with pytest.raises(BarsError, match=r"is earlier than the row before it\. Sort the rows"):
        scanner.scan_multi_timeframe(sample.iloc[::-1], "EURUSD")
    for lookback in (0, -3):
        with pytest.raises(InputError, match=f"swing_lookback={lookback} is out of range"):
            scanner.detect_break_of_structure(sample, lookback=lookback)
        with pytest.raises(InputError, match=f"liquidity_lookback={lookback} is out of range"):
            scanner.detect_liquidity_sweeps(sample, lookback=lookback)
    assert scanner.detect_break_of_structure(sample, lookback=9_999) == []
    assert scanner.detect_liquidity_sweeps(sample, lookback=9_999) == []
    with pytest.raises(InputError, match="no setting 'swing_lockback'"):
        scanner.find(sample, (Kind.SWING,), swing_lockback=3)


def test_settings_are_those_of_the_configuration_unless_given(
    sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanner = MultiTimeframeScanner()
    before = len(scanner.scan_multi_timeframe(sample, "EURUSD"))
    monkeypatch.setenv("SEQUENCE_SCANNER__MINIMUM_SCORE", "9")
    monkeypatch.setenv("SEQUENCE_SCANNER__FVG_THRESHOLD", "0.001")
    fewer = MultiTimeframeScanner().scan_multi_timeframe(sample, "EURUSD")
    assert len(fewer) < before
    assert min(setup["score"] for setup in fewer) >= 9
    assert len(MultiTimeframeScanner(PatternSettings()).detect_fair_value_gaps(sample)) > len(
        MultiTimeframeScanner().detect_fair_value_gaps(sample)
    )
    monkeypatch.setenv("SEQUENCE_SCANNER__TIMEFRAMES", "H1, H7")
    with pytest.raises(InputError, match="There is no timeframe ' H7'"):
        MultiTimeframeScanner().scan_multi_timeframe(sample, "EURUSD")
