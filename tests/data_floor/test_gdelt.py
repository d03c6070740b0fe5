from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pandas as pd
import pytest
from loopback.base import FOR_EVER, Sickness, served
from loopback.gdelt import THROTTLED, GdeltServer, tone_at

from core.errors import DataRequestError
from core.store import Store
from data.sources import gdelt
from data.sources.countries import FIPS, GROUPS, outlet_countries
from data.sources.gdelt import QUERIES, ArticleSlice, GdeltSource, NewsQuery, ToneSlice, news_currencies
from data.sources.network import SourceUnavailableError
from data.tables import DATA_PIPELINE

NOW = datetime(2024, 3, 10, 12, 7, 30, tzinfo=UTC)


@pytest.fixture
def gdelt_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GdeltServer]:
    monkeypatch.setenv("SEQUENCE_SOURCES__GDELT_PAUSE_SECONDS", "0")
    monkeypatch.setenv("SEQUENCE_SOURCES__BACKOFF_SECONDS", "0")
    yield from served(GdeltServer, monkeypatch)


@pytest.fixture
def source() -> GdeltSource:
    return GdeltSource(Store(DATA_PIPELINE), clock=lambda: NOW)


def at(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def tone(source: GdeltSource, start: str, end: str, countries: tuple[str, ...] = ()) -> list[ToneSlice]:
    return list(source.tone("EUR", at(start), at(end), countries))


def articles(source: GdeltSource, start: str, end: str, currency: str = "EUR") -> list[ArticleSlice]:
    return list(source.articles(currency, at(start), at(end)))


def asked(server: GdeltServer) -> list[tuple[str, str]]:
    """The windows of the questions so far."""
    return [(question.query["startdatetime"], question.query["enddatetime"]) for question in server.questions]


# Countries


def test_the_group_eu_is_never_europa_island() -> None:
    query = NewsQuery.of("EUR", ["US", "EU"])
    assert query.countries == ("DE", "ES", "FR", "IT", "US")
    text = query.filters(at("2024-01-01"), at("2024-01-02")).query_string
    assert re.findall(r"sourcecountry:(\w+)", text) == ["GM", "SP", "FR", "IT", "US"]


def test_countries_are_told_in_any_case_and_counted_once() -> None:
    assert outlet_countries([" us", "DE", "eurozone", "Us"]) == ("DE", "ES", "FR", "IT", "US")
    assert outlet_countries(["UK"]) == outlet_countries(["gb"]) == ("GB",)


@pytest.mark.parametrize(
    ("iso", "fips"), [("DE", "GM"), ("CH", "SZ"), ("CN", "CH"), ("GB", "UK"), ("AU", "AS"), ("AT", "AU"), ("JP", "JA")]
)
def test_countries_whose_letters_mean_another_in_fips_are_translated(iso: str, fips: str) -> None:
    assert FIPS[iso] == fips


def test_every_country_is_one_that_gdelt_knows(gdelt_server: GdeltServer, source: GdeltSource) -> None:
    for country in FIPS:
        assert next(source.articles("EUR", at("2024-03-01"), at("2024-03-01 01:00"), [country])).rows is not None
    assert len(gdelt_server.questions) == len(FIPS)


def test_no_two_countries_share_letters_and_every_group_is_made_of_known_ones() -> None:
    assert len(set(FIPS.values())) == len(FIPS)
    assert {code for group in GROUPS.values() for code in group} <= set(FIPS)
    assert all(re.fullmatch("[A-Z]{2}", code) for code in FIPS.values())


@pytest.mark.parametrize(
    ("name", "meant"), [("EUU", "Did you mean 'EU'"), ("EUROZON", "Did you mean 'EUROZONE'"), ("XX", "Known: AT, AU")]
)
def test_an_unknown_country_is_refused_with_the_nearest(name: str, meant: str) -> None:
    with pytest.raises(DataRequestError, match=meant) as refusal:
        outlet_countries(["US", name])
    assert f"countries='{name}'" in refusal.value.what


# Queries


def test_every_query_is_one_that_gdelt_takes(gdelt_server: GdeltServer, source: GdeltSource) -> None:
    for currency in QUERIES:
        for countries in ((), ("CH",), ("US", "EU")):
            assert next(source.articles(currency, at("2024-03-01"), at("2024-03-02"), countries)).rows is not None
    texts = [question.query["query"] for question in gdelt_server.questions]
    assert len(texts) == 3 * len(QUERIES)
    assert max(len(text) for text in texts) < 230  # some say that 250 are the limit
    # What the words of a query may hold without breaking out of it.
    assert all(re.fullmatch(r'[\w ":()]+', text) for text in texts)


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        (("euro",), "The specified phrase is too short"),
        (("euro area",), None),
        (("ECB", "euro area"), None),
        (("e b", "euro area"), "The specified phrase is too short"),
    ],
)
def test_what_the_server_refuses_is_what_gdelt_refuses(
    keywords: tuple[str, ...], words: str | None, gdelt_server: GdeltServer, source: GdeltSource
) -> None:
    query = NewsQuery("EUR", gdelt.Terms(keywords))
    if words is None:
        assert len(source._article_rows(query, at("2024-03-01"), at("2024-03-01 01:00"))[0]) == 8
    else:
        with pytest.raises(DataRequestError, match=words):
            source._article_rows(query, at("2024-03-01"), at("2024-03-01 01:00"))


