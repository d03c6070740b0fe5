"""What differs between two dataset versions: rows, figures, columns, settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from data.bar_store import SAME_WITHIN
from data.versions import DatasetVersion
from market.bars import OPTIONAL_RAW_COLUMNS, PRICES, RAW_COLUMNS

FIRST_ROWS = 20
RAW = (*RAW_COLUMNS, *OPTIONAL_RAW_COLUMNS)
Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Difference:
    """What changed from one version to another; `first_…` are at most 20 rows of each kind, times UTC.

    Rows count as changed where a raw figure differs by more than the last bits; columns that preprocessing added
    are counted by themselves in `cells_changed`, column → cells.
    """

    added: int = 0
    removed: int = 0
    changed: int = 0
    first_added: pd.DataFrame = field(default_factory=pd.DataFrame)
    first_removed: pd.DataFrame = field(default_factory=pd.DataFrame)
    first_changed: pd.DataFrame = field(default_factory=pd.DataFrame)
    columns_added: tuple[str, ...] = ()
    columns_removed: tuple[str, ...] = ()
    cells_changed: Mapping[str, int] = field(default_factory=dict)


def diff_versions(here: DatasetVersion, there: DatasetVersion) -> Difference:
    """What `there` has that `here` has not, and the other way round: rows by symbol and time, figures, columns."""
    if here.content_hash == there.content_hash:
        return Difference()
    ours, theirs = set(here.columns), set(there.columns)
    shared = [name for name in there.columns if name in ours and name not in {"symbol", "source"}]
    parts = [_difference_of(here, there, symbol, shared) for symbol in _symbols_of(here, there)]
    cells: dict[str, int] = {}
    for part in parts:
        for name, count in part.cells_changed.items():
            cells[name] = cells.get(name, 0) + count
    return Difference(
        added=sum(part.added for part in parts),
        removed=sum(part.removed for part in parts),
        changed=sum(part.changed for part in parts),
        first_added=_first([part.first_added for part in parts]),
        first_removed=_first([part.first_removed for part in parts]),
        first_changed=_first([part.first_changed for part in parts]),
        columns_added=tuple(name for name in there.columns if name not in ours),
        columns_removed=tuple(name for name in here.columns if name not in theirs),
        cells_changed=cells,
    )


def settings_that_differ(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(name, here, there) of each setting the two do not share; nested ones as `outer.inner`, absent ones None."""
    ours, theirs = dict(_flat(here)), dict(_flat(there))
    names = [*theirs, *(name for name in ours if name not in theirs)]
    return [(name, ours.get(name), theirs.get(name)) for name in names if ours.get(name) != theirs.get(name)]


def _symbols_of(here: DatasetVersion, there: DatasetVersion) -> Sequence[str | None]:
    """The symbols of both; None stands for bars without one, which are compared with those of the other's only one."""
    if not here.symbols or not there.symbols:
        return [None]
    return list(dict.fromkeys([*there.symbols, *here.symbols]))


def _difference_of(
    here: DatasetVersion, there: DatasetVersion, symbol: str | None, shared: Sequence[str]
) -> Difference:
    ours, theirs = _bars(here, symbol, shared), _bars(there, symbol, shared)
    at_theirs = ours.index.get_indexer(theirs.index)
    both = at_theirs >= 0
    gone = np.ones(len(ours), dtype=bool)
    gone[at_theirs[both]] = False
    old, new = ours.iloc[at_theirs[both]], theirs[both]
    cells: dict[str, int] = {}
    broken: dict[str, Flags] = {}
    for name in shared:
        differ = _differ(old[name].to_numpy(), new[name].to_numpy())
        if differ.any():
            cells[name] = int(differ.sum())
            if name in RAW:
                broken[name] = differ
    changed = np.logical_or.reduce(list(broken.values())) if broken else np.zeros(len(new), dtype=bool)
    listed = [
        {
            "time": new.index[row],
            "symbol": symbol or "",
            "column": name,
            "here": old[name].iat[row],
            "there": new[name].iat[row],
        }
        for row in np.flatnonzero(changed)[:FIRST_ROWS].tolist()
        for name in broken
        if broken[name][row]
    ]
    return Difference(
        int((~both).sum()),
        int(gone.sum()),
        int(changed.sum()),
        _listed(theirs[~both], symbol),
        _listed(ours[gone], symbol),
        pd.DataFrame(listed, columns=["time", "symbol", "column", "here", "there"]),
        cells_changed=cells,
    )


def _first(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True).head(FIRST_ROWS) if filled else tables[0]


def _bars(version: DatasetVersion, symbol: str | None, columns: Sequence[str]) -> pd.DataFrame:
    if symbol is not None and symbol not in version.symbols:
        return pd.DataFrame({name: np.empty(0) for name in columns}, index=pd.DatetimeIndex([], tz="UTC", name="time"))
    return version.bars(symbol, columns=columns)


def _differ(old: np.ndarray[Any, Any], new: np.ndarray[Any, Any]) -> Flags:
    """Which figures are not the same; two missing ones are."""
    if old.dtype.kind not in "fiub" or new.dtype.kind not in "fiub":
        return np.asarray(pd.Series(old).astype("str").to_numpy() != pd.Series(new).astype("str").to_numpy())
    old, new = old.astype("float64"), new.astype("float64")
    with np.errstate(invalid="ignore"):
        apart = np.abs(new - old) > SAME_WITHIN * np.maximum(np.abs(new), np.abs(old))
    return np.asarray(apart | (np.isnan(old) != np.isnan(new)))


def _listed(bars: pd.DataFrame, symbol: str | None) -> pd.DataFrame:
    """The first rows, their prices."""
    first = bars.head(FIRST_ROWS)
    table = pd.DataFrame({"time": first.index, "symbol": symbol or ""})
    for name in PRICES:
        table[name] = first[name].to_numpy() if name in first else np.nan
    return table


def _flat(settings: Mapping[str, Any], outer: str = "") -> Sequence[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in settings.items():
        found += _flat(value, f"{outer}{name}.") if isinstance(value, Mapping) else [(f"{outer}{name}", value)]
    return found
