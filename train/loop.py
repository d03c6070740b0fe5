"""The training loop of the networks: yields a record an epoch, and knows neither the database nor a page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from train.checkpoints import identity, read_checkpoint, write_checkpoint
from train.devices import choose_device, device_memory
from train.models import Array, EpochRecord, ModelKind, TrainSettings
from train.networks import WindowNetwork, build_network
from train.progress import AnswerScale, Goal, described, is_over, learning_rate, next_record
from train.splits import Scaler, Split
from train.windows import Samples, batches

_BETA, _SQUARE_BETA, _EPSILON = 0.9, 0.999, 1e-8  # of AdamW, as its authors and torch have them
_ANSWERED_TOGETHER = 256  # windows; always as many, since the last bits depend on it
_DEVICE_SHARE = 0.4  # of the free memory of a device that the features may take


class NetworkTrainer:
    """Trains one of the networks. On a processor the same seed and threads give the same weights, to the bit."""

    def __init__(
        self, kind: ModelKind, settings: TrainSettings, samples: Samples, split: Split, scaler: Scaler
    ) -> None:
        self.kind, self.settings, self.split = kind, settings, split
        self.values = kind.values(settings.parameters)
        self.records: list[EpochRecord] = []
        self.remarks: list[str] = []
        self.device = torch.device(choose_device(settings.device))
        _prepare(self.device, settings.threads)
        self._samples, self._scaler = samples, scaler
        self._goal = Goal(samples, split, class_weights=settings.class_weights)
        self._identity = identity(kind, settings, samples, split, scaler)
        self._order = np.random.default_rng(settings.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self._network = self._new_network()
            self._chance = self._chances()
        self._best = self._new_network()
        self._best.load_state_dict(self._network.state_dict())
        self._optimizer = AdamW(list(self._network.parameters()), float(self.values["weight_decay"]))
        self._weights = torch.tensor(self._goal.weights, dtype=torch.float32, device=self.device)
        self._feed = _feed(samples, scaler, self.device)

    def epochs(self, checkpoint: Path | None = None, resume: bool = False) -> Iterator[EpochRecord]:
        """Train; see `train.models.Trainer.epochs`."""
        if checkpoint and resume and self._restore(checkpoint):
            yield self.records[-1]
        while not is_over(self.settings, self.records):
            record = self._epoch()
            self.records.append(record)
            if record.is_best:
                self._best.load_state_dict(self._network.state_dict())
            if checkpoint:
                self._save(checkpoint)
            yield record

    def predict(self, features_scaled: Array, ends: Array) -> Array:
        """Answers of the best epoch's weights; see `train.models.Predictor.predict`."""
        return network_answers(self._best, self._goal.scale, features_scaled, ends, self._samples.length)

    def description(self) -> dict[str, Any]:
        """What a loader must know."""
        return {
            **described(self.kind, self.values, self._samples, self._goal.scale, self.records),
            "weights": sum(weights.numel() for weights in self._best.parameters()),
        }

    def model_file(self) -> tuple[str, bytes]:
        """The best epoch's weights as safetensors."""
        from safetensors.torch import save

        weights = {name: values.detach().cpu().contiguous() for name, values in self._best.state_dict().items()}
        return "weights.safetensors", save(weights)

    def _new_network(self) -> WindowNetwork:
        columns = len(self._samples.columns)
        return build_network(self.kind.name, self.values, columns, self._goal.scale.outputs).to(self.device)

    def _epoch(self) -> EpochRecord:
        began = time.perf_counter()
        rate = learning_rate(self.settings, self.records)
        with self._own_chance():
            trained = self._train(rate)
        took = time.perf_counter() - began
        ends = self.split.validation
        answers = self._goal.scale.answers(
            _outputs(self._network, self._feed(self._goal.targets, ends, _ANSWERED_TOGETHER))
        )
        losses, score = (trained, self._goal.loss(answers, ends)), self._goal.score(answers, ends)
        return next_record(self.records, losses, score, rate=rate, seconds=took, samples=len(self.split.train))

    def _train(self, rate: float) -> float:
        """One pass over the training part, in an order drawn anew; the mean loss along the way."""
        self._network.train()
        total = torch.zeros((), dtype=torch.float64 if self.device.type == "cpu" else torch.float32, device=self.device)
        for windows, targets in self._feed(self._goal.targets, self.split.train, self.settings.batch_size, self._order):
            self._network.zero_grad(set_to_none=True)
            with _mixed_precision(self.device):
                answers = self._network(windows)
            loss = self._loss(answers.float(), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            if self.settings.clip_norm:
                nn.utils.clip_grad_norm_(self._optimizer.weights, self.settings.clip_norm)
            self._optimizer.step(rate)
            total += loss.detach() * len(targets)  # not read until the end: reading would wait for the device
        return float(total) / len(self.split.train)

    def _loss(self, answers: Tensor, targets: Tensor) -> Tensor:
        if self._goal.classes:
            return functional.cross_entropy(answers, targets.long(), self._weights)
        return functional.mse_loss(answers[:, 0], targets)

    @contextmanager
    def _own_chance(self) -> Iterator[None]:
        """Torch's chance goes on where this trainer left it, and the caller's is left untouched."""
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._chance["processor"])
            if "device" in self._chance:
                torch.get_device_module(self.device).set_rng_state(self._chance["device"])
            yield
            self._chance = self._chances()

    def _chances(self) -> dict[str, Tensor]:
        if self.device.type == "cpu":
            return {"processor": torch.get_rng_state()}
        return {
            "processor": torch.get_rng_state(),
            "device": torch.get_device_module(self.device).get_rng_state().cpu(),
        }

    def _save(self, checkpoint: Path) -> None:
        arrays = {f"chance.{name}": state.numpy() for name, state in self._chance.items()}
        for part, network in (("now", self._network), ("best", self._best)):
            arrays |= {f"{part}.{name}": _array(values) for name, values in network.state_dict().items()}
        for number, (mean, square) in enumerate(self._optimizer.moments):
            arrays |= {f"mean.{number}": _array(mean), f"square.{number}": _array(square)}
        state = {"order": self._order.bit_generator.state, "steps": self._optimizer.steps}
        write_checkpoint(checkpoint, self._identity, self.records, state, arrays)

    def _restore(self, checkpoint: Path) -> bool:
        """Go back to the checkpoint, if there is one."""
        found = read_checkpoint(checkpoint, self._identity)
        if found is None:
            return False
        self.records, state, arrays = found
        tensors = {name: torch.from_numpy(values) for name, values in arrays.items()}
        self._order.bit_generator.state = state["order"]
        for part, network in (("now.", self._network), ("best.", self._best)):
            network.load_state_dict({name[len(part) :]: tensors[name] for name in tensors if name.startswith(part)})
        self._optimizer.steps = state["steps"]
        for number, moments in enumerate(self._optimizer.moments):
            for name, values in zip(("mean", "square"), moments, strict=True):
                values.copy_(tensors[f"{name}.{number}"])
        # Another device goes on with its own chance where the checkpoint holds none for it.
        for name in self._chance:
            self._chance[name] = tensors.get(f"chance.{name}", self._chance[name])
        return True


