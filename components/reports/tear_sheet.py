"""A stored run as one HTML file with interactive charts, for a reader who has neither Sequence nor a network.

Everything stands in the file, plotly.js included, and its content security policy lets the browser load nothing else
and run no script but the two written here, whatever text a run carries; what came from outside is escaped all the
same. The same run gives the same file.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from components.charts.equity import equity_figure
from components.charts.results import edge_figure, groups_figure, months_figure
from components.numbers import DASH, number, percent, ratio, stamp
from core.errors import SequenceError
from core.settings import current_settings
from core.version import __version__
from execution.breakdowns import MONTHS, YEAR, breakdown, monthly_returns
from execution.cost_edge import booked_rates, cost_edge
from execution.drawdowns import worst_drawdowns
from execution.metrics import ENOUGH_TRADES, METRICS, drawdown
from execution.runs import StoredRun
from market.symbols import symbol_of

_WORST = 5
_STYLE = Path(__file__).with_name("tear_sheet.css")
_SCRIPT = Path(__file__).with_name("tear_sheet.js")
_GROUPS = {
    "weekday": "By weekday of entry, trading days",
    "session": "By session of entry",
    "side": "By side",
    "exit_reason": "By exit",
    "hour": "By hour of entry, UTC",
}
_SIGNED = {"total_return", "net_profit", "cagr_pct", "expectancy", "average_pips", "swaps"}
_WHOLE_UNITS = {"trades", "days"}


@dataclass(frozen=True)
class _Chart:
    """A figure and the id of the element that it is drawn into."""

    id: str
    figure: go.Figure


def tear_sheet(
    run: StoredRun,
    trades: pd.DataFrame,
    equity: pd.Series,
    *,
    closes: pd.Series | None = None,
    ledger: str = "",
    marks: Sequence[str] = (),
) -> str:
    """The file of a run with its trades and its equity at each bar's close.

    `closes` are those of the symbol at the same bars, for buy and hold, None where the dataset is gone. `ledger` is
    the sentence of the trial ledger, `marks` are words that the run must wear, such as "sample data".
    """
    charts: list[_Chart] = []
    sections = [
        _equity_section(run, equity, closes, charts),
        _edge_section(run, trades, charts),
        _months_section(run, equity, charts),
        _groups_section(run, trades, charts),
        _drawdowns_section(equity),
        _statistics_section(run),
        _settings_section(run),
        _fills_section(run),
        _library_section(run),
    ]
    return _page(run, [_head_section(run, ledger, marks), *sections], charts)


def _page(run: StoredRun, sections: Iterable[str], charts: Sequence[_Chart]) -> str:
    # Line ends as an HTML parser reads them: the policy counts the scripts' bytes.
    scripts = [get_plotlyjs().replace("\r\n", "\n"), _SCRIPT.read_text(encoding="utf-8")]
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    title = escape(f"{run.run_id} · {run.strategy_name} on {run.symbol} {run.timeframe}")
    return "\n".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>",
            f"<style>\n{_STYLE.read_text(encoding='utf-8')}</style>",
            "</head>\n<body>\n<main>",
            *sections,
            "</main>",
            f'<script type="application/json" id="charts">{_drawn(charts)}</script>',
            *(f"<script>{script}</script>" for script in scripts),
            "</body>\n</html>\n",
        )
    )


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _drawn(charts: Sequence[_Chart]) -> str:
    """The figures as JSON that no HTML parser takes for anything else."""
    figures = [{"id": chart.id, **json.loads(chart.figure.to_json())} for chart in charts]
    text = json.dumps(figures, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _head_section(run: StoredRun, ledger: str, marks: Sequence[str]) -> str:
    version = "" if run.strategy_version is None else f" version {run.strategy_version}"
    chips = [
        *(f'<span class="chip mark">{escape(mark)}</span>' for mark in marks),
        f'<span class="chip">{escape(run.engine)}</span>',
        f'<span class="chip">dataset {escape(run.dataset_hash[:8])}</span>',
        *(f'<span class="chip tag">{escape(tag)}</span>' for tag in run.tags),
    ]
    span = f"{stamp(run.first_time)} to {stamp(run.last_time)} UTC"
    parts = [
        f"<header><h1>{escape(run.run_id)}</h1><p>{' '.join(chips)}</p></header>",
        f"<p>{escape(run.strategy_name + version)} on {escape(f'{run.symbol} {run.timeframe}')}, "
        f"{number(run.bars)} bars, {escape(span)}</p>",
    ]
    if run.note:
        parts.append(f'<p class="note">{escape(run.note)}</p>')
    parts.append(_tiles(run))
    if ledger:
        parts.append(f'<p class="ledger">{escape(ledger)}</p>')
    return "\n".join(parts)


def _tiles(run: StoredRun) -> str:
    currency, figures = run.currency, run.metrics
    won = f"{percent(run.win_rate)} won" if run.trades_count else "no trade"
    tiles = (
        ("net_profit", f"Net result, {currency}", percent(run.total_return, sign=True)),
        ("sharpe_ratio", "Sharpe", "daily, per year"),
        ("max_drawdown", "Drawdown, %", f"{number(figures.get('max_drawdown_days'))} days under water"),
        ("expectancy", f"Per trade, {currency}", f"n = {number(run.trades_count)} trades"),
        ("profit_factor", "Profit factor", won),
        ("exposure_pct", "Time in market, %", f"{number(run.bars)} bars"),
    )
    shown = (
        f'<div class="tile" title="{escape(METRICS[name].formula)}"><span>{escape(label)}</span>'
        f"<strong>{escape(_value(run, name))}</strong><small>{escape(context)}</small></div>"
        for name, label, context in tiles
    )
    return f'<div class="tiles">{"".join(shown)}</div>'


def _equity_section(run: StoredRun, equity: pd.Series, closes: pd.Series | None, charts: list[_Chart]) -> str:
    points = current_settings().display.chart_points
    held = None if closes is None else run.cash * closes / closes.iloc[0]
    figure = equity_figure(
        equity,
        drawdown(equity),
        name=run.run_id,
        currency=escape(run.currency),
        points=points,
        benchmark=held,
        height=420,
    )
    drawn = f"drawn {number(min(points, len(equity)))} of {number(len(equity))} points, extremes kept · UTC"
    gone = "" if held is not None else " · buy and hold is not drawn, its dataset is not there"
    return _card("Equity and drawdown", drawn + gone, _placed(charts, "equity", figure))


def _edge_section(run: StoredRun, trades: pd.DataFrame, charts: list[_Chart]) -> str:
    title, caption = "Cost to edge", f"pips a trade, weighted by size · {number(run.trades_count)} trades"
    if trades.empty:
        return _card(title, caption, "<p>This run made no trade, so there is no edge to hold against costs.</p>")
    pip = symbol_of(run.symbol).pip
    try:
        known = trades.fillna({"spread_pips": run.settings["spread_pips"]})
        edge = cost_edge(known, pip=pip, rate=booked_rates(trades, pip))
    except SequenceError as error:
        return _card(title, caption, f"<p>It cannot be told: {escape(error.what)}</p>")
    words = f"<p>Gross edge {number(edge.gross, 1, sign=True)} pips. {escape(edge.sentence())}</p>"
    return _card(title, caption, _placed(charts, "edge", edge_figure(edge)) + words)


def _months_section(run: StoredRun, equity: pd.Series, charts: list[_Chart]) -> str:
    table = monthly_returns(equity, run.cash, symbol_of(run.symbol).asset_class)
    figure = months_figure(table[[*MONTHS, YEAR]], unit="%")
    return _card("Net by month, %", "trading days that end 17:00 New York", _placed(charts, "months", figure))


def _groups_section(run: StoredRun, trades: pd.DataFrame, charts: list[_Chart]) -> str:
    if trades.empty:
        return ""
    parts = []
    for by, title in _GROUPS.items():
        table = breakdown(trades, by, symbol_of(run.symbol).asset_class)
        # Plotly reads tags in the names of categories.
        named = table.set_axis([escape(str(name)) for name in table.index])
        figure = groups_figure(named[named["trades"] > 0], unit="pips")
        # On paper a bar may be too short for its words, and beside it they would run into the names.
        names = [f"{name}  {words}" for name, words in zip(figure.data[0].y, figure.data[0].text, strict=True)]
        figure.update_traces(y=names, textposition="none", hovertemplate="%{y} pips<extra></extra>")
        parts.append(f"<div><h3>{escape(title)}</h3>{_placed(charts, f'by_{by}', figure)}</div>")
    caption = "mean pips a trade, after the spread · groups of few trades say little"
    return _card("Breakdown", caption, f'<div class="pair">{"".join(parts)}</div>')


def _drawdowns_section(equity: pd.Series) -> str:
    episodes = worst_drawdowns(equity, _WORST)
    title, caption = "Worst drawdowns", f"the {_WORST} deepest, close to close · times UTC"
    if episodes.empty:
        return _card(title, caption, "<p>Equity never fell below an earlier high.</p>")
    cells: list[list[str]] = [
        [number(value, 2) for value in episodes["depth_pct"]],
        [number(value, 2) for value in episodes["depth_money"]],
        *([_time(moment) for moment in episodes[name]] for name in ("start", "trough", "recovery")),
        [number(value) for value in episodes["days"]],
    ]
    header = ("Depth, %", "Depth in money", "From", "Lowest", "Recovered", "Days")
    return _card(title, caption, _table(header, zip(*cells, strict=True), right=(0, 1, 5)))


def _statistics_section(run: StoredRun) -> str:
    rows = [
        (each.title, _value(run, name), run.currency if each.unit == "money" else each.unit, each.formula, each.source)
        for name, each in METRICS.items()
    ]
    header = ("Statistic", "Value", "Unit", "Formula", "Source")
    caption = "daily figures on trading days that end 17:00 New York, risk-free rate 0"
    few = f"<p>Ratios show the count below {ENOUGH_TRADES} trades, where they say little.</p>"
    return _card("Statistics", caption, _table(header, rows, right=(1,), short=(2,)) + few)


def _settings_section(run: StoredRun) -> str:
    settings = run.settings
    rows: list[tuple[str, str]] = [
        ("Strategy", run.strategy_name),
        ("Strategy version", DASH if run.strategy_version is None else str(run.strategy_version)),
        *((f"Parameter {name}", str(value)) for name, value in settings["parameters"].items()),
        ("Cash", f"{number(run.cash, 2)} {run.currency}"),
        ("Spread, pips", str(settings["spread_pips"])),
        ("Commission", str(settings["commission"])),
        ("Leverage", f"{1 / settings['margin']:g}"),
        *((f"Cost {name}", str(value)) for name, value in settings.get("costs", {}).items()),
        *((f"Conversion {pair}", str(digest)) for pair, digest in settings.get("conversions", {}).items()),
        ("Asked from, to", f"{run.start_date}, {run.end_date}"),
        ("Dataset (SHA-256)", run.dataset_hash),
        ("Run (SHA-256)", run.content_digest),
        ("Engine", run.engine),
        ("Run made, UTC", stamp(run.created_at, seconds=True)),
        ("Written by", f"Sequence {__version__}"),
    ]
    return _card("Settings", "everything that decides the run", _table(("Setting", "Value"), rows))


def _fills_section(run: StoredRun) -> str:
    fills = "".join(f"<li>{escape(sentence)}</li>" for sentence in run.fill_assumptions)
    notes = "".join(f"<li>{escape(note)}</li>" for note in run.notes)
    remarks = f"<h3>What the engine remarked</h3><ul>{notes}</ul>" if notes else ""
    return _card("How orders are filled and charged", "", f"<ul>{fills}</ul>{remarks}")


def _library_section(run: StoredRun) -> str:
    if not run.lib_metrics:
        return ""
    caption = "calendar days in UTC, annualised with 252: for FX other figures than those above"
    rows = [(name, _plain(value)) for name, value in run.lib_metrics.items()]
    return _card("The same as backtesting.py computes them", caption, _table(("Statistic", "Value"), rows, right=(1,)))


def _value(run: StoredRun, name: str) -> str:
    each, value = METRICS[name], run.metrics.get(name)
    if each.is_ratio:
        return ratio(value, run.trades_count, ENOUGH_TRADES)
    return number(value, 0 if each.unit in _WHOLE_UNITS else 2, sign=name in _SIGNED)


def _plain(value: Any) -> str:
    if isinstance(value, (int, float)):
        return number(value, 3)
    return DASH if value is None else str(value)


def _time(moment: Any) -> str:
    return DASH if pd.isna(moment) else stamp(moment.to_pydatetime())


def _placed(charts: list[_Chart], name: str, figure: go.Figure) -> str:
    """The element that `figure` is drawn into, and the figure kept for the script."""
    charts.append(_Chart(f"chart-{name}", figure))
    return f'<div class="chart" id="chart-{name}" style="height:{figure.layout.height:.0f}px"></div>'


def _card(title: str, caption: str, content: str) -> str:
    small = f" <small>{escape(caption)}</small>" if caption else ""
    return f"<section><h2>{escape(title)}{small}</h2>{content}</section>"


def _table(
    header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = (), short: Sequence[int] = ()
) -> str:
    side: Mapping[int, str] = dict.fromkeys(right, ' class="right"') | dict.fromkeys(short, ' class="short"')
    head = "".join(f"<th{side.get(at, '')}>{escape(name)}</th>" for at, name in enumerate(header))
    body = "".join(
        "<tr>" + "".join(f"<td{side.get(at, '')}>{escape(cell)}</td>" for at, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
