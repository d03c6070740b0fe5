"""Guards: what each lets through and refuses, at its limit and beside it, and what none of them may ever do."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from execution.live.guards import GUARDS, REAL_SWITCHES, Circumstances, Entry, Verdict, judge
from execution.live.terms import Limits

ENTRY = Entry("EURUSD", 1, 1.1, volume=0.5, stop_distance=0.0020, target_distance=0.0040, confidence=0.7)
# 0.5 lots × 0.0020 × 100,000 is 100 of 10,000: 1 %; 9,800 of 10,000 is 2 % down.
KNOWN = Circumstances(
    now=datetime(2026, 3, 4, 9, 30, tzinfo=UTC),
    killed=False,
    account="demo",
    trade_allowed=True,
    heartbeat_age_seconds=2.0,
    feed_age_seconds=1.0,
    spread_pips=1.4,
    entries_today=4,
    open_positions=1,
    equity=10_000.0,
    day_equity=10_000.0,
    value_per_lot=100_000.0,
    records_agree=True,
)
NAN, INFINITE = float("nan"), float("inf")


def verdict(guard: str, entry: Entry | None = ENTRY, limits: Limits | None = None, **known: Any) -> Verdict:
    """What one guard says of an entry for which all is well but for what a test changes."""
    said = {each.guard: each for each in judge(entry, limits or Limits(), replace(KNOWN, **known))}
    return said[guard]


def refused(said: list[Verdict]) -> list[str]:
    return [each.guard for each in said if not each.passed]


def test_an_entry_for_which_all_is_well_passes_every_guard_in_their_order() -> None:
    limits = Limits(min_confidence=0.5, min_reward_to_risk=1.5)
    said = judge(ENTRY, limits, KNOWN)
    assert [each.guard for each in said] == list(GUARDS)
    assert refused(said) == []


def test_who_was_told_nothing_refuses_everything_that_is_asked() -> None:
    nothing = Entry("EURUSD", 1, 1.1, None, None, None, None)
    said = judge(nothing, Limits(min_confidence=0.5, min_reward_to_risk=1.5), Circumstances())
    assert refused(said) == list(GUARDS)
    assert {each.headroom for each in said} == {None}


# Each guard: what is known, whether it passes, and in which words


@pytest.mark.parametrize(
    ("killed", "passed", "words"),
    [
        (False, True, "the kill switch is off"),
        (True, False, "the kill switch is on"),
        (None, False, "nobody told whether the kill switch is on"),
        (0, False, "nobody told whether the kill switch is on"),
    ],
)
def test_the_kill_switch(killed: Any, passed: bool, words: str) -> None:
    assert verdict("kill switch", killed=killed) == Verdict("kill switch", passed, words)


@pytest.mark.parametrize(
    ("allowed", "account", "switches", "passed", "words"),
    [
        ("demo", "demo", (), True, "demo account"),
        ("demo", " Demo", (), True, "demo account"),
        ("demo", "contest", (), True, "contest account"),
        ("demo", "real", REAL_SWITCHES, False, "real account, only demo is allowed"),
        ("demo", None, REAL_SWITCHES, False, "nobody told which account it is"),
        ("demo", "", (), False, "nobody told which account it is"),
        ("demo", "paper", (), False, "account 'paper' is neither demo nor real"),
        ("real", "real", REAL_SWITCHES, True, "real account, all three switches are set"),
        ("real", "real", (), False, "real account, and these switches are not set: setting, key, confirmation"),
        ("real", "real", ("setting", "key"), False, "real account, and these switches are not set: confirmation"),
        ("real", "real", ("confirmation", "key"), False, "real account, and these switches are not set: setting"),
        ("real", "real", ("setting", "confirmation"), False, "real account, and these switches are not set: key"),
        ("real", "demo", REAL_SWITCHES, False, "demo account, real is asked for"),
        ("real", None, REAL_SWITCHES, False, "nobody told which account it is"),
    ],
)
def test_the_account(allowed: Any, account: Any, switches: tuple[str, ...], passed: bool, words: str) -> None:
    said = verdict("account", limits=Limits(account=allowed), account=account, real_switches=switches)
    assert said == Verdict("account", passed, words)


@pytest.mark.parametrize(
    ("age", "allowed", "passed", "words", "headroom"),
    [
        (15.0, True, True, "the terminal was heard 15.0 s ago, at most 60", 0.75),
        (60.0, True, True, "the terminal was heard 60.0 s ago, at most 60", 0.0),
        (60.04, True, False, "the terminal was heard 60.04 s ago, at most 60", pytest.approx(-0.04 / 60)),
        (-60.0, True, True, "the terminal was heard 60.0 s ahead of our clock, at most 60", 0.0),
        (-3600.0, True, False, "the terminal was heard 3,600.0 s ahead of our clock, at most 60", -1.0),
        (None, True, False, "nobody told when the terminal was heard", None),
        (NAN, True, False, "nobody told when the terminal was heard", None),
        (-INFINITE, True, False, "nobody told when the terminal was heard", None),
        (15.0, False, False, "the terminal may not trade", None),
        (15.0, None, False, "nobody told whether the terminal may trade", None),
        (15.0, 1, False, "nobody told whether the terminal may trade", None),
    ],
)
def test_the_terminal(age: Any, allowed: Any, passed: bool, words: str, headroom: Any) -> None:
    said = verdict("terminal", heartbeat_age_seconds=age, trade_allowed=allowed)
    assert (said.passed, said.words, said.headroom) == (passed, words, headroom)
    assert (said.limit, said.unit) == (60.0, "s")


@pytest.mark.parametrize(
    ("age", "passed", "words"),
    [
        (30.0, True, "the newest tick came 30.0 s ago, at most 30"),
        (30.5, False, "the newest tick came 30.5 s ago, at most 30"),
        (0.0, True, "the newest tick came 0.0 s ago, at most 30"),
        (-0.5, True, "the newest tick came 0.5 s ahead of our clock, at most 30"),
        (-30.5, False, "the newest tick came 30.5 s ahead of our clock, at most 30"),
        (None, False, "nobody told when the newest tick came"),
        (INFINITE, False, "nobody told when the newest tick came"),
    ],
)
def test_the_feed(age: Any, passed: bool, words: str) -> None:
    said = verdict("feed", feed_age_seconds=age)
    assert (said.passed, said.words) == (passed, words)


@pytest.mark.parametrize(
    ("agree", "passed", "words"),
    [
        (True, True, "the terminal reports what our signals left"),
        (False, False, "the terminal reports other positions than our signals left"),
        (None, False, "nobody told whether positions and signals agree"),
        (1, False, "nobody told whether positions and signals agree"),
    ],
)
def test_the_records(agree: Any, passed: bool, words: str) -> None:
    assert verdict("records", records_agree=agree) == Verdict("records", passed, words)


@pytest.mark.parametrize(
    ("begin", "end", "clock", "passed", "words"),
    [
        ("00:00", "00:00", "09:30", True, "09:30 UTC, all hours"),
        ("07:00", "07:00", "06:59", True, "06:59 UTC, all hours"),
        ("07:00", "16:00", "06:59:59", False, "06:59 UTC, outside 07:00 to 16:00"),
        ("07:00", "16:00", "07:00", True, "07:00 UTC, within 07:00 to 16:00"),
        ("07:00", "16:00", "15:59:59", True, "15:59 UTC, within 07:00 to 16:00"),
        ("07:00", "16:00", "16:00", False, "16:00 UTC, outside 07:00 to 16:00"),
        ("22:00", "06:00", "21:59:59", False, "21:59 UTC, outside 22:00 to 06:00"),
        ("22:00", "06:00", "22:00", True, "22:00 UTC, within 22:00 to 06:00"),
        ("22:00", "06:00", "00:00", True, "00:00 UTC, within 22:00 to 06:00"),
        ("22:00", "06:00", "05:59:59", True, "05:59 UTC, within 22:00 to 06:00"),
        ("22:00", "06:00", "06:00", False, "06:00 UTC, outside 22:00 to 06:00"),
        ("22:00", "06:00", "12:00", False, "12:00 UTC, outside 22:00 to 06:00"),
    ],
)
def test_the_hours(begin: str, end: str, clock: str, passed: bool, words: str) -> None:
    now = datetime.fromisoformat(f"2026-03-04T{clock}+00:00")
    limits = Limits(hours_from=begin, hours_until=end)
    assert verdict("hours", limits=limits, now=now) == Verdict("hours", passed, words)
    elsewhere = now.astimezone(timezone(timedelta(hours=-7)))  # the same moment
    assert verdict("hours", limits=limits, now=elsewhere) == Verdict("hours", passed, words)


def test_hours_need_a_time_with_a_zone() -> None:
    far = datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))  # before the first year of UTC
    for now in (None, datetime(2026, 3, 4, 9, 30), far):  # noqa: DTZ001  # a time without a zone is the point
        assert verdict("hours", now=now) == Verdict("hours", False, "nobody told the time")


@pytest.mark.parametrize(
    ("spread", "limit", "passed", "words", "headroom"),
    [
        (1.4, 3.0, True, "spread 1.4 pips, at most 3.0", pytest.approx(1.6 / 3)),
        (0.0, 3.0, True, "spread 0.0 pips, at most 3.0", 1.0),
        (3.0, 3.0, True, "spread 3.0 pips, at most 3.0", 0.0),
        ((1.10030 - 1.10000) / 0.0001, 3.0, True, "spread 3.0 pips, at most 3.0", 0.0),
        ((1.30030 - 1.30000) / 0.0001, 3.0, True, "spread 3.0 pips, at most 3.0", 0.0),
        (3.04, 3.0, False, "spread 3.04 pips, at most 3.0", pytest.approx(-0.04 / 3)),
        (12.0, 3.0, False, "spread 12.0 pips, at most 3.0", -1.0),
        (1e9, 3.0, False, "spread 1e+09 pips, at most 3.0", -1.0),
        (1.4, 1.25, False, "spread 1.4 pips, at most 1.25", pytest.approx(-0.12)),
        (-0.3, 3.0, False, "the ask is 0.3 pips below the bid", None),
        (None, 3.0, False, "nobody told the spread", None),
        (NAN, 3.0, False, "nobody told the spread", None),
        (None, None, True, "not asked", None),
    ],
)
def test_the_spread(spread: Any, limit: float | None, passed: bool, words: str, headroom: Any) -> None:
    said = verdict("spread", limits=Limits(max_spread_pips=limit), spread_pips=spread)
    assert (said.passed, said.words, said.headroom) == (passed, words, headroom)


@pytest.mark.parametrize(
    ("count", "passed", "words", "headroom"),
    [
        (0, True, "0 entries today, at most 10", 1.0),
        (9, True, "9 entries today, at most 10", pytest.approx(0.1)),
        (10, False, "10 entries today, at most 10", 0.0),
        (25, False, "25 entries today, at most 10", -1.0),
        (None, False, "nobody told how many entries there were today", None),
        (-1, False, "nobody told how many entries there were today", None),
        (True, False, "nobody told how many entries there were today", None),
        ("3", False, "nobody told how many entries there were today", None),
    ],
)
def test_entries_a_day(count: Any, passed: bool, words: str, headroom: Any) -> None:
    said = verdict("entries a day", entries_today=count)
    assert (said.passed, said.words, said.headroom) == (passed, words, headroom)


@pytest.mark.parametrize(
    ("count", "passed", "words"),
    [
        (0, True, "0 positions open or on their way, at most 3 with this one"),
        (2, True, "2 positions open or on their way, at most 3 with this one"),
        (3, False, "3 positions open or on their way, at most 3 with this one"),
        (None, False, "nobody told how many positions are open"),
        (10**400, False, "nobody told how many positions are open"),
    ],
)
def test_positions(count: Any, passed: bool, words: str) -> None:
    said = verdict("positions", open_positions=count)
    assert (said.passed, said.words) == (passed, words)


@pytest.mark.parametrize(
    ("entry", "known", "limit", "passed", "words"),
    [
        ({}, {}, 2.0, True, "risk 1.00 % of the equity, at most 2 %"),
        ({"volume": 1.0}, {}, 2.0, True, "risk 2.00 % of the equity, at most 2 %"),
        ({"volume": 1.001}, {}, 2.0, False, "risk 2.002 % of the equity, at most 2 %"),
        ({"stop_distance": 0.0060}, {}, 2.0, False, "risk 3.00 % of the equity, at most 2 %"),
        ({}, {"equity": 4_000.0}, 2.0, False, "risk 2.50 % of the equity, at most 2 %"),
        ({}, {"value_per_lot": 300_000.0}, 2.0, False, "risk 3.00 % of the equity, at most 2 %"),
        ({"stop_distance": None}, {}, 2.0, False, "no stop: the loss has no end"),
        ({"stop_distance": 0.0}, {}, 2.0, False, "no stop: the loss has no end"),
        ({"stop_distance": NAN}, {}, 2.0, False, "no stop: the loss has no end"),
        ({"stop_distance": None}, {}, None, True, "not asked"),
        ({"volume": None}, {}, 2.0, False, "no volume: its size could not be told"),
        ({"volume": None}, {}, None, False, "no volume: its size could not be told"),
        ({}, {"equity": None}, 2.0, False, "nobody told the equity"),
        ({}, {"equity": -5.0}, 2.0, False, "nobody told the equity"),
        ({}, {"equity": NAN}, 2.0, False, "nobody told the equity"),
        ({}, {"value_per_lot": None}, 2.0, False, "nobody told what a move is worth in the account's currency"),
        ({}, {"value_per_lot": 0.0}, 2.0, False, "nobody told what a move is worth in the account's currency"),
        ({"volume": 1e300}, {"value_per_lot": 1e300}, 2.0, False, "the risk is beyond all figures"),
    ],
)
def test_the_risk(entry: dict[str, Any], known: dict[str, Any], limit: float | None, passed: bool, words: str) -> None:
    said = verdict("risk", replace(ENTRY, **entry), Limits(max_risk_pct=limit), **known)
    assert (said.passed, said.words) == (passed, words)


def test_the_risk_has_its_headroom() -> None:
    assert verdict("risk").headroom == pytest.approx(0.5)
    assert verdict("risk", replace(ENTRY, volume=9.0)).headroom == -1.0
    assert verdict("risk", replace(ENTRY, stop_distance=None)).headroom is None


@pytest.mark.parametrize(
    ("confidence", "least", "passed", "words", "headroom"),
    [
        (None, 0.0, True, "not asked", None),
        (0.8, 0.6, True, "confidence 0.80, at least 0.6", pytest.approx(0.5)),
        (0.6, 0.6, True, "confidence 0.60, at least 0.6", 0.0),
        (0.599, 0.6, False, "confidence 0.599, at least 0.6", pytest.approx(-0.0025)),
        (1.0, 1.0, True, "confidence 1.00, at least 1", 0.0),
        (0.9, 1.0, False, "confidence 0.90, at least 1", pytest.approx(-0.1)),
        (None, 0.6, False, "nobody told the confidence", None),
        (NAN, 0.6, False, "nobody told the confidence", None),
        (1.01, 0.6, False, "nobody told the confidence", None),
        (0.0, 0.6, False, "confidence 0.00, at least 0.6", -1.0),
        (-0.01, 0.6, False, "nobody told the confidence", None),
    ],
)
def test_the_confidence(confidence: Any, least: float, passed: bool, words: str, headroom: Any) -> None:
    said = verdict("confidence", replace(ENTRY, confidence=confidence), Limits(min_confidence=least))
    assert (said.passed, said.words, said.headroom) == (passed, words, headroom)


@pytest.mark.parametrize(
    ("stop", "target", "least", "said"),
    [
        (None, None, 0.0, (True, "not asked", None)),
        (0.0020, 0.0040, 1.5, (True, "reward to risk 2.00, at least 1.5", pytest.approx(0.25))),
        (0.1 * 3, 0.1 * 9, 3.0, (True, "reward to risk 3.00, at least 3", 0.0)),
        (0.0020, 0.0029, 1.5, (False, "reward to risk 1.45, at least 1.5", pytest.approx(-0.05 / 1.5))),
        (None, 0.0040, 1.5, (False, "no stop to tell it from", None)),
        (0.0020, None, 1.5, (False, "no target to tell it from", None)),
        (0.0, 0.0040, 1.5, (False, "no stop to tell it from", None)),
        (0.0020, -0.0040, 1.5, (False, "no target to tell it from", None)),
        (NAN, 0.0040, 1.5, (False, "no stop to tell it from", None)),
        (5e-324, 0.0040, 1.5, (False, "the stop is too near to tell it", None)),
    ],
)
def test_reward_to_risk(stop: Any, target: Any, least: float, said: tuple[bool, str, Any]) -> None:
    entry = replace(ENTRY, stop_distance=stop, target_distance=target)
    found = verdict("reward to risk", entry, Limits(min_reward_to_risk=least))
    assert (found.passed, found.words, found.headroom) == said


@pytest.mark.parametrize(
    ("equity", "begin", "limit", "said"),
    [
        (9_800.0, 10_000.0, 5.0, (True, "down 2.00 % today, less than 5 % down", pytest.approx(0.6))),
        (9_500.01, 10_000.0, 5.0, (True, "down 4.9999 % today, less than 5 % down", pytest.approx(0.00002))),
        (9_500.0, 10_000.0, 5.0, (False, "down 5.00 % today, less than 5 % down", 0.0)),
        (9_000.0, 10_000.0, 5.0, (False, "down 10.00 % today, less than 5 % down", -1.0)),
        (-1.0, 10_000.0, 5.0, (False, "down 100.01 % today, less than 5 % down", -1.0)),
        (10_500.0, 10_000.0, 5.0, (True, "up 5.00 % today, less than 5 % down", 1.0)),
        (10_000.0, 10_000.0, 5.0, (True, "up 0.00 % today, less than 5 % down", 1.0)),
        (None, 10_000.0, 5.0, (False, "nobody told the equity", None)),
        (NAN, 10_000.0, 5.0, (False, "nobody told the equity", None)),
        (9_800.0, None, 5.0, (False, "nobody told the equity at the day's beginning", None)),
        (9_800.0, 0.0, 5.0, (False, "nobody told the equity at the day's beginning", None)),
        (1e308, 5e-324, 5.0, (False, "the loss is beyond all figures", None)),
        (None, None, None, (True, "not asked", None)),
    ],
)
def test_the_daily_loss(equity: Any, begin: Any, limit: float | None, said: tuple[bool, str, Any]) -> None:
    found = verdict("daily loss", limits=Limits(max_daily_loss_pct=limit), equity=equity, day_equity=begin)
    assert (found.passed, found.words, found.headroom) == said


def test_a_page_without_an_entry_sees_all_guards_and_what_waits_for_one() -> None:
    limits = Limits(min_confidence=0.5, min_reward_to_risk=1.5)
    said = {each.guard: each for each in judge(None, limits, KNOWN)}
    assert list(said) == list(GUARDS)
    for guard, limit in (("risk", 2.0), ("confidence", 0.5), ("reward to risk", 1.5)):
        assert said[guard].passed
        assert (said[guard].words, said[guard].limit, said[guard].headroom) == ("judged with each entry", limit, None)
    assert said["spread"].headroom is not None


def test_a_figure_of_numpy_is_a_figure() -> None:
    import numpy as np

    assert verdict("spread", spread_pips=np.float32(1.5)).words == "spread 1.5 pips, at most 3.0"
    assert verdict("positions", open_positions=np.int64(2)).passed


def test_circumstances_and_verdicts_come_back_from_json() -> None:
    known = replace(KNOWN, real_switches=REAL_SWITCHES)
    assert Circumstances.from_dict(json.loads(json.dumps(known.as_dict()))) == known
    assert Circumstances.from_dict({"moon": "full"}) == Circumstances()
    for said in judge(ENTRY, Limits(), KNOWN):
        assert Verdict(**json.loads(json.dumps(said.as_dict()))) == said


# What holds for all of them

FIGURES = some.none() | some.floats() | some.floats(-1.0, 20_000.0) | some.integers(-3, 10**400)
YES_OR_NO = some.none() | some.booleans()
MOMENTS = some.none() | some.datetimes(timezones=some.sampled_from([UTC, timezone(timedelta(hours=14))]))
KNOWN_OF_ANY_KIND = some.builds(
    Circumstances,
    now=MOMENTS | some.datetimes(),
    killed=YES_OR_NO,
    account=some.none() | some.sampled_from(["demo", "contest", "real", "Real ", "paper", ""]),
    real_switches=some.lists(some.sampled_from([*REAL_SWITCHES, "other"])).map(tuple),
    trade_allowed=YES_OR_NO,
    heartbeat_age_seconds=FIGURES,
    feed_age_seconds=FIGURES,
    spread_pips=FIGURES,
    entries_today=FIGURES,
    open_positions=FIGURES,
    equity=FIGURES,
    day_equity=FIGURES,
    value_per_lot=FIGURES,
    records_agree=YES_OR_NO,
)
ENTRIES = some.builds(
    Entry,
    symbol=some.just("EURUSD"),
    side=some.sampled_from([-1, 1]),
    price=some.floats(),
    volume=FIGURES,
    stop_distance=FIGURES,
    target_distance=FIGURES,
    confidence=FIGURES | some.floats(0, 1),
)
HOURS = some.times().map(lambda clock: f"{clock:%H:%M}")


def up_to(most: float, least: float = 0.0) -> some.SearchStrategy[float]:
    return some.floats(least, most, exclude_min=True)


LIMITS = some.builds(
    Limits,
    account=some.sampled_from(["demo", "real"]),
    max_entries_a_day=some.integers(1, 1_000),
    max_positions=some.integers(1, 1_000),
    max_risk_pct=some.none() | up_to(100),
    min_confidence=some.floats(0, 1),
    min_reward_to_risk=some.floats(0, 100),
    max_spread_pips=some.none() | up_to(1_000),
    hours_from=HOURS,
    hours_until=HOURS,
    max_daily_loss_pct=some.none() | up_to(100),
    max_feed_age_seconds=up_to(3_600),
    max_heartbeat_age_seconds=up_to(3_600),
)


@given(entry=some.none() | ENTRIES, limits=LIMITS, known=KNOWN_OF_ANY_KIND)
@settings(max_examples=400, deadline=None)
def test_every_guard_says_something_whatever_is_known(
    entry: Entry | None, limits: Limits, known: Circumstances
) -> None:
    said = judge(entry, limits, known)
    assert [each.guard for each in said] == list(GUARDS)
    for each in said:
        assert each.words
        assert "nan" not in each.words
        assert "inf" not in each.words
        assert all(figure is None or math.isfinite(figure) for figure in (each.value, each.limit))
        if each.headroom is not None:
            assert -1 <= each.headroom <= 1
            assert each.headroom >= 0 if each.passed else each.headroom <= 0
            assert each.value is not None


@given(entry=ENTRIES, limits=LIMITS, known=KNOWN_OF_ANY_KIND, data=some.data())
@settings(max_examples=400, deadline=None)
def test_to_know_less_never_lets_more_through(
    entry: Entry, limits: Limits, known: Circumstances, data: some.DataObject
) -> None:
    before = refused(judge(entry, limits, known))
    facts = [field.name for field in fields(Circumstances)]
    forgotten = data.draw(some.sets(some.sampled_from(facts), min_size=1))
    blank = Circumstances()
    less = replace(known, **{name: getattr(blank, name) for name in forgotten})
    unsaid = data.draw(some.sets(some.sampled_from(["volume", "stop_distance", "target_distance", "confidence"])))
    vaguer = replace(entry, **dict.fromkeys(unsaid))
    assert set(before) <= set(refused(judge(vaguer, limits, less)))


@given(known=KNOWN_OF_ANY_KIND, limits=LIMITS, value=some.sampled_from([None, NAN, INFINITE, -INFINITE]))
@settings(max_examples=200, deadline=None)
def test_what_is_no_figure_counts_as_not_told(known: Circumstances, limits: Limits, value: Any) -> None:
    figures = [name for name in vars(known) if name.endswith(("seconds", "pips", "today", "positions", "equity"))]
    without = replace(known, **dict.fromkeys([*figures, "value_per_lot"]))
    broken = replace(known, **dict.fromkeys([*figures, "value_per_lot"], value))
    assert judge(ENTRY, limits, broken) == judge(ENTRY, limits, without)


def tightened(limits: Limits, data: some.DataObject) -> Limits:
    """The same limits with one of them held tighter."""
    name = data.draw(
        some.sampled_from([name for name in Limits.model_fields if name not in {"account", "valid_seconds"}])
    )
    held = getattr(limits, name)
    if name.startswith("hours"):
        return limits
    if name.startswith("min"):
        value: Any = data.draw(some.floats(held, 1.0 if name == "min_confidence" else 100.0))
    elif isinstance(held, int):
        value = data.draw(some.integers(1, held))
    else:
        value = data.draw(up_to(100.0 if held is None else held))
    return Limits(**{**limits.model_dump(), name: value})


@given(entry=ENTRIES, limits=LIMITS, known=KNOWN_OF_ANY_KIND, data=some.data())
@settings(max_examples=400, deadline=None)
def test_a_tighter_limit_never_lets_more_through(
    entry: Entry, limits: Limits, known: Circumstances, data: some.DataObject
) -> None:
    before = refused(judge(entry, limits, known))
    assert set(before) <= set(refused(judge(entry, tightened(limits, data), known)))


@given(begin=some.integers(0, 1439), length=some.integers(1, 1439), data=some.data())
@settings(max_examples=200, deadline=None)
def test_shorter_hours_never_let_more_through(begin: int, length: int, data: some.DataObject) -> None:
    later = data.draw(some.integers(0, length - 1))
    shorter = data.draw(some.integers(1, length - later))
    now = datetime(2026, 3, 4, tzinfo=UTC) + timedelta(minutes=data.draw(some.integers(0, 1439)))

    def passes(first: int, minutes: int) -> bool:
        clock = [f"{minute % 1440 // 60:02}:{minute % 60:02}" for minute in (first, first + minutes)]
        return verdict("hours", limits=Limits(hours_from=clock[0], hours_until=clock[1]), now=now).passed

    assert passes(begin, length) or not passes(begin + later, shorter)
    assert passes(begin, length) == ((now.hour * 60 + now.minute - begin) % 1440 < length)
