from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from backtesting import Strategy as LibraryStrategy

from core.errors import InputError, StrategyError
from data.features import engineered_features
from execution.causality import (
    OFFENCE_COLUMNS,
    START_COLUMNS,
    look_ahead_check,
    look_ahead_check_of_class,
    refuse_future_signals,
    warm_up_check,
)
from execution.registry import find_strategies
from execution.result import RunSettings
from execution.strategy import Parameter, Signals, Strategy, Values
from market.timeframes import Timeframe

SHIPPED = find_strategies().strategies
Judged = Callable[[pd.DataFrame, Values], Signals]


@pytest.fixture
def market(sample: pd.DataFrame) -> pd.DataFrame:
    """A thousand bars with a column of predictions."""
    return sample.iloc[:1000].assign(prediction=np.random.default_rng(5).uniform(size=1000))


def judged_by(signals: Judged, *parameters: Parameter, warm_up: int = 0) -> Strategy:
    return Strategy("Tried", "Tried", "T.", "this test", 1, parameters, signals, warm_up=lambda values: warm_up)


def wanted(values: Any) -> Signals:
    return Signals(np.nan_to_num(np.sign(np.asarray(values, dtype="float64"))).astype(np.int8))


def next_close(bars: pd.DataFrame, _values: Values) -> Signals:
    return wanted(bars["close"].shift(-1) - bars["close"])


def whole_column(bars: pd.DataFrame, _values: Values) -> Signals:
    return wanted((bars["close"] - bars["close"].mean()) / bars["close"].std())


def centred(bars: pd.DataFrame, _values: Values) -> Signals:
    return wanted(bars["close"].rolling(5, center=True).mean() - bars["close"])


def last_bar(bars: pd.DataFrame, _values: Values) -> Signals:
    return wanted(bars["close"].iloc[-1] - bars["close"])


def stops_of_tomorrow(bars: pd.DataFrame, _values: Values) -> Signals:
    return Signals(np.ones(len(bars)), stop_distance=(bars["high"].shift(-1) - bars["low"]).to_numpy())


def targets_of_tomorrow(bars: pd.DataFrame, _values: Values) -> Signals:
    return Signals(np.ones(len(bars)), target_distance=(bars["high"].shift(-3) - bars["low"]).to_numpy())


def far_ahead(bars: pd.DataFrame, _values: Values) -> Signals:
    return wanted(bars["volume"].shift(-40) - bars["volume"])


# The cheat, the signal it falsifies and the columns it takes from the future.
CHEATS: dict[str, tuple[Judged, str, tuple[str, ...]]] = {
    "the next close": (next_close, "position", ("close",)),
    "a figure over the whole column": (whole_column, "position", ("close",)),
    "a centred window": (centred, "position", ("close",)),
    "the last bar": (last_bar, "position", ("close",)),
    "tomorrow's high in the stop": (stops_of_tomorrow, "stop", ("high",)),
    "a later high in the target": (targets_of_tomorrow, "target", ("high",)),
    "forty bars ahead": (far_ahead, "position", ("volume",)),
}


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("cheat", CHEATS)
def test_a_strategy_that_cheats_is_caught_and_named(cheat: str, seed: int, market: pd.DataFrame) -> None:
    signals, signal, columns = CHEATS[cheat]
    report = look_ahead_check(judged_by(signals), market, seed=seed)
    assert not report.is_clean
    assert report.rewritten > 0
    assert set(report.offences["signal"]) == {signal}
    assert list(report.offences.columns) == list(OFFENCE_COLUMNS)
    assert report.columns_ahead == columns
    assert set(columns) <= set(report.columns_read)
    first = report.offences.iloc[0]
    assert f"{signal} at {first['time']:%Y-%m-%d %H:%M} UTC was" in report.sentence
    assert f"Tried reads later rows of {columns[0]}." in report.sentence


