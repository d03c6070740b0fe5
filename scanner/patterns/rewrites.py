"""Whether findings are ever rewritten: what was known at a bar, found anew with and without the bars after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from core.errors import InputError
from market.symbols import AssetClass
from scanner.patterns.all import DEFAULTS, find_patterns
from scanner.patterns.findings import Findings
from scanner.patterns.settings import PatternSettings

MOST_EXAMPLES = 20
Find = Callable[[pd.DataFrame], Findings]


@dataclass(frozen=True)
class Rewrites:
    """How many findings differ between prefixes and the whole; `examples` are frames' rows with `bars` and `seen`.

    `seen` says where a finding was: only "then", on the bars up to there, or only "later", when more were known.
    """

    count: int
    prefixes: int
    examples: pd.DataFrame

    @property
    def badge(self) -> str:
        """As the workbench shows it: "0 rewrites / 200 prefixes"."""
        return f"{self.count:,} {'rewrite' if self.count == 1 else 'rewrites'} / {self.prefixes:,} prefixes"


def count_rewrites(
    bars: pd.DataFrame,
    settings: PatternSettings = DEFAULTS,
    prefixes: int = 200,
    asset_class: AssetClass = AssetClass.FX,
    find: Find | None = None,
) -> Rewrites:
    """Find patterns on so many prefixes of `bars`, spread evenly, and hold each against the whole at its last bar.

    `find` may be given to judge other findings; without it that is `find_patterns`.
    """
    if prefixes < 1:
        raise InputError(f"prefixes={prefixes!r} proves nothing.", "Give 1 or more.")
    finding = find or (lambda some: find_patterns(some, settings, asset_class))
    whole = finding(bars)
    lengths = np.unique(np.linspace(1, len(bars), min(prefixes, len(bars))).astype(np.int64))
    count = 0
    examples: list[pd.DataFrame] = []
    for length in lengths.tolist():
        then, later = finding(bars.iloc[:length]), whole.as_known(length - 1)
        if _same(then, later):
            continue
        changed = differences(then, later, pd.DatetimeIndex(bars.index))
        count += len(changed)
        if sum(len(example) for example in examples) < MOST_EXAMPLES:
            examples.append(changed.assign(bars=length))
    shown = pd.concat(examples, ignore_index=True).head(MOST_EXAMPLES) if examples else pd.DataFrame()
    return Rewrites(count, len(lengths), shown)


def differences(then: Findings, later: Findings, times: pd.DatetimeIndex) -> pd.DataFrame:
    """The findings that are in one only, as rows with `seen`: "then" or "later"."""
    counted: dict[Any, int] = {}
    rows = {"then": _rows(then), "later": _rows(later)}
    for name, step in (("then", 1), ("later", -1)):
        for row in rows[name]:
            counted[row] = counted.get(row, 0) + step
    parts = []
    for name, found, step in (("then", then, 1), ("later", later, -1)):
        picked = []
        for at, row in enumerate(rows[name]):
            if counted[row] * step > 0:
                counted[row] -= step
                picked.append(at)
        parts.append(found.where(np.array(picked, dtype=np.int64)).frame(times).assign(seen=name))
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def _rows(findings: Findings) -> list[Any]:
    columns = (np.nan_to_num(getattr(findings, field.name), nan=-1.0).tolist() for field in fields(findings))
    return list(zip(*columns, strict=True))


def _same(one: Findings, other: Findings) -> bool:
    pairs = ((getattr(one, field.name), getattr(other, field.name)) for field in fields(Findings))
    return len(one) == len(other) and all(np.array_equal(mine, theirs, equal_nan=True) for mine, theirs in pairs)
