"""Strategies: one file each, holding a `STRATEGY`. Dropping a file in here adds a strategy."""