@pytest.mark.parametrize("name", SHIPPED)
def test_a_strategy_that_ships_is_clean(name: str, market: pd.DataFrame) -> None:
    report = look_ahead_check(SHIPPED[name], market, seed=3)
    assert report.is_clean
    assert (report.rewritten, report.columns_ahead, report.notes) == (0, (), ())
    assert len(report.offences) == 0
    assert report.sentence == (
        f"Nothing that {name} said was changed by later bars: {len(report.cuts)} prefixes replayed (seed 3)."
    )
    read = {
        "Predictions": {"prediction"},
        "ATR_Trailing_Trend": {"high", "low", "close"},
        "SMC_Confluence": {"open", "high", "low", "close", "volume"},
    }
    assert set(report.columns_read) == read.get(
        name, {"high", "low", "close"} if name == "Donchian_Breakout" else {"close"}
    )


def test_an_offence_says_what_was_said_and_when_it_could_be_known(market: pd.DataFrame) -> None:
    report = look_ahead_check(judged_by(targets_of_tomorrow), market, cuts=[500])
    # The last three bars of the prefix had no target; with all bars there they have one.
    assert report.offences["time"].tolist() == market.index[497:500].tolist()
    assert report.offences["said"].isna().all()
    expected = market["high"].to_numpy()[500:503] - market["low"].to_numpy()[497:500]
    assert report.offences["says_now"].tolist() == pytest.approx(expected)
    assert report.offences["bars_later"].tolist() == [2, 1, 0]
    assert set(report.offences["known_until"]) == {market.index[499]}
    assert "was none while the bars ended" in report.sentence


def test_cuts_lie_where_the_position_changes_and_anywhere_and_the_seed_deals_them_again(market: pd.DataFrame) -> None:
    crossover = SHIPPED["MA_Crossover"]
    given = {"fast_length": 5, "slow_length": 20}
    one, two, other = (look_ahead_check(crossover, market, given, cuts=40, seed=seed) for seed in (1, 1, 2))
    assert one.cuts == two.cuts != other.cuts
    assert one.sentence == two.sentence
    position = crossover.signals(market, crossover.values(given)).position
    changes = {int(row) + 1 for row in np.flatnonzero(np.diff(position, prepend=0))}
    assert len(changes & set(one.cuts)) >= 20
    assert set(one.cuts) - changes
    assert min(one.cuts) >= 20
    assert max(one.cuts) < len(market)
    drawn = look_ahead_check(crossover, market, given)
    assert f"(seed {drawn.seed})" in drawn.sentence


def test_a_peek_at_changes_only_is_found_where_they_are(market: pd.DataFrame) -> None:
    """Once in the sample, at one bar: random cuts alone would miss it nearly always."""

    def once(bars: pd.DataFrame, _values: Values) -> Signals:
        position = np.zeros(len(bars), np.int8)
        if len(bars) > 701:
            position[700:] = 1
        return Signals(position)

    report = look_ahead_check(judged_by(once), market, cuts=6, seed=0)
    assert report.rewritten == 1
    assert report.offences["time"].tolist() == [market.index[700]]


def test_the_column_to_blame_is_named_among_many(market: pd.DataFrame) -> None:
    bars = market.assign(sma_20=market["close"].rolling(20).mean(), idle=1.0, text="a")

    def mixed(bars: pd.DataFrame, _values: Values) -> Signals:
        return wanted(bars["close"] - bars["sma_20"].shift(-1))

    report = look_ahead_check(judged_by(mixed), bars, seed=1)
    assert report.columns_ahead == ("sma_20",)
    assert report.columns_read == ("close", "sma_20")


