"""Numbers as vendors write them: decimal point or comma, grouped thousands, currency signs, words for nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

_NUMBER = re.compile(r"[-+]?[$€£¥]?(\d+[.,]?\d*|[.,]\d+|\d{1,3}([.,' \u00a0\u202f]\d{3})+([.,]\d*)?)([eE][-+]?\d+)?")
_NOTHING = {"", "-", "--", "null", "none", "na", "n/a", "#n/a", "nan", "<na>"}
_GROUP_SIGNS = re.compile(r"(?<=\d)[' \u00a0\u202f](?=\d{3})")
_GROUPED = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?")
_SCALED = re.compile(r"([-+]?\d+(?:\.\d+)?)([KMB])", re.I)
_SCALES = {"K": 1e3, "M": 1e6, "B": 1e9}
_SWAP = str.maketrans(".,", ",.")


def is_number(cell: str) -> bool:
    """Whether a cell holds a number in anybody's writing."""
    return bool(_NUMBER.fullmatch(cell))


def guess_signs(cells: Sequence[str], given: str | None, delimiter: str) -> tuple[str, bool, str | None]:
    """The decimal sign of some prices, whether 1,234 is above a thousand, and a price that leaves this open."""
    both = [cell for cell in cells if "." in cell and "," in cell]
    several = [cell for cell in cells if cell.count(".") > 1 or cell.count(",") > 1]
    if given:
        group = "," if given == "." else "."
        dotted = any(given in cell for cell in cells)
        return given, bool(both or several or (not dotted and any(group in cell for cell in cells))), None
    if both:
        return ("," if both[0].rfind(",") > both[0].rfind(".") else "."), True, None
    if several:
        return ("." if "," in several[0] else ","), True, None
    commas = [cell for cell in cells if "," in cell]
    dots = [cell for cell in cells if "." in cell]
    if len(commas) <= len(dots):
        return ".", False, None
    # 151,234 between commas is a yen rate in Germany and an index in America.
    is_open = delimiter == "," and not dots and all(re.fullmatch(r"[1-9]\d{0,2},\d{3}", cell) for cell in commas)
    return ",", False, commas[0] if is_open else None


def parse_numbers(
    cells: Sequence[str], decimal: str, *, grouped: bool, scaled: bool = False
) -> tuple[np.ndarray, int | None]:
    """The numbers, NaN for nothing, and the position of the first cell that is none.

    `grouped`: 1,234 is above a thousand (what shows both signs, or two groups, is read without being told).
    `scaled`: 1.5K is 1,500.
    """
    if decimal == ",":  # the plain ones in the quick way
        cells = [cell.translate(_SWAP) if "." in cell else cell.replace(",", ".") for cell in cells]
    try:
        return np.array([float(cell) for cell in cells]), None
    except ValueError:
        numbers = [_number(cell, grouped, scaled) for cell in cells]
    wrong = next((position for position, number in enumerate(numbers) if number is None), None)
    return np.array([np.nan if number is None else number for number in numbers]), wrong


def _number(cell: str, grouped: bool, scaled: bool) -> float | None:
    try:
        return float(cell)
    except ValueError:
        text = _GROUP_SIGNS.sub("", re.sub(r"^([-+]?)[$€£¥]", r"\1", cell.strip()))
    if text.lower() in _NOTHING:
        return float("nan")
    if scaled and (match := _SCALED.fullmatch(text)):
        return float(match[1]) * _SCALES[match[2].upper()]
    if (match := _GROUPED.fullmatch(text)) and (grouped or match[2] or text.count(",") > 1):
        return float(text.replace(",", ""))
    return float(text) if re.fullmatch(r"[-+]?\d+(\.\d*)?", text) else None
