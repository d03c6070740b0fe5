from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BarsError, DiskError, InputError, InterventionError, UnknownNameError
from data.pipeline_controller import DataConfig, DatasetVersion, controller
from data.versions import datasets_folder, digest, hash_of

MadeBars = Callable[..., pd.DataFrame]
RunScript = Callable[..., subprocess.CompletedProcess[str]]
nan = np.nan

# A process that publishes one version, then is killed at a chosen point of publishing the second.
KILLED_WHILE_PUBLISHING = """
import os, pathlib, signal, sys
import pandas as pd
import core.folders
from data.pipeline_controller import controller

def killed(*_args, **_kwargs):
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

def half_written(frame, path, **_options):
    pathlib.Path(path).write_bytes(b"PAR1 half of a file")
    killed()

def placed_then_killed(staged, target):
    place(staged, target)
    killed()

place = core.folders.place
index = pd.date_range("2024-01-01", periods=3, freq="h", tz="UTC", name="time")
bars = pd.DataFrame({name: [1.0, 2.0, 3.0] for name in ("open", "high", "low", "close", "volume")}, index=index)
controller.publish(bars)
point = sys.argv[1]
if point == "while the file is written":
    pd.DataFrame.to_parquet = half_written
elif point == "before the rename":
    core.folders.place = killed
elif point == "between rename and commit":
    core.folders.place = placed_then_killed
elif point == "after the commit":
    core.folders.shutil.rmtree = killed
controller.publish(bars * 2)
print("not killed")
"""
# Point → versions visible afterwards.
POINTS = {
    "while the file is written": 1,
    "before the rename": 1,
    "between rename and commit": 1,
    "after the commit": 2,
}


def folders() -> set[str]:
    return {entry.name for entry in datasets_folder().iterdir()}


def published(frame: pd.DataFrame, **settings_: object) -> DatasetVersion:
    """`frame` preprocessed and published."""
    processed, preprocessing_id = controller.preprocess(frame, None, settings_)
    return controller.publish(processed, preprocessing_id=preprocessing_id)


def test_equal_content_has_one_folder_and_a_row_each_time(sample: pd.DataFrame) -> None:
    first, second = controller.publish(sample), controller.publish(sample.copy())
    assert first.content_hash == second.content_hash
    assert first.id != second.id
    assert folders() == {first.content_hash}
    assert [version.id for version in controller.versions()] == [second.id, first.id]


def test_a_folder_is_named_by_what_it_holds_and_is_never_written_again(sample: pd.DataFrame) -> None:
    version = controller.publish(sample)
    assert version.folder.name == version.content_hash
    before = version.parquet_file.stat()
    controller.publish(sample)
    after = version.parquet_file.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_any_change_of_the_content_changes_the_hash(made: MadeBars) -> None:
    bars = made([1.0, 2.0, 3.0], "EURUSD")
    later = bars.copy()
    later.index = later.index + pd.Timedelta(microseconds=1)
    changed = {
        "a value": bars.assign(close=[1.0, 2.0, np.nextafter(3.0, 4.0)]),
        "a missing value": bars.assign(close=[1.0, 2.0, nan]),
        "a text": bars.assign(source="other"),
        "the name of a column": bars.rename(columns={"source": "origin"}),
        "the order of columns": bars[["high", "open", *bars.columns[2:]]],
        "a further column": bars.assign(tone=0.0),
        "a column less": bars.drop(columns="source"),
        "a row less": bars.iloc[:2],
        "the times": later,
        "the order of values": bars.assign(close=bars["close"].to_numpy()[::-1]),
        "numbers as text": bars.assign(close=bars["close"].astype("str")),
    }
    hashes = {what: hash_of(frame) for what, frame in {"nothing": bars, **changed}.items()}
    assert len(set(hashes.values())) == len(hashes), hashes


