"""Composition: which pages there are, and the sample workflow that leads through every floor.

This is the only place that wires doors and pages together; it knows no Streamlit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.jobs import Job, JobRegistry, Kind, RunningJob
from data.jobs import queue as data_queue
from data.pipeline_controller import DataConfig, DatasetVersion, Tell, controller
from execution.backtest_manager import StoredRun, manager
from execution.jobs import queue as backtest_queue
from execution.live.jobs import queue as trading_queue
from execution.sweep_store import list_sweeps
from scanner.jobs import queue as scan_queue
from train.jobs import queue as train_queue
from train.training_manager import manager as training

if TYPE_CHECKING:
    from sqlalchemy import Connection


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
DATASET = PageEntry(
    "pages/research/dataset.py",
    "Dataset",
    ":material/badge:",
    "Research",
    "dataset",
    "The passport of one version: coverage, gaps, origin, differences. Needs one.",
)
BACKTESTING = PageEntry(
    "pages/research/backtesting.py",
    "Backtesting",
    ":material/query_stats:",
    "Research",
    "backtesting",
    "Runs with costs, trades and statistics. Needs one dataset version.",
)
SWEEP = PageEntry(
    "pages/research/sweep.py",
    "Sweep",
    ":material/grid_on:",
    "Research",
    "sweep",
    "Thousands of parameter sets, their map and their plateaus. Needs one dataset version.",
)
COMPARE = PageEntry(
    "pages/research/compare.py",
    "Compare",
    ":material/compare_arrows:",
    "Research",
    "compare",
    "Stored runs side by side, down to the single trade. Needs two runs.",
)
TRAINING = PageEntry(
    "pages/research/training.py",
    "Training Hub",
    ":material/model_training:",
    "Research",
    "training",
    "Models in a queue, their curves and their registry. Needs one dataset version.",
)
MODEL = PageEntry(
    "pages/research/model.py",
    "Model",
    ":material/id_card:",
    "Research",
    "model",
    "The card of one trained model beside its baseline. Needs a training job.",
)
SCANNER = PageEntry(
    "pages/trading/scanner.py",
    "Scanner",
    ":material/radar:",
    "Trading",
    "scanner",
    "Setups on closed bars, ranked, and what such patterns were worth. Needs bars.",
)
BRIDGE = PageEntry(
    "pages/trading/mql5_bridge.py",
    "MQL5 Bridge",
    ":material/swap_horiz:",
    "Trading",
    "mql5_bridge",
    "What MetaTrader sends and what it is told. First content: a terminal with the Expert Advisor.",
)
LIVE = PageEntry(
    "pages/trading/live.py",
    "Live",
    ":material/bolt:",
    "Trading",
    "live",
    "Strategies at work on live bars, their decisions and guards. Needs a run and a terminal.",
)
JOBS_PAGE = PageEntry(
    "pages/system/jobs.py",
    "Jobs",
    ":material/work_history:",
    "System",
    "jobs",
    "What runs in the background, and what became of it. First content: any collection.",
)
EXPLORER = PageEntry(
    "pages/system/explorer.py",
    "Explorer",
    ":material/table_view:",
    "System",
    "explorer",
    "Tables, rows, search and SQL over every database. First content: any data.",
)
PAGES = (
    OVERVIEW,
    DATA_PIPELINE,
    DATASET,
    BACKTESTING,
    SWEEP,
    COMPARE,
    TRAINING,
    MODEL,
    SCANNER,
    BRIDGE,
    LIVE,
    JOBS_PAGE,
    EXPLORER,
)

# A kind names the function that does it, so that only the job's own process imports it.
JOBS = JobRegistry(
    "workbench:JOBS",
    {
        "data": data_queue,
        "scan": scan_queue,
        "backtest": backtest_queue,
        "train": train_queue,
        "trading": trading_queue,
    },
    {
        "data": {
            kind.name: kind for kind in (Kind("collect", "data.jobs:collect"), Kind("sample", "workbench:sample"))
        },
        # Two scans at once would find the same newer bars twice.
        "scan": {
            kind.name: kind
            for kind in (Kind("scan", "scanner.jobs:scan", at_once=1), Kind("rank", "scanner.jobs:rank", at_once=1))
        },
        # A sweep takes every processor; two at once would only share them.
        "backtest": {
            kind.name: kind
            for kind in (Kind("sweep", "execution.jobs:sweep", at_once=1), Kind("backtest", "execution.jobs:backtest"))
        },
        # How many at once is the queue's to say: training.running, and the room there is.
        "train": {"train": Kind("train", "train.jobs:train", at_once=64)},
        "trading": {"deployment": Kind("deployment", "execution.live.jobs:deployment", at_once=64, lasting=True)},
    },
)

# Step, what it does, where it is seen; the words that `sample` tells begin with these names.
SAMPLE_STEPS = (
    ("Collect", "5 000 hourly bars from the embedded sample", DATA_PIPELINE.title),
    ("Preprocess", "returns, averages, volatility, ATR, z-scores", DATA_PIPELINE.title),
    ("Validate", "five rules, the rows that break one listed", DATA_PIPELINE.title),
    ("Version", "an immutable dataset, named by its content", DATA_PIPELINE.title),
    ("Backtest", "MA crossover after a spread of 0.6 pip", BACKTESTING.title),
)
SAMPLE_SPREAD_PIPS = 0.6
_PREPARED = 0.8  # how much of the workflow is done when the version is there


def users_of(version: DatasetVersion) -> list[str]:
    """What was made on the content of a dataset version, which therefore cannot be deleted."""
    runs = [f"run {run.run_id}" for run in manager.runs() if run.dataset_hash == version.content_hash]
    sweeps = [f"sweep {sweep.id}" for sweep in list_sweeps() if sweep.dataset_hash == version.content_hash]
    return [*runs, *sweeps, *training.users_of(version)]


def sample_config() -> DataConfig:
    """All of the embedded sample, with every preprocessing step."""
    return DataConfig(
        data_sources=["Sample"],
        symbols=["EURUSD"],
        start_date="2017-04-19",
        end_date="2018-02-07",
        preprocessing={"normalize": True, "normalization_method": "zscore", "engineer_features": True},
    )


def run_sample_workflow(tell: Tell = lambda step, words, done: None) -> StoredRun:
    """Take the sample through every floor, here and now; `tell(step, words, done)` hears of each step."""
    run = _backtest_sample(controller.prepare(sample_config(), _but_the_last(tell)), tell)
    tell("Backtest", _words_of(run), 1.0)
    return run


def submit_sample() -> Job:
    """Queue the sample workflow."""
    return JOBS.submit("data", "sample", {}, "Sample workflow")


def sample(job: RunningJob) -> None:
    """The sample workflow as a job. Begun again after a kill, it goes on from the version it published."""

    def tell(step: str, words: str, done: float) -> None:
        job.tell(done, f"{step}: {words}")

    def published(connection: Connection, version: DatasetVersion) -> None:
        job.note(connection, version=version.content_hash)

    if "version" not in job.checkpoint:
        controller.prepare(sample_config(), _but_the_last(tell), published)
    run = _backtest_sample(controller.version(job.checkpoint["version"]), tell)
    job.succeed_alone({"version": run.dataset_hash, "run": run.run_id}, _words_of(run))


def _backtest_sample(version: DatasetVersion, tell: Tell) -> StoredRun:
    tell("Backtest", "MA crossover", _PREPARED)
    result = manager.run_backtest(version, strategy_name="MA_Crossover", cash=10_000, spread_pips=SAMPLE_SPREAD_PIPS)
    return manager.save_result(result=result)


def _but_the_last(tell: Tell) -> Tell:
    """Tell of the steps that end with a version, as parts of a whole that ends with a backtest."""
    return lambda step, words, done: tell(step, words, done * _PREPARED)


def _words_of(run: StoredRun) -> str:
    return f"{run.trades_count} trades, {run.total_return:+.2f} % after costs"
