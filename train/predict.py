"""Predictions of a stored model for new bars: its own preprocessing, its own scaler, each known at a bar's close.

    predicted = predict("EURUSD H1 direction 5", bars)          # by the champion of that task
    version = write_predictions(model, data, symbol="EURUSD")   # a dataset that the strategy Predictions trades

A bar's `part` says what the model had seen of it in training. Predictions for bars it was trained or chosen on
are no evidence; they are written only where they are asked for by name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from core.errors import InputError
from core.names import nearest, unknown_name
from data.features import FEATURES
from data.pipeline_controller import controller, remaking_of
from data.versions import DatasetVersion
from market.bars import OPTIONAL_RAW_COLUMNS, RAW_COLUMNS, bars_of, check_bars, symbols_in
from market.calendar import bar_end
from market.symbols import AssetClass, canonical_symbol, symbol_of
from market.timeframes import infer_timeframe, parse_timeframe
from train.registry import ModelVersion, find_model, serving
from train.splits import Scaler
from train.windows import Floats, complete_ends, cut_of, feature_matrix

# What a model had seen of a bar. Before its training part it knew what came later; after it and in the test part
# nothing was fitted or chosen.
PARTS = ("before", "train", "validation", "test", "new")
OUT_OF_SAMPLE = ("test", "new")
_PROBABILITIES = {-1: "probability_down", 1: "probability_up"}


def predict(
    model: int | str | ModelVersion, bars: pd.DataFrame | DatasetVersion, symbol: str | None = None
) -> pd.DataFrame:
    """What a model says of each bar: one row a bar, index `time` (its open).

    `known_at` is the bar's close, `prediction` what the strategy Predictions reads: of a direction the probability
    of a rise, of a triple barrier that of the upper barrier less that of the lower, else the value itself. Classes
    add `probability_down`, `probability_up` and, of barriers, `probability_none`. NaN stands where the window is
    not whole, so put as many earlier bars in front as features need to warm up. `part` is one of PARTS, `model_id`
    the version that answered; `attrs["remark"]` says when that is not the one that was asked.

    Columns that preprocessing added are made again from the raw ones, as stored with the model; what cannot be
    made (news) must be there. Raises ModelError for a model that is too old or damaged, InputError for bars of
    another symbol or timeframe, or without a column it needs.
    """
    answering, remark = serving(model)
    card = answering.card
    named = canonical_symbol(symbol) if symbol else None
    held = _refuse_foreign(answering, bars, named)
    frame = _prepared(answering, bars, held)
    asset_class = symbol_of(held).asset_class if held else AssetClass.FX
    cut = cut_of(_day_cut(card, bars), held)
    matrix = feature_matrix(frame, card["features"], asset_class)
    ends = complete_ends(matrix, int(card["window_length"]))
    times = pd.DatetimeIndex(frame.index)
    predicted = pd.DataFrame(
        {"known_at": bar_end(times, parse_timeframe(answering.timeframe), asset_class, cut)}, index=times
    )
    answers = _answers(answering, matrix, ends) if len(ends) else None
    for name, values in _columns(card, answers, len(ends)).items():
        whole = np.full(len(times), np.nan)
        whole[ends] = values
        predicted[name] = whole
    predicted["part"] = parts_of_bars(card, times)
    predicted["model_id"] = answering.id
    predicted.attrs["remark"] = remark
    return predicted


def parts_of_bars(card: Mapping[str, Any], times: pd.DatetimeIndex) -> np.ndarray[Any, np.dtype[Any]]:
    """Which part of a model's own data each bar lies in, one of PARTS; bars purged between two count to the earlier."""
    parts = card["parts"]
    found = np.full(len(times), "new", dtype=object)
    for name in ("test", "validation", "train"):  # the earlier part wins what two share
        if name in parts:
            found[times <= pd.Timestamp(parts[name]["until"])] = name
    found[times < pd.Timestamp(parts["train"]["from"])] = "before"
    return found


def write_predictions(
    model: int | str | ModelVersion,
    data: DatasetVersion | int | str,
    *,
    symbol: str | None = None,
    column: str = "prediction",
    include: Collection[str] = (),
) -> DatasetVersion:
    """A new dataset version: the bars a model had not seen, with what it says of them in `column`.

    Parts that it had seen ("train", "validation", "before") are left out unless `include` names them; the version's
    note and tags then say so. Classes add their probabilities as `<column>_up` and so on. Raises InputError when no
    bar is left, or the dataset has that column, and what `predict` raises.
    """
    for name in include:
        if name not in PARTS:
            raise unknown_name("part", name, PARTS)
    version = controller.version(data)
    asked = find_model(model)
    symbol = symbol or (asked.symbol if asked.symbol in version.symbols else None)
    frame = version.bars(symbol)
    if column in frame:
        raise InputError(f"{version.label} has a column {column!r} already.", "Name another column.")
    predicted = predict(asked, version, symbol)
    wanted = predicted["part"].isin([*OUT_OF_SAMPLE, *include])
    if not wanted.any():
        seen = ", ".join(f"{count:,} in {part!r}" for part, count in predicted["part"].value_counts().items())
        raise InputError(
            f"{asked.label} had seen every bar of {version.label}: {seen}.",
            f"Give later bars, or name the parts to be included, such as include=[{predicted['part'].iloc[0]!r}].",
        )
    raw = [name for name in (*RAW_COLUMNS, *OPTIONAL_RAW_COLUMNS) if name in frame]
    kept = frame.loc[wanted.to_numpy(), raw].copy()
    for name in predicted.columns:
        if name == "prediction" or name.startswith("probability_"):
            kept[name.replace("prediction", column).replace("probability", column)] = predicted.loc[wanted, name]
    name_of_bars = asked.symbol or symbol
    if name_of_bars:
        kept = kept.assign(symbol=name_of_bars, source="model")
    published = controller.publish(kept, collection_id=version.collection_id, validation_id=version.validation_id)
    return _told(published, predicted[wanted], version, column)


