"""MetaTrader 4's .set files: given back byte for byte, and changed by no byte more than asked."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as some

from core.errors import InputError
from mql5.files.set_file import Mt4SetFile, is_mt4_set, read_any_set, read_mt4_set
from mql5.files.tester_settings import ExpertInput, Range, SetFile

SAVED = (
    "COMMENTS=See the source, all of it\n"
    "SECTION_1=##### General #####\n"
    "HISTORY_ID=1\n"
    "HISTORY_ID,F=0\n"
    "HISTORY_ID,1=0\n"
    "HISTORY_ID,2=0\n"
    "HISTORY_ID,3=0\n"
    "RISK_PERCENT=1.00000000\n"
    "RISK_PERCENT,F=1\n"
    "RISK_PERCENT,1=0.50000000\n"
    "RISK_PERCENT,2=0.25000000\n"
    "RISK_PERCENT,3=2.00000000\n"
    "PATH=./config/a=b.xml\n"
    "MAX_ORDERS=1\n"
)
NAMES = some.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)
TEXTS = some.text(some.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20)
NUMBERS = some.floats(-1e6, 1e6).map(lambda value: f"{value:.8f}")


@some.composite
def files(draw: some.DrawFn) -> tuple[str, dict[str, ExpertInput]]:
    """The text of a file, and what it holds."""
    end = draw(some.sampled_from(["\n", "\r\n"]))
    inputs: dict[str, ExpertInput] = {}
    lines = []
    for name in draw(some.lists(NAMES, min_size=1, max_size=8, unique=True)):
        lines.append(draw(some.sampled_from(["", "; a comment", ";x=1"])))
        if draw(some.booleans()):
            value, start, step, stop = (draw(NUMBERS) for _ in range(4))
            flag = draw(some.booleans())
            inputs[name] = ExpertInput(name, value, Range(start, step, stop, flag))
            parts = {"": value, ",F": str(int(flag)), ",1": start, ",2": step, ",3": stop}
            lines += [f"{name}{part}={text}" for part, text in parts.items()]
        else:
            inputs[name] = ExpertInput(name, draw(TEXTS))
            lines.append(f"{name}={inputs[name].value}")
    return end.join(lines) + draw(some.sampled_from(["", end])), inputs


def test_inputs_are_read_with_their_ranges_and_flags() -> None:
    inputs = read_mt4_set(SAVED.encode()).inputs
    assert list(inputs) == ["COMMENTS", "SECTION_1", "HISTORY_ID", "RISK_PERCENT", "PATH", "MAX_ORDERS"]
    expected = Range("0.50000000", "0.25000000", "2.00000000", optimised=True)
    assert inputs["RISK_PERCENT"] == ExpertInput("RISK_PERCENT", "1.00000000", expected)
    assert inputs["HISTORY_ID"].range == Range("0", "0", "0", optimised=False)
    assert inputs["PATH"] == ExpertInput("PATH", "./config/a=b.xml")


@pytest.mark.parametrize(
    "content",
    [
        SAVED.encode(),
        SAVED.replace("\n", "\r\n").encode(),
        SAVED.rstrip().encode(),
        b"\xff\xfe" + SAVED.encode("utf-16-le"),
        b"\xfe\xff" + SAVED.encode("utf-16-be"),
        b"\xef\xbb\xbf" + SAVED.encode(),
        SAVED.replace("See", "Größe").encode("cp1252"),
        SAVED.replace("See", "Объём").encode("cp1251"),
        SAVED.encode() + b"ODD=\x81\x8d\x8f\x90\x9d\xff\n",
        b"\r\n; note\r  A = 1 \nA,F=1\n,F=2\nno line\n",
    ],
)
def test_an_unchanged_file_is_given_back_byte_for_byte(content: bytes) -> None:
    found = read_mt4_set(content)
    assert found.to_bytes() == content
    assert found.with_values({}).to_bytes() == content


@pytest.mark.parametrize(
    ("values", "old", "new"),
    [
        ({"RISK_PERCENT": 1.5}, "PERCENT=1.00000000", "PERCENT=1.50000000"),
        ({"RISK_PERCENT": 2}, "PERCENT=1.00000000", "PERCENT=2.00000000"),
        ({"RISK_PERCENT": 0.1234567891}, "PERCENT=1.00000000", "PERCENT=0.1234567891"),
        ({"MAX_ORDERS": 12}, "ORDERS=1", "ORDERS=12"),
        ({"MAX_ORDERS": True}, "ORDERS=1", "ORDERS=1"),
        ({"HISTORY_ID": False}, "ID=1", "ID=0"),
        ({"PATH": "c=d"}, "./config/a=b.xml", "c=d"),
        ({"MAX_ORDERS": 3.0}, "ORDERS=1", "ORDERS=3"),
    ],
)
def test_only_the_bytes_of_the_value_change(values: dict[str, float | bool | str], old: str, new: str) -> None:
    assert SAVED.count(old) == 1
    changed = read_mt4_set(b"\xff\xfe" + SAVED.encode("utf-16-le")).with_values(values)
    assert changed.to_bytes() == b"\xff\xfe" + SAVED.replace(old, new).encode("utf-16-le")


def test_a_range_is_changed_alone() -> None:
    new = Range("0.10000000", "0.10000000", "1.00000000", optimised=False)
    changed = read_mt4_set(SAVED.encode()).with_range("RISK_PERCENT", new)
    assert changed.inputs["RISK_PERCENT"] == ExpertInput("RISK_PERCENT", "1.00000000", new)
    assert changed.with_range("RISK_PERCENT", Range("0.50000000", "0.25000000", "2.00000000", True)).to_bytes() == (
        SAVED.encode()
    )
    with pytest.raises(InputError, match="MAX_ORDERS has no range"):
        changed.with_range("MAX_ORDERS", new)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"Risk": 1}, r"no input Risk.*COMMENTS"),
        ({"PATH": "a\nB=1"}, "cannot be written as text"),
        ({"PATH": "Ж"}, "as cp1252"),
        ({"RISK_PERCENT": float("nan")}, "finite"),
    ],
)
def test_a_change_that_cannot_be_written_is_refused(values: dict[str, float | str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_mt4_set(SAVED.encode()).with_values(values)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no line"),
        (b"no line at all\n", "no line"),
        (b"A,F=1\nA,1=2\n", "no line"),
        (b"\x00\x01\x02A=1", "no line"),
        (b"\xff\xfeA\0=\0001", "no utf-16-le text"),
        (SAVED.encode("utf-16-le"), "no line"),
    ],
)
def test_what_is_no_set_file_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_mt4_set(content)


def test_the_two_terminals_files_are_told_apart() -> None:
    assert is_mt4_set(SAVED.encode())
    assert isinstance(read_any_set(SAVED.encode()), Mt4SetFile)
    newer = b"\xff\xfe" + "; saved\r\nInpLots=0.1||0.02||0.01||0.2||Y\r\n".encode("utf-16-le")
    assert isinstance(read_any_set(newer), SetFile)
    assert isinstance(read_any_set(b"InpFast=12\n"), SetFile)


@given(made=files(), encoding=some.sampled_from(["cp1252", "utf-8-sig"]))
def test_any_file_is_read_and_given_back(made: tuple[str, dict[str, ExpertInput]], encoding: str) -> None:
    text, inputs = made
    content = text.encode(encoding, "replace")
    found = read_mt4_set(content)
    assert found.to_bytes() == content
    assert list(found.inputs) == list(inputs)
    assert {name: each.range for name, each in found.inputs.items()} == {
        name: each.range for name, each in inputs.items()
    }


@given(made=files(), data=some.data())
def test_a_changed_value_reads_back_and_the_others_stay(
    made: tuple[str, dict[str, ExpertInput]], data: some.DataObject
) -> None:
    text, inputs = made
    numbers = [name for name, each in inputs.items() if each.range]
    if not numbers:
        return
    name = data.draw(some.sampled_from(numbers))
    value = data.draw(some.floats(-1e6, 1e6))
    before = read_mt4_set(text.encode("utf-8"))
    after = read_mt4_set(before.with_values({name: value}).to_bytes())
    assert float(after.inputs[name].value) == value
    assert sum(old != new for old, new in zip(before.lines, after.lines, strict=True)) <= 1
    back = after.with_values({name: float(inputs[name].value)}).inputs[name]
    assert float(back.value) == float(inputs[name].value)


@given(content=some.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with suppress(InputError):
        assert read_mt4_set(content).to_bytes() == content
