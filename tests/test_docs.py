"""The documents against the code: tables, keys and columns they list, snippets they print, links they carry."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
import sqlalchemy as sa
import yaml
from sqlalchemy.dialects import sqlite

import execution.strategies
import main
import workbench
from core.errors import SettingsError
from core.job_process import run_job
from core.settings import Settings, current_settings
from core.store import Module
from core.tables import OPERATIONS
from data.bar_tables import MARKET_DATA
from data.pipeline_controller import DataConfig, controller
from data.tables import DATA_PIPELINE
from execution.backtest_manager import manager
from execution.live.tables import TRADING
from execution.metrics import METRICS
from execution.registry import find_strategies
from execution.tables import BACKTEST_RESULTS
from mql5.tables import MQL5_DATA
from scanner.tables import SCANNER
from train.jobs import queue
from train.jobs import train as train_here
from train.tables import TRAINING_JOBS
from train.training_manager import TrainingJob
from train.training_manager import manager as training

ROOT = Path(workbench.__file__).parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAPERS = [*DOCS, *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md"))]
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)[^)]*\)")
HEADING = re.compile(r"### `(\w+)`")
PREFIXES = (2, 120, 121, 600, 2500, 4999)
MODULES = (DATA_PIPELINE, MARKET_DATA, SCANNER, TRAINING_JOBS, BACKTEST_RESULTS, MQL5_DATA, TRADING, OPERATIONS)

Column = tuple[str, str, str]


@cache
def words_of(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def name_of(paper: Path) -> str:
    return paper.name


def rows_of(text: str) -> Iterator[list[str]]:
    """The cells of every table row whose first cell is a name in backticks."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) > 1:
            yield [cells[0].strip("`"), *cells[1:]]


def blocks_of(text: str, language: str) -> list[tuple[int, str]]:
    """The fenced blocks of one language: the number of lines above each, and its lines."""
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, match.start(1)), match[1]) for match in found]


def script_of(text: str) -> str:
    """Every python block in order, each at the line it has in the document, so that a traceback names that line."""
    lines = [""] * (text.count("\n") + 1)
    for above, block in blocks_of(text, "python"):
        for offset, line in enumerate(block.splitlines()):
            lines[above + offset] = line
    return "\n".join(lines)


# Snippets


@pytest.mark.parametrize("paper", [paper for paper in PAPERS if "```python" in paper.read_text("utf-8")], ids=name_of)
def test_every_python_block_runs_in_order_and_prints_what_stands_below_it(paper: Path, tmp_path: Path) -> None:
    text = paper.read_text(encoding="utf-8")
    folder = tmp_path / "an analyst's folder"
    folder.mkdir()
    file = folder / "pasted.py"  # a name of the document, such as backtesting.py, would hide the package
    file.write_text(script_of(text), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(file)], cwd=folder, capture_output=True, text=True, env=os.environ.copy(), check=False
    )
    assert done.returncode == 0, done.stderr
    promised = [line for _, block in blocks_of(text, "text") for line in block.splitlines()]
    missing = [line for line in promised if line not in done.stdout.splitlines()]
    assert missing == [], done.stdout


def printed_strategy() -> str:
    [block] = [block for _, block in blocks_of(words_of("backtesting.md"), "python") if "STRATEGY = Strategy(" in block]
    return block


def test_the_printed_strategy_is_a_file_that_never_rewrites_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "channel_breakout.py").write_text(printed_strategy(), encoding="utf-8")
    monkeypatch.setattr(execution.strategies, "__path__", [*execution.strategies.__path__, str(tmp_path)])
    found = find_strategies()
    sys.modules.pop("execution.strategies.channel_breakout", None)
    assert found.broken == {}
    strategy = found.strategies["Channel_Breakout"]
    bars = controller.prepare(sample("H1")).bars()
    whole = strategy.checked_signals(bars, strategy.values())
    assert set(whole.position.tolist()) == {-1, 0, 1}
    for rows in PREFIXES:
        part = strategy.checked_signals(bars.iloc[:rows], strategy.values())
        assert np.array_equal(part.position, whole.position[:rows])
        assert part.stop_distance is not None
        assert whole.stop_distance is not None
        assert np.array_equal(part.stop_distance, whole.stop_distance[:rows], equal_nan=True)


def sample(timeframe: str) -> DataConfig:
    return DataConfig(
        data_sources=["Sample"],
        symbols=["EURUSD"],
        start_date="2017-04-19",
        end_date="2018-02-07",
        timeframe=timeframe,
    )


def test_every_query_printed_finds_rows_in_a_filled_workbench(home: Path) -> None:
    controller.prepare(sample("W1"))  # too few rows: a validation that failed
    run = workbench.run_sample_workflow()
    manager.sweep(run.strategy_name, {"fast_length": [10, 20]}, data=controller.version(run.dataset_hash))
    train(run.dataset_hash)
    printed = blocks_of(words_of("database.md"), "sql")
    assert len(printed) >= 4
    for _, query in printed:
        file = home / "output_central" / query.splitlines()[0].removeprefix("-- ")
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
            assert database.execute(query).fetchall(), query


def train(dataset: str) -> None:
    """A model that is trained, and a job that runs."""
    for name in ("done", "running"):
        asked = TrainingJob(job_id=name, model_name="XGBoost", dataset=dataset, window_length=5, epochs=1)
        training.submit_job(asked)
        job = queue.claim(workbench.JOBS.kinds["train"], "test")
        assert job
        if name == "done":
            run_job(train_here, queue.begin(job.id, job.attempt))


