"""What a reader is shown of a bridge at work: rates, lags, quotes, signals with their ways. Every read is bounded.

However many ticks and signals are stored, nothing here counts or sorts them all: ids grow with the time of arrival,
so where a day or a minute begins is found by halving. Times that end in `_ms` are milliseconds of UTC since 1970.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pandas as pd
import sqlalchemy as sa

from core.clock import now_ms, parse_utc, utc_now, utc_text
from core.store import Store
from market.symbols import symbol_of
from mql5.bridge.ticks import TickStore
from mql5.tables import MQL5_DATA, events, signals

RATE_SECONDS = 10
LAG_SECONDS = 300
MOST_QUOTES = 100_000  # read for one chart
_MOST_LAGS = 5_000
_QUOTE_IS_GOOD_MS = 60_000  # an older quote says nothing of the price when a signal was sent
_FINISHED = {"executed", "rejected", "expired", "cancelled"}
_SPARK = (
    "WITH RECURSIVE at(t) AS (SELECT :first UNION ALL SELECT t + :step FROM at WHERE t + :step <= :last)"
    " SELECT (SELECT bid FROM live_ticks WHERE symbol = :symbol AND source = :source AND time_ms <= t"
    " AND time_ms >= :first - :step ORDER BY time_ms DESC, id DESC LIMIT 1) AS bid,"
    " (SELECT ask - bid FROM live_ticks WHERE symbol = :symbol AND source = :source AND time_ms <= t"
    " AND time_ms >= :first - :step ORDER BY time_ms DESC, id DESC LIMIT 1) AS spread FROM at"
)


@dataclass(frozen=True)
class Pulse:
    """How the ticks of today (UTC) came: counts, the rate of the last seconds, lags of the last minutes.

    A lag is from the broker's stamp to the arrival here, so it holds what the broker's clock is off by.
    """

    ticks_today: int
    per_second: float
    lag_median_ms: float | None
    lag_p99_ms: float | None
    gaps_today: int
    missing_today: int
    signals_today: dict[str, int]


@dataclass(frozen=True)
class Stream:
    """The newest quote of one source and symbol, and bids of its last minutes at even times."""

    source: str
    symbol: str
    time_ms: int
    broker_ms: int
    received_ms: int
    bid: float
    ask: float
    spark: list[float]
    mean_spread: float | None

    @property
    def age_seconds(self) -> float:
        """Since it arrived."""
        return max(0.0, (now_ms() - self.received_ms) / 1000)

    def pips(self, price_difference: float) -> float:
        """A difference of prices in pips."""
        return price_difference / symbol_of(self.symbol).pip


class Feed:
    """Reads for the page; it changes nothing."""

    def __init__(self) -> None:
        self._store = Store(MQL5_DATA)
        self._ticks = TickStore()

    def is_silent(self) -> bool:
        """Whether nothing was ever heard: no tick, no terminal, no signal."""
        query = (
            "SELECT EXISTS (SELECT 1 FROM live_ticks) OR EXISTS (SELECT 1 FROM terminals)"
            " OR EXISTS (SELECT 1 FROM trading_signals) AS heard"
        )
        return not self._rows(query)[0]["heard"]

    def pulse(self) -> Pulse:
        """How the ticks and signals of today came."""
        now, midnight = now_ms(), utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
        today = int(midnight.timestamp() * 1000)
        with self._store.read() as connection:
            first, last = _ends(connection, "live_ticks")
            of_today = _first_since(connection, ("live_ticks", "received_ms"), (first, last), today)
            recent = _first_since(connection, ("live_ticks", "received_ms"), (first, last), now - RATE_SECONDS * 1000)
            lately = _first_since(connection, ("live_ticks", "received_ms"), (first, last), now - LAG_SECONDS * 1000)
            query = "SELECT received_ms - time_ms FROM live_ticks WHERE id >= :id AND stale = 0"
            lags = sorted(connection.scalars(sa.text(query), {"id": max(lately, last - _MOST_LAGS + 1)}))
            query = "SELECT count(*), coalesce(sum(missing), 0) FROM tick_gaps WHERE received_ms >= :today"
            gaps, missing = connection.execute(sa.text(query), {"today": today}).one()
            ends = _ends(connection, "trading_signals")
            begun = _first_since(connection, ("trading_signals", "created_at"), ends, utc_text(midnight))
            query = "SELECT status, count(*) FROM trading_signals WHERE id >= :id GROUP BY status"
            states = {row[0]: row[1] for row in connection.execute(sa.text(query), {"id": begun})}
        return Pulse(
            ticks_today=last - of_today + 1,
            per_second=(last - recent + 1) / RATE_SECONDS,
            lag_median_ms=statistics.median(lags) if lags else None,
            lag_p99_ms=lags[min(len(lags) - 1, int(0.99 * len(lags)))] if lags else None,
            gaps_today=gaps,
            missing_today=missing,
            signals_today=states,
        )

    def streams(self, minutes: float = 5, points: int = 24) -> list[Stream]:
        """Each source's symbols by name, with the bids of its last `minutes` before the newest quote."""
        found = []
        query = (
            "SELECT time_ms, broker_ms, received_ms, bid, ask FROM live_ticks WHERE source = :source"
            " AND symbol = :symbol ORDER BY broker_ms DESC, sequence DESC LIMIT 1"
        )
        step = max(1, round(minutes * 60_000 / (points - 1)))
        for source, symbol in self._ticks.streams():
            named: dict[str, Any] = {"source": source, "symbol": symbol}
            for last in self._rows(query, **named):  # none when it was deleted meanwhile
                until = last["time_ms"]
                sampled = self._rows(_SPARK, **named, first=until - step * (points - 1), last=until, step=step)
                spreads = [row["spread"] for row in sampled if row["spread"] is not None]
                bids = [row["bid"] for row in sampled if row["bid"] is not None]
                found.append(Stream(**named, **last, spark=bids, mean_spread=statistics.fmean(spreads or [0.0])))
        return sorted(found, key=lambda stream: (stream.symbol, stream.source))

    def quotes(self, source: str, symbol: str, since_ms: int, most: int = MOST_QUOTES) -> pd.DataFrame:
        """The newest `most` quotes from then on, oldest first: `bid`, `ask`, `broker_ms`; the index is UTC."""
        query = (
            "SELECT time_ms, bid, ask, broker_ms FROM live_ticks WHERE symbol = :symbol AND time_ms >= :since"
            " AND source = :source ORDER BY time_ms DESC, id DESC LIMIT :most"
        )
        values = {"symbol": symbol, "source": source, "since": since_ms, "most": most}
        with self._store.read() as connection:
            rows = [tuple(row) for row in connection.execute(sa.text(query), values)][::-1]
        found = pd.DataFrame(rows, columns=["time_ms", "bid", "ask", "broker_ms"])
        times = pd.to_datetime(found.pop("time_ms").astype("int64"), unit="ms", utc=True)
        return found.set_axis(pd.DatetimeIndex(times, name="time")).astype({"bid": "float64", "ask": "float64"})

    def signals(self, limit: int = 200) -> list[dict[str, Any]]:
        """The newest signals, newest first, each with what became of it.

        Beyond its columns a row has `history` (its steps), `path` (their states in order), `asked` (the price wanted,
        or the quote when it was sent), `slippage_pips` (above 0: worse than asked) and `total_seconds` (from its
        creation to its end, None while it is open).
        """
        rows = self._store.rows(sa.select(signals).order_by(signals.c.id.desc()).limit(limit))
        return self._told(rows, events.c.signal_id >= rows[-1]["id"], {}) if rows else []

    def signals_of(self, ids: Sequence[int], closing: Mapping[int, int] | None = None) -> list[dict[str, Any]]:
        """The signals of these ids as `signals` tells them, in order of id; those that are gone are left out.

        `closing` says of a CLOSE which position it closes (1 long, −1 short): then its price can be judged as well.
        """
        rows = self._store.rows(sa.select(signals).where(signals.c.id.in_(ids)).order_by(signals.c.id))
        return self._told(rows, events.c.signal_id.in_(ids), closing or {})

    def _told(
        self, rows: list[dict[str, Any]], steps_of: sa.ColumnElement[bool], closing: Mapping[int, int]
    ) -> list[dict[str, Any]]:
        steps: dict[int, list[dict[str, Any]]] = {}
        for step in self._store.rows(sa.select(events).where(steps_of).order_by(events.c.id)):
            steps.setdefault(step["signal_id"], []).append(step)
        for row in rows:
            # What closes a long sells, and the other way round.
            side = {"BUY": 1, "SELL": -1}.get(row["signal_type"], -closing.get(row["id"], 0))
            row["history"] = steps.get(row["id"], [])
            row["path"] = _path(row["history"])
            row["asked"] = self._asked(row, side)
            row["slippage_pips"] = slippage_pips(row, row["asked"], side)
            row["total_seconds"] = _seconds_until_end(row)
        return rows

    def _asked(self, row: dict[str, Any], side: int) -> float | None:
        if row["entry_price"] is not None or not side or not row["sent_at"]:
            return row["entry_price"]  # type: ignore[no-any-return]
        at = int(parse_utc(row["sent_at"]).timestamp() * 1000)
        query = (
            "SELECT bid, ask FROM live_ticks WHERE symbol = :symbol AND time_ms <= :at AND time_ms > :after"
            " ORDER BY time_ms DESC, id DESC LIMIT 1"
        )
        found = self._rows(query, symbol=row["symbol"], at=at, after=at - _QUOTE_IS_GOOD_MS)
        return found[0]["ask" if side > 0 else "bid"] if found else None

    def _rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        with self._store.read() as connection:
            return [dict(row) for row in connection.execute(sa.text(query), values).mappings()]


