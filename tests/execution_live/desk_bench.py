"""A desk without processes: a clock that stands until it is set, ticks, a terminal, and a deployment on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.clock import REPLAY_VARIABLE
from data.bar_store import BarStore
from data.live_bars import GRACE_MS, LiveBars
from execution.live.deployments import Deployment, enter_deployment
from execution.live.runner import Runner
from execution.live.terms import Limits, Sizing
from execution.registry import strategy_named
from mql5.bridge.deals import DealStore
from mql5.bridge.messages import Acknowledgement, Deal, Heartbeat, OpenPosition
from mql5.bridge.signals import SignalStore
from mql5.bridge.terminals import TerminalStore
from mql5.bridge.ticks import TickRow, TickStore

CLIENT, SYMBOL = "mt5-1", "EURUSD"
START = pd.Timestamp("2026-03-03 08:00", tz="UTC")  # a Tuesday in winter


@dataclass
class Bench:
    """A terminal and its market in this process; each step says what time it is."""

    monkeypatch: pytest.MonkeyPatch
    now: pd.Timestamp = START
    spread: float = 0.0
    equity: float = 10_000.0
    trade_mode: str = "demo"
    reports: bool = True
    positions: list[dict[str, Any]] = field(default_factory=list)
    bid: float = 1.1
    sequence: int = 0
    _deal: int = 100

    def __post_init__(self) -> None:
        self.live = LiveBars()
        self.at(self.now)

    def at(self, moment: pd.Timestamp) -> None:
        """Set the clock."""
        self.now = moment
        self.monkeypatch.setenv(REPLAY_VARIABLE, f"{_ms(moment)}@0x0")

    def tick(
        self, bid: float, moment: pd.Timestamp | None = None, *, numbers_lost: int = 0, number: int | None = None
    ) -> None:
        """A quote, by default now and with the next number."""
        at = _ms(moment or self.now)
        self.bid = bid
        self.sequence = number if number is not None else self.sequence + 1 + numbers_lost
        row = TickRow(CLIENT, SYMBOL, at, self.sequence, at, bid, bid + self.spread, None, 1.0, 6, 0, _ms(self.now))
        TickStore().enter([[row]])

    def beat(self, **said: Any) -> None:
        """A heartbeat of the terminal."""
        positions = [OpenPosition(**position) for position in self.positions]
        heard = {
            "login": "5012345",
            "server": "Demo",
            "trade_mode": self.trade_mode,
            "trade_allowed": True,
            "connected": True,
            "tz_offset_s": 0,
            "equity": self.equity,
            "balance": self.equity,
            "currency": "USD",
            "symbols": [SYMBOL],
            "open_positions": positions if self.reports else None,
        }
        TerminalStore().beat(Heartbeat(client=CLIENT, **{**heard, **said}))

    def trade(self) -> list[dict[str, Any]]:
        """What an Expert Advisor does: fetch signals, execute them at the quote, report deals and positions."""
        store, done = SignalStore(), []
        for row in store.lease(CLIENT, 20, 15):
            store.sent(row["id"], Acknowledgement(client=CLIENT))
            buys = row["signal_type"] == "BUY"
            if row["signal_type"] == "CLOSE":
                price = self.close_all("expert")
                said = Acknowledgement(client=CLIENT, retcode=10009, price=price)
            else:
                self._deal += 1
                price = self.bid + self.spread if buys else self.bid
                side = "long" if buys else "short"
                self.positions.append(
                    {
                        "ticket": self._deal, "symbol": SYMBOL, "side": side, "volume": row["volume"], "price": price,
                        "sl": row["stop_loss"], "tp": row["take_profit"], "profit": 0.0, "opened_ms": _ms(self.now),
                        "comment": f"sig:{row['id']}",
                    }
                )  # fmt: skip
                self._report(
                    "in", side, deal=self._deal, position=self._deal, price=price, volume=row["volume"],
                    comment=f"sig:{row['id']}", reason="expert",
                )  # fmt: skip
                said = Acknowledgement(
                    client=CLIENT, retcode=10009, deal=self._deal, order=self._deal, price=price, volume=row["volume"]
                )
            done.append(store.finish(row["id"], "executed", said)[0])
        self.beat()
        return done

    def close_all(self, reason: str) -> float:
        """Close what is open at the quote, as a CLOSE, a stop or a hand does."""
        price = self.bid
        for position in self.positions:
            self._deal += 1
            price = self.bid if position["side"] == "long" else self.bid + self.spread
            side = "short" if position["side"] == "long" else "long"
            self._report(
                "out", side, deal=self._deal, position=position["ticket"], price=price, volume=position["volume"],
                reason=reason,
            )  # fmt: skip
        self.positions = []
        return price

    def bars(self, closes: list[float], timeframe: str = "M5", runner: Runner | None = None) -> None:
        """Let bars pass with these closes, opening where the one before closed; `runner` steps at each end."""
        length = pd.Timedelta(timeframe.replace("M", "") + "min")
        for close in closes:
            opened = self.now.floor(length)
            for minute in range(int(length / pd.Timedelta("1min"))):
                at = opened + pd.Timedelta(minutes=minute, seconds=1)
                if at > self.now:
                    self.at(at)
                    self.tick(close)
            end = opened + length
            self.at(end + pd.Timedelta(milliseconds=GRACE_MS))
            self.tick(close, end)
            self.beat()
            self.live.step()
            if runner:
                self.work(runner)

    def work(self, runner: Runner) -> None:
        """Step until nothing is left to do at this moment."""
        for _ in range(4):
            runner.step()
            self.at(self.now + pd.Timedelta(milliseconds=20))
            self.trade()

    def _report(self, entry: str, side: str, **said: Any) -> None:
        deal = Deal(
            order=said["deal"], symbol=SYMBOL, side="buy" if side == "long" else "sell", entry=entry,
            time_ms=_ms(self.now), magic=1, **said,
        )  # fmt: skip
        DealStore().enter(CLIENT, [deal])


def _ms(moment: pd.Timestamp) -> int:
    return int(moment.timestamp() * 1000)


def history(closes: list[float], until: pd.Timestamp = START, timeframe: str = "M5") -> None:
    """Historical bars that end at `until`."""
    length = pd.Timedelta(timeframe.replace("M", "") + "min")
    times = pd.DatetimeIndex([until - length * (len(closes) - at) for at in range(len(closes))], name="time")
    close = np.array(closes)
    opens = np.r_[close[0], close[:-1]]
    bars = pd.DataFrame(
        {"open": opens, "high": np.maximum(opens, close), "low": np.minimum(opens, close), "close": close,
         "volume": 1.0},
        index=times,
    )  # fmt: skip
    BarStore().add(SYMBOL, timeframe, "Test", bars)


def deployed(**changes: Any) -> Deployment:
    """A moving-average cross of 2 and 4 bars of M5, 0.1 lots, its guards wide open but for those named."""
    strategy = strategy_named("MA_Crossover")
    names = [parameter.name for parameter in strategy.parameters]
    values = {
        "origin": "run", "origin_id": "r1", "name": "cross", "strategy_name": strategy.name,
        "strategy_version": strategy.version, "parameters": strategy.values({names[0]: 2, names[1]: 4}),
        "model_id": None, "symbol": SYMBOL, "timeframe": "M5", "client": CLIENT, "dataset_hash": None,
        "sizing": Sizing(lots=0.1), "limits": Limits(max_risk_pct=None, max_entries_a_day=1000),
        "real_confirmation": None,
    }  # fmt: skip
    return enter_deployment(**{**values, **changes})
