"""Minute bars from HistData.com, downloaded as a browser does: a page with a token, then the zip.

There is a zip for each past year, and one for each month of the current year. None of it is documented: the
form was learned from programs that download there. `histdata_files.py` reads the zips, also those that a user
downloaded.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import requests

from core.clock import utc_now
from core.errors import DataRequestError
from core.names import nearest
from core.settings import current_settings
from data.sources.base import Slice
from data.sources.histdata_clock import AS_DOCUMENTED, NEW_YORK
from data.sources.histdata_files import HistDataFile, Imported, csv_in, import_zips, read_csv, read_histdata
from data.sources.network import USER_AGENT, BusyServerError, SourceUnavailableError, ask, out_of_reach, refuse_sick
from market.bars import RAW_COLUMNS
from market.calendar import DayCut, closed_bars, day_cut
from market.symbols import symbol_of
from market.timeframes import Timeframe

__all__ = ["FIRST_MONTHS", "HistDataSource", "Imported", "import_zips", "read_histdata"]

VENDOR = "HistData"
_PAGE = "/download-free-forex-historical-data/?/ascii/1-minute-bar-quotes/"
_MINUTE = pd.Timedelta(minutes=1)
# How long after its end the zip of a month may still grow.
_SETTLES = pd.Timedelta(days=7)
# The first month of each pair, as a public list of 2019 has them; the site may have more by now.
_PAIRS_SINCE = {
    "2000-05": "EURUSD USDCHF USDJPY GBPUSD",
    "2000-06": "USDCAD AUDUSD",
    "2002-03": "EURCHF EURGBP EURJPY",
    "2002-05": "GBPJPY",
    "2002-08": "EURAUD GBPCHF AUDJPY CHFJPY",
    "2005-08": "NZDUSD",
    "2006-09": "NZDJPY",
    "2007-03": "EURCAD CADJPY",
    "2007-07": "AUDCAD",
    "2007-09": "GBPAUD AUDNZD GBPCAD",
    "2008-03": "EURNZD NZDCAD AUDCHF NZDCHF GBPNZD CADCHF",
    "2008-08": "SGDJPY USDHKD USDNOK EURSEK USDSEK EURDKK EURNOK USDDKK USDSGD",
    "2009-03": "XAUUSD",
    "2009-05": "XAUAUD XAUCHF XAUEUR XAGUSD XAUGBP",
    "2010-08": "USDCZK",
    "2010-11": "USDMXN GRXEUR USDTRY AUXAUD EURHUF EURPLN FRXEUR HKXHKD SPXUSD USDHUF USDPLN USDZAR ZARJPY BCOUSD "
    "ETXEUR EURCZK JPXJPY UDXUSD WTIUSD EURTRY NSXUSD UKXGBP",
}
FIRST_MONTHS = {pair: month for month, pairs in _PAIRS_SINCE.items() for pair in pairs.split()}


@dataclass(frozen=True)
class _Period:
    """What one zip holds: a past year, or a month of the current one; begin and end are times of HistData's clock."""

    year: int
    month: int | None

    @classmethod
    def of(cls, wall: pd.Timestamp, now: pd.Timestamp) -> _Period:
        """The period that a time of that clock belongs to."""
        return cls(wall.year, wall.month if wall.year >= now.tz_convert(AS_DOCUMENTED).year else None)

    def following(self, now: pd.Timestamp) -> _Period:
        """The period after this one."""
        return self.of(self.end, now)

    @property
    def end(self) -> pd.Timestamp:
        """The first moment of the next one."""
        begin = pd.Timestamp(self.year, self.month or 1, 1)
        return begin + (pd.DateOffset(years=1) if self.month is None else pd.DateOffset(months=1))

    @property
    def code(self) -> str:
        """`2024`, or `202407`, as the form writes it."""
        return f"{self.year}" if self.month is None else f"{self.year}{self.month:02}"

    def __str__(self) -> str:
        return f"{self.year}" if self.month is None else f"{self.year}-{self.month:02}"


