"""What a deployment is allowed: the size of its positions and the limits that its guards hold."""

from __future__ import annotations

from datetime import time
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from core.schema import Checked
from execution.costs import Costs


class Sizing(Checked):
    """How large a position is: `lots`, or a `risk_fraction` of the equity lost at the stop (0.01 is 1 %).

    `stop_pips` is put where the strategy gives no stop; sizes are rounded down to `lot_step`, never above `max_lot`.
    """

    lots: float | None = Field(0.01, gt=0, le=100)
    risk_fraction: float | None = Field(None, gt=0, le=0.1)
    stop_pips: float | None = Field(None, gt=0, le=10_000)
    lot_step: float = Field(0.01, gt=0, le=100)
    max_lot: float = Field(1.0, gt=0, le=100)

    @model_validator(mode="after")
    def _one_rule(self) -> Sizing:
        if (self.lots is None) == (self.risk_fraction is None):
            raise ValueError("give either lots or risk_fraction, and set the other to None")
        return self

    def as_costs(self, **further: Any) -> Costs:
        """The same rule for a backtest."""
        return Costs(
            lots=self.lots,
            risk_fraction=self.risk_fraction,
            stop_pips=self.stop_pips,
            lot_step=self.lot_step,
            min_lot=self.lot_step,
            max_lot=self.max_lot,
            **further,
        )


class Limits(Checked):
    """What entries are held against; a limit of None (or 0 for a minimum) is not asked. Exits are never held back.

    Hours are UTC, `HH:MM`, and may cross midnight; days are trading days (17:00 New York). `account` says which
    accounts may be traded; `real` needs the two other switches as well.
    """

    account: Literal["demo", "real"] = "demo"
    max_entries_a_day: int = Field(10, ge=1, le=1_000)
    max_positions: int = Field(3, ge=1, le=1_000)
    max_risk_pct: float | None = Field(2.0, gt=0, le=100)
    min_confidence: float = Field(0.0, ge=0, le=1)
    min_reward_to_risk: float = Field(0.0, ge=0, le=100)
    max_spread_pips: float | None = Field(3.0, gt=0, le=1_000)
    hours_from: str = "00:00"
    hours_until: str = "00:00"
    max_daily_loss_pct: float | None = Field(5.0, gt=0, le=100)
    max_feed_age_seconds: float = Field(30.0, gt=0, le=3_600)
    max_heartbeat_age_seconds: float = Field(60.0, gt=0, le=3_600)
    valid_seconds: float = Field(60.0, ge=5, le=3_600)

    @field_validator("hours_from", "hours_until")
    @classmethod
    def _is_time(cls, text: str) -> str:
        try:
            return f"{time.fromisoformat(text):%H:%M}"
        except ValueError:
            raise ValueError("hours are written as 07:30, in UTC") from None
