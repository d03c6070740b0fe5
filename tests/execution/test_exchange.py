"""A run as a document and back: equal in everything but its ids, and refused when anything in it was changed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.errors import DiskError, InputError, InterventionError, NameTakenError, UnknownNameError
from core.store import Store
from data.pipeline_controller import controller
from execution import exchange, tables
from execution.backtest_manager import BacktestResult, StoredRun, manager
from execution.exchange import NO_VERSION, import_document, run_document
from execution.ledger import trials_on
from execution.runs import runs_folder

STORE = Store(tables.BACKTEST_RESULTS)


def rows_of(run: StoredRun) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The stored columns of a run and its trades, apart from what means something in one database only."""
    (row,) = STORE.rows(tables.runs.select().where(tables.runs.c.id == run.id))
    trades = STORE.rows(
        tables.trades.select().where(tables.trades.c.backtest_id == run.id).order_by(tables.trades.c.id)
    )
    here_only = {"id", "backtest_id", "dataset_version_id"}
    kept = [{name: each[name] for name in each if name not in here_only} for each in (row, *trades)]
    return kept[0], kept[1:]


def stored(result: BacktestResult, name: str = "first") -> StoredRun:
    manager.save_result(name, result=result)
    return manager.annotate(name, note="<script>alert('½')</script>\n=1+1", tags=["london", "A B"])


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Go to another workbench, which knows nothing of the first one's datasets."""

    def go() -> None:
        monkeypatch.setenv("SEQUENCE_HOME", str(tmp_path / "elsewhere"))

    return go


def changed(document: bytes, change: Callable[[dict[str, Any]], None], *, sealed: bool = False) -> bytes:
    """The document after a change; `sealed` makes its digests anew, as somebody who means it would."""
    members = json.loads(document)
    change(members)
    if sealed:
        members["digests"] = exchange._digests(members)
        members["digest"] = exchange._digest(members["digests"])
    return json.dumps(members).encode()


def test_a_deleted_run_comes_back_equal_in_every_stored_column(result: BacktestResult) -> None:
    run = stored(result)
    before, equity, document = rows_of(run), run.equity(), run_document(STORE, run)
    manager.delete_run("first")
    back = import_document(STORE, document)
    assert rows_of(back) == before
    assert back == replace(run, id=back.id)
    assert back.dataset_version_id == run.dataset_version_id
    pd.testing.assert_series_equal(back.equity(), equity, check_exact=True, check_freq=True)
    assert run_document(STORE, back) == document


def test_a_run_comes_back_where_its_dataset_is_not(result: BacktestResult, elsewhere: Callable[[], None]) -> None:
    run = stored(result)
    before, equity, document = rows_of(run), run.equity(), run_document(STORE, run)
    trades = manager.trades(run)
    elsewhere()
    back = import_document(STORE, document)
    assert rows_of(back) == before
    assert (back.dataset_hash, back.dataset_version_id) == (run.dataset_hash, NO_VERSION)
    pd.testing.assert_series_equal(back.equity(), equity, check_exact=True)
    pd.testing.assert_frame_equal(manager.trades(back), trades, check_exact=True)
    with pytest.raises(UnknownNameError):
        controller.version(back.dataset_hash)


def test_numbers_that_json_does_not_have_come_back(
    bars: pd.DataFrame, wishing: Callable[..., Any], elsewhere: Callable[[], None]
) -> None:
    won_only = manager.run_backtest(bars, wishing([0, 1, 1, 1, *[0] * 16]), symbol="EURUSD")
    run = manager.save_result("won", result=won_only)
    assert run.profit_factor == math.inf
    document = run_document(STORE, run)
    assert json.loads(document)["run"]["profit_factor"] == "Infinity"
    assert json.loads(document)["run"]["sharpe_ratio"] is None
    elsewhere()
    back = import_document(STORE, document)
    assert back.profit_factor == back.metrics["profit_factor"] == math.inf
    assert back.sharpe_ratio is None


def test_every_bit_of_a_curve_survives(result: BacktestResult, elsewhere: Callable[[], None]) -> None:
    chance = np.random.default_rng(5)
    odd = [math.inf, -math.inf, 5e-324, 1.7976931348623157e308, -0.0, 0.1 + 0.2]
    values = np.concatenate([odd, chance.normal(1e4, 1e3, len(result.equity) - len(odd))])
    times = pd.DatetimeIndex(result.equity.index).as_unit("ns") + pd.Timedelta(1, "ns")
    run = manager.save_result("odd", result=replace(result, equity=pd.Series(values, times.rename("time"))))
    document = run_document(STORE, run)
    elsewhere()
    back = import_document(STORE, document).equity()
    assert back.to_numpy().tobytes() == values.tobytes()
    assert back.index.equals(times)
    assert (str(back.index.dtype), back.index.name) == ("datetime64[ns, UTC]", "time")


