from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from core.errors import InputError
from market.timeframes import Timeframe
from mql5.files.tester_settings import (
    ExpertInput,
    ExpertTest,
    Model,
    Optimization,
    Range,
    make_input,
    make_set,
    read_ini,
    read_set,
    value_text,
    write_ini,
)

SAVED = (
    "; saved on 2026.11.20 10:19:40\r\n"
    "; this file contains input parameters for testing/optimizing Crossover expert advisor\r\n"
    "; to use it in the strategy tester, click Load in the context menu of the Inputs tab\r\n"
    ";\r\n"
    "; -----| General |----\r\n"
    "InpMagic=20251121||20251121||1||202511210||N\r\n"
    "InpUrl=http://127.0.0.1:5000/?a=b||c\r\n"
    "___0___=------\r\n"
    "InpLots=0.1||0.02||0.010000||0.200000||Y\r\n"
    "InpTrail=true||false||0||true||Y\r\n"
    "InpPeriod=16385||0||0||49153||N\r\n"
    "InpColor=255"
)
INI = (
    "[Tester]\r\n"
    "Expert=Advisors\\Crossover.ex5\r\n"
    "Symbol=EURUSD\r\n"
    "Period=H1\r\n"
    "Optimization=2\r\n"
    "Model=1\r\n"
    "FromDate=2025.01.01\r\n"
    "ToDate=2025.12.31\r\n"
    "ForwardMode=0\r\n"
    "Deposit=10000\r\n"
    "Currency=USD\r\n"
    "Leverage=100\r\n"
    "ExecutionMode=0\r\n"
    "OptimizationCriterion=0\r\n"
    "Report=reports\\crossover\r\n"
    "ReplaceReport=1\r\n"
    "ShutdownTerminal=1\r\n"
    "ProfitInPips=0\r\n"
    "[TesterInputs]\r\n"
    "InpFast=12||5||1||50||Y\r\n"
    "InpName=London\r\n"
)


def terminal(text: str) -> bytes:
    """Text as the terminal writes it."""
    return b"\xff\xfe" + text.encode("utf-16-le")


def test_inputs_are_read_with_their_ranges() -> None:
    inputs = read_set(terminal(SAVED)).inputs
    assert list(inputs) == ["InpMagic", "InpUrl", "___0___", "InpLots", "InpTrail", "InpPeriod", "InpColor"]
    assert inputs["InpLots"] == ExpertInput("InpLots", "0.1", Range("0.02", "0.010000", "0.200000", optimised=True))
    assert inputs["InpMagic"].range == Range("20251121", "1", "202511210", optimised=False)
    assert inputs["InpUrl"] == ExpertInput("InpUrl", "http://127.0.0.1:5000/?a=b||c")
    assert inputs["InpColor"] == ExpertInput("InpColor", "255")


@pytest.mark.parametrize(
    "content",
    [
        terminal(SAVED),
        b"\xfe\xff" + SAVED.encode("utf-16-be"),
        b"\xef\xbb\xbf" + SAVED.encode(),
        SAVED.encode(),
        "InpSignal=16385\nInpAtr=14\nInpMultiple=2.0\n".encode("ascii"),
        "; größer\nInpComment=für\n".encode("cp1252"),
        b"odd line\r\n\r\n\r; only CR\rA=1\n  B = 2 \n",
    ],
)
def test_an_unchanged_file_is_given_back_byte_for_byte(content: bytes) -> None:
    found = read_set(content)
    assert found.to_bytes() == content
    assert found.with_values({}).to_bytes() == content


def test_only_the_value_is_replaced() -> None:
    changed = read_set(terminal(SAVED)).with_values({"InpLots": 0.25, "InpTrail": False, "InpColor": 128})
    expected = (
        SAVED.replace("InpLots=0.1||", "InpLots=0.25||")
        .replace("InpTrail=true||", "InpTrail=false||")
        .replace("InpColor=255", "InpColor=128")
    )
    assert changed.to_bytes() == terminal(expected)


def test_an_input_that_the_file_does_not_have_is_refused() -> None:
    with pytest.raises(InputError, match=r"no input Lots.*InpMagic, InpUrl"):
        read_set(terminal(SAVED)).with_values({"Lots": 1})


def test_a_new_file_is_headed_as_the_terminal_heads_its_own() -> None:
    made = make_set(
        [
            make_input("fast", 10, low=2.0, high=50.0, step=1.0, optimised=True),
            make_input("stop", 1.5, low=0.5, high=4.0, step=0.25),
            make_input("trail", True),
            make_input("rule", "close"),
        ],
        expert="Crossover",
        saved=datetime(2026, 11, 20, 10, 19, 40, tzinfo=UTC),
    )
    assert made.to_bytes() == terminal(
        "".join(SAVED.splitlines(keepends=True)[:4])
        + "fast=10||2||1||50||Y\r\nstop=1.5||0.5||0.25||4.0||N\r\ntrail=true||false||0||true||N\r\nrule=close\r\n"
    )
    assert read_set(made.to_bytes()) == made


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (3, "3"),
        (0.1, "0.1"),
        (2.0, "2.0"),
        (0.00001, "0.00001"),
        (1e12, "1000000000000.0"),
        (-0.5, "-0.5"),
        ("a=b||c", "a=b||c"),
        (datetime(2025, 1, 1), "1735689600"),  # noqa: DTZ001  a broker's clock has no zone
    ],
)
def test_values_are_spelled_as_the_terminal_reads_them(value: Any, text: str) -> None:
    assert value_text(value) == text


