"""What trading costs: terms that both engines know, and the FX extras that only ours applies.

Bars are bid bars: a long enters at the ask (bid + spread) and leaves at the bid, a short the other way round.
Money is in the account currency, pips and points are those of the symbol.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from core.errors import InputError
from core.names import nearest
from market.symbols import Symbol, symbol_of

if TYPE_CHECKING:
    from execution.result import RunSettings

TRIPLE_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
SWAP_UNITS = ("points", "money")
# A spread or slippage of this share of the price is a slip of the keyboard.
_ABSURD_SHARE = 0.1


@dataclass(frozen=True)
class PerLot:
    """Commission in money per lot and side, at least `minimum`; `contract_size` is the units in one lot.

    A function of size and price, as backtesting.py takes one, and plain figures to the compiled engine.
    """

    money: float
    contract_size: float = 100_000.0
    minimum: float = 0.0

    def __post_init__(self) -> None:
        _in_range("PerLot.money", self.money, 0, 10_000, "Give money per lot and side, such as 3.5.")
        _in_range("PerLot.minimum", self.minimum, 0, 10_000, "Give the least money per side, or 0.")
        _in_range("PerLot.contract_size", self.contract_size, 1e-9, 1e12, "A lot of most pairs is 100,000 units.")

    @property
    def money_per_unit(self) -> float:
        """Money per unit of the base currency and side."""
        return self.money / self.contract_size

    def __call__(self, size: float, _price: float) -> float:
        """Money for one side of `size` units."""
        return max(self.minimum, abs(size) * self.money_per_unit)


@dataclass(frozen=True)
class Costs:
    """The FX extras of a run.

    `account_currency` is that of the money, empty for the symbol's quote currency. At most one of `lots`,
    `fraction` (of the equity put up as margin, 0–1) and `risk_fraction` (of the equity lost at the stop, 0–1)
    decides the size; with none it is the whole equity. `stop_pips` is put where the strategy gives no stop.
    Sizes are rounded down to `lot_step` and lie between `min_lot` and `max_lot` (lots; None: the symbol's step,
    the step, 100). `spread_from_bars` reads the column `spread_points` instead of the run's constant.
    `slippage_pips` moves every market and stop fill against the trade; a target is a limit order and does not
    slip. `commission_per_lot` is money per side, at least `commission_minimum`. Swaps are per lot and night, in
    points or money, positive when they are paid to the trader; three nights at the end of `swap_triple_day`.
    Below `stop_out_pct` of the margin the broker closes the position and the run ends; below `margin_call_pct`
    it warns. With `negative_balance_protection` what a gap took beyond the account is written off.
    """

    account_currency: str = ""
    lots: float | None = None
    fraction: float | None = None
    risk_fraction: float | None = None
    stop_pips: float | None = None
    lot_step: float | None = None
    min_lot: float | None = None
    max_lot: float | None = None
    spread_from_bars: bool = False
    slippage_pips: float = 0.0
    commission_per_lot: float = 0.0
    commission_minimum: float = 0.0
    swap_long: float = 0.0
    swap_short: float = 0.0
    swap_unit: str = "points"
    swap_triple_day: str = "Wednesday"
    margin_call_pct: float = 100.0
    stop_out_pct: float = 50.0
    negative_balance_protection: bool = True

    def __post_init__(self) -> None:
        self._check_currency()
        self._check_sizing()
        self._check_charges()
        _in_range("margin_call_pct", self.margin_call_pct, 0, 1000, "Most brokers warn at 100.")
        _in_range("stop_out_pct", self.stop_out_pct, 0, 1000, "Most brokers close at 50, some at 20.")
        if self.stop_out_pct > self.margin_call_pct:
            raise InputError(
                f"stop_out_pct={self.stop_out_pct:g} lies above margin_call_pct={self.margin_call_pct:g}.",
                "A broker warns before it closes: raise margin_call_pct.",
            )

    def as_dict(self) -> dict[str, Any]:
        """What differs from a run without extras, plain for JSON; `Costs(**…)` gives it back."""
        return {field.name: value for field in fields(self) if (value := asdict(self)[field.name]) != field.default}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Costs:
        """The costs of `as_dict`. Raises InputError offering the nearest name."""
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                meant = nearest(name, known)
                raise InputError(
                    f"Costs have no {name!r}.",
                    f"Did you mean {meant!r}?" if meant else f"They have: {', '.join(known)}.",
                )
        return cls(**given)

    def currency(self, symbol: Symbol) -> str:
        """The account currency, the symbol's quote currency where none is named."""
        return self.account_currency or symbol.quote

    def lot_limits(self, symbol: Symbol) -> tuple[float, float, float]:
        """Step, smallest and largest size in lots."""
        step = symbol.lot_step if self.lot_step is None else self.lot_step
        return step, step if self.min_lot is None else self.min_lot, 100.0 if self.max_lot is None else self.max_lot

    def _check_currency(self) -> None:
        name = self.account_currency
        if name and not (isinstance(name, str) and name.isalpha() and name.isupper() and 3 <= len(name) <= 4):
            raise InputError(f"account_currency={name!r} is no currency.", "Write it as USD, EUR or GBP.")

    def _check_sizing(self) -> None:
        given = [name for name in ("lots", "fraction", "risk_fraction") if getattr(self, name) is not None]
        if len(given) > 1:
            raise InputError(f"{' and '.join(given)} both decide the size.", "Keep one of them.")
        _optional("lots", self.lots, 1e-9, 1e6, "Give lots above 0, such as 0.1.")
        _optional("fraction", self.fraction, 1e-9, 1, "Give a share of the equity up to 1: 0.5 is half of it.")
        _optional("risk_fraction", self.risk_fraction, 1e-9, 1, "Give a share of the equity: 0.01 is 1 %.")
        _optional("stop_pips", self.stop_pips, 1e-9, 1e6, "Give a distance above 0 pips.")
        _optional("lot_step", self.lot_step, 1e-9, 1e6, "Most brokers have 0.01.")
        _optional("min_lot", self.min_lot, 1e-9, 1e6, "Most brokers have 0.01.")
        _optional("max_lot", self.max_lot, 1e-9, 1e6, "Most brokers have 50 to 100.")
        if self.min_lot is not None and self.max_lot is not None and self.min_lot > self.max_lot:
            raise InputError(f"min_lot={self.min_lot:g} lies above max_lot={self.max_lot:g}.", "Swap the two.")

    def _check_charges(self) -> None:
        _in_range("slippage_pips", self.slippage_pips, 0, 1000, "Give 0 or more pips per fill.")
        _in_range("commission_per_lot", self.commission_per_lot, 0, 10_000, "Give money per lot and side, such as 3.5.")
        _in_range("commission_minimum", self.commission_minimum, 0, 10_000, "Give the least money per side, or 0.")
        _in_range("swap_long", self.swap_long, -10_000, 10_000, "Give points or money per lot and night.")
        _in_range("swap_short", self.swap_short, -10_000, 10_000, "Give points or money per lot and night.")
        _one_of("swap_unit", self.swap_unit, SWAP_UNITS)
        _one_of("swap_triple_day", self.swap_triple_day, TRIPLE_DAYS)


