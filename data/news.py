"""News that were collected: kept once each, read as of a time, and asked for again only where they are missing.

What may be read as of a time is what could be known then: an article from the moment GDELT saw it, the tone of
an hour from the end of that hour. When we asked (`fetched_at`) plays no part, so news collected years later are
read by a backtest as they were then. Two limits of that: GDELT itself publishes 15 to 30 minutes after it saw
an article (`tone_as_of` takes a `delay`), and it adds some articles late, so the tone of an hour that was
collected within a day of its end may be put right once. The first time an article was seen is kept for ever.

Tone is a property of articles and no sign for a currency: see `data.sources.gdelt`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from core.clock import utc_now, utc_text
from core.errors import DataRequestError
from core.store import Store
from data.sources.countries import outlet_countries
from data.sources.network import SourceUnavailableError
from data.tables import news_articles, news_coverage, news_tone

if TYPE_CHECKING:
    from data.sources.gdelt import GdeltSource

HOUR = pd.Timedelta(hours=1)
# GDELT adds articles late: a range counts as answered only when it had ended for so long.
SETTLED_AFTER = pd.Timedelta(days=1)
_TIMES = ["published_at", "seen_at", "fetched_at"]
_AT_ONCE = pd.Timedelta(0)

Kind = Literal["tone", "articles", "capped"]
Range = tuple[pd.Timestamp, pd.Timestamp]


class NewsStore:
    """The news in `data_pipeline.db`. Currencies are ISO codes, countries codes and groups; times are aware."""

    def __init__(self, store: Store, clock: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._clock = clock

    def add_articles(self, currency: str, rows: pd.DataFrame) -> int:
        """Keep the articles of an `ArticleSlice` found for a currency; how many of them were new.

        An article that is there already stays as it was, but for an earlier time at which it was seen.
        """
        return self._add(
            news_articles,
            [{**article, "currency": currency.upper()} for article in _records(rows)],
            key=["url", "currency"],
            change=lambda new: {"seen_at": sa.func.min(news_articles.c.seen_at, new.seen_at)},
        )

    def add_tone(self, currency: str, countries: Iterable[str], rows: pd.DataFrame) -> int:
        """Keep the steps of a `ToneSlice`; how many were new. A step that is there already takes the new figures."""
        where = {"currency": currency.upper(), "countries": _key(countries)}
        return self._add(
            news_tone,
            [{**step, **where} for step in _records(rows)],
            key=["currency", "countries", "step_minutes", "time"],
            change=lambda new: {
                name: new[name] for name in ("known_at", "tone", "volume", "all_articles", "fetched_at")
            },
        )

    def articles(
        self,
        currency: str,
        *,
        until: datetime | None = None,
        since: datetime | None = None,
        limit: int | None = None,
    ) -> pd.DataFrame:
        """Articles on a currency that GDELT had seen by `until`, and not before `since`; the newest first."""
        articles = news_articles.c
        query = sa.select(news_articles).where(articles.currency == currency.upper())
        if until is not None:
            query = query.where(articles.seen_at <= utc_text(until))
        if since is not None:
            query = query.where(articles.seen_at >= utc_text(since))
        return self._frame(query.order_by(articles.seen_at.desc(), articles.id.desc()).limit(limit), _TIMES)

    def search(self, words: str, currency: str | None = None, limit: int = 50) -> pd.DataFrame:
        """Articles whose title holds all the words, the last of them perhaps begun only; the best match first."""
        found = re.findall(r"\w+", words)
        text = sa.table("news_articles_text", sa.column("rowid"), sa.column("rank"))
        match = sa.text("news_articles_text MATCH :words").bindparams(
            words=" ".join(f'"{word}"' for word in found) + "*"
        )
        query = sa.select(news_articles).join(text, text.c.rowid == news_articles.c.id)
        query = query.where(match if found else sa.false())
        if currency is not None:
            query = query.where(news_articles.c.currency == currency.upper())
        return self._frame(query.order_by(text.c.rank, news_articles.c.id).limit(limit), _TIMES)

    def tone_as_of(
        self,
        times: pd.DatetimeIndex,
        currency: str,
        countries: Iterable[str] = (),
        *,
        step: pd.Timedelta = HOUR,
        delay: pd.Timedelta = _AT_ONCE,
    ) -> pd.DataFrame:
        """The newest tone that was known at each time, ready to stand beside bars at the times they closed.

        Columns for EUR: `news_tone_eur` (of the last step that held articles), `news_volume_eur` (articles in
        it) and `news_age_minutes_eur` (since it ended); empty before the first. `delay` is how long after its
        end a step counts as known. Steps of another length than `step` are left out.
        """
        tone = news_tone.c
        query = sa.select(tone.known_at, tone.tone, tone.volume).where(
            tone.currency == currency.upper(),
            tone.countries == _key(countries),
            tone.step_minutes == int(step / pd.Timedelta(minutes=1)),
        )
        steps = self._frame(query.order_by(tone.known_at), ["known_at"])
        wanted = pd.DataFrame({"at": times.tz_convert("UTC").as_unit("us"), "row": range(len(times))}).sort_values("at")
        steps["readable_at"] = (steps["known_at"] + delay).dt.as_unit("us")
        found = pd.merge_asof(wanted, steps, left_on="at", right_on="readable_at").sort_values("row")
        age = (found["at"] - found["known_at"]).dt.total_seconds() / 60
        columns = {"tone": found["tone"], "volume": found["volume"], "age_minutes": age}
        return pd.DataFrame(
            {
                f"news_{name}_{currency.lower()}": column.astype("float64").to_numpy()
                for name, column in columns.items()
            },
            index=times,
        )

    def covered(self, kind: Kind, currency: str, countries: Iterable[str] = ()) -> list[Range]:
        """The ranges that GDELT answered, in order of time; `capped` are those where it had more than it gave."""
        query = sa.select(news_coverage).where(*_about(kind, currency, countries))
        return _ranges(self._store.rows(query))

    def missing(
        self, kind: Kind, currency: str, countries: Iterable[str], start: pd.Timestamp, end: pd.Timestamp
    ) -> list[Range]:
        """What of [start, end) was not answered yet, in order of time."""
        gaps, at = [], start
        for begin, until in self.covered(kind, currency, countries):
            if at < min(begin, end):
                gaps.append((at, min(begin, end)))
            at = max(at, until)
        return [*gaps, (at, end)] if at < end else gaps

    def add_coverage(
        self, kind: Kind, currency: str, countries: Iterable[str], start: pd.Timestamp, end: pd.Timestamp
    ) -> None:
        """Note that [start, end) was answered, as far as it ended a day ago: GDELT adds articles late."""
        settled = pd.Timestamp(self._clock()) - SETTLED_AFTER
        end = min(end, settled)
        if start >= end:
            return
        about = _about(kind, currency, countries)
        with self._store.write() as connection:
            known = _ranges(connection.execute(sa.select(news_coverage).where(*about)).mappings())
            connection.execute(news_coverage.delete().where(*about))
            what = {"kind": kind, "currency": currency.upper(), "countries": _key(countries)}
            merged = [
                {**what, "covered_from": utc_text(begin), "covered_until": utc_text(until)}
                for begin, until in _merged([*known, (start, end)])
            ]
            connection.execute(news_coverage.insert(), merged)

    def _add(
        self,
        table: sa.Table,
        records: list[dict[str, Any]],
        key: list[str],
        change: Callable[[Any], dict[str, Any]],
    ) -> int:
        if not records:
            return 0
        statement = sqlite.insert(table)
        statement = statement.on_conflict_do_update(index_elements=key, set_=change(statement.excluded))
        with self._store.write() as connection:
            last = connection.execute(sa.select(sa.func.coalesce(sa.func.max(table.c.id), 0))).scalar_one()
            connection.execute(statement, records)
            new = sa.select(sa.func.count()).where(table.c.id > last)
            if table is news_articles:
                titles = (
                    "INSERT INTO news_articles_text (rowid, title) SELECT id, title FROM news_articles WHERE id > ?"
                )
                connection.exec_driver_sql(titles, (last,))
            return int(connection.execute(new).scalar_one())

    def _frame(self, query: sa.Select[Any], times: list[str]) -> pd.DataFrame:
        names = [column.name for column in query.selected_columns if column.name != "id"]
        rows = pd.DataFrame(self._store.rows(query), columns=names)
        for name in times:
            rows[name] = pd.to_datetime(rows[name], format="ISO8601", utc=True).dt.as_unit("us")
        return rows


@dataclass(frozen=True)
class NewsOutcome:
    """What one collection brought: rows that are new, windows that held more than GDELT gives, and refusals."""

    rows_added: int
    capped_windows: int
    failed: list[str]


def collect_news(
    store: Store,
    currencies: Sequence[str],
    countries: Sequence[str],
    start: pd.Timestamp,
    end: pd.Timestamp,
    *,
    tell: Callable[[str, str], None] = lambda step, words: None,
    source: GdeltSource | None = None,
) -> NewsOutcome:
    """Ask GDELT for the tone of, and the articles on, each currency in [start, end), where they are missing.

    Each answer is stored as it comes, and `tell(step, words)` hears of it. A currency that fails is named in
    `failed` with what happened and the cure; what was stored of it stays, and the others go on. An answer
    without any rows is not taken for one: GDELT says `{}` for a range that it no longer serves, too, so it is
    asked for again next time.
    """
    from data.sources.gdelt import FIRST, GdeltSource

    if start < FIRST < end:
        tell("News", f"GDELT begins on {FIRST:%Y-%m-%d}; there are no news before it.")
        start = FIRST
    asked = source or GdeltSource(store)
    outcome = NewsOutcome(0, 0, [])
    for currency in dict.fromkeys(currencies):
        collection = _Collection(NewsStore(store, asked.clock), asked, currency, tuple(countries), tell)
        failed = []
        try:
            collection.run(start, end)
        except (DataRequestError, SourceUnavailableError) as error:
            failed = [f"{currency}: {error}"]
            tell("News", failed[0])
        outcome = NewsOutcome(
            outcome.rows_added + collection.rows_added,
            outcome.capped_windows + collection.capped_windows,
            [*outcome.failed, *failed],
        )
    return outcome


@dataclass
class _Collection:
    """The news of one currency, as far as they came."""

    news: NewsStore
    source: GdeltSource
    currency: str
    countries: tuple[str, ...]
    tell: Callable[[str, str], None]
    rows_added: int = 0
    capped_windows: int = 0

    def run(self, start: pd.Timestamp, end: pd.Timestamp) -> None:
        query = self.source.check(self.currency, start, end, self.countries)
        self.currency, self.countries = query.currency, query.countries
        for begin, until in self.news.missing("tone", self.currency, self.countries, start, end):
            for steps in self.source.tone(self.currency, begin, until, self.countries):
                added = self.news.add_tone(self.currency, self.countries, steps.rows)
                self._note("tone", steps.start, steps.end, steps.rows, added)
        for begin, until in self.news.missing("articles", self.currency, self.countries, start, end):
            for window in self.source.articles(self.currency, begin, until, self.countries):
                added = self.news.add_articles(self.currency, window.rows)
                self._note("articles", window.start, window.end, window.rows, added)
                if window.capped:
                    self.capped_windows += 1
                    self.news.add_coverage("capped", self.currency, self.countries, window.start, window.end)

    def _note(self, kind: Kind, start: pd.Timestamp, end: pd.Timestamp, rows: pd.DataFrame, added: int) -> None:
        self.rows_added += added
        if len(rows):
            self.news.add_coverage(kind, self.currency, self.countries, start, end)
        window = f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
        self.tell("News", f"{self.currency} {kind}, {window}: {len(rows):,} rows, {added:,} of them new")


def _key(countries: Iterable[str]) -> str:
    """Outlets' countries as one text, whichever way they were written; empty for all of the world."""
    return ",".join(outlet_countries(countries))


def _about(kind: Kind, currency: str, countries: Iterable[str]) -> list[sa.ColumnElement[bool]]:
    coverage = news_coverage.c
    return [coverage.kind == kind, coverage.currency == currency.upper(), coverage.countries == _key(countries)]


def _ranges(rows: Iterable[Any]) -> list[Range]:
    return sorted((pd.Timestamp(row["covered_from"]), pd.Timestamp(row["covered_until"])) for row in rows)


def _merged(ranges: list[Range]) -> list[Range]:
    """Ranges that touch or overlap made one, in order of time."""
    merged: list[Range] = []
    for begin, until in sorted(ranges):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(until, merged[-1][1]))
        else:
            merged.append((begin, until))
    return merged


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as the tables take them: times as text, counts whole, nothing for what is empty."""
    return [{str(name): _plain(value) for name, value in row.items()} for row in rows.to_dict("records")]


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    return utc_text(value) if isinstance(value, pd.Timestamp) else value
