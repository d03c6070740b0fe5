"""Files that MetaTrader reads or writes, as plain values."""
