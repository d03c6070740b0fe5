"""Symbols: one canonical spelling, and what is known of each (digits, pip, contract, asset class).

The figures are what most retail brokers use; a broker's own specification overrides them where known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from core.errors import InputError


class AssetClass(StrEnum):
    """How a symbol's market keeps time, which decides its trading days."""

    FX = "fx"
    CRYPTO = "crypto"
    EQUITY = "equity"
    OTHER = "other"


@dataclass(frozen=True)
class Symbol:
    """A tradable instrument.

    `digits` are the decimals a price is quoted with, `point` the smallest step, `pip` the unit traders
    count in (price units both), `contract_size` the units of `base` in one lot, `lot_step` in lots.
    """

    name: str
    asset_class: AssetClass
    base: str
    quote: str
    digits: int
    pip: float
    contract_size: float
    lot_step: float = 0.01

    @property
    def point(self) -> float:
        """The smallest price step, in price units."""
        return float(10**-self.digits)


_MAJORS = ("USD", "EUR", "GBP", "JPY", "CHF", "AUD", "NZD", "CAD")
_NORDIC_AND_EASTERN = ("SEK", "NOK", "DKK", "PLN", "CZK", "HUF", "TRY", "RUB")
_OVERSEAS = ("ZAR", "MXN", "BRL", "SGD", "HKD", "CNH", "CNY", "INR", "KRW", "THB", "ILS")
_CURRENCIES = {*_MAJORS, *_NORDIC_AND_EASTERN, *_OVERSEAS}
_METALS = {"XAU": (2, 0.1, 100.0), "XAG": (3, 0.01, 5_000.0), "XPT": (2, 0.1, 100.0), "XPD": (2, 0.1, 100.0)}
_COINS = {"BTC", "ETH", "LTC", "XRP", "SOL", "ADA", "DOGE", "BNB", "BCH", "DOT"}
_SUFFIX = re.compile(r"(=X|=F)$|[.#_\-][A-Z0-9]{1,6}$", re.I)
_SEPARATORS = re.compile(r"[/ _-]")
_PLAIN = re.compile(r"[A-Z0-9^][A-Z0-9.^&-]{0,23}")


def canonical_symbol(text: str) -> str:
    """The canonical spelling of `EURUSD=X`, `EUR/USD`, `eurusd`, `EURUSD.m`, `EURUSDm` …: `EURUSD`.

    A name that is no currency pair is only put in capitals. Raises InputError when it is no name at all.
    """
    name = str(text).strip().upper()
    bare = _SUFFIX.sub("", name)
    # As written, without separators, without a broker's suffix, without a broker's letters (EURUSDm).
    spellings = [name, _SEPARATORS.sub("", name), bare, _SEPARATORS.sub("", bare), name[:6] if len(name) < 10 else ""]
    pair = next((found for spelling in spellings if (found := _pair(spelling))), None)
    if pair:
        return "".join(pair)
    if _PLAIN.fullmatch(name):
        return name
    raise InputError(f"symbol={text!r} is no symbol.", "Write it as EURUSD, XAUUSD, BTCUSD or AAPL.")


def symbol_of(text: str) -> Symbol:
    """What is known of the symbol meant by `text`; unknown ones are `other` with pip = point = 0.01."""
    name = canonical_symbol(text)
    pair = _pair(name)
    if pair is None:
        return Symbol(name, AssetClass.OTHER, name, "USD", digits=2, pip=0.01, contract_size=1.0)
    base, quote = pair
    if base in _METALS:
        digits, pip, contract_size = _METALS[base]
        return Symbol(name, AssetClass.FX, base, quote, digits, pip, contract_size)
    if base in _COINS:
        return Symbol(name, AssetClass.CRYPTO, base, quote, digits=2, pip=1.0, contract_size=1.0)
    if quote in {"JPY", "HUF", "KRW", "THB", "INR"}:
        return Symbol(name, AssetClass.FX, base, quote, digits=3, pip=0.01, contract_size=100_000.0)
    return Symbol(name, AssetClass.FX, base, quote, digits=5, pip=0.0001, contract_size=100_000.0)


def _pair(name: str) -> tuple[str, str] | None:
    """Base and quote when `name` is a currency, metal or coin against a currency, glued together."""
    for split in (3, 4):
        base, quote = name[:split], name[split:]
        if quote in {*_CURRENCIES, "USDT"} and base in {*_CURRENCIES, *_METALS, *_COINS} and base != quote:
            return base, quote
    return None
