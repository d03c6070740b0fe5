"""The black box: a decision made again from what was recorded of it, and what differs when the answer does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from core.errors import SequenceError, UnknownNameError
from data.versions import digest
from execution.live.bars import deployment_bars, end_of_bar, why_unfit
from execution.live.decisions import ENTER, REVERSE, Decision, find_decision
from execution.live.deployments import Deployment, find_deployment
from execution.live.guards import Circumstances, Entry, judge
from execution.live.terms import Limits
from execution.live.wish import bars_needed, strategy_of, wish_of


@dataclass(frozen=True)
class Again:
    """What came of deciding once more. `changes` are sentences; without any the answer was the same."""

    decision: Decision
    changes: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        """Whether the same answer came of the same inputs."""
        return not self.changes

    def sentence(self) -> str:
        """The outcome in a line."""
        if self.is_same:
            return f"Decided again on the bar {self.decision.bar_time}: the same answer from the same inputs."
        return f"Decided again on the bar {self.decision.bar_time}: {'; '.join(self.changes)}."


def decide_again(decision_id: int) -> Again:
    """Make a decision again: bars read anew and held against their digest, the wish, and every guard.

    Raises UnknownNameError for a decision that is not there.
    """
    decision = find_decision(decision_id)
    if decision is None:
        raise UnknownNameError(f"There is no decision {decision_id}.", "Choose one from the list of decisions.")
    deployment = find_deployment(decision.deployment_id)
    return Again(decision, (*_of_the_wish(decision, deployment), *_of_the_guards(decision)))


def _of_the_wish(decision: Decision, deployment: Deployment) -> list[str]:
    changes = []
    time = pd.Timestamp(decision.bar_time)
    bars = deployment_bars(deployment, end_of_bar(deployment, time))
    bars = bars[bars.index <= time]
    recorded = decision.inputs["bars"]
    if digest(bars) != recorded["digest"]:
        changes.append(
            f"the bars are others now: {len(bars):,}, then {recorded['count']:,}{_first_other(bars, recorded)}"
        )
    if decision.inputs["strategy_version"] is not None:
        try:
            strategy_of(deployment)
        except SequenceError as error:
            return [*changes, error.what.rstrip(".")]
    try:
        unfit = why_unfit(deployment, bars, time, bars_needed(deployment))
        if decision.wanted is None and unfit:
            return changes  # nothing can be computed, as then; why stands in the reason
        wish = wish_of(deployment, bars)
    except SequenceError as error:
        if decision.wanted is None:
            return changes
        return [*changes, f"it cannot be decided now: {error.what.rstrip('.')}"]
    if decision.wanted is None:
        return [*changes, f"it can be decided now: {wish.wanted:+d} is wanted"]
    for name in ("wanted", "wanted_before"):
        then, now = getattr(decision, name), getattr(wish, name)
        if then != now:
            changes.append(f"{name.replace('_', ' ')} is {now:+d} now, it was {then:+d}")
    return changes


def _first_other(bars: pd.DataFrame, recorded: dict[str, Any]) -> str:
    first = bars.index[0] if len(bars) else None
    then = pd.Timestamp(recorded["first"]) if recorded["first"] else None
    return f", from {first} and not {then} on" if first != then else ""


def _of_the_guards(decision: Decision) -> list[str]:
    """What the guards say now to what was known then."""
    said = decision.inputs.get("circumstances")
    if decision.action not in {ENTER, REVERSE} or said is None:
        return []
    entry, limits = Entry(**decision.inputs["entry"]), Limits(**decision.inputs["limits"])
    again = {verdict.guard: verdict for verdict in judge(entry, limits, Circumstances.from_dict(said))}
    return [
        f"the guard {then.guard} {'passes' if again[then.guard].passed else 'refuses'} now ({again[then.guard].words})"
        for then in decision.guards
        if then.guard in again and again[then.guard].passed != then.passed
    ]
