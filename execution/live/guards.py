"""Guards: pure functions that say whether an entry may be sent. What a guard was not fed, it refuses.

Each looks at the entry, the limits and what was known, and at nothing else: the same three give the same words
years later. NaN and infinities count as not fed. Exits are never asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, time
from numbers import Real
from typing import Any

from execution.live.terms import Limits

# The three switches without which no real account is traded.
REAL_SWITCHES = ("setting", "key", "confirmation")


@dataclass(frozen=True)
class Entry:
    """The position that is to be opened: `side` is 1 or −1, distances are in price units from `price`."""

    symbol: str
    side: int
    price: float
    volume: float | None
    stop_distance: float | None
    target_distance: float | None
    confidence: float | None


@dataclass(frozen=True)
class Circumstances:
    """What was known when an entry was to be sent; None is what nobody could tell.

    Money is in the account's currency. `value_per_lot` is what one price unit is worth for one lot;
    `day_equity` the equity first seen in this trading day. `open_positions` counts those of our magic number and the
    entries that are on their way; `records_agree` says whether the terminal reports what our signals should have left.
    `real_switches` are those of the three that are set, for a real account.
    """

    now: datetime | None = None
    killed: bool | None = None
    account: str | None = None
    real_switches: tuple[str, ...] = ()
    trade_allowed: bool | None = None
    heartbeat_age_seconds: float | None = None
    feed_age_seconds: float | None = None
    spread_pips: float | None = None
    entries_today: int | None = None
    open_positions: int | None = None
    equity: float | None = None
    day_equity: float | None = None
    value_per_lot: float | None = None
    records_agree: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain for JSON."""
        said = asdict(self)
        return {**said, "now": self.now.isoformat() if self.now else None, "real_switches": list(self.real_switches)}

    @classmethod
    def from_dict(cls, said: dict[str, Any]) -> Circumstances:
        """What `as_dict` gave; names that are not known any more are left out."""
        known = {field.name: said[field.name] for field in fields(cls) if field.name in said}
        known["now"] = datetime.fromisoformat(known["now"]) if known.get("now") else None
        known["real_switches"] = tuple(known.get("real_switches") or ())
        return cls(**known)


