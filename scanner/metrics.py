"""How the scanner does: findings and setups per symbol and timeframe, distributions, time it takes. Frames for a page.

Each function takes the frame of `scanner.store.list_scans`, so that one reading serves them all.
"""

from __future__ import annotations

import pandas as pd

_SERIES = ["symbol", "timeframe", "source"]


def detection_rates(scans: pd.DataFrame) -> pd.DataFrame:
    """A row a series: `bars findings candidates setups`, and findings and setups in a thousand bars."""
    whole = _scanned(scans)
    table = whole[[*_SERIES, "bars", "findings", "candidates", "setups"]].copy()
    for name in ("findings", "setups"):
        table[f"{name}_per_1000_bars"] = 1000 * whole[name] / whole["bars"]
    return table.reset_index(drop=True)


def pattern_distribution(scans: pd.DataFrame) -> pd.DataFrame:
    """How many findings of each kind on each timeframe: `timeframe kind findings`, the most frequent kind first."""
    return _spread(scans, "kinds", "kind", "findings").sort_values(
        ["timeframe", "findings"], ascending=[True, False], ignore_index=True
    )


def score_distribution(scans: pd.DataFrame) -> pd.DataFrame:
    """How many candidates of each score, cut to whole points, on each timeframe: `timeframe score candidates`."""
    table = _spread(scans, "scores", "score", "candidates").astype({"score": "int64"})
    return table.sort_values(["timeframe", "score"], ignore_index=True)


def processing_times(scans: pd.DataFrame) -> pd.DataFrame:
    """What the last scan of each series took: `read_ms`, `scan_ms` and `ns_per_bar` of the scan alone."""
    whole = _scanned(scans)
    table = whole[[*_SERIES, "bars", "read_ms", "scan_ms"]].copy()
    table["ns_per_bar"] = 1e6 * whole["scan_ms"] / whole["bars"]
    return table.sort_values("scan_ms", ascending=False, ignore_index=True)


def failures(scans: pd.DataFrame) -> pd.DataFrame:
    """The series that could not be scanned: `symbol timeframe source scanned_at failure cure`."""
    failed = scans[scans["failure"].notna()]
    return failed[[*_SERIES, "scanned_at", "failure", "cure"]].reset_index(drop=True)


def _scanned(scans: pd.DataFrame) -> pd.DataFrame:
    return scans[scans["bars"] > 0]


def _spread(scans: pd.DataFrame, column: str, name: str, count: str) -> pd.DataFrame:
    """Counts kept as JSON a series, summed over the series of each timeframe."""
    rows = [
        (timeframe, key, number)
        for timeframe, counts in zip(scans["timeframe"], scans[column], strict=True)
        for key, number in (counts or {}).items()
    ]
    table = pd.DataFrame(rows, columns=["timeframe", name, count])
    summed: pd.DataFrame = table.groupby(["timeframe", name], as_index=False).sum()
    return summed.astype({count: "int64"})
