"""The loop closed: a deployed cross drives the compiled Expert Advisor, and its fills are those of a backtest.

pytest tests/execution_live/test_loop_closed.py --hours 1560     # three months of trading hours
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa
from mql5_translate import COMPILER
from replayed_desk import CLIENT, SPREAD_TERMS, ReplayedDesk, replayed, sample_bars

from core.store import Store
from execution.live.bars import deployment_bars
from execution.live.black_box import decide_again
from execution.live.book import read_book, terminal_of
from execution.live.decisions import APPROVED, list_decisions
from execution.live.deployments import find_deployment
from execution.live.expected import expected_trades
from execution.live.fills import trades_of_deals
from execution.live.parity import reconcile_deployment
from execution.live.reconcile import AGREES, DEARER, LATER
from execution.live.runner import Runner
from execution.live.terms import Limits, Sizing
from execution.trading_desk import desk
from mql5.bridge.deals import DealStore
from mql5.bridge.signals import SignalStore

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no g++ on this machine (Debian: apt-get install g++)")
FAST = {"fast_length": 4, "slow_length": 9}
PIP = 0.0001


@pytest.fixture
def hours(request: pytest.FixtureRequest) -> int:
    """How many hours a replay lasts."""
    given: int = request.config.getoption("--hours")
    return given


def both_sides(deployment_id: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The trades of the backtest and those of the terminal."""
    deployment = find_deployment(deployment_id)
    bars = deployment_bars(deployment)
    _, expected = expected_trades(deployment, bars, bars.index[-1])
    return expected, trades_of_deals(DealStore().of(CLIENT), deployment.symbol)


def assert_equal_fills(deployment_id: int, least: int = 3) -> pd.DataFrame:
    """Each trade of the terminal is one of the backtest: side, size, both prices, how it ended. Returns them."""
    expected, traded = both_sides(deployment_id)
    assert len(traded) == len(expected) >= least
    assert list(traded["side"]) == list(expected["side"])
    assert list(traded["size"].abs()) == list(expected["size"].abs())
    for name in ("entry_price", "exit_price"):
        pd.testing.assert_series_equal(traded[name], expected[name], check_names=False, rtol=0, atol=1e-9)
    ended = expected["exit_time"].notna().to_numpy()
    assert list(traded["exit_reason"][ended] == "sl") == list(expected["exit_reason"][ended] == "stop")
    return traded


def test_without_spread_and_delay_every_fill_is_the_backtests(program: Path, home: Path, hours: int) -> None:
    with replayed(program, home, first=400) as replay:
        deployment = replay.deploy(**FAST)
        replay.run(Runner(deployment.id), hours)
        traded = assert_equal_fills(deployment.id)
        assert "sl" in set(traded["exit_reason"])
        found = reconcile_deployment(find_deployment(deployment.id))
        assert (found.score, found.differences.empty) == (1.0, True)
        assert found.cost_pips == pytest.approx(0, abs=1e-6)
        assert set(found.table["outcome"]) == {AGREES}
        decided = list_decisions(deployment.id)
        assert {each.state for each in decided} == {APPROVED}
        assert all(decide_again(each.id).is_same for each in decided[: min(hours, 40)])


def test_a_definition_of_setups_trades_what_its_backtest_does(program: Path, home: Path) -> None:
    with replayed(program, home, first=1500) as replay:
        replay.hear()
        deployment = desk.deploy_setups(
            "EURUSD", "H1", client=CLIENT, parameters={"minimum_score": 2.0, "minimum_risk_reward": 0.5},
            sizing=Sizing(lots=0.1, stop_pips=40), limits=Limits(max_entries_a_day=100),
        )  # fmt: skip
        replay.run(Runner(deployment.id), 120)
        found = reconcile_deployment(find_deployment(deployment.id))
        assert (found.score, found.differences.empty) == (1.0, True)
        assert found.traded >= 3


def test_with_spread_and_delay_every_difference_has_its_name_and_price(program: Path, home: Path) -> None:
    with replayed(program, home, first=400, **SPREAD_TERMS) as replay:
        deployment = replay.deploy(**FAST)
        replay.run(Runner(deployment.id), 30)
        found = reconcile_deployment(find_deployment(deployment.id))
        assert found.expected == found.traded > 2
        assert set(found.differences["kind"]) <= {LATER, DEARER}
        assert found.differences["reason"].str.len().gt(10).all()
        expected, traded = both_sides(deployment.id)
        ended = traded["exit_price"].notna() & expected["exit_price"].notna()
        side = expected["side"].map({"long": 1, "short": -1})
        result = {
            name: ((each["exit_price"] - each["entry_price"]) * side)[ended].sum() / PIP
            for name, each in (("expected", expected), ("traded", traded))
        }
        closed = found.table["traded_exit_price"].notna() & found.table["expected_exit_price"].notna()
        assert found.table.loc[closed, "cost_pips"].sum() == pytest.approx(result["expected"] - result["traded"])


