"""HistData's zips of a user's own: entered with what they cover, made one version, the bad ones named."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from loopback.histdata import HistDataServer

from core.errors import DataRequestError
from data.collecting import bar_store
from data.jobs import collection_arguments
from data.pipeline_controller import DataConfig, controller
from data.sources.histdata_import import enter_files, files_in, pairs_of
from market.timeframes import Timeframe


@pytest.fixture
def vendor() -> Iterator[HistDataServer]:
    """What HistData would hand out: hourly bars, so that a year is small."""
    with HistDataServer() as server:
        server.every = 60
        yield server


def zip_in(folder: Path, vendor: HistDataServer, pair: str, code: str) -> Path:
    file = folder / f"HISTDATA_COM_ASCII_{pair}_M1{code}.zip"
    file.write_bytes(vendor.zip_of(pair, code))
    return file


def asked(files: list[Path], *symbols: str, timeframe: str = "M1") -> DataConfig:
    return DataConfig(data_sources=["HistData"], symbols=list(symbols), files=files, timeframe=timeframe)


def missing(start: str, end: str) -> list[tuple[str, str]]:
    found = bar_store.missing("EURUSD", "M1", "HistData", start, end)
    return [(f"{first:%Y-%m-%d %H:%M}", f"{after:%Y-%m-%d %H:%M}") for first, after in found]


def test_a_whole_month_is_covered_up_to_its_end_in_the_clock_of_the_file(
    vendor: HistDataServer, tmp_path: Path
) -> None:
    entered = enter_files(bar_store, [zip_in(tmp_path, vendor, "EURUSD", "202406")], ["EURUSD"])
    assert entered.failures == {}
    assert missing("2024-05-31", "2024-07-02") == [
        ("2024-05-31 00:00", "2024-06-01 04:00"),
        ("2024-07-01 04:00", "2024-07-02 00:00"),
    ]


def test_a_month_that_ends_on_a_weekend_is_whole(vendor: HistDataServer, tmp_path: Path) -> None:
    enter_files(bar_store, [zip_in(tmp_path, vendor, "EURUSD", "202403")], ["EURUSD"])  # March ends on a Sunday
    assert missing("2024-03-02", "2024-03-31") == []


def test_a_month_downloaded_before_its_end_is_covered_as_far_as_it_goes(vendor: HistDataServer, tmp_path: Path) -> None:
    vendor.until = datetime(2024, 6, 12, 15, 30, tzinfo=UTC)
    enter_files(bar_store, [zip_in(tmp_path, vendor, "EURUSD", "202406")], ["EURUSD"])
    assert missing("2024-06-10", "2024-06-13") == [("2024-06-12 15:01", "2024-06-13 00:00")]


def test_zips_of_two_pairs_become_one_version_over_their_ranges(vendor: HistDataServer, tmp_path: Path) -> None:
    files = [zip_in(tmp_path, vendor, "EURUSD", code) for code in ("2023", "202401")]
    files.append(zip_in(tmp_path, vendor, "XAUUSD", "202401"))
    earlier = zip_in(tmp_path, vendor, "EURUSD", "2021")
    enter_files(bar_store, [earlier], ["EURUSD"])  # in the store, and no part of what is asked for now
    version = controller.prepare(asked(files, "EURUSD", "XAUUSD", timeframe="H4"))
    assert version.symbols == ["EURUSD", "XAUUSD"]
    assert version.bars("EURUSD").index[0] >= pd.Timestamp("2023-01-01", tz="UTC")
    assert version.bars("XAUUSD").index[0] >= pd.Timestamp("2024-01-01", tz="UTC")
    assert version.last_time.startswith("2024-01-31")
    assert version.attribution == "HistData.com (bid prices)"
    collection = controller.collection_of(version)
    assert collection is not None
    assert (collection["status"], collection["problems"]) == ("SUCCEEDED", None)


def test_a_zip_that_cannot_be_used_is_named_and_the_others_go_on(vendor: HistDataServer, tmp_path: Path) -> None:
    good = zip_in(tmp_path, vendor, "EURUSD", "202401")
    cut_off = tmp_path / "HISTDATA_COM_ASCII_EURUSD_M1202402.zip"
    cut_off.write_bytes(vendor.zip_of("EURUSD", "202402")[:500])
    version = controller.prepare(asked([cut_off, good], "EURUSD"))
    collection = controller.collection_of(version)
    assert collection is not None
    assert collection["status"] == "PARTIAL"
    [problem] = collection["problems"]
    assert problem.startswith("HistData: HISTDATA_COM_ASCII_EURUSD_M1202402.zip is damaged")
    assert version.last_time.startswith("2024-02-01T04")


def test_when_no_zip_can_be_used_nothing_is_stored(tmp_path: Path) -> None:
    bad = tmp_path / "HISTDATA_COM_ASCII_EURUSD_M1202402.zip"
    bad.write_bytes(b"PK\x03\x04")
    with pytest.raises(DataRequestError, match="is damaged"):
        controller.prepare(asked([bad], "EURUSD"))
    assert controller.versions() == []
    assert bar_store.held().empty


def test_a_zip_of_another_pair_is_not_entered(vendor: HistDataServer, tmp_path: Path) -> None:
    gold = zip_in(tmp_path, vendor, "XAUUSD", "202401")
    entered = enter_files(bar_store, [gold], ["EURUSD"])
    assert "holds XAUUSD, which was not asked for" in str(entered.failures[gold])
    assert bar_store.sources_of("XAUUSD", Timeframe.M1) == []


def test_a_zip_under_the_name_of_another_month_is_refused(vendor: HistDataServer, tmp_path: Path) -> None:
    file = zip_in(tmp_path, vendor, "EURUSD", "202401")
    csv = tmp_path / "DAT_ASCII_EURUSD_M1_202405.csv"
    csv.write_text("20240102 170000;1.1;1.1;1.1;1.1;0\n", encoding="utf-8")
    entered = enter_files(bar_store, [csv, file], ["EURUSD"])
    assert "says 202405 and holds bars from 2024-01-02" in str(entered.failures[csv])
    assert list(entered.ranges) == ["EURUSD"]


def test_importing_the_same_zips_again_changes_nothing(vendor: HistDataServer, tmp_path: Path) -> None:
    config = asked([zip_in(tmp_path, vendor, "EURUSD", "202401")], "EURUSD")
    first = controller.prepare(config)
    held = bar_store.held()
    assert controller.prepare(config).content_hash == first.content_hash
    pd.testing.assert_frame_equal(bar_store.held(), held)
    assert bar_store.disagreements().empty


def test_what_zips_hold_is_not_asked_of_the_vendor(
    histdata_server: HistDataServer, vendor: HistDataServer, tmp_path: Path
) -> None:
    controller.prepare(asked([zip_in(tmp_path, vendor, "EURUSD", "2023")], "EURUSD"))
    config = DataConfig(
        data_sources=["HistData"], symbols=["EURUSD"], timeframe="H1", start_date="2023-02-01", end_date="2023-11-30"
    )
    assert controller.prepare(config).rows > 5000
    assert histdata_server.questions == []


def test_the_arguments_of_a_job_name_the_zips_again(vendor: HistDataServer, tmp_path: Path) -> None:
    config = asked([zip_in(tmp_path, vendor, "EURUSD", "202401")], "EURUSD", "GBPUSD")
    assert DataConfig(**collection_arguments(config)["config"]) == config


def test_a_folder_gives_its_zips_and_each_says_its_pair(vendor: HistDataServer, tmp_path: Path) -> None:
    named = zip_in(tmp_path, vendor, "EURUSD", "202401")
    renamed = named.rename(tmp_path / "my euro.zip")  # the CSV in it still says so
    other = tmp_path / "photos.zip"
    other.write_bytes(b"no zip")
    (tmp_path / "notes.txt").write_text("nothing", encoding="utf-8")
    files = files_in(str(tmp_path))
    assert files == [renamed, other]
    pairs, refused = pairs_of(files)
    assert pairs == {renamed: "EURUSD"}
    assert "photos.zip" in str(refused[other])


def test_a_folder_without_zips_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataRequestError, match="holds no zip"):
        files_in(str(tmp_path))
    with pytest.raises(DataRequestError, match="is no folder"):
        files_in(str(tmp_path / "absent"))
