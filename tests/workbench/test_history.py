"""Earlier runs on the Backtesting page: found, opened, written to, loaded back into the form, deleted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from seen import words
from streamlit.testing.v1 import AppTest

import execution.strategies
import workbench
from core.errors import StoreLockedError
from data.pipeline_controller import DatasetVersion, controller
from execution.backtest_manager import StoredRun, manager
from execution.strategy import Signals, Strategy

OpenPage = Callable[..., AppTest]
PAGE = workbench.BACKTESTING.file
DROPPED = """
import numpy as np
from execution.strategy import Parameter, Signals, Strategy

STRATEGY = Strategy(
    "Dropped", "Dropped", "Long.", "a test", VERSION,
    (Parameter("length", 5, "Bars", low=1, high=50), Parameter("fast", True, "Whether")),
    lambda bars, values: Signals(np.ones(len(bars), np.int8)),
)
"""


def made_bars(seed: int, rows: int = 400) -> pd.DataFrame:
    """Hourly bars that wander."""
    close = 1.1 * np.exp(np.random.default_rng(seed).normal(0, 0.001, rows).cumsum())
    index = pd.date_range("2024-01-02", periods=rows, freq="h", tz="UTC", name="time")
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), close), index=index)
    return frame.assign(volume=1.0, symbol="EURUSD")


def listed(app: AppTest) -> list[str]:
    table = app.get_by_key("backtest.runs").value
    assert isinstance(table, pd.DataFrame)
    return list(table["Run"])


def click_row(app: AppTest, row: int) -> AppTest:
    app.session_state["backtest.runs"] = {"selection": {"rows": [row], "columns": [], "cells": []}}
    return app.run()


def opened(app: AppTest) -> str:
    """The run that page, address and list agree to be the open one."""
    run_id = str(app.session_state["run"])
    assert app.query_params["run"] == run_id
    marked = app.session_state["backtest.runs"]["selection"]["rows"]
    assert [listed(app)[row] for row in marked] == [run_id]
    return run_id


def shown_net(app: AppTest) -> str:
    return next(metric.value for metric in app.metric if metric.label.startswith("Net,"))


@pytest.fixture
def version() -> DatasetVersion:
    return controller.publish(made_bars(1))


@pytest.fixture
def runs(version: DatasetVersion) -> list[StoredRun]:
    """Three runs, newest first: `third` is RSI bands, the others cross averages; `first` is tagged."""
    for name, strategy, parameters in (
        ("first", "MA_Crossover", {"fast_length": 5, "slow_length": 20}),
        ("second", "MA_Crossover", {"fast_length": 8, "slow_length": 30, "side": "long only"}),
        ("third", "RSI_Bands", {"length": 7}),
    ):
        result = manager.run_backtest(
            version, strategy_name=strategy, parameters=parameters, commission=0.0007, margin=1 / 30, cash=25_000
        )
        manager.save_result(name, result=result)
    manager.annotate("first", note="Holds over the roll.", tags=["london"])
    return manager.runs()


@pytest.fixture
def strategies_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is looked through beside the shipped strategies."""
    folder = tmp_path / "strategies"
    folder.mkdir()
    monkeypatch.setattr(execution.strategies, "__path__", [*execution.strategies.__path__, str(folder)])
    yield folder
    sys.modules.pop("execution.strategies.dropped", None)


def test_the_list_shows_every_run_with_figures_that_sort_as_numbers(open_page: OpenPage, runs: list[StoredRun]) -> None:
    app = open_page(PAGE)
    assert not app.exception
    table = app.get_by_key("backtest.runs").value
    assert list(table["Run"]) == ["third", "second", "first"]
    assert list(table["Net, %"]) == [run.total_return for run in runs]
    assert {str(table[name].dtype) for name in ("Net, %", "Sharpe", "Drawdown, %")} == {"float64"}
    assert table["Trades"].dtype.kind == "i"
    assert (table["Tags"].iloc[2], table["Note"].iloc[2]) == ("london", "Holds over the roll.")
    assert opened(app) == "third"