@pytest.mark.parametrize(
    ("symbol", "currencies"),
    [
        ("EURUSD", ("EUR", "USD")),
        ("gbp/jpy", ("GBP", "JPY")),
        ("XAUUSD", ("XAU", "USD")),
        ("BTCUSD", ("USD",)),
        ("USDCNH", ("USD", "CNH")),
    ],
)
def test_the_currencies_of_a_symbol_are_its_base_and_quote(symbol: str, currencies: tuple[str, ...]) -> None:
    assert news_currencies(symbol) == currencies


def test_a_symbol_without_a_currency_that_is_known_is_refused() -> None:
    with pytest.raises(DataRequestError, match="There is no news query for 'BTCUSDT'"):
        news_currencies("BTCUSDT")


def test_an_unknown_currency_is_refused_with_the_nearest() -> None:
    with pytest.raises(DataRequestError, match=r"There is no news query for 'EUT'\. Did you mean 'EUR'\?"):
        NewsQuery.of("EUT")


@pytest.mark.parametrize(
    ("start", "end"),
    [("2024-03-02", "2024-03-02"), ("2024-03-10 12:08", "2024-03-11"), ("2016-12-31", "2024-03-01")],
)
def test_a_range_that_cannot_be_had_is_refused_before_anything_is_asked(
    start: str, end: str, gdelt_server: GdeltServer, source: GdeltSource
) -> None:
    for news in (source.tone, source.articles):
        with pytest.raises(DataRequestError, match=r"begins between 2017-01-01 and 2024-03-10 12:07 UTC"):
            next(iter(news("EUR", at(start), at(end))))
    assert gdelt_server.requests == []


# Articles


def test_articles_come_with_their_three_times(gdelt_server: GdeltServer, source: GdeltSource) -> None:
    [window] = articles(source, "2024-03-01", "2024-03-01 00:30")
    assert (window.start, window.end, window.capped) == (at("2024-03-01"), at("2024-03-01 00:30"), False)
    assert list(window.rows.columns) == list(gdelt.ARTICLE_COLUMNS)
    first = window.rows.iloc[0]
    assert first["url"] == "https://news.example/202403010000/0"
    assert first["title"] == "Rates held , article 0 of 01 March 00:00"
    assert (first["domain"], first["language"], first["source_country"]) == ("news.example", "English", "Canada")
    assert first["seen_at"] == at("2024-03-01")
    assert pd.isna(first["published_at"])
    assert first["fetched_at"] == pd.Timestamp(NOW)
    assert str(window.rows["published_at"].dtype) == str(window.rows["seen_at"].dtype) == "datetime64[us, UTC]"


