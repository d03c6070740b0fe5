"""Reports of MetaTrader 5 read into statistics, deals and trades, whichever of its files they come in.

`read_report` tells a file by its content, never by its name: the Strategy Tester's HTML, an optimisation or its
forward part as XML, an account's history as HTML or CSV, a list of deals as CSV, and what our Expert Advisor exports
as JSON. What is read is held against the report's own sums. Nothing in a file is run, fetched or expanded, and its
size is bounded.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

import pandas as pd

from core.errors import InputError
from market.symbols import AssetClass, Symbol, symbol_of
from mql5.files.clock import ServerClock
from mql5.files.deal_pairs import TRADE_COLUMNS, pair_deals, trades_of_positions
from mql5.files.report_content import DEAL_COLUMNS, Content, ReportKind, decoded, empty_deals
from mql5.files.report_tables import read_tables
from mql5.files.report_totals import check_totals
from mql5.files.reports_html import csv_rows, html_rows, html_title
from mql5.files.reports_json import read_json
from mql5.files.reports_xml import read_xml

__all__ = ["DEAL_COLUMNS", "TRADE_COLUMNS", "Report", "ReportKind", "read_report"]

_HEAD = 2_000  # characters in which a file says what it is


@dataclass(frozen=True)
class Report:
    """One report, read.

    `settings` are texts of its head: `expert symbol timeframe first last currency deposit leverage server build
    account`, as far as it tells them; dates are the broker's. `statistics` are figures by the report's labels
    (`total_net_profit`; `_pct` 0–100, `_seconds`); where `statistics_computed` the file had none and they
    were made of its trades. `deals` have `DEAL_COLUMNS`, with the server's `time`, and with a clock `time_utc`.
    `trades` have `TRADE_COLUMNS`, in units and net of costs; their times are aware UTC with a clock, else the server's
    without a zone. `passes` are those of an optimisation, a row each, and its statistics and inputs those of the first.
    `totals_agree` is None where the file has no sum to hold it against; `problems` says in sentences what does not
    agree or was left out.
    """

    kind: ReportKind
    name: str
    sha256: str
    settings: dict[str, str]
    statistics: dict[str, float | str]
    inputs: dict[str, str]
    deals: pd.DataFrame
    trades: pd.DataFrame
    totals_agree: bool | None
    problems: list[str] = field(default_factory=list)
    passes: pd.DataFrame | None = None
    statistics_computed: bool = False

    @property
    def symbols(self) -> list[str]:
        """The symbols traded, as the broker spells them."""
        found = sorted({str(symbol) for symbol in self.trades["symbol"]})
        return found or ([self.settings["symbol"]] if "symbol" in self.settings else [])


def read_report(
    content: bytes,
    name: str = "",
    *,
    clock: ServerClock | None = None,
    contract_sizes: Mapping[str, float] | None = None,
) -> Report:
    """The report in `content`; `name` is kept and not read.

    `contract_sizes` gives the units in one lot by the broker's symbol where they differ from `market.symbols`.
    Raises InputError when it is none of the reports known, in another language, cut off, damaged or too large.
    """
    found = _read(decoded(content))
    units = _units_per_lot(contract_sizes or {})
    deals = found.deals if found.deals is not None else empty_deals()
    problems: list[str] = []
    if found.positions is not None:
        trades = trades_of_positions(found.positions, units)
    else:
        trades, problems = pair_deals(deals, units, _quotes_in(found.settings.get("currency", "")))
    agree, disagreements = check_totals(found)
    computed = not any(isinstance(value, float) for value in found.statistics.values())
    return Report(
        kind=found.kind,
        name=name,
        sha256=hashlib.sha256(content).hexdigest(),
        settings=found.settings,
        statistics=found.statistics | _statistics(trades) if computed else found.statistics,
        inputs=found.inputs,
        deals=deals if clock is None else deals.assign(time_utc=clock.to_utc(pd.DatetimeIndex(deals["time"]))),
        trades=trades if clock is None else _in_utc(trades, clock),
        totals_agree=agree,
        problems=[*disagreements, *problems, *_unknown_sizes(trades, contract_sizes or {})],
        passes=found.passes,
        statistics_computed=computed,
    )


def _read(text: str) -> Content:
    """The content of a report by what its text begins with."""
    head = text[:_HEAD].lstrip().casefold()
    if head.startswith(("<date>", ";", "[tester]")):
        raise InputError("The file holds bars, ticks or settings, no report.", "Choose a report of MetaTrader 5.")
    if head.startswith(("{", "[")):
        return read_json(text)
    if head.startswith("<?xml") or "<workbook" in head:
        return read_xml(text)
    if "<html" in head or head.startswith("<!doctype html"):
        title = html_title(text[:_HEAD])
        _refuse_metatrader_4(title)
        return read_tables(html_rows(text), title)
    return read_tables(csv_rows(text))


def _refuse_metatrader_4(title: str) -> None:
    if title.casefold().startswith("strategy tester:"):
        raise InputError("The report is MetaTrader 4's.", "Only reports of MetaTrader 5 are read.")


def _units_per_lot(contract_sizes: Mapping[str, float]) -> Callable[[str], float]:
    for symbol, size in contract_sizes.items():
        if not (math.isfinite(size) and size > 0):
            raise InputError(f"The contract size of {symbol} is {size!r}.", "Give the units in one lot, above 0.")

    @cache
    def units(symbol: str) -> float:
        known = _symbol(symbol)
        return contract_sizes.get(symbol, known.contract_size if known else 1.0)

    return units


def _symbol(text: str) -> Symbol | None:
    """What is known of a broker's symbol; None for spellings that no symbol of ours has (`#AAPL`, `EURUSD+`)."""
    try:
        return symbol_of(text)
    except InputError:
        return None


def _unknown_sizes(trades: pd.DataFrame, contract_sizes: Mapping[str, float]) -> list[str]:
    """A sentence where the units in a lot are a guess."""
    guessed = []
    for symbol in sorted(set(trades["symbol"]) - set(contract_sizes)):
        known = _symbol(symbol)
        if known is None or known.asset_class is AssetClass.OTHER:
            guessed.append(symbol)
    if not guessed:
        return []
    return [f"The units in a lot of {', '.join(guessed)} are not known; sizes are given in lots."]


def _quotes_in(currency: str) -> Callable[[str], bool]:
    @cache
    def quotes(symbol: str) -> bool:
        known = _symbol(symbol)
        return known is not None and known.quote == currency

    return quotes


def _in_utc(trades: pd.DataFrame, clock: ServerClock) -> pd.DataFrame:
    return trades.assign(**{name: clock.to_utc(pd.DatetimeIndex(trades[name])) for name in ("entry_time", "exit_time")})


def _statistics(trades: pd.DataFrame) -> dict[str, float | str]:
    """The figures that closed trades give, by the names that a tester's report uses; profits are net of costs."""
    closed = trades[trades["exit_time"].notna()]
    profit = closed["pnl"].astype("float64")
    won, lost = float(profit[profit > 0].sum()), float(profit[profit < 0].sum())
    found: dict[str, float | str] = {
        "total_net_profit": won + lost,
        "gross_profit": won,
        "gross_loss": lost,
        "total_trades": float(len(closed)),
        "short_trades": float((closed["side"] == "short").sum()),
        "long_trades": float((closed["side"] == "long").sum()),
        "profit_trades": float((profit > 0).sum()),
        "loss_trades": float((profit <= 0).sum()),
    }
    if len(closed):
        found["expected_payoff"] = (won + lost) / len(closed)
    if lost < 0:
        found["profit_factor"] = won / -lost
    return found
