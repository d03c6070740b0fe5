"""Random forests and boosted trees through the same door as the networks: a record for every group of trees.

A tree asks about one number at a time. Of a window it therefore sees a summary of each column (last, mean,
deviation, lowest, highest, change) and not every bar, unless `window_form` says so: neighbouring bars of a column
say nearly the same, so that most questions would be wasted on them, and every bar costs `length` / 6 times the
memory. What trees learn from never takes more than `matrix_mib`: windows beyond that are thinned evenly in time,
which loses little, since neighbours overlap.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InterventionError
from core.folders import write_file
from train.checkpoints import identity, read_checkpoint, write_checkpoint
from train.models import BYTES_PER_CELL, SUMMARIES, Array, EpochRecord, ModelKind, TrainSettings
from train.progress import AnswerScale, Floats, Goal, best_record, described, is_over, next_record
from train.splits import Scaler, Split
from train.windows import Samples, windows

_AT_ONCE = 4096  # windows made at once
_MIB = 2**20
# Types in a forest's file beyond those that skops trusts by itself; the file's digest is compared before.
_FOREST_TYPES = ["sklearn.tree._tree.Tree"]


def window_matrix(features: Array, ends: Array, length: int, form: str, scaler: Scaler | None = None) -> Array:
    """What trees see of the windows that end at `ends`: float32 (n, width); scaled first where `scaler` is given."""
    columns = features.shape[1]
    out = np.empty((len(ends), columns * (length if form == "flat" else SUMMARIES)), dtype=np.float32)
    views = windows(features, length)
    for begin in range(0, len(ends), _AT_ONCE):
        part = np.ascontiguousarray(views[ends[begin : begin + _AT_ONCE] - (length - 1)])
        if scaler is not None:
            scaler.apply(part, out=part)
        into = out[begin : begin + len(part)]
        if form == "flat":
            into[:] = part.reshape(len(part), -1)
            continue
        last = part[:, -1]
        seen = (last, part.mean(axis=1), part.std(axis=1), part.min(axis=1), part.max(axis=1), last - part[:, 0])
        np.concatenate(seen, axis=1, out=into)
    return out


class _TreesTrainer:
    """What forests and boosted trees share: the matrices, the records, and the checkpoint around each group."""

    def __init__(
        self, kind: ModelKind, settings: TrainSettings, samples: Samples, split: Split, scaler: Scaler
    ) -> None:
        self.kind, self.settings, self.split = kind, settings, split
        self.values = kind.values(settings.parameters)
        self.records: list[EpochRecord] = []
        self.remarks: list[str] = []
        self._samples, self._scaler = samples, scaler
        self._goal = Goal(samples, split, class_weights=settings.class_weights)
        self._identity = identity(kind, settings, samples, split, scaler)
        self._ends = self._thinned()
        self._kept: Array | None = None

    @property
    def trees_per_epoch(self) -> int:
        """Trees between two records."""
        return int(self.values["trees_per_epoch"])

    def epochs(self, checkpoint: Path | None = None, resume: bool = False) -> Iterator[EpochRecord]:
        """Train; see `train.models.Trainer.epochs`."""
        if checkpoint and resume and self._restore(checkpoint):
            yield self.records[-1]
        while not is_over(self.settings, self.records):
            began = time.perf_counter()
            self._grow()
            took = time.perf_counter() - began
            trained, validated = self._training_answers(), self._validation_answers()
            losses = self._goal.loss(trained, self._ends), self._goal.loss(validated, self.split.validation)
            score = self._goal.score(validated, self.split.validation)
            rate = float(self.values.get("shrinkage", math.nan))
            learned = len(self._ends) * self.trees_per_epoch
            record = next_record(self.records, losses, score, rate=rate, seconds=took, samples=learned)
            self.records.append(record)
            if checkpoint:
                state, arrays = self._state(checkpoint)
                write_checkpoint(checkpoint, self._identity, self.records, state, arrays)
            yield record

    def description(self) -> dict[str, Any]:
        """What a loader must know."""
        told = described(self.kind, self.values, self._samples, self._goal.scale, self.records)
        return {**told, "trees": self._best_groups() * self.trees_per_epoch}

    def _matrix(self, ends: Array) -> Array:
        form = str(self.values["window_form"])
        return window_matrix(self._samples.features, ends, self._samples.length, form, self._scaler)

    def _validation_parts(self) -> Iterator[tuple[slice, Array]]:
        """The matrix of the validation part, kept where it is small, else made a chunk at a time."""
        ends, most = self.split.validation, int(self.values["matrix_mib"]) * _MIB // 4
        if self._kept is None and 4 * self._width * len(ends) <= most:
            self._kept = self._matrix(ends)
        if self._kept is not None:
            yield slice(0, len(ends)), self._kept
            return
        for begin in range(0, len(ends), _AT_ONCE):
            part = slice(begin, begin + _AT_ONCE)
            yield part, self._matrix(ends[part])

    @property
    def _width(self) -> int:
        per_column = self._samples.length if self.values["window_form"] == "flat" else SUMMARIES
        return per_column * len(self._samples.columns)

    def _thinned(self) -> Array:
        """The training windows that fit into the memory allowed, as evenly in time as can be."""
        ends: Array = self.split.train
        most = int(self.values["matrix_mib"]) * _MIB // (BYTES_PER_CELL[self.kind.family] * self._width)
        if len(ends) <= max(2, most):
            return ends
        kept: Array = ends[np.linspace(0, len(ends) - 1, max(2, most)).astype(np.int64)]
        self.remarks.append(
            f"Learned from {len(kept):,} of {len(ends):,} windows, evenly spread, "
            f"for matrix_mib={self.values['matrix_mib']}."
        )
        return kept

    def _best_groups(self) -> int:
        best = best_record(self.records)
        return best.epoch if best else 0

    def _group_seed(self, group: int) -> int:
        return int(np.random.SeedSequence([self.settings.seed, group]).generate_state(1)[0] >> 1)

    def _window_weights(self) -> Floats | None:
        weighted = self.settings.class_weights and self._goal.classes  # a number has no class to be rare
        return self._goal.weights[self._goal.targets[self._ends]] if weighted else None

    def _restore(self, checkpoint: Path) -> bool:
        found = read_checkpoint(checkpoint, self._identity)
        if found is None:
            return False
        self.records, state, arrays = found
        self._go_back(checkpoint, state, arrays)
        return True

    @abstractmethod
    def _grow(self) -> None:
        """Grow one group of trees."""

    @abstractmethod
    def _training_answers(self) -> Floats:
        """Answers of all groups so far for the windows learned from."""

    @abstractmethod
    def _validation_answers(self) -> Floats:
        """Answers of all groups so far for the validation part."""

    @abstractmethod
    def _state(self, checkpoint: Path) -> tuple[dict[str, Any], dict[str, Array]]:
        """What a checkpoint must hold beside the records."""

    @abstractmethod
    def _go_back(self, checkpoint: Path, state: dict[str, Any], arrays: dict[str, Array]) -> None:
        """Become what `_state` told."""


class ForestTrainer(_TreesTrainer):
    """Grows a random forest of scikit-learn's, a group of trees an epoch; each group has its own seed."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._groups: list[Any] = []
        self._stored: list[dict[str, str]] = []  # file and digest of each group in the checkpoint
        self._learned: Array | None = None
        # Sums over the trees, which are asked once each and always in the same order: sums keep their last bits.
        self._trained, self._validated = (
            np.zeros((len(ends), self._goal.scale.outputs)) for ends in (self._ends, self.split.validation)
        )
        self._added = 0

    def _grow(self) -> None:
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        if self._learned is None:
            self._learned = self._matrix(self._ends)
        kind = RandomForestClassifier if self._goal.classes else RandomForestRegressor
        group = kind(
            self.trees_per_epoch,
            max_depth=int(self.values["max_depth"]),
            min_samples_leaf=int(self.values["min_samples_leaf"]),
            max_features="sqrt" if self._goal.classes else 1 / 3,
            max_samples=float(self.values["sample_fraction"]),
            n_jobs=self.settings.threads or -1,
            random_state=self._group_seed(len(self._groups)),
        )
        group.fit(self._learned, self._goal.targets[self._ends], self._window_weights())
        self._groups.append(group)
        for each in self._groups[self._added :]:  # more than the new one after a resume
            add_trees(self._trained, each, self._learned)
            for part, matrix in self._validation_parts():
                add_trees(self._validated[part], each, matrix)
        self._added = len(self._groups)

    def _training_answers(self) -> Floats:
        return forest_answers(self._trained, self._added * self.trees_per_epoch, self._goal.scale)

    def _validation_answers(self) -> Floats:
        return forest_answers(self._validated, self._added * self.trees_per_epoch, self._goal.scale)

    def _forest(self) -> Any:
        """The groups up to the best epoch as one forest of scikit-learn's."""
        groups = self._groups[: max(1, self._best_groups())]
        forest = copy.copy(groups[0])
        forest.estimators_ = [tree for group in groups for tree in group.estimators_]
        forest.n_estimators = len(forest.estimators_)
        return forest

    def predict(self, features_scaled: Array, ends: Array) -> Array:
        """Answers of the trees up to the best epoch; see `train.models.Predictor.predict`."""
        form = str(self.values["window_form"])
        return answers_of_forest(
            self._forest(), self._goal.scale, features_scaled, ends, self._samples.length, form=form
        )

    def model_file(self) -> tuple[str, bytes]:
        """The forest of the best epoch as skops writes it."""
        from skops.io import dumps

        return "model.skops", dumps(self._forest())

    def _state(self, checkpoint: Path) -> tuple[dict[str, Any], dict[str, Array]]:
        from skops.io import dumps

        # Each group is written once: to write all of them each time would take longer than growing them.
        for number in range(len(self._stored), len(self._groups)):
            content, name = dumps(self._groups[number]), f"trees-{number + 1:04}.skops"
            write_file(checkpoint / name, content)
            self._stored.append({"file": name, "sha256": hashlib.sha256(content).hexdigest()})
        return {"groups": self._stored}, {}

    def _go_back(self, checkpoint: Path, state: dict[str, Any], arrays: dict[str, Array]) -> None:
        self._groups, self._stored = [], list(state["groups"])
        for group in self._stored:
            file = checkpoint / group["file"]
            content = file.read_bytes() if file.is_file() else b""
            if hashlib.sha256(content).hexdigest() != group["sha256"]:
                raise InterventionError(
                    f"The checkpoint {file} is {'damaged' if content else 'gone'}.",
                    f"Remove the folder {checkpoint} and begin the training anew.",
                )
            self._groups.append(load_forest(content))


