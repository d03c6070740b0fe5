"""Why a trade is missing, late, dear or otherwise than its backtest: read from decisions, signals and quotes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from core.clock import parse_utc
from execution.live.decisions import EXPIRED, PROPOSED, REFUSED, REVERSE, Decision
from market.calendar import bar_end
from market.symbols import Symbol
from market.timeframes import Timeframe

NAMED = {1: "long", -1: "short", 0: "flat"}
# How an exit is called: by a backtest, and by a terminal (`DEAL_REASON`).
EXITS = {
    **dict.fromkeys(("signal", "expert"), "signal"),
    **dict.fromkeys(("stop", "sl"), "stop"),
    **dict.fromkeys(("target", "tp"), "target"),
    **dict.fromkeys(("stop-out", "so"), "stop-out"),
    **dict.fromkeys(("client", "mobile", "web"), "by hand"),
}
LEVELS = ("stop", "target")
_LATE_SECONDS = 60.0
_SHOWN_PIPS = 0.05

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Records:
    """What is on record of a deployment: its decisions by the open of their bar and by signal, and its signals by id.

    `silent` are the opens of bars in which no tick came.
    """

    symbol: Symbol
    timeframe: Timeframe
    decisions: Mapping[pd.Timestamp, Decision]
    by_signal: Mapping[int, Decision]
    signals: Mapping[int, Row]
    silent: frozenset[pd.Timestamp]

    @classmethod
    def of(
        cls,
        symbol: Symbol,
        timeframe: Timeframe,
        decisions: Iterable[Decision],
        signals: Iterable[Row] = (),
        silent: Collection[pd.Timestamp] = (),
    ) -> Records:
        """The records in order; `signals` are rows of the bridge with their `history`."""
        known = list(decisions)
        return cls(
            symbol,
            timeframe,
            {pd.Timestamp(each.bar_time): each for each in known},
            {signal: each for each in known for signal in each.signal_ids},
            {int(row["id"]): row for row in signals},
            frozenset(silent),
        )

    def end_of(self, bar: pd.Timestamp) -> pd.Timestamp:
        """When the bar that opened then was over."""
        return pd.Timestamp(bar_end(pd.DatetimeIndex([bar]), self.timeframe, self.symbol.asset_class)[0])

    def entry_signal(self, trade: Row) -> int | None:
        """The signal that opened a trade: the one its deal names, else the one whose answer named the deal."""
        named = _whole(trade.get("entry_signal"))
        return named if named is not None else self._by_ticket(_whole(trade.get("entry_deal")))

    def exit_signal(self, trade: Row) -> int | None:
        """The signal that closed a trade, likewise."""
        named = _whole(trade.get("exit_signal"))
        return named if named is not None else self._by_ticket(_whole(trade.get("exit_deal")))

    def _by_ticket(self, deal: int | None) -> int | None:
        if deal is None:
            return None
        return next((key for key, row in self.signals.items() if row.get("deal_ticket") == deal), None)


def why_missing(records: Records, bar: pd.Timestamp, side: int) -> str:
    """Why no trade came of the bar that opened at `bar`, at whose close the backtest wanted `side`."""
    decision, reason = _decided(records, bar)
    if decision is None:
        return reason
    if refusals := decision.refused_by:
        return "; ".join(
            f"the guard {verdict.guard} refused: {verdict.words.removeprefix(verdict.guard).strip()}"
            for verdict in refusals
        )
    if decision.entry_signal_id is not None:
        return _fate(records, decision.entry_signal_id)
    if decision.wanted != side:
        return f"decided otherwise: {NAMED[decision.wanted or 0]} was wanted at that close ({decision.reason})"
    if decision.state == EXPIRED:
        late = _seconds_late(records, bar, decision)
        return f"decided late, {late}: {decision.reason}" if late else f"its time was over: {decision.reason}"
    if decision.state == PROPOSED:
        return "it still waits for the position before it to be closed"
    return f"{'refused' if decision.state == REFUSED else 'no entry'}: {decision.reason}"


def why_not_closed(records: Records, bar: pd.Timestamp) -> str:
    """Why no exit came of the bar that opened at `bar`, at whose close the backtest wanted out."""
    decision, reason = _decided(records, bar)
    if decision is None:
        return reason
    if decision.close_signal_id is not None:
        return _fate(records, decision.close_signal_id)
    return f"no exit was asked for: {decision.reason}"


def why_extra(records: Records, trade: Row, *, is_second: bool) -> str:
    """Why a terminal traded what the backtest did not; `is_second` where its signal has opened another trade too."""
    signal = records.entry_signal(trade)
    if signal is None:
        return "no decision of this deployment: its deal names no signal"
    if is_second:
        return f"signal {signal} opened a second position"
    decision = records.by_signal.get(signal)
    if decision is None:
        row = records.signals.get(signal)
        words = f" ({row['comment'] or row['strategy_name'] or 'without a comment'})" if row else ""
        return f"no decision of this deployment: it came of signal {signal}{words}"
    return f"decided on the bar {_moment(decision.bar_time)} ({decision.reason}), where the backtest opens nothing"


def why_later(records: Records, decision: Decision | None, signal: int | None, due: Any, filled: Any) -> str:
    """Which steps of a signal took the time from `due`, the end of the deciding bar, until it was filled."""
    if decision is None:
        return "no decision of this deployment tells why"
    row = records.signals.get(signal or 0, {})
    at: dict[str, Any] = {"decided": decision.decided_at, "posted": row.get("created_at")}
    for line in row.get("history", ()):
        if line["status"] in {"leased", "sent"}:
            at.setdefault(line["status"], line["at"])
    moments = [(name, parse_utc(at[name])) for name in ("decided", "posted", "leased", "sent") if at.get(name)]
    steps, last, before = [], "the bar was over", due
    for name, moment in [*moments, ("filled", filled)]:
        seconds = max(0.0, (moment - before).total_seconds())
        steps.append((seconds, _step(name, seconds, last, decision, is_entry=signal != decision.close_signal_id)))
        last, before = f"it was {name}", max(before, moment)
    total = sum(seconds for seconds, _ in steps)
    long = [words for seconds, words in steps if seconds >= max(1.0, total / 4)]
    return ", ".join(long or [max(steps)[1]])


def why_dearer(records: Records, which: str, expected: Row, trade: Row, level: str = "") -> str:
    """What a fill's distance from the backtest's price is made of; `which` is entry or exit, `level` what ended it."""
    pip = records.symbol.pip
    price, theirs = float(trade[f"{which}_price"]), float(expected[f"{which}_price"])
    buys = (trade["side"] == "long") == (which == "entry")
    if level:
        return f"slippage {_pips((price - theirs if buys else theirs - price) / pip)} at the {level}"
    bid, ask = trade.get(f"{which}_bid"), trade.get(f"{which}_ask")
    if bid is None or ask is None or pd.isna(bid) or pd.isna(ask):
        return "no tick is kept of that moment"
    paid = expected.get("spread_pips")
    spread = float(paid) if buys and paid is not None and not pd.isna(paid) else 0.0
    parts = {
        "spread": (ask - bid) / pip - spread if buys else 0.0,
        "slippage": (price - ask if buys else bid - price) / pip,
        "moved": (bid - (theirs - spread * pip) if buys else theirs - bid) / pip,
    }
    shown = [f"{name} {_pips(value)}" for name, value in parts.items() if abs(value) >= _SHOWN_PIPS]
    words = ", ".join(shown) or "each part is below a tenth of a pip"
    return f"{words} while waiting" if abs(parts["moved"]) >= _SHOWN_PIPS else words


def why_resized(records: Records, decision: Decision | None, signal: int | None, lots: float) -> str:
    """Why a trade has other lots than the backtest's."""
    row = records.signals.get(signal or 0)
    asked = row.get("volume") if row else (decision.entry_order or {}).get("volume") if decision else None
    if decision is None:
        return "no decision of this deployment tells why"
    if asked is None:
        return "the signal named no volume: the Expert Advisor chose it"
    if abs(asked - lots) > 1e-9:
        return f"{asked:g} lots were asked for, the terminal traded {lots:g}"
    equity = (decision.inputs.get("circumstances") or {}).get("equity")
    of_it = f" of an equity of {equity:,.2f}" if equity else ""
    return f"{asked:g} lots were decided{of_it}"


