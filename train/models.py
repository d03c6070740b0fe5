"""The kinds of models there are, what of them can be set, and what training one yields; nothing heavy is imported.

kind = model_named("Hybrid CNN-LSTM")
trainer = make_trainer(kind, TrainSettings(epochs=20), samples, split, scaler)
for record in trainer.epochs(folder / "checkpoint", resume=True):
    ...
probabilities = trainer.predict(scaler.apply(samples.features), split.test)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from core.errors import InputError
from core.names import unknown_name
from core.parameters import Parameter, Value, checked_values

if TYPE_CHECKING:
    from train.splits import Scaler, Split
    from train.windows import Samples

Values = Mapping[str, Value]
Array = np.ndarray[Any, Any]
SCHEDULES = ("none", "plateau", "cosine")
SETTINGS = (
    Parameter("epochs", 30, "How often training sees the whole training part, at most", 1, 10_000),
    Parameter("batch_size", 256, "Windows between two steps of the optimizer", 1, 65_536),
    Parameter("learning_rate", 0.001, "Length of a step of the optimizer, at first", 1e-7, 10.0),
    Parameter("early_stopping", True, "Stop when the validation loss no longer falls"),
    Parameter("patience", 5, "Epochs without a lower validation loss before training stops", 1, 1_000),
    Parameter("seed", 1, "Where chance begins; the same seed gives the same model on a processor", 0, 2**31 - 1),
    Parameter("clip_norm", 1.0, "Longest gradient before it is shortened; 0 leaves it as it is", 0.0, 1e6),
    Parameter("schedule", "plateau", "How the learning rate falls as epochs pass", choices=SCHEDULES),
    Parameter(
        "class_weights", False, "Weigh rare classes up until all count alike; probabilities then mean equal frequencies"
    ),
    Parameter("threads", 0, "Processors to use; 0 means all that there are", 0, 1024),
    Parameter("device", "auto", "Where a network trains: auto, cpu, cuda, cuda:1, mps, xpu"),
)
_COMMON = ("epochs", "early_stopping", "patience", "seed", "class_weights", "threads")
_NETWORK = tuple(parameter.name for parameter in SETTINGS)

_RECURRENT = (
    Parameter("hidden_size", 64, "Numbers the network remembers from bar to bar", 1, 2048),
    Parameter("layers", 1, "Recurrent layers on top of each other", 1, 8),
    Parameter("dropout", 0.2, "Share of the memory that is left out at random while training", 0.0, 0.9),
    Parameter("weight_decay", 0.0001, "How hard large weights are pulled towards 0", 0.0, 1.0),
)
_CONVOLUTION = (
    Parameter("filters", 32, "Patterns that the convolution looks for", 1, 1024),
    Parameter("kernel_size", 3, "Bars that one pattern spans", 1, 63),
    Parameter("convolutions", 1, "Convolutions on top of each other", 1, 6),
    Parameter("pooling", 1, "Bars merged into one before the recurrent part; 1 merges none", 1, 16),
)
_TREES = (
    Parameter("trees_per_epoch", 10, "Trees that are grown between two records", 1, 1_000),
    Parameter("max_depth", 8, "Questions on the longest way through a tree", 1, 30),
    Parameter(
        "window_form",
        "summary",
        "What a tree sees of a window: per column its last, mean, spread, lowest, highest and change, or every bar",
        choices=("summary", "flat"),
    ),
    Parameter(
        "matrix_mib", 1024, "Most memory for what trees learn from, in MiB; windows beyond are thinned", 1, 2**20
    ),
)


@dataclass(frozen=True)
class ModelKind:
    """One kind of model. `settings` names the fields of TrainSettings that act on it; a page leaves out the others."""

    name: str
    title: str
    family: str
    meaning: str
    parameters: tuple[Parameter, ...]
    settings: tuple[str, ...]

    def values(self, given: Values | None = None) -> dict[str, Value]:
        """All parameters, defaults filled in. Raises InputError for an unknown name or a value out of range."""
        return checked_values(self.parameters, given or {}, self.name)


MODELS: dict[str, ModelKind] = {
    kind.name: kind
    for kind in (
        ModelKind(
            "Hybrid CNN-LSTM",
            "Convolution, then LSTM",
            "network",
            "A convolution finds patterns of a few bars, a long short-term memory reads their sequence",
            (*_CONVOLUTION, *_RECURRENT),
            _NETWORK,
        ),
        ModelKind(
            "LSTM",
            "Long short-term memory",
            "network",
            "A recurrent network with gates that reads the bars of a window in turn",
            _RECURRENT,
            _NETWORK,
        ),
        ModelKind(
            "GRU",
            "Gated recurrent unit",
            "network",
            "As LSTM with a gate less: fewer weights, a little faster",
            _RECURRENT,
            _NETWORK,
        ),
        ModelKind(
            "Random Forest",
            "Random forest",
            "forest",
            "The mean of many trees, each grown on windows and columns drawn by chance",
            (
                *_TREES,
                Parameter("min_samples_leaf", 20, "Fewest windows that an answer of a tree rests on", 1, 100_000),
                # Windows overlap: a tree on all of them would see the same bars many times.
                Parameter("sample_fraction", 0.25, "Share of the windows that each tree is grown on", 0.001, 1.0),
            ),
            _COMMON,
        ),
        ModelKind(
            "XGBoost",
            "Gradient-boosted trees",
            "boosting",
            "Trees grown one after the other, each on what the trees before it still get wrong",
            (
                *_TREES,
                Parameter("shrinkage", 0.05, "Share of each tree's answer that is added", 0.0001, 1.0),
                Parameter("row_fraction", 0.7, "Share of the windows that each tree is grown on", 0.01, 1.0),
                Parameter("column_fraction", 0.7, "Share of the columns that each tree may ask about", 0.01, 1.0),
                Parameter("min_child_weight", 10.0, "Least weight of the windows behind an answer", 0.0, 1e6),
                Parameter("l2", 1.0, "How hard large answers are pulled towards 0", 0.0, 1e6),
            ),
            _COMMON,
        ),
    )
}


def model_named(name: str) -> ModelKind:
    """The kind of that name. Raises UnknownNameError with the nearest."""
    if name not in MODELS:
        raise unknown_name("model", name, MODELS)
    return MODELS[name]


@dataclass(frozen=True)
class TrainSettings:
    """How a model is trained; `parameters` are those of its kind. Meanings and ranges stand in SETTINGS."""

    epochs: int = 30
    batch_size: int = 256
    learning_rate: float = 0.001
    early_stopping: bool = True
    patience: int = 5
    seed: int = 1
    clip_norm: float = 1.0
    schedule: str = "plateau"
    class_weights: bool = False
    threads: int = 0
    device: str = "auto"
    parameters: Values = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = {parameter.name: getattr(self, parameter.name) for parameter in SETTINGS}
        for name, value in checked_values(SETTINGS, given, "Training").items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class EpochRecord:
    """What an epoch (of trees: a group of them) came to.

    Losses are log losses for classes and mean squared errors in variances of the training targets for values
    (1 is what their mean as the answer would cost). `metric` is the AUC or the negative mean absolute error on
    the validation part. NaN stands where there is no validation part, and as the learning rate of a forest.
    `is_best` says that no epoch so far had a lower validation loss.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    metric: float
    metric_name: str
    learning_rate: float
    seconds: float
    samples_per_second: float
    is_best: bool


