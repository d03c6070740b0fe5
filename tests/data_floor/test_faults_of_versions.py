"""A disk that fills while a version is written: a clear error, nothing half visible, no debris after the next start."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.errors import DiskError
from core.folders import maker_is_dead
from core.job_process import run_job
from core.jobs import Kind
from core.settings import output_folder
from core.store import set_aside
from data import jobs
from data.pipeline_controller import DataConfig, controller
from data.versions import Lineage, datasets_folder, hash_of, publish_version

RunScript = Callable[..., subprocess.CompletedProcess[str]]

# Fills a disk of its own again and again, so that publishing meets the end of it at any byte, and looks at what is
# left each time. Arguments: how often, and the seed.
ON_A_DISK_THAT_FILLS = """
import json, os, pathlib, random, shutil, sys
import numpy as np
import pandas as pd
from core.errors import DiskError
from core.settings import output_folder
from data.pipeline_controller import controller
from data.versions import datasets_folder, hash_of

rounds, chance = int(sys.argv[1]), random.Random(sys.argv[2])
ballast = output_folder().parent / "ballast"
index = pd.date_range("2024-01-01", periods=4000, freq="min", tz="UTC", name="time")

def made(number):
    close = np.random.default_rng(number).uniform(1, 2, len(index))
    bars = {"open": close, "high": close + 1, "low": close - 0.5, "close": close, "volume": 1.0}
    return pd.DataFrame(bars, index=index)

def free():
    return shutil.disk_usage(ballast.parent).free

controller.publish(made(0))
before = free()  # the databases are there now: what the next version takes is its own
controller.publish(made(rounds + 1))
needed = before - free()
for number in range(1, rounds + 1):
    kept = controller.versions()
    ballast.write_bytes(b"x" * (free() - chance.randrange(needed)))
    try:
        controller.publish(made(number))
        refusal = ""
    except DiskError as error:
        refusal = str(error)
    ballast.unlink()
    known = controller.versions()
    assert known[bool(not refusal):] == kept
    found = sorted(entry.name for entry in datasets_folder().iterdir())
    assert found == sorted(version.content_hash for version in known), (refusal, found, known)
    assert not list(output_folder().rglob(".new*"))
    assert all(hash_of(version.frame()) == version.content_hash for version in known)
    again = controller.publish(made(number))  # there is space now
    assert hash_of(again.frame()) == again.content_hash
    for version in controller.versions()[:-1]:  # the disk is small
        controller.delete_version(version, used_by=lambda version: [])
    print(json.dumps(refusal))
"""
# A process whose disk is full half way through the file and that is killed before it can clean up.
KILLED_AT_THE_END_OF_THE_DISK = """
import os, pathlib, signal, sys
import pandas as pd
from data.pipeline_controller import controller

write = pd.DataFrame.to_parquet