def test_a_column_that_was_made_of_the_future_is_named_when_it_can_be_made_again(market: pd.DataFrame) -> None:
    def engineer(bars: pd.DataFrame) -> pd.DataFrame:
        honest = engineered_features(bars, ("sma_10",))
        scaled = (bars["close"] - bars["close"].mean()) / bars["close"].std()
        return honest.assign(close_scaled=scaled, unread=bars["close"].shift(-1), idle="a")

    def follow(bars: pd.DataFrame, _values: Values) -> Signals:
        return wanted(bars["close_scaled"] + bars["close"] - bars["sma_10"])

    bars = market.join(engineer(market))
    blind = look_ahead_check(judged_by(follow), bars, seed=1)
    assert blind.is_clean  # the strategy itself is causal: only the making of its column is not
    report = look_ahead_check(judged_by(follow), bars, seed=1, remake=engineer)
    assert not report.is_clean
    assert (report.rewritten, report.columns_ahead, report.columns_remade) == (0, (), ("close_scaled",))
    assert report.sentence == "Tried reads close_scaled, made of later bars before the strategy saw them."


def test_features_of_the_pipeline_are_made_alike_of_fewer_bars(market: pd.DataFrame) -> None:
    def engineer(bars: pd.DataFrame) -> pd.DataFrame:
        return engineered_features(bars, ("sma_10", "ema_20", "rsi_14", "atr_14"))

    def follow(bars: pd.DataFrame, _values: Values) -> Signals:
        return wanted(bars["sma_10"] - bars["ema_20"] + bars["rsi_14"] - 50)

    report = look_ahead_check(judged_by(follow), market.join(engineer(market)), seed=1, remake=engineer)
    assert report.is_clean
    assert report.columns_read == ("sma_10", "ema_20", "rsi_14")


def test_a_strategy_of_chance_is_refused(market: pd.DataFrame) -> None:
    dice = np.random.default_rng(1)
    with pytest.raises(StrategyError, match="Tried says something else each time: position at 20"):
        look_ahead_check(judged_by(lambda bars, values: wanted(dice.normal(size=len(bars)))), market)


def test_a_strategy_that_wants_nothing_is_told_to_prove_little(market: pd.DataFrame) -> None:
    report = look_ahead_check(judged_by(lambda bars, values: Signals(np.zeros(len(bars)))), market)
    assert report.is_clean
    assert report.notes == ("The strategy wants nothing in these bars, so there was little to check.",)
    assert report.columns_read == ()


def test_prefixes_that_give_no_signals_are_counted(market: pd.DataFrame) -> None:
    def needs_many(bars: pd.DataFrame, _values: Values) -> Signals:
        if len(bars) < 500:
            raise ValueError("too short for me")
        return wanted(bars["close"].diff())

    report = look_ahead_check(judged_by(needs_many), market, cuts=[100, 200, 600])
    assert report.is_clean
    assert report.notes == (
        "2 prefixes gave no signals: Tried raised ValueError: too short for me. Mend the strategy's signals function.",
    )
    with pytest.raises(StrategyError, match="too short for me"):
        look_ahead_check(judged_by(needs_many), market, cuts=[100, 200])


@pytest.mark.parametrize("cut", [0, -1, 1000, 5000])
def test_a_cut_outside_the_bars_is_refused(cut: int, market: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=f"A cut of {cut} bars cannot be made. Cuts lie between 1 and 999."):
        look_ahead_check(judged_by(next_close), market, cuts=[cut])


def test_a_strategy_that_reads_nothing_of_a_changed_column_may_even_raise(market: pd.DataFrame) -> None:
    def picky(bars: pd.DataFrame, _values: Values) -> Signals:
        if not bars["volume"].equals(market["volume"].iloc[: len(bars)]):
            raise ValueError("I know my volume")
        return wanted(bars["close"].diff())

    report = look_ahead_check(judged_by(picky), market, seed=1)
    assert report.is_clean
    assert report.columns_read == ("close", "volume")


def test_bars_are_left_as_they_were(market: pd.DataFrame) -> None:
    def writes(bars: pd.DataFrame, _values: Values) -> Signals:
        return wanted(bars["close"].diff())

    before = market.copy(deep=True)
    look_ahead_check(judged_by(writes), market)
    warm_up_check(judged_by(writes), market)
    pd.testing.assert_frame_equal(market, before, check_exact=True)


