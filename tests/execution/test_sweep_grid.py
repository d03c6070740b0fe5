"""Which sets a sweep tries: ranges, lists, constraints, limits and draws."""

from __future__ import annotations

import pytest

from core.errors import InputError, StrategyError
from execution.registry import strategy_named
from execution.strategy import Value
from execution.sweep_grid import MOST_SETS, Grid, grid_of, grid_of_class, parameter_sets

CROSSOVER = strategy_named("MA_Crossover")


def nothing_refused(_values: object) -> None:
    return None


def fast_below_slow(values: dict[str, Value]) -> str | None:
    return CROSSOVER.constraint({"fast_length": 2, "slow_length": 3, **values})


def test_values_are_listed_ranged_or_declared_in_rising_order_and_none_twice() -> None:
    grid = grid_of(CROSSOVER, {"fast_length": [20, 10, 20, 10], "slow_length": (50, 60, 5), "side": None})
    assert dict(grid.values) == {
        "fast_length": (10, 20),
        "slow_length": (50, 55, 60),
        "side": ("both", "long only", "short only"),
    }
    assert grid.shape == (2, 3, 3)
    assert grid.numeric == (True, True, False)


def test_a_cell_names_its_values_and_the_last_parameter_changes_fastest() -> None:
    grid = Grid({"a": (1, 2), "b": (3, 4, 5)})
    cells = [grid.cell(combination) for combination in range(grid.combinations)]
    assert cells == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert grid.at(cells[4]) == {"a": 2, "b": 4}


def test_what_the_constraint_refuses_is_left_out_and_counted() -> None:
    sets = parameter_sets(grid_of(CROSSOVER, {"fast_length": [10, 20, 30], "slow_length": [20, 40]}), fast_below_slow)
    assert [sets[number] for number in range(len(sets))] == [
        {"fast_length": 10, "slow_length": 20},
        {"fast_length": 10, "slow_length": 40},
        {"fast_length": 20, "slow_length": 40},
        {"fast_length": 30, "slow_length": 40},
    ]
    assert sets.refused == 2


def test_a_sweep_of_which_nothing_is_allowed_says_why() -> None:
    grid = grid_of(CROSSOVER, {"fast_length": [50], "slow_length": [20]})
    with pytest.raises(StrategyError, match="No set of the sweep is allowed: fast_length=50 must be below"):
        parameter_sets(grid, fast_below_slow)


def test_too_many_sets_are_refused_with_their_number_and_the_limit() -> None:
    grid = Grid({"a": tuple(range(400)), "b": tuple(range(400))})
    with pytest.raises(InputError, match=r"would try 160,000 sets; the limit is 100,000"):
        parameter_sets(grid, nothing_refused)
    with pytest.raises(InputError, match=r"160,000 sets; the limit is 50"):
        parameter_sets(grid, nothing_refused, max_sets=50)
    huge = Grid({name: tuple(range(1000)) for name in "abcd"})
    with pytest.raises(InputError, match=r"1,000,000,000,000 sets"):
        parameter_sets(huge, nothing_refused)


@pytest.mark.parametrize("values", [100, 3000])  # all combinations shuffled; drawn one by one
def test_a_draw_has_different_sets_and_the_seed_gives_them_again(values: int) -> None:
    grid = Grid({"a": tuple(range(values)), "b": tuple(range(values))})
    drawn = parameter_sets(grid, nothing_refused, method="random", max_sets=500, seed=5)
    again = parameter_sets(grid, nothing_refused, method="random", max_sets=500, seed=5)
    other = parameter_sets(grid, nothing_refused, method="random", max_sets=500, seed=6)
    assert len({tuple(cell) for cell in drawn.cells.tolist()}) == 500
    assert drawn.cells.tolist() == again.cells.tolist()
    assert drawn.cells.tolist() != other.cells.tolist()


def test_a_draw_larger_than_the_grid_is_the_grid() -> None:
    sets = parameter_sets(Grid({"a": (1, 2, 3)}), nothing_refused, method="random", max_sets=50, seed=1)
    assert sorted(sets.cells.ravel().tolist()) == [0, 1, 2]


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"method": "genetic"}, "method='genetic' is not offered"),
        ({"method": "random"}, "needs to know how many"),
        ({"max_sets": 0}, "max_sets=0"),
        ({"max_sets": MOST_SETS + 1}, "max_sets=100001"),
        ({"max_sets": 2.5}, "max_sets=2.5"),
    ],
)
def test_what_cannot_be_asked_of_a_search_is_named(terms: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        parameter_sets(Grid({"a": (1, 2)}), nothing_refused, **terms)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({"fast_lenght": [10]}, "Did you mean 'fast_length'"),
        ({"fast_length": [1]}, "fast_length=1 is out of range"),
        ({"fast_length": (50, 10, 5)}, "cannot be swept from 50 to 10"),
        ({"fast_length": (10, 50, 0)}, "in steps of 0"),
        ({"side": ["sideways"]}, "side='sideways' is not offered"),
        ({"fast_length": []}, "fast_length has no value to try"),
        ({}, "Nothing is swept"),
    ],
)
def test_a_grid_that_cannot_be_meant_is_refused(grid: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        grid_of(CROSSOVER, grid)


class Library:
    """Stands for a `backtesting.Strategy` subclass: what is swept are its class variables."""

    length = 10
    share = 0.5


def test_a_class_is_swept_over_its_class_variables() -> None:
    grid = grid_of_class(Library, {"length": (5, 15, 5), "share": (0.1, 0.3, 0.1)})
    assert dict(grid.values) == {"length": (5, 10, 15), "share": (0.1, 0.2, 0.3)}
    assert all(isinstance(value, int) for value in grid.values["length"])
    with pytest.raises(StrategyError, match="Did you mean 'length'"):
        grid_of_class(Library, {"lenght": [1]})
    with pytest.raises(StrategyError, match="length=None cannot be swept"):
        grid_of_class(Library, {"length": [None]})