def why_ended(records: Records, expected: Row, trade: Row, kinds: tuple[str, str]) -> str:
    """Why a trade ended otherwise; `kinds` are how it did in the backtest and in the terminal, empty while open."""
    ours, theirs = kinds
    if theirs == "by hand":
        return "closed by hand in the terminal"
    if theirs == "stop-out":
        return "the broker closed it for lack of margin"
    if theirs in LEVELS:
        if ours == theirs:
            return f"the terminal's prices reached the {theirs} in another bar"
        return f"the terminal's prices reached the {theirs}, the bars did not"
    if ours in LEVELS:
        return f"the bars reached the {ours}, the terminal's prices did not"
    if pd.isna(trade["exit_time"]):
        if ours in {"stop-out", "out of money"}:
            return "the backtest's account could not hold it any longer"
        decided = expected.get("exit_decided")
        return why_not_closed(
            records, expected["exit_time"] - records.timeframe.delta if _is_none(decided) else decided
        )
    signal = records.exit_signal(trade)
    decision = records.by_signal.get(signal or 0)
    if decision is not None:
        return f"decided on the bar {_moment(decision.bar_time)}: {decision.reason}"
    if not theirs:
        return "how it was closed is not told"
    return f"closed by {f'signal {signal}, which is' if signal else 'a program:'} no decision of this deployment"


