"""GDELT's DOC 2.0 service: which articles the world's outlets wrote about a currency, how many, in what tone.

Tone is GDELT's: the share of positive words less that of negative words in an article, averaged over the
articles of a step; most lie between −10 and +10. It belongs to the articles, not to the currency: "inflation
cools, dollar falls" may read positive and be bad for the dollar. It carries no sign for a trade.

What the service is like, from what public programs report of it (nothing here was tried against the server):

- It wants one request in five seconds from an address and answers 429, or 200 with a sentence, when asked more.
- A query that it does not take is answered with 200 and a sentence of its own instead of JSON. Among those are
  queries of more than about 250 characters (213 passed, 290 did not).
- An article list ends at 250, whatever there was. Lists are asked for in windows that hold fewer.
- Timelines come in steps of 15 minutes up to three days, of an hour up to seven, of a day beyond. Steps without
  articles are left out, or given a tone of 0.
- Titles arrive with escapes that are no JSON.
- `{}` means that nothing was found, and also that a range is no longer served.
- Articles appear 15 to 30 minutes after they were seen, some much later. The last three months are promised.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any, Self

import pandas as pd
import requests
from gdeltdoc import Filters, GdeltDoc
from gdeltdoc.helpers import load_json

from core.clock import utc_now
from core.errors import DataRequestError
from core.log import get_logger, redact
from core.names import nearest
from core.settings import current_settings
from core.store import Store
from data.sources.countries import FIPS, outlet_countries
from data.sources.network import USER_AGENT, BusyServerError, SourceUnavailableError, ask, out_of_reach, refuse_sick
from data.sources.throttle import Throttle
from market.symbols import symbol_of

NAME = "GDELT"
ATTRIBUTION = "The GDELT Project (https://www.gdeltproject.org/)"
FIRST = pd.Timestamp("2017-01-01", tz="UTC")
CAP = 250
ARTICLE_COLUMNS = ("url", "title", "domain", "language", "source_country", "published_at", "seen_at", "fetched_at")
TONE_COLUMNS = ("time", "step_minutes", "known_at", "tone", "volume", "all_articles", "fetched_at")

_QUARTER = pd.Timedelta(minutes=15)
_WEEK = pd.Timedelta(days=7)
# Shorter timelines would come in quarters of an hour: an hour's tone and a quarter's are different things.
_SHORTEST_TIMELINE = pd.Timedelta(days=4)
_STEP_MINUTES = {"15m": 15, "hour": 60, "day": 1440}
_STAMP = "%Y%m%dT%H%M%SZ"
_REPAIRS = 400  # each bad escape costs the parser of gdeltdoc one level of recursion
_PAUSES_AFTER_429 = 4
_WORDS_SHOWN = 200
_SERIES = {"timelinetone": ["Average Tone"], "timelinevolraw": ["Article Count", "All Articles"]}
_REFUSAL_CURE = "Name fewer countries or another range; GDELT says what it does not take."


@dataclass(frozen=True)
class Terms:
    """What an article on a currency says: one of the keywords, and one of GDELT's themes where there are any."""

    keywords: tuple[str, ...]
    themes: tuple[str, ...] = ("ECON_CENTRALBANK", "ECON_CURRENCY_EXCHANGE_RATE")


