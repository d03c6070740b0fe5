"""Text that came from elsewhere, made safe to stand inside markdown."""

from __future__ import annotations

import re

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|<>$~:-])")


def verbatim(text: str) -> str:
    """`text` as markdown that reads exactly as `text`, whatever signs are in it."""
    return _MARKDOWN.sub(r"\\\1", text)