def slippage_pips(row: dict[str, Any], asked: float | None, side: int) -> float | None:
    """By how many pips an executed signal was filled worse than `asked`; None where one of the two is not known.

    `side` is 1 where it bought and −1 where it sold, 0 where nobody knows what it closed.
    """
    filled = row["executed_price"]
    if row["status"] != "executed" or not asked or not filled or not side:
        return None
    return float(side * (filled - asked) / symbol_of(row["symbol"]).pip)


def _path(history: list[dict[str, Any]]) -> str:
    """The states in the order they came; one that was noted twice in a row is told once."""
    states = [step["status"] for step in history]
    return " › ".join(state for at, state in enumerate(states) if at == 0 or state != states[at - 1])


def _seconds_until_end(row: dict[str, Any]) -> float | None:
    if row["status"] not in _FINISHED or not row["finished_at"]:
        return None
    lasted = parse_utc(row["finished_at"]) - parse_utc(row["created_at"])
    return max(timedelta(0), lasted).total_seconds()


def _ends(connection: sa.Connection, table: str) -> tuple[int, int]:
    """The lowest and the highest id; (1, 0) of an empty table. Asked for together SQLite would read all between."""
    query = f"SELECT (SELECT min(id) FROM {table}), (SELECT max(id) FROM {table})"  # noqa: S608  # our own names
    first, last = connection.execute(sa.text(query)).one()
    return (1, 0) if last is None else (first, last)


def _first_since(connection: sa.Connection, column: tuple[str, str], ends: tuple[int, int], bound: int | str) -> int:
    """The lowest id from which on `column` (table, name), which grows with it, is at least `bound`."""
    low, high = ends[0], ends[1] + 1
    table, name = column
    query = sa.text(f"SELECT id, {name} FROM {table} WHERE id >= :id ORDER BY id LIMIT 1")  # noqa: S608  # likewise
    while low < high:
        middle = (low + high) // 2
        found = connection.execute(query, {"id": middle}).first()
        if found is not None and found[1] < bound:
            low = found[0] + 1
        else:
            high = middle
    return low