class Predictor(Protocol):
    """What answers for windows: a trained model, or one loaded from its files."""

    def predict(self, features_scaled: Array, ends: Array) -> Array:
        """Probabilities (n, classes), or values (n,) in the unit of the target, of the windows that end at `ends`.

        `features_scaled` is `scaler.apply(features)`, (rows, columns).
        """
        ...


class Trainer(Predictor, Protocol):
    """A model in training. It answers, and is saved, as it was after its best epoch."""

    records: list[EpochRecord]  # every epoch so far, those before a resume too
    remarks: list[str]  # what a reader of the model should know of how it was trained

    def epochs(self, checkpoint: Path | None, resume: bool) -> Iterator[EpochRecord]:
        """Train, and yield a record an epoch, each once the folder `checkpoint` holds what continues after it.

        Resuming yields the checkpoint's last record once more (its receiver may have been killed before storing
        it), then goes on as if nothing had happened, on a processor to the last bit; without a checkpoint it
        begins anew. Raises InputError when the checkpoint belongs to other settings or data, InterventionError
        when it is damaged, DiskError when it cannot be written.
        """
        ...

    def description(self) -> dict[str, Any]:
        """What a loader must know: kind, values, columns, length, classes, target scale, best epoch."""
        ...

    def model_file(self) -> tuple[str, bytes]:
        """Name and content of the file that holds what was learned."""
        ...


