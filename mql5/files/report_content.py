"""What a report of MetaTrader holds before anything is concluded from it, and its numbers and times as values.

Numbers have a decimal point and a space, no-break space or apostrophe between thousands; times are the server's,
`YYYY.MM.DD HH:MM:SS`. A report is bounded, because it may come from anywhere: `LIMIT_BYTES` for the whole,
`CELL_LIMIT` characters for a cell, `ROWS_LIMIT` rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import pandas as pd

from core.errors import InputError

LIMIT_BYTES = 64 * 1024 * 1024
CELL_LIMIT = 4_000
ROWS_LIMIT = 400_000
# Of every table of deals: `time` by the server's clock, `type` buy, sell, balance …, `direction` in, out, in/out,
# out by or empty, `lots`, money in the account's currency (commission and fee negative when paid), `position` the
# ticket where the file tells it, else 0.
DEAL_COLUMNS = (
    "time",
    "deal",
    "symbol",
    "type",
    "direction",
    "lots",
    "price",
    "order",
    "position",
    "commission",
    "fee",
    "swap",
    "profit",
    "balance",
    "comment",
)
# Of every table of closed positions, as MetaTrader's history lists them.
POSITION_COLUMNS = (
    "entry_time",
    "position",
    "symbol",
    "type",
    "lots",
    "entry_price",
    "exit_time",
    "exit_price",
    "commission",
    "fee",
    "swap",
    "profit",
)
_NUMBER = re.compile(r"[+-]?\d[\d \u00a0\u2009\u202f']*(?:\.\d+)?|[+-]?\.\d+")
_SPACES = str.maketrans("", "", " \u00a0\u2009\u202f'")
_TIME = re.compile(r"\d{4}\.\d\d\.\d\d(?: \d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?)?")
_TIME_FORMS = ("%Y.%m.%d %H:%M:%S", "%Y.%m.%d %H:%M:%S.%f", "%Y.%m.%d %H:%M", "%Y.%m.%d")
_DIGITS_LIMIT = 60
_TICKET = re.compile(r"\d{1,18}")


class ReportKind(StrEnum):
    """Which of MetaTrader's reports a file is."""

    TESTER = "tester"
    OPTIMIZATION = "optimization"
    FORWARD = "forward"
    HISTORY = "history"
    DEALS = "deals"
    EXPORT = "export"


@dataclass
class Content:
    """A report as it was read: texts of its head, figures, inputs, and its tables.

    `totals` are the sums printed under the deals. Where the report lists `positions`, they are its trades.
    """

    kind: ReportKind
    settings: dict[str, str] = field(default_factory=dict)
    statistics: dict[str, float | str] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    deals: pd.DataFrame | None = None
    positions: pd.DataFrame | None = None
    passes: pd.DataFrame | None = None
    totals: dict[str, float] = field(default_factory=dict)


def decoded(content: bytes) -> str:
    """The text of a report: UTF-16 with or without its mark, UTF-8, or Windows-1252.

    Raises InputError when it is empty, larger than `LIMIT_BYTES`, cut within a character, or no text.
    """
    if len(content) > LIMIT_BYTES:
        raise InputError(
            f"The file has {len(content):,} bytes, more than the {LIMIT_BYTES:,} that are read.",
            "Save a shorter range of time.",
        )
    if content.startswith(b"PK\x03\x04"):
        raise InputError("The file is an Open XML workbook.", "Save the report as HTML, not as XLSX.")
    text = _text(content).rstrip("\0")
    if not text.strip():
        raise InputError("The file is empty.", "Save the report from MetaTrader again.")
    if "\0" in text:
        raise InputError("The file is no text.", "Choose a report that MetaTrader saved as HTML, XML, CSV or JSON.")
    return text