def test_each_article_falls_into_one_window(gdelt_server: GdeltServer, source: GdeltSource) -> None:
    gdelt_server.per_quarter = 100
    windows = articles(source, "2024-03-01", "2024-03-01 06:00")
    seen = pd.concat([window.rows for window in windows])
    assert len(seen) == 24 * 100
    assert seen["url"].is_unique
    for window in windows:
        assert window.rows["seen_at"].between(window.start, window.end, inclusive="left").all()


def test_full_windows_are_halved_until_none_is_full(gdelt_server: GdeltServer, source: GdeltSource) -> None:
    # 1 March is busy: 40 articles a quarter; the days around it hold one.
    gdelt_server.per_quarter = lambda seen: 40 if seen.day == 1 else 1
    windows = articles(source, "2024-02-28", "2024-03-04")
    assert [window.end for window in windows[:-1]] == [window.start for window in windows[1:]]
    assert (windows[0].start, windows[-1].end) == (at("2024-02-28"), at("2024-03-04"))
    assert not any(window.capped for window in windows)
    assert all(len(window.rows) < gdelt.CAP for window in windows)
    assert sum(len(window.rows) for window in windows) == 96 * 40 + 4 * 96


def test_after_a_busy_day_windows_grow_again(gdelt_server: GdeltServer, source: GdeltSource) -> None:
    gdelt_server.per_quarter = lambda seen: 200 if seen.day == 1 and seen.hour == 3 else 0
    windows = articles(source, "2024-03-01", "2024-03-09")
    assert max(window.end - window.start for window in windows if window.start > at("2024-03-02")) > pd.Timedelta(
        days=2
    )
    assert len(gdelt_server.questions) < 40


def test_a_window_that_stays_full_is_marked_and_kept(gdelt_server: GdeltServer, source: GdeltSource) -> None:
    gdelt_server.per_quarter = lambda seen: 300 if seen.hour == 0 and seen.minute == 15 else 3
    windows = articles(source, "2024-03-01", "2024-03-01 01:00")
    assert [(window.start, window.end) for window in windows if window.capped] == [
        (at("2024-03-01 00:15"), at("2024-03-01 00:30"))
    ]
    assert sum(len(window.rows) for window in windows) == 250 + 3 * 3


def test_a_window_of_exactly_the_cap_counts_as_full(gdelt_server: GdeltServer, source: GdeltSource) -> None:
    gdelt_server.per_quarter = 250
    [window] = articles(source, "2024-03-01", "2024-03-01 00:15")
    assert (len(window.rows), window.capped) == (250, True)
    gdelt_server.per_quarter = 249
    [window] = articles(source, "2024-03-01", "2024-03-01 00:15")
    assert (len(window.rows), window.capped) == (249, False)


def test_where_gdelt_takes_no_short_windows_a_full_one_is_kept_as_it_is(
    gdelt_server: GdeltServer, source: GdeltSource
) -> None:
    gdelt_server.per_quarter, gdelt_server.shortest = 100, pd.Timedelta(hours=1).to_pytimedelta()
    windows = articles(source, "2024-03-01", "2024-03-01 02:00")
    assert [(window.end - window.start, window.capped) for window in windows] == [(pd.Timedelta(hours=1), True)] * 2
    assert all(len(window.rows) == 250 for window in windows)


def test_a_range_shorter_than_gdelt_takes_is_asked_for_with_what_went_before(
    gdelt_server: GdeltServer, source: GdeltSource
) -> None:
    gdelt_server.shortest = pd.Timedelta(hours=2).to_pytimedelta()
    [window] = articles(source, "2024-03-01 12:00", "2024-03-01 12:15")
    assert window.start <= at("2024-03-01 10:15")
    assert window.end == at("2024-03-01 12:15")
    assert window.rows["seen_at"].max() == at("2024-03-01 12:00")