class BoostingTrainer(_TreesTrainer):
    """Grows trees with XGBoost, a group an epoch; each group goes on from the bytes the one before it left."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._raw: bytes | None = None
        self._data: Any = None

    def _grow(self) -> None:
        import xgboost

        if self._data is None:
            self._data = _binned(self)
        booster = xgboost.train(
            self._parameters(),
            self._data,
            self.trees_per_epoch,
            xgb_model=None if self._raw is None else booster_of(self._raw),
        )
        self._raw = bytes(booster.save_raw("ubj"))

    def _parameters(self) -> dict[str, Any]:
        classes = len(self._goal.classes)
        objective: dict[str, Any] = {"objective": "reg:squarederror"}
        if classes:
            objective = {"objective": "binary:logistic"} if classes == 2 else _three_way(classes)
        return {
            **objective,
            "tree_method": "hist",
            "eta": self.values["shrinkage"],
            "max_depth": self.values["max_depth"],
            "subsample": self.values["row_fraction"],
            "colsample_bytree": self.values["column_fraction"],
            "min_child_weight": self.values["min_child_weight"],
            "lambda": self.values["l2"],
            # Each group begins its own chance, which needs no state to resume; one seed would draw the same each time.
            "seed": self._group_seed(len(self.records)),
            "nthread": self.settings.threads or -1,
            "verbosity": 1,
        }

    def _training_answers(self) -> Floats:
        raw = booster_of(self._raw or b"").predict(self._data, output_margin=True)
        return boosted_answers(raw, self._goal.scale)

    def _validation_answers(self) -> Floats:
        booster, scale = booster_of(self._raw or b""), self._goal.scale
        return np.concatenate(
            [boosted_answers(np.empty(0), scale)]
            + [margins(booster, matrix, scale) for _, matrix in self._validation_parts()]
        )

    def _best_booster(self) -> Any:
        booster = booster_of(self._raw or b"")
        return booster[: max(1, self._best_groups()) * self.trees_per_epoch]

    def predict(self, features_scaled: Array, ends: Array) -> Array:
        """Answers of the trees up to the best epoch; see `train.models.Predictor.predict`."""
        form = str(self.values["window_form"])
        return answers_of_booster(
            self._best_booster(), self._goal.scale, features_scaled, ends, self._samples.length, form=form
        )

    def model_file(self) -> tuple[str, bytes]:
        """The trees of the best epoch as XGBoost's JSON."""
        return "model.json", bytes(self._best_booster().save_raw("json"))

    def _state(self, checkpoint: Path) -> tuple[dict[str, Any], dict[str, Array]]:
        return {}, {"booster": np.frombuffer(self._raw or b"", dtype=np.uint8)}

    def _go_back(self, checkpoint: Path, state: dict[str, Any], arrays: dict[str, Array]) -> None:
        self._raw = arrays["booster"].tobytes()