class HistDataSource:
    """Minute bars of the bid, of some 66 pairs since 2000; everything longer is joined from them."""

    name = "HistData"
    attribution = "HistData.com (bid prices)"

    def timeframe_for(self, timeframe: Timeframe) -> Timeframe:
        """Always M1."""
        return Timeframe.M1

    def day_cut(self, symbol: str) -> DayCut:
        """The market's own: bars are joined here, not by the vendor."""
        return day_cut(symbol_of(symbol).asset_class)

    def earliest(self, symbol: str, timeframe: Timeframe) -> pd.Timestamp | None:
        """The first moment of the pair's first month; None where the pair is not known here."""
        return _first_of(symbol)

    def check(self, symbol: str, timeframe: Timeframe, start: pd.Timestamp, end: pd.Timestamp) -> None:
        """Raise DataRequestError for what is no pair, and for ranges before its first month or after now."""
        if start > utc_now():
            raise DataRequestError(
                f"{start:%Y-%m-%d %H:%M} UTC, the beginning of the range, lies in the future.", "Begin it earlier."
            )
        if not (len(symbol) == 6 and symbol.isalpha()):
            raise DataRequestError(
                f"{VENDOR} has pairs, metals and indices of six letters, not {symbol}.", "Ask for EURUSD or XAUUSD."
            )
        first = _first_of(symbol)
        if first is not None and end <= first:
            raise DataRequestError(
                f"{VENDOR} has {symbol} since {first:%Y-%m} only.", f"Ask for a range after {first:%Y-%m-%d}."
            )

    def slices(self, symbol: str, timeframe: Timeframe, start: pd.Timestamp, end: pd.Timestamp) -> Iterator[Slice]:
        """Closed M1 bars of [start, end), a year or a month at a time.

        The last slice ends where there are bars no longer, for HistData publishes weeks later; months it has not
        published end the slices without an error. Raises DataRequestError when there is nothing at all.
        """
        if timeframe is not Timeframe.M1:
            raise DataRequestError(f"{VENDOR} has no {timeframe} bars.", "Ask for M1, and join them.")
        self.check(symbol, timeframe, start, end)
        return _slices(symbol, start, min(end, pd.Timestamp(utc_now())))


def _first_of(symbol: str) -> pd.Timestamp | None:
    """The first moment of a pair's first month; None where the pair is not known here."""
    month = FIRST_MONTHS.get(symbol)
    return None if month is None else pd.Timestamp(f"{month}-01", tz=AS_DOCUMENTED).tz_convert("UTC")


def _slices(symbol: str, start: pd.Timestamp, end: pd.Timestamp) -> Iterator[Slice]:
    first = _first_of(symbol)
    if first is not None and start < first < end:
        yield Slice(start, first, _no_bars())
        start = first
    is_known, held = False, []  # periods without a zip are held back: perhaps there is none for this pair at all
    for slice_, has_zip in _answers(symbol, start, end):
        is_known = is_known or has_zip
        held += [] if slice_ is None else [slice_]
        if is_known:
            yield from held
            held = []
    if not is_known:
        raise _nothing(symbol, start, end)


def _answers(symbol: str, start: pd.Timestamp, end: pd.Timestamp) -> Iterator[tuple[Slice | None, bool]]:
    """What each period gave, and whether there is a zip of it; ends at the first whose bars are not all there."""
    now = pd.Timestamp(utc_now())
    # Of the clocks a file may be written by, the later: should it be the other, one zip is read for nothing.
    period = _period_at(start, now)
    with requests.Session() as session:
        session.headers["User-Agent"] = USER_AGENT
        while start < end:
            file = ask(partial(_download, session, symbol, period))
            beyond = period.end.tz_localize(file.zone if file else NEW_YORK).tz_convert("UTC")
            stop = min(beyond, end)
            if stop > start:
                bars = _no_bars() if file is None else closed_bars(file.bars, Timeframe.M1, now)
                known = stop
                if beyond + _SETTLES > now:
                    if file and not file.is_told:  # the first days of a month: its first weekend will tell
                        bars = _no_bars()
                    known = start if bars.empty else min(stop, bars.index[-1] + _MINUTE)
                wanted = bars[(bars.index >= start) & (bars.index < known)]
                yield (Slice(start, known, wanted) if known > start else None), file is not None
                if known < stop:
                    return
                start = stop
            period = period.following(now)


def _period_at(moment: pd.Timestamp, now: pd.Timestamp) -> _Period:
    return _Period.of(moment.tz_convert(AS_DOCUMENTED).tz_localize(None), now)


def _no_bars() -> pd.DataFrame:
    times = pd.DatetimeIndex([], tz="UTC").as_unit("us").rename("time")
    return pd.DataFrame(columns=list(RAW_COLUMNS), index=times, dtype="float64")