def half_written(frame, path, **options):
    write(frame, path, **options)
    os.truncate(path, os.stat(path).st_size // 2)
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

index = pd.date_range("2024-01-01", periods=3, freq="h", tz="UTC", name="time")
bars = pd.DataFrame({name: [1.0, 2.0, 3.0] for name in ("open", "high", "low", "close", "volume")}, index=index)
controller.publish(bars)
pd.DataFrame.to_parquet = half_written
controller.publish(bars * 2)
"""


def names_in(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()


def assert_nothing_is_half_stored() -> None:
    versions = controller.versions()
    assert names_in(datasets_folder()) == {version.content_hash for version in versions}
    assert not list(output_folder().rglob(".new*"))
    for version in versions:
        assert hash_of(version.frame(), controller.preprocessing_of(version)) == version.content_hash


@pytest.mark.faults
@pytest.mark.timeout(1200)
def test_a_disk_that_fills_at_any_byte_leaves_whole_versions_only(
    small_disk: list[str], kills: int, chance: random.Random
) -> None:
    script = [sys.executable, "-W", "error", "-c", ON_A_DISK_THAT_FILLS]
    ended = subprocess.run(
        [*small_disk, *script, str(kills), str(chance.random())],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(jobs.__file__).parents[1],
    )
    assert ended.returncode == 0, f"{ended.stdout}{ended.stderr}"
    refusals = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(refusals) == kills
    told = [words for words in refusals if words]
    assert len(told) >= kills // 2, refusals  # some bytes lie beyond all that is written
    assert all("The disk is full" in words and "Free some space" in words for words in told), told


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_what_the_writer_of_the_file_says_of_a_full_disk_is_understood(
    monkeypatch: pytest.MonkeyPatch, sample: pd.DataFrame
) -> None:
    kept = controller.publish(sample)
    with monkeypatch.context() as full:
        full.setattr("data.versions._PARQUET", "/dev/full")
        with pytest.raises(DiskError) as refusal:
            controller.publish(sample.iloc[1:])
    assert str(refusal.value) == (
        f"The disk is full: {datasets_folder()} could not be written. Free some space; nothing of it was stored."
    )
    assert controller.versions() == [kept]
    assert_nothing_is_half_stored()


def test_what_a_process_left_that_was_killed_on_a_full_disk_goes_with_the_next_version(
    run_script: RunScript, sample: pd.DataFrame
) -> None:
    ended = run_script(KILLED_AT_THE_END_OF_THE_DISK)
    assert ended.returncode != 0
    assert not ended.stderr
    [version] = controller.versions()
    [debris] = names_in(datasets_folder()) - {version.content_hash}
    assert maker_is_dead(debris)
    controller.publish(sample)
    assert_nothing_is_half_stored()
    assert len(controller.versions()) == 2


def test_a_collection_on_a_full_disk_fails_in_a_sentence_and_goes_through_once_there_is_space(
    monkeypatch: pytest.MonkeyPatch, sample_config: DataConfig
) -> None:
    job = jobs.queue.submit("collect", jobs.collection_arguments(sample_config), "Collect")
    assert job
    write = pd.DataFrame.to_parquet

    def half_written(frame: pd.DataFrame, path: Path, **options: Any) -> None:
        write(frame, path, **options)
        os.truncate(path, path.stat().st_size // 2)
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as full:
        full.setattr(pd.DataFrame, "to_parquet", half_written)
        run_next()
    failed = jobs.queue.job(job.id)
    assert (failed.status, failed.result) == ("FAILED", None)
    assert failed.failure == f"The disk is full: {datasets_folder()} could not be written."
    assert failed.cure == "Free some space; nothing of it was stored."
    assert controller.versions() == []
    assert controller.get_pipeline_status()["collections"] == []
    assert_nothing_is_half_stored()

    jobs.queue.retry(job.id)
    run_next()
    [version] = controller.versions()
    assert jobs.queue.job(job.id).result == {"version": version.content_hash}
    assert_nothing_is_half_stored()


def run_next() -> None:
    """Do the next job of the data floor in this process."""
    claimed = jobs.queue.claim({"collect": Kind("collect", "data.jobs:collect")}, "tested")
    assert claimed
    run_job(jobs.collect, jobs.queue.begin(claimed.id, claimed.attempt))


def test_the_hash_is_that_of_the_whole_column_however_it_is_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = 50
    frame = pd.DataFrame(
        {
            "close": np.linspace(-1, 1, rows),
            "count": np.arange(rows),
            "text": ["a", 'b", "c', None, "nan", "é"] * 10,
            "flag": pd.array([True, None, False, True, None] * 10, dtype="boolean"),
        },
        index=pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC"),
    )
    whole = hash_of(frame)
    hashes = set()
    for block in (1, 7, 50, 51):
        monkeypatch.setattr("data.versions._ROWS_HASHED_TOGETHER", block)
        hashes.add(hash_of(frame))
    assert hashes == {whole}
    assert hash_of(frame.iloc[::-1]) != whole


def refuse(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_version_whose_row_cannot_be_entered_gives_its_space_back_at_once(sample: pd.DataFrame) -> None:
    with pytest.raises(DiskError):
        publish_version(controller._store, sample, Lineage(), committed=refuse)
    assert names_in(datasets_folder()) == set()
    controller.publish(sample)
    with pytest.raises(DiskError):
        publish_version(controller._store, sample, Lineage(), committed=refuse)  # the same content, which is in use
    assert_nothing_is_half_stored()
    assert len(controller.versions()) == 1


def test_a_folder_of_a_database_that_was_set_aside_survives_a_row_that_cannot_be_entered(sample: pd.DataFrame) -> None:
    version = controller.publish(sample)
    set_aside(controller._store.path)
    with pytest.raises(DiskError):
        publish_version(controller._store, sample, Lineage(), committed=refuse)
    assert names_in(datasets_folder()) == {version.content_hash}
    assert controller.publish(sample).frame().equals(version.frame())
