"""One JSON line per event in `output_central/logs/<process>.jsonl`, with secrets struck out.

Only processes configure logging (`app.py`, `main.py`); importing a door from a script leaves logging alone.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import structlog

from core.settings import current_settings, output_folder

STRUCK_OUT = "[secret]"
_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|api[_-]?key|(^|[_-])key$|authorization|cookie|credential", re.I
)
_SECRET_IN_TEXT = (
    (re.compile(r"(://[^:/@\s]*:)[^@/\s]+(@)"), rf"\1{STRUCK_OUT}\2"),
    (re.compile(r"(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}", re.I), rf"\1{STRUCK_OUT}"),
    (
        re.compile(
            r"""((?:password|passwd|secret|token|(?:api|sequence_\w+)[_-]?key)["']?\s*[=:]\s*["']?)[^\s"',;&]+""", re.I
        ),
        rf"\1{STRUCK_OUT}",
    ),
)


def redact(value: Any, key: str = "") -> Any:
    """`value` with every secret struck out: by the name of its key, or by its look inside text."""
    if key and _SECRET_KEY.search(key) and value is not None:
        return STRUCK_OUT
    if isinstance(value, Mapping):
        return {name: redact(member, str(name)) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact(member) for member in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = str(value)  # whatever else there is would be written as its text: an exception, a path, a URL
    for pattern, replacement in _SECRET_IN_TEXT:
        text = pattern.sub(replacement, text)
    return text


def _redact_event(_logger: Any, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    return {name: redact(value, name) for name, value in event.items()}


_STAMPS: tuple[structlog.types.Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def configure_logging(process: str) -> None:
    """Send this process's log to `output_central/logs/<process>.jsonl`; calling it again changes nothing.

    A folder that cannot be written is told on stderr by `logging` itself and does not stop the process.
    """
    root = logging.getLogger()
    if any(handler.get_name() == _handler_name(process) for handler in root.handlers):
        return
    settings = current_settings().log
    file = log_file(process)
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(
        file,
        maxBytes=int(settings.max_mib * 2**20),
        backupCount=settings.keep_files,
        encoding="utf-8",
        delay=True,
    )
    handler.set_name(_handler_name(process))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_STAMPS,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _redact_event,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    root.addHandler(handler)
    root.setLevel(settings.level)


def log_file(process: str) -> Path:
    """Where the log of a process lies."""
    return output_folder() / "logs" / f"{process}.jsonl"


def drop_old_logs(folder: str, keep: int, *, spared: Collection[str] = ()) -> list[str]:
    """Delete what was logged longest ago in a folder of `logs`, but for `keep` processes and the `spared` ones.

    A process is named as `configure_logging` had it; its rotated files go with it. The names deleted are returned.
    """
    files: dict[str, list[Path]] = {}
    for file in (output_folder() / "logs" / folder).glob("*.jsonl*"):
        files.setdefault(f"{folder}/{file.name.partition('.jsonl')[0]}", []).append(file)
    newest_first = sorted(files, key=lambda name: max(map(_written_at, files[name])), reverse=True)
    dropped = [name for name in newest_first[keep:] if name not in spared]
    for name in dropped:
        for file in files[name]:
            with suppress(OSError):  # Windows: somebody reads it; it goes another time
                file.unlink()
    return dropped


def _written_at(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # another worker was faster
        return 0.0


def get_logger(name: str) -> Any:
    """The logger of a module; events are words, their figures keyword arguments."""
    # Wrapped here rather than by structlog.configure: a script that imports a door keeps its own logging.
    return structlog.wrap_logger(
        logging.getLogger(name),
        processors=[structlog.stdlib.filter_by_level, *_STAMPS, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _handler_name(process: str) -> str:
    return f"sequence-{process}-{output_folder()}"
