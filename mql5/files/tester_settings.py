"""MetaTrader 5's files for its Strategy Tester: `.set` with an expert's inputs, `.ini` with a whole test.

Both are lines of `name=value`. An input may carry the range over which it is optimised:
`name=value||start||step||stop||Y`, the last part saying whether it is. The terminal writes UTF-16 little endian with
a byte-order mark and CRLF, and of an `.ini` it accepts nothing else reliably, so that is what is written; files made
by hand (UTF-8 or Windows-1252, without ranges) are read as well. What was read is kept line by line, so that a file
in which nothing is changed is given back byte for byte: comments, order, unknown lines and the form of numbers.

The `.ini` starts a test by `terminal64.exe /config:<file>`. Only `[Tester]` and `[TesterInputs]` are known here; other
sections and keys are kept.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from enum import IntEnum
from typing import TypeVar

import numpy as np

from core.errors import InputError
from market.timeframes import Timeframe, parse_timeframe

Value = bool | int | float | str | datetime

Choice = TypeVar("Choice", bound=IntEnum)

_MARK = b"\xff\xfe"
_END = "\r\n"
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_RANGE_PARTS = 5
# How the terminal's own menus call the long periods; both forms are met in files.
_PERIODS = {"daily": Timeframe.D1, "weekly": Timeframe.W1, "monthly": Timeframe.MN1}
_TESTER, _INPUTS = "Tester", "TesterInputs"


@dataclass(frozen=True)
class Range:
    """Over what an input is optimised, as text in the file's own form of numbers; `optimised` says whether it is."""

    start: str
    step: str
    stop: str
    optimised: bool = False


@dataclass(frozen=True)
class ExpertInput:
    """One input of an expert: its name, its value as text, and its range if it has one."""

    name: str
    value: str
    range: Range | None = None

    def line(self) -> str:
        """As it stands in a file, without the end of the line."""
        if self.range is None:
            return f"{self.name}={self.value}"
        parts = (self.value, self.range.start, self.range.step, self.range.stop, "Y" if self.range.optimised else "N")
        return f"{self.name}={'||'.join(parts)}"


def make_input(
    name: str,
    value: Value,
    *,
    low: float | None = None,
    high: float | None = None,
    step: float | None = None,
    optimised: bool = False,
) -> ExpertInput:
    """An input made of a Python value; with `low`, `high` and `step` a number has a range, a truth value always.

    Times are of the broker's clock, for which MetaTrader has no zone; an aware one is refused. Raises InputError for
    a name that MQL5 does not allow, a number that is not finite, and text that would be read as something else.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot name an input of an expert.",
            "Use up to 63 letters, digits and '_', not beginning with a digit.",
        )
    text = value_text(value)
    if isinstance(value, bool):
        return ExpertInput(name, text, Range("false", "0", "true", optimised))
    if low is None or high is None or step is None or isinstance(value, (str, datetime)):
        if optimised:
            raise InputError(f"{name} cannot be optimised without a range.", "Give low, high and step.")
        return ExpertInput(name, text)
    if not (low <= high and step > 0):
        raise InputError(
            f"{name} has no range from {low:g} to {high:g} by {step:g}.", "Give low ≤ high and a step > 0."
        )
    start, each, stop = (value_text(_like(value, edge)) for edge in (low, step, high))
    return ExpertInput(name, text, Range(start, each, stop, optimised))


def _like(value: Value, edge: float) -> Value:
    """The edge of a whole number's range as a whole number."""
    return int(edge) if isinstance(value, int) and float(edge).is_integer() else edge


def value_text(value: Value) -> str:
    """A value as these files spell it: true, whole numbers, decimals without an exponent, times as epoch seconds."""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            raise InputError(f"{value} has a time zone.", "Convert it to the broker's clock and drop the zone.")
        return str(int(value.replace(tzinfo=UTC).timestamp()))
    if isinstance(value, str):
        if "\r" in value or "\n" in value or _split(value)[1] is not None:
            raise InputError(f"{value!r} cannot be written as text.", "Leave out line ends and '||' ranges.")
        return value
    if not math.isfinite(value):
        raise InputError(f"{value!r} cannot be written.", "Inputs are finite numbers.")
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    # The terminal's parser is not relied on to know 1e-05.
    return _decimal(float(value))


@dataclass(frozen=True)
class SetFile:
    """A `.set` file: its lines with their ends, and how they were encoded."""

    lines: tuple[str, ...]
    encoding: str = "utf-16-le"
    mark: bytes = _MARK

    @property
    def inputs(self) -> dict[str, ExpertInput]:
        """The inputs in their order; of a name that stands twice the last counts, as in the terminal."""
        return {found.name: found for line in self.lines if (found := _parsed(line))}

    def with_values(self, values: Mapping[str, Value]) -> SetFile:
        """The same file with other values; ranges, comments, order and all else stay as they are.

        Raises InputError naming an input that the file does not have.
        """
        unknown = [name for name in values if name not in self.inputs]
        if unknown:
            raise InputError(
                f"The file has no input {', '.join(unknown)}.", f"It has: {', '.join(self.inputs) or 'none'}."
            )
        lines = []
        for line in self.lines:
            found = _parsed(line)
            if found and found.name in values:
                changed = replace(found, value=value_text(values[found.name]))
                lines.append(changed.line() + line[len(line.rstrip("\r\n")) :])
            else:
                lines.append(line)
        return replace(self, lines=tuple(lines))

    def to_bytes(self) -> bytes:
        """The content of the file."""
        return self.mark + "".join(self.lines).encode(self.encoding)