@pytest.mark.parametrize("value", [math.nan, math.inf, "two\nlines", "1||0||1||2||Y", datetime(2025, 1, 1, tzinfo=UTC)])
def test_a_value_that_would_be_read_as_another_is_refused(value: Any) -> None:
    with pytest.raises(InputError):
        value_text(value)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("1st", {}),
        ("with space", {}),
        ("", {}),
        ("a" * 64, {}),
        ("fast", {"optimised": True}),
        ("fast", {"low": 5, "high": 1, "step": 1}),
        ("fast", {"low": 1, "high": 5, "step": 0}),
    ],
)
def test_an_input_that_no_expert_can_have_is_refused(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        make_input(name, 3, **arguments)


def test_an_input_given_twice_is_refused() -> None:
    with pytest.raises(InputError, match="Fast is given twice"):
        make_set([make_input("Fast", 1), make_input("fast", 2)], expert="E", saved=datetime.now(UTC))


@given(
    some.dictionaries(
        some.from_regex(r"[a-z_][a-z0-9_]{0,20}", fullmatch=True),
        some.booleans()
        | some.integers(-(2**62), 2**62)
        | some.floats(allow_nan=False, allow_infinity=False, width=32)
        | some.text(some.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=12),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_written_is_read_again(values: dict[str, Any]) -> None:
    inputs = [make_input(name, value) for name, value in values.items()]
    made = make_set(inputs, expert="E", saved=datetime.now(UTC))
    assert list(read_set(made.to_bytes()).inputs.values()) == inputs
    for name, value in values.items():
        text = made.inputs[name].value
        if isinstance(value, float):
            assert float(text) == value


@pytest.mark.parametrize("content", [b"", b"; only a comment\r\n", b"\x00\x01\x02=\x00", b"\xff\xfeA"])
def test_what_is_no_set_file_is_refused(content: bytes) -> None:
    with pytest.raises(InputError):
        read_set(content)


def test_a_test_is_read_from_its_ini_and_written_as_it_was() -> None:
    found = read_ini(terminal(INI))
    assert found == ExpertTest(
        expert="Advisors\\Crossover.ex5",
        symbol="EURUSD",
        timeframe=Timeframe.H1,
        first=date(2025, 1, 1),
        last=date(2025, 12, 31),
        model=Model.MINUTE_BARS,
        optimization=Optimization.GENETIC,
        report="reports\\crossover",
        inputs=(
            ExpertInput("InpFast", "12", Range("5", "1", "50", optimised=True)),
            ExpertInput("InpName", "London"),
        ),
        other={"ProfitInPips": "0"},
    )
    assert write_ini(found) == terminal(INI)


def test_a_hand_made_ini_is_understood() -> None:
    text = "; mine\n[Common]\nLogin=1\n\n[Tester]\nExpert=E.ex5\nSymbol=XAUUSD\nPeriod=Daily\nLeverage=1:500\n"
    found = read_ini((text + "FromDate=2024.02.29\nToDate=2024.03.01\nDeposit=2500.50\nModel=4\n").encode())
    assert (found.timeframe, found.leverage, found.deposit, found.model) == (
        Timeframe.D1,
        500,
        2500.5,
        Model.REAL_TICKS,
    )
    assert found.inputs == ()
    assert read_ini(write_ini(found)) == found
    assert b"D\0e\0p\0o\0s\0i\0t\0=\0002\0005\0000\0000\0.\0005\0" in write_ini(found)


@pytest.mark.parametrize("timeframe", list(Timeframe))
def test_every_timeframe_survives_the_ini(timeframe: Timeframe) -> None:
    settings = replace(read_ini(terminal(INI)), timeframe=timeframe)
    assert read_ini(write_ini(settings)) == settings


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[Tester]", "[Other]", r"no section \[Tester\]"),
        ("Symbol=EURUSD\r\n", "", r"\[Tester\] has no Symbol"),
        ("FromDate=2025.01.01", "FromDate=01/01/2025", "FromDate=01/01/2025 is no date"),
        ("ToDate=2025.12.31", "ToDate=2025.02.30", "ToDate=2025.02.30 is no date"),
        ("Deposit=10000", "Deposit=much", "Deposit=much is no number"),
        ("Model=1", "Model=9", "Model=9 is not known.*4 real ticks"),
        ("Period=H1", "Period=H7", "H7"),
    ],
)
def test_an_ini_that_cannot_be_read_says_which_line(old: str, new: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_ini(terminal(INI.replace(old, new)))


@pytest.mark.parametrize(
    "changes",
    [
        {"first": date(2026, 1, 1)},
        {"deposit": 0.0},
        {"deposit": math.nan},
        {"leverage": 0},
        {"expert": "E.ex5\r\nShutdownTerminal=0"},
        {"inputs": (ExpertInput("A", "1\nB=2"),)},
    ],
)
def test_a_test_that_cannot_be_run_is_not_written(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        write_ini(replace(read_ini(terminal(INI)), **changes))
