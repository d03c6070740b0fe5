"""Backtests that MetaTrader made: taken as JSON or as the tester's own files, once each, compared and exported."""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePosixPath
from typing import Any

import pandas as pd
import sqlalchemy as sa

from core.clock import utc_text
from core.csv_export import csv_bytes
from core.errors import InputError
from core.folders import write_file
from core.names import checked_name
from core.plain import plain
from core.settings import output_folder
from core.store import Store, inserted_id
from market.symbols import canonical_symbol
from market.timeframes import parse_timeframe
from mql5.bridge.messages import TesterResult
from mql5.tables import MQL5_DATA, results

_FIGURES = ("total_return", "sharpe_ratio", "win_rate", "max_drawdown", "trades_count")


class ImportStore:
    """The imported backtests of this workbench."""

    def __init__(self) -> None:
        self._store = Store(MQL5_DATA)

    def enter(self, result: TesterResult) -> tuple[dict[str, Any], bool]:
        """Store the statistics of a run as they were sent: (its row, whether it is new)."""
        said = result.model_dump()
        content = json.dumps(said, sort_keys=True, ensure_ascii=True).encode()
        values = {**said, "symbol": canonical_symbol(result.symbol), "timeframe": _timeframe(result.timeframe)}
        return self._once(content, {**values, "kind": "statistics"})

    def enter_file(self, content: bytes, name: str) -> tuple[dict[str, Any], bool]:
        """Store what MetaTrader wrote: (its row, whether it is new). Raises InputError for what is no such file."""
        digest = hashlib.sha256(content).hexdigest()
        if held := self._by_digest(digest):
            return held, False
        from mql5.bridge.report_rows import row_of_report

        return self._once(content, row_of_report(content, name))

    def all(self, symbol: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """The imported runs, newest first."""
        query = sa.select(results).order_by(results.c.id.desc()).limit(limit)
        return self._store.rows(query.where(results.c.symbol == canonical_symbol(symbol)) if symbol else query)

    def listed(self, limit: int = 200) -> list[dict[str, Any]]:
        """The imported runs, newest first, without their deals, inputs and texts; `has_deals` says whether there are.

        Deals are long; who lists runs does not read them.
        """
        long = {"deals", "inputs", "full_results"}
        columns = [column for column in results.c if column.name not in long]
        has_deals = (sa.func.coalesce(sa.func.length(results.c.deals), 0) > len("[]")).label("has_deals")
        return self._store.rows(sa.select(*columns, has_deals).order_by(results.c.id.desc()).limit(limit))

    def one(self, result_id: int) -> dict[str, Any] | None:
        """An imported run, or None."""
        found = self._store.rows(sa.select(results).where(results.c.id == result_id))
        return found[0] if found else None

    def export(self, symbol: str | None, output_path: str) -> tuple[str, int]:
        """Write the imported runs as CSV under `output_central/`: (the path from the workbench, rows).

        Of `output_path` only the last part counts. Raises InputError when that is no plain name ending in .csv.
        """
        name = checked_name(PurePosixPath(output_path.replace("\\", "/")).name, "output_path")
        if not name.lower().endswith(".csv"):
            raise InputError(f"output_path={output_path!r} does not end in .csv.", "Only CSV is written.")
        columns = ["id", "import_timestamp", "kind", "strategy_name", "symbol", "timeframe", "start_date", "end_date"]
        rows = self.all(symbol, 1_000_000)
        table = pd.DataFrame(rows, columns=[*columns, *_FIGURES, "totals_agree", "file_name", "content_sha256"])
        write_file(output_folder() / name, csv_bytes(table))
        return f"output_central/{name}", len(rows)

    def _by_digest(self, digest: str) -> dict[str, Any] | None:
        found = self._store.rows(sa.select(results).where(results.c.content_sha256 == digest))
        return found[0] if found else None

    def _once(self, content: bytes, values: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        digest = hashlib.sha256(content).hexdigest()
        query = sa.select(results).where(results.c.content_sha256 == digest)
        with self._store.write() as connection:
            if held := connection.execute(query).mappings().first():
                return dict(held), False
            values = {**values, "content_sha256": digest, "import_timestamp": utc_text()}
            key = inserted_id(connection, results, values)
        return {**dict.fromkeys(results.c.keys()), **values, "id": key}, True


def comparison(imported: list[dict[str, Any]], ours: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each imported run beside our newest of the same strategy and timeframe, and by how much ours is above it."""
    pairs = []
    for theirs in imported:
        same = [
            run
            for run in ours
            if (run["strategy_name"], run["timeframe"]) == (theirs["strategy_name"], theirs["timeframe"])
        ]
        run = same[0] if same else None
        differences = {name: _difference(run, theirs, name) for name in _FIGURES} if run else None
        pairs.append({"mt5": _figures(theirs), "sequence": run, "difference": differences})
    return pairs


def _figures(row: dict[str, Any]) -> dict[str, Any]:
    left_out = {"full_results", "deals", "inputs", "problems"}
    return {name: plain(value) for name, value in row.items() if name not in left_out}


def _difference(ours: dict[str, Any], theirs: dict[str, Any], name: str) -> float | None:
    a, b = ours.get(name), theirs.get(name)
    return None if a is None or b is None else a - b


def _timeframe(text: str) -> str:
    try:
        return str(parse_timeframe(text))
    except InputError as error:  # an unknown name here is a bad message, not an absent page
        raise InputError(error.what, error.cure) from None