def read_set(content: bytes) -> SetFile:
    """A `.set` file of any encoding met. Raises InputError when it is no text or holds no input."""
    text, encoding, mark = _decoded(content)
    found = SetFile(tuple(_LINE.findall(text)), encoding, mark)
    if not found.inputs:
        raise InputError("The file holds no line of the form name=value.", "Choose a .set file of MetaTrader 5.")
    return found


def make_set(inputs: Iterable[ExpertInput], *, expert: str, saved: datetime) -> SetFile:
    """A new `.set` file, headed as the terminal heads its own; `saved` is the time it names."""
    header = (
        f"; saved on {saved:%Y.%m.%d %H:%M:%S}",
        f"; this file contains input parameters for testing/optimizing {_one_line(expert, 'expert')} expert advisor",
        "; to use it in the strategy tester, click Load in the context menu of the Inputs tab",
        ";",
    )
    return SetFile(tuple(line + _END for line in (*header, *(each.line() for each in _checked(inputs)))))


class Model(IntEnum):
    """From what the tester makes its ticks."""

    EVERY_TICK = 0
    MINUTE_BARS = 1
    OPEN_PRICES = 2
    MATH_ONLY = 3
    REAL_TICKS = 4


class Optimization(IntEnum):
    """How the tester searches the ranges of the inputs."""

    NONE = 0
    COMPLETE = 1
    GENETIC = 2
    ALL_SYMBOLS = 3


@dataclass(frozen=True)
class ExpertTest:
    r"""One test as an `.ini` describes it.

    `expert` is the path below `MQL5\Experts`, `deposit` money in `currency`, `leverage` 100 for 1:100.
    `execution_mode` is the delay in milliseconds (0 none, −1 random), `criterion` what an optimisation ranks by,
    `report` a path below the terminal's folder. `first` and `last` are dates of the broker, written as given; whether
    the last one is still tested is the terminal's affair. `other` are the keys of `[Tester]` not known here.
    """

    expert: str
    symbol: str
    timeframe: Timeframe
    first: date
    last: date
    deposit: float = 10_000.0
    currency: str = "USD"
    leverage: int = 100
    model: Model = Model.MINUTE_BARS
    optimization: Optimization = Optimization.NONE
    execution_mode: int = 0
    forward_mode: int = 0
    criterion: int = 0
    report: str = ""
    replace_report: bool = True
    shutdown_terminal: bool = True
    inputs: tuple[ExpertInput, ...] = ()
    other: Mapping[str, str] = field(default_factory=dict)


def write_ini(settings: ExpertTest) -> bytes:
    """The content of an `.ini`. Raises InputError for dates in the wrong order, money or leverage not above zero."""
    if settings.first > settings.last:
        raise InputError(f"The test ends on {settings.last}, before {settings.first}.", "Give the dates in order.")
    if not (math.isfinite(settings.deposit) and settings.deposit > 0 and settings.leverage > 0):
        raise InputError(
            f"deposit={settings.deposit!r} at leverage {settings.leverage!r} starts no test.", "Give both above zero."
        )
    keys = {
        "Expert": settings.expert,
        "Symbol": settings.symbol,
        "Period": str(settings.timeframe),
        "Optimization": str(int(settings.optimization)),
        "Model": str(int(settings.model)),
        "FromDate": f"{settings.first:%Y.%m.%d}",
        "ToDate": f"{settings.last:%Y.%m.%d}",
        "ForwardMode": str(settings.forward_mode),
        "Deposit": _decimal(settings.deposit).removesuffix(".0"),
        "Currency": settings.currency,
        "Leverage": str(settings.leverage),
        "ExecutionMode": str(settings.execution_mode),
        "OptimizationCriterion": str(settings.criterion),
        "Report": settings.report,
        "ReplaceReport": str(int(settings.replace_report)),
        "ShutdownTerminal": str(int(settings.shutdown_terminal)),
        **settings.other,
    }
    lines = [f"[{_TESTER}]", *(f"{key}={_one_line(value, key)}" for key, value in keys.items() if value)]
    if settings.inputs:
        lines += [f"[{_INPUTS}]", *(each.line() for each in _checked(settings.inputs))]
    return _MARK + "".join(line + _END for line in lines).encode("utf-16-le")