def _text(content: bytes) -> str:
    encodings = ["utf-8", "cp1252"]
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig")):
        if content.startswith(mark):
            encodings = [encoding]
    if content[1:2] == b"\0" and content[:1] != b"\0":
        encodings = ["utf-16-le"]  # an editor dropped the mark
    reason = ""
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError as error:
            reason = f"The file is no {encoding} text from byte {error.start} of {len(content)} on."
    raise InputError(reason, "It was cut or damaged; save the report from MetaTrader again.")


def is_time(text: str) -> bool:
    """Whether a cell holds a time as MetaTrader writes it."""
    return _TIME.fullmatch(text) is not None


def number(text: str, where: str) -> float:
    """A number as reports print it; an empty cell is 0. Raises InputError naming `where` it stands."""
    bare = text.strip()
    if not bare:
        return 0.0
    if len(bare) <= _DIGITS_LIMIT and _NUMBER.fullmatch(bare):
        found = float(bare.translate(_SPACES))
        if math.isfinite(found):
            return found
    raise InputError(f"{where} is {text[:60]!r}, which is no number.", "The file was damaged or edited; save it again.")


def ticket(text: str, where: str) -> int:
    """The number of a deal, order or position; an empty cell is 0. Raises InputError naming `where` it stands."""
    bare = text.strip()
    if bare and not (bare.isascii() and _TICKET.fullmatch(bare)):
        raise InputError(
            f"{where} is {text[:60]!r}, which is no ticket.", "The file was damaged or edited; save it again."
        )
    return int(bare or 0)


def times(texts: list[str], where: str) -> pd.DatetimeIndex:
    """Cells as times of the server's clock, without a zone. Raises InputError naming the first that is none."""
    left = pd.Series(texts, dtype=object)
    found = pd.Series(pd.NaT, index=left.index, dtype="datetime64[us]")
    for form in _TIME_FORMS:
        missing = found.isna()
        if not missing.any():
            break
        read = pd.to_datetime(left[missing], format=form, errors="coerce").astype("datetime64[us]")
        found[missing] = read
    if found.isna().any():
        wrong = texts[int(found.isna().to_numpy().argmax())]
        raise InputError(f"{where} holds the time {wrong[:40]!r}.", "Times are written as 2026.11.02 10:00:01.")
    return pd.DatetimeIndex(found)


def empty_deals() -> pd.DataFrame:
    """No deals, with the columns and types of some."""
    return deals_frame({name: [] for name in DEAL_COLUMNS if name != "time"}, pd.DatetimeIndex([]))


def deals_frame(columns: Mapping[str, Sequence[str] | Sequence[float]], moments: pd.DatetimeIndex) -> pd.DataFrame:
    """Deals of the given columns in the form of `DEAL_COLUMNS`; what a file does not tell is 0, a balance NaN."""
    words = {"symbol", "type", "direction", "comment"}
    found: dict[str, object] = {"time": moments.as_unit("us")}
    for name in DEAL_COLUMNS[1:]:
        given = columns.get(name)
        if name in words:
            found[name] = pd.Series(given if given is not None else [""] * len(moments), dtype=object)
        elif name in {"deal", "order", "position"}:
            values = given if given is not None else [0] * len(moments)
            found[name] = pd.Series([int(value) for value in values], dtype="int64")
        else:
            missing = math.nan if name == "balance" else 0.0
            found[name] = pd.Series(given if given is not None else [missing] * len(moments), dtype="float64")
    return pd.DataFrame(found)


def refuse_empty_trades(deals: pd.DataFrame) -> None:
    """Raise InputError when a deal that buys or sells has no lots or no price."""
    traded = deals["type"].isin(["buy", "sell"])
    wrong = traded & ~((deals["lots"] > 0) & (deals["price"] > 0))
    if wrong.any():
        deal = deals[wrong].iloc[0]
        raise InputError(
            f"Deal {deal['deal']} is of {deal['lots']:g} lots at {deal['price']:g}.",
            "Both are above 0; the file was damaged or edited, save it again.",
        )
