"""Whether a Sharpe ratio can be believed: how long the record is, how crooked its returns, how many were tried.

Sources:
- D. H. Bailey and M. López de Prado, The Sharpe Ratio Efficient Frontier, Journal of Risk 15 (2), 2012: the
  probabilistic Sharpe ratio and the minimum track record length.
- D. H. Bailey and M. López de Prado, The Deflated Sharpe Ratio, Journal of Portfolio Management 40 (5), 2014: the
  expected maximum of many trials, the deflated Sharpe ratio, the number of independent trials.

Inside this file a Sharpe ratio is one per return, not annualised, unless its name says `annual`; the two differ by
√(returns per year). Kurtosis is Pearson's, 3 for a normal distribution (pandas and scipy report it less 3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist

import numpy as np
import pandas as pd

from core.errors import InputError
from execution.metrics import shape

CONFIDENCE = 0.95
_NORMAL = NormalDist()
_EULER = 0.5772156649015329  # Euler and Mascheroni's constant
# Pearson's kurtosis is at least 1 + skewness²; rounding may take a little off.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Significance:
    """A run's Sharpe ratio against luck.

    `annual_sharpe` and `annual_expected_maximum` (what the best of `trials` without any edge would show) are per
    year. `probabilistic` is the probability that the true Sharpe ratio is above zero, `deflated` that it is above
    the expected maximum. `returns_needed` and `years_needed` are how long a record must be for 95 % confidence
    in the same Sharpe ratio; ∞ where no length would do. Unknown figures are NaN.
    """

    returns: int
    trials: float
    annual_sharpe: float
    annual_expected_maximum: float
    probabilistic: float
    deflated: float
    returns_needed: float
    years_needed: float

    def sentence(self) -> str:
        """What the figures mean, in a line."""
        if math.isnan(self.deflated):
            return "The returns are too few or do not vary; nothing can be said of the Sharpe ratio."
        words = f"Variant {self.trials:.0f} on this data: deflated Sharpe {self.deflated:.2f}"
        luck = (
            f"the best of {self.trials:.0f} tries without an edge would show {self.annual_expected_maximum:.2f} a year"
        )
        if self.trials <= 1:
            words, luck = (
                f"The first variant on this data: probabilistic Sharpe {self.deflated:.2f}",
                "nothing else was tried",
            )
        verdict = "no proof of an edge" if self.deflated < CONFIDENCE else "unlikely to be luck alone"
        return f"{words}, {verdict} ({luck})."


def judge(
    returns: pd.Series, *, returns_per_year: float, trials: float = 1, annual_variance: float = 0.0
) -> Significance:
    """Hold the daily `returns` of a run against the `trials` made on the same data, this one among them.

    `annual_variance` is the variance of the annualised Sharpe ratios of those trials. Trials that resemble each
    other count for less than one each (`effective_trials`); to count them fully errs on the careful side.
    Raises InputError for a number of trials below 1 or a variance below 0.
    """
    values = returns.to_numpy(dtype="float64")
    skewness, kurtosis = shape(values)
    scale = math.sqrt(returns_per_year)
    maximum = expected_maximum_sharpe(trials, annual_variance)
    deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    if not deviation > 0 or math.isnan(skewness):
        return Significance(len(values), trials, math.nan, maximum, *[math.nan] * 4)
    sharpe = float(values.mean()) / deviation
    needed = minimum_track_record(sharpe, skewness=skewness, kurtosis=kurtosis)
    beyond = partial(probabilistic_sharpe, sharpe, observations=len(values), skewness=skewness, kurtosis=kurtosis)
    return Significance(
        returns=len(values),
        trials=trials,
        annual_sharpe=sharpe * scale,
        annual_expected_maximum=maximum,
        probabilistic=beyond(),
        deflated=beyond(benchmark=maximum / scale),
        returns_needed=needed,
        years_needed=needed / returns_per_year,
    )


def probabilistic_sharpe(
    sharpe: float, *, observations: int, skewness: float, kurtosis: float, benchmark: float = 0.0
) -> float:
    """The probability that the true Sharpe ratio is above `benchmark`.

    Z[(SR − SR*) √(T − 1) / √(1 − γ₃ SR + (γ₄ − 1)/4 SR²)], T returns of skewness γ₃ and kurtosis γ₄ (2012). NaN
    below two returns. Raises InputError for moments that no returns can have.
    """
    if observations < 2:
        return math.nan
    spread = _spread(sharpe, skewness, kurtosis)
    distance = (sharpe - benchmark) * math.sqrt(observations - 1)
    if spread == 0:  # two values only, in just the proportion that leaves no doubt
        return float(np.heaviside(distance, 0.5))
    return _NORMAL.cdf(distance / math.sqrt(spread))


def deflated_sharpe(
    sharpe: float, *, observations: int, skewness: float, kurtosis: float, trials: float, variance: float
) -> float:
    """The probability that the true Sharpe ratio is above what the best of `trials` shows by luck alone.

    The probabilistic one with SR* = `expected_maximum_sharpe(trials, variance)` (2014); `variance` is that of
    the Sharpe ratios per return over the trials.
    """
    maximum = expected_maximum_sharpe(trials, variance)
    return probabilistic_sharpe(
        sharpe, observations=observations, skewness=skewness, kurtosis=kurtosis, benchmark=maximum
    )


def expected_maximum_sharpe(trials: float, variance: float) -> float:
    """The highest Sharpe ratio to expect among independent trials of which none has an edge.

    √V ((1 − γ) Z⁻¹[1 − 1/N] + γ Z⁻¹[1 − 1/(N e)]), γ Euler and Mascheroni's constant (2014), in the unit
    whose square `variance` has; 0 for a single trial. N need not be whole. Raises InputError below one trial or
    for a negative variance.
    """
    if not (math.isfinite(trials) and trials >= 1):
        raise InputError(f"trials={trials!r} is no number of trials.", "Count at least the run itself: 1 or more.")
    if not (math.isfinite(variance) and variance >= 0):
        raise InputError(f"variance={variance!r} is no variance.", "Give 0 or more.")
    if trials == 1:
        return 0.0
    typical = _NORMAL.inv_cdf(1 - 1 / trials)
    beyond = _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    # An approximation for many trials; between one and two it would fall below the mean.
    return math.sqrt(variance) * max(0.0, (1 - _EULER) * typical + _EULER * beyond)


def minimum_track_record(
    sharpe: float, *, skewness: float, kurtosis: float, benchmark: float = 0.0, confidence: float = CONFIDENCE
) -> float:
    """How many returns it takes for `confidence` that the true Sharpe ratio is above `benchmark`.

    1 + (1 − γ₃ SR + (γ₄ − 1)/4 SR²) (Z⁻¹[confidence] / (SR − SR*))² (2012); ∞ where SR ≤ SR*. Raises
    InputError for a confidence outside (0.5, 1).
    """
    if not 0.5 < confidence < 1:
        raise InputError(f"confidence={confidence!r} is out of range.", "Give a probability above 0.5 and below 1.")
    spread = _spread(sharpe, skewness, kurtosis)
    if sharpe <= benchmark:
        return math.inf
    return 1 + spread * (_NORMAL.inv_cdf(confidence) / (sharpe - benchmark)) ** 2


def effective_trials(trials: float, correlation: float) -> float:
    """How many independent trials so many correlated ones amount to: ρ + (1 − ρ) N (2014, appendix).

    `correlation` is the mean correlation ρ of the trials' returns (`mean_correlation`): neighbours in a sweep are
    nearly the same strategy, and a thousand of them are no thousand tries. One below 0 counts as 0.
    """
    shared = min(1.0, max(0.0, correlation))
    return shared + (1 - shared) * trials


def mean_correlation(returns: pd.DataFrame) -> float:
    """The mean over all pairs of the correlation of returns, a column a trial; NaN with fewer than two that vary."""
    values = returns.to_numpy(dtype="float64")
    varies = np.ptp(values, axis=0) > 0 if len(values) else np.zeros(values.shape[1], dtype=bool)
    values = values[:, varies]
    count = values.shape[1]
    if count < 2:
        return math.nan
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    # The variance of the sum of standardised returns is N + N (N − 1) ρ: no N × N matrix is needed.
    return float((standard.sum(axis=1).var() - count) / (count * (count - 1)))


def _spread(sharpe: float, skewness: float, kurtosis: float) -> float:
    """The variance of an estimated Sharpe ratio, times T − 1."""
    if not kurtosis >= (1 + skewness**2) * (1 - _ROUNDING):
        raise InputError(
            f"Skewness {skewness:g} and kurtosis {kurtosis:g} belong to no distribution.",
            "Give Pearson's kurtosis, which is 3 for a normal distribution; pandas reports it less 3.",
        )
    return max(0.0, 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2)
