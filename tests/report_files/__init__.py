"""Reports of MetaTrader 5, made for the tests."""
