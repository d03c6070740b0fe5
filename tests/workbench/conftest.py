"""AppTest of the whole workbench: the pages as the server runs them, without a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

import workbench
from core.job_process import find, run_job
from core.jobs import Job

APP = Path(workbench.__file__).with_name("app.py")


@pytest.fixture(scope="session", autouse=True)
def _manifests_read_once() -> Iterator[None]:
    """Streamlit looks for components in the metadata of every installed package, for each app that is opened."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture
def open_page() -> Callable[..., AppTest]:
    """Open a page of the workbench as a fresh visitor; with `query_params` the page's own file, as a link does."""

    def open_it(file: str, **query_params: str) -> AppTest:
        if query_params:
            page = AppTest.from_file(str(APP.parent / file), default_timeout=60)
            for name, value in query_params.items():
                page.query_params[name] = value
            return page.run()
        app = AppTest.from_file(str(APP), default_timeout=60).run()
        return app if file == workbench.OVERVIEW.file else app.switch_page(file).run()

    return open_it


@pytest.fixture
def work_through() -> Callable[[], list[Job]]:
    """Do what a worker would with the queued jobs, in this process; the jobs as they ended."""

    def work() -> list[Job]:
        done = []
        for name, queue in workbench.JOBS.queues.items():
            kinds = workbench.JOBS.kinds[name]
            while job := queue.claim(kinds, "test"):
                run_job(find(kinds[job.kind].target), queue.begin(job.id, job.attempt))
                done.append(queue.job(job.id))
        return done

    return work
