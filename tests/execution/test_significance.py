from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.errors import InputError
from execution.significance import (
    deflated_sharpe,
    effective_trials,
    expected_maximum_sharpe,
    judge,
    mean_correlation,
    minimum_track_record,
    probabilistic_sharpe,
)

# The worked example of Bailey and López de Prado (2014): a Sharpe ratio of 2.5 a year over five years of 250 days,
# skewness −3, kurtosis 10, the best of 100 independent trials whose annual Sharpe ratios have the variance 1/2.
ANNUAL, DAYS, RETURNS = 2.5, 250, 1250
SHAPE = {"skewness": -3.0, "kurtosis": 10.0}


def made(sharpe: float, count: int = 1000, seed: int = 3) -> pd.Series:
    """Daily returns with exactly this Sharpe ratio per return."""
    values = np.random.default_rng(seed).normal(size=count)
    return pd.Series(0.01 * ((values - values.mean()) / values.std(ddof=1) + sharpe))


def test_the_papers_worked_example_is_reproduced() -> None:
    variance = 0.5 / DAYS
    assert expected_maximum_sharpe(100, variance) == pytest.approx(0.1132, abs=5e-5)
    deflated = deflated_sharpe(ANNUAL / math.sqrt(DAYS), observations=RETURNS, trials=100, variance=variance, **SHAPE)
    assert deflated == pytest.approx(0.9004, abs=5e-5)


@pytest.mark.parametrize(("trials", "shape"), [(46, SHAPE), (88, {"skewness": 0.0, "kurtosis": 3.0})])
def test_the_record_would_hold_for_as_many_trials_as_the_paper_says(trials: int, shape: dict[str, float]) -> None:
    # 46 with those returns, 88 had they been normal: both 0.9505, and below 0.95 with one trial more.
    sharpe, variance = ANNUAL / math.sqrt(DAYS), 0.5 / DAYS
    found, beyond = (
        deflated_sharpe(sharpe, observations=RETURNS, trials=count, variance=variance, **shape)
        for count in (trials, trials + 1)
    )
    assert found == pytest.approx(0.9505, abs=5e-5)
    assert beyond < found


@pytest.mark.parametrize(("per_year", "years"), [(252, 2.73), (52, 2.83), (12, 3.24)])
def test_the_record_to_tell_two_from_one_is_as_long_as_the_paper_of_2012_says(per_year: int, years: float) -> None:
    scale = math.sqrt(per_year)
    needed = minimum_track_record(2 / scale, benchmark=1 / scale, skewness=0.0, kurtosis=3.0)
    assert needed / per_year == pytest.approx(years, abs=0.01)


def test_the_minimum_record_is_the_one_that_reaches_the_confidence() -> None:
    needed = minimum_track_record(0.1, skewness=-1.0, kurtosis=6.0)
    reached = [
        probabilistic_sharpe(0.1, observations=count, skewness=-1.0, kurtosis=6.0)
        for count in (math.floor(needed), math.ceil(needed))
    ]
    assert reached[0] < 0.95 <= reached[1]
    assert minimum_track_record(0.1, benchmark=0.1, **SHAPE) == math.inf
    assert minimum_track_record(-0.1, **SHAPE) == math.inf


def test_half_of_all_records_lie_above_the_truth() -> None:
    assert probabilistic_sharpe(0.2, benchmark=0.2, observations=500, **SHAPE) == 0.5
    assert math.isnan(probabilistic_sharpe(0.2, observations=1, **SHAPE))


def test_losses_in_bulk_make_a_sharpe_ratio_less_sure() -> None:
    plain = probabilistic_sharpe(0.1, observations=200, skewness=0.0, kurtosis=3.0)
    assert probabilistic_sharpe(0.1, observations=200, skewness=-3.0, kurtosis=10.0) < plain
    assert probabilistic_sharpe(0.1, observations=400, skewness=0.0, kurtosis=3.0) > plain