@pytest.mark.parametrize("cheat", CHEATS)
def test_the_guard_of_every_run_refuses_a_cheat(cheat: str, market: pd.DataFrame) -> None:
    strategy = judged_by(CHEATS[cheat][0])
    whole = strategy.checked_signals(market, {})
    with pytest.raises(StrategyError) as refusal:
        refuse_future_signals(strategy, market, {}, whole)
    assert refusal.value.what.startswith(f"Tried uses the future: {CHEATS[cheat][1]} at 2017-")
    assert "no shift(-1)" in refusal.value.cure


@pytest.mark.parametrize("name", SHIPPED)
def test_the_guard_of_every_run_lets_the_honest_pass(name: str, market: pd.DataFrame) -> None:
    strategy = SHIPPED[name]
    refuse_future_signals(strategy, market, strategy.values(), strategy.checked_signals(market, strategy.values()))


def test_an_average_needs_as_many_bars_as_it_declares(market: pd.DataFrame) -> None:
    report = warm_up_check(SHIPPED["MA_Crossover"], market, {"fast_length": 5, "slow_length": 50})
    assert (report.declared, report.needed, report.is_enough) == (49, 49, True)
    assert report.sentence == "MA_Crossover needs no more than the 49 bars of warm-up it declares, begun at 12 places."
    assert list(report.starts.columns) == list(START_COLUMNS)
    assert len(report.starts) == 12
    assert (report.starts["bars_that_differ"] == 0).all()


def test_a_recursive_average_needs_more_bars_than_its_length(market: pd.DataFrame) -> None:
    def recursive(bars: pd.DataFrame, _values: Values) -> Signals:
        mean = bars["close"].ewm(alpha=0.05, adjust=False).mean()
        return Signals(np.ones(len(bars)), stop_distance=mean.to_numpy())

    report = warm_up_check(judged_by(recursive, warm_up=20), market, starts=8)
    # The start weighs 0.95ⁿ: of a distance of a hundredth it is a billionth after some 310 bars.
    assert report.needed is not None
    assert 200 < report.needed < 400
    assert not report.is_enough
    assert f"only after {report.needed} bars, begun at 8 places; it declares 20." in report.sentence
    settled = report.starts.set_index("signal")["bars_until_alike"]
    assert (settled["position"] == 0).all()
    assert settled["stop"].max() == report.needed


