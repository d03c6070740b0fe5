"""A run as one HTML file: whole, the same each time, without a network, and with foreign text kept quiet."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from plotly.offline import get_plotlyjs

import workbench
from components.reports.library_plot import library_plot
from components.reports.tear_sheet import tear_sheet
from core.errors import InputError, StrategyError
from data.pipeline_controller import controller
from execution.backtest_manager import StoredRun, manager
from execution.cost_edge import booked_rates
from execution.costs import Costs
from execution.ledger import deflated
from execution.metrics import METRICS
from execution.registry import strategy_named
from execution.strategy import Signals, Strategy

MARKUP = "<img src=x onerror=alert(1)></script><script>alert('½')</script>&amp;"
# What makes a browser fetch something.
FETCHING = {"src", "srcset", "href", "data", "action", "poster", "background", "formaction", "manifest", "ping"}


class Page(HTMLParser):
    """What a browser sees in a file: the elements, the words, and the text of each script and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, dict[str, str | None], str]] = []
        self.words: list[str] = []
        self._inside: str = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag if tag in {"script", "style"} else ""
        if self._inside:
            self.raw.append((tag, dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            tag, attributes, before = self.raw[-1]
            self.raw[-1] = (tag, attributes, before + data)
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def policy(self) -> str:
        return next(
            attributes["content"] or ""
            for tag, attributes in self.elements
            if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
        )

    def charts(self) -> dict[str, dict[str, Any]]:
        drawn = next(text for _, attributes, text in self.raw if attributes.get("id") == "charts")
        return {chart["id"]: chart for chart in json.loads(drawn)}


def sheet(run: StoredRun, **further: Any) -> Page:
    return Page(tear_sheet(run, manager.trades(run), run.equity(), **further))


def closes_of(run: StoredRun) -> pd.Series:
    closes: pd.Series = controller.version(run.dataset_hash).bars(run.symbol, columns=["close"])["close"]
    return closes


@pytest.fixture
def run() -> StoredRun:
    return workbench.run_sample_workflow()


def test_the_file_fetches_nothing(run: StoredRun) -> None:
    page = sheet(run, closes=closes_of(run))
    fetched = [(tag, name) for tag, attributes in page.elements for name in attributes if name in FETCHING]
    assert fetched == []
    assert not {tag for tag, _ in page.elements} & {"link", "iframe", "img", "object", "embed", "base", "a", "form"}
    own = [text for tag, _, text in page.raw if tag == "style" or "Plotly.newPlot" in text]
    assert len(own) >= 2
    for text in (*own, json.dumps(page.charts()), page.text):
        assert not re.search(r"https?:|url\(|@import", text)


def test_the_browser_is_told_to_run_only_the_two_scripts_of_the_file(run: StoredRun) -> None:
    page = sheet(run)
    scripts = [text for tag, attributes, text in page.raw if tag == "script" and "type" not in attributes]
    assert [len(text) > 1_000_000 for text in scripts] == [True, False]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    policy = dict(part.strip().split(" ", 1) for part in page.policy().split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == " ".join(f"'sha256-{each}'" for each in hashes)
    assert policy["img-src"] == "data: blob:"
    assert "\r" not in get_plotlyjs()


def test_it_draws_every_chart_and_names_every_statistic(run: StoredRun) -> None:
    page = sheet(run, closes=closes_of(run), ledger=deflated(run).sentence(), marks=["sample data"])
    charts = page.charts()
    assert list(charts) == [
        f"chart-{name}"
        for name in ("equity", "edge", "months", "by_weekday", "by_session", "by_side", "by_exit_reason", "by_hour")
    ]
    placed = [attributes["id"] for tag, attributes in page.elements if attributes.get("class") == "chart"]
    assert placed == list(charts)
    assert [trace.get("name") for trace in charts["chart-equity"]["data"]] == ["Buy and hold", run.run_id, "Drawdown"]
    for each in METRICS.values():
        assert each.title in page.text
        assert " ".join(each.formula.split()) in page.text
        assert each.source in page.text
    for words in (
        run.dataset_hash,
        run.engine,
        run.content_digest,
        "sample data",
        "The first variant on this data",
        "fast_length 48",
        *run.fill_assumptions,
        *run.notes,
        "Survives up to",
        "lib_sharpe_ratio",
    ):
        assert words in page.text
    assert "+3.13 %" in page.text


def test_a_long_curve_is_thinned_and_says_so(run: StoredRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_DISPLAY__CHART_POINTS", "200")
    page = sheet(run, closes=closes_of(run))
    assert "drawn 200 of 5 000 points" in page.text
    assert {len(trace["x"]) <= 200 for trace in page.charts()["chart-equity"]["data"]} == {True}


def test_the_same_run_gives_the_same_file(run: StoredRun) -> None:
    trades, equity = manager.trades(run), run.equity()
    before = trades.copy(), equity.copy()
    assert tear_sheet(run, trades, equity) == tear_sheet(run, trades, equity)
    pd.testing.assert_frame_equal(trades, before[0])
    pd.testing.assert_series_equal(equity, before[1])


def test_markup_from_outside_is_shown_as_it_reads_and_never_runs(run: StoredRun) -> None:
    quiet = sheet(run, ledger="x", marks=["y"])
    foreign = replace(
        run,
        run_id=MARKUP,
        strategy_name=MARKUP,
        engine=MARKUP,
        note=MARKUP,
        tags=[MARKUP],
        notes=[MARKUP],
        dataset_hash=MARKUP,
        start_date=MARKUP,
        settings={**run.settings, "parameters": {MARKUP: MARKUP}},
        lib_metrics={MARKUP: MARKUP},
    )
    trades = manager.trades(run).assign(exit_reason=MARKUP, tag=MARKUP)
    page = Page(tear_sheet(foreign, trades, run.equity(), ledger=MARKUP, marks=[MARKUP]))
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in quiet.elements}
    assert len(page.raw) == len(quiet.raw)
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.text.count(MARKUP) >= 12
    # Plotly reads tags in names, and an entity as its sign.
    (name,) = page.charts()["chart-by_exit_reason"]["data"][0]["y"]
    assert name.startswith("&lt;img src=x")


def test_a_run_without_trades_and_without_its_dataset_says_what_is_missing() -> None:
    bars = controller.version(workbench.run_sample_workflow().dataset_hash).frame()
    idle = Strategy("Idle", "Idle", "Nothing.", "a test", 1, (), lambda bars, _: Signals(np.zeros(len(bars), np.int8)))
    page = sheet(manager.save_result("idle", result=manager.run_backtest(bars, idle, symbol="EURUSD")))
    assert "This run made no trade" in page.text
    assert "Equity never fell below an earlier high." in page.text
    assert "buy and hold is not drawn" in page.text
    assert list(page.charts()) == ["chart-equity", "chart-months"]


def test_a_run_with_extras_names_its_costs_and_money(run: StoredRun) -> None:
    version = controller.version(run.dataset_hash)
    costs = Costs(lots=0.1, slippage_pips=0.2, commission_per_lot=3.5, swap_long=-2.0)
    result = manager.run_backtest(version, strategy_name="MA_Crossover", spread_pips=0.8, margin=1 / 30, costs=costs)
    page = sheet(manager.save_result("extras", result=result))
    assert "Cost commission_per_lot 3.5" in page.text
    names = [trace["name"].split(" ")[0] for trace in page.charts()["chart-edge"]["data"]]
    assert names == ["net", "spread", "slippage", "commission", "swap"]


def test_the_library_draws_its_own_plot_without_a_network_and_leaves_no_file(
    run: StoredRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    bars = controller.version(run.dataset_hash).bars(run.symbol)
    text = library_plot(bars, strategy_named(run.strategy_name), run.run_settings)
    assert sorted(tmp_path.rglob("*")) == before
    page = Page(text)
    assert [(tag, name) for tag, attributes in page.elements for name in attributes if name in FETCHING] == []
    assert "default-src 'none'" in page.policy()
    assert "connect-src" not in page.policy()
    assert "plx.gif" not in text
    assert "Trades (42)" in text


def test_plots_in_many_threads_do_not_meet(run: StoredRun) -> None:
    bars = controller.version(run.dataset_hash).bars(run.symbol).iloc[:600]
    lengths = [(5, 20), (10, 40), (20, 80)]
    drawn: dict[tuple[int, int], str] = {}

    def parameters(fast: int, slow: int) -> dict[str, Any]:
        return {"fast_length": fast, "slow_length": slow, "side": "both"}

    def draw(fast: int, slow: int) -> None:
        settings = replace(run.run_settings, parameters=parameters(fast, slow))
        drawn[fast, slow] = library_plot(bars, strategy_named("MA_Crossover"), settings)

    threads = [threading.Thread(target=draw, args=pair) for pair in lengths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    alone = {}
    for pair in lengths:
        result = manager.run_backtest(
            bars, strategy_named("MA_Crossover"), symbol="EURUSD", spread_pips=0.6, parameters=parameters(*pair)
        )
        alone[pair] = [f"Trades ({len(result.trades)})"]
    assert {pair: re.findall(r"Trades \(\d+\)", text) for pair, text in drawn.items()} == alone
    assert len({tuple(words) for words in alone.values()}) == 3


def test_the_library_does_not_draw_what_it_cannot_run(run: StoredRun) -> None:
    bars = controller.version(run.dataset_hash).bars(run.symbol)
    extras = replace(run.run_settings, costs=Costs(lots=0.1))
    with pytest.raises(InputError, match="knows no FX extras"):
        library_plot(bars, strategy_named("MA_Crossover"), extras)

    def broken(_bars: pd.DataFrame, _values: object) -> Signals:
        raise RuntimeError("out of order")

    with pytest.raises(StrategyError, match="out of order"):
        library_plot(bars, Strategy("B", "B", "B", "a test", 1, (), broken), replace(run.run_settings, parameters={}))


def test_an_idle_run_is_drawn_by_the_library(run: StoredRun, wishing_idle: Callable[[], Strategy]) -> None:
    bars = controller.version(run.dataset_hash).bars(run.symbol).iloc[:200]
    text = library_plot(bars, wishing_idle(), replace(run.run_settings, parameters={}))
    assert "Trades (" not in text


@pytest.fixture
def wishing_idle() -> Callable[[], Strategy]:
    """Make a strategy that never trades."""
    return lambda: Strategy(
        "Idle", "Idle", "Nothing.", "a test", 1, (), lambda bars, _: Signals(np.zeros(len(bars), np.int8))
    )


def test_the_rate_of_a_trade_is_told_by_what_it_booked() -> None:
    # Long 10,000 USD/JPY, +50 pips = 5,000 JPY, booked as 31.25 USD after 1 USD of commission and −0.75 of swap.
    trades = pd.DataFrame(
        {
            "pips": [0.0, 50.0, -50.0, 0.0],
            "size": [1e4, 1e4, -1e4, 1e4],
            "pnl": [-1.0, 31.25 - 1.75, -31.25 - 1.0, 0.0],
            "commission": [1.0, 1.0, 1.0, 0.0],
            "swap": [0.0, -0.75, 0.0, 0.0],
        }
    )
    assert booked_rates(trades, 0.01).tolist() == pytest.approx([0.00625] * 4)
    assert booked_rates(trades.iloc[:1], 0.01).tolist() == [1.0]
