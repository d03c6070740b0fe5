"""Plateaus, peaks and the importance of parameters, on surfaces made by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from execution.sweep_grid import Grid
from execution.sweep_results import importance, labels, plateau_scores, ranking


def every_cell(grid: Grid) -> np.ndarray:
    return np.array([grid.cell(combination) for combination in range(grid.combinations)], dtype=np.int64)


def brute(grid: Grid, cells: np.ndarray, sharpe: np.ndarray) -> np.ndarray:
    """The definition, set by set."""
    known = {tuple(cell): value for cell, value in zip(cells.tolist(), sharpe, strict=True)}
    scores = []
    for cell, value in zip(cells.tolist(), sharpe, strict=True):
        steps = [
            (-1, 0, 1) if is_number and size > 1 else (0,)
            for is_number, size in zip(grid.numeric, grid.shape, strict=True)
        ]
        around = [tuple(np.add(cell, step)) for step in itertools.product(*steps) if any(step)]
        inside = [
            each for each in around if all(0 <= place < size for place, size in zip(each, grid.shape, strict=True))
        ]
        there = [known[each] for each in inside if each in known and np.isfinite(known[each])]
        enough = inside and len(there) >= len(inside) / 2 and np.isfinite(value)
        scores.append(min([value, *there]) if enough else np.nan)
    return np.array(scores)


def test_the_score_is_the_worst_neighbour_and_a_lonely_peak_is_named_one() -> None:
    grid = Grid({"a": (1, 2, 3, 4, 5), "b": (10, 20, 30)})
    #  b:     10   20   30
    surface = [
        [1.0, 1.1, 1.0],
        [1.1, 1.2, 1.1],
        [1.0, 1.1, 0.3],
        [-0.5, -0.5, 0.2],
        [-0.5, 3.0, 0.2],
    ]
    sharpe = np.array(surface).ravel()
    scores = plateau_scores(grid, every_cell(grid), sharpe)
    expected = [[1.0, 1.0, 1.0], [1.0, 0.3, 0.3], [-0.5, -0.5, -0.5], [-0.5, -0.5, -0.5], [-0.5, -0.5, -0.5]]
    assert scores.reshape(5, 3).tolist() == expected
    named = np.array(labels(sharpe, scores)).reshape(5, 3)
    assert named[0].tolist() == ["plateau"] * 3
    assert named[1].tolist() == ["plateau", "slope", "slope"]
    assert named[4].tolist() == ["loss", "peak", "peak"]
    best = int(ranking(scores, sharpe)[0])
    assert sharpe[best] == 1.1  # not the 3.0 that stands alone
    assert grid.at(every_cell(grid)[best]) == {"a": 1, "b": 20}


@pytest.mark.parametrize("share", [1.0, 0.7, 0.2])
@pytest.mark.parametrize(
    "grid",
    [
        Grid({"a": tuple(range(9)), "b": tuple(range(7))}),
        Grid({"a": tuple(range(5)), "side": ("both", "long", "short"), "b": (1, 2), "only": (3,)}),
        Grid({"a": tuple(range(4)), "b": tuple(range(4)), "c": tuple(range(3)), "flag": (True, False)}),
    ],
)
def test_the_scores_are_those_of_the_definition(grid: Grid, share: float) -> None:
    chance = np.random.default_rng(3)
    cells = every_cell(grid)
    cells = cells[chance.permutation(len(cells))[: max(1, int(share * len(cells)))]]
    sharpe = chance.normal(size=len(cells))
    sharpe[chance.random(len(cells)) < 0.1] = np.nan
    assert np.array_equal(plateau_scores(grid, cells, sharpe), brute(grid, cells, sharpe), equal_nan=True)


def test_with_many_numbers_the_neighbours_are_the_steps_along_the_axes() -> None:
    grid = Grid(dict.fromkeys("abcdef", (1, 2, 3)))
    cells = every_cell(grid)
    sharpe = np.ones(len(cells))
    sharpe[(cells == [0, 0, 1, 1, 1, 1]).all(axis=1)] = -1.0  # two steps along axes from the middle
    sharpe[(cells == [1, 1, 1, 1, 1, 2]).all(axis=1)] = 0.25  # one step
    middle = (cells == 1).all(axis=1)
    assert plateau_scores(grid, cells, sharpe)[middle].tolist() == [0.25]


def test_a_set_with_less_than_half_its_neighbours_is_alone_and_ranks_behind() -> None:
    grid = Grid({"a": (1, 2, 3, 4, 5, 6, 7)})
    cells = np.array([[0], [1], [2], [6]])
    sharpe = np.array([0.5, 0.6, 0.7, 9.0])
    scores = plateau_scores(grid, cells, sharpe)
    assert scores[:3].tolist() == [0.5, 0.5, 0.6]  # the third has one of its two
    assert np.isnan(scores[3])
    assert labels(sharpe, scores)[3] == "alone"
    assert ranking(scores, sharpe).tolist() == [2, 1, 0, 3]


def test_what_is_unknown_ranks_last_and_equals_keep_to_the_figure() -> None:
    scores = np.array([np.nan, 1.0, 1.0, np.nan])
    figure = np.array([np.nan, 1.0, 2.0, 5.0])
    assert ranking(scores, figure).tolist() == [2, 1, 3, 0]


def test_importance_on_a_full_grid_is_the_exact_share_of_each_effect() -> None:
    grid = Grid({"a": (0, 1, 2), "b": (0, 1), "c": (0, 1)})
    cells = every_cell(grid)
    a, b, c = cells.T
    # Orthogonal effects: a has the variance 9 × 2/3 = 6, b 4 × 1/4 = 1, the pair (b, c) 1/4 × … = 1.
    figure = 3.0 * (a - 1) + 2.0 * (b - 0.5) + 4.0 * (b - 0.5) * (c - 0.5)
    shares = importance(grid, cells, figure)
    assert shares == pytest.approx(
        {"a": 6 / 8, "b": 1 / 8, "c": 0.0, "a × b": 0.0, "a × c": 0.0, "b × c": 1 / 8}, abs=1e-12
    )


def test_importance_of_a_draw_finds_what_matters_and_gives_chance_nothing() -> None:
    grid = Grid({"matters": tuple(range(200)), "noise": tuple(range(200)), "side": ("both", "long"), "one": (1,)})
    chance = np.random.default_rng(8)
    cells = np.column_stack([chance.integers(0, size, 800) for size in grid.shape])
    figure = np.sin(cells[:, 0] / 40) + 0.1 * chance.normal(size=len(cells))
    shares = importance(grid, cells, figure)
    assert set(shares) == {"matters", "noise", "side"}
    assert shares["matters"] > 0.9
    assert shares["noise"] < 0.05
    assert shares["side"] < 0.02


def test_without_variance_nothing_matters() -> None:
    grid = Grid({"a": (1, 2, 3), "b": (1, 2)})
    assert importance(grid, every_cell(grid), np.full(6, np.nan)) == {"a": 0.0, "b": 0.0}
