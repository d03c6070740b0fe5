"""The interface's own page: everything it shows comes from the bridge, and its "Try it out" and its curl line work."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

import workbench

pytestmark = pytest.mark.browser
ROOT = Path(workbench.__file__).parent


@pytest.fixture
def bridge(home: Path, serve: Callable[..., AbstractContextManager[str]]) -> Iterator[str]:
    """A bridge as a user starts it, with a key of its own making; its address."""
    with serve(home, ("mql5.api_server",), "/api/v1/health", SEQUENCE_BRIDGE_PORT="PORT") as address:
        yield address


def test_the_page_is_whole_without_the_network_and_tries_out_a_request(page: Page, bridge: str, home: Path) -> None:
    key = (home / "output_central" / "bridge.key").read_text(encoding="ascii").strip()
    asked: list[str] = []
    failed: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.set_default_timeout(30_000)
    expect.set_options(timeout=30_000)
    page.goto(f"{bridge}/api/v1/docs")
    expect(page.get_by_text("Sequence: the MetaTrader bridge")).to_be_visible()
    expect(page.locator(".opblock")).to_have_count(len(operations(bridge)))

    page.get_by_role("button", name="Authorize").first.click()
    page.locator(".auth-container input").fill(key)
    page.locator(".auth-btn-wrapper button.authorize").click()
    page.locator(".auth-btn-wrapper button.btn-done").click()

    pending = page.locator(".opblock-get", has=page.locator('[data-path="/api/v1/signals/pending"]'))
    pending.locator(".opblock-summary-control").click()
    pending.get_by_role("button", name="Try it out").click()
    pending.get_by_role("button", name="Execute").click()
    answer = pending.locator(".live-responses-table .response").first
    expect(answer.locator(".response-col_status")).to_contain_text("200")
    expect(answer).to_contain_text('"pending_signals": []')

    assert not failed
    assert {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "blob:"))} == {
        urlsplit(bridge).netloc
    }
    line = pending.locator(".curl-command .curl").inner_text()
    assert key in line
    if shutil.which("curl"):
        done = subprocess.run(["sh", "-c", f"{line} -s"], capture_output=True, text=True, check=True)  # noqa: S607
        assert json.loads(done.stdout)["count"] == 0


def operations(bridge: str) -> list[Any]:
    """What the interface's document lists: an operation a method and path."""
    with urllib.request.urlopen(f"{bridge}/api/v1/docs/openapi.json", timeout=10) as answer:
        paths: dict[str, dict[str, Any]] = json.load(answer)["paths"]
    return [operation for methods in paths.values() for operation in methods.values()]
