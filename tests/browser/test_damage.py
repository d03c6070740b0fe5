"""A database that cannot be used, in Chromium; tests/workbench/test_damage.py holds every page to every way of it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from harmed.databases import KINDS, Harm, Hold, damaged, orphaned
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

import workbench

pytestmark = pytest.mark.browser
DATA, RUNS = "data_pipeline", "backtest_results"
IN_ONE_ROW = "(one, other) => one.getBoundingClientRect().top === other.getBoundingClientRect().top"


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
    tmp_path_factory: pytest.TempPathFactory,
    sample_home: Path,
    serve: Callable[..., AbstractContextManager[str]],
) -> Iterator[Filled]:
    home = tmp_path_factory.mktemp("damage")
    shutil.copytree(sample_home / "output_central", home / "output_central")
    shutil.copytree(sample_home / "output_central", home / "kept")
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


@pytest.mark.parametrize(("harm", "database"), [(damaged, DATA), (orphaned, RUNS)], ids=["damaged", "orphaned"])
def test_an_unusable_database_is_told_on_every_page_and_left_as_it_is(
    harm: Harm, database: str, bench: Any, filled: Filled
) -> None:
    filled.put(database, harm)
    before = filled.parts(database)
    cure = f"Set {database}.db{'-wal' if harm is orphaned else ''} aside…"
    expect_all_pages_to_work_around(bench, database, KINDS[harm], cure)
    assert filled.parts(database) == before


@pytest.fixture
def hold() -> Iterator[Hold]:
    holder = Hold()
    yield holder
    holder.release()


def test_a_database_that_nobody_may_read_for_now_offers_to_try_again(bench: Any, filled: Filled, hold: Hold) -> None:
    filled.put(RUNS, lambda file: hold(file, "EXCLUSIVE"))
    bench.open("/backtesting", "Backtesting")
    expect_one_box(bench, f"{RUNS}.db", "Another program holds", "")
    hold.release()
    bench.page.get_by_role("button", name="Try again").click()
    expect(boxes(bench)).to_have_count(0)
    bench.settled("Backtesting")
    expect(metric(bench, "Sharpe")).to_contain_text("0.60")
    expect(bench.page.get_by_role("button", name="Run backtest")).to_be_enabled()


def test_a_database_that_another_program_writes_to_can_be_read_and_the_button_works_afterwards(
    bench: Any, filled: Filled, hold: Hold
) -> None:
    file = filled.folder / f"{RUNS}.db"
    hold(file, "NORMAL")
    bench.open("/backtesting", "Backtesting")
    length = bench.page.get_by_role("spinbutton", name="Fast length")
    length.fill("24")  # another run than the one that is stored
    length.press("Enter")
    bench.settled("Backtesting")
    address = bench.page.url
    bench.page.get_by_role("button", name="Run backtest").click()
    expect(boxes(bench)).to_contain_text("Another program holds")
    expect(bench.page.get_by_role("button", name="Try again")).to_be_visible()
    bench.settled("Backtesting")
    expect(boxes(bench)).to_have_count(1)
    hold.release()
    bench.page.get_by_role("button", name="Run backtest").click()
    expect(bench.page).not_to_have_url(address)  # it names the run
    expect(boxes(bench)).to_have_count(0)
    expect(bench.page.get_by_role("button", name="Run backtest")).to_be_enabled()
    bench.settled("Backtesting")
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as reader:
        assert reader.execute("SELECT count(*) FROM backtest_runs").fetchone() == (2,)


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
