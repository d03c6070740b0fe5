"""What the page Live knows at one moment: each deployment with its terminal, its quotes and its newest decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from components.numbers import DASH, number
from components.panels.bridge import mode_of
from core.clock import utc_now, utc_text
from execution.live.bars import next_close
from execution.live.decisions import ENTER, EXIT, NONE, REVERSE, Decision, list_decisions
from execution.live.deployments import PAUSED, STOPPED, Deployment
from execution.trading_desk import desk
from market.calendar import trading_day, trading_day_start
from market.symbols import symbol_of
from mql5.bridge.feed import Feed, Stream
from mql5.bridge.terminals import TerminalStore

DEMO, REAL, UNKNOWN = "DEMO", "REAL MONEY", "account unknown"
MODES = (REAL, DEMO, UNKNOWN)
SIDES = {1: "long", -1: "short", 0: "flat"}
Row = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One deployment with what is known of it: its terminal, its quotes, its decisions of this trading day."""

    deployment: Deployment
    terminal: Row | None
    stream: Stream | None
    newest: Decision | None
    today: Sequence[Decision]

    @property
    def mode(self) -> str:
        """Whose money it trades, as the terminal says it."""
        return UNKNOWN if self.terminal is None else account_mode(self.terminal)

    @property
    def state(self) -> str:
        """`trading`, `paused`, `stopped`, `killed` while entries are stopped, `no worker` where nothing works.

        `failed` where its job has ended and it was not stopped.
        """
        if self.deployment.state in {PAUSED, STOPPED}:
            return self.deployment.state
        if not self.deployment.is_alive:
            return "failed" if desk.has_failed(self.deployment) else "no worker"
        return "killed" if desk.is_killed() else "trading"

    @property
    def positions(self) -> list[Row] | None:
        """The open positions of its symbol as the terminal reported them last; None where it does not tell."""
        told = self.terminal.get("open_positions") if self.terminal else None
        return None if told is None else [each for each in told if each["symbol"] == self.deployment.symbol]

    @property
    def position_words(self) -> str:
        """`long 0.20`, `flat`, or a dash where the terminal does not tell."""
        if self.positions is None:
            return DASH
        return ", ".join(f"{each['side']} {number(each['volume'], 2)}" for each in self.positions) or "flat"

    def pips_of(self, position: Mapping[str, Any]) -> float | None:
        """What a position has won or lost up to the newest quote."""
        if self.stream is None:
            return None
        long = position["side"] == "long"
        now = self.stream.bid if long else self.stream.ask
        return self.stream.pips((now - position["price"]) * (1 if long else -1))


def account_mode(terminal: Mapping[str, Any]) -> str:
    """One of `MODES`."""
    return {"DEMO": DEMO, "LIVE": REAL}.get(mode_of(terminal), UNKNOWN)


def read_scene() -> list[Line]:
    """All deployments, the open ones first, the newest of each before the older ones."""
    deployments = sorted(desk.deployments(), key=lambda each: not each.is_open)
    if not deployments:
        return []
    terminals = {row["client"]: row for row in TerminalStore().all()}
    streams = {(each.source, each.symbol): each for each in Feed().streams()}
    lines = []
    for each in deployments:
        newest = list_decisions(each.id, limit=1)
        today = list_decisions(each.id, since=utc_text(day_start(each.symbol)))
        stream = streams.get((each.client, each.symbol))
        lines.append(Line(each, terminals.get(each.client), stream, newest[0] if newest else None, today))
    return lines


def day_start(symbol: str) -> datetime:
    """When the present trading day of a symbol began (FX: 17:00 New York); on a weekend the last one's beginning."""
    asset_class = symbol_of(symbol).asset_class
    now = pd.DatetimeIndex([pd.Timestamp(utc_now())])
    days = trading_day(now, asset_class)
    began = trading_day_start(days, asset_class)
    if began[0] > now[0]:
        began = trading_day_start(days - pd.offsets.BDay(1), asset_class)
    start: datetime = began[0].to_pydatetime()
    return start


def until_close(deployment: Deployment) -> str:
    """How long it is until then: `27:53`, `1:27:53`, `3 d 4 h`."""
    closes = next_close(deployment)
    if closes is None:
        return "closed"
    seconds = max(0, int((closes - utc_now()).total_seconds()))
    if seconds >= 86_400:
        return f"{seconds // 86_400} d {seconds % 86_400 // 3600} h"
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def wish_words(decision: Decision) -> str:
    """What a decision asked for: `open long`, `close long`, `turn short`, `hold long`, `stay flat`."""
    side = SIDES.get(decision.wanted if decision.wanted is not None else 0, DASH)
    if decision.action == ENTER:
        return f"open {side}"
    if decision.action == EXIT:
        return f"close {SIDES.get(decision.held or 0, '')}".replace(" flat", "")
    if decision.action == REVERSE:
        return f"turn {side}"
    if decision.wanted is None or decision.action != NONE:
        return DASH
    if not decision.held:
        return "stay flat" if not decision.wanted else f"wait ({side})"
    return f"hold {SIDES[decision.held]}"


def broker_clock(terminal: Mapping[str, Any] | None, moment: datetime) -> str:
    """A moment on the clock of the broker's server, `16:32:07`; a dash where the terminal never told it."""
    offset = terminal.get("tz_offset_seconds") if terminal else None
    return DASH if offset is None else f"{moment + timedelta(seconds=offset):%H:%M:%S}"