def check_terms(cash: Any, commission: Any, spread_pips: Any, margin: Any) -> None:
    """Refuse the terms of a run that cannot be meant. Raises InputError naming the value and the cure."""
    if not _is_number(cash) or not 0 < cash < math.inf:
        raise InputError(f"cash={cash!r} cannot be used.", "Start with more than 0.")
    if not _is_number(spread_pips) or not 0 <= spread_pips < math.inf:
        raise InputError(f"spread_pips={spread_pips!r} cannot be used.", "Give 0 or more pips.")
    if not _is_number(margin) or not 0 < margin <= 1:
        raise InputError(f"margin={margin!r} cannot be used.", "Give a fraction: 1 is no leverage, 0.05 is 20:1.")
    if callable(commission):
        return
    fixed, relative = commission_parts(commission)
    if not 0 <= fixed < math.inf:
        raise InputError(f"commission={commission!r} cannot be used.", "Its fixed part is money per side, 0 or more.")
    if not -0.1 <= relative < 0.1:
        raise InputError(
            f"commission={commission!r} cannot be used.", "It is a fraction of the traded value: 0.001 is 0.1 %."
        )


def commission_parts(commission: Any) -> tuple[float, float]:
    """Money per side and fraction of the traded value of a commission that is no function.

    Raises InputError when it is neither a number nor a pair of numbers.
    """
    if _is_number(commission):
        return 0.0, float(commission)
    if isinstance(commission, (tuple, list)) and len(commission) == 2 and all(map(_is_number, commission)):
        return float(commission[0]), float(commission[1])
    raise InputError(
        f"commission={commission!r} cannot be used.",
        "Give a fraction of the traded value, a pair (money, fraction), or a function of size and price.",
    )