def test_a_gdelt_that_takes_no_window_at_all_is_refused_in_its_words(
    gdelt_server: GdeltServer, source: GdeltSource
) -> None:
    gdelt_server.words = "Timespan is too short."
    with pytest.raises(DataRequestError, match=r"GDELT refused the query: Timespan is too short\."):
        articles(source, "2024-03-01", "2024-03-02")
    assert len(gdelt_server.questions) < 15


def test_articles_are_asked_for_up_to_now_and_not_beyond(gdelt_server: GdeltServer, source: GdeltSource) -> None:
    windows = articles(source, "2024-03-10 11:00", "2024-03-12")
    assert windows[-1].end == at("2024-03-10 12:00")
    assert max(end for _, end in asked(gdelt_server)) == "20240310115959"
    assert articles(source, "2024-03-10 12:01", "2024-03-12") == []


def test_an_article_twice_in_one_answer_counts_once_and_one_without_address_is_left_out(
    gdelt_server: GdeltServer, source: GdeltSource
) -> None:
    def spoil(text: str) -> str:
        return text.replace("/202403010000/1", "/202403010000/0").replace("https://news.example/202403010015/0", "")

    gdelt_server.spoil = spoil
    [window] = articles(source, "2024-03-01", "2024-03-01 00:30")
    assert window.rows["url"].str.rsplit(".example/").str[-1].tolist() == ["202403010000/0", "202403010015/1"]


# Tone


def test_tone_comes_in_hours_with_the_time_at_which_it_is_known(gdelt_server: GdeltServer, source: GdeltSource) -> None:
    [week] = tone(source, "2024-02-01", "2024-02-08")
    assert (week.start, week.end) == (at("2024-02-01"), at("2024-02-08"))
    assert list(week.rows.columns) == list(gdelt.TONE_COLUMNS)
    assert len(week.rows) == 7 * 24
    row = week.rows.iloc[5]
    assert (row["time"], row["known_at"]) == (at("2024-02-01 05:00"), at("2024-02-01 06:00"))
    assert row["tone"] == tone_at(datetime(2024, 2, 1, 5, tzinfo=UTC))
    assert (row["volume"], row["all_articles"], row["step_minutes"]) == (8, 5_008, 60)
    assert row["fetched_at"] == pd.Timestamp(NOW)


def test_long_ranges_are_asked_for_week_by_week_in_two_requests_each(
    gdelt_server: GdeltServer, source: GdeltSource
) -> None:
    weeks = tone(source, "2024-02-01", "2024-02-16")
    assert [week.end for week in weeks] == [at("2024-02-08"), at("2024-02-15"), at("2024-02-16")]
    assert weeks[-1].start == at("2024-02-12")  # hours, not quarters of an hour
    assert set(pd.concat([week.rows for week in weeks])["step_minutes"]) == {60}
    modes = [question.query["mode"] for question in gdelt_server.questions]
    assert modes == ["timelinetone", "timelinevolraw"] * 3


def test_an_hour_that_still_runs_is_not_given(gdelt_server: GdeltServer, source: GdeltSource) -> None:
    gdelt_server.per_quarter = 1
    [part] = tone(source, "2024-03-10", "2024-03-12")
    assert part.end == at("2024-03-10 12:00")
    assert part.rows["known_at"].max() == at("2024-03-10 12:00")
    assert tone(source, "2024-03-10", "2024-03-10 01:00")[-1].end == at("2024-03-10 12:00")


def test_where_gdelt_gives_days_the_one_that_still_runs_is_not_given(
    gdelt_server: GdeltServer, source: GdeltSource
) -> None:
    gdelt_server.only_days = True
    [part] = tone(source, "2024-03-06", "2024-03-12")
    assert part.rows["known_at"].tolist() == list(pd.date_range("2024-03-07", "2024-03-10", tz="UTC"))
    assert set(part.rows["step_minutes"]) == {1440}