@pytest.mark.parametrize(
    ("first", "changed", "offsets"),
    [
        ("2017-10-27 12:00", "2017-10-29 22:00", (10_800, 7_200)),  # Europe's summer time ends
        ("2017-11-03 12:00", "2017-11-05 22:00", (10_800, 7_200)),  # New York's, after which many brokers go
        ("2017-11-03 12:00", "2017-11-05 22:00", (-14_400, -18_000)),
    ],
)
def test_in_the_weeks_of_summer_time_the_fills_are_the_same(
    program: Path, home: Path, first: str, changed: str, offsets: tuple[int, int]
) -> None:
    begin = sample_bars().index.searchsorted(pd.Timestamp(first, tz="UTC"))
    with replayed(program, home, first=int(begin), broker_offset_s=offsets[0]) as replay:
        deployment = replay.deploy(**FAST)
        runner = Runner(deployment.id)
        while replay.opens < pd.Timestamp(changed, tz="UTC"):
            replay.run(runner, 1)
        replay.terminal.offset(offsets[1])
        replay.run(runner, 14)
        assert_equal_fills(deployment.id, least=1)
        assert {each.state for each in list_decisions(deployment.id)} == {APPROVED}  # no tick lacks over a weekend
        assert_nothing_twice(replay)


def test_clocks_that_jump_an_hour_and_come_back_change_no_fill(program: Path, home: Path) -> None:
    with replayed(program, home, first=400) as replay:
        deployment = replay.deploy(**FAST)
        runner = Runner(deployment.id)
        for at in range(24):
            replay.run(runner, 1)
            if at in {5, 13}:
                replay.jump(hours=1 if at == 5 else -1)
                replay.decide(runner)
                replay.jump(hours=-1 if at == 5 else 1)
        assert_equal_fills(deployment.id, least=1)
        assert_nothing_twice(replay)


@contextmanager
def dying(chance: random.Random, kills: list[str]) -> Iterator[None]:
    """A process that ends now and then just before or just after what it commits, as a kill does."""
    commit = Store.write

    @contextmanager
    def write(self: Store) -> Iterator[sa.Connection]:
        fate = chance.random() if self.module.name in {"trading", "mql5_data"} and kills else 1.0
        if fate < 0.1:
            raise KeyboardInterrupt(kills.pop())
        with commit(self) as connection:
            yield connection
        if fate < 0.2:
            raise KeyboardInterrupt(kills.pop())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "write", write)
        yield


@pytest.mark.faults
def test_kills_of_the_deployment_and_of_the_expert_change_no_trade(
    program: Path, home: Path, kills: int, chance: random.Random
) -> None:
    with replayed(program, home, first=400) as replay:
        deployment = replay.deploy(**FAST)
        runner = _Mortal(deployment.id, chance)
        left = kills
        for _ in range(max(40, kills * 3)):
            replay.pass_bar()
            runner.kills = ["a kill"] * min(2, left)
            replay.decide(runner)
            left -= runner.died
            runner.died = 0
            if left and chance.random() < 0.4:
                replay.restart_terminal()
                left -= 1
        assert_equal_fills(deployment.id)
        assert_nothing_twice(replay)


class _Mortal(Runner):
    """A runner whose process is killed at random moments and begun again at once."""

    def __init__(self, deployment_id: int, chance: random.Random) -> None:
        super().__init__(deployment_id)
        self.chance = chance
        self.kills: list[str] = []
        self.died = 0

    def step(self) -> object:  # type: ignore[override]
        while True:
            try:
                with dying(self.chance, self.kills):
                    return Runner(self._id).step()
            except KeyboardInterrupt:
                self.died += 1


def assert_nothing_twice(replay: ReplayedDesk) -> None:
    """One decision a bar, one signal a key, one deal in a signal, none without a decision; and all agree at the end."""
    [deployment_id] = {each.deployment_id for each in list_decisions()}
    decided = list_decisions(deployment_id)
    assert len({each.bar_time for each in decided}) == len(decided)
    signals = {row["id"]: row for row in SignalStore().all(10_000)}
    assert len({row["idempotency_key"] for row in signals.values()}) == len(signals)
    assert set(signals) == {key for each in decided for key in each.signal_ids}
    entries = [deal["comment"] for deal in DealStore().of(CLIENT) if deal["entry"] == "in"]
    assert len(set(entries)) == len(entries)
    approved = {f"sig:{each.entry_signal_id}" for each in decided if each.entry_signal_id}
    assert set(entries) <= approved
    replay.beat()
    book = read_book(find_deployment(deployment_id), terminal_of(CLIENT))
    assert book.agrees, book.words