def read_ini(content: bytes) -> ExpertTest:
    """The test that an `.ini` describes; what it leaves out has the terminal's defaults.

    Raises InputError when `[Tester]`, the symbol or the dates are missing, or a value cannot be read.
    """
    sections = _sections(_decoded(content)[0])
    if _TESTER not in sections:
        raise InputError("The file has no section [Tester].", "Choose an .ini of MetaTrader 5's Strategy Tester.")
    keys = dict(line.split("=", 1) for line in sections[_TESTER] if "=" in line)
    given = {key.strip(): value.strip() for key, value in keys.items()}

    def take(key: str, otherwise: str | None = None) -> str:
        found = given.pop(key, "") or otherwise
        if found is None:
            raise InputError(f"[Tester] has no {key}.", "Save the settings from the Strategy Tester again.")
        return found

    return ExpertTest(
        expert=take("Expert", ""),
        symbol=take("Symbol"),
        timeframe=_timeframe(take("Period", "H1")),
        first=_date("FromDate", take("FromDate")),
        last=_date("ToDate", take("ToDate")),
        deposit=_number("Deposit", take("Deposit", "10000")),
        currency=take("Currency", "USD"),
        # 100 and 1:100 are both met.
        leverage=int(_number("Leverage", take("Leverage", "100").rsplit(":", 1)[-1])),
        model=_one_of(Model, "Model", take("Model", "0")),
        optimization=_one_of(Optimization, "Optimization", take("Optimization", "0")),
        execution_mode=int(_number("ExecutionMode", take("ExecutionMode", "0"))),
        forward_mode=int(_number("ForwardMode", take("ForwardMode", "0"))),
        criterion=int(_number("OptimizationCriterion", take("OptimizationCriterion", "0"))),
        report=take("Report", ""),
        replace_report=take("ReplaceReport", "0") == "1",
        shutdown_terminal=take("ShutdownTerminal", "0") == "1",
        inputs=tuple(found for line in sections.get(_INPUTS, []) if (found := _parsed(line))),
        other=given,
    )


def _sections(text: str) -> dict[str, list[str]]:
    """The lines of each section without their ends, comments and empty lines."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("[") and bare.endswith("]"):
            current = found.setdefault(bare[1:-1], [])
        elif bare and not bare.startswith(";"):
            current.append(line)
    return found


def _parsed(line: str) -> ExpertInput | None:
    """The input of a line; None for comments and anything else."""
    bare = line.rstrip("\r\n")
    name, equals, rest = bare.partition("=")
    if not equals or not name.strip() or bare.lstrip().startswith((";", "[")):
        return None
    value, found = _split(rest)
    return ExpertInput(name, value, found)


def _split(text: str) -> tuple[str, Range | None]:
    """A value and its range; text that merely holds `||` is a value as a whole."""
    parts = text.split("||")
    if len(parts) != _RANGE_PARTS or parts[-1] not in {"Y", "N"}:
        return text, None
    return parts[0], Range(parts[1], parts[2], parts[3], parts[4] == "Y")


def _checked(inputs: Iterable[ExpertInput]) -> list[ExpertInput]:
    """Inputs that can be written, each once."""
    found = list(inputs)
    names = [each.name.casefold() for each in found]
    twice = next((each.name for each in found if names.count(each.name.casefold()) > 1), None)
    if twice is not None:
        raise InputError(f"The input {twice} is given twice.", "Give each input once.")
    for each in found:
        _one_line(each.line(), each.name)
    return found


def _one_line(text: str, what: str) -> str:
    if "\r" in text or "\n" in text:
        raise InputError(f"{what}={text!r} holds a line end.", "Write it in one line.")
    return text


def _decoded(content: bytes) -> tuple[str, str, bytes]:
    """Text, its encoding and its byte-order mark. Raises InputError when it is no text."""
    marks = ((_MARK, "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"\xef\xbb\xbf", "utf-8"))
    mark, encoding = next(((mark, name) for mark, name in marks if content.startswith(mark)), (b"", ""))
    for name in (encoding,) if encoding else ("utf-8", "cp1252"):
        try:
            text = content[len(mark) :].decode(name)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text, name, mark
    raise InputError("The file is no text.", "Choose a .set or .ini file of MetaTrader 5.")


def _decimal(value: float) -> str:
    return np.format_float_positional(value, trim="0")


def _timeframe(text: str) -> Timeframe:
    return _PERIODS.get(text.casefold()) or parse_timeframe(text)


def _date(key: str, text: str) -> date:
    try:
        return datetime.strptime(text, "%Y.%m.%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise InputError(f"{key}={text} is no date.", "Write it as 2025.01.31.") from None


def _number(key: str, text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise InputError(f"{key}={text} is no number.", "Save the settings from the Strategy Tester again.")
    return found


def _one_of(choices: type[Choice], key: str, text: str) -> Choice:
    try:
        return choices(int(text))
    except ValueError:
        said = ", ".join(f"{choice.value} {choice.name.lower().replace('_', ' ')}" for choice in choices)
        raise InputError(f"{key}={text} is not known.", f"There are: {said}.") from None
