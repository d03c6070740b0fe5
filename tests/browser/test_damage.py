"""Every way in which a database can be unusable, on every page, in Chromium."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

import workbench

pytestmark = pytest.mark.browser
DATA, RUNS = "data_pipeline", "backtest_results"
SAMPLE = "import workbench; workbench.run_sample_workflow()"
HOLD = """
import sqlite3, sys
holder = sqlite3.connect(sys.argv[1], isolation_level=None)
holder.execute(f"PRAGMA locking_mode = {sys.argv[2]}")
holder.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read(1)
"""
IN_ONE_ROW = "(one, other) => one.getBoundingClientRect().top === other.getBoundingClientRect().top"
Harm = Callable[[Path], object]


@dataclass(frozen=True)
class Filled:
    """A workbench that holds the sample, with a server and a worker over it, and databases to begin anew from."""

    home: Path
    address: str

    @property
    def folder(self) -> Path:
        return self.home / "output_central"

    def put(self, database: str, harm: Harm | None = None) -> None:
        """Put a database into the place of the one there: another file, as server and worker hold that one open."""
        scratch = self.home / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        shutil.copy(self.home / "kept" / f"{database}.db", scratch)
        if harm:
            harm(scratch / f"{database}.db")
        for old in self.folder.glob(f"{database}*.db*"):
            old.unlink()
        for part in scratch.iterdir():
            part.rename(self.folder / part.name)

    def parts(self, database: str) -> dict[str, bytes]:
        """What lies there of it, without what SQLite makes beside a file to look at it."""
        found = {part.name: part.read_bytes() for part in self.folder.glob(f"{database}.db*")}
        return {name: each for name, each in found.items() if name.endswith(".db") or (each and "-shm" not in name)}


@pytest.fixture(scope="module")
def filled(
    tmp_path_factory: pytest.TempPathFactory, serve: Callable[..., AbstractContextManager[str]]
) -> Iterator[Filled]:
    home = tmp_path_factory.mktemp("damage")
    environment = {**os.environ, "SEQUENCE_HOME": str(home)}
    # In a process of its own, which closes the files: they are copied whole.
    subprocess.run([sys.executable, "-c", SAMPLE], cwd=Path(workbench.__file__).parent, env=environment, check=True)
    shutil.copytree(home / "output_central", home / "kept")
    with serve(home, SEQUENCE_STORE__BUSY_TIMEOUT_SECONDS="0.3") as address:
        yield Filled(home, address)


@pytest.fixture
def server(filled: Filled) -> str:
    """The one server, over the sample as it was."""
    for database in (DATA, RUNS):
        filled.put(database)
    return filled.address


@pytest.fixture(scope="module")
def context(browser: Browser, browser_context_args: dict[str, Any]) -> Iterator[BrowserContext]:
    """One for all tests here: it loads the app's scripts once."""
    with browser.new_context(**browser_context_args) as made:
        yield made


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    with context.new_page() as made:
        yield made


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 6 // 10])


def text(file: Path) -> None:
    file.write_text("time,open,high,low,close\n" * 300, encoding="utf-8")


