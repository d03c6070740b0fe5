"""Jobs on a schedule: when they are due, once each, and made up for once when nobody was there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from errands import REGISTRY, queue

from core import schedules
from core.clock import parse_utc
from core.errors import InputError, UnknownNameError
from core.schedules import Schedule, add_schedule, delete_schedule, enable_schedule, fire_due, next_firing, schedule

MONDAY = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def monday(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "wall_now", lambda: MONDAY)


def daily() -> Schedule:
    return add_schedule(REGISTRY, "errands", "deliver", {"words": "milk"}, title="Milk", cron="5 22 * * mon-fri")


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("5 22 * * mon-fri", "2026-01-05 12:00", "2026-01-05 22:05"),
        ("5 22 * * mon-fri", "2026-01-09 22:05", "2026-01-12 22:05"),
        ("0 * * * *", "2026-01-05 12:00", "2026-01-05 13:00"),
        ("*/15 * * * *", "2026-01-05 12:01", "2026-01-05 12:15"),
        ("0 0 1 * *", "2026-01-05 12:00", "2026-02-01 00:00"),
        ("30 6 * * sun", "2026-01-05 12:00", "2026-01-11 06:30"),
    ],
)
def test_the_next_firing(cron: str, after: str, expected: str) -> None:
    assert next_firing(cron, datetime.fromisoformat(f"{after}+00:00")) == datetime.fromisoformat(f"{expected}+00:00")


@pytest.mark.parametrize("cron", ["", "5 22", "61 * * * *", "5 22 * * 1", "5 22 * * 1-5", "0 0 30 feb *", "x * * * *"])
def test_what_is_no_cron_is_refused_by_name(cron: str) -> None:
    with pytest.raises(InputError, match="cron="):
        next_firing(cron, MONDAY)


def test_a_schedule_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="errands/delver"):
        add_schedule(REGISTRY, "errands", "delver", {}, title="?", cron="0 * * * *")


def test_a_due_schedule_queues_its_job_once_and_moves_on() -> None:
    made = daily()
    due = parse_utc(made.next_run_at)
    assert fire_due(REGISTRY, due - timedelta(seconds=1)) == 0
    assert fire_due(REGISTRY, due + timedelta(seconds=2)) == 1
    assert fire_due(REGISTRY, due + timedelta(seconds=3)) == 0
    [job] = queue.jobs()
    assert (job.kind, job.arguments, job.title, job.fire_time) == (
        "deliver",
        {"words": "milk"},
        "Milk",
        made.next_run_at,
    )
    after = schedule(made.id)
    assert parse_utc(after.next_run_at) == due + timedelta(days=1)
    assert after.missed == 0


def test_a_kill_between_queueing_and_moving_on_queues_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    made = daily()
    due = parse_utc(made.next_run_at)

    def killed(*_arguments: object, **_values: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(schedules, "_update", killed)
        with pytest.raises(KeyboardInterrupt):
            fire_due(REGISTRY, due)
    assert len(queue.jobs()) == 1
    assert fire_due(REGISTRY, due + timedelta(seconds=5)) == 1
    assert len(queue.jobs()) == 1
    assert parse_utc(schedule(made.id).next_run_at) > due


def test_missed_firings_are_counted_and_made_up_for_once() -> None:
    made = daily()
    due = parse_utc(made.next_run_at)
    fire_due(REGISTRY, due + timedelta(days=2, hours=1))  # Monday's, Tuesday's and Wednesday's
    [job] = queue.jobs()
    assert job.title == "Milk (made up for 2026-01-05 22:05 UTC)"
    assert schedule(made.id).missed == 3
    assert parse_utc(schedule(made.id).next_run_at) == due + timedelta(days=3)


def test_a_schedule_that_is_off_does_not_fire_and_begins_anew_from_now() -> None:
    made = daily()
    enable_schedule(made.id, False)
    assert fire_due(REGISTRY, MONDAY + timedelta(days=5)) == 0
    enable_schedule(made.id, True)
    assert parse_utc(schedule(made.id).next_run_at) > MONDAY
    delete_schedule(made.id)
    with pytest.raises(UnknownNameError):
        schedule(made.id)


def test_a_schedule_whose_kind_is_gone_is_switched_off_and_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    gone, fine = daily(), daily()
    schedules._update(gone.id, kind="from another version")
    fire_due(REGISTRY, parse_utc(fine.next_run_at))
    assert len(queue.jobs()) == 1
    assert schedule(gone.id).enabled == 0
