"""What a live desk needs of the Expert Advisor: positions, stops, deals, the kill switch; in lockstep."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from bridging import Client
from waitress.server import create_server

sys.path.append(str(Path(__file__).parents[1] / "mql5"))

from bridge_stand_in import KEY, Mood, StandIn, listening
from expert_terminal import SteppedTerminal, shared_expert
from mql5_translate import COMPILER

from core.clock import REPLAY_VARIABLE
from core.kill_switch import is_killed, killed_by, remove_kill, write_kill
from data.live_bars import LiveBars
from mql5.api_server import create_app

pytestmark = pytest.mark.skipif(
    COMPILER is None and not os.environ.get("REQUIRE_GXX"),
    reason="no g++ on this machine (Debian: apt-get install g++); REQUIRE_GXX=1 makes that a failure",
)
STEP_MS = 600  # longer than the expert waits between two questions


class Desk:
    """A stepped terminal and how its time goes on; quotes are of EURUSD with a spread of a pip."""

    def __init__(self, terminal: SteppedTerminal, now_ms: int) -> None:
        self.terminal, self.now_ms = terminal, now_ms

    def turn(self, times: int = 3) -> None:
        for _ in range(times):
            self.now_ms += STEP_MS
            self.terminal.clock(self.now_ms)
            self.terminal.timer()

    def quote(self, bid: float, *, gap: bool = False) -> None:
        self.now_ms += 1
        self.terminal.tick(self.now_ms, "EURUSD", bid, round(bid + 0.0001, 5), gap=gap)

    def begin(self, **scenario: Any) -> None:
        self.terminal.start(self.now_ms, **scenario)

    def again(self) -> None:
        self.terminal.kill()
        self.begin()
        self.turn()


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_expert(tmp_path_factory)


@pytest.fixture
def bridge() -> Iterator[StandIn]:
    stand_in = StandIn()
    with listening(stand_in):
        yield stand_in


@pytest.fixture
def desk(program: Path, tmp_path: Path, bridge: StandIn) -> Iterator[Desk]:
    made = Desk(SteppedTerminal(program, tmp_path / "terminal", bridge.url, KEY), int(time.time() * 1000))
    made.begin()
    made.quote(1.1)
    made.turn()
    yield made
    if made.terminal.process and made.terminal.process.poll() is None:
        made.terminal.kill()


def closing_of(bridge: StandIn) -> dict[str, Any]:
    """The one deal that went out of the market."""
    [deal] = [deal for deal in bridge.deals.values() if deal["entry"] == "out"]
    return deal


def test_a_position_is_told_at_once_with_its_levels_and_what_it_earns(bridge: StandIn, desk: Desk) -> None:
    number = bridge.add_signal(volume=0.05, sl=1.09, tp=1.12)
    beats = len(bridge.heartbeats)
    desk.turn(2)
    assert len(bridge.heartbeats) > beats, "ten seconds have not passed"
    beat = bridge.heartbeats[-1]
    [position] = beat["open_positions"]
    assert (position["symbol"], position["side"], position["volume"]) == ("EURUSD", "long", 0.05)
    assert (position["price"], position["sl"], position["tp"]) == (1.1001, 1.09, 1.12)
    assert position["profit"] == pytest.approx(-0.5)
    assert position["comment"] == f"sig:{number}"
    assert abs(position["opened_ms"] - desk.now_ms) < 5_000
    assert (beat["balance"], beat["equity"], beat["positions"], beat["kill_switch"]) == (10_000, 9_999.5, 1, False)
    assert beat["margin_free"] == pytest.approx(9_999.5 - 0.05 * 100_000 * 1.1001 / 100, abs=0.01)
    spec = beat["symbol_specs"][0]
    assert (spec["symbol"], spec["digits"], spec["tick_value"], spec["tick_size"]) == ("EURUSD", 5, 1.0, 0.00001)
    assert (spec["contract_size"], spec["spread_points"], spec["stops_level"]) == (100_000, 10.0, 0)


@pytest.mark.parametrize(
    ("side", "level", "move"),
    [
        ("BUY", ("sl", 1.09), (1.0900, False, 1.09)),
        ("BUY", ("sl", 1.09), (1.0850, False, 1.09)),
        ("BUY", ("sl", 1.09), (1.0850, True, 1.085)),
        ("BUY", ("tp", 1.12), (1.1250, False, 1.12)),
        ("BUY", ("tp", 1.12), (1.1250, True, 1.125)),
        ("SELL", ("sl", 1.11), (1.1099, False, 1.11)),  # the ask counts
        ("SELL", ("sl", 1.11), (1.1149, True, 1.115)),
        ("SELL", ("tp", 1.09), (1.0899, False, 1.09)),
        ("SELL", ("tp", 1.09), (1.0849, True, 1.085)),
    ],
)
def test_stops_and_targets_end_a_position_and_are_told_with_their_reason(
    bridge: StandIn, desk: Desk, side: str, level: tuple[str, float], move: tuple[float, bool, float]
) -> None:
    (reason, at), (bid, gap, price) = level, move
    number = bridge.add_signal(side, volume=0.1, **{reason: at})
    desk.turn()
    beyond = 0.0002 if bid < 1.1 else -0.0002
    desk.quote(round(at + beyond - (0.0001 if side == "SELL" else 0), 5))  # not yet
    assert desk.terminal.standing.positions == 1
    desk.quote(bid, gap=gap)
    assert desk.terminal.standing.positions == 0
    desk.turn()
    out = closing_of(bridge)
    assert (out["price"], out["reason"]) == (price, reason)
    assert out["side"] == ("sell" if side == "BUY" else "buy")
    assert out["comment"] == f"[{reason} {at:.5f}]"
    [entry] = [deal for deal in bridge.deals.values() if deal["entry"] == "in"]
    assert (entry["comment"], entry["reason"], entry["position"]) == (f"sig:{number}", "expert", out["position"])
    gained = (price - entry["price"]) * (1 if side == "BUY" else -1)
    assert out["profit"] == pytest.approx(gained * 10_000)
    assert abs(out["time_ms"] - desk.now_ms) < 5_000
    beat = bridge.heartbeats[-1]
    assert beat["open_positions"] == []
    assert beat["balance"] == beat["equity"] == pytest.approx(10_000 + out["profit"])


def test_a_stop_outlives_a_terminal_that_is_killed_and_deals_told_again_are_the_same(
    bridge: StandIn, desk: Desk
) -> None:
    bridge.add_signal(sl=1.09, tp=1.12)
    desk.turn()
    desk.again()
    assert desk.terminal.standing.positions == 1
    desk.quote(1.089)
    desk.turn()
    desk.again()
    assert sorted(deal["entry"] for deal in bridge.deals.values()) == ["in", "out"]
    assert closing_of(bridge)["reason"] == "sl"
    assert sorted(bridge.told_deals.values()) == [2, 3]  # after each start, and never between
    desk.turn(20)
    assert sorted(bridge.told_deals.values()) == [2, 3]
    [file] = desk.terminal.folder.glob("*.deals.txt")
    assert abs(int(file.read_text().split("|")[0]) / 1000 - (desk.now_ms / 1000 + 7_200)) < 60


@pytest.mark.parametrize("mood", [Mood.BROKEN, Mood.DEAF_AFTER_WORK])
def test_deals_wait_for_a_bridge_that_is_sick(bridge: StandIn, desk: Desk, mood: Mood) -> None:
    bridge.add_signal(sl=1.09)
    bridge.deaf_to = "/deals" if mood is Mood.DEAF_AFTER_WORK else ""
    desk.turn(1)
    assert len(bridge.deals) == 1
    bridge.mood = mood
    desk.quote(1.08)
    desk.turn(1)
    assert desk.terminal.standing.deals == 1
    bridge.mood = Mood.WELL
    desk.turn(60)
    assert desk.terminal.standing.deals == 0
    assert [deal["entry"] for deal in bridge.deals.values()] == ["in", "out"]


def test_what_somebody_closed_by_hand_is_told_and_what_he_opened_is_not(bridge: StandIn, desk: Desk) -> None:
    bridge.add_signal()
    desk.turn()
    [mine] = [deal["position"] for deal in bridge.deals.values()]
    desk.terminal.close(mine)
    desk.turn()
    out = closing_of(bridge)
    assert (out["position"], out["reason"], out["magic"]) == (mine, "client", 0)
    desk.terminal.kill()
    at = desk.now_ms // 1000 + 7_200
    with (desk.terminal.folder / "broker.txt").open("a") as kept:
        kept.write(f"5001|5001|{at}|EURUSD|0|0|0.1|1.1|0|5001|by hand\n5002|5002|{at}|EURUSD|1|1|0.1|1.1|0|5001|too\n")
    desk.begin()
    desk.turn()
    assert len(bridge.deals) == 2


def test_under_the_kill_switch_of_sequence_nothing_is_entered_and_a_close_works(bridge: StandIn, desk: Desk) -> None:
    first = bridge.add_signal()
    desk.turn()
    assert bridge.ends(first)[0][0] == "executed"
    bridge.killed = True
    desk.turn()
    beat = bridge.heartbeats[-1]
    assert (beat["trade_allowed"], beat["kill_switch"]) == (False, False)
    assert "kill switch of Sequence" in beat["trade_mode"]
    entry, close = bridge.add_signal(), bridge.add_signal("CLOSE", volume=0)
    desk.turn(5)
    assert bridge.ends(close)[0][0] == "executed"
    assert desk.terminal.standing.positions == 0
    assert bridge.ends(entry) == []
    assert any("trading stopped: kill switch of Sequence" in line for line in desk.terminal.said)
    bridge.killed = False
    desk.turn()
    assert bridge.ends(entry)[0][0] == "executed"
    assert bridge.heartbeats[-1]["trade_allowed"] is True


def test_an_entry_that_was_taken_before_the_kill_is_rejected_by_the_expert_itself(bridge: StandIn, desk: Desk) -> None:
    number = bridge.add_signal()
    bridge.mood, bridge.deaf_to = Mood.DEAF_AFTER_WORK, "/sent"
    desk.turn(1)  # taken, but the bridge's answer to `sent` is lost
    bridge.killed = True
    bridge.mood = Mood.WELL
    bridge.heartbeats.clear()
    for _ in range(40):
        desk.turn(1)
        if bridge.ends(number):
            break
    [(verb, body)] = bridge.ends(number)
    assert (verb, body["comment"]) == ("rejected", "kill switch of Sequence")
    assert desk.terminal.deals() == []


def test_the_terminals_own_switch_is_told_and_stops_a_close_too(bridge: StandIn, desk: Desk) -> None:
    bridge.add_signal()
    desk.turn()
    (desk.terminal.folder / "SequenceBridge.stop.global").touch()
    close = bridge.add_signal("CLOSE", volume=0)
    desk.turn(5)
    assert bridge.heartbeats[-1]["kill_switch"] is True
    assert bridge.ends(close) == []
    (desk.terminal.folder / "SequenceBridge.stop.global").unlink()
    desk.turn(5)
    assert bridge.ends(close)[0][0] == "executed"
    assert bridge.heartbeats[-1]["kill_switch"] is False


@pytest.mark.parametrize(("later_ms", "price"), [(1, "1.09"), (3_600_000, "1.085")])
def test_where_bars_are_known_the_first_quote_of_one_is_a_gap(
    bridge: StandIn, program: Path, tmp_path: Path, later_ms: int, price: str
) -> None:
    hour = int(time.time() * 1000) // 3_600_000 * 3_600_000
    desk = Desk(SteppedTerminal(program, tmp_path / "bars", bridge.url, KEY), hour + 60_000)
    desk.begin(**{"broker.bar_ms": 3_600_000, "input.InpMaxAge": 7_200})
    desk.quote(1.1)
    bridge.add_signal(sl=1.09, created=hour // 1000)
    desk.turn()
    desk.now_ms += later_ms
    desk.quote(1.085)
    desk.terminal.quit()
    assert [deal[7] for deal in desk.terminal.deals()] == ["1.1001", price]


def test_a_broker_that_slips_makes_fills_and_stops_worse_and_targets_not(
    bridge: StandIn, program: Path, tmp_path: Path
) -> None:
    desk = Desk(SteppedTerminal(program, tmp_path / "slips", bridge.url, KEY), int(time.time() * 1000))
    desk.begin(**{"broker.slippage_points": 20})
    desk.quote(1.1)
    bridge.add_signal(sl=1.09, tp=1.12)
    desk.turn()
    desk.quote(1.089)
    bridge.add_signal(sl=1.08, tp=1.1)
    desk.turn()
    desk.quote(1.101)
    desk.turn()
    desk.terminal.quit()
    assert [deal["price"] for deal in bridge.deals.values()] == [1.1003, 1.0898, 1.0893, 1.1]


@contextmanager
def at_the_bridge(program: Path, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[tuple[Client, Desk]]:
    """A stepped terminal before the bridge itself, both in November 2023."""
    start = 1_700_000_000_000

    class Lockstep(Desk):
        def turn(self, times: int = 3) -> None:
            for _ in range(times):
                patch.setenv(REPLAY_VARIABLE, f"{self.now_ms + STEP_MS}@0x0")
                super().turn(1)

        def quote(self, bid: float, *, gap: bool = False) -> None:
            patch.setenv(REPLAY_VARIABLE, f"{self.now_ms + 1}@0x0")
            super().quote(bid, gap=gap)

    patch.setenv(REPLAY_VARIABLE, f"{start}@0x0")
    app = create_app()
    server = create_server(app, host="127.0.0.1", port=0, threads=2, ident="")
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    client = Client(app)
    url = f"http://127.0.0.1:{server.effective_port}"
    desk = Lockstep(SteppedTerminal(program, folder, url, client.headers["X-API-Key"]), start)
    try:
        desk.begin()
        yield client, desk
        desk.terminal.quit()
    finally:
        if desk.terminal.process and desk.terminal.process.poll() is None:
            desk.terminal.kill()
        server.close()
        thread.join(10)
        server.task_dispatcher.shutdown(cancel_pending=True, timeout=5)
        app.extensions["bridge"].close()


def test_in_a_replay_expert_and_bridge_live_in_the_same_past(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_the_bridge(program, tmp_path / "terminal", monkeypatch) as (client, desk):
        assert client.bare.get("/api/v1/health").json["clock"] == "replayed"
        desk.quote(1.1)
        desk.turn()
        entry = {"symbol": "EURUSD", "signal_type": "BUY", "volume": 0.1, "stop_loss": 1.09, "take_profit": 1.12}
        key = client.post("/signals/create", entry).json["signal_id"]
        desk.turn()
        [terminal] = client.get("/terminals").json["terminals"]
        assert terminal["is_alive"]
        assert abs(terminal["clock_drift_ms"]) <= 1_000
        [position] = terminal["open_positions"]
        assert abs(position["opened_ms"] - desk.now_ms) < 5_000
        assert [spec["symbol"] for spec in terminal["symbol_specs"]] == ["EURUSD", "GBPUSD", "USDJPY"]
        desk.quote(1.08, gap=True)
        desk.turn()
        deals = client.get("/terminals/deals?client=mt5-5012345").json["deals"]
        assert [(deal["entry"], deal["reason"], deal["price"]) for deal in deals] == [
            ("in", "expert", 1.1001),
            ("out", "sl", 1.08),
        ]
        assert client.get(f"/signals/{key}").json["signal"]["finished_at"].startswith("2023-11-14T22:13:2")
        for _ in range(5):
            desk.now_ms += 30_000
            desk.quote(1.08)
            desk.turn()
        assert LiveBars().step() == 3
        assert client.get("/ticks/gaps").json["count"] == 0


def test_the_kill_switch_holds_between_expert_and_bridge(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_the_bridge(program, tmp_path / "terminal", monkeypatch) as (client, desk):
        desk.quote(1.1)
        desk.turn()
        client.post("/signals/create", {"symbol": "EURUSD", "signal_type": "BUY", "volume": 0.02})
        desk.turn()
        assert desk.terminal.standing.positions == 1
        waiting = client.post("/signals/create", {"symbol": "EURUSD", "signal_type": "SELL"}).json["signal_id"]
        write_kill("page", "a test")
        desk.turn()
        assert client.bridge.signals.one(waiting)["status"] in {"pending", "cancelled"}
        client.post("/signals/create", {"symbol": "EURUSD", "signal_type": "CLOSE"})
        desk.turn(5)
        assert desk.terminal.standing.positions == 0
        assert "kill switch of Sequence" in client.get("/terminals").json["terminals"][0]["trade_mode"]
        client.bridge.signals.expire()
        remove_kill()
        desk.turn(25)
        assert len(client.get("/terminals/deals").json["deals"]) == 2, "what waited was executed after all"
        assert client.get("/terminals").json["terminals"][0]["trade_allowed"] is True
        (desk.terminal.folder / "SequenceBridge.stop.global").touch()
        desk.turn()
        assert is_killed()
        told = killed_by()
        assert told
        assert told["by"] == "terminal mt5-5012345"