def test_the_query_of_the_specification_is_printed() -> None:
    joined = " ".join(words_of("database.md").split())
    assert "SELECT * FROM data_validation WHERE status = 'FAIL' ORDER BY created_at DESC;" in joined


# Databases


def documented_tables(database: str) -> dict[str, list[Column]]:
    """Table → (column, type, whether it may be empty), as docs/database.md tells them under one database."""
    [section] = [part for part in words_of("database.md").split("\n## ") if part.startswith(f"{database}\n")]
    tables: dict[str, list[Column]] = {}
    for part in section.split("\n### ")[1:]:
        heading = HEADING.match(f"### {part}")
        assert heading, part.splitlines()[0]
        tables[heading[1]] = [(cells[0], cells[1], cells[2]) for cells in rows_of(part)]
    return tables


def type_of(column: sa.Column[Any]) -> str:
    return "JSON" if isinstance(column.type, sa.JSON) else column.type.compile(sqlite.dialect())


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_every_table_and_column_is_described_and_none_that_does_not_exist(module: Module) -> None:
    tables = {
        name: [(column.name, type_of(column), "yes" if column.nullable else "no") for column in table.columns]
        for name, table in module.metadata.tables.items()
    }
    assert documented_tables(f"{module.name}.db") == tables


def test_every_column_has_a_meaning_of_its_own() -> None:
    cells = [cells for cells in rows_of(words_of("database.md")) if len(cells) == 4]
    assert len(cells) == sum(len(table.columns) for module in MODULES for table in module.metadata.tables.values())
    assert [name for name, *_, meaning in cells if not meaning] == []


# Statistics


def test_the_statistics_are_those_that_are_computed() -> None:
    section = words_of("backtesting.md").split("\n## Statistics\n")[1].split("\n## ")[0]
    documented = {cells[0]: tuple(cells[1:]) for cells in rows_of(section)}
    assert documented == {
        name: (metric.title, metric.unit or "–", metric.formula, metric.source) for name, metric in METRICS.items()
    }


def test_the_arguments_of_a_run_are_those_it_takes() -> None:
    section = words_of("backtesting.md").split("\n## From Python\n")[1].split("\n## ")[0]
    taken = list(manager.run_backtest.__annotations__)
    assert [cells[0] for cells in rows_of(section)] == [name for name in taken if name != "return"]


# Settings


def allowed(annotation: Any, limits: list[Any]) -> str:
    """What a key may hold, in the words of docs/settings.md."""
    if annotation is bool:
        return "true, false"
    if get_origin(annotation) is Literal:
        return ", ".join(get_args(annotation))
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    said = [f"{sign} {getattr(limit, kind):g}" for limit in limits for kind, sign in signs.items() if has(limit, kind)]
    return ", ".join(said) or "text"


def has(limit: Any, kind: str) -> bool:
    return getattr(limit, kind, None) is not None


def test_every_key_is_described_with_its_default_range_and_variable_and_none_that_does_not_exist() -> None:
    documented = {
        key: (yaml.safe_load(default), said, variable.strip("`"))
        for key, default, said, variable, meaning in rows_of(words_of("settings.md"))
        if meaning
    }
    keys = {
        f"{section}.{key}": (
            getattr(getattr(Settings(), section), key),
            allowed(each.annotation, each.metadata),
            f"SEQUENCE_{section}__{key}".upper(),
        )
        for section, field in Settings.model_fields.items()
        if isinstance(field.annotation, type)
        for key, each in getattr(field.annotation, "model_fields", {}).items()
    }
    assert documented == keys


@pytest.mark.parametrize(
    ("content", "variable"),
    [
        ("gui:\n  prt: 1\n", {}),
        ("gui:\n  port: 99999\n", {}),
        ("gui:\n port: 1\n  host: x\n", {}),
        ("", {"SEQUENCE_DISPLAY__PALETTE": "pink"}),
        ("", {"SEQUENCE_GUI__PRT": "8505"}),
    ],
)
def test_a_settings_error_looks_as_printed(
    content: str, variable: dict[str, str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config.yaml").write_text(content, encoding="utf-8")
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refusal:
        current_settings()
    [(_, printed)] = blocks_of(words_of("settings.md"), "text")
    assert str(refusal.value).replace(str(home), "~/fx") in printed.splitlines()


# Words and links


@pytest.mark.parametrize("paper", PAPERS, ids=name_of)
def test_every_relative_link_points_to_a_file(paper: Path) -> None:
    targets = LINK.findall(paper.read_text(encoding="utf-8"))
    assert [target for target in targets if not (paper.parent / target).exists()] == []


@pytest.mark.parametrize("paper", PAPERS, ids=name_of)
def test_no_document_promises_what_is_not_there(paper: Path) -> None:
    text = paper.read_text(encoding="utf-8")
    assert "coming soon" not in text.lower()
    assert "TODO" not in text


def test_every_document_is_linked_from_the_readme() -> None:
    targets = LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert {f"docs/{paper.name}" for paper in DOCS} <= set(targets)


def test_every_mode_of_the_command_line_is_named_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [mode for mode in main.MODES if f"python main.py --mode {mode}" not in text] == []


@pytest.mark.parametrize(
    "command",
    [
        "pip install -r requirements.txt && python main.py --mode gui",
        "pip install -r requirements-dev.txt && pytest",
    ],
)
def test_the_two_commands_stand_in_the_readme(command: str) -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert command in [line.strip() for line in lines]
