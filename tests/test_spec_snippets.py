"""The snippets that the specification prints, pasted into a file and run from another folder than the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from execution.backtest_manager import manager

DATA_SNIPPET = """
from data.pipeline_controller import controller, DataConfig

# Configure data collection
config = DataConfig(
    data_sources=['Sample'],
    symbols=['EURUSD'],
    countries=['US', 'EU'],
    start_date='2017-04-19',
    end_date='2018-02-07',
    resolution='daily',
    preprocessing={
        'normalize': True,
        'normalization_method': 'zscore',
        'engineer_features': True
    }
)

# Collect data
data, collection_id = controller.collect_data(config)

# Preprocess
processed, prep_id = controller.preprocess(data, collection_id, config.preprocessing)

# Validate
validation_result, val_id = controller.validate(processed, collection_id)

# Check status
status = controller.get_pipeline_status()
print(len(data), validation_result['status'], sorted(status), collection_id, prep_id, val_id)
"""

BACKTEST_SNIPPET = """
from execution.backtest_manager import manager
import pandas as pd

# Load data
data = pd.read_csv('data.csv', index_col=0, parse_dates=True)

# Define custom strategy class
from backtesting import Strategy

class MyStrategy(Strategy):
    def init(self):
        pass

    def next(self):
        pass

# Run backtest
result = manager.run_backtest(
    data=data,
    strategy_class=MyStrategy,
    strategy_name="MA_Crossover",
    symbol="GBPUSD",
    cash=10000,
    commission=0.001
)

# Save result
manager.save_result(
    run_id="backtest_001",
    strategy_name="MA_Crossover",
    symbol="GBPUSD",
    timeframe="1H",
    start_date="2025-01-01",
    end_date="2025-12-06",
    cash=10000,
    commission=0.001,
    result=result
)
second = manager.run_backtest(data=data, strategy_name="RSI_Bands", symbol="GBPUSD", cash=10000, commission=0.001)
manager.save_result(run_id="backtest_002", result=second)

# Compare two backtests
comparison = manager.compare_strategies("backtest_001", "backtest_002")

# Export comparison
manager.export_comparison_csv("backtest_001", "backtest_002", "comparison.csv")

# Get portfolio statistics
stats = manager.get_portfolio_stats()
print(comparison['strategy_1'], comparison['strategy_2'], comparison['winner'], stats['runs'])
"""


def run_pasted(snippet: str, folder: Path) -> str:
    file = folder / "pasted.py"
    file.write_text(snippet, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(file)], cwd=folder, capture_output=True, text=True, env=os.environ.copy(), check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "an analyst's folder"
    folder.mkdir()
    return folder


def test_the_data_snippet_runs_as_printed(elsewhere: Path) -> None:
    printed = run_pasted(DATA_SNIPPET, elsewhere)
    members = ["collections", "preprocessing", "running", "validation", "versions"]
    assert printed.strip() == f"207 PASS {members} 1 1 1"


def test_the_backtest_snippet_runs_as_printed(elsewhere: Path, home: Path) -> None:
    run_pasted(
        DATA_SNIPPET.replace("resolution='daily'", "resolution='hourly'") + "\ndata.to_csv('data.csv')", elsewhere
    )
    text = (elsewhere / "data.csv").read_text(encoding="utf-8").replace("EURUSD", "GBPUSD")
    (elsewhere / "data.csv").write_text(text, encoding="utf-8")
    printed = run_pasted(BACKTEST_SNIPPET, elsewhere)
    assert printed.strip() == "MA_Crossover RSI_Bands RSI_Bands 2"
    assert (elsewhere / "comparison.csv").read_bytes().startswith(b"\xef\xbb\xbfmetric,")
    run = manager.run("backtest_001")
    assert (run.strategy_name, run.symbol, run.timeframe) == ("MA_Crossover", "GBPUSD", "H1")
    assert (run.start_date, run.end_date) == ("2025-01-01", "2025-12-06")
    assert (run.cash, run.commission, run.trades_count) == (10_000.0, 0.001, 0)  # it never trades
    assert sorted(file.name for file in (home / "output_central").glob("*.db")) == [
        "backtest_results.db",
        "data_pipeline.db",
    ]


def test_the_printed_dates_name_what_the_sample_holds(elsewhere: Path) -> None:
    file = elsewhere / "pasted.py"
    printed = DATA_SNIPPET.replace("2017-04-19", "2025-01-01").replace("2018-02-07", "2025-12-06")
    file.write_text(printed, encoding="utf-8")
    done = subprocess.run([sys.executable, str(file)], cwd=elsewhere, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "The sample holds EURUSD from 2017-04-19 09:00 to 2018-02-07 15:00 UTC" in done.stderr
