"""A deployment at work: one decision a closed bar, and the signals that follow from it.

    runner = Runner(deployment.id)
    runner.step()      # again and again; whatever was killed in between, it goes on from the rows

A decision is a row before it is a signal, and a signal carries a key made of deployment and bar: no bar is decided
twice and no signal doubled, however often the process begins anew. Entries pass the guards; exits are never held back.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from core.clock import parse_utc, utc_now, utc_text
from core.errors import SequenceError
from core.log import get_logger
from data.versions import digest
from execution.live.bars import (
    end_of_bar,
    fed_until,
    has_ticks,
    is_settled,
    known_bars,
    next_close,
    open_bar,
    tradable_from,
    why_unfit,
)
from execution.live.book import Book, read_book, terminal_of
from execution.live.circumstances import mark_equity
from execution.live.decisions import (
    APPROVED,
    ENTER,
    EXIT,
    EXPIRED,
    NONE,
    PROPOSED,
    REFUSED,
    REVERSE,
    enter_decision,
    list_decisions,
)
from execution.live.deployments import PAUSED, STOPPED, Deployment, Fence, beat, change_deployment, find_deployment
from execution.live.sending import Sender, hash_of
from execution.live.switch import notice_kill
from execution.live.wish import Wish, bars_needed, strategy_of, wish_of
from market.calendar import bar_end, market_minutes
from market.resample import period_starts
from market.symbols import canonical_symbol, symbol_of
from market.timeframes import parse_timeframe

_BEAT_SECONDS = 2.0


class Runner:
    """The work of one deployment. `fence` is asked within each write; it raises when another process has taken over."""

    def __init__(self, deployment_id: int, fence: Fence = lambda connection: None) -> None:
        self._id = deployment_id
        self._fence = fence
        self._sender = Sender(fence)
        self._beaten = float("-inf")
        self._log = get_logger(__name__).bind(deployment=deployment_id)

    def step(self) -> Deployment:
        """Do what is due now and return the deployment as it is; a stopped one does nothing."""
        deployment = find_deployment(self._id)
        if deployment.state == STOPPED:
            return deployment
        notice_kill()
        terminal = terminal_of(deployment.client)
        if terminal and terminal["is_alive"] and terminal["equity"] is not None:
            mark_equity(deployment.client, terminal["equity"], utc_now())
        deployment = self._begun(deployment)
        book = read_book(deployment, terminal)
        self._sender.send_what_waits(deployment, book)
        has_decided, words = self._decide_what_closed(deployment, book)
        words = _not_streamed(deployment, terminal) or words
        if has_decided:
            self._sender.send_what_waits(deployment, read_book(deployment, terminal))
        self._beat(words)
        return deployment

    # What is decided

    def _begun(self, deployment: Deployment) -> Deployment:
        """Fix, once, from which bar on it reads and trades: the bar that is open now is the first it trades on."""
        if deployment.trades_from is not None:
            return deployment
        opens = open_bar(deployment, pd.Timestamp(utc_now()))
        bars = known_bars(deployment).bars
        since = bars.index[0] if len(bars) else opens
        change_deployment(self._id, self._fence, trades_from=utc_text(opens), history_from=utc_text(since))
        return find_deployment(self._id)

    def _decide_what_closed(self, deployment: Deployment, book: Book) -> tuple[bool, str]:
        """Decide on the bars that have closed since the last decision; whether there were any, what it waits for."""
        fed = fed_until(deployment)
        if fed is None:
            return False, f"waits for the first tick of {deployment.symbol} from {deployment.client}"
        due = self._undecided(deployment, min(fed, pd.Timestamp(utc_now())))
        for opened in due:
            end = end_of_bar(deployment, opened)
            if not is_settled(deployment, end):
                return opened != due[0], f"waits until the ticks before {end:%H:%M:%S} UTC have become a bar"
            self._enter(self._decision(deployment, book, opened, is_newest=opened == due[-1]))
        closes = next_close(deployment)
        waits = f"next bar closes at {closes:%Y-%m-%d %H:%M} UTC" if closes else "its market is closed"
        words = f"{waits}, newest tick {fed:%H:%M:%S} UTC"
        return bool(due), words

    def _undecided(self, deployment: Deployment, until: pd.Timestamp) -> list[pd.Timestamp]:
        """The opens of the bars over by `until`, also of those for which no tick came, that have no decision yet."""
        timeframe, asset_class = parse_timeframe(deployment.timeframe), symbol_of(deployment.symbol).asset_class
        newest = list_decisions(deployment.id, limit=1)
        first = (
            end_of_bar(deployment, pd.Timestamp(newest[0].bar_time))
            if newest
            else pd.Timestamp(deployment.trades_from or until)
        )
        if until < end_of_bar(deployment, first):
            return []
        # Bars of H4 and longer begin on full hours of New York, which are full hours of UTC.
        steps = pd.date_range(first, until, freq=min(timeframe.delta, pd.Timedelta(hours=1)))
        opens = pd.DatetimeIndex(period_starts(steps, timeframe, asset_class).unique())
        opens = opens[opens >= first] if len(opens) else opens
        ends = bar_end(opens, timeframe, asset_class)
        # In its pauses a market has no bar to be expected; where the broker quotes all the same there is one.
        expected = market_minutes(ends, asset_class) > market_minutes(opens, asset_class)
        closed = zip(opens, ends, expected, strict=True)
        return [
            opened
            for opened, end, is_expected in closed
            if end <= until and (is_expected or has_ticks(deployment, opened, end))
        ]

    def _decision(self, deployment: Deployment, book: Book, opened: pd.Timestamp, *, is_newest: bool) -> dict[str, Any]:
        """The row of the decision on the bar that opened at `opened`; its entry is still to be judged."""
        end = end_of_bar(deployment, opened)
        until = tradable_from(deployment, end) + timedelta(seconds=deployment.limits.valid_seconds)
        known = known_bars(deployment, end)
        bars = known.bars[known.bars.index <= opened]
        row: dict[str, Any] = {
            "deployment_id": deployment.id,
            "bar_time": utc_text(opened),
            "decided_at": utc_text(),
            "action": NONE,
            "held": book.held,
            "valid_until": utc_text(until),
            "inputs": _inputs(deployment, bars, known.history, book),
        }
        unfit, wish = self._wish(deployment, bars, opened)
        if wish is None:
            return {**row, "state": REFUSED, "reason": unfit}
        row |= {
            "wanted": wish.wanted,
            "wanted_before": wish.wanted_before,
            "close": float(bars["close"].iloc[-1]),
            "stop_distance": _stop(deployment, wish),
            "target_distance": _finite(wish.target_distance),
            "confidence": wish.confidence,
        }
        action, reason = action_for(wish, book.held, is_closing=book.is_closing)
        if action == NONE or not is_newest:
            # What an earlier bar asked for is asked again by the newest, as far as it still holds.
            is_missed = action != NONE
            words = f"{reason}; nobody was there to decide it in time" if is_missed else reason
            return {**row, "state": EXPIRED if is_missed else APPROVED, "action": action, "reason": words}
        if action == EXIT:
            return {**row, "state": APPROVED, "action": EXIT, "reason": reason}
        return {**row, **self._proposal(deployment, action, reason, row["valid_until"])}

    def _proposal(self, deployment: Deployment, action: str, reason: str, valid_until: str) -> dict[str, Any]:
        """State, action and reason of a decision that asks for an entry; what cannot enter any more may still exit."""
        if utc_now() > parse_utc(valid_until):
            state, why = EXPIRED, "too late for an entry"
        elif deployment.state == PAUSED:
            state, why = REFUSED, "no entry while it is paused"
        else:
            return {"state": PROPOSED, "action": action, "reason": reason}
        if action == REVERSE:
            return {"state": APPROVED, "action": EXIT, "reason": f"{reason}; {why}"}
        return {"state": state, "action": action, "reason": f"{reason}; {why}"}

    def _wish(self, deployment: Deployment, bars: pd.DataFrame, opened: pd.Timestamp) -> tuple[str, Wish | None]:
        try:
            unfit = why_unfit(deployment, bars, opened, bars_needed(deployment))
            return (unfit, None) if unfit else ("", wish_of(deployment, bars))
        except SequenceError as error:  # an expired model, a changed strategy: said in the decision, and no signal
            return str(error), None

    def _enter(self, row: dict[str, Any]) -> None:
        """Store a decision; when it is there already (another process was faster) nothing changes."""
        if enter_decision({"guards": [], **row, "inputs_hash": hash_of(row["inputs"])}, self._fence):
            self._log.info(
                "decided", bar=row["bar_time"], state=row["state"], action=row["action"], reason=row["reason"]
            )

    def _beat(self, words: str) -> None:
        if time.monotonic() - self._beaten < _BEAT_SECONDS:
            return
        self._beaten = time.monotonic()
        beat(self._id, words, self._fence)


def _not_streamed(deployment: Deployment, terminal: dict[str, Any] | None) -> str:
    """Why no tick can come, where the terminal says that it does not stream the symbol; empty where it does."""
    if terminal is None:
        return f"{deployment.client} was not heard yet: attach the Expert Advisor"
    streamed = terminal["symbols"]
    if streamed is None or deployment.symbol in {canonical_symbol(name) for name in streamed}:
        return ""
    named = ", ".join(streamed) or "nothing"
    return (
        f"{deployment.client} does not stream {deployment.symbol} but {named}; if the broker renamed it, correct the "
        "Expert Advisor's InpSymbols, InpPrefix or InpSuffix"
    )


def action_for(wish: Wish, held: int, *, is_closing: bool = False) -> tuple[str, str]:
    """What a wish asks for while `held` is open: (action, reason). Only a change of the wish opens a position.

    While the exit of an earlier decision is on its way (`is_closing`) no second one is asked for.
    """
    named = {1: "long", -1: "short", 0: "flat"}
    if wish.wanted and wish.is_change and wish.wanted != held:
        words = f"the wish turned from {named[wish.wanted_before]} to {named[wish.wanted]}"
        return (REVERSE if held and not is_closing else ENTER), words
    if held and wish.wanted != held and not is_closing:
        return EXIT, f"{named[held]} is held and {named[wish.wanted]} is wanted"
    kept = f"{named[held]} is held" if held else "nothing is held"
    return NONE, f"{named[wish.wanted]} is wanted as before, {kept}"


def _inputs(deployment: Deployment, bars: pd.DataFrame, history: str, book: Book) -> dict[str, Any]:
    """What a decision is made of, in words and figures that let it be made again."""
    try:
        version: int | None = strategy_of(deployment).version
    except SequenceError:
        version = None  # the decision is refused for it
    return {
        "bars": {
            "first": utc_text(bars.index[0]) if len(bars) else None,
            "last": utc_text(bars.index[-1]) if len(bars) else None,
            "count": len(bars),
            "digest": digest(bars),
            "history": history,
        },
        "strategy": deployment.strategy_name,
        "strategy_version": version,
        "parameters": deployment.parameters,
        "model_id": deployment.model_id,
        "trades_from": deployment.trades_from,
        "sizing": deployment.sizing.model_dump(),
        "limits": deployment.limits.model_dump(),
        "held": book.held,
    }


def _stop(deployment: Deployment, wish: Wish) -> float | None:
    """The stop's distance: the strategy's, else that of the sizing."""
    own = _finite(wish.stop_distance)
    pips = deployment.sizing.stop_pips
    return own if own is not None or pips is None else pips * symbol_of(deployment.symbol).pip


def _finite(distance: float) -> float | None:
    return float(distance) if np.isfinite(distance) else None
