from __future__ import annotations

import inspect
import pickle
import re

import pytest

from core import errors
from core.errors import SequenceError

ALL = [member for _, member in inspect.getmembers(errors, inspect.isclass) if member.__module__ == errors.__name__]


def drawn() -> dict[str, str]:
    """Each class in the docstring's tree, and the one it hangs on."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r" {4}([│├└─ ]*)(\w+Error)\b", line):
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            parents[match[2]] = path[depth - 1] if depth else "Exception"
    return parents


def test_every_error_is_drawn_in_the_tree_where_it_hangs() -> None:
    assert drawn() == {member.__name__: member.__base__.__name__ for member in ALL if member.__base__}
    assert len(ALL) > 10


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_an_error_says_what_happened_and_the_cure_and_survives_the_way_between_processes(
    kind: type[SequenceError],
) -> None:
    error = kind("Row 3 is no price.", "Drop it.")
    there = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(there) is kind
    assert (there.what, there.cure, str(there)) == (error.what, error.cure, "Row 3 is no price. Drop it.")


def test_an_error_without_a_cure_is_its_one_sentence() -> None:
    assert str(SequenceError("It stopped.")) == "It stopped."


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_says_who_must_act(kind: type[SequenceError]) -> None:
    assert kind is SequenceError or issubclass(
        kind, errors.InputError | errors.TryAgainError | errors.InterventionError
    )
