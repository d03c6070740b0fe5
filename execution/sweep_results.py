"""What a sweep's figures say: which sets stand on a plateau, and which parameters matter.

The best of many sets is best by luck more often than not. A set whose neighbours (one step away in the swept
numbers) do nearly as well is worth more than a lonely peak, so sets are ranked by their worst neighbour.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from execution.sweep_grid import Cells, Grid

PLATEAU, SLOPE, PEAK, LOSS, ALONE = "plateau", "slope", "peak", "loss", "alone"
LABELS = (PLATEAU, SLOPE, PEAK, LOSS, ALONE)
# On a plateau the worst neighbour keeps this share of a set's Sharpe ratio; on a peak some neighbour loses money.
PLATEAU_SHARE = 0.5
# A set is judged by its neighbours when at least this share of those inside the grid were tried.
_LEAST_SHARE = 0.5
# With more swept numbers the full box of neighbours (3 to that power) is replaced by the steps along the axes.
_MOST_BOX_DIMENSIONS = 5
# Values of a parameter in a sweep that is no full grid are put together until each group has so many sets.
_LEAST_GROUP = 8

Floats = np.ndarray[Any, np.dtype[np.float64]]


def plateau_scores(grid: Grid, cells: Cells, sharpe: Floats) -> Floats:
    """For each set the worst Sharpe ratio among itself and its neighbours; NaN where too few of them are known.

    Neighbours differ by at most one step in each swept number (above five numbers: in one of them) and agree
    in everything else. Those that a constraint refused, that were not drawn or that never traded are missing; at
    least half of those inside the grid must be there.
    """
    worst, known = sharpe.copy(), np.zeros(len(cells))
    inside = np.zeros(len(cells))
    shape = np.array(grid.shape)
    # A cell's key is linear in its places, so that a neighbour's is one addition away; matches are checked exactly.
    factors = np.random.default_rng(7).integers(1, 2**63, len(shape), dtype=np.uint64) | np.uint64(1)
    keys = _keys(cells, factors)
    order = np.argsort(keys)
    sorted_keys = keys[order]
    for offset in _offsets(grid):
        wanted = cells + offset
        exists = ((wanted >= 0) & (wanted < shape)).all(axis=1)
        place = np.minimum(np.searchsorted(sorted_keys, _keys(wanted, factors)), len(cells) - 1)
        found = order[place]
        is_there = exists & (cells[found] == wanted).all(axis=1) & np.isfinite(sharpe[found])
        inside += exists
        known += is_there
        worst = np.where(is_there, np.fmin(worst, sharpe[found]), worst)
    enough = (inside > 0) & (known >= _LEAST_SHARE * inside)
    return np.where(enough & np.isfinite(sharpe), worst, np.nan)


def labels(sharpe: Floats, scores: Floats) -> list[str]:
    """What each set stands on: a plateau, a slope or a peak; "loss" without profit, "alone" with too few neighbours."""
    named = np.select(
        [~(sharpe > 0), np.isnan(scores), scores >= PLATEAU_SHARE * sharpe, scores > 0],
        [LOSS, ALONE, PLATEAU, SLOPE],
        PEAK,
    )
    return [str(name) for name in named]


def ranking(scores: Floats, figure: Floats) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The numbers of the sets, best first: by score, then by the figure; what is unknown comes last."""
    keys = [np.where(np.isnan(each), -np.inf, each) for each in (figure, scores)]
    return np.lexsort([-each for each in keys])


def importance(grid: Grid, cells: Cells, figure: Floats) -> dict[str, float]:
    """The share of the variance of `figure` that each parameter explains alone, and each pair beyond that (0–1).

    On a full grid this is functional analysis of variance, reckoned exactly from the means over the other
    parameters; what is missing to 1 are interactions of three and more. Elsewhere (a random draw, a constraint) each
    parameter's share is estimated alone as ε²: the variance between groups of its values beyond what chance gives,
    over the total; there are no pairs then, and the shares need not add up. A set without a figure counts as 0.

    Source: F. Hutter, H. Hoos and K. Leyton-Brown, An Efficient Approach for Assessing Hyperparameter Importance,
    2014; T. L. Kelley, An unbiased correlation ratio measure, 1935 (ε²).
    """
    values = np.where(np.isfinite(figure), figure, 0.0)
    total = float(values.var())
    swept = [axis for axis, size in enumerate(grid.shape) if size > 1]
    if total == 0 or not swept:
        return {grid.names[axis]: 0.0 for axis in swept}
    if len(cells) == grid.combinations:
        return _of_full_grid(grid, cells, values, swept, total)
    return {grid.names[axis]: _explained(cells[:, axis], values) for axis in swept}


def _of_full_grid(grid: Grid, cells: Cells, values: Floats, swept: list[int], total: float) -> dict[str, float]:
    cube = np.empty(grid.shape)
    cube[tuple(cells.T)] = values
    cube -= cube.mean()
    everything = set(range(cube.ndim))
    main = {axis: cube.mean(axis=tuple(everything - {axis}), keepdims=True) for axis in swept}
    shares = {grid.names[axis]: float(np.square(effect).mean()) / total for axis, effect in main.items()}
    for one, two in itertools.combinations(swept, 2):
        joint = cube.mean(axis=tuple(everything - {one, two}), keepdims=True) - main[one] - main[two]
        shares[f"{grid.names[one]} × {grid.names[two]}"] = float(np.square(joint).mean()) / total
    return shares


def _explained(places: np.ndarray[Any, np.dtype[np.int64]], values: Floats) -> float:
    """Kelley's ε² over groups of neighbouring values, each of enough sets to have a variance of its own."""
    order = np.argsort(places, kind="stable")
    edges = np.flatnonzero(np.diff(places[order])) + 1
    groups: list[Floats] = []
    gathered: list[Floats] = []
    for part in np.split(values[order], edges):
        gathered.append(part)
        if sum(map(len, gathered)) >= _LEAST_GROUP:
            groups.append(np.concatenate(gathered))
            gathered = []
    if gathered:
        groups = [*groups[:-1], np.concatenate([*groups[-1:], *gathered])]
    total = float(np.square(values - values.mean()).sum())
    within = float(sum(np.square(group - group.mean()).sum() for group in groups))
    freedom = len(values) - len(groups)
    if len(groups) < 2 or freedom < 1:
        return 0.0
    by_chance = (len(groups) - 1) * within / freedom
    return max(0.0, (total - within - by_chance) / total)


def _offsets(grid: Grid) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
    axes = [axis for axis, is_number in enumerate(grid.numeric) if is_number and grid.shape[axis] > 1]
    if len(axes) > _MOST_BOX_DIMENSIONS:
        steps = [tuple(step if axis == moved else 0 for axis in axes) for moved in axes for step in (-1, 1)]
    else:
        steps = [step for step in itertools.product((-1, 0, 1), repeat=len(axes)) if any(step)]
    offsets = np.zeros((len(steps), len(grid.shape)), dtype=np.int64)
    offsets[:, axes] = np.array(steps, dtype=np.int64).reshape(len(steps), len(axes))
    return list(offsets)


def _keys(cells: Cells, factors: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    return np.asarray((cells.astype(np.uint64) * factors).sum(axis=1, dtype=np.uint64))