_YUAN = Terms(("Chinese yuan", "renminbi", "PBOC"))
# Currency → the query for it: its central bank and its names, in articles on money. Two keywords at least, since
# GDELT refuses parentheses around one; no phrase under five letters, which it refuses too; short enough to leave
# room for the countries of ['US', 'EU']. GDELT searches its machine translations, so that English words find
# articles in 65 languages.
QUERIES: Mapping[str, Terms] = MappingProxyType(
    {
        "EUR": Terms(("European Central Bank", "eurozone", "euro")),
        "USD": Terms(("Federal Reserve", "FOMC", "US dollar", "greenback")),
        "GBP": Terms(("Bank of England", "British pound", "pound sterling")),
        "JPY": Terms(("Bank of Japan", "Japanese yen")),
        "CHF": Terms(("Swiss National Bank", "Swiss franc")),
        "AUD": Terms(("Reserve Bank of Australia", "Australian dollar")),
        "NZD": Terms(("Reserve Bank of New Zealand", "New Zealand dollar")),
        "CAD": Terms(("Bank of Canada", "Canadian dollar", "loonie")),
        "SEK": Terms(("Riksbank", "Swedish krona")),
        "NOK": Terms(("Norges Bank", "Norwegian krone")),
        "DKK": Terms(("Danmarks Nationalbank", "Danish krone")),
        "PLN": Terms(("National Bank of Poland", "zloty")),
        "CZK": Terms(("Czech National Bank", "Czech koruna")),
        "HUF": Terms(("National Bank of Hungary", "forint")),
        "TRY": Terms(("Turkish central bank", "Turkish lira")),
        "RUB": Terms(("Bank of Russia", "ruble", "rouble")),
        "ZAR": Terms(("South African Reserve Bank", "South African rand")),
        "MXN": Terms(("Bank of Mexico", "Banxico", "Mexican peso")),
        "BRL": Terms(("Central Bank of Brazil", "Brazilian real")),
        "SGD": Terms(("Monetary Authority of Singapore", "Singapore dollar")),
        "HKD": Terms(("Hong Kong Monetary Authority", "Hong Kong dollar")),
        "CNH": _YUAN,
        "CNY": _YUAN,
        "INR": Terms(("Reserve Bank of India", "Indian rupee")),
        "KRW": Terms(("Bank of Korea", "Korean won")),
        "THB": Terms(("Bank of Thailand", "Thai baht")),
        "ILS": Terms(("Bank of Israel", "Israeli shekel")),
        "XAU": Terms(("gold price", "gold prices", "bullion"), themes=()),
        "XAG": Terms(("silver price", "silver prices"), themes=()),
    }
)


def currencies_of(symbols: Iterable[str]) -> list[str]:
    """The currencies of all symbols that news can be asked for, each once; of a symbol without any, none."""
    known = [symbol_of(symbol) for symbol in symbols]
    return list(dict.fromkeys(each for one in known for each in (one.base, one.quote) if each in QUERIES))


def news_currencies(symbol: str) -> tuple[str, ...]:
    """The currencies of a symbol that news can be asked for: base and quote (EURUSD → EUR, USD; AAPL → USD).

    Raises DataRequestError when there is none.
    """
    found = tuple(currencies_of([symbol]))
    if not found:
        raise DataRequestError(
            f"There is no news query for {symbol_of(symbol).name!r}.", f"Currencies with one: {', '.join(QUERIES)}."
        )
    return found


@dataclass(frozen=True)
class NewsQuery:
    """What GDELT is asked about one currency. `countries` are ISO codes of outlets, sorted; none means all."""

    currency: str
    terms: Terms
    countries: tuple[str, ...] = ()

    @classmethod
    def of(cls, currency: str, countries: Iterable[str] = ()) -> Self:
        """The query for a currency, in outlets of `countries` (codes and groups: `['US', 'EU']`).

        Raises DataRequestError naming the nearest currency or country.
        """
        name = str(currency).strip().upper()
        if name not in QUERIES:
            meant = nearest(name, QUERIES)
            hint = f"Did you mean {meant!r}? " if meant else ""
            raise DataRequestError(f"There is no news query for {currency!r}.", f"{hint}Known: {', '.join(QUERIES)}.")
        return cls(name, QUERIES[name], outlet_countries(countries))

    def filters(self, start: pd.Timestamp, end: pd.Timestamp) -> Filters:
        """The query for articles seen in [start, end), as gdeltdoc writes it."""
        # To the last second before the end: articles are seen at quarters of an hour, and one that stands on
        # the border belongs to the window that it opens.
        return Filters(
            start_date=start.to_pydatetime(),
            end_date=(end - pd.Timedelta(seconds=1)).to_pydatetime(),
            num_records=CAP,
            keyword=_one_or_many(self.terms.keywords),
            theme=_one_or_many(self.terms.themes),
            country=_one_or_many(tuple(FIPS[country] for country in self.countries)),
        )


