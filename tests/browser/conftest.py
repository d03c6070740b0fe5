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
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

import workbench
from core.child import stop_child

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
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
    return {**browser_context_args, "viewport": {"width": 1440, "height": 900}}


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


@pytest.fixture
def server(home: Path) -> Iterator[str]:
    """A fresh workbench with its worker, over the test's own folder, as a user starts it; its address."""
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


@pytest.fixture
def bench(page: Page, server: str) -> Workbench:
    return Workbench(page, server)


@pytest.fixture
def other_bench(new_context: Callable[..., BrowserContext], server: str) -> Workbench:
    """A second reader of the same workbench, with a browser of his own."""
    return Workbench(new_context().new_page(), server)