@pytest.mark.parametrize("says_zero", [True, False])
def test_an_hour_without_articles_has_no_tone_however_gdelt_says_so(
    says_zero: bool, gdelt_server: GdeltServer, source: GdeltSource
) -> None:
    gdelt_server.says_zero = says_zero
    gdelt_server.per_quarter = lambda seen: 0 if seen.hour == 4 else 1
    [week] = tone(source, "2024-02-01", "2024-02-08")
    assert len(week.rows) == 7 * 23
    assert 4 not in set(week.rows["time"].dt.hour)


@pytest.mark.parametrize(
    ("times", "named", "minutes"),
    [
        (["00:00", "00:15", "01:00"], "15m", 15),
        (["00:00", "01:00", "05:00"], "hour", 60),
        (["00:00", "06:00"], "hour", 60),
        (["00:00", "06:00"], "", 60),
        (["00:00", "00:30", "00:45"], "", 15),
        (["00:00", "00:30", "01:30"], "", 15),
        (["00:00"], "", 1440),
        (["00:00"], "hour", 60),
    ],
)
def test_the_step_is_that_of_the_data(times: list[str], named: str, minutes: int) -> None:
    stamps = pd.Series(pd.to_datetime([f"2024-02-01 {time}" for time in times], utc=True))
    assert gdelt._step(stamps, named) == pd.Timedelta(minutes=minutes)


def test_days_apart_without_a_name_are_days(gdelt_server: GdeltServer) -> None:
    stamps = pd.Series(pd.to_datetime(["2024-02-01", "2024-02-02", "2024-02-04"], utc=True))
    assert gdelt._step(stamps, "") == pd.Timedelta(days=1)


def test_a_step_that_gdelt_does_not_name_is_read_from_its_times(gdelt_server: GdeltServer, source: GdeltSource) -> None:
    gdelt_server.names_step = False
    [week] = tone(source, "2024-02-01", "2024-02-08")
    assert set(week.rows["step_minutes"]) == {60}


def test_nothing_found_is_no_rows_in_the_columns_of_any_answer(gdelt_server: GdeltServer, source: GdeltSource) -> None:
    gdelt_server.per_quarter = 0
    for bare in (False, True):
        gdelt_server.bare_empty = bare
        [week] = tone(source, "2024-02-01", "2024-02-08")
        [window] = articles(source, "2024-02-01", "2024-02-08")
        assert (len(week.rows), len(window.rows), window.capped) == (0, 0, False)
        assert list(week.rows.columns) == list(gdelt.TONE_COLUMNS)
        assert list(window.rows.columns) == list(gdelt.ARTICLE_COLUMNS)
        assert str(week.rows["known_at"].dtype) == str(window.rows["seen_at"].dtype) == "datetime64[us, UTC]"


# Sicknesses


@pytest.mark.parametrize(
    "sickness", [Sickness.BUSY, Sickness.BROKEN, Sickness.WEB_PAGE, Sickness.EMPTY, Sickness.TRUNCATED, Sickness.HALF]
)
def test_a_passing_sickness_is_outwaited(sickness: Sickness, gdelt_server: GdeltServer, source: GdeltSource) -> None:
    gdelt_server.fall_sick(sickness, times=2)
    [window] = articles(source, "2024-03-01", "2024-03-01 06:00")
    assert len(window.rows) == 48
    assert len(gdelt_server.questions) == 3


