"""Does a strategy know the future, and how much of the past does it need? Asked of any strategy, by replaying it.

`look_ahead_check` ends the bars at many places and asks again: what was said about a bar may not change when
later bars arrive. It then changes the later rows of one column after the other, which names the columns the
strategy peeks into. `warm_up_check` begins the bars at many places: it counts the bars until a strategy says
what it says with the whole past behind it. Both prove a fault, never its absence: they see the bars and the
parameters they were given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from core.errors import InputError, StrategyError
from execution.result import RunSettings
from execution.strategy import Signals, Strategy, Values

if TYPE_CHECKING:
    from backtesting import Strategy as LibraryStrategy

Flags = np.ndarray[Any, np.dtype[np.bool_]]
Remake = Callable[[pd.DataFrame], pd.DataFrame]

_PARTS = {"position": "position", "stop_distance": "stop", "target_distance": "target"}
OFFENCE_COLUMNS = ("time", "signal", "said", "says_now", "known_until", "bars_later")
START_COLUMNS = ("start", "signal", "bars_until_alike", "bars_that_differ")
_MOST_OFFENCES = 200  # bars listed; all are counted
_COLUMN_CUTS = 6  # places at which the rest of a column is changed
# Distances that differ by less than this share count as alike: sums in another order, a start long forgotten.
_ALIKE = 1e-9


# Signal → its value at each bar.
_Said = dict[str, np.ndarray[Any, np.dtype[np.float64]]]
# Row and signal → what was said, what is said of all bars, and the length of the first prefix that shows it.
_Found = dict[tuple[int, str], tuple[float, float, int]]


@dataclass(frozen=True)
class CausalityReport:
    """What replaying prefixes found. `sentence` is for the reader; `offences` has a row a bar and signal rewritten.

    Its columns: `time` of the bar, `signal` (position, stop or target), what was `said` when the bars ended at
    `known_until`, what it `says_now` with all bars, and how many `bars_later` than the bar that end was: a
    rewritten bar was known by then at the latest. `columns_ahead` are the columns whose later rows change
    earlier signals; `columns_remade` those it reads that come out otherwise when they are made of
    fewer bars; `columns_read` all that the signals depend on. The same `seed` deals the same cuts.
    """

    strategy: str
    bars: int
    cuts: tuple[int, ...]
    seed: int
    rewritten: int
    offences: pd.DataFrame
    columns_ahead: tuple[str, ...]
    columns_remade: tuple[str, ...]
    columns_read: tuple[str, ...]
    notes: tuple[str, ...]
    sentence: str

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found."""
        return not (self.rewritten or self.columns_ahead or self.columns_remade)


@dataclass(frozen=True)
class WarmUpReport:
    """How many bars of history the signals need. `needed` is None when they never came to agree.

    `declared` is what the strategy says of itself: the bars before the first possible signal. Recursive averages,
    and positions entered before the start, may need more. `starts` has a row a start and signal: the `start`,
    `bars_until_alike` (NaN: they never were), `bars_that_differ` after the declared warm-up.
    """

    strategy: str
    bars: int
    declared: int
    needed: int | None
    starts: pd.DataFrame
    sentence: str

    @property
    def is_enough(self) -> bool:
        """Whether nothing after the declared warm-up depends on where the bars begin."""
        return self.needed is not None and self.needed <= self.declared


