"""Days of a deployment at work held against its backtest, from what the bridge and the desk have on record."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from desk_bench import CLIENT, START, SYMBOL, Bench, deployed, history
from report_files import made

from core.errors import InputError
from core.store import Store
from execution.live.bars import deployment_bars
from execution.live.deployments import PAUSED, RUNNING, STOPPED, Deployment, find_deployment, set_state, store
from execution.live.expected import account_of, expected_trades, first_equity, with_spreads
from execution.live.parity import PARITY_COLUMNS, parity_of, reconcile_all, reconcile_day, reconcile_deployment
from execution.live.reconcile import Reconciliation
from execution.live.runner import Runner
from execution.live.tables import equity_marks, parity
from execution.live.terms import Limits, Sizing
from mql5.bridge.deals import DealStore
from mql5.bridge.imports import ImportStore
from mql5.bridge.messages import Deal, NewSignal, SymbolSpec
from mql5.bridge.signals import SignalStore
from mql5.tables import MQL5_DATA, deals

FLAT = [1.1] * 12
# The cross buys at 1.101, turns short at 1.099 and long again at 1.102.
WAVES = [1.1, 1.101, 1.102, 1.103, 1.101, 1.099, 1.097, 1.099, 1.102, 1.104, 1.104, 1.104]


@pytest.fixture
def runner(bench: Bench) -> Runner:
    """A cross with history enough, about to trade."""
    history(FLAT)
    return begun()


def begun(**changes: Any) -> Runner:
    made = Runner(deployed(**changes).id)
    made.step()
    return made


def the_deployment() -> Deployment:
    return find_deployment(1)


def outcomes(found: Reconciliation) -> list[tuple[str, str]]:
    return list(found.table[["side", "outcome"]].itertuples(index=False, name=None))


def test_a_day_at_work_agrees_with_its_backtest_and_is_kept(bench: Bench, runner: Runner) -> None:
    bench.bars(WAVES, runner=runner)
    found = reconcile_day(the_deployment())
    assert outcomes(found) == [("long", "agrees"), ("short", "agrees"), ("long", "agrees")]
    assert found.table["traded_pips"].tolist()[:2] == pytest.approx([-20, -30])
    assert found.table["traded_exit_time"].isna().tolist() == [False, False, True]
    assert found.sentence() == (
        "3 of 3 trades agree (100 %). Live made the same pips as the backtest. The day is not over."
    )
    assert found.notes == ("Compared up to 2026-03-03 09:00 UTC, where the bars end.",)
    kept = parity_of(the_deployment())
    assert list(kept.columns) == list(PARITY_COLUMNS)
    assert kept[
        ["trading_day", "expected", "traded", "agreeing", "score", "cost_pips", "is_over"]
    ].to_numpy().tolist() == [["2026-03-03", 3, 3, 3, 1.0, 0.0, False]]
    reconcile_day(the_deployment(), "2026-03-03")
    assert len(store.rows(parity.select())) == 1


def test_at_the_spread_of_the_ticks_it_agrees_as_well(bench: Bench, runner: Runner) -> None:
    bench.spread = 0.00012
    bench.bars(WAVES, runner=runner)
    found = reconcile_deployment(the_deployment())
    assert found.agreeing == 3
    assert found.cost_pips == pytest.approx(0, abs=1e-6)
    assert found.table["expected_entry_price"].tolist() == pytest.approx([1.10112, 1.099, 1.10212])


def test_a_refused_entry_is_missing_with_the_guards_words(bench: Bench) -> None:
    history(FLAT)
    bench.spread = 0.00012
    runner = begun(limits=Limits(max_spread_pips=1.0, max_risk_pct=None))
    bench.bars(WAVES[:6], runner=runner)
    [row] = reconcile_deployment(the_deployment()).differences.to_dict("records")
    assert row["kind"] == "missing"
    assert row["reason"] == "the guard spread refused: 1.2 pips, at most 1.0"


def test_what_it_slept_through_is_missing_for_that_reason(bench: Bench, runner: Runner) -> None:
    set_state(1, PAUSED, "paused")
    bench.bars(WAVES[:4], runner=runner)
    set_state(1, RUNNING, "goes on")
    bench.bars(WAVES[4:8], runner=runner)
    found = reconcile_deployment(the_deployment())
    assert outcomes(found) == [("long", "missing"), ("short", "agrees")]
    assert found.differences["reason"].tolist() == [
        "refused: the wish turned from flat to long; no entry while it is paused"
    ]
    assert found.cost_pips == pytest.approx(-20)


def test_while_nobody_decided_the_record_says_so(bench: Bench, runner: Runner) -> None:
    bench.bars(WAVES[:1], runner=runner)
    bench.bars(WAVES[1:8])
    found = reconcile_deployment(the_deployment())
    assert [kind for _, kind in outcomes(found)] == ["missing", "missing"]
    assert found.differences["reason"].tolist()[0] == (
        "not decided: the deployment was not at work at the close of the bar 2026-03-03 08:05 UTC"
    )


def test_history_that_came_for_a_bar_without_ticks_was_not_decided_on(bench: Bench, runner: Runner) -> None:
    bench.bars(WAVES[:1], runner=runner)
    bench.at(START + pd.Timedelta(minutes=60))
    history([*FLAT, *WAVES], until=START + pd.Timedelta(minutes=60))
    found = reconcile_deployment(the_deployment())
    assert found.differences["reason"].tolist()[0] == "not decided: no ticks in the bar"


def test_a_trade_by_hand_is_extra_and_one_of_another_deployment_is_left_out(bench: Bench, runner: Runner) -> None:
    bench.bars(WAVES[:1], runner=runner)
    asked = {"symbol": SYMBOL, "signal_type": "BUY", "volume": 0.2}
    SignalStore().create(NewSignal(**asked, idempotency_key="d9-1772524800-entry"))
    SignalStore().create(NewSignal(**asked, comment="tried by hand"))
    bench.trade()
    bench.bars([1.1, 1.1])
    found = reconcile_deployment(the_deployment())
    [row] = found.differences.to_dict("records")
    assert (row["kind"], row["what"]) == ("extra", "long 0.2 lots at 1.1 is not in the backtest")
    assert row["reason"] == "no decision of this deployment: it came of signal 2 (tried by hand)"


def test_what_came_after_the_last_bar_is_not_judged_yet(bench: Bench, runner: Runner) -> None:
    bench.bars(WAVES[:2], runner=runner)
    assert len(SignalStore().all()) == 1  # executed a moment ago, in the bar that is open
    assert reconcile_deployment(the_deployment()).score is None
    bench.bars(WAVES[2:3], runner=runner)
    assert reconcile_deployment(the_deployment()).agreeing == 1


def test_of_a_stopped_deployment_nothing_is_expected_after_its_last_decision(bench: Bench, runner: Runner) -> None:
    bench.bars(WAVES[:4], runner=runner)
    set_state(1, STOPPED, "stopped")
    bench.bars(WAVES[4:])
    assert outcomes(reconcile_deployment(the_deployment())) == [("long", "agrees")]


def test_days_are_trading_days_and_one_that_ended_is_over(bench: Bench) -> None:
    evening = pd.Timestamp("2026-03-03 21:30", tz="UTC")
    bench.at(evening)
    history(FLAT, until=evening)
    bench.tick(1.1)
    bench.beat()
    runner = begun()
    bench.bars([1.1, 1.101, 1.102, 1.102, 1.102, 1.102], runner=runner)
    bench.at(pd.Timestamp("2026-03-03 23:00", tz="UTC"))
    bench.tick(1.102)
    bench.bars([1.102, 1.102], runner=runner)
    found = reconcile_all(the_deployment())
    assert [(each.day, each.expected, each.is_over) for each in found] == [
        ("2026-03-03", 1, True),
        ("2026-03-04", 0, False),
    ]
    kept = parity_of(the_deployment())
    assert kept["trading_day"].tolist() == ["2026-03-03", "2026-03-04"]
    assert kept["score"].isna().tolist() == [False, True]
    assert kept["is_over"].tolist() == [True, False]


def test_before_it_trades_there_is_nothing_to_compare(bench: Bench) -> None:
    found = reconcile_day(deployed())
    assert (found.expected, found.traded, found.score) == (0, 0, None)
    assert parity_of(find_deployment(1))["expected"].tolist() == [0]
    assert parity_of(deployed(name="other", symbol="GBPUSD")).empty


def test_what_is_no_day_is_refused(bench: Bench) -> None:
    with pytest.raises(InputError, match="day='yesterday' is no day"):
        reconcile_day(deployed(), "yesterday")


# The terminal's history

BOUGHT = "2026.03.03 08:10:03,101,EURUSD,buy,0.1,1.10100,,,2026.03.03 08:30:03,1.09900,0.00,0.00,-20.00"
OTHERS = [
    "2026.03.03 08:10:03,900,EURUSD,buy,0.3,1.10100,,,2026.03.03 08:30:03,1.09900,0.00,0.00,-60.00",
    "2026.03.03 08:14:03,901,EURUSD,buy,0.1,1.10100,,,2026.03.03 08:30:03,1.09900,0.00,0.00,-20.00",
    "2026.03.03 08:10:03,902,GBPUSD,buy,0.1,1.10100,,,2026.03.03 08:30:03,1.09900,0.00,0.00,-20.00",
]


def import_history(monkeypatch: pytest.MonkeyPatch, positions: list[str], login: str = "5012345") -> None:
    monkeypatch.setattr(made, "POSITIONS", positions)
    page = made.history_html(net=f"{sum(float(each.split(',')[-1]) for each in positions):.2f}")
    ImportStore().enter_file(page.replace("12345678".encode("utf-16-le"), login.encode("utf-16-le")), "history.html")


def forget_deals(*entries: str) -> None:
    with Store(MQL5_DATA).write() as connection:
        for entry in entries:
            connection.execute(deals.delete().where(deals.c.entry == entry))


@pytest.mark.parametrize("forgotten", [("in", "out"), ("out",)])
def test_an_imported_history_stands_in_for_deals_that_never_came(
    bench: Bench, runner: Runner, monkeypatch: pytest.MonkeyPatch, forgotten: tuple[str, ...]
) -> None:
    bench.bars(WAVES[:7], runner=runner)
    forget_deals(*forgotten)
    assert outcomes(reconcile_deployment(the_deployment()))[0][1] == (
        "missing" if "in" in forgotten else "ended otherwise"
    )
    import_history(monkeypatch, [*OTHERS, BOUGHT])
    found = reconcile_deployment(the_deployment())
    assert outcomes(found)[0] == ("long", "agrees")
    assert found.table["traded_pips"].tolist()[0] == pytest.approx(-20)
    assert "Known from the imported history of the account only: 1 of the trades, or how it ended." in found.notes
    assert found.traded == (1 if "in" in forgotten else 2)


def test_a_history_of_another_account_or_of_other_trades_tells_nothing(
    bench: Bench, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.bars(WAVES[:7], runner=runner)
    forget_deals("in", "out")
    import_history(monkeypatch, [BOUGHT], login="7777777")
    import_history(monkeypatch, OTHERS)
    found = reconcile_deployment(the_deployment())
    assert [kind for _, kind in outcomes(found)] == ["missing", "missing"]
    assert found.differences["reason"].tolist()[0] == ("signal 1 was executed at 1.101, and no deal of it was reported")


def test_what_deals_told_is_not_told_again_by_a_history(
    bench: Bench, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.bars(WAVES[:7], runner=runner)
    import_history(monkeypatch, [BOUGHT])
    found = reconcile_deployment(the_deployment())
    assert (found.traded, found.agreeing, len(found.notes)) == (2, 2, 1)


# The backtest


def test_a_backtest_leaves_open_what_only_the_end_of_its_bars_closed(bench: Bench, runner: Runner) -> None:
    bench.bars(WAVES[:8], runner=runner)
    until = pd.Timestamp("2026-03-03 08:25", tz="UTC")
    for minutes, shape in (
        (0, [("long", True)]),  # the bar that turns it has not closed
        (5, [("long", True)]),  # it has, and the exit fills at the next one's open
        (10, [("long", False), ("short", True)]),
    ):
        _, trades = expected_trades(
            the_deployment(), deployment_bars(the_deployment()), until + pd.Timedelta(minutes=minutes)
        )
        assert list(zip(trades["side"], trades["exit_time"].isna(), strict=True)) == shape
    assert trades["exit_reason"].tolist() == ["signal", ""]
    assert trades["entry_decided"].tolist() == [at("08:05"), at("08:25")]
    assert trades["exit_decided"].tolist()[0] == at("08:25")
    assert trades["exit_price"].tolist()[0] == pytest.approx(1.099)


def test_sizes_by_risk_begin_with_the_equity_of_its_first_day(bench: Bench) -> None:
    history(FLAT)
    bench.equity = 4_000.0
    bench.beat()
    runner = begun(sizing=Sizing(lots=None, risk_fraction=0.01, stop_pips=40.0))
    bench.bars(WAVES[:4], runner=runner)
    bench.equity = 9_000.0
    bench.beat()
    assert first_equity(the_deployment()) == 4_000.0
    _, trades = expected_trades(the_deployment(), deployment_bars(the_deployment()), bench.now)
    # 1 % of 4,000 are 40 USD, which 40 pips cost at 0.1 lots.
    assert trades["size"].tolist() == pytest.approx([10_000])
    with store.write() as connection:
        connection.execute(equity_marks.delete())
    assert first_equity(the_deployment()) == 9_000.0


def test_an_account_in_a_third_currency_is_reckoned_at_the_value_of_a_tick(bench: Bench) -> None:
    deployed(symbol="EURGBP", name="cross-rate")
    assert account_of(the_deployment()) == (10_000.0, "")
    spec = {
        "symbol": "EURGBP", "digits": 5, "point": 0.00001, "volume_min": 0.01, "volume_max": 50.0,
        "volume_step": 0.01, "contract_size": 100_000.0, "tick_value": 1.25, "tick_size": 0.00001,
        "spread_points": 1.0, "stops_level": 0,
    }  # fmt: skip
    bench.beat(symbol_specs=[SymbolSpec(**spec)])
    # A pound is 1.25 dollars.
    assert account_of(the_deployment()) == (pytest.approx(8_000.0), "")
    bench.beat(currency="GBP")
    assert account_of(the_deployment()) == (10_000.0, "GBP")


def test_a_fill_has_the_spread_of_the_tick_that_opened_its_bar(bench: Bench, runner: Runner) -> None:
    bench.bars(WAVES[:2], runner=runner)
    bench.spread = 0.0003
    bench.bars(WAVES[2:4], runner=runner)
    bars = deployment_bars(the_deployment())
    priced = with_spreads(the_deployment(), bars.assign(spread_points=np.nan), np.array([len(bars) - 2, len(bars)]))
    # The tick at 08:10:00 came before the spread widened; without it the bar's own counts.
    assert priced["spread_points"].tolist() == [0.0] * len(bars)
    assert bars["spread_points"].iloc[-1] == pytest.approx(30.0)
    own = with_spreads(the_deployment(), bars, np.array([], dtype=int))
    assert own["spread_points"].tolist()[-1] == pytest.approx(30.0)


def at(clock: str) -> pd.Timestamp:
    return pd.Timestamp(f"2026-03-03 {clock}", tz="UTC")


def test_a_stop_at_the_broker_and_in_the_bars_is_one_exit(bench: Bench) -> None:
    history(FLAT)
    runner = begun(sizing=Sizing(lots=0.1, stop_pips=15.0))
    bench.bars(WAVES[:4], runner=runner)
    # The bar falls from 1.103 through 1.0995, where the stop of the entry at 1.101 stands.
    bench.at(bench.now + pd.Timedelta(seconds=30))
    bench.bid = 1.0995
    bench.close_all("sl")
    bench.beat()
    bench.bars([1.0994], runner=runner)
    found = reconcile_deployment(the_deployment())
    assert found.table["expected_exit"].tolist()[0] == "stop"
    assert outcomes(found)[0] == ("long", "agrees")


def test_deals_that_close_what_nobody_opened_are_told(bench: Bench, runner: Runner) -> None:
    bench.bars(WAVES[:2], runner=runner)
    alone = Deal(
        deal=5, order=5, position=4, symbol=SYMBOL, side="sell", entry="out", volume=0.1, price=1.1,
        time_ms=int(START.timestamp() * 1000), magic=1, reason="client",
    )  # fmt: skip
    DealStore().enter(CLIENT, [alone])
    assert reconcile_deployment(the_deployment()).notes[0] == (
        "Closed without an opening that a deal tells, and so no trade: 5."
    )