def bar_of(decision: Decision) -> pd.Timestamp:
    """The open of the bar that a decision is about."""
    return pd.Timestamp(decision.bar_time)


def _decided(records: Records, bar: pd.Timestamp) -> tuple[Decision | None, str]:
    """The decision on a bar that could be made, or why there is none."""
    decision = records.decisions.get(bar)
    if decision is not None and decision.wanted is not None:
        return decision, ""
    if decision is not None:
        return None, f"not decided: {decision.reason}"
    if bar in records.silent:
        return None, "not decided: no ticks in the bar"
    if not records.decisions:
        return None, "not decided: there is no decision of this deployment"
    if bar < min(records.decisions):
        return None, f"not decided: its first decision is on the bar {_moment(min(records.decisions))}"
    return None, f"not decided: the deployment was not at work at the close of the bar {_moment(bar)}"


def _fate(records: Records, signal: int) -> str:
    """What became of a signal that made no trade."""
    row = records.signals.get(signal)
    if row is None:
        return f"signal {signal} is not in the bridge's records any more"
    status, history = row["status"], row.get("history") or []
    said = history[-1]["words"] if history else ""
    if status == "expired":
        takers = [line["client"] for line in history if line["status"] == "leased"]
        taken = f"{takers[-1]} had it and did not execute it" if takers else "no terminal fetched it"
        return f"signal {signal} expired: {taken}"
    if status == "rejected":
        words = row["broker_comment"] or said
        code = row["retcode"]
        return f"rejected by the broker: {code} {words}" if code else f"rejected by the terminal: {words}"
    if status == "cancelled":
        return f"signal {signal} was cancelled" + (f": {said}" if said not in {"", "cancelled"} else "")
    if status == "executed":
        price = f" at {row['executed_price']:.10g}" if row["executed_price"] else ""
        return f"signal {signal} was executed{price}, and no deal of it was reported"
    return f"signal {signal} is {status}"


def _step(name: str, seconds: float, last: str, decision: Decision, *, is_entry: bool) -> str:
    words = f"{name} {seconds:.1f} s after {last}"
    if name == "decided" and seconds > _LATE_SECONDS:
        return f"{words}, late after a restart or a pause of the feed"
    if name == "posted" and decision.action == REVERSE and is_entry:
        return f"{words}, once the position before it was closed"
    return words


def _seconds_late(records: Records, bar: pd.Timestamp, decision: Decision) -> str:
    """How long after the end of its bar it was decided, where that was a minute and more."""
    seconds = (parse_utc(decision.decided_at) - records.end_of(bar)).total_seconds()
    return f"{seconds:.0f} s after the bar was over, after a restart" if seconds > _LATE_SECONDS else ""


def _pips(value: float) -> str:
    return f"{value:.1f} pips".replace("-", "−")


def _moment(time: Any) -> str:
    return f"{pd.Timestamp(time):%Y-%m-%d %H:%M} UTC"


def _is_none(value: Any) -> bool:
    return value is None or bool(pd.isna(value))


def _whole(value: Any) -> int | None:
    return None if _is_none(value) else int(value)
