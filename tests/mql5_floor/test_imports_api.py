"""Imports: the tester's results once each, beside our runs, and out again as CSV under a safe name."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from bridging import Client

from mql5.bridge.imports import comparison
from mql5.bridge.watch import WatchedFolder

SPEC_RESULT = {
    "strategy_name": "MA_Crossover",
    "symbol": "GBPUSD",
    "timeframe": "1H",
    "start_date": "2025-01-01",
    "end_date": "2025-12-06",
    "total_return": 15.5,
    "sharpe_ratio": 1.45,
    "win_rate": 65.2,
    "max_drawdown": -8.3,
    "trades_count": 125,
}


def exported(run: str = "b3f7") -> bytes:
    """What the Expert Advisor's OnTester writes: one round trip of 0.1 lots."""
    deals = [
        [1735812000, 2, "EURUSD", 0, 0, 0.1, 1.03512, -0.35, 0.0, 0.0, 7, ""],
        [1735815600, 3, "EURUSD", 1, 1, 0.1, 1.03612, -0.35, 0.0, 10.0, 7, ""],
    ]
    return json.dumps(
        {"schema": "mt5.tester.v1", "ea": "Toy", "build": 5833, "symbol": "EURUSD", "period": "PERIOD_H1",
         "from": 1735689600, "to": 1767139200, "deposit": 10000.0, "currency": "USD", "leverage": 100,
         "inputs": {"InpFast": 12}, "stats": {"STAT_PROFIT": 9.3, "STAT_TRADES": 1}, "deals": deals, "run_id": run}
    ).encode()  # fmt: skip


def test_the_result_of_the_specification_is_imported_once_and_compared(client: Client) -> None:
    first = client.post("/backtest/import", SPEC_RESULT)
    assert (first.status_code, first.json["success"], first.json["duplicate"]) == (200, True, False)
    assert client.post("/backtest/import", SPEC_RESULT).json["duplicate"] is True
    answer = client.get("/backtest/comparison/GBPUSD?limit=10").json
    assert (answer["symbol"], answer["count"]) == ("GBPUSD", 1)
    [pair] = answer["comparisons"]
    assert (pair["mt5"]["timeframe"], pair["mt5"]["total_return"], pair["sequence"]) == ("H1", 15.5, None)


def test_a_run_of_ours_stands_beside_theirs_with_the_difference() -> None:
    theirs: dict[str, Any] = {**SPEC_RESULT, "timeframe": "H1"}
    ours = {**theirs, "total_return": 16.0, "trades_count": 120, "win_rate": None}
    [pair] = comparison([theirs], [{**ours, "strategy_name": "Other"}, ours])
    assert pair["sequence"] is ours
    assert pair["difference"]["total_return"] == 0.5
    assert pair["difference"]["trades_count"] == -5
    assert pair["difference"]["win_rate"] is None


def test_our_own_experts_export_is_recognised_by_its_content(client: Client) -> None:
    answer = client.post("/backtest/import", exported())
    assert answer.status_code == 200, answer.json
    assert answer.json["kind"] == "export"
    uploaded = client.post("/backtest/import", None, data={"file": (io.BytesIO(exported()), "run.json")})
    assert uploaded.json["duplicate"] is True
    assert uploaded.json["result_id"] == answer.json["result_id"]
    row = client.bridge.imports.one(answer.json["result_id"])
    assert (row["symbol"], row["timeframe"], row["trades_count"], len(row["deals"])) == ("EURUSD", "H1", 1, 2)
    assert row["total_return"] == pytest.approx(0.093)


@pytest.mark.parametrize("body", [b"<html>", b"a,b\n1,2\n", b'{"schema": "mt5.tester.v1"}', b"PK\x03\x04", b"\0"])
def test_what_is_no_report_is_refused_with_a_cure(client: Client, body: bytes) -> None:
    answer = client.post("/backtest/import", body)
    assert answer.status_code == 422
    assert answer.json["cure"]


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("output_central/backtest_results.csv", "backtest_results.csv"),
        ("../../etc/results.csv", "results.csv"),
        ("C:\\Users\\me\\results.csv", "results.csv"),
    ],
)
def test_an_export_is_written_under_a_safe_name(client: Client, home: Path, asked: str, written: str) -> None:
    client.post("/backtest/import", SPEC_RESULT)
    answer = client.post("/backtest/export", {"symbol": "GBPUSD", "output_path": asked}).json
    assert (answer["output_path"], answer["rows"]) == (f"output_central/{written}", 1)
    assert "MA_Crossover" in (home / "output_central" / written).read_text(encoding="utf-8")


@pytest.mark.parametrize("asked", ["mql5_data.db", "..", "con.csv", "bridge.key", "a/", ".csv", "x\0.csv"])
def test_an_export_overwrites_nothing_else(client: Client, asked: str) -> None:
    assert client.post("/backtest/export", {"output_path": asked}).status_code == 422


def test_a_watched_folder_imports_a_file_that_stands_still_once(client: Client, tmp_path: Path) -> None:
    watched = WatchedFolder(tmp_path / "common", client.bridge.imports)
    assert watched.look() == 0
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "run.json").write_bytes(exported()[:50])
    (tmp_path / "common" / "notes.txt").write_text("no report", encoding="utf-8")
    assert watched.look() == 0
    (tmp_path / "common" / "run.json").write_bytes(exported())  # it was still being written
    assert [watched.look(), watched.look(), watched.look()] == [0, 1, 0]
    assert len(client.bridge.imports.all("EURUSD")) == 1


def test_a_file_that_cannot_be_read_now_holds_up_no_other_and_is_taken_later(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_bytes(exported(name))
    watched = WatchedFolder(tmp_path, client.bridge.imports)
    watched.look()
    with monkeypatch.context() as held:
        read = Path.read_bytes

        def refuse(file: Path) -> bytes:
            if file.name == "a.json":
                raise PermissionError(13, "held by its writer", str(file))
            return read(file)

        held.setattr(Path, "read_bytes", refuse)
        assert watched.look() == 1
    assert [watched.look(), watched.look()] == [1, 0]