def look_ahead_check(
    strategy: Strategy,
    bars: pd.DataFrame,
    values: Values | None = None,
    cuts: int | Sequence[int] = 60,
    *,
    seed: int | None = None,
    remake: Remake | None = None,
) -> CausalityReport:
    """Replay prefixes of `bars` and report every signal that later bars rewrote, and the columns to blame.

    `cuts` is a number of prefixes, half of them ending where the position changes and half anywhere, or their
    lengths. `remake` makes the engineered columns anew from the raw ones of a prefix, to find those that were
    made of the future before the strategy saw them. Raises StrategyError when the strategy fails on all bars.
    """
    settings = strategy.values(values)
    trial = _Trial.of(strategy.name, bars, lambda some: _parts(strategy.checked_signals(some, settings)))
    trial.refuse_caprice()
    lengths, seed = _cuts(trial.whole["position"], cuts, seed, int(strategy.warm_up(settings)) + 1)
    found, silent = trial.rewritten(lengths)
    few = _telling(lengths, found, _COLUMN_CUTS)
    read = trial.columns_read()
    ahead = trial.columns_ahead(read, few)
    remade = [name for name in _columns_remade(bars, remake, few) if name in read] if remake else []
    return _report(trial, (lengths, seed), found, silent, (read, ahead, remade))


def look_ahead_check_of_class(
    strategy: type[LibraryStrategy],
    bars: pd.DataFrame,
    settings: RunSettings,
    cuts: int | Sequence[int] = 20,
    *,
    seed: int | None = None,
) -> CausalityReport:
    """The same for a `backtesting.Strategy` subclass: what it holds and the orders it leaves at each bar's close.

    `signal` in the offences is `position` (its side), `orders` (the sum of the sizes that wait, as the library has
    them) or `levels` (the sum of their prices). Columns are tried only where a prefix has shown a fault: each trial
    is a whole run. Raises StrategyError when the strategy stops on all bars.
    """
    trial = _Trial.of(strategy.__name__, bars, lambda some: _orders_of(strategy, some, settings))
    trial.refuse_caprice()
    spoke = np.flatnonzero(~np.isnan(trial.whole["orders"]))
    lengths, seed = _cuts(trial.whole["orders"], cuts, seed, int(spoke[0]) + 1 if len(spoke) else 2)
    found, silent = trial.rewritten(lengths)
    names = [str(name) for name in bars if pd.api.types.is_numeric_dtype(bars[name].dtype)]
    ahead = trial.columns_ahead(names, _telling(lengths, found, 2)) if found else []
    return _report(trial, (lengths, seed), found, silent, ([], ahead, []))


def refuse_future_signals(
    strategy: Strategy, bars: pd.DataFrame, values: Values, whole: Signals, cuts: int = 3
) -> None:
    """Raise StrategyError when `whole`, the signals for all bars, are rewritten at one of a few places.

    A guard for every run, at the price of computing the signals `cuts` times more; the check above looks closer. A
    strategy that cannot speak of fewer bars is not refused for that.
    """
    trial = _Trial(strategy.name, bars, lambda some: _parts(strategy.checked_signals(some, values)), _parts(whole))
    for rows in _cuts(whole.position, cuts, 0, int(strategy.warm_up(values)) + 1)[0]:
        try:
            rewritten = next(iter(trial.differences(bars.iloc[:rows], rows)), None)
        except StrategyError:
            continue
        if rewritten:
            signal, row, said, says_now = rewritten
            raise StrategyError(
                f"{strategy.name} uses the future: {signal} at {bars.index[row]:%Y-%m-%d %H:%M} UTC was {_words(said)} "
                f"while the bars ended at {bars.index[rows - 1]:%Y-%m-%d %H:%M} UTC, and is {_words(says_now)} now.",
                "Let a bar's signal depend on that bar and earlier ones only: no shift(-1), no centred window, no "
                "figure over the whole column.",
            )