class AdamW:
    """Adam with weight decay apart from the gradient: bit for bit torch.optim.AdamW with its defaults on a processor.

    The first optimizer of torch's in a process imports its compiler, which takes a second before the first step.
    Source: I. Loshchilov, F. Hutter, Decoupled Weight Decay Regularization, ICLR 2019.
    """

    def __init__(self, weights: list[nn.Parameter], decay: float) -> None:
        self.weights, self.decay, self.steps = weights, decay, 0
        self.moments = [(torch.zeros_like(each.data), torch.zeros_like(each.data)) for each in weights]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move the weights against their gradients by a step of length `rate`."""
        self.steps += 1
        corrected, square_corrected = 1 - _BETA**self.steps, 1 - _SQUARE_BETA**self.steps
        for weights, (mean, square) in zip(self.weights, self.moments, strict=True):
            if weights.grad is None:
                continue
            weights.mul_(1 - rate * self.decay)
            mean.lerp_(weights.grad, 1 - _BETA)
            square.mul_(_SQUARE_BETA).addcmul_(weights.grad, weights.grad, value=1 - _SQUARE_BETA)
            size = (square.sqrt() / square_corrected**0.5).add_(_EPSILON)
            weights.addcdiv_(mean, size, value=-rate / corrected)


def network_answers(
    network: WindowNetwork, scale: AnswerScale, features_scaled: Array, ends: Array, length: int
) -> Array:
    """Answers of `network` for the windows that end at `ends`, a batch at a time."""
    device = next(network.parameters()).device
    blank = np.broadcast_to(0.0, len(features_scaled))  # no targets, and no memory for none
    given = (
        (torch.from_numpy(windows).to(device), None)
        for windows, _ in batches(features_scaled, blank, ends, length, _ANSWERED_TOGETHER, None)
    )
    return scale.answers(_outputs(network, given))


def _outputs(network: WindowNetwork, given: Any) -> Array:
    """The raw outputs (n, outputs) in float64, with nothing left out and nothing learned."""
    network.eval()
    found = []
    with torch.inference_mode():
        for windows, _ in given:
            found.append(network(windows).float().cpu().numpy())
    if not found:
        return np.empty((0, network.answer.out_features))
    together: Array = np.concatenate(found).astype(np.float64)
    return together


def _feed(samples: Samples, scaler: Scaler, device: torch.device) -> Any:
    """A function that yields scaled windows and targets: (targets, ends, batch size, chance of the order).

    On a processor windows are cut and scaled a batch at a time, so that there is no second copy of the features.
    On a device they lie scaled once, if they fit, and windows are cut there.
    """
    memory = device_memory(str(device))
    fits = memory is not None and samples.features.nbytes < _DEVICE_SHARE * memory.free_mib * 2**20
    resident = torch.from_numpy(scaler.apply(samples.features)).to(device) if fits else None

    def from_host(targets: Array, ends: Array, size: int, order: np.random.Generator | None = None) -> Iterator[Any]:
        for windows, wanted in batches(samples.features, targets, ends, samples.length, size, order):
            scaler.apply(windows, out=windows)
            yield torch.from_numpy(windows).to(device), torch.from_numpy(wanted).to(device)

    def from_device(targets: Array, ends: Array, size: int, order: np.random.Generator | None = None) -> Iterator[Any]:
        assert resident is not None  # noqa: S101  # chosen below
        rows, columns = resident.shape
        views = resident.as_strided((rows - samples.length + 1, samples.length, columns), (columns, columns, 1))
        drawn = np.array(ends)
        if order is not None:
            order.shuffle(drawn)
        begins = torch.from_numpy(drawn - (samples.length - 1)).to(device)
        wanted = torch.from_numpy(targets[drawn]).to(device)
        for at in range(0, len(drawn), size):
            yield views[begins[at : at + size]], wanted[at : at + size]

    return from_host if resident is None else from_device


def _prepare(device: torch.device, threads: int) -> None:
    """Threads of this process, and what makes a device repeat itself as far as it can."""
    if threads:
        torch.set_num_threads(threads)
    if device.type != "cpu":
        torch.accelerator.set_device_index(device.index or 0)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True


def _mixed_precision(device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 where a device computes with it: it needs no scaling of losses. Elsewhere everything is float32."""
    able = device.type == "xpu" or (device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.autocast(device.type, torch.bfloat16) if able else nullcontext()


def _array(values: Tensor) -> Array:
    found: Array = values.detach().cpu().numpy()
    return found
