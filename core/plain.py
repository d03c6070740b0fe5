"""Values made plain: what numpy and pandas return, turned into what JSON and SQLite can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any


def plain(value: Any) -> Any:
    """`value` in Python's own types, nested containers included.

    NaN, NaT, NA and infinities become None, times ISO text, durations seconds, anything else its text.
    """
    if value is None or (isinstance(value, (bool, int, str)) and not isinstance(value, Enum)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(member) for member in value]
    if type(value).__name__ in {"NaTType", "NAType"}:
        return None
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime):
        return value.isoformat()
    if type(value).__module__ == "numpy" and value.dtype.kind in "mM":  # nanoseconds would become bare integers
        value = value.astype(f"{value.dtype.kind}8[us]")
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return plain(value.tolist())
    return str(value)
