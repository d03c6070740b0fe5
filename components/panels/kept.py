"""How `st.cache_data` tells arguments apart that do not change under one identity: `hash_funcs=BY_CONTENT`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from data.versions import DatasetVersion
from execution.runs import StoredRun
from execution.sweep_store import StoredSweep

BY_CONTENT: dict[str | type[Any], Callable[[Any], Any]] = {
    # An id may be given anew once its row was deleted.
    StoredRun: lambda run: (run.id, run.content_digest),
    StoredSweep: lambda row: (row.id, row.completed_at),
    DatasetVersion: lambda version: (version.content_hash, str(version.timeframe)),
}