def _three_way(classes: int) -> dict[str, Any]:
    return {"objective": "multi:softprob", "num_class": classes}


def _binned(trainer: BoostingTrainer) -> Any:
    """The windows learned from, cut into 256 bins a column while they pass by, a chunk at a time."""
    import xgboost

    weights, ends = trainer._window_weights(), trainer._ends

    class Passing(xgboost.DataIter):
        def __init__(self) -> None:
            self.begin = 0
            super().__init__()

        def next(self, input_data: Any) -> bool:
            if self.begin >= len(ends):
                return False
            part = slice(self.begin, self.begin + _AT_ONCE)
            given = {} if weights is None else {"weight": weights[part]}
            input_data(data=trainer._matrix(ends[part]), label=trainer._goal.targets[ends[part]], **given)
            self.begin += _AT_ONCE
            return True

        def reset(self) -> None:
            self.begin = 0

    return xgboost.QuantileDMatrix(Passing(), max_bin=256, nthread=trainer.settings.threads or -1)


def load_forest(content: bytes) -> Any:
    """A forest from what `skops` wrote. Raises InterventionError when its trees point outside of themselves."""
    from skops.io import loads

    forest = loads(content, trusted=_FOREST_TYPES)
    for tree in forest.estimators_:
        inner = tree.tree_
        leaf = inner.children_left == -1
        children = np.concatenate([inner.children_left[~leaf], inner.children_right[~leaf]])
        asked = inner.feature[~leaf]
        # Scikit-learn follows these without looking; a wrong one would end the process.
        sound = (children > 0).all() and (children < inner.node_count).all()
        if not (sound and (asked >= 0).all() and (asked < forest.n_features_in_).all()):
            raise InterventionError("A tree of the forest points outside of itself.", "Train the model again.")
    return forest


