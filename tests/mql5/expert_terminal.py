"""The compiled Expert Advisor in a folder of its own, as the terminal it thinks it runs in."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path
from typing import Any

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