def test_a_clicked_row_opens_its_run(open_page: OpenPage, runs: list[StoredRun]) -> None:
    app = click_row(open_page(PAGE), 2)
    assert opened(app) == "first"
    assert "fast_length 5" in words(app)
    assert "Holds over the roll." in words(app)
    assert opened(click_row(app, 1)) == "second"


def test_a_click_means_the_list_that_was_seen_not_the_one_that_came_since(
    open_page: OpenPage, runs: list[StoredRun], version: DatasetVersion
) -> None:
    app = open_page(PAGE)
    manager.save_result("newer", result=manager.run_backtest(version, strategy_name="RSI_Bands"))
    app = click_row(app, 2)
    assert listed(app) == ["newer", "third", "second", "first"]
    assert opened(app) == "first"


def test_a_run_made_after_a_click_is_opened_not_the_row_that_is_still_selected(
    open_page: OpenPage, runs: list[StoredRun]
) -> None:
    app = click_row(open_page(PAGE), 1)
    app.button(key="backtest.run").click().run()
    assert not app.error
    assert opened(app) == manager.runs()[0].run_id != "third"


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("runs.find", "ROLL", ["first"]),
        ("runs.strategy", "MA_Crossover", ["second", "first"]),
        ("runs.symbol", "EURUSD", ["third", "second", "first"]),
        ("runs.tag", "london", ["first"]),
    ],
)
def test_the_list_is_filtered_and_the_open_run_stays_open(
    key: str, value: str, found: list[str], open_page: OpenPage, runs: list[StoredRun]
) -> None:
    app = open_page(PAGE)
    app.get_by_key(key).set_value(value).run()
    assert listed(app) == found
    assert f"{len(found)} of 3 runs" in words(app)
    assert app.session_state["run"] == "third"


def test_a_row_of_a_filtered_list_opens_its_run(open_page: OpenPage, runs: list[StoredRun]) -> None:
    app = open_page(PAGE)
    app.get_by_key("runs.find").set_value("london").run()
    assert opened(click_row(app, 0)) == "first"


def test_a_link_carries_the_filters(open_page: OpenPage, runs: list[StoredRun]) -> None:
    app = open_page(PAGE, **{"runs.strategy": "MA_Crossover", "runs.find": "second", "run": "second"})
    assert listed(app) == ["second"]
    assert opened(app) == "second"


def test_filters_that_nothing_answers_to_say_so_and_can_be_cleared(open_page: OpenPage, runs: list[StoredRun]) -> None:
    app = open_page(PAGE, **{"runs.find": "first", "runs.tag": "tokyo"})
    assert "None of the 3 runs matches these filters." in words(app)
    with pytest.raises(KeyError):
        app.get_by_key("backtest.runs")
    app.button(key="runs.clear").click().run()
    assert listed(app) == ["third", "second", "first"]


def test_note_and_tags_are_saved_and_read_back(open_page: OpenPage, runs: list[StoredRun]) -> None:
    app = open_page(PAGE)
    app.text_area(key="backtest.note").set_value("  Try *with* a stop. ")
    app.text_input(key="backtest.tags").set_value("tokyo, , Night shift,tokyo")
    app.button(key="backtest.note.save").click().run()
    assert not app.error
    assert (manager.run("third").note, manager.run("third").tags) == ("Try *with* a stop.", ["tokyo", "Night shift"])
    assert "Note and tags of third are saved." in words(app)
    assert "Try *with* a stop." in words(app)
    assert app.text_area(key="backtest.note").value == "Try *with* a stop."
    assert app.text_input(key="backtest.tags").value == "tokyo, Night shift"
    assert "Note and tags of third are saved." not in words(app.run())


def test_tags_that_cannot_be_kept_are_refused_in_words_and_stay_in_the_form(
    open_page: OpenPage, runs: list[StoredRun]
) -> None:
    app = open_page(PAGE, run="first")
    app.text_input(key="backtest.tags").set_value("fine, what?")
    app.button(key="backtest.note.save").click().run()
    [error] = app.error
    assert "'what?'" in error.value.replace("\\", "")
    assert "What to do" in error.value
    assert app.text_input(key="backtest.tags").value == "fine, what?"
    assert manager.run("first").tags == ["london"]


