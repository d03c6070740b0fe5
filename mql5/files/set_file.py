"""MetaTrader 4's `.set` files: an expert's inputs with the ranges over which its tester optimises them.

A number has up to five lines, its value and what the optimiser does with it:
`NAME=value`, `NAME,F=1` (optimised or not), `NAME,1=start`, `NAME,2=step`, `NAME,3=stop`. Text has the first alone.
The files are ANSI of whatever code page the author's Windows had, so bytes that are no text of ours are carried along
unread. What was read is kept line by line: a file in which nothing is changed is given back byte for byte,
and a change touches only the bytes of its own value. MetaTrader 5 writes another form: `tester_settings`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from core.errors import InputError
from mql5.files.tester_settings import ExpertInput, Range, SetFile, Value, read_set, value_text

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_PARTS = re.compile(r"\s*([^=,;\s][^=,]*?)\s*(?:,([F123]))?=([^\r\n]*)")
_FLAG = re.compile(r"(?m)^[^=,;\r\n]+,[F123]=")
_MARKS = ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"\xef\xbb\xbf", "utf-8"))
_NUMBER = re.compile(r"[+-]?\d+(?:\.(\d+))?")
_RANGE_KEYS = {"1": "start", "2": "step", "3": "stop"}


@dataclass(frozen=True)
class Mt4SetFile:
    """A `.set` file of MetaTrader 4: its lines with their ends, and how they were encoded."""

    lines: tuple[str, ...]
    encoding: str = "cp1252"
    mark: bytes = b""

    @property
    def inputs(self) -> dict[str, ExpertInput]:
        """The inputs in their order; of a line that stands twice the last counts. A range is one if it is whole."""
        parts: dict[str, dict[str, str]] = {}
        for line in self.lines:
            if found := _PARTS.match(line):
                parts.setdefault(found[1], {})[found[2] or ""] = found[3]
        return {name: _input(name, each) for name, each in parts.items() if "" in each}

    def with_values(self, values: Mapping[str, Value]) -> Mt4SetFile:
        """The same file with other values; ranges, flags, order and all else stay as they are.

        A number keeps at least the decimals that stood there. Raises InputError naming an input that the file does
        not have, or text that its encoding cannot write.
        """
        self._refuse_unknown(values)
        return self._changed(lambda name, part, old: _like(old, values[name]) if name in values and not part else old)

    def with_range(self, name: str, new: Range) -> Mt4SetFile:
        """The same file with another range for one number, the value and the rest as they are.

        Raises InputError when the file has no such input or it has no range to be changed.
        """
        self._refuse_unknown({name: 0})
        if self.inputs[name].range is None:
            raise InputError(f"{name} has no range in the file.", "Save the file from MetaTrader 4 once with a range.")

        def text(key: str, part: str, old: str) -> str:
            if key != name or not part:
                return old
            return str(int(new.optimised)) if part == "F" else getattr(new, _RANGE_KEYS[part])

        return self._changed(text)

    def to_bytes(self) -> bytes:
        """The content of the file."""
        return self.mark + "".join(self.lines).encode(self.encoding, "surrogateescape")

    def _refuse_unknown(self, names: Mapping[str, object]) -> None:
        known = self.inputs
        if unknown := [name for name in names if name not in known]:
            raise InputError(f"The file has no input {', '.join(unknown)}.", f"It has: {', '.join(known) or 'none'}.")

    def _changed(self, text: Callable[[str, str, str], str]) -> Mt4SetFile:
        """Every value replaced by what `text` makes of its name, part (empty, F, 1, 2, 3) and old text."""
        lines = []
        for line in self.lines:
            if found := _PARTS.match(line):
                new = text(found[1], found[2] or "", found[3])
                if new != found[3]:
                    _refuse_unwritable(found[1], new, self.encoding)
                    line = line[: found.start(3)] + new + line[found.end(3) :]  # noqa: PLW2901
            lines.append(line)
        return replace(self, lines=tuple(lines))


def is_mt4_set(content: bytes) -> bool:
    """Whether a `.set` is of MetaTrader 4's form: it has a line such as `NAME,F=1`."""
    return _FLAG.search(_decoded(content)[0]) is not None


def read_mt4_set(content: bytes) -> Mt4SetFile:
    """A `.set` of MetaTrader 4 in any encoding met. Raises InputError when it is no text or holds no input."""
    text, encoding, mark = _decoded(content)
    found = Mt4SetFile(tuple(_LINE.findall(text)), encoding, mark)
    if "\0" in text or not found.inputs:
        raise InputError("The file holds no line of the form NAME=value.", "Choose a .set file of MetaTrader 4.")
    return found


def read_any_set(content: bytes) -> SetFile | Mt4SetFile:
    """A `.set` of either terminal, told apart by its lines; one without ranges is read as MetaTrader 5's."""
    return read_mt4_set(content) if is_mt4_set(content) else read_set(content)


def _input(name: str, parts: Mapping[str, str]) -> ExpertInput:
    if not set(_RANGE_KEYS) <= set(parts):
        return ExpertInput(name, parts[""])
    start, step, stop = (parts[key] for key in _RANGE_KEYS)
    return ExpertInput(name, parts[""], Range(start, step, stop, parts.get("F", "0").strip() == "1"))


def _like(old: str, value: Value) -> str:
    """A value as text; MetaTrader 4 writes truth as 1 and 0, and decimals to eight places."""
    if isinstance(value, bool):
        return str(int(value)) if _NUMBER.fullmatch(old.strip()) else value_text(value)
    text = value_text(value)
    found = _NUMBER.fullmatch(old.strip())
    if found and found[1] and isinstance(value, (int, float)) and math.isfinite(value):
        whole, _, decimals = text.partition(".")
        return f"{whole}.{decimals.ljust(len(found[1]), '0')}"
    return text.removesuffix(".0") if found and not found[1] and isinstance(value, float) else text


def _refuse_unwritable(name: str, text: str, encoding: str) -> None:
    if "\r" in text or "\n" in text:
        raise InputError(f"{name}={text!r} holds a line end.", "Write it in one line.")
    try:
        text.encode(encoding)
    except UnicodeEncodeError as error:
        raise InputError(
            f"{name}={text!r} cannot be written as {encoding}.", f"Leave out {text[error.start : error.end]!r}."
        ) from error


def _decoded(content: bytes) -> tuple[str, str, bytes]:
    """Text, encoding and byte-order mark. What is no UTF-8 is taken for Windows-1252, unknown bytes carried along."""
    mark, encoding = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", "utf-8"))
    if content.isascii():
        return content.decode("ascii"), "cp1252", b""
    try:
        return content[len(mark) :].decode(encoding), encoding, mark
    except UnicodeDecodeError as error:
        if mark:
            raise InputError(
                f"The file is no {encoding} text from byte {error.start} on.", "Choose an undamaged .set file."
            ) from error
    return content.decode("cp1252", "surrogateescape"), "cp1252", b""
