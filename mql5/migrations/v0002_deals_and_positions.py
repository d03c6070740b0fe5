"""What a live desk needs: signals for one terminal, and its deals, open positions, symbols, margin, kill switch."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from core.store import JSON, REAL, TEXT, WHOLE


def upgrade() -> None:
    """Add the columns, empty for the terminals there are, the table of deals and an index to the gaps."""
    op.add_column("trading_signals", sa.Column("target", TEXT))
    op.add_column("terminals", sa.Column("kill_switch", WHOLE))
    op.add_column("terminals", sa.Column("margin_free", REAL))
    op.add_column("terminals", sa.Column("open_positions", JSON))
    op.add_column("terminals", sa.Column("symbol_specs", JSON))
    op.create_table(
        "terminal_deals",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("client", TEXT, nullable=False),
        sa.Column("deal", WHOLE, nullable=False),
        sa.Column("order_ticket", WHOLE, nullable=False),
        sa.Column("position", WHOLE, nullable=False),
        sa.Column("symbol", TEXT, nullable=False),
        sa.Column("side", TEXT, nullable=False),
        sa.Column("entry", TEXT, nullable=False),
        sa.Column("volume", REAL, nullable=False),
        sa.Column("price", REAL, nullable=False),
        sa.Column("commission", REAL, nullable=False),
        sa.Column("swap", REAL, nullable=False),
        sa.Column("profit", REAL, nullable=False),
        sa.Column("time_ms", WHOLE, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("comment", TEXT, nullable=False),
        sa.Column("magic", WHOLE, nullable=False),
        sa.Column("received_ms", WHOLE, nullable=False),
        sa.UniqueConstraint("client", "deal"),
        sqlite_strict=True,
    )
    op.create_index("terminal_deals_by_time", "terminal_deals", ["client", "time_ms"])
    op.create_index("terminal_deals_by_position", "terminal_deals", ["client", "position"])
    op.create_index("tick_gaps_by_stream", "tick_gaps", ["source", "symbol", "time_ms"])