def test_the_form_holds_the_note_of_the_run_that_is_open(open_page: OpenPage, runs: list[StoredRun]) -> None:
    app = open_page(PAGE)
    assert app.text_area(key="backtest.note").value == ""
    app = click_row(app, 2)
    assert app.text_area(key="backtest.note").value == "Holds over the roll."
    app = app.switch_page(workbench.OVERVIEW.file).run().switch_page(PAGE).run()
    app.get_by_key("run").select("first").run()
    assert app.text_area(key="backtest.note").value == "Holds over the roll."


def test_a_note_written_elsewhere_meanwhile_is_not_overwritten_unseen(
    open_page: OpenPage, runs: list[StoredRun]
) -> None:
    app = open_page(PAGE)
    manager.annotate("third", note="from the other tab")
    app.text_area(key="backtest.note").set_value("from this tab")
    app.button(key="backtest.note.save").click().run()
    [error] = app.error
    assert "from the other tab" in error.value
    assert manager.run("third").note == "from the other tab"
    assert app.text_area(key="backtest.note").value == "from this tab"
    app.button(key="backtest.note.save").click().run()
    assert not app.error
    assert manager.run("third").note == "from this tab"


def test_deleting_asks_once_more_naming_the_run(open_page: OpenPage, runs: list[StoredRun]) -> None:
    app = open_page(PAGE, run="second")
    app.button(key="backtest.delete").click().run()
    assert "Delete second with its" in words(app)
    assert "Delete second" in app.button(key="backtest.delete.yes").label
    app.button(key="backtest.delete.no").click().run()
    assert "Delete second with its" not in words(app)
    assert [run.run_id for run in manager.runs()] == ["third", "second", "first"]


def test_a_question_that_was_left_open_does_not_come_back_with_another_run(
    open_page: OpenPage, runs: list[StoredRun]
) -> None:
    app = open_page(PAGE)
    app.button(key="backtest.delete").click().run()
    app = click_row(click_row(app, 1), 0)
    assert opened(app) == "third"
    assert "Delete third with its" not in words(app)


def test_a_deleted_run_is_gone_and_the_newest_is_opened(open_page: OpenPage, runs: list[StoredRun]) -> None:
    app = open_page(PAGE, run="second")
    app.button(key="backtest.delete").click().run()
    app.button(key="backtest.delete.yes").click().run()
    assert not app.error
    assert not app.warning
    assert "Run second is deleted." in words(app)
    assert listed(app) == ["third", "first"] == [run.run_id for run in manager.runs()]
    assert opened(app) == "third"


def test_after_the_last_run_the_page_leads_to_the_first_again(open_page: OpenPage, runs: list[StoredRun]) -> None:
    for run in runs[1:]:
        manager.delete_run(run.run_id)
    app = open_page(PAGE)
    app.button(key="backtest.delete").click().run()
    app.button(key="backtest.delete.yes").click().run()
    assert not app.exception
    assert not app.warning
    assert "Run third is deleted." in words(app)
    assert "No run yet" in words(app)
    assert "run" not in app.query_params
    app.button(key="backtest.run").click().run()
    assert opened(app) == manager.runs()[0].run_id


def test_a_run_deleted_in_another_tab_is_told_when_it_is_deleted_again(
    open_page: OpenPage, runs: list[StoredRun]
) -> None:
    app = open_page(PAGE, run="second")
    app.button(key="backtest.delete").click().run()
    manager.delete_run("second")
    app.button(key="backtest.delete.yes").click().run()
    assert not app.exception
    assert not app.error
    assert "Run second was deleted already, in another tab or from Python." in words(app)
    assert opened(app) == "third"


def test_a_run_deleted_in_another_tab_is_told_at_the_next_look(open_page: OpenPage, runs: list[StoredRun]) -> None:
    app = open_page(PAGE, run="second")
    manager.delete_run("second")
    app.run()
    assert not app.exception
    [warning] = app.warning
    assert "There is no run 'second'" in warning.value
    assert opened(app) == "third"
    assert not app.run().warning


