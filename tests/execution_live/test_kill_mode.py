"""`main.py --mode kill` and `--mode arm`: one word stops, two let go on, and nothing that is missing hinders a kill."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from desk_bench import Bench, deployed

import main
from core.kill_switch import is_killed, killed_by
from execution.live import switch
from execution.live.switch import history
from mql5.bridge.signals import SignalStore

MAIN = Path(main.__file__)


def said(*arguments: str, python: tuple[str, ...] = (), **variables: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of the command line in a process of its own."""
    done = subprocess.run(
        [sys.executable, *python, str(MAIN), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_kill_and_the_two_steps_that_arm(home: Path) -> None:
    status, out, wrong = said("--mode", "kill", "--reason", "central bank speaks")
    assert (status, wrong) == (main.EXIT_OK, "")
    assert out.startswith("The kill switch is on: no entry is decided, sent or executed.")
    told = json.loads((home / "output_central" / "KILL").read_text(encoding="utf-8"))
    assert (told["reason"], told["close_positions"]) == ("central bank speaks", False)
    assert told["by"].endswith("command line")

    status, out, wrong = said("--mode", "arm")
    assert (status, wrong) == (main.EXIT_OK, "")
    assert is_killed()
    found = re.search(r"python main\.py --mode arm --code ([A-Z]{6})\n", out)
    assert found
    wrong_code = "A" * 6 if found[1] != "A" * 6 else "B" * 6
    status, _, wrong = said("--mode", "arm", "--code", wrong_code)
    assert status == main.EXIT_FAILED
    assert len(wrong.splitlines()) == 1
    assert is_killed()
    status, out, wrong = said("--mode", "arm", "--code", found[1])
    assert (status, wrong) == (main.EXIT_OK, "")
    assert not is_killed()
    assert [row["event"] for row in history()] == ["armed", "arming", "killed"]


def test_a_kill_may_close_what_is_open(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    deployed()
    assert main.main(["--mode", "kill", "--close"]) == main.EXIT_OK
    assert "The terminals are asked to close EURUSD." in capsys.readouterr().out
    assert [row["signal_type"] for row in SignalStore().all()] == ["CLOSE"]
    assert (killed_by() or {})["reason"] == "asked for on the command line"


def test_there_is_nothing_to_arm_while_nothing_is_killed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--mode", "arm"]) == main.EXIT_FAILED
    assert capsys.readouterr().err == "The kill switch is off. There is nothing to arm.\n"


def test_a_kill_needs_no_package(home: Path) -> None:
    # -S leaves site-packages out, as on a machine where nothing was installed.
    status, out, wrong = said("--mode", "kill", "--reason", "wrong python", python=("-S", "-E"))
    assert status == main.EXIT_FAILED
    assert f"{home / 'output_central' / 'KILL'} was written" in out
    assert len(wrong.splitlines()) == 1
    assert "pip install -r requirements.txt" in wrong
    assert is_killed()
    told = killed_by()
    assert told
    assert told["by"] == "file"
    assert told["reason"].endswith("wrong python")
    status, out, _ = said("--mode", "kill", python=("-S", "-E"))  # what is there stays
    assert killed_by() == told
    status, _, wrong = said("--mode", "arm", python=("-S", "-E"))
    assert status == main.EXIT_USAGE
    assert "pip install" in wrong


def test_a_damaged_database_is_told_and_the_file_kills_alone(home: Path) -> None:
    folder = home / "output_central"
    folder.mkdir()
    (folder / "trading.db").write_bytes(b"no database at all" * 100)
    status, out, wrong = said("--mode", "kill")
    assert (status, wrong) == (main.EXIT_FAILED, "")
    assert out.startswith("The kill switch is on")
    assert "It could not be recorded" in out
    assert is_killed()


def test_a_locked_database_is_told_and_the_file_kills_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main.main(["--mode", "kill"]) == main.EXIT_OK
    switch.arm("me", switch.ask_to_arm("me"))
    monkeypatch.setenv("SEQUENCE_STORE__BUSY_TIMEOUT_SECONDS", "0.05")
    with closing(sqlite3.connect(home / "output_central" / "trading.db")) as holder:
        holder.execute("BEGIN IMMEDIATE")
        status, out, _ = said("--mode", "kill")
        holder.rollback()
    assert status == main.EXIT_FAILED
    assert "It could not be recorded: Another program holds" in out
    assert is_killed()


def test_a_broken_config_file_does_not_keep_anyone_from_killing(home: Path) -> None:
    (home / "config.yaml").write_text("gui:\n  prt: 1\n", encoding="utf-8")
    status, out, _ = said("--mode", "kill")
    assert status == main.EXIT_FAILED
    assert out.startswith("The kill switch is on")
    assert is_killed()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_one_clear_line(home: Path) -> None:
    home.chmod(0o500)
    status, _, wrong = said("--mode", "kill")
    home.chmod(0o700)
    assert status == main.EXIT_FAILED
    assert wrong.splitlines()[-1].startswith("The kill switch could NOT be switched on.")


def test_where_no_folder_can_be_made_that_is_said_and_counts_as_killed(home: Path) -> None:
    (home / "output_central").write_text("", encoding="utf-8")
    status, out, _ = said("--mode", "kill")
    assert status == main.EXIT_FAILED
    assert "It could not be recorded" in out
    assert is_killed()  # nobody can tell whether the file is there
    status, out, wrong = said("--mode", "kill", python=("-S", "-E"))
    assert (status, out) == (main.EXIT_FAILED, "")
    assert wrong.startswith("The kill switch could NOT be switched on: ")
    assert "by hand" in wrong


def test_a_kill_imports_nothing_heavy(home: Path) -> None:
    check = (
        "import sys, main; main.main(['--mode', 'kill']); main.main(['--mode', 'kill']); "
        "heavy = {'torch', 'sklearn', 'xgboost', 'numba', 'backtesting', 'scipy', 'streamlit', 'plotly', 'pandas'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, cwd=MAIN.parent, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
