"""What became of a decision: its signals with every step on their way, and how long each step took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.clock import parse_utc
from execution.live.decisions import Decision
from mql5.bridge.feed import Feed

LOST = "lost"  # the state of a signal that the bridge's database no longer has
FINISHED = ("executed", "rejected", "expired", "cancelled")
# The steps that a signal goes through, in this order; the last stands for whichever of them ended it.
STEPS = ("pending", "leased", "sent", "ended")


@dataclass(frozen=True)
class Step:
    """One step of a signal; `after_seconds` since the step before, the first since its decision."""

    state: str
    at: datetime
    after_seconds: float
    by: str | None
    words: str


@dataclass(frozen=True)
class SignalPath:
    """A signal of a decision on its way.

    `asked` is the price wanted, or the quote when it was sent, and `slippage_pips` how much worse it was filled.
    `seconds` are those from its decision to its end, None while it is open. `row` is all that the bridge tells of it.
    """

    decision: Decision
    signal_id: int
    signal_type: str
    state: str
    steps: tuple[Step, ...]
    asked: float | None
    price: float | None
    slippage_pips: float | None
    seconds: float | None
    row: dict[str, Any]

    @property
    def is_open(self) -> bool:
        """Whether it may still be executed."""
        return self.state not in FINISHED and self.state != LOST

    @property
    def words(self) -> str:
        """The broker's words, and of what never reached a broker those of its last step."""
        if self.state == LOST:
            return "the bridge's database no longer has it"
        said = [str(self.row["retcode"] or ""), self.row["broker_comment"] or ""]
        told = " · ".join(word for word in said if word)
        return told or (self.steps[-1].words if self.steps else "")

    def seconds_to(self, step: str) -> float | None:
        """How long the step of `STEPS` took that led to this state; None where it never came to that."""
        states = FINISHED if step == "ended" else (step,)
        return next((each.after_seconds for each in self.steps if each.state in states), None)


def paths_of(decisions: Sequence[Decision]) -> list[SignalPath]:
    """The signals that decisions led to, in the order of the decisions, an entry before the exit that made room."""
    closing = {each.close_signal_id: each.held or 0 for each in decisions if each.close_signal_id is not None}
    wanted = [signal_id for decision in decisions for signal_id in decision.signal_ids]
    rows = {row["id"]: row for row in Feed().signals_of(wanted, closing)} if wanted else {}
    return [
        _path(decision, signal_id, rows.get(signal_id))
        for decision in decisions
        for signal_id in reversed(decision.signal_ids)
    ]


def _path(decision: Decision, signal_id: int, row: dict[str, Any] | None) -> SignalPath:
    if row is None:
        kind = "CLOSE" if signal_id == decision.close_signal_id else "BUY" if decision.wanted == 1 else "SELL"
        return SignalPath(decision, signal_id, kind, LOST, (), None, None, None, None, {})
    steps = _steps(row["history"], parse_utc(decision.decided_at))
    lasted = (steps[-1].at - parse_utc(decision.decided_at)).total_seconds() if steps else 0.0
    return SignalPath(
        decision=decision,
        signal_id=signal_id,
        signal_type=row["signal_type"],
        state=row["status"],
        steps=steps,
        asked=row["asked"],
        price=row["executed_price"],
        slippage_pips=row["slippage_pips"],
        seconds=max(0.0, lasted) if row["status"] in FINISHED else None,
        row=row,
    )


def _steps(history: Sequence[dict[str, Any]], decided: datetime) -> tuple[Step, ...]:
    """Its steps in their order; a clock that was set back makes none shorter than nothing."""
    steps, before = [], decided
    for line in history:
        at = parse_utc(line["at"])
        after = max(0.0, (at - before).total_seconds())
        steps.append(Step(line["status"], at, after, line["client"], line["words"]))
        before = at
    return tuple(steps)
