from __future__ import annotations

import pytest

from core.errors import InputError, UnknownNameError
from core.names import checked_name, nearest, unknown_name


@pytest.mark.parametrize("name", ["a", "7", "EURUSD_2024-05.v1", "run-1", "x" * 64, "console", "a.con"])
def test_a_name_of_letters_digits_and_few_signs_is_taken_as_it_is(name: str) -> None:
    assert checked_name(name, "run_id") == name


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "a/b", "a\\b", "../a", "..", ".hidden", "-flag", "_x", "ü", "a\n", "a\0", "x" * 65, "a.", "a:b"],
)
def test_a_name_that_could_leave_its_folder_or_break_a_file_system_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot be used as a name") as refused:
        checked_name(name, "run_id")
    assert refused.value.what.startswith(f"run_id={name!r}")
    assert "letters, digits" in refused.value.cure


@pytest.mark.parametrize("name", ["con", "CON", "nul.txt", "Aux", "com1", "LPT9.csv"])
def test_a_name_that_windows_keeps_for_a_device_is_refused_everywhere(name: str) -> None:
    with pytest.raises(InputError):
        checked_name(name, "run_id")


@pytest.mark.parametrize("name", [None, 7, 1.5, b"a", ["a"]])
def test_what_is_no_text_is_no_name(name: object) -> None:
    with pytest.raises(InputError):
        checked_name(name, "run_id")


def test_the_nearest_name_is_found_whatever_its_case() -> None:
    assert nearest("SMA_CROS", ["sma_cross", "rsi"]) == "sma_cross"
    assert nearest("rsi", ["RSI", "sma_cross"]) == "RSI"


def test_nothing_is_offered_when_nothing_is_near() -> None:
    assert nearest("zzz", ["sma_cross", "rsi"]) is None
    assert nearest("zzz", []) is None


def test_an_unknown_name_is_told_the_nearest_and_all_there_are() -> None:
    error = unknown_name("strategy", "sma_cros", ["rsi", "sma_cross"])
    assert isinstance(error, UnknownNameError)
    assert str(error) == "There is no strategy 'sma_cros'. Did you mean 'sma_cross'? Known: rsi, sma_cross."


def test_an_unknown_name_says_when_there_is_none_at_all() -> None:
    assert str(unknown_name("run", "a", [])) == "There is no run 'a'. Known: none yet."