def test_texts_cannot_be_joined_into_one_another(made: MadeBars) -> None:
    bars = made([1.0, 2.0])
    assert hash_of(bars.assign(note=["a\x1fb", "c"])) != hash_of(bars.assign(note=["a", "b\x1fc"]))
    assert hash_of(bars.assign(note=['a", "b', "c"])) != hash_of(bars.assign(note=["a", 'b", "c']))


def test_a_text_that_is_missing_is_no_error_and_not_the_word_for_it(made: MadeBars) -> None:
    bars = made([1.0, 2.0])
    assert hash_of(bars.assign(note=["a", None])) == hash_of(bars.assign(note=["a", nan]))
    assert hash_of(bars.assign(note=["a", None])) != hash_of(bars.assign(note=["a", "nan"]))
    assert hash_of(bars.assign(note=["a", None])) != hash_of(bars.assign(note=["a", "None"]))


def test_a_not_a_number_counts_alike_whatever_its_bits_and_minus_zero_is_zero(made: MadeBars) -> None:
    odd = struct.unpack("<d", struct.pack("<Q", 0xFFF8_0000_DEAD_BEEF))[0]
    bars = made([1.0, 2.0])
    assert hash_of(bars.assign(tone=[nan, 0.0])) == hash_of(bars.assign(tone=[odd, -0.0]))


def test_the_unit_in_which_times_are_held_does_not_matter(made: MadeBars) -> None:
    bars = made([1.0, 2.0])
    finer = bars.set_axis(pd.DatetimeIndex(bars.index).as_unit("ns"))
    assert hash_of(finer) == hash_of(bars)


@settings(deadline=None)
@given(values=st.lists(st.floats(width=64), min_size=1, max_size=20), changed=st.integers(0, 19), by=st.floats())
def test_two_columns_share_a_digest_only_when_their_values_are_equal(
    values: list[float], changed: int, by: float
) -> None:
    index = pd.date_range("2024-01-01", periods=len(values), freq="h", tz="UTC")
    other = list(values)
    other[changed % len(values)] = by
    one = pd.DataFrame({"close": values}, index=index, dtype="float64")
    two = pd.DataFrame({"close": other}, index=index, dtype="float64")
    assert (digest(one) == digest(two)) == one.equals(two)


def test_digesting_leaves_the_frame_as_it_was(made: MadeBars) -> None:
    bars = made([1.0, nan, -0.0])
    before = bars.copy(deep=True)
    hash_of(bars)
    pd.testing.assert_frame_equal(bars, before, check_exact=True)
    assert np.signbit(bars["close"].iloc[2])


def test_derived_columns_count_by_their_settings_and_not_by_their_last_bits(made: MadeBars) -> None:
    # What another processor computes: its own bits, recorded with its own digest, under equal settings.
    bars = made(np.linspace(1, 2, 60))
    frame, preprocessing_id = controller.preprocess(bars, None, {"engineer_features": True})
    row = dict(controller.get_pipeline_status()["preprocessing"][0])
    elsewhere = frame.assign(volatility_20=np.nextafter(frame["volatility_20"], 1.0))
    there = {**row, "derived_digest": digest(elsewhere[row["columns_added"]])}
    assert not frame.equals(elsewhere)
    assert hash_of(elsewhere, there) == hash_of(frame, row)
    assert controller.publish(frame, preprocessing_id=preprocessing_id).content_hash == hash_of(frame, row)


def test_derived_columns_that_somebody_changed_count_by_value(made: MadeBars) -> None:
    frame, _ = controller.preprocess(made(np.linspace(1, 2, 60)), None, {"engineer_features": True})
    row = dict(controller.get_pipeline_status()["preprocessing"][0])
    hashes = {
        hash_of(frame, row),
        hash_of(frame.assign(sma_10=frame["sma_10"] + 1), row),
        hash_of(frame.assign(sma_10=frame["sma_10"] + 2), row),
        hash_of(frame.drop(columns="sma_10"), row),
    }
    assert len(hashes) == 4


