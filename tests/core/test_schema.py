from __future__ import annotations

from typing import ClassVar

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from core.errors import BarsError, InputError
from core.schema import Checked


class Costs(BaseModel):
    """What trading costs: a section inside what is checked."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    spread_pips: float = Field(0.6, ge=0)


class Request(Checked):
    """What a user fills in."""

    refusal: ClassVar[type[InputError]] = BarsError
    symbol: str
    bars: int = 10
    costs: Costs = Costs()

    @field_validator("symbol")
    @classmethod
    def _known(cls, symbol: str) -> str:
        if symbol != "EURUSD":
            raise ValueError("only EURUSD is known")
        return symbol


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "Request needs 'symbol', and it was not given. Give it a value."),
        ({"symbol": "X"}, "symbol='X' cannot be used. Only EURUSD is known."),
        (
            {"symbol": "EURUSD", "bar": 1},
            "There is no 'bar' in Request. Did you mean 'bars'? Known: symbol, bars, costs.",
        ),
        (
            {"symbol": "EURUSD", "costs": {"spread": 1}},
            "There is no 'costs.spread' in Request. Did you mean 'spread_pips'? Known: spread_pips.",
        ),
    ],
)
def test_a_refusal_is_a_sentence_that_names_key_value_and_cure(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(BarsError) as refused:
        Request(**fields)
    assert str(refused.value) == sentence


def test_a_wrong_number_names_key_and_value() -> None:
    with pytest.raises(BarsError, match=r"^bars='many' cannot be used\. .*integer"):
        Request(symbol="EURUSD", bars="many")
    with pytest.raises(BarsError, match=r"^costs\.spread_pips=-1 cannot be used\. .*greater than or equal to 0"):
        Request(symbol="EURUSD", costs={"spread_pips": -1})
    with pytest.raises(InputError, match=r"^costs\.spread_pips=nan cannot be used\. .*finite"):
        Request(symbol="EURUSD", costs={"spread_pips": float("nan")})


def test_what_was_checked_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Request(symbol="EURUSD").bars = 1  # type: ignore[misc]
