"""The Expert Advisor, as its source stands, compiled by g++ against a small terminal and driven through its faults."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_until

sys.path.append(str(Path(__file__).parents[1] / "mql5"))

from bridge_stand_in import KEY, Mood, StandIn, listening
from expert_terminal import SYMBOLS, Terminal, shared_expert, some_ticks
from mql5_translate import COMPILER, EXPERTS, HERE, build, forbidden_in

from mql5.files.reports import read_report

compiled = pytest.mark.skipif(
    COMPILER is None and not os.environ.get("REQUIRE_GXX"),
    reason="no g++ on this machine (Debian: apt-get install g++); REQUIRE_GXX=1 makes that a failure",
)


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_expert(tmp_path_factory)


@pytest.fixture
def bridge() -> Iterator[StandIn]:
    stand_in = StandIn()
    with listening(stand_in):
        yield stand_in


@pytest.fixture
def terminal(program: Path, tmp_path: Path, bridge: StandIn) -> Iterator[Terminal]:
    made = Terminal(program, tmp_path / "terminal", bridge.url, KEY)
    yield made
    if made.process and made.process.poll() is None:
        made.kill()


def streamed(bridge: StandIn, terminal: Terminal) -> Callable[[], bool]:
    """Whether every tick after the start has arrived; the first of each symbol is the newest there was."""
    known = terminal.ticks[: terminal.scenario["preloaded"]]
    newest = {symbol: max(ms for ms, name, *_ in known if name == symbol) for symbol in SYMBOLS}
    expected = sum(ms >= newest[symbol] for ms, symbol, *_ in terminal.ticks)
    return lambda: len(bridge.ticks) >= expected


def assert_streamed_whole(bridge: StandIn, terminal: Terminal) -> None:
    """Each symbol's ticks are there in order, without a hole in their numbers and with their own prices."""
    for symbol in SYMBOLS:
        rows = [(ms, bid, ask) for ms, name, bid, ask in terminal.ticks if name == symbol]
        numbers = sorted(number for _, name, _, number in bridge.ticks if name == symbol)
        assert numbers == list(range(1, len(numbers) + 1))
        times = {number: ms for _, name, ms, number in bridge.ticks if name == symbol}
        got = [(times[number], *bridge.prices[symbol, number]) for number in numbers]
        assert got == rows[-len(got) :]