def booster_of(raw: bytes) -> Any:
    """XGBoost's trees from their bytes."""
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(raw))
    return booster


def add_trees(total: Floats, forest: Any, matrix: Array) -> None:
    """Add what each tree of `forest` answers for `matrix` to `total` (n, outputs), in the order of the trees."""
    for tree in forest.estimators_ if len(matrix) else ():
        if hasattr(forest, "classes_"):
            # Classes that the training part lacks keep probability 0.
            total[:, forest.classes_] += tree.predict_proba(matrix, check_input=False)
        else:
            total[:, 0] += tree.predict(matrix, check_input=False)


def forest_answers(total: Floats, trees: int, scale: AnswerScale) -> Floats:
    """Probabilities or values of a forest from the sum over its trees."""
    mean: Floats = total / max(1, trees)
    return mean if scale.classes else scale.answers(mean)


def answers_of_forest(
    forest: Any, scale: AnswerScale, features_scaled: Array, ends: Array, length: int, *, form: str
) -> Floats:
    """Answers for the windows that end at `ends`, a chunk at a time."""
    total = np.zeros((len(ends), scale.outputs))
    for begin in range(0, len(ends), _AT_ONCE):
        matrix = window_matrix(features_scaled, ends[begin : begin + _AT_ONCE], length, form)
        add_trees(total[begin : begin + _AT_ONCE], forest, matrix)
    return forest_answers(total, len(forest.estimators_), scale)


def boosted_answers(raw: Array, scale: AnswerScale) -> Floats:
    """Probabilities or values from margins: one a window for two classes and for values, else one a class."""
    margins = np.asarray(raw, dtype=np.float64).reshape(-1)
    if len(scale.classes) == 2:  # the odds of the second class; the first is what they are measured against
        margins = np.stack([np.zeros(len(margins)), margins], axis=1)
    return scale.answers(margins.reshape(-1, scale.outputs))


def margins(booster: Any, matrix: Array, scale: AnswerScale) -> Floats:
    """Answers of a booster for rows of a matrix."""
    return boosted_answers(booster.inplace_predict(matrix, predict_type="margin") if len(matrix) else matrix, scale)


def answers_of_booster(
    booster: Any, scale: AnswerScale, features_scaled: Array, ends: Array, length: int, *, form: str
) -> Floats:
    """Answers for the windows that end at `ends`, a chunk at a time."""
    found = [
        margins(booster, window_matrix(features_scaled, ends[begin : begin + _AT_ONCE], length, form), scale)
        for begin in range(0, max(1, len(ends)), _AT_ONCE)
    ]
    return np.concatenate(found)
