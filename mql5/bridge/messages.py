"""What terminals and programs say to the bridge: every message, its limits, and no unknown field."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

LARGEST = 2**53  # whole numbers beyond are not exact in every program that speaks JSON

Word = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:@# +()-]*$")]
SymbolText = Annotated[str, Field(min_length=1, max_length=32)]
Price = Annotated[float, Field(gt=0, le=1e9)]
Amount = Annotated[float, Field(ge=0, le=1e15)]
Whole = Annotated[int, Field(ge=0, le=LARGEST)]
Milliseconds = Annotated[int, Field(gt=0, le=99_999_999_999_999)]
# No market is further than 14 hours from UTC.
OffsetSeconds = Annotated[int, Field(ge=-50_400, le=50_400)]


def _plain_text(text: str) -> str:
    if any(ord(letter) < 32 or 0xD800 <= ord(letter) < 0xE000 for letter in text):
        raise ValueError("control characters are not allowed in a text of one line")
    return text


def _upper(value: Any) -> Any:
    return value.strip().upper() if isinstance(value, str) else value


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Line = Annotated[str, Field(max_length=256), AfterValidator(_plain_text)]
# Accounts are numbers in MetaTrader and text everywhere else.
Login = Annotated[str, BeforeValidator(_text), Field(max_length=64), AfterValidator(_plain_text)]


class Message(BaseModel):
    """Base of all messages: what is not known is refused by its name."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _Sender(Message):
    source: Word | None = Field(None, description="who sends; with symbol, time and sequence it names a tick for ever")
    client: Word | None = Field(None, description="the terminal that sends; taken for the source where there is none")
    login: Login | None = None
    server: Line | None = None
    magic: int | None = Field(None, ge=-LARGEST, le=LARGEST)
    tz_offset_s: OffsetSeconds | None = Field(None, description="the broker's clock minus UTC, in seconds")
    gmt_ms: Milliseconds | None = Field(None, description="the sender's own UTC clock, ms since 1970")


class Tick(_Sender):
    """One quote; times are the broker's wall clock, written as if it were UTC, as MetaTrader gives them."""

    symbol: SymbolText
    bid: Price
    ask: Price
    last: Amount | None = None
    volume: Amount = 0.0
    timestamp: float | None = Field(None, gt=0, lt=1e11, description="epoch seconds")
    time_msc: Milliseconds | None = Field(None, description="epoch milliseconds; wins over timestamp")
    flags: int = Field(0, ge=0, lt=2**32)
    sequence: Whole | None = Field(None, validation_alias=AliasChoices("sequence", "seq"))


class TickBatch(_Sender):
    """Many quotes; what is said here holds for those that do not say it themselves."""

    ticks: list[Tick] = Field(min_length=1, max_length=100_000)


class SignalType(StrEnum):
    """What a signal asks a terminal to do."""

    BUY = "BUY"
    SELL = "SELL"
    CLOSE = "CLOSE"


class NewSignal(Message):
    """What a terminal shall do; without a volume (lots) its Expert Advisor decides."""

    symbol: SymbolText
    signal_type: Annotated[SignalType, BeforeValidator(_upper)]
    confidence: float = Field(1.0, ge=0, le=1)
    entry_price: Price | None = None
    stop_loss: Price | None = None
    take_profit: Price | None = None
    volume: float | None = Field(None, gt=0, le=10_000, description="lots")
    valid_until: datetime | None = Field(None, description="ISO-8601 or epoch seconds; without a zone UTC")
    comment: Line | None = None
    strategy_name: Line | None = None
    idempotency_key: Word | None = None
    target: Word | None = Field(None, description="the terminal (client) that alone may execute it; without one any")


class Acknowledgement(Message):
    """What became of a signal at the broker, in the broker's words."""

    client: Word | None = None
    retcode: int | None = Field(None, ge=0, le=2**31)
    order: Whole | None = None
    deal: Whole | None = None
    price: Amount | None = None
    volume: Amount | None = None
    comment: Line | None = None
    status: Line | None = None
    duplicate: bool | None = None


Figure = Annotated[float, Field(ge=-1e15, le=1e15)]


class OpenPosition(Message):
    """A position of the Expert Advisor's magic number; `sl` and `tp` are prices, `profit` account money."""

    ticket: Whole
    symbol: SymbolText
    side: Literal["long", "short"]
    volume: Amount = Field(description="lots")
    price: Amount
    sl: Amount | None = None
    tp: Amount | None = None
    profit: Figure | None = None
    opened_ms: Milliseconds | None = Field(None, description="epoch milliseconds, UTC")
    comment: Line | None = None