def test_a_run_without_trades_comes_back(
    bars: pd.DataFrame, wishing: Callable[..., Any], elsewhere: Callable[[], None]
) -> None:
    run = manager.save_result("idle", result=manager.run_backtest(bars, wishing([0] * 20), symbol="EURUSD"))
    before, document = rows_of(run), run_document(STORE, run)
    elsewhere()
    assert rows_of(import_document(STORE, document)) == before
    assert before[1] == []


def test_the_same_content_is_returned_as_it_stands(result: BacktestResult) -> None:
    run = stored(result)
    document = run_document(STORE, run)
    manager.annotate("first", note="Changed since.")
    assert import_document(STORE, document).note == "Changed since."
    assert import_document(STORE, document, as_run_id="first").id == run.id
    assert len(manager.runs()) == 1
    copy = import_document(STORE, document, as_run_id="copy")
    assert (copy.run_id, copy.content_digest) == ("copy", run.content_digest)
    assert [each.run_id for each in manager.runs()] == ["copy", "first"]


def test_a_name_that_stands_for_another_run_is_refused_naming_a_free_one(
    result: BacktestResult, other: BacktestResult
) -> None:
    document = run_document(STORE, stored(result))
    manager.delete_run("first")
    manager.save_result("FIRST", result=other)
    with pytest.raises(NameTakenError, match="'first_2' is free"):
        import_document(STORE, document)
    assert [run.run_id for run in manager.runs()] == ["FIRST"]
    assert import_document(STORE, document, as_run_id="first_2").run_id == "first_2"


@pytest.mark.parametrize("name", ["../out", "a/b", "", "con", ".hidden", "x" * 65, "C:\\x"])
def test_a_run_id_is_never_a_path(result: BacktestResult, name: str, home: Path) -> None:
    document = run_document(STORE, stored(result))
    manager.delete_run("first")
    there = sorted(home.rglob("*"))
    with pytest.raises(InputError, match="cannot be used as a name"):
        import_document(STORE, changed(document, lambda members: members["run"].update(run_id=name), sealed=True))
    with pytest.raises(InputError, match="cannot be used as a name"):
        import_document(STORE, document, as_run_id=name)
    assert sorted(home.rglob("*")) == there


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda members: members["run"].update(note="better"), "run.note"),
        (lambda members: members["run"]["settings"]["parameters"].update(fast=9), "run.settings"),
        (lambda members: members["run"].update(total_return=99.0), "run.total_return"),
        (lambda members: members["trades"]["pnl"].__setitem__(0, 1e6), "trades.pnl"),
        (lambda members: members["trades"].pop("tag"), "trades.tag"),
        (lambda members: members["equity"]["equity"].__setitem__(3, 1.0), "equity.equity"),
        (lambda members: members["equity"]["time"].pop(), "equity.time"),
        (lambda members: members["run"].update(more=1), "run.more"),
        (lambda members: members["digests"].pop("run.note"), "its digests are"),
        (lambda members: members.pop("digest"), "its digests are"),
        (lambda members: members.pop("equity"), "no part equity"),
    ],
)
def test_a_changed_document_is_refused_naming_what_differs(
    result: BacktestResult, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    document = changed(run_document(STORE, stored(result)), change)
    manager.delete_run("first")
    with pytest.raises(InputError, match=words):
        import_document(STORE, document)
    assert manager.runs() == []
    assert list(runs_folder().iterdir()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda members: members["run"].update(bars="twenty"), "run.bars is 'twenty'"),
        (lambda members: members["run"].update(cash=True), "run.cash is True"),
        (lambda members: members["run"].update(cash=-5.0), "cash=-5.0"),
        (lambda members: members["run"].update(total_return="much"), "run.total_return is 'much'"),
        (lambda members: members["run"].update(more=1), "run.more, which this Sequence does not know"),
        (lambda members: members["run"].pop("engine"), "no run.engine"),
        (lambda members: members["run"].update(trades_count=7), "trades_count 7 and holds 2"),
        (lambda members: members["run"].update(timeframe="H7"), "H7"),
        (lambda members: members["run"].update(symbol="?"), "no symbol"),
        (lambda members: members["run"].update(settings={}), "settings of the run cannot be read"),
        (lambda members: members["run"].update(settings=[]), "run.settings is no table"),
        (lambda members: members["run"]["settings"].update(costs={"lotz": 1}), "Costs have no 'lotz'"),
        (lambda members: members["run"].update(metrics={"sqn": "high"}), "run.metrics.sqn is 'high'"),
        (lambda members: members["run"].update(notes=[1]), "no texts"),
        (lambda members: members["run"].update(tags=["<b>"]), "The tag '<b>' cannot be used"),
        (lambda members: members["run"].update(note="x" * 3000), "3000 characters"),
        (lambda members: members["run"].update(created_at="today"), "settings of the run cannot be read"),
        (lambda members: members["trades"]["size"].pop(), "not equally long"),
        (lambda members: members["trades"].update(size="12"), "not equally long"),
        (lambda members: members["trades"]["entry_time"].__setitem__(0, "noon"), "A time of trades"),
        (lambda members: members["trades"]["side"].__setitem__(0, None), "trades.side is None"),
        (lambda members: members["equity"]["time"].reverse(), "do not increase"),
        (lambda members: members["equity"]["time"].__setitem__(0, 5), "A time of equity"),
        (lambda members: members["equity"].update(unit="fortnight"), "equity curve cannot be read"),
        (lambda members: members["equity"]["equity"].__setitem__(0, "1"), "equity.equity is '1'"),
    ],
)
def test_a_document_made_up_with_new_digests_stores_nothing(
    result: BacktestResult, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    document = changed(run_document(STORE, stored(result)), change, sealed=True)
    manager.delete_run("first")
    with pytest.raises(InputError, match=words):
        import_document(STORE, document)
    assert manager.runs() == []
    assert list(runs_folder().iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no JSON document"),
        (b"PAR1\x00\xff\xfe", "no JSON document"),
        (b"time,open,high\r\n", "no JSON document"),
        (b"[" * 100_000, "no JSON document"),
        (b'{"format": "sequence-backtest-run", "x": NaN}', "NaN is no number of JSON"),
        (b'{"x": ' + b"9" * 5000 + b"}", "no JSON document"),
        (b"[1, 2]", "no exported run"),
        (b'{"format": "other"}', "no exported run"),
        (b'{"format": "sequence-backtest-run", "format_version": 2}', "format version 2; this Sequence reads 1"),
        (b'{"format": "sequence-backtest-run", "format_version": 1, "run": []}', "no part run, trades, equity"),
    ],
)
def test_anything_else_than_a_document_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        import_document(STORE, content)
    file = tmp_path / "file.json"
    file.write_bytes(content)
    with pytest.raises(InputError, match=words):
        import_document(STORE, file)
    assert not STORE.path.exists()


