"""Rows of a report sorted into what they are: settings, inputs, figures, deals, positions.

The tables are known by the names of their columns, not by where they stand, so that the Strategy Tester's
report, an account's history and a bare list of deals are read by the same code, whether they came as HTML or CSV. The
names are those of an English terminal; a report in another language is refused with the way to an English one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import pandas as pd

from core.errors import InputError
from mql5.files.report_content import (
    POSITION_COLUMNS,
    Content,
    ReportKind,
    deals_frame,
    is_time,
    number,
    refuse_empty_trades,
    ticket,
    times,
)

Rows = list[list[str]]
Columns = dict[str, list[str] | list[int] | list[float]]

_DEAL_NAMES = {
    "time": "time",
    "deal": "deal",
    "symbol": "symbol",
    "type": "type",
    "direction": "direction",
    "volume": "lots",
    "price": "price",
    "order": "order",
    "position": "position",
    "commission": "commission",
    "fee": "fee",
    "swap": "swap",
    "profit": "profit",
    "balance": "balance",
    "comment": "comment",
}
_DEALS_NEEDED = ("time", "deal", "symbol", "type", "direction", "volume", "price", "profit")
_POSITIONS_NEEDED = ("time", "position", "symbol", "type", "volume", "price", "profit")
_WORDS = {"symbol", "type", "direction", "comment"}
_TICKETS = {"deal", "order", "position"}
_DIRECTIONS = {"in", "out", "in/out", "out by"}
_SETTING_NAMES = {
    "expert": "expert",
    "symbol": "symbol",
    "period": "period",
    "company": "company",
    "currency": "currency",
    "initial deposit": "deposit",
    "leverage": "leverage",
    "name": "name",
    "account": "account",
    "date": "date",
}
_VALUE = re.compile(r"(?P<first>[^()]*?)(?P<percent>%?)\s*(?:\((?P<second>[^()%]*)(?P<second_percent>%?)\))?")
_DURATION = re.compile(r"(\d{1,6}):(\d\d):(\d\d)")
_LABEL = re.compile(r"(?P<name>[^()]*)(?:\((?P<hint>[^()]*)\))?")
_PERIOD = re.compile(r"(\S+)\s*\((\d{4}\.\d\d\.\d\d)\s*-\s*(\d{4}\.\d\d\.\d\d)\)")
_ACCOUNT = re.compile(r"[^()]*\(([A-Z]{3})\b[^()]*\)")
_BUILD = re.compile(r"(.*)\(Build (\d{1,6})\)")
_PART_OF_A_TIME = re.compile(r"\d[\d.:]*(?: [\d.:]*)?")
_FIGURE_LIMIT = 100  # characters
_MOST_OF_A_HEADING = 6  # cells; a row of figures has three labels with their values
_LANGUAGE_CURE = "Set the terminal to English (View, Languages), restart it and save the report again."


def read_tables(rows: Rows, title: str = "") -> Content:
    """The report that the rows make up. Raises InputError when they hold no table of MetaTrader's, or a damaged one."""
    found = Content(ReportKind.HISTORY)
    others: Rows = []
    at = 0
    while at < len(rows):
        names = [cell.casefold() for cell in rows[at]]
        if _has(names, _DEALS_NEEDED) and "state" not in names:
            found.deals, end = _deals(rows, at, found)
        elif _has(names, _POSITIONS_NEEDED) and names.count("time") == 2 and names.count("price") == 2:
            found.positions, end = _positions(rows, at)
        elif "order" in names and "state" in names and "symbol" in names:
            end = _table_end(rows, at)
        else:
            others.append(rows[at])
            end = at + 1
        at = end
    is_tester = title.casefold() == "strategy tester report" or any("Strategy Tester Report" in row for row in others)
    if found.deals is None and found.positions is None:
        _refuse(rows, is_tester)
    _add_figures(others, found)
    if is_tester:
        found.kind = ReportKind.TESTER
    elif not any(any(row) for row in others):
        found.kind = ReportKind.DEALS
    return found


def _refuse(rows: Rows, is_tester: bool) -> None:
    """Say why no table was found."""
    if is_tester:
        raise InputError("The tester's report has no table of deals.", "It was cut; save it from MetaTrader again.")
    for before, row in pairwise(rows):
        if row and is_time(row[0]) and any(before):
            said = ", ".join(cell for cell in before if cell)[:120]
            raise InputError(f"The columns {said} are not known.", _LANGUAGE_CURE)
    raise InputError(
        "The file holds no deals or positions of MetaTrader 5.",
        "Choose a report of the Strategy Tester, an account history or a list of deals, in English.",
    )


