"""Which dataset is meant, whether it is fit to train on, and what it offers as features."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.errors import BarsError, DataRequestError, InputError, UnknownNameError
from core.settings import output_folder
from data.pipeline_controller import DatasetVersion, controller
from train.dataset import DEFAULT_FEATURES, feature_columns, refuse_unfit, version_of
from train.targets import TargetSpec
from train.windows import make_samples

Walk = Callable[..., pd.DataFrame]


def published(bars: pd.DataFrame, symbol: str = "GBPUSD", **settings: object) -> DatasetVersion:
    """A version with the columns that `settings` ask for, and its CSV beside it."""
    frame, preprocessing_id = controller.preprocess(bars.assign(symbol=symbol, source="made"), settings=settings)
    validation_id = controller.validate(frame)[1]
    return controller.publish(frame, None, preprocessing_id, validation_id, csv=True)


@pytest.mark.parametrize("comma", [False, True])
def test_the_csv_that_was_published_is_its_version(walk: Walk, comma: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if comma:
        monkeypatch.setenv("SEQUENCE_DISPLAY__CSV_DECIMAL_COMMA", "true")
    version = published(walk(300), features=["returns", "rsi", "session"])
    published(walk(300, seed=4), features=["returns", "rsi", "session"])
    version_again = published(walk(300), features=["returns", "rsi", "session"])  # the file is this one's now
    assert version_again.content_hash == version.content_hash
    found = version_of("output_central/gbpusd_dataset.csv")
    assert found.content_hash == version.content_hash
    assert len(controller.versions()) == 3
    assert version_of(version) == version
    assert version_of(version.id) == version
    assert version_of(version.short_hash).content_hash == version.content_hash


def test_a_csv_of_a_dataset_that_looks_ahead_looks_ahead(walk: Walk) -> None:
    published(walk(300), normalize=True, fit_on="all")
    version = version_of(Path("output_central/gbpusd_dataset.csv"))
    with pytest.raises(InputError, match="marked as looking ahead"):
        refuse_unfit(version)


def test_a_csv_that_was_changed_is_entered_once_and_validated(walk: Walk) -> None:
    published(walk(300), features=["returns"])
    file = output_folder() / "gbpusd_dataset.csv"
    lines = file.read_bytes().split(b"\r\n")
    file.write_bytes(b"\r\n".join([*lines[:200], *lines[201:]]))
    entered = version_of(file)
    assert (entered.rows, entered.symbols, entered.timeframe) == (299, ["GBPUSD"], "H1")
    assert "return_5" in entered.columns
    assert entered.verdict in {"PASS", "WARN", "FAIL"}
    assert version_of(file) == entered
    assert len(controller.versions()) == 2


def test_bars_of_another_shape_are_entered_by_the_name_of_their_file(walk: Walk) -> None:
    bars = walk(300)
    file = output_folder() / "EURUSD.csv"
    file.parent.mkdir(parents=True, exist_ok=True)

    def write(times: pd.Index) -> None:
        prices = bars[["open", "high", "low", "close", "volume"]].map(repr).agg(",".join, axis=1)
        rows = [f"{time},{cells}" for time, cells in zip(times, prices, strict=True)]
        file.write_text("\n".join(["Date,Open,High,Low,Close,Volume", *rows]), encoding="utf-8")

    write(bars.index.strftime("%Y-%m-%d %H:%M"))
    with pytest.raises(DataRequestError, match=r"EURUSD.csv.*Data Pipeline"):  # nobody can tell whose clock that is
        version_of(file)
    write(bars.index.strftime("%Y-%m-%dT%H:%M:%SZ"))
    entered = version_of(file)
    assert (entered.symbols, entered.timeframe, entered.rows) == (["EURUSD"], "H1", 300)
    pd.testing.assert_frame_equal(entered.bars(), bars, check_freq=False)
    assert version_of(file, "EUR/USD") == entered


def test_what_is_no_dataset_is_refused(walk: Walk) -> None:
    published(walk(60))
    with pytest.raises(UnknownNameError, match=r"gbpusd_dataset\.csv"):
        version_of("output_central/gbpusd_datset.csv")
    with pytest.raises(UnknownNameError, match="no dataset version"):
        version_of(77)
    with pytest.raises(UnknownNameError, match="no dataset version"):
        version_of("abcdef0123")
    file = output_folder() / "gbpusd_dataset.csv"
    lines = file.read_text(encoding="utf-8-sig").splitlines()
    file.write_text("\n".join([*lines[:5], lines[4], *lines[5:]]), encoding="utf-8")
    with pytest.raises(BarsError, match=r"gbpusd_dataset.csv, line 6 .* has the same time"):
        version_of(file)
    file.write_text("\n".join([*lines[:5], "soon,1,2,3,4,5"]), encoding="utf-8")
    with pytest.raises(BarsError, match="cannot be read"):
        version_of(file)


def test_an_unfit_dataset_is_refused_unless_its_fault_is_named(walk: Walk) -> None:
    version = published(walk(60))
    good = dataclasses.replace(version, verdict="PASS", looks_ahead=0)
    ahead, failed = (dataclasses.replace(good, **fault) for fault in ({"looks_ahead": 1}, {"verdict": "FAIL"}))
    both = dataclasses.replace(good, looks_ahead=1, verdict="FAIL")
    assert refuse_unfit(good) == ()
    assert refuse_unfit(good, ["FAIL"]) == ()  # and is not recorded as needed
    with pytest.raises(InputError, match=r"looking ahead.*naming 'looks_ahead'"):
        refuse_unfit(ahead)
    with pytest.raises(InputError, match=r"marked FAIL.*naming 'FAIL'"):
        refuse_unfit(failed, ["looks_ahead"])
    with pytest.raises(InputError, match="marked FAIL"):
        refuse_unfit(both, ["looks_ahead"])
    assert refuse_unfit(both, ["FAIL", "looks_ahead"]) == ("looks_ahead", "FAIL")
    with pytest.raises(UnknownNameError, match="Did you mean 'FAIL'"):
        refuse_unfit(good, ["fail"])


def test_features_are_the_added_columns_without_the_level_of_the_price(walk: Walk) -> None:
    version = published(
        walk(300),
        normalize=True,
        features=["returns", "averages", "rsi", "lags"],
        lags=[1, 3],
        lag_columns=["close", "return_1", "sma_20"],
    )
    assert feature_columns(version) == (
        "return_1",
        "return_5",
        "return_20",
        "log_return_1",
        "rsi_14",
        "return_1_lag_1",
        "return_1_lag_3",
        "volume_zscore",
    )


def test_bars_without_added_columns_offer_features_that_are_made_of_them(walk: Walk) -> None:
    version = published(walk(300))
    assert feature_columns(version) == DEFAULT_FEATURES
    samples = make_samples(version, None, feature_columns(version), TargetSpec("direction", 3), 20)
    assert samples.symbol == "GBPUSD"
    assert samples.features.shape == (300, len(DEFAULT_FEATURES))
    assert len(samples.ends) > 250
    daily = walk(60)
    daily.index = pd.bdate_range("2024-02-01", periods=60, tz="UTC", name="time").as_unit("us")
    assert not any(name.startswith("hour_") for name in feature_columns(published(daily)))


def test_a_column_of_texts_is_no_feature(walk: Walk) -> None:
    frame = walk(60).assign(symbol="EURUSD", source="made", mood="calm", own=np.arange(60.0))
    assert feature_columns(controller.publish(frame)) == ("own",)
    two = pd.concat([frame, frame.assign(symbol="GBPUSD")])
    assert feature_columns(controller.publish(two)) == ("own",)
