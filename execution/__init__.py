"""Execution floor: strategies → backtest → compare. The door is `execution.backtest_manager`."""