def _told(published: DatasetVersion, predicted: pd.DataFrame, version: DatasetVersion, column: str) -> DatasetVersion:
    """The version with a note of where its predictions come from, and a tag where the model had seen bars of it."""
    answering = find_model(int(predicted["model_id"].iloc[0]))
    parts = {str(part): int(count) for part, count in predicted["part"].value_counts().items()}
    seen = sorted(set(parts) - set(OUT_OF_SAMPLE))
    told = ", ".join(f"{count:,} bars {part}" for part, count in parts.items())
    note = f"{column}: {answering.label}, model {answering.id}, on {version.short_hash}; {told}."
    remark = predicted.attrs.get("remark")
    if remark:
        note += f" {remark}"
    if seen:
        note += f" The model had seen bars of it ({', '.join(seen)}): results on them are no evidence."
    marks = ["in-sample"] if seen else []
    if "looks_ahead" in answering.card["overridden"]:
        note += " The model was trained on columns that know later bars: what it earns here cannot be had in trading."
        marks.append("looks ahead")
    return controller.annotate_version(published, note=note, tags=["predictions", *marks])


def _refuse_foreign(model: ModelVersion, bars: pd.DataFrame | DatasetVersion, asked: str | None) -> str:
    """The symbol of the bars. Raises InputError when a model of another symbol or timeframe is asked."""
    given = bars.symbols if isinstance(bars, DatasetVersion) else symbols_in(bars)
    held = asked or (given[0] if len(given) == 1 else None) or model.symbol
    if model.symbol and held != model.symbol:
        raise InputError(f"{model.label} was trained on {model.symbol} and is asked for {held}.", "Ask another model.")
    if isinstance(bars, DatasetVersion):
        timeframe = bars.timeframe
    else:
        times = pd.DatetimeIndex((bars_of(bars, held) if held else bars).index)
        timeframe = str(infer_timeframe(times)) if len(times) > 1 else model.timeframe
    if timeframe != model.timeframe:
        raise InputError(
            f"{model.label} was trained on bars of {model.timeframe} and is asked for {timeframe}.",
            f"Give it bars of {model.timeframe}.",
        )
    return held


def _prepared(model: ModelVersion, given: pd.DataFrame | DatasetVersion, symbol: str) -> pd.DataFrame:
    """The bars with every column that the model reads, or can be made where it reads them."""
    features = [str(name) for name in model.card["features"]]
    if isinstance(given, DatasetVersion):
        frame = given.bars(symbol if symbol in given.symbols else None)
        if given.content_hash == model.dataset_hash:
            return frame  # its columns are those the model was trained on
    else:
        frame = bars_of(given, symbol) if symbol else given
    frame = check_bars(frame, allow_missing=True)
    row = model.card["preprocessing"]
    made = None if row is None else _remade(row, frame, symbol)
    if made is None:
        made = frame
    else:
        made = made.drop(columns=["symbol"], errors="ignore")
        for name in features:
            if name not in made and name in frame:
                made[name] = frame[name]
    missing = next((name for name in features if name not in made and name not in FEATURES), None)
    if missing is not None:
        meant = nearest(missing, map(str, frame.columns))
        hint = f"Did you mean {meant!r}? " if meant else ""
        raise InputError(
            f"{model.label} reads the column {missing!r}, which the bars do not have and which cannot be made of them.",
            f"{hint}Collect the bars as its dataset was, or join the column by time.",
        )
    return made


def _remade(row: Mapping[str, Any], frame: pd.DataFrame, symbol: str) -> pd.DataFrame | None:
    """The raw columns with those that preprocessing added, nothing fitted anew; None where it added none."""
    if row["looks_ahead"]:
        raise InputError(
            "The model was trained on columns that know later bars; they cannot be made for bars as they come.",
            "Train it again on a dataset that does not look ahead.",
        )
    remake = remaking_of(row, symbol)
    return None if remake is None else remake(frame)


def _day_cut(card: Mapping[str, Any], bars: pd.DataFrame | DatasetVersion) -> str | None:
    return bars.day_cut if isinstance(bars, DatasetVersion) else card["dataset"]["day_cut"]


def _answers(model: ModelVersion, matrix: Any, ends: Any) -> Floats:
    """Probabilities (n, classes) or values (n,) of the windows that end at `ends`; `matrix` is scaled in place."""
    from train.artifacts import load_model

    predictor = load_model(model.path, model.files)
    scaled = Scaler.from_dict(model.card["scaler"]).apply(matrix, out=matrix)
    answers: Floats = np.asarray(predictor.predict(scaled, ends), dtype="float64")
    return answers


def _columns(card: Mapping[str, Any], answers: Floats | None, count: int) -> dict[str, Floats]:
    """`prediction` and, of classes, a probability each."""
    classes = [int(each) for each in card["target"]["classes"]]
    if not classes:
        return {"prediction": np.full(count, np.nan) if answers is None else answers}
    if answers is None:
        answers = np.full((count, len(classes)), np.nan)
    # Of two classes, 0 means "not higher"; of three it means that neither barrier was met.
    names = {**_PROBABILITIES, 0: "probability_down" if len(classes) == 2 else "probability_none"}
    probabilities = {names[each]: answers[:, place] for place, each in enumerate(classes)}
    up, down = probabilities["probability_up"], probabilities["probability_down"]
    return {"prediction": up if len(classes) == 2 else up - down, **probabilities}