def test_the_maximum_to_expect_grows_with_the_trials_and_with_their_spread() -> None:
    grown = [expected_maximum_sharpe(trials, 1.0) for trials in (1, 1.2, 2, 10, 100, 10_000, 1e9)]
    assert grown[0] == 0.0
    assert grown == sorted(grown)
    assert expected_maximum_sharpe(100, 4.0) == pytest.approx(2 * expected_maximum_sharpe(100, 1.0))
    assert expected_maximum_sharpe(100, 0.0) == 0.0


def test_the_maximum_to_expect_is_the_mean_of_the_maxima_met() -> None:
    chance = np.random.default_rng(11)
    met = chance.normal(size=(4000, 200)).max(axis=1).mean()
    assert expected_maximum_sharpe(200, 1.0) == pytest.approx(met, rel=0.02)


def test_a_run_is_judged_from_its_returns_and_the_ledger() -> None:
    returns = made(0.1)
    found = judge(returns, returns_per_year=260, trials=412, annual_variance=0.4)
    assert (found.returns, found.trials) == (1000, 412)
    assert found.annual_sharpe == pytest.approx(0.1 * math.sqrt(260))
    assert found.annual_expected_maximum == pytest.approx(expected_maximum_sharpe(412, 0.4))
    values = returns.to_numpy()
    centred = values - values.mean()
    skewness = (centred**3).mean() / values.std() ** 3
    kurtosis = (centred**4).mean() / values.std() ** 4
    assert found.deflated == pytest.approx(
        deflated_sharpe(0.1, observations=1000, skewness=skewness, kurtosis=kurtosis, trials=412, variance=0.4 / 260)
    )
    assert found.years_needed == pytest.approx(found.returns_needed / 260)
    assert found.sentence().startswith(f"Variant 412 on this data: deflated Sharpe {found.deflated:.2f}, no proof")


def test_a_single_trial_is_not_deflated() -> None:
    found = judge(made(0.2), returns_per_year=260)
    assert found.deflated == found.probabilistic > 0.99
    assert found.sentence().startswith("The first variant on this data: probabilistic Sharpe 1.00, unlikely")


@pytest.mark.parametrize("values", [[], [0.01], [0.0, 0.0, 0.0], [0.01, 0.01]])
def test_nothing_is_said_of_returns_that_do_not_vary(values: list[float]) -> None:
    found = judge(pd.Series(values, dtype="float64"), returns_per_year=260, trials=5, annual_variance=1.0)
    assert math.isnan(found.deflated)
    assert math.isnan(found.annual_sharpe)
    assert "nothing can be said" in found.sentence()


def test_resembling_trials_count_for_fewer() -> None:
    assert effective_trials(1000, 0.0) == 1000
    assert effective_trials(1000, 1.0) == 1
    assert effective_trials(1000, 0.9) == pytest.approx(100.9)
    assert effective_trials(10, -0.2) == 10


def test_the_mean_correlation_is_that_of_all_pairs() -> None:
    chance = np.random.default_rng(2)
    returns = pd.DataFrame(chance.normal(size=(300, 6)) + chance.normal(size=(300, 1)))
    pairs = returns.corr().to_numpy()[np.triu_indices(6, 1)]
    assert mean_correlation(returns) == pytest.approx(pairs.mean())
    assert mean_correlation(returns.assign(idle=0.0)) == pytest.approx(pairs.mean())
    assert math.isnan(mean_correlation(returns[[0]]))
    assert math.isnan(mean_correlation(returns.iloc[:0]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: expected_maximum_sharpe(0.5, 1.0), "trials=0.5"),
        (lambda: expected_maximum_sharpe(math.nan, 1.0), "trials=nan"),
        (lambda: expected_maximum_sharpe(5, -1.0), "variance=-1.0"),
        (lambda: probabilistic_sharpe(0.1, observations=9, skewness=0.0, kurtosis=0.0), "kurtosis, which is 3"),
        (lambda: probabilistic_sharpe(0.1, observations=9, skewness=math.nan, kurtosis=3.0), "no distribution"),
        (lambda: minimum_track_record(0.1, confidence=1.0, **SHAPE), "confidence=1.0"),
    ],
)
def test_what_no_returns_can_have_is_refused(call: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()