def test_a_note_for_a_run_deleted_in_another_tab_is_a_sentence(open_page: OpenPage, runs: list[StoredRun]) -> None:
    app = open_page(PAGE, run="second")
    manager.delete_run("second")
    app.text_area(key="backtest.note").set_value("too late")
    app.button(key="backtest.note.save").click().run()
    assert not app.exception
    [error] = app.error
    assert "There is no run 'second'" in error.value.replace("\\", "")


def test_a_link_to_a_deleted_run_says_so_and_shows_the_newest(open_page: OpenPage, runs: list[StoredRun]) -> None:
    manager.delete_run("second")
    app = open_page(PAGE, run="second")
    [warning] = app.warning
    assert "There is no run 'second'" in warning.value
    assert opened(app) == "third"


def test_a_database_that_is_locked_while_deleting_is_a_failure_and_the_run_stays(
    open_page: OpenPage, runs: list[StoredRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(_run_id: str) -> None:
        raise StoreLockedError("Another program holds it.", "Close it.")

    app = open_page(PAGE)
    app.button(key="backtest.delete").click().run()
    monkeypatch.setattr(manager, "delete_run", locked)
    app.button(key="backtest.delete.yes").click().run()
    assert not app.exception
    [error] = app.error
    assert "Another program holds it" in error.value
    assert opened(app) == "third"


@pytest.mark.parametrize("run_id", ["first", "second", "third"])
def test_loaded_settings_make_the_same_run_again(run_id: str, open_page: OpenPage, runs: list[StoredRun]) -> None:
    app = open_page(PAGE, run=run_id, strategy="RSI_Bands" if run_id != "third" else "MA_Crossover")
    app.button(key="backtest.load").click().run()
    assert not app.exception
    assert not app.warning
    assert f"The form holds the settings of {run_id}." in words(app)
    run = manager.run(run_id)
    assert app.session_state["strategy"] == run.strategy_name
    for name, value in run.settings["parameters"].items():
        assert app.get_by_key(f"backtest.{run.strategy_name}.{name}").value == value
    costs = [app.get_by_key(f"backtest.{name}").value for name in ("cash", "leverage", "spread", "commission")]
    assert costs == [25_000.0, 30.0, 0.0, 0.07]
    app.button(key="backtest.run").click().run()
    assert not app.error
    assert len(manager.runs()) == 3
    assert app.session_state["run"] == run_id


def test_loaded_settings_bring_back_the_dataset(open_page: OpenPage, runs: list[StoredRun]) -> None:
    newer = controller.publish(made_bars(2))
    app = open_page(PAGE)
    assert app.session_state["dataset"] == newer.short_hash
    app.button(key="backtest.load").click().run()
    assert app.session_state["dataset"] == runs[0].dataset_hash[:8]


def test_loaded_settings_bring_back_the_symbol_among_several(open_page: OpenPage) -> None:
    both = pd.concat([made_bars(1), made_bars(2).assign(symbol="GBPUSD")]).sort_index(kind="stable")
    result = manager.run_backtest(controller.publish(both), strategy_name="RSI_Bands", symbol="GBPUSD")
    manager.save_result("pound", result=result)
    app = open_page(PAGE)
    assert app.get_by_key("backtest.symbol").value == "EURUSD"
    app.button(key="backtest.load").click().run()
    assert app.get_by_key("backtest.symbol").value == "GBPUSD"


def made_with_a_class(bars: DatasetVersion) -> str:
    strategy = Strategy("Own", "Own", "Long.", "a test", 1, (), lambda frame, _: Signals(np.ones(len(frame), np.int8)))
    return manager.save_result(result=manager.run_backtest(bars, strategy)).run_id


def made_with_a_function(bars: DatasetVersion) -> str:
    result = manager.run_backtest(bars, strategy_name="RSI_Bands", commission=lambda size, price: 2.0)
    return manager.save_result(result=result).run_id


def made_with_a_leverage_of_1000(bars: DatasetVersion) -> str:
    return manager.save_result(
        result=manager.run_backtest(bars, strategy_name="RSI_Bands", margin=0.001, commission=0.001)
    ).run_id


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            made_with_a_class,
            "The strategy Own that Own_EURUSD_H1_1 was made with is no longer in execution/strategies.",
        ),
        (made_with_a_function, "is function <lambda>; the form takes a percentage only."),
        (made_with_a_leverage_of_1000, "was made with leverage 1000; the form takes 1 to 500."),
    ],
)
def test_settings_that_the_form_cannot_hold_are_told_and_the_form_stays(
    make: Callable[[DatasetVersion], str], sentence: str, open_page: OpenPage, version: DatasetVersion
) -> None:
    app = open_page(PAGE, run=make(version))
    app.get_by_key("backtest.cash").set_value(77_000.0)
    app.button(key="backtest.load").click().run()
    assert not app.exception
    [error] = app.error
    assert sentence in error.value.replace("\\", "")
    assert "What to do" in error.value
    assert app.get_by_key("backtest.cash").value == 77_000.0


