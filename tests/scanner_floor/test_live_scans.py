"""Scans of live bars: what ticks make of each minute, scanned again and again, and never told in two ways."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.errors import InputError
from core.job_process import log_name, run_job
from core.jobs import Job, JobStatus
from core.log import log_file
from core.schedules import Schedule, add_schedule, enable_schedule, fire_due, schedule
from data.bar_store import BarStore
from data.live_bars import GRACE_MS, MINUTE_MS, LiveBars
from data.pipeline_controller import controller
from market.calendar import bar_end
from market.symbols import AssetClass
from market.timeframes import Timeframe
from mql5.bridge.ticks import TickRow, TickStore
from scanner.jobs import NOTHING_NEWER, SCHEDULED_KEPT, queue, scan, scan_arguments, scan_title
from scanner.layers import layer_of
from scanner.reading import LIVE, bars_since, held_series
from scanner.scan import Asked, Known, ScanSettings, scan_symbol
from scanner.setups import find_candidates
from scanner.store import list_findings, list_scans, list_setups
from workbench import JOBS

START = pd.Timestamp("2024-03-05", tz="UTC")  # a Tuesday
START_MS = START.value // 1_000_000
TIMEFRAMES = (Timeframe.M5, Timeframe.H1)


def walk(minutes: int, seed: int = 7, source: str = "ea", level: float = 1.1) -> list[TickRow]:
    """Two ticks a minute of a random walk, none in some minutes and in a stretch of twenty."""
    chance = np.random.default_rng(seed)
    bids = level + 0.0004 * chance.standard_normal(2 * minutes).cumsum()
    quiet = (chance.random(minutes) < 0.08) | ((np.arange(minutes) > 700) & (np.arange(minutes) < 720))
    rows = []
    for number, bid in enumerate(bids.tolist()):
        minute, half = divmod(number, 2)
        if not quiet[minute]:
            at = START_MS + minute * MINUTE_MS + half * 30_000 + int(chance.integers(0, 30_000))
            rows.append(TickRow(source, "EURUSD", at, number, at, bid, bid + 0.0001, None, 0.0, 0, 0, at))
    return rows


def send(ticks: list[TickRow], live: LiveBars, moment_ms: int) -> None:
    """The ticks of up to a moment are received, and become the bars that are over by then."""
    coming = [tick for tick in ticks if tick.time_ms <= moment_ms]
    ticks[:] = ticks[len(coming) :]
    TickStore().enter([coming])
    live.step(moment_ms)


def keep_live(minutes: int, **walked: Any) -> None:
    send(walk(minutes, **walked), LiveBars(), START_MS + minutes * MINUTE_MS + GRACE_MS)


def worked_off() -> Job:
    job = queue.claim(JOBS.kinds["scan"], "test")
    assert job is not None
    run_job(scan, queue.begin(job.id, job.attempt))
    return queue.job(job.id)


def scanned(*timeframes: str, **options: Any) -> Job:
    JOBS.submit("scan", "scan", scan_arguments(None, list(timeframes), live=True, **options), "a title")
    return worked_off()


class Told:
    """What scans of live bars have told of each timeframe so far, as the store would hold it."""

    def __init__(self) -> None:
        self.known: dict[Timeframe, Known] = {}
        self.findings: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.setups: dict[tuple[Any, ...], Any] = {}
        self.waiting: set[Timeframe] = set()

    def take_in(self, settings: ScanSettings, timeframes: tuple[Timeframe, ...]) -> None:
        """Scan what is newer, and enter it."""
        last = held_series(LIVE)["last"].max()
        self.waiting = set()
        for found in scan_symbol(settings, Asked("EURUSD", timeframes, LIVE, dict(self.known), last=last)):
            if found.waits:
                self.waiting.add(found.timeframe)
                continue
            assert found.failure is None
            assert found.known is not None
            self.known[found.timeframe] = found.known
            for row in found.new:
                assert self.name(found.timeframe, row) not in self.findings
                self.findings[self.name(found.timeframe, row)] = dict(row)
            for row in found.ended:
                self.findings[self.name(found.timeframe, row)] = dict(row)
            for setup in (*found.setups, *found.ended_setups):
                self.setups[found.timeframe, setup.known_at, setup.direction] = setup

    @staticmethod
    def name(timeframe: Timeframe, row: Any) -> tuple[Any, ...]:
        return (timeframe, *(row[name] for name in ("kind", "direction", "formed_at", "known_at", "level")))


def moments(minutes: int) -> Iterator[int]:
    """When the bridge looks, in odd steps of up to half an hour (ms)."""
    chance, at = np.random.default_rng(3), START_MS
    while at < START_MS + minutes * MINUTE_MS:
        at += int(chance.integers(20_000, 1_800_000))
        yield at


def test_a_day_of_ticks_scanned_bar_by_bar_is_what_a_scan_anew_finds_at_every_moment() -> None:
    settings, told, live, ticks = ScanSettings(), Told(), LiveBars(), walk(1440)
    seen: list[tuple[int, Timeframe, pd.DataFrame]] = []
    prefixes = 0
    for at in moments(1440):
        send(ticks, live, at)
        if held_series(LIVE).empty:
            continue
        told.take_in(settings, (*TIMEFRAMES, Timeframe.D1))
        assert Timeframe.D1 in told.waiting  # the market's day ends at 22:00 UTC, and this one began before the ticks
        bars = {each: bars_since("EURUSD", each, None, LIVE) for each in TIMEFRAMES}
        layers = [
            layer_of(bars[each], each, settings.patterns, AssetClass.FX) for each in TIMEFRAMES if len(bars[each])
        ]
        anew = {
            Told.name(layer.timeframe, row): dict(row)
            for layer in layers
            for row in layer.findings.records(layer.times)
        }
        assert {name: str(row) for name, row in told.findings.items()} == {name: str(row) for name, row in anew.items()}
        for place, layer in enumerate(layers):
            made = find_candidates(layers[place:], "EURUSD", settings.setups).setups()
            mine = {name[1:]: str(setup) for name, setup in told.setups.items() if name[0] is layer.timeframe}
            assert mine == {(setup.known_at, setup.direction): str(setup) for setup in made}
        seen += [(at, each, frame) for each, frame in bars.items()]
        prefixes += 1
    assert prefixes > 80
    assert len(told.setups) > 20
    assert any(setup.is_setup for setup in told.setups.values())
    whole = {each: bars_since("EURUSD", each, None, LIVE) for each in TIMEFRAMES}
    for at, timeframe, frame in seen:
        # What was read is the beginning of what is there in the end: no bar was open, and none became another.
        assert frame.equals(whole[timeframe].iloc[: len(frame)][frame.columns])
        if len(frame):
            end = bar_end(pd.DatetimeIndex(frame.index[-1:]), timeframe)[0]
            assert end.value // 1_000_000 + GRACE_MS <= at


def test_live_and_historical_bars_are_two_series_and_never_one() -> None:
    keep_live(300)
    index = pd.date_range(START - timedelta(days=3), START + timedelta(minutes=235), freq="5min", tz="UTC", name="time")
    dear = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close", "volume"), 2.0), index=index)
    dear.iloc[::7, 1] = 2.5
    for timeframe in ("M1", "M5"):
        BarStore().add("EURUSD", timeframe, "Elsewhere", dear)
    job = scanned("M5", "H1")
    assert (job.status, job.failure) == (JobStatus.SUCCEEDED, None)
    scans = list_scans().set_index("timeframe")
    assert scans["source"].unique().tolist() == [LIVE]
    assert (scans["first_time"] >= START).all()
    assert list_findings()["level"].max() < 1.5
    JOBS.submit("scan", "scan", scan_arguments(None, ["M5"]), "the historical ones")
    assert worked_off().status is JobStatus.SUCCEEDED
    of_store = list_scans().query("source == 'store'").iloc[0]
    assert of_store["bars"] == len(dear)
    assert list_setups(source=LIVE, setups_only=False)["entry"].max() < 1.5
    assert len(list_scans()) == 3


def test_of_several_terminals_the_first_one_is_read() -> None:
    keep_live(120)
    keep_live(400, seed=8, source="another", level=1.9)
    assert held_series(LIVE)["source"].tolist() == ["ea"]
    assert scanned("M5").status is JobStatus.SUCCEEDED
    assert list_findings()["level"].max() < 1.5
    assert list_scans()["bars"].iloc[0] == len(LiveBars().bars("EURUSD", "M5"))


def test_a_timeframe_without_a_whole_bar_waits_and_fails_nothing() -> None:
    send(ticks := walk(400), live := LiveBars(), START_MS + 50 * MINUTE_MS)
    job = scanned("M5", "H1", "H4")
    assert job.status is JobStatus.SUCCEEDED
    assert job.words.endswith("new setups on 1 series; 2 series wait for their first whole bar")
    waiting = list_scans().set_index("timeframe")
    assert waiting.loc["H4", "failure"] == "No whole H4 bar of EURUSD has come in live yet."
    assert waiting["failure"].isna().tolist() == [name == "M5" for name in waiting.index]
    again = scanned("M5", "H1", "H4")
    assert (again.status, again.words) == (
        JobStatus.SUCCEEDED,
        f"{NOTHING_NEWER}; 2 series wait for their first whole bar",
    )
    send(ticks, live, START_MS + 370 * MINUTE_MS)  # from 02:00 to 06:00 UTC, the market's days being five hours off
    assert "2 series wait" not in scanned("M5", "H1", "H4").words
    assert list_scans()["failure"].isna().all()
    assert scanned("M5", "H1", "H4").words == NOTHING_NEWER


def test_a_minute_that_makes_no_longer_bar_is_no_reason_to_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    send(ticks := walk(200), live := LiveBars(), START_MS + 121 * MINUTE_MS)
    assert scanned("M15").status is JobStatus.SUCCEEDED
    before = list_scans()
    send(ticks, live, START_MS + 133 * MINUTE_MS)
    assert len(BarStore().bars("EURUSD", "M1", kind="live")) > 120

    def read(*asked: Any) -> Any:
        raise AssertionError("there was nothing to scan")

    monkeypatch.setattr("scanner.jobs.scan_symbol", read)
    assert scanned("M15").words == NOTHING_NEWER
    assert list_scans().equals(before)


def test_what_has_no_live_bars_is_told_with_its_cure() -> None:
    nothing = scanned("M5")
    assert (nothing.status, nothing.failure) == (JobStatus.FAILED, "There are no live bars to scan.")
    keep_live(60)
    JOBS.submit("scan", "scan", scan_arguments(["EURUSD.m", "GBPUSD"], ["M5"], live=True), "a title")
    job = worked_off()
    assert job.status is JobStatus.SUCCEEDED
    failed = list_scans().set_index("symbol")["failure"]
    assert failed["GBPUSD"] == "There are no live bars of GBPUSD."
    assert pd.isna(failed["EURUSD"])
    version = controller.enter_bars(bars_since("EURUSD", Timeframe.M5, None, LIVE), "EURUSD", "M5")
    with pytest.raises(InputError, match="holds no live bars"):
        scan_arguments(versions=[version], live=True)


def test_a_scan_of_live_bars_says_so() -> None:
    assert scan_title(scan_arguments(["EURUSD"], "M5", live=True)) == "Scan live bars of EURUSD on M5"
    assert scan_title(scan_arguments(None, "M5", live=True)) == "Scan all live bars on M5"
    queued_earlier = {name: value for name, value in scan_arguments(["EURUSD"], "M5").items() if name != "live"}
    assert scan_title(queued_earlier) == "Scan EURUSD on M5"


# Kept scanning


def keep_scanning() -> Schedule:
    arguments = scan_arguments(None, ["M5"], live=True)
    return add_schedule(JOBS, "scan", "scan", arguments, title=scan_title(arguments), cron="1-59/5 * * * *")


def fire(kept: Schedule, times: int = 1) -> datetime:
    """The schedule is due so many times, and nobody works off what it queues."""
    for _ in range(times):
        due = datetime.fromisoformat(schedule(kept.id).next_run_at) + timedelta(seconds=1)
        assert fire_due(JOBS, due) == 1
    return due


def test_a_scan_on_a_schedule_enters_only_what_is_newer() -> None:
    send(ticks := walk(600), live := LiveBars(), START_MS + 300 * MINUTE_MS)
    kept = keep_scanning()
    fire(kept)
    first = worked_off()
    assert (first.status, first.schedule_id) == (JobStatus.SUCCEEDED, kept.id)
    findings, setups = list_findings(), list_setups(setups_only=False)
    fire(kept)
    assert worked_off().words == NOTHING_NEWER
    assert list_findings().equals(findings)
    send(ticks, live, START_MS + 601 * MINUTE_MS)
    fire(kept)
    assert worked_off().status is JobStatus.SUCCEEDED
    newer = list_findings()
    assert set(findings["id"]) < set(newer["id"])
    added = newer[~newer["id"].isin(findings["id"])]
    assert (added["known_at"] > findings["known_at"].max()).all()
    assert set(setups["id"]) < set(list_setups(setups_only=False)["id"])


def test_firings_that_piled_up_are_one_scan() -> None:
    keep_live(100)
    fire(keep_scanning(), times=5)
    JOBS.submit("scan", "scan", scan_arguments(None, ["M15"], live=True), "asked by hand")
    done = worked_off()
    by_status = [job.status for job in queue.jobs()]
    assert by_status == [JobStatus.QUEUED, *[JobStatus.CANCELLED] * 4, JobStatus.SUCCEEDED]
    assert {job.words for job in queue.jobs([JobStatus.CANCELLED])} == {f"job {done.id} scans the same bars"}


def test_of_a_schedules_scans_the_newest_stay_and_those_asked_by_hand_all() -> None:
    keep_live(100)
    scanned("M5")
    other = keep_scanning()
    fire(other)
    worked_off()
    enable_schedule(other.id, False)
    kept = keep_scanning()
    for number in range(SCHEDULED_KEPT + 4):
        fire(kept)
        log = log_file(log_name("scan", queue.jobs(limit=1)[0].id))
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("{}\n")
        if number == 1:
            queue.cancel(queue.jobs(limit=1)[0].id)
        else:
            assert worked_off().status is JobStatus.SUCCEEDED
    jobs = queue.jobs()
    mine = [job for job in jobs if job.schedule_id == kept.id]
    assert sum(job.status is JobStatus.SUCCEEDED for job in mine) == SCHEDULED_KEPT + 1  # the last one beside
    assert sum(job.status is JobStatus.CANCELLED for job in mine) == 1
    assert [job.schedule_id for job in jobs if job not in mine] == [other.id, None]
    assert {log.stem for log in log.parent.iterdir()} == {f"scan-{job.id}" for job in mine}
