"""What a trade paid in swap, spread and slippage."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from core.store import REAL


def upgrade() -> None:
    """Add the three columns. The runs there are knew neither swap nor slippage; a spread they paid stays unknown."""
    op.add_column("backtest_trades", sa.Column("swap", REAL))
    op.add_column("backtest_trades", sa.Column("spread_pips", REAL))
    op.add_column("backtest_trades", sa.Column("slippage_pips", REAL))
    op.execute("UPDATE backtest_trades SET swap = 0.0, slippage_pips = 0.0")
    op.execute(
        "UPDATE backtest_trades SET spread_pips = 0.0 WHERE backtest_id IN "
        "(SELECT id FROM backtest_runs WHERE json_extract(settings, '$.spread_pips') = 0)"
    )
