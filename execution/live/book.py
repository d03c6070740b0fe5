"""What a deployment holds, by its own signals and the terminal's deals; and whether the terminal says the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from core.clock import parse_utc, utc_text
from core.names import nearest
from execution.live.decisions import last_signals
from execution.live.deployments import Deployment
from mql5.bridge.deals import DealStore
from mql5.bridge.signals import SignalStore
from mql5.bridge.terminals import TerminalStore

_ON_ITS_WAY = ("pending", "leased", "sent")
_SIDES = {"BUY": 1, "SELL": -1}
# The broker's stamps and ours may differ by a wrong offset of its clock.
_MOST_DRIFT_MS = 86_400_000
_LEAST_LOTS = 1e-9


@dataclass(frozen=True)
class Book:
    """The position of a deployment. `held` is −1, 0 or 1; `moving` the signals whose end is not known yet.

    `is_closing` says whether an exit is among them, `agrees` whether the terminal reports that position: None before
    it has reported since the last change. `words` say what it reports.
    """

    held: int
    moving: tuple[int, ...]
    is_closing: bool
    agrees: bool | None
    words: str


def read_book(deployment: Deployment, terminal: dict[str, Any] | None) -> Book:
    """The book of a deployment, held against the terminal's last heartbeat."""
    signals = [SignalStore().one(key) for key in last_signals(deployment.id)]
    on_their_way = [row for row in signals if row["status"] in _ON_ITS_WAY]
    held, since = 0, ""
    for row in signals:
        if row["status"] == "executed":
            held, since = _SIDES.get(row["signal_type"], 0), row["finished_at"]
        elif row["signal_type"] in _SIDES and row["status"] in {"leased", "sent"}:
            held = _SIDES[row["signal_type"]]  # it may be executed at this moment
    opened = next((row for row in reversed(signals) if row["signal_type"] in _SIDES), None)
    if held and opened and (closed := _closed_by_broker(deployment, opened)):
        held, since = 0, max(since, closed)
    is_closing = any(row["signal_type"] == "CLOSE" for row in on_their_way)
    agrees, words = _compared(deployment, terminal, held, since)
    return Book(held, tuple(row["id"] for row in on_their_way), is_closing, agrees, words)


def terminal_of(client: str) -> dict[str, Any] | None:
    """The terminal's row, with its age; None when it was never heard."""
    return TerminalStore().one(client)


def known_terminals() -> list[str]:
    """The terminals that were ever heard."""
    return [row["client"] for row in TerminalStore().all()]


def nearest_terminal(client: str) -> str:
    """A hint at the terminal that was meant, or at how to have one."""
    known = known_terminals()
    meant = nearest(client, known)
    if meant:
        return f"Did you mean {meant!r}?"
    return f"Heard so far: {', '.join(known) or 'none'}. Attach the Expert Advisor, and look at the page MQL5 Bridge."


def _closed_by_broker(deployment: Deployment, opened: dict[str, Any]) -> str | None:
    """When the broker closed the position that a signal opened (stop, target, by hand); None while it is open."""
    since = int(parse_utc(opened["created_at"]).timestamp() * 1000) - _MOST_DRIFT_MS
    deals = DealStore().of(deployment.client, since_ms=since)
    mark = f"sig:{opened['id']}"
    position = next((d["position"] for d in deals if d["deal"] == opened["deal_ticket"] or d["comment"] == mark), None)
    if position is None:
        return None  # its deals are not reported yet
    of_it = DealStore().by_position(deployment.client, position)
    left = sum(deal["volume"] * (1 if deal["entry"] == "in" else -1) for deal in of_it)
    if left > _LEAST_LOTS:
        return None
    return utc_text(datetime.fromtimestamp(of_it[-1]["time_ms"] / 1000, UTC))


def _compared(
    deployment: Deployment, terminal: dict[str, Any] | None, held: int, since: str
) -> tuple[bool | None, str]:
    if terminal is None or terminal.get("open_positions") is None:
        return None, "the terminal has not reported its positions"
    if since and parse_utc(terminal["beat_at"]) < parse_utc(since):
        return None, "the terminal has not reported since the last signal ended"
    sides = {
        1 if position["side"] == "long" else -1
        for position in terminal["open_positions"]
        if position["symbol"] == deployment.symbol
    }
    if sides == ({held} if held else set()):
        return True, "the terminal reports the same"
    named = {1: "long", -1: "short", 0: "flat"}
    reported = " and ".join(named[side] for side in sorted(sides)) or "flat"
    return False, f"by our signals {deployment.symbol} is {named[held]}, the terminal reports {reported}"