def test_a_strategy_that_never_forgets_its_start_is_named(market: pd.DataFrame) -> None:
    def counts_bars(bars: pd.DataFrame, _values: Values) -> Signals:
        return Signals(np.arange(len(bars)) // 7 % 2)

    report = warm_up_check(judged_by(counts_bars), market)
    assert (report.needed, report.is_enough) == (None, False)
    assert report.sentence == (
        "Where the bars begin decides the position of Tried to the last bar, begun at 12 places: results depend on the "
        "start of the data."
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_a_strategy_that_ships_forgets_where_the_bars_began(name: str, sample: pd.DataFrame) -> None:
    bars = sample.assign(prediction=np.random.default_rng(5).uniform(size=len(sample)))
    report = warm_up_check(SHIPPED[name], bars)
    assert report.needed is not None
    # Levels that nobody took stand for months.
    assert report.needed < (2500 if name == "SMC_Confluence" else 1000)
    late = report.starts["bars_until_alike"].max()
    # The measured need holds where nobody measured, too, give or take a held position.
    for start in (100, 1500 if name == "SMC_Confluence" else 2000):
        values = SHIPPED[name].values()
        whole = SHIPPED[name].checked_signals(bars, values).position
        part = SHIPPED[name].checked_signals(bars.iloc[start:], values).position
        assert len(part) > int(late) + 1000
        assert np.array_equal(part[int(late) + 1000 :], whole[start + int(late) + 1000 :])


def test_too_few_bars_to_begin_later_are_refused(market: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"51 bars are too few to check a warm-up of 49\. Take at least 52 bars\."):
        warm_up_check(SHIPPED["MA_Crossover"], market.iloc[:51], {"fast_length": 5, "slow_length": 50})
    least = warm_up_check(SHIPPED["MA_Crossover"], market.iloc[:52], {"fast_length": 5, "slow_length": 50})
    assert len(least.starts) == 1


@pytest.mark.parametrize("check", [look_ahead_check, warm_up_check])
def test_parameters_are_checked_first(check: Callable[..., object], market: pd.DataFrame) -> None:
    with pytest.raises(StrategyError, match="MA_Crossover has no parameter 'fast'"):
        check(SHIPPED["MA_Crossover"], market, {"fast": 5})
    with pytest.raises(StrategyError, match="raised ZeroDivisionError"):
        check(judged_by(lambda bars, values: 1 / 0), market)  # type: ignore[arg-type,return-value]


class Averages(LibraryStrategy):  # type: ignore[misc]  # the library is untyped
    """Two averages made of closes `ahead` bars later: honest with 0."""

    ahead = 0
    length = 30

    def init(self) -> None:
        closes = pd.Series(self.data.Close).shift(-self.ahead)
        self.fast = self.I(lambda: closes.rolling(self.length // 3).mean())
        self.slow = self.I(lambda: closes.rolling(self.length).mean())

    def next(self) -> None:
        if self.fast[-1] > self.slow[-1] and not self.position.is_long:
            self.position.close()
            self.buy(sl=0.9 * self.data.Close[-1])
        elif self.fast[-1] < self.slow[-1]:
            self.position.close()


class Idle(LibraryStrategy):  # type: ignore[misc]
    """Never trades."""

    def init(self) -> None:
        pass

    def next(self) -> None:
        pass


class StopOfTomorrow(Idle):
    """Buys now and then, with a stop below the lowest low of later bars."""

    def init(self) -> None:
        self.least = self.I(lambda: pd.Series(self.data.Low)[::-1].rolling(5, min_periods=1).min()[::-1])

    def next(self) -> None:
        if not self.position and len(self.data) % 50 == 0:
            self.buy(sl=self.least[-1] - 0.0001)


def settings_of(name: str, **parameters: object) -> RunSettings:
    return RunSettings(name, "EURUSD", Timeframe.H1, cash=10_000, spread_pips=0.6, parameters=parameters)


def test_an_honest_class_of_the_library_is_clean(market: pd.DataFrame) -> None:
    report = look_ahead_check_of_class(Averages, market, settings_of("Averages"), seed=1)
    assert report.is_clean
    assert report.notes == ()
    assert len(report.cuts) == 20
    assert min(report.cuts) >= 30
    assert report.sentence == "Nothing that Averages said was changed by later bars: 20 prefixes replayed (seed 1)."


@pytest.mark.parametrize("ahead", [1, 5])
def test_a_class_of_the_library_that_cheats_is_caught(ahead: int, market: pd.DataFrame) -> None:
    report = look_ahead_check_of_class(Averages, market, settings_of("Averages", ahead=ahead), seed=1)
    assert report.rewritten > 0
    assert set(report.offences["signal"]) <= {"orders", "levels", "position"}
    assert report.columns_ahead == ("close",)
    assert report.sentence.startswith("Averages uses the future: later bars rewrote ")
    assert report.sentence.endswith("Averages reads later rows of close.")


def test_a_stop_of_the_library_that_cheats_is_caught(market: pd.DataFrame) -> None:
    report = look_ahead_check_of_class(StopOfTomorrow, market, settings_of("StopOfTomorrow"), cuts=40, seed=1)
    assert "levels" in set(report.offences["signal"])
    assert report.columns_ahead == ("low",)


def test_a_class_that_never_trades_is_told_to_prove_little(market: pd.DataFrame) -> None:
    report = look_ahead_check_of_class(Idle, market.iloc[:60], settings_of("Idle"), cuts=3)
    assert report.is_clean
    assert report.notes == ("The strategy wants nothing in these bars, so there was little to check.",)
