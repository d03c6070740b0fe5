"""A stored run as files for MetaTrader 5: an expert's inputs, a test of the Strategy Tester, and the trades.

The terminal knows nothing of our strategies: the inputs carry their parameters' names, and the test names an expert
after the strategy, for whoever has written one that follows the same rule. MetaTrader's dates are the broker's,
ours UTC; they are handed over as they are.
"""

from __future__ import annotations

from contextlib import suppress

import pandas as pd

from core.clock import parse_utc, utc_now
from core.errors import InputError, StrategyError
from execution.registry import strategy_named
from execution.runs import StoredRun
from execution.strategy import Parameter
from market.symbols import symbol_of
from market.timeframes import parse_timeframe
from mql5.files.tester_settings import ExpertInput, ExpertTest, make_input, make_set, write_ini
from mql5.files.trades_csv import write_trades


def set_file(run: StoredRun) -> bytes:
    """The `.set` of a run's parameters, with the ranges that its strategy declares. Raises InputError without any."""
    inputs = _inputs(run)
    if not inputs:
        raise InputError(f"{run.run_id} has no parameters, so there is nothing to set.", "Take the .ini.")
    return make_set(inputs, expert=run.strategy_name, saved=utc_now()).to_bytes()


def ini_file(run: StoredRun) -> bytes:
    """The `.ini` that repeats a run in the Strategy Tester: symbol, period, dates, deposit, leverage, inputs."""
    return write_ini(
        ExpertTest(
            expert=f"{run.strategy_name}.ex5",
            symbol=run.symbol,
            timeframe=parse_timeframe(run.timeframe),
            first=parse_utc(run.first_time).date(),
            last=parse_utc(run.last_time).date(),
            deposit=run.cash,
            currency=run.currency,
            leverage=max(1, round(1 / run.settings["margin"])),
            report=run.run_id,
            shutdown_terminal=False,  # whoever starts it wants to look
            inputs=tuple(_inputs(run)),
        )
    )


def trades_file(run: StoredRun, trades: pd.DataFrame) -> bytes:
    """The trades of a run as CSV, which `mql5.files.trades_csv.read_trades` reads back."""
    return write_trades(trades, symbol=run.symbol, contract_size=symbol_of(run.symbol).contract_size)


def _inputs(run: StoredRun) -> list[ExpertInput]:
    declared: dict[str, Parameter] = {}
    with suppress(StrategyError):  # its file is gone, or it was a class given from Python: no ranges then
        if run.strategy_version is not None:
            declared = {each.name: each for each in strategy_named(run.strategy_name).parameters}
    inputs = []
    for name, value in run.settings["parameters"].items():
        if not isinstance(value, (bool, int, float, str)):
            raise InputError(f"The parameter {name}={value!r} is no input of an expert.", "Take the JSON of the run.")
        parameter = declared.get(name)
        if parameter is None or parameter.low is None or parameter.high is None:
            inputs.append(make_input(name, value))
        else:
            inputs.append(make_input(name, value, low=parameter.low, high=parameter.high, step=parameter.step))
    return inputs