@pytest.mark.parametrize(
    ("sickness", "words"),
    [
        (Sickness.BUSY, r"asked too often just now \(HTTP 429\)"),
        (Sickness.BROKEN, r"trouble just now \(HTTP 500\)"),
        (Sickness.WEB_PAGE, "a web page instead of data"),
        (Sickness.EMPTY, "nothing instead of data"),
        (Sickness.TRUNCATED, r"could not be read \(ValueError\)"),
        (Sickness.HALF, "could not be reached, or broke off"),
    ],
)
def test_a_lasting_sickness_is_told_with_the_window_and_never_looks_empty(
    sickness: Sickness, words: str, gdelt_server: GdeltServer, source: GdeltSource
) -> None:
    gdelt_server.fall_sick(sickness, times=FOR_EVER)
    for news in (source.tone, source.articles):
        with pytest.raises(SourceUnavailableError, match=words) as failure:
            list(news("EUR", at("2024-03-01"), at("2024-03-05")))
        assert failure.value.what.startswith("EUR news of 2024-03-01 00:00 to 2024-03-05 00:00 UTC: ")
        assert failure.value.cure
    assert len(gdelt_server.questions) == 8


def test_a_silent_gdelt_is_not_waited_for_without_end(
    gdelt_server: GdeltServer, source: GdeltSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQUENCE_SOURCES__TIMEOUT_SECONDS", "0.05")
    gdelt_server.fall_sick(Sickness.SILENT, times=FOR_EVER)
    with pytest.raises(SourceUnavailableError, match=r"broke off \(ReadTimeout\)"):
        articles(source, "2024-03-01", "2024-03-02")


def test_a_gdelt_out_of_reach_is_told(gdelt_server: GdeltServer, source: GdeltSource) -> None:
    gdelt_server.__exit__()
    with pytest.raises(SourceUnavailableError, match=r"GDELT could not be reached, or broke off \(ConnectionError\)"):
        articles(source, "2024-03-01", "2024-03-02")


def test_slices_before_a_failure_stay_good(gdelt_server: GdeltServer, source: GdeltSource) -> None:
    gdelt_server.fall_sick(Sickness.BROKEN, times=FOR_EVER, after=2)
    weeks = source.tone("EUR", at("2024-02-01"), at("2024-02-15"))
    assert len(next(weeks).rows) == 168
    with pytest.raises(SourceUnavailableError):
        next(weeks)


def test_a_refused_query_is_told_in_gdelts_words_once_and_without_secrets(
    gdelt_server: GdeltServer, source: GdeltSource
) -> None:
    gdelt_server.words = "Your query was too short or too long.\n token=abc123"
    with pytest.raises(DataRequestError, match=r"GDELT refused the query \(HTTP 200\): Your query was too") as refusal:
        articles(source, "2024-03-01", "2024-03-02")
    assert "abc123" not in str(refusal.value)
    assert len(gdelt_server.questions) == 1


def test_a_query_too_long_is_refused_by_gdelt_and_not_by_us(gdelt_server: GdeltServer, source: GdeltSource) -> None:
    with pytest.raises(DataRequestError, match=r"too short or too long\. Name fewer countries"):
        tone(source, "2024-03-01", "2024-03-02", ("US", "EU", "GB", "CH", "JP", "AU"))
    assert tone(source, "2024-03-01", "2024-03-02", ("US",))


def test_asked_too_often_with_a_friendly_200_is_busy_all_the_same(
    gdelt_server: GdeltServer, source: GdeltSource
) -> None:
    gdelt_server.words = THROTTLED
    with pytest.raises(SourceUnavailableError, match="asked too often"):
        articles(source, "2024-03-01", "2024-03-02")
    assert len(gdelt_server.questions) == 4


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("Rates held ,", r"Fed\'s \x rates"),
        lambda text: text.replace("Rates held ,", "Rates\theld\x01,"),
        lambda text: "\ufeff" + text,
    ],
    ids=["escapes", "control characters", "byte order mark"],
)
def test_titles_that_break_the_json_are_survived(
    spoil: Callable[[str], str], gdelt_server: GdeltServer, source: GdeltSource
) -> None:
    gdelt_server.spoil = spoil
    [window] = articles(source, "2024-03-01", "2024-03-01 01:00")
    assert len(window.rows) == 8
    assert window.rows["url"].is_unique
    assert window.rows["title"].str.contains("ates").all()