def warm_up_check(
    strategy: Strategy, bars: pd.DataFrame, values: Values | None = None, starts: int = 12
) -> WarmUpReport:
    """Begin `bars` at several places and count the bars until the signals are those of the whole past.

    A start lies in the first half, so that half the bars are left to come to agree in. Distances count as alike
    when they differ by less than a billionth. Raises InputError when the bars are too few to begin later.
    """
    settings = strategy.values(values)
    declared = int(strategy.warm_up(settings))
    whole = _parts(strategy.checked_signals(bars, settings))
    last = min(len(bars) // 2, len(bars) - declared - 2)
    if last < 1:
        raise InputError(
            f"{len(bars):,} bars are too few to check a warm-up of {declared:,}.",
            f"Take at least {declared + 3:,} bars.",
        )
    rows = []
    for start in sorted({int(at) for at in np.linspace(1, last, starts)}):
        later = _parts(strategy.checked_signals(bars.iloc[start:], settings))
        for signal in [signal for signal in later if signal in whole]:
            differ = _differ(later[signal], whole[signal][start:])
            until = int(len(differ) - np.argmax(differ[::-1])) if differ.any() else 0
            # What still differs in the last bar has not come to agree: how long it would take cannot be known.
            settled = float(until) if until < len(differ) else np.nan
            rows.append((bars.index[start], signal, settled, int(differ[declared:].sum())))
    table = pd.DataFrame(rows, columns=list(START_COLUMNS))
    longest = table["bars_until_alike"].max(skipna=False)
    needed = None if np.isnan(longest) else int(longest)
    return WarmUpReport(
        strategy.name, len(bars), declared, needed, table, _warm_up_verdict(strategy.name, declared, needed, table)
    )


@dataclass(frozen=True)
class _Trial:
    """A strategy that `speaks` of bars, signal by signal, the bars it is tried on, and what it says of all of them."""

    name: str
    bars: pd.DataFrame
    speaks: Callable[[pd.DataFrame], _Said]
    whole: _Said

    @classmethod
    def of(cls, name: str, bars: pd.DataFrame, speaks: Callable[[pd.DataFrame], _Said]) -> _Trial:
        return cls(name, bars, speaks, speaks(bars))

    def differences(self, bars: pd.DataFrame, rows: int) -> Iterator[tuple[str, int, float, float]]:
        """Signal, row, what it says of `bars` and of the whole, wherever these differ in the first `rows` rows."""
        said, nothing = self.speaks(bars), np.full(rows, np.nan)
        for signal in dict.fromkeys((*said, *self.whole)):
            one, other = said.get(signal, nothing)[:rows], self.whole.get(signal, nothing)[:rows]
            for row in np.flatnonzero(_differ(one, other)):
                yield signal, int(row), float(one[row]), float(other[row])

    def refuse_caprice(self) -> None:
        for signal, row, again, first in self.differences(self.bars, len(self.bars)):
            raise StrategyError(
                f"{self.name} says something else each time: {signal} at "
                f"{self.bars.index[row]:%Y-%m-%d %H:%M} UTC was {_words(first)}, then {_words(again)}, on the "
                "same bars.",
                "Take chance and memory out of its signals function; a seed of its own will do.",
            )

    def rewritten(self, lengths: list[int]) -> tuple[_Found, list[StrategyError]]:
        """What prefixes of these lengths were told otherwise, and why some were told nothing."""
        found: _Found = {}
        silent = []
        for rows in lengths:
            try:
                for signal, row, said, says_now in self.differences(self.bars.iloc[:rows], rows):
                    found.setdefault((row, signal), (said, says_now, rows))
            except StrategyError as error:
                silent.append(error)
        return found, silent

    def columns_read(self) -> list[str]:
        """The columns that the signals depend on."""
        numeric = [name for name in self.bars if pd.api.types.is_numeric_dtype(self.bars[name].dtype)]
        return [str(name) for name in numeric if self._depends_on(name, 0)]

    def columns_ahead(self, columns: list[str], lengths: list[int]) -> list[str]:
        """The columns whose rows after one of `lengths` change signals before it."""
        return [name for name in columns if any(self._depends_on(name, rows) for rows in lengths)]

    def _depends_on(self, name: Any, rows: int) -> bool:
        """Whether signals of the first `rows` bars (0: of any) change with the column's rows from there on.

        A strategy that cannot bear a change has read the column, but said nothing of earlier bars.
        """
        for column in _changed(self.bars[name], rows):
            try:
                if any(True for _ in self.differences(self.bars.assign(**{name: column}), rows or len(self.bars))):
                    return True
            except StrategyError:
                if not rows:
                    return True
        return False


def _parts(signals: Signals) -> _Said:
    given = {signal: getattr(signals, name) for name, signal in _PARTS.items()}
    return {signal: values.astype("float64") for signal, values in given.items() if values is not None}


def _orders_of(strategy: type[LibraryStrategy], bars: pd.DataFrame, settings: RunSettings) -> _Said:
    """What a library's strategy holds and leaves waiting after each bar; NaN where it was not asked."""
    from execution.library_engine import run_library_class

    said = {name: np.full(len(bars), np.nan) for name in ("position", "orders", "levels")}

    class Recorded(strategy):  # type: ignore[misc]  # the library is untyped
        def next(self) -> None:
            super().next()
            row = len(self.data) - 1
            said["position"][row] = np.sign(self.position.size)
            said["orders"][row] = sum(order.size for order in self.orders)
            levels = (level for order in self.orders for level in (order.limit, order.stop, order.sl, order.tp))
            said["levels"][row] = sum(level for level in levels if level is not None)

    Recorded.__name__ = strategy.__name__
    run_library_class(bars, Recorded, settings)
    return said


def _report(
    trial: _Trial,
    drawn: tuple[list[int], int],
    found: _Found,
    silent: list[StrategyError],
    columns: tuple[list[str], list[str], list[str]],
) -> CausalityReport:
    (lengths, seed), (read, ahead, remade) = drawn, columns
    if lengths and len(silent) == len(lengths):
        raise silent[0]
    notes = [f"{len(silent)} prefixes gave no signals: {silent[0]}"] if silent else []
    wishes = (trial.whole[signal] for signal in ("position", "orders") if signal in trial.whole)
    if not any(np.nan_to_num(wish).any() for wish in wishes):
        notes.append("The strategy wants nothing in these bars, so there was little to check.")
    return CausalityReport(
        strategy=trial.name,
        bars=len(trial.bars),
        cuts=tuple(lengths),
        seed=seed,
        rewritten=len({row for row, _ in found}),
        offences=_offences(found, trial.bars.index),
        columns_ahead=tuple(ahead),
        columns_remade=tuple(remade),
        columns_read=tuple(read),
        notes=tuple(notes),
        sentence=" ".join(_findings(trial.name, trial.bars.index, found, ahead, remade))
        or f"Nothing that {trial.name} said was changed by later bars: {len(lengths)} prefixes replayed (seed {seed}).",
    )


def _cuts(
    position: np.ndarray[Any, Any], cuts: int | Sequence[int], seed: int | None, least: int
) -> tuple[list[int], int]:
    """Lengths of prefixes, shortest first, and the seed they were drawn with: each leaves a later bar away."""
    rows = len(position)
    seed = int(np.random.default_rng().integers(2**31)) if seed is None else seed
    if not isinstance(cuts, (int, np.integer)):
        wrong = [cut for cut in cuts if not 0 < cut < rows]
        if wrong:
            raise InputError(f"A cut of {wrong[0]} bars cannot be made.", f"Cuts lie between 1 and {rows - 1}.")
        return sorted({int(cut) for cut in cuts}), seed
    dice = np.random.default_rng(seed)
    changes = (
        np.flatnonzero(np.diff(np.nan_to_num(position), prepend=0)) + 1
    )  # the prefix that ends with the bar that changed
    changes = changes[(changes >= least) & (changes < rows)]
    at_changes = dice.choice(changes, min(len(changes), (cuts + 1) // 2), replace=False)
    anywhere = np.arange(min(least, max(rows - 1, 0)), rows)
    anywhere = anywhere[anywhere > 0]
    others = dice.choice(anywhere, min(len(anywhere), cuts - len(at_changes)), replace=False)
    return sorted({int(cut) for cut in (*at_changes, *others)}), seed


def _some(lengths: Sequence[int], most: int) -> list[int]:
    """At most so many of the lengths, evenly."""
    places = np.linspace(0, len(lengths) - 1, min(most, len(lengths))).astype(int)
    return [lengths[at] for at in dict.fromkeys(places.tolist())]


def _telling(lengths: list[int], found: _Found, most: int) -> list[int]:
    """Some of the lengths, those first that have shown a fault."""
    faulty = sorted({length for *_, length in found.values()})
    return list(dict.fromkeys((*_some(faulty, most), *_some(lengths, most))))[:most]


def _differ(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> Flags:
    with np.errstate(invalid="ignore"):
        far = np.abs(one - other) > _ALIKE * np.maximum(np.abs(one), np.abs(other))
    differ: Flags = (far | (np.isnan(one) != np.isnan(other))) & (one != other)
    return differ


def _changed(column: pd.Series, first: int) -> list[pd.Series]:
    """The column with its rows from `first` on turned over within their range, all at the top, all at the bottom."""
    values = column.to_numpy(dtype="float64", na_value=np.nan)
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    if low == high:
        high = low + 1.0
    changed = []
    for later in (low + high - values[first:], high, low):
        copy = values.copy()
        copy[first:] = later
        changed.append(pd.Series(copy, index=column.index))
    return changed


def _columns_remade(bars: pd.DataFrame, remake: Remake, lengths: list[int]) -> list[str]:
    """The columns that come out otherwise in a row when they are made of the bars until a later one."""
    found: dict[str, None] = {}
    for rows in lengths:
        again = remake(bars.iloc[:rows])
        for name in again.columns.intersection(bars.columns):
            if pd.api.types.is_numeric_dtype(bars[name].dtype):
                one, other = (frame[name].to_numpy("float64", na_value=np.nan) for frame in (again, bars.iloc[:rows]))
                if _differ(one, other).any():
                    found[str(name)] = None
    return list(found)


def _offences(found: dict[tuple[int, str], tuple[Any, Any, int]], index: pd.Index) -> pd.DataFrame:
    rows = [
        (index[row], signal, said, says_now, index[length - 1], length - 1 - row)
        for (row, signal), (said, says_now, length) in sorted(found.items())[:_MOST_OFFENCES]
    ]
    return pd.DataFrame(rows, columns=list(OFFENCE_COLUMNS))


def _findings(name: str, index: pd.Index, found: _Found, ahead: list[str], remade: list[str]) -> list[str]:
    words = []
    if found:
        (row, signal), (said, says_now, length) = min(found.items())
        words.append(
            f"{name} uses the future: later bars rewrote {len({row for row, _ in found})} bars. The first: {signal} at "
            f"{index[row]:%Y-%m-%d %H:%M} UTC was {_words(said)} while the bars ended at "
            f"{index[length - 1]:%Y-%m-%d %H:%M} UTC, and is {_words(says_now)} now."
        )
    if ahead:
        words.append(f"{name} reads later rows of {', '.join(ahead)}.")
    if remade:
        words.append(f"{name} reads {', '.join(remade)}, made of later bars before the strategy saw them.")
    return words


def _words(value: float) -> str:
    return "none" if np.isnan(value) else f"{value:g}"


def _warm_up_verdict(name: str, declared: int, needed: int | None, starts: pd.DataFrame) -> str:
    begun = f"begun at {starts['start'].nunique()} places"
    if needed is None:
        signals = ", ".join(starts.loc[starts["bars_until_alike"].isna(), "signal"].unique())
        return (
            f"Where the bars begin decides the {signals} of {name} to the last bar, {begun}: results depend on the "
            "start of the data."
        )
    if needed <= declared:
        return f"{name} needs no more than the {declared:,} bars of warm-up it declares, {begun}."
    return (
        f"{name} says what it says with the whole past only after {needed:,} bars, {begun}; it declares {declared:,}. "
        f"Signals of the first {needed:,} bars depend on where the data begin."
    )