def _has(names: Sequence[str], needed: Sequence[str]) -> bool:
    return set(needed) <= set(names)


def _table_end(rows: Rows, header: int) -> int:
    """Behind the last row of a table, whose rows begin with a time."""
    end = header + 1
    while end < len(rows) and rows[end] and is_time(rows[end][0]):
        end += 1
    return end


def _checked_rows(rows: Rows, header: int, what: str) -> tuple[Rows, int]:
    """The rows of a table and where it ends. Raises InputError for one that has more or fewer cells than the header."""
    end = _table_end(rows, header)
    table = rows[header + 1 : end]
    width = len(rows[header])
    for line, row in enumerate(table, 1):
        if len(row) != width:
            raise InputError(
                f"Row {line} of the {what} has {len(row)} cells, the header {width}.",
                "The file was cut or edited; save it again.",
            )
    follower = rows[end] if end < len(rows) and rows[end] else [""]
    # Headings are words, totals have an empty first cell: this is a row whose time is damaged or cut.
    is_row = len(follower) == width and sum(map(bool, follower)) > _MOST_OF_A_HEADING
    is_header = "time" in {cell.casefold() for cell in follower}
    if follower[0] and not is_header and (is_row or _PART_OF_A_TIME.fullmatch(follower[0])):
        raise InputError(
            f"Row {len(table) + 1} of the {what} begins with {follower[0][:40]!r}, which is no time.",
            "The file was cut or edited; save it again.",
        )
    return table, end


def _columns(table: Rows, names: list[str], known: dict[str, str], what: str) -> Columns:
    """The cells of each known column, as text or as numbers."""
    columns: Columns = {}
    for at, name in enumerate(names):
        column = known.get(name)
        if column is None or column == "time":
            continue
        cells = [row[at] for row in table]
        if column in _WORDS:
            columns[column] = cells
        elif column in _TICKETS:
            columns[column] = [
                ticket(cell, f"{name} in row {line} of the {what}") for line, cell in enumerate(cells, 1)
            ]
        else:
            columns[column] = [
                number(cell, f"{name} in row {line} of the {what}") for line, cell in enumerate(cells, 1)
            ]
    return columns


def _deals(rows: Rows, header: int, found: Content) -> tuple[pd.DataFrame, int]:
    names = [cell.casefold() for cell in rows[header]]
    table, end = _checked_rows(rows, header, "deals")
    columns = _columns(table, names, _DEAL_NAMES, "deals")
    moments = times([row[names.index("time")] for row in table], "the table of deals")
    deals = deals_frame(columns, moments)
    deals["type"] = deals["type"].str.casefold()
    deals["direction"] = deals["direction"].str.casefold()
    traded = deals["type"].isin(["buy", "sell"])
    wrong = traded & ~deals["direction"].isin(_DIRECTIONS)
    is_canceled = deals["type"].str.endswith("canceled")
    wrong |= ~traded & ~is_canceled & (deals["symbol"] != "") & deals["direction"].isin(_DIRECTIONS)
    if wrong.any():
        deal = deals[wrong].iloc[0]
        raise InputError(
            f"Deal {deal['deal']} is {deal['type']!r}, {deal['direction']!r}; deals buy or sell, in or out.",
            _LANGUAGE_CURE,
        )
    refuse_empty_trades(deals)
    if "balance" in names:
        # An empty cell is no balance of nothing.
        at = names.index("balance")
        deals.loc[[not row[at].strip() for row in table], "balance"] = float("nan")
    if end < len(rows) and len(rows[end]) == len(names) and not rows[end][0] and any(rows[end]):
        for name in ("commission", "fee", "swap", "profit", "balance"):
            if name in names and rows[end][names.index(name)]:
                found.totals[name] = number(rows[end][names.index(name)], f"{name} in the last row of the deals")
        end += 1
    return deals, end


