"""What every test stands on: a workbench of its own in a temporary folder, never the user's."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

# Many processes train and predict at once here: threads that wait shall not keep the processors busy meanwhile.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
from hypothesis import settings

from core import store
from core.store import Module, Store

sys.path.append(str(Path(__file__).parent))  # where `loopback` stands, the servers of vendors

from loopback.base import served
from loopback.histdata import HistDataServer
from loopback.yahoo import YahooServer

ROOT = Path(__file__).resolve().parents[1]
# `pytest --hypothesis-profile full` tries tests without a number of their own so often.
settings.register_profile("full", max_examples=10_000, deadline=None)

_BUILD = Store._build


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty SEQUENCE_HOME; settings variables of the shell that started pytest are put aside."""
    for name in list(os.environ):
        if name.upper().startswith("SEQUENCE_"):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("SEQUENCE_HOME", str(folder))
    yield folder
    # Thousands of tests in one process would keep three files open for every database they made.
    for path in [path for path in store._opened if folder in path.parents]:
        store._opened.pop(path).engine.dispose()


@pytest.fixture(scope="session", autouse=True)
def _databases_built_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Thousands of tests begin with new databases: each is built once in this process, and copied."""
    folder = tmp_path_factory.mktemp("built")
    built: dict[tuple[object, ...], bytes] = {}

    def copy(self: Store, file: Path) -> None:
        files = sorted((each, each.stat().st_mtime_ns) for each in self.module.migrations.glob("v*.py"))
        key = (self.module.application_id, *files)
        if key not in built:
            made = folder / f"{len(built)}.db"
            _BUILD(self, made)
            built[key] = made.read_bytes()
        file.write_bytes(built[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "_build", copy)
        yield


@pytest.fixture
def databases_built_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of the building itself."""
    monkeypatch.setattr(Store, "_build", _BUILD)


@pytest.fixture(scope="session")
def sample_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that holds what the sample workflow leaves: made once, to be copied and never used."""
    made = tmp_path_factory.mktemp("sample")
    # In a process of its own, which closes the databases: they are whole without their logs.
    script = "import workbench; workbench.run_sample_workflow()"
    environment = {**os.environ, "SEQUENCE_HOME": str(made)}
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, check=True)
    return made


@pytest.fixture
def sample_run(home: Path, sample_home: Path) -> str:
    """The workbench of the test holds what the sample workflow leaves; the id of its run."""
    made, folder = sample_home / "output_central", home / "output_central"
    # Databases last: a row never names a folder that is not there yet.
    for entry in sorted(made.iterdir(), key=lambda entry: entry.is_file()):
        if entry.is_dir():
            shutil.copytree(entry, folder / entry.name, dirs_exist_ok=True)
        elif not (folder / entry.name).exists():
            shutil.copy(entry, folder / f"{entry.name}.coming")
            (folder / f"{entry.name}.coming").rename(folder / entry.name)  # a server may look at any moment
    [run] = (folder / "runs").iterdir()
    return run.name


@pytest.fixture
def yahoo_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[YahooServer]:
    """Yahoo Finance on the loopback; the source YFinance asks it."""
    yield from served(YahooServer, monkeypatch)


@pytest.fixture
def histdata_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HistDataServer]:
    """HistData.com on the loopback; the source HistData asks it."""
    yield from served(HistDataServer, monkeypatch)


DISK_MIB = 16
# Mounts a disk of DISK_MIB where nobody else sees it, and starts Python there.
MOUNTED = 'mount -t tmpfs -o size="$1"m none "$SEQUENCE_HOME" && shift && exec "$@"'


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest -m faults --kills 100 --seed 7` runs the long proofs in full, and a failing one again."""
    parser.addoption("--kills", type=int, default=10, help="how many kills each fault test deals")
    parser.addoption("--hours", type=int, default=60, help="how many market hours the replay of a deployment lasts")
    parser.addoption("--seed", type=int, default=None, help="the seed of a fault test; a fresh one is printed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that hold long proofs come first, so that no worker is left alone with one at the end."""
    long = {item.path for item in items if item.get_closest_marker("faults")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How many kills a fault test deals."""
    dealt: int = request.config.getoption("--kills")
    return dealt


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Chance that can be had again: the seed stands in the output of a failing test."""
    seed = request.config.getoption("--seed")
    seed = random.SystemRandom().randrange(2**31) if seed is None else seed
    print(f"--seed {seed}")  # noqa: T201  # shown with a failing test
    return random.Random(seed)  # noqa: S311  # chance, not secrecy


@pytest.fixture
def left_by_version_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Module, str], Path]:
    """Make a workbench whose database was left by version 1 of a module's tables; `files` is the folder beside it.

    The rows are those of the test's own workbench, in tables that only the first migration made.
    """

    def leave(module: Module, files: str) -> Path:
        newest = Store(module).path
        migrations = tmp_path / "migrations"
        migrations.mkdir()
        for first_tables in module.migrations.glob("v0001_*.py"):
            shutil.copy(first_tables, migrations)
        monkeypatch.setenv("SEQUENCE_HOME", str(tmp_path / "making"))
        first = Store(dataclasses.replace(module, migrations=migrations))
        with first.write():
            pass  # creates it
        old = tmp_path / "old"
        (old / "output_central").mkdir(parents=True)
        with (
            closing(sqlite3.connect(first.path)) as made,
            closing(sqlite3.connect(old / "output_central" / newest.name)) as database,
        ):
            made.backup(database)  # a file of its own, which no connection of this process has met
            database.execute("ATTACH ? AS newest", (str(newest),))
            tables = database.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'").fetchall()
            for (table,) in tables:
                columns = ", ".join(row[1] for row in database.execute(f"PRAGMA main.table_info({table})"))
                database.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM newest.{table}")  # noqa: S608
            database.commit()
            assert database.execute("PRAGMA main.user_version").fetchone() == (1,)
        shutil.copytree(newest.parent / files, old / "output_central" / files)
        return old

    return leave


