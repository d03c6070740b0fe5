"""How fast networks learn from windows that are views, what that costs in memory, and what keeping the state costs.

`python benchmarks/training.py [--quick] [--json]`. The model is the Hybrid CNN-LSTM as it is offered, on windows of
60 bars and 16 features of noise. The peers train the same network on windows laid out beforehand, on windows that
torch's DataLoader collects, and on torch's `unfold`; all take turns in this process (A B A B …), each once before it
counts, and medians are compared. The weights after a pass over laid-out windows in the same order must equal ours
to the last bit. Memory, threads and the start are measured in processes of their own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from data_pipeline import medians, peak_mib, timed
from session import report

from train.models import TrainSettings, make_trainer, model_named
from train.splits import Scaler, Split, fit_scaler
from train.targets import TargetSpec
from train.windows import Samples

ROW = tuple[str, float, float, float, str]
MODEL, LENGTH, COLUMNS, BATCH = "Hybrid CNN-LSTM", 60, 16, 256
MANY, FEW = 100_000, 20_000
# On a par: a twentieth more is what this kind of machine differs by from minute to minute.
SPEED_TARGET, MEMORY_TARGET, THREADS_TARGET, KEEPING_TARGET = 1.05, 1.3, 1 / 1.7, 1.0
KEEPING_SHARE, START_SECONDS = 0.03, 1.5
LARGE_ROWS = 4_000_000


def noise(rows: int, windows: int, length: int = LENGTH) -> tuple[Samples, Split, Scaler]:
    """So many rows of noise, and as many windows spread over them, a tenth of which validates."""
    chance = np.random.default_rng(1)
    features = chance.standard_normal((rows, COLUMNS), dtype=np.float32)
    target = (chance.random(rows) > 0.5).astype("float64")
    times = pd.date_range("2000-01-03", periods=rows, freq="min", tz="UTC")
    ends = np.linspace(length - 1, rows - 2, windows).astype("int64")
    spec, names = TargetSpec("direction", 1), tuple(f"c{number}" for number in range(COLUMNS))
    samples = Samples(features, names, target, times, times, length, spec, ends, "EURUSD", "M1")
    trained = len(ends) * 9 // 10
    split = Split(ends[:trained], ends[trained:], ends[:0], 1, 0)
    return samples, split, fit_scaler(samples, split)


def trainer_of(given: tuple[Samples, Split, Scaler], epochs: int = 1, threads: int = 0) -> Any:
    """A trainer of the model on the processor."""
    settings = TrainSettings(
        epochs=epochs, batch_size=BATCH, early_stopping=False, schedule="none", threads=threads, device="cpu"
    )
    return make_trainer(model_named(MODEL), settings, *given)


class Peer:
    """The same network, optimizer and order of windows, with one of the usual ways to feed it."""

    def __init__(self, given: tuple[Samples, Split, Scaler], feed: str) -> None:
        import torch

        from train.networks import build_network

        samples, self.split, scaler = given
        self.kind, self.chance = model_named(MODEL), np.random.default_rng(1)
        torch.manual_seed(1)
        self.network = build_network(MODEL, self.kind.values(), COLUMNS, 2)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), 0.001, weight_decay=0.0001)
        self.targets = torch.from_numpy(samples.target.astype("int64"))
        scaled = scaler.apply(samples.features)
        begins = self.split.train - (LENGTH - 1)
        views = np.lib.stride_tricks.sliding_window_view(scaled, LENGTH, axis=0)
        self.feed: Callable[[], Iterator[tuple[Any, Any]]]
        if feed == "materialised windows":
            laid_out = torch.from_numpy(np.ascontiguousarray(views[begins].transpose(0, 2, 1)))
            self.feed = partial(self.indexed, laid_out, self.targets[self.split.train])
        elif feed == "DataLoader":
            self.feed = partial(self.loaded, scaled, begins)
        else:
            unfolded = torch.from_numpy(scaled).unfold(0, LENGTH, 1)
            self.feed = partial(self.unfolded, unfolded, torch.from_numpy(begins))

    def indexed(self, windows: Any, targets: Any) -> Iterator[tuple[Any, Any]]:
        """Batches of windows that are laid out already."""
        order = self.order()
        for at in range(0, len(order), BATCH):
            part = order[at : at + BATCH]
            yield windows[part], targets[part]

    def unfolded(self, windows: Any, begins: Any) -> Iterator[tuple[Any, Any]]:
        """Batches cut by torch from its view."""
        order = self.order()
        for at in range(0, len(order), BATCH):
            part = begins[order[at : at + BATCH]]
            yield windows[part].transpose(1, 2), self.targets[part + LENGTH - 1]

    def loaded(self, features: Any, begins: Any) -> Iterator[tuple[Any, Any]]:
        """Batches as torch's DataLoader collects them, window by window, in this process."""
        from torch.utils.data import DataLoader, Dataset

        class Windows(Dataset[Any]):
            def __len__(self) -> int:
                return len(begins)

            def __getitem__(self, at: int) -> Any:
                return features[begins[at] : begins[at] + LENGTH], targets[at]

        targets = self.targets[self.split.train]
        yield from DataLoader(Windows(), BATCH, shuffle=True)

    def order(self) -> Any:
        """The order in which ours draws them."""
        import torch

        drawn = np.arange(len(self.split.train))
        self.chance.shuffle(drawn)
        return torch.from_numpy(drawn)

    def learn(self) -> None:
        """One pass over the training part, as a tutorial writes it."""
        import torch

        self.network.train()
        for windows, targets in self.feed():
            self.optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(self.network(windows), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()


def learning(rounds: int, windows: int) -> list[ROW]:
    """Seconds of a pass over the training part, against the fastest of three other feeds."""
    import torch

    given = noise(windows + LENGTH, windows)
    feeds = ("materialised windows", "DataLoader", "unfold")
    ours = trainer_of(given, 10_000)
    epochs = ours.epochs()
    next(epochs)
    laid_out = Peer(given, feeds[0])
    laid_out.learn()
    theirs = laid_out.network.state_dict()
    if not all(torch.equal(values, theirs[name]) for name, values in ours._network.state_dict().items()):
        raise RuntimeError("a pass over windows laid out beforehand leaves other weights")
    peers = {feed: Peer(given, feed) for feed in feeds}

    def learn() -> float:
        return float(next(epochs).seconds)

    sides = {"ours": learn, **{feed: timed(peer.learn) for feed, peer in peers.items()}}
    seconds = medians(sides, rounds)
    trained = len(given[1].train)
    speeds = ", ".join(f"{name} {trained / took:,.0f}" for name, took in seconds.items())
    best = min(seconds[feed] for feed in feeds)
    note = f"windows a second: {speeds}; median of {rounds}, interleaved"
    name = f"a pass over {trained:,} windows of {LENGTH}×{COLUMNS} at batch {BATCH}, s"
    return [(name, seconds["ours"], best, SPEED_TARGET, note)]


def memory(length: int) -> list[ROW]:
    """The features and what learning from windows of them adds, in a process of its own."""
    command = [sys.executable, __file__, "--peak", str(length)]
    features, grown = map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    note = f"{LARGE_ROWS:,} rows; beyond what the network takes for a batch of such windows from 3,000 rows"
    return [
        (f"features and a pass over windows of {length} bars, MiB", features + grown, features, MEMORY_TARGET, note)
    ]


def print_growth(length: int) -> None:
    """MiB of the features, and by how much the peak of this process grew while it learned from them."""
    few = noise(3_000, 1_000, length)
    list(trainer_of(noise(3_000, 300, 10)).epochs())  # what torch takes once
    at_first = resident_mib()
    list(trainer_of(few).epochs())
    one_batch = peak_mib() - at_first  # what a batch of such windows takes in the network, however many rows there are
    given = noise(LARGE_ROWS, 10_000 if length == LENGTH else 2_000, length)
    before = resident_mib()
    with tempfile.TemporaryDirectory() as folder:
        list(trainer_of(given).epochs(Path(folder), resume=False))
    # The features are larger than what was there before them, so this peak is that of the second pass.
    print(given[0].features.nbytes / 2**20, max(0.0, peak_mib() - before - one_batch))


def resident_mib() -> float:
    """Resident memory of this process now, in MiB."""
    import psutil

    return float(psutil.Process().memory_info().rss) / 2**20


def sharing(rounds: int, windows: int) -> list[ROW]:
    """Seconds a window with two jobs at one thread each, against one job at two threads."""
    speeds: dict[str, list[float]] = {"two": [], "one": []}
    for _ in range(rounds):
        speeds["two"].append(sum(speeds_of(threads=1, jobs=2, windows=windows)))
        speeds["one"].append(sum(speeds_of(threads=2, jobs=1, windows=windows)))
    two, one = (statistics.median(speeds[name]) for name in ("two", "one"))
    note = f"{two:,.0f} against {one:,.0f} windows a second, {two / one:.2f}×; median of {rounds}, in turn"
    name = "1,000 windows: two jobs of one thread, one of two threads, s"
    return [(name, 1000 / two, 1000 / one, THREADS_TARGET, note)]


def speeds_of(threads: int, jobs: int, windows: int) -> list[float]:
    """Windows a second of so many jobs at once, each in a process of its own, all set off when all are ready."""
    command = [sys.executable, __file__, "--job", str(threads), "--windows", str(windows)]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(jobs)]
    for each in running:
        assert each.stdout is not None  # noqa: S101  # asked for above
        each.stdout.readline()
    for each in running:
        assert each.stdin is not None  # noqa: S101  # asked for above
        each.stdin.write("go\n")
        each.stdin.flush()
    return [float(each.communicate()[0]) for each in running]