def make_trainer(kind: ModelKind, settings: TrainSettings, samples: Samples, split: Split, scaler: Scaler) -> Trainer:
    """A trainer of that kind. Raises InputError for parameters, or parts of the data, that it cannot train with."""
    kind.values(settings.parameters)
    if settings.early_stopping and not len(split.validation):
        raise InputError(
            "Early stopping watches the validation part, and there is none.",
            "Give validation_split above 0, or early_stopping=False.",
        )
    if not len(split.train):
        raise InputError("The training part holds no window.", "Give more bars, or shorter windows.")
    if kind.family == "network":
        from train.loop import NetworkTrainer

        return NetworkTrainer(kind, settings, samples, split, scaler)
    from train.estimators import BoostingTrainer, ForestTrainer

    trainer = ForestTrainer if kind.family == "forest" else BoostingTrainer
    return trainer(kind, settings, samples, split, scaler)


# Resident memory of a process that has imported what a family needs, before any data.
_IMPORTED_MIB = {"network": 420, "forest": 260, "boosting": 260}
SUMMARIES = 6  # figures that trees see of a column of a window
# Of what trees learn from, at the peak: a float32; or, measured, what XGBoost takes while it finds its bins.
BYTES_PER_CELL = {"forest": 4, "boosting": 9}


def estimate_memory(kind: ModelKind, values: Values, shape: Sequence[int], batch_size: int) -> int:
    """Bytes that a training process will hold at its peak, from (rows, window length, columns).

    Counted are the imports, the features with their copy for predictions, weights with gradients and the
    optimizer's two moments, and the activations of a batch; for trees the matrix they learn from.
    """
    rows, length, columns = shape
    values = kind.values(values)
    base = _IMPORTED_MIB[kind.family] * 2**20 + rows * (2 * 4 * columns + 5 * 8)
    if kind.family == "network":
        return base + _network_bytes(kind, values, length, columns, batch_size)
    width = columns * (length if values["window_form"] == "flat" else SUMMARIES)
    most = int(values["matrix_mib"]) * 2**20
    matrix = min(rows * width * BYTES_PER_CELL[kind.family], most) + min(rows * width, most // 4)
    if kind.family == "boosting":
        matrix += int(width * 0.45 * 2**20)  # what it keeps of each column to find the borders of its bins
    return base + matrix + int(values["trees_per_epoch"]) * 2**18


def _network_bytes(kind: ModelKind, values: Values, length: int, columns: int, batch_size: int) -> int:
    hidden, layers = int(values["hidden_size"]), int(values["layers"])
    gates = 3 if kind.name == "GRU" else 4
    inputs, weights, steps, floats = columns, 0, length, length * columns
    if "filters" in values:
        filters = int(values["filters"])
        for _ in range(int(values["convolutions"])):
            weights += filters * (inputs * int(values["kernel_size"]) + 1)
            floats += 2 * length * filters
            inputs = filters
        steps = max(1, length // int(values["pooling"]))
    for _ in range(layers):
        weights += gates * hidden * (inputs + hidden + 2)
        # Gates, cell and output of each step, and the gradients of the gates.
        floats += steps * hidden * (2 * gates + 3)
        inputs = hidden
    return 4 * (6 * weights + 2 * batch_size * floats)
