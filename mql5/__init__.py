"""Everything that speaks MetaTrader; broker time exists nowhere else."""