def relative_spread(spread_pips: float, symbol: str, first_close: float) -> float:
    """The spread as the share of the price that backtesting.py takes; the first close keeps it from looking ahead.

    Raises InputError for a spread that cannot be meant.
    """
    pip = symbol_of(symbol).pip
    share = spread_pips * pip / first_close
    if share >= _ABSURD_SHARE:
        raise InputError(
            f"spread_pips={spread_pips:g} is {share:.0%} of the price of {symbol} ({first_close:g}).",
            f"A pip of {symbol} is {pip:g}; spreads are a few of them.",
        )
    return share


def fill_assumptions(settings: RunSettings) -> tuple[str, ...]:
    """How orders are filled and charged in a run of these settings, a sentence each."""
    costs, symbol = settings.costs, symbol_of(settings.symbol)
    # Classes of backtesting.py have no version: they send orders of their own instead of wishes.
    is_class = settings.strategy_version is None
    said = [
        "Signals are read at a bar's close; market orders fill at the next bar's open.",
        "The class sends its own orders and decides their size."
        if is_class
        else "A new position closes the one before it at the same open.",
        "Within one bar a stop comes before a target; a stop or target beyond the open fills at the open.",
        "What is open at the end is closed at the open of the last bar.",
    ]
    if costs is None:
        said.append(_plain_spread(settings.spread_pips))
        if not is_class:
            said.append("The size is all available cash times the leverage, in whole units.")
        said.append(f"Profit stays in {symbol.quote}, the quote currency.")
        said.append("Equity of 0 or less at a bar's close ends the run.")
        return tuple(said)
    spread = "the bars' own spread" if costs.spread_from_bars else f"{settings.spread_pips:g} pips"
    said.append(f"Bars are bid: longs enter and shorts leave at the ask, {spread} above; a short's stop sees the ask.")
    said.append(_sizing_sentence(costs, symbol))
    if costs.slippage_pips:
        said.append(f"Market and stop fills slip by {costs.slippage_pips:g} pips; targets do not.")
    if costs.commission_per_lot or costs.commission_minimum:
        least = f", at least {costs.commission_minimum:g}" if costs.commission_minimum else ""
        said.append(f"Commission is {costs.commission_per_lot:g} per lot and side{least}.")
    if costs.swap_long or costs.swap_short:
        said.append(
            f"Swap per lot and night at 17:00 New York: long {costs.swap_long:g}, short {costs.swap_short:g} "
            f"{costs.swap_unit}, three times on {costs.swap_triple_day}."
        )
    currency = costs.currency(symbol)
    if currency != symbol.quote:
        said.append(f"Profit in {symbol.quote} is turned into {currency} at the rate of the bar that closes the trade.")
    said.append(
        f"Below a margin level of {costs.stop_out_pct:g} % the position is closed at the price where it is reached, "
        "and the run ends."
    )
    return tuple(said)


def _plain_spread(spread_pips: float) -> str:
    if not spread_pips:
        return "There is no spread."
    return f"The spread of {spread_pips:g} pips is paid once, at entry, as a share of the first close."


def _sizing_sentence(costs: Costs, symbol: Symbol) -> str:
    step, least, most = costs.lot_limits(symbol)
    limits = f"rounded down to {step:g} lots, between {least:g} and {most:g}"
    if costs.lots is not None:
        return f"Each position has {costs.lots:g} lots, {limits}."
    if costs.risk_fraction is not None:
        stop = f" ({costs.stop_pips:g} pips where the strategy gives none)" if costs.stop_pips else ""
        return f"Each position risks {costs.risk_fraction:.3%} of the equity at its stop{stop}, {limits}."
    return f"Each position puts up {costs.fraction or 1:.0%} of the equity as margin, {limits}."


def _is_number(value: Any) -> bool:
    return hasattr(value, "__float__") and not isinstance(value, bool)


def _in_range(name: str, value: Any, low: float, high: float, cure: str) -> None:
    if not _is_number(value) or not low <= value <= high:
        raise InputError(f"{name}={value!r} cannot be used.", cure)


def _optional(name: str, value: Any, low: float, high: float, cure: str) -> None:
    if value is not None:
        _in_range(name, value, low, high, cure)


def _one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name}={value!r} is not offered.", f"Choose one of {', '.join(choices)}.")