def _nothing(symbol: str, start: pd.Timestamp, end: pd.Timestamp) -> DataRequestError:
    now = pd.Timestamp(utc_now())
    first, last = _period_at(start, now), _period_at(end - _MINUTE, now)
    asked = f"{first}" if first == last else f"{first} to {last}"
    if symbol in FIRST_MONTHS and end + _SETTLES > now:
        return DataRequestError(
            f"{VENDOR} has no {symbol} for {asked} yet.", "Ask for an earlier range; months are published late."
        )
    meant = None if symbol in FIRST_MONTHS else nearest(symbol, FIRST_MONTHS)
    hint = f"Did you mean {meant}?" if meant else f"Ask for another range, or look at {VENDOR}.com what there is."
    return DataRequestError(f"{VENDOR} has no {symbol} for {asked}.", hint)


def _download(session: requests.Session, symbol: str, period: _Period) -> HistDataFile | None:
    """The zip of one period; None where HistData offers none. Each attempt gets a token of its own."""
    settings = current_settings().sources
    year, month = period.year, "" if period.month is None else f"/{period.month}"
    page_url = f"{settings.histdata_base_url}{_PAGE}{symbol.lower()}/{year}{month}"
    try:
        page = session.get(page_url, timeout=settings.timeout_seconds)
        form = _form_of(page, symbol, period)
        if form is None:
            return None
        url = f"{settings.histdata_base_url}/get.php"
        # Without the page it came from, the token is not taken.
        headers = {"Referer": page_url}
        with session.post(url, data=form, headers=headers, timeout=settings.timeout_seconds, stream=True) as answer:
            refuse_sick(VENDOR, answer.status_code)
            content = _whole(answer)
    except requests.RequestException as error:
        raise out_of_reach(VENDOR, error) from error
    return _file_in(content, symbol, period)


def _form_of(page: requests.Response, symbol: str, period: _Period) -> dict[str, str] | None:
    """The fields that ask for the zip; None where the page offers none of this pair and period."""
    if page.status_code == 404:
        return None
    refuse_sick(VENDOR, page.status_code)
    if page.status_code != 200:
        raise SourceUnavailableError(
            f"{VENDOR} refuses to be asked (HTTP {page.status_code}).",
            f"Download the zip by hand ({page.url}) and import it.",
        )
    if "histdata" not in page.text.lower():
        raise BusyServerError(f"{VENDOR} answered with a page that is not its own.", "Try again later.")
    parser = _FormParser()
    parser.feed(page.text)
    fields = parser.fields
    is_right = fields.get("fxpair", "").upper() == symbol and fields.get("datemonth") == period.code
    return fields if fields.get("tk") and is_right else None


class _FormParser(HTMLParser):
    """The hidden fields of the form `file_down`."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found: dict[str, Any] = dict(attrs)
        if tag == "form":
            self._inside = "file_down" in {found.get("id"), found.get("name")}
        elif tag == "input" and self._inside and (name := found.get("name") or found.get("id")):
            self.fields[name] = found.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "form"


def _whole(answer: requests.Response) -> bytes:
    """What was sent; raises DataRequestError when it is larger than files may be."""
    limit = current_settings().data.csv_max_mib
    content = bytearray()
    for part in answer.iter_content(1 << 20):
        content += part
        if len(content) > limit * 2**20:
            raise DataRequestError(f"{VENDOR} sends more than {limit:g} MiB.", "Raise data.csv_max_mib.")
    return bytes(content)


def _file_in(content: bytes, symbol: str, period: _Period) -> HistDataFile:
    """Raises BusyServerError when what was sent is not the zip that was asked for, or half of it."""
    if not content:
        raise BusyServerError(f"{VENDOR} sent an empty file for {symbol} {period}.", "Try again later.")
    if not content.startswith(b"PK"):
        raise BusyServerError(f"{VENDOR} sent a page instead of the zip for {symbol} {period}.", "Try again later.")
    try:
        name, csv = csv_in(content, f"The zip for {symbol} {period}")
    except zipfile.BadZipFile as error:
        raise BusyServerError(
            f"{VENDOR} sent a damaged zip for {symbol} {period} ({error}).", "Try again later."
        ) from error
    if f"{symbol}_M1_{period.code}." not in name.upper():
        raise BusyServerError(f"{VENDOR} sent {name} instead of {symbol} {period}.", "Try again later.")
    return read_csv(csv, name)
