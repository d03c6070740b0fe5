"""A real server and a real Chromium: what a user sees, and nothing less."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

import workbench
from core import store
from core.child import stop_child
from core.errors import StoreUnusableError
from core.jobs import JobStatus

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
APP = Path(workbench.__file__).with_name("app.py")
# The machine may be closed to the internet: without these the browser keeps knocking at its maker's doors.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

HEADER_PX, ROW_PX = 36, 28  # of a table, as components/panels/table.py draws it


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("browser"):  # on a busy machine; the summary names it, see CONTRIBUTING.md
            item.add_marker(pytest.mark.flaky(reruns=1))
    if CHROMIUM is None and not os.environ.get("REQUIRE_BROWSER"):
        skip = pytest.mark.skip(reason="no Chromium on this machine (Debian: apt-get install chromium)")
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    assert CHROMIUM, "REQUIRE_BROWSER is set and there is no Chromium"
    return {**browser_type_launch_args, "executable_path": CHROMIUM, "args": QUIET}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    # Without transitions a page is drawn once instead of sixty times a second, and a click meets what stays there.
    return {**browser_context_args, "viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce"}


WORKBENCH = ("main", "--mode", "gui", "--port", "PORT")


@contextmanager
def serving(
    home: Path, module: Sequence[str] = WORKBENCH, health: str = "/_stcore/health", **variables: str
) -> Iterator[str]:
    """A fresh workbench with its worker over `home`, as a user starts it, or another server; its address.

    `module` and `variables` are what Python runs and with what in its environment; the word PORT stands for a free
    port. The server is there once it answers at `health`.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "core.child", *(word.replace("PORT", port) for word in module)]
    # Most tests do without the bridge, whose start costs a second of a processor.
    environment = {"SEQUENCE_BRIDGE__WITH_WORKBENCH": "false", **os.environ, "SEQUENCE_HOME": str(home)}
    environment |= {name: value.replace("PORT", port) for name, value in variables.items()}
    started = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        cwd=APP.parent,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"{address}{health}", timeout=1).close()
            break
        except OSError:
            assert started.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.1)
    yield address
    stop_child(started)


@pytest.fixture(scope="session")
def serve() -> Callable[..., AbstractContextManager[str]]:
    """For tests that share a server, or start one with variables of its own."""
    return serving


class Standing:
    """A workbench whose server and worker stand for many tests; each test begins with databases of its own."""

    def __init__(self, home: Path, address: str) -> None:
        self.home = home
        self.address = address

    def empty(self) -> None:
        """Leave what the processes write of themselves, and nothing else; what runs has ended before."""
        deadline = time.monotonic() + 60
        for queue in workbench.JOBS.queues.values():
            with suppress(StoreUnusableError):  # a test harmed it
                while queue.jobs([JobStatus.RUNNING]):
                    assert time.monotonic() < deadline, "a job of the test before still runs"
                    time.sleep(0.1)
        # A database goes before its log, into which the next one would be written otherwise.
        for entry in sorted((self.home / "output_central").glob("*")):
            if entry.is_dir() and entry.name != "logs":
                shutil.rmtree(entry)
            elif entry.is_file() and not entry.name.startswith("operations.db"):
                entry.unlink(missing_ok=True)


_stands = ExitStack()
_standing: list[Standing] = []  # the one, while it stands


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End the standing workbench with the last test here: beside the thousands that follow it would be in the way."""
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
        _stands.close()


@pytest.fixture
def standing(tmp_path_factory: pytest.TempPathFactory) -> Standing:
    """The one workbench of all tests marked `standing`."""
    if not _standing:
        home = tmp_path_factory.mktemp("standing")
        # A test kills its worker: another one takes over soon.
        address = _stands.enter_context(serving(home, SEQUENCE_JOBS__LEASE_SECONDS="2"))
        _stands.callback(_standing.clear)
        _standing.append(Standing(home, address))
    return _standing[0]


@pytest.fixture(autouse=True)
def home(home: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The test's own folder, or that of the workbench that stands for many, with nothing in it."""
    if request.node.get_closest_marker("standing") is None:
        yield home
        return
    standing: Standing = request.getfixturevalue("standing")
    monkeypatch.setenv("SEQUENCE_HOME", str(standing.home))
    standing.empty()
    yield standing.home
    for path in [path for path in store._opened if standing.home in path.parents]:
        store._opened.pop(path).engine.dispose()


@pytest.fixture
def server(home: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A workbench with its worker over the test's folder, as a user starts it; its address."""
    if request.node.get_closest_marker("standing") is not None:
        yield request.getfixturevalue("standing").address
        return
    with serving(home) as address:
        yield address


class Workbench:
    """What a user does in the browser, and waits for."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)

    def open(self, path: str, title: str) -> None:
        self.page.goto(self.address + path)
        self.settled(title)

    def settled(self, title: str) -> None:
        """The page of that title is there and its script has ended without an exception."""
        expect(self.page.get_by_role("heading", name=title, exact=True)).to_be_visible()
        self.page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
        expect(self.page.get_by_test_id("stException")).to_have_count(0)
        expect(self.page.get_by_role("dialog")).to_have_count(0)

    def press(self, key: str) -> None:
        self.page.locator(f".st-key-{key} button").click()

    def cell(self, table: str, column: int, row: int) -> Locator:
        """A cell of a table; its canvas keeps a copy for readers of screens. Column 0 selects, where rows can be."""
        return self.page.locator(f".st-key-{table} #glide-cell-{column}-{row}")

    def select_row(self, table: str, row: int) -> None:
        """Select a row of a table with the mouse, once the table is drawn."""
        expect(self.cell(table, 1, row)).to_be_attached()
        grid = self.page.locator(f'.st-key-{table} [data-testid="stDataFrame"]')
        grid.scroll_into_view_if_needed()
        grid.click(position={"x": 16, "y": HEADER_PX + row * ROW_PX + ROW_PX // 2})


@pytest.fixture
def bench(page: Page, server: str) -> Workbench:
    return Workbench(page, server)


@pytest.fixture
def other_bench(new_context: Callable[..., BrowserContext], server: str) -> Workbench:
    """A second reader of the same workbench, with a browser of his own."""
    return Workbench(new_context().new_page(), server)
