"""GDELT's DOC 2.0 service, as far as the workbench asks it: article lists and timelines of tone and volume.

It holds `per_quarter` articles for every quarter of an hour (a number, or a function of the time) on whatever is
asked for, and refuses the queries that GDELT refuses, in its words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from loopback.base import Answer, LoopbackServer, Request

THROTTLED = "Please limit requests to one every 5 seconds or contact us for larger queries."
MOST_ARTICLES = 250
QUARTER = timedelta(minutes=15)
COUNTRIES = {"US": "United States", "GM": "Germany", "UK": "United Kingdom", "SZ": "Switzerland", "EU": "Europa Island"}
# Of GDELT's LOOKUP-COUNTRIES.TXT, as public programs print it.
LETTERS = (
    "AR AS AU BE BO BR BU CA CE CH CI CY DA EG EI EN EU EZ FI FR GA GB GM GR HK HR HU IC ID IN IR IS IT JA KE KR KS "
    "KU LG LH LO LT LU MT MX MY NI NL NO NZ PK PL PO QA RI RO RP RS SA SE SF SG SI SN SO SP SW SZ TH TS TU TW UK UP "
    "US VM ZA"
)


class GdeltServer(LoopbackServer):
    """A well GDELT, and the ills of its own as attributes."""

    variable = "SEQUENCE_GDELT_BASE_URL"

    def __init__(self) -> None:
        super().__init__()
        self.per_quarter: int | Callable[[datetime], int] = 2
        self.says_zero = False  # a tone and a volume of 0 for steps without articles, instead of leaving them out
        self.only_days = False  # timelines in days, however short
        self.names_step = True  # `date_resolution` in a timeline
        self.shortest = timedelta(0)  # windows shorter than that are refused
        self.longest_query = 250  # characters; longer ones are refused
        self.words: str | None = None  # what it says instead of an answer, with a 200
        self.bare_empty = False  # `{}` whatever is asked
        self.spoil: Callable[[str], str] = lambda text: text  # what befalls its JSON on the way

    def answer(self, request: Request) -> Answer:
        if request.path != "/api/v2/doc/doc":
            return Answer(404, b"not here", "text/plain")
        if not request.headers.get("User-Agent") or "python-requests" in request.headers["User-Agent"]:
            return Answer(429, THROTTLED.encode(), "text/plain")
        start, end = (_moment(request.query[f"{side}datetime"]) for side in ("start", "end"))
        refusal = self.words or self._refusal(request.query["query"], start, end)
        if refusal:
            return Answer(200, f"{refusal}\n".encode(), "text/html; charset=utf-8")
        if self.bare_empty:
            return Answer.of_json({})
        mode = request.query["mode"].lower()
        content = self._list(request, start, end) if mode == "artlist" else self._timeline(mode, start, end)
        return Answer(200, self.spoil(json.dumps(content)).encode(), "application/json; charset=utf-8")

    def held(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, int]]:
        """When articles were seen from `start` to `end`, both included, and how many at each time."""
        at = datetime.fromtimestamp(-(-start.timestamp() // 900) * 900, UTC)
        while at <= end:
            count = self.per_quarter if isinstance(self.per_quarter, int) else self.per_quarter(at)
            if count:
                yield at, count
            at += QUARTER

    def _refusal(self, query: str, start: datetime, end: datetime) -> str:
        groups = re.findall(r"\(([^)]*)\)", query)
        if len(query) > self.longest_query:
            return "Your query was too short or too long."
        if " OR " in re.sub(r"\([^)]*\)", "", query):
            return "Queries containing OR'd terms must be surrounded by ()."
        if any(" OR " not in group for group in groups):
            return "Parentheses may only be used around OR'd statements."
        if set(re.findall(r"sourcecountry:(\w+)", query)) - set(LETTERS.split()):
            return "Invalid/Unsupported Country."
        if any(len(phrase) < 5 for phrase in re.findall(r'"([^"]*)"', query)):
            return "The specified phrase is too short."
        if end + timedelta(seconds=1) - start < self.shortest:
            return "Timespan is too short."
        return ""

    def _list(self, request: Request, start: datetime, end: datetime) -> dict[str, object]:
        wanted = min(int(request.query.get("maxrecords", 75)), MOST_ARTICLES)
        named = re.findall(r"sourcecountry:(\w+)", request.query["query"])
        country = COUNTRIES.get(named[0], named[0]) if named else "Canada"
        articles = [
            {
                "url": f"https://news.example/{seen:%Y%m%d%H%M}/{number}",
                "url_mobile": "",
                "title": f"Rates held , article {number} of {seen:%d %B %H:%M}",
                "seendate": f"{seen:%Y%m%dT%H%M%SZ}",
                "socialimage": "",
                "domain": "news.example",
                "language": "English",
                "sourcecountry": country,
            }
            for seen, count in self.held(start, end)
            for number in range(count)
        ][:wanted]
        return {"articles": articles} if articles else {}

    def _timeline(self, mode: str, start: datetime, end: datetime) -> dict[str, object]:
        span = end - start
        name, step = ("day", timedelta(days=1))
        if span <= timedelta(days=7) and not self.only_days:
            name, step = ("15m", QUARTER) if span <= timedelta(hours=72) else ("hour", timedelta(hours=1))
        counts: dict[datetime, int] = {}
        for seen, count in self.held(start, end):
            begin = datetime.fromtimestamp(seen.timestamp() // step.total_seconds() * step.total_seconds(), UTC)
            counts[begin] = counts.get(begin, 0) + count
        at = datetime.fromtimestamp(start.timestamp() // step.total_seconds() * step.total_seconds(), UTC)
        while self.says_zero and at <= end:
            counts.setdefault(at, 0)
            at += step
        if not counts:
            return (
                {"timeline": []} if mode == "timelinevolraw" else {"timeline": [{"series": "Average Tone", "data": []}]}
            )
        data = [
            {"date": f"{begin:%Y%m%dT%H%M%SZ}", "value": tone_at(begin) if count else 0}
            if mode == "timelinetone"
            else {"date": f"{begin:%Y%m%dT%H%M%SZ}", "value": count, "norm": 5_000 + count}
            for begin, count in sorted(counts.items())
        ]
        series = {"timelinetone": "Average Tone", "timelinevolraw": "Article Count"}[mode]
        details = {"query_details": {"title": "as asked", "date_resolution": name}} if self.names_step else {}
        return {**details, "timeline": [{"series": series, "data": data}]}


def tone_at(begin: datetime) -> float:
    """The tone of the step that begins then; never 0."""
    return round((begin.timestamp() // 900 % 97 - 48.5) / 12, 4)


def _moment(stamp: str) -> datetime:
    return datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
