"""What is said to `market_data.db`: every statement over bars, series, coverage and disagreements."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from data import bar_tables as tables
from data.coverage import Range, merged
from market.bars import OPTIONAL_RAW_COLUMNS, RAW_COLUMNS
from market.calendar import DayCut
from market.timeframes import Timeframe

FIGURES = (*RAW_COLUMNS, *OPTIONAL_RAW_COLUMNS)
EVER = (-(2**62), 2**62)
_KEY = ("symbol", "timeframe", "type", "source")
# Many rows a statement: SQLite is called two hundred times less often.
_ROWS_A_STATEMENT = 200
_ROWS_PREPARED = 250 * _ROWS_A_STATEMENT
# From here on the compiled reader is worth what importing numba costs, at the first reading already.
_ROWS_WORTH_COMPILING = 750_000


@dataclass(frozen=True)
class SeriesKey:
    """Whose bars: those of one symbol, timeframe, type (`historical` or `live`) and source."""

    symbol: str
    timeframe: Timeframe
    type: str
    source: str

    @property
    def texts(self) -> tuple[str, str, str, str]:
        """As SQL compares them."""
        return self.symbol, str(self.timeframe), self.type, self.source


@dataclass(frozen=True)
class Series:
    """One row of `bar_series`: open times of the first and last bar (ms) and how many there are.

    `cut` is where the days of these bars end when that is not where the market's do.
    """

    key: SeriesKey
    first: int
    last: int
    rows: int
    cut: DayCut | None

    def rows_in(self, within: Range) -> int:
        """About how many of these bars open in `within` (ms), never too few."""
        span = min(within[1], self.last + 1) - max(within[0], self.first)
        return min(self.rows, max(span, 0) // (self.key.timeframe.minutes * 60_000) + 1)


class BarRows:
    """The tables, seen through one transaction on `database`."""

    def __init__(self, connection: sa.Connection, database: Path) -> None:
        self._connection = connection
        self._database = database

    @property
    def _cursor(self) -> sqlite3.Cursor:
        """The raw cursor of this transaction, for what is done a million times."""
        driver: sqlite3.Connection | None = self._connection.connection.driver_connection
        if driver is None:
            raise ValueError("this transaction's connection is closed")
        return driver.cursor()

    def series(self, symbol: str | None = None) -> list[Series]:
        """The series there are, in the order in which they first appeared."""
        query = sa.select(tables.series).order_by(tables.series.c.id)
        if symbol is not None:
            query = query.where(tables.series.c.symbol == symbol)
        return [_series_of(row) for row in self._connection.execute(query).mappings()]

    def series_of(self, key: SeriesKey) -> Series | None:
        """The series of that key, if it has any bars."""
        query = sa.select(tables.series).where(_same(tables.series, key))
        row = self._connection.execute(query).mappings().first()
        return _series_of(row) if row else None

    def enter_series(self, series: Series, now: int) -> None:
        """Replace what is known of a series, and enter its symbol among the pairs."""
        pairs, key = tables.tradable_pairs, series.key
        if not self._connection.scalar(sa.select(pairs.c.id).where(pairs.c.symbol == key.symbol)):
            self._connection.execute(pairs.insert().values(symbol=key.symbol, added_at=now))
        values: dict[str, Any] = {"first": series.first, "last": series.last, "rows": series.rows}
        if self._connection.execute(tables.series.update().where(_same(tables.series, key)).values(values)).rowcount:
            return
        cut = series.cut
        if cut:
            values |= {"cut_zone": cut.zone, "cut_hour": cut.hour, "cut_skips_weekend": int(cut.skips_weekend)}
        self._connection.execute(tables.series.insert().values(dict(zip(_KEY, key.texts, strict=True)) | values))

    def insert(self, key: SeriesKey, times: np.ndarray, figures: np.ndarray, now: int) -> None:
        """Enter bars that are not there yet: their open times (ms) and a row of `figures` a column of FIGURES."""
        cursor, constants = self._cursor, (*key.texts, now)
        for begin in range(0, len(times), _ROWS_PREPARED):
            cells = _cells(times[begin : begin + _ROWS_PREPARED], figures[:, begin : begin + _ROWS_PREPARED])
            whole = len(cells) - len(cells) % _ROWS_A_STATEMENT
            blocks = cells[:whole].reshape(-1, _ROWS_A_STATEMENT * cells.shape[1])
            cursor.executemany(_insertion(_ROWS_A_STATEMENT), _with(constants, blocks))
            cursor.executemany(_insertion(1), _with(constants, cells[whole:]))

    def read(
        self, key: SeriesKey, within: Range, *, columns: tuple[str, ...] = FIGURES, rows: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """The bars opening in `within`, in ms: (open times, a row of figures a column).

        Where about as many `rows` are expected that it pays, they are read past this transaction: later bars may be
        among them, earlier ones never go.
        """
        # Infinity stands for a spread that nobody quoted: numpy's readers stumble over NULL.
        chosen = ", ".join(f"coalesce({name}, 9e999)" if name in OPTIONAL_RAW_COLUMNS else name for name in columns)
        query = f"SELECT time, {chosen} FROM market_data WHERE {_IN_RANGE} ORDER BY time"  # noqa: S608  # our own names
        parameters = (*key.texts, *within)
        found = _scanned(self._database, query, parameters, len(columns)) if rows >= _ROWS_WORTH_COMPILING else None
        if found is None:
            flat = np.fromiter(chain.from_iterable(self._cursor.execute(query, parameters)), dtype="float64")
            cells = flat.reshape(-1, 1 + len(columns)).T
            # Milliseconds of any century are whole numbers in a float too.
            found = cells[0].astype("int64"), np.ascontiguousarray(cells[1:])
        times, figures = found
        for name in OPTIONAL_RAW_COLUMNS:
            if name in columns:
                quoted = figures[columns.index(name)]
                quoted[np.isinf(quoted)] = np.nan
        return times, figures

    def last_before(self, key: SeriesKey, moment: int) -> int | None:
        """The open time of the last bar before `moment`."""
        return self._one(sa.func.max(tables.market_data.c.time), key, tables.market_data.c.time < moment)

    def first_from(self, key: SeriesKey, moment: int) -> int | None:
        """The open time of the first bar at `moment` or later."""
        return self._one(sa.func.min(tables.market_data.c.time), key, tables.market_data.c.time >= moment)

    def _one(self, figure: sa.Function[int], key: SeriesKey, where: sa.ColumnElement[bool]) -> int | None:
        return self._connection.scalar(sa.select(figure).where(_same(tables.market_data, key), where))

    def covered(self, key: SeriesKey, within: Range = EVER) -> list[Range]:
        """The ranges that the source has answered for, as far as they touch `within`."""
        query = (
            sa.select(tables.coverage.c.start, tables.coverage.c.end)
            .where(_covers(key), tables.coverage.c.start <= within[1], tables.coverage.c.end >= within[0])
            .order_by(tables.coverage.c.start)
        )
        return [(start, end) for start, end in self._connection.execute(query)]

    def cover(self, key: SeriesKey, answered: Range, now: int) -> None:
        """Enter a range that the source has answered for, as one with those it touches."""
        touched = self.covered(key, answered)
        for start, _ in touched:
            self._connection.execute(tables.coverage.delete().where(_covers(key), tables.coverage.c.start == start))
        for start, end in merged([*touched, answered]):
            self._connection.execute(
                tables.coverage.insert().values(
                    symbol=key.symbol,
                    timeframe=str(key.timeframe),
                    source=key.source,
                    start=start,
                    end=end,
                    fetched_at=now,
                )
            )

    def enter_disagreements(
        self, key: SeriesKey, cells: Iterable[tuple[int, str, float | None, float]], now: int
    ) -> None:
        """Keep what differs: open time (ms), column, what is stored, what was offered. The same is kept once."""
        self._cursor.executemany(
            "INSERT OR IGNORE INTO source_disagreements"
            ' (symbol, timeframe, type, source, found_at, time, "column", stored, offered)'
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            ((*key.texts, now, *cell) for cell in cells),
        )

    def disagreements(self, **where: str | None) -> list[dict[str, Any]]:
        """What was found, newest first, where the columns named hold what is given."""
        table = tables.disagreements
        query = sa.select(table).order_by(table.c.id.desc())
        for name, value in where.items():
            if value is not None:
                query = query.where(table.c[name] == value)
        return [dict(row) for row in self._connection.execute(query).mappings()]


_IN_RANGE = " AND ".join((*(f"{name} = ?" for name in _KEY), "time >= ?", "time < ?"))


def _scanned(
    database: Path, query: str, parameters: tuple[str | int, ...], figures: int
) -> tuple[np.ndarray, np.ndarray] | None:
    try:
        from data.bar_scan import scan
    except (ImportError, RuntimeError):  # numba is not there, or finds no folder for what it compiles
        return None
    return scan(database, query, parameters, figures)


def _cells(times: np.ndarray, figures: np.ndarray) -> np.ndarray:
    """One row a bar of what SQLite takes: whole numbers, floats, and None for what is missing."""
    cells = np.empty((len(times), 1 + len(figures)), dtype=object)
    cells[:, 0] = times
    cells[:, 1:] = figures.T
    cells[:, 1:][np.isnan(figures.T)] = None
    return cells


def _with(constants: tuple[str | int, ...], blocks: np.ndarray) -> Iterator[tuple[Any, ...]]:
    return ((*constants, *block) for block in blocks.tolist())


@lru_cache(maxsize=4)
def _insertion(rows: int) -> str:
    """Insert so many bars of one series: its key and the time of fetching come once, then each bar's cells."""
    width, constants = 1 + len(FIGURES), len(_KEY) + 1
    values = (
        f"(?1, ?2, ?3, ?4, ?5, {', '.join(f'?{constants + row * width + cell + 1}' for cell in range(width))})"
        for row in range(rows)
    )
    columns = ", ".join((*_KEY, "fetched_at", "time", *FIGURES))
    return f"INSERT INTO market_data ({columns}) VALUES {', '.join(values)}"  # noqa: S608  # our own names


def _same(table: sa.Table, key: SeriesKey) -> sa.ColumnElement[bool]:
    return sa.and_(*(table.c[name] == text for name, text in zip(_KEY, key.texts, strict=True)))


def _covers(key: SeriesKey) -> sa.ColumnElement[bool]:
    columns = tables.coverage.c
    return sa.and_(columns.symbol == key.symbol, columns.timeframe == str(key.timeframe), columns.source == key.source)


def _series_of(row: Any) -> Series:
    key = SeriesKey(row["symbol"], Timeframe(row["timeframe"]), row["type"], row["source"])
    cut = (
        DayCut(row["cut_zone"], row["cut_hour"], skips_weekend=bool(row["cut_skips_weekend"]))
        if row["cut_zone"]
        else None
    )
    return Series(key, row["first"], row["last"], row["rows"], cut)