# Kills a process at the point that its first argument names, while DELETE is done; the folder's FILE goes first.
_KILLED_WHILE_DELETING = """
import os, pathlib, shutil, signal, sys
from contextlib import contextmanager
from core.store import Store
from data.pipeline_controller import controller
from execution.backtest_manager import manager

def killed(*_args, **_kwargs):
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

def half_removed(folder, **_options):
    (pathlib.Path(folder) / "FILE").unlink()
    killed()

@contextmanager
def written_then_killed(self):
    with write(self) as connection:
        yield connection
        killed()

write = Store.write
if sys.argv[1] == "before the commit":
    Store.write = written_then_killed
elif sys.argv[1] == "between row and folder":
    Store.remove_folder = killed
elif sys.argv[1] == "half way through the folder":
    shutil.rmtree = half_removed
DELETE
print("not killed")
"""


@pytest.fixture
def killed_while_deleting(home: Path) -> Callable[[str, str, str], None]:
    """Kill a process that does `delete` at a point (see above); `file` is the one of the folder that goes first."""

    def kill(delete: str, file: str, point: str) -> None:
        script = _KILLED_WHILE_DELETING.replace("DELETE", delete).replace("FILE", file)
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", script, point], capture_output=True, text=True, check=False
        )
        assert ended.returncode != 0, ended.stdout
        assert (ended.stdout, ended.stderr) == ("", "")

    return kill


@pytest.fixture
def tables_of() -> Callable[[Path, Module], dict[str, list[tuple[object, ...]]]]:
    """Read what SQLite says of the columns of a module's tables in one workbench, and whether each is STRICT."""

    def read(workbench: Path, module: Module) -> dict[str, list[tuple[object, ...]]]:
        with closing(sqlite3.connect(workbench / "output_central" / f"{module.name}.db")) as database:
            return {
                table.name: [
                    *database.execute(f"PRAGMA table_info({table.name})"),
                    *database.execute("SELECT strict FROM pragma_table_list WHERE name = ?", (table.name,)),
                ]
                for table in module.metadata.sorted_tables
            }

    return read


@pytest.fixture
def small_disk(home: Path) -> list[str]:
    """The beginning of a command that runs on a disk of 16 MiB; skipped where this user may not mount one."""
    unshare = shutil.which("unshare")
    command = [unshare or "", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNTED, "sh", str(DISK_MIB)]
    if not unshare or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs a user who may mount a small disk of his own (unshare, tmpfs)")
    return command
