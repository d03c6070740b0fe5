"""What is known when an entry is to be sent: read from the terminal's word, its ticks and our own rows.

Each fact is read for itself. What cannot be read (a locked database, an unreadable file) stays None, and the guard
that needs it refuses; nothing here stops a deployment.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from core.clock import parse_utc, utc_now, utc_text
from core.log import get_logger
from execution.live import tables
from execution.live.decisions import APPROVED, ENTRIES
from execution.live.deployments import Deployment, store
from execution.live.guards import Circumstances
from execution.live.real import account_of, real_switches
from execution.live.switch import is_unarmed
from market.calendar import trading_day, trading_day_start
from market.symbols import AssetClass, canonical_symbol, symbol_of
from mql5.bridge.messages import epoch_ms
from mql5.bridge.terminals import TerminalStore
from mql5.bridge.ticks import TickStore

Fact = TypeVar("Fact")
Row = dict[str, Any]


def known_now(
    deployment: Deployment, in_flight: int = 0, records_agree: bool | None = None, now: datetime | None = None
) -> Circumstances:
    """What the guards of a deployment are fed; `in_flight` are entries on their way, `now` an aware time."""
    now = now or utc_now()
    client, symbol = deployment.client, deployment.symbol
    heard: Row = _read("terminal", lambda: TerminalStore().one(client)) or {}
    quote: Row = _read("quote", lambda: _newest_tick(deployment, now)) or {}
    return Circumstances(
        now=now,
        killed=_read("kill switch", is_unarmed),
        account=_read("account", lambda: account_of(heard.get("trade_mode"))),
        real_switches=_read("real switches", lambda: real_switches(deployment.real_confirmation, heard.get("login")))
        or (),
        trade_allowed=_read("trade allowed", lambda: _may_trade(heard)),
        heartbeat_age_seconds=_read("heartbeat", lambda: _heard_ago(heard, now), heard),
        feed_age_seconds=_read("feed", lambda: _age_of(quote, now), quote),
        spread_pips=_read("spread", lambda: (quote["ask"] - quote["bid"]) / symbol_of(symbol).pip, quote),
        entries_today=_read("entries today", lambda: _entries_today(client, symbol, now)),
        open_positions=_read("positions", lambda: _positions(heard, in_flight)),
        equity=heard.get("equity"),
        day_equity=_read("day's equity", lambda: _day_equity(deployment, heard, now), heard),
        value_per_lot=_read("value of a lot", lambda: value_per_lot(heard, symbol), heard),
        records_agree=records_agree,
    )


def mark_equity(client: str, equity: float, now: datetime) -> float | None:
    """The equity with which the trading day of `now` began for an account: the one first told here, which is kept.

    Tell it what a heartbeat of that very day said, and tell it often: a day whose first word comes late begins late.
    None for an equity that is none. Days end at 17:00 New York whatever is traded.
    """
    if not equity > 0 or equity == float("inf"):
        return None
    day = _day_of(now)
    held = _mark_of(client, day)
    if held is None:
        values = {"client": client, "trading_day": day, "equity": float(equity), "marked_at": utc_text(now)}
        with store.write() as connection:
            connection.execute(insert(tables.equity_marks).values(**values).on_conflict_do_nothing())
        held = _mark_of(client, day)
    return held


def value_per_lot(heard: Row, symbol: str) -> float | None:
    """What one price unit of a symbol is worth for one lot, in the account's currency; None where nobody told.

    That is the broker's tick value over its tick size. Where the terminal did not tell them it is known only of
    symbols that are quoted in the account's currency: the units of a lot.
    """
    specs = [each for each in heard.get("symbol_specs") or [] if canonical_symbol(each["symbol"]) == symbol]
    for spec in specs:
        if (spec.get("tick_value") or 0) > 0 and (spec.get("tick_size") or 0) > 0:
            return float(spec["tick_value"] / spec["tick_size"])
    known = symbol_of(symbol)
    if known.asset_class in {AssetClass.FX, AssetClass.CRYPTO} and known.quote == heard.get("currency"):
        return known.contract_size
    return None


def _read(what: str, read: Callable[[], Fact | None], needed: Any = True) -> Fact | None:
    """A fact, or None where it cannot be read or what it stands on is not known."""
    if not needed:
        return None
    try:
        return read()
    except Exception as error:  # whatever the reason, a fact that is not there makes its guard refuse
        _say_once(what, type(error).__name__, str(error))
        return None


@lru_cache(maxsize=256)
def _say_once(what: str, kind: str, words: str) -> None:
    get_logger(__name__).warning("a guard is not fed", fact=what, error=f"{kind}: {words}")


def _newest_tick(deployment: Deployment, now: datetime) -> Row | None:
    # A tick further ahead than a feed may be old has a clock of its own, and tells nothing of now.
    until = now + timedelta(seconds=deployment.limits.max_feed_age_seconds)
    return TickStore().last_before(deployment.client, deployment.symbol, epoch_ms(until) + 1)


def _age_of(quote: Row, now: datetime) -> float:
    """Seconds since a tick was quoted or since it came, whichever is longer ago."""
    return (epoch_ms(now) - min(int(quote["time_ms"]), int(quote["received_ms"]))) / 1000


def _heard_ago(heard: Row, now: datetime) -> float:
    return (now - parse_utc(heard["beat_at"])).total_seconds()


def _may_trade(heard: Row) -> bool | None:
    """Whether the terminal says that it may trade; one that lost its broker may not."""
    return False if heard.get("connected") is False else heard.get("trade_allowed")


def _positions(heard: Row, in_flight: int) -> int | None:
    reported = heard.get("open_positions")
    return None if reported is None else len(reported) + in_flight


def _entries_today(client: str, symbol: str, now: datetime) -> int:
    """Entries approved in this trading day, of whichever deployment traded the symbol on that terminal."""
    decided, put_to_work = tables.decisions.c, tables.deployments.c
    query = (
        sa.select(sa.func.count().label("entries"))
        .select_from(tables.decisions.join(tables.deployments))
        .where(put_to_work.client == client, put_to_work.symbol == symbol)
        .where(decided.state == APPROVED, decided.action.in_(ENTRIES), decided.decided_at >= utc_text(_begin(now)))
    )
    return int(store.rows(query)[0]["entries"])


def _day_equity(deployment: Deployment, heard: Row, now: datetime) -> float | None:
    """The day's first equity; what was said long ago, or before the day began, marks no day."""
    beat = parse_utc(heard["beat_at"])
    is_fresh = abs(_heard_ago(heard, now)) <= deployment.limits.max_heartbeat_age_seconds and _day_of(beat) == _day_of(
        now
    )
    if is_fresh and heard["equity"] is not None:
        return mark_equity(deployment.client, heard["equity"], now)
    return _mark_of(deployment.client, _day_of(now))


def _mark_of(client: str, day: str) -> float | None:
    marks = tables.equity_marks
    found = store.rows(sa.select(marks.c.equity).where(marks.c.client == client, marks.c.trading_day == day))
    return found[0]["equity"] if found else None


def _day_of(moment: datetime) -> str:
    return f"{_trading_days(moment)[0]:%Y-%m-%d}"


def _begin(moment: datetime) -> datetime:
    """When the trading day of a moment began (UTC)."""
    return trading_day_start(_trading_days(moment), AssetClass.FX)[0].to_pydatetime()


def _trading_days(moment: datetime) -> pd.DatetimeIndex:
    return trading_day(pd.DatetimeIndex([moment]).tz_convert("UTC"), AssetClass.FX)
