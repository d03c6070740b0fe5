"""HistData.com as a downloader meets it: a page with a token for each zip, and `get.php`, which wants both.

Past years are offered whole, the current one by months, as far as `until`. Bars stand on the minutes that `every`
divides, from Sunday to Friday 17:00 New York; prices are a function of time. `zone` is the clock of the files: HistData
says that it stands at UTC−5, and writes by New York's.
"""

from __future__ import annotations

import io
import math
import zipfile
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from loopback.base import Answer, LoopbackServer, Request

PAGE = "/download-free-forex-historical-data/"
NEW_YORK = ZoneInfo("America/New_York")


def price(moment: datetime) -> float:
    """The bid at a moment."""
    seconds = moment.timestamp()
    return 1.1 + 0.02 * math.sin(seconds / 900_000) + 0.001 * math.sin(seconds / 5_000)


class HistDataServer(LoopbackServer):
    """HistData.com with EURUSD and XAUUSD."""

    variable: ClassVar[str] = "SEQUENCE_HISTDATA_BASE_URL"

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime.now(UTC)
        self.until: datetime | None = None  # bars after this are not published; None: all up to now
        self.since = {"EURUSD": 2000, "XAUUSD": 2009, "ABCDEF": 2020}
        self.every = 60  # minutes between bars
        self.zone = "America/New_York"
        self._tokens: dict[str, str] = {}
        self._zips: dict[str, bytes] = {}

    def is_question(self, request: Request) -> bool:
        """The zips; the pages before them are never sick."""
        return request.method == "POST"

    def answer(self, request: Request) -> Answer:
        """A page, or a zip."""
        if request.path == PAGE:
            return Answer.of_html(self._page(request))
        if request.path == "/get.php":
            return self._zip(request)
        return Answer.of_html("<html><head><title>Page not found – HistData.com</title></head></html>", 404)

    def _page(self, request: Request) -> str:
        # The address reads /?/ascii/1-minute-bar-quotes/eurusd/2024/7: all of it is the query.
        parts = next(iter(request.query)).strip("/").split("/")
        pair, period = parts[2].upper(), [int(part) for part in parts[3:]]
        code = f"{period[0]}" + (f"{period[1]:02}" if len(period) > 1 else "")
        title = "<html><head><title>HistData.com – Free Forex Historical Data</title></head><body>"
        if not self._offers(pair, code):
            return f"{title}<p>Choose a year.</p></body></html>"
        token = f"{len(self._tokens):032x}"
        self._tokens[token] = f"{pair}{code}"
        fields = {"tk": token, "date": code[:4], "datemonth": code, "platform": "ASCII", "timeframe": "M1"}
        inputs = "".join(
            f'<input type="hidden" name="{name}" id="{name}" value="{value}" />'
            for name, value in {**fields, "fxpair": pair}.items()
        )
        search = '<form id="search"><input type="hidden" name="tk" value="no" /></form>'
        return f'{title}{search}<form id="file_down" method="POST" action="/get.php">{inputs}</form></body></html>'

    def _offers(self, pair: str, code: str) -> bool:
        last = (self.until or self.now).astimezone(ZoneInfo(self.zone))
        year, month = int(code[:4]), int(code[4:] or 0)
        if pair not in self.since or year < self.since[pair] or year > last.year:
            return False
        this_year = self.now.astimezone(ZoneInfo(self.zone)).year
        return bool(month) and month <= last.month if year == this_year else not month

    def _zip(self, request: Request) -> Answer:
        pair, code = request.form.get("fxpair", ""), request.form.get("datemonth", "")
        came_from = urlsplit(request.headers.get("Referer", ""))
        if self._tokens.pop(request.form.get("tk", ""), "") != f"{pair}{code}" or came_from.path != PAGE:
            return Answer(200, b"", "text/html")
        key = f"{pair} {code} {self.until or self.now} {self.zone}"
        if key not in self._zips:
            self._zips[key] = self.zip_of(pair, code)
        name = f"HISTDATA_COM_ASCII_{pair}_M1{code}.zip"
        headers = {"Content-Disposition": f"attachment; filename={name}"}
        return Answer(200, self._zips[key], "application/zip", headers)

    def zip_of(self, pair: str, code: str) -> bytes:
        """The zip of a year or month, with its report of gaps."""
        stem = f"DAT_ASCII_{pair}_M1_{code}"
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{stem}.csv", "".join(self._lines(code)))
            archive.writestr(f"{stem}.txt", "HistData.com (c)\r\nGap of 120s found between …\r\n")
        return packed.getvalue()

    def _lines(self, code: str) -> list[str]:
        clock, year, month = ZoneInfo(self.zone), int(code[:4]), int(code[4:] or 0)
        first = datetime(year, month or 1, 1, tzinfo=clock)
        after = datetime(year + (month in {0, 12}), month % 12 + 1 if month else 1, 1, tzinfo=clock)
        moment = first.astimezone(UTC)
        last = min(after.astimezone(UTC), self.until or self.now)
        lines = []
        while moment < last:
            there = moment.astimezone(NEW_YORK)
            week = there.weekday() + there.hour / 24
            if not 4 + 17 / 24 <= week < 6 + 17 / 24:
                wall, opens, closes = moment.astimezone(clock), price(moment), price(moment + timedelta(minutes=1))
                high, low = max(opens, closes) + 0.0001, min(opens, closes) - 0.0001
                lines.append(f"{wall:%Y%m%d %H%M%S};{opens:.6f};{high:.6f};{low:.6f};{closes:.6f};0\r\n")
            moment += timedelta(minutes=self.every)
        return lines
