from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback.base import FOR_EVER, Sickness, served
from loopback.gdelt import GdeltServer

from core.clock import utc_text
from core.errors import StoreLockedError
from core.store import Store
from data import tables
from data.news import NewsOutcome, NewsStore, collect_news
from data.sources.gdelt import QUERIES, GdeltSource
from data.tables import DATA_PIPELINE

NOW = datetime(2024, 3, 10, 12, 7, 30, tzinfo=UTC)
HOUR = pd.Timedelta(hours=1)


class Clock:
    """A time of day that tests move on."""

    now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def gdelt_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GdeltServer]:
    monkeypatch.setenv("SEQUENCE_SOURCES__GDELT_PAUSE_SECONDS", "0")
    monkeypatch.setenv("SEQUENCE_SOURCES__BACKOFF_SECONDS", "0")
    yield from served(GdeltServer, monkeypatch)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept(clock: Clock) -> NewsStore:
    return NewsStore(Store(DATA_PIPELINE), clock)


def at(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def article(url: str, seen: str, title: str = "Rates held", fetched: datetime = NOW) -> dict[str, object]:
    return {
        "url": f"https://news.example/{url}",
        "title": title,
        "domain": "news.example",
        "language": "English",
        "source_country": None,
        "published_at": pd.NaT,
        "seen_at": at(seen),
        "fetched_at": pd.Timestamp(fetched),
    }


def steps(known: dict[str, float], minutes: int = 60, volume: int | None = 5) -> pd.DataFrame:
    """Rows of a `ToneSlice`: the end of each step → its tone."""
    return pd.DataFrame(
        {
            "time": [at(end) - pd.Timedelta(minutes=minutes) for end in known],
            "step_minutes": minutes,
            "known_at": [at(end) for end in known],
            "tone": list(known.values()),
            "volume": pd.Series([volume] * len(known), dtype="Int64"),
            "all_articles": pd.Series([5_000] * len(known), dtype="Int64"),
            "fetched_at": pd.Timestamp(NOW),
        }
    )


def read(query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(Store(DATA_PIPELINE).path)) as database:
        return database.execute(query).fetchall()


# Tables


@pytest.mark.parametrize(
    "table",
    [tables.news_articles, tables.news_tone, tables.news_coverage, tables.source_throttle],
    ids=lambda table: table.name,
)
def test_the_migration_makes_the_table_that_is_declared(table: sa.Table, kept: NewsStore) -> None:
    declared = sa.create_engine("sqlite://")
    DATA_PIPELINE.metadata.create_all(declared)
    kept.add_articles("EUR", pd.DataFrame([article("1", "2024-03-01")]))
    shape = f"""
        SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info('{table.name}')
        UNION ALL SELECT l.name LIKE 'sqlite_%' OR l.name, i.name, l."unique", i.seqno, 0
        FROM pragma_index_list('{table.name}') AS l, pragma_index_info(l.name) AS i
        UNION ALL SELECT name, 'table', strict, 0, 0 FROM pragma_table_list WHERE name = '{table.name}'
    """  # noqa: S608 - a name of ours
    with declared.connect() as connection:
        wanted = [tuple(row) for row in connection.exec_driver_sql(shape)]
    declared.dispose()
    assert len(wanted) > len(table.columns)
    assert read(shape) == wanted


BEFORE_NEWS = """
import sys
from pathlib import Path
from core.store import Module, Store
from data.tables import DATA_PIPELINE, validation

older = Module(DATA_PIPELINE.name, DATA_PIPELINE.application_id, DATA_PIPELINE.metadata, Path(sys.argv[1]))
Store(older).insert(validation, created_at="x", status="PASS", rows=1, rules=[], duration_seconds=0.0)
"""


def test_a_database_made_before_there_were_news_keeps_its_rows_and_takes_them(
    kept: NewsStore, tmp_path: Path, run_script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    for name in ("v0001_first_tables.py", "v0002_notes_and_tags.py"):
        shutil.copy(DATA_PIPELINE.migrations / name, tmp_path / name)
    made = run_script(BEFORE_NEWS, tmp_path)
    assert made.returncode == 0, made.stderr
    assert kept.add_articles("EUR", pd.DataFrame([article("1", "2024-03-01")])) == 1
    assert read("SELECT status FROM data_validation") == [("PASS",)]


def test_a_workbench_without_a_database_has_no_news(kept: NewsStore) -> None:
    assert kept.articles("EUR").empty
    assert kept.search("rates").empty
    assert kept.covered("tone", "EUR") == []
    assert kept.tone_as_of(pd.DatetimeIndex([at("2024-03-01")]), "EUR").isna().all(axis=None)
    assert not Store(DATA_PIPELINE).path.exists()


# Articles


def test_articles_are_read_as_they_were_kept_newest_first(kept: NewsStore) -> None:
    rows = pd.DataFrame([article("1", "2024-03-01"), article("2", "2024-03-02"), article("3", "2024-03-01")])
    assert kept.add_articles("EUR", rows) == 3
    found = kept.articles("EUR")
    assert found["url"].str[-1].tolist() == ["2", "3", "1"]
    newest = found.iloc[0]
    assert (newest["currency"], newest["seen_at"], newest["fetched_at"]) == ("EUR", at("2024-03-02"), pd.Timestamp(NOW))
    assert pd.isna(newest["published_at"])
    assert pd.isna(newest["source_country"])
    assert "id" not in found


def test_the_same_article_is_kept_once_for_each_currency(kept: NewsStore) -> None:
    rows = pd.DataFrame([article("1", "2024-03-01")])
    assert [kept.add_articles(currency, rows) for currency in ("EUR", "EUR", "USD", "usd")] == [1, 0, 1, 0]
    assert len(kept.articles("EUR")) == len(kept.articles("usd")) == 1
    assert kept.articles("GBP").empty


def test_an_article_seen_again_stays_as_it_was_first_seen(kept: NewsStore) -> None:
    kept.add_articles("EUR", pd.DataFrame([article("1", "2024-03-02", "Rates held")]))
    later = NOW + timedelta(days=1)
    kept.add_articles("EUR", pd.DataFrame([article("1", "2024-03-05", "Rates held, it turns out wrongly", later)]))
    [row] = kept.articles("EUR").to_dict("records")
    assert (row["seen_at"], row["title"], row["fetched_at"]) == (at("2024-03-02"), "Rates held", pd.Timestamp(NOW))
    kept.add_articles("EUR", pd.DataFrame([article("1", "2024-03-01")]))
    assert kept.articles("EUR")["seen_at"].tolist() == [at("2024-03-01")]


def test_articles_as_of_a_time_are_those_seen_by_then(kept: NewsStore) -> None:
    kept.add_articles("EUR", pd.DataFrame([article(str(day), f"2024-03-0{day} 10:00") for day in range(1, 6)]))
    until = kept.articles("EUR", until=at("2024-03-03 10:00"))
    assert until["url"].str[-1].tolist() == ["3", "2", "1"]
    between = kept.articles("EUR", since=at("2024-03-02 10:00"), until=at("2024-03-04 09:59"))
    assert between["url"].str[-1].tolist() == ["3", "2"]
    assert kept.articles("EUR", limit=1)["url"].str[-1].tolist() == ["5"]


def test_an_empty_slice_adds_nothing(kept: NewsStore) -> None:
    assert kept.add_articles("EUR", pd.DataFrame([article("1", "2024-03-01")]).head(0)) == 0
    assert kept.add_tone("EUR", (), steps({}).head(0)) == 0
    assert not Store(DATA_PIPELINE).path.exists()


def test_titles_are_found_by_their_words(kept: NewsStore) -> None:
    titles = ["Zürich: SNB hält Zinsen", "ECB holds rates", "Fed holds rates, dollar falls", "Gold rises"]
    kept.add_articles("EUR", pd.DataFrame([article(str(row), "2024-03-01", title) for row, title in enumerate(titles)]))
    kept.add_articles("USD", pd.DataFrame([article("2", "2024-03-01", titles[2])]))
    assert kept.search("zurich")["title"].tolist() == [titles[0]]
    assert sorted(kept.search("rates HOLDS", "EUR")["title"]) == sorted(titles[1:3])
    assert kept.search("rates doll")["currency"].tolist() == ["EUR", "USD"]
    assert len(kept.search("rates", limit=2)) == 2
    assert kept.search("holds gold").empty


@pytest.mark.parametrize("words", ["", "  ", '"', "AND", "a* OR (", "title:x", "ra-tes'; DROP", "*", "NEAR(a b)"])
def test_no_words_break_the_search(words: str, kept: NewsStore) -> None:
    kept.add_articles("EUR", pd.DataFrame([article("1", "2024-03-01")]))
    assert kept.search(words).empty


def test_an_article_seen_again_is_found_once(kept: NewsStore) -> None:
    for seen in ("2024-03-02", "2024-03-01"):
        kept.add_articles("EUR", pd.DataFrame([article("1", seen)]))
    assert len(kept.search("held")) == 1
    with Store(DATA_PIPELINE).write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO news_articles_text (news_articles_text, rank) VALUES ('integrity-check', 1)"
        )


# Tone


def test_the_tone_as_of_a_time_is_the_last_one_known_by_then(kept: NewsStore) -> None:
    kept.add_tone("EUR", (), steps({"2024-03-01 10:00": 1.5, "2024-03-01 12:00": -2.0}))
    times = pd.DatetimeIndex([at(f"2024-03-01 {time}") for time in ("09:59", "10:00", "11:59", "12:00", "13:30")])
    found = kept.tone_as_of(times, "EUR")
    assert list(found.columns) == ["news_tone_eur", "news_volume_eur", "news_age_minutes_eur"]
    assert found.index.equals(times)
    expected = [[np.nan] * 3, [1.5, 5, 0], [1.5, 5, 119], [-2, 5, 0], [-2, 5, 90]]
    np.testing.assert_array_equal(found.to_numpy(), np.array(expected, dtype="float64"))
    assert set(found.dtypes) == {np.dtype("float64")}


def test_times_may_stand_in_any_order_and_zone(kept: NewsStore) -> None:
    kept.add_tone("EUR", (), steps({"2024-03-01 10:00": 1.5, "2024-03-01 12:00": -2.0}))
    times = pd.DatetimeIndex(["2024-03-01 13:00", "2024-03-01 11:00", "2024-03-01 13:00"]).tz_localize("Europe/Berlin")
    assert kept.tone_as_of(times.as_unit("ns"), "EUR")["news_tone_eur"].tolist() == [-2.0, 1.5, -2.0]


def test_a_delay_puts_off_when_a_step_is_known_and_its_age_counts_from_its_end(kept: NewsStore) -> None:
    kept.add_tone("EUR", (), steps({"2024-03-01 10:00": 1.5}))
    times = pd.DatetimeIndex([at("2024-03-01 10:29"), at("2024-03-01 10:30")])
    found = kept.tone_as_of(times, "EUR", delay=pd.Timedelta(minutes=30))
    assert found["news_tone_eur"].tolist()[1:] == [1.5]
    assert found["news_age_minutes_eur"].isna().tolist() == [True, False]
    assert found["news_age_minutes_eur"].iloc[1] == 30


def test_steps_of_another_length_country_or_currency_are_left_out(kept: NewsStore) -> None:
    kept.add_tone("EUR", (), steps({"2024-03-01 10:00": 1.0}))
    kept.add_tone("EUR", (), steps({"2024-03-01 10:15": 2.0}, minutes=15))
    kept.add_tone("EUR", ("EU", "US"), steps({"2024-03-01 10:00": 3.0}))
    kept.add_tone("USD", (), steps({"2024-03-01 10:00": 4.0}))
    times = pd.DatetimeIndex([at("2024-03-01 11:00")])
    assert kept.tone_as_of(times, "EUR").iloc[0, 0] == 1.0
    assert kept.tone_as_of(times, "EUR", step=pd.Timedelta(minutes=15)).iloc[0, 0] == 2.0
    assert kept.tone_as_of(times, "EUR", ("us", "EUROZONE")).iloc[0, 0] == 3.0
    assert kept.tone_as_of(times, "usd")["news_tone_usd"].tolist() == [4.0]


def test_a_step_kept_again_takes_the_new_figures(kept: NewsStore) -> None:
    assert kept.add_tone("EUR", (), steps({"2024-03-01 10:00": 1.0, "2024-03-01 11:00": 2.0})) == 2
    assert kept.add_tone("EUR", (), steps({"2024-03-01 11:00": 2.5, "2024-03-01 12:00": 3.0}, volume=9)) == 1
    times = pd.DatetimeIndex([at("2024-03-01 10:30"), at("2024-03-01 11:30")])
    assert kept.tone_as_of(times, "EUR").iloc[:, :2].to_numpy().tolist() == [[1.0, 5.0], [2.5, 9.0]]


def test_a_volume_that_gdelt_did_not_tell_stays_unknown(kept: NewsStore) -> None:
    kept.add_tone("EUR", (), steps({"2024-03-01 10:00": 1.0}, volume=None))
    [[tone, volume, age]] = kept.tone_as_of(pd.DatetimeIndex([at("2024-03-01 10:00")]), "EUR").to_numpy().tolist()
    assert (tone, np.isnan(volume), age) == (1.0, True, 0.0)


hours = st.lists(st.integers(0, 100), min_size=1, max_size=20, unique=True).map(sorted)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ends=hours, cut=st.integers(0, 100), asked=st.lists(st.integers(0, 6_000), min_size=1, max_size=20))
def test_news_that_come_later_never_change_what_was_known_before(
    ends: list[int], cut: int, asked: list[int], kept: NewsStore
) -> None:
    with Store(DATA_PIPELINE).write() as connection:
        connection.execute(tables.news_tone.delete())
    first = at("2024-03-01")
    tone = {utc_text(first + end * HOUR)[:19]: float(end) for end in ends}
    early = {end: value for end, value in tone.items() if at(end) <= first + cut * HOUR}
    before = pd.DatetimeIndex([first + pd.Timedelta(minutes=minute) for minute in asked])
    before = before[before < first + (cut + 1) * HOUR]
    kept.add_tone("EUR", (), steps(early))
    as_it_was = kept.tone_as_of(before, "EUR")
    kept.add_tone("EUR", (), steps({end: value for end, value in tone.items() if end not in early}))
    pd.testing.assert_frame_equal(kept.tone_as_of(before, "EUR"), as_it_was)