def test_a_document_beyond_the_limit_is_refused_before_it_is_read(
    result: BacktestResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(run_document(STORE, stored(result)))
    assert import_document(STORE, file).run_id == "first"
    monkeypatch.setenv("SEQUENCE_DATA__CSV_MAX_MIB", "0.001")
    monkeypatch.setattr(Path, "read_bytes", lambda _path: pytest.fail("it was read"))
    with pytest.raises(InputError, match=r"at most 0\.001 MiB are read"):
        import_document(STORE, file)
    with pytest.raises(InputError, match="cannot be read"):
        import_document(STORE, tmp_path / "absent.json")


def test_indented_by_another_program_it_is_still_the_same_document(
    result: BacktestResult, elsewhere: Callable[[], None]
) -> None:
    document = run_document(STORE, stored(result))
    elsewhere()
    pretty = json.dumps(json.loads(document), indent=2, ensure_ascii=True)
    assert run_document(STORE, import_document(STORE, b"\xef\xbb\xbf" + pretty.encode())) == document


def test_a_run_that_is_gone_or_has_lost_its_curve_is_not_exported(
    result: BacktestResult, other: BacktestResult
) -> None:
    run = stored(result)
    (runs_folder() / "first" / "equity.parquet").unlink()
    with pytest.raises(InterventionError, match="equity curve of run first cannot be read"):
        run_document(STORE, run)
    manager.delete_run("first")
    manager.save_result("first_1", result=other)
    with pytest.raises(UnknownNameError, match="'first_1'"):
        run_document(STORE, run)


def test_an_imported_run_keeps_its_dataset_from_being_deleted(result: BacktestResult) -> None:
    document = run_document(STORE, stored(result))
    manager.delete_run("first")
    version = controller.version(import_document(STORE, document).dataset_hash)
    used = [run.run_id for run in manager.runs() if run.dataset_hash == version.content_hash]
    with pytest.raises(InputError, match="run first"):
        controller.delete_version(version, used_by=lambda _version: [f"run {name}" for name in used])


def test_an_import_that_fails_half_way_leaves_nothing(
    result: BacktestResult, elsewhere: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = run_document(STORE, stored(result))
    elsewhere()
    with monkeypatch.context() as broken:
        broken.setattr(exchange, "keep", lambda *_args, **_options: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(DiskError, match="full"):
            import_document(STORE, document)
    assert manager.runs() == []
    assert STORE.rows(tables.trades.select()) == STORE.rows(tables.ledger.select()) == []
    assert list(runs_folder().iterdir()) == []
    assert import_document(STORE, document).run_id == "first"


def test_an_imported_variant_counts_once_in_the_trial_ledger(
    result: BacktestResult, elsewhere: Callable[[], None]
) -> None:
    run = stored(result)
    document = run_document(STORE, run)
    manager.delete_run("first")
    import_document(STORE, document)
    assert trials_on(run.dataset_hash).count == 1
    elsewhere()
    assert trials_on(run.dataset_hash).count == 0
    import_document(STORE, document)
    import_document(STORE, document, as_run_id="copy")
    assert trials_on(run.dataset_hash).count == 1