def foreign(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE notes (words TEXT)")


def newer(file: Path) -> None:
    with closing(sqlite3.connect(file)) as later:
        later.execute("PRAGMA user_version = 99")


def damaged(file: Path) -> None:
    """The first page, by which a file is recognised, is whole."""
    content = file.read_bytes()
    file.write_bytes(content[:4096] + bytes(255 - byte for byte in content[4096:]))


def orphaned(file: Path) -> None:
    """Its log is all that is left."""
    with closing(sqlite3.connect(file)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE later (words TEXT)")
        log = file.with_name(f"{file.name}-wal")
        content = log.read_bytes()
    file.unlink()
    log.write_bytes(content)


KINDS = {
    emptied: "is an empty file",
    truncated: "is damaged",
    text: "is damaged",
    foreign: "another program",
    newer: "newer Sequence",
    damaged: "is damaged",
    orphaned: "is gone but its",
}


# Where each is written to, by which button, into which table.
WRITERS = {
    DATA: (workbench.DATA_PIPELINE, "Collect data", "dataset_versions"),
    RUNS: (workbench.BACKTESTING, "Run backtest", "backtest_runs"),
}


def boxes(bench: Any) -> Locator:
    found: Locator = bench.page.get_by_test_id("stAlertContentError")
    return found


def metric(bench: Any, label: str) -> Locator:
    found: Locator = bench.page.get_by_test_id("stMetric").filter(has_text=label)
    return found


def visit(bench: Any, entry: workbench.PageEntry) -> None:
    bench.page.get_by_test_id("stSidebarNav").get_by_role("link", name=entry.title).click()
    bench.settled(entry.title)


def expect_one_box(bench: Any, file: str, words: str, cure: str) -> None:
    """One box for the one cause: it names the file and what to do, with the button for it beside "Try again"."""
    expect(boxes(bench)).to_have_count(1)
    for part in (file, words, "What to do:"):
        expect(boxes(bench)).to_contain_text(part)
    again = bench.page.get_by_role("button", name="Try again")
    expect(again).to_have_count(1)
    if cure:
        button = bench.page.get_by_role("button", name=cure)
        expect(button).to_have_count(1)
        assert again.evaluate(IN_ONE_ROW, button.element_handle())
    expect(bench.page.get_by_text("does not know")).to_have_count(0)
    expect(bench.page.get_by_text("cannot read", exact=True)).to_be_visible()
    expect(bench.page.get_by_role("button", name="Run the sample workflow")).to_have_count(0)


def expect_all_pages_to_work_around(bench: Any, database: str, words: str, cure: str) -> None:
    """One visit of each page: what does not need the database is there, and nothing passes for empty."""
    file = f"{database}.db"
    bench.open("/", "Overview")
    expect_one_box(bench, file, words, cure)
    expect(metric(bench, "Backtest runs")).to_contain_text("1" if database == DATA else "cannot be read")
    expect(metric(bench, "Dataset versions")).to_contain_text("1" if database == RUNS else "cannot be read")

    visit(bench, workbench.DATA_PIPELINE)
    if database == DATA:
        expect_one_box(bench, file, words, cure)
        expect(bench.page.get_by_text("No dataset yet")).to_have_count(0)
    else:
        expect(boxes(bench)).to_have_count(0)
        expect(metric(bench, "Validated")).to_contain_text("PASS")
    expect(bench.page.get_by_role("button", name="Collect data")).to_be_enabled()

    visit(bench, workbench.BACKTESTING)
    expect_one_box(bench, file, words, cure)
    if database == DATA:
        expect(bench.page.get_by_text("Datasets cannot be read.")).to_be_visible()
        expect(metric(bench, "Sharpe")).to_contain_text("0.60")
        expect(bench.page.locator(".st-key-backtest-equity svg.main-svg").first).to_be_visible()
        expect(bench.page.get_by_text("Buy and hold is not drawn.")).to_be_visible()
        expect(bench.page.get_by_text("Cannot be shown here:")).to_have_count(1)  # the trades on the price
    else:
        expect(bench.page.get_by_text("Runs cannot be read")).to_be_visible()
        expect(bench.page.get_by_text("No run yet")).to_have_count(0)


@pytest.mark.parametrize("database", [DATA, RUNS])
@pytest.mark.parametrize("harm", KINDS, ids=lambda harm: harm.__name__)
def test_an_unusable_database_is_told_on_every_page_and_left_as_it_is(
    harm: Harm, database: str, bench: Any, filled: Filled
) -> None:
    filled.put(database, harm)
    before = filled.parts(database)
    cure = f"Set {database}.db{'-wal' if harm is orphaned else ''} aside…"
    expect_all_pages_to_work_around(bench, database, KINDS[harm], cure)
    assert filled.parts(database) == before


class Hold:
    """Another process that holds a database, against writers (`NORMAL`) or against everybody (`EXCLUSIVE`)."""

    def __init__(self) -> None:
        self._holder: subprocess.Popen[str] | None = None

    def __call__(self, file: Path, mode: str) -> None:
        command = [sys.executable, "-c", HOLD, str(file), mode]
        self._holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout
        assert self._holder.stdout.readline() == "held\n"

    def release(self) -> None:
        if self._holder:
            self._holder.communicate("x")
            self._holder = None


@pytest.fixture
def hold() -> Iterator[Hold]:
    holder = Hold()
    yield holder
    holder.release()


@pytest.mark.parametrize("database", [DATA, RUNS])
def test_a_database_that_nobody_may_read_for_now_offers_to_try_again(
    database: str, bench: Any, filled: Filled, hold: Hold
) -> None:
    filled.put(database, lambda file: hold(file, "EXCLUSIVE"))
    expect_all_pages_to_work_around(bench, database, "Another program holds", "")
    expect(bench.page.get_by_role("button", name="aside")).to_have_count(0)
    hold.release()
    bench.page.get_by_role("button", name="Try again").click()
    expect(boxes(bench)).to_have_count(0)
    bench.settled("Backtesting")
    expect(metric(bench, "Sharpe")).to_contain_text("0.60")
    expect(bench.page.get_by_role("button", name="Run backtest")).to_be_enabled()


@pytest.mark.parametrize("database", [DATA, RUNS])
def test_a_database_that_another_program_writes_to_can_be_read_and_the_button_works_afterwards(
    database: str, bench: Any, filled: Filled, hold: Hold
) -> None:
    entry, button, table = WRITERS[database]
    file = filled.folder / f"{database}.db"
    hold(file, "NORMAL")
    bench.open("/", "Overview")
    expect(metric(bench, "Backtest runs")).to_contain_text("1")
    visit(bench, entry)
    if database == RUNS:  # another run than the one that is stored
        length = bench.page.get_by_role("spinbutton", name="Fast length")
        length.fill("24")
        length.press("Enter")
        bench.settled(entry.title)
    address = bench.page.url
    bench.page.get_by_role("button", name=button).click()
    expect(boxes(bench)).to_contain_text("Another program holds")
    expect(bench.page.get_by_role("button", name="Try again")).to_be_visible()
    bench.settled(entry.title)
    expect(boxes(bench)).to_have_count(1)
    hold.release()
    bench.page.get_by_role("button", name=button).click()
    expect(bench.page).not_to_have_url(address)  # it names the run, or the job
    expect(boxes(bench)).to_have_count(0)
    expect(bench.page.get_by_role("button", name=button)).to_be_enabled()
    bench.settled(entry.title)
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as reader:
        assert reader.execute(f"SELECT count(*) FROM {table}").fetchone() == (2,)  # noqa: S608  # a table of ours


def test_a_database_is_set_aside_from_the_page_and_the_page_goes_on_with_an_empty_one(
    bench: Any, filled: Filled
) -> None:
    filled.put(DATA, damaged)
    file = filled.folder / f"{DATA}.db"
    content = file.read_bytes()
    bench.open("/data_pipeline", "Data Pipeline")
    bench.page.get_by_role("button", name=f"Set {DATA}.db aside…").click()
    expect(bench.page.get_by_text("will be renamed, not deleted")).to_be_visible()
    assert file.read_bytes() == content
    bench.page.get_by_role("button", name=f"Set {DATA}.db aside", exact=True).click()
    expect(bench.page.get_by_text(f"{DATA}.db now stands as {DATA}.set-aside-")).to_be_visible()
    expect(bench.page.get_by_text("No dataset yet", exact=True)).to_be_visible()
    expect(boxes(bench)).to_have_count(0)
    [moved] = filled.folder.glob(f"{DATA}.set-aside-*.db")
    assert moved.read_bytes() == content
    bench.press("data-collect")
    expect(metric(bench, "Validated")).to_contain_text("PASS")
    visit(bench, workbench.OVERVIEW)
    expect(boxes(bench)).to_have_count(0)
    expect(metric(bench, "Backtest runs")).to_contain_text("1")
    assert moved.read_bytes() == content
