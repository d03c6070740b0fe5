"""What a person writes to something that is kept, a run or a dataset version: a note and tags."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Protocol

from core.errors import InputError

MOST_NOTE_CHARACTERS = 2000
MOST_TAGS = 10
_TAG = re.compile(r"[\w .-]{1,30}")


class Remarked(Protocol):
    """Something that carries a note and tags."""

    @property
    def note(self) -> str | None:
        """The note; None when there is none."""

    @property
    def tags(self) -> list[str]:
        """The tags, in the order given."""


def checked_remarks(note: str | None, tags: Iterable[str] | None) -> dict[str, Any]:
    """The columns to write, by name: what is None is left out and stays, what is empty is cleared.

    Raises InputError, naming the value and the cure, for a note or tags that cannot be kept.
    """
    changes: dict[str, Any] = {}
    if note is not None:
        changes["note"] = _checked_note(note) or None
    if tags is not None:
        changes["tags"] = _checked_tags(tags) or None
    return changes


def answers(kept: Remarked, text: str, tag: str | None, *words: str) -> bool:
    """Whether `text` stands in note, tags or one of `words`, and `tag` is one of the tags.

    Case is ignored; what is empty or None asks nothing.
    """
    wanted = text.strip().casefold()
    tagged = tag is None or tag.casefold() in {each.casefold() for each in kept.tags}
    return tagged and any(wanted in each.casefold() for each in (*words, kept.note or "", *kept.tags))


def _checked_note(note: object) -> str:
    if not isinstance(note, str):
        raise InputError(f"note={note!r} is no text.", "Give it as one text.")
    if len(note) > MOST_NOTE_CHARACTERS:
        raise InputError(
            f"The note {note[:40]!r}… has {len(note)} characters.", f"Keep it to {MOST_NOTE_CHARACTERS} characters."
        )
    return note.strip()


def _checked_tags(tags: object) -> list[str]:
    """The tags without spaces around them, each once (case aside), in the order given."""
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise InputError(f"tags={tags!r} is no list of tags.", "Give a list of texts, such as ['london', 'breakout'].")
    kept: dict[str, str] = {}
    for tag in tags:
        trimmed = tag.strip() if isinstance(tag, str) else tag
        if not isinstance(trimmed, str) or not _TAG.fullmatch(trimmed):
            raise InputError(
                f"The tag {trimmed!r} cannot be used.",
                "Use 1 to 30 letters, digits, spaces, '-', '_' or '.' for each tag.",
            )
        kept.setdefault(trimmed.casefold(), trimmed)
    if len(kept) > MOST_TAGS:
        raise InputError(f"{len(kept)} tags are too many: {', '.join(kept.values())}.", f"Keep at most {MOST_TAGS}.")
    return list(kept.values())
