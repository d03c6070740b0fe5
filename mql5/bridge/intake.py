"""What a terminal sent as ticks, made rows: bytes are read, times converted, what cannot be a quote is refused."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from core.errors import InputError
from core.schema import refusal_of
from market.symbols import canonical_symbol
from mql5.bridge.messages import Tick, TickBatch
from mql5.bridge.ticks import TickRow

_LINES: TypeAdapter[list[Tick]] = TypeAdapter(list[Tick])
_MOST_TICKS = 100_000
_MOST_AHEAD_MS = 15 * 60_000


class MessageError(InputError):
    """A message that is no JSON, or not of the shape it should have."""


@dataclass
class Batch:
    """The rows of one message, what was refused of it, and how far the sender's clock is ahead of ours (ms)."""

    rows: list[TickRow]
    refused: list[dict[str, Any]] = field(default_factory=list)
    drift_ms: int | None = None


class Offsets:
    """By how much each source's broker clock is ahead of UTC, in seconds; the newest word counts."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def learn(self, source: str, seconds: int) -> None:
        """Take the offset that a terminal reported."""
        self._known[source] = seconds

    def of(self, source: str, broker_ms: int, received_ms: int) -> int:
        """The offset of a source in seconds. A clock that is ahead of ours and was never told is taken at its hours."""
        known = self._known.get(source)
        if known is None and broker_ms - received_ms > _MOST_AHEAD_MS:
            # A tick cannot come from the future, so what is ahead is the broker's clock; brokers keep to half hours.
            known = round((broker_ms - received_ms) / 1_800_000) * 1_800
            if known > 50_400:
                return 0
            self._known[source] = known
        return known or 0


def stripped(body: bytes) -> bytes:
    """A body without the zeros that MQL5's StringToCharArray leaves at its end."""
    return body.rstrip(b"\0 \t\r\n")


def parsed_json(body: bytes) -> Any:
    """The JSON of a body. Raises MessageError, also for what is nested too deep."""
    try:
        return from_json(stripped(body), allow_inf_nan=False)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"The body is no JSON ({error}).", "Send one JSON object in UTF-8.") from None


def read_ticks(body: bytes, offsets: Offsets, received_ms: int, stale_ms: float) -> Batch:
    """The ticks of a body: one object, `{"ticks": […]}`, or one object a line.

    Raises MessageError for a body of another shape; a tick that cannot be a quote is refused alone. When
    no tick is left InputError says why the first was refused.
    """
    message = _message(stripped(body))
    sender: Tick | TickBatch
    if isinstance(message, list):
        ticks, sender = message, message[0]
    elif isinstance(message, TickBatch):
        ticks, sender = message.ticks, message
    else:
        ticks, sender = [message], message
    batch = Batch([])
    source = _source(sender, "MT5")
    if sender.tz_offset_s is not None:
        offsets.learn(source, sender.tz_offset_s)
    if sender.gmt_ms is not None:
        batch.drift_ms = sender.gmt_ms - received_ms
    for index, tick in enumerate(ticks):
        try:
            batch.rows.append(_row(tick, source, offsets, received_ms, stale_ms))
        except InputError as error:
            if len(ticks) == 1:
                raise
            batch.refused.append({"index": index, "error": error.what, "cure": error.cure})
    if not batch.rows:
        first = batch.refused[0]
        raise InputError(f"None of {len(ticks)} ticks can be stored: {first['error']}", first["cure"])
    return batch


def _message(body: bytes) -> Tick | TickBatch | list[Tick]:
    lines = body.split(b"\n") if b"}\n" in body or b"}\r" in body else []
    if len(lines) > 1 and all(line.strip()[:1] in {b"{", b""} and line.strip()[-1:] in {b"}", b""} for line in lines):
        joined = b"[" + b",".join(line for line in lines if line.strip()) + b"]"
        if len(lines) > _MOST_TICKS:
            raise MessageError(f"{len(lines)} ticks are too many at once.", f"Send at most {_MOST_TICKS}.")
        try:
            return _LINES.validate_json(joined)
        except ValidationError as error:
            if _is_no_json(error):  # one object written over many lines
                return _one(body)
            raise _refusal(error, Tick) from None
    return _one(body)


def _one(body: bytes) -> Tick | TickBatch:
    model = TickBatch if b'"ticks"' in body else Tick
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error, model) from None


def _is_no_json(error: ValidationError) -> bool:
    return error.errors(include_url=False, include_context=False, include_input=False)[0]["type"] == "json_invalid"


def _refusal(error: ValidationError, model: type[Tick | TickBatch]) -> MessageError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return MessageError(f"The body is no JSON ({first['msg']}).", "Send one JSON object in UTF-8.")
    what, cure = refusal_of(error, model)
    row = next((part for part in first["loc"] if isinstance(part, int)), None)
    return MessageError(what[:500] if row is None else f"Tick {row}: {what[:500]}", cure[:500])


def _source(sender: Tick | TickBatch, default: str) -> str:
    return sender.source or sender.client or (f"MT5:{sender.login}" if sender.login else default)


@lru_cache(maxsize=4096)
def _canonical(symbol: str) -> str:
    return canonical_symbol(symbol)


def _row(tick: Tick, default_source: str, offsets: Offsets, received_ms: int, stale_ms: float) -> TickRow:
    if tick.bid > tick.ask:
        raise InputError(
            f"{tick.symbol}: bid {tick.bid:g} is above ask {tick.ask:g}.", "Send bid and ask the right way round."
        )
    if tick.time_msc is not None:
        broker_ms = tick.time_msc
    elif tick.timestamp is not None:
        broker_ms = round(tick.timestamp * 1000)
    else:
        raise InputError(f"The tick of {tick.symbol} has no time.", "Give timestamp (seconds) or time_msc.")
    source = _source(tick, default_source)
    if tick.tz_offset_s is not None:
        offset = tick.tz_offset_s
        offsets.learn(source, offset)
    else:
        offset = offsets.of(source, broker_ms, received_ms)
    time_ms = broker_ms - offset * 1000
    if time_ms - received_ms > _MOST_AHEAD_MS:
        raise InputError(
            f"The tick of {tick.symbol} is {(time_ms - received_ms) / 1000:.0f} s ahead of the bridge's clock.",
            "Give times in epoch seconds (timestamp) or milliseconds (time_msc), and the broker's tz_offset_s.",
        )
    sequence = tick.sequence if tick.sequence is not None else _unnumbered(tick)
    stale = int(received_ms - time_ms > stale_ms)
    return TickRow(
        source, _canonical(tick.symbol), broker_ms, sequence, time_ms, tick.bid, tick.ask, tick.last, tick.volume,
        tick.flags, stale, received_ms,
    )  # fmt: skip


def _unnumbered(tick: Tick) -> int:
    """A number below zero made of the figures: the same quote of one moment is one tick, another quote another."""
    packed = struct.pack("<4dI", tick.bid, tick.ask, tick.last or 0.0, tick.volume, tick.flags)
    return -1 - zlib.crc32(packed)