@pytest.mark.parametrize("file", sorted(EXPERTS.glob("*.mq*")), ids=lambda file: file.name)
def test_the_source_keeps_to_what_metaeditor_takes(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    assert forbidden_in(source) == []
    assert forbidden_in(source + "\n  auto x = p->q;") == ["auto", "a pointer's ->"]
    assert source.isascii()


@compiled
def test_twenty_thousand_ticks_of_three_symbols_arrive_once_each(bridge: StandIn, terminal: Terminal) -> None:
    terminal.ticks = some_ticks(20_000)
    terminal.start()
    wait_until(streamed(bridge, terminal))
    terminal.stop()
    assert set(bridge.ticks.values()) == {1}
    assert len(bridge.ticks) > 19_960
    assert_streamed_whole(bridge, terminal)


@compiled
def test_ticks_and_signals_survive_every_sickness_of_the_bridge(bridge: StandIn, terminal: Terminal) -> None:
    terminal.ticks = some_ticks(6_000)
    terminal.start(ticks_per_event=20)
    wait_until(lambda: len(bridge.ticks) > 100)
    numbers = []
    for mood in (Mood.BROKEN, Mood.DEAF_AFTER_WORK, Mood.SLOW):
        met = len(bridge.requests)
        bridge.mood = mood
        numbers.append(bridge.add_signal())
        wait_until(lambda met=met: len(bridge.requests) >= met + 2)
        bridge.mood = Mood.WELL
        wait_until(lambda: bridge.signals[numbers[-1]]["status"] == "executed")
    wait_until(streamed(bridge, terminal))
    said = terminal.stop()
    assert_streamed_whole(bridge, terminal)
    assert [deal[-1] for deal in terminal.deals()] == [f"sig:{number}" for number in numbers]
    assert "error 5202" in said
    longest = float(said.split("longest request ")[1].split(" ms")[0])
    event = float(said.split("longest event ")[1].split(" ms")[0])
    assert longest < 1100
    assert event < 1250


@compiled
def test_a_bridge_that_is_down_and_restarts_gets_everything(terminal: Terminal) -> None:
    bridge = StandIn()
    with listening(bridge):
        terminal.scenario.update({"allowed_url": bridge.url, "input.InpUrl": bridge.url})
        terminal.ticks = some_ticks(6_000)
        terminal.start(ticks_per_event=10)
        wait_until(lambda: len(bridge.ticks) > 300)
    bridge.add_signal()
    time.sleep(0.3)  # a minute and more of the expert's time
    before = len(bridge.ticks)
    with listening(bridge):
        wait_until(lambda: bridge.signals[1]["status"] == "executed")
        wait_until(streamed(bridge, terminal))
        said = terminal.stop()
    assert before < len(bridge.ticks)
    assert "error 5201" in said
    assert "connected again" in said
    assert set(bridge.ticks.values()) == {1}
    assert_streamed_whole(bridge, terminal)


@compiled
def test_a_signal_served_again_and_again_is_executed_once_and_told_the_same(
    bridge: StandIn, terminal: Terminal
) -> None:
    bridge.keeps_serving = True
    number = bridge.add_signal(volume=0.029)
    terminal.start()
    wait_until(lambda: len(bridge.ends(number)) >= 3)
    terminal.stop()
    assert bridge.served[number] >= 3
    [deal] = terminal.deals()
    assert deal[6] == "0.02"  # to the lot step below
    (verb, first), *others = bridge.ends(number)
    assert (verb, first["retcode"], first["volume"], first["comment"]) == ("executed", 10009, 0.02, "Request executed")
    assert first["deal"] == int(deal[0])
    assert not first["duplicate"]
    for verb, again in others:
        assert (verb, {**again, "duplicate": False}) == ("executed", first)


@compiled
@pytest.mark.parametrize("verb", ["sent", "executed"])
def test_a_bridge_that_dies_before_it_answers_is_told_until_it_does(
    bridge: StandIn, terminal: Terminal, verb: str
) -> None:
    number = bridge.add_signal()
    bridge.mood, bridge.deaf_to = Mood.DEAF_AFTER_WORK, f"/{verb}"
    terminal.start()
    wait_until(lambda: sum(told[1] == verb for told in bridge.acknowledged) >= 2)
    terminal.kill()
    assert len(terminal.deals()) == (verb == "executed")
    bridge.mood = Mood.WELL
    told = len(bridge.acknowledged)
    terminal.start()
    wait_until(lambda: any(each[1] == "executed" for each in bridge.acknowledged[told:]))
    terminal.stop()
    assert len(terminal.deals()) == 1
    assert {name for name, _ in bridge.ends(number)} == {"executed"}


@compiled
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_expert_killed_around_its_order_sends_it_once(bridge: StandIn, terminal: Terminal, moment: str) -> None:
    number = bridge.add_signal()
    terminal.start(**{"fault.1": f"kill:{moment}"})
    terminal.ended()
    assert len(terminal.deals()) == (moment == "after")
    terminal.start(**{"fault.1": ""})
    wait_until(lambda: bridge.ends(number))
    terminal.stop()
    [deal] = terminal.deals()
    [(verb, body)] = bridge.ends(number)
    assert (verb, body["deal"], body["retcode"]) == ("executed", int(deal[0]), 10009)


@compiled
def test_an_expert_that_lost_its_file_finds_its_order_at_the_broker(bridge: StandIn, terminal: Terminal) -> None:
    number = bridge.add_signal()
    terminal.start(**{"fault.1": "kill:after"})
    terminal.ended()
    for file in terminal.folder.glob("*.signals.txt"):
        file.unlink()
    bridge.signals[number]["status"] = "pending"
    terminal.start(**{"fault.1": ""})
    wait_until(lambda: bridge.ends(number))
    terminal.stop()
    assert len(terminal.deals()) == 1
    assert bridge.ends(number)[0][1]["comment"] == "found at the broker by its comment"


@compiled
@pytest.mark.parametrize(
    ("fault", "end", "deals"),
    [
        ("10012:executed", "executed", 1),  # no answer, and done
        ("10031", "executed", 1),  # no answer, and not done: sent again after it was looked for
        ("10004", "executed", 1),  # requote: sent again
        ("10019", "rejected", 0),  # no money
        ("10018", "rejected", 0),  # market closed
    ],
)
def test_what_the_broker_answers_decides_whether_the_order_is_sent_again(
    bridge: StandIn, terminal: Terminal, fault: str, end: str, deals: int
) -> None:
    number = bridge.add_signal()
    terminal.start(**{"fault.1": fault})
    wait_until(lambda: bridge.ends(number))
    terminal.stop()
    [(verb, body)] = bridge.ends(number)
    assert verb == end
    assert len(terminal.deals()) == deals
    if end == "rejected":
        assert (body["retcode"], body["comment"]) == (int(fault), "As the scenario says")


@compiled
def test_a_broker_that_never_answers_is_asked_three_times_at_most(bridge: StandIn, terminal: Terminal) -> None:
    number = bridge.add_signal()
    terminal.start(**{f"fault.{n}": "10031" for n in range(1, 9)})
    wait_until(lambda: bridge.ends(number))
    terminal.stop()
    [(verb, body)] = bridge.ends(number)
    assert verb == "rejected"
    assert "no deal found at the broker" in body["comment"]
    assert terminal.deals() == []


@compiled
def test_a_close_ends_the_positions_there_were_and_no_other(bridge: StandIn, terminal: Terminal) -> None:
    opened = [bridge.add_signal("BUY"), bridge.add_signal("SELL"), bridge.add_signal("BUY", symbol="GBPUSD")]
    terminal.start()
    wait_until(lambda: all(bridge.ends(number) for number in opened))
    closing = bridge.add_signal("CLOSE", volume=0)
    wait_until(lambda: bridge.ends(closing))
    nothing = bridge.add_signal("CLOSE", volume=0)
    wait_until(lambda: bridge.ends(nothing))
    terminal.stop()
    assert [deal[3] for deal in terminal.deals() if deal[5] == "1"] == ["EURUSD", "EURUSD"]
    assert bridge.ends(closing)[0][1]["volume"] == pytest.approx(0.04)
    assert bridge.ends(nothing)[0][0] == "executed"


GUARDS = [
    ({"volume": 0.5}, {}, "InpMaxLots"),
    ({"volume": 0.001}, {}, "the broker takes"),
    ({"symbol": "AUDNZD"}, {}, "not among InpSymbols"),
    ({"sl": 1.5}, {}, "stop"),
    ({"tp": 1.0}, {}, "target"),
    ({"created": int(time.time()) - 500}, {}, "InpMaxAge"),
    ({}, {"input.InpMaxSpread": 5}, "InpMaxSpread"),
    ({}, {"symbol.EURUSD.trade_mode": 3}, "does not allow BUY"),
    ({}, {"symbol.EURUSD.max": 0.01}, "the broker takes"),
    ({"sl": 1.0}, {"symbol.EURUSD.stops": 50_000}, "nearer than 50000 points"),
]


@compiled
@pytest.mark.parametrize(("signal", "scenario", "words"), GUARDS)
def test_a_signal_beyond_a_limit_is_refused_with_the_limits_name(
    bridge: StandIn, terminal: Terminal, signal: dict[str, Any], scenario: dict[str, Any], words: str
) -> None:
    number = bridge.add_signal(**signal)
    terminal.start(**scenario)
    wait_until(lambda: bridge.ends(number))
    terminal.stop()
    [(verb, body)] = bridge.ends(number)
    assert verb == "rejected"
    assert words in body["comment"]
    assert terminal.deals() == []


@compiled
def test_no_more_positions_are_opened_than_allowed(bridge: StandIn, terminal: Terminal) -> None:
    numbers = [bridge.add_signal() for _ in range(5)]
    terminal.start(**{"input.InpMaxPositions": 2})
    wait_until(lambda: all(bridge.ends(number) for number in numbers))
    terminal.stop()
    assert [bridge.ends(number)[0][0] for number in numbers] == ["executed"] * 2 + ["rejected"] * 3


@compiled
@pytest.mark.parametrize(
    ("scenario", "reason"),
    [
        ({"algo_trading": 0}, "algorithmic trading is off in the terminal"),
        ({"account.trade_expert": 0}, "does not let this account trade"),
        ({"account.trade_mode": 2}, "InpAllowReal is false"),
        ({"input.InpTrade": "false"}, "InpTrade is false"),
        ({"kill": True}, "kill switch"),
    ],
)
def test_where_trading_is_not_permitted_ticks_flow_and_signals_stay(
    bridge: StandIn, terminal: Terminal, scenario: dict[str, Any], reason: str
) -> None:
    if scenario.pop("kill", False):
        (terminal.folder / "SequenceBridge.stop.global").touch()
    bridge.add_signal()
    terminal.ticks += some_ticks(200)[100:]
    terminal.start(**scenario)
    wait_until(lambda: len(bridge.heartbeats) > 2 and bridge.ticks)
    terminal.stop()
    assert bridge.served == {}
    assert bridge.heartbeats[-1]["trade_allowed"] is False
    assert reason in bridge.heartbeats[-1]["trade_mode"]


@compiled
@pytest.mark.parametrize(("filling", "execution"), [(1, 2), (2, 2), (3, 2), (0, 3), (0, 1)])
def test_the_filling_mode_is_one_the_symbol_takes(
    bridge: StandIn, terminal: Terminal, filling: int, execution: int
) -> None:
    number = bridge.add_signal()
    terminal.start(**{"symbol.EURUSD.filling": filling, "symbol.EURUSD.execution": execution})
    wait_until(lambda: bridge.ends(number))
    terminal.stop()
    assert bridge.ends(number)[0][0] == "executed"


@compiled
@pytest.mark.parametrize("shift", [-7200, 4000])
def test_a_computer_whose_clock_is_wrong_neither_ages_signals_nor_shifts_ticks(
    bridge: StandIn, terminal: Terminal, shift: int
) -> None:
    numbers = [bridge.add_signal(), bridge.add_signal(created=int(time.time()) - 100)]
    terminal.start(clock_shift_s=shift)
    wait_until(lambda: all(bridge.ends(number) for number in numbers) and len(bridge.heartbeats) > 2)
    terminal.stop()
    assert [bridge.ends(number)[0][0] for number in numbers] == ["executed", "rejected"]
    assert bridge.heartbeats[-1]["tz_offset_s"] == 7200
    assert bridge.heartbeats[-1]["gmt_ms"] / 1000 == pytest.approx(time.time() + shift, abs=20)


@compiled
def test_a_terminal_in_a_replay_lives_in_its_past(bridge: StandIn, terminal: Terminal) -> None:
    past, now = 1_700_000_000_000, int(time.time() * 1000)
    terminal.start(**{"clock.simulated_ms": past, "clock.wall_ms": now, "clock.speed": 10, "skip_ms": 0})
    wait_until(lambda: bridge.heartbeats)
    terminal.stop()
    passed = int(time.time() * 1000) - now
    assert past - 1_000 <= bridge.heartbeats[0]["gmt_ms"] <= past + 10 * passed


@compiled
def test_a_wrong_key_is_said_once_and_asked_seldom(bridge: StandIn, terminal: Terminal) -> None:
    terminal.start(**{"input.InpKey": "wrong", "pause_ms": 5})
    wait_until(lambda: len(bridge.requests) >= 9)
    asked, began = len(bridge.requests), bridge.requests[0][0]
    seconds = (time.monotonic() - began) * 205 / 5  # as the expert's clock ran
    said = terminal.stop()
    assert said.count("refuses the key") == 1
    assert asked < 3 * (seconds / 20 + 2)
    assert bridge.ticks == {}


@compiled
def test_an_address_that_is_not_allowed_is_told_with_the_cure(bridge: StandIn, terminal: Terminal) -> None:
    terminal.start(allowed_url="http://elsewhere")
    time.sleep(0.2)
    said = terminal.stop()
    assert said.count("error 4014: allow WebRequest for") == 1
    assert bridge.requests == []


@compiled
def test_an_expert_killed_while_it_streams_sends_each_tick_under_one_number(
    bridge: StandIn, terminal: Terminal
) -> None:
    terminal.ticks = some_ticks(4_000)
    for share in (1, 2, 3):
        terminal.start(ticks_per_event=20)
        wait_until(lambda share=share: len(bridge.ticks) > share * 900)
        terminal.kill()
    terminal.start(preloaded=4_000)  # the terminal itself kept them all
    wait_until(lambda: len(bridge.ticks) >= 3_960)
    terminal.stop()
    terminal.scenario["preloaded"] = 30
    assert_streamed_whole(bridge, terminal)


@compiled
def test_one_tick_that_is_refused_does_not_hold_up_the_others(bridge: StandIn, terminal: Terminal) -> None:
    terminal.ticks = some_ticks(1_000)
    bad, (ms, symbol, _, ask) = 0.12345, terminal.ticks[500]
    bridge.poisoned = bad
    terminal.ticks[500] = (ms, symbol, bad, ask)
    terminal.start()
    wait_until(lambda: len(bridge.ticks) >= len(terminal.ticks) - 30 and bridge.heartbeats[-1]["ticks_dropped"] == 1)
    terminal.stop()
    assert set(bridge.ticks.values()) == {1}


@compiled
def test_a_cancelled_signal_is_not_executed(bridge: StandIn, terminal: Terminal) -> None:
    number = bridge.add_signal()
    bridge.mood, bridge.deaf_to = Mood.DEAF_AFTER_WORK, "/sent"
    terminal.start()
    wait_until(lambda: bridge.signals[number]["status"] == "sent")
    bridge.signals[number]["status"] = "cancelled"
    bridge.mood = Mood.WELL
    met = len(bridge.requests)
    wait_until(lambda: any(status == 409 for _, _, status in bridge.requests[met:]))
    assert "withdrawn" in terminal.stop()
    assert terminal.deals() == []


@compiled
def test_nothing_is_sent_to_the_broker_that_cannot_be_written_down(bridge: StandIn, terminal: Terminal) -> None:
    bridge.add_signal()
    terminal.start(disk_full="true")
    assert terminal.ended() == 1
    assert terminal.deals() == []


@compiled
def test_a_strategy_tester_run_is_written_whole(tmp_path: Path) -> None:
    program = tmp_path / "tester"
    build(HERE / "tester_sample.mq5", program, "driver_tester.h")
    now = int(time.time())
    deals = [f"{n}|{n}|{now + n}|EURUSD|{n % 2}|{n % 2}|0.1|1.0351|7|2|toy" for n in (2, 3)]
    (tmp_path / "broker.txt").write_text("\n".join(deals))
    lost = ("PROFIT", "GROSS_LOSS", "EXPECTED_PAYOFF", "MAX_LOSSTRADE", "CONLOSSMAX")
    once = ("TRADES", "LOSS_TRADES", "LONG_TRADES", "CONLOSSMAX_TRADES")
    figures = {**dict.fromkeys(lost, -0.7), **dict.fromkeys(once, 1), "DEALS": 2, "INITIAL_DEPOSIT": 10_000}
    figures_text = "".join(f"STAT_{name}={value}\n" for name, value in figures.items())
    (tmp_path / "scenario.txt").write_text(f"tester=1\n{figures_text}")
    assert subprocess.run([program], cwd=tmp_path, check=False).returncode == 0
    [file] = (tmp_path / "bridge").glob("*.json")
    run = json.loads(file.read_text())
    assert run["schema"] == "mt5.tester.v1"
    assert run["inputs"] == {"Fast": 12, "Lots": 0.1, "Trail": True, "Note": 'a "quoted" note'}
    assert (run["stats"]["STAT_PROFIT"], run["stats"]["STAT_PROFIT_FACTOR"]) == (-0.7, None)
    assert len(run["stats"]) == 34
    assert [deal[:6] for deal in run["deals"]] == [[now + n, n, "EURUSD", n % 2, n % 2, 0.1] for n in (2, 3)]
    report = read_report(file.read_bytes(), file.name)
    assert (report.kind, report.totals_agree, report.problems) == ("export", True, [])
    assert report.statistics["total_net_profit"] == -0.7
    assert len(report.deals) == 2
    (tmp_path / "scenario.txt").write_text("tester=1\noptimization=1\n")
    assert subprocess.run([program], cwd=tmp_path, check=False).returncode == 0
    assert len(list((tmp_path / "bridge").iterdir())) == 1


class RealBridge:
    """`python -m mql5.api_server` on a port of its own, to be killed and started again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def key(self) -> str:
        return (self.home / "output_central" / "bridge.key").read_text().strip()

    def start(self) -> None:
        environment = {**os.environ, "SEQUENCE_BRIDGE_PORT": str(self.port)}
        with (self.home / "bridge.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mql5.api_server"],
                cwd=EXPERTS.parent.parent,
                env=environment,
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers)

    def _answers(self) -> bool:
        try:
            return bool(self.ask("/health"))
        except (urllib.error.URLError, ConnectionError):
            return False

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        key = self.key if (self.home / "output_central" / "bridge.key").exists() else ""
        data = json.dumps(body).encode() if body is not None else None
        headers = {"X-API-Key": key, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/v1{path}", data, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            read: dict[str, Any] = json.load(answer)
        return read

    def ticks(self) -> list[tuple[str, int, int, float, float]]:
        """Every stored tick: symbol, number, broker's time, bid, ask."""
        with closing(sqlite3.connect(self.home / "output_central" / "mql5_data.db")) as database:
            query = "SELECT symbol, sequence, broker_ms, bid, ask FROM live_ticks ORDER BY symbol, sequence"
            return database.execute(query).fetchall()


@pytest.fixture
def real_bridge(home: Path) -> Iterator[RealBridge]:
    made = RealBridge(home)
    made.start()
    yield made
    made.kill()


@compiled
def test_the_expert_streams_and_trades_against_the_bridge_itself_killed_once_on_the_way(
    program: Path, tmp_path: Path, real_bridge: RealBridge
) -> None:
    terminal = Terminal(program, tmp_path / "terminal", real_bridge.url, real_bridge.key)
    terminal.ticks = some_ticks(20_000)
    signal = {"symbol": "EURUSD", "signal_type": "BUY", "confidence": 0.85, "volume": 0.02}
    first = real_bridge.ask("/signals/create", signal)["signal_id"]
    terminal.start(ticks_per_event=40)
    try:
        wait_until(lambda: len(real_bridge.ticks()) > 3_000)
        wait_until(lambda: real_bridge.ask(f"/signals/{first}")["signal"]["status"] == "executed")
        second = real_bridge.ask("/signals/create", {**signal, "symbol": "GBPUSD"})["signal_id"]
        real_bridge.kill()
        real_bridge.start()
        wait_until(lambda: real_bridge.ask(f"/signals/{second}")["signal"]["status"] == "executed")
        expected = len(terminal.ticks) - terminal.scenario["preloaded"]
        wait_until(lambda: len(real_bridge.ticks()) >= expected)
        [seen] = real_bridge.ask("/terminals")["terminals"]
    finally:
        terminal.stop()
    assert (seen["client"], seen["trade_allowed"]) == ("mt5-5012345", True)
    assert [deal[-1] for deal in terminal.deals()] == [f"sig:{first}", f"sig:{second}"]
    told = real_bridge.ask(f"/signals/{first}")["signal"]
    assert (told["retcode"], told["broker_comment"], told["executed_volume"]) == (10009, "Request executed", 0.02)
    assert real_bridge.ask("/ticks/gaps")["gaps"] == []
    for symbol in SYMBOLS:
        rows = [(ms, bid, ask) for ms, name, bid, ask in terminal.ticks if name == symbol]
        stored = [row for row in real_bridge.ticks() if row[0] == symbol]
        assert [row[1] for row in stored] == list(range(1, len(stored) + 1))
        assert [row[2:] for row in stored] == rows[-len(stored) :]
