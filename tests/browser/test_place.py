"""A timer that rings while a page works takes nothing back: neither the page it leads to nor what it opened."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
# Two pages and a strip that is redrawn by a timer, as in app.py; the buttons take longer than the timer.
APP = """
import time
import streamlit as st
from components.panels.choice import choose, choose_next
from components.panels.defaults import keep_defaults
from components.panels.page import do_once, redraw
from components.panels.place import note_place, return_if_lost

def work():
    time.sleep(2)
    choose_next("run", "new")

def slow():
    do_once(st.container(), "Run", "slow.run", work)
    choose("Run", ["old", "new"], "run", str)
    if st.button("Go"):
        time.sleep(2)
        st.switch_page(pages[1], query_params={"run": "seven"})

def goal():
    keep_defaults({"amount": 7})
    amount = st.number_input("Amount", 1, 9, key="amount")
    st.markdown(f"arrived with {st.query_params.get('run')}, amount {amount}")
    st.button("Again")

pages = [st.Page(slow, default=True), st.Page(goal)]
chosen = st.navigation(pages)

def strip():
    return_if_lost()
    st.session_state["rings"] = st.session_state.get("rings", 0) + 1
    st.markdown(f"rung {st.session_state['rings']} times")

note_place(chosen)
redraw(strip, "500ms")
chosen.run()
note_place(chosen, drawn=True)
"""


@pytest.fixture
def address(home: Path, serve: Callable[..., AbstractContextManager[str]]) -> Iterator[str]:
    script = home / "two_pages.py"
    script.write_text(APP, encoding="utf-8")
    with serve(
        home, ("streamlit", "run", str(script), "--server.headless", "true", "--server.port", "PORT")
    ) as address:
        yield address


def test_what_long_work_has_made_is_opened(page: Page, address: str) -> None:
    expect.set_options(timeout=60_000)
    page.goto(address)
    expect(page).to_have_url(re.compile("run=old"))
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("button", name="Run")).to_be_disabled()
    expect(page.get_by_role("button", name="Run")).to_be_enabled()
    rung(page, 2)
    assert page.url.endswith("run=new")


def test_a_page_reached_after_long_work_is_there_with_its_address(page: Page, address: str) -> None:
    expect.set_options(timeout=60_000)
    page.goto(address)
    page.get_by_role("button", name="Go").click()
    arrived = page.get_by_text("arrived with seven, amount 7")
    expect(arrived).to_be_visible()
    rung(page, 3)
    expect(arrived).to_be_visible()
    expect(page.get_by_label("Amount")).to_have_value("7")  # of what the browser holds and sends
    page.get_by_role("button", name="Again").click()
    rung(page, 1)
    expect(arrived).to_be_visible()
    assert page.url.endswith("/goal?run=seven")


def rung(page: Page, times: int) -> None:
    """Wait until the timer has rung so many times again."""
    for _ in range(times):
        words = page.get_by_text("rung").inner_text()
        expect(page.get_by_text(words, exact=True)).to_have_count(0)
