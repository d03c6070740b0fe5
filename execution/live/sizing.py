"""How many lots an entry takes, by the rule of the deployment; the same figures as in a backtest."""

from __future__ import annotations

import math

from execution.live.terms import Sizing


def lots_for(
    sizing: Sizing, equity: float | None, stop_distance: float | None, value_per_lot: float | None
) -> float | None:
    """Lots, rounded down to the step; None where the rule lacks a figure or less than one step is left.

    `stop_distance` is in price units, `value_per_lot` money (account currency) a price unit and lot, `equity` money.
    """
    if sizing.lots is not None:
        wanted = sizing.lots
    elif equity and stop_distance and value_per_lot and sizing.risk_fraction:
        wanted = equity * sizing.risk_fraction / (stop_distance * value_per_lot)
    else:
        return None
    lots = math.floor(min(wanted, sizing.max_lot) / sizing.lot_step + 1e-9) * sizing.lot_step
    return round(lots, 8) if math.isfinite(lots) and lots > 0 else None