# Coverage


def test_ranges_that_touch_are_one_and_what_is_missing_is_the_rest(kept: NewsStore) -> None:
    for start, end in (("2024-02-01", "2024-02-03"), ("2024-02-05", "2024-02-06"), ("2024-02-03", "2024-02-04")):
        kept.add_coverage("tone", "EUR", ["EU"], at(start), at(end))
    covered = [(at("2024-02-01"), at("2024-02-04")), (at("2024-02-05"), at("2024-02-06"))]
    assert kept.covered("tone", "EUR", ["EUROZONE"]) == covered
    assert kept.missing("tone", "EUR", ["EU"], at("2024-01-31"), at("2024-02-07")) == [
        (at("2024-01-31"), at("2024-02-01")),
        (at("2024-02-04"), at("2024-02-05")),
        (at("2024-02-06"), at("2024-02-07")),
    ]
    assert kept.missing("tone", "EUR", ["EU"], at("2024-02-02"), at("2024-02-05 12:00")) == [
        covered[0][1:] + covered[1][:1]
    ]
    assert kept.missing("tone", "EUR", ["EU"], at("2024-02-01"), at("2024-02-04")) == []
    for kind, currency, countries in (("articles", "EUR", ["EU"]), ("tone", "USD", ["EU"]), ("tone", "EUR", [])):
        assert kept.covered(kind, currency, countries) == []  # type: ignore[arg-type]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ranges=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8)), max_size=8),
    start=st.integers(0, 30),
    days=st.integers(1, 15),
)
def test_what_is_covered_and_what_is_missing_is_everything_once(
    ranges: list[tuple[int, int]], start: int, days: int, kept: NewsStore
) -> None:
    with Store(DATA_PIPELINE).write() as connection:
        connection.execute(tables.news_coverage.delete())
    first, day = at("2024-01-01"), pd.Timedelta(days=1)
    for begin, length in ranges:
        kept.add_coverage("tone", "EUR", (), first + begin * day, first + (begin + length) * day)
    held = {begin + offset for begin, length in ranges for offset in range(length)}
    missing = kept.missing("tone", "EUR", (), first + start * day, first + (start + days) * day)
    lacking = {(at_ - first) // day for begin, end in missing for at_ in pd.date_range(begin, end, inclusive="left")}
    assert lacking == set(range(start, start + days)) - held
    covered = kept.covered("tone", "EUR")
    assert all(until < begin for (_, until), (begin, _) in pairwise(covered))


def test_the_last_day_never_counts_as_answered(kept: NewsStore, clock: Clock) -> None:
    kept.add_coverage("tone", "EUR", (), at("2024-03-10"), at("2024-03-10 12:00"))
    assert kept.covered("tone", "EUR") == []
    kept.add_coverage("tone", "EUR", (), at("2024-03-01"), at("2024-03-10 12:00"))
    assert kept.covered("tone", "EUR") == [(at("2024-03-01"), at("2024-03-09 12:07:30"))]
    clock.now += timedelta(days=2)
    kept.add_coverage("tone", "EUR", (), at("2024-03-09"), at("2024-03-10 12:00"))
    assert kept.covered("tone", "EUR") == [(at("2024-03-01"), at("2024-03-10 12:00"))]


# Collecting


def collect(
    clock: Clock,
    currencies: tuple[str, ...] = ("EUR", "USD"),
    start: str = "2024-02-26",
    end: str = "2024-03-06",
    heard: list[str] | None = None,
) -> NewsOutcome:
    store = Store(DATA_PIPELINE)
    said = [] if heard is None else heard
    return collect_news(
        store,
        list(currencies),
        ["US"],
        at(start),
        at(end),
        tell=lambda step, words: said.append(f"{step}: {words}"),
        source=GdeltSource(store, clock=clock),
    )


def test_news_are_collected_and_can_stand_beside_bars(gdelt_server: GdeltServer, clock: Clock, kept: NewsStore) -> None:
    heard: list[str] = []
    outcome = collect(clock, heard=heard)
    hours, articles = 9 * 24, 9 * 96 * 2
    assert outcome == NewsOutcome(2 * (hours + articles), 0, [])
    assert len(kept.articles("EUR")) == articles
    assert "News: EUR tone, 2024-02-26 00:00 to 2024-03-04 00:00 UTC: 168 rows, 168 of them new" in heard
    closes = pd.date_range("2024-02-26 01:00", "2024-03-06", freq="h", tz="UTC")
    beside = kept.tone_as_of(closes, "EUR", ["US"])
    assert beside.notna().all(axis=None)
    assert (beside["news_age_minutes_eur"] == 0).all()


def test_collecting_again_asks_for_nothing_and_adds_nothing(gdelt_server: GdeltServer, clock: Clock) -> None:
    collect(clock)
    met = len(gdelt_server.questions)
    assert collect(clock) == NewsOutcome(0, 0, [])
    assert len(gdelt_server.questions) == met


def test_collecting_a_longer_range_asks_for_what_is_missing(gdelt_server: GdeltServer, clock: Clock) -> None:
    collect(clock, ("EUR",), "2024-02-05", "2024-02-12")
    gdelt_server.questions.clear()
    collect(clock, ("EUR",), "2024-01-29", "2024-02-19")
    asked = sorted(
        {(question.query["startdatetime"], question.query["enddatetime"]) for question in gdelt_server.questions}
    )
    assert not [window for window in asked if window[0] < "20240212000000" and window[1] >= "20240205000000"]
    assert asked[0][0] == "20240129000000"
    assert asked[-1][1] == "20240218235959"


def test_the_last_day_is_asked_for_again_and_late_articles_come_in(
    gdelt_server: GdeltServer, clock: Clock, kept: NewsStore
) -> None:
    collect(clock, ("EUR",), "2024-03-01", "2024-03-12")
    before = len(kept.articles("EUR"))
    gdelt_server.per_quarter = 3
    clock.now += timedelta(hours=1)
    collect(clock, ("EUR",), "2024-03-01", "2024-03-12")
    last_day = kept.articles("EUR", since=at("2024-03-09 13:00"))
    assert len(kept.articles("EUR")) > before
    assert last_day.groupby("seen_at").size().unique().tolist() == [3]
    assert kept.articles("EUR", until=at("2024-03-09 11:45")).groupby("seen_at").size().unique().tolist() == [2]


def test_an_answer_without_rows_is_asked_for_again(gdelt_server: GdeltServer, clock: Clock, kept: NewsStore) -> None:
    gdelt_server.bare_empty = True
    assert collect(clock, ("EUR",)) == NewsOutcome(0, 0, [])
    assert kept.covered("tone", "EUR", ["US"]) == kept.covered("articles", "EUR", ["US"]) == []
    gdelt_server.bare_empty = False
    assert collect(clock, ("EUR",)).rows_added


def test_capped_windows_are_counted_and_remembered(gdelt_server: GdeltServer, clock: Clock, kept: NewsStore) -> None:
    gdelt_server.per_quarter = lambda seen: 400 if seen.hour == 9 and seen.minute == 30 and seen.day == 1 else 1
    outcome = collect(clock, ("EUR",), "2024-03-01", "2024-03-02")
    assert (outcome.capped_windows, outcome.failed) == (1, [])
    assert kept.covered("capped", "EUR", ["US"]) == [(at("2024-03-01 09:30"), at("2024-03-01 09:45"))]
    assert kept.missing("articles", "EUR", ["US"], at("2024-03-01"), at("2024-03-02")) == []


def test_a_currency_that_fails_leaves_the_others(gdelt_server: GdeltServer, clock: Clock, kept: NewsStore) -> None:
    outcome = collect(clock, ("EUT", "EUR"))
    assert outcome.failed == [
        f"EUT: There is no news query for 'EUT'. Did you mean 'EUR'? Known: {', '.join(QUERIES)}."
    ]
    assert outcome.rows_added
    assert not kept.articles("EUR").empty


def test_what_came_before_a_failure_is_kept_and_the_rest_asked_for_later(
    gdelt_server: GdeltServer, clock: Clock, kept: NewsStore
) -> None:
    gdelt_server.fall_sick(Sickness.BROKEN, times=FOR_EVER, after=2)
    outcome = collect(clock, ("EUR", "USD"))
    assert outcome.rows_added == 168
    assert [words.split(":")[0] for words in outcome.failed] == ["EUR", "USD"]
    assert "GDELT has trouble just now (HTTP 500). Try again later." in outcome.failed[0]
    assert kept.covered("tone", "EUR", ["US"]) == [(at("2024-02-26"), at("2024-03-04"))]
    gdelt_server.fall_sick(Sickness.BROKEN, times=0)
    assert collect(clock, ("EUR",)).failed == []


def test_news_of_a_range_that_begins_before_gdelt_begin_with_it(gdelt_server: GdeltServer, clock: Clock) -> None:
    heard: list[str] = []
    outcome = collect(clock, ("EUR",), "2016-12-01", "2017-01-08", heard)
    assert outcome.failed == []
    assert heard[0] == "News: GDELT begins on 2017-01-01; there are no news before it."
    assert min(question.query["startdatetime"] for question in gdelt_server.questions) == "20170101000000"


def test_a_database_that_cannot_be_used_is_no_failure_of_a_currency(
    gdelt_server: GdeltServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> int:
        raise StoreLockedError("Another program holds the database.")

    monkeypatch.setattr(NewsStore, "add_tone", locked)
    with pytest.raises(StoreLockedError):
        collect(clock)