def test_an_article_whose_title_ends_its_json_too_early_costs_no_other_one(
    gdelt_server: GdeltServer, source: GdeltSource, caplog: pytest.LogCaptureFixture
) -> None:
    gdelt_server.spoil = lambda text: text.replace("Rates held ,", 'Rates "held",', 1)
    [window] = articles(source, "2024-03-01", "2024-03-01 01:00")
    assert len(window.rows) == 7
    assert "left out articles" in caplog.text


def test_many_bad_escapes_in_one_answer_are_survived(gdelt_server: GdeltServer, source: GdeltSource) -> None:
    gdelt_server.per_quarter = 200
    gdelt_server.spoil = lambda text: text.replace("Rates held ,", r"Fed\'s rates,")
    [window] = articles(source, "2024-03-01", "2024-03-01 00:15")
    assert len(window.rows) == 200


@pytest.mark.parametrize(
    "text",
    [
        '{"articles": 5}',
        '{"other": []}',
        '{"articles": [{"title": "no address"}]}',
        '{"articles": [{"url": "https://a.b", "seendate": "yesterday"}]}',
        '{"articles": ["text"]}',
        '{"a":' * 5_000,
        '{"articles": [{"url": "https://a.b',
    ],
)
def test_an_answer_of_another_shape_never_looks_empty(
    text: str, gdelt_server: GdeltServer, source: GdeltSource
) -> None:
    gdelt_server.spoil = lambda _: text
    with pytest.raises(SourceUnavailableError, match="could not be read"):
        articles(source, "2024-03-01", "2024-03-02")


def test_half_an_article_is_no_count(gdelt_server: GdeltServer, source: GdeltSource) -> None:
    gdelt_server.spoil = lambda text: text.replace('"norm": 5008', '"norm": 5008.5', 1)
    with pytest.raises(SourceUnavailableError, match="could not be read"):
        tone(source, "2024-03-01", "2024-03-02")


@pytest.mark.parametrize(
    "text",
    [
        '{"timeline": {}}',
        '{"timeline": [{"series": "Average Tone"}]}',
        '{"timeline": [{"series": "Average Tone", "data": [{"date": "never", "value": 1}]}]}',
        '{"timeline": [{"series": "Another", "data": [{"date": "20240301T000000Z", "value": 1, "norm": 2}]}]}',
        '{"timeline": [{"series": "Average Tone", "data": [{"date": "20240301T000000Z", "value": "high"}]}]}',
    ],
)
def test_a_timeline_of_another_shape_never_looks_empty(
    text: str, gdelt_server: GdeltServer, source: GdeltSource
) -> None:
    gdelt_server.spoil = lambda _: text
    with pytest.raises(SourceUnavailableError, match="could not be read"):
        tone(source, "2024-03-01", "2024-03-02")


# Turns


def test_every_request_takes_its_turn_and_a_429_holds_everybody_off(
    gdelt_server: GdeltServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQUENCE_SOURCES__GDELT_PAUSE_SECONDS", "5.5")
    waits: list[float] = []
    source = GdeltSource(Store(DATA_PIPELINE), wait=waits.append, clock=lambda: NOW)
    tone(source, "2024-03-01", "2024-03-02")
    assert waits == [5.5]
    gdelt_server.fall_sick(Sickness.BUSY)
    articles(source, "2024-03-01", "2024-03-02")
    assert waits == [5.5, 11.0, 22.0]


def test_we_say_who_asks(gdelt_server: GdeltServer, source: GdeltSource) -> None:
    articles(source, "2024-03-01", "2024-03-02")
    assert gdelt_server.questions[0].headers["User-Agent"].startswith("Sequence/")