def test_a_dataset_that_is_gone_is_told_when_its_settings_are_loaded(
    open_page: OpenPage, runs: list[StoredRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [controller.publish(made_bars(2))]
    monkeypatch.setattr(controller, "versions", lambda limit=None: others)
    app = open_page(PAGE)
    app.button(key="backtest.load").click().run()
    assert not app.exception
    [error] = app.error
    assert f"The dataset {runs[0].dataset_hash[:8]} that third was made on is no longer there." in error.value


@pytest.mark.parametrize("view", ["Trades", "Statistics"])
def test_an_earlier_run_is_shown_as_it_was_when_its_strategy_is_gone(
    open_page: OpenPage, version: DatasetVersion, strategies_folder: Path, view: str
) -> None:
    file = strategies_folder / "dropped.py"
    file.write_text(DROPPED.replace("VERSION", "1"))
    run = manager.save_result(result=manager.run_backtest(version, strategy_name="Dropped"))
    before = open_page(PAGE, run=run.run_id, view=view)
    figures = [(metric.label, metric.value) for metric in before.metric]
    tables = [frame.value for frame in before.dataframe]
    file.unlink()
    sys.modules.pop("execution.strategies.dropped")
    app = open_page(PAGE, run=run.run_id, view=view)
    assert "Dropped" not in app.get_by_key("strategy").options
    assert not app.exception
    assert not app.error
    assert [(metric.label, metric.value) for metric in app.metric] == figures
    assert len(tables) > 1  # the runs, and what the view shows
    for table, shown in zip(tables, app.dataframe, strict=True):
        pd.testing.assert_frame_equal(shown.value, table)
    app.button(key="backtest.load").click().run()
    [error] = app.error
    assert "The strategy Dropped that" in error.value.replace("\\", "")


def test_settings_of_an_older_version_of_the_strategy_are_loaded_with_a_word(
    open_page: OpenPage, version: DatasetVersion, strategies_folder: Path
) -> None:
    file = strategies_folder / "dropped.py"
    file.write_text(DROPPED.replace("VERSION", "1"))
    manager.save_result(
        result=manager.run_backtest(version, strategy_name="Dropped", parameters={"length": 9, "fast": False})
    )
    file.write_text(DROPPED.replace("VERSION", "12"))
    sys.modules.pop("execution.strategies.dropped")
    app = open_page(PAGE)
    app.button(key="backtest.load").click().run()
    assert "Dropped is at version 12 now, the run was made with version 1" in words(app)
    assert [app.get_by_key(f"backtest.Dropped.{name}").value for name in ("length", "fast")] == [9, False]


def test_an_earlier_run_is_shown_as_it_was_when_its_dataset_has_newer_siblings(
    open_page: OpenPage, runs: list[StoredRun], version: DatasetVersion
) -> None:
    before = open_page(PAGE, run="first")
    net, tables = shown_net(before), [frame.value for frame in before.dataframe]
    controller.publish(made_bars(3, rows=600))
    again = controller.publish(made_bars(1))
    assert (again.content_hash, again.id) != (version.content_hash, version.id)
    app = open_page(PAGE, run="first")
    assert not app.error
    assert shown_net(app) == net
    assert f"400 bars, 2024-01-02 to 2024-01-18 · dataset {version.short_hash}" in words(app).replace("\u202f", " ")
    for table, shown in zip(tables, app.dataframe, strict=True):
        pd.testing.assert_frame_equal(shown.value, table)
