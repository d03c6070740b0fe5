"""Every file a run can become, as its button makes it, and a run brought back through the page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

import workbench
from data.pipeline_controller import controller
from execution.backtest_manager import StoredRun, manager
from execution.costs import Costs
from execution.runs import runs_folder
from mql5.files.tester_settings import read_ini, read_set
from mql5.files.trades_csv import read_trades


def panel() -> None:
    """What a page does with the panel, as a script of its own."""
    from components.panels.exports import ask_import, show_exports
    from components.panels.remarks import show_outcome
    from execution.backtest_manager import manager

    show_outcome("backtest")
    ask_import()
    runs = manager.runs()
    if runs:
        show_exports(runs[0])


@pytest.fixture
def open_panel() -> Callable[[], AppTest]:
    def open_it() -> AppTest:
        app = AppTest.from_function(panel, default_timeout=60).run()
        assert not app.exception
        return app

    return open_it


Buttons = dict[str, dict[str, Any]]


@pytest.fixture
def buttons(open_panel: Callable[[], AppTest], monkeypatch: pytest.MonkeyPatch) -> Callable[[], Buttons]:
    """The download buttons of the newest run, by label, with what they were given."""

    def read() -> Buttons:
        found: Buttons = {}
        monkeypatch.setattr("streamlit.download_button", lambda label, **given: found.update({label: given}))
        open_panel()
        return found

    return read


def words(app: AppTest) -> str:
    kinds = ("caption", "markdown", "error", "warning", "info")
    return "\n".join(str(getattr(each, "value", "")) for kind in kinds for each in app.get(kind)).replace("\\", "")


def upload(app: AppTest, content: bytes, run_id: str = "") -> AppTest:
    app.file_uploader[0].set_value(("run.json", content, "application/json"))
    if run_id:
        app.text_input[0].set_value(run_id)
    return app.button(key="backtest.import.do").click().run()


def test_every_file_of_a_run_is_offered_and_can_be_made(sample_run: str, buttons: Callable[[], Buttons]) -> None:
    offered = buttons()
    assert {label: given["file_name"] for label, given in offered.items()} == {
        "Tear sheet (HTML)": f"tear_sheet_{sample_run}.html",
        "Plot of backtesting.py (HTML)": f"plot_{sample_run}.html",
        "Statistics (CSV)": f"statistics_{sample_run}.csv",
        "Trades (CSV)": f"trades_{sample_run}.csv",
        "Equity (CSV)": f"equity_{sample_run}.csv",
        "Whole run (JSON)": f"{sample_run}.json",
        "Parameters (.set)": f"{sample_run}.set",
        "Strategy Tester (.ini)": f"{sample_run}.ini",
        "Trades for scripts (CSV)": f"mt5_trades_{sample_run}.csv",
    }
    assert not any(given.get("disabled") for given in offered.values())
    assert len({given["key"] for given in offered.values()}) == 9
    made = {label: given["data"]() for label, given in offered.items()}
    run, trades = manager.run(sample_run), manager.trades(manager.run(sample_run))

    sheet = made["Tear sheet (HTML)"]
    assert "Buy and hold" in sheet
    assert '<span class="chip mark">sample data</span>' in sheet
    assert "The first variant on this data" in sheet
    assert "Trades (42)" in made["Plot of backtesting.py (HTML)"]

    rows = pd.read_csv(BytesIO(made["Statistics (CSV)"]), dtype=str).to_dict("records")
    statistics: dict[str, dict[Any, Any]] = {row["name"]: row for row in rows}
    assert float(statistics["sharpe_ratio"]["value"]) == run.sharpe_ratio
    assert statistics["sharpe_ratio"]["source"].startswith("W. F. Sharpe")
    assert statistics["lib_sharpe_ratio"]["source"] == "backtesting.py"
    equity = pd.read_csv(BytesIO(made["Equity (CSV)"]))
    assert list(equity.columns) == ["time (UTC)", "equity", "drawdown_pct"]
    assert equity["equity"].tolist() == run.equity().tolist()
    assert len(pd.read_csv(BytesIO(made["Trades (CSV)"]))) == 42

    assert json.loads(made["Whole run (JSON)"])["run"]["run_id"] == sample_run

    inputs = read_set(made["Parameters (.set)"]).inputs
    assert {name: each.value for name, each in inputs.items()} == {
        name: str(value) for name, value in run.settings["parameters"].items()
    }
    test = read_ini(made["Strategy Tester (.ini)"])
    assert (test.symbol, str(test.timeframe), test.deposit, test.currency, test.leverage) == (
        "EURUSD",
        "H1",
        10_000.0,
        "USD",
        1,
    )
    assert (str(test.first), str(test.last), test.expert) == ("2017-04-19", "2018-02-07", "MA_Crossover.ex5")
    assert {each.name: each for each in test.inputs} == inputs
    back = read_trades(made["Trades for scripts (CSV)"])
    for name in ("size", "entry_price", "exit_price", "pnl", "entry_time", "exit_time"):
        assert back[name].tolist() == trades[name].tolist()


def test_what_cannot_be_made_is_disabled_with_the_reason(sample_run: str, buttons: Callable[[], Buttons]) -> None:
    plot = "Plot of backtesting.py (HTML)"
    version = controller.version(manager.run(sample_run).dataset_hash)
    extras = manager.run_backtest(version, strategy_name="RSI_Bands", margin=1 / 30, costs=Costs(lots=0.01))
    manager.save_result("extras", result=extras)
    offered = buttons()
    assert offered[plot]["disabled"]
    assert "FX extras" in offered[plot]["help"]
    assert read_ini(offered["Strategy Tester (.ini)"]["data"]()).leverage == 30

    manager.delete_run("extras")
    version.parquet_file.unlink()
    offered = buttons()
    assert offered[plot]["disabled"]
    assert "is gone" in offered[plot]["help"]
    assert "buy and hold is not drawn" in offered["Tear sheet (HTML)"]["data"]()

    (runs_folder() / sample_run / "equity.parquet").unlink()
    offered = buttons()
    refused = {label for label, given in offered.items() if given.get("disabled")}
    assert refused == {plot, "Tear sheet (HTML)", "Equity (CSV)", "Whole run (JSON)"}


def test_a_class_given_from_python_has_neither_plot_nor_parameters(buttons: Callable[[], Buttons]) -> None:
    from backtesting import Strategy as LibraryStrategy

    class Idle(LibraryStrategy):  # type: ignore[misc]  # the library is untyped
        def init(self) -> None: ...

        def next(self) -> None: ...

    index = pd.date_range("2024-01-02", periods=50, freq="h", tz="UTC", name="time")
    bars = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), 1.1), index=index).assign(volume=1.0)
    manager.save_result("idle", result=manager.run_backtest(bars, Idle, symbol="EURUSD"))
    offered = buttons()
    refused = {label: given["help"] for label, given in offered.items() if given.get("disabled")}
    assert set(refused) == {"Plot of backtesting.py (HTML)", "Parameters (.set)"}
    assert "a class given from Python" in refused["Plot of backtesting.py (HTML)"]
    assert "no parameters" in refused["Parameters (.set)"]
    assert "This run made no trade" in offered["Tear sheet (HTML)"]["data"]()


def test_an_exported_run_comes_back_through_the_page_and_is_open(
    sample_run: str, open_panel: Callable[[], AppTest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = manager.export_run(sample_run)
    monkeypatch.setenv("SEQUENCE_HOME", str(tmp_path / "elsewhere"))
    app = upload(open_panel(), document)
    assert not app.error
    assert f"Run {sample_run} is imported. Its dataset" in words(app)
    assert "is not in this workbench" in words(app)
    assert app.session_state["run"] == sample_run
    assert manager.export_run(sample_run) == document
    app = upload(app, document)
    assert f"Run {sample_run} holds the same already; nothing was stored." in words(app)
    assert len(manager.runs()) == 1
    app = upload(app, document, "a_copy")
    assert "Run a_copy is imported." in words(app)
    assert [run.run_id for run in manager.runs()] == ["a_copy", sample_run]


def test_in_its_own_workbench_it_finds_its_dataset(sample_run: str, open_panel: Callable[[], AppTest]) -> None:
    document, before = manager.export_run(sample_run), manager.run(sample_run)
    manager.delete_run(sample_run)
    app = upload(open_panel(), document)
    assert f"Run {sample_run} is imported." in words(app)
    assert "is not in this workbench" not in words(app)
    assert manager.run(sample_run) == before


def test_what_cannot_be_imported_is_told_and_nothing_is_stored(
    sample_run: str, open_panel: Callable[[], AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = manager.export_run(sample_run)
    manager.delete_run(sample_run)
    app = open_panel()
    app = app.button(key="backtest.import.do").click().run()
    assert "No file was chosen." in words(app)
    app = upload(app, b"time,open\n1,2\n")
    assert "The file is no JSON document" in words(app)
    app = upload(app, document.replace(b'"cash": 10000.0', b'"cash": 90000.0'))
    assert "was changed since it was written: run.cash" in words(app)
    assert "Export the run again" in words(app)
    app = upload(app, document, "../escape")
    assert "run_id='../escape' cannot be used as a name." in words(app)
    monkeypatch.setenv("SEQUENCE_DATA__CSV_MAX_MIB", "0.01")
    app = upload(app, document, "small")
    assert "at most 0.01 MiB are read" in words(app)
    assert manager.runs() == []
    assert not app.exception


def test_a_taken_name_is_told_with_a_free_one_that_works(sample_run: str, open_panel: Callable[[], AppTest]) -> None:
    document = manager.export_run(sample_run)
    version = controller.version(manager.run(sample_run).dataset_hash)
    manager.delete_run(sample_run)
    other: StoredRun = manager.save_result(sample_run, result=manager.run_backtest(version, strategy_name="RSI_Bands"))
    app = upload(open_panel(), document)
    assert f"'{sample_run}' already stands for another run." in words(app)
    assert f"'{sample_run}_2' is free" in words(app)
    app = upload(app, document, f"{sample_run}_2")
    assert f"Run {sample_run}_2 is imported." in words(app)
    assert manager.run(sample_run) == other


def test_the_panel_reads_no_curve_and_no_bars_while_it_is_only_shown(
    sample_run: str, open_panel: Callable[[], AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pd, "read_parquet", lambda *_args, **_options: pytest.fail("a file was read"))
    app = open_panel()
    labels = {str(getattr(button, "label", "")) for button in app.get("download_button")}
    assert labels >= {"Tear sheet (HTML)", "Whole run (JSON)"}


def test_the_example_of_the_document_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(workbench.__file__).parent / "docs" / "exports.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    (printed,) = re.findall(r"```text\n(.*?)```", text, re.S)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/exports.md", "exec"), {})  # noqa: S102  # the document's own lines
    assert capsys.readouterr().out == printed


def test_the_document_names_every_button(sample_run: str, buttons: Callable[[], Buttons]) -> None:
    text = (Path(workbench.__file__).parent / "docs" / "exports.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| ([^|`]+?) \| `([^`]+)` \|", text, re.M))
    offered = {label: given["file_name"].replace(sample_run, "<run>") for label, given in buttons().items()}
    assert told == offered
