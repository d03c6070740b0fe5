"""Strategies of backtesting.py, as a user would write them."""

from __future__ import annotations

import pandas as pd
from backtesting import Strategy
from backtesting.lib import crossover


def mean(values: pd.Series, length: int) -> pd.Series:
    return pd.Series(values).rolling(length).mean()


class Crossing(Strategy):
    fast = 10
    slow = 30

    def init(self) -> None:
        self.quick = self.I(mean, self.data.Close, self.fast)
        self.steady = self.I(mean, self.data.Close, self.slow)

    def next(self) -> None:
        if crossover(self.quick, self.steady):
            self.position.close()
            self.buy()
        elif crossover(self.steady, self.quick):
            self.position.close()
            self.sell()


class Choosy(Crossing):
    """Cannot bear 13."""

    def init(self) -> None:
        if self.fast == 13:
            raise ValueError("thirteen")
        super().init()
