"""The server that a MetaTrader terminal talks to: ticks in, signals out, each exactly once."""