def test_raw_columns_count_by_value_beside_derived_ones(made: MadeBars) -> None:
    frame, _ = controller.preprocess(made(np.linspace(1, 2, 60)), None, {"engineer_features": True})
    row = dict(controller.get_pipeline_status()["preprocessing"][0])
    assert hash_of(frame.assign(open=frame["open"] + 1), row) != hash_of(frame, row)


def test_other_settings_or_other_code_make_another_version(made: MadeBars) -> None:
    bars = made(np.linspace(1, 2, 60))
    first = published(bars, normalize=True, train_fraction=0.7)
    second = published(bars, normalize=True, train_fraction=0.71)
    again = published(bars, normalize=True, train_fraction=0.7)
    assert first.content_hash == again.content_hash
    assert first.content_hash != second.content_hash
    row = dict(controller.get_pipeline_status()["preprocessing"][0])
    assert hash_of(first.frame(), {**row, "code_version": row["code_version"] + 1}) != first.content_hash


def test_a_frame_comes_back_equal(sample_config: DataConfig) -> None:
    frame, collection_id = controller.collect_data(sample_config)
    processed, preprocessing_id = controller.preprocess(
        frame, collection_id, {"normalize": True, "engineer_features": True}
    )
    version = controller.publish(processed, collection_id, preprocessing_id)
    pd.testing.assert_frame_equal(version.frame(), processed, check_exact=True, check_freq=False)
    assert hash_of(version.frame(), controller.preprocessing_of(version)) == version.content_hash


def test_a_version_tells_where_it_came_from(sample_config: DataConfig) -> None:
    version = controller.prepare(sample_config)
    assert (version.symbols, version.timeframe, version.rows) == (["EURUSD"], "H1", 5000)
    assert (version.first_time, version.last_time) == ("2017-04-19T09:00:00.000Z", "2018-02-07T15:00:00.000Z")
    assert version.verdict == "PASS"
    assert version.label == f"EURUSD H1 · {version.content_hash[:8]}"
    assert version.columns == list(version.frame().columns)
    assert version.size_bytes == sum(file.stat().st_size for file in version.folder.iterdir())
    assert "AGPL" in version.attribution


def test_preparing_tells_of_each_step(sample_config: DataConfig) -> None:
    told: list[str] = []
    version = controller.prepare(sample_config, lambda step, words, done: told.append(f"{step}: {words}"))
    assert told == [
        "Collect: 5,000 bars of EURUSD from Sample",
        "Preprocess: 0 columns added",
        "Validate: PASS: 15 of 15 rules pass",
        f"Version: {version.short_hash}, named by its content",
    ]


def test_what_failed_validation_is_published_and_marked(made: MadeBars) -> None:
    bars = made([1.0, 2.0, 3.0])
    _, validation_id = controller.validate(bars)
    version = controller.publish(bars, validation_id=validation_id)
    assert version.verdict == "FAIL"
    assert controller.version(version.id).verdict == "FAIL"
    checked = controller.validation_of(version)
    assert checked is not None
    assert checked["status"] == "FAIL"


def test_what_was_never_validated_carries_no_verdict(made: MadeBars) -> None:
    version = controller.publish(made([1.0, 2.0]))
    assert version.verdict is None
    assert controller.validation_of(version) is None
    assert controller.preprocessing_of(version) is None


