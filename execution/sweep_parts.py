"""The sets of a sweep tried part by part: ours in the compiled engine, those of backtesting.py's classes one by one.

Signals are causal, so each set's are made once over all bars. The fitted part is traded from its first bar, the
held-out part from its own, flat and with the whole cash, while the indicators are warm from the bars before it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from core.errors import SequenceError, StrategyError
from core.parallel import is_distributed, run_all, workers
from execution.metrics import compute_metrics
from execution.result import EngineRun
from execution.sweep_plan import SweepPlan, words_of
from execution.sweep_store import FIGURE_COLUMNS, HELD_COLUMNS
from market.indicators import shared_indicators
from market.symbols import symbol_of

if TYPE_CHECKING:
    from execution.engine import Prepared

# Wishes of so many bytes are traded together; a few such groups wait for a thread, so memory stays small.
_BYTES_TOGETHER = 2**19
# How long trials gather before they are given.
_SECONDS_TOGETHER = 0.5
_INDICATORS_MIB = 384
# Sets that go to another machine's worker together.
_SETS_SENT = 64

Floats = np.ndarray[Any, np.dtype[np.float64]]
Wishes = np.ndarray[Any, np.dtype[np.int8]]


def run_plan(plan: SweepPlan, numbers: Sequence[int] | None = None) -> Iterator[pd.DataFrame]:
    """Try the sets of these numbers (all of them without any) and give their trials part by part.

    A part has a row a set: `number`, the figures and `failure`.
    """
    left = range(len(plan.sets)) if numbers is None else numbers
    if plan.is_own and not is_distributed():
        yield from _compiled(plan, left)
        return
    together = _SETS_SENT if plan.is_own else 1
    parts = [list(left[at : at + together]) for at in range(0, len(left), together)]
    shared = replace(plan, config={}, dataset=None)
    for _, part in run_all(_swept, parts, shared=shared, describe=lambda part: plan.describe(part[0])):
        yield part


@dataclass(frozen=True)
class _Part:
    """A part of the bars, ready for the engine: the prefix of its columns, its first bar, the bar after its last."""

    prefix: str
    first: int
    end: int
    prepared: Prepared


@dataclass(frozen=True)
class _Group:
    """What some sets want, a row each; stops and targets are distances (price units), None where no set has any."""

    positions: Wishes
    stops: Floats | None
    targets: Floats | None


class _Traders:
    """Threads that trade groups while signals are made; what none of them has begun is traded by who asks for it."""

    def __init__(self, parts: list[_Part], threads: int) -> None:
        self._parts = parts
        self._pool = ThreadPoolExecutor(threads)
        self._most = 2 * threads
        self._handed: list[Future[list[Floats]]] = []
        self._waiting: deque[tuple[int, _Group]] = deque()
        self._figures: dict[int, list[Floats]] = {}

    def hand_over(self, group: _Group) -> None:
        """Queue a group; where too many wait already, memory is kept small by trading one of them here."""
        self._waiting.append((len(self._handed), group))
        self._handed.append(self._pool.submit(_traded, self._parts, group))
        while self._waiting and self._is_begun(self._waiting[0][0]):
            self._waiting.popleft()
        if len(self._waiting) > self._most:
            self._trade_one()

    def figures(self) -> list[list[Floats]]:
        """Those of all groups handed over since the last call, in that order."""
        while self._waiting:
            self._trade_one()
        found = [self._figures.get(place) or future.result() for place, future in enumerate(self._handed)]
        self._handed, self._figures = [], {}
        return found

    def close(self) -> None:
        """End the threads; what they have not begun is left."""
        self._pool.shutdown(cancel_futures=True)

    def _is_begun(self, place: int) -> bool:
        return self._handed[place].running() or self._handed[place].done()

    def _trade_one(self) -> None:
        """Trade the group that has waited longest, unless a thread has just begun it."""
        place, group = self._waiting.popleft()
        if self._handed[place].cancel():
            self._figures[place] = _traded(self._parts, group)


def _compiled(plan: SweepPlan, numbers: Sequence[int]) -> Iterator[pd.DataFrame]:
    """Signals are made here, in Python; meanwhile threads trade those that are made, in compiled code.

    One thread fewer than there are processors: this one is busy too.
    """
    from execution.engine import prepare

    parts = [
        _Part(prefix, first, end, prepare(plan.bars.iloc[first:end], plan.settings, plan.conversions))
        for prefix, first, end in plan.parts
    ]
    done: list[int] = []
    failures: dict[int, str] = {}
    yielded_at = time.monotonic()
    with shared_indicators(plan.bars, _INDICATORS_MIB), closing(_Traders(parts, max(1, workers() - 1))) as traders:
        for group in _grouped(plan, numbers, done, failures):
            traders.hand_over(group)
            if time.monotonic() - yielded_at > _SECONDS_TOGETHER:
                yield _tabled(parts, done, traders.figures(), failures)
                yielded_at = time.monotonic()
                done.clear()
                failures.clear()
        if done or failures:
            yield _tabled(parts, done, traders.figures(), failures)


def _grouped(plan: SweepPlan, numbers: Sequence[int], done: list[int], failures: dict[int, str]) -> Iterator[_Group]:
    """The wishes of sets in groups worth a thread's while; `done` gets their numbers, `failures` the others' reasons.

    They are laid out here, set by set: a thread that did so would wait for Python at every one.
    """
    checked, bars = plan.strategy.checked_signals, len(plan.bars)
    rows = max(1, _BYTES_TOGETHER // bars)
    positions = np.empty((rows, bars), np.int8)
    stops: list[Floats | None] = []
    targets: list[Floats | None] = []
    for number in numbers:
        try:
            signals = checked(plan.bars, plan.values(number))
        except StrategyError as error:
            failures[number] = str(error)
            continue
        positions[len(stops)] = signals.position
        done.append(number)
        stops.append(signals.stop_distance)
        targets.append(signals.target_distance)
        if len(stops) == rows:
            yield _Group(positions, _stacked(stops, bars), _stacked(targets, bars))
            positions, stops, targets = np.empty((rows, bars), np.int8), [], []
    if stops:
        yield _Group(positions[: len(stops)], _stacked(stops, bars), _stacked(targets, bars))


def _stacked(distances: Sequence[Floats | None], bars: int) -> Floats | None:
    """Distances a row a set; None where no set has any."""
    if all(each is None for each in distances):
        return None
    none = np.full(bars, np.nan)
    return np.stack([none if each is None else each for each in distances])


def _traded(parts: list[_Part], group: _Group) -> list[Floats]:
    """The engine's figures of some sets, for each part of the bars."""
    from execution.engine import sweep_positions

    figures = []
    for part in parts:
        within = slice(part.first, part.end)
        stops, targets = (None if each is None else each[:, within] for each in (group.stops, group.targets))
        figures.append(sweep_positions(part.prepared, group.positions[:, within], stops, targets, threads=1))
    return figures


