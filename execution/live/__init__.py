"""Strategies at work on live bars: deployments, their decisions and guards, and how a day compares with a backtest."""
