"""Every way in which a database can be unusable: told in one box on each page that needs it, and left as it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from harmed.databases import KINDS, Harm, Hold, orphaned
from streamlit.testing.v1 import AppTest

import workbench

OpenPage = Callable[..., AppTest]
DATA, RUNS = "data_pipeline", "backtest_results"
# Where each is written to, by which button, into which table, and how many rows it then has.
WRITERS = {
    DATA: (workbench.DATA_PIPELINE, "data.collect", "data_jobs", 1),
    RUNS: (workbench.BACKTESTING, "backtest.run", "backtest_runs", 2),
}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is locked is given up soon."""
    monkeypatch.setenv("SEQUENCE_STORE__BUSY_TIMEOUT_SECONDS", "0.3")


@pytest.fixture
def hold() -> Iterator[Hold]:
    holder = Hold()
    yield holder
    holder.release()


def words(app: AppTest) -> str:
    """Everything outside of boxes and tables."""
    read = "\n".join(
        str(each.value) for kind in ("title", "caption", "markdown", "info", "warning") for each in app.get(kind)
    )
    return read.replace("\\", "")


def figures(app: AppTest) -> dict[str, str]:
    """Each figure with the words below it."""
    return {metric.label: f"{metric.value} {metric.delta}" for metric in app.metric}


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def expect_one_box(app: AppTest, file: str, said: str, cure: str) -> None:
    """One box for the one cause: it names the file and what to do, and the button for it stands beside "Try again"."""
    assert not app.exception
    [box] = app.error
    for part in (file, said, "What to do:"):
        assert part in box.value.replace("\\", "")
    asides = [label for label in labels(app) if "aside" in label]
    assert asides == ([cure] if cure else [])
    assert labels(app).count("Try again") == 1
    assert "does not know" not in words(app)
    assert "cannot read" in words(app)
    assert "Run the sample workflow" not in labels(app)


def expect_all_pages_to_work_around(open_page: OpenPage, database: str, said: str, cure: str) -> None:
    """One visit of each page: what does not need the database is there, and nothing passes for empty."""
    file = f"{database}.db"
    app = open_page(workbench.OVERVIEW.file)
    expect_one_box(app, file, said, cure)
    assert figures(app)["Backtest runs"].startswith("1 " if database == DATA else "– cannot be read")
    assert figures(app)["Dataset versions"].startswith("1 " if database == RUNS else "– cannot be read")

    app.switch_page(workbench.DATA_PIPELINE.file).run()
    if database == DATA:
        expect_one_box(app, file, said, cure)
        assert "No dataset yet" not in words(app)
    else:
        assert not app.exception
        assert not app.error
        assert "PASS" in figures(app)["Validated"]
    assert not app.button(key="data.collect").disabled

    app.switch_page(workbench.BACKTESTING.file).run()
    expect_one_box(app, file, said, cure)
    if database == DATA:
        assert "Datasets cannot be read." in words(app)
        assert figures(app)["Sharpe"].startswith("0.60")
        assert "Buy and hold is not drawn." in words(app)
        assert words(app).count("Cannot be shown here:") == 1  # the trades on the price
    else:
        assert "Runs cannot be read" in words(app)
        assert "No run yet" not in words(app)


def parts(folder: Path, database: str) -> dict[str, bytes]:
    """What lies there of it, without what SQLite makes beside a file to look at it."""
    found = {part.name: part.read_bytes() for part in folder.glob(f"{database}.db*")}
    return {name: each for name, each in found.items() if name.endswith(".db") or (each and "-shm" not in name)}


@pytest.mark.parametrize("database", [DATA, RUNS])
@pytest.mark.parametrize("harm", KINDS, ids=lambda harm: harm.__name__)
def test_an_unusable_database_is_told_on_every_page_and_left_as_it_is(
    harm: Harm, database: str, open_page: OpenPage, sample_run: str, home: Path
) -> None:
    folder = home / "output_central"
    harm(folder / f"{database}.db")
    before = parts(folder, database)
    cure = f"Set {database}.db{'-wal' if harm is orphaned else ''} aside…"
    expect_all_pages_to_work_around(open_page, database, KINDS[harm], cure)
    assert parts(folder, database) == before


@pytest.mark.parametrize("database", [DATA, RUNS])
def test_a_database_that_nobody_may_read_for_now_offers_to_try_again(
    database: str, open_page: OpenPage, sample_run: str, home: Path, hold: Hold
) -> None:
    hold(home / "output_central" / f"{database}.db", "EXCLUSIVE")
    expect_all_pages_to_work_around(open_page, database, "Another program holds", "")


@pytest.mark.parametrize("database", [DATA, RUNS])
def test_a_database_that_another_program_writes_to_can_be_read_and_the_button_works_afterwards(
    database: str, open_page: OpenPage, sample_run: str, home: Path, hold: Hold
) -> None:
    entry, button, table, rows = WRITERS[database]
    hold(home / "output_central" / f"{database}.db", "NORMAL")
    app = open_page(entry.file)
    assert not app.error
    if database == RUNS:  # another run than the one that is stored
        app.get_by_key("backtest.MA_Crossover.fast_length").set_value(24)
    app.button(key=button).click().run()
    [box] = app.error
    assert "Another program holds" in box.value
    assert "Try again" in labels(app)
    hold.release()
    app.button(key=button).click().run()
    assert not app.exception
    assert not app.error
    with closing(sqlite3.connect(home / "output_central" / f"{database}.db")) as reader:
        assert reader.execute(f"SELECT count(*) FROM {table}").fetchone() == (rows,)  # noqa: S608  # a table of ours
