"""Composition: which pages there are, and the sample workflow that leads through every floor.

This is the only place that wires doors and pages together; it knows no Streamlit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from data.pipeline_controller import DataConfig, controller
from execution.backtest_manager import StoredRun, manager


@dataclass(frozen=True)
class PageEntry:
    """A page of the workbench: its file, its words, its place in the navigation."""

    file: str
    title: str
    icon: str
    section: str
    url_path: str
    first_content: str


OVERVIEW = PageEntry(
    "pages/start/overview.py", "Overview", ":material/dashboard:", "", "overview", "What is here and what to do next."
)
DATA_PIPELINE = PageEntry(
    "pages/research/data_pipeline.py",
    "Data Pipeline",
    ":material/database:",
    "Research",
    "data_pipeline",
    "Collected bars, their verdicts and versions. First content: the sample.",
)
BACKTESTING = PageEntry(
    "pages/research/backtesting.py",
    "Backtesting",
    ":material/query_stats:",
    "Research",
    "backtesting",
    "Runs with costs, trades and statistics. Needs one dataset version.",
)
PAGES = (OVERVIEW, DATA_PIPELINE, BACKTESTING)

# Step, what it does, where it is seen; the words `run_sample_workflow` tells follow these names.
SAMPLE_STEPS = (
    ("Collect", "5 000 hourly bars from the embedded sample", DATA_PIPELINE.title),
    ("Preprocess", "returns, averages, volatility, ATR, z-scores", DATA_PIPELINE.title),
    ("Validate", "five rules, the rows that break one listed", DATA_PIPELINE.title),
    ("Version", "an immutable dataset, named by its content", DATA_PIPELINE.title),
    ("Backtest", "MA crossover after a spread of 0.6 pip", BACKTESTING.title),
)
SAMPLE_SPREAD_PIPS = 0.6


def sample_config() -> DataConfig:
    """All of the embedded sample, with every preprocessing step."""
    return DataConfig(
        data_sources=["Sample"],
        symbols=["EURUSD"],
        start_date="2017-04-19",
        end_date="2018-02-07",
        preprocessing={"normalize": True, "normalization_method": "zscore", "engineer_features": True},
    )


def run_sample_workflow(tell: Callable[[str, str], None]) -> StoredRun:
    """Take the sample through every floor; `tell(step, words)` hears of each step as it is done."""
    version = controller.prepare(sample_config(), tell)
    result = manager.run_backtest(version, strategy_name="MA_Crossover", cash=10_000, spread_pips=SAMPLE_SPREAD_PIPS)
    run = manager.save_result(result=result)
    tell("Backtest", f"{run.trades_count} trades, {run.total_return:+.2f} % after costs")
    return run