def _positions(rows: Rows, header: int) -> tuple[pd.DataFrame, int]:
    """The closed positions; the second time and price are those of the exit."""
    names = [cell.casefold() for cell in rows[header]]
    table, end = _checked_rows(rows, header, "positions")
    known = {"symbol": "symbol", "type": "type", "position": "position", "volume": "lots", "price": "entry_price"}
    known |= {name: name for name in ("commission", "fee", "swap", "profit")}
    second = {name: len(names) - 1 - names[::-1].index(name) for name in ("time", "price")}
    first = [name if at not in second.values() else "" for at, name in enumerate(names)]
    columns = _columns(table, first, known, "positions")
    exit_cells = [row[second["price"]] for row in table]
    columns["exit_price"] = [
        number(cell, f"price of the exit in row {line}") for line, cell in enumerate(exit_cells, 1)
    ]
    positions = pd.DataFrame({name: columns.get(name, [0.0] * len(table)) for name in POSITION_COLUMNS})
    for name, at in (("entry_time", names.index("time")), ("exit_time", second["time"])):
        positions[name] = times([row[at] for row in table], "the table of positions")
    positions["type"] = positions["type"].astype(object).str.casefold() if len(table) else ""
    backward = positions["exit_time"] < positions["entry_time"]
    if backward.any():
        row = positions[backward].iloc[0]
        raise InputError(
            f"Position {row['position']:.0f} ends at {row['exit_time']}, before it begins at {row['entry_time']}.",
            "The file was damaged or edited; save it again.",
        )
    wrong = ~positions["type"].isin(["buy", "sell"])
    if wrong.any():
        row = positions[wrong].iloc[0]
        raise InputError(f"Position {row['position']:.0f} is {row['type']!r}, not buy or sell.", _LANGUAGE_CURE)
    return positions, end


def _add_figures(rows: Rows, found: Content) -> None:
    """Labels end with a colon, their value follows; below `Inputs:` every row is an input or a group's heading."""
    is_input = False
    for row in rows:
        cells = [cell for cell in row if cell]
        if row and cells and (row[0] or is_input):
            is_input = row[0].casefold() == "inputs:" or (is_input and not row[0])
            if is_input:
                name, equals, value = cells[-1].partition("=")
                if equals and name.strip() and not name.startswith("="):
                    found.inputs[name.strip()] = value
                continue
        if len(cells) == 1 and (build := _BUILD.fullmatch(cells[0])):
            found.settings |= {"server": build[1].strip(), "build": build[2]}
        _add_labelled(cells, found)
    _tidy(found.settings)
    if period := _PERIOD.fullmatch(found.settings.get("period", "")):
        found.settings |= {"timeframe": period[1], "first": period[2], "last": period[3]}


def _tidy(settings: dict[str, str]) -> None:
    """Settings in the form that the other reports give them: 10000.00, 100, the currency of an account."""
    if "deposit" in settings:
        settings["deposit"] = f"{number(settings['deposit'], 'Initial Deposit'):.15g}"
    if "leverage" in settings:
        settings["leverage"] = settings["leverage"].removeprefix("1:")
    if "currency" not in settings and (found := _ACCOUNT.fullmatch(settings.get("account", ""))):
        settings["currency"] = found[1]


def _add_labelled(cells: list[str], found: Content) -> None:
    label = ""
    for at, cell in enumerate(cells):
        if cell.endswith(":") and (not label or at + 1 < len(cells)):
            label = cell[:-1].strip()
        elif label:
            if (name := _SETTING_NAMES.get(label.casefold())) and name not in found.settings:
                found.settings[name] = cell
            elif snake(label):
                found.statistics |= figures(label, cell)
            label = ""


def snake(text: str) -> str:
    """A label as a name: `Total Net Profit` → `total_net_profit`, `Equity DD %` → `equity_dd_pct`."""
    return re.sub(r"[^a-z0-9]+", "_", text.casefold().replace("%", " pct ")).strip("_")


def figures(label: str, value: str) -> dict[str, float | str]:
    """What one label and its value say: `51.87 (0.52%)` are two figures, the second named for its unit.

    Percent are 0–100, times of holding seconds. What is no number stays text.
    """
    parts = _LABEL.fullmatch(label)
    hint = (parts["hint"] or "") if parts else ""
    is_name = "," in hint  # Correlation (Profits,MFE)
    name = snake(label if is_name or parts is None else parts["name"])
    if spent := _DURATION.fullmatch(value):
        hours, minutes, seconds = (int(part) for part in spent.groups())
        return {f"{name.removesuffix('_time')}_seconds": float(hours * 3600 + minutes * 60 + seconds)}
    found = _VALUE.fullmatch(value) if len(value) <= _FIGURE_LIMIT else None
    if found is None:
        return {name: value}
    try:
        first = number(found["first"], label)
        second = None if found["second"] is None else number(found["second"], label)
    except InputError:
        return {name: value}
    result: dict[str, float | str] = {f"{name}_pct" if found["percent"] else name: first}
    if second is not None:
        own = _hint_name(hint if not is_name else "")
        unit = own or ("pct" if found["second_percent"] else "")
        key = f"{name}_{unit}" if unit else name
        result[f"{name}_second" if key in result else key] = second
    return result


def _hint_name(hint: str) -> str:
    """What the label says of the figure in brackets: `won %`, `% of total`, `$`, `count`."""
    if hint == "$":
        return "money"
    return "won_pct" if hint.startswith("won") else "pct" if "%" in hint else snake(hint)