@dataclass(frozen=True)
class Verdict:
    """What one guard says. `value` and `limit` are in `unit`, None where the guard counts nothing or was not fed.

    `headroom` is the share of the limit that is left, between −1 and 1: 1 nothing used, 0 all of it, below 0 it is
    exceeded; None where nothing is measured, or where the refusal is for another reason.
    """

    guard: str
    passed: bool
    words: str
    value: float | None = None
    limit: float | None = None
    unit: str = ""
    headroom: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain for JSON; `Verdict(**…)` gives it back."""
        return asdict(self)


def judge(entry: Entry | None, limits: Limits, known: Circumstances) -> list[Verdict]:
    """What every guard of `GUARDS` says, in that order.

    Without an `entry` the guards that need one are judged as far as they can be, for a page that shows headroom.
    """
    return [ask(entry, limits, known) for ask in _ASKED.values()]


def _kill_switch(_entry: Entry | None, _limits: Limits, known: Circumstances) -> Verdict:
    if known.killed is False:
        return Verdict("kill switch", True, "the kill switch is off")
    on = known.killed is True
    return Verdict("kill switch", False, "the kill switch is on" if on else "nobody told whether the kill switch is on")


def _account(_entry: Entry | None, limits: Limits, known: Circumstances) -> Verdict:
    """A demo deployment trades demo and contest accounts, a real one real accounts with all three switches set."""
    account = str(known.account or "").strip().lower()
    if not account:
        return Verdict("account", False, "nobody told which account it is")
    if account in {"demo", "contest"}:
        agrees = limits.account == "demo"
        return Verdict("account", agrees, f"{account} account" if agrees else f"{account} account, real is asked for")
    if account != "real":
        return Verdict("account", False, f"account {account!r} is neither demo nor real")
    if limits.account != "real":
        return Verdict("account", False, "real account, only demo is allowed")
    missing = [name for name in REAL_SWITCHES if name not in (known.real_switches or ())]
    if missing:
        return Verdict("account", False, f"real account, and these switches are not set: {', '.join(missing)}")
    return Verdict("account", True, "real account, all three switches are set")


def _terminal(_entry: Entry | None, limits: Limits, known: Circumstances) -> Verdict:
    verdict = _young(
        "terminal", known.heartbeat_age_seconds, limits.max_heartbeat_age_seconds, "the terminal was heard"
    )
    if not verdict.passed or known.trade_allowed is True:
        return verdict
    told = known.trade_allowed is False
    words = "the terminal may not trade" if told else "nobody told whether the terminal may trade"
    return Verdict("terminal", False, words, verdict.value, verdict.limit, "s")


def _feed(_entry: Entry | None, limits: Limits, known: Circumstances) -> Verdict:
    return _young("feed", known.feed_age_seconds, limits.max_feed_age_seconds, "the newest tick came")


def _young(guard: str, age: Any, limit: float, what: str) -> Verdict:
    """What was told long ago is old, and what was told in the future was told by another clock: both are refused."""
    seconds = _figure(age)
    if seconds is None:
        return Verdict(guard, False, f"nobody told when {what}", None, limit, "s")
    where = "ago" if seconds >= 0 else "ahead of our clock"
    words = f"{what} {_told(abs(seconds), limit, 1)} s {where}, at most {limit:g}"
    return Verdict(guard, abs(seconds) <= limit, words, seconds, limit, "s", _left(abs(seconds), limit))


def _records(_entry: Entry | None, _limits: Limits, known: Circumstances) -> Verdict:
    if known.records_agree is True:
        return Verdict("records", True, "the terminal reports what our signals left")
    told = known.records_agree is False
    differ = "the terminal reports other positions than our signals left"
    return Verdict("records", False, differ if told else "nobody told whether positions and signals agree")


def _hours(_entry: Entry | None, limits: Limits, known: Circumstances) -> Verdict:
    begin, end = time.fromisoformat(limits.hours_from), time.fromisoformat(limits.hours_until)
    clock = _clock(known.now)
    if clock is None:
        return Verdict("hours", False, "nobody told the time")
    if begin == end:
        return Verdict("hours", True, f"{clock:%H:%M} UTC, all hours")
    passed = begin <= clock < end if begin < end else clock >= begin or clock < end
    window = f"{begin:%H:%M} to {end:%H:%M}"
    return Verdict("hours", passed, f"{clock:%H:%M} UTC, {'within' if passed else 'outside'} {window}")


def _clock(now: Any) -> time | None:
    if not isinstance(now, datetime) or now.tzinfo is None:
        return None
    try:
        return now.astimezone(UTC).time()
    except (OverflowError, ValueError):  # at the ends of the calendar
        return None


def _spread(_entry: Entry | None, limits: Limits, known: Circumstances) -> Verdict:
    limit = limits.max_spread_pips
    if limit is None:
        return Verdict("spread", True, "not asked")
    pips = _figure(known.spread_pips)
    if pips is None:
        return Verdict("spread", False, "nobody told the spread", None, limit, "pips")
    if pips < 0:
        return Verdict("spread", False, f"the ask is {_told(-pips, 0.0, 1)} pips below the bid", pips, limit, "pips")
    pips = _snapped(pips, limit)
    words = f"spread {_told(pips, limit, 1)} pips, at most {limit}"
    return Verdict("spread", pips <= limit, words, pips, limit, "pips", _left(pips, limit))


def _entries_a_day(_entry: Entry | None, limits: Limits, known: Circumstances) -> Verdict:
    limit, count = float(limits.max_entries_a_day), _count(known.entries_today)
    if count is None:
        return Verdict("entries a day", False, "nobody told how many entries there were today", None, limit, "entries")
    words = f"{count:g} entries today, at most {limit:g}"
    return Verdict("entries a day", count < limit, words, count, limit, "entries", _left(count, limit))


def _positions(_entry: Entry | None, limits: Limits, known: Circumstances) -> Verdict:
    limit, count = float(limits.max_positions), _count(known.open_positions)
    if count is None:
        return Verdict("positions", False, "nobody told how many positions are open", None, limit, "positions")
    words = f"{count:g} positions open or on their way, at most {limit:g} with this one"
    return Verdict("positions", count < limit, words, count, limit, "positions", _left(count, limit))


def _risk(entry: Entry | None, limits: Limits, known: Circumstances) -> Verdict:
    """The share of the equity that is lost at the stop."""
    limit = limits.max_risk_pct
    if entry is None:
        return Verdict("risk", True, _LATER, None, limit, "%")
    volume = _positive(entry.volume)
    if volume is None:
        return Verdict("risk", False, "no volume: its size could not be told", None, limit, "%")
    if limit is None:
        return Verdict("risk", True, "not asked")
    stop, value, equity = (_positive(each) for each in (entry.stop_distance, known.value_per_lot, known.equity))
    if stop is None:
        return Verdict("risk", False, "no stop: the loss has no end", None, limit, "%")
    if value is None:
        return Verdict("risk", False, "nobody told what a move is worth in the account's currency", None, limit, "%")
    if equity is None:
        return Verdict("risk", False, "nobody told the equity", None, limit, "%")
    risk = _figure(volume * stop * value / equity * 100)
    if risk is None:
        return Verdict("risk", False, "the risk is beyond all figures", None, limit, "%")
    risk = _snapped(risk, limit)
    words = f"risk {_told(risk, limit, 2)} % of the equity, at most {limit:g} %"
    return Verdict("risk", risk <= limit, words, risk, limit, "%", _left(risk, limit))


def _confidence(entry: Entry | None, limits: Limits, _known: Circumstances) -> Verdict:
    least = limits.min_confidence
    if entry is None:
        return Verdict("confidence", True, _LATER, None, least)
    if not least:
        return Verdict("confidence", True, "not asked")
    share = _figure(entry.confidence)
    if share is None or not 0 <= share <= 1:
        return Verdict("confidence", False, "nobody told the confidence", None, least)
    left = (share - least) / (1 - least) if least < 1 else min(share - least, 0.0)
    words = f"confidence {_told(share, least, 2)}, at least {least:g}"
    return Verdict("confidence", share >= least, words, share, least, "", _clamped(left))


def _reward_to_risk(entry: Entry | None, limits: Limits, _known: Circumstances) -> Verdict:
    """The way to the target over the way to the stop."""
    guard, least = "reward to risk", limits.min_reward_to_risk
    if entry is None:
        return Verdict(guard, True, _LATER, None, least, "R")
    if not least:
        return Verdict(guard, True, "not asked")
    stop, target = _positive(entry.stop_distance), _positive(entry.target_distance)
    if stop is None or target is None:
        return Verdict(guard, False, f"no {'stop' if stop is None else 'target'} to tell it from", None, least, "R")
    ratio = _figure(target / stop)
    if ratio is None:
        return Verdict(guard, False, "the stop is too near to tell it", None, least, "R")
    ratio = _snapped(ratio, least)
    words = f"reward to risk {_told(ratio, least, 2)}, at least {least:g}"
    return Verdict(guard, ratio >= least, words, ratio, least, "R", _clamped((ratio - least) / max(ratio, least)))


def _daily_loss(_entry: Entry | None, limits: Limits, known: Circumstances) -> Verdict:
    """What is lost since the equity that was first seen in this trading day, open positions included."""
    limit = limits.max_daily_loss_pct
    if limit is None:
        return Verdict("daily loss", True, "not asked")
    equity, begin = _figure(known.equity), _positive(known.day_equity)
    if equity is None:
        return Verdict("daily loss", False, "nobody told the equity", None, limit, "%")
    if begin is None:
        return Verdict("daily loss", False, "nobody told the equity at the day's beginning", None, limit, "%")
    loss = _figure((begin - equity) / begin * 100)
    if loss is None:
        return Verdict("daily loss", False, "the loss is beyond all figures", None, limit, "%")
    loss = _snapped(loss, limit)
    said = f"{'down' if loss > 0 else 'up'} {_told(abs(loss), limit, 2)} %"
    return Verdict(
        "daily loss", loss < limit, f"{said} today, less than {limit:g} % down", loss, limit, "%", _left(loss, limit)
    )


# 1.10030 − 1.10000 is 2.9999999999997 pips.
_ROUNDING = 1e-9
_LATER = "judged with each entry"
_Guard = Callable[[Entry | None, Limits, Circumstances], Verdict]
_ASKED: dict[str, _Guard] = {
    "kill switch": _kill_switch,
    "account": _account,
    "terminal": _terminal,
    "feed": _feed,
    "records": _records,
    "hours": _hours,
    "spread": _spread,
    "entries a day": _entries_a_day,
    "positions": _positions,
    "risk": _risk,
    "confidence": _confidence,
    "reward to risk": _reward_to_risk,
    "daily loss": _daily_loss,
}
# The order in which they are asked and shown.
GUARDS = tuple(_ASKED)


def _figure(value: Any) -> float | None:
    """A finite number, or None for all that is none."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _positive(value: Any) -> float | None:
    number = _figure(value)
    return number if number is not None and number > 0 else None


def _count(value: Any) -> float | None:
    number = _figure(value)
    return number if number is not None and number >= 0 else None


def _snapped(value: float, limit: float) -> float:
    """The limit itself where a figure differs from it by no more than the rounding of floating point."""
    return limit if abs(value - limit) <= _ROUNDING * abs(limit) else value


def _told(value: float, limit: float, decimals: int) -> str:
    """A figure with so many decimals, and more where it would look like the limit without being it."""
    if abs(value) >= 1e9:
        return f"{value:.3g}"
    while decimals < 9 and value != limit and round(value, decimals) == round(limit, decimals):
        decimals += 1
    return f"{value:,.{decimals}f}"


def _left(used: float, limit: float) -> float:
    """The share of a limit that is left."""
    return _clamped((limit - used) / limit)


def _clamped(share: float) -> float:
    return max(-1.0, min(1.0, share))
