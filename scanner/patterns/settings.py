"""What a user may set of the patterns, under the names of the configuration."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from core.parameters import Parameter, checked_values

LONGEST = 10_000  # bars: what is looked back over is held in memory by whoever adds bar after bar

PARAMETERS = (
    Parameter("liquidity_lookback", 20, "Bars in which a high or low counts as recent for a sweep", 2, LONGEST),
    Parameter("swing_lookback", 10, "Bars on both sides over which a swing is the extreme", 1, LONGEST),
    Parameter("fvg_threshold", 0.0001, "Least height of a fair value gap as a fraction of the price", 0, 1),
    Parameter("order_block_body_ratio", 0.6, "Least share of an order block's range that is body", 0, 1),
    Parameter("order_block_lookback", 20, "Bars before a break in which its order block may lie", 1, LONGEST),
    Parameter("equal_level_atr", 0.1, "Average true ranges within which highs or lows are equal", 0, 10),
    Parameter("gap_fill_share", 1.0, "Share of a gap that price must retrace to end it, 0 a touch", 0, 1),
    Parameter("atr_length", 14, "Bars of the average true range that strengths are measured in", 1, LONGEST),
)


@dataclass(frozen=True)
class PatternSettings:
    """The knobs of every pattern, checked when made. Raises InputError naming the value and its range."""

    liquidity_lookback: int = 20
    swing_lookback: int = 10
    fvg_threshold: float = 0.0001
    order_block_body_ratio: float = 0.6
    order_block_lookback: int = 20
    equal_level_atr: float = 0.1
    gap_fill_share: float = 1.0
    atr_length: int = 14

    def __post_init__(self) -> None:
        given: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in checked_values(PARAMETERS, given, "Patterns").items():
            object.__setattr__(self, name, value)  # numpy's numbers as Python's

    @property
    def reach(self) -> int:
        """The most bars before a bar that any pattern looks back over."""
        return max(self.swing_lookback, self.liquidity_lookback + 1, 2 * self.order_block_lookback, self.atr_length, 2)
