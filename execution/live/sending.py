"""What follows from decisions: exits at once, entries when nothing is in their way and every guard lets them pass."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any

from core.clock import now_ms, parse_utc, utc_now
from core.errors import SequenceError, TryAgainError
from core.log import get_logger
from core.plain import plain
from execution.live.book import Book
from execution.live.circumstances import known_now
from execution.live.decisions import (
    APPROVED,
    EXPIRED,
    PROPOSED,
    REFUSED,
    Decision,
    change_decision,
    list_decisions,
)
from execution.live.deployments import Deployment, Fence
from execution.live.guards import Circumstances, Entry, Verdict, judge
from execution.live.sizing import lots_for
from market.symbols import symbol_of
from mql5.bridge.messages import NewSignal, SignalType
from mql5.bridge.signals import SignalStore
from mql5.bridge.ticks import TickStore

# Signals for an exit stay valid this long: a position must not be left because a terminal was away for a minute.
_EXIT_SECONDS = 3_600


class Sender:
    """Sends what the decisions of a deployment ask for. A signal carries a key of deployment and bar: it comes once."""

    def __init__(self, fence: Fence) -> None:
        self._fence = fence
        self._signals = SignalStore()

    def send_what_waits(self, deployment: Deployment, book: Book) -> None:
        """Send what decisions have not sent yet: the exit of the newest, which saw all, and entries still in time."""
        decided = list_decisions(deployment.id, limit=3)
        newest = decided[0] if decided else None
        for decision in decided[1:]:
            self._note_exit(deployment, decision)
        if newest and newest.asks_to_exit and newest.close_signal_id is None:
            self._send_exit(deployment, newest)
            return
        for decision in reversed(decided):
            if decision.state == PROPOSED:
                self._send_entry(deployment, decision, book)

    def _note_exit(self, deployment: Deployment, decision: Decision) -> None:
        """Note the exit of an earlier decision that a killed process had posted and not yet noted."""
        if decision.asks_to_exit and decision.close_signal_id is None:
            row = self._signals.by_key(signal_key(deployment, decision, "close"))
            if row is not None:
                self._write(decision, close_signal_id=row["id"])

    def _send_exit(self, deployment: Deployment, decision: Decision) -> None:
        asked = NewSignal(
            symbol=deployment.symbol,
            signal_type=SignalType.CLOSE,
            valid_until=utc_now() + timedelta(seconds=_EXIT_SECONDS),
            comment=f"{deployment.name}: {decision.reason}"[:200],
            strategy_name=deployment.strategy_name,
            idempotency_key=signal_key(deployment, decision, "close"),
            target=deployment.client,
        )
        self._write(decision, close_signal_id=self._signals.create(asked)[0]["id"])

    def _send_entry(self, deployment: Deployment, decision: Decision, book: Book) -> None:
        """Send the entry of a proposed decision once nothing is in its way, or say why it never will be."""
        if decision.entry_order is not None:  # judged and written down before a kill
            self._post(decision, decision.entry_order)
            return
        if utc_now() > parse_utc(decision.valid_until or decision.decided_at):
            waited = "the position before it was not closed in time" if book.held else book.words
            self._write(decision, state=EXPIRED, reason=f"{decision.reason}; too late: {waited}")
            return
        if book.moving or book.held or book.agrees is None:
            return  # the position before it is being closed, or the terminal has not reported since
        entry, known, verdicts = self._judged(deployment, decision, book)
        refusals = [verdict for verdict in verdicts if not verdict.passed]
        inputs = {**decision.inputs, "circumstances": known.as_dict(), "entry": plain(entry.__dict__)}
        said = {"guards": [verdict.as_dict() for verdict in verdicts], "inputs": inputs, "inputs_hash": hash_of(inputs)}
        if refusals:
            words = "; ".join(verdict.words for verdict in refusals)
            self._write(decision, state=REFUSED, reason=f"{decision.reason}; {words}", **said)
            return
        order = _order(deployment, decision, entry)
        self._write(decision, entry_order=order, **said)
        self._post(decision, order)

    def _judged(
        self, deployment: Deployment, decision: Decision, book: Book
    ) -> tuple[Entry, Circumstances, list[Verdict]]:
        known = known_now(deployment, in_flight=len(book.moving), records_agree=book.agrees)
        side = decision.wanted or 0
        quote = TickStore().last_before(deployment.client, deployment.symbol, now_ms() + 1)
        price = float(quote["ask" if side > 0 else "bid"] if quote else decision.close or 0.0)
        volume = lots_for(deployment.sizing, known.equity, decision.stop_distance, known.value_per_lot)
        entry = Entry(
            deployment.symbol,
            side,
            price,
            volume,
            decision.stop_distance,
            decision.target_distance,
            decision.confidence,
        )
        return entry, known, judge(entry, deployment.limits, known)

    def _post(self, decision: Decision, order: dict[str, Any]) -> None:
        """Post an entry as it was written down, unless a process that was killed had posted it."""
        asked = NewSignal.model_validate(order)
        try:
            row = self._signals.by_key(asked.idempotency_key or "") or self._signals.create(asked)[0]
        except TryAgainError:
            raise  # it is written down and is posted at the next step
        except SequenceError as error:  # the kill switch fell, the price ran past the stop, the time is over
            self._write(decision, state=REFUSED, reason=f"{decision.reason}; the signal was refused: {error.what}")
            return
        self._write(decision, state=APPROVED, entry_signal_id=row["id"])

    def _write(self, decision: Decision, **values: Any) -> None:
        change_decision(decision.id, self._fence, **values)
        if "state" in values:
            said = {name: values.get(name) for name in ("state", "reason")}
            get_logger(__name__).info("decision", bar=decision.bar_time, **said)


def signal_key(deployment: Deployment, decision: Decision, what: str) -> str:
    """The idempotency key of a decision's signal."""
    return f"d{deployment.id}-{int(parse_utc(decision.bar_time).timestamp())}-{what}"


def hash_of(inputs: dict[str, Any]) -> str:
    """The SHA-256 of what a decision was made of."""
    return hashlib.sha256(json.dumps(plain(inputs), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _order(deployment: Deployment, decision: Decision, entry: Entry) -> dict[str, Any]:
    """The signal of an entry; its levels are counted from the close that decided, as in a backtest."""
    symbol, close = symbol_of(deployment.symbol), float(decision.close or 0.0)

    def level(distance: float | None, sign: int) -> float | None:
        return None if distance is None else round(close + sign * distance, symbol.digits)

    return {
        "symbol": deployment.symbol,
        "signal_type": "BUY" if entry.side > 0 else "SELL",
        "confidence": 1.0 if entry.confidence is None else entry.confidence,
        "entry_price": entry.price,
        "stop_loss": level(entry.stop_distance, -entry.side),
        "take_profit": level(entry.target_distance, entry.side),
        "volume": entry.volume,
        "valid_until": decision.valid_until,
        "comment": f"{deployment.name}: {decision.reason}"[:200],
        "strategy_name": deployment.strategy_name,
        "idempotency_key": signal_key(deployment, decision, "entry"),
        "target": deployment.client,
    }
