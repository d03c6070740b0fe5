"""Files of many vendors' shapes, made here and small: each is read right, times in UTC."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from data.sources.files import preview, read_file
from data.sources.shape import guess_shape

METATRADER = "America/New_York+7"
Bar = tuple[str, float, float, float, float]


@dataclass(frozen=True)
class Case:
    """A file, what must be said of it, and its first and last bar: time in UTC, open, high, low, close."""

    content: str | bytes
    first: Bar
    last: Bar
    rows: int
    said: dict[str, Any] = field(default_factory=dict)
    name: str = "bars.csv"
    volume: float | None = None


CASES = {
    "MetaTrader 5 bars": Case(
        "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
        "2026.11.02\t00:00:00\t1.10010\t1.10055\t1.09980\t1.10022\t1200\t0\t8\n"
        "2026.11.02\t01:00:00\t1.10022\t1.10040\t1.10001\t1.10035\t900\t0\t7\n",
        first=("2026-11-01 22:00", 1.1001, 1.10055, 1.0998, 1.10022),
        last=("2026-11-01 23:00", 1.10022, 1.1004, 1.10001, 1.10035),
        rows=2,
        said={"timezone": METATRADER},
        name="EURUSD_H1_202611020000_202611020100.csv",
        volume=1200.0,
    ),
    "MetaTrader 5 daily bars, without a column of hours": Case(
        "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\r\n"
        "2024.07.01\t1.07400\t1.07760\t1.07180\t1.07390\t60000\t0\t0\r\n"
        "2024.12.02\t1.05700\t1.05750\t1.04610\t1.04980\t70000\t0\t0\r\n",
        first=("2024-06-30 21:00", 1.074, 1.0776, 1.0718, 1.0739),
        last=("2024-12-01 22:00", 1.057, 1.0575, 1.0461, 1.0498),
        rows=2,
        said={"timezone": METATRADER},
    ),
    "MetaTrader 5 ticks, an empty quote being unchanged": Case(
        "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>\n"
        "2026.11.02\t00:00:00.083\t1.10010\t1.10018\t\t\t6\n"
        "2026.11.02\t00:00:00.411\t1.10011\t\t\t\t2\n"
        "2026.11.02\t00:00:59.900\t\t1.10021\t\t\t4\n"
        "2026.11.02\t00:01:07.001\t1.10005\t\t\t\t2\n",
        first=("2026-11-01 22:00", 1.1001, 1.10011, 1.1001, 1.10011),
        last=("2026-11-01 22:01", 1.10005, 1.10005, 1.10005, 1.10005),
        rows=2,
        said={"timezone": METATRADER},
        volume=3.0,
    ),
    "MetaTrader 5 bars of its Python package, a row number in front": Case(
        ",time,open,high,low,close,tick_volume,spread,real_volume\n"
        "0,1704153600,1.1040,1.1050,1.1030,1.1045,900,8,0\n"
        "1,1704157200,1.1045,1.1055,1.1035,1.1050,800,8,0\n",
        first=("2024-01-01 22:00", 1.104, 1.105, 1.103, 1.1045),
        last=("2024-01-01 23:00", 1.1045, 1.1055, 1.1035, 1.105),
        rows=2,
        said={"timezone": METATRADER},
        volume=900.0,
    ),
    "MetaTrader 5 in UTF-16": Case(
        (
            "\ufeff<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\r\n"
            "2024.01.02\t09:00:00\t1.1\t1.2\t1.0\t1.15\t5\t0\t1\r\n"
            "2024.01.02\t10:00:00\t1.15\t1.2\t1.1\t1.1\t6\t0\t1\r\n"
        ).encode("utf-16-le"),
        first=("2024-01-02 07:00", 1.1, 1.2, 1.0, 1.15),
        last=("2024-01-02 08:00", 1.15, 1.2, 1.1, 1.1),
        rows=2,
        said={"timezone": "Europe/Athens"},
    ),
    "UTF-16 without a mark, the other way round": Case(
        "time,open,high,low,close\n2024-01-02T00:00Z,1,2,0.5,1.5\n2024-01-03T00:00Z,1.5,2,1,1\n".encode("utf-16-be"),
        first=("2024-01-02 00:00", 1.0, 2.0, 0.5, 1.5),
        last=("2024-01-03 00:00", 1.5, 2.0, 1.0, 1.0),
        rows=2,
    ),
    "MetaTrader 4 history": Case(
        "2020.01.01,00:00,1.12120,1.12130,1.12110,1.12125,12\n"
        "2020.01.01,00:01,1.12125,1.12140,1.12120,1.12130,15\n"
        "2020.01.01,00:02,1.12130,1.12135,1.12100,1.12110,9\n",
        first=("2020-01-01 00:00", 1.1212, 1.1213, 1.1211, 1.12125),
        last=("2020-01-01 00:02", 1.1213, 1.12135, 1.121, 1.1211),
        rows=3,
        said={"timezone": "UTC"},
        volume=12.0,
    ),
    "HistData ASCII, New York standard time all year": Case(
        "20240102 170000;1.094600;1.094700;1.094500;1.094650;0\r\n"
        "20240701 170000;1.074000;1.074100;1.073900;1.074050;0\r\n",
        first=("2024-01-02 22:00", 1.0946, 1.0947, 1.0945, 1.09465),
        last=("2024-07-01 22:00", 1.074, 1.0741, 1.0739, 1.07405),
        rows=2,
        name="DAT_ASCII_EURUSD_M1_2024.csv",
    ),
    "HistData MetaTrader": Case(
        "2024.01.02,17:00,1.094600,1.094700,1.094500,1.094650,0\r\n"
        "2024.07.01,17:00,1.074000,1.074100,1.073900,1.074050,0\r\n",
        first=("2024-01-02 22:00", 1.0946, 1.0947, 1.0945, 1.09465),
        last=("2024-07-01 22:00", 1.074, 1.0741, 1.0739, 1.07405),
        rows=2,
        name="DAT_MT_EURUSD_M1_2024.csv",
    ),
    "HistData ticks": Case(
        "20240701 170000123,1.074000,1.074100,0\r\n"
        "20240701 170000900,1.073900,1.074000,0\r\n"
        "20240701 170105004,1.074200,1.074300,0\r\n",
        first=("2024-07-01 22:00", 1.074, 1.074, 1.0739, 1.0739),
        last=("2024-07-01 22:01", 1.0742, 1.0742, 1.0742, 1.0742),
        rows=2,
        name="DAT_ASCII_EURUSD_T_202407.csv",
        volume=2.0,
    ),
    "Dukascopy, Gmt time": Case(
        "Gmt time,Open,High,Low,Close,Volume\n"
        "01.01.2024 22:00:00.000,1.10427,1.10452,1.10400,1.10411,310.55\n"
        "01.01.2024 23:00:00.000,1.10411,1.10480,1.10411,1.10470,420.10\n"
        "13.01.2024 00:00:00.000,1.09500,1.09510,1.09490,1.09505,12.00\n",
        first=("2024-01-01 22:00", 1.10427, 1.10452, 1.104, 1.10411),
        last=("2024-01-13 00:00", 1.095, 1.0951, 1.0949, 1.09505),
        rows=3,
        volume=310.55,
    ),
    "Dukascopy, local time with its offset": Case(
        "Local time,Open,High,Low,Close,Volume\n"
        "31.03.2024 01:00:00.000 GMT+0100,1.07900,1.07910,1.07890,1.07905,1\n"
        "31.03.2024 03:00:00.000 GMT+0200,1.07905,1.07930,1.07900,1.07920,2\n",
        first=("2024-03-31 00:00", 1.079, 1.0791, 1.0789, 1.07905),
        last=("2024-03-31 01:00", 1.07905, 1.0793, 1.079, 1.0792),
        rows=2,
    ),
    "Dukascopy's JForex, the zone in the header": Case(
        "Time (EET),Open,High,Low,Close,Volume \n"
        "2024.01.02 02:00:00,1.10427,1.10452,1.10400,1.10411,310.55\n"
        "2024.07.02 03:00:00,1.07411,1.07480,1.07411,1.07470,420.1\n",
        first=("2024-01-02 00:00", 1.10427, 1.10452, 1.104, 1.10411),
        last=("2024-07-02 00:00", 1.07411, 1.0748, 1.07411, 1.0747),
        rows=2,
    ),
    "a header that names an offset": Case(
        "Time (GMT+2);Open;High;Low;Close\n2024-07-02 03:00;1;2;0.5;1.5\n2024-07-02 04:00;1.5;2;1;1\n",
        first=("2024-07-02 01:00", 1.0, 2.0, 0.5, 1.5),
        last=("2024-07-02 02:00", 1.5, 2.0, 1.0, 1.0),
        rows=2,
    ),
    "Yahoo": Case(
        "Date,Open,High,Low,Close,Adj Close,Volume\n"
        "2024-01-02,1.104240,1.105400,1.093870,1.104240,1.104241,0\n"
        "2024-01-03,1.094100,1.096500,1.089400,1.094100,1.094101,0\n",
        first=("2024-01-02 00:00", 1.10424, 1.1054, 1.09387, 1.10424),
        last=("2024-01-03 00:00", 1.0941, 1.0965, 1.0894, 1.0941),
        rows=2,
        said={"timezone": "UTC"},
    ),
    "yfinance, a header of three rows": Case(
        "Price,Close,High,Low,Open,Volume\n"
        "Ticker,EURUSD=X,EURUSD=X,EURUSD=X,EURUSD=X,EURUSD=X\n"
        "Datetime,,,,,\n"
        "2024-01-02 00:00:00+00:00,1.1041,1.1050,1.1030,1.1040,0\n"
        "2024-01-02 01:00:00+00:00,1.1042,1.1052,1.1032,1.1041,0\n",
        first=("2024-01-02 00:00", 1.104, 1.105, 1.103, 1.1041),
        last=("2024-01-02 01:00", 1.1041, 1.1052, 1.1032, 1.1042),
        rows=2,
    ),
    "Stooq": Case(
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
        "EURUSD,60,20240102,093000,1.1040,1.1050,1.1030,1.1045,0,0\n"
        "EURUSD,60,20240102,103000,1.1045,1.1055,1.1035,1.1050,0,0\n",
        first=("2024-01-02 08:30", 1.104, 1.105, 1.103, 1.1045),
        last=("2024-01-02 09:30", 1.1045, 1.1055, 1.1035, 1.105),
        rows=2,
        said={"timezone": "Europe/Warsaw"},
    ),
    "hours that lost the zeros in front": Case(
        "date,time,open,high,low,close\n20240102,0,1,2,0.5,1.5\n20240102,93000,1.5,2,1,1\n20240102,103000,1,2,1,2\n",
        first=("2024-01-02 00:00", 1.0, 2.0, 0.5, 1.5),
        last=("2024-01-02 10:30", 1.0, 2.0, 1.0, 2.0),
        rows=3,
        said={"timezone": "UTC"},
    ),
    "Investing.com, newest first": Case(
        '\ufeff"Date","Price","Open","High","Low","Vol.","Change %"\n'
        '"Nov 03, 2026","1.1512","1.1520","1.1533","1.1498","","-0.07%"\n'
        '"Nov 02, 2026","1.1520","1.1535","1.1540","1.1505","","-0.13%"\n'
        '"Oct 30, 2026","1.1535","1.1570","1.1577","1.1522","","-0.28%"\n',
        first=("2026-10-30 00:00", 1.157, 1.1577, 1.1522, 1.1535),
        last=("2026-11-03 00:00", 1.152, 1.1533, 1.1498, 1.1512),
        rows=3,
        said={"timezone": "UTC"},
        volume=0.0,
    ),
    "Investing.com, grouped thousands and volumes in K": Case(
        '"Date","Price","Open","High","Low","Vol.","Change %"\n'
        '"01/03/2024","42,848.5","44,946.9","45,500.0","40,800.0","117.65K","-4.67%"\n'
        '"01/02/2024","44,946.9","44,182.9","45,885.4","44,166.0","1.2M","1.73%"\n'
        '"12/31/2023","42,272.5","42,140.9","42,889.5","41,979.0","39.5K","0.31%"\n',
        first=("2023-12-31 00:00", 42140.9, 42889.5, 41979.0, 42272.5),
        last=("2024-01-03 00:00", 44946.9, 45500.0, 40800.0, 42848.5),
        rows=3,
        said={"timezone": "UTC"},
        volume=39_500.0,
    ),
    "Investing.com in German": Case(
        '"Datum","Zuletzt","Eröffn.","Hoch","Tief","Vol.","+/- %"\n'
        '"31.12.2024","1,0354","1,0407","1,0426","1,0343","","-0,51%"\n'
        '"30.12.2024","1,0407","1,0427","1,0458","1,0372","","-0,18%"\n',
        first=("2024-12-30 00:00", 1.0427, 1.0458, 1.0372, 1.0407),
        last=("2024-12-31 00:00", 1.0407, 1.0426, 1.0343, 1.0354),
        rows=2,
        said={"timezone": "UTC"},
    ),
    "Nasdaq.com, with dollar signs": Case(
        "Date,Close/Last,Volume,Open,High,Low\n"
        "01/16/2024,$183.63,65076640,$182.16,$184.26,$180.934\n"
        "01/12/2024,$185.92,40477780,$186.06,$186.74,$185.19\n",
        first=("2024-01-12 05:00", 186.06, 186.74, 185.19, 185.92),
        last=("2024-01-16 05:00", 182.16, 184.26, 180.934, 183.63),
        rows=2,
        said={"timezone": "America/New_York"},
    ),
    "TradingView": Case(
        "time,open,high,low,close,Volume\n"
        "1704150000,1.10427,1.10452,1.10400,1.10411,310\n"
        "1704153600,1.10411,1.10480,1.10411,1.10470,420\n",
        first=("2024-01-01 23:00", 1.10427, 1.10452, 1.104, 1.10411),
        last=("2024-01-02 00:00", 1.10411, 1.1048, 1.10411, 1.1047),
        rows=2,
        volume=310.0,
    ),
    "TradingView, from 1971 on": Case(
        "time,open,high,low,close\n31795200,0.53690,0.53690,0.53660,0.53660\n1704153600,1.10411,1.1048,1.10411,1.1047\n",
        first=("1971-01-04 00:00", 0.5369, 0.5369, 0.5366, 0.5366),
        last=("2024-01-02 00:00", 1.10411, 1.1048, 1.10411, 1.1047),
        rows=2,
    ),
    "Binance": Case(
        "1704067200000,42283.58,42554.57,42261.02,42475.23,1271.68,1704070799999,5395.1,47134,682.5,2895.4,0\n"
        "1704070800000,42475.23,42775.00,42431.65,42613.56,1196.37,1704074399999,5097.2,50396,620.3,2645.4,0\n",
        first=("2024-01-01 00:00", 42283.58, 42554.57, 42261.02, 42475.23),
        last=("2024-01-01 01:00", 42475.23, 42775.0, 42431.65, 42613.56),
        rows=2,
        volume=1271.68,
    ),
    "Binance since 2025, in microseconds": Case(
        "1735689600000000,93576.0,94509.4,93489.0,94401.1,755.99,1735693199999999,7.1e7,121,1,2,0\n"
        "1735693200000000,94401.1,94408.7,93578.8,93607.7,586.5,1735696799999999,5.5e7,119,1,2,0\n",
        first=("2025-01-01 00:00", 93576.0, 94509.4, 93489.0, 94401.1),
        last=("2025-01-01 01:00", 94401.1, 94408.7, 93578.8, 93607.7),
        rows=2,
    ),
    "CryptoDataDownload, newest first under its address": Case(
        "https://www.CryptoDataDownload.com\n"
        "unix,date,symbol,open,high,low,close,Volume BTC,Volume USD\n"
        "1704070800,2024-01-01 01:00:00,BTC/USD,42475.23,42775.00,42431.65,42613.56,11.5,490000\n"
        "1704067200,2024-01-01 00:00:00,BTC/USD,42283.58,42554.57,42261.02,42475.23,12.5,530000\n",
        first=("2024-01-01 00:00", 42283.58, 42554.57, 42261.02, 42475.23),
        last=("2024-01-01 01:00", 42475.23, 42775.0, 42431.65, 42613.56),
        rows=2,
        volume=12.5,
    ),
    "TrueFX ticks, the pair in front": Case(
        "EUR/USD,20240102 00:00:00.123,1.10410,1.10415\n"
        "EUR/USD,20240102 00:00:01.456,1.10412,1.10417\n"
        "EUR/USD,20240102 00:01:00.001,1.10400,1.10405\n",
        first=("2024-01-02 00:00", 1.1041, 1.10412, 1.1041, 1.10412),
        last=("2024-01-02 00:01", 1.104, 1.104, 1.104, 1.104),
        rows=2,
        said={"timezone": "UTC"},
    ),
    "OANDA ticks, nanoseconds and Z": Case(
        "time,bid,ask\n2024-01-02T00:00:00.123456789Z,1.1041,1.1042\n2024-01-02T00:00:30.000000001Z,1.1043,1.1044\n",
        first=("2024-01-02 00:00", 1.1041, 1.1043, 1.1041, 1.1043),
        last=("2024-01-02 00:00", 1.1041, 1.1043, 1.1041, 1.1043),
        rows=1,
    ),
    "ticks with the ask first and no header": Case(
        "2024-01-02T00:00:00Z,1.1042,1.1041\n2024-01-02T00:01:00Z,1.1044,1.1043\n",
        first=("2024-01-02 00:00", 1.1041, 1.1041, 1.1041, 1.1041),
        last=("2024-01-02 00:01", 1.1043, 1.1043, 1.1043, 1.1043),
        rows=2,
    ),
    "FXCM, bid and ask bars": Case(
        "DateTime,BidOpen,BidHigh,BidLow,BidClose,AskOpen,AskHigh,AskLow,AskClose,TotalTicks\n"
        "01/02/2024 22:00:00.000,1.10,1.12,1.09,1.11,1.11,1.13,1.10,1.12,77\n"
        "01/13/2024 23:00:00.000,1.11,1.12,1.10,1.10,1.12,1.13,1.11,1.11,78\n",
        first=("2024-01-02 22:00", 1.1, 1.12, 1.09, 1.11),
        last=("2024-01-13 23:00", 1.11, 1.12, 1.1, 1.1),
        rows=2,
        said={"timezone": "UTC"},
        volume=77.0,
    ),
    "German Excel": Case(
        "Datum;Eröffnung;Hoch;Tief;Schluss;Volumen\r\n"
        "31.12.2024 22:00;1,0350;1,0360;1,0340;1,0355;1.200\r\n"
        "31.12.2024 23:00;1,0355;1,0365;1,0350;1,0360;980\r\n".encode("cp1252"),
        first=("2024-12-31 21:00", 1.035, 1.036, 1.034, 1.0355),
        last=("2024-12-31 22:00", 1.0355, 1.0365, 1.035, 1.036),
        rows=2,
        said={"timezone": "Europe/Berlin"},
        volume=1200.0,
    ),
    "American hours": Case(
        "Date,Open,High,Low,Close\n01/02/2024 3:00 PM,1,2,0.5,1.5\n01/02/2024 4:00 PM,1.5,2,1,1\n"
        "01/31/2024 12:00 AM,1,2,1,2\n",
        first=("2024-01-02 20:00", 1.0, 2.0, 0.5, 1.5),
        last=("2024-01-31 05:00", 1.0, 2.0, 1.0, 2.0),
        rows=3,
        said={"timezone": "America/New_York"},
    ),
    "ISO with offsets": Case(
        "time,open,high,low,close\n2024-01-02T00:00:00+00:00,1,2,0.5,1.5\n2024-01-02T03:00:00+02:00,1.5,2,1,1\n",
        first=("2024-01-02 00:00", 1.0, 2.0, 0.5, 1.5),
        last=("2024-01-02 01:00", 1.5, 2.0, 1.0, 1.0),
        rows=2,
        said={"timezone": "America/New_York"},
    ),
    "ISO as Python writes it, fractions where there are any": Case(
        "time,bid,ask\n2024-01-02 00:00:00+00:00,1.5,1.6\n2024-01-02 00:00:00.250000+00:00,1.6,1.7\n"
        "2024-01-02 00:00:59+00:00,1.4,1.5\n",
        first=("2024-01-02 00:00", 1.5, 1.6, 1.4, 1.4),
        last=("2024-01-02 00:00", 1.5, 1.6, 1.4, 1.4),
        rows=1,
    ),
    "PostgreSQL, offsets of two digits": Case(
        "ts|open|high|low|close\n2024-01-02 00:00:00+01|1|2|0.5|1.5\n2024-01-02 01:00:00+01|1.5|2|1|1\n",
        first=("2024-01-01 23:00", 1.0, 2.0, 0.5, 1.5),
        last=("2024-01-02 00:00", 1.5, 2.0, 1.0, 1.0),
        rows=2,
    ),
    "hours glued to the date": Case(
        "202401020000,1,2,0.5,1.5,3\n202401020001,1.5,2,1,1,4\n",
        first=("2024-01-02 00:00", 1.0, 2.0, 0.5, 1.5),
        last=("2024-01-02 00:01", 1.5, 2.0, 1.0, 1.0),
        rows=2,
        said={"timezone": "UTC"},
    ),
    "days, months and years of two digits": Case(
        "30/12/24 23:00,1.03510,1.03560,1.03480,1.03512,1200,-0.50,0.10\n"
        "31/12/24 00:00,1.03512,1.03540,1.03500,1.03530,900,-0.50,0.10\n",
        first=("2024-12-30 23:00", 1.0351, 1.0356, 1.0348, 1.03512),
        last=("2024-12-31 00:00", 1.03512, 1.0354, 1.035, 1.0353),
        rows=2,
        said={"timezone": "UTC"},
    ),
    "spaces between the columns": Case(
        "  Date        Time    Open    High    Low     Close\n"
        "  2024.01.02  00:00   1.1000  1.2000  1.0000  1.1500\n"
        "  2024.01.02  01:00   1.1500  1.2000  1.1000  1.1000\n",
        first=("2024-01-02 00:00", 1.1, 1.2, 1.0, 1.15),
        last=("2024-01-02 01:00", 1.15, 1.2, 1.1, 1.1),
        rows=2,
        said={"timezone": "UTC"},
    ),
    "everything quoted": Case(
        '"time";"open";"high";"low";"close"\n'
        '"2024-01-02 00:00";"1";"2";"0.5";"1.5"\n'
        '"2024-01-02 01:00";"1.5";"2";"1";"1"\n',
        first=("2024-01-02 00:00", 1.0, 2.0, 0.5, 1.5),
        last=("2024-01-02 01:00", 1.5, 2.0, 1.0, 1.0),
        rows=2,
        said={"timezone": "UTC"},
    ),
    "R, row numbers without a name": Case(
        '"time","open","high","low","close"\n'
        '"1","2024-01-02 00:00:00",1,2,0.5,1.5\n'
        '"2","2024-01-02 01:00:00",1.5,2,1,1\n',
        first=("2024-01-02 00:00", 1.0, 2.0, 0.5, 1.5),
        last=("2024-01-02 01:00", 1.5, 2.0, 1.0, 1.0),
        rows=2,
        said={"timezone": "UTC"},
    ),
    "a delimiter at the end of rows, blank lines at the end of the file": Case(
        "time;open;high;low;close\n2024-01-02 00:00;1;2;0.5;1.5;\n2024-01-02 01:00;1.5;2;1;1;\n;;;;;\n\n   \n\n",
        first=("2024-01-02 00:00", 1.0, 2.0, 0.5, 1.5),
        last=("2024-01-02 01:00", 1.5, 2.0, 1.0, 1.0),
        rows=2,
        said={"timezone": "UTC"},
        volume=0.0,
    ),
    "blank lines between": Case(
        "\n\ntime,open,high,low,close\n\n2024-01-02 00:00,1,2,0.5,1.5\n\n\n2024-01-02 01:00,1.5,2,1,1\n",
        first=("2024-01-02 00:00", 1.0, 2.0, 0.5, 1.5),
        last=("2024-01-02 01:00", 1.5, 2.0, 1.0, 1.0),
        rows=2,
        said={"timezone": "UTC"},
    ),
    "lines that end as an old Mac ends them": Case(
        "time,open,high,low,close\r2024-01-02 00:00,1,2,0.5,1.5\r2024-01-02 01:00,1.5,2,1,1\r",
        first=("2024-01-02 00:00", 1.0, 2.0, 0.5, 1.5),
        last=("2024-01-02 01:00", 1.5, 2.0, 1.0, 1.0),
        rows=2,
        said={"timezone": "UTC"},
    ),
    "no line end after the last row": Case(
        "time,open,high,low,close\r\n2024-01-02 00:00,1,2,0.5,1.5\r\n2024-01-02 01:00,1.5,2,1,1",
        first=("2024-01-02 00:00", 1.0, 2.0, 0.5, 1.5),
        last=("2024-01-02 01:00", 1.5, 2.0, 1.0, 1.0),
        rows=2,
        said={"timezone": "UTC"},
    ),
    "one row only": Case(
        "time,open,high,low,close,volume\n2024-01-02 00:00,1,2,0.5,1.5,7\n",
        first=("2024-01-02 00:00", 1.0, 2.0, 0.5, 1.5),
        last=("2024-01-02 00:00", 1.0, 2.0, 0.5, 1.5),
        rows=1,
        said={"timezone": "UTC"},
        volume=7.0,
    ),
    "one row without a header": Case(
        "2024-01-22 00:00,1,2,0.5,1.5\n",
        first=("2024-01-22 00:00", 1.0, 2.0, 0.5, 1.5),
        last=("2024-01-22 00:00", 1.0, 2.0, 0.5, 1.5),
        rows=1,
        said={"timezone": "UTC"},
    ),
    "five thousand lines of prose above": Case(
        'Quotes of 2024, "bid", as we got them; 3 of 4, 5, 6, 7 or 8 are good.\n' * 5000
        + "time,open,high,low,close\n2024-01-02 00:00,1,2,0.5,1.5\n2024-01-02 01:00,1.5,2,1,1\n",
        first=("2024-01-02 00:00", 1.0, 2.0, 0.5, 1.5),
        last=("2024-01-02 01:00", 1.5, 2.0, 1.0, 1.0),
        rows=2,
        said={"timezone": "UTC"},
    ),
    "five thousand settings above, and no header": Case(
        "".join(f"setting {number};{number / 7:.3f}\n" for number in range(5000))
        + "2024-01-02 00:00;1;2;0.5;1.5;1\n2024-01-02 01:00;1.5;2;1;1;2\n",
        first=("2024-01-02 00:00", 1.0, 2.0, 0.5, 1.5),
        last=("2024-01-02 01:00", 1.5, 2.0, 1.0, 1.0),
        rows=2,
        said={"timezone": "UTC"},
    ),
    "a line of strokes below the header": Case(
        "Day    ; Open ; High ; Low ; Close\n-----------------------\n"
        "2024.01.02 ; 1 ; 2 ; 0.5 ; 1.5\n2024.01.03;1.5;2;1;1\n",
        first=("2024-01-02 00:00", 1.0, 2.0, 0.5, 1.5),
        last=("2024-01-03 00:00", 1.5, 2.0, 1.0, 1.0),
        rows=2,
        said={"timezone": "UTC"},
    ),
    "columns that the user names": Case(
        "a,b,c,d,e,f\n9,2024-01-02 00:00,1,2,0.5,1.5\n9,2024-01-02 01:00,1.5,2,1,1\n",
        first=("2024-01-02 00:00", 1.0, 2.0, 0.5, 1.5),
        last=("2024-01-02 01:00", 1.5, 2.0, 1.0, 1.0),
        rows=2,
        said={"timezone": "UTC", "columns": {"time": 1, "open": 2, "high": 3, "low": 4, "close": 5}},
    ),
    "one column that the user names, the others found": Case(
        "time,open,high,low,settlement\n2024-01-02 00:00,1,2,0.5,1.5\n2024-01-02 01:00,1.5,2,1,1\n",
        first=("2024-01-02 00:00", 1.0, 2.0, 0.5, 1.5),
        last=("2024-01-02 01:00", 1.5, 2.0, 1.0, 1.0),
        rows=2,
        said={"timezone": "UTC", "columns": {"close": 4}},
    ),
    "a format that only the user knows": Case(
        "time,open,high,low,close\nTuesday 2 January 2024 at 00h,1,2,0.5,1.5\n"
        "Tuesday 2 January 2024 at 01h,1.5,2,1,1\n",
        first=("2024-01-02 00:00", 1.0, 2.0, 0.5, 1.5),
        last=("2024-01-02 01:00", 1.5, 2.0, 1.0, 1.0),
        rows=2,
        said={"timezone": "UTC", "time_format": "%A %d %B %Y at %Hh"},
    ),
}


def written(folder: Path, case: Case) -> Path:
    file = folder / case.name
    file.write_bytes(case.content if isinstance(case.content, bytes) else case.content.encode())
    return file


@pytest.mark.parametrize("shape", CASES)
def test_a_vendors_file_is_read_as_it_is_meant(shape: str, tmp_path: Path) -> None:
    case = CASES[shape]
    bars = read_file(written(tmp_path, case), case.said, "EURUSD")
    assert [bar_at(bars, 0), bar_at(bars, -1)] == [case.first, case.last]
    assert len(bars) == case.rows
    assert case.volume is None or bars["volume"].iloc[0] == case.volume
    assert str(pd.DatetimeIndex(bars.index).tz) == "UTC"


DRESSES: dict[str, Callable[[str], bytes]] = {
    "lines ended by Windows": lambda text: text.replace("\r\n", "\n").replace("\n", "\r\n").encode(),
    "lines ended by an old Mac": lambda text: text.replace("\r\n", "\n").replace("\n", "\r").encode(),
    "a byte-order mark": lambda text: text.removeprefix("\ufeff").encode("utf-8-sig"),
    "UTF-16": lambda text: text.removeprefix("\ufeff").encode("utf-16"),
    "blank lines around": lambda text: f"\n\n{text}\n\n \n".encode(),
    "prose above": lambda text: f"Prices of 2024\n(c) 3, 4; we\tmake no promise | none\n12.5\n\n{text}".encode(),
}


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("shape", [name for name, case in CASES.items() if isinstance(case.content, str)])
def test_a_vendors_file_reads_the_same_however_it_is_dressed(shape: str, dress: str, tmp_path: Path) -> None:
    case = CASES[shape]
    file = tmp_path / case.name
    file.write_bytes(DRESSES[dress](str(case.content)))
    bars = read_file(file, case.said, "EURUSD")
    assert [bar_at(bars, 0), bar_at(bars, -1), len(bars)] == [case.first, case.last, case.rows]


@pytest.mark.parametrize("shape", CASES)
def test_what_is_read_is_shown_beforehand(shape: str, tmp_path: Path) -> None:
    file = written(tmp_path, CASES[shape])
    lines, rows = preview(file, guess_shape(file, CASES[shape].said), rows=3)
    assert 1 <= len(lines) == len(rows) <= 3


def bar_at(bars: pd.DataFrame, position: int) -> Bar:
    row = bars.iloc[position]
    return f"{bars.index[position]:%Y-%m-%d %H:%M}", row["open"], row["high"], row["low"], row["close"]


def dated(folder: Path, times: list[str], name: str = "bars.csv") -> Path:
    """A file of bars of one price at these times."""
    file = folder / name
    file.write_text("time,open,high,low,close\n" + "".join(f"{time},1,1,1,1\n" for time in times), encoding="utf-8")
    return file


def hours_of(first: str, last: str, form: str, every: str = "h") -> list[str]:
    return list(pd.date_range(first, last, freq=every).strftime(form))


DAY_FIRST, MONTH_FIRST = "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"
ORDERS = {
    "a day above twelve at the end": (hours_of("2024-01-02", "2024-01-14", DAY_FIRST), DAY_FIRST),
    "a day above twelve at the end, month first": (hours_of("2024-01-02", "2024-01-14", MONTH_FIRST), MONTH_FIRST),
    "a day above twelve only deep inside": (hours_of("2023-12-03", "2024-02-02", DAY_FIRST, "10min"), DAY_FIRST),
    "a few days, whose hours follow each other": (hours_of("2024-02-01", "2024-02-05", DAY_FIRST), DAY_FIRST),
    "a few days, month first": (hours_of("2024-02-01", "2024-02-05", MONTH_FIRST), MONTH_FIRST),
    "newest first": (hours_of("2024-02-01", "2024-02-05", DAY_FIRST)[::-1], DAY_FIRST),
    "working days without a clock": (hours_of("2024-02-01", "2024-02-12", "%d/%m/%Y", "B"), "%d/%m/%Y"),
    "years of two digits": (hours_of("2024-01-02", "2024-01-14", "%d.%m.%y %H:%M"), "%d.%m.%y %H:%M"),
}


@pytest.mark.parametrize("case", ORDERS)
def test_day_and_month_are_told_apart_by_all_that_is_looked_at(case: str, tmp_path: Path) -> None:
    times, form = ORDERS[case]
    shape = guess_shape(dated(tmp_path, times))
    assert (shape.time_format, shape.doubts) == (form, ())


DOUBTS = {
    "one day": (
        hours_of("2024-02-01", "2024-02-01 23:00", DAY_FIRST),
        "'01/02/2024 00:00' may be read as %d/%m/%Y %H:%M or as %m/%d/%Y %H:%M; both fit every row looked at.",
    ),
    "the first of each month, or days of January": (
        hours_of("2024-01-01", "2024-12-01", "%d/%m/%Y", "MS"),
        "'01/01/2024' may be read as %m/%d/%Y or as %d/%m/%Y; both fit every row looked at.",
    ),
}


@pytest.mark.parametrize("case", DOUBTS)
def test_an_order_of_day_and_month_that_cannot_be_known_is_doubted(case: str, tmp_path: Path) -> None:
    times, doubt = DOUBTS[case]
    assert guess_shape(dated(tmp_path, times)).doubts == (doubt,)


def test_a_doubt_ends_when_the_format_is_given(tmp_path: Path) -> None:
    file = dated(tmp_path, DOUBTS["one day"][0])
    assert guess_shape(file, {"time_format": MONTH_FIRST}).doubts == ()
    bars = read_file(file, {"time_format": MONTH_FIRST, "timezone": "UTC"}, "EURUSD")
    assert bars.index[0] == pd.Timestamp("2024-01-02", tz="UTC")


def yen(folder: Path, delimiter: str) -> Path:
    file = folder / "usdjpy.csv"
    rows = [["Date", "Open", "High", "Low", "Close"], ["2024-01-02", "151,234", "151,400", "151,100", "151,300"]]
    file.write_text("".join(delimiter.join(f'"{cell}"' for cell in row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_a_comma_that_may_mean_decimals_or_thousands_is_doubted(tmp_path: Path) -> None:
    file = yen(tmp_path, ",")
    doubt = "'151,234' may have decimals behind its comma or thousands before it; both fit every row."
    assert guess_shape(file).doubts == (doubt,)
    said = {"timezone": "UTC"}
    assert read_file(file, said | {"decimal": ","}, "USDJPY")["open"].iloc[0] == 151.234
    assert read_file(file, said | {"decimal": "."}, "USDJPY")["open"].iloc[0] == 151_234.0


def test_where_semicolons_divide_a_comma_means_decimals(tmp_path: Path) -> None:
    shape = guess_shape(yen(tmp_path, ";"))
    assert (shape.decimal, shape.thousands, shape.doubts) == (",", False, ())


@pytest.mark.parametrize(
    ("price", "value"),
    [("1,234.5", 1234.5), ("1,234,567", 1_234_567.0), ("$1.5", 1.5), ("1 234.5", 1234.5), (".5", 0.5)],
)
def test_a_number_is_read_in_anybodys_writing(price: str, value: float, tmp_path: Path) -> None:
    file = tmp_path / "bars.csv"
    file.write_text(f"time;open;high;low;close\n2024-01-02T00:00Z;{price};{price};{price};{price}\n", encoding="utf-8")
    assert read_file(file, {}, "EURUSD")["close"].iloc[0] == value


def test_every_guess_can_be_corrected(tmp_path: Path) -> None:
    file = dated(tmp_path, ["2024-01-02 00:00", "2024-01-02 01:00"])
    said: dict[str, Any] = {
        "columns": {"time": 0, "open": 4, "high": 3, "low": 2, "close": 1},
        "time_format": "%Y-%d-%m %H:%M",
        "timezone": "Asia/Tokyo",
        "delimiter": ",",
        "decimal": ",",
        "encoding": "cp1252",
        "first_line": 2,
    }
    shape = guess_shape(file, said)
    assert {name: getattr(shape, name) for name in said} == said
    assert list(read_file(file, said, "EURUSD").index) == [pd.Timestamp("2024-02-01 01:00", tz="Asia/Tokyo")]


ZONES = {
    "the header says UTC": ("time (UTC)", "2024-01-02 00:00", "UTC"),
    "the header says GMT": ("Gmt time", "2024-01-02 00:00", "UTC"),
    "the header says an offset": ("Time (UTC-05:00)", "2024-01-02 00:00", "Etc/GMT+5"),
    "the header names a place": ("Time (Europe/London)", "2024-01-02 00:00", "Europe/London"),
    "the times carry theirs": ("time", "2024-01-02 00:00+03:00", "UTC"),
    "the times say UTC": ("time", "2024-01-02 00:00 UTC", "UTC"),
    "they are seconds since 1970": ("time", "1704153600", "UTC"),
    "nothing says it": ("Local time", "2024-01-02 00:00", None),
}


@pytest.mark.parametrize("case", ZONES)
def test_a_zone_that_the_file_tells_is_found(case: str, tmp_path: Path) -> None:
    header, time, zone = ZONES[case]
    file = tmp_path / "bars.csv"
    file.write_text(f"{header},open,high,low,close\n{time},1,1,1,1\n", encoding="utf-8")
    assert guess_shape(file).timezone == zone


def test_metatraders_own_seconds_count_on_the_brokers_clock_and_ask_for_it(tmp_path: Path) -> None:
    file = tmp_path / "rates.csv"
    file.write_text(
        "time,open,high,low,close,tick_volume,spread,real_volume\n1704153600,1,1,1,1,5,1,0\n", encoding="utf-8"
    )
    assert guess_shape(file).timezone is None


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts bytes as Linux does")
def test_only_the_edges_and_some_stretches_of_a_large_file_are_looked_at(tmp_path: Path) -> None:
    file = dated(tmp_path, hours_of("1950-01-01", "2024-12-31", DAY_FIRST))
    before = bytes_read()
    assert guess_shape(file).time_format == DAY_FIRST
    assert bytes_read() - before < file.stat().st_size / 50


def bytes_read() -> int:
    """How many bytes this process has read so far."""
    counters = Path("/proc/self/io").read_text(encoding="ascii")
    return int(counters.split("rchar: ")[1].split()[0])
