"""Closed bars to setups: Smart Money Concepts that are only reported once they can be known."""