def _tabled(parts: list[_Part], done: list[int], figures: list[list[Floats]], failures: dict[int, str]) -> pd.DataFrame:
    """The trials of sets that were traded, and of those that failed before."""
    from execution.engine import figure_columns

    failed = dict(failures)
    columns: dict[str, Floats] = {}
    missing = np.full(len(failures), np.nan)
    for at, part in enumerate(parts):
        if not done:
            break
        found = figure_columns(part.prepared, np.concatenate([group[at] for group in figures]))
        for place, why in _unusable(found, part.prepared):
            failed.setdefault(done[place], why)
        for name in FIGURE_COLUMNS:
            columns[part.prefix + name] = np.concatenate([found[name], missing])
    return _trials([*done, *failures], columns, failed)


def _unusable(figures: dict[str, Floats], prepared: Any) -> Iterator[tuple[int, str]]:
    """The sets whose figures say nothing, by place, and why."""
    wrong = figures["wrong_level_bar"]
    for at in np.flatnonzero(wrong >= 0):
        moment = prepared.bars.index[int(wrong[at])]
        yield int(at), f"A stop or target lies on the wrong side of the price at {moment:%Y-%m-%d %H:%M} UTC."
    for at in np.flatnonzero((figures["trades_count"] == 0) & (figures["refused_without_stop"] > 0)):
        yield int(at), "No position could be sized: the strategy gives no stop, and the size is a risk at the stop."


def _swept(plan: SweepPlan, numbers: list[int]) -> pd.DataFrame:
    """Some sets, in another process."""
    if plan.is_own:
        return pd.concat(list(_compiled(plan, numbers)), ignore_index=True)
    return pd.concat([_of_class(plan, number) for number in numbers], ignore_index=True)


def _of_class(plan: SweepPlan, number: int) -> pd.DataFrame:
    """One set of a `backtesting.Strategy` class on each part; what it raises is told with the set."""
    columns: dict[str, Floats] = {}
    failed = {}
    for prefix, first, end in plan.parts:
        try:
            metrics = _class_metrics(plan, number, first, end)
        except SequenceError as error:
            failed[number] = f"{words_of(plan.sets[number])}: {error}"
            break
        for name in FIGURE_COLUMNS:
            columns[prefix + name] = np.array([metrics[name]])
    return _trials([number], columns, failed)


def _class_metrics(plan: SweepPlan, number: int, first: int, end: int) -> dict[str, float]:
    from execution.library_engine import run_library_class

    settings = replace(plan.settings, parameters=plan.values(number))
    # The class reckons its indicators over all that it is given; it sees what is before its part, and does nothing.
    strategy = plan.strategy if first == 0 else _idle_until(plan.strategy, first)
    run: EngineRun = run_library_class(plan.bars.iloc[:end], strategy, settings)
    trades = run.trades.assign(entry_bar=run.trades["entry_bar"] - first, exit_bar=run.trades["exit_bar"] - first)
    asset_class = symbol_of(settings.symbol).asset_class
    return compute_metrics(run.equity.iloc[first:], trades, float(settings.cash), asset_class)


def _idle_until(strategy: type, first: int) -> type:
    def following(self: Any) -> None:
        if len(self.data) > first:
            strategy.next(self)  # type: ignore[attr-defined]  # the library is untyped

    return type(strategy.__name__, (strategy,), {"next": following, "__module__": strategy.__module__})


def _trials(numbers: Sequence[int], columns: dict[str, Floats], failed: dict[int, str]) -> pd.DataFrame:
    """A part in the shape of all: every figure there, NaN where it was not reckoned or the set failed."""
    unknown = np.full(len(numbers), np.nan)
    figures = {name: columns.get(name, unknown) for name in (*FIGURE_COLUMNS, *HELD_COLUMNS)}
    failure = pd.Series([failed.get(number) for number in numbers], dtype="object")
    if failed:
        has_failed = failure.notna().to_numpy()
        figures = {name: np.where(has_failed, np.nan, column) for name, column in figures.items()}
    return pd.DataFrame({"number": numbers, **figures, "failure": failure})
