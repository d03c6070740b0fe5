"""Yahoo Finance as yfinance meets it: cookie, crumb and `/v8/finance/chart`, with its limits and its oddities.

Prices are a function of time, so that the same bar is the same whenever it is asked for. The interval that is
forming comes twice: where it opens, and at the second of the question. `now` is the server's clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from loopback.base import Answer, LoopbackServer, Request

CHARTS = "/v8/finance/chart/"
STEPS = {"1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600}
REACH_DAYS = {"1m": 30, "5m": 60, "15m": 60, "30m": 60, "1h": 730}
DAY = 86_400
_FRIDAY, _END_OF_WEEK = 4, time(22)  # currencies rest from 17:00 New York until Monday begins in London


@dataclass(frozen=True)
class Listing:
    """What Yahoo says of a ticker; `hours` are those of trading on its exchange's clock."""

    kind: str
    currency: str
    zone: str
    hours: tuple[time, time]
    base: float
    always: bool = False
    first: date = date(2003, 12, 1)


WHOLE_DAY = (time(0), time(23, 59))
LISTINGS = {
    "EURUSD=X": Listing("CURRENCY", "USD", "Europe/London", WHOLE_DAY, 1.1),
    "GBPUSD=X": Listing("CURRENCY", "USD", "Europe/London", WHOLE_DAY, 1.3),
    "USDJPY=X": Listing("CURRENCY", "JPY", "Europe/London", WHOLE_DAY, 150.0),
    "BTC-USD": Listing("CRYPTOCURRENCY", "USD", "UTC", WHOLE_DAY, 60_000.0, always=True, first=date(2014, 9, 17)),
    "AAPL": Listing("EQUITY", "USD", "America/New_York", (time(9, 30), time(16)), 200.0, first=date(1980, 12, 12)),
    "SAP.DE": Listing("EQUITY", "EUR", "Europe/Berlin", (time(9), time(17, 30)), 180.0),
    "^N225": Listing("INDEX", "JPY", "Asia/Tokyo", (time(9), time(15)), 38_000.0),
}


def price(listing: Listing, moment: float) -> float:
    """The price at a moment, in seconds since 1970."""
    return listing.base * (1 + 0.02 * math.sin(moment / 900_000) + 0.001 * math.sin(moment / 5_000))


