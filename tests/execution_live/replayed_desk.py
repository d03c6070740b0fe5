"""The whole loop in lockstep: the compiled Expert Advisor, a bridge it speaks HTTP with, and a deployment.

Sample bars become ticks, and the clock of all three is the one of the replay: no step waits for any other time, so a
month of hours passes in a minute, and a fill comes at the quote that a backtest fills at.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from backtesting.test import EURUSD as SAMPLE
from expert_terminal import SteppedTerminal
from waitress.server import create_server

from core.clock import REPLAY_VARIABLE
from data.bar_store import BarStore
from data.live_bars import GRACE_MS, LiveBars
from execution.live.decisions import PROPOSED, list_decisions
from execution.live.deployments import Deployment, enter_deployment
from execution.live.runner import Runner
from execution.live.terms import Limits, Sizing
from execution.registry import strategy_named
from market.bars import check_bars
from mql5.api_server import create_app
from mql5.bridge.keys import key_file

CLIENT, SYMBOL = "mt5-5012345", "EURUSD"
SPREAD_TERMS = {"spread": 0.00012, "late_ms": 4_000}
_POLL_MS = 600  # a little more than the expert waits between two questions for signals


def sample_bars() -> pd.DataFrame:
    """5,000 hours of EUR/USD."""
    return check_bars(SAMPLE)


class ReplayedDesk:
    """Everything that trades, one step at a time; `spread` is in price units, `late_ms` what passes before a signal."""

    def __init__(
        self, program: Path, folder: Path, first: int, *, spread: float = 0.0, late_ms: int = 0, **scenario: Any
    ) -> None:
        self.bars = sample_bars()
        self.at_bar = first
        self.spread, self.late_ms = spread, late_ms
        self._now = 0
        self._set(_ms(self.bars.index[first]))
        self.app = create_app()
        self.server = create_server(self.app, host="127.0.0.1", port=0, threads=4)
        threading.Thread(target=self.server.run, daemon=True).start()
        self.live = LiveBars(self.app.extensions["bridge"].ticks)
        url = f"http://127.0.0.1:{self.server.effective_port}"
        key = key_file().read_text(encoding="ascii").strip()
        self.terminal = SteppedTerminal(program, folder / "terminal", url, key)
        self.terminal.start(
            utc_ms=self._now,
            **{"input.InpMaxLots": 1.0, "input.InpSymbols": SYMBOL, "input.InpTimeoutMs": 1000, **scenario},
        )
        BarStore().add(SYMBOL, "H1", "Sample", self.bars.iloc[:first])

    def hear(self) -> None:
        """The first quote, and the terminal's first word."""
        self._quote(self.bars["open"].iloc[self.at_bar], gap=True)
        self._wait(_POLL_MS, turns=2)

    def deploy(self, **parameters: Any) -> Deployment:
        """A moving-average cross with a stop of 15 pips, after the terminal was heard."""
        self.hear()
        strategy = strategy_named("MA_Crossover")
        return enter_deployment(
            origin="run", origin_id="sample", name="replayed", strategy_name=strategy.name,
            strategy_version=strategy.version, parameters=strategy.values(parameters), model_id=None, symbol=SYMBOL,
            timeframe="H1", client=CLIENT, dataset_hash=None, sizing=Sizing(lots=0.1, stop_pips=15),
            limits=Limits(max_entries_a_day=100), real_confirmation=None,
        )  # fmt: skip

    @property
    def opens(self) -> pd.Timestamp:
        """When the bar that is open now began."""
        return pd.Timestamp(self.bars.index[self.at_bar])

    def jump(self, hours: int) -> None:
        """The computer's clock jumps, and with it that of the terminal."""
        self._set(self._now + hours * 3_600_000)
        self.terminal.clock(self._now)

    def run(self, runner: Runner, bars: int) -> None:
        """Let so many bars pass, each decided when it has closed."""
        for _ in range(bars):
            self.pass_bar()
            self.decide(runner)

    def pass_bar(self) -> None:
        """The rest of the open bar, and the first quote of the next."""
        bar, opened = self.bars.iloc[self.at_bar], _ms(self.bars.index[self.at_bar])
        path = (bar["low"], bar["high"]) if bar["close"] >= bar["open"] else (bar["high"], bar["low"])
        for minute, price in ((20, path[0]), (40, path[1]), (59, bar["close"])):
            self._set(opened + minute * 60_000 + 30_000)
            self._quote(price)
        self.terminal.timer()
        self.at_bar += 1
        self._set(_ms(self.bars.index[self.at_bar]))
        self._quote(self.bars["open"].iloc[self.at_bar], gap=True)
        self._wait(GRACE_MS + 1, turns=1)

    def decide(self, runner: Runner) -> None:
        """What happens in the seconds after a bar: decision, exit, entry, and the terminal's word of each."""
        self.live.step()
        bridge = self.app.extensions["bridge"]
        for _ in range(6):
            runner.step()
            if not (any(bridge.signals.counts().values()) or self.terminal.standing.open or self._waits()):
                break
            self._wait(self.late_ms + _POLL_MS, turns=2)
        bridge.signals.expire()

    def restart_terminal(self) -> None:
        """Kill the expert and start it again; the broker keeps what is his."""
        self.terminal.kill()
        self.terminal.start(utc_ms=self._now)
        self._wait(_POLL_MS, turns=1)

    def beat(self) -> None:
        """Time enough for a heartbeat."""
        self._wait(11_000, turns=1)

    def _waits(self) -> bool:
        newest = list_decisions(limit=1)
        return bool(newest and newest[0].state == PROPOSED)

    def _quote(self, bid: float, *, gap: bool = False) -> None:
        self.terminal.tick(self._now, SYMBOL, float(bid), float(bid) + self.spread, gap=gap)

    def _wait(self, milliseconds: int, turns: int) -> None:
        for _ in range(turns):
            self._set(self._now + milliseconds)
            self.terminal.clock(self._now)
            self.terminal.timer()

    def _set(self, now: int) -> None:
        self._now = now
        os.environ[REPLAY_VARIABLE] = f"{now}@0x0"

    def close(self) -> None:
        """End the terminal and the bridge."""
        if self.terminal.process and self.terminal.process.poll() is None:
            self.terminal.quit()
        self.server.close()
        self.app.extensions["bridge"].close()


@contextmanager
def replayed(program: Path, folder: Path, first: int, **terms: Any) -> Iterator[ReplayedDesk]:
    """A replay that ends what it started; the clock of the process is the replay's meanwhile."""
    before = os.environ.get(REPLAY_VARIABLE)
    desk = ReplayedDesk(program, folder, first, **terms)
    try:
        yield desk
    finally:
        desk.close()
        if before is None:
            os.environ.pop(REPLAY_VARIABLE, None)


def _ms(moment: pd.Timestamp) -> int:
    return int(moment.timestamp() * 1000)