class SymbolSpec(Message):
    """How a broker trades a symbol; volumes are lots, `tick_value` account money a lot and `tick_size`."""

    symbol: SymbolText
    digits: int | None = Field(None, ge=0, le=15)
    point: Amount | None = None
    volume_min: Amount | None = None
    volume_max: Amount | None = None
    volume_step: Amount | None = None
    contract_size: Amount | None = None
    tick_value: Amount | None = None
    tick_size: Amount | None = None
    spread_points: Amount | None = None
    stops_level: Whole | None = Field(None, description="points")


class Heartbeat(Message):
    """A terminal says that it lives, and how it stands."""

    client: Word
    login: Login | None = None
    server: Line | None = None
    company: Line | None = None
    build: Whole | None = None
    ea_version: Line | None = None
    trade_mode: Line | None = None
    trade_allowed: bool | None = None
    connected: bool | None = None
    tz_offset_s: OffsetSeconds | None = None
    gmt_ms: Milliseconds | None = None
    balance: float | None = Field(None, ge=-1e15, le=1e15)
    equity: float | None = Field(None, ge=-1e15, le=1e15)
    currency: Line | None = None
    positions: Whole | None = None
    ticks_sent: Whole | None = None
    ticks_dropped: Whole | None = None
    symbols: list[SymbolText] | None = Field(None, max_length=1_000)
    kill_switch: bool | None = Field(None, description="whether the terminal's own kill switch is set")
    margin_free: Figure | None = None
    open_positions: list[OpenPosition] | None = Field(None, max_length=1_000)
    symbol_specs: list[SymbolSpec] | None = Field(None, max_length=1_000)


class Deal(Message):
    """A deal of the account's history, as the terminal tells it; money is in the account's currency."""

    deal: Whole
    order: Whole = 0
    position: Whole = 0
    symbol: SymbolText
    side: Literal["buy", "sell"]
    entry: Literal["in", "out", "inout", "out_by"]
    volume: Amount = Field(description="lots")
    price: Amount
    commission: Figure = 0.0
    swap: Figure = 0.0
    profit: Figure = 0.0
    time_ms: Milliseconds = Field(description="epoch milliseconds, UTC")
    reason: Annotated[Line, Field(max_length=32)] = ""
    comment: Line = ""
    magic: int = Field(0, ge=-LARGEST, le=LARGEST)


class DealReport(Message):
    """Deals of a terminal, in any order; told again they change nothing."""

    client: Word
    deals: list[Deal] = Field(min_length=1, max_length=1_000)


class KillOrder(Message):
    """Why nothing may be entered any more, and whether open positions shall be closed."""

    reason: Annotated[Line, Field(min_length=1)]
    close_positions: bool = False


class TesterResult(Message):
    """The statistics of a Strategy Tester run; percentages are 0–100, a drawdown is negative."""

    strategy_name: Annotated[Line, Field(min_length=1)]
    symbol: SymbolText
    timeframe: Annotated[Line, Field(min_length=1)]
    start_date: Line | None = None
    end_date: Line | None = None
    total_return: Figure | None = None
    sharpe_ratio: Figure | None = None
    win_rate: float | None = Field(None, ge=0, le=100)
    max_drawdown: Figure | None = None
    trades_count: Whole | None = None
    full_results: dict[str, Any] | None = None


class ExportRequest(Message):
    """Which imported results shall be written as CSV, and under which name."""

    symbol: SymbolText | None = None
    output_path: str = Field("output_central/backtest_results.csv", min_length=1, max_length=1_000)


class SymbolPath(BaseModel):
    """A symbol in the address."""

    symbol: SymbolText


class SignalPath(BaseModel):
    """A signal in the address."""

    signal_id: int = Field(ge=0, lt=2**63)


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class TicksQuery(_Query):
    """How many ticks, and from when."""

    limit: int = Field(100, ge=1, le=100_000)
    since: float | None = Field(None, ge=0, lt=1e11, description="epoch seconds, UTC")


class DealsQuery(_Query):
    """Which deals; with `since` the first from then on, else the newest, oldest first either way."""

    client: Word | None = None
    since: float | None = Field(None, ge=0, lt=1e11, description="epoch seconds, UTC")
    limit: int = Field(1_000, ge=1, le=100_000)


class LimitQuery(_Query):
    """How many rows."""

    limit: int = Field(10, ge=1, le=1_000)


class PendingQuery(_Query):
    """Signals that wait; with `client` they are leased to it, without they are only shown."""

    client: Word | None = None
    max: int = Field(100, ge=1, le=1_000)
    limit: int | None = Field(None, ge=1, le=1_000)
    lease_s: float | None = Field(None, gt=0, le=3_600)
    format: Literal["json", "lines"] = "json"


class SignalsQuery(_Query):
    """Which signals, newest first."""

    limit: int = Field(100, ge=1, le=10_000)
    status: Literal["pending", "leased", "sent", "executed", "rejected", "expired", "cancelled"] | None = None
    symbol: SymbolText | None = None


def epoch_ms(moment: datetime) -> int:
    """`moment` in milliseconds since 1970; without a zone it is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1000)
