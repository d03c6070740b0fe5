"""What a deployment wants: its strategy's signals on the bars it knows, from the bar on from which it trades."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from core.errors import ModelError, StrategyError
from execution.live.deployments import Deployment
from execution.registry import strategy_named
from execution.strategy import Signals, Strategy, Values
from market.indicators import shared_indicators

PREDICTION = "prediction"


@dataclass(frozen=True)
class Wish:
    """The wished position at the last bar (−1, 0, 1) and at the one before; distances are price units, NaN for none.

    `confidence` is the probability that a model gives the side it wants, None where nobody gives one.
    """

    wanted: int
    wanted_before: int
    stop_distance: float
    target_distance: float
    confidence: float | None

    @property
    def is_change(self) -> bool:
        """Whether this bar changed the wish, which alone opens a position."""
        return self.wanted != self.wanted_before


def strategy_of(deployment: Deployment) -> Strategy:
    """The strategy that was deployed. Raises StrategyError when it is another version's now."""
    strategy = strategy_named(deployment.strategy_name)
    if strategy.version != deployment.strategy_version:
        raise StrategyError(
            f"{strategy.name} is at version {strategy.version}, the deployment at {deployment.strategy_version}.",
            "Backtest it again, then deploy it anew.",
        )
    return strategy


def bars_needed(deployment: Deployment) -> int:
    """How many bars must lie before the first that can be decided on."""
    warm_up = int(strategy_of(deployment).warm_up(deployment.parameters))
    if deployment.model_id is None:
        return warm_up
    from train.registry import find_model

    return warm_up + int(find_model(deployment.model_id).card["window_length"])


def with_predictions(deployment: Deployment, bars: pd.DataFrame) -> pd.DataFrame:
    """The bars with the column that a model's strategy reads; the same bars where no model is deployed.

    Raises ModelError for a model that is too old or damaged: another one never answers in its place.
    """
    if deployment.model_id is None:
        return bars
    from train.predict import predict

    predicted = predict(deployment.model_id, bars, deployment.symbol)
    answered = int(predicted["model_id"].iloc[-1])
    if answered != deployment.model_id:
        raise ModelError(
            f"Model {deployment.model_id} cannot answer ({predicted.attrs.get('remark')}).",
            "Put its files back, or deploy another model.",
        )
    names = [name for name in predicted.columns if name == PREDICTION or name.startswith("probability_")]
    return bars.join(predicted[names])


def wish_of(deployment: Deployment, bars: pd.DataFrame) -> Wish:
    """What is wished at the close of the last bar. Raises StrategyError, InputError or ModelError."""
    known = with_predictions(deployment, bars)
    with shared_indicators(known):
        signals = masked_strategy(deployment).checked_signals(known, deployment.parameters)
    wanted = int(signals.position[-1])
    if deployment.model_id is not None and not np.isfinite(known[PREDICTION].iloc[-1]):
        raise ModelError(
            f"Model {deployment.model_id} says nothing of the bar {known.index[-1]:%Y-%m-%d %H:%M} UTC.",
            "Its window is not whole: collect more history, without holes.",
        )
    return Wish(
        wanted=wanted,
        wanted_before=int(signals.position[-2]) if len(known) > 1 else 0,
        stop_distance=_last(signals.stop_distance),
        target_distance=_last(signals.target_distance),
        confidence=_confidence(known.iloc[-1], wanted),
    )


def masked_strategy(deployment: Deployment) -> Strategy:
    """The deployed strategy, which wants nothing before the first change of its wish at or after `trades_from`.

    A backtest of it trades what the deployment should have traded.
    """
    strategy = strategy_of(deployment)
    first = pd.Timestamp(deployment.trades_from) if deployment.trades_from else None

    def signals(bars: pd.DataFrame, values: Values) -> Signals:
        made = strategy.signals(bars, values)
        if first is None:
            return made
        begin = int(pd.DatetimeIndex(bars.index).searchsorted(first))
        return Signals(waiting(np.asarray(made.position), begin), made.stop_distance, made.target_distance)

    return replace(strategy, signals=signals)


def waiting(position: np.ndarray, begin: int) -> np.ndarray:
    """Positions without those before the first change at or after row `begin`: an earlier wish is no entry."""
    changes = np.flatnonzero(np.diff(position, prepend=np.int8(0)))
    later = changes[changes >= begin]
    kept = np.array(position, dtype=np.int8)
    kept[: later[0] if len(later) else len(kept)] = 0
    return kept


def _confidence(bar: pd.Series, wanted: int) -> float | None:
    name = {1: "probability_up", -1: "probability_down"}.get(wanted)
    found = bar.get(name) if name else None
    return float(found) if found is not None and np.isfinite(found) else None


def _last(distances: np.ndarray | None) -> float:
    return float("nan") if distances is None else float(distances[-1])
