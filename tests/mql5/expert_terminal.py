"""The compiled Expert Advisor in a folder of its own, as the terminal it thinks it runs in."""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mql5_translate import EXPERTS, build

SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY")


def some_ticks(count: int, seed: int = 7) -> list[tuple[int, str, float, float]]:
    """Ticks of several symbols now, some of one symbol in one millisecond, by the broker's clock (UTC+2)."""
    chance = random.Random(seed)  # noqa: S311  # chance, not secrecy
    moment = (int(time.time()) + 7200) * 1000 - count * 5
    rows = []
    for _ in range(count):
        moment += chance.choice((0, 1, 5, 9))
        symbol = chance.choice(SYMBOLS)
        bid = round(1.1 + chance.randrange(2000) * 1e-5, 5)
        rows.append((moment, symbol, bid, round(bid + 0.0001, 5)))
    return rows


class Terminal:
    """A folder in which the expert runs, is killed and runs again."""

    def __init__(self, program: Path, folder: Path, url: str, key: str) -> None:
        self.program, self.folder = program, folder
        folder.mkdir(parents=True)
        self.ticks = some_ticks(30)
        self.scenario: dict[str, Any] = {
            **{f"symbol.{symbol}": "" for symbol in SYMBOLS},
            "allowed_url": url,
            "input.InpUrl": url,
            "input.InpKey": key,
            "input.InpTrade": "true",
            "input.InpSymbols": ",".join(SYMBOLS),
            "preloaded": len(self.ticks),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **scenario: Any) -> Terminal:
        self.scenario.update(scenario)
        text = "".join(f"{name}={value}\n" for name, value in self.scenario.items())
        (self.folder / "scenario.txt").write_text(text)
        rows = "".join(f"{ms},{symbol},{bid:.5f},{ask:.5f}\n" for ms, symbol, bid, ask in self.ticks)
        (self.folder / "ticks.csv").write_text(rows)
        (self.folder / "stop").unlink(missing_ok=True)
        with (self.folder / "said.log").open("a") as said:
            self.process = subprocess.Popen([self.program], cwd=self.folder, stdout=said)
        return self

    def ended(self) -> int:
        """Wait until it has ended by itself."""
        assert self.process
        return self.process.wait(timeout=20)

    def stop(self) -> str:
        """End it as a terminal does; what it said since it was made."""
        (self.folder / "stop").touch()
        assert self.ended() == 0
        return (self.folder / "said.log").read_text()

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.ended()

    def deals(self) -> list[list[str]]:
        file = self.folder / "broker.txt"
        return [line.split("|") for line in file.read_text().splitlines()] if file.exists() else []


def build_expert(folder: Path) -> Path:
    """Compile SequenceBridge once for a session; the same program serves `Terminal` and `SteppedTerminal`."""
    program = folder / "bridge"
    build(EXPERTS / "SequenceBridge.mq5", program)
    return program


def shared_expert(factory: pytest.TempPathFactory) -> Path:
    """The compiled expert, made by the first of a session's processes that asks; the others wait for it."""
    base = factory.getbasetemp()
    shared = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "expert"
    try:
        shared.mkdir()
    except FileExistsError:
        until = time.monotonic() + 60
        while not (shared / "bridge").exists():
            if time.monotonic() > until:  # its maker failed, or was killed
                return build_expert(factory.mktemp("expert"))
            time.sleep(0.05)
        return shared / "bridge"
    return build_expert(factory.mktemp("made")).rename(shared / "bridge")


class Standing(NamedTuple):
    """How a stepped terminal stands: open positions, signals not over, ticks and deals that wait for the bridge."""

    positions: int
    open: int
    waiting: int
    deals: int


class SteppedTerminal(Terminal):
    """The terminal in lockstep: it does what it is told and then stands still, and has no other time than it is told.

    Times are epoch milliseconds, UTC. `said` is what the expert printed. Each step raises AssertionError when the
    program has ended, or refused the step.
    """

    def __init__(self, program: Path, folder: Path, url: str, key: str) -> None:
        super().__init__(program, folder, url, key)
        self.ticks = []
        self.scenario.update({"stepped": 1, "preloaded": 0, "broker.commission": 0})
        self.said: list[str] = []
        self.standing = Standing(0, 0, 0, 0)

    def start(self, utc_ms: int | None = None, **scenario: Any) -> SteppedTerminal:
        """Begin, or begin again after a kill, at that moment; positions, ticks and files are those it left."""
        if utc_ms is not None:
            self.scenario["clock.simulated_ms"] = utc_ms
        self.scenario.update(scenario)
        text = "".join(f"{name}={value}\n" for name, value in self.scenario.items())
        (self.folder / "scenario.txt").write_text(text)
        self.process = subprocess.Popen(
            [self.program], cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._answer("the start")
        return self

    def tick(self, utc_ms: int, symbol: str, bid: float, ask: float, *, gap: bool = False) -> Standing:
        """A quote comes in; behind a `gap` stops and targets are filled at it."""
        return self._step(f"{'gap' if gap else 'tick'} {utc_ms} {symbol} {bid!r} {ask!r}")

    def clock(self, utc_ms: int) -> Standing:
        """The clock jumps there, forward or back."""
        return self._step(f"clock {utc_ms}")

    def offset(self, seconds: int) -> Standing:
        """The broker's clock is so far ahead of UTC from now on."""
        return self._step(f"offset {seconds}")

    def close(self, ticket: int) -> Standing:
        """Somebody closes a position by hand."""
        return self._step(f"close {ticket}")

    def timer(self, times: int = 1) -> Standing:
        """The timer fires so often."""
        return self._step(f"timer {times}")

    def quit(self) -> list[str]:
        """End it in order; what the expert said since it was made."""
        assert self.process
        assert self.process.stdin
        self.process.stdin.write(b"quit\n")
        assert self.ended() == 0
        self._close()
        return self.said

    def kill(self) -> None:
        super().kill()
        self._close()

    def _step(self, line: str) -> Standing:
        assert self.process
        assert self.process.stdin
        try:
            self.process.stdin.write(line.encode() + b"\n")
        except BrokenPipeError:
            raise AssertionError(f"the terminal ended before {line!r}; it said {self.said[-3:]}") from None
        return self._answer(line)

    def _answer(self, line: str) -> Standing:
        assert self.process
        assert self.process.stdout
        while answer := self.process.stdout.readline().decode():
            if answer.startswith("ok "):
                self.standing = Standing(*map(int, re.findall(r"=(-?\d+)", answer)))
                return self.standing
            assert not answer.startswith("error "), answer
            self.said.append(answer.rstrip("\n"))
        raise AssertionError(f"the terminal ended at {line!r}; it said {self.said[-3:]}")

    def _close(self) -> None:
        assert self.process
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()
