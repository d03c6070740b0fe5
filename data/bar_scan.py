"""Columns of numbers straight out of SQLite, without a Python object for each of them.

A compiled loop steps through the rows. It calls the very library that Python's own `sqlite3` works with,
and never another: a second copy of SQLite in one process drops the first one's locks when it closes the
file (sqlite.org/howtocorrupt.html, 2.2.1), which is why faster readers that bring their own are not used.
"""

from __future__ import annotations

import ctypes
import sqlite3
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

import llvmlite.binding  # type: ignore[import-untyped]
import numba
import numpy as np
from numba import types

_ROWS_TOGETHER = 65_536
_ROW, _DONE = 100, 101
_READ_ONLY, _ONE_THREAD_ONLY = 0x1, 0x8000
_COPIED = ctypes.c_void_p(-1)

_step: Any = types.ExternalFunction("sqlite3_step", types.int32(types.intp))
_whole: Any = types.ExternalFunction("sqlite3_column_int64", types.int64(types.intp, types.int32))
_real: Any = types.ExternalFunction("sqlite3_column_double", types.float64(types.intp, types.int32))


def scan(
    database: Path, query: str, parameters: tuple[str | int, ...], figures: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """What `query` selects, an integer and then so many numbers a row: (integers, numbers by column).

    None when it cannot be read this way, for whatever reason; the ordinary way then says what is wrong.
    """
    library = _library()
    if library is None:
        return None
    connection, statement = ctypes.c_void_p(), ctypes.c_void_p()
    try:
        flags = _READ_ONLY | _ONE_THREAD_ONLY
        if library.sqlite3_open_v2(str(database).encode(), ctypes.byref(connection), flags, None):
            return None
        if library.sqlite3_prepare_v2(connection, query.encode(), -1, ctypes.byref(statement), None):
            return None
        for place, value in enumerate(parameters, start=1):
            if isinstance(value, str):
                library.sqlite3_bind_text(statement, place, value.encode(), -1, _COPIED)
            else:
                library.sqlite3_bind_int64(statement, place, value)
        return _all_rows(statement.value or 0, figures)
    finally:
        library.sqlite3_finalize(statement)
        library.sqlite3_close(connection)


def _all_rows(statement: int, figures: int) -> tuple[np.ndarray, np.ndarray] | None:
    wholes, numbers, code = [], [], _ROW
    while code == _ROW:
        part = np.empty(_ROWS_TOGETHER, dtype=np.int64), np.empty((figures, _ROWS_TOGETHER))
        rows, code = _fill(statement, *part)
        wholes.append(part[0][:rows])
        numbers.append(part[1][:, :rows])
    return (np.concatenate(wholes), np.concatenate(numbers, axis=1)) if code == _DONE else None


def _fill_part(statement: int, wholes: np.ndarray, numbers: np.ndarray) -> tuple[int, int]:
    """Fill both arrays row by row: (rows filled, what SQLite said last)."""
    for row in range(len(wholes)):
        code = _step(statement)
        if code != _ROW:
            return row, code
        wholes[row] = _whole(statement, 0)
        for column in range(len(numbers)):
            numbers[column, row] = _real(statement, column + 1)
    return len(wholes), _ROW


_fill = numba.njit(cache=True, nogil=True)(_fill_part)


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL | None:
    """The library behind `sqlite3`; None where its functions have no names to be found by, as on Windows."""
    try:
        import _sqlite3

        library = ctypes.CDLL(_sqlite3.__file__)
        library.sqlite3_sourceid.restype = ctypes.c_char_p
        with closing(sqlite3.connect(":memory:")) as own:
            if own.execute("SELECT sqlite_source_id()").fetchone()[0] != library.sqlite3_sourceid().decode():
                return None
        pointer, text = ctypes.c_void_p, ctypes.c_char_p
        library.sqlite3_open_v2.argtypes = [text, ctypes.POINTER(pointer), ctypes.c_int, text]
        library.sqlite3_prepare_v2.argtypes = [pointer, text, ctypes.c_int, ctypes.POINTER(pointer), pointer]
        library.sqlite3_bind_text.argtypes = [pointer, ctypes.c_int, text, ctypes.c_int, pointer]
        library.sqlite3_bind_int64.argtypes = [pointer, ctypes.c_int, ctypes.c_int64]
        library.sqlite3_finalize.argtypes = library.sqlite3_close.argtypes = [pointer]
        for name in ("sqlite3_step", "sqlite3_column_int64", "sqlite3_column_double"):
            llvmlite.binding.add_symbol(name, ctypes.cast(library[name], pointer).value)
    except (AttributeError, ImportError, OSError):
        return None
    return library
