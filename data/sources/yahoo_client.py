"""One question to Yahoo Finance through yfinance, and what each kind of answer means."""

from __future__ import annotations

import warnings
from functools import lru_cache
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from core.errors import DataRequestError
from core.log import redact
from core.settings import current_settings, output_folder
from data.sources.network import BusyServerError, SourceUnavailableError, out_of_reach, refuse_sick

VENDOR = "Yahoo Finance"
_CHARTS = "/v8/finance/chart/"
# yfinance keeps session, cookie and settings once for the whole process.
_one_at_a_time = Lock()


def history(ticker: str, interval: str, start: pd.Timestamp, end: pd.Timestamp, *, has_hours: bool) -> pd.DataFrame:
    """One question to Yahoo, its columns in Title case and its index in the zone of the exchange.

    `has_hours`: what lies outside the hours of the exchange is left out. No rows where Yahoo has none. Raises
    BusyServerError when another attempt may help, DataRequestError for what Yahoo refuses, in its own words.
    """
    with _one_at_a_time, warnings.catch_warnings():
        import yfinance  # costs a second, and changes what is warned of

        warnings.filterwarnings("ignore", category=DeprecationWarning, module="yfinance")
        yfinance.config.debug.hide_exceptions = False
        yfinance.data.YfData.cache_get.cache_clear()  # else an attempt is answered by the one before
        _keep_notes_in(str(output_folder() / "cache" / "yfinance"))
        session = _session(current_settings().sources.yahoo_base_url)
        session.chart = None
        try:
            answer: pd.DataFrame = yfinance.Ticker(ticker, session=session).history(
                interval=interval,
                start=start,
                end=end,
                # yfinance takes the hours of FX to end at 23:59, and would leave that minute out.
                prepost=not has_hours,
                auto_adjust=False,
                actions=False,
            )
        except Exception as error:  # yfinance raises its own, its HTTP client's and its JSON parser's
            return _meaning_of(error, session.chart, ticker)
        return answer


@lru_cache(maxsize=1)
def _keep_notes_in(folder: str) -> None:
    """Let yfinance remember the zones of exchanges, and its cookie, in the workbench and not in the user's home."""
    import yfinance

    yfinance.set_tz_cache_location(folder)


@lru_cache(maxsize=1)
def _session(base_url: str) -> Any:
    """The HTTP session yfinance works with: it keeps the last answer with bars, and goes to `base_url` if set."""
    from curl_cffi import requests as curl

    class Session(curl.Session):  # type: ignore[type-arg, misc, unused-ignore]
        chart: Any = None

        def request(self, method: Any, url: str, *args: Any, **kwargs: Any) -> Any:
            parts = urlsplit(url)
            if base_url:
                url = base_url + (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            kwargs["timeout"] = current_settings().sources.timeout_seconds
            if not parts.path.startswith(_CHARTS):
                return super().request(method, url, *args, **kwargs)
            self.chart = None
            self.chart = super().request(method, url, *args, **kwargs)
            return self.chart

    return Session(impersonate="chrome")


def _meaning_of(error: Exception, chart: Any, ticker: str) -> pd.DataFrame:
    """No rows when Yahoo only had none; else raises what an answer, or its absence, means."""
    if chart is None:
        raise out_of_reach(VENDOR, error) from error
    refuse_sick(VENDOR, chart.status_code)
    try:
        content = chart.json()["chart"]
        reason = content["error"]
        result = content["result"]
    except (ValueError, KeyError, TypeError):
        raise BusyServerError(
            f"{VENDOR} answered with something else than data (HTTP {chart.status_code}).", "Try again later."
        ) from error
    if reason:
        return _refused(str(reason.get("code", "")), str(reason.get("description", "")), ticker)
    if result and not result[0].get("timestamp"):
        return pd.DataFrame()
    raise SourceUnavailableError(
        f"An answer of {VENDOR} could not be read ({type(error).__name__}: {redact(error)}).",
        "Try again later; should it stay so, a newer yfinance may be needed.",
    ) from error


def _refused(code: str, description: str, ticker: str) -> pd.DataFrame:
    """No rows when the range holds none; else raises DataRequestError with Yahoo's own words."""
    words = redact(description)[:200]
    if code == "Not Found":
        is_metal = ticker.startswith(("XAU", "XAG", "XPT", "XPD")) and ticker.endswith("=X")
        cure = "HistData has XAUUSD and XAGUSD." if is_metal else "Check it: EURUSD, BTCUSD, AAPL or SAP.DE are known."
        raise DataRequestError(f"{VENDOR} does not know {ticker} (“{words}”).", cure)
    if description.startswith("Data doesn't exist"):
        return pd.DataFrame()
    raise DataRequestError(f"{VENDOR} refuses {ticker}: “{words}”.", "Ask for another range or timeframe.")