class YahooServer(LoopbackServer):
    """Yahoo's servers, all at one address."""

    variable: ClassVar[str] = "SEQUENCE_YAHOO_BASE_URL"

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime.now(UTC)
        self.nulls: set[int] = set()  # seconds since 1970 of rows that come without figures
        self.impossible: set[int] = set()  # … whose high lies below the low
        self.twice: set[int] = set()  # … that come twice, the second time at the end

    def is_question(self, request: Request) -> bool:
        """Charts with a range; yfinance asks for one without it to learn the zone of the exchange."""
        return request.path.startswith(CHARTS) and "period1" in request.query

    def answer(self, request: Request) -> Answer:
        """What Yahoo says."""
        if request.path.startswith(CHARTS):
            return self._chart(unquote(request.path.removeprefix(CHARTS)), request)
        if request.path == "/v1/test/getcrumb":
            return Answer(200, b"tEsTcRuMb12", "text/plain")
        if request.path == "/":  # fc.yahoo.com: no page, but a cookie
            return Answer(404, b"", "text/html", {"Set-Cookie": "A3=d=loopback; Path=/"})
        return refusal("Not Found", "Quote not found for symbol", 404, "quoteSummary")

    def _chart(self, ticker: str, request: Request) -> Answer:
        listing, interval = LISTINGS.get(ticker), request.query["interval"]
        if listing is None:
            return refusal("Not Found", "No data found, symbol may be delisted", 404)
        end = int(request.query.get("period2", self.now.timestamp()))
        start = int(request.query.get("period1", end - DAY))
        asked = f"startTime={start} and endTime={end}"
        if interval == "1m" and end - start > 8 * DAY:
            reason = "Only 8 days worth of 1m granularity data are allowed to be fetched per request."
            return refusal("Unprocessable Entity", f"1m data not available for {asked}. {reason}", 422)
        reach = REACH_DAYS.get(interval)
        if reach and start < self.now.timestamp() - reach * DAY:
            reason = f"The requested range must be within the last {reach} days."
            return refusal("Unprocessable Entity", f"{interval} data not available for {asked}. {reason}", 422)
        if end < datetime.combine(listing.first, time(0), ZoneInfo(listing.zone)).timestamp():
            return refusal("Bad Request", f"Data doesn't exist for startDate = {start}, endDate = {end}", 400)
        return Answer.of_json(self._content(ticker, listing, request.query, start, end))

    def _content(self, ticker: str, listing: Listing, query: Mapping[str, str], start: int, end: int) -> dict[str, Any]:
        interval = query["interval"]
        rows = sorted(self._rows(listing, interval, start, end))
        rows += [row for row in rows if row[0] in self.twice]
        columns = list(zip(*rows, strict=True)) if rows else []
        quote: dict[str, Any] = {}
        if rows:
            quote = dict(zip(("open", "high", "low", "close", "volume"), map(list, columns[1:]), strict=True))
        indicators: dict[str, Any] = {"quote": [quote]}
        if interval not in STEPS:
            indicators["adjclose"] = [{"adjclose": quote["close"]} if rows else {}]
        result: dict[str, Any] = {"meta": self._meta(ticker, listing, query, start, end), "indicators": indicators}
        if rows:
            result["timestamp"] = list(columns[0])
        return {"chart": {"result": [result], "error": None}}

    def _rows(self, listing: Listing, interval: str, start: int, end: int) -> Iterator[tuple[Any, ...]]:
        now = self.now.timestamp()
        for opens, closes in self._sessions(listing, start, min(end, int(now) + 1)):
            step = STEPS.get(interval)
            spans = [(opens, closes)] if step is None else [(at, at + step) for at in range(opens, closes, step)]
            for at, until in spans:
                forming = at <= now < until
                if not start <= at < end or at > now:
                    continue
                if step is not None or not forming:
                    yield self._row(listing, at, min(until, int(now)))
                if forming and int(now) != at:
                    yield self._row(listing, int(now), int(now))

    def _row(self, listing: Listing, opens: int, closes: int) -> tuple[Any, ...]:
        if opens in self.nulls:
            return opens, None, None, None, None, None
        first, last = price(listing, opens), price(listing, closes)
        low, high = min(first, last) * 0.9999, max(first, last) * 1.0001
        if opens in self.impossible:
            low, high = high, low
        return opens, first, high, low, last, 0 if listing.kind == "CURRENCY" else 1_000 + opens % 1_000

    def _sessions(self, listing: Listing, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Begin and end of trading on each day that a range touches; a whole day ends with the next midnight."""
        zone = ZoneInfo(listing.zone)
        day = max(datetime.fromtimestamp(start, zone).date(), listing.first)
        while (midnight := datetime.combine(day, time(0), zone)).timestamp() < end:
            if listing.always or day.weekday() < 5:
                following = datetime.combine(day + timedelta(days=1), time(0), zone)
                opens, closes = (datetime.combine(day, hour, zone) for hour in listing.hours)
                if listing.hours == WHOLE_DAY:
                    opens, closes = midnight, following
                if listing.kind == "CURRENCY" and day.weekday() == _FRIDAY:
                    closes = datetime.combine(day, _END_OF_WEEK, zone)
                yield int(opens.timestamp()), int(closes.timestamp())
            day += timedelta(days=1)

    def _meta(self, ticker: str, listing: Listing, query: Mapping[str, str], start: int, end: int) -> dict[str, Any]:
        zone, interval = ZoneInfo(listing.zone), query["interval"]
        offset = int((self.now.astimezone(zone).utcoffset() or timedelta()).total_seconds())
        meta: dict[str, Any] = {
            "currency": listing.currency,
            "symbol": ticker,
            "instrumentType": listing.kind,
            "firstTradeDate": int(datetime.combine(listing.first, time(0), zone).timestamp()),
            "regularMarketTime": int(self.now.timestamp()),
            "hasPrePostMarketData": listing.kind == "EQUITY",
            "gmtoffset": offset,
            "timezone": self.now.astimezone(zone).tzname(),
            "exchangeTimezoneName": listing.zone,
            "regularMarketPrice": price(listing, self.now.timestamp()),
            "priceHint": 4,
            "dataGranularity": interval,
            "range": "",
            "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
        }
        if interval in STEPS:
            periods = [
                [{"timezone": "", "start": opens, "end": closes - 60 * (listing.hours == WHOLE_DAY), "gmtoffset": 0}]
                for opens, closes in self._sessions(listing, start, end)
            ]
            regular = periods or [[{"timezone": "", "start": start, "end": end, "gmtoffset": 0}]]
            around = {"pre": regular, "regular": regular, "post": regular}
            meta["tradingPeriods"] = around if query.get("includePrePost") == "True" else regular
        return meta


def refusal(code: str, description: str, status: int, kind: str = "chart") -> Answer:
    """How Yahoo says no."""
    return Answer.of_json({kind: {"result": None, "error": {"code": code, "description": description}}}, status)