def test_the_manifest_tells_a_finder_what_the_folder_holds(sample_config: DataConfig) -> None:
    version = controller.prepare(sample_config)
    manifest = json.loads((version.folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["content_hash"] == version.content_hash
    assert manifest["rows"] == 5000
    assert manifest["columns"]["close"] == "number"
    assert manifest["columns"]["symbol"] == "text"
    assert manifest["collection"]["sources"] == ["Sample"]


def test_asked_for_csv_a_version_lies_beside_the_databases_as_well(sample_config: DataConfig, home: Path) -> None:
    frame, collection_id = controller.collect_data(sample_config)
    controller.publish(frame, collection_id)
    assert not (home / "output_central" / "eurusd_dataset.csv").exists()
    controller.publish(frame, collection_id, csv=True)
    read = pd.read_csv(home / "output_central" / "eurusd_dataset.csv", index_col=0, parse_dates=True)
    assert read.index.name == "time (UTC)"
    np.testing.assert_array_equal(read["close"].to_numpy(), frame["close"].to_numpy())
    assert (read.index == frame.index.tz_localize(None)).all()


def test_each_symbol_has_a_csv_of_its_own(made: MadeBars, home: Path) -> None:
    frame = pd.concat([made([1.0, 2.0], "EURUSD"), made([3.0, 4.0, 5.0], "GBPUSD")])
    controller.publish(frame, csv=True)
    written = sorted(file.name for file in (home / "output_central").glob("*.csv"))
    assert written == ["eurusd_dataset.csv", "gbpusd_dataset.csv"]
    assert len(pd.read_csv(home / "output_central" / "gbpusd_dataset.csv")) == 3


def test_a_csv_carries_the_contract_and_not_the_spelling_it_came_in(sample: pd.DataFrame, home: Path) -> None:
    controller.publish(sample.rename(columns=str.title).tz_localize(None), csv=True)
    header = (home / "output_central" / "bars_dataset.csv").read_text(encoding="utf-8-sig").splitlines()[0]
    assert header == "time (UTC),open,high,low,close,volume"


def test_a_version_is_found_by_its_id_and_by_the_beginning_of_its_hash(made: MadeBars) -> None:
    first, second = controller.publish(made([1.0, 2.0])), controller.publish(made([1.0, 3.0]))
    assert controller.version(first.id) == first
    assert controller.version(second.short_hash) == second
    assert controller.version(second.content_hash) == second


def test_of_several_rows_with_one_hash_the_newest_is_found(made: MadeBars) -> None:
    controller.publish(made([1.0, 2.0]))
    newest = controller.publish(made([1.0, 2.0]))
    assert controller.version(newest.short_hash) == newest


@pytest.mark.parametrize("cut", [5, 0])
def test_a_hash_cut_too_short_names_nothing(made: MadeBars, cut: int) -> None:
    version = controller.publish(made([1.0, 2.0]))
    with pytest.raises(UnknownNameError):
        controller.version(version.content_hash[:cut])


def test_a_mistyped_hash_is_answered_with_the_nearest(made: MadeBars) -> None:
    version = controller.publish(made([1.0, 2.0]))
    mistyped = f"{version.short_hash[:7]}x"
    with pytest.raises(UnknownNameError) as refusal:
        controller.version(mistyped)
    assert str(refusal.value) == (
        f"There is no dataset version {mistyped!r}. Did you mean {version.short_hash!r}? Known: {version.short_hash}."
    )


def test_without_any_version_none_is_known() -> None:
    with pytest.raises(UnknownNameError, match=r"There is no dataset version 1\. Known: none yet\."):
        controller.version(1)


def test_an_empty_frame_is_no_version(made: MadeBars, home: Path) -> None:
    with pytest.raises(InputError, match="the frame is empty"):
        controller.publish(made([1.0]).iloc[:0])
    assert list(home.iterdir()) == []


def test_a_step_that_does_not_exist_is_refused_before_anything_is_written(made: MadeBars, home: Path) -> None:
    for step in ("collection", "preprocessing", "validation"):
        with pytest.raises(InputError, match=f"data_{step}s? has no row 9"):
            controller.publish(made([1.0, 2.0]), **{f"{step}_id": 9})
    assert list(home.iterdir()) == []


def test_bars_of_several_symbols_are_asked_for_by_name(made: MadeBars) -> None:
    euro, pound = made([1.0, 2.0], "EURUSD"), made([3.0, 4.0, 5.0], "GBPUSD")
    version = controller.publish(pd.concat([euro, pound]))
    assert version.symbols == ["EURUSD", "GBPUSD"]
    assert version.label.startswith("EURUSD, GBPUSD H1 · ")
    pd.testing.assert_frame_equal(
        version.bars("GBP/USD"), pound.drop(columns=["symbol", "source"]), check_freq=False, check_exact=True
    )
    with pytest.raises(InputError, match=r"holds several symbols\. Name one of EURUSD, GBPUSD"):
        version.bars()
    with pytest.raises(BarsError, match="It holds: EURUSD, GBPUSD"):
        version.bars("USDJPY")


def test_bars_of_the_only_symbol_need_no_name(made: MadeBars) -> None:
    version = controller.publish(made([1.0, 2.0], "EURUSD"))
    assert list(version.bars().columns) == ["open", "high", "low", "close", "volume"]


def test_a_bare_frame_is_versioned_once(sample: pd.DataFrame) -> None:
    first = controller.enter_bars(sample, "EURUSD", "H1")
    assert controller.enter_bars(sample, "EURUSD", "H1") == first
    assert controller.enter_bars(sample.iloc[1:], "EURUSD", "H1") != first
    assert [version.rows for version in controller.versions()] == [4999, 5000]


def test_a_missing_file_is_named_with_the_way_out(made: MadeBars) -> None:
    version = controller.publish(made([1.0, 2.0]))
    version.parquet_file.unlink()
    with pytest.raises(InterventionError) as failure:
        version.frame()
    assert str(version.parquet_file) in str(failure.value)
    assert "put the folder back from a backup" in failure.value.cure


def test_a_damaged_file_is_named_as_well(made: MadeBars) -> None:
    version = controller.publish(made([1.0, 2.0]))
    version.parquet_file.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InterventionError, match=version.short_hash):
        version.frame()


def test_a_disk_that_cannot_be_written_leaves_nothing(made: MadeBars, home: Path) -> None:
    (home / "output_central").write_text("a file where the folder should be")
    with pytest.raises(DiskError):
        controller.publish(made([1.0, 2.0]))
    assert [entry.name for entry in home.iterdir()] == ["output_central"]


@pytest.mark.parametrize("point", POINTS)
def test_a_process_killed_while_publishing_leaves_whole_versions_only(
    point: str, run_script: RunScript, made: MadeBars
) -> None:
    ended = run_script(KILLED_WHILE_PUBLISHING, point)
    assert ended.returncode != 0, ended.stdout
    assert "not killed" not in ended.stdout
    assert not ended.stderr, ended.stderr
    versions = controller.versions()
    assert len(versions) == POINTS[point]
    assert len(folders()) == 2, "the kill left no debris, so it did not strike where it should"
    assert all(hash_of(version.frame()) == version.content_hash for version in versions)
    version = controller.publish(made([5.0, 6.0]))
    assert folders() == {known.content_hash for known in controller.versions()}
    assert len(controller.versions()) == POINTS[point] + 1
    assert hash_of(version.frame()) == version.content_hash


def test_what_a_killed_process_did_not_finish_can_be_published_again(run_script: RunScript) -> None:
    run_script(KILLED_WHILE_PUBLISHING, "between rename and commit")
    (orphan,) = folders() - {version.content_hash for version in controller.versions()}
    ended = run_script(KILLED_WHILE_PUBLISHING, "nowhere")
    assert ended.stdout == "not killed\n", ended.stderr
    versions = controller.versions()
    assert orphan in {version.content_hash for version in versions}
    assert all(hash_of(version.frame()) == version.content_hash for version in versions)
    assert folders() == {version.content_hash for version in versions}


def test_a_publication_that_failed_in_this_process_can_be_repeated(
    made: MadeBars, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = made([1.0, 2.0])

    def fail(*_: object) -> int:
        raise RuntimeError("the row could not be entered")

    with monkeypatch.context() as patched:
        patched.setattr("data.versions.inserted_id", fail)
        with pytest.raises(RuntimeError):
            controller.publish(bars)
    assert controller.versions() == []
    version = controller.publish(bars)
    pd.testing.assert_frame_equal(version.frame(), bars, check_freq=False)
    assert folders() == {version.content_hash}
