"""The rules of the design that a reader cannot see in one file: who may import whom, and who imports what late."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import workbench

ROOT = Path(workbench.__file__).parent
# Lowest first; a folder imports only folders before it.
FLOORS = ("core", "market", "mql5", "data", "scanner", "train", "execution", "operations", "components", "pages")
ROOMS = [floor for floor in FLOORS if (ROOT / floor).is_dir()]
# components draws what the floors return; it may also name the pages there are.
COMPOSITION = {"workbench"}


def files_of(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports_of(file: Path) -> set[str]:
    """Every module a file imports, at its top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def packages_of(file: Path) -> set[str]:
    return {name.split(".")[0] for name in imports_of(file)}


@pytest.mark.parametrize("floor", ROOMS)
def test_a_floor_imports_only_floors_below_it(floor: str) -> None:
    above = set(FLOORS[FLOORS.index(floor) + 1 :]) | {"app", "main"}
    if floor not in {"components", "pages"}:
        above |= COMPOSITION
    # The bridge's server is a composition root like main.py: it hands live bars and our runs to what is below them.
    files = [file for file in files_of(floor) if file != ROOT / "mql5" / "api_server.py"]
    wrong = {str(file.relative_to(ROOT)): packages_of(file) & above for file in files}
    assert {file: names for file, names in wrong.items() if names} == {}


def test_streamlit_is_imported_only_where_pages_are_drawn() -> None:
    allowed = ("pages/", "components/panels/")
    users = [
        file.relative_to(ROOT).as_posix()
        for floor in ROOMS
        for file in files_of(floor)
        if "streamlit" in packages_of(file)
    ]
    assert users
    assert [file for file in users if not file.startswith(allowed)] == []


def test_sqlalchemy_is_imported_only_by_files_that_own_tables() -> None:
    users = {
        file.relative_to(ROOT).as_posix()
        for floor in ROOMS
        for file in files_of(floor)
        if packages_of(file) & {"sqlalchemy", "alembic"} and not file.parent.name.endswith("migrations")
    }
    assert users == {
        "core/heartbeats.py",
        "core/jobs.py",
        "core/migrate.py",
        "core/schedules.py",
        "core/store.py",
        "core/tables.py",
        "data/bar_rows.py",
        "data/bar_tables.py",
        "data/jobs.py",
        "data/news.py",
        "data/pipeline_controller.py",
        "data/sources/throttle.py",
        "data/tables.py",
        "data/versions.py",
        "execution/ledger.py",
        "execution/live/circumstances.py",
        "execution/live/decisions.py",
        "execution/live/deployments.py",
        "execution/live/switch.py",
        "execution/live/tables.py",
        "execution/runs.py",
        "execution/sweep_store.py",
        "execution/tables.py",
        "mql5/bridge/deals.py",
        "mql5/bridge/feed.py",
        "mql5/bridge/imports.py",
        "mql5/bridge/keys.py",
        "mql5/bridge/signals.py",
        "mql5/bridge/terminals.py",
        "mql5/bridge/ticks.py",
        "mql5/tables.py",
        "scanner/store.py",
        "scanner/tables.py",
        "train/jobs.py",
        "train/monitor.py",
        "train/registry.py",
        "train/tables.py",
        "train/training_manager.py",
    }


@pytest.mark.parametrize("floor", ROOMS)
def test_an_init_file_holds_one_docstring(floor: str) -> None:
    for file in (ROOT / floor).rglob("__init__.py"):
        body = ast.parse(file.read_text(encoding="utf-8")).body
        assert len(body) == 1, file
        assert isinstance(body[0], ast.Expr), file


@pytest.mark.parametrize(
    "door",
    [
        "data.pipeline_controller",
        "execution.backtest_manager",
        "train.training_manager",
        "workbench",
        "execution.registry",
        "scanner.multi_timeframe_scanner",
        "scanner.jobs",
    ],
)
def test_a_door_imports_nothing_heavy_and_touches_no_disk(door: str, tmp_path: Path) -> None:
    check = (
        f"import sys, {door}; "
        "heavy = {'torch', 'sklearn', 'xgboost', 'numba', 'backtesting', 'bokeh', 'scipy', 'alembic', 'streamlit'}; "
        "heavy.add('plotly'); "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.strip() == "[]"
    assert list(tmp_path.rglob("output_central")) == []


def test_a_page_stays_thin() -> None:
    for file in files_of("pages"):
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 90, file


def test_only_one_place_draws_by_a_timer() -> None:
    drawing = [*files_of("components"), *files_of("pages"), ROOT / "app.py"]
    by_timer = [file.name for file in drawing if "run_every" in file.read_text(encoding="utf-8")]
    assert by_timer == ["page.py"]  # whose timers rest while a button's work is done


def test_every_page_has_an_address_for_the_servers_first_request() -> None:
    addresses = {entry.url_path for entry in workbench.PAGES if entry is not workbench.OVERVIEW}
    assert {file.stem for file in (ROOT / "pages").glob("*.py")} == addresses


def test_every_page_listed_is_a_file_in_a_section_folder() -> None:
    for entry in workbench.PAGES:
        file = ROOT / entry.file
        assert file.is_file()
        assert file.parent.parent.name == "pages"


def test_nothing_named_data_hides_the_package() -> None:
    assert not (ROOT / "tests" / "data" / "__init__.py").exists()