def print_speed(threads: int, windows: int) -> None:
    """Windows a second of an epoch after one that does not count, begun when standard input says so."""
    epochs = trainer_of(noise(windows + LENGTH, windows), 2, threads).epochs()
    next(epochs)
    print("ready", flush=True)
    sys.stdin.readline()
    print(next(epochs).samples_per_second)


def keeping(windows: int, epochs: int) -> list[ROW]:
    """Seconds that a job spends on queue, records and checkpoints, against the share allowed; it runs in here."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["SEQUENCE_HOME"] = home
        kept, took = _run_a_job(windows, epochs)
    note = f"{kept / took:.2%} of {took:.1f} s; {epochs} epochs of {windows:,} windows, peer the share allowed"
    return [("queue, records and checkpoints of a job, s", kept, KEEPING_SHARE * took, KEEPING_TARGET, note)]


def _run_a_job(windows: int, epochs: int) -> tuple[float, float]:
    from core.job_process import run_job
    from core.jobs import RunningJob
    from data.pipeline_controller import controller
    from train import artifacts, jobs, loop
    from train.training_manager import TrainingJob, manager
    from workbench import JOBS

    chance = np.random.default_rng(1)
    times = pd.date_range("2024-01-01", periods=windows + LENGTH, freq="min", tz="UTC", name="time")
    close = 1.1 + np.cumsum(chance.standard_normal(len(times))) * 1e-5
    bars = pd.DataFrame({"open": close, "high": close, "low": close, "close": close, "volume": 1.0}, index=times)
    names = [f"c{number}" for number in range(COLUMNS)]
    noise_columns = pd.DataFrame(chance.standard_normal((len(times), COLUMNS)), index=times, columns=names)
    version = controller.publish(pd.concat([bars, noise_columns], axis=1).assign(symbol="EURUSD"))
    asked = TrainingJob(
        job_id="kept",
        model_name=MODEL,
        dataset=version.content_hash,
        features=tuple(names),
        window_length=LENGTH,
        epochs=epochs,
        batch_size=BATCH,
        early_stopping=False,
        schedule="none",
        device="cpu",
        validation_split=0.05,
        test_split=0.05,
        threads=2,
    )
    manager.submit_job(asked)
    spent = 0.0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*given: Any, **named: Any) -> Any:
            nonlocal spent
            began = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                spent += time.perf_counter() - began

        return measured

    training = jobs._Training
    doors = [(vars(loop), "write_checkpoint"), (vars(artifacts), "save_model")]
    before = [(place, name, place[name]) for place, name in doors]
    stored, told = training._store, RunningJob.tell
    for place, name, function in before:
        place[name] = counted(function)
    training._store, RunningJob.tell = counted(stored), counted(told)  # type: ignore[method-assign]
    try:
        began = time.perf_counter()
        job = jobs.queue.claim(JOBS.kinds["train"], "benchmark")
        if job is None:
            raise RuntimeError("the job was not claimed")
        run_job(jobs.train, jobs.queue.begin(job.id, job.attempt))
        took = time.perf_counter() - began
    finally:
        training._store, RunningJob.tell = stored, told  # type: ignore[method-assign]
        for place, name, function in before:
            place[name] = function
    if jobs.queue.job(job.id).status != "SUCCEEDED":
        raise RuntimeError(f"the job did not succeed: {jobs.queue.job(job.id).failure}")
    return spent, took


def starting(rounds: int) -> list[ROW]:
    """Seconds of a new process until the first step is due, against `import torch` and a second and a half."""
    ours = timed(lambda: subprocess.run([sys.executable, __file__, "--start"], check=True))
    torch_alone = timed(lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True))
    seconds = medians({"ours": ours, "torch": torch_alone}, rounds)
    note = f"import torch alone {seconds['torch']:.2f} s, and {START_SECONDS} s; median of {rounds}, interleaved"
    return [("a process until its first step, s", seconds["ours"], seconds["torch"] + START_SECONDS, 1.0, note)]


def main() -> int:
    """Measure, print the table, and return 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="one round where two are taken, and the state kept of fewer windows"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    for name in ("--peak", "--job", "--windows"):
        parser.add_argument(name, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--start", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print_growth(options.peak)
    elif options.job:
        print_speed(options.job, options.windows)
    elif options.start:
        trainer_of(noise(MANY + LENGTH, MANY))
    else:
        kept, rounds = (FEW, 1) if options.quick else (MANY, 2)
        parts = (
            partial(learning, 3, FEW),
            partial(memory, LENGTH),
            partial(memory, 500),
            partial(sharing, rounds, FEW // 2),
            partial(keeping, kept, 1),
            partial(starting, rounds),
        )
        return report((row for part in parts for row in part()), as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
