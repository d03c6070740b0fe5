"""Checked input: pydantic models whose refusals are sentences that name key, value and cure."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import InputError
from core.names import nearest


class Checked(BaseModel):
    """Base of the objects users fill in: immutable, no unknown fields, refused with `refusal`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    refusal: ClassVar[type[InputError]] = InputError

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise self.refusal(*refusal_of(error, type(self))) from None


def refusal_of(error: ValidationError, model: type[BaseModel]) -> tuple[str, str]:
    """What pydantic's first complaint means to a reader: (what, cure)."""
    first = error.errors(include_url=False)[0]
    path = [part for part in first["loc"] if isinstance(part, str)]
    key = ".".join(path) or model.__name__
    if first["type"] == "extra_forbidden":
        known = known_fields(model, path[:-1])
        meant = nearest(path[-1], known)
        suggestion = f"Did you mean {meant!r}? " if meant else ""
        return f"There is no {key!r} in {model.__name__}.", f"{suggestion}Known: {', '.join(known)}."
    if first["type"] == "missing":
        return f"{model.__name__} needs {key!r}, and it was not given.", "Give it a value."
    reason = first["msg"].removeprefix("Value error, ")
    return f"{key}={first['input']!r} cannot be used.", f"{reason[:1].upper()}{reason[1:].rstrip('.')}."


def known_fields(model: type[BaseModel], path: list[str]) -> list[str]:
    """The field names of the model found by walking `path` down from `model`."""
    for part in path:
        field = model.model_fields.get(part)
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)