@dataclass(frozen=True)
class ToneSlice:
    """One answer: the steps with articles of [start, end), in order of time.

    `rows` are `time` (start of a step), `step_minutes`, `known_at` (its end), `tone`, `volume` (articles found),
    `all_articles` (those of all topics that GDELT saw), `fetched_at`; times are UTC. Of a step without articles
    there is no tone, and no row.
    """

    start: pd.Timestamp
    end: pd.Timestamp
    rows: pd.DataFrame


@dataclass(frozen=True)
class ArticleSlice:
    """One answer: the articles seen in [start, end); `capped` when there were more than GDELT gives.

    `rows` are `url`, `title`, `domain`, `language`, `source_country` (of the outlet), `published_at` (GDELT does
    not say: empty), `seen_at` (when GDELT met it), `fetched_at` (when we asked); times are UTC.
    """

    start: pd.Timestamp
    end: pd.Timestamp
    rows: pd.DataFrame
    capped: bool


class _TooShortError(DataRequestError):
    """GDELT does not answer for so short a window."""


class GdeltSource:
    """Asks GDELT, one request at a time and in turn with every other process of the workbench.

    `wait` gets the seconds until the turn and may raise to end the wait, `clock` is the time of day. One
    instance serves one thread.
    """

    name = NAME
    attribution = ATTRIBUTION

    def __init__(
        self,
        store: Store,
        *,
        wait: Callable[[float], None] = time.sleep,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._client = _Client(Throttle(store, NAME, wait=wait, clock=clock))
        self.clock = clock
        self._shortest = _QUARTER

    def check(self, currency: str, start: pd.Timestamp, end: pd.Timestamp, countries: Iterable[str] = ()) -> NewsQuery:
        """The query that would be asked. Raises DataRequestError, without any network, when it never can be."""
        query = NewsQuery.of(currency, countries)
        now = self._now()
        if start >= end or start >= now or start < FIRST:
            raise DataRequestError(
                f"GDELT cannot be asked for news from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC.",
                f"Ask for a range that begins between {FIRST:%Y-%m-%d} and {now:%Y-%m-%d %H:%M} UTC and ends later.",
            )
        return query

    def tone(
        self, currency: str, start: pd.Timestamp, end: pd.Timestamp, countries: Iterable[str] = ()
    ) -> Iterator[ToneSlice]:
        """Tone and volume of the full hours up to now in the days of [start, end), in slices of a week.

        A slice is asked for in two requests. One that would be shorter than four days begins earlier, so that
        its steps are hours too. Raises DataRequestError for what GDELT refuses, in its words, and
        SourceUnavailableError when it does not answer; the slices given before stay good.
        """
        query = self.check(currency, start, end, countries)
        at, end = start.floor("D"), min(end.ceil("D"), self._now().floor("h"))
        while at < end:
            until = min(at + _WEEK, end)
            begin = max(min(at, until - _SHORTEST_TIMELINE), FIRST)
            yield ToneSlice(begin, until, self._tone_rows(query, begin, until))
            at = until

    def articles(
        self, currency: str, start: pd.Timestamp, end: pd.Timestamp, countries: Iterable[str] = ()
    ) -> Iterator[ArticleSlice]:
        """The articles seen in [start, end) up to now, in windows that hold fewer than GDELT gives at once.

        A window that comes back full is halved, down to the shortest GDELT answers for (15 minutes, or what it
        takes); one that is full even so is given as `capped`. Raises as `tone` does.
        """
        query = self.check(currency, start, end, countries)
        at, end = start.floor(_QUARTER), min(end.ceil(_QUARTER), self._now().floor(_QUARTER))
        length = _WEEK
        while at < end:
            until = min(at + length, end)
            begin = min(at, max(until - self._shortest, FIRST))
            try:
                rows, full = self._article_rows(query, begin, until)
            except _TooShortError:
                if self._shortest >= _SHORTEST_TIMELINE:
                    raise
                self._shortest = length = 2 * max(until - at, self._shortest)
                continue
            if full and until - at > self._shortest:
                length = max(((until - at) / 2).ceil(_QUARTER), self._shortest)
                continue
            yield ArticleSlice(begin, until, rows, capped=full)
            at = until
            if len(rows) < CAP // 3:
                length = min(2 * length, _WEEK)

    def _now(self) -> pd.Timestamp:
        return pd.Timestamp(self.clock()).tz_convert("UTC").as_unit("us")

    def _tone_rows(self, query: NewsQuery, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        rows, step = self._ask("timelinetone", query, start, end)
        counts, _ = self._ask("timelinevolraw", query, start, end)
        rows = rows.rename(columns={"Average Tone": "tone"})
        counts = counts.rename(columns={"Article Count": "volume", "All Articles": "all_articles"})
        counts = counts.astype({"volume": "Int64", "all_articles": "Int64"})
        rows = rows.merge(counts, on="time", how="left").sort_values("time")
        # Whether GDELT leaves a step without articles out or gives it a tone of 0: it has no tone.
        found = rows["volume"].gt(0) | (rows["volume"].isna() & rows["tone"].ne(0))
        rows = rows[found & rows["tone"].notna()].assign(
            step_minutes=int(step / pd.Timedelta(minutes=1)),
            known_at=lambda steps: (steps["time"] + step).dt.as_unit("us"),
            fetched_at=self._now(),
        )
        whole = (rows["time"] >= start) & (rows["known_at"] <= end)
        return rows.loc[whole, list(TONE_COLUMNS)].drop_duplicates("time").reset_index(drop=True)

    def _article_rows(self, query: NewsQuery, start: pd.Timestamp, end: pd.Timestamp) -> tuple[pd.DataFrame, bool]:
        found, _ = self._ask("artlist", query, start, end)
        found = found.reindex(columns=["url", "title", "domain", "language", "sourcecountry", "seendate"])
        text = {name: found[name].astype("str").fillna("").str.strip() for name in found}
        rows = pd.DataFrame(text).rename(columns={"sourcecountry": "source_country"})
        for name in ("language", "source_country"):
            rows[name] = rows[name].where(rows[name] != "")
        rows["seen_at"] = pd.to_datetime(rows["seendate"], format=_STAMP, utc=True, errors="coerce").dt.as_unit("us")
        rows["published_at"] = pd.Series(pd.NaT, index=rows.index, dtype="datetime64[us, UTC]")
        rows["fetched_at"] = self._now()
        usable = rows["seen_at"].notna() & rows["url"].str.startswith(("http://", "https://"))
        if not usable.all():
            get_logger(__name__).warning(
                "left out articles without an address or a time",
                currency=query.currency,
                start=start,
                rows=sum(~usable),
            )
        rows = rows.loc[usable, list(ARTICLE_COLUMNS)].drop_duplicates("url").sort_values("seen_at", kind="stable")
        return rows.reset_index(drop=True), len(found) >= CAP

    def _ask(
        self, mode: str, query: NewsQuery, start: pd.Timestamp, end: pd.Timestamp
    ) -> tuple[pd.DataFrame, pd.Timedelta]:
        """The answer as gdeltdoc's frame, and the step of a timeline; what fails names currency and window."""
        try:
            return ask(partial(self._client.answer, mode, query.filters(start, end)))
        except (DataRequestError, SourceUnavailableError) as error:
            window = f"{query.currency} news of {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
            raise type(error)(f"{window}: {error.what}", error.cure) from error


class _Client(GdeltDoc):  # type: ignore[misc]
    """gdeltdoc on our side of the seam: our address, our patience, its queries and its repair of bad JSON."""

    def __init__(self, throttle: Throttle) -> None:
        super().__init__(json_parsing_max_depth=_REPAIRS)
        self._throttle = throttle
        self._resolution = ""

    def answer(self, mode: str, filters: Filters) -> tuple[pd.DataFrame, pd.Timedelta]:
        """One attempt: the frame of an article list or a timeline, and the step of the latter."""
        try:
            if mode == "artlist":
                return _checked_list(self.article_search(filters)), _QUARTER
            timeline = _checked_timeline(self.timeline_search(mode, filters), _SERIES[mode])
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise BusyServerError(
                f"GDELT's answer could not be read ({type(error).__name__}).", "Try again later, or in smaller ranges."
            ) from error
        return timeline, _step(timeline["time"], self._resolution)

    def _query(self, mode: str, query_string: str) -> dict[str, Any]:
        settings = current_settings().sources
        self._throttle.take_turn(settings.gdelt_pause_seconds)
        url = f"{settings.gdelt_base_url}/api/v2/doc/doc?query={query_string}&mode={mode}&format=json"
        try:
            response = requests.get(url, headers={"User-Agent": USER_AGENT}, timeout=settings.timeout_seconds)
        except requests.RequestException as error:
            raise out_of_reach(NAME, error) from error
        text = response.content.decode("utf-8-sig", "replace").strip()
        asked_too_often = response.status_code == 429 or "limit requests to one" in text[:_WORDS_SHOWN].lower()
        if asked_too_often:
            self._throttle.hold_off(_PAUSES_AFTER_429 * settings.gdelt_pause_seconds)
        refuse_sick(NAME, 429 if asked_too_often else response.status_code)
        if response.status_code != 200 or not text.startswith("{"):
            raise _refusal(response.status_code, text)
        answer: dict[str, Any] = load_json(text, self.max_depth_json_parsing)
        expected = "articles" if mode == "artlist" else "timeline"
        if answer and not isinstance(answer[expected], list):
            raise TypeError(f"{expected} is no list")
        self._resolution = str((answer.get("query_details") or {}).get("date_resolution", ""))
        return answer


def _refusal(status: int, text: str) -> DataRequestError | BusyServerError:
    """What an answer that is no JSON means: GDELT's own sentence, or somebody else's web page."""
    words = str(redact(" ".join(text.split())[:_WORDS_SHOWN]))
    if "timespan is too short" in words.lower():
        return _TooShortError(f"GDELT refused the query: {words}", _REFUSAL_CURE)
    if not words or (status == 200 and words.startswith("<")):
        return BusyServerError(
            f"GDELT answered with {'a web page' if words else 'nothing'} instead of data.",
            "Try again later; if it stays so, ask for fewer countries, or see what stands between you and GDELT.",
        )
    return DataRequestError(f"GDELT refused the query (HTTP {status}): {words}", _REFUSAL_CURE)


def _checked_list(articles: pd.DataFrame) -> pd.DataFrame:
    """The list, when one of its rows at least says where and when. Raises LookupError or ValueError."""
    if not articles.empty and pd.to_datetime(articles["seendate"], format=_STAMP, errors="coerce").isna().all():
        raise ValueError("no article carries a time")
    return articles


def _checked_timeline(timeline: pd.DataFrame, series: list[str]) -> pd.DataFrame:
    """The starts of its steps as `time`, UTC, and the series as numbers. Raises LookupError or ValueError."""
    if timeline.empty:
        timeline = pd.DataFrame(columns=["datetime", *series], dtype="float64")
    times = pd.to_datetime(timeline["datetime"], utc=True).dt.as_unit("us")
    numbers = {name: pd.to_numeric(timeline[name]).astype("float64") for name in series}
    if any((values.dropna() % 1).any() for name, values in numbers.items() if "Article" in name):
        raise ValueError("a count of articles is not whole")
    return pd.DataFrame({"time": times, **numbers})


def _step(times: pd.Series, resolution: str) -> pd.Timedelta:
    """The step of a timeline: as its answer names it, else the longest that fits between two of its times.

    Of one time without a name it is a day: news that count as known too late mislead nobody.
    """
    steps = [pd.Timedelta(minutes=minutes) for minutes in _STEP_MINUTES.values()]
    if resolution in _STEP_MINUTES:
        return pd.Timedelta(minutes=_STEP_MINUTES[resolution])
    apart = times.sort_values().diff().loc[lambda gaps: gaps > pd.Timedelta(0)].min()
    return max((step for step in steps if step <= apart), default=steps[0]) if pd.notna(apart) else steps[-1]


def _one_or_many(values: tuple[str, ...]) -> str | list[str] | None:
    """Values as gdeltdoc wants them: one alone must not stand in parentheses, which GDELT refuses."""
    return None if not values else values[0] if len(values) == 1 else list(values)
