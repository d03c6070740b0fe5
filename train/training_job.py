"""What a training job is asked: the fields of the specification, and those it leaves out with their defaults."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from core.names import checked_name
from core.schema import Checked
from train.models import TrainSettings, model_named
from train.targets import TargetSpec


class TrainingJob(Checked):
    """One model to be trained on one dataset; checked when it is made. Raises InputError or UnknownNameError.

    `dataset_path` is a CSV file of bars, versioned on entry; `dataset` is a dataset version's hash, its beginning,
    or its id. One of them is needed. Without `symbol` the dataset's only one counts, without `features` every
    numeric column that preprocessing added (those of a plain CSV are made by the standard preprocessing).
    `horizon`, `window_length` and `embargo` are counted in bars, `validation_split` and `test_split` are fractions
    of the samples, the last ones in time. `barrier_atr` counts for the triple barrier only. `parameters` are the
    model's own. A higher `priority` comes first. `folds` above 0 also trains on so many walk-forward folds.
    `threads` 0 takes this machine's processors divided by the models that may be trained at once. `overrides`
    accept by name what is refused otherwise: "looks_ahead", "FAIL"; they need an `override_reason`, which is kept
    with the job and on the model's card.
    """

    job_id: str
    model_name: str
    dataset_path: str | None = None
    dataset: str | int | None = None
    symbol: str | None = None
    features: tuple[str, ...] = ()
    target: Literal["direction", "return", "volatility", "triple_barrier"] = "direction"
    horizon: int = Field(1, ge=1, le=10_000)
    barrier_atr: float = Field(1.0, gt=0, le=100)
    window_length: int = Field(60, ge=1, le=5_000)
    epochs: int = Field(30, ge=1, le=10_000)
    batch_size: int = Field(256, ge=1, le=65_536)
    learning_rate: float = Field(0.001, ge=1e-7, le=10)
    validation_split: float = Field(0.2, gt=0, lt=1)
    test_split: float = Field(0.2, gt=0, lt=1)
    embargo: int = Field(0, ge=0, le=100_000)
    early_stopping: bool = True
    patience: int = Field(5, ge=1, le=1_000)
    priority: int = 0
    seed: int = Field(1, ge=0, le=2**31 - 1)
    clip_norm: float = Field(1.0, ge=0, le=1e6)
    schedule: Literal["none", "plateau", "cosine"] = "plateau"
    class_weights: bool = False
    parameters: dict[str, Any] = Field(default_factory=dict)
    folds: int = Field(0, ge=0, le=50)
    device: str = "auto"
    threads: int = Field(0, ge=0, le=1024)
    overrides: tuple[str, ...] = ()
    override_reason: str = Field("", max_length=500)

    @field_validator("job_id")
    @classmethod
    def _can_name_a_folder(cls, job_id: str) -> str:
        return checked_name(job_id, "job_id")

    @model_validator(mode="after")
    def _is_whole(self) -> TrainingJob:
        # Errors of our own pass through pydantic as they are, with the nearest name.
        model_named(self.model_name).values(self.parameters)
        if (self.dataset_path is None) == (self.dataset is None):
            raise ValueError("Give either dataset_path, a CSV file of bars, or dataset, a version of the Data Pipeline")
        if self.validation_split + self.test_split >= 0.9:
            raise ValueError("validation_split and test_split leave too little to train on; keep their sum below 0.9")
        if self.overrides and not self.override_reason.strip():
            raise ValueError("overrides need an override_reason: say why the dataset may be trained on all the same")
        return self

    @property
    def spec(self) -> TargetSpec:
        """What the model is to predict."""
        return TargetSpec(self.target, self.horizon, self.barrier_atr)

    @property
    def settings(self) -> TrainSettings:
        """How it is to be trained, as trainers take it."""
        return TrainSettings(
            **{each.name: getattr(self, each.name) for each in fields(TrainSettings) if each.name != "parameters"},
            parameters=self.parameters,
        )

    @property
    def target_words(self) -> str:
        """`direction 5`, the target and its horizon in bars, as tables show them."""
        return f"{self.target} {self.horizon}"


# What tells two jobs apart that ask for the same work.
NOT_CONTENT = ("job_id", "priority")
